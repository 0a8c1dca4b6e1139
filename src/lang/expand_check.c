/* SPDX-License-Identifier: MIT */
/* expand_check.c - macros by name; what is wrong with them and with their calls; how much they
 * bring.
 *
 * Everything is looked at in its own text, once, never in a copy, so that each mistake is one
 * diagnostic however often a macro is used. A macro is measured once; what it brings is a sum over
 * its text, so that a program whose macros would expand to 2^40 layers costs no more than to read
 * it. */
#include "lang/expand.h"

#include <stdio.h>
#include <string.h>

#define REPORT(x, code, span, ...)                                                                 \
    nn_diag_add((x)->diags, NN_SEV_ERROR, (code), (span), __VA_ARGS__)

/* ---- names ---- */

nn_macro *nn_x_find(const nn_expander *x, const nn_network *net, const char *name) {
    nn_macro *m = net ? nn_names_find(&x->local, name) : NULL;
    if (!m) m = nn_names_find(&x->file, name);
    return m && m->define ? m : NULL;
}

static void enter(nn_expander *x, nn_names *t, const char *name, nn_macro of) {
    nn_macro *m = NN_X_NEW(x, nn_macro);
    if (!m) return;
    *m = of;
    if (!nn_names_add(t, x->arena, name, m)) nn_x_full(x);
}

static void taken(nn_expander *x, const nn_define *d, const nn_macro *by) {
    bool macro = by->define;
    nn_diag *g = REPORT(x, "duplicate-name", d->name_span, "macro '%s' %s", d->name,
                        macro ? "is defined twice" : "has the name of a custom layer");
    nn_diag_note(x->diags, g, macro ? by->define->name_span : by->custom->name_span, "%s here",
                 macro ? "first defined" : "declared");
}

static void enter_define(nn_expander *x, nn_names *t, const nn_define *d, const nn_network *net) {
    const nn_macro *other = nn_names_find(t, d->name),
                   *outer = net ? nn_names_find(&x->file, d->name) : NULL;
    if (!other && outer && outer->custom) other = outer;
    if (other)
        taken(x, d, other);
    else if (x->is_layer && x->is_layer(d->name)) {
        nn_diag *g = REPORT(x, "duplicate-name", d->name_span,
                            "a macro cannot be named '%s': that is a layer", d->name);
        nn_diag_hint(x->diags, g, "name it %sBlock, for example", d->name);
    } else
        enter(x, t, d->name, (nn_macro){.define = d, .net = net});
}

static void enter_all(nn_expander *x, nn_names *t, nn_network *net) {
    const nn_define *list = net ? net->defines : x->program->defines;
    const nn_custom *customs = net ? NULL : x->program->customs;
    for (const nn_custom *c = customs; c; c = c->next)
        if (*c->name && !nn_names_find(t, c->name)) enter(x, t, c->name, (nn_macro){.custom = c});
    for (const nn_define *d = list; d; d = d->next)
        if (*d->name) enter_define(x, t, d, net);
}

/* ---- binding ---- */

int nn_x_param(const nn_arg *params, const char *name) {
    int i = 0;
    for (; params; params = params->next, i++)
        if (!strcmp(params->name, name)) return i;
    return -1;
}

static int count_params(const nn_arg *params) {
    int n = 0;
    for (; params; params = params->next) n++;
    return n;
}

/* The parameter that an argument is for: -1 unknown name, -2 one too many. *at counts those without
 * a name. */
static int slot_of(const nn_arg *params, int n, const nn_arg *a, int *at) {
    if (a->name) return nn_x_param(params, a->name);
    return *at < n ? (*at)++ : -2;
}

void nn_x_bind(const nn_macro *m, const nn_call *call, const nn_arg *given[NN_MAX_MACRO_PARAMS]) {
    const nn_arg *params = m->define->params;
    int n = count_params(params), at = 0;
    memset(given, 0, NN_MAX_MACRO_PARAMS * sizeof *given);
    for (const nn_arg *a = call->args; a; a = a->next) {
        int i = slot_of(params, n, a, &at);
        if (i >= 0 && !given[i]) given[i] = a;
    }
}

