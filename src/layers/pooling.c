/* SPDX-License-Identifier: MIT */
/* pooling.c - pooling over windows, over all spatial axes, and to a given size (adaptive), by
 * Keras's rules; the adaptive windows are PyTorch's. One to three spatial axes. */
#include "layers/spatial.h"

#include <string.h>

/* ---- windows ---- */

enum { POOL_SIZE, STRIDES, PADDING, FORMAT };

/* clang-format off */
#define POOL_PARAMS(r, size_help)                                                                  \
    static const nn_param pool##r[] = {                                                            \
        {.name = "pool_size", .type = NN_P_DIMS, .positional = true, .rank = r, .min = 1,          \
         .fallback = "2", .aliases = "kernel_size|kernel",                                         \
         .help = size_help " of the window"},                                                      \
        {.name = "strides", .type = NN_P_DIMS, .positional = true, .rank = r, .min = 1,            \
         .aliases = "stride",                                                                      \
         .help = "step of the window; pool_size by default"},                                      \
        {.name = "padding", .type = NN_P_ENUM, .positional = true, .words = "valid|same",          \
         .fallback = "valid",                                                                      \
         .help = "same keeps ceil(size / stride) positions"},                                      \
        NN_DATA_FORMAT_PARAM,                                                                      \
        {0},                                                                                       \
    };
POOL_PARAMS(1, "length")
POOL_PARAMS(2, "height and width")
POOL_PARAMS(3, "depth, height and width")
/* clang-format on */

static nn_status build_pool(const nn_layer_ctx *c, nn_op op, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_bound padding = a[PADDING];
    padding.padding = padding.s[0] == 's' ? NN_PAD_SAME : NN_PAD_VALID;
    nn_attr attr = {.pool = nn_build_window(nn_spatial_rank(c->layer), &a[POOL_SIZE], &a[STRIDES],
                                            NULL, &padding)};
    return nn_spatial_op(c, &a[FORMAT], op, &attr, ret, err);
}

static nn_status build_max(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_pool(c, NN_OP_MAX_POOL, ret, err);
}

static nn_status build_average(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_pool(c, NN_OP_AVG_POOL, ret, err);
}

/* ---- all spatial axes ---- */

enum { KEEPDIMS, GLOBAL_FORMAT };

/* clang-format off */
static const nn_param global_params[] = {
    {.name = "keepdims", .type = NN_P_BOOL, .fallback = "false",
     .help = "keep the spatial axes, with size 1"},
    NN_DATA_FORMAT_PARAM,
    {0},
};
/* clang-format on */

/* The op takes the tokens of padded sequences as its second input, as Keras takes the mask. */
static nn_status masked_inputs(const nn_layer_ctx *c, nn_op op, int *inputs, int *ret_n,
                               nn_err *err) {
    *ret_n = 1;
    if (op != NN_OP_GLOBAL_AVG_POOL || nn_spatial_rank(c->layer) != 1 || c->mask < 0) return NN_OK;
    if (nn_build_channels_first(&c->args[GLOBAL_FORMAT]))
        return nn_build_blame(c, GLOBAL_FORMAT,
                              "leave data_format out: embeddings are channels_last",
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "a padded sequence is (steps, channels), not (channels, "
                                      "steps)"));
    inputs[(*ret_n)++] = c->mask;
    return NN_OK;
}

static nn_status build_global(const nn_layer_ctx *c, nn_op op, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {.global_pool = {a[KEEPDIMS].b}};
    int inputs[2], n, at;
    nn_status st = nn_spatial_enter(c, &a[GLOBAL_FORMAT], &inputs[0], err);
    if (!st) st = masked_inputs(c, op, inputs, &n, err);
    if (!st) st = nn_build_op_n(c, op, "", inputs, n, &attr, NULL, &at, err);
    if (!st && a[KEEPDIMS].b) st = nn_spatial_leave(c, &a[GLOBAL_FORMAT], at, &at, err);
    if (!st) *ret = at;
    return st;
}

