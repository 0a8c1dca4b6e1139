/* SPDX-License-Identifier: MIT */
/* keras_steps.c - ops over steps: recurrent layers in one direction or two, attention, places. */
#include "codegen/keras_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *floats(nn_keras *k, int64_t n) {
    float *p = nn_arena_array(k->arena, (size_t)n, sizeof *p);
    if (!p) abort(); /* this arena has no cap */
    memset(p, 0, (size_t)n * sizeof *p);
    return p;
}

static const nn_weight *weight(const nn_keras *k, const nn_node *n, int i) {
    return &k->g->weights[n->weights[i]];
}

/* ---- recurrent layers ---- */

/* A function of a cell. Those without a name that all versions share are functions of the program
 * (tensorflow_helpers.c). NULL: there is none. */
static const char *cell_function(nn_act a, bool *ret_code) {
    nn_node n = {.op = NN_OP_ACTIVATION};
    n.attr.activation.kind = a;
    n.attr.activation.alpha = nn_act_default_alpha(a);
    const char *f = nn_keras_activation(&n);
    *ret_code = f == NULL;
    if (f) return f;
    return a == NN_ACT_CELU ? "elu" : nn_act_name(a);
}

static nn_status put_function(nn_keras *k, const nn_node *n, nn_json *c, const char *key, nn_act a,
                              nn_err *err) {
    bool code;
    const char *f = cell_function(a, &code);
    if (a == NN_ACT_CELU) code = false; /* of alpha 1: elu */
    bool js = k->target == NN_KERAS_JS;
    if (js && (code || a == NN_ACT_EXPONENTIAL))
        return nn_keras_cannot(k, n, "a function of its cell is none of TensorFlow.js",
                               "tanh, sigmoid and relu are", err);
    if (code)
        nn_ka_code(c, key, f);
    else
        nn_ka_str(c, key, f);
    return NN_OK;
}

typedef struct cell {
    nn_act activation, recurrent;
    bool bias, sequences, reverse, gates;
    double dropout, recurrent_dropout;
} cell;

static cell cell_of(const nn_node *n) {
    if (n->op == NN_OP_RNN)
        return (cell){n->attr.rnn.activation, n->attr.rnn.recurrent_activation,
                      n->attr.rnn.bias,       n->attr.rnn.sequences,
                      n->attr.rnn.reverse,    n->attr.rnn.kind != NN_RNN_SIMPLE,
                      n->attr.rnn.dropout,    n->attr.rnn.recurrent_dropout};
    return (cell){n->attr.conv_lstm.activation, n->attr.conv_lstm.recurrent_activation,
                  n->attr.conv_lstm.bias,       n->attr.conv_lstm.sequences,
                  n->attr.conv_lstm.reverse,    true,
                  n->attr.conv_lstm.dropout,    n->attr.conv_lstm.recurrent_dropout};
}

static void put_cell_weights(nn_keras *k, const nn_node *n, nn_json *c, bool forgets, int axes) {
    nn_ka_weight(c, weight(k, n, 0), "kernel", NN_INIT_GLOROT_UNIFORM, axes);
    nn_ka_weight(c, weight(k, n, 1), "recurrent", NN_INIT_ORTHOGONAL, axes);
    if (n->n_weights < 3) {
        nn_ka_bool(c, "use_bias", false);
        return;
    }
    bool ones = weight(k, n, 2)->init.kind == NN_INIT_UNIT_FORGET;
    nn_ka_weight(c, weight(k, n, 2), "bias", ones ? NN_INIT_UNIT_FORGET : NN_INIT_ZEROS, 1);
    if (forgets && !ones) nn_ka_bool(c, "unit_forget_bias", false);
}

