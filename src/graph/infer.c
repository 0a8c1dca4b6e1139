/* SPDX-License-Identifier: MIT */
/* infer.c - one infer_<op> for each row of ops.def; the table below does not compile when one is
 * missing.
 *
 * Windows, per axis, with ke = (size - 1) * dilation + 1 (the formulas of language.md 13.2, which
 * are TensorFlow's, https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2):
 *     same:  out = ceil(d / stride); total = max((out - 1) * stride + ke - d, 0);
 *            pad_before = total / 2, pad_after the rest
 *     else:  out = floor((d + pad_before + pad_after - ke) / stride) + 1
 * An unknown d gives an unknown out; its "same" pads are known only for stride 1 (total = ke - 1),
 * else they stay 0. Sizes, strides, dilations and pads are at most NN_MAX_DIM, so nothing here
 * overflows 64 bits. */
#include "graph/infer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Fails with "<what>: <rule> with input <shape>". */
static nn_status misfit(nn_err *err, const nn_shape *in, const char *what, const char *rule) {
    char s[160];
    return nn_fail(err, NN_E_DSL_ERROR, "%s: %s with input %s", what, rule,
                   nn_shape_print(in, false, s, sizeof s));
}

static int64_t last(const nn_shape *s) {
    return s->dim[s->rank - 1];
}

/* ---- windows ---- */

static bool within(int64_t v, int64_t low) {
    return v >= low && v <= NN_MAX_DIM;
}

static nn_status check_window(const nn_window *w, const nn_shape *in, nn_err *err) {
    if (w->spatial < 1 || w->spatial > NN_MAX_SPATIAL)
        return misfit(err, in, "a window has 1 to 3 axes", "(spatial..., channels)");
    if (in->rank != w->spatial + 1) {
        char what[96];
        snprintf(what, sizeof what, "expected %d axes, got %d", w->spatial + 1, in->rank);
        return misfit(err, in, what,
                      w->spatial == 2   ? "(height, width, channels)"
                      : w->spatial == 1 ? "(steps, channels)"
                                        : "(depth, height, width, channels)");
    }
    for (int i = 0; i < w->spatial; i++) {
        if (!within(w->size[i], 1) || !within(w->stride[i], 1) || !within(w->dilation[i], 1) ||
            !within(w->pad_before[i], 0) || !within(w->pad_after[i], 0))
            return misfit(err, in, "a size is out of range",
                          "sizes, strides and dilations are at least 1, pads at least 0");
        if (w->stride[i] > 1 && w->dilation[i] > 1)
            return misfit(err, in, "a stride above 1 together with a dilation above 1",
                          "one of strides and dilation_rate must be 1");
    }
    return NN_OK;
}

static nn_status too_large(const nn_window *w, int axis, const nn_shape *in, nn_err *err) {
    char what[160];
    int64_t ke = (w->size[axis] - 1) * w->dilation[axis] + 1;
    int64_t d = in->dim[axis] + w->pad_before[axis] + w->pad_after[axis];
    snprintf(what, sizeof what,
             "a window of %" PRId64 " is larger than the input's %" PRId64 "%s on axis %d", ke, d,
             d == in->dim[axis] ? "" : " (padding included)", axis);
    nn_status s =
        misfit(err, in, what,
               "floor((d + pads - ((k - 1) * dilation + 1)) / stride) + 1 must be at least 1");
    return nn_err_hint(err, s,
                       "make the window smaller, give padding=\"same\", or shrink less before it");
}

nn_status nn_window_output(const nn_window *w, const nn_shape *in, int64_t *ret_out, nn_err *err) {
    nn_status st = check_window(w, in, err);
    if (st) return st;
    int64_t out[NN_MAX_SPATIAL];
    for (int i = 0; i < w->spatial; i++) {
        int64_t d = in->dim[i], s = w->stride[i], ke = (w->size[i] - 1) * w->dilation[i] + 1;
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
        int64_t d = in->dim[i], s = w->stride[i], ke = (w->size[i] - 1) * w->dilation[i] + 1;
        int64_t total = d >= 0 ? (out[i] - 1) * s + ke - d : s == 1 ? ke - 1 : 0;
        if (total < 0) total = 0;
        w->pad_before[i] = total / 2;
        w->pad_after[i] = total - total / 2;
    }
}

