/* SPDX-License-Identifier: MIT */
/* expand.c - the bodies of macros, copied to where they are called.
 *
 * A body is copied with the arguments of its call in place of parameters; calls of macros in it are
 * expanded as they are copied. Arguments in which nothing changes are shared with the definition,
 * except search spaces: each copy has points of its own. An argument that is a search space stays
 * one point (one nn_hpo), however often its parameter is used. */
#include "lang/expand.h"

#include <stdio.h>
#include <string.h>

enum { WEIGHT_PER_ITEM = 32 }; /* a network may weigh so much for each item that it may have */

typedef struct frame { /* the text that is being copied */
    nn_expander *x;
    const nn_network *net;   /* whose macros it may call; NULL: those of the file only */
    const nn_macro *macro;   /* whose body it is; NULL: the network's own text */
    const nn_origin *origin; /* of what is copied */
    const nn_value *device;  /* of the call; NULL: none */
    int n_params;            /* so many parameters are bound; a default sees those before it */
    nn_value *value[NN_MAX_MACRO_PARAMS]; /* NULL: nothing was given, which was reported */
} frame;

void nn_x_full(nn_expander *x) {
    if (x->full) return;
    x->full = true;
    nn_diag_add(x->diags, NN_SEV_ERROR, "too-large", (nn_span){0},
                "the program, its macros expanded, passes the memory limit of a compilation");
}

void *nn_x_alloc(nn_expander *x, size_t n) {
    void *p = x->full ? NULL : nn_arena_alloc(x->arena, n);
    if (!p) nn_x_full(x);
    return p;
}

/* ---- what changes when it is copied ---- */

/* Index of the parameter that a word stands for, -1: none. */
static int param_of(const frame *f, const nn_value *v) {
    if (!f->macro || v->kind != NN_V_NAME) return -1;
    int i = nn_x_param(f->macro->define->params, v->text);
    return i < f->n_params ? i : -1;
}

static bool varies(const frame *f, const nn_value *v);

static bool args_vary(const frame *f, const nn_arg *a) {
    for (; a; a = a->next)
        if (varies(f, a->value)) return true;
    return false;
}

/* Whether any value of the list has to be copied with its parts. A quoted call may hold a search
 * space, too. */
static bool varies(const frame *f, const nn_value *v) {
    for (; v; v = v->next) {
        bool yes = v->kind == NN_V_HPO || v->kind == NN_V_ITEM || v->repeat || v->is_param ||
                   (v->kind == NN_V_NAME && param_of(f, v) >= 0) ||
                   (v->kind == NN_V_STRING && strstr(v->text, "HPO")) || varies(f, v->items) ||
                   args_vary(f, v->args) ||
                   (v->kind == NN_V_CALL && (v->call->block || v->call->device)) ||
                   (v->kind == NN_V_CALL && args_vary(f, v->call->args));
        if (yes) return true;
    }
    return false;
}

/* ---- copies ---- */

static nn_value *copy_value(const frame *f, const nn_value *v);
static nn_item **copy_items(const frame *f, const nn_item *it, nn_item **tail);

static nn_value *copy_values(const frame *f, const nn_value *v) {
    nn_value *first = NULL;
    for (nn_value **tail = &first; v; v = v->next, tail = &(*tail)->next)
        if (!(*tail = copy_value(f, v))) break;
    return first;
}

static nn_arg *copy_args(const frame *f, const nn_arg *a) {
    nn_arg *first = NULL;
    for (nn_arg **tail = &first; a; a = a->next, tail = &(*tail)->next) {
        nn_arg *copy = *tail = NN_X_NEW(f->x, nn_arg);
        if (!copy) break;
        *copy = *a;
        copy->next = NULL;
        copy->value = copy_value(f, a->value);
    }
    return first;
}

static bool has_device(const nn_call *call) {
    for (const nn_arg *a = call->args; a; a = a->next)
        if (a->name && !strcmp(a->name, "device")) return true;
    return call->device;
}

/* `layer`: of the body, not wrapped in another: it takes the device of the macro's call. args: they
 * have to be copied. */
static nn_call *copy_call(const frame *f, nn_call *call, bool layer, bool args) {
    bool device = layer && f->device && !has_device(call);
    if (!device && !args && !call->device && !call->block) return call;
    nn_call *copy = NN_X_NEW(f->x, nn_call);
    if (!copy) return call;
    *copy = *call;
    if (args) copy->args = copy_args(f, call->args);
    if (call->device) copy->device = copy_value(f, call->device);
    if (device) copy->device = copy_value(f, f->device);
    copy->block = NULL;
    copy_items(f, call->block, &copy->block);
    return copy;
}

