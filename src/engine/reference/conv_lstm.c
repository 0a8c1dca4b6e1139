/* SPDX-License-Identifier: MIT */
/* conv_lstm.c - an LSTM (lstm.h) whose sums are convolutions (Shi et al. 2015, without peepholes,
 * as Keras has it): conv(x, W) + b + conv(h, U), W in the layer's window, U with its sizes alone,
 * stride 1 and padding "same". Backward as in rnn.c. */
#include "engine/reference/lstm.h"
#include "engine/reference/reference.h"
#include "engine/reference/window.h"

#include <string.h>

/* A convolution of one image: of `in` channels, to `out` ones. */
typedef struct product {
    nn_ref_window v;
    int64_t in, out;
} product;

typedef struct cell {
    const nn_ref *r;
    nn_ref_lstm l;
    product input, state;
    int64_t steps, image, size; /* elements of a step's input; of a state */
    double *h, *c, *sums;       /* (steps + 1, size) twice, (steps, 4 size) */
    double *dh, *dc, *dbefore, *dsums;
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
    nn_shape out =
        step_shape(&n->shape, n->attr.conv_lstm.sequences, n->attr.conv_lstm.window.spatial);
    double steps = (double)g->nodes[n->inputs[0]].shape.dim[0];
    return nn_ref_scratch_of((2 * (steps + 1) + 4 * steps + 7) * (double)nn_shape_elements(&out));
}

const char *nn_ref_untrained_conv_lstm(const nn_node *n) {
    bool drops = n->attr.conv_lstm.dropout != 0 || n->attr.conv_lstm.recurrent_dropout != 0;
    return drops ? "dropout inside of a recurrent layer" : NULL;
}

static double *cut(double **from, int64_t n) {
    double *p = *from;
    *from += n;
    return p;
}

static cell cell_of(const nn_ref *r) {
    const nn_window *w = &r->node->attr.conv_lstm.window;
    int64_t filters = r->node->attr.conv_lstm.filters;
    nn_window recurrent = state_window(w);
    nn_shape in = step_shape(r->in, 1, w->spatial);
    nn_shape out = step_shape(r->out, r->node->attr.conv_lstm.sequences, w->spatial);
    cell c = {
        .r = r,
        .input = {nn_ref_window_make(w,          &in,  &out), in.dim[w->spatial], 4 * filters},
        .state = {nn_ref_window_make(&recurrent, &out, &out), filters,            4 * filters},
        .steps = r->in->dim[0],
        .image = nn_shape_elements(&in),
        .size = nn_shape_elements(&out),
    };
    c.l = (nn_ref_lstm){.places = c.input.v.places,
                        .units = filters,
                        .act = r->node->attr.conv_lstm.activation,
                        .gate = r->node->attr.conv_lstm.recurrent_activation};
    double *p = r->scratch;
    c.h = cut(&p, (c.steps + 1) * c.size);
    c.c = cut(&p, (c.steps + 1) * c.size);
    c.sums = cut(&p, c.steps * 4 * c.size);
    c.dh = cut(&p, c.size);
    c.dc = cut(&p, c.size);
    c.dbefore = cut(&p, c.size);
    c.dsums = cut(&p, 4 * c.size);
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

static int64_t step_at(const cell *c, int64_t k) {
    return c->r->node->attr.conv_lstm.reverse ? c->steps - 1 - k : k;
}

static void run_row(const cell *c, int64_t row) {
    const nn_ref *r = c->r;
    memset(c->h, 0, (size_t)c->size * sizeof *c->h);
    memset(c->c, 0, (size_t)c->size * sizeof *c->c);
    for (int64_t k = 0; k < c->steps; k++) {
        double *sums = c->sums + k * 4 * c->size, *h = c->h + k * c->size;
        double *state = c->c + k * c->size;
        for (int64_t e = 0; e < 4 * c->size; e++)
            sums[e] = r->node->attr.conv_lstm.bias ? r->w[2][e % c->input.out] : 0;
        convolve(&c->input, r->x + (row * c->steps + step_at(c, k)) * c->image, r->w[0], sums);
        convolve(&c->state, h, r->w[1], sums);
        nn_ref_lstm_step(&c->l, sums, state, state + c->size, h + c->size);
    }
}

/* Where the output of the k-th step taken is in the row's; -1: it is not given out. */
static int64_t output_at(const cell *c, int64_t k) {
    if (c->r->node->attr.conv_lstm.sequences) return step_at(c, k) * c->size;
    return k == c->steps - 1 ? 0 : -1;
}

void nn_ref_forward_conv_lstm(const nn_ref *r) {
    cell c = cell_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        run_row(&c, row);
        for (int64_t k = 0; k < c.steps; k++)
            if (output_at(&c, k) >= 0)
                memcpy(r->y + row * r->out_elements + output_at(&c, k), c.h + (k + 1) * c.size,
                       (size_t)c.size * sizeof *r->y);
    }
}

static void retreat(const cell *c, int64_t row, int64_t k) {
    const nn_ref *r = c->r;
    const double *state = c->c + k * c->size;
    int64_t x = (row * c->steps + step_at(c, k)) * c->image;
    nn_ref_lstm_back(&c->l, c->sums + k * 4 * c->size, state, state + c->size, c->dh, c->dc,
                     c->dsums);
    for (int64_t e = 0; r->node->attr.conv_lstm.bias && e < 4 * c->size; e++)
        r->dw[2][e % c->input.out] += c->dsums[e];
    memset(c->dbefore, 0, (size_t)c->size * sizeof *c->dbefore);
    convolve_back(&c->input, r->x + x, r->w[0], c->dsums, r->dx + x, r->dw[0]);
    convolve_back(&c->state, c->h + k * c->size, r->w[1], c->dsums, c->dbefore, r->dw[1]);
    memcpy(c->dh, c->dbefore, (size_t)c->size * sizeof *c->dh);
}

void nn_ref_backward_conv_lstm(const nn_ref *r) {
    cell c = cell_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        run_row(&c, row);
        memset(c.dh, 0, (size_t)c.size * sizeof *c.dh);
        memset(c.dc, 0, (size_t)c.size * sizeof *c.dc);
        for (int64_t k = c.steps - 1; k >= 0; k--) {
            int64_t out = output_at(&c, k);
            for (int64_t e = 0; out >= 0 && e < c.size; e++)
                c.dh[e] += r->dy[row * r->out_elements + out + e];
            retreat(&c, row, k);
        }
    }
}
