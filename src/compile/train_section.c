/* SPDX-License-Identifier: MIT */
/* train_section.c - train and execution (language.md 8.6 and 8.7): keys to the members of
 * nn_train_spec. */
#include "compile/sections.h"
#include "compile/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train ---- */

enum {
    EPOCHS,
    BATCH_SIZE,
    VALIDATION_SPLIT,
    SHUFFLE,
    SEED,
    DATASET,
    STEPS_PER_EPOCH,
    LEARNING_RATE,
    SEARCH_METHOD,
    MIXED_PRECISION,
    SAVE_PATH,
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
    {.name = "mixed_precision", .type = NN_P_BOOL, .help = "16-bit numbers where they will do"},
    {.name = "save_path", .type = NN_P_STRING, .help = "where the trained weights go"},
    {.name = "early_stopping", .type = NN_P_ANY, .help = "true, a patience or {patience: 3, …}"},
    {.name = "callbacks", .type = NN_P_ANY, .help = "a list of names or calls"},
    {.name = "class_weight", .type = NN_P_ANY,
     .help = "\"balanced\", a number a class or {0: 1.0, 3: 2.5}"},
    {0},
};
/* clang-format on */

static void take_text(nn_check *c, const char *what, const nn_bound *b, char *to, size_t cap) {
    if (!b->set) return;
    if (strlen(b->s) < cap)
        snprintf(to, cap, "%s", b->s);
    else
        NN_ERROR(c, "out-of-range", b->span, "%s is longer than %zu bytes", what, cap - 1);
}

/* The entry of that name; NULL if there is none. */
static const nn_arg *entry(const nn_arg *args, const char *name) {
    while (args && strcmp(args->name, name) != 0) args = args->next;
    return args;
}

/* batch_size: 16, 32 is a choice; of one, it is that one. */
static nn_value *as_choice(nn_check *c, nn_value *list) {
    if (list->count == 1) return list->items;
    nn_value *v = nn_check_alloc(c, sizeof *v);
    nn_hpo *h = nn_check_alloc(c, sizeof *h);
    if (!v || !h) return list;
    *h = (nn_hpo){.kind = NN_HPO_CHOICE, .values = list->items};
    *v = (nn_value){.kind = NN_V_HPO, .span = list->span, .hpo = h};
    return v;
}

static void choose_batch_size(nn_check *c, nn_arg *args) {
    for (; args; args = args->next) {
        nn_value *v = args->value;
        bool list = v->kind == NN_V_LIST || v->kind == NN_V_TUPLE;
        if (list && v->items && strcmp(args->name, "batch_size") == 0)
            args->value = as_choice(c, v);
    }
}

/* ---- early stopping ---- */

static bool take_stopping(nn_check *c, const nn_arg *args, nn_span span, nn_early_stopping *to) {
    enum { PATIENCE, MONITOR, MIN_DELTA, RESTORE_BEST };
    /* clang-format off */
    static const nn_param params[] = {
        {.name = "patience", .type = NN_P_INT, .max = NN_MAX_DIM,
         .help = "epochs without improvement before training ends"},
        {.name = "monitor", .type = NN_P_STRING, .help = "val_loss, val_accuracy …"},
        {.name = "min_delta", .type = NN_P_FLOAT, .help = "a smaller change is no improvement"},
        {.name = "restore_best", .type = NN_P_BOOL, .aliases = "restore_best_weights",
         .help = "end with the best weights"},
        {0},
    };
    /* clang-format on */
    nn_bound b[NN_MAX_PARAMS] = {0};
    if (!nn_check_bind_all(c, "early_stopping", span, params, args, b)) return false;
    if (b[PATIENCE].set) to->patience = b[PATIENCE].i;
    if (b[MIN_DELTA].set) to->min_delta = b[MIN_DELTA].f;
    if (b[RESTORE_BEST].set) to->restore_best = b[RESTORE_BEST].b;
    if (!b[MONITOR].set) return true;
    if (nn_monitor_valid(b[MONITOR].s)) {
        take_text(c, "monitor", &b[MONITOR], to->monitor, sizeof to->monitor);
        return true;
    }
    nn_diag *d = NN_ERROR(c, "unknown-name", b[MONITOR].span,
                          "early_stopping: unknown metric '%.60s'", b[MONITOR].s);
    nn_diag_hint(c->diags, d, "a metric, or val_ and a metric: loss, val_loss, val_accuracy");
    return false;
}

