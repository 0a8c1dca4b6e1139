/* SPDX-License-Identifier: MIT */
/* conv_transpose.c - the gradient of a convolution as a layer, by oneDNN (convolution.h): its input
 * is the narrow side, its forward pass is BACK and the gradient of its input OUT. A bias is none of
 * that convolution's, so our own kernels add it and sum its gradient. */
#include "engine/native/convolution.h"

#include <string.h>

typedef struct transposed {
    nn_convolution *c;
    int64_t channels, parts; /* of the output; of the sum for the bias */
    float *zeros, *ones;
    double *sums; /* parts x channels */
} transposed;

static nn_conv_spec spec_of(const nn_native *x, const nn_unit *u) {
    const nn_shape *in = u->in->shape;
    nn_conv_spec s = {
        .window = &u->node->attr.conv_transpose.window,
        .groups = u->node->attr.conv_transpose.groups,
        .wide = &u->node->shape,
        .narrow = in,
        .first = NN_CONV_BACK,
        .rows = nn_rows(x, u),
    };
    s.passes[NN_CONV_BACK] = true;
    s.passes[NN_CONV_OUT] = x->training && u->in->learns;
    s.passes[NN_CONV_WEIGHTS] = nn_native_trains(x, u, 0);
    nn_conv_layouts(x, &s);
    return s;
}

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    (void)i;
    *ret = spec_of(x, u).narrow_layout;
    return true;
}

static nn_status convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                         float *exec) {
    const transposed *s = p->unit->state;
    return nn_convolution_convert(x, s->c, import, plain, exec);
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    transposed *s = NN_NEW(x->arena, transposed);
    nn_conv_spec spec = spec_of(x, u);
    nn_status st = nn_convolution_new(x, u, &spec, &s->c, err);
    if (st) return st;
    u->state = s;
    nn_out(x, u)->layout = spec.wide_layout;
    s->channels = spec.wide_layout.channels;
    s->parts = x->threads;
    nn_native_param(x, u, 0, nn_convolution_floats(s->c), convert);
    if (!u->node->attr.conv_transpose.bias) return NN_OK;
    nn_native_param(x, u, 1, s->channels, NULL);
    s->zeros = NN_NEW_N(x->arena, float, (size_t)(2 * s->channels));
    s->sums = NN_NEW_N(x->arena, double, (size_t)(s->parts * s->channels));
    if (!s->zeros || !s->sums)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to plan '%s'", u->node->name);
    s->ones = s->zeros + s->channels;
    for (int64_t c = 0; c < s->channels; c++) s->ones[c] = 1;
    return NN_OK;
}

static nn_status bind_unit(nn_native *x, nn_unit *u, nn_err *err) {
    return nn_convolution_bind(x, ((transposed *)u->state)->c, err);
}

static void done(nn_unit *u) {
    if (u->state) nn_convolution_free(((transposed *)u->state)->c);
}

static void run_bias(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    const transposed *s = u->state;
    x->k->channel_affine(nn_out(x, u)->layout, begin, end, u->y, s->zeros, s->ones,
                         nn_native_w(x, u, 1), false, u->y);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    const transposed *s = u->state;
    nn_conv_rows r = {rows, nn_rows(x, u)};
    int64_t elements = rows * nn_out(x, u)->elements;
    if (!nn_convolution_covers(s->c)) memset(u->y, 0, (size_t)elements * sizeof *u->y);
    dnnl_status_t st = nn_convolution_back(x, s->c, r, u->in->x, nn_native_w(x, u, 0), u->y);
    if (st != dnnl_success) return nn_dn_fail(st, "forward pass", u->node, err);
    if (s->zeros) nn_parallel(x, r.n, (double)elements, run_bias, u);
    return NN_OK;
}

/* ---- backward ---- */

typedef struct sum_job {
    const nn_unit *u;
    int64_t rows;
} sum_job;

static void run_sums(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const sum_job *j = arg;
    const transposed *s = j->u->state;
    for (int64_t p = begin; p < end; p++)
        x->k->channel_sums(nn_out(x, j->u)->layout, j->rows * p / s->parts,
                           j->rows * (p + 1) / s->parts, j->u->dy, s->sums + p * s->channels);
}

static void bias_gradient(nn_native *x, nn_unit *u, int64_t rows, float *db) {
    const transposed *s = u->state;
    sum_job j = {u, rows};
    memset(s->sums, 0, (size_t)(s->parts * s->channels) * sizeof *s->sums);
    nn_parallel(x, s->parts, (double)(rows * nn_out(x, u)->elements), run_sums, &j);
    for (int64_t c = 0; c < s->channels; c++) {
        double sum = 0;
        for (int64_t p = 0; p < s->parts; p++) sum += s->sums[p * s->channels + c];
        db[c] = (float)sum;
    }
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    const transposed *s = u->state;
    nn_conv_rows r = {rows, nn_rows(x, u)};
    float *dw = nn_native_g(x, u, 0), *db = nn_native_g(x, u, 1), *w = nn_native_w(x, u, 0);
    dnnl_status_t st = dnnl_success;
    if (db) bias_gradient(x, u, rows, db);
    if (dw) st = nn_convolution_weights(x, s->c, r, u->dy, u->in->x, dw, NULL, false);
    if (dw && st == dnnl_success) st = nn_convolution_finish(x, s->c, dw);
    if (u->in->dx && st == dnnl_success) st = nn_convolution_prepare(x, s->c, w);
    if (u->in->dx && st == dnnl_success)
        st = nn_convolution_out(x, s->c, r, u->dy, w, NULL, u->in->dx);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "backward pass", u->node, err);
}

const nn_unit_kind nn_unit_conv_transpose = {
    .name = "conv_transpose",
    .reads_input = true,
    .wants = wants,
    .plan = plan,
    .bind = bind_unit,
    .forward = forward,
    .backward = backward,
    .done = done,
};
