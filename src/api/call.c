/* SPDX-License-Identifier: MIT */
/* call.c - the way of a request: the checks at its head, its handler, the completion of its answer.
 */
#include "api/call.h"

#include "api/auth.h"
#include "api/guard.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/rng.h"
#include "net/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static nn_call *call_of(nn_http_request *q) {
    return nn_http_user(q);
}

/* ---- request ids ---- */

/* A random UUID (version 4). Request ids are names, not secrets, and each thread makes its own
 * without a lock or a system call: from a generator whose key is random. */
static void new_id(char ret[37]) {
    static _Thread_local nn_rng rng;
    static _Thread_local bool seeded;
    static const char digits[] = "0123456789abcdef";
    if (!seeded) {
        uint64_t key[2];
        nn_random(key, sizeof key);
        rng = nn_rng_new(key[0], key[1]);
        seeded = true;
    }
    uint8_t b[16];
    for (int i = 0; i < 4; i++) {
        uint32_t v = nn_rng_u32(&rng);
        memcpy(b + 4 * i, &v, 4);
    }
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *ret++ = '-';
        *ret++ = digits[b[i] >> 4];
        *ret++ = digits[b[i] & 15];
    }
    *ret = 0;
}

static void choose_id(nn_call *c) {
    nn_text t = nn_http_get(c->q.http, "x-request-id");
    bool good = t.n >= 1 && t.n <= NN_REQUEST_ID_MAX;
    for (size_t i = 0; good && i < t.n; i++) good = t.p[i] >= 0x20 && t.p[i] < 0x7f;
    if (good)
        memcpy(c->id, t.p, t.n);
    else
        new_id(c->id);
}

static nn_call *begin(nn_app *app, nn_http_request *q) {
    nn_call *c = call_of(q);
    c->q.app = app;
    c->q.http = q;
    c->q.who = &c->who;
    c->q.request_id = c->id;
    choose_id(c);
    return c;
}

/* ---- the fields that every answer carries ---- */

static char *put(char *p, const char *s, size_t n) {
    memcpy(p, s, n);
    return p + n;
}

/* Seconds with microseconds. */
static char *put_seconds(char *p, int64_t ns) {
    int64_t us = ns > 0 ? ns / 1000 : 0;
    char digits[24];
    int n = 0;
    for (int64_t v = us / 1000000; n == 0 || v; v /= 10) digits[n++] = (char)('0' + v % 10);
    while (n) *p++ = digits[--n];
    *p++ = '.';
    us %= 1000000;
    for (int64_t unit = 100000; unit; unit /= 10) *p++ = (char)('0' + us / unit % 10);
    return p;
}

static void common_fields(nn_call *c, nn_http_response *r) {
    static const char id[] = "X-Request-ID: ", time[] = "\r\nX-Process-Time: ",
                      rest[] = "\r\nX-Content-Type-Options: nosniff\r\n";
    char *start = nn_buf_reserve(&r->head,
                                 sizeof id + sizeof time + sizeof rest + NN_REQUEST_ID_MAX + 32),
         *p = start;
    if (!p) return;
    p = put(p, id, sizeof id - 1);
    p = put(p, c->id, strlen(c->id));
    p = put(p, time, sizeof time - 1);
    p = put_seconds(p, nn_clock_mono() - (int64_t)c->q.http->began);
    p = put(p, rest, sizeof rest - 1);
    *p = 0;
    r->head.n += (size_t)(p - start);
    if (c->limited) {
        nn_http_headerf(r, "X-RateLimit-Limit", "%u", c->verdict.limit);
        nn_http_headerf(r, "X-RateLimit-Remaining", "%u", c->verdict.remaining);
        nn_http_headerf(r, "X-RateLimit-Reset", "%u", c->verdict.reset_s);
    }
    if (c->origin.p) nn_guard_cors(c->q.app->guard, c->origin, r);
}

