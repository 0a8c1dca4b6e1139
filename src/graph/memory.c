/* SPDX-License-Identifier: MIT */
/* memory.c - what running a graph takes, estimated by planning it as engine/native/plan.c does.
 *
 * As there: nodes become units and values; a relu joins the product before it, reshapes and (in
 * inference) dropout vanish, convolutions keep their channels in blocks and values are copied where
 * a reader wants another layout, a convolution that only a maximum pooling reads runs piece by
 * piece. Every value, gradient and helper lives for a span of time: forward of unit i is time i,
 * the loss time n, backward of unit i time 2n - i, the update time 2n + 1. Where the engine places
 * blocks, this takes the largest sum that is alive at once, which the placing comes close to.
 *
 * What depends on the processor is taken as it mostly is: blocks of 16 channels, four threads, and
 * for a convolution's scratch memory a copy of its kernel for each thread but one. Ops that the
 * native engine does not run yet are planned in the same way: inputs kept for backward, no layout
 * of their own. Sizes are doubles: they are only ever added and multiplied, and cannot overflow. */
#include "graph/graph.h"

enum { BLOCK = 16, PANEL = 32, THREADS = 4, PIECE_BYTES = 2 << 20, GRAD_ROWS = 256, SHARING = 8 };

typedef struct layout {
    double spatial;
    int64_t channels, block;
} layout;

typedef struct value {
    double elements; /* a row */
    double rows;     /* that its memory holds */
    layout layout;
    int unit; /* that makes it; -1: an input */
    int last_read, last_kept;
    bool persistent, learns, reaches;
    int gradients, grad_from;
} value;

typedef struct unit {
    const nn_node *node; /* NULL: a copy into another layout */
    int n_in;
    int *in, out; /* values */
    int time;
    bool piece, relu, mask_dy, backward;
    double kept;   /* floats from forward to backward */
    double behind; /* floats in backward */
} unit;

/* What a unit of an op needs besides its values. */
enum {
    READS_INPUT = 1,  /* in backward */
    READS_OUTPUT = 2, /* in backward */
    CAN_MASK = 4,     /* takes over the gradient of a relu before it */
    UPDATES = 8,      /* its own memory is needed until the update */
    ANY_LAYOUT = 16,  /* the output is in that of the input */
    CHANNELS = 32,    /* likewise, if the channels are the last axis */
    VANISHES = 64     /* computes nothing */
};

static const unsigned char traits[NN_OP_COUNT] = {
    [NN_OP_MATMUL] = READS_INPUT | CAN_MASK,
    [NN_OP_CONV] = READS_INPUT | CAN_MASK,
    [NN_OP_CONV_TRANSPOSE] = READS_INPUT,
    [NN_OP_MAX_POOL] = CAN_MASK | CHANNELS,
    [NN_OP_AVG_POOL] = CHANNELS,
    [NN_OP_GLOBAL_MAX_POOL] = CAN_MASK | CHANNELS,
    [NN_OP_GLOBAL_AVG_POOL] = CHANNELS,
    [NN_OP_ADAPTIVE_MAX_POOL] = CAN_MASK | CHANNELS,
    [NN_OP_ADAPTIVE_AVG_POOL] = CHANNELS,
    [NN_OP_UPSAMPLE] = CHANNELS,
    [NN_OP_PAD] = CHANNELS,
    [NN_OP_CROP] = CHANNELS,
    [NN_OP_BATCH_NORM] = READS_INPUT | UPDATES | CHANNELS,
    [NN_OP_LAYER_NORM] = READS_INPUT,
    [NN_OP_GROUP_NORM] = READS_INPUT,
    [NN_OP_ACTIVATION] = READS_INPUT | ANY_LAYOUT,
    [NN_OP_PRELU] = READS_INPUT,
    [NN_OP_CLIP] = READS_INPUT,
    [NN_OP_SOFTMAX] = READS_OUTPUT,
    [NN_OP_DROPOUT] = ANY_LAYOUT,
    [NN_OP_ACTIVITY_REG] = READS_INPUT,
    [NN_OP_EMBEDDING] = READS_INPUT,
    [NN_OP_RNN] = READS_INPUT | READS_OUTPUT,
    [NN_OP_ATTENTION] = READS_INPUT,
    [NN_OP_MERGE] = READS_INPUT,
    [NN_OP_DOT] = READS_INPUT,
    [NN_OP_FOLD] = VANISHES,
    [NN_OP_UNFOLD] = VANISHES,
};

