/* SPDX-License-Identifier: MIT */
/* train: text or model to a trained model, with its experiment (rest-api.md 12.3). Runs in a child;
 * its folder holds the checkpoint from which another attempt goes on. */
#include "base/clock.h"
#include "base/file.h"
#include "codegen/backend.h"
#include "engine/summary.h"
#include "jobs/jobs_impl.h"
#include "jobs/metric_log.h"
#include "jobs/train_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const nn_member config_members[] = {
    {"epochs",                                                         NN_INTEGER, .min = 1, .max = 1000000,
     .help = "passes over the data (default: the network's, else 10)"},
    {"batch_size",                                                        NN_INTEGER, .min = 1, .max = 1 << 20,
     .help = "rows a step (default: the network's, else 32)"},
    {"learning_rate", NN_NUMBER, .min = 0, .max = 1e6, .above_min = true,
     .help = "step size (default: the network's, else 0.001)"},
    {"validation_split",                                                     NN_NUMBER, .min = 0, .max = 1, .below_max = true,
     .help = "share of rows held back (default: the network's, else 0.2)"},
    {"optimizer",                                                        NN_STRING, .min = 1, .max = 64,
     .help = "adam, adamw or sgd (default: the network's, else adam)"},
    {"loss",          NN_STRING, .min = 1, .max = 64,
     .help = "a loss by name (default: the network's, else by the output)"},
    {"metrics",                                                  NN_ARRAY, .items = NN_STRING, .max = 32,
     .help = "what to measure (default accuracy)"},
    {0                                                       }
};
static const nn_schema training_config = {"TrainingConfig", config_members, .help = "how to train"};
static const nn_member members[] = {
    {"dsl_code",                                                             NN_STRING, .nullable = true, .min = 1, .max = 1 << 20,
     .help = "the network; or model_id"},
    {"model_id",                                                      NN_STRING, .nullable = true, .min = 1, .max = 512,
     .help = "a model to go on from: id, name or name@version; or dsl_code"},
    {"backend",                                                        NN_STRING, .one_of = "tensorflow pytorch onnx c",
     .help = "whose defaults and code (default tensorflow)"},
    {"dataset",                                                                      NN_STRING, .min = 1, .max = 4096,
     .help = "data set by name (default: the network's, else MNIST)"},
    {"training_config",        NN_OBJECT, .of = &training_config, .help = "how to train"},
    {"experiment_name",                                                              NN_STRING, .nullable = true, .min = 1, .max = 255,
     .help = "name of its record (default experiment_<UTC stamp>)"},
    {"hyperparameters", NN_OBJECT,
     .help = "recorded; seed, momentum, weight_decay, gradient_clip and the like are applied"},
    {"engine",                                                              NN_STRING, .min = 1, .max = 32,
     .help = "what trains: native or reference (default native)"},
    {"auto_flatten_output",                                 NN_BOOLEAN,
     .help = "insert Flatten before Dense or Output where the rank asks for it"},
    NN_MEMBER_REQUEST,
    {0                                                                     }
};
const nn_schema nn_request_train = {"TrainRequest", members, .help = "a training to run"};

static const char *text_at(const nn_json *request, const char *key, const char *otherwise) {
    return nn_json_str(nn_json_get(request, key), otherwise);
}

/* Checking. */

static void check_names(const nn_json *request, nn_json *problems) {
    const nn_json *config = nn_json_get(request, "training_config");
    const char *optimizer = text_at(config, "optimizer", NULL),
               *loss = text_at(config, "loss", NULL);
    const char *dataset = text_at(request, "dataset", NULL),
               *engine = text_at(request, "engine", NULL);
    NN_BUF names = {0};
    if (optimizer && *optimizer && nn_optimizer_find(optimizer) < 0)
        nn_schema_violation(problems, "body", "training_config.optimizer", "unknown_value",
                            "unknown optimizer '%.40s'", optimizer);
    if (loss && *loss && nn_loss_find(loss) < 0)
        nn_schema_violation(problems, "body", "training_config.loss", "unknown_value",
                            "unknown loss '%.40s'", loss);
    if (dataset && *dataset && !nn_dataset_is_known(dataset, &names))
        nn_schema_violation(problems, "body", "dataset", "unknown_value",
                            "unknown data set '%.80s'; known are %s", dataset, nn_buf_str(&names));
    if (engine && *engine && !nn_engine_find(engine))
        nn_schema_violation(problems, "body", "engine", "unknown_value", "unknown engine '%.40s'",
                            engine);
}

