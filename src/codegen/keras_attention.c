/* SPDX-License-Identifier: MIT */
/* keras_attention.c - attention, as Keras's layers and as parts of it, and places in a sequence. */
#include "codegen/keras_ops.h"

#include <math.h>
#include <stdlib.h>

/* ---- attention in a program ---- */

static nn_shape heads_kernel(const nn_weight *w, int64_t heads) {
    return (nn_shape){
        3, {w->shape.dim[0], heads, w->shape.dim[1] / heads}
    };
}

static nn_status add_heads(nn_keras *k, const nn_node *n, const nn_node *out) {
    const nn_node *p[3];
    for (int i = 0; i < 3; i++) p[i] = &k->g->nodes[n->inputs[i]];
    int64_t heads = n->attr.attention.heads, key = p[0]->attr.matmul.units / heads,
            value = p[2]->attr.matmul.units / heads, units = out->attr.matmul.units;
    const nn_shape *query = &k->g->nodes[p[0]->inputs[0]].shape;
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "num_heads", heads);
    nn_ka_int(c, "key_dim", key);
    if (value != key) nn_ka_int(c, "value_dim", value);
    if (n->attr.attention.dropout != 0) nn_ka_num(c, "dropout", n->attr.attention.dropout);
    if (!p[0]->attr.matmul.bias) nn_ka_bool(c, "use_bias", false);
    if (units != query->dim[query->rank - 1]) nn_ka_int(c, "output_shape", units);
    nn_ka_weight(c, nn_ko_weight(k, p[0], 0), "kernel", NN_INIT_GLOROT_UNIFORM, 1);
    if (p[0]->attr.matmul.bias) nn_ka_weight(c, nn_ko_weight(k, p[0], 1), "bias", NN_INIT_ZEROS, 1);
    nn_ka_trainable(c, k, p[0]);
    nn_keras_layer *l = nn_keras_add(k, n, "MultiHeadAttention", c, k->value[p[0]->inputs[0]]);
    l->spread = true;
    nn_keras_input(k, l, k->value[p[2]->inputs[0]]); /* Keras's order: query, value, key */
    if (p[1]->inputs[0] != p[2]->inputs[0]) nn_keras_input(k, l, k->value[p[1]->inputs[0]]);
    if (n->attr.attention.causal) {
        l->call = nn_ka_new();
        nn_ka_bool(l->call, "use_causal_mask", true);
    }
    static const char *const names[4][2] = {
        {"query/kernel",            "query/bias"           },
        {"key/kernel",              "key/bias"             },
        {"value/kernel",            "value/bias"           },
        {"attention_output/kernel", "attention_output/bias"}
    };
    for (int i = 0; i < 3; i++) {
        nn_keras_weigh(l, p[i]->weights[0], names[i][0],
                       heads_kernel(nn_ko_weight(k, p[i], 0), heads));
        if (p[i]->attr.matmul.bias)
            nn_keras_weigh(l, p[i]->weights[1], names[i][1],
                           (nn_shape){
                               2, {heads, p[i]->attr.matmul.units / heads}
            });
    }
    nn_keras_weigh(l, out->weights[0], names[3][0],
                   (nn_shape){
                       3, {heads, value, units}
    });
    if (out->attr.matmul.bias)
        nn_keras_weigh(l, out->weights[1], names[3][1], (nn_shape){1, {units}});
    return NN_OK;
}

/* Keras's Attention and AdditiveAttention take [query, value, key]. */
static void add_plain(nn_keras *k, const nn_node *n) {
    bool additive = n->attr.attention.additive, scaled = n->attr.attention.use_scale;
    nn_json *c = nn_ka_new();
    if (scaled != additive) nn_ka_bool(c, "use_scale", scaled);
    if (n->attr.attention.dropout != 0) nn_ka_num(c, "dropout", n->attr.attention.dropout);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l =
        nn_keras_add(k, n, additive ? "AdditiveAttention" : "Attention", c, k->value[n->inputs[0]]);
    nn_keras_input(k, l, k->value[n->inputs[2]]);
    if (n->inputs[1] != n->inputs[2]) nn_keras_input(k, l, k->value[n->inputs[1]]);
    if (n->attr.attention.causal) {
        l->call = nn_ka_new();
        nn_ka_bool(l->call, "use_causal_mask", true);
    }
    nn_shape scale = additive && scaled ? nn_ko_weight(k, n, 0)->shape : (nn_shape){.rank = 0};
    if (scaled) nn_keras_weigh(l, n->weights[0], "scale", scale);
}

