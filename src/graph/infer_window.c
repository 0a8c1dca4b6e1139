/* SPDX-License-Identifier: MIT */
/* infer_window.c - shape rules of ops with spatial axes.
 *
 * Windows, per axis, with ke = (size - 1) * dilation + 1 (the formulas of language.md 13.2, which
 * are TensorFlow's, https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2):
 *     same:  out = ceil(d / stride); total = max((out - 1) * stride + ke - d, 0);
 *            pad_before = total / 2, pad_after the rest
 *     else:  out = floor((d + pad_before + pad_after - ke) / stride) + 1
 * An unknown d gives an unknown out; its "same" pads are known only for stride 1 (total = ke - 1),
 * else they stay 0. Sizes, strides, dilations and pads are at most NN_MAX_DIM, so nothing here
 * overflows 64 bits.
 *
 * Transposed convolution: input i meets outputs i * stride + tap * dilation - pad_before, and
 *     same:      out = d * stride, total = max(ke - stride, 0) cut off, half of it before
 *     no pads:   out = d * stride + max(ke - stride, 0) (Keras's "valid")
 *     pads:      out = (d - 1) * stride + ke - pad_before - pad_after + output_padding
 * With output_padding given the last holds for all three, `same` cutting off ke / 2 on both sides
 * (keras/src/backend/common/backend_utils.py, _convert_conv_transpose_padding_args). */
#include "graph/infer.h"

#include <inttypes.h>
#include <string.h>

/* How axes are called in errors, by number of spatial ones. */
static const char *const axes[] = {
    "(spatial..., channels)",
    "(steps, channels)",
    "(height, width, channels)",
    "(depth, height, width, channels)",
};

static nn_status check_spatial(int spatial, const nn_shape *in, nn_err *err) {
    if (spatial < 1 || spatial > NN_MAX_SPATIAL)
        return nn_misfit(err, in, axes[0], "a window has 1 to 3 axes");
    if (in->rank != spatial + 1)
        return nn_misfit(err, in, axes[spatial], "expected %d axes, got %d", spatial + 1, in->rank);
    return NN_OK;
}

static nn_status check_window(const nn_window *w, const nn_shape *in, nn_err *err) {
    nn_status st = check_spatial(w->spatial, in, err);
    for (int i = 0; !st && i < w->spatial; i++) {
        if (!nn_within(w->size[i], 1) || !nn_within(w->stride[i], 1) ||
            !nn_within(w->dilation[i], 1) || !nn_within(w->pad_before[i], 0) ||
            !nn_within(w->pad_after[i], 0))
            st = nn_misfit(err, in, "sizes, strides and dilations are at least 1, pads at least 0",
                           "a size is out of range");
        else if (w->stride[i] > 1 && w->dilation[i] > 1)
            st = nn_misfit(err, in, "one of strides and dilation_rate must be 1",
                           "a stride above 1 together with a dilation above 1");
    }
    return st;
}

static int64_t extent(const nn_window *w, int i) {
    return (w->size[i] - 1) * w->dilation[i] + 1;
}

static nn_status too_large(const nn_window *w, int axis, const nn_shape *in, nn_err *err) {
    int64_t d = in->dim[axis] + w->pad_before[axis] + w->pad_after[axis];
    nn_status s = nn_misfit(
        err, in, "floor((d + pads - ((k - 1) * dilation + 1)) / stride) + 1 must be at least 1",
        "a window of %" PRId64 " is larger than the input's %" PRId64 "%s on axis %d",
        extent(w, axis), d, d == in->dim[axis] ? "" : " (padding included)", axis);
    return nn_err_hint(err, s,
                       "make the window smaller, give padding=\"same\", or shrink less before it");
}

