/* SPDX-License-Identifier: MIT */
/* convolution.c - see convolution.h. One spatial axis is treated as two, the first of size 1. */
#include "engine/native/convolution.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 12 };

/* Everything for one number of rows. */
typedef struct set {
    int64_t rows;
    dnnl_primitive_desc_t pd[NN_CONV_PASSES]; /* NULL: not needed */
    nn_dn_step step[NN_CONV_PASSES];
    void *scratch; /* own, if this set needs more than the executor's */
    struct set *next;
} set;

/* A side as oneDNN sees it: rows, channels, spatial axes; of `span` places along each of them in
 * memory. */
typedef struct side {
    int64_t dims[5], span[5];
    nn_layout layout;
} side;

struct nn_convolution {
    const nn_node *node;
    int rank; /* 4 or 5: rows, channels, spatial axes */
    nn_dn_conv c;
    side wide, narrow;
    int64_t groups, kernel[6], kernel_strides[6];
    int kernel_rank;
    bool blocked, bias, pieces, winograd, passes[NN_CONV_PASSES];
    nn_conv_pass first;
    nn_md weights;               /* execution layout; NULL until it is chosen */
    nn_md other[NN_CONV_PASSES]; /* the layout of a pass; NULL: the same */
    float *other_w, *gradient_w; /* of these */
    float *piece_w, *piece_b;    /* gradients of one piece of the rows */
    nn_dn_step import, export, to_other, from_gradient;
    set *sets; /* last used first */
};

/* ---- layouts ---- */

static int64_t channels_of(const nn_shape *s) {
    return s->dim[s->rank - 1];
}

/* Zeros behind the wide side that the windows reach; negative: places that they do not reach. */
static int64_t pad_after(const nn_conv_spec *s, int a) {
    const nn_window *w = s->window;
    return (s->narrow->dim[a] - 1) * w->stride[a] + (w->size[a] - 1) * w->dilation[a] + 1 -
           w->pad_before[a] - s->wide->dim[a];
}

/* oneDNN 2.6 takes its reference loop for the kernel's gradient of blocked tensors (but a matrix
 * product for plain ones) with more zeros than half a window on a side, as causal padding has, and
 * with dilations along three axes. */
static bool has_slow_gradient(const nn_conv_spec *s) {
    const nn_window *w = s->window;
    for (int a = 0; a < w->spatial; a++) {
        int64_t half = ((w->size[a] - 1) * w->dilation[a] + 1) / 2;
        if (w->pad_before[a] > half || pad_after(s, a) > half) return true;
        if (w->spatial == 3 && w->dilation[a] > 1) return true;
    }
    return false;
}

/* Whether more places are left at the end of the wide side than oneDNN allows. */
static bool is_cut(const nn_conv_spec *s, int a) {
    return -pad_after(s, a) >= s->window->stride[a];
}

/* Whether channels can be in blocks on both sides, or on the narrow one with few wide ones. */
static bool blocked(const nn_native *x, const nn_conv_spec *s) {
    int64_t wide = channels_of(s->wide), narrow = channels_of(s->narrow), b = x->channel_block;
    if (narrow % b || (s->passes[NN_CONV_WEIGHTS] && has_slow_gradient(s))) return false;
    for (int a = 0; a < s->window->spatial; a++)
        if (is_cut(s, a)) return false;
    if (s->groups > 1)
        return (s->groups == wide && s->groups == narrow) ||
               (wide / s->groups % b == 0 && narrow / s->groups % b == 0);
    return (wide <= 3 && !s->passes[NN_CONV_BACK]) || wide % b == 0;
}

void nn_conv_layouts(const nn_native *x, nn_conv_spec *s) {
    int64_t wide = channels_of(s->wide), narrow = channels_of(s->narrow);
    s->wide_layout = nn_layout_plain(nn_shape_elements(s->wide), wide);
    s->narrow_layout = nn_layout_plain(nn_shape_elements(s->narrow), narrow);
    s->blocked = blocked(x, s);
    if (!s->blocked) return;
    s->narrow_layout.block = x->channel_block;
    s->wide_layout.block = wide % x->channel_block == 0 ? x->channel_block : 1;
}

