/* SPDX-License-Identifier: MIT */
/* observe.c - what a pass tells of itself to whoever looks: units with their time and the bytes
 * that they touch, and values in plain layout while they are there. Memory is reused as ever: a
 * value is handed on right after its unit ran, a gradient right before its unit takes it. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/native/native.h"

int64_t nn_native_begin(const nn_native *x) {
    return x->observer && x->observer->work ? nn_clock_mono() : 0;
}

/* ---- what a unit is ---- */

/* The last node whose value is u's: behind u's own there may be a relu, or a reshape. */
static int last_node(const nn_native *x, const nn_unit *u) {
    int last = u->node->id;
    for (int i = last; i < x->base.graph->n_nodes; i++)
        if (x->value_of[i] == u->out) last = i;
    return last;
}

static int64_t operand_bytes(const nn_native *x, const nn_unit *u, int64_t rows) {
    int64_t floats = 0;
    for (int i = 0; i < u->n_in; i++) {
        const nn_value *v = nn_in_at(x, u, i);
        floats += v->elements * v->fold * rows;
    }
    return floats * (int64_t)sizeof(float);
}

static int64_t weight_bytes(const nn_native *x, const nn_unit *u) {
    int64_t floats = 0;
    for (int i = 0; i < x->n_params; i++)
        if (x->params[i].unit == u) floats += x->params[i].floats;
    return floats * (int64_t)sizeof(float);
}

/* Each array once: backward reads the gradient and what it was made from, and writes others; an
 * update reads gradient, weight and state, and writes the latter two. */
static int64_t bytes_of(const nn_native *x, nn_phase pass, const nn_unit *u, int64_t rows) {
    int64_t in = operand_bytes(x, u, rows), weights = weight_bytes(x, u);
    int64_t out = nn_out(x, u)->elements * u->fold * rows * (int64_t)sizeof(float);
    if (pass == NN_PHASE_FORWARD) return in + weights + out;
    if (pass == NN_PHASE_UPDATE) return weights * (3 + 2 * x->n_slots);
    return out * (1 + u->reads_output) + in * (1 + u->reads_input) + 2 * weights;
}

/* ---- values ---- */

static void hand_on(nn_native *x, const nn_unit *u, bool gradient, int64_t rows) {
    const nn_value *v = nn_out(x, u);
    const float *from = gradient ? x->values[v->of].grad : x->values[v->of].data;
    int64_t n = rows * v->fold;
    if (!from || v->rows || u->kind == &nn_unit_relayout) return;
    for (int64_t r = 0; r < n; r++)
        for (int64_t e = 0; e < v->elements; e++)
            x->seen[r * v->elements + e] = from[r * v->elements + nn_layout_at(v->layout, e)];
    int node = last_node(x, u);
    x->observer->value(x->observer->ctx, node, gradient, x->seen, n * v->elements);
}

void nn_native_gradient(nn_native *x, const nn_unit *u, int64_t rows) {
    if (x->observer && x->observer->value) hand_on(x, u, true, rows);
}

void nn_native_did(nn_native *x, nn_phase pass, const nn_unit *u, const char *kind, int64_t rows,
                   int64_t begin) {
    const nn_observer *o = x->observer;
    if (!o) return;
    if (o->work && (!u || !u->is_tail)) {
        const nn_unit *end = u && u->tail ? u->tail : u;
        nn_work w = {.pass = pass,
                     .kind = kind,
                     .node = u ? u->node->id : -1,
                     .last = u ? last_node(x, end) : -1,
                     .seconds = (double)(nn_clock_mono() - begin) * 1e-9,
                     .bytes = u ? bytes_of(x, pass, u, rows) : 0};
        if (u && u->kind == &nn_unit_relayout) w.last = w.node;
        o->work(o->ctx, &w);
    }
    if (o->value && u && pass == NN_PHASE_FORWARD) hand_on(x, u, false, rows);
}

/* ---- the entry ---- */

static int64_t largest_value(const nn_native *x) {
    int64_t most = 0;
    for (int i = 0; i < x->n_values; i++) {
        int64_t n = x->values[i].elements * x->values[i].fold * x->base.options.batch;
        if (n > most) most = n;
    }
    return most;
}

static void tell_inputs(nn_native *x, int64_t rows) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_inputs; i++) {
        const nn_value *v = &x->values[x->value_of[g->inputs[i]]];
        x->observer->value(x->observer->ctx, g->inputs[i], false, v->data,
                           rows * v->elements * v->fold);
    }
}

nn_status nn_native_observe(nn_exec *e, int64_t rows, const nn_targets *t, const nn_observer *o,
                            nn_step *ret, nn_err *err) {
    nn_native *x = (nn_native *)e;
    size_t bytes = (size_t)largest_value(x) * sizeof(float);
    if (o->value && !(x->seen = nn_alloc_large(bytes, false)))
        return nn_native_refused(x, bytes, err);
    x->observer = o;
    if (o->value && rows <= e->options.batch) tell_inputs(x, rows);
    nn_status s = t ? e->engine->step(e, rows, t, ret, err) : e->engine->forward(e, rows, err);
    x->observer = NULL;
    nn_free_large(x->seen);
    x->seen = NULL;
    return s;
}
