/* SPDX-License-Identifier: MIT */
/* experiments.c - /experiments (rest-api.md 12.4). */
#include "api/views.h"
#include "base/clock.h"

static nn_status list_experiments(nn_request *q, nn_err *err) {
    nn_experiment_filter f = {.status = nn_request_query(q, "status_filter", NULL),
                              .limit = nn_request_query_int(q, "limit", 100),
                              .offset = nn_request_query_int(q, "skip", 0)};
    nn_json *items = NULL;
    int64_t total = 0;
    nn_status s = nn_experiment_list(q->app->track, &f, &items, &total, NULL, err);
    if (s) return s;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "experiments", items);
    nn_json_set(o, "total", nn_json_new_int(total));
    nn_json_set(o, "skip", nn_json_new_int(f.offset));
    nn_json_set(o, "limit", nn_json_new_int(f.limit));
    return nn_reply_json(q, 200, o, err);
}

static nn_status get_experiment(nn_request *q, nn_err *err) {
    nn_json *e = NULL;
    const char *id = nn_request_param(q, "experiment_id");
    nn_status s = nn_experiment_json(q->app->track, id, true, &e, err);
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Experiment", id, err);
    return s ? s : nn_reply_json(q, 200, e, err);
}

static nn_status delete_experiment(nn_request *q, nn_err *err) {
    const char *id = nn_request_param(q, "experiment_id");
    nn_status s = nn_experiment_delete(q->app->track, id, nn_clock_wall(), err);
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Experiment", id, err);
    return s ? s : nn_reply_empty(q, 204);
}

static nn_status get_artifact(nn_request *q, nn_err *err) {
    nn_row row;
    nn_arena *a = nn_request_arena(q);
    nn_status s = nn_artifact_find(q->app->track, nn_request_param(q, "experiment_id"),
                                   nn_request_param(q, "name"), a, &row, err);
    if (s) return s;
    const char *sha = nn_row_text(row, "sha256");
    return nn_reply_file(q, nn_artifact_path(q->app->track, sha, a), nn_row_text(row, "media_type"),
                         nn_row_text(row, "name"), sha, err);
}

static const nn_member metrics_members[] = {
    {"latest",          NN_OBJECT, .required = true, .help = "the last value of each metric"},
    {"best", NN_OBJECT, .required = true,
     .help = "the best value of each, with its step and what best means"},
    {"history",                 NN_ARRAY, .required = true, .items = NN_OBJECT,
     .help = "one object a step; empty in lists"},
    {0       }
};
static const nn_schema metrics = {"ExperimentMetrics", metrics_members,
                                  .help = "what was measured"};
static const nn_member experiment_members[] = {
    {"experiment_id",         NN_STRING, .required = true, .help = "its id"},
    {"experiment_name",       NN_STRING, .required = true, .help = "its name"},
    {"status",                       NN_STRING, .required = true, .one_of = "created running completed failed cancelled",
     .help = "how it stands"},
    {"hyperparameters",        NN_OBJECT, .required = true, .help = "what was set"},
    {"metrics",     NN_OBJECT, .required = true, .of = &metrics, .help = "what was measured"},
    {"artifacts",                NN_ARRAY, .required = true, .items = NN_STRING, .help = "names of its files"},
    {"created_at",       NN_STRING, .required = true, .format = "date-time", .help = "when it began"},
    {"updated_at", NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "its last change"},
    {0      }
};
static const nn_schema experiment = {"Experiment", experiment_members,
                                     .help = "the record of a training"};
static const nn_member list_query_members[] = {
    NN_MEMBER_SKIP_LIMIT,
    {"status_filter",                                         NN_STRING, .one_of = "created running completed failed cancelled",
      .help = "only these"},
    {0}
};
static const nn_schema list_query = {"ExperimentListQuery", list_query_members,
                                     .help = "which experiments"};
static const nn_member list_members[] = {
    {"experiments",     NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &experiment,
     .help = "newest first"},
    NN_MEMBER_PAGE,
    {0}
};
static const nn_schema list_answer = {"ExperimentList", list_members,
                                      .help = "a page of experiments"};
static const nn_schema bytes_answer = {"ExperimentArtifact", NULL, .help = "the bytes",
                                       .media = "application/octet-stream"};

static const nn_status one_errors[] = {NN_E_NOT_FOUND, 0};
static const nn_status delete_errors[] = {NN_E_NOT_FOUND, NN_E_CONFLICT, 0};

const nn_route nn_routes_experiments[] = {
    {NN_HTTP_GET,             "/experiments", list_experiments, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "Experiments, newest first", .query = &list_query, .response = &list_answer},
    {NN_HTTP_GET,       "/experiments/{experiment_id}", get_experiment, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_READ, .summary = "One experiment with its metric history",
     .response = &experiment, .errors = one_errors},
    {NN_HTTP_DELETE, "/experiments/{experiment_id}", delete_experiment, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_DATA, .status = 204, .summary = "Delete an experiment that is not running",
     .errors = delete_errors},
    {NN_HTTP_GET,   "/experiments/{experiment_id}/artifacts/{name}", get_artifact,
     .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ, .summary = "A file of an experiment",
     .response = &bytes_answer, .errors = one_errors},
    {0                      }
};
