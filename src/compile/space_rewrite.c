/* SPDX-License-Identifier: MIT */
/* space_rewrite.c - a program with chosen values in place of its HPO expressions.
 *
 * The program is compiled with the settings; each point that took one becomes an edit of its
 * expression's bytes: a number as it was given, else the bytes of the chosen candidate, so that
 * quotes stay as they were. Several points may come of one expression (a macro called twice, a
 * parameter used twice): they must agree. At last the result is compiled, and must give the network
 * that the settings gave; so a rewriting that would change the meaning is refused, not made. */
#include "compile/model_data.h"
#include "compile/space.h"

#include <string.h>

typedef struct edit {
    size_t begin, end;            /* of the expression */
    const char *text;             /* NULL: the candidate's own bytes, edits within them made */
    size_t from, to;              /* of the candidate */
    const nn_search_point *point; /* for messages */
} edit;

typedef struct rewriter {
    nn_arena *arena;
    const nn_unit *unit; /* compiled with the settings */
    const nn_setting *settings;
    int n_settings;
    edit *edits; /* by begin, outer ones first */
    int n;
} rewriter;

/* ---- the text of a value ---- */

static bool is_number(const nn_value *v) {
    return v->kind == NN_V_INT || v->kind == NN_V_FLOAT;
}

static bool is_word(const nn_value *v) {
    return v->kind == NN_V_STRING || v->kind == NN_V_NAME;
}

static const nn_setting *setting_of(const rewriter *r, const nn_search_point *p) {
    for (int i = 0; i < r->n_settings; i++) {
        const char *path = r->settings[i].path;
        if (strcmp(path, p->path) == 0 || strcmp(path, p->alias) == 0) return &r->settings[i];
    }
    return NULL;
}

/* The value that was given, by the language's own rules; it was checked. */
static const nn_value *given(const rewriter *r, const nn_search_point *p) {
    const nn_setting *s = setting_of(r, p);
    nn_source *src = s ? NN_NEW(r->arena, nn_source) : NULL;
    if (!src) return p->chosen; /* by its outer point's value, or out of memory */
    *src = (nn_source){"--set", s->value, strlen(s->value)};
    nn_diags *quiet = nn_diags_new(r->arena, src);
    const nn_value *v = quiet ? nn_parse_value(r->arena, src, quiet) : NULL;
    return v ? v : p->chosen;
}

/* A number as it is spelled, where its form has that spelling. */
static const char *number_text(const rewriter *r, const nn_value *v) {
    NN_JSON *number = NULL;
    if (!nn_source_is_json(r->unit->source)) return v->text;
    if (nn_json_parse(v->text, strlen(v->text), &number, NULL) == NN_OK) return v->text;
    NN_BUF text = {0};
    number = nn_value_json(v);
    nn_json_dump(number, 0, &text);
    return nn_arena_strdup(r->arena, nn_buf_str(&text));
}

/* The candidate that was chosen, or the one within a nested choice that has its name. */
static const nn_value *candidate(const nn_hpo *h, const nn_value *chosen) {
    if (h->kind != NN_HPO_CHOICE) return NULL;
    for (const nn_value *e = h->values; e; e = e->next) {
        if (e == chosen) return e;
        const nn_value *inner = e->kind == NN_V_HPO ? candidate(e->hpo, chosen) : NULL;
        if (inner) return inner;
        if (is_word(e) && is_word(chosen) && strcmp(e->text, chosen->text) == 0) return e;
    }
    return NULL;
}

static const char *source_text(const rewriter *r, nn_span s) {
    return nn_arena_strndup(r->arena, r->unit->source->text + s.begin, s.end - s.begin);
}

static bool make_edit(const rewriter *r, const nn_search_point *p, edit *to) {
    const nn_value *v = given(r, p), *c = candidate(p->value->hpo, p->chosen);
    nn_span at = p->value->span;
    *to = (edit){.begin = at.begin, .end = at.end, .point = p};
    if (c && !is_number(c)) {
        to->from = c->span.begin;
        to->to = c->repeat && c->repeat->span.end > c->span.end ? c->repeat->span.end : c->span.end;
        bool inside = to->from >= at.begin && to->to <= at.end;
        if (!inside) to->text = source_text(r, c->span); /* a macro's argument */
        return inside || to->text;
    }
    if (!is_number(v)) v = p->chosen;
    to->text = is_number(v) ? number_text(r, v) : source_text(r, v->span);
    return to->text;
}

/* ---- which edits ---- */

/* Whether the expression is still in the text: no setting chose another candidate around it. */
static bool stays(const nn_space *s, const nn_search_point *p) {
    for (; p->parent >= 0; p = &s->points[p->parent]) {
        const nn_search_point *up = &s->points[p->parent];
        const nn_value *c = up->value->hpo->values;
        for (int i = 0; c && i < p->candidate; i++) c = c->next;
        if (up->set && up->chosen != c) return false;
    }
    return true;
}

static bool same_edit(const edit *a, const edit *b) {
    if (!a->text || !b->text) return a->text == b->text && a->from == b->from && a->to == b->to;
    return strcmp(a->text, b->text) == 0;
}

static nn_status disagree(const nn_search_point *a, const nn_search_point *b, nn_err *err) {
    nn_status s =
        nn_fail(err, NN_E_VALIDATION_ERROR,
                "'%.120s' and '%.120s' come of one expression (line %d), and %s", a->path, b->path,
                a->value->span.line,
                b->set ? "are given different values" : "only the first is given a value");
    return nn_err_hint(err, s, "give both the same value, or write the macro out");
}

