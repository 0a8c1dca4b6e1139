/* SPDX-License-Identifier: MIT */
/* rnn_impl.h - what the units of a recurrent cell do with their sums, by engine/reference/rnn.c;
 * part of kernels_impl.h. Each row goes by stretches of units that stay in the first-level cache.
 * Slopes come from the functions' values where they can, else from the sums, which are kept. */
#ifndef NN_ENGINE_NATIVE_RNN_IMPL_H
#define NN_ENGINE_NATIVE_RNN_IMPL_H
#include "engine/native/eltwise_impl.h"

enum { STRETCH = 256 };

/* A stretch of n units of one row: pointers into the matrices of the cell. */
typedef struct stretch {
    int64_t n;
    float *sums, *raw, *inner;
    const float *before, *c_before;
    float *c, *h;
    float *dh, *dc, *dbefore, *dinner;
} stretch;

typedef void stretch_fn(const nn_cell *c, const stretch *s);

INLINE void each_stretch(const nn_cell *c, stretch_fn *fn) {
    for (int64_t row = 0; row < c->rows; row++)
        for (int64_t u = 0; u < c->units; u += STRETCH) {
            int64_t at = row * c->lds + u, inner = row * c->ldi + u, state = row * c->stride + u;
            stretch s = {.n = c->units - u < STRETCH ? c->units - u : STRETCH,
                         .sums = c->sums + at,
                         .raw = c->raw ? c->raw + at : NULL,
                         .inner = c->inner ? c->inner + inner : NULL,
                         .before = c->before + state,
                         .c_before = c->c_before ? c->c_before + state : NULL,
                         .c = c->c ? c->c + state : NULL,
                         .h = c->h ? c->h + state : NULL,
                         .dh = c->dh ? c->dh + state : NULL,
                         .dc = c->dc ? c->dc + state : NULL,
                         .dbefore = c->dbefore ? c->dbefore + state : NULL,
                         .dinner = c->dinner ? c->dinner + state : NULL};
            fn(c, &s);
        }
}

/* ---- functions and their slopes ---- */

/* The function of gate `g`'s sums in their place. */
INLINE float *apply(const nn_cell *c, const stretch *s, int g, nn_cell_act f) {
    float *v = s->sums + g * c->stride;
    if (s->raw) memcpy(s->raw + g * c->stride, v, (size_t)s->n * sizeof *v);
    NN_KERNELS.map[f.kind](s->n, v, v, f.alpha);
    return v;
}

/* d times the slope where the function's argument is x and its value v; x NULL: from v alone, where
 * that tells it. Most lines have the slope at v that they have at x. */
INLINE void slope(nn_cell_act f, int64_t n, const float *x, const float *v, float *d) {
    if (f.kind == NN_ACT_SIGMOID)
        for (int64_t j = 0; j < n; j++) d[j] *= v[j] * (1 - v[j]);
    else if (f.kind == NN_ACT_TANH)
        for (int64_t j = 0; j < n; j++) d[j] *= 1 - v[j] * v[j];
    else if (f.kind == NN_ACT_HARD_SIGMOID)
        for (int64_t j = 0; j < n; j++) d[j] *= v[j] > 0 && v[j] < 1 ? 1.0f / 6 : 0;
    else
        NN_KERNELS.map_grad[f.kind](n, x ? x : v, d, d, f.alpha);
}

/* d, the gradient of gate g's value, becomes that of its sums and takes their place. */
INLINE void put_gradient(const nn_cell *c, const stretch *s, int g, nn_cell_act f, float *d) {
    float *v = s->sums + g * c->stride;
    slope(f, s->n, s->raw ? s->raw + g * c->stride : NULL, v, d);
    memcpy(v, d, (size_t)s->n * sizeof *v);
}

/* ---- SimpleRNN ---- */

static void simple_forward(const nn_cell *c, const stretch *s) {
    memcpy(s->h, apply(c, s, 0, c->act), (size_t)s->n * sizeof *s->h);
}

static void simple_backward(const nn_cell *c, const stretch *s) {
    float d[STRETCH] ALIGNED;
    memcpy(d, s->dh, (size_t)s->n * sizeof *d);
    put_gradient(c, s, 0, c->act, d);
}

/* ---- LSTM: gates i f c o ---- */

INLINE void add_inner(const nn_cell *c, const stretch *s, int gates) {
    for (int64_t g = 0; g < gates; g++) {
        float *sums = s->sums + g * c->stride;
        const float *inner = s->inner + g * c->stride;
        for (int64_t j = 0; j < s->n; j++) sums[j] += inner[j];
    }
}

static void lstm_forward(const nn_cell *c, const stretch *s) {
    if (s->inner) add_inner(c, s, 4);
    const float *i = apply(c, s, 0, c->gate), *f = apply(c, s, 1, c->gate);
    const float *g = apply(c, s, 2, c->act), *o = apply(c, s, 3, c->gate);
    for (int64_t j = 0; j < s->n; j++) s->c[j] = f[j] * s->c_before[j] + i[j] * g[j];
    NN_KERNELS.map[c->act.kind](s->n, s->c, s->h, c->act.alpha);
    for (int64_t j = 0; j < s->n; j++) s->h[j] *= o[j];
}

