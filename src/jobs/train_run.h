/* SPDX-License-Identifier: MIT */
/* train_run.h - one training from text or model to a model file: what `neural train` and the
 * training child share. */
#ifndef NN_JOBS_TRAIN_RUN_H
#define NN_JOBS_TRAIN_RUN_H
#include "compile/compile.h"
#include "engine/trainer.h"

/* Texts may be NULL where noted; numbers that are 0 (learning_rate, epochs, batch_size) or negative
 * (validation_split) leave what the network says, else its default. */
typedef struct nn_train_job {
    const char *source_name, *source; /* the program; NULL: model_path */
    const char
        *model_path; /* a model file to start from: its graph and, if has weights, its weights */
    const char *dataset; /* NULL: what the network names */
    const char *engine;  /* NULL: the first that trains it */
    int64_t epochs, batch_size;
    double learning_rate, validation_split;
    const char *optimizer, *loss;    /* NULL: the network's */
    const nn_json *hyperparameters;  /* seed momentum weight_decay gradient_clip nesterov beta_1
                                        beta_2 epsilon; NULL: none */
    const char *default_dataset;     /* where neither call nor network names one; NULL: an error */
    double default_validation_split; /* where neither call nor network says anything of training */
    bool auto_flatten;
    const nn_setting *settings; /* of the program's search points */
    int n_settings;
    int threads;
    const char *checkpoint; /* NULL: none is written */
    bool resume;            /* from the checkpoint; when it is not there, from the start */
    bool best;              /* the weights of the best epoch are handed over */
    const char *output;     /* the model file; NULL: not written */
    const volatile sig_atomic_t *stop;
    void (*on_event)(void *ctx, const nn_train_event *e);
    void (*on_warning)(void *ctx, const char *text);
    void *ctx;
} nn_train_job;

typedef struct nn_train_outcome {
    nn_train_result result;
    nn_model *model;      /* owned by the caller */
    nn_json *diagnostics; /* of the compiler; a list or NULL; owned by the caller; also set when it
                             fails */
    uint64_t seed;
    const char *engine; /* that trained it */
    char data_sha256[65], data_name[256];
    int64_t data_rows;
} nn_train_outcome;
/* Errors of the compiler (first message in err, all in ret->diagnostics), data, engine.
 * ret->diagnostics is the only thing set on failure. */
nn_status nn_train_run(const nn_train_job *job, nn_train_outcome *ret, nn_err *err);
void nn_train_outcome_done(nn_train_outcome *o);
#endif
