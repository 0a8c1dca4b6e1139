/* SPDX-License-Identifier: MIT */
/* train.h - what a program says about training: loss, optimiser, metrics, epochs. Plain values;
 * part of a graph. */
#ifndef NN_GRAPH_TRAIN_H
#define NN_GRAPH_TRAIN_H
#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum nn_loss_kind {
#define NN_LOSS(N, n, aliases, t) NN_LOSS_##N,
#include "graph/losses.def"
#undef NN_LOSS
    NN_LOSS_COUNT
} nn_loss_kind;

typedef enum nn_target_kind { NN_TARGET_CLASS, NN_TARGET_VALUE } nn_target_kind;

typedef enum nn_optimizer_kind {
#define NN_OPTIMIZER(N, n, c, slots, lr) NN_OPTIMIZER_##N,
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
    NN_OPTIMIZER_COUNT
} nn_optimizer_kind;

/* Field names are Keras's arguments. 0 switches clipping and decay off. */
typedef struct nn_optimizer {
    nn_optimizer_kind kind;
    double learning_rate;
    double momentum;                /* SGD, in [0, 1] */
    double beta_1, beta_2, epsilon; /* Adam, AdamW */
    double weight_decay;            /* decoupled: w -= learning_rate * weight_decay * w */
    double clipnorm, clipvalue, global_clipnorm;
    bool nesterov, amsgrad;
} nn_optimizer;

enum { NN_METRIC_ACCURACY = 1 << 0, NN_METRIC_LOSS = 1 << 1 }; /* bits of nn_train_spec.metrics */

typedef struct nn_train_spec {
    bool has_loss, has_optimizer,
        has_training; /* the program said so; else the fields hold defaults */
    nn_loss_kind loss;
    bool from_logits; /* the loss was given from_logits=true */
    double label_smoothing;
    nn_optimizer optimizer;
    unsigned metrics;
    int64_t epochs, batch_size;
    double validation_split; /* share of the training rows held back, 0 <= x < 1 */
    bool shuffle, seeded;
    uint64_t seed;
    char dataset[128];       /* "" if the program names none */
    char device[32];         /* "auto" unless the execution section says otherwise */
    int64_t steps_per_epoch; /* 0: all */
} nn_train_spec;

/* Defaults: mean squared error (the compiler replaces it by nn_train_default_loss), Adam 0.001,
 * accuracy, 10 epochs of batches of 32, no validation split, shuffle on, device "auto". */
nn_train_spec nn_train_default(void);
nn_optimizer nn_optimizer_default(nn_optimizer_kind kind);

int nn_loss_find(const char *name); /* name or alias, any letter case; -1 if there is none */
const char *nn_loss_name(nn_loss_kind k);
nn_target_kind nn_loss_targets(nn_loss_kind k);
/* The names of a table, NULL-terminated: for "did you mean" and for lists of what there is. */
const char *const *nn_loss_names(void);
const char *const *nn_optimizer_names(void); /* canonical: "Adam" */
int nn_optimizer_find(const char *name);
const char *nn_optimizer_name(nn_optimizer_kind k);
int nn_optimizer_slots(nn_optimizer_kind k);

/* nn_train_read gives back what nn_train_json wrote and refuses anything else:
 * NN_E_MODEL_FILE_ERROR.
 */
nn_json *nn_train_json(const nn_train_spec *t);
nn_status nn_train_read(const nn_json *v, nn_train_spec *ret, nn_err *err);
#endif
