/* SPDX-License-Identifier: MIT */
/* loss.c - the formulas of engine/loss.h, row by row. */
#include "engine/reference/reference.h"

#include <math.h>

/* One row: n outputs, the targets as the loss wants them, and what the gradient is scaled by. */
typedef struct row {
    const nn_loss_plan *plan;
    int64_t n;
    const double *x;
    const float *values; /* NULL: label */
    int32_t label;
    double *dx; /* NULL: not wanted */
    double scale;
} row;

static double raw_target(const row *r, int64_t i) {
    return r->values ? r->values[i] : i == r->label;
}

static double target(const row *r, int64_t i) {
    return r->plan->off + raw_target(r, i) * (r->plan->on - r->plan->off);
}

static void add_gradient(const row *r, int64_t i, double g) {
    if (r->dx) r->dx[i] += g * r->scale;
}

static double mse(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double d = r->x[i] - target(r, i);
        loss += d * d / (double)r->n;
        add_gradient(r, i, 2 * d / (double)r->n);
    }
    return loss;
}

static double ce_logits(const row *r) {
    double max = r->x[0], sum = 0, loss = 0, mass = 0;
    for (int64_t i = 1; i < r->n; i++)
        if (r->x[i] > max) max = r->x[i];
    for (int64_t i = 0; i < r->n; i++) sum += exp(r->x[i] - max);
    for (int64_t i = 0; i < r->n; i++) {
        loss += target(r, i) * (max + log(sum) - r->x[i]);
        mass += target(r, i);
    }
    for (int64_t i = 0; i < r->n; i++)
        add_gradient(r, i, mass * exp(r->x[i] - max) / sum - target(r, i));
    return loss;
}

/* dloss/dp of a probability that is clipped to [e, 1 - e]: no slope where it is. */
static bool inside(double p) {
    return p > NN_LOSS_EPSILON && p < 1 - NN_LOSS_EPSILON;
}

static double clip(double p) {
    return p < NN_LOSS_EPSILON       ? NN_LOSS_EPSILON
           : p > 1 - NN_LOSS_EPSILON ? 1 - NN_LOSS_EPSILON
                                     : p;
}

static double ce_probs(const row *r) {
    double sum = 0, loss = 0, inner = 0;
    for (int64_t i = 0; i < r->n; i++) sum += r->x[i];
    for (int64_t i = 0; i < r->n; i++) {
        double p = r->x[i] / sum;
        loss -= target(r, i) * log(clip(p));
        if (inside(p)) inner -= target(r, i);
    }
    for (int64_t i = 0; i < r->n; i++) {
        double p = r->x[i] / sum;
        add_gradient(r, i, ((inside(p) ? -target(r, i) / p : 0) - inner) / sum);
    }
    return loss;
}

static double bce_logits(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double x = r->x[i], t = target(r, i);
        loss += ((x < 0 ? 0 : x) - x * t + log1p(exp(-fabs(x)))) / (double)r->n;
        double p = x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
        add_gradient(r, i, (p - t) / (double)r->n);
    }
    return loss;
}

static double bce_probs(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double p = clip(r->x[i]), t = target(r, i);
        loss -= (t * log(p) + (1 - t) * log(1 - p)) / (double)r->n;
        if (inside(r->x[i])) add_gradient(r, i, ((1 - t) / (1 - p) - t / p) / (double)r->n);
    }
    return loss;
}

static bool is_right(const row *r) {
    if (r->n == 1) return (r->x[0] > nn_loss_threshold(r->plan)) == (raw_target(r, 0) > 0.5);
    int64_t best = 0, wanted = 0;
    for (int64_t i = 1; i < r->n; i++) {
        if (r->x[i] > r->x[best]) best = i;
        if (raw_target(r, i) > raw_target(r, wanted)) wanted = i;
    }
    return best == wanted;
}

double nn_ref_loss(const nn_loss_plan *p, int64_t rows, const double *x, const nn_targets *t,
                   double *dx, int64_t *ret_correct) {
    static double (*const formulas[])(const row *) = {
        [NN_FORM_MSE] = mse,
        [NN_FORM_CE_LOGITS] = ce_logits,
        [NN_FORM_CE_PROBS] = ce_probs,
        [NN_FORM_BCE_LOGITS] = bce_logits,
        [NN_FORM_BCE_PROBS] = bce_probs,
    };
    double loss = 0;
    int64_t correct = 0;
    for (int64_t i = 0; i < rows; i++) {
        row r = {.plan = p,
                 .n = p->outputs,
                 .x = x + i * p->outputs,
                 .values = t->values ? t->values + i * p->outputs : NULL,
                 .label = t->labels ? t->labels[i] : -1,
                 .dx = dx ? dx + i * p->outputs : NULL,
                 .scale = 1 / (double)rows};
        loss += formulas[p->form](&r) / (double)rows;
        correct += is_right(&r);
    }
    *ret_correct = correct;
    return loss;
}
