/* SPDX-License-Identifier: MIT */
/* convolution.c - Conv, ConvTranspose, DepthwiseConv and SeparableConv over one to three spatial
 * axes, by Keras's rules; padding may also be given PyTorch's way, as an integer or a tuple.
 *
 * A depthwise convolution is one of as many groups as channels: Keras's kernel [k..., in,
 * multiplier] lies in memory as ours, [k..., 1, in * multiplier]. A separable one is that without a
 * bias, then a pointwise convolution. */
#include "layers/spatial.h"

#include <inttypes.h>
#include <string.h>

/* The arguments, counted from kernel_size: filters, where a layer has them, stand before it; what
 * only one kind has stands last. */
enum {
    FILTERS = -1,
    KERNEL_SIZE,
    ACTIVATION,
    STRIDES,
    PADDING,
    DILATION,
    GROUPS,
    MULTIPLIER = GROUPS, /* depthwise and separable */
    FORMAT,
    KERNEL,
    OUTPUT_PADDING = KERNEL + NN_K_COUNT,   /* transpose */
    DEPTHWISE_INITIALIZER = OUTPUT_PADDING, /* separable, with the two after it */
    DEPTHWISE_REGULARIZER,
    DEPTHWISE_CONSTRAINT
};

/* clang-format off */
#define FILTERS_PARAM                                                                              \
    {.name = "filters", .type = NN_P_INT, .required = true, .positional = true, .min = 1,          \
     .max = (double)NN_MAX_DIM, .aliases = "out_channels",                                         \
     .help = "number of output channels"}
/* act: whether the activation may be given without its name */
#define WINDOW_PARAMS(r, act, paddings)                                                            \
    {.name = "kernel_size", .type = NN_P_DIMS, .required = true, .positional = true, .rank = r,    \
     .min = 1, .aliases = "kernel",                                                                \
     .help = SIZE_HELP(r) " of the window"},                                                       \
    {.name = "activation", .type = NN_P_ACTIVATION, .positional = act,                             \
     .help = "applied to the result; none by default"},                                            \
    {.name = "strides", .type = NN_P_DIMS, .rank = r, .min = 1, .fallback = "1",                   \
     .aliases = "stride",                                                                          \
     .help = "step of the window"},                                                                \
    {.name = "padding", .type = NN_P_PADDING, .rank = r, .fallback = "valid",                      \
     .help = paddings ", or the zeros added on each side"},                                        \
    {.name = "dilation_rate", .type = NN_P_DIMS, .rank = r, .min = 1, .fallback = "1",             \
     .aliases = "dilation",                                                                        \
     .help = "distance between the window's taps; strides must then be 1"}
#define SIZE_HELP(r)  SIZE_HELP##r
#define SIZE_HELP1    "length"
#define SIZE_HELP2    "height and width"
#define SIZE_HELP3    "depth, height and width"
#define PADDINGS1     "valid, same, causal (zeros before the first step alone)"
#define PADDINGS2     "valid, same"
#define PADDINGS3     "valid, same"
#define GROUPS_PARAM                                                                               \
    {.name = "groups", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM, .fallback = "1",     \
     .help = "groups of channels that do not mix; divides channels and filters"}
#define MULTIPLIER_PARAM                                                                           \
    {.name = "depth_multiplier", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM,            \
     .fallback = "1", .help = "output channels of each input channel"}

#define CONV_PARAMS(r)                                                                             \
    static const nn_param conv##r[] = {                                                            \
        FILTERS_PARAM, WINDOW_PARAMS(r, true, PADDINGS##r), GROUPS_PARAM, NN_DATA_FORMAT_PARAM,    \
        NN_KERNEL_PARAMS, {0}};
#define TRANSPOSE_PARAMS(r)                                                                        \
    static const nn_param transpose##r[] = {                                                       \
        FILTERS_PARAM, WINDOW_PARAMS(r, true, "valid, same"), GROUPS_PARAM, NN_DATA_FORMAT_PARAM,  \
        NN_KERNEL_PARAMS,                                                                          \
        {.name = "output_padding", .type = NN_P_DIMS, .rank = r,                                   \
         .help = "more rows at the end, fewer than strides"},                                      \
        {0}};
