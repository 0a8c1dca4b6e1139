/* SPDX-License-Identifier: MIT */
/* hash.c - an nn_hash is OpenSSL's EVP_MD_CTX. Its functions fail only when memory for a small
 * block is refused or the library is broken: both abort. */
#include "base/hash.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static EVP_MD_CTX *ctx(nn_hash *h) {
    return (EVP_MD_CTX *)h;
}

nn_hash *nn_hash_new(void) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) abort();
    return (nn_hash *)c;
}

void nn_hash_add(nn_hash *h, const void *p, size_t n) {
    if (EVP_DigestUpdate(ctx(h), p, n) != 1) abort();
}

void nn_hash_end(nn_hash *h, uint8_t ret[NN_SHA256]) {
    if (EVP_DigestFinal_ex(ctx(h), ret, NULL) != 1) abort();
    nn_hash_free(h);
}

void nn_hash_end_hex(nn_hash *h, char ret[NN_SHA256_HEX]) {
    uint8_t digest[NN_SHA256];
    nn_hash_end(h, digest);
    nn_hex(digest, sizeof digest, ret);
}

void nn_hash_free(nn_hash *h) {
    EVP_MD_CTX_free(ctx(h));
}

void nn_sha256(const void *p, size_t n, uint8_t ret[NN_SHA256]) {
    nn_hash *h = nn_hash_new();
    nn_hash_add(h, p, n);
    nn_hash_end(h, ret);
}

const char *nn_sha256_hex(const void *p, size_t n, char ret[NN_SHA256_HEX]) {
    uint8_t digest[NN_SHA256];
    nn_sha256(p, n, digest);
    return nn_hex(digest, sizeof digest, ret);
}

static nn_status hash_fd(int fd, const char *path, nn_hash *h, nn_err *err) {
    char block[1 << 16];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return nn_file_fail(err, errno, "read", path);
        if (n == 0) return NN_OK;
        nn_hash_add(h, block, (size_t)n);
    }
}

nn_status nn_sha256_file(const char *path, char ret_hex[NN_SHA256_HEX], nn_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nn_file_fail(err, errno, "open", path);
    nn_hash *h = nn_hash_new();
    nn_status s = hash_fd(fd, path, h, err);
    if (s)
        nn_hash_free(h);
    else
        nn_hash_end_hex(h, ret_hex);
    close(fd);
    return s;
}

bool nn_secret_equal(const void *a, size_t na, const void *b, size_t nb) {
    return na == nb && CRYPTO_memcmp(a, b, na) == 0;
}

void nn_random(void *p, size_t n) {
    for (char *to = p; n;) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0 && errno != EINTR) abort(); /* no kernel that we run on lacks it */
        if (got < 0) continue;
        to += got;
        n -= (size_t)got;
    }
}

char *nn_hex(const void *p, size_t n, char *ret) {
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = "0123456789abcdef"[b[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[b[i] & 15];
    }
    ret[2 * n] = 0;
    return ret;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool nn_unhex(const char *s, size_t n, void *ret) {
    uint8_t *b = ret;
    if (n % 2) return false;
    for (size_t i = 0; i < n; i++)
        if (hex_digit(s[i]) < 0) return false;
    for (size_t i = 0; i < n / 2; i++)
        b[i] = (uint8_t)(hex_digit(s[2 * i]) << 4 | hex_digit(s[2 * i + 1]));
    return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t nn_base64url(const void *p, size_t n, char *ret) {
    const uint8_t *b = p;
    size_t at = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | b[i];
        for (have += 8; have >= 6; have -= 6) ret[at++] = alphabet[bits >> (have - 6) & 63];
    }
    if (have) ret[at++] = alphabet[bits << (6 - have) & 63];
    ret[at] = 0;
    return at;
}

bool nn_unbase64url(const char *s, size_t n, void *ret, size_t *ret_n) {
    uint8_t *b = ret;
    size_t at = 0;
    uint32_t bits = 0;
    int have = 0;
    if (n % 4 == 1) return false;
    for (size_t i = 0; i < n; i++) {
        const char *c = s[i] ? strchr(alphabet, s[i]) : NULL;
        if (!c) return false;
        bits = bits << 6 | (uint32_t)(c - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            b[at++] = (uint8_t)(bits >> have);
        }
    }
    if (bits & ((1u << have) - 1)) return false;
    *ret_n = at;
    return true;
}
