/* SPDX-License-Identifier: MIT */
/* conv_lstm.c - an LSTM whose products are convolutions (engine/reference/conv_lstm.c has the
 * formulas).
 *
 * Inside, everything is step-major: (steps, rows, places, channels), so that the convolution of the
 * input is one over all steps, and so is the gradient of each kernel; only that of the state goes
 * step by step. The first step has no state, and none is convolved there. A place of an image is a
 * row of the LSTM's cells (nn_cell). What is kept from forward to backward are the input so
 * ordered, the values of the gates (the gradients of their sums take their place) and the states.
 */
#include "engine/dropout.h"
#include "engine/native/convolution.h"

#include <string.h>

enum { KERNEL, RECURRENT, BIAS };

typedef struct cells {
    nn_convolution *input, *state;
    int64_t steps, image, size, places, filters; /* elements of a step's input, of a state */
    nn_cell_act act, gate;
    float *x, *sums, *raw, *more, *h, *c, *dh, *dc;
    float *keep_x, *keep_h; /* (row, image), (row, state): what dropout multiplies by */
    float *seen;            /* h as the convolutions see it: less what dropout zeroes */
} cells;

static bool drops_x(const nn_native *x, const cells *s) {
    return x->learning && s->keep_x;
}

static bool drops_h(const nn_native *x, const cells *s) {
    return x->learning && s->keep_h;
}

/* A step of a sequence: `spatial` + 1 axes from `first`. */
static nn_shape step_shape(const nn_shape *s, int first, int spatial, int64_t channels) {
    nn_shape step = {.rank = spatial + 1};
    memcpy(step.dim, s->dim + first, (size_t)spatial * sizeof *step.dim);
    step.dim[spatial] = channels;
    return step;
}

/* "same" with stride 1: size - 1 zeros in all, the smaller half before. */
static nn_window state_window(const nn_window *w) {
    nn_window s = {.spatial = w->spatial, .same = true};
    for (int a = 0; a < w->spatial; a++) {
        s.size[a] = w->size[a];
        s.stride[a] = s.dilation[a] = 1;
        s.pad_before[a] = (w->size[a] - 1) / 2;
    }
    return s;
}

static nn_layout plain(const nn_shape *s) {
    return nn_layout_plain(nn_shape_elements(s), s->dim[s->rank - 1]);
}

/* The convolution of `wide` to the sums of the gates, `sums`. */
static nn_status new_convolution(nn_native *x, nn_unit *u, nn_conv_spec *s, nn_convolution **ret,
                                 nn_err *err) {
    s->groups = 1;
    s->wide_layout = plain(s->wide);
    s->narrow_layout = plain(s->narrow);
    s->first = NN_CONV_OUT;
    s->passes[NN_CONV_OUT] = true;
    return nn_convolution_new(x, u, s, ret, err);
}

static nn_status new_convolutions(nn_native *x, nn_unit *u, cells *s, nn_err *err) {
    const nn_window *w = &u->node->attr.conv_lstm.window;
    int first = u->node->attr.conv_lstm.sequences;
    nn_window recurrent = state_window(w);
    nn_shape in = step_shape(u->in->shape, 1, w->spatial, u->in->shape->dim[w->spatial + 1]);
    nn_shape state = step_shape(&u->node->shape, first, w->spatial, s->filters);
    nn_shape sums = step_shape(&u->node->shape, first, w->spatial, 4 * s->filters);
    s->image = nn_shape_elements(&in);
    s->size = nn_shape_elements(&state);
    s->places = s->size / s->filters;
    nn_conv_spec input = {.window = w, .wide = &in, .narrow = &sums};
    input.bias = u->node->attr.conv_lstm.bias;
    input.rows = nn_rows(x, u) * s->steps;
    input.passes[NN_CONV_BACK] = x->training && u->in->learns;
    input.passes[NN_CONV_WEIGHTS] = nn_native_trains(x, u, KERNEL) || nn_native_trains(x, u, BIAS);
    nn_conv_spec back = {.window = &recurrent, .wide = &state, .narrow = &sums};
    back.rows = nn_rows(x, u);
    back.passes[NN_CONV_BACK] = x->training;
    back.passes[NN_CONV_WEIGHTS] = nn_native_trains(x, u, RECURRENT);
    nn_status st = new_convolution(x, u, &input, &s->input, err);
    return st ? st : new_convolution(x, u, &back, &s->state, err);
}

