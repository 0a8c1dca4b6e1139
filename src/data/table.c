/* SPDX-License-Identifier: MIT */
/* table.c - a text table as a set of rows of numbers, each with a label.
 *
 * The first row is a header if no cell of it is a number, or if one is called like a label column.
 * The label column is the first called label, target, class or y, else the last. Labels that are
 * texts, or at most MAX_WHOLE different whole numbers, are classes (texts sorted by bytes, numbers
 * by value); other numbers are values, and so are whole numbers as soon as one is spelled with a
 * decimal point. Classes are counted over the whole file, so both parts agree on them. Nothing is
 * guessed about missing cells: they are refused. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/csv.h"
#include "data/format.h"
#include "data/stream.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_COLUMNS = 1 << 20, MAX_WHOLE = 1000, MAX_TEXTS = 10000 };

typedef struct table {
    const nn_data_request *q;
    nn_cell *header; /* columns of them; all empty where there is none */
    size_t room;     /* cells that fit there */
    int64_t columns, label;
    int64_t rows, cap;
    float *features; /* rows x (columns - 1) */
    nn_cell *labels; /* rows; they point into the text */
    bool text, whole;
} table;

static bool is_word(const nn_cell *c, const char *word) {
    return c->n == strlen(word) && strncasecmp(c->p, word, c->n) == 0;
}

static int64_t find_label(const nn_cell *cells, int64_t n) {
    static const char *const words[] = {"label", "target", "class", "y"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (int64_t i = 0; i < n; i++)
            if (is_word(&cells[i], words[w])) return i;
    return -1;
}

static bool is_header(const nn_cell *cells, int64_t n) {
    double v;
    if (find_label(cells, n) >= 0) return true;
    for (int64_t i = 0; i < n; i++)
        if (nn_csv_number(&cells[i], &v)) return false;
    return true;
}

static bool is_missing(const nn_cell *c) {
    static const char *const marks[] = {"", "?", "na", "n/a", "nan", "null", "none"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (is_word(c, marks[i])) return true;
    return false;
}

/* "file: line 7, column 3 ('age'): " before what is wrong with a cell. */
static nn_status bad_cell(const table *t, int64_t line, int64_t column, const nn_cell *cell,
                          const char *what, nn_err *err) {
    const nn_cell *name = &t->header[column];
    char title[48] = "";
    if (name->n)
        snprintf(title, sizeof title, " ('%.*s')", (int)(name->n < 40 ? name->n : 40), name->p);
    return nn_fail(err, NN_E_DATA_ERROR, "%s: line %" PRId64 ", column %" PRId64 "%s: %s%s%.*s%s",
                   t->q->spec, line, column + 1, title, what, cell->n ? ": '" : "",
                   (int)(cell->n < 40 ? cell->n : 40), cell->p, cell->n ? "'" : "");
}

static nn_status add_feature(table *t, int64_t line, int64_t column, const nn_cell *cell, float *to,
                             nn_err *err) {
    double v;
    if (!nn_csv_number(cell, &v)) {
        if (is_missing(cell)) {
            nn_status s = bad_cell(t, line, column, cell, "a missing value", err);
            return nn_err_hint(err, s, "fill it in or leave the row out before training");
        }
        nn_status s = bad_cell(t, line, column, cell, "not a number", err);
        return nn_err_hint(err, s,
                           "only the label may be text; turn other texts into numbers first");
    }
    if (fabs(v) > (double)FLT_MAX)
        return bad_cell(t, line, column, cell, "too large a number", err);
    *to = (float)v;
    return NN_OK;
}

static nn_status add_label(table *t, int64_t line, const nn_cell *cell, nn_err *err) {
    double v;
    bool number = nn_csv_number(cell, &v);
    if (!number && is_missing(cell))
        return bad_cell(t, line, t->label, cell, "a missing label", err);
    if (!number && nn_utf8_valid(cell->p, cell->n) != cell->n)
        return bad_cell(t, line, t->label, &(nn_cell){cell->p, 0}, "a label that is not UTF-8",
                        err);
    if (number && fabs(v) > (double)FLT_MAX)
        return bad_cell(t, line, t->label, cell, "too large a number", err);
    if (!number) t->text = true;
    for (size_t i = 0; i < cell->n; i++)
        if (!strchr("+-0123456789", cell->p[i])) t->whole = false;
    t->labels[t->rows] = *cell;
    return NN_OK;
}

static nn_status add_row(table *t, int64_t line, const nn_cell *cells, int64_t n, nn_err *err) {
    if (n != t->columns)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: line %" PRId64 ": %" PRId64 " columns, the first row has %" PRId64,
                       t->q->spec, line, n, t->columns);
    float *to = t->features + t->rows * (t->columns - 1);
    for (int64_t i = 0; i < n; i++) {
        nn_status s = i == t->label ? add_label(t, line, &cells[i], err)
                                    : add_feature(t, line, i, &cells[i], to++, err);
        if (s) return s;
    }
    t->rows++;
    return NN_OK;
}

static nn_status check_header(const table *t, nn_err *err) {
    for (int64_t i = 0; i < t->columns; i++)
        if (t->header[i].n == 0) {
            nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                                  "%s: line 1, column %" PRId64 ": has no name", t->q->spec, i + 1);
            return nn_err_hint(err, s,
                               "a row number written by pandas? write it with to_csv(index=False)");
        }
    return NN_OK;
}

