/* SPDX-License-Identifier: MIT */
/* keras_rows.c - ops that Keras, or TensorFlow.js, has no layer of its own for: functions made of
 * others, transposed convolutions cut to size, adaptive pools, group normalisation. */
#include "codegen/keras_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- functions of elements ---- */

static void elu(nn_keras *k, const nn_node *n, double a, int x) {
    if (k->target == NN_KERAS_PYTHON) {
        nn_json *c = nn_ka_new();
        nn_ka_num(c, "alpha", a);
        nn_keras_add(k, n, "ELU", c, x);
        return;
    }
    int below = nn_ko_rescale(k, n, a, 0, nn_ko_function(k, n, "elu", x));
    int above = nn_ko_rescale(k, n, 1 - a, 0, nn_ko_relu(k, n, 0, x));
    nn_ko_merge(k, n, "Add", below, above);
}

/* celu(x) = a elu(x / a) */
static void celu(nn_keras *k, const nn_node *n, double a, int x) {
    int y = nn_ko_function(k, n, "elu", nn_ko_rescale(k, n, 1 / a, 0, x));
    nn_ko_rescale(k, n, a, 0, y);
}

/* hard_sigmoid(x) = relu6(x + 3) / 6; Keras 2 means another function by that name. */
static int hard_sigmoid(nn_keras *k, const nn_node *n, int x) {
    return nn_ko_relu(k, n, 1, nn_ko_rescale(k, n, 1.0 / 6, 0.5, x));
}

nn_status nn_ko_activation(nn_keras *k, const nn_node *n, nn_err *err) {
    int x = nn_ko_from(k, n);
    switch (n->attr.activation.kind) {
    case NN_ACT_RELU6:
        nn_ko_relu(k, n, 6, x);
        return NN_OK;
    case NN_ACT_ELU:
        elu(k, n, n->attr.activation.alpha, x);
        return NN_OK;
    case NN_ACT_CELU:
        celu(k, n, n->attr.activation.alpha, x);
        return NN_OK;
    case NN_ACT_HARD_SIGMOID:
        hard_sigmoid(k, n, x);
        return NN_OK;
    case NN_ACT_HARD_SWISH:
        nn_ko_merge(k, n, "Multiply", x, hard_sigmoid(k, n, x));
        return NN_OK;
    case NN_ACT_LOG_SIGMOID:
        x = nn_ko_function(k, n, "softplus", nn_ko_rescale(k, n, -1, 0, x));
        nn_ko_rescale(k, n, -1, 0, x);
        return NN_OK;
    case NN_ACT_HARD_TANH:
        x = nn_ko_relu(k, n, 1, nn_ko_rescale(k, n, 0.5, 0.5, x));
        nn_ko_rescale(k, n, 2, -1, x);
        return NN_OK;
    default:
        return nn_keras_cannot(k, n, "TensorFlow.js has no such function", NULL, err);
    }
}

nn_status nn_ko_clip(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    double low = n->attr.clip.low, high = n->attr.clip.high;
    int x = nn_ko_from(k, n);
    if (low == 0) {
        nn_ko_relu(k, n, isfinite(high) ? high : 0, x);
    } else if (k->target == NN_KERAS_PYTHON) {
        nn_json *c = nn_ka_new();
        if (isfinite(low)) nn_ka_num(c, "low", low);
        if (isfinite(high)) nn_ka_num(c, "high", high);
        nn_keras_add_helper(k, n, "Clip", c, x);
    } else if (isfinite(low)) { /* low + min(relu(x - low), high - low) */
        x = nn_ko_relu(k, n, isfinite(high) ? high - low : 0, nn_ko_rescale(k, n, 1, -low, x));
        nn_ko_rescale(k, n, 1, low, x);
    } else { /* high - relu(high - x) */
        x = nn_ko_relu(k, n, 0, nn_ko_rescale(k, n, -1, high, x));
        nn_ko_rescale(k, n, -1, high, x);
    }
    return NN_OK;
}

/* ---- group normalisation, for TensorFlow.js ---- */

