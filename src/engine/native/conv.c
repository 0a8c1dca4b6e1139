/* SPDX-License-Identifier: MIT */
/* conv.c - convolutions by oneDNN, in layouts that the planner owns.
 *
 * Source and destination are in the layout of their values; the layout of the weights is the
 * forward primitive's choice and becomes that of the parameter arenas. Where a backward primitive
 * wants the weights otherwise, a reorder goes with it. Primitives are made for a number of rows:
 * those of the planned batch when opening, others the first time they are needed (a last, smaller
 * batch), and kept. Inference rounds rows up to a power of two instead: rows do not mix.
 *
 * One spatial axis is treated as two, the first of size 1. */
#include "base/mem.h"
#include "engine/native/dn.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 12 };

/* Everything for one number of rows. */
typedef struct set {
    int64_t rows;
    dnnl_primitive_desc_t forward_pd, data_pd, weights_pd; /* NULL: not needed */
    nn_dn_step forward, data, weights;
    void *scratch; /* own, if this set needs more than the executor's */
    struct set *next;
} set;

typedef struct conv {
    int rank; /* 4 or 5: rows, channels, spatial axes */
    nn_dn_conv c;
    int64_t groups, in[5], out[5], kernel[6], kernel_strides[6];
    int kernel_rank;
    bool trains, dx, winograd;
    nn_md weights;              /* execution layout */
    nn_md data_weights;         /* what backward data reads; NULL: the same */
    nn_md gradient_weights;     /* what backward weights writes; NULL: the same */
    float *data_w, *gradient_w; /* of these */
    float *piece_w, *piece_b;   /* gradients of one piece of the rows */
    nn_dn_step import, export, to_data, from_gradient;
    set *sets; /* last used first */
} conv;

/* ---- layouts ---- */

static bool is_depthwise(int64_t in, int64_t out, int64_t groups) {
    return groups == in && groups == out;
}

/* Whether channels can be in blocks on both sides, or on the output with few input channels. */
static bool output_blocked(const nn_native *x, const nn_unit *u) {
    const nn_shape *in = u->in->shape, *out = &u->node->shape;
    int64_t ic = in->dim[in->rank - 1], oc = out->dim[out->rank - 1], b = x->channel_block;
    int64_t groups = u->node->attr.conv.groups;
    if (oc % b) return false;
    if (groups > 1)
        return is_depthwise(ic, oc, groups) || (ic / groups % b == 0 && oc / groups % b == 0);
    return ic <= 3 || ic % b == 0;
}

static bool wants(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    (void)i;
    int64_t elements = nn_in(x, u)->elements;
    const nn_shape *in = u->in->shape;
    int64_t channels = in->dim[in->rank - 1];
    *ret = nn_layout_plain(elements, channels);
    if (!output_blocked(x, u)) return true;
    if (channels % x->channel_block == 0)
        ret->block = x->channel_block;
    else
        ret->block = 1; /* planes of single channels */
    return true;
}

/* dims: rows, channels, space. Blocked layouts are named by a tag, others by strides. */
static dnnl_status_t value_md(const nn_native *x, const nn_unit *u, int rank, const int64_t *dims,
                              nn_layout l, nn_md *ret) {
    if (output_blocked(x, u) && l.block == x->channel_block)
        return nn_md_new_blocked(ret, rank, dims, l.block);
    bool planes = l.block == 1;
    int64_t strides[5] = {l.spatial * l.channels, planes ? l.spatial : 1};
    int64_t step = planes ? 1 : l.channels;
    for (int a = rank - 1; a >= 2; a--) {
        strides[a] = step;
        step *= dims[a];
    }
    return nn_md_new(ret, rank, dims, strides);
}