#define DEPTHWISE_PARAMS(r)                                                                        \
    static const nn_param depthwise##r[] = {                                                       \
        WINDOW_PARAMS(r, false, "valid, same"), MULTIPLIER_PARAM, NN_DATA_FORMAT_PARAM,            \
        NN_NAMED_KERNEL_PARAMS("depthwise"), {0}};
#define SEPARABLE_PARAMS(r)                                                                        \
    static const nn_param separable##r[] = {                                                       \
        FILTERS_PARAM, WINDOW_PARAMS(r, false, "valid, same"), MULTIPLIER_PARAM,                   \
        NN_DATA_FORMAT_PARAM, NN_NAMED_KERNEL_PARAMS("pointwise"),                                 \
        {.name = "depthwise_initializer", .type = NN_P_INITIALIZER, .fallback = "glorot_uniform",  \
         .help = "how the depthwise kernel starts"},                                               \
        {.name = "depthwise_regularizer", .type = NN_P_REGULARIZER,                                \
         .help = "penalty on the depthwise kernel"},                                               \
        {.name = "depthwise_constraint", .type = NN_P_CONSTRAINT,                                  \
         .help = "applied to the depthwise kernel after each update"},                             \
        {0}};

CONV_PARAMS(1)
CONV_PARAMS(2)
CONV_PARAMS(3)
TRANSPOSE_PARAMS(1)
TRANSPOSE_PARAMS(2)
TRANSPOSE_PARAMS(3)
DEPTHWISE_PARAMS(1)
DEPTHWISE_PARAMS(2)
SEPARABLE_PARAMS(1)
SEPARABLE_PARAMS(2)
/* clang-format on */

/* A call: its arguments from kernel_size on, and the channels-last node to convolve. */
typedef struct conv {
    const nn_bound *a;
    int spatial, in;
    int64_t channels;
    bool bias;
} conv;

/* ---- checks ---- */

static nn_status build_transpose(const nn_layer_ctx *c, int *ret, nn_err *err);

static nn_status blame(const nn_layer_ctx *c, const nn_bound *arg, const char *hint, nn_status st) {
    return nn_build_blame(c, (int)(arg - c->args), hint, st);
}

static bool above_one(const nn_bound *dims, int n) {
    for (int i = 0; i < n; i++)
        if (dims->dims[i] > 1) return true;
    return false;
}

extern const nn_layer nn_layer_conv1d;

static nn_status refuse_causal(const nn_layer_ctx *c, const conv *v, nn_err *err) {
    int64_t before = (v->a[KERNEL_SIZE].dims[0] - 1) * v->a[DILATION].dims[0];
    nn_status st = nn_fail(err, NN_E_DSL_ERROR, "padding=\"causal\" is for Conv1D alone");
    if (c->layer->build == build_transpose)
        st = nn_err_hint(err, st, "padding=\"same\" gives d * strides");
    else
        st = nn_err_hint(err, st, "insert ZeroPadding1D((%" PRId64 ", 0)) before it instead",
                         before);
    return blame(c, &v->a[PADDING], NULL, st);
}

static nn_status check_window(const nn_layer_ctx *c, const conv *v, nn_err *err) {
    if (above_one(&v->a[STRIDES], v->spatial) && above_one(&v->a[DILATION], v->spatial))
        return blame(
            c, &v->a[DILATION], "use one of the two",
            nn_fail(err, NN_E_DSL_ERROR, "strides above 1 cannot go with dilation_rate above 1"));
    bool causal = v->a[PADDING].padding == NN_PAD_CAUSAL;
    return causal && c->layer != &nn_layer_conv1d ? refuse_causal(c, v, err) : NN_OK;
}

static nn_status check_groups(const nn_layer_ctx *c, const conv *v, nn_err *err) {
    int64_t groups = v->a[GROUPS].i, filters = v->a[FILTERS].i;
    if (v->channels > 0 && v->channels % groups)
        return blame(c, &v->a[GROUPS], NULL,
                     nn_fail(err, NN_E_DSL_ERROR,
                             "groups=%" PRId64 " does not divide %" PRId64 " input channels",
                             groups, v->channels));
    if (filters % groups)
        return blame(c, &v->a[GROUPS], NULL,
                     nn_fail(err, NN_E_DSL_ERROR,
                             "groups=%" PRId64 " does not divide filters=%" PRId64, groups,
                             filters));
    return NN_OK;
}

