/* SPDX-License-Identifier: MIT */
/* loss.h - where a graph's loss is taken and by which formula: the part of a loss that engines
 * share. Pure functions.
 *
 * Keras's definitions (keras.losses): the loss of a row is averaged over the rows of a batch; mse
 * and binary cross-entropy average over a row's elements too.
 *   MSE          mean((y - t)^2)
 *   CE_LOGITS    log(sum exp x) - sum t x        t smoothed: t (1 - s) + s / classes
 *   CE_PROBS     -sum t log(clip(p, e, 1 - e))   p = y / sum y, e = 1e-7
 *   BCE_LOGITS   mean(max(x, 0) - x t + log(1 + exp(-|x|)))   t smoothed: t (1 - s) + s / 2
 *   BCE_PROBS    mean(-t log(p) - (1 - t) log(1 - p))         p = clip(y, e, 1 - e)
 * Cross-entropy behind a softmax (or log-softmax) node, and binary cross-entropy behind a sigmoid,
 * are taken on the node before it: the same value without the cancellation, and the gradient is
 * (softmax(x) - t) / rows and (sigmoid(x) - t) / (rows * outputs). */
#ifndef NN_ENGINE_LOSS_H
#define NN_ENGINE_LOSS_H
#include "engine/engine.h"

#define NN_LOSS_EPSILON 1e-7 /* keras.config.epsilon() */

typedef enum nn_loss_form {
    NN_FORM_MSE,
    NN_FORM_CE_LOGITS,
    NN_FORM_CE_PROBS,
    NN_FORM_BCE_LOGITS,
    NN_FORM_BCE_PROBS
} nn_loss_form;

typedef struct nn_loss_plan {
    nn_loss_form form;
    int node;        /* the formula is taken on this node's output; the gradient enters there */
    int64_t outputs; /* elements a row of it */
    double on, off;  /* smoothed targets: t -> off + t * (on - off) */
} nn_loss_plan;

/* The plan of g's loss. NN_E_UNSUPPORTED if g has several outputs, sizes that are not known or a
 * loss that has no form here;
 * NN_E_DSL_ERROR for a loss over classes and an output that is not a row of two or more scores. */
nn_status nn_loss_plan_make(const nn_graph *g, nn_loss_plan *ret, nn_err *err);

/* The value above which a single output counts as class 1: 0.5 of a probability, 0 of a logit.
 * With more outputs the arg-max (first of equals) of the plan's node counts, compared with the
 * label or the arg-max of the row's target values. */
static inline double nn_loss_threshold(const nn_loss_plan *p) {
    return p->form == NN_FORM_BCE_LOGITS ? 0 : 0.5;
}

/* l1 * sum|w| + l2 * sum w^2 over the trainable weights of a plain slab. */
double nn_loss_regularisers(const nn_graph *g, const float *slab);
bool nn_loss_regularised(const nn_graph *g);
#endif
