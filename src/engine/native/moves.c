/* SPDX-License-Identifier: MIT */
/* moves.c - units that put the elements of a row elsewhere: relayout, transpose, reverse. All are a
 * walk of the output in its order and of the input by one step an axis (backward the other way
 * round). Axes that both walk evenly are joined; two of them are one call of a kernel. */
#include "engine/native/native.h"

enum { AXES = NN_MAX_RANK + 1 };

typedef struct moves {
    int axes;
    int64_t n, first;        /* elements of a row; where the walk of the input begins */
    int64_t dim[AXES + 1];   /* at least two axes */
    int64_t step[AXES + 1];  /* of the input */
    int64_t place[AXES + 1]; /* steps of the output */
} moves;

/* The next axis of the output, outermost first. */
static void add_axis(moves *m, int64_t n, int64_t step) {
    if (n == 1) return;
    if (m->axes && m->step[m->axes - 1] == step * n) {
        m->dim[m->axes - 1] *= n;
        m->step[m->axes - 1] = step;
        return;
    }
    m->dim[m->axes] = n;
    m->step[m->axes++] = step;
}

static void put_last_but_one(moves *m, int a) {
    int64_t dim = m->dim[a], step = m->step[a], place = m->place[a];
    for (; a < m->axes - 2; a++) {
        m->dim[a] = m->dim[a + 1];
        m->step[a] = m->step[a + 1];
        m->place[a] = m->place[a + 1];
    }
    m->dim[a] = dim, m->step[a] = step, m->place[a] = place;
}

/* The order of the other axes is free: the one along which the input lies evenly comes to the last,
 * along which the output does, so that the kernel can go over both in tiles. */
static void finish_axes(moves *m, int64_t elements) {
    while (m->axes < 2) m->dim[m->axes] = 1, m->step[m->axes++] = 1;
    m->n = elements;
    int64_t place = 1;
    for (int a = m->axes - 1; a >= 0; a--) {
        m->place[a] = place;
        place *= m->dim[a];
    }
    for (int a = 0; a < m->axes - 2 && m->step[m->axes - 1] != 1; a++)
        if (m->step[a] == 1) put_last_but_one(m, a);
}

/* ---- running ---- */

typedef struct job {
    const moves *m;
    const float *from;
    float *to;
    bool back;
    int64_t planes; /* a row */
} job;

/* Planes [begin, end) of all rows: the last two axes at a place of the others. */
static void run_planes(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    const moves *m = j->m;
    int r = m->axes - 2, c = m->axes - 1;
    for (int64_t k = begin; k < end; k++) {
        int64_t rest = k % j->planes, at = m->first, out = 0, base = k / j->planes * m->n;
        for (int a = m->axes - 3; a >= 0; a--) {
            int64_t place = rest % m->dim[a];
            rest /= m->dim[a];
            at += place * m->step[a];
            out += place * m->place[a];
        }
        if (!j->back)
            x->k->copy_plane(m->dim[r], m->dim[c], j->from + base + at, m->step[r], m->step[c],
                             j->to + base + out, m->place[r], m->place[c]);
        else
            x->k->copy_plane(m->dim[r], m->dim[c], j->from + base + out, m->place[r], m->place[c],
                             j->to + base + at, m->step[r], m->step[c]);
    }
}

static void run(const nn_native *x, const moves *m, int64_t rows, bool back, const float *from,
                float *to) {
    job j = {.m = m, .from = from, .to = to, .back = back};
    j.planes = m->n / (m->dim[m->axes - 2] * m->dim[m->axes - 1]);
    nn_parallel(x, rows * j.planes, (double)(rows * m->n), run_planes, &j);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    run(x, u->state, rows, false, u->in->x, u->y);
    return NN_OK;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) run(x, u->state, rows, true, u->dy, u->in->dx);
    return NN_OK;
}

/* ---- relayout ---- */

/* From blocks of b to blocks of c, the one a multiple of the other. */
static void relay(moves *m, int64_t channels, int64_t spatial, int64_t b, int64_t c) {
    if (b >= c) {
        add_axis(m, channels / b, spatial * b);
        add_axis(m, b / c, c);
        add_axis(m, spatial, b);
        add_axis(m, c, 1);
    } else {
        add_axis(m, channels / c, spatial * c);
        add_axis(m, spatial, b);
        add_axis(m, c / b, spatial * b);
        add_axis(m, b, 1);
    }
}

/* The output's layout is set before (plan.c). A plain layout is one whatever its channels. */
static nn_status relayout_plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_layout from = nn_in(x, u)->layout, to = nn_out(x, u)->layout;
    moves *m = u->state = NN_NEW(x->arena, moves);
    int64_t elements = nn_out(x, u)->elements;
    if (nn_layout_is_plain(from)) from = nn_layout_plain(elements, to.channels);
    if (nn_layout_is_plain(to)) to = nn_layout_plain(elements, from.channels);
    int64_t large = from.block > to.block ? from.block : to.block;
    if (from.channels != to.channels || large % from.block || large % to.block)
        return nn_fail(err, NN_E_INTERNAL, "a value of '%s' in blocks of %d, and of %d",
                       u->node->name, (int)from.block, (int)to.block);
    relay(m, from.channels, from.spatial, from.block, to.block);
    finish_axes(m, elements);
    return NN_OK;
}

const nn_unit_kind nn_unit_relayout = {
    .name = "relayout",
    .wants = nn_wants_any,
    .plan = relayout_plan,
    .forward = forward,
    .backward = backward,
};

/* ---- transpose, reverse ---- */

static void plain_steps(const nn_shape *s, int64_t *ret) {
    int64_t step = 1;
    for (int a = s->rank - 1; a >= 0; a--) {
        ret[a] = step;
        step *= s->dim[a];
    }
}

/* The coordinate along output axis i is the one along input axis perm[i]. */
static nn_status transpose_plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    int64_t step[NN_MAX_RANK] = {0};
    moves *m = u->state = NN_NEW(x->arena, moves);
    plain_steps(u->in->shape, step);
    for (int a = 0; a < u->node->shape.rank; a++)
        add_axis(m, u->node->shape.dim[a], step[u->node->attr.transpose.perm[a]]);
    finish_axes(m, nn_out(x, u)->elements);
    return NN_OK;
}

const nn_unit_kind nn_unit_transpose = {
    .name = "transpose",
    .plan = transpose_plan,
    .forward = forward,
    .backward = backward,
};

static nn_status reverse_plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    int64_t step[NN_MAX_RANK] = {0};
    moves *m = u->state = NN_NEW(x->arena, moves);
    int axis = u->node->attr.reverse.axis;
    plain_steps(u->in->shape, step);
    m->first = (u->in->shape->dim[axis] - 1) * step[axis];
    for (int a = 0; a < u->in->shape->rank; a++)
        add_axis(m, u->in->shape->dim[a], a == axis ? -step[a] : step[a]);
    finish_axes(m, nn_out(x, u)->elements);
    return NN_OK;
}

const nn_unit_kind nn_unit_reverse = {
    .name = "reverse",
    .plan = reverse_plan,
    .forward = forward,
    .backward = backward,
};
