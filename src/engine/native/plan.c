/* SPDX-License-Identifier: MIT */
/* plan.c - from a graph to units, values and memory; see native.h.
 *
 * Fused: a relu into the matmul, convolution or normalisation before it; reshapes and, outside of
 * training, dropout vanish (the same value goes on); the gradient of a fused relu is taken by the
 * unit after it where that one can. A flattened blocked tensor stays blocked: matmul permutes its
 * weights instead. A value that several read is relaid once for those that want the same layout,
 * and nothing is fused over it. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <inttypes.h>
#include <omp.h>
#include <string.h>

static const nn_unit_kind *const kinds[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = &nn_unit_##n,
#include "graph/ops.def"
#undef NN_OP
};

/* ---- what the kinds call ---- */

static int64_t last_axis(const nn_shape *s) {
    return s->rank ? s->dim[s->rank - 1] : 1;
}

bool nn_wants_any(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    (void)x, (void)u, (void)i, (void)ret;
    return false;
}

bool nn_wants_channels(const nn_native *x, const nn_unit *u, int i, nn_layout *ret) {
    const nn_value *v = nn_in_at(x, u, i);
    int64_t channels = last_axis(u->in[i].shape);
    if (nn_layout_is_plain(v->layout) || v->layout.channels == channels) return false;
    *ret = nn_layout_plain(v->elements, channels);
    return true;
}

