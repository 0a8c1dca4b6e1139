/* SPDX-License-Identifier: MIT */
/* onnx_window.c - ops over spatial axes. ONNX wants the channels first here, and pads as all those
 * before, then all those after. */
#include "codegen/onnx.h"

#include <math.h>
#include <string.h>

/* ---- windows ---- */

static bool ones(const int64_t *v, int n) {
    for (int i = 0; i < n; i++)
        if (v[i] != 1) return false;
    return true;
}

/* Whether what "same" comes to is known only when it runs. */
static bool open_same(const nn_window *w, const nn_shape *in) {
    for (int i = 0; w->same && i < w->spatial; i++)
        if (in->dim[i] < 0 && w->stride[i] != 1) return true;
    return false;
}

static nn_status check_open(const nn_node *n, const nn_window *w, const nn_shape *in, nn_err *err) {
    if (!open_same(w, in) || ones(w->dilation, w->spatial)) return NN_OK;
    return nn_onnx_cannot(n, "\"same\" with a dilation and strides over a size that is open",
                          "give the input a known size, or padding as a number", err);
}

static void put_pads(nn_emit *e, const int64_t *before, const int64_t *after, int spatial) {
    int64_t pads[2 * NN_MAX_SPATIAL];
    memcpy(pads, before, (size_t)spatial * sizeof *pads);
    memcpy(pads + spatial, after, (size_t)spatial * sizeof *pads);
    nn_onnx_ints(e, "pads", pads, 2 * spatial);
}

/* The attributes of a window; y's spatial sizes are then open to the shape rule. */
static void put_window(nn_emit *e, const nn_window *w, const nn_shape *in, bool padded, value *y) {
    nn_onnx_ints(e, "kernel_shape", w->size, w->spatial);
    nn_onnx_ints(e, "strides", w->stride, w->spatial);
    if (!ones(w->dilation, w->spatial)) nn_onnx_ints(e, "dilations", w->dilation, w->spatial);
    if (open_same(w, in))
        nn_onnx_string(e, "auto_pad", "SAME_UPPER"); /* the odd one after, as TensorFlow */
    else if (!padded)
        put_pads(e, w->pad_before, w->pad_after, w->spatial);
    for (int i = 0; i < w->spatial; i++) y->dim[i + 2] = (nn_onnx_dim){-1, NULL};
}

/* x with a border of `fill` around its spatial axes. */
static value *bordered(nn_emit *e, value *x, nn_onnx_layout layout, int spatial,
                       const int64_t *before, const int64_t *after, double fill) {
    int64_t pads[2 * NN_ONNX_RANK] = {0};
    int first = layout == NN_ONNX_FIRST ? 2 : 1;
    for (int i = 0; i < spatial; i++) {
        pads[first + i] = before[i];
        pads[x->rank + first + i] = after[i];
    }
    value *widths = nn_onnx_whole(e, "pads", pads, 2 * x->rank);
    value *y = fill == 0 ? PUT(e, "Pad", x, widths)
                         : PUT(e, "Pad", x, widths, nn_onnx_scalar(e, "fill", fill));
    for (int i = 0; i < spatial; i++) {
        int64_t d = x->dim[first + i].n;
        y->dim[first + i] = (nn_onnx_dim){d < 0 ? -1 : d + before[i] + after[i], NULL};
    }
    return y;
}

/* ---- convolution ---- */

/* [k..., a, b] as [b, a, k...] */
static void kernel_order(int spatial, int *perm) {
    perm[0] = spatial + 1;
    perm[1] = spatial;
    for (int i = 0; i < spatial; i++) perm[i + 2] = i;
}

static value *convolved(nn_emit *e, const nn_node *n, const nn_window *w, value *x, bool bias,
                        const char *type) {
    int perm[NN_MAX_RANK];
    kernel_order(w->spatial, perm);
    value *kernel = nn_onnx_weight_permuted(e, n, 0, perm);
    value *y = bias ? PUT(e, type, x, kernel, nn_onnx_weight(e, n, 1)) : PUT(e, type, x, kernel);
    return y;
}

