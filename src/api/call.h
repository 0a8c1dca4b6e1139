/* SPDX-License-Identifier: MIT */
/* call.h - one request on its way through the api: what the router keeps beside nn_request.
 * Internal to api/. It lies in the bytes that net/ holds for each request, zeroed; it belongs to
 * one thread at a time: the loop, then a pool thread, then the loop again. */
#ifndef NN_API_CALL_H
#define NN_API_CALL_H
#include "api/limiter.h"
#include "api/route.h"
#include "base/metrics.h"
#include "net/server.h"

#include <stdatomic.h>

enum { NN_PARAMS_MAX = 4, NN_REQUEST_ID_MAX = 128, NN_WAIT_MAX_S = 300 };

/* A row with what the router computed from it at the start. */
typedef struct nn_entry {
    const nn_route *route;
    struct {
        const char *name;
        unsigned segment;
    } param[NN_PARAMS_MAX];
    unsigned params;
    nn_series *ok, *duration; /* the series of its usual answer and of its times */
} nn_entry;

/* Where a request that waits stands; see wait.c. */
typedef enum nn_wait_state {
    NN_WAIT_NOT,     /* it does not wait */
    NN_WAIT_IDLE,    /* it waits and nothing has happened */
    NN_WAIT_RUNNING, /* `again` runs or is about to */
    NN_WAIT_DIRTY,   /* and something happened since it began */
    NN_WAIT_OVER,    /* answered */
} nn_wait_state;

struct nn_waiter {
    _Atomic nn_wait_state state;
    atomic_bool over;
    nn_wait wait;
    void *subscription;
    bool wanted, subscribed;
};

typedef struct nn_call {
    nn_request q; /* first: a request is its call */
    const nn_entry *entry;
    nn_http_method method; /* that the row answers: GET for HEAD */
    nn_principal who;
    nn_text origin;
    nn_verdict verdict;
    bool limited, answered;
    bool parked;    /* off its connection */
    bool *deferred; /* of who runs the handler: the call may be gone when that returns */
    nn_json *diagnostics;
    nn_waiter waiter;
    nn_err err;
    char id[NN_REQUEST_ID_MAX + 1];
} nn_call;

static inline nn_call *nn_call_of(nn_request *q) {
    return (nn_call *)q;
}

/* router.c. *ret_allow: the methods of the path, as bits, where it exists. NULL: no row for path
 * and method. */
const nn_entry *nn_router_find(const nn_router *r, const nn_http_request *q, nn_http_method m,
                               unsigned *ret_allow);

/* call.c: the hooks of net/. */
nn_http_hooks nn_call_hooks(nn_app *app);
void nn_call_run(void *call); /* a job of the pool */
/* Completes headers and, after a failure, the error body. */
void nn_call_finish(nn_call *c, nn_status status);

/* problem.c: fills the answer with the error body. */
void nn_problem_reply(nn_call *c, const nn_err *err);

/* wait.c */
void nn_wait_begin(nn_call *c); /* after a handler asked to park; c is not the caller's any more */
void nn_wait_wake(void *call, nn_http_wakeup why);
#endif
