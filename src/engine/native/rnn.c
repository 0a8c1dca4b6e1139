/* SPDX-License-Identifier: MIT */
/* rnn.c - SimpleRNN, LSTM and GRU, by the definitions of engine/reference/rnn.c.
 *
 * Everything inside is laid out step by step (step, row, unit), in the order in which steps are
 * taken, so that the rows of a step lie together and all steps of all rows are one matrix for the
 * gradients of the weights. Kernels are held as panels, gate after gate. A step takes the products
 * with the input and with the state, then nn_kernels.cell; what backward needs stays in `sums`.
 *
 * Threads share either the rows, which meet nowhere, or the units: then each holds its part of the
 * recurrent kernel in its own cache, and they meet at a barrier a step (two in a GRU without
 * reset_after). Each sum is taken in the same order either way. */
#include "engine/dropout.h"
#include "engine/native/native.h"

#include <string.h>

typedef struct rnn {
    int64_t steps, features, units, columns; /* columns: gates x units */
    int gates;
    nn_cell_kind cell;
    nn_cell_act act, gate;
    bool lstm, after, before; /* an LSTM; a GRU that resets after, before the product */
    bool by_units;            /* how threads share the work */
    float *x;                 /* (step, row, feature) */
    float *h, *c;             /* before each step, and after the last */
    float *seen;              /* h as the products see it: less what dropout zeroes */
    float *sums, *raw, *inner;
    float *keep_x, *keep_h; /* (row, feature), (row, unit): what dropout multiplies by */
    float *wt, *ut;         /* transposed kernels, gate after gate */
    float *dx, *dh[2], *dc, *dinner;
} rnn;

/* A pass over `rows` rows. */
typedef struct pass {
    const nn_unit *u;
    const rnn *r;
    int64_t rows;
} pass;

/* What a thread does: rows [r0, r1) of units [u0, u1), and panels [f0, f1) of the input's gradient.
 */
typedef struct share {
    int64_t r0, r1, u0, u1, f0, f1;
} share;

static bool masked(const nn_unit *u) {
    return u->n_in > 1;
}

static bool drops_x(const nn_native *x, const pass *p) {
    return x->learning && p->r->keep_x;
}

static bool drops_h(const nn_native *x, const pass *p) {
    return x->learning && p->r->keep_h;
}

/* ---- planning ---- */

static nn_status convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                         float *exec) {
    (void)x;
    const rnn *r = p->unit->state;
    int64_t depth = p->weight->shape.dim[0], panels = nn_panel_floats(depth, r->units);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < r->columns; j++) {
            int64_t at = nn_panel_at(depth, r->units, k, j % r->units);
            float *e = exec + j / r->units * panels + at, *f = plain + k * r->columns + j;
            if (import)
                *e = *f;
            else
                *f = *e;
        }
    return NN_OK;
}

static nn_cell_act act_of(nn_act a) {
    return (nn_cell_act){a, (float)nn_act_default_alpha(a)};
}

static void describe(const nn_native *x, const nn_unit *u, rnn *r) {
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    const nn_node *n = u->node;
    nn_rnn_kind kind = n->attr.rnn.kind;
    r->steps = u->in->shape->dim[0];
    r->features = u->in->shape->dim[1];
    r->units = n->attr.rnn.units;
    r->gates = gates[kind];
    r->columns = r->gates * r->units;
    r->act = act_of(n->attr.rnn.activation);
    r->gate = act_of(n->attr.rnn.recurrent_activation);
    r->lstm = kind == NN_RNN_LSTM;
    r->after = kind == NN_RNN_GRU && n->attr.rnn.reset_after;
    r->before = kind == NN_RNN_GRU && !n->attr.rnn.reset_after;
    r->cell = r->lstm     ? NN_CELL_LSTM
              : r->after  ? NN_CELL_GRU_AFTER
              : r->before ? NN_CELL_GRU_GATES
                          : NN_CELL_SIMPLE;
    (void)x;
}