nn_status nn_window_output(const nn_window *w, const nn_shape *in, int64_t *ret_out, nn_err *err) {
    nn_status st = check_window(w, in, err);
    if (st) return st;
    int64_t out[NN_MAX_SPATIAL];
    for (int i = 0; i < w->spatial; i++) {
        int64_t d = in->dim[i], s = w->stride[i], ke = extent(w, i);
        if (d < 0) {
            out[i] = NN_DIM_UNKNOWN;
        } else if (w->same) {
            out[i] = (d + s - 1) / s;
        } else {
            int64_t free = d + w->pad_before[i] + w->pad_after[i] - ke;
            if (free < 0) return too_large(w, i, in, err);
            out[i] = free / s + 1;
        }
    }
    memcpy(ret_out, out, (size_t)w->spatial * sizeof out[0]);
    return NN_OK;
}

static void fill_same(nn_window *w, const nn_shape *in, const int64_t *out) {
    for (int i = 0; w->same && i < w->spatial; i++) {
        int64_t d = in->dim[i], s = w->stride[i], ke = extent(w, i);
        int64_t total = d >= 0 ? (out[i] - 1) * s + ke - d : s == 1 ? ke - 1 : 0;
        if (total < 0) total = 0;
        w->pad_before[i] = total / 2;
        w->pad_after[i] = total - total / 2;
    }
}

/* (sizes..., channels) */
static nn_shape shape_of(const int64_t *sizes, int spatial, int64_t channels) {
    nn_shape s = {.rank = spatial + 1};
    memcpy(s.dim, sizes, (size_t)spatial * sizeof sizes[0]);
    s.dim[spatial] = channels;
    return s;
}

/* The shape (spatial outputs..., channels), and the window's pads. */
static nn_status apply_window(nn_node *n, nn_window *w, const nn_shape *in, int64_t channels,
                              nn_err *err) {
    int64_t out[NN_MAX_SPATIAL];
    nn_status st = nn_window_output(w, in, out, err);
    if (st) return st;
    fill_same(w, in, out);
    n->shape = shape_of(out, w->spatial, channels);
    return NN_OK;
}

/* ---- convolution ---- */

static nn_status check_filters(const nn_shape *in, int64_t filters, int64_t groups,
                               const char *kernel, nn_err *err) {
    if (!nn_within(filters, 1) || !nn_within(groups, 1))
        return nn_misfit(err, in, "both are at least 1", "filters or groups out of range");
    if (nn_last(in) < 0) return nn_misfit(err, in, kernel, "the channels must have a known size");
    if (nn_last(in) % groups || filters % groups)
        return nn_misfit(err, in, "groups divides both",
                         "groups=%" PRId64 " does not divide %" PRId64 " channels and %" PRId64
                         " filters",
                         groups, nn_last(in), filters);
    return NN_OK;
}

nn_status nn_infer_conv(nn_node *n, const nn_shape *in, nn_err *err) {
    nn_status st = check_window(&n->attr.conv.window, in, err);
    if (!st)
        st = check_filters(in, n->attr.conv.filters, n->attr.conv.groups,
                           "the kernel is (k..., channels / groups, filters)", err);
    return st ? st : apply_window(n, &n->attr.conv.window, in, n->attr.conv.filters, err);
}

/* Sets the pads of a `same` window of a transposed convolution. */
static void fill_transposed(nn_window *w, bool output_padding) {
    for (int i = 0; w->same && i < w->spatial; i++) {
        int64_t ke = extent(w, i), total = ke > w->stride[i] ? ke - w->stride[i] : 0;
        w->pad_before[i] = output_padding ? ke / 2 : total / 2;
        w->pad_after[i] = output_padding ? ke / 2 : total - total / 2;
    }
}

static bool any_pad(const nn_window *w) {
    for (int i = 0; i < w->spatial; i++)
        if (w->pad_before[i] || w->pad_after[i]) return true;
    return false;
}

