/* SPDX-License-Identifier: MIT */
/* train_tables.c - losses, optimisers, schedules and metrics by name, and the fields that each has.
 * Every table is printed from its .def; the sets are small, so a search walks them. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

/* ---- fields ---- */

#define HAS(F) (1u << FIELD_##F)
#define FIELD(owner, member, kind, limits, ...)                                                    \
    {                                                                                              \
        .name = #member, .type = NN_TRAIN_##kind, .range = NN_RANGE_##limits,                      \
        .offset = offsetof(owner, member), __VA_ARGS__                                             \
    }

enum { FIELD_FROM_LOGITS, FIELD_LABEL_SMOOTHING, FIELD_IGNORE_CLASS, FIELD_DELTA, FIELD_BLANK };
/* clang-format off */
static const nn_train_field loss_fields[] = {
    [FIELD_FROM_LOGITS] = FIELD(nn_train_spec, from_logits, FLAG, FROM_0, .always = true,
        .help = "the output is no probability yet"),
    [FIELD_LABEL_SMOOTHING] = FIELD(nn_train_spec, label_smoothing, REAL, BELOW_1, .always = true,
        .help = "share of the target spread over all classes"),
    [FIELD_IGNORE_CLASS] = FIELD(nn_train_spec, ignore_class, WHOLE, FROM_0,
        .help = "targets of this class do not count"),
    [FIELD_DELTA] = FIELD(nn_train_spec, delta, REAL, ABOVE_0,
        .help = "errors above it count linearly"),
    [FIELD_BLANK] = FIELD(nn_train_spec, blank, WHOLE, FROM_0,
        .help = "the class that stands for nothing"),
};

/* In the order of files. */
enum {
    FIELD_LEARNING_RATE, FIELD_MOMENTUM, FIELD_BETA_1, FIELD_BETA_2, FIELD_EPSILON,
    FIELD_WEIGHT_DECAY, FIELD_CLIPNORM, FIELD_CLIPVALUE, FIELD_GLOBAL_CLIPNORM, FIELD_NESTEROV,
    FIELD_AMSGRAD, FIELD_RHO, FIELD_CENTERED, FIELD_INITIAL_ACCUMULATOR_VALUE,
    FIELD_LEARNING_RATE_POWER, FIELD_L1, FIELD_L2, FIELD_L2_SHRINKAGE, FIELD_BETA,
};
static const nn_train_field optimizer_fields[] = {
    [FIELD_LEARNING_RATE] = FIELD(nn_optimizer, learning_rate, REAL, ABOVE_0, .always = true,
        .aliases = "lr", .help = "size of a step, or a schedule"),
    [FIELD_MOMENTUM] = FIELD(nn_optimizer, momentum, REAL, SHARE, .always = true,
        .help = "share of the last step kept"),
    [FIELD_BETA_1] = FIELD(nn_optimizer, beta_1, REAL, BELOW_1, .always = true,
        .help = "decay of the first moment"),
    [FIELD_BETA_2] = FIELD(nn_optimizer, beta_2, REAL, BELOW_1, .always = true,
        .help = "decay of the second moment"),
    [FIELD_EPSILON] = FIELD(nn_optimizer, epsilon, REAL, FROM_0, .always = true,
        .help = "keeps the division finite"),
    [FIELD_WEIGHT_DECAY] = FIELD(nn_optimizer, weight_decay, REAL, FROM_0, .always = true,
        .help = "share of the weights taken off in a step of size 1"),
    [FIELD_CLIPNORM] = FIELD(nn_optimizer, clipnorm, REAL, FROM_0, .always = true,
        .help = "largest norm of a gradient"),
    [FIELD_CLIPVALUE] = FIELD(nn_optimizer, clipvalue, REAL, FROM_0, .always = true,
        .help = "largest element of a gradient"),
    [FIELD_GLOBAL_CLIPNORM] = FIELD(nn_optimizer, global_clipnorm, REAL, FROM_0, .always = true,
        .help = "largest norm of all gradients together"),
    [FIELD_NESTEROV] = FIELD(nn_optimizer, nesterov, FLAG, FROM_0, .always = true,
        .help = "look ahead"),
    [FIELD_AMSGRAD] = FIELD(nn_optimizer, amsgrad, FLAG, FROM_0, .always = true,
        .help = "the largest second moment so far"),
    [FIELD_RHO] = FIELD(nn_optimizer, rho, REAL, BELOW_1,
        .help = "decay of the mean of squared gradients"),
    [FIELD_CENTERED] = FIELD(nn_optimizer, centered, FLAG, FROM_0,
        .help = "divide by the gradient's variance"),
    [FIELD_INITIAL_ACCUMULATOR_VALUE] = FIELD(nn_optimizer, initial_accumulator_value, REAL, FROM_0,
        .help = "where the sum of squared gradients starts"),
    [FIELD_LEARNING_RATE_POWER] = FIELD(nn_optimizer, learning_rate_power, REAL, UP_TO_0,
        .help = "how steps shrink; 0: they do not"),
    [FIELD_L1] = FIELD(nn_optimizer, l1_regularization_strength, REAL, FROM_0,
        .help = "weight of the penalty on |w|"),
    [FIELD_L2] = FIELD(nn_optimizer, l2_regularization_strength, REAL, FROM_0,
        .help = "weight of the penalty on w^2"),
    [FIELD_L2_SHRINKAGE] = FIELD(nn_optimizer, l2_shrinkage_regularization_strength, REAL, FROM_0,
        .help = "weight of the penalty on w^2 in the gradient"),
    [FIELD_BETA] = FIELD(nn_optimizer, beta, REAL, FROM_0, .help = "beta of the paper"),
};

