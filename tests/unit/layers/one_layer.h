/* SPDX-License-Identifier: MIT */
/* one_layer.h - builds one layer on an input of a given shape, without the language above it: a
 * test names the arguments it gives, the others take their defaults. */
#ifndef ONE_LAYER_H
#define ONE_LAYER_H
#include "layers/layer.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct given {
    const char *name;
    nn_bound b; /* without `set` and `given` */
} given;

typedef struct built {
    nn_arena *arena;
    nn_graph *graph;
    nn_status status;
    nn_err err;
    char hint[256];
    bool on_argument; /* the error is about an argument */
    int out;
} built;

static inline nn_bound one_default(const nn_param *p) {
    nn_bound b = {.set = p->fallback != NULL, .s = p->fallback};
    if (!b.set) return b;
    b.f = strtod(p->fallback, NULL);
    b.i = (int64_t)b.f;
    b.b = strcmp(p->fallback, "true") == 0;
    for (int i = 0; i < NN_MAX_SPATIAL; i++) b.dims[i] = b.after[i] = b.i;
    if (p->type == NN_P_INITIALIZER) nn_init_find(p->fallback, &b.init);
    if (strcmp(p->fallback, "same") == 0) b.padding = NN_PAD_SAME;
    return b;
}

enum { ONE_ARGUMENT = 7, ONE_MOST_GIVEN = 12 };

static inline void one_bind(const nn_layer *l, const given *give, nn_bound *args) {
    for (int i = 0; i < nn_layer_n_params(l) + NN_COMMON_COUNT; i++)
        args[i] = one_default(nn_layer_param_at(l, i));
    for (int i = 0; give && i < ONE_MOST_GIVEN && give[i].name; i++) {
        int k = nn_layer_param(l, give[i].name);
        if (k < 0) fail_msg("%s has no %s", l->name, give[i].name);
        args[k] = give[i].b;
        args[k].set = args[k].given = true;
        args[k].span.line = ONE_ARGUMENT;
    }
}

static inline int one_input(nn_graph *g, const char *name, nn_shape shape) {
    nn_node_spec in = {.op = NN_OP_INPUT, .name = name, .layer = "Input", .layer_name = name};
    in.layer_index = -1;
    in.shape = shape;
    int id;
    nn_err err;
    CHECK_OK(nn_graph_add(g, &in, &id, &err), &err);
    return id;
}

/* give: ends with a NULL name, or NULL. masked: the input comes with tokens, an input of its own.
 * Free arena after use. */
static inline built one_build(const char *layer, nn_shape in, const given *give, bool masked) {
    const nn_layer *l = nn_layer_find(layer);
    if (!l) fail_msg("no layer %s", layer);
    nn_bound args[64];
    one_bind(l, give, args);
    built r = {.arena = nn_arena_new(NULL, "test", 0)};
    r.graph = nn_graph_new(r.arena, "test");
    int from = one_input(r.graph, "input", in), mask = -1, ret_mask = -1;
    if (masked) mask = one_input(r.graph, "tokens", (nn_shape){1, {in.dim[0]}});
    nn_span at = {0};
    const char *hint = NULL;
    bool flatten = false;
    nn_layer_ctx c = {.layer = l,
                      .name = "it",
                      .args = args,
                      .graph = r.graph,
                      .inputs = &from,
                      .n_inputs = 1,
                      .input = from,
                      .shape = &in,
                      .mask = mask,
                      .ret_mask = &ret_mask,
                      .ret_at = &at,
                      .ret_hint = &hint,
                      .ret_flatten = &flatten};
    r.err = (nn_err){0};
    r.status = l->build(&c, &r.out, &r.err);
    snprintf(r.hint, sizeof r.hint, "%s", hint ? hint : r.err.hint);
    r.on_argument = at.line == ONE_ARGUMENT;
    return r;
}

/* What comes out, as text: "(8, 4)"; fails the test if it was refused. */
static inline const char *one_shape(const char *layer, nn_shape in, const given *give) {
    static char text[160];
    built r = one_build(layer, in, give, false);
    CHECK_OK(r.status, &r.err);
    nn_shape_print(&r.graph->nodes[r.out].shape, false, text, sizeof text);
    nn_arena_free(r.arena);
    return text;
}

/* That the layer is refused with these words in the message and in the hint (NULL: any). */
static inline void one_refused(const char *layer, nn_shape in, const given *give, nn_status status,
                               bool on_argument, const char *message, const char *hint) {
    built r = one_build(layer, in, give, false);
    if (r.status != status) fail_msg("%s: status %d, %s", layer, r.status, r.err.msg);
    if (!strstr(r.err.msg, message)) fail_msg("'%s' is not in '%s'", message, r.err.msg);
    if (hint && !strstr(r.hint, hint)) fail_msg("'%s' is not in '%s'", hint, r.hint);
    assert_int_equal(r.on_argument, on_argument);
    nn_arena_free(r.arena);
}

#define GIVE(...) ((const given[ONE_MOST_GIVEN]){__VA_ARGS__})
#define INT(n, v)                                                                                  \
    {                                                                                              \
        n, {                                                                                       \
            .i = (v)                                                                               \
        }                                                                                          \
    }
#define DIMS(n, ...)                                                                               \
    {                                                                                              \
        n, {                                                                                       \
            .dims = { __VA_ARGS__ }                                                                \
        }                                                                                          \
    }
#define WORD(n, v)                                                                                 \
    {                                                                                              \
        n, {                                                                                       \
            .s = (v)                                                                               \
        }                                                                                          \
    }
#define SAME                                                                                       \
    {                                                                                              \
        "padding", {                                                                               \
            .padding = NN_PAD_SAME                                                                 \
        }                                                                                          \
    }
#define CAUSAL                                                                                     \
    {                                                                                              \
        "padding", {                                                                               \
            .padding = NN_PAD_CAUSAL                                                               \
        }                                                                                          \
    }
#define PADS(...)                                                                                  \
    {                                                                                              \
        "padding", {                                                                               \
            .padding = NN_PAD_EXPLICIT, .dims = { __VA_ARGS__ }                                    \
        }                                                                                          \
    }
#define FIRST      WORD("data_format", "channels_first")
#define SHAPE(...) ((nn_shape){sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}})
#endif
