/* SPDX-License-Identifier: MIT */
/* lstm.h - what the gates of an LSTM do to its state, once their sums are there: alike in LSTM and
 * ConvLSTM. Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, as Keras has
 * it, without peepholes:
 *
 *     c' = gate(f) c + gate(i) act(g)        h' = gate(o) act(c') */
#ifndef NN_ENGINE_REFERENCE_LSTM_H
#define NN_ENGINE_REFERENCE_LSTM_H
#include "graph/graph.h"

typedef struct nn_ref_lstm {
    int64_t places, units; /* a vector of units at each place of an image; LSTM: one place */
    nn_act act, gate;
} nn_ref_lstm;

/* sums: (places, 4 units), the gates in the order i f g o; c: the state before. */
void nn_ref_lstm_step(const nn_ref_lstm *l, const double *sums, const double *c, double *ret_c,
                      double *ret_h);
/* dc: the gradient at the state after, in its place comes that at the state before. */
void nn_ref_lstm_back(const nn_ref_lstm *l, const double *sums, const double *c,
                      const double *c_after, const double *dh, double *dc, double *ret_dsums);
#endif
