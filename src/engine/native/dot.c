/* SPDX-License-Identifier: MIT */
/* dot.c - products of two inputs, summed over an axis of each: of a row, every vector of the first
 * with every vector of the second. Both are gathered into vectors that lie evenly, at length 1 if
 * asked for; many of them are a matrix product. Rows go to threads, each with its own memory. */
#include "engine/native/native.h"

#include <math.h>

#define SHORTEST 1e-7 /* lengths below count as that: keras.ops.normalize */

/* An input: `vectors` of n elements, `stride` apart. */
typedef struct side {
    int64_t n, vectors, stride;
} side;

typedef struct dot {
    side s[2];
    bool product; /* worth a matrix product */
    int64_t panels;
} dot;

static side side_of(const nn_unit *u, int i) {
    const nn_shape *shape = u->in[i].shape;
    int axis = u->node->attr.dot.axes[i];
    side s = {shape->dim[axis], nn_shape_elements(shape) / shape->dim[axis], 1};
    for (int a = axis + 1; a < shape->rank; a++) s.stride *= shape->dim[a];
    return s;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    dot *d = u->state = NN_NEW(x->arena, dot);
    for (int i = 0; i < 2; i++) d->s[i] = side_of(u, i);
    int64_t n = d->s[0].n, a = d->s[0].vectors, b = d->s[1].vectors;
    d->product = a >= 4 && b >= 16;
    d->panels = most(nn_panel_floats(n, b), most(nn_panel_floats(b, n), nn_panel_floats(a, n)));
    int64_t pack = 2 * n * (a + b) + (a + b) + a * b + d->panels;
    if (pack > x->pack_floats) x->pack_floats = pack;
    return NN_OK;
}

/* ---- a row ---- */

typedef struct row {
    const dot *d;
    bool normalize;
    float *v[2], *dv[2], *length[2], *turned, *panels;
} row;

static row row_of(const nn_native *x, const nn_unit *u, int thread) {
    const dot *d = u->state;
    float *p = x->pack + thread * x->pack_floats;
    row r = {.d = d, .normalize = u->node->attr.dot.normalize};
    for (int i = 0; i < 2; i++) {
        int64_t n = d->s[i].n * d->s[i].vectors;
        r.v[i] = p, p += n;
        r.dv[i] = p, p += n;
        r.length[i] = p, p += d->s[i].vectors;
    }
    r.turned = p, p += d->s[0].vectors * d->s[1].vectors;
    r.panels = p;
    return r;
}

static int64_t vector_at(const side *s, int64_t k) {
    return k / s->stride * s->stride * s->n + k % s->stride;
}

static void gather(const nn_native *x, const row *r, int i, const float *from) {
    const side *s = &r->d->s[i];
    for (int64_t k = 0; k < s->vectors; k++) {
        float *v = r->v[i] + k * s->n;
        const float *at = from + vector_at(s, k);
        for (int64_t e = 0; e < s->n; e++) v[e] = at[e * s->stride];
        r->length[i][k] = 1;
        if (!r->normalize) continue;
        r->length[i][k] = (float)fmax(sqrt(x->k->sum_square(s->n, v)), SHORTEST);
        x->k->scale(s->n, v, 1 / r->length[i][k]);
    }
}

/* Of v = x / |x|: dx = (dv - v (v . dv)) / |x|; where |x| is held, dx = dv / |x|. */
static void scatter(const nn_native *x, const row *r, int i, float *to, bool adds) {
    const side *s = &r->d->s[i];
    for (int64_t k = 0; k < s->vectors; k++) {
        const float *v = r->v[i] + k * s->n;
        float *dv = r->dv[i] + k * s->n, *at = to + vector_at(s, k), length = r->length[i][k];
        if (r->normalize && (double)length > SHORTEST)
            x->k->add_scaled(s->n, v, -x->k->dot(s->n, v, dv), dv);
        if (r->normalize) x->k->scale(s->n, dv, 1 / length);
        for (int64_t e = 0; e < s->n; e++)
            at[e * s->stride] = adds ? at[e * s->stride] + dv[e] : dv[e];
    }
}

