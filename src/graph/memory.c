/* SPDX-License-Identifier: MIT */
/* memory.c - what running a graph takes, estimated by planning it as engine/native/plan.c does.
 *
 * As there: nodes become units and values; a relu joins the unit before it, reshapes and (in
 * inference) dropout vanish, normalisations go into the weights before them and element-wise units
 * write where they read; in training dx takes over the memory of dy. Convolutions keep their
 * channels in blocks and values are copied where a reader wants another layout, a convolution that
 * only a maximum pooling reads runs piece by piece. Every value, gradient and helper lives for a
 * span of time: forward of unit i is time i, the loss time n, backward of unit i time 2n - i, the
 * update time 2n + 1. Where the engine places blocks, this takes the largest sum that is alive at
 * once, which the placing comes close to.
 *
 * What depends on the processor is taken as it mostly is: blocks of 16 channels, four threads, and
 * for a convolution's scratch memory a copy of its kernel for each thread but one, or what windows
 * of one place gather. Sizes are doubles: only ever added and multiplied, they cannot overflow. */
#include "graph/graph.h"

enum { BLOCK = 16, PANEL = 32, THREADS = 4, PIECE_BYTES = 2 << 20, GRAD_ROWS = 256, SHARING = 8 };
enum { QUERIES = 32 }; /* that attention takes at a time */

typedef struct layout {
    double spatial;
    int64_t channels, block;
} layout;

typedef struct value {
    double elements; /* a row */
    double rows;     /* that its memory holds */
    layout layout;
    int unit;        /* that makes it; -1: an input */
    int of, grad_of; /* whose memory it, and its gradient, takes over: itself, or the value's before
                        its unit, and behind */
    int last_read, last_kept;
    bool persistent, learns, reaches;
    int gradients, grad_from;
    int grad_last; /* time at which the memory of its gradient is read last */
} value;

typedef struct unit {
    const nn_node *node; /* NULL: a copy into another layout */
    int n_in;
    int *in, out; /* values */
    int time;
    bool piece, relu, mask_dy, backward;
    int64_t block; /* of channels, of a merge or a concatenation; 0: none */
    double there;  /* floats in forward */
    double kept;   /* floats from forward to backward */
    double behind; /* floats in backward */
} unit;

/* What a unit of an op needs besides its values. */
enum {
    READS_INPUT = 1,          /* in backward */
    READS_OUTPUT = 2,         /* in backward */
    CAN_MASK = 4,             /* takes over the gradient of a relu before it */
    UPDATES = 8,              /* its own memory is needed until the update */
    ANY_LAYOUT = 16,          /* the output is in that of the input */
    CHANNELS = 32,            /* likewise, if the channels are the last axis */
    VANISHES = 64,            /* computes nothing */
    CAN_RELU = 128,           /* does a relu behind it */
    CAN_NORM = 256,           /* takes a normalisation behind it into its weights, for inference */
    IN_PLACE = 512,           /* for inference writes where it reads */
    GRADIENT_IN_PLACE = 1024, /* likewise the gradient, backward */
    ADDS = 2048               /* its share of a gradient to those of others */
};

enum { ELEMENTWISE = IN_PLACE | GRADIENT_IN_PLACE };

