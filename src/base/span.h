/* SPDX-License-Identifier: MIT */
/* span.h - a place in a source text. Lines and columns are 1-based; columns count bytes; the end is
 * exclusive. */
#ifndef NN_BASE_SPAN_H
#define NN_BASE_SPAN_H
#include <stdint.h>

typedef struct nn_span {
    int line, col, end_line, end_col; /* line 0: no place */
    uint32_t begin, end;              /* byte offsets into the text (at most 16 MiB) */
} nn_span;
#endif
