/* SPDX-License-Identifier: MIT */
/* update_impl.h - updates of weights by the formulas of engine/optimizer.h; part of kernels_impl.h.
 * Padding holds zeros (and what state begins with), and every formula leaves a weight of 0 under a
 * gradient of 0 at 0. */
#ifndef NN_ENGINE_NATIVE_UPDATE_IMPL_H
#define NN_ENGINE_NATIVE_UPDATE_IMPL_H
#include "engine/native/eltwise_impl.h"

/* m / (sqrt(v) + epsilon). AVX-512 has estimates of 14 bits; one Newton step each makes them exact
 * to the last place or two, at a third of the time of a square root and a division. An infinite v
 * gives 0, as the formula does. */
INLINE vf adam_direction(vf m, vf v, float epsilon) {
#if VL == 16
    const vf low = (vf){0} + 1e-37f, high = (vf){0} + 3e38f;
    vf x = (vf)_mm512_min_ps(_mm512_max_ps((__m512)v, (__m512)low), (__m512)high);
    vf y = (vf)_mm512_rsqrt14_ps((__m512)x);
    y = y * (1.5f - 0.5f * x * y * y);
    vf d = v * y + epsilon;
    vf r = (vf)_mm512_rcp14_ps((__m512)d);
    r = r * (2.0f - d * r);
    return (vf)_mm512_maskz_mul_ps(_mm512_cmp_ps_mask((__m512)v, (__m512)high, _CMP_NGT_UQ),
                                   (__m512)m, (__m512)r);
#else
    for (int i = 0; i < VL; i++) v[i] = sqrtf(v[i]);
    return m / (v + epsilon);
#endif
}

/* n is a multiple of VL: parameters are padded to that. */
INLINE void update_adam(const nn_update_f *u, const bool amsgrad, int64_t n, float *restrict w,
                        const float *restrict g, float *restrict m, float *restrict v,
                        float *restrict top) {
    float a = u->one_minus_beta_1, b = u->one_minus_beta_2;
    float rate = u->rate, epsilon = u->epsilon, keep = u->keep;
    for (int64_t i = 0; i < n; i += VL) {
        vf gi = load(g + i), mi = load(m + i), now = load(v + i);
        mi += (gi - mi) * a;
        now += (gi * gi - now) * b;
        store(m + i, mi);
        store(v + i, now);
        if (amsgrad) {
            vf most = load(top + i);
            now = choose(most > now, most, now);
            store(top + i, now);
        }
        store(w + i, load(w + i) * keep - rate * adam_direction(mi, now, epsilon));
    }
}

INLINE void update_sgd(const nn_update_f *u, int64_t n, float *restrict w, const float *restrict g,
                       float *restrict m) {
    if (!m) {
        for (int64_t i = 0; i < n; i++) w[i] = w[i] * u->keep - u->rate * g[i];
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float mi = u->mu * m[i] - u->rate * g[i];
        m[i] = mi;
        w[i] = w[i] * u->keep + (u->nesterov ? u->mu * mi - u->rate * g[i] : mi);
    }
}

/* w[0..n) under g with the state slabs s. */
#define UPDATE(name)                                                                               \
    static void update_##name(const nn_update_f *u, int64_t n, float *restrict w,                  \
                              const float *restrict g, float *const s[3])

UPDATE(by_momentum) {
    update_sgd(u, n, w, g, u->momentum ? s[0] : NULL);
}

UPDATE(adaptive) {
    if (u->amsgrad)
        update_adam(u, true, n, w, g, s[0], s[1], s[2]);
    else
        update_adam(u, false, n, w, g, s[0], s[1], NULL);
}

INLINE void spread_over(const nn_update_f *u, const bool momentum, const bool centered, int64_t n,
                        float *restrict w, const float *restrict g, float *restrict v,
                        float *restrict m, float *restrict a) {
    float share = 1 - u->rho;
    for (int64_t i = 0; i < n; i++) {
        float spread = v[i] += (g[i] * g[i] - v[i]) * share;
        if (centered) {
            float mean = a[i] += (g[i] - a[i]) * share;
            spread -= mean * mean;
        }
        float moved = u->rate * g[i] / sqrtf(spread + u->epsilon);
        if (momentum) m[i] = moved += u->mu * m[i];
        w[i] = w[i] * u->keep - moved;
    }
}

