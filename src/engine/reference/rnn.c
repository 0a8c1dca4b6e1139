/* SPDX-License-Identifier: MIT */
/* rnn.c - SimpleRNN, LSTM and GRU in Keras 3's definitions (keras/src/layers/rnn/), with W the
 * kernel, U the recurrent kernel, b the bias, h the state before the step:
 *
 *     SimpleRNN  h' = act(x W + b + h U)
 *     LSTM       lstm.h, of the sums x W + b + h U
 *     GRU        h' = z h + (1 - z) act(...), z and r = gate(x W + b + h U)
 *                reset_after: act(x W + b + r (h U + b2)), b2 in the other gates too
 *                else:        act(x W + b + (r h) U)
 *
 * While training, dropout zeroes some of the features of x and recurrent_dropout some of the units
 * of h, the same in every step of a row, and scales the rest; h stands for what is left of it in
 * all of the above (keras/src/layers/rnn/dropout_rnn_cell.py).
 *
 * A step whose token is 0 leaves the state as it is, and its output is the state. Backward goes
 * through the steps again from the end (backpropagation through time); the sums of every step of
 * one row are kept in scratch memory for it. */
#include "engine/dropout.h"
#include "engine/reference/lstm.h"
#include "engine/reference/reference.h"

#include <string.h>

typedef struct cell {
    const nn_ref *r;
    int64_t steps, features, units, columns; /* columns: of the kernels, gates x units */
    nn_act act, gate;
    bool reset_after;
    const double *b, *b2; /* NULL: none */
    double *db, *db2;
    double *h, *c;           /* (steps + 1, units): states before each step, and the last */
    double *keep_x, *keep_h; /* (features), (units): what dropout multiplies this row's by */
    double *x, *seen, *dx;   /* (features), (units), (features): less what is dropped */
    double *sums, *inner;    /* (steps, columns); (steps, units): h U + b2, or r h */
    double *dh, *dc, *dbefore, *dsums, *dinner; /* of the step that backward is at */
} cell;

static int64_t columns_of(const nn_node *n) {
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    return gates[n->attr.rnn.kind] * n->attr.rnn.units;
}

int64_t nn_ref_scratch_rnn(const nn_graph *g, const nn_node *n) {
    double steps = (double)g->nodes[n->inputs[0]].shape.dim[0];
    double units = (double)n->attr.rnn.units, columns = (double)columns_of(n);
    double features = (double)g->nodes[n->inputs[0]].shape.dim[1];
    return nn_ref_scratch_of(2 * (steps + 1) * units + steps * (columns + units) + 6 * units +
                             3 * features + columns);
}

static double *cut(double **from, int64_t n) {
    double *p = *from;
    *from += n;
    return p;
}

static cell cell_of(const nn_ref *r) {
    const nn_node *n = r->node;
    cell c = {.r = r,
              .steps = r->in->dim[0],
              .features = r->in->dim[1],
              .units = n->attr.rnn.units,
              .columns = columns_of(n),
              .act = n->attr.rnn.activation,
              .gate = n->attr.rnn.recurrent_activation,
              .reset_after = n->attr.rnn.kind == NN_RNN_GRU && n->attr.rnn.reset_after};
    if (n->attr.rnn.bias) c.b = r->w[2], c.db = r->dw[2];
    if (n->attr.rnn.bias && c.reset_after) {
        c.b2 = c.b + c.columns;
        c.db2 = c.db ? c.db + c.columns : NULL;
    }
    double *p = r->scratch;
    c.h = cut(&p, (c.steps + 1) * c.units);
    c.c = cut(&p, (c.steps + 1) * c.units);
    c.sums = cut(&p, c.steps * c.columns);
    c.inner = cut(&p, c.steps * c.units);
    c.dh = cut(&p, c.units);
    c.dc = cut(&p, c.units);
    c.dbefore = cut(&p, c.units);
    c.dinner = cut(&p, c.units);
    c.dsums = cut(&p, c.columns);
    c.keep_h = cut(&p, c.units);
    c.seen = cut(&p, c.units);
    c.keep_x = cut(&p, c.features);
    c.x = cut(&p, c.features);
    c.dx = cut(&p, c.features);
    return c;
}

static nn_ref_lstm lstm_of(const cell *c) {
    return (nn_ref_lstm){.places = 1, .units = c->units, .act = c->act, .gate = c->gate};
}

/* The step that is the k-th to be taken. */
static int64_t step_at(const cell *c, int64_t k) {
    return c->r->node->attr.rnn.reverse ? c->steps - 1 - k : k;
}

static bool passed_over(const cell *c, int64_t row, int64_t step) {
    return c->r->node->n_inputs > 1 && c->r->inputs[1].x[row * c->steps + step] == 0;
}

/* ---- dropout ---- */