/* Blocked layouts are named by a tag, others by strides. */
static dnnl_status_t side_md(const nn_native *x, const nn_convolution *c, const side *s,
                             int64_t rows, nn_md *ret) {
    int64_t dims[5], strides[5];
    memcpy(dims, s->dims, sizeof dims);
    dims[0] = rows;
    nn_layout l = s->layout;
    if (c->blocked && l.block == x->channel_block)
        return nn_md_new_blocked(ret, c->rank, dims, l.block);
    bool planes = c->blocked && l.block == 1;
    strides[0] = l.spatial * l.channels;
    strides[1] = planes ? l.spatial : 1;
    int64_t step = planes ? 1 : l.channels;
    for (int a = c->rank - 1; a >= 2; a--) {
        strides[a] = step;
        step *= s->span[a];
    }
    return nn_md_new(ret, c->rank, dims, strides);
}

/* ---- what is convolved ---- */

/* The slab's [k..., wide / groups, narrow] seen as (group,) narrow, wide, k.... */
static void describe_kernel(nn_convolution *c, const nn_window *w) {
    int64_t wide = c->wide.dims[1] / c->groups, narrow = c->narrow.dims[1] / c->groups;
    int n = 0, spatial = c->rank - 2;
    if (c->groups > 1) {
        c->kernel[n] = c->groups;
        c->kernel_strides[n++] = narrow;
    }
    c->kernel[n] = narrow;
    c->kernel_strides[n++] = 1;
    c->kernel[n] = wide;
    c->kernel_strides[n++] = c->narrow.dims[1];
    c->kernel_rank = n + spatial;
    int64_t step = wide * c->narrow.dims[1];
    for (int a = spatial - 1; a >= 0; a--) {
        int i = a - (spatial - w->spatial);
        c->kernel[n + a] = i < 0 ? 1 : w->size[i];
        c->kernel_strides[n + a] = step;
        step *= c->kernel[n + a];
    }
}

/* Spatial axis i of the window. */
static void describe_axis(nn_convolution *c, int a, const nn_conv_spec *s, int i) {
    const nn_window *w = s->window;
    int64_t after = pad_after(s, i), wide = s->wide->dim[i];
    c->c.stride[a] = w->stride[i];
    c->c.dilation[a] = w->dilation[i];
    c->c.before[a] = w->pad_before[i];
    c->c.after[a] = after > 0 ? after : 0;
    c->wide.span[2 + a] = wide;
    c->wide.dims[2 + a] = is_cut(s, i) ? wide + after : wide;
    c->narrow.span[2 + a] = c->narrow.dims[2 + a] = s->narrow->dim[i];
}

/* One that the window does not have. */
static void describe_no_axis(nn_convolution *c, int a) {
    c->c.stride[a] = c->c.dilation[a] = 1;
    c->wide.span[2 + a] = c->wide.dims[2 + a] = 1;
    c->narrow.span[2 + a] = c->narrow.dims[2 + a] = 1;
}

static void describe(nn_convolution *c, const nn_conv_spec *s, bool training) {
    const nn_window *w = s->window;
    int spatial = w->spatial < 2 ? 2 : w->spatial;
    c->rank = spatial + 2;
    c->groups = s->groups;
    c->blocked = s->blocked;
    c->bias = s->bias;
    c->pieces = s->pieces;
    c->first = s->first;
    c->c = (nn_dn_conv){.training = training || s->first == NN_CONV_BACK, .relu = s->relu};
    c->wide.layout = s->wide_layout;
    c->narrow.layout = s->narrow_layout;
    c->wide.dims[1] = channels_of(s->wide);
    c->narrow.dims[1] = channels_of(s->narrow);
    memcpy(c->passes, s->passes, sizeof c->passes);
    for (int a = 0; a < spatial; a++) {
        int i = a - (spatial - w->spatial);
        if (i < 0)
            describe_no_axis(c, a);
        else
            describe_axis(c, a, s, i);
    }
    describe_kernel(c, w);
}

bool nn_convolution_covers(const nn_convolution *c) {
    return memcmp(c->wide.dims + 2, c->wide.span + 2, 3 * sizeof *c->wide.dims) == 0;
}

/* ---- primitives for a number of rows ---- */

