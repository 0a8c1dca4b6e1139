/* SPDX-License-Identifier: MIT */
/* fit.h - whether a network and a data set fit each other, and how rows become inputs and targets.
 */
#ifndef NN_ENGINE_FIT_H
#define NN_ENGINE_FIT_H
#include "data/dataset.h"
#include "engine/engine.h"

/* What the loss is given of a row. */
typedef enum nn_feed {
    NN_FEED_LABEL,   /* the class index */
    NN_FEED_SITES,   /* a class index at each place of the sample */
    NN_FEED_VALUES,  /* the data set's own values */
    NN_FEED_BINARY,  /* one value: the class index, 0 or 1 */
    NN_FEED_ONE_HOT, /* a value a class */
} nn_feed;

/* Which of the data's blocks each input of the network takes, and what the loss takes. */
typedef struct nn_fit {
    int n_inputs, block[NN_DATASET_BLOCKS];
    nn_feed feed;
} nn_fit;

/* NN_E_DSL_ERROR or NN_E_DATA_ERROR, with both sides named, when d cannot be fed to g. */
nn_status nn_fit_check(const nn_graph *g, const nn_dataset *d, nn_fit *ret, nn_err *err);

static inline bool nn_feed_is_labels(nn_feed f) {
    return f == NN_FEED_LABEL || f == NN_FEED_SITES;
}
/* Target values of a row of d that the loss of g takes, of so many outputs. */
static inline int64_t nn_fit_width(const nn_graph *g, const nn_dataset *d, int64_t outputs) {
    return g->train.loss == NN_LOSS_CTC ? d->target_width : outputs;
}
/* Fills whichever of labels (n x the loss's sites) and values (n x outputs) the feed uses. Never
 * allocates. */
void nn_feed_fill(nn_feed feed, const nn_dataset *d, const uint32_t *index, int64_t n,
                  int64_t outputs, int32_t *labels, float *values);
/* What the loss of rows of each class is multiplied by (d->classes numbers), as g's class_weight
 * says; balanced over rows index[0..n): n / (classes with rows * rows of the class). *ret is the
 * caller's to free, NULL where all weigh the same. NN_E_DATA_ERROR: the rows have no class of their
 * own, or there are fewer classes than weights; NN_E_UNSUPPORTED: a row has several classes, one a
 * place; NN_E_OUT_OF_MEMORY. */
nn_status nn_fit_class_weights(const nn_graph *g, const nn_dataset *d, nn_feed feed,
                               const uint32_t *index, int64_t n, float **ret, nn_err *err);
#endif