typedef struct plan {
    const nn_graph *g;
    nn_arena *arena;
    bool training, deferring;
    double batch;
    value *values;
    int n_values;
    unit *units;
    int n_units;
    int *value_of, *uses; /* by node */
    bool *relu, *pooled;  /* by node: a relu joins it; only a pooling reads it */
    int loss;             /* node; -1: none */
    double *change;       /* by time: bytes that begin to live, less those that end */
    double floats;        /* of weights, as the engine holds them */
    double scratch, pack; /* floats */
    double folded;        /* floats: weights as they were before normalisations joined them */
} plan;

static double elements_of(const nn_node *n) {
    double e = (double)(n->fold > 0 ? n->fold : 1);
    for (int i = 0; i < n->shape.rank; i++) e *= (double)n->shape.dim[i];
    return e;
}

static int64_t last_axis(const nn_shape *s) {
    return s->rank ? s->dim[s->rank - 1] : 1;
}

static const nn_node *input_of(const plan *p, const nn_node *n) {
    return &p->g->nodes[n->inputs[0]];
}

static bool is_plain(layout l) {
    return l.block == l.channels || l.spatial == 1;
}

static layout plain(double elements, int64_t channels) {
    return (layout){elements / (double)channels, channels, channels};
}

/* ---- weights ---- */

/* Floats of a k x n matrix in panels, the last of which may be half as wide. */
static double panel_floats(double k, int64_t n) {
    int64_t panels = (n + PANEL - 1) / PANEL;
    bool half = n - (panels - 1) * PANEL <= PANEL / 2;
    return k * (double)(panels * PANEL - half * (PANEL / 2));
}

static double kernel_floats(const nn_weight *w) {
    int64_t out = last_axis(&w->shape);
    return (double)(w->elements / out) * (double)((out + BLOCK - 1) / BLOCK * BLOCK);
}

static double weight_floats(const nn_node *n, const nn_weight *w, int position) {
    if (position > 0) return (double)w->elements;
    if (n->op == NN_OP_CONV || n->op == NN_OP_CONV_TRANSPOSE) return kernel_floats(w);
    if (n->op != NN_OP_MATMUL) return (double)w->elements;
    return panel_floats((double)w->shape.dim[0], w->shape.dim[1]);
}

static void count_weights(plan *p) {
    for (int i = 0; i < p->g->n_nodes; i++) {
        const nn_node *n = &p->g->nodes[i];
        for (int k = 0; k < n->n_weights; k++) {
            double floats = weight_floats(n, &p->g->weights[n->weights[k]], k);
            p->floats += (double)(((int64_t)floats + 15) / 16 * 16);
        }
    }
}

static bool trains(const plan *p, const nn_node *n) {
    for (int i = 0; n && p->training && i < n->n_weights; i++)
        if (p->g->weights[n->weights[i]].trainable) return true;
    return false;
}

/* ---- units and values ---- */

static value *in_of(const plan *p, const unit *u) {
    return &p->values[u->in[0]];
}
static value *out_of(const plan *p, const unit *u) {
    return &p->values[u->out];
}
static unsigned traits_of(const unit *u) {
    return u->node ? traits[u->node->op] : 0;
}

static int new_value(plan *p, double elements, layout l, int by) {
    p->values[p->n_values] =
        (value){.elements = elements, .rows = p->batch, .layout = l, .unit = by, .last_read = by};
    return p->n_values++;
}

static unit *new_unit(plan *p, const nn_node *n, int *in, int n_in) {
    unit *u = &p->units[p->n_units];
    *u = (unit){.node = n, .in = in, .n_in = n_in, .time = p->n_units};
    return u;
}

static void finish_unit(plan *p, unit *u) {
    bool learns = trains(p, u->node);
    for (int i = 0; i < u->n_in; i++) {
        p->values[u->in[i]].last_read = p->n_units;
        learns = learns || p->values[u->in[i]].learns;
    }
    out_of(p, u)->learns = learns;
    p->n_units++;
}