/* Kernels that do not fit beside the rows in a core's cache are shared out, as are few rows. */
enum { SHARED_FLOATS = 1 << 15, FEW_ROWS = 8 };

static bool shares_units(const nn_native *x, const rnn *r, int64_t rows) {
    if (x->threads == 1) return true; /* the one has them all */
    if (nn_panels(r->units) < x->threads) return false;
    return r->units * r->columns > SHARED_FLOATS || rows < FEW_ROWS * x->threads;
}

static bool needs_raw(const rnn *r) {
    return !nn_cell_by_value(r->act.kind) || (r->gates > 1 && !nn_cell_by_value(r->gate.kind));
}

static void wish_forward(nn_native *x, nn_unit *u, rnn *r) {
    const nn_node *n = u->node;
    int64_t rows = nn_rows(x, u), states = (r->steps + 1) * rows * r->units;
    int64_t sums = r->steps * rows * r->columns;
    int when = x->training ? NN_FOR_FORWARD | NN_FOR_BACKWARD : NN_FOR_FORWARD;
    nn_native_wish(x, u, r->steps * rows * r->features, when, &r->x);
    nn_native_wish(x, u, states, when, &r->h);
    if (r->lstm) nn_native_wish(x, u, states, when, &r->c);
    nn_native_wish(x, u, sums, when, &r->sums);
    if (r->after) nn_native_wish(x, u, sums, when, &r->inner);
    if (r->before) nn_native_wish(x, u, states, when, &r->inner);
    if (!x->training) return;
    if (needs_raw(r)) nn_native_wish(x, u, sums, when, &r->raw);
    if (n->attr.rnn.dropout > 0) nn_native_wish(x, u, rows * r->features, when, &r->keep_x);
    if (n->attr.rnn.recurrent_dropout > 0) {
        nn_native_wish(x, u, rows * r->units, when, &r->keep_h);
        nn_native_wish(x, u, states, when, &r->seen);
    }
}

static void wish_backward(nn_native *x, nn_unit *u, rnn *r) {
    int64_t rows = nn_rows(x, u), state = rows * r->units;
    for (int i = 0; i < 2; i++) nn_native_wish(x, u, state, NN_FOR_BACKWARD, &r->dh[i]);
    if (r->lstm) nn_native_wish(x, u, state, NN_FOR_BACKWARD, &r->dc);
    if (r->before) nn_native_wish(x, u, state, NN_FOR_BACKWARD, &r->dinner);
    nn_native_wish(x, u, r->gates * nn_panel_floats(r->units, r->units), NN_FOR_BACKWARD, &r->ut);
    if (!u->in->learns) return;
    nn_native_wish(x, u, r->steps * rows * r->features, NN_FOR_BACKWARD, &r->dx);
    nn_native_wish(x, u, r->gates * nn_panel_floats(r->units, r->features), NN_FOR_BACKWARD,
                   &r->wt);
}

static void want_pack(nn_native *x, int64_t rows, int64_t n, int64_t k) {
    int64_t floats = nn_grad_pack_floats(rows, n, k);
    if (floats > x->pack_floats) x->pack_floats = floats;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    rnn *r = u->state = NN_NEW(x->arena, rnn);
    describe(x, u, r);
    nn_native_param(x, u, 0, r->gates * nn_panel_floats(r->features, r->units), convert);
    nn_native_param(x, u, 1, r->gates * nn_panel_floats(r->units, r->units), convert);
    if (u->node->attr.rnn.bias) nn_native_param(x, u, 2, (1 + r->after) * r->columns, NULL);
    wish_forward(x, u, r);
    if (!x->training) return NN_OK;
    wish_backward(x, u, r);
    want_pack(x, r->steps * nn_rows(x, u), r->units, r->features);
    want_pack(x, r->steps * nn_rows(x, u), r->units, r->units);
    return NN_OK;
}

