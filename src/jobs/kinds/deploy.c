/* SPDX-License-Identifier: MIT */
/* deploy: a model made answerable (rest-api.md 12.5). What runs it is above this folder:
 * nn_jobs_set_run. */
#include "jobs/jobs_impl.h"

#include <stdlib.h>
#include <string.h>

static const nn_field_rule fields[] = {
    {.path = "model_id",
     .type = NN_FIELD_STR,
     .required = true,
     .max_bytes = 512,
     .not_blank = true,
     .summary = "id or name of the model"},
    {.path = "deployment_name",
     .type = NN_FIELD_STR,
     .required = true,
     .max_bytes = 63,
     .not_blank = true,
     .summary = "its name in addresses"},
    {.path = "backend",
     .type = NN_FIELD_STR,
     .required = true,
     .words = "tensorflow|pytorch|onnx|c|native",
     .summary = "whose model it is"},
    {.path = "config", .type = NN_FIELD_OBJECT,        .summary = "how it is served"                         },
    {.path = "config.replicas",
     .type = NN_FIELD_INTEGER,
     .min = 1,
     .max = 1024,
     .summary = "executors"},
    {.path = "config.memory_limit",
     .type = NN_FIELD_STR,
     .max_bytes = 32,
     .summary = "Kubernetes quantity"},
    {.path = "config.cpu_limit",
     .type = NN_FIELD_STR,
     .max_bytes = 32,
     .summary = "Kubernetes quantity"},
    {.path = "config.port",
     .type = NN_FIELD_INTEGER,
     .min = 1,
     .max = 65535,
     .summary = "where it listens"},
    {.path = "config.health_check_path",
     .type = NN_FIELD_STR,
     .max_bytes = 255,
     .not_blank = true,
     .summary = "begins with /"},
    {.path = "config.max_batch_size",
     .type = NN_FIELD_INTEGER,
     .min = 1,
     .max = 65536,
     .summary = "rows that run together"},
    {.path = "config.max_delay_ms",
     .type = NN_FIELD_NUMBER,
     .min = 0,
     .max = 60000,
     .summary = "longest wait for a batch to fill"},
    {.path = "config.max_queue",
     .type = NN_FIELD_INTEGER,
     .min = 1,
     .max = 1000000,
     .summary = "requests that may wait"},
    {.path = "environment",                   .type = NN_FIELD_STR_MAP,                           .summary = "variables of child engines"                                                     },
};

/* [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])? */
static bool is_label(const char *s) {
    size_t n = strlen(s);
    return n && s[0] != '-' && s[n - 1] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static nn_status check(nn_jobs *j, const nn_json *request, nn_json *problems, nn_json *warnings,
                       nn_err *err) {
    (void)j;
    (void)warnings;
    (void)err;
    if (nn_json_size(problems)) return NN_OK;
    if (!is_label(nn_json_str(nn_json_get(request, "deployment_name"), "")))
        nn_problem_add(problems, "deployment_name", "bad_format",
                       "must be lower-case letters, digits and inner hyphens");
    const char *health =
        nn_json_str(nn_json_get(nn_json_get(request, "config"), "health_check_path"), "/");
    if (*health != '/')
        nn_problem_add(problems, "config.health_check_path", "bad_format", "must begin with '/'");
    return NN_OK;
}

static nn_status describe(nn_jobs *j, const nn_json *request, nn_operation *op, nn_json *warnings,
                          nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "deploy", 0);
    nn_row model;
    (void)warnings;
    nn_status s = nn_registry_find(
        nn_jobs_track(j), nn_json_str(nn_json_get(request, "model_id"), ""), true, a, &model, err);
    if (s != NN_OK) return s;
    const char *path;
    s = nn_registry_weights(nn_jobs_track(j), model, a, &path, err);
    if (s != NN_OK) return s;
    op->model_id = strdup(nn_row_text(model, "id"));
    op->model_name = strdup(nn_row_text(model, "name"));
    op->backend = strdup(nn_json_str(nn_json_get(request, "backend"), "native"));
    op->engine = strdup("native");
    free(op->name);
    op->name = strdup(nn_json_str(nn_json_get(request, "deployment_name"), ""));
    if (!op->model_id || !op->model_name || !op->backend || !op->engine || !op->name) abort();
    return NN_OK;
}

/* First segments of paths that the server answers itself. */
static bool is_reserved(const char *name) {
    static const char *const words[] = {
        "api",    "auth", "compile", "deployments", "docs",   "experiments",
        "health", "jobs", "live",    "metrics",     "models", "ready",
        "redoc",  "v1",   "v2",      "version",     "ws"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0) return true;
    return false;
}

/* The record of the deployment, in the transaction of its operation; both have one id. */
static nn_status create(nn_txn *t, const nn_operation *op, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "deploy", 0);
    nn_row model;
    if (is_reserved(op->name))
        return nn_fail(err, NN_E_CONFLICT, "'%s' is a path of the server; choose another name",
                       op->name);
    nn_status s = nn_txn_get(t, NN_TABLE_MODELS, op->model_id, a, &model, err);
    if (s != NN_OK) return s;
    const nn_json *config = nn_json_get(op->request, "config");
    const nn_field row[] = {
        NN_FIELD_TEXT("id", op->id),
        NN_FIELD_TEXT("name", op->name),
        NN_FIELD_TEXT("status", "deploying"),
        NN_FIELD_TEXT("model_id", op->model_id),
        NN_FIELD_INT("model_version", nn_row_int(model, "version", 0)),
        NN_FIELD_TEXT("backend", op->backend),
        NN_FIELD_TEXT("engine", op->engine),
        NN_FIELD_INT("replicas", nn_json_int(nn_json_get(config, "replicas"), 1)),
        NN_FIELD_JSON("config", config),
        NN_FIELD_JSON("environment", nn_json_get(op->request, "environment")),
        NN_FIELD_TEXT("principal", op->principal),
        NN_FIELD_INT("created_at", op->created_at),
        NN_FIELD_INT("updated_at", op->created_at),
    };
    s = nn_txn_insert(t, NN_TABLE_DEPLOYMENTS, row, NN_COUNT_OF(row), NULL, err);
    if (s != NN_E_ALREADY_EXISTS) return s;
    return nn_err_hint(err, nn_fail(err, s, "A deployment named '%s' exists", op->name),
                       "choose another name, or stop it with DELETE /deployments/{id}");
}

/* Nothing but the operation's end takes a deployment out of `deploying`, except that it may have
 * been stopped meanwhile. */
static nn_status ended(nn_txn *t, const nn_operation *op, nn_err *err) {
    const char *status = op->state == NN_STATE_SUCCEEDED   ? "deployed"
                         : op->state == NN_STATE_CANCELLED ? "stopped"
                                                           : "failed";
    nn_field f[] = {NN_FIELD_TEXT("status", status), NN_FIELD_TEXT("error", op->error),
                    NN_FIELD_INT("updated_at", op->updated_at)};
    nn_where w[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, op->id),
                    NN_WHERE_TEXT("status", NN_CMP_EQ, "deploying")};
    return nn_txn_update(t, NN_TABLE_DEPLOYMENTS, f, NN_COUNT_OF(f), w, 2, NULL, err);
}

const nn_kind nn_kind_deploy = {
    .name = "deploy",
    .summary = "a model made answerable",
    .fields = fields,
    .n_fields = NN_COUNT_OF(fields),
    .check = check,
    .describe = describe,
    .create = create,
    .ended = ended,
};
