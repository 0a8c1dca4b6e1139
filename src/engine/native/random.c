/* SPDX-License-Identifier: MIT */
/* random.c - dropout and noise. engine/dropout.h and engine/noise.h say what each element draws: a
 * function of seed, node, update and element, so that pieces of a batch are drawn in any order. */
#include "engine/dropout.h"
#include "engine/native/native.h"
#include "engine/noise.h"

#include <string.h>

/* Elements that are drawn at a time, and room for what the kernel draws more. */
enum { CHUNK = 1024, ROOM = CHUNK + 4 + 60, COST = 8 /* operations an element */ };

/* The draws of elements [first, first + n), n <= CHUNK, in buffer; returns where they begin. */
static const uint32_t *draw(const nn_native *x, uint64_t key, uint64_t stream, uint64_t counter,
                            int64_t first, int64_t n, uint32_t *buffer) {
    int64_t block = first / 4, last = (first + n + 3) / 4;
    x->k->draws(key, stream, counter + (uint64_t)block, last - block, buffer);
    return buffer + first % 4;
}

/* ---- dropout ---- */

/* What each element was multiplied by, kept for backward. */
typedef struct dropout {
    float *factor;
} dropout;

static nn_status dropout_plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    dropout *d = u->state = NN_NEW(x->arena, dropout);
    nn_native_wish(x, u, nn_in(x, u)->elements * nn_rows(x, u), NN_FOR_FORWARD | NN_FOR_BACKWARD,
                   &d->factor);
    nn_out(x, u)->layout = nn_in(x, u)->layout;
    return NN_OK;
}

typedef struct dropout_job {
    const nn_unit *u;
    nn_dropout d;
    float *factor;
    int64_t n; /* elements of the batch */
} dropout_job;

static void fill(const nn_native *x, const dropout_job *j, int64_t first, int64_t n, float *to) {
    uint32_t buffer[ROOM];
    const uint32_t *draws = draw(x, j->d.key, j->d.stream, j->d.counter, first, n, buffer);
    x->k->keep(n, draws, j->d.threshold, (float)j->d.scale, 0, to);
}

/* A plain value: its elements are drawn as they lie. */
static void run_plain(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dropout_job *j = arg;
    for (int64_t at = begin * CHUNK; at < end * CHUNK && at < j->n; at += CHUNK) {
        int64_t n = j->n - at < CHUNK ? j->n - at : CHUNK;
        fill(x, j, at, n, j->factor + at);
        x->k->multiply(n, j->u->in->x + at, j->factor + at, j->u->y + at);
    }
}

/* Whole places of a blocked row at a time, or less of one. */
static void fill_row(const nn_native *x, const dropout_job *j, nn_layout l, int64_t n,
                     int64_t first, float *factor) {
    float drawn[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;
        fill(x, j, first + at, some, drawn);
        for (int64_t e = 0; e < some; e++) factor[nn_layout_at(l, at + e)] = drawn[e];
    }
}

static void fill_shared_row(const dropout_job *j, nn_layout l, int64_t n, int64_t first,
                            float *factor) {
    for (int64_t e = 0; e < n; e++) {
        int64_t i = first + nn_dropout_noise_at(j->u->node, e);
        factor[nn_layout_at(l, e)] = nn_dropout_keeps(&j->d, i) ? (float)j->d.scale : 0;
    }
}

static void run_by_rows(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dropout_job *j = arg;
    const nn_value *v = nn_in(x, j->u);
    for (int64_t row = begin; row < end; row++) {
        int64_t at = row * v->elements;
        if (j->d.shared)
            fill_shared_row(j, v->layout, v->elements, row * j->d.noise, j->factor + at);
        else
            fill_row(x, j, v->layout, v->elements, row * j->d.noise, j->factor + at);
        x->k->multiply(v->elements, j->u->in->x + at, j->factor + at, j->u->y + at);
    }
}

static nn_status dropout_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const dropout *d = u->state;
    int64_t n = rows * nn_in(x, u)->elements;
    if (!x->learning) {
        memcpy(u->y, u->in->x, (size_t)n * sizeof *u->y);
        return NN_OK;
    }
    dropout_job j = {u, nn_dropout_at(u->node, x->base.options.seed, x->updates), d->factor, n};
    if (nn_layout_is_plain(nn_in(x, u)->layout) && !j.d.shared)
        nn_parallel(x, (n + CHUNK - 1) / CHUNK, (double)n * COST, run_plain, &j);
    else
        nn_parallel(x, rows, (double)n * COST * 2, run_by_rows, &j);
    return NN_OK;
}

