/* SPDX-License-Identifier: MIT */
/* conv_lstm.c - ConvLSTM1D, 2D and 3D by Keras's rules: an LSTM over a sequence of images whose
 * products are convolutions. The state has the size that the convolution of the input gives; the
 * convolution of the state keeps it. */
#include "layers/recurrent.h"

#include <string.h>

static int spatial_axes(const nn_layer_ctx *c) {
    return nn_layer_param_at(c->layer, nn_layer_param(c->layer, "kernel_size"))->rank;
}

static nn_status one(const nn_layer_ctx *c, const nn_recurrent_run *r, nn_recurrent_acts acts,
                     int from, int *ret, nn_err *err) {
    nn_attr attr = {
        .conv_lstm = {.window = nn_build_window(spatial_axes(c), nn_recurrent_arg(c, "kernel_size"),
                      nn_recurrent_arg(c, "strides"),
                      nn_recurrent_arg(c, "dilation_rate"),
                      nn_recurrent_arg(c, "padding")),
                      .filters = nn_recurrent_arg(c, "filters")->i,
                      .activation = acts.activation,
                      .recurrent_activation = acts.recurrent,
                      .bias = nn_recurrent_arg(c, "use_bias")->b,
                      .sequences = r->sequences,
                      .reverse = r->reverse,
                      .dropout = nn_recurrent_arg(c, "dropout")->f,
                      .recurrent_dropout = nn_recurrent_arg(c, "recurrent_dropout")->f}
    };
    int node;
    nn_status st = nn_build_op(c, NN_OP_CONV_LSTM, r->suffix, from, &attr, NULL, &node, err);
    if (!st) st = nn_recurrent_weights(c, node, err);
    if (!st) *ret = node;
    return st;
}

static nn_status check_join(const nn_layer_ctx *c, const char *merge_mode, nn_err *err) {
    bool both = merge_mode || nn_recurrent_arg(c, "bidirectional")->b;
    bool concat = both && (!merge_mode || strcmp(merge_mode, "concat") == 0);
    if (!concat || !nn_build_channels_first(nn_recurrent_arg(c, "data_format"))) return NN_OK;
    return nn_recurrent_blame(
        c, "data_format", "use channels_last, or Bidirectional(…, merge_mode=\"sum\")",
        nn_fail(err, NN_E_UNSUPPORTED,
                "joining two directions of channels_first is not supported: the last axis is not "
                "that of the channels"));
}

static void check_mask(const nn_layer_ctx *c) {
    if (c->mask >= 0)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->span,
                                       .message = "padding is not passed over here: every step "
                                                  "of the sequence counts"});
}

static nn_status rank_hint(const nn_layer_ctx *c, nn_status st) {
    static const char *const hints[NN_MAX_SPATIAL] = {
        "the input is (steps, width, channels): the channels are an axis too",
        "the input is (steps, height, width, channels): the channels are an axis too",
        "the input is (steps, depth, height, width, channels): the channels are an axis too",
    };
    int axes = spatial_axes(c);
    if (st == NN_E_DSL_ERROR && c->shape->rank != axes + 2) *c->ret_hint = hints[axes - 1];
    return st;
}

nn_status nn_build_conv_lstm(const nn_layer_ctx *c, const char *merge_mode, int *ret, nn_err *err) {
    bool first = nn_build_channels_first(nn_recurrent_arg(c, "data_format")) &&
                 c->shape->rank == spatial_axes(c) + 2;
    bool sequences = nn_recurrent_arg(c, "return_sequences")->b;
    int at = c->input;
    nn_status st = check_join(c, merge_mode, err);
    if (!st && first) st = nn_build_axis_to_last(c, at, 1, &at, err);
    if (!st) st = nn_recurrent_stack(c, one, merge_mode, at, &at, err);
    if (!st && first) st = nn_build_last_to_axis(c, at, sequences ? 1 : 0, &at, err);
    if (!st) st = nn_build_activation(c, at, &(nn_build_act){0}, &at, err); /* the penalty */
    if (st) return rank_hint(c, st);
    check_mask(c);
    *ret = at;
    return NN_OK;
}

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return nn_build_conv_lstm(c, NULL, ret, err);
}

/* clang-format off */
#define PARAMS(axes)                                                                               \
    {.name = "filters", .type = NN_P_INT, .required = true, .positional = true, .min = 1,          \
     .max = (double)NN_MAX_DIM, .aliases = "out_channels",                                         \
     .help = "number of output channels"},                                                         \
    {.name = "kernel_size", .type = NN_P_DIMS, .required = true, .positional = true,               \
     .rank = axes, .min = 1, .aliases = "kernel",                                                  \
     .help = "size of the window, on the input and on the state"},                                 \
    {.name = "strides", .type = NN_P_DIMS, .rank = axes, .min = 1, .fallback = "1",                \
     .aliases = "stride",                                                                          \
     .help = "step of the window over the input; that over the state steps by 1"},                 \
    {.name = "padding", .type = NN_P_PADDING, .rank = axes, .fallback = "valid",                   \
     .help = "valid, same, or the zeros added on each side"},                                      \
    NN_DATA_FORMAT_PARAM,                                                                          \
    {.name = "dilation_rate", .type = NN_P_DIMS, .rank = axes, .min = 1, .fallback = "1",          \
     .aliases = "dilation",                                                                        \
     .help = "distance between the window's taps; strides must then be 1"},                        \
    NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS, NN_RECURRENT_FORGET,        \
    NN_RECURRENT_INPUT_DROPOUT, NN_RECURRENT_SEQUENCE
/* clang-format on */

static const nn_param params1[] = {PARAMS(1), {0}};
static const nn_param params2[] = {PARAMS(2), {0}};
static const nn_param params3[] = {PARAMS(3), {0}};

const nn_layer nn_layer_conv_lstm1d = {
    .name = "ConvLSTM1D",
    .base = "conv_lstm1d",
    .summary = "an LSTM over a sequence of rows, with convolutions as its products",
    .family = "recurrent",
    .rule = "(steps, w, c) -> (w', filters), or (steps, w', filters) with return_sequences; w' as "
            "Conv1D",
    .params = params1,
    .build = build,
};

const nn_layer nn_layer_conv_lstm2d = {
    .name = "ConvLSTM2D",
    .base = "conv_lstm2d",
    .summary = "an LSTM over a sequence of images, with convolutions as its products",
    .family = "recurrent",
    .rule = "(steps, h, w, c) -> (h', w', filters), or (steps, h', w', filters) with "
            "return_sequences; h', w' as Conv2D",
    .params = params2,
    .build = build,
};

const nn_layer nn_layer_conv_lstm3d = {
    .name = "ConvLSTM3D",
    .base = "conv_lstm3d",
    .summary = "an LSTM over a sequence of volumes, with convolutions as its products",
    .family = "recurrent",
    .rule = "(steps, d, h, w, c) -> (d', h', w', filters), or (steps, d', h', w', filters) with "
            "return_sequences; d', h', w' as Conv3D",
    .params = params3,
    .build = build,
};
