/* SPDX-License-Identifier: MIT */
/* diff.c - what changed between two networks.
 *
 * The rows of both are aligned: two rows can be paired if they are of one layer kind and depth; of
 * all pairings in order the one with the highest score is taken (equal arguments count most, then
 * the name). What both begin and end with is paired at once; the rest is aligned by dynamic
 * programming in windows of WINDOW rows, so that time and memory stay linear for networks of any
 * length. A row's arguments are those of its call in the tree, which is walked as the checker
 * walked it. */
#include "compile/diff.h"

#include "compile/model_data.h"
#include "compile/space.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 512, SHOWN = 60 };

typedef struct row {
    const nn_unit_layer *layer;
    const nn_call *call; /* NULL: of an input section, or one that was put in */
    nn_json *args;       /* owned; NULL without a call */
    int depth;
    int partner; /* row of the other network, -1: none */
} row;

typedef struct side {
    const nn_unit *unit;
    row *rows;
    int n;
} side;

/* ---- rows and their calls ---- */

static const nn_value *resolved(const nn_unit *u, const nn_value *v) {
    while (v && v->kind == NN_V_HPO && v->hpo->point > 0)
        v = u->space->points[v->hpo->point - 1].chosen;
    return v;
}

static int64_t times(const nn_unit *u, const nn_value *repeat) {
    const nn_value *r = resolved(u, repeat);
    return r && r->kind == NN_V_INT && r->i > 0 ? r->i : 1;
}

static void walk(side *s, const nn_item *items, int *at);

static void walk_call(side *s, const nn_call *call, int *at) {
    const nn_layer *l = nn_layer_find(call->name);
    if (!l) l = &nn_layer_custom;
    if (l->role == NN_ROLE_INPUT) return; /* their rows come first, whatever declares them */
    int i = *at;
    /* A Flatten that auto_flatten put before it has its place. */
    while (i < s->n && i < *at + 2 &&
           (s->rows[i].layer->layer != l || s->rows[i].layer->span.begin != call->span.begin))
        i++;
    if (i < s->n && i < *at + 2) {
        s->rows[i].call = call;
        *at = i + 1;
    }
    walk(s, call->block, at);
}

static void walk_one(side *s, const nn_item *it, int *at) {
    const nn_value *v = it->kind == NN_ITEM_HPO ? resolved(s->unit, it->hpo) : NULL;
    if (it->kind == NN_ITEM_CALL)
        walk_call(s, it->call, at);
    else if (v && v->kind == NN_V_CALL)
        for (int64_t i = times(s->unit, v->repeat); i > 0; i--) walk_call(s, v->call, at);
    else if (v && v->kind == NN_V_ITEM)
        walk(s, v->item, at);
    else if (!v)
        walk(s, it->items, at);
}

static void walk(side *s, const nn_item *items, int *at) {
    for (const nn_item *it = items; it; it = it->next)
        for (int64_t i = times(s->unit, it->repeat); i > 0 && *at < s->n; i--) walk_one(s, it, at);
}

static bool open_side(side *s, const nn_unit *u) {
    *s = (side){.unit = u, .n = u->n_layers};
    s->rows = calloc((size_t)u->n_layers + 1, sizeof *s->rows);
    if (!s->rows) return false;
    int at = 0;
    for (int i = 0; i < s->n; i++) {
        row *r = &s->rows[i];
        *r = (row){.layer = &u->layers[i], .partner = -1};
        if (r->layer->parent >= 0) r->depth = s->rows[r->layer->parent].depth + 1;
        at += r->layer->layer->role == NN_ROLE_INPUT;
    }
    walk(s, u->network->items, &at);
    for (int i = 0; i < s->n; i++) {
        const row *r = &s->rows[i];
        const nn_layer *l = r->layer->layer;
        if (r->call) s->rows[i].args = nn_args_json(l->params, nn_layer_common, r->call->args);
    }
    return true;
}

static void close_side(side *s) {
    for (int i = 0; i < s->n && s->rows; i++) nn_json_unref(s->rows[i].args);
    free(s->rows);
}

/* ---- alignment ---- */

static bool same_kind(const row *a, const row *b) {
    return a->layer->layer == b->layer->layer && a->depth == b->depth &&
           strcmp(a->layer->type, b->layer->type) == 0;
}

