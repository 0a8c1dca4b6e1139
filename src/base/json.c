/* SPDX-License-Identifier: MIT */
/* json.c - an nn_json is a json_t under another name. jansson's own depth limit is 2048 and fixed,
 * so ours is checked on the text before it parses: no tree is built for a text that nests too
 * deeply. jansson writes 0.1 as 0.10000000000000001, so values are dumped through our own writer.
 */
#include "base/json.h"

#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *J(const nn_json *v) {
    return (json_t *)(uintptr_t)v;
}

static nn_json *N(json_t *v) {
    if (!v) abort(); /* only a refused small block makes jansson return NULL here */
    return (nn_json *)v;
}

/* Reading */

/* The byte offset as a line and a column, both from 1. */
static void place(const char *p, size_t at, nn_err *err) {
    if (!err) return;
    size_t start = 0;
    err->line = 1;
    for (size_t i = 0; i < at; i++)
        if (p[i] == '\n') {
            err->line++;
            start = i + 1;
        }
    err->col = (int)(at - start) + 1;
}

/* The offset of the bracket that opens level NN_JSON_MAX_DEPTH + 1, or n. */
static size_t too_deep(const char *p, size_t n) {
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        switch (p[i]) {
        case '"':
            for (i++; i < n && p[i] != '"'; i++)
                if (p[i] == '\\') i++;
            break;
        case '{':
        case '[':
            if (++depth > NN_JSON_MAX_DEPTH) return i;
            break;
        case '}':
        case ']':
            if (--depth < 0) return n; /* malformed: the parser says how */
            break;
        }
    }
    return n;
}