static nn_status check(nn_jobs *j, const nn_json *request, nn_json *problems, nn_json *warnings,
                       nn_err *err) {
    (void)j;
    bool source = text_at(request, "dsl_code", NULL), model = text_at(request, "model_id", NULL);
    if (!nn_json_size(problems) && !source && !model)
        return nn_fail(err, NN_E_INVALID_REQUEST, "Either dsl_code or model_id must be provided");
    if (source && model)
        nn_schema_violation(problems, "body", "model_id", "conflict",
                            "give dsl_code or model_id, not both");
    check_names(request, problems);
    const char *backend = text_at(request, "backend", "tensorflow");
    if (nn_json_size(problems)) return NN_OK;
    if (!strcmp(backend, "tensorflow")) {
        nn_json_push(
            warnings,
            nn_json_new_str(
                "backend 'tensorflow': trained by the engine 'native' with Keras's defaults"));
        return NN_OK;
    }
    nn_status s =
        nn_fail(err, NN_E_UNSUPPORTED, "backend: this program cannot train for '%s'", backend);
    return nn_err_hint(
        err, s,
        "leave backend out or say tensorflow: the engine 'native' trains it; code for others: POST /compile/");
}

static nn_status describe(nn_jobs *j, const nn_json *request, nn_operation *op, nn_json *warnings,
                          nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "train", 0);
    const char *ref = text_at(request, "model_id", NULL),
               *name = text_at(request, "experiment_name", NULL);
    char made[64];
    (void)warnings;
    if (ref) {
        nn_row model;
        nn_status s = nn_registry_find(nn_jobs_track(j), ref, true, a, &model, err);
        if (s != NN_OK) return s;
        op->model_id = strdup(nn_row_text(model, "id"));
        op->model_name = strdup(nn_row_text(model, "name"));
        if (!op->model_id || !op->model_name) abort();
    }
    op->backend = strdup(text_at(request, "backend", "tensorflow"));
    op->engine = strdup(text_at(request, "engine", "native"));
    if (!op->backend || !op->engine) abort();
    if (!name) name = nn_experiment_default_name(op->created_at, made, sizeof made);
    if (!op->name && !(op->name = strdup(name))) abort();
    return NN_OK;
}

static bool copy_member(void *ctx, const char *key, nn_json *v) {
    nn_json_set(ctx, key, nn_json_copy(v));
    return true;
}

static nn_status create(nn_txn *t, const nn_operation *op, nn_err *err) {
    NN_JSON *hyper = nn_json_new_object();
    nn_json_each(nn_json_get(op->request, "training_config"), copy_member, hyper);
    nn_json_each(nn_json_get(op->request, "hyperparameters"), copy_member, hyper);
    nn_experiment_spec spec = {.id = op->id,
                               .name = text_at(op->request, "experiment_name", NULL),
                               .operation_id = op->id,
                               .hyperparameters = hyper,
                               .now = op->created_at};
    return nn_experiment_create(t, &spec, err);
}

/* Running. */

typedef struct training {
    const nn_run *run;
    nn_metric_log *log;
    nn_err log_err; /* the first metric that could not be kept */
} training;

static void tell(void *ctx, const char *name, int64_t step, double value, int64_t ts_ms) {
    const nn_run *r = ((training *)ctx)->run;
    if (r->report.metric) r->report.metric(r->report.ctx, name, step, value, ts_ms);
}

static void metric(training *t, const char *name, int64_t step, double value) {
    if (!isnan(value) && t->log_err.code == NN_OK)
        t->log_err.code = nn_metric_log_add(t->log, name, step, value, &t->log_err);
}

