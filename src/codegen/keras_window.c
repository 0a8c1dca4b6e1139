/* SPDX-License-Identifier: MIT */
/* keras_window.c - convolutions. */
#include "codegen/keras_ops.h"

#include <stdlib.h>
#include <string.h>

void nn_ko_put_window(nn_json *c, const nn_window *w, const char *padding) {
    nn_ka_sizes(c, "kernel_size", w->size, w->spatial);
    if (!nn_ko_all(w->stride, w->spatial, 1)) nn_ka_sizes(c, "strides", w->stride, w->spatial);
    if (strcmp(padding, "valid") != 0) nn_ka_str(c, "padding", padding);
    if (!nn_ko_all(w->dilation, w->spatial, 1))
        nn_ka_sizes(c, "dilation_rate", w->dilation, w->spatial);
}

static bool is_causal(const nn_window *w) {
    return w->spatial == 1 && !w->same && w->pad_after[0] == 0 && w->pad_before[0] > 0 &&
           w->pad_before[0] == (w->size[0] - 1) * w->dilation[0];
}

/* The zeros around that no `padding` says. */
static nn_status pad(nn_keras *k, const nn_node *n, const nn_window *w, int *from, nn_err *err) {
    nn_shape s = nn_ko_input(k, n)->shape;
    if (!nn_ko_pads(w)) return nn_ko_trim(k, n, w, &s, from, err);
    nn_border b = {.spatial = w->spatial};
    memcpy(b.before, w->pad_before, sizeof b.before);
    memcpy(b.after, w->pad_after, sizeof b.after);
    return nn_ko_border(k, n, &b, false, &s, from, err);
}

/* A kernel of groups as one of all channels, zero outside of its groups. */
static void fix_groups(nn_keras *k, nn_keras_layer *l, const nn_node *n) {
    const nn_weight *w = nn_ko_weight(k, n, 0);
    int r = w->shape.rank;
    int64_t share = w->shape.dim[r - 2], out = w->shape.dim[r - 1], groups = n->attr.conv.groups;
    int64_t taps = w->elements / (share * out), in = share * groups;
    nn_shape shape = w->shape;
    shape.dim[r - 2] = in;
    float *full = nn_arena_array(k->arena, (size_t)(taps * in * out), sizeof *full);
    if (!full) abort();
    memset(full, 0, (size_t)(taps * in * out) * sizeof *full);
    const float *at = k->opt->weights + w->offset;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t i = 0; i < share; i++)
            for (int64_t o = 0; o < out; o++) {
                int64_t group = o / (out / groups);
                full[(t * in + group * share + i) * out + o] = at[(t * share + i) * out + o];
            }
    nn_keras_fix(k, l, full, "kernel", shape);
}

static bool is_depthwise(const nn_keras *k, const nn_node *n) {
    const nn_window *w = &n->attr.conv.window;
    bool each =
        n->attr.conv.groups > 1 && n->attr.conv.groups == nn_ko_input(k, n)->shape.dim[w->spatial];
    if (k->target == NN_KERAS_JS) /* whose DepthwiseConv2D passes over dilation_rate */
        return each && w->spatial == 2 && nn_ko_all(w->dilation, 2, 1);
    return each && w->spatial < 3 &&
           (strncmp(n->layer, "DepthwiseConv", 13) == 0 ||
            strncmp(n->layer, "SeparableConv", 13) == 0);
}

/* [k..., 1, in * m] as Keras holds it: [k..., in, m]. */
static nn_shape depthwise_shape(const nn_keras *k, const nn_node *n) {
    nn_shape s = nn_ko_weight(k, n, 0)->shape;
    s.dim[s.rank - 2] = n->attr.conv.groups;
    s.dim[s.rank - 1] /= n->attr.conv.groups;
    return s;
}

