/* SPDX-License-Identifier: MIT */
/* cell_impl.h - the gates of an LSTM, place after place; part of kernels_impl.h. Formulas:
 * engine/reference/lstm.h. A strip of units at a time, so that all of it stays in the first-level
 * cache. */
#ifndef NN_ENGINE_NATIVE_CELL_IMPL_H
#define NN_ENGINE_NATIVE_CELL_IMPL_H

enum { CELL_STRIP = 64 };

/* Sums of the gates and their values in one strip. */
typedef struct gates {
    int64_t n;
    float *s[4];
    float v[4][CELL_STRIP];
} gates;

static void gate_values(const nn_lstm *l, gates *g) {
    for (int k = 0; k < 4; k++)
        (k == 2 ? l->act : l->gate)(g->n, g->s[k], g->v[k], k == 2 ? l->act_alpha : l->gate_alpha);
}

static gates gates_at(const nn_lstm *l, int64_t place, int64_t first) {
    gates g = {.n = l->units - first < CELL_STRIP ? l->units - first : CELL_STRIP};
    for (int k = 0; k < 4; k++) g.s[k] = l->sums + (place * 4 + k) * l->units + first;
    return g;
}

static void lstm_strip(const nn_lstm *l, int64_t place, int64_t first) {
    gates g = gates_at(l, place, first);
    int64_t at = place * l->units + first;
    const float *more = l->more ? l->more + 4 * place * l->units + first : NULL;
    for (int k = 0; more && k < 4; k++)
        for (int64_t i = 0; i < g.n; i++) g.s[k][i] += more[k * l->units + i];
    gate_values(l, &g);
    const float *c = l->c + at;
    float *after = l->c_after + at, *h = l->h_after + at;
    for (int64_t i = 0; i < g.n; i++) after[i] = g.v[1][i] * c[i] + g.v[0][i] * g.v[2][i];
    l->act(g.n, after, h, l->act_alpha);
    for (int64_t i = 0; i < g.n; i++) h[i] *= g.v[3][i];
}

static void lstm(const nn_lstm *l, int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; place++)
        for (int64_t first = 0; first < l->units; first += CELL_STRIP) lstm_strip(l, place, first);
}

static void lstm_strip_grad(const nn_lstm *l, int64_t place, int64_t first) {
    gates g = gates_at(l, place, first);
    int64_t at = place * l->units + first;
    const float *c = l->c + at, *after = l->c_after + at, *dh = l->dh + at;
    float *dc = l->dc + at, shown[CELL_STRIP], d[CELL_STRIP], t[4][CELL_STRIP];
    gate_values(l, &g);
    l->act(g.n, after, shown, l->act_alpha);
    for (int64_t i = 0; i < g.n; i++) t[0][i] = dh[i] * g.v[3][i];
    l->act_grad(g.n, after, t[0], d, l->act_alpha);
    for (int64_t i = 0; i < g.n; i++) {
        d[i] += dc[i];
        t[0][i] = d[i] * g.v[2][i];
        t[1][i] = d[i] * c[i];
        t[2][i] = d[i] * g.v[0][i];
        t[3][i] = dh[i] * shown[i];
        dc[i] = d[i] * g.v[1][i];
    }
    for (int k = 0; k < 4; k++)
        (k == 2 ? l->act_grad : l->gate_grad)(g.n, g.s[k], t[k], g.s[k],
                                              k == 2 ? l->act_alpha : l->gate_alpha);
}

static void lstm_grad(const nn_lstm *l, int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; place++)
        for (int64_t first = 0; first < l->units; first += CELL_STRIP)
            lstm_strip_grad(l, place, first);
}
#endif
