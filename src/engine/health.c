/* SPDX-License-Identifier: MIT */
/* health.c - the checks behind the rules of health.def. Each limit is a constant beside its check
 * and a number in the rule's `when`: change both. */
#include "engine/health.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *when, *advice;
} rules[] = {
#define NN_HEALTH(N, name, when, advice) {name, when, advice},
#include "engine/health.def"
#undef NN_HEALTH
};

const char *nn_train_health_name(nn_train_health_rule r) {
    return rules[r].name;
}
const char *nn_train_health_when(nn_train_health_rule r) {
    return rules[r].when;
}
const char *nn_train_health_advice(nn_train_health_rule r) {
    return rules[r].advice;
}

enum {
    SAMPLE = 256,      /* rows whose values are looked at; fewest for dead units */
    EVERY = 256,       /* updates from one look at gradients to the next; their cost is that of a
                          step or less */
    FIRST_LOOK = 4,    /* updates before the first one */
    WINDOW = 5,        /* epochs of a plateau */
    OVERFIT_AFTER = 3, /* epochs */
    FINDINGS = 256     /* most that are kept: networks have more layers than anybody reads */
};

/* The units in front of a relu, by the weight that is added to them last. */
typedef struct gate {
    int node, weight; /* the relu's; its bias or beta */
    bool *fired;      /* of the weight's elements, in the epoch so far */
} gate;

struct nn_train_health {
    const nn_graph *graph;
    const nn_loss_plan *plan;
    nn_train_health_found *found;
    void *ctx;
    nn_symptom *findings;
    int n;
    int64_t epoch, step; /* of what is being looked at */
    double *norm;        /* by node: of the gradient of its weights */
    int64_t *elements;   /* by node: of its trainable weights */
    bool looked;         /* norm holds something that weights belong to */
    gate *gates;
    int n_gates;
    bool *fired;               /* the memory of all gates */
    int64_t n_fired, rows;     /* seen in the epoch so far */
    double recent[WINDOW + 1]; /* training losses, the newest last */
    int64_t n_epochs;
    double best, best_valid, loss_then; /* lowest losses; the training loss of the latter's epoch */
    int64_t best_valid_at;
};

/* ---- symptoms ---- */

static const char *layer(const nn_train_health *h, int node) {
    return h->graph->nodes[node].layer_name;
}

/* The sentence says it with this epoch's numbers, the first time. */
__attribute__((format(printf, 4, 5))) static void
tell(nn_train_health *h, nn_train_health_rule rule, int node, const char *fmt, ...) {
    for (int i = 0; i < h->n; i++) {
        nn_symptom *f = &h->findings[i];
        if (f->rule != rule || f->node != node) continue;
        if (f->epoch + f->epochs <= h->epoch) f->epochs++;
        return;
    }
    if (h->n == FINDINGS) return;
    nn_symptom *f = &h->findings[h->n++];
    *f = (nn_symptom){.rule = rule, .node = node, .epoch = h->epoch, .step = h->step, .epochs = 1};
    if (node >= 0) f->layer = layer(h, node), f->line = h->graph->nodes[node].span.line;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    if (h->found) h->found(h->ctx, f);
}

int nn_train_health_symptoms(const nn_train_health *h, const nn_symptom **ret) {
    *ret = h->findings;
    return h->n;
}

nn_json *nn_symptom_json(const nn_symptom *f) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "rule", nn_json_new_str(rules[f->rule].name));
    nn_json_set(v, "layer", nn_json_new_str(f->layer));
    nn_json_set(v, "line", f->line ? nn_json_new_int(f->line) : nn_json_new_null());
    nn_json_set(v, "epoch", nn_json_new_int(f->epoch));
    nn_json_set(v, "step", nn_json_new_int(f->step));
    nn_json_set(v, "epochs", nn_json_new_int(f->epochs));
    nn_json_set(v, "text", nn_json_new_str(f->text));
    nn_json_set(v, "advice", nn_json_new_str(rules[f->rule].advice));
    return v;
}

/* ---- the data ---- */

static bool is_read_by(const nn_graph *g, int node, nn_op op) {
    for (int i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < g->nodes[i].n_inputs; j++)
            if (g->nodes[i].inputs[j] == node && g->nodes[i].op == op) return true;
    return false;
}

