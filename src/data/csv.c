/* SPDX-License-Identifier: MIT */
/* csv.c - the cells of a text table; what they mean is table.c's business. A row is first found as
 * a whole, then cut into cells in place. */
#include "data/csv.h"

#include "data/stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, MAX_ROW = 1 << 26, MAX_CELLS = 1 << 20 };

struct nn_csv {
    char *name;
    nn_stream *stream; /* NULL: all there is lies in the buffer */
    char *buf;
    size_t from, to, cap; /* the text not yet read, within the buffer */
    bool ended;
    char *p, *end;  /* what is left of the row in hand */
    char delimiter; /* 0: not known yet */
    int64_t line, next_line;
    nn_cell *cells;
    int64_t room;
};

static nn_csv *new_csv(const char *name, size_t cap) {
    nn_csv *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (nn_csv){.name = strdup(name), .buf = malloc(cap + 1), .cap = cap, .next_line = 1};
    if (!c->name || !c->buf) abort();
    return c;
}

nn_status nn_csv_open(const char *path, struct nn_hash *hash, nn_csv **ret, nn_err *err) {
    nn_stream *stream = NULL;
    nn_status s = nn_stream_open(path, hash, &stream, err);
    if (s) return s;
    *ret = new_csv(path, CHUNK);
    (*ret)->stream = stream;
    return NN_OK;
}

nn_csv *nn_csv_new(const char *p, size_t n, const char *name) {
    nn_csv *c = new_csv(name, n);
    if (n) memcpy(c->buf, p, n);
    c->to = n;
    c->ended = true;
    return c;
}

void nn_csv_close(nn_csv *c) {
    if (!c) return;
    nn_stream_close(c->stream);
    free(c->name);
    free(c->buf);
    free(c->cells);
    free(c);
}

int64_t nn_csv_line(const nn_csv *c) {
    return c->line;
}

/* More text behind what is there. */
static nn_status more(nn_csv *c, nn_err *err) {
    memmove(c->buf, c->buf + c->from, c->to - c->from);
    c->to -= c->from;
    c->from = 0;
    if (c->to >= MAX_ROW)
        return nn_fail(err, NN_E_LIMIT,
                       "%s: line %" PRId64 ": a row longer than %d bytes; is a quote left open?",
                       c->name, c->next_line, MAX_ROW);
    if (c->cap - c->to < CHUNK) {
        c->cap = 2 * c->cap + CHUNK;
        c->buf = realloc(c->buf, c->cap + 1);
        if (!c->buf) abort();
    }
    size_t got = 0;
    nn_status s = nn_stream_some(c->stream, c->buf + c->to, c->cap - c->to, &got, err);
    c->ended = got < c->cap - c->to;
    c->to += got;
    return s;
}

/* In the first line, once it is there. */
static void find_delimiter(nn_csv *c) {
    char *p = c->buf + c->from;
    size_t n = c->to - c->from;
    const char *eol = memchr(p, '\n', n);
    if (!eol && !c->ended) return;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        c->from += 3;
        p += 3;
        n -= 3;
    }
    size_t first = eol ? (size_t)(eol - p) : n;
    c->delimiter = ',';
    for (const char *d = ",;\t"; *d; d++)
        if (memchr(p, *d, first)) {
            c->delimiter = *d;
            return;
        }
}

static const char *past_cell(const nn_csv *c, const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t') && *p != c->delimiter) p++;
    if (p < end && *p == '"')
        for (p++; p < end; p++) {
            if (*p != '"') continue;
            if (p + 1 < end && p[1] == '"')
                p++;
            else
                break;
        }
    while (p < end && *p != c->delimiter && *p != '\n') p++;
    return p;
}

/* Past the line break that ends the row at p, or NULL if it does not end here. */
static const char *past_row(const nn_csv *c, const char *p, const char *end) {
    const char *eol = memchr(p, '\n', (size_t)(end - p));
    if (eol && !memchr(p, '"', (size_t)(eol - p))) return eol + 1;
    for (; p < end; p++) {
        p = past_cell(c, p, end);
        if (p < end && *p == '\n') return p + 1;
    }
    return NULL;
}

/* Sets p and end to the next row. */
static nn_status take_row(nn_csv *c, nn_err *err) {
    for (;;) {
        if (!c->delimiter) find_delimiter(c);
        const char *past = c->delimiter ? past_row(c, c->buf + c->from, c->buf + c->to) : NULL;
        if (past || c->ended) {
            c->p = c->buf + c->from;
            c->end = past ? c->buf + (past - c->buf) : c->buf + c->to;
            c->from = (size_t)(c->end - c->buf);
            return NN_OK;
        }
        nn_status s = more(c, err);
        if (s) return s;
    }
}

static bool at_row_end(const nn_csv *c) {
    return c->p == c->end || *c->p == '\n' ||
           (*c->p == '\r' && c->p + 1 < c->end && c->p[1] == '\n');
}

