/* SPDX-License-Identifier: MIT */
/* math_impl.h - exp, log, log1p, tanh, erf, sine and cosine in floats without branches, so that
 * loops over them become vector code; part of kernels_impl.h. Errors are below 3 units in the last
 * place (tanh, erf: 5) against the C library's doubles; a NaN stays one. */
#ifndef NN_ENGINE_NATIVE_MATH_IMPL_H
#define NN_ENGINE_NATIVE_MATH_IMPL_H

/* ---- vectors ---- */

typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));

INLINE vf load(const float *p) {
    return *(const vf *)p;
}
INLINE void store(float *p, vf v) {
    *(vf *)p = v;
}

INLINE vf choose(vi which, vf a, vf b) {
    return (vf)(((vi)a & which) | ((vi)b & ~which));
}

/* ---- functions ---- */

INLINE float from_bits(int32_t i) {
    float f;
    memcpy(&f, &i, sizeof f);
    return f;
}
INLINE int32_t to_bits(float f) {
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7; 2^n in two
 * factors, so that results down to the denormals and up to infinity come out. Adding 1.5 * 2^23
 * rounds to an integer and leaves it in the low bits. */
INLINE float exp_f(float x) {
    const float round = 12582912.0f;
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = x * 1.44269504088896341f + round;
    int32_t n = to_bits(shifted) - to_bits(round);
    float nf = shifted - round;
    float r = x - nf * 0.693359375f;
    r = r + nf * 2.12194440054690583e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t half = n >> 1;
    uint32_t low = (uint32_t)(half + 127) << 23, high = (uint32_t)(n - half + 127) << 23;
    return p * from_bits((int32_t)low) * from_bits((int32_t)high);
}

/* expm1 without cancellation near 0: there the polynomial's tail, elsewhere exp(x) - 1. */
INLINE float expm1_f(float x) {
    float p = 1.0f / 40320;
    p = p * x + 1.0f / 5040;
    p = p * x + 1.0f / 720;
    p = p * x + 1.0f / 120;
    p = p * x + 1.0f / 24;
    p = p * x + 1.0f / 6;
    p = p * x + 0.5f;
    p = p * x * x + x;
    float big = exp_f(x) - 1.0f;
    return x > -0.4f && x < 0.4f ? p : big;
}

/* log(1 + u) for 0 <= u <= 1: with s = u / (2 + u) it is 2 atanh(s), s <= 1/3. */
INLINE float log1p_unit(float u) {
    float s = u / (2.0f + u), z = s * s;
    float p = 2.0f / 15;
    p = p * z + 2.0f / 13;
    p = p * z + 2.0f / 11;
    p = p * z + 2.0f / 9;
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    return s * z * p + 2.0f * s;
}

/* log x for a normal x > 0: 2^n m with m in [1/sqrt 2, sqrt 2), and log m = 2 atanh(s) with
 * s = (m - 1) / (m + 1), |s| < 0.172; m - 1 is exact, so nothing is lost near 1. */
INLINE float log_f(float x) {
    int32_t i = to_bits(x) - 0x3f3504f3; /* 1/sqrt 2 */
    float n = (float)(i >> 23), m = from_bits((i & 0x7fffff) + 0x3f3504f3);
    float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float p = 2.0f / 9;
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    p = p * z * s + 2.0f * s;
    return n * 0.693359375f + (p - n * 2.12194440054690583e-4f);
}

/* Sine and cosine of t turns, 0 <= t < 1: of the rest to the nearest quarter, by Taylor. */
INLINE void sine_cosine(float t, float *sine, float *cosine) {
    int32_t quarter = (int32_t)(t * 4.0f + 0.5f);
    float r = (t - (float)quarter * 0.25f) * 6.28318530717958648f, z = r * r;
    float s = 2.75573192e-6f;
    s = s * z - 1.98412698e-4f;
    s = s * z + 8.33333333e-3f;
    s = s * z - 1.66666667e-1f;
    s = s * z * r + r;
    float c = -2.75573192e-7f;
    c = c * z + 2.48015873e-5f;
    c = c * z - 1.38888889e-3f;
    c = c * z + 4.16666667e-2f;
    c = c * z - 0.5f;
    c = c * z + 1.0f;
    bool odd = quarter & 1;
    float a = odd ? c : s, b = odd ? s : c;
    *sine = quarter & 2 ? -a : a;
    *cosine = (quarter + 1) & 2 ? -b : b;
}

INLINE float abs_f(float x) {
    return from_bits(to_bits(x) & 0x7fffffff);
}

/* tanh |x| = e / (e + 2) with e = expm1(2 |x|). The sign goes over as a bit, and the bound on x is
 * that of the result: with branches of its own in front of expm1's, no vector code comes of it. */
INLINE float tanh_f(float x) {
    float a = abs_f(x), e = expm1_f(2.0f * a), t = e / (e + 2.0f);
    t = a > 10.0f ? 1.0f : t;
    return from_bits(to_bits(t) | (to_bits(x) & INT32_MIN));
}

/* 1 / (1 + e^-x), through e^-|x| so that nothing overflows. */
INLINE float sigmoid_f(float x) {
    float e = exp_f(-abs_f(x)), r = 1.0f / (1.0f + e);
    return x < 0 ? e * r : r;
}

/* A rational approximation on [-4, 4], outside of which a float's erf is +-1. */
INLINE float erf_f(float x) {
    x = x > 4.0f ? 4.0f : x;
    x = x < -4.0f ? -4.0f : x;
    float z = x * x;
    float p = -2.72614225801306e-10f;
    p = p * z + 2.77068142495902e-08f;
    p = p * z + -2.10102402082508e-06f;
    p = p * z + -5.69250639462346e-05f;
    p = p * z + -7.34990630326855e-04f;
    p = p * z + -2.95459980854025e-03f;
    p = p * z + -1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * z + -2.13374055278905e-04f;
    q = q * z + -1.68282697438203e-03f;
    q = q * z + -7.37332916720468e-03f;
    q = q * z + -1.42647390514189e-02f;
    return x * p / q;
}
#endif