/* The slab's [k..., in / groups, out] seen as (group,) out, in, k.... */
static void describe_kernel(conv *s, const nn_window *w) {
    int64_t in = s->in[1] / s->groups, out = s->out[1] / s->groups;
    int n = 0, spatial = s->rank - 2;
    if (s->groups > 1) {
        s->kernel[n] = s->groups;
        s->kernel_strides[n++] = out;
    }
    s->kernel[n] = out;
    s->kernel_strides[n++] = 1;
    s->kernel[n] = in;
    s->kernel_strides[n++] = s->out[1];
    s->kernel_rank = n + spatial;
    int64_t step = in * s->out[1];
    for (int a = spatial - 1; a >= 0; a--) {
        int i = a - (spatial - w->spatial);
        s->kernel[n + a] = i < 0 ? 1 : w->size[i];
        s->kernel_strides[n + a] = step;
        step *= s->kernel[n + a];
    }
}

static void describe(conv *s, const nn_node *n, const nn_shape *in, bool training, bool relu) {
    const nn_window *w = &n->attr.conv.window;
    int spatial = w->spatial < 2 ? 2 : w->spatial;
    s->rank = spatial + 2;
    s->groups = n->attr.conv.groups;
    s->in[1] = in->dim[w->spatial];
    s->out[1] = n->shape.dim[w->spatial];
    s->c = (nn_dn_conv){.training = training, .relu = relu};
    for (int a = 0; a < spatial; a++) {
        int i = a - (spatial - w->spatial);
        s->in[2 + a] = i < 0 ? 1 : in->dim[i];
        s->out[2 + a] = i < 0 ? 1 : n->shape.dim[i];
        s->c.stride[a] = i < 0 ? 1 : w->stride[i];
        s->c.dilation[a] = i < 0 ? 1 : w->dilation[i];
        s->c.before[a] = i < 0 ? 0 : w->pad_before[i];
        s->c.after[a] = i < 0 ? 0 : w->pad_after[i];
    }
    describe_kernel(s, w);
}

/* ---- primitives for a number of rows ---- */

