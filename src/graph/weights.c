/* SPDX-License-Identifier: MIT */
/* weights.c - which weights an op has, in which order and of which shape (see nn_attr). */
#include "graph/infer.h"

#include <string.h>

/* Suffix of weight k, its shape through ret; NULL: there is none. `in` is the first input's. */
typedef const char *rule_fn(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret);

static nn_shape vector(int64_t n) {
    return (nn_shape){1, {n}};
}

static nn_shape matrix(int64_t rows, int64_t columns) {
    return (nn_shape){
        2, {rows, columns}
    };
}

/* (size..., from, to) */
static nn_shape kernel_shape(const nn_window *w, int64_t from, int64_t to) {
    nn_shape s = {.rank = w->spatial + 2};
    memcpy(s.dim, w->size, (size_t)w->spatial * sizeof w->size[0]);
    s.dim[w->spatial] = from;
    s.dim[w->spatial + 1] = to;
    return s;
}

/* A kernel, then the bias of the same outputs if there is one. */
static const char *kernel_and_bias(int k, nn_shape kernel, bool bias, int64_t outputs,
                                   nn_shape *ret) {
    *ret = k == 0 ? kernel : vector(outputs);
    return k == 0 ? "kernel" : k == 1 && bias ? "bias" : NULL;
}

static const char *matmul_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    int64_t units = a->matmul.units;
    return kernel_and_bias(k, matrix(nn_last(in), units), a->matmul.bias, units, ret);
}

static const char *conv_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    nn_shape s = kernel_shape(&a->conv.window, nn_last(in) / a->conv.groups, a->conv.filters);
    return kernel_and_bias(k, s, a->conv.bias, a->conv.filters, ret);
}

static const char *transpose_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    int64_t filters = a->conv_transpose.filters, groups = a->conv_transpose.groups;
    nn_shape s = kernel_shape(&a->conv_transpose.window, filters / groups, nn_last(in));
    return kernel_and_bias(k, s, a->conv_transpose.bias, filters, ret);
}

/* gamma and beta, where they are wanted, then those of `more`. */
static const char *norm(bool scale, bool center, const char *const more[2], int k) {
    const char *all[5] = {0};
    int n = 0;
    if (scale) all[n++] = "gamma";
    if (center) all[n++] = "beta";
    for (int i = 0; i < 2; i++)
        if (more[i]) all[n++] = more[i];
    return k < n ? all[k] : NULL;
}

static const char *const nothing[2] = {NULL, NULL};

static const char *batch_norm_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    static const char *const moving[2] = {"moving_mean", "moving_variance"};
    *ret = vector(nn_last(in));
    return norm(a->batch_norm.scale, a->batch_norm.center, moving, k);
}

static const char *layer_norm_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    *ret = vector(nn_last(in));
    return norm(a->layer_norm.scale, a->layer_norm.center, nothing, k);
}

static const char *group_norm_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    *ret = vector(nn_last(in));
    return norm(a->group_norm.scale, a->group_norm.center, nothing, k);
}

static const char *prelu_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    *ret = *in;
    for (int i = 0; i < in->rank; i++)
        if (a->prelu.shared & 1U << i) ret->dim[i] = 1;
    return k == 0 ? "alpha" : NULL;
}

static const char *embedding_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    (void)in;
    *ret = matrix(a->embedding.input_dim, a->embedding.output_dim);
    return k == 0 ? "embeddings" : NULL;
}

static const char *position_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    *ret = matrix(a->position.max_len, nn_last(in));
    return k == 0 && a->position.learnable ? "embeddings" : NULL;
}

/* A recurrent cell's: kernel, recurrent_kernel, bias. */
static const char *cell(int k, nn_shape kernel, nn_shape recurrent, bool has_bias, nn_shape bias,
                        nn_shape *ret) {
    static const char *const names[] = {"kernel", "recurrent_kernel", "bias"};
    *ret = k == 0 ? kernel : k == 1 ? recurrent : bias;
    return k < 2 + has_bias ? names[k] : NULL;
}

static const char *rnn_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    int64_t units = a->rnn.units, all = gates[a->rnn.kind] * units;
    bool twice = a->rnn.kind == NN_RNN_GRU && a->rnn.reset_after;
    return cell(k, matrix(nn_last(in), all), matrix(units, all), a->rnn.bias,
                twice ? matrix(2, all) : vector(all), ret);
}

static const char *conv_lstm_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    const nn_window *w = &a->conv_lstm.window;
    int64_t filters = a->conv_lstm.filters;
    return cell(k, kernel_shape(w, nn_last(in), 4 * filters), kernel_shape(w, filters, 4 * filters),
                a->conv_lstm.bias, vector(4 * filters), ret);
}

static const char *attention_rule(const nn_shape *in, const nn_attr *a, int k, nn_shape *ret) {
    *ret = vector(a->attention.additive ? nn_last(in) : 1);
    return k == 0 && a->attention.use_scale ? "scale" : NULL;
}

const char *nn_node_weight_rule(const nn_graph *g, const nn_node *n, int k, nn_shape *ret_shape) {
    static rule_fn *const rules[NN_OP_COUNT] = {
        [NN_OP_MATMUL] = matmul_rule,
        [NN_OP_CONV] = conv_rule,
        [NN_OP_CONV_TRANSPOSE] = transpose_rule,
        [NN_OP_BATCH_NORM] = batch_norm_rule,
        [NN_OP_LAYER_NORM] = layer_norm_rule,
        [NN_OP_GROUP_NORM] = group_norm_rule,
        [NN_OP_PRELU] = prelu_rule,
        [NN_OP_EMBEDDING] = embedding_rule,
        [NN_OP_POSITION] = position_rule,
        [NN_OP_RNN] = rnn_rule,
        [NN_OP_CONV_LSTM] = conv_lstm_rule,
        [NN_OP_ATTENTION] = attention_rule,
    }; /* the other ops have no weights */
    if (k < 0 || k >= NN_MAX_WEIGHTS || !rules[n->op]) return NULL;
    return rules[n->op](&g->nodes[n->inputs[0]].shape, &n->attr, k, ret_shape);
}
