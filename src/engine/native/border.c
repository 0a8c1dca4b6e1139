/* SPDX-License-Identifier: MIT */
/* border.c - pad and crop, in any layout: a small image lies inside of a large one. Padding puts it
 * there among zeros and its gradient takes it out again; cropping the other way round. */
#include "engine/native/native.h"

#include <string.h>

typedef struct border {
    int64_t small[3], large[3], before[3]; /* places along each axis */
    int64_t block, planes;                 /* floats a place; images a row */
} border;

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    nn_layout l = nn_native_channels(x, u);
    const nn_border *b = &u->node->attr.border;
    const nn_shape *in = u->in->shape, *out = &u->node->shape;
    bool pads = u->node->op == NN_OP_PAD;
    border *s = u->state = NN_NEW(x->arena, border);
    s->block = l.block;
    for (int a = 0; a < 3; a++) {
        int i = a - (3 - b->spatial);
        s->small[a] = i < 0 ? 1 : (pads ? in : out)->dim[i];
        s->large[a] = i < 0 ? 1 : (pads ? out : in)->dim[i];
        s->before[a] = i < 0 ? 0 : b->before[i];
    }
    s->planes = l.channels / l.block;
    nn_value *v = nn_out(x, u);
    v->layout = (nn_layout){v->elements / l.channels, l.channels, l.block};
    return NN_OK;
}

typedef struct job {
    const border *s;
    float *small, *large;
    bool into_large;
} job;

static int64_t places(const int64_t d[3]) {
    return d[0] * d[1] * d[2];
}

/* The line of places that begins at (a, b) of the small image. */
static void move_line(const job *j, float *small, float *large, int64_t a, int64_t b) {
    const border *s = j->s;
    int64_t n = s->small[2] * s->block;
    int64_t at = (a + s->before[0]) * s->large[1] + b + s->before[1];
    float *here = small + (a * s->small[1] + b) * n;
    float *there = large + (at * s->large[2] + s->before[2]) * s->block;
    memcpy(j->into_large ? there : here, j->into_large ? here : there, (size_t)n * sizeof *here);
}

static void run(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)x, (void)thread;
    const job *j = arg;
    int64_t small = places(j->s->small) * j->s->block, large = places(j->s->large) * j->s->block;
    if (j->into_large)
        memset(j->large + begin * large, 0, (size_t)((end - begin) * large) * sizeof *j->large);
    for (int64_t n = begin; n < end; n++)
        for (int64_t a = 0; a < j->s->small[0]; a++)
            for (int64_t b = 0; b < j->s->small[1]; b++)
                move_line(j, j->small + n * small, j->large + n * large, a, b);
}

static void move(nn_native *x, nn_unit *u, int64_t rows, job j) {
    j.s = u->state;
    nn_parallel(x, rows * j.s->planes, (double)(rows * nn_out(x, u)->elements), run, &j);
}

static nn_status pad_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    move(x, u, rows, (job){.small = u->in->x, .large = u->y, .into_large = true});
    return NN_OK;
}

static nn_status pad_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) move(x, u, rows, (job){.small = u->in->dx, .large = u->dy});
    return NN_OK;
}

static nn_status crop_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    move(x, u, rows, (job){.small = u->y, .large = u->in->x});
    return NN_OK;
}

static nn_status crop_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) move(x, u, rows, (job){.small = u->dy, .large = u->in->dx, .into_large = true});
    return NN_OK;
}

const nn_unit_kind nn_unit_pad = {
    .name = "pad",
    .wants = nn_wants_channels,
    .plan = plan,
    .forward = pad_forward,
    .backward = pad_backward,
};

const nn_unit_kind nn_unit_crop = {
    .name = "crop",
    .wants = nn_wants_channels,
    .plan = plan,
    .forward = crop_forward,
    .backward = crop_backward,
};
