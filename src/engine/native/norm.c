/* SPDX-License-Identifier: MIT */
/* norm.c - batch normalisation (the formulas of engine/reference/norm.c) in any layout.
 *
 * Statistics are taken in two passes, mean then variance, with doubles across images: the one-pass
 * form loses all digits when the mean is large. Rows are cut into as many parts as there are
 * threads and the parts added in order, so a result depends on the number of threads only. */
#include "engine/native/native.h"

#include <math.h>
#include <string.h>

typedef struct norm {
    int64_t channels, parts;
    bool frozen;         /* moving statistics in training too */
    float *batch_mean;   /* then batch_variance; kept until the update */
    float *coefficients; /* of the pass: four values a channel */
    double *sums;        /* parts x 2 x channels */
} norm;

/* Positions in node->weights; gamma and beta -1 where the node has none. */
typedef struct places {
    int gamma, beta, mean, variance;
} places;

static places places_of(const nn_node *n) {
    int gamma = n->attr.batch_norm.scale, beta = n->attr.batch_norm.center;
    return (places){.gamma = gamma ? 0 : -1,
                    .beta = beta ? gamma : -1,
                    .mean = gamma + beta,
                    .variance = gamma + beta + 1};
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_layout l = nn_native_channels(x, u);
    nn_out(x, u)->layout = l;
    norm *s = u->state = NN_NEW(x->arena, norm);
    s->channels = l.channels;
    s->parts = x->threads;
    s->frozen = nn_batch_norm_frozen(x->base.graph, u->node);
    for (int i = 0; i < u->node->n_weights; i++) nn_native_param(x, u, i, l.channels, NULL);
    nn_native_wish(x, u, 2 * l.channels, NN_FOR_FORWARD | NN_FOR_BACKWARD, &s->batch_mean);
    s->coefficients = NN_NEW_N(x->arena, float, 4 * (size_t)l.channels);
    s->sums = NN_NEW_N(x->arena, double, (size_t)(2 * s->parts * l.channels));
    if (s->coefficients && s->sums) return NN_OK;
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to plan '%s'", u->node->name);
}

/* ---- statistics of a batch ---- */

typedef struct job {
    const nn_unit *u;
    int64_t rows;
    const float *mean; /* NULL: sums for it; else squares around it */
    const float *factor, *shift;
    const float *a, *b, *c;
} job;

static double *part_sums(const norm *s, int64_t part) {
    return s->sums + 2 * part * s->channels;
}

static void clear_sums(norm *s) {
    memset(s->sums, 0, (size_t)(2 * s->parts * s->channels) * sizeof *s->sums);
}

/* Sum of value `which` (0 or 1) of a channel over all parts. */
static double total(const norm *s, int64_t c, int which) {
    double sum = 0;
    for (int64_t p = 0; p < s->parts; p++) sum += part_sums(s, p)[which * s->channels + c];
    return sum;
}

static void run_statistics(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const norm *s = j->u->state;
    nn_layout l = nn_native_channels(x, j->u);
    for (int64_t p = begin; p < end; p++) {
        int64_t first = j->rows * p / s->parts, last = j->rows * (p + 1) / s->parts;
        if (j->mean)
            x->k->channel_squares(l, first, last, j->u->in->x, j->mean, part_sums(s, p));
        else
            x->k->channel_sums(l, first, last, j->u->in->x, part_sums(s, p));
    }
}

static double places_in(const nn_native *x, const nn_unit *u, int64_t rows) {
    return (double)(rows * nn_in(x, u)->elements / nn_native_channels(x, u).channels);
}

static void batch_statistics(nn_native *x, nn_unit *u, int64_t rows) {
    norm *s = u->state;
    double n = places_in(x, u, rows), work = (double)(rows * nn_in(x, u)->elements) * 2;
    float *mean = s->batch_mean, *variance = s->batch_mean + s->channels;
    job j = {.u = u, .rows = rows};
    clear_sums(s);
    nn_parallel(x, s->parts, work, run_statistics, &j);
    for (int64_t c = 0; c < s->channels; c++) mean[c] = (float)(total(s, c, 0) / n);
    j.mean = mean;
    clear_sums(s);
    nn_parallel(x, s->parts, work, run_statistics, &j);
    for (int64_t c = 0; c < s->channels; c++) variance[c] = (float)(total(s, c, 0) / n);
}

/* ---- forward ---- */

