/* SPDX-License-Identifier: MIT */
#include "compile/check.h"

#include <string.h>

static size_t slot_of(const nn_used *u, const char *name) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *s = name; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    size_t i = (size_t)(h ^ h >> 32) & (u->cap - 1);
    while (u->slot[i].name && strcmp(u->slot[i].name, name) != 0) i = (i + 1) & (u->cap - 1);
    return i;
}

bool nn_used_has(const nn_used *u, const char *name) {
    return u->cap && u->slot[slot_of(u, name)].name;
}

static bool grow(nn_check *c) {
    nn_used *u = &c->used, old = *u;
    if (2 * (u->n + 1) <= u->cap) return true;
    size_t cap = old.cap ? 2 * old.cap : 32;
    struct nn_used_slot *slot = nn_check_alloc(c, cap * sizeof *slot);
    if (!slot) return false;
    *u = (nn_used){slot, old.n, cap};
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].name) u->slot[slot_of(u, old.slot[i].name)] = old.slot[i];
    return true;
}

const struct nn_used_slot *nn_used_add(nn_check *c, const char *name, nn_span span) {
    if (!grow(c)) return NULL;
    struct nn_used_slot *s = &c->used.slot[slot_of(&c->used, name)];
    if (s->name) return s;
    *s = (struct nn_used_slot){name, span};
    c->used.n++;
    return NULL;
}
