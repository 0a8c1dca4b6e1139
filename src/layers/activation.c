/* SPDX-License-Identifier: MIT */
/* activation.c - Activation, a function by name with its argument, and the functions that Keras has
 * as layers of their own. */
#include "layers/build.h"

#include <math.h>

static nn_status add(const nn_layer_ctx *c, nn_act kind, double alpha, const char *suffix, int *ret,
                     nn_err *err) {
    nn_attr attr = {
        .activation = {kind, alpha}
    };
    return nn_build_op(c, NN_OP_ACTIVATION, suffix, c->input, &attr, NULL, ret, err);
}

/* ---- Activation ---- */

enum { FUNCTION, ALPHA };

/* clang-format off */
static const nn_param function_params[] = {
    {.name = "function", .type = NN_P_ACTIVATION, .required = true, .positional = true,
     .aliases = "activation",
     .help = "name of the function"},
    {.name = "alpha", .type = NN_P_FLOAT, .positional = true, .aliases = "negative_slope",
     .help = "argument of leaky_relu, elu and celu"},
    {0},
};
/* clang-format on */

static nn_status build_function(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    int kind = nn_act_find(a[FUNCTION].s);
    if (a[ALPHA].set && (kind < 0 || nn_act_default_alpha((nn_act)kind) == 0))
        return nn_build_blame(
            c, ALPHA, "leaky_relu, elu and celu take an alpha",
            nn_fail(err, NN_E_DSL_ERROR, "activation '%s' takes no alpha", a[FUNCTION].s));
    nn_build_act act = {.name = a[FUNCTION].s,
                        .suffix = "",
                        .alpha = a[ALPHA].f,
                        .has_alpha = a[ALPHA].set,
                        .always = true};
    return nn_build_activation(c, c->input, &act, ret, err);
}

/* ---- LeakyReLU, ELU ---- */

/* clang-format off */
static const nn_param leaky_params[] = {
    {.name = "alpha", .type = NN_P_FLOAT, .positional = true, .fallback = "0.3",
     .aliases = "negative_slope", .help = "slope of the negative part"},
    {0},
};
static const nn_param elu_params[] = {
    {.name = "alpha", .type = NN_P_FLOAT, .positional = true, .fallback = "1.0",
     .help = "the negative part goes to minus this"},
    {0},
};
/* clang-format on */

static nn_status build_leaky(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return add(c, NN_ACT_LEAKY_RELU, c->args[0].f, "", ret, err);
}

static nn_status build_elu(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return add(c, NN_ACT_ELU, c->args[0].f, "", ret, err);
}

/* ---- ReLU ---- */

enum { MAX_VALUE, SLOPE, THRESHOLD };

/* clang-format off */
static const nn_param relu_params[] = {
    {.name = "max_value", .type = NN_P_FLOAT, .positional = true, .min = 0, .above_min = true,
     .help = "largest output; none by default"},
    {.name = "negative_slope", .type = NN_P_FLOAT, .positional = true, .fallback = "0",
     .aliases = "alpha", .help = "slope of the negative part"},
    {.name = "threshold", .type = NN_P_FLOAT, .positional = true, .fallback = "0",
     .help = "0: where the negative part ends"},
    {0},
};
/* clang-format on */

static nn_status clip(const nn_layer_ctx *c, int from, double low, double high, int *ret,
                      nn_err *err) {
    nn_attr attr = {
        .clip = {low, high}
    };
    return nn_build_op(c, NN_OP_CLIP, "", from, &attr, NULL, ret, err);
}

static nn_status build_relu(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    double slope = a[SLOPE].f;
    bool bounded = a[MAX_VALUE].set;
    if (a[THRESHOLD].f != 0)
        return nn_build_blame(
            c, THRESHOLD, "leave it out and let the bias of the layer before it shift the values",
            nn_fail(err, NN_E_UNSUPPORTED,
                    "ReLU with a threshold other than 0 jumps at that value, and "
                    "no engine has such a function"));
    if (slope == 0 && !bounded) return add(c, NN_ACT_RELU, 0, "", ret, err);
    if (slope == 0 && a[MAX_VALUE].f == 6) return add(c, NN_ACT_RELU6, 0, "", ret, err);
    if (slope == 0) return clip(c, c->input, 0, a[MAX_VALUE].f, ret, err);
    int at;
    nn_status st = add(c, NN_ACT_LEAKY_RELU, slope, bounded ? "leaky_relu" : "", &at, err);
    if (!st && bounded) st = clip(c, at, -INFINITY, a[MAX_VALUE].f, &at, err);
    if (!st) *ret = at;
    return st;
}

/* ---- PReLU ---- */

enum { ALPHA_INITIALIZER, ALPHA_REGULARIZER, ALPHA_CONSTRAINT, SHARED_AXES };

