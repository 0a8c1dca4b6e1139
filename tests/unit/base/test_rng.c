/* SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "t.h"

#include <math.h>

/* The known answers of Random123 (kat_vectors, philox4x32 10). */
TEST(philox_known_answers) {
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0},                                     {0, 0},     {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u},                             {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}                                                              },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        const uint32_t *c = rows[i].ctr, *k = rows[i].key;
        nn_philox(k[0] | (uint64_t)k[1] << 32, c[2] | (uint64_t)c[3] << 32,
                  c[0] | (uint64_t)c[1] << 32, out);
        assert_memory_equal(out, rows[i].out, sizeof out);
    }
}

TEST(rng_walks_the_counter) {
    nn_rng r = nn_rng_new(7, 9);
    for (uint64_t c = 0; c < 3; c++) {
        uint32_t out[4];
        nn_philox(7, 9, c, out);
        for (int i = 0; i < 4; i++) assert_int_equal(nn_rng_u32(&r), out[i]);
    }
}

TEST(rng_below_is_uniform_and_in_range) {
    nn_rng r = nn_rng_new(1, 0);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) count[nn_rng_below(&r, 7)]++;
    double chi = 0;
    for (int i = 0; i < 7; i++) chi += (count[i] - 1e4) * (count[i] - 1e4) / 1e4;
    CHECK(chi < 22.46); /* 99.9 % of chi-square with 6 degrees */
    for (int i = 0; i < 100; i++) assert_int_equal(nn_rng_below(&r, 1), 0);
    for (int i = 0; i < 1000; i++)
        CHECK(nn_rng_below(&r, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
}

TEST(rng_unit_and_normal_have_their_moments) {
    nn_rng r = nn_rng_new(42, 3);
    enum { N = 200000 };
    double u = 0, m1 = 0, m2 = 0, m4 = 0;
    for (int i = 0; i < N; i++) {
        double x = nn_rng_unit(&r), z = nn_rng_normal(&r);
        CHECK(x >= 0 && x < 1 && isfinite(z));
        u += x;
        m1 += z;
        m2 += z * z;
        m4 += z * z * z * z;
    }
    /* five standard errors of each moment */
    CHECK(fabs(u / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    CHECK(fabs(m1 / N) < 5 * sqrt(1.0 / N));
    CHECK(fabs(m2 / N - 1) < 5 * sqrt(2.0 / N));
    CHECK(fabs(m4 / N - 3) < 5 * sqrt(96.0 / N));
}