/* Attention in parts: what no class of Keras does in one. */
static void add_parts(nn_keras *k, const nn_node *n) {
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "heads", n->attr.attention.heads);
    nn_ka_num(c, "scale", n->attr.attention.scale);
    if (n->attr.attention.causal) nn_ka_bool(c, "causal", true);
    if (n->attr.attention.additive) nn_ka_bool(c, "additive", true);
    if (n->attr.attention.use_scale) nn_ka_bool(c, "use_scale", true);
    if (n->attr.attention.dropout != 0) nn_ka_num(c, "dropout", n->attr.attention.dropout);
    nn_keras_layer *l = nn_keras_add_helper(k, n, "HeadsAttention", c, k->value[n->inputs[0]]);
    for (int i = 1; i < n->n_inputs; i++) nn_keras_input(k, l, k->value[n->inputs[i]]);
    if (n->attr.attention.use_scale)
        nn_keras_weigh(l, n->weights[0], "scale", nn_ko_weight(k, n, 0)->shape);
}

/* ---- attention out of layers of TensorFlow.js ---- */

/* Columns first to first + count of x, times `factor`. */
static int columns(nn_keras *k, const nn_node *n, int64_t width, int64_t first, int64_t count,
                   float factor, int x) {
    if (width == count && factor == 1) return x;
    float *m = nn_ko_floats(k, width * count);
    for (int64_t i = 0; i < count; i++) m[(first + i) * count + i] = factor;
    return nn_ko_product(k, n, m, width, count, x);
}

/* A large negative number wherever the key comes after the query. */
static int causal(nn_keras *k, const nn_node *n, int64_t t, int64_t s, int x) {
    float *later = nn_ko_floats(k, t * s);
    for (int64_t i = 0; i < t; i++)
        for (int64_t j = i + 1; j < s; j++) later[i * s + j] = -1e9F;
    nn_shape flat =
                 {
                     1, {t * s}
    },
             scores = {2, {t, s}};
    x = nn_ko_affine(k, n, NULL, later, t * s, nn_ko_reshape(k, n, &flat, x));
    return nn_ko_reshape(k, n, &scores, x);
}

/* [t, s] of what is added to the scores: -1e9 where a key is padding, or comes later. */
static int masked(nn_keras *k, const nn_node *n, int64_t t, int64_t s) {
    int m = nn_ko_present(k, n, k->value[n->inputs[3]]);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "n", t);
    nn_keras_add(k, n, "RepeatVector", c, nn_ko_rescale(k, n, 1e9, -1e9, m));
    m = nn_ko_last(k);
    if (!n->attr.attention.causal) return m;
    m = nn_ko_rescale(k, n, 1, 1e9, causal(k, n, t, s, m)); /* both: no less than -1e9 */
    return nn_ko_rescale(k, n, 1, -1e9, nn_ko_relu(k, n, 0, m));
}

/* sum_d scale_d tanh(q_t,d + k_s,d) */
static int additive(nn_keras *k, const nn_node *n, double scale) {
    const nn_shape *q = &k->g->nodes[n->inputs[0]].shape, *v = &k->g->nodes[n->inputs[1]].shape;
    int64_t d = q->dim[1];
    nn_shape queries =
                 {
                     3, {q->dim[0], 1, d}
    },
             keys = {3, {1, v->dim[0], d}}, scores = {2, {q->dim[0], v->dim[0]}};
    float *factor = nn_ko_floats(k, d);
    const float *learned =
        n->attr.attention.use_scale ? k->opt->weights + nn_ko_weight(k, n, 0)->offset : NULL;
    for (int64_t i = 0; i < d; i++) factor[i] = (float)scale * (learned ? learned[i] : 1);
    int a = nn_ko_reshape(k, n, &queries, k->value[n->inputs[0]]);
    int b = nn_ko_reshape(k, n, &keys, k->value[n->inputs[1]]);
    a = nn_ko_function(k, n, "tanh", nn_ko_merge(k, n, "Add", a, b));
    return nn_ko_reshape(k, n, &scores, nn_ko_product(k, n, factor, d, 1, a));
}

