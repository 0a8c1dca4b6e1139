/* SPDX-License-Identifier: MIT */
/* stream.h - reading a data file from front to back, decompressing it if it begins with gzip's
 * magic. Offsets in messages count decompressed bytes. One thread at a time. */
#ifndef NN_DATA_STREAM_H
#define NN_DATA_STREAM_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_stream nn_stream;
struct nn_hash;

/* `hash` (NULL: none) is fed every byte read; it outlives the stream. NN_E_NOT_FOUND,
 * NN_E_STORAGE_ERROR; anything but a regular file is NN_E_DATA_ERROR. */
nn_status nn_stream_open(const char *path, struct nn_hash *hash, nn_stream **ret, nn_err *err);
void nn_stream_close(nn_stream *s); /* NULL allowed */
static inline void nn_stream_closep(nn_stream **s) {
    nn_stream_close(*s);
}
bool nn_stream_is_plain(const nn_stream *s); /* not compressed: offsets are those of the file */
const char *nn_stream_path(const nn_stream *s);
/* Exactly n bytes, or NN_E_DATA_ERROR: file, offset, "truncated: `what` needs ...". */
nn_status nn_stream_read(nn_stream *s, void *p, size_t n, const char *what, nn_err *err);
/* Up to n bytes; fewer only at the end. */
nn_status nn_stream_some(nn_stream *s, void *p, size_t n, size_t *ret_n, nn_err *err);
/* NN_E_DATA_ERROR unless everything was read and the checksum of a compressed file holds. */
nn_status nn_stream_end(nn_stream *s, nn_err *err);
/* No file of this size can hold more (deflate reaches 1032:1), so a header that promises more lies:
 * asked before memory is taken on a header's word. */
uint64_t nn_stream_most(const nn_stream *s);
/* The whole content, malloc'ed, with a NUL after it. NN_E_LIMIT past max. */
nn_status nn_stream_read_all(const char *path, size_t max, struct nn_hash *hash, char **ret,
                             size_t *ret_n, nn_err *err);
#endif
