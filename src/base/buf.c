/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *nn_buf_reserve(nn_buf *b, size_t n) {
    if (b->failed) return NULL;
    if (n < b->cap - b->n)
        return b->p + b->n; /* keeps one byte for the NUL; cap 0 wraps to 0 - 0 */
    size_t want;
    if (__builtin_add_overflow(b->n, n, &want) || want >= NN_BUF_MAX) {
        b->failed = true;
        return NULL;
    }
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= want) cap *= 2;
    char *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

void nn_buf_append(nn_buf *b, const void *p, size_t n) {
    char *to = nn_buf_reserve(b, n);
    if (!to) return;
    if (n) memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void nn_buf_puts(nn_buf *b, const char *s) {
    nn_buf_append(b, s, strlen(s));
}

void nn_buf_putc(nn_buf *b, char c) {
    nn_buf_append(b, &c, 1);
}

void nn_buf_vprintf(nn_buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *to = n < 0 ? NULL : nn_buf_reserve(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void nn_buf_printf(nn_buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    nn_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void nn_buf_clear(nn_buf *b) {
    b->n = 0;
    b->failed = false;
    if (b->p) b->p[0] = 0;
}

char *nn_buf_take(nn_buf *b) {
    nn_buf_append(b, "", 0);
    char *p = b->failed ? NULL : b->p;
    if (b->failed) free(b->p);
    *b = (nn_buf){0};
    return p;
}

const char *nn_buf_str(const nn_buf *b) {
    return b->n ? b->p : "";
}

bool nn_buf_failed(const nn_buf *b) {
    return b->failed;
}

void nn_buf_done(nn_buf *b) {
    free(b->p);
    *b = (nn_buf){0};
}