static nn_status check_output_padding(const nn_node *n, const nn_shape *in, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    for (int i = 0; i < w->spatial; i++) {
        int64_t p = n->attr.conv_transpose.output_padding[i];
        int64_t most = w->stride[i] > w->dilation[i] ? w->stride[i] : w->dilation[i];
        if (p < 0 || p >= most)
            return nn_misfit(err, in, "0 <= output_padding < the larger of stride and dilation",
                             "output_padding=%" PRId64 " on axis %d", p, i);
    }
    return NN_OK;
}

nn_status nn_infer_conv_transpose(nn_node *n, const nn_shape *in, nn_err *err) {
    nn_window *w = &n->attr.conv_transpose.window;
    bool given = n->attr.conv_transpose.output_padding_given;
    nn_status st = check_window(w, in, err);
    if (!st)
        st = check_filters(in, n->attr.conv_transpose.filters, n->attr.conv_transpose.groups,
                           "the kernel is (k..., filters / groups, channels)", err);
    if (!st && given) st = check_output_padding(n, in, err);
    if (st) return st;
    bool padded = given || (!w->same && any_pad(w));
    fill_transposed(w, given);
    int64_t out[NN_MAX_SPATIAL];
    for (int i = 0; i < w->spatial; i++) {
        int64_t d = in->dim[i], s = w->stride[i], ke = extent(w, i);
        int64_t more = given ? n->attr.conv_transpose.output_padding[i] : 0;
        if (d < 0)
            out[i] = NN_DIM_UNKNOWN;
        else if (padded)
            out[i] = (d - 1) * s + ke + more - w->pad_before[i] - w->pad_after[i];
        else
            out[i] = d * s + (w->same || ke < s ? 0 : ke - s);
        if (d >= 0 && out[i] < 1)
            return nn_misfit(err, in,
                             "(d - 1) * stride + (k - 1) * dilation + 1 - pads + output_padding",
                             "the padding takes all of axis %d", i);
    }
    n->shape = shape_of(out, w->spatial, n->attr.conv_transpose.filters);
    return NN_OK;
}

static nn_shape without_steps(const nn_shape *in) {
    nn_shape s = {.rank = in->rank - 1};
    memcpy(s.dim, in->dim + 1, (size_t)s.rank * sizeof s.dim[0]);
    return s;
}

nn_status nn_infer_conv_lstm(nn_node *n, const nn_shape *in, nn_err *err) {
    nn_window *w = &n->attr.conv_lstm.window;
    if (w->spatial < 1 || w->spatial > NN_MAX_SPATIAL || in->rank != w->spatial + 2)
        return nn_misfit(err, in, "(steps, spatial..., channels)", "expected %d axes, got %d",
                         w->spatial + 2, in->rank);
    if (!nn_is_rate(n->attr.conv_lstm.dropout) || !nn_is_rate(n->attr.conv_lstm.recurrent_dropout))
        return nn_misfit(err, in, "a rate is in [0, 1)", "dropout out of range");
    nn_shape step = without_steps(in);
    nn_status st = check_filters(&step, n->attr.conv_lstm.filters, 1,
                                 "the kernel is (k..., channels, 4 filters)", err);
    if (!st) st = apply_window(n, w, &step, n->attr.conv_lstm.filters, err);
    if (st || !n->attr.conv_lstm.sequences) return st;
    memmove(n->shape.dim + 1, n->shape.dim, (size_t)n->shape.rank * sizeof n->shape.dim[0]);
    n->shape.dim[0] = in->dim[0];
    n->shape.rank++;
    return NN_OK;
}

/* ---- pooling ---- */

static nn_status infer_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    nn_window *w = &n->attr.pool;
    nn_status st = apply_window(n, w, in, nn_last(in), err);
    if (st) return st;
    for (int i = 0; i < w->spatial; i++)
        if (w->pad_before[i] >= extent(w, i) || w->pad_after[i] >= extent(w, i))
            return nn_misfit(err, in, "pad < pool_size",
                             "a pool window lies wholly in the padding");
    return NN_OK;
}

nn_status nn_infer_max_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_pool(n, in, err);
}

