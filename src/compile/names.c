/* SPDX-License-Identifier: MIT */
/* names.c - what names stand for: layers, inputs, branches; and the path of the value at hand. */
#include "compile/check.h"

#include <string.h>

/* ---- names ---- */

static size_t slot_of(const nn_used *u, const char *name) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *s = name; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    size_t i = (size_t)(h ^ h >> 32) & (u->cap - 1);
    while (u->slot[i].name && strcmp(u->slot[i].name, name) != 0) i = (i + 1) & (u->cap - 1);
    return i;
}

struct nn_used_slot *nn_used_find(const nn_used *u, const char *name) {
    if (!u->cap) return NULL;
    struct nn_used_slot *s = &u->slot[slot_of(u, name)];
    return s->name ? s : NULL;
}

static bool grow(nn_check *c) {
    nn_used *u = &c->used, old = *u;
    if (2 * (u->n + 1) <= u->cap) return true;
    size_t cap = old.cap ? 2 * old.cap : 32;
    struct nn_used_slot *slot = NN_NEW_N(c->scratch, struct nn_used_slot, cap);
    if (!slot) nn_check_full(c);
    if (!slot) return false;
    *u = (nn_used){slot, old.n, cap};
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].name) u->slot[slot_of(u, old.slot[i].name)] = old.slot[i];
    return true;
}

struct nn_used_slot *nn_used_add(nn_check *c, const char *name, nn_span span) {
    if (!grow(c)) return NULL;
    struct nn_used_slot *s = &c->used.slot[slot_of(&c->used, name)];
    if (s->name) return s;
    *s = (struct nn_used_slot){name, span, NN_NO_FLOW};
    c->used.n++;
    return NULL;
}

void nn_used_bind(nn_check *c, const char *name, nn_flow flow) {
    nn_used_add(c, name, (nn_span){0});
    struct nn_used_slot *s = nn_used_find(&c->used, name);
    if (s) s->flow = flow;
}

/* ---- the path ---- */

size_t nn_check_push(nn_check *c, const char *part) {
    size_t mark = c->path.n;
    nn_buf_printf(&c->path, "%s%s", mark && *part != '[' ? "." : "", part);
    return mark;
}

size_t nn_check_push_index(nn_check *c, const char *list, int i) {
    size_t mark = c->path.n;
    nn_buf_printf(&c->path, "%s%s[%d]", mark && *list ? "." : "", list, i);
    return mark;
}

void nn_check_pop(nn_check *c, size_t mark) {
    c->path.n = mark;
    if (c->path.p) c->path.p[mark] = 0;
}