nn_status nn_ko_group_norm(nn_keras *k, const nn_node *n, nn_err *err) {
    static const int swap[3] = {1, 0, 2};
    int64_t groups = n->attr.group_norm.groups, channels = n->shape.dim[n->shape.rank - 1];
    int unknown = 0;
    for (int i = 0; i < n->shape.rank; i++) unknown += n->shape.dim[i] < 0;
    if (unknown > 1)
        return nn_keras_cannot(k, n, "more than one size of its input is unknown", NULL, err);
    nn_shape parts =
                 {
                     3, {-1, groups, channels / groups}
    },
             rows = {2, {groups, -1}}, back = {3, {groups, -1, channels / groups}},
             flat = {2, {-1, channels}};
    int x = nn_ko_permute(k, n, swap, 3, nn_ko_reshape(k, n, &parts, nn_ko_from(k, n)));
    x = nn_ko_reshape(k, n, &rows, x);
    nn_json *c = nn_ka_new();
    nn_ka_num(c, "epsilon", n->attr.group_norm.epsilon);
    nn_ka_bool(c, "center", false);
    nn_ka_bool(c, "scale", false);
    nn_keras_add(k, n, "LayerNormalization", c, x);
    x = nn_ko_permute(k, n, swap, 3, nn_ko_reshape(k, n, &back, nn_ko_last(k)));
    x = nn_ko_reshape(k, n, &flat, x);
    bool scale = n->attr.group_norm.scale, center = n->attr.group_norm.center;
    const float *slab = k->opt->weights;
    x = nn_ko_affine(k, n, scale ? slab + k->g->weights[n->weights[0]].offset : NULL,
                     center ? slab + k->g->weights[n->weights[scale]].offset : NULL, channels, x);
    nn_ko_reshape(k, n, &n->shape, x);
    return NN_OK;
}

/* ---- transposed convolution ----
 *
 * Keras's "valid" gives (d - 1) s + max(ke, s). What our pads and output_padding leave of it, or
 * add, is cut off at the end, or is Keras's output_padding. */

static int64_t extent(const nn_window *w, int i) {
    return (w->size[i] - 1) * w->dilation[i] + 1;
}

/* What comes off the end of axis i; below 0: it is short of that. */
static int64_t surplus(const nn_node *n, int i) {
    const nn_window *w = &n->attr.conv_transpose.window;
    int64_t ke = extent(w, i), full = ke > w->stride[i] ? ke : w->stride[i];
    return full - ke - n->attr.conv_transpose.output_padding[i] + w->pad_after[i];
}

/* The kernel with the zeros of its dilation and of its groups written out:
 * [k..., filters / groups, in] to [ke..., filters, in]. */
static void fix_kernel(nn_keras *k, nn_keras_layer *l, const nn_node *n, nn_shape as) {
    const nn_window *w = &n->attr.conv_transpose.window;
    const nn_weight *v = &k->g->weights[n->weights[0]];
    int64_t in = v->shape.dim[v->shape.rank - 1], share = v->shape.dim[v->shape.rank - 2];
    int64_t filters = n->attr.conv_transpose.filters, groups = n->attr.conv_transpose.groups;
    float *full = nn_ko_floats(k, nn_shape_elements(&as));
    const float *at = k->opt->weights + v->offset;
    int64_t taps = v->elements / (share * in);
    for (int64_t t = 0; t < taps; t++) {
        int64_t rest = t, to = 0, step = 1;
        for (int a = w->spatial - 1; a >= 0; a--) {
            to += rest % w->size[a] * w->dilation[a] * step;
            rest /= w->size[a];
            step *= extent(w, a);
        }
        for (int64_t f = 0; f < share; f++)
            for (int64_t i = 0; i < in; i++) {
                int64_t group = i / (in / groups);
                full[(to * filters + group * share + f) * in + i] = at[(t * share + f) * in + i];
            }
    }
    nn_keras_fix(k, l, full, "kernel", as);
}

