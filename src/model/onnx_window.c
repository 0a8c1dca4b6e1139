/* SPDX-License-Identifier: MIT */
/* onnx_window.c - operators of ONNX over spatial axes and channels, as our ops. Kernels come as
 * [out, in / group, k...] (transposed ones [in, out / group, k...]), and go as [k..., in, out]. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- windows ---- */

static nn_status sizes(op *p, const char *name, int n, int64_t otherwise, int64_t *ret,
                       nn_err *err) {
    const int64_t *v;
    size_t given = nn_import_attr_ints(p, name, &v);
    if (given != 0 && given != (size_t)n)
        return nn_import_unsupported(p, err, "%s of %zu numbers over %d axes", name, given, n);
    for (int i = 0; i < n; i++) {
        ret[i] = given ? v[i] : otherwise;
        if (ret[i] < 0 || ret[i] > NN_MAX_DIM || (ret[i] == 0 && otherwise == 1))
            return nn_import_unsupported(p, err, "%s of %" PRId64, name, ret[i]);
    }
    return NN_OK;
}

static int64_t extent(const nn_window *w, int i) {
    return (w->size[i] - 1) * w->dilation[i] + 1;
}

/* SAME_LOWER: the odd one before. */
static nn_status same_lower(op *p, nn_window *w, const nn_shape *in, nn_err *err) {
    for (int i = 0; i < w->spatial; i++) {
        int64_t d = in->dim[i], out = d < 0 ? -1 : (d + w->stride[i] - 1) / w->stride[i];
        if (d < 0) return nn_import_unsupported(p, err, "SAME_LOWER of a size that is open");
        int64_t total = (out - 1) * w->stride[i] + extent(w, i) - d;
        w->pad_after[i] = total > 0 ? total / 2 : 0;
        w->pad_before[i] = total > 0 ? total - total / 2 : 0;
    }
    return NN_OK;
}

/* ceil_mode: more padding after, so that the last window begins inside. */
static nn_status ceiled(op *p, nn_window *w, const nn_shape *in, nn_err *err) {
    for (int i = 0; i < w->spatial; i++) {
        int64_t d = in->dim[i], padded = d + w->pad_before[i] + w->pad_after[i];
        if (d < 0) return nn_import_unsupported(p, err, "ceil_mode of a size that is open");
        int64_t rest = (padded - extent(w, i)) % w->stride[i];
        if (padded >= extent(w, i) && rest) w->pad_after[i] += w->stride[i] - rest;
    }
    return NN_OK;
}

/* `in`: spatial sizes, then channels. size: of the kernel, where the attribute is not given. */
static nn_status read_window(op *p, const nn_shape *in, const int64_t *size, nn_window *ret,
                             nn_err *err) {
    int n = in->rank - 1;
    int64_t pads[2 * NN_MAX_SPATIAL] = {0};
    if (n < 1 || n > NN_MAX_SPATIAL) return nn_import_unsupported(p, err, "%d spatial axes", n);
    nn_window w = {.spatial = n};
    if (size) memcpy(w.size, size, (size_t)n * sizeof *size);
    nn_status s = nn_import_attr(p, "kernel_shape") || !size
                      ? sizes(p, "kernel_shape", n, 1, w.size, err)
                      : NN_OK;
    if (!s && size && memcmp(w.size, size, (size_t)n * sizeof *size) != 0)
        return nn_import_unsupported(p, err, "a kernel_shape that is not that of the kernel");
    if (!s) s = sizes(p, "strides", n, 1, w.stride, err);
    if (!s) s = sizes(p, "dilations", n, 1, w.dilation, err);
    if (!s) s = sizes(p, "pads", 2 * n, 0, pads, err);
    if (s) return s;
    memcpy(w.pad_before, pads, (size_t)n * sizeof *pads);
    memcpy(w.pad_after, pads + n, (size_t)n * sizeof *pads);
    w.same = nn_import_attr_is(p, "auto_pad", "SAME_UPPER", "NOTSET");
    if (nn_import_attr_is(p, "auto_pad", "SAME_LOWER", "NOTSET")) s = same_lower(p, &w, in, err);
    if (!s && nn_import_attr_int(p, "ceil_mode", 0) && !w.same) s = ceiled(p, &w, in, err);
    *ret = w;
    return s;
}