UPDATE(rmsprop) {
    if (u->momentum && u->centered)
        spread_over(u, true, true, n, w, g, s[0], s[1], s[2]);
    else if (u->momentum)
        spread_over(u, true, false, n, w, g, s[0], s[1], NULL);
    else if (u->centered)
        spread_over(u, false, true, n, w, g, s[0], NULL, s[1]);
    else
        spread_over(u, false, false, n, w, g, s[0], NULL, NULL);
}

UPDATE(adagrad) {
    float *restrict v = s[0];
    for (int64_t i = 0; i < n; i++) {
        v[i] += g[i] * g[i];
        w[i] = w[i] * u->keep - u->rate * g[i] / sqrtf(v[i] + u->epsilon);
    }
}

UPDATE(adadelta) {
    float *restrict v = s[0], *restrict a = s[1], share = 1 - u->rho;
    for (int64_t i = 0; i < n; i++) {
        v[i] += (g[i] * g[i] - v[i]) * share;
        float moved = g[i] * sqrtf((a[i] + u->epsilon) / (v[i] + u->epsilon));
        a[i] += (moved * moved - a[i]) * share;
        w[i] = w[i] * u->keep - u->rate * moved;
    }
}

UPDATE(adamax) {
    float *restrict m = s[0], *restrict v = s[1];
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * u->one_minus_beta_1;
        float now = abs_f(g[i]), before = v[i] * u->beta_2;
        v[i] = before > now ? before : now;
        w[i] = w[i] * u->keep - u->rate * m[i] / (v[i] + u->epsilon);
    }
}

UPDATE(nadam) {
    float *restrict m = s[0], *restrict v = s[1];
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * u->one_minus_beta_1;
        v[i] += (g[i] * g[i] - v[i]) * u->one_minus_beta_2;
        float ahead = u->on_mean * m[i] + u->on_gradient * g[i];
        w[i] = w[i] * u->keep - u->rate * ahead / (sqrtf(v[i] * u->spread) + u->epsilon);
    }
}

/* As in optimizer.c, w stays where there is nothing to divide by. */
UPDATE(ftrl) {
    float *restrict sum = s[0], *restrict z = s[1];
    for (int64_t i = 0; i < n; i++) {
        float v = w[i] * u->keep, now = sum[i] + g[i] * g[i];
        float before = powf(sum[i], u->power) / u->rate, scale = powf(now, u->power) / u->rate;
        z[i] += g[i] + u->shrinkage * v - (scale - before) * v;
        sum[i] = now;
        float curve = scale + u->curve;
        w[i] = curve > 0 ? (clip_f(z[i], -u->l1, u->l1) - z[i]) / curve : v;
    }
}

UPDATE(lion) {
    float *restrict m = s[0];
    for (int64_t i = 0; i < n; i++) {
        float to = m[i] * u->beta_1 + g[i] * u->one_minus_beta_1;
        m[i] += (g[i] - m[i]) * u->one_minus_beta_2;
        w[i] = w[i] * u->keep - u->rate * (float)((to > 0) - (to < 0));
    }
}
#undef UPDATE

static void update(const nn_update_f *u, int64_t n, float *w, const float *g,
                   float *const slot[3]) {
    static void (*const rules[NN_OPTIMIZER_COUNT])(const nn_update_f *, int64_t, float *restrict,
                                                   const float *restrict, float *const *) = {
        [NN_OPTIMIZER_SGD] = update_by_momentum, [NN_OPTIMIZER_ADAM] = update_adaptive,
        [NN_OPTIMIZER_ADAMW] = update_adaptive,  [NN_OPTIMIZER_RMSPROP] = update_rmsprop,
        [NN_OPTIMIZER_ADAGRAD] = update_adagrad, [NN_OPTIMIZER_ADADELTA] = update_adadelta,
        [NN_OPTIMIZER_ADAMAX] = update_adamax,   [NN_OPTIMIZER_NADAM] = update_nadam,
        [NN_OPTIMIZER_FTRL] = update_ftrl,       [NN_OPTIMIZER_LION] = update_lion,
    };
    rules[u->kind](u, n, w, g, slot);
}
#endif
