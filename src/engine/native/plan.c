/* SPDX-License-Identifier: MIT */
/* plan.c - from a graph to units, values and memory; see native.h.
 *
 * Fused: a relu into the matmul, convolution or normalisation before it; reshapes and, outside of
 * training, dropout vanish (the same value goes on); the gradient of a fused relu is taken by the
 * unit after it where that one can. A flattened blocked tensor stays blocked: matmul permutes its
 * weights instead. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <inttypes.h>
#include <omp.h>
#include <string.h>

struct nn_wish {
    nn_unit *unit;
    int64_t floats;
    int when;
    float **to;
};

static const nn_unit_kind *const kinds[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = &nn_unit_##n,
#include "graph/ops.def"
#undef NN_OP
};

/* ---- what the kinds call ---- */

void nn_native_wish(nn_native *x, nn_unit *u, int64_t floats, int when, float **to) {
    if (x->n_wishes == x->cap_wishes) {
        int cap = 2 * x->cap_wishes + 64;
        struct nn_wish *more = NN_NEW_N(x->arena, struct nn_wish, cap);
        if (x->n_wishes) memcpy(more, x->wishes, (size_t)x->n_wishes * sizeof *more);
        x->wishes = more;
        x->cap_wishes = cap;
    }
    x->wishes[x->n_wishes++] = (struct nn_wish){u, floats, when, to};
}

const nn_shape *nn_unit_in_shape(const nn_native *x, const nn_unit *u) {
    return &x->base.graph->nodes[u->node->inputs[0]].shape;
}

static int64_t last_axis(const nn_shape *s) {
    return s->rank ? s->dim[s->rank - 1] : 1;
}

bool nn_wants_any(const nn_native *x, const nn_unit *u, nn_layout *ret) {
    (void)x, (void)u, (void)ret;
    return false;
}

bool nn_wants_channels(const nn_native *x, const nn_unit *u, nn_layout *ret) {
    const nn_value *v = nn_in(x, u);
    int64_t channels = last_axis(nn_unit_in_shape(x, u));
    if (nn_layout_is_plain(v->layout) || v->layout.channels == channels) return false;
    *ret = nn_layout_plain(v->elements, channels);
    return true;
}

nn_layout nn_native_channels(const nn_native *x, const nn_unit *u) {
    const nn_value *v = nn_in(x, u);
    int64_t channels = last_axis(nn_unit_in_shape(x, u));
    return v->layout.channels == channels ? v->layout : nn_layout_plain(v->elements, channels);
}

void nn_native_scratch(nn_native *x, size_t bytes) {
    if (bytes > x->scratch_bytes) x->scratch_bytes = bytes;
}

void nn_native_param(nn_native *x, nn_unit *u, int position, int64_t floats,
                     nn_status (*convert)(const nn_native *, const nn_param *, bool, float *,
                                          float *)) {
    const nn_weight *w = &x->base.graph->weights[u->node->weights[position]];
    u->param[position] = x->n_params;
    x->params[x->n_params++] =
        (nn_param){.weight = w, .floats = floats, .unit = u, .convert = convert};
}

float *nn_native_w(const nn_native *x, const nn_unit *u, int position) {
    return position < u->node->n_weights ? x->w + x->params[u->param[position]].at : NULL;
}

float *nn_native_g(const nn_native *x, const nn_unit *u, int position) {
    return nn_native_trains(x, u, position) ? x->g + x->params[u->param[position]].at : NULL;
}

bool nn_native_trains(const nn_native *x, const nn_unit *u, int position) {
    return x->training && position < u->node->n_weights &&
           x->base.graph->weights[u->node->weights[position]].trainable;
}

typedef struct parallel_job {
    const nn_native *x;
    nn_range_fn *fn;
    void *arg;
} parallel_job;

/* Below this many operations a thread, waking the team costs more than it saves. */
enum { WORTH_A_THREAD = 100000 };

