/* SPDX-License-Identifier: MIT */
/* rng.c - Philox4x32 with ten rounds. The 128-bit counter is {counter low, counter high, stream
 * low, stream high} and the 64-bit key is {key low, key high}, in the word order of the known
 * answers of Random123. */
#include "base/rng.h"

#include <math.h>

void nn_philox(uint64_t key, uint64_t stream, uint64_t counter, uint32_t ret[4]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1, as Weyl steps of the key */
        k1 += 0xBB67AE85u;
    }
    ret[0] = c0;
    ret[1] = c1;
    ret[2] = c2;
    ret[3] = c3;
}

nn_rng nn_rng_new(uint64_t key, uint64_t stream) {
    return (nn_rng){.key = key, .stream = stream, .used = 4};
}

uint32_t nn_rng_u32(nn_rng *r) {
    if (r->used == 4) {
        nn_philox(r->key, r->stream, r->counter++, r->block);
        r->used = 0;
    }
    return r->block[r->used++];
}

static uint64_t next64(nn_rng *r) {
    uint64_t low = nn_rng_u32(r);
    return low | (uint64_t)nn_rng_u32(r) << 32;
}

/* Lemire, "Fast Random Integer Generation in an Interval" (2019): the high half of x * n is uniform
 * once the few x whose low half falls below 2^64 mod n are drawn again. */
uint64_t nn_rng_below(nn_rng *r, uint64_t n) {
    unsigned __int128 m = (unsigned __int128)next64(r) * n;
    if ((uint64_t)m < n) {
        uint64_t threshold = -n % n;
        while ((uint64_t)m < threshold) m = (unsigned __int128)next64(r) * n;
    }
    return (uint64_t)(m >> 64);
}

double nn_rng_unit(nn_rng *r) {
    return (double)(next64(r) >> 11) * 0x1p-53;
}

double nn_rng_normal(nn_rng *r) {
    double radius = sqrt(-2 * log(1 - nn_rng_unit(r))); /* 1 - u is never 0 */
    return radius * cos(6.283185307179586476925 * nn_rng_unit(r));
}
