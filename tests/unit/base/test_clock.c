/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "t.h"

#include <string.h>
#include <time.h>

/* Seconds from `date -u -d ... +%s` of coreutils. */
TEST(time_prints_and_parses) {
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0,                           "1970-01-01T00:00:00.000000+00:00"},
        {INT64_C(951782400000000),    "2000-02-29T00:00:00.000000+00:00"},
        {INT64_C(1709251199999999),   "2024-02-29T23:59:59.999999+00:00"},
        {-1,                          "1969-12-31T23:59:59.999999+00:00"},
        {INT64_C(-2203891200000000),  "1900-03-01T00:00:00.000000+00:00"},
        {INT64_C(-62167219200000000), "0000-01-01T00:00:00.000000+00:00"},
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999+00:00"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[NN_TIME_TEXT];
        int64_t us = 0;
        nn_err err = {0};
        assert_string_equal(nn_time_print(rows[i].us, buf), rows[i].text);
        CHECK_OK(nn_time_parse(buf, strlen(buf), &us, &err), &err);
        assert_int_equal(us, rows[i].us);
    }
    char buf[NN_TIME_TEXT];
    assert_string_equal(nn_time_print(INT64_MAX, buf), "9999-12-31T23:59:59.999999+00:00");
    assert_string_equal(nn_time_print(INT64_MIN, buf), "0000-01-01T00:00:00.000000+00:00");
}

/* gmtime_r of libc is the independent source. */
TEST(time_agrees_with_libc) {
    for (int64_t s = -INT64_C(60000000000); s < INT64_C(250000000000); s += 86400 * 13 + 12345) {
        struct tm tm;
        time_t t = (time_t)s;
        gmtime_r(&t, &tm);
        char buf[NN_TIME_TEXT], http[NN_TIME_HTTP_TEXT], expected[64];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000+00:00", &tm);
        if (tm.tm_year >= -900) assert_string_equal(nn_time_print(s * 1000000, buf), expected);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (tm.tm_year >= -900) assert_string_equal(nn_time_http(s * 1000000, http), expected);
    }
}

TEST(time_http_is_the_example_of_rfc_9110) {
    char buf[NN_TIME_HTTP_TEXT];
    assert_string_equal(nn_time_http(INT64_C(784111777000000), buf),
                        "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(time_reads_every_form_of_rfc_3339) {
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"1985-04-12T23:20:50.52Z",        INT64_C(482196050520000)  },
        {"1996-12-19T16:39:57-08:00",      INT64_C(851042397000000)  },
        {"1990-12-31T23:59:60Z",           INT64_C(662688000000000)  },
        {"1937-01-01 12:00:27.87+00:20",   INT64_C(-1041337172130000)},
        {"2026-01-31t09:05:07.123456789z", INT64_C(1769850307123456) },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t us = 0;
        nn_err err = {0};
        CHECK_OK(nn_time_parse(rows[i].text, strlen(rows[i].text), &us, &err), &err);
        assert_int_equal(us, rows[i].us);
    }
}

TEST(time_refuses_the_rest) {
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-02-29T00:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:61Z",
                                      "2026-01-01T00:00:00",
                                      "2026-01-01T00:00:00.Z",
                                      "2026-01-01T00:00:00.1234567890Z",
                                      "2026-01-01T00:00:00Zx",
                                      "2026-01-01T00:00:00+0000",
                                      "2026-01-01T00:00:00+24:00",
                                      "-026-01-01T00:00:00Z",
                                      "2026/01/01T00:00:00Z",
                                      " 2026-01-01T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-01-01T00:00:00+00:60"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us = 77;
        nn_err err = {0};
        if (nn_time_parse(bad[i], strlen(bad[i]), &us, &err) != NN_E_VALIDATION_ERROR)
            fail_msg("%s", bad[i]);
        assert_int_equal(us, 77);
    }
    int64_t us;
    assert_int_equal(nn_time_parse("2026-01-01T00:00:00\0", 20, &us, NULL), NN_E_VALIDATION_ERROR);
}

TEST(clock_runs) {
    int64_t a = nn_clock_mono(), b = nn_clock_mono();
    CHECK(a > 0 && b >= a);
    time_t now = time(NULL);
    CHECK(nn_clock_wall() / 1000000 >= now && nn_clock_wall() / 1000000 <= now + 60);
}
