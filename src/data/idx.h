/* SPDX-License-Identifier: MIT */
/* idx.h - one IDX file (http://yann.lecun.com/exdb/mnist/, "The IDX file format"): two zero bytes,
 * a type byte, the number of axes, each axis as a big-endian 32-bit number, then the elements in
 * row-major order. Only unsigned bytes (type 0x08) are read: images and labels are that. */
#ifndef NN_DATA_IDX_H
#define NN_DATA_IDX_H
#include "data/stream.h"

enum { NN_IDX_MAX_RANK = 4 };
typedef struct nn_idx {
    int rank;
    int64_t dim[NN_IDX_MAX_RANK]; /* each > 0 */
    uint64_t bytes;               /* product of dim: what follows the header */
} nn_idx;

/* Reads and checks the header; `min_rank`..`max_rank` axes are expected of `what`. */
nn_status nn_idx_header(nn_stream *s, int min_rank, int max_rank, const char *what, nn_idx *ret,
                        nn_err *err);
#endif
