/* SPDX-License-Identifier: MIT */
/* norm.c - batch normalisation over the last axis (Ioffe & Szegedy 2015, algorithms 1 and 2):
 * y = gamma * (x - mean) / sqrt(variance + epsilon) + beta. The variance is the population's
 * (divided by n), in the moving statistics too, as in Keras. */
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
