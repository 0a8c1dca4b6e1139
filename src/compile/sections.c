/* SPDX-License-Identifier: MIT */
/* sections.c - what a program says about training: loss, optimizer, metrics, train, execution,
 * framework and compile (language.md, section 8). What the language knows and no engine does yet is
 * refused by name; what it does not know is refused with a suggestion. */
#include "compile/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct sections {
    nn_check *c;
    nn_value *loss, *optimizer, *metrics; /* the first of each */
    nn_span loss_span, optimizer_span, metrics_span;
    nn_arg *train, **train_tail;         /* entries of train and of the settings at top level */
    nn_arg *execution, **execution_tail; /* entries of all execution sections */
    nn_span train_span;
    bool has_framework, has_train, has_execution;
    nn_span framework_span, execution_span;
} sections;

static int index_of(const char *word, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (nn_name_equal(names[i], word)) return i;
    return -1;
}

/* Joins two NULL-terminated lists; `to` has room for both. */
static void join(const char **to, const char *const *a, const char *const *b) {
    while (*a) *to++ = *a++;
    while (*b) *to++ = *b++;
    *to = NULL;
}

/* "a, b, c" of a NULL-terminated list. */
static const char *listing(const char *const *names, char *buf, size_t cap) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; names[i] && at < cap; i++)
        at += (size_t)snprintf(buf + at, cap - at, "%s%s", i ? ", " : "", names[i]);
    return buf;
}

/* A word that no engine knows: refused as known to the language (in `planned`) or as unknown. */
static void refuse_word(nn_check *c, const nn_value *v, const char *kind, const char *word,
                        const char *const *supported, const char *const *planned) {
    enum { MOST = 48 };
    const char *all[MOST];
    char text[256], list[256];
    if (index_of(word, planned) >= 0) {
        snprintf(text, sizeof text, "%s '%.60s'", kind, word);
        nn_diag *d = nn_check_unsupported(c, v->span, text);
        nn_diag_hint(c->diags, d, "available: %s", listing(supported, list, sizeof list));
        return;
    }
    join(all, supported, planned);
    nn_diag *d = NN_ERROR(c, "unknown-name", v->span, "unknown %s '%.60s'", kind, word);
    nn_check_suggest(c, d, v->span, word, all);
}

/* The name of a reference: a word or a call; NULL, reported, for other values. */
static const char *reference(nn_check *c, nn_value *v, const char *kind) {
    nn_parse_quoted(c->arena, c->source, v, c->diags);
    const char *word = v->kind == NN_V_CALL ? v->call->name : nn_check_word(v);
    char got[64], text[64];
    if (v->kind == NN_V_HPO) {
        snprintf(text, sizeof text, "searching the %s with HPO(…)", kind);
        nn_check_unsupported(c, v->span, text);
    } else if (!word && v->kind != NN_V_ERROR) {
        NN_ERROR(c, "wrong-type", v->span, "%s must be a name, got %s", kind,
                 nn_check_show(v, got, sizeof got));
    }
    return word;
}

static nn_arg *arguments(const nn_value *v) {
    return v->kind == NN_V_CALL ? v->call->args : NULL;
}

/* ---- loss ---- */

#define FROM_LOGITS                                                                                \
    {                                                                                              \
        .name = "from_logits", .type = NN_P_BOOL, .fallback = "false",                             \
        .help = "the output is no probability yet"                                                 \
    }
#define SMOOTHING                                                                                  \
    {                                                                                              \
        .name = "label_smoothing", .type = NN_P_FLOAT, .max = 1, .below_max = true,                \
        .fallback = "0", .help = "share of the target spread over all classes"                     \
    }
static const nn_param mse_params[] = {{0}}, sparse_params[] = {FROM_LOGITS, {0}},
                      class_params[] = {FROM_LOGITS, SMOOTHING, {0}};
static const nn_param *const loss_params[NN_LOSS_COUNT] = {
    [NN_LOSS_MSE] = mse_params,
    [NN_LOSS_CATEGORICAL] = class_params,
    [NN_LOSS_SPARSE] = sparse_params,
    [NN_LOSS_BINARY] = class_params,
};
static const char *const planned_losses[] = {
    "mean_absolute_error",
    "mae",
    "mean_absolute_percentage_error",
    "mape",
    "mean_squared_logarithmic_error",
    "msle",
    "huber",
    "log_cosh",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "kl_divergence",
    "kld",
    "poisson",
    "cosine_similarity",
    "ctc",
    NULL,
};

