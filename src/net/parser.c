/* SPDX-License-Identifier: MIT */
/* parser.c - see parser.h.
 * Invariants: llhttp gets a head only after the gate has passed all of it; each head starts a fresh
 * llhttp; llhttp pauses at the end of every message, so that it never sees a byte of the next one
 * with the state of this one. */
#include "net/parser.h"

#include <string.h>

/* Chunk sizes, extensions and line ends: so many bytes at first, and so many for each byte of data.
 */
enum { FRAMING_FREE = 16384, FRAMING_PER_BYTE = 8 };

static int on_url(llhttp_t *ll, const char *p, size_t n) {
    nn_parser *ps = ll->data;
    nn_http_request *q = &ps->x->q;
    if (!q->target.p) q->target.p = p;
    q->target.n += n;
    return 0;
}

static int on_name(llhttp_t *ll, const char *p, size_t n) {
    nn_parser *ps = ll->data;
    nn_http_request *q = &ps->x->q;
    if (q->fields == NN_HTTP_MAX_FIELDS) return HPE_USER;
    nn_http_field *f = &q->field[q->fields];
    if (!f->name.p) f->name.p = p;
    f->name.n += n;
    return 0;
}

static int on_value(llhttp_t *ll, const char *p, size_t n) {
    nn_parser *ps = ll->data;
    nn_http_request *q = &ps->x->q;
    if (q->fields == NN_HTTP_MAX_FIELDS) return HPE_USER;
    nn_http_field *f = &q->field[q->fields];
    if (!f->value.p) f->value.p = p;
    f->value.n += n;
    return 0;
}

static int on_value_end(llhttp_t *ll) {
    nn_parser *ps = ll->data;
    nn_http_request *q = &ps->x->q;
    if (ps->last_chunk) return 0;
    nn_text *v = &q->field[q->fields].value;
    if (!v->p) *v = NN_TEXT("");
    while (v->n && (v->p[v->n - 1] == ' ' || v->p[v->n - 1] == '\t')) v->n--;
    if (++q->fields < NN_HTTP_MAX_FIELDS) q->field[q->fields] = (nn_http_field){0};
    return 0;
}

static int on_head(llhttp_t *ll) {
    ll->upgrade = 0; /* no protocol to upgrade to: the field is ignored (RFC 9110 7.8) */
    return 0;
}

static int on_chunk(llhttp_t *ll) {
    nn_parser *ps = ll->data;
    ps->last_chunk = ll->content_length == 0;
    return ps->last_chunk ? HPE_PAUSED : 0; /* the gate sees trailers first */
}

static int on_body(llhttp_t *ll, const char *p, size_t n) {
    nn_parser *ps = ll->data;
    nn_exchange *x = ps->x;
    ps->body_n += (int64_t)n;
    if (ps->discard) return 0;
    if ((uint64_t)ps->body_n > ps->body_limit) return HPE_USER;
    if (ps->body_n == (int64_t)n && ps->gate.length == (int64_t)n) {
        x->q.body = (nn_text){p, n}; /* whole in one read: not copied */
        return 0;
    }
    nn_buf_append(&x->data, p, n);
    return nn_buf_failed(&x->data) ? HPE_USER : 0;
}

static int on_end(llhttp_t *ll) {
    nn_parser *ps = ll->data;
    ps->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_end,
};

void nn_parser_init(nn_parser *ps, const nn_http_limits *limits) {
    *ps = (nn_parser){.limits = limits, .first = true, .gate = NN_GATE_START};
}

bool nn_parser_between(const nn_parser *ps) {
    return !ps->started;
}

static void start_over(nn_parser *ps) {
    const nn_http_limits *limits = ps->limits;
    nn_parser_init(ps, limits);
}

/* ---- the head ---- */

static nn_status too_long(nn_parser *ps, nn_err *err) {
    if (ps->first)
        return nn_fail(err, NN_E_URI_TOO_LONG, "the request line is longer than %zu bytes",
                       ps->limits->target);
    return nn_fail(err, NN_E_HEADERS_TOO_LARGE,
                   "the request line and header fields are longer than %zu bytes",
                   ps->limits->head);
}

/* Shows the gate each line of p[0..n) that is complete. *ret_end: bytes of the whole head, 0 while
 * its end is missing. */