/* An edit, unless its expression has that edit already. */
static nn_status add_edit(rewriter *r, const edit *e, nn_err *err) {
    int i = 0;
    for (; i < r->n; i++) {
        const edit *x = &r->edits[i];
        if (x->begin == e->begin && x->end == e->end)
            return same_edit(x, e) ? NN_OK : disagree(x->point, e->point, err);
        if (x->begin > e->begin || (x->begin == e->begin && x->end < e->end)) break;
    }
    memmove(&r->edits[i + 1], &r->edits[i], (size_t)(r->n++ - i) * sizeof *e);
    r->edits[i] = *e;
    return NN_OK;
}

static const edit *edit_of(const rewriter *r, const nn_search_point *p) {
    for (int i = 0; i < r->n; i++)
        if (r->edits[i].begin == p->value->span.begin && r->edits[i].end == p->value->span.end)
            return &r->edits[i];
    return NULL;
}

static nn_status collect(rewriter *r, nn_err *err) {
    const nn_space *s = r->unit->space;
    for (int i = 0; i < s->n; i++) {
        edit e;
        if (!s->points[i].set || !stays(s, &s->points[i])) continue;
        if (!make_edit(r, &s->points[i], &e))
            return nn_fail(err, NN_E_LIMIT, "the rewritten program does not fit into memory");
        nn_status st = add_edit(r, &e, err);
        if (st) return st;
    }
    for (int i = 0; i < s->n; i++) {
        const nn_search_point *p = &s->points[i];
        const edit *e = p->set || !stays(s, p) ? NULL : edit_of(r, p);
        if (e) return disagree(e->point, p, err);
    }
    return NN_OK;
}

/* ---- writing ---- */

static void render(const rewriter *r, size_t from, size_t to, nn_buf *out) {
    const char *text = r->unit->source->text;
    size_t pos = from;
    for (int i = 0; i < r->n; i++) {
        const edit *e = &r->edits[i];
        if (e->begin < pos || e->end > to) continue;
        nn_buf_append(out, text + pos, e->begin - pos);
        if (e->text)
            nn_buf_puts(out, e->text);
        else
            render(r, e->from, e->to, out);
        pos = e->end;
    }
    nn_buf_append(out, text + pos, to - pos);
}

static nn_status compile(nn_arena *arena, const nn_source *src, bool auto_flatten,
                         const nn_setting *settings, int n, nn_unit **ret, nn_err *err) {
    nn_compile_options opt = {.auto_flatten = auto_flatten, .settings = settings, .n_settings = n};
    nn_diags *diags = nn_diags_new(arena, src);
    if (!diags) return nn_fail(err, NN_E_LIMIT, "the program does not fit into memory");
    return nn_compile_source(arena, src, &opt, diags, ret, err);
}

/* A graph without the places that its nodes have in the text. */
static nn_json *meaning(const nn_graph *g) {
    nn_json *v = nn_graph_json(g), *nodes = nn_json_get(v, "nodes");
    for (size_t i = 0; i < nn_json_size(nodes); i++) {
        nn_json_del(nn_json_at(nodes, i), "span");
        nn_json_del(nn_json_at(nodes, i), "layer_index");
    }
    return v;
}

/* The result must mean what the settings meant. */
static nn_status verify(const rewriter *r, const nn_buf *text, nn_err *err) {
    const nn_unit *u = r->unit;
    nn_source src = {u->source->name, nn_buf_str(text), text->n};
    nn_unit *again = NULL;
    nn_err why = {0};
    nn_status s = compile(r->arena, &src, u->auto_flatten, NULL, 0, &again, &why);
    if (s == NN_E_LIMIT) return nn_fail(err, s, "%s", why.msg);
    NN_JSON *a = meaning(u->graph);
    NN_JSON *b = s ? NULL : meaning(again->graph);
    if (!s && nn_json_equal(a, b)) return NN_OK;
    s = nn_fail(err, NN_E_UNSUPPORTED,
                s ? "the values cannot be written into this program: it would not compile (%s)"
                  : "the values cannot be written into this program: it would be another network%s",
                why.msg);
    return nn_err_hint(err, s, "write them by hand; --set gives the same network without");
}

/* A fault of the settings, or of the network that they make. */
static nn_status bad_settings(nn_err *err) {
    if (err) err->code = NN_E_VALIDATION_ERROR;
    return NN_E_VALIDATION_ERROR;
}

nn_status nn_space_rewrite(const nn_unit *u, const nn_setting *settings, int n, nn_buf *out,
                           nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "rewrite", (size_t)2 << 30);
    rewriter r = {.arena = arena, .settings = settings, .n_settings = n};
    nn_unit *chosen = NULL;
    nn_status s = compile(arena, u->source, u->auto_flatten, settings, n, &chosen, err);
    if (s == NN_E_DSL_ERROR) return bad_settings(err);
    if (s) return s;
    r.unit = chosen;
    r.edits = NN_NEW_N(arena, edit, (size_t)chosen->space->n + 1);
    if (!r.edits) return nn_fail(err, NN_E_LIMIT, "the program does not fit into memory");
    NN_BUF text = {0};
    s = collect(&r, err);
    if (s) return s;
    render(&r, 0, u->source->size, &text);
    if (nn_buf_failed(&text))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the rewritten program");
    s = verify(&r, &text, err);
    if (!s) nn_buf_append(out, nn_buf_str(&text), text.n);
    return s;
}
