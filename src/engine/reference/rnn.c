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
 * x and h stand for what dropout leaves of them (steps.h). The sums of every step of one row are
 * kept in scratch memory for backward. */
#include "engine/reference/lstm.h"
#include "engine/reference/steps.h"

#include <string.h>

typedef struct cell {
    const nn_ref *r;
    nn_ref_steps s;
    int64_t features, units, columns; /* columns: of the kernels, gates x units */
    nn_act act, gate;
    bool reset_after;
    const double *b, *b2; /* NULL: none */
    double *db, *db2;
    double *sums, *inner;   /* (steps, columns); (steps, units): h U + b2, or r h */
    double *dsums, *dinner; /* of the step that backward is at */
} cell;

static int64_t columns_of(const nn_node *n) {
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    return gates[n->attr.rnn.kind] * n->attr.rnn.units;
}

int64_t nn_ref_scratch_rnn(const nn_graph *g, const nn_node *n) {
    const nn_shape *in = &g->nodes[n->inputs[0]].shape;
    double steps = (double)in->dim[0];
    double units = (double)n->attr.rnn.units, columns = (double)columns_of(n);
    return nn_ref_scratch_of(nn_ref_steps_scratch(steps, (double)in->dim[1], units) +
                             (steps + 1) * (columns + units));
}

static cell cell_of(const nn_ref *r) {
    const nn_node *n = r->node;
    double *p = r->scratch;
    cell c = {
        .r = r,
        .s = nn_ref_steps_of(r, n->attr.rnn.units, n->attr.rnn.sequences, n->attr.rnn.reverse, &p),
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
    c.sums = nn_ref_cut(&p, c.s.steps * c.columns);
    c.inner = nn_ref_cut(&p, c.s.steps * c.units);
    c.dsums = nn_ref_cut(&p, c.columns);
    c.dinner = nn_ref_cut(&p, c.units);
    return c;
}

static nn_ref_lstm lstm_of(const cell *c) {
    return (nn_ref_lstm){.places = 1, .units = c->units, .act = c->act, .gate = c->gate};
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

static void advance(const void *self, const nn_ref_steps *s, int64_t k) {
    const cell *c = self;
    const double *h = s->seen, *state = s->c + k * c->units;
    double *next = s->h + (k + 1) * c->units, *next_state = s->c + (k + 1) * c->units;
    double *sums = c->sums + k * c->columns;
    nn_ref_lstm l = lstm_of(c);
    add_input(c, s->x, sums);
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
            through_back(c, h, c->s.dbefore, 2 * n + j, d * reset);
        else
            through_back(c, inner, c->dinner, 2 * n + j, d);
    }
    for (int64_t j = 0; j < n; j++) {
        double reset = nn_ref_act_value(c->gate, sums[n + j]);
        double dreset = c->reset_after ? c->dsums[2 * n + j] * inner[j] : c->dinner[j] * h[j];
        if (!c->reset_after) c->s.dbefore[j] += c->dinner[j] * reset;
        c->dsums[n + j] = dreset * nn_ref_act_slope(c->gate, sums[n + j]);
    }
}

static void gru_back(const cell *c, const double *h, const double *sums, const double *inner) {
    const int64_t n = c->units;
    for (int64_t j = 0; j < n; j++) {
        double update = nn_ref_act_value(c->gate, sums[j]), s = sums[2 * n + j];
        c->s.dbefore[j] += c->s.dh[j] * update;
        c->dsums[j] =
            c->s.dh[j] * (h[j] - nn_ref_act_value(c->act, s)) * nn_ref_act_slope(c->gate, sums[j]);
        c->dsums[2 * n + j] = c->s.dh[j] * (1 - update) * nn_ref_act_slope(c->act, s);
    }
    gru_candidate_back(c, h, sums, inner);
    for (int64_t j = 0; j < 2 * n; j++) through_back(c, h, c->s.dbefore, j, c->dsums[j]);
}

static void retreat(const void *self, const nn_ref_steps *s, int64_t k) {
    const cell *c = self;
    const double *h = s->seen, *state = s->c + k * c->units, *sums = c->sums + k * c->columns;
    nn_ref_lstm l = lstm_of(c);
    if (c->r->node->attr.rnn.kind == NN_RNN_GRU) {
        gru_back(c, h, sums, c->inner + k * c->units);
    } else {
        if (c->r->node->attr.rnn.kind == NN_RNN_LSTM)
            nn_ref_lstm_back(&l, sums, state, state + c->units, s->dh, s->dc, c->dsums);
        else
            for (int64_t j = 0; j < c->units; j++)
                c->dsums[j] = s->dh[j] * nn_ref_act_slope(c->act, sums[j]);
        for (int64_t j = 0; j < c->columns; j++) through_back(c, h, s->dbefore, j, c->dsums[j]);
    }
    add_input_back(c, s->x, s->dx);
}

static const nn_ref_cell fns = {advance, retreat};

void nn_ref_forward_rnn(const nn_ref *r) {
    cell c = cell_of(r);
    nn_ref_steps_forward(&c.s, &fns, &c);
}

void nn_ref_backward_rnn(const nn_ref *r) {
    cell c = cell_of(r);
    nn_ref_steps_backward(&c.s, &fns, &c);
}
