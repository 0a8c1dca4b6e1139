/* SPDX-License-Identifier: MIT */
/* place.c - when values, gradients and working memory are alive, and where they and the parameters
 * lie. Time: see nn_block in native.h. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <inttypes.h>
#include <string.h>

struct nn_wish {
    nn_unit *unit;
    int64_t floats;
    int when;
    float **to;
};

void nn_native_wish(nn_native *x, nn_unit *u, int64_t floats, int when, float **to) {
    if (x->n_wishes == x->cap_wishes) {
        int cap = 2 * x->cap_wishes + 64;
        struct nn_wish *more = NN_NEW_N(x->arena, struct nn_wish, cap);
        if (x->n_wishes) memcpy(more, x->wishes, (size_t)x->n_wishes * sizeof *more);
        x->wishes = more;
        x->cap_wishes = cap;
    }
    x->wishes[x->n_wishes++] = (struct nn_wish){u, floats, when, to};
}

/* ---- lifetimes ---- */

static nn_value *whole(const nn_native *x, int value) {
    return &x->values[x->values[value].of];
}

static void keep(nn_value *v, int time) {
    if (time > v->last_kept) v->last_kept = time;
}

static int forward_time(const nn_native *x, int unit) {
    return unit < 0 ? 0 : x->units[unit].time;
}
static int backward_time(const nn_native *x, int unit) {
    return 2 * x->n_units - forward_time(x, unit);
}
static int end_of_time(const nn_native *x) {
    return 2 * x->n_units + 1;
}

/* Its weight gradients are taken in the update: what they are made from stays until then. */
static bool defers(const nn_native *x, const nn_unit *u) {
    return x->deferring && u->kind->deferred;
}

static void plan_keeping(nn_native *x) {
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        if (!u->backward) continue;
        int time = defers(x, u) ? end_of_time(x) : backward_time(x, i);
        for (int j = 0; j < u->n_in && u->reads_input; j++) keep(whole(x, u->in[j].value), time);
        if (u->reads_output || u->mask_dy) keep(nn_out(x, u), time);
    }
    if (x->has_loss) keep(whole(x, x->loss_value), x->n_units);
}

static void add_block(nn_native *x, int64_t floats, int first, int last, float **to) {
    x->blocks[x->n_blocks++] = (nn_block){(size_t)floats * sizeof(float), 0, first, last, to};
}

/* The last time that its gradient is read, or those that take its memory over. */
static int last_of_grad(const nn_native *x, const nn_value *v) {
    int last = 0;
    for (int i = 0; i < x->n_values; i++) {
        const nn_value *w = &x->values[i];
        if (w->of != i || &x->values[w->grad_of] != v) continue;
        bool late = w->unit >= 0 && defers(x, &x->units[w->unit]);
        int own = late ? end_of_time(x) : backward_time(x, w->unit);
        if (own > last) last = own;
    }
    return last;
}

/* From the last unit back: the gradient of its output is of no use behind it. */
static void hand_gradients_on(nn_native *x) {
    for (int i = x->n_units - 1; i >= 0; i--) {
        const nn_unit *u = &x->units[i];
        const nn_value *out = nn_out(x, u);
        nn_value *in = whole(x, u->in->value);
        if (!u->backward || !u->grad_in_place || !u->in->learns || u->in->adds || u->is_tail ||
            out->gradients == 0 || out->rows || in->rows ||
            in->elements * in->fold != out->elements * out->fold)
            continue;
        in->grad_of = out->grad_of;
    }
}

static void value_blocks(nn_native *x, nn_value *v) {
    int64_t floats = v->elements * (v->rows ? v->rows : x->base.options.batch * v->fold);
    int first = v->persistent && v->unit < 0 ? 0 : forward_time(x, v->unit);
    int last = forward_time(x, v->last_read);
    if (v->last_kept > last) last = v->last_kept;
    if (v->persistent) last = end_of_time(x);
    add_block(x, floats, first, last, &v->data);
    if (v->gradients == 0 || &x->values[v->grad_of] != v) return;
    bool from_loss = v->grad_from == x->n_units;
    add_block(x, floats, from_loss ? x->n_units : backward_time(x, v->grad_from),
              last_of_grad(x, v), &v->grad);
}

static void wish_block(nn_native *x, const struct nn_wish *w) {
    int there = w->unit->time, back = backward_time(x, w->unit->index);
    int first = w->when & NN_FOR_FORWARD ? there : back;
    int last = w->when & NN_FOR_BACKWARD ? back : there;
    if (w->unit->kind->update && w->when == (NN_FOR_FORWARD | NN_FOR_BACKWARD))
        last = end_of_time(x);
    add_block(x, w->floats, first, last, w->to);
}

nn_status nn_native_refused(const nn_native *x, size_t bytes, nn_err *err) {
    (void)!nn_fail(err, NN_E_OUT_OF_MEMORY,
                   "network '%s' needs %zu MiB to run %" PRId64 " rows at a time, and the system "
                   "refuses them",
                   x->base.graph->name, bytes >> 20, x->base.options.batch);
    return nn_err_hint(err, NN_E_OUT_OF_MEMORY, "use a smaller batch_size");
}