void nn_parallel(const nn_native *x, int64_t n, double work, nn_range_fn *fn, void *arg) {
    if (x->threads == 1 || work < WORTH_A_THREAD || n < 2) {
        fn(x, arg, 0, n, 0);
        return;
    }
#pragma omp parallel num_threads(x->threads)
    {
        int thread = omp_get_thread_num(), team = omp_get_num_threads();
        int64_t begin = n * thread / team, end = n * (thread + 1) / team;
        if (begin < end) fn(x, arg, begin, end, thread);
    }
}

/* ---- units and values ---- */

static int new_value(nn_native *x, int64_t elements, int64_t channels, int unit) {
    nn_value *v = &x->values[x->n_values];
    *v = (nn_value){.elements = elements,
                    .layout = nn_layout_plain(elements, channels),
                    .unit = unit,
                    .last_read = unit};
    return x->n_values++;
}

/* A unit of this kind after all others, from value `in` to a new one. */
static nn_unit *new_unit(nn_native *x, const nn_unit_kind *kind, const nn_node *n, int in) {
    nn_unit *u = &x->units[x->n_units];
    u->kind = kind;
    u->node = n;
    u->index = u->time = x->n_units;
    u->in = in;
    return u;
}

static bool has_trainable(const nn_native *x, const nn_unit *u) {
    if (u->kind == &nn_unit_relayout) return false;
    for (int i = 0; i < u->node->n_weights; i++)
        if (nn_native_trains(x, u, i)) return true;
    return false;
}

static nn_status finish_unit(nn_native *x, nn_unit *u, nn_err *err) {
    nn_status st = u->kind->plan ? u->kind->plan(x, u, err) : NN_OK;
    if (st) return st;
    x->n_units++;
    x->values[u->in].last_read = u->index;
    nn_out(x, u)->learns = nn_in(x, u)->learns || has_trainable(x, u);
    return NN_OK;
}

/* Gives `value` in layout `l`: itself, or the output of a relayout. */
static nn_status in_layout(nn_native *x, const nn_node *n, nn_layout l, int *value, nn_err *err) {
    const nn_value *v = &x->values[*value];
    if (memcmp(&v->layout, &l, sizeof l) == 0 ||
        (nn_layout_is_plain(v->layout) && nn_layout_is_plain(l)))
        return NN_OK;
    nn_unit *u = new_unit(x, &nn_unit_relayout, n, *value);
    u->out = new_value(x, v->elements, l.channels, u->index);
    x->values[u->out].layout = l;
    *value = u->out;
    return finish_unit(x, u, err);
}

static nn_status plain_output(nn_native *x, int node, nn_err *err) {
    const nn_node *n = &x->base.graph->nodes[node];
    int64_t elements = nn_shape_elements(&n->shape);
    return in_layout(x, n, nn_layout_plain(elements, last_axis(&n->shape)), &x->value_of[node],
                     err);
}

/* Rows whose input and output together stay near the second-level cache. */
enum { PIECE_BYTES = 4 << 20 };

/* A convolution that only a maximum pooling reads runs piece by piece with it: its output, the
 * largest tensor of such networks, and that one's gradient never exist as a whole. */
static int64_t piece_rows(const nn_native *x, const nn_unit *u) {
    int64_t bytes = (nn_in(x, u)->elements + nn_out(x, u)->elements) * (int64_t)sizeof(float);
    int64_t rows = 2 * x->threads;
    if (x->base.options.winograd) return 0; /* it pays for itself only with more rows */
    while (rows * 2 * bytes <= PIECE_BYTES) rows *= 2;
    return rows < x->base.options.batch ? rows : 0;
}

static void join_tail(nn_native *x, nn_unit *u) {
    const nn_value *in = nn_in(x, u);
    if (!u->kind->forward_piece || in->unit < 0 || x->units[in->unit].piece == 0) return;
    u->is_tail = true;
    u->time = in->unit;
    x->units[in->unit].tail = u;
}