static nn_status build_global_max(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_global(c, NN_OP_GLOBAL_MAX_POOL, ret, err);
}

static nn_status build_global_average(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_global(c, NN_OP_GLOBAL_AVG_POOL, ret, err);
}

/* ---- adaptive ---- */

enum { OUTPUT_SIZE, ADAPTIVE_FORMAT };

/* clang-format off */
#define ADAPTIVE_PARAMS(r)                                                                         \
    static const nn_param adaptive##r[] = {                                                        \
        {.name = "output_size", .type = NN_P_DIMS, .required = true, .positional = true,           \
         .rank = r, .min = 1,                                                                      \
         .help = "size of each spatial axis of the output; may be more than the input's"},         \
        NN_DATA_FORMAT_PARAM,                                                                      \
        {0},                                                                                       \
    };
ADAPTIVE_PARAMS(1)
ADAPTIVE_PARAMS(2)
ADAPTIVE_PARAMS(3)
/* clang-format on */

static nn_status build_adaptive(const nn_layer_ctx *c, nn_op op, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {.adaptive_pool = {.spatial = nn_spatial_rank(c->layer)}};
    memcpy(attr.adaptive_pool.size, a[OUTPUT_SIZE].dims, sizeof attr.adaptive_pool.size);
    return nn_spatial_op(c, &a[ADAPTIVE_FORMAT], op, &attr, ret, err);
}

static nn_status build_adaptive_max(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_adaptive(c, NN_OP_ADAPTIVE_MAX_POOL, ret, err);
}

static nn_status build_adaptive_average(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_adaptive(c, NN_OP_ADAPTIVE_AVG_POOL, ret, err);
}

/* ---- the layers ---- */

#define POOL_RULE(r)                                                                               \
    "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", c); valid: floor((d - k) / s) + 1, "                 \
                                           "same: ceil(d / s); s is pool_size unless given"
#define GLOBAL_RULE(r)   "(" NN_AXES(r) ", c) -> (c), or (" ONES##r ", c) with keepdims"
#define ONES1            "1"
#define ONES2            "1, 1"
#define ONES3            "1, 1, 1"
#define ADAPTIVE_RULE(r) "(" NN_AXES(r) ", c) -> (output_size, c)"

/* One layer: its name and alias without the number of axes. */
#define POOL(symbol, Name, alias, r, table, fn, rule_, text)                                       \
    const nn_layer nn_layer_##symbol##_pooling##r##d = {                                           \
        .name = Name "Pooling" #r "D",                                                             \
        .base = #symbol "_pooling" #r "d",                                                         \
        .summary = text,                                                                           \
        .family = "pooling",                                                                       \
        .rule = rule_,                                                                             \
        .aliases = alias "Pool" #r "D",                                                            \
        .params = table,                                                                           \
        .build = fn,                                                                               \
    };
#define POOLINGS(r)                                                                                \
    POOL(max, "Max", "Max", r, pool##r, build_max, POOL_RULE(r), "the maximum of each window")     \
    POOL(average, "Average", "Avg", r, pool##r, build_average, POOL_RULE(r),                       \
         "the mean of each window, padding not counted")                                           \
    POOL(global_max, "GlobalMax", "GlobalMax", r, global_params, build_global_max, GLOBAL_RULE(r), \
         "the maximum of each channel")                                                            \
    POOL(global_average, "GlobalAverage", "GlobalAvg", r, global_params, build_global_average,     \
         GLOBAL_RULE(r), "the mean of each channel")                                               \
    POOL(adaptive_max, "AdaptiveMax", "AdaptiveMax", r, adaptive##r, build_adaptive_max,           \
         ADAPTIVE_RULE(r), "the maximum of as many windows as asked for")                          \
    POOL(adaptive_average, "AdaptiveAverage", "AdaptiveAvg", r, adaptive##r,                       \
         build_adaptive_average, ADAPTIVE_RULE(r), "the mean of as many windows as asked for")

POOLINGS(1)
POOLINGS(2)
POOLINGS(3)