void nn_call_finish(nn_call *c, nn_status status) {
    nn_http_response *r = nn_http_answer(c->q.http);
    if (status == NN_OK && r->status == 0)
        status = nn_fail(&c->err, NN_E_INTERNAL, "%s did not answer",
                         c->entry ? c->entry->route->path : "the router");
    if (status == NN_OK && nn_buf_failed(&r->body))
        status = nn_fail(&c->err, NN_E_INTERNAL, "the answer is too large for memory");
    c->err.code = status;
    if (status != NN_OK) nn_problem_reply(c, &c->err);
    common_fields(c, r);
    nn_json_unref(c->q.body);
    nn_json_unref(c->q.query);
    nn_json_unref(c->q.warnings);
    nn_json_unref(c->q.errors);
    nn_json_unref(c->diagnostics);
    c->q.body = c->q.query = c->q.warnings = c->q.errors = c->diagnostics = NULL;
    c->answered = true;
}

/* ---- checks at the head ---- */

/* The presented key: the key header, else Authorization: Bearer. */
static nn_text credentials(const nn_call *c) {
    nn_text key = nn_http_get(c->q.http, c->q.app->key_header);
    if (key.p) return key;
    nn_text bearer = nn_http_get(c->q.http, "authorization");
    if (bearer.n <= 7 || strncasecmp(bearer.p, "bearer ", 7) != 0) return (nn_text){0};
    bearer.p += 7;
    bearer.n -= 7;
    while (bearer.n && *bearer.p == ' ') bearer = (nn_text){bearer.p + 1, bearer.n - 1};
    return bearer;
}

/* Counts the request against its client; false: over the limit. */
static bool within_limit(nn_call *c, nn_group group) {
    const nn_app *app = c->q.app;
    if (!app->limiter || group == NN_GROUP_EXEMPT) return true;
    const char *client = c->who.authenticated ? c->who.key_id : c->q.http->peer;
    uint32_t limit = group == NN_GROUP_API ? app->api_limit : app->serve_limit;
    c->verdict = nn_limiter_ask(app->limiter, client, strlen(client), group, limit,
                                (uint64_t)nn_clock_mono() / 1000000);
    c->limited = true;
    return c->verdict.allowed;
}

static nn_status check_limit(nn_call *c, nn_group group) {
    if (within_limit(c, group)) return NN_OK;
    return nn_fail(&c->err, NN_E_RATE_LIMITED, "Rate limit exceeded. Try again in %u seconds.",
                   c->verdict.reset_s);
}

/* Whether this row asks for a key in this mode. */
static bool needs_key(const nn_call *c, const nn_route *r) {
    if (r->is_public) return false;
    nn_auth_mode mode = nn_auth_mode_of(c->q.app->auth);
    return mode == NN_AUTH_REQUIRED || (mode == NN_AUTH_MIXED && r->face == NN_TAG_SERVICE);
}

static nn_status check_scope(nn_call *c, const nn_route *r) {
    if (!c->who.authenticated && needs_key(c, r)) {
        nn_status s = nn_fail(&c->err, NN_E_UNAUTHORIZED, "API key required");
        return nn_err_hint(&c->err, s,
                           "send it as X-API-Key; make one with: neural key create NAME");
    }
    if (r->is_public || !r->scope || (c->who.scopes & r->scope) == r->scope) return NN_OK;
    if (!c->who.authenticated && nn_auth_mode_of(c->q.app->auth) != NN_AUTH_OPEN)
        return nn_fail(&c->err, NN_E_UNAUTHORIZED, "API key required");
    return nn_fail(&c->err, NN_E_FORBIDDEN, "this key lacks the scope %s", nn_scope_name(r->scope));
}

/* A public row does not look at the key at all: it is answered without one, and costs no hashing.
 */
static nn_status check_key(nn_call *c, const nn_route *r, nn_text key) {
    if (r && r->is_public && r->is_inline) key.n = 0;
    nn_status s = nn_auth_check(c->q.app->auth, key.p, key.n, &c->who, &c->err);
    nn_status limit = check_limit(c, r ? r->group : NN_GROUP_API);
    return limit != NN_OK ? limit : s;
}

