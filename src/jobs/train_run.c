/* SPDX-License-Identifier: MIT */
/* From text or model to a trained model file. The network's own training section is the start; what
 * the caller gives replaces it. */
#include "jobs/train_run.h"

#include "base/hash.h"
#include "compile/model_data.h"
#include "compile/space.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_CAP = 1 << 30 };

/* The network. */

__attribute__((format(printf, 2, 3))) static void warn(const nn_train_job *job, const char *fmt,
                                                       ...) {
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (job->on_warning) job->on_warning(job->ctx, text);
}

/* The text that the model file keeps: with the chosen values in it, where they can be written. */
static char *kept_source(const nn_train_job *job, const nn_unit *u) {
    NN_BUF text = {0};
    nn_err err;
    char *copy;
    if (job->n_settings && nn_space_rewrite(u, job->settings, job->n_settings, &text, &err))
        warn(job, "the model file keeps the program with its search points: %s", err.msg);
    copy = strdup(text.n ? nn_buf_str(&text) : job->source);
    if (!copy) abort();
    return copy;
}

static nn_status model_from_source(const nn_train_job *job, nn_model **ret,
                                   nn_json **ret_diagnostics, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "compile", ARENA_CAP);
    nn_source src = {job->source_name ? job->source_name : "<input>", job->source,
                     strlen(job->source)};
    nn_diags *diags = nn_diags_new(a, &src);
    nn_compile_options opt = {.auto_flatten = job->auto_flatten,
                              .settings = job->settings,
                              .n_settings = job->n_settings};
    nn_unit *unit = NULL;
    nn_status s = nn_compile_source(a, &src, &opt, diags, &unit, err);
    *ret_diagnostics = nn_diags_json(diags);
    if (s == NN_OK) s = nn_unit_runnable(unit, err);
    if (s != NN_OK) return s;
    /* The model outlives the compile unit: it gets the graph in its serialised form. */
    NN_JSON *json = nn_graph_json(unit->graph);
    nn_graph *graph = NULL;
    s = nn_graph_read(json, NULL, &graph, err);
    if (s == NN_OK) s = nn_model_new(graph, ret, err);
    if (s == NN_OK) (*ret)->source = kept_source(job, unit);
    return s;
}

/* What is asked for over what the network says. */

static nn_status set_optimizer(nn_train_spec *t, const char *name, nn_err *err) {
    int k = nn_optimizer_find(name);
    if (k < 0)
        return nn_fail(err, NN_E_VALIDATION_ERROR, "optimizer: unknown optimizer '%.40s'", name);
    if ((nn_optimizer_kind)k != t->optimizer.kind || !t->has_optimizer)
        t->optimizer = nn_optimizer_default((nn_optimizer_kind)k);
    t->has_optimizer = true;
    return NN_OK;
}

static nn_status set_loss(nn_train_spec *t, const char *name, nn_err *err) {
    int k = nn_loss_find(name);
    if (k < 0) return nn_fail(err, NN_E_VALIDATION_ERROR, "loss: unknown loss '%.40s'", name);
    t->loss = (nn_loss_kind)k;
    t->has_loss = true;
    return NN_OK;
}

/* Hyperparameters that the engine knows; each row writes one number. Others are recorded, not used.
 */
static const struct knob {
    const char *name;
    size_t offset;
} knobs[] = {
    {"momentum",        offsetof(nn_optimizer, momentum)       },
    {"weight_decay",    offsetof(nn_optimizer, weight_decay)   },
    {"gradient_clip",   offsetof(nn_optimizer, global_clipnorm)},
    {"global_clipnorm", offsetof(nn_optimizer, global_clipnorm)},
    {"clipnorm",        offsetof(nn_optimizer, clipnorm)       },
    {"clipvalue",       offsetof(nn_optimizer, clipvalue)      },
    {"beta_1",          offsetof(nn_optimizer, beta_1)         },
    {"beta_2",          offsetof(nn_optimizer, beta_2)         },
    {"epsilon",         offsetof(nn_optimizer, epsilon)        },
};