static nn_status plan_node(nn_native *x, const nn_node *n, bool relu, bool pooled, nn_err *err) {
    const nn_unit_kind *kind = kinds[n->op];
    int in = x->value_of[n->inputs[0]];
    int64_t channels = last_axis(&x->base.graph->nodes[n->inputs[0]].shape);
    nn_layout want = nn_layout_plain(x->values[in].elements, channels);
    nn_unit asking = {.kind = kind, .node = n, .in = in};
    if (!kind->wants || kind->wants(x, &asking, &want)) {
        nn_status st = in_layout(x, n, want, &in, err);
        if (st) return st;
    }
    nn_unit *u = new_unit(x, kind, n, in);
    u->relu = relu;
    u->out = new_value(x, nn_shape_elements(&n->shape), last_axis(&n->shape), u->index);
    x->value_of[n->id] = u->out;
    if (pooled) nn_out(x, u)->rows = u->piece = piece_rows(x, u);
    join_tail(x, u);
    return finish_unit(x, u, err);
}

static bool is_relu(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_RELU;
}

/* The node whose work n joins as a relu; NULL if it does not. uses: readers of each node. */
static const nn_node *relu_host(const nn_native *x, const nn_node *n, const int *uses) {
    if (!is_relu(n)) return NULL;
    const nn_node *host = &x->base.graph->nodes[n->inputs[0]];
    bool can = host->op == NN_OP_MATMUL || host->op == NN_OP_CONV || host->op == NN_OP_BATCH_NORM;
    return can && uses[host->id] == 1 ? host : NULL;
}

/* A node that computes nothing: its value is that of its input. */
static bool vanishes(const nn_native *x, const nn_node *n) {
    if (n->op == NN_OP_RESHAPE) {
        const nn_value *v = &x->values[x->value_of[n->inputs[0]]];
        return nn_layout_is_plain(v->layout) || n->shape.rank == 1;
    }
    if (n->op == NN_OP_DROPOUT) return !x->training || n->attr.dropout.rate == 0;
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_LINEAR;
}

static int *count_uses(const nn_native *x) {
    const nn_graph *g = x->base.graph;
    int *uses = NN_NEW_N(x->arena, int, (size_t)g->n_nodes);
    for (int i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < g->nodes[i].n_inputs; j++) uses[g->nodes[i].inputs[j]]++;
    for (int i = 0; i < g->n_outputs; i++) uses[g->outputs[i]]++;
    if (x->has_loss) uses[x->loss.node]++;
    return uses;
}

/* A reshape of a blocked value that must become plain keeps the value plain itself. */
static nn_status plan_one(nn_native *x, const nn_node *n, const int *uses, nn_err *err) {
    if (n->op == NN_OP_INPUT) {
        x->value_of[n->id] = new_value(x, nn_shape_elements(&n->shape), last_axis(&n->shape), -1);
        return NN_OK;
    }
    if (relu_host(x, n, uses) || vanishes(x, n)) {
        x->value_of[n->id] = x->value_of[n->inputs[0]];
        return NN_OK;
    }
    if (n->op == NN_OP_RESHAPE) {
        int value = x->value_of[n->inputs[0]];
        const nn_value *v = &x->values[value];
        nn_status st =
            in_layout(x, n, nn_layout_plain(v->elements, v->layout.channels), &value, err);
        x->value_of[n->id] = value;
        return st;
    }
    return plan_node(x, n, false, false, err);
}

/* The convolution whose output (through a relu, maybe) only the pooling n reads; NULL if none. */
static const nn_node *pooled_conv(const nn_native *x, const nn_node *n, const int *uses) {
    if (n->op != NN_OP_MAX_POOL) return NULL;
    const nn_node *in = &x->base.graph->nodes[n->inputs[0]];
    if (uses[in->id] != 1) return NULL;
    const nn_node *host = relu_host(x, in, uses);
    if (host) in = host;
    return in->op == NN_OP_CONV ? in : NULL;
}