/* Whether the values of an input are scaled in the network, or stand for something else. */
static bool any_scale_will_do(const nn_graph *g, int node) {
    return is_read_by(g, node, NN_OP_EMBEDDING) || is_read_by(g, node, NN_OP_BATCH_NORM) ||
           is_read_by(g, node, NN_OP_LAYER_NORM) || is_read_by(g, node, NN_OP_GROUP_NORM);
}

static void check_values(nn_train_health *h, int node, const float *x, int64_t n) {
    const double limit = 10;
    bool constant = n > 1;
    double squares = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        constant = constant && x[i] == x[0];
        squares += (double)x[i] * x[i];
        largest = fmax(largest, fabs((double)x[i]));
    }
    double size = sqrt(squares / (double)n);
    if (constant)
        tell(h, NN_HEALTH_INPUT_CONSTANT, node, "input '%s' is %g everywhere", layer(h, node),
             (double)x[0]);
    else if (size > limit && !any_scale_will_do(h->graph, node))
        tell(h, NN_HEALTH_INPUT_UNSCALED, node,
             "the values of input '%s' have a root mean square of %.3g, the largest is %.3g",
             layer(h, node), size, largest);
}

static nn_status check_input(nn_train_health *h, const nn_dataset *d, const nn_fit *fit, int i,
                             const uint32_t *index, int64_t n, nn_err *err) {
    const nn_block *b = &d->block[fit->block[i]];
    int64_t each = nn_shape_elements(&b->shape), rows = n < SAMPLE ? n : SAMPLE;
    float *x = each > 0 ? calloc((size_t)(each * rows), sizeof *x) : NULL;
    if (!x) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for %" PRId64 " samples", rows);
    nn_status s = nn_batch_fill(b, index, rows, NULL, x, err);
    if (s == NN_OK) check_values(h, h->graph->inputs[i], x, each * rows);
    free(x);
    return s;
}

static const char *class_name(const nn_dataset *d, int k, char buf[80]) {
    if (d->class_names)
        snprintf(buf, 80, "%d ('%.60s')", k, d->class_names[k]);
    else
        snprintf(buf, 80, "%d", k);
    return buf;
}

static void check_balance(nn_train_health *h, const nn_dataset *d, const int64_t *rows, int n) {
    const int64_t limit = 20;
    int least = -1, most = 0;
    char a[80], b[80];
    for (int k = 0; k < n; k++) {
        if (rows[k] > rows[most]) most = k;
        if (rows[k] > 0 && (least < 0 || rows[k] < rows[least])) least = k;
    }
    if (nn_class_weight_given(&h->graph->train.class_weight) || least < 0 ||
        rows[most] <= limit * rows[least])
        return;
    tell(h, NN_HEALTH_CLASS_UNBALANCED, -1,
         "class %s has %" PRId64 " training rows, class %s only %" PRId64, class_name(d, most, a),
         rows[most], class_name(d, least, b), rows[least]);
}

static nn_status check_classes(nn_train_health *h, const nn_dataset *d, const uint32_t *index,
                               int64_t n, nn_err *err) {
    int unseen = 0, first = -1, seen = 0;
    char name[80];
    int64_t *rows = calloc((size_t)d->classes + 1, sizeof *rows);
    if (!rows) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to count the classes");
    for (int64_t i = 0; i < n; i++) rows[d->labels[index[i]]]++;
    for (int k = d->classes - 1; k >= 0; k--) {
        seen += rows[k] > 0;
        if (rows[k] == 0) unseen++, first = k;
    }
    if (seen == 1 && n > 1)
        tell(h, NN_HEALTH_LABEL_CONSTANT, -1, "all %" PRId64 " training rows are of one class", n);
    else if (unseen)
        tell(h, NN_HEALTH_CLASS_UNSEEN, -1,
             "%d of %d classes have no training row, the first is %s", unseen, d->classes,
             class_name(d, first, name));
    check_balance(h, d, rows, d->classes);
    free(rows);
    return NN_OK;
}

