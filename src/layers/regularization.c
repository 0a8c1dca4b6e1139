/* SPDX-License-Identifier: MIT */
/* regularization.c - what acts while training only: Dropout and its kin, noise, and a penalty on
 * activations. Keras's rules. */
#include "layers/build.h"

#include <inttypes.h>

static nn_status add_dropout(const nn_layer_ctx *c, const nn_bound *rate, const nn_bound *seed,
                             const nn_shape *noise, int *ret, nn_err *err) {
    nn_attr attr = {
        .dropout = {.rate = rate->f,
                    .seeded = seed->set,
                    .seed = seed->set ? (uint64_t)seed->i : 0,
                    .noise_shape = *noise}
    };
    if (rate->f == 1)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = rate->span,
                                       .message = "rate 1 zeroes every element while training"});
    return nn_build_op(c, NN_OP_DROPOUT, "", c->input, &attr, NULL, ret, err);
}

/* clang-format off */
#define RATE_PARAM(rate_help)                                                                      \
    {.name = "rate", .type = NN_P_FLOAT, .required = true, .positional = true, .min = 0, .max = 1, \
     .aliases = "p", .help = rate_help}
#define SEED_PARAM {.name = "seed", .type = NN_P_INT, .min = 0, .help = "of the random draws"}
/* clang-format on */

/* ---- Dropout ---- */

enum { RATE, NOISE_SHAPE, DROPOUT_SEED };

/* clang-format off */
static const nn_param dropout_params[] = {
    RATE_PARAM("share of the elements that training zeroes"),
    {.name = "noise_shape", .type = NN_P_SHAPE, .min = 1,
     .help = "a 1 drops along that axis as one; with or without a leading None for the batch"},
    SEED_PARAM,
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
    nn_shape noise = {0};
    nn_status st = NN_OK;
    if (a[NOISE_SHAPE].set) st = noise_shape(&a[NOISE_SHAPE].shape, c->shape, &noise, err);
    if (!st) st = add_dropout(c, &a[RATE], &a[DROPOUT_SEED], &noise, ret, err);
    return st ? nn_build_blame(c, NOISE_SHAPE, NULL, st) : NN_OK;
}

/* ---- SpatialDropout: whole channels ---- */

enum { SPATIAL_SEED = 1, SPATIAL_FORMAT };

/* clang-format off */
static const nn_param spatial1_params[] = {
    RATE_PARAM("share of the channels that training zeroes"), SEED_PARAM, {0},
};
static const nn_param spatial_params[] = {
    RATE_PARAM("share of the channels that training zeroes"), SEED_PARAM, NN_DATA_FORMAT_PARAM, {0},
};
/* clang-format on */

static nn_status build_spatial(const nn_layer_ctx *c, int spatial, int *ret, nn_err *err) {
    const nn_shape *in = c->shape;
    if (in->rank != spatial + 1) {
        char s[160];
        nn_status st = nn_fail(err, NN_E_DSL_ERROR, "expected %d axes, got %d with input %s",
                               spatial + 1, in->rank, nn_shape_print(in, false, s, sizeof s));
        if (in->rank >= 2 && in->rank <= NN_MAX_SPATIAL + 1)
            return nn_err_hint(err, st, "SpatialDropout%dD drops channels of %d axes", in->rank - 1,
                               in->rank);
        return nn_err_hint(err, st, "Dropout(rate) takes any number of axes");
    }
    bool first = spatial > 1 && nn_build_channels_first(&c->args[SPATIAL_FORMAT]);
    int channels = first ? 0 : spatial;
    nn_shape noise = {.rank = in->rank};
    for (int i = 0; i < in->rank; i++) noise.dim[i] = i == channels ? in->dim[i] : 1;
    return add_dropout(c, &c->args[RATE], &c->args[SPATIAL_SEED], &noise, ret, err);
}

static nn_status build_spatial1(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_spatial(c, 1, ret, err);
}

static nn_status build_spatial2(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_spatial(c, 2, ret, err);
}

static nn_status build_spatial3(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_spatial(c, 3, ret, err);
}

/* ---- noise ---- */

enum { NOISE_VALUE, NOISE_SEED };

/* Of rate 1 nothing is left: the noise would be infinite. */
#define NOISE_RATE_PARAM(rate_help)                                                                \
    {                                                                                              \
        .name = "rate", .type = NN_P_FLOAT, .required = true, .positional = true, .min = 0,        \
        .max = 1, .below_max = true, .aliases = "p", .help = rate_help                             \
    }