/* Memory for every row that can still come: there are at most as many as line breaks. */
static nn_status make_room(table *t, const nn_csv *c, size_t text, nn_err *err) {
    int64_t lines = 2; /* the row in hand, and a last one without a line break */
    for (const char *p = c->p; (p = memchr(p, '\n', (size_t)(c->end - p))); p++) lines++;
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)lines,
                               (uint64_t)(t->columns - 1) * 8 + sizeof(nn_cell) + 8, &bytes) ||
        bytes > t->q->max_bytes - text)
        return nn_data_too_large(t->q->spec, bytes + text, t->q->max_bytes, err);
    t->cap = lines;
    t->features = nn_alloc_large((size_t)lines * (size_t)(t->columns - 1) * sizeof(float), false);
    t->labels = nn_alloc_large((size_t)lines * sizeof *t->labels, false);
    if (!t->features || !t->labels)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its rows", t->q->spec);
    return NN_OK;
}

static nn_status first_row(table *t, nn_csv *c, size_t text, nn_err *err) {
    nn_status s = nn_csv_row(c, t->header, (int64_t)t->room, &t->columns, err);
    if (s) return s;
    if (t->columns == 0) return nn_fail(err, NN_E_DATA_ERROR, "%s: holds no rows", t->q->spec);
    if (t->columns < 2 || t->columns > MAX_COLUMNS)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: line 1: %" PRId64 " columns; expected features and a label, at most %d",
                       t->q->spec, t->columns, MAX_COLUMNS);
    t->label = find_label(t->header, t->columns);
    if (t->label < 0) t->label = t->columns - 1;
    s = make_room(t, c, text, err);
    if (s) return s;
    if (is_header(t->header, t->columns)) return check_header(t, err);
    nn_cell *first = calloc((size_t)t->columns, sizeof *first);
    if (!first) abort();
    memcpy(first, t->header, (size_t)t->columns * sizeof *first);
    memset(t->header, 0, (size_t)t->columns * sizeof *first);
    s = add_row(t, c->line, first, t->columns, err);
    free(first);
    return s;
}

static nn_status read_rows(table *t, char *p, size_t n, nn_err *err) {
    nn_csv c;
    nn_csv_init(&c, p, n, t->q->spec);
    nn_status s = first_row(t, &c, n, err);
    nn_cell *cells = s ? NULL : calloc((size_t)t->columns, sizeof *cells);
    if (!s && !cells) abort();
    for (int64_t got = 1; !s && got;) {
        s = nn_csv_row(&c, cells, t->columns, &got, err);
        if (!s && got) s = add_row(t, c.line, cells, got, err);
    }
    free(cells);
    if (!s && t->rows == 0)
        s = nn_fail(err, NN_E_DATA_ERROR, "%s: holds a header but no rows", t->q->spec);
    return s;
}

static double number_of(const nn_cell *c) {
    double v = 0;
    nn_csv_number(c, &v);
    return v;
}

