/* SPDX-License-Identifier: MIT */
/* normalization.c - BatchNormalization, LayerNormalization, GroupNormalization and
 * InstanceNormalization (a group for each channel) by Keras's rules.
 *
 * All of them work on the last axis; another axis goes there and back through a transpose. */
#include "layers/build.h"

#include <inttypes.h>
#include <stdio.h>

/* The block of parameters that all four share, in this order in their tables. */
enum {
    AXIS,
    EPSILON,
    CENTER,
    SCALE,
    BETA,
    GAMMA,
    BETA_REGULARIZER,
    GAMMA_REGULARIZER,
    BETA_CONSTRAINT,
    GAMMA_CONSTRAINT,
    SHARED
};

/* clang-format off */
#define NORM_PARAMS(axis_help)                                                                     \
    {.name = "axis", .type = NN_P_INT, .min = -NN_MAX_RANK, .max = NN_MAX_RANK, .fallback = "-1",  \
     .help = axis_help "; the batch is axis 0"},                                                   \
    {.name = "epsilon", .type = NN_P_FLOAT, .min = 0, .above_min = true, .fallback = "0.001",      \
     .help = "added to the variance"},                                                             \
    {.name = "center", .type = NN_P_BOOL, .fallback = "true", .help = "add beta"},                 \
    {.name = "scale", .type = NN_P_BOOL, .fallback = "true", .help = "multiply by gamma"},         \
    {.name = "beta_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",                    \
     .help = "how beta starts"},                                                                   \
    {.name = "gamma_initializer", .type = NN_P_INITIALIZER, .fallback = "ones",                    \
     .help = "how gamma starts"},                                                                  \
    {.name = "beta_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on beta"},             \
    {.name = "gamma_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on gamma"},           \
    {.name = "beta_constraint", .type = NN_P_CONSTRAINT,                                           \
     .help = "applied to beta after each update"},                                                 \
    {.name = "gamma_constraint", .type = NN_P_CONSTRAINT,                                          \
     .help = "applied to gamma after each update"}

enum { MOMENTUM = SHARED, MEAN, VARIANCE };

static const nn_param batch_params[] = {
    NORM_PARAMS("the axis with statistics of its own"),
    {.name = "momentum", .type = NN_P_FLOAT, .min = 0, .max = 1, .fallback = "0.99",
     .help = "share of the old value in the moving statistics (PyTorch's is 1 minus this)"},
    {.name = "moving_mean_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",
     .help = "how the moving mean starts"},
    {.name = "moving_variance_initializer", .type = NN_P_INITIALIZER, .fallback = "ones",
     .help = "how the moving variance starts"},
    {0},
};

static const nn_param layer_params[] = {NORM_PARAMS("the axis that is normalised"), {0}};

enum { GROUPS, GROUP_SHARED };

static const nn_param group_params[] = {
    {.name = "groups", .type = NN_P_INT, .positional = true, .min = 1, .max = (double)NN_MAX_DIM,
     .fallback = "32",
     .help = "groups that the channels are normalised in; divides them"},
    NORM_PARAMS("the axis of the channels"),
    {0},
};

static const nn_param instance_params[] = {NORM_PARAMS("the axis of the channels"), {0}};
/* clang-format on */

/* gamma and beta, which come first in all four ops; k is the layer's first shared argument. */
static nn_status add_affine(const nn_layer_ctx *c, int node, const nn_bound *k, nn_err *err) {
    nn_status st = NN_OK;
    if (k[SCALE].b)
        st = nn_build_weight(c, node, "gamma", &k[GAMMA], &k[GAMMA_REGULARIZER],
                             &k[GAMMA_CONSTRAINT], true, err);
    if (!st && k[CENTER].b)
        st = nn_build_weight(c, node, "beta", &k[BETA], &k[BETA_REGULARIZER], &k[BETA_CONSTRAINT],
                             true, err);
    return st;
}

static nn_status add_statistics(const nn_layer_ctx *c, int node, nn_err *err) {
    const nn_bound *a = c->args;
    nn_status st = nn_build_weight(c, node, "moving_mean", &a[MEAN], NULL, NULL, false, err);
    if (!st) st = nn_build_weight(c, node, "moving_variance", &a[VARIANCE], NULL, NULL, false, err);
    return st;
}

/* The op on the given axis, moved to the end and back, with all of its weights. */
static nn_status build_on(const nn_layer_ctx *c, nn_op op, int axis, const nn_attr *attr,
                          const nn_bound *k, int *ret, nn_err *err) {
    int at = c->input;
    bool move = axis != c->shape->rank - 1;
    nn_status st = NN_OK;
    if (move) st = nn_build_axis_to_last(c, at, axis, &at, err);
    if (!st) st = nn_build_op(c, op, "", at, attr, NULL, &at, err);
    if (!st) st = add_affine(c, at, k, err);
    if (!st && op == NN_OP_BATCH_NORM) st = add_statistics(c, at, err);
    if (!st && move) st = nn_build_last_to_axis(c, at, axis, &at, err);
    if (!st) *ret = at;
    return st;
}

static nn_status find_axis(const nn_layer_ctx *c, const nn_bound *k, int *ret, nn_err *err) {
    nn_status st = nn_build_axis(k[AXIS].i, c->shape->rank, ret, err);
    return st ? nn_build_blame(c, (int)(&k[AXIS] - c->args), NULL, st) : NN_OK;
}

