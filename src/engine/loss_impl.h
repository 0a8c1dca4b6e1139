/* SPDX-License-Identifier: MIT */
/* loss_impl.h - the formulas of loss.h on one site of a batch. The including file defines `real`,
 * the type of its tensors, and real_exp(). */
#ifndef NN_ENGINE_LOSS_IMPL_H
#define NN_ENGINE_LOSS_IMPL_H
#include "engine/loss.h"

#include <math.h>

typedef struct site {
    const nn_loss_plan *plan;
    const nn_loss_batch *batch;
    int64_t n;
    const real *x;
    real *dx;            /* NULL: not wanted */
    const float *values; /* NULL: label */
    int32_t label;
    double scale; /* of the gradient */
} site;

static double raw_target(const site *r, int64_t i) {
    return r->values ? (double)r->values[i] : i == r->label;
}

static double target(const site *r, int64_t i) {
    return r->plan->off + raw_target(r, i) * (r->plan->on - r->plan->off);
}

static void set_gradient(const site *r, int64_t i, double g) {
    if (r->dx) r->dx[i] = (real)(g * r->scale);
}

/* ---- cross-entropy ---- */

/* sum over i of t_i (log sum exp x - x_i), t being `off` plus (on - off) at the label or at the
 * values. The probabilities are kept for the gradient where they fit. */
