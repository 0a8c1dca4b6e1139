/* SPDX-License-Identifier: MIT */
/* shape.h - the shape of one sample: the batch axis is implicit and never stored. Plain values, no
 * ownership. */
#ifndef NN_BASE_SHAPE_H
#define NN_BASE_SHAPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NN_MAX_RANK = 8, NN_DIM_UNKNOWN = -1 };

typedef struct nn_shape {
    int rank; /* 0: one number a sample */
    int64_t
        dim[NN_MAX_RANK]; /* > 0, or NN_DIM_UNKNOWN for a size that is known only when it runs */
} nn_shape;

bool nn_shape_equal(const nn_shape *a, const nn_shape *b);
/* Number of elements; NN_DIM_UNKNOWN if a dimension is unknown or the product passes 2^62. */
int64_t nn_shape_elements(const nn_shape *s);
/* "(28, 28, 1)", unknown as "?"; with batch: "(batch, 28, 28, 1)". Returns buf, cut to cap. */
const char *nn_shape_print(const nn_shape *s, bool batch, char *buf, size_t cap);
#endif
