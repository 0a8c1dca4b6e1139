/* SPDX-License-Identifier: MIT */
/* merge.c - functions of the elements of several inputs, broadcast as NumPy does.
 *
 * The output is walked in runs along which every input either goes along or stands still. Inputs of
 * one shape are one run a batch; blocked ones stay blocked, beside a value a channel too (the scale
 * of a squeeze-and-excitation). Runs are taken in pieces that stay in the first cache, so that a
 * merge of many inputs reads each of them once. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <stddef.h>
#include <string.h>

enum { RUN = 2048, AXES = NN_MAX_RANK + 1 };

typedef struct merge {
    bool same; /* every input goes along with the output from end to end */
    int axes;  /* at least one; those over which all go along evenly are joined */
    int64_t dim[AXES];
    int64_t (*step)[AXES]; /* by input: from one element to the next along an axis; 0: it stands */
} merge;

/* ---- layouts ---- */

static bool is_whole(const nn_unit *u, int i) {
    return nn_shape_equal(u->in[i].shape, &u->node->shape);
}

/* One value a channel: the last axis as the output's, no others. */
static bool is_channels(const nn_unit *u, int i) {
    const nn_shape *s = u->in[i].shape, *out = &u->node->shape;
    return s->rank && s->dim[s->rank - 1] == out->dim[out->rank - 1] &&
           nn_shape_elements(s) == s->dim[s->rank - 1];
}

/* The layout that whole inputs and the output have: blocked where one input is and the others fit
 * beside it. */
static nn_layout common_layout(const nn_native *x, const nn_unit *u) {
    const nn_shape *out = &u->node->shape;
    int64_t elements = nn_shape_elements(out), channels = out->rank ? out->dim[out->rank - 1] : 1;
    nn_layout plain = nn_layout_plain(elements, channels), found = plain;
    bool all_whole = true, all_same = true;
    for (int i = 0; i < u->n_in; i++) {
        nn_layout l = nn_in_at(x, u, i)->layout;
        if (!is_whole(u, i) && !is_channels(u, i)) return plain;
        all_whole &= is_whole(u, i);
        all_same &= memcmp(&l, &nn_in_at(x, u, 0)->layout, sizeof l) == 0;
        if (is_whole(u, i) && nn_layout_is_plain(found) && !nn_layout_is_plain(l)) found = l;
    }
    return found.channels == channels || (all_whole && all_same) ? found : plain;
}

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    if (is_whole(u, i)) *ret = common_layout(x, u);
    return true; /* else plain */
}

/* ---- how inputs go along ---- */

static void set_axis(merge *m, const nn_unit *u, int64_t n, const int64_t *steps) {
    if (n == 1) return;
    bool even = m->axes > 0;
    for (int i = 0; i < u->n_in && even; i++) even = m->step[i][m->axes - 1] == steps[i] * n;
    if (even)
        m->dim[m->axes - 1] *= n;
    else
        m->dim[m->axes++] = n;
    for (int i = 0; i < u->n_in; i++) m->step[i][m->axes - 1] = steps[i];
}

/* The step of input i along axis a of the output; both have their last axes in common. */
static int64_t plain_step(const nn_unit *u, int i, int a) {
    const nn_shape *s = u->in[i].shape;
    int own = a - (u->node->shape.rank - s->rank);
    if (own < 0 || s->dim[own] == 1) return 0;
    int64_t step = 1;
    for (int k = own + 1; k < s->rank; k++) step *= s->dim[k];
    return step;
}

static void plan_plain(merge *m, const nn_unit *u) {
    int64_t steps[NN_MAX_INPUTS];
    for (int a = 0; a < u->node->shape.rank; a++) {
        for (int i = 0; i < u->n_in; i++) steps[i] = plain_step(u, i, a);
        set_axis(m, u, u->node->shape.dim[a], steps);
    }
}

/* Blocks, places, channels of a block. */
static void plan_blocked(merge *m, const nn_unit *u, nn_layout l) {
    int64_t dims[3] = {l.channels / l.block, l.spatial, l.block};
    int64_t whole[3] = {l.spatial * l.block, l.block, 1}, channels[3] = {l.block, 0, 1};
    int64_t steps[NN_MAX_INPUTS];
    for (int a = 0; a < 3; a++) {
        for (int i = 0; i < u->n_in; i++) steps[i] = is_whole(u, i) ? whole[a] : channels[a];
        set_axis(m, u, dims[a], steps);
    }
}