static nn_status convert_kernel(const nn_native *x, const nn_param *p, bool import, float *plain_at,
                                float *exec) {
    const cells *s = p->unit->state;
    return nn_convolution_convert(x, s->input, import, plain_at, exec);
}

static nn_status convert_recurrent(const nn_native *x, const nn_param *p, bool import,
                                   float *plain_at, float *exec) {
    const cells *s = p->unit->state;
    return nn_convolution_convert(x, s->state, import, plain_at, exec);
}

static void wish(nn_native *x, nn_unit *u, cells *s) {
    int64_t rows = nn_rows(x, u), state = rows * s->size;
    int kept = NN_FOR_FORWARD | (x->training ? NN_FOR_BACKWARD : 0);
    nn_native_wish(x, u, s->steps * rows * s->image, kept, &s->x);
    nn_native_wish(x, u, s->steps * 4 * state, kept, &s->sums);
    nn_native_wish(x, u, (s->steps + 1) * state, kept, &s->h);
    nn_native_wish(x, u, (s->steps + 1) * state, kept, &s->c);
    nn_native_wish(x, u, 4 * state, NN_FOR_FORWARD, &s->more);
    if (!x->training) return;
    nn_native_wish(x, u, state, NN_FOR_BACKWARD, &s->dh);
    nn_native_wish(x, u, state, NN_FOR_BACKWARD, &s->dc);
    if (!nn_cell_by_value(s->act.kind) || !nn_cell_by_value(s->gate.kind))
        nn_native_wish(x, u, s->steps * 4 * state, kept, &s->raw);
    if (u->node->attr.conv_lstm.dropout > 0)
        nn_native_wish(x, u, rows * s->image, kept, &s->keep_x);
    if (u->node->attr.conv_lstm.recurrent_dropout > 0) {
        nn_native_wish(x, u, state, kept, &s->keep_h);
        nn_native_wish(x, u, (s->steps + 1) * state, kept, &s->seen);
    }
}

static nn_cell_act act_of(nn_act a) {
    return (nn_cell_act){a, (float)nn_act_default_alpha(a)};
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    cells *s = u->state = NN_NEW(x->arena, cells);
    s->steps = u->in->shape->dim[0];
    s->filters = u->node->attr.conv_lstm.filters;
    s->act = act_of(u->node->attr.conv_lstm.activation);
    s->gate = act_of(u->node->attr.conv_lstm.recurrent_activation);
    nn_status st = new_convolutions(x, u, s, err);
    if (st) return st;
    nn_native_param(x, u, KERNEL, nn_convolution_floats(s->input), convert_kernel);
    nn_native_param(x, u, RECURRENT, nn_convolution_floats(s->state), convert_recurrent);
    if (u->node->attr.conv_lstm.bias) nn_native_param(x, u, BIAS, 4 * s->filters, NULL);
    wish(x, u, s);
    return NN_OK;
}

static nn_status bind_unit(nn_native *x, nn_unit *u, nn_err *err) {
    const cells *s = u->state;
    nn_status st = nn_convolution_bind(x, s->input, err);
    return st ? st : nn_convolution_bind(x, s->state, err);
}

static void done(nn_unit *u) {
    const cells *s = u->state;
    if (!s) return;
    nn_convolution_free(s->input);
    nn_convolution_free(s->state);
}

/* ---- the pieces that threads share ---- */

typedef struct piece_job {
    const nn_unit *u;
    int64_t rows, k; /* k: the step taken k-th */
} piece_job;

/* ---- between rows of steps and steps of rows ---- */

/* The step that is taken k-th. */
static int64_t step_at(const nn_unit *u, int64_t k) {
    const cells *s = u->state;
    return u->node->attr.conv_lstm.reverse ? s->steps - 1 - k : k;
}

/* Where the output of the k-th step taken is in a row; -1: it is not given out. */
static int64_t output_at(const nn_unit *u, int64_t k) {
    const cells *s = u->state;
    if (u->node->attr.conv_lstm.sequences) return step_at(u, k) * s->size;
    return k == s->steps - 1 ? 0 : -1;
}

/* A step of a row's input or of its gradient, without what dropout zeroes. */
static void move(const nn_native *x, const cells *s, int64_t row, const float *from, float *to) {
    if (drops_x(x, s))
        x->k->multiply(s->image, from, s->keep_x + row * s->image, to);
    else
        memcpy(to, from, (size_t)s->image * sizeof *to);
}