typedef struct epoch_metrics {
    training *t;
    int64_t epoch;
} epoch_metrics;

static void other_metric(void *ctx, const char *name, double value) {
    epoch_metrics *m = ctx;
    metric(m->t, name, m->epoch, value);
}

static void on_epoch(training *t, const nn_train_event *e) {
    const nn_run *r = t->run;
    char text[200];
    metric(t, "loss", e->epoch, e->loss);
    metric(t, "accuracy", e->epoch, e->accuracy);
    metric(t, "val_loss", e->epoch, e->val_loss);
    metric(t, "val_accuracy", e->epoch, e->val_accuracy);
    epoch_metrics others = {t, e->epoch};
    nn_metric_values_each(&e->metrics, "", other_metric, &others);
    nn_metric_values_each(&e->val_metrics, "val_", other_metric, &others);
    int n = snprintf(text, sizeof text, "epoch %lld/%lld: loss %.4f", (long long)e->epoch,
                     (long long)e->epochs, e->loss);
    if (!isnan(e->accuracy))
        n += snprintf(text + n, sizeof text - (size_t)n, ", accuracy %.4f", e->accuracy);
    if (!isnan(e->val_loss))
        n += snprintf(text + n, sizeof text - (size_t)n, ", val_loss %.4f", e->val_loss);
    if (!isnan(e->val_accuracy))
        snprintf(text + n, sizeof text - (size_t)n, ", val_accuracy %.4f", e->val_accuracy);
    if (r->report.log) r->report.log(r->report.ctx, text);
}

/* In the log, and among the operation's warnings: it does not stop the training. */
static void on_symptom(const nn_run *r, const nn_symptom *f) {
    char text[640], line[32] = "";
    if (f->line) snprintf(line, sizeof line, " (line %d)", f->line);
    snprintf(text, sizeof text, "%s: %s%s: %s", nn_train_health_name(f->rule), f->text, line,
             nn_train_health_advice(f->rule));
    if (r->report.log) r->report.log(r->report.ctx, text);
    if (r->report.warning) r->report.warning(r->report.ctx, text);
}

static void on_event(void *ctx, const nn_train_event *e) {
    training *t = ctx;
    const nn_run *r = t->run;
    if (e->type == NN_TRAIN_HEALTH) {
        on_symptom(r, e->symptom);
        return;
    }
    if (e->type == NN_TRAIN_STARTED && r->resume && e->done > 0 && r->report.resumed)
        r->report.resumed(r->report.ctx, e->epoch - 1);
    if (e->type == NN_TRAIN_EPOCH) on_epoch(t, e);
    if (e->type == NN_TRAIN_CHECKPOINT || !r->report.progress || e->total <= 0) return;
    char step[64];
    snprintf(step, sizeof step, "epoch %lld/%lld", (long long)e->epoch, (long long)e->epochs);
    nn_operation_progress p = {.fraction = (double)e->done / (double)e->total,
                               .step = step,
                               .unit = "batches",
                               .step_index = e->epoch - 1,
                               .step_count = e->epochs,
                               .done = e->done,
                               .total = e->total,
                               .rate = e->rate > 0 ? e->rate : NAN,
                               .eta_s = e->eta_s};
    r->report.progress(r->report.ctx, &p);
}

static void on_warning(void *ctx, const char *text) {
    const nn_run *r = ((training *)ctx)->run;
    if (r->report.warning) r->report.warning(r->report.ctx, text);
}

static int count_layers(const nn_graph *g) {
    int last = -1;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].layer_index > last) last = g->nodes[i].layer_index;
    return last + 1;
}

static nn_json *inputs_of(const nn_train_outcome *o) {
    nn_json *list = nn_json_new_array(), *set = nn_json_new_object();
    nn_json_set(set, "name", nn_json_new_str(o->data_name));
    nn_json_set(set, "digest", nn_json_new_str(o->data_sha256));
    nn_json_set(set, "source_type", nn_json_new_str("local"));
    nn_json_set(set, "context", nn_json_new_str("training"));
    nn_json_push(list, set);
    return list;
}