static void use_early_stopping(nn_check *c, nn_value *v, nn_train_spec *to) {
    nn_early_stopping e = nn_early_stopping_default();
    bool call = v->kind == NN_V_CALL && nn_name_equal(v->call->name, "EarlyStopping");
    char got[64];
    if (v->kind == NN_V_NONE || v->kind == NN_V_ERROR) return;
    if (v->kind == NN_V_BOOL) {
        e.on = v->i != 0;
    } else if (v->kind == NN_V_DICT || call) {
        if (!take_stopping(c, call ? v->call->args : v->args, v->span, &e)) return;
    } else if (v->kind == NN_V_INT && v->i >= 0 && v->i <= NN_MAX_DIM) {
        e.patience = v->i;
    } else {
        NN_ERROR(c, "wrong-type", v->span,
                 "train early_stopping must be true, a patience of 0 or more epochs or "
                 "{patience: 3, monitor: \"val_loss\"}, got %s",
                 nn_check_show(v, got, sizeof got));
        return;
    }
    to->early_stopping = e.on ? e : (nn_early_stopping){0};
}

/* What it watches has to be measured. */
static void advise_stopping(nn_check *c, const nn_train_spec *t, nn_span span) {
    const nn_early_stopping *e = &t->early_stopping;
    if (!e->on || strncmp(e->monitor, "val_", 4) != 0 || t->validation_split > 0) return;
    nn_diag *d = NN_WARN(c, "advice", span,
                         "early_stopping watches %s, but no samples are held back to measure it",
                         e->monitor);
    nn_diag_hint(c->diags, d, "add validation_split: 0.1, or monitor: loss");
}

/* ---- class weights ---- */

/* A class as the name of an entry: -1 where it is none. */
static int class_of(const char *name) {
    char *end;
    if (*name < '0' || *name > '9') return -1;
    long k = strtol(name, &end, 10);
    return *end || k >= NN_CLASS_WEIGHTS ? -1 : (int)k;
}

static bool take_weight(nn_check *c, const nn_value *v, double *to) {
    char got[64];
    bool number = v->kind == NN_V_INT || v->kind == NN_V_FLOAT;
    if (v->kind == NN_V_ERROR) return false;
    if (number && nn_class_weight_valid(v->f)) {
        *to = v->f;
        return true;
    }
    NN_ERROR(c, number ? "out-of-range" : "wrong-type", v->span,
             "the weight of a class must be a finite number of 0 or more, got %s",
             nn_check_show(v, got, sizeof got));
    return false;
}

/* {0: 1.0, 3: 2.5}: the classes between weigh 1. */
static bool take_weights_by_class(nn_check *c, const nn_value *v, nn_class_weight *to) {
    bool given[NN_CLASS_WEIGHTS] = {false}, good = true;
    for (const nn_arg *a = v->args; a; a = a->next) {
        int k = class_of(a->name);
        if (k < 0) {
            nn_diag *d = NN_ERROR(c, "wrong-type", a->name_span,
                                  "class_weight: '%.60s' is no class from 0 to %d", a->name,
                                  NN_CLASS_WEIGHTS - 1);
            nn_diag_hint(c->diags, d, "name classes by number: class_weight: {0: 1.0, 1: 2.5}");
            return false;
        }
        if (given[k])
            NN_ERROR(c, "duplicate-key", a->name_span, "class_weight: class %d is given twice", k);
        while (to->n <= k) to->of[to->n++] = 1;
        good = take_weight(c, a->value, &to->of[k]) && !given[k] && good;
        given[k] = true;
    }
    return good;
}