static void check_loss(nn_check *c, nn_value *v) {
    nn_train_spec *t = &c->graph->train;
    const char *word = reference(c, v, "loss");
    if (!word) return;
    int k = nn_loss_find(word);
    if (k < 0 && strchr(word, '.')) {
        nn_check_unsupported(c, v->span, "a custom loss");
    } else if (k < 0) {
        refuse_word(c, v, "loss", word, nn_loss_names(), planned_losses);
    } else {
        nn_bound b[NN_MAX_PARAMS] = {0};
        if (!nn_check_bind_all(c, nn_loss_name((nn_loss_kind)k), v->span, loss_params[k],
                               arguments(v), b))
            return;
        t->has_loss = true;
        t->loss = (nn_loss_kind)k;
        if (loss_params[k][0].name) t->from_logits = b[0].b;
        if (loss_params[k] == class_params) t->label_smoothing = b[1].f;
    }
}

/* ---- optimizer ---- */

enum { LEARNING_RATE, CLIPNORM, CLIPVALUE, GLOBAL_CLIPNORM, WEIGHT_DECAY, OWN };
#define AT_LEAST_0(n, text)                                                                        \
    { .name = n, .type = NN_P_FLOAT, .help = text }
#define BETA(n)                                                                                    \
    { .name = n, .type = NN_P_FLOAT, .max = 1, .below_max = true, .help = "decay of a moment" }
#define OPTIMIZER_PARAMS                                                                           \
    {.name = "learning_rate",                                                                      \
     .type = NN_P_FLOAT,                                                                           \
     .positional = true,                                                                           \
     .above_min = true,                                                                            \
     .aliases = "lr",                                                                              \
     .help = "size of a step"},                                                                    \
        AT_LEAST_0("clipnorm", "largest norm of a gradient"),                                      \
        AT_LEAST_0("clipvalue", "largest element of a gradient"),                                  \
        AT_LEAST_0("global_clipnorm", "largest norm of all gradients together"),                   \
        AT_LEAST_0("weight_decay", "share of the weights taken off in a step of size 1")
/* clang-format off */
static const nn_param sgd_params[] = {
    OPTIMIZER_PARAMS,
    {.name = "momentum", .type = NN_P_FLOAT, .max = 1, .help = "share of the last step kept"},
    {.name = "nesterov", .type = NN_P_BOOL, .help = "look ahead"},
    {0},
};
static const nn_param adam_params[] = {
    OPTIMIZER_PARAMS,
    BETA("beta_1"),
    BETA("beta_2"),
    {.name = "epsilon", .type = NN_P_FLOAT, .above_min = true, .help = "keeps the division finite"},
    {.name = "amsgrad", .type = NN_P_BOOL, .help = "the largest second moment so far"},
    {0},
};
/* clang-format on */
static const char *const planned_optimizers[] = {
    "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion", NULL,
};
static const char *const schedules[] = {
    "ExponentialDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "InverseTimeDecay",
    "CosineDecay",
    "StepDecay",
    NULL,
};

/* The arguments without a schedule as learning rate, which is refused. */
static nn_arg *without_schedule(nn_check *c, nn_arg *args) {
    nn_arg *first = NULL, **tail = &first;
    for (nn_arg *a = args; a; a = a->next) {
        nn_value *v = a->value;
        if (v->kind == NN_V_STRING) nn_parse_quoted(c->arena, c->source, v, c->diags);
        if (v->kind == NN_V_CALL && index_of(v->call->name, schedules) >= 0) {
            nn_diag *d = nn_check_unsupported(c, v->span, "a learning-rate schedule");
            nn_diag_hint(c->diags, d, "give learning_rate a number");
            continue;
        }
        nn_arg *copy = nn_check_alloc(c, sizeof *copy);
        if (!copy) break;
        *copy = *a;
        copy->next = NULL;
        *tail = copy;
        tail = &copy->next;
    }
    return first;
}

static void set(double *to, const nn_bound *b) {
    if (b->set) *to = b->f;
}