static bool same_args(const row *a, const row *b) {
    return a->args && b->args ? nn_json_equal(a->args, b->args) : a->args == b->args;
}

static int score(const row *a, const row *b) {
    if (!same_kind(a, b)) return 0;
    return 2 + 3 * same_args(a, b) + (strcmp(a->layer->name, b->layer->name) == 0);
}

static void pair(side *a, int i, side *b, int j) {
    a->rows[i].partner = j;
    b->rows[j].partner = i;
}

/* Aligns na rows with nb; those before the last half of a window are settled if it is not the last
 * one. Returns false when there is no memory. */
static bool align_window(side *a, int *ai, int na, side *b, int *bi, int nb, bool last) {
    static const int half = WINDOW / 2;
    size_t wide = (size_t)nb + 1;
    int *best = calloc(((size_t)na + 1) * wide, sizeof *best);
    if (!best) return false;
    for (int i = na - 1; i >= 0; i--)
        for (int j = nb - 1; j >= 0; j--) {
            int s = score(&a->rows[*ai + i], &b->rows[*bi + j]);
            int skip_a = best[(size_t)(i + 1) * wide + (size_t)j];
            int skip_b = best[(size_t)i * wide + (size_t)j + 1];
            int both = s ? s + best[(size_t)(i + 1) * wide + (size_t)j + 1] : 0;
            int most = skip_a > skip_b ? skip_a : skip_b;
            best[(size_t)i * wide + (size_t)j] = both > most ? both : most;
        }
    int i = 0, j = 0;
    while (i < na && j < nb && (last || (i < half && j < half))) {
        int here = best[(size_t)i * wide + (size_t)j];
        if (here == best[(size_t)(i + 1) * wide + (size_t)j])
            i++;
        else if (here == best[(size_t)i * wide + (size_t)j + 1])
            j++;
        else
            pair(a, *ai + i++, b, *bi + j++);
    }
    free(best);
    *ai += last ? na : i;
    *bi += last ? nb : j;
    return true;
}

static bool identical(const side *a, int i, const side *b, int j) {
    return same_kind(&a->rows[i], &b->rows[j]) && same_args(&a->rows[i], &b->rows[j]);
}

static bool align(side *a, side *b) {
    int i = 0, j = 0, end_a = a->n, end_b = b->n;
    for (; i < end_a && j < end_b && identical(a, i, b, j); i++, j++) pair(a, i, b, j);
    while (end_a > i && end_b > j && identical(a, end_a - 1, b, end_b - 1))
        pair(a, --end_a, b, --end_b);
    while (i < end_a && j < end_b) {
        int na = end_a - i, nb = end_b - j;
        bool last = na <= WINDOW && nb <= WINDOW;
        if (!align_window(a, &i, na < WINDOW ? na : WINDOW, b, &j, nb < WINDOW ? nb : WINDOW, last))
            return false;
    }
    return true;
}

/* ---- values, for people ---- */

static void put_value(const nn_json *v, nn_buf *out);

static bool put_member(void *ctx, const char *key, nn_json *v) {
    nn_buf *out = ctx;
    if (out->n && out->p[out->n - 1] != '(') nn_buf_puts(out, ", ");
    nn_buf_printf(out, "%s=", key);
    put_value(v, out);
    return true;
}

static void put_list(const nn_json *list, nn_buf *out) {
    for (size_t i = 0; i < nn_json_size(list); i++) {
        if (i) nn_buf_puts(out, ", ");
        put_value(nn_json_at(list, i), out);
    }
}

/* {"type", "start", "end", …} or {"type", "values"} as HPO(range(1, 9)) or HPO(choice(1, 2)). */
static void put_search(const nn_json *h, nn_buf *out) {
    static const char *const bounds[] = {"start", "low", "end", "high", "step"};
    const char *type = nn_json_str(nn_json_get(h, "type"), ""), *comma = "";
    const nn_json *list = nn_json_get(h, "values");
    if (!list) list = nn_json_get(h, "options");
    nn_buf_printf(out, "HPO(%s(", list ? "choice" : type);
    if (list) put_list(list, out);
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const nn_json *v = nn_json_get(h, bounds[i]);
        if (!v) continue;
        nn_buf_printf(out, "%s%s", comma, strcmp(bounds[i], "step") ? "" : "step=");
        put_value(v, out);
        comma = ", ";
    }
    nn_buf_puts(out, "))");
}

