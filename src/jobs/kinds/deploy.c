/* SPDX-License-Identifier: MIT */
/* deploy: a model made answerable (rest-api.md 12.5). What runs it is above this folder:
 * nn_jobs_set_run. */
#include "jobs/jobs_impl.h"

#include <stdlib.h>
#include <string.h>

static const nn_member config_members[] = {
    {"replicas",                                      NN_INTEGER, .min = 1, .max = 64, .help = "executors, a thread each (default 1)"},
    {"memory_limit",                                       NN_STRING, .max = 32, .help = "recorded (default 512Mi)"},
    {"cpu_limit", NN_STRING, .max = 32, .help = "recorded (default 500m)"},
    {"port",                                  NN_INTEGER, .min = 1, .max = 65535,
     .help = "recorded; the deployment answers on this server"},
    {"health_check_path",                                      NN_STRING, .min = 1, .max = 255,
     .help = "recorded; begins with / (default /health)"},
    {"max_batch_size",                                               NN_INTEGER, .min = 1, .max = 4096,
     .help = "rows that run together (default 32)"},
    {"max_delay_ms",                                      NN_NUMBER, .min = 0, .max = 10000,
     .help = "how long a batch waits for company, under load only (default 2)"},
    {"max_queue",              NN_INTEGER, .min = 1, .max = 1000000,
     .help = "requests that may wait (default 1024)"},
    {0                                         }
};
static const nn_schema deployment_config = {"DeploymentConfig", config_members,
                                            .help = "how it answers"};
static const nn_member members[] = {
    {"model_id",        NN_STRING, .required = true, .min = 1, .max = 512,
     .help = "a model with weights: id, name or name@version"},
    {"deployment_name", NN_STRING, .required = true, .min = 1, .max = 63,
     .help = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"},
    {"backend",       NN_STRING, .required = true, .one_of = "tensorflow pytorch onnx c native",
     .help = "whose model it is; all answer from the native engine"},
    {"config",                 NN_OBJECT, .of = &deployment_config, .help = "how it answers"},
    {"environment",        NN_MAP, .items = NN_STRING, .max = 256,
     .help = "for child engines; values are not shown again"},
    NN_MEMBER_REQUEST,
    {0        }
};
const nn_schema nn_request_deploy = {"DeploymentRequest", members,
                                     .help = "a model to make answerable"};

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
    const char *name = nn_json_str(nn_json_get(request, "deployment_name"), "");
    if (*name && !is_label(name))
        nn_schema_violation(problems, "body", "deployment_name", "bad_format",
                            "must be lower-case letters, digits and inner hyphens");
    const char *health =
        nn_json_str(nn_json_get(nn_json_get(request, "config"), "health_check_path"), "/");
    if (*health && *health != '/')
        nn_schema_violation(problems, "body", "config.health_check_path", "bad_format",
                            "must begin with '/'");
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
    .request = &nn_request_deploy,
    .secret = "environment",
    .check = check,
    .describe = describe,
    .create = create,
    .ended = ended,
};
