/* SPDX-License-Identifier: MIT */
#include "engine/profile.h"

#include "base/clock.h"
#include "base/rng.h"
#include "engine/loss.h"

#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2 };

typedef struct profiler {
    const nn_graph *graph;
    const nn_profile_options *o;
    nn_exec *exec;
    nn_profile to;
    int cap, run;
    double *spent; /* by row, pass and run */
    double *whole; /* by run */
    int32_t *labels;
    float *values, *slab;
    int64_t length; /* ctc */
    bool out_of_memory;
} profiler;

static void profiler_done(profiler *p) {
    nn_exec_closep(&p->exec);
    free(p->spent);
    free(p->whole);
    free(p->labels);
    free(p->values);
    free(p->slab);
}

void nn_profile_done(nn_profile *p) {
    free(p->rows);
    *p = (nn_profile){0};
}

static nn_status no_memory(nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to profile");
}

/* ---- what belongs to a row ---- */

/* The nodes of a row, last first; just `node` where `last` is reached by other inputs. */
static int chain(const nn_graph *g, const nn_profile_row *r, int *nodes) {
    int n = 0;
    for (int i = r->last; r->node >= 0; i = g->nodes[i].inputs[0]) {
        nodes[n++] = i;
        if (i == r->node) return n;
        if (i < r->node || g->nodes[i].n_inputs == 0) break;
    }
    nodes[0] = r->node;
    return r->node >= 0;
}

void nn_profile_name(const nn_graph *g, const nn_profile_row *r, nn_buf *out) {
    int *nodes = calloc((size_t)g->n_nodes + 1, sizeof *nodes);
    if (!nodes) abort();
    const char *before = "";
    for (int i = chain(g, r, nodes) - 1; i >= 0; i--) {
        const char *name = g->nodes[nodes[i]].layer_name;
        if (strcmp(name, before)) nn_buf_printf(out, "%s%s", *before ? " + " : "", name);
        before = name;
    }
    free(nodes);
}

/* By node: whether there are weights to train in it or before it. */
static void find_learning(const nn_graph *g, bool *learns) {
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        for (int k = 0; k < n->n_weights; k++) learns[i] |= g->weights[n->weights[k]].trainable;
        for (int k = 0; k < n->n_inputs; k++) learns[i] |= learns[n->inputs[k]];
    }
}

/* Backward is one such product for the input's gradient and one for the weights', where they are
 * wanted. */
static double node_flops(const profiler *p, int node, const bool *learns) {
    const nn_node *n = &p->graph->nodes[node];
    int64_t each = nn_node_flops(p->graph, n);
    bool weights = false, inputs = false;
    for (int k = 0; k < n->n_weights; k++) weights |= p->graph->weights[n->weights[k]].trainable;
    for (int k = 0; k < n->n_inputs; k++) inputs |= learns[n->inputs[k]];
    int passes = 1 + (p->o->training ? weights + inputs : 0);
    return each > 0 ? (double)each * (double)p->o->rows * passes : 0;
}

static nn_status count_flops(profiler *p, nn_err *err) {
    const nn_graph *g = p->graph;
    bool *learns = calloc((size_t)g->n_nodes + 1, sizeof *learns);
    int *nodes = calloc((size_t)g->n_nodes + 1, sizeof *nodes);
    if (learns && nodes) {
        find_learning(g, learns);
        for (int i = 0; i < p->to.n; i++) {
            nn_profile_row *r = &p->to.rows[i];
            bool computes = strcmp(r->kind, "relayout") != 0;
            for (int k = chain(g, r, nodes) - 1; computes && k >= 0; k--)
                r->flops += node_flops(p, nodes[k], learns);
            p->to.flops += r->flops;
        }
    }
    bool ok = learns && nodes;
    free(learns);
    free(nodes);
    return ok ? NN_OK : no_memory(err);
}

/* ---- running ---- */

static int row_of(profiler *p, const nn_work *w) {
    nn_profile *to = &p->to;
    for (int i = 0; i < to->n; i++)
        if (to->rows[i].node == w->node && to->rows[i].last == w->last &&
            strcmp(to->rows[i].kind, w->kind) == 0)
            return i;
    if (to->n == p->cap) {
        int cap = 2 * p->cap + 64;
        size_t cells = (size_t)cap * NN_PHASE_COUNT * (size_t)p->o->runs;
        nn_profile_row *rows = realloc(to->rows, (size_t)cap * sizeof *rows);
        if (rows) to->rows = rows;
        double *spent = rows ? realloc(p->spent, cells * sizeof *spent) : NULL;
        if (spent) p->spent = spent;
        p->out_of_memory |= !spent;
        if (!spent) return -1;
        p->cap = cap;
    }
    size_t cells = (size_t)NN_PHASE_COUNT * (size_t)p->o->runs;
    memset(p->spent + (size_t)to->n * cells, 0, cells * sizeof *p->spent);
    to->rows[to->n] = (nn_profile_row){.kind = w->kind, .node = w->node, .last = w->last};
    return to->n++;
}

static void take(void *ctx, const nn_work *w) {
    profiler *p = ctx;
    int row = row_of(p, w);
    if (row < 0) return;
    p->spent[(row * NN_PHASE_COUNT + (int)w->pass) * p->o->runs + p->run] += w->seconds;
    if (p->run == 0) p->to.rows[row].bytes += w->bytes;
}

