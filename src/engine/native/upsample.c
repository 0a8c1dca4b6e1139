/* SPDX-License-Identifier: MIT */
/* upsample.c - images made larger, in any layout. */
#include "engine/native/native.h"

typedef struct upsampling {
    nn_upsampling p;
    int64_t planes; /* a row */
} upsampling;

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    nn_layout in = nn_native_channels(x, u);
    const nn_shape *shape = u->in->shape;
    int spatial = u->node->attr.upsample.spatial;
    upsampling *s = u->state = NN_NEW(x->arena, upsampling);
    s->p = (nn_upsampling){.block = in.block, .linear = u->node->attr.upsample.bilinear};
    for (int a = 0; a < 3; a++) {
        int i = a - (3 - spatial);
        s->p.in[a] = i < 0 ? 1 : shape->dim[i];
        s->p.factor[a] = i < 0 ? 1 : u->node->attr.upsample.factor[i];
    }
    s->planes = in.channels / in.block;
    nn_value *out = nn_out(x, u);
    out->layout = (nn_layout){out->elements / in.channels, in.channels, in.block};
    return NN_OK;
}

static void run(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    const upsampling *s = u->state;
    x->k->upsample(&s->p, u->in->x, u->y, begin, end);
}

static void run_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    const upsampling *s = u->state;
    x->k->upsample_grad(&s->p, u->dy, u->in->dx, begin, end);
}

static void over_planes(const nn_native *x, nn_unit *u, int64_t rows, nn_range_fn *fn) {
    const upsampling *s = u->state;
    nn_parallel(x, rows * s->planes, (double)(rows * nn_out(x, u)->elements) * 4, fn, u);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    over_planes(x, u, rows, run);
    return NN_OK;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) over_planes(x, u, rows, run_grad);
    return NN_OK;
}

const nn_unit_kind nn_unit_upsample = {
    .name = "upsample",
    .wants = nn_wants_channels,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