/* What the last node can put out; false: anything. */
static bool range_of(const nn_graph *g, double *low, double *high) {
    const nn_node *n = &g->nodes[g->outputs[0]];
    static const struct {
        nn_act kind;
        double low, high;
    } limits[] = {
        {NN_ACT_SIGMOID, 0,  1       },
        {NN_ACT_TANH,    -1, 1       },
        {NN_ACT_RELU,    0,  INFINITY}
    };
    *low = 0, *high = 1;
    if (n->op == NN_OP_SOFTMAX) return !n->attr.softmax.log;
    for (size_t i = 0; n->op == NN_OP_ACTIVATION && i < sizeof limits / sizeof *limits; i++)
        if (n->attr.activation.kind == limits[i].kind) {
            *low = limits[i].low, *high = limits[i].high;
            return true;
        }
    return false;
}

/* Losses that compare an output with a target as they are. */
static bool compares(nn_loss_form f) {
    return f != NN_FORM_CTC && f != NN_FORM_HINGE && f != NN_FORM_SQUARED_HINGE &&
           f != NN_FORM_CATEGORICAL_HINGE && f != NN_FORM_COSINE;
}

static void check_targets(nn_train_health *h, const nn_dataset *d, const uint32_t *index,
                          int64_t n) {
    double low, high;
    bool bounded = range_of(h->graph, &low, &high) && compares(h->plan->form), constant = n > 1;
    int64_t width = d->target_width, outside = 0;
    float least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        const float *t = d->targets + index[i] * width;
        constant = constant && !memcmp(t, d->targets + index[0] * width, (size_t)width * sizeof *t);
        for (int64_t k = 0; k < width; k++) {
            outside += t[k] < low || t[k] > high;
            least = fminf(least, t[k]);
            most = fmaxf(most, t[k]);
        }
    }
    if (constant)
        tell(h, NN_HEALTH_LABEL_CONSTANT, -1, "all %" PRId64 " training rows have the same target",
             n);
    if (bounded && outside)
        tell(h, NN_HEALTH_TARGET_RANGE, h->graph->outputs[0],
             "'%s' cannot reach %" PRId64 " of %" PRId64 " target values, which go from %g to %g",
             layer(h, h->graph->outputs[0]), outside, n * width, (double)least, (double)most);
}

nn_status nn_train_health_data(nn_train_health *h, const nn_dataset *d, const nn_fit *fit,
                               const uint32_t *index, int64_t n, nn_err *err) {
    nn_status s = NN_OK;
    h->epoch = 1;
    h->step = 0;
    for (int i = 0; i < fit->n_inputs && s == NN_OK; i++)
        s = check_input(h, d, fit, i, index, n, err);
    if (s == NN_OK && d->labels) s = check_classes(h, d, index, n, err);
    if (s == NN_OK && fit->feed == NN_FEED_VALUES) check_targets(h, d, index, n);
    return s;
}

/* ---- gradients ---- */

bool nn_train_health_looks(const nn_train_health *h, int64_t updates) {
    (void)h;
    return updates % EVERY == FIRST_LOOK;
}

static bool clips(const nn_optimizer *o) {
    return o->clipnorm > 0 || o->clipvalue > 0 || o->global_clipnorm > 0;
}