/* ---- convolution ---- */

static nn_status kernel_of(importer *m, op *p, const nn_shape *in, const tensor **ret_k,
                           const float **ret, nn_err *err) {
    const tensor *k;
    int perm[NN_MAX_RANK + 2];
    nn_status s = nn_import_floats(m, p, 1, &k, err);
    if (s) return s;
    if (k->rank != in->rank + 1 || k->rank > NN_MAX_SPATIAL + 2 || k->elements == 0)
        return nn_import_unsupported(p, err, "a kernel of %d axes", k->rank);
    for (int i = 0; i < k->rank; i++) perm[i] = i < k->rank - 2 ? i + 2 : k->rank - 1 - i;
    *ret_k = k;
    return nn_import_permuted(m, k, perm, ret, err);
}

/* The weights of a convolution with `filters` outputs: kernel and, if there is one, bias. */
static nn_status weights_of(importer *m, op *p, int id, const float *kernel, int64_t filters,
                            nn_err *err) {
    const float *w[2] = {kernel};
    const tensor *b;
    bool bias = nn_import_input(m, p, 2);
    nn_status s = bias ? nn_import_floats(m, p, 2, &b, err) : NN_OK;
    if (!s && bias && b->elements != filters)
        return nn_import_unsupported(p, err, "a bias of %" PRId64 " numbers", b->elements);
    if (!s && bias) w[1] = b->floats;
    return s ? s : nn_import_add_weights(m, p, id, w, bias ? 2 : 1, err);
}

