/* SPDX-License-Identifier: MIT */
#include "engine/loss.h"

#include <inttypes.h>
#include <math.h>

static bool is_sigmoid(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_SIGMOID;
}

/* Cross-entropy of a log-softmax output can only mean its log-probabilities, which are logits of
 * themselves; so both kinds of softmax are taken on their input. */
static void plan_classes(const nn_graph *g, const nn_node *out, nn_loss_plan *p) {
    bool behind = out->op == NN_OP_SOFTMAX && !g->train.from_logits;
    p->form = behind || g->train.from_logits ? NN_FORM_CE_LOGITS : NN_FORM_CE_PROBS;
    if (behind) p->node = out->inputs[0];
    p->off = g->train.label_smoothing / (double)(p->outputs / p->sites);
    p->on = 1 - g->train.label_smoothing + p->off;
}

static nn_status plan_sequence(const nn_graph *g, const nn_node *out, nn_loss_plan *p,
                               nn_err *err) {
    char shape[128];
    if (out->shape.rank != 2 || out->shape.dim[1] < 2) {
        nn_status s =
            nn_fail(err, NN_E_DSL_ERROR,
                    "ctc needs scores of two or more classes at each step, (steps, "
                    "classes); '%s' gives %s",
                    out->layer_name, nn_shape_print(&out->shape, true, shape, sizeof shape));
        return nn_err_hint(err, s, "end the network with TimeDistributed(Dense(units=<classes>))");
    }
    enum { MOST_STEPS = 1 << 16 }; /* the work is theirs, squared */
    if (out->shape.dim[0] > MOST_STEPS)
        return nn_fail(err, NN_E_LIMIT, "ctc over %" PRId64 " steps: at most %d", out->shape.dim[0],
                       MOST_STEPS);
    p->blank = g->train.blank;
    if (p->blank >= out->shape.dim[1])
        return nn_fail(err, NN_E_DSL_ERROR,
                       "ctc: blank is class %" PRId64 ", '%s' has 0 to %" PRId64, p->blank,
                       out->layer_name, out->shape.dim[1] - 1);
    if (out->op == NN_OP_SOFTMAX) p->node = out->inputs[0];
    return NN_OK;
}

static void plan_binary(const nn_graph *g, const nn_node *out, nn_loss_plan *p) {
    bool behind = is_sigmoid(out) && !g->train.from_logits;
    p->form = behind || g->train.from_logits ? NN_FORM_BCE_LOGITS : NN_FORM_BCE_PROBS;
    if (behind) p->node = out->inputs[0];
    p->off = g->train.label_smoothing / 2;
    p->on = 1 - p->off;
}

/* The forms of the other losses. */
static const nn_loss_form forms[NN_LOSS_COUNT] = {
    [NN_LOSS_MSE] = NN_FORM_MSE,
    [NN_LOSS_MAE] = NN_FORM_MAE,
    [NN_LOSS_MAPE] = NN_FORM_MAPE,
    [NN_LOSS_MSLE] = NN_FORM_MSLE,
    [NN_LOSS_HUBER] = NN_FORM_HUBER,
    [NN_LOSS_LOG_COSH] = NN_FORM_LOG_COSH,
    [NN_LOSS_HINGE] = NN_FORM_HINGE,
    [NN_LOSS_SQUARED_HINGE] = NN_FORM_SQUARED_HINGE,
    [NN_LOSS_CATEGORICAL_HINGE] = NN_FORM_CATEGORICAL_HINGE,
    [NN_LOSS_KLD] = NN_FORM_KLD,
    [NN_LOSS_POISSON] = NN_FORM_POISSON,
    [NN_LOSS_COSINE] = NN_FORM_COSINE,
    [NN_LOSS_CTC] = NN_FORM_CTC,
};

static nn_status not_scores(const nn_graph *g, const nn_node *out, nn_err *err) {
    char shape[128];
    nn_shape_print(&out->shape, true, shape, sizeof shape);
    nn_status s = nn_fail(err, NN_E_DSL_ERROR,
                          "%s needs a score for each of two or more classes, '%s' gives %s",
                          nn_loss_name(g->train.loss), out->name, shape);
    return nn_err_hint(err, s,
                       out->shape.rank == 1
                           ? "for two classes and one output, use binary_crossentropy with sigmoid"
                           : "end the network with Flatten() and Dense(units=<classes>)");
}

nn_status nn_loss_plan_make(const nn_graph *g, nn_loss_plan *ret, nn_err *err) {
    nn_status known = nn_trainer_supports_loss(&g->train, err);
    if (known != NN_OK) return known;
    if (g->n_outputs != 1)
        return nn_fail(err, NN_E_UNSUPPORTED, "network '%s' has %d outputs; training needs one",
                       g->name, g->n_outputs);
    const nn_node *out = &g->nodes[g->outputs[0]];
    nn_loss_plan p = {.form = forms[g->train.loss],
                      .node = out->id,
                      .outputs = nn_shape_elements(&out->shape),
                      .on = 1,
                      .off = 0,
                      .delta = g->train.delta,
                      .ignored = g->train.ignore_class};
    if (p.outputs < 1) {
        char shape[128];
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "the output of network '%s' has the shape %s; training needs known sizes",
                       g->name, nn_shape_print(&out->shape, true, shape, sizeof shape));
    }
    p.sites = out->shape.rank ? p.outputs / out->shape.dim[out->shape.rank - 1] : 1;
    if (nn_loss_targets(g->train.loss) == NN_TARGET_CLASS) {
        if (out->shape.rank < 1 || p.outputs / p.sites < 2) return not_scores(g, out, err);
        plan_classes(g, out, &p);
    } else if (g->train.loss == NN_LOSS_BINARY) {
        plan_binary(g, out, &p);
    } else if (g->train.loss == NN_LOSS_CTC) {
        nn_status s = plan_sequence(g, out, &p, err);
        if (s != NN_OK) return s;
    }
    *ret = p;
    return NN_OK;
}

