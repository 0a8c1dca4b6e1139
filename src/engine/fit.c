/* SPDX-License-Identifier: MIT */
#include "engine/fit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_status misfit(const nn_graph *g, const nn_node *at, const nn_dataset *d, nn_err *err,
                        const char *network, const char *data) {
    nn_status s = nn_fail(err, NN_E_DSL_ERROR, "network '%s' and data set '%s' do not fit: %s, %s",
                          g->name, d->name, network, data);
    if (err) {
        err->line = at->span.line;
        err->col = at->span.col;
    }
    return s;
}

/* The names of the data's blocks, for messages. */
static const char *block_names(const nn_dataset *d, char *buf, size_t cap) {
    size_t n = 0;
    *buf = 0;
    for (int i = 0; i < d->n_blocks && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? ", " : "",
                              d->block[i].name ? d->block[i].name : "one without a name");
    return buf;
}

static nn_status no_block(const nn_graph *g, const nn_node *in, const nn_dataset *d, nn_err *err) {
    char network[192], data[256], names[192];
    snprintf(network, sizeof network, "the network has %d input%s, one of them '%.100s'",
             g->n_inputs, g->n_inputs == 1 ? "" : "s", in->layer_name);
    snprintf(data, sizeof data, "the data has samples for: %s",
             block_names(d, names, sizeof names));
    nn_status s = misfit(g, in, d, err, network, data);
    return nn_err_hint(err, s, "name an array %s (or %s_train and %s_test)", in->layer_name,
                       in->layer_name, in->layer_name);
}

static nn_status check_input(const nn_graph *g, int i, const nn_dataset *d, int *ret, nn_err *err) {
    const nn_node *in = &g->nodes[g->inputs[i]];
    int at = nn_dataset_block(d, in->layer_name, g->n_inputs == 1);
    if (at < 0) return no_block(g, in, d, err);
    *ret = at;
    if (nn_block_fits(&d->block[at], &in->shape)) return NN_OK;
    char want[128], have[128], network[288], data[192];
    nn_shape_print(&in->shape, false, want, sizeof want);
    nn_shape_print(&d->block[at].shape, false, have, sizeof have);
    if (g->n_inputs == 1)
        snprintf(network, sizeof network, "the network's input is %s", want);
    else
        snprintf(network, sizeof network, "the network's input '%.100s' is %s", in->layer_name,
                 want);
    snprintf(data, sizeof data, "a sample is %s", have);
    nn_status s = misfit(g, in, d, err, network, data);
    return nn_err_hint(err, s, "write input: %s", have);
}

/* A model keeps one normalisation for all of its inputs. */
static nn_status check_normalisation(const nn_graph *g, const nn_dataset *d, const nn_fit *f,
                                     nn_err *err) {
    const nn_normalisation *a = &d->block[f->block[0]].norm;
    for (int i = 1; i < f->n_inputs; i++) {
        const nn_normalisation *b = &d->block[f->block[i]].norm;
        if (a->scale == b->scale && a->offset == b->offset) continue;
        nn_status s =
            nn_fail(err, NN_E_UNSUPPORTED,
                    "network '%s' and data set '%s': the samples of input '%s' are scaled "
                    "by %g, those of '%s' by %g; a model keeps one scale for all inputs",
                    g->name, d->name, g->nodes[g->inputs[0]].layer_name, (double)a->scale,
                    g->nodes[g->inputs[i]].layer_name, (double)b->scale);
        return nn_err_hint(
            err, s, "save bytes as float32, divided by 255, or say normalise=none behind the path");
    }
    return NN_OK;
}

static nn_status check_inputs(const nn_graph *g, const nn_dataset *d, nn_fit *f, nn_err *err) {
    nn_status s = NN_OK;
    for (f->n_inputs = 0; !s && f->n_inputs < g->n_inputs; f->n_inputs++)
        s = check_input(g, f->n_inputs, d, &f->block[f->n_inputs], err);
    return s ? s : check_normalisation(g, d, f, err);
}

/* Whether a label stands at each place of the output: its axes but the last; axes of one place do
 * not count. */
static bool same_places(const nn_shape *out, const nn_shape *labels) {
    int at = 0;
    for (int i = 0; i + 1 < out->rank; i++) {
        while (at < labels->rank && labels->dim[at] == 1) at++;
        if (out->dim[i] == 1) continue;
        if (at == labels->rank || labels->dim[at++] != out->dim[i]) return false;
    }
    while (at < labels->rank && labels->dim[at] == 1) at++;
    return at == labels->rank;
}

