/* SPDX-License-Identifier: MIT */
/* conv_lstm.c - an LSTM whose products are convolutions (engine/reference/conv_lstm.c has the
 * formulas).
 *
 * Inside, everything is step-major: (steps, rows, places, channels), so that the convolution of the
 * input is one over all steps, and so is the gradient of each kernel; only that of the state goes
 * step by step. The first step has no state, and none is convolved there. What is kept from forward
 * to backward are the input so ordered, the sums of the gates (their gradients take their place)
 * and the states. */
#include "engine/native/convolution.h"

#include <string.h>

enum { KERNEL, RECURRENT, BIAS };

typedef struct cells {
    nn_convolution *input, *state;
    int64_t steps, image, size, places, filters; /* elements of a step's input, of a state */
    float *x, *sums, *more, *h, *c, *dh, *dc;
} cells;

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
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    bool drops =
        u->node->attr.conv_lstm.dropout != 0 || u->node->attr.conv_lstm.recurrent_dropout != 0;
    if (x->training && drops)
        return nn_engine_cannot(&nn_engine_native, u->node, "dropout inside of a recurrent layer",
                                err);
    cells *s = u->state = NN_NEW(x->arena, cells);
    s->steps = u->in->shape->dim[0];
    s->filters = u->node->attr.conv_lstm.filters;
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

/* ---- between rows of steps and steps of rows ---- */

typedef struct order_job {
    const nn_unit *u;
    int64_t rows;
} order_job;

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

/* Items are steps of rows, step-major. */
static void run_take(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)x, (void)thread;
    const order_job *j = arg;
    const cells *s = j->u->state;
    size_t bytes = (size_t)s->image * sizeof *s->x;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i % j->rows, step = step_at(j->u, i / j->rows);
        memcpy(s->x + i * s->image, j->u->in->x + (row * s->steps + step) * s->image, bytes);
    }
}

static void run_give_back(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)x, (void)thread;
    const order_job *j = arg;
    const cells *s = j->u->state;
    size_t bytes = (size_t)s->image * sizeof *s->x;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i % j->rows, step = step_at(j->u, i / j->rows);
        memcpy(j->u->in->dx + (row * s->steps + step) * s->image, s->x + i * s->image, bytes);
    }
}

static void run_show(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const order_job *j = arg;
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
    order_job j = {u, rows};
    nn_parallel(x, rows * s->steps, (double)(rows * s->steps * s->image), fn, &j);
}

/* ---- forward ---- */

static void run_cells(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    x->k->lstm(arg, begin, end);
}

static void run_cells_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    x->k->lstm_grad(arg, begin, end);
}

/* The k-th step of `rows` rows. */
static nn_lstm cells_at(const nn_native *x, const nn_unit *u, int64_t rows, int64_t k) {
    const cells *s = u->state;
    int64_t state = rows * s->size;
    nn_act act = u->node->attr.conv_lstm.activation;
    nn_act gate = u->node->attr.conv_lstm.recurrent_activation;
    return (nn_lstm){
        .units = s->filters,
        .act = x->k->map[act],
        .gate = x->k->map[gate],
        .act_grad = x->k->map_grad[act],
        .gate_grad = x->k->map_grad[gate],
        .act_alpha = (float)nn_act_default_alpha(act),
        .gate_alpha = (float)nn_act_default_alpha(gate),
        .sums = s->sums + 4 * k * state,
        .more = k > 0 ? s->more : NULL,
        .c = s->c + k * state,
        .c_after = s->c + (k + 1) * state,
        .h_after = s->h + (k + 1) * state,
        .dh = s->dh,
        .dc = s->dc,
    };
}

static void over_cells(const nn_native *x, const nn_unit *u, int64_t rows, int64_t k,
                       nn_range_fn *fn) {
    const cells *s = u->state;
    nn_lstm l = cells_at(x, u, rows, k);
    nn_parallel(x, rows * s->places, 100.0 * (double)(rows * s->size), fn, &l);
}

static dnnl_status_t run_forward(nn_native *x, nn_unit *u, int64_t rows) {
    const cells *s = u->state;
    int64_t state = rows * s->size, most = nn_rows(x, u);
    memset(s->h, 0, (size_t)state * sizeof *s->h);
    memset(s->c, 0, (size_t)state * sizeof *s->c);
    reorder(x, u, rows, run_take);
    dnnl_status_t st =
        nn_convolution_out(x, s->input, (nn_conv_rows){rows * s->steps, most * s->steps}, s->x,
                           nn_native_w(x, u, KERNEL), nn_native_w(x, u, BIAS), s->sums);
    for (int64_t k = 0; k < s->steps && st == dnnl_success; k++) {
        if (k > 0)
            st = nn_convolution_out(x, s->state, (nn_conv_rows){rows, most}, s->h + k * state,
                                    nn_native_w(x, u, RECURRENT), NULL, s->more);
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

/* Adds the gradient of the output at the k-th step taken to dh. */
static void add_output_gradient(nn_native *x, nn_unit *u, int64_t rows, int64_t k) {
    const cells *s = u->state;
    int64_t at = output_at(u, k), elements = nn_out(x, u)->elements;
    for (int64_t row = 0; at >= 0 && row < rows; row++)
        x->k->add(s->size, u->dy + row * elements + at, s->dh + row * s->size);
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
        add_output_gradient(x, u, rows, k);
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
    dnnl_status_t st =
        nn_convolution_weights(x, s->state, r, s->h + state, s->sums + 4 * state, dw, NULL, false);
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
