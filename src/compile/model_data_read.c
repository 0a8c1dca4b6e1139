/* SPDX-License-Identifier: MIT */
/* model_data_read.c - JSON to the tree that a program's text would have given.
 *
 * Values are read with places in the JSON text, so that what the checker has to say later points
 * there. A layer's parameters become named arguments, and the binder checks them as it does a
 * program's. What has no counterpart in the language (shape_info, span, id …) is passed over;
 * members that nobody knows warn. */
#include "base/json_reader.h"
#include "compile/check.h"
#include "compile/model_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    nn_arena *arena;
    const nn_source *source;
    nn_diags *diags;
    nn_jr jr;
    nn_jr_token t;    /* the token at hand */
    const char *line; /* where the line of `at` begins, and its number: for spans */
    const char *at;
    int line_number;
    nn_buf path; /* "layers[2].params" */
    bool full;
} reader;

/* More arguments of one layer, members of one object that nobody knows, inputs or axes are a
 * mistake that need not be looked at one by one. */
enum { MOST_ARGUMENTS = 1000, MOST_UNKNOWN = 100, MOST_INPUTS = 64 };

static nn_item *read_item(reader *r, nn_value *v);

/* ---- places ---- */

static void *take(reader *r, size_t n) {
    void *p = nn_arena_alloc(r->arena, n);
    if (!p) r->full = true;
    return p;
}
#define TAKE(r, type) ((type *)take(r, sizeof(type)))

static void move_to(reader *r, const char *p) {
    for (; r->at < p; r->at++)
        if (*r->at == '\n') {
            r->line_number++;
            r->line = r->at + 1;
        }
}

/* Of the text from `begin` (which does not lie before the last place asked for) to the reader. */
static nn_span place(reader *r, const char *begin) {
    nn_span s = {.begin = (size_t)(begin - r->source->text)};
    move_to(r, begin);
    s.line = r->line_number;
    s.col = (int)(begin - r->line) + 1;
    s.end = (size_t)(r->jr.p - r->source->text);
    s.end_line = s.line;
    s.end_col = s.col + 1;
    return s;
}

static const char *begin_of_next(const reader *r) {
    const char *p = r->jr.p;
    while (p < r->jr.end && strchr(" \t\r\n,:", *p)) p++;
    return p;
}

/* ---- JSON to values: objects become DICT, arrays LIST ---- */

static nn_status next(reader *r, nn_span *ret_span, nn_err *err) {
    const char *begin = begin_of_next(r);
    nn_status st = nn_jr_next(&r->jr, &r->t, err);
    if (!st) *ret_span = place(r, begin);
    return st;
}

static const char *text_of(reader *r) {
    char *s = nn_arena_strndup(r->arena, r->t.text, r->t.n);
    if (!s) r->full = true;
    return s ? s : "";
}

static const char *number_text(reader *r) {
    char buf[40];
    if (r->t.type == NN_JR_INT)
        snprintf(buf, sizeof buf, "%lld", (long long)r->t.integer);
    else
        snprintf(buf, sizeof buf, "%.17g", r->t.number);
    char *s = nn_arena_strdup(r->arena, buf);
    if (!s) r->full = true;
    return s ? s : "0";
}

static nn_status read_value(reader *r, nn_span span, nn_value *v, nn_err *err);

static nn_status read_members(reader *r, nn_value *v, nn_err *err) {
    nn_arg **tail = &v->args;
    for (;;) {
        nn_span span;
        nn_status st = next(r, &span, err);
        if (st || r->t.type == NN_JR_END_OBJECT) return st;
        nn_arg *a = TAKE(r, nn_arg);
        nn_value *x = TAKE(r, nn_value);
        if (!a || !x)
            return nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
        *a = (nn_arg){.name = text_of(r), .name_span = span, .value = x};
        if ((st = next(r, &span, err)) || (st = read_value(r, span, x, err))) return st;
        a->span = x->span;
        *tail = a;
        tail = &a->next;
        v->count++;
    }
}