/* ---- what dropout keeps: one draw a row for all steps (engine/dropout.h) ---- */

static void draw(const nn_native *x, const pass *p) {
    const rnn *r = p->r;
    nn_dropout in, state;
    nn_dropout_of_steps(p->u->node, r->features, r->units, x->base.options.seed, x->updates, &in,
                        &state);
    if (drops_x(x, p)) nn_dropout_factors(&in, 0, p->rows, r->features, 0, r->keep_x);
    if (drops_h(x, p)) nn_dropout_factors(&state, 0, p->rows, r->units, r->features, r->keep_h);
}

/* ---- between (row, step) outside and (step, row) inside ---- */

/* The step that is the k-th to be taken. */
static int64_t step_at(const pass *p, int64_t k) {
    return p->u->node->attr.rnn.reverse ? p->r->steps - 1 - k : k;
}

/* Steps [begin, end) of the input, or back: of its gradient. */
static void run_gather(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    const rnn *r = p->r;
    for (int64_t k = begin; k < end; k++)
        for (int64_t row = 0; row < p->rows; row++) {
            const float *from = p->u->in->x + (row * r->steps + step_at(p, k)) * r->features;
            float *to = r->x + (k * p->rows + row) * r->features;
            if (drops_x(x, p))
                x->k->multiply(r->features, from, r->keep_x + row * r->features, to);
            else
                memcpy(to, from, (size_t)r->features * sizeof *to);
        }
}

static void run_scatter(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    const rnn *r = p->r;
    for (int64_t k = begin; k < end; k++)
        for (int64_t row = 0; row < p->rows; row++) {
            const float *from = r->dx + (k * p->rows + row) * r->features;
            float *to = p->u->in->dx + (row * r->steps + step_at(p, k)) * r->features;
            if (drops_x(x, p))
                x->k->multiply(r->features, from, r->keep_x + row * r->features, to);
            else
                memcpy(to, from, (size_t)r->features * sizeof *to);
        }
}

/* Where the output of the k-th step taken is in y; NULL: it is not given out. */
static float *output_at(const pass *p, float *y, int64_t row, int64_t k) {
    const rnn *r = p->r;
    if (p->u->node->attr.rnn.sequences) return y + (row * r->steps + step_at(p, k)) * r->units;
    return k == r->steps - 1 ? y + row * r->units : NULL;
}

static bool passed_over(const pass *p, int64_t row, int64_t k) {
    return masked(p->u) && p->u->in[1].x[row * p->r->steps + step_at(p, k)] == 0;
}

/* ---- sharing ---- */

static share share_of(const nn_native *x, const pass *p, int64_t begin, int64_t end) {
    const rnn *r = p->r;
    int64_t n = x->threads, panels = nn_panels(r->units), wide = nn_panels(r->features);
    share s = {0, p->rows, 0, r->units, 0, wide};
    if (!r->by_units) {
        s.r0 = p->rows * begin / n;
        s.r1 = p->rows * end / n;
        return s;
    }
    s.u0 = panels * begin / n * NN_PANEL;
    s.u1 = end == n ? r->units : panels * end / n * NN_PANEL;
    s.f0 = wide * begin / n;
    s.f1 = wide * end / n;
    return s;
}

/* Waits for the other shares' part of a step. Outside of a team there is nobody to wait for. */
static void meet(const rnn *r) {
    if (r->by_units) {
#pragma omp barrier
    }
}

/* Panels of the columns that are units [u0, u1). */
static void product(const nn_native *x, const share *s, const nn_gemm *g) {
    int64_t tiles = nn_tiles(g->m);
    if (s->r0 < s->r1) x->k->gemm(g, s->u0 / NN_PANEL * tiles, nn_panels(s->u1) * tiles);
}