static nn_cmd query(dnnl_primitive_desc_t pd, dnnl_query_t what) {
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

/* The descriptors for a number of rows; the kernel's is free (any) at first. */
typedef struct layouts {
    nn_md wide, narrow, bias, any;
} layouts;

static void free_layouts(layouts *l) {
    nn_md_free(l->wide);
    nn_md_free(l->narrow);
    nn_md_free(l->bias);
    nn_md_free(l->any);
}

static dnnl_status_t make_layouts(const nn_native *x, const nn_convolution *c, int64_t rows,
                                  layouts *l) {
    int64_t one = 1;
    dnnl_status_t st = side_md(x, c, &c->wide, rows, &l->wide);
    if (st == dnnl_success) st = side_md(x, c, &c->narrow, rows, &l->narrow);
    if (st == dnnl_success && c->bias) st = nn_md_new(&l->bias, 1, &c->narrow.dims[1], &one);
    if (st == dnnl_success) st = nn_md_new(&l->any, c->kernel_rank, c->kernel, NULL);
    return st;
}

static nn_cmd kernel_of(const nn_convolution *c, const layouts *l, nn_conv_pass pass) {
    if (!c->weights || !c->passes[pass]) return l->any;
    return c->other[pass] ? c->other[pass] : c->weights;
}

/* The descriptor of OUT is made in any case: the others ask for it. */
static dnnl_status_t describe_set(const nn_native *x, const nn_convolution *c, const layouts *l,
                                  set *t) {
    nn_dn_conv d = c->c;
    d.src = l->wide;
    d.dst = l->narrow;
    d.bias = l->bias;
    d.winograd = c->winograd;
    d.weights = kernel_of(c, l, NN_CONV_OUT);
    dnnl_status_t st = nn_dn_conv_forward(x->dn, &d, &t->pd[NN_CONV_OUT]);
    if (st == dnnl_success && c->passes[NN_CONV_BACK]) {
        d.weights = kernel_of(c, l, NN_CONV_BACK);
        st = nn_dn_conv_backward_data(x->dn, &d, t->pd[NN_CONV_OUT], &t->pd[NN_CONV_BACK]);
    }
    if (st == dnnl_success && c->passes[NN_CONV_WEIGHTS]) {
        d.weights = kernel_of(c, l, NN_CONV_WEIGHTS);
        st = nn_dn_conv_backward_weights(x->dn, &d, t->pd[NN_CONV_OUT], &t->pd[NN_CONV_WEIGHTS]);
    }
    return st;
}

static size_t set_scratch(const set *t) {
    size_t most = 0;
    for (int i = 0; i < NN_CONV_PASSES; i++)
        if (t->pd[i] && nn_dn_scratch(t->pd[i]) > most) most = nn_dn_scratch(t->pd[i]);
    return most;
}

typedef struct binding {
    int arg;
    nn_cmd md; /* NULL: left out */
} binding;

static dnnl_status_t bind_pass(const nn_native *x, const nn_convolution *c, set *t,
                               nn_conv_pass pass, const binding *b, int n) {
    dnnl_primitive_desc_t pd = t->pd[pass];
    if (!c->passes[pass]) return dnnl_success;
    dnnl_status_t st = nn_dn_step_new(&t->step[pass], pd);
    for (int i = 0; i < n && st == dnnl_success; i++)
        if (b[i].md) st = nn_dn_step_bind(x->dn, &t->step[pass], b[i].arg, b[i].md, NULL);
    if (st == dnnl_success && nn_dn_scratch(pd))
        st = nn_dn_step_bind(x->dn, &t->step[pass], DNNL_ARG_SCRATCHPAD,
                             query(pd, dnnl_query_scratchpad_md),
                             t->scratch ? t->scratch : x->scratch);
    return st;
}

static dnnl_status_t bind_set(const nn_native *x, const nn_convolution *c, const layouts *l,
                              set *t) {
    const binding out[] = {
        {DNNL_ARG_SRC,     l->wide                 },
        {DNNL_ARG_WEIGHTS, query(t->pd[NN_CONV_OUT], dnnl_query_weights_md)},
        {DNNL_ARG_BIAS,                l->bias                           },
        {DNNL_ARG_DST,                l->narrow }
    };
    dnnl_status_t st = bind_pass(x, c, t, NN_CONV_OUT, out, 4);
    if (st == dnnl_success && t->pd[NN_CONV_BACK]) {
        const binding back[] = {
            {DNNL_ARG_DIFF_SRC, l->wide                  },
            {DNNL_ARG_WEIGHTS,  query(t->pd[NN_CONV_BACK], dnnl_query_weights_md)},
            {DNNL_ARG_DIFF_DST,                 l->narrow                         }
        };
        st = bind_pass(x, c, t, NN_CONV_BACK, back, 3);
    }
    if (st == dnnl_success && t->pd[NN_CONV_WEIGHTS]) {
        const binding weights[] = {
            {DNNL_ARG_SRC,          l->wide                     },
            {DNNL_ARG_DIFF_WEIGHTS, query(t->pd[NN_CONV_WEIGHTS], dnnl_query_diff_weights_md)},
            {DNNL_ARG_DIFF_BIAS,                     l->bias                               },
            {DNNL_ARG_DIFF_DST,                     l->narrow }
        };
        st = bind_pass(x, c, t, NN_CONV_WEIGHTS, weights, 4);
    }
    return st;
}

static void free_set(set *t) {
    if (!t) return;
    for (int i = 0; i < NN_CONV_PASSES; i++) {
        if (t->pd[i]) dnnl_primitive_desc_destroy(t->pd[i]);
        nn_dn_step_done(&t->step[i]);
    }
    nn_free_large(t->scratch);
    free(t);
}

/* ---- planning ---- */

nn_status nn_convolution_convert(const nn_native *x, nn_convolution *c, bool import, float *plain,
                                 float *exec) {
    nn_dn_step *step = import ? &c->import : &c->export;
    dnnl_status_t st = nn_dn_step_point(step, DNNL_ARG_FROM, import ? plain : exec);
    if (st == dnnl_success) st = nn_dn_step_point(step, DNNL_ARG_TO, import ? exec : plain);
    if (st == dnnl_success) st = nn_dn_step_run(x->dn, step);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "reorder", c->node, NULL);
}