static nn_status no_row(nn_call *c, unsigned allow) {
    const nn_http_request *q = c->q.http;
    if (!allow)
        return nn_fail(&c->err, NN_E_NOT_FOUND, "there is nothing at %.*s",
                       q->path.n > 200 ? 200 : (int)q->path.n, q->path.p);
    return nn_fail(&c->err, NN_E_METHOD_NOT_ALLOWED, "%.*s does not answer %s",
                   q->path.n > 200 ? 200 : (int)q->path.n, q->path.p,
                   nn_http_method_name(q->method));
}

static void allow_field(nn_http_response *r, unsigned allow) {
    char list[80];
    size_t n = 0;
    for (int m = 0; m < NN_HTTP_METHODS; m++)
        if (allow >> m & 1)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "",
                                  nn_http_method_name((nn_http_method)m));
    nn_http_header(r, "Allow", list);
}

static bool is_json(nn_text type) {
    const char *semicolon = type.n ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon) type.n = (size_t)(semicolon - type.p);
    while (type.n && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t')) type.n--;
    if (nn_text_isi(type, "application/json")) return true;
    return type.n > 5 && strncasecmp(type.p + type.n - 5, "+json", 5) == 0 &&
           memchr(type.p, '/', type.n);
}

static nn_status check_media(nn_call *c, const nn_route *r) {
    nn_text type = nn_http_get(c->q.http, "content-type");
    if (!type.p || c->q.http->body_length == 0 || !r->request || is_json(type)) return NN_OK;
    if (r->accepts && type.n >= strlen(r->accepts) &&
        strncasecmp(type.p, r->accepts, strlen(r->accepts)) == 0)
        return NN_OK;
    nn_status s = nn_fail(&c->err, NN_E_UNSUPPORTED_MEDIA_TYPE,
                          "the body has the media type %.*s, which is not read here",
                          type.n > 100 ? 100 : (int)type.n, type.p);
    return nn_err_hint(&c->err, s, "send application/json%s%s", r->accepts ? " or " : "",
                       r->accepts ? r->accepts : "");
}

/* Everything that can be said about a request before its body. */
static nn_status check_head(nn_call *c, unsigned *ret_allow) {
    nn_app *app = c->q.app;
    nn_http_request *q = c->q.http;
    nn_text key = credentials(c);
    nn_status s = nn_url_split(q, &c->err);
    if (s == NN_OK) s = nn_guard_host(app->guard, q, &c->err);
    if (s != NN_OK) return s;
    c->method = q->method == NN_HTTP_HEAD ? NN_HTTP_GET : q->method;
    c->entry = nn_router_find(app->router, q, c->method, ret_allow);
    const nn_route *r = c->entry ? c->entry->route : NULL;
    s = nn_guard_origin(app->guard, q, c->origin, r && r->is_public, key.p != NULL, &c->err);
    if (s == NN_OK) s = check_key(c, r, key);
    if (s != NN_OK) return s;
    if (!r) return no_row(c, *ret_allow);
    s = check_scope(c, r);
    return s == NN_OK ? check_media(c, r) : s;
}

/* OPTIONS, with Origin and Access-Control-Request-Method: a browser asks before it asks. */
static bool options(nn_call *c) {
    nn_http_request *q = c->q.http;
    nn_http_response *r = nn_http_answer(q);
    unsigned allow = 0;
    nn_err ignored;
    if (q->method != NN_HTTP_OPTIONS || nn_url_split(q, &ignored) != NN_OK) return false;
    if (nn_guard_host(c->q.app->guard, q, &ignored) != NN_OK) return false;
    if (c->origin.p && nn_http_get(q, "access-control-request-method").p) {
        nn_guard_preflight(c->q.app->guard, q, c->origin, r);
        c->origin = (nn_text){0}; /* its fields are complete */
        return true;
    }
    nn_router_find(c->q.app->router, q, NN_HTTP_OPTIONS, &allow);
    if (q->segments && !allow) return false;
    r->status = 204;
    if (allow) allow_field(r, allow);
    return true;
}

