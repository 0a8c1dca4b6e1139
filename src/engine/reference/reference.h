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

/* One node in one pass over `rows` rows. Backward adds to dx and dw. */
typedef struct nn_ref {
    const nn_graph *graph;
    const nn_node *node;
    const nn_shape *in, *out; /* of a sample; in is NULL for INPUT */
    int64_t rows, in_elements, out_elements;
    const double *x;  /* input: rows x in_elements */
    double *y;        /* output: rows x out_elements */
    const double *dy; /* gradient of the loss with respect to y */
    double *dx;
    const double *w[NN_MAX_WEIGHTS]; /* by position in node->weights */
    double *dw[NN_MAX_WEIGHTS];
    bool training;
    uint64_t seed;
    int64_t updates;
} nn_ref;

/* One answer an op (reference/ops.c): an op without it does not link. NULL: not run yet. */
typedef struct nn_ref_op {
    void (*forward)(const nn_ref *r), (*backward)(const nn_ref *r);
} nn_ref_op;
#define NN_OP(N, n, lo, hi, w)                                                                     \
    extern const nn_ref_op nn_ref_##n;                                                             \
    void nn_ref_forward_##n(const nn_ref *r);                                                      \
    void nn_ref_backward_##n(const nn_ref *r);
#include "graph/ops.def"
#undef NN_OP

/* For tests: whether this engine runs the op, so that one that it runs is also checked. */
bool nn_reference_runs(nn_op op);

/* Moves the moving statistics in `weights` (a slab) by the batch that r->x holds. */
void nn_ref_batch_norm_move(const nn_ref *r, double *weights);

/* Mean loss over the rows of x (rows x p->outputs), without regularisers; adds its gradient to dx
 * unless dx is NULL; counts the rows that are right. */
double nn_ref_loss(const nn_loss_plan *p, int64_t rows, const double *x, const nn_targets *t,
                   double *dx, int64_t *ret_correct);

/* For tests: the loss (regularisers included) of `rows` rows of inputs (those of input i one after
 * the other) at these weights, all in doubles. With training as nn_engine.gradients would take it,
 * else as evaluate. Where they are not NULL, gradient receives that of the weights (slab order) and
 * input_gradient that of the inputs. x must have been opened by nn_engine_reference with
 * options.training. */
double nn_reference_loss(nn_exec *x, int64_t rows, const double *inputs, const nn_targets *t,
                         const double *weights, bool training, double *gradient,
                         double *input_gradient);
extern const nn_engine nn_engine_reference;
#endif
