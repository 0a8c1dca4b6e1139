/* SPDX-License-Identifier: MIT */
/* shape.c - ops that move elements: input, reshape, fold, transpose, borders, concat, dropout. */
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

/* ---- the same elements in the same order ---- */

static void keep(const nn_ref *r) {
    memcpy(r->y, r->x, (size_t)(r->rows * r->out_elements) * sizeof *r->y);
}

static void keep_back(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->out_elements; i++) r->dx[i] += r->dy[i];
}

void nn_ref_forward_reshape(const nn_ref *r) {
    keep(r);
}

void nn_ref_backward_reshape(const nn_ref *r) {
    keep_back(r);
}

/* The steps of a sample become rows: row-major order is the same. */
void nn_ref_forward_fold(const nn_ref *r) {
    keep(r);
}

void nn_ref_backward_fold(const nn_ref *r) {
    keep_back(r);
}

void nn_ref_forward_unfold(const nn_ref *r) {
    keep(r);
}

void nn_ref_backward_unfold(const nn_ref *r) {
    keep_back(r);
}

/* ---- each output element is an element of the input, or 0 ---- */

/* An element of a shape as a place on each axis, and back. */
static void places_of(const nn_shape *s, int64_t e, int64_t ret[NN_MAX_RANK]) {
    for (int a = s->rank - 1; a >= 0; a--) {
        ret[a] = e % s->dim[a];
        e /= s->dim[a];
    }
}

static int64_t element_at(const nn_shape *s, const int64_t place[NN_MAX_RANK]) {
    int64_t at = 0;
    for (int a = 0; a < s->rank; a++) {
        if (place[a] < 0 || place[a] >= s->dim[a]) return -1;
        at = at * s->dim[a] + place[a];
    }
    return at;
}

/* The place in the input that an output place shows; outside of the input: 0 is shown. */
typedef void source_fn(const nn_ref *r, const int64_t out[], int64_t ret[]);

static int64_t source_of(const nn_ref *r, source_fn *source, int64_t e) {
    int64_t out[NN_MAX_RANK], in[NN_MAX_RANK];
    places_of(r->out, e, out);
    source(r, out, in);
    return element_at(r->in, in);
}

static void move(const nn_ref *r, source_fn *source) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            int64_t from = source_of(r, source, e);
            r->y[row * r->out_elements + e] = from < 0 ? 0 : r->x[row * r->in_elements + from];
        }
}

static void move_back(const nn_ref *r, source_fn *source) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            int64_t from = source_of(r, source, e);
            if (from >= 0) r->dx[row * r->in_elements + from] += r->dy[row * r->out_elements + e];
        }
}

/* The coordinate along output axis i is the one along input axis perm[i]. */
static void transpose(const nn_ref *r, const int64_t out[], int64_t ret[]) {
    for (int a = 0; a < r->in->rank; a++) ret[r->node->attr.transpose.perm[a]] = out[a];
}

static void reverse(const nn_ref *r, const int64_t out[], int64_t ret[]) {
    int axis = r->node->attr.reverse.axis;
    for (int a = 0; a < r->in->rank; a++) ret[a] = a == axis ? r->in->dim[a] - 1 - out[a] : out[a];
}

static void pad(const nn_ref *r, const int64_t out[], int64_t ret[]) {
    const nn_border *b = &r->node->attr.border;
    for (int a = 0; a < r->in->rank; a++) ret[a] = out[a] - (a < b->spatial ? b->before[a] : 0);
}

static void crop(const nn_ref *r, const int64_t out[], int64_t ret[]) {
    const nn_border *b = &r->node->attr.border;
    for (int a = 0; a < r->in->rank; a++) ret[a] = out[a] + (a < b->spatial ? b->before[a] : 0);
}

#define MOVES(n)                                                                                   \
    void nn_ref_forward_##n(const nn_ref *r) {                                                     \
        move(r, n);                                                                                \
    }                                                                                              \
    void nn_ref_backward_##n(const nn_ref *r) {                                                    \
        move_back(r, n);                                                                           \
    }
MOVES(transpose)
MOVES(reverse)
MOVES(pad)
MOVES(crop)

/* ---- concat ---- */

/* Calls `each` for every output element of a row with the input that it comes from. */
static void walk_concat(const nn_ref *r,
                        void (*each)(const nn_ref *r, int input, int64_t from, int64_t to)) {
    int axis = r->node->attr.concat.axis;
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            int64_t place[NN_MAX_RANK];
            int input = 0;
            places_of(r->out, e, place);
            while (place[axis] >= r->inputs[input].shape->dim[axis])
                place[axis] -= r->inputs[input++].shape->dim[axis];
            const nn_ref_operand *in = &r->inputs[input];
            each(r, input, row * in->elements + element_at(in->shape, place),
                 row * r->out_elements + e);
        }
}

static void take(const nn_ref *r, int input, int64_t from, int64_t to) {
    r->y[to] = r->inputs[input].x[from];
}

static void take_back(const nn_ref *r, int input, int64_t from, int64_t to) {
    r->inputs[input].dx[from] += r->dy[to];
}

void nn_ref_forward_concat(const nn_ref *r) {
    walk_concat(r, take);
}

void nn_ref_backward_concat(const nn_ref *r) {
    walk_concat(r, take_back);
}

/* ---- dropout ---- */

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