static void check_optimizer(nn_check *c, nn_value *v) {
    const char *word = reference(c, v, "optimizer");
    if (!word) return;
    int k = nn_optimizer_find(word);
    if (k < 0) {
        refuse_word(c, v, "optimizer", word, nn_optimizer_names(), planned_optimizers);
        return;
    }
    nn_optimizer o = nn_optimizer_default((nn_optimizer_kind)k);
    nn_bound b[NN_MAX_PARAMS] = {0};
    bool sgd = k == NN_OPTIMIZER_SGD;
    if (!nn_check_bind_all(c, nn_optimizer_names()[k], v->span, sgd ? sgd_params : adam_params,
                           without_schedule(c, arguments(v)), b))
        return;
    double *common[] = {&o.learning_rate, &o.clipnorm, &o.clipvalue, &o.global_clipnorm,
                        &o.weight_decay};
    for (int i = 0; i < OWN; i++) set(common[i], &b[i]);
    if (sgd) {
        set(&o.momentum, &b[OWN]);
        o.nesterov = b[OWN + 1].set && b[OWN + 1].b;
    } else {
        set(&o.beta_1, &b[OWN]);
        set(&o.beta_2, &b[OWN + 1]);
        set(&o.epsilon, &b[OWN + 2]);
        o.amsgrad = b[OWN + 3].set && b[OWN + 3].b;
    }
    c->graph->train.has_optimizer = true;
    c->graph->train.optimizer = o;
}

/* ---- metrics ---- */

static void check_metric(nn_check *c, nn_value *v) {
    static const char *const accuracy[] = {
        "accuracy",        "acc", "categorical_accuracy", "sparse_categorical_accuracy",
        "binary_accuracy", NULL};
    static const char *const supported[] = {"accuracy", "loss", NULL};
    static const char *const planned[] = {"precision", "recall",
                                          "auc",       "f1",
                                          "f1_score",  "top_k_categorical_accuracy",
                                          "mse",       "mean_squared_error",
                                          "mae",       "mean_absolute_error",
                                          "rmse",      "cosine_similarity",
                                          NULL};
    const char *word = reference(c, v, "metric");
    if (!word) return;
    if (index_of(word, accuracy) >= 0)
        c->graph->train.metrics |= NN_METRIC_ACCURACY;
    else if (nn_name_equal(word, "loss"))
        c->graph->train.metrics |= NN_METRIC_LOSS;
    else
        refuse_word(c, v, "metric", word, supported, planned);
}

static void check_metrics(nn_check *c, nn_value *v) {
    c->graph->train.metrics = 0;
    if (v->kind != NN_V_LIST && v->kind != NN_V_TUPLE) {
        check_metric(c, v);
        return;
    }
    for (nn_value *m = v->items; m; m = m->next) check_metric(c, m);
}

/* ---- train ---- */

enum {
    EPOCHS,
    BATCH_SIZE,
    VALIDATION_SPLIT,
    SHUFFLE,
    SEED,
    DATASET,
    STEPS_PER_EPOCH,
    TRAIN_LEARNING_RATE,
    SEARCH_METHOD,
    MIXED_PRECISION,
};
/* clang-format off */
static const nn_param train_params[] = {
    {.name = "epochs", .type = NN_P_INT, .min = 1, .max = NN_MAX_DIM,
     .help = "passes over the data"},
    {.name = "batch_size", .type = NN_P_INT, .min = 1, .max = NN_MAX_DIM,
     .help = "samples in a step"},
    {.name = "validation_split", .type = NN_P_FLOAT, .max = 1, .below_max = true,
     .help = "share of the training samples held back"},
    {.name = "shuffle", .type = NN_P_BOOL, .help = "a new order in every epoch"},
    {.name = "seed", .type = NN_P_INT, .help = "of weights, order and dropout"},
    {.name = "dataset", .type = NN_P_STRING, .aliases = "data", .help = "name or path of the data"},
    {.name = "steps_per_epoch", .type = NN_P_INT, .min = 1, .max = NN_MAX_DIM,
     .help = "steps in an epoch; all by default"},
    {.name = "learning_rate", .type = NN_P_FLOAT, .above_min = true,
     .help = "of the optimizer, where it has none"},
    {.name = "search_method", .type = NN_P_ENUM, .words = "random|grid|bayesian|evolutionary",
     .help = "for networks with HPO(…)"},
    {.name = "mixed_precision", .type = NN_P_BOOL, .help = "false"},
    {0},
};
/* clang-format on */

/* Whether an entry is refused as not available: it is then left out of the binding. */
static bool refused_entry(nn_check *c, const nn_arg *a) {
    static const char *const planned[] = {"save_path", "callbacks", "early_stopping", NULL};
    char text[80];
    const nn_value *v = a->value;
    bool on = nn_name_equal(a->name, "mixed_precision") && v->kind == NN_V_BOOL && v->i;
    if (index_of(a->name, planned) < 0 && !on) {
        bool list = v->kind == NN_V_LIST && nn_name_equal(a->name, "batch_size");
        if (list) nn_check_unsupported(c, v->span, "searching over several batch sizes");
        return list;
    }
    snprintf(text, sizeof text, "'%s' in train", a->name);
    nn_check_unsupported(c, a->span, text);
    return true;
}