static void run_time(const nn_native *x, const pass *p, nn_range_fn *fn, double products) {
    const rnn *r = p->r;
    double work = 2.0 * (double)(p->rows * r->steps * r->columns) * products;
    nn_parallel(x, x->threads, work, fn, (void *)p);
}

/* ---- forward ---- */

static float *seen_at(const nn_native *x, const pass *p, int64_t k) {
    return (drops_h(x, p) ? p->r->seen : p->r->h) + k * p->rows * p->r->units;
}

/* Steps [k, k + n) of x W + b; more than one only where the share has all rows. */
static void add_input(const nn_native *x, const pass *p, const share *s, int64_t k, int64_t n) {
    const rnn *r = p->r;
    int64_t first = k * p->rows + s->r0, panels = nn_panel_floats(r->features, r->units);
    const float *bias = nn_native_w(x, p->u, 2);
    for (int g = 0; g < r->gates; g++) {
        nn_gemm m = {.m = n > 1 ? n * p->rows : s->r1 - s->r0,
                     .n = r->units,
                     .k = r->features,
                     .a = r->x + first * r->features,
                     .b = nn_native_w(x, p->u, 0) + g * panels,
                     .c = r->sums + first * r->columns + g * r->units,
                     .bias = bias ? bias + g * r->units : NULL,
                     .ldc = r->columns};
        product(x, s, &m);
    }
}

/* Adds a U of gates [g0, g1) to c, whose rows have ldc floats; a: (rows, units). */
static void add_state(const nn_native *x, const pass *p, const share *s, int g0, int g1,
                      const float *a, float *c) {
    const rnn *r = p->r;
    int64_t panels = nn_panel_floats(r->units, r->units);
    const float *bias = r->after ? nn_native_w(x, p->u, 2) : NULL;
    for (int g = g0; g < g1; g++) {
        nn_gemm m = {.m = s->r1 - s->r0,
                     .n = r->units,
                     .k = r->units,
                     .a = a + s->r0 * r->units,
                     .b = nn_native_w(x, p->u, 1) + g * panels,
                     .c = c + s->r0 * r->columns + g * r->units,
                     .bias = bias ? bias + r->columns + g * r->units : NULL,
                     .add = !r->after,
                     .ldc = r->columns};
        product(x, s, &m);
    }
}

/* The cell of step k for rows [row, row + rows) of the share's units. */
static nn_cell cell_at(const nn_native *x, const pass *p, const share *s, int64_t k, int64_t row,
                       int64_t rows) {
    const rnn *r = p->r;
    int64_t state = (k * p->rows + row) * r->units + s->u0, next = state + p->rows * r->units;
    int64_t sums = (k * p->rows + row) * r->columns + s->u0;
    nn_cell c = {.rows = rows,
                 .units = s->u1 - s->u0,
                 .stride = r->units,
                 .lds = r->columns,
                 .ldi = r->after ? r->columns : r->units,
                 .act = r->act,
                 .gate = r->gate,
                 .sums = r->sums + sums,
                 .raw = r->raw ? r->raw + sums : NULL,
                 .before = seen_at(x, p, 0) + state,
                 .h = r->h + next};
    if (r->inner) c.inner = r->inner + (r->after ? sums : state);
    if (r->lstm) c.c_before = r->c + state, c.c = r->c + next;
    return c;
}

/* Runs fn on the rows of step k that are not passed over. */
static void each_run(const nn_native *x, const pass *p, const share *s, int64_t k,
                     void (*fn)(const nn_native *x, const pass *p, const share *s, int64_t k,
                                int64_t row, int64_t rows)) {
    for (int64_t row = s->r0; row < s->r1;) {
        int64_t end = row;
        while (end < s->r1 && !passed_over(p, end, k)) end++;
        if (end > row) fn(x, p, s, k, row, end - row);
        row = end + 1;
    }
}

static void forward_cells(const nn_native *x, const pass *p, const share *s, int64_t k, int64_t row,
                          int64_t rows) {
    nn_cell c = cell_at(x, p, s, k, row, rows);
    x->k->cell[p->r->before ? NN_CELL_GRU_STATE : p->r->cell](&c);
}

