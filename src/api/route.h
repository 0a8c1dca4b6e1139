/* SPDX-License-Identifier: MIT */
/* route.h - routes as rows, and what a handler gets and gives.
 *
 * One file per resource in routes/ holds its handlers and its rows; routes.def lists the resources.
 * A row without a handler, a summary or a response schema (but for 204 answers) stops the start.
 *
 *     static nn_status get_job(nn_request *q, nn_err *err) {
 *         const char *id = nn_request_param(q, "id");
 *         ...
 *         if (!found) return nn_fail(err, NN_E_NOT_FOUND, "Job %s not found", id);
 *         return nn_reply_json(q, 200, job, err);
 *     }
 *     const nn_route nn_routes_jobs[] = {
 *         {NN_HTTP_GET, "/jobs/{id}", get_job, .scope = NN_SCOPE_READ, .summary = "One job",
 * .response = &job}, {0}};
 *
 * What the router does before the handler: finds the row (whole segments; with or without trailing
 * slash; HEAD is answered by GET; OPTIONS and 405 from the rows), credentials, scope, Host and
 * Origin, rate limit, media type, body size, JSON, schema. What it does after: the error body when
 * the handler fails, X-Request-ID, X-Process-Time, rate and CORS fields, log, metrics. */
#ifndef NN_API_ROUTE_H
#define NN_API_ROUTE_H
#include "api/app.h"
#include "base/schema.h"
#include "net/http.h"

typedef enum nn_scope {
    NN_SCOPE_NONE, /* any principal */
    NN_SCOPE_READ = 1 << 0,
    NN_SCOPE_COMPILE = 1 << 1,
    NN_SCOPE_RUN = 1 << 2,
    NN_SCOPE_TRAIN = 1 << 3,
    NN_SCOPE_DEPLOY = 1 << 4,
    NN_SCOPE_INFER = 1 << 5,
    NN_SCOPE_TRACK = 1 << 6,
    NN_SCOPE_DATA = 1 << 7,
    NN_SCOPE_CONNECT = 1 << 8,
    NN_SCOPE_CODE = 1 << 9,
    NN_SCOPE_ADMIN = 1 << 10,
} nn_scope;

/* The budget that a request counts against. */
typedef enum nn_group {
    NN_GROUP_API,   /* the default */
    NN_GROUP_TRACK, /* metric logging */
    NN_GROUP_SERVE, /* predict */
    NN_GROUP_EXEMPT,
} nn_group;

/* The face of the wire contract: what `mixed` authentication and the tags of OpenAPI go by. */
typedef enum nn_tag {
    NN_TAG_SERVICE, /* needs credentials in mixed mode */
    NN_TAG_CANONICAL,
    NN_TAG_SYSTEM, /* health and the like */
    NN_TAG_BRIDGE, /* the language over HTTP */
} nn_tag;

typedef struct nn_principal {
    char name[64];   /* "local" without credentials; else the key's user */
    char key_id[40]; /* empty for local */
    unsigned scopes;
    bool authenticated;
} nn_principal;

typedef struct nn_request nn_request;
typedef nn_status (*nn_handler)(nn_request *q, nn_err *err);

typedef struct nn_route {
    nn_http_method method;
    const char *path; /* "/jobs/{id}"; without trailing slash; a parameter is a whole segment */
    nn_handler handler;
    nn_tag face;
    nn_scope scope;
    nn_group group;
    bool is_public;     /* needs no credentials in any mode */
    bool is_inline;     /* runs on the loop thread: no I/O, no waiting. Otherwise on the pool */
    size_t inline_body; /* of an inline row: a longer body is left to the pool; 0: none is */
    bool raw_body;      /* the handler reads q->http->body itself: no JSON value is built; request
                           describes it */
    bool own_check;     /* the handler checks q->body itself, as creating an operation does: it is
                           parsed, and NULL where nothing was sent */
    bool quiet;         /* logged at DEBUG only */
    int status;         /* of success; 0: 200 */
    int also;           /* another status that comes with `response`; 0: none */
    int conflict;       /* of the codes that are 409 elsewhere; 0: 409 */
    const char *summary, *help;
    const char *accepts;       /* a media type besides JSON that the body may have */
    const nn_schema *request;  /* of the body; NULL: none is read */
    const nn_schema *query;    /* its fields are the query parameters */
    const nn_schema *response; /* NULL: only with status 204 */
    const nn_status *errors;   /* what it may answer besides the common ones, ends with 0 */
} nn_route;

/* The HTTP status of a code on this row; r may be NULL. */
static inline int nn_route_http(const nn_route *r, nn_status code) {
    int status = nn_status_http(code);
    return status == 409 && r && r->conflict ? r->conflict : status;
}

