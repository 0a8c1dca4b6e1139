/* SPDX-License-Identifier: MIT */
/* fold_norm.c - batch normalisation in inference: an affine map of each channel, put into the
 * weights of the matrix product or convolution before it: W' = W f, b' = (b - mean) f + beta with
 * f = gamma / sqrt(variance + epsilon). The weights as they were set are kept beside, so that
 * get_weights gives them back. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <math.h>
#include <string.h>

static const nn_weight *weight(const nn_native *x, const nn_node *n, int i) {
    return &x->base.graph->weights[n->weights[i]];
}

nn_status nn_norm_plan(nn_native *x, nn_unit *u, nn_err *err) {
    int64_t floats = 0;
    const nn_node *nodes[2] = {u->node, u->norm};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < nodes[k]->n_weights; i++) floats += weight(x, nodes[k], i)->elements;
    int64_t channels = u->node->shape.dim[u->node->shape.rank - 1];
    u->norm_kept = NN_NEW_N(x->arena, float, (size_t)floats);
    u->norm_bias = NN_NEW_N(x->arena, float, (size_t)channels);
    x->extra_bytes += (floats + channels) * (int64_t)sizeof(float);
    if (u->norm_kept && u->norm_bias) return NN_OK;
    return nn_native_refused(x, (size_t)(floats + channels) * sizeof(float), err);
}

/* Copies every weight of u and its normalisation, one after the other. */
static void copy_all(const nn_native *x, const nn_unit *u, float *slab, bool keep) {
    float *kept = u->norm_kept;
    const nn_node *nodes[2] = {u->node, u->norm};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < nodes[k]->n_weights; i++) {
            const nn_weight *w = weight(x, nodes[k], i);
            float *there = slab + w->offset;
            memcpy(keep ? kept : there, keep ? there : kept, (size_t)w->elements * sizeof *kept);
            kept += w->elements;
        }
}

typedef struct affine {
    const float *gamma, *beta, *mean, *variance; /* gamma, beta NULL: 1 and 0 */
    double epsilon;
} affine;

static affine affine_of(const nn_native *x, const nn_node *n, const float *slab) {
    const float *at[NN_MAX_WEIGHTS];
    int gamma = n->attr.batch_norm.scale, beta = n->attr.batch_norm.center;
    for (int i = 0; i < n->n_weights; i++) at[i] = slab + weight(x, n, i)->offset;
    return (affine){.gamma = gamma ? at[0] : NULL,
                    .beta = beta ? at[gamma] : NULL,
                    .mean = at[gamma + beta],
                    .variance = at[gamma + beta + 1],
                    .epsilon = n->attr.batch_norm.epsilon};
}

static double factor(const affine *a, int64_t c) {
    return (a->gamma ? (double)a->gamma[c] : 1) / sqrt((double)a->variance[c] + a->epsilon);
}

/* The scaled kernel stands where the kept one will, until it is converted. */
void nn_norm_import(const nn_native *x, const nn_unit *u, const float *slab) {
    affine a = affine_of(x, u->norm, slab);
    const nn_weight *w = weight(x, u->node, 0);
    const nn_param *p = &x->params[u->param[0]];
    const float *bias = u->node->n_weights > 1 ? slab + weight(x, u->node, 1)->offset : NULL;
    float *to = nn_unit_bias(x, u);
    int64_t channels = w->shape.dim[w->shape.rank - 1];
    for (int64_t c = 0; c < channels; c++) {
        double f = factor(&a, c), b = bias ? (double)bias[c] : 0;
        for (int64_t e = c; e < w->elements; e += channels)
            u->norm_kept[e] = (float)((double)slab[w->offset + e] * f);
        to[c] = (float)((b - (double)a.mean[c]) * f + (a.beta ? (double)a.beta[c] : 0));
    }
    (void)nn_native_convert(x, p, true, u->norm_kept, x->w + p->at);
    copy_all(x, u, (float *)slab, true);
}

void nn_norm_export(const nn_native *x, const nn_unit *u, float *slab) {
    copy_all(x, u, slab, false);
}