static void forward_gates(const nn_native *x, const pass *p, const share *s, int64_t k, int64_t row,
                          int64_t rows) {
    nn_cell c = cell_at(x, p, s, k, row, rows);
    x->k->cell[NN_CELL_GRU_GATES](&c);
}

/* What a step leaves to others: states that it passed over, what the next one sees, the output. */
static void hand_on(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    size_t bytes = (size_t)(s->u1 - s->u0) * sizeof(float);
    for (int64_t row = s->r0; row < s->r1; row++) {
        int64_t at = (k * p->rows + row) * r->units + s->u0, next = at + p->rows * r->units;
        float *y = output_at(p, p->u->y, row, k);
        if (passed_over(p, row, k)) {
            memcpy(r->h + next, r->h + at, bytes);
            if (r->lstm) memcpy(r->c + next, r->c + at, bytes);
        }
        if (drops_h(x, p))
            x->k->multiply(s->u1 - s->u0, r->h + next, r->keep_h + row * r->units + s->u0,
                           r->seen + next);
        if (y) memcpy(y + s->u0, r->h + next, bytes);
    }
}

static void step_forward(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    float *sums = r->sums + k * p->rows * r->columns;
    float *inner = r->after ? r->inner + k * p->rows * r->columns : sums;
    add_state(x, p, s, 0, r->before ? 2 : r->gates, seen_at(x, p, k), inner);
    if (r->before) {
        each_run(x, p, s, k, forward_gates);
        meet(r);
        add_state(x, p, s, 2, 3, r->inner + k * p->rows * r->units, sums);
    }
    each_run(x, p, s, k, forward_cells);
    hand_on(x, p, s, k);
    meet(r);
}

/* Rows of the product with the input that are worth a walk through its kernel. */
enum { INPUT_ROWS = 32 };

static void run_forward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    const rnn *r = p->r;
    share s = share_of(x, p, begin, end);
    int64_t ahead = r->by_units && p->rows < INPUT_ROWS ? INPUT_ROWS / p->rows : 1;
    for (int64_t k = 0; k < r->steps; k++) {
        if (k % ahead == 0) add_input(x, p, &s, k, k + ahead < r->steps ? ahead : r->steps - k);
        step_forward(x, p, &s, k);
    }
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    rnn *r = u->state;
    pass p = {u, r, rows};
    size_t state = (size_t)(rows * r->units) * sizeof(float);
    r->by_units = shares_units(x, r, rows);
    if (r->keep_x || r->keep_h) draw(x, &p);
    nn_parallel(x, r->steps, (double)(r->steps * rows * r->features), run_gather, &p);
    memset(r->h, 0, state);
    if (r->lstm) memset(r->c, 0, state);
    if (r->seen) memset(r->seen, 0, state);
    run_time(x, &p, run_forward, (double)(r->units + r->features));
    return NN_OK;
}

/* ---- backward ---- */

static float *dh_at(const rnn *r, int64_t k) {
    return r->dh[k % 2];
}

static nn_cell grad_cell_at(const nn_native *x, const pass *p, const share *s, int64_t k,
                            int64_t row, int64_t rows) {
    const rnn *r = p->r;
    int64_t at = row * r->units + s->u0;
    nn_cell c = cell_at(x, p, s, k, row, rows);
    c.dh = dh_at(r, k + 1) + at;
    c.dbefore = dh_at(r, k) + at;
    if (r->lstm) c.dc = r->dc + at;
    if (r->before) c.dinner = r->dinner + at;
    return c;
}

static void backward_cells(const nn_native *x, const pass *p, const share *s, int64_t k,
                           int64_t row, int64_t rows) {
    nn_cell c = grad_cell_at(x, p, s, k, row, rows);
    x->k->cell_grad[p->r->before ? NN_CELL_GRU_STATE : p->r->cell](&c);
}

