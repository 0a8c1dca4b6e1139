/* SPDX-License-Identifier: MIT */
/* arena.c - chained blocks, bump allocation, 16-byte aligned but for strings. Blocks double up to
 * BLOCK_MAX; what is larger gets a block of its own behind the current one, which goes on serving
 * small requests. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_MIN = 4000,
    BLOCK_MAX = 64000,
    OWN_MIN = 4000
}; /* with malloc's own bytes below a page, or 16 */

struct block {
    struct block *next;
    size_t used, size;
    bool own; /* holds one thing, which may be resized */
    _Alignas(16) unsigned char mem[];
};

struct defer {
    struct defer *next;
    void (*fn)(void *);
    void *arg;
};

struct nn_arena {
    nn_arena *parent, *child, *sibling;
    struct block *blocks;
    struct defer *defers;
    const char *name;
    size_t used, cap;
};

nn_arena *nn_arena_new(nn_arena *parent, const char *name, size_t cap) {
    nn_arena *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->name = name;
    a->parent = parent;
    a->cap = cap ? cap : parent ? parent->cap : SIZE_MAX / 2;
    if (parent) {
        a->sibling = parent->child;
        parent->child = a;
    }
    return a;
}
/* A block with n free bytes, or NULL: a large one may be refused, a small one aborts. */
static struct block *grow(nn_arena *a, size_t n, bool own) {
    struct block *top = a->blocks;
    size_t next = !top ? BLOCK_MIN : top->size < BLOCK_MAX ? 2 * top->size : BLOCK_MAX;
    own = own || n > BLOCK_MAX;
    size_t size = own || n > next ? n : next;
    struct block *b = size < SIZE_MAX - sizeof *b ? malloc(sizeof *b + size) : NULL;
    if (!b && n <= BLOCK_MAX) abort();
    if (!b) return NULL;
    struct block **at = own && top ? &top->next : &a->blocks;
    *b = (struct block){.next = *at, .size = size, .own = own};
    *at = b;
    return b;
}

static void count(nn_arena *a, size_t n) {
    a->used = a->cap - a->used < n ? a->cap : a->used + n;
}

/* n zeroed bytes at a multiple of `align`; `own`: in a block of their own. */
static void *bump(nn_arena *a, size_t n, size_t align, bool own) {
    if (n > SIZE_MAX - 15 || n > a->cap - a->used) return NULL;
    struct block *b = a->blocks;
    size_t skip = b ? -b->used & (align - 1) : 0;
    if (own || !b || b->own || b->size - b->used < n + skip) {
        if (!(b = grow(a, n, own))) return NULL;
        skip = 0;
    }
    void *p = b->mem + b->used + skip;
    b->used += skip + n;
    count(a, skip + n);
    return memset(p, 0, n);
}

void *nn_arena_alloc(nn_arena *a, size_t n) {
    return bump(a, n, 16, false);
}

/* The pointer to the block that holds p alone; NULL if there is none. */
static struct block **own_block(nn_arena *a, const void *p) {
    struct block **at = &a->blocks;
    while (*at && ((*at)->mem != p || !(*at)->own)) at = &(*at)->next;
    return *at ? at : NULL;
}

void *nn_arena_resize(nn_arena *a, void *p, size_t old, size_t n) {
    struct block **at = old > OWN_MIN && n > 0 ? own_block(a, p) : NULL;
    if (!at) {
        if (n <= old) return p;
        void *q = bump(a, n, 16, n > OWN_MIN);
        if (q && old) memcpy(q, p, old);
        return q;
    }
    if (n > old && n - old > a->cap - a->used) return NULL;
    struct block *b = n < SIZE_MAX - sizeof *b ? realloc(*at, sizeof *b + n) : NULL;
    if (!b) return NULL;
    *at = b;
    b->size = b->used = n;
    if (n > old)
        count(a, n - old);
    else
        a->used -= old - n;
    return n > old ? (void *)((unsigned char *)memset(b->mem + old, 0, n - old) - old) : b->mem;
}

void *nn_arena_array(nn_arena *a, size_t n, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : nn_arena_alloc(a, bytes);
}

char *nn_arena_strndup(nn_arena *a, const char *p, size_t n) {
    char *s = n < SIZE_MAX ? bump(a, n + 1, 1, false) : NULL;
    if (s && n) memcpy(s, p, n);
    return s;
}

char *nn_arena_strdup(nn_arena *a, const char *s) {
    return nn_arena_strndup(a, s, strlen(s));
}

char *nn_arena_printf(nn_arena *a, const char *fmt, ...) {
    va_list ap, ap2;
    va_start(ap, fmt);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : bump(a, (size_t)n + 1, 1, false);
    if (s) vsnprintf(s, (size_t)n + 1, fmt, ap2);
    va_end(ap2);
    return s;
}

int nn_arena_defer(nn_arena *a, void (*fn)(void *), void *arg) {
    struct defer *d = nn_arena_alloc(a, sizeof *d);
    if (!d) return -1;
    *d = (struct defer){a->defers, fn, arg};
    a->defers = d;
    return 0;
}

nn_arena *nn_arena_free(nn_arena *a) {
    if (!a) return NULL;
    while (a->child) nn_arena_free(a->child);
    for (struct defer *d = a->defers; d; d = d->next) d->fn(d->arg);
    if (a->parent) {
        nn_arena **p = &a->parent->child;
        while (*p != a) p = &(*p)->sibling;
        *p = a->sibling;
    }
    for (struct block *b = a->blocks, *n; b; b = n) {
        n = b->next;
        free(b);
    }
    free(a);
    return NULL;
}
