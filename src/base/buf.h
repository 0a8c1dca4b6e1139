/* SPDX-License-Identifier: MIT */
/* buf.h - a growable byte buffer. One thread at a time. Always NUL-terminated after the first
 * append. Growing past NN_BUF_MAX, or memory that the system refuses, marks the buffer failed:
 * later appends do nothing and nn_buf_failed() says so; callers check once, at the end. */
#ifndef NN_BASE_BUF_H
#define NN_BASE_BUF_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define NN_BUF_MAX ((size_t)1 << 31)

typedef struct nn_buf {
    char *p; /* NULL while empty and never appended to */
    size_t n, cap;
    bool failed;
} nn_buf; /* zero is a valid empty buffer */

void nn_buf_append(nn_buf *b, const void *p, size_t n);
void nn_buf_puts(nn_buf *b, const char *s);
void nn_buf_putc(nn_buf *b, char c);
void nn_buf_printf(nn_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nn_buf_vprintf(nn_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Room for n more bytes at b->p + b->n (the caller adds to b->n what it wrote); NULL when failed.
 */
char *nn_buf_reserve(nn_buf *b, size_t n);
void nn_buf_clear(nn_buf *b); /* empties, keeps the memory, forgets a failure */
char *
nn_buf_take(nn_buf *b); /* moves the memory to the caller (free); "" when empty; NULL when failed */
const char *nn_buf_str(const nn_buf *b); /* the text; "" while empty */
bool nn_buf_failed(const nn_buf *b);
void nn_buf_done(nn_buf *b); /* frees; b is an empty buffer again */
#define NN_BUF __attribute__((cleanup(nn_buf_done))) nn_buf

#endif
