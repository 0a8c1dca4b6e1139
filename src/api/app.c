/* SPDX-License-Identifier: MIT */
/* app.c - start and stop: what is made first is what others stand on, and goes last. */
#include "api/app.h"

#include "api/auth.h"
#include "api/call.h"
#include "api/guard.h"
#include "api/health.h"
#include "api/openapi.h"
#include "api/services.h"
#include "base/bus.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "store/eventlog.h"
#include "store/store.h"
#include "track/track.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 100000, SERVE_LIMIT_FACTOR = 60, POOL_MIN = 8 };

/* ---- what handlers stand on ---- */

/* Another directory is the way out of most that can be wrong with this one. */
static nn_status elsewhere(nn_status s, nn_err *err) {
    if (s != NN_E_STORAGE_ERROR || !err || strstr(err->hint, "--storage")) return s;
    char old[sizeof err->hint];
    snprintf(old, sizeof old, "%s", err->hint);
    return nn_err_hint(err, s, "%.180s%s`--storage DIR` names another directory", old,
                       *old ? "; " : "");
}

static nn_status open_records(nn_app *a, nn_err *err) {
    const char *storage = nn_config_str(a->config, NN_CFG_PATHS_STORAGE);
    nn_status s = nn_mkdirs(storage, err);
    if (s != NN_OK) return s;
    a->bus = nn_bus_new();
    nn_store_options o = {
        .url = nn_config_str(a->config, NN_CFG_STORE_URL), .exclusive = true, .bus = a->bus};
    s = nn_store_open(&o, &a->store, err);
    return s == NN_OK ? nn_track_open(a->store, storage, &a->track, err) : s;
}

static void close_records(nn_app *a) {
    nn_track_close(a->track);
    nn_store_close(a->store);
    nn_bus_free(a->bus);
}

/* ---- the server ---- */

static nn_http_limits limits_of(const nn_config *c) {
    nn_http_limits k = nn_http_default_limits;
    k.body = (size_t)nn_config_int(c, NN_CFG_SERVER_MAX_REQUEST_SIZE);
    k.head_ms = k.body_ms = (int)(nn_config_num(c, NN_CFG_SERVER_READ_TIMEOUT) * 1000);
    k.arena = 4 * k.body + (16U << 20);
    return k;
}

static nn_status open_auth(nn_app *a, nn_err *err) {
    nn_auth_options o = {.store = a->store,
                         .bootstrap_key = nn_config_str(a->config, NN_CFG_AUTH_BOOTSTRAP_KEY),
                         .demo = nn_config_bool(a->config, NN_CFG_AUTH_DEMO)};
    nn_status s = nn_auth_choose_mode(a->config, a->loopback, &o.mode, err);
    if (s == NN_OK) s = nn_auth_new(&o, &a->auth, err);
    if (s != NN_OK || a->loopback || nn_auth_has_keys(a->auth)) return s;
    s = nn_fail(err, NN_E_CONFIG_ERROR, "%s is not a loopback address and no API key exists",
                nn_config_str(a->config, NN_CFG_SERVER_HOST));
    return nn_err_hint(
        err, s,
        "make a key with: neural key create NAME, set NEURAL_API_KEY, or listen on 127.0.0.1");
}

static void open_limits(nn_app *a) {
    const nn_config *c = a->config;
    a->guard = calloc(1, sizeof *a->guard);
    if (!a->guard) abort();
    *a->guard = nn_guard_new(c, a->loopback);
    a->key_header = nn_config_str(c, NN_CFG_AUTH_KEY_HEADER);
    a->api_limit = (uint32_t)nn_config_int(c, NN_CFG_RATE_LIMIT_REQUESTS);
    a->serve_limit = a->api_limit > UINT32_MAX / SERVE_LIMIT_FACTOR
                         ? UINT32_MAX
                         : a->api_limit * SERVE_LIMIT_FACTOR;
    if (nn_config_bool(c, NN_CFG_RATE_LIMIT_ENABLED))
        a->limiter = nn_limiter_new((uint32_t)nn_config_int(c, NN_CFG_RATE_LIMIT_PERIOD), CLIENTS);
    a->received = nn_metric_series(NN_METRIC_HTTP_RECEIVED, NULL);
    a->sent = nn_metric_series(NN_METRIC_HTTP_SENT, NULL);
    nn_series_set(nn_metric_series(NN_METRIC_BUILD_INFO, NN_VERSION), 1);
}

static nn_status open_routes(nn_app *a, nn_err *err) {
    NN_BUF text = {0};
    nn_status s = nn_router_new(&a->router, err);
    if (s == NN_OK)
        s = nn_openapi_print(a->router, nn_config_str(a->config, NN_CFG_SERVER_NAME), &text, err);
    if (s != NN_OK) return s;
    a->openapi_n = text.n;
    a->openapi = nn_buf_take(&text);
    return a->openapi ? NN_OK : nn_fail(err, NN_E_INTERNAL, "no memory for the OpenAPI document");
}

