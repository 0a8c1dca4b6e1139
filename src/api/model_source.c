/* SPDX-License-Identifier: MIT */
/* model_source.c - see model_source.h. The body was parsed before the handler ran, so that a second
 * reading cannot fail. */
#include "api/model_source.h"

#include "base/json_reader.h"
#include "compile/space.h"

#include <stdio.h>
#include <string.h>

/* ---- the text ---- */

nn_source nn_model_source(const nn_request *q) {
    nn_source src = {.name = "model_data", .text = q->http->body.p, .size = 0};
    NN_JR jr;
    nn_jr_token t;
    nn_err err;
    nn_jr_init(&jr, q->http->body.p, q->http->body.n);
    nn_status s = nn_jr_next(&jr, &t, &err); /* the body's brace */
    while (!s && !(s = nn_jr_next(&jr, &t, &err)) && t.type == NN_JR_KEY) {
        bool found = nn_jr_is(&t, "model_data");
        s = nn_jr_next(&jr, &t, &err);
        const char *brace = jr.p - 1;
        if (!s) s = nn_jr_skip(&jr, &t, &err);
        if (s || !found) continue;
        src.text = brace;
        src.size = (size_t)(jr.p - brace);
        break;
    }
    return src;
}

static bool has_shape(void *ctx, const char *key, nn_json *v) {
    bool *all = ctx;
    (void)key;
    *all = nn_json_typeof(v) == NN_JSON_ARRAY || nn_json_get(v, "shape");
    return *all;
}

bool nn_model_source_has_shape(const nn_json *model_data) {
    nn_json *input = nn_json_get(model_data, "input");
    if (!input) input = nn_json_get(model_data, "inputs");
    bool all = nn_json_get(input, "shape") != NULL;
    if (all || !nn_json_size(input)) return all;
    if (nn_json_typeof(input) == NN_JSON_OBJECT) { /* named inputs */
        nn_json_each(input, has_shape, &all);
        return all;
    }
    nn_json *first = nn_json_at(input, 0); /* of a bare shape a number or null, else an input */
    bool bare = nn_json_typeof(first) == NN_JSON_INT || nn_json_typeof(first) == NN_JSON_NULL;
    if (!bare) has_shape(&all, NULL, first);
    return bare || all;
}

/* ---- settings ---- */

/* A value as a program would have it. */
static void put_value(nn_buf *out, const nn_json *v) {
    static const char special[] = "\"\\\n\t", letter[] = "\"\\nt";
    switch (nn_json_typeof(v)) {
    case NN_JSON_STRING:
        nn_buf_putc(out, '"');
        for (const char *p = nn_json_str(v, ""); *p; p++) {
            const char *s = strchr(special, *p);
            if (s) nn_buf_putc(out, '\\');
            nn_buf_putc(out, s ? letter[s - special] : *p);
        }
        nn_buf_putc(out, '"');
        return;
    case NN_JSON_ARRAY:
        nn_buf_putc(out, '[');
        for (size_t i = 0; i < nn_json_size(v); i++) {
            if (i) nn_buf_puts(out, ", ");
            put_value(out, nn_json_at(v, i));
        }
        nn_buf_putc(out, ']');
        return;
    case NN_JSON_NULL:
        nn_buf_puts(out, "None");
        return;
    default:
        nn_json_dump(v, 0, out);
    }
}

/* "dense_units" of Dense.units, letter case and underscores apart; what belongs to no layer goes by
 * its own name. */
static bool is_called(const nn_search_point *p, const char *name) {
    char full[128];
    if (strcmp(name, p->path) == 0 || strcmp(name, p->alias) == 0) return true;
    if (strncmp(p->path, "layers[", 7) != 0) return strcmp(name, p->param) == 0;
    snprintf(full, sizeof full, "%.60s_%.60s", p->owner, p->param);
    return nn_name_equal(name, full);
}

typedef struct chooser {
    nn_arena *arena;
    const nn_space *space;
    nn_json *warnings;
    nn_setting *list;
    int n;
    bool full;
} chooser;

static void warn_unknown(chooser *c, const char *name) {
    NN_BUF text = {0};
    nn_buf_printf(&text, "best_params: '%.80s' names no search point and was ignored", name);
    for (int i = 0; i < c->space->n && i < 8; i++)
        nn_buf_printf(&text, "%s%.100s", i ? ", " : "; there are: ", c->space->points[i].alias);
    if (!c->space->n) nn_buf_puts(&text, "; nothing in this network is searched");
    if (c->space->n > 8) nn_buf_puts(&text, ", …");
    nn_json_push(c->warnings, nn_json_new_str(nn_buf_str(&text)));
}

static bool choose(void *ctx, const char *name, nn_json *v) {
    chooser *c = ctx;
    NN_BUF value = {0};
    put_value(&value, v);
    const char *text = nn_arena_strdup(c->arena, nn_buf_str(&value));
    int before = c->n;
    for (int i = 0; i < c->space->n && text; i++) {
        const nn_search_point *p = &c->space->points[i];
        if (!is_called(p, name)) continue;
        if (c->n == NN_MODEL_SETTINGS_MAX) break;
        c->list[c->n++] = (nn_setting){nn_arena_strdup(c->arena, p->path), text};
    }
    c->full = !text || c->n == NN_MODEL_SETTINGS_MAX;
    if (c->n == before && !c->full) warn_unknown(c, name);
    return !c->full;
}

nn_status nn_model_settings(nn_arena *arena, const nn_space *space, const nn_json *best_params,
                            nn_json *warnings, nn_setting **ret, int *ret_n, nn_err *err) {
    chooser c = {.arena = arena, .space = space, .warnings = warnings};
    c.list = NN_NEW_N(arena, nn_setting, NN_MODEL_SETTINGS_MAX);
    c.full = !c.list;
    if (c.list) nn_json_each(best_params, choose, &c);
    if (c.full)
        return nn_fail(err, NN_E_LIMIT, "best_params must set fewer than %d search points",
                       NN_MODEL_SETTINGS_MAX);
    *ret = c.list;
    *ret_n = c.n;
    return NN_OK;
}
