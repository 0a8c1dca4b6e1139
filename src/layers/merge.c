/* SPDX-License-Identifier: MIT */
/* merge.c - layers of several inputs: element by element, one after the other, and Dot.
 *
 * Keras's rules. Element by element, samples are broadcast as NumPy does: aligned at their last
 * axis, a size of 1 or a missing axis is repeated. A size that is known only at run time goes with
 * any other. The ops would refuse the same shapes; here is where the message can name the inputs.
 */
#include "layers/build.h"

#include <inttypes.h>
#include <stdio.h>

static const nn_shape *operand(const nn_layer_ctx *c, int i) {
    return &c->graph->nodes[c->inputs[i]].shape;
}

/* "dense_1 (32,), dense_2 (16,)", cut after as many as fit. */
static const char *operands(const nn_layer_ctx *c, char *buf, size_t cap) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < c->n_inputs; i++) {
        char s[160], one[160 + NN_MAX_NAME];
        int n = snprintf(one, sizeof one, "%s%s %s", i ? ", " : "",
                         c->graph->nodes[c->inputs[i]].layer_name,
                         nn_shape_print(operand(c, i), false, s, sizeof s));
        if (n < 0 || at + (size_t)n + sizeof ", …" > cap) {
            snprintf(buf + at, cap - at, ", …");
            break;
        }
        at += (size_t)snprintf(buf + at, cap - at, "%s", one);
    }
    return buf;
}

/* ---- element by element ---- */

static const nn_param no_params[] = {{0}};

/* The size of axis k from the end; 1 where the shape is shorter. */
static int64_t from_end(const nn_shape *s, int k) {
    return k < s->rank ? s->dim[s->rank - 1 - k] : 1;
}

static nn_status check_broadcast(const nn_layer_ctx *c, nn_err *err) {
    char all[320];
    for (int k = 0; k < NN_MAX_RANK; k++) {
        int64_t size = 1;
        for (int i = 0; i < c->n_inputs; i++) {
            int64_t d = from_end(operand(c, i), k);
            if (d > 1 && size > 1 && d != size) {
                nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                                       "axis -%d is %" PRId64 " and %" PRId64
                                       ", expected equal sizes or 1: its inputs are %s",
                                       k + 1, size, d, operands(c, all, sizeof all));
                return nn_err_hint(err, st,
                                   "give the layers before it the same size; Concatenate() puts "
                                   "inputs of different sizes side by side");
            }
            if (d > 1) size = d;
        }
    }
    return NN_OK;
}

static nn_status build_merge(const nn_layer_ctx *c, nn_merge kind, int *ret, nn_err *err) {
    nn_attr attr = {.merge = {kind}};
    nn_status st = check_broadcast(c, err);
    if (st) return st;
    return nn_build_op_n(c, NN_OP_MERGE, "", c->inputs, c->n_inputs, &attr, NULL, ret, err);
}

/* NN_MERGE_LAYER(NAME, symbol, Name, most, summary): a row for each function of merges.def. */
#define NN_MERGE_LAYERS                                                                            \
    NN_MERGE_LAYER(ADD, add, "Add", NN_MAX_INPUTS, "the sum of its inputs")                        \
    NN_MERGE_LAYER(SUBTRACT, subtract, "Subtract", 2, "the first input minus the second")          \
    NN_MERGE_LAYER(MULTIPLY, multiply, "Multiply", NN_MAX_INPUTS, "the product of its inputs")     \
    NN_MERGE_LAYER(AVERAGE, average, "Average", NN_MAX_INPUTS, "the mean of its inputs")           \
    NN_MERGE_LAYER(MAXIMUM, maximum, "Maximum", NN_MAX_INPUTS, "the largest of its inputs")        \
    NN_MERGE_LAYER(MINIMUM, minimum, "Minimum", NN_MAX_INPUTS, "the least of its inputs")

#define NN_MERGE_LAYER(N, symbol, name_, most, text)                                               \
    static nn_status build_##symbol(const nn_layer_ctx *c, int *ret, nn_err *err) {                \
        return build_merge(c, NN_MERGE_##N, ret, err);                                             \
    }                                                                                              \
    const nn_layer nn_layer_##symbol = {                                                           \
        .name = name_,                                                                             \
        .base = #symbol,                                                                           \
        .summary = text ", element by element",                                                    \
        .family = "merge",                                                                         \
        .rule = "(a, b), (a, b), … -> (a, b); an axis of size 1 is repeated",                      \
        .params = no_params,                                                                       \
        .min_inputs = 2,                                                                           \
        .max_inputs = most,                                                                        \
        .passes_mask = true,                                                                       \
        .build = build_##symbol,                                                                   \
    };
