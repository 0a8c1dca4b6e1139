/* SPDX-License-Identifier: MIT */
/* names.c - a hash table of chains; the arena keeps the old buckets when it grows. */
#include "lang/names.h"

#include <string.h>

struct nn_names_entry {
    const char *name;
    void *what;
    size_t hash;
    struct nn_names_entry *next;
};

static size_t hash(const char *s) {
    size_t h = 14695981039346656037u; /* FNV-1a */
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h ^ h >> 29;
}

void *nn_names_find(const nn_names *t, const char *name) {
    size_t h = hash(name);
    struct nn_names_entry *e = t->size ? t->buckets[h & (t->size - 1)] : NULL;
    while (e && (e->hash != h || strcmp(e->name, name))) e = e->next;
    return e ? e->what : NULL;
}

static void enter(nn_names *t, struct nn_names_entry *e) {
    struct nn_names_entry **bucket = &t->buckets[e->hash & (t->size - 1)];
    e->next = *bucket;
    *bucket = e;
}

static bool grow(nn_names *t, nn_arena *arena) {
    nn_names more = {.n = t->n, .size = t->size ? 2 * t->size : 16};
    more.buckets = nn_arena_array(arena, more.size, sizeof *more.buckets);
    if (!more.buckets) return false;
    for (size_t i = 0; i < t->size; i++)
        for (struct nn_names_entry *e = t->buckets[i], *next; e; e = next) {
            next = e->next;
            enter(&more, e);
        }
    *t = more;
    return true;
}

bool nn_names_add(nn_names *t, nn_arena *arena, const char *name, void *what) {
    if (t->n >= t->size && !grow(t, arena)) return false;
    struct nn_names_entry *e = nn_arena_alloc(arena, sizeof *e);
    if (!e) return false;
    *e = (struct nn_names_entry){.name = name, .what = what, .hash = hash(name)};
    enter(t, e);
    t->n++;
    return true;
}
