/* SPDX-License-Identifier: MIT */
/* problem.c - the error body of rest-api.md section 5. */
#include "api/call.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* What a failure of ours says to the outside: its cause may name paths and secrets, so it goes to
 * the log. */
static const char *sentence(const nn_call *c, const nn_err *err) {
    if (nn_status_http(err->code) != 500) return *err->msg ? err->msg : nn_status_text(err->code);
    nn_log(NN_LOG_ERROR, "request failed", nn_kv_str("path", c->entry ? c->entry->route->path : ""),
           nn_kv_err(err));
    bool debug = c->q.app->config && nn_config_bool(c->q.app->config, NN_CFG_SERVER_DEBUG);
    if (debug && c->q.http->peer_is_loopback) return err->msg;
    return nn_status_text(err->code);
}

/* Of failures of ours only the advice on storage is the client's too ("the disk is full: …"), where
 * it names no path. */
static bool may_tell_hint(const nn_err *err) {
    if (!*err->hint || nn_status_http(err->code) != 500) return *err->hint;
    return err->code == NN_E_STORAGE_ERROR && !strchr(err->hint, '/');
}

static void write_list(nn_jw *w, const nn_json *list) {
    if (list) {
        nn_jw_value(w, list);
        return;
    }
    nn_jw_arr(w);
    nn_jw_end_arr(w);
}

static void write_body(nn_call *c, const nn_err *err, nn_buf *out) {
    nn_jw w = {.out = out};
    char time[NN_TIME_TEXT], docs[96];
    const char *text = sentence(c, err), *code = nn_status_code(err->code);
    snprintf(docs, sizeof docs, "/docs/errors#%s", code);
    nn_jw_obj(&w);
    nn_jw_key(&w, "error");
    nn_jw_str(&w, text);
    nn_jw_key(&w, "detail");
    if (nn_status_http(err->code) == 422 && nn_json_size(c->q.errors))
        nn_jw_value(&w, c->q.errors);
    else
        nn_jw_str(&w, text);
    nn_jw_key(&w, "code");
    nn_jw_str(&w, code);
    nn_jw_key(&w, "success");
    nn_jw_bool(&w, false);
    nn_jw_key(&w, "timestamp");
    nn_jw_str(&w, nn_time_print(nn_clock_wall(), time));
    nn_jw_key(&w, "request_id");
    nn_jw_str(&w, c->id);
    nn_jw_key(&w, "errors");
    write_list(&w, c->q.errors);
    nn_jw_key(&w, "diagnostics");
    write_list(&w, c->diagnostics);
    nn_jw_key(&w, "docs");
    nn_jw_str(&w, docs);
    nn_jw_key(&w, "hint");
    nn_jw_str(&w, may_tell_hint(err) ? err->hint : NULL);
    nn_jw_end_obj(&w);
}

void nn_problem_reply(nn_call *c, const nn_err *err) {
    nn_http_response *r = nn_http_answer(c->q.http);
    bool range = err->code == NN_E_RANGE_NOT_SATISFIABLE; /* keeps its Content-Range */
    if (!range) nn_http_reset(r);
    r->status = nn_route_http(c->entry ? c->entry->route : NULL, err->code);
    r->type = "application/json";
    write_body(c, err, &r->body);
    if (r->status == 401) nn_http_header(r, "WWW-Authenticate", "ApiKey, Bearer");
    if (r->status == 429 && c->limited)
        nn_http_headerf(r, "Retry-After", "%u", c->verdict.reset_s);
    else if (r->status == 429 || r->status == 503)
        nn_http_header(r, "Retry-After", "1");
}