/* A depthwise convolution has a group a channel, so it must know how many there are. */
static nn_status check_channels(const nn_layer_ctx *c, const conv *v, nn_err *err) {
    int64_t multiplier = v->a[MULTIPLIER].i;
    if (v->channels < 0)
        return nn_err_hint(err,
                           nn_fail(err, NN_E_DSL_ERROR, "the number of channels must be known"),
                           "give the input's last axis a size instead of None");
    if (v->channels > NN_MAX_DIM / multiplier)
        return blame(c, &v->a[MULTIPLIER], NULL,
                     nn_fail(err, NN_E_DSL_ERROR,
                             "%" PRId64 " channels times depth_multiplier=%" PRId64
                             " are more than %" PRId64,
                             v->channels, multiplier, NN_MAX_DIM));
    return NN_OK;
}

/* Keras and PyTorch both want fewer rows than strides: more would be the next position's. */
static nn_status check_output_padding(const nn_layer_ctx *c, const conv *v, nn_err *err) {
    const nn_bound *more = &v->a[OUTPUT_PADDING];
    for (int i = 0; more->set && i < v->spatial; i++)
        if (more->dims[i] >= v->a[STRIDES].dims[i])
            return blame(c, more, NULL,
                         nn_fail(err, NN_E_DSL_ERROR,
                                 "output_padding %" PRId64 " must be less than strides %" PRId64,
                                 more->dims[i], v->a[STRIDES].dims[i]));
    return NN_OK;
}

/* ---- what the kinds share ---- */

static nn_status begin(const nn_layer_ctx *c, conv *v, nn_err *err) {
    const nn_bound *a = c->args + (c->layer->params[0].type == NN_P_INT); /* filters */
    *v = (conv){.a = a, .spatial = nn_spatial_rank(c->layer), .bias = a[KERNEL + NN_K_USE_BIAS].b};
    nn_status st = nn_spatial_enter(c, &a[FORMAT], &v->in, err);
    if (st) return st;
    v->channels = c->graph->nodes[v->in].shape.dim[v->spatial];
    return check_window(c, v, err);
}

/* Back to the program's layout; a softmax belongs to the last axis as the program sees it. */
static nn_status finish(const nn_layer_ctx *c, const conv *v, int at, int *ret, nn_err *err) {
    nn_build_act act = {.name = v->a[ACTIVATION].set ? v->a[ACTIVATION].s : NULL};
    bool late = act.name && nn_activation_mixes(act.name);
    nn_status st = NN_OK;
    if (!late) st = nn_build_activation(c, at, &act, &at, err);
    if (!st) st = nn_spatial_leave(c, &v->a[FORMAT], at, &at, err);
    if (!st && late) st = nn_build_activation(c, at, &act, &at, err);
    if (!st) *ret = at;
    return st;
}

static nn_window window(const conv *v) {
    return nn_build_window(v->spatial, &v->a[KERNEL_SIZE], &v->a[STRIDES], &v->a[DILATION],
                           &v->a[PADDING]);
}

/* ---- convolution ---- */

static nn_status build_conv(const nn_layer_ctx *c, int *ret, nn_err *err) {
    conv v;
    int at;
    nn_status st = begin(c, &v, err);
    if (!st) st = check_groups(c, &v, err);
    if (st) return st;
    nn_attr attr = {
        .conv = {window(&v), v.a[FILTERS].i, v.a[GROUPS].i, v.bias}
    };
    st = nn_build_op(c, NN_OP_CONV, "", v.in, &attr, NULL, &at, err);
    if (!st) st = nn_build_kernel(c, at, &v.a[KERNEL], err);
    return st ? st : finish(c, &v, at, ret, err);
}

/* ---- transposed convolution ---- */

/* What Keras cuts off when `same` comes with output_padding: out = (d - 1) * s + ke % 2 + more, and
 * the cut is TensorFlow's, half of it before (compute_conv_transpose_output_shape and
 * conv_transpose in keras/src/backend/tensorflow/nn.py). For an odd ke and more = s - 1, as it is
 * mostly written, that is plain `same`, d * s. */
