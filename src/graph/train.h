/* SPDX-License-Identifier: MIT */
/* train.h - what a program says about training: loss, optimiser, learning-rate schedule, metrics,
 * epochs, execution (language.md section 8). Plain values; part of a graph.
 *
 * Losses, optimisers, schedules and metrics are rows of .def tables. Their arguments are fields:
 * descriptors that say where a value lies and what it may be, so that the checker, the JSON form
 * and the pages about them are loops over one table. */
#ifndef NN_GRAPH_TRAIN_H
#define NN_GRAPH_TRAIN_H
#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum nn_loss_kind {
#define NN_LOSS(N, n, aliases, t, own) NN_LOSS_##N,
#include "graph/losses.def"
#undef NN_LOSS
    NN_LOSS_CUSTOM, /* a function of the user's own, nn_train_spec.custom_loss */
    NN_LOSS_COUNT
} nn_loss_kind;

typedef enum nn_target_kind { NN_TARGET_CLASS, NN_TARGET_VALUE, NN_TARGET_SEQUENCE } nn_target_kind;

typedef enum nn_optimizer_kind {
#define NN_OPTIMIZER(N, n, c, slots, own, ...) NN_OPTIMIZER_##N,
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
    NN_OPTIMIZER_COUNT
} nn_optimizer_kind;

typedef enum nn_schedule_kind {
    NN_SCHEDULE_NONE, /* the learning rate is constant */
#define NN_SCHEDULE(N, n, own, ...) NN_SCHEDULE_##N,
#include "graph/schedules.def"
#undef NN_SCHEDULE
    NN_SCHEDULE_COUNT
} nn_schedule_kind;

enum { NN_SCHEDULE_VALUES = 32 }; /* most values of a PiecewiseConstantDecay */

/* Field names are Keras's arguments; steps are updates. */
typedef struct nn_schedule {
    nn_schedule_kind kind;
    double initial_learning_rate, decay_rate, end_learning_rate, power, alpha;
    double warmup_target; /* 0: no warmup */
    double drop_rate;
    int64_t decay_steps, warmup_steps, epochs_drop;
    bool staircase, cycle;
    int n_values; /* PIECEWISE: values[i] up to step boundaries[i], the last one after that */
    int64_t boundaries[NN_SCHEDULE_VALUES - 1];
    double values[NN_SCHEDULE_VALUES];
} nn_schedule;

/* Field names are Keras's arguments. 0 switches clipping and decay off. */
typedef struct nn_optimizer {
    nn_optimizer_kind kind;
    double learning_rate;           /* with a schedule: its first value above 0 */
    double momentum;                /* SGD, RMSprop; in [0, 1] */
    double beta_1, beta_2, epsilon; /* Adam and its kin; Lion has no epsilon */
    double weight_decay;            /* decoupled: w -= learning_rate * weight_decay * w */
    double clipnorm, clipvalue, global_clipnorm;
    bool nesterov, amsgrad;
    double rho;                       /* RMSprop, Adadelta */
    bool centered;                    /* RMSprop */
    double initial_accumulator_value; /* Adagrad, Ftrl */
    double learning_rate_power, beta; /* Ftrl, as the three below */
    double l1_regularization_strength, l2_regularization_strength;
    double l2_shrinkage_regularization_strength;
    nn_schedule schedule;
} nn_optimizer;

typedef enum nn_train_metric {
#define NN_TRAIN_METRIC(N, n, aliases) NN_TRAIN_METRIC_##N,
#include "graph/train_metrics.def"
#undef NN_TRAIN_METRIC
    NN_TRAIN_METRIC_COUNT
} nn_train_metric;

enum { /* bits of nn_train_spec.metrics */
#define NN_TRAIN_METRIC(N, n, aliases) NN_METRIC_##N = 1 << NN_TRAIN_METRIC_##N,
#include "graph/train_metrics.def"
#undef NN_TRAIN_METRIC
};

