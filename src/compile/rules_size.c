/* SPDX-License-Identifier: MIT */
/* rules_size.c - rules about what is large, narrow or slow (language.md 13.2 and 21). Limits are
 * exact: "more than 10 times" begins at the first number above. */
#include "compile/rules.h"

#include <inttypes.h>

/* a * k < b without overflow; a, b and k are positive. */
static bool below(int64_t a, int64_t k, int64_t b) {
    return a <= (b - 1) / k;
}

static int64_t elements(const nn_shape *s) {
    return nn_shape_elements(s);
}

/* ---- sizes ---- */

void nn_rule_growth(nn_finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = nn_finder_output(f, l);
        int64_t in = elements(&l->in), out = elements(&l->out);
        bool lookup = n && n->op == NN_OP_EMBEDDING; /* a token is no number: nothing grows */
        if (!l->n_inputs || in < 1 || out < 1 || lookup || nn_finder_has_block(f, i)) continue;
        if (below(in, 10, out))
            nn_finding_suggest(nn_finder_add(f, "large-growth", i,
                                             "%s makes %" PRId64 " values of %" PRId64, l->type,
                                             out, in),
                               "grow in smaller steps, or check the number of units");
        else if (in > 1000 && below(out, 100, in))
            nn_finding_suggest(nn_finder_add(f, "large-shrink", i,
                                             "%s makes %" PRId64 " values of %" PRId64, l->type,
                                             out, in),
                               "shrink in smaller steps if accuracy suffers");
    }
}

void nn_rule_large(nn_finder *f) {
    enum { FLOATS_A_MB = (1 << 20) / 4 };
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        int64_t n = elements(&l->out);
        if (!l->n_inputs || n <= INT64_C(1000) * FLOATS_A_MB || nn_finder_has_block(f, i)) continue;
        nn_finding_suggest(nn_finder_add(f, "large-tensor", i,
                                         "the output of %s takes %" PRId64 " MB for each sample",
                                         l->type, n / FLOATS_A_MB),
                           "pool or stride before it");
    }
}

/* The only row that takes the value of row i; -1 if there are none or several. */
static int next_row(const nn_unit *u, int i) {
    enum { FAR = 64 }; /* rows of blocks stand between */
    int found = -1;
    for (int j = i + 1; j < u->n_layers && j <= i + FAR; j++)
        for (int k = 0; u->layers[j].parent == u->layers[i].parent && k < u->layers[j].n_inputs;
             k++)
            if (u->layers[j].inputs[k] == i) {
                if (found >= 0) return -1;
                found = j;
            }
    return found;
}

void nn_rule_bottleneck(nn_finder *f) {
    const nn_unit *u = f->unit;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        int next = l->known && l->n_inputs ? next_row(u, i) : -1;
        if (next < 0 || !u->layers[next].known) continue;
        int64_t here = elements(&l->out), before = elements(&l->in),
                after = elements(&u->layers[next].out);
        if (here < 1 || before < 1 || after < 1) continue;
        if (!below(here, 10, before) || !below(here, 10, after)) continue;
        nn_finding_suggest(nn_finder_add(f, "bottleneck", i,
                                         "%s leaves %" PRId64 " values between %" PRId64
                                         " and %" PRId64 ": what it drops cannot come back",
                                         l->type, here, before, after),
                           "make it wider, unless it is the code of an autoencoder");
    }
}

static bool is_pool(const nn_node *n) {
    return n && (n->op == NN_OP_MAX_POOL || n->op == NN_OP_AVG_POOL);
}

void nn_rule_image(nn_finder *f) {
    const nn_unit *u = f->unit;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        const nn_shape *s = &l->out;
        if (!l->known || !l->n_inputs || s->rank != 3 || nn_finder_has_block(f, i)) continue;
        if (s->dim[0] <= 100 || s->dim[1] <= 100 || s->dim[2] <= 64) continue;
        int next = next_row(u, i);
        if (next >= 0 && is_pool(nn_finder_op(f, &u->layers[next]))) continue; /* it is pooled */
        char text[160];
        nn_finding *x =
            nn_finder_add(f, "large-image", i, "%s gives %s: most of the work and memory is here",
                          l->type, nn_shape_print(s, false, text, sizeof text));
        nn_finding_suggest(x, "add MaxPooling2D() after it, or strides=2");
        if (x) x->improvement = "-75% activations from here on";
    }
}

