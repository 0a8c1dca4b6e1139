/* SPDX-License-Identifier: MIT */
/* update.c - from gradients to weights: regularisers, clipping, the optimiser, constraints. All
 * works on the parameter arenas in execution layout: padding holds zeros, and every formula maps
 * zeros to zeros. */
#include "engine/native/native.h"

#include <math.h>

/* A pass over arenas is cut at fixed places, so that sums do not depend on the threads. */
enum { CHUNK = 8192 };

static bool is_regularised(const nn_weight *w) {
    return w->regularizer.l1 != 0 || w->regularizer.l2 != 0;
}

static bool learns(const nn_native *x, const nn_param *p) {
    return x->training && p->weight->trainable;
}

double nn_native_regularisers(const nn_native *x) {
    double loss = 0;
    for (int i = 0; i < x->n_params; i++) {
        const nn_param *p = &x->params[i];
        const nn_regularizer *r = &p->weight->regularizer;
        if (!learns(x, p) || !is_regularised(p->weight)) continue;
        loss += r->l1 * x->k->sum_abs(p->floats, x->w + p->at);
        loss += r->l2 * x->k->sum_square(p->floats, x->w + p->at);
    }
    return loss;
}

double nn_native_penalties(const nn_native *x) {
    double loss = 0;
    for (int i = 0; i < x->n_units; i++)
        if (nn_unit_penalises(x, &x->units[i])) loss += x->units[i].kind->loss(&x->units[i]);
    return loss;
}

void nn_native_regularise(nn_native *x) {
    for (int i = 0; i < x->n_params; i++) {
        const nn_param *p = &x->params[i];
        const nn_regularizer *r = &p->weight->regularizer;
        if (learns(x, p) && is_regularised(p->weight))
            x->k->regularise(p->floats, x->w + p->at, x->g + p->at, (float)r->l1, (float)r->l2);
    }
}

bool nn_native_gradients_finite(nn_native *x) {
    if (!x->finite) return false;
    for (int i = 0; i < x->n_params; i++) {
        const nn_param *p = &x->params[i];
        if (p->unit->kind->deferred || !learns(x, p)) continue; /* these look while they compute */
        if (!x->k->all_finite(p->floats, x->g + p->at)) return false;
    }
    return true;
}

/* ---- clipping ---- */

static double square(const nn_native *x, const nn_param *p) {
    return x->k->sum_square(p->floats, x->g + p->at);
}

static void clip(nn_native *x) {
    const nn_optimizer *o = &x->base.graph->train.optimizer;
    double all = 0;
    for (int i = 0; i < x->n_params && o->clipnorm <= 0 && o->global_clipnorm > 0; i++)
        if (learns(x, &x->params[i])) all += square(x, &x->params[i]);
    for (int i = 0; i < x->n_params; i++) {
        const nn_param *p = &x->params[i];
        if (!learns(x, p)) continue;
        double by = 1;
        if (o->clipnorm > 0)
            by = nn_clip_scale(sqrt(square(x, p)), o->clipnorm);
        else if (o->global_clipnorm > 0)
            by = nn_clip_scale(sqrt(all), o->global_clipnorm);
        else
            x->k->clip(p->floats, x->g + p->at, (float)o->clipvalue);
        if (by != 1) x->k->scale(p->floats, x->g + p->at, (float)by);
    }
}

static bool clips(const nn_native *x) {
    const nn_optimizer *o = &x->base.graph->train.optimizer;
    return o->clipnorm > 0 || o->global_clipnorm > 0 || o->clipvalue > 0;
}

/* ---- the optimiser ---- */

nn_update_f nn_native_update_f(const nn_native *x, int64_t t) {
    const nn_optimizer *o = &x->base.graph->train.optimizer;
    nn_update u = nn_update_make(o, x->learning_rate, t);
    return (nn_update_f){
        .kind = o->kind,
        .amsgrad = o->amsgrad,
        .nesterov = o->nesterov,
        .momentum = o->momentum != 0,
        .centered = o->centered,
        .keep = (float)u.keep,
        .rate = (float)u.rate,
        .mu = (float)o->momentum,
        .rho = (float)o->rho,
        .epsilon = (float)o->epsilon,
        .beta_1 = (float)o->beta_1,
        .beta_2 = (float)o->beta_2,
        .one_minus_beta_1 = (float)(1 - o->beta_1),
        .one_minus_beta_2 = (float)(1 - o->beta_2),
        .on_mean = (float)u.on_mean,
        .on_gradient = (float)u.on_gradient,
        .spread = (float)u.spread,
        .power = (float)-o->learning_rate_power,
        .l1 = (float)o->l1_regularization_strength,
        .shrinkage = (float)(2 * o->l2_shrinkage_regularization_strength),
        .curve = (float)(2 * o->l2_regularization_strength + o->beta / x->learning_rate),
    };
}

static void run_update(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    int64_t at = begin * CHUNK, last = end * CHUNK < x->trainable ? end * CHUNK : x->trainable;
    float *slot[3];
    for (int i = 0; i < 3; i++) slot[i] = x->slot[i] ? x->slot[i] + at : NULL;
    x->k->update(arg, last - at, x->w + at, x->g + at, slot);
}

/* In plain layout, in the memory of the gradient, which is spent by now. */
static void constrain(nn_native *x, const nn_param *p) {
    float *plain = x->g + p->at, *exec = x->w + p->at;
    if (nn_native_convert(x, p, false, plain, exec)) return;
    nn_constraint_apply(p->weight, plain);
    (void)nn_native_convert(x, p, true, plain, exec);
}

void nn_native_update(nn_native *x, int64_t rows) {
    int64_t begin = nn_native_begin(x);
    if (clips(x)) clip(x);
    nn_update_f f = nn_native_update_f(x, x->updates + 1);
    nn_parallel(x, (x->trainable + CHUNK - 1) / CHUNK, (double)x->trainable * 20, run_update, &f);
    nn_native_did(x, NN_PHASE_UPDATE, NULL, "optimizer", rows, begin);
    for (int i = 0; i < x->n_units; i++) {
        nn_unit *u = &x->units[i];
        if (!u->kind->update) continue;
        begin = nn_native_begin(x);
        u->kind->update(x, u, rows * u->fold);
        nn_native_did(x, NN_PHASE_UPDATE, u, u->kind->name, rows, begin);
    }
    for (int i = 0; i < x->n_params; i++)
        if (learns(x, &x->params[i]) && x->params[i].weight->constraint.kind != NN_CONSTRAINT_NONE)
            constrain(x, &x->params[i]);
    x->updates++;
}
