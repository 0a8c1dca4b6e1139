/* SPDX-License-Identifier: MIT */
/* spool.h - inside data/: rows of one length in a file, read one by one. Reading is thread safe. */
#ifndef NN_DATA_SPOOL_H
#define NN_DATA_SPOOL_H
#include "data/dataset.h"

/* Rows of `bytes` bytes each, the first `offset` bytes into the file, which is opened again and
 * must not be changed: a row that is not there any more is NN_E_STORAGE_ERROR. */
nn_status nn_spool_over(const char *path, uint64_t offset, size_t bytes, nn_row_reader **ret,
                        nn_err *err);
/* A file without a name in $TMPDIR (else /var/tmp), for `rows` rows: NN_E_STORAGE_ERROR if the disk
 * has no room. `what` is for messages. */
nn_status nn_spool_new(const char *what, int64_t rows, size_t bytes, nn_row_reader **ret,
                       nn_err *err);
/* Writes a row of a new spool; one thread at a time, before others read. */
nn_status nn_spool_put(nn_row_reader *r, int64_t row, const void *p, nn_err *err);
#endif
