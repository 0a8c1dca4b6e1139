/* SPDX-License-Identifier: MIT */
/* reference.c - the executor: runs the nodes in order, then backwards, then updates.
 *
 * Every node keeps its output and its gradient for the whole step, so that backward can look at
 * anything. Weights are doubles that hold float values: after an update they are rounded, so that
 * what get_weights and get_state give is the whole state, and a training resumed from it goes on
 * identically. */
#include "engine/reference/reference.h"

#include "base/clock.h"
#include "engine/optimizer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ref_exec {
    nn_exec base; /* first: an nn_exec is cast to this */
    nn_loss_plan plan;
    int64_t *elements;          /* of a row of each node; a sample has node->fold of them */
    double *scratch;            /* as much as the op that takes most */
    double **y, **dy;           /* by node: its output; the gradient there (training) */
    double *doubles;            /* the memory of these, of scratch and of the next two */
    double *weights, *gradient; /* slabs */
    float *floats;              /* the memory of the next three */
    float *state;               /* nn_exec_slots slabs */
    float *input[8], *output[8];
    double learning_rate;
    int64_t updates;
    size_t bytes;
    const nn_observer *observer; /* of this pass; NULL: nobody looks */
    float *seen;                 /* room for a node's values as floats, while they are looked at */
} ref_exec;

static ref_exec *of(nn_exec *x) {
    return (ref_exec *)x;
}

static bool reference_available(const char **ret_reason) {
    (void)ret_reason;
    return true;
}

static void reference_close(nn_exec *base) {
    ref_exec *x = of(base);
    free(x->elements);
    free(x->y);
    free(x->dy);
    free(x->doubles);
    free(x->floats);
    free(x);
}

/* ---- planning ---- */

static const nn_ref_op *const ops[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = &nn_ref_##n,
#include "graph/ops.def"
#undef NN_OP
};

bool nn_reference_runs(nn_op op) {
    return ops[op]->forward != NULL;
}

static nn_status check_ops(const nn_graph *g, bool training, nn_err *err) {
    (void)training; /* all that it runs */
    for (int i = 0; i < g->n_nodes; i++)
        if (!nn_reference_runs(g->nodes[i].op)) return nn_engine_named_only(&g->nodes[i], err);
    return NN_OK;
}

/* Rows of node i in a batch of so many. */
static int64_t rows_of(const ref_exec *x, int node, int64_t rows) {
    return rows * x->base.graph->nodes[node].fold;
}

/* Its elements in a batch. */
static int64_t size_of(const ref_exec *x, int node, int64_t rows) {
    return rows_of(x, node, rows) * x->elements[node];
}

/* Doubles that all of the nodes' values and the scratch memory take; each product stays far below
 * 2^63. */
static nn_status measure(ref_exec *x, int64_t *ret_activations, int64_t *ret_scratch, nn_err *err) {
    const int64_t limit = (int64_t)1 << 42;
    const nn_graph *g = x->base.graph;
    int64_t sum = 0, most = 0, batch = x->base.options.batch;
    for (int i = 0; i < g->n_nodes; i++) {
        char shape[128];
        const nn_node *n = &g->nodes[i];
        x->elements[i] = nn_shape_elements(&n->shape);
        if (x->elements[i] < 0 || n->fold < 0)
            return nn_fail(err, NN_E_UNSUPPORTED,
                           "'%s' has the shape %s: an engine needs known sizes", n->name,
                           nn_shape_print(&n->shape, true, shape, sizeof shape));
        int64_t scratch = ops[n->op]->scratch ? ops[n->op]->scratch(g, n) : 0;
        if (scratch < 0 || n->fold > limit / x->elements[i] ||
            x->elements[i] * n->fold > (limit - sum) / batch)
            return nn_fail(err, NN_E_OUT_OF_MEMORY,
                           "the activations of batches of %" PRId64 " rows do not fit in memory",
                           batch);
        sum += size_of(x, i, batch);
        if (scratch > most) most = scratch;
    }
    nn_loss_plan p;
    if (nn_loss_plan_make(g, &p, NULL) == NN_OK && nn_loss_scratch(&p) > most)
        most = nn_loss_scratch(&p); /* evaluating takes it too */
    *ret_activations = sum;
    *ret_scratch = most;
    return NN_OK;
}