typedef enum nn_precision {
    NN_PRECISION_FLOAT32,
    NN_PRECISION_FLOAT16,
    NN_PRECISION_BFLOAT16,
    NN_PRECISION_MIXED,
    NN_PRECISION_COUNT
} nn_precision;

/* Keras's EarlyStopping. */
typedef struct nn_early_stopping {
    bool on, restore_best;
    int64_t patience; /* epochs without improvement before training ends */
    double min_delta; /* a smaller change is no improvement */
    char monitor[64]; /* a metric, or "val_" and a metric */
} nn_early_stopping;

/* What the loss of a training row is multiplied by, by its class; Keras's class_weight. Classes
 * that are not listed weigh 1. */
enum { NN_CLASS_WEIGHTS = 256 };
typedef struct nn_class_weight {
    bool balanced; /* rows / (classes * rows of the class), of the training rows */
    int n;         /* else: the first n classes are listed; 0: none, all weigh the same */
    double of[NN_CLASS_WEIGHTS];
} nn_class_weight;

typedef struct nn_train_spec {
    bool has_loss, has_optimizer,
        has_training; /* the program said so; else the fields hold defaults */
    nn_loss_kind loss;
    bool from_logits; /* the loss was given from_logits=true */
    double label_smoothing;
    double delta;          /* huber */
    int64_t ignore_class;  /* sparse_categorical_crossentropy; -1: none */
    int64_t blank;         /* ctc: the class that stands for nothing */
    char custom_loss[128]; /* NN_LOSS_CUSTOM: "my_module.loss"; else "" */
    nn_optimizer optimizer;
    unsigned metrics;
    int64_t top_k; /* k of top_k_categorical_accuracy */
    int64_t epochs, batch_size;
    double validation_split; /* share of the training rows held back, 0 <= x < 1 */
    bool shuffle, seeded;
    uint64_t seed;
    char dataset[128];       /* "" if the program names none */
    char device[32];         /* "auto" unless the execution section says otherwise */
    int64_t steps_per_epoch; /* 0: all */
    char search_method[16];  /* "" or one of nn_search_methods() */
    char save_path[256];     /* "": nowhere */
    char callbacks[512];     /* as written, "" for none */
    char strategy[64];       /* "" for none */
    bool mixed_precision;
    nn_precision precision;
    nn_early_stopping early_stopping;
    nn_class_weight class_weight;
} nn_train_spec;

/* Defaults: mean squared error (the compiler replaces it by nn_train_default_loss), Adam 0.001,
 * accuracy, 10 epochs of batches of 32, no validation split, shuffle on, device "auto", float32. */
nn_train_spec nn_train_default(void);
nn_optimizer nn_optimizer_default(nn_optimizer_kind kind);
nn_schedule nn_schedule_default(nn_schedule_kind kind);
nn_early_stopping nn_early_stopping_default(void); /* Keras's, switched on */

/* By name or alias, any letter case; -1 if there is none. Lists of names are NULL-terminated: for
 * "did you mean" and for lists of what there is. */
int nn_loss_find(const char *name);
const char *
nn_loss_name(nn_loss_kind k); /* "custom" for NN_LOSS_CUSTOM, which find does not find */
nn_target_kind nn_loss_targets(nn_loss_kind k);
const char *const *nn_loss_names(void);
const char *const *nn_loss_aliases(void); /* "a|b" for each of the names; "": none */
int nn_optimizer_find(const char *name);
const char *nn_optimizer_name(nn_optimizer_kind k);
const char *const *nn_optimizer_names(void); /* canonical: "Adam" */
int nn_optimizer_slots(nn_optimizer_kind k);
int nn_schedule_find(const char *name);
const char *nn_schedule_name(nn_schedule_kind k); /* canonical: "ExponentialDecay" */
const char *const *nn_schedule_names(void);
int nn_train_metric_find(const char *name);
const char *nn_train_metric_name(nn_train_metric m);
const char *const *nn_train_metric_names(void);
const char *const *nn_train_metric_aliases(void);
int nn_precision_find(const char *name);
const char *nn_precision_name(nn_precision p);
const char *const *nn_precision_names(void);
const char *const *nn_search_methods(void);
bool nn_class_weight_valid(double w); /* 0 or more, and finite */
static inline bool nn_class_weight_given(const nn_class_weight *w) {
    return w->balanced || w->n > 0;
}
bool nn_monitor_valid(const char *name); /* a metric's name, with "val_" before it or without */