static nn_json *transpose_config(nn_keras *k, const nn_node *n, bool output_padding) {
    const nn_window *w = &n->attr.conv_transpose.window;
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "filters", n->attr.conv_transpose.filters);
    bool js = k->target == NN_KERAS_JS;
    int64_t size[NN_MAX_SPATIAL + 1], stride[NN_MAX_SPATIAL + 1];
    int spatial = w->spatial;
    for (int i = 0; i < spatial; i++) {
        size[i] = js ? extent(w, i) : w->size[i];
        stride[i] = w->stride[i];
    }
    if (js && spatial == 1) {
        size[1] = stride[1] = 1;
        spatial = 2;
    }
    nn_ka_sizes(c, "kernel_size", size, spatial);
    if (!nn_ko_all(stride, spatial, 1)) nn_ka_sizes(c, "strides", stride, spatial);
    if (w->same) nn_ka_str(c, "padding", "same");
    if (output_padding)
        nn_ka_sizes(c, "output_padding", n->attr.conv_transpose.output_padding, w->spatial);
    if (!js && !nn_ko_all(w->dilation, w->spatial, 1))
        nn_ka_sizes(c, "dilation_rate", w->dilation, w->spatial);
    const nn_node *end = &k->g->nodes[k->last[n->id]];
    const char *f = end->id == n->id ? NULL : nn_keras_activation(end);
    if (f && strcmp(f, "linear") != 0) nn_ka_str(c, "activation", f);
    nn_ka_weight(c, &k->g->weights[n->weights[0]], "kernel", NN_INIT_GLOROT_UNIFORM,
                 w->spatial + 1);
    if (n->attr.conv_transpose.bias)
        nn_ka_weight(c, &k->g->weights[n->weights[1]], "bias", NN_INIT_ZEROS, 1);
    else
        nn_ka_bool(c, "use_bias", false);
    nn_ka_trainable(c, k, n);
    return c;
}

static void weigh_transpose(nn_keras *k, nn_keras_layer *l, const nn_node *n) {
    const nn_window *w = &n->attr.conv_transpose.window;
    const nn_weight *v = &k->g->weights[n->weights[0]];
    if (k->target == NN_KERAS_JS) {
        nn_shape as = {.rank = 0};
        for (int i = 0; i < w->spatial; i++) as.dim[as.rank++] = extent(w, i);
        if (w->spatial == 1) as.dim[as.rank++] = 1;
        as.dim[as.rank++] = n->attr.conv_transpose.filters;
        as.dim[as.rank++] = v->shape.dim[v->shape.rank - 1];
        fix_kernel(k, l, n, as);
    } else {
        nn_keras_weigh(l, n->weights[0], "kernel", v->shape);
    }
    if (n->attr.conv_transpose.bias)
        nn_keras_weigh(l, n->weights[1], "bias", k->g->weights[n->weights[1]].shape);
}

/* Off the ends of what Keras gives, whose shape is n's and the cut together. */
static nn_status cut(nn_keras *k, const nn_node *n, int from, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    nn_border b = {.spatial = w->spatial};
    nn_shape s = n->shape;
    bool any = false;
    for (int i = 0; i < w->spatial; i++) {
        b.before[i] = w->pad_before[i];
        b.after[i] = surplus(n, i);
        any = any || b.before[i] || b.after[i];
        if (s.dim[i] >= 0) s.dim[i] += b.before[i] + b.after[i];
    }
    return any ? nn_ko_border(k, n, &b, true, &s, &from, err) : NN_OK;
}