/* Hands out the two blocks: y and dy of every node and the slabs; state, inputs and outputs. */
static nn_status allocate(ref_exec *x, int64_t activations, int64_t scratch, nn_err *err) {
    const nn_graph *g = x->base.graph;
    bool training = x->base.options.training;
    int64_t batch = x->base.options.batch, slots = training ? nn_exec_slots(g) : 0;
    int64_t borders = 0;
    for (int i = 0; i < g->n_inputs; i++) borders += size_of(x, g->inputs[i], batch);
    for (int i = 0; i < g->n_outputs; i++) borders += size_of(x, g->outputs[i], batch);
    size_t doubles = (size_t)((activations + g->slab) * (training ? 2 : 1) + scratch + g->n_nodes);
    size_t floats = (size_t)(borders + slots * g->slab);
    x->doubles = calloc(doubles + 1, sizeof *x->doubles);
    x->floats = calloc(floats + 1, sizeof *x->floats);
    if (!x->doubles || !x->floats)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for batches of %" PRId64 " rows", batch);
    x->bytes = doubles * sizeof *x->doubles + floats * sizeof *x->floats;

    double *d = x->doubles;
    x->weights = d, d += g->slab;
    if (training) x->gradient = d, d += g->slab;
    x->scratch = d, d += scratch;
    for (int i = 0; i < g->n_nodes; i++) {
        x->y[i] = d, d += size_of(x, i, batch) + 1; /* the one behind it is nobody's: tests look */
        if (training) x->dy[i] = d, d += size_of(x, i, batch);
    }
    float *f = x->floats;
    x->state = f, f += slots * g->slab;
    if (training) nn_state_init(g, x->state);
    for (int i = 0; i < g->n_inputs; i++) x->input[i] = f, f += size_of(x, g->inputs[i], batch);
    for (int i = 0; i < g->n_outputs; i++) x->output[i] = f, f += size_of(x, g->outputs[i], batch);
    return NN_OK;
}

static nn_status reference_open(const nn_graph *g, const nn_exec_options *o, nn_exec **ret,
                                nn_err *err) {
    assert(o->batch >= 1);
    nn_status can = check_ops(g, o->training, err);
    if (can) return can;
    ref_exec *x = calloc(1, sizeof *x);
    if (!x) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for an executor");
    x->base = (nn_exec){.engine = &nn_engine_reference, .graph = g, .options = *o};
    x->base.options.threads = 1;
    x->learning_rate = g->train.optimizer.learning_rate;
    x->elements = calloc((size_t)g->n_nodes + 1, sizeof *x->elements);
    x->y = calloc((size_t)g->n_nodes + 1, sizeof *x->y);
    x->dy = calloc((size_t)g->n_nodes + 1, sizeof *x->dy);
    int64_t activations = 0, scratch = 0;
    nn_status s = x->elements && x->y && x->dy
                      ? measure(x, &activations, &scratch, err)
                      : nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for an executor");
    if (s == NN_OK && o->training) s = nn_loss_plan_make(g, &x->plan, err);
    if (s == NN_OK) s = allocate(x, activations, scratch, err);
    if (s != NN_OK) {
        reference_close(&x->base);
        return s;
    }
    *ret = &x->base;
    return NN_OK;
}

/* ---- running ---- */

/* `rows`: of the batch. */
static nn_ref ref_of(const ref_exec *x, int node, int64_t rows, bool training) {
    const nn_graph *g = x->base.graph;
    const nn_node *n = &g->nodes[node];
    nn_ref r = {.graph = g,
                .node = n,
                .out = &n->shape,
                .rows = rows_of(x, node, rows),
                .out_elements = x->elements[node],
                .y = x->y[node],
                .dy = x->dy[node],
                .scratch = x->scratch,
                .training = training,
                .seed = x->base.options.seed,
                .updates = x->updates};
    for (int i = 0; i < n->n_inputs; i++)
        r.inputs[i] = (nn_ref_operand){&g->nodes[n->inputs[i]].shape, x->elements[n->inputs[i]],
                                       x->y[n->inputs[i]], x->dy[n->inputs[i]]};
    if (n->n_inputs > 0) {
        r.in = r.inputs[0].shape;
        r.in_elements = r.inputs[0].elements;
        r.x = r.inputs[0].x;
        r.dx = r.inputs[0].dx;
    }
    for (int i = 0; i < n->n_weights; i++) {
        r.w[i] = x->weights + g->weights[n->weights[i]].offset;
        if (x->gradient) r.dw[i] = x->gradient + g->weights[n->weights[i]].offset;
    }
    return r;
}

