/* SPDX-License-Identifier: MIT */
/* cost.c - what a node costs for one sample (language.md 13.2: parameters and
 * multiply-accumulates). memory.c says what a whole graph needs. */
#include "graph/graph.h"

/* a * b, or -1 when either is unknown or the product passes 2^62. */
static int64_t times(int64_t a, int64_t b) {
    int64_t c;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &c) || c > INT64_C(1) << 62) return -1;
    return c;
}

static int64_t plus(int64_t a, int64_t b) { /* both at most 2^62 */
    return a < 0 || b < 0 || a + b > INT64_C(1) << 62 ? -1 : a + b;
}

static int64_t last(const nn_shape *s) {
    return s->dim[s->rank - 1];
}

static int64_t taps(const nn_window *w) {
    int64_t n = 1;
    for (int i = 0; i < w->spatial; i++) n = times(n, w->size[i]);
    return n;
}

/* Multiply-accumulates of a node whose inputs have the shapes `in` points at. */
typedef int64_t count_fn(const nn_node *n, const nn_shape *const *in);

static int64_t count_matmul(const nn_node *n, const nn_shape *const *in) {
    return times(last(in[0]), nn_shape_elements(&n->shape));
}

static int64_t count_conv(const nn_node *n, const nn_shape *const *in) {
    int64_t each = times(last(in[0]) / n->attr.conv.groups, taps(&n->attr.conv.window));
    return times(each, nn_shape_elements(&n->shape));
}

/* Each input element meets a kernel of its group's filters. */
static int64_t count_transposed(const nn_node *n, const nn_shape *const *in) {
    int64_t filters = n->attr.conv_transpose.filters / n->attr.conv_transpose.groups;
    return times(times(filters, taps(&n->attr.conv_transpose.window)), nn_shape_elements(in[0]));
}

/* One an element: batch normalisation once its statistics are folded, a learned slope. */
static int64_t count_once(const nn_node *n, const nn_shape *const *in) {
    (void)in;
    return nn_shape_elements(&n->shape);
}

/* The mean, the variance, the division, gamma and beta. */
static int64_t count_norm(const nn_node *n, const nn_shape *const *in) {
    (void)in;
    return times(4, nn_shape_elements(&n->shape));
}

static int64_t count_rnn(const nn_node *n, const nn_shape *const *in) {
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    int64_t units = n->attr.rnn.units, from = plus(last(in[0]), units);
    return times(in[0]->dim[0], times(times(gates[n->attr.rnn.kind], units), from));
}

static int64_t count_conv_lstm(const nn_node *n, const nn_shape *const *in) {
    int64_t filters = n->attr.conv_lstm.filters, steps = in[0]->dim[0], places = 1;
    int first = n->attr.conv_lstm.sequences;
    for (int i = first; i < n->shape.rank - 1; i++) places = times(places, n->shape.dim[i]);
    int64_t each = times(times(4, filters), plus(last(in[0]), filters));
    return times(times(steps, places), times(each, taps(&n->attr.conv_lstm.window)));
}

/* Scores, and their product with the values. */
static int64_t count_attention(const nn_node *n, const nn_shape *const *in) {
    (void)n;
    int64_t pairs = times(in[0]->dim[0], in[1]->dim[0]);
    return times(pairs, plus(last(in[0]), last(in[2])));
}

static int64_t count_dot(const nn_node *n, const nn_shape *const *in) {
    int64_t a = in[0]->dim[n->attr.dot.axes[0]], b = in[1]->dim[n->attr.dot.axes[1]];
    return times(a < 0 ? b : a, nn_shape_elements(&n->shape));
}

static count_fn *const counts[NN_OP_COUNT] = {
    [NN_OP_MATMUL] = count_matmul,
    [NN_OP_CONV] = count_conv,
    [NN_OP_CONV_TRANSPOSE] = count_transposed,
    [NN_OP_BATCH_NORM] = count_once,
    [NN_OP_LAYER_NORM] = count_norm,
    [NN_OP_GROUP_NORM] = count_norm,
    [NN_OP_PRELU] = count_once,
    [NN_OP_RNN] = count_rnn,
    [NN_OP_CONV_LSTM] = count_conv_lstm,
    [NN_OP_ATTENTION] = count_attention,
    [NN_OP_DOT] = count_dot,
}; /* the others multiply nothing */

int64_t nn_node_flops(const nn_graph *g, const nn_node *n) {
    enum { MOST = 3 };
    const nn_shape *in[MOST] = {0};
    if (!counts[n->op]) return 0;
    for (int i = 0; i < n->n_inputs && i < MOST; i++) in[i] = &g->nodes[n->inputs[i]].shape;
    return times(times(2, n->fold), counts[n->op](n, in));
}

int64_t nn_node_params(const nn_graph *g, const nn_node *n, bool trainable_only) {
    int64_t sum = 0;
    for (int i = 0; i < n->n_weights; i++) {
        const nn_weight *w = &g->weights[n->weights[i]];
        if (w->trainable || !trainable_only) sum += w->elements;
    }
    return sum;
}