static nn_status read_conv(importer *m, op *p, nn_err *err) {
    item *v;
    int in, id;
    const tensor *k;
    const float *kernel;
    nn_attr a = {0};
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (!s) s = kernel_of(m, p, &m->g->nodes[in].shape, &k, &kernel, err);
    if (!s) s = read_window(p, &m->g->nodes[in].shape, k->dim + 2, &a.conv.window, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    a.conv.filters = k->dim[0];
    a.conv.groups = nn_import_attr_int(p, "group", 1);
    a.conv.bias = nn_import_input(m, p, 2);
    if (a.conv.groups < 1 || a.conv.groups > NN_MAX_DIM ||
        x->dim[x->rank - 1] != k->dim[1] * a.conv.groups)
        return nn_import_unsupported(p, err, "a kernel that does not fit the channels");
    s = nn_import_add(m, p, NN_OP_CONV, &a, &in, 1, NULL, &id, err);
    if (!s) s = weights_of(m, p, id, kernel, a.conv.filters, err);
    return s ? s : nn_import_set(m, p, 0, id, FIRST, err);
}

/* Pads of a transposed convolution that are to give an output size: output_shape, or "same". */
static nn_status pads_for_output(op *p, const nn_shape *in, nn_attr *a, nn_err *err) {
    const int64_t *wanted;
    nn_window *w = &a->conv_transpose.window;
    size_t n = nn_import_attr_ints(p, "output_shape", &wanted);
    bool upper = nn_import_attr_is(p, "auto_pad", "SAME_UPPER", "NOTSET");
    bool lower = nn_import_attr_is(p, "auto_pad", "SAME_LOWER", "NOTSET");
    w->same = false;
    if (n != 0 && n != (size_t)w->spatial)
        return nn_import_unsupported(p, err, "an output_shape of %zu axes", n);
    for (int i = 0; (n || upper || lower) && i < w->spatial; i++) {
        int64_t d = in->dim[i], *more = &a->conv_transpose.output_padding[i];
        if (n && (d < 0 || wanted[i] < 1 || wanted[i] > NN_MAX_DIM))
            return nn_import_unsupported(p, err, "an output_shape over a size that is open");
        int64_t full =
            n ? (d - 1) * w->stride[i] + extent(w, i) - wanted[i] : extent(w, i) - w->stride[i];
        int64_t total = full + *more;
        if (total < 0) *more -= total, total = 0;
        w->pad_before[i] = upper ? total / 2 : total - total / 2;
        w->pad_after[i] = total - w->pad_before[i];
    }
    return NN_OK;
}

static nn_status read_conv_transpose(importer *m, op *p, nn_err *err) {
    item *v;
    int in, id;
    const tensor *k;
    const float *kernel;
    nn_attr a = {0};
    nn_window *w = &a.conv_transpose.window;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (!s) s = kernel_of(m, p, &m->g->nodes[in].shape, &k, &kernel, err);
    if (!s) s = read_window(p, &m->g->nodes[in].shape, k->dim + 2, w, err);
    if (!s) s = sizes(p, "output_padding", w->spatial, 0, a.conv_transpose.output_padding, err);
    if (!s) s = pads_for_output(p, &m->g->nodes[in].shape, &a, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    int64_t groups = nn_import_attr_int(p, "group", 1);
    if (groups < 1 || groups > NN_MAX_DIM || x->dim[x->rank - 1] != k->dim[0])
        return nn_import_unsupported(p, err, "a kernel that does not fit the channels");
    a.conv_transpose.groups = groups;
    a.conv_transpose.filters = k->dim[1] * groups;
    a.conv_transpose.bias = nn_import_input(m, p, 2);
    a.conv_transpose.output_padding_given = true;
    s = nn_import_add(m, p, NN_OP_CONV_TRANSPOSE, &a, &in, 1, NULL, &id, err);
    if (!s) s = weights_of(m, p, id, kernel, a.conv_transpose.filters, err);
    return s ? s : nn_import_set(m, p, 0, id, FIRST, err);
}

/* ---- pools ---- */

/* Padding that is counted: zeros put there before. */
static nn_status pad_before_pool(importer *m, op *p, nn_window *w, int *in, nn_err *err) {
    nn_attr a = {.border.spatial = w->spatial};
    int64_t out[NN_MAX_SPATIAL];
    const nn_shape *x = &m->g->nodes[*in].shape;
    bool any = false;
    for (int i = 0; i < w->spatial; i++) {
        if (w->same && x->dim[i] < 0)
            return nn_import_unsupported(p, err, "counted padding of a size that is open");
        out[i] = (x->dim[i] + w->stride[i] - 1) / w->stride[i];
        int64_t total = w->same ? (out[i] - 1) * w->stride[i] + extent(w, i) - x->dim[i] : 0;
        a.border.before[i] = w->same ? (total > 0 ? total / 2 : 0) : w->pad_before[i];
        a.border.after[i] = w->same ? (total > 0 ? total - total / 2 : 0) : w->pad_after[i];
        any |= a.border.before[i] || a.border.after[i];
        w->pad_before[i] = w->pad_after[i] = 0;
    }
    w->same = false;
    return any ? nn_import_add(m, p, NN_OP_PAD, &a, in, 1, NULL, in, err) : NN_OK;
}

static nn_status read_pool(importer *m, op *p, nn_err *err) {
    item *v;
    int in;
    nn_attr a = {0};
    nn_op o = (nn_op)nn_import_reader(p->op_type)->value;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (!s) s = read_window(p, &m->g->nodes[in].shape, NULL, &a.pool, err);
    if (s) return s;
    if (nn_import_attr_int(p, "storage_order", 0))
        return nn_import_unsupported(p, err, "columns before rows");
    bool counted = o == NN_OP_AVG_POOL && nn_import_attr_int(p, "count_include_pad", 0);
    if (counted && nn_import_attr_int(p, "ceil_mode", 0))
        return nn_import_unsupported(p, err, "padding that is counted, with ceil_mode");
    if (counted) s = pad_before_pool(m, p, &a.pool, &in, err);
    return s ? s : nn_import_simple(m, p, o, &a, in, FIRST, err);
}

static nn_status read_global(importer *m, op *p, nn_err *err) {
    item *v;
    int in;
    nn_attr a = {.global_pool.keepdims = true};
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    return s ? s
             : nn_import_simple(m, p, (nn_op)nn_import_reader(p->op_type)->value, &a, in, FIRST,
                                err);
}

/* ---- normalisation ---- */

/* Inputs `from` ... are vectors of n numbers. */
static nn_status vectors(importer *m, op *p, size_t from, int count, int64_t n, const float **ret,
                         nn_err *err) {
    for (int k = 0; k < count; k++) {
        const tensor *t;
        nn_status s = nn_import_floats(m, p, from + (size_t)k, &t, err);
        if (s) return s;
        if (t->elements != n)
            return nn_import_unsupported(p, err, "input %zu is not one number a channel",
                                         from + (size_t)k);
        ret[k] = t->floats;
    }
    return NN_OK;
}

static int64_t channels_of(const importer *m, int id) {
    const nn_shape *s = &m->g->nodes[id].shape;
    return s->rank ? s->dim[s->rank - 1] : -1;
}

static nn_status normalised(importer *m, op *p, nn_op o, const nn_attr *a, int in, int weights,
                            layout l, nn_err *err) {
    const float *w[4];
    int id;
    nn_status s = vectors(m, p, 1, weights, channels_of(m, in), w, err);
    if (!s) s = nn_import_add(m, p, o, a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, w, weights, err);
    return s ? s : nn_import_set(m, p, 0, id, l, err);
}

static nn_status read_batch_norm(importer *m, op *p, nn_err *err) {
    item *v;
    int in;
    nn_attr a = {
        .batch_norm = {0.99, nn_import_attr_float(p, "epsilon", 1e-5), true, true}
    };
    if (nn_import_attr_int(p, "training_mode", 0))
        return nn_import_unsupported(p, err, "training inside of the file");
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    return s ? s : normalised(m, p, NN_OP_BATCH_NORM, &a, in, 4, FIRST, err);
}

static nn_status read_instance_norm(importer *m, op *p, nn_err *err) {
    item *v;
    int in;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (s) return s;
    nn_attr a = {
        .group_norm = {channels_of(m, in), nn_import_attr_float(p, "epsilon", 1e-5), true, true}
    };
    return normalised(m, p, NN_OP_GROUP_NORM, &a, in, 2, FIRST, err);
}

/* From `axis` to the last at once: those as one axis, and back. */
static nn_status read_layer_norm(importer *m, op *p, nn_err *err) {
    item *v;
    int in, id;
    bool center = nn_import_input(m, p, 2);
    nn_attr a = {
        .layer_norm = {nn_import_attr_float(p, "epsilon", 1e-5), center, true}
    };
    const float *w[2];
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    nn_shape x = m->g->nodes[in].shape, to = x;
    int64_t axis = nn_import_attr_int(p, "axis", -1);
    if (axis < 0) axis += x.rank + 1;
    if (axis < 1 || axis > x.rank)
        return nn_import_unsupported(p, err, "axis %" PRId64 " of %d, or the batch", axis,
                                     x.rank + 1);
    for (; to.rank > axis; to.rank--) {
        if (to.dim[to.rank - 1] < 0 || to.dim[to.rank - 2] < 0)
            return nn_import_unsupported(p, err, "axes of a size that is open");
        to.dim[to.rank - 2] *= to.dim[to.rank - 1];
    }
    bool several = to.rank != x.rank;
    s = vectors(m, p, 1, center ? 2 : 1, to.dim[to.rank - 1], w, err);
    if (!s && several) s = nn_import_reshaped(m, p, in, &to, &in, err);
    if (!s) s = nn_import_add(m, p, NN_OP_LAYER_NORM, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, w, center ? 2 : 1, err);
    if (!s && several) s = nn_import_reshaped(m, p, id, &x, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* ---- Resize ---- */

/* Sizes are input 3, factors input `at`. */
static nn_status factors(importer *m, op *p, const nn_shape *in, size_t at, nn_attr *a,
                         nn_err *err) {
    const tensor *t;
    bool given = nn_import_input(m, p, 3);
    nn_status s = given ? nn_import_whole(m, p, 3, &t, err) : nn_import_floats(m, p, at, &t, err);
    if (s) return s;
    if (t->elements != in->rank + 1)
        return nn_import_unsupported(p, err, "%" PRId64 " sizes", t->elements);
    for (int i = 0; i < in->rank + 1; i++) {
        int64_t d = i == 0 ? m->batch : i == 1 ? in->dim[in->rank - 1] : in->dim[i - 2];
        double f =
            given ? (d > 0 ? (double)t->whole[i] / (double)d : i == 0) : (double)t->floats[i];
        if (f < 1 || f != floor(f) || f > 65536 || (i < 2 && f != 1))
            return nn_import_unsupported(p, err, "places times a number that is not whole");
        if (i >= 2) a->upsample.factor[i - 2] = (int64_t)f;
    }
    return NN_OK;
}

static nn_status upsampled(importer *m, op *p, bool linear, size_t at, nn_err *err) {
    item *v;
    int in;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    nn_attr a = {
        .upsample = {.spatial = x->rank - 1, .bilinear = linear}
    };
    if (x->rank < 2 || x->rank - 1 > NN_MAX_SPATIAL)
        return nn_import_unsupported(p, err, "%d spatial axes", x->rank - 1);
    s = factors(m, p, x, at, &a, err);
    return s ? s : nn_import_simple(m, p, NN_OP_UPSAMPLE, &a, in, FIRST, err);
}

/* Before Resize had coordinates: output i is input i / factor. */
static nn_status read_upsample(importer *m, op *p, nn_err *err) {
    if (!nn_import_attr_is(p, "mode", "nearest", "nearest"))
        return nn_import_unsupported(p, err, "a mode other than nearest");
    return upsampled(m, p, false, 1, err);
}

static nn_status read_resize(importer *m, op *p, nn_err *err) {
    static const char key[] = "coordinate_transformation_mode";
    bool linear = nn_import_attr_is(p, "mode", "linear", "nearest");
    bool half = nn_import_attr_is(p, key, "half_pixel", "half_pixel") ||
                nn_import_attr_is(p, key, "pytorch_half_pixel", "half_pixel");
    bool corner = nn_import_attr_is(p, key, "asymmetric", "half_pixel");
    bool floors = nn_import_attr_is(p, "nearest_mode", "floor", "round_prefer_floor");
    bool rounds =
        nn_import_attr_is(p, "nearest_mode", "round_prefer_floor", "round_prefer_floor") ||
        nn_import_attr_is(p, "nearest_mode", "round_prefer_ceil", "round_prefer_floor");
    bool nearest = nn_import_attr_is(p, "mode", "nearest", "nearest") &&
                   ((corner && floors) || (half && rounds));
    if (m->opset < 11) return read_upsample(m, p, err);
    if (p->n_input < 3 || (!(linear && half) && !nearest))
        return nn_import_unsupported(p, err, "this mode, or these coordinates");
    return upsampled(m, p, linear, 2, err);
}

#define WINDOW "|kernel_shape|strides|dilations|pads|auto_pad|"

/* clang-format off */
const reader nn_import_window_readers[] = {
    {"Conv",                  read_conv,           2, 3,  WINDOW "group|",                                              0},
    {"ConvTranspose",         read_conv_transpose, 2, 3,  WINDOW "group|output_padding|output_shape|",                  0},
    {"MaxPool",               read_pool,           1, 1,  WINDOW "ceil_mode|storage_order|",                            NN_OP_MAX_POOL},
    {"AveragePool",           read_pool,           1, 1,  WINDOW "ceil_mode|count_include_pad|",                        NN_OP_AVG_POOL},
    {"GlobalMaxPool",         read_global,         1, 1,  "",                                                           NN_OP_GLOBAL_MAX_POOL},
    {"GlobalAveragePool",     read_global,         1, 1,  "",                                                           NN_OP_GLOBAL_AVG_POOL},
    {"BatchNormalization",    read_batch_norm,     5, 5,  "|epsilon|momentum|training_mode|",                           0},
    {"InstanceNormalization", read_instance_norm,  3, 3,  "|epsilon|",                                                  0},
    {"LayerNormalization",    read_layer_norm,     2, 3,  "|axis|epsilon|stash_type|",                                  0},
    {"Upsample",              read_upsample,       2, 2,  "|mode|",                                                     0},
    {"Resize",                read_resize,         2, 4,  "|mode|coordinate_transformation_mode|nearest_mode|cubic_coeff_a|exclude_outside|extrapolation_value|",0},
    {0}
};
/* clang-format on */