static nn_status read_elements(reader *r, nn_value *v, nn_err *err) {
    nn_value **tail = &v->items;
    for (;;) {
        nn_span span;
        nn_status st = next(r, &span, err);
        if (st || r->t.type == NN_JR_END_ARRAY) return st;
        nn_value *x = TAKE(r, nn_value);
        if (!x) return nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
        if ((st = read_value(r, span, x, err))) return st;
        *tail = x;
        tail = &x->next;
        v->count++;
    }
}

/* The value that begins with the token at hand. */
static nn_status read_value(reader *r, nn_span span, nn_value *v, nn_err *err) {
    *v = (nn_value){.kind = NN_V_NONE, .span = span};
    nn_status st = NN_OK;
    switch (r->t.type) {
    case NN_JR_BOOL:
        v->kind = NN_V_BOOL;
        v->i = r->t.truth;
        break;
    case NN_JR_INT:
    case NN_JR_REAL:
        v->kind = r->t.type == NN_JR_INT ? NN_V_INT : NN_V_FLOAT;
        v->i = r->t.integer;
        v->f = r->t.number;
        v->text = number_text(r);
        break;
    case NN_JR_STRING:
        v->kind = NN_V_STRING;
        v->text = text_of(r);
        break;
    case NN_JR_ARRAY:
        v->kind = NN_V_LIST;
        st = read_elements(r, v, err);
        break;
    case NN_JR_OBJECT:
        v->kind = NN_V_DICT;
        st = read_members(r, v, err);
        break;
    default:
        break;
    }
    v->span.end = (size_t)(r->jr.p - r->source->text);
    return st;
}

/* ---- what is wrong ---- */

static nn_diag *complain(reader *r, nn_severity sev, const char *code, nn_span at,
                         const char *what) {
    const char *path = nn_buf_str(&r->path);
    return nn_diag_add(r->diags, sev, code, at, "%s%s%s", path, *path ? ": " : "", what);
}

static void wrong(reader *r, const nn_value *v, const char *expected) {
    char got[64], what[160];
    snprintf(what, sizeof what, "expected %s, got %s", expected, nn_check_show(v, got, sizeof got));
    complain(r, NN_SEV_ERROR, "bad-model-data", v->span, what);
}

static size_t enter(reader *r, const char *part, int index) {
    size_t mark = r->path.n;
    if (index >= 0)
        nn_buf_printf(&r->path, "[%d]", index);
    else
        nn_buf_printf(&r->path, "%s%s", mark ? "." : "", part);
    return mark;
}

static void leave(reader *r, size_t mark) {
    r->path.n = mark;
    if (r->path.p) r->path.p[mark] = 0;
}

static nn_arg *member(const nn_value *v, const char *name) {
    for (nn_arg *a = v && v->kind == NN_V_DICT ? v->args : NULL; a; a = a->next)
        if (strcmp(a->name, name) == 0) return a;
    return NULL;
}

static nn_value *value_of(const nn_value *v, const char *name) {
    nn_arg *a = member(v, name);
    return a && a->value->kind != NN_V_NONE ? a->value : NULL;
}

static bool is_text(const nn_value *v) {
    return v && v->kind == NN_V_STRING;
}

/* Warns of members that are in neither list. */
static void check_members(reader *r, const nn_value *v, const char *const *known) {
    int unknown = 0;
    for (const nn_arg *a = v->args; a && unknown < MOST_UNKNOWN; a = a->next) {
        bool found = false;
        for (int i = 0; known[i]; i++) found = found || strcmp(known[i], a->name) == 0;
        if (found) continue;
        unknown++;
        char what[128];
        snprintf(what, sizeof what, "unknown member '%.60s' is ignored", a->name);
        nn_diag *d = complain(r, NN_SEV_WARNING, "unknown-member", a->name_span, what);
        const char *near = nn_nearest(a->name, known);
        if (near) nn_diag_hint(r->diags, d, "did you mean '%s'?", near);
    }
}

/* ---- values as the language has them ---- */

static void convert(reader *r, nn_value *v);

static void convert_all(reader *r, nn_value *list) {
    for (nn_value *e = list; e; e = e->next) convert(r, e);
}