static nn_status step(profiler *p, bool look, nn_err *err) {
    const nn_engine *e = p->o->engine;
    nn_observer o = {.ctx = p, .work = take};
    nn_targets t = {.labels = p->labels, .values = p->values, .length = p->length};
    nn_step ignored;
    if (look) return e->observe(p->exec, p->o->rows, p->o->training ? &t : NULL, &o, &ignored, err);
    if (!p->o->training) return e->forward(p->exec, p->o->rows, err);
    return e->step(p->exec, p->o->rows, &t, &ignored, err);
}

static nn_status run(profiler *p, nn_err *err) {
    nn_status s = NN_OK;
    for (int i = 0; i < WARM_UP && !s; i++) s = step(p, false, err);
    for (p->run = 0; p->run < p->o->runs && !s; p->run++) {
        int64_t begin = nn_clock_mono();
        s = step(p, false, err);
        p->whole[p->run] = (double)(nn_clock_mono() - begin) * 1e-9;
        if (!s) s = step(p, true, err);
        if (p->out_of_memory) s = no_memory(err);
    }
    return s;
}

/* ---- medians ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double nn_profile_seconds(const nn_profile_row *r) {
    double sum = 0;
    for (int k = 0; k < NN_PHASE_COUNT; k++) sum += r->seconds[k];
    return sum;
}

static void take_medians(profiler *p) {
    int runs = p->o->runs;
    for (int i = 0; i < p->to.n; i++) {
        nn_profile_row *r = &p->to.rows[i];
        for (int k = 0; k < NN_PHASE_COUNT; k++)
            r->seconds[k] = median(p->spent + (i * NN_PHASE_COUNT + k) * runs, runs);
        p->to.sum += nn_profile_seconds(r);
    }
    p->to.whole = median(p->whole, runs);
}

/* ---- setting up ---- */

static nn_status draw_targets(profiler *p, nn_err *err) {
    nn_loss_plan plan;
    nn_rng r = nn_rng_new(p->o->seed, 1);
    nn_status s = nn_trainer_supports(&p->graph->train, err);
    if (!s) s = nn_loss_plan_make(p->graph, &plan, err);
    if (s) return s;
    int64_t sites = p->o->rows * plan.sites, values = p->o->rows * plan.outputs;
    if (nn_loss_targets(p->graph->train.loss) == NN_TARGET_CLASS) {
        p->labels = calloc((size_t)sites, sizeof *p->labels);
        for (int64_t i = 0; p->labels && i < sites; i++)
            p->labels[i] = (int32_t)nn_rng_below(&r, (uint64_t)(plan.outputs / plan.sites));
        return p->labels ? NN_OK : no_memory(err);
    }
    p->values = calloc((size_t)values, sizeof *p->values);
    if (plan.form == NN_FORM_CTC) { /* a class for half of the steps: one or many, all the same */
        p->length = (plan.sites + 1) / 2;
        values = p->length * p->o->rows;
    }
    for (int64_t i = 0; p->values && i < values; i++)
        p->values[i] = plan.form == NN_FORM_CTC ? (float)(plan.blank == 0) : (float)nn_rng_unit(&r);
    return p->values ? NN_OK : no_memory(err);
}

static nn_status open_exec(profiler *p, nn_err *err) {
    const nn_graph *g = p->graph;
    const nn_profile_options *o = p->o;
    nn_exec_options options = {
        .batch = o->rows, .training = o->training, .threads = o->threads, .seed = o->seed};
    if (!o->engine->observe)
        return nn_fail(err, NN_E_UNSUPPORTED, "engine '%s' does not say where its time goes",
                       o->engine->name);
    if (!o->weights) {
        p->slab = calloc((size_t)g->slab + 1, sizeof *p->slab);
        if (!p->slab) return no_memory(err);
        nn_status s = nn_weights_init(g, o->seed, p->slab, err);
        if (s) return s;
    }
    nn_status s = o->engine->open(g, &options, &p->exec, err);
    if (s) return s;
    o->engine->set_weights(p->exec, o->weights ? o->weights : p->slab);
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t n = nn_shape_elements(&g->nodes[g->inputs[i]].shape) * o->rows;
        memcpy(o->engine->input(p->exec, i), o->inputs[i], (size_t)n * sizeof(float));
    }
    return NN_OK;
}

nn_status nn_profile_run(const nn_graph *g, const nn_profile_options *o, nn_profile *ret,
                         nn_err *err) {
    profiler p = {.graph = g, .o = o};
    p.whole = calloc((size_t)o->runs, sizeof *p.whole);
    nn_status s = p.whole ? NN_OK : no_memory(err);
    if (!s && o->training) s = draw_targets(&p, err);
    if (!s) s = open_exec(&p, err);
    if (!s) s = run(&p, err);
    if (!s) s = count_flops(&p, err);
    if (!s) {
        take_medians(&p);
        p.to.memory = o->engine->memory(p.exec);
        p.to.threads = p.exec->options.threads;
        p.to.engine = o->engine;
        *ret = p.to;
    } else {
        nn_profile_done(&p.to);
    }
    profiler_done(&p);
    return s;
}