/* In the order of positional arguments. */
enum {
    FIELD_INITIAL_LEARNING_RATE, FIELD_DROP_RATE, FIELD_EPOCHS_DROP, FIELD_DECAY_STEPS,
    FIELD_DECAY_RATE, FIELD_STAIRCASE, FIELD_END_LEARNING_RATE, FIELD_POWER, FIELD_CYCLE,
    FIELD_ALPHA, FIELD_WARMUP_TARGET, FIELD_WARMUP_STEPS,
};
static const nn_train_field schedule_fields[] = {
    [FIELD_INITIAL_LEARNING_RATE] = FIELD(nn_schedule, initial_learning_rate, REAL, FROM_0,
        .required = true, .help = "where it starts"),
    [FIELD_DROP_RATE] = FIELD(nn_schedule, drop_rate, REAL, ABOVE_0_TO_1, .required = true,
        .help = "what each drop multiplies by"),
    [FIELD_EPOCHS_DROP] = FIELD(nn_schedule, epochs_drop, WHOLE, FROM_1, .required = true,
        .help = "epochs from drop to drop"),
    [FIELD_DECAY_STEPS] = FIELD(nn_schedule, decay_steps, WHOLE, FROM_1, .required = true,
        .help = "steps of the decay"),
    [FIELD_DECAY_RATE] = FIELD(nn_schedule, decay_rate, REAL, ABOVE_0, .required = true,
        .help = "decay over decay_steps"),
    [FIELD_STAIRCASE] = FIELD(nn_schedule, staircase, FLAG, FROM_0, .help = "decay in jumps"),
    [FIELD_END_LEARNING_RATE] = FIELD(nn_schedule, end_learning_rate, REAL, FROM_0,
        .help = "where it ends"),
    [FIELD_POWER] = FIELD(nn_schedule, power, REAL, ABOVE_0, .help = "1: a straight line"),
    [FIELD_CYCLE] = FIELD(nn_schedule, cycle, FLAG, FROM_0, .help = "begin again after the end"),
    [FIELD_ALPHA] = FIELD(nn_schedule, alpha, REAL, SHARE, .help = "share that is left at the end"),
    [FIELD_WARMUP_TARGET] = FIELD(nn_schedule, warmup_target, REAL, FROM_0,
        .help = "where the warmup leads; 0: no warmup"),
    [FIELD_WARMUP_STEPS] = FIELD(nn_schedule, warmup_steps, WHOLE, FROM_0,
        .help = "steps of the warmup"),
};
/* clang-format on */