static nn_status other_places(const nn_graph *g, const nn_dataset *d, nn_err *err) {
    const nn_node *out = &g->nodes[g->outputs[0]];
    nn_shape places = out->shape;
    char shape[128], of[128], network[384], data[192];
    places.rank--;
    nn_shape_print(&out->shape, false, shape, sizeof shape);
    nn_shape_print(&places, false, of, sizeof of);
    snprintf(network, sizeof network, "'%.60s' gives %s, scores at places %s", out->layer_name,
             shape, of);
    nn_shape_print(&d->site_shape, false, shape, sizeof shape);
    snprintf(data, sizeof data, "a row has labels %s", shape);
    nn_status s = misfit(g, out, d, err, network, data);
    return nn_err_hint(err, s, "let the network end with as many places, or save other labels");
}

/* The labels of an array may be any numbers: here each must be a class, or the one ignored. */
static nn_status check_site_labels(const nn_graph *g, const nn_dataset *d, int64_t scores,
                                   nn_err *err) {
    int64_t ignored = g->train.ignore_class;
    for (int64_t i = 0; i < d->rows * d->sites; i++) {
        int32_t label = d->site_labels[i];
        if ((label >= 0 && label < scores) || (ignored >= 0 && label == ignored)) continue;
        nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                              "%s: label %" PRId32 " at place %" PRId64 " of row %" PRIu32
                              " is out of range: '%s' has %" PRId64 " scores",
                              d->site_array, label, i % d->sites, d->site_row[i / d->sites],
                              g->nodes[g->outputs[0]].layer_name, scores);
        return nn_err_hint(err, s,
                           "classes count from 0; for places without one give the loss "
                           "ignore_class");
    }
    return NN_OK;
}

/* A score for each class, at one site (engine/loss.h), or at as many as the data has labels for. */
static nn_status check_classes(const nn_graph *g, const nn_dataset *d, int64_t outputs,
                               nn_feed *ret, nn_err *err) {
    const nn_node *out = &g->nodes[g->outputs[0]];
    char network[192], data[192];
    int64_t scores = out->shape.dim[out->shape.rank - 1], sites = outputs / scores;
    if (d->site_array && !d->labels) {
        if (!same_places(&out->shape, &d->site_shape)) return other_places(g, d, err);
        *ret = NN_FEED_SITES;
        return check_site_labels(g, d, scores, err);
    }
    if (sites > 1 && sites == d->sites) {
        *ret = NN_FEED_SITES;
        outputs = scores;
    } else if (sites > 1) {
        char shape[128];
        nn_shape_print(&out->shape, true, shape, sizeof shape);
        snprintf(network, sizeof network, "'%s' gives %s, scores at several places",
                 out->layer_name, shape);
        nn_status s = misfit(g, out, d, err, network, "a row has one class");
        return nn_err_hint(err, s, "end the network with Flatten() and Dense(units=%d)",
                           d->classes);
    }
    if (d->classes <= outputs) return NN_OK;
    snprintf(network, sizeof network, "'%s' has %" PRId64 " outputs", out->layer_name, outputs);
    snprintf(data, sizeof data, "the data has %d classes", d->classes);
    nn_status s = misfit(g, out, d, err, network, data);
    return nn_err_hint(err, s, "give the last layer %d units", d->classes);
}

/* A loss over values and data with classes. */
static nn_status check_classes_as_values(const nn_graph *g, const nn_dataset *d, int64_t outputs,
                                         nn_feed *ret, nn_err *err) {
    if (outputs == 1 && d->classes <= 2) {
        *ret = NN_FEED_BINARY;
        return NN_OK;
    }
    if (outputs == d->classes) {
        *ret = NN_FEED_ONE_HOT;
        return NN_OK;
    }
    const nn_node *out = &g->nodes[g->outputs[0]];
    char network[192], data[192];
    snprintf(network, sizeof network, "%s over the %" PRId64 " outputs of '%s'",
             nn_loss_name(g->train.loss), outputs, out->layer_name);
    snprintf(data, sizeof data, "the data has %d classes", d->classes);
    nn_status s = misfit(g, out, d, err, network, data);
    return nn_err_hint(err, s, "give the last layer %d units, or use categorical_crossentropy",
                       d->classes);
}

static nn_status check_values(const nn_graph *g, const nn_dataset *d, int64_t outputs,
                              nn_err *err) {
    if (!d->targets) {
        nn_status s = nn_fail(
            err, NN_E_DATA_ERROR,
            "network '%s' learns values (%s), but %s has a class at each of %" PRId64 " places",
            g->name, nn_loss_name(g->train.loss), d->site_array, d->sites);
        return nn_err_hint(err, s, "use sparse_categorical_crossentropy, or save floats");
    }
    if (d->target_width == outputs) return NN_OK;
    const nn_node *out = &g->nodes[g->outputs[0]];
    char network[192], data[192];
    snprintf(network, sizeof network, "'%s' has %" PRId64 " outputs", out->layer_name, outputs);
    snprintf(data, sizeof data, "a row has %d target values", d->target_width);
    nn_status s = misfit(g, out, d, err, network, data);
    return nn_err_hint(err, s, "give the last layer %d units", d->target_width);
}

