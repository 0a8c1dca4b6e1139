/* SPDX-License-Identifier: MIT */
/* The sliding window by a clock of our own; expectations counted by hand and by a naive list of
 * times. */
#include "api/limiter.h"
#include "base/rng.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static nn_verdict ask(nn_limiter *l, const char *who, uint32_t limit, uint64_t ms) {
    return nn_limiter_ask(l, who, strlen(who), 0, limit, ms);
}

TEST(a_window_slides) {
    nn_limiter *l = nn_limiter_new(60, 100);
    nn_verdict v = ask(l, "a", 2, 1000);
    CHECK(v.allowed && v.remaining == 1 && v.reset_s == 60 && v.limit == 2);
    v = ask(l, "a", 2, 31000);
    CHECK(v.allowed && v.remaining == 0 && v.reset_s == 30);
    v = ask(l, "a", 2, 60999);
    CHECK(!v.allowed && v.remaining == 0 && v.reset_s == 1); /* rounded up */
    v = ask(l, "a", 2, 61000); /* the first one has left: a refusal was not counted */
    CHECK(v.allowed && v.reset_s == 30);
    CHECK(!ask(l, "a", 2, 90999).allowed);
    CHECK(ask(l, "a", 2, 91000).allowed);
    nn_limiter_free(l);
}

TEST(clients_and_groups_have_their_own) {
    nn_limiter *l = nn_limiter_new(60, 100);
    CHECK(ask(l, "a", 1, 0).allowed);
    CHECK(!ask(l, "a", 1, 1).allowed);
    CHECK(ask(l, "b", 1, 1).allowed);
    CHECK(nn_limiter_ask(l, "a", 1, 1, 1, 1).allowed);
    nn_limiter_free(l);
}

TEST(zero_refuses_all) {
    nn_limiter *l = nn_limiter_new(60, 100);
    nn_verdict v = ask(l, "a", 0, 5);
    CHECK(!v.allowed && v.reset_s == 60 && v.remaining == 0);
    nn_limiter_free(l);
}

TEST(exact_against_a_list_of_times) {
    enum { N = 20000, LIMIT = 37, PERIOD = 3000 };
    static uint64_t let[N];
    nn_limiter *l = nn_limiter_new(PERIOD / 1000, 100);
    nn_rng rng = nn_rng_new(7, 1);
    size_t n = 0, first = 0;
    uint64_t t = 0xfffffff0; /* over the wrap of 32 bits */
    for (int i = 0; i < N; i++) {
        t += nn_rng_below(&rng, 160);
        while (first < n && t - let[first] >= PERIOD) first++;
        bool want = n - first < LIMIT;
        nn_verdict v = ask(l, "x", LIMIT, t);
        assert_int_equal(v.allowed, want);
        if (want) let[n++] = t;
        assert_int_equal(v.remaining, LIMIT - (n - first));
        assert_int_equal(v.reset_s, (PERIOD - (t - let[first]) + 999) / 1000);
    }
    nn_limiter_free(l);
}

TEST(a_long_silence_clears_the_window) {
    nn_limiter *l = nn_limiter_new(60, 100);
    CHECK(ask(l, "a", 1, 1000).allowed);
    CHECK(ask(l, "a", 1, 1000 + (1ULL << 32)).allowed); /* the same low 32 bits */
    nn_limiter_free(l);
}

TEST(memory_is_bounded_by_the_quietest) {
    nn_limiter *l = nn_limiter_new(60, 160); /* about ten a shard */
    char name[16];
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "c%d", i);
        CHECK(ask(l, name, 5, (uint64_t)i / 1000).allowed);
    }
    CHECK(!nn_limiter_ask(l, "c99999", 6, 0, 1, 100).allowed); /* the last one is remembered */
    nn_limiter_free(l);
}