static nn_cmd query(dnnl_primitive_desc_t pd, dnnl_query_t what) {
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

/* The descriptors for `rows`; weights in the given layouts, or free ones (any) at first. */
typedef struct layouts {
    nn_md src, dst, bias, any;
} layouts;

static void free_layouts(layouts *l) {
    nn_md_free(l->src);
    nn_md_free(l->dst);
    nn_md_free(l->bias);
    nn_md_free(l->any);
}

static dnnl_status_t make_layouts(const nn_native *x, const nn_unit *u, const conv *s, int64_t rows,
                                  layouts *l) {
    int64_t in[5], out[5];
    memcpy(in, s->in, sizeof in);
    memcpy(out, s->out, sizeof out);
    in[0] = out[0] = rows;
    int64_t one = 1;
    nn_layout source;
    (void)wants(x, u, 0, &source);
    dnnl_status_t st = value_md(x, u, s->rank, in, source, &l->src);
    if (st == dnnl_success) st = value_md(x, u, s->rank, out, nn_out(x, u)->layout, &l->dst);
    if (st == dnnl_success && u->node->attr.conv.bias)
        st = nn_md_new(&l->bias, 1, &s->out[1], &one);
    if (st == dnnl_success) st = nn_md_new(&l->any, s->kernel_rank, s->kernel, NULL);
    return st;
}

static dnnl_status_t describe_set(const nn_native *x, const conv *s, const layouts *l, set *t) {
    nn_dn_conv c = s->c;
    c.src = l->src;
    c.dst = l->dst;
    c.bias = l->bias;
    c.winograd = s->winograd;
    c.weights = s->weights ? s->weights : l->any;
    dnnl_status_t st = nn_dn_conv_forward(x->dn, &c, &t->forward_pd);
    if (st == dnnl_success && s->dx) {
        c.weights = s->data_weights ? s->data_weights : c.weights;
        st = nn_dn_conv_backward_data(x->dn, &c, t->forward_pd, &t->data_pd);
    }
    if (st == dnnl_success && s->trains) {
        c.weights = s->gradient_weights ? s->gradient_weights : s->weights ? s->weights : l->any;
        st = nn_dn_conv_backward_weights(x->dn, &c, t->forward_pd, &t->weights_pd);
    }
    return st;
}

static size_t set_scratch(const set *t) {
    size_t most = 0;
    dnnl_primitive_desc_t pds[] = {t->forward_pd, t->data_pd, t->weights_pd};
    for (int i = 0; i < 3; i++)
        if (pds[i] && nn_dn_scratch(pds[i]) > most) most = nn_dn_scratch(pds[i]);
    return most;
}

typedef struct binding {
    int arg;
    nn_cmd md;
    void *data; /* NULL: left out */
} binding;

static dnnl_status_t bind_step(const nn_native *x, dnnl_primitive_desc_t pd, nn_dn_step *step,
                               void *scratch, const binding *b, int n) {
    if (!pd) return dnnl_success;
    dnnl_status_t st = nn_dn_step_new(step, pd);
    for (int i = 0; i < n && st == dnnl_success; i++)
        if (b[i].data) st = nn_dn_step_bind(x->dn, step, b[i].arg, b[i].md, b[i].data);
    if (st == dnnl_success && nn_dn_scratch(pd))
        st = nn_dn_step_bind(x->dn, step, DNNL_ARG_SCRATCHPAD, query(pd, dnnl_query_scratchpad_md),
                             scratch);
    return st;
}

/* One primitive makes both gradients; that of a frozen weight is written too, and not used. */
static float *gradient_at(const nn_native *x, const nn_unit *u, int position) {
    return position < u->node->n_weights ? x->g + x->params[u->param[position]].at : NULL;
}

static dnnl_status_t bind_set(const nn_native *x, const nn_unit *u, const conv *s, const layouts *l,
                              set *t) {
    void *scratch = t->scratch ? t->scratch : x->scratch;
    float *w = nn_native_w(x, u, 0), *bias = nn_native_w(x, u, 1);
    nn_cmd weights = query(t->forward_pd, dnnl_query_weights_md);
    const binding forward[] = {
        {DNNL_ARG_SRC,     l->src,  u->in->x},
        {DNNL_ARG_WEIGHTS, weights, w       },
        {DNNL_ARG_BIAS,    l->bias, bias    },
        {DNNL_ARG_DST,     l->dst,  u->y    }
    };
    dnnl_status_t st = bind_step(x, t->forward_pd, &t->forward, scratch, forward, 4);
    if (st == dnnl_success && t->data_pd) {
        weights = query(t->data_pd, dnnl_query_weights_md);
        const binding data[] = {
            {DNNL_ARG_DIFF_SRC, l->src,  u->in->dx                      },
            {DNNL_ARG_WEIGHTS,  weights, s->data_weights ? s->data_w : w},
            {DNNL_ARG_DIFF_DST, l->dst,  u->dy                          }
        };
        st = bind_step(x, t->data_pd, &t->data, scratch, data, 3);
    }
    if (st == dnnl_success && t->weights_pd) {
        weights = query(t->weights_pd, dnnl_query_diff_weights_md);
        float *dw = s->gradient_weights ? s->gradient_w : gradient_at(x, u, 0);
        const binding gradients[] = {
            {DNNL_ARG_SRC,          l->src,  u->in->x     },
            {DNNL_ARG_DIFF_WEIGHTS, weights, dw           },
            {DNNL_ARG_DIFF_BIAS,    l->bias, gradient_at(x, u, 1)},
            {DNNL_ARG_DIFF_DST,                   l->dst,                          u->dy                      }
        };
        st = bind_step(x, t->weights_pd, &t->weights, scratch, gradients, 4);
    }
    return st;
}

static void free_set(set *t) {
    if (!t) return;
    dnnl_primitive_desc_t pds[] = {t->forward_pd, t->data_pd, t->weights_pd};
    for (int i = 0; i < 3; i++)
        if (pds[i]) dnnl_primitive_desc_destroy(pds[i]);
    nn_dn_step_done(&t->forward);
    nn_dn_step_done(&t->data);
    nn_dn_step_done(&t->weights);
    nn_free_large(t->scratch);
    free(t);
}

/* ---- planning ---- */

static nn_status convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                         float *exec) {
    conv *s = p->unit->state;
    nn_dn_step *step = import ? &s->import : &s->export;
    dnnl_status_t st = nn_dn_step_point(step, DNNL_ARG_FROM, import ? plain : exec);
    if (st == dnnl_success) st = nn_dn_step_point(step, DNNL_ARG_TO, import ? exec : plain);
    if (st == dnnl_success) st = nn_dn_step_run(x->dn, step);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "reorder", p->unit->node, NULL);
}

