/* SPDX-License-Identifier: MIT */
/* json_reader.c - see json_reader.h.
 *
 * Keys are kept until their object ends and are then sorted, so that finding one that is there
 * twice costs n log n whatever the client chose as keys; no hashing to be attacked.
 *
 * Numbers: w * 10^e with w <= 2^53 and |e| <= 22 is one exact multiplication or division (Clinger,
 * "How to read floating point numbers accurately", 1990, section 4). Up to 19 digits and |e| <= 27
 * are done in exact integers: what programs print in full. All others are handed to strtod as
 * digits and an exponent, without a decimal point: no locale has a say. */
#include "base/json_reader.h"

#include "base/utf8.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FLT_EVAL_METHOD == 0, "Clinger's fast path needs doubles without extra precision");

enum { /* of nn_jr.expect */
       VALUE,
       VALUE_OR_END, /* after [ */
       KEY,
       KEY_OR_END, /* after { */
       NEXT,       /* a comma, or the end of what is open, or of the text */
};

typedef struct key {
    const char *p;
    size_t n, at; /* at: its offset in the text */
} key;

void nn_jr_init(nn_jr *r, const char *p, size_t n) {
    r->begin = r->p = n ? p : "";
    r->end = r->begin + n;
    r->texts = NULL;
    r->keys = (nn_buf){0};
    r->objects = 0;
    r->depth = 0;
    r->expect = VALUE;
}

void nn_jr_done(nn_jr *r) {
    r->texts = nn_arena_free(r->texts);
    nn_buf_done(&r->keys);
}

/* ---- errors ---- */

/* The place of a byte as line and column, both from 1. */
static void set_place(const nn_jr *r, const char *at, nn_err *err) {
    const char *start = r->begin;
    err->line = 1;
    for (const char *p = r->begin; p < at; p++)
        if (*p == '\n') {
            err->line++;
            start = p + 1;
        }
    err->col = (int)(at - start) + 1;
}

__attribute__((cold)) static nn_status wrong(const nn_jr *r, const char *at, nn_err *err,
                                             const char *what) {
    nn_status s = nn_fail(err, NN_E_INVALID_REQUEST, "not valid JSON: %s", what);
    if (err) set_place(r, at, err);
    return s;
}

__attribute__((cold)) static nn_status unexpected(const nn_jr *r, nn_err *err,
                                                  const char *expected) {
    char what[96], found[24];
    unsigned char c = r->p < r->end ? (unsigned char)*r->p : 0;
    if (r->p == r->end)
        snprintf(found, sizeof found, "the end of the text");
    else if (c > 0x20 && c < 0x7f)
        snprintf(found, sizeof found, "'%c'", c);
    else
        snprintf(found, sizeof found, "byte 0x%02x", c);
    snprintf(what, sizeof what, "expected %s, found %s", expected, found);
    return wrong(r, r->p, err, r->begin == r->end ? "the text is empty, expected a value" : what);
}

__attribute__((cold)) static nn_status no_memory(nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to read the JSON text");
}

/* ---- strings ---- */

static int hex4(const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v * 16 + (low - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* The bytes of the \u escape at p and its code point; 0 when it is none that may be. */
static size_t unicode_escape(const char *p, const char *end, uint32_t *ret) {
    int one = end - p >= 6 ? hex4(p + 2) : -1;
    if (one <= 0 || (one & 0xfc00) == 0xdc00) return 0;
    *ret = (uint32_t)one;
    if ((one & 0xfc00) != 0xd800) return 6;
    int two = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (two < 0 || (two & 0xfc00) != 0xdc00) return 0;
    *ret = 0x10000 + (((uint32_t)one & 0x3ff) << 10) + ((uint32_t)two & 0x3ff);
    return 12;
}

/* Likewise for any escape. */
static size_t escape(const char *p, const char *end, uint32_t *ret) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (end - p < 2) return 0;
    if (p[1] == 'u') return unicode_escape(p, end, ret);
    const char *which = p[1] ? strchr(from, p[1]) : NULL;
    if (!which) return 0;
    *ret = (unsigned char)to[which - from];
    return 2;
}

static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | c >> (6 * more));
    while (more--) *to++ = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
    return to;
}

/* Resolves the escapes of p[0..n), which have been checked. */
static nn_status resolve(nn_jr *r, const char *p, size_t n, nn_jr_token *t, nn_err *err) {
    if (!r->texts) r->texts = nn_arena_new(NULL, "json", 0);
    char *start = nn_arena_alloc(r->texts, n), *to = start;
    if (!start) return no_memory(err);
    for (const char *end = p + n; p < end;) {
        uint32_t c;
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        p += escape(p, end, &c);
        to = put_utf8(to, c);
    }
    t->text = start;
    t->n = (size_t)(to - start);
    return NN_OK;
}

