/* SPDX-License-Identifier: MIT */
/* loss.h - where a graph's loss is taken and by which formula: the part of a loss that engines
 * share. Pure functions.
 *
 * A row of the output is `sites` sites of n values each (its last axis): one site in (10,), 128 of
 * them in (128, 96). The loss of a site, then the mean over the sites of all rows; Keras's
 * definitions (keras.losses), t being the targets, y the outputs and e = 1e-7:
 *   CE_LOGITS    log(sum exp y) - sum t y        t smoothed: t (1 - s) + s / n
 *   CE_PROBS     -sum t log(clip(p, e, 1 - e))   p = y / sum y
 *   BCE_LOGITS   mean(max(y, 0) - y t + log(1 + exp(-|y|)))   t smoothed: t (1 - s) + s / 2
 *   BCE_PROBS    mean(-t log(p) - (1 - t) log(1 - p))         p = clip(y, e, 1 - e)
 *   MSE, MAE     mean((y - t)^2), mean(|y - t|)
 *   MAPE         100 mean(|t - y| / max(|t|, e))
 *   MSLE         mean((log(1 + max(y, e)) - log(1 + max(t, e)))^2)
 *   HUBER        mean(d^2 / 2 where |d| <= delta, else delta |d| - delta^2 / 2), d = y - t
 *   LOG_COSH     mean(log(cosh(y - t)))
 *   HINGE        mean(max(1 - t y, 0)); targets that are all 0 or 1 in a batch count as -1 and 1
 *   SQUARED_HINGE mean(max(1 - t y, 0)^2), as above
 *   CATEGORICAL_HINGE max(max((1 - t) y) - sum(t y) + 1, 0)
 *   KLD          sum(t log(t / y)), both clipped to [e, 1]
 *   POISSON      mean(y - t log(y + e))
 *   COSINE       -sum(t y) / (max(|t|, e) max(|y|, e))
 *   CTC          -log of the probability of all paths over the steps of a row (its sites) that
 *                spell the target, once what repeats is taken as one and blanks are left out;
 *                p = softmax(y) (Graves et al. 2006; torch.nn.functional.ctc_loss, the mean over
 *                the rows of reduction='none'). A row counts once; it is right where the best
 *                classes of its steps spell the target
 * Cross-entropy and CTC behind a softmax (or log-softmax) node, and binary cross-entropy behind a
 * sigmoid, are taken on the node before it: the same value without the cancellation, and the
 * gradient is softmax(y) - t and (sigmoid(y) - t) / n. Sites whose label is ignore_class cost
 * nothing and do not count in the mean. Weights of rows multiply the loss of their sites; the mean
 * stays one over all that count (Keras). */
#ifndef NN_ENGINE_LOSS_H
#define NN_ENGINE_LOSS_H
#include "engine/engine.h"

#define NN_LOSS_EPSILON 1e-7 /* keras.config.epsilon() */

typedef enum nn_loss_form {
    NN_FORM_MSE,
    NN_FORM_CE_LOGITS,
    NN_FORM_CE_PROBS,
    NN_FORM_BCE_LOGITS,
    NN_FORM_BCE_PROBS,
    NN_FORM_MAE,
    NN_FORM_MAPE,
    NN_FORM_MSLE,
    NN_FORM_HUBER,
    NN_FORM_LOG_COSH,
    NN_FORM_HINGE,
    NN_FORM_SQUARED_HINGE,
    NN_FORM_CATEGORICAL_HINGE,
    NN_FORM_KLD,
    NN_FORM_POISSON,
    NN_FORM_COSINE,
    NN_FORM_CTC,
    NN_FORM_COUNT
} nn_loss_form;

typedef struct nn_loss_plan {
    nn_loss_form form;
    int node;        /* the formula is taken on this node's output; the gradient enters there */
    int64_t outputs; /* elements a row of it */
    int64_t sites;   /* a row; each has outputs / sites values */
    double on, off;  /* smoothed targets: t -> off + t * (on - off) */
    double delta;    /* HUBER */
    int64_t ignored; /* the class that does not count; -1: none */
    int64_t blank;   /* CTC */
} nn_loss_plan;

/* What a batch has in common. */
typedef struct nn_loss_batch {
    int64_t counted;    /* sites that count */
    double divisor;     /* the sum of their losses is divided by this: counted, at least 1 */
    bool signed_labels; /* HINGE: 0 and 1 mean -1 and 1 */
} nn_loss_batch;

/* The plan of g's loss. NN_E_UNSUPPORTED if g has several outputs, sizes that are not known or a
 * loss that has no form here;
 * NN_E_DSL_ERROR for a loss over classes and an output whose last axis is not two or more scores.
 */
nn_status nn_loss_plan_make(const nn_graph *g, nn_loss_plan *ret, nn_err *err);

/* NN_E_DATA_ERROR: a label that is no class of the output and not the ignored one; of CTC also a
 * target that takes more steps than there are. */
nn_status nn_loss_check_labels(const nn_loss_plan *p, int64_t rows, const nn_targets *t,
                               nn_err *err);
/* Doubles that a thread works in, whatever the batch; 0: none. */
int64_t nn_loss_scratch(const nn_loss_plan *p);
nn_loss_batch nn_loss_batch_of(const nn_loss_plan *p, int64_t rows, const nn_targets *t);

/* The value above which a single output counts as class 1: 0.5 of a probability, 0 of a logit.
 * With more values a site the arg-max (first of equals) of the plan's node counts, compared with
 * the label or the arg-max of the site's target values. */
static inline double nn_loss_threshold(const nn_loss_plan *p) {
    return p->form == NN_FORM_BCE_LOGITS ? 0 : 0.5;
}

/* l1 * sum|w| + l2 * sum w^2 over the trainable weights of a plain slab. */
double nn_loss_regularisers(const nn_graph *g, const float *slab);
bool nn_loss_regularised(const nn_graph *g);
#endif
