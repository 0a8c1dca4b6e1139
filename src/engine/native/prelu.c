/* SPDX-License-Identifier: MIT */
/* prelu.c - x where it is positive, else alpha x. The learned alphas, shared along some axes, are
 * spread over a row in its layout, so that every pass is even; their gradients are summed as such a
 * row by each part of the batch (as many as threads), and gathered in order. */
#include "engine/native/native.h"

#include <string.h>

typedef struct prelu {
    int64_t n, alphas, parts;
    int32_t *of;   /* by element in memory: its alpha */
    float *wide;   /* alphas of a row */
    float *shares; /* parts x n: gradients */
    double *alpha; /* their sums */
} prelu;

/* The alpha of element e of a row: its place in a weight that is 1 along shared axes. */
static int64_t alpha_of(const nn_unit *u, int64_t e) {
    int64_t at = 0, step = 1;
    for (int a = u->in->shape->rank - 1; a >= 0; a--) {
        int64_t i = e % u->in->shape->dim[a];
        e /= u->in->shape->dim[a];
        if (u->node->attr.prelu.shared & 1U << a) continue;
        at += i * step;
        step *= u->in->shape->dim[a];
    }
    return at;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_layout l = nn_out(x, u)->layout = nn_in(x, u)->layout;
    prelu *s = u->state = NN_NEW(x->arena, prelu);
    s->n = nn_in(x, u)->elements;
    s->alphas = x->base.graph->weights[u->node->weights[0]].elements;
    s->parts = x->threads;
    nn_native_param(x, u, 0, s->alphas, NULL);
    nn_native_wish(x, u, s->n, NN_FOR_FORWARD | (x->training ? NN_FOR_BACKWARD : 0), &s->wide);
    if (x->training) nn_native_wish(x, u, s->parts * s->n, NN_FOR_BACKWARD, &s->shares);
    s->of = NN_NEW_N(x->arena, int32_t, (size_t)s->n);
    s->alpha = NN_NEW_N(x->arena, double, (size_t)s->alphas);
    if (!s->of || !s->alpha) return nn_native_refused(x, (size_t)s->n * sizeof *s->of, err);
    for (int64_t e = 0; e < s->n; e++) s->of[nn_layout_at(l, e)] = (int32_t)alpha_of(u, e);
    return NN_OK;
}

typedef struct job {
    const nn_unit *u;
    int64_t rows;
} job;

static void run_forward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const prelu *s = j->u->state;
    for (int64_t at = begin * s->n; at < end * s->n; at += s->n)
        x->k->prelu(s->n, j->u->in->x + at, s->wide, j->u->y + at);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const prelu *s = u->state;
    const float *w = nn_native_w(x, u, 0);
    job j = {u, rows};
    for (int64_t i = 0; i < s->n; i++) s->wide[i] = w[s->of[i]];
    nn_parallel(x, rows, (double)(rows * s->n) * 2, run_forward, &j);
    return NN_OK;
}

static void run_backward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const prelu *s = j->u->state;
    for (int64_t p = begin; p < end; p++) {
        float *share = s->shares + p * s->n;
        memset(share, 0, (size_t)s->n * sizeof *share);
        int64_t first = j->rows * p / s->parts, last = j->rows * (p + 1) / s->parts;
        for (int64_t at = first * s->n; at < last * s->n; at += s->n)
            x->k->prelu_grad(s->n, j->u->in->x + at, s->wide, j->u->dy + at,
                             j->u->in->dx ? j->u->in->dx + at : NULL, share);
    }
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const prelu *s = u->state;
    float *g = nn_native_g(x, u, 0);
    job j = {u, rows};
    nn_parallel(x, s->parts, (double)(rows * s->n) * 4, run_backward, &j);
    if (!g) return NN_OK;
    memset(s->alpha, 0, (size_t)s->alphas * sizeof *s->alpha);
    for (int64_t p = 0; p < s->parts; p++)
        for (int64_t i = 0; i < s->n; i++) s->alpha[s->of[i]] += (double)s->shares[p * s->n + i];
    for (int64_t i = 0; i < s->alphas; i++) g[i] = (float)s->alpha[i];
    return NN_OK;
}

const nn_unit_kind nn_unit_prelu = {
    .name = "prelu",
    .in_place = true,
    .reads_input = true,
    .wants = nn_wants_any,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