/* What all recurrent layers say. forgets: the bias of the forget gate begins at 1. */
static nn_status put_cell(nn_keras *k, const nn_node *n, nn_json *c, bool forgets, int axes,
                          nn_err *err) {
    cell v = cell_of(n);
    bool usual = v.recurrent == NN_ACT_SIGMOID && n->op == NN_OP_RNN;
    nn_status s = put_function(k, n, c, v.activation == NN_ACT_TANH ? "~activation" : "activation",
                               v.activation, err);
    if (!s && v.gates)
        s = put_function(k, n, c, usual ? "~recurrent_activation" : "recurrent_activation",
                         v.recurrent, err);
    if (s) return s;
    if (v.sequences) nn_ka_bool(c, "return_sequences", true);
    if (v.dropout != 0) nn_ka_num(c, "dropout", v.dropout);
    if (v.recurrent_dropout != 0) nn_ka_num(c, "recurrent_dropout", v.recurrent_dropout);
    put_cell_weights(k, n, c, forgets, axes);
    return NN_OK;
}

/* Whether a ConvLSTM1D is one over planes that are one column wide. */
static bool is_column(const nn_keras *k, const nn_node *n) {
    return k->target == NN_KERAS_JS && n->op == NN_OP_CONV_LSTM &&
           n->attr.conv_lstm.window.spatial == 1;
}

/* [k, in, out] as [k, 1, in, out] */
static nn_shape cell_shape(const nn_keras *k, const nn_node *n, int i) {
    nn_shape s = weight(k, n, i)->shape;
    if (!is_column(k, n) || s.rank == 1) return s;
    return (nn_shape){
        4, {s.dim[0], 1, s.dim[1], s.dim[2]}
    };
}

static void weigh_cell(nn_keras *k, nn_keras_layer *l, const nn_node *n, bool back) {
    static const char *const names[2][3] = {
        {"kernel",          "recurrent_kernel",          "bias"         },
        {"backward/kernel", "backward/recurrent_kernel", "backward/bias"}
    };
    for (int i = 0; i < n->n_weights; i++)
        nn_keras_weigh(l, n->weights[i], names[back][i], cell_shape(k, n, i));
}

static void both_directions(nn_keras *k, const nn_node *n, const nn_node *end,
                            const char *class_name, nn_json *c, int from) {
    nn_json *outer = nn_ka_new();
    nn_json_set(outer, "layer", nn_ka_call(class_name, c));
    const char *mode = end->op == NN_OP_CONCAT                     ? "concat"
                       : end->attr.merge.kind == NN_MERGE_ADD      ? "sum"
                       : end->attr.merge.kind == NN_MERGE_MULTIPLY ? "mul"
                                                                   : "ave";
    nn_ka_str(outer, strcmp(mode, "concat") == 0 ? "~merge_mode" : "merge_mode", mode);
    nn_ka_trainable(outer, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "Bidirectional", outer, from);
    weigh_cell(k, l, n, false);
    weigh_cell(k, l, &k->g->nodes[end->inputs[1]], true);
}

static nn_status turned(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS)
        return nn_keras_cannot(k, n, "one direction backwards whose steps stay in their order",
                               "go_backwards or Bidirectional", err);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "axis", 1);
    nn_keras_add_helper(k, n, "Reverse", c, nn_ko_last(k));
    return NN_OK;
}

/* One direction, or both if the plan found two. */
static nn_status add_cell(nn_keras *k, const nn_node *n, const char *class_name, nn_json *c,
                          int from, nn_err *err) {
    const nn_node *end = &k->g->nodes[k->last[n->id]];
    if (end->op == NN_OP_CONCAT || end->op == NN_OP_MERGE) {
        both_directions(k, n, end, class_name, c, from);
        return NN_OK;
    }
    cell v = cell_of(n);
    if (v.reverse) nn_ka_bool(c, "go_backwards", true);
    nn_ka_trainable(c, k, n);
    weigh_cell(k, nn_keras_add(k, n, class_name, c, from), n, false);
    return v.reverse && v.sequences && end->id == n->id ? turned(k, n, err) : NN_OK;
}

