/* SPDX-License-Identifier: MIT */
/* jobs.c - /jobs: trainings, and any operation in their words (rest-api.md 12.3). */
#include "api/views.h"
#include "jobs/supervisor.h"

static const nn_member config_members[] = {
    {"epochs",                                                         NN_INTEGER, .min = 1, .max = 1000000,
     .help = "passes over the data (default: the network's, else 10)"},
    {"batch_size",                                                        NN_INTEGER, .min = 1, .max = 1 << 20,
     .help = "rows a step (default: the network's, else 32)"},
    {"learning_rate", NN_NUMBER, .help = "above 0 (default: the network's, else 0.001)"},
    {"validation_split",                                                     NN_NUMBER,
     .help = "share held back, 0 <= x < 1 (default: the network's, else 0.2)"},
    {"optimizer",                                                        NN_STRING, .max = 64,
     .help = "adam, adamw or sgd (default: the network's, else adam)"},
    {"loss",          NN_STRING, .max = 64,
     .help = "a loss by name (default: the network's, else by the output)"},
    {"metrics",                                                  NN_ARRAY, .items = NN_STRING, .max = 32,
     .help = "what to measure (default accuracy)"},
    {0         }
};
static const nn_schema config = {"TrainingConfig", config_members, .help = "how to train"};

static const nn_member train_members[] = {
    {"dsl_code",                                                 NN_STRING, .nullable = true, .min = 1, .max = 1 << 20,
     .help = "the network; or model_id"},
    {"model_id",                                          NN_STRING, .nullable = true, .min = 1, .max = 512,
     .help = "a model by id, name or name@version; or dsl_code"},
    {"backend",                                            NN_STRING, .help = "whose defaults and code (default tensorflow)"},
    {"dataset",                                                          NN_STRING, .max = 4096, .help = "a data set by name or path (default MNIST)"},
    {"training_config",        NN_OBJECT, .of = &config, .help = "how to train"},
    {"experiment_name",                                                  NN_STRING, .nullable = true, .min = 1, .max = 255,
     .help = "default experiment_<UTC stamp>"},
    {"hyperparameters", NN_OBJECT,
     .help = "recorded; seed, momentum, weight_decay, gradient_clip and the like are applied"},
    {"engine",                                                  NN_STRING, .one_of = "native reference", .help = "what trains (default native)"},
    {"labels",    NN_MAP, .items = NN_STRING, .max = 64, .help = "for finding it again"},
    {"queue_priority",                                                  NN_STRING, .one_of = "critical high normal low",
     .help = "level in the queue"},
    {"timeout_s",                                               NN_NUMBER, .min = 0, .max = 1e9, .help = "most seconds that it may run"},
    {0                                                         }
};
static const nn_schema train_request = {"TrainRequest", train_members, .help = "a training to run"};

static const nn_member answer_members[] = {
    {"job_id",                              NN_STRING, .required = true, .format = "uuid", .help = "the operation's id"},
    {"experiment_id",                     NN_STRING, .required = true, .format = "uuid",
     .help = "the record of this training"},
    {"status",         NN_STRING, .required = true, .one_of = "pending running completed failed cancelled",
     .help = "its state in the words of this path"},
    {"message",                       NN_STRING, .required = true, .help = "a sentence"},
    {"engine",                     NN_STRING, .required = true, .nullable = true, .help = "what trains"},
    {"warnings", NN_ARRAY, .required = true, .items = NN_STRING, .help = "what was odd"},
    {"created_at",                              NN_STRING, .required = true, .format = "date-time",
     .help = "when it was accepted"},
    NN_MEMBER_OPERATION,
    {0                    }
};
static const nn_schema train_answer = {"TrainAnswer", answer_members,
                                       .help = "a training that was accepted"};

static nn_status post_train(nn_request *q, nn_err *err) {
    bool text = nn_json_typeof(nn_json_get(q->body, "dsl_code")) == NN_JSON_STRING;
    bool model = nn_json_typeof(nn_json_get(q->body, "model_id")) == NN_JSON_STRING;
    if (!text && !model)
        return nn_fail(err, NN_E_INVALID_REQUEST, "Either dsl_code or model_id must be provided");
    if (text && model) {
        nn_schema_violation(q->errors, "body", "model_id", "conflict",
                            "model_id and dsl_code are both given; give one of them");
        return nn_reply_invalid(q, err);
    }
    nn_operation_spec spec = {.kind = NN_KIND_TRAIN,
                              .name = nn_json_str(nn_json_get(q->body, "experiment_name"), NULL)};
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = nn_view_create(q, &spec, false, &op, err);
    if (s) return s;
    nn_supervisor_wake(q->app->supervisor);
    return nn_reply_json(q, 202, nn_view_train(op, q->warnings), err);
}

