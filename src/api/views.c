/* SPDX-License-Identifier: MIT */
#include "api/views.h"

#include "base/clock.h"
#include "base/id.h"
#include "jobs/kinds.h"
#include "store/store.h"

#include <math.h>
#include <string.h>

nn_json *nn_view_time(int64_t us) {
    char text[NN_TIME_TEXT];
    return us ? nn_json_new_str(nn_time_print(us, text)) : nn_json_new_null();
}

static nn_json *ref_or_null(const nn_json *v) {
    return v ? nn_json_copy(v) : nn_json_new_null();
}

static nn_json *ref_or_list(const nn_json *v) {
    return v ? nn_json_copy(v) : nn_json_new_array();
}

void nn_view_operation_keys(nn_json *o, const nn_operation *op) {
    nn_json_set(o, "operation_id", nn_json_new_str(op->id));
    nn_json_set(o, "state", nn_json_new_str(nn_state_name(op->state)));
}

static const char *word(const nn_operation *op) {
    return nn_operation_word(op->state, NN_WORDS_JOBS);
}

/* 0..100; null before it started. */
static nn_json *percent(const nn_operation *op) {
    if (op->state == NN_STATE_SUCCEEDED) return nn_json_new_num(100);
    const nn_json *f = nn_json_get(op->progress, "fraction");
    return f ? nn_json_new_num(100 * nn_json_num(f, 0)) : nn_json_new_null();
}

/* Epochs that have begun: progress.step_index is 0-based. */
static nn_json *current_epoch(const nn_operation *op) {
    const nn_json *i = nn_json_get(op->progress, "step_index");
    return op->kind == NN_KIND_TRAIN && i && nn_json_typeof(i) == NN_JSON_INT
               ? nn_json_new_int(nn_json_int(i, 0) + 1)
               : nn_json_new_null();
}

static nn_json *experiment_id(const nn_operation *op) {
    return nn_json_new_str(op->kind == NN_KIND_TRAIN ? op->id : NULL);
}

static nn_json *running_result(const nn_operation *op, const nn_json *metrics) {
    nn_json *r = nn_json_new_object();
    nn_json_set(r, "progress", percent(op));
    nn_json_set(r, "current_epoch", current_epoch(op));
    nn_json_set(r, "experiment_id", experiment_id(op));
    nn_json_set(r, "metrics", ref_or_null(metrics));
    return r;
}

nn_json *nn_view_job(const nn_operation *op, nn_json *metrics) {
    nn_json *o = nn_json_new_object();
    bool running =
        op->kind == NN_KIND_TRAIN && !nn_state_terminal(op->state) && op->state != NN_STATE_QUEUED;
    nn_json_set(o, "job_id", nn_json_new_str(op->id));
    nn_json_set(o, "status", nn_json_new_str(word(op)));
    nn_json_set(o, "kind", nn_json_new_str(nn_kind_id_name(op->kind)));
    nn_json_set(o, "job_name", nn_json_new_str(op->name));
    nn_json_set(o, "name", nn_json_new_str(op->name));
    nn_json_set(o, "progress", percent(op));
    nn_json_set(o, "current_epoch", current_epoch(op));
    nn_json_set(o, "experiment_id", experiment_id(op));
    nn_json_set(o, "result",
                op->result ? nn_json_copy(op->result)
                : running  ? running_result(op, metrics)
                           : nn_json_new_null());
    nn_json_set(o, "metrics", metrics ? metrics : nn_json_new_null());
    nn_json_set(o, "error", nn_json_new_str(op->error));
    nn_json_set(o, "error_code", nn_json_new_str(op->error_code));
    nn_json_set(o, "warnings", ref_or_list(op->warnings));
    nn_json_set(o, "created_at", nn_view_time(op->created_at));
    nn_json_set(o, "started_at", nn_view_time(op->started_at));
    nn_json_set(o, "completed_at", nn_view_time(op->finished_at));
    nn_view_operation_keys(o, op);
    return o;
}

