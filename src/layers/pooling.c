/* SPDX-License-Identifier: MIT */
/* pooling.c - MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D by Keras's rules. */
#include "layers/build.h"

enum { POOL_SIZE, STRIDES, PADDING, FORMAT };

/* clang-format off */
static const nn_param pool_params[] = {
    {.name = "pool_size", .type = NN_P_DIMS, .positional = true, .rank = 2, .min = 1,
     .fallback = "2", .aliases = "kernel_size|kernel",
     .help = "height and width of the window"},
    {.name = "strides", .type = NN_P_DIMS, .positional = true, .rank = 2, .min = 1,
     .aliases = "stride",
     .help = "step of the window; pool_size by default"},
    {.name = "padding", .type = NN_P_ENUM, .positional = true, .words = "valid|same",
     .fallback = "valid",
     .help = "same keeps ceil(size / stride) positions"},
    NN_DATA_FORMAT_PARAM,
    {0},
};
/* clang-format on */

enum { KEEPDIMS, GLOBAL_FORMAT };

/* clang-format off */
static const nn_param global_params[] = {
    {.name = "keepdims", .type = NN_P_BOOL, .fallback = "false",
     .help = "keep the spatial axes, with size 1"},
    NN_DATA_FORMAT_PARAM,
    {0},
};
/* clang-format on */

/* channels first: transpose, pool, transpose back. */
static nn_status build_pool(const nn_layer_ctx *c, nn_op op, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    bool first = nn_build_channels_first(&a[FORMAT]) && c->shape->rank == 3;
    nn_bound padding = a[PADDING];
    padding.padding = padding.s[0] == 's' ? NN_PAD_SAME : NN_PAD_VALID;
    nn_attr attr = {.pool = nn_build_window(2, &a[POOL_SIZE], &a[STRIDES], NULL, &padding)};
    int at = c->input;
    nn_status st = NN_OK;
    if (first) st = nn_build_axis_to_last(c, at, 0, &at, err);
    if (!st) st = nn_build_op(c, op, "", at, &attr, NULL, &at, err);
    if (!st && first) st = nn_build_last_to_axis(c, at, 0, &at, err);
    if (!st) *ret = at;
    return nn_build_image_hint(c, st);
}

static nn_status build_max(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_pool(c, NN_OP_MAX_POOL, ret, err);
}

static nn_status build_average(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_pool(c, NN_OP_AVG_POOL, ret, err);
}

static nn_status build_global(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    if (c->shape->rank != 3) {
        char s[160];
        return nn_build_image_hint(
            c, nn_fail(err, NN_E_DSL_ERROR,
                       "expected 3 axes, got %d: (height, width, channels) with input %s",
                       c->shape->rank, nn_shape_print(c->shape, false, s, sizeof s)));
    }
    bool first = nn_build_channels_first(&a[GLOBAL_FORMAT]), keep = a[KEEPDIMS].b;
    nn_attr attr = {.global_pool = {keep}};
    int at = c->input;
    nn_status st = NN_OK;
    if (first) st = nn_build_axis_to_last(c, at, 0, &at, err);
    if (!st) st = nn_build_op(c, NN_OP_GLOBAL_AVG_POOL, "", at, &attr, NULL, &at, err);
    if (!st && first && keep) st = nn_build_last_to_axis(c, at, 0, &at, err);
    if (!st) *ret = at;
    return st;
}

#define POOL_RULE                                                                                  \
    "(h, w, c) -> (h', w', c); valid: floor((d - k) / s) + 1, same: ceil(d / s); "                 \
    "s is pool_size unless given"

const nn_layer nn_layer_max_pooling2d = {
    .name = "MaxPooling2D",
    .base = "max_pooling2d",
    .summary = "the maximum of each window",
    .family = "pooling",
    .rule = POOL_RULE,
    .aliases = "MaxPool2D",
    .params = pool_params,
    .build = build_max,
};

const nn_layer nn_layer_average_pooling2d = {
    .name = "AveragePooling2D",
    .base = "average_pooling2d",
    .summary = "the mean of each window, padding not counted",
    .family = "pooling",
    .rule = POOL_RULE,
    .aliases = "AvgPool2D",
    .params = pool_params,
    .build = build_average,
};

const nn_layer nn_layer_global_average_pooling2d = {
    .name = "GlobalAveragePooling2D",
    .base = "global_average_pooling2d",
    .summary = "the mean of each channel",
    .family = "pooling",
    .rule = "(h, w, c) -> (c), or (1, 1, c) with keepdims",
    .aliases = "GlobalAvgPool2D",
    .params = global_params,
    .build = build_global,
};