static void take_inputs(ref_exec *x, int64_t rows) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_inputs; i++)
        for (int64_t e = 0; e < size_of(x, g->inputs[i], rows); e++)
            x->y[g->inputs[i]][e] = x->input[i][e];
}

static void give_outputs(ref_exec *x, int64_t rows) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_outputs; i++)
        for (int64_t e = 0; e < size_of(x, g->outputs[i], rows); e++)
            x->output[i][e] = (float)x->y[g->outputs[i]][e];
}

/* ---- looking inside ---- */

static int64_t begin_work(const ref_exec *x) {
    return x->observer && x->observer->work ? nn_clock_mono() : 0;
}

/* A node's own work; each array once, as doubles. */
static void did(const ref_exec *x, nn_phase pass, int node, int64_t rows, int64_t begin) {
    const nn_node *n = node < 0 ? NULL : &x->base.graph->nodes[node];
    if (!x->observer || !x->observer->work) return;
    int64_t doubles = n ? size_of(x, node, rows) : 0;
    for (int i = 0; n && i < n->n_inputs; i++) doubles += size_of(x, n->inputs[i], rows);
    for (int i = 0; n && i < n->n_weights; i++)
        doubles += x->base.graph->weights[n->weights[i]].elements;
    nn_work w = {.pass = pass,
                 .kind = n                         ? nn_op_name(n->op)
                         : pass == NN_PHASE_UPDATE ? "optimizer"
                                                   : "loss",
                 .node = node,
                 .last = node,
                 .seconds = (double)(nn_clock_mono() - begin) * 1e-9,
                 .bytes = doubles * (int64_t)sizeof(double) * (pass == NN_PHASE_BACKWARD ? 2 : 1)};
    x->observer->work(x->observer->ctx, &w);
}

static void show(const ref_exec *x, int node, bool gradient, int64_t rows) {
    if (!x->observer || !x->observer->value) return;
    const double *from = gradient ? x->dy[node] : x->y[node];
    int64_t n = size_of(x, node, rows);
    for (int64_t i = 0; i < n; i++) x->seen[i] = (float)from[i];
    x->observer->value(x->observer->ctx, node, gradient, x->seen, n);
}

static nn_status run_forward(ref_exec *x, int64_t rows, bool training, nn_err *err) {
    for (int i = 0; i < x->base.graph->n_nodes; i++) {
        int64_t begin = begin_work(x);
        nn_ref r = ref_of(x, i, rows, training);
        nn_status s = ops[r.node->op]->check ? ops[r.node->op]->check(&r, err) : NN_OK;
        if (s != NN_OK) return s;
        ops[r.node->op]->forward(&r);
        did(x, NN_PHASE_FORWARD, i, rows, begin);
        show(x, i, false, rows);
    }
    return NN_OK;
}

static double sign(double w) {
    return (w > 0) - (w < 0);
}

/* The regularisers' part of the loss; adds its gradient where that is wanted. */
static double regularise(const ref_exec *x, bool with_gradient) {
    const nn_graph *g = x->base.graph;
    double loss = 0;
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        double l1 = w->regularizer.l1, l2 = w->regularizer.l2;
        if (!w->trainable || (l1 == 0 && l2 == 0)) continue;
        for (int64_t e = w->offset; e < w->offset + w->elements; e++) {
            double v = x->weights[e];
            loss += l1 * fabs(v) + l2 * v * v;
            if (with_gradient) x->gradient[e] += l1 * sign(v) + 2 * l2 * v;
        }
    }
    return loss;
}

/* The penalties of the activity regularisers that the loss follows from. */
static double activity(const ref_exec *x, int last, int64_t rows) {
    double loss = 0;
    for (int i = 0; i <= last; i++) {
        if (x->base.graph->nodes[i].op != NN_OP_ACTIVITY_REG) continue;
        nn_ref r = ref_of(x, i, rows, false);
        loss += nn_ref_activity_loss(&r);
    }
    return loss;
}

/* Loss after run_forward. */
static double loss_only(const ref_exec *x, const nn_loss_plan *p, int64_t rows, const nn_targets *t,
                        nn_step *ret) {
    return nn_ref_loss(p, rows, x->y[p->node], t, NULL, x->scratch, ret) + regularise(x, false) +
           activity(x, p->node, rows);
}

