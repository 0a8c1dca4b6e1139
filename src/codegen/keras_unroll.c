/* SPDX-License-Identifier: MIT */
/* keras_unroll.c - recurrent layers that TensorFlow.js has not, step by step: a GRU with
 * reset_after, ConvLSTM3D, functions of a cell and padding of its own. A step's input is cut out of
 * the sequence; each gate has one layer for the input and one for the state, which every step calls
 * again, so that no weight is there twice. The definitions are those of engine/reference/rnn.c and
 * conv_lstm.c. */
#include "codegen/keras_ops.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 512, GATES = 4 };

/* ---- which ---- */

static bool odd_function(const nn_keras *k, nn_act a) {
    nn_node n = {.op = NN_OP_ACTIVATION};
    n.attr.activation.kind = a;
    n.attr.activation.alpha = nn_act_default_alpha(a);
    return a != NN_ACT_CELU && nn_ko_has_function(k, a) && !nn_keras_activation(&n);
}

bool nn_keras_unrolls(const nn_keras *k, const nn_node *n) {
    if (k->target == NN_KERAS_PYTHON) return false;
    nn_ko_cell v = nn_ko_cell_of(n);
    if (odd_function(k, v.activation) || (v.gates && odd_function(k, v.recurrent))) return true;
    if (n->op == NN_OP_RNN)
        return (n->attr.rnn.kind == NN_RNN_GRU && n->attr.rnn.reset_after) ||
               (k->in_parts && n->n_inputs > 1);
    const nn_window *w = &n->attr.conv_lstm.window;
    return w->spatial == 3 || nn_ko_pads(w);
}

/* ---- the layers of a cell ---- */

typedef struct unrolled {
    nn_keras *k;
    const nn_node *n;
    nn_ko_cell v;
    const nn_window *window; /* NULL: no convolution */
    int gates;
    int64_t steps, units;
    nn_shape in;        /* of one step */
    int side[2][GATES]; /* layers: of the input, of the state; -1: not made yet */
    int x, tokens;      /* [steps, elements of a step, 1]; [steps, 1, 1], -1: none */
    int h, c;           /* the state */
    int *out;           /* h of each step */
} unrolled;

/* The part of gate g of row `row` of weight i, [..., gates * units]. */
static void fix_gate(unrolled *u, int layer, int i, int64_t row, int64_t rows, int g,
                     const char *name, nn_shape shape) {
    const float *at = u->k->opt->weights + nn_ko_weight(u->k, u->n, i)->offset;
    int64_t width = u->gates * u->units;
    float *part = nn_ko_floats(u->k, rows * u->units);
    for (int64_t r = 0; r < rows; r++)
        memcpy(part + r * u->units, at + (row + r) * width + g * u->units,
               (size_t)u->units * sizeof *part);
    nn_keras_fix(u->k, &u->k->layers[layer], part, name, shape);
}

static nn_json *side_config(const unrolled *u, bool of_state, bool bias) {
    nn_json *c = nn_ka_new();
    nn_ka_int(c, u->window ? "filters" : "units", u->units);
    if (u->window) {
        nn_window w = *u->window;
        for (int a = 0; of_state && a < w.spatial; a++) w.stride[a] = w.dilation[a] = 1;
        nn_ko_put_window(c, &w, of_state || w.same ? "same" : "valid");
    }
    if (!bias) nn_ka_bool(c, "use_bias", false);
    return c;
}

/* What a gate adds up of the input (side 0), or of the state (1), which is layer `from`. */
static int side(unrolled *u, int of, int g, int from) {
    if (u->side[of][g] >= 0) return nn_keras_again(u->k, u->side[of][g], from);
    bool second = u->n->op == NN_OP_RNN && u->n->attr.rnn.reset_after;
    bool bias = u->v.bias && (of == 0 || second);
    const nn_weight *w = nn_ko_weight(u->k, u->n, of);
    nn_shape shape = w->shape;
    shape.dim[shape.rank - 1] = u->units;
    const char *name = u->window ? nn_ko_ranked(u->k, "Conv", u->window->spatial) : "Dense";
    nn_keras_add(u->k, u->n, name, side_config(u, of == 1, bias), from);
    int made = nn_ko_last(u->k);
    fix_gate(u, made, of, 0, w->elements / (u->gates * u->units), g, "kernel", shape);
    if (bias) fix_gate(u, made, 2, of, 1, g, "bias", (nn_shape){1, {u->units}});
    return u->side[of][g] = made;
}