/* Sums side by side: one after the other would cost more than the step itself. */
static double squares(const float *v, int64_t n) {
    enum { LANES = 8 };
    double sum[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += (double)v[i + k] * (double)v[i + k];
    for (; i < n; i++) all += (double)v[i] * (double)v[i];
    for (int k = 0; k < LANES; k++) all += sum[k];
    return all;
}

/* Of a slab: the length of what belongs to the trainable weights of a node. */
static double length(const nn_graph *g, int node, const float *slab) {
    double sum = 0;
    for (int k = 0; k < g->nodes[node].n_weights; k++) {
        const nn_weight *w = &g->weights[g->nodes[node].weights[k]];
        if (w->trainable) sum += squares(slab + w->offset, w->elements);
    }
    return sqrt(sum);
}

static void take_norms(nn_train_health *h, const float *gradients) {
    for (int i = 0; i < h->graph->n_nodes; i++) h->norm[i] = length(h->graph, i, gradients);
}

/* Of the weights that have one: per element, so that layers of any size compare. */
static double mean_gradient(const nn_train_health *h, int node) {
    return h->norm[node] / sqrt((double)h->elements[node]);
}

/* One line for all layers: they vanish together. */
static void check_vanishing(nn_train_health *h) {
    const double limit = 1e-5, nothing = 1e-30;
    int largest = -1, least = -1, vanished = 0, layers = 0;
    for (int i = 0; i < h->graph->n_nodes; i++) {
        if (!h->elements[i]) continue;
        layers++;
        if (largest < 0 || mean_gradient(h, i) > mean_gradient(h, largest)) largest = i;
        if (least < 0 || mean_gradient(h, i) < mean_gradient(h, least)) least = i;
    }
    if (largest < 0 || mean_gradient(h, largest) < nothing) return;
    for (int i = 0; i < h->graph->n_nodes; i++)
        vanished += h->elements[i] && mean_gradient(h, i) < limit * mean_gradient(h, largest);
    if (vanished)
        tell(h, NN_HEALTH_GRADIENT_VANISHES, least,
             "the gradient of '%s' is %.2g a weight, that of '%s' %.2g; it is small in %d of %d "
             "layers",
             layer(h, least), mean_gradient(h, least), layer(h, largest), mean_gradient(h, largest),
             vanished, layers);
}

static void see_units(nn_train_health *h, const float *gradients, int64_t rows) {
    for (int i = 0; i < h->n_gates; i++) {
        const nn_weight *w = &h->graph->weights[h->gates[i].weight];
        for (int64_t e = 0; e < w->elements; e++)
            h->gates[i].fired[e] |= gradients[w->offset + e] != 0;
    }
    h->rows += rows;
}

void nn_train_health_gradients(nn_train_health *h, const float *gradients, int64_t rows,
                               int64_t epoch, int64_t step) {
    h->epoch = epoch;
    h->step = step;
    take_norms(h, gradients);
    check_vanishing(h);
    see_units(h, gradients, rows);
    h->looked = true;
}

/* One line too: of the layer where it is worst. */
void nn_train_health_weights(nn_train_health *h, const float *weights) {
    const double limit = 100;
    const nn_graph *g = h->graph;
    int worst = -1;
    double most = limit;
    if (!h->looked || clips(&g->train.optimizer)) return;
    for (int i = 0; i < g->n_nodes; i++) {
        double share = h->norm[i] / (1 + length(g, i, weights));
        if (h->elements[i] && share > most) most = share, worst = i;
    }
    if (worst >= 0)
        tell(h, NN_HEALTH_GRADIENT_EXPLODES, worst,
             "the gradient of '%s' is %.3g long, its weights %.3g", layer(h, worst), h->norm[worst],
             length(g, worst, weights));
}

/* ---- units in front of a relu ---- */

static bool has_bias(const nn_node *n) {
    switch (n->op) {
    case NN_OP_MATMUL:
        return n->attr.matmul.bias;
    case NN_OP_CONV:
        return n->attr.conv.bias;
    case NN_OP_CONV_TRANSPOSE:
        return n->attr.conv_transpose.bias;
    case NN_OP_BATCH_NORM:
        return n->attr.batch_norm.center;
    default:
        return false;
    }
}

/* The weight that is added to what `n` puts out, one an output unit; -1: there is none that can be
 * read for this. */
static int added_weight(const nn_graph *g, const nn_node *n) {
    if (!has_bias(n)) return -1;
    int k = n->op == NN_OP_BATCH_NORM ? n->attr.batch_norm.scale : 1;
    const nn_weight *w = &g->weights[n->weights[k]];
    bool plain = w->trainable && w->regularizer.l1 == 0 && w->regularizer.l2 == 0;
    return plain ? n->weights[k] : -1;
}

static nn_status find_gates(nn_train_health *h, nn_err *err) {
    const nn_graph *g = h->graph;
    int64_t units = 0;
    h->gates = calloc((size_t)g->n_nodes + 1, sizeof *h->gates);
    if (!h->gates)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to watch %d layers", g->n_nodes);
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (n->op != NN_OP_ACTIVATION || n->attr.activation.kind != NN_ACT_RELU) continue;
        int w = added_weight(g, &g->nodes[n->inputs[0]]);
        if (w < 0) continue;
        h->gates[h->n_gates++] = (gate){i, w, NULL};
        units += g->weights[w].elements;
    }
    h->fired = calloc((size_t)units + 1, sizeof *h->fired);
    if (!h->fired) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to watch units");
    for (int i = 0; i < h->n_gates; i++) {
        h->gates[i].fired = h->fired + h->n_fired;
        h->n_fired += g->weights[h->gates[i].weight].elements;
    }
    return NN_OK;
}