nn_layout nn_native_channels(const nn_native *x, const nn_unit *u) {
    const nn_value *v = nn_in(x, u);
    int64_t channels = last_axis(u->in->shape);
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

typedef struct pass {
    const float *from;
    float *to;
    int64_t n;
} pass;

enum { CHUNK = 4096 };

static int64_t chunk_end(const pass *p, int64_t end) {
    return end * CHUNK < p->n ? end * CHUNK : p->n;
}

static void run_add(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    int64_t at = begin * CHUNK;
    x->k->add(chunk_end(p, end) - at, p->from + at, p->to + at);
}

static void run_mask(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pass *p = arg;
    int64_t at = begin * CHUNK;
    x->k->relu_mask(chunk_end(p, end) - at, p->from + at, p->to + at);
}

void nn_native_add(const nn_native *x, int64_t n, const float *from, float *to) {
    pass p = {from, to, n};
    nn_parallel(x, (n + CHUNK - 1) / CHUNK, 2.0 * (double)n, run_add, &p);
}

void nn_native_relu_mask(const nn_native *x, int64_t n, const float *y, float *dy) {
    pass p = {y, dy, n};
    nn_parallel(x, (n + CHUNK - 1) / CHUNK, 2.0 * (double)n, run_mask, &p);
}

/* ---- units and values ---- */

static int new_value(nn_native *x, int64_t elements, int64_t channels, int64_t fold, int unit) {
    int id = x->n_values++;
    x->values[id] = (nn_value){.elements = elements,
                               .fold = fold,
                               .layout = nn_layout_plain(elements, channels),
                               .of = id,
                               .grad_of = id,
                               .unit = unit,
                               .last_read = unit};
    return id;
}

static nn_value *whole(const nn_native *x, int value) {
    return &x->values[x->values[value].of];
}

static int input_value(nn_native *x, const nn_node *n) {
    return new_value(x, nn_shape_elements(&n->shape), last_axis(&n->shape), n->fold, -1);
}

static bool is_token(const nn_unit_kind *k, int i) {
    return k->tokens >> i & 1;
}

/* A unit of this kind after all others, from n_in values to a new one. It counts when finish_unit
 * is through with it. */
static nn_unit *new_unit(nn_native *x, const nn_unit_kind *kind, const nn_node *n, int n_in,
                         const int *values) {
    nn_unit *u = &x->units[x->n_units];
    *u = (nn_unit){.kind = kind,
                   .node = n,
                   .index = x->n_units,
                   .time = x->n_units,
                   .fold = x->values[values[0]].fold,
                   .in = NN_NEW_N(x->arena, nn_operand, (size_t)n_in),
                   .n_in = n_in,
                   .reads_input = kind->reads_input,
                   .reads_output = kind->reads_output,
                   .grad_in_place = kind->grad_in_place};
    for (int i = 0; i < n_in; i++)
        u->in[i] = (nn_operand){.value = values[i],
                                .shape = &x->base.graph->nodes[n->inputs[i]].shape,
                                .learns = !is_token(kind, i) && whole(x, values[i])->learns};
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
    nn_value *out = nn_out(x, u);
    out->learns = has_trainable(x, u);
    for (int i = 0; i < u->n_in; i++) {
        whole(x, u->in[i].value)->last_read = u->index;
        out->learns |= u->in[i].learns;
    }
    return NN_OK;
}

static bool same_layout(nn_layout a, nn_layout b) {
    return memcmp(&a, &b, sizeof a) == 0 || (nn_layout_is_plain(a) && nn_layout_is_plain(b));
}

/* The relayout of this value to `l` that another reader asked for; NULL if there is none. */
static const nn_unit *find_relayout(const nn_native *x, int value, nn_layout l) {
    for (int i = 0; i < x->n_units; i++) {
        const nn_unit *u = &x->units[i];
        if (u->kind == &nn_unit_relayout && u->in->value == value &&
            same_layout(nn_out(x, u)->layout, l))
            return u;
    }
    return NULL;
}

/* Gives `value`, which n reads, in layout `l`: itself, or the output of a relayout. */
static nn_status in_layout(nn_native *x, const nn_node *n, nn_layout l, int *value, nn_err *err) {
    const nn_value *v = &x->values[*value];
    if (same_layout(v->layout, l)) return NN_OK;
    const nn_unit *found = find_relayout(x, *value, l);
    if (found) {
        *value = found->out;
        return NN_OK;
    }
    nn_unit *u = new_unit(x, &nn_unit_relayout, n, 1, value);
    u->out = new_value(x, v->elements, l.channels, v->fold, u->index);
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
enum { PIECE_BYTES = 2 << 20 };

/* A convolution that only a maximum pooling reads runs piece by piece with it: its output, the
 * largest tensor of such networks, and that one's gradient never exist as a whole. */
static int64_t piece_rows(const nn_native *x, const nn_unit *u) {
    int64_t bytes = (nn_in(x, u)->elements + nn_out(x, u)->elements) * (int64_t)sizeof(float);
    int64_t rows = 2 * x->threads;
    if (x->base.options.winograd) return 0; /* it pays for itself only with more rows */
    while (rows * 2 * bytes <= PIECE_BYTES) rows *= 2;
    return rows < nn_rows(x, u) ? rows : 0;
}

static void join_tail(nn_native *x, nn_unit *u) {
    const nn_value *in = nn_in(x, u);
    if (!u->kind->forward_piece || in->unit < 0 || x->units[in->unit].piece == 0) return;
    u->is_tail = true;
    u->time = in->unit;
    x->units[in->unit].tail = u;
}

/* Puts each input into the layout that the kind wants it in. */
static nn_status input_values(nn_native *x, const nn_node *n, int *values, nn_err *err) {
    const nn_unit_kind *kind = kinds[n->op];
    for (int i = 0; i < n->n_inputs; i++) values[i] = x->value_of[n->inputs[i]];
    for (int i = 0; i < n->n_inputs; i++) {
        const nn_unit *asking = new_unit(x, kind, n, n->n_inputs, values);
        nn_layout want =
            nn_layout_plain(x->values[values[i]].elements, last_axis(asking->in[i].shape));
        if (kind->wants && !kind->wants(x, asking, i, &want)) continue;
        nn_status st = in_layout(x, n, want, &values[i], err);
        if (st) return st;
    }
    return NN_OK;
}

/* What a node does beyond its own work. */
typedef struct joined {
    bool relu, pooled;   /* by a relu behind it; in pieces with the pooling behind it */
    const nn_node *norm; /* the normalisation in its weights */
    bool in_place;
} joined;

static nn_status plan_node(nn_native *x, const nn_node *n, const joined *j, nn_err *err) {
    int values[NN_MAX_INPUTS];
    nn_status st = input_values(x, n, values, err);
    if (st) return st;
    nn_unit *u = new_unit(x, kinds[n->op], n, n->n_inputs, values);
    u->relu = j->relu;
    u->norm = j->norm;
    u->out = new_value(x, nn_shape_elements(&n->shape), last_axis(&n->shape), n->fold, u->index);
    x->value_of[n->id] = u->out;
    if (j->pooled) nn_out(x, u)->rows = u->piece = piece_rows(x, u);
    if (j->in_place) nn_out(x, u)->of = nn_in(x, u)->of;
    join_tail(x, u);
    st = finish_unit(x, u, err);
    return st || !u->norm ? st : nn_norm_plan(x, u, err);
}

static bool is_relu(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_RELU;
}

/* The node whose work n joins as a relu; NULL if it does not. uses: readers of each node. */
static const nn_node *relu_host(const nn_native *x, const nn_node *n, const int *uses) {
    if (!is_relu(n)) return NULL;
    const nn_node *host = &x->base.graph->nodes[n->inputs[0]];
    return kinds[host->op]->can_relu && uses[host->id] == 1 ? host : NULL;
}

/* The node into whose weights the normalisation n is folded; NULL: none. */
static const nn_node *norm_host(const nn_native *x, const nn_node *n, const int *uses) {
    if (x->training || n->op != NN_OP_BATCH_NORM) return NULL;
    const nn_node *host = &x->base.graph->nodes[n->inputs[0]];
    return kinds[host->op]->can_norm && uses[host->id] == 1 ? host : NULL;
}

/* Whether n's input can become its output: nothing else reads what lies there, and a unit made it.
 * Nodes that compute nothing are seen through. */
static bool in_place(const nn_native *x, const nn_node *n, const int *uses) {
    if (x->training || !kinds[n->op]->in_place) return false;
    const nn_node *in = &x->base.graph->nodes[n->inputs[0]];
    int value = x->values[x->value_of[in->id]].of;
    while (uses[in->id] == 1 && in->n_inputs > 0) {
        const nn_node *before = &x->base.graph->nodes[in->inputs[0]];
        if (x->values[x->value_of[before->id]].of != value)
            return x->values[value].unit >= 0 && x->values[value].rows == 0;
        in = before;
    }
    return false;
}

/* A node that computes nothing: its value is that of its input. */
static bool vanishes(const nn_native *x, const nn_node *n) {
    if (n->op == NN_OP_RESHAPE) {
        const nn_value *v = &x->values[x->value_of[n->inputs[0]]];
        return nn_layout_is_plain(v->layout) || n->shape.rank == 1 ||
               v->layout.channels == last_axis(&n->shape);
    }
    if (n->op == NN_OP_DROPOUT) return !x->training || n->attr.dropout.rate == 0;
    if (n->op == NN_OP_NOISE) return !x->training || n->attr.noise.value == 0;
    if (n->op == NN_OP_ACTIVITY_REG) return !x->training;
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

/* The same elements in other rows: another view of the plain value. */
static int folded(nn_native *x, const nn_node *n, int value) {
    int of = x->values[value].of;
    int view = new_value(x, nn_shape_elements(&n->shape), last_axis(&n->shape), n->fold,
                         x->values[of].unit);
    x->values[view].of = of;
    return view;
}

static bool folds(const nn_node *n) {
    return n->op == NN_OP_FOLD || n->op == NN_OP_UNFOLD;
}

/* A reshape of a blocked value that must become plain keeps the value plain itself. */
static nn_status plan_one(nn_native *x, const nn_node *n, const int *uses, nn_err *err) {
    if (n->op == NN_OP_INPUT) {
        x->value_of[n->id] = input_value(x, n);
        return NN_OK;
    }
    if (relu_host(x, n, uses) || norm_host(x, n, uses) || vanishes(x, n)) {
        x->value_of[n->id] = x->value_of[n->inputs[0]];
        return NN_OK;
    }
    if (n->op == NN_OP_RESHAPE || folds(n)) {
        int value = x->value_of[n->inputs[0]];
        const nn_value *v = &x->values[value];
        nn_status st =
            in_layout(x, n, nn_layout_plain(v->elements, v->layout.channels), &value, err);
        x->value_of[n->id] = folds(n) && !st ? folded(x, n, value) : value;
        return st;
    }
    return plan_node(x, n, &(joined){.in_place = in_place(x, n, uses)}, err);
}

/* The convolution whose output (through a relu, maybe) only the pooling n reads; NULL if none. */
static const nn_node *pooled_conv(const nn_native *x, const nn_node *n, const int *uses) {
    if (n->op != NN_OP_MAX_POOL) return NULL;
    const nn_node *in = &x->base.graph->nodes[n->inputs[0]];
    if (uses[in->id] != 1) return NULL;
    const nn_node *host = relu_host(x, in, uses);
    if (host) in = host;
    host = norm_host(x, in, uses);
    if (host) in = host;
    return in->op == NN_OP_CONV ? in : NULL;
}

/* A relu behind a folded normalisation joins the same node. */
static void find_joined(const nn_native *x, const int *uses, joined *with) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i], *relu = relu_host(x, n, uses);
        const nn_node *norm = norm_host(x, n, uses), *conv = pooled_conv(x, n, uses);
        const nn_node *behind = relu ? norm_host(x, relu, uses) : NULL;
        if (relu) with[behind ? behind->id : relu->id].relu = true;
        if (norm) with[norm->id].norm = n;
        if (conv) with[conv->id].pooled = true;
    }
}

