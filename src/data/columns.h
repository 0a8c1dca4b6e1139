/* SPDX-License-Identifier: MIT */
/* columns.h - inside data/: what the columns of a text table are, and how their cells become
 * numbers. One thread at a time while they are learned. */
#ifndef NN_DATA_COLUMNS_H
#define NN_DATA_COLUMNS_H
#include "data/csv.h"
#include "data/format.h"

/* Different texts. */
typedef struct nn_words {
    nn_cell *word;
    int64_t n, room;
    uint32_t *slot; /* 1 + index into word; 0: free */
    size_t slots;   /* a power of two */
} nn_words;

/* Adds a copy of the cell if it is not there; false: it would be more than `most`. */
bool nn_words_add(nn_words *w, const nn_cell *cell, int64_t most);
int64_t nn_words_find(const nn_words *w, const nn_cell *cell); /* its index; -1 */
void nn_words_done(nn_words *w);
int nn_cells_by_text(const void *a, const void *b);   /* of two nn_cell, for qsort */
int nn_cells_by_number(const void *a, const void *b); /* both are numbers */

/* What a user says of a table; texts as they stand in the options, NULL: nothing. */
typedef struct nn_table_options {
    char *label, *ignore, *categories, *index, *scale;
    enum { NN_MISSING_REFUSED, NN_MISSING_DROP, NN_MISSING_MEAN, NN_MISSING_VALUE } missing;
    double value; /* NN_MISSING_VALUE */
} nn_table_options;
nn_status nn_table_options_read(const nn_data_request *q, nn_table_options *ret, nn_err *err);
void nn_table_options_done(nn_table_options *o);

typedef struct nn_column {
    char *name; /* "": the table has no header */
    enum {
        NN_COLUMN_NUMBER,
        NN_COLUMN_ONE_HOT,
        NN_COLUMN_INDEX,
        NN_COLUMN_LABEL,
        NN_COLUMN_IGNORED
    } kind;
    nn_words words; /* the categories, sorted by nn_columns_settle unless they are given */
    bool given;     /* in the options, in their order */
    double scale;
    int64_t at, width;        /* where its features are in a sample */
    int64_t numbers, missing; /* cells that were learned as such */
    double sum;               /* of the training rows' numbers, for missing=mean */
    int64_t counted;
} nn_column;

typedef struct nn_columns {
    const char *table; /* the file, for messages */
    const nn_table_options *options;
    nn_column *column;
    int64_t n, label, width;
} nn_columns;

/* From the first row; `header`: it holds names. NN_E_VALIDATION_ERROR for options that name a
 * column which is not there. */
nn_status nn_columns_init(nn_columns *c, const char *table, const nn_table_options *o,
                          const nn_cell *first, int64_t n, bool header, nn_err *err);
void nn_columns_done(nn_columns *c);
int64_t nn_columns_find_label(const nn_cell *cells, int64_t n); /* by the usual names; -1 */
bool nn_cell_missing(const nn_cell *c);
/* Checks a row's features and collects categories; *ret_drop: missing=drop and one is missing. */
nn_status nn_columns_learn(nn_columns *c, int64_t line, const nn_cell *cells, bool *ret_drop,
                           nn_err *err);
/* Sorts the categories and lays out the sample. NN_E_DATA_ERROR: no feature is left. */
nn_status nn_columns_settle(nn_columns *c, nn_err *err);
/* A row that was learned as `width` floats. NAN stands for a number that is missing and is to
 * become the mean. `count`: its numbers count for the means. NN_E_DATA_ERROR only if the file was
 * changed. */
nn_status nn_columns_encode(nn_columns *c, int64_t line, const nn_cell *cells, bool count,
                            float *to, nn_err *err);
/* The mean that stands for missing numbers of feature i, once all rows were counted. */
double nn_columns_mean(const nn_columns *c, int64_t feature);
/* "file: line 7, column 3 ('age'): what: 'cell'" */
nn_status nn_columns_bad(const nn_columns *c, int64_t line, int64_t column, const nn_cell *cell,
                         const char *what, nn_err *err);
#endif
