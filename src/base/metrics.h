/* SPDX-License-Identifier: MIT */
/* metrics.h - counters, gauges and histograms of the process, rows of metrics.def, printed as
 * Prometheus text 0.0.4. Thread safe: updates are atomic and take no lock; finding a series takes
 * none either, once it exists. Each metric holds a bounded number of series: past it, new label
 * values are counted under "other". A series lives as long as the process; keep it. */
#ifndef NN_BASE_METRICS_H
#define NN_BASE_METRICS_H
#include "base/buf.h"

#include <stdint.h>

typedef enum nn_metric {
#define NN_METRIC(id, kind, name, labels, buckets, help) NN_METRIC_##id,
#include "base/metrics.def"
#undef NN_METRIC
    NN_METRIC_COUNT
} nn_metric;

enum { NN_METRIC_LABELS = 3, NN_METRIC_SERIES = 512 };

typedef struct nn_series nn_series;
/* The series of these label values, as many as the row names labels, in its order. Made at the
 * first call. */
nn_series *nn_metric_at(nn_metric m, const char *const *values);
/* The same with the values as arguments: nn_metric_series(NN_METRIC_HTTP_REQUESTS, "GET",
 * "/health", "200"). */
#define nn_metric_series(m, ...)                                                                   \
    nn_metric_at((m), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

void nn_series_add(nn_series *s, double v);     /* counter (v >= 0) or gauge */
void nn_series_set(nn_series *s, double v);     /* gauge */
void nn_series_observe(nn_series *s, double v); /* histogram; durations in seconds */

/* Reads process_* from the kernel, then appends every series. */
void nn_metrics_print(nn_buf *out);
#endif