nn_json *nn_view_train(const nn_operation *op) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "job_id", nn_json_new_str(op->id));
    nn_json_set(o, "experiment_id", nn_json_new_str(op->id));
    nn_json_set(o, "status", nn_json_new_str(word(op)));
    nn_json_set(o, "message", nn_json_new_str("Training job submitted successfully"));
    nn_json_set(o, "engine", nn_json_new_str(op->engine));
    nn_json_set(o, "warnings", ref_or_list(op->warnings));
    nn_json_set(o, "created_at", nn_view_time(op->created_at));
    nn_json_set(o, "started_at", nn_view_time(op->started_at));
    nn_json_set(o, "completed_at", nn_view_time(op->finished_at));
    nn_json_set(o, "progress", percent(op));
    nn_json_set(o, "current_epoch", current_epoch(op));
    nn_json_set(o, "metrics", nn_json_new_null());
    nn_view_operation_keys(o, op);
    return o;
}

nn_json *nn_view_errors(const nn_operation *op) {
    if (!op->error) return nn_json_new_null();
    nn_json *list = nn_json_new_array();
    const nn_json *diagnostics = nn_json_get(op->error_details, "diagnostics");
    for (size_t i = 0; i < nn_json_size(diagnostics); i++) {
        const nn_json *d = nn_json_at(diagnostics, i);
        if (strcmp(nn_json_str(nn_json_get(d, "severity"), ""), "error") != 0) continue;
        NN_BUF text = {0};
        nn_buf_printf(&text, "%lld:%lld: %s", (long long)nn_json_int(nn_json_get(d, "line"), 0),
                      (long long)nn_json_int(nn_json_get(d, "column"), 0),
                      nn_json_str(nn_json_get(d, "message"), ""));
        nn_json_push(list, nn_json_new_strn(nn_buf_str(&text), text.n));
    }
    if (!nn_json_size(list)) nn_json_push(list, nn_json_new_str(op->error));
    return list;
}

nn_json *nn_view_compile(const nn_operation *op) {
    static const char *const messages[] = {"Compilation job submitted successfully",
                                           "Compilation completed successfully",
                                           "Compilation failed"};
    int end = !nn_state_terminal(op->state) ? 0 : op->state == NN_STATE_SUCCEEDED ? 1 : 2;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "job_id", nn_json_new_str(op->id));
    nn_json_set(o, "status", nn_json_new_str(word(op)));
    nn_json_set(o, "message", nn_json_new_str(messages[end]));
    nn_json_set(o, "compiled_code", ref_or_null(nn_json_get(op->result, "compiled_code")));
    nn_json_set(o, "errors", nn_view_errors(op));
    nn_json_set(o, "created_at", nn_view_time(op->created_at));
    nn_json_set(o, "model_id", ref_or_null(nn_json_get(op->result, "model_id")));
    nn_json_set(o, "warnings", ref_or_list(op->warnings));
    const nn_json *diagnostics =
        nn_json_get(end == 1 ? op->result : op->error_details, "diagnostics");
    nn_json_set(o, "diagnostics", ref_or_list(diagnostics));
    const nn_json *space = nn_json_get(op->result, "search_space");
    if (space) nn_json_set(o, "search_space", nn_json_ref((nn_json *)space));
    nn_view_operation_keys(o, op);
    return o;
}

nn_status nn_view_create(nn_request *q, nn_kind_id kind, bool now, nn_operation **ret,
                         nn_err *err) {
    NN_JSON *problems = NULL;
    nn_operation_spec spec = {.kind = kind, .request = q->body, .principal = q->who->name};
    nn_status s = (now ? nn_operation_run_now : nn_operation_create)(q->app->jobs, &spec, ret,
                                                                     &problems, err);
    if (s != NN_E_VALIDATION_ERROR || !nn_json_size(problems)) return s;
    for (size_t i = 0; i < nn_json_size(problems); i++)
        nn_json_push(q->errors, nn_json_copy(nn_json_at(problems, i)));
    return nn_reply_invalid(q, err);
}

/* "compile operation", "model", "artifact"; NULL: nothing has this id. */
static const char *what_is(nn_request *q, const char *id) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_row row;
    nn_arena *a = nn_request_arena(q);
    if (!nn_id_valid(id, strlen(id))) return NULL;
    if (nn_operation_get(q->app->jobs, id, &op, NULL) == NN_OK)
        return nn_arena_printf(a, "%s operation", nn_kind_id_name(op->kind));
    if (nn_store_get(q->app->store, NN_TABLE_MODELS, id, a, &row, NULL) == NN_OK) return "model";
    if (nn_artifact_get(q->app->track, id, a, &row, NULL) == NN_OK) return "artifact";
    return NULL;
}

