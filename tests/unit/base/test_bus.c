/* SPDX-License-Identifier: MIT */
#include "base/bus.h"
#include "t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static nn_event make(uint64_t seq, const char *type, const char *operation) {
    return (nn_event){.seq = seq,
                      .type = type,
                      .operation = operation,
                      .kind = "train",
                      .json = "{\"v\":1}",
                      .size = 7};
}

static void publish(nn_bus *b, uint64_t seq) {
    nn_event e = make(seq, "operation.progress", "op1");
    nn_bus_publish(b, &e);
}

static uint64_t next_seq(nn_sub *s) {
    const nn_event *e = NULL;
    nn_gap gap;
    if (nn_sub_next(s, &e, &gap) != NN_SUB_EVENT) return 0;
    uint64_t seq = e->seq;
    nn_event_unref(e);
    return seq;
}

TEST(bus_shares_one_copy) {
    nn_bus *b = nn_bus_new();
    nn_sub *one = nn_bus_subscribe(b, NULL, 4, NULL, NULL),
           *two = nn_bus_subscribe(b, NULL, 4, NULL, NULL);
    char type[] = "operation.started", json[] = "{\"a\":1}x";
    nn_event in = {.seq = 9, .type = type, .json = json, .size = 7};
    assert_int_equal(nn_bus_publish(b, &in), 2);
    memset(type, '?', 5);
    memset(json, '?', 5);
    const nn_event *e1 = NULL, *e2 = NULL;
    nn_gap gap;
    assert_int_equal(nn_sub_next(one, &e1, &gap), NN_SUB_EVENT);
    assert_int_equal(nn_sub_next(two, &e2, &gap), NN_SUB_EVENT);
    assert_ptr_equal(e1, e2);
    assert_string_equal(e1->type, "operation.started");
    assert_string_equal(e1->json, "{\"a\":1}");
    CHECK(e1->size == 7 && !strcmp(e1->operation, "") && !strcmp(e1->kind, ""));
    assert_int_equal(nn_sub_next(one, &e1, &gap), NN_SUB_NONE);
    nn_event_unref(nn_event_ref(e2));
    nn_event_unref(e2);
    nn_event_unref(e1);
    nn_sub_close(one);
    nn_sub_close(two);
    nn_sub_close(NULL);
    nn_bus_free(b);
}

TEST(bus_filters) {
    nn_bus *b = nn_bus_new();
    static const nn_bus_filter filters[] = {
        {NULL,            NULL,  NULL   },
        {"operation.",    NULL,  NULL   },
        {"operation.log", NULL,  NULL   },
        {NULL,            "op2", NULL   },
        {NULL,            NULL,  "train"},
        {NULL,            NULL,  "test" },
        {"operation",     "op1", NULL   },
    };
    static const int expected[] = {4, 3, 1, 1, 4, 0, 0};
    static const char *const types[] = {"operation.log", "operation.progress", "operation.started",
                                        "deployment.state"};
    static const char *const operations[] = {"op1", "op1", "op2", ""};
    nn_sub *s[7];
    for (int i = 0; i < 7; i++) s[i] = nn_bus_subscribe(b, &filters[i], 10, NULL, NULL);
    for (int i = 0; i < 4; i++) {
        nn_event e = make((uint64_t)i + 1, types[i], operations[i]);
        nn_bus_publish(b, &e);
    }
    for (int i = 0; i < 7; i++) {
        int n = 0;
        while (next_seq(s[i])) n++;
        assert_int_equal(n, expected[i]);
        nn_sub_close(s[i]);
    }
    nn_event e = make(1, "x", "");
    assert_int_equal(nn_bus_publish(b, &e), 0);
    nn_bus_free(b);
}

