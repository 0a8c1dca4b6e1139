/* SPDX-License-Identifier: MIT */
/* eltwise.c - activations, softmax, clip. */
#include "engine/native/native.h"

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
    .grad_in_place = true,
    .in_place = true,
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
    .grad_in_place = true,
    .in_place = true,
    .reads_output = true,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

/* ---- clip ---- */

static void run_clip(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const map_job *j = arg;
    span s = span_of(j->n, begin, end);
    const nn_attr *a = &j->u->node->attr;
    x->k->bound(s.n, j->u->in->x + s.at, (float)a->clip.low, (float)a->clip.high, j->u->y + s.at);
}

static void run_clip_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const map_job *j = arg;
    span s = span_of(j->n, begin, end);
    const nn_attr *a = &j->u->node->attr;
    x->k->bound_grad(s.n, j->u->in->x + s.at, (float)a->clip.low, (float)a->clip.high,
                     j->u->dy + s.at, j->u->in->dx + s.at);
}

static nn_status clip_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    map_job j = {u, rows * nn_in(x, u)->elements};
    nn_parallel(x, chunks(j.n), (double)j.n * CHEAP, run_clip, &j);
    return NN_OK;
}

static nn_status clip_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    map_job j = {u, rows * nn_in(x, u)->elements};
    if (u->in->dx) nn_parallel(x, chunks(j.n), (double)j.n * CHEAP, run_clip_grad, &j);
    return NN_OK;
}

const nn_unit_kind nn_unit_clip = {
    .name = "clip",
    .grad_in_place = true,
    .in_place = true,
    .reads_input = true,
    .wants = nn_wants_any,
    .plan = plan_same,
    .forward = clip_forward,
    .backward = clip_backward,
};

/* Planning makes their values; they do nothing when running. */
const nn_unit_kind nn_unit_input = {.name = "input"};
const nn_unit_kind nn_unit_reshape = {.name = "reshape"};
const nn_unit_kind nn_unit_fold = {.name = "fold"};
const nn_unit_kind nn_unit_unfold = {.name = "unfold"};