/* What the .def tables say of their rows. */
#define COUNT_OF(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define EVERY                                                                                      \
    (HAS(LEARNING_RATE) | HAS(CLIPNORM) | HAS(CLIPVALUE) | HAS(GLOBAL_CLIPNORM) | HAS(WEIGHT_DECAY))
#define ADAPTIVE    (HAS(BETA_1) | HAS(BETA_2) | HAS(EPSILON))
#define MOMENTS(b2) .beta_1 = 0.9, .beta_2 = (b2), .epsilon = 1e-7
#define DECAY       (HAS(INITIAL_LEARNING_RATE) | HAS(DECAY_STEPS))
#define FOLLOW_THE_LEADER                                                                          \
    (HAS(LEARNING_RATE_POWER) | HAS(L1) | HAS(L2) | HAS(L2_SHRINKAGE) | HAS(BETA))

static const struct {
    nn_field_bounds bounds;
    const char *expects;
} ranges[NN_RANGE_COUNT] = {
    [NN_RANGE_ABOVE_0] = {{0, INFINITY, true, false},   "above 0"   },
    [NN_RANGE_FROM_0] = {{0, INFINITY, false, false},  "0 or above"},
    [NN_RANGE_FROM_1] = {{1, INFINITY, false, false},  "1 or above"},
    [NN_RANGE_UP_TO_0] = {{-INFINITY, 0, false, false}, "0 or below"},
    [NN_RANGE_SHARE] = {{0, 1, false, false},         "in [0, 1]" },
    [NN_RANGE_BELOW_1] = {{0, 1, false, true},          "in [0, 1)" },
    [NN_RANGE_ABOVE_0_TO_1] = {{0, 1, true, false},          "in (0, 1]" },
};

double nn_field_get(const nn_train_field *f, const void *owner) {
    const char *at = (const char *)owner + f->offset;
    if (f->type == NN_TRAIN_REAL) return *(const double *)at;
    if (f->type == NN_TRAIN_WHOLE) return (double)*(const int64_t *)at;
    return *(const bool *)at;
}

void nn_field_set(const nn_train_field *f, void *owner, double v) {
    char *at = (char *)owner + f->offset;
    if (f->type == NN_TRAIN_REAL)
        *(double *)at = v;
    else if (f->type == NN_TRAIN_WHOLE)
        *(int64_t *)at = (int64_t)v;
    else
        *(bool *)at = v != 0;
}

bool nn_field_fits(const nn_train_field *f, double v) {
    if (f->type == NN_TRAIN_FLAG) return true;
    nn_field_bounds b = nn_field_limits(f);
    bool low = b.above_min ? v > b.min : v >= b.min, high = b.below_max ? v < b.max : v <= b.max;
    return isfinite(v) && low && high;
}

const char *nn_field_expects(const nn_train_field *f) {
    return ranges[f->range].expects;
}

nn_field_bounds nn_field_limits(const nn_train_field *f) {
    nn_field_bounds b = ranges[f->range].bounds;
    if (f->type == NN_TRAIN_WHOLE && isinf(b.max)) b.max = (double)NN_MAX_DIM;
    return b;
}

/* ---- losses ---- */

static const struct {
    nn_target_kind targets;
    uint32_t own;
} losses[NN_LOSS_COUNT] = {
#define NN_LOSS(N, n, aliases, t, own) {NN_TARGET_##t, own},
#include "graph/losses.def"
#undef NN_LOSS
};
static const char *const loss_aliases[NN_LOSS_CUSTOM + 1] = {
#define NN_LOSS(N, n, aliases, t, own) aliases,
#include "graph/losses.def"
#undef NN_LOSS
};
static const char *const loss_names[NN_LOSS_CUSTOM + 1] = {
#define NN_LOSS(N, n, aliases, t, own) #n,
#include "graph/losses.def"
#undef NN_LOSS
};

