/* SPDX-License-Identifier: MIT */
/* dropout.h - which elements a dropout node keeps: one definition for every engine, so that a
 * training step is comparable between them and a resumed training draws what it would have drawn.
 *
 * The draw of noise element i (row-major over rows x noise elements of one step) is word i % 4 of
 * Philox(key, stream = updates done so far, counter = node << 40 | i / 4): a pure function of seed,
 * node, update and element, independent of threads. Kept elements are scaled by 1 / (1 - rate)
 * ("inverted dropout", Keras's keras.layers.Dropout). */
#ifndef NN_ENGINE_DROPOUT_H
#define NN_ENGINE_DROPOUT_H
#include "base/rng.h"
#include "graph/graph.h"

typedef struct nn_dropout {
    uint64_t key, stream, counter; /* counter: of the first block of this node */
    uint32_t threshold;            /* an element is kept if its draw is >= threshold */
    double scale;                  /* of kept elements */
    int64_t noise;                 /* draws a row */
    bool shared;                   /* noise_shape shares draws: go through nn_dropout_noise_at */
} nn_dropout;

/* The draws of node n in the step that follows `updates` updates. `seed` is the executor's. */
static inline nn_dropout nn_dropout_at(const nn_node *n, uint64_t seed, int64_t updates) {
    const uint64_t domain = 0x64726f706f757431; /* "dropout1": apart from other users of the seed */
    double rate = n->attr.dropout.rate;
    const nn_shape *noise = &n->attr.dropout.noise_shape;
    bool shared = noise->rank > 0;
    return (nn_dropout){
        .key = (n->attr.dropout.seeded ? n->attr.dropout.seed : seed) ^ domain,
        .stream = (uint64_t)updates,
        .counter = (uint64_t)n->id << 40,
        .threshold = rate >= 1 ? UINT32_MAX : (uint32_t)(rate * 4294967296.0),
        .scale = rate >= 1 ? 0 : 1 / (1 - rate),
        .noise = nn_shape_elements(shared ? noise : &n->shape),
        .shared = shared,
    };
}

/* The draws of noise elements 4 * block .. 4 * block + 3. */
static inline void nn_dropout_block(const nn_dropout *d, int64_t block, uint32_t ret[4]) {
    nn_philox(d->key, d->stream, d->counter + (uint64_t)block, ret);
}

/* The draws of an RNN or CONV_LSTM node: for the `inputs` elements of a step of its input, then for
 * the `units` ones of its state, once a row for all steps and gates (Keras's dropout and
 * recurrent_dropout; its ConvLSTM draws once a gate). Elements count from the start of the row's
 * draws. */
static inline void nn_dropout_of_steps(const nn_node *n, int64_t inputs, int64_t units,
                                       uint64_t seed, int64_t updates, nn_dropout *ret_input,
                                       nn_dropout *ret_state) {
    bool images = n->op == NN_OP_CONV_LSTM;
    nn_node draws = *n;
    draws.shape = (nn_shape){.rank = 1, .dim = {inputs + units}};
    draws.attr =
        (nn_attr){.dropout = {.rate = images ? n->attr.conv_lstm.dropout : n->attr.rnn.dropout}};
    *ret_input = nn_dropout_at(&draws, seed, updates);
    draws.attr.dropout.rate =
        images ? n->attr.conv_lstm.recurrent_dropout : n->attr.rnn.recurrent_dropout;
    *ret_state = nn_dropout_at(&draws, seed, updates);
}

/* Whether noise element i = row * d->noise + (noise element in the row) is kept. One element at a
 * time: the simple way; fast engines take blocks. */
static inline bool nn_dropout_keeps(const nn_dropout *d, int64_t i) {
    uint32_t draw[4];
    nn_dropout_block(d, i / 4, draw);
    return draw[i % 4] >= d->threshold;
}

/* What n elements of each of rows [begin, end) are multiplied by, the first of them the row's draw
 * `first`; ret: (rows, n). */
static inline void nn_dropout_factors(const nn_dropout *d, int64_t begin, int64_t end, int64_t n,
                                      int64_t first, float *ret) {
    uint32_t draw[4];
    for (int64_t row = begin; row < end; row++)
        for (int64_t e = 0; e < n; e++) {
            int64_t at = row * d->noise + first + e;
            if (e == 0 || at % 4 == 0) nn_dropout_block(d, at / 4, draw);
            ret[row * n + e] = draw[at % 4] >= d->threshold ? (float)d->scale : 0;
        }
}

/* The noise element that element e of a row uses: e itself, unless noise_shape has axes of 1. */
static inline int64_t nn_dropout_noise_at(const nn_node *n, int64_t e) {
    const nn_shape *noise = &n->attr.dropout.noise_shape;
    if (noise->rank == 0) return e;
    int64_t at = 0, step = 1;
    for (int a = n->shape.rank - 1; a >= 0; a--) {
        int64_t i = e % n->shape.dim[a];
        e /= n->shape.dim[a];
        if (noise->dim[a] != 1) at += i * step;
        step *= noise->dim[a];
    }
    return at;
}
#endif