static nn_status plan_nodes(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    int *uses = count_uses(x);
    bool *relu = NN_NEW_N(x->arena, bool, (size_t)g->n_nodes);
    bool *pooled = NN_NEW_N(x->arena, bool, (size_t)g->n_nodes);
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *host = relu_host(x, &g->nodes[i], uses);
        const nn_node *conv = pooled_conv(x, &g->nodes[i], uses);
        if (host) relu[host->id] = true;
        if (conv) pooled[conv->id] = true;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        nn_status st = relu[i] || pooled[i] ? plan_node(x, &g->nodes[i], relu[i], pooled[i], err)
                                            : plan_one(x, &g->nodes[i], uses, err);
        if (st) return st;
    }
    nn_status st = NN_OK;
    for (int i = 0; i < g->n_outputs && !st; i++) st = plain_output(x, g->outputs[i], err);
    if (x->has_loss && !st) st = plain_output(x, x->loss.node, err);
    if (x->has_loss && !st) x->loss_value = x->value_of[x->loss.node];
    return st;
}

/* ---- gradients ---- */

/* Who needs a gradient, who contributes first (in backward order), who masks a fused relu. */
static void plan_gradients(nn_native *x) {
    nn_value *loss = &x->values[x->loss_value];
    loss->reaches = true;
    loss->gradients = 1;
    loss->grad_from = x->n_units;
    for (int i = x->n_units - 1; i >= 0; i--) {
        nn_unit *u = &x->units[i];
        nn_value *in = nn_in(x, u), *out = nn_out(x, u);
        in->reaches |= out->reaches;
        u->backward = out->reaches && out->learns;
        if (!u->backward || !in->learns) continue;
        u->adds = in->gradients++ > 0;
        if (!u->adds) in->grad_from = i;
    }
}

static void plan_masks(nn_native *x) {
    for (int i = 0; i < x->n_units; i++) x->units[i].mask_dy = x->units[i].relu;
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        const nn_value *in = nn_in(x, u);
        if (!u->backward || !in->learns || in->unit < 0 || in->gradients != 1 ||
            !x->units[in->unit].mask_dy || !u->kind->can_mask)
            continue;
        u->mask_dx = true;
        x->units[in->unit].mask_dy = false;
    }
}

/* ---- lifetimes ---- */

static void keep(nn_value *v, int time) {
    if (time > v->last_kept) v->last_kept = time;
}

static int forward_time(const nn_native *x, int unit) {
    return unit < 0 ? 0 : x->units[unit].time;
}
static int backward_time(const nn_native *x, int unit) {
    return 2 * x->n_units - forward_time(x, unit);
}
static int end_of_time(const nn_native *x) {
    return 2 * x->n_units + 1;
}

/* Its weight gradients are taken in the update: what they are made from stays until then. */
static bool defers(const nn_native *x, const nn_unit *u) {
    return x->deferring && u->kind->deferred;
}

static void plan_keeping(nn_native *x) {
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        if (!u->backward) continue;
        int time = defers(x, u) ? end_of_time(x) : backward_time(x, i);
        if (u->kind->reads_input) keep(nn_in(x, u), time);
        if (u->kind->reads_output || u->mask_dy) keep(nn_out(x, u), time);
    }
    if (x->has_loss) keep(&x->values[x->loss_value], x->n_units);
}

static void add_block(nn_native *x, int64_t floats, int first, int last, float **to) {
    x->blocks[x->n_blocks++] = (nn_block){(size_t)floats * sizeof(float), 0, first, last, to};
}

static void value_blocks(nn_native *x, nn_value *v) {
    int64_t floats = v->elements * (v->rows ? v->rows : x->base.options.batch);
    int first = v->persistent && v->unit < 0 ? 0 : forward_time(x, v->unit);
    int last = forward_time(x, v->last_read);
    if (v->last_kept > last) last = v->last_kept;
    if (v->persistent) last = end_of_time(x);
    add_block(x, floats, first, last, &v->data);
    if (v->gradients == 0) return;
    bool from_loss = v->grad_from == x->n_units;
    bool late = v->unit >= 0 && defers(x, &x->units[v->unit]);
    add_block(x, floats, from_loss ? x->n_units : backward_time(x, v->grad_from),
              late ? end_of_time(x) : backward_time(x, v->unit), &v->grad);
}