/* The shape (spatial outputs..., channels), and the window's pads. */
static nn_status apply_window(nn_node *n, nn_window *w, const nn_shape *in, int64_t channels,
                              nn_err *err) {
    int64_t out[NN_MAX_SPATIAL];
    nn_status st = nn_window_output(w, in, out, err);
    if (st) return st;
    fill_same(w, in, out);
    n->shape = (nn_shape){.rank = in->rank};
    memcpy(n->shape.dim, out, (size_t)w->spatial * sizeof out[0]);
    n->shape.dim[in->rank - 1] = channels;
    return NN_OK;
}

/* ---- one rule an op ---- */

static nn_status infer_input(nn_node *n, const nn_shape *in, nn_err *err) {
    (void)n, (void)in, (void)err; /* given; nn_infer checks every shape's sizes */
    return NN_OK;
}

static nn_status infer_matmul(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1) return misfit(err, in, "no axis to multiply", "(..., in) -> (..., units)");
    if (last(in) < 0)
        return misfit(err, in, "the last axis must have a known size", "the kernel is (in, units)");
    if (!within(n->attr.matmul.units, 1))
        return misfit(err, in, "units out of range", "1 <= units <= 2147483647");
    n->shape = *in;
    n->shape.dim[in->rank - 1] = n->attr.matmul.units;
    return NN_OK;
}

static nn_status infer_conv(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t filters = n->attr.conv.filters, groups = n->attr.conv.groups;
    nn_status st = check_window(&n->attr.conv.window, in, err);
    if (st) return st;
    if (!within(filters, 1) || !within(groups, 1))
        return misfit(err, in, "filters or groups out of range", "both are at least 1");
    if (last(in) < 0)
        return misfit(err, in, "the channels must have a known size",
                      "the kernel is (k..., channels / groups, filters)");
    if (last(in) % groups || filters % groups) {
        char what[128];
        snprintf(what, sizeof what,
                 "groups=%" PRId64 " does not divide %" PRId64 " channels and %" PRId64 " filters",
                 groups, last(in), filters);
        return misfit(err, in, what, "groups divides both");
    }
    return apply_window(n, &n->attr.conv.window, in, filters, err);
}

static nn_status infer_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    nn_window *w = &n->attr.pool;
    nn_status st = apply_window(n, w, in, in->rank ? last(in) : 0, err);
    if (st) return st;
    for (int i = 0; i < w->spatial; i++) {
        int64_t ke = (w->size[i] - 1) * w->dilation[i] + 1;
        if (w->pad_before[i] >= ke || w->pad_after[i] >= ke)
            return misfit(err, in, "a pool window lies wholly in the padding", "pad < pool_size");
    }
    return NN_OK;
}

static nn_status infer_max_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_pool(n, in, err);
}

static nn_status infer_avg_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    return infer_pool(n, in, err);
}

static nn_status infer_global_avg_pool(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 2)
        return misfit(err, in, "no spatial axis to average over",
                      "(spatial..., channels) -> (channels)");
    n->shape = (nn_shape){.rank = 1, .dim = {last(in)}};
    if (!n->attr.global_pool.keepdims) return NN_OK;
    n->shape.rank = in->rank;
    for (int i = 0; i < in->rank - 1; i++) n->shape.dim[i] = 1;
    n->shape.dim[in->rank - 1] = last(in);
    return NN_OK;
}

static nn_status infer_batch_norm(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1 || last(in) < 0)
        return misfit(
            err, in, "the normalised axis must have a known size",
            "gamma, beta and the moving statistics have one value for each element of it");
    n->shape = *in;
    return NN_OK;
}

static nn_status infer_activation(nn_node *n, const nn_shape *in, nn_err *err) {
    (void)err;
    n->shape = *in;
    return NN_OK;
}

static nn_status infer_softmax(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1) return misfit(err, in, "no axis to normalise", "softmax over the last axis");
    n->shape = *in;
    return NN_OK;
}

static nn_status infer_dropout(nn_node *n, const nn_shape *in, nn_err *err) {
    const nn_shape *noise = &n->attr.dropout.noise_shape;
    n->shape = *in;
    if (noise->rank == 0) return NN_OK;
    bool fits = noise->rank == in->rank;
    for (int i = 0; fits && i < in->rank; i++)
        fits = noise->dim[i] == 1 || noise->dim[i] == in->dim[i];
    if (!fits)
        return misfit(err, in, "noise_shape does not fit",
                      "as many axes as the input, each 1 or as the input's");
    return NN_OK;
}