TEST(bus_slow_subscriber_gets_a_gap_in_its_place) {
    nn_bus *b = nn_bus_new();
    nn_sub *s = nn_bus_subscribe(b, NULL, 2, NULL, NULL);
    const nn_event *e;
    nn_gap gap;
    for (uint64_t i = 1; i <= 5; i++) publish(b, i); /* 3, 4, 5 do not fit */
    assert_int_equal(next_seq(s), 1);
    publish(b, 6); /* fits: behind the gap */
    assert_int_equal(next_seq(s), 2);
    assert_int_equal(nn_sub_next(s, &e, &gap), NN_SUB_GAP);
    CHECK(gap.from_seq == 3 && gap.to_seq == 5 && gap.events == 3);
    assert_int_equal(next_seq(s), 6);
    assert_int_equal(nn_sub_next(s, &e, &gap), NN_SUB_NONE);
    for (uint64_t i = 7; i <= 9; i++) publish(b, i); /* a gap at the end, with nothing behind it */
    assert_int_equal(next_seq(s), 7);
    assert_int_equal(next_seq(s), 8);
    assert_int_equal(nn_sub_next(s, &e, &gap), NN_SUB_GAP);
    CHECK(gap.from_seq == 9 && gap.to_seq == 9 && gap.events == 1);
    assert_int_equal(nn_sub_next(s, &e, &gap), NN_SUB_NONE);
    publish(b, 10);
    nn_sub_close(s); /* with an event in it */
    nn_bus_free(b);
}

static void count(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(bus_wakes_once_for_an_empty_queue) {
    nn_bus *b = nn_bus_new();
    atomic_int woken = 0;
    nn_sub *s[40]; /* more than fit the publisher's own list */
    for (int i = 0; i < 40; i++) s[i] = nn_bus_subscribe(b, NULL, 8, count, &woken);
    publish(b, 1);
    assert_int_equal(woken, 40);
    publish(b, 2);
    assert_int_equal(woken, 40);
    while (next_seq(s[0])) continue;
    publish(b, 3);
    assert_int_equal(woken, 41);
    for (int i = 0; i < 40; i++) nn_sub_close(s[i]);
    nn_bus_free(b);
}

enum { EVENTS = 20000 };

static void *publisher(void *arg) {
    for (uint64_t i = 1; i <= EVENTS; i++) publish(arg, i);
    return NULL;
}

/* Whatever the timing, events and gaps together account for every one, in order. */
TEST(bus_accounts_for_every_event) {
    nn_bus *b = nn_bus_new();
    nn_sub *s = nn_bus_subscribe(b, NULL, 16, NULL, NULL);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, publisher, b), 0);
    for (uint64_t expected = 1; expected <= EVENTS;) {
        const nn_event *e;
        nn_gap gap;
        CHECK(nn_sub_wait(s, -1));
        nn_sub_got got = nn_sub_next(s, &e, &gap);
        CHECK(got != NN_SUB_NONE);
        uint64_t first = got == NN_SUB_GAP ? gap.from_seq : e->seq;
        assert_int_equal(first, expected);
        expected = got == NN_SUB_GAP ? gap.to_seq + 1 : first + 1;
        if (got == NN_SUB_GAP) assert_int_equal(gap.events, gap.to_seq - gap.from_seq + 1);
        if (got == NN_SUB_EVENT) nn_event_unref(e);
    }
    pthread_join(t, NULL);
    CHECK(!nn_sub_wait(s, 0));
    nn_sub_close(s);
    nn_bus_free(b);
}

static void *come_and_go(void *arg) {
    for (int i = 0; i < 500; i++) {
        atomic_int woken =
            0; /* on this stack: a wake after close would be seen by the sanitizers */
        nn_sub *s = nn_bus_subscribe(arg, NULL, 1, count, &woken);
        next_seq(s);
        nn_sub_close(s);
    }
    return NULL;
}

TEST(bus_close_waits_for_wake) {
    nn_bus *b = nn_bus_new();
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, i ? come_and_go : publisher, b);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    nn_bus_free(b);
}