static nn_cmd kernel_chosen(const set *t, nn_conv_pass pass) {
    return query(t->pd[pass],
                 pass == NN_CONV_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md);
}

static nn_conv_pass second(const nn_convolution *c) {
    return c->first == NN_CONV_OUT ? NN_CONV_BACK : NN_CONV_OUT;
}

static dnnl_status_t choose_weights(nn_native *x, nn_convolution *c, const set *t) {
    nn_md plain = NULL;
    nn_md chosen = NULL;
    dnnl_status_t st = nn_md_copy(&chosen, kernel_chosen(t, c->first));
    for (int p = 0; p < NN_CONV_PASSES && st == dnnl_success; p++)
        if (c->passes[p] && !dnnl_memory_desc_equal(kernel_chosen(t, (nn_conv_pass)p), chosen))
            st = nn_md_copy(&c->other[p], kernel_chosen(t, (nn_conv_pass)p));
    c->weights = chosen;
    nn_cmd other = c->other[second(c)], gradient = c->other[NN_CONV_WEIGHTS];
    if (st == dnnl_success) st = nn_md_new(&plain, c->kernel_rank, c->kernel, c->kernel_strides);
    if (st == dnnl_success) st = nn_dn_reorder(x->dn, plain, chosen, &c->import);
    if (st == dnnl_success) st = nn_dn_reorder(x->dn, chosen, plain, &c->export);
    if (st == dnnl_success && other) st = nn_dn_reorder(x->dn, chosen, other, &c->to_other);
    if (st == dnnl_success && gradient)
        st = nn_dn_reorder(x->dn, gradient, chosen, &c->from_gradient);
    nn_md_free(plain);
    return st;
}

static void forget_weights(nn_convolution *c) {
    nn_dn_step *steps[] = {&c->import, &c->export, &c->to_other, &c->from_gradient};
    for (int i = 0; i < 4; i++) nn_dn_step_done(steps[i]);
    nn_md *mds[] = {&c->weights, &c->other[0], &c->other[1], &c->other[2]};
    for (int i = 0; i < 4; i++) {
        nn_md_free(*mds[i]);
        *mds[i] = NULL;
    }
}