/* Loss after run_forward, and the gradient everywhere. Nodes behind plan.node have none: the loss
 * formula contains them. */
static double loss_and_gradient(ref_exec *x, int64_t rows, const nn_targets *t, bool training,
                                nn_step *ret) {
    const nn_graph *g = x->base.graph;
    memset(x->gradient, 0, (size_t)g->slab * sizeof *x->gradient);
    for (int i = 0; i < g->n_nodes; i++)
        memset(x->dy[i], 0, (size_t)size_of(x, i, rows) * sizeof *x->dy[i]);
    int from = x->plan.node;
    int64_t begin = begin_work(x);
    double loss = nn_ref_loss(&x->plan, rows, x->y[from], t, x->dy[from], x->scratch, ret);
    did(x, NN_PHASE_LOSS, -1, rows, begin);
    for (int i = from; i >= 0; i--) {
        show(x, i, true, rows);
        begin = begin_work(x);
        nn_ref r = ref_of(x, i, rows, training);
        ops[r.node->op]->backward(&r);
        did(x, NN_PHASE_BACKWARD, i, rows, begin);
    }
    for (int i = 0; i < g->n_weights; i++)
        if (!g->weights[i].trainable)
            memset(x->gradient + g->weights[i].offset, 0,
                   (size_t)g->weights[i].elements * sizeof *x->gradient);
    return loss + regularise(x, true) + activity(x, from, rows);
}

/* ---- finite or not ---- */

/* As floats, since that is what other engines compute with. */
static bool all_finite(const double *p, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite((float)p[i])) return false;
    return true;
}

/* Where it went wrong first: forward by outputs, then backward by gradients. */
static int first_bad_node(const ref_exec *x, int64_t rows) {
    for (int i = 0; i < x->base.graph->n_nodes; i++)
        if (!all_finite(x->y[i], size_of(x, i, rows))) return i;
    for (int i = x->plan.node; i >= 0; i--)
        if (!all_finite(x->dy[i], size_of(x, i, rows))) return i;
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_weights; k++) {
            const nn_weight *w = &g->weights[g->nodes[i].weights[k]];
            if (!all_finite(x->gradient + w->offset, w->elements)) return i;
        }
    return -1;
}

/* ---- updating ---- */

static double squares(const double *p, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += p[i] * p[i];
    return sum;
}

/* Gradients of weights that are not trainable are 0, so they take no part in the common norm. */
static void clip_gradients(ref_exec *x) {
    const nn_graph *g = x->base.graph;
    const nn_optimizer *o = &g->train.optimizer;
    double common = nn_clip_scale(sqrt(squares(x->gradient, g->slab)), o->global_clipnorm);
    for (int i = 0; i < g->n_weights; i++) {
        double *p = x->gradient + g->weights[i].offset;
        int64_t n = g->weights[i].elements;
        double own = nn_clip_scale(sqrt(squares(p, n)), o->clipnorm);
        for (int64_t e = 0; e < n; e++) {
            if (o->clipnorm > 0)
                p[e] *= own;
            else if (o->global_clipnorm > 0)
                p[e] *= common;
            else if (o->clipvalue > 0)
                p[e] = fmax(-o->clipvalue, fmin(o->clipvalue, p[e]));
        }
    }
}

static void update_weight(ref_exec *x, const nn_weight *w, const nn_update *u) {
    int64_t slab = x->base.graph->slab;
    int slots = nn_exec_slots(x->base.graph);
    for (int64_t e = w->offset; e < w->offset + w->elements; e++) {
        float *slot[NN_MAX_SLOTS] = {NULL};
        for (int i = 0; i < slots; i++) slot[i] = x->state + i * slab + e;
        x->weights[e] = (float)nn_update_weight(u, x->weights[e], x->gradient[e], slot);
    }
}

/* nn_constraint_apply works on floats, and the weights hold float values: nothing is lost. */
static void constrain(ref_exec *x, const nn_weight *w) {
    if (w->constraint.kind == NN_CONSTRAINT_NONE) return;
    float *values = (float *)(x->gradient + w->offset); /* spent by now, and twice as large */
    for (int64_t e = 0; e < w->elements; e++) values[e] = (float)x->weights[w->offset + e];
    nn_constraint_apply(w, values);
    for (int64_t e = 0; e < w->elements; e++) x->weights[w->offset + e] = values[e];
}

