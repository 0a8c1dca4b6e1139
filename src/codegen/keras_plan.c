/* SPDX-License-Identifier: MIT */
/* keras_plan.c - which nodes together are one Keras layer: a kernel and its activation, both steps
 * of a separable convolution, two directions, the parts of an attention. A pattern begins with its
 * main node; k->last says where it ends, and the others are k->absorbed. */
#include "codegen/keras.h"

#include <math.h>
#include <string.h>

/* The names that Keras 2.15, Keras 3 and TensorFlow.js give to the same function. Its hard_sigmoid
 * changed between versions; relu6, celu and others are missing in some. */
static const char *const functions[NN_ACT_COUNT] = {
    [NN_ACT_LINEAR] = "linear",     [NN_ACT_RELU] = "relu",
    [NN_ACT_ELU] = "elu",           [NN_ACT_SELU] = "selu",
    [NN_ACT_GELU] = "gelu",         [NN_ACT_SILU] = "swish",
    [NN_ACT_MISH] = "mish",         [NN_ACT_SIGMOID] = "sigmoid",
    [NN_ACT_TANH] = "tanh",         [NN_ACT_SOFTPLUS] = "softplus",
    [NN_ACT_SOFTSIGN] = "softsign", [NN_ACT_EXPONENTIAL] = "exponential",
};

const char *nn_keras_activation(const nn_node *n) {
    if (n->op == NN_OP_SOFTMAX) return n->attr.softmax.log ? NULL : "softmax";
    if (n->op != NN_OP_ACTIVATION) return NULL;
    nn_act a = n->attr.activation.kind;
    if (a == NN_ACT_ELU && n->attr.activation.alpha != 1) return NULL;
    return functions[a];
}

/* The only reader of node `id`, of the same layer of the network; NULL: there is no such. */
static const nn_node *only_reader(const nn_keras *k, int id) {
    if (k->users[id] != 1 || k->user[id] < 0) return NULL;
    const nn_node *n = &k->g->nodes[id], *u = &k->g->nodes[k->user[id]];
    bool same = u->layer_index == n->layer_index && k->depth[id] == k->depth[u->id];
    return same && !k->absorbed[u->id] ? u : NULL;
}

static void extend(nn_keras *k, const nn_node *main, const nn_node *end) {
    k->last[main->id] = end->id;
    k->absorbed[end->id] = true;
}

/* ---- MultiHeadAttention ---- */

static bool projects(const nn_keras *k, const nn_node *att, int i) {
    const nn_node *p = &k->g->nodes[att->inputs[i]], *q = &k->g->nodes[att->inputs[0]];
    return p->op == NN_OP_MATMUL && only_reader(k, p->id) == att &&
           p->attr.matmul.bias == q->attr.matmul.bias;
}

static void plan_heads(nn_keras *k, const nn_node *att) {
    if (k->target == NN_KERAS_JS || att->n_inputs != 3 || att->attr.attention.additive ||
        att->attr.attention.use_scale)
        return;
    const nn_node *out = only_reader(k, att->id);
    for (int i = 0; i < 3; i++)
        if (!projects(k, att, i)) return;
    const nn_node *q = &k->g->nodes[att->inputs[0]];
    double size = (double)q->attr.matmul.units / (double)att->attr.attention.heads;
    if (!out || out->op != NN_OP_MATMUL || out->attr.matmul.bias != q->attr.matmul.bias ||
        fabs(att->attr.attention.scale * sqrt(size) - 1) > 1e-9)
        return;
    for (int i = 0; i < 3; i++) k->absorbed[att->inputs[i]] = true;
    extend(k, att, out);
}

/* ---- two directions, turned sequences ---- */

static bool recurs(const nn_node *n) {
    return n->op == NN_OP_RNN || n->op == NN_OP_CONV_LSTM;
}

static bool backwards(const nn_node *n) {
    return n->op == NN_OP_RNN ? n->attr.rnn.reverse : n->attr.conv_lstm.reverse;
}