static void wish_block(nn_native *x, const struct nn_wish *w) {
    int there = w->unit->time, back = backward_time(x, w->unit->index);
    int first = w->when & NN_FOR_FORWARD ? there : back;
    int last = w->when & NN_FOR_BACKWARD ? back : there;
    if (w->unit->kind->update && w->when == (NN_FOR_FORWARD | NN_FOR_BACKWARD))
        last = end_of_time(x);
    add_block(x, w->floats, first, last, w->to);
}

static nn_status out_of_memory(const nn_native *x, size_t bytes, nn_err *err) {
    (void)!nn_fail(err, NN_E_OUT_OF_MEMORY,
                   "network '%s' needs %zu MiB to run %" PRId64 " rows at a time, and the system "
                   "refuses them",
                   x->base.graph->name, bytes >> 20, x->base.options.batch);
    return nn_err_hint(err, NN_E_OUT_OF_MEMORY, "use a smaller batch_size");
}

static nn_status place_memory(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_inputs; i++) x->values[x->value_of[g->inputs[i]]].persistent = true;
    for (int i = 0; i < g->n_outputs; i++) x->values[x->value_of[g->outputs[i]]].persistent = true;
    plan_keeping(x);
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        if (u->adds)
            nn_native_wish(x, u, nn_in(x, u)->elements * x->base.options.batch, NN_FOR_BACKWARD,
                           &u->dx);
    }
    x->blocks = NN_NEW_N(x->arena, nn_block, (size_t)(2 * x->n_values + x->n_wishes));
    for (int i = 0; i < x->n_values; i++) value_blocks(x, &x->values[i]);
    for (int i = 0; i < x->n_wishes; i++) wish_block(x, &x->wishes[i]);
    x->memory_bytes = nn_blocks_place(x->blocks, x->n_blocks);
    x->memory = nn_native_alloc(x->memory_bytes);
    if (!x->memory) return out_of_memory(x, x->memory_bytes, err);
    for (int i = 0; i < x->n_blocks; i++)
        *x->blocks[i].to = (float *)((char *)x->memory + x->blocks[i].at);
    return NN_OK;
}

/* ---- parameters ---- */

/* Trainable ones first, so that the optimiser's pass is one range. */
static void place_params(nn_native *x, bool trainable, bool deferred) {
    for (int i = 0; i < x->n_params; i++) {
        nn_param *p = &x->params[i];
        if ((x->training && p->weight->trainable) != trainable || p->deferred != deferred) continue;
        p->at = x->floats;
        x->floats += (p->floats + 15) / 16 * 16;
    }
}

static nn_status alloc_params(nn_native *x, nn_err *err) {
    for (int i = 0; i < x->n_params; i++) x->params[i].deferred &= x->params[i].unit->backward;
    place_params(x, true, false);
    x->trainable = x->floats;
    place_params(x, true, true);
    place_params(x, false, false);
    x->n_slots = x->training ? nn_exec_slots(x->base.graph) : 0;
    float **arenas[5] = {&x->w, &x->g, &x->slot[0], &x->slot[1], &x->slot[2]};
    int n = x->training ? 2 + x->n_slots : 1;
    size_t bytes = (size_t)x->floats * sizeof(float);
    for (int i = 0; i < n; i++)
        if (!(*arenas[i] = nn_native_alloc(bytes))) return out_of_memory(x, bytes, err);
    x->extra_bytes += (int64_t)bytes * n;
    return NN_OK;
}

