/* SPDX-License-Identifier: MIT */
/* custom.c - what the network names and no engine of ours runs: Lambda, custom layers, the shape
 * that CustomShape asserts for one, and the reserved names.
 *
 * All of them become a CUSTOM op, which the Python back ends write out. Where nobody says what
 * shape comes out, they become nothing: one warning, and the rest of the network has no shapes. */
#include "layers/build.h"

#include <string.h>

#define OUTPUT_SHAPE_PARAM                                                                         \
    {                                                                                              \
        .name = "output_shape", .type = NN_P_SHAPE, .min = 1,                                      \
        .help = "sizes of one sample of its output, without the batch"                             \
    }

static nn_status add_custom(const nn_layer_ctx *c, const char *text, const nn_shape *shape,
                            int *ret, nn_err *err) {
    nn_attr attr = {.custom = {nn_arena_strdup(c->graph->arena, text)}};
    if (!attr.custom.text)
        return nn_fail(err, NN_E_LIMIT, "the network is too large: its memory is spent");
    return nn_build_op_n(c, NN_OP_CUSTOM, "", c->inputs, c->n_inputs, &attr, shape, ret, err);
}

static const char *spelling(const nn_layer_ctx *c) {
    return c->custom_name ? c->custom_name : c->layer->name;
}

static void warn(const nn_layer_ctx *c, const char *code, const char *message, const char *hint) {
    nn_build_notice(
        c, (nn_notice){
               .warning = true, .code = code, .at = c->span, .message = message, .hint = hint});
}

/* ---- parameters as JSON ---- */

static nn_json *as_json(const nn_param *p, const nn_bound *b) {
    switch (p->type) {
    case NN_P_INT:
        return nn_json_new_int(b->i);
    case NN_P_FLOAT:
        return nn_json_new_num(b->f);
    case NN_P_BOOL:
        return nn_json_new_bool(b->b);
    default:
        return nn_json_new_str(b->s);
    }
}

static bool copy_member(void *to, const char *key, nn_json *v) {
    nn_json_set(to, key, nn_json_ref(v));
    return true;
}

/* What the layer was given, by name: its own parameters but for the shape, then what it kept. */
static nn_status params_json(const nn_layer_ctx *c, nn_buf *out, nn_err *err) {
    NN_JSON *all = nn_json_new_object();
    for (int i = 0; c->layer->params[i].name; i++)
        if (c->args[i].set && c->layer->params[i].type != NN_P_SHAPE)
            nn_json_set(all, c->layer->params[i].name, as_json(&c->layer->params[i], &c->args[i]));
    if (c->kept) {
        NN_JSON *kept = NULL;
        if (nn_json_parse(c->kept, strlen(c->kept), &kept, err))
            return nn_fail(err, NN_E_INTERNAL, "the arguments of %s are no JSON", spelling(c));
        nn_json_each(kept, copy_member, all);
    }
    nn_json_dump(all, 0, out);
    return nn_buf_failed(out) ? nn_fail(err, NN_E_LIMIT, "memory is spent") : NN_OK;
}

static nn_status add_with_params(const nn_layer_ctx *c, const nn_shape *shape, int *ret,
                                 nn_err *err) {
    NN_BUF text = {0};
    nn_status st = params_json(c, &text, err);
    return st ? st : add_custom(c, nn_buf_str(&text), shape, ret, err);
}

/* ---- Lambda ---- */

enum { FUNCTION, LAMBDA_SHAPE, ARGUMENTS };

/* clang-format off */
static const nn_param lambda_params[] = {
    {.name = "function", .type = NN_P_STRING, .required = true, .positional = true,
     .help = "a Python function as text: \"lambda x: x * 2\""},
    OUTPUT_SHAPE_PARAM,
    {.name = "arguments", .type = NN_P_ANY,
     .help = "further arguments of the function, by name: { factor: 2 }"},
    {0},
};
/* clang-format on */

/* The function and its further arguments as JSON: `codegen` binds them, for Keras calls a Lambda
 * with its input alone. */
static nn_status lambda_text(const nn_layer_ctx *c, nn_buf *out, nn_err *err) {
    const nn_bound *args = &c->args[ARGUMENTS];
    NN_JSON *all = nn_json_new_object(), *given = NULL;
    nn_json_set(all, "function", nn_json_new_str(c->args[FUNCTION].s));
    if (args->set) {
        bool object = args->s && !nn_json_parse(args->s, strlen(args->s), &given, NULL) &&
                      nn_json_typeof(given) == NN_JSON_OBJECT;
        if (!object)
            return nn_build_blame(
                c, ARGUMENTS, "Lambda(\"lambda x, factor: x * factor\", arguments={ factor: 2 })",
                nn_fail(err, NN_E_DSL_ERROR, "arguments must be names with values"));
        nn_json_set(all, "arguments", nn_json_ref(given));
    }
    nn_json_dump(all, 0, out);
    return nn_buf_failed(out) ? nn_fail(err, NN_E_LIMIT, "memory is spent") : NN_OK;
}