static dnnl_status_t plan_first(nn_native *x, nn_convolution *c, int64_t rows, bool winograd) {
    layouts l = {0};
    set *t = calloc(1, sizeof *t);
    if (!t) return dnnl_out_of_memory;
    c->winograd = winograd;
    t->rows = rows;
    dnnl_status_t st = make_layouts(x, c, rows, &l);
    if (st == dnnl_success) st = describe_set(x, c, &l, t);
    if (st == dnnl_success) st = choose_weights(x, c, t);
    free_layouts(&l);
    if (st == dnnl_success) {
        c->sets = t;
    } else {
        free_set(t);
        forget_weights(c);
    }
    return st;
}

static int64_t floats_of(nn_cmd md) {
    return (int64_t)(dnnl_memory_desc_get_size(md) / sizeof(float));
}

int64_t nn_convolution_floats(const nn_convolution *c) {
    return floats_of(c->weights);
}

static int64_t gradient_floats(const nn_convolution *c) {
    return floats_of(c->other[NN_CONV_WEIGHTS] ? c->other[NN_CONV_WEIGHTS] : c->weights);
}

static void wish(nn_native *x, nn_unit *u, nn_convolution *c) {
    nn_md other = c->other[second(c)];
    nn_native_scratch(x, set_scratch(c->sets));
    if (other) nn_native_wish(x, u, floats_of(other), NN_FOR_BACKWARD, &c->other_w);
    if (c->other[NN_CONV_WEIGHTS])
        nn_native_wish(x, u, gradient_floats(c), NN_FOR_BACKWARD, &c->gradient_w);
    if (!c->passes[NN_CONV_WEIGHTS] || !c->pieces) return;
    nn_native_wish(x, u, gradient_floats(c), NN_FOR_BACKWARD, &c->piece_w);
    nn_native_wish(x, u, c->narrow.dims[1], NN_FOR_BACKWARD, &c->piece_b);
}

nn_status nn_convolution_new(nn_native *x, nn_unit *u, const nn_conv_spec *s, nn_convolution **ret,
                             nn_err *err) {
    nn_convolution *c = NN_NEW(x->arena, nn_convolution);
    c->node = u->node;
    describe(c, s, x->training);
    dnnl_status_t st = dnnl_unimplemented;
    if (x->base.options.winograd) st = plan_first(x, c, s->rows, true);
    if (st != dnnl_success) st = plan_first(x, c, s->rows, false);
    if (st != dnnl_success) return nn_dn_fail(st, "plan", u->node, err);
    wish(x, u, c);
    *ret = c;
    return NN_OK;
}

nn_status nn_convolution_bind(nn_native *x, nn_convolution *c, nn_err *err) {
    layouts l = {0};
    dnnl_status_t st = make_layouts(x, c, c->sets->rows, &l);
    if (st == dnnl_success) st = bind_set(x, c, &l, c->sets);
    free_layouts(&l);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "binding", c->node, err);
}

void nn_convolution_free(nn_convolution *c) {
    if (!c) return;
    while (c->sets) {
        set *t = c->sets;
        c->sets = t->next;
        free_set(t);
    }
    forget_weights(c);
}

/* ---- running ---- */

static void drop_oldest(nn_convolution *c) {
    int n = 0;
    for (set **t = &c->sets; *t; t = &(*t)->next)
        if (++n == MAX_SETS) {
            free_set(*t);
            *t = NULL;
            return;
        }
}

static dnnl_status_t new_set(nn_native *x, nn_convolution *c, int64_t rows) {
    layouts l = {0};
    set *t = calloc(1, sizeof *t);
    if (!t) return dnnl_out_of_memory;
    t->rows = rows;
    dnnl_status_t st = make_layouts(x, c, rows, &l);
    if (st == dnnl_success) st = describe_set(x, c, &l, t);
    if (st == dnnl_success && set_scratch(t) > x->scratch_bytes) {
        t->scratch = nn_native_alloc(set_scratch(t));
        if (!t->scratch) st = dnnl_out_of_memory;
    }
    if (st == dnnl_success) st = bind_set(x, c, &l, t);
    free_layouts(&l);
    if (st != dnnl_success) {
        free_set(t);
        return st;
    }
    drop_oldest(c);
    t->next = c->sets;
    c->sets = t;
    return dnnl_success;
}