static bool take_weights_in_order(nn_check *c, const nn_value *v, nn_class_weight *to) {
    bool good = true;
    if (v->count > NN_CLASS_WEIGHTS) {
        NN_ERROR(c, "out-of-range", v->span, "class_weight: at most %d classes, got %d",
                 NN_CLASS_WEIGHTS, v->count);
        return false;
    }
    for (const nn_value *e = v->items; e; e = e->next)
        good = take_weight(c, e, &to->of[to->n++]) && good;
    return good;
}

static void use_class_weight(nn_check *c, nn_value *v, nn_train_spec *to) {
    nn_class_weight w = {0};
    const char *word = nn_check_word(v);
    bool good = true;
    char got[64];
    if (v->kind == NN_V_NONE || v->kind == NN_V_ERROR) return;
    if (word && strcmp(word, "balanced") == 0) {
        w.balanced = true;
    } else if (v->kind == NN_V_DICT && v->args) {
        good = take_weights_by_class(c, v, &w);
    } else if ((v->kind == NN_V_LIST || v->kind == NN_V_TUPLE) && v->items) {
        good = take_weights_in_order(c, v, &w);
    } else {
        good = false;
        NN_ERROR(c, "wrong-type", v->span,
                 "train class_weight must be \"balanced\", a list of numbers or {0: 1.0, 1: 2.5}, "
                 "got %s",
                 nn_check_show(v, got, sizeof got));
    }
    if (good) to->class_weight = w;
}

/* ---- callbacks ---- */

static void put_value(nn_buf *out, const nn_value *v);

static void put_args(nn_buf *out, const nn_arg *args, const char *equals) {
    for (const nn_arg *a = args; a; a = a->next) {
        if (a != args) nn_buf_puts(out, ", ");
        if (a->name) nn_buf_printf(out, "%s%s", a->name, equals);
        put_value(out, a->value);
    }
}

/* A value as a program would have it. */
static void put_value(nn_buf *out, const nn_value *v) {
    bool tuple = v->kind == NN_V_TUPLE;
    char text[64];
    if (tuple || v->kind == NN_V_LIST) {
        nn_buf_puts(out, tuple ? "(" : "[");
        for (const nn_value *e = v->items; e; e = e->next) {
            put_value(out, e);
            if (e->next) nn_buf_puts(out, ", ");
        }
        nn_buf_puts(out, tuple ? ")" : "]");
    } else if (v->kind == NN_V_DICT) {
        nn_buf_puts(out, "{");
        put_args(out, v->args, ": ");
        nn_buf_puts(out, "}");
    } else if (v->kind == NN_V_CALL) {
        nn_buf_printf(out, "%s(", v->call->name);
        put_args(out, v->call->args, "=");
        nn_buf_puts(out, ")");
    } else if (nn_check_word(v)) {
        nn_buf_printf(out, v->kind == NN_V_STRING ? "\"%s\"" : "%s", v->text);
    } else {
        nn_buf_puts(out, nn_check_show(v, text, sizeof text));
    }
}

static void use_callbacks(nn_check *c, nn_value *v, nn_train_spec *to) {
    NN_BUF text = {0};
    char got[64];
    bool listed = v->kind == NN_V_LIST || v->kind == NN_V_TUPLE;
    if (v->kind == NN_V_NONE || v->kind == NN_V_ERROR || (listed && !v->items)) return;
    if (!listed && v->kind != NN_V_DICT && v->kind != NN_V_CALL && !nn_check_word(v)) {
        NN_ERROR(c, "wrong-type", v->span,
                 "train callbacks must be a list of names or calls, got %s",
                 nn_check_show(v, got, sizeof got));
        return;
    }
    put_value(&text, v);
    if (text.n < sizeof to->callbacks)
        snprintf(to->callbacks, sizeof to->callbacks, "%s", nn_buf_str(&text));
    else
        NN_ERROR(c, "out-of-range", v->span, "callbacks are longer than %zu bytes",
                 sizeof to->callbacks - 1);
}

