/* SPDX-License-Identifier: MIT */
#include "engine/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A score and whether its target is above 0.5. */
typedef struct scored {
    float score;
    bool yes;
} scored;

struct nn_meter {
    nn_loss_plan plan;
    unsigned wanted;
    int64_t n, top_k;                              /* scores of a site */
    enum { SCORES, SOFTMAX, SIGMOID, LOG } output; /* what a score is made from */
    nn_metric_sums sums;
    int64_t classes, *confusion;
    double *y, *t; /* of one site */
    scored *scored;
    int64_t n_scored, cap_scored;
    bool partial; /* rows before were seen by a meter that is gone */
};

enum { MOST_CLASSES = 4096 };
static const unsigned elsewhere = NN_METRIC_ACCURACY | NN_METRIC_LOSS;

nn_metric_values nn_metric_values_none(void) {
    nn_metric_values v;
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++) v.of[i] = NAN;
    return v;
}

static void find_output(nn_meter *m, const nn_graph *g) {
    const nn_node *out = &g->nodes[g->outputs[0]];
    if (g->train.from_logits)
        m->output = m->plan.form == NN_FORM_BCE_LOGITS ? SIGMOID : SOFTMAX;
    else if (out->op == NN_OP_SOFTMAX && out->attr.softmax.log)
        m->output = LOG;
}

nn_status nn_meter_new(const nn_graph *g, const nn_loss_plan *p, unsigned wanted, nn_meter **ret,
                       nn_err *err) {
    int64_t n = p->outputs / p->sites, classes = n > 1 ? n : 2;
    bool matrix = wanted & NN_METRIC_CONFUSION_MATRIX;
    if (matrix && classes > MOST_CLASSES)
        return nn_fail(err, NN_E_LIMIT, "a confusion matrix of %lld classes; the most is %d",
                       (long long)classes, MOST_CLASSES);
    nn_meter *m = calloc(1, sizeof *m);
    if (m) {
        *m = (nn_meter){.plan = *p, .wanted = wanted & ~elsewhere, .n = n, .classes = classes};
        m->top_k = g->train.top_k < n ? g->train.top_k : n;
        find_output(m, g);
        m->y = calloc((size_t)n, 2 * sizeof *m->y);
        m->t = m->y ? m->y + n : NULL;
        if (matrix) m->confusion = calloc((size_t)(classes * classes), sizeof *m->confusion);
    }
    if (!m || !m->y || (matrix && !m->confusion)) {
        nn_meter_free(m);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for metrics");
    }
    *ret = m;
    return NN_OK;
}

void nn_meter_free(nn_meter *m) {
    if (!m) return;
    free(m->confusion);
    free(m->y);
    free(m->scored);
    free(m);
}

bool nn_meter_wants(const nn_meter *m) {
    return m->wanted != 0;
}

void nn_meter_reset(nn_meter *m) {
    m->sums = (nn_metric_sums){0};
    m->n_scored = 0;
    m->partial = false;
    if (m->confusion)
        memset(m->confusion, 0, (size_t)(m->classes * m->classes) * sizeof *m->confusion);
}

/* ---- a site ---- */

static void to_softmax(double *y, int64_t n) {
    double max = y[0], sum = 0;
    for (int64_t i = 1; i < n; i++) max = fmax(max, y[i]);
    for (int64_t i = 0; i < n; i++) sum += y[i] = exp(y[i] - max);
    for (int64_t i = 0; i < n; i++) y[i] /= sum;
}

static void read_site(nn_meter *m, const float *x, const float *values, int64_t label) {
    for (int64_t i = 0; i < m->n; i++) {
        m->y[i] = (double)x[i];
        m->t[i] = values ? (double)values[i] : i == label;
    }
    if (m->output == SOFTMAX) to_softmax(m->y, m->n);
    for (int64_t i = 0; i < m->n && m->output == LOG; i++) m->y[i] = exp(m->y[i]);
    for (int64_t i = 0; i < m->n && m->output == SIGMOID; i++) m->y[i] = 1 / (1 + exp(-m->y[i]));
}

static int64_t highest(const double *v, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return n > 1 ? best : v[0] > 0.5;
}

/* Whether fewer than k scores come before that of `right`. */
static bool among_the_first(const double *y, int64_t n, int64_t right, int64_t k) {
    int64_t before = 0;
    for (int64_t i = 0; i < n; i++) before += y[i] > y[right] || (y[i] == y[right] && i < right);
    return before < k;
}

static void add_elements(nn_meter *m) {
    nn_metric_sums *s = &m->sums;
    double dot = 0, yy = 0, tt = 0;
    for (int64_t i = 0; i < m->n; i++) {
        double y = m->y[i], t = m->t[i], d = fabs(y - t);
        s->hits += y > 0.5 && t > 0.5;
        s->predicted += y > 0.5;
        s->actual += t > 0.5;
        s->squares += d * d;
        s->distances += d;
        s->shares += d / fmax(fabs(t), NN_LOSS_EPSILON);
        s->entropy -= t != 0 ? t * log(fmax(y, NN_LOSS_EPSILON)) : 0;
        dot += y * t;
        yy += y * y;
        tt += t * t;
    }
    s->similar += dot / fmax(sqrt(yy), 1e-12) / fmax(sqrt(tt), 1e-12);
    s->elements += (double)m->n;
    s->sites++;
}