static nn_status infer_reshape(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t from = nn_shape_elements(in), to = nn_shape_elements(&n->shape);
    if (from < 0 || from == to) return NN_OK; /* unknown sizes are compared when it runs */
    char s[160], what[256];
    nn_shape_print(&n->shape, false, s, sizeof s);
    if (to < 0)
        snprintf(what, sizeof what, "the target %s leaves a size open", s);
    else
        snprintf(what, sizeof what, "%" PRId64 " elements cannot become %s, which has %" PRId64,
                 from, s, to);
    return misfit(err, in, what, "the number of elements stays the same");
}

static nn_status infer_transpose(nn_node *n, const nn_shape *in, nn_err *err) {
    unsigned seen = 0;
    n->shape = (nn_shape){.rank = in->rank};
    for (int i = 0; i < in->rank; i++) {
        int from = n->attr.transpose.perm[i];
        if (from < 0 || from >= in->rank || seen & 1U << from)
            return misfit(err, in, "not a permutation", "each axis once");
        seen |= 1U << from;
        n->shape.dim[i] = in->dim[from];
    }
    return NN_OK;
}

typedef nn_status infer_fn(nn_node *n, const nn_shape *in, nn_err *err);
static infer_fn *const rules[NN_OP_COUNT] = {
#define NN_OP(N, n, i, w) [NN_OP_##N] = infer_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_infer(nn_node *n, const nn_shape *in, nn_err *err) {
    if (n->shape.rank < 0 || n->shape.rank > NN_MAX_RANK)
        return nn_fail(err, NN_E_DSL_ERROR, "a tensor has 0 to %d axes, got %d", NN_MAX_RANK,
                       n->shape.rank);
    nn_status st = rules[n->op](n, in, err);
    if (st) return st;
    int64_t product = 1;
    for (int i = 0; i < n->shape.rank; i++) {
        int64_t d = n->shape.dim[i];
        if (d == NN_DIM_UNKNOWN) continue;
        product = within(d, 1) && d <= NN_MAX_ELEMENTS / product ? product * d : 0;
        if (product == 0)
            return misfit(err, in ? in : &n->shape,
                          "a tensor is empty, negative or larger than 2^40 elements",
                          "sizes are 1 to 2147483647");
    }
    return NN_OK;
}

/* ---- weights ---- */

static const char *dense_rule(int64_t in, const nn_attr *a, int k, nn_shape *ret) {
    int64_t units = a->matmul.units;
    *ret = k ? (nn_shape){1, {units}} : (nn_shape){2, {in, units}};
    return k == 0 ? "kernel" : k == 1 && a->matmul.bias ? "bias" : NULL;
}

static const char *conv_rule(int64_t in, const nn_attr *a, int k, nn_shape *ret) {
    const nn_window *w = &a->conv.window;
    if (k > 0) {
        *ret = (nn_shape){1, {a->conv.filters}};
        return k == 1 && a->conv.bias ? "bias" : NULL;
    }
    *ret = (nn_shape){.rank = w->spatial + 2};
    memcpy(ret->dim, w->size, (size_t)w->spatial * sizeof w->size[0]);
    ret->dim[w->spatial] = in / a->conv.groups;
    ret->dim[w->spatial + 1] = a->conv.filters;
    return "kernel";
}

static const char *norm_rule(int64_t in, const nn_attr *a, int k, nn_shape *ret) {
    const char *all[4];
    int n = 0;
    if (a->batch_norm.scale) all[n++] = "gamma";
    if (a->batch_norm.center) all[n++] = "beta";
    all[n++] = "moving_mean";
    all[n++] = "moving_variance";
    *ret = (nn_shape){1, {in}};
    return k < n ? all[k] : NULL;
}

const char *nn_node_weight_rule(const nn_graph *g, const nn_node *n, int k, nn_shape *ret_shape) {
    static const char *(*const weight_rules[NN_OP_COUNT])(int64_t, const nn_attr *, int,
                                                          nn_shape *) = {
        [NN_OP_MATMUL] = dense_rule, [NN_OP_CONV] = conv_rule, [NN_OP_BATCH_NORM] = norm_rule};
    if (k < 0 || !weight_rules[n->op]) return NULL; /* the other ops have no weights */
    return weight_rules[n->op](last(&g->nodes[n->inputs[0]].shape), &n->attr, k, ret_shape);
}