/* A share of a gradient that is added to the others' lies by itself until then. */
static void wish_shares(nn_native *x, nn_unit *u) {
    for (int i = 0; i < u->n_in && !u->kind->can_add; i++)
        if (u->in[i].adds)
            nn_native_wish(x, u, nn_in_at(x, u, i)->elements * nn_rows(x, u), NN_FOR_BACKWARD,
                           &u->in[i].dx);
}

static nn_status place_memory(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_inputs; i++) whole(x, x->value_of[g->inputs[i]])->persistent = true;
    for (int i = 0; i < g->n_outputs; i++) whole(x, x->value_of[g->outputs[i]])->persistent = true;
    plan_keeping(x);
    hand_gradients_on(x);
    for (int i = 0; i < x->n_units; i++) wish_shares(x, &x->units[i]);
    x->blocks = NN_NEW_N(x->arena, nn_block, (size_t)(2 * x->n_values + x->n_wishes));
    for (int i = 0; i < x->n_values; i++)
        if (x->values[i].of == i) value_blocks(x, &x->values[i]);
    for (int i = 0; i < x->n_wishes; i++) wish_block(x, &x->wishes[i]);
    x->memory_bytes = nn_blocks_place(x->blocks, x->n_blocks);
    x->memory = nn_native_alloc(x->memory_bytes);
    if (!x->memory) return nn_native_refused(x, x->memory_bytes, err);
    for (int i = 0; i < x->n_blocks; i++)
        *x->blocks[i].to = (float *)((char *)x->memory + x->blocks[i].at);
    return NN_OK;
}

/* ---- parameters ---- */

/* Trainable ones first, so that the optimiser's pass is one range. */
static void place_params(nn_native *x, bool trainable, bool deferred) {
    for (int i = 0; i < x->n_params; i++) {
        nn_param *p = &x->params[i];
        if ((x->training && p->weight->trainable) != trainable || p->deferred != deferred) continue;
        p->at = x->floats;
        x->floats += (p->floats + 15) / 16 * 16;
    }
}

static nn_status alloc_params(nn_native *x, nn_err *err) {
    for (int i = 0; i < x->n_params; i++) x->params[i].deferred &= x->params[i].unit->backward;
    place_params(x, true, false);
    x->trainable = x->floats;
    place_params(x, true, true);
    place_params(x, false, false);
    x->n_slots = x->training ? nn_exec_slots(x->base.graph) : 0;
    float **arenas[5] = {&x->w, &x->g, &x->slot[0], &x->slot[1], &x->slot[2]};
    int n = x->training ? 2 + x->n_slots : 1;
    size_t bytes = (size_t)x->floats * sizeof(float);
    for (int i = 0; i < n; i++)
        if (!(*arenas[i] = nn_native_alloc(bytes))) return nn_native_refused(x, bytes, err);
    x->extra_bytes += (int64_t)bytes * n;
    return NN_OK;
}

static nn_status alloc_scratch(nn_native *x, nn_err *err) {
    size_t pack = (size_t)x->threads * (size_t)x->pack_floats * sizeof(float);
    if (x->scratch_bytes && !(x->scratch = nn_native_alloc(x->scratch_bytes)))
        return nn_native_refused(x, x->scratch_bytes, err);
    if (pack && !(x->pack = nn_native_alloc(pack))) return nn_native_refused(x, pack, err);
    x->extra_bytes += (int64_t)(x->scratch_bytes + pack);
    size_t rows = (size_t)x->base.options.batch;
    if (!x->has_loss) return NN_OK;
    x->row_loss = nn_alloc_large(rows * sizeof *x->row_loss, true);
    x->row_right = nn_alloc_large(rows * sizeof *x->row_right, true);
    size_t each = (size_t)nn_loss_scratch(&x->loss) * sizeof(double) * (size_t)x->threads;
    if (each && !(x->loss_scratch = nn_alloc_large(each, true)))
        return nn_native_refused(x, each, err);
    return x->row_loss && x->row_right ? NN_OK : nn_native_refused(x, rows, err);
}

static void bind_operand(const nn_native *x, const nn_unit *u, nn_operand *o) {
    const nn_value *v = &x->values[o->value];
    o->x = v->data;
    if (o->learns && u->backward && !o->dx) o->dx = v->grad;
}

static nn_status bind_units(nn_native *x, nn_err *err) {
    for (int i = 0; i < x->n_values; i++) {
        nn_value *v = &x->values[i];
        v->data = x->values[v->of].data;
        v->grad = x->values[x->values[v->of].grad_of].grad;
    }
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        u->y = nn_out(x, u)->data;
        u->dy = nn_out(x, u)->grad;
        for (int j = 0; j < u->n_in; j++) bind_operand(x, u, &u->in[j]);
        nn_status st = u->kind->bind ? u->kind->bind(x, u, err) : NN_OK;
        if (st) return st;
    }
    return NN_OK;
}

nn_status nn_native_place(nn_native *x, nn_err *err) {
    nn_status st = place_memory(x, err);
    if (!st) st = alloc_params(x, err);
    if (!st) st = alloc_scratch(x, err);
    return st ? st : bind_units(x, err);
}
