/* SPDX-License-Identifier: MIT */
/* sample_norm.c - normalisations of each sample by itself: layer (over the last axis) and group
 * (over the places and a group's channels, any layout). Gradients of gamma and beta are summed by
 * parts, as many as threads, that are added in order. */
#include "engine/native/native.h"

#include <math.h>
#include <string.h>

typedef struct norm {
    int64_t channels, groups, parts; /* groups 0: layer */
    double epsilon;
    int gamma, beta; /* positions in node->weights; -1: none */
    float *mean;     /* and factor: one value a vector, or a group of a row; kept for backward */
    float *factor;
    double *sums;   /* parts x 2 x channels: of dgamma, dbeta */
    float *channel; /* parts x 5 x channels: values of a row's channels */
    double *row;    /* parts x 2 x channels: sums over a row */
} norm;

static const float *weight(const nn_native *x, const nn_unit *u, int position) {
    return position < 0 ? NULL : nn_native_w(x, u, position);
}

static nn_status plan(nn_native *x, nn_unit *u, bool scale, bool center, norm *s, nn_err *err) {
    const nn_shape *in = u->in->shape;
    u->state = s;
    s->channels = in->dim[in->rank - 1];
    s->parts = x->threads;
    s->gamma = scale ? 0 : -1;
    s->beta = center ? scale : -1;
    for (int i = 0; i < u->node->n_weights; i++) nn_native_param(x, u, i, s->channels, NULL);
    int64_t values = nn_rows(x, u) * (s->groups ? s->groups : nn_in(x, u)->elements / s->channels);
    int when = NN_FOR_FORWARD | (x->training ? NN_FOR_BACKWARD : 0);
    nn_native_wish(x, u, values, when, &s->mean);
    nn_native_wish(x, u, values, when, &s->factor);
    size_t n = (size_t)(s->parts * s->channels);
    s->sums = NN_NEW_N(x->arena, double, 2 * n);
    s->row = NN_NEW_N(x->arena, double, 2 * n);
    s->channel = NN_NEW_N(x->arena, float, 5 * n);
    return s->sums && s->row && s->channel ? NN_OK : nn_native_refused(x, n * 52, err);
}

typedef struct job {
    const nn_unit *u;
    int64_t rows;
} job;

/* Adds the parts up. */
static void weight_gradients(const nn_native *x, const nn_unit *u) {
    const norm *s = u->state;
    float *dgamma = s->gamma < 0 ? NULL : nn_native_g(x, u, s->gamma);
    float *dbeta = s->beta < 0 ? NULL : nn_native_g(x, u, s->beta);
    for (int64_t c = 0; c < s->channels; c++) {
        double gamma = 0, beta = 0;
        for (int64_t p = 0; p < s->parts; p++) {
            gamma += s->sums[2 * p * s->channels + c];
            beta += s->sums[(2 * p + 1) * s->channels + c];
        }
        if (dgamma) dgamma[c] = (float)gamma;
        if (dbeta) dbeta[c] = (float)beta;
    }
}

/* The sums of dgamma and dbeta of a part; NULL where not wanted. */
static double *part_sum(const nn_native *x, const nn_unit *u, int64_t part, bool beta) {
    const norm *s = u->state;
    int position = beta ? s->beta : s->gamma;
    if (position < 0 || !nn_native_trains(x, u, position)) return NULL;
    return s->sums + (2 * part + beta) * s->channels;
}

static nn_status backward_parts(nn_native *x, nn_unit *u, int64_t rows, nn_range_fn *fn) {
    const norm *s = u->state;
    job j = {u, rows};
    memset(s->sums, 0, (size_t)(2 * s->parts * s->channels) * sizeof *s->sums);
    nn_parallel(x, s->parts, (double)(rows * nn_in(x, u)->elements) * 8, fn, &j);
    weight_gradients(x, u);
    return NN_OK;
}

/* ---- layer ---- */

