/* SPDX-License-Identifier: MIT */
/* csv.h - the cells of a text table (RFC 4180: quotes, doubled quotes, line breaks inside quotes,
 * LF or CRLF), read in place. One thread at a time. */
#ifndef NN_DATA_CSV_H
#define NN_DATA_CSV_H
#include "data/dataset.h"

typedef struct nn_cell {
    char *p; /* not NUL-terminated; blanks around it are cut off unless quoted */
    size_t n;
} nn_cell;

typedef struct nn_csv {
    const char *name; /* of the file, for messages */
    char *p, *end;
    char delimiter;
    int64_t line; /* of the row read last, 1-based */
    int64_t next_line;
} nn_csv;

/* Over n bytes, which are changed in place where cells hold doubled quotes. A byte order mark is
 * skipped; the delimiter is the first of , ; tab that the first line holds. */
void nn_csv_init(nn_csv *c, char *p, size_t n, const char *name);
/* The cells of the next row that is not blank: at most cap are stored, all are counted in ret_n.
 * ret_n 0: there are no more rows. NN_E_DATA_ERROR with line and column. */
nn_status nn_csv_row(nn_csv *c, nn_cell *cells, int64_t cap, int64_t *ret_n, nn_err *err);
/* A finite decimal number that is the whole cell; no hexadecimal, no "nan". */
bool nn_csv_number(const nn_cell *cell, double *ret);

/* Builds a set from a table's bytes (changed in place): what opening a .csv does, for tests. */
struct nn_data_request;
nn_status nn_csv_dataset(const struct nn_data_request *q, char *p, size_t n, nn_dataset **ret,
                         nn_err *err);
#endif