static double ce_logits(const site *r) {
    double max = (double)r->x[0], sum = 0, dot = 0, mass = 0;
    for (int64_t i = 1; i < r->n; i++)
        if ((double)r->x[i] > max) max = (double)r->x[i];
    for (int64_t i = 0; i < r->n; i++) {
        double t = target(r, i);
        mass += t;
        dot += t * (double)r->x[i];
    }
    real e[256];
    bool fits = r->n <= 256;
    for (int64_t i = 0; i < r->n; i++) {
        real p = real_exp((real)((double)r->x[i] - max));
        if (fits) e[i] = p;
        sum += (double)p;
    }
    for (int64_t i = 0; i < r->n && r->dx; i++) {
        real p = fits ? e[i] : real_exp((real)((double)r->x[i] - max));
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

static double ce_probs(const site *r) {
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

/* ---- means over the elements of a site ---- */

/* The loss of one element with the target t; *slope is its derivative by y. */
typedef double element(const site *r, double y, double t, double *slope);

static inline double mean(const site *r, element *f, bool smoothed) {
    double loss = 0, n = (double)r->n;
    for (int64_t i = 0; i < r->n; i++) {
        double slope, t = smoothed ? target(r, i) : raw_target(r, i);
        loss += f(r, (double)r->x[i], t, &slope);
        set_gradient(r, i, slope / n);
    }
    return loss / n;
}

static inline double bce_logits_at(const site *r, double y, double t, double *slope) {
    (void)r;
    double e = exp(-fabs(y));
    *slope = (y < 0 ? e / (1 + e) : 1 / (1 + e)) - t;
    return (y < 0 ? 0 : y) - y * t + log1p(e);
}

static inline double bce_probs_at(const site *r, double y, double t, double *slope) {
    (void)r;
    double p = clip(y);
    *slope = inside(y) ? (1 - t) / (1 - p) - t / p : 0;
    return -t * log(p) - (1 - t) * log(1 - p);
}

static inline double mse_at(const site *r, double y, double t, double *slope) {
    (void)r;
    *slope = 2 * (y - t);
    return (y - t) * (y - t);
}

static double sign(double x) {
    return (double)((x > 0) - (x < 0));
}

static inline double mae_at(const site *r, double y, double t, double *slope) {
    (void)r;
    *slope = sign(y - t);
    return fabs(y - t);
}

static inline double mape_at(const site *r, double y, double t, double *slope) {
    (void)r;
    double by = 100 / fmax(fabs(t), NN_LOSS_EPSILON);
    *slope = sign(y - t) * by;
    return fabs(y - t) * by;
}

static inline double msle_at(const site *r, double y, double t, double *slope) {
    (void)r;
    double d = log1p(fmax(y, NN_LOSS_EPSILON)) - log1p(fmax(t, NN_LOSS_EPSILON));
    *slope = y > NN_LOSS_EPSILON ? 2 * d / (1 + y) : 0;
    return d * d;
}

static inline double huber_at(const site *r, double y, double t, double *slope) {
    double d = y - t, delta = r->plan->delta;
    bool near = fabs(d) <= delta;
    *slope = near ? d : delta * sign(d);
    return near ? d * d / 2 : delta * fabs(d) - delta * delta / 2;
}

/* |d| + log((1 + exp(-2 |d|)) / 2), which does not overflow. */
static inline double log_cosh_at(const site *r, double y, double t, double *slope) {
    (void)r;
    double d = fabs(y - t);
    *slope = tanh(y - t);
    return d + log1p(exp(-2 * d)) - log(2);
}

static inline double hinge_at(const site *r, double y, double t, double *slope) {
    if (r->batch->signed_labels) t = 2 * t - 1;
    double over = 1 - t * y;
    *slope = over > 0 ? -t : 0;
    return over > 0 ? over : 0 * over; /* a NaN stays one */
}

static inline double squared_hinge_at(const site *r, double y, double t, double *slope) {
    double over = hinge_at(r, y, t, slope);
    *slope *= 2 * over;
    return over * over;
}

static inline double poisson_at(const site *r, double y, double t, double *slope) {
    (void)r;
    *slope = 1 - t / (y + NN_LOSS_EPSILON);
    return y - t * log(y + NN_LOSS_EPSILON);
}

#define MEAN(form, smoothed)                                                                       \
    static double form(const site *r) {                                                            \
        return mean(r, form##_at, smoothed);                                                       \
    }
MEAN(bce_logits, true)
MEAN(bce_probs, true)
MEAN(mse, false)
MEAN(mae, false)
MEAN(mape, false)
MEAN(msle, false)
MEAN(huber, false)
MEAN(log_cosh, false)
MEAN(hinge, false)
MEAN(squared_hinge, false)
MEAN(poisson, false)
#undef MEAN

/* ---- of a site as a whole ---- */

static double categorical_hinge(const site *r) {
    double right = 0, wrong = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double t = raw_target(r, i), y = (double)r->x[i];
        right += t * y;
        if (i == 0 || (1 - t) * y > wrong) worst = i, wrong = (1 - t) * y;
    }
    double over = wrong - right + 1;
    for (int64_t i = 0; i < r->n; i++) {
        double t = raw_target(r, i);
        set_gradient(r, i, over > 0 ? (i == worst ? 1 - t : 0) - t : 0);
    }
    return over > 0 ? over : 0 * over;
}

static double kld(const site *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double y = (double)r->x[i], t = fmin(fmax(raw_target(r, i), NN_LOSS_EPSILON), 1);
        double p = y < NN_LOSS_EPSILON ? NN_LOSS_EPSILON : y > 1 ? 1 : y;
        loss += t * log(t / p);
        set_gradient(r, i, y >= NN_LOSS_EPSILON && y <= 1 ? -t / p : 0);
    }
    return loss;
}

static double cosine(const site *r) {
    double dot = 0, xx = 0, tt = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double y = (double)r->x[i], t = raw_target(r, i);
        dot += y * t;
        xx += y * y;
        tt += t * t;
    }
    double x = fmax(sqrt(xx), NN_LOSS_EPSILON), t = fmax(sqrt(tt), NN_LOSS_EPSILON);
    bool turns = sqrt(xx) >= NN_LOSS_EPSILON;
    for (int64_t i = 0; i < r->n; i++)
        set_gradient(r, i,
                     (turns ? dot * (double)r->x[i] / (x * x) : 0) / (x * t) -
                         raw_target(r, i) / (x * t));
    return -dot / (x * t);
}

/* ---- connectionist temporal classification ---- */

/* A row: states 0 to 2 n are the classes of its target with a blank around each. */
typedef struct sequence {
    const nn_loss_plan *plan;
    const real *x; /* steps x classes */
    const float *target;
    int64_t n, classes, states;
    double *alpha;          /* steps x states: log of the paths up to a step that end in a state */
    double *beta, *next;    /* states: log of the paths from a step, from the one after it */
    double *sum, *constant; /* classes; steps: log of the sum of exp x */
} sequence;

static double log_add(double a, double b) {
    double max = a > b ? a : b, min = a > b ? b : a;
    return min == -INFINITY ? max : max + log1p(exp(min - max));
}

static int64_t class_of_state(const sequence *q, int64_t s) {
    return s % 2 ? (int64_t)q->target[s / 2] : q->plan->blank;
}

static double log_p(const sequence *q, int64_t step, int64_t k) {
    return (double)q->x[step * q->classes + k] - q->constant[step];
}

/* A blank between two classes may be passed over, unless they are the same. */
static bool may_skip(const sequence *q, int64_t s) {
    return s % 2 && s >= 2 && q->target[s / 2] != q->target[s / 2 - 1];
}

static void normalise(const sequence *q) {
    for (int64_t t = 0; t < q->plan->sites; t++) {
        const real *x = q->x + t * q->classes;
        double max = (double)x[0], sum = 0;
        for (int64_t k = 1; k < q->classes; k++)
            if ((double)x[k] > max) max = (double)x[k];
        for (int64_t k = 0; k < q->classes; k++) sum += exp((double)x[k] - max);
        q->constant[t] = max + log(sum);
    }
}

static void run_alpha(const sequence *q) {
    for (int64_t s = 0; s < q->states; s++)
        q->alpha[s] = s < 2 ? log_p(q, 0, class_of_state(q, s)) : -INFINITY;
    for (int64_t t = 1; t < q->plan->sites; t++) {
        const double *before = q->alpha + (t - 1) * q->states;
        for (int64_t s = 0; s < q->states; s++) {
            double v = before[s];
            if (s > 0) v = log_add(v, before[s - 1]);
            if (may_skip(q, s)) v = log_add(v, before[s - 2]);
            q->alpha[t * q->states + s] = v + log_p(q, t, class_of_state(q, s));
        }
    }
}

/* beta of step t, from next, that of t + 1; without the probability of t itself. */
static void step_beta(const sequence *q, int64_t t) {
    bool last = t + 1 == q->plan->sites;
    for (int64_t s = 0; s < q->states; s++) {
        double v = last ? (s + 2 >= q->states ? 0 : -INFINITY) : q->next[s];
        if (!last && s + 1 < q->states) v = log_add(v, q->next[s + 1]);
        if (!last && s + 2 < q->states && may_skip(q, s + 2)) v = log_add(v, q->next[s + 2]);
        q->beta[s] = v;
    }
    for (int64_t s = 0; s < q->states; s++)
        q->next[s] = q->beta[s] + log_p(q, t, class_of_state(q, s));
}

/* p of a class less its share of all paths at that step. */
static void put_gradient(const sequence *q, double log_all, double scale, real *dx) {
    for (int64_t t = q->plan->sites - 1; t >= 0; t--) {
        step_beta(q, t);
        for (int64_t k = 0; k < q->classes; k++) q->sum[k] = -INFINITY;
        for (int64_t s = 0; s < q->states; s++) {
            double *sum = &q->sum[class_of_state(q, s)];
            *sum = log_add(*sum, q->alpha[t * q->states + s] + q->beta[s]);
        }
        for (int64_t k = 0; k < q->classes; k++)
            dx[t * q->classes + k] =
                (real)(scale * (exp(log_p(q, t, k)) - exp(q->sum[k] - log_all)));
    }
}

/* Whether the best class of each step, what repeats once and without blanks, is the target. */
static bool spells(const sequence *q) {
    int64_t before = -1, at = 0;
    for (int64_t t = 0; t < q->plan->sites; t++) {
        const real *x = q->x + t * q->classes;
        int64_t best = 0;
        for (int64_t k = 1; k < q->classes; k++)
            if (x[k] > x[best]) best = k;
        if (best != before && best != q->plan->blank) {
            if (at == q->n || best != (int64_t)q->target[at]) return false;
            at++;
        }
        before = best;
    }
    return at == q->n;
}

static double ctc(const nn_loss_plan *p, const real *x, real *dx, const float *target,
                  int64_t length, double scale, double *scratch, int64_t *ret_right) {
    sequence q = {.plan = p, .x = x, .target = target, .classes = p->outputs / p->sites};
    while (q.n < length && target[q.n] >= 0 && target[q.n] != (float)p->blank) q.n++;
    q.states = 2 * q.n + 1;
    q.alpha = scratch;
    q.beta = q.alpha + p->sites * q.states;
    q.next = q.beta + q.states;
    q.sum = q.next + q.states;
    q.constant = q.sum + q.classes;
    normalise(&q);
    run_alpha(&q);
    const double *end = q.alpha + p->sites * q.states - 1;
    double log_all = q.n ? log_add(end[0], end[-1]) : end[0];
    if (dx) put_gradient(&q, log_all, scale, dx);
    *ret_right = spells(&q);
    return -log_all;
}

static bool is_right(const site *r) {
    if (r->n == 1)
        return ((double)r->x[0] > nn_loss_threshold(r->plan)) == (raw_target(r, 0) > 0.5);
    int64_t best = 0, wanted = r->values ? 0 : r->label;
    for (int64_t i = 1; i < r->n; i++) {
        if (r->x[i] > r->x[best]) best = i;
        if (r->values && r->values[i] > r->values[wanted]) wanted = i;
    }
    return best == wanted;
}

static double formula(const site *r, bool *ret_right) {
    static double (*const formulas[NN_FORM_COUNT])(const site *) = {
        [NN_FORM_MSE] = mse,
        [NN_FORM_CE_LOGITS] = ce_logits,
        [NN_FORM_CE_PROBS] = ce_probs,
        [NN_FORM_BCE_LOGITS] = bce_logits,
        [NN_FORM_BCE_PROBS] = bce_probs,
        [NN_FORM_MAE] = mae,
        [NN_FORM_MAPE] = mape,
        [NN_FORM_MSLE] = msle,
        [NN_FORM_HUBER] = huber,
        [NN_FORM_LOG_COSH] = log_cosh,
        [NN_FORM_HINGE] = hinge,
        [NN_FORM_SQUARED_HINGE] = squared_hinge,
        [NN_FORM_CATEGORICAL_HINGE] = categorical_hinge,
        [NN_FORM_KLD] = kld,
        [NN_FORM_POISSON] = poisson,
        [NN_FORM_COSINE] = cosine,
    };
    *ret_right = is_right(r);
    return formulas[r->plan->form](r);
}

/* ---- a row ---- */

/* The batch that row `at` is one of. */
typedef struct loss_job {
    const nn_loss_plan *plan;
    nn_loss_batch batch;
    const real *x; /* rows x outputs */
    real *dx;      /* NULL: not wanted */
    const nn_targets *t;
    double *scratch; /* nn_loss_scratch of the plan, of this thread */
} loss_job;

/* The loss of row `at` by the loss of each site, its gradient, and how many sites are right. */
static double row_loss(const loss_job *j, int64_t at, double (*site_loss)(const site *, bool *),
                       int64_t *ret_right) {
    const nn_loss_plan *p = j->plan;
    const nn_targets *t = j->t;
    int64_t n = p->outputs / p->sites;
    double weight = t->weights ? (double)t->weights[at] : 1, loss = 0;
    *ret_right = 0;
    if (p->form == NN_FORM_CTC) {
        int64_t from = at * p->outputs;
        return weight * ctc(p, j->x + from, j->dx ? j->dx + from : NULL, t->values + at * t->length,
                            t->length, weight / j->batch.divisor, j->scratch, ret_right);
    }
    for (int64_t i = 0; i < p->sites; i++) {
        int64_t from = at * p->outputs + i * n;
        site r = {.plan = p,
                  .batch = &j->batch,
                  .n = n,
                  .x = j->x + from,
                  .dx = j->dx ? j->dx + from : NULL,
                  .values = t->values ? t->values + from : NULL,
                  .label = t->labels ? t->labels[at * p->sites + i] : -1,
                  .scale = weight / j->batch.divisor};
        bool counts = p->ignored < 0 || !t->labels || r.label != p->ignored;
        for (int64_t e = 0; !counts && r.dx && e < n; e++) r.dx[e] = 0;
        if (!counts) continue;
        bool right;
        loss += weight * site_loss(&r, &right);
        *ret_right += right;
    }
    return loss;
}
#endif