static void in_layout(plan *p, layout l, int *at) {
    layout have = p->values[*at].layout;
    if ((is_plain(have) && is_plain(l)) || (have.channels == l.channels && have.block == l.block))
        return;
    int *in = NN_NEW(p->arena, int);
    *in = *at;
    unit *u = new_unit(p, NULL, in, 1);
    *at = u->out = new_value(p, p->values[*at].elements, l, p->n_units);
    finish_unit(p, u);
}

/* Whether a convolution has its channels in blocks: on both sides, or with few of them only on the
 * side of one place a window. A transposed one goes from that side to the other. */
static bool channels_blocked(const plan *p, const nn_node *n, const value *in) {
    bool back = n->op == NN_OP_CONV_TRANSPOSE;
    if (n->op != NN_OP_CONV && !back) return false;
    int64_t from = last_axis(&input_of(p, n)->shape), to = last_axis(&n->shape);
    int64_t wide = back ? to : from, narrow = back ? from : to;
    int64_t groups = back ? n->attr.conv_transpose.groups : n->attr.conv.groups;
    if (narrow % BLOCK) return false;
    if (groups > 1)
        return (groups == wide && groups == narrow) ||
               (wide / groups % BLOCK == 0 && narrow / groups % BLOCK == 0);
    return (wide <= 3 && !back && !(p->training && in->learns)) || wide % BLOCK == 0;
}

/* The layout in which n reads `at`. */
static layout wanted(const plan *p, const nn_node *n, int at) {
    const value *v = &p->values[at];
    int64_t channels = last_axis(&input_of(p, n)->shape);
    layout want = plain(v->elements, channels);
    if (channels_blocked(p, n, v)) want.block = channels % BLOCK == 0 ? BLOCK : 1;
    bool as_it_is = traits[n->op] & ANY_LAYOUT ||
                    (n->op == NN_OP_MATMUL && input_of(p, n)->shape.rank == 1) ||
                    (traits[n->op] & CHANNELS && v->layout.channels == channels);
    return as_it_is ? v->layout : want;
}

static layout output_layout(const plan *p, const unit *u) {
    const nn_node *n = u->node;
    layout in = in_of(p, u)->layout, out = plain(elements_of(n), last_axis(&n->shape));
    if (traits[n->op] & ANY_LAYOUT) return in;
    if (channels_blocked(p, n, in_of(p, u))) out.block = BLOCK;
    if (traits[n->op] & CHANNELS && in.channels == out.channels) out.block = in.block;
    return out;
}

/* ---- what ops need besides ---- */

/* A matrix product's gradient: a panel of dy, and x where many panels share it, some rows of them.
 */
static void need_pack(plan *p, double rows, int64_t n, double k) {
    bool shared = (n + PANEL - 1) / PANEL >= SHARING;
    double floats = (rows < GRAD_ROWS ? rows : GRAD_ROWS) * (PANEL + (shared ? k : 0));
    if (floats > p->pack) p->pack = floats;
}

static void need_matmul(plan *p, unit *u) {
    const nn_weight *w = &p->g->weights[u->node->weights[0]];
    double per_row = in_of(p, u)->elements / (double)w->shape.dim[0];
    if (!p->training) return;
    if (in_of(p, u)->learns) u->behind = panel_floats((double)w->shape.dim[1], w->shape.dim[0]);
    need_pack(p, p->batch * per_row, w->shape.dim[1], (double)w->shape.dim[0]);
}

/* Its kernel in the layout of the input's gradient, that of a piece, and of each thread but one. */
static void need_conv(plan *p, unit *u) {
    double kernel = kernel_floats(&p->g->weights[u->node->weights[0]]);
    double rows = out_of(p, u)->rows, copies = rows < 2 ? 1 : (rows < THREADS ? rows : THREADS) - 1;
    if (!p->training) return;
    u->behind = (in_of(p, u)->learns ? kernel : 0) + (u->piece ? kernel : 0);
    if (trains(p, u->node) && copies * kernel > p->scratch) p->scratch = copies * kernel;
}