/* {"type": "categorical", "values": [...]} and its like: the bounds under any name they ever had.
 */
static nn_value *bound(const nn_value *v, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (value_of(v, names[i])) return value_of(v, names[i]);
    return NULL;
}

static bool is_bound(const nn_value *v) {
    return v && (v->kind == NN_V_INT || v->kind == NN_V_FLOAT);
}

static void convert_range(reader *r, nn_value *v, const nn_value *spec, bool log) {
    static const char *const lows[] = {"start", "low", "min", NULL}, *const highs[] = {"end",
                                                                                       "high",
                                                                                       "max", NULL};
    nn_hpo *h = TAKE(r, nn_hpo);
    if (!h) return;
    *h = (nn_hpo){.kind = log ? NN_HPO_LOG_RANGE : NN_HPO_RANGE,
                  .low = bound(spec, lows),
                  .high = bound(spec, highs),
                  .step = log ? NULL : value_of(spec, "step")};
    if (!is_bound(h->low) || !is_bound(h->high) || (h->step && !is_bound(h->step))) {
        wrong(r, spec,
              log ? "numbers 'low' and 'high'" : "numbers 'start', 'end' and perhaps 'step'");
        v->kind = NN_V_ERROR;
        return;
    }
    v->kind = NN_V_HPO;
    v->hpo = h;
}

/* The candidates: values, or layers. */
static nn_value *candidates(reader *r, nn_value *list, bool layers) {
    for (nn_value *e = list->items; e; e = e->next) {
        if (!layers) {
            convert(r, e);
            continue;
        }
        nn_item *it = read_item(r, e);
        if (!it) {
            e->kind = NN_V_ERROR;
        } else if (it->kind == NN_ITEM_CALL) {
            e->kind = NN_V_CALL;
            e->call = it->call;
            e->repeat = it->repeat;
        } else {
            e->kind = NN_V_ITEM;
            e->item = it;
        }
    }
    return list->items;
}

static void convert_hpo(reader *r, nn_value *v, nn_value *spec) {
    const nn_value *type = value_of(spec, "type");
    const char *kind = is_text(type) ? type->text : "";
    bool layers = strcmp(kind, "layer_choice") == 0;
    if (strcmp(kind, "range") == 0 || strcmp(kind, "log_range") == 0) {
        convert_range(r, v, spec, *kind == 'l');
        return;
    }
    nn_value *list = value_of(spec, layers ? "options" : "values");
    bool choice = layers || strcmp(kind, "categorical") == 0 || strcmp(kind, "choice") == 0;
    nn_hpo *h = TAKE(r, nn_hpo);
    if (!h) return;
    if (!choice || !list || list->kind != NN_V_LIST || !list->count) {
        wrong(r, spec,
              "an hpo of type categorical with 'values', layer_choice with 'options', range "
              "or log_range");
        v->kind = NN_V_ERROR;
        return;
    }
    *h = (nn_hpo){.kind = NN_HPO_CHOICE, .values = candidates(r, list, layers)};
    v->kind = NN_V_HPO;
    v->hpo = h;
}

static nn_call *new_call(reader *r, const nn_value *v, const nn_value *type) {
    nn_call *c = TAKE(r, nn_call);
    if (c)
        *c =
            (nn_call){.name = type->text, .name_span = type->span, .span = v->span, .parens = true};
    return c;
}

/* Members as named arguments, "args" as positional ones in front. */
static void add_arguments(reader *r, nn_call *c, nn_value *params) {
    nn_arg **tail = &c->args;
    nn_value *args = value_of(params, "args");
    for (nn_value *e = args && args->kind == NN_V_LIST ? args->items : NULL; e;) {
        nn_arg *a = TAKE(r, nn_arg);
        nn_value *after = e->next;
        if (!a) return;
        convert(r, e);
        e->next = NULL;
        *a = (nn_arg){.span = e->span, .value = e};
        *tail = a;
        tail = &a->next;
        c->n_args++;
        e = after;
    }
    for (nn_arg *a = params ? params->args : NULL, *after; a; a = after) {
        after = a->next;
        a->next = NULL;
        if (strcmp(a->name, "args") == 0 || strcmp(a->name, "device") == 0) continue;
        size_t mark = enter(r, a->name, -1);
        convert(r, a->value);
        leave(r, mark);
        *tail = a;
        tail = &a->next;
        c->n_args++;
    }
}

