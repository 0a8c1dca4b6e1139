/* SPDX-License-Identifier: MIT */
/* advice.c - what is legal and probably not meant (language.md 13.2): loss and output that do not
 * go together, a bias that normalisation takes out, layers after the output. One pass over the
 * graph. */
#include "compile/check.h"

#include <inttypes.h>
#include <string.h>

static bool is_softmax(const nn_node *n) {
    return n->op == NN_OP_SOFTMAX;
}

static bool is_sigmoid(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_SIGMOID;
}

/* A loss over classes wants one row of scores a sample. The network is legal (language.md 13.2) and
 * may be generated; the engine refuses to train it. */
static void check_class_rank(nn_check *c, const nn_node *out) {
    char s[160];
    nn_diag *d = NN_WARN(c, "loss-mismatch", out->span,
                         "%s needs one row of class scores a sample, but %s gives %s",
                         nn_loss_name(c->graph->train.loss), out->layer,
                         nn_shape_print(&out->shape, false, s, sizeof s));
    nn_diag_hint(c->diags, d,
                 "insert Flatten() or GlobalAveragePooling2D() before it, or use --auto-flatten");
    nn_span before = out->span;
    before.end = before.begin;
    before.end_line = before.line;
    before.end_col = before.col;
    if (strcmp(out->layer, "Dense") == 0 || strcmp(out->layer, "Output") == 0)
        nn_diag_fix(c->diags, d, before, "Flatten() ", "insert Flatten() before this layer");
}

static void check_classes(nn_check *c, const nn_node *out) {
    const nn_train_spec *t = &c->graph->train;
    const char *loss = nn_loss_name(t->loss);
    nn_diag *d = NULL;
    if (out->shape.rank != 1) {
        check_class_rank(c, out);
    } else if (out->shape.dim[0] == 1) {
        d = NN_WARN(c, "loss-mismatch", out->span,
                    "%s over a single output: there is one class only", loss);
        nn_diag_hint(c->diags, d,
                     "one unit with sigmoid and binary_crossentropy, or a unit for "
                     "every class");
    } else if (!is_softmax(out) && !t->from_logits) {
        d = NN_WARN(c, "loss-mismatch", out->span, "%s without softmax at the output", loss);
        nn_diag_hint(c->diags, d,
                     "add activation=\"softmax\" to the last layer, or from_logits=true "
                     "to the loss");
    } else if (is_softmax(out) && t->from_logits) {
        d = NN_WARN(c, "loss-mismatch", out->span, "from_logits=true with softmax at the output");
        nn_diag_hint(c->diags, d, "leave out one of the two");
    }
}

static void check_binary(nn_check *c, const nn_node *out) {
    bool logits = c->graph->train.from_logits;
    nn_diag *d = NULL;
    if (is_softmax(out)) {
        d = NN_WARN(c, "loss-mismatch", out->span,
                    "binary_crossentropy with softmax at the output");
        nn_diag_hint(c->diags, d, "use sigmoid, or sparse_categorical_crossentropy");
    } else if (!is_sigmoid(out) && !logits) {
        d = NN_WARN(c, "loss-mismatch", out->span,
                    "binary_crossentropy without sigmoid at the output");
        nn_diag_hint(c->diags, d,
                     "add activation=\"sigmoid\" to the last layer, or from_logits=true "
                     "to the loss");
    } else if (is_sigmoid(out) && logits) {
        d = NN_WARN(c, "loss-mismatch", out->span, "from_logits=true with sigmoid at the output");
        nn_diag_hint(c->diags, d, "leave out one of the two");
    }
}

static void check_loss(nn_check *c, const nn_node *out) {
    const nn_train_spec *t = &c->graph->train;
    if (!t->has_loss) return;
    if (nn_loss_targets(t->loss) == NN_TARGET_CLASS)
        check_classes(c, out);
    else if (t->loss == NN_LOSS_BINARY)
        check_binary(c, out);
}

static void check_single_softmax(nn_check *c, const nn_node *n) {
    if (!is_softmax(n) || n->shape.dim[n->shape.rank - 1] != 1) return;
    nn_diag *d = NN_WARN(c, "advice", n->span, "softmax over one unit is always 1");
    nn_diag_hint(c->diags, d, "use sigmoid");
}

/* The mean that BatchNormalization subtracts holds the bias. Copies of a repeated layer lie at the
 * same place or before it: *last is the last place reported. */
static void check_lost_bias(nn_check *c, const nn_node *n, size_t *last) {
    if (n->op != NN_OP_BATCH_NORM || !n->attr.batch_norm.center) return;
    const nn_node *before = &c->graph->nodes[n->inputs[0]];
    bool bias = (before->op == NN_OP_CONV && before->attr.conv.bias) ||
                (before->op == NN_OP_MATMUL && before->attr.matmul.bias);
    if (!bias || before->span.end <= *last) return;
    *last = before->span.end;
    nn_diag *d =
        nn_diag_add(c->diags, NN_SEV_NOTE, "advice", before->span,
                    "the bias of %s has no effect before BatchNormalization", before->layer);
    nn_diag_hint(c->diags, d, "use_bias=false");
}

/* The layer that comes after the last Output, if any. */
static void check_after_output(nn_check *c) {
    if (!c->output_span.line || !c->last || c->last->role == NN_ROLE_OUTPUT) return;
    nn_diag *d =
        NN_WARN(c, "advice", c->output_span,
                "Output is not the last layer: the network's result is that of %s", c->last->name);
    nn_diag_hint(c->diags, d, "move Output to the end, or use Dense here");
}

/* Most of a network's weights in one Dense right after Flatten. */
static void check_huge_dense(nn_check *c, const nn_node *n) {
    enum { MANY = 50 * 1000 * 1000 };
    if (n->op != NN_OP_MATMUL || nn_node_params(c->graph, n, false) < MANY) return;
    const nn_node *before = &c->graph->nodes[n->inputs[0]];
    if (before->op != NN_OP_RESHAPE || !before->attr.reshape.flatten) return;
    nn_diag *d =
        NN_WARN(c, "advice", n->span, "%" PRId64 " million weights in one layer after Flatten",
                nn_node_params(c->graph, n, false) / 1000000);
    nn_diag_hint(c->diags, d, "GlobalAveragePooling2D in place of Flatten needs far fewer");
}

void nn_check_findings(nn_check *c) {
    const nn_graph *g = c->graph;
    size_t last_bias = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        check_single_softmax(c, &g->nodes[i]);
        check_lost_bias(c, &g->nodes[i], &last_bias);
        check_huge_dense(c, &g->nodes[i]);
    }
    check_after_output(c);
    check_loss(c, &g->nodes[g->outputs[0]]);
}