static bool is_small(const nn_window *w) {
    for (int i = 0; i < w->spatial; i++)
        if (w->size[i] != 2 || w->stride[i] != 2 || w->dilation[i] != 1 || w->pad_before[i])
            return false;
    return w->spatial < 3;
}

static void need_max_pool(plan *p, unit *u) {
    u->kept = out_of(p, u)->elements * p->batch / (is_small(&u->node->attr.pool) ? 4 : 1);
}

static void need_norm(plan *p, unit *u) {
    (void)p;
    u->kept = 2 * (double)last_axis(&u->node->shape);
}

static void need_factor(plan *p, unit *u) {
    u->kept = out_of(p, u)->elements * p->batch;
}

/* The input by steps, the gates of every step, both states of it and of the one before. */
static void need_conv_lstm(plan *p, unit *u) {
    double steps = (double)input_of(p, u->node)->shape.dim[0], state = out_of(p, u)->elements;
    if (u->node->attr.conv_lstm.sequences) state /= steps;
    u->kept = (in_of(p, u)->elements + state * (6 * steps + 2)) * p->batch;
    if (!p->training) u->kept += 4 * state * p->batch;
    u->behind = p->training ? 2 * state * p->batch : 0;
}

/* The gates of every step, and the state beside the output. */
static void need_cells(plan *p, unit *u) {
    const nn_weight *w = &p->g->weights[u->node->weights[1]];
    const nn_shape *in = &input_of(p, u->node)->shape;
    double state = out_of(p, u)->elements, gates = (double)last_axis(&w->shape);
    if (u->node->attr.rnn.sequences) state /= (double)in->dim[0];
    double each = state * (1 + gates / (double)last_axis(&u->node->shape)) * p->batch;
    u->kept = p->training ? each * (double)in->dim[0] : each;
}

static void need_attention(plan *p, unit *u) {
    const nn_node *n = u->node;
    double pairs = (double)p->g->nodes[n->inputs[0]].shape.dim[0] *
                   (double)p->g->nodes[n->inputs[1]].shape.dim[0];
    u->kept = pairs * (double)n->attr.attention.heads * (double)n->fold * p->batch;
}

static void (*const needs[NN_OP_COUNT])(plan *, unit *) = {
    [NN_OP_MATMUL] = need_matmul,          [NN_OP_CONV] = need_conv,
    [NN_OP_CONV_TRANSPOSE] = need_conv,    [NN_OP_MAX_POOL] = need_max_pool,
    [NN_OP_GLOBAL_MAX_POOL] = need_factor, [NN_OP_ADAPTIVE_MAX_POOL] = need_factor,
    [NN_OP_BATCH_NORM] = need_norm,        [NN_OP_LAYER_NORM] = need_norm,
    [NN_OP_GROUP_NORM] = need_norm,        [NN_OP_DROPOUT] = need_factor,
    [NN_OP_NOISE] = need_factor,           [NN_OP_RNN] = need_cells,
    [NN_OP_CONV_LSTM] = need_conv_lstm,    [NN_OP_ATTENTION] = need_attention,
};

/* ---- from nodes to units ---- */

/* Rows that a convolution and its pooling run at a time; 0: all. */
static double piece_rows(const plan *p, const unit *u) {
    double bytes = (in_of(p, u)->elements + out_of(p, u)->elements) * (double)sizeof(float);
    double rows = 2 * THREADS;
    while (rows * 2 * bytes <= PIECE_BYTES) rows *= 2;
    return rows < p->batch ? rows : 0;
}

static void join_tail(plan *p, unit *u) {
    int host = in_of(p, u)->unit;
    if (u->node->op == NN_OP_MAX_POOL && host >= 0 && p->units[host].piece) u->time = host;
}

static void plan_node(plan *p, const nn_node *n) {
    int *in = NN_NEW_N(p->arena, int, (size_t)n->n_inputs);
    for (int i = 0; i < n->n_inputs; i++) {
        in[i] = p->value_of[n->inputs[i]];
        in_layout(p,
                  i ? plain(p->values[in[i]].elements, p->values[in[i]].layout.channels)
                    : wanted(p, n, in[0]),
                  &in[i]);
    }
    unit *u = new_unit(p, n, in, n->n_inputs);
    u->relu = p->relu[n->id];
    u->out = p->value_of[n->id] = new_value(p, elements_of(n), output_layout(p, u), p->n_units);
    double rows = p->pooled[n->id] ? piece_rows(p, u) : 0;
    if (rows > 0) {
        u->piece = true;
        out_of(p, u)->rows = rows;
    }
    join_tail(p, u);
    if (needs[n->op]) needs[n->op](p, u);
    finish_unit(p, u);
}

