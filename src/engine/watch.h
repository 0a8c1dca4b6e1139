/* SPDX-License-Identifier: MIT */
/* watch.h - the metric by which a training is judged: which of its epochs was the best, and whether
 * it has stopped getting better (Keras's EarlyStopping). Pure functions. */
#ifndef NN_ENGINE_WATCH_H
#define NN_ENGINE_WATCH_H
#include "engine/metrics.h"

typedef struct nn_watch {
    nn_train_metric metric;
    bool valid; /* of the validation rows, else of the training rows */
    bool rises; /* more is better */
    double min_delta;
    int64_t patience; /* epochs without a better one after which training ends; -1: it does not */
} nn_watch;

/* What t's early_stopping says; without one the validation loss, or the loss where there are no
 * validation rows. NN_E_DSL_ERROR: it watches validation rows and there are none; NN_E_UNSUPPORTED:
 * a metric that is no number, or auc of the training rows, which no checkpoint keeps. */
nn_status nn_watch_make(const nn_train_spec *t, bool has_valid, nn_watch *ret, nn_err *err);
/* Takes the value of an epoch that has ended: whether it is better than *best (NAN: there is none),
 * which then is replaced, and *waited 0; else *waited is one more. */
bool nn_watch_take(const nn_watch *w, double value, double *best, int64_t *waited);
static inline bool nn_watch_stops(const nn_watch *w, int64_t waited) {
    return w->patience >= 0 && waited > 0 && waited >= w->patience;
}
#endif