/* {"type": "ExponentialDecay", "params": {...}} as a call. */
static void convert_call(reader *r, nn_value *v, nn_value *type) {
    nn_value *params = value_of(v, "params"), *args = value_of(v, "args");
    nn_call *c = new_call(r, v, type);
    if (!c) return;
    nn_value both = {.kind = NN_V_DICT, .args = params ? params->args : NULL};
    nn_arg positional = {.name = "args", .value = args, .next = both.args};
    if (args) both.args = &positional;
    add_arguments(r, c, &both);
    v->kind = NN_V_CALL;
    v->call = c;
}

/* A value read from JSON into one that the language could have: in place. */
static void convert(reader *r, nn_value *v) {
    if (v->kind == NN_V_LIST) {
        convert_all(r, v->items);
        return;
    }
    if (v->kind != NN_V_DICT) return;
    nn_value *hpo = value_of(v, "hpo"), *type = value_of(v, "type");
    if (hpo)
        convert_hpo(r, v, hpo);
    else if (is_text(type) && (member(v, "params") || member(v, "args")))
        convert_call(r, v, type);
    else
        for (nn_arg *a = v->args; a; a = a->next) convert(r, a->value);
}

/* ---- layers ---- */

static nn_item *read_items(reader *r, const char *key, nn_value *list);

static const char *const layer_members[] = {
    "type",   "params", "sublayers", "sub_layers", "device", "inputs", "name",
    "repeat", "layer",  "multiply",  "id",         "span",   "args",   NULL};

static nn_arg *new_arg(reader *r, const char *name, nn_value *v) {
    nn_arg *a = TAKE(r, nn_arg);
    if (a) *a = (nn_arg){.name = name, .name_span = v->span, .span = v->span, .value = v};
    return a;
}

static void append_arg(nn_call *c, nn_arg *a) {
    nn_arg **tail = &c->args;
    while (*tail) tail = &(*tail)->next;
    if (a) *tail = a;
    c->n_args += a != NULL;
}

static nn_value *call_value(reader *r, nn_call *c) {
    nn_value *v = TAKE(r, nn_value);
    if (v) *v = (nn_value){.kind = NN_V_CALL, .span = c->span, .call = c};
    return v;
}

/* "TimeDistributed(Dense)": the parameters are those of the inner layer. */
static nn_call *split_wrapper(reader *r, nn_call *inner) {
    const char *open = strchr(inner->name, '(');
    size_t n = open ? strlen(open) : 0;
    if (n < 3 || open[n - 1] != ')') return inner;
    nn_call *outer = TAKE(r, nn_call);
    char *name = nn_arena_strndup(r->arena, inner->name, (size_t)(open - inner->name));
    char *in = nn_arena_strndup(r->arena, open + 1, n - 2);
    if (!outer || !name || !in) return inner;
    *outer = *inner;
    outer->name = name;
    outer->args = NULL;
    outer->n_args = 0;
    inner->name = in;
    inner->device = NULL;
    for (nn_arg **a = &inner->args; *a; a = &(*a)->next)
        if (strcmp((*a)->name ? (*a)->name : "", "merge_mode") == 0) {
            nn_arg *mode = *a;
            *a = mode->next;
            mode->next = NULL;
            append_arg(outer, mode);
            break;
        }
    nn_value *v = call_value(r, inner);
    nn_arg *a = TAKE(r, nn_arg);
    if (!v || !a) return inner;
    *a = (nn_arg){.span = v->span, .value = v, .next = outer->args};
    outer->args = a;
    outer->n_args++;
    return outer;
}