static void add_site(nn_meter *m) {
    add_elements(m);
    int64_t right = highest(m->t, m->n);
    if (m->wanted & NN_METRIC_TOP_K)
        m->sums.found += m->n == 1 || among_the_first(m->y, m->n, right, m->top_k);
    if (m->confusion) m->confusion[right * m->classes + highest(m->y, m->n)]++;
    for (int64_t i = 0; i < m->n && m->wanted & NN_METRIC_AUC; i++)
        m->scored[m->n_scored++] = (scored){(float)m->y[i], m->t[i] > 0.5};
}

static nn_status make_room(nn_meter *m, int64_t more, nn_err *err) {
    int64_t need = m->n_scored + more;
    if (!(m->wanted & NN_METRIC_AUC) || need <= m->cap_scored) return NN_OK;
    int64_t cap = need * 2;
    scored *p = realloc(m->scored, (size_t)cap * sizeof *p);
    if (!p) {
        nn_status s = nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the %lld scores of 'auc'",
                              (long long)need);
        return nn_err_hint(err, s, "leave auc out of metrics");
    }
    m->scored = p;
    m->cap_scored = cap;
    return NN_OK;
}

nn_status nn_meter_add(nn_meter *m, int64_t rows, const float *outputs, const nn_targets *t,
                       nn_err *err) {
    if (!m->wanted) return NN_OK;
    nn_status st = make_room(m, rows * m->plan.outputs, err);
    if (st != NN_OK) return st;
    for (int64_t i = 0; i < rows * m->plan.sites; i++) {
        int64_t label = t->labels ? t->labels[i] : -1;
        if (t->labels && m->plan.ignored >= 0 && label == m->plan.ignored) continue;
        read_site(m, outputs + i * m->n, t->values ? t->values + i * m->n : NULL, label);
        add_site(m);
    }
    return NN_OK;
}

/* ---- values ---- */

static int by_score(const void *a, const void *b) {
    float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x > y) - (x < y);
}

/* Mann-Whitney: the mean rank of the true among all, ranks from 1, equals sharing theirs. */
static double area(nn_meter *m) {
    double ranks = 0, yes = 0, n = (double)m->n_scored;
    qsort(m->scored, (size_t)m->n_scored, sizeof *m->scored, by_score);
    for (int64_t i = 0, end; i < m->n_scored; i = end) {
        double hits = 0;
        for (end = i; end < m->n_scored && m->scored[end].score == m->scored[i].score; end++)
            hits += m->scored[end].yes;
        ranks += hits * (double)(i + 1 + end) / 2;
        yes += hits;
    }
    double no = n - yes;
    return yes > 0 && no > 0 ? (ranks - yes * (yes + 1) / 2) / (yes * no) : NAN;
}

static double share(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

nn_metric_values nn_meter_values(nn_meter *m) {
    const nn_metric_sums *s = &m->sums;
    nn_metric_values v = nn_metric_values_none(), all = v;
    if (s->sites == 0) return v;
    all.of[NN_TRAIN_METRIC_PRECISION] = share(s->hits, s->predicted);
    all.of[NN_TRAIN_METRIC_RECALL] = share(s->hits, s->actual);
    all.of[NN_TRAIN_METRIC_F1] = share(2 * s->hits, s->predicted + s->actual);
    all.of[NN_TRAIN_METRIC_TOP_K] = s->found / s->sites;
    all.of[NN_TRAIN_METRIC_MSE] = s->squares / s->elements;
    all.of[NN_TRAIN_METRIC_MAE] = s->distances / s->elements;
    all.of[NN_TRAIN_METRIC_RMSE] = sqrt(s->squares / s->elements);
    all.of[NN_TRAIN_METRIC_MAPE] = 100 * s->shares / s->elements;
    all.of[NN_TRAIN_METRIC_COSINE_SIMILARITY] = s->similar / s->sites;
    all.of[NN_TRAIN_METRIC_PERPLEXITY] = exp(s->entropy / s->sites);
    if (m->wanted & NN_METRIC_AUC && !m->partial) all.of[NN_TRAIN_METRIC_AUC] = area(m);
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++)
        if (m->wanted >> i & 1) v.of[i] = all.of[i];
    return v;
}

const int64_t *nn_meter_confusion(const nn_meter *m, int64_t *ret_classes) {
    *ret_classes = m->classes;
    return m->confusion;
}

nn_metric_sums nn_meter_sums(const nn_meter *m) {
    return m->sums;
}

void nn_meter_set_sums(nn_meter *m, const nn_metric_sums *s) {
    m->sums = *s;
    m->partial = true;
}
