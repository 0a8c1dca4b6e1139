/* SPDX-License-Identifier: MIT */
/* bus.c - one lock guards the list of subscribers and their queues: publishing moves pointers only.
 * Wake-ups run after the lock is released; a subscriber that is being woken is pinned, and close
 * waits for that. An event that did not fit is counted in the subscriber's `lost`; the next one
 * that fits carries the gap before it. */
#include "base/bus.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct event {
    nn_event pub; /* first: an nn_event * is an event * */
    atomic_size_t refs;
    char text[];
} event;

typedef struct slot {
    event *e;
    nn_gap before;
} slot;

struct nn_sub {
    nn_bus *bus;
    nn_sub *next;
    char *type, *operation, *kind;
    void (*wake)(void *arg);
    void *arg;
    slot *ring;
    size_t cap, first, waiting;
    nn_gap lost; /* behind the last slot */
    int pins;    /* publishers about to call wake */
};

struct nn_bus {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something came, or a pin was dropped */
    nn_sub *subs;
    size_t n_subs;
};

nn_bus *nn_bus_new(void) {
    nn_bus *b = calloc(1, sizeof *b);
    pthread_condattr_t attr;
    if (!b || pthread_condattr_init(&attr)) abort();
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, &attr);
    pthread_condattr_destroy(&attr);
    return b;
}

