/* SPDX-License-Identifier: MIT */
/* metric_log.h - the metrics that a run has told, kept in its folder (metrics.jsonl, one JSON
 * object a line).
 *
 * What is told on a pipe is lost with a server that is killed before it stored it, while the
 * checkpoint of that moment stays. A resumed run therefore tells everything again, under the times
 * of the first telling: the store keeps equal points once. For that to be exact a point that is
 * told anew (an epoch done again) keeps its first time. One thread. */
#ifndef NN_JOBS_METRIC_LOG_H
#define NN_JOBS_METRIC_LOG_H
#include "base/err.h"

#include <stdint.h>

typedef struct nn_metric_log nn_metric_log;
typedef void nn_metric_fn(void *ctx, const char *name, int64_t step, double value, int64_t ts_ms);

/* Opens or makes the file, and tells what it holds (a last line that was cut off is forgotten). */
nn_status nn_metric_log_open(const char *folder, nn_metric_fn *tell, void *ctx, nn_metric_log **ret,
                             nn_err *err);
/* Tells a point with its first time; appends it if no earlier attempt told that name and step. On
 * the disk before a later checkpoint can be. */
nn_status nn_metric_log_add(nn_metric_log *l, const char *name, int64_t step, double value,
                            nn_err *err);
void nn_metric_log_close(nn_metric_log *l); /* NULL allowed */
#endif
