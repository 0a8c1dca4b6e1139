/* SPDX-License-Identifier: MIT */
/* parser.h - bytes in, requests out: the gate and llhttp behind one face. Knows no sockets; one
 * thread at a time.
 *
 * The owner feeds what it read and acts on each event:
 *     while (n) { used = nn_parser_feed(&ps, x, p, n, &event, &err); p += used; n -= used; switch
 * (event) ... } One exchange x is filled at a time. It is passed again until NN_PARSE_REQUEST or
 * NN_PARSE_BAD. The head is gathered whole (in place when it came in one read) before llhttp sees
 * it, so that every text is contiguous and the gate has seen every line. */
#ifndef NN_NET_PARSER_H
#define NN_NET_PARSER_H
#include "net/exchange.h"
#include "net/gate.h"
#include "net/server.h"

#include <llhttp.h>

typedef enum nn_parse {
    NN_PARSE_MORE,    /* all bytes were taken, more are needed */
    NN_PARSE_HEAD,    /* x->q is filled but for the body; call nn_parser_body, then feed on */
    NN_PARSE_REQUEST, /* the body is there (or there is none) */
    NN_PARSE_BAD,     /* err says why; the connection is of no more use */
} nn_parse;

typedef struct nn_parser {
    llhttp_t ll;
    const nn_http_limits *limits;
    nn_exchange *x; /* while feeding */
    nn_err *err;
    nn_gate gate;
    nn_gate_trailer trailer;
    size_t body_limit, seen, line; /* of the head: bytes looked at; where its current line begins */
    int64_t body_n, framing_n;
    enum { NN_PARSER_HEAD, NN_PARSER_BODY } state;
    bool started, first, complete, discard, last_chunk, blank;
} nn_parser;

void nn_parser_init(nn_parser *ps, const nn_http_limits *limits);
size_t nn_parser_feed(nn_parser *ps, nn_exchange *x, char *p, size_t n, nn_parse *ret, nn_err *err);
/* After NN_PARSE_HEAD: how large the body may get, or that it is read and thrown away.
 * NN_E_PAYLOAD_TOO_LARGE at once when more is declared. */
nn_status nn_parser_body(nn_parser *ps, nn_exchange *x, size_t limit, bool discard, nn_err *err);
/* Whether the next byte begins a new request. */
bool nn_parser_between(const nn_parser *ps);
#endif
