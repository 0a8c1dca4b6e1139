/* SPDX-License-Identifier: MIT */
/* model_data_value.c - JSON as values of the tree, each with its place in the text. */
#include "compile/model_data_impl.h"

#include <stdio.h>
#include <string.h>

/* Members of one object that nobody knows: more need not be told one by one. */
enum { MOST_UNKNOWN = 100 };

/* ---- places ---- */

void *nn_md_take(nn_md_reader *r, size_t n) {
    void *p = nn_arena_alloc(r->arena, n);
    if (!p) r->full = true;
    return p;
}

static void move_to(nn_md_reader *r, const char *p) {
    for (; r->at < p; r->at++)
        if (*r->at == '\n') {
            r->line_number++;
            r->line = r->at + 1;
        }
}

/* Of the text from `begin` (which does not lie before the last place asked for) to the reader. */
static nn_span place(nn_md_reader *r, const char *begin) {
    nn_span s = {.begin = (size_t)(begin - r->source->text)};
    move_to(r, begin);
    s.line = r->line_number;
    s.col = (int)(begin - r->line) + 1;
    s.end = (size_t)(r->jr.p - r->source->text);
    s.end_line = s.line;
    s.end_col = s.col + 1;
    return s;
}

static const char *begin_of_next(const nn_md_reader *r) {
    const char *p = r->jr.p;
    while (p < r->jr.end && strchr(" \t\r\n,:", *p)) p++;
    return p;
}

/* ---- JSON to values: objects become DICT, arrays LIST ---- */

nn_status nn_md_next(nn_md_reader *r, nn_span *ret_span, nn_err *err) {
    const char *begin = begin_of_next(r);
    nn_status st = nn_jr_next(&r->jr, &r->t, err);
    if (!st) *ret_span = place(r, begin);
    return st;
}

static const char *text_of(nn_md_reader *r) {
    char *s = nn_arena_strndup(r->arena, r->t.text, r->t.n);
    if (!s) r->full = true;
    return s ? s : "";
}

static const char *number_text(nn_md_reader *r) {
    char buf[40];
    if (r->t.type == NN_JR_INT)
        snprintf(buf, sizeof buf, "%lld", (long long)r->t.integer);
    else
        snprintf(buf, sizeof buf, "%.17g", r->t.number);
    char *s = nn_arena_strdup(r->arena, buf);
    if (!s) r->full = true;
    return s ? s : "0";
}

static nn_status read_members(nn_md_reader *r, nn_value *v, nn_err *err) {
    nn_arg **tail = &v->args;
    for (;;) {
        nn_span span;
        nn_status st = nn_md_next(r, &span, err);
        if (st || r->t.type == NN_JR_END_OBJECT) return st;
        nn_arg *a = TAKE(r, nn_arg);
        nn_value *x = TAKE(r, nn_value);
        if (!a || !x)
            return nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
        *a = (nn_arg){.name = text_of(r), .name_span = span, .value = x};
        if ((st = nn_md_next(r, &span, err)) || (st = nn_md_read(r, span, x, err))) return st;
        a->span = x->span;
        *tail = a;
        tail = &a->next;
        v->count++;
    }
}

static nn_status read_elements(nn_md_reader *r, nn_value *v, nn_err *err) {
    nn_value **tail = &v->items;
    for (;;) {
        nn_span span;
        nn_status st = nn_md_next(r, &span, err);
        if (st || r->t.type == NN_JR_END_ARRAY) return st;
        nn_value *x = TAKE(r, nn_value);
        if (!x) return nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
        if ((st = nn_md_read(r, span, x, err))) return st;
        *tail = x;
        tail = &x->next;
        v->count++;
    }
}