typedef struct times_job {
    const nn_unit *u;
    int64_t n;
} times_job;

static void run_times(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const times_job *j = arg;
    int64_t at = begin * CHUNK, n = (end * CHUNK < j->n ? end * CHUNK : j->n) - at;
    const dropout *d = j->u->state;
    x->k->multiply(n, j->u->dy + at, d->factor + at, j->u->in->dx + at);
}

static nn_status dropout_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    times_job j = {u, rows * nn_in(x, u)->elements};
    if (u->in->dx) nn_parallel(x, (j.n + CHUNK - 1) / CHUNK, (double)j.n * 2, run_times, &j);
    return NN_OK;
}

const nn_unit_kind nn_unit_dropout = {
    .name = "dropout",
    .grad_in_place = true,
    .wants = nn_wants_any,
    .plan = dropout_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

/* ---- noise: backward draws again what forward drew ---- */

typedef struct noise_job {
    const nn_unit *u;
    nn_noise_plan p;
    int64_t n; /* elements of the batch */
    bool back;
} noise_job;

/* n elements from `first`, a multiple of CHUNK, on. */
static void alpha_chunk(const nn_native *x, const noise_job *j, int64_t first, int64_t n,
                        const float *from, float *to) {
    uint32_t buffer[ROOM];
    float factor[CHUNK], shift[CHUNK];
    const uint32_t *draws = draw(x, j->p.key, j->p.stream, j->p.counter, first, n, buffer);
    x->k->keep(n, draws, j->p.threshold, (float)j->p.scale, 0, factor);
    x->k->multiply(n, from, factor, to);
    if (j->back) return;
    x->k->keep(n, draws, j->p.threshold, (float)j->p.kept, (float)j->p.dropped, shift);
    x->k->add(n, shift, to);
}

static void normal_chunk(const nn_native *x, const noise_job *j, int64_t first, int64_t n,
                         const float *from, float *to) {
    uint32_t buffer[ROOM];
    float normal[CHUNK + 4];
    bool multiplies = j->p.kind == NN_NOISE_GAUSSIAN_DROPOUT;
    const uint32_t *draws = draw(x, j->p.key, j->p.stream, j->p.counter, first, n, buffer);
    x->k->normals((n + 1) / 2, draws, normal);
    if (multiplies) x->k->multiply(n, from, normal, normal);
    memcpy(to, from, (size_t)n * sizeof *to);
    x->k->add_scaled(n, normal, (float)j->p.deviation, to);
}

static void run_noise(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const noise_job *j = arg;
    const float *from = j->back ? j->u->dy : j->u->in->x;
    float *to = j->back ? j->u->in->dx : j->u->y;
    for (int64_t at = begin * CHUNK; at < end * CHUNK && at < j->n; at += CHUNK) {
        int64_t n = j->n - at < CHUNK ? j->n - at : CHUNK;
        if (j->p.kind == NN_NOISE_ALPHA_DROPOUT)
            alpha_chunk(x, j, at, n, from + at, to + at);
        else
            normal_chunk(x, j, at, n, from + at, to + at);
    }
}

static nn_status noise_run(nn_native *x, nn_unit *u, int64_t rows, bool back) {
    nn_noise_plan p = nn_noise_at(u->node, x->base.options.seed, x->updates);
    noise_job j = {u, p, rows * nn_in(x, u)->elements, back};
    nn_parallel(x, (j.n + CHUNK - 1) / CHUNK, (double)j.n * 3 * COST, run_noise, &j);
    return NN_OK;
}

static nn_status noise_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (x->learning) return noise_run(x, u, rows, false);
    memcpy(u->y, u->in->x, (size_t)(rows * nn_in(x, u)->elements) * sizeof *u->y);
    return NN_OK;
}

/* Noise that is added has no part in the gradient. */
static nn_status noise_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (!u->in->dx) return NN_OK;
    if (u->node->attr.noise.kind != NN_NOISE_GAUSSIAN) return noise_run(x, u, rows, true);
    memcpy(u->in->dx, u->dy, (size_t)(rows * nn_in(x, u)->elements) * sizeof *u->dy);
    return NN_OK;
}

const nn_unit_kind nn_unit_noise = {
    .name = "noise",
    .forward = noise_forward,
    .backward = noise_backward,
};