static void backward_gates(const nn_native *x, const pass *p, const share *s, int64_t k,
                           int64_t row, int64_t rows) {
    nn_cell c = grad_cell_at(x, p, s, k, row, rows);
    x->k->cell_grad[NN_CELL_GRU_GATES](&c);
}

/* The gradient of the output joins that of the state; a step passed over has none in its sums. */
static void take_up(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    for (int64_t row = s->r0; row < s->r1; row++) {
        float *dy = output_at(p, p->u->dy, row, k);
        if (dy) x->k->add(s->u1 - s->u0, dy + s->u0, dh_at(r, k + 1) + row * r->units + s->u0);
        if (!passed_over(p, row, k)) continue;
        int64_t at = (k * p->rows + row) * r->columns + s->u0;
        size_t bytes = (size_t)(s->u1 - s->u0) * sizeof(float);
        for (int g = 0; g < r->gates; g++) {
            memset(r->sums + at + g * r->units, 0, bytes);
            if (r->after) memset(r->inner + at + g * r->units, 0, bytes);
        }
    }
}

/* d U^T of gates [g0, g1) into c, (rows, units); d: sums' gradients. Added, but for the first gate
 * of a cell that has put nothing there. */
static void add_state_back(const nn_native *x, const pass *p, const share *s, int g0, int g1,
                           bool add, const float *d, float *c) {
    const rnn *r = p->r;
    int64_t panels = nn_panel_floats(r->units, r->units);
    for (int g = g0; g < g1; g++) {
        nn_gemm m = {.m = s->r1 - s->r0,
                     .n = r->units,
                     .k = r->units,
                     .a = d + s->r0 * r->columns + g * r->units,
                     .b = r->ut + g * panels,
                     .c = c + s->r0 * r->units,
                     .add = add || g > g0,
                     .lda = r->columns};
        product(x, s, &m);
    }
}

static void add_input_back(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    int64_t first = k * p->rows + s->r0, panels = nn_panel_floats(r->units, r->features);
    for (int g = 0; g < r->gates && s->r0 < s->r1; g++) {
        nn_gemm m = {.m = s->r1 - s->r0,
                     .n = r->features,
                     .k = r->units,
                     .a = r->sums + first * r->columns + g * r->units,
                     .b = r->wt + g * panels,
                     .c = r->dx + first * r->features,
                     .add = g > 0,
                     .lda = r->columns};
        x->k->gemm(&m, s->f0 * nn_tiles(m.m), s->f1 * nn_tiles(m.m));
    }
}

/* The gradient of the state before step k, from that of what its products saw. */
static void hand_back(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    for (int64_t row = s->r0; row < s->r1 && (masked(p->u) || drops_h(x, p)); row++) {
        int64_t at = row * r->units + s->u0;
        float *d = dh_at(r, k) + at;
        if (passed_over(p, row, k))
            memcpy(d, dh_at(r, k + 1) + at, (size_t)(s->u1 - s->u0) * sizeof *d);
        else if (drops_h(x, p))
            x->k->multiply(s->u1 - s->u0, d, r->keep_h + at, d);
    }
}

static void step_backward(const nn_native *x, const pass *p, const share *s, int64_t k) {
    const rnn *r = p->r;
    const float *sums = r->sums + k * p->rows * r->columns;
    const float *d = r->after ? r->inner + k * p->rows * r->columns : sums;
    take_up(x, p, s, k);
    each_run(x, p, s, k, backward_cells);
    meet(r);
    if (r->before) {
        add_state_back(x, p, s, 2, 3, false, sums, r->dinner);
        each_run(x, p, s, k, backward_gates);
        meet(r);
    }
    add_state_back(x, p, s, 0, r->before ? 2 : r->gates, r->after || r->before, d, dh_at(r, k));
    if (r->dx) add_input_back(x, p, s, k);
    hand_back(x, p, s, k);
}