/* A bound of a range that came from a parameter: reported at the argument, once. */
static nn_value *copy_bound(const frame *f, const nn_value *v) {
    nn_value *copy = v ? copy_value(f, v) : NULL;
    bool number =
        !copy || copy->kind == NN_V_INT || copy->kind == NN_V_FLOAT || copy->kind == NN_V_ERROR;
    if (number) return copy;
    int i = param_of(f, v);
    f->x->diags->origin = f->origin;
    nn_diag *g = nn_diag_add(f->x->diags, NN_SEV_ERROR, "bad-hpo", copy->span,
                             "a bound or step of a range is a number");
    f->x->diags->origin = NULL;
    if (i >= 0) {
        nn_diag_hint(f->x->diags, g, "'%s' is one in macro '%s'", v->text, f->macro->define->name);
        f->value[i]->kind = NN_V_ERROR;
    }
    copy->kind = NN_V_ERROR;
    return copy;
}

static nn_hpo *copy_hpo(const frame *f, const nn_hpo *h) {
    nn_hpo *copy = NN_X_NEW(f->x, nn_hpo);
    if (!copy) return NULL;
    *copy = (nn_hpo){.kind = h->kind};
    copy->values = copy_values(f, h->values);
    copy->low = copy_bound(f, h->low);
    copy->high = copy_bound(f, h->high);
    copy->step = copy_bound(f, h->step);
    return copy;
}

/* The value of a parameter, or of its default, or what could not be read. */
static void put_argument(const frame *f, int i, nn_value *copy) {
    nn_span span = copy->span;
    if (f->value[i])
        *copy = *f->value[i];
    else
        *copy = (nn_value){.kind = NN_V_ERROR, .span = span};
    copy->next = NULL;
}

/* One value with all of its parts; NULL when memory is spent. */
static nn_value *copy_value(const frame *f, const nn_value *v) {
    nn_value *copy = NN_X_NEW(f->x, nn_value);
    if (!copy) return NULL;
    *copy = *v;
    copy->next = NULL;
    int i = param_of(f, v);
    if (i >= 0)
        put_argument(f, i, copy);
    else if (v->kind == NN_V_TUPLE || v->kind == NN_V_LIST)
        copy->items = copy_values(f, v->items);
    else if (v->kind == NN_V_DICT)
        copy->args = copy_args(f, v->args);
    else if (v->kind == NN_V_CALL)
        copy->call = copy_call(f, v->call, false, f->macro);
    else if (v->kind == NN_V_HPO)
        copy->hpo = copy_hpo(f, v->hpo);
    else if (v->kind == NN_V_ITEM)
        copy_items(f, v->item, &copy->item);
    if (v->repeat) copy->repeat = copy_value(f, v->repeat);
    bool lost = (copy->kind == NN_V_HPO && !copy->hpo) || (copy->kind == NN_V_ITEM && !copy->item);
    if (lost) copy->kind = NN_V_ERROR; /* memory is spent */
    return copy;
}

/* ---- macros ---- */

/* What stands for a macro that cannot be expanded: an item that was reported, and of which no more
 * is said. */
static void put_error(const frame *f, nn_item *it) {
    nn_value *v = NN_X_NEW(f->x, nn_value);
    if (!v) return;
    *v = (nn_value){.kind = NN_V_ERROR, .span = it->span};
    it->kind = NN_ITEM_HPO;
    it->call = NULL;
    it->hpo = v;
}

static void bind(const frame *f, const nn_call *call, frame *inner) {
    const nn_arg *given[NN_MAX_MACRO_PARAMS], *p = inner->macro->define->params;
    nn_x_bind(inner->macro, call, given);
    for (int i = 0; p; p = p->next, i++) {
        if (given[i] && f->macro && varies(f, given[i]->value))
            inner->value[i] = copy_value(f, given[i]->value);
        else if (given[i])
            inner->value[i] = given[i]->value;
        else if (p->value)
            inner->value[i] = copy_value(inner, p->value);
        inner->n_params = i + 1;
    }
}

/* Makes the item the group that the call of a macro stands for. */
static void put_macro(const frame *f, const nn_macro *m, nn_call *call, nn_item *it) {
    nn_origin *o = m->broken || f->x->refuse ? NULL : NN_X_NEW(f->x, nn_origin);
    if (!o) {
        put_error(f, it);
        return;
    }
    *o = (nn_origin){.macro = m->define->name, .span = call->span, .next = f->origin};
    frame inner = {.x = f->x, .net = m->net, .macro = m, .origin = o};
    inner.device = call->device ? copy_value(f, call->device) : f->device;
    bind(f, call, &inner);
    it->kind = NN_ITEM_GROUP;
    it->expanded = true;
    it->call = call;
    it->items = NULL;
    nn_item **tail = copy_items(&inner, m->define->items, &it->items);
    copy_items(f, call->block, tail);
}

/* ---- items ---- */

/* The call of a macro that a candidate of a choice between layers is; NULL if it is none. */
static nn_call *macro_call(const frame *f, const nn_value *v, const nn_macro **ret) {
    bool word = v->kind == NN_V_NAME && !v->is_param && param_of(f, v) < 0;
    const char *name = word ? v->text : v->kind == NN_V_CALL ? v->call->name : NULL;
    if (!name || !(*ret = nn_x_find(f->x, f->net, name))) return NULL;
    if (!word) return v->call;
    nn_call *call = NN_X_NEW(f->x, nn_call);
    if (call) *call = (nn_call){.name = name, .name_span = v->span, .span = v->span};
    return call;
}

