/* SPDX-License-Identifier: MIT */
/* err.h - status codes and the error record that travels with them.
 * A function that can fail returns nn_status and fills an nn_err that the caller owns (NULL: no
 * detail wanted). Its ret_ arguments are untouched on failure. Reporting never allocates. */
#ifndef NN_BASE_ERR_H
#define NN_BASE_ERR_H

enum {
#define NN_ERR(n, h, x, r, t) NN_ORD_##n,
#include "base/errors.def"
#undef NN_ERR
    NN_ORD_COUNT
};

typedef enum nn_status {
    NN_OK = 0,
#define NN_ERR(n, h, x, r, t) NN_E_##n = -1 - NN_ORD_##n,
#include "base/errors.def"
#undef NN_ERR
} nn_status;

typedef struct nn_err {
    nn_status code;
    int line, col;     /* place in a source text, 1-based; 0 = none */
    const char *where; /* "file.c:123" that reported it, static storage */
    char msg[512];     /* a sentence: what, where, what was expected */
    char hint[256];    /* what to do about it; may be empty */
} nn_err;

#define NN_STR_(x) #x
#define NN_STR(x)  NN_STR_(x)
#define nn_fail(e, code, ...)                                                                      \
    nn_failed(nn_fail_at((e), (code), __FILE__ ":" NN_STR(__LINE__), __VA_ARGS__))

/* Fills *e (NULL allowed) with code, message and an empty hint; returns code. Call it as nn_fail.
 */
nn_status nn_fail_at(nn_err *e, nn_status code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5), cold));
/* Adds what to do about it, after nn_fail. Returns code, so that it can end a function. */
#define nn_err_hint(e, code, ...) nn_hinted(nn_err_hint_at((e), (code), __VA_ARGS__))
nn_status nn_err_hint_at(nn_err *e, nn_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Tell the compiler that a failure is never NN_OK: what success fills is then not taken for unset.
 */
static inline __attribute__((warn_unused_result)) nn_status nn_failed(nn_status s) {
    if (s == NN_OK) __builtin_unreachable();
    return s;
}
static inline nn_status nn_hinted(nn_status s) {
    if (s == NN_OK) __builtin_unreachable();
    return s;
}
/* Puts "text: " before the message of *e, as a caller adds its own place. */
void nn_err_prefix(nn_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

int nn_status_http(nn_status s);         /* 200 for NN_OK */
int nn_status_exit(nn_status s);         /* 0 for NN_OK */
int nn_status_retryable(nn_status s);    /* whether trying again later can help */
const char *nn_status_code(nn_status s); /* "not_found"; "ok" for NN_OK */
const char *nn_status_name(nn_status s); /* "NOT_FOUND" */
const char *nn_status_text(nn_status s); /* the table's sentence */
/* The status whose wire code is `code`; NN_E_INTERNAL where there is none. */
nn_status nn_status_from_code(const char *code);
#endif