/* ---- arithmetic of layers ---- */

static int add(unrolled *u, int a, int b) {
    return nn_ko_merge(u->k, u->n, "Add", a, b);
}

static int times(unrolled *u, int a, int b) {
    return nn_ko_merge(u->k, u->n, "Multiply", a, b);
}

static int rest(unrolled *u, int a) { /* 1 - a */
    return nn_ko_rescale(u->k, u->n, -1, 1, a);
}

static int zeros(unrolled *u, int like) {
    return nn_ko_rescale(u->k, u->n, 0, 0, like);
}

static nn_status apply(unrolled *u, nn_act act, int x, int *ret, nn_err *err) {
    nn_status s = nn_ko_activation(u->k, u->n, act, nn_act_default_alpha(act), x, err);
    *ret = nn_ko_last(u->k);
    return s;
}

/* Row t of a value of shape [steps, size, 1]. */
static int cut(unrolled *u, int from, int64_t t, const nn_shape *to) {
    int64_t before[2] = {t, 0}, after[2] = {u->steps - 1 - t, 0};
    nn_json *c = nn_ka_new();
    nn_ka_pairs(c, "cropping", before, after, 2);
    nn_keras_add(u->k, u->n, "Cropping2D", c, from);
    return nn_ko_reshape(u->k, u->n, to, nn_ko_last(u->k));
}

static nn_status step_input(unrolled *u, int64_t t, int *ret, nn_err *err) {
    nn_shape s = u->in;
    *ret = cut(u, u->x, t, &s);
    if (!u->window) return NN_OK;
    nn_border b = {.spatial = u->window->spatial};
    memcpy(b.before, u->window->pad_before, sizeof b.before);
    memcpy(b.after, u->window->pad_after, sizeof b.after);
    if (nn_ko_pads(u->window)) return nn_ko_border(u->k, u->n, &b, false, &s, ret, err);
    return nn_ko_trim(u->k, u->n, u->window, &s, ret, err);
}

/* ---- the cells ---- */

/* A gate: act(input + state). */
static nn_status gate(unrolled *u, int g, nn_act act, int x, int *ret, nn_err *err) {
    int sum = add(u, side(u, 0, g, x), side(u, 1, g, u->h));
    return apply(u, act, sum, ret, err);
}

static nn_status simple_step(unrolled *u, int x, int *ret, nn_err *err) {
    return gate(u, 0, u->v.activation, x, ret, err);
}

static nn_status lstm_step(unrolled *u, int x, int *ret, nn_err *err) {
    nn_act acts[GATES] = {u->v.recurrent, u->v.recurrent, u->v.activation, u->v.recurrent};
    int v[GATES], y;
    for (int g = 0; g < GATES; g++) {
        nn_status s = gate(u, g, acts[g], x, &v[g], err);
        if (s) return s;
    }
    int c = add(u, times(u, v[1], u->c), times(u, v[0], v[2]));
    nn_status s = apply(u, u->v.activation, c, &y, err);
    u->c = c;
    *ret = times(u, v[3], y);
    return s;
}

static nn_status gru_step(unrolled *u, int x, int *ret, nn_err *err) {
    int z, r, y;
    nn_status s = gate(u, 0, u->v.recurrent, x, &z, err);
    if (!s) s = gate(u, 1, u->v.recurrent, x, &r, err);
    if (s) return s;
    int of_x = side(u, 0, 2, x);
    int of_h = u->n->attr.rnn.reset_after ? times(u, r, side(u, 1, 2, u->h))
                                          : side(u, 1, 2, times(u, r, u->h));
    s = apply(u, u->v.activation, add(u, of_x, of_h), &y, err);
    *ret = add(u, times(u, z, u->h), times(u, rest(u, z), y));
    return s;
}

/* Where the step's token is 0, the state stays as it was; m is 0 or 1. */
static int keep(unrolled *u, int m, int old, int fresh) {
    return add(u, times(u, fresh, m), times(u, old, rest(u, m)));
}