static int one_head(nn_keras *k, const nn_node *n, int64_t head, double scale, int mask) {
    const nn_shape *s[3];
    int x[3];
    for (int i = 0; i < 3; i++) {
        s[i] = &k->g->nodes[n->inputs[i]].shape;
        int64_t width = s[i]->dim[1], size = width / n->attr.attention.heads;
        bool scaled = i == 0 && !n->attr.attention.additive;
        x[i] = columns(k, n, width, head * size, size, scaled ? (float)scale : 1,
                       k->value[n->inputs[i]]);
    }
    int scores =
        n->attr.attention.additive ? additive(k, n, scale) : nn_ko_dot(k, n, x[0], x[1], 2, 2);
    if (mask >= 0)
        scores = nn_ko_merge(k, n, "Add", scores, mask);
    else if (n->attr.attention.causal)
        scores = causal(k, n, s[0]->dim[0], s[1]->dim[0], scores);
    return nn_ko_dot(k, n, nn_ko_function(k, n, "softmax", scores), x[2], 2, 1);
}

static nn_status attention_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *q = &k->g->nodes[n->inputs[0]].shape, *v = &k->g->nodes[n->inputs[1]].shape;
    bool learned = n->attr.attention.use_scale && !n->attr.attention.additive;
    if (k->depth[n->id])
        return nn_keras_cannot(k, n,
                               "TensorFlow.js has no TimeDistributed of several inputs, as "
                               "attention is made of",
                               "put it outside of the wrapper", err);
    if ((n->attr.attention.causal || n->attr.attention.additive || n->n_inputs > 3) &&
        (q->dim[0] < 0 || v->dim[0] < 0))
        return nn_keras_cannot(k, n,
                               "causal, additive or masked attention over an unknown number "
                               "of steps",
                               "give the number of steps", err);
    double scale = n->attr.attention.scale;
    if (learned) scale *= (double)k->opt->weights[nn_ko_weight(k, n, 0)->offset];
    int64_t m = n->attr.attention.heads;
    int mask = n->n_inputs > 3 ? masked(k, n, q->dim[0], v->dim[0]) : -1;
    int *heads = nn_arena_array(k->arena, (size_t)m, sizeof *heads);
    if (!heads) abort(); /* this arena has no cap */
    for (int64_t i = 0; i < m; i++) heads[i] = one_head(k, n, i, scale, mask);
    nn_ko_row(k, n, -1, heads, m);
    return NN_OK;
}

nn_status nn_ko_attention(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS) return attention_js(k, n, err);
    if (k->depth[n->id])
        return nn_keras_cannot(k, n, "attention inside of TimeDistributed",
                               "put it outside of the wrapper", err);
    const nn_node *out = &k->g->nodes[k->last[n->id]];
    if (out->id != n->id) return add_heads(k, n, out);
    if (n->n_inputs == 3 && n->attr.attention.heads == 1 && n->attr.attention.scale == 1)
        add_plain(k, n);
    else
        add_parts(k, n);
    return NN_OK;
}

/* ---- places ---- */

/* sin(i / 10000^(2k/d)) at 2k and the cosine at 2k + 1 (Vaswani et al. 2017, 3.5). */
static float *sinusoids(nn_keras *k, int64_t steps, int64_t d) {
    float *m = nn_ko_floats(k, steps * d);
    for (int64_t i = 0; i < steps; i++)
        for (int64_t j = 0; j < d; j++) {
            double angle = (double)i / pow(10000, (double)(j / 2 * 2) / (double)d);
            m[i * d + j] = (float)(j % 2 ? cos(angle) : sin(angle));
        }
    return m;
}

static nn_status position_js(nn_keras *k, const nn_node *n, nn_err *err) {
    int64_t steps = n->shape.dim[0], d = n->shape.dim[1];
    if (steps < 0) return nn_keras_cannot(k, n, "an unknown number of steps", NULL, err);
    const float *rows = n->attr.position.learnable ? k->opt->weights + nn_ko_weight(k, n, 0)->offset
                                                   : sinusoids(k, steps, d);
    nn_shape flat = {1, {steps * d}};
    int x = nn_ko_reshape(k, n, &flat, nn_ko_from(k, n));
    nn_ko_reshape(k, n, &n->shape, nn_ko_affine(k, n, NULL, rows, steps * d, x));
    return NN_OK;
}

nn_status nn_ko_position(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS) return position_js(k, n, err);
    nn_json *c = nn_ka_new();
    if (!n->attr.position.learnable) {
        nn_keras_add_helper(k, n, "PositionalEncoding", c, nn_ko_from(k, n));
        return NN_OK;
    }
    nn_ka_int(c, "max_len", n->attr.position.max_len);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "embeddings", NN_INIT_RANDOM_UNIFORM, 1);
    nn_keras_layer *l = nn_keras_add_helper(k, n, "LearnedPositions", c, nn_ko_from(k, n));
    nn_keras_weigh(l, n->weights[0], "embeddings", nn_ko_weight(k, n, 0)->shape);
    return NN_OK;
}
