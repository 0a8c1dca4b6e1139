/* SPDX-License-Identifier: MIT */
/* random_impl.h - Philox4x32-10 (base/rng.h) for many counters at once, and what is made of its
 * draws; part of kernels_impl.h. */
#ifndef NN_ENGINE_NATIVE_RANDOM_IMPL_H
#define NN_ENGINE_NATIVE_RANDOM_IMPL_H

enum { COUNTERS = 16 };

INLINE void philox_lanes(uint64_t key, uint64_t stream, uint64_t counter, uint32_t *ret) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0[COUNTERS], c1[COUNTERS], c2[COUNTERS], c3[COUNTERS];
    for (int i = 0; i < COUNTERS; i++) {
        uint64_t c = counter + (uint64_t)i;
        c0[i] = (uint32_t)c;
        c1[i] = (uint32_t)(c >> 32);
        c2[i] = (uint32_t)stream;
        c3[i] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < COUNTERS; i++) {
            uint64_t a = (uint64_t)c0[i] * 0xD2511F53u, b = (uint64_t)c2[i] * 0xCD9E8D57u;
            c0[i] = (uint32_t)(b >> 32) ^ c1[i] ^ k0;
            c1[i] = (uint32_t)b;
            c2[i] = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
            c3[i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < COUNTERS; i++) {
        ret[4 * i] = c0[i];
        ret[4 * i + 1] = c1[i];
        ret[4 * i + 2] = c2[i];
        ret[4 * i + 3] = c3[i];
    }
}

static void draws(uint64_t key, uint64_t stream, uint64_t counter, int64_t blocks, uint32_t *ret) {
    for (int64_t i = 0; i < blocks; i += COUNTERS)
        philox_lanes(key, stream, counter + (uint64_t)i, ret + 4 * i);
}

static void keep(int64_t n, const uint32_t *draw, uint32_t threshold, float kept, float dropped,
                 float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = draw[i] >= threshold ? kept : dropped;
}

/* Two draws to two normals (engine/noise.h). */
static void normals(int64_t pairs, const uint32_t *draw, float *y) {
    for (int64_t i = 0; i < pairs; i++) {
        float u = (float)(int32_t)((draw[2 * i] >> 8) + 1) * 0x1p-24f, sine, cosine;
        sine_cosine((float)(int32_t)(draw[2 * i + 1] >> 8) * 0x1p-24f, &sine, &cosine);
        float length = sqrtf(-2.0f * log_f(u));
        y[2 * i] = length * cosine;
        y[2 * i + 1] = length * sine;
    }
}
#endif
