/* SPDX-License-Identifier: MIT */
/* app.h - the running program behind the routes: what handlers may use, and its start and stop.
 * Everything in nn_app is made before the first request and outlives the last one; each part names
 * its own threading law. */
#ifndef NN_API_APP_H
#define NN_API_APP_H
#include "base/err.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct nn_bus;
struct nn_config;
struct nn_jobs;
struct nn_pool;
struct nn_serve;
struct nn_store;
struct nn_supervisor;
struct nn_track;

typedef struct nn_app {
    struct nn_config *config;
    struct nn_bus *bus;
    struct nn_store *store;
    struct nn_track *track;
    struct nn_jobs *jobs;
    struct nn_supervisor *supervisor;
    struct nn_serve *serve;
    struct nn_pool
        *pool; /* where handlers run that are not inline; room for a job of each connection */
    /* the server's own */
    struct nn_auth *auth;
    struct nn_guard *guard;
    struct nn_limiter *limiter; /* NULL: switched off */
    struct nn_router *router;
    struct nn_http_server *http;
    struct nn_series *received, *sent;
    struct nn_health *health;
    const char *key_header;
    uint32_t api_limit, serve_limit; /* requests in a period */
    char *openapi;                   /* the document */
    size_t openapi_n;
    int64_t started_ns; /* monotonic */
    bool loopback;
    bool draining; /* __atomic access */
    char url[160];
} nn_app;

/* Opens the store and everything on it, checks the security rules (no keys: no start off loopback),
 * listens, starts the threads. config stays the caller's and must outlive app. */
nn_status nn_api_start(struct nn_config *config, nn_app **ret, nn_err *err);
int nn_api_port(const nn_app *app);
const char *nn_api_url(const nn_app *app); /* "http://127.0.0.1:8000" */
/* Refuses new connections, drains for server.drain_timeout_s, stops the threads, closes the store,
 * frees app (NULL allowed). */
void nn_api_stop(nn_app *app);
/* The `serve` command: starts, prints "listening on URL" to out, waits for one of the signals in
 * until (which the caller has blocked before any thread was made), stops. */
nn_status nn_api_serve(struct nn_config *config, const sigset_t *until, FILE *out, nn_err *err);
#endif