/* Keeps `md` in *ret if it is not the weights' own layout. */
static dnnl_status_t keep_other(const conv *s, nn_cmd md, nn_md *ret) {
    return dnnl_memory_desc_equal(md, s->weights) ? dnnl_success : nn_md_copy(ret, md);
}

static dnnl_status_t choose_weights(nn_native *x, conv *s, const set *t) {
    nn_md plain = NULL;
    dnnl_status_t st = nn_md_copy(&s->weights, query(t->forward_pd, dnnl_query_weights_md));
    if (st == dnnl_success && t->data_pd)
        st = keep_other(s, query(t->data_pd, dnnl_query_weights_md), &s->data_weights);
    if (st == dnnl_success && t->weights_pd)
        st = keep_other(s, query(t->weights_pd, dnnl_query_diff_weights_md), &s->gradient_weights);
    if (st == dnnl_success) st = nn_md_new(&plain, s->kernel_rank, s->kernel, s->kernel_strides);
    if (st == dnnl_success) st = nn_dn_reorder(x->dn, plain, s->weights, &s->import);
    if (st == dnnl_success) st = nn_dn_reorder(x->dn, s->weights, plain, &s->export);
    if (st == dnnl_success && s->data_weights)
        st = nn_dn_reorder(x->dn, s->weights, s->data_weights, &s->to_data);
    if (st == dnnl_success && s->gradient_weights)
        st = nn_dn_reorder(x->dn, s->gradient_weights, s->weights, &s->from_gradient);
    nn_md_free(plain);
    return st;
}

static void forget_weights(conv *s) {
    nn_dn_step *steps[] = {&s->import, &s->export, &s->to_data, &s->from_gradient};
    for (int i = 0; i < 4; i++) nn_dn_step_done(steps[i]);
    nn_md *mds[] = {&s->weights, &s->data_weights, &s->gradient_weights};
    for (int i = 0; i < 3; i++) {
        nn_md_free(*mds[i]);
        *mds[i] = NULL;
    }
}

static dnnl_status_t plan_first(nn_native *x, nn_unit *u, conv *s, bool winograd) {
    layouts l = {0};
    set *t = calloc(1, sizeof *t);
    if (!t) return dnnl_out_of_memory;
    s->winograd = winograd;
    t->rows = u->piece ? u->piece : nn_rows(x, u);
    dnnl_status_t st = make_layouts(x, u, s, t->rows, &l);
    if (st == dnnl_success) st = describe_set(x, s, &l, t);
    if (st == dnnl_success) st = choose_weights(x, s, t);
    free_layouts(&l);
    if (st == dnnl_success) {
        s->sets = t;
    } else {
        free_set(t);
        forget_weights(s);
    }
    return st;
}

static int64_t floats_of(nn_cmd md) {
    return (int64_t)(dnnl_memory_desc_get_size(md) / sizeof(float));
}

