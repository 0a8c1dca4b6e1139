/* SPDX-License-Identifier: MIT */
/* exec.c - the engine's entries: opening, running passes, weights and state in and out.
 *
 * Every entry runs between enter and leave: they set the number of OpenMP threads that oneDNN sees
 * and flush-to-zero in each thread of the team (dead inputs otherwise fill Adam's state with
 * denormals, which cost a third of the speed), and give the caller's settings back. */
#include "base/mem.h"
#include "engine/native/dn.h"
#include "engine/native/native.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* ---- the machine's state ---- */

typedef struct saved {
    int threads;
    unsigned control;
} saved;

enum { FLUSH_TO_ZERO = 0x8040 /* MXCSR: FTZ and DAZ */ };

static unsigned flush_to_zero(void) {
#if defined(__SSE2__)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_TO_ZERO);
    return before;
#else
    return 0;
#endif
}

static saved enter(const nn_native *x) {
    saved s = {omp_get_max_threads(), 0};
    omp_set_num_threads(x->threads);
    s.control = flush_to_zero();
    if (x->threads > 1) {
#pragma omp parallel num_threads(x->threads)
        (void)flush_to_zero();
    }
    return s;
}

static void leave(saved s) {
    omp_set_num_threads(s.threads);
#if defined(__SSE2__)
    _mm_setcsr(s.control);
#endif
}

/* ---- passes ---- */

/* `rows` of the batch, here and in what follows. */
static nn_status forward_unit(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    return u->kind->forward(x, u, rows * u->fold, err);
}

static nn_status run_forward(nn_native *x, int64_t rows, bool learning, nn_err *err) {
    x->learning = learning;
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        int64_t begin = nn_native_begin(x);
        nn_status st = u->is_tail ? NN_OK : forward_unit(x, u, rows, err);
        if (st) return st;
        nn_native_did(x, NN_PHASE_FORWARD, u, u->kind->name, rows, begin);
    }
    return NN_OK;
}

/* Shares of gradients that others have begun are added after it. */
static nn_status backward_unit(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    if (u->is_tail) return NN_OK;
    rows *= u->fold;
    if (u->mask_dy) nn_native_relu_mask(x, rows * nn_out(x, u)->elements, u->y, u->dy);
    nn_status st = u->kind->backward(x, u, rows, err);
    for (int i = 0; i < u->n_in && !st && !u->kind->can_add; i++)
        if (u->in[i].adds)
            nn_native_add(x, rows * nn_in_at(x, u, i)->elements, u->in[i].dx,
                          nn_in_at(x, u, i)->grad);
    return st;
}

static nn_status run_backward(nn_native *x, int64_t rows, nn_err *err) {
    x->finite = true;
    for (int i = x->n_units - 1; i >= 0; i--) {
        if (!x->units[i].backward) continue;
        nn_native_gradient(x, &x->units[i], rows);
        int64_t begin = nn_native_begin(x);
        nn_status st = backward_unit(x, &x->units[i], rows, err);
        if (st) return st;
        nn_native_did(x, NN_PHASE_BACKWARD, &x->units[i], x->units[i].kind->name, rows, begin);
    }
    return NN_OK;
}

/* Whether deferred gradients are (or, with `store`, what they are). */
static bool run_deferred(nn_native *x, int64_t rows, bool store) {
    bool finite = true;
    for (int i = 0; i < x->n_units && x->deferring; i++) {
        nn_unit *u = &x->units[i];
        if (!u->backward || !u->kind->deferred) continue;
        int64_t begin = nn_native_begin(x);
        finite &= u->kind->deferred(x, u, rows * u->fold, store);
        nn_native_did(x, NN_PHASE_BACKWARD, u, u->kind->name, rows, begin);
    }
    return finite;
}

/* ---- what went wrong first ---- */

static int node_of(const nn_unit *u) {
    return u->node->id;
}

static int bad_forward(nn_native *x, int64_t rows) {
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        if (!u->is_tail && forward_unit(x, u, rows, NULL)) return -1;
        if (!x->k->all_finite(nn_value_here(nn_out(x, u), rows), u->y)) return node_of(u);
    }
    return -1;
}

