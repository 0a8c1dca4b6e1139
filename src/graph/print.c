/* SPDX-License-Identifier: MIT */
/* print.c - a graph as text, one line a node, stable enough for golden tests:
 *     %1 = conv(%0) conv2d_1 size=3x3 filters=32 bias : (batch, 26, 26, 32) [kernel (3, 3, 1, 32),
 * bias (32,)] Attributes at their usual value are left out: attr.c has their order. */
#include "graph/attr.h"

#include <inttypes.h>
#include <string.h>

static void print_activation(nn_buf *out, const nn_node *n) {
    nn_act a = n->attr.activation.kind;
    nn_buf_printf(out, " %s", nn_act_name(a));
    if (nn_act_default_alpha(a) != 0) nn_buf_printf(out, " alpha=%.9g", n->attr.activation.alpha);
}

static void print_attributes(nn_buf *out, const nn_node *n) {
    if (n->op == NN_OP_ACTIVATION)
        print_activation(out, n);
    else
        nn_attr_print(out, n);
}

/* Rows a sample, between a fold and its unfold. */
static void print_fold(nn_buf *out, int64_t fold) {
    if (fold < 0)
        nn_buf_puts(out, " rows=?");
    else
        nn_buf_printf(out, " rows=%" PRId64, fold);
}

static void print_weights(nn_buf *out, const nn_graph *g, const nn_node *n) {
    char s[160];
    for (int i = 0; i < n->n_weights; i++) {
        const nn_weight *w = &g->weights[n->weights[i]];
        nn_buf_printf(out, "%s%s %s", i ? ", " : " [", strrchr(w->name, '.') + 1,
                      nn_shape_print(&w->shape, false, s, sizeof s));
        if (!w->trainable) nn_buf_puts(out, " fixed");
    }
    if (n->n_weights) nn_buf_putc(out, ']');
}

void nn_graph_print(const nn_graph *g, nn_buf *out) {
    char s[160];
    nn_buf_printf(out, "graph %s\n", g->name);
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        nn_buf_printf(out, "%%%d = %s(", i, nn_op_name(n->op));
        for (int k = 0; k < n->n_inputs; k++)
            nn_buf_printf(out, "%s%%%d", k ? ", " : "", n->inputs[k]);
        nn_buf_printf(out, ") %s", n->name);
        print_attributes(out, n);
        if (n->folded >= 0) print_fold(out, n->fold);
        nn_buf_printf(out, " : %s", nn_shape_print(&n->shape, true, s, sizeof s));
        print_weights(out, g, n);
        nn_buf_putc(out, '\n');
    }
    for (int i = 0; i < g->n_outputs; i++) nn_buf_printf(out, "output %%%d\n", g->outputs[i]);
}