static const unsigned short traits[NN_OP_COUNT] = {
    [NN_OP_MATMUL] = READS_INPUT | CAN_MASK | CAN_RELU | CAN_NORM | ADDS,
    [NN_OP_CONV] = READS_INPUT | CAN_MASK | CAN_RELU | CAN_NORM,
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
    [NN_OP_BATCH_NORM] = READS_INPUT | UPDATES | CHANNELS | CAN_RELU | ELEMENTWISE,
    [NN_OP_LAYER_NORM] = READS_INPUT | ELEMENTWISE,
    [NN_OP_GROUP_NORM] = READS_INPUT | CHANNELS | CAN_RELU | ELEMENTWISE,
    [NN_OP_ACTIVATION] = READS_INPUT | ANY_LAYOUT | ELEMENTWISE,
    [NN_OP_PRELU] = READS_INPUT | ANY_LAYOUT | IN_PLACE,
    [NN_OP_CLIP] = READS_INPUT | ANY_LAYOUT | ELEMENTWISE,
    [NN_OP_SOFTMAX] = READS_OUTPUT | ELEMENTWISE,
    [NN_OP_DROPOUT] = ANY_LAYOUT | GRADIENT_IN_PLACE,
    [NN_OP_ACTIVITY_REG] = READS_INPUT | ANY_LAYOUT,
    [NN_OP_EMBEDDING] = READS_INPUT,
    [NN_OP_RNN] = READS_INPUT,
    [NN_OP_ATTENTION] = READS_INPUT,
    [NN_OP_MERGE] = CAN_RELU | ADDS,
    [NN_OP_CONCAT] = ADDS,
    [NN_OP_DOT] = READS_INPUT | ADDS,
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
    if (n->op == NN_OP_RNN && position < 2) {
        int64_t units = n->attr.rnn.units; /* the panels of each gate */
        return (double)(last_axis(&w->shape) / units) *
               panel_floats((double)w->shape.dim[0], units);
    }
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

static bool is_add(const nn_node *n) {
    nn_merge kind = n->attr.merge.kind;
    return n->op == NN_OP_MERGE && (kind == NN_MERGE_ADD || kind == NN_MERGE_SUBTRACT);
}

/* A merge's are those of its kind. */
static unsigned traits_of(const unit *u) {
    if (!u->node) return 0;
    unsigned own = traits[u->node->op];
    if (u->node->op != NN_OP_MERGE || u->node->attr.merge.kind == NN_MERGE_AVERAGE) return own;
    if (is_add(u->node)) return own | GRADIENT_IN_PLACE;
    bool product = u->node->attr.merge.kind == NN_MERGE_MULTIPLY;
    return own | READS_INPUT | (product ? 0 : READS_OUTPUT);
}

static int new_value(plan *p, double elements, layout l, int by) {
    int id = p->n_values++;
    p->values[id] = (value){.elements = elements,
                            .rows = p->batch,
                            .layout = l,
                            .unit = by,
                            .of = id,
                            .grad_of = id,
                            .last_read = by};
    return id;
}

static unit *new_unit(plan *p, const nn_node *n, int *in, int n_in) {
    unit *u = &p->units[p->n_units];
    *u = (unit){.node = n, .in = in, .n_in = n_in, .time = p->n_units};
    return u;
}

static value *memory_of(const plan *p, int at) {
    return &p->values[p->values[at].of];
}

static void finish_unit(plan *p, unit *u) {
    bool learns = trains(p, u->node);
    for (int i = 0; i < u->n_in; i++) {
        memory_of(p, u->in[i])->last_read = p->n_units;
        learns = learns || p->values[u->in[i]].learns;
    }
    out_of(p, u)->learns = learns;
    p->n_units++;
}

static bool same_layout(layout a, layout b) {
    return (is_plain(a) && is_plain(b)) || (a.channels == b.channels && a.block == b.block);
}

/* Of the same value in another layout one copy serves all readers. */
static void in_layout(plan *p, layout l, int *at) {
    if (same_layout(p->values[*at].layout, l)) return;
    for (int i = 0; i < p->n_units; i++) {
        const unit *copy = &p->units[i];
        if (copy->node || copy->in[0] != *at || !same_layout(out_of(p, copy)->layout, l)) continue;
        *at = copy->out;
        return;
    }
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

/* The block of channels in which a merge or a concatenation runs: that of a blocked input, if the
 * others fit beside it; 0: none. */
static int64_t common_block(const plan *p, const nn_node *n) {
    int64_t block = 0;
    if (n->op != NN_OP_MERGE && n->op != NN_OP_CONCAT) return 0;
    for (int i = 0; i < n->n_inputs; i++) {
        const nn_node *in = &p->g->nodes[n->inputs[i]];
        layout l = p->values[p->value_of[in->id]].layout;
        int64_t channels = last_axis(&in->shape);
        if (!is_plain(l) && l.channels == channels && !block) block = l.block;
        bool fits = nn_shape_equal(&in->shape, &n->shape) ||
                    nn_shape_elements(&in->shape) == last_axis(&n->shape);
        if (n->op == NN_OP_MERGE && !fits) return 0;
    }
    for (int i = 0; i < n->n_inputs && block; i++)
        if (last_axis(&p->g->nodes[n->inputs[i]].shape) % block) return 0;
    return block;
}

/* The layout in which n reads `at`, its input i. */
static layout wanted(const plan *p, const nn_node *n, int i, int at) {
    const value *v = &p->values[at];
    int64_t channels = last_axis(&p->g->nodes[n->inputs[i]].shape);
    layout want = plain(v->elements, channels);
    int64_t block = common_block(p, n);
    if (block && want.spatial > 1) want.block = block;
    if (i > 0 || block) return want;
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
    if (u->block) out.block = u->block;
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

/* For one place a window and strides each thread gathers what it reads. */
static double gathered_floats(const plan *p, const unit *u) {
    const nn_window *w = u->node->op == NN_OP_CONV ? &u->node->attr.conv.window
                                                   : &u->node->attr.conv_transpose.window;
    bool strided = false;
    for (int i = 0; i < w->spatial; i++) {
        if (w->size[i] != 1) return 0;
        strided |= w->stride[i] > 1;
    }
    double places = elements_of(u->node) / (double)last_axis(&u->node->shape);
    return strided ? THREADS * places * (double)last_axis(&input_of(p, u->node)->shape) : 0;
}

/* Its kernel in the layout of the input's gradient, that of a piece, and of each thread but one. */
static void need_conv(plan *p, unit *u) {
    double kernel = kernel_floats(&p->g->weights[u->node->weights[0]]);
    double rows = out_of(p, u)->rows, copies = rows < 2 ? 1 : (rows < THREADS ? rows : THREADS) - 1;
    double gathered = gathered_floats(p, u);
    if (gathered > p->scratch) p->scratch = gathered;
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

/* A mean and a factor for each place, or for each group. */
static void need_sample_norm(plan *p, unit *u) {
    bool groups = u->node->op == NN_OP_GROUP_NORM;
    double rows = p->batch * (double)u->node->fold;
    double each = elements_of(u->node) / (double)(u->node->fold * last_axis(&u->node->shape));
    u->kept = 2 * rows * (groups ? (double)u->node->attr.group_norm.groups : each);
}

/* The slopes of a row and, of each thread, the gradients. */
static void need_prelu(plan *p, unit *u) {
    u->kept = in_of(p, u)->elements;
    u->behind = p->training ? THREADS * in_of(p, u)->elements : 0;
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

/* Step by step: the input, the gates, the states before each step and after the last; backward two
 * states, both kernels and the gradient of the input. */
static void need_cells(plan *p, unit *u) {
    const nn_node *n = u->node;
    const nn_shape *in = &input_of(p, n)->shape;
    double rows = p->batch * (double)n->fold, units = (double)n->attr.rnn.units;
    double steps = (double)in->dim[0], x = rows * steps * (double)in->dim[1];
    double gates = (double)last_axis(&p->g->weights[n->weights[1]].shape) / units;
    bool lstm = n->attr.rnn.kind == NN_RNN_LSTM, gru = n->attr.rnn.kind == NN_RNN_GRU;
    bool after = gru && n->attr.rnn.reset_after, dropped = n->attr.rnn.recurrent_dropout > 0;
    double state = rows * units, states = (steps + 1) * state, sums = steps * state * gates;
    u->kept = x + sums * (1 + after) + states * (1 + lstm + (gru && !after));
    if (!p->training) return;
    u->kept += (n->attr.rnn.dropout > 0 ? x / steps : 0) + (dropped ? states + state : 0);
    u->behind =
        state * (2 + (lstm || (gru && !after))) + gates * panel_floats(units, n->attr.rnn.units);
    need_pack(p, rows * steps, n->attr.rnn.units,
              units > (double)in->dim[1] ? units : (double)in->dim[1]);
    if (in_of(p, u)->learns) u->behind += x + gates * panel_floats(units, in->dim[1]);
}

/* A thread's room: keys and values of a head and their transposes, gradients of them, and matrices
 * of some queries by all keys; backward the same again. */
static void need_attention(plan *p, unit *u) {
    const nn_node *n = u->node;
    const nn_shape *k = &p->g->nodes[n->inputs[1]].shape, *v = &p->g->nodes[n->inputs[2]].shape;
    int64_t heads = n->attr.attention.heads, keys = k->dim[0];
    int64_t size = k->dim[1] / heads, wide = v->dim[1] / heads;
    bool additive = n->attr.attention.additive, scaled = n->attr.attention.use_scale;
    bool drops = p->training && n->attr.attention.dropout > 0;
    double room = 2 * (panel_floats((double)keys, size) + panel_floats((double)keys, wide)) +
                  (1 + additive) * panel_floats((double)size, keys) +
                  panel_floats((double)wide, keys) +
                  (double)(QUERIES * keys) * (2 + 2 * drops + scaled);
    u->there = THREADS * room;
    if (!p->training) return;
    double rows = p->batch * (double)(n->fold * heads);
    u->behind = THREADS * room + rows * (scaled && !additive ? 1 : (double)size);
    need_pack(p, QUERIES, size > wide ? size : wide, (double)keys);
}

/* Each thread takes a row at a time. */
static void need_dot(plan *p, unit *u) {
    double n = 1, a = in_of(p, u)->elements, b = p->values[u->in[1]].elements;
    const nn_node *first = input_of(p, u->node);
    n = (double)(first->shape.dim[u->node->attr.dot.axes[0]] * first->fold);
    double room = 2 * (a + b) + (a + b) / n + a * b / n / n + (a > b ? a : b) + PANEL * n;
    if (room > p->pack) p->pack = room;
}

static void (*const needs[NN_OP_COUNT])(plan *, unit *) = {
    [NN_OP_MATMUL] = need_matmul,
    [NN_OP_CONV] = need_conv,
    [NN_OP_CONV_TRANSPOSE] = need_conv,
    [NN_OP_MAX_POOL] = need_max_pool,
    [NN_OP_GLOBAL_MAX_POOL] = need_factor,
    [NN_OP_ADAPTIVE_MAX_POOL] = need_factor,
    [NN_OP_BATCH_NORM] = need_norm,
    [NN_OP_LAYER_NORM] = need_sample_norm,
    [NN_OP_GROUP_NORM] = need_sample_norm,
    [NN_OP_DROPOUT] = need_factor,
    [NN_OP_PRELU] = need_prelu,
    [NN_OP_RNN] = need_cells,
    [NN_OP_CONV_LSTM] = need_conv_lstm,
    [NN_OP_ATTENTION] = need_attention,
    [NN_OP_DOT] = need_dot,
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

/* Whether n writes where its input lies: nothing else reads that, and a unit made it. Nodes that
 * compute nothing are seen through. */
static bool in_place(const plan *p, const nn_node *n) {
    if (p->training || p->pooled[n->id] || p->relu[n->id] || !(traits[n->op] & IN_PLACE))
        return false;
    const nn_node *in = input_of(p, n);
    int at = p->values[p->value_of[in->id]].of;
    while (p->uses[in->id] == 1 && in->n_inputs > 0) {
        const nn_node *before = input_of(p, in);
        if (p->values[p->value_of[before->id]].of != at)
            return p->values[at].unit >= 0 && p->values[at].rows == p->batch;
        in = before;
    }
    return false;
}

static void plan_node(plan *p, const nn_node *n) {
    int *in = NN_NEW_N(p->arena, int, (size_t)n->n_inputs);
    for (int i = 0; i < n->n_inputs; i++) {
        in[i] = p->value_of[n->inputs[i]];
        in_layout(p, wanted(p, n, i, in[i]), &in[i]);
    }
    unit *u = new_unit(p, n, in, n->n_inputs);
    u->block = common_block(p, n);
    u->relu = p->relu[n->id];
    u->out = p->value_of[n->id] = new_value(p, elements_of(n), output_layout(p, u), p->n_units);
    if (in_place(p, n)) out_of(p, u)->of = in_of(p, u)->of;
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
    return traits[host->op] & CAN_RELU && p->uses[host->id] == 1 ? host : NULL;
}

/* The product or convolution into whose weights the normalisation n is folded. */
static const nn_node *norm_host(const plan *p, const nn_node *n) {
    if (p->training || n->op != NN_OP_BATCH_NORM) return NULL;
    const nn_node *host = input_of(p, n);
    return traits[host->op] & CAN_NORM && p->uses[host->id] == 1 ? host : NULL;
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
        return is_plain(p->values[p->value_of[n->inputs[0]]].layout) || n->shape.rank == 1 ||
               p->values[p->value_of[n->inputs[0]]].layout.channels == last_axis(&n->shape);
    if (n->op == NN_OP_DROPOUT) return !p->training || n->attr.dropout.rate == 0;
    if (n->op == NN_OP_NOISE) return !p->training || n->attr.noise.value == 0;
    if (n->op == NN_OP_ACTIVITY_REG) return !p->training;
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
            else if (!(traits_of(u) & ADDS))
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
            keep(memory_of(p, u->in[k]), time);
        if (u->backward && (traits_of(u) & READS_OUTPUT || u->mask_dy)) keep(out_of(p, u), time);
    }
    if (p->loss >= 0) keep(memory_of(p, p->value_of[p->loss]), p->n_units);
}

/* From the last unit back: the gradient of its output is of no use behind it. */
static void hand_gradients_on(plan *p) {
    for (int i = p->n_units - 1; i >= 0; i--) {
        const unit *u = &p->units[i];
        const value *out = out_of(p, u);
        value *in = in_of(p, u);
        if (u->backward && traits_of(u) & GRADIENT_IN_PLACE && in->gradients > 0 &&
            in->grad_from == i && u->time == i && out->gradients > 0 &&
            in->elements * in->rows == out->elements * out->rows)
            in->grad_of = out->grad_of;
    }
}

static void last_of_gradients(plan *p, int end) {
    for (int i = 0; i < p->n_values; i++) {
        const value *v = &p->values[i];
        bool late = v->unit >= 0 && defers(p, &p->units[v->unit]);
        int last = late ? end : back_time(p, v->unit), *all = &p->values[v->grad_of].grad_last;
        if (v->gradients > 0 && last > *all) *all = last;
    }
}

static void value_lives(plan *p, int at, int end) {
    const value *v = &p->values[at];
    int first = v->unit < 0 ? 0 : p->units[v->unit].time;
    int last = v->last_read < 0 ? 0 : p->units[v->last_read].time;
    if (v->last_kept > last) last = v->last_kept;
    if (v->of == at) live(p, v->elements * v->rows, first, v->persistent ? end : last);
    if (v->gradients == 0 || v->grad_of != at) return;
    live(p, v->elements * v->rows,
         v->grad_from == p->n_units ? p->n_units : back_time(p, v->grad_from), v->grad_last);
}

static void unit_lives(plan *p, int i, int end) {
    const unit *u = &p->units[i];
    int back = back_time(p, i);
    bool updates = traits_of(u) & UPDATES;
    if (u->kept > 0) live(p, u->kept, u->time, updates ? end : p->training ? back : u->time);
    if (u->there > 0) live(p, u->there, u->time, u->time);
    if (u->behind > 0) live(p, u->behind, back, back);
}

static double most_alive(plan *p) {
    const nn_graph *g = p->g;
    int end = 2 * p->n_units + 1;
    for (int i = 0; i < g->n_inputs; i++)
        memory_of(p, p->value_of[g->inputs[i]])->persistent = true;
    for (int i = 0; i < g->n_outputs; i++)
        memory_of(p, p->value_of[g->outputs[i]])->persistent = true;
    plan_keeping(p, end);
    hand_gradients_on(p);
    last_of_gradients(p, end);
    for (int i = 0; i < p->n_values; i++) value_lives(p, i, end);
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
    if (classes && last_axis(&out->shape) < 2) return -1;
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
