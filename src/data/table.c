/* SPDX-License-Identifier: MIT */
/* table.c - a text table as a set of rows of numbers, each with a label.
 *
 * The table is read twice: once to learn what its columns hold, once to turn its rows into numbers,
 * so that it may be larger than memory; rows that do not fit are spooled. The first row is a header
 * if no cell of it is a number, or if one is called like a label column. The label column is the
 * first called label, target, class or y, else the last. Labels that are texts, or at most
 * MAX_WHOLE different whole numbers, are classes (texts sorted by bytes, numbers by value); other
 * numbers are values, and so are whole numbers as soon as one is spelled with a decimal point.
 * Classes and categories are counted over the whole file, so both parts agree on them; means are
 * those of the training rows. */
#include "base/hash.h"
#include "base/utf8.h"
#include "data/columns.h"
#include "data/spool.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WHOLE = 1000, MAX_TEXTS = 10000 };

typedef struct table {
    const nn_data_request *q;
    const char *text; /* the bytes of the table; NULL: it is the file q->spec */
    size_t text_n;
    nn_table_options options;
    nn_columns columns;
    bool header;
    int64_t rows;              /* that are not dropped */
    nn_words labels;           /* different ones, at most MAX_TEXTS */
    bool is_text, whole, many; /* some label is a text; all are whole; there are more */
} table;

/* What is made of the second reading. */
typedef struct target {
    nn_order part;
    uint32_t *place; /* of the table's rows in the set; UINT32_MAX: of the other part */
    nn_dataset *set;
    float *row; /* one sample */
    bool classes;
} target;

static nn_status open_text(const table *t, nn_hash *hash, nn_csv **ret, nn_err *err) {
    if (!t->text) return nn_csv_open(t->q->spec, hash, ret, err);
    *ret = nn_csv_new(t->text, t->text_n, t->q->spec);
    return NN_OK;
}

/* ---- what it holds ---- */

static bool is_header(const nn_cell *cells, int64_t n) {
    double v;
    if (nn_columns_find_label(cells, n) >= 0) return true;
    for (int64_t i = 0; i < n; i++)
        if (nn_csv_number(&cells[i], &v)) return false;
    return true;
}

static nn_status check_header(const table *t, const nn_cell *cells, int64_t n, nn_err *err) {
    for (int64_t i = 0; i < n; i++)
        if (cells[i].n == 0) {
            nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                                  "%s: line 1, column %" PRId64 ": has no name", t->q->spec, i + 1);
            return nn_err_hint(err, s,
                               "a row number written by pandas? write it with to_csv(index=False)");
        }
    return NN_OK;
}

static nn_status learn_label(table *t, int64_t line, const nn_cell *cell, nn_err *err) {
    double v;
    bool number = nn_csv_number(cell, &v);
    const nn_columns *c = &t->columns;
    if (!number && nn_cell_missing(cell))
        return nn_columns_bad(c, line, c->label, cell, "a missing label", err);
    if (!number && nn_utf8_valid(cell->p, cell->n) != cell->n)
        return nn_columns_bad(c, line, c->label, &(nn_cell){cell->p, 0},
                              "a label that is not UTF-8", err);
    if (number && fabs(v) > (double)FLT_MAX)
        return nn_columns_bad(c, line, c->label, cell, "too large a number", err);
    if (!number) t->is_text = true;
    for (size_t i = 0; i < cell->n; i++)
        if (!strchr("+-0123456789", cell->p[i])) t->whole = false;
    if (!t->many && !nn_words_add(&t->labels, cell, MAX_TEXTS)) t->many = true;
    return NN_OK;
}

static nn_status learn_row(table *t, int64_t line, const nn_cell *cells, int64_t n, nn_err *err) {
    bool drop;
    if (n != t->columns.n)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: line %" PRId64 ": %" PRId64 " columns, the first row has %" PRId64,
                       t->q->spec, line, n, t->columns.n);
    nn_status s = nn_columns_learn(&t->columns, line, cells, &drop, err);
    if (s || drop) return s;
    t->rows++;
    return learn_label(t, line, &cells[t->columns.label], err);
}

static nn_status learn_first(table *t, const nn_csv *c, const nn_cell *cells, int64_t n,
                             nn_err *err) {
    if (n == 0) return nn_fail(err, NN_E_DATA_ERROR, "%s: holds no rows", t->q->spec);
    if (n < 2)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: line 1: 1 columns; expected features and a label",
                       t->q->spec);
    t->header = is_header(cells, n);
    nn_status s = t->header ? check_header(t, cells, n, err) : NN_OK;
    if (!s) s = nn_columns_init(&t->columns, t->q->spec, &t->options, cells, n, t->header, err);
    return s || t->header ? s : learn_row(t, nn_csv_line(c), cells, n, err);
}