/* {"type", "params"} is a call, {"hpo"} a search; a value as a program would have it. */
static void put_object(const nn_json *v, nn_buf *out) {
    const nn_json *params = nn_json_get(v, "params");
    const char *type = nn_json_str(nn_json_get(v, "type"), "");
    NN_BUF inner = {0};
    if (nn_json_get(v, "hpo")) {
        put_search(nn_json_get(v, "hpo"), out);
        return;
    }
    nn_buf_printf(&inner, "%s(", type);
    nn_json_each(*type && params ? params : v, put_member, &inner);
    nn_buf_printf(out, "%s)", nn_buf_str(&inner));
}

static void put_value(const nn_json *v, nn_buf *out) {
    switch (nn_json_typeof(v)) {
    case NN_JSON_STRING:
        nn_buf_puts(out, nn_json_str(v, ""));
        return;
    case NN_JSON_ARRAY:
        nn_buf_putc(out, '(');
        put_list(v, out);
        nn_buf_putc(out, ')');
        return;
    case NN_JSON_OBJECT:
        put_object(v, out);
        return;
    default:
        nn_json_dump(v, 0, out);
    }
}

/* A parameter of a row: as given, else its default; "none" where it has none. */
static void param_text(const row *r, const char *name, nn_buf *out) {
    const nn_json *v = nn_json_get(r->args, name);
    const nn_param *p = NULL;
    int i = nn_layer_param(r->layer->layer, name);
    if (i >= 0) p = nn_layer_param_at(r->layer->layer, i);
    if (v && p && p->type == NN_P_ACTIVATION && nn_json_typeof(v) == NN_JSON_STRING) {
        const char *word = nn_activation_find(nn_json_str(v, ""));
        nn_buf_puts(out, word ? word : nn_json_str(v, ""));
    } else if (v && p && p->type == NN_P_DIMS && nn_json_typeof(v) == NN_JSON_ARRAY) {
        bool equal = nn_json_size(v) > 0; /* (3, 3) is 3 */
        for (size_t k = 1; k < nn_json_size(v); k++)
            equal = equal && nn_json_equal(nn_json_at(v, k), nn_json_at(v, 0));
        put_value(equal ? nn_json_at(v, 0) : v, out);
    } else if (v) {
        put_value(v, out);
    } else {
        nn_buf_puts(out, p && p->fallback ? p->fallback : "none");
    }
}

/* ---- one change ---- */

typedef struct change {
    const char *what; /* "added" "removed" "changed" "reshaped"; NULL: none */
    const row *a, *b;
    nn_json *params; /* [{name, a, b}]; owned */
} change;

typedef struct comparing {
    const row *a, *b;
    nn_json *list;
    bool second; /* members of b that a does not have */
} comparing;

static bool compare_param(void *ctx, const char *name, nn_json *v) {
    comparing *c = ctx;
    NN_BUF a = {0};
    NN_BUF b = {0};
    (void)v;
    if (strcmp(name, "name") == 0) return true;
    if (c->second && nn_json_get(c->a->args, name)) return true;
    param_text(c->a, name, &a);
    param_text(c->b, name, &b);
    if (strcmp(nn_buf_str(&a), nn_buf_str(&b)) == 0) return true;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "name", nn_json_new_str(name));
    nn_json_set(o, "a", nn_json_new_str(nn_buf_str(&a)));
    nn_json_set(o, "b", nn_json_new_str(nn_buf_str(&b)));
    nn_json_push(c->list, o);
    return true;
}

/* Where a row's value comes from, in rows that both have: past added and removed layers. */
static int origin_of(const side *s, int i) {
    while (i >= 0 && s->rows[i].partner < 0 && s->rows[i].layer->n_inputs == 1)
        i = s->rows[i].layer->inputs[0];
    return i;
}

/* Whether a pair takes other layers than before, as far as both have them. */
static bool rewired(const side *a, const row *x, const side *b, const row *y) {
    if (x->layer->n_inputs != y->layer->n_inputs) return true;
    for (int i = 0; i < x->layer->n_inputs; i++) {
        int p = origin_of(a, x->layer->inputs[i]), q = origin_of(b, y->layer->inputs[i]);
        if (p >= 0 && q >= 0 && a->rows[p].partner >= 0 && b->rows[q].partner >= 0 &&
            a->rows[p].partner != q)
            return true;
    }
    return false;
}