static nn_status string(nn_jr *r, nn_jr_type type, nn_jr_token *t, nn_err *err) {
    const char *start = r->p + 1, *p = start, *end = r->end;
    bool escaped = false;
    while (p < end && *p != '"') {
        unsigned char c = (unsigned char)*p;
        uint32_t ignored;
        size_t n = c == '\\'  ? escape(p, end, &ignored)
                   : c < 0x20 ? 0
                   : c < 0x80 ? 1
                              : nn_utf8_length(p, (size_t)(end - p));
        if (!n)
            return wrong(r, p, err,
                         c == '\\'  ? "a text has an escape that stands for no character"
                         : c < 0x20 ? "a text holds a control character, which must be escaped"
                                    : "a text is not UTF-8");
        escaped |= c == '\\';
        p += n;
    }
    if (p == end) return wrong(r, p, err, "a text does not end, expected '\"'");
    t->type = type;
    t->text = start;
    t->n = (size_t)(p - start);
    r->p = p + 1;
    return escaped ? resolve(r, start, t->n, t, err) : NN_OK;
}

/* ---- numbers ---- */

static bool is_digit(const char *p, const char *end) {
    return p < end && (unsigned char)(*p - '0') < 10;
}

/* The digits of p[0..end), which may hold a point, times 10^exponent. A double is decided by its
 * first 767 digits and whether anything but zeros follows. */
static double by_strtod(const char *p, const char *end, int64_t exponent) {
    enum { KEPT = 770 };
    char text[KEPT + 32];
    int n = 0;
    bool behind_point = false, more = false;
    for (; p < end; p++) {
        if (*p == '.') {
            behind_point = true;
        } else if (n < KEPT) {
            if (n || *p != '0') text[n++] = *p;
            exponent -= behind_point;
        } else {
            more |= *p != '0';
            exponent += !behind_point;
        }
    }
    if (!n) return 0;
    if (more) {
        text[n++] = '1';
        exponent--;
    }
    if (exponent > 100000) exponent = 100000;
    if (exponent < -100000) exponent = -100000;
    snprintf(text + n, sizeof text - (size_t)n, "e%" PRId64, exponent);
    return strtod(text, NULL);
}

/* w * 10^e for w > 0, |e| <= FIVES, rounded once: the product or quotient with 5^|e| is exact, or
 * has 63 bits and a last one that says whether there was a rest. The power of two is exact. */
enum { FIVES = 27 };
static double by_integers(uint64_t w, int e) {
    uint64_t five = 1;
    for (int i = 0; i < abs(e); i++) five *= 5; /* < 2^63 */
    if (e >= 0) return ldexp((double)((unsigned __int128)w * five), e);
    int up = __builtin_clzll(w), down = __builtin_clzll(five);
    uint64_t d = five << down;
    unsigned __int128 n = (unsigned __int128)(w << up) << 63; /* 2^62 <= n / d < 2^64 */
    uint64_t q = (uint64_t)(n / d);
    bool rest = n != (unsigned __int128)q * d;
    return ldexp((double)(q | rest), e - 63 - up + down);
}

static int64_t leading_zeros(const char *p, const char *end) {
    int64_t n = 0;
    for (; p < end && (*p == '0' || *p == '.'); p++) n += *p == '0';
    return n;
}

/* The value of the digits p[0..end), which may hold a point, times 10^exponent; w and e: the same
 * as w * 10^e, where count digits fit w. */
static double real(const char *p, const char *end, int64_t exponent, uint64_t w, int64_t count,
                   int64_t e) {
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (count > 19) count -= leading_zeros(p, end);
    if (count > 19) return by_strtod(p, end, exponent);
    if (w <= UINT64_C(1) << 53 && e >= -22 && e <= 22)
        return e < 0 ? (double)w / power[-e] : (double)w * power[e];
    if (w && e >= -FIVES && e <= FIVES) return by_integers(w, (int)e);
    return by_strtod(p, end, exponent);
}

/* The exponent at *p, behind its e. */
static bool read_exponent(const char **p, const char *end, int64_t *ret) {
    const int64_t enough = INT64_C(1000000000000); /* more than any count of digits can repair */
    bool negative = *p < end && **p == '-';
    int64_t v = 0;
    if (*p < end && (**p == '-' || **p == '+')) ++*p;
    if (!is_digit(*p, end)) return false;
    for (; is_digit(*p, end); ++*p)
        if (v < enough) v = v * 10 + (**p - '0');
    *ret = negative ? -v : v;
    return true;
}