static int by_text(const void *a, const void *b) {
    const nn_cell *x = a, *y = b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int by_number(const void *a, const void *b) {
    double x = number_of(a), y = number_of(b);
    return (x > y) - (x < y);
}

/* The distinct labels, sorted, in malloc'ed memory. */
static nn_cell *distinct_labels(const table *t, int64_t *ret_n) {
    int (*order)(const void *, const void *) = t->text ? by_text : by_number;
    nn_cell *p = malloc((size_t)t->rows * sizeof *p);
    if (!p) abort();
    memcpy(p, t->labels, (size_t)t->rows * sizeof *p);
    qsort(p, (size_t)t->rows, sizeof *p, order);
    int64_t n = 1;
    for (int64_t i = 1; i < t->rows; i++)
        if (order(&p[n - 1], &p[i]) != 0) p[n++] = p[i];
    *ret_n = n;
    return p;
}

static void name_classes(nn_dataset *d, const nn_cell *cells, int64_t n) {
    const char **names = calloc((size_t)n, sizeof *names);
    if (!names) abort();
    for (int64_t i = 0; i < n; i++)
        if (!(names[i] = strndup(cells[i].p, cells[i].n))) abort();
    nn_dataset_name_classes(d, names, (int)n);
    for (int64_t i = 0; i < n; i++) free((char *)names[i]);
    free(names);
}

static nn_status build(const table *t, const nn_order *part, const nn_cell *classes,
                       int64_t n_classes, nn_dataset **ret, nn_err *err) {
    int64_t width = t->columns - 1;
    nn_dataset *d = NULL;
    nn_status s = nn_dataset_new(t->q, part->n, &(nn_shape){1, {width}}, NN_ROWS_F32,
                                 classes ? 0 : 1, &d, err);
    if (s) return s;
    for (int64_t i = 0; i < part->n; i++) {
        int64_t row = part->index[i];
        memcpy((float *)d->block[0].data + i * width, t->features + row * width,
               (size_t)width * sizeof(float));
        const nn_cell *label = &t->labels[row];
        if (classes) {
            const nn_cell *at = bsearch(label, classes, (size_t)n_classes, sizeof *classes,
                                        t->text ? by_text : by_number);
            d->labels[i] = (int32_t)(at - classes);
        } else
            d->targets[i] = (float)number_of(label);
    }
    if (classes) name_classes(d, classes, n_classes);
    *ret = d;
    return NN_OK;
}

static nn_status divide(const table *t, nn_dataset **ret, nn_err *err) {
    nn_cell *classes = NULL;
    int64_t n = 0;
    if (t->text || t->whole) classes = distinct_labels(t, &n);
    if (t->text && n > MAX_TEXTS) {
        free(classes);
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: the label column %" PRId64 " holds %" PRId64
                       " different texts, at most %d classes are taken",
                       t->q->spec, t->label + 1, n, MAX_TEXTS);
    }
    if (!t->text && n > MAX_WHOLE) {
        free(classes);
        classes = NULL;
    }
    nn_order part;
    nn_status s = nn_data_split(t->q->spec, t->rows, t->q->split, &part, err);
    if (!s) {
        s = build(t, &part, classes, n, ret, err);
        nn_order_done(&part);
    }
    free(classes);
    return s;
}

/* A row cannot have more cells than the text has delimiters, and one; past MAX_COLUMNS it is
 * refused. */
static size_t most_columns(const char *p, size_t n) {
    size_t cells = 2;
    for (size_t i = 0; i < n && cells < MAX_COLUMNS; i++)
        cells += p[i] == ',' || p[i] == ';' || p[i] == '\t';
    return cells;
}

nn_status nn_csv_dataset(const nn_data_request *q, char *p, size_t n, nn_dataset **ret,
                         nn_err *err) {
    table t = {.q = q, .whole = true};
    t.room = most_columns(p, n);
    t.header = calloc(t.room, sizeof *t.header);
    if (!t.header) abort();
    nn_status s = read_rows(&t, p, n, err);
    if (!s) s = divide(&t, ret, err);
    free(t.header);
    nn_free_large(t.features);
    nn_free_large(t.labels);
    return s;
}

static bool recognise(const nn_data_request *q) {
    static const char *const ends[] = {".csv", ".tsv", ".csv.gz", ".tsv.gz"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (nn_data_ends_with(q->spec, ends[i])) return true;
    return false;
}

static nn_status open_csv(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    nn_hash *hash = nn_hash_new();
    char *p = NULL, hex[NN_SHA256_HEX];
    size_t n = 0;
    nn_status s = nn_stream_read_all(q->spec, q->max_bytes, hash, &p, &n, err);
    nn_hash_end_hex(hash, hex);
    if (s) return s;
    s = nn_csv_dataset(q, p, n, ret, err);
    if (!s) memcpy((*ret)->sha256, hex, sizeof hex);
    free(p);
    return s;
}

const nn_format nn_format_csv = {.name = "csv", .recognise = recognise, .open = open_csv};
