/* SPDX-License-Identifier: MIT */
/* rules_use.c - rules about what is legal and probably not meant: loss and output, what has no
 * effect, what does not train well. */
#include "compile/rules.h"

#include <inttypes.h>

/* ---- loss and output ---- */

/* A loss over classes takes the last axis as scores, at each place of the axes before it: that is
 * meant for steps and pixels that have a label each, and is not where a Flatten was forgotten. */
static void class_places(nn_finder *f, const nn_node *out, int row, const char *loss) {
    char s[160];
    int64_t n = nn_shape_elements(&out->shape) / out->shape.dim[out->shape.rank - 1];
    if (n < 2) return;
    nn_finding *x =
        nn_finder_add(f, "class-per-place", row,
                      "%s takes a class at each of the %" PRId64 " places of %s, which gives %s",
                      loss, n, out->layer, nn_shape_print(&out->shape, false, s, sizeof s));
    nn_finding_suggest(x, "if a sample has one class: insert Flatten() or "
                          "GlobalAveragePooling2D() before it");
    nn_span before = out->span;
    before.end = before.begin;
    before.end_line = before.line;
    before.end_col = before.col;
    if (f->unit->layers[row].layer->rank1)
        nn_finding_fix(f, x, before, "Flatten() ", "insert Flatten() before this layer");
}

/* `end`: what gives the output its values, behind dropout and penalties. */
static void class_loss(nn_finder *f, const nn_node *out, const nn_node *end, int row) {
    const nn_train_spec *t = &f->unit->graph->train;
    const char *loss = nn_loss_name(t->loss);
    bool softmax = end->op == NN_OP_SOFTMAX;
    if (out->shape.rank < 1 || out->shape.dim[out->shape.rank - 1] == 1)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row,
                          "%s over a single output: there is one class only", loss),
            "one unit with sigmoid and binary_crossentropy, or a unit for every class");
    else if (softmax && end->attr.softmax.log && !t->from_logits)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row,
                          "%s takes the logarithm itself, but the output is log_softmax", loss),
            "softmax at the output, or from_logits=true in the loss");
    else if (!softmax && !t->from_logits)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row, "%s without softmax at the output", loss),
            "add activation=\"softmax\" to the last layer, or from_logits=true to the loss");
    else if (softmax && !end->attr.softmax.log && t->from_logits)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row, "from_logits=true with softmax at the output"),
            "leave out one of the two");
    else
        class_places(f, out, row, loss);
}

static void binary_loss(nn_finder *f, const nn_node *out, const nn_node *end, int row) {
    bool logits = f->unit->graph->train.from_logits, sigmoid = nn_node_is_act(end, NN_ACT_SIGMOID);
    int64_t n = nn_shape_elements(&out->shape);
    if (end->op == NN_OP_SOFTMAX)
        nn_finding_suggest(nn_finder_add(f, "loss-mismatch", row,
                                         "binary_crossentropy with softmax at the output"),
                           "use sigmoid, or sparse_categorical_crossentropy");
    else if (!sigmoid && !logits)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row,
                          "binary_crossentropy without sigmoid at the output"),
            "add activation=\"sigmoid\" to the last layer, or from_logits=true to the loss");
    else if (sigmoid && logits)
        nn_finding_suggest(
            nn_finder_add(f, "loss-mismatch", row, "from_logits=true with sigmoid at the output"),
            "leave out one of the two");
    else if (n > 1)
        nn_finding_suggest(nn_finder_add(f, "multi-label", row,
                                         "binary_crossentropy takes each of the %" PRId64
                                         " outputs as a yes or no of its own",
                                         n),
                           "if only one of them can be true: softmax and categorical_crossentropy");
}

void nn_rule_loss(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    if (!g->train.has_loss) return;
    for (int i = 0; i < g->n_outputs; i++) {
        const nn_node *out = &g->nodes[g->outputs[i]];
        const nn_node *end = nn_finder_node(f, f->source[out->id]);
        int row = f->row[out->id];
        if (row >= 0 && nn_loss_targets(g->train.loss) == NN_TARGET_CLASS)
            class_loss(f, out, end, row);
        if (row >= 0 && g->train.loss == NN_LOSS_BINARY) binary_loss(f, out, end, row);
    }
}

/* Of the last axis; 0 for a shape without axes. */
static int64_t last_dim(const nn_node *n) {
    return n->shape.rank ? n->shape.dim[n->shape.rank - 1] : 0;
}

void nn_rule_softmax(nn_finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_node *n = nn_finder_output(f, &f->unit->layers[i]);
        if (nn_finder_has_block(f, i) || !n || n->op != NN_OP_SOFTMAX || last_dim(n) != 1) continue;
        nn_finding_suggest(
            nn_finder_add(f, "single-softmax", i, "softmax over one unit is always 1"),
            "use sigmoid");
    }
}

/* The Output that a row takes; -1: none. */
static int output_before(const nn_unit *u, const nn_unit_layer *l) {
    for (int k = 0; k < l->n_inputs; k++)
        if (u->layers[l->inputs[k]].layer->role == NN_ROLE_OUTPUT) return l->inputs[k];
    return -1;
}

void nn_rule_after_output(nn_finder *f) {
    const nn_unit *u = f->unit;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        int from = output_before(u, l);
        if (from < 0) continue;
        nn_finding_suggest(
            nn_finder_add(f, "after-output", from,
                          "Output is not the last layer: the network's result is that of what "
                          "follows it, %s",
                          l->type),
            "move Output to the end, or use Dense here");
    }
}

