/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/buf.h"
#include "base/shape.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory that is refused is NULL under the address sanitizer, too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

TEST(arena_memory_is_zeroed_aligned_and_apart) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 0);
    unsigned char *p[2000];
    size_t size[2000];
    for (int i = 0; i < 2000; i++) {
        size[i] = i % 100 == 99 ? 200000 : (size_t)(i * 7 % 300);
        p[i] = nn_arena_alloc(a, size[i]);
        CHECK(p[i] && (uintptr_t)p[i] % 16 == 0);
        for (size_t j = 0; j < size[i]; j++) CHECK(p[i][j] == 0);
        memset(p[i], i & 0xff, size[i]);
    }
    for (int i = 0; i < 2000; i++)
        for (size_t j = 0; j < size[i]; j++) CHECK(p[i][j] == (i & 0xff));
}

TEST(arena_cap_is_an_ordinary_error) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 1000);
    CHECK(nn_arena_alloc(a, 600));
    assert_null(nn_arena_alloc(a, 600));
    CHECK(nn_arena_alloc(a, 300)); /* a smaller one still fits */
    assert_null(nn_arena_alloc(a, SIZE_MAX));
    assert_null(nn_arena_alloc(a, SIZE_MAX - 15));
    assert_null(nn_arena_array(a, SIZE_MAX / 2, 4));
    assert_null(nn_arena_strndup(a, "", SIZE_MAX));
    nn_arena *child = nn_arena_new(a, "child", 0);
    assert_null(nn_arena_alloc(child, 1001)); /* the parent's cap */
    NN_AUTO(nn_arena) *open = nn_arena_new(NULL, "no cap", 0);
    assert_null(nn_arena_alloc(open, SIZE_MAX / 4)); /* no system grants that; not fatal */
}

TEST(arena_texts) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 0);
    assert_string_equal(nn_arena_strdup(a, "abc"), "abc");
    assert_string_equal(nn_arena_strndup(a, "abc", 2), "ab");
    assert_string_equal(nn_arena_strndup(a, NULL, 0), "");
    assert_string_equal(nn_arena_printf(a, "%d-%s", 7, "x"), "7-x");
}

static void note(void *arg) {
    static int turn;
    *(int *)arg = ++turn;
}

TEST(arena_defers_run_last_first_children_before) {
    int first = 0, second = 0, in_child = 0;
    nn_arena *a = nn_arena_new(NULL, "test", 0), *child = nn_arena_new(a, "child", 0);
    nn_arena *gone = nn_arena_new(a, "gone", 0);
    assert_int_equal(nn_arena_defer(a, note, &first), 0);
    assert_int_equal(nn_arena_defer(a, note, &second), 0);
    assert_int_equal(nn_arena_defer(child, note, &in_child), 0);
    assert_null(nn_arena_free(gone));
    assert_null(nn_arena_free(a));
    CHECK(in_child < second && second < first && in_child > 0);
    assert_null(nn_arena_free(NULL));
}

TEST(buf_grows_and_keeps_its_nul) {
    NN_BUF b = {0};
    assert_string_equal(nn_buf_str(&b), "");
    for (int i = 0; i < 1000; i++) nn_buf_printf(&b, "%d,", i);
    assert_int_equal(strlen(nn_buf_str(&b)), b.n);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    nn_buf_clear(&b);
    assert_string_equal(nn_buf_str(&b), "");
    nn_buf_putc(&b, 'x');
    nn_buf_append(&b, "y\0z", 3);
    assert_memory_equal(b.p, "xy\0z", 5);
    char *taken = nn_buf_take(&b);
    assert_memory_equal(taken, "xy\0z", 5);
    free(taken);
    CHECK(!b.p && !b.n);
    taken = nn_buf_take(&b);
    assert_string_equal(taken, "");
    free(taken);
}

TEST(buf_failure_sticks_until_cleared) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "ab");
    assert_null(nn_buf_reserve(&b, NN_BUF_MAX));
    CHECK(nn_buf_failed(&b));
    nn_buf_puts(&b, "cd");
    assert_string_equal(nn_buf_str(&b), "ab");
    assert_null(nn_buf_take(&b));
    CHECK(!nn_buf_failed(&b)); /* an empty buffer again */
    assert_null(nn_buf_reserve(&b, SIZE_MAX));
    nn_buf_clear(&b);
    nn_buf_puts(&b, "ok");
    assert_string_equal(nn_buf_str(&b), "ok");
}

