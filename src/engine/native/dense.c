/* SPDX-License-Identifier: MIT */
/* dense.c - matmul on panels (kernels.h): y = x W + b over the last axis.
 *
 * W is held as panels, its rows permuted where the input is a flattened blocked tensor. The
 * gradient of the input goes through a transposed copy of W, made in each backward. When nothing
 * must be known about all gradients together (no clipping, no regulariser) the gradient of W and
 * its update are one pass over W, after backward: the gradient is never written to memory. */
#include "engine/native/native.h"

#include <float.h>

typedef struct dense {
    int64_t k, n, per_row; /* matrix sizes; rows of x a sample */
    float *transposed;
} dense;

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    (void)i;
    const nn_shape *in = u->in->shape;
    if (in->rank == 1) return false;
    *ret = nn_layout_plain(nn_in(x, u)->elements, in->dim[in->rank - 1]);
    return true;
}

/* Of the kernel. In the slab it is [in][out]. */
static nn_status convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                         float *exec) {
    const dense *d = p->unit->state;
    nn_layout l = nn_in(x, p->unit)->layout;
    bool permuted = p->unit->in->shape->rank == 1;
    for (int64_t k = 0; k < d->k; k++) {
        int64_t row = permuted ? nn_layout_at(l, k) : k;
        for (int64_t n = 0; n < d->n; n++) {
            float *e = exec + nn_panel_at(d->k, d->n, row, n), *f = plain + k * d->n + n;
            if (import)
                *e = *f;
            else
                *f = *e;
        }
    }
    return NN_OK;
}

/* Deferring looks through x and dy, but spares the passes over the gradient. */
static bool worth_deferring(int64_t m, int64_t k, int64_t n) {
    return m * (k + n) < 8 * k * n;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    const nn_shape *in = u->in->shape;
    dense *d = u->state = NN_NEW(x->arena, dense);
    d->k = in->dim[in->rank - 1];
    d->n = u->node->shape.dim[u->node->shape.rank - 1];
    d->per_row = nn_in(x, u)->elements / d->k;
    nn_native_param(x, u, 0, nn_panel_floats(d->k, d->n), convert);
    if (u->node->attr.matmul.bias) nn_native_param(x, u, 1, d->n, NULL);
    if (!x->training) return NN_OK;
    x->params[u->param[0]].deferred = x->deferring && nn_native_trains(x, u, 0) &&
                                      worth_deferring(nn_rows(x, u) * d->per_row, d->k, d->n);
    if (u->in->learns)
        nn_native_wish(x, u, nn_panel_floats(d->n, d->k), NN_FOR_BACKWARD, &d->transposed);
    int64_t pack = nn_grad_pack_floats(nn_rows(x, u) * d->per_row, d->n, d->k);
    if (pack > x->pack_floats) x->pack_floats = pack;
    return NN_OK;
}

static void run_gemm(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    x->k->gemm(arg, begin, end);
}

static void gemm(const nn_native *x, nn_gemm *g) {
    double work = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    nn_parallel(x, nn_panels(g->n) * nn_tiles(g->m), work, run_gemm, g);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const dense *d = u->state;
    nn_gemm g = {.m = rows * d->per_row,
                 .n = d->n,
                 .k = d->k,
                 .a = u->in->x,
                 .b = nn_native_w(x, u, 0),
                 .c = u->y,
                 .bias = nn_unit_bias(x, u),
                 .relu = u->relu};
    gemm(x, &g);
    return NN_OK;
}

/* ---- backward ---- */

typedef struct grad_job {
    nn_gemm_grad g;
    bool infinite; /* set by any thread, never reset */
} grad_job;

static void run_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    grad_job *job = arg;
    if (!x->k->gemm_grad(&job->g, begin, end, x->pack + thread * x->pack_floats))
        __atomic_store_n(&job->infinite, true, __ATOMIC_RELAXED);
}

