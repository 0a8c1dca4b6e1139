/* SPDX-License-Identifier: MIT */
/* limiter.c - see limiter.h. A client's window is a ring of times that grows to its limit; a shard
 * is a chained hash table whose clients also hang in a list by their last request, so that the
 * quietest is found at once. */
#include "api/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, BUCKETS = 1024, NAME_MAX_BYTES = 63 };

typedef struct client {
    struct client *chain, *quieter, *livelier;
    uint64_t hash;
    uint64_t last; /* ms; times in the ring are its low 32 bits */
    uint32_t *ring, cap, first, count;
    uint8_t group, n;
    char name[NAME_MAX_BYTES];
} client;

typedef struct shard {
    pthread_mutex_t lock;
    client *bucket[BUCKETS];
    client *quietest, *liveliest;
    size_t count;
} shard;

struct nn_limiter {
    uint32_t period_ms;
    size_t clients; /* a shard */
    shard shard[SHARDS];
};

nn_limiter *nn_limiter_new(uint32_t period_s, size_t clients) {
    nn_limiter *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->period_ms = period_s * 1000;
    l->clients = clients / SHARDS + 1;
    for (int i = 0; i < SHARDS; i++) pthread_mutex_init(&l->shard[i].lock, NULL);
    return l;
}

void nn_limiter_free(nn_limiter *l) {
    if (!l) return;
    for (int i = 0; i < SHARDS; i++) {
        for (client *c = l->shard[i].quietest, *next; c; c = next) {
            next = c->livelier;
            free(c->ring);
            free(c);
        }
        pthread_mutex_destroy(&l->shard[i].lock);
    }
    free(l);
}

/* FNV-1a with a final mix. Who controls its own address or key controls which shard it waits for,
 * not more. */
static uint64_t hash_of(const char *p, size_t n, unsigned group) {
    uint64_t h = 14695981039346656037ULL ^ group;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 1099511628211ULL;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15ULL;
}

static void unlink_client(shard *s, client *c) {
    *(c->quieter ? &c->quieter->livelier : &s->quietest) = c->livelier;
    *(c->livelier ? &c->livelier->quieter : &s->liveliest) = c->quieter;
}

static void link_liveliest(shard *s, client *c) {
    c->livelier = NULL;
    c->quieter = s->liveliest;
    *(s->liveliest ? &s->liveliest->livelier : &s->quietest) = c;
    s->liveliest = c;
}

static client **bucket_of(shard *s, uint64_t hash) {
    return &s->bucket[(hash >> 8) % BUCKETS];
}

static void forget(shard *s, client *c) {
    client **p = bucket_of(s, c->hash);
    while (*p != c) p = &(*p)->chain;
    *p = c->chain;
    unlink_client(s, c);
    free(c->ring);
    free(c);
    s->count--;
}

static client *find(nn_limiter *l, shard *s, uint64_t hash, const char *name, size_t n,
                    unsigned group, uint64_t now_ms) {
    client **bucket = bucket_of(s, hash);
    for (client *c = *bucket; c; c = c->chain)
        if (c->hash == hash && c->group == group && c->n == n && memcmp(c->name, name, n) == 0) {
            unlink_client(s, c);
            link_liveliest(s, c);
            return c;
        }
    while (s->quietest && (s->count >= l->clients || now_ms - s->quietest->last >= l->period_ms))
        forget(s, s->quietest);
    client *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->hash = hash;
    c->group = (uint8_t)group;
    c->n = (uint8_t)n;
    memcpy(c->name, name, n);
    c->last = now_ms;
    c->chain = *bucket;
    *bucket = c;
    link_liveliest(s, c);
    s->count++;
    return c;
}

static uint32_t oldest(const client *c) {
    return c->ring[c->first];
}

static void push(client *c, uint32_t limit, uint32_t t) {
    if (c->count == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 8;
        if (cap > limit) cap = limit;
        uint32_t *ring = malloc(cap * sizeof *ring);
        if (!ring) abort();
        for (uint32_t i = 0; i < c->count; i++) ring[i] = c->ring[(c->first + i) % c->cap];
        free(c->ring);
        c->ring = ring;
        c->cap = cap;
        c->first = 0;
    }
    c->ring[(c->first + c->count++) % c->cap] = t;
}

nn_verdict nn_limiter_ask(nn_limiter *l, const char *name, size_t n, unsigned group, uint32_t limit,
                          uint64_t now_ms) {
    nn_verdict v = {.limit = limit, .reset_s = (l->period_ms + 999) / 1000};
    if (limit == 0) return v;
    if (n > NAME_MAX_BYTES) n = NAME_MAX_BYTES;
    uint64_t hash = hash_of(name, n, group);
    shard *s = &l->shard[hash % SHARDS];
    uint32_t now = (uint32_t)now_ms;
    pthread_mutex_lock(&s->lock);
    client *c = find(l, s, hash, name, n, group, now_ms);
    if (now_ms - c->last >= l->period_ms) c->count = 0;
    while (c->count && now - oldest(c) >= l->period_ms) {
        c->first = (c->first + 1) % c->cap;
        c->count--;
    }
    v.allowed = c->count < limit;
    c->last = now_ms;
    if (v.allowed) push(c, limit, now);
    v.remaining = limit - c->count;
    if (c->count) v.reset_s = (l->period_ms - (now - oldest(c)) + 999) / 1000;
    pthread_mutex_unlock(&s->lock);
    return v;
}
