/* SPDX-License-Identifier: MIT */
/* norm.c - batch normalisation over the last axis (Ioffe & Szegedy 2015, algorithms 1 and 2):
 * y = gamma * (x - mean) / sqrt(variance + epsilon) + beta. The variance is the population's
 * (divided by n), in the moving statistics too, as in Keras. And the normalisations of each sample
 * by itself: layer (Ba et al. 2016) and group (Wu & He 2018), with the same formula. */
#include "engine/reference/reference.h"

#include <math.h>

typedef struct channel {
    double mean, variance;
} channel;

static int64_t channels_of(const nn_ref *r) {
    return r->in->dim[r->in->rank - 1];
}

static channel batch_statistics(const nn_ref *r, int64_t c) {
    int64_t channels = channels_of(r), n = r->rows * r->in_elements / channels;
    channel s = {0, 0};
    for (int64_t i = 0; i < n; i++) s.mean += r->x[i * channels + c] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = r->x[i * channels + c] - s.mean;
        s.variance += d * d / (double)n;
    }
    return s;
}

/* Positions in node->weights; -1 where the node has none. */
typedef struct places {
    int gamma, beta, mean, variance;
} places;

static places places_of(const nn_ref *r) {
    int next = 0;
    places p = {-1, -1, -1, -1};
    if (r->node->attr.batch_norm.scale) p.gamma = next++;
    if (r->node->attr.batch_norm.center) p.beta = next++;
    p.mean = next++;
    p.variance = next;
    return p;
}

static bool uses_batch(const nn_ref *r) {
    return r->training && !nn_batch_norm_frozen(r->graph, r->node);
}

static channel statistics(const nn_ref *r, const places *p, int64_t c) {
    return uses_batch(r) ? batch_statistics(r, c)
                         : (channel){r->w[p->mean][c], r->w[p->variance][c]};
}

void nn_ref_forward_batch_norm(const nn_ref *r) {
    int64_t channels = channels_of(r), n = r->rows * r->in_elements / channels;
    places p = places_of(r);
    for (int64_t c = 0; c < channels; c++) {
        channel s = statistics(r, &p, c);
        double gamma = p.gamma < 0 ? 1 : r->w[p.gamma][c], beta = p.beta < 0 ? 0 : r->w[p.beta][c];
        double factor = 1 / sqrt(s.variance + r->node->attr.batch_norm.epsilon);
        for (int64_t i = 0; i < n; i++)
            r->y[i * channels + c] = gamma * (r->x[i * channels + c] - s.mean) * factor + beta;
    }
}

/* With xhat the normalised input: dbeta = sum dy, dgamma = sum dy xhat, and, when mean and variance
 * are the batch's own, dx = gamma factor (dy - dbeta / n - xhat dgamma / n). */
void nn_ref_backward_batch_norm(const nn_ref *r) {
    int64_t channels = channels_of(r), n = r->rows * r->in_elements / channels;
    places p = places_of(r);
    for (int64_t c = 0; c < channels; c++) {
        channel s = statistics(r, &p, c);
        double gamma = p.gamma < 0 ? 1 : r->w[p.gamma][c];
        double factor = 1 / sqrt(s.variance + r->node->attr.batch_norm.epsilon);
        double dbeta = 0, dgamma = 0;
        for (int64_t i = 0; i < n; i++) {
            dbeta += r->dy[i * channels + c];
            dgamma += r->dy[i * channels + c] * (r->x[i * channels + c] - s.mean) * factor;
        }
        if (p.gamma >= 0) r->dw[p.gamma][c] += dgamma;
        if (p.beta >= 0) r->dw[p.beta][c] += dbeta;
        for (int64_t i = 0; i < n; i++) {
            double xhat = (r->x[i * channels + c] - s.mean) * factor, dy = r->dy[i * channels + c];
            if (uses_batch(r)) dy -= (dbeta + xhat * dgamma) / (double)n;
            r->dx[i * channels + c] += gamma * factor * dy;
        }
    }
}

void nn_ref_batch_norm_move(const nn_ref *r, double *weights) {
    if (!uses_batch(r)) return;
    places p = places_of(r);
    const nn_weight *w = r->graph->weights;
    double *mean = weights + w[r->node->weights[p.mean]].offset;
    double *variance = weights + w[r->node->weights[p.variance]].offset;
    double momentum = r->node->attr.batch_norm.momentum;
    for (int64_t c = 0; c < channels_of(r); c++) {
        channel s = batch_statistics(r, c);
        mean[c] = momentum * mean[c] + (1 - momentum) * s.mean;
        variance[c] = momentum * variance[c] + (1 - momentum) * s.variance;
    }
}

/* ---- a sample by itself ---- */

/* The elements that are normalised together: of `blocks` blocks after each other, each (places,
 * channels), those of one group of channels. */
