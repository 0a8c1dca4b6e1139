/* SPDX-License-Identifier: MIT */
/* shaping.c - Flatten, Reshape, Permute, RepeatVector. */
#include "layers/build.h"

#include <inttypes.h>

/* ---- Flatten ---- */

static const nn_param flatten_params[] = {NN_DATA_FORMAT_PARAM, {0}};

/* Keras moves the channels to the end before it flattens channels-first input. */
static nn_status build_flatten(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_shape to = {.rank = 1, .dim = {nn_shape_elements(c->shape)}};
    int at = c->input;
    if (to.dim[0] == NN_DIM_UNKNOWN)
        nn_build_notice(c,
                        (nn_notice){.warning = true,
                                    .code = "advice",
                                    .at = c->span,
                                    .message = "Flatten of a size that is known only at run time",
                                    .hint = "a Dense layer after it cannot be built; use "
                                            "GlobalAveragePooling2D or give the input's size"});
    nn_status st = NN_OK;
    if (nn_build_channels_first(&c->args[0]) && c->shape->rank > 1)
        st = nn_build_axis_to_last(c, at, 0, &at, err);
    nn_attr attr = {.reshape = {.flatten = true}};
    if (!st) st = nn_build_op(c, NN_OP_RESHAPE, "", at, &attr, &to, &at, err);
    if (!st) *ret = at;
    return st;
}

/* ---- Reshape ---- */

enum { TARGET_SHAPE };

/* clang-format off */
static const nn_param reshape_params[] = {
    {.name = "target_shape", .type = NN_P_SHAPE, .required = true, .positional = true, .min = -1,
     .aliases = "shape",
     .help = "sizes of one sample; one of them may be -1 and is then found"},
    {0},
};
/* clang-format on */

/* Replaces the one -1 by what is left of the input's elements. */
static nn_status resolve(const nn_shape *in, nn_shape *to, nn_err *err) {
    int open = -1;
    int64_t known = 1;
    for (int i = 0; i < to->rank; i++) {
        int64_t d = to->dim[i];
        if (d == -1 && open >= 0)
            return nn_fail(err, NN_E_DSL_ERROR, "target_shape may hold one -1, got more");
        if (d == -1) {
            open = i;
        } else if (d < 1) {
            return nn_fail(err, NN_E_DSL_ERROR,
                           "target_shape holds %" PRId64 ", expected 1 or more, or -1", d);
        } else if (__builtin_mul_overflow(known, d, &known) || known > NN_MAX_ELEMENTS) {
            return nn_fail(err, NN_E_DSL_ERROR, "target_shape has too many elements");
        }
    }
    int64_t from = nn_shape_elements(in);
    if (open < 0 || from < 0) return NN_OK; /* the op compares the products */
    char s[160];
    if (from % known)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "%" PRId64 " elements are not a multiple of %" PRId64
                       ": -1 stands for their quotient with input %s",
                       from, known, nn_shape_print(in, false, s, sizeof s));
    to->dim[open] = from / known;
    return NN_OK;
}

static nn_status build_reshape(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_shape to = c->args[TARGET_SHAPE].shape;
    nn_status st = resolve(c->shape, &to, err);
    if (!st) st = nn_build_op(c, NN_OP_RESHAPE, "", c->input, NULL, &to, ret, err);
    return st ? nn_build_blame(c, TARGET_SHAPE, NULL, st) : NN_OK;
}

/* ---- Permute ---- */

enum { DIMS };

/* clang-format off */
static const nn_param permute_params[] = {
    {.name = "dims", .type = NN_P_SHAPE, .required = true, .positional = true, .min = 1,
     .help = "the axes of a sample, from 1, in their new order"},
    {0},
};
/* clang-format on */

static nn_status build_permute(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_shape *dims = &c->args[DIMS].shape;
    int rank = c->shape->rank;
    unsigned seen = 0;
    nn_attr attr = {0};
    bool fits = dims->rank == rank;
    for (int i = 0; fits && i < rank; i++) {
        int64_t axis = dims->dim[i];
        fits = axis >= 1 && axis <= rank && !(seen & 1U << (axis - 1));
        if (!fits) break;
        seen |= 1U << (axis - 1);
        attr.transpose.perm[i] = (int)axis - 1;
    }
    char got[160], in[160];
    if (!fits)
        return nn_build_blame(c, DIMS, "the batch stays in front and is not counted",
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "dims must name each axis from 1 to %d once, got %s with "
                                      "input %s",
                                      rank, nn_shape_print(dims, false, got, sizeof got),
                                      nn_shape_print(c->shape, false, in, sizeof in)));
    return nn_build_op(c, NN_OP_TRANSPOSE, "", c->input, &attr, NULL, ret, err);
}

/* ---- RepeatVector ---- */

enum { N };

/* clang-format off */
static const nn_param repeat_params[] = {
    {.name = "n", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .help = "how many steps to make of the vector"},
    {0},
};
/* clang-format on */

/* (f) is one step (1, f), and that is stretched. */
static nn_status build_repeat(const nn_layer_ctx *c, int *ret, nn_err *err) {
    char s[160];
    if (c->shape->rank != 1) {
        *c->ret_hint = "insert Flatten() before it, or use UpSampling1D for a sequence";
        return nn_fail(err, NN_E_DSL_ERROR, "expected one axis, got %d with input %s",
                       c->shape->rank, nn_shape_print(c->shape, false, s, sizeof s));
    }
    nn_shape step = {
        .rank = 2, .dim = {1, c->shape->dim[0]}
    };
    nn_attr attr = {
        .upsample = {.spatial = 1, .factor = {c->args[N].i}}
    };
    int at;
    nn_status st = nn_build_op(c, NN_OP_RESHAPE, "step", c->input, NULL, &step, &at, err);
    if (!st) st = nn_build_op(c, NN_OP_UPSAMPLE, "", at, &attr, NULL, &at, err);
    if (st) return nn_build_blame(c, N, NULL, st);
    *ret = at;
    return NN_OK;
}

/* ---- the rows ---- */

const nn_layer nn_layer_flatten = {
    .name = "Flatten",
    .base = "flatten",
    .summary = "all axes of a sample in one",
    .family = "shape",
    .rule = "(a, b, c) -> (a * b * c)",
    .params = flatten_params,
    .build = build_flatten,
};

const nn_layer nn_layer_reshape = {
    .name = "Reshape",
    .base = "reshape",
    .summary = "the same elements in another shape",
    .family = "shape",
    .rule = "(...) -> target_shape, with the same number of elements",
    .params = reshape_params,
    .build = build_reshape,
};

const nn_layer nn_layer_permute = {
    .name = "Permute",
    .base = "permute",
    .summary = "the axes in another order",
    .family = "shape",
    .rule = "(a, b, c) with dims (3, 1, 2) -> (c, a, b)",
    .params = permute_params,
    .build = build_permute,
};

const nn_layer nn_layer_repeat_vector = {
    .name = "RepeatVector",
    .base = "repeat_vector",
    .summary = "the same vector at each of n steps",
    .family = "shape",
    .rule = "(features) -> (n, features)",
    .rank1 = true,
    .params = repeat_params,
    .build = build_repeat,
};