struct nn_request {
    nn_app *app;
    const nn_route *route;
    nn_http_request *http;
    const nn_principal *who;
    const char *request_id;
    nn_json *body;     /* checked and presets filled in, but for own_check; NULL without a request
                          schema. Borrowed: dies with the request */
    nn_json *query;    /* an object: checked, converted, presets filled in. NULL without a query
                          schema. Borrowed */
    nn_json *warnings; /* an array of sentences: unknown fields of the request. Borrowed; handlers
                          may push more */
    nn_json *errors;   /* an array: violations found by the handler itself, see nn_schema_violation.
                          Borrowed */
};

/* The request's arena: dies after the answer. */
nn_arena *nn_request_arena(nn_request *q);
/* The path parameter of that name, decoded; the row must have it. */
const char *nn_request_param(nn_request *q, const char *name);
/* Query parameters; `otherwise` where the client sent none and the row has no preset. */
const char *nn_request_query(nn_request *q, const char *name, const char *otherwise);
int64_t nn_request_query_int(nn_request *q, const char *name, int64_t otherwise);
bool nn_request_may(const nn_request *q, nn_scope scope);

/* Answers; each returns NN_OK, so that it can end a handler. v is taken. */
nn_status nn_reply_json(nn_request *q, int status, nn_json *v, nn_err *err);
/* Writes JSON without building it: w->out is the answer's body. End with nn_reply_written. */
nn_jw nn_reply_writer(nn_request *q);
nn_status nn_reply_written(nn_request *q, int status,
                           nn_err *err); /* NN_E_INTERNAL when the buffer failed */
nn_status nn_reply_text(nn_request *q, int status, const char *type, const char *text, size_t n);
/* Bytes that outlive the server, such as a document made at the start: not copied. */
nn_status nn_reply_fixed(nn_request *q, int status, const char *type, const char *text, size_t n);
nn_status nn_reply_empty(nn_request *q, int status); /* 204 */
/* A file of the artifact store as attachment `filename` (NULL: inline), with Range and ETag (hex
 * SHA-256 or NULL). */
nn_status nn_reply_file(nn_request *q, const char *path, const char *type, const char *filename,
                        const char *etag, nn_err *err);
/* A field of the answer; call before the answer. Control bytes in value become '?'. */
void nn_reply_header(nn_request *q, const char *name, const char *value);
/* Fails with the violations in q->errors. */
nn_status nn_reply_invalid(nn_request *q, nn_err *err);
/* Adds the item to the array `diagnostics` of the error body, if the handler then fails. */
void nn_reply_diagnostic(nn_request *q, nn_json *item);

/* ---- answering later ----
 * A handler that must wait for an event returns nn_request_park(...). The router calls subscribe,
 * and then `again` on the pool: at once (so that an event before the subscription is not lost),
 * after each wake, and finally when ms have passed, the client went away or the server drains.
 * `again` either answers, or leaves the request without an answer to go on waiting; when
 * nn_request_wait_over() says so it must answer with what there is. Then unsubscribe is called.
 * subscribe, again and unsubscribe of one request never run at the same time. */
typedef struct nn_waiter nn_waiter;
typedef struct nn_wait {
    int64_t ms;
    nn_handler again;
    /* w stays valid until unsubscribe has returned; until then any thread may call
     * nn_request_wake(w), as often as it likes. *ret_subscription is what unsubscribe gets. */
    nn_status (*subscribe)(void *arg, nn_waiter *w, void **ret_subscription, nn_err *err);
    void (*unsubscribe)(void *subscription);
    void *arg; /* of subscribe; in the request's arena or longer lived */
} nn_wait;
nn_status nn_request_park(nn_request *q, const nn_wait *w, nn_err *err); /* *w is copied */
void nn_request_wake(nn_waiter *w);                                      /* never waits */
bool nn_request_wait_over(const nn_request *q);
/* What ?wait=n or "Prefer: wait=n" asks for, in ms, 0..300000; 0 without either. A row that takes
 * ?wait= has it in `query`. */
int64_t nn_request_wait_ms(nn_request *q);

/* ---- answering from another thread ----
 * For a handler whose work ends in a callback on a thread of someone else, without a way back to
 * the pool; inline rows may do it too. The handler calls nn_request_defer, starts the work, and
 * returns NN_OK without touching q again; or it fails as usual, if the work did not start. */
nn_status nn_request_defer(nn_request *q, nn_err *err);
/* Exactly once for each deferred request, on any thread: after the answer was given (NN_OK), or
 * with the failure that err tells about. q is gone then. */
void nn_request_finish(nn_request *q, nn_status status, const nn_err *err);

/* ---- the table ---- */
typedef struct nn_router nn_router;
/* Rows of all resources of routes.def; of the given tables, each ending with {0} (tests). Fails
 * (NN_E_INTERNAL) on a row without handler, summary or response schema, and on two rows for one
 * path and method. */
nn_status nn_router_new(nn_router **ret, nn_err *err);
nn_status nn_router_build(const nn_route *const *tables, size_t n, nn_router **ret, nn_err *err);
void nn_router_free(nn_router *r); /* NULL allowed */
/* The rows, for OpenAPI and the docs. */
size_t nn_router_count(const nn_router *r);
const nn_route *nn_router_at(const nn_router *r, size_t i);
#endif
