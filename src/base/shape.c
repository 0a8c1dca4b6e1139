/* SPDX-License-Identifier: MIT */
#include "base/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool nn_shape_equal(const nn_shape *a, const nn_shape *b) {
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

int64_t nn_shape_elements(const nn_shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0 || __builtin_mul_overflow(n, s->dim[i], &n)) return NN_DIM_UNKNOWN;
        if (n > INT64_C(1) << 62) return NN_DIM_UNKNOWN;
    }
    return n;
}

const char *nn_shape_print(const nn_shape *s, bool batch, char *buf, size_t cap) {
    size_t at = 0;
#define PUT(...)                                                                                   \
    do {                                                                                           \
        int n_ = snprintf(buf + at, cap - at, __VA_ARGS__);                                        \
        at = n_ < 0 || (size_t)n_ >= cap - at ? cap - 1 : at + (size_t)n_;                         \
    } while (0)
    PUT("(%s", batch ? "batch" : "");
    for (int i = 0; i < s->rank; i++) {
        if (i || batch) PUT(", ");
        if (s->dim[i] < 0)
            PUT("?");
        else
            PUT("%" PRId64, s->dim[i]);
    }
    PUT("%s)", s->rank + batch == 1 ? "," : "");
#undef PUT
    return buf;
}