void nn_bus_free(nn_bus *b) {
    if (!b) return;
    assert(!b->subs);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Events */

static event *event_of(const nn_event *e) {
    return (event *)(uintptr_t)e;
}

static event *event_copy(const nn_event *e) {
    const char *texts[] = {e->type ? e->type : "", e->operation ? e->operation : "",
                           e->kind ? e->kind : ""};
    size_t len[3], total = e->size + 1;
    for (int i = 0; i < 3; i++) total += len[i] = strlen(texts[i]) + 1;
    event *c = malloc(sizeof *c + total);
    if (!c) abort();
    char *p = c->text;
    const char **to[] = {&c->pub.type, &c->pub.operation, &c->pub.kind};
    c->pub = (nn_event){.seq = e->seq, .size = e->size, .json = p};
    if (e->size) memcpy(p, e->json, e->size);
    p += e->size;
    *p++ = 0;
    for (int i = 0; i < 3; p += len[i++]) *to[i] = memcpy(p, texts[i], len[i]);
    atomic_init(&c->refs, 1);
    return c;
}

const nn_event *nn_event_ref(const nn_event *e) {
    atomic_fetch_add_explicit(&event_of(e)->refs, 1, memory_order_relaxed);
    return e;
}

void nn_event_unref(const nn_event *e) {
    if (e && atomic_fetch_sub_explicit(&event_of(e)->refs, 1, memory_order_acq_rel) == 1)
        free(event_of(e));
}

/* Publishing */

static bool wants(const nn_sub *s, const nn_event *e) {
    if (s->operation && strcmp(s->operation, e->operation ? e->operation : "")) return false;
    if (s->kind && strcmp(s->kind, e->kind ? e->kind : "")) return false;
    if (!s->type) return true;
    size_t n = strlen(s->type);
    bool prefix = n && s->type[n - 1] == '.';
    return prefix ? strncmp(s->type, e->type, n) == 0 : strcmp(s->type, e->type) == 0;
}

static void lose(nn_gap *gap, uint64_t seq) {
    if (!gap->events++) gap->from_seq = seq;
    gap->to_seq = seq;
}

/* True if the queue was empty and s wants to be woken: then s is pinned. */
static bool queue(nn_sub *s, event *e) {
    if (s->waiting == s->cap) {
        lose(&s->lost, e->pub.seq);
        return false;
    }
    nn_event_ref(&e->pub);
    s->ring[(s->first + s->waiting) % s->cap] = (slot){e, s->lost};
    s->lost = (nn_gap){0};
    if (s->waiting++ || !s->wake) return false;
    s->pins++;
    return true;
}

static void wake_all(nn_bus *b, nn_sub **woken, size_t n) {
    if (!n) return;
    for (size_t i = 0; i < n; i++) woken[i]->wake(woken[i]->arg);
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < n; i++) woken[i]->pins--;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

size_t nn_bus_publish(nn_bus *b, const nn_event *e) {
    nn_sub *few[32], **woken = few;
    size_t n_woken = 0, n = 0;
    event *copy = NULL;
    pthread_mutex_lock(&b->lock);
    if (b->n_subs > sizeof few / sizeof *few && !(woken = malloc(b->n_subs * sizeof *woken)))
        abort();
    for (nn_sub *s = b->subs; s; s = s->next) {
        if (!wants(s, e)) continue;
        if (!copy) copy = event_copy(e);
        if (queue(s, copy)) woken[n_woken++] = s;
        n++;
    }
    if (n) pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    wake_all(b, woken, n_woken);
    if (woken != few) free(woken);
    nn_event_unref(copy ? &copy->pub : NULL);
    return n;
}

/* Subscribing */

static char *copy_text(const char *s) {
    char *c = s ? strdup(s) : NULL;
    if (s && !c) abort();
    return c;
}

nn_sub *nn_bus_subscribe(nn_bus *b, const nn_bus_filter *f, size_t cap, void (*wake)(void *arg),
                         void *arg) {
    nn_bus_filter any = {0};
    if (!f) f = &any;
    assert(cap > 0);
    nn_sub *s = calloc(1, sizeof *s);
    if (!s || !(s->ring = calloc(cap, sizeof *s->ring))) abort();
    s->bus = b;
    s->type = copy_text(f->type);
    s->operation = copy_text(f->operation);
    s->kind = copy_text(f->kind);
    s->wake = wake;
    s->arg = arg;
    s->cap = cap;
    pthread_mutex_lock(&b->lock);
    s->next = b->subs;
    b->subs = s;
    b->n_subs++;
    pthread_mutex_unlock(&b->lock);
    return s;
}

static nn_sub_got next(nn_sub *s, const nn_event **ret_event, nn_gap *ret_gap) {
    slot *head = &s->ring[s->first];
    nn_gap *gap = s->waiting ? &head->before : &s->lost;
    if (gap->events) {
        *ret_gap = *gap;
        *gap = (nn_gap){0};
        return NN_SUB_GAP;
    }
    if (!s->waiting) return NN_SUB_NONE;
    *ret_event = &head->e->pub;
    s->first = (s->first + 1) % s->cap;
    s->waiting--;
    return NN_SUB_EVENT;
}

nn_sub_got nn_sub_next(nn_sub *s, const nn_event **ret_event, nn_gap *ret_gap) {
    pthread_mutex_lock(&s->bus->lock);
    nn_sub_got got = next(s, ret_event, ret_gap);
    pthread_mutex_unlock(&s->bus->lock);
    return got;
}

bool nn_sub_wait(nn_sub *s, int timeout_ms) {
    nn_bus *b = s->bus;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
    pthread_mutex_lock(&b->lock);
    int e = 0;
    while (!s->waiting && !s->lost.events && e != ETIMEDOUT)
        e = timeout_ms < 0 ? pthread_cond_wait(&b->changed, &b->lock)
                           : pthread_cond_timedwait(&b->changed, &b->lock, &until);
    bool there = s->waiting || s->lost.events;
    pthread_mutex_unlock(&b->lock);
    return there;
}

static void unlink_sub(nn_bus *b, nn_sub *s) {
    nn_sub **p = &b->subs;
    while (*p != s) p = &(*p)->next;
    *p = s->next;
    b->n_subs--;
}

void nn_sub_close(nn_sub *s) {
    if (!s) return;
    nn_bus *b = s->bus;
    pthread_mutex_lock(&b->lock);
    unlink_sub(b, s);
    while (s->pins) pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < s->waiting; i++)
        nn_event_unref(&s->ring[(s->first + i) % s->cap].e->pub);
    free(s->ring);
    free(s->type);
    free(s->operation);
    free(s->kind);
    free(s);
}
