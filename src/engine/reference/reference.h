/* SPDX-License-Identifier: MIT */
/* reference.h - the reference engine's kernels, and its double-precision entry for tests.
 *
 * Everything is held in doubles and computed by the definition, one loop an axis: this is what
 * other engines are measured by, so it is written to be checked by reading. Only weights, state
 * and gradients are rounded to floats, where they cross engine.h. One thread. */
#ifndef NN_ENGINE_REFERENCE_REFERENCE_H
#define NN_ENGINE_REFERENCE_REFERENCE_H
#include "engine/engine.h"
#include "engine/loss.h"

/* One input of a node: its rows are the node's own, except for FOLD and UNFOLD, which only count
 * the same elements in other rows. */
typedef struct nn_ref_operand {
    const nn_shape *shape; /* of a row */
    int64_t elements;
    const double *x; /* rows x elements */
    double *dx;      /* gradient of the loss with respect to x */
} nn_ref_operand;

/* One node in one pass over `rows` rows: those of the batch times node->fold. Backward adds to dx
 * and dw. */
typedef struct nn_ref {
    const nn_graph *graph;
    const nn_node *node;
    const nn_shape *in, *out; /* of a row; in: of the first input, NULL for INPUT */
    int64_t rows, in_elements, out_elements;
    const double *x;  /* first input: rows x in_elements */
    double *y;        /* output: rows x out_elements */
    const double *dy; /* gradient of the loss with respect to y */
    double *dx;
    nn_ref_operand inputs[NN_MAX_INPUTS]; /* all of them, the first too */
    const double *w[NN_MAX_WEIGHTS];      /* by position in node->weights */
    double *dw[NN_MAX_WEIGHTS];
    double *scratch; /* as many as nn_ref_op.scratch said; holds anything */
    bool training;
    uint64_t seed;
    int64_t updates;
} nn_ref;

/* One answer an op (reference/ops.c): an op without it does not link. */
typedef struct nn_ref_op {
    void (*forward)(const nn_ref *r);                        /* NULL: the op is refused */
    void (*backward)(const nn_ref *r);                       /* of every op that has a forward */
    int64_t (*scratch)(const nn_graph *g, const nn_node *n); /* doubles; NULL: none */
    nn_status (*check)(const nn_ref *r, nn_err *err);        /* of the values of its input */
} nn_ref_op;
#define NN_OP(N, n, lo, hi, w)                                                                     \
    extern const nn_ref_op nn_ref_##n;                                                             \
    void nn_ref_forward_##n(const nn_ref *r);                                                      \
    void nn_ref_backward_##n(const nn_ref *r);
#include "graph/ops.def"
#undef NN_OP

int64_t nn_ref_scratch_rnn(const nn_graph *g, const nn_node *n);
int64_t nn_ref_scratch_conv_lstm(const nn_graph *g, const nn_node *n);
int64_t nn_ref_scratch_attention(const nn_graph *g, const nn_node *n);
int64_t nn_ref_scratch_dot(const nn_graph *g, const nn_node *n);
nn_status nn_ref_check_embedding(const nn_ref *r, nn_err *err);

/* Doubles as an op's scratch memory; -1 when there are more than any machine has. */
static inline int64_t nn_ref_scratch_of(double doubles) {
    return doubles < 4e12 ? (int64_t)doubles : -1;
}

/* Whether this engine runs and trains the op. */
bool nn_reference_runs(nn_op op);

/* An activation at x with its default argument, as recurrent steps use it, and its derivative. */
double nn_ref_act_value(nn_act kind, double x);
double nn_ref_act_slope(nn_act kind, double x);

/* The penalty of an ACTIVITY_REG node on the values that r->x holds. */
double nn_ref_activity_loss(const nn_ref *r);

/* Moves the moving statistics in `weights` (a slab) by the batch that r->x holds. */
void nn_ref_batch_norm_move(const nn_ref *r, double *weights);

/* Mean loss over the rows of x (rows x p->outputs), without regularisers; its gradient goes to dx
 * unless that is NULL. scratch: nn_loss_scratch. Sets ret->counted and correct; ret->node is -1. */
double nn_ref_loss(const nn_loss_plan *p, int64_t rows, const double *x, const nn_targets *t,
                   double *dx, double *scratch, nn_step *ret);

/* For tests: the loss (regularisers included) of `rows` rows of inputs (those of input i one after
 * the other) at these weights, all in doubles. With training as nn_engine.gradients would take it,
 * else as evaluate. Where they are not NULL, gradient receives that of the weights (slab order) and
 * input_gradient that of the inputs. x must have been opened by nn_engine_reference with
 * options.training. NAN where inputs are refused. */
double nn_reference_loss(nn_exec *x, int64_t rows, const double *inputs, const nn_targets *t,
                         const double *weights, bool training, double *gradient,
                         double *input_gradient);
/* For tests and verification: what node `node` put out for `rows` rows of the batch, and how many
 * values that is by the graph's shapes. One more behind those is no node's when rows is
 * options.batch. */
double *nn_reference_values(nn_exec *x, int node, int64_t rows, int64_t *ret_n);
extern const nn_engine nn_engine_reference;
#endif
