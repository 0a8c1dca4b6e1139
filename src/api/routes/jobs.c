/* SPDX-License-Identifier: MIT */
/* jobs.c - /jobs: trainings, and any operation in their words (rest-api.md 12.3). */
#include "api/views.h"
#include "jobs/kinds.h"
#include "jobs/supervisor.h"

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
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = nn_view_create(q, NN_KIND_TRAIN, false, &op, err);
    if (s) return s;
    nn_supervisor_wake(q->app->supervisor);
    return nn_reply_json(q, 202, nn_view_train(op), err);
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
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Job", id, err);
    return s ? s : nn_reply_json(q, 200, nn_view_job(op, latest_metrics(q, op)), err);
}

static nn_status delete_job(nn_request *q, nn_err *err) {
    const char *id = nn_request_param(q, "job_id");
    nn_status s = nn_operation_cancel(q->app->jobs, id, q->who->name, NULL, err);
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Job", id, err);
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
     .status = 202, .summary = "Train a network", .request = &nn_request_train, .own_check = true,
     .response = &train_answer, .errors = train_errors},
    {NN_HTTP_GET,                   "/jobs", list_jobs, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "Operations, newest first", .query = &list_query, .response = &list_answer},
    {NN_HTTP_GET,      "/jobs/{job_id}", get_job, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "One operation", .response = &nn_schema_job, .errors = job_errors},
    {NN_HTTP_DELETE, "/jobs/{job_id}", delete_job, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_TRAIN,
     .status = 204, .conflict = 400, .summary = "Begin to cancel an operation",
     .errors = delete_errors},
    {0           }
};