nn_status nn_onnx_emit_conv(nn_emit *e, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv.window;
    nn_status s = check_open(n, w, nn_onnx_in(e, n), err);
    if (s) return s;
    value *y = convolved(e, n, w, nn_onnx_first(e, n), n->attr.conv.bias, "Conv");
    put_window(e, w, nn_onnx_in(e, n), false, y);
    nn_onnx_int(e, "group", n->attr.conv.groups);
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

/* What the full output, (d - 1) stride + extent, is longer than the one that the shape rule gives:
 * graph/infer_window.c. Negative: shorter. */
static int64_t excess(const nn_node *n, int i) {
    const nn_window *w = &n->attr.conv_transpose.window;
    bool given = n->attr.conv_transpose.output_padding_given, padded = given;
    for (int a = 0; a < w->spatial; a++)
        padded |= !w->same && (w->pad_before[a] || w->pad_after[a]);
    int64_t extent = (w->size[i] - 1) * w->dilation[i] + 1;
    int64_t more = given ? n->attr.conv_transpose.output_padding[i] : 0;
    if (padded) return w->pad_before[i] + w->pad_after[i] - more;
    return w->same || extent < w->stride[i] ? extent - w->stride[i] : 0;
}

nn_status nn_onnx_emit_conv_transpose(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const nn_window *w = &n->attr.conv_transpose.window;
    value *y =
        convolved(e, n, w, nn_onnx_first(e, n), n->attr.conv_transpose.bias, "ConvTranspose");
    int64_t after[NN_MAX_SPATIAL], more[NN_MAX_SPATIAL];
    for (int i = 0; i < w->spatial; i++) {
        int64_t rest = excess(n, i) - w->pad_before[i];
        after[i] = rest > 0 ? rest : 0;
        more[i] = rest < 0 ? -rest : 0;
    }
    put_window(e, w, &n->shape, true, y);
    put_pads(e, w->pad_before, after, w->spatial);
    nn_onnx_ints(e, "output_padding", more, w->spatial);
    nn_onnx_int(e, "group", n->attr.conv_transpose.groups);
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

/* ---- pools ---- */

/* Runtimes want pads smaller than the kernel, which a dilated window may not have. */
static bool pads_too_wide(const nn_window *w) {
    for (int i = 0; i < w->spatial; i++)
        if (w->pad_before[i] >= w->size[i] || w->pad_after[i] >= w->size[i]) return true;
    return false;
}

nn_status nn_onnx_emit_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.pool;
    nn_status s = check_open(n, w, nn_onnx_in(e, n), err);
    if (s) return s;
    value *x = nn_onnx_first(e, n);
    bool apart = !open_same(w, nn_onnx_in(e, n)) && pads_too_wide(w);
    if (apart)
        x = bordered(e, x, NN_ONNX_FIRST, w->spatial, w->pad_before, w->pad_after, -INFINITY);
    value *y = PUT(e, "MaxPool", x);
    put_window(e, w, nn_onnx_in(e, n), apart, y);
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

/* How many elements of the input the window at output place o covers on an axis. */
static int64_t covered(const nn_window *w, int axis, int64_t o, int64_t d) {
    int64_t n = 0;
    for (int64_t k = 0; k < w->size[axis]; k++) {
        int64_t at = o * w->stride[axis] - w->pad_before[axis] + k * w->dilation[axis];
        n += at >= 0 && at < d;
    }
    return n;
}

/* 1 / the elements covered, for every output place. */
static value *shares(nn_emit *e, const nn_node *n, const nn_window *w) {
    const nn_shape *in = nn_onnx_in(e, n);
    int64_t dim[NN_MAX_SPATIAL], all = 1;
    for (int i = 0; i < w->spatial; i++) all *= dim[i] = n->shape.dim[i];
    float *v = nn_onnx_floats_new(e, all);
    for (int64_t p = 0; v && p < all; p++) {
        int64_t rest = p, count = 1;
        for (int i = w->spatial - 1; i >= 0; i--) {
            count *= covered(w, i, rest % dim[i], in->dim[i]);
            rest /= dim[i];
        }
        v[p] = (float)(1.0 / (double)(count ? count : 1));
    }
    return nn_onnx_constant(e, "shares", v, w->spatial, dim);
}

/* AveragePool has no dilations before opset 19: a convolution of each channel with ones sums the
 * window. */
static nn_status dilated_average(nn_emit *e, const nn_node *n, const nn_window *w, nn_err *err) {
    for (int i = 0; i < w->spatial; i++)
        if (n->shape.dim[i] < 0)
            return nn_onnx_cannot(n, "a dilated average over a size that is open",
                                  "give the input a known size, or no dilation", err);
    int64_t channels = n->shape.dim[w->spatial], dim[NN_MAX_RANK] = {channels, 1}, all = channels;
    for (int i = 0; i < w->spatial; i++) all *= dim[i + 2] = w->size[i];
    float *v = nn_onnx_floats_new(e, all);
    for (int64_t i = 0; v && i < all; i++) v[i] = 1;
    value *kernel = nn_onnx_constant(e, "ones", v, w->spatial + 2, dim);
    value *y = PUT(e, "Conv", nn_onnx_first(e, n), kernel);
    put_window(e, w, nn_onnx_in(e, n), false, y);
    nn_onnx_int(e, "group", channels);
    for (int i = 0; i < w->spatial; i++) y->dim[i + 2] = (nn_onnx_dim){n->shape.dim[i], NULL};
    nn_onnx_result(e, n, nn_onnx_binary(e, "Mul", y, shares(e, n, w)), NN_ONNX_FIRST);
    return NN_OK;
}

nn_status nn_onnx_emit_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.pool;
    if (!ones(w->dilation, w->spatial)) return dilated_average(e, n, w, err);
    value *y = PUT(e, "AveragePool", nn_onnx_first(e, n));
    put_window(e, w, nn_onnx_in(e, n), false, y);
    nn_onnx_int(e, "count_include_pad", 0);
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

/* Over all spatial axes, in whichever layout the value is. */
static value *over_places(nn_emit *e, const char *type, value *x, nn_onnx_layout layout,
                          bool keep) {
    int64_t axes[NN_ONNX_RANK];
    for (int i = 0; i < x->rank - 2; i++) axes[i] = i + (layout == NN_ONNX_FIRST ? 2 : 1);
    return nn_onnx_reduce(e, type, x, axes, x->rank - 2, keep);
}

static nn_status global_pool(nn_emit *e, const nn_node *n, const char *pool, const char *reduce) {
    nn_onnx_layout layout;
    bool keep = n->attr.global_pool.keepdims;
    value *x = nn_onnx_any(e, n->inputs[0], &layout), *y;
    if (layout == NN_ONNX_FIRST) {
        y = nn_onnx_unary(e, pool, x);
        for (int i = 2; i < y->rank; i++) y->dim[i] = (nn_onnx_dim){1, NULL};
        if (!keep) {
            y = nn_onnx_unary(e, "Flatten", y);
            nn_onnx_int(e, "axis", 1);
            y->rank = 2;
        }
    } else {
        y = over_places(e, reduce, x, layout, keep);
    }
    nn_onnx_result(e, n, y, keep ? layout : NN_ONNX_LAST);
    return NN_OK;
}

nn_status nn_onnx_emit_global_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    return global_pool(e, n, "GlobalMaxPool", "ReduceMax");
}

/* The mean of the steps whose token is not 0; of none at all it is 0. */
static nn_status masked_mean(nn_emit *e, const nn_node *n) {
    int64_t steps = 1;
    bool keep = n->attr.global_pool.keepdims;
    value *x = nn_onnx_last(e, n);
    value *mask = nn_onnx_nonzero(e, nn_onnx_as(e, n->inputs[1], NN_ONNX_LAST));
    mask = nn_onnx_unary(e, "Cast", mask);
    nn_onnx_int(e, "to", mask->type = NN_ONNX_FLOAT);
    mask = nn_onnx_unsqueeze(e, mask, 2);
    value *sum = nn_onnx_reduce(e, "ReduceSum", nn_onnx_binary(e, "Mul", x, mask), &steps, 1, keep);
    value *count = nn_onnx_reduce(e, "ReduceSum", mask, &steps, 1, keep);
    count = nn_onnx_binary(e, "Max", count, nn_onnx_scalar(e, "one", 1));
    nn_onnx_result(e, n, nn_onnx_binary(e, "Div", sum, count), NN_ONNX_LAST);
    return NN_OK;
}

nn_status nn_onnx_emit_global_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    if (n->n_inputs > 1) return masked_mean(e, n);
    return global_pool(e, n, "GlobalAveragePool", "ReduceMean");
}