/* The row of a name among n; -1 if there is none. */
static int row_of(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (nn_name_equal(name, names[i])) return i;
    return -1;
}

int nn_loss_find(const char *name) {
    for (int i = 0; i < NN_LOSS_CUSTOM; i++)
        if (nn_name_equal(name, loss_names[i]) || nn_name_listed(name, loss_aliases[i])) return i;
    return -1;
}

const char *nn_loss_name(nn_loss_kind k) {
    return k == NN_LOSS_CUSTOM ? "custom" : loss_names[k];
}

nn_target_kind nn_loss_targets(nn_loss_kind k) {
    return k == NN_LOSS_CUSTOM ? NN_TARGET_VALUE : losses[k].targets;
}

const char *const *nn_loss_names(void) {
    return loss_names;
}

const char *const *nn_loss_aliases(void) {
    return loss_aliases;
}

nn_fields nn_loss_fields(nn_loss_kind k) {
    return (nn_fields){loss_fields, COUNT_OF(loss_fields), losses[k].own};
}

/* ---- optimisers ---- */

/* clang-format off */
static const struct {
    const char *name;
    int slots;
    uint32_t own;
    nn_optimizer defaults;
} optimizers[NN_OPTIMIZER_COUNT] = {
#define NN_OPTIMIZER(N, n, c, slots, own, ...)                                                     \
    {#n, slots, EVERY | (own), {.kind = NN_OPTIMIZER_##N, __VA_ARGS__}},
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
};
/* clang-format on */
static const char *const optimizer_names[NN_OPTIMIZER_COUNT + 1] = {
#define NN_OPTIMIZER(N, n, c, slots, own, ...) c,
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
};

int nn_optimizer_find(const char *name) {
    return row_of(name, optimizer_names, NN_OPTIMIZER_COUNT);
}

const char *nn_optimizer_name(nn_optimizer_kind k) {
    return optimizers[k].name;
}

int nn_optimizer_slots(nn_optimizer_kind k) {
    return optimizers[k].slots;
}

const char *const *nn_optimizer_names(void) {
    return optimizer_names;
}

nn_fields nn_optimizer_fields(nn_optimizer_kind k) {
    return (nn_fields){optimizer_fields, COUNT_OF(optimizer_fields), optimizers[k].own};
}

nn_optimizer nn_optimizer_default(nn_optimizer_kind kind) {
    return optimizers[kind].defaults;
}

/* ---- schedules ---- */

/* clang-format off */
static const struct {
    uint32_t own;
    nn_schedule defaults;
} schedules[NN_SCHEDULE_COUNT] = {
    {0, {.kind = NN_SCHEDULE_NONE}},
#define NN_SCHEDULE(N, n, own, ...) {own, {.kind = NN_SCHEDULE_##N, __VA_ARGS__}},
#include "graph/schedules.def"
#undef NN_SCHEDULE
};
/* clang-format on */
static const char *const schedule_names[NN_SCHEDULE_COUNT + 1] = {
    "none",
#define NN_SCHEDULE(N, n, own, ...) n,
#include "graph/schedules.def"
#undef NN_SCHEDULE
};

int nn_schedule_find(const char *name) {
    int k = row_of(name, schedule_names, NN_SCHEDULE_COUNT);
    return k == NN_SCHEDULE_NONE ? -1 : k;
}

const char *nn_schedule_name(nn_schedule_kind k) {
    return schedule_names[k];
}

const char *const *nn_schedule_names(void) {
    return schedule_names + 1; /* without "none" */
}

nn_fields nn_schedule_fields(nn_schedule_kind k) {
    return (nn_fields){schedule_fields, COUNT_OF(schedule_fields), schedules[k].own};
}

nn_schedule nn_schedule_default(nn_schedule_kind kind) {
    return schedules[kind].defaults;
}

static const char *piecewise_problem(const nn_schedule *s) {
    if (s->n_values < 2 || s->n_values > NN_SCHEDULE_VALUES)
        return "values must be two to 32 numbers, one more than boundaries";
    for (int i = 0; i < s->n_values; i++)
        if (!(s->values[i] >= 0) || !isfinite(s->values[i])) return "values must be 0 or above";
    for (int i = 0; i < s->n_values - 1; i++)
        if (s->boundaries[i] <= (i ? s->boundaries[i - 1] : 0))
            return "boundaries must be positive steps, each above the one before";
    return nn_schedule_start(s) > 0 ? NULL : "values must not all be 0";
}

const char *nn_schedule_problem(const nn_schedule *s) {
    if (s->kind == NN_SCHEDULE_PIECEWISE) return piecewise_problem(s);
    if ((s->warmup_target > 0) != (s->warmup_steps > 0))
        return "warmup_target and warmup_steps must be given together";
    return nn_schedule_start(s) > 0 ? NULL : "initial_learning_rate must be above 0";
}

double nn_schedule_start(const nn_schedule *s) {
    for (int i = 0; s->kind == NN_SCHEDULE_PIECEWISE && i < s->n_values; i++)
        if (s->values[i] > 0) return s->values[i];
    return s->initial_learning_rate > 0 ? s->initial_learning_rate : s->warmup_target;
}

/* ---- metrics ---- */

static const char *const metric_aliases[NN_TRAIN_METRIC_COUNT + 1] = {
#define NN_TRAIN_METRIC(N, n, aliases) aliases,
#include "graph/train_metrics.def"
#undef NN_TRAIN_METRIC
};
static const char *const metric_names[NN_TRAIN_METRIC_COUNT + 1] = {
#define NN_TRAIN_METRIC(N, n, aliases) #n,
#include "graph/train_metrics.def"
#undef NN_TRAIN_METRIC
};

int nn_train_metric_find(const char *name) {
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++)
        if (nn_name_equal(name, metric_names[i]) || nn_name_listed(name, metric_aliases[i]))
            return i;
    return -1;
}