static nn_status learn(table *t, nn_csv *c, nn_err *err) {
    nn_cell *cells = NULL;
    int64_t n = 0;
    nn_status s = nn_csv_row(c, &cells, &n, err);
    if (!s) s = learn_first(t, c, cells, n, err);
    while (!s && n) {
        s = nn_csv_row(c, &cells, &n, err);
        if (!s && n) s = learn_row(t, nn_csv_line(c), cells, n, err);
    }
    if (!s && t->rows == 0)
        s = nn_fail(err, NN_E_DATA_ERROR, "%s: holds %s no rows%s", t->q->spec,
                    t->header ? "a header but" : "",
                    t->options.missing == NN_MISSING_DROP ? " without missing values" : "");
    return s ? s : nn_columns_settle(&t->columns, err);
}

/* ---- classes ---- */

static int (*order_of(const table *t))(const void *, const void *) {
    return t->is_text ? nn_cells_by_text : nn_cells_by_number;
}

/* Sorts the labels and leaves one of those that are spelled differently but equal. */
static void sort_labels(table *t) {
    nn_words *w = &t->labels;
    qsort(w->word, (size_t)w->n, sizeof *w->word, order_of(t));
    int64_t n = 1;
    for (int64_t i = 1; i < w->n; i++) {
        if (order_of(t)(&w->word[n - 1], &w->word[i]) != 0)
            w->word[n++] = w->word[i];
        else
            free(w->word[i].p);
    }
    w->n = n;
}

static nn_status settle_labels(table *t, bool *ret_classes, nn_err *err) {
    if (t->is_text && t->many)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: the label column %" PRId64 " holds more than %d different texts",
                       t->q->spec, t->columns.label + 1, MAX_TEXTS);
    *ret_classes = t->is_text || (t->whole && !t->many);
    if (*ret_classes) sort_labels(t);
    if (!t->is_text && t->labels.n > MAX_WHOLE) *ret_classes = false;
    return NN_OK;
}

static void name_classes(nn_dataset *d, const nn_words *w) {
    const char **names = calloc((size_t)w->n, sizeof *names);
    if (!names) abort();
    for (int64_t i = 0; i < w->n; i++)
        if (!(names[i] = strndup(w->word[i].p, w->word[i].n))) abort();
    nn_dataset_name_classes(d, names, (int)w->n);
    for (int64_t i = 0; i < w->n; i++) free((char *)names[i]);
    free(names);
}

/* ---- rows as numbers ---- */

static nn_status changed(const table *t, nn_err *err) {
    return nn_fail(err, NN_E_STORAGE_ERROR, "%s: the file was changed while it was read",
                   t->q->spec);
}

static nn_status put_label(const table *t, target *to, int64_t at, const nn_cell *cell,
                           nn_err *err) {
    double v = 0;
    if (!to->classes) {
        nn_csv_number(cell, &v);
        to->set->targets[at] = (float)v;
        return NN_OK;
    }
    const nn_cell *word =
        bsearch(cell, t->labels.word, (size_t)t->labels.n, sizeof *word, order_of(t));
    if (!word) return changed(t, err);
    to->set->labels[at] = (int32_t)(word - t->labels.word);
    return NN_OK;
}

static nn_status put_row(table *t, target *to, int64_t row, int64_t line, const nn_cell *cells,
                         nn_err *err) {
    nn_block *b = &to->set->block[0];
    uint32_t at = to->place[row];
    bool mine = at != UINT32_MAX, counts = mine == (t->q->split == NN_SPLIT_TRAIN);
    float *sample = mine && b->data ? (float *)b->data + at * b->stride : to->row;
    nn_status s = nn_columns_encode(&t->columns, line, cells, counts, sample, err);
    if (s || !mine) return s;
    if (!b->data) s = nn_spool_put(b->reader, at, sample, err);
    return s ? s : put_label(t, to, at, &cells[t->columns.label], err);
}

