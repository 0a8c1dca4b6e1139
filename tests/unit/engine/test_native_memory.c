/* SPDX-License-Identifier: MIT */
#include "engine/native/native.h"
#include "t.h"

static bool overlap(const nn_block *a, const nn_block *b) {
    bool time = a->first <= b->last && b->first <= a->last;
    return time && a->at < b->at + b->bytes && b->at < a->at + a->bytes;
}

TEST(native_blocks_alive_together_do_not_overlap) {
    uint32_t r = 7;
    for (int round = 0; round < 200; round++) {
        nn_block b[40];
        size_t most = 0, all = 0;
        for (int i = 0; i < 40; i++) {
            r = r * 1664525 + 1013904223;
            int first = (int)(r >> 8) % 30;
            b[i] =
                (nn_block){.bytes = (r >> 16) % 5000, .first = first, .last = first + (int)(r % 7)};
        }
        size_t bytes = nn_blocks_place(b, 40);
        for (int i = 0; i < 40; i++) {
            all += b[i].bytes;
            assert_int_equal(b[i].at % 64, 0);
            CHECK(b[i].at + b[i].bytes <= bytes);
            for (int j = 0; j < i; j++) CHECK(!overlap(&b[i], &b[j]));
        }
        for (int t = 0; t < 40; t++) {
            size_t alive = 0;
            for (int i = 0; i < 40; i++)
                if (b[i].first <= t && t <= b[i].last) alive += b[i].bytes;
            if (alive > most) most = alive;
        }
        CHECK(bytes >= most && bytes <= all);
    }
}

/* A chain of equal layers at inference: each output is dead when the next one is made. */
TEST(native_a_chain_needs_two_buffers) {
    nn_block b[10];
    for (int i = 0; i < 10; i++) b[i] = (nn_block){.bytes = 640, .first = i, .last = i + 1};
    assert_int_equal(nn_blocks_place(b, 10), 2 * 640);
    assert_int_equal(nn_blocks_place(b, 0), 0);
}