static void defined_here(nn_expander *x, nn_diag *g, const nn_define *d) {
    nn_diag_note(x->diags, g, d->name_span, "macro '%s' is defined here", d->name);
}

static void unknown_argument(nn_expander *x, const nn_define *d, const nn_arg *a) {
    const char *names[NN_MAX_MACRO_PARAMS + 1] = {0};
    int n = 0;
    for (const nn_arg *p = d->params; p; p = p->next) names[n++] = p->name;
    nn_diag *g = REPORT(x, "unknown-parameter", a->name_span, "macro '%s' has no parameter '%s'",
                        d->name, a->name);
    const char *near = nn_nearest(a->name, names);
    if (near) {
        nn_diag_hint(x->diags, g, "did you mean '%s'?", near);
        nn_diag_fix(x->diags, g, a->name_span, near, "correct the name");
    }
    defined_here(x, g, d);
}

static void given_twice(nn_expander *x, const nn_define *d, int i, const nn_arg *a,
                        const nn_arg *first) {
    const nn_arg *p = d->params;
    while (i-- > 0) p = p->next;
    nn_diag *g = REPORT(x, "duplicate-parameter", a->span, "'%s' is given twice", p->name);
    nn_diag_note(x->diags, g, first->span, "first given here");
}

static void one_too_many(nn_expander *x, const nn_define *d, int n, const nn_arg *a) {
    nn_diag *g = REPORT(x, "too-many-arguments", a->span, "macro '%s' takes %d argument%s", d->name,
                        n, n == 1 ? "" : "s");
    defined_here(x, g, d);
}

static void missing(nn_expander *x, const nn_define *d, const nn_arg *p, nn_span call) {
    nn_diag *g = REPORT(x, "missing-parameter", call, "macro '%s' needs '%s'", d->name, p->name);
    nn_diag_hint(x->diags, g, "write %s(%s=…), or give the parameter a default", d->name, p->name);
    defined_here(x, g, d);
}

static void check_arguments(nn_expander *x, const nn_macro *m, const nn_call *call) {
    const nn_define *d = m->define;
    const nn_arg *given[NN_MAX_MACRO_PARAMS];
    int n = count_params(d->params), at = 0;
    bool surplus = false;
    nn_x_bind(m, call, given);
    for (const nn_arg *a = call->args; a; a = a->next) {
        int i = slot_of(d->params, n, a, &at);
        if (i == -1)
            unknown_argument(x, d, a);
        else if (i == -2 && !surplus)
            one_too_many(x, d, n, a);
        else if (i >= 0 && given[i] != a)
            given_twice(x, d, i, a, given[i]);
        surplus = surplus || i == -2;
    }
    int i = 0;
    for (const nn_arg *p = d->params; p; p = p->next, i++)
        if (!given[i] && !p->value) missing(x, d, p, call->name_span);
}

/* ---- calls and names in a text ---- */

typedef struct text { /* a text whose calls are looked at */
    nn_expander *x;
    const nn_network *net;   /* NULL: the file's */
    const nn_define *define; /* whose body it is; NULL: none */
    int n_params;            /* so many of its parameters may be named */
    bool section;            /* no macro can stand here */
    int base;                /* how deep it stands in the macros that call it */
} text;

/* The macro that a word among the candidates of a choice between layers is. */
static nn_macro *macro_word(const text *t, const nn_value *v) {
    if (v->kind != NN_V_NAME || v->is_param) return NULL;
    if (t->define && nn_x_param(t->define->params, v->text) >= 0) return NULL;
    return nn_x_find(t->x, t->net, v->text);
}

static void check_items(const text *t, nn_item *it);
static void check_values(const text *t, nn_value *v);

static void check_args(const text *t, nn_arg *a) {
    for (; a; a = a->next) check_values(t, a->value);
}

static void check_order(const text *t, const nn_macro *m, nn_span use) {
    if (!m->net || m->broken || !use.line || use.begin >= m->define->span.begin) return;
    const char *name = m->define->name;
    nn_diag *g = REPORT(t->x, "macro-order", use, "macro '%s' is used above its definition", name);
    nn_diag_note(t->x->diags, g, m->define->name_span, "it is defined here");
    nn_diag_hint(t->x->diags, g,
                 "inside of a network a macro stands before its use: move 'define %s' up, or out "
                 "of the network",
                 name);
}

