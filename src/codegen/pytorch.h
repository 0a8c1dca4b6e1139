/* SPDX-License-Identifier: MIT */
/* pytorch.h - what the files of the PyTorch backend share: pytorch.c is the frame, pytorch_ops.c
 * the model op by op, pytorch_weights.c what the program says about weights, pytorch_train.c the
 * training program around the model. */
#ifndef NN_CODEGEN_PYTORCH_H
#define NN_CODEGEN_PYTORCH_H
#include "codegen/backend.h"
#include "codegen/python.h"

/* How the loss meets the output: by Keras's definitions (keras.losses), cross-entropies on logits
 * wherever the network ends with the function that undoes them. */
typedef enum nn_torch_loss {
    NN_TORCH_MSE,
    NN_TORCH_CE_LOGITS,
    NN_TORCH_CE_PROBS,
    NN_TORCH_BCE_LOGITS,
    NN_TORCH_BCE_PROBS
} nn_torch_loss;

/* Where the channels of a tensor of two axes or more lie: the graph's own order, or PyTorch's. */
typedef enum nn_layout { NN_CHANNELS_LAST, NN_CHANNELS_FIRST } nn_layout;

struct nn_emit {
    const nn_graph *g;
    const nn_codegen_options *opt;
    nn_arena *arena;
    nn_py_scope attributes, variables;
    const char **attribute; /* of the module that a node became; NULL: none */
    const char **variable;  /* that holds a node's output in forward() */
    int *users;             /* nodes that read a node's output */
    nn_layout *layout;
    bool chain;  /* each node reads the one before it: the only variable is x */
    int pending; /* the node whose expression is not written yet; -1: none */
    const char *expression;
    const char *remark; /* for its line, beside the shape; NULL: none */
    nn_torch_loss loss;
    int out;     /* the output node */
    int skipped; /* the output's softmax or sigmoid that the loss contains; -1: none */
    bool same_pad, batch_norm, frozen_norm; /* what the model needs around it */
    nn_buf init, forward;
};

/* pytorch_ops.c: adds a node to __init__ and forward(), in the order of the graph. */
nn_status nn_torch_emit(nn_emit *e, const nn_node *n, nn_err *err);
/* Ends forward(): what it returns for node `id`, channels last. */
const char *nn_torch_returned(nn_emit *e, int id);

/* pytorch_weights.c */
void nn_torch_initialisers(nn_emit *e, nn_buf *out); /* the body of reset_parameters() */
void nn_torch_freeze(nn_emit *e, nn_buf *out); /* lines of __init__ for weights that do not train */
void nn_torch_weight_map(nn_emit *e, nn_buf *out);  /* NEURAL_WEIGHTS and load_neural_weights() */
bool nn_torch_penalties(nn_emit *e, nn_buf *out);   /* penalties(); false: there are none */
bool nn_torch_constraints(nn_emit *e, nn_buf *out); /* constrain(); false: there are none */
bool nn_torch_trains(const nn_emit *e, const nn_node *n); /* any of its weights */

/* pytorch_train.c: everything after the model. */
void nn_torch_program(nn_emit *e, const char *class_name, nn_buf *out);
#endif
