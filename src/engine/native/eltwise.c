/* SPDX-License-Identifier: MIT */
/* eltwise.c - activations, softmax, dropout. */
#include "engine/dropout.h"
#include "engine/native/native.h"

#include <string.h>

/* What a range of elements costs: a cheap guess at operations an element. */
enum { CHEAP = 1, DEAR = 20, CHUNK = 1024 };

/* ---- activation ---- */

static nn_status plan_same(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    nn_out(x, u)->layout = nn_in(x, u)->layout;
    return NN_OK;
}

static int64_t chunks(int64_t n) {
    return (n + CHUNK - 1) / CHUNK;
}

/* Chunks [begin, end) of n elements. */
typedef struct span {
    int64_t at, n;
} span;
static span span_of(int64_t n, int64_t begin, int64_t end) {
    int64_t last = end * CHUNK < n ? end * CHUNK : n;
    return (span){begin * CHUNK, last - begin * CHUNK};
}

typedef struct map_job {
    const nn_unit *u;
    int64_t n;
} map_job;

static void run_map(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const map_job *j = arg;
    span s = span_of(j->n, begin, end);
    float alpha = (float)j->u->node->attr.activation.alpha;
    x->k->map[j->u->node->attr.activation.kind](s.n, j->u->in->x + s.at, j->u->y + s.at, alpha);
}

static void run_map_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const map_job *j = arg;
    span s = span_of(j->n, begin, end);
    float alpha = (float)j->u->node->attr.activation.alpha;
    x->k->map_grad[j->u->node->attr.activation.kind](s.n, j->u->in->x + s.at, j->u->dy + s.at,
                                                     j->u->in->dx + s.at, alpha);
}

static nn_status activation_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    map_job j = {u, rows * nn_in(x, u)->elements};
    nn_parallel(x, chunks(j.n), (double)j.n * DEAR, run_map, &j);
    return NN_OK;
}

static nn_status activation_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    map_job j = {u, rows * nn_in(x, u)->elements};
    if (u->in->dx) nn_parallel(x, chunks(j.n), (double)j.n * DEAR, run_map_grad, &j);
    return NN_OK;
}

const nn_unit_kind nn_unit_activation = {
    .name = "activation",
    .reads_input = true,
    .wants = nn_wants_any,
    .plan = plan_same,
    .forward = activation_forward,
    .backward = activation_backward,
};

/* ---- softmax over the last axis ---- */

static int64_t last_axis(const nn_unit *u) {
    const nn_shape *s = u->in->shape;
    return s->dim[s->rank - 1];
}

static void run_softmax(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    int64_t n = last_axis(u);
    x->k->softmax(end - begin, n, u->in->x + begin * n, u->y + begin * n,
                  u->node->attr.softmax.log);
}

static void run_softmax_grad(const nn_native *x, void *arg, int64_t begin, int64_t end,
                             int thread) {
    (void)thread;
    const nn_unit *u = arg;
    int64_t n = last_axis(u);
    x->k->softmax_grad(end - begin, n, u->y + begin * n, u->dy + begin * n, u->in->dx + begin * n,
                       u->node->attr.softmax.log);
}

static nn_status softmax_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    int64_t n = rows * nn_in(x, u)->elements;
    nn_parallel(x, n / last_axis(u), (double)n * DEAR, run_softmax, u);
    return NN_OK;
}

static nn_status softmax_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    int64_t n = rows * nn_in(x, u)->elements;
    if (u->in->dx) nn_parallel(x, n / last_axis(u), (double)n * DEAR, run_softmax_grad, u);
    return NN_OK;
}

const nn_unit_kind nn_unit_softmax = {
    .name = "softmax",
    .reads_output = true,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

/* ---- dropout (engine/dropout.h says which elements are kept) ---- */

/* What each element was multiplied by, kept for backward. */
typedef struct dropout {
    float *factor;
} dropout;

static nn_status dropout_plan(nn_native *x, nn_unit *u, nn_err *err) {
    dropout *d = u->state = NN_NEW(x->arena, dropout);
    nn_native_wish(x, u, nn_in(x, u)->elements * nn_rows(x, u), NN_FOR_FORWARD | NN_FOR_BACKWARD,
                   &d->factor);
    return plan_same(x, u, err);
}

typedef struct dropout_job {
    const nn_unit *u;
    nn_dropout d;
    float *factor;
} dropout_job;

/* A row whose draws are one after the other, four a block. */
static void fill_row(const dropout_job *j, nn_layout l, int64_t n, int64_t first, float *factor) {
    uint32_t draw[4] = {0};
    float scale = (float)j->d.scale;
    for (int64_t e = 0; e < n; e++) {
        int64_t i = first + e;
        if (e == 0 || i % 4 == 0) nn_dropout_block(&j->d, i / 4, draw);
        factor[nn_layout_at(l, e)] = draw[i % 4] >= j->d.threshold ? scale : 0;
    }
}

static void fill_shared_row(const dropout_job *j, nn_layout l, int64_t n, int64_t first,
                            float *factor) {
    for (int64_t e = 0; e < n; e++) {
        int64_t i = first + nn_dropout_noise_at(j->u->node, e);
        factor[nn_layout_at(l, e)] = nn_dropout_keeps(&j->d, i) ? (float)j->d.scale : 0;
    }
}

static void run_dropout(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dropout_job *j = arg;
    const nn_value *v = nn_in(x, j->u);
    for (int64_t row = begin; row < end; row++) {
        float *factor = j->factor + row * v->elements;
        (j->d.shared ? fill_shared_row : fill_row)(j, v->layout, v->elements, row * j->d.noise,
                                                   factor);
        x->k->multiply(v->elements, j->u->in->x + row * v->elements, factor,
                       j->u->y + row * v->elements);
    }
}

static nn_status dropout_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    int64_t n = rows * nn_in(x, u)->elements;
    if (!x->learning) {
        memcpy(u->y, u->in->x, (size_t)n * sizeof *u->y);
        return NN_OK;
    }
    const dropout *d = u->state;
    dropout_job j = {u, nn_dropout_at(u->node, x->base.options.seed, x->updates), d->factor};
    nn_parallel(x, rows, (double)n * DEAR, run_dropout, &j);
    return NN_OK;
}

static nn_status dropout_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const dropout *d = u->state;
    if (u->in->dx) x->k->multiply(rows * nn_in(x, u)->elements, u->dy, d->factor, u->in->dx);
    return NN_OK;
}

const nn_unit_kind nn_unit_dropout = {
    .name = "dropout",
    .wants = nn_wants_any,
    .plan = dropout_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

/* Planning makes their values; they do nothing when running. */
const nn_unit_kind nn_unit_input = {.name = "input"};
const nn_unit_kind nn_unit_reshape = {.name = "reshape"};
const nn_unit_kind nn_unit_fold = {.name = "fold"};
const nn_unit_kind nn_unit_unfold = {.name = "unfold"};