typedef struct grouping {
    int64_t blocks, places, channels, groups;
    int gamma, beta; /* positions in node->weights; -1: none */
    double epsilon;
} grouping;

static grouping grouping_of(const nn_ref *r) {
    int64_t channels = channels_of(r), all = r->rows * r->in_elements / channels;
    const nn_attr *a = &r->node->attr;
    bool layer = r->node->op == NN_OP_LAYER_NORM;
    bool scale = layer ? a->layer_norm.scale : a->group_norm.scale;
    bool center = layer ? a->layer_norm.center : a->group_norm.center;
    return (grouping){
        .blocks = layer ? all : r->rows,
        .places = layer ? 1 : r->in_elements / channels,
        .channels = channels,
        .groups = layer ? 1 : a->group_norm.groups,
        .gamma = scale ? 0 : -1,
        .beta = center ? scale : -1,
        .epsilon = layer ? a->layer_norm.epsilon : a->group_norm.epsilon,
    };
}

/* Of one group: how many elements, where the k-th is, and its channel. */
static int64_t group_size(const grouping *g) {
    return g->places * (g->channels / g->groups);
}

static int64_t group_channel(const grouping *g, int64_t group, int64_t k) {
    int64_t width = g->channels / g->groups;
    return group * width + k % width;
}

static int64_t group_at(const grouping *g, int64_t block, int64_t group, int64_t k) {
    int64_t place = k / (g->channels / g->groups);
    return (block * g->places + place) * g->channels + group_channel(g, group, k);
}

static channel group_statistics(const nn_ref *r, const grouping *g, int64_t block, int64_t group) {
    int64_t n = group_size(g);
    channel s = {0, 0};
    for (int64_t k = 0; k < n; k++) s.mean += r->x[group_at(g, block, group, k)] / (double)n;
    for (int64_t k = 0; k < n; k++) {
        double d = r->x[group_at(g, block, group, k)] - s.mean;
        s.variance += d * d / (double)n;
    }
    return s;
}

static void normalise_group(const nn_ref *r, const grouping *g, int64_t block, int64_t group) {
    channel s = group_statistics(r, g, block, group);
    double factor = 1 / sqrt(s.variance + g->epsilon);
    for (int64_t k = 0; k < group_size(g); k++) {
        int64_t at = group_at(g, block, group, k), c = group_channel(g, group, k);
        double gamma = g->gamma < 0 ? 1 : r->w[g->gamma][c];
        double beta = g->beta < 0 ? 0 : r->w[g->beta][c];
        r->y[at] = gamma * (r->x[at] - s.mean) * factor + beta;
    }
}

/* As in nn_ref_backward_batch_norm, with gamma dy in the place of dy, since gamma differs within a
 * group: dx = factor (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)). */
static void normalise_group_back(const nn_ref *r, const grouping *g, int64_t block, int64_t group) {
    channel s = group_statistics(r, g, block, group);
    double factor = 1 / sqrt(s.variance + g->epsilon), sum = 0, sum_xhat = 0;
    double n = (double)group_size(g);
    for (int64_t k = 0; k < group_size(g); k++) {
        int64_t at = group_at(g, block, group, k), c = group_channel(g, group, k);
        double xhat = (r->x[at] - s.mean) * factor, dy = r->dy[at];
        if (g->gamma >= 0) r->dw[g->gamma][c] += dy * xhat;
        if (g->beta >= 0) r->dw[g->beta][c] += dy;
        if (g->gamma >= 0) dy *= r->w[g->gamma][c];
        sum += dy;
        sum_xhat += dy * xhat;
    }
    for (int64_t k = 0; k < group_size(g); k++) {
        int64_t at = group_at(g, block, group, k), c = group_channel(g, group, k);
        double xhat = (r->x[at] - s.mean) * factor;
        double dy = r->dy[at] * (g->gamma < 0 ? 1 : r->w[g->gamma][c]);
        r->dx[at] += factor * (dy - sum / n - xhat * sum_xhat / n);
    }
}

static void walk_groups(const nn_ref *r, void (*each)(const nn_ref *r, const grouping *g,
                                                      int64_t block, int64_t group)) {
    grouping g = grouping_of(r);
    for (int64_t block = 0; block < g.blocks; block++)
        for (int64_t group = 0; group < g.groups; group++) each(r, &g, block, group);
}

void nn_ref_forward_layer_norm(const nn_ref *r) {
    walk_groups(r, normalise_group);
}

void nn_ref_backward_layer_norm(const nn_ref *r) {
    walk_groups(r, normalise_group_back);
}

void nn_ref_forward_group_norm(const nn_ref *r) {
    walk_groups(r, normalise_group);
}

void nn_ref_backward_group_norm(const nn_ref *r) {
    walk_groups(r, normalise_group_back);
}