/* The latest value of each metric of a training; NULL if there is none. */
static nn_json *latest_metrics(nn_request *q, const nn_operation *op) {
    NN_JSON *e = NULL;
    if (op->kind != NN_KIND_TRAIN ||
        nn_experiment_json(q->app->track, op->id, false, &e, NULL) != NN_OK)
        return NULL;
    const nn_json *latest = nn_json_get(nn_json_get(e, "metrics"), "latest");
    return latest ? nn_json_copy(latest) : NULL;
}

static nn_status get_job(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    const char *id = nn_request_param(q, "job_id");
    nn_status s = nn_operation_get(q->app->jobs, id, &op, err);
    if (s == NN_E_NOT_FOUND) return nn_fail(err, s, "Job %s not found", id);
    return s ? s : nn_reply_json(q, 200, nn_view_job(op, latest_metrics(q, op)), err);
}

static nn_status delete_job(nn_request *q, nn_err *err) {
    const char *id = nn_request_param(q, "job_id");
    nn_status s = nn_operation_cancel(q->app->jobs, id, q->who->name, NULL, err);
    if (s == NN_E_NOT_FOUND) return nn_fail(err, s, "Job %s not found", id);
    if (s) return s;
    nn_supervisor_wake(q->app->supervisor);
    return nn_reply_empty(q, 204);
}

static nn_status list_jobs(nn_request *q, nn_err *err) {
    const char *status = nn_request_query(q, "status", NULL),
               *kind = nn_request_query(q, "kind", NULL);
    nn_operation_filter f = {.kind = kind,
                             .limit = nn_request_query_int(q, "limit", 100),
                             .offset = nn_request_query_int(q, "skip", 0)};
    if (status && !(f.states = nn_state_set(status, NN_WORDS_JOBS))) {
        nn_schema_violation(
            q->errors, "query", "status", "unknown_value",
            "'%.60s' is not a status; use pending, running, completed, failed or cancelled",
            status);
        return nn_reply_invalid(q, err);
    }
    if (kind && nn_kind_id_find(kind) < 0) {
        nn_schema_violation(q->errors, "query", "kind", "unknown_value",
                            "'%.60s' is not a kind; use compile, train or deploy", kind);
        return nn_reply_invalid(q, err);
    }
    nn_operation_page page = {0};
    nn_status s = nn_operation_list(q->app->jobs, &f, &page, err);
    if (s) return s;
    nn_json *o = nn_json_new_object(), *jobs = nn_json_new_array();
    for (int i = 0; i < page.n; i++) nn_json_push(jobs, nn_view_job(page.items[i], NULL));
    nn_json_set(o, "jobs", jobs);
    nn_json_set(o, "total", nn_json_new_int(page.total));
    nn_json_set(o, "skip", nn_json_new_int(f.offset));
    nn_json_set(o, "limit", nn_json_new_int(f.limit));
    nn_operation_page_done(&page);
    return nn_reply_json(q, 200, o, err);
}

static const nn_member list_query_members[] = {
    NN_MEMBER_SKIP_LIMIT,
    {"status",   NN_STRING, .max = 32,
      .help = "only these: pending running completed failed cancelled, or a canonical state"},
    {"kind", NN_STRING, .max = 32, .help = "only these: compile train deploy"},
    {0         }
};
static const nn_schema list_query = {"JobListQuery", list_query_members, .help = "which jobs"};
static const nn_member list_members[] = {
    {"jobs",            NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &nn_schema_job,
     .help = "newest first"},
    NN_MEMBER_PAGE,
    {0}
};
static const nn_schema list_answer = {"JobList", list_members, .help = "a page of jobs"};

static const nn_status train_errors[] = {NN_E_INVALID_REQUEST, NN_E_MODEL_NOT_FOUND,
                                         NN_E_UNSUPPORTED, NN_E_QUEUE_FULL, 0};
static const nn_status job_errors[] = {NN_E_NOT_FOUND, 0};
static const nn_status delete_errors[] = {NN_E_NOT_FOUND, NN_E_NOT_CANCELLABLE, 0};

const nn_route nn_routes_jobs[] = {
    {NN_HTTP_POST,                  "/jobs/train", post_train, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_TRAIN,
     .status = 202, .summary = "Train a network", .request = &train_request,
     .response = &train_answer, .errors = train_errors},
    {NN_HTTP_GET,                   "/jobs", list_jobs, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "Operations, newest first", .query = &list_query, .response = &list_answer},
    {NN_HTTP_GET,      "/jobs/{job_id}", get_job, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "One operation", .response = &nn_schema_job, .errors = job_errors},
    {NN_HTTP_DELETE, "/jobs/{job_id}", delete_job, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_TRAIN,
     .status = 204, .summary = "Begin to cancel an operation", .errors = delete_errors},
    {0    }
};