static bool is_relu(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_RELU;
}

static const nn_node *relu_host(const plan *p, const nn_node *n) {
    if (!is_relu(n)) return NULL;
    const nn_node *host = input_of(p, n);
    bool can = host->op == NN_OP_MATMUL || host->op == NN_OP_CONV || host->op == NN_OP_BATCH_NORM;
    return can && p->uses[host->id] == 1 ? host : NULL;
}

/* The product or convolution into whose weights the normalisation n is folded. */
static const nn_node *norm_host(const plan *p, const nn_node *n) {
    if (p->training || n->op != NN_OP_BATCH_NORM) return NULL;
    const nn_node *host = input_of(p, n);
    bool can = host->op == NN_OP_MATMUL || host->op == NN_OP_CONV;
    return can && p->uses[host->id] == 1 ? host : NULL;
}

/* The weights of both are kept as they were set, and there is a bias. */
static void fold_norm(plan *p, const nn_node *host, const nn_node *n) {
    const nn_node *both[2] = {host, n};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < both[i]->n_weights; k++)
            p->folded += (double)p->g->weights[both[i]->weights[k]].elements;
    p->folded += (double)last_axis(&n->shape);
    p->value_of[n->id] = p->value_of[host->id];
}

static const nn_node *pooled_conv(const plan *p, const nn_node *n) {
    if (n->op != NN_OP_MAX_POOL) return NULL;
    const nn_node *in = input_of(p, n);
    if (p->uses[in->id] != 1) return NULL;
    const nn_node *host = relu_host(p, in);
    if (host) in = host;
    host = norm_host(p, in);
    if (host) in = host;
    return in->op == NN_OP_CONV ? in : NULL;
}

static bool vanishes(const plan *p, const nn_node *n) {
    if (traits[n->op] & VANISHES) return true;
    if (n->op == NN_OP_RESHAPE)
        return is_plain(p->values[p->value_of[n->inputs[0]]].layout) || n->shape.rank == 1;
    if (n->op == NN_OP_DROPOUT) return !p->training || n->attr.dropout.rate == 0;
    if (n->op == NN_OP_NOISE || n->op == NN_OP_ACTIVITY_REG) return !p->training;
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_LINEAR;
}

static void plan_one(plan *p, const nn_node *n) {
    if (n->op == NN_OP_INPUT) {
        double elements = elements_of(n);
        p->value_of[n->id] = new_value(p, elements, plain(elements, last_axis(&n->shape)), -1);
    } else if (norm_host(p, n)) {
        fold_norm(p, norm_host(p, n), n);
    } else if (relu_host(p, n) || vanishes(p, n)) {
        p->value_of[n->id] = p->value_of[n->inputs[0]];
    } else if (n->op == NN_OP_RESHAPE) {
        int at = p->value_of[n->inputs[0]];
        in_layout(p, plain(p->values[at].elements, p->values[at].layout.channels), &at);
        p->value_of[n->id] = at;
    } else {
        plan_node(p, n);
    }
}

static void plain_output(plan *p, int node) {
    const nn_node *n = &p->g->nodes[node];
    in_layout(p, plain(elements_of(n), last_axis(&n->shape)), &p->value_of[node]);
}

static void plan_nodes(plan *p) {
    const nn_graph *g = p->g;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) p->uses[g->nodes[i].inputs[k]]++;
    for (int i = 0; i < g->n_outputs; i++) p->uses[g->outputs[i]]++;
    if (p->loss >= 0) p->uses[p->loss]++;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *host = relu_host(p, &g->nodes[i]), *conv = pooled_conv(p, &g->nodes[i]);
        if (host) p->relu[host->id] = true;
        if (conv) p->pooled[conv->id] = true;
    }
    for (int i = 0; i < g->n_nodes; i++) plan_one(p, &g->nodes[i]);
    for (int i = 0; i < g->n_outputs; i++) plain_output(p, g->outputs[i]);
    if (p->loss >= 0) plain_output(p, p->loss);
}