static bool needs_values(nn_merge kind) {
    return kind == NN_MERGE_MULTIPLY || kind == NN_MERGE_MAXIMUM || kind == NN_MERGE_MINIMUM;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_merge kind = u->node->attr.merge.kind;
    merge *m = u->state = NN_NEW(x->arena, merge);
    m->step = nn_arena_alloc(x->arena, (size_t)u->n_in * sizeof *m->step);
    if (!m->step) return nn_native_refused(x, (size_t)u->n_in * sizeof *m->step, err);
    nn_layout l = common_layout(x, u);
    if (!nn_layout_is_plain(l)) nn_out(x, u)->layout = l;
    m->same = true;
    for (int i = 0; i < u->n_in; i++) m->same &= is_whole(u, i);
    if (nn_layout_is_plain(l))
        plan_plain(m, u);
    else
        plan_blocked(m, u, l);
    if (m->axes == 0) m->dim[m->axes++] = 1;
    u->reads_input = needs_values(kind);
    u->grad_in_place = m->same && (kind == NN_MERGE_ADD || kind == NN_MERGE_SUBTRACT);
    for (int i = 1; i < u->n_in; i++) u->grad_in_place &= u->in[i].value != u->in[0].value;
    u->reads_output = kind == NN_MERGE_MAXIMUM || kind == NN_MERGE_MINIMUM;
    return NN_OK;
}

/* ---- a run ---- */

typedef struct input {
    const float *x;
    float *dx;   /* NULL: none is wanted */
    bool stands; /* along the run */
    bool writes; /* dx is set, not added to */
} input;

/* Where n elements of the output, and of each input, are. */
typedef struct run {
    const nn_unit *u;
    int64_t n;
    float *y;
    const float *dy;
    input in[NN_MAX_INPUTS]; /* the first u->n_in */
} run;

static void copy_run(run *to, const run *from) {
    memcpy(to, from, offsetof(run, in) + (size_t)from->u->n_in * sizeof *from->in);
}

static void go(input *in, int64_t by) {
    in->x += by;
    if (in->dx) in->dx += by;
}

static void forward_run(const nn_native *x, const run *r) {
    nn_merge kind = r->u->node->attr.merge.kind;
    const input *in = r->in;
    x->k->merge[kind](r->n, in[0].x, in[0].stands, in[1].x, in[1].stands, r->y);
    for (int i = 2; i < r->u->n_in; i++)
        x->k->merge[kind](r->n, r->y, false, in[i].x, in[i].stands, r->y);
    if (kind == NN_MERGE_AVERAGE) x->k->scale(r->n, r->y, 1 / (float)r->u->n_in);
    if (r->u->relu) x->k->map[NN_ACT_RELU](r->n, r->y, r->y, 0);
}

/* What input i is owed of each element; `taken`, zeros at first, marks the elements whose extreme
 * was seen. `g` may be used for it. */
static const float *share(const nn_native *x, const run *r, int i, float *taken, float *g) {
    nn_merge kind = r->u->node->attr.merge.kind;
    if (kind == NN_MERGE_ADD || (kind == NN_MERGE_SUBTRACT && i == 0)) return r->dy;
    if (kind == NN_MERGE_MAXIMUM || kind == NN_MERGE_MINIMUM) {
        x->k->pick(r->n, r->in[i].x, r->in[i].stands, r->y, r->dy, taken, g);
        return g;
    }
    memcpy(g, r->dy, (size_t)r->n * sizeof *g);
    if (kind == NN_MERGE_SUBTRACT) x->k->scale(r->n, g, -1);
    if (kind == NN_MERGE_AVERAGE) x->k->scale(r->n, g, 1 / (float)r->u->n_in);
    for (int j = 0; j < r->u->n_in && kind == NN_MERGE_MULTIPLY; j++)
        if (j != i) x->k->merge[kind](r->n, g, false, r->in[j].x, r->in[j].stands, g);
    return g;
}

