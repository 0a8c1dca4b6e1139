/* SPDX-License-Identifier: MIT */
/* metrics.h - what training reports beside the loss (graph/train_metrics.def), summed up batch by
 * batch.
 *
 * Definitions over the sites that count (loss.h), y being the scores of one (probabilities where
 * the loss takes logits) and t its targets (one-hot where they are classes); Keras's, but for auc,
 * which is exact instead of sampled:
 *   precision    hits / elements with y > 0.5, a hit being one with t > 0.5 too
 *   recall       hits / elements with t > 0.5
 *   f1           2 hits / (both of these)
 *   auc          area under the ROC curve of all elements, equal scores sharing their ranks
 *   top_k        share of sites whose class is among the k highest scores, first of equals
 *   mse rmse mae mean of (y - t)^2, its root, mean of |y - t|
 *   mape         100 mean of |y - t| / max(|t|, 1e-7)
 *   cosine_similarity  mean of sum(y t) / (|y| |t|)
 *   perplexity   exp(mean of -sum(t log(max(y, 1e-7))))
 *   confusion_matrix   counts by true class (rows) and highest score; one score: two classes
 * accuracy and loss are an engine's own (nn_step) and not measured here. */
#ifndef NN_ENGINE_METRICS_H
#define NN_ENGINE_METRICS_H
#include "engine/loss.h"

/* By metric; NAN: not measured. */
typedef struct nn_metric_values {
    double of[NN_TRAIN_METRIC_COUNT];
} nn_metric_values;
nn_metric_values nn_metric_values_none(void);

/* All that a pass has to remember but for auc and the confusion matrix, so that it can be taken up
 * again. */
#define NN_METRIC_SUMS(X)                                                                          \
    X(hits)                                                                                        \
    X(predicted)                                                                                   \
    X(actual) X(found) X(squares) X(distances) X(shares) X(similar) X(entropy) X(elements) X(sites)
typedef struct nn_metric_sums {
#define X(m) double m;
    NN_METRIC_SUMS(X)
#undef X
} nn_metric_sums;

typedef struct nn_meter nn_meter;
/* For metrics in `wanted` (bits NN_METRIC_...). NN_E_LIMIT: a confusion matrix of too many classes.
 */
nn_status nn_meter_new(const nn_graph *g, const nn_loss_plan *p, unsigned wanted, nn_meter **ret,
                       nn_err *err);
void nn_meter_free(nn_meter *m); /* NULL allowed */
/* Whether there is anything to measure. */
bool nn_meter_wants(const nn_meter *m);
void nn_meter_reset(nn_meter *m);
/* Takes rows of the engine's output(x, 0) and their targets. NN_E_OUT_OF_MEMORY: auc keeps every
 * score. */
nn_status nn_meter_add(nn_meter *m, int64_t rows, const float *outputs, const nn_targets *t,
                       nn_err *err);
/* Since the reset; NAN for what was not wanted or of which there is nothing. */
nn_metric_values nn_meter_values(nn_meter *m);
/* classes x classes counts, [true class][class of the highest score]; NULL if not wanted. */
const int64_t *nn_meter_confusion(const nn_meter *m, int64_t *ret_classes);
/* What a checkpoint keeps. Put back, auc and the confusion matrix lack the rows before: auc is then
 * not measured until the next reset. */
nn_metric_sums nn_meter_sums(const nn_meter *m);
void nn_meter_set_sums(nn_meter *m, const nn_metric_sums *s);
#endif
