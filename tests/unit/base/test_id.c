/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/id.h"
#include "t.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

TEST(id_is_a_version_7_uuid_of_now) {
    char a[NN_ID_TEXT];
    int64_t before = nn_clock_wall() / 1000 * 1000;
    nn_id_new(a);
    assert_int_equal(strlen(a), 36);
    CHECK(nn_id_valid(a, 36) && a[14] == '7' && strchr("89ab", a[19]));
    /* 5000 ids of an earlier test may have moved the id clock forward by a few milliseconds */
    CHECK(nn_id_time(a) >= before && nn_id_time(a) <= nn_clock_wall() + 1000000);
}

/* The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC. */
TEST(id_reads_the_example_of_rfc_9562) {
    assert_int_equal(nn_id_time("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), INT64_C(1645557742000000));
    uint8_t b[16];
    CHECK(nn_id_parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 36, b));
    assert_int_equal(b[0], 0x01);
    assert_int_equal(b[9], 0xc4);
    assert_int_equal(b[15], 0x8f);
}

TEST(id_refuses_what_is_none) {
    static const char *const bad[] = {"",
                                      "017F22E2",
                                      "017F22E279B07CC398C4DC0C0C07398F0000",
                                      "017F22E2-79B0-7CC3-98C4-DC0C0C07398G",
                                      "017F22E2-79B0-7CC3-98C4-DC0C0C07398FF",
                                      "017F22E2-79B0-7CC3-98C4DC-0C0C07398F",
                                      "../../../../../../../../etc/passwd.."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!nn_id_valid(bad[i], strlen(bad[i])));
    assert_int_equal(nn_id_time("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), -1); /* version 1 */
}

enum { THREADS = 4, EACH = 5000 };

static void *make(void *arg) {
    char(*ids)[NN_ID_TEXT] = arg;
    for (int i = 0; i < EACH; i++) nn_id_new(ids[i]);
    return NULL;
}

static int order(const void *a, const void *b) {
    return strcmp(a, b);
}

TEST(ids_grow_in_each_thread_and_never_repeat) {
    static char ids[THREADS][EACH][NN_ID_TEXT];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, make, ids[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (int j = 1; j < EACH; j++) CHECK(strcmp(ids[i][j - 1], ids[i][j]) < 0);
    qsort(ids, THREADS * EACH, NN_ID_TEXT, order);
    char(*all)[NN_ID_TEXT] = ids[0];
    for (int i = 1; i < THREADS * EACH; i++)
        CHECK(strncmp(all[i - 1], all[i], 18) != 0); /* time and counter alone tell them apart */
}
