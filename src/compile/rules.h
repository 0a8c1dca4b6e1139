/* SPDX-License-Identifier: MIT */
/* rules.h - what the rules of findings.def work with. Private to compile/.
 *
 * rules_use.c: what is probably not meant; rules_size.c: what is large, narrow or slow. A rule
 * looks at the whole unit and may find any number of things. It needs known shapes: a layer without
 * one is passed over. */
#ifndef NN_COMPILE_RULES_H
#define NN_COMPILE_RULES_H
#include "compile/findings.h"

typedef struct nn_finder {
    nn_arena *arena;
    const nn_unit *unit;
    nn_finding *first, **tail;
    int n;       /* of findings */
    int *row;    /* by node: the innermost row that it belongs to, -1: none */
    int *source; /* by node: the first node towards the input that is not nn_node_transparent */
    int *uses;   /* by node: how many nodes take it, and one more if it is an output */
    bool asked;  /* the rules for who asks as well */
} nn_finder;

/* A finding about a row (-1: the network); NULL when it was told of that place before, or belongs
 * to who asks. The format is the message. */
nn_finding *nn_finder_add(nn_finder *f, const char *code, int row, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* What to do about it; x may be NULL. */
void nn_finding_suggest(nn_finding *x, const char *what);
void nn_finding_fix(nn_finder *f, nn_finding *x, nn_span at, const char *text, const char *what);

/* Reads its input without mixing or bending it: what is asked of it is asked of its input. */
bool nn_node_transparent(const nn_node *n);
bool nn_node_is_act(const nn_node *n, nn_act kind);
bool nn_node_is_output(const nn_graph *g, int node);

static inline const nn_node *nn_finder_node(const nn_finder *f, int id) {
    return &f->unit->graph->nodes[id];
}
/* The node that holds a row's output; NULL if it is not known. */
static inline const nn_node *nn_finder_output(const nn_finder *f, const nn_unit_layer *l) {
    return l->output_node >= 0 ? nn_finder_node(f, l->output_node) : NULL;
}
/* The first op of a row; NULL if it has none. */
static inline const nn_node *nn_finder_op(const nn_finder *f, const nn_unit_layer *l) {
    return l->first_node <= l->last_node ? nn_finder_node(f, l->first_node) : NULL;
}
/* The first input of a node; NULL if it has none. */
static inline const nn_node *nn_finder_input(const nn_finder *f, const nn_node *n) {
    return n->n_inputs ? nn_finder_node(f, n->inputs[0]) : NULL;
}
/* Whether a row has a block, whose layers have rows of their own. */
static inline bool nn_finder_has_block(const nn_finder *f, int row) {
    return row + 1 < f->unit->n_layers && f->unit->layers[row + 1].parent == row;
}

#define NN_FINDING(code, kind, when, rule, meaning, example) void nn_rule_##rule(nn_finder *f);
#include "compile/findings.def"
#undef NN_FINDING
#endif