nn_status nn_view_missing(nn_request *q, nn_status code, const char *noun, const char *id,
                          nn_err *err) {
    const char *other = what_is(q, id);
    if (other)
        return nn_fail(err, code, "%s %.80s not found: it is the id of a %s", noun, id, other);
    nn_status s = nn_fail(err, code, "%s %.80s not found", noun, id);
    return code == NN_E_MODEL_NOT_FOUND ? nn_err_hint(err, s, "GET /models/ lists what there is")
                                        : s;
}

static const nn_member job_members[] = {
    {"job_id",                                      NN_STRING, .required = true, .format = "uuid", .help = "the operation's id"},
    {"status",                             NN_STRING, .required = true, .one_of = "pending running completed failed cancelled",
     .help = "its state in the words of this path"},
    {"kind",                 NN_STRING, .required = true, .help = "compile, train or deploy"},
    {"job_name",                                      NN_STRING, .nullable = true, .help = "its name"},
    {"name",                             NN_STRING, .nullable = true, .help = "its name"},
    {"progress", NN_NUMBER, .required = true, .nullable = true, .min = 0, .max = 100,
     .help = "percent"},
    {"current_epoch",                                        NN_INTEGER, .nullable = true, .help = "of a training, from 1"},
    {"experiment_id",                             NN_STRING, .nullable = true, .help = "of a training"},
    {"result",                                             NN_OBJECT, .required = true, .nullable = true,
     .help = "what came of it; while it runs, how far it is"},
    {"metrics",NN_OBJECT, .nullable = true, .help = "the latest value of each metric"},
    {"error",                           NN_STRING, .required = true, .nullable = true, .help = "why it failed"},
    {"error_code",                                        NN_STRING, .nullable = true, .help = "a code of the error table"},
    {"warnings",                             NN_ARRAY, .items = NN_STRING, .help = "what was odd"},
    {"created_at",                                             NN_STRING, .required = true, .format = "date-time",
     .help = "when it was accepted"},
    {"started_at",                                    NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "when it began"},
    {"completed_at",                             NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "when it ended"},
    NN_MEMBER_OPERATION,
    {0                                  }
};
const nn_schema nn_schema_job = {"Job", job_members, .help = "an operation in the words of /jobs"};

static const nn_member operation_members[] = {
    {"id",              NN_STRING, .required = true, .format = "uuid", .help = "its id"},
    NN_MEMBER_OPERATION,
    {"kind", NN_STRING, .required = true, .help = "compile, train or deploy"},
    {"name", NN_STRING, .required = true, .nullable = true, .help = "what the client called it"},
    {"verdict",            NN_STRING, .required = true, .nullable = true,
     .help = "passed, failed or inconclusive, where the kind has one"},
    {"progress", NN_OBJECT, .required = true, .nullable = true,
     .help = "fraction, step, rate, eta_s …"},
    {"result",                 NN_OBJECT, .required = true, .nullable = true, .help = "what came of it"},
    {"error",        NN_STRING, .required = true, .nullable = true, .help = "a sentence"},
    {"error_code", NN_STRING, .required = true, .nullable = true,
     .help = "a code of the error table"},
    {"error_details",                 NN_OBJECT, .required = true, .nullable = true,
     .help = "signal, exit code, last lines, diagnostics"},
    {"warnings",NN_ARRAY, .required = true, .items = NN_STRING, .help = "what was odd"},
    {"attempt", NN_INTEGER, .required = true, .help = "how often it was taken from the queue"},
    {"created_at",                 NN_STRING, .required = true, .format = "date-time",
     .help = "when it was accepted"},
    {"started_at",        NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "when it began"},
    {"finished_at", NN_STRING, .required = true, .nullable = true, .format = "date-time",
     .help = "when it ended"},
    {"duration_s",                 NN_NUMBER, .required = true, .nullable = true,
     .help = "seconds from start to end"},
    {"artifacts",NN_ARRAY, .required = true, .items = NN_OBJECT, .help = "files that it left"},
    {0}
};
const nn_schema nn_schema_operation = {"Operation", operation_members,
                                       .help = "anything that takes time"};
