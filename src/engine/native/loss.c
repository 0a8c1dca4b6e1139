/* SPDX-License-Identifier: MIT */
/* loss.c - the formulas of engine/loss.h in place on a batch. Rows are independent, so threads take
 * ranges of them; the loss is summed over the rows in their order, whatever the threads. */
#include "engine/native/native.h"

#include <math.h>
#include <string.h>

typedef struct loss_job {
    const nn_loss_plan *plan;
    const float *x; /* rows x outputs */
    float *dx;      /* NULL: not wanted */
    const nn_targets *t;
    int64_t rows;
} loss_job;

/* One row. */
typedef struct row {
    const nn_loss_plan *plan;
    int64_t n;
    const float *x;
    float *dx;
    const float *values; /* NULL: label */
    int32_t label;
    double scale; /* of the gradient: 1 / rows */
} row;

static double raw_target(const row *r, int64_t i) {
    return r->values ? (double)r->values[i] : i == r->label;
}

static double target(const row *r, int64_t i) {
    return r->plan->off + raw_target(r, i) * (r->plan->on - r->plan->off);
}

static void set_gradient(const row *r, int64_t i, double g) {
    if (r->dx) r->dx[i] = (float)(g * r->scale);
}

static double mse(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double d = (double)r->x[i] - target(r, i);
        loss += d * d;
        set_gradient(r, i, 2 * d / (double)r->n);
    }
    return loss / (double)r->n;
}

/* sum over i of t_i (log sum exp x - x_i), t being `off` plus (on - off) at the label or at the
 * values. The probabilities are computed where the gradient will stand. */
static double ce_logits(const row *r) {
    double max = (double)r->x[0], sum = 0, dot = 0, mass = 0;
    for (int64_t i = 1; i < r->n; i++)
        if ((double)r->x[i] > max) max = (double)r->x[i];
    for (int64_t i = 0; i < r->n; i++) {
        double t = target(r, i);
        mass += t;
        dot += t * (double)r->x[i];
    }
    float e[64];
    bool fits = r->n <= 64;
    for (int64_t i = 0; i < r->n; i++) {
        float p = expf((float)((double)r->x[i] - max));
        if (fits) e[i] = p;
        sum += (double)p;
    }
    for (int64_t i = 0; i < r->n && r->dx; i++) {
        float p = fits ? e[i] : expf((float)((double)r->x[i] - max));
        set_gradient(r, i, mass * (double)p / sum - target(r, i));
    }
    return mass * (max + log(sum)) - dot;
}

/* A clipped probability has no slope. */
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
    for (int64_t i = 0; i < r->n; i++) sum += (double)r->x[i];
    for (int64_t i = 0; i < r->n; i++) {
        double p = (double)r->x[i] / sum, t = target(r, i);
        if (t != 0) loss -= t * log(clip(p));
        if (inside(p)) inner -= t;
    }
    for (int64_t i = 0; i < r->n; i++) {
        double p = (double)r->x[i] / sum;
        set_gradient(r, i, ((inside(p) ? -target(r, i) / p : 0) - inner) / sum);
    }
    return loss;
}

static double bce_logits(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double x = (double)r->x[i], t = target(r, i), e = exp(-fabs(x));
        loss += (x < 0 ? 0 : x) - x * t + log1p(e);
        double p = x < 0 ? e / (1 + e) : 1 / (1 + e);
        set_gradient(r, i, (p - t) / (double)r->n);
    }
    return loss / (double)r->n;
}

static double bce_probs(const row *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double y = (double)r->x[i], p = clip(y), t = target(r, i);
        loss -= t * log(p) + (1 - t) * log(1 - p);
        set_gradient(r, i, inside(y) ? ((1 - t) / (1 - p) - t / p) / (double)r->n : 0);
    }
    return loss / (double)r->n;
}

static bool is_right(const row *r) {
    if (r->n == 1)
        return ((double)r->x[0] > nn_loss_threshold(r->plan)) == (raw_target(r, 0) > 0.5);
    int64_t best = 0, wanted = r->values ? 0 : r->label;
    for (int64_t i = 1; i < r->n; i++) {
        if (r->x[i] > r->x[best]) best = i;
        if (r->values && r->values[i] > r->values[wanted]) wanted = i;
    }
    return best == wanted;
}

static double (*const formulas[])(const row *) = {
    [NN_FORM_MSE] = mse,
    [NN_FORM_CE_LOGITS] = ce_logits,
    [NN_FORM_CE_PROBS] = ce_probs,
    [NN_FORM_BCE_LOGITS] = bce_logits,
    [NN_FORM_BCE_PROBS] = bce_probs,
};

static void run_rows(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const loss_job *j = arg;
    int64_t n = j->plan->outputs;
    for (int64_t i = begin; i < end; i++) {
        row r = {.plan = j->plan,
                 .n = n,
                 .x = j->x + i * n,
                 .dx = j->dx ? j->dx + i * n : NULL,
                 .values = j->t->values ? j->t->values + i * n : NULL,
                 .label = j->t->labels ? j->t->labels[i] : -1,
                 .scale = 1 / (double)j->rows};
        x->row_loss[i] = formulas[j->plan->form](&r);
        x->row_right[i] = is_right(&r);
    }
}

void nn_native_loss(nn_native *x, int64_t rows, const nn_targets *t, bool grad, nn_step *ret) {
    const nn_value *v = &x->values[x->loss_value];
    loss_job j = {&x->loss, v->data, grad ? v->grad : NULL, t, rows};
    nn_parallel(x, rows, (double)(rows * v->elements) * 100, run_rows, &j);
    double loss = 0;
    int64_t correct = 0;
    for (int64_t i = 0; i < rows; i++) {
        loss += x->row_loss[i];
        correct += x->row_right[i];
    }
    *ret = (nn_step){.loss = loss / (double)rows, .correct = correct, .node = -1};
}