static bool pads(const nn_loss_plan *p, float v) {
    return v < 0 || v == (float)p->blank;
}

/* A class and the same again take a blank between them. */
static nn_status check_sequence(const nn_loss_plan *p, int64_t row, const float *v, int64_t length,
                                nn_err *err) {
    int64_t classes = p->outputs / p->sites, n = 0, steps = 0;
    while (n < length && !pads(p, v[n])) n++;
    for (int64_t i = 0; i < length; i++) {
        if (i >= n ? pads(p, v[i]) : v[i] == floorf(v[i]) && v[i] < (float)classes) continue;
        return nn_fail(err, NN_E_DATA_ERROR,
                       "the target of row %" PRId64 " holds %g at %" PRId64
                       ": classes from 0 to %" PRId64 ", then only padding (negative, or the blank "
                       "%" PRId64 ")",
                       row, (double)v[i], i, classes - 1, p->blank);
    }
    for (int64_t i = 0; i < n; i++) steps += 1 + (i > 0 && v[i] == v[i - 1]);
    if (steps <= p->sites) return NN_OK;
    return nn_fail(err, NN_E_DATA_ERROR,
                   "the target of row %" PRId64 " takes %" PRId64
                   " steps, the network gives %" PRId64,
                   row, steps, p->sites);
}

static nn_status check_sequences(const nn_loss_plan *p, int64_t rows, const nn_targets *t,
                                 nn_err *err) {
    if (!t->values || t->length < 1)
        return nn_fail(err, NN_E_INTERNAL, "ctc was given no sequences of classes");
    for (int64_t i = 0; i < rows; i++) {
        nn_status s = check_sequence(p, i, t->values + i * t->length, t->length, err);
        if (s != NN_OK) return s;
    }
    return NN_OK;
}

nn_status nn_loss_check_labels(const nn_loss_plan *p, int64_t rows, const nn_targets *t,
                               nn_err *err) {
    int64_t classes = p->outputs / p->sites;
    if (p->form == NN_FORM_CTC) return check_sequences(p, rows, t, err);
    for (int64_t i = 0; t->labels && i < rows * p->sites; i++)
        if ((t->labels[i] < 0 || t->labels[i] >= classes) &&
            (p->ignored < 0 || t->labels[i] != p->ignored))
            return nn_fail(err, NN_E_DATA_ERROR,
                           "the label of row %" PRId64 " is %" PRId32 ", outside of 0 to %" PRId64,
                           i / p->sites, t->labels[i], classes - 1);
    return NN_OK;
}

static bool zeros_and_ones(const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (v[i] != 0 && v[i] != 1) return false;
    return true;
}

/* A state for each class of the target and for a blank around each; a path's states at all steps,
 * the other direction's at two, a sum a class, a normalisation a step. */
int64_t nn_loss_scratch(const nn_loss_plan *p) {
    int64_t steps = p->sites, states = 2 * steps + 1;
    return p->form == NN_FORM_CTC ? (steps + 2) * states + p->outputs / steps + steps : 0;
}

nn_loss_batch nn_loss_batch_of(const nn_loss_plan *p, int64_t rows, const nn_targets *t) {
    nn_loss_batch b = {.counted = rows * (p->form == NN_FORM_CTC ? 1 : p->sites)};
    for (int64_t i = 0; t->labels && p->ignored >= 0 && i < rows * p->sites; i++)
        b.counted -= t->labels[i] == p->ignored;
    b.divisor = b.counted > 0 ? (double)b.counted : 1;
    if (p->form == NN_FORM_HINGE || p->form == NN_FORM_SQUARED_HINGE)
        b.signed_labels = !t->values || zeros_and_ones(t->values, rows * p->outputs);
    return b;
}

bool nn_loss_regularised(const nn_graph *g) {
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        if (w->trainable && (w->regularizer.l1 != 0 || w->regularizer.l2 != 0)) return true;
    }
    return false;
}

double nn_loss_regularisers(const nn_graph *g, const float *slab) {
    double loss = 0;
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        if (!w->trainable || (w->regularizer.l1 == 0 && w->regularizer.l2 == 0)) continue;
        double l1 = 0, l2 = 0;
        for (int64_t e = 0; e < w->elements; e++) {
            double x = slab[w->offset + e];
            l1 += fabs(x);
            l2 += x * x;
        }
        loss += w->regularizer.l1 * l1 + w->regularizer.l2 * l2;
    }
    return loss;
}