static void lstm_backward(const nn_cell *c, const stretch *s) {
    float t[STRETCH] ALIGNED, d[4][STRETCH] ALIGNED;
    const float *i = s->sums, *f = i + c->stride, *g = f + c->stride, *o = g + c->stride;
    NN_KERNELS.map[c->act.kind](s->n, s->c, t, c->act.alpha);
    for (int64_t j = 0; j < s->n; j++) {
        d[0][j] = s->dh[j] * o[j];
        d[3][j] = s->dh[j] * t[j];
    }
    slope(c->act, s->n, s->c, t, d[0]);
    for (int64_t j = 0; j < s->n; j++) {
        float dc = s->dc[j] + d[0][j];
        d[0][j] = dc * g[j];
        d[1][j] = dc * s->c_before[j];
        d[2][j] = dc * i[j];
        s->dc[j] = dc * f[j];
    }
    for (int k = 0; k < 4; k++) put_gradient(c, s, k, k == 2 ? c->act : c->gate, d[k]);
}

/* ---- GRU: gates z r h ---- */

/* h' = z h + (1 - z) act(...) */
INLINE void gru_state(const nn_cell *c, const stretch *s) {
    const float *z = s->sums, *g = apply(c, s, 2, c->act);
    for (int64_t j = 0; j < s->n; j++) s->h[j] = z[j] * s->before[j] + (1 - z[j]) * g[j];
}

/* The gradients of z's sums and of the candidate's, from dh; its direct part of dbefore. */
INLINE void gru_state_back(const nn_cell *c, const stretch *s) {
    float d[2][STRETCH] ALIGNED;
    const float *z = s->sums, *g = s->sums + 2 * c->stride;
    for (int64_t j = 0; j < s->n; j++) {
        d[0][j] = s->dh[j] * (s->before[j] - g[j]);
        d[1][j] = s->dh[j] * (1 - z[j]);
        s->dbefore[j] = s->dh[j] * z[j];
    }
    put_gradient(c, s, 0, c->gate, d[0]);
    put_gradient(c, s, 2, c->act, d[1]);
}

/* reset_after: inner holds h U + b2 of all three gates, and keeps that of the last. */
static void gru_after_forward(const nn_cell *c, const stretch *s) {
    float *g = s->sums + 2 * c->stride;
    const float *qg = s->inner + 2 * c->stride;
    add_inner(c, s, 2);
    apply(c, s, 0, c->gate);
    const float *r = apply(c, s, 1, c->gate);
    for (int64_t j = 0; j < s->n; j++) g[j] += r[j] * qg[j];
    gru_state(c, s);
}

static void gru_after_backward(const nn_cell *c, const stretch *s) {
    float d[STRETCH] ALIGNED, reset[STRETCH] ALIGNED;
    const float *z = s->sums, *r = z + c->stride, *g = r + c->stride;
    float *qz = s->inner, *qr = qz + c->stride, *qg = qr + c->stride;
    gru_state_back(c, s);
    for (int64_t j = 0; j < s->n; j++) {
        reset[j] = r[j];
        d[j] = g[j] * qg[j];
    }
    put_gradient(c, s, 1, c->gate, d);
    for (int64_t j = 0; j < s->n; j++) {
        qz[j] = z[j];
        qr[j] = r[j];
        qg[j] = g[j] * reset[j];
    }
}

/* else: first z, r and inner = r h; then, with inner U in the sums, the state. */
static void gru_gates_forward(const nn_cell *c, const stretch *s) {
    apply(c, s, 0, c->gate);
    const float *r = apply(c, s, 1, c->gate);
    for (int64_t j = 0; j < s->n; j++) s->inner[j] = r[j] * s->before[j];
}

static void gru_state_forward(const nn_cell *c, const stretch *s) {
    gru_state(c, s);
}

static void gru_state_backward(const nn_cell *c, const stretch *s) {
    gru_state_back(c, s);
}

/* dinner: the gradient of r h. */
static void gru_gates_backward(const nn_cell *c, const stretch *s) {
    float d[STRETCH] ALIGNED;
    const float *r = s->sums + c->stride;
    for (int64_t j = 0; j < s->n; j++) {
        d[j] = s->dinner[j] * s->before[j];
        s->dbefore[j] += s->dinner[j] * r[j];
    }
    put_gradient(c, s, 1, c->gate, d);
}

#define CELL(name)                                                                                 \
    static void cell_##name(const nn_cell *c) {                                                    \
        each_stretch(c, name);                                                                     \
    }
CELL(simple_forward)
CELL(simple_backward)
CELL(lstm_forward)
CELL(lstm_backward)
CELL(gru_after_forward)
CELL(gru_after_backward)
CELL(gru_gates_forward)
CELL(gru_gates_backward)
CELL(gru_state_forward)
CELL(gru_state_backward)
#undef CELL

static nn_cell_fn *const cells_forward[NN_CELL_COUNT] = {
    [NN_CELL_SIMPLE] = cell_simple_forward,       [NN_CELL_LSTM] = cell_lstm_forward,
    [NN_CELL_GRU_AFTER] = cell_gru_after_forward, [NN_CELL_GRU_GATES] = cell_gru_gates_forward,
    [NN_CELL_GRU_STATE] = cell_gru_state_forward,
};
static nn_cell_fn *const cells_backward[NN_CELL_COUNT] = {
    [NN_CELL_SIMPLE] = cell_simple_backward,       [NN_CELL_LSTM] = cell_lstm_backward,
    [NN_CELL_GRU_AFTER] = cell_gru_after_backward, [NN_CELL_GRU_GATES] = cell_gru_gates_backward,
    [NN_CELL_GRU_STATE] = cell_gru_state_backward,
};
#endif
