/* SPDX-License-Identifier: MIT */
/* conv2d.c - Conv2D by Keras's rules; padding may also be given PyTorch's way, as an integer or a
 * pair. */
#include "layers/build.h"

#include <inttypes.h>

enum { FILTERS, KERNEL_SIZE, ACTIVATION, STRIDES, PADDING, DILATION, GROUPS, FORMAT, KERNEL };

/* clang-format off */
static const nn_param params[] = {
    {.name = "filters", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .aliases = "out_channels",
     .help = "number of output channels"},
    {.name = "kernel_size", .type = NN_P_DIMS, .required = true, .positional = true, .rank = 2,
     .min = 1, .aliases = "kernel",
     .help = "height and width of the window"},
    {.name = "activation", .type = NN_P_ACTIVATION, .positional = true,
     .help = "applied to the result; none by default"},
    {.name = "strides", .type = NN_P_DIMS, .rank = 2, .min = 1, .fallback = "1",
     .aliases = "stride",
     .help = "step of the window"},
    {.name = "padding", .type = NN_P_PADDING, .rank = 2, .fallback = "valid",
     .help = "valid, same, or the zeros added on each side"},
    {.name = "dilation_rate", .type = NN_P_DIMS, .rank = 2, .min = 1, .fallback = "1",
     .aliases = "dilation",
     .help = "distance between the window's taps; strides must then be 1"},
    {.name = "groups", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM, .fallback = "1",
     .help = "groups of channels that do not mix; divides channels and filters"},
    NN_DATA_FORMAT_PARAM,
    NN_KERNEL_PARAMS,
    {0},
};
/* clang-format on */

static nn_status check_arguments(const nn_layer_ctx *c, nn_err *err) {
    const nn_bound *a = c->args;
    for (int i = 0; i < 2; i++)
        if (a[STRIDES].dims[i] > 1 && (a[DILATION].dims[0] > 1 || a[DILATION].dims[1] > 1))
            return nn_build_blame(c, DILATION, "use one of the two",
                                  nn_fail(err, NN_E_DSL_ERROR,
                                          "strides above 1 cannot go with dilation_rate above 1"));
    int channel_axis = nn_build_channels_first(&a[FORMAT]) ? 0 : 2;
    int64_t channels = c->shape->rank == 3 ? c->shape->dim[channel_axis] : NN_DIM_UNKNOWN;
    if (channels > 0 && channels % a[GROUPS].i)
        return nn_build_blame(c, GROUPS, NULL,
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "groups=%" PRId64 " does not divide %" PRId64
                                      " input channels",
                                      a[GROUPS].i, channels));
    if (a[FILTERS].i % a[GROUPS].i)
        return nn_build_blame(c, GROUPS, NULL,
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "groups=%" PRId64 " does not divide filters=%" PRId64,
                                      a[GROUPS].i, a[FILTERS].i));
    return NN_OK;
}

/* channels first: transpose, convolve, activate, transpose back; a softmax belongs to the last axis
 * as the user sees it, so it comes after. */
static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    bool first = nn_build_channels_first(&a[FORMAT]) && c->shape->rank == 3;
    nn_build_act act = {.name = a[ACTIVATION].set ? a[ACTIVATION].s : NULL};
    bool late = first && act.name && nn_activation_mixes(act.name);
    nn_attr attr = {
        .conv = {.window = nn_build_window(2, &a[KERNEL_SIZE], &a[STRIDES], &a[DILATION], &a[PADDING]),
                 .filters = a[FILTERS].i,
                 .groups = a[GROUPS].i,
                 .bias = a[KERNEL + NN_K_USE_BIAS].b}
    };
    int in = c->input, conv, at;
    nn_status st = check_arguments(c, err);
    if (!st && first) st = nn_build_axis_to_last(c, in, 0, &in, err);
    if (!st) st = nn_build_op(c, NN_OP_CONV, "", in, &attr, NULL, &conv, err);
    if (!st) st = nn_build_kernel(c, conv, &a[KERNEL], err);
    if (st) return nn_build_image_hint(c, st);
    at = conv;
    if (!late) st = nn_build_activation(c, at, &act, &at, err);
    if (!st && first) st = nn_build_last_to_axis(c, at, 0, &at, err);
    if (!st && late) st = nn_build_activation(c, at, &act, &at, err);
    if (!st) *ret = at;
    return st;
}

const nn_layer nn_layer_conv2d = {
    .name = "Conv2D",
    .base = "conv2d",
    .summary = "two-dimensional convolution",
    .family = "convolution",
    .rule =
        "(h, w, c) -> (h', w', filters); with ke = (k - 1) * dilation + 1, "
        "valid: floor((d - ke) / s) + 1, same: ceil(d / s), padding p: floor((d + 2p - ke) / s) + 1",
    .params = params,
    .build = build,
};
