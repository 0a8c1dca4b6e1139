/* SPDX-License-Identifier: MIT */
#include "engine/stats.h"

#include <math.h>
#include <string.h>

static void fill_bins(const float *v, int64_t n, nn_stats *s) {
    double width = (s->max - s->min) / NN_STATS_BINS;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        int k = width > 0 ? (int)((v[i] - s->min) / width) : 0;
        s->bins[k < NN_STATS_BINS ? k : NN_STATS_BINS - 1]++;
    }
}

nn_stats nn_stats_of(const float *v, int64_t n) {
    nn_stats s = {.n = n, .min = NAN, .max = NAN, .mean = NAN, .std = NAN};
    double sum = 0, squares = 0, spread = 0;
    int64_t zeros = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) {
            s.bad++;
            continue;
        }
        s.min = fmin(s.min, v[i]);
        s.max = fmax(s.max, v[i]);
        sum += v[i];
        squares += (double)v[i] * v[i];
        zeros += v[i] == 0;
    }
    int64_t good = n - s.bad;
    s.norm = sqrt(squares);
    if (good == 0) return s;
    s.mean = sum / (double)good;
    s.zeros = (double)zeros / (double)good;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) spread += (v[i] - s.mean) * (v[i] - s.mean);
    s.std = sqrt(spread / (double)good);
    fill_bins(v, n, &s);
    return s;
}

const char *nn_stats_bars(const nn_stats *s, char buf[NN_STATS_TEXT]) {
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int64_t most = 0;
    size_t at = 0;
    for (int i = 0; i < NN_STATS_BINS; i++)
        if (s->bins[i] > most) most = s->bins[i];
    for (int i = 0; i < NN_STATS_BINS && most > 0; i++) {
        const char *bar = bars[(s->bins[i] * 8 + most - 1) / most];
        memcpy(buf + at, bar, strlen(bar));
        at += strlen(bar);
    }
    buf[at] = 0;
    return buf;
}
