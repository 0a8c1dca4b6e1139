/* SPDX-License-Identifier: MIT */
/* penalty.c - activity regularisers: the value itself, and (l1 sum |x| + l2 sum x^2) / rows in the
 * loss. The sums are taken by a fixed number of parts, whatever the threads. */
#include "engine/native/native.h"

#include <string.h>

enum { PARTS = 32 };

typedef struct penalty {
    double part[PARTS], loss;
} penalty;

typedef struct job {
    const nn_unit *u;
    int64_t n, rows;
} job;

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    u->state = NN_NEW(x->arena, penalty);
    nn_out(x, u)->layout = nn_in(x, u)->layout;
    return NN_OK;
}

static void run_forward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const nn_unit *u = j->u;
    penalty *s = u->state;
    for (int64_t p = begin; p < end; p++) {
        int64_t at = j->n * p / PARTS, n = j->n * (p + 1) / PARTS - at;
        memcpy(u->y + at, u->in->x + at, (size_t)n * sizeof *u->y);
        s->part[p] = u->node->attr.activity_reg.l1 * x->k->sum_abs(n, u->in->x + at) +
                     u->node->attr.activity_reg.l2 * x->k->sum_square(n, u->in->x + at);
    }
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    penalty *s = u->state;
    job j = {u, rows * nn_in(x, u)->elements, rows};
    nn_parallel(x, PARTS, (double)j.n * 4, run_forward, &j);
    s->loss = 0;
    for (int p = 0; p < PARTS; p++) s->loss += s->part[p];
    s->loss /= (double)rows;
    return NN_OK;
}

static double loss(const nn_unit *u) {
    return ((const penalty *)u->state)->loss;
}

static void run_backward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const nn_unit *u = j->u;
    int64_t at = j->n * begin / PARTS, n = j->n * end / PARTS - at;
    float l1 = (float)(u->node->attr.activity_reg.l1 / (double)j->rows);
    float l2 = (float)(2 * u->node->attr.activity_reg.l2 / (double)j->rows);
    x->k->penalty_grad(n, u->in->x + at, u->dy ? u->dy + at : NULL, l1, l2, u->in->dx + at);
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    job j = {u, rows * nn_in(x, u)->elements, rows};
    if (u->in->dx) nn_parallel(x, PARTS, (double)j.n * 4, run_backward, &j);
    return NN_OK;
}

const nn_unit_kind nn_unit_activity_reg = {
    .name = "activity_reg",
    .reads_input = true,
    .wants = nn_wants_any,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .loss = loss,
};