static void read_wrapped(reader *r, nn_call *c, nn_value *layer) {
    size_t mark = enter(r, "layer", -1);
    nn_item *it = read_item(r, layer);
    leave(r, mark);
    nn_value *v = it && it->kind == NN_ITEM_CALL ? call_value(r, it->call) : NULL;
    if (v) append_arg(c, new_arg(r, "layer", v));
}

static nn_call *read_call(reader *r, nn_value *v, nn_value *type) {
    nn_value *params = value_of(v, "params"), *device = value_of(v, "device");
    nn_value *flat = NULL;
    if (params && params->kind == NN_V_LIST) { /* positional, as the reference gives some */
        flat = params;
        params = NULL;
    }
    nn_call *c = new_call(r, v, type);
    if (!c) return NULL;
    size_t mark = enter(r, "params", -1);
    if (params && (params->kind != NN_V_DICT || params->count > MOST_ARGUMENTS)) {
        wrong(r, params, "an object of at most 1000 parameters");
        leave(r, mark);
        return NULL;
    }
    nn_arg positional = {.name = "args", .value = flat};
    nn_value list = {.kind = NN_V_DICT, .args = &positional};
    if (!device) device = value_of(params, "device");
    add_arguments(r, c, flat ? &list : params);
    leave(r, mark);
    c->device = device;
    nn_value *inputs = value_of(v, "inputs"), *name = value_of(v, "name"), *id = value_of(v, "id"),
             *layer = value_of(v, "layer");
    if (inputs) append_arg(c, new_arg(r, "inputs", inputs));
    if (layer) read_wrapped(r, c, layer);
    bool named = value_of(params, "name") != NULL;
    if (is_text(name) && !named) append_arg(c, new_arg(r, "name", name));
    (void)id;
    return split_wrapper(r, c);
}

/* The rate of a block that is one Dropout and nothing else; NULL: it is another. */
static nn_arg *only_dropout(const nn_item *items) {
    const nn_call *c = items && !items->next && !items->repeat ? items->call : NULL;
    const nn_layer *l = c ? nn_layer_find(c->name) : NULL;
    bool plain = l && strcmp(l->name, "Dropout") == 0 && c->n_args == 1 && !c->device && !c->block;
    return plain && c->args->name && strcmp(c->args->name, "rate") == 0 ? c->args : NULL;
}

/* The blocks of a layer, and what repeats it. */
static void read_trailers(reader *r, nn_value *v, nn_item *it) {
    nn_value *block = value_of(v, "sublayers"), *repeat = value_of(v, "repeat"),
             *type = value_of(v, "type");
    const char *key = "sublayers";
    if (!block) block = value_of(v, key = "sub_layers");
    if (!repeat) repeat = value_of(v, "multiply");
    if (repeat) convert(r, repeat);
    it->repeat = repeat;
    if (!block) return;
    nn_item *items = read_items(r, key, block);
    if (it->kind == NN_ITEM_BRANCH) {
        it->items = items;
        return;
    }
    nn_arg *rate = is_text(type) && strncmp(type->text, "TimeDistributed(", 16) == 0
                       ? only_dropout(items)
                       : NULL;
    if (rate) { /* TimeDistributed(Dense(8), dropout=r), as the reference spells it */
        rate->name = "dropout";
        append_arg(it->call, rate);
    } else if (items) {
        it->call->block = items;
        it->call->has_block = true;
    }
}

static nn_item *read_item(reader *r, nn_value *v) {
    nn_item *it = TAKE(r, nn_item);
    if (!it) return NULL;
    *it = (nn_item){.kind = NN_ITEM_CALL, .span = v->span};
    nn_value *type = value_of(v, "type"), *hpo = value_of(v, "hpo"), *name = value_of(v, "name");
    if (v->kind == NN_V_DICT && hpo) {
        convert_hpo(r, v, hpo);
        it->kind = NN_ITEM_HPO;
        it->hpo = v;
        return v->kind == NN_V_ERROR ? NULL : it;
    }
    if (v->kind != NN_V_DICT || !is_text(type)) {
        wrong(r, v, "a layer: an object with a text 'type'");
        return NULL;
    }
    if (strlen(type->text) > 2 * NN_MAX_NAME) {
        wrong(r, type, "the name of a layer");
        return NULL;
    }
    check_members(r, v, layer_members);
    if (strcmp(type->text, "Branch") == 0 && is_text(name)) {
        it->kind = NN_ITEM_BRANCH;
        it->name = name->text;
    } else if (!(it->call = read_call(r, v, type))) {
        return NULL;
    }
    read_trailers(r, v, it);
    return it;
}

