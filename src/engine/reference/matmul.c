/* SPDX-License-Identifier: MIT */
#include "engine/reference/reference.h"

/* y[m, o] = sum_i x[m, i] W[i, o] + b[o], where m runs over rows and every axis but the last. */
void nn_ref_forward_matmul(const nn_ref *r) {
    int64_t in = r->in->dim[r->in->rank - 1], out = r->out->dim[r->out->rank - 1];
    int64_t m = r->rows * (r->in_elements / in);
    const double *w = r->w[0], *b = r->node->attr.matmul.bias ? r->w[1] : NULL;
    for (int64_t i = 0; i < m; i++)
        for (int64_t o = 0; o < out; o++) {
            double sum = b ? b[o] : 0;
            for (int64_t k = 0; k < in; k++) sum += r->x[i * in + k] * w[k * out + o];
            r->y[i * out + o] = sum;
        }
}

void nn_ref_backward_matmul(const nn_ref *r) {
    int64_t in = r->in->dim[r->in->rank - 1], out = r->out->dim[r->out->rank - 1];
    int64_t m = r->rows * (r->in_elements / in);
    for (int64_t i = 0; i < m; i++)
        for (int64_t o = 0; o < out; o++) {
            double dy = r->dy[i * out + o];
            if (r->node->attr.matmul.bias) r->dw[1][o] += dy;
            for (int64_t k = 0; k < in; k++) {
                r->dw[0][k * out + o] += r->x[i * in + k] * dy;
                r->dx[i * in + k] += r->w[0][k * out + o] * dy;
            }
        }
}