/* ---- fields: the arguments of losses, optimisers and schedules ---- */

typedef enum nn_field_type { NN_TRAIN_REAL, NN_TRAIN_WHOLE, NN_TRAIN_FLAG } nn_field_type;
typedef enum nn_field_range {
    NN_RANGE_ABOVE_0,
    NN_RANGE_FROM_0,
    NN_RANGE_FROM_1,
    NN_RANGE_UP_TO_0,
    NN_RANGE_SHARE,        /* [0, 1] */
    NN_RANGE_BELOW_1,      /* [0, 1) */
    NN_RANGE_ABOVE_0_TO_1, /* (0, 1] */
    NN_RANGE_COUNT
} nn_field_range;

/* The ends of a range; infinite where it is open. */
typedef struct nn_field_bounds {
    double min, max;
    bool above_min, below_max; /* the end itself is excluded */
} nn_field_bounds;

typedef struct nn_train_field {
    const char *name, *aliases; /* aliases: "a|b" or NULL */
    nn_field_type type;
    nn_field_range range; /* of a FLAG: nothing */
    bool required;        /* must be given; else its owner's default holds */
    bool always;          /* files hold it whatever its value */
    size_t offset;        /* in the struct that holds it: double, int64_t or bool */
    const char *help;     /* one line */
} nn_train_field;

/* A table of fields and which of them (bit i: field[i]) an owner has. */
typedef struct nn_fields {
    const nn_train_field *field;
    int n;
    uint32_t own;
} nn_fields;

nn_fields nn_loss_fields(nn_loss_kind k);                        /* of an nn_train_spec */
nn_fields nn_optimizer_fields(nn_optimizer_kind k);              /* of an nn_optimizer */
nn_fields nn_schedule_fields(nn_schedule_kind k);                /* of an nn_schedule */
double nn_field_get(const nn_train_field *f, const void *owner); /* a FLAG as 0 or 1 */
void nn_field_set(const nn_train_field *f, void *owner, double v);
bool nn_field_fits(const nn_train_field *f, double v); /* false also for a NaN or an infinity */
const char *nn_field_expects(const nn_train_field *f); /* "above 0" */
nn_field_bounds nn_field_limits(const nn_train_field *f);

/* Its first value above 0; 0 if it has none. */
double nn_schedule_start(const nn_schedule *s);
/* What is wrong with a schedule's values taken together: a text that says what they must be; NULL:
 * nothing. */
const char *nn_schedule_problem(const nn_schedule *s);

/* ---- what can be done ---- */

/* What an engine or a code generator does of all this. Sets are bits by number. */
typedef struct nn_train_support {
    const char *who;          /* "Neural's engine" */
    const char *save_instead; /* the way out without save_path: "use --output" */
    uint32_t losses, optimizers, schedules, metrics, precisions;
    bool ignore_class, class_weight, early_stopping, mixed_precision, save_path, callbacks,
        strategy;
} nn_train_support;

/* NN_E_UNSUPPORTED, naming the first thing of t that `s` does not do, and the way out. */
nn_status nn_train_check(const nn_train_spec *t, const nn_train_support *s, nn_err *err);
/* Of the loss alone. */
nn_status nn_train_check_loss(const nn_train_spec *t, const nn_train_support *s, nn_err *err);

/* ---- files ---- */

/* nn_train_read gives back what nn_train_json wrote and refuses anything else:
 * NN_E_MODEL_FILE_ERROR. Members that files have not always had are written where they differ from
 * the default, and may be missing. */
nn_json *nn_train_json(const nn_train_spec *t);
nn_status nn_train_read(const nn_json *v, nn_train_spec *ret, nn_err *err);
#endif