/* From the last layer back: before one that is dead altogether, no gradient says anything. */
static void check_units(nn_train_health *h) {
    if (h->rows < SAMPLE) return;
    for (int i = h->n_gates - 1; i >= 0; i--) {
        const gate *a = &h->gates[i];
        int64_t n = h->graph->weights[a->weight].elements, dead = 0;
        for (int64_t e = 0; e < n; e++) dead += !a->fired[e];
        if (2 * dead >= n)
            tell(h, NN_HEALTH_UNITS_DEAD, a->node,
                 "%" PRId64 " of %" PRId64 " units of '%s' fired in none of %" PRId64 " rows", dead,
                 n, layer(h, a->node), h->rows);
        if (dead == n) break;
    }
    memset(h->fired, 0, (size_t)h->n_fired);
    h->rows = 0;
}

/* ---- epochs ---- */

static void check_plateau(nn_train_health *h) {
    const double limit = 0.001, nothing = 1e-6;
    double least = INFINITY, most = -INFINITY;
    if (h->n_epochs <= WINDOW) return;
    for (int i = 0; i <= WINDOW; i++) {
        least = fmin(least, h->recent[i]);
        most = fmax(most, h->recent[i]);
    }
    if (most > nothing && most - least < limit * most)
        tell(h, NN_HEALTH_LOSS_PLATEAU, -1, "the loss stayed at %.4g for %d epochs", most, WINDOW);
}

static void check_overfitting(nn_train_health *h, double loss, double val_loss) {
    const double limit = 1.05;
    if (isnan(val_loss)) return;
    if (h->best_valid_at == 0 || val_loss < h->best_valid) {
        h->best_valid = val_loss;
        h->best_valid_at = h->n_epochs;
        h->loss_then = loss;
    } else if (h->n_epochs - h->best_valid_at >= OVERFIT_AFTER &&
               val_loss > limit * h->best_valid && loss < h->loss_then) {
        tell(h, NN_HEALTH_OVERFITTING, -1,
             "the validation loss rose from %.4g to %.4g in %" PRId64
             " epochs, the training loss fell from %.4g to %.4g",
             h->best_valid, val_loss, h->n_epochs - h->best_valid_at, h->loss_then, loss);
    }
}

void nn_train_health_epoch(nn_train_health *h, int64_t epoch, double loss, double val_loss) {
    const double limit = 1.5;
    h->epoch = epoch;
    h->step = 0;
    memmove(h->recent, h->recent + 1, WINDOW * sizeof *h->recent);
    h->recent[WINDOW] = loss;
    h->n_epochs++;
    check_units(h);
    if (h->n_epochs == 1 || loss < h->best) h->best = loss;
    if (h->best > 0 && loss > limit * h->best)
        tell(h, NN_HEALTH_LOSS_RISES, -1, "the loss rose to %.4g from %.4g", loss, h->best);
    check_plateau(h);
    check_overfitting(h, loss, val_loss);
}

/* ---- life ---- */

void nn_train_health_free(nn_train_health *h) {
    if (!h) return;
    free(h->findings);
    free(h->norm);
    free(h->elements);
    free(h->gates);
    free(h->fired);
    free(h);
}

static void count_elements(nn_train_health *h) {
    const nn_graph *g = h->graph;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_weights; k++) {
            const nn_weight *w = &g->weights[g->nodes[i].weights[k]];
            if (w->trainable) h->elements[i] += w->elements;
        }
}

nn_status nn_train_health_new(const nn_graph *g, const nn_loss_plan *p,
                              nn_train_health_found *found, void *ctx, nn_train_health **ret,
                              nn_err *err) {
    nn_train_health *h = calloc(1, sizeof *h);
    if (!h) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to watch a training");
    *h = (nn_train_health){.graph = g, .plan = p, .found = found, .ctx = ctx};
    h->findings = calloc(FINDINGS, sizeof *h->findings);
    h->norm = calloc((size_t)g->n_nodes + 1, sizeof *h->norm);
    h->elements = calloc((size_t)g->n_nodes + 1, sizeof *h->elements);
    nn_status s =
        h->findings && h->norm && h->elements
            ? find_gates(h, err)
            : nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to watch %d layers", g->n_nodes);
    if (s != NN_OK) {
        nn_train_health_free(h);
        return s;
    }
    count_elements(h);
    *ret = h;
    return NN_OK;
}