nn_status nn_ko_rnn(nn_keras *k, const nn_node *n, nn_err *err) {
    static const char *const classes[] = {"SimpleRNN", "LSTM", "GRU"};
    bool gru = n->attr.rnn.kind == NN_RNN_GRU;
    if (gru && n->attr.rnn.reset_after && k->target == NN_KERAS_JS)
        return nn_keras_cannot(k, n, "TensorFlow.js has no reset_after",
                               "give the GRU reset_after=false", err);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "units", n->attr.rnn.units);
    if (gru)
        nn_ka_bool(c, n->attr.rnn.reset_after ? "~reset_after" : "reset_after",
                   n->attr.rnn.reset_after);
    nn_status s = put_cell(k, n, c, n->attr.rnn.kind == NN_RNN_LSTM, 1, err);
    if (!s) return add_cell(k, n, classes[n->attr.rnn.kind], c, nn_ko_from(k, n), err);
    nn_json_unref(c);
    return s;
}

/* A window of one axis as one of two, the second one wide. */
static nn_window plane_of(const nn_window *w) {
    nn_window p = *w;
    p.spatial = 2;
    p.size[1] = p.stride[1] = p.dilation[1] = 1;
    return p;
}

static void put_window(nn_json *c, const nn_window *w) {
    int64_t ones[NN_MAX_SPATIAL] = {1, 1, 1};
    size_t bytes = (size_t)w->spatial * sizeof ones[0];
    nn_ka_sizes(c, "kernel_size", w->size, w->spatial);
    if (memcmp(w->stride, ones, bytes) != 0) nn_ka_sizes(c, "strides", w->stride, w->spatial);
    if (w->same) nn_ka_str(c, "padding", "same");
    if (memcmp(w->dilation, ones, bytes) != 0)
        nn_ka_sizes(c, "dilation_rate", w->dilation, w->spatial);
}

static nn_status check_conv_lstm(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv_lstm.window;
    if (k->target == NN_KERAS_JS && w->spatial == 3)
        return nn_keras_cannot(k, n, "TensorFlow.js has ConvLSTM2D alone", NULL, err);
    for (int i = 0; i < w->spatial; i++)
        if (!w->same && (w->pad_before[i] || w->pad_after[i]))
            return nn_keras_cannot(k, n, "its padding is numbers, and Keras has same or valid",
                                   "padding=same, or a ZeroPadding on every step before it", err);
    return NN_OK;
}

nn_status nn_ko_conv_lstm(nn_keras *k, const nn_node *n, nn_err *err) {
    static const char *const classes[] = {"ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"};
    nn_window w = n->attr.conv_lstm.window;
    int from = nn_ko_from(k, n);
    bool column = is_column(k, n);
    nn_status s = check_conv_lstm(k, n, err);
    if (s) return s;
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    if (column) {
        nn_shape plane = {
            4, {in->dim[0], in->dim[1], 1, in->dim[2]}
        };
        from = nn_ko_reshape(k, n, &plane, from);
        w = plane_of(&w);
    }
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "filters", n->attr.conv_lstm.filters);
    put_window(c, &w);
    s = put_cell(k, n, c, true, w.spatial + 1, err);
    if (s) {
        nn_json_unref(c);
        return s;
    }
    s = add_cell(k, n, classes[w.spatial - 1], c, from, err);
    if (!s && column) nn_ko_reshape(k, n, &k->g->nodes[k->last[n->id]].shape, nn_ko_last(k));
    return s;
}

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
    nn_ka_weight(c, weight(k, p[0], 0), "kernel", NN_INIT_GLOROT_UNIFORM, 1);
    if (p[0]->attr.matmul.bias) nn_ka_weight(c, weight(k, p[0], 1), "bias", NN_INIT_ZEROS, 1);
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
        nn_keras_weigh(l, p[i]->weights[0], names[i][0], heads_kernel(weight(k, p[i], 0), heads));
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
    nn_shape scale = additive ? weight(k, n, 0)->shape : (nn_shape){.rank = 0};
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
        nn_keras_weigh(l, n->weights[0], "scale", weight(k, n, 0)->shape);
}