/* The value that begins with the token at hand. */
nn_status nn_md_read(nn_md_reader *r, nn_span span, nn_value *v, nn_err *err) {
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

static nn_diag *complain(nn_md_reader *r, nn_severity sev, const char *code, nn_span at,
                         const char *what) {
    const char *path = nn_buf_str(&r->path);
    return nn_diag_add(r->diags, sev, code, at, "%s%s%s", path, *path ? ": " : "", what);
}

void nn_md_wrong(nn_md_reader *r, const nn_value *v, const char *expected) {
    char got[64], what[160];
    snprintf(what, sizeof what, "expected %s, got %s", expected, nn_check_show(v, got, sizeof got));
    complain(r, NN_SEV_ERROR, "bad-model-data", v->span, what);
}

size_t nn_md_enter(nn_md_reader *r, const char *part, int index) {
    size_t mark = r->path.n;
    if (index >= 0)
        nn_buf_printf(&r->path, "[%d]", index);
    else
        nn_buf_printf(&r->path, "%s%s", mark ? "." : "", part);
    return mark;
}

void nn_md_leave(nn_md_reader *r, size_t mark) {
    r->path.n = mark;
    if (r->path.p) r->path.p[mark] = 0;
}

nn_arg *nn_md_member(const nn_value *v, const char *name) {
    for (nn_arg *a = v && v->kind == NN_V_DICT ? v->args : NULL; a; a = a->next)
        if (strcmp(a->name, name) == 0) return a;
    return NULL;
}

nn_value *nn_md_value(const nn_value *v, const char *name) {
    nn_arg *a = nn_md_member(v, name);
    return a && a->value->kind != NN_V_NONE ? a->value : NULL;
}

bool nn_md_is_text(const nn_value *v) {
    return v && v->kind == NN_V_STRING;
}

/* Warns of members that are in neither list. */
void nn_md_check_members(nn_md_reader *r, const nn_value *v, const char *const *known) {
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

static void convert_all(nn_md_reader *r, nn_value *list) {
    for (nn_value *e = list; e; e = e->next) nn_md_convert(r, e);
}

/* {"type": "categorical", "values": [...]} and its like: the bounds under any name they ever had.
 */
static nn_value *bound(const nn_value *v, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (nn_md_value(v, names[i])) return nn_md_value(v, names[i]);
    return NULL;
}

static bool is_bound(const nn_value *v) {
    return v && (v->kind == NN_V_INT || v->kind == NN_V_FLOAT);
}

static void convert_range(nn_md_reader *r, nn_value *v, const nn_value *spec, bool log) {
    static const char *const lows[] = {"start", "low", "min", NULL}, *const highs[] = {"end",
                                                                                       "high",
                                                                                       "max", NULL};
    nn_hpo *h = TAKE(r, nn_hpo);
    if (!h) return;
    *h = (nn_hpo){.kind = log ? NN_HPO_LOG_RANGE : NN_HPO_RANGE,
                  .low = bound(spec, lows),
                  .high = bound(spec, highs),
                  .step = log ? NULL : nn_md_value(spec, "step")};
    if (!is_bound(h->low) || !is_bound(h->high) || (h->step && !is_bound(h->step))) {
        nn_md_wrong(r, spec,
                    log ? "numbers 'low' and 'high'" : "numbers 'start', 'end' and perhaps 'step'");
        v->kind = NN_V_ERROR;
        return;
    }
    v->kind = NN_V_HPO;
    v->hpo = h;
}

/* The candidates: values, or layers. */
static nn_value *candidates(nn_md_reader *r, nn_value *list, bool layers) {
    for (nn_value *e = list->items; e; e = e->next) {
        if (!layers) {
            nn_md_convert(r, e);
            continue;
        }
        nn_item *it = nn_md_item(r, e);
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

void nn_md_convert_hpo(nn_md_reader *r, nn_value *v, nn_value *spec) {
    const nn_value *type = nn_md_value(spec, "type");
    const char *kind = nn_md_is_text(type) ? type->text : "";
    bool layers = strcmp(kind, "layer_choice") == 0;
    if (strcmp(kind, "range") == 0 || strcmp(kind, "log_range") == 0) {
        convert_range(r, v, spec, *kind == 'l');
        return;
    }
    nn_value *list = nn_md_value(spec, layers ? "options" : "values");
    bool choice = layers || strcmp(kind, "categorical") == 0 || strcmp(kind, "choice") == 0;
    nn_hpo *h = TAKE(r, nn_hpo);
    if (!h) return;
    if (!choice || !list || list->kind != NN_V_LIST || !list->count) {
        nn_md_wrong(r, spec,
                    "an hpo of type categorical with 'values', layer_choice with 'options', range "
                    "or log_range");
        v->kind = NN_V_ERROR;
        return;
    }
    *h = (nn_hpo){.kind = NN_HPO_CHOICE, .values = candidates(r, list, layers)};
    v->kind = NN_V_HPO;
    v->hpo = h;
}

nn_call *nn_md_call(nn_md_reader *r, const nn_value *v, const nn_value *type) {
    nn_call *c = TAKE(r, nn_call);
    if (c)
        *c =
            (nn_call){.name = type->text, .name_span = type->span, .span = v->span, .parens = true};
    return c;
}

/* Members as named arguments, "args" as positional ones in front. */
void nn_md_arguments(nn_md_reader *r, nn_call *c, nn_value *params) {
    nn_arg **tail = &c->args;
    nn_value *args = nn_md_value(params, "args");
    for (nn_value *e = args && args->kind == NN_V_LIST ? args->items : NULL; e;) {
        nn_arg *a = TAKE(r, nn_arg);
        nn_value *after = e->next;
        if (!a) return;
        nn_md_convert(r, e);
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
        size_t mark = nn_md_enter(r, a->name, -1);
        nn_md_convert(r, a->value);
        nn_md_leave(r, mark);
        *tail = a;
        tail = &a->next;
        c->n_args++;
    }
}

/* {"type": "ExponentialDecay", "params": {...}} as a call. */
void nn_md_convert_call(nn_md_reader *r, nn_value *v, nn_value *type) {
    nn_value *params = nn_md_value(v, "params"), *args = nn_md_value(v, "args");
    nn_call *c = nn_md_call(r, v, type);
    if (!c) return;
    nn_value both = {.kind = NN_V_DICT, .args = params ? params->args : NULL};
    nn_arg positional = {.name = "args", .value = args, .next = both.args};
    if (args) both.args = &positional;
    nn_md_arguments(r, c, &both);
    v->kind = NN_V_CALL;
    v->call = c;
}

/* A value read from JSON into one that the language could have: in place. */
void nn_md_convert(nn_md_reader *r, nn_value *v) {
    if (v->kind == NN_V_LIST) {
        convert_all(r, v->items);
        return;
    }
    if (v->kind != NN_V_DICT) return;
    nn_value *hpo = nn_md_value(v, "hpo"), *type = nn_md_value(v, "type");
    if (hpo)
        nn_md_convert_hpo(r, v, hpo);
    else if (nn_md_is_text(type) && (nn_md_member(v, "params") || nn_md_member(v, "args")))
        nn_md_convert_call(r, v, type);
    else
        for (nn_arg *a = v->args; a; a = a->next) nn_md_convert(r, a->value);
}