/* Windows of one size where each axis is a multiple of what is asked for. */
static bool fixed_windows(const nn_node *n, const nn_shape *in, nn_window *ret) {
    *ret = (nn_window){.spatial = n->attr.adaptive_pool.spatial};
    for (int i = 0; i < ret->spatial; i++) {
        int64_t size = n->attr.adaptive_pool.size[i];
        if (in->dim[i] < 0 || in->dim[i] % size) return false;
        ret->size[i] = ret->stride[i] = in->dim[i] / size;
        ret->dilation[i] = 1;
    }
    return true;
}

/* One axis: window i runs from floor(i d / n) to ceil((i + 1) d / n). */
static value *adapted(nn_emit *e, const char *reduce, value *x, int axis, int64_t size) {
    int64_t d = x->dim[axis].n;
    if (size == 1) return nn_onnx_reduce(e, reduce, x, &(int64_t){axis}, 1, true);
    value **parts = nn_arena_array(e->arena, (size_t)size, sizeof(value *));
    if (!parts) {
        e->failed = true;
        return x;
    }
    for (int64_t i = 0; i < size; i++) {
        int64_t from = i * d / size, to = ((i + 1) * d + size - 1) / size;
        value *part = nn_onnx_slice(e, x, axis, from, to);
        parts[i] = nn_onnx_reduce(e, reduce, part, &(int64_t){axis}, 1, true);
    }
    return nn_onnx_concat(e, (int)size, parts, axis);
}

