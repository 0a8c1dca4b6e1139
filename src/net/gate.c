/* SPDX-License-Identifier: MIT */
/* gate.c - see gate.h. Each byte has a class; each line is looked at once. */
#include "net/gate.h"

#include "net/http.h"

#include <string.h>
#include <strings.h>

enum { NAME = 1, VALUE = 2, TARGET = 4, HOST = 8 };

/* tchar of RFC 9110 5.6.2; field-vchar, obs-text, SP and HTAB; visible ASCII; reg-name, IPv6
 * literal and port. */
static const uint8_t class[256] = {
    [0x09] = VALUE,
    [0x20] = VALUE,
    [0x21] = NAME | VALUE | TARGET | HOST, /* ! */
    [0x22] = VALUE | TARGET,
    [0x23] = NAME | VALUE | TARGET,
    [0x24 ... 0x27] = NAME | VALUE | TARGET | HOST, /* $ % & ' */
    [0x28 ... 0x29] = VALUE | TARGET | HOST,        /* ( ) */
    [0x2a ... 0x2b] = NAME | VALUE | TARGET | HOST, /* * + */
    [0x2c] = VALUE | TARGET,                        /* , */
    [0x2d ... 0x2e] = NAME | VALUE | TARGET | HOST, /* - . */
    [0x2f] = VALUE | TARGET,
    [0x30 ... 0x39] = NAME | VALUE | TARGET | HOST,
    [0x3a ... 0x3b] = VALUE | TARGET | HOST, /* : ; */
    [0x3c] = VALUE | TARGET,
    [0x3d] = VALUE | TARGET | HOST, /* = */
    [0x3e ... 0x40] = VALUE | TARGET,
    [0x41 ... 0x5a] = NAME | VALUE | TARGET | HOST,
    [0x5b] = VALUE | TARGET | HOST,
    [0x5c] = VALUE | TARGET,
    [0x5d] = VALUE | TARGET | HOST,
    [0x5e] = NAME | VALUE | TARGET,
    [0x5f] = NAME | VALUE | TARGET | HOST,
    [0x60] = NAME | VALUE | TARGET,
    [0x61 ... 0x7a] = NAME | VALUE | TARGET | HOST,
    [0x7b] = VALUE | TARGET,
    [0x7c] = NAME | VALUE | TARGET,
    [0x7d] = VALUE | TARGET,
    [0x7e] = NAME | VALUE | TARGET | HOST,
    [0x80 ... 0xff] = VALUE,
};

/* The length of the longest start of p whose bytes are all of that class. */
static size_t span(const char *p, size_t n, int of) {
    size_t i = 0;
    while (i < n && (class[(unsigned char)p[i]] & of)) i++;
    return i;
}

static bool is_version(const char *p, size_t n) {
    return n == 8 && memcmp(p, "HTTP/", 5) == 0 && p[5] >= '0' && p[5] <= '9' && p[6] == '.' &&
           p[7] >= '0' && p[7] <= '9';
}

static bool is_known_method(const char *p, size_t n) {
    for (int m = 0; m < NN_HTTP_METHODS; m++) {
        const char *name = nn_http_method_name((nn_http_method)m);
        if (strlen(name) == n && memcmp(name, p, n) == 0) return true;
    }
    return false;
}

nn_status nn_gate_request_line(nn_gate *g, const char *p, size_t n, size_t target_limit,
                               nn_err *err) {
    size_t method = span(p, n, NAME);
    if (method == 0 || method == n || p[method] != ' ')
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "the request line is not \"METHOD /path HTTP/1.1\"");
    const char *target = p + method + 1;
    size_t left = n - method - 1, len = span(target, left, TARGET);
    if (len == 0 || len == left || target[len] != ' ')
        return nn_fail(
            err, NN_E_INVALID_REQUEST,
            "the request target must be followed by one space and the version, and hold visible ASCII only");
    if (!is_version(target + len + 1, left - len - 1))
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "the request line does not end with the version HTTP/1.1");
    if (target[len + 6] != '1' || (target[len + 8] != '0' && target[len + 8] != '1'))
        return nn_fail(err, NN_E_VERSION_NOT_SUPPORTED,
                       "HTTP/%c.%c is not spoken here, HTTP/1.1 is", target[len + 6],
                       target[len + 8]);
    if (len > target_limit)
        return nn_fail(err, NN_E_URI_TOO_LONG, "the request target has %zu bytes, %zu are allowed",
                       len, target_limit);
    if (!is_known_method(p, method))
        return nn_fail(err, NN_E_NOT_IMPLEMENTED, "the method %.*s is not known",
                       method > 32 ? 32 : (int)method, p);
    g->minor = (uint8_t)(target[len + 8] - '0');
    return NN_OK;
}