static void draw(const cell *c, int64_t row) {
    const nn_ref *r = c->r;
    const nn_node *n = r->node;
    nn_dropout in, state;
    nn_dropout_of_rnn(n, c->features, r->seed, r->updates, &in, &state);
    bool drops_x = r->training && n->attr.rnn.dropout > 0;
    bool drops_h = r->training && n->attr.rnn.recurrent_dropout > 0;
    int64_t first = row * (c->features + c->units);
    for (int64_t f = 0; f < c->features; f++)
        c->keep_x[f] = !drops_x ? 1 : nn_dropout_keeps(&in, first + f) ? in.scale : 0;
    first += c->features;
    for (int64_t j = 0; j < c->units; j++)
        c->keep_h[j] = !drops_h ? 1 : nn_dropout_keeps(&state, first + j) ? state.scale : 0;
}

/* What step k, which is row's step `step`, sees: of its input and of the state before it. */
static const double *seen_x(const cell *c, int64_t row, int64_t step) {
    const double *x = c->r->x + (row * c->steps + step) * c->features;
    for (int64_t f = 0; f < c->features; f++) c->x[f] = x[f] * c->keep_x[f];
    return c->x;
}

static const double *seen_h(const cell *c, int64_t k) {
    for (int64_t j = 0; j < c->units; j++) c->seen[j] = c->h[k * c->units + j] * c->keep_h[j];
    return c->seen;
}

/* ---- one step forward ---- */

static void add_input(const cell *c, const double *x, double *sums) {
    for (int64_t j = 0; j < c->columns; j++) {
        sums[j] = c->b ? c->b[j] : 0;
        for (int64_t f = 0; f < c->features; f++) sums[j] += x[f] * c->r->w[0][f * c->columns + j];
    }
}

/* v U + b2 in column j. */
static double through(const cell *c, const double *v, int64_t j) {
    double sum = c->b2 ? c->b2[j] : 0;
    for (int64_t i = 0; i < c->units; i++) sum += v[i] * c->r->w[1][i * c->columns + j];
    return sum;
}

static void gru_step(const cell *c, const double *h, double *sums, double *inner, double *ret_h) {
    const int64_t n = c->units;
    for (int64_t j = 0; j < 2 * n; j++) sums[j] += through(c, h, j);
    for (int64_t j = 0; j < n; j++) {
        double reset = nn_ref_act_value(c->gate, sums[n + j]);
        inner[j] = c->reset_after ? through(c, h, 2 * n + j) : reset * h[j];
        if (c->reset_after) sums[2 * n + j] += reset * inner[j];
    }
    for (int64_t j = 0; !c->reset_after && j < n; j++)
        sums[2 * n + j] += through(c, inner, 2 * n + j);
    for (int64_t j = 0; j < n; j++) {
        double update = nn_ref_act_value(c->gate, sums[j]);
        ret_h[j] = update * h[j] + (1 - update) * nn_ref_act_value(c->act, sums[2 * n + j]);
    }
}

static void advance(const cell *c, const double *x, int64_t k) {
    const double *h = seen_h(c, k), *state = c->c + k * c->units;
    double *next = c->h + (k + 1) * c->units, *next_state = c->c + (k + 1) * c->units;
    double *sums = c->sums + k * c->columns;
    nn_ref_lstm l = lstm_of(c);
    add_input(c, x, sums);
    switch (c->r->node->attr.rnn.kind) {
    case NN_RNN_SIMPLE:
        for (int64_t j = 0; j < c->units; j++) {
            sums[j] += through(c, h, j);
            next[j] = nn_ref_act_value(c->act, sums[j]);
        }
        break;
    case NN_RNN_LSTM:
        for (int64_t j = 0; j < c->columns; j++) sums[j] += through(c, h, j);
        nn_ref_lstm_step(&l, sums, state, next_state, next);
        break;
    case NN_RNN_GRU:
        gru_step(c, h, sums, c->inner + k * c->units, next);
        break;
    }
}

/* All steps of a row: the states and sums of each. */
static void run_row(const cell *c, int64_t row) {
    size_t state = (size_t)c->units * sizeof(double);
    memset(c->h, 0, state);
    memset(c->c, 0, state);
    draw(c, row);
    for (int64_t k = 0; k < c->steps; k++) {
        int64_t step = step_at(c, k);
        if (passed_over(c, row, step)) {
            memcpy(c->h + (k + 1) * c->units, c->h + k * c->units, state);
            memcpy(c->c + (k + 1) * c->units, c->c + k * c->units, state);
        } else {
            advance(c, seen_x(c, row, step), k);
        }
    }
}

/* Where the output of the k-th step taken is in the row's; -1: it is not given out. */
static int64_t output_at(const cell *c, int64_t k) {
    if (c->r->node->attr.rnn.sequences) return step_at(c, k) * c->units;
    return k == c->steps - 1 ? 0 : -1;
}

void nn_ref_forward_rnn(const nn_ref *r) {
    cell c = cell_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        run_row(&c, row);
        for (int64_t k = 0; k < c.steps; k++)
            if (output_at(&c, k) >= 0)
                memcpy(r->y + row * r->out_elements + output_at(&c, k), c.h + (k + 1) * c.units,
                       (size_t)c.units * sizeof *r->y);
    }
}