/* Items are steps of rows, step-major. */
static void run_take(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i % j->rows, step = step_at(j->u, i / j->rows);
        move(x, s, row, j->u->in->x + (row * s->steps + step) * s->image, s->x + i * s->image);
    }
}

static void run_give_back(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i % j->rows, step = step_at(j->u, i / j->rows);
        move(x, s, row, s->x + i * s->image, j->u->in->dx + (row * s->steps + step) * s->image);
    }
}

static void run_show(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    int64_t elements = nn_out(x, j->u)->elements;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i % j->rows, at = output_at(j->u, i / j->rows);
        if (at >= 0)
            memcpy(j->u->y + row * elements + at, s->h + (i + j->rows) * s->size,
                   (size_t)s->size * sizeof *s->h);
    }
}

static void reorder(const nn_native *x, const nn_unit *u, int64_t rows, nn_range_fn *fn) {
    const cells *s = u->state;
    piece_job j = {u, rows, 0};
    nn_parallel(x, rows * s->steps, (double)(rows * s->steps * s->image), fn, &j);
}

/* ---- forward ---- */

/* Rows of what dropout keeps (engine/dropout.h). */
static void run_draw(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    nn_dropout in, state;
    nn_dropout_of_steps(j->u->node, s->image, s->size, x->base.options.seed, x->updates, &in,
                        &state);
    if (drops_x(x, s)) nn_dropout_factors(&in, begin, end, s->image, 0, s->keep_x);
    if (drops_h(x, s)) nn_dropout_factors(&state, begin, end, s->size, s->image, s->keep_h);
}

static void draw(const nn_native *x, const nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    piece_job j = {u, rows, 0};
    if (drops_x(x, s) || drops_h(x, s))
        nn_parallel(x, rows, 20.0 * (double)(rows * (s->image + s->size)), run_draw, &j);
}

/* States as the convolutions see them. */
static float *seen_at(const nn_native *x, const cells *s, int64_t at) {
    return (drops_h(x, s) ? s->seen : s->h) + at;
}

/* Places [begin, end) of the job's step. */
static nn_cell cell_at(const piece_job *j, int64_t begin, int64_t end) {
    const cells *s = j->u->state;
    int64_t first = j->k * j->rows * s->places + begin; /* of the places of all steps */
    int64_t state = first * s->filters, next = state + j->rows * s->size, at = begin * s->filters;
    return (nn_cell){
        .rows = end - begin,
        .units = s->filters,
        .stride = s->filters,
        .lds = 4 * s->filters,
        .ldi = 4 * s->filters,
        .act = s->act,
        .gate = s->gate,
        .sums = s->sums + 4 * state,
        .raw = s->raw ? s->raw + 4 * state : NULL,
        .inner = j->k > 0 ? s->more + 4 * at : NULL,
        .before = s->h + state,
        .c_before = s->c + state,
        .c = s->c + next,
        .h = s->h + next,
        .dh = s->dh ? s->dh + at : NULL,
        .dc = s->dc ? s->dc + at : NULL,
    };
}

static void run_cells(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    nn_cell c = cell_at(j, begin, end);
    x->k->cell[NN_CELL_LSTM](&c);
    if (drops_h(x, s))
        x->k->multiply(c.rows * c.units, c.h, s->keep_h + begin * c.units, s->seen + (c.h - s->h));
}

static void run_cells_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    nn_cell c = cell_at(arg, begin, end);
    x->k->cell_grad[NN_CELL_LSTM](&c);
}

static void over_cells(const nn_native *x, const nn_unit *u, int64_t rows, int64_t k,
                       nn_range_fn *fn) {
    const cells *s = u->state;
    piece_job j = {u, rows, k};
    nn_parallel(x, rows * s->places, 100.0 * (double)(rows * s->size), fn, &j);
}

static dnnl_status_t run_forward(nn_native *x, nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    int64_t state = rows * s->size, most = nn_rows(x, u);
    memset(s->h, 0, (size_t)state * sizeof *s->h);
    memset(s->c, 0, (size_t)state * sizeof *s->c);
    draw(x, u, rows);
    reorder(x, u, rows, run_take);
    dnnl_status_t st =
        nn_convolution_out(x, s->input, (nn_conv_rows){rows * s->steps, most * s->steps}, s->x,
                           nn_native_w(x, u, KERNEL), nn_native_w(x, u, BIAS), s->sums);
    for (int64_t k = 0; k < s->steps && st == dnnl_success; k++) {
        if (k > 0)
            st = nn_convolution_out(x, s->state, (nn_conv_rows){rows, most},
                                    seen_at(x, s, k * state), nn_native_w(x, u, RECURRENT), NULL,
                                    s->more);
        over_cells(x, u, rows, k, run_cells);
    }
    reorder(x, u, rows, run_show);
    return st;
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    dnnl_status_t st = run_forward(x, u, rows);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "forward pass", u->node, err);
}