static void take_text(nn_check *c, const char *what, const nn_bound *b, char *to, size_t cap) {
    if (strlen(b->s) < cap)
        snprintf(to, cap, "%s", b->s);
    else
        NN_ERROR(c, "out-of-range", b->span, "%s is longer than %zu bytes", what, cap - 1);
}

static void take_learning_rate(nn_check *c, const sections *s, const nn_bound *b) {
    nn_optimizer *o = &c->graph->train.optimizer;
    const nn_arg *a = s->optimizer ? arguments(s->optimizer) : NULL;
    for (; a; a = a->next)
        if (!a->name || strcmp(a->name, "learning_rate") == 0 || strcmp(a->name, "lr") == 0) {
            nn_diag *d = NN_ERROR(c, "duplicate-key", b->span, "the learning rate is given twice");
            nn_diag_note(c->diags, d, a->span, "first given to the optimizer");
            return;
        }
    o->learning_rate = b->f;
}

static void check_train(nn_check *c, sections *s) {
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_train_spec *t = &c->graph->train;
    t->has_training = s->has_train || s->train;
    c->keys = true;
    nn_check_bind_all(c, "train", s->train_span, train_params, s->train, b);
    c->keys = false;
    if (b[EPOCHS].set) t->epochs = b[EPOCHS].i;
    if (b[BATCH_SIZE].set) t->batch_size = b[BATCH_SIZE].i;
    if (b[VALIDATION_SPLIT].set) t->validation_split = b[VALIDATION_SPLIT].f;
    if (b[SHUFFLE].set) t->shuffle = b[SHUFFLE].b;
    if (b[SEED].set) t->seeded = true, t->seed = (uint64_t)b[SEED].i;
    if (b[STEPS_PER_EPOCH].set) t->steps_per_epoch = b[STEPS_PER_EPOCH].i;
    if (b[DATASET].set) take_text(c, "dataset", &b[DATASET], t->dataset, sizeof t->dataset);
    if (b[TRAIN_LEARNING_RATE].set) take_learning_rate(c, s, &b[TRAIN_LEARNING_RATE]);
    if (b[SEARCH_METHOD].set)
        NN_WARN(c, "advice", b[SEARCH_METHOD].span,
                "search_method has no effect: nothing in the network is searched");
}

/* ---- execution and framework ---- */

bool nn_check_device(nn_check *c, const nn_bound *b) {
    if (nn_device_valid(b->s)) return true;
    nn_diag *d = NN_ERROR(c, "bad-device", b->span, "unknown device '%.60s'", b->s);
    nn_diag_hint(c->diags, d, "devices are cpu, gpu, cuda, cuda:N, tpu, tpu:N, mps, auto");
    return false;
}

static void check_execution(nn_check *c, const sections *s) {
    enum { DEVICE, PRECISION, STRATEGY };
    /* clang-format off */
    static const nn_param params[] = {
        {.name = "device", .type = NN_P_STRING, .help = "cpu, gpu, cuda:0 …"},
        {.name = "precision", .type = NN_P_STRING, .help = "float32"},
        {.name = "strategy", .type = NN_P_STRING, .help = "not available yet"},
        {0},
    };
    /* clang-format on */
    nn_bound b[NN_MAX_PARAMS] = {0};
    c->keys = true;
    nn_check_bind_all(c, "execution", s->execution_span, params, s->execution, b);
    c->keys = false;
    nn_train_spec *t = &c->graph->train;
    if (b[DEVICE].set && nn_check_device(c, &b[DEVICE])) {
        snprintf(t->device, sizeof t->device, "%s", b[DEVICE].s);
        for (char *p = t->device; *p; p++)
            if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    }
    if (b[PRECISION].set && strcasecmp(b[PRECISION].s, "float32") != 0)
        nn_check_unsupported(c, b[PRECISION].span, "a precision other than float32");
    if (b[STRATEGY].set) nn_check_unsupported(c, b[STRATEGY].span, "a strategy of execution");
}

