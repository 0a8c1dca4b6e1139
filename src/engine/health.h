/* SPDX-License-Identifier: MIT */
/* health.h - what goes wrong in a training without an error: rules about its data, gradients and
 * losses, rows of health.def. One thread; belongs to one training.
 *
 * A finding is told once for each rule and layer, when it is first true, and counted once an epoch
 * after that. Gradients are looked at in few steps (nn_train_health_looks), so that it costs less
 * than 1 % of a step; what is not seen there is not found. A training that goes on from a
 * checkpoint begins without findings, and its epochs are compared from there on. */
#ifndef NN_ENGINE_HEALTH_H
#define NN_ENGINE_HEALTH_H
#include "data/dataset.h"
#include "engine/fit.h"
#include "engine/loss.h"

typedef enum nn_train_health_rule {
#define NN_HEALTH(N, name, when, advice) NN_HEALTH_##N,
#include "engine/health.def"
#undef NN_HEALTH
    NN_HEALTH_COUNT
} nn_train_health_rule;
const char *nn_train_health_name(nn_train_health_rule r);
const char *nn_train_health_when(nn_train_health_rule r);
const char *nn_train_health_advice(nn_train_health_rule r);

typedef struct nn_symptom {
    nn_train_health_rule rule;
    int node;            /* of the graph; -1: the whole training */
    const char *layer;   /* its layer, of the graph; NULL: none */
    int line;            /* where the program says it; 0: none */
    int64_t epoch, step; /* 1-based, of the first time; step 0: at the epoch's end, or before all */
    int64_t epochs;      /* in how many it was true */
    char text[256];      /* a sentence with its numbers */
} nn_symptom;

typedef struct nn_train_health nn_train_health;
typedef void nn_train_health_found(void *ctx, const nn_symptom *f);
/* g must outlive it. `found` may be NULL. NN_E_OUT_OF_MEMORY. */
nn_status nn_train_health_new(const nn_graph *g, const nn_loss_plan *p,
                              nn_train_health_found *found, void *ctx, nn_train_health **ret,
                              nn_err *err);
void nn_train_health_free(nn_train_health *h); /* NULL allowed */

/* The data as the network will see it: targets of all rows, samples of the first 256 of
 * index[0..n). */
nn_status nn_train_health_data(nn_train_health *h, const nn_dataset *d, const nn_fit *fit,
                               const uint32_t *index, int64_t n, nn_err *err);
/* Whether gradients are wanted of the step after so many updates. */
bool nn_train_health_looks(const nn_train_health *h, int64_t updates);
/* The gradients (nn_engine.gradients) and the weights of a step over so many rows. */
void nn_train_health_gradients(nn_train_health *h, const float *gradients, int64_t rows,
                               int64_t epoch, int64_t step);
void nn_train_health_weights(nn_train_health *h, const float *weights);
/* An epoch has ended; val_loss NAN: not measured. */
void nn_train_health_epoch(nn_train_health *h, int64_t epoch, double loss, double val_loss);

/* In the order of their first time. */
int nn_train_health_symptoms(const nn_train_health *h, const nn_symptom **ret);
/* {rule, layer, line, epoch, step, epochs, text, advice}; the caller owns it. */
nn_json *nn_symptom_json(const nn_symptom *f);
#endif
