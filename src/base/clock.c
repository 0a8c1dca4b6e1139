/* SPDX-License-Identifier: MIT */
/* clock.c - the calendar is computed here: libc's needs the time zone's lock and, for printing, the
 * locale. */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND  INT64_C(1000000)
#define DAY     INT64_C(86400)
#define MIN_SEC (-INT64_C(62167219200)) /* 0000-01-01T00:00:00Z */
#define MAX_SEC INT64_C(253402300799)   /* 9999-12-31T23:59:59Z */

int64_t nn_clock_mono(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t nn_clock_wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec / 1000;
}

typedef struct date {
    int year, month, day, hour, minute, second, micro, weekday; /* weekday 0: Sunday */
} date;

/* Hinnant, "chrono-Compatible Low-Level Date Algorithms": years start in March, eras have 400 years
 * or 146097 days. */
static int64_t days_from_civil(int64_t y, int m, int d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static date split(int64_t us) {
    int64_t s = us / SECOND - (us % SECOND < 0);
    int micro = (int)((us % SECOND + SECOND) % SECOND);
    if (s < MIN_SEC) s = MIN_SEC, micro = 0;
    if (s > MAX_SEC) s = MAX_SEC, micro = (int)SECOND - 1;
    int64_t day = s / DAY - (s % DAY < 0);
    int left = (int)(s - day * DAY);
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = (int)(doe - (365 * yoe + yoe / 4 - yoe / 100)), mp = (5 * doy + 2) / 153;
    int month = mp + (mp < 10 ? 3 : -9);
    return (date){.year = (int)(yoe + era * 400) + (month <= 2),
                  .month = month,
                  .day = doy - (153 * mp + 2) / 5 + 1,
                  .hour = left / 3600,
                  .minute = left / 60 % 60,
                  .second = left % 60,
                  .micro = micro,
                  .weekday = (int)(((day + 4) % 7 + 7) % 7)};
}

/* `digits` digits of v, which has no more; returns the place behind them. */
static char *put(char *p, int v, int digits) {
    for (int i = digits; i-- > 0; v /= 10) p[i] = (char)('0' + v % 10);
    return p + digits;
}

const char *nn_time_print(int64_t us, char buf[NN_TIME_TEXT]) {
    date d = split(us);
    memcpy(buf, "yyyy-mm-ddThh:mm:ss.uuuuuu+00:00", NN_TIME_TEXT);
    put(buf, d.year, 4);
    put(buf + 5, d.month, 2);
    put(buf + 8, d.day, 2);
    put(buf + 11, d.hour, 2);
    put(buf + 14, d.minute, 2);
    put(buf + 17, d.second, 2);
    put(buf + 20, d.micro, 6);
    return buf;
}

const char *nn_time_http(int64_t us, char buf[NN_TIME_HTTP_TEXT]) {
    date d = split(us);
    memcpy(buf, "www, dd mmm yyyy hh:mm:ss GMT", NN_TIME_HTTP_TEXT);
    memcpy(buf, &"SunMonTueWedThuFriSat"[3 * d.weekday], 3);
    put(buf + 5, d.day, 2);
    memcpy(buf + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * (d.month - 1)], 3);
    put(buf + 12, d.year, 4);
    put(buf + 17, d.hour, 2);
    put(buf + 20, d.minute, 2);
    put(buf + 23, d.second, 2);
    return buf;
}

/* A text being read; bad once something did not fit. */
typedef struct scan {
    const char *p, *end;
    bool bad;
} scan;

static bool take(scan *s, const char *any_of) {
    bool there = s->p < s->end && *s->p && strchr(any_of, *s->p);
    s->p += there;
    return there;
}

static void expect(scan *s, const char *any_of) {
    s->bad |= !take(s, any_of);
}

static int digits(scan *s, int n, int low, int high) {
    int v = 0;
    for (int i = 0; i < n; i++) {
        char c = s->p < s->end ? *s->p : 0;
        s->bad |= c < '0' || c > '9';
        if (s->bad) return low;
        v = v * 10 + (c - '0');
        s->p++;
    }
    s->bad |= v < low || v > high;
    return v;
}

/* Microseconds of ".5", ".123456789" or nothing. */
static int fraction(scan *s) {
    int us = 0, n = 0;
    if (!take(s, ".")) return 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, n++)
        if (n < 6) us = us * 10 + (*s->p - '0');
    s->bad |= n < 1 || n > 9;
    for (; n < 6; n++) us *= 10;
    return us;
}

/* Seconds east of UTC. */
static int offset(scan *s) {
    if (take(s, "Zz")) return 0;
    int sign = take(s, "-") ? -1 : 1;
    if (sign > 0) expect(s, "+");
    int hours = digits(s, 2, 0, 23);
    expect(s, ":");
    return sign * (hours * 3600 + digits(s, 2, 0, 59) * 60);
}

static int month_days(int y, int m) {
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 ? 28 + leap : 30 + ((m + m / 8) & 1);
}

nn_status nn_time_parse(const char *text, size_t n, int64_t *ret_us, nn_err *err) {
    scan s = {text, text + n, false};
    int year = digits(&s, 4, 0, 9999);
    expect(&s, "-");
    int month = digits(&s, 2, 1, 12);
    expect(&s, "-");
    int day = digits(&s, 2, 1, month_days(year, month));
    expect(&s, "Tt ");
    int hour = digits(&s, 2, 0, 23);
    expect(&s, ":");
    int minute = digits(&s, 2, 0, 59);
    expect(&s, ":");
    int second = digits(&s, 2, 0, 60);
    int micro = fraction(&s);
    int east = offset(&s);
    if (s.bad || s.p != s.end)
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "'%.*s' is not a time, expected RFC 3339 like 2026-01-31T09:05:07Z",
                       (int)(n < 64 ? n : 64), text);
    int64_t sec = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    *ret_us = (sec - east) * SECOND + micro;
    return NN_OK;
}
