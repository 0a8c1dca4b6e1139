/* SPDX-License-Identifier: MIT */
/* loop.c - one loop thread: its message stack, its deadlines, its stock of exchanges, its end. */
#include "net/loop.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARES = 64, LINGER_MS = 2000 };

/* ---- messages: a stack that any thread pushes on and the loop takes whole ---- */

void nn_loop_post(nn_loop *l, nn_post *p) {
    nn_post *top = atomic_load_explicit(&l->posts, memory_order_relaxed);
    do p->next = top;
    while (!atomic_compare_exchange_weak_explicit(&l->posts, &top, p, memory_order_release,
                                                  memory_order_relaxed));
    if (!top) uv_async_send(&l->async);
}

static void on_async(uv_async_t *a) {
    nn_loop *l = a->data;
    nn_post *p = atomic_exchange_explicit(&l->posts, NULL, memory_order_acquire), *in_order = NULL;
    while (p) {
        nn_post *next = p->next;
        p->next = in_order;
        in_order = p;
        p = next;
    }
    while ((p = in_order)) {
        in_order = p->next;
        p->run(l, p);
    }
}

/* ---- deadlines ---- */

static uint64_t phase_ms(const nn_loop *l, nn_phase phase) {
    const nn_http_limits *k = &l->options->limits;
    switch (phase) {
    case NN_PHASE_HEAD:
        return (uint64_t)k->head_ms;
    case NN_PHASE_BODY:
        return (uint64_t)k->body_ms;
    case NN_PHASE_IDLE:
        return (uint64_t)k->idle_ms;
    case NN_PHASE_WRITE:
        return (uint64_t)k->write_ms;
    default:
        return LINGER_MS;
    }
}

static void unlink_conn(nn_conn *c) {
    nn_loop *l = c->loop;
    if (c->phase == NN_PHASE_NONE) return;
    *(c->earlier ? &c->earlier->later : &l->first[c->phase]) = c->later;
    *(c->later ? &c->later->earlier : &l->last[c->phase]) = c->earlier;
    c->earlier = c->later = NULL;
    c->phase = NN_PHASE_NONE;
}

static void on_timer(uv_timer_t *t);

