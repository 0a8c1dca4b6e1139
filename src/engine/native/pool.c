/* SPDX-License-Identifier: MIT */
/* pool.c - pooling by our own kernels: they walk any layout, and backward through 2 x 2 windows
 * takes the relu before them along. */
#include "engine/native/native.h"

#include <string.h>

typedef struct pool {
    nn_pooling p;
    int64_t planes; /* a row */
    bool small;     /* 2 x 2, side by side, no padding */
    float *at;      /* int32_t an output, or uint8_t when small */
} pool;

/* Axes that the window lacks become leading axes of one. */
static nn_pooling pooling(const nn_window *w, const nn_shape *in, const nn_shape *out,
                          int64_t block) {
    nn_pooling p = {.block = block};
    for (int a = 0; a < 3; a++) {
        int s = a - (3 - w->spatial);
        p.in[a] = s < 0 ? 1 : in->dim[s];
        p.out[a] = s < 0 ? 1 : out->dim[s];
        p.size[a] = s < 0 ? 1 : w->size[s];
        p.stride[a] = s < 0 ? 1 : w->stride[s];
        p.dilation[a] = s < 0 ? 1 : w->dilation[s];
        p.pad[a] = s < 0 ? 0 : w->pad_before[s];
    }
    return p;
}

static bool is_small(const nn_pooling *p) {
    if (p->in[0] != 1 || p->size[0] != 1) return false;
    for (int a = 1; a < 3; a++)
        if (p->size[a] != 2 || p->stride[a] != 2 || p->dilation[a] != 1 || p->pad[a] != 0 ||
            p->out[a] != p->in[a] / 2)
            return false;
    return true;
}

/* A window as large as the image: one place, so blocks follow each other as channels do. */
static nn_pooling global(const nn_layout *l) {
    return (nn_pooling){
        .block = l->block,
        .in = {1, 1, l->spatial},
        .out = {1, 1, 1         },
        .size = {1, 1, l->spatial},
        .stride = {1, 1, 1         },
        .dilation = {1, 1, 1         }
    };
}

static nn_pooling adaptive(const nn_node *n, const nn_shape *in, int64_t block) {
    nn_window w = {.spatial = n->attr.adaptive_pool.spatial};
    nn_pooling p = pooling(&w, in, &n->shape, block);
    for (int a = 0; a < 3; a++) p.dilation[a] = 1;
    p.adaptive = true;
    return p;
}

static nn_pooling pooling_of(const nn_unit *u, nn_layout in) {
    const nn_shape *shape = u->in->shape;
    switch ((int)u->node->op) {
    case NN_OP_GLOBAL_MAX_POOL:
    case NN_OP_GLOBAL_AVG_POOL:
        return global(&in);
    case NN_OP_ADAPTIVE_MAX_POOL:
    case NN_OP_ADAPTIVE_AVG_POOL:
        return adaptive(u->node, shape, in.block);
    default:
        return pooling(&u->node->attr.pool, shape, &u->node->shape, in.block);
    }
}

static nn_status avg_plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    nn_layout in = nn_native_channels(x, u);
    pool *s = u->state = NN_NEW(x->arena, pool);
    s->p = pooling_of(u, in);
    s->planes = in.channels / in.block;
    nn_value *out = nn_out(x, u);
    out->layout = (nn_layout){out->elements / in.channels, in.channels, in.block};
    return NN_OK;
}

static nn_status max_plan(nn_native *x, nn_unit *u, nn_err *err) {
    nn_status st = avg_plan(x, u, err);
    pool *s = u->state;
    s->small = u->node->op == NN_OP_MAX_POOL && is_small(&s->p);
    int64_t outputs = nn_out(x, u)->elements * nn_rows(x, u);
    int when = NN_FOR_FORWARD | (x->training ? NN_FOR_BACKWARD : 0);
    nn_native_wish(x, u, s->small ? (outputs + 3) / 4 : outputs, when, &s->at);
    return st;
}

/* Rows from `first` on; x and dx begin with that row where the unit is a tail. */
typedef struct job {
    const nn_unit *u;
    const pool *s;
    const float *x, *dy;
    float *y, *dx;
    int32_t *at;
    uint8_t *small_at;
} job;

static job job_at(const nn_native *x, const nn_unit *u, int64_t first) {
    const pool *s = u->state;
    int64_t out = first * nn_out(x, u)->elements;
    return (job){.u = u,
                 .s = s,
                 .x = u->in->x,
                 .dx = u->in->dx,
                 .y = u->y + out,
                 .dy = u->dy ? u->dy + out : NULL,
                 .at = s->at ? (int32_t *)s->at + out : NULL,
                 .small_at = s->at ? (uint8_t *)s->at + out : NULL};
}

/* Behind a fused relu no gradient goes to a maximum that is not above 0. */
static void drop_clipped(const job *j, int64_t begin, int64_t end) {
    const nn_pooling *p = &j->s->p;
    int64_t plane = p->out[0] * p->out[1] * p->out[2] * p->block;
    for (int64_t i = begin * plane; i < end * plane; i++)
        if (j->y[i] <= 0) j->at[i] = -1;
}

static void run_max(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    if (j->s->small) {
        x->k->max_pool_2x2(&j->s->p, j->x, j->y, j->small_at, begin, end);
        return;
    }
    x->k->max_pool(&j->s->p, j->x, j->y, j->at, begin, end);
    if (j->u->mask_dx) drop_clipped(j, begin, end);
}