/* ---- the section ---- */

/* Entries whose value is of no one type. */
static void take_special(nn_check *c, const nn_arg *args, const char *name, nn_section_use *use) {
    const nn_arg *a = entry(args, name);
    if (!a) return;
    size_t mark = nn_check_push(c, name);
    nn_section_each(c, "train", a->value, use, &c->graph->train);
    nn_check_pop(c, mark);
}

static void take_learning_rate(nn_check *c, const nn_sections *s, const nn_bound *b,
                               const nn_optimizer *scheduled) {
    nn_optimizer *o = &c->graph->train.optimizer;
    const nn_arg *first = s->optimizer ? nn_section_rate(nn_section_arguments(s->optimizer)) : NULL;
    if (!b->set) return;
    if (first) {
        nn_diag *d = NN_ERROR(c, "duplicate-key", b->span, "the learning rate is given twice");
        nn_diag_note(c->diags, d, first->span, "first given to the optimizer");
        return;
    }
    bool schedule = scheduled->schedule.kind != NN_SCHEDULE_NONE;
    o->schedule = scheduled->schedule;
    o->learning_rate = schedule ? scheduled->learning_rate : b->f;
    nn_section_rate_advice(c, entry(s->train, "learning_rate"), o->learning_rate);
}

static void take_settings(nn_check *c, const nn_bound *b) {
    nn_train_spec *t = &c->graph->train;
    if (b[EPOCHS].set) t->epochs = b[EPOCHS].i;
    if (b[BATCH_SIZE].set) t->batch_size = b[BATCH_SIZE].i;
    if (b[VALIDATION_SPLIT].set) t->validation_split = b[VALIDATION_SPLIT].f;
    if (b[SHUFFLE].set) t->shuffle = b[SHUFFLE].b;
    if (b[SEED].set) t->seeded = true, t->seed = (uint64_t)b[SEED].i;
    if (b[STEPS_PER_EPOCH].set) t->steps_per_epoch = b[STEPS_PER_EPOCH].i;
    if (b[MIXED_PRECISION].set) t->mixed_precision = b[MIXED_PRECISION].b;
    take_text(c, "dataset", &b[DATASET], t->dataset, sizeof t->dataset);
    take_text(c, "save_path", &b[SAVE_PATH], t->save_path, sizeof t->save_path);
    take_text(c, "search_method", &b[SEARCH_METHOD], t->search_method, sizeof t->search_method);
}

/* The entries with learning_rate, the only one that may be a schedule, in first place. */
static nn_arg *without_schedule(nn_check *c, const nn_arg *args, nn_optimizer *to) {
    const nn_arg *rate = entry(args, "learning_rate");
    nn_arg *first = NULL, **tail = &first;
    for (const nn_arg *a = args; a; a = a->next) {
        nn_arg *copy = nn_check_alloc(c, sizeof *copy);
        if (!copy) return first;
        *copy = *a;
        copy->next = NULL;
        if (a == rate) copy = nn_section_schedule(c, copy, to);
        if (!copy) return first;
        *tail = copy;
        tail = &copy->next;
    }
    return first;
}

void nn_check_train(nn_check *c, const nn_sections *s) {
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_train_spec *t = &c->graph->train;
    nn_optimizer scheduled = nn_optimizer_default(t->optimizer.kind);
    t->has_training = s->has_train || s->train;
    choose_batch_size(c, s->train);
    size_t mark = nn_check_push(c, "training");
    nn_arg *args = without_schedule(c, s->train, &scheduled);
    c->keys = true;
    nn_check_bind_all(c, "train", s->train_span, train_params, args, b);
    take_special(c, s->train, "early_stopping", use_early_stopping);
    take_special(c, s->train, "class_weight", use_class_weight);
    c->keys = false;
    take_special(c, s->train, "callbacks", use_callbacks);
    nn_check_pop(c, mark);
    take_settings(c, b);
    take_learning_rate(c, s, &b[LEARNING_RATE], &scheduled);
    const nn_arg *stopping = entry(s->train, "early_stopping");
    if (stopping) advise_stopping(c, t, stopping->span);
}

