/* SPDX-License-Identifier: MIT */
/* conv.c - convolutions by oneDNN (convolution.h), alone or piece by piece with the pooling behind
 * them. */
#include "engine/native/convolution.h"

static nn_conv_spec spec_of(const nn_native *x, const nn_unit *u) {
    nn_conv_spec s = {
        .window = &u->node->attr.conv.window,
        .groups = u->node->attr.conv.groups,
        .wide = u->in->shape,
        .narrow = &u->node->shape,
        .bias = nn_unit_biased(u),
        .relu = u->relu,
        .first = NN_CONV_OUT,
        .pieces = u->piece > 0,
        .rows = u->piece ? u->piece : nn_rows(x, u),
    };
    s.passes[NN_CONV_OUT] = true;
    s.passes[NN_CONV_BACK] = x->training && u->in->learns;
    s.passes[NN_CONV_WEIGHTS] = nn_native_trains(x, u, 0) || nn_native_trains(x, u, 1);
    nn_conv_layouts(x, &s);
    return s;
}

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    (void)i;
    *ret = spec_of(x, u).wide_layout;
    return true;
}

static nn_status convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                         float *exec) {
    return nn_convolution_convert(x, p->unit->state, import, plain, exec);
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_conv_spec s = spec_of(x, u);
    nn_convolution *c;
    nn_status st = nn_convolution_new(x, u, &s, &c, err);
    if (st) return st;
    u->state = c;
    nn_out(x, u)->layout = s.narrow_layout;
    nn_native_param(x, u, 0, nn_convolution_floats(c), convert);
    if (u->node->attr.conv.bias) nn_native_param(x, u, 1, s.narrow->dim[s.narrow->rank - 1], NULL);
    return NN_OK;
}

static nn_status bind_unit(nn_native *x, nn_unit *u, nn_err *err) {
    return nn_convolution_bind(x, u->state, err);
}

static void done(nn_unit *u) {
    nn_convolution_free(u->state);
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Rows [first, first + n) of the batch. In pieces the output is a piece, the input is the whole. */
static nn_conv_rows rows_of(const nn_native *x, const nn_unit *u, int64_t first, int64_t n) {
    int64_t batch = nn_rows(x, u);
    return (nn_conv_rows){n, u->piece ? smaller(u->piece, batch - first) : batch};
}

static dnnl_status_t forward_rows(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    dnnl_status_t st = nn_convolution_out(x, u->state, rows_of(x, u, first, n),
                                          u->in->x + first * nn_in(x, u)->elements,
                                          nn_native_w(x, u, 0), nn_unit_bias(x, u), u->y);
    if (st == dnnl_success && u->tail) u->tail->kind->forward_piece(x, u->tail, first, n);
    return st;
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    int64_t step = u->piece ? u->piece : rows;
    dnnl_status_t st = dnnl_success;
    for (int64_t first = 0; first < rows && st == dnnl_success; first += step)
        st = forward_rows(x, u, first, smaller(step, rows - first));
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "forward pass", u->node, err);
}

/* One primitive makes both gradients; that of a frozen weight is written too, and not used. */
static float *gradient_at(const nn_native *x, const nn_unit *u, int position) {
    return position < u->node->n_weights ? x->g + x->params[u->param[position]].at : NULL;
}

static bool trains(const nn_native *x, const nn_unit *u) {
    return u->backward && (nn_native_trains(x, u, 0) || nn_native_trains(x, u, 1));
}

static dnnl_status_t backward_rows(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    nn_conv_rows r = rows_of(x, u, first, n);
    int64_t at = first * nn_in(x, u)->elements;
    dnnl_status_t st = dnnl_success;
    if (u->tail) u->tail->kind->backward_piece(x, u->tail, first, n);
    if (trains(x, u))
        st = nn_convolution_weights(x, u->state, r, u->in->x + at, u->dy, gradient_at(x, u, 0),
                                    gradient_at(x, u, 1), first > 0);
    if (st == dnnl_success && u->in->dx)
        st = nn_convolution_back(x, u->state, r, u->dy, nn_native_w(x, u, 0), u->in->dx + at);
    if (st == dnnl_success && u->mask_dx)
        nn_native_relu_mask(x, n * nn_in(x, u)->elements, u->in->x + at, u->in->dx + at);
    return st;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    int64_t step = u->piece ? u->piece : rows;
    dnnl_status_t st = dnnl_success;
    if (u->in->dx) st = nn_convolution_prepare(x, u->state, nn_native_w(x, u, 0));
    for (int64_t first = 0; first < rows && st == dnnl_success; first += step)
        st = backward_rows(x, u, first, smaller(step, rows - first));
    if (st == dnnl_success && trains(x, u))
        st = nn_convolution_finish(x, u->state, gradient_at(x, u, 0));
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "backward pass", u->node, err);
}

const nn_unit_kind nn_unit_conv = {
    .name = "conv",
    .reads_input = true,
    .can_relu = true,
    .can_norm = true,
    .can_mask = true,
    .wants = wants,
    .plan = plan,
    .bind = bind_unit,
    .forward = forward,
    .backward = backward,
    .done = done,
};