static void check_parts(const text *t, nn_call *call) {
    check_args(t, call->args);
    if (call->device) check_values(t, call->device);
    check_items(t, call->block);
}

/* A call in a list of layers. */
static void check_call(const text *t, nn_call *call) {
    const nn_macro *m = nn_x_find(t->x, t->net, call->name);
    if (m) {
        check_order(t, m, call->name_span);
        check_arguments(t->x, m, call);
    }
    check_parts(t, call);
}

static bool names_parameter(const text *t, const char *name) {
    int i = t->define ? nn_x_param(t->define->params, name) : -1;
    return i >= 0 && i < t->n_params;
}

static void check_parameter(const text *t, nn_value *v) {
    if (!v->is_param || names_parameter(t, v->text)) return;
    nn_diag *g = t->define ? REPORT(t->x, "unknown-name", v->span,
                                    "macro '%s' has no parameter '$%s'", t->define->name, v->text)
                           : REPORT(t->x, "unknown-name", v->span,
                                    "'$%s' stands outside of a macro", v->text);
    if (t->define)
        nn_diag_hint(t->x->diags, g,
                     "declare it: define %s(%s) { … }; a default may name those "
                     "before it",
                     t->define->name, v->text);
    else
        nn_diag_hint(t->x->diags, g, "only the parameters of a define are written with $");
    v->kind = NN_V_ERROR;
}

static void check_call_value(const text *t, nn_value *v) {
    const char *name = v->call->name;
    if (t->section || !nn_x_find(t->x, t->net, name)) {
        check_parts(t, v->call);
        return;
    }
    nn_diag *g = REPORT(t->x, "not-supported", v->span,
                        "macro '%s' cannot be an argument: it stands for a list of layers", name);
    nn_diag_hint(t->x->diags, g, "put it into the block of the layer: { %s(…) }", name);
    v->kind = NN_V_ERROR;
}

static void check_value(const text *t, nn_value *v) {
    switch (v->kind) {
    case NN_V_NAME:
        check_parameter(t, v);
        break;
    case NN_V_TUPLE:
    case NN_V_LIST:
        check_values(t, v->items);
        break;
    case NN_V_DICT:
        check_args(t, v->args);
        break;
    case NN_V_HPO:
        check_values(t, v->hpo->values);
        check_values(t, v->hpo->low);
        check_values(t, v->hpo->high);
        check_values(t, v->hpo->step);
        break;
    case NN_V_CALL:
        check_call_value(t, v);
        break;
    case NN_V_ITEM:
        check_items(t, v->item);
        break;
    default:
        break;
    }
    check_values(t, v->repeat);
}

static void check_values(const text *t, nn_value *v) {
    for (; v; v = v->next) check_value(t, v);
}

/* A choice between layers, where macros may stand. */
static void check_choice(const text *t, nn_value *hpo) {
    if (hpo->kind != NN_V_HPO) return;
    for (nn_value *v = hpo->hpo->values; v; v = v->next) {
        const nn_macro *m = macro_word(t, v);
        if (m) {
            check_order(t, m, v->span);
            check_arguments(t->x, m, &(nn_call){.name = v->text, .name_span = v->span});
        } else if (v->kind == NN_V_CALL)
            check_call(t, v->call);
        else if (v->kind == NN_V_HPO)
            check_choice(t, v);
        else {
            check_value(t, v);
            continue;
        }
        check_values(t, v->repeat);
    }
    check_values(t, hpo->hpo->low);
    check_values(t, hpo->hpo->high);
    check_values(t, hpo->hpo->step);
}

static void check_items(const text *t, nn_item *it) {
    for (; it; it = it->next) {
        if (it->kind == NN_ITEM_CALL)
            check_call(t, it->call);
        else if (it->kind == NN_ITEM_HPO)
            check_choice(t, it->hpo);
        else
            check_items(t, it->items);
        check_values(t, it->repeat);
    }
}