/* ---- one step backward ---- */

/* Of through(v, j), whose gradient is d. */
static void through_back(const cell *c, const double *v, double *dv, int64_t j, double d) {
    if (c->db2) c->db2[j] += d;
    for (int64_t i = 0; i < c->units; i++) {
        c->r->dw[1][i * c->columns + j] += v[i] * d;
        dv[i] += c->r->w[1][i * c->columns + j] * d;
    }
}

static void add_input_back(const cell *c, const double *x, double *dx) {
    for (int64_t j = 0; j < c->columns; j++) {
        if (c->db) c->db[j] += c->dsums[j];
        for (int64_t f = 0; f < c->features; f++) {
            c->r->dw[0][f * c->columns + j] += x[f] * c->dsums[j];
            dx[f] += c->r->w[0][f * c->columns + j] * c->dsums[j];
        }
    }
}

static void gru_candidate_back(const cell *c, const double *h, const double *sums,
                               const double *inner) {
    const int64_t n = c->units;
    memset(c->dinner, 0, (size_t)n * sizeof *c->dinner);
    for (int64_t j = 0; j < n; j++) {
        double d = c->dsums[2 * n + j], reset = nn_ref_act_value(c->gate, sums[n + j]);
        if (c->reset_after)
            through_back(c, h, c->dbefore, 2 * n + j, d * reset);
        else
            through_back(c, inner, c->dinner, 2 * n + j, d);
    }
    for (int64_t j = 0; j < n; j++) {
        double reset = nn_ref_act_value(c->gate, sums[n + j]);
        double dreset = c->reset_after ? c->dsums[2 * n + j] * inner[j] : c->dinner[j] * h[j];
        if (!c->reset_after) c->dbefore[j] += c->dinner[j] * reset;
        c->dsums[n + j] = dreset * nn_ref_act_slope(c->gate, sums[n + j]);
    }
}

static void gru_back(const cell *c, const double *h, const double *sums, const double *inner) {
    const int64_t n = c->units;
    for (int64_t j = 0; j < n; j++) {
        double update = nn_ref_act_value(c->gate, sums[j]), s = sums[2 * n + j];
        c->dbefore[j] += c->dh[j] * update;
        c->dsums[j] =
            c->dh[j] * (h[j] - nn_ref_act_value(c->act, s)) * nn_ref_act_slope(c->gate, sums[j]);
        c->dsums[2 * n + j] = c->dh[j] * (1 - update) * nn_ref_act_slope(c->act, s);
    }
    gru_candidate_back(c, h, sums, inner);
    for (int64_t j = 0; j < 2 * n; j++) through_back(c, h, c->dbefore, j, c->dsums[j]);
}

static void retreat(const cell *c, int64_t row, int64_t k) {
    const double *h = seen_h(c, k), *state = c->c + k * c->units;
    const double *sums = c->sums + k * c->columns;
    double *dx = c->r->dx + (row * c->steps + step_at(c, k)) * c->features;
    nn_ref_lstm l = lstm_of(c);
    memset(c->dbefore, 0, (size_t)c->units * sizeof *c->dbefore);
    if (c->r->node->attr.rnn.kind == NN_RNN_GRU) {
        gru_back(c, h, sums, c->inner + k * c->units);
    } else {
        if (c->r->node->attr.rnn.kind == NN_RNN_LSTM)
            nn_ref_lstm_back(&l, sums, state, state + c->units, c->dh, c->dc, c->dsums);
        else
            for (int64_t j = 0; j < c->units; j++)
                c->dsums[j] = c->dh[j] * nn_ref_act_slope(c->act, sums[j]);
        for (int64_t j = 0; j < c->columns; j++) through_back(c, h, c->dbefore, j, c->dsums[j]);
    }
    memset(c->dx, 0, (size_t)c->features * sizeof *c->dx);
    add_input_back(c, seen_x(c, row, step_at(c, k)), c->dx);
    for (int64_t f = 0; f < c->features; f++) dx[f] += c->dx[f] * c->keep_x[f];
    for (int64_t j = 0; j < c->units; j++) c->dh[j] = c->dbefore[j] * c->keep_h[j];
}

void nn_ref_backward_rnn(const nn_ref *r) {
    cell c = cell_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        run_row(&c, row);
        memset(c.dh, 0, (size_t)c.units * sizeof *c.dh);
        memset(c.dc, 0, (size_t)c.units * sizeof *c.dc);
        for (int64_t k = c.steps - 1; k >= 0; k--) {
            int64_t out = output_at(&c, k);
            for (int64_t j = 0; out >= 0 && j < c.units; j++)
                c.dh[j] += r->dy[row * r->out_elements + out + j];
            if (!passed_over(&c, row, step_at(&c, k))) retreat(&c, row, k);
        }
    }
}