/* ---- backward ---- */

/* From the gradient of what the next step saw of a row's state to that of the state. */
static void run_take_up(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const piece_job *j = arg;
    const cells *s = j->u->state;
    int64_t at = output_at(j->u, j->k), elements = nn_out(x, j->u)->elements;
    for (int64_t row = begin; row < end; row++) {
        float *dh = s->dh + row * s->size;
        if (drops_h(x, s)) x->k->multiply(s->size, dh, s->keep_h + row * s->size, dh);
        if (at >= 0) x->k->add(s->size, j->u->dy + row * elements + at, dh);
    }
}

static void take_up(const nn_native *x, const nn_unit *u, int64_t rows, int64_t k) {
    const cells *s = u->state;
    piece_job j = {u, rows, k};
    if (drops_h(x, s) || output_at(u, k) >= 0)
        nn_parallel(x, rows, (double)(rows * s->size), run_take_up, &j);
}

/* Gradients of the sums of all gates, in their place. */
static dnnl_status_t run_back(nn_native *x, nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    int64_t state = rows * s->size;
    nn_conv_rows r = {rows, nn_rows(x, u)};
    float *w = nn_native_w(x, u, RECURRENT);
    dnnl_status_t st = nn_convolution_prepare(x, s->state, w);
    memset(s->dh, 0, (size_t)state * sizeof *s->dh);
    memset(s->dc, 0, (size_t)state * sizeof *s->dc);
    for (int64_t k = s->steps - 1; k >= 0 && st == dnnl_success; k--) {
        take_up(x, u, rows, k);
        over_cells(x, u, rows, k, run_cells_grad);
        if (k > 0) st = nn_convolution_back(x, s->state, r, s->sums + 4 * k * state, w, s->dh);
    }
    return st;
}

static float *gradient_at(const nn_native *x, const nn_unit *u, int position) {
    return position < u->node->n_weights ? x->g + x->params[u->param[position]].at : NULL;
}

/* From the states that the later steps began with. */
static dnnl_status_t recurrent_gradient(nn_native *x, nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    int64_t state = rows * s->size, later = s->steps - 1;
    float *dw = gradient_at(x, u, RECURRENT);
    nn_conv_rows r = {rows * later, nn_rows(x, u) * later};
    if (later == 0) {
        memset(dw, 0, (size_t)nn_convolution_floats(s->state) * sizeof *dw);
        return dnnl_success;
    }
    dnnl_status_t st = nn_convolution_weights(x, s->state, r, seen_at(x, s, state),
                                              s->sums + 4 * state, dw, NULL, false);
    return st == dnnl_success ? nn_convolution_finish(x, s->state, dw) : st;
}

static dnnl_status_t input_gradients(nn_native *x, nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    nn_conv_rows r = {rows * s->steps, nn_rows(x, u) * s->steps};
    float *w = nn_native_w(x, u, KERNEL), *dw = gradient_at(x, u, KERNEL);
    dnnl_status_t st = dnnl_success;
    if (nn_native_trains(x, u, KERNEL) || nn_native_trains(x, u, BIAS)) {
        st = nn_convolution_weights(x, s->input, r, s->x, s->sums, dw, gradient_at(x, u, BIAS),
                                    false);
        if (st == dnnl_success) st = nn_convolution_finish(x, s->input, dw);
    }
    if (!u->in->dx || st != dnnl_success) return st;
    st = nn_convolution_prepare(x, s->input, w);
    if (st == dnnl_success) st = nn_convolution_back(x, s->input, r, s->sums, w, s->x);
    reorder(x, u, rows, run_give_back);
    return st;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    dnnl_status_t st = run_back(x, u, rows);
    if (st == dnnl_success && nn_native_trains(x, u, RECURRENT))
        st = recurrent_gradient(x, u, rows);
    if (st == dnnl_success) st = input_gradients(x, u, rows);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "backward pass", u->node, err);
}

const nn_unit_kind nn_unit_conv_lstm = {
    .name = "conv_lstm",
    .plan = plan,
    .bind = bind_unit,
    .forward = forward,
    .backward = backward,
    .done = done,
};