void nn_x_check_network(nn_expander *x, nn_network *net) {
    text t = {.x = x, .net = net};
    check_items(&t, net->items);
    t.section = true;
    for (nn_section *s = net->sections; s; s = s->next) {
        check_values(&t, s->value);
        check_args(&t, s->config);
    }
}

static void check_define(nn_expander *x, const nn_network *net, const nn_define *d) {
    text t = {.x = x, .net = net, .define = d};
    int i = 0;
    for (const nn_arg *p = d->params; p; p = p->next, i++) {
        t.n_params = i;
        if (nn_x_param(d->params, p->name) != i)
            REPORT(x, "duplicate-parameter", p->name_span, "macro '%s' has two parameters '%s'",
                   d->name, p->name);
        check_values(&t, p->value);
    }
    t.n_params = i;
    check_items(&t, d->items);
    if (!d->items && !x->diags->errors)
        REPORT(x, "missing-layers", d->name_span, "macro '%s' has no layers", d->name);
}

/* ---- measuring ---- */

static const int64_t ceiling = INT64_C(1) << 60;

static int64_t sum(int64_t a, int64_t b) {
    return a > ceiling - b ? ceiling : a + b; /* both at most the ceiling */
}

static void deepen(nn_amount *a, int depth) {
    if (depth > a->depth) a->depth = depth;
}

static void measure(nn_expander *x, nn_macro *m, nn_span use, int base);
static void add_items(const text *t, const nn_item *it, int depth, nn_amount *a);
static void add_values(const text *t, const nn_value *v, int depth, nn_amount *a);

static void add_args(const text *t, const nn_arg *arg, int depth, nn_amount *a) {
    for (; arg; arg = arg->next) {
        a->own_weight++;
        add_values(t, arg->value, depth, a);
    }
}

static void add_macro(const text *t, nn_macro *m, nn_span use, int depth, nn_amount *a) {
    measure(t->x, m, use, t->base + depth + 1);
    a->calls++;
    if (m->broken || m->state != NN_MACRO_DONE) return;
    const nn_amount *b = &m->amount;
    a->brought = sum(a->brought, sum(b->own, b->brought));
    a->brought_weight = sum(a->brought_weight, sum(b->own_weight, b->brought_weight));
    deepen(a, depth + 1 + b->depth);
}

/* A call that stands at this depth. `item`: it may be one of a macro. */
static void add_call(const text *t, const nn_call *call, bool item, int depth, nn_amount *a) {
    nn_macro *m = item ? nn_x_find(t->x, t->net, call->name) : NULL;
    a->own_weight++;
    if (m) add_macro(t, m, call->span, depth, a);
    add_args(t, call->args, depth + 1, a);
    if (call->device) add_values(t, call->device, depth + 1, a);
    add_items(t, call->block, depth + 1, a);
}

static void add_choice(const text *t, const nn_value *hpo, bool item, int depth, nn_amount *a);

/* `item`: a candidate of a choice between layers. */
static void add_value(const text *t, const nn_value *v, bool item, int depth, nn_amount *a) {
    a->own_weight++;
    deepen(a, depth);
    if (v->kind == NN_V_CALL)
        add_call(t, v->call, item, depth, a);
    else if (v->kind == NN_V_ITEM)
        add_items(t, v->item, depth, a);
    else if (v->kind == NN_V_TUPLE || v->kind == NN_V_LIST)
        add_values(t, v->items, depth + 1, a);
    else if (v->kind == NN_V_DICT)
        add_args(t, v->args, depth + 1, a);
    else if (v->kind == NN_V_HPO)
        add_choice(t, v, item, depth, a);
    else if (item && macro_word(t, v))
        add_macro(t, macro_word(t, v), v->span, depth, a);
    add_values(t, v->repeat, depth, a);
}

static void add_values(const text *t, const nn_value *v, int depth, nn_amount *a) {
    for (; v; v = v->next) add_value(t, v, false, depth, a);
}

