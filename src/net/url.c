/* SPDX-License-Identifier: MIT */
/* url.c - see url.h. */
#include "net/url.h"

#include "base/utf8.h"

#include <string.h>

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes escapes (and '+' where plus is set) into a new NUL-terminated text. Refuses broken
 * escapes, control bytes, and what is not UTF-8. */
static nn_status decode(nn_text t, bool plus, nn_arena *a, const char *what, nn_text *ret,
                        nn_err *err) {
    char *to = nn_arena_alloc(a, t.n + 1);
    if (!to)
        return nn_fail(err, NN_E_LIMIT, "the %s needs more memory than a request may use", what);
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        if (c == '%') {
            int high = t.n - i > 2 ? hex(t.p[i + 1]) : -1, low = t.n - i > 2 ? hex(t.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return nn_fail(err, NN_E_INVALID_REQUEST, "the %s has a %% without two hex digits",
                               what);
            c = (char)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return nn_fail(err, NN_E_INVALID_REQUEST, "the %s holds the control byte 0x%02x", what,
                           (unsigned char)c);
        to[n++] = c;
    }
    if (nn_utf8_valid(to, n) != n)
        return nn_fail(err, NN_E_INVALID_REQUEST, "the %s is not UTF-8", what);
    *ret = (nn_text){to, n};
    return NN_OK;
}

static nn_status add_segment(nn_http_request *q, const char *p, size_t n, nn_err *err) {
    nn_text t = {p, n};
    if (memchr(p, '%', n)) {
        nn_status s = decode(t, false, nn_http_arena(q), "path", &t, err);
        if (s != NN_OK) return s;
    }
    if (nn_text_is(t, ".") || nn_text_is(t, ".."))
        return nn_fail(err, NN_E_INVALID_REQUEST, "the path holds a segment \"%.*s\"", (int)t.n,
                       t.p);
    if (q->segments == NN_HTTP_MAX_SEGMENTS)
        return nn_fail(err, NN_E_INVALID_REQUEST, "the path has more than %d segments",
                       NN_HTTP_MAX_SEGMENTS);
    q->segment[q->segments++] = t;
    return NN_OK;
}

nn_status nn_url_split(nn_http_request *q, nn_err *err) {
    nn_text t = q->target;
    const char *mark = t.n ? memchr(t.p, '?', t.n) : NULL;
    q->path = (nn_text){t.p, mark ? (size_t)(mark - t.p) : t.n};
    q->query = mark ? (nn_text){mark + 1, t.n - q->path.n - 1} : (nn_text){0};
    q->segments = 0;
    if (nn_text_is(t, "*") && q->method == NN_HTTP_OPTIONS) return NN_OK;
    if (q->path.n == 0 || q->path.p[0] != '/' || memchr(t.p, '#', t.n))
        return nn_fail(err, NN_E_INVALID_REQUEST, "the request target is not a path");
    const char *end = q->path.p + q->path.n;
    for (const char *p = q->path.p + 1; p < end;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash ? slash : end;
        if (stop > p) {
            nn_status s = add_segment(q, p, (size_t)(stop - p), err);
            if (s != NN_OK) return s;
        }
        p = stop + 1;
    }
    return NN_OK;
}

nn_status nn_url_next(nn_text *rest, nn_arena *a, nn_url_pair *ret, bool *ret_found, nn_err *err) {
    while (rest->n && rest->p[0] == '&') *rest = (nn_text){rest->p + 1, rest->n - 1};
    if (!rest->n) {
        *ret_found = false;
        return NN_OK;
    }
    const char *amp = memchr(rest->p, '&', rest->n);
    size_t n = amp ? (size_t)(amp - rest->p) : rest->n;
    const char *eq = memchr(rest->p, '=', n);
    nn_text name = {rest->p, eq ? (size_t)(eq - rest->p) : n}, value = NN_TEXT("");
    if (eq) value = (nn_text){eq + 1, n - name.n - 1};
    nn_status s = decode(name, true, a, "query", &name, err);
    if (s == NN_OK) s = decode(value, true, a, "query", &value, err);
    if (s != NN_OK) return s;
    *rest = (nn_text){rest->p + n, rest->n - n};
    *ret = (nn_url_pair){name.p, value.p};
    *ret_found = true;
    return NN_OK;
}