static nn_value *copy_choice(const frame *f, const nn_value *hpo);

static nn_value *copy_candidate(const frame *f, const nn_value *v) {
    const nn_macro *m = NULL;
    nn_call *call = macro_call(f, v, &m);
    if (!call) {
        if (v->kind == NN_V_HPO) return copy_choice(f, v);
        nn_value *same = copy_value(f, v);
        if (same && v->kind == NN_V_CALL) same->call = copy_call(f, v->call, true, f->macro);
        return same;
    }
    nn_value *copy = NN_X_NEW(f->x, nn_value);
    nn_item *it = copy ? NN_X_NEW(f->x, nn_item) : NULL;
    if (!it) return NULL;
    *copy = (nn_value){.kind = NN_V_ITEM, .span = v->span, .item = it};
    *it = (nn_item){.span = v->span, .origin = f->origin};
    if (v->repeat) it->repeat = copy_value(f, v->repeat);
    put_macro(f, m, call, it);
    return copy;
}

/* A choice between layers: macros among the candidates become groups. */
static nn_value *copy_choice(const frame *f, const nn_value *hpo) {
    if (hpo->kind != NN_V_HPO || hpo->hpo->kind != NN_HPO_CHOICE) return copy_value(f, hpo);
    nn_value *copy = NN_X_NEW(f->x, nn_value);
    nn_hpo *h = copy ? NN_X_NEW(f->x, nn_hpo) : NULL;
    if (!h) return NULL;
    *copy = *hpo;
    copy->next = NULL;
    copy->hpo = h;
    h->kind = NN_HPO_CHOICE;
    nn_value **tail = &h->values;
    for (const nn_value *v = hpo->hpo->values; v; v = v->next, tail = &(*tail)->next)
        if (!(*tail = copy_candidate(f, v))) break;
    return copy;
}

static nn_item *copy_item(const frame *f, const nn_item *from) {
    nn_item *it = NN_X_NEW(f->x, nn_item);
    if (!it) return NULL;
    *it = *from;
    it->next = NULL;
    it->origin = f->origin;
    if (from->repeat && f->macro) it->repeat = copy_value(f, from->repeat);
    if (from->kind == NN_ITEM_CALL) {
        const nn_macro *m = nn_x_find(f->x, f->net, from->call->name);
        if (m)
            put_macro(f, m, from->call, it);
        else
            it->call = copy_call(f, from->call, true, f->macro && args_vary(f, from->call->args));
    } else if (from->kind == NN_ITEM_HPO) {
        if (!(it->hpo = copy_choice(f, from->hpo))) return NULL;
    } else {
        it->items = NULL;
        copy_items(f, from->items, &it->items);
    }
    return it;
}

/* Returns where the next one goes. */
static nn_item **copy_items(const frame *f, const nn_item *it, nn_item **tail) {
    for (; it; it = it->next) {
        if (!(*tail = copy_item(f, it))) break;
        tail = &(*tail)->next;
    }
    return tail;
}

/* ---- networks ---- */

static void report_limit(nn_expander *x, const nn_network *net, int64_t items, int64_t max) {
    char many[40] = "far too many layers";
    if (items <= max)
        snprintf(many, sizeof many, "too many arguments");
    else if (items < INT64_C(1) << 60)
        snprintf(many, sizeof many, "%lld layers", (long long)items);
    nn_diag *g = nn_diag_add(x->diags, NN_SEV_ERROR, "limit",
                             net->name_span.line ? net->name_span : net->span,
                             "the macros of network '%s' expand to %s; at most %lld layers fit",
                             *net->name ? net->name : "(unnamed)", many, (long long)max);
    nn_diag_hint(x->diags, g, "layers that repeat are written (…) * n or Name() * n");
}

static void expand_network(nn_expander *x, nn_network *net, int64_t max_items) {
    x->local = (nn_names){0};
    nn_x_define(x, net);
    nn_x_check_network(x, net);
    nn_amount a = nn_x_measure(x, net);
    if (!a.calls) return;
    int64_t max_weight =
        max_items > INT64_MAX / WEIGHT_PER_ITEM ? INT64_MAX : max_items * WEIGHT_PER_ITEM;
    x->refuse = a.brought > max_items || a.brought_weight > max_weight;
    if (x->refuse) report_limit(x, net, a.brought, max_items);
    frame f = {.x = x, .net = net};
    nn_item *items = NULL;
    copy_items(&f, net->items, &items);
    net->items = x->full ? NULL : items; /* half a copy is nobody's network */
}

void nn_expand(nn_arena *arena, nn_program *program, bool (*is_layer)(const char *name),
               int64_t max_items, nn_diags *diags) {
    if (program->expanded) return;
    nn_expander x = {.arena = arena, .diags = diags, .program = program, .is_layer = is_layer};
    if (!program->networks && !program->defines) return; /* it may be the one that has no room */
    program->expanded = true;
    nn_x_define(&x, NULL);
    for (nn_network *net = program->networks; net; net = net->next) {
        int errors = diags->errors;
        expand_network(&x, net, max_items);
        net->damaged = net->damaged || diags->errors != errors || x.full;
    }
}