/* c[m][n] = a[m][k] times vectors of side i: its n vectors as columns, or its k as rows. */
static void product(const nn_native *x, const row *r, const float *a, int64_t m, int64_t k,
                    int64_t n, int i, bool columns, float *c) {
    const float *v = r->v[i];
    for (int64_t e = 0; e < nn_panel_floats(k, n); e++) r->panels[e] = 0;
    for (int64_t line = 0; line < k; line++)
        for (int64_t column = 0; column < n; column++)
            r->panels[nn_panel_at(k, n, line, column)] =
                columns ? v[column * k + line] : v[line * n + column];
    nn_gemm g = {.m = m, .n = n, .k = k, .a = a, .b = r->panels, .c = c};
    x->k->gemm(&g, 0, nn_panels(n) * nn_tiles(m));
}

static void forward_row(const nn_native *x, const row *r, float *y) {
    int64_t n = r->d->s[0].n, a = r->d->s[0].vectors, b = r->d->s[1].vectors;
    if (r->d->product) {
        product(x, r, r->v[0], a, n, b, 1, true, y);
        return;
    }
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < b; j++)
            y[i * b + j] = x->k->dot(n, r->v[0] + i * n, r->v[1] + j * n);
}

static void backward_row(const nn_native *x, const row *r, const float *dy) {
    int64_t n = r->d->s[0].n, a = r->d->s[0].vectors, b = r->d->s[1].vectors;
    if (r->d->product) {
        x->k->copy_plane(b, a, dy, 1, b, r->turned, a, 1);
        product(x, r, dy, a, b, n, 1, false, r->dv[0]);
        product(x, r, r->turned, b, a, n, 0, false, r->dv[1]);
        return;
    }
    for (int64_t e = 0; e < a * n; e++) r->dv[0][e] = 0;
    for (int64_t e = 0; e < b * n; e++) r->dv[1][e] = 0;
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < b; j++) {
            x->k->add_scaled(n, r->v[1] + j * n, dy[i * b + j], r->dv[0] + i * n);
            x->k->add_scaled(n, r->v[0] + i * n, dy[i * b + j], r->dv[1] + j * n);
        }
}

/* ---- all rows ---- */

static void run_forward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    const nn_unit *u = arg;
    row r = row_of(x, u, thread);
    for (int64_t k = begin; k < end; k++) {
        for (int i = 0; i < 2; i++) gather(x, &r, i, u->in[i].x + k * nn_in_at(x, u, i)->elements);
        forward_row(x, &r, u->y + k * nn_out(x, u)->elements);
    }
}

static void run_backward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    const nn_unit *u = arg;
    row r = row_of(x, u, thread);
    for (int64_t k = begin; k < end; k++) {
        for (int i = 0; i < 2; i++) gather(x, &r, i, u->in[i].x + k * nn_in_at(x, u, i)->elements);
        backward_row(x, &r, u->dy + k * nn_out(x, u)->elements);
        for (int i = 0; i < 2; i++)
            if (u->in[i].dx)
                scatter(x, &r, i, u->in[i].dx + k * nn_in_at(x, u, i)->elements, u->in[i].adds);
    }
}

static double work(const nn_native *x, const nn_unit *u, int64_t rows) {
    const dot *d = u->state;
    return 2.0 * (double)(rows * nn_out(x, u)->elements) * (double)d->s[0].n;
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    nn_parallel(x, rows, work(x, u, rows), run_forward, u);
    return NN_OK;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    nn_parallel(x, rows, 3 * work(x, u, rows), run_backward, u);
    return NN_OK;
}

const nn_unit_kind nn_unit_dot = {
    .name = "dot",
    .reads_input = true,
    .can_add = true,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