static nn_status layer_plan(nn_native *x, nn_unit *u, nn_err *err) {
    norm *s = NN_NEW(x->arena, norm);
    s->epsilon = u->node->attr.layer_norm.epsilon;
    return plan(x, u, u->node->attr.layer_norm.scale, u->node->attr.layer_norm.center, s, err);
}

static void run_layer(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const norm *s = j->u->state;
    int64_t at = begin * s->channels;
    x->k->layer_norm(end - begin, s->channels, j->u->in->x + at, weight(x, j->u, s->gamma),
                     weight(x, j->u, s->beta), (float)s->epsilon, s->mean + begin,
                     s->factor + begin, j->u->y + at);
}

static nn_status layer_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    const norm *s = u->state;
    job j = {u, rows};
    int64_t n = rows * nn_in(x, u)->elements;
    nn_parallel(x, n / s->channels, (double)n * 6, run_layer, &j);
    return NN_OK;
}

static void run_layer_back(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const norm *s = j->u->state;
    int64_t vectors = j->rows * nn_in(x, j->u)->elements / s->channels;
    for (int64_t p = begin; p < end; p++) {
        int64_t first = vectors * p / s->parts, n = vectors * (p + 1) / s->parts - first;
        int64_t at = first * s->channels;
        x->k->layer_norm_grad(n, s->channels, j->u->in->x + at, j->u->dy + at,
                              weight(x, j->u, s->gamma), s->mean + first, s->factor + first,
                              j->u->in->dx ? j->u->in->dx + at : NULL, part_sum(x, j->u, p, false),
                              part_sum(x, j->u, p, true));
    }
}

static nn_status layer_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    return backward_parts(x, u, rows, run_layer_back);
}

const nn_unit_kind nn_unit_layer_norm = {
    .name = "layer_norm",
    .grad_in_place = true,
    .in_place = true,
    .reads_input = true,
    .plan = layer_plan,
    .forward = layer_forward,
    .backward = layer_backward,
};

/* ---- group ---- */

static nn_status group_plan(nn_native *x, nn_unit *u, nn_err *err) {
    norm *s = NN_NEW(x->arena, norm);
    s->epsilon = u->node->attr.group_norm.epsilon;
    s->groups = u->node->attr.group_norm.groups;
    nn_out(x, u)->layout = nn_native_channels(x, u);
    return plan(x, u, u->node->attr.group_norm.scale, u->node->attr.group_norm.center, s, err);
}

/* What a part works with while it goes over its rows; by channel. */
typedef struct work {
    nn_layout l;
    int64_t width; /* channels of a group */
    double n;      /* elements of one */
    double *sum, *dot;
    float *mean, *a, *b, *c;
} work;

static work work_of(const nn_native *x, const nn_unit *u, int64_t part) {
    const norm *s = u->state;
    float *channel = s->channel + part * 5 * s->channels;
    double *row = s->row + part * 2 * s->channels;
    work w = {.l = nn_native_channels(x, u), .width = s->channels / s->groups};
    w.n = (double)(w.l.spatial * w.width);
    w.sum = row, w.dot = row + s->channels;
    w.mean = channel, w.a = w.mean + s->channels, w.b = w.a + s->channels, w.c = w.b + s->channels;
    return w;
}

static void clear_row(const norm *s, const work *w) {
    for (int64_t c = 0; c < s->channels; c++) w->sum[c] = w->dot[c] = 0;
}

/* The sum of a group over its channels, each times `by` (NULL: 1). */
static double group_sum(const work *w, const double *sum, const float *by, int64_t group) {
    double all = 0;
    for (int64_t c = group * w->width; c < (group + 1) * w->width; c++)
        all += by ? (double)by[c] * sum[c] : sum[c];
    return all;
}

static void spread(const work *w, float value, int64_t group, float *to) {
    for (int64_t c = group * w->width; c < (group + 1) * w->width; c++) to[c] = value;
}

