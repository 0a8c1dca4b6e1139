/* SPDX-License-Identifier: MIT */
/* compile.c - POST /compile/ and /compile/sync (rest-api.md 12.2). */
#include "api/views.h"
#include "jobs/kinds.h"
#include "jobs/supervisor.h"

static const nn_member answer_members[] = {
    {"job_id",                                      NN_STRING, .required = true, .format = "uuid", .help = "the operation's id"},
    {"status",                             NN_STRING, .required = true, .one_of = "pending running completed failed cancelled",
     .help = "its state in the words of this path"},
    {"message",                 NN_STRING, .required = true, .help = "a sentence"},
    {"compiled_code",                                      NN_STRING, .required = true, .nullable = true,
     .help = "the text of the main file; of onnx its text form, the file is an artifact"},
    {"errors",                             NN_ARRAY, .required = true, .nullable = true, .items = NN_STRING,
     .help = "one sentence each, with line and column"},
    {"created_at", NN_STRING, .required = true, .format = "date-time",
     .help = "when it was accepted"},
    {"model_id",                                     NN_STRING, .nullable = true, .help = "the model that was stored"},
    {"warnings",                             NN_ARRAY, .required = true, .items = NN_STRING, .help = "what was odd"},
    {"diagnostics",                                             NN_ARRAY, .required = true, .items = NN_OBJECT,
     .help = "errors and warnings with places and fixes"},
    {"artifacts",NN_ARRAY, .required = true, .items = NN_OBJECT,
     .help = "the files that it kept: id, name, size, sha256, href …"},
    {"search_space",                             NN_OBJECT,
     .help = "with enable_hpo: the points, as neural search-space --json"},
    NN_MEMBER_OPERATION,
    {0                                            }
};
static const nn_schema answer = {"CompileAnswer", answer_members, .help = "a compilation"};

static nn_status compile(nn_request *q, bool now, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = nn_view_create(q, NN_KIND_COMPILE, now, &op, err);
    if (s) return s;
    if (!now) nn_supervisor_wake(q->app->supervisor);
    nn_json *artifacts = NULL;
    s = nn_artifact_list(q->app->track, op->id, &artifacts, err);
    if (s) return s;
    nn_json *o = nn_view_compile(op);
    nn_json_set(o, "artifacts", artifacts);
    return nn_reply_json(q, now ? 200 : 202, o, err);
}

static nn_status compile_sync(nn_request *q, nn_err *err) {
    return compile(q, true, err);
}

static nn_status compile_async(nn_request *q, nn_err *err) {
    return compile(q, false, err);
}

static const nn_status errors[] = {NN_E_UNSUPPORTED, NN_E_QUEUE_FULL, 0};

const nn_route nn_routes_compile[] = {
    {NN_HTTP_POST,               "/compile", compile_async, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_COMPILE,
     .status = 202, .summary = "Generate code, later", .request = &nn_request_compile,
     .own_check = true, .response = &answer, .errors = errors},
    {NN_HTTP_POST,             "/compile/sync", compile_sync, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_COMPILE,
     .summary = "Generate code now",
     .help = "A program with errors is answered 200 with status failed and its diagnostics.",
     .request = &nn_request_compile, .own_check = true, .response = &answer, .errors = errors},
    {0}
};