static nn_status build_lambda(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    NN_BUF text = {0};
    if (!a[FUNCTION].s[strspn(a[FUNCTION].s, " \t\r\n")])
        return nn_build_blame(c, FUNCTION, "Lambda(\"lambda x: x * 2\", output_shape=(8,))",
                              nn_fail(err, NN_E_DSL_ERROR, "the function is empty"));
    nn_status st = lambda_text(c, &text, err);
    if (st) return st;
    if (!a[LAMBDA_SHAPE].set) {
        warn(c, "advice",
             "what shape this Lambda gives is not known, so nothing behind it is checked; only the "
             "Python back ends can run it",
             "say it: Lambda(\"…\", output_shape=(8,)), without the batch");
        *ret = -1;
        return NN_OK;
    }
    warn(c, "advice", "only the Python back ends can run a Lambda: its function is Python",
         "a layer of the table runs everywhere");
    return add_custom(c, nn_buf_str(&text), &a[LAMBDA_SHAPE].shape, ret, err);
}

const nn_layer nn_layer_lambda = {
    .name = "Lambda",
    .base = "lambda",
    .summary = "a function in Python, for the Python back ends",
    .family = "custom",
    .rule = "(...) -> output_shape",
    .params = lambda_params,
    .min_inputs = 1,
    .max_inputs = NN_MAX_INPUTS,
    .build = build_lambda,
};

/* ---- CustomShape ---- */

enum { LAYER, DIMS };

/* clang-format off */
static const nn_param custom_shape_params[] = {
    {.name = "layer", .type = NN_P_STRING, .required = true, .positional = true,
     .help = "name of a layer that your own code implements"},
    {.name = "dims", .type = NN_P_SHAPE, .required = true, .positional = true, .min = 1,
     .aliases = "custom_dims|shape",
     .help = "sizes of one sample of its output"},
    {0},
};
/* clang-format on */

/* Generated code names a class by it. */
static bool is_identifier(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    size_t n = strlen(s);
    return n > 0 && n <= 64 && strspn(s, letters) == n && !(s[0] >= '0' && s[0] <= '9');
}

static nn_status build_custom_shape(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const char *name = c->args[LAYER].s;
    const nn_shape *dims = &c->args[DIMS].shape;
    if (!is_identifier(name))
        return nn_build_blame(c, LAYER, "CustomShape(MyLayer, (32, 64))",
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "the name of a layer is a letter or '_', then letters, "
                                      "digits or '_', at most 64, got '%.80s'",
                                      name));
    bool known = dims->rank > 0;
    for (int i = 0; i < dims->rank; i++) known = known && dims->dim[i] > 0;
    char s[160];
    if (!known)
        return nn_build_blame(c, DIMS, NULL,
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "the dims of %s must be positive integers, got %s", name,
                                      nn_shape_print(dims, false, s, sizeof s)));
    nn_layer_ctx x = *c;
    x.custom_name = name;
    return add_custom(&x, "{}", dims, ret, err);
}

const nn_layer nn_layer_custom_shape = {
    .name = "CustomShape",
    .base = "custom_shape",
    .summary = "a layer of your own code, and the shape that it gives",
    .family = "custom",
    .rule = "(...) -> dims",
    .params = custom_shape_params,
    .min_inputs = 1,
    .max_inputs = NN_MAX_INPUTS,
    .build = build_custom_shape,
};

/* ---- custom layers ---- */

static const nn_param open_params[] = {OUTPUT_SHAPE_PARAM, {0}};

static nn_status build_custom(const nn_layer_ctx *c, int *ret, nn_err *err) {
    if (c->args[0].set) return add_with_params(c, &c->args[0].shape, ret, err);
    NN_BUF message = {0}, hint = {0};
    nn_buf_printf(&message, "what shape %s gives is not known, so nothing behind it is checked",
                  spelling(c));
    nn_buf_printf(&hint, "declare it: custom %s(…) -> (8,), or give output_shape=(8,)",
                  spelling(c));
    warn(c, "advice", nn_buf_str(&message), nn_buf_str(&hint));
    *ret = -1;
    return NN_OK;
}

const nn_layer nn_layer_custom = {
    .name = "Custom",
    .base = "custom",
    .summary = "a layer that your own code implements",
    .family = "custom",
    .rule = "(...) -> the shape that is declared for it",
    .params = open_params,
    .min_inputs = 1,
    .max_inputs = NN_MAX_INPUTS,
    .block = NN_BLOCK_OPTIONAL,
    .open_params = true,
    .build = build_custom,
};