static nn_status write_summary(const nn_run *r, const nn_model *m, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "summary", 0);
    NN_BUF text = {0};
    nn_json_dump(m->summary, 2, &text);
    nn_buf_putc(&text, '\n');
    nn_status s = nn_file_write(nn_arena_printf(a, "%s/summary.json", r->folder), nn_buf_str(&text),
                                text.n, err);
    if (s == NN_OK && r->report.artifact)
        r->report.artifact(r->report.ctx, "summary.json", "summary.json", "report");
    return s;
}

static nn_json *result_of(const nn_run *r, const nn_train_outcome *o) {
    char path[128];
    nn_json *v = nn_json_new_object(), *provenance = nn_json_new_object();
    snprintf(path, sizeof path, "/experiments/%s/artifacts/summary.json", r->id);
    nn_json_set(v, "status", nn_json_new_str("completed"));
    nn_json_set(v, "experiment_id", nn_json_new_str(r->id));
    nn_json_set(v, "summary_path", nn_json_new_str(path));
    nn_json_set(v, "final_metrics", nn_train_metrics_json(&o->result));
    nn_json_set(v, "engine", nn_json_new_str(o->engine));
    nn_json_set(v, "seconds", nn_json_new_num(o->result.seconds));
    nn_json_set(v, "samples_per_s", nn_json_new_num(o->result.samples_per_s));
    nn_json_set(v, "network", nn_registry_network(o->model->graph, count_layers(o->model->graph)));
    nn_json_set(v, "inputs", inputs_of(o));
    nn_json_set(provenance, "seed", nn_json_new_int((int64_t)o->seed));
    nn_json_set(provenance, "data_sha256", nn_json_new_str(o->data_sha256));
    nn_json_set(provenance, "model_sha256", nn_json_new_str(o->model->sha256));
    nn_json_set(provenance, "build", nn_json_new_str(NN_VERSION));
    nn_json_set(v, "provenance", provenance);
    return v;
}

static nn_train_job job_of(const nn_run *r, training *t, nn_arena *a) {
    const nn_json *config = nn_json_get(r->request, "training_config");
    const char *source = text_at(r->request, "dsl_code", NULL);
    bool weights = !source && r->model_path;
    return (nn_train_job){
        .source_name = "<dsl_code>",
        .source = source    ? source
                  : weights ? NULL
                            : r->model_source,
        .model_path = weights ? r->model_path : NULL,
        .dataset = text_at(r->request, "dataset", NULL),
        .engine = text_at(r->request, "engine", NULL),
        .epochs = nn_json_int(nn_json_get(config, "epochs"), 0),
        .batch_size = nn_json_int(nn_json_get(config, "batch_size"), 0),
        .learning_rate = nn_json_num(nn_json_get(config, "learning_rate"), 0),
        .validation_split = nn_json_num(nn_json_get(config, "validation_split"), -1),
        .optimizer = text_at(config, "optimizer", NULL),
        .loss = text_at(config, "loss", NULL),
        .hyperparameters = nn_json_get(r->request, "hyperparameters"),
        .default_dataset = "mnist",
        .default_validation_split = 0.2,
        .auto_flatten = nn_json_bool(nn_json_get(r->request, "auto_flatten_output"), false),
        .threads = r->threads,
        .checkpoint = nn_arena_printf(a, "%s/checkpoint.safetensors", r->folder),
        .resume = r->resume,
        .output = nn_arena_printf(a, "%s/model.safetensors", r->folder),
        .stop = r->stop,
        .on_event = on_event,
        .on_warning = on_warning,
        .ctx = t};
}