TEST(err_record) {
    nn_err e = {0};
    assert_int_equal(nn_fail(&e, NN_E_DATA_ERROR, "%s is %d", "x", 3), NN_E_DATA_ERROR);
    assert_string_equal(e.msg, "x is 3");
    CHECK(strstr(e.where, "test_memory.c:") && !e.hint[0]);
    assert_int_equal(nn_err_hint(&e, e.code, "try %d", 4), NN_E_DATA_ERROR);
    nn_err_prefix(&e, "file %s", "f");
    assert_string_equal(e.msg, "file f: x is 3");
    assert_string_equal(e.hint, "try 4");
    assert_int_equal(nn_fail(&e, NN_E_NOT_FOUND, "again: %s", e.msg),
                     NN_E_NOT_FOUND); /* its own text as an argument */
    assert_string_equal(e.msg, "again: file f: x is 3");
    assert_int_equal(nn_fail(NULL, NN_E_NOT_FOUND, "x"), NN_E_NOT_FOUND);
    char huge[2000];
    memset(huge, 'h', sizeof huge);
    huge[sizeof huge - 1] = 0;
    assert_int_equal(nn_fail(&e, NN_E_NOT_FOUND, "%s", huge), NN_E_NOT_FOUND);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    nn_err_prefix(&e, "%s", huge);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

TEST(err_table) {
    assert_string_equal(nn_status_code(NN_E_NOT_FOUND), "not_found");
    assert_string_equal(nn_status_code(NN_OK), "ok");
    assert_int_equal(nn_status_http(NN_E_QUEUE_FULL), 429);
    assert_int_equal(nn_status_exit(NN_E_INTERNAL), 70);
    CHECK(nn_status_retryable(NN_E_DRAINING) && !nn_status_retryable(NN_E_NOT_FOUND) &&
          !nn_status_retryable(NN_OK));
    for (int i = 0; i < NN_ORD_COUNT; i++) {
        nn_status s = (nn_status)(-1 - i);
        assert_int_equal(nn_status_from_code(nn_status_code(s)), s);
        CHECK(nn_status_http(s) >= 400 && nn_status_http(s) < 600 && nn_status_exit(s) > 0 &&
              nn_status_text(s)[0]);
    }
    assert_int_equal(nn_status_from_code("nothing"), NN_E_INTERNAL);
}

TEST(shape_prints_and_counts) {
    nn_shape s =
                 {
                     3, {28, 28, 1}
    },
             u = {2, {NN_DIM_UNKNOWN, 3}}, one = {1, {784}}, none = {0};
    char buf[64];
    assert_string_equal(nn_shape_print(&s, false, buf, sizeof buf), "(28, 28, 1)");
    assert_string_equal(nn_shape_print(&s, true, buf, sizeof buf), "(batch, 28, 28, 1)");
    assert_string_equal(nn_shape_print(&u, true, buf, sizeof buf), "(batch, ?, 3)");
    assert_string_equal(nn_shape_print(&one, false, buf, sizeof buf), "(784,)");
    assert_string_equal(nn_shape_print(&none, false, buf, sizeof buf), "()");
    assert_string_equal(nn_shape_print(&s, true, buf, 8), "(batch,");
    assert_int_equal(nn_shape_elements(&s), 784);
    assert_int_equal(nn_shape_elements(&u), NN_DIM_UNKNOWN);
    assert_int_equal(nn_shape_elements(&none), 1);
    nn_shape big = {
        3, {INT64_C(1) << 31, INT64_C(1) << 31, 2}
    };
    assert_int_equal(nn_shape_elements(&big), NN_DIM_UNKNOWN);
    big.dim[2] = 1;
    assert_int_equal(nn_shape_elements(&big), INT64_C(1) << 62);
    CHECK(nn_shape_equal(&s,
                         &(nn_shape){
                             3, {28, 28, 1}
    }) &&
          !nn_shape_equal(&s, &one));
}

TEST(arrays_grow_and_shrink_in_place) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 1 << 20);
    unsigned char *p = nn_arena_resize(a, NULL, 0, 100), *other = nn_arena_alloc(a, 64);
    memset(p, 7, 100);
    for (size_t n = 100; n < 200000; n *= 2) {
        unsigned char *q = nn_arena_resize(a, p, n, 2 * n);
        assert_non_null(q);
        for (size_t i = 0; i < 100; i++) assert_int_equal(q[i], 7);
        for (size_t i = n; i < 2 * n; i++) assert_int_equal(q[i], 0);
        p = q;
    }
    memset(other, 1, 64);
    size_t size = 204800;
    assert_null(nn_arena_resize(a, p, size, 2 << 20)); /* past the cap: what is there stays */
    assert_int_equal(p[99], 7);
    p = nn_arena_resize(a, p, size, 5000);
    assert_int_equal(p[99], 7);
    assert_non_null(nn_arena_alloc(a, 700000)); /* what it gave back counts no more */
    assert_int_equal(other[63], 1);
}

TEST(strings_may_lie_anywhere_and_other_things_do_not) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 0);
    for (int i = 0; i < 100; i++) {
        assert_string_equal(nn_arena_strdup(a, "odd"), "odd");
        assert_int_equal((uintptr_t)nn_arena_alloc(a, 24) % 16, 0);
    }
}