static nn_status one_step(unrolled *u, int64_t t, nn_err *err) {
    static const nn_shape one = {1, {1}};
    int x, h, c = u->c;
    bool lstm = u->gates == 4;
    nn_status s = step_input(u, t, &x, err);
    if (s) return s;
    if (u->h < 0) u->h = zeros(u, side(u, 0, 0, x));
    if (lstm && u->c < 0) c = u->c = u->h;
    s = lstm            ? lstm_step(u, x, &h, err)
        : u->gates == 3 ? gru_step(u, x, &h, err)
                        : simple_step(u, x, &h, err);
    if (s) return s;
    if (u->tokens >= 0) {
        int m = cut(u, u->tokens, t, &one);
        if (lstm) u->c = keep(u, m, c, u->c);
        h = keep(u, m, u->h, h);
    }
    u->out[t] = u->h = h;
    return NN_OK;
}

/* ---- the layer ---- */

/* The output of every step, in their order or turned round. */
static void join(unrolled *u, bool turned) {
    const nn_shape *out = &u->n->shape;
    nn_shape row = *out;
    row.dim[0] = 1;
    for (int64_t t = 0; t < u->steps; t++) u->out[t] = nn_ko_reshape(u->k, u->n, &row, u->out[t]);
    for (int64_t t = 0; turned && t < u->steps / 2; t++) {
        int other = u->out[u->steps - 1 - t];
        u->out[u->steps - 1 - t] = u->out[t];
        u->out[t] = other;
    }
    nn_ko_row(u->k, u->n, 1, u->out, u->steps);
}

static nn_status open(nn_keras *k, const nn_node *n, unrolled *u, nn_err *err) {
    const nn_shape *in = &nn_ko_input(k, n)->shape;
    bool conv = n->op == NN_OP_CONV_LSTM;
    static const int gates[] = {[NN_RNN_SIMPLE] = 1, [NN_RNN_LSTM] = 4, [NN_RNN_GRU] = 3};
    *u = (unrolled){.k = k, .n = n, .v = nn_ko_cell_of(n), .tokens = -1, .h = -1, .c = -1};
    for (int i = 0; i < 2 * GATES; i++) u->side[i / GATES][i % GATES] = -1;
    u->window = conv ? &n->attr.conv_lstm.window : NULL;
    u->gates = conv ? 4 : gates[n->attr.rnn.kind];
    u->units = conv ? n->attr.conv_lstm.filters : n->attr.rnn.units;
    u->steps = in->dim[0];
    for (int i = 0; i < in->rank; i++)
        if (in->dim[i] < 0)
            return nn_keras_cannot(
                k, n,
                "TensorFlow.js has no such layer, and an unknown number of steps cannot be "
                "written out",
                "give the input's sizes", err);
    if (u->steps > MOST_STEPS)
        return nn_keras_cannot(k, n,
                               "TensorFlow.js has no such layer, and more than 512 steps are "
                               "not written out",
                               NULL, err);
    u->in.rank = in->rank - 1;
    memcpy(u->in.dim, in->dim + 1, (size_t)u->in.rank * sizeof *in->dim);
    u->out = nn_arena_array(k->arena, (size_t)u->steps, sizeof *u->out);
    if (!u->out) abort();
    return NN_OK;
}

nn_status nn_ko_unroll(nn_keras *k, const nn_node *n, nn_err *err) {
    unrolled u;
    nn_status s = open(k, n, &u, err);
    if (s) return s;
    if (n->n_inputs > 1 && !k->in_parts)
        return nn_keras_cannot(k, n, "TensorFlow.js has no such layer for padded sequences", NULL,
                               err);
    nn_shape rows =
                 {
                     3, {u.steps, nn_shape_elements(&u.in), 1}
    },
             marks = {3, {u.steps, 1, 1}};
    int x = nn_ko_from(k, n);
    if (u.v.dropout != 0 && !u.window) {
        nn_json *c = nn_ka_new();
        nn_ka_num(c, "rate", u.v.dropout);
        nn_keras_add(k, n, "SpatialDropout1D", c, x);
        x = nn_ko_last(k);
    }
    u.x = nn_ko_reshape(k, n, &rows, x);
    if (n->n_inputs > 1)
        u.tokens = nn_ko_reshape(k, n, &marks, nn_ko_present(k, n, k->value[n->inputs[1]]));
    for (int64_t t = 0; t < u.steps && !s; t++)
        s = one_step(&u, u.v.reverse ? u.steps - 1 - t : t, err);
    if (!s && u.v.sequences) join(&u, k->last[n->id] != n->id);
    return s;
}
