/* SPDX-License-Identifier: MIT */
/* err.c - see err.h. One table answers every question about a code. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http, exit, retry;
    const char *text;
} codes[] = {
#define NN_ERR(n, h, x, r, t) [NN_ORD_##n] = {#n, h, x, r, t},
#include "base/errors.def"
#undef NN_ERR
};

/* The wire spelling of each name, filled before main so that readers need no lock. */
static char wire[NN_ORD_COUNT][32];

__attribute__((constructor)) static void spell(void) {
    for (int i = 0; i < NN_ORD_COUNT; i++)
        for (int j = 0; codes[i].name[j] && j < 31; j++)
            wire[i][j] = (char)(codes[i].name[j] == '_' ? '_' : codes[i].name[j] | 0x20);
}

nn_status nn_fail_at(nn_err *e, nn_status code, const char *where, const char *fmt, ...) {
    char msg[sizeof e->msg]; /* the arguments may point into *e */
    if (!e) return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    *e = (nn_err){.code = code, .where = where};
    memcpy(e->msg, msg, strlen(msg) + 1);
    return code;
}

nn_status nn_err_hint_at(nn_err *e, nn_status code, const char *fmt, ...) {
    if (!e) return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
    return code;
}

void nn_err_prefix(nn_err *e, const char *fmt, ...) {
    if (!e) return;
    char old[sizeof e->msg];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof e->msg - 2) return;
    memcpy(e->msg + n, ": ", 2);
    size_t room = sizeof e->msg - (size_t)n - 3, rest = strnlen(old, room);
    memcpy(e->msg + n + 2, old, rest);
    e->msg[(size_t)n + 2 + rest] = 0;
}

int nn_status_http(nn_status s) {
    return s == NN_OK ? 200 : codes[-1 - (int)s].http;
}

int nn_status_exit(nn_status s) {
    return s == NN_OK ? 0 : codes[-1 - (int)s].exit;
}

int nn_status_retryable(nn_status s) {
    return s != NN_OK && codes[-1 - (int)s].retry;
}

const char *nn_status_code(nn_status s) {
    return s == NN_OK ? "ok" : wire[-1 - (int)s];
}

const char *nn_status_name(nn_status s) {
    return s == NN_OK ? "OK" : codes[-1 - (int)s].name;
}

const char *nn_status_text(nn_status s) {
    return s == NN_OK ? "done" : codes[-1 - (int)s].text;
}

nn_status nn_status_from_code(const char *code) {
    for (int i = 0; i < NN_ORD_COUNT; i++)
        if (strcmp(wire[i], code) == 0) return (nn_status)(-1 - i);
    return NN_E_INTERNAL;
}
