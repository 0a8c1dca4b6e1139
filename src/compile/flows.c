/* SPDX-License-Identifier: MIT */
/* flows.c - which values a layer or a branch takes, out of those that are open (see items.c).
 *
 * The line at hand is the last flow that is open, if no branch or input left it. A branch that has
 * no flow of its name to go on from forks from it: it is the stem then, until a layer takes what is
 * open. */
#include "compile/check.h"

#include <stdio.h>
#include <string.h>

/* No layer takes more than NN_MAX_INPUTS; looking through many takes time. */
enum { MOST_OPEN = 1000 };

void nn_flow_open(nn_check *c, nn_flow f) {
    nn_scope *s = c->scope;
    if (s->n == MOST_OPEN && !c->full) {
        NN_ERROR(c, "limit", c->network->name_span.line ? c->network->name_span : c->network->span,
                 "more than %d branches are open at once", MOST_OPEN);
        c->full = true;
    }
    if (c->full) return;
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 4;
        nn_flow *open = nn_check_alloc(c, (size_t)cap * sizeof *open);
        if (!open) return;
        if (s->n) memcpy(open, s->open, (size_t)s->n * sizeof *open);
        s->open = open;
        s->cap = cap;
    }
    s->open[s->n++] = f;
}

static void take_all(nn_scope *s) {
    s->n = 0;
    s->forked = false;
}

void nn_flow_open_lost(nn_check *c) {
    take_all(c->scope);
    nn_flow_open(c, NN_NO_FLOW);
}

void nn_flow_lose(nn_check *c) {
    for (int i = 0; i < c->scope->n; i++) c->scope->open[i].node = -1;
    c->scope->stem.node = -1;
}

static void close_flow(nn_scope *s, int i) {
    memmove(&s->open[i], &s->open[i + 1], (size_t)(--s->n - i) * sizeof s->open[0]);
}

const char *nn_flow_name(const nn_check *c, const nn_flow *f) {
    return f->name ? f->name : f->row >= 0 ? c->unit->layers[f->row].name : "?";
}

/* "image, text": the flows that are open. */
static const char *open_names(const nn_check *c, char *buf, size_t cap) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < c->scope->n && at < cap; i++)
        at += (size_t)snprintf(buf + at, cap - at, "%s%s", i ? ", " : "",
                               nn_flow_name(c, &c->scope->open[i]));
    return buf;
}

/* ---- inputs=[…] ---- */

static void suggest_names(nn_check *c, nn_diag *d, nn_span at, const char *name) {
    enum { MOST = 64 };
    const char *names[MOST + 1];
    int n = 0;
    for (size_t i = 0; i < c->used.cap && n < MOST; i++)
        if (c->used.slot[i].name && c->used.slot[i].bound) names[n++] = c->used.slot[i].name;
    names[n] = NULL;
    nn_check_suggest(c, d, at, name, names);
}

static void unknown_name(nn_check *c, nn_span at, const char *name,
                         const struct nn_used_slot *had) {
    if (had && had->next)
        nn_diag_hint(c->diags,
                     NN_ERROR(c, "unknown-name", at, "several layers are named '%s'", name),
                     "they are told apart by numbers: '%s_1' is the first", name);
    else if (had)
        nn_diag_hint(c->diags,
                     NN_ERROR(c, "unknown-name", at, "layer '%s' stands after this one", name),
                     "values flow downwards: take them from layers above");
    else
        suggest_names(
            c, NN_ERROR(c, "unknown-name", at, "no input, branch or layer is named '%s'", name), at,
            name);
}

/* The value that a name stands for: of what is open first. NULL, reported, if there is none. */
static const nn_flow *named_flow(nn_check *c, nn_span at, const char *name) {
    const struct nn_used_slot *s = nn_used_find(&c->used, name);
    for (int i = 0; s && i < c->scope->n; i++) {
        const nn_flow *f = &c->scope->open[i];
        if (f->name && strcmp(f->name, name) == 0) return f;
    }
    if (s && s->bound) return &s->flow;
    unknown_name(c, at, name, s);
    return NULL;
}

/* Empty branches hold the same row under several names. */
static bool same_flow(const nn_flow *a, const nn_flow *b) {
    return a->row == b->row && (!a->name || !b->name || strcmp(a->name, b->name) == 0);
}