static void input_names(const side *s, const row *r, nn_buf *out) {
    for (int i = 0; i < r->layer->n_inputs; i++)
        nn_buf_printf(out, "%s%s", i ? ", " : "", s->rows[r->layer->inputs[i]].layer->name);
}

static bool same_shape(const row *a, const row *b) {
    if (a->layer->known != b->layer->known) return false;
    return !a->layer->known || nn_shape_equal(&a->layer->out, &b->layer->out);
}

static change compare(const side *a, const row *x, const side *b, const row *y) {
    change c = {.a = x, .b = y, .params = nn_json_new_array()};
    comparing k = {.a = x, .b = y, .list = c.params};
    nn_json_each(x->args, compare_param, &k);
    k.second = true;
    nn_json_each(y->args, compare_param, &k);
    if (rewired(a, x, b, y)) {
        NN_BUF p = {0};
        NN_BUF q = {0};
        input_names(a, x, &p);
        input_names(b, y, &q);
        nn_json *o = nn_json_new_object();
        nn_json_set(o, "name", nn_json_new_str("inputs"));
        nn_json_set(o, "a", nn_json_new_str(nn_buf_str(&p)));
        nn_json_set(o, "b", nn_json_new_str(nn_buf_str(&q)));
        nn_json_push(c.params, o);
    }
    if (nn_json_size(c.params))
        c.what = "changed";
    else if (!same_shape(x, y))
        c.what = "reshaped";
    return c;
}

/* ---- all of them ---- */

typedef void tell(void *ctx, const change *c, const side *a, const side *b);

/* In order: what went comes before what took its place. */
static void each_change(const side *a, const side *b, tell *fn, void *ctx) {
    for (int i = 0, j = 0; i < a->n || j < b->n;) {
        if (i < a->n && a->rows[i].partner < 0) {
            fn(ctx, &(change){.what = "removed", .a = &a->rows[i++]}, a, b);
        } else if (j < b->n && b->rows[j].partner < 0) {
            fn(ctx, &(change){.what = "added", .b = &b->rows[j++]}, a, b);
        } else {
            change c = compare(a, &a->rows[i++], b, &b->rows[j++]);
            if (c.what) fn(ctx, &c, a, b);
            nn_json_unref(c.params);
        }
    }
}

/* ---- sections ---- */

static const char *const sections[] = {"loss",      "optimizer", "metrics", "training",
                                       "execution", "framework", NULL};

static bool differs(const nn_json *a, const nn_json *b, const char *section) {
    const nn_json *x = nn_json_get(a, section), *y = nn_json_get(b, section);
    return x && y ? !nn_json_equal(x, y) : x != y;
}

static void section_text(const nn_json *v, nn_buf *out) {
    if (nn_json_typeof(v) != NN_JSON_NULL &&
        !(nn_json_typeof(v) == NN_JSON_OBJECT && !nn_json_size(v)))
        put_value(v, out);
    else
        nn_buf_puts(out, "none");
}

/* ---- as text ---- */

typedef struct printer {
    nn_buf *out;
    int n;
} printer;

/* The call as it is written, on one line; of what has none, the layer's name. */
static void put_call(const side *s, const row *r, nn_buf *out) {
    const nn_source *src = s->unit->source;
    const nn_call *c = r->call;
    size_t end = c ? c->span.end : 0;
    if (c && c->has_block) /* up to its brace */
        for (end = c->span.begin; end < c->span.end && src->text[end] != '{'; end++) continue;
    if (!c || nn_source_is_json(src) || end > src->size) {
        nn_buf_puts(out, r->layer->type);
        return;
    }
    size_t begin = out->n;
    for (size_t i = c->span.begin; i < end; i++) {
        char ch = src->text[i];
        bool blank = (unsigned char)ch <= ' ';
        if (!blank || (out->n > begin && out->p[out->n - 1] != ' '))
            nn_buf_putc(out, blank ? ' ' : ch);
        if (out->n - begin < SHOWN || (ch & 0x80)) continue;
        nn_buf_puts(out, "...");
        break;
    }
    while (out->n > begin && out->p[out->n - 1] == ' ') out->p[--out->n] = 0;
}

