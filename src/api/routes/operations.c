/* SPDX-License-Identifier: MIT */
/* operations.c - /api/v1/operations and /api/v1/artifacts: the canonical face of everything that
 * takes time (rest-api.md 3). */
#include "api/views.h"
#include "base/bus.h"
#include "base/clock.h"
#include "jobs/supervisor.h"

#include <stdlib.h>
#include <string.h>

static nn_status reply_operation(nn_request *q, int status, const nn_operation *op,
                                 bool with_request, nn_err *err) {
    nn_json *artifacts = NULL;
    nn_status s = nn_artifact_list(q->app->track, op->id, &artifacts, err);
    return s ? s : nn_reply_json(q, status, nn_operation_json(op, with_request, artifacts), err);
}

static nn_status missing(nn_request *q, nn_status s, nn_err *err) {
    bool gone = s == NN_E_NOT_FOUND;
    return gone ? nn_view_missing(q, s, "Operation", nn_request_param(q, "id"), err) : s;
}

static nn_status find(nn_request *q, nn_operation **ret, nn_err *err) {
    return missing(q, nn_operation_get(q->app->jobs, nn_request_param(q, "id"), ret, err), err);
}

/* ---- one, and waiting for its end ---- */

static nn_status get_now(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = find(q, &op, err);
    return s ? s : reply_operation(q, 200, op, true, err);
}

static nn_status get_when_ended(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = find(q, &op, err);
    if (s) return s;
    if (!nn_state_terminal(op->state) && !nn_request_wait_over(q))
        return NN_OK; /* goes on waiting */
    return reply_operation(q, 200, op, true, err);
}

typedef struct end_watch { /* in the request's arena */
    nn_bus *bus;
    const char *id;
    nn_waiter *waiter;
} end_watch;

static void on_event(void *arg) {
    nn_request_wake(((end_watch *)arg)->waiter);
}

static nn_status watch(void *arg, nn_waiter *w, void **ret_subscription, nn_err *err) {
    (void)err;
    end_watch *e = arg;
    e->waiter = w;
    nn_bus_filter filter = {.type = "operation.finished", .operation = e->id};
    *ret_subscription = nn_bus_subscribe(e->bus, &filter, 4, on_event, e);
    return NN_OK;
}

static void unwatch(void *subscription) {
    nn_sub_close(subscription);
}

static nn_status get_operation(nn_request *q, nn_err *err) {
    int64_t ms = nn_request_wait_ms(q);
    if (!ms) return get_now(q, err);
    end_watch *e = NN_NEW(nn_request_arena(q), end_watch);
    if (!e) return nn_fail(err, NN_E_LIMIT, "the request's memory is used up");
    *e = (end_watch){.bus = q->app->bus, .id = nn_request_param(q, "id")};
    nn_wait w = {
        .ms = ms, .again = get_when_ended, .subscribe = watch, .unsubscribe = unwatch, .arg = e};
    return nn_request_park(q, &w, err);
}

/* ---- many ---- */

static nn_status bad_query(nn_request *q, const char *name, const char *value, const char *expected,
                           nn_err *err) {
    nn_schema_violation(q->errors, "query", name, "unknown_value", "'%.60s' is not %s", value,
                        expected);
    return nn_reply_invalid(q, err);
}

static nn_status query_time(nn_request *q, const char *name, int64_t *ret, nn_err *err) {
    const char *text = nn_request_query(q, name, NULL);
    if (text && nn_time_parse(text, strlen(text), ret, NULL) != NN_OK)
        return bad_query(q, name, text, "an RFC 3339 time", err);
    return NN_OK;
}

/* label=key:value, or label=key=value */
static nn_status query_label(nn_request *q, nn_operation_filter *f, nn_err *err) {
    const char *text = nn_request_query(q, "label", NULL);
    if (!text) return NN_OK;
    size_t n = strcspn(text, ":=");
    if (!text[n] || !n) return bad_query(q, "label", text, "of the form key:value", err);
    f->label_key = nn_arena_strndup(nn_request_arena(q), text, n);
    f->label_value = text + n + 1;
    return NN_OK;
}