nn_status nn_json_parse(const char *p, size_t n, nn_json **ret, nn_err *err) {
    size_t deep = too_deep(p, n);
    if (deep < n) {
        nn_status s =
            nn_fail(err, NN_E_INVALID_REQUEST,
                    "JSON may nest %d levels deep, this text nests deeper", NN_JSON_MAX_DEPTH);
        place(p, deep, err);
        return s;
    }
    const char *nul = n ? memchr(p, 0, n) : NULL; /* jansson skips NUL between tokens */
    if (nul) {
        nn_status s = nn_fail(err, NN_E_INVALID_REQUEST, "not valid JSON: a NUL byte");
        place(p, (size_t)(nul - p), err);
        return s;
    }
    json_error_t e;
    json_t *v = json_loadb(n ? p : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (v) {
        *ret = N(v);
        return NN_OK;
    }
    if (json_error_code(&e) == json_error_out_of_memory)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to read %zu bytes of JSON", n);
    nn_status s = nn_fail(err, NN_E_INVALID_REQUEST, "not valid JSON: %s",
                          n ? e.text : "the text is empty, expected a value");
    /* jansson's position lies behind the last byte that it looked at; ours is on that byte */
    size_t at = e.position > 0 ? (size_t)e.position - 1 : 0;
    place(p, at < n ? at : n, err);
    return s;
}

nn_json *nn_json_ref(nn_json *v) {
    return (nn_json *)json_incref(J(v));
}

void nn_json_unref(nn_json *v) {
    json_decref(J(v));
}

nn_json_type nn_json_typeof(const nn_json *v) {
    if (!v) return NN_JSON_NULL;
    switch (json_typeof(J(v))) {
    case JSON_OBJECT:
        return NN_JSON_OBJECT;
    case JSON_ARRAY:
        return NN_JSON_ARRAY;
    case JSON_STRING:
        return NN_JSON_STRING;
    case JSON_INTEGER:
        return NN_JSON_INT;
    case JSON_REAL:
        return NN_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return NN_JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return NN_JSON_NULL;
}

nn_json *nn_json_get(const nn_json *object, const char *key) {
    return (nn_json *)json_object_get(J(object), key);
}

nn_json *nn_json_at(const nn_json *array, size_t i) {
    return (nn_json *)json_array_get(J(array), i);
}

size_t nn_json_size(const nn_json *v) {
    return json_is_array(J(v)) ? json_array_size(J(v)) : json_object_size(J(v));
}

const char *nn_json_str(const nn_json *v, const char *otherwise) {
    return json_is_string(J(v)) ? json_string_value(J(v)) : otherwise;
}

int64_t nn_json_int(const nn_json *v, int64_t otherwise) {
    return json_is_integer(J(v)) ? (int64_t)json_integer_value(J(v)) : otherwise;
}

double nn_json_num(const nn_json *v, double otherwise) {
    return json_is_number(J(v)) ? json_number_value(J(v)) : otherwise;
}

bool nn_json_bool(const nn_json *v, bool otherwise) {
    return json_is_boolean(J(v)) ? json_is_true(J(v)) : otherwise;
}

void nn_json_each(const nn_json *object, bool (*fn)(void *ctx, const char *key, nn_json *v),
                  void *ctx) {
    const char *key;
    json_t *v;
    json_object_foreach(J(object), key, v) if (!fn(ctx, key, (nn_json *)v)) return;
}

/* Building */

nn_json *nn_json_new_null(void) {
    return N(json_null());
}

nn_json *nn_json_new_bool(bool v) {
    return N(json_boolean(v));
}

nn_json *nn_json_new_int(int64_t v) {
    return N(json_integer(v));
}

nn_json *nn_json_new_num(double v) {
    return isfinite(v) ? N(json_real(v)) : nn_json_new_null();
}

/* Bytes at p that are neither NUL nor outside UTF-8. */
static size_t clean(const char *p, size_t n) {
    size_t ok = nn_utf8_valid(p, n);
    const char *nul = memchr(p, 0, ok);
    return nul ? (size_t)(nul - p) : ok;
}

/* Appends the text with U+FFFD in place of each byte that JSON strings cannot hold here. */
static void repair(nn_buf *out, const char *p, size_t n) {
    for (;;) {
        size_t ok = clean(p, n);
        nn_buf_append(out, p, ok);
        if (ok == n) return;
        nn_buf_append(out, "\xef\xbf\xbd", 3);
        p += ok + 1;
        n -= ok + 1;
    }
}

nn_json *nn_json_new_strn(const char *s, size_t n) {
    if (!n || clean(s, n) == n) return N(json_stringn_nocheck(n ? s : "", n));
    NN_BUF b = {0};
    repair(&b, s, n);
    return N(nn_buf_failed(&b) ? NULL : json_stringn_nocheck(b.p, b.n));
}

nn_json *nn_json_new_str(const char *s) {
    return s ? nn_json_new_strn(s, strlen(s)) : nn_json_new_null();
}

nn_json *nn_json_new_array(void) {
    return N(json_array());
}

nn_json *nn_json_new_shape(const nn_shape *s, bool batch) {
    nn_json *a = nn_json_new_array();
    if (batch) nn_json_push(a, nn_json_new_null());
    for (int i = 0; i < s->rank; i++)
        nn_json_push(a, s->dim[i] < 0 ? nn_json_new_null() : nn_json_new_int(s->dim[i]));
    return a;
}

nn_json *nn_json_new_object(void) {
    return N(json_object());
}

void nn_json_set(nn_json *object, const char *key, nn_json *v) {
    assert(json_is_object(J(object)));
    if (!v) v = nn_json_new_null();
    NN_BUF b = {0};
    size_t n = strlen(key);
    if (clean(key, n) < n) {
        repair(&b, key, n);
        key = nn_buf_str(&b);
    }
    if (json_object_set_new_nocheck(J(object), key, J(v))) abort();
}

void nn_json_push(nn_json *array, nn_json *v) {
    assert(json_is_array(J(array)));
    if (json_array_append_new(J(array), J(v ? v : nn_json_new_null()))) abort();
}

void nn_json_del(nn_json *object, const char *key) {
    json_object_del(J(object), key);
}

nn_json *nn_json_copy(const nn_json *v) {
    return v ? N(json_deep_copy(J(v))) : NULL;
}

bool nn_json_equal(const nn_json *a, const nn_json *b) {
    return a == b || json_equal(J(a), J(b));
}

/* Writing */

/* The code point of a whole character of 2 or more bytes that terminals or line readers obey: C1
 * controls (U+0080 to U+009F) and the separators U+2028 and U+2029; 0 for all others. JSON would
 * allow them; escaped they are harmless everywhere. */
static unsigned control_character(const char *p, size_t len) {
    const unsigned char *u = (const unsigned char *)p;
    if (len == 2 && u[0] == 0xc2 && u[1] < 0xa0) return u[1];
    if (len == 3 && u[0] == 0xe2 && u[1] == 0x80 && (u[2] & 0xfe) == 0xa8)
        return 0x2000u + (u[2] & 0x3f);
    return 0;
}

static void put_string(nn_buf *out, const char *p, size_t n) {
    /* what follows the backslash; 'u' is spelled out, 0 needs no escape */
    static const char escape[256] = {
        [1 ... 7] = 'u', ['\b'] = 'b',      ['\t'] = 't', ['\n'] = 'n',  [11] = 'u',   ['\f'] = 'f',
        ['\r'] = 'r',    [14 ... 31] = 'u', ['"'] = '"',  ['\\'] = '\\', [0x7f] = 'u',
    };
    nn_buf_putc(out, '"');
    size_t from = 0, i = 0;
    while (i < n) {
        unsigned char c = (unsigned char)p[i];
        size_t len = c ? nn_utf8_length(p + i, n - i) : 0;
        unsigned control = len > 1 ? control_character(p + i, len) : escape[c] == 'u' ? c : 0;
        if (len && !control && !escape[c]) {
            i += len;
            continue;
        }
        nn_buf_append(out, p + from, i - from);
        if (!len)
            nn_buf_append(out, "\xef\xbf\xbd", 3);
        else if (control)
            nn_buf_printf(out, "\\u%04x", control);
        else
            nn_buf_append(out, (char[]){'\\', escape[c]}, 2);
        i += len ? len : 1;
        from = i;
    }
    nn_buf_append(out, p + from, n - from);
    nn_buf_putc(out, '"');
}

/* A decimal point that the locale may have put is any byte that no number contains. A number
 * without point or exponent gets ".0", so that it reads back as a real. */
static void put_real(nn_buf *out, char *text) {
    bool real = false;
    char *to = text;
    for (const char *s = text; *s; s++) {
        if ((*s >= '0' && *s <= '9') || *s == '-' || *s == '+' || *s == 'e') {
            real |= *s == 'e';
            *to++ = *s;
        } else if (!real) {
            real = true;
            *to++ = '.';
        }
    }
    nn_buf_append(out, text, (size_t)(to - text));
    if (!real) nn_buf_append(out, ".0", 2);
}

/* Every decimal of DBL_DIG digits survives the way through a normal double, so the first precision
 * that reads back is the shortest one from there on; subnormals have fewer digits and are tried
 * from one. The last precision always reads back. */
static void put_double(nn_buf *out, double v) {
    char text[48];
    int digits = fabs(v) < DBL_MIN ? 1 : DBL_DIG;
    do snprintf(text, sizeof text, "%.*g", digits, v);
    while (digits++ < DBL_DECIMAL_DIG && strtod(text, NULL) != v);
    put_real(out, text);
}

static void put_float(nn_buf *out, float v) {
    char text[48];
    int digits = fabsf(v) < FLT_MIN ? 1 : FLT_DIG;
    do snprintf(text, sizeof text, "%.*g", digits, (double)v);
    while (digits++ < FLT_DECIMAL_DIG && strtof(text, NULL) != v);
    put_real(out, text);
}

static void put_int(nn_buf *out, int64_t v) {
    char text[24], *p = text + sizeof text;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) *--p = '-';
    nn_buf_append(out, p, (size_t)(text + sizeof text - p));
}

static void put_literal(nn_buf *out, const nn_json *v) {
    nn_buf_puts(out, json_is_true(J(v)) ? "true" : json_is_false(J(v)) ? "false" : "null");
}

static void newline(nn_buf *out, int indent, int level) {
    if (!indent) return;
    nn_buf_putc(out, '\n');
    for (int i = 0; i < indent * level; i++) nn_buf_putc(out, ' ');
}

static void dump(const nn_json *v, int indent, int level, nn_buf *out);

static void dump_array(const nn_json *v, int indent, int level, nn_buf *out) {
    size_t n = nn_json_size(v);
    nn_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) nn_buf_putc(out, ',');
        newline(out, indent, level + 1);
        dump(nn_json_at(v, i), indent, level + 1, out);
    }
    if (n) newline(out, indent, level);
    nn_buf_putc(out, ']');
}