static void check_framework(nn_check *c, const nn_value *v) {
    static const char *const known[] = {"tensorflow", "pytorch", "onnx", NULL};
    const char *word = nn_check_word(v);
    if (!word || strcasecmp(word, "auto") == 0) return; /* the parser reports what is no scalar */
    int k = index_of(strcasecmp(word, "torch") == 0 ? "pytorch" : word, known);
    if (k >= 0)
        c->unit->framework = known[k];
    else
        refuse_word(c, v, "framework", word, known, (const char *const[]){NULL});
}

/* ---- collecting ---- */

static void again(nn_check *c, const char *word, nn_span span, nn_span first) {
    nn_diag *d = NN_ERROR(c, "duplicate-section", span, "'%s' is given twice", word);
    nn_diag_note(c->diags, d, first, "first given here");
}

static void keep_one(sections *s, const char *word, nn_span span, nn_value *v, nn_value **to,
                     nn_span *to_span) {
    if (*to)
        again(s->c, word, span, *to_span);
    else
        *to = v, *to_span = span;
}

/* True if `word` is one of the three that may also stand inside compile { }. */
static bool keep_reference(sections *s, const char *word, nn_span span, nn_value *v) {
    if (strcmp(word, "loss") == 0)
        keep_one(s, word, span, v, &s->loss, &s->loss_span);
    else if (strcmp(word, "optimizer") == 0)
        keep_one(s, word, span, v, &s->optimizer, &s->optimizer_span);
    else if (strcmp(word, "metrics") == 0)
        keep_one(s, word, span, v, &s->metrics, &s->metrics_span);
    else
        return false;
    return true;
}

/* Appends a copy of an entry to a list. */
static void append(nn_check *c, const nn_arg *a, nn_arg ***tail) {
    nn_arg *copy = nn_check_alloc(c, sizeof *copy);
    if (!copy) return;
    *copy = *a;
    copy->next = NULL;
    **tail = copy;
    *tail = &copy->next;
}

static void keep_compile(sections *s, const nn_section *x) {
    static const char *const keys[] = {"loss", "optimizer", "metrics", NULL};
    for (nn_arg *a = x->config; a; a = a->next) {
        if (keep_reference(s, a->name, a->span, a->value)) continue;
        nn_diag *d =
            NN_ERROR(s->c, "unknown-key", a->name_span, "compile has no key '%s'", a->name);
        nn_check_suggest(s->c, d, a->name_span, a->name, keys);
    }
}

static void keep_train(sections *s, const nn_section *x) {
    if (s->has_train) again(s->c, "train", x->word_span, s->train_span);
    if (!s->has_train) s->train_span = x->word_span;
    s->has_train = true;
    for (nn_arg *a = x->config; a; a = a->next)
        if (!refused_entry(s->c, a)) append(s->c, a, &s->train_tail);
}

static void keep_execution(sections *s, const nn_section *x) {
    if (s->has_execution) again(s->c, "execution", x->word_span, s->execution_span);
    if (!s->has_execution) s->execution_span = x->word_span;
    s->has_execution = true;
    for (nn_arg *a = x->config; a; a = a->next) append(s->c, a, &s->execution_tail);
}

static void keep(sections *s, const nn_section *x) {
    if (strcmp(x->word, "input") == 0 || keep_reference(s, x->word, x->word_span, x->value)) return;
    if (strcmp(x->word, "train") == 0) {
        keep_train(s, x);
    } else if (strcmp(x->word, "execution") == 0) {
        keep_execution(s, x);
    } else if (strcmp(x->word, "compile") == 0) {
        keep_compile(s, x);
    } else if (strcmp(x->word, "framework") == 0) {
        if (s->has_framework) again(s->c, "framework", x->word_span, s->framework_span);
        if (!s->has_framework) check_framework(s->c, x->value);
        s->has_framework = true;
        s->framework_span = x->word_span;
    } else { /* epochs, batch_size, validation_split, search_method at top level */
        nn_arg a = {.name = x->word, .name_span = x->word_span, .span = x->span, .value = x->value};
        if (!refused_entry(s->c, &a)) append(s->c, &a, &s->train_tail);
    }
}

void nn_check_sections(nn_check *c) {
    sections s = {.c = c};
    s.train_tail = &s.train;
    s.execution_tail = &s.execution;
    for (const nn_section *x = c->network->sections; x; x = x->next) keep(&s, x);
    if (s.loss) check_loss(c, s.loss);
    if (s.optimizer) check_optimizer(c, s.optimizer);
    if (s.metrics) check_metrics(c, s.metrics);
    check_train(c, &s);
    check_execution(c, &s);
}