static void backward_run(const nn_native *x, const run *r) {
    float taken[RUN] = {0}, own[RUN];
    bool all = r->u->reads_output; /* an extreme is the first input's that has it */
    for (int i = 0; i < r->u->n_in; i++) {
        const input *in = &r->in[i];
        if (!in->dx && !all) continue;
        const float *g = share(x, r, i, taken, own);
        if (!in->dx) continue;
        if (in->stands)
            *in->dx += x->k->sum(r->n, g);
        else if (in->writes && in->dx != g)
            memcpy(in->dx, g, (size_t)r->n * sizeof *g);
        else if (in->writes)
            continue; /* it has taken dy over */
        else
            x->k->add(r->n, g, in->dx);
    }
}

/* ---- all of them ---- */

typedef struct job {
    const nn_unit *u;
    int64_t n; /* elements of the batch */
    bool back;
} job;

/* r is used up. */
static void run_pieces(const nn_native *x, const job *j, run *r) {
    int64_t left = r->n;
    while (left > 0) {
        r->n = left < RUN ? left : RUN;
        (j->back ? backward_run : forward_run)(x, r);
        for (int i = 0; i < j->u->n_in; i++)
            if (!r->in[i].stands) go(&r->in[i], r->n);
        r->y += r->n;
        if (j->back) r->dy += r->n;
        left -= r->n;
    }
}

/* Where the rows begin. */
static void start(const job *j, run *r) {
    const nn_unit *u = j->u;
    const merge *m = u->state;
    r->u = u;
    r->y = u->y;
    r->dy = u->dy;
    for (int i = 0; i < u->n_in; i++)
        r->in[i] = (input){.x = u->in[i].x,
                           .dx = j->back ? u->in[i].dx : NULL,
                           .stands = !m->same && m->step[i][m->axes - 1] == 0,
                           .writes = !u->in[i].adds};
}

static void run_same(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    int64_t at = begin * RUN;
    run r;
    start(j, &r);
    r.n = (end * RUN < j->n ? end * RUN : j->n) - at;
    r.y += at;
    if (j->back) r.dy += at;
    for (int i = 0; i < j->u->n_in; i++) go(&r.in[i], at);
    run_pieces(x, j, &r);
}

/* Inputs that stand somewhere collect their gradients from zero on. */
static void clear_shares(const nn_native *x, const job *j, int64_t begin, int64_t end, run *r) {
    for (int i = 0; i < j->u->n_in; i++) {
        input *in = &r->in[i];
        int64_t n = nn_in_at(x, j->u, i)->elements;
        if (is_whole(j->u, i)) continue;
        if (in->dx && in->writes)
            memset(in->dx + begin * n, 0, (size_t)((end - begin) * n) * sizeof *in->dx);
        in->writes = false;
    }
}

/* Moves r to run number k of its row. */
static void seek(const merge *m, int64_t k, run *r) {
    for (int a = m->axes - 2; a >= 0; a--) {
        int64_t place = k % m->dim[a];
        k /= m->dim[a];
        for (int i = 0; i < r->u->n_in && place; i++) go(&r->in[i], place * m->step[i][a]);
    }
}

static void run_row(const nn_native *x, const job *j, const run *row, int64_t elements) {
    const merge *m = j->u->state;
    int64_t inner = m->dim[m->axes - 1];
    for (int64_t k = 0; k < elements / inner; k++) {
        run r;
        copy_run(&r, row);
        r.n = inner;
        r.y += k * inner;
        if (j->back) r.dy += k * inner;
        seek(m, k, &r);
        run_pieces(x, j, &r);
    }
}

static void run_rows(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    int64_t elements = nn_out(x, j->u)->elements;
    run first;
    start(j, &first);
    clear_shares(x, j, begin, end, &first);
    for (int64_t n = begin; n < end; n++) {
        run row;
        copy_run(&row, &first);
        row.y += n * elements;
        if (j->back) row.dy += n * elements;
        for (int i = 0; i < j->u->n_in; i++) go(&row.in[i], n * nn_in_at(x, j->u, i)->elements);
        run_row(x, j, &row, elements);
    }
}

static nn_status run_all(nn_native *x, nn_unit *u, int64_t rows, bool back) {
    job j = {u, rows * nn_out(x, u)->elements, back};
    bool same = ((merge *)u->state)->same;
    double work = (double)j.n * u->n_in * 2;
    nn_parallel(x, same ? (j.n + RUN - 1) / RUN : rows, work, same ? run_same : run_rows, &j);
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

const nn_unit_kind nn_unit_merge = {
    .name = "merge",
    .can_relu = true,
    .can_add = true,
    .wants = wants,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