static int64_t gradient_floats(const conv *s) {
    return floats_of(s->gradient_weights ? s->gradient_weights : s->weights);
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    conv *s = u->state = NN_NEW(x->arena, conv);
    describe(s, u->node, u->in->shape, x->training, u->relu);
    s->trains = nn_native_trains(x, u, 0) || nn_native_trains(x, u, 1);
    s->dx = x->training && u->in->learns;
    nn_value *out = nn_out(x, u);
    if (output_blocked(x, u)) out->layout.block = x->channel_block;
    dnnl_status_t st = dnnl_unimplemented;
    if (x->base.options.winograd) st = plan_first(x, u, s, true);
    if (st != dnnl_success) st = plan_first(x, u, s, false);
    if (st != dnnl_success) return nn_dn_fail(st, "plan", u->node, err);
    nn_native_param(x, u, 0, floats_of(s->weights), convert);
    if (u->node->attr.conv.bias) nn_native_param(x, u, 1, s->out[1], NULL);
    nn_native_scratch(x, set_scratch(s->sets));
    if (s->data_weights)
        nn_native_wish(x, u, floats_of(s->data_weights), NN_FOR_BACKWARD, &s->data_w);
    if (s->gradient_weights)
        nn_native_wish(x, u, floats_of(s->gradient_weights), NN_FOR_BACKWARD, &s->gradient_w);
    if (!s->trains || !u->piece) return NN_OK;
    nn_native_wish(x, u, gradient_floats(s), NN_FOR_BACKWARD, &s->piece_w);
    nn_native_wish(x, u, s->out[1], NN_FOR_BACKWARD, &s->piece_b);
    return NN_OK;
}

static nn_status bind_unit(nn_native *x, nn_unit *u, nn_err *err) {
    conv *s = u->state;
    layouts l = {0};
    if (!u->backward) s->trains = false;
    dnnl_status_t st = make_layouts(x, u, s, s->sets->rows, &l);
    if (st == dnnl_success) st = bind_set(x, u, s, &l, s->sets);
    free_layouts(&l);
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "binding", u->node, err);
}

/* ---- running ---- */

static void drop_oldest(conv *s) {
    int n = 0;
    for (set **t = &s->sets; *t; t = &(*t)->next)
        if (++n == MAX_SETS) {
            free_set(*t);
            *t = NULL;
            return;
        }
}

static dnnl_status_t new_set(nn_native *x, nn_unit *u, conv *s, int64_t rows) {
    layouts l = {0};
    set *t = calloc(1, sizeof *t);
    if (!t) return dnnl_out_of_memory;
    t->rows = rows;
    dnnl_status_t st = make_layouts(x, u, s, rows, &l);
    if (st == dnnl_success) st = describe_set(x, s, &l, t);
    if (st == dnnl_success && set_scratch(t) > x->scratch_bytes) {
        t->scratch = nn_native_alloc(set_scratch(t));
        if (!t->scratch) st = dnnl_out_of_memory;
    }
    if (st == dnnl_success) st = bind_set(x, u, s, &l, t);
    free_layouts(&l);
    if (st != dnnl_success) {
        free_set(t);
        return st;
    }
    drop_oldest(s);
    t->next = s->sets;
    s->sets = t;
    return dnnl_success;
}

/* The set for so many rows, moved to the front. Inference may take more rows, up to `most`. */
static dnnl_status_t find_set(nn_native *x, nn_unit *u, int64_t rows, int64_t most, set **ret) {
    conv *s = u->state;
    int64_t up = rows;
    if (!x->training)
        for (up = 1; up < rows;) up *= 2;
    if (up > most) up = most;
    for (set **t = &s->sets; *t; t = &(*t)->next)
        if ((*t)->rows == up) {
            set *found = *t;
            *t = found->next;
            found->next = s->sets;
            s->sets = found;
            *ret = found;
            return dnnl_success;
        }
    dnnl_status_t st = new_set(x, u, s, up);
    if (st == dnnl_success) *ret = s->sets;
    return st;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The set for rows [first, first + n). In pieces the output is a piece, the input is the whole. */
static dnnl_status_t set_for(nn_native *x, nn_unit *u, int64_t first, int64_t n, set **ret) {
    int64_t batch = nn_rows(x, u);
    return find_set(x, u, n, u->piece ? smaller(u->piece, batch - first) : batch, ret);
}

static dnnl_status_t forward_rows(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    set *t;
    dnnl_status_t st = set_for(x, u, first, n, &t);
    if (st == dnnl_success && u->piece)
        st = nn_dn_step_point(&t->forward, DNNL_ARG_SRC, u->in->x + first * nn_in(x, u)->elements);
    if (st == dnnl_success) st = nn_dn_step_run(x->dn, &t->forward);
    if (st == dnnl_success && u->tail) u->tail->kind->forward_piece(x, u->tail, first, n);
    return st;
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    int64_t step = u->piece ? u->piece : rows;
    dnnl_status_t st = dnnl_success;
    for (int64_t first = 0; first < rows && st == dnnl_success; first += step)
        st = forward_rows(x, u, first, smaller(step, rows - first));
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "forward pass", u->node, err);
}

