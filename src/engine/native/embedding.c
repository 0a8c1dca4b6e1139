/* SPDX-License-Identifier: MIT */
/* embedding.c - a row of a table for each whole number, and codes of the steps' places.
 *
 * The gradient of a table is summed in the order of the numbers: each thread goes through all of
 * them and takes those whose row is in its range, so sums do not depend on the threads. */
#include "engine/native/native.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- embedding ---- */

typedef struct lookup {
    int64_t n, table, size; /* numbers; rows of the table and their length */
    const float *x, *w;     /* numbers, table */
    float *y;               /* also: the gradient that comes in */
    float *dw;
} lookup;

static lookup lookup_of(const nn_native *x, const nn_unit *u, int64_t rows) {
    return (lookup){.n = rows * nn_in(x, u)->elements,
                    .table = u->node->attr.embedding.input_dim,
                    .size = u->node->attr.embedding.output_dim,
                    .x = u->in->x,
                    .w = nn_native_w(x, u, 0),
                    .y = u->y,
                    .dw = nn_native_g(x, u, 0)};
}

static nn_status check_numbers(const nn_unit *u, const lookup *l, nn_err *err) {
    for (int64_t i = 0; i < l->n; i++) {
        double x = (double)l->x[i];
        if (x >= 0 && x < (double)l->table && x == floor(x)) continue;
        nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                              "%s ('%s') looks up whole numbers from 0 to %" PRId64
                              ", got %g in element %" PRId64 " of its input",
                              u->node->layer, u->node->layer_name, l->table - 1, x, i);
        return nn_err_hint(err, s, "number the words from 0, or give a larger input_dim");
    }
    return NN_OK;
}

static void run_lookup(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)x, (void)thread;
    const lookup *l = arg;
    for (int64_t i = begin; i < end; i++)
        memcpy(l->y + i * l->size, l->w + (int64_t)l->x[i] * l->size,
               (size_t)l->size * sizeof *l->y);
}

static nn_status embedding_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    lookup l = lookup_of(x, u, rows);
    nn_status st = check_numbers(u, &l, err);
    if (!st) nn_parallel(x, l.n, (double)(l.n * l.size), run_lookup, &l);
    return st;
}

static void run_scatter(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const lookup *l = arg;
    memset(l->dw + begin * l->size, 0, (size_t)((end - begin) * l->size) * sizeof *l->dw);
    for (int64_t i = 0; i < l->n; i++) {
        int64_t row = (int64_t)l->x[i];
        if (row >= begin && row < end)
            x->k->add(l->size, l->y + i * l->size, l->dw + row * l->size);
    }
}

static nn_status embedding_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    lookup l = lookup_of(x, u, rows);
    l.y = u->dy;
    if (l.dw) nn_parallel(x, l.table, (double)((l.n + l.table) * l.size) * 2, run_scatter, &l);
    return NN_OK;
}

static nn_status embedding_plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    nn_native_param(x, u, 0, x->base.graph->weights[u->node->weights[0]].elements, NULL);
    return NN_OK;
}

const nn_unit_kind nn_unit_embedding = {
    .name = "embedding",
    .reads_input = true,
    .tokens = 1,
    .plan = embedding_plan,
    .forward = embedding_forward,
    .backward = embedding_backward,
};

/* ---- position ---- */

typedef struct codes {
    float *table; /* NULL: learnt */
} codes;

/* sin(step / 10000^(2k / d)) at feature 2k, the cosine of the same at 2k + 1. */
static float sinusoid(int64_t step, int64_t feature, int64_t d) {
    double angle = (double)step / pow(10000, (double)(feature / 2 * 2) / (double)d);
    return (float)(feature % 2 ? cos(angle) : sin(angle));
}

static nn_status position_plan(nn_native *x, nn_unit *u, nn_err *err) {
    codes *c = u->state = NN_NEW(x->arena, codes);
    int64_t n = nn_in(x, u)->elements, d = u->in->shape->dim[1];
    if (u->node->attr.position.learnable) {
        nn_native_param(x, u, 0, x->base.graph->weights[u->node->weights[0]].elements, NULL);
        return NN_OK;
    }
    c->table = NN_NEW_N(x->arena, float, (size_t)n);
    if (!c->table) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to plan '%s'", u->node->name);
    for (int64_t i = 0; i < n; i++) c->table[i] = sinusoid(i / d, i % d, d);
    return NN_OK;
}

static void run_position(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    const codes *c = u->state;
    int64_t n = nn_in(x, u)->elements;
    const float *table = c->table ? c->table : nn_native_w(x, u, 0);
    for (int64_t row = begin; row < end; row++) {
        memcpy(u->y + row * n, u->in->x + row * n, (size_t)n * sizeof *u->y);
        x->k->add(n, table, u->y + row * n);
    }
}

static nn_status position_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    nn_parallel(x, rows, (double)(rows * nn_in(x, u)->elements) * 2, run_position, u);
    return NN_OK;
}

static nn_status position_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    int64_t n = nn_in(x, u)->elements;
    float *dw = u->node->attr.position.learnable ? nn_native_g(x, u, 0) : NULL;
    if (dw) memset(dw, 0, (size_t)x->params[u->param[0]].floats * sizeof *dw);
    for (int64_t row = 0; row < rows && dw; row++) nn_native_add(x, n, u->dy + row * n, dw);
    if (u->in->dx) memcpy(u->in->dx, u->dy, (size_t)(rows * n) * sizeof *u->dy);
    return NN_OK;
}

const nn_unit_kind nn_unit_position = {
    .name = "position",
    .plan = position_plan,
    .forward = position_forward,
    .backward = position_backward,
};