static nn_status put_rows(table *t, target *to, nn_err *err) {
    nn_csv *c = NULL;
    nn_cell *cells = NULL;
    int64_t n = 1, row = 0;
    bool drop;
    nn_status s = open_text(t, NULL, &c, err);
    if (!s && t->header) s = nn_csv_row(c, &cells, &n, err);
    while (!s && n) {
        s = nn_csv_row(c, &cells, &n, err);
        if (s || !n) break;
        if (n != t->columns.n || row > t->rows) s = changed(t, err);
        if (!s) s = nn_columns_learn(&t->columns, nn_csv_line(c), cells, &drop, err);
        if (!s && !drop && row == t->rows) s = changed(t, err);
        if (!s && !drop) s = put_row(t, to, row++, nn_csv_line(c), cells, err);
    }
    nn_csv_close(c);
    return !s && row != t->rows ? changed(t, err) : s;
}

/* Puts means where numbers are missing. */
static nn_status fill_missing(const table *t, target *to, nn_err *err) {
    nn_block *b = &to->set->block[0];
    nn_status s = NN_OK;
    for (int64_t i = 0; !s && t->options.missing == NN_MISSING_MEAN && i < to->set->rows; i++) {
        float *x = b->data ? (float *)b->data + i * b->stride : to->row;
        if (!b->data) s = b->reader->read(b->reader, i, x, err);
        bool filled = false;
        for (int64_t j = 0; !s && j < b->stride; j++)
            if (isnan(x[j])) {
                x[j] = (float)nn_columns_mean(&t->columns, j);
                filled = true;
            }
        if (!s && filled && !b->data) s = nn_spool_put(b->reader, i, x, err);
    }
    return s;
}

static nn_status make_target(table *t, target *to, nn_err *err) {
    const nn_data_request *q = t->q;
    int64_t width = t->columns.width;
    nn_status s = settle_labels(t, &to->classes, err);
    if (!s) s = nn_data_split(q->spec, t->rows, q->split, &to->part, err);
    if (!s)
        s = nn_dataset_new_rows(q, to->part.n, &(nn_shape){1, {width}}, NN_ROWS_F32,
                                to->classes ? 0 : 1, &to->set, err);
    if (s) return s;
    to->place = malloc((size_t)t->rows * sizeof *to->place);
    to->row = malloc((size_t)width * sizeof *to->row);
    if (!to->place || !to->row)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for the order of its rows", q->spec);
    memset(to->place, 0xff, (size_t)t->rows * sizeof *to->place);
    for (int64_t i = 0; i < to->part.n; i++) to->place[to->part.index[i]] = (uint32_t)i;
    nn_block *b = &to->set->block[0];
    return b->data
               ? NN_OK
               : nn_spool_new(q->spec, to->part.n, (size_t)width * sizeof(float), &b->reader, err);
}

static nn_status build(table *t, nn_dataset **ret, nn_err *err) {
    target to = {0};
    nn_status s = make_target(t, &to, err);
    if (!s) s = put_rows(t, &to, err);
    if (!s) s = fill_missing(t, &to, err);
    if (!s && to.classes) name_classes(to.set, &t->labels);
    nn_order_done(&to.part);
    free(to.place);
    free(to.row);
    if (s)
        nn_dataset_free(to.set);
    else
        *ret = to.set;
    return s;
}

static nn_status open_table(table *t, nn_hash *hash, nn_dataset **ret, nn_err *err) {
    nn_csv *c = NULL;
    nn_status s = nn_table_options_read(t->q, &t->options, err);
    if (!s) s = open_text(t, hash, &c, err);
    if (!s) s = learn(t, c, err);
    nn_csv_close(c);
    if (!s) s = build(t, ret, err);
    nn_columns_done(&t->columns);
    nn_words_done(&t->labels);
    nn_table_options_done(&t->options);
    return s;
}

nn_status nn_csv_dataset(const nn_data_request *q, const char *p, size_t n, nn_dataset **ret,
                         nn_err *err) {
    table t = {.q = q, .text = p, .text_n = n, .whole = true};
    return open_table(&t, NULL, ret, err);
}

static bool recognise(const nn_data_request *q) {
    static const char *const ends[] = {".csv", ".tsv", ".csv.gz", ".tsv.gz"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (nn_data_ends_with(q->spec, ends[i])) return true;
    return false;
}

static nn_status open_csv(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    table t = {.q = q, .whole = true};
    nn_hash *hash = nn_hash_new();
    char hex[NN_SHA256_HEX];
    nn_status s = open_table(&t, hash, ret, err);
    nn_hash_end_hex(hash, hex);
    if (s) return s;
    memcpy((*ret)->sha256, hex, sizeof hex);
    return nn_dataset_note_file(*ret, q->spec, err);
}

const nn_format nn_format_csv = {
    .name = "csv", .recognise = recognise, .open = open_csv, .has_options = true};
