/* SPDX-License-Identifier: MIT */
/* bind.c - a list of arguments to a table of parameters: layers, optimisers, sections and calls
 * inside values all go through here, so that they report alike. */
#include "compile/check.h"

#include <string.h>

typedef struct table {
    const nn_param *params, *more;
    int n, n_more;
    bool open; /* any further argument is welcome */
} table;

static int count(const nn_param *p) {
    int n = 0;
    while (p && p[n].name) n++;
    return n;
}

static const nn_param *param_at(const table *t, int i) {
    return i < t->n ? &t->params[i] : &t->more[i - t->n];
}

static int find(const table *t, const char *name) {
    for (int i = 0; i < t->n + t->n_more; i++)
        if (strcmp(param_at(t, i)->name, name) == 0) return i;
    for (int i = 0; i < t->n + t->n_more; i++)
        if (nn_param_has_alias(param_at(t, i), name)) return i;
    return -1;
}

/* Reports a name that the table does not have; gives the parameter that it probably means, or -1.
 */
static int unknown(nn_check *c, const char *owner, const table *t, const nn_arg *a) {
    const char *names[NN_MAX_PARAMS + 1];
    int n = 0;
    for (int i = 0; i < t->n + t->n_more; i++) names[n++] = param_at(t, i)->name;
    names[n] = NULL;
    nn_diag *d = NN_ERROR(c, c->keys ? "unknown-key" : "unknown-parameter", a->name_span,
                          "%s has no %s '%s'", owner, c->keys ? "key" : "parameter", a->name);
    nn_check_suggest(c, d, a->name_span, a->name, names);
    const char *near = nn_nearest(a->name, names);
    return near ? find(t, near) : -1;
}

/* The parameter that the k-th positional argument means; -1 past the last. */
static int nth_positional(const table *t, int k) {
    for (int i = 0; i < t->n; i++)
        if (t->params[i].positional && k-- == 0) return i;
    return -1;
}

static int count_positional(const table *t) {
    int n = 0;
    while (nth_positional(t, n) >= 0) n++;
    return n;
}

/* The parameter that an argument is for; -1, reported unless the table is open, if there is none.
 * `given`: those that have been given; a misspelt name is not taken for one of them. */
static int place(nn_check *c, const char *owner, const table *t, const nn_arg *a, const bool *given,
                 int *positional) {
    if (a->name) {
        int i = find(t, a->name), near = i < 0 && !t->open ? unknown(c, owner, t, a) : -1;
        if (i < 0) return near >= 0 && !given[near] ? near : -1;
        if (strcmp(param_at(t, i)->name, a->name) != 0)
            nn_diag_add(c->diags, NN_SEV_NOTE, "alias", a->name_span, "'%s' is read as '%s'",
                        a->name, param_at(t, i)->name);
        return i;
    }
    int i = nth_positional(t, (*positional)++);
    if (i >= 0 || t->open) return i;
    int most = count_positional(t);
    nn_diag *d = NN_ERROR(c, "too-many-arguments", a->span, "%s takes %d argument%s without a name",
                          owner, most, most == 1 ? "" : "s");
    nn_diag_hint(c->diags, d, "name it: parameter=value");
    return -1;
}

static void duplicate(nn_check *c, const char *owner, const nn_param *p, const nn_arg *a,
                      nn_span first) {
    nn_diag *d = NN_ERROR(c, c->keys ? "duplicate-key" : "duplicate-parameter", a->span,
                          "'%s' of %s is given twice", p->name, owner);
    nn_diag_note(c->diags, d, first, "first given here");
}

static void missing(nn_check *c, const char *owner, bool layer, nn_span span, const nn_param *p) {
    nn_diag *d = NN_ERROR(c, "missing-parameter", span, "%s%s requires '%s' parameter", owner,
                          layer ? " layer" : "", p->name);
    nn_diag_hint(c->diags, d, "%s(%s=…): %s", owner, p->name, p->help);
}