static bool unit_finite(nn_native *x, const nn_unit *u, int64_t rows) {
    if (u->is_tail) return true; /* seen with the unit that runs it */
    for (int i = 0; i < u->n_in; i++)
        if (u->in[i].dx && !x->k->all_finite(nn_value_here(nn_in_at(x, u, i), rows), u->in[i].dx))
            return false;
    if (u->kind == &nn_unit_relayout) return true;
    for (int i = 0; i < u->node->n_weights; i++) {
        const float *g = nn_native_g(x, u, i);
        if (g && !x->k->all_finite(x->params[u->param[i]].floats, g)) return false;
    }
    return true;
}

static int bad_backward(nn_native *x, int64_t rows, const nn_targets *t) {
    nn_step ignored;
    nn_native_loss(x, rows, t, true, &ignored);
    const nn_value *loss = &x->values[x->loss_value];
    if (!x->k->all_finite(rows * loss->elements, loss->grad)) return x->loss.node;
    for (int i = x->n_units - 1; i >= 0; i--) {
        nn_unit *u = &x->units[i];
        if (!u->backward) continue;
        if (backward_unit(x, u, rows, NULL)) return -1;
        if (x->deferring && u->kind->deferred) (void)u->kind->deferred(x, u, rows * u->fold, true);
        if (!unit_finite(x, u, rows)) return node_of(u);
    }
    return -1;
}

/* Runs the step again, looking at everything: values do not all survive it. */
static int find_bad_node(nn_native *x, int64_t rows, const nn_targets *t) {
    for (int i = 0; i < x->base.graph->n_inputs; i++) {
        const nn_value *v = &x->values[x->value_of[x->base.graph->inputs[i]]];
        if (!x->k->all_finite(rows * v->elements, v->data)) return x->base.graph->inputs[i];
    }
    x->learning = true;
    int node = bad_forward(x, rows);
    return node >= 0 ? node : bad_backward(x, rows, t);
}

/* ---- entries ---- */

static nn_status check_rows(const nn_native *x, int64_t rows, nn_err *err) {
    if (rows >= 1 && rows <= x->base.options.batch) return NN_OK;
    return nn_fail(err, NN_E_INTERNAL, "%" PRId64 " rows given to an executor planned for %" PRId64,
                   rows, x->base.options.batch);
}

static nn_status check_training(const nn_native *x, nn_err *err) {
    if (x->training) return NN_OK;
    return nn_fail(err, NN_E_INTERNAL, "the executor was not opened for training");
}

static nn_status check_targets(const nn_native *x, int64_t rows, const nn_targets *t, nn_err *err) {
    nn_loss_plan plan;
    if (!x->has_loss) return nn_loss_plan_make(x->base.graph, &plan, err);
    if (!t || (!t->labels && !t->values))
        return nn_fail(err, NN_E_INTERNAL, "a loss needs labels or values");
    return nn_loss_check_labels(&x->loss, rows, t, err);
}

static nn_status native_forward(nn_exec *e, int64_t rows, nn_err *err) {
    nn_native *x = (nn_native *)e;
    nn_status st = check_rows(x, rows, err);
    if (st) return st;
    saved s = enter(x);
    st = run_forward(x, rows, false, err);
    leave(s);
    return st;
}

static nn_status native_evaluate(nn_exec *e, int64_t rows, const nn_targets *t, nn_step *ret,
                                 nn_err *err) {
    nn_native *x = (nn_native *)e;
    nn_status st = check_rows(x, rows, err);
    if (!st) st = check_targets(x, rows, t, err);
    if (st) return st;
    saved s = enter(x);
    st = run_forward(x, rows, false, err);
    if (!st) {
        nn_native_loss(x, rows, t, false, ret);
        ret->loss += (x->regularised ? nn_native_regularisers(x) : 0) + nn_native_penalties(x);
        ret->finite = isfinite(ret->loss);
    }
    leave(s);
    return st;
}

