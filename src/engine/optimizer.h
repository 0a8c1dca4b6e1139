/* SPDX-License-Identifier: MIT */
/* optimizer.h - one update of the weights: coefficients and rules that engines share. Pure
 * functions.
 *
 * Update t (1-based) of the trainable weights, in this order (keras/src/optimizers, Keras 3:
 * base_optimizer.py apply, sgd.py, adam.py, adamw.py):
 *   1. clipping: clipnorm scales each weight's gradient to that L2 norm at most; else
 *      global_clipnorm scales all of them by their common norm; else clipvalue limits each element.
 *      The gradient includes regularisers.
 *   2. decay, every optimiser: w -= w * learning_rate * weight_decay
 *   3. SGD:  without momentum  w -= lr * g
 *            m = momentum * m - lr * g;  w += nesterov ? momentum * m - lr * g : m
 *      Adam: m += (g - m) * (1 - beta_1);  v += (g^2 - v) * (1 - beta_2)
 *            amsgrad: vmax = max(vmax, v), used for v below
 *            w -= m * rate / (sqrt(v) + epsilon),  rate = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *      (epsilon stands beside the uncorrected sqrt(v): "epsilon hat" of Kingma & Ba, section 2)
 *   4. constraints.
 * State slabs: SGD m (none without momentum); Adam and AdamW m, v, with amsgrad vmax. */
#ifndef NN_ENGINE_OPTIMIZER_H
#define NN_ENGINE_OPTIMIZER_H
#include "engine/engine.h"

typedef struct nn_update {
    bool adam;   /* else SGD */
    double rate; /* SGD: learning rate; Adam: with both bias corrections */
    double keep; /* 1 - learning_rate * weight_decay: w *= keep comes first */
    double momentum;
    bool nesterov, amsgrad;
    double beta_1, beta_2, epsilon;
} nn_update;

/* The coefficients of update t >= 1 at this learning rate. */
nn_update nn_update_make(const nn_optimizer *o, double learning_rate, int64_t t);

/* What a gradient (or all of them) of this L2 norm is multiplied by to be at most `limit` long;
 * limit 0: no limit. */
static inline double nn_clip_scale(double norm, double limit) {
    return limit > 0 && norm > limit ? limit / norm : 1;
}

/* Applies w's constraint to its values in plain layout (keras/src/constraints). Norms run over
 * every axis but the last; of a vector, over the vector (Keras's axis=0). */
void nn_constraint_apply(const nn_weight *w, float *values);
#endif