/* ---- backward ---- */

static dnnl_status_t run_reorder(nn_native *x, nn_dn_step *step, float *from, float *to) {
    dnnl_status_t st = nn_dn_step_point(step, DNNL_ARG_FROM, from);
    if (st == dnnl_success) st = nn_dn_step_point(step, DNNL_ARG_TO, to);
    return st == dnnl_success ? nn_dn_step_run(x->dn, step) : st;
}

/* The first piece writes the gradients, the others are added to them. */
static dnnl_status_t weight_gradients(nn_native *x, nn_unit *u, set *t, int64_t first) {
    conv *s = u->state;
    float *db = gradient_at(x, u, 1), *dw = gradient_at(x, u, 0);
    if (s->gradient_weights) dw = s->gradient_w;
    dnnl_status_t st = dnnl_success;
    if (u->piece) {
        st = nn_dn_step_point(&t->weights, DNNL_ARG_SRC, u->in->x + first * nn_in(x, u)->elements);
        if (st == dnnl_success)
            st = nn_dn_step_point(&t->weights, DNNL_ARG_DIFF_WEIGHTS, first ? s->piece_w : dw);
        if (st == dnnl_success && db)
            st = nn_dn_step_point(&t->weights, DNNL_ARG_DIFF_BIAS, first ? s->piece_b : db);
    }
    if (st == dnnl_success) st = nn_dn_step_run(x->dn, &t->weights);
    if (st != dnnl_success || first == 0) return st;
    x->k->add(gradient_floats(s), s->piece_w, dw);
    if (db) x->k->add(s->out[1], s->piece_b, db);
    return st;
}

static dnnl_status_t input_gradient(nn_native *x, nn_unit *u, set *t, int64_t first) {
    dnnl_status_t st = dnnl_success;
    if (u->piece)
        st = nn_dn_step_point(&t->data, DNNL_ARG_DIFF_SRC,
                              u->in->dx + first * nn_in(x, u)->elements);
    return st == dnnl_success ? nn_dn_step_run(x->dn, &t->data) : st;
}

static dnnl_status_t backward_rows(nn_native *x, nn_unit *u, int64_t first, int64_t n) {
    set *t;
    dnnl_status_t st = set_for(x, u, first, n, &t);
    if (u->tail) u->tail->kind->backward_piece(x, u->tail, first, n);
    if (st == dnnl_success && ((conv *)u->state)->trains) st = weight_gradients(x, u, t, first);
    if (st == dnnl_success && u->in->dx) st = input_gradient(x, u, t, first);
    return st;
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    conv *s = u->state;
    int64_t step = u->piece ? u->piece : rows;
    dnnl_status_t st = dnnl_success;
    if (u->in->dx && s->data_weights)
        st = run_reorder(x, &s->to_data, nn_native_w(x, u, 0), s->data_w);
    for (int64_t first = 0; first < rows && st == dnnl_success; first += step)
        st = backward_rows(x, u, first, smaller(step, rows - first));
    if (st == dnnl_success && s->trains && s->gradient_weights)
        st = run_reorder(x, &s->from_gradient, s->gradient_w, gradient_at(x, u, 0));
    return st == dnnl_success ? NN_OK : nn_dn_fail(st, "backward pass", u->node, err);
}

static void done(nn_unit *u) {
    conv *s = u->state;
    if (!s) return;
    while (s->sets) {
        set *t = s->sets;
        s->sets = t->next;
        free_set(t);
    }
    forget_weights(s);
}

const nn_unit_kind nn_unit_conv = {
    .name = "conv",
    .reads_input = true,
    .can_relu = true,
    .wants = wants,
    .plan = plan,
    .bind = bind_unit,
    .forward = forward,
    .backward = backward,
    .done = done,
};
