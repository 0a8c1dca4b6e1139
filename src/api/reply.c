/* SPDX-License-Identifier: MIT */
/* reply.c - what handlers call: parameters in, answers out. */
#include "api/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nn_arena *nn_request_arena(nn_request *q) {
    return nn_http_arena(q->http);
}

const char *nn_request_param(nn_request *q, const char *name) {
    const nn_entry *e = nn_call_of(q)->entry;
    size_t n = strlen(name);
    for (unsigned i = 0; i < e->params; i++) {
        if (strncmp(e->param[i].name, name, n) != 0 || e->param[i].name[n] != '}') continue;
        char *text = nn_text_dup(nn_http_arena(q->http), q->http->segment[e->param[i].segment]);
        return text ? text : "";
    }
    fprintf(stderr, "route %s has no parameter {%s}\n", e->route->path, name);
    abort();
}

const char *nn_request_query(nn_request *q, const char *name, const char *otherwise) {
    return nn_json_str(nn_json_get(q->query, name), otherwise);
}

int64_t nn_request_query_int(nn_request *q, const char *name, int64_t otherwise) {
    return nn_json_int(nn_json_get(q->query, name), otherwise);
}

bool nn_request_may(const nn_request *q, nn_scope scope) {
    return (q->who->scopes & scope) == scope;
}

nn_status nn_reply_json(nn_request *q, int status, nn_json *v, nn_err *err) {
    nn_http_response *r = nn_http_answer(q->http);
    nn_json_dump(v, 0, &r->body);
    nn_json_unref(v);
    return nn_reply_written(q, status, err);
}

nn_jw nn_reply_writer(nn_request *q) {
    return (nn_jw){.out = &nn_http_answer(q->http)->body};
}

nn_status nn_reply_written(nn_request *q, int status, nn_err *err) {
    nn_http_response *r = nn_http_answer(q->http);
    if (nn_buf_failed(&r->body))
        return nn_fail(err, NN_E_INTERNAL, "the answer is too large for memory");
    r->status = status;
    r->type = "application/json";
    return NN_OK;
}

nn_status nn_reply_text(nn_request *q, int status, const char *type, const char *text, size_t n) {
    nn_http_response *r = nn_http_answer(q->http);
    nn_buf_append(&r->body, text, n);
    r->status = status;
    r->type = type;
    return NN_OK;
}

nn_status nn_reply_fixed(nn_request *q, int status, const char *type, const char *text, size_t n) {
    nn_http_response *r = nn_http_answer(q->http);
    r->fixed = (nn_text){text, n};
    r->status = status;
    r->type = type;
    return NN_OK;
}

nn_status nn_reply_empty(nn_request *q, int status) {
    nn_http_answer(q->http)->status = status;
    return NN_OK;
}

/* attachment; filename="..." with what could end the quotes replaced, and the exact name as RFC
 * 8187 has it. */
static void disposition(nn_http_response *r, const char *filename) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    char ascii[128], star[384];
    size_t n = 0, k = 0;
    for (const unsigned char *p = (const unsigned char *)filename;
         *p && n + 1 < sizeof ascii && k + 4 < sizeof star; p++) {
        bool is_plain = strchr(plain, *p) != NULL;
        ascii[n++] = (char)(is_plain || *p == ' ' ? *p : '_');
        k += (size_t)snprintf(star + k, sizeof star - k, is_plain ? "%c" : "%%%02X", *p);
    }
    ascii[n] = star[k] = 0;
    nn_http_headerf(r, "Content-Disposition", "attachment; filename=\"%s\"; filename*=UTF-8''%s",
                    ascii, star);
}

nn_status nn_reply_file(nn_request *q, const char *path, const char *type, const char *filename,
                        const char *etag, nn_err *err) {
    char quoted[80];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return nn_fail(err, NN_E_NOT_FOUND, "the file is not there any more");
    if (fd < 0)
        return nn_fail(err, NN_E_STORAGE_ERROR, "cannot open %s: %s", path, strerror(errno));
    if (etag) snprintf(quoted, sizeof quoted, "\"%.70s\"", etag);
    nn_status s = nn_http_send_file(q->http, fd, type, etag ? quoted : NULL, err);
    if (s == NN_OK && filename) disposition(nn_http_answer(q->http), filename);
    return s;
}

void nn_reply_header(nn_request *q, const char *name, const char *value) {
    nn_http_header(nn_http_answer(q->http), name, value);
}

nn_status nn_reply_invalid(nn_request *q, nn_err *err) {
    const nn_json *first = nn_json_at(q->errors, 0);
    const char *field = nn_json_str(nn_json_get(first, "field"), ""),
               *msg = nn_json_str(nn_json_get(first, "msg"), "is wrong");
    return nn_fail(err, NN_E_VALIDATION_ERROR, "%s %s%s", *field ? field : "the request", msg,
                   nn_json_size(q->errors) > 1 ? " (and more)" : "");
}

void nn_reply_diagnostic(nn_request *q, nn_json *item) {
    nn_call *c = nn_call_of(q);
    if (!c->diagnostics) c->diagnostics = nn_json_new_array();
    nn_json_push(c->diagnostics, item);
}