static void same_with_rows(nn_window *w, const int64_t *more, bool *ret_plain) {
    nn_window cut = *w;
    cut.same = false;
    bool plain = true;
    for (int i = 0; i < w->spatial; i++) {
        int64_t ke = (w->size[i] - 1) * w->dilation[i] + 1, even = ke - ke % 2;
        plain = plain && ke % 2 + more[i] == w->stride[i];
        cut.pad_before[i] = even > more[i] ? (even - more[i]) / 2 : 0;
        cut.pad_after[i] = even - cut.pad_before[i]; /* of the rows that `more` adds to */
    }
    *ret_plain = plain;
    if (!plain) *w = cut;
}

/* padding=0 is that of PyTorch, (d - 1) * s + ke, where "valid" is at least d * s. */
static nn_attr transpose_attr(const conv *v) {
    const nn_bound *more = &v->a[OUTPUT_PADDING];
    nn_attr attr = {
        .conv_transpose = {.window = window(v),
                           .filters = v->a[FILTERS].i,
                           .groups = v->a[GROUPS].i,
                           .bias = v->bias}
    };
    bool plain = !more->set && v->a[PADDING].padding != NN_PAD_EXPLICIT;
    if (more->set && attr.conv_transpose.window.same)
        same_with_rows(&attr.conv_transpose.window, more->dims, &plain);
    attr.conv_transpose.output_padding_given = !plain;
    for (int i = 0; i < v->spatial && !plain && more->set; i++)
        attr.conv_transpose.output_padding[i] = more->dims[i];
    return attr;
}

static nn_status build_transpose(const nn_layer_ctx *c, int *ret, nn_err *err) {
    conv v;
    int at;
    nn_status st = begin(c, &v, err);
    if (!st) st = check_groups(c, &v, err);
    if (!st) st = check_output_padding(c, &v, err);
    if (st) return st;
    nn_attr attr = transpose_attr(&v);
    st = nn_build_op(c, NN_OP_CONV_TRANSPOSE, "", v.in, &attr, NULL, &at, err);
    if (!st) st = nn_build_kernel(c, at, &v.a[KERNEL], err);
    return st ? st : finish(c, &v, at, ret, err);
}

/* ---- depthwise and separable convolution ---- */

static nn_status add_depthwise(const nn_layer_ctx *c, const conv *v, const char *suffix, bool bias,
                               int *ret, nn_err *err) {
    nn_status st = check_channels(c, v, err);
    if (st) return st;
    nn_attr attr = {
        .conv = {window(v), v->channels * v->a[MULTIPLIER].i, v->channels, bias}
    };
    return nn_build_op(c, NN_OP_CONV, suffix, v->in, &attr, NULL, ret, err);
}

/* compute_fans (keras/src/initializers/random_initializers.py) of [k..., in, multiplier]. */
static void depthwise_fans(const nn_layer_ctx *c, const conv *v, int node) {
    nn_weight *w = &c->graph->weights[c->graph->nodes[node].weights[0]];
    int64_t field = 1;
    for (int i = 0; i < v->spatial; i++) field *= v->a[KERNEL_SIZE].dims[i];
    w->fan_in = field * v->channels;
    w->fan_out = field * v->a[MULTIPLIER].i;
}

static nn_status build_depthwise(const nn_layer_ctx *c, int *ret, nn_err *err) {
    conv v;
    int at;
    nn_status st = begin(c, &v, err);
    if (!st) st = add_depthwise(c, &v, "", v.bias, &at, err);
    if (!st) st = nn_build_kernel(c, at, &v.a[KERNEL], err);
    if (st) return st;
    depthwise_fans(c, &v, at);
    return finish(c, &v, at, ret, err);
}