static nn_status plan_nodes(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    int *uses = count_uses(x);
    joined *with = NN_NEW_N(x->arena, joined, (size_t)g->n_nodes);
    find_joined(x, uses, with);
    for (int i = 0; i < g->n_nodes; i++) {
        const joined *j = &with[i];
        nn_status st = j->relu || j->pooled || j->norm ? plan_node(x, &g->nodes[i], j, err)
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

/* Input i of u: its share of the gradient, unless it has none. */
static void plan_share(nn_native *x, nn_unit *u, int i) {
    nn_value *in = whole(x, u->in[i].value);
    u->in[i].learns &= u->backward;
    if (!u->in[i].learns) return;
    u->in[i].adds = in->gradients++ > 0;
    if (!u->in[i].adds) in->grad_from = u->index;
}

/* Who needs a gradient, who contributes first (in backward order), who masks a fused relu. */
static void plan_gradients(nn_native *x) {
    nn_value *loss = whole(x, x->loss_value);
    loss->reaches = true;
    loss->gradients = 1;
    loss->grad_from = x->n_units;
    for (int i = x->n_units - 1; i >= 0; i--) {
        nn_unit *u = &x->units[i];
        const nn_value *out = nn_out(x, u);
        bool reaches = out->reaches || nn_unit_penalises(x, u);
        u->backward = reaches && out->learns;
        for (int j = 0; j < u->n_in; j++) {
            if (!is_token(u->kind, j)) whole(x, u->in[j].value)->reaches |= reaches;
            plan_share(x, u, j);
        }
    }
}

static void plan_masks(nn_native *x) {
    for (int i = 0; i < x->n_units; i++) x->units[i].mask_dy = x->units[i].relu;
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        const nn_value *in = whole(x, u->in->value);
        if (!u->in->learns || in->unit < 0 || in->gradients != 1 || !x->units[in->unit].mask_dy ||
            !u->kind->can_mask)
            continue;
        u->mask_dx = true;
        x->units[in->unit].mask_dy = false;
    }
}

/* ---- the whole ---- */

static bool runs(const nn_node *n) {
    return kinds[n->op]->forward || n->op == NN_OP_INPUT || n->op == NN_OP_RESHAPE || folds(n);
}

nn_status nn_native_check(const nn_graph *g, bool training, nn_err *err) {
    (void)training; /* what it runs it trains */
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (n->op == NN_OP_CUSTOM) return nn_engine_named_only(n, err);
        if (!runs(n)) return nn_engine_cannot(&nn_engine_native, n, NULL, err);
        const char *what = kinds[n->op]->lacks ? kinds[n->op]->lacks(n) : NULL;
        if (what) return nn_engine_cannot(&nn_engine_native, n, what, err);
    }
    return NN_OK;
}