/* ---- after the layers ---- */

/* Where an entry of train stands, in the section or, where that is allowed, on its own. */
static nn_span entry_span(const nn_network *n, const char *name) {
    nn_span span = n->span;
    for (const nn_section *x = n->sections; x; x = x->next) {
        const nn_arg *a = strcmp(x->word, "train") == 0 ? entry(x->config, name) : NULL;
        if (a || strcmp(x->word, name) == 0) span = a ? a->span : x->span;
    }
    return span;
}

void nn_check_search_method(nn_check *c) {
    if (!*c->graph->train.search_method || c->unit->space->n > 0) return;
    nn_diag *d =
        nn_diag_add(c->diags, NN_SEV_NOTE, "advice", entry_span(c->network, "search_method"),
                    "search_method has no effect: nothing in the network is searched");
    nn_diag_hint(c->diags, d, "HPO(choice(64, 128)) in place of a value makes something to search");
}

/* One score stands for the classes 0 and 1. */
static int64_t classes_of(const nn_graph *g) {
    const nn_shape *s = &g->nodes[g->outputs[0]].shape;
    int64_t last = s->rank > 0 ? s->dim[s->rank - 1] : -1;
    return last == 1 ? 2 : last;
}

void nn_check_class_weight(nn_check *c) {
    const nn_graph *g = c->graph;
    int n = g->train.class_weight.n;
    if (n == 0 || g->n_outputs != 1) return;
    int64_t classes = classes_of(g);
    if (classes < 1 || n <= classes) return;
    nn_diag *d = NN_ERROR(c, "out-of-range", entry_span(c->network, "class_weight"),
                          "class_weight weighs class %d, but '%s' has scores for the classes 0 to "
                          "%lld",
                          n - 1, g->nodes[g->outputs[0]].layer_name, (long long)classes - 1);
    nn_diag_hint(c->diags, d, "classes are counted from 0");
}

/* ---- execution ---- */

bool nn_check_device(nn_check *c, const nn_bound *b) {
    if (nn_device_valid(b->s)) return true;
    nn_diag *d = NN_ERROR(c, "bad-device", b->span, "unknown device '%.60s'", b->s);
    nn_diag_hint(c->diags, d, "devices are cpu, gpu, cuda, cuda:N, tpu, tpu:N, mps, auto");
    return false;
}

void nn_check_execution(nn_check *c, const nn_sections *s) {
    enum { DEVICE, PRECISION, STRATEGY };
    /* clang-format off */
    static const nn_param params[] = {
        {.name = "device", .type = NN_P_STRING, .help = "cpu, gpu, cuda:0 …"},
        {.name = "precision", .type = NN_P_ENUM, .words = "float32|float16|bfloat16|mixed",
         .help = "of the numbers"},
        {.name = "strategy", .type = NN_P_STRING, .help = "how several devices share the work"},
        {0},
    };
    /* clang-format on */
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_train_spec *t = &c->graph->train;
    size_t mark = nn_check_push(c, "execution");
    c->keys = true;
    nn_check_bind_all(c, "execution", s->execution_span, params, s->execution, b);
    c->keys = false;
    nn_check_pop(c, mark);
    if (b[DEVICE].set && nn_check_device(c, &b[DEVICE])) {
        snprintf(t->device, sizeof t->device, "%s", b[DEVICE].s);
        for (char *p = t->device; *p; p++)
            if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    }
    if (b[PRECISION].set) t->precision = (nn_precision)nn_precision_find(b[PRECISION].s);
    take_text(c, "strategy", &b[STRATEGY], t->strategy, sizeof t->strategy);
}