static bool joins(const nn_node *n) {
    if (n->n_inputs != 2 || n->inputs[0] == n->inputs[1]) return false;
    if (n->op == NN_OP_CONCAT) return n->attr.concat.axis == n->shape.rank - 1;
    return n->op == NN_OP_MERGE &&
           (n->attr.merge.kind == NN_MERGE_ADD || n->attr.merge.kind == NN_MERGE_MULTIPLY ||
            n->attr.merge.kind == NN_MERGE_AVERAGE);
}

static void plan_directions(nn_keras *k, const nn_node *end) {
    if (!joins(end)) return;
    const nn_node *a = &k->g->nodes[end->inputs[0]], *b = &k->g->nodes[end->inputs[1]];
    if (!recurs(a) || a->op != b->op || only_reader(k, a->id) != end ||
        only_reader(k, b->id) != end || backwards(a) || !backwards(b) || nn_keras_unrolls(k, a) ||
        nn_keras_unrolls(k, b) || a->inputs[0] != b->inputs[0])
        return;
    k->absorbed[b->id] = true;
    extend(k, a, end);
}

static void plan_turn(nn_keras *k, const nn_node *n) {
    const nn_node *u = recurs(n) && backwards(n) ? only_reader(k, n->id) : NULL;
    if (u && u->op == NN_OP_REVERSE && u->attr.reverse.axis == 0) extend(k, n, u);
}

/* RepeatVector(n): a first axis of size 1, n times. */
static void plan_repeat(nn_keras *k, const nn_node *n) {
    bool repeats = n->op == NN_OP_RESHAPE && strcmp(n->layer, "RepeatVector") == 0;
    const nn_node *u = repeats ? only_reader(k, n->id) : NULL;
    if (u && u->op == NN_OP_UPSAMPLE) extend(k, n, u);
}

/* ---- separable convolutions, activations ---- */

static bool is_pointwise(const nn_node *n) {
    if (n->op != NN_OP_CONV || n->attr.conv.groups != 1) return false;
    const nn_window *w = &n->attr.conv.window;
    for (int i = 0; i < w->spatial; i++)
        if (w->size[i] != 1 || w->stride[i] != 1) return false;
    return true;
}

static void plan_separable(nn_keras *k, const nn_node *n) {
    if (n->op != NN_OP_CONV || n->attr.conv.bias || strncmp(n->layer, "SeparableConv", 13) != 0 ||
        n->attr.conv.groups != k->g->nodes[n->inputs[0]].shape.dim[n->attr.conv.window.spatial])
        return;
    if (k->target == NN_KERAS_JS && n->attr.conv.window.spatial != 2) return;
    const nn_node *u = only_reader(k, n->id);
    if (u && is_pointwise(u)) extend(k, n, u);
}

static void plan_activation(nn_keras *k, const nn_node *n) {
    if (n->op != NN_OP_MATMUL && n->op != NN_OP_CONV && n->op != NN_OP_CONV_TRANSPOSE) return;
    const nn_node *u = only_reader(k, k->last[n->id]);
    if (!u || !nn_keras_activation(u)) return;
    if (k->target == NN_KERAS_JS && u->op == NN_OP_ACTIVATION &&
        u->attr.activation.kind == NN_ACT_EXPONENTIAL)
        return;
    extend(k, n, u);
}

void nn_keras_plan(nn_keras *k) {
    for (int i = 0; i < k->g->n_nodes; i++) {
        const nn_node *n = &k->g->nodes[i];
        if (n->op == NN_OP_ATTENTION) plan_heads(k, n);
        plan_directions(k, n);
    }
    for (int i = 0; i < k->g->n_nodes; i++) {
        const nn_node *n = &k->g->nodes[i];
        if (k->absorbed[i]) continue;
        if (k->last[i] == i) plan_turn(k, n);
        plan_repeat(k, n);
        plan_separable(k, n);
        plan_activation(k, n);
    }
}
