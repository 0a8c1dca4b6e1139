/* SPDX-License-Identifier: MIT */
/* A step whose token is 0 leaves the state as it is, and its output is the state. Backward takes
 * all steps of a row forward first, then goes through them again from the end; what a cell needs of
 * each it keeps in its own scratch memory. */
#include "engine/reference/steps.h"

#include "engine/dropout.h"

#include <string.h>

double nn_ref_steps_scratch(double steps, double inputs, double units) {
    return 2 * (steps + 1) * units + 5 * units + 3 * inputs;
}

double *nn_ref_cut(double **scratch, int64_t n) {
    double *p = *scratch;
    *scratch += n;
    return p;
}

nn_ref_steps nn_ref_steps_of(const nn_ref *r, int64_t units, bool sequences, bool reverse,
                             double **scratch) {
    nn_ref_steps s = {.r = r,
                      .steps = r->in->dim[0],
                      .inputs = r->in_elements / r->in->dim[0],
                      .units = units,
                      .sequences = sequences,
                      .reverse = reverse};
    s.h = nn_ref_cut(scratch, (s.steps + 1) * units);
    s.c = nn_ref_cut(scratch, (s.steps + 1) * units);
    s.keep_x = nn_ref_cut(scratch, s.inputs);
    s.keep_h = nn_ref_cut(scratch, units);
    s.x = nn_ref_cut(scratch, s.inputs);
    s.seen = nn_ref_cut(scratch, units);
    s.dx = nn_ref_cut(scratch, s.inputs);
    s.dbefore = nn_ref_cut(scratch, units);
    s.dh = nn_ref_cut(scratch, units);
    s.dc = nn_ref_cut(scratch, units);
    return s;
}

/* The step that is the k-th to be taken. */
static int64_t step_at(const nn_ref_steps *s, int64_t k) {
    return s->reverse ? s->steps - 1 - k : k;
}

/* Where the output of the k-th step taken is in the row's; -1: it is not given out. */
static int64_t output_at(const nn_ref_steps *s, int64_t k) {
    if (s->sequences) return step_at(s, k) * s->units;
    return k == s->steps - 1 ? 0 : -1;
}

static bool passed_over(const nn_ref_steps *s, int64_t row, int64_t k) {
    const nn_ref *r = s->r;
    return r->node->n_inputs > 1 && r->inputs[1].x[row * s->steps + step_at(s, k)] == 0;
}

/* ---- dropout ---- */

static void fill(const nn_ref *r, const nn_dropout *d, int64_t first, int64_t n, double *keep) {
    for (int64_t i = 0; i < n; i++)
        keep[i] = !r->training || d->threshold == 0 ? 1
                  : nn_dropout_keeps(d, first + i)  ? d->scale
                                                    : 0;
}

static void draw(const nn_ref_steps *s, int64_t row) {
    const nn_ref *r = s->r;
    nn_dropout in, state;
    nn_dropout_of_steps(r->node, s->inputs, s->units, r->seed, r->updates, &in, &state);
    int64_t first = row * (s->inputs + s->units);
    fill(r, &in, first, s->inputs, s->keep_x);
    fill(r, &state, first + s->inputs, s->units, s->keep_h);
}

static int64_t input_at(const nn_ref_steps *s, int64_t row, int64_t k) {
    return (row * s->steps + step_at(s, k)) * s->inputs;
}

/* What the step sees: of its input and of the state before it. */
static void look(const nn_ref_steps *s, int64_t row, int64_t k) {
    const double *x = s->r->x + input_at(s, row, k), *h = s->h + k * s->units;
    for (int64_t i = 0; i < s->inputs; i++) s->x[i] = x[i] * s->keep_x[i];
    for (int64_t j = 0; j < s->units; j++) s->seen[j] = h[j] * s->keep_h[j];
}

/* ---- forward ---- */

/* All steps of a row: the states of each. */
static void run_row(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell, int64_t row) {
    size_t state = (size_t)s->units * sizeof(double);
    memset(s->h, 0, state);
    memset(s->c, 0, state);
    draw(s, row);
    for (int64_t k = 0; k < s->steps; k++) {
        if (passed_over(s, row, k)) {
            memcpy(s->h + (k + 1) * s->units, s->h + k * s->units, state);
            memcpy(s->c + (k + 1) * s->units, s->c + k * s->units, state);
        } else {
            look(s, row, k);
            fns->advance(cell, s, k);
        }
    }
}

void nn_ref_steps_forward(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell) {
    for (int64_t row = 0; row < s->r->rows; row++) {
        run_row(s, fns, cell, row);
        double *y = s->r->y + row * s->r->out_elements;
        for (int64_t k = 0; k < s->steps; k++)
            if (output_at(s, k) >= 0)
                memcpy(y + output_at(s, k), s->h + (k + 1) * s->units,
                       (size_t)s->units * sizeof *y);
    }
}

/* ---- backward ---- */

static void retreat(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell, int64_t row,
                    int64_t k) {
    double *dx = s->r->dx + input_at(s, row, k);
    look(s, row, k);
    memset(s->dx, 0, (size_t)s->inputs * sizeof *s->dx);
    memset(s->dbefore, 0, (size_t)s->units * sizeof *s->dbefore);
    fns->retreat(cell, s, k);
    for (int64_t i = 0; i < s->inputs; i++) dx[i] += s->dx[i] * s->keep_x[i];
    for (int64_t j = 0; j < s->units; j++) s->dh[j] = s->dbefore[j] * s->keep_h[j];
}

void nn_ref_steps_backward(const nn_ref_steps *s, const nn_ref_cell *fns, const void *cell) {
    for (int64_t row = 0; row < s->r->rows; row++) {
        const double *dy = s->r->dy + row * s->r->out_elements;
        run_row(s, fns, cell, row);
        memset(s->dh, 0, (size_t)s->units * sizeof *s->dh);
        memset(s->dc, 0, (size_t)s->units * sizeof *s->dc);
        for (int64_t k = s->steps - 1; k >= 0; k--) {
            int64_t out = output_at(s, k);
            for (int64_t j = 0; out >= 0 && j < s->units; j++) s->dh[j] += dy[out + j];
            if (!passed_over(s, row, k)) retreat(s, fns, cell, row, k);
        }
    }
}