static nn_item *read_items(reader *r, const char *key, nn_value *list) {
    nn_item *first = NULL, **tail = &first;
    size_t mark = enter(r, key, -1);
    if (list->kind != NN_V_LIST) wrong(r, list, "a list of layers");
    int i = 0;
    for (nn_value *e = list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next, i++) {
        size_t at = enter(r, NULL, i);
        nn_item *it = read_item(r, e);
        leave(r, at);
        if (!it) continue;
        *tail = it;
        tail = &it->next;
    }
    leave(r, mark);
    return first;
}

/* ---- inputs ---- */

static nn_section *add_section(reader *r, nn_network *n, const char *word, nn_span at) {
    nn_section *s = TAKE(r, nn_section);
    if (!s) return NULL;
    *s = (nn_section){.word = word, .word_span = at, .span = at};
    nn_section **tail = &n->sections;
    while (*tail) tail = &(*tail)->next;
    return *tail = s;
}

/* There are never so many inputs; said here, so that nobody reads them all. */
static bool too_many_inputs(reader *r, const nn_value *v) {
    if (v->count <= MOST_INPUTS) return false;
    wrong(r, v, "a shape of a few axes, or a few inputs");
    return true;
}

/* The shape of one input object; a canonical one whose batch was given gets its None back. */
static nn_value *input_shape(reader *r, nn_value *v) {
    nn_value *shape = v && v->kind == NN_V_LIST ? v : value_of(v, "shape"),
             *batch = value_of(v, "batch");
    if (!shape || (shape->kind != NN_V_LIST && shape->kind != NN_V_INT)) {
        wrong(r, v,
              "an input with a 'shape': a list of positive integers, null for an unknown size");
        return NULL;
    }
    if (too_many_inputs(r, shape)) return NULL;
    if (batch && batch->kind == NN_V_BOOL && batch->i && shape->kind == NN_V_LIST) {
        nn_value *none = TAKE(r, nn_value);
        if (!none) return NULL;
        *none = (nn_value){.kind = NN_V_NONE, .span = shape->span, .next = shape->items};
        shape->items = none;
        shape->count++;
    } else if (batch && shape->kind == NN_V_LIST && shape->items &&
               shape->items->kind == NN_V_NONE) { /* an unknown axis, not the batch */
        nn_value *none = TAKE(r, nn_value);
        if (!none) return NULL;
        *none = *shape->items;
        none->next = shape->items;
        shape->items = none;
        shape->count++;
    }
    nn_value *copy = TAKE(r, nn_value);
    if (!copy) return NULL;
    *copy = *shape;
    copy->next = NULL;
    return copy;
}

static void add_named(reader *r, nn_section *s, const char *name, nn_value *shape) {
    nn_arg **tail = &s->config, *a = shape ? new_arg(r, name, shape) : NULL;
    while (*tail) tail = &(*tail)->next;
    *tail = a;
}

static void read_input_list(reader *r, nn_section *s, nn_value *list) {
    nn_value **tail = &s->value;
    bool named = list->count > 1;
    int i = 0;
    for (nn_value *e = list->items; e; e = e->next, i++) {
        size_t at = enter(r, NULL, i);
        nn_value *shape = input_shape(r, e), *name = value_of(e, "name");
        leave(r, at);
        if (!shape) continue;
        if (is_text(name) && (named || strcmp(name->text, "input") != 0)) {
            add_named(r, s, name->text, shape);
            continue;
        }
        *tail = shape;
        tail = &shape->next;
    }
}