typedef struct applying {
    nn_train_spec *train;
    const nn_train_job *job;
    nn_err *err;
    nn_status status;
} applying;

static bool apply_one(void *ctx, const char *name, nn_json *v) {
    applying *a = ctx;
    nn_json_type type = nn_json_typeof(v);
    bool number = type == NN_JSON_INT || type == NN_JSON_REAL;
    if (!strcmp(name, "seed")) {
        if (type != NN_JSON_INT || nn_json_int(v, -1) < 0)
            a->status = nn_fail(a->err, NN_E_VALIDATION_ERROR,
                                "hyperparameters.seed: must be an integer that is not negative");
        a->train->seed = (uint64_t)nn_json_int(v, 0);
        a->train->seeded = true;
        return a->status == NN_OK;
    }
    if (!strcmp(name, "nesterov")) {
        a->train->optimizer.nesterov = nn_json_bool(v, false);
        return true;
    }
    for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++) {
        if (strcmp(knobs[i].name, name)) continue;
        if (!number || nn_json_num(v, -1) < 0)
            a->status = nn_fail(a->err, NN_E_VALIDATION_ERROR,
                                "hyperparameters.%s: must be a number that is not negative", name);
        else
            *(double *)((char *)&a->train->optimizer + knobs[i].offset) = nn_json_num(v, 0);
        return a->status == NN_OK;
    }
    warn(a->job, "hyperparameter '%.80s' is recorded but not used", name);
    return true;
}

static nn_status apply(const nn_train_job *job, nn_train_spec *t, nn_err *err) {
    nn_status s = NN_OK;
    if (job->optimizer) s = set_optimizer(t, job->optimizer, err);
    if (s == NN_OK && job->loss) s = set_loss(t, job->loss, err);
    if (s != NN_OK) return s;
    if (job->epochs > 0) t->epochs = job->epochs;
    if (job->batch_size > 0) t->batch_size = job->batch_size;
    if (job->learning_rate > 0) { /* one rate for all of the training */
        t->optimizer.learning_rate = job->learning_rate;
        t->optimizer.schedule = (nn_schedule){0};
    }
    if (job->validation_split >= 0)
        t->validation_split = job->validation_split;
    else if (!t->has_training)
        t->validation_split = job->default_validation_split;
    const char *dataset = job->dataset ? job->dataset : *t->dataset ? NULL : job->default_dataset;
    if (dataset) snprintf(t->dataset, sizeof t->dataset, "%s", dataset);
    applying a = {t, job, err, NN_OK};
    nn_json_each(job->hyperparameters, apply_one, &a);
    return a.status;
}

/* Training. */

typedef struct data {
    nn_dataset *train, *test;
} data;

static void data_done(data *d) {
    nn_dataset_free(d->train);
    nn_dataset_free(d->test);
}

static nn_status open_data(const nn_train_job *job, const nn_train_spec *t, data *d, nn_err *err) {
    const char *spec =
        job->dataset ? job->dataset : t->dataset; /* a path may be longer than t->dataset */
    if (!*spec) {
        nn_status s = nn_fail(err, NN_E_VALIDATION_ERROR,
                              "no data set: neither the network nor the call names one");
        return nn_err_hint(
            err, s, "give one with --data (or `dataset`), for example fashion-mnist or synthetic");
    }
    nn_status s = nn_dataset_open(spec, NN_SPLIT_TRAIN, &d->train, err);
    if (s != NN_OK) return s;
    /* A set without a test part is trained all the same, only not evaluated at the end. */
    s = nn_dataset_open(spec, NN_SPLIT_TEST, &d->test, err);
    return s == NN_E_NOT_FOUND ? NN_OK : s;
}

