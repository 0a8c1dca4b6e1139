/* SPDX-License-Identifier: MIT */
/* csv.h - the cells of a text table (RFC 4180: quotes, doubled quotes, line breaks inside quotes,
 * LF or CRLF), row by row, in as much memory as the longest row takes. One thread at a time. */
#ifndef NN_DATA_CSV_H
#define NN_DATA_CSV_H
#include "data/dataset.h"

typedef struct nn_cell {
    char *p; /* not NUL-terminated; blanks around it are cut off unless quoted */
    size_t n;
} nn_cell;

typedef struct nn_csv nn_csv;
struct nn_hash;

/* A file, plain or gzip; `hash` (NULL: none) is fed its content and outlives c. A byte order mark
 * is skipped; the delimiter is the first of , ; tab that the first row holds. */
nn_status nn_csv_open(const char *path, struct nn_hash *hash, nn_csv **ret, nn_err *err);
/* A copy of n bytes; `name` is for messages. */
nn_csv *nn_csv_new(const char *p, size_t n, const char *name);
void nn_csv_close(nn_csv *c); /* NULL allowed */
/* The cells of the next row that is not blank, valid until the next call. ret_n 0: there are no
 * more rows. NN_E_DATA_ERROR with line and column; NN_E_LIMIT: a row of more than 64 MiB or 2^20
 * cells.
 */
nn_status nn_csv_row(nn_csv *c, nn_cell **ret, int64_t *ret_n, nn_err *err);
int64_t nn_csv_line(const nn_csv *c); /* of the row read last, 1-based */
/* A finite decimal number that is the whole cell; no hexadecimal, no "nan". */
bool nn_csv_number(const nn_cell *cell, double *ret);

/* Builds a set from a table's bytes: what opening a .csv does, for tests. */
struct nn_data_request;
nn_status nn_csv_dataset(const struct nn_data_request *q, const char *p, size_t n, nn_dataset **ret,
                         nn_err *err);
#endif