/* An object of named inputs has objects as members, one input has a shape. */
static void read_inputs(reader *r, nn_network *n, const nn_value *doc) {
    nn_arg *a = member(doc, "input");
    if (!a) a = member(doc, "inputs");
    if (!a || a->value->kind == NN_V_NONE) return; /* the checker misses it */
    nn_section *s = add_section(r, n, "input", a->value->span);
    if (!s) return;
    size_t mark = enter(r, a->name, -1);
    nn_value *v = a->value;
    if (too_many_inputs(r, v)) {
        /* reported */
    } else if (v->kind == NN_V_LIST && v->items && v->items->kind == NN_V_DICT) {
        read_input_list(r, s, v);
    } else if (v->kind == NN_V_DICT && !member(v, "shape")) {
        for (nn_arg *m = v->args; m; m = m->next) {
            size_t at = enter(r, m->name, -1);
            add_named(r, s, m->name, input_shape(r, m->value));
            leave(r, at);
        }
    } else {
        nn_value *shape = input_shape(r, v), *name = value_of(v, "name");
        if (is_text(name) && strcmp(name->text, "input") != 0)
            add_named(r, s, name->text, shape);
        else
            s->value = shape;
    }
    if (!s->value && !s->config) { /* reported: the checker need not miss it */
        n->sections = NULL;
        n->damaged = true;
    }
    leave(r, mark);
}

/* ---- sections ---- */

/* "loss" may be a text, {"value": text, "params"?} or {"type", "params"}. */
static void read_ref(reader *r, nn_network *n, const nn_value *doc, const char *word) {
    nn_value *v = value_of(doc, word), *name = value_of(v, "value");
    if (!v) return;
    nn_section *s = add_section(r, n, word, v->span);
    if (!s) return;
    size_t mark = enter(r, word, -1);
    if (v->kind == NN_V_DICT && !name) name = value_of(v, "type");
    if (v->kind == NN_V_DICT && is_text(name))
        convert_call(r, v, name);
    else
        convert(r, v);
    leave(r, mark);
    s->value = v;
}

/* batch_size: [16, 32] is written as a choice with "original_values" (language.md 7). */
static void undo_choice(nn_arg *a) {
    const nn_value *hpo = value_of(a->value, "hpo");
    nn_value *values = value_of(hpo, "values");
    bool was_list = strcmp(a->name, "batch_size") == 0 && value_of(hpo, "original_values");
    if (was_list && values && values->kind == NN_V_LIST) a->value = values;
}

/* The reference's older names for the same things. */
static void read_config(reader *r, nn_network *n, const nn_value *doc, const char *word,
                        const char *const *keys) {
    for (int i = 0; keys[i]; i++) {
        nn_value *v = value_of(doc, keys[i]);
        if (!v || (v->kind == NN_V_DICT && !v->count)) continue;
        size_t mark = enter(r, keys[i], -1);
        if (v->kind != NN_V_DICT) {
            wrong(r, v, "an object");
        } else {
            nn_section *s = add_section(r, n, word, v->span);
            for (nn_arg *a = v->args; a; a = a->next) {
                undo_choice(a);
                convert(r, a->value);
            }
            if (s) s->config = v->args;
        }
        leave(r, mark);
        return;
    }
}

static void read_sections(reader *r, nn_network *n, const nn_value *doc) {
    static const char *const train[] = {"training", "training_config", NULL};
    static const char *const execution[] = {"execution", "execution_config", NULL};
    static const char *const refs[] = {"loss", "optimizer", "metrics", NULL};
    for (int i = 0; refs[i]; i++) {
        nn_value *v = value_of(doc, refs[i]);
        if (!v || (v->kind == NN_V_LIST && !v->count)) continue;
        read_ref(r, n, doc, refs[i]);
    }
    read_config(r, n, doc, "train", train);
    read_config(r, n, doc, "execution", execution);
    nn_value *framework = value_of(doc, "framework");
    nn_section *s = framework ? add_section(r, n, "framework", framework->span) : NULL;
    if (s) s->value = framework;
}

/* ---- custom layers: [{"name", "params": [{"name", "default"?}], "shape"?}] ---- */

