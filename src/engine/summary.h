/* SPDX-License-Identifier: MIT */
/* summary.h - the record of a training that its model carries. */
#ifndef NN_ENGINE_SUMMARY_H
#define NN_ENGINE_SUMMARY_H
#include "engine/checkpoint.h"
#include "engine/trainer.h"
#include "engine/watch.h"

/* Calls f for each value that was measured, by name behind `prefix` ("", "val_", "test_"). */
void nn_metric_values_each(const nn_metric_values *v, const char *prefix,
                           void (*f)(void *ctx, const char *name, double value), void *ctx);
/* All that was measured, losses and accuracies too, as an object by name. */
nn_json *nn_train_metrics_json(const nn_train_result *r);
/* eval: its confusion matrix, of the rows evaluated last (test rows, else validation rows), is told
 * and gives precision, recall and f1 of each class. The caller owns the result. */
nn_json *nn_train_summary(const nn_graph *g, const nn_dataset *d, const nn_checkpoint *at,
                          const nn_watch *w, const nn_train_result *r, const nn_meter *eval,
                          const nn_train_health *h);
#endif
