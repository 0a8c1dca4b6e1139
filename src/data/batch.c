/* SPDX-License-Identifier: MIT */
/* batch.c - rows as the floats that a network is fed, and their targets. */
#include "data/format.h"

#include <stdlib.h>
#include <string.h>

/* Runs of a fixed length, so that compilers vectorise at -O2 too. */
enum { RUN = 16 };

static void widen_u8(const uint8_t *restrict from, int64_t n, float scale, float offset,
                     float *restrict to) {
    int64_t i = 0;
    for (; i + RUN <= n; i += RUN)
        for (int j = 0; j < RUN; j++) to[i + j] = (float)from[i + j] * scale + offset;
    for (; i < n; i++) to[i] = (float)from[i] * scale + offset;
}

static void scale_f32(const float *restrict from, int64_t n, float scale, float offset,
                      float *restrict to) {
    int64_t i = 0;
    for (; i + RUN <= n; i += RUN)
        for (int j = 0; j < RUN; j++) to[i + j] = from[i + j] * scale + offset;
    for (; i < n; i++) to[i] = from[i] * scale + offset;
}

static void widen(const nn_block *b, const void *from, int64_t n, float *to) {
    if (b->type == NN_ROWS_U8)
        widen_u8(from, n, b->norm.scale, b->norm.offset, to);
    else
        scale_f32(from, n, b->norm.scale, b->norm.offset, to);
}

static nn_status fill_read(const nn_block *b, const uint32_t *index, int64_t n, float *x,
                           nn_err *err) {
    int64_t width = nn_shape_elements(&b->shape);
    nn_status s = NN_OK;
    void *row = malloc((size_t)width * nn_rows_size(b->type));
    if (!row) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a row of a batch");
    for (int64_t i = 0; !s && i < n; i++) {
        s = b->reader->read(b->reader, index[i], row, err);
        if (!s) widen(b, row, width, x + i * width);
    }
    free(row);
    return s;
}

nn_status nn_batch_fill(const nn_block *b, const uint32_t *index, int64_t n, float *x,
                        nn_err *err) {
    if (b->reader) return fill_read(b, index, n, x, err);
    int64_t width = nn_shape_elements(&b->shape);
    size_t size = nn_rows_size(b->type);
    for (int64_t i = 0; i < n; i++)
        widen(b, (const char *)b->data + (size_t)(index[i] * b->stride) * size, width,
              x + i * width);
    return NN_OK;
}

void nn_batch_targets(const nn_dataset *d, const uint32_t *index, int64_t n, int32_t *labels,
                      float *values) {
    for (int64_t i = 0; i < n && labels && d->labels; i++) labels[i] = d->labels[index[i]];
    if (!values || !d->targets) return;
    size_t row = (size_t)d->target_width;
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * row, d->targets + index[i] * row, row * sizeof(float));
}
