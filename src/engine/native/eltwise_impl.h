/* SPDX-License-Identifier: MIT */
/* eltwise_impl.h - functions of single elements, rows of softmax; part of kernels_impl.h.
 * Each activation is a value and a slope, in the definitions of engine/reference/elementwise.c;
 * comparisons let a NaN through. */
#ifndef NN_ENGINE_NATIVE_ELTWISE_IMPL_H
#define NN_ENGINE_NATIVE_ELTWISE_IMPL_H
#include "engine/native/math_impl.h"

#define ACT(name, value, slope)                                                                    \
    INLINE float value_##name(float x, float alpha) {                                              \
        (void)alpha;                                                                               \
        return value;                                                                              \
    }                                                                                              \
    INLINE float slope_##name(float x, float alpha) {                                              \
        (void)x, (void)alpha;                                                                      \
        return slope;                                                                              \
    }                                                                                              \
    static void map_##name(int64_t n, const float *x, float *y, float alpha) {                     \
        IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = value_##name(x[i], alpha);                 \
    }                                                                                              \
    static void map_grad_##name(int64_t n, const float *x, const float *dy, float *dx,             \
                                float alpha) {                                                     \
        IN_PLACE for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * slope_##name(x[i], alpha);        \
    }

INLINE float clip_f(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}
INLINE float softplus_f(float x) {
    return (x < 0 ? 0 : x) + log1p_unit(exp_f(-abs_f(x)));
}
INLINE float mish_slope(float x) {
    float t = tanh_f(softplus_f(x));
    return t + x * (1 - t * t) * sigmoid_f(x);
}
INLINE float silu_slope(float x) {
    float s = sigmoid_f(x);
    return s + x * s * sigmoid_f(-x);
}
INLINE float gelu_slope(float x) {
    return 0.5f * (1 + erf_f(x * 0.70710678f)) + x * exp_f(-0.5f * x * x) * 0.39894228f;
}

static const float selu_scale = 1.0507009873554805f, selu_alpha = 1.6732632423543772f;

ACT(linear, x, 1)
ACT(relu, x<0 ? 0 : x, x> 0 ? 1 : 0)
ACT(relu6, clip_f(x, 0, 6), x > 0 && x < 6 ? 1 : 0)
ACT(leaky_relu, x<0 ? alpha * x : x, x> 0 ? 1 : alpha)
ACT(elu, x > 0 ? x : alpha * expm1_f(x), x > 0 ? 1 : alpha * exp_f(x))
ACT(selu, selu_scale *(x > 0 ? x : selu_alpha * expm1_f(x)),
    selu_scale *(x > 0 ? 1 : selu_alpha * exp_f(x)))
ACT(celu, x > 0 ? x : alpha * expm1_f(x / alpha), x > 0 ? 1 : exp_f(x / alpha))
ACT(gelu, 0.5f * x * (1 + erf_f(x * 0.70710678f)), gelu_slope(x))
ACT(silu, x *sigmoid_f(x), silu_slope(x))
ACT(mish, x *tanh_f(softplus_f(x)), mish_slope(x))
ACT(sigmoid, sigmoid_f(x), sigmoid_f(x) * sigmoid_f(-x))
ACT(hard_sigmoid, clip_f(x + 3, 0, 6) * (1.0f / 6), x > -3 && x < 3 ? 1.0f / 6 : 0)
ACT(log_sigmoid, -softplus_f(-x), sigmoid_f(-x))
ACT(tanh, tanh_f(x), 1 - tanh_f(x) * tanh_f(x))
ACT(hard_tanh, clip_f(x, -1, 1), x > -1 && x < 1 ? 1 : 0)
ACT(softplus, softplus_f(x), sigmoid_f(x))
ACT(softsign, x / (1 + abs_f(x)), 1 / ((1 + abs_f(x)) * (1 + abs_f(x))))
ACT(exponential, exp_f(x), exp_f(x))
ACT(hard_swish, x *clip_f(x + 3, 0, 6) * (1.0f / 6),
    clip_f(x + 3, 0, 6) * (1.0f / 6) + (x > -3 && x < 3 ? x * (1.0f / 6) : 0))