/* Its rows are classes, padded: as many as there are. */
static nn_status check_sequences(const nn_graph *g, const nn_dataset *d, nn_err *err) {
    if (d->targets) return NN_OK;
    nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                          "network '%s' learns sequences of classes (ctc), but a row of data set "
                          "'%s' has one class",
                          g->name, d->name);
    return nn_err_hint(err, s, "save the classes as an array (rows, length), padded with -1");
}

nn_status nn_fit_check(const nn_graph *g, const nn_dataset *d, nn_fit *ret, nn_err *err) {
    nn_fit fit;
    nn_status s = check_inputs(g, d, &fit, err);
    if (s != NN_OK) return s;
    if (d->rows < 1) return nn_fail(err, NN_E_DATA_ERROR, "data set '%s' has no rows", d->name);
    if (!d->labels && !d->targets && !d->site_labels)
        return nn_fail(err, NN_E_DATA_ERROR, "data set '%s' has neither labels nor target values",
                       d->name);
    int64_t outputs = nn_shape_elements(&g->nodes[g->outputs[0]].shape);
    bool classes = nn_loss_targets(g->train.loss) == NN_TARGET_CLASS;
    if (classes && !d->labels && !d->site_labels) {
        s = nn_fail(
            err, NN_E_DATA_ERROR,
            "network '%s' learns classes (%s), but data set '%s' has %d target values a row",
            g->name, nn_loss_name(g->train.loss), d->name, d->target_width);
        return nn_err_hint(err, s, "use mean_squared_error or binary_crossentropy");
    }
    fit.feed = classes ? NN_FEED_LABEL : NN_FEED_VALUES;
    if (g->train.loss == NN_LOSS_CTC)
        s = check_sequences(g, d, err);
    else if (classes)
        s = check_classes(g, d, outputs, &fit.feed, err);
    else if (d->labels)
        s = check_classes_as_values(g, d, outputs, &fit.feed, err);
    else
        s = check_values(g, d, outputs, err);
    if (s == NN_OK) *ret = fit;
    return s;
}

void nn_feed_fill(nn_feed feed, const nn_dataset *d, const uint32_t *index, int64_t n,
                  int64_t outputs, int32_t *labels, float *values) {
    nn_batch_targets(d, index, n, feed == NN_FEED_LABEL ? labels : NULL,
                     feed == NN_FEED_VALUES ? values : NULL);
    if (feed == NN_FEED_SITES) nn_batch_site_labels(d, index, n, labels);
    if (feed == NN_FEED_BINARY)
        for (int64_t i = 0; i < n; i++) values[i] = (float)d->labels[index[i]];
    if (feed == NN_FEED_ONE_HOT) {
        memset(values, 0, (size_t)(n * outputs) * sizeof *values);
        for (int64_t i = 0; i < n; i++) values[i * outputs + d->labels[index[i]]] = 1;
    }
}

/* ---- class weights ---- */

static void balance(const nn_dataset *d, const uint32_t *index, int64_t n, float *w) {
    int seen = 0;
    double *rows = calloc((size_t)d->classes + 1, sizeof *rows);
    if (!rows) abort();
    for (int64_t i = 0; i < n; i++) rows[d->labels[index[i]]]++;
    for (int k = 0; k < d->classes; k++) seen += rows[k] > 0;
    for (int k = 0; k < d->classes; k++)
        w[k] = rows[k] > 0 ? (float)((double)n / (seen * rows[k])) : 1;
    free(rows);
}

nn_status nn_fit_class_weights(const nn_graph *g, const nn_dataset *d, nn_feed feed,
                               const uint32_t *index, int64_t n, float **ret, nn_err *err) {
    const nn_class_weight *w = &g->train.class_weight;
    *ret = NULL;
    if (!nn_class_weight_given(w)) return NN_OK;
    if (feed == NN_FEED_SITES) {
        nn_status s =
            nn_fail(err, NN_E_UNSUPPORTED,
                    "network '%s' gives class_weight and learns a class at each of %" PRId64
                    " places of a row; a row has one weight",
                    g->name, d->sites);
        return nn_err_hint(err, s, "leave class_weight out");
    }
    if (!d->labels) {
        nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                              "network '%s' gives class_weight, but the rows of data set '%s' have "
                              "no class of their own",
                              g->name, d->name);
        return nn_err_hint(err, s, "leave class_weight out");
    }
    if (w->n > d->classes)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "class_weight weighs class %d, but data set '%s' has the classes 0 to %d",
                       w->n - 1, d->name, d->classes - 1);
    float *of = calloc((size_t)d->classes + 1, sizeof *of);
    if (!of) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the weights of the classes");
    for (int k = 0; k < d->classes; k++) of[k] = k < w->n ? (float)w->of[k] : 1;
    if (w->balanced) balance(d, index, n, of);
    *ret = of;
    return NN_OK;
}
