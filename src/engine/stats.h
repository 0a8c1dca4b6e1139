/* SPDX-License-Identifier: MIT */
/* stats.h - what many numbers look like: ends, mean, spread, zeros, a histogram. Pure functions. */
#ifndef NN_ENGINE_STATS_H
#define NN_ENGINE_STATS_H
#include <stdint.h>

enum { NN_STATS_BINS = 16 };
typedef struct nn_stats {
    int64_t n, bad;              /* of them, not finite: these are in nothing that follows */
    double min, max, mean, std;  /* std over n; NAN where there is no number */
    double norm;                 /* L2 */
    double zeros;                /* share of exact zeros */
    int64_t bins[NN_STATS_BINS]; /* equally wide from min to max; all in the first where these are
                                    the same */
} nn_stats;

nn_stats nn_stats_of(const float *v, int64_t n);
/* The bins as bars of UTF-8, one character each; "" where there is no number. */
enum { NN_STATS_TEXT = 3 * NN_STATS_BINS + 1 };
const char *nn_stats_bars(const nn_stats *s, char buf[NN_STATS_TEXT]);
#endif
