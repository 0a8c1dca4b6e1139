/* SPDX-License-Identifier: MIT */
/* onnx_sequence.c - ops over steps. Recurrent layers are ONNX's own where these can say it; with
 * masks, with activations that those do not know, and ConvLSTM, the steps are written out one by
 * one, for which their number must be known. */
#include "codegen/onnx.h"

#include <math.h>
#include <string.h>

enum { MOST_STEPS = 4096 }; /* that are written out */

/* ---- embedding and position ---- */

nn_status nn_onnx_emit_embedding(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *index = nn_onnx_unary(e, "Cast", nn_onnx_last(e, n));
    nn_onnx_int(e, "to", index->type = NN_ONNX_INT64);
    value *y = PUT(e, "Gather", nn_onnx_weight(e, n, 0), index);
    nn_onnx_int(e, "axis", 0);
    y->rank = index->rank + 1;
    memcpy(y->dim, index->dim, (size_t)index->rank * sizeof *y->dim);
    y->dim[index->rank] = (nn_onnx_dim){n->attr.embedding.output_dim, NULL};
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

static value *sinusoids(nn_emit *e, int64_t steps, int64_t d) {
    int64_t dim[] = {steps, d};
    float *v = nn_onnx_floats_new(e, steps * d);
    for (int64_t i = 0; v && i < steps * d; i++) {
        double angle = (double)(i / d) / pow(10000, (double)(i % d / 2 * 2) / (double)d);
        v[i] = (float)(i % d % 2 ? cos(angle) : sin(angle));
    }
    return nn_onnx_constant(e, "sinusoids", v, 2, dim);
}

nn_status nn_onnx_emit_position(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *x = nn_onnx_last(e, n);
    int64_t steps = n->shape.dim[0], most = n->attr.position.max_len;
    bool learnable = n->attr.position.learnable;
    value *codes = learnable ? nn_onnx_weight(e, n, 0)
                             : sinusoids(e, steps < 0 ? most : steps, n->shape.dim[1]);
    if (steps < 0) { /* the first rows, as many as there are steps */
        value *from = nn_onnx_whole(e, "starts", &(int64_t){0}, 1);
        codes = PUT(e, "Slice", codes, from, nn_onnx_length(e, x, 1),
                    nn_onnx_whole(e, "axes", &(int64_t){0}, 1));
        codes->dim[0] = x->dim[1];
    } else if (codes->dim[0].n > steps) {
        codes = nn_onnx_slice(e, codes, 0, 0, steps);
    }
    nn_onnx_result(e, n, nn_onnx_binary(e, "Add", x, codes), NN_ONNX_LAST);
    return NN_OK;
}

/* ---- ONNX's own recurrent operators ---- */

/* By their names there; alpha and beta count for those that have them. NULL: not known there. */
static const struct {
    const char *name;
    float alpha, beta;
} gates[NN_ACT_COUNT] = {
    [NN_ACT_RELU] = {"Relu",        0,                0   },
    [NN_ACT_LEAKY_RELU] = {"LeakyRelu",   0.3F,             0   },
    [NN_ACT_ELU] = {"Elu",         1,                0   },
    [NN_ACT_SIGMOID] = {"Sigmoid",     0,                0   },
    [NN_ACT_HARD_SIGMOID] = {"HardSigmoid", (float)(1.0 / 6), 0.5F},
    [NN_ACT_TANH] = {"Tanh",        0,                0   },
    [NN_ACT_SOFTPLUS] = {"Softplus",    0,                0   },
    [NN_ACT_SOFTSIGN] = {"Softsign",    0,                0   },
};

/* The gates in ONNX's order, as places in ours; the operator; whether it has a gate function. */
static const struct {
    const char *type;
    int n, order[4];
} kinds[] = {
    [NN_RNN_SIMPLE] = {"RNN",  1, {0}         },
    [NN_RNN_LSTM] = {"LSTM", 4, {0, 3, 1, 2}}, /* i f c o -> i o f c */
    [NN_RNN_GRU] = {"GRU",  3, {0, 1, 2}   },
};

/* Weight k, [rows, gates x units], as [1, gates x units, rows] in ONNX's order. */
static value *gate_rows(nn_emit *e, const nn_node *n, int k) {
    const float *from = nn_onnx_data(e, n, k);
    const nn_shape *s = &e->g->weights[n->weights[k]].shape;
    int64_t rows = s->dim[0], columns = s->dim[1], units = n->attr.rnn.units;
    int64_t dim[] = {1, columns, rows};
    float *to = nn_onnx_floats_new(e, rows * columns);
    for (int64_t c = 0; to && c < columns; c++) {
        int64_t mine = kinds[n->attr.rnn.kind].order[c / units] * units + c % units;
        for (int64_t r = 0; r < rows; r++) to[c * rows + r] = from[r * columns + mine];
    }
    return nn_onnx_weight_as(e, n, k, to, 3, dim);
}

/* [1, 2 gates x units]: that of the input, then that of the state, which only a GRU that resets
 * after the product has. */
static value *gate_biases(nn_emit *e, const nn_node *n) {
    const float *from = nn_onnx_data(e, n, 2);
    int64_t units = n->attr.rnn.units, columns = kinds[n->attr.rnn.kind].n * units;
    int64_t dim[] = {1, 2 * columns};
    bool both = n->attr.rnn.kind == NN_RNN_GRU && n->attr.rnn.reset_after;
    float *to = nn_onnx_floats_new(e, 2 * columns);
    for (int64_t c = 0; to && c < (both ? 2 : 1) * columns; c++) {
        int64_t g = c % columns;
        int64_t mine = kinds[n->attr.rnn.kind].order[g / units] * units + g % units;
        to[c] = from[c / columns * columns + mine];
    }
    return nn_onnx_weight_as(e, n, 2, to, 2, dim);
}

static void put_gates(nn_emit *e, const nn_node *n) {
    nn_act g = n->attr.rnn.recurrent_activation, a = n->attr.rnn.activation;
    nn_act list[3] = {g, a, a};
    int count = n->attr.rnn.kind == NN_RNN_LSTM ? 3 : 2, n_alpha = 0, n_beta = 0;
    const char *names[3];
    float alpha[3], beta[3];
    if (n->attr.rnn.kind == NN_RNN_SIMPLE) list[0] = a, count = 1;
    for (int i = 0; i < count; i++) {
        names[i] = gates[list[i]].name;
        if (gates[list[i]].alpha != 0) alpha[n_alpha++] = gates[list[i]].alpha;
        if (gates[list[i]].beta != 0) beta[n_beta++] = gates[list[i]].beta;
    }
    nn_onnx_strings(e, "activations", names, count);
    if (n_alpha) nn_onnx_floats(e, "activation_alpha", alpha, n_alpha);
    if (n_beta) nn_onnx_floats(e, "activation_beta", beta, n_beta);
}

/* (steps, 1, batch, units) of all steps, or (1, batch, units) of the last. */
static value *recurrent(nn_emit *e, const nn_node *n, value *x) {
    bool sequences = n->attr.rnn.sequences;
    value *w = gate_rows(e, n, 0), *r = gate_rows(e, n, 1);
    value *b = n->attr.rnn.bias ? gate_biases(e, n) : NULL;
    value *y = b ? PUT(e, kinds[n->attr.rnn.kind].type, x, w, r, b)
                 : PUT(e, kinds[n->attr.rnn.kind].type, x, w, r);
    nn_onnx_int(e, "hidden_size", n->attr.rnn.units);
    nn_onnx_string(e, "direction", n->attr.rnn.reverse ? "reverse" : "forward");
    put_gates(e, n);
    if (n->attr.rnn.kind == NN_RNN_GRU)
        nn_onnx_int(e, "linear_before_reset", n->attr.rnn.reset_after);
    value all = *x;
    all.rank = 4;
    all.dim[2] = x->dim[1];
    all.dim[1] = (nn_onnx_dim){1, NULL};
    all.dim[3] = (nn_onnx_dim){n->attr.rnn.units, NULL};
    memcpy(y->dim, all.dim, sizeof y->dim);
    y->rank = 4;
    if (sequences) return y;
    y->name = NULL; /* left out */
    value *last = nn_onnx_more(e, y);
    last->rank = 3;
    memmove(last->dim, all.dim + 1, 3 * sizeof *last->dim);
    return last;
}

static const int steps_first[] = {1, 0, 2};

static nn_status emit_own(nn_emit *e, const nn_node *n) {
    value *x = nn_onnx_transpose(e, nn_onnx_last(e, n), steps_first);
    value *y = recurrent(e, n, x);
    if (n->attr.rnn.sequences)
        y = nn_onnx_transpose(e, nn_onnx_squeeze(e, y, 1), steps_first);
    else
        y = nn_onnx_squeeze(e, y, 0);
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

/* ---- steps written out ---- */

typedef struct cell {
    const nn_node *n;
    value *sums;            /* x W + b of all steps: (batch, steps, gates x units) */
    value *u, *u_last, *b2; /* kernels of the state; GRU without reset_after: two of them */
    value *mask;            /* (batch, steps, 1); NULL: none */
    value *h, *c;           /* the state */
} cell;

static value *act(nn_emit *e, nn_act kind, value *x) {
    return nn_onnx_activate(e, kind, nn_act_default_alpha(kind), x);
}

/* Hochreiter & Schmidhuber's step from the sums of its gates i f c o. c NULL: a state of zeros. */
static void lstm_step(nn_emit *e, nn_act a, nn_act gate, value *sums, int axis, value **h,
                      value **c) {
    value *part[4];
    nn_onnx_split(e, sums, axis, 4, part);
    value *in = nn_onnx_binary(e, "Mul", act(e, gate, part[0]), act(e, a, part[2]));
    if (*c) {
        value *kept = nn_onnx_binary(e, "Mul", act(e, gate, part[1]), *c);
        in = nn_onnx_binary(e, "Add", kept, in);
    }
    *c = in;
    *h = nn_onnx_binary(e, "Mul", act(e, gate, part[3]), act(e, a, in));
}

static void gru_step(nn_emit *e, cell *k, value *sums) {
    nn_act gate = k->n->attr.rnn.recurrent_activation;
    value *x[3], *u[3], *inner;
    nn_onnx_split(e, sums, 1, 3, x);
    value *through = nn_onnx_matmul(e, k->h, k->u);
    if (k->b2) through = nn_onnx_binary(e, "Add", through, k->b2);
    nn_onnx_split(e, through, 1, k->u_last ? 2 : 3, u);
    value *z = act(e, gate, nn_onnx_binary(e, "Add", x[0], u[0]));
    value *r = act(e, gate, nn_onnx_binary(e, "Add", x[1], u[1]));
    if (k->u_last)
        inner = nn_onnx_matmul(e, nn_onnx_binary(e, "Mul", r, k->h), k->u_last);
    else
        inner = nn_onnx_binary(e, "Mul", r, u[2]);
    value *fresh = act(e, k->n->attr.rnn.activation, nn_onnx_binary(e, "Add", x[2], inner));
    value *rest = nn_onnx_binary(e, "Sub", nn_onnx_scalar(e, "one", 1), z);
    value *kept = nn_onnx_binary(e, "Mul", z, k->h);
    k->h = nn_onnx_binary(e, "Add", kept, nn_onnx_binary(e, "Mul", rest, fresh));
}

static void advance(nn_emit *e, cell *k, int64_t t) {
    value *h = k->h, *c = k->c, *sums = nn_onnx_gather_at(e, k->sums, 1, t);
    if (k->n->attr.rnn.kind == NN_RNN_GRU) {
        gru_step(e, k, sums);
    } else {
        sums = nn_onnx_binary(e, "Add", sums, nn_onnx_matmul(e, k->h, k->u));
        if (k->n->attr.rnn.kind == NN_RNN_SIMPLE)
            k->h = act(e, k->n->attr.rnn.activation, sums);
        else
            lstm_step(e, k->n->attr.rnn.activation, k->n->attr.rnn.recurrent_activation, sums, 1,
                      &k->h, &k->c);
    }
    if (!k->mask) return;
    value *taken = nn_onnx_gather_at(e, k->mask, 1, t), *was = h;
    h = PUT(e, "Where", taken, k->h, was);
    memcpy(h->dim, was->dim, sizeof h->dim);
    h->type = NN_ONNX_FLOAT;
    k->h = h;
    if (!k->c) return;
    k->c = PUT(e, "Where", taken, k->c, c);
    memcpy(k->c->dim, c->dim, sizeof c->dim);
    k->c->type = NN_ONNX_FLOAT;
}

/* (batch, units) of zeros. */
static value *zero_state(nn_emit *e, value *x, int64_t units) {
    value *sizes[] = {nn_onnx_length(e, x, 0), nn_onnx_whole(e, "units", &units, 1)};
    value *y = PUT(e, "ConstantOfShape", nn_onnx_concat(e, 2, sizes, 0));
    y->type = NN_ONNX_FLOAT;
    y->rank = 2;
    y->dim[0] = x->dim[0];
    y->dim[1] = (nn_onnx_dim){units, NULL};
    return y;
}

static void put_biases(nn_emit *e, cell *k) {
    const nn_node *n = k->n;
    if (!n->attr.rnn.bias) return;
    value *b = nn_onnx_weight(e, n, 2);
    if (b->rank == 2) { /* GRU with reset_after: that of the input, that of the state */
        k->b2 = nn_onnx_gather_at(e, b, 0, 1);
        b = nn_onnx_gather_at(e, b, 0, 0);
    }
    k->sums = nn_onnx_binary(e, "Add", k->sums, b);
}

static cell cell_of(nn_emit *e, const nn_node *n) {
    value *x = nn_onnx_last(e, n);
    int64_t units = n->attr.rnn.units;
    cell k = {.n = n, .sums = nn_onnx_matmul(e, x, nn_onnx_weight(e, n, 0))};
    put_biases(e, &k);
    k.u = nn_onnx_weight(e, n, 1);
    if (n->attr.rnn.kind == NN_RNN_GRU && !n->attr.rnn.reset_after) {
        k.u_last = nn_onnx_slice(e, k.u, 1, 2 * units, 3 * units);
        k.u = nn_onnx_slice(e, k.u, 1, 0, 2 * units);
    }
    if (n->n_inputs > 1) {
        value *tokens = nn_onnx_as(e, n->inputs[1], NN_ONNX_LAST);
        k.mask = nn_onnx_unsqueeze(e, nn_onnx_nonzero(e, tokens), 2);
    }
    k.h = zero_state(e, x, units);
    if (n->attr.rnn.kind == NN_RNN_LSTM) k.c = k.h;
    return k;
}

/* How many steps are to be written out; refused where that is not known. */
static nn_status count_steps(nn_emit *e, const nn_node *n, const char *what, int64_t *ret,
                             nn_err *err) {
    int64_t steps = nn_onnx_in(e, n)->dim[0];
    if (steps >= 1 && steps <= MOST_STEPS) {
        *ret = steps;
        return NN_OK;
    }
    return nn_onnx_cannot(n, what, "give the input a known number of steps, at most 4096", err);
}

static nn_status emit_unrolled(nn_emit *e, const nn_node *n, nn_err *err) {
    int64_t steps = 0;
    nn_status s = count_steps(e, n,
                              n->n_inputs > 1
                                  ? "a mask over steps whose number is open or too large"
                                  : "an activation that its recurrent operators do not know, over "
                                    "steps whose number is open or too large",
                              &steps, err);
    if (s) return s;
    cell k = cell_of(e, n);
    value *outputs[MOST_STEPS];
    for (int64_t i = 0; i < steps; i++) {
        int64_t t = n->attr.rnn.reverse ? steps - 1 - i : i;
        advance(e, &k, t);
        if (n->attr.rnn.sequences) outputs[t] = nn_onnx_unsqueeze(e, k.h, 1);
    }
    nn_onnx_result(e, n, n->attr.rnn.sequences ? nn_onnx_concat(e, (int)steps, outputs, 1) : k.h,
                   NN_ONNX_LAST);
    return NN_OK;
}

nn_status nn_onnx_emit_rnn(nn_emit *e, const nn_node *n, nn_err *err) {
    bool known = gates[n->attr.rnn.activation].name != NULL;
    if (n->attr.rnn.kind != NN_RNN_SIMPLE)
        known = known && gates[n->attr.rnn.recurrent_activation].name;
    return known && n->n_inputs == 1 ? emit_own(e, n) : emit_unrolled(e, n, err);
}

/* ---- ConvLSTM ---- */

static value *convolution(nn_emit *e, value *x, value *kernel, value *bias, const nn_window *w,
                          const nn_shape *image, int spatial) {
    int64_t pads[2 * NN_MAX_SPATIAL];
    value *y = bias ? PUT(e, "Conv", x, kernel, bias) : PUT(e, "Conv", x, kernel);
    memcpy(pads, w->pad_before, (size_t)spatial * sizeof *pads);
    memcpy(pads + spatial, w->pad_after, (size_t)spatial * sizeof *pads);
    nn_onnx_ints(e, "kernel_shape", w->size, spatial);
    nn_onnx_ints(e, "strides", w->stride, spatial);
    nn_onnx_ints(e, "dilations", w->dilation, spatial);
    nn_onnx_ints(e, "pads", pads, 2 * spatial);
    y->dim[1] = kernel->dim[0];
    for (int i = 0; i < spatial; i++) y->dim[i + 2] = (nn_onnx_dim){image->dim[i], NULL};
    return y;
}

/* That of the state: as large, stride 1, as many zeros around it as keep its size. */
static nn_window state_window(const nn_window *w) {
    nn_window s = {.spatial = w->spatial};
    for (int i = 0; i < w->spatial; i++) {
        s.size[i] = w->size[i];
        s.stride[i] = s.dilation[i] = 1;
        s.pad_before[i] = (w->size[i] - 1) / 2;
        s.pad_after[i] = w->size[i] - 1 - s.pad_before[i];
    }
    return s;
}

/* (batch, steps, spatial..., channels) to (batch, steps, channels, spatial...), or back. */
static value *steps_apart(nn_emit *e, value *x, bool back) {
    int perm[NN_ONNX_RANK] = {0, 1}, rank = x->rank;
    for (int i = 2; i < rank; i++)
        perm[i] = back ? (i == rank - 1 ? 2 : i + 1) : (i == 2 ? rank - 1 : i - 1);
    return nn_onnx_transpose(e, x, perm);
}

static value *kernel_of(nn_emit *e, const nn_node *n, int k, int spatial) {
    int perm[NN_MAX_RANK] = {spatial + 1, spatial};
    for (int i = 0; i < spatial; i++) perm[i + 2] = i;
    return nn_onnx_weight_permuted(e, n, k, perm);
}

typedef struct conv_cell {
    value *x, *kernel, *bias, *recurrent, *h, *c;
    nn_window window;
    nn_shape image; /* of the state */
} conv_cell;

static void conv_advance(nn_emit *e, const nn_node *n, conv_cell *k, int64_t t) {
    int spatial = k->window.spatial;
    value *sums = convolution(e, nn_onnx_gather_at(e, k->x, 1, t), k->kernel, k->bias,
                              &n->attr.conv_lstm.window, &k->image, spatial);
    if (k->h) { /* before the first step it is zero */
        value *more = convolution(e, k->h, k->recurrent, NULL, &k->window, &k->image, spatial);
        sums = nn_onnx_binary(e, "Add", sums, more);
    }
    lstm_step(e, n->attr.conv_lstm.activation, n->attr.conv_lstm.recurrent_activation, sums, 1,
              &k->h, &k->c);
}

static nn_status check_image(const nn_node *n, const nn_shape *image, nn_err *err) {
    for (int i = 0; i < image->rank; i++)
        if (image->dim[i] < 0)
            return nn_onnx_cannot(n, "images of a size that is open", "give the input a known size",
                                  err);
    return NN_OK;
}

nn_status nn_onnx_emit_conv_lstm(nn_emit *e, const nn_node *n, nn_err *err) {
    int64_t steps = 0;
    int spatial = n->attr.conv_lstm.window.spatial, sequences = n->attr.conv_lstm.sequences;
    conv_cell k = {.window = state_window(&n->attr.conv_lstm.window), .image.rank = spatial};
    memcpy(k.image.dim, n->shape.dim + sequences, (size_t)spatial * sizeof *k.image.dim);
    nn_status s = count_steps(e, n, "steps whose number is open or too large", &steps, err);
    if (!s) s = check_image(n, &k.image, err);
    if (s) return s;
    k.x = steps_apart(e, nn_onnx_last(e, n), false);
    k.kernel = kernel_of(e, n, 0, spatial);
    k.recurrent = kernel_of(e, n, 1, spatial);
    if (n->attr.conv_lstm.bias) k.bias = nn_onnx_weight(e, n, 2);
    value *outputs[MOST_STEPS];
    for (int64_t i = 0; i < steps; i++) {
        int64_t t = n->attr.conv_lstm.reverse ? steps - 1 - i : i;
        conv_advance(e, n, &k, t);
        if (sequences) outputs[t] = nn_onnx_unsqueeze(e, k.h, 1);
    }
    if (sequences)
        nn_onnx_result(e, n, steps_apart(e, nn_onnx_concat(e, (int)steps, outputs, 1), true),
                       NN_ONNX_LAST);
    else
        nn_onnx_result(e, n, k.h, NN_ONNX_FIRST);
    return NN_OK;
}

/* ---- attention ---- */

/* (batch, steps, heads x d) as (batch, heads, steps, d); with one head as it is. */
static value *in_heads(nn_emit *e, value *x, int64_t heads) {
    static const int perm[] = {0, 2, 1, 3};
    if (heads == 1) return x;
    nn_onnx_size to[] = {
        {.n = -1,    .of = x, .axis = 0},
        nn_onnx_size_of(x, 1),
        {.n = heads},
        {.n = x->dim[2].n / heads}
    };
    return nn_onnx_transpose(e, nn_onnx_reshape(e, x, to, 4), perm);
}

static value *heads_joined(nn_emit *e, value *x, int64_t heads) {
    static const int perm[] = {0, 2, 1, 3};
    if (heads == 1) return x;
    x = nn_onnx_transpose(e, x, perm);
    nn_onnx_size to[] = {
        {.n = -1,    .of = x, .axis = 0},
        nn_onnx_size_of(x, 1), {.n = heads * x->dim[3].n}
    };
    return nn_onnx_reshape(e, x, to, 3);
}

static value *scaled(nn_emit *e, const nn_node *n, value *x) {
    if (n->attr.attention.scale != 1)
        x = nn_onnx_binary(e, "Mul", x, nn_onnx_scalar(e, "scale", n->attr.attention.scale));
    if (n->attr.attention.use_scale) x = nn_onnx_binary(e, "Mul", x, nn_onnx_weight(e, n, 0));
    return x;
}

static value *product_scores(nn_emit *e, const nn_node *n, value *q, value *k) {
    static const int perm3[] = {0, 2, 1}, perm4[] = {0, 1, 3, 2};
    k = nn_onnx_transpose(e, k, k->rank == 3 ? perm3 : perm4);
    return scaled(e, n, nn_onnx_matmul(e, q, k));
}

/* sum_d scale_d tanh(q_t,d + k_s,d) */
static value *additive_scores(nn_emit *e, const nn_node *n, value *q, value *k) {
    value *sum = nn_onnx_binary(e, "Add", nn_onnx_unsqueeze(e, q, 2), nn_onnx_unsqueeze(e, k, 1));
    value *each = scaled(e, n, nn_onnx_unary(e, "Tanh", sum));
    return nn_onnx_reduce(e, "ReduceSum", each, &(int64_t){3}, 1, false);
}

/* 0, 1 ... up to the size of an axis, as a column or a row. */
static value *places(nn_emit *e, value *x, int axis, int at) {
    value *size = nn_onnx_squeeze(e, nn_onnx_length(e, x, axis), 0);
    value *from = nn_onnx_whole_scalar(e, "from", 0);
    value *range = PUT(e, "Range", from, size, nn_onnx_whole_scalar(e, "step", 1));
    range->rank = 1;
    range->dim[0] = x->dim[axis];
    return nn_onnx_unsqueeze(e, range, at);
}

/* Which scores count, (batch, 1 with heads, query or 1, key); NULL: all. */
static value *counted(nn_emit *e, const nn_node *n, value *q, value *k, bool heads) {
    value *mask = NULL;
    if (n->n_inputs > 3) {
        mask = nn_onnx_nonzero(e, nn_onnx_as(e, n->inputs[3], NN_ONNX_LAST));
        mask = nn_onnx_unsqueeze(e, mask, 1);
        if (heads) mask = nn_onnx_unsqueeze(e, mask, 1);
    }
    if (!n->attr.attention.causal) return mask;
    value *reach = nn_onnx_binary(e, "GreaterOrEqual", places(e, q, 1, 1), places(e, k, 1, 0));
    reach->type = NN_ONNX_BOOL;
    return mask ? nn_onnx_binary(e, "And", mask, reach) : reach;
}

/* What does not count gets a score beside which nothing weighs; where none counts, all weigh
 * alike. */
static value *masked(nn_emit *e, value *scores, value *mask) {
    if (!mask) return scores;
    value *y = PUT(e, "Where", mask, scores, nn_onnx_scalar(e, "never", -1e9));
    y->type = NN_ONNX_FLOAT;
    y->rank = scores->rank;
    memcpy(y->dim, scores->dim, sizeof y->dim);
    return y;
}

nn_status nn_onnx_emit_attention(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    int64_t heads = n->attr.attention.heads;
    value *in[3], *part[3];
    for (int i = 0; i < 3; i++) {
        in[i] = nn_onnx_as(e, n->inputs[i], NN_ONNX_LAST);
        part[i] = in_heads(e, in[i], heads);
    }
    value *scores = n->attr.attention.additive ? additive_scores(e, n, part[0], part[1])
                                               : product_scores(e, n, part[0], part[1]);
    scores = masked(e, scores, counted(e, n, in[0], in[1], heads > 1));
    value *weights = nn_onnx_unary(e, "Softmax", scores);
    nn_onnx_int(e, "axis", -1);
    value *y = heads_joined(e, nn_onnx_matmul(e, weights, part[2]), heads);
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}