static nn_arg *read_parameters(reader *r, nn_value *list) {
    nn_arg *first = NULL, **tail = &first;
    if (list && list->kind != NN_V_LIST) wrong(r, list, "a list of parameters");
    for (nn_value *e = list && list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next) {
        nn_value *name = value_of(e, "name");
        nn_arg *fallback = member(e, "default"), *a = NULL;
        if (!is_text(name))
            wrong(r, e, "an object with a text 'name'");
        else
            a = new_arg(r, name->text, name);
        if (!a) continue;
        a->value = fallback ? fallback->value : NULL;
        if (a->value) convert(r, a->value);
        *tail = a;
        tail = &a->next;
    }
    return first;
}

static void read_customs(reader *r, nn_program *p, nn_value *list) {
    nn_custom **tail = &p->customs;
    size_t mark = enter(r, "custom", -1);
    if (list->kind != NN_V_LIST) wrong(r, list, "a list of declarations");
    for (nn_value *e = list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next) {
        nn_value *name = value_of(e, "name"), *shape = value_of(e, "shape");
        bool fits = is_text(name) && (!shape || shape->kind == NN_V_LIST);
        if (!fits) wrong(r, e, "an object with a text 'name' and perhaps a list 'shape'");
        nn_custom *c = fits ? TAKE(r, nn_custom) : NULL;
        if (!c) continue;
        *c = (nn_custom){.name = name->text,
                         .name_span = name->span,
                         .span = e->span,
                         .params = read_parameters(r, value_of(e, "params")),
                         .shape = shape};
        *tail = c;
        tail = &c->next;
    }
    leave(r, mark);
}

static nn_program *read_document(reader *r, nn_value *doc) {
    static const char *const members[] = {"type",
                                          "name",
                                          "input",
                                          "inputs",
                                          "layers",
                                          "custom",
                                          "outputs",
                                          "loss",
                                          "optimizer",
                                          "metrics",
                                          "training",
                                          "training_config",
                                          "execution",
                                          "execution_config",
                                          "framework",
                                          "shape_info",
                                          "warnings",
                                          "output_layer",
                                          "output_shape",
                                          "auto_flatten_output",
                                          NULL};
    nn_program *p = TAKE(r, nn_program);
    nn_network *n = TAKE(r, nn_network);
    if (!p || !n) return NULL;
    *p = (nn_program){.networks = n};
    nn_value *name = value_of(doc, "name"), *layers = value_of(doc, "layers");
    *n = (nn_network){.name = is_text(name) ? name->text : "", .span = doc->span};
    if (name) n->name_span = name->span;
    check_members(r, doc, members);
    read_inputs(r, n, doc);
    if (value_of(doc, "custom")) read_customs(r, p, value_of(doc, "custom"));
    if (layers) n->items = read_items(r, "layers", layers);
    read_sections(r, n, doc);
    if (r->diags->errors) n->damaged = true;
    return p;
}

nn_status nn_model_data_parse(nn_arena *arena, const nn_source *src, nn_diags *diags,
                              nn_program **ret, nn_err *err) {
    reader r = {.arena = arena,
                .source = src,
                .diags = diags,
                .line = src->text,
                .at = src->text,
                .line_number = 1};
    nn_jr_init(&r.jr, src->text, src->size);
    nn_span span;
    nn_value *doc = TAKE(&r, nn_value);
    nn_status st = next(&r, &span, err);
    if (!st && doc) st = read_value(&r, span, doc, err);
    nn_jr_token end;
    if (!st) st = nn_jr_next(&r.jr, &end, err);
    nn_jr_done(&r.jr);
    nn_program *p = NULL;
    if (!st && doc && doc->kind != NN_V_DICT) {
        wrong(&r, doc, "an object");
        st = nn_fail(err, NN_E_DSL_ERROR, "model_data must be an object");
    } else if (!st && doc) {
        p = read_document(&r, doc);
    }
    nn_buf_done(&r.path);
    if (!st && (r.full || !p))
        st = nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
    if (!st) *ret = p;
    return st;
}