static nn_status build_batch(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *k = c->args;
    nn_attr attr = {
        .batch_norm = {k[MOMENTUM].f, k[EPSILON].f, .center = k[CENTER].b, .scale = k[SCALE].b}
    };
    int axis;
    nn_status st = find_axis(c, k, &axis, err);
    return st ? st : build_on(c, NN_OP_BATCH_NORM, axis, &attr, k, ret, err);
}

static nn_status build_layer(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *k = c->args;
    nn_attr attr = {
        .layer_norm = {k[EPSILON].f, .center = k[CENTER].b, .scale = k[SCALE].b}
    };
    int axis;
    nn_status st = find_axis(c, k, &axis, err);
    return st ? st : build_on(c, NN_OP_LAYER_NORM, axis, &attr, k, ret, err);
}

/* ---- groups ---- */

/* The divisors of n next to k: the largest below it and the smallest above, 0 where there is none.
 */
static void divisors_near(int64_t n, int64_t k, int64_t *ret_below, int64_t *ret_above) {
    int64_t below = 0, above = 0;
    for (int64_t i = 1; i * i <= n; i++) {
        if (n % i) continue;
        int64_t both[] = {i, n / i};
        for (int j = 0; j < 2; j++) {
            if (both[j] < k && both[j] > below) below = both[j];
            if (both[j] > k && (!above || both[j] < above)) above = both[j];
        }
    }
    *ret_below = below;
    *ret_above = above;
}

static nn_status refuse_groups(int64_t groups, int64_t channels, nn_err *err) {
    int64_t below, above;
    divisors_near(channels, groups, &below, &above);
    char near[64];
    if (above)
        snprintf(near, sizeof near, "%" PRId64 " and %" PRId64, below, above);
    else
        snprintf(near, sizeof near, "%" PRId64, below);
    nn_status st =
        nn_fail(err, NN_E_DSL_ERROR, "groups=%" PRId64 " does not divide %" PRId64 " channels",
                groups, channels);
    return nn_err_hint(err, st, "the nearest that divide%s %" PRId64 ": %s; groups=1 takes all",
                       above ? "" : "s", channels, near);
}

/* A group must have something to compare: one element is always its own mean. */
static nn_status check_groups(const nn_layer_ctx *c, int64_t groups, int64_t channels,
                              nn_err *err) {
    if (channels < 0)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "the channels must have a known size: gamma and beta have a value for each");
    if (channels % groups) return refuse_groups(groups, channels, err);
    if (c->shape->rank > 1 || groups < channels) return NN_OK;
    nn_status st =
        nn_fail(err, NN_E_DSL_ERROR,
                "every group of a sample of one axis has one element, and its result is always 0");
    return nn_err_hint(err, st, "LayerNormalization() and BatchNormalization() work on one axis");
}

/* `groups` NULL: one for each channel. */
static nn_status build_groups(const nn_layer_ctx *c, const nn_bound *groups, const nn_bound *k,
                              int *ret, nn_err *err) {
    int axis;
    nn_status st = find_axis(c, k, &axis, err);
    if (st) return st;
    int64_t channels = c->shape->dim[axis], n = groups ? groups->i : channels;
    nn_attr attr = {
        .group_norm = {n, k[EPSILON].f, .center = k[CENTER].b, .scale = k[SCALE].b}
    };
    st = check_groups(c, n, channels, err);
    if (st) return groups ? nn_build_blame(c, (int)(groups - c->args), NULL, st) : st;
    return build_on(c, NN_OP_GROUP_NORM, axis, &attr, k, ret, err);
}

static nn_status build_group(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_groups(c, &c->args[GROUPS], &c->args[GROUP_SHARED], ret, err);
}

static nn_status build_instance(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_groups(c, NULL, c->args, ret, err);
}

/* ---- the rows ---- */

const nn_layer nn_layer_batch_normalization = {
    .name = "BatchNormalization",
    .base = "batch_normalization",
    .summary = "zero mean and unit variance over the batch, then scale and shift",
    .family = "normalization",
    .rule = "(...) -> (...)",
    .aliases = "BatchNorm",
    .params = batch_params,
    .passes_mask = true,
    .build = build_batch,
};

const nn_layer nn_layer_layer_normalization = {
    .name = "LayerNormalization",
    .base = "layer_normalization",
    .summary = "zero mean and unit variance of each sample over one axis, then scale and shift",
    .family = "normalization",
    .rule = "(...) -> (...)",
    .aliases = "LayerNorm",
    .params = layer_params,
    .passes_mask = true,
    .build = build_layer,
};

const nn_layer nn_layer_group_normalization = {
    .name = "GroupNormalization",
    .base = "group_normalization",
    .summary = "zero mean and unit variance of each sample over groups of channels",
    .family = "normalization",
    .rule = "(..., channels) -> (..., channels), groups divides channels",
    .aliases = "GroupNorm",
    .params = group_params,
    .passes_mask = true,
    .build = build_group,
};

const nn_layer nn_layer_instance_normalization = {
    .name = "InstanceNormalization",
    .base = "instance_normalization",
    .summary = "zero mean and unit variance of each sample over each channel",
    .family = "normalization",
    .rule = "(spatial..., channels) -> (spatial..., channels)",
    .aliases = "InstanceNorm",
    .params = instance_params,
    .passes_mask = true,
    .build = build_instance,
};
