/* SPDX-License-Identifier: MIT */
/* regularization.c - Dropout and BatchNormalization by Keras's rules. */
#include "layers/build.h"

#include <inttypes.h>

enum { RATE, NOISE_SHAPE, SEED };

/* clang-format off */
static const nn_param dropout_params[] = {
    {.name = "rate", .type = NN_P_FLOAT, .required = true, .positional = true, .min = 0, .max = 1,
     .aliases = "p",
     .help = "share of the elements that training zeroes"},
    {.name = "noise_shape", .type = NN_P_SHAPE, .min = 1,
     .help = "a 1 drops along that axis as one; with or without a leading None for the batch"},
    {.name = "seed", .type = NN_P_INT, .min = 0, .help = "of the random draws"},
    {0},
};
/* clang-format on */

/* Keras's noise_shape has the batch in front; we also take it without. None means "as the input".
 */
static nn_status noise_shape(const nn_shape *given, const nn_shape *in, nn_shape *ret,
                             nn_err *err) {
    int skip = given->rank == in->rank + 1;
    if (skip && given->dim[0] != NN_DIM_UNKNOWN)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "noise_shape starts with the batch, which must be None, got %" PRId64,
                       given->dim[0]);
    *ret = (nn_shape){.rank = given->rank - skip};
    for (int i = 0; i < ret->rank; i++) {
        int64_t d = given->dim[i + skip];
        ret->dim[i] = d == NN_DIM_UNKNOWN && i < in->rank ? in->dim[i] : d;
    }
    return NN_OK;
}

static nn_status build_dropout(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .dropout = {.rate = a[RATE].f,
                    .seeded = a[SEED].set,
                    .seed = a[SEED].set ? (uint64_t)a[SEED].i : 0}
    };
    if (a[RATE].f == 1)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = a[RATE].span,
                                       .message = "rate 1 zeroes every element while training"});
    nn_status st = NN_OK;
    if (a[NOISE_SHAPE].set)
        st = noise_shape(&a[NOISE_SHAPE].shape, c->shape, &attr.dropout.noise_shape, err);
    if (!st) st = nn_build_op(c, NN_OP_DROPOUT, "", c->input, &attr, NULL, ret, err);
    return st ? nn_build_blame(c, NOISE_SHAPE, NULL, st) : NN_OK;
}

enum { AXIS, MOMENTUM, EPSILON, CENTER, SCALE, BETA, GAMMA, MEAN, VARIANCE };

/* clang-format off */
static const nn_param norm_params[] = {
    {.name = "axis", .type = NN_P_INT, .min = -NN_MAX_RANK, .max = NN_MAX_RANK, .fallback = "-1",
     .help = "the axis with statistics of its own; the batch is axis 0"},
    {.name = "momentum", .type = NN_P_FLOAT, .min = 0, .max = 1, .fallback = "0.99",
     .help = "share of the old value in the moving statistics (PyTorch's is 1 minus this)"},
    {.name = "epsilon", .type = NN_P_FLOAT, .min = 0, .above_min = true, .fallback = "0.001",
     .help = "added to the variance"},
    {.name = "center", .type = NN_P_BOOL, .fallback = "true", .help = "add beta"},
    {.name = "scale", .type = NN_P_BOOL, .fallback = "true", .help = "multiply by gamma"},
    {.name = "beta_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",
     .help = "how beta starts"},
    {.name = "gamma_initializer", .type = NN_P_INITIALIZER, .fallback = "ones",
     .help = "how gamma starts"},
    {.name = "moving_mean_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",
     .help = "how the moving mean starts"},
    {.name = "moving_variance_initializer", .type = NN_P_INITIALIZER, .fallback = "ones",
     .help = "how the moving variance starts"},
    {0},
};
/* clang-format on */

/* Keras counts the batch as axis 0; ret does not. */
static nn_status norm_axis(int64_t axis, int rank, int *ret, nn_err *err) {
    int64_t at = axis < 0 ? rank + axis : axis - 1;
    if (at < 0 || at >= rank)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "axis %" PRId64
                       " does not exist: an input of %d axes has 1 to %d and -1 to %d",
                       axis, rank, rank, -rank);
    *ret = (int)at;
    return NN_OK;
}

static nn_status add_statistics(const nn_layer_ctx *c, int node, nn_err *err) {
    const nn_bound *a = c->args;
    nn_status st = NN_OK;
    if (a[SCALE].b) st = nn_build_weight(c, node, "gamma", &a[GAMMA], NULL, NULL, true, err);
    if (!st && a[CENTER].b) st = nn_build_weight(c, node, "beta", &a[BETA], NULL, NULL, true, err);
    if (!st) st = nn_build_weight(c, node, "moving_mean", &a[MEAN], NULL, NULL, false, err);
    if (!st) st = nn_build_weight(c, node, "moving_variance", &a[VARIANCE], NULL, NULL, false, err);
    return st;
}

static nn_status build_norm(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    int axis = 0, rank = c->shape->rank, at = c->input;
    nn_status st = norm_axis(a[AXIS].i, rank, &axis, err);
    if (st) return nn_build_blame(c, AXIS, NULL, st);
    bool move = axis != rank - 1;
    nn_attr attr = {
        .batch_norm = {a[MOMENTUM].f, a[EPSILON].f, .center = a[CENTER].b, .scale = a[SCALE].b}
    };
    if (move) st = nn_build_axis_to_last(c, at, axis, &at, err);
    if (!st) st = nn_build_op(c, NN_OP_BATCH_NORM, "", at, &attr, NULL, &at, err);
    if (!st) st = add_statistics(c, at, err);
    if (!st && move) st = nn_build_last_to_axis(c, at, axis, &at, err);
    if (!st) *ret = at;
    return st;
}

const nn_layer nn_layer_dropout = {
    .name = "Dropout",
    .base = "dropout",
    .summary = "zeroes a share of the elements while training and scales the rest",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = dropout_params,
    .build = build_dropout,
};

const nn_layer nn_layer_batch_normalization = {
    .name = "BatchNormalization",
    .base = "batch_normalization",
    .summary = "zero mean and unit variance over the batch, then scale and shift",
    .family = "normalization",
    .rule = "(...) -> (...)",
    .aliases = "BatchNorm",
    .params = norm_params,
    .build = build_norm,
};