static nn_status check_sizes(const nn_graph *g, int64_t batch, nn_err *err) {
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        int64_t elements = nn_shape_elements(&n->shape);
        char shape[128];
        nn_shape_print(&n->shape, true, shape, sizeof shape);
        if (elements < 1 || n->fold < 1)
            return nn_fail(err, NN_E_UNSUPPORTED,
                           "the output of '%s' has the shape %s: the native engine needs known "
                           "sizes",
                           n->name, shape);
        if (elements > INT32_MAX / 2 || elements > (INT64_MAX >> 8) / batch / n->fold)
            return nn_fail(err, NN_E_LIMIT,
                           "the output of '%s' has the shape %s: too large for %" PRId64 " rows",
                           n->name, shape, batch);
    }
    return NN_OK;
}

static nn_status alloc_tables(nn_native *x, nn_err *err) {
    const nn_graph *g = x->base.graph;
    size_t units = (size_t)(g->n_nodes + g->n_outputs + 1); /* and a relayout for each input */
    for (int i = 0; i < g->n_nodes; i++) units += (size_t)g->nodes[i].n_inputs;
    x->units = NN_NEW_N(x->arena, nn_unit, units);
    x->values = NN_NEW_N(x->arena, nn_value, units);
    x->value_of = NN_NEW_N(x->arena, int, (size_t)g->n_nodes);
    x->params = NN_NEW_N(x->arena, nn_param, (size_t)g->n_weights + 1);
    bool ok = x->units && x->values && x->value_of && x->params;
    return ok ? NN_OK : nn_native_refused(x, units * sizeof *x->units, err);
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
    return nn_native_place(x, err);
}
