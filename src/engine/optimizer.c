/* SPDX-License-Identifier: MIT */
#include "engine/optimizer.h"

#include <math.h>

/* ---- coefficients ---- */

static double warmed(double beta_1, double t) {
    return beta_1 * (1 - 0.5 * pow(0.96, t));
}

/* u(1) ... u(t); from where 0.96^k is lost in rounding the factors are beta_1 itself. */
static double warmed_product(double beta_1, int64_t t) {
    const int64_t settled = 1024;
    double product = 1;
    for (int64_t k = 1; k <= t && k <= settled; k++) product *= warmed(beta_1, (double)k);
    return t > settled ? product * pow(beta_1, (double)(t - settled)) : product;
}

static void correct_nadam(nn_update *u, const nn_optimizer *o, int64_t t) {
    double now = warmed(o->beta_1, (double)t), next = warmed(o->beta_1, (double)t + 1);
    double product = warmed_product(o->beta_1, t);
    u->on_mean = next / (1 - product * next);
    u->on_gradient = (1 - now) / (1 - product);
    u->spread = 1 / (1 - pow(o->beta_2, (double)t));
}

nn_update nn_update_make(const nn_optimizer *o, double learning_rate, int64_t t) {
    nn_update u = {.optimizer = o,
                   .learning_rate = learning_rate,
                   .keep = 1 - learning_rate * o->weight_decay,
                   .rate = learning_rate};
    double first = 1 - pow(o->beta_1, (double)t), second = 1 - pow(o->beta_2, (double)t);
    if (o->kind == NN_OPTIMIZER_ADAM || o->kind == NN_OPTIMIZER_ADAMW)
        u.rate *= sqrt(second) / first;
    if (o->kind == NN_OPTIMIZER_ADAMAX) u.rate /= first;
    if (o->kind == NN_OPTIMIZER_NADAM) correct_nadam(&u, o, t);
    return u;
}

/* ---- one weight ---- */

typedef double rule(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]);

/* Moves a mean towards x and returns it. */
static double average(float *mean, double x, double share) {
    double v = *mean + (x - *mean) * share;
    *mean = (float)v;
    return v;
}

static double sgd(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    if (o->momentum == 0) return w - u->rate * g;
    double moved = o->momentum * *slot[0] - u->rate * g;
    *slot[0] = (float)moved;
    return w + (o->nesterov ? o->momentum * moved - u->rate * g : moved);
}

static double adam(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double first = average(slot[0], g, 1 - o->beta_1);
    double second = average(slot[1], g * g, 1 - o->beta_2);
    if (o->amsgrad) {
        second = fmax(second, *slot[2]);
        *slot[2] = (float)second;
    }
    return w - first * u->rate / (sqrt(second) + o->epsilon);
}

static double rmsprop(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double spread = average(slot[0], g * g, 1 - o->rho);
    if (o->centered) {
        double mean = average(slot[o->momentum > 0 ? 2 : 1], g, 1 - o->rho);
        spread -= mean * mean;
    }
    double moved = u->rate * g / sqrt(spread + o->epsilon);
    if (o->momentum > 0) {
        moved += o->momentum * *slot[1];
        *slot[1] = (float)moved;
    }
    return w - moved;
}

static double adagrad(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    double sum = *slot[0] + g * g;
    *slot[0] = (float)sum;
    return w - u->rate * g / sqrt(sum + u->optimizer->epsilon);
}

static double adadelta(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double spread = average(slot[0], g * g, 1 - o->rho);
    double moved = g * sqrt((double)*slot[1] + o->epsilon) / sqrt(spread + o->epsilon);
    average(slot[1], moved * moved, 1 - o->rho);
    return w - u->rate * moved;
}

static double adamax(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double first = average(slot[0], g, 1 - o->beta_1);
    double most = fmax(o->beta_2 * *slot[1], fabs(g));
    *slot[1] = (float)most;
    return w - first * u->rate / (most + o->epsilon);
}

static double nadam(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double first = average(slot[0], g, 1 - o->beta_1);
    double second = average(slot[1], g * g, 1 - o->beta_2);
    double ahead = u->on_mean * first + u->on_gradient * g;
    return w - u->rate * ahead / (sqrt(second * u->spread) + o->epsilon);
}

/* Without any regularisation and gradient so far there is nothing to divide by: w stays. */
static double ftrl(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double power = -o->learning_rate_power, lr = u->learning_rate;
    double before = *slot[0], sum = before + g * g;
    double scale = pow(sum, power) / lr;
    double z = *slot[1] + g + 2 * o->l2_shrinkage_regularization_strength * w -
               (scale - pow(before, power) / lr) * w;
    *slot[0] = (float)sum;
    *slot[1] = (float)z;
    double l1 = o->l1_regularization_strength;
    double curve = scale + 2 * o->l2_regularization_strength + o->beta / lr;
    return curve > 0 ? (fmax(-l1, fmin(l1, z)) - z) / curve : w;
}

static double lion(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    const nn_optimizer *o = u->optimizer;
    double to = *slot[0] * o->beta_1 + g * (1 - o->beta_1);
    average(slot[0], g, 1 - o->beta_2);
    return w - u->rate * (double)((to > 0) - (to < 0));
}

static rule *const rules[NN_OPTIMIZER_COUNT] = {
    [NN_OPTIMIZER_SGD] = sgd,         [NN_OPTIMIZER_ADAM] = adam,
    [NN_OPTIMIZER_ADAMW] = adam,      [NN_OPTIMIZER_RMSPROP] = rmsprop,
    [NN_OPTIMIZER_ADAGRAD] = adagrad, [NN_OPTIMIZER_ADADELTA] = adadelta,
    [NN_OPTIMIZER_ADAMAX] = adamax,   [NN_OPTIMIZER_NADAM] = nadam,
    [NN_OPTIMIZER_FTRL] = ftrl,       [NN_OPTIMIZER_LION] = lion,
};

