/* SPDX-License-Identifier: MIT */
/* attention_impl.h - rows of scores; part of kernels_impl.h. */
#ifndef NN_ENGINE_NATIVE_ATTENTION_IMPL_H
#define NN_ENGINE_NATIVE_ATTENTION_IMPL_H
#include "engine/native/eltwise_impl.h"

/* A register wide, its parts put together in a fixed order. */
INLINE float sum_of_products(int64_t n, const float *a, const float *b) {
    vf sum = {0};
    float s = 0;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) sum += load(a + i) * load(b + i);
    for (; i < n; i++) s += a[i] * b[i];
    for (int j = 0; j < VL; j++) s += sum[j];
    return s;
}

static bool attend(int64_t n, int64_t limit, const float *seen, float factor, float *x) {
    bool any = !seen;
    for (int64_t i = 0; i < limit && !any; i++) any = seen[i] != 0;
    for (int64_t i = 0; i < n && !any; i++) x[i] = 1 / (float)n;
    if (!any) return false;
    for (int64_t i = 0; i < limit; i++) x[i] *= factor;
    for (int64_t i = 0; i < limit && seen; i++) x[i] = select_f(seen[i] != 0, x[i], -INFINITY);
    float most = largest(limit, x);
    for (int64_t i = 0; i < limit; i++) x[i] = exp_f(x[i] - most);
    for (int64_t i = 0; i < limit && seen; i++) x[i] = select_f(seen[i] != 0, x[i], 0);
    float by = 1 / total(limit, x);
    for (int64_t i = 0; i < limit; i++) x[i] *= by;
    for (int64_t i = limit; i < n; i++) x[i] = 0;
    return true;
}

static void attend_grad(int64_t n, const float *w, const float *kept, float factor, float *d) {
    for (int64_t i = 0; i < n && kept; i++) d[i] *= kept[i];
    float along = sum_of_products(n, w, d);
    for (int64_t i = 0; i < n; i++) d[i] = factor * w[i] * (d[i] - along);
}

static void additive(int64_t n, int64_t size, const float *q, const float *kt, const float *learned,
                     float *y) {
    for (int64_t panel = 0; panel < nn_panels(n); panel++) {
        float sum[NN_PANEL] ALIGNED = {0};
        int64_t width = nn_panel_width(n, panel), left = n - panel * NN_PANEL;
        const float *k = kt + panel * NN_PANEL * size;
        for (int64_t d = 0; d < size; d++, k += width) {
            float by = learned ? learned[d] : 1, add = q[d];
            for (int64_t j = 0; j < width; j++) sum[j] += by * tanh_f(add + k[j]);
        }
        memcpy(y + panel * NN_PANEL, sum, (size_t)(left < width ? left : width) * sizeof *y);
    }
}

static void additive_grad(int64_t n, int64_t size, const float *q, const float *kt,
                          const float *learned, const float *dy, float *dq, float *dkt,
                          float *dlearned) {
    for (int64_t d = 0; d < size; d++) dq[d] = 0;
    for (int64_t panel = 0; panel < nn_panels(n); panel++) {
        float g[NN_PANEL] ALIGNED = {0};
        int64_t width = nn_panel_width(n, panel), left = n - panel * NN_PANEL;
        memcpy(g, dy + panel * NN_PANEL, (size_t)(left < width ? left : width) * sizeof *g);
        for (int64_t d = 0; d < size; d++) {
            const float *k = kt + (panel * NN_PANEL * size + d * width);
            float *dk = dkt + (panel * NN_PANEL * size + d * width);
            float by = learned ? learned[d] : 1, add = q[d], sum = 0, dot = 0;
            for (int64_t j = 0; j < width; j++) {
                float t = tanh_f(add + k[j]), e = g[j] * by * (1 - t * t);
                dk[j] += e;
                sum += e;
                dot += g[j] * t;
            }
            dq[d] += sum;
            dlearned[d] += dot;
        }
    }
}
#endif