static void arm(nn_loop *l, uint64_t due) {
    if (l->timer_due && l->timer_due <= due) return;
    uint64_t now = uv_now(&l->uv);
    l->timer_due = due;
    uv_timer_start(&l->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_timer(uv_timer_t *t) {
    nn_loop *l = t->data;
    uint64_t now = uv_now(&l->uv), soonest = UINT64_MAX;
    l->timer_due = 0;
    for (int phase = 0; phase < NN_PHASE_NONE; phase++) {
        while (l->first[phase] && l->first[phase]->due <= now) nn_conn_expire(l->first[phase]);
        if (l->first[phase] && l->first[phase]->due < soonest) soonest = l->first[phase]->due;
    }
    if (soonest != UINT64_MAX) arm(l, soonest);
}

void nn_loop_phase(nn_conn *c, nn_phase phase) {
    nn_loop *l = c->loop;
    unlink_conn(c);
    c->phase = phase;
    c->moved = 0;
    if (phase == NN_PHASE_NONE) return;
    c->due = uv_now(&l->uv) + phase_ms(l, phase);
    c->earlier = l->last[phase];
    *(c->earlier ? &c->earlier->later : &l->first[phase]) = c;
    l->last[phase] = c;
    arm(l, c->due);
}

/* ---- exchanges ---- */

nn_exchange *nn_loop_take(nn_loop *l) {
    nn_exchange *x = l->spare;
    if (x) {
        l->spare = x->next;
        l->spares--;
        return x;
    }
    x = nn_exchange_new(l->options->hooks.user_size, l->options->limits.arena);
    x->loop = l;
    nn_exchange_reset(x);
    return x;
}

static void on_timer_closed(uv_handle_t *h) {
    nn_exchange_free(h->data);
}

static void drop(nn_exchange *x) {
    if (!x->timer_made) {
        nn_exchange_free(x);
        return;
    }
    x->timer.data = x;
    uv_close((uv_handle_t *)&x->timer, on_timer_closed);
}

void nn_loop_recycle(nn_loop *l, nn_exchange *x) {
    nn_exchange_reset(x);
    x->conn = NULL;
    if (l->spares >= SPARES || l->ended) {
        drop(x);
        return;
    }
    x->next = l->spare;
    l->spare = x;
    l->spares++;
}

/* ---- slots: what a handle names ---- */

uint32_t nn_loop_slot(nn_loop *l, nn_conn *c) {
    if (!l->free_slots) {
        uint32_t cap = l->slots_cap ? l->slots_cap * 2 : 64;
        nn_conn **slot = realloc(l->slot, cap * sizeof *slot);
        if (!slot) abort();
        l->slot = slot;
        uint32_t *spare = realloc(l->free_slot, cap * sizeof *spare);
        if (!spare) abort();
        l->free_slot = spare;
        while (l->slots < cap) {
            l->slot[l->slots] = NULL;
            l->free_slot[l->free_slots++] = l->slots++;
        }
        l->slots_cap = cap;
    }
    uint32_t i = l->free_slot[--l->free_slots];
    l->slot[i] = c;
    return i;
}

const char *nn_loop_date(nn_loop *l) {
    int64_t now = nn_clock_wall() / 1000000;
    if (now != l->date_second) {
        char text[NN_TIME_HTTP_TEXT];
        l->date_second = now;
        snprintf(l->date, sizeof l->date, "Date: %s\r\n", nn_time_http(now * 1000000, text));
    }
    return l->date;
}

/* ---- the end ---- */

static void on_walk(uv_handle_t *h, void *arg) {
    (void)arg;
    if (!uv_is_closing(h)) uv_close(h, NULL);
}

void nn_loop_check_end(nn_loop *l) {
    if (!l->draining || l->ended || l->conns || l->parked) return;
    l->ended = true;
    while (l->spare) {
        nn_exchange *x = l->spare;
        l->spare = x->next;
        drop(x);
    }
    uv_walk(&l->uv, on_walk, NULL);
}

static void *run(void *arg) {
    nn_loop *l = arg;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    return NULL;
}

static void on_listen(uv_stream_t *listener, int status) {
    if (status == 0) nn_conn_accept(listener->data, listener);
}

static nn_status listen_on(nn_loop *l, nn_err *err) {
    for (int i = 0; i < l->listeners; i++) {
        int e = uv_tcp_init(&l->uv, &l->listener[i]);
        l->listener[i].data = l;
        if (!e) e = uv_tcp_open(&l->listener[i], l->fd[i]);
        if (!e) l->fd[i] = -1;
        if (!e) e = uv_listen((uv_stream_t *)&l->listener[i], 4096, on_listen);
        if (e) return nn_fail(err, NN_E_CONFIG_ERROR, "cannot listen: %s", uv_strerror(e));
    }
    return NN_OK;
}

/* Threads of a library take no signals: those are for the thread that waits for them. */
static int start_thread(nn_loop *l) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!e) pthread_setname_np(l->thread, "http");
    return e;
}

nn_status nn_loop_start(nn_loop *l, nn_err *err) {
    int e = uv_loop_init(&l->uv);
    if (e) return nn_fail(err, NN_E_INTERNAL, "cannot make an event loop: %s", uv_strerror(e));
    l->date_second = -1;
    e = uv_async_init(&l->uv, &l->async, on_async);
    l->async.data = l;
    uv_timer_init(&l->uv, &l->timer);
    uv_timer_init(&l->uv, &l->drain);
    l->timer.data = l->drain.data = l;
    nn_status s = e ? nn_fail(err, NN_E_INTERNAL, "cannot make an event loop: %s", uv_strerror(e))
                    : listen_on(l, err);
    if (s == NN_OK && (e = start_thread(l)) != 0)
        s = nn_fail(err, NN_E_INTERNAL, "cannot start a thread: %s", strerror(e));
    if (s == NN_OK) return NN_OK;
    uv_walk(&l->uv, on_walk, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    return s;
}