static nn_status build_separable(const nn_layer_ctx *c, int *ret, nn_err *err) {
    conv v;
    int at;
    nn_status st = begin(c, &v, err);
    if (!st) st = add_depthwise(c, &v, "depthwise", false, &at, err);
    if (!st)
        st = nn_build_weight(c, at, "kernel", &v.a[DEPTHWISE_INITIALIZER],
                             &v.a[DEPTHWISE_REGULARIZER], &v.a[DEPTHWISE_CONSTRAINT], true, err);
    if (st) return st;
    depthwise_fans(c, &v, at);
    nn_attr attr = {
        .conv = {{.spatial = v.spatial}, v.a[FILTERS].i, 1, v.bias}
    };
    nn_window *w = &attr.conv.window;
    for (int i = 0; i < v.spatial; i++) w->size[i] = w->stride[i] = w->dilation[i] = 1;
    st = nn_build_op(c, NN_OP_CONV, "", at, &attr, NULL, &at, err);
    if (!st) st = nn_build_kernel(c, at, &v.a[KERNEL], err);
    return st ? st : finish(c, &v, at, ret, err);
}

/* ---- the layers ---- */

#define RULE_CONV(r, channels, more)                                                               \
    "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", " channels "); with ke = (k - 1) * dilation + 1, "   \
                                           "valid: floor((d - ke) / s) + 1, same" more             \
                                           ": ceil(d / s), "                                       \
                                           "padding p: floor((d + 2p - ke) / s) + 1"
#define RULE_CAUSAL1 " and causal"
#define RULE_CAUSAL2 ""
#define RULE_CAUSAL3 ""
#define RULE_TRANSPOSE(r)                                                                          \
    "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", filters); with ke = (k - 1) * dilation + 1, "        \
                                           "valid: d * s + max(ke - s, 0), same: d * s, "          \
                                           "padding p: (d - 1) * s + ke - 2p + output_padding"
#define OVER(r) OVER##r
#define OVER1   "over the steps"
#define OVER2   "over height and width"
#define OVER3   "over depth, height and width"

#define CONV(r)                                                                                    \
    const nn_layer nn_layer_conv##r##d = {                                                         \
        .name = "Conv" #r "D",                                                                     \
        .base = "conv" #r "d",                                                                     \
        .summary = "convolution " OVER(r),                                                         \
        .family = "convolution",                                                                   \
        .rule = RULE_CONV(r, "filters", RULE_CAUSAL##r),                                           \
        .aliases = "Convolution" #r "D",                                                           \
        .params = conv##r,                                                                         \
        .build = build_conv,                                                                       \
    };
#define TRANSPOSE(r)                                                                               \
    const nn_layer nn_layer_conv##r##d_transpose = {                                               \
        .name = "Conv" #r "DTranspose",                                                            \
        .base = "conv" #r "d_transpose",                                                           \
        .summary = "transposed convolution " OVER(r) ": the gradient of a convolution as a layer", \
        .family = "convolution",                                                                   \
        .rule = RULE_TRANSPOSE(r),                                                                 \
        .aliases =                                                                                 \
            "ConvTranspose" #r "D|Convolution" #r "DTranspose|Deconv" #r "D|Deconvolution" #r "D", \
        .params = transpose##r,                                                                    \
        .build = build_transpose,                                                                  \
    };
#define DEPTHWISE(r)                                                                               \
    const nn_layer nn_layer_depthwise_conv##r##d = {                                               \
        .name = "DepthwiseConv" #r "D",                                                            \
        .base = "depthwise_conv" #r "d",                                                           \
        .summary = "convolution " OVER(r) " of each channel by itself",                            \
        .family = "convolution",                                                                   \
        .rule = RULE_CONV(r, "c * depth_multiplier", ""),                                          \
        .aliases = "DepthwiseConvolution" #r "D",                                                  \
        .params = depthwise##r,                                                                    \
        .build = build_depthwise,                                                                  \
    };
#define SEPARABLE(r)                                                                               \
    const nn_layer nn_layer_separable_conv##r##d = {                                               \
        .name = "SeparableConv" #r "D",                                                            \
        .base = "separable_conv" #r "d",                                                           \
        .summary = "convolution " OVER(r) " of each channel, then one that mixes the channels",    \
        .family = "convolution",                                                                   \
        .rule = RULE_CONV(r, "filters", ""),                                                       \
        .aliases = "SeparableConvolution" #r "D",                                                  \
        .params = separable##r,                                                                    \
        .build = build_separable,                                                                  \
    };

CONV(1)
CONV(2)
CONV(3)
TRANSPOSE(1)
TRANSPOSE(2)
TRANSPOSE(3)
DEPTHWISE(1)
DEPTHWISE(2)
SEPARABLE(1)
SEPARABLE(2)
