/* SPDX-License-Identifier: MIT */
/* state.h - the state_dict of the module that the PyTorch backend writes: what it calls each
 * tensor, and where that tensor's elements are in our weights. Made by the code that writes the
 * module (pytorch.c, pytorch_weights.c), so that the two cannot differ. Pure functions. */
#ifndef NN_CODEGEN_STATE_H
#define NN_CODEGEN_STATE_H
#include "graph/graph.h"

typedef struct nn_torch_tensor {
    const char *name; /* "dense_1.weight" */
    nn_shape shape;   /* PyTorch's */
    int weight;       /* in nn_graph.weights; -1: no weight of ours, every element is `fixed` */
    double fixed;
    bool counter;          /* an int64 instead of floats: batches seen, of no use to us */
    int axes[NN_MAX_RANK]; /* its axis i is axis axes[i] of ours */
    bool gates;            /* its first axis is in blocks r z n, ours z r h */
    int row;               /* of ours, where each of our rows is a tensor; -1 */
} nn_torch_tensor;

typedef struct nn_torch_state {
    nn_torch_tensor *at; /* in the order of the module */
    int n;
} nn_torch_state;

/* In `arena`. NN_E_UNSUPPORTED: as nn_codegen for the PyTorch backend; NN_E_LIMIT. */
nn_status nn_torch_state_of(const nn_graph *g, nn_arena *arena, nn_torch_state *ret, nn_err *err);
/* Where element i of t (with a weight) lies in the slab. */
int64_t nn_torch_state_place(const nn_graph *g, const nn_torch_tensor *t, int64_t i);
#endif
