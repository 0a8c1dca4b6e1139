/* SPDX-License-Identifier: MIT */
/* checkpoint.h - where a training stands, in a file from which it goes on as if it had not stopped.
 *
 * The file is a safetensors container with the tensors "weights", "state" (slabs, F32) and, where
 * epochs are compared, "best" (the weights of the best one) and, in the metadata, the record below
 * and the SHA-256 of record and tensors. It is replaced atomically. A file that is truncated,
 * changed or of another network or data set is refused with the reason, and then nothing of it has
 * been used. */
#ifndef NN_ENGINE_CHECKPOINT_H
#define NN_ENGINE_CHECKPOINT_H
#include "engine/metrics.h"

typedef struct nn_checkpoint {
    int64_t epoch;                  /* epochs completed */
    int64_t step;                   /* steps done of the next one; its sums so far: */
    double loss_sum;                /* of row losses */
    int64_t correct, counted, rows; /* sites (loss.h) that were right, that count; rows seen */
    int64_t updates;                /* of the weights, since the start */
    uint64_t seed;                  /* order of rows, dropout and initial weights derive from it */
    int threads;                    /* that computed it */
    bool winograd;
    char engine[32];
    double loss, accuracy, val_loss, val_accuracy; /* of the last completed epoch; NAN: none */
    nn_metric_sums sums;                           /* of the epoch so far, beside these */
    double best;                /* value of the best epoch (watch.h); NAN: none */
    int64_t best_epoch, waited; /* 1-based; epochs since then */
    double seconds;             /* spent training so far */
    double busy;                /* of those, in steps */
    int64_t samples;            /* rows trained on so far */
    char data_sha256[65];       /* nn_dataset.sha256 */
} nn_checkpoint;

/* The slabs of a training: g->slab floats each, state as many of them as the optimiser has slots.
 */
typedef struct nn_checkpoint_slabs {
    float *weights, *state;
    float *best; /* NULL: epochs are not compared */
} nn_checkpoint_slabs;

nn_status nn_checkpoint_save(const char *path, const nn_graph *g, const nn_checkpoint *c,
                             const nn_checkpoint_slabs *slabs, nn_err *err);
/* NN_E_NOT_FOUND: no such file; NN_E_CONFLICT: of another network (anything but its epochs,
 * metrics, device and the name of its data set) or other data; NN_E_MODEL_FILE_ERROR: damaged.
 * Nothing is written through the slabs unless all is well. */
nn_status nn_checkpoint_load(const char *path, const nn_graph *g, const char *data_sha256,
                             nn_checkpoint *ret, const nn_checkpoint_slabs *slabs, nn_err *err);
#endif
