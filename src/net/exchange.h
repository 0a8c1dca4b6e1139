/* SPDX-License-Identifier: MIT */
/* exchange.h - one request and its answer with what the server keeps beside them. Internal to net/.
 * Exchanges are made and recycled by their loop; nn_http_request is their first member. */
#ifndef NN_NET_EXCHANGE_H
#define NN_NET_EXCHANGE_H
#include "net/http.h"

#include <stdatomic.h>
#include <uv.h>

typedef struct nn_loop nn_loop;
typedef struct nn_conn nn_conn;

/* A message to a loop; intrusive. */
typedef struct nn_post {
    struct nn_post *next;
    void (*run)(nn_loop *l, struct nn_post *p);
} nn_post;

typedef struct nn_exchange {
    nn_http_request q; /* first: a request is its exchange */
    nn_http_response r;
    nn_buf head, data; /* bytes of the head and the body that outlive the read buffer */
    const char *raw; /* where the head lies: in `head`, or in the read buffer while that is valid */
    size_t raw_n;
    int64_t sent; /* bytes of a streamed body so far */
    nn_arena *arena;
    size_t arena_cap, user_size;
    nn_loop *loop;
    nn_conn *conn;            /* loop thread only; NULL when the client is gone */
    struct nn_exchange *next; /* of the loop's free ones */
    nn_post post, alarm;
    int64_t alarm_ms;
    uv_timer_t timer;
    void (*wake)(void *arg, nn_http_wakeup why);
    void *wake_arg;
    uint32_t slot, generation;
    bool timer_made, parked, refused, linked;
    atomic_bool gone;
    char peer[48];
    _Alignas(16) unsigned char user[];
} nn_exchange;

static inline nn_exchange *nn_exchange_of(const nn_http_request *q) {
    return (nn_exchange *)q;
}
nn_exchange *nn_exchange_new(size_t user_size, size_t arena_cap);
/* Makes x as new, keeping its buffers unless they are large. */
void nn_exchange_reset(nn_exchange *x);
void nn_exchange_free(nn_exchange *x); /* its timer is closed already */
/* Copies what still lies in the read buffer, so that x does not depend on it; all texts move along.
 */
void nn_exchange_keep(nn_exchange *x);
#endif
