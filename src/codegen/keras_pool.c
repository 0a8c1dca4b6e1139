/* SPDX-License-Identifier: MIT */
/* keras_pool.c - pools: of windows, adaptive, global. What TensorFlow.js has no pool for is done
 * axis by axis: a mean is a product with a fixed matrix, a maximum is that of each window, cut out
 * of its axis. */
#include "codegen/keras_ops.h"

#include <stdlib.h>
#include <string.h>

/* ---- axis by axis ---- */

typedef struct stretch {
    int64_t begin, end, step; /* places of an axis: begin, begin + step ... below end */
} stretch;

/* Window i of axis a, without what of it is padding. */
typedef stretch window_fn(const nn_node *n, const nn_shape *in, int a, int64_t i);

static stretch padded_window(const nn_node *n, const nn_shape *in, int a, int64_t i) {
    const nn_window *w = &n->attr.pool;
    int64_t step = w->dilation[a], begin = i * w->stride[a] - w->pad_before[a];
    int64_t end = begin + (w->size[a] - 1) * step + 1;
    while (begin < 0) begin += step;
    return (stretch){begin, end < in->dim[a] ? end : in->dim[a], step};
}

static stretch adaptive_window(const nn_node *n, const nn_shape *in, int a, int64_t i) {
    int64_t from = in->dim[a], to = n->shape.dim[a];
    return (stretch){i * from / to, ((i + 1) * from + to - 1) / to, 1};
}

/* The windows' means along axis a, as a matrix [from, to]. */
static float *means(nn_keras *k, const nn_node *n, const nn_shape *in, int a, window_fn *window) {
    int64_t to = n->shape.dim[a];
    float *m = nn_ko_floats(k, in->dim[a] * to);
    for (int64_t i = 0; i < to; i++) {
        stretch v = window(n, in, a, i);
        int64_t count = (v.end - v.begin + v.step - 1) / v.step;
        for (int64_t j = v.begin; j < v.end; j += v.step) m[j * to + i] = 1 / (float)count;
    }
    return m;
}

static int pool_row(nn_keras *k, const nn_node *n, int64_t size, int64_t stride, int x) {
    int64_t sizes[2] = {1, size}, strides[2] = {1, stride};
    nn_json *c = nn_ka_new();
    nn_ka_tuple(c, "pool_size", sizes, 2);
    nn_ka_tuple(c, "strides", strides, 2);
    nn_keras_add(k, n, "MaxPooling2D", c, x);
    return nn_ko_last(k);
}

/* One window of an axis of `size`, the second of x's three axes. */
static int highest_of(nn_keras *k, const nn_node *n, stretch v, int64_t size, int x) {
    int64_t before[2] = {0, v.begin}, after[2] = {0, size - v.end};
    nn_json *c = nn_ka_new();
    nn_ka_pairs(c, "cropping", before, after, 2);
    nn_keras_add(k, n, "Cropping2D", c, x);
    x = nn_ko_last(k);
    int64_t count = (v.end - v.begin + v.step - 1) / v.step;
    if (v.step > 1) x = pool_row(k, n, 1, v.step, x);
    return pool_row(k, n, count, count, x);
}

static int highest(nn_keras *k, const nn_node *n, nn_shape *s, int a, window_fn *window, int x) {
    int64_t size = s->dim[a], to = n->shape.dim[a], outer = 1, inner = 1;
    for (int i = 0; i < a; i++) outer *= s->dim[i];
    for (int i = a + 1; i < s->rank; i++) inner *= s->dim[i];
    nn_shape plane = {
        3, {outer, size, inner}
    };
    x = nn_ko_reshape(k, n, &plane, x);
    int *row = nn_arena_array(k->arena, (size_t)to, sizeof *row);
    if (!row) abort(); /* this arena has no cap */
    for (int64_t i = 0; i < to; i++) row[i] = highest_of(k, n, window(n, s, a, i), size, x);
    s->dim[a] = to;
    return nn_ko_reshape(k, n, s, nn_ko_row(k, n, 2, row, to));
}

/* Whether each window of axis a is its own place. */
static bool is_whole(const nn_node *n, const nn_shape *s, int a, window_fn *window) {
    bool whole = s->dim[a] == n->shape.dim[a];
    for (int64_t i = 0; whole && i < s->dim[a]; i++) {
        stretch v = window(n, s, a, i);
        whole = v.begin == i && v.end == i + 1;
    }
    return whole;
}

static nn_status by_axes(nn_keras *k, const nn_node *n, bool maximum, window_fn *window,
                         nn_err *err) {
    nn_shape s = nn_ko_input(k, n)->shape;
    int x = nn_ko_from(k, n);
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] < 0)
            return nn_keras_cannot(
                k, n, "TensorFlow.js has no such pool, and over an unknown size it has no parts",
                "give the input's sizes", err);
    for (int a = 0; a < s.rank - 1; a++) {
        int64_t size = s.dim[a], to = n->shape.dim[a];
        if (is_whole(n, &s, a, window)) continue;
        if (maximum)
            x = highest(k, n, &s, a, window, x);
        else
            x = nn_ko_along(k, n, a, s.rank, means(k, n, &s, a, window), size, to, x);
        s.dim[a] = to;
    }
    if (x == nn_ko_from(k, n)) nn_ko_function(k, n, "linear", x);
    return NN_OK;
}

/* ---- pools of windows ---- */

static const char *pool_class(nn_keras *k, bool maximum, int spatial) {
    return nn_ko_ranked(k, maximum ? "MaxPooling" : "AveragePooling", spatial);
}