static void dump_object(const nn_json *v, int indent, int level, nn_buf *out) {
    const char *key;
    json_t *member;
    size_t n = 0;
    nn_buf_putc(out, '{');
    json_object_foreach(J(v), key, member) {
        if (n++) nn_buf_putc(out, ',');
        newline(out, indent, level + 1);
        put_string(out, key, strlen(key));
        nn_buf_puts(out, indent ? ": " : ":");
        dump((nn_json *)member, indent, level + 1, out);
    }
    if (n) newline(out, indent, level);
    nn_buf_putc(out, '}');
}

static void dump(const nn_json *v, int indent, int level, nn_buf *out) {
    switch (nn_json_typeof(v)) {
    case NN_JSON_OBJECT:
        dump_object(v, indent, level, out);
        break;
    case NN_JSON_ARRAY:
        dump_array(v, indent, level, out);
        break;
    case NN_JSON_STRING:
        put_string(out, json_string_value(J(v)), json_string_length(J(v)));
        break;
    case NN_JSON_INT:
        put_int(out, nn_json_int(v, 0));
        break;
    case NN_JSON_REAL:
        put_double(out, json_real_value(J(v)));
        break;
    case NN_JSON_BOOL:
    case NN_JSON_NULL:
        put_literal(out, v);
        break;
    }
}