static nn_status integer(nn_jr *r, const char *p, const char *digits, bool negative, uint64_t w,
                         nn_jr_token *t, nn_err *err) {
    if (p - digits > 19 || w > (uint64_t)INT64_MAX + negative)
        return wrong(r, r->p, err, "an integer does not fit 64 bits");
    t->type = NN_JR_INT;
    t->integer = negative ? (int64_t)(0 - w) : (int64_t)w;
    t->number = (double)t->integer;
    r->p = p;
    return NN_OK;
}

static nn_status number(nn_jr *r, nn_jr_token *t, nn_err *err) {
    const char *end = r->end, *p = r->p;
    bool negative = *p == '-';
    const char *digits = p += negative;
    uint64_t w = 0;
    for (; is_digit(p, end); p++) w = w * 10 + (uint64_t)(*p - '0');
    if (p == digits) return wrong(r, p, err, "a number has no digit where one is expected");
    if (*digits == '0' && p - digits > 1) return wrong(r, digits, err, "a number begins with 0");
    if (p == end || (*p != '.' && (*p | 0x20) != 'e'))
        return integer(r, p, digits, negative, w, t, err);
    int64_t count = p - digits, exponent = 0, shift = 0;
    if (*p == '.') {
        const char *fraction = ++p;
        for (; is_digit(p, end); p++) w = w * 10 + (uint64_t)(*p - '0');
        if (p == fraction) return wrong(r, p, err, "a number has no digit behind its point");
        shift = p - fraction;
        count += shift;
    }
    const char *digits_end = p;
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (!read_exponent(&p, end, &exponent))
            return wrong(r, p, err, "a number has no digit in its exponent");
    }
    double v = real(digits, digits_end, exponent, w, count, exponent - shift);
    if (isinf(v)) return wrong(r, r->p, err, "a number is too large for a double");
    t->type = NN_JR_REAL;
    t->number = negative ? -v : v;
    r->p = p;
    return NN_OK;
}

/* ---- keys ---- */

static nn_status remember_key(nn_jr *r, const char *at, const nn_jr_token *t, nn_err *err) {
    key k = {t->text, t->n, (size_t)(at - r->begin)};
    nn_buf_append(&r->keys, &k, sizeof k);
    return nn_buf_failed(&r->keys) ? no_memory(err) : NN_OK;
}

static int compare_text(const key *a, const key *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return a->n ? memcmp(a->p, b->p, a->n) : 0;
}

static int compare_keys(const void *a, const void *b) {
    const key *k = a, *l = b;
    int c = compare_text(k, l);
    return c ? c : k->at < l->at ? -1 : k->at > l->at;
}

/* Forgets the keys of the object that ends, unless one is there twice. */
static nn_status check_keys(nn_jr *r, nn_err *err) {
    size_t first = r->first_key[r->depth - 1], n = r->keys.n / sizeof(key) - first;
    key *k = n ? (key *)(void *)r->keys.p + first : NULL;
    const key *twice = NULL;
    if (n > 1) qsort(k, n, sizeof *k, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (compare_text(&k[i - 1], &k[i]) == 0 && (!twice || k[i].at < twice->at)) twice = &k[i];
    if (twice) {
        char what[128];
        snprintf(what, sizeof what, "the key \"%.*s\" is there twice",
                 twice->n < 60 ? (int)twice->n : 60, twice->n ? twice->p : "");
        return wrong(r, r->begin + twice->at, err, what);
    }
    r->keys.n = first * sizeof *k;
    return NN_OK;
}

/* ---- tokens ---- */

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

static bool in_object(const nn_jr *r) {
    return r->objects >> (r->depth - 1) & 1;
}

static nn_status open_level(nn_jr *r, bool object, nn_jr_token *t, nn_err *err) {
    if (r->depth == NN_JSON_MAX_DEPTH) {
        nn_status s =
            nn_fail(err, NN_E_INVALID_REQUEST,
                    "JSON may nest %d levels deep, this text nests deeper", NN_JSON_MAX_DEPTH);
        if (err) set_place(r, r->p, err);
        return s;
    }
    uint64_t bit = UINT64_C(1) << r->depth;
    r->objects = object ? r->objects | bit : r->objects & ~bit;
    r->first_key[r->depth++] = r->keys.n / sizeof(key);
    r->expect = object ? KEY_OR_END : VALUE_OR_END;
    r->p++;
    t->type = object ? NN_JR_OBJECT : NN_JR_ARRAY;
    return NN_OK;
}

static nn_status close_level(nn_jr *r, nn_jr_token *t, nn_err *err) {
    bool object = in_object(r);
    nn_status s = object ? check_keys(r, err) : NN_OK;
    if (s) return s;
    r->depth--;
    r->expect = NEXT;
    r->p++;
    t->type = object ? NN_JR_END_OBJECT : NN_JR_END_ARRAY;
    return NN_OK;
}

static nn_status word(nn_jr *r, const char *w, nn_jr_type type, nn_jr_token *t, nn_err *err) {
    size_t n = strlen(w);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n) != 0)
        return wrong(r, r->p, err, "a word that is not true, false or null");
    t->type = type;
    t->truth = *w == 't';
    r->p += n;
    return NN_OK;
}

