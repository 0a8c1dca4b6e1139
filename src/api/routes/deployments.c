/* SPDX-License-Identifier: MIT */
/* deployments.c - /deployments (rest-api.md 12.5). */
#include "api/views.h"
#include "base/clock.h"
#include "jobs/kinds.h"
#include "jobs/supervisor.h"
#include "serve/record.h"

static nn_json *view(nn_request *q, nn_row row) {
    nn_live *live = nn_live_find(q->app->serve, nn_row_text(row, "id"));
    nn_json *o = nn_deployment_json(row, live != NULL, nn_api_url(q->app));
    nn_live_unref(live);
    return o;
}

static nn_status find(nn_request *q, nn_row *ret, nn_err *err) {
    const char *id = nn_request_param(q, "deployment_id");
    nn_status s = nn_deployment_find(q->app->store, id, nn_request_arena(q), ret, err);
    return s == NN_E_NOT_FOUND ? nn_view_missing(q, s, "Deployment", id, err) : s;
}

static nn_status post_deployment(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_row row;
    nn_status s = nn_view_create(q, NN_KIND_DEPLOY, false, &op, err);
    if (!s) s = nn_deployment_find(q->app->store, op->id, nn_request_arena(q), &row, err);
    if (s) return s;
    nn_supervisor_wake(q->app->supervisor);
    nn_json *o = view(q, row);
    nn_json_set(o, "warnings", nn_json_copy(op->warnings));
    return nn_reply_json(q, 202, o, err);
}

static nn_status list_deployments(nn_request *q, nn_err *err) {
    nn_deployment_filter f = {.status = nn_request_query(q, "status", NULL),
                              .limit = nn_request_query_int(q, "limit", 100),
                              .offset = nn_request_query_int(q, "skip", 0)};
    nn_rows rows;
    nn_status s = nn_deployment_list(q->app->store, &f, nn_request_arena(q), &rows, err);
    if (s) return s;
    nn_json *list = nn_json_new_array();
    for (int64_t i = 0; i < rows.n; i++) nn_json_push(list, view(q, nn_rows_at(&rows, i)));
    nn_reply_header(q, "X-Total-Count",
                    nn_arena_printf(nn_request_arena(q), "%lld", (long long)rows.total));
    return nn_reply_json(q, 200, list, err);
}

static nn_status get_deployment(nn_request *q, nn_err *err) {
    nn_row row;
    nn_status s = find(q, &row, err);
    return s ? s : nn_reply_json(q, 200, view(q, row), err);
}

/* The record first: what is stopped stays stopped, whatever happens to this process. An operation
 * that is still to bring it up is cancelled; one that has ended cannot be, and need not. */
static nn_status delete_deployment(nn_request *q, nn_err *err) {
    nn_row row;
    nn_status s = find(q, &row, err);
    const char *id = s ? NULL : nn_row_text(row, "id");
    if (!s) s = nn_deployment_stop(q->app->store, id, nn_clock_wall(), err);
    if (s) return s;
    if (nn_operation_cancel(q->app->jobs, id, q->who->name, NULL, NULL) == NN_OK)
        nn_supervisor_wake(q->app->supervisor);
    nn_serve_stop(q->app->serve, id);
    return nn_reply_empty(q, 204);
}

static const nn_member answer_members[] = {
    {"deployment_id",                                NN_STRING, .required = true, .format = "uuid", .help = "its id"},
    {"deployment_name",                              NN_STRING, .required = true, .help = "its name"},
    {"status",                              NN_STRING, .required = true, .one_of = "deploying deployed failed stopped",
     .help = "how it stands"},
    {"endpoint",                              NN_STRING, .required = true, .nullable = true,
     .help = "where it answers, once deployed"},
    {"message",                              NN_STRING, .required = true, .help = "a sentence"},
    {"created_at",                                              NN_STRING, .required = true, .format = "date-time",
     .help = "when it was accepted"},
    {"updated_at",        NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "its last change"},
    {"model_id", NN_STRING, .required = true, .help = "what it serves"},
    {"model_version",                                              NN_INTEGER, .required = true, .nullable = true,
     .help = "which version of it"},
    {"backend",        NN_STRING, .required = true, .help = "as asked for"},
    {"engine",                              NN_STRING, .required = true, .nullable = true, .help = "what runs it"},
    {"replicas",                                              NN_INTEGER, .required = true, .help = "executors"},
    {"config",        NN_OBJECT, .required = true, .help = "as asked for"},
    {"health",                          NN_STRING, .required = true, .one_of = "healthy unhealthy unknown",
     .help = "whether it answers now"},
    {"error",                                   NN_STRING, .required = true, .nullable = true, .help = "why it failed"},
    {"operation_id",                              NN_STRING, .required = true, .format = "uuid",
     .help = "what brings it up; the same id"},
    {"warnings",                 NN_ARRAY, .items = NN_STRING, .help = "what was odd about the request"},
    {0                                  }
};
static const nn_schema answer = {"Deployment", answer_members, .help = "a model that answers"};
static const nn_schema list_answer = {"DeploymentList", .type = NN_ARRAY, .of = &answer,
                                      .help = "newest first; X-Total-Count has the number"};
static const nn_member query_members[] = {
    NN_MEMBER_SKIP_LIMIT,
    {"status",                                       NN_STRING, .one_of = "deploying deployed failed stopped",
      .help = "only these (default: all but stopped)"},
    {0}
};
static const nn_schema query = {"DeploymentListQuery", query_members, .help = "which deployments"};

static const nn_status post_errors[] = {NN_E_MODEL_NOT_FOUND, NN_E_CONFLICT, NN_E_ALREADY_EXISTS,
                                        NN_E_UNSUPPORTED, 0};
static const nn_status one_errors[] = {NN_E_NOT_FOUND, 0};

const nn_route nn_routes_deployments[] = {
    {NN_HTTP_POST,                          "/deployments", post_deployment, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_DEPLOY, .status = 202, .summary = "Make a model answerable",
     .request = &nn_request_deploy, .own_check = true, .response = &answer, .errors = post_errors},
    {NN_HTTP_GET,                      "/deployments", list_deployments, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "Deployments, newest first", .query = &query, .response = &list_answer},
    {NN_HTTP_GET,              "/deployments/{deployment_id}", get_deployment, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_READ, .summary = "One deployment", .response = &answer,
     .errors = one_errors},
    {NN_HTTP_DELETE, "/deployments/{deployment_id}", delete_deployment, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_DEPLOY, .status = 204, .summary = "Stop a deployment; its record stays",
     .errors = one_errors},
    {0                   }
};