static void add_choice(const text *t, const nn_value *hpo, bool item, int depth, nn_amount *a) {
    for (const nn_value *v = hpo->hpo->values; v; v = v->next) add_value(t, v, item, depth + 1, a);
    add_values(t, hpo->hpo->low, depth + 1, a);
    add_values(t, hpo->hpo->high, depth + 1, a);
    add_values(t, hpo->hpo->step, depth + 1, a);
}

static void add_items(const text *t, const nn_item *it, int depth, nn_amount *a) {
    for (; it; it = it->next) {
        a->own++;
        a->own_weight++;
        deepen(a, depth);
        if (it->kind == NN_ITEM_CALL)
            add_call(t, it->call, true, depth, a);
        else if (it->kind == NN_ITEM_HPO)
            add_value(t, it->hpo, true, depth, a);
        else
            add_items(t, it->items, depth + 1, a);
        add_values(t, it->repeat, depth, a);
    }
}

/* m is on the path, and called again by its last. */
static void report_cycle(nn_expander *x, const nn_macro *m, nn_span use) {
    enum { SHOWN = 8 };
    char chain[SHOWN * 48 + 64];
    int first = 0, n = 0;
    while (x->path[first] != m) first++;
    bool known = m->broken;
    size_t at = 0;
    for (int i = first; i < x->n_path; i++, n++) {
        x->path[i]->broken = true;
        if (n < SHOWN)
            at += (size_t)snprintf(chain + at, sizeof chain - at, "%.40s -> ",
                                   x->path[i]->define->name);
    }
    if (known) return;
    nn_diag *g =
        REPORT(x, "recursive-macro", m->define->name_span, "macro '%s' contains itself: %s%s%.40s",
               m->define->name, chain, n > SHOWN ? "… -> " : "", m->define->name);
    nn_diag_note(x->diags, g, use, "'%s' is called again here", m->define->name);
    nn_diag_hint(x->diags, g,
                 "a macro is copied where it is called: it cannot call itself; "
                 "repeat layers with (…) * n");
}

static void report_depth(nn_expander *x, nn_macro *m) {
    m->broken = true;
    if (x->too_deep) return;
    x->too_deep = true;
    nn_diag *g = REPORT(x, "too-deep", m->define->name_span,
                        "macro '%s' nests more than %d deep, macros expanded", m->define->name,
                        NN_PARSE_MAX_DEPTH);
    nn_diag_hint(x->diags, g, "call fewer macros inside of each other");
}

/* base: the depth at which its body stands, along the path. */
static void measure(nn_expander *x, nn_macro *m, nn_span use, int base) {
    if (m->state == NN_MACRO_OPEN) report_cycle(x, m, use);
    if (m->state != NN_MACRO_NEW) return;
    if (base > NN_PARSE_MAX_DEPTH) {
        report_depth(x, x->path[0]);
        for (int i = 0; i < x->n_path; i++) x->path[i]->broken = true;
        return;
    }
    m->state = NN_MACRO_OPEN;
    x->path[x->n_path++] = m;
    text t = {.x = x, .net = m->net, .define = m->define, .base = base};
    add_items(&t, m->define->items, 0, &m->amount);
    for (const nn_arg *p = m->define->params; p; p = p->next)
        add_values(&t, p->value, 0, &m->amount);
    x->n_path--;
    m->state = NN_MACRO_DONE;
    if (m->amount.depth > NN_PARSE_MAX_DEPTH) report_depth(x, m);
}

nn_amount nn_x_measure(nn_expander *x, const nn_network *net) {
    nn_amount a = {0};
    add_items(&(text){.x = x, .net = net}, net->items, 0, &a);
    return a;
}

/* ---- a scope ---- */

void nn_x_define(nn_expander *x, nn_network *net) {
    nn_names *t = net ? &x->local : &x->file;
    enter_all(x, t, net);
    const nn_define *list = net ? net->defines : x->program->defines;
    for (const nn_define *d = list; d; d = d->next) {
        nn_macro *m = nn_names_find(t, d->name);
        if (m && m->define == d) measure(x, m, d->name_span, 0);
    }
    for (const nn_define *d = list; d; d = d->next) check_define(x, net, d);
}