static nn_status read_filter(nn_request *q, nn_operation_filter *f, nn_err *err) {
    const char *state = nn_request_query(q, "state", NULL),
               *status = nn_request_query(q, "status", NULL);
    *f = (nn_operation_filter){.kind = nn_request_query(q, "kind", NULL),
                               .model = nn_request_query(q, "model", NULL),
                               .parent_id = nn_request_query(q, "parent", NULL),
                               .principal = nn_request_query(q, "principal", NULL),
                               .text = nn_request_query(q, "q", NULL),
                               .limit = nn_request_query_int(q, "limit", 100),
                               .offset = nn_request_query_int(q, "skip", 0),
                               .cursor = nn_request_query(q, "cursor", NULL),
                               .ascending =
                                   strcmp(nn_request_query(q, "order", "desc"), "asc") == 0};
    if (f->kind && nn_kind_id_find(f->kind) < 0)
        return bad_query(q, "kind", f->kind, "a kind of operation", err);
    if (state && !(f->states = nn_state_set(state, NN_WORDS_CANONICAL)))
        return bad_query(q, "state", state, "a state", err);
    if (!state && status && !(f->states = nn_state_set(status, NN_WORDS_JOBS)))
        return bad_query(q, "status", status, "a status", err);
    nn_status s = query_time(q, "since", &f->since, err);
    if (!s) s = query_time(q, "until", &f->until, err);
    return s ? s : query_label(q, f, err);
}

static nn_status list_operations(nn_request *q, nn_err *err) {
    nn_operation_filter f;
    nn_operation_page page = {0};
    nn_status s = read_filter(q, &f, err);
    if (!s) s = nn_operation_list(q->app->jobs, &f, &page, err);
    if (s) return s;
    nn_json *o = nn_json_new_object(), *items = nn_json_new_array();
    for (int i = 0; i < page.n; i++)
        nn_json_push(items, nn_operation_json(page.items[i], false, NULL));
    nn_json_set(o, "items", items);
    nn_json_set(o, "total", nn_json_new_int(page.total));
    nn_json_set(o, "limit", nn_json_new_int(f.limit));
    nn_json_set(o, "next_cursor", nn_json_new_str(page.next_cursor));
    nn_operation_page_done(&page);
    return nn_reply_json(q, 200, o, err);
}

/* ---- end, result, logs ---- */

static nn_status cancel_operation(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s =
        nn_operation_cancel(q->app->jobs, nn_request_param(q, "id"), q->who->name, &op, err);
    if (s) return missing(q, s, err);
    nn_supervisor_wake(q->app->supervisor);
    return reply_operation(q, 202, op, false, err);
}

static nn_status delete_operation(nn_request *q, nn_err *err) {
    nn_status s = nn_operation_delete(q->app->jobs, nn_request_param(q, "id"), err);
    return s ? missing(q, s, err) : nn_reply_empty(q, 204);
}

static nn_status get_result(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_status s = find(q, &op, err);
    if (s) return s;
    if (!nn_state_terminal(op->state))
        return nn_fail(err, NN_E_NOT_COMPLETED,
                       "operation %s is %s; its result is there when it has ended", op->id,
                       nn_state_name(op->state));
    return nn_reply_json(q, 200, op->result ? nn_json_copy(op->result) : nn_json_new_object(), err);
}

static nn_status list_artifacts(nn_request *q, nn_err *err) {
    NN_AUTO(nn_operation) *op = NULL;
    nn_json *items = NULL;
    nn_status s = find(q, &op, err);
    if (!s) s = nn_artifact_list(q->app->track, op->id, &items, err);
    if (s) return s;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "items", items);
    nn_json_set(o, "total", nn_json_new_int((int64_t)nn_json_size(items)));
    return nn_reply_json(q, 200, o, err);
}

static nn_status get_artifact(nn_request *q, nn_err *err) {
    nn_row row;
    nn_arena *a = nn_request_arena(q);
    const char *id = nn_request_param(q, "id");
    nn_status s = nn_artifact_get(q->app->track, id, a, &row, err);
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Artifact", id, err);
    if (s) return s;
    const char *sha = nn_row_text(row, "sha256");
    return nn_reply_file(q, nn_artifact_path(q->app->track, sha, a), nn_row_text(row, "media_type"),
                         nn_row_text(row, "name"), sha, err);
}

/* ---- rows ---- */

static const nn_member wait_members[] = {
    {"wait",    NN_NUMBER, .min = 0, .max = 300,
     .help = "answer at its end, or after so many seconds"},
    {0}
};
static const nn_schema wait_query = {"WaitQuery", wait_members, .help = "how long to wait"};
static const nn_member list_query_members[] = {
    {"kind",                           NN_STRING, .max = 32, .help = "compile train deploy"},
    {"state",                       NN_STRING, .max = 32, .help = "a canonical state"},
    {"status",                                NN_STRING, .max = 32, .help = "the same in the words of /jobs"},
    {"model", NN_STRING, .max = 512, .help = "id or name of a model"},
    {"label",     NN_STRING, .max = 512, .help = "key:value"},
    {"parent",                         NN_STRING, .max = 64, .help = "id of the parent"},
    {"principal",                       NN_STRING, .max = 128, .help = "who created it"},
    {"q",                                NN_STRING, .max = 256, .help = "text in name or error"},
    {"since",                       NN_STRING, .max = 64, .help = "created at or after, RFC 3339"},
    {"until", NN_STRING, .max = 64, .help = "created before, RFC 3339"},
    {"cursor",                          NN_STRING, .max = 1024, .help = "next_cursor of the page before"},
    {"order",                      NN_STRING, .one_of = "asc desc", .help = "oldest or newest first (default desc)"},
    NN_MEMBER_SKIP_LIMIT,
    {0                               }
};
static const nn_schema list_query = {"OperationListQuery", list_query_members,
                                     .help = "which operations"};