nn_status nn_infer_avg_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_pool(n, in, err);
}

static nn_status infer_global(nn_node *n, const nn_shape *in, const char *doing, nn_err *err) {
    if (in->rank < 2)
        return nn_misfit(err, in, "(spatial..., channels) -> (channels)",
                         "no spatial axis to %s over", doing);
    n->shape = (nn_shape){.rank = 1, .dim = {nn_last(in)}};
    if (!n->attr.global_pool.keepdims) return NN_OK;
    n->shape.rank = in->rank;
    for (int i = 0; i < in->rank - 1; i++) n->shape.dim[i] = 1;
    n->shape.dim[in->rank - 1] = nn_last(in);
    return NN_OK;
}

nn_status nn_infer_global_avg_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    if (n->n_inputs == 2 && (in->rank != 2 || !nn_is_tokens(&in[1], in->dim[0])))
        return nn_misfits(err, n, in, "(steps, channels) and the tokens (steps)",
                          "the tokens do not fit");
    return infer_global(n, in, "average", err);
}

nn_status nn_infer_global_max_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_global(n, in, "take the maximum", err);
}

static nn_status infer_adaptive(nn_node *n, const nn_shape *in, nn_err *err) {
    int spatial = n->attr.adaptive_pool.spatial;
    nn_status st = check_spatial(spatial, in, err);
    for (int i = 0; !st && i < spatial; i++)
        if (!nn_within(n->attr.adaptive_pool.size[i], 1))
            st = nn_misfit(err, in, "1 <= output size <= 2147483647",
                           "an output size of %" PRId64 " on axis %d",
                           n->attr.adaptive_pool.size[i], i);
    if (!st) n->shape = shape_of(n->attr.adaptive_pool.size, spatial, nn_last(in));
    return st;
}

nn_status nn_infer_adaptive_max_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_adaptive(n, in, err);
}

nn_status nn_infer_adaptive_avg_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_adaptive(n, in, err);
}

/* ---- more and fewer places ---- */

nn_status nn_infer_upsample(nn_node *n, const nn_shape *in, nn_err *err) {
    int spatial = n->attr.upsample.spatial;
    nn_status st = check_spatial(spatial, in, err);
    if (st) return st;
    if (n->attr.upsample.bilinear && spatial != 2)
        return nn_misfit(err, in, axes[2], "bilinear interpolation needs two spatial axes");
    n->shape = *in;
    for (int i = 0; i < spatial; i++) {
        int64_t f = n->attr.upsample.factor[i];
        if (!nn_within(f, 1))
            return nn_misfit(err, in, "1 <= factor <= 2147483647", "a factor of %" PRId64, f);
        if (in->dim[i] >= 0) n->shape.dim[i] = in->dim[i] * f;
    }
    return NN_OK;
}

/* The spatial axes of `in`, each longer by sign * (before + after). */
static nn_status infer_border(nn_node *n, const nn_shape *in, int sign, nn_err *err) {
    const nn_border *b = &n->attr.border;
    nn_status st = check_spatial(b->spatial, in, err);
    if (st) return st;
    n->shape = *in;
    for (int i = 0; i < b->spatial; i++) {
        if (!nn_within(b->before[i], 0) || !nn_within(b->after[i], 0))
            return nn_misfit(err, in, "each border is 0 or more", "a border out of range");
        if (in->dim[i] < 0) continue;
        n->shape.dim[i] += sign * (b->before[i] + b->after[i]);
        if (n->shape.dim[i] < 1)
            return nn_misfit(err, in, "d - before - after must be at least 1",
                             "cropping %" PRId64 " of %" PRId64 " leaves nothing of axis %d",
                             b->before[i] + b->after[i], in->dim[i], i);
    }
    return NN_OK;
}

nn_status nn_infer_pad(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_border(n, in, 1, err);
}

nn_status nn_infer_crop(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_border(n, in, -1, err);
}
