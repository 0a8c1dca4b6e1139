/* SPDX-License-Identifier: MIT */
/* shapes.h - one op at a time: a graph of inputs of the shapes in a text ("4 ?; 3": two inputs, one
 * size unknown; "()" is a number) and the op behind them. */
#ifndef SHAPES_H
#define SHAPES_H
#include "graph/graph.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline nn_shape shape_from(const char *text, const char **ret_end) {
    nn_shape s = {0};
    for (;; text++) {
        if (*text == ' ' || *text == '(' || *text == ')') continue;
        if (*text == ';' || !*text) break;
        char *end = (char *)text + 1;
        s.dim[s.rank++] = *text == '?' ? NN_DIM_UNKNOWN : strtoll(text, &end, 10);
        text = end - 1;
    }
    *ret_end = *text ? text + 1 : text;
    return s;
}

/* Adds the inputs of `text`; returns how many. */
static inline int add_inputs(nn_graph *g, const char *text, int *ids) {
    int n = 0;
    nn_err err;
    while (*text) {
        char name[16];
        snprintf(name, sizeof name, "in%d", g->n_nodes);
        nn_node_spec s = {.op = NN_OP_INPUT, .name = name, .layer = "Input", .layer_name = name};
        s.shape = shape_from(text, &text);
        CHECK_OK(nn_graph_add(g, &s, &ids[n++], &err), &err);
    }
    return n;
}

static inline nn_status add_op(nn_graph *g, nn_op op, const int *ids, int n, nn_attr attr,
                               nn_shape given, int *ret, nn_err *err) {
    char name[16];
    snprintf(name, sizeof name, "n%d", g->n_nodes);
    nn_node_spec s = {.op = op, .name = name, .layer = "L", .layer_name = name};
    s.inputs = ids;
    s.n_inputs = n;
    s.attr = attr;
    s.shape = given;
    return nn_graph_add(g, &s, ret, err);
}

/* A graph with the op; the op's node through ret. */
static inline nn_graph *one_op(nn_op op, const char *inputs, nn_attr attr, int *ret) {
    nn_graph *g = nn_graph_new(NULL, "g");
    int ids[8], n = add_inputs(g, inputs, ids);
    nn_err err;
    CHECK_OK(add_op(g, op, ids, n, attr, (nn_shape){0}, ret, &err), &err);
    return g;
}
#endif