static nn_status run(const nn_run *r, nn_json **ret_result, nn_json **ret_details, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "train", 0);
    training t = {.run = r};
    nn_train_job job = job_of(r, &t, a);
    nn_train_outcome o = {0};
    nn_status s = nn_metric_log_open(r->folder, tell, &t, &t.log, err);
    if (s == NN_OK) s = nn_train_run(&job, &o, err);
    nn_run_warnings(o.diagnostics, r->report.warning, r->report.ctx);
    if (s == NN_OK) s = write_summary(r, o.model, err);
    if (s == NN_OK && r->report.artifact)
        r->report.artifact(r->report.ctx, "model.safetensors", "model.safetensors", "model");
    if (s == NN_OK) {
        metric(&t, "test_loss", o.result.epochs, o.result.test_loss);
        metric(&t, "test_accuracy", o.result.epochs, o.result.test_accuracy);
        if (t.log_err.code != NN_OK) {
            s = t.log_err.code;
            if (err) *err = t.log_err;
        }
    }
    if (s == NN_OK) {
        *ret_result = result_of(r, &o);
    } else if (o.diagnostics) {
        *ret_details = nn_json_new_object();
        nn_json_set(*ret_details, "diagnostics", nn_json_ref(o.diagnostics));
    }
    nn_train_outcome_done(&o);
    nn_metric_log_close(t.log);
    return s;
}

/* Finishing. */

static const nn_json *artifact_of(const nn_json *list, const char *name) {
    for (size_t i = 0; i < nn_json_size(list); i++)
        if (!strcmp(text_at(nn_json_at(list, i), "name", ""), name)) return nn_json_at(list, i);
    return NULL;
}

/* The program text: the request's, or that of the model from which the training began. */
static const char *source_of(nn_txn *t, const nn_operation *op, nn_arena *a) {
    nn_row model;
    const char *text = text_at(op->request, "dsl_code", NULL);
    if (text || !op->model_id ||
        nn_txn_get(t, NN_TABLE_MODELS, op->model_id, a, &model, NULL) != NN_OK)
        return text;
    return nn_row_text(model, "source");
}

static nn_status register_model(nn_txn *t, nn_finish *f, nn_arena *a, char ret_id[37],
                                nn_err *err) {
    const nn_json *file = artifact_of(f->artifacts, "model.safetensors");
    char name[300];
    if (!file) return nn_fail(err, NN_E_INTERNAL, "the training left no model");
    const char *network = text_at(nn_json_get(f->result, "network"), "network_name", "model");
    snprintf(name, sizeof name, "%.255s.safetensors", *network ? network : "model");
    nn_registry_file weights = {.name = name,
                                .kind = "weights",
                                .media_type = "application/octet-stream",
                                .sha256 = text_at(file, "sha256", ""),
                                .size = nn_json_int(nn_json_get(file, "size"), 0)};
    nn_registry_spec spec = {.name = f->op->model_name,
                             .backend = f->op->backend,
                             .network = nn_json_get(f->result, "network"),
                             .source = source_of(t, f->op, a),
                             .experiment_id = f->op->id,
                             .operation_id = f->op->id,
                             .files = &weights,
                             .n_files = 1,
                             .has_weights = true,
                             .now = f->now};
    return nn_registry_add(t, &spec, ret_id, NULL, err);
}

static nn_status finish(nn_txn *t, nn_finish *f, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "train", 0);
    char model[37];
    nn_row experiment;
    nn_status s = register_model(t, f, a, model, err);
    if (s == NN_OK) s = nn_experiment_set_model(t, f->op->id, model, f->now, err);
    if (s == NN_OK)
        s = nn_experiment_set_inputs(t, f->op->id, nn_json_get(f->result, "inputs"),
                                     nn_json_get(f->result, "provenance"), f->now, err);
    if (s == NN_OK) s = nn_txn_get(t, NN_TABLE_EXPERIMENTS, f->op->id, a, &experiment, err);
    if (s != NN_OK) return s;
    nn_json_del(f->result, "network");
    nn_json_del(f->result, "inputs");
    nn_json_del(f->result, "provenance");
    nn_json_set(f->result, "model_id", nn_json_new_str(model));
    nn_json_set(f->result, "experiment_name", nn_json_new_str(nn_row_text(experiment, "name")));
    return NN_OK;
}

const nn_kind nn_kind_train = {
    .name = "train",
    .summary = "text or model to a trained model",
    .request = &nn_request_train,
    .child = true,
    .has_experiment = true,
    .resumable = true,
    .check = check,
    .describe = describe,
    .create = create,
    .run = run,
    .finish = finish,
};