static bool grad(const nn_native *x, const nn_unit *u, int64_t rows, nn_gemm_grad g) {
    const dense *d = u->state;
    grad_job job = {g, false};
    job.g.m = rows * d->per_row;
    job.g.k = d->k;
    job.g.n = d->n;
    job.g.a = u->in->x;
    job.g.dy = u->dy;
    double work = 2.0 * (double)job.g.m * (double)d->n * (double)d->k;
    nn_parallel(x, nn_panels(d->n) * nn_tiles(d->k), work, run_grad, &job);
    return !job.infinite;
}

static void run_transpose(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    const dense *d = u->state;
    x->k->transpose(d->k, d->n, nn_native_w(x, u, 0), d->transposed, begin, end);
}

static void input_gradient(nn_native *x, nn_unit *u, int64_t rows) {
    dense *d = u->state;
    nn_parallel(x, nn_panels(d->k), 4.0 * (double)d->k * (double)d->n, run_transpose, u);
    nn_gemm g = {.m = rows * d->per_row,
                 .n = d->k,
                 .k = d->n,
                 .a = u->dy,
                 .b = d->transposed,
                 .c = u->in->dx,
                 .mask = u->mask_dx ? u->in->x : NULL,
                 .add = u->in->adds};
    gemm(x, &g);
}

typedef struct sums {
    const float *dy;
    float *db;
    int64_t rows, n;
} sums;

/* Of panels' columns, each summed from the first row to the last. */
static void run_sums(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const sums *s = arg;
    int64_t first = begin * NN_PANEL, last = end * NN_PANEL < s->n ? end * NN_PANEL : s->n;
    for (int64_t n = first; n < last; n++) s->db[n] = 0;
    for (int64_t i = 0; i < s->rows; i++)
        x->k->add(last - first, s->dy + i * s->n + first, s->db + first);
}

static void bias_gradient(nn_native *x, const nn_unit *u, int64_t rows, float *db) {
    const dense *d = u->state;
    sums s = {u->dy, db, rows * d->per_row, d->n};
    nn_parallel(x, nn_panels(d->n), (double)(s.rows * d->n), run_sums, &s);
    x->finite &= x->k->all_finite(d->n, db);
}

static bool is_deferred(const nn_native *x, const nn_unit *u) {
    return x->params[u->param[0]].deferred;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (nn_native_trains(x, u, 0) && !is_deferred(x, u))
        x->finite &= grad(x, u, rows, (nn_gemm_grad){.dw = nn_native_g(x, u, 0)});
    float *db = nn_native_g(x, u, 1);
    if (db) bias_gradient(x, u, rows, db);
    if (u->in->dx) input_gradient(x, u, rows);
    return NN_OK;
}

/* ---- the deferred pass ---- */

/* Each element of the gradient is a sum of m products, so it is finite if m max|x| max|dy| is, with
 * room for rounding. Only where that does not decide, the gradient is computed to look. */
static bool deferred(nn_native *x, nn_unit *u, int64_t rows, bool store) {
    const dense *d = u->state;
    if (!is_deferred(x, u)) return true;
    if (!store) {
        int64_t m = rows * d->per_row;
        double most_x = (double)x->k->max_abs(m * d->k, u->in->x);
        double most_dy = (double)x->k->max_abs(m * d->n, u->dy);
        if (most_x <= FLT_MAX && most_dy <= FLT_MAX && (double)m * most_x * most_dy < FLT_MAX / 2)
            return true;
    }
    return grad(x, u, rows, (nn_gemm_grad){.dw = nn_native_g(x, u, 0)});
}

static void update(nn_native *x, nn_unit *u, int64_t rows) {
    if (!is_deferred(x, u)) return;
    const nn_param *p = &x->params[u->param[0]];
    nn_update_f f = nn_native_update_f(x, x->updates + 1);
    nn_gemm_grad g = {.update = &f, .w = x->w + p->at, .dw = x->g + p->at};
    for (int i = 0; i < x->n_slots; i++) g.slot[i] = x->slot[i] + p->at;
    grad(x, u, rows, g);
}

const nn_unit_kind nn_unit_matmul = {
    .name = "matmul",
    .reads_input = true,
    .can_relu = true,
    .can_norm = true,
    .can_mask = true,
    .can_add = true,
    .wants = wants,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .update = update,
    .deferred = deferred,
};
