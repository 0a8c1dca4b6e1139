/* SPDX-License-Identifier: MIT */
/* exchange.c - the life of an exchange, and what handlers do with a request and its answer. */
#include "net/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_BYTES = 65536 }; /* a larger buffer is not kept for the next request */

nn_exchange *nn_exchange_new(size_t user_size, size_t arena_cap) {
    nn_exchange *x = calloc(1, sizeof *x + user_size);
    if (!x) abort();
    x->user_size = user_size;
    x->arena_cap = arena_cap;
    x->r.fd = -1;
    return x;
}

static void tidy(nn_buf *b) {
    if (b->cap > KEPT_BYTES || b->failed)
        nn_buf_done(b);
    else
        nn_buf_clear(b);
}

void nn_http_reset(nn_http_response *r) {
    if (r->fd >= 0) close(r->fd);
    if (r->source.done) r->source.done(r->source.ctx);
    nn_buf head = r->head, body = r->body;
    tidy(&head);
    tidy(&body);
    *r = (nn_http_response){.fd = -1, .head = head, .body = body};
}

void nn_exchange_reset(nn_exchange *x) {
    nn_http_reset(&x->r);
    tidy(&x->head);
    tidy(&x->data);
    x->arena = nn_arena_free(x->arena);
    nn_http_request *q = &x->q;
    q->fields = q->segments = 0;
    q->target = q->path = q->query = q->host = q->body = (nn_text){0};
    q->method = NN_HTTP_GET;
    q->minor = 1;
    q->keep_alive = false;
    q->body_length = 0;
    q->began = 0;
    x->raw = NULL;
    x->raw_n = 0;
    x->sent = 0;
    x->parked = x->refused = false;
    x->wake = NULL;
    x->wake_arg = NULL;
    atomic_store_explicit(&x->gone, false, memory_order_relaxed);
    memset(x->user, 0, x->user_size);
}

void nn_exchange_free(nn_exchange *x) {
    if (!x) return;
    nn_http_reset(&x->r);
    nn_buf_done(&x->r.head);
    nn_buf_done(&x->r.body);
    nn_buf_done(&x->head);
    nn_buf_done(&x->data);
    nn_arena_free(x->arena);
    free(x);
}

static void move(nn_text *t, const char *from, size_t n, const char *to) {
    if (t->p >= from && t->p < from + n) t->p = to + (t->p - from);
}

static void move_all(nn_exchange *x, const char *to) {
    nn_http_request *q = &x->q;
    move(&q->target, x->raw, x->raw_n, to);
    move(&q->path, x->raw, x->raw_n, to);
    move(&q->query, x->raw, x->raw_n, to);
    move(&q->host, x->raw, x->raw_n, to);
    for (unsigned i = 0; i < q->segments; i++) move(&q->segment[i], x->raw, x->raw_n, to);
    for (unsigned i = 0; i < q->fields; i++) {
        move(&q->field[i].name, x->raw, x->raw_n, to);
        move(&q->field[i].value, x->raw, x->raw_n, to);
    }
}

void nn_exchange_keep(nn_exchange *x) {
    if (x->raw && x->raw != x->head.p) {
        nn_buf_append(&x->head, x->raw, x->raw_n);
        move_all(x, x->head.p);
        x->raw = x->head.p;
    }
    if (x->q.body.n && x->q.body.p != x->data.p) {
        nn_buf_append(&x->data, x->q.body.p, x->q.body.n);
        x->q.body = (nn_text){nn_buf_str(&x->data), x->data.n};
    }
}

nn_arena *nn_http_arena(nn_http_request *q) {
    nn_exchange *x = nn_exchange_of(q);
    if (!x->arena) x->arena = nn_arena_new(NULL, "request", x->arena_cap);
    return x->arena;
}

void *nn_http_user(nn_http_request *q) {
    return nn_exchange_of(q)->user;
}

nn_http_response *nn_http_answer(nn_http_request *q) {
    return &nn_exchange_of(q)->r;
}

bool nn_http_gone(const nn_http_request *q) {
    return atomic_load(&nn_exchange_of(q)->gone);
}

nn_http_handle nn_http_handle_of(const nn_http_request *q) {
    nn_exchange *x = nn_exchange_of(q);
    return (nn_http_handle){x->loop, x->slot, x->generation};
}