/* Loss and gradients; ret->finite is false if either is not finite. */
static nn_status run_gradients(nn_native *x, int64_t rows, const nn_targets *t, bool store,
                               nn_step *ret, nn_err *err) {
    nn_status st = run_forward(x, rows, true, err);
    if (st) return st;
    int64_t begin = nn_native_begin(x);
    nn_native_loss(x, rows, t, true, ret);
    ret->loss += (x->regularised ? nn_native_regularisers(x) : 0) + nn_native_penalties(x);
    nn_native_did(x, NN_PHASE_LOSS, NULL, "loss", rows, begin);
    if (isfinite(ret->loss)) {
        st = run_backward(x, rows, err);
        if (st) return st;
        bool finite = run_deferred(x, rows, store);
        begin = nn_native_begin(x);
        if (x->regularised) nn_native_regularise(x);
        ret->finite = nn_native_gradients_finite(x) && finite;
        nn_native_did(x, NN_PHASE_BACKWARD, NULL, "checks", rows, begin);
    }
    if (!ret->finite) ret->node = find_bad_node(x, rows, t);
    return NN_OK;
}

static nn_status native_step(nn_exec *e, int64_t rows, const nn_targets *t, nn_step *ret,
                             nn_err *err) {
    nn_native *x = (nn_native *)e;
    nn_status st = check_rows(x, rows, err);
    if (!st) st = check_training(x, err);
    if (!st) st = check_targets(x, rows, t, err);
    if (st) return st;
    saved s = enter(x);
    nn_step step;
    st = run_gradients(x, rows, t, false, &step, err);
    if (!st && step.finite) nn_native_update(x, rows);
    leave(s);
    if (!st) *ret = step;
    return st;
}

static nn_status native_gradients(nn_exec *e, int64_t rows, const nn_targets *t, float *slab,
                                  nn_step *ret, nn_err *err) {
    nn_native *x = (nn_native *)e;
    nn_status st = check_rows(x, rows, err);
    if (!st) st = check_training(x, err);
    if (!st) st = check_targets(x, rows, t, err);
    if (st) return st;
    saved s = enter(x);
    nn_step step;
    st = run_gradients(x, rows, t, true, &step, err);
    memset(slab, 0, (size_t)x->base.graph->slab * sizeof *slab);
    for (int i = 0; i < x->n_params && !st; i++) {
        const nn_param *p = &x->params[i];
        if (p->weight->trainable)
            st = nn_native_convert(x, p, false, slab + p->weight->offset, x->g + p->at);
    }
    leave(s);
    if (!st) *ret = step;
    return st;
}

/* ---- weights and state ---- */

nn_status nn_native_convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                            float *exec) {
    if (p->convert) return p->convert(x, p, import, plain, exec);
    memcpy(import ? exec : plain, import ? plain : exec,
           (size_t)p->weight->elements * sizeof *plain);
    return NN_OK;
}

/* Conversions only fail when a reorder that was tried at opening fails now. */
static void convert_all(nn_native *x, bool import, float *slab, float *arena) {
    saved s = enter(x);
    for (int i = 0; i < x->n_params; i++) {
        const nn_param *p = &x->params[i];
        if (p->unit->norm) continue;
        nn_status st = nn_native_convert(x, p, import, slab + p->weight->offset, arena + p->at);
        assert(st == NN_OK);
        (void)st;
    }
    for (int i = 0; i < x->n_units; i++)
        if (x->units[i].norm && import)
            nn_norm_import(x, &x->units[i], slab);
        else if (x->units[i].norm)
            nn_norm_export(x, &x->units[i], slab);
    leave(s);
}

static void native_set_weights(nn_exec *e, const float *slab) {
    nn_native *x = (nn_native *)e;
    convert_all(x, true, (float *)slab, x->w);
}

static void native_get_weights(nn_exec *e, float *slab) {
    nn_native *x = (nn_native *)e;
    convert_all(x, false, slab, x->w);
}

static void native_set_state(nn_exec *e, const float *slabs, int64_t updates) {
    nn_native *x = (nn_native *)e;
    for (int i = 0; i < x->n_slots; i++)
        convert_all(x, true, (float *)slabs + i * x->base.graph->slab, x->slot[i]);
    x->updates = updates;
}

