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
                for (int64_t c = 0; c < l.block; c++) {
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
                for (int64_t j = 0; j < l.block; j++)
                    dx[at + j] = a[first + j] * dy[at + j] +
                                 b[first + j] * (x[at + j] - mean[first + j]) + c[first + j];
        }
}
#endif