static nn_status check_host(nn_gate *g, const char *p, size_t n, nn_err *err) {
    if (g->host) return nn_fail(err, NN_E_INVALID_REQUEST, "Host was sent twice");
    g->host = true;
    if (n == 0 || span(p, n, HOST) != n)
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "Host is not a name or address with an optional port");
    return NN_OK;
}

static nn_status check_length(nn_gate *g, const char *p, size_t n, nn_err *err) {
    if (g->length >= 0) return nn_fail(err, NN_E_INVALID_REQUEST, "Content-Length was sent twice");
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return nn_fail(err, NN_E_INVALID_REQUEST, "Content-Length is not a decimal number");
        if (v > (INT64_MAX - 9) / 10)
            return nn_fail(err, NN_E_INVALID_REQUEST, "Content-Length is too large a number");
        v = v * 10 + (p[i] - '0');
    }
    if (n == 0) return nn_fail(err, NN_E_INVALID_REQUEST, "Content-Length is empty");
    g->length = v;
    return NN_OK;
}

static nn_status check_coding(nn_gate *g, const char *p, size_t n, nn_err *err) {
    if (g->chunked) return nn_fail(err, NN_E_INVALID_REQUEST, "Transfer-Encoding was sent twice");
    if (g->minor == 0)
        return nn_fail(err, NN_E_INVALID_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
    if (n != 7 || strncasecmp(p, "chunked", 7) != 0)
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "the only Transfer-Encoding that is understood is chunked");
    g->chunked = true;
    return NN_OK;
}

nn_status nn_gate_field_line(nn_gate *g, const char *p, size_t n, nn_err *err) {
    if (n && (p[0] == ' ' || p[0] == '\t'))
        return nn_fail(err, NN_E_INVALID_REQUEST, "a header field is folded over two lines");
    size_t name = span(p, n, NAME);
    if (name == 0 || name == n || p[name] != ':')
        return nn_fail(err, NN_E_INVALID_REQUEST, "header field %u is not \"Name: value\"",
                       g->fields + 1U);
    const char *value = p + name + 1, *end = p + n;
    if (span(value, (size_t)(end - value), VALUE) != (size_t)(end - value))
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "the value of header field %u holds a control byte", g->fields + 1U);
    if (++g->fields > NN_HTTP_MAX_FIELDS)
        return nn_fail(err, NN_E_HEADERS_TOO_LARGE, "more than %d header fields",
                       NN_HTTP_MAX_FIELDS);
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t len = (size_t)(end - value);
    switch (name) {
    case 4:
        return strncasecmp(p, "host", 4) == 0 ? check_host(g, value, len, err) : NN_OK;
    case 14:
        return strncasecmp(p, "content-length", 14) == 0 ? check_length(g, value, len, err) : NN_OK;
    case 17:
        return strncasecmp(p, "transfer-encoding", 17) == 0 ? check_coding(g, value, len, err)
                                                            : NN_OK;
    default:
        return NN_OK;
    }
}

nn_status nn_gate_end(const nn_gate *g, nn_err *err) {
    if (g->minor == 1 && !g->host) return nn_fail(err, NN_E_INVALID_REQUEST, "Host is missing");
    if (g->chunked && g->length >= 0)
        return nn_fail(err, NN_E_INVALID_REQUEST,
                       "Content-Length and Transfer-Encoding were both sent");
    return NN_OK;
}

enum { TRAILER_MAX = 8192 };

static nn_status trailer_byte(nn_gate_trailer *t, unsigned char b, nn_err *err) {
    if (++t->bytes > TRAILER_MAX)
        return nn_fail(err, NN_E_HEADERS_TOO_LARGE, "more than %d bytes of trailers", TRAILER_MAX);
    if (t->cr != (b == '\n'))
        return nn_fail(err, NN_E_INVALID_REQUEST, "a trailer line does not end with CR LF");
    t->cr = b == '\r';
    if (b == '\n') {
        t->done = t->name == 0;
        t->name = 0;
        t->value = false;
    } else if (t->cr) {
        if (t->name && !t->value)
            return nn_fail(err, NN_E_INVALID_REQUEST, "a trailer field is not \"Name: value\"");
    } else if (t->value) {
        if (!(class[b] & VALUE))
            return nn_fail(err, NN_E_INVALID_REQUEST, "a trailer holds a control byte");
    } else if (b == ':' && t->name) {
        t->value = true;
    } else if (class[b] & NAME) {
        t->name++;
    } else {
        return nn_fail(err, NN_E_INVALID_REQUEST, "a trailer field is not \"Name: value\"");
    }
    return NN_OK;
}

nn_status nn_gate_trailer_bytes(nn_gate_trailer *t, const char *p, size_t n, size_t *ret_used,
                                nn_err *err) {
    size_t i = 0;
    while (i < n && !t->done) {
        nn_status s = trailer_byte(t, (unsigned char)p[i++], err);
        if (s != NN_OK) return s;
    }
    *ret_used = i;
    return NN_OK;
}
