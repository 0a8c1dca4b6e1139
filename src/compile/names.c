/* SPDX-License-Identifier: MIT */
/* names.c - what names stand for: layers, inputs, branches; and the path of the value at hand. */
#include "compile/check.h"

#include <stdio.h>
#include <stdlib.h>
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
    *s = (struct nn_used_slot){.name = name, .span = span, .flow = NN_NO_FLOW};
    c->used.n++;
    return NULL;
}

void nn_used_bind(nn_check *c, const char *name, nn_flow flow) {
    nn_used_add(c, name, (nn_span){0});
    struct nn_used_slot *s = nn_used_find(&c->used, name);
    if (!s) return;
    s->flow = flow;
    s->bound = true;
}

void nn_check_number(nn_check *c, const char *base, int *k, char *buf, size_t cap) {
    for (*k = *k > 0 ? *k : 1;; ++*k) {
        snprintf(buf, cap, "%s_%d", base, *k);
        if (!nn_used_find(&c->used, buf)) return;
    }
}

unsigned nn_check_kind(const nn_layer *l) {
    unsigned kind = 0;
    while (nn_layer_at(kind) && nn_layer_at(kind) != l) kind++;
    return kind;
}

/* ---- declarations ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(const nn_custom *const *)a)->name, (*(const nn_custom *const *)b)->name);
}

static void sort_customs(nn_check *c) {
    size_t n = 0;
    for (const nn_custom *x = c->program->customs; x; x = x->next) n++;
    const nn_custom **all = n ? NN_NEW_N(c->scratch, const nn_custom *, n) : NULL;
    if (n && !all) nn_check_full(c);
    if (!all) return;
    for (const nn_custom *x = c->program->customs; x; x = x->next) all[c->n_customs++] = x;
    qsort(all, n, sizeof all[0], by_name);
    c->customs = all;
}

const nn_custom *nn_check_custom(nn_check *c, const char *name) {
    const nn_custom key = {.name = name}, *k = &key;
    if (!c->customs) sort_customs(c);
    const nn_custom **at =
        c->customs ? bsearch(&k, c->customs, c->n_customs, sizeof k, by_name) : NULL;
    return at ? *at : NULL;
}

/* ---- names that the program gives ---- */

bool nn_check_is_name(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    size_t n = strlen(s);
    return n > 0 && n <= 64 && strspn(s, letters) == n && !(s[0] >= '0' && s[0] <= '9');
}

/* A branch may have the name of a layer in it, or above it, not of one below. */
static void enter_layer(nn_check *c, const char *name, nn_span at, const char *what) {
    const struct nn_used_slot *had = nn_used_add(c, name, at);
    if (!had) return;
    if (!had->span.line) {
        nn_diag_hint(c->diags,
                     NN_ERROR(c, "duplicate-name", at, "a branch above is named '%s', too", name),
                     "give the layer another name");
        return;
    }
    nn_diag *d = NN_ERROR(c, "duplicate-name", at, "two %s are named '%s'", what, name);
    nn_diag_note(c->diags, d, had->span, "the first one is here");
}

static void enter_name(nn_check *c, const nn_value *v, bool many) {
    const char *name = nn_check_word(v);
    if (!name) return;
    if (!nn_check_is_name(name))
        NN_ERROR(c, "out-of-range", v->span,
                 "a layer's name is a letter or '_', then letters, digits or '_', at most 64, got "
                 "'%.40s'",
                 name);
    else if (!many)
        enter_layer(c, name, v->span, "layers");
}

static void enter_items(nn_check *c, const nn_item *items, bool repeated) {
    for (const nn_item *it = items; it; it = it->next) {
        const nn_call *call = it->kind == NN_ITEM_CALL ? it->call : NULL;
        bool many = repeated || it->repeat || it->origin;
        enter_items(c, call ? call->block : it->items, many);
        if (it->kind == NN_ITEM_BRANCH) nn_used_add(c, it->name, (nn_span){0});
        for (const nn_arg *a = call ? call->args : NULL; a; a = a->next)
            if (a->name && strcmp(a->name, "name") == 0) enter_name(c, a->value, many);
    }
}

void nn_check_names(nn_check *c) {
    for (const nn_section *s = c->network->sections; s; s = s->next)
        for (const nn_arg *a = strcmp(s->word, "input") == 0 ? s->config : NULL; a; a = a->next)
            enter_layer(c, a->name, a->name_span, "inputs");
    enter_items(c, c->network->items, false);
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
