/* SPDX-License-Identifier: MIT */
/* upsample_impl.h - images made larger, in any layout; part of kernels_impl.h. Along each axis an
 * output place lies between two input places, `share` of the way to the second: nearest i / factor;
 * linear (i + 0.5) / factor - 0.5, held at the first and the last (tf.image.resize, PyTorch's
 * align_corners=False). */
#ifndef NN_ENGINE_NATIVE_UPSAMPLE_IMPL_H
#define NN_ENGINE_NATIVE_UPSAMPLE_IMPL_H

typedef struct between {
    int64_t low, high;
    float share; /* of the second */
} between;

static between between_of(const nn_upsampling *p, int axis, int64_t i) {
    int64_t f = p->factor[axis], last = p->in[axis] - 1;
    if (!p->linear) return (between){i / f, i / f, 0};
    int64_t twice = 2 * i + 1 - f; /* 2 f times the place */
    if (twice <= 0) return (between){0, 0, 0};
    if (twice >= 2 * f * last) return (between){last, last, 0};
    int64_t low = twice / (2 * f);
    return (between){low, low + 1, (float)(twice - 2 * f * low) / (float)(2 * f)};
}

/* The two rows of places around output row b of output plane a (the leading axis is never linear),
 * as places. */
static between row_of(const nn_upsampling *p, int64_t a, int64_t b) {
    between h = between_of(p, 1, b);
    int64_t base = a / p->factor[0] * p->in[1];
    return (between){(base + h.low) * p->in[2], (base + h.high) * p->in[2], h.share};
}

static void upsample_row(const nn_upsampling *p, between h, const float *x, float *y) {
    int64_t n = p->block;
    for (int64_t i = 0; i < p->in[2] * p->factor[2]; i++, y += n) {
        between w = between_of(p, 2, i);
        const float *a = x + (h.low + w.low) * n, *b = x + (h.low + w.high) * n;
        const float *c = x + (h.high + w.low) * n, *d = x + (h.high + w.high) * n;
        float s = w.share, t = h.share;
        if (!p->linear)
            memcpy(y, a, (size_t)n * sizeof *y);
        else
            for (int64_t k = 0; k < n; k++)
                y[k] = (1 - t) * ((1 - s) * a[k] + s * b[k]) + t * ((1 - s) * c[k] + s * d[k]);
    }
}

INLINE void add_share(int64_t n, float share, const float *from, float *to) {
    for (int64_t i = 0; i < n; i++) to[i] += share * from[i];
}

static void upsample_row_grad(const nn_upsampling *p, between h, const float *dy, float *dx) {
    int64_t n = p->block;
    for (int64_t i = 0; i < p->in[2] * p->factor[2]; i++, dy += n) {
        between w = between_of(p, 2, i);
        float s = w.share, t = h.share;
        add_share(n, (1 - t) * (1 - s), dy, dx + (h.low + w.low) * n);
        if (!p->linear) continue;
        add_share(n, (1 - t) * s, dy, dx + (h.low + w.high) * n);
        add_share(n, t * (1 - s), dy, dx + (h.high + w.low) * n);
        add_share(n, t * s, dy, dx + (h.high + w.high) * n);
    }
}

static void upsample(const nn_upsampling *p, const float *x, float *y, int64_t begin, int64_t end) {
    int64_t in = p->in[0] * p->in[1] * p->in[2] * p->block, rows = p->in[1] * p->factor[1];
    int64_t row = p->in[2] * p->factor[2] * p->block, planes = p->in[0] * p->factor[0];
    y += begin * planes * rows * row;
    for (int64_t n = begin; n < end; n++)
        for (int64_t a = 0; a < planes; a++)
            for (int64_t b = 0; b < rows; b++, y += row)
                upsample_row(p, row_of(p, a, b), x + n * in, y);
}

static void upsample_grad(const nn_upsampling *p, const float *dy, float *dx, int64_t begin,
                          int64_t end) {
    int64_t in = p->in[0] * p->in[1] * p->in[2] * p->block, rows = p->in[1] * p->factor[1];
    int64_t row = p->in[2] * p->factor[2] * p->block, planes = p->in[0] * p->factor[0];
    memset(dx + begin * in, 0, (size_t)((end - begin) * in) * sizeof *dx);
    dy += begin * planes * rows * row;
    for (int64_t n = begin; n < end; n++)
        for (int64_t a = 0; a < planes; a++)
            for (int64_t b = 0; b < rows; b++, dy += row)
                upsample_row_grad(p, row_of(p, a, b), dy, dx + n * in);
}
#endif
