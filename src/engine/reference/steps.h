/* SPDX-License-Identifier: MIT */
/* steps.h - what layers that go step by step share: the order of the steps, which of them are
 * passed over, which outputs are given out, dropout, and backpropagation through time.
 *
 * While training, dropout zeroes some elements of the input and recurrent_dropout some of the
 * state, the same in every step of a row, and scales the rest; a cell sees what is left of them
 * (keras/src/layers/rnn/dropout_rnn_cell.py). */
#ifndef NN_ENGINE_REFERENCE_STEPS_H
#define NN_ENGINE_REFERENCE_STEPS_H
#include "engine/reference/reference.h"

typedef struct nn_ref_steps nn_ref_steps;

/* One step of a row, the k-th taken, from x and h as they are seen. `cell` is the layer's own. */
typedef struct nn_ref_cell {
    /* Sets the states k + 1 of h and c. */
    void (*advance)(const void *cell, const nn_ref_steps *s, int64_t k);
    /* Adds to dx and dbefore; dc, of the state after, becomes that of the state before. */
    void (*retreat)(const void *cell, const nn_ref_steps *s, int64_t k);
} nn_ref_cell;

struct nn_ref_steps {
    const nn_ref *r;
    int64_t steps, inputs, units; /* elements of a step's input, of a state */
    bool sequences, reverse;
    double *h, *c;           /* (steps + 1, units): states before each step, and the last */
    double *keep_x, *keep_h; /* (inputs), (units): what dropout multiplies this row's by */
    double *x, *seen;        /* (inputs), (units): of the step at hand, less what is dropped */
    double *dh, *dc;         /* gradients at the states after the step that backward is at */
    double *dx, *dbefore;    /* at x and seen */
};

/* Doubles that nn_ref_steps_of takes from the scratch memory. */
double nn_ref_steps_scratch(double steps, double inputs, double units);
/* sequences, reverse: the layer's. Moves *scratch. */
nn_ref_steps nn_ref_steps_of(const nn_ref *r, int64_t units, bool sequences, bool reverse,
                             double **scratch);
/* The next n doubles of the scratch memory. */
double *nn_ref_cut(double **scratch, int64_t n);

void nn_ref_steps_forward(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell);
void nn_ref_steps_backward(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell);
#endif