static nn_status open_pool(nn_app *a, size_t connections, nn_err *err) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = cores * 4 > POOL_MIN ? (int)(cores * 4) : POOL_MIN;
    return nn_pool_new("api", threads, connections, &a->pool, err);
}

/* The first step: a port that is taken is said before anything is touched, and the address is known
 * to all that come later. Who connects already waits. */
static nn_status listen_on(nn_app *a, const nn_http_limits *limits, nn_err *err) {
    const char *host = nn_config_str(a->config, NN_CFG_SERVER_HOST);
    nn_http_options o = {.host = host,
                         .port = (int)nn_config_int(a->config, NN_CFG_SERVER_PORT),
                         .threads = (int)nn_config_int(a->config, NN_CFG_SERVER_HTTP_THREADS),
                         .limits = *limits,
                         .hooks = nn_call_hooks(a)};
    nn_status s = nn_http_server_listen(&o, &a->http, err);
    if (s != NN_OK) return s;
    const char *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
    snprintf(a->url, sizeof a->url, "http://%s%.100s%s:%d", open, host, close,
             nn_http_server_port(a->http));
    return NN_OK;
}

/* On the pool: a long table must not delay the start. */
static void forget_old_events(void *app) {
    nn_app *a = app;
    nn_err err = {0};
    int64_t kept = nn_config_int(a->config, NN_CFG_EVENTS_RETENTION) * 86400 * 1000000, deleted = 0;
    if (nn_eventlog_prune(a->store, nn_clock_wall() - kept, &deleted, &err) != NN_OK)
        nn_log(NN_LOG_WARNING, "old events stay", nn_kv_str("error", err.msg));
    else if (deleted)
        nn_log(NN_LOG_INFO, "old events deleted", nn_kv_int("events", deleted));
}

static nn_status open_all(nn_app *a, nn_err *err) {
    nn_http_limits limits = limits_of(a->config);
    nn_status s =
        nn_http_is_loopback(nn_config_str(a->config, NN_CFG_SERVER_HOST), &a->loopback, err);
    if (s == NN_OK) s = listen_on(a, &limits, err);
    if (s == NN_OK) s = elsewhere(open_records(a, err), err);
    if (s == NN_OK) s = open_auth(a, err);
    if (s == NN_OK) s = open_routes(a, err);
    if (s == NN_OK) s = open_pool(a, limits.connections, err);
    if (s == NN_OK) s = nn_services_open(a, err);
    if (s == NN_OK) s = nn_pool_submit(a->pool, forget_old_events, a, err);
    if (s != NN_OK) return s;
    open_limits(a);
    a->health = nn_health_new(a);
    return nn_http_server_run(a->http, err); /* last: requests may come before it returns */
}

nn_status nn_api_start(nn_config *config, nn_app **ret, nn_err *err) {
    nn_app *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->config = config;
    a->started_ns = nn_clock_mono();
    nn_status s = open_all(a, err);
    if (s != NN_OK) {
        nn_api_stop(a);
        return s;
    }
    *ret = a;
    return NN_OK;
}

void nn_api_stop(nn_app *a) {
    if (!a) return;
    __atomic_store_n(&a->draining, true, __ATOMIC_RELEASE);
    nn_http_server_stop(a->http,
                        (int)(nn_config_num(a->config, NN_CFG_SERVER_DRAIN_TIMEOUT) * 1000));
    nn_pool_close(a->pool);
    nn_health_free(a->health);
    nn_router_free(a->router);
    nn_limiter_free(a->limiter);
    nn_auth_free(a->auth);
    free(a->guard);
    free(a->openapi);
    nn_services_close(a);
    close_records(a);
    free(a);
}

int nn_api_port(const nn_app *a) {
    return nn_http_server_port(a->http);
}

const char *nn_api_url(const nn_app *a) {
    return a->url;
}

nn_status nn_api_serve(nn_config *config, const sigset_t *until, FILE *out, nn_err *err) {
    nn_app *a = NULL;
    int got = 0;
    nn_status s = nn_api_start(config, &a, err);
    if (s != NN_OK) return s;
    for (const char *const *w = nn_config_warnings(config); *w; w++) nn_log(NN_LOG_WARNING, *w);
    nn_log(NN_LOG_INFO, "listening", nn_kv_str("url", a->url), nn_kv_int("pid", getpid()));
    fprintf(out, "listening on %s\n", a->url);
    fflush(out);
    sigwait(until, &got);
    nn_log(NN_LOG_INFO, "stopping; a second signal ends the program at once",
           nn_kv_str("signal", strsignal(got)));
    pthread_sigmask(SIG_UNBLOCK, until, NULL);
    nn_api_stop(a);
    nn_log(NN_LOG_INFO, "stopped");
    return NN_OK;
}
