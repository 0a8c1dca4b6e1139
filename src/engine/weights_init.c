/* SPDX-License-Identifier: MIT */
/* weights_init.c - Keras's initialisers (keras/src/initializers/random_initializers.py). A weight's
 * values depend on the seed and its index only, or on its own seed alone where one was given. */
#include "base/rng.h"
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef nn_status (*fill_fn)(const nn_weight *w, nn_rng *r, float *out, nn_err *err);

static void fill_constant(const nn_weight *w, float *out, double value) {
    for (int64_t i = 0; i < w->elements; i++) out[i] = (float)value;
}

static void fill_uniform(const nn_weight *w, nn_rng *r, float *out, double low, double high) {
    for (int64_t i = 0; i < w->elements; i++) out[i] = (float)(low + (high - low) * nn_rng_unit(r));
}

/* Draws further than two standard deviations away are drawn again. */
static void fill_truncated(const nn_weight *w, nn_rng *r, float *out, double mean, double sigma) {
    for (int64_t i = 0; i < w->elements; i++) {
        double x;
        do {
            x = nn_rng_normal(r);
        } while (fabs(x) > 2);
        out[i] = (float)(mean + sigma * x);
    }
}

static nn_status fill_zeros(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)r, (void)err;
    fill_constant(w, out, 0);
    return NN_OK;
}

static nn_status fill_ones(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)r, (void)err;
    fill_constant(w, out, 1);
    return NN_OK;
}

static nn_status fill_value(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)r, (void)err;
    fill_constant(w, out, w->init.a);
    return NN_OK;
}

static nn_status fill_random_normal(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)err;
    for (int64_t i = 0; i < w->elements; i++)
        out[i] = (float)(w->init.a + w->init.b * nn_rng_normal(r));
    return NN_OK;
}

static nn_status fill_random_uniform(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)err;
    fill_uniform(w, r, out, w->init.a, w->init.b);
    return NN_OK;
}

static nn_status fill_truncated_normal(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)err;
    fill_truncated(w, r, out, w->init.a, w->init.b);
    return NN_OK;
}

/* VarianceScaling: what the weight's variance should be. */
static double variance(const nn_weight *w) {
    double in = (double)w->fan_in, out = (double)w->fan_out;
    switch (w->init.kind) {
    case NN_INIT_GLOROT_NORMAL:
    case NN_INIT_GLOROT_UNIFORM:
        return 1 / fmax(1, (in + out) / 2);
    case NN_INIT_HE_NORMAL:
    case NN_INIT_HE_UNIFORM:
        return 2 / fmax(1, in);
    default:
        return 1 / fmax(1, in); /* lecun */
    }
}

/* 0.8796... is the standard deviation of a unit normal cut off at two: dividing by it gives the cut
 * one the variance asked for. */
static nn_status fill_scaled_normal(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)err;
    fill_truncated(w, r, out, 0, sqrt(variance(w)) / .87962566103423978);
    return NN_OK;
}

static nn_status fill_scaled_uniform(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)err;
    double limit = sqrt(3 * variance(w));
    fill_uniform(w, r, out, -limit, limit);
    return NN_OK;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Makes v[k] a unit vector at right angles to v[0..k): Gram-Schmidt done twice, which is enough to
 * lose no orthogonality (Giraud et al., "The loss of orthogonality in the Gram-Schmidt
 * orthogonalization process", 2005). The diagonal of R is positive, as Keras makes it. */
static void orthogonalise(double *v, int64_t k, int64_t n) {
    double *x = v + k * n;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < k; j++) {
            const double *q = v + j * n;
            double share = dot(x, q, n);
            for (int64_t i = 0; i < n; i++) x[i] -= share * q[i];
        }
    double norm = sqrt(dot(x, x, n));
    for (int64_t i = 0; i < n; i++) x[i] /= norm;
}