static void put_pool(nn_json *c, const nn_window *w) {
    bool apart = memcmp(w->size, w->stride, (size_t)w->spatial * sizeof w->size[0]) != 0;
    if (apart && w->spatial > 1)
        nn_ka_tuple(c, "pool_size", w->size, w->spatial);
    else
        nn_ka_sizes(c, "pool_size", w->size, w->spatial);
    if (apart) nn_ka_sizes(c, "strides", w->stride, w->spatial);
}

static nn_status plain_pool(nn_keras *k, const nn_node *n, bool maximum, nn_err *err) {
    const nn_window *w = &n->attr.pool;
    nn_shape s = nn_ko_input(k, n)->shape;
    int from = nn_ko_from(k, n);
    nn_status st = nn_ko_trim(k, n, w, &s, &from, err);
    if (st) return st;
    nn_json *c = nn_ka_new();
    put_pool(c, w);
    if (w->same) nn_ka_str(c, "padding", "same");
    nn_keras_add(k, n, pool_class(k, maximum, w->spatial), c, from);
    return NN_OK;
}

nn_status nn_ko_pool(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.pool;
    bool maximum = n->op == NN_OP_MAX_POOL, dense = nn_ko_all(w->dilation, w->spatial, 1);
    if (!nn_ko_pads(w) && dense) return plain_pool(k, n, maximum, err);
    if (k->target == NN_KERAS_JS) return by_axes(k, n, maximum, padded_window, err);
    nn_json *c = nn_ka_new();
    put_pool(c, w);
    nn_ka_pairs(c, "padding", w->pad_before, w->pad_after, w->spatial);
    if (!dense) nn_ka_sizes(c, "dilation_rate", w->dilation, w->spatial);
    nn_ka_str(c, "mode", maximum ? "max" : "average");
    nn_keras_add_helper(k, n, "PaddedPooling", c, nn_ko_from(k, n));
    return NN_OK;
}

/* ---- adaptive ---- */

nn_status nn_ko_adaptive_pool(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    bool maximum = n->op == NN_OP_ADAPTIVE_MAX_POOL, even = true;
    int spatial = n->attr.adaptive_pool.spatial;
    int64_t size[NN_MAX_SPATIAL];
    for (int i = 0; i < spatial; i++) {
        even = even && in->dim[i] >= 0 && in->dim[i] % n->attr.adaptive_pool.size[i] == 0;
        size[i] = even ? in->dim[i] / n->attr.adaptive_pool.size[i] : 0;
    }
    if (!even && k->target == NN_KERAS_JS) return by_axes(k, n, maximum, adaptive_window, err);
    nn_json *c = nn_ka_new();
    if (even) {
        nn_ka_sizes(c, "pool_size", size, spatial);
        nn_keras_add(k, n, pool_class(k, maximum, spatial), c, nn_ko_from(k, n));
        return NN_OK;
    }
    nn_ka_tuple(c, "output_size", n->attr.adaptive_pool.size, spatial);
    nn_ka_str(c, "mode", maximum ? "max" : "average");
    nn_keras_add_helper(k, n, "AdaptivePooling", c, nn_ko_from(k, n));
    return NN_OK;
}

/* ---- global ---- */

/* The mean of the steps whose token is not 0, where there is one: a softmax over 0 and -1e9 gives
 * each of them the same share. */
static nn_status masked_mean(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    if (in->dim[0] < 0)
        return nn_keras_cannot(k, n,
                               "TensorFlow.js has no mean over padded sequences, and over an "
                               "unknown number of steps it has no parts",
                               "give the number of steps", err);
    nn_shape shares =
                 {
                     2, {1, in->dim[0]}
    },
             column = {2, {in->dim[0], 1}};
    int m = nn_ko_present(k, n, k->value[n->inputs[1]]);
    int share = nn_ko_function(k, n, "softmax", nn_ko_rescale(k, n, 1e9, -1e9, m));
    share = nn_ko_reshape(k, n, &shares, share);
    int x = nn_ko_reshape(k, n, &n->shape, nn_ko_dot(k, n, share, nn_ko_from(k, n), 2, 1));
    nn_keras_add(k, n, "GlobalMaxPooling1D", nn_ka_new(), nn_ko_reshape(k, n, &column, m));
    nn_shape one = n->shape;
    for (int i = 0; i < one.rank; i++) one.dim[i] = 1;
    int any = nn_ko_reshape(k, n, &one, nn_ko_last(k));
    nn_ko_merge(k, n, "Multiply", x, any);
    return NN_OK;
}

nn_status nn_ko_global_pool(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    bool js = k->target == NN_KERAS_JS, keep = n->attr.global_pool.keepdims;
    int spatial = in->rank - 1, from = nn_ko_from(k, n);
    if (k->in_parts && n->n_inputs > 1) return masked_mean(k, n, err);
    if (spatial > 3 || (js && spatial == 3)) {
        nn_shape flat = {
            2, {NN_DIM_UNKNOWN, in->dim[spatial]}
        };
        from = nn_ko_reshape(k, n, &flat, from);
        spatial = 1;
    }
    bool as_reshape = keep && (js || spatial != in->rank - 1);
    nn_json *c = nn_ka_new();
    if (keep && !as_reshape) nn_ka_bool(c, "keepdims", true);
    const char *name = n->op == NN_OP_GLOBAL_MAX_POOL ? "GlobalMaxPooling" : "GlobalAveragePooling";
    nn_keras_add(k, n, nn_ko_ranked(k, name, spatial), c, from);
    if (as_reshape) nn_ko_reshape(k, n, &n->shape, nn_ko_last(k));
    return NN_OK;
}