static void native_get_state(nn_exec *e, float *slabs, int64_t *ret_updates) {
    nn_native *x = (nn_native *)e;
    for (int i = 0; i < x->n_slots; i++)
        convert_all(x, false, slabs + i * x->base.graph->slab, x->slot[i]);
    *ret_updates = x->updates;
}

static void native_set_learning_rate(nn_exec *e, double lr) {
    ((nn_native *)e)->learning_rate = lr;
}

static size_t native_memory(const nn_exec *e) {
    const nn_native *x = (const nn_native *)e;
    return x->memory_bytes + (size_t)x->extra_bytes;
}

static float *native_input(nn_exec *e, int i) {
    nn_native *x = (nn_native *)e;
    return x->values[x->value_of[e->graph->inputs[i]]].data;
}

static const float *native_output(nn_exec *e, int i) {
    nn_native *x = (nn_native *)e;
    return x->values[x->value_of[e->graph->outputs[i]]].data;
}

/* ---- life ---- */

static void native_close(nn_exec *e) {
    nn_native *x = (nn_native *)e;
    for (int i = 0; x->units && i < x->n_units; i++)
        if (x->units[i].kind->done) x->units[i].kind->done(&x->units[i]);
    void *large[] = {x->memory,  x->w,    x->g,        x->slot[0],   x->slot[1],     x->slot[2],
                     x->scratch, x->pack, x->row_loss, x->row_right, x->loss_scratch};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) nn_free_large(large[i]);
    nn_dn_free(x->dn);
    nn_arena_free(x->arena);
    free(x);
}

static bool clips(const nn_optimizer *o) {
    return o->clipnorm > 0 || o->global_clipnorm > 0 || o->clipvalue > 0;
}

static nn_status plan_in_team(nn_native *x, nn_err *err) {
    saved s = enter(x);
    nn_status st = nn_dn_new(&x->dn, err);
    if (!st) x->channel_block = nn_dn_channel_block();
    if (!st) st = nn_native_plan(x, err);
    leave(s);
    return st;
}

static void start_slot(nn_native *x, int i) {
    float start = nn_optimizer_state_start(&x->base.graph->train.optimizer, i);
    for (int64_t e = 0; start != 0 && e < x->floats; e++) x->slot[i][e] = start;
}

static nn_status native_open(const nn_graph *g, const nn_exec_options *o, nn_exec **ret,
                             nn_err *err) {
    if (o->batch < 1)
        return nn_fail(err, NN_E_INTERNAL, "an executor for %" PRId64 " rows", o->batch);
    nn_native *x = calloc(1, sizeof *x);
    if (!x) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for an executor");
    x->base = (nn_exec){&nn_engine_native, g, *o};
    x->k = nn_kernels_at(0);
    x->arena = nn_arena_new(NULL, "native", 0);
    x->threads = o->threads > 0 ? o->threads : omp_get_num_procs();
    x->training = o->training;
    x->learning_rate = g->train.optimizer.learning_rate;
    x->regularised = o->training && nn_loss_regularised(g);
    x->deferring = o->training && !x->regularised && !clips(&g->train.optimizer);
    nn_status st = plan_in_team(x, err);
    if (st) {
        native_close(&x->base);
        return st;
    }
    for (int i = 0; i < x->n_slots; i++) start_slot(x, i);
    *ret = &x->base;
    return NN_OK;
}

static bool native_available(const char **ret_reason) {
    (void)ret_reason;
    return true;
}

const nn_engine nn_engine_native = {
    .name = "native",
    .summary = "oneDNN convolutions and own kernels, planned for this processor",
    .available = native_available,
    .check = nn_native_check,
    .open = native_open,
    .close = native_close,
    .input = native_input,
    .output = native_output,
    .forward = native_forward,
    .evaluate = native_evaluate,
    .step = native_step,
    .gradients = native_gradients,
    .set_weights = native_set_weights,
    .get_weights = native_get_weights,
    .set_state = native_set_state,
    .get_state = native_get_state,
    .set_learning_rate = native_set_learning_rate,
    .memory = native_memory,
    .observe = nn_native_observe,
};