/* Windows that look at one place only: what is not the middle of the kernel meets padding. */
void nn_rule_collapse(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        const nn_window *w = n->op == NN_OP_CONV ? &n->attr.conv.window
                             : is_pool(n)        ? &n->attr.pool
                                                 : NULL;
        bool wide = false, one = w && f->row[i] >= 0;
        for (int k = 0; one && k < w->spatial; k++) {
            one = nn_finder_input(f, n)->shape.dim[k] == 1;
            wide = wide || w->size[k] > 1;
        }
        if (!one || !wide) continue;
        nn_finding_suggest(
            nn_finder_add(f, "collapsed", f->row[i],
                          "nothing is left to look at: the window of %s meets one value and "
                          "padding",
                          n->layer),
            "pool or stride less before it, or use a kernel of size 1");
    }
}

/* ---- weights ---- */

void nn_rule_wide(nn_finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = l->known && !nn_finder_has_block(f, i) ? nn_finder_op(f, l) : NULL;
        if (!n || n->op != NN_OP_MATMUL || n->attr.matmul.units <= 4096) continue;
        if (nn_node_is_output(f->unit->graph, l->output_node))
            continue; /* the task says how many */
        nn_finding *x =
            nn_finder_add(f, "wide-dense", i, "%s of %" PRId64 " units has %" PRId64 " weights",
                          l->type, n->attr.matmul.units, l->params);
        nn_finding_suggest(x, "fewer units, or two narrower layers");
        if (x) x->improvement = "-50% parameters at half the units";
    }
}

/* Whether a row is a product right after a Flatten. */
static bool behind_flatten(const nn_finder *f, int row) {
    const nn_unit_layer *l = &f->unit->layers[row];
    const nn_node *n = l->known && !nn_finder_has_block(f, row) ? nn_finder_op(f, l) : NULL;
    const nn_node *before = n ? nn_finder_input(f, n) : NULL;
    return before && n->op == NN_OP_MATMUL && before->op == NN_OP_RESHAPE &&
           before->attr.reshape.flatten;
}

void nn_rule_huge_dense(nn_finder *f) {
    enum { MANY = 50 * 1000 * 1000 };
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->params <= MANY || !behind_flatten(f, i)) continue;
        nn_finding_suggest(nn_finder_add(f, "huge-dense", i,
                                         "%" PRId64 " million weights in one layer after Flatten",
                                         l->params / 1000000),
                           "GlobalAveragePooling2D in place of Flatten needs far fewer");
    }
}

void nn_rule_heavy(nn_finder *f) {
    enum { SOME = 1000 * 1000 };
    const int64_t all = f->unit->params;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->params < SOME || l->params <= all / 2 || !behind_flatten(f, i)) continue;
        nn_finding *x =
            nn_finder_add(f, "weights-heavy", i, "%s after Flatten holds %.0f%% of all weights",
                          l->type, 100.0 * (double)l->params / (double)all);
        nn_finding_suggest(
            x, "GlobalAveragePooling2D in place of Flatten, or pool once more before it");
        if (x) x->improvement = "most of its parameters";
    }
}

/* ---- work ---- */

void nn_rule_hot_spot(nn_finder *f) {
    const int64_t total = f->unit->flops;
    if (total < 1000000) return;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->parent >= 0 || l->flops <= total / 2) continue;
        nn_finding_suggest(nn_finder_add(f, "hot-spot", i, "%s does %.0f%% of the network's work",
                                         l->type, 100.0 * (double)l->flops / (double)total),
                           "start here when the network is to become faster");
    }
}