NN_MERGE_LAYERS

/* ---- Concatenate ---- */

enum { AXIS };

/* clang-format off */
static const nn_param concatenate_params[] = {
    {.name = "axis", .type = NN_P_INT, .positional = true, .min = -NN_MAX_RANK, .max = NN_MAX_RANK,
     .fallback = "-1", .help = "the axis along which the inputs stand; the batch is axis 0"},
    {0},
};
/* clang-format on */

/* All inputs alike but for `axis`. */
static nn_status check_alike(const nn_layer_ctx *c, int axis, nn_err *err) {
    const nn_shape *a = operand(c, 0);
    char all[320];
    for (int i = 1; i < c->n_inputs; i++) {
        const nn_shape *b = operand(c, i);
        if (b->rank != a->rank) {
            nn_status st =
                nn_fail(err, NN_E_DSL_ERROR,
                        "its inputs have %d and %d axes, expected the same number: they are %s",
                        a->rank, b->rank, operands(c, all, sizeof all));
            return nn_err_hint(err, st, "Flatten() or Reshape(…) in a branch brings them together");
        }
        for (int k = 0; k < a->rank; k++) {
            if (k == axis || a->dim[k] < 0 || b->dim[k] < 0 || a->dim[k] == b->dim[k]) continue;
            nn_status st =
                nn_fail(err, NN_E_DSL_ERROR,
                        "axis %d is %" PRId64 " and %" PRId64
                        ", and only axis %d may differ: its inputs are %s",
                        k + 1, a->dim[k], b->dim[k], axis + 1, operands(c, all, sizeof all));
            return nn_err_hint(err, st,
                               "padding=\"same\" keeps sizes; axis=… concatenates along another "
                               "axis");
        }
    }
    return NN_OK;
}

static nn_status build_concatenate(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int axis;
    nn_status st = nn_build_axis(c->args[AXIS].i, c->shape->rank, &axis, err);
    if (st) return nn_build_blame(c, AXIS, NULL, st);
    st = check_alike(c, axis, err);
    if (st) return st;
    nn_attr attr = {.concat = {axis}};
    return nn_build_op_n(c, NN_OP_CONCAT, "", c->inputs, c->n_inputs, &attr, NULL, ret, err);
}

const nn_layer nn_layer_concatenate = {
    .name = "Concatenate",
    .base = "concatenate",
    .summary = "its inputs one after the other along an axis",
    .family = "merge",
    .rule = "(..., a), (..., b), … -> (..., a + b + …)",
    .aliases = "Concat",
    .params = concatenate_params,
    .min_inputs = 2,
    .max_inputs = NN_MAX_INPUTS,
    .build = build_concatenate,
};

/* ---- Dot ---- */

enum { AXES, NORMALIZE };

/* clang-format off */
static const nn_param dot_params[] = {
    {.name = "axes", .type = NN_P_AXES, .required = true, .positional = true,
     .min = -NN_MAX_RANK, .max = NN_MAX_RANK,
     .help = "the axis of each input to sum over, one number for both; the batch is axis 0"},
    {.name = "normalize", .type = NN_P_BOOL, .fallback = "false",
     .help = "both to length 1 first: the result is the cosine of their angle"},
    {0},
};
/* clang-format on */

static nn_status build_dot(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {.dot = {.normalize = a[NORMALIZE].b}};
    for (int i = 0; i < 2; i++) {
        nn_status st = nn_build_axis(a[AXES].dims[i], operand(c, i)->rank, &attr.dot.axes[i], err);
        if (st) return nn_build_blame(c, AXES, NULL, st);
    }
    int64_t x = operand(c, 0)->dim[attr.dot.axes[0]], y = operand(c, 1)->dim[attr.dot.axes[1]];
    char all[320];
    if (x >= 0 && y >= 0 && x != y)
        return nn_build_blame(c, AXES, "axes=(…, …) names an axis of each input",
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "the axes to sum over are %" PRId64 " and %" PRId64
                                      ", expected equal sizes: its inputs are %s",
                                      x, y, operands(c, all, sizeof all)));
    return nn_build_op_n(c, NN_OP_DOT, "", c->inputs, c->n_inputs, &attr, NULL, ret, err);
}

const nn_layer nn_layer_dot = {
    .name = "Dot",
    .base = "dot",
    .summary = "products of two inputs, summed over an axis of each",
    .family = "merge",
    .rule = "(a..., n, b...), (c..., n, d...) -> (a..., b..., c..., d...), at least (1)",
    .params = dot_params,
    .min_inputs = 2,
    .max_inputs = 2,
    .build = build_dot,
};
