/* SPDX-License-Identifier: MIT */
/* linear_model.h - y = x W: the smallest model, whose every answer a test can work out itself. */
#ifndef LINEAR_MODEL_H
#define LINEAR_MODEL_H
#include "model/model.h"
#include "t.h"

#include <string.h>

typedef struct linear {
    const char *input, *output; /* names of the nodes */
    int in, out;                /* sizes of one sample */
    const float *kernel;        /* [in, out]; NULL: zeros */
} linear;

/* Adds it to the graph; its kernel is the graph's next weight. */
static inline void add_linear(nn_graph *g, linear l) {
    nn_err err = {0};
    int x, y;
    nn_node_spec input = {
        .op = NN_OP_INPUT,
        .name = l.input,
        .layer = "Input",
        .layer_name = l.input,
        .layer_index = -1,
        .shape = {1, {l.in}}
    };
    CHECK_OK(nn_graph_add(g, &input, &x, &err), &err);
    nn_node_spec product = {.op = NN_OP_MATMUL,
                            .name = l.output,
                            .layer = "Dense",
                            .layer_name = l.output,
                            .inputs = &x,
                            .n_inputs = 1,
                            .attr = {.matmul = {.units = l.out}}};
    CHECK_OK(nn_graph_add(g, &product, &y, &err), &err);
    nn_weight w = {
        .shape = {2, {l.in, l.out}},
          .trainable = true
    };
    CHECK_OK(nn_graph_add_weight(g, y, "kernel", &w, &err), &err);
    CHECK_OK(nn_graph_add_output(g, y, &err), &err);
}

/* Several side by side: a model of n inputs and n outputs. */
static inline nn_model *linear_models(const linear *l, int n) {
    nn_err err = {0};
    nn_graph *g = nn_graph_new(NULL, "linear");
    nn_model *m = NULL;
    for (int i = 0; i < n; i++) add_linear(g, l[i]);
    CHECK_OK(nn_model_new(g, &m, &err), &err);
    for (int i = 0; i < n; i++)
        if (l[i].kernel)
            memcpy(m->weights + m->graph->weights[i].offset, l[i].kernel,
                   (size_t)(l[i].in * l[i].out) * sizeof *l[i].kernel);
    return m;
}

static inline nn_model *linear_model(linear l) {
    return linear_models(&l, 1);
}
#endif