nn_status nn_ko_conv_transpose(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    bool js = k->target == NN_KERAS_JS, given = n->attr.conv_transpose.output_padding_given;
    bool padded = given || (!w->same && !(nn_ko_all(w->pad_before, w->spatial, 0) &&
                                          nn_ko_all(w->pad_after, w->spatial, 0)));
    bool shorter = false;
    for (int i = 0; i < w->spatial; i++) shorter = shorter || (padded && surplus(n, i) < 0);
    bool plain =
        padded && nn_ko_all(w->pad_before, w->spatial, 0) && nn_ko_all(w->pad_after, w->spatial, 0);
    if (!js && n->attr.conv_transpose.groups != 1)
        return nn_keras_cannot(
            k, n, "Keras has no groups in a transposed convolution",
            "leave groups out, or --backend keras-json, where zeros fill its kernel", err);
    if (shorter && (js || !plain))
        return nn_keras_cannot(k, n, "its output_padding is more than what its padding takes off",
                               "give output_padding no more than padding", err);
    int from = nn_ko_from(k, n);
    nn_shape column = nn_ko_input(k, n)->shape;
    if (js && w->spatial == 1) {
        column = (nn_shape){
            3, {column.dim[0], 1, column.dim[1]}
        };
        from = nn_ko_reshape(k, n, &column, from);
    }
    static const char *const classes[] = {"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"};
    nn_keras_layer *l = nn_keras_add(k, n, classes[js && w->spatial == 1 ? 1 : w->spatial - 1],
                                     transpose_config(k, n, shorter), from);
    weigh_transpose(k, l, n);
    from = nn_ko_last(k);
    if (js && w->spatial == 1) {
        nn_shape line = {
            2, {-1, n->attr.conv_transpose.filters}
        };
        from = nn_ko_reshape(k, n, &line, from);
    }
    return padded && !shorter ? cut(k, n, from, err) : NN_OK;
}

/* ---- adaptive pools, upsampling ---- */

/* Averages of the windows of `to` out of `from`, as a matrix [from, to]. */
static float *averages(nn_keras *k, int64_t from, int64_t to) {
    float *m = nn_ko_floats(k, from * to);
    for (int64_t i = 0; i < to; i++) {
        int64_t begin = i * from / to, end = ((i + 1) * from + to - 1) / to;
        for (int64_t j = begin; j < end; j++) m[j * to + i] = 1 / (float)(end - begin);
    }
    return m;
}

static nn_status adaptive_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    int x = nn_ko_from(k, n);
    if (n->op == NN_OP_ADAPTIVE_MAX_POOL)
        return nn_keras_cannot(k, n, "windows of different sizes are no layer of TensorFlow.js",
                               "ask for sizes that divide those of its input", err);
    for (int i = 0; i < in->rank - 1; i++) {
        int64_t to = n->attr.adaptive_pool.size[i];
        if (in->dim[i] < 0)
            return nn_keras_cannot(k, n, "its input has an unknown size", NULL, err);
        if (in->dim[i] == to) continue;
        x = nn_ko_along(k, n, i, in->rank, averages(k, in->dim[i], to), in->dim[i], to, x);
    }
    if (x == nn_ko_from(k, n)) nn_ko_function(k, n, "linear", x);
    return NN_OK;
}

nn_status nn_ko_adaptive_pool(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    bool maximum = n->op == NN_OP_ADAPTIVE_MAX_POOL, even = true;
    int spatial = n->attr.adaptive_pool.spatial;
    int64_t size[NN_MAX_SPATIAL];
    for (int i = 0; i < spatial; i++) {
        even = even && in->dim[i] >= 0 && in->dim[i] % n->attr.adaptive_pool.size[i] == 0;
        size[i] = even ? in->dim[i] / n->attr.adaptive_pool.size[i] : 0;
    }
    if (!even && k->target == NN_KERAS_JS) return adaptive_js(k, n, err);
    nn_json *c = nn_ka_new();
    if (even) {
        nn_ka_sizes(c, "pool_size", size, spatial);
        const char *name =
            nn_arena_printf(k->arena, "%sPooling%dD", maximum ? "Max" : "Average", spatial);
        if (!name) abort();
        nn_keras_add(k, n, name, c, nn_ko_from(k, n));
        return NN_OK;
    }
    nn_ka_tuple(c, "output_size", n->attr.adaptive_pool.size, spatial);
    nn_ka_str(c, "mode", maximum ? "max" : "average");
    nn_keras_add_helper(k, n, "AdaptivePooling", c, nn_ko_from(k, n));
    return NN_OK;
}

static int upsample_plane(nn_keras *k, const nn_node *n, int64_t a, int64_t b, int from) {
    int64_t size[2] = {a, b};
    nn_json *c = nn_ka_new();
    nn_ka_tuple(c, "size", size, 2);
    nn_keras_add(k, n, "UpSampling2D", c, from);
    return nn_ko_last(k);
}

