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
 *   3. the optimiser's own step; e is epsilon, lr the learning rate, t the number of the update:
 *      SGD      without momentum  w -= lr * g
 *               m = momentum * m - lr * g;  w += nesterov ? momentum * m - lr * g : m
 *      Adam     m += (g - m) * (1 - beta_1);  v += (g^2 - v) * (1 - beta_2)
 *               amsgrad: vmax = max(vmax, v), used for v below
 *               w -= m * rate / (sqrt(v) + e),  rate = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *               (e beside the uncorrected sqrt(v): "epsilon hat" of Kingma & Ba, section 2)
 *      RMSprop  v += (g^2 - v) * (1 - rho);  centered: a += (g - a) * (1 - rho)
 *               d = lr * g / sqrt(v - a^2 + e);  momentum: m = momentum * m + d;  w -= m or d
 *      Adagrad  v += g^2;  w -= lr * g / sqrt(v + e)
 *      Adadelta v += (g^2 - v) * (1 - rho);  d = g * sqrt(a + e) / sqrt(v + e)
 *               a += (d^2 - a) * (1 - rho);  w -= lr * d
 *      Adamax   m as Adam;  v = max(beta_2 * v, |g|);  w -= m * lr / ((1 - beta_1^t) * (v + e))
 *      Nadam    m, v as Adam;  u(t) = beta_1 * (1 - 0.96^t / 2);  U(t) = u(1) ... u(t)
 *               w -= lr * (u(t + 1) * m / (1 - U(t + 1)) + (1 - u(t)) * g / (1 - U(t)))
 *                    / (sqrt(v / (1 - beta_2^t)) + e)
 *      Ftrl     n' = n + g^2;  s(x) = x^-learning_rate_power / lr
 *               z += g + 2 * l2_shrinkage * w - (s(n') - s(n)) * w
 *               w = (clip(z, -l1, l1) - z) / (s(n') + 2 * l2 + beta / lr);  n = n'
 *      Lion     w -= lr * sign(m * beta_1 + g * (1 - beta_1));  m += (g - m) * (1 - beta_2)
 *   4. constraints.
 * State slabs, in this order, and only those that are used: SGD m; Adam, AdamW m, v, vmax; RMSprop
 * v, m, a; Adagrad v; Adadelta v, a; Adamax, Nadam m, v; Ftrl n, z; Lion m. Adagrad's v and Ftrl's
 * n begin at initial_accumulator_value, all others at 0. */
#ifndef NN_ENGINE_OPTIMIZER_H
#define NN_ENGINE_OPTIMIZER_H
#include "engine/engine.h"

enum { NN_MAX_SLOTS = 3 };

/* The coefficients of one update. */
typedef struct nn_update {
    const nn_optimizer *optimizer;
    double learning_rate;
    double keep; /* 1 - learning_rate * weight_decay: w *= keep comes first */
    double
        rate; /* what the direction is multiplied by: the learning rate with its bias corrections */
    double on_mean, on_gradient, spread; /* Nadam: of m, of g, of v */
} nn_update;

/* Of update t >= 1 at this learning rate; o must outlive it. */
nn_update nn_update_make(const nn_optimizer *o, double learning_rate, int64_t t);
/* One weight of value w under gradient g, decay included; slot[i] is its element of state slab i.
 */
double nn_update_weight(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]);
/* State slabs that o keeps, at most NN_MAX_SLOTS, and what every element of slab i begins with. */
int nn_optimizer_state_slots(const nn_optimizer *o);
float nn_optimizer_state_start(const nn_optimizer *o, int i);
/* Fills the slabs of state of g's optimiser with what they begin with. */
void nn_state_init(const nn_graph *g, float *slabs);
/* The learning rate of update `step` (0-based) in `epoch` (0-based): o's schedule, or its constant.
 */
double nn_learning_rate_at(const nn_optimizer *o, int64_t step, int64_t epoch);

/* What a gradient (or all of them) of this L2 norm is multiplied by to be at most `limit` long;
 * limit 0: no limit. */
static inline double nn_clip_scale(double norm, double limit) {
    return limit > 0 && norm > limit ? limit / norm : 1;
}

/* Applies w's constraint to its values in plain layout (keras/src/constraints). Norms run over
 * every axis but the last; of a vector, over the vector (Keras's axis=0). */
void nn_constraint_apply(const nn_weight *w, float *values);
#endif