/* ---- gradients ---- */

static int back_time(const plan *p, int u) {
    return 2 * p->n_units - (u < 0 ? 0 : p->units[u].time);
}

static void begin_loss(plan *p, int node) {
    value *v = &p->values[p->value_of[node]];
    v->reaches = true;
    v->gradients = 1;
    v->grad_from = p->n_units;
}

/* Bytes that live from one time to another. */
static void live(plan *p, double floats, int first, int last) {
    p->change[first] += floats * (double)sizeof(float);
    p->change[last + 1] -= floats * (double)sizeof(float);
}

static void plan_gradients(plan *p) {
    if (p->loss >= 0)
        begin_loss(p, p->loss);
    else
        for (int i = 0; i < p->g->n_outputs; i++) begin_loss(p, p->g->outputs[i]);
    for (int i = p->n_units - 1; i >= 0; i--) {
        unit *u = &p->units[i];
        const value *out = out_of(p, u);
        u->backward = out->reaches && out->learns;
        for (int k = 0; k < u->n_in; k++) {
            value *in = &p->values[u->in[k]];
            in->reaches |= out->reaches;
            if (!u->backward || !in->learns) continue;
            if (in->gradients++ == 0)
                in->grad_from = i;
            else
                live(p, in->elements * in->rows, back_time(p, i), back_time(p, i));
        }
    }
}

static void plan_masks(plan *p) {
    for (int i = 0; i < p->n_units; i++) p->units[i].mask_dy = p->units[i].relu;
    for (int i = 0; i < p->n_units; i++) {
        unit *u = &p->units[i];
        const value *in = in_of(p, u);
        if (u->n_in == 1 && u->backward && in->learns && in->unit >= 0 && in->gradients == 1 &&
            traits_of(u) & CAN_MASK)
            p->units[in->unit].mask_dy = false;
    }
}

/* ---- lifetimes ---- */

static void keep(value *v, int time) {
    if (time > v->last_kept) v->last_kept = time;
}

static bool defers(const plan *p, const unit *u) {
    return p->deferring && u->node && u->node->op == NN_OP_MATMUL;
}

static void plan_keeping(plan *p, int end) {
    for (int i = 0; i < p->n_units; i++) {
        unit *u = &p->units[i];
        int time = defers(p, u) ? end : back_time(p, i);
        for (int k = 0; k < u->n_in && u->backward && traits_of(u) & READS_INPUT; k++)
            keep(&p->values[u->in[k]], time);
        if (u->backward && (traits_of(u) & READS_OUTPUT || u->mask_dy)) keep(out_of(p, u), time);
    }
    if (p->loss >= 0) keep(&p->values[p->value_of[p->loss]], p->n_units);
}

static void value_lives(plan *p, const value *v, int end) {
    int first = v->unit < 0 ? 0 : p->units[v->unit].time;
    int last = v->last_read < 0 ? 0 : p->units[v->last_read].time;
    if (v->last_kept > last) last = v->last_kept;
    live(p, v->elements * v->rows, first, v->persistent ? end : last);
    if (v->gradients == 0) return;
    bool late = v->unit >= 0 && defers(p, &p->units[v->unit]);
    live(p, v->elements * v->rows,
         v->grad_from == p->n_units ? p->n_units : back_time(p, v->grad_from),
         late ? end : back_time(p, v->unit));
}

static void unit_lives(plan *p, int i, int end) {
    const unit *u = &p->units[i];
    int back = back_time(p, i);
    bool updates = traits_of(u) & UPDATES;
    if (u->kept > 0) live(p, u->kept, u->time, updates ? end : p->training ? back : u->time);
    if (u->behind > 0) live(p, u->behind, back, back);
}