static nn_status scan(nn_parser *ps, const char *p, size_t n, size_t *ret_end, nn_err *err) {
    while (ps->seen < n) {
        const char *lf = memchr(p + ps->seen, '\n', n - ps->seen);
        size_t at = lf ? (size_t)(lf - p) : n;
        if (at > ps->limits->head || (ps->first && at - ps->line > ps->limits->target + 64))
            return too_long(ps, err);
        ps->seen = lf ? at + 1 : n;
        if (!lf) break;
        if (at == ps->line || p[at - 1] != '\r')
            return nn_fail(err, NN_E_INVALID_REQUEST, "a line of the head ends with LF alone");
        const char *line = p + ps->line;
        size_t len = at - 1 - ps->line;
        ps->line = at + 1;
        nn_status s = NN_OK;
        if (ps->first && len == 0 &&
            !ps->blank) { /* one empty line before a request: RFC 9112 2.2 */
            ps->blank = true;
        } else if (ps->first) {
            ps->first = false;
            s = nn_gate_request_line(&ps->gate, line, len, ps->limits->target, err);
        } else if (len) {
            s = nn_gate_field_line(&ps->gate, line, len, err);
        } else {
            *ret_end = at + 1;
            return nn_gate_end(&ps->gate, err);
        }
        if (s != NN_OK) return s;
    }
    return NN_OK;
}

static nn_http_method method_of(const llhttp_t *ll) {
    switch (ll->method) {
    case HTTP_GET:
        return NN_HTTP_GET;
    case HTTP_HEAD:
        return NN_HTTP_HEAD;
    case HTTP_POST:
        return NN_HTTP_POST;
    case HTTP_PUT:
        return NN_HTTP_PUT;
    case HTTP_PATCH:
        return NN_HTTP_PATCH;
    case HTTP_DELETE:
        return NN_HTTP_DELETE;
    case HTTP_OPTIONS:
        return NN_HTTP_OPTIONS;
    default:
        return NN_HTTP_METHODS;
    }
}

/* The head lies whole at p[0..n). */
static nn_status read_head(nn_parser *ps, const char *p, size_t n, nn_err *err) {
    nn_http_request *q = &ps->x->q;
    llhttp_init(&ps->ll, HTTP_REQUEST, &settings);
    ps->ll.data = ps;
    q->field[0] = (nn_http_field){0};
    size_t skip = ps->blank ? 2 : 0;
    llhttp_errno_t e = llhttp_execute(&ps->ll, p + skip, n - skip);
    if (e != HPE_OK && !(e == HPE_PAUSED && ps->complete))
        return nn_fail(err, NN_E_INVALID_REQUEST, "the head is not HTTP/1.1: %s",
                       llhttp_get_error_reason(&ps->ll));
    q->method = method_of(&ps->ll);
    q->minor = ps->ll.http_minor;
    if (q->method == NN_HTTP_METHODS || ps->ll.http_major != 1 || q->minor != ps->gate.minor ||
        q->fields != ps->gate.fields || ps->complete != (!ps->gate.chunked && ps->gate.length <= 0))
        return nn_fail(err, NN_E_INVALID_REQUEST, "the head can be read in more than one way");
    q->host = nn_http_get(q, "host");
    q->body_length = ps->gate.chunked ? -1 : ps->gate.length > 0 ? ps->gate.length : 0;
    nn_text connection = nn_http_get(q, "connection");
    q->keep_alive = q->minor ? !nn_text_list_has(connection, "close")
                             : nn_text_list_has(connection, "keep-alive");
    ps->x->raw = p;
    ps->x->raw_n = n;
    ps->state = NN_PARSER_BODY;
    ps->body_limit = ps->limits->body;
    return NN_OK;
}

static size_t feed_head(nn_parser *ps, char *p, size_t n, nn_parse *ret) {
    nn_buf *held = &ps->x->head;
    size_t before = held->n, end = 0;
    ps->started = true;
    nn_status s = NN_OK;
    if (before) nn_buf_append(held, p, n);
    if (nn_buf_failed(held)) s = nn_fail(ps->err, NN_E_HEADERS_TOO_LARGE, "no memory for the head");
    const char *head = before ? held->p : p;
    if (s == NN_OK) s = scan(ps, head, before + n, &end, ps->err);
    if (s == NN_OK && end) {
        if (before) held->n = end;
        s = read_head(ps, head, end, ps->err);
    } else if (s == NN_OK && !before) {
        nn_buf_append(held, p, n);
    }
    *ret = s != NN_OK ? NN_PARSE_BAD : end ? NN_PARSE_HEAD : NN_PARSE_MORE;
    return end ? end - before : n;
}

