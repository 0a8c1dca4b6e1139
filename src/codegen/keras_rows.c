/* SPDX-License-Identifier: MIT */
/* keras_rows.c - ops that Keras, or TensorFlow.js, has no layer of its own for: functions made of
 * others, transposed convolutions cut to size, upsampling, group normalisation. */
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

static nn_status in_parts(nn_keras *k, const nn_node *n, nn_act act, double alpha, int x,
                          nn_err *err) {
    switch (act) {
    case NN_ACT_RELU6:
        nn_ko_relu(k, n, 6, x);
        return NN_OK;
    case NN_ACT_ELU:
        elu(k, n, alpha, x);
        return NN_OK;
    case NN_ACT_CELU:
        celu(k, n, alpha, x);
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
        return nn_keras_cannot(k, n,
                               "TensorFlow.js has no exponential function, and none of its layers "
                               "grows like one",
                               NULL, err);
    }
}

bool nn_ko_has_function(const nn_keras *k, nn_act act) {
    return k->target == NN_KERAS_PYTHON || act != NN_ACT_EXPONENTIAL;
}

nn_status nn_ko_activation(nn_keras *k, const nn_node *n, nn_act act, double alpha, int x,
                           nn_err *err) {
    nn_node of = {.op = NN_OP_ACTIVATION};
    of.attr.activation.kind = act;
    of.attr.activation.alpha = alpha;
    const char *f = nn_ko_has_function(k, act) ? nn_keras_activation(&of) : NULL;
    if (act == NN_ACT_LEAKY_RELU) {
        nn_json *c = nn_ka_new();
        nn_ka_num(c, alpha == 0.3 ? "~alpha" : "alpha", alpha);
        nn_keras_add(k, n, "LeakyReLU", c, x);
    } else if (f && act == NN_ACT_RELU && strcmp(n->layer, "ReLU") == 0) {
        nn_keras_add(k, n, "ReLU", nn_ka_new(), x);
    } else if (f) {
        nn_ko_function(k, n, f, x);
    } else {
        return in_parts(k, n, act, alpha, x, err);
    }
    return NN_OK;
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

/* What of a transposed convolution is said otherwise than by its window. */
typedef struct transposed {
    bool output_padding; /* Keras's own */
    bool bare;           /* bias and activation come behind what is added at its ends */
    bool valid;          /* instead of same, see nn_ko_trim */
} transposed;

static nn_json *transpose_config(nn_keras *k, const nn_node *n, transposed t) {
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
    if (w->same && !t.valid) nn_ka_str(c, "padding", "same");
    if (t.output_padding)
        nn_ka_sizes(c, "output_padding", n->attr.conv_transpose.output_padding, w->spatial);
    if (!js && !nn_ko_all(w->dilation, w->spatial, 1))
        nn_ka_sizes(c, "dilation_rate", w->dilation, w->spatial);
    if (!t.bare) nn_ko_put_activation(c, k, n);
    nn_ka_weight(c, &k->g->weights[n->weights[0]], "kernel", NN_INIT_GLOROT_UNIFORM,
                 w->spatial + 1);
    nn_ko_put_bias(c, k, n, n->attr.conv_transpose.bias && !t.bare);
    nn_ka_trainable(c, k, n);
    return c;
}

static void weigh_transpose(nn_keras *k, nn_keras_layer *l, const nn_node *n, bool bare) {
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
    if (n->attr.conv_transpose.bias && !bare)
        nn_keras_weigh(l, n->weights[1], "bias", k->g->weights[n->weights[1]].shape);
}

/* Off the ends of what Keras gives, or zeros added there: then it has the shape of n. */
static nn_status fit_ends(nn_keras *k, const nn_node *n, int *from, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    nn_border off = {.spatial = w->spatial}, on = off;
    nn_shape s = n->shape;
    bool cuts = false, adds = false;
    for (int i = 0; i < w->spatial; i++) {
        int64_t more = surplus(n, i);
        off.before[i] = w->pad_before[i];
        off.after[i] = more > 0 ? more : 0;
        on.after[i] = more < 0 ? -more : 0;
        cuts = cuts || off.before[i] || off.after[i];
        adds = adds || on.after[i];
        if (s.dim[i] >= 0) s.dim[i] += off.before[i] + more;
    }
    nn_status st = cuts ? nn_ko_border(k, n, &off, true, &s, from, err) : NN_OK;
    return st || !adds ? st : nn_ko_border(k, n, &on, false, &s, from, err);
}

/* Behind a bare convolution. */
static void add_rest(nn_keras *k, const nn_node *n, int from) {
    int64_t channels = n->attr.conv_transpose.filters;
    const char *f =
        k->last[n->id] == n->id ? NULL : nn_keras_activation(&k->g->nodes[k->last[n->id]]);
    if (n->attr.conv_transpose.bias) {
        const float *bias = k->opt->weights + nn_ko_weight(k, n, 1)->offset;
        nn_shape flat = {
            2, {NN_DIM_UNKNOWN, channels}
        };
        from = nn_ko_affine(k, n, NULL, bias, channels, nn_ko_reshape(k, n, &flat, from));
        from = nn_ko_reshape(k, n, &n->shape, from);
    }
    if (f) nn_ko_function(k, n, f, from);
}

/* Keras's "same" is "valid" without what it puts before and after. */
static nn_status cut_same(nn_keras *k, const nn_node *n, int *from, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    nn_border b = {.spatial = w->spatial};
    nn_shape s = n->shape;
    bool any = false;
    for (int i = 0; i < w->spatial; i++) {
        int64_t more = extent(w, i) - w->stride[i];
        if (more <= 0) continue;
        any = true;
        b.before[i] = more / 2;
        b.after[i] = more - more / 2;
        if (s.dim[i] >= 0) s.dim[i] += more;
    }
    return any ? nn_ko_border(k, n, &b, true, &s, from, err) : NN_OK;
}

/* A 1-D one is for TensorFlow.js a 2-D one over a column. */
static int add_transposed(nn_keras *k, const nn_node *n, transposed t) {
    static const char *const classes[] = {"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"};
    int from = nn_ko_from(k, n), spatial = n->attr.conv_transpose.window.spatial;
    bool column = k->target == NN_KERAS_JS && spatial == 1;
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    nn_shape plane = {
        .rank = 3, .dim = {in->dim[0], 1, in->dim[1]}
    };
    nn_shape line = {
        .rank = 2, .dim = {NN_DIM_UNKNOWN, n->attr.conv_transpose.filters}
    };
    const nn_window *w = &n->attr.conv_transpose.window;
    int64_t more = w->same || extent(w, 0) < w->stride[0] ? 0 : extent(w, 0) - w->stride[0];
    if (in->dim[0] >= 0) line.dim[0] = in->dim[0] * w->stride[0] + more;
    if (column) from = nn_ko_reshape(k, n, &plane, from);
    nn_keras_layer *l =
        nn_keras_add(k, n, classes[column ? 1 : spatial - 1], transpose_config(k, n, t), from);
    weigh_transpose(k, l, n, t.bare);
    return column ? nn_ko_reshape(k, n, &line, nn_ko_last(k)) : nn_ko_last(k);
}

nn_status nn_ko_conv_transpose(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv_transpose.window;
    bool js = k->target == NN_KERAS_JS;
    bool plain = nn_ko_all(w->pad_before, w->spatial, 0) && nn_ko_all(w->pad_after, w->spatial, 0);
    bool padded = n->attr.conv_transpose.output_padding_given || (!w->same && !plain);
    bool shorter = false, trims = false;
    for (int i = 0; i < w->spatial; i++) {
        shorter = shorter || (padded && surplus(n, i) < 0);
        trims = trims || (js && w->spatial == 3 && w->same && extent(w, i) < w->stride[i]);
    }
    if (!js && n->attr.conv_transpose.groups != 1)
        return nn_keras_cannot(
            k, n, "Keras has no groups in a transposed convolution",
            "leave groups out, or --backend keras-json, where zeros fill its kernel", err);
    if (shorter && !js && !plain)
        return nn_keras_cannot(k, n, "its output_padding is more than what its padding takes off",
                               "give output_padding no more than padding", err);
    transposed t = {.output_padding = shorter && !js, .bare = shorter && js, .valid = trims};
    int from = add_transposed(k, n, t);
    nn_status s = trims ? cut_same(k, n, &from, err) : NN_OK;
    if (!s && padded && !t.output_padding) s = fit_ends(k, n, &from, err);
    if (!s && t.bare) add_rest(k, n, from);
    return s;
}

/* ---- upsampling ---- */

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

nn_status nn_ko_turn(nn_keras *k, const nn_node *n, int axis, const nn_shape *shape, int x,
                     nn_err *err) {
    int64_t size = shape->dim[axis];
    if (size < 0) return nn_keras_cannot(k, n, "the axis has an unknown size", NULL, err);
    float *m = nn_ko_floats(k, size * size);
    for (int64_t i = 0; i < size; i++) m[i * size + size - 1 - i] = 1;
    nn_ko_along(k, n, axis, shape->rank, m, size, size, x);
    return NN_OK;
}

nn_status nn_ko_reverse(nn_keras *k, const nn_node *n, nn_err *err) {
    int axis = n->attr.reverse.axis;
    if (k->target == NN_KERAS_JS) return nn_ko_turn(k, n, axis, &n->shape, nn_ko_from(k, n), err);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "axis", axis + 1);
    nn_keras_add_helper(k, n, "Reverse", c, nn_ko_from(k, n));
    return NN_OK;
}