/* clang-format off */
static const nn_param alpha_params[] = {
    NOISE_RATE_PARAM("share of the elements that take SELU's least value while training"),
    SEED_PARAM, {0},
};
static const nn_param gaussian_dropout_params[] = {
    NOISE_RATE_PARAM("times noise of deviation sqrt(rate / (1 - rate)) around 1 while training"),
    SEED_PARAM, {0},
};
static const nn_param gaussian_noise_params[] = {
    {.name = "stddev", .type = NN_P_FLOAT, .required = true, .positional = true, .min = 0,
     .aliases = "std|sigma", .help = "standard deviation of the noise that training adds"},
    SEED_PARAM, {0},
};
/* clang-format on */

static nn_status build_noise(const nn_layer_ctx *c, nn_noise kind, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .noise = {.kind = kind,
                  .value = a[NOISE_VALUE].f,
                  .seeded = a[NOISE_SEED].set,
                  .seed = a[NOISE_SEED].set ? (uint64_t)a[NOISE_SEED].i : 0}
    };
    return nn_build_op(c, NN_OP_NOISE, "", c->input, &attr, NULL, ret, err);
}

static nn_status build_alpha(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_noise(c, NN_NOISE_ALPHA_DROPOUT, ret, err);
}

static nn_status build_gaussian_dropout(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_noise(c, NN_NOISE_GAUSSIAN_DROPOUT, ret, err);
}

static nn_status build_gaussian_noise(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_noise(c, NN_NOISE_GAUSSIAN, ret, err);
}

/* ---- a penalty on activations ---- */

enum { L1, L2 };

/* clang-format off */
static const nn_param activity_params[] = {
    {.name = "l1", .type = NN_P_FLOAT, .min = 0, .fallback = "0",
     .help = "adds l1 * sum|x| of a sample to the loss"},
    {.name = "l2", .type = NN_P_FLOAT, .min = 0, .fallback = "0",
     .help = "adds l2 * sum x^2 of a sample to the loss"},
    {0},
};
/* clang-format on */

static nn_status build_activity(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_attr attr = {
        .activity_reg = {c->args[L1].f, c->args[L2].f}
    };
    if (attr.activity_reg.l1 == 0 && attr.activity_reg.l2 == 0)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->span,
                                       .message = "a penalty of l1 0 and l2 0 has no effect",
                                       .hint = "ActivityRegularization(l2=0.01)"});
    return nn_build_op(c, NN_OP_ACTIVITY_REG, "", c->input, &attr, NULL, ret, err);
}

/* ---- the rows ---- */

const nn_layer nn_layer_dropout = {
    .name = "Dropout",
    .base = "dropout",
    .summary = "zeroes a share of the elements while training and scales the rest",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = dropout_params,
    .passes_mask = true,
    .build = build_dropout,
};

const nn_layer nn_layer_spatial_dropout1d = {
    .name = "SpatialDropout1D",
    .base = "spatial_dropout1d",
    .summary = "zeroes whole channels of a sequence while training",
    .family = "regularization",
    .rule = "(steps, channels) -> (steps, channels)",
    .params = spatial1_params,
    .passes_mask = true,
    .build = build_spatial1,
};

const nn_layer nn_layer_spatial_dropout2d = {
    .name = "SpatialDropout2D",
    .base = "spatial_dropout2d",
    .summary = "zeroes whole channels of an image while training",
    .family = "regularization",
    .rule = "(height, width, channels) -> (height, width, channels)",
    .params = spatial_params,
    .build = build_spatial2,
};

const nn_layer nn_layer_spatial_dropout3d = {
    .name = "SpatialDropout3D",
    .base = "spatial_dropout3d",
    .summary = "zeroes whole channels of a volume while training",
    .family = "regularization",
    .rule = "(depth, height, width, channels) -> (depth, height, width, channels)",
    .params = spatial_params,
    .build = build_spatial3,
};

const nn_layer nn_layer_alpha_dropout = {
    .name = "AlphaDropout",
    .base = "alpha_dropout",
    .summary = "dropout that keeps mean and variance, to go with selu",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = alpha_params,
    .passes_mask = true,
    .build = build_alpha,
};

const nn_layer nn_layer_gaussian_dropout = {
    .name = "GaussianDropout",
    .base = "gaussian_dropout",
    .summary = "multiplies by noise around 1 while training",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = gaussian_dropout_params,
    .passes_mask = true,
    .build = build_gaussian_dropout,
};

const nn_layer nn_layer_gaussian_noise = {
    .name = "GaussianNoise",
    .base = "gaussian_noise",
    .summary = "adds noise around 0 while training",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = gaussian_noise_params,
    .passes_mask = true,
    .build = build_gaussian_noise,
};

const nn_layer nn_layer_activity_regularization = {
    .name = "ActivityRegularization",
    .base = "activity_regularization",
    .summary = "passes its input on and adds a penalty on it to the loss",
    .family = "regularization",
    .rule = "(...) -> (...)",
    .params = activity_params,
    .passes_mask = true,
    .build = build_activity,
};
