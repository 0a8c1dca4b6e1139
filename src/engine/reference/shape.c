/* SPDX-License-Identifier: MIT */
/* shape.c - ops that move elements: input, reshape, transpose, dropout. */
#include "engine/dropout.h"
#include "engine/reference/reference.h"

#include <string.h>

/* The executor has already put the rows into y. */
void nn_ref_forward_input(const nn_ref *r) {
    (void)r;
}

void nn_ref_backward_input(const nn_ref *r) {
    (void)r;
}

void nn_ref_forward_reshape(const nn_ref *r) {
    memcpy(r->y, r->x, (size_t)(r->rows * r->in_elements) * sizeof *r->y);
}

void nn_ref_backward_reshape(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) r->dx[i] += r->dy[i];
}

/* The input element of a row that output element e shows: its coordinate along output axis i is the
 * one along input axis perm[i]. */
static int64_t transposed(const nn_ref *r, int64_t e) {
    int64_t coordinate[NN_MAX_RANK], at = 0;
    for (int i = r->out->rank - 1; i >= 0; i--) {
        coordinate[r->node->attr.transpose.perm[i]] = e % r->out->dim[i];
        e /= r->out->dim[i];
    }
    for (int a = 0; a < r->in->rank; a++) at = at * r->in->dim[a] + coordinate[a];
    return at;
}

void nn_ref_forward_transpose(const nn_ref *r) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++)
            r->y[row * r->out_elements + e] = r->x[row * r->in_elements + transposed(r, e)];
}

void nn_ref_backward_transpose(const nn_ref *r) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++)
            r->dx[row * r->in_elements + transposed(r, e)] += r->dy[row * r->out_elements + e];
}

/* What element e of this row is multiplied by; 0 stands for "not there", whatever the element. */
static double factor_of(const nn_ref *r, const nn_dropout *d, int64_t row, int64_t e) {
    if (!r->training) return 1;
    int64_t i = row * d->noise + nn_dropout_noise_at(r->node, e);
    return nn_dropout_keeps(d, i) ? d->scale : 0;
}

void nn_ref_forward_dropout(const nn_ref *r) {
    nn_dropout d = nn_dropout_at(r->node, r->seed, r->updates);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            int64_t i = row * r->out_elements + e;
            double factor = factor_of(r, &d, row, e);
            r->y[i] = factor == 0 ? 0 : r->x[i] * factor;
        }
}

void nn_ref_backward_dropout(const nn_ref *r) {
    nn_dropout d = nn_dropout_at(r->node, r->seed, r->updates);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            int64_t i = row * r->out_elements + e;
            double factor = factor_of(r, &d, row, e);
            if (factor != 0) r->dx[i] += r->dy[i] * factor;
        }
}