void nn_json_dump(const nn_json *v, int indent, nn_buf *out) {
    dump(v, indent > 0 ? indent : 0, 0, out);
}

/* The writer */

static nn_buf *next(nn_jw *w) {
    if (w->comma) nn_buf_putc(w->out, ',');
    w->comma = true;
    return w->out;
}

static void nest(nn_jw *w, char bracket) {
    nn_buf_putc(next(w), bracket);
    w->comma = false;
}

static void end(nn_jw *w, char bracket) {
    nn_buf_putc(w->out, bracket);
    w->comma = true;
}

void nn_jw_obj(nn_jw *w) {
    nest(w, '{');
}

void nn_jw_end_obj(nn_jw *w) {
    end(w, '}');
}

void nn_jw_arr(nn_jw *w) {
    nest(w, '[');
}

void nn_jw_end_arr(nn_jw *w) {
    end(w, ']');
}

void nn_jw_key(nn_jw *w, const char *key) {
    put_string(next(w), key, strlen(key));
    nn_buf_putc(w->out, ':');
    w->comma = false;
}

void nn_jw_strn(nn_jw *w, const char *s, size_t n) {
    put_string(next(w), s, n);
}

void nn_jw_str(nn_jw *w, const char *s) {
    if (s)
        nn_jw_strn(w, s, strlen(s));
    else
        nn_jw_null(w);
}

void nn_jw_int(nn_jw *w, int64_t v) {
    put_int(next(w), v);
}

void nn_jw_num(nn_jw *w, double v) {
    if (isfinite(v))
        put_double(next(w), v);
    else
        nn_jw_null(w);
}

void nn_jw_float(nn_jw *w, float v) {
    if (isfinite(v))
        put_float(next(w), v);
    else
        nn_jw_null(w);
}

void nn_jw_bool(nn_jw *w, bool v) {
    nn_buf_puts(next(w), v ? "true" : "false");
}

void nn_jw_shape(nn_jw *w, const nn_shape *s, bool batch) {
    nn_jw_arr(w);
    if (batch) nn_jw_null(w);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 0)
            nn_jw_null(w);
        else
            nn_jw_int(w, s->dim[i]);
    nn_jw_end_arr(w);
}

void nn_jw_null(nn_jw *w) {
    nn_buf_append(next(w), "null", 4);
}

void nn_jw_value(nn_jw *w, const nn_json *v) {
    nn_json_dump(v, 0, next(w));
}

void nn_jw_raw(nn_jw *w, const char *json, size_t n) {
    nn_buf_append(next(w), json, n);
}