/* ---- the body ---- */

nn_status nn_parser_body(nn_parser *ps, nn_exchange *x, size_t limit, bool discard, nn_err *err) {
    ps->body_limit = limit;
    ps->discard = discard;
    if (!discard && x->q.body_length > 0 && (uint64_t)x->q.body_length > limit)
        return nn_fail(err, NN_E_PAYLOAD_TOO_LARGE, "the body has %lld bytes, %zu are allowed",
                       (long long)x->q.body_length, limit);
    return NN_OK;
}

static nn_status body_error(nn_parser *ps, llhttp_errno_t e) {
    if (e == HPE_USER && !ps->discard && (uint64_t)ps->body_n > ps->body_limit)
        return nn_fail(ps->err, NN_E_PAYLOAD_TOO_LARGE,
                       "the body is longer than the %zu bytes that are allowed", ps->body_limit);
    if (e == HPE_USER)
        return nn_fail(ps->err, NN_E_PAYLOAD_TOO_LARGE, "no memory for a body of %lld bytes",
                       (long long)ps->body_n);
    return nn_fail(ps->err, NN_E_INVALID_REQUEST, "the body is not chunked as HTTP/1.1 asks: %s",
                   llhttp_get_error_reason(&ps->ll));
}

/* Runs llhttp over p[0..n); *ret_used is less than n where it paused. */
static nn_status run(nn_parser *ps, const char *p, size_t n, size_t *ret_used) {
    int64_t had = ps->body_n;
    llhttp_errno_t e = llhttp_execute(&ps->ll, p, n);
    *ret_used = n;
    if (e == HPE_PAUSED) {
        *ret_used = (size_t)(llhttp_get_error_pos(&ps->ll) - p);
        llhttp_resume(&ps->ll);
    } else if (e != HPE_OK) {
        return body_error(ps, e);
    }
    ps->framing_n += (int64_t)*ret_used - (ps->body_n - had);
    if (ps->framing_n > FRAMING_FREE + FRAMING_PER_BYTE * ps->body_n)
        return nn_fail(ps->err, NN_E_INVALID_REQUEST,
                       "the chunks of the body carry more framing than data");
    return NN_OK;
}

static size_t feed_body(nn_parser *ps, char *p, size_t n, nn_parse *ret) {
    size_t used = 0;
    nn_status s = NN_OK;
    while (s == NN_OK && used < n && !ps->complete) {
        size_t part = n - used, took = 0;
        if (ps->last_chunk)
            s = nn_gate_trailer_bytes(&ps->trailer, p + used, n - used, &part, ps->err);
        if (s == NN_OK) s = run(ps, p + used, part, &took);
        used += took;
    }
    if (s == NN_OK && ps->trailer.done != (ps->complete && ps->gate.chunked))
        s = nn_fail(ps->err, NN_E_INVALID_REQUEST, "the trailers can be read in more than one way");
    *ret = s != NN_OK ? NN_PARSE_BAD : ps->complete ? NN_PARSE_REQUEST : NN_PARSE_MORE;
    return used;
}

size_t nn_parser_feed(nn_parser *ps, nn_exchange *x, char *p, size_t n, nn_parse *ret,
                      nn_err *err) {
    ps->x = x;
    ps->err = err;
    size_t used = 0;
    if (ps->state == NN_PARSER_HEAD) {
        used = feed_head(ps, p, n, ret);
    } else {
        *ret = NN_PARSE_REQUEST;
        if (!ps->complete) used = feed_body(ps, p, n, ret);
        if (*ret == NN_PARSE_REQUEST) {
            if (!x->q.body.p) x->q.body = (nn_text){nn_buf_str(&x->data), x->data.n};
            start_over(ps);
        } else if (*ret == NN_PARSE_MORE) {
            nn_exchange_keep(x);
        }
    }
    ps->x = NULL;
    ps->err = NULL;
    return used;
}
