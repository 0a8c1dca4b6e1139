/* SPDX-License-Identifier: MIT */
/* batcher.h - a model made answerable: one bounded queue and `replicas` threads, each with an
 * executor of its own, that take requests from it in batches.
 *
 * An idle replica begins at once with what waits. Only when the batch before held several rows, and
 * fewer than half as many wait now, it gives the others up to max_delay to arrive: a lone client is
 * never kept waiting, and under load batches fill by themselves while the one before runs. */
#ifndef NN_SERVE_BATCHER_H
#define NN_SERVE_BATCHER_H
#include "engine/engine.h"
#include "model/model.h"

typedef struct nn_batcher nn_batcher;

enum { NN_SERVE_ENDS = 8 }; /* inputs, and outputs, of a graph at most */

typedef struct nn_batcher_options {
    const char *name; /* of the deployment, for its metrics */
    const nn_engine *engine;
    int replicas;      /* threads, >= 1 */
    int64_t max_batch; /* rows that run together, >= 1 */
    double max_delay_ms;
    int64_t max_queue; /* requests that may wait; more are refused */
} nn_batcher_options;

/* One request. The caller owns it and the buffers until `done` is called, exactly once, on a
 * replica's thread, which it must not keep. */
typedef struct nn_prediction nn_prediction;
struct nn_prediction {
    int64_t rows;
    const float *x[NN_SERVE_ENDS]; /* by input: rows x its elements, normalised */
    float
        *y[NN_SERVE_ENDS]; /* by output: rows x its elements, filled before done; NULL: unwanted */
    void (*done)(nn_prediction *p);
    void *ctx;
    nn_err err;                      /* code NN_OK: y is filled */
    int64_t submitted, began, ended; /* monotonic nanoseconds */
    nn_prediction *next;             /* the queue's */
};

/* Plans the executors and starts the threads. The model is borrowed. */
nn_status nn_batcher_new(const nn_model *m, const nn_batcher_options *o, nn_batcher **ret,
                         nn_err *err);
/* Queues p. NN_E_QUEUE_FULL, or NN_E_NOT_READY once stopping: then done is not called. */
nn_status nn_batcher_submit(nn_batcher *b, nn_prediction *p, nn_err *err);
int64_t nn_batcher_waiting(nn_batcher *b);
/* Runs p on the caller's thread, without a queue: name, replicas and max_queue do not matter, done
 * is not called, and what fails is returned. */
nn_status nn_prediction_run(const nn_model *m, const nn_batcher_options *o, nn_prediction *p,
                            nn_err *err);
/* Answers what is queued, ends the threads, frees. NULL allowed. */
void nn_batcher_free(nn_batcher *b);
#endif