static void skip_row_end(nn_csv *c) {
    if (c->p < c->end && *c->p == '\r') c->p++;
    if (c->p < c->end) c->p++;
    c->next_line++;
}

static bool blank(char ch) {
    return ch == ' ' || ch == '\t';
}

static nn_cell plain_cell(nn_csv *c) {
    char *from = c->p;
    while (!at_row_end(c) && *c->p != c->delimiter) c->p++;
    char *to = c->p;
    while (from < to && blank(*from)) from++;
    while (to > from && blank(to[-1])) to--;
    return (nn_cell){from, (size_t)(to - from)};
}

/* After the opening quote; doubled quotes are folded in place. */
static nn_status quoted_cell(nn_csv *c, int64_t column, nn_cell *ret, nn_err *err) {
    char *from = c->p, *to = c->p;
    for (;; c->p++) {
        if (c->p == c->end)
            return nn_fail(err, NN_E_DATA_ERROR,
                           "%s: line %" PRId64 ", column %" PRId64 ": a quote is never closed",
                           c->name, c->line, column);
        if (*c->p == '\n') c->next_line++;
        if (*c->p == '"') {
            c->p++;
            if (c->p == c->end || *c->p != '"') break;
        }
        *to++ = *c->p;
    }
    while (c->p < c->end && blank(*c->p) && *c->p != c->delimiter) c->p++;
    if (!at_row_end(c) && *c->p != c->delimiter)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: line %" PRId64 ", column %" PRId64 ": text after a closing quote",
                       c->name, c->line, column);
    *ret = (nn_cell){from, (size_t)(to - from)};
    return NN_OK;
}

static nn_status next_cell(nn_csv *c, int64_t column, nn_cell *ret, nn_err *err) {
    char *p = c->p;
    while (p < c->end && blank(*p) && *p != c->delimiter) p++;
    if (p < c->end && *p == '"') {
        c->p = p + 1;
        return quoted_cell(c, column, ret, err);
    }
    *ret = plain_cell(c);
    if (memchr(ret->p, 0, ret->n))
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: line %" PRId64 ", column %" PRId64
                       ": a NUL byte; this is not a text table",
                       c->name, c->line, column);
    return NN_OK;
}

static nn_status add_cell(nn_csv *c, int64_t n, const nn_cell *cell, nn_err *err) {
    if (n == MAX_CELLS)
        return nn_fail(err, NN_E_LIMIT, "%s: line %" PRId64 ": more than %d columns", c->name,
                       c->line, MAX_CELLS);
    if (n == c->room) {
        c->room = c->room ? 2 * c->room : 64;
        c->cells = realloc(c->cells, (size_t)c->room * sizeof *c->cells);
        if (!c->cells) abort();
    }
    c->cells[n] = *cell;
    return NN_OK;
}

nn_status nn_csv_row(nn_csv *c, nn_cell **ret, int64_t *ret_n, nn_err *err) {
    do {
        nn_status s = take_row(c, err);
        if (s) return s;
        c->line = c->next_line;
        *ret_n = 0;
        if (c->p == c->end) return NN_OK;
        if (at_row_end(c)) skip_row_end(c);
    } while (c->p == c->end);
    for (int64_t n = 0;; c->p++) {
        nn_cell cell;
        nn_status s = next_cell(c, n + 1, &cell, err);
        if (!s) s = add_cell(c, n, &cell, err);
        if (s) return s;
        n++;
        if (at_row_end(c)) {
            if (c->p < c->end) skip_row_end(c);
            *ret = c->cells;
            *ret_n = n;
            return NN_OK;
        }
    }
}

/* Up to 15 digits and a power of ten up to 22 are exact in a double, and so is one rounding of
 * their quotient (Clinger, "How to Read Floating Point Numbers Accurately", 1990). */
static bool short_number(const char *p, const char *end, double *ret) {
    static const double power[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    int64_t mantissa = 0;
    int digits = 0, after = 0;
    bool dot = false;
    for (; p < end; p++) {
        if (*p == '.' && !dot) {
            dot = true;
            continue;
        }
        if (*p < '0' || *p > '9' || ++digits > 15) return false;
        mantissa = mantissa * 10 + (*p - '0');
        after += dot;
    }
    if (!digits) return false;
    double v = (double)mantissa / power[after];
    *ret = minus ? -v : v;
    return true;
}

bool nn_csv_number(const nn_cell *cell, double *ret) {
    if (short_number(cell->p, cell->p + cell->n, ret)) return true;
    char text[128], *end;
    if (cell->n == 0 || cell->n >= sizeof text) return false;
    for (size_t i = 0; i < cell->n; i++)
        if (!cell->p[i] || !strchr("0123456789+-.eE", cell->p[i])) return false;
    memcpy(text, cell->p, cell->n);
    text[cell->n] = 0;
    double v = strtod(text, &end);
    if (*end || end == text || !isfinite(v)) return false;
    *ret = v;
    return true;
}