static void relu_mask(int64_t n, const float *y, float *dy) {
    for (int64_t i = 0; i < n; i++) dy[i] = y[i] > 0 ? dy[i] : 0;
}
static void add(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
static void multiply(int64_t n, const float *x, const float *by, float *y) {
    IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = x[i] * by[i];
}
static void scale(int64_t n, float *g, float by) {
    for (int64_t i = 0; i < n; i++) g[i] *= by;
}
static void clip(int64_t n, float *g, float limit) {
    for (int64_t i = 0; i < n; i++) g[i] = clip_f(g[i], -limit, limit);
}
static void regularise(int64_t n, const float *w, float *g, float l1, float l2) {
    for (int64_t i = 0; i < n; i++)
        g[i] += 2 * l2 * w[i] + (w[i] > 0 ? l1 : 0) - (w[i] < 0 ? l1 : 0);
}

static void bound(int64_t n, const float *x, float low, float high, float *y) {
    IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = clip_f(x[i], low, high);
}
static void bound_grad(int64_t n, const float *x, float low, float high, const float *dy,
                       float *dx) {
    IN_PLACE for (int64_t i = 0; i < n; i++) dx[i] = x[i] > low && x[i] < high ? dy[i] : 0;
}
static void prelu(int64_t n, const float *x, const float *alpha, float *y) {
    IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = x[i] < 0 ? alpha[i] * x[i] : x[i];
}
static void prelu_grad(int64_t n, const float *x, const float *alpha, const float *dy, float *dx,
                       float *dalpha) {
    for (int64_t i = 0; i < n && dx; i++) dx[i] = x[i] > 0 ? dy[i] : alpha[i] * dy[i];
    for (int64_t i = 0; i < n; i++) dalpha[i] += x[i] > 0 ? 0 : x[i] * dy[i];
}
static void penalty_grad(int64_t n, const float *x, const float *dy, float l1, float l2,
                         float *dx) {
    for (int64_t i = 0; i < n; i++)
        dx[i] = l2 * x[i] + (x[i] > 0 ? l1 : 0) - (x[i] < 0 ? l1 : 0) + (dy ? dy[i] : 0);
}

/* ---- reductions: LANES partial sums, added in a fixed order ---- */

enum { LANES = 32 };

static bool all_finite(int64_t n, const float *x) {
    float sum[LANES] = {0}, total = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) sum[j] += x[i + j] * 0.0f;
    for (; i < n; i++) sum[0] += x[i] * 0.0f;
    for (int j = 0; j < LANES; j++) total += sum[j];
    return total == 0;
}

/* One loop for both sums; `square` is a constant where it is called. */
INLINE double sum_terms(const bool square, int64_t n, const float *x) {
    double part[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double v = x[i + j];
            part[j] += square ? v * v : v < 0 ? -v : v;
        }
    for (int j = 0; i < n; i++, j++) {
        double v = x[i];
        part[j] += square ? v * v : v < 0 ? -v : v;
    }
    for (int j = 0; j < LANES; j++) all += part[j];
    return all;
}
static double sum_abs(int64_t n, const float *x) {
    return sum_terms(false, n, x);
}
static double sum_square(int64_t n, const float *x) {
    return sum_terms(true, n, x);
}

/* Not-a-numbers win: as integers their magnitudes are above infinity's. */
static float max_abs(int64_t n, const float *x) {
    int32_t part[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            int32_t v = to_bits(x[i + j]) & 0x7fffffff;
            part[j] = v > part[j] ? v : part[j];
        }
    for (; i < n; i++) {
        int32_t v = to_bits(x[i]) & 0x7fffffff;
        part[0] = v > part[0] ? v : part[0];
    }
    for (int j = 0; j < LANES; j++) all = part[j] > all ? part[j] : all;
    return from_bits(all);
}

/* ---- softmax over rows of n ---- */

