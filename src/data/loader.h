/* SPDX-License-Identifier: MIT */
/* loader.h - batches made ahead of their use by threads of their own.
 *
 * What a batch holds depends on the pass alone, never on how many threads make it or how fast they
 * are. A loader belongs to one thread; the data and the index of a pass must stay until the next
 * start or the end. */
#ifndef NN_DATA_LOADER_H
#define NN_DATA_LOADER_H
#include "data/dataset.h"

typedef struct nn_loader nn_loader;

typedef struct nn_pass {
    const nn_dataset *data;
    const int *blocks; /* which of its blocks, in this order */
    int n_blocks;
    const uint32_t *index; /* the rows; NULL: 0, 1, ... */
    int64_t n, batch;      /* the last batch holds the rest */
    const nn_draw *draw;   /* as for nn_batch_fill */
} nn_pass;

/* Whether rows of the set cost more than copying them: they are read, decoded or moved. */
bool nn_loader_pays(const nn_dataset *d);
nn_status nn_loader_new(int threads, nn_loader **ret, nn_err *err);
void nn_loader_close(nn_loader *l); /* NULL allowed */
/* Ends the pass before, and begins with the first batches of this one. NN_E_OUT_OF_MEMORY. */
nn_status nn_loader_start(nn_loader *l, const nn_pass *p, nn_err *err);
/* Copies the next batch to to[0..n_blocks), waiting for it if need be; fails as filling it did. */
nn_status nn_loader_next(nn_loader *l, float *const *to, nn_err *err);
#endif