static void move_statistics(ref_exec *x, int64_t rows) {
    const nn_graph *g = x->base.graph;
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op != NN_OP_BATCH_NORM) continue;
        nn_ref r = ref_of(x, i, rows, true);
        nn_ref_batch_norm_move(&r, x->weights);
    }
    for (int64_t e = 0; e < g->slab; e++) x->weights[e] = (float)x->weights[e];
}

static void update(ref_exec *x, int64_t rows) {
    const nn_graph *g = x->base.graph;
    int64_t begin = begin_work(x);
    nn_update u = nn_update_make(&g->train.optimizer, x->learning_rate, x->updates + 1);
    clip_gradients(x);
    for (int i = 0; i < g->n_weights; i++) {
        if (!g->weights[i].trainable) continue;
        update_weight(x, &g->weights[i], &u);
        constrain(x, &g->weights[i]);
    }
    move_statistics(x, rows);
    x->updates++;
    did(x, NN_PHASE_UPDATE, -1, rows, begin);
}

/* ---- the engine ---- */

static nn_status check_call(const nn_exec *x, int64_t rows, bool training, nn_err *err) {
    if (rows < 1 || rows > x->options.batch)
        return nn_fail(err, NN_E_INTERNAL,
                       "asked to run %" PRId64 " rows, planned for 1 to %" PRId64, rows,
                       x->options.batch);
    if (training && !x->options.training)
        return nn_fail(err, NN_E_INTERNAL, "asked to train, planned for inference only");
    return NN_OK;
}

static float *reference_input(nn_exec *x, int i) {
    return of(x)->input[i];
}

static const float *reference_output(nn_exec *x, int i) {
    return of(x)->output[i];
}

static nn_status reference_forward(nn_exec *base, int64_t rows, nn_err *err) {
    ref_exec *x = of(base);
    nn_status s = check_call(base, rows, false, err);
    if (s != NN_OK) return s;
    take_inputs(x, rows);
    s = run_forward(x, rows, false, err);
    if (s != NN_OK) return s;
    give_outputs(x, rows);
    return NN_OK;
}

static nn_status reference_evaluate(nn_exec *base, int64_t rows, const nn_targets *t, nn_step *ret,
                                    nn_err *err) {
    ref_exec *x = of(base);
    nn_loss_plan p = x->plan;
    nn_status s = base->options.training ? NN_OK : nn_loss_plan_make(base->graph, &p, err);
    if (s == NN_OK) s = nn_loss_check_labels(&p, rows, t, err);
    if (s == NN_OK) s = reference_forward(base, rows, err);
    if (s != NN_OK) return s;
    nn_step step;
    step.loss = loss_only(x, &p, rows, t, &step);
    step.finite = isfinite((float)step.loss);
    if (!step.finite)
        for (int i = 0; i < base->graph->n_nodes && step.node < 0; i++)
            if (!all_finite(x->y[i], size_of(x, i, rows))) step.node = i;
    *ret = step;
    return NN_OK;
}

static nn_status differentiate(nn_exec *base, int64_t rows, const nn_targets *t, nn_step *ret,
                               nn_err *err) {
    ref_exec *x = of(base);
    nn_status s = check_call(base, rows, true, err);
    if (s == NN_OK) s = nn_loss_check_labels(&x->plan, rows, t, err);
    if (s != NN_OK) return s;
    take_inputs(x, rows);
    s = run_forward(x, rows, true, err);
    if (s != NN_OK) return s;
    give_outputs(x, rows);
    nn_step step;
    step.loss = loss_and_gradient(x, rows, t, true, &step);
    step.finite = isfinite((float)step.loss) && all_finite(x->gradient, base->graph->slab);
    if (!step.finite) step.node = first_bad_node(x, rows);
    *ret = step;
    return NN_OK;
}

static nn_status reference_step(nn_exec *base, int64_t rows, const nn_targets *t, nn_step *ret,
                                nn_err *err) {
    nn_status s = differentiate(base, rows, t, ret, err);
    if (s == NN_OK && ret->finite) update(of(base), rows);
    return s;
}