static void run_max_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    if (j->s->small)
        x->k->max_pool_2x2_grad(&j->s->p, j->u->mask_dx, j->dy, j->small_at, j->dx, begin, end);
    else
        x->k->max_pool_grad(&j->s->p, j->dy, j->at, j->dx, begin, end);
}

static void run_avg(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    x->k->avg_pool(&j->s->p, j->x, j->y, begin, end);
}

static void run_avg_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const job *j = arg;
    x->k->avg_pool_grad(&j->s->p, j->dy, j->dx, begin, end);
}

static void over_planes(const nn_native *x, const nn_unit *u, int64_t first, int64_t rows,
                        nn_range_fn *fn) {
    job j = job_at(x, u, first);
    nn_parallel(x, rows * j.s->planes, (double)(rows * nn_in(x, u)->elements) * 4, fn, &j);
}

static void max_forward_piece(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    over_planes(x, u, first, n, run_max);
}

static void max_backward_piece(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    over_planes(x, u, first, n, run_max_grad);
}

static nn_status max_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    over_planes(x, u, 0, rows, run_max);
    return NN_OK;
}

static nn_status max_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) over_planes(x, u, 0, rows, run_max_grad);
    return NN_OK;
}

static nn_status avg_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    over_planes(x, u, 0, rows, run_avg);
    return NN_OK;
}

static nn_status avg_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    if (u->in->dx) over_planes(x, u, 0, rows, run_avg_grad);
    return NN_OK;
}

const nn_unit_kind nn_unit_max_pool = {
    .name = "max_pool",
    .can_mask = true,
    .wants = nn_wants_channels,
    .plan = max_plan,
    .forward = max_forward,
    .backward = max_backward,
    .forward_piece = max_forward_piece,
    .backward_piece = max_backward_piece,
};

#define MAX_POOL(n)                                                                                \
    const nn_unit_kind nn_unit_##n = {                                                             \
        .name = #n,                                                                                \
        .can_mask = true,                                                                          \
        .wants = nn_wants_channels,                                                                \
        .plan = max_plan,                                                                          \
        .forward = max_forward,                                                                    \
        .backward = max_backward,                                                                  \
    }
MAX_POOL(global_max_pool);
MAX_POOL(adaptive_max_pool);

#define AVG_POOL(n)                                                                                \
    const nn_unit_kind nn_unit_##n = {                                                             \
        .name = #n,                                                                                \
        .wants = nn_wants_channels,                                                                \
        .plan = avg_plan,                                                                          \
        .forward = avg_forward,                                                                    \
        .backward = avg_backward,                                                                  \
    }
AVG_POOL(avg_pool);
AVG_POOL(adaptive_avg_pool);

/* ---- the mean over all places, or those whose token is not 0 ---- */

static bool masked(const nn_unit *u) {
    return u->n_in > 1;
}

static bool global_wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    if (!masked(u)) return nn_wants_channels(x, u, i, ret);
    const nn_shape *s = u->in[i].shape;
    *ret = nn_layout_plain(nn_shape_elements(s), s->dim[s->rank - 1]);
    return true;
}

/* What each place of the row counts for: 0, or one over the number of those that do count. */
static float share_of(const nn_unit *u, int64_t row, const float **ret_tokens) {
    int64_t places = u->in[1].shape->dim[0], n = 0;
    const float *tokens = *ret_tokens = u->in[1].x + row * places;
    for (int64_t p = 0; p < places; p++) n += tokens[p] != 0;
    return n ? 1.0f / (float)n : 0;
}

static void run_masked(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    int64_t places = u->in->shape->dim[0], n = u->in->shape->dim[1];
    for (int64_t row = begin; row < end; row++) {
        const float *tokens, *from = u->in->x + row * places * n;
        float share = share_of(u, row, &tokens), *to = u->y + row * n;
        memset(to, 0, (size_t)n * sizeof *to);
        for (int64_t p = 0; p < places; p++)
            if (tokens[p] != 0) x->k->add(n, from + p * n, to);
        x->k->scale(n, to, share);
    }
}

static void run_masked_grad(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const nn_unit *u = arg;
    int64_t places = u->in->shape->dim[0], n = u->in->shape->dim[1];
    for (int64_t row = begin; row < end; row++) {
        const float *tokens, *from = u->dy + row * n;
        float share = share_of(u, row, &tokens), *to = u->in->dx + row * places * n;
        memset(to, 0, (size_t)(places * n) * sizeof *to);
        for (int64_t p = 0; p < places; p++) {
            if (tokens[p] == 0) continue;
            memcpy(to + p * n, from, (size_t)n * sizeof *to);
            x->k->scale(n, to + p * n, share);
        }
    }
}

static nn_status global_forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    if (!masked(u)) return avg_forward(x, u, rows, err);
    nn_parallel(x, rows, (double)(rows * nn_in(x, u)->elements), run_masked, u);
    return NN_OK;
}

static nn_status global_backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    if (!masked(u)) return avg_backward(x, u, rows, err);
    if (u->in->dx) nn_parallel(x, rows, (double)(rows * nn_in(x, u)->elements), run_masked_grad, u);
    return NN_OK;
}

const nn_unit_kind nn_unit_global_avg_pool = {
    .name = "global_avg_pool",
    .tokens = 1U << 1,
    .wants = global_wants,
    .plan = avg_plan,
    .forward = global_forward,
    .backward = global_backward,
};