const char *nn_train_metric_name(nn_train_metric m) {
    return metric_names[m];
}

const char *const *nn_train_metric_names(void) {
    return metric_names;
}

const char *const *nn_train_metric_aliases(void) {
    return metric_aliases;
}

bool nn_class_weight_valid(double w) {
    return w >= 0 && isfinite(w);
}

bool nn_monitor_valid(const char *name) {
    return nn_train_metric_find(strncmp(name, "val_", 4) == 0 ? name + 4 : name) >= 0;
}

/* ---- execution ---- */

static const char *const precision_names[NN_PRECISION_COUNT + 1] = {"float32", "float16",
                                                                    "bfloat16", "mixed"};

int nn_precision_find(const char *name) {
    return row_of(name, precision_names, NN_PRECISION_COUNT);
}

const char *nn_precision_name(nn_precision p) {
    return precision_names[p];
}

const char *const *nn_precision_names(void) {
    return precision_names;
}

const char *const *nn_search_methods(void) {
    static const char *const names[] = {"random", "grid", "bayesian", "evolutionary", NULL};
    return names;
}

/* ---- defaults ---- */

nn_early_stopping nn_early_stopping_default(void) {
    return (nn_early_stopping){.on = true, .monitor = "val_loss"};
}

nn_train_spec nn_train_default(void) {
    return (nn_train_spec){.loss = NN_LOSS_MSE,
                           .delta = 1,
                           .ignore_class = -1,
                           .optimizer = nn_optimizer_default(NN_OPTIMIZER_ADAM),
                           .metrics = NN_METRIC_ACCURACY,
                           .top_k = 5,
                           .epochs = 10,
                           .batch_size = 32,
                           .shuffle = true,
                           .device = "auto"};
}