double nn_update_weight(const nn_update *u, double w, double g, float *const slot[NN_MAX_SLOTS]) {
    return rules[u->optimizer->kind](u, w * u->keep, g, slot);
}

/* ---- state ---- */

int nn_optimizer_state_slots(const nn_optimizer *o) {
    if (o->kind == NN_OPTIMIZER_SGD) return o->momentum != 0;
    if (o->kind == NN_OPTIMIZER_RMSPROP) return 1 + (o->momentum > 0) + o->centered;
    return nn_optimizer_slots(o->kind) + o->amsgrad;
}

float nn_optimizer_state_start(const nn_optimizer *o, int i) {
    bool sums = o->kind == NN_OPTIMIZER_ADAGRAD || o->kind == NN_OPTIMIZER_FTRL;
    return sums && i == 0 ? (float)o->initial_accumulator_value : 0;
}

void nn_state_init(const nn_graph *g, float *slabs) {
    for (int i = 0; i < nn_optimizer_state_slots(&g->train.optimizer); i++)
        for (int64_t e = 0; e < g->slab; e++)
            *slabs++ = nn_optimizer_state_start(&g->train.optimizer, i);
}

/* ---- the learning rate (keras/src/optimizers/schedules) ---- */

static double passed(const nn_schedule *s, double step) {
    double p = step / (double)s->decay_steps;
    return s->staircase ? floor(p) : p;
}

static double exponential(const nn_schedule *s, double step, double epoch) {
    (void)epoch;
    return s->initial_learning_rate * pow(s->decay_rate, passed(s, step));
}

static double inverse_time(const nn_schedule *s, double step, double epoch) {
    (void)epoch;
    return s->initial_learning_rate / (1 + s->decay_rate * passed(s, step));
}

static double piecewise(const nn_schedule *s, double step, double epoch) {
    (void)epoch;
    int i = 0;
    while (i < s->n_values - 1 && step > (double)s->boundaries[i]) i++;
    return s->values[i];
}

static double polynomial(const nn_schedule *s, double step, double epoch) {
    (void)epoch;
    double length = (double)s->decay_steps;
    if (s->cycle)
        length *= fmax(ceil(step / length), 1);
    else
        step = fmin(step, length);
    double range = s->initial_learning_rate - s->end_learning_rate;
    return range * pow(1 - step / length, s->power) + s->end_learning_rate;
}

static double cosine(const nn_schedule *s, double step, double epoch) {
    (void)epoch;
    double from = s->initial_learning_rate, warm = (double)s->warmup_steps;
    if (warm > 0) {
        if (step < warm) return from + (s->warmup_target - from) * step / warm;
        step -= warm;
        from = s->warmup_target;
    }
    const double pi = 3.14159265358979323846;
    double share = 0.5 * (1 + cos(pi * fmin(step / (double)s->decay_steps, 1)));
    return from * ((1 - s->alpha) * share + s->alpha);
}

static double by_epoch(const nn_schedule *s, double step, double epoch) {
    (void)step;
    return s->initial_learning_rate * pow(s->drop_rate, floor(epoch / (double)s->epochs_drop));
}

double nn_learning_rate_at(const nn_optimizer *o, int64_t step, int64_t epoch) {
    static double (*const curves[NN_SCHEDULE_COUNT])(const nn_schedule *, double, double) = {
        [NN_SCHEDULE_EXPONENTIAL] = exponential, [NN_SCHEDULE_PIECEWISE] = piecewise,
        [NN_SCHEDULE_POLYNOMIAL] = polynomial,   [NN_SCHEDULE_INVERSE_TIME] = inverse_time,
        [NN_SCHEDULE_COSINE] = cosine,           [NN_SCHEDULE_STEP] = by_epoch,
    };
    const nn_schedule *s = &o->schedule;
    if (s->kind == NN_SCHEDULE_NONE) return o->learning_rate;
    return curves[s->kind](s, (double)step, (double)epoch);
}

/* ---- constraints ---- */

static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* What a column of this norm is multiplied by; 1e-7 is keras.config.epsilon(). */
static double norm_factor(const nn_constraint *c, double norm) {
    const double epsilon = 1e-7;
    switch (c->kind) {
    case NN_CONSTRAINT_MAX_NORM:
        return clamp(norm, 0, c->max) / (epsilon + norm);
    case NN_CONSTRAINT_UNIT_NORM:
        return 1 / (epsilon + norm);
    case NN_CONSTRAINT_MIN_MAX_NORM:
        return (c->rate * clamp(norm, c->min, c->max) + (1 - c->rate) * norm) / (epsilon + norm);
    case NN_CONSTRAINT_NONE:
    case NN_CONSTRAINT_NON_NEG:
        break;
    }
    return 1;
}

void nn_constraint_apply(const nn_weight *w, float *values) {
    if (w->constraint.kind == NN_CONSTRAINT_NONE) return;
    if (w->constraint.kind == NN_CONSTRAINT_NON_NEG) {
        for (int64_t i = 0; i < w->elements; i++)
            if (!(values[i] >= 0)) values[i] = 0;
        return;
    }
    int64_t columns = w->shape.rank > 1 ? w->shape.dim[w->shape.rank - 1] : 1;
    for (int64_t c = 0; c < columns; c++) {
        double square = 0;
        for (int64_t i = c; i < w->elements; i += columns) square += (double)values[i] * values[i];
        double factor = norm_factor(&w->constraint, sqrt(square));
        for (int64_t i = c; i < w->elements; i += columns) values[i] = (float)(values[i] * factor);
    }
}
