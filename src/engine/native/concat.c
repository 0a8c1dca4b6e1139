/* SPDX-License-Identifier: MIT */
/* concat.c - inputs after each other along an axis: stretches of the inputs in turn. Blocked inputs
 * stay blocked; along the channels they do if each has whole blocks. */
#include "engine/native/native.h"

#include <string.h>

static int64_t last_axis(const nn_shape *s) {
    return s->dim[s->rank - 1];
}

static bool joins_channels(const nn_unit *u) {
    return u->node->attr.concat.axis == u->node->shape.rank - 1;
}

/* The block of channels that all inputs can have as the first blocked one does; 0: none. */
static int64_t common_block(const nn_native *x, const nn_unit *u) {
    int64_t block = 0;
    for (int i = 0; i < u->n_in && !block; i++) {
        nn_layout l = nn_in_at(x, u, i)->layout;
        if (!nn_layout_is_plain(l) && l.channels == last_axis(u->in[i].shape)) block = l.block;
    }
    for (int i = 0; i < u->n_in && block; i++)
        if (last_axis(u->in[i].shape) % block) return 0;
    return block;
}

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    int64_t block = common_block(x, u); /* *ret is the plain layout */
    if (block) ret->block = block;
    (void)i;
    return true;
}

typedef struct concat {
    int64_t before; /* stretches a row */
    int64_t *n;     /* by input: floats of one */
    int64_t all;    /* floats of all inputs' */
} concat;

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    concat *c = u->state = NN_NEW(x->arena, concat);
    nn_layout *l = &nn_out(x, u)->layout;
    int64_t block = common_block(x, u);
    if (block) l->block = block;
    c->n = NN_NEW_N(x->arena, int64_t, (size_t)u->n_in);
    if (!c->n) return nn_native_refused(x, (size_t)u->n_in * sizeof *c->n, err);
    c->before = 1;
    for (int a = 0; a < u->node->attr.concat.axis && !(block && joins_channels(u)); a++)
        c->before *= u->node->shape.dim[a];
    if (block && !joins_channels(u)) c->before *= l->channels / l->block;
    for (int i = 0; i < u->n_in; i++) {
        c->n[i] = nn_in_at(x, u, i)->elements / c->before;
        c->all += c->n[i];
    }
    return NN_OK;
}

typedef struct job {
    const nn_unit *u;
    bool back;
} job;

static void run(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const concat *c = j->u->state;
    for (int64_t k = begin; k < end; k++) {
        int64_t at = k * c->all;
        for (int i = 0; i < j->u->n_in; at += c->n[i++]) {
            const nn_operand *in = &j->u->in[i];
            int64_t n = c->n[i];
            if (!j->back)
                memcpy(j->u->y + at, in->x + k * n, (size_t)n * sizeof *in->x);
            else if (in->dx && in->adds)
                x->k->add(n, j->u->dy + at, in->dx + k * n);
            else if (in->dx)
                memcpy(in->dx + k * n, j->u->dy + at, (size_t)n * sizeof *in->x);
        }
    }
}

static nn_status run_all(nn_native *x, nn_unit *u, int64_t rows, bool back) {
    job j = {u, back};
    const concat *c = u->state;
    nn_parallel(x, rows * c->before, (double)(rows * nn_out(x, u)->elements), run, &j);
    return NN_OK;
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    return run_all(x, u, rows, false);
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    return run_all(x, u, rows, true);
}

const nn_unit_kind nn_unit_concat = {
    .name = "concat",
    .can_add = true,
    .wants = wants,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