/* Search points inside of a value have the parameter's name in their path. */
static bool value(nn_check *c, const char *owner, const nn_param *p, nn_value *v, nn_bound *to) {
    if (!nn_check_may_search(v)) return nn_check_value(c, owner, p, v, to);
    size_t mark = nn_check_push(c, p->name);
    bool ok = nn_check_value(c, owner, p, v, to);
    nn_check_pop(c, mark);
    return ok;
}

/* The first search expression in a list of arguments. */
static const nn_value *search_in_args(const nn_arg *args) {
    const nn_value *found = NULL;
    for (const nn_arg *a = args; a && !found; a = a->next) found = nn_check_search_in(a->value);
    return found;
}

const nn_value *nn_check_search_in(const nn_value *v) {
    if (v->kind == NN_V_HPO) return v;
    if (v->kind == NN_V_DICT) return search_in_args(v->args);
    if (v->kind == NN_V_CALL) return search_in_args(v->call->args);
    bool list = v->kind == NN_V_TUPLE || v->kind == NN_V_LIST;
    const nn_value *found = NULL;
    for (const nn_value *e = list ? v->items : NULL; e && !found; e = e->next)
        found = nn_check_search_in(e);
    return found;
}

bool nn_check_may_search(const nn_value *v) {
    return v->kind >= NN_V_CALL || (v->kind >= NN_V_TUPLE && nn_check_search_in(v));
}

/* An argument that only the author of a custom layer understands: it may be searched. */
static void keep(nn_check *c, const char *owner, const nn_arg *a, int position) {
    size_t mark = a->name ? nn_check_push(c, a->name) : nn_check_push_index(c, "args", position);
    const nn_value *inner = a->value->kind == NN_V_HPO ? NULL : nn_check_search_in(a->value);
    nn_check_resolve(c, owner, NULL, a->value);
    nn_check_pop(c, mark);
    if (!inner) return;
    nn_diag *d = NN_ERROR(c, "bad-hpo", inner->span,
                          "%s: what is in a list or dictionary cannot be searched", owner);
    nn_diag_hint(c->diags, d, "search an argument as a whole: HPO(choice([1, 2], [3, 4]))");
}

bool nn_check_bind(nn_check *c, const char *owner, nn_span span, const nn_param *params,
                   const nn_param *more, bool open, const nn_arg *args, nn_bound *out) {
    table t = {params, more, count(params), count(more), open};
    nn_span seen[NN_MAX_PARAMS];
    bool given[NN_MAX_PARAMS] = {false}, usable = true;
    int positional = 0;
    for (const nn_arg *a = args; a; a = a->next) {
        int i = place(c, owner, &t, a, given, &positional);
        if (i < 0) {
            if (open) keep(c, owner, a, positional - 1);
            continue;
        }
        if (given[i]) {
            duplicate(c, owner, param_at(&t, i), a, seen[i]);
            continue;
        }
        given[i] = true;
        seen[i] = a->span;
        if (!value(c, owner, param_at(&t, i), a->value, &out[i])) usable = false;
    }
    for (int i = 0; i < t.n + t.n_more; i++) {
        const nn_param *p = param_at(&t, i);
        if (!p->required || given[i]) continue;
        missing(c, owner, more != NULL, span, p);
        usable = false;
    }
    return usable;
}

bool nn_check_bind_all(nn_check *c, const char *owner, nn_span span, const nn_param *params,
                       const nn_arg *args, nn_bound *out) {
    for (int i = 0; params[i].name; i++) out[i] = nn_check_fallback(&params[i]);
    return nn_check_bind(c, owner, span, params, NULL, false, args, out);
}

const nn_bound *nn_check_defaults(nn_check *c, const nn_layer *l, int *ret_n) {
    unsigned kind = nn_check_kind(l);
    int n = nn_layer_n_params(l);
    *ret_n = n + NN_COMMON_COUNT;
    if (c->defaults[kind]) return c->defaults[kind];
    nn_bound *b = NN_NEW_N(c->scratch, nn_bound, (size_t)*ret_n);
    if (!b) nn_check_full(c);
    if (!b) return NULL;
    for (int i = 0; i < *ret_n; i++) b[i] = nn_check_fallback(nn_layer_param_at(l, i));
    return c->defaults[kind] = b;
}