/* Where the i-th name is written; `all`: the argument. */
static nn_span name_span(const nn_call *call, int i, nn_span all) {
    for (const nn_arg *a = call->args; a; a = a->next) {
        if (!a->name || strcmp(a->name, "inputs") != 0) continue;
        const nn_value *v = a->value->items;
        while (v && i-- > 0) v = v->next;
        return v ? v->span : a->value->span;
    }
    return all;
}

/* These, and the line at hand ends; they and it are taken from what is open. */
static int take_named(nn_check *c, const nn_call *call, const nn_bound *b, nn_flow *in) {
    nn_scope *s = c->scope;
    int n = 0;
    for (int i = 0; i < b->n_names && i < NN_MAX_INPUTS; i++) {
        const nn_flow *f = named_flow(c, name_span(call, i, b->span), b->names[i]);
        if (f) in[n++] = *f;
    }
    if (s->n && !s->open[s->n - 1].name) s->n--;
    s->forked = false;
    for (int i = 0; i < n; i++)
        for (int j = s->n - 1; j >= 0; j--)
            if (same_flow(&s->open[j], &in[i])) close_flow(s, j);
    return n == b->n_names ? n : -1;
}

/* ---- a layer ---- */

static void wrong_count(nn_check *c, const nn_layer *l, const nn_call *call, int least, int most) {
    char names[256];
    int n = c->scope->n;
    if (n > most) {
        nn_diag *d =
            NN_ERROR(c, "bad-branch", call->name_span, "%s takes %d input%s, but %d are open: %s",
                     l->name, most, most == 1 ? "" : "s", n, open_names(c, names, sizeof names));
        nn_diag_hint(c->diags, d,
                     "merge them first, with Concatenate() or Add(), or choose with inputs=[…]");
    } else if (n > 0) {
        nn_diag *d =
            NN_ERROR(c, "bad-branch", call->name_span, "%s takes %s%d inputs, but %d is open",
                     l->name, least == most ? "" : "at least ", least, n);
        nn_diag_hint(c->diags, d,
                     "open branches before it (left: { … } right: { … }) or name layers: "
                     "inputs=[a, b]");
    } /* else there is no input: said elsewhere */
}

int nn_flow_take(nn_check *c, const nn_layer *l, const nn_call *call, const nn_bound *args,
                 nn_flow *in) {
    nn_scope *s = c->scope;
    int least = l->max_inputs ? l->min_inputs : 1, most = l->max_inputs ? l->max_inputs : 1;
    const nn_bound *named = &args[nn_layer_n_params(l) + NN_COMMON_INPUTS];
    int n = s->n;
    if (named->given) {
        n = take_named(c, call, named, in);
        if (n < 0 || (n >= least && n <= most)) return n;
        char range[32];
        if (least == most)
            snprintf(range, sizeof range, "%d", most);
        else
            snprintf(range, sizeof range, "%d to %d", least, most);
        NN_ERROR(c, "bad-branch", named->span, "%s takes %s input%s, got %d", l->name, range,
                 most == 1 ? "" : "s", n);
        return -1;
    }
    bool fits = n >= least && n <= most;
    if (fits) memcpy(in, s->open, (size_t)n * sizeof *in);
    if (!fits) wrong_count(c, l, call, least, most);
    take_all(s);
    return fits ? n : -1;
}

/* ---- a branch ---- */

/* Whether the last flow that is open is the line at hand. One that is alone always is. */
static bool has_line(const nn_check *c) {
    const nn_scope *s = c->scope;
    const nn_flow *last = s->n ? &s->open[s->n - 1] : NULL;
    if (!last || s->n == 1 || last->name) return s->n == 1;
    return last->row < 0 || c->unit->layers[last->row].layer->role != NN_ROLE_INPUT;
}

bool nn_flow_branch(nn_check *c, const nn_item *it, nn_flow *ret) {
    nn_scope *s = c->scope;
    for (int i = 0; i < s->n; i++)
        if (s->open[i].name && strcmp(s->open[i].name, it->name) == 0) {
            *ret = s->open[i];
            close_flow(s, i);
            return true;
        }
    if (!s->forked && has_line(c)) {
        s->stem = s->open[--s->n];
        s->forked = true;
    }
    if (s->forked) *ret = s->stem;
    if (s->forked || s->n == 0) return s->forked; /* no input: said elsewhere */
    char names[256];
    nn_diag *d =
        NN_ERROR(c, "bad-branch", it->span, "branch '%s' has no input of that name", it->name);
    nn_diag_hint(c->diags, d, "open are: %s", open_names(c, names, sizeof names));
    return false;
}