INLINE float largest(int64_t n, const float *x) {
    float part[LANES], all = x[0];
    int64_t i = 0;
    if (n >= LANES) {
        for (int j = 0; j < LANES; j++) part[j] = x[j];
        for (i = LANES; i + LANES <= n; i += LANES)
            for (int j = 0; j < LANES; j++) part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
        for (int j = 0; j < LANES; j++) all = part[j] > all ? part[j] : all;
    }
    for (; i < n; i++) all = x[i] > all ? x[i] : all;
    return all;
}

INLINE float total(int64_t n, const float *x) {
    float part[LANES], all = 0;
    int64_t i = 0;
    if (n >= LANES) {
        for (int j = 0; j < LANES; j++) part[j] = x[j];
        for (i = LANES; i + LANES <= n; i += LANES)
            for (int j = 0; j < LANES; j++) part[j] += x[i + j];
        for (int j = 0; j < LANES; j++) all += part[j];
    }
    for (; i < n; i++) all += x[i];
    return all;
}

static void softmax_row(int64_t n, const float *x, float *y, bool log_form) {
    float max = largest(n, x), sum = 0;
    if (log_form) {
        for (int64_t i = 0; i < n; i++) sum += exp_f(x[i] - max);
        float all = max + logf(sum);
        IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = x[i] - all;
        return;
    }
    IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = exp_f(x[i] - max);
    float by = 1 / total(n, y);
    for (int64_t i = 0; i < n; i++) y[i] *= by;
}

static void softmax(int64_t rows, int64_t n, const float *x, float *y, bool log_form) {
    for (int64_t r = 0; r < rows; r++) softmax_row(n, x + r * n, y + r * n, log_form);
}

/* exp(x - max) into y, but 0 at `without` (outside of it: nowhere), and its sum. */
static float exponentials(int64_t n, const float *x, float max, int64_t without, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = exp_f(x[i] - max);
    if (without >= 0 && without < n) y[without] = 0;
    return total(n, y);
}

/* The first of the highest scores is the label's. */
static bool comes_first(int64_t n, const float *x, int64_t label) {
    int before = 0, above = 0;
    for (int64_t i = 0; i < label; i++) before |= x[i] >= x[label];
    for (int64_t i = label + 1; i < n; i++) above |= x[i] > x[label];
    return !before && !above;
}

/* The label's own exponential is kept apart from the sum of the others: near 1, what it lacks to
 * the whole sum is what the loss and its gradient are made of. */
static double cross_entropy(int64_t n, const float *x, int64_t label, float off, float more,
                            float scale, float *dx, bool *ret_right) {
    enum { PART = 64 };
    float e[PART], max = largest(n, x), others = 0;
    double own = exp((double)x[label] - (double)max), wanted = (double)off + (double)more;
    double mass = (double)more + (double)off * (double)n;
    for (int64_t i = 0; i < n && !dx; i += PART)
        others += exponentials(n - i < PART ? n - i : PART, x + i, max, label - i, e);
    if (dx) others = exponentials(n, x, max, label, dx);
    double sum = own + (double)others;
    if (dx) {
        float by = (float)(mass * (double)scale / sum);
        for (int64_t i = 0; i < n; i++) dx[i] = dx[i] * by - off * scale;
        dx[label] =
            (float)(((mass - wanted) * own - wanted * (double)others) * (double)scale / sum);
    }
    *ret_right = comes_first(n, x, label);
    double rest = 0;
    for (int64_t i = 0; i < n && off != 0; i++) rest += (double)max - (double)x[i];
    return mass * log1p((double)others + (own - 1)) + (double)off * rest +
           (double)more * ((double)max - (double)x[label]);
}

/* softmax: dx = y (dy - sum y dy); log-softmax: dx = dy - e^y sum dy. */
static void softmax_grad(int64_t rows, int64_t n, const float *y, const float *dy, float *dx,
                         bool log_form) {
    for (int64_t r = 0; r < rows; r++, y += n, dy += n, dx += n) {
        float sum = 0;
        for (int64_t i = 0; i < n; i++) sum += log_form ? dy[i] : y[i] * dy[i];
        if (log_form) {
            IN_PLACE for (int64_t i = 0; i < n; i++) dx[i] = dy[i] - exp_f(y[i]) * sum;
        } else {
            IN_PLACE for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
        }
    }
}
#endif
