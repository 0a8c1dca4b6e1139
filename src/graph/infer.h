/* SPDX-License-Identifier: MIT */
/* infer.h - the shape rule of each op: infer.c has the table and the ops that keep or reorder
 * elements, infer_window.c those with spatial axes, infer_sequence.c those over steps,
 * infer_many.c those of several inputs. Private to graph/. Pure functions. */
#ifndef NN_GRAPH_INFER_H
#define NN_GRAPH_INFER_H
#include "graph/graph.h"

/* Sets n->shape (and the pads of a "same" window) from n->attr and the shapes of its inputs,
 * in[0] to in[n->n_inputs - 1]; checks the attributes, and the given shape of INPUT, RESHAPE and
 * CUSTOM. NN_E_DSL_ERROR. */
nn_status nn_infer(nn_node *n, const nn_shape *in, nn_err *err);

/* One rule an op: an op without one does not link. */
typedef nn_status nn_infer_fn(nn_node *n, const nn_shape *in, nn_err *err);
#define NN_OP(N, n, lo, hi, w) nn_infer_fn nn_infer_##n;
#include "graph/ops.def"
#undef NN_OP

/* Fails with "<what>: <rule> with input <shape>", what being the formatted text. */
nn_status nn_misfit_at(nn_err *err, const nn_shape *in, int n_inputs, const char *rule,
                       const char *what, ...) __attribute__((format(printf, 5, 6), cold));
#define nn_misfit(err, in, rule, ...) nn_failed(nn_misfit_at((err), (in), 1, (rule), __VA_ARGS__))
#define nn_misfits(err, n, in, rule, ...)                                                          \
    nn_failed(nn_misfit_at((err), (in), (n)->n_inputs, (rule), __VA_ARGS__))

/* Whether v is from low to the largest size. */
static inline bool nn_within(int64_t v, int64_t low) {
    return v >= low && v <= NN_MAX_DIM;
}
/* Whether v is a share that leaves something: 0 <= v < 1. */
static inline bool nn_is_rate(double v) {
    return v >= 0 && v < 1;
}
static inline int64_t nn_last(const nn_shape *s) {
    return s->rank > 0 ? s->dim[s->rank - 1] : 1;
}
/* Two sizes that must be one; an unknown one is as the other. False if they differ. */
static inline bool nn_agree(int64_t a, int64_t b, int64_t *ret) {
    *ret = a < 0 ? b : a;
    return a < 0 || b < 0 || a == b;
}
/* Whether s is (size) or (?): the tokens that mask an input of so many steps. */
static inline bool nn_is_tokens(const nn_shape *s, int64_t steps) {
    int64_t ignored;
    return s->rank == 1 && nn_agree(s->dim[0], steps, &ignored);
}
#endif