static bool on_head(void *ctx, nn_http_request *q, size_t *body_limit) {
    nn_call *c = begin(ctx, q);
    unsigned allow = 0;
    c->origin = nn_http_get(q, "origin");
    if (options(c)) {
        nn_call_finish(c, NN_OK);
        return false;
    }
    nn_status s = check_head(c, &allow);
    if (s != NN_OK) {
        nn_call_finish(c, s);
        if (s == NN_E_METHOD_NOT_ALLOWED) allow_field(nn_http_answer(q), allow);
        return false;
    }
    if (!c->entry->route->request) *body_limit = *body_limit < 65536 ? *body_limit : 65536;
    return true;
}

/* ---- the handler ---- */

static nn_status read_body(nn_call *c, const nn_route *r) {
    nn_request *q = &c->q;
    if (!r->request || r->raw_body || r->request->media) return NN_OK;
    if (q->http->body.n) {
        nn_status s = nn_json_parse(q->http->body.p, q->http->body.n, &q->body, &c->err);
        if (s != NN_OK) return s;
    }
    if (r->own_check) return NN_OK;
    nn_status s = nn_schema_check(r->request, q->body, "body", q->errors, q->warnings, &c->err);
    if (s == NN_OK) nn_schema_fill(r->request, q->body);
    return s;
}

/* Fills q->query from the query string by the row's fields; the last of a repeated name counts. */
static nn_status read_query(nn_call *c, const nn_route *r) {
    nn_request *q = &c->q;
    nn_text rest = q->http->query;
    if (!r->query) return NN_OK;
    q->query = nn_json_new_object();
    for (bool found = true; found;) {
        nn_url_pair pair;
        nn_status s = nn_url_next(&rest, nn_http_arena(q->http), &pair, &found, &c->err);
        if (s != NN_OK) return s;
        const nn_member *f = r->query->fields;
        while (found && f->name && strcmp(f->name, pair.name) != 0) f++;
        nn_json *v = found && f->name ? nn_schema_text(f, pair.value, "query", q->errors) : NULL;
        if (v) nn_json_set(q->query, f->name, v);
    }
    nn_schema_check(r->query, q->query, "query", q->errors, NULL, NULL);
    if (nn_json_size(q->errors)) return nn_reply_invalid(q, &c->err);
    nn_schema_fill(r->query, q->query);
    return NN_OK;
}

/* *ret_deferred: a handler that succeeded has given the call away. */
static nn_status run_handler(nn_call *c, bool *ret_deferred) {
    const nn_route *r = c->entry->route;
    nn_request *q = &c->q;
    *ret_deferred = false;
    c->deferred = ret_deferred;
    if (r->request || r->query) {
        q->errors = nn_json_new_array();
        q->warnings = nn_json_new_array();
    }
    nn_status s = read_query(c, r);
    if (s == NN_OK || s == NN_E_VALIDATION_ERROR) {
        nn_status body = read_body(c, r);
        if (body != NN_OK) s = body;
    }
    if (s == NN_OK && nn_json_size(q->errors)) s = nn_reply_invalid(q, &c->err);
    return s == NN_OK ? r->handler(q, &c->err) : s;
}

void nn_call_run(void *arg) {
    nn_call *c = arg;
    bool deferred;
    nn_log_request_set(c->id);
    nn_status s = run_handler(c, &deferred);
    if (s == NN_OK && deferred) {
        /* it is another's, and perhaps gone */
    } else if (s == NN_OK && c->waiter.wanted) {
        nn_wait_begin(c);
    } else {
        nn_call_finish(c, s);
        nn_http_complete(c->q.http);
    }
    nn_log_request_set(NULL);
}

/* Makes c independent of its connection. What pointed into the read buffer moves along. */
static nn_status park(nn_call *c, void (*wake)(void *arg, nn_http_wakeup why), nn_err *err) {
    nn_status s = nn_http_park(c->q.http, wake, c, err);
    if (s != NN_OK) return s;
    c->parked = true;
    if (c->origin.p) c->origin = nn_http_get(c->q.http, "origin");
    return NN_OK;
}

nn_status nn_request_defer(nn_request *q, nn_err *err) {
    nn_call *c = nn_call_of(q);
    nn_status s = c->parked ? NN_OK : park(c, NULL, err);
    if (s == NN_OK) *c->deferred = true;
    return s;
}