static nn_status upsample_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    const int64_t *f = n->attr.upsample.factor;
    int x = nn_ko_from(k, n), rank = in->rank;
    int64_t inner = 1;
    for (int i = 1; i < rank - 1; i++) inner *= in->dim[i] < 0 ? 0 : in->dim[i] * f[i];
    if (rank == 4) {
        if (in->dim[0] < 0 || inner == 0)
            return nn_keras_cannot(k, n, "its input has an unknown size", NULL, err);
        x = upsample_plane(k, n, f[1], f[2], x);
        nn_keras_layer *l = &k->layers[x];
        nn_json *outer = nn_ka_new();
        nn_json_set(outer, "layer", nn_ka_call(l->class_name, l->config));
        l->class_name = "TimeDistributed";
        l->config = outer;
    }
    nn_shape plane = {
        3, {in->dim[0], inner, in->dim[rank - 1]}
    };
    x = nn_ko_reshape(k, n, &plane, x);
    x = upsample_plane(k, n, f[0], 1, x);
    nn_ko_reshape(k, n, &n->shape, x);
    return NN_OK;
}

/* Straight lines between the centres of d pixels, at those of d * factor, as a matrix. */
static float *lines(nn_keras *k, int64_t d, int64_t factor) {
    int64_t to = d * factor;
    float *m = nn_ko_floats(k, d * to);
    for (int64_t i = 0; i < to; i++) {
        double at = ((double)i + 0.5) / (double)factor - 0.5;
        at = at < 0 ? 0 : at > (double)(d - 1) ? (double)(d - 1) : at;
        int64_t low = (int64_t)at, high = low + 1 < d ? low + 1 : low;
        m[low * to + i] += (float)(1 - (at - (double)low));
        m[high * to + i] += (float)(at - (double)low);
    }
    return m;
}

/* TensorFlow.js takes other centres of pixels. */
static nn_status bilinear_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    int x = nn_ko_from(k, n);
    for (int i = 0; i < 2; i++) {
        int64_t d = in->dim[i], f = n->attr.upsample.factor[i];
        if (d < 0) return nn_keras_cannot(k, n, "its input has an unknown size", NULL, err);
        x = nn_ko_along(k, n, i, in->rank, lines(k, d, f), d, d * f, x);
    }
    return NN_OK;
}

nn_status nn_ko_upsample(nn_keras *k, const nn_node *n, nn_err *err) {
    int spatial = n->attr.upsample.spatial;
    bool js = k->target == NN_KERAS_JS, bilinear = n->attr.upsample.bilinear;
    if (js && bilinear) return bilinear_js(k, n, err);
    if (js && spatial != 2) return upsample_js(k, n, err);
    nn_json *c = nn_ka_new();
    if (spatial == 1)
        nn_ka_int(c, "size", n->attr.upsample.factor[0]);
    else
        nn_ka_tuple(c, "size", n->attr.upsample.factor, spatial);
    if (bilinear) nn_ka_str(c, "interpolation", "bilinear");
    static const char *const classes[] = {"UpSampling1D", "UpSampling2D", "UpSampling3D"};
    nn_keras_add(k, n, classes[spatial - 1], c, nn_ko_from(k, n));
    return NN_OK;
}

nn_status nn_ko_reverse(nn_keras *k, const nn_node *n, nn_err *err) {
    int axis = n->attr.reverse.axis;
    int64_t size = n->shape.dim[axis];
    if (k->target == NN_KERAS_PYTHON) {
        nn_json *c = nn_ka_new();
        nn_ka_int(c, "axis", axis + 1);
        nn_keras_add_helper(k, n, "Reverse", c, nn_ko_from(k, n));
        return NN_OK;
    }
    if (size < 0) return nn_keras_cannot(k, n, "the axis has an unknown size", NULL, err);
    float *m = nn_ko_floats(k, size * size);
    for (int64_t i = 0; i < size; i++) m[i * size + size - 1 - i] = 1;
    nn_ko_along(k, n, axis, n->shape.rank, m, size, size, nn_ko_from(k, n));
    return NN_OK;
}
