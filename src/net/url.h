/* SPDX-License-Identifier: MIT */
/* url.h - request targets and query strings. Pure functions over bytes. */
#ifndef NN_NET_URL_H
#define NN_NET_URL_H
#include "net/http.h"

/* Splits q->target into path, query and segments. Segments are split first and percent-decoded
 * then, so that %2F is data; empty ones ("//", a trailing slash) vanish. NN_E_INVALID_REQUEST: not
 * origin-form, a segment "." or ".." (also encoded), a broken escape, NUL or control bytes, bytes
 * that are not UTF-8, more than NN_HTTP_MAX_SEGMENTS segments. "*" (OPTIONS) gives no segments.
 * Decoded text lies in the request's arena; a path without escapes is not copied. */
nn_status nn_url_split(nn_http_request *q, nn_err *err);

/* Walks the pairs of a query string: *rest is shortened. Names and values are decoded ('+' is a
 * space) into the arena; both are NUL-terminated UTF-8. *ret_found is false at the end. */
typedef struct nn_url_pair {
    const char *name, *value;
} nn_url_pair;
nn_status nn_url_next(nn_text *rest, nn_arena *a, nn_url_pair *ret, bool *ret_found, nn_err *err);
#endif
