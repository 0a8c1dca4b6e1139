/* SPDX-License-Identifier: MIT */
#include "engine/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- metrics by name ---- */

void nn_metric_values_each(const nn_metric_values *v, const char *prefix,
                           void (*f)(void *ctx, const char *name, double value), void *ctx) {
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++) {
        char name[64];
        if (isnan(v->of[i])) continue;
        snprintf(name, sizeof name, "%s%s", prefix, nn_train_metric_name((nn_train_metric)i));
        f(ctx, name, v->of[i]);
    }
}

static void set_metric(void *metrics, const char *name, double v) {
    if (!isnan(v)) nn_json_set(metrics, name, nn_json_new_num(v));
}

nn_json *nn_train_metrics_json(const nn_train_result *r) {
    nn_json *v = nn_json_new_object();
    set_metric(v, "loss", r->loss);
    set_metric(v, "accuracy", r->accuracy);
    nn_metric_values_each(&r->metrics, "", set_metric, v);
    set_metric(v, "val_loss", r->val_loss);
    set_metric(v, "val_accuracy", r->val_accuracy);
    nn_metric_values_each(&r->val_metrics, "val_", set_metric, v);
    set_metric(v, "test_loss", r->test_loss);
    set_metric(v, "test_accuracy", r->test_accuracy);
    nn_metric_values_each(&r->test_metrics, "test_", set_metric, v);
    return v;
}

/* ---- each class ---- */

static double share(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

static nn_json *class_json(const nn_dataset *d, const int64_t *m, int64_t n, int64_t k) {
    nn_json *v = nn_json_new_object();
    int64_t hits = m[k * n + k], actual = 0, predicted = 0;
    for (int64_t i = 0; i < n; i++) actual += m[k * n + i], predicted += m[i * n + k];
    if (d->class_names && k < d->classes)
        nn_json_set(v, "name", nn_json_new_str(d->class_names[k]));
    nn_json_set(v, "class", nn_json_new_int(k));
    nn_json_set(v, "rows", nn_json_new_int(actual));
    nn_json_set(v, "precision", nn_json_new_num(share(hits, predicted)));
    nn_json_set(v, "recall", nn_json_new_num(share(hits, actual)));
    nn_json_set(v, "f1", nn_json_new_num(share(2 * hits, actual + predicted)));
    return v;
}

static void set_classes(nn_json *v, const nn_dataset *d, const nn_meter *eval) {
    int64_t n, seen = 0;
    const int64_t *m = nn_meter_confusion(eval, &n);
    for (int64_t i = 0; m && i < n * n; i++) seen += m[i];
    if (!seen) return;
    nn_json *classes = nn_json_new_array(), *matrix = nn_json_new_array();
    for (int64_t k = 0; k < n; k++) {
        nn_json *row = nn_json_new_array();
        for (int64_t i = 0; i < n; i++) nn_json_push(row, nn_json_new_int(m[k * n + i]));
        nn_json_push(matrix, row);
        nn_json_push(classes, class_json(d, m, n, k));
    }
    nn_json_set(v, "classes", classes);
    nn_json_set(v, "confusion_matrix", matrix);
}

/* ---- the record ---- */

static nn_json *dataset_json(const nn_dataset *d) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "name", nn_json_new_str(d->name));
    nn_json_set(v, "sha256", nn_json_new_str(d->sha256));
    nn_json_set(v, "rows", nn_json_new_int(d->rows));
    if (d->record) nn_json_set(v, "record", nn_json_copy(d->record));
    return v;
}

static nn_json *optimizer_json(const nn_optimizer *o) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "type", nn_json_new_str(nn_optimizer_name(o->kind)));
    nn_json_set(v, "learning_rate", nn_json_new_num(o->learning_rate));
    if (o->schedule.kind != NN_SCHEDULE_NONE)
        nn_json_set(v, "schedule", nn_json_new_str(nn_schedule_name(o->schedule.kind)));
    return v;
}

static void set_best(nn_json *v, const nn_checkpoint *at, const nn_watch *w,
                     const nn_train_result *r) {
    char name[64];
    if (at->best_epoch == 0) return;
    snprintf(name, sizeof name, "%s%s", w->valid ? "val_" : "", nn_train_metric_name(w->metric));
    nn_json *best = nn_json_new_object();
    nn_json_set(best, "monitor", nn_json_new_str(name));
    nn_json_set(best, "epoch", nn_json_new_int(at->best_epoch));
    nn_json_set(best, "value", nn_json_new_num(at->best));
    nn_json_set(best, "restored", nn_json_new_bool(r->best_epoch > 0));
    nn_json_set(v, "best", best);
}

static void set_health(nn_json *v, const nn_train_health *h) {
    const nn_symptom *f;
    int n = nn_train_health_symptoms(h, &f);
    if (n == 0) return;
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < n; i++) nn_json_push(list, nn_symptom_json(&f[i]));
    nn_json_set(v, "health", list);
}

nn_json *nn_train_summary(const nn_graph *g, const nn_dataset *d, const nn_checkpoint *at,
                          const nn_watch *w, const nn_train_result *r, const nn_meter *eval,
                          const nn_train_health *h) {
    const nn_train_spec *spec = &g->train;
    char seed[32];
    snprintf(seed, sizeof seed, "%" PRIu64, at->seed);
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "dataset", dataset_json(d));
    nn_json_set(v, "epochs", nn_json_new_int(at->epoch));
    nn_json_set(v, "batch_size", nn_json_new_int(spec->batch_size));
    nn_json_set(v, "updates", nn_json_new_int(at->updates));
    nn_json_set(v, "loss", nn_json_new_str(nn_loss_name(spec->loss)));
    nn_json_set(v, "optimizer", optimizer_json(&spec->optimizer));
    nn_json_set(v, "seed", nn_json_new_str(seed)); /* 64 bits: more than a JSON reader keeps */
    nn_json_set(v, "threads", nn_json_new_int(at->threads));
    nn_json_set(v, "engine", nn_json_new_str(at->engine));
    nn_json_set(v, "metrics", nn_train_metrics_json(r));
    set_best(v, at, w, r);
    if (r->stopped_early) nn_json_set(v, "stopped_early", nn_json_new_bool(true));
    set_classes(v, d, eval);
    set_health(v, h);
    nn_json_set(v, "seconds", nn_json_new_num(r->seconds));
    nn_json_set(v, "samples_per_second", nn_json_new_num(r->samples_per_s));
    nn_json_set(v, "data_wait", nn_json_new_num(r->data_wait));
    nn_json_set(v, "version", nn_json_new_str(NN_VERSION));
    return v;
}
