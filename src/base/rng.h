/* SPDX-License-Identifier: MIT */
/* rng.h - counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel Random Numbers: As
 * Easy as 1, 2, 3", SC 2011). A value depends on (key, stream, counter) only: independent of
 * threads and of the order of calls. Pure functions. */
#ifndef NN_BASE_RNG_H
#define NN_BASE_RNG_H
#include <stdint.h>

/* Four 32-bit values for one counter. */
void nn_philox(uint64_t key, uint64_t stream, uint64_t counter, uint32_t ret[4]);

/* A sequence over one (key, stream). */
typedef struct nn_rng {
    uint64_t key, stream, counter;
    uint32_t block[4];
    int used;
} nn_rng;
nn_rng nn_rng_new(uint64_t key, uint64_t stream);
uint32_t nn_rng_u32(nn_rng *r);
uint64_t nn_rng_below(nn_rng *r, uint64_t n); /* uniform in [0, n), n > 0, without bias */
double nn_rng_unit(nn_rng *r);                /* uniform in [0, 1), 53 bits */
double nn_rng_normal(nn_rng *r);              /* standard normal (Box-Muller, one value a call) */
#endif