static const nn_member list_members[] = {
    {"items",                     NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &nn_schema_operation,
     .help = "the operations"},
    {"total",           NN_INTEGER, .required = true, .help = "how many there are"},
    {"limit", NN_INTEGER, .required = true, .help = "how many were asked for"},
    {"next_cursor",                           NN_STRING, .required = true, .nullable = true,
     .help = "where the next page begins"},
    {0      }
};
static const nn_schema list_answer = {"OperationList", list_members,
                                      .help = "a page of operations"};
static const nn_schema result_answer = {"OperationResult", NULL, .help = "what came of it"};
static const nn_member artifact_members[] = {
    {"id",                                              NN_STRING, .required = true, .format = "uuid", .help = "its id"},
    {"name",                                 NN_STRING, .required = true, .help = "its file name"},
    {"kind",                                 NN_STRING, .required = true, .help = "checkpoint model code log report other"},
    {"size",                                            NN_INTEGER, .required = true, .help = "bytes"},
    {"sha256",                                 NN_STRING, .required = true, .help = "of the bytes, in hex"},
    {"media_type",                                                 NN_STRING, .required = true, .help = "by its name"},
    {"created_at",        NN_STRING, .required = true, .format = "date-time", .help = "when it was kept"},
    {"href", NN_STRING, .required = true, .help = "where its bytes are"},
    {0                                           }
};
static const nn_schema artifact = {"Artifact", artifact_members,
                                   .help = "a file that an operation left"};
static const nn_member artifacts_members[] = {
    {"items",           NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &artifact,
     .help = "the newest version of each name, by name"},
    {"total", NN_INTEGER, .required = true, .help = "how many there are"},
    {0 }
};
static const nn_schema artifacts_answer = {"ArtifactList", artifacts_members,
                                           .help = "the files of an operation"};
static const nn_schema bytes_answer = {"Bytes", NULL, .help = "the bytes",
                                       .media = "application/octet-stream"};

static const nn_status one_errors[] = {NN_E_NOT_FOUND, 0};
static const nn_status cancel_errors[] = {NN_E_NOT_FOUND, NN_E_NOT_CANCELLABLE, 0};
static const nn_status delete_errors[] = {NN_E_NOT_FOUND, NN_E_CONFLICT, 0};
static const nn_status result_errors[] = {NN_E_NOT_FOUND, NN_E_NOT_COMPLETED, 0};

const nn_route nn_routes_operations[] = {
    {NN_HTTP_GET,                                                             "/api/v1/operations", list_operations, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "Operations, newest first", .query = &list_query,
     .response = &list_answer},
    {NN_HTTP_GET,                                                        "/api/v1/operations/{id}", get_operation, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "One operation; ?wait= holds the answer until it has ended",
     .query = &wait_query, .response = &nn_schema_operation, .errors = one_errors},
    {NN_HTTP_DELETE,                                                  "/api/v1/operations/{id}", delete_operation, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_DATA, .status = 204, .summary = "Forget an operation that has ended",
     .errors = delete_errors},
    {NN_HTTP_POST,                                                   "/api/v1/operations/{id}/cancel", cancel_operation, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_TRAIN, .status = 202, .summary = "Begin to cancel an operation",
     .response = &nn_schema_operation, .errors = cancel_errors},
    {NN_HTTP_GET,                                                                       "/api/v1/operations/{id}/result", get_result, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "The result of an operation that has ended",
     .response = &result_answer, .errors = result_errors},
    {NN_HTTP_GET,"/api/v1/operations/{id}/artifacts", list_artifacts, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "The files that an operation left",
     .response = &artifacts_answer, .errors = one_errors},
    {NN_HTTP_GET,                                               "/api/v1/artifacts/{id}", get_artifact, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "The bytes of an artifact, with Range and ETag",
     .response = &bytes_answer, .errors = one_errors},
    {0}
};
