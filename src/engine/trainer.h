/* SPDX-License-Identifier: MIT */
/* trainer.h - the training loop over any engine: epochs, shuffling, validation, checkpoints,
 * resume.
 *
 * A checkpoint (safetensors, atomic, with the SHA-256 of its own contents) holds weights, optimiser
 * state, epoch, step and what the order of rows and the random numbers derive from, so that a
 * resumed training ends with bit-identical weights. */
#ifndef NN_ENGINE_TRAINER_H
#define NN_ENGINE_TRAINER_H
#include "data/dataset.h"
#include "engine/health.h"
#include "engine/metrics.h"
#include "model/model.h"

#include <signal.h>

typedef struct nn_train_event {
    enum {
        NN_TRAIN_STARTED,
        NN_TRAIN_PROGRESS,
        NN_TRAIN_EPOCH,
        NN_TRAIN_CHECKPOINT,
        NN_TRAIN_HEALTH, /* something is wrong (health.h) */
        NN_TRAIN_FINISHED
    } type;
    int64_t epoch, epochs;         /* epoch is 1-based */
    int64_t step, steps;           /* within the epoch */
    int64_t done, total;           /* batches over the whole training */
    double loss, accuracy;         /* running means of the epoch */
    double val_loss, val_accuracy; /* EPOCH, when there are validation rows; else NAN */
    double rate, eta_s, seconds;   /* samples a second; seconds left (NAN until two units are done);
                                      seconds since start */
    nn_metric_values metrics, val_metrics; /* EPOCH: those beside loss and accuracy; else none */
    bool best;                             /* EPOCH: the best so far (watch.h) */
    const char *path;                      /* CHECKPOINT */
    const nn_symptom *symptom;             /* HEALTH */
} nn_train_event;

typedef struct nn_train_options {
    const nn_engine *engine;
    const nn_dataset *train;
    const nn_dataset *test; /* evaluated at the end; NULL: none */
    int threads;
    uint64_t seed;
    const char *checkpoint; /* path of the checkpoint file, written before the first step (so that a
                               path that cannot be written shows at once) and after each epoch;
                               NULL: none */
    bool resume; /* continue from it; NN_E_NOT_FOUND if it is not there, NN_E_CONFLICT if it is of
                    another network or data, NN_E_MODEL_FILE_ERROR if it is damaged. Seed, winograd
                    and, with threads 0, the thread count are then the checkpoint's */
    bool winograd;
    bool best; /* hand over the weights of the best epoch, not of the last */
    const volatile sig_atomic_t *stop; /* set from a signal handler: finish the step, write the
                                          checkpoint, return NN_E_CANCELLED */
    void (*on_event)(void *ctx, const nn_train_event *e); /* PROGRESS at most 10 a second */
    void *ctx;
} nn_train_options;

typedef struct nn_train_result {
    double loss, accuracy, val_loss, val_accuracy, test_loss, test_accuracy; /* NAN: not measured */
    nn_metric_values metrics, val_metrics, test_metrics;                     /* beside these */
    int64_t best_epoch; /* whose weights were handed over with options.best or restore_best; 0: the
                           last one's */
    bool stopped_early;
    double seconds, samples_per_s;
    double
        data_wait; /* share of the time in steps that the engine waited for its rows, in this run */
    int64_t epochs, updates;
    size_t memory;
} nn_train_result;

/* Trains model->graph by graph->train from model->weights when `weights_ready`, else from its
 * initialisers. On success model->weights, class names, normalisation and summary are those of the
 * trained network. NN_E_NAN_LOSS: err names the step, the layer and what to try. NN_E_DSL_ERROR /
 * NN_E_DATA_ERROR: network and data do not fit (shapes, number of classes), both named. On failure
 * the model is as it was. NN_E_UNSUPPORTED: see nn_trainer_supports. Losses over values also take
 * data with classes: as 0 and 1 for one output, else one-hot. early_stopping and the best epoch
 * are judged by watch.h; metrics by metrics.h, each class apart in model->summary. */
nn_status nn_train(nn_model *model, bool weights_ready, const nn_train_options *o,
                   nn_train_result *ret, nn_err *err);
#endif
