/* SPDX-License-Identifier: MIT */
/* gate.h - what llhttp lets pass and we do not: checks of the raw bytes of a request's head, line
 * by line, and of trailers.
 *
 * Everything that two programs on a request's way could read differently is refused, rather than
 * repaired: two lengths, a length together with chunked, codings other than exactly `chunked`,
 * folded and empty names, bare LF and CR, control bytes, doubled spaces, a missing, doubled or odd
 * Host. RFC 9112 sections 2.2, 3, 5, 6; RFC 9110 section 5. Pure: no allocation, no I/O. */
#ifndef NN_NET_GATE_H
#define NN_NET_GATE_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_gate {
    int64_t length; /* Content-Length; -1: none sent */
    uint16_t fields;
    uint8_t minor; /* of HTTP/1.minor */
    bool host, chunked;
} nn_gate; /* start from NN_GATE_START */
#define NN_GATE_START ((nn_gate){.length = -1})

/* One line without its CR LF. target_limit: bytes of the request target. */
nn_status nn_gate_request_line(nn_gate *g, const char *p, size_t n, size_t target_limit,
                               nn_err *err);
nn_status nn_gate_field_line(nn_gate *g, const char *p, size_t n, nn_err *err);
/* After the empty line: what only the whole head shows. */
nn_status nn_gate_end(const nn_gate *g, nn_err *err);

/* Trailer fields (after the last chunk), in any pieces: the same lines are refused. They are
 * otherwise ignored. *ret_used bytes were taken; t->done: the empty line that ends the message was
 * the last of them. */
typedef struct nn_gate_trailer {
    uint32_t bytes;
    uint16_t name; /* length of the name so far */
    bool cr, value, done;
} nn_gate_trailer;
nn_status nn_gate_trailer_bytes(nn_gate_trailer *t, const char *p, size_t n, size_t *ret_used,
                                nn_err *err);
#endif
