/* SPDX-License-Identifier: MIT */
/* hash.h - SHA-256 (OpenSSL behind it), random bytes, and the spellings of bytes. Functions are
 * thread safe; an nn_hash belongs to one thread at a time. */
#ifndef NN_BASE_HASH_H
#define NN_BASE_HASH_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NN_SHA256 = 32, NN_SHA256_HEX = 65 };

void nn_sha256(const void *p, size_t n, uint8_t ret[NN_SHA256]);
/* The same as 64 lower-case digits. Returns ret. */
const char *nn_sha256_hex(const void *p, size_t n, char ret[NN_SHA256_HEX]);
nn_status nn_sha256_file(const char *path, char ret_hex[NN_SHA256_HEX], nn_err *err);

typedef struct nn_hash nn_hash; /* a digest in the making */
nn_hash *nn_hash_new(void);
void nn_hash_add(nn_hash *h, const void *p, size_t n);
void nn_hash_end(nn_hash *h, uint8_t ret[NN_SHA256]); /* frees h */
void nn_hash_end_hex(nn_hash *h, char ret[NN_SHA256_HEX]);
void nn_hash_free(nn_hash *h); /* without a digest; NULL allowed */

/* Equal bytes and lengths; the time it takes depends on the lengths only. */
bool nn_secret_equal(const void *a, size_t na, const void *b, size_t nb);
/* Unpredictable bytes from the kernel. */
void nn_random(void *p, size_t n);

char *nn_hex(const void *p, size_t n, char *ret);  /* 2 n digits and a NUL; returns ret */
bool nn_unhex(const char *s, size_t n, void *ret); /* n digits, even, to n / 2 bytes */
enum { NN_BASE64URL_32 = 44 };                     /* text of 32 bytes, with its NUL */
size_t nn_base64url(const void *p, size_t n,
                    char *ret); /* RFC 4648 section 5 without padding: ceil(4 n / 3) and a NUL */
bool nn_unbase64url(const char *s, size_t n, void *ret,
                    size_t *ret_n); /* at most 3 n / 4 bytes; strict: no padding, no stray bits */
#endif