static void run_backward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    share s = share_of(x, p, begin, end);
    for (int64_t k = p->r->steps - 1; k >= 0; k--) step_backward(x, p, &s, k);
}

static void run_transpose(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    const rnn *r = p->r;
    int64_t w = nn_panel_floats(r->features, r->units), wt = nn_panel_floats(r->units, r->features);
    int64_t u = nn_panel_floats(r->units, r->units);
    for (int64_t g = begin; g < end; g++) {
        x->k->transpose(r->units, r->units, nn_native_w(x, p->u, 1) + g * u, r->ut + g * u, 0,
                        nn_panels(r->units));
        if (r->dx)
            x->k->transpose(r->features, r->units, nn_native_w(x, p->u, 0) + g * w, r->wt + g * wt,
                            0, nn_panels(r->features));
    }
}

/* ---- gradients of the weights, of all steps at once ---- */

static void run_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)x->k->gemm_grad(arg, begin, end, x->pack + thread * x->pack_floats);
}

/* a^T dy of one gate, for the weight at `position`; the column sums of dy into db unless NULL. */
static void grad_of(const nn_native *x, const pass *p, int position, int g, const float *a,
                    int64_t depth, const float *dy, float *db) {
    const rnn *r = p->r;
    float *dw = nn_native_g(x, p->u, position);
    nn_gemm_grad job = {.m = r->steps * p->rows,
                        .n = r->units,
                        .k = depth,
                        .a = a,
                        .dy = dy + g * r->units,
                        .ldd = r->columns,
                        .db = db ? db + g * r->units : NULL};
    if (!dw) return;
    job.dw = dw + g * nn_panel_floats(depth, r->units);
    nn_parallel(x, nn_panels(job.n) * nn_tiles(job.k),
                2.0 * (double)job.m * (double)job.n * (double)job.k, run_grad, &job);
}

/* Of a bias whose kernel is not trained. */
static void sum_columns(const nn_native *x, const pass *p, const float *dy, float *db) {
    memset(db, 0, (size_t)p->r->columns * sizeof *db);
    for (int64_t i = 0; i < p->r->steps * p->rows; i++)
        x->k->add(p->r->columns, dy + i * p->r->columns, db);
}

static void weight_gradients(const nn_native *x, const pass *p) {
    const rnn *r = p->r;
    const float *inner = r->after ? r->inner : r->sums;
    float *db = nn_native_g(x, p->u, 2), *db2 = db && r->after ? db + r->columns : NULL;
    for (int g = 0; g < r->gates; g++) {
        const float *h = r->before && g == 2 ? r->inner : seen_at(x, p, 0);
        grad_of(x, p, 0, g, r->x, r->features, r->sums, db);
        grad_of(x, p, 1, g, h, r->units, inner, db2);
    }
    if (db && !nn_native_trains(x, p->u, 0)) sum_columns(x, p, r->sums, db);
    if (db2 && !nn_native_trains(x, p->u, 1)) sum_columns(x, p, inner, db2);
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    rnn *r = u->state;
    pass p = {u, r, rows};
    size_t state = (size_t)(rows * r->units) * sizeof(float);
    nn_parallel(x, r->gates, 4.0 * (double)(r->columns * (r->units + r->features)), run_transpose,
                &p);
    memset(dh_at(r, r->steps), 0, state);
    if (r->lstm) memset(r->dc, 0, state);
    run_time(x, &p, run_backward, (double)(r->units + (r->dx ? r->features : 0)));
    weight_gradients(x, &p);
    if (u->in->dx)
        nn_parallel(x, r->steps, (double)(r->steps * rows * r->features), run_scatter, &p);
    return NN_OK;
}

const nn_unit_kind nn_unit_rnn = {
    .name = "rnn",
    .tokens = 2,
    .reads_input = true, /* the tokens */
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
