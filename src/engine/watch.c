/* SPDX-License-Identifier: MIT */
#include "engine/watch.h"

#include <math.h>
#include <string.h>

static const unsigned falling = NN_METRIC_LOSS | NN_METRIC_MSE | NN_METRIC_MAE | NN_METRIC_RMSE |
                                NN_METRIC_MAPE | NN_METRIC_PERPLEXITY;

static nn_status check(const nn_early_stopping *e, const nn_watch *w, bool has_valid, nn_err *err) {
    nn_status s = NN_OK;
    if (w->valid && !has_valid) {
        s = nn_fail(err, NN_E_DSL_ERROR,
                    "early_stopping watches '%s', and no rows are held back to measure it on",
                    e->monitor);
        return nn_err_hint(err, s,
                           "give train a validation_split, or early_stopping "
                           "{ monitor: \"loss\" }");
    }
    if (w->metric == NN_TRAIN_METRIC_CONFUSION_MATRIX)
        return nn_fail(err, NN_E_UNSUPPORTED, "early_stopping cannot watch '%s': it is no number",
                       e->monitor);
    if (w->metric != NN_TRAIN_METRIC_AUC || w->valid) return NN_OK;
    s = nn_fail(err, NN_E_UNSUPPORTED, "early_stopping cannot watch 'auc' of the training rows");
    return nn_err_hint(err, s, "watch \"val_auc\", with a validation_split");
}

nn_status nn_watch_make(const nn_train_spec *t, bool has_valid, nn_watch *ret, nn_err *err) {
    const nn_early_stopping *e = &t->early_stopping;
    nn_watch w = {.metric = NN_TRAIN_METRIC_LOSS, .valid = has_valid, .patience = -1};
    if (e->on) {
        w.valid = strncmp(e->monitor, "val_", 4) == 0;
        int metric = nn_train_metric_find(e->monitor + (w.valid ? 4 : 0));
        if (metric < 0)
            return nn_fail(err, NN_E_DSL_ERROR, "early_stopping: unknown metric '%s'", e->monitor);
        w.metric = (nn_train_metric)metric;
        w.min_delta = fabs(e->min_delta);
        w.patience = e->patience;
        nn_status s = check(e, &w, has_valid, err);
        if (s != NN_OK) return s;
    }
    w.rises = !(falling >> w.metric & 1);
    *ret = w;
    return NN_OK;
}

bool nn_watch_take(const nn_watch *w, double value, double *best, int64_t *waited) {
    double gain = w->rises ? value - *best : *best - value;
    bool better = !isnan(value) && (isnan(*best) || gain > w->min_delta);
    if (better) *best = value;
    *waited = better ? 0 : *waited + 1;
    return better;
}
