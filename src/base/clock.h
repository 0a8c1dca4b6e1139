/* SPDX-License-Identifier: MIT */
/* clock.h - what time it is, and how times are written. Thread safe; nothing here allocates or
 * depends on locale or time zone. */
#ifndef NN_BASE_CLOCK_H
#define NN_BASE_CLOCK_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

int64_t nn_clock_mono(void); /* nanoseconds since some start; never goes back */
int64_t nn_clock_wall(void); /* microseconds since 1970-01-01T00:00:00Z */

enum { NN_TIME_TEXT = 33, NN_TIME_HTTP_TEXT = 30 };
/* RFC 3339 in UTC with microseconds: "2026-01-31T09:05:07.000001+00:00". Times outside of the years
 * 0 to 9999 print as the nearest that is inside. Returns buf. */
const char *nn_time_print(int64_t us, char buf[NN_TIME_TEXT]);
/* Reads any RFC 3339 date-time (T or blank, Z or an offset, 0 to 9 digits of fraction, those past
 * the sixth cut off); a leap second is the second after it. NN_E_VALIDATION_ERROR otherwise. */
nn_status nn_time_parse(const char *s, size_t n, int64_t *ret_us, nn_err *err);
/* The IMF-fixdate of RFC 9110: "Sun, 06 Nov 1994 08:49:37 GMT". Returns buf. */
const char *nn_time_http(int64_t us, char buf[NN_TIME_HTTP_TEXT]);
#endif