enum { MOST_PARTS = 4096 }; /* of a composed pool, along one axis */

static nn_status adaptive_pool(nn_emit *e, const nn_node *n, const char *pool, const char *reduce,
                               nn_err *err) {
    nn_window w;
    const nn_shape *in = nn_onnx_in(e, n);
    if (fixed_windows(n, in, &w)) {
        value *y = PUT(e, pool, nn_onnx_first(e, n));
        put_window(e, &w, in, false, y);
        nn_onnx_result(e, n, y, NN_ONNX_FIRST);
        return NN_OK;
    }
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    for (int i = 0; i < w.spatial; i++) {
        int64_t size = n->attr.adaptive_pool.size[i];
        if (size > 1 && (in->dim[i] < 0 || size > MOST_PARTS))
            return nn_onnx_cannot(n, "windows over a size that is open, or too many of them",
                                  "give the input a known size that the output size divides", err);
        x = adapted(e, reduce, x, nn_onnx_axis(layout, in->rank, i), size);
    }
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_adaptive_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    return adaptive_pool(e, n, "MaxPool", "ReduceMax", err);
}

nn_status nn_onnx_emit_adaptive_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    return adaptive_pool(e, n, "AveragePool", "ReduceMean", err);
}

/* ---- more and fewer places ---- */

nn_status nn_onnx_emit_upsample(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    bool bilinear = n->attr.upsample.bilinear;
    float scales[NN_ONNX_RANK] = {1, 1};
    value *x = nn_onnx_first(e, n);
    for (int i = 0; i < n->attr.upsample.spatial; i++)
        scales[i + 2] = (float)n->attr.upsample.factor[i];
    float *kept = nn_onnx_floats_new(e, x->rank);
    if (kept) memcpy(kept, scales, (size_t)x->rank * sizeof *kept);
    int64_t rank = x->rank;
    value *y = PUT(e, "Resize", x, NULL, nn_onnx_constant(e, "scales", kept, 1, &rank));
    nn_onnx_string(e, "mode", bilinear ? "linear" : "nearest");
    nn_onnx_string(e, "coordinate_transformation_mode", bilinear ? "half_pixel" : "asymmetric");
    if (!bilinear) nn_onnx_string(e, "nearest_mode", "floor"); /* i / factor */
    for (int i = 2; i < x->rank; i++) y->dim[i] = (nn_onnx_dim){-1, NULL};
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

nn_status nn_onnx_emit_pad(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    const nn_border *b = &n->attr.border;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    x = bordered(e, x, layout, b->spatial, b->before, b->after, 0);
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_crop(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    const nn_border *b = &n->attr.border;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    for (int i = 0; i < b->spatial; i++) {
        int axis = nn_onnx_axis(layout, n->shape.rank, i);
        if (b->before[i] || b->after[i])
            x = nn_onnx_slice(e, x, axis, b->before[i], b->after[i] ? -b->after[i] : INT64_MAX);
    }
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}