void nn_request_finish(nn_request *q, nn_status status, const nn_err *err) {
    nn_call *c = nn_call_of(q);
    nn_log_request_set(c->id);
    if (status != NN_OK) c->err = *err;
    nn_call_finish(c, status);
    nn_log_request_set(NULL);
    nn_http_complete(q->http);
}

/* A row that answers on the loop's thread. */
static void run_inline(nn_call *c) {
    bool deferred;
    nn_status s = run_handler(c, &deferred);
    if (s == NN_OK && deferred) return;
    if (s == NN_OK && c->waiter.wanted)
        s = nn_fail(&c->err, NN_E_INTERNAL, "an inline handler cannot wait");
    nn_call_finish(c, s);
    if (c->parked) nn_http_complete(c->q.http);
}

static bool runs_inline(const nn_route *r, const nn_http_request *q) {
    return r->is_inline && (!r->inline_body || q->body.n <= r->inline_body);
}

static void on_request(void *ctx, nn_http_request *q) {
    nn_app *app = ctx;
    nn_call *c = call_of(q);
    if (runs_inline(c->entry->route, q)) {
        run_inline(c);
        return;
    }
    nn_status s = park(c, nn_wait_wake, &c->err);
    if (s != NN_OK) {
        nn_call_finish(c, s);
        return;
    }
    s = nn_pool_submit(app->pool, nn_call_run, c, &c->err);
    if (s == NN_OK) return;
    nn_call_finish(c, s);
    nn_http_complete(q);
}

static void on_refuse(void *ctx, nn_http_request *q, const nn_err *why) {
    nn_call *c = call_of(q);
    if (!c->q.app) begin(ctx, q);
    c->err = *why;
    nn_call_finish(c, why->code);
}

/* ---- after the answer ---- */

static void count(const nn_call *c, int status, double seconds) {
    const nn_entry *e = c->entry;
    if (e && status == (e->route->status ? e->route->status : 200) &&
        c->q.http->method == c->method) {
        nn_series_add(e->ok, 1);
    } else {
        char code[8];
        snprintf(code, sizeof code, "%d", status);
        nn_series_add(nn_metric_series(NN_METRIC_HTTP_REQUESTS,
                                       nn_http_method_name(c->q.http->method),
                                       e ? e->route->path : "none", code),
                      1);
    }
    if (e) nn_series_observe(e->duration, seconds);
}

static void on_sent(void *ctx, nn_http_request *q, int64_t bytes) {
    nn_app *app = ctx;
    nn_call *c = call_of(q);
    int status = nn_http_answer(q)->status;
    int64_t ns = nn_clock_mono() - (int64_t)q->began;
    if (!c->q.app) return;
    count(c, status, (double)ns * 1e-9);
    if (q->body.n) nn_series_add(app->received, (double)q->body.n);
    if (bytes > 0) nn_series_add(app->sent, (double)bytes);
    nn_log_level level =
        c->entry && c->entry->route->quiet && status < 400 ? NN_LOG_DEBUG : NN_LOG_INFO;
    if (!nn_log_on(level)) return;
    char path[256];
    snprintf(path, sizeof path, "%.*s", (int)(q->path.n < 255 ? q->path.n : 255),
             q->path.p ? q->path.p : "");
    nn_log_request_set(c->id);
    nn_log(level, "request", nn_kv_str("method", q->target.p ? nn_http_method_name(q->method) : ""),
           nn_kv_str("path", path), nn_kv_int("status", status),
           nn_kv_num("ms", (double)(ns / 1000) / 1000), nn_kv_int("bytes", bytes),
           nn_kv_str("client", q->peer), nn_kv_str("principal", c->who.name),
           nn_kv_str("code", c->err.code != NN_OK ? nn_status_code(c->err.code) : ""));
    nn_log_request_set(NULL);
}

nn_http_hooks nn_call_hooks(nn_app *app) {
    return (nn_http_hooks){.ctx = app,
                           .user_size = sizeof(nn_call),
                           .head = on_head,
                           .request = on_request,
                           .refuse = on_refuse,
                           .sent = on_sent};
}
