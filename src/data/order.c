/* SPDX-License-Identifier: MIT */
/* order.c - the order in which rows are visited, and batches.
 *
 * Shuffles are Fisher-Yates over Philox streams: (seed, epoch) alone decides, never how often or
 * where a training was interrupted. */
#include "base/rng.h"
#include "data/format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The streams of one seed: the split is drawn apart from the epochs, which count from 0. */
#define STREAM_SPLIT UINT64_C(0x73706c6974000000)

static void shuffle(uint32_t *index, int64_t n, uint64_t seed, uint64_t stream) {
    nn_rng r = nn_rng_new(seed, stream);
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t j = nn_rng_below(&r, (uint64_t)i + 1);
        uint32_t t = index[i];
        index[i] = index[j];
        index[j] = t;
    }
}

static nn_status order_new(const uint32_t *from, int64_t n, nn_order *ret, nn_err *err) {
    uint32_t *p = malloc(((size_t)n + 1) * sizeof *p);
    if (!p)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the order of %" PRId64 " rows", n);
    if (n) memcpy(p, from, (size_t)n * sizeof *p);
    *ret = (nn_order){p, n};
    return NN_OK;
}

nn_status nn_order_split(int64_t rows, double validation, uint64_t split_seed, nn_order *ret_train,
                         nn_order *ret_valid, nn_err *err) {
    if (rows < 0 || rows > UINT32_MAX || !(validation >= 0 && validation < 1))
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "a validation share of %g of %" PRId64
                       " rows cannot be taken; expected 0 <= share < 1",
                       validation, rows);
    uint32_t *all = malloc(((size_t)rows + 1) * sizeof *all);
    if (!all)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the order of %" PRId64 " rows",
                       rows);
    for (int64_t i = 0; i < rows; i++) all[i] = (uint32_t)i;
    if (validation > 0) shuffle(all, rows, split_seed, STREAM_SPLIT);
    int64_t train = rows - (int64_t)((double)rows * validation);
    nn_order t, v;
    nn_status s = order_new(all, train, &t, err);
    if (!s && (s = order_new(all + train, rows - train, &v, err))) free(t.index);
    free(all);
    if (s) return s;
    *ret_train = t;
    *ret_valid = v;
    return NN_OK;
}

nn_status nn_order_copy(const nn_order *base, nn_order *ret, nn_err *err) {
    return order_new(base->index, base->n, ret, err);
}

void nn_order_shuffle(const nn_order *base, uint64_t seed, uint64_t epoch, nn_order *ret) {
    assert(ret->n == base->n && epoch < STREAM_SPLIT);
    if (base->n) memcpy(ret->index, base->index, (size_t)base->n * sizeof *ret->index);
    shuffle(ret->index, ret->n, seed, epoch);
}

void nn_order_done(nn_order *o) {
    free(o->index);
    *o = (nn_order){0};
}

nn_status nn_data_split(const char *name, int64_t rows, nn_split split, nn_order *ret,
                        nn_err *err) {
    if (rows < 2)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: has %" PRId64
                       " row, at least 2 are needed for a training and a test part",
                       name, rows);
    /* a share that gives one row at least */
    double share = (double)rows * NN_SPLIT_SHARE < 1 ? 1.0 / (double)rows + 1e-9 : NN_SPLIT_SHARE;
    nn_order train, test;
    nn_status s = nn_order_split(rows, share, NN_SPLIT_SEED, &train, &test, err);
    if (s) return s;
    *ret = split == NN_SPLIT_TRAIN ? train : test;
    nn_order_done(split == NN_SPLIT_TRAIN ? &test : &train);
    return NN_OK;
}

/* Blocks of a fixed length, so that compilers vectorise at -O2 too. */
enum { BLOCK = 16 };

static void widen_u8(const uint8_t *restrict from, int64_t n, float scale, float offset,
                     float *restrict to) {
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int j = 0; j < BLOCK; j++) to[i + j] = (float)from[i + j] * scale + offset;
    for (; i < n; i++) to[i] = (float)from[i] * scale + offset;
}

static void scale_f32(const float *restrict from, int64_t n, float scale, float offset,
                      float *restrict to) {
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int j = 0; j < BLOCK; j++) to[i + j] = from[i + j] * scale + offset;
    for (; i < n; i++) to[i] = from[i] * scale + offset;
}

void nn_batch_fill(const nn_dataset *d, const uint32_t *index, int64_t n, float *x, int32_t *labels,
                   float *values) {
    int64_t width = nn_shape_elements(&d->shape);
    for (int64_t i = 0; i < n && x; i++) {
        assert(index[i] < d->rows);
        int64_t at = (int64_t)index[i] * width;
        if (d->type == NN_ROWS_U8)
            widen_u8((const uint8_t *)d->samples + at, width, d->norm.scale, d->norm.offset,
                     x + i * width);
        else
            scale_f32((const float *)d->samples + at, width, d->norm.scale, d->norm.offset,
                      x + i * width);
    }
    for (int64_t i = 0; i < n && labels && d->labels; i++) labels[i] = d->labels[index[i]];
    if (!values || !d->targets) return;
    size_t row = (size_t)d->target_width;
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * row, d->targets + index[i] * row, row * sizeof(float));
}
