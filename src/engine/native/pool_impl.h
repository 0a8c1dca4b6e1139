/* SPDX-License-Identifier: MIT */
/* pool_impl.h - pooling of planes: images of in[0] x in[1] x in[2] places with `block` floats each,
 * the innermost loop; part of kernels_impl.h. Channels-last and blocked tensors are the same code:
 * a channels-last row is one plane whose block is all channels. */
#ifndef NN_ENGINE_NATIVE_POOL_IMPL_H
#define NN_ENGINE_NATIVE_POOL_IMPL_H
#include "engine/native/math_impl.h"

/* The part of a window that lies inside: taps [first, last) along `axis` at output position o. */
typedef struct taps {
    int64_t first, last, base; /* tap t looks at base + t * dilation */
} taps;

static taps adaptive_taps(const nn_pooling *p, int axis, int64_t o) {
    int64_t d = p->in[axis], n = p->out[axis], begin = o * d / n;
    return (taps){0, ((o + 1) * d + n - 1) / n - begin, begin};
}

static taps taps_of(const nn_pooling *p, int axis, int64_t o) {
    if (p->adaptive) return adaptive_taps(p, axis, o);
    int64_t base = o * p->stride[axis] - p->pad[axis], d = p->dilation[axis];
    int64_t first = base < 0 ? (-base + d - 1) / d : 0;
    int64_t inside = p->in[axis] - base, last = inside <= 0 ? 0 : (inside + d - 1) / d;
    if (last > p->size[axis]) last = p->size[axis];
    return (taps){first, last < first ? first : last, base};
}

/* What one window does: visits each input place that it covers, as an offset in places. */
typedef struct walk {
    const nn_pooling *p;
    taps t[3];
    int64_t a, b, c; /* next tap along each axis */
} walk;

static walk walk_at(const nn_pooling *p, const int64_t o[3]) {
    walk w = {.p = p};
    for (int i = 0; i < 3; i++) w.t[i] = taps_of(p, i, o[i]);
    w.a = w.t[0].first, w.b = w.t[1].first, w.c = w.t[2].first;
    if (w.b >= w.t[1].last || w.c >= w.t[2].last) w.a = w.t[0].last;
    return w;
}
static bool walk_next(walk *w, int64_t *ret_place) {
    if (w->a >= w->t[0].last) return false;
    const nn_pooling *p = w->p;
    int64_t i = w->t[0].base + w->a * p->dilation[0], j = w->t[1].base + w->b * p->dilation[1];
    *ret_place = (i * p->in[1] + j) * p->in[2] + w->t[2].base + w->c * p->dilation[2];
    if (++w->c < w->t[2].last) return true;
    w->c = w->t[2].first;
    if (++w->b < w->t[1].last) return true;
    w->b = w->t[1].first;
    w->a++;
    return true;
}
static int64_t walk_count(const walk *w) {
    int64_t n = 1;
    for (int i = 0; i < 3; i++) n *= w->t[i].last - w->t[i].first;
    return n;
}

static int64_t places(const int64_t d[3]) {
    return d[0] * d[1] * d[2];
}
static void next_output(const nn_pooling *p, int64_t o[3]) {
    if (++o[2] < p->out[2]) return;
    o[2] = 0;
    if (++o[1] < p->out[1]) return;
    o[1] = 0;
    o[0]++;
}

/* The first of equal maxima counts, and the first NaN if there is one. -1: the window is all
 * padding, its value 0. */
static void max_window(const nn_pooling *p, walk w, const float *x, float *y, int32_t *at) {
    int64_t place;
    for (int64_t c = 0; c < p->block; c++) y[c] = 0, at[c] = -1;
    for (bool first = true; walk_next(&w, &place); first = false) {
        const float *v = x + place * p->block;
        for (int64_t c = 0; c < p->block; c++) {
            bool better = first || v[c] > y[c] || (v[c] != v[c] && y[c] == y[c]);
            y[c] = better ? v[c] : y[c];
            at[c] = better ? (int32_t)place : at[c];
        }
    }
}

static void max_pool(const nn_pooling *p, const float *x, float *y, int32_t *at, int64_t begin,
                     int64_t end) {
    int64_t in = places(p->in) * p->block, out = places(p->out);
    for (int64_t n = begin; n < end; n++) {
        int64_t o[3] = {0};
        for (int64_t i = n * out; i < (n + 1) * out; i++, next_output(p, o))
            max_window(p, walk_at(p, o), x + n * in, y + i * p->block, at + i * p->block);
    }
}

static void max_pool_grad(const nn_pooling *p, const float *dy, const int32_t *at, float *dx,
                          int64_t begin, int64_t end) {
    int64_t in = places(p->in) * p->block, out = places(p->out) * p->block;
    for (int64_t n = begin; n < end; n++) {
        float *to = dx + n * in;
        memset(to, 0, (size_t)in * sizeof *to);
        for (int64_t i = n * out; i < (n + 1) * out; i++)
            if (at[i] >= 0) to[at[i] * p->block + i % p->block] += dy[i];
    }
}

static void avg_pool(const nn_pooling *p, const float *x, float *y, int64_t begin, int64_t end) {
    int64_t in = places(p->in) * p->block, out = places(p->out);
    for (int64_t n = begin; n < end; n++) {
        int64_t o[3] = {0}, place;
        for (int64_t i = n * out; i < (n + 1) * out; i++, next_output(p, o)) {
            walk w = walk_at(p, o);
            float *to = y + i * p->block;
            float by = walk_count(&w) ? 1.0f / (float)walk_count(&w) : 0;
            for (int64_t c = 0; c < p->block; c++) to[c] = 0;
            while (walk_next(&w, &place))
                for (int64_t c = 0; c < p->block; c++) to[c] += x[n * in + place * p->block + c];
            for (int64_t c = 0; c < p->block; c++) to[c] *= by;
        }
    }
}