/* ---- reserved names ---- */

/* shape NULL: not known. */
static nn_status add_reserved(const nn_layer_ctx *c, const nn_shape *shape, int *ret, nn_err *err) {
    NN_BUF message = {0}, hint = {0};
    nn_buf_printf(&message, "%s is a reserved name: %s%s", c->layer->name, c->layer->reserved,
                  shape ? "" : "; what shape it gives is not known");
    nn_buf_printf(&hint,
                  "a layer of your own code runs in the Python back ends: custom My%s(…) -> "
                  "(8,)",
                  c->layer->name);
    warn(c, "reserved", nn_buf_str(&message), nn_buf_str(&hint));
    if (shape) return add_with_params(c, shape, ret, err);
    *ret = -1;
    return NN_OK;
}

enum { NUM_CAPSULES, DIM_CAPSULE };

/* clang-format off */
static const nn_param capsule_params[] = {
    {.name = "num_capsules", .type = NN_P_INT, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .help = "capsules of the output"},
    {.name = "dim_capsule", .type = NN_P_INT, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .help = "size of each capsule"},
    {.name = "routings", .type = NN_P_INT, .positional = true, .min = 1, .max = (double)NN_MAX_DIM,
     .fallback = "3", .help = "rounds of routing"},
    {0},
};
/* clang-format on */

static nn_status build_capsule(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_shape shape = {
        .rank = 2, .dim = {a[NUM_CAPSULES].i, a[DIM_CAPSULE].i}
    };
    bool known = a[NUM_CAPSULES].set && a[DIM_CAPSULE].set;
    return add_reserved(c, known ? &shape : NULL, ret, err);
}

enum { UNITS, NUM_HEADS };

/* clang-format off */
#define UNITS_PARAM {.name = "units", .type = NN_P_INT, .positional = true, .min = 1,              \
     .max = (double)NN_MAX_DIM, .help = "size of the last axis of the output"}

static const nn_param graph_conv_params[] = {UNITS_PARAM, {0}};
static const nn_param graph_attention_params[] = {
    UNITS_PARAM,
    {.name = "num_heads", .type = NN_P_INT, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .fallback = "1", .help = "heads of attention"},
    {0},
};
/* clang-format on */

/* Whether several heads are joined or averaged is the implementation's choice. */
static nn_status build_graph(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    bool heads = c->layer->params[NUM_HEADS].name && a[NUM_HEADS].i != 1;
    nn_shape shape = *c->shape;
    bool known = a[UNITS].set && !heads && shape.rank > 0;
    if (known) shape.dim[shape.rank - 1] = a[UNITS].i;
    return add_reserved(c, known ? &shape : NULL, ret, err);
}

static nn_status build_open(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return add_reserved(c, c->args[0].set ? &c->args[0].shape : NULL, ret, err);
}

const nn_layer nn_layer_capsule_layer = {
    .name = "CapsuleLayer",
    .base = "capsule_layer",
    .summary = "reserved: capsules with dynamic routing",
    .family = "custom",
    .rule = "(...) -> (num_capsules, dim_capsule)",
    .params = capsule_params,
    .reserved = "no engine runs routing between capsules",
    .build = build_capsule,
};

const nn_layer nn_layer_graph_conv = {
    .name = "GraphConv",
    .base = "graph_conv",
    .summary = "reserved: a convolution over the edges of a graph",
    .family = "custom",
    .rule = "(nodes, features) -> (nodes, units)",
    .params = graph_conv_params,
    .min_inputs = 1,
    .max_inputs = 2,
    .reserved = "no engine runs layers over the edges of a graph",
    .build = build_graph,
};

const nn_layer nn_layer_graph_attention = {
    .name = "GraphAttention",
    .base = "graph_attention",
    .summary = "reserved: attention over the edges of a graph",
    .family = "custom",
    .rule = "(nodes, features) -> (nodes, units) with one head; with several it is not known",
    .params = graph_attention_params,
    .min_inputs = 1,
    .max_inputs = 2,
    .reserved = "no engine runs layers over the edges of a graph",
    .build = build_graph,
};

const nn_layer nn_layer_quantum_layer = {
    .name = "QuantumLayer",
    .base = "quantum_layer",
    .summary = "reserved: a quantum circuit",
    .family = "custom",
    .rule = "(...) -> output_shape",
    .params = open_params,
    .open_params = true,
    .reserved = "no engine runs quantum circuits",
    .build = build_open,
};

const nn_layer nn_layer_dynamic_layer = {
    .name = "DynamicLayer",
    .base = "dynamic_layer",
    .summary = "reserved: a layer that changes while it runs",
    .family = "custom",
    .rule = "(...) -> output_shape",
    .params = open_params,
    .open_params = true,
    .reserved = "no engine runs layers that change while they run",
    .build = build_open,
};