/* The set for so many rows, moved to the front. */
static dnnl_status_t find_set(nn_native *x, nn_convolution *c, nn_conv_rows r, set **ret) {
    int64_t up = r.n;
    if (!x->training)
        for (up = 1; up < r.n;) up *= 2;
    if (up > r.most) up = r.most;
    for (set **t = &c->sets; *t; t = &(*t)->next)
        if ((*t)->rows == up) {
            set *found = *t;
            *t = found->next;
            found->next = c->sets;
            c->sets = found;
            *ret = found;
            return dnnl_success;
        }
    dnnl_status_t st = new_set(x, c, up);
    if (st == dnnl_success) *ret = c->sets;
    return st;
}

/* Where an argument of a primitive is; NULL: it has none. */
typedef struct place {
    int arg;
    float *data;
} place;

static dnnl_status_t run_pass(nn_native *x, nn_convolution *c, nn_conv_pass pass, nn_conv_rows r,
                              const place *at, int n) {
    set *t = NULL;
    dnnl_status_t st = find_set(x, c, r, &t);
    for (int i = 0; i < n && st == dnnl_success; i++)
        if (at[i].data) st = nn_dn_step_point(&t->step[pass], at[i].arg, at[i].data);
    return st == dnnl_success ? nn_dn_step_run(x->dn, &t->step[pass]) : st;
}

static float *kernel_at(const nn_convolution *c, nn_conv_pass pass, float *w) {
    return c->other[pass] ? c->other_w : w;
}

dnnl_status_t nn_convolution_out(nn_native *x, nn_convolution *c, nn_conv_rows r, float *wide,
                                 float *w, float *bias, float *narrow) {
    const place at[] = {
        {DNNL_ARG_SRC,           wide               },
        {DNNL_ARG_WEIGHTS,       kernel_at(c,         NN_CONV_OUT, w)},
        {DNNL_ARG_BIAS,                    c->bias ? bias : NULL                                      },
        {DNNL_ARG_DST,narrow}
    };
    return run_pass(x, c, NN_CONV_OUT, r, at, 4);
}

dnnl_status_t nn_convolution_back(nn_native *x, nn_convolution *c, nn_conv_rows r, float *narrow,
                                  float *w, float *wide) {
    const place at[] = {
        {DNNL_ARG_DIFF_SRC, wide       },
        {DNNL_ARG_WEIGHTS,  kernel_at(c, NN_CONV_BACK, w)},
        {DNNL_ARG_DIFF_DST,               narrow                         }
    };
    return run_pass(x, c, NN_CONV_BACK, r, at, 3);
}

static dnnl_status_t run_reorder(nn_native *x, nn_dn_step *step, float *from, float *to) {
    dnnl_status_t st = nn_dn_step_point(step, DNNL_ARG_FROM, from);
    if (st == dnnl_success) st = nn_dn_step_point(step, DNNL_ARG_TO, to);
    return st == dnnl_success ? nn_dn_step_run(x->dn, step) : st;
}

dnnl_status_t nn_convolution_prepare(nn_native *x, nn_convolution *c, float *w) {
    return c->other[second(c)] ? run_reorder(x, &c->to_other, w, c->other_w) : dnnl_success;
}

dnnl_status_t nn_convolution_weights(nn_native *x, nn_convolution *c, nn_conv_rows r, float *wide,
                                     float *narrow, float *dw, float *db, bool add) {
    if (c->gradient_w) dw = c->gradient_w;
    const place at[] = {
        {DNNL_ARG_SRC,          wide                                    },
        {DNNL_ARG_DIFF_WEIGHTS, add ? c->piece_w : dw                   },
        {DNNL_ARG_DIFF_BIAS,    c->bias ? (add ? c->piece_b : db) : NULL},
        {DNNL_ARG_DIFF_DST,     narrow                                  }
    };
    dnnl_status_t st = run_pass(x, c, NN_CONV_WEIGHTS, r, at, 4);
    if (st != dnnl_success || !add) return st;
    x->k->add(gradient_floats(c), c->piece_w, dw);
    if (db) x->k->add(c->narrow.dims[1], c->piece_b, db);
    return st;
}

dnnl_status_t nn_convolution_finish(nn_native *x, nn_convolution *c, float *dw) {
    return c->gradient_w ? run_reorder(x, &c->from_gradient, c->gradient_w, dw) : dnnl_success;
}