/* ---- attention out of layers of TensorFlow.js ---- */

/* Columns first to first + count of x, times `factor`. */
static int columns(nn_keras *k, const nn_node *n, int64_t width, int64_t first, int64_t count,
                   float factor, int x) {
    if (width == count && factor == 1) return x;
    float *m = floats(k, width * count);
    for (int64_t i = 0; i < count; i++) m[(first + i) * count + i] = factor;
    return nn_ko_product(k, n, m, width, count, x);
}

static int dot(nn_keras *k, const nn_node *n, int a, int b, int axis_a, int axis_b) {
    int64_t axes[2] = {axis_a, axis_b};
    nn_json *c = nn_ka_new();
    nn_ka_tuple(c, "axes", axes, 2);
    nn_keras_input(k, nn_keras_add(k, n, "Dot", c, a), b);
    return nn_ko_last(k);
}

/* A large negative number wherever the key comes after the query. */
static int causal(nn_keras *k, const nn_node *n, int64_t t, int64_t s, int x) {
    float *later = floats(k, t * s);
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

static int one_head(nn_keras *k, const nn_node *n, int64_t head, double scale) {
    const nn_shape *s[3];
    int x[3];
    for (int i = 0; i < 3; i++) {
        s[i] = &k->g->nodes[n->inputs[i]].shape;
        int64_t width = s[i]->dim[1], size = width / n->attr.attention.heads;
        x[i] = columns(k, n, width, head * size, size, i == 0 ? (float)scale : 1,
                       k->value[n->inputs[i]]);
    }
    int scores = dot(k, n, x[0], x[1], 2, 2);
    if (n->attr.attention.causal) scores = causal(k, n, s[0]->dim[0], s[1]->dim[0], scores);
    return dot(k, n, nn_ko_function(k, n, "softmax", scores), x[2], 2, 1);
}

static nn_status attention_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *q = &k->g->nodes[n->inputs[0]].shape, *v = &k->g->nodes[n->inputs[1]].shape;
    const char *why = n->attr.attention.additive ? "additive scores are no layer of TensorFlow.js"
                      : n->n_inputs > 3 ? "attention over padding is no layer of TensorFlow.js"
                      : k->depth[n->id] ? "attention inside of TimeDistributed"
                                        : NULL;
    if (why) return nn_keras_cannot(k, n, why, NULL, err);
    if (n->attr.attention.causal && (q->dim[0] < 0 || v->dim[0] < 0))
        return nn_keras_cannot(k, n, "causal attention over an unknown number of steps", NULL, err);
    double scale = n->attr.attention.scale;
    if (n->attr.attention.use_scale) scale *= (double)k->opt->weights[weight(k, n, 0)->offset];
    int first = one_head(k, n, 0, scale);
    if (n->attr.attention.heads == 1) return NN_OK;
    int *heads = nn_arena_array(k->arena, (size_t)n->attr.attention.heads, sizeof *heads);
    if (!heads) abort();
    for (int64_t i = 1; i < n->attr.attention.heads; i++) heads[i] = one_head(k, n, i, scale);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "axis", -1);
    nn_keras_layer *l = nn_keras_add(k, n, "Concatenate", c, first);
    for (int64_t i = 1; i < n->attr.attention.heads; i++) nn_keras_input(k, l, heads[i]);
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
    float *m = floats(k, steps * d);
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
    const float *rows = n->attr.position.learnable ? k->opt->weights + weight(k, n, 0)->offset
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
    nn_ka_weight(c, weight(k, n, 0), "embeddings", NN_INIT_RANDOM_UNIFORM, 1);
    nn_keras_layer *l = nn_keras_add_helper(k, n, "LearnedPositions", c, nn_ko_from(k, n));
    nn_keras_weigh(l, n->weights[0], "embeddings", weight(k, n, 0)->shape);
    return NN_OK;
}