static nn_status value(nn_jr *r, nn_jr_token *t, nn_err *err) {
    r->expect = NEXT;
    switch (r->p < r->end ? *r->p : 0) {
    case '-':
    case '0' ... '9':
        return number(r, t, err);
    case '"':
        return string(r, NN_JR_STRING, t, err);
    case '[':
        return open_level(r, false, t, err);
    case '{':
        return open_level(r, true, t, err);
    case 't':
        return word(r, "true", NN_JR_BOOL, t, err);
    case 'f':
        return word(r, "false", NN_JR_BOOL, t, err);
    case 'n':
        return word(r, "null", NN_JR_NULL, t, err);
    default:
        return unexpected(r, err, "a value");
    }
}

static nn_status read_key(nn_jr *r, nn_jr_token *t, nn_err *err) {
    if (r->p == r->end || *r->p != '"') return unexpected(r, err, "a key in quotes");
    const char *at = r->p;
    nn_status s = string(r, NN_JR_KEY, t, err);
    if (!s) s = remember_key(r, at, t, err);
    if (s) return s;
    r->p = skip_blanks(r->p, r->end);
    if (r->p == r->end || *r->p != ':') return unexpected(r, err, "':' behind a key");
    r->p++;
    r->expect = VALUE;
    return NN_OK;
}

/* Behind a value: over the comma, unless the level or the text ends here. */
static nn_status next(nn_jr *r, nn_jr_token *t, nn_err *err) {
    if (!r->depth) {
        if (r->p < r->end) return unexpected(r, err, "nothing behind the value");
        t->type = NN_JR_END;
        return NN_OK;
    }
    bool object = in_object(r);
    if (r->p < r->end && *r->p == (object ? '}' : ']')) return close_level(r, t, err);
    if (r->p == r->end || *r->p != ',')
        return unexpected(r, err, object ? "',' or '}'" : "',' or ']'");
    r->p = skip_blanks(r->p + 1, r->end);
    return object ? read_key(r, t, err) : value(r, t, err);
}

nn_status nn_jr_next(nn_jr *r, nn_jr_token *ret, nn_err *err) {
    r->p = skip_blanks(r->p, r->end);
    char c = r->p < r->end ? *r->p : 0;
    switch (r->expect) {
    case NEXT:
        return next(r, ret, err);
    case VALUE_OR_END:
        return c == ']' ? close_level(r, ret, err) : value(r, ret, err);
    case KEY_OR_END:
        return c == '}' ? close_level(r, ret, err) : read_key(r, ret, err);
    default:
        return value(r, ret, err);
    }
}

nn_status nn_jr_leave(nn_jr *r, int depth, nn_err *err) {
    nn_jr_token t;
    nn_status s = NN_OK;
    while (!s && r->depth > depth) s = nn_jr_next(r, &t, err);
    return s;
}

nn_status nn_jr_skip(nn_jr *r, const nn_jr_token *t, nn_err *err) {
    bool opened = t->type == NN_JR_ARRAY || t->type == NN_JR_OBJECT;
    return opened ? nn_jr_leave(r, r->depth - 1, err) : NN_OK;
}

int nn_jr_arrays_ahead(const nn_jr *r) {
    int n = 0;
    const char *p = skip_blanks(r->p, r->end);
    if (r->expect == NEXT && p < r->end && *p == ',') p = skip_blanks(p + 1, r->end);
    for (; p < r->end && *p == '[' && n < NN_JSON_MAX_DEPTH; n++) p = skip_blanks(p + 1, r->end);
    return n;
}

bool nn_jr_is(const nn_jr_token *t, const char *s) {
    return strlen(s) == t->n && memcmp(t->text, s, t->n) == 0;
}

const char *nn_jr_type_name(nn_jr_type t) {
    static const char *const names[] = {
        [NN_JR_END] = "nothing",      [NN_JR_NULL] = "null",         [NN_JR_BOOL] = "a boolean",
        [NN_JR_INT] = "an integer",   [NN_JR_REAL] = "a number",     [NN_JR_STRING] = "a text",
        [NN_JR_ARRAY] = "an array",   [NN_JR_OBJECT] = "an object",  [NN_JR_KEY] = "a key",
        [NN_JR_END_ARRAY] = "an end", [NN_JR_END_OBJECT] = "an end",
    };
    return names[t];
}
