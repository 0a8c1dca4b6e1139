/* SPDX-License-Identifier: MIT */
/* csv.c - the cells of a text table; what they mean is table.c's business. */
#include "data/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void nn_csv_init(nn_csv *c, char *p, size_t n, const char *name) {
    *c = (nn_csv){.name = name, .p = p, .end = p + n, .delimiter = ',', .next_line = 1};
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) c->p += 3;
    const char *eol = memchr(c->p, '\n', (size_t)(c->end - c->p));
    size_t first = (size_t)((eol ? eol : c->end) - c->p);
    for (const char *d = ",;\t"; *d; d++)
        if (memchr(c->p, *d, first)) {
            c->delimiter = *d;
            return;
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

nn_status nn_csv_row(nn_csv *c, nn_cell *cells, int64_t cap, int64_t *ret_n, nn_err *err) {
    while (c->p < c->end && at_row_end(c)) skip_row_end(c);
    c->line = c->next_line;
    if (c->p == c->end) {
        *ret_n = 0;
        return NN_OK;
    }
    for (int64_t n = 0;; c->p++) {
        nn_cell cell;
        nn_status s = next_cell(c, n + 1, &cell, err);
        if (s) return s;
        if (n < cap) cells[n] = cell;
        n++;
        if (at_row_end(c)) {
            skip_row_end(c);
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