static void normalise_row(const nn_native *x, const nn_unit *u, const work *w, int64_t row) {
    const norm *s = u->state;
    const float *gamma = weight(x, u, s->gamma), *beta = weight(x, u, s->beta);
    float *mean = s->mean + row * s->groups, *factor = s->factor + row * s->groups;
    clear_row(s, w);
    x->k->channel_sums(w->l, row, row + 1, u->in->x, w->sum);
    for (int64_t g = 0; g < s->groups; g++) {
        mean[g] = (float)(group_sum(w, w->sum, NULL, g) / w->n);
        spread(w, mean[g], g, w->mean);
    }
    x->k->channel_squares(w->l, row, row + 1, u->in->x, w->mean, w->dot);
    for (int64_t g = 0; g < s->groups; g++) {
        factor[g] = (float)(1 / sqrt(group_sum(w, w->dot, NULL, g) / w->n + s->epsilon));
        spread(w, factor[g], g, w->a);
    }
    for (int64_t c = 0; c < s->channels; c++) {
        if (gamma) w->a[c] *= gamma[c];
        w->b[c] = beta ? beta[c] : 0;
    }
    x->k->channel_affine(w->l, row, row + 1, u->in->x, w->mean, w->a, w->b, u->relu, u->y);
}

static void run_group(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    const job *j = arg;
    work w = work_of(x, j->u, thread);
    for (int64_t row = begin; row < end; row++) normalise_row(x, j->u, &w, row);
}

static nn_status group_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    job j = {u, rows};
    nn_parallel(x, rows, (double)(rows * nn_in(x, u)->elements) * 6, run_group, &j);
    return NN_OK;
}

/* dx = factor (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)), and the row's part of the
 * gradients of gamma and beta. */
static void row_back(const nn_native *x, const nn_unit *u, const work *w, int64_t part,
                     int64_t row) {
    const norm *s = u->state;
    const float *gamma = weight(x, u, s->gamma), *factor = s->factor + row * s->groups;
    double *dgamma = part_sum(x, u, part, false), *dbeta = part_sum(x, u, part, true);
    clear_row(s, w);
    for (int64_t g = 0; g < s->groups; g++) spread(w, s->mean[row * s->groups + g], g, w->mean);
    x->k->channel_dots(w->l, row, row + 1, u->in->x, u->dy, w->mean, w->sum, w->dot);
    for (int64_t c = 0; c < s->channels; c++) {
        int64_t g = c / w->width;
        double f = (double)factor[g];
        if (dgamma) dgamma[c] += w->dot[c] * f;
        if (dbeta) dbeta[c] += w->sum[c];
        w->a[c] = gamma ? gamma[c] * factor[g] : factor[g];
    }
    if (!u->in->dx) return;
    for (int64_t g = 0; g < s->groups; g++) {
        double f = (double)factor[g], sum = group_sum(w, w->sum, gamma, g) / w->n;
        double dot = group_sum(w, w->dot, gamma, g) / w->n;
        spread(w, (float)(-f * f * f * dot), g, w->b);
        spread(w, (float)(-f * sum), g, w->c);
    }
    x->k->channel_combine(w->l, row, row + 1, u->in->x, u->dy, w->mean, w->a, w->b, w->c,
                          u->in->dx);
}

static void run_group_back(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const norm *s = j->u->state;
    for (int64_t p = begin; p < end; p++) {
        work w = work_of(x, j->u, p);
        for (int64_t row = j->rows * p / s->parts; row < j->rows * (p + 1) / s->parts; row++)
            row_back(x, j->u, &w, p, row);
    }
}

static nn_status group_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    return backward_parts(x, u, rows, run_group_back);
}

const nn_unit_kind nn_unit_group_norm = {
    .name = "group_norm",
    .grad_in_place = true,
    .in_place = true,
    .reads_input = true,
    .can_relu = true,
    .wants = nn_wants_channels,
    .plan = group_plan,
    .forward = group_forward,
    .backward = group_backward,
};
