/* SPDX-License-Identifier: MIT */
/* noise.h - what a NOISE node does to each element while training: y = x factor + shift, one
 * definition for every engine, drawn as dropout.h draws: from Philox(key, stream = updates done so
 * far, counter = node << 40 | i / 4) for element i (row-major over rows x elements of one step).
 *
 *   GAUSSIAN          y = x + stddev n               n standard normal
 *   GAUSSIAN_DROPOUT  y = x (1 + sqrt(rate / (1 - rate)) n)
 *   ALPHA_DROPOUT     y = a (kept ? x : p) + b, p = -1.758...: mean 0 and variance 1 stay
 *                     (Klambauer et al. 2017; keras.layers.AlphaDropout)
 *
 * Of the four draws of a block the first two make the normals of its first two elements, the others
 * those of its last two, by Box and Muller, from 24 bits each: what a float holds. */
#ifndef NN_ENGINE_NOISE_H
#define NN_ENGINE_NOISE_H
#include "base/rng.h"
#include "graph/graph.h"

#include <math.h>

typedef struct nn_noise_plan {
    nn_noise kind;
    uint64_t key, stream, counter; /* counter: of the first block of this node */
    uint32_t threshold;            /* ALPHA_DROPOUT keeps an element if its draw is >= threshold */
    double deviation;              /* of the others' normals */
    double scale, kept, dropped;   /* ALPHA_DROPOUT: factor and shift where kept; shift elsewhere */
} nn_noise_plan;

/* In the step that follows `updates` updates. `seed` is the executor's. */
static inline nn_noise_plan nn_noise_at(const nn_node *n, uint64_t seed, int64_t updates) {
    const uint64_t domain = 0x6e6f697365303031; /* "noise001": apart from other users of the seed */
    const double p = -1.6732632423543772 * 1.0507009873554805;
    double v = n->attr.noise.value, a = 1 / sqrt((1 - v) * (1 + v * p * p));
    bool gaussian = n->attr.noise.kind == NN_NOISE_GAUSSIAN;
    return (nn_noise_plan){
        .kind = n->attr.noise.kind,
        .key = (n->attr.noise.seeded ? n->attr.noise.seed : seed) ^ domain,
        .stream = (uint64_t)updates,
        .counter = (uint64_t)n->id << 40,
        .threshold = gaussian ? 0 : (uint32_t)(v * 4294967296.0),
        .deviation = gaussian ? v : sqrt(v / (1 - v)),
        .scale = a,
        .kept = -a * v * p,
        .dropped = a * p - a * v * p,
    };
}

/* Box and Muller's angle (in turns) and length for one pair of draws: (0, 1], [0, 1). */
static inline double nn_noise_unit(uint32_t draw, int more) {
    return ((double)(draw >> 8) + more) * 0x1p-24;
}

/* One element at a time: the simple way; fast engines take blocks. */
static inline void nn_noise_element(const nn_noise_plan *p, int64_t i, double *factor,
                                    double *shift) {
    uint32_t draw[4];
    nn_philox(p->key, p->stream, p->counter + (uint64_t)(i / 4), draw);
    if (p->kind == NN_NOISE_ALPHA_DROPOUT) {
        bool kept = draw[i % 4] >= p->threshold;
        *factor = kept ? p->scale : 0;
        *shift = kept ? p->kept : p->dropped;
        return;
    }
    const uint32_t *pair = draw + i % 4 / 2 * 2;
    double length = sqrt(-2 * log(nn_noise_unit(pair[0], 1)));
    double angle = 2 * 3.14159265358979323846 * nn_noise_unit(pair[1], 0);
    double normal = p->deviation * length * (i % 2 ? sin(angle) : cos(angle));
    *factor = p->kind == NN_NOISE_GAUSSIAN ? 1 : 1 + normal;
    *shift = p->kind == NN_NOISE_GAUSSIAN ? normal : 0;
}
#endif