static double most_alive(plan *p) {
    const nn_graph *g = p->g;
    int end = 2 * p->n_units + 1;
    for (int i = 0; i < g->n_inputs; i++) p->values[p->value_of[g->inputs[i]]].persistent = true;
    for (int i = 0; i < g->n_outputs; i++) p->values[p->value_of[g->outputs[i]]].persistent = true;
    plan_keeping(p, end);
    for (int i = 0; i < p->n_values; i++) value_lives(p, &p->values[i], end);
    for (int i = 0; i < p->n_units; i++) unit_lives(p, i, end);
    double now = 0, most = 0;
    for (int t = 0; t <= end; t++) {
        now += p->change[t];
        if (now > most) most = now;
    }
    return most + (p->scratch + p->folded + THREADS * p->pack) * (double)sizeof(float);
}

/* ---- the whole ---- */

/* The node at which the loss is taken: before a softmax or sigmoid that it contains. */
static int loss_node(const nn_graph *g) {
    if (g->n_outputs != 1) return -1;
    const nn_node *out = &g->nodes[g->outputs[0]];
    bool classes = nn_loss_targets(g->train.loss) == NN_TARGET_CLASS;
    if (classes && (out->shape.rank != 1 || out->shape.dim[0] < 2)) return -1;
    bool softmax = classes && out->op == NN_OP_SOFTMAX;
    bool sigmoid = g->train.loss == NN_LOSS_BINARY && out->op == NN_OP_ACTIVATION &&
                   out->attr.activation.kind == NN_ACT_SIGMOID;
    return (softmax || sigmoid) && !g->train.from_logits ? out->inputs[0] : out->id;
}

static bool plans_each_alone(const nn_graph *g) {
    const nn_optimizer *o = &g->train.optimizer;
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        if (w->trainable && (w->regularizer.l1 != 0 || w->regularizer.l2 != 0)) return false;
    }
    return !(o->clipnorm > 0 || o->global_clipnorm > 0 || o->clipvalue > 0);
}

static bool known(const nn_graph *g) {
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].fold < 0 || nn_shape_elements(&g->nodes[i].shape) < 0) return false;
    return true;
}

static bool allocate(plan *p) {
    size_t nodes = (size_t)p->g->n_nodes, units = 2 * nodes + (size_t)p->g->n_outputs + 1;
    for (size_t i = 0; i < nodes; i++) units += (size_t)p->g->nodes[i].n_inputs;
    p->values = NN_NEW_N(p->arena, value, units);
    p->units = NN_NEW_N(p->arena, unit, units);
    p->change = NN_NEW_N(p->arena, double, 2 * units + 4);
    p->value_of = NN_NEW_N(p->arena, int, nodes);
    p->uses = NN_NEW_N(p->arena, int, nodes);
    p->relu = NN_NEW_N(p->arena, bool, nodes);
    p->pooled = NN_NEW_N(p->arena, bool, nodes);
    return p->values && p->units && p->change && p->value_of && p->uses && p->relu && p->pooled;
}

static int64_t bytes(double n) {
    const double most = 4611686018427387904.0; /* 2^62 */
    return n >= 0 && n < most ? (int64_t)n : -1;
}

static int64_t activations(plan *p) {
    p->arena = nn_arena_new(NULL, "memory", 0);
    int64_t n = -1;
    if (known(p->g) && allocate(p)) {
        plan_nodes(p);
        if (p->training) plan_gradients(p), plan_masks(p);
        n = bytes(most_alive(p));
    }
    nn_arena_free(p->arena);
    return n;
}

nn_memory nn_graph_memory(const nn_graph *g, int64_t batch, bool training) {
    const nn_optimizer *o = &g->train.optimizer;
    int slots =
        o->kind == NN_OPTIMIZER_SGD ? o->momentum != 0 : nn_optimizer_slots(o->kind) + o->amsgrad;
    plan p = {.g = g, .training = training, .batch = (double)batch, .loss = loss_node(g)};
    p.deferring = training && plans_each_alone(g);
    count_weights(&p);
    double slab = p.floats * (double)sizeof(float);
    nn_memory m = {.weights = bytes(slab),
                   .gradients = training ? bytes(slab) : 0,
                   .optimizer = training ? bytes(slab * slots) : 0,
                   .activations = batch >= 1 ? activations(&p) : -1,
                   .total = -1};
    if (m.weights >= 0 && m.gradients >= 0 && m.optimizer >= 0 && m.activations >= 0)
        m.total = bytes(slab * (training ? 2 + slots : 1) + (double)m.activations);
    return m;
}