static void put_params(const change *c, nn_buf *out) {
    for (size_t i = 0; i < nn_json_size(c->params); i++) {
        const nn_json *p = nn_json_at(c->params, i);
        nn_buf_printf(out, "%s %s %s -> %s", i ? "," : "", nn_json_str(nn_json_get(p, "name"), ""),
                      nn_json_str(nn_json_get(p, "a"), ""), nn_json_str(nn_json_get(p, "b"), ""));
    }
}

static const char *shape_text(const row *r, char *buf, size_t cap) {
    return r->layer->known ? nn_shape_print(&r->layer->out, false, buf, cap) : "?";
}

static void print_change(void *ctx, const change *c, const side *a, const side *b) {
    printer *p = ctx;
    const row *r = c->b ? c->b : c->a;
    char s[160], t[160];
    p->n++;
    nn_buf_printf(p->out, "%c %*s", !c->a ? '+' : !c->b ? '-' : '~', 2 * r->depth, "");
    if (c->a && c->b) {
        bool shape = !same_shape(c->a, c->b);
        nn_buf_puts(p->out, r->layer->type);
        put_params(c, p->out);
        if (shape)
            nn_buf_printf(p->out, "%s output %s -> %s", nn_json_size(c->params) ? "," : "",
                          shape_text(c->a, s, sizeof s), shape_text(c->b, t, sizeof t));
    } else {
        put_call(c->b ? b : a, r, p->out);
    }
    nn_buf_printf(p->out, "  (%s, line %d)\n", r->layer->name, r->layer->span.line);
}

typedef struct members {
    const char *section;
    const nn_json *a, *b;
    nn_buf *out;
    bool second; /* members that only b has */
} members;

static void print_section(const char *section, const char *key, const nn_json *a, const nn_json *b,
                          nn_buf *out) {
    nn_buf_printf(out, "~ %s%s%s ", section, key ? " " : "", key ? key : "");
    section_text(a, out);
    nn_buf_puts(out, " -> ");
    section_text(b, out);
    nn_buf_putc(out, '\n');
}

static bool print_member(void *ctx, const char *key, nn_json *v) {
    const members *m = ctx;
    const nn_json *a = nn_json_get(m->a, key), *b = nn_json_get(m->b, key);
    (void)v;
    if (m->second ? !a : !b || !nn_json_equal(a, b)) print_section(m->section, key, a, b, m->out);
    return true;
}

/* Of a reference ({"type"}) the whole, of a list of settings those that differ. */
static int print_sections(const nn_json *a, const nn_json *b, nn_buf *out) {
    int n = 0;
    for (int i = 0; sections[i]; i++) {
        members m = {sections[i], nn_json_get(a, sections[i]), nn_json_get(b, sections[i]), out,
                     false};
        if (!differs(a, b, sections[i])) continue;
        n++;
        bool settings = nn_json_typeof(m.a) == NN_JSON_OBJECT &&
                        nn_json_typeof(m.b) == NN_JSON_OBJECT && !nn_json_get(m.a, "type");
        if (settings) {
            nn_json_each(m.a, print_member, &m);
            m.second = true;
            nn_json_each(m.b, print_member, &m);
        } else {
            print_section(sections[i], NULL, m.a, m.b, out);
        }
    }
    return n;
}

static void put_count(int64_t n, nn_buf *out) {
    if (n < 0)
        nn_buf_puts(out, "?");
    else
        nn_buf_printf(out, "%" PRId64, n);
}

static void print_total(const char *what, int64_t a, int64_t b, nn_buf *out) {
    nn_buf_printf(out, "%s: ", what);
    put_count(a, out);
    if (a != b) {
        nn_buf_puts(out, " -> ");
        put_count(b, out);
    }
    if (a != b && a >= 0 && b >= 0) nn_buf_printf(out, " (%+" PRId64 ")", b - a);
    nn_buf_putc(out, '\n');
}

static bool open_both(side *a, const nn_unit *x, side *b, const nn_unit *y) {
    *b = (side){0};
    return open_side(a, x) && open_side(b, y) && align(a, b);
}