static void avg_pool_grad(const nn_pooling *p, const float *dy, float *dx, int64_t begin,
                          int64_t end) {
    int64_t in = places(p->in) * p->block, out = places(p->out);
    for (int64_t n = begin; n < end; n++) {
        int64_t o[3] = {0}, place;
        memset(dx + n * in, 0, (size_t)in * sizeof *dx);
        for (int64_t i = n * out; i < (n + 1) * out; i++, next_output(p, o)) {
            walk w = walk_at(p, o);
            float by = walk_count(&w) ? 1.0f / (float)walk_count(&w) : 0;
            while (walk_next(&w, &place)) {
                float *to = dx + n * in + place * p->block;
                for (int64_t c = 0; c < p->block; c++) to[c] += by * dy[i * p->block + c];
            }
        }
    }
}

/* ---- 2 x 2, the usual one: in vectors of channels, the rest of them one by one ---- */

typedef uint8_t vb __attribute__((vector_size(VL), aligned(1), may_alias));

/* One output of VL channels. */
INLINE void max_2x2(const float *a, const float *b, int64_t block, float *y, uint8_t *at) {
    const vf v[4] = {load(a), load(a + block), load(b), load(b + block)};
    vf best = v[0];
    vi k = {0};
    for (int t = 1; t < 4; t++) {
        vi better = (v[t] > best) | (v[t] != v[t]);
        best = choose(better, v[t], best);
        k = (better & t) | (k & ~better);
    }
    k += (best <= 0.0f) & 4;
    store(y, best);
    *(vb *)at = __builtin_convertvector(k, vb);
}

INLINE void max_2x2_one(const float *a, const float *b, int64_t block, float *y, uint8_t *at) {
    const float v[4] = {a[0], a[block], b[0], b[block]};
    int k = 0;
    for (int t = 1; t < 4; t++)
        if (v[t] > v[k] || v[t] != v[t]) k = t;
    *y = v[k];
    *at = (uint8_t)(v[k] <= 0 ? k + 4 : k);
}

INLINE void max_2x2_row(const int64_t block, int64_t out, const float *a, const float *b, float *y,
                        uint8_t *at) {
    for (int64_t i = 0; i < out; i++, a += 2 * block, b += 2 * block, y += block, at += block) {
        int64_t c = 0;
        for (; c + VL <= block; c += VL) max_2x2(a + c, b + c, block, y + c, at + c);
        for (; c < block; c++) max_2x2_one(a + c, b + c, block, y + c, at + c);
    }
}

INLINE void max_2x2_grad(int keep, const float *dy, const uint8_t *at, int64_t block, float *a,
                         float *b) {
    vi k = __builtin_convertvector(*(const vb *)at, vi) & keep, d = (vi)load(dy);
    store(a, (vf)(d & (k == 0)));
    store(a + block, (vf)(d & (k == 1)));
    store(b, (vf)(d & (k == 2)));
    store(b + block, (vf)(d & (k == 3)));
}

INLINE void max_2x2_grad_row(const int64_t block, int keep, int64_t out, const float *dy,
                             const uint8_t *at, float *a, float *b) {
    for (int64_t i = 0; i < out; i++, a += 2 * block, b += 2 * block, dy += block, at += block) {
        int64_t c = 0;
        for (; c + VL <= block; c += VL) max_2x2_grad(keep, dy + c, at + c, block, a + c, b + c);
        for (; c < block; c++) {
            int k = at[c] & keep;
            a[c] = k == 0 ? dy[c] : 0;
            a[block + c] = k == 1 ? dy[c] : 0;
            b[c] = k == 2 ? dy[c] : 0;
            b[block + c] = k == 3 ? dy[c] : 0;
        }
    }
}

static void max_pool_2x2(const nn_pooling *p, const float *x, float *y, uint8_t *at, int64_t begin,
                         int64_t end) {
    int64_t row = p->in[2] * p->block, out = p->out[2] * p->block;
    for (int64_t n = begin; n < end; n++)
        for (int64_t i = 0; i < p->out[1]; i++) {
            const float *a = x + (n * p->in[1] + 2 * i) * row;
            int64_t to = (n * p->out[1] + i) * out;
            if (p->block == VL)
                max_2x2_row(VL, p->out[2], a, a + row, y + to, at + to);
            else
                max_2x2_row(p->block, p->out[2], a, a + row, y + to, at + to);
        }
}

static void max_pool_2x2_grad(const nn_pooling *p, bool relu, const float *dy, const uint8_t *at,
                              float *dx, int64_t begin, int64_t end) {
    int64_t row = p->in[2] * p->block, out = p->out[2] * p->block;
    int keep = relu ? 7 : 3;
    for (int64_t n = begin; n < end; n++) {
        float *plane = dx + n * p->in[1] * row;
        for (int64_t i = 0; i < p->out[1]; i++) {
            float *a = plane + 2 * i * row;
            int64_t from = (n * p->out[1] + i) * out;
            if (p->block == VL)
                max_2x2_grad_row(VL, keep, p->out[2], dy + from, at + from, a, a + row);
            else
                max_2x2_grad_row(p->block, keep, p->out[2], dy + from, at + from, a, a + row);
            /* an odd last column belongs to no window */
            for (int64_t j = 2 * out; j < row; j++) a[j] = a[row + j] = 0;
        }
        for (int64_t j = 2 * p->out[1] * row; j < p->in[1] * row; j++) plane[j] = 0;
    }
}
#endif
