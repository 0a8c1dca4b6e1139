/* SPDX-License-Identifier: MIT */
/* document.c - a source in either form: program text, or model_data as JSON. Diagnostics of the
 * latter point into the JSON text and begin with the path of the member that they are about. */
#include "base/json_reader.h"
#include "compile/model_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool nn_source_is_json(const nn_source *src) {
    size_t n = src->name ? strlen(src->name) : 0, i = 0;
    if (n > 5 && strcasecmp(src->name + n - 5, ".json") == 0) return true;
    while (i < src->size && strchr(" \t\r\n", src->text[i])) i++;
    return i < src->size && src->text[i] == '{';
}

/* ---- paths ---- */

typedef struct level {
    bool object;
    int index; /* of the element at hand; -1 before the first */
    size_t key, key_size;
} level;

static void put_path(const level *l, int depth, const nn_buf *keys, nn_buf *out) {
    for (int i = 0; i < depth; i++) {
        if (!l[i].object && l[i].index >= 0)
            nn_buf_printf(out, "[%d]", l[i].index);
        else if (l[i].object && l[i].key_size)
            nn_buf_printf(out, "%s%.*s", out->n ? "." : "", (int)l[i].key_size,
                          nn_buf_str(keys) + l[i].key);
    }
}

/* One token: where it leads. */
static void follow(const nn_jr_token *t, level *l, int *depth, nn_buf *keys) {
    level *top = *depth ? &l[*depth - 1] : NULL;
    bool closes = t->type == NN_JR_END_ARRAY || t->type == NN_JR_END_OBJECT;
    if (closes) {
        --*depth;
        return;
    }
    if (t->type == NN_JR_KEY) {
        top->key = keys->n;
        top->key_size = t->n;
        nn_buf_append(keys, t->text, t->n);
        return;
    }
    if (top && !top->object) top->index++;
    bool opens = t->type == NN_JR_ARRAY || t->type == NN_JR_OBJECT;
    if (opens) l[(*depth)++] = (level){.object = t->type == NN_JR_OBJECT, .index = -1};
}

void nn_json_path(const nn_source *src, size_t offset, nn_buf *out) {
    NN_JR r;
    nn_jr_token t;
    NN_BUF keys = {0};
    level l[NN_JSON_MAX_DEPTH + 1] = {{0}};
    int depth = 0;
    nn_jr_init(&r, src->text, src->size);
    while (nn_jr_next(&r, &t, NULL) == NN_OK && t.type != NN_JR_END) {
        follow(&t, l, &depth, &keys);
        if ((size_t)(r.p - src->text) > offset) break;
    }
    put_path(l, depth, &keys, out);
}

/* What the reader of model_data says has its path already. */
static bool has_path(const nn_diag *g) {
    return strcmp(g->code, "bad-model-data") == 0 || strcmp(g->code, "unknown-member") == 0;
}

/* Puts paths in front; a fix is text of the language, not of JSON. */
static void place(nn_diags *d) {
    for (nn_diag *g = d->first; g; g = g->next) {
        NN_BUF path = {0};
        if (!g->hint) g->hint = g->fix.what;
        g->fix.what = NULL;
        if (!g->span.line || has_path(g)) continue;
        nn_json_path(d->source, g->span.begin, &path);
        const char *text =
            path.n ? nn_arena_printf(d->arena, "%s: %s", nn_buf_str(&path), g->message) : NULL;
        if (text) g->message = text;
    }
}

/* ---- reading ---- */

/* An error of the JSON text itself becomes a diagnostic like all others. */
static nn_status not_json(nn_diags *diags, const nn_err *e) {
    const nn_source *src = diags->source;
    nn_span at = {.line = e->line, .col = e->col, .end_line = e->line, .end_col = e->col + 1};
    for (int line = 1; line < e->line && at.begin < src->size; at.begin++)
        line += src->text[at.begin] == '\n';
    if (at.col > 0) at.begin += (size_t)at.col - 1;
    if (at.begin > src->size) at.begin = src->size;
    at.end = at.begin < src->size ? at.begin + 1 : at.begin;
    nn_diag_add(diags, NN_SEV_ERROR, "bad-model-data", at, "%s", e->msg);
    return NN_E_DSL_ERROR;
}

nn_status nn_source_parse(nn_arena *arena, const nn_source *src, nn_diags *diags, nn_program **ret,
                          nn_err *err) {
    if (!nn_source_is_json(src)) {
        *ret = nn_parse(arena, src, NN_START_PROGRAM, diags);
        return NN_OK;
    }
    nn_err e = {0};
    nn_status s = nn_model_data_parse(arena, src, diags, ret, &e);
    if (s == NN_E_INVALID_REQUEST) s = not_json(diags, &e);
    if (err && s) *err = e, err->code = s;
    return s;
}

static nn_status first_error(const nn_diags *d, nn_err *err) {
    int n;
    const nn_diag **list = nn_diags_sorted(d, &n), *g = NULL;
    for (int i = 0; i < n && !g; i++)
        if (list[i]->severity == NN_SEV_ERROR) g = list[i];
    free(list);
    nn_status s = nn_fail(err, NN_E_DSL_ERROR, "%s", g ? g->message : "this is no model_data");
    if (err && g) {
        err->line = g->span.line;
        err->col = g->span.col;
    }
    return g && g->hint ? nn_err_hint(err, s, "%s", g->hint) : s;
}

nn_status nn_compile_source(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                            nn_diags *diags, nn_unit **ret, nn_err *err) {
    nn_program *tree = NULL;
    nn_status s = nn_source_parse(arena, src, diags, &tree, err);
    if (!s) s = nn_compile_tree(arena, src, tree, opt, diags, ret, err);
    if (!nn_source_is_json(src)) return s;
    place(diags);
    return s == NN_E_DSL_ERROR ? first_error(diags, err) : s;
}
