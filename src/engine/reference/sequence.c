/* SPDX-License-Identifier: MIT */
/* sequence.c - Embedding and PositionalEncoding. */
#include "engine/reference/reference.h"

#include <inttypes.h>
#include <math.h>

/* ---- embedding ---- */

nn_status nn_ref_check_embedding(const nn_ref *r, nn_err *err) {
    int64_t rows = r->node->attr.embedding.input_dim;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        double x = r->x[i];
        if (x >= 0 && x < (double)rows && x == floor(x)) continue;
        nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                              "%s ('%s') looks up whole numbers from 0 to %" PRId64
                              ", got %g in element %" PRId64 " of its input",
                              r->node->layer, r->node->layer_name, rows - 1, x, i);
        return nn_err_hint(err, s, "number the words from 0, or give a larger input_dim");
    }
    return NN_OK;
}

/* The first element of the table's row for element i of the input. */
static int64_t row_of(const nn_ref *r, int64_t i) {
    return (int64_t)r->x[i] * r->node->attr.embedding.output_dim;
}

void nn_ref_forward_embedding(const nn_ref *r) {
    int64_t size = r->node->attr.embedding.output_dim;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        for (int64_t e = 0; e < size; e++) r->y[i * size + e] = r->w[0][row_of(r, i) + e];
}

/* The numbers themselves have no gradient. */
void nn_ref_backward_embedding(const nn_ref *r) {
    int64_t size = r->node->attr.embedding.output_dim;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        for (int64_t e = 0; e < size; e++) r->dw[0][row_of(r, i) + e] += r->dy[i * size + e];
}

/* ---- position ---- */

/* sin(step / 10000^(2k / d)) at feature 2k, the cosine of the same at 2k + 1. */
static double sinusoid(int64_t step, int64_t feature, int64_t d) {
    double angle = (double)step / pow(10000, (double)(feature / 2 * 2) / (double)d);
    return feature % 2 ? cos(angle) : sin(angle);
}

void nn_ref_forward_position(const nn_ref *r) {
    bool learnable = r->node->attr.position.learnable;
    int64_t d = r->in->dim[1];
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        int64_t e = i % r->in_elements;
        r->y[i] = r->x[i] + (learnable ? r->w[0][e] : sinusoid(e / d, e % d, d));
    }
}

void nn_ref_backward_position(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        r->dx[i] += r->dy[i];
        if (r->node->attr.position.learnable) r->dw[0][i % r->in_elements] += r->dy[i];
    }
}
