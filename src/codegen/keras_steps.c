/* SPDX-License-Identifier: MIT */
/* keras_steps.c - ops over steps: recurrent layers in one direction or two. */
#include "codegen/keras_ops.h"

#include <string.h>

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
    if (js && a == NN_ACT_EXPONENTIAL)
        return nn_keras_cannot(k, n, "TensorFlow.js has no exponential function",
                               "tanh, sigmoid and relu are", err);
    if (code)
        nn_ka_code(c, key, f);
    else
        nn_ka_str(c, key, f);
    return NN_OK;
}

nn_ko_cell nn_ko_cell_of(const nn_node *n) {
    if (n->op == NN_OP_RNN)
        return (nn_ko_cell){n->attr.rnn.activation, n->attr.rnn.recurrent_activation,
                            n->attr.rnn.bias,       n->attr.rnn.sequences,
                            n->attr.rnn.reverse,    n->attr.rnn.kind != NN_RNN_SIMPLE,
                            n->attr.rnn.dropout,    n->attr.rnn.recurrent_dropout};
    return (nn_ko_cell){n->attr.conv_lstm.activation, n->attr.conv_lstm.recurrent_activation,
                        n->attr.conv_lstm.bias,       n->attr.conv_lstm.sequences,
                        n->attr.conv_lstm.reverse,    true,
                        n->attr.conv_lstm.dropout,    n->attr.conv_lstm.recurrent_dropout};
}

static void put_cell_weights(nn_keras *k, const nn_node *n, nn_json *c, bool forgets, int axes) {
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "kernel", NN_INIT_GLOROT_UNIFORM, axes);
    nn_ka_weight(c, nn_ko_weight(k, n, 1), "recurrent", NN_INIT_ORTHOGONAL, axes);
    if (n->n_weights < 3) {
        nn_ka_bool(c, "use_bias", false);
        return;
    }
    bool ones = nn_ko_weight(k, n, 2)->init.kind == NN_INIT_UNIT_FORGET;
    nn_ka_weight(c, nn_ko_weight(k, n, 2), "bias", ones ? NN_INIT_UNIT_FORGET : NN_INIT_ZEROS, 1);
    if (forgets && !ones) nn_ka_bool(c, "unit_forget_bias", false);
}

/* What all recurrent layers say. forgets: the bias of the forget gate begins at 1. */
static nn_status put_cell(nn_keras *k, const nn_node *n, nn_json *c, bool forgets, int axes,
                          nn_err *err) {
    nn_ko_cell v = nn_ko_cell_of(n);
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
    nn_shape s = nn_ko_weight(k, n, i)->shape;
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

/* Keras leaves the steps as it went through them. */
static nn_status turned(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS) return nn_ko_turn(k, n, 0, &n->shape, nn_ko_last(k), err);
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
    nn_ko_cell v = nn_ko_cell_of(n);
    if (v.reverse) nn_ka_bool(c, "go_backwards", true);
    nn_ka_trainable(c, k, n);
    weigh_cell(k, nn_keras_add(k, n, class_name, c, from), n, false);
    return v.reverse && v.sequences && end->id == n->id ? turned(k, n, err) : NN_OK;
}

nn_status nn_ko_rnn(nn_keras *k, const nn_node *n, nn_err *err) {
    static const char *const classes[] = {"SimpleRNN", "LSTM", "GRU"};
    bool gru = n->attr.rnn.kind == NN_RNN_GRU;
    if (nn_keras_unrolls(k, n)) return nn_ko_unroll(k, n, err);
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

static nn_status check_conv_lstm(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv_lstm.window;
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
    if (nn_keras_unrolls(k, n)) return nn_ko_unroll(k, n, err);
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
    nn_ko_put_window(c, &w, w.same ? "same" : "valid");
    s = put_cell(k, n, c, true, w.spatial + 1, err);
    if (s) {
        nn_json_unref(c);
        return s;
    }
    s = add_cell(k, n, classes[w.spatial - 1], c, from, err);
    if (!s && column) nn_ko_reshape(k, n, &k->g->nodes[k->last[n->id]].shape, nn_ko_last(k));
    return s;
}