static uint64_t seed_of(const nn_train_spec *t) {
    uint64_t seed = t->seed;
    if (!t->seeded) nn_random(&seed, sizeof seed);
    return seed & INT64_MAX; /* so that it survives JSON */
}

static nn_status choose_engine(const nn_train_job *job, const nn_graph *g, const nn_engine **ret,
                               nn_err *err) {
    nn_engine_choice choice;
    nn_status s = nn_engine_choose(job->engine, g, true, &choice, err);
    if (s) return s;
    if (*choice.warning) warn(job, "%s", choice.warning);
    *ret = choice.engine;
    return NN_OK;
}

/* A resumed training goes on with the seed of its checkpoint; the model's summary says which one it
 * was. */
static uint64_t seed_used(const nn_model *m, uint64_t otherwise) {
    const char *text = nn_json_str(nn_json_get(m->summary, "seed"), NULL);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* The checkpoint says how many threads computed it, because the sums depend on it: "all" is
 * therefore counted here. A resumed training takes the number of its checkpoint. */
static int threads_of(const nn_train_job *job, bool resume) {
    cpu_set_t cpus;
    if (job->threads > 0 || resume) return job->threads;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

static bool can_resume(const nn_train_job *job) {
    if (!job->resume || !job->checkpoint) return false;
    if (access(job->checkpoint, F_OK) == 0) return true;
    warn(job, "there is no checkpoint '%s': training from the start", job->checkpoint);
    return false;
}

static nn_status fit(const nn_train_job *job, nn_model *m, bool has_weights, data *d,
                     nn_train_outcome *out, nn_err *err) {
    bool resume = can_resume(job);
    nn_train_options o = {.train = d->train,
                          .best = job->best,
                          .test = d->test,
                          .threads = threads_of(job, resume),
                          .checkpoint = job->checkpoint,
                          .resume = resume,
                          .stop = job->stop,
                          .on_event = job->on_event,
                          .ctx = job->ctx};
    nn_status s = choose_engine(job, m->graph, &o.engine, err);
    o.seed = seed_of(&m->graph->train);
    if (s == NN_OK) s = nn_train(m, has_weights, &o, &out->result, err);
    if (s != NN_OK) return s;
    out->seed = seed_used(m, o.seed);
    out->engine = o.engine->name;
    return s;
}

static nn_status begin(const nn_train_job *job, nn_model **ret, bool *ret_weights,
                       nn_json **ret_diagnostics, nn_err *err) {
    *ret_weights = job->model_path && !job->source;
    if (job->source) return model_from_source(job, ret, ret_diagnostics, err);
    if (job->model_path) return nn_model_load(job->model_path, ret, err);
    return nn_fail(err, NN_E_INVALID_REQUEST, "a training needs a network: text or a model");
}

nn_status nn_train_run(const nn_train_job *job, nn_train_outcome *ret, nn_err *err) {
    nn_train_outcome out = {0};
    __attribute__((cleanup(data_done))) data d = {0};
    bool has_weights;
    nn_status s = begin(job, &out.model, &has_weights, &ret->diagnostics, err);
    if (s == NN_OK) s = apply(job, &out.model->graph->train, err);
    if (s == NN_OK) s = open_data(job, &out.model->graph->train, &d, err);
    if (s == NN_OK) s = fit(job, out.model, has_weights, &d, &out, err);
    if (s == NN_OK && job->output) s = nn_model_save(out.model, job->output, err);
    if (s != NN_OK) {
        nn_model_free(out.model);
        return s;
    }
    snprintf(out.data_name, sizeof out.data_name, "%s", d.train->name);
    snprintf(out.data_sha256, sizeof out.data_sha256, "%s", d.train->sha256);
    out.data_rows = d.train->rows;
    out.diagnostics = ret->diagnostics;
    *ret = out;
    return NN_OK;
}

void nn_train_outcome_done(nn_train_outcome *o) {
    nn_model_free(o->model);
    nn_json_unref(o->diagnostics);
    *o = (nn_train_outcome){0};
}