static void run_affine(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    x->k->channel_affine(nn_native_channels(x, j->u), begin, end, j->u->in->x, j->mean, j->factor,
                         j->shift, j->u->relu, j->u->y);
}

static double deviation(const nn_unit *u, float variance) {
    return sqrt((double)variance + u->node->attr.batch_norm.epsilon);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    norm *s = u->state;
    places p = places_of(u->node);
    bool batch = x->learning && !s->frozen;
    if (batch) batch_statistics(x, u, rows);
    const float *mean = batch ? s->batch_mean : nn_native_w(x, u, p.mean);
    const float *variance = batch ? mean + s->channels : nn_native_w(x, u, p.variance);
    const float *gamma = p.gamma < 0 ? NULL : nn_native_w(x, u, p.gamma);
    float *factor = s->coefficients, *shift = s->coefficients + s->channels;
    for (int64_t c = 0; c < s->channels; c++) {
        factor[c] = (float)((gamma ? (double)gamma[c] : 1) / deviation(u, variance[c]));
        shift[c] = p.beta < 0 ? 0 : nn_native_w(x, u, p.beta)[c];
    }
    job j = {.u = u, .rows = rows, .mean = mean, .factor = factor, .shift = shift};
    nn_parallel(x, rows, (double)(rows * nn_in(x, u)->elements) * 2, run_affine, &j);
    return NN_OK;
}

/* ---- backward ---- */

static void run_dots(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const norm *s = j->u->state;
    for (int64_t p = begin; p < end; p++)
        x->k->channel_dots(nn_native_channels(x, j->u), j->rows * p / s->parts,
                           j->rows * (p + 1) / s->parts, j->u->in->x, j->u->dy, j->mean,
                           part_sums(s, p), part_sums(s, p) + s->channels);
}

static void run_combine(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    x->k->channel_combine(nn_native_channels(x, j->u), begin, end, j->u->in->x, j->u->dy, j->mean,
                          j->a, j->b, j->c, j->u->in->dx);
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    norm *s = u->state;
    places p = places_of(u->node);
    const float *mean = s->frozen ? nn_native_w(x, u, p.mean) : s->batch_mean;
    const float *variance = s->frozen ? nn_native_w(x, u, p.variance) : mean + s->channels;
    const float *gamma = p.gamma < 0 ? NULL : nn_native_w(x, u, p.gamma);
    float *dgamma = p.gamma < 0 ? NULL : nn_native_g(x, u, p.gamma);
    float *dbeta = p.beta < 0 ? NULL : nn_native_g(x, u, p.beta);
    double n = places_in(x, u, rows), work = (double)(rows * nn_in(x, u)->elements) * 4;
    float *a = s->coefficients, *b = a + s->channels, *c = b + s->channels;
    job j = {.u = u, .rows = rows, .mean = mean, .a = a, .b = b, .c = c};
    clear_sums(s);
    nn_parallel(x, s->parts, work, run_dots, &j);
    for (int64_t i = 0; i < s->channels; i++) {
        double sum = total(s, i, 0), dot = total(s, i, 1), inverse = 1 / deviation(u, variance[i]);
        double scale = (gamma ? (double)gamma[i] : 1) * inverse;
        if (dgamma) dgamma[i] = (float)(dot * inverse);
        if (dbeta) dbeta[i] = (float)sum;
        a[i] = (float)scale;
        b[i] = s->frozen ? 0 : (float)(-scale * inverse * inverse * dot / n);
        c[i] = s->frozen ? 0 : (float)(-scale * sum / n);
    }
    if (u->in->dx) nn_parallel(x, rows, work, run_combine, &j);
    return NN_OK;
}

static void update(nn_native *x, nn_unit *u, int64_t rows) {
    (void)rows;
    norm *s = u->state;
    if (s->frozen) return;
    places p = places_of(u->node);
    float *moving[2] = {nn_native_w(x, u, p.mean), nn_native_w(x, u, p.variance)};
    float momentum = (float)u->node->attr.batch_norm.momentum;
    for (int i = 0; i < 2; i++)
        for (int64_t c = 0; c < s->channels; c++) {
            float batch = s->batch_mean[i * s->channels + c];
            moving[i][c] = momentum * moving[i][c] + (1 - momentum) * batch;
        }
}

const nn_unit_kind nn_unit_batch_norm = {
    .name = "batch_norm",
    .grad_in_place = true,
    .in_place = true,
    .reads_input = true,
    .can_relu = true,
    .wants = nn_wants_channels,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .update = update,
};
