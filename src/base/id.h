/* SPDX-License-Identifier: MIT */
/* id.h - identifiers: UUID version 7 (RFC 9562) in lower case. Thread safe. */
#ifndef NN_BASE_ID_H
#define NN_BASE_ID_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NN_ID_TEXT = 37 };

/* A new id. Ids of one process sort in the order in which they were made, also when the clock goes
 * back; 62 bits of each are random. Returns ret. */
const char *nn_id_new(char ret[NN_ID_TEXT]);
/* Whether the n bytes are a UUID of any version in the form 8-4-4-4-12, either letter case. */
bool nn_id_valid(const char *s, size_t n);
/* The 16 bytes of it; false and ret untouched if it is not one. */
bool nn_id_parse(const char *s, size_t n, uint8_t ret[16]);
/* When a version 7 id was made, in microseconds since 1970 (whole milliseconds); -1 for anything
 * else. */
int64_t nn_id_time(const char *s);
#endif
