/* SPDX-License-Identifier: MIT */
/* print.c - a graph as text, one line a node, stable enough for golden tests:
 *     %1 = conv(%0) conv2d_1 size=3x3 filters=32 bias : (batch, 26, 26, 32) [kernel (3, 3, 1, 32),
 * bias (32,)] Attributes at their usual value are left out. */
#include "graph/graph.h"

#include <inttypes.h>
#include <string.h>

static void print_axes(nn_buf *out, const char *key, const int64_t *v, int n, int64_t usual) {
    bool plain = true;
    for (int i = 0; i < n; i++) plain = plain && v[i] == usual;
    if (plain) return;
    nn_buf_printf(out, " %s=", key);
    for (int i = 0; i < n; i++) nn_buf_printf(out, "%s%" PRId64, i ? "x" : "", v[i]);
}

static void print_window(nn_buf *out, const nn_window *w) {
    print_axes(out, "size", w->size, w->spatial, 0);
    print_axes(out, "stride", w->stride, w->spatial, 1);
    print_axes(out, "dilation", w->dilation, w->spatial, 1);
    if (w->same) nn_buf_puts(out, " same");
    print_axes(out, "pad_before", w->pad_before, w->spatial, 0);
    print_axes(out, "pad_after", w->pad_after, w->spatial, 0);
}

static void flag(nn_buf *out, bool on, const char *text) {
    if (on) nn_buf_printf(out, " %s", text);
}

static void print_input(nn_buf *out, const nn_node *n) {
    (void)out, (void)n;
}
static void print_matmul(nn_buf *out, const nn_node *n) {
    nn_buf_printf(out, " units=%" PRId64, n->attr.matmul.units);
    flag(out, n->attr.matmul.bias, "bias");
}
static void print_conv(nn_buf *out, const nn_node *n) {
    print_window(out, &n->attr.conv.window);
    nn_buf_printf(out, " filters=%" PRId64, n->attr.conv.filters);
    if (n->attr.conv.groups != 1) nn_buf_printf(out, " groups=%" PRId64, n->attr.conv.groups);
    flag(out, n->attr.conv.bias, "bias");
}
static void print_max_pool(nn_buf *out, const nn_node *n) {
    print_window(out, &n->attr.pool);
}
static void print_avg_pool(nn_buf *out, const nn_node *n) {
    print_window(out, &n->attr.pool);
}
static void print_global_avg_pool(nn_buf *out, const nn_node *n) {
    flag(out, n->attr.global_pool.keepdims, "keepdims");
}
static void print_batch_norm(nn_buf *out, const nn_node *n) {
    nn_buf_printf(out, " momentum=%.9g epsilon=%.9g", n->attr.batch_norm.momentum,
                  n->attr.batch_norm.epsilon);
}
static void print_activation(nn_buf *out, const nn_node *n) {
    nn_act a = n->attr.activation.kind;
    nn_buf_printf(out, " %s", nn_act_name(a));
    if (nn_act_default_alpha(a) != 0) nn_buf_printf(out, " alpha=%.9g", n->attr.activation.alpha);
}
static void print_softmax(nn_buf *out, const nn_node *n) {
    flag(out, n->attr.softmax.log, "log");
}
static void print_dropout(nn_buf *out, const nn_node *n) {
    nn_buf_printf(out, " rate=%.9g", n->attr.dropout.rate);
    if (n->attr.dropout.seeded) nn_buf_printf(out, " seed=%" PRIu64, n->attr.dropout.seed);
    char s[160];
    if (n->attr.dropout.noise_shape.rank)
        nn_buf_printf(out, " noise=%s",
                      nn_shape_print(&n->attr.dropout.noise_shape, false, s, sizeof s));
}
static void print_reshape(nn_buf *out, const nn_node *n) {
    flag(out, n->attr.reshape.flatten, "flatten");
}
static void print_transpose(nn_buf *out, const nn_node *n) {
    nn_buf_puts(out, " perm=");
    for (int i = 0; i < n->shape.rank; i++)
        nn_buf_printf(out, "%s%d", i ? "," : "", n->attr.transpose.perm[i]);
}

static void (*const printers[NN_OP_COUNT])(nn_buf *, const nn_node *) = {
#define NN_OP(N, n, i, w) [NN_OP_##N] = print_##n,
#include "graph/ops.def"
#undef NN_OP
};

static void print_weights(nn_buf *out, const nn_graph *g, const nn_node *n) {
    char s[160];
    for (int i = 0; i < n->n_weights; i++) {
        const nn_weight *w = &g->weights[n->weights[i]];
        nn_buf_printf(out, "%s%s %s", i ? ", " : " [", strrchr(w->name, '.') + 1,
                      nn_shape_print(&w->shape, false, s, sizeof s));
        flag(out, !w->trainable, "fixed");
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
        printers[n->op](out, n);
        nn_buf_printf(out, " : %s", nn_shape_print(&n->shape, true, s, sizeof s));
        print_weights(out, g, n);
        nn_buf_putc(out, '\n');
    }
    for (int i = 0; i < g->n_outputs; i++) nn_buf_printf(out, "output %%%d\n", g->outputs[i]);
}