/* ---- what has no effect ---- */

/* The mean that the normalisation subtracts holds the bias. */
void nn_rule_lost_bias(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i], *before = nn_finder_input(f, n);
        if (n->op != NN_OP_BATCH_NORM || f->uses[before->id] > 1) continue;
        bool bias = (before->op == NN_OP_CONV && before->attr.conv.bias) ||
                    (before->op == NN_OP_MATMUL && before->attr.matmul.bias);
        if (!bias) continue;
        nn_finding_suggest(nn_finder_add(f, "lost-bias", f->row[before->id],
                                         "the bias of %s has no effect before %s", before->layer,
                                         n->layer),
                           "use_bias=false");
    }
}

void nn_rule_dead(nn_finder *f) {
    const nn_unit *u = f->unit;
    const nn_graph *g = u->graph;
    bool *live = NN_NEW_N(f->arena, bool, (size_t)g->n_nodes + 1);
    if (!live || !g->n_outputs) return;
    for (int i = 0; i < g->n_outputs; i++) live[g->outputs[i]] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--) /* what a node takes stands before it */
        for (int k = 0; live[i] && k < g->nodes[i].n_inputs; k++)
            live[g->nodes[i].inputs[k]] = true;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i],
                            *outer = l->parent < 0 ? NULL : &u->layers[l->parent];
        bool dead = l->output_node >= 0 && !live[l->output_node];
        bool said = outer && outer->output_node >= 0 && !live[outer->output_node];
        if (!dead || said || l->layer->role == NN_ROLE_INPUT) continue;
        nn_finding_suggest(nn_finder_add(f, "dead-layer", i, "nothing uses the result of %s ('%s')",
                                         l->type, l->name),
                           "take it in a merge layer (inputs=[…]), or leave it out");
    }
}

/* Whether a node only multiplies and adds: another such behind it makes one of them. */
static bool is_linear_map(const nn_node *n) {
    return n->op == NN_OP_MATMUL || n->op == NN_OP_CONV;
}

void nn_rule_linear(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (!is_linear_map(n)) continue;
        const nn_node *before = nn_finder_node(f, f->source[n->inputs[0]]);
        int row = f->row[before->id];
        if (!is_linear_map(before) || row < 0 || row == f->row[i]) continue;
        bool depthwise = n->op == NN_OP_CONV && before->op == NN_OP_CONV &&
                         n->attr.conv.groups != before->attr.conv.groups;
        if (depthwise) continue; /* a separable convolution in two layers */
        nn_finding_suggest(
            nn_finder_add(f, "no-activation", row,
                          "%s and the %s after it have no activation between them: together they "
                          "are one linear layer",
                          before->layer, n->layer),
            "give the first one an activation, such as \"relu\"");
    }
}

/* ---- what does not train well ---- */

void nn_rule_dropout(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = nn_finder_output(f, l);
        if (!n || n->op != NN_OP_DROPOUT || l->first_node != l->last_node || f->row[n->id] != i)
            continue;
        if (n->attr.dropout.rate > 0.8)
            nn_finding_suggest(
                nn_finder_add(f, "total-dropout", i,
                              "a rate of %g drops most of what the layer before it found",
                              n->attr.dropout.rate),
                "rates from 0.1 to 0.5 are usual");
        if (nn_node_is_output(g, n->id))
            nn_finding_suggest(nn_finder_add(f, "dropout-at-end", i,
                                             "this %s zeroes results while training", l->type),
                               "put it before the last layer");
    }
}

/* How many values one mean is taken of; 0: not known, or no such op. */
static int64_t normalized(const nn_node *n) {
    if (n->op == NN_OP_LAYER_NORM) return last_dim(n);
    if (n->op != NN_OP_GROUP_NORM) return 0;
    int64_t all = nn_shape_elements(&n->shape);
    return all > 0 ? all / n->attr.group_norm.groups : 0;
}

void nn_rule_tiny_norm(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (f->row[i] < 0 || normalized(n) != 1) continue;
        nn_finding_suggest(nn_finder_add(f, "tiny-norm", f->row[i],
                                         "%s over one value gives 0 whatever it is", n->layer),
                           "normalise before the axis shrinks to one");
    }
}

/* The functions of this kind on the way to a node, without another between them. A residual or a
 * normalisation helps gradients along, so it begins anew. */
static int saturating_run(const nn_node *n, const int *run) {
    int so_far = n->n_inputs ? run[n->inputs[0]] : 0;
    if (nn_node_is_act(n, NN_ACT_SIGMOID) || nn_node_is_act(n, NN_ACT_TANH)) return so_far + 1;
    return nn_node_transparent(n) || is_linear_map(n) ? so_far : 0;
}

void nn_rule_saturating(nn_finder *f) {
    enum { MANY = 4 };
    const nn_graph *g = f->unit->graph;
    int *run = NN_NEW_N(f->arena, int, (size_t)g->n_nodes + 1);
    if (!run) return;
    for (int i = 0; i < g->n_nodes; i++) {
        run[i] = saturating_run(&g->nodes[i], run);
        bool now = run[i] == MANY && g->nodes[i].op == NN_OP_ACTIVATION &&
                   !nn_node_transparent(&g->nodes[i]);
        if (!now || f->row[i] < 0) continue;
        nn_finding_suggest(
            nn_finder_add(f, "many-saturating", f->row[i],
                          "the %dth sigmoid or tanh layer in a row: gradients shrink with each",
                          MANY),
            "relu or gelu in the hidden layers");
    }
}