/* As a matrix of all axes but the last x the last: orthonormal columns, or rows if it is wide. */
static nn_status fill_orthogonal(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    if (w->shape.rank < 2)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "the orthogonal initialiser of '%s' needs a weight of at least two axes",
                       w->name);
    int64_t cols = w->shape.dim[w->shape.rank - 1], rows = w->elements / cols;
    int64_t vectors = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
    double *v = calloc((size_t)w->elements, sizeof *v);
    if (!v)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to initialise '%s' (%lld elements)",
                       w->name, (long long)w->elements);
    for (int64_t i = 0; i < w->elements; i++) v[i] = nn_rng_normal(r);
    for (int64_t k = 0; k < vectors; k++) orthogonalise(v, k, length);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            out[i * cols + j] =
                (float)(w->init.a * (rows < cols ? v[i * length + j] : v[j * length + i]));
    free(v);
    return NN_OK;
}

static nn_status fill_identity(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)r;
    if (w->shape.rank != 2)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "the identity initialiser of '%s' needs a weight of two axes, it has %d",
                       w->name, w->shape.rank);
    fill_constant(w, out, 0);
    int64_t rows = w->shape.dim[0], cols = w->shape.dim[1];
    for (int64_t i = 0; i < rows && i < cols; i++) out[i * cols + i] = (float)w->init.a;
    return NN_OK;
}

/* Keras's unit_forget_bias of an LSTM, whose gates are i f c o: 1 in the second quarter of the last
 * axis, else 0. */
static nn_status fill_unit_forget(const nn_weight *w, nn_rng *r, float *out, nn_err *err) {
    (void)r;
    int64_t last = w->shape.rank ? w->shape.dim[w->shape.rank - 1] : 1;
    if (last % 4)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "the unit_forget initialiser of '%s' needs four gates: its last axis, %lld, "
                       "is not a multiple of 4",
                       w->name, (long long)last);
    for (int64_t i = 0; i < w->elements; i++)
        out[i] = i % last >= last / 4 && i % last < last / 2 ? 1.0F : 0.0F;
    return NN_OK;
}

static const fill_fn fills[NN_INIT_COUNT] = {
    [NN_INIT_ZEROS] = fill_zeros,
    [NN_INIT_ONES] = fill_ones,
    [NN_INIT_CONSTANT] = fill_value,
    [NN_INIT_RANDOM_NORMAL] = fill_random_normal,
    [NN_INIT_RANDOM_UNIFORM] = fill_random_uniform,
    [NN_INIT_TRUNCATED_NORMAL] = fill_truncated_normal,
    [NN_INIT_GLOROT_NORMAL] = fill_scaled_normal,
    [NN_INIT_GLOROT_UNIFORM] = fill_scaled_uniform,
    [NN_INIT_HE_NORMAL] = fill_scaled_normal,
    [NN_INIT_HE_UNIFORM] = fill_scaled_uniform,
    [NN_INIT_LECUN_NORMAL] = fill_scaled_normal,
    [NN_INIT_LECUN_UNIFORM] = fill_scaled_uniform,
    [NN_INIT_ORTHOGONAL] = fill_orthogonal,
    [NN_INIT_IDENTITY] = fill_identity,
    [NN_INIT_UNIT_FORGET] = fill_unit_forget,
};

nn_status nn_weights_init(const nn_graph *g, uint64_t seed, float *slab, nn_err *err) {
    const uint64_t domain = 0x77656967687473; /* "weights": apart from other users of the seed */
    memset(slab, 0, (size_t)g->slab * sizeof *slab); /* gaps between weights */
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        nn_rng r = w->init.seeded ? nn_rng_new(w->init.seed ^ domain, UINT64_MAX)
                                  : nn_rng_new(seed ^ domain, (uint64_t)i);
        nn_status s = fills[w->init.kind](w, &r, slab + w->offset, err);
        if (s != NN_OK) return s;
    }
    return NN_OK;
}
