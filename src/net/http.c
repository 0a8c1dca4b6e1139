/* SPDX-License-Identifier: MIT */
/* http.c - texts, fields, and files as answers. */
#include "net/http.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool nn_text_is(nn_text t, const char *s) {
    return t.p && strlen(s) == t.n && memcmp(t.p, s, t.n) == 0;
}

bool nn_text_isi(nn_text t, const char *s) {
    return t.p && strlen(s) == t.n && strncasecmp(t.p, s, t.n) == 0;
}

char *nn_text_dup(nn_arena *a, nn_text t) {
    return nn_arena_strndup(a, t.p ? t.p : "", t.n);
}

static nn_text trim(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return (nn_text){p, (size_t)(end - p)};
}

bool nn_text_list_has(nn_text t, const char *token) {
    if (!t.n) return false;
    for (const char *p = t.p, *end = t.p + t.n; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        if (nn_text_isi(trim(p, stop), token)) return true;
        p = stop + 1;
    }
    return false;
}

const char *nn_http_method_name(nn_http_method m) {
    static const char *const names[NN_HTTP_METHODS] = {"GET",   "HEAD",   "POST",   "PUT",
                                                       "PATCH", "DELETE", "OPTIONS"};
    return m >= 0 && m < NN_HTTP_METHODS ? names[m] : "?";
}

nn_text nn_http_get(const nn_http_request *q, const char *name) {
    size_t n = strlen(name);
    for (unsigned i = 0; i < q->fields; i++)
        if (q->field[i].name.n == n && strncasecmp(q->field[i].name.p, name, n) == 0)
            return q->field[i].value;
    return (nn_text){0};
}

void nn_http_header(nn_http_response *r, const char *name, const char *value) {
    size_t n = strlen(name), v = strlen(value);
    char *p = nn_buf_reserve(&r->head, n + v + 4);
    if (!p) return;
    memcpy(p, name, n);
    memcpy(p + n, ": ", 2);
    for (size_t i = 0; i < v; i++) {
        unsigned char b = (unsigned char)value[i];
        p[n + 2 + i] = (char)((b < 0x20 && b != '\t') || b == 0x7f ? '?' : b);
    }
    memcpy(p + n + 2 + v, "\r\n", 2);
    r->head.n += n + v + 4;
    r->head.p[r->head.n] = 0;
}

void nn_http_headerf(nn_http_response *r, const char *name, const char *fmt, ...) {
    char value[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    nn_http_header(r, name, value);
}

/* ---- files ---- */

/* A decimal number at *p; false when there is none or it passes 2^62. */
static bool number(const char **p, const char *end, int64_t *ret) {
    int64_t v = 0;
    const char *start = *p;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        if (v > (INT64_MAX >> 1) / 10 - 1) return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return *p > start;
}

/* One range of "bytes=a-b", "bytes=a-", "bytes=-n" (RFC 9110 14.1.2). False: not understood, so the
 * whole file is sent. */
static bool parse_range(nn_text t, int64_t size, int64_t *ret_from, int64_t *ret_to) {
    const char *p = t.p, *end = t.p + t.n;
    if (t.n < 7 || memcmp(p, "bytes=", 6) != 0) return false;
    p += 6;
    int64_t from = 0, to = size - 1;
    bool has_from = number(&p, end, &from);
    if (p == end || *p++ != '-') return false;
    bool has_to = p < end;
    if (has_to && !number(&p, end, &to)) return false;
    if (p != end || (!has_from && !has_to)) return false;
    if (!has_from) { /* the last `to` bytes; none of them is unsatisfiable */
        *ret_from = to == 0 ? size : to < size ? size - to : 0;
        *ret_to = size - 1;
        return true;
    }
    if (has_to && to < from) return false;
    *ret_from = from;
    *ret_to = to < size - 1 ? to : size - 1;
    return true;
}

static bool etag_matches(nn_text list, const char *etag) {
    return etag && (nn_text_is(list, "*") || nn_text_list_has(list, etag));
}

static nn_status range_answer(const nn_http_request *q, nn_http_response *r, const char *etag,
                              nn_err *err) {
    nn_text range = nn_http_get(q, "range"), only = nn_http_get(q, "if-range");
    int64_t from, to, size = r->length;
    if (!range.p || (only.p && !(etag && nn_text_is(only, etag))) ||
        !parse_range(range, size, &from, &to))
        return NN_OK;
    if (from >= size) {
        nn_http_reset(r);
        nn_http_headerf(r, "Content-Range", "bytes */%lld", (long long)size);
        return nn_fail(err, NN_E_RANGE_NOT_SATISFIABLE, "the range starts at byte %lld of %lld",
                       (long long)from, (long long)size);
    }
    nn_http_headerf(r, "Content-Range", "bytes %lld-%lld/%lld", (long long)from, (long long)to,
                    (long long)size);
    r->status = 206;
    r->offset = from;
    r->length = to - from + 1;
    return NN_OK;
}

nn_status nn_http_send_file(nn_http_request *q, int fd, const char *type, const char *etag,
                            nn_err *err) {
    nn_http_response *r = nn_http_answer(q);
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        int why = errno;
        close(fd);
        return nn_fail(err, NN_E_STORAGE_ERROR, "the file cannot be read: %s", strerror(why));
    }
    r->fd = fd;
    r->status = 200;
    r->type = type;
    r->offset = 0;
    r->length = st.st_size;
    nn_http_header(r, "Accept-Ranges", "bytes");
    if (etag) nn_http_header(r, "ETag", etag);
    if (q->method != NN_HTTP_GET && q->method != NN_HTTP_HEAD) return NN_OK;
    if (etag_matches(nn_http_get(q, "if-none-match"), etag)) {
        close(r->fd);
        r->fd = -1;
        r->status = 304;
        r->type = NULL;
        return NN_OK;
    }
    return range_answer(q, r, etag, err);
}
