/* SPDX-License-Identifier: MIT */
/* wait.c - requests that wait for an event without a thread.
 *
 * The state of a waiter:  IDLE --wake--> RUNNING --wake--> DIRTY;  RUNNING --again had no answer-->
 * IDLE; DIRTY --again had no answer--> RUNNING (again at once);  RUNNING, DIRTY --answered--> OVER.
 * Whoever moves IDLE to RUNNING owns the request until it moves it back: so `again` never runs
 * twice at a time, no event is lost, and wake only ever changes a word and submits a job. The pool
 * has room for a job of each connection, so submitting cannot fail. */
#include "api/call.h"
#include "base/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

nn_status nn_request_park(nn_request *q, const nn_wait *w, nn_err *err) {
    nn_call *c = nn_call_of(q);
    if (c->waiter.subscribed)
        return nn_fail(err, NN_E_INTERNAL, "a request that waits was parked again");
    c->waiter.wait = *w;
    c->waiter.wanted = true;
    return NN_OK;
}

static nn_call *call_of(nn_waiter *w) {
    return (nn_call *)((char *)w - offsetof(nn_call, waiter));
}

static void run_again(void *arg);

void nn_request_wake(nn_waiter *w) {
    nn_wait_state s = atomic_load(&w->state);
    nn_err err;
    for (;;) {
        if (s != NN_WAIT_IDLE && s != NN_WAIT_RUNNING) return;
        nn_wait_state next = s == NN_WAIT_IDLE ? NN_WAIT_RUNNING : NN_WAIT_DIRTY;
        if (!atomic_compare_exchange_weak(&w->state, &s, next)) continue;
        nn_call *c = call_of(w);
        if (s == NN_WAIT_IDLE && nn_pool_submit(c->q.app->pool, run_again, c, &err) != NN_OK)
            abort();
        return;
    }
}

void nn_wait_wake(void *call, nn_http_wakeup why) {
    nn_call *c = call;
    (void)why;
    atomic_store(&c->waiter.over, true);
    nn_request_wake(&c->waiter);
}

bool nn_request_wait_over(const nn_request *q) {
    return atomic_load(&nn_call_of((nn_request *)(uintptr_t)q)->waiter.over);
}

static void answer(nn_call *c, nn_status status) {
    nn_waiter *w = &c->waiter;
    atomic_store(&w->state, NN_WAIT_OVER);
    if (w->subscribed && w->wait.unsubscribe) w->wait.unsubscribe(w->subscription);
    nn_call_finish(c, status);
    nn_http_complete(c->q.http);
}

static void run_again(void *arg) {
    nn_call *c = arg;
    nn_waiter *w = &c->waiter;
    nn_http_response *r = nn_http_answer(c->q.http);
    for (;;) {
        bool over = nn_request_wait_over(&c->q);
        nn_status status = w->wait.again(&c->q, &c->err);
        if (status == NN_OK && over && r->status == 0)
            status = nn_fail(&c->err, NN_E_INTERNAL, "%s did not answer when its time was over",
                             c->entry->route->path);
        if (status != NN_OK || r->status) {
            answer(c, status);
            return;
        }
        nn_wait_state running = NN_WAIT_RUNNING;
        if (atomic_compare_exchange_strong(&w->state, &running, NN_WAIT_IDLE)) return;
        atomic_store(&w->state, NN_WAIT_RUNNING);
    }
}

void nn_wait_begin(nn_call *c) {
    nn_waiter *w = &c->waiter;
    atomic_store(&w->state, NN_WAIT_RUNNING);
    nn_status s =
        w->wait.subscribe ? w->wait.subscribe(w->wait.arg, w, &w->subscription, &c->err) : NN_OK;
    if (s != NN_OK) {
        answer(c, s);
        return;
    }
    w->subscribed = true;
    if (w->wait.ms > 0)
        nn_http_wake_after(c->q.http, w->wait.ms);
    else
        atomic_store(&w->over, true);
    if (__atomic_load_n(&c->q.app->draining, __ATOMIC_ACQUIRE)) atomic_store(&w->over, true);
    run_again(c);
}

static bool prefer_wait(nn_text t, int64_t *ret) {
    for (size_t i = 0; i + 5 < t.n; i++) {
        if (strncasecmp(t.p + i, "wait=", 5) != 0 || (i && !strchr(" ,;\t", t.p[i - 1]))) continue;
        int64_t v = 0;
        for (i += 5; i < t.n && t.p[i] >= '0' && t.p[i] <= '9' && v <= NN_WAIT_MAX_S; i++)
            v = v * 10 + (t.p[i] - '0');
        *ret = v > NN_WAIT_MAX_S ? NN_WAIT_MAX_S : v;
        return true;
    }
    return false;
}

int64_t nn_request_wait_ms(nn_request *q) {
    const nn_json *asked = nn_json_get(q->query, "wait");
    if (asked) return (int64_t)ceil(fmin(fmax(nn_json_num(asked, 0), 0), NN_WAIT_MAX_S) * 1000);
    int64_t s = 0;
    return prefer_wait(nn_http_get(q->http, "prefer"), &s) ? s * 1000 : 0;
}