static nn_status add_depthwise(nn_keras *k, const nn_node *n, int from, const char *padding) {
    int64_t multiplier = n->attr.conv.filters / n->attr.conv.groups;
    nn_json *c = nn_ka_new();
    nn_ko_put_window(c, &n->attr.conv.window, padding);
    if (multiplier != 1) nn_ka_int(c, "depth_multiplier", multiplier);
    nn_ko_put_activation(c, k, n);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "depthwise", NN_INIT_GLOROT_UNIFORM,
                 n->attr.conv.window.spatial);
    nn_ko_put_bias(c, k, n, n->attr.conv.bias);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l =
        nn_keras_add(k, n, nn_ko_ranked(k, "DepthwiseConv", n->attr.conv.window.spatial), c, from);
    nn_keras_weigh(l, n->weights[0], "depthwise_kernel", depthwise_shape(k, n));
    if (n->attr.conv.bias) nn_ko_weigh(k, l, n, 1, "bias");
    return NN_OK;
}

/* The pointwise convolution that the plan found behind n; NULL: none. */
static const nn_node *pointwise(const nn_keras *k, const nn_node *n) {
    const nn_node *u = k->user[n->id] >= 0 ? &k->g->nodes[k->user[n->id]] : NULL;
    return k->last[n->id] != n->id && u->op == NN_OP_CONV ? u : NULL;
}

static nn_status add_separable(nn_keras *k, const nn_node *n, const nn_node *p, int from,
                               const char *padding) {
    int64_t multiplier = n->attr.conv.filters / n->attr.conv.groups;
    int spatial = n->attr.conv.window.spatial;
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "filters", p->attr.conv.filters);
    nn_ko_put_window(c, &n->attr.conv.window, padding);
    if (multiplier != 1) nn_ka_int(c, "depth_multiplier", multiplier);
    nn_ko_put_activation(c, k, n);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "depthwise", NN_INIT_GLOROT_UNIFORM, spatial);
    nn_ka_weight(c, nn_ko_weight(k, p, 0), "pointwise", NN_INIT_GLOROT_UNIFORM, spatial + 1);
    nn_ko_put_bias(c, k, p, p->attr.conv.bias);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, nn_ko_ranked(k, "SeparableConv", spatial), c, from);
    nn_keras_weigh(l, n->weights[0], "depthwise_kernel", depthwise_shape(k, n));
    nn_ko_weigh(k, l, p, 0, "pointwise_kernel");
    if (p->attr.conv.bias) nn_ko_weigh(k, l, p, 1, "bias");
    return NN_OK;
}

nn_status nn_ko_conv(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv.window;
    const nn_node *p = pointwise(k, n);
    bool causal = k->target == NN_KERAS_PYTHON && is_causal(w) && !p && !is_depthwise(k, n);
    const char *padding = w->same ? "same" : causal ? "causal" : "valid";
    int from = nn_ko_from(k, n);
    nn_status s = causal ? NN_OK : pad(k, n, w, &from, err);
    if (s) return s;
    if (p) return add_separable(k, n, p, from, padding);
    if (is_depthwise(k, n)) return add_depthwise(k, n, from, padding);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "filters", n->attr.conv.filters);
    nn_ko_put_window(c, w, padding);
    bool js = k->target == NN_KERAS_JS;
    if (n->attr.conv.groups != 1 && !js) nn_ka_int(c, "groups", n->attr.conv.groups);
    nn_ko_put_activation(c, k, n);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "kernel", NN_INIT_GLOROT_UNIFORM, w->spatial + 1);
    nn_ko_put_bias(c, k, n, n->attr.conv.bias);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, nn_ko_ranked(k, "Conv", w->spatial), c, from);
    if (n->attr.conv.groups != 1 && js)
        fix_groups(k, l, n);
    else
        nn_ko_weigh(k, l, n, 0, "kernel");
    if (n->attr.conv.bias) nn_ko_weigh(k, l, n, 1, "bias");
    return NN_OK;
}
