/* SPDX-License-Identifier: MIT */
/* conv_lstm.c - an LSTM (lstm.h) whose sums are convolutions (Shi et al. 2015, without peepholes,
 * as Keras has it): conv(x, W) + b + conv(h, U), W in the layer's window, U with its sizes alone,
 * stride 1 and padding "same"; x and h are what dropout leaves of them (steps.h), the same for all
 * gates as in LSTM, where Keras's ConvLSTMCell draws once a gate. */
#include "engine/reference/lstm.h"
#include "engine/reference/steps.h"
#include "engine/reference/window.h"

#include <string.h>

/* A convolution of one image: of `in` channels, to `out` ones. */
typedef struct product {
    nn_ref_window v;
    int64_t in, out;
} product;

typedef struct cell {
    const nn_ref *r;
    nn_ref_steps s;
    nn_ref_lstm l;
    product input, state;
    double *sums, *dsums; /* (steps, 4 units); of the step that backward is at */
} cell;

/* A step of a sequence; `spatial` + 1 axes from `first`. */
static nn_shape step_shape(const nn_shape *s, int first, int spatial) {
    nn_shape step = {.rank = spatial + 1};
    memcpy(step.dim, s->dim + first, (size_t)step.rank * sizeof *step.dim);
    return step;
}

/* "same" with stride 1: ke - 1 zeros in all, the smaller half before. */
static nn_window state_window(const nn_window *w) {
    nn_window s = {.spatial = w->spatial, .same = true};
    for (int a = 0; a < w->spatial; a++) {
        s.size[a] = w->size[a];
        s.stride[a] = s.dilation[a] = 1;
        s.pad_before[a] = (w->size[a] - 1) / 2;
        s.pad_after[a] = w->size[a] - 1 - s.pad_before[a];
    }
    return s;
}

int64_t nn_ref_scratch_conv_lstm(const nn_graph *g, const nn_node *n) {
    const nn_shape *in = &g->nodes[n->inputs[0]].shape;
    nn_shape out =
        step_shape(&n->shape, n->attr.conv_lstm.sequences, n->attr.conv_lstm.window.spatial);
    double steps = (double)in->dim[0], state = (double)nn_shape_elements(&out);
    double image = (double)nn_shape_elements(in) / steps;
    return nn_ref_scratch_of(nn_ref_steps_scratch(steps, image, state) + (steps + 1) * 4 * state);
}

static cell cell_of(const nn_ref *r) {
    const nn_window *w = &r->node->attr.conv_lstm.window;
    int64_t filters = r->node->attr.conv_lstm.filters;
    bool sequences = r->node->attr.conv_lstm.sequences;
    nn_window recurrent = state_window(w);
    nn_shape in = step_shape(r->in, 1, w->spatial);
    nn_shape out = step_shape(r->out, sequences, w->spatial);
    double *p = r->scratch;
    cell c = {
        .r = r,
        .s = nn_ref_steps_of(r, nn_shape_elements(&out), sequences, r->node->attr.conv_lstm.reverse,
                             &p),
        .input = {nn_ref_window_make(w,          &in,  &out), in.dim[w->spatial], 4 * filters},
        .state = {nn_ref_window_make(&recurrent, &out, &out), filters,            4 * filters},
    };
    c.l = (nn_ref_lstm){.places = c.input.v.places,
                        .units = filters,
                        .act = r->node->attr.conv_lstm.activation,
                        .gate = r->node->attr.conv_lstm.recurrent_activation};
    c.sums = nn_ref_cut(&p, c.s.steps * 4 * c.s.units);
    c.dsums = nn_ref_cut(&p, 4 * c.s.units);
    return c;
}

/* y += conv(x, w) */
static void convolve(const product *p, const double *x, const double *w, double *y) {
    for (int64_t place = 0; place < p->v.places; place++)
        for (int64_t tap = 0; tap < p->v.taps; tap++) {
            int64_t at = nn_ref_window_at(&p->v, place, tap);
            for (int64_t i = 0; at >= 0 && i < p->in; i++)
                for (int64_t o = 0; o < p->out; o++)
                    y[place * p->out + o] += x[at * p->in + i] * w[(tap * p->in + i) * p->out + o];
        }
}

static void convolve_back(const product *p, const double *x, const double *w, const double *dy,
                          double *dx, double *dw) {
    for (int64_t place = 0; place < p->v.places; place++)
        for (int64_t tap = 0; tap < p->v.taps; tap++) {
            int64_t at = nn_ref_window_at(&p->v, place, tap);
            for (int64_t i = 0; at >= 0 && i < p->in; i++)
                for (int64_t o = 0; o < p->out; o++) {
                    double d = dy[place * p->out + o];
                    dx[at * p->in + i] += w[(tap * p->in + i) * p->out + o] * d;
                    dw[(tap * p->in + i) * p->out + o] += x[at * p->in + i] * d;
                }
        }
}

static void advance(const void *self, const nn_ref_steps *s, int64_t k) {
    const cell *c = self;
    const nn_ref *r = c->r;
    double *sums = c->sums + k * 4 * s->units, *state = s->c + k * s->units;
    for (int64_t e = 0; e < 4 * s->units; e++)
        sums[e] = r->node->attr.conv_lstm.bias ? r->w[2][e % c->input.out] : 0;
    convolve(&c->input, s->x, r->w[0], sums);
    convolve(&c->state, s->seen, r->w[1], sums);
    nn_ref_lstm_step(&c->l, sums, state, state + s->units, s->h + (k + 1) * s->units);
}

static void retreat(const void *self, const nn_ref_steps *s, int64_t k) {
    const cell *c = self;
    const nn_ref *r = c->r;
    const double *state = s->c + k * s->units;
    nn_ref_lstm_back(&c->l, c->sums + k * 4 * s->units, state, state + s->units, s->dh, s->dc,
                     c->dsums);
    for (int64_t e = 0; r->node->attr.conv_lstm.bias && e < 4 * s->units; e++)
        r->dw[2][e % c->input.out] += c->dsums[e];
    convolve_back(&c->input, s->x, r->w[0], c->dsums, s->dx, r->dw[0]);
    convolve_back(&c->state, s->seen, r->w[1], c->dsums, s->dbefore, r->dw[1]);
}

static const nn_ref_cell fns = {advance, retreat};

void nn_ref_forward_conv_lstm(const nn_ref *r) {
    cell c = cell_of(r);
    nn_ref_steps_forward(&c.s, &fns, &c);
}

void nn_ref_backward_conv_lstm(const nn_ref *r) {
    cell c = cell_of(r);
    nn_ref_steps_backward(&c.s, &fns, &c);
}