static nn_status reference_observe(nn_exec *base, int64_t rows, const nn_targets *t,
                                   const nn_observer *o, nn_step *ret, nn_err *err) {
    ref_exec *x = of(base);
    int64_t most = 0;
    for (int i = 0; i < base->graph->n_nodes; i++)
        if (size_of(x, i, base->options.batch) > most) most = size_of(x, i, base->options.batch);
    if (o->value && !(x->seen = malloc((size_t)most * sizeof *x->seen)))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to look at values");
    x->observer = o;
    nn_status s = t ? reference_step(base, rows, t, ret, err) : reference_forward(base, rows, err);
    x->observer = NULL;
    free(x->seen);
    x->seen = NULL;
    return s;
}

static nn_status reference_gradients(nn_exec *base, int64_t rows, const nn_targets *t, float *slab,
                                     nn_step *ret, nn_err *err) {
    nn_status s = differentiate(base, rows, t, ret, err);
    for (int64_t e = 0; s == NN_OK && e < base->graph->slab; e++)
        slab[e] = (float)of(base)->gradient[e];
    return s;
}

static void reference_set_weights(nn_exec *x, const float *slab) {
    for (int64_t e = 0; e < x->graph->slab; e++) of(x)->weights[e] = slab[e];
}

static void reference_get_weights(nn_exec *x, float *slab) {
    for (int64_t e = 0; e < x->graph->slab; e++) slab[e] = (float)of(x)->weights[e];
}

static size_t state_bytes(const nn_exec *x) {
    if (!x->options.training) return 0;
    return (size_t)(nn_exec_slots(x->graph) * x->graph->slab) * sizeof(float);
}

static void reference_set_state(nn_exec *x, const float *slabs, int64_t updates) {
    if (state_bytes(x)) memcpy(of(x)->state, slabs, state_bytes(x));
    of(x)->updates = updates;
}

static void reference_get_state(nn_exec *x, float *slabs, int64_t *ret_updates) {
    if (state_bytes(x)) memcpy(slabs, of(x)->state, state_bytes(x));
    *ret_updates = of(x)->updates;
}

static void reference_set_learning_rate(nn_exec *x, double lr) {
    of(x)->learning_rate = lr;
}

static size_t reference_memory(const nn_exec *x) {
    return ((const ref_exec *)x)->bytes;
}

const nn_engine nn_engine_reference = {
    .name = "reference",
    .summary = "plain C in double precision, one thread: slow, for checking",
    .available = reference_available,
    .check = check_ops,
    .open = reference_open,
    .close = reference_close,
    .input = reference_input,
    .output = reference_output,
    .forward = reference_forward,
    .evaluate = reference_evaluate,
    .step = reference_step,
    .gradients = reference_gradients,
    .set_weights = reference_set_weights,
    .get_weights = reference_get_weights,
    .set_state = reference_set_state,
    .get_state = reference_get_state,
    .set_learning_rate = reference_set_learning_rate,
    .memory = reference_memory,
    .observe = reference_observe,
};

/* ---- for tests ---- */

double *nn_reference_values(nn_exec *x, int node, int64_t rows, int64_t *ret_n) {
    *ret_n = size_of(of(x), node, rows);
    return of(x)->y[node];
}

double nn_reference_loss(nn_exec *base, int64_t rows, const double *inputs, const nn_targets *t,
                         const double *weights, bool training, double *gradient,
                         double *input_gradient) {
    ref_exec *x = of(base);
    const nn_graph *g = base->graph;
    assert(base->options.training && rows <= base->options.batch);
    nn_step step;
    memcpy(x->weights, weights, (size_t)g->slab * sizeof *weights);
    for (int i = 0; i < g->n_inputs; i++) {
        size_t n = (size_t)(rows * x->elements[g->inputs[i]]);
        memcpy(x->y[g->inputs[i]], inputs, n * sizeof *inputs);
        inputs += n;
    }
    if (run_forward(x, rows, training, NULL) != NN_OK) return NAN;
    if (!gradient && !input_gradient) return loss_only(x, &x->plan, rows, t, &step);
    double loss = loss_and_gradient(x, rows, t, training, &step);
    if (gradient) memcpy(gradient, x->gradient, (size_t)g->slab * sizeof *gradient);
    for (int i = 0; input_gradient && i < g->n_inputs; i++) {
        size_t n = (size_t)(rows * x->elements[g->inputs[i]]);
        memcpy(input_gradient, x->dy[g->inputs[i]], n * sizeof *input_gradient);
        input_gradient += n;
    }
    return loss;
}
