/* SPDX-License-Identifier: MIT */
/* utf8.h - UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Pure functions. */
#ifndef NN_BASE_UTF8_H
#define NN_BASE_UTF8_H
#include <stddef.h>

/* Bytes (1 to 4) of the character at p, which has n > 0 bytes behind it; 0 if they do not start a
 * whole character. */
size_t nn_utf8_length(const char *p, size_t n);
/* Number of leading bytes that are whole characters: n when all of the text is UTF-8, else the
 * place of the first bad byte. */
size_t nn_utf8_valid(const char *p, size_t n);
#endif
