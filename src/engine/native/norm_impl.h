/* SPDX-License-Identifier: MIT */
/* norm_impl.h - per-channel work of batch normalisation in any layout; part of kernels_impl.h.
 * A row is channels / block planes of `spatial` places of `block` channels. Long sums are taken in
 * floats within a plane and in doubles across planes. */
#ifndef NN_ENGINE_NATIVE_NORM_IMPL_H
#define NN_ENGINE_NATIVE_NORM_IMPL_H

/* The plane that starts at channel c of row n. */
INLINE int64_t plane_at(nn_layout l, int64_t n, int64_t c) {
    return (n * l.channels + c) * l.spatial;
}

enum { STRIP = 16 /* channels that a sum goes over at once */ };

typedef struct strip {
    int64_t begin, end, first; /* rows; first channel */
    int64_t width;             /* channels, at most STRIP */
    int64_t at;                /* of the strip within its place */
} strip;

INLINE void strip_sums(nn_layout l, strip s, const float *x, const float *mean, double *sum) {
    double all[STRIP] = {0};
    for (int64_t n = s.begin; n < s.end; n++) {
        const float *p = x + plane_at(l, n, s.first - s.at) + s.at;
        float part[STRIP] = {0};
        for (int64_t i = 0; i < l.spatial; i++, p += l.block)
            for (int64_t c = 0; c < s.width; c++) {
                float d = mean ? p[c] - mean[s.first + c] : p[c];
                part[c] += mean ? d * d : d;
            }
        for (int64_t c = 0; c < s.width; c++) all[c] += part[c];
    }
    for (int64_t c = 0; c < s.width; c++) sum[s.first + c] += all[c];
}

static strip strip_of(nn_layout l, int64_t begin, int64_t end, int64_t first) {
    int64_t at = first % l.block, width = l.block - at < STRIP ? l.block - at : STRIP;
    return (strip){begin, end, first, width, at};
}

static void channel_sums(nn_layout l, int64_t begin, int64_t end, const float *x, double *sum) {
    for (int64_t c = 0; c < l.channels;) {
        strip s = strip_of(l, begin, end, c);
        strip_sums(l, s, x, NULL, sum);
        c += s.width;
    }
}

static void channel_squares(nn_layout l, int64_t begin, int64_t end, const float *x,
                            const float *mean, double *sum) {
    for (int64_t c = 0; c < l.channels;) {
        strip s = strip_of(l, begin, end, c);
        strip_sums(l, s, x, mean, sum);
        c += s.width;
    }
}

static void channel_dots(nn_layout l, int64_t begin, int64_t end, const float *x, const float *dy,
                         const float *mean, double *sum, double *dot) {
    for (int64_t first = 0; first < l.channels;) {
        strip s = strip_of(l, begin, end, first);
        for (int64_t n = begin; n < end; n++) {
            int64_t at = plane_at(l, n, first - s.at) + s.at;
            float part[STRIP] = {0}, with[STRIP] = {0};
            for (int64_t i = 0; i < l.spatial; i++, at += l.block)
                for (int64_t c = 0; c < s.width; c++) {
                    part[c] += dy[at + c];
                    with[c] += dy[at + c] * (x[at + c] - mean[first + c]);
                }
            for (int64_t c = 0; c < s.width; c++) sum[first + c] += part[c];
            for (int64_t c = 0; c < s.width; c++) dot[first + c] += with[c];
        }
        first += s.width;
    }
}

static void channel_affine(nn_layout l, int64_t begin, int64_t end, const float *x,
                           const float *mean, const float *factor, const float *shift, bool relu,
                           float *y) {
    for (int64_t n = begin; n < end; n++)
        for (int64_t first = 0; first < l.channels; first += l.block) {
            int64_t at = plane_at(l, n, first);
            for (int64_t i = 0; i < l.spatial; i++, at += l.block)
                IN_PLACE for (int64_t c = 0; c < l.block; c++) {
                    float v = (x[at + c] - mean[first + c]) * factor[first + c] + shift[first + c];
                    y[at + c] = relu && v < 0 ? 0 : v;
                }
        }
}

static void channel_combine(nn_layout l, int64_t begin, int64_t end, const float *x,
                            const float *dy, const float *mean, const float *a, const float *b,
                            const float *c, float *dx) {
    for (int64_t n = begin; n < end; n++)
        for (int64_t first = 0; first < l.channels; first += l.block) {
            int64_t at = plane_at(l, n, first);
            for (int64_t i = 0; i < l.spatial; i++, at += l.block)
                IN_PLACE for (int64_t j = 0; j < l.block; j++) dx[at + j] =
                    a[first + j] * dy[at + j] + b[first + j] * (x[at + j] - mean[first + j]) +
                    c[first + j];
        }
}

/* ---- vectors by themselves ---- */

INLINE float sum_around(int64_t n, const float *x, float mean, const bool square) {
    float part[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float d = x[i + j] - mean;
            part[j] += square ? d * d : d;
        }
    for (int j = 0; i < n; i++, j++) {
        float d = x[i] - mean;
        part[j] += square ? d * d : d;
    }
    for (int j = 0; j < LANES; j++) all += part[j];
    return all;
}

static void layer_norm(int64_t vectors, int64_t n, const float *x, const float *gamma,
                       const float *beta, float epsilon, float *mean, float *factor, float *y) {
    for (int64_t v = 0; v < vectors; v++, x += n, y += n) {
        float m = sum_around(n, x, 0, false) / (float)n;
        float f = 1 / sqrtf(sum_around(n, x, m, true) / (float)n + epsilon);
        mean[v] = m;
        factor[v] = f;
        IN_PLACE for (int64_t i = 0; i < n; i++) {
            float scaled = (x[i] - m) * f;
            scaled = gamma ? scaled * gamma[i] : scaled;
            y[i] = beta ? scaled + beta[i] : scaled;
        }
    }
}

/* With xhat the normalised input and g = gamma dy: dx = factor (g - mean(g) - xhat mean(g xhat)).
 */
INLINE void vector_grad(int64_t n, const float *x, const float *dy, const float *gamma, float m,
                        float f, float *dx) {
    float sum[LANES] = {0}, with[LANES] = {0}, a = 0, b = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float g = gamma ? dy[i + j] * gamma[i + j] : dy[i + j];
            sum[j] += g;
            with[j] += g * (x[i + j] - m);
        }
    for (int j = 0; i < n; i++, j++) {
        float g = gamma ? dy[i] * gamma[i] : dy[i];
        sum[j] += g;
        with[j] += g * (x[i] - m);
    }
    for (int j = 0; j < LANES; j++) a += sum[j], b += with[j];
    a /= (float)n;
    b = b * f * f / (float)n;
    IN_PLACE for (i = 0; i < n; i++) {
        float g = gamma ? dy[i] * gamma[i] : dy[i];
        dx[i] = f * (g - a - (x[i] - m) * b);
    }
}

static void layer_norm_grad(int64_t vectors, int64_t n, const float *x, const float *dy,
                            const float *gamma, const float *mean, const float *factor, float *dx,
                            double *dgamma, double *dbeta) {
    for (int64_t v = 0; v < vectors; v++, x += n, dy += n) {
        float m = mean[v], f = factor[v];
        for (int64_t i = 0; i < n && dgamma; i++) dgamma[i] += (double)(dy[i] * ((x[i] - m) * f));
        for (int64_t i = 0; i < n && dbeta; i++) dbeta[i] += (double)dy[i];
        if (dx) vector_grad(n, x, dy, gamma, m, f, dx + v * n);
    }
}
#endif
