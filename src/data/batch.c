/* SPDX-License-Identifier: MIT */
/* batch.c - rows as the floats that a network is fed, and their targets. */
#include "data/augment.h"
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

static void scale_f32(const float *from, int64_t n, float scale, float offset, float *to) {
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

/* The elements of a row as they are stored; `room` takes those of a row that is read. */
static nn_status find_row(const nn_block *b, uint32_t row, void *room, const void **ret,
                          nn_err *err) {
    *ret = room;
    if (b->reader) return b->reader->read(b->reader, row, room, err);
    *ret = (const char *)b->data + (size_t)(row * b->stride) * nn_rows_size(b->type);
    return NN_OK;
}

/* Images are moved before they are normalised: what comes in from outside is a zero of theirs. */
static void augment_row(const nn_block *b, const nn_draw *draw, uint32_t row, const void *from,
                        float *scratch, float *to) {
    int64_t width = nn_shape_elements(&b->shape);
    nn_move move = nn_augment_draw(&b->augment, draw, row);
    if (b->type == NN_ROWS_U8)
        widen_u8(from, width, 1, 0, scratch);
    else
        memcpy(scratch, from, (size_t)width * sizeof *scratch);
    nn_augment_apply(&move, &b->shape, scratch, to);
    scale_f32(to, width, b->norm.scale, b->norm.offset, to);
}

/* With room for a row that is read, and for one on its way to be moved. */
static nn_status fill_slowly(const nn_block *b, const uint32_t *index, int64_t n,
                             const nn_draw *draw, float *x, nn_err *err) {
    int64_t width = nn_shape_elements(&b->shape);
    nn_status s = NN_OK;
    float *room = malloc(2 * (size_t)width * sizeof *room);
    if (!room) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a row of a batch");
    for (int64_t i = 0; !s && i < n; i++) {
        const void *from;
        s = find_row(b, index[i], room + width, &from, err);
        if (s) break;
        if (draw)
            augment_row(b, draw, index[i], from, room, x + i * width);
        else
            widen(b, from, width, x + i * width);
    }
    free(room);
    return s;
}

nn_status nn_batch_fill(const nn_block *b, const uint32_t *index, int64_t n, const nn_draw *draw,
                        float *x, nn_err *err) {
    if (!nn_augment_any(&b->augment)) draw = NULL;
    if (draw || b->reader) return fill_slowly(b, index, n, draw, x, err);
    int64_t width = nn_shape_elements(&b->shape);
    size_t size = nn_rows_size(b->type);
    for (int64_t i = 0; i < n; i++)
        widen(b, (const char *)b->data + (size_t)(index[i] * b->stride) * size, width,
              x + i * width);
    return NN_OK;
}

void nn_batch_site_labels(const nn_dataset *d, const uint32_t *index, int64_t n, int32_t *labels) {
    for (int64_t i = 0; i < n; i++)
        memcpy(labels + i * d->sites, d->site_labels + index[i] * d->site_stride,
               (size_t)d->sites * sizeof *labels);
}

void nn_batch_targets(const nn_dataset *d, const uint32_t *index, int64_t n, int32_t *labels,
                      float *values) {
    for (int64_t i = 0; i < n && labels && d->labels; i++) labels[i] = d->labels[index[i]];
    if (!values || !d->targets) return;
    size_t row = (size_t)d->target_width;
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * row, d->targets + index[i] * row, row * sizeof(float));
}