/* clang-format off */
static const nn_param prelu_params[] = {
    {.name = "alpha_initializer", .type = NN_P_INITIALIZER, .positional = true, .fallback = "zeros",
     .help = "how the slopes start"},
    {.name = "alpha_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the slopes"},
    {.name = "alpha_constraint", .type = NN_P_CONSTRAINT,
     .help = "applied to the slopes after each update"},
    {.name = "shared_axes", .type = NN_P_SHAPE, .min = 1,
     .help = "axes along which one slope serves all; the first axis of a sample is 1"},
    {0},
};
/* clang-format on */

static nn_status shared_axes(const nn_bound *given, const nn_shape *in, unsigned *ret,
                             nn_err *err) {
    unsigned shared = 0;
    char s[160];
    for (int i = 0; given->set && i < given->shape.rank; i++) {
        int64_t axis = given->shape.dim[i];
        if (axis < 1 || axis > in->rank)
            return nn_fail(err, NN_E_DSL_ERROR, "shared_axes must be axes from 1 to %d, got %s",
                           in->rank, nn_shape_print(&given->shape, false, s, sizeof s));
        shared |= 1U << (axis - 1);
    }
    *ret = shared;
    return NN_OK;
}

/* A weight has a known size. */
static nn_status check_sizes(const nn_shape *in, unsigned shared, nn_err *err) {
    for (int i = 0; i < in->rank; i++) {
        if (in->dim[i] >= 0 || shared & 1U << i) continue;
        char s[160];
        nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                               "axis %d has no known size, and there is a slope for every element "
                               "of it with input %s",
                               i + 1, nn_shape_print(in, false, s, sizeof s));
        return nn_err_hint(err, st, "share the slopes along it: PReLU(shared_axes=(%d,))", i + 1);
    }
    return NN_OK;
}

static nn_status build_prelu(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {0};
    int at;
    nn_status st = shared_axes(&a[SHARED_AXES], c->shape, &attr.prelu.shared, err);
    if (!st) st = check_sizes(c->shape, attr.prelu.shared, err);
    if (st) return nn_build_blame(c, SHARED_AXES, NULL, st);
    st = nn_build_op(c, NN_OP_PRELU, "", c->input, &attr, NULL, &at, err);
    if (!st)
        st = nn_build_weight(c, at, "alpha", &a[ALPHA_INITIALIZER], &a[ALPHA_REGULARIZER],
                             &a[ALPHA_CONSTRAINT], true, err);
    if (!st) *ret = at;
    return st;
}

/* ---- Softmax ---- */

/* clang-format off */
static const nn_param softmax_params[] = {
    {.name = "axis", .type = NN_P_INT, .positional = true, .min = -NN_MAX_RANK, .max = NN_MAX_RANK,
     .fallback = "-1", .help = "the axis that sums to 1; the batch is axis 0"},
    {0},
};
/* clang-format on */

static nn_status build_softmax(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int at = c->input, axis;
    nn_status st = nn_build_axis(c->args[0].i, c->shape->rank, &axis, err);
    if (st) return nn_build_blame(c, 0, NULL, st);
    bool move = axis != c->shape->rank - 1;
    nn_attr attr = {0};
    if (move) st = nn_build_axis_to_last(c, at, axis, &at, err);
    if (!st) st = nn_build_op(c, NN_OP_SOFTMAX, "", at, &attr, NULL, &at, err);
    if (!st && move) st = nn_build_last_to_axis(c, at, axis, &at, err);
    if (!st) *ret = at;
    return st;
}

/* ---- the rows ---- */

const nn_layer nn_layer_activation = {
    .name = "Activation",
    .base = "activation",
    .summary = "a function of each element, or softmax over the last axis",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = function_params,
    .passes_mask = true,
    .build = build_function,
};

const nn_layer nn_layer_relu = {
    .name = "ReLU",
    .base = "relu",
    .summary = "the positive part, with an optional slope below 0 and an optional largest value",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = relu_params,
    .passes_mask = true,
    .build = build_relu,
};

const nn_layer nn_layer_leaky_relu = {
    .name = "LeakyReLU",
    .base = "leaky_relu",
    .summary = "x where positive, else alpha x",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = leaky_params,
    .passes_mask = true,
    .build = build_leaky,
};

const nn_layer nn_layer_prelu = {
    .name = "PReLU",
    .base = "prelu",
    .summary = "x where positive, else a learned slope times x",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = prelu_params,
    .passes_mask = true,
    .build = build_prelu,
};

const nn_layer nn_layer_elu = {
    .name = "ELU",
    .base = "elu",
    .summary = "x where positive, else alpha (exp(x) - 1)",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = elu_params,
    .passes_mask = true,
    .build = build_elu,
};

const nn_layer nn_layer_softmax = {
    .name = "Softmax",
    .base = "softmax",
    .summary = "positive and summing to 1 along an axis",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = softmax_params,
    .passes_mask = true,
    .build = build_softmax,
};