static nn_status alloc_scratch(nn_native *x, nn_err *err) {
    size_t pack = (size_t)x->threads * (size_t)x->pack_floats * sizeof(float);
    if (x->scratch_bytes && !(x->scratch = nn_native_alloc(x->scratch_bytes)))
        return out_of_memory(x, x->scratch_bytes, err);
    if (pack && !(x->pack = nn_native_alloc(pack))) return out_of_memory(x, pack, err);
    x->extra_bytes += (int64_t)(x->scratch_bytes + pack);
    size_t rows = (size_t)x->base.options.batch;
    if (!x->has_loss) return NN_OK;
    x->row_loss = nn_alloc_large(rows * sizeof *x->row_loss, true);
    x->row_right = nn_alloc_large(rows * sizeof *x->row_right, true);
    return x->row_loss && x->row_right ? NN_OK : out_of_memory(x, rows, err);
}

static nn_status bind_units(nn_native *x, nn_err *err) {
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        u->x = nn_in(x, u)->data;
        u->y = nn_out(x, u)->data;
        u->dy = nn_out(x, u)->grad;
        if (!u->adds && u->backward && nn_in(x, u)->learns) u->dx = nn_in(x, u)->grad;
        nn_status st = u->kind->bind ? u->kind->bind(x, u, err) : NN_OK;
        if (st) return st;
    }
    return NN_OK;
}

/* ---- the whole ---- */

static bool runs(const nn_node *n) {
    return kinds[n->op]->forward || n->op == NN_OP_INPUT || n->op == NN_OP_RESHAPE;
}

nn_status nn_native_check(const nn_graph *g, bool training, nn_err *err) {
    (void)training; /* what it runs it trains */
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (!runs(n)) return nn_engine_cannot(&nn_engine_native, n, NULL, err);
        nn_status st = nn_engine_check(&nn_engine_native, n, err);
        if (st) return st;
    }
    return NN_OK;
}

static nn_status check_sizes(const nn_graph *g, int64_t batch, nn_err *err) {
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        int64_t elements = nn_shape_elements(&n->shape);
        char shape[128];
        nn_shape_print(&n->shape, true, shape, sizeof shape);
        if (elements < 1)
            return nn_fail(err, NN_E_UNSUPPORTED,
                           "the output of '%s' has the shape %s: the native engine needs known "
                           "sizes",
                           n->name, shape);
        if (elements > INT32_MAX / 2 || elements > (INT64_MAX >> 8) / batch)
            return nn_fail(err, NN_E_LIMIT,
                           "the output of '%s' has the shape %s: too large for %" PRId64 " rows",
                           n->name, shape, batch);
    }
    return NN_OK;
}

static nn_status alloc_tables(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    size_t units = 2 * (size_t)g->n_nodes + (size_t)g->n_outputs + 1;
    x->units = NN_NEW_N(x->arena, nn_unit, units);
    x->values = NN_NEW_N(x->arena, nn_value, units);
    x->value_of = NN_NEW_N(x->arena, int, (size_t)g->n_nodes);
    x->params = NN_NEW_N(x->arena, nn_param, (size_t)g->n_weights + 1);
    bool ok = x->units && x->values && x->value_of && x->params;
    return ok ? NN_OK : out_of_memory(x, units * sizeof *x->units, err);
}

nn_status nn_native_plan(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    nn_status st = nn_native_check(g, x->training, err);
    if (!st) st = check_sizes(g, x->base.options.batch, err);
    if (!st) x->has_loss = nn_loss_plan_make(g, &x->loss, err) == NN_OK;
    if (!st && x->training && !x->has_loss) return err ? err->code : NN_E_UNSUPPORTED;
    if (!st) st = alloc_tables(x, err);
    if (!st) st = plan_nodes(x, err);
    if (st) return st;
    if (x->training) plan_gradients(x), plan_masks(x);
    st = place_memory(x, err);
    if (!st) st = alloc_params(x, err);
    if (!st) st = alloc_scratch(x, err);
    return st ? st : bind_units(x, err);
}
