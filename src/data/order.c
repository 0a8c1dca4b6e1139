/* SPDX-License-Identifier: MIT */
/* order.c - the order in which rows are visited.
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