bool nn_unit_diff(const nn_unit *a, const nn_unit *b, nn_buf *out) {
    side x, y;
    printer p = {.out = out};
    if (open_both(&x, a, &y, b)) {
        NN_JSON *da = nn_model_data(a, NN_MODEL_DATA_CANONICAL);
        NN_JSON *db = nn_model_data(b, NN_MODEL_DATA_CANONICAL);
        each_change(&x, &y, print_change, &p);
        p.n += print_sections(da, db, out);
        if (p.n) {
            nn_buf_putc(out, '\n');
            print_total("parameters", a->params, b->params, out);
            print_total("FLOPs for one sample", a->flops, b->flops, out);
        }
    } else {
        nn_buf_puts(out, "no memory to compare the networks\n");
        p.n = 1;
    }
    close_side(&x);
    close_side(&y);
    return p.n > 0;
}

/* ---- as JSON ---- */

static nn_json *row_json(const row *r) {
    nn_json *o = nn_json_new_object(), *shape = nn_json_new_array();
    nn_json_set(o, "name", nn_json_new_str(r->layer->name));
    nn_json_set(o, "layer", nn_json_new_str(r->layer->type));
    nn_json_set(o, "line", nn_json_new_int(r->layer->span.line));
    for (int i = 0; i < r->layer->out.rank; i++) {
        int64_t d = r->layer->out.dim[i];
        nn_json_push(shape, d < 0 ? nn_json_new_null() : nn_json_new_int(d));
    }
    if (!r->layer->known) {
        nn_json_unref(shape);
        shape = nn_json_new_null();
    }
    nn_json_set(o, "output_shape", shape);
    if (r->args) nn_json_set(o, "params", nn_json_ref(r->args));
    return o;
}

static void push_change(void *ctx, const change *c, const side *a, const side *b) {
    nn_json *o = nn_json_new_object();
    (void)a;
    (void)b;
    nn_json_set(o, "change", nn_json_new_str(c->what));
    if (c->a) nn_json_set(o, "a", row_json(c->a));
    if (c->b) nn_json_set(o, "b", row_json(c->b));
    if (c->params && nn_json_size(c->params)) nn_json_set(o, "parameters", nn_json_ref(c->params));
    nn_json_push(ctx, o);
}

static nn_json *total_json(int64_t a, int64_t b) {
    nn_json *o = nn_json_new_object();
    bool known = a >= 0 && b >= 0;
    nn_json_set(o, "a", a < 0 ? nn_json_new_null() : nn_json_new_int(a));
    nn_json_set(o, "b", b < 0 ? nn_json_new_null() : nn_json_new_int(b));
    nn_json_set(o, "change", known ? nn_json_new_int(b - a) : nn_json_new_null());
    return o;
}

static nn_json *sections_json(const nn_unit *a, const nn_unit *b) {
    NN_JSON *da = nn_model_data(a, NN_MODEL_DATA_CANONICAL);
    NN_JSON *db = nn_model_data(b, NN_MODEL_DATA_CANONICAL);
    nn_json *list = nn_json_new_array();
    for (int i = 0; sections[i]; i++) {
        if (!differs(da, db, sections[i])) continue;
        nn_json *o = nn_json_new_object(), *v = nn_json_get(da, sections[i]);
        nn_json_set(o, "section", nn_json_new_str(sections[i]));
        nn_json_set(o, "a", v ? nn_json_ref(v) : nn_json_new_null());
        v = nn_json_get(db, sections[i]);
        nn_json_set(o, "b", v ? nn_json_ref(v) : nn_json_new_null());
        nn_json_push(list, o);
    }
    return list;
}

nn_json *nn_unit_diff_json(const nn_unit *a, const nn_unit *b) {
    side x, y;
    nn_json *o = nn_json_new_object(), *layers = nn_json_new_array();
    nn_json *changed = sections_json(a, b);
    bool ok = open_both(&x, a, &y, b);
    if (ok) each_change(&x, &y, push_change, layers);
    close_side(&x);
    close_side(&y);
    bool differ = !ok || nn_json_size(layers) || nn_json_size(changed);
    nn_json_set(o, "changed", nn_json_new_bool(differ));
    nn_json_set(o, "layers", layers);
    nn_json_set(o, "sections", changed);
    nn_json_set(o, "parameters", total_json(a->params, b->params));
    nn_json_set(o, "flops", total_json(a->flops, b->flops));
    return o;
}
