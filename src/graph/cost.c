/* SPDX-License-Identifier: MIT */
/* cost.c - what a node costs for one sample (language.md 13.2: parameters and
 * multiply-accumulates). */
#include "graph/graph.h"

/* a * b, or -1 when either is unknown or the product passes 2^62. */
static int64_t times(int64_t a, int64_t b) {
    int64_t c;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &c) || c > INT64_C(1) << 62) return -1;
    return c;
}

static int64_t conv_flops(const nn_node *n, const nn_shape *in) {
    const nn_window *w = &n->attr.conv.window;
    int64_t per_output = in->dim[in->rank - 1] / n->attr.conv.groups;
    for (int i = 0; i < w->spatial; i++) per_output = times(per_output, w->size[i]);
    return times(2, times(per_output, nn_shape_elements(&n->shape)));
}

int64_t nn_node_flops(const nn_graph *g, const nn_node *n) {
    if (n->n_inputs == 0) return 0;
    const nn_shape *in = &g->nodes[n->inputs[0]].shape;
    switch (n->op) {
    case NN_OP_MATMUL:
        return times(2, times(in->dim[in->rank - 1], nn_shape_elements(&n->shape)));
    case NN_OP_CONV:
        return conv_flops(n, in);
    case NN_OP_BATCH_NORM: /* one multiply and one add an element, once the statistics are folded */
        return times(2, nn_shape_elements(&n->shape));
    default:
        return 0;
    }
}

int64_t nn_node_params(const nn_graph *g, const nn_node *n, bool trainable_only) {
    int64_t sum = 0;
    for (int i = 0; i < n->n_weights; i++) {
        const nn_weight *w = &g->weights[n->weights[i]];
        if (w->trainable || !trainable_only) sum += w->elements;
    }
    return sum;
}
