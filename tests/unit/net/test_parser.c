/* SPDX-License-Identifier: MIT */
/* The parser and its gate over bytes, without sockets. Expectations come from RFC 9112 and tests of
 * known smuggling tricks; every row is fed whole and byte by byte, and must be read the same. */
#include "net/parser.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

typedef struct outcome {
    int requests;      /* read before the end */
    nn_status refused; /* NN_OK: none was */
    char last[64];     /* method, path and body of the last one */
} outcome;

static void note(outcome *o, const nn_exchange *x) {
    o->requests++;
    snprintf(o->last, sizeof o->last, "%s %.*s [%.*s]", nn_http_method_name(x->q.method),
             (int)x->q.target.n, x->q.target.p, (int)(x->q.body.n < 20 ? x->q.body.n : 20),
             x->q.body.p);
}

static outcome feed(const char *bytes, size_t n, size_t step, const nn_http_limits *limits) {
    outcome o = {0};
    nn_parser ps;
    nn_err err = {0};
    nn_exchange *x = nn_exchange_new(0, 1 << 20);
    nn_exchange_reset(x);
    nn_parser_init(&ps, limits);
    for (size_t at = 0; at < n && o.refused == NN_OK;) {
        size_t len = n - at < step ? n - at : step;
        char *piece = malloc(
            len); /* each read in a block of its own: what points into it after the read is found */
        assert_non_null(piece);
        memcpy(piece, bytes + at, len);
        nn_parse event = NN_PARSE_MORE;
        for (size_t used = 0; (used < len || event == NN_PARSE_HEAD) && o.refused == NN_OK;) {
            used += nn_parser_feed(&ps, x, piece + used, len - used, &event, &err);
            if (event == NN_PARSE_HEAD)
                o.refused = nn_parser_body(&ps, x, limits->body, false, &err);
            if (event == NN_PARSE_BAD) o.refused = err.code;
            if (event != NN_PARSE_REQUEST) continue;
            note(&o, x);
            nn_exchange_reset(x);
        }
        free(piece);
        at += len;
    }
    nn_exchange_free(x);
    return o;
}

static void expect_n(const char *bytes, size_t n, int requests, nn_status refused,
                     const char *last) {
    static const size_t steps[] = {1 << 20, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        outcome o = feed(bytes, n, steps[i], &nn_http_default_limits);
        if (o.requests != requests || o.refused != refused || (last && strcmp(o.last, last) != 0))
            fail_msg("step %zu of %.80s: %d requests, %s, \"%s\"", steps[i], bytes, o.requests,
                     nn_status_name(o.refused), o.last);
    }
}

#define EXPECT(bytes, ...) expect_n("" bytes, sizeof(bytes) - 1, __VA_ARGS__)
#define REFUSE(bytes)      EXPECT(bytes, 0, NN_E_INVALID_REQUEST, NULL)
#define H                  "Host: a\r\n"

TEST(valid_requests) {
    EXPECT("GET /a HTTP/1.1\r\n" H "\r\n", 1, NN_OK, "GET /a []");
    EXPECT("GET /a HTTP/1.0\r\n\r\n", 1, NN_OK, "GET /a []");
    EXPECT("POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 1, NN_OK, "POST /p [abc]");
    EXPECT("POST /p HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 1, NN_OK, "POST /p []");
    EXPECT("POST /p HTTP/1.1\r\n" H "Content-Length:  003 \r\n\r\nabc", 1, NN_OK, "POST /p [abc]");
    EXPECT("POST /p HTTP/1.1\r\n" H
           "Transfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=\"y\"\r\nc\r\n0\r\n\r\n",
           1, NN_OK, "POST /p [abc]");
    EXPECT("POST /p HTTP/1.1\r\n" H
           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\nU:\r\n\r\n",
           1, NN_OK, "POST /p [abc]");
    EXPECT("GET /a HTTP/1.1\r\n" H "X: \xc3\xa9\t \r\nEmpty:\r\n\r\n", 1, NN_OK, "GET /a []");
    EXPECT("GET /a HTTP/1.1\r\n" H
           "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n",
           2, NN_OK, "GET /b []");
    EXPECT("\r\nGET /a HTTP/1.1\r\n" H "\r\n", 1, NN_OK, "GET /a []");
}

TEST(pipelined_requests_are_read_one_by_one) {
    EXPECT("GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H
           "Content-Length: 2\r\n\r\nokGET /3 HTTP/1.1\r\n" H "\r\n",
           3, NN_OK, "GET /3 []");
    EXPECT("POST /2 HTTP/1.1\r\n" H
           "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" H "\r\n",
           2, NN_OK, "GET /3 []");
    EXPECT("POST /2 HTTP/1.1\r\n" H
           "Content-Length: 33\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n",
           1, NN_OK, "POST /2 [GET /smuggled HTTP/1]");
}

TEST(two_readings_of_the_length_are_refused) {
    REFUSE("POST /p HTTP/1.1\r\n" H
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    REFUSE("POST /p HTTP/1.1\r\n" H
           "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\ncontent-length: 4\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Content-Length: 18446744073709551619\r\n\r\nabc");
    REFUSE("POST /p HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    REFUSE("POST /p HTTP/1.1\r\n" H
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    REFUSE("POST /p HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n");
    REFUSE("POST /p HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST(lines_and_fields) {
    REFUSE("GET /a HTTP/1.1\n" H "\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost: a\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H ": v\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X : v\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X: a\0b\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X: a\rb\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n");
    REFUSE("GET /a HTTP/1.1\r\nHost:\r\n\r\n");
    REFUSE("GET  /a HTTP/1.1\r\n" H "\r\n");
    REFUSE("GET /a  HTTP/1.1\r\n" H "\r\n");
    REFUSE("GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n");
    REFUSE("GET /a HTTP/1.1 \r\n" H "\r\n");
    REFUSE(" GET /a HTTP/1.1\r\n" H "\r\n");
    REFUSE("\r\n\r\nGET /a HTTP/1.1\r\n" H "\r\n");
    REFUSE("GET /a\r\n\r\n");
    EXPECT("GET /a HTTP/2.0\r\n" H "\r\n", 0, NN_E_VERSION_NOT_SUPPORTED, NULL);
    EXPECT("BREW /a HTTP/1.1\r\n" H "\r\n", 0, NN_E_NOT_IMPLEMENTED, NULL);
    EXPECT("CONNECT a:1 HTTP/1.1\r\n" H "\r\n", 0, NN_E_NOT_IMPLEMENTED, NULL);
}

#define CHUNKED "POST /p HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
TEST(chunks_and_trailers) {
    REFUSE(CHUNKED "0x3\r\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED " 3\r\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED "3\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED "3\r\nabcd\r\n0\r\n\r\n");
    REFUSE(CHUNKED "3;a\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED "-3\r\nabc\r\n0\r\n\r\n");
    REFUSE(CHUNKED "0\r\nT: v\n\r\n");
    REFUSE(CHUNKED "0\r\nT: v\r\n w\r\n\r\n");
    REFUSE(CHUNKED "0\r\nT\r\n\r\n");
    REFUSE(CHUNKED "0\r\n: v\r\n\r\n");
    REFUSE(CHUNKED "0\r\nT : v\r\n\r\n");
    REFUSE(CHUNKED "0\r\nT: \x01\r\n\r\n");
}

static char *put(char *to, const char *s) {
    size_t n = strlen(s);
    memcpy(to, s, n + 1);
    return to + n;
}

static char *repeat(const char *head, const char *unit, size_t times, const char *tail,
                    size_t *ret_n) {
    size_t n = strlen(head) + strlen(unit) * times + strlen(tail);
    char *p = malloc(n + 1), *at = p;
    assert_non_null(p);
    at = put(at, head);
    for (size_t i = 0; i < times; i++) at = put(at, unit);
    put(at, tail);
    *ret_n = n;
    return p;
}

static void expect_repeat(const char *head, const char *unit, size_t times, const char *tail,
                          int requests, nn_status refused) {
    size_t n;
    char *p = repeat(head, unit, times, tail, &n);
    expect_n(p, n, requests, refused, NULL);
    free(p);
}

TEST(limits) {
    expect_repeat("GET /", "a", 60000, " HTTP/1.1\r\nHost: a\r\n\r\n", 0, NN_E_URI_TOO_LONG);
    expect_repeat("GET /", "a", 8191, " HTTP/1.1\r\nHost: a\r\n\r\n", 1, NN_OK);
    expect_repeat("GET /", "a", 8192, " HTTP/1.1\r\nHost: a\r\n\r\n", 0, NN_E_URI_TOO_LONG);
    expect_repeat("GET / HTTP/1.1\r\nHost: a\r\nX: ", "b", 100000, "\r\n\r\n", 0,
                  NN_E_HEADERS_TOO_LARGE);
    expect_repeat("GET / HTTP/1.1\r\nHost: a\r\n", "X: b\r\n", 99, "\r\n", 1, NN_OK);
    expect_repeat("GET / HTTP/1.1\r\nHost: a\r\n", "X: b\r\n", 100, "\r\n", 0,
                  NN_E_HEADERS_TOO_LARGE);
    expect_repeat(CHUNKED "1;", "x", 20000, "\r\na\r\n0\r\n\r\n", 0, NN_E_INVALID_REQUEST);
    expect_repeat(CHUNKED, "1\r\na\r\n", 20000, "0\r\n\r\n", 1, NN_OK);
    expect_repeat(CHUNKED "0\r\nT: ", "x", 9000, "\r\n\r\n", 0, NN_E_HEADERS_TOO_LARGE);
}

TEST(body_limit_counts_declared_and_chunked_bodies) {
    nn_http_limits k = nn_http_default_limits;
    k.body = 5;
    static const struct {
        const char *bytes;
        nn_status refused;
    } rows[] = {
        {"POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabcde", NN_OK                 },
        {"POST /p HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\n",
         NN_E_PAYLOAD_TOO_LARGE                                                           }, /* before any of it came */
        {CHUNKED "5\r\nabcde\r\n0\r\n\r\n",                         NN_OK                 },
        {CHUNKED "5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n",               NN_E_PAYLOAD_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 200; step += 66) {
            outcome o = feed(rows[i].bytes, strlen(rows[i].bytes), step, &k);
            assert_int_equal(o.refused, rows[i].refused);
        }
}

TEST(fields_are_found_and_trimmed) {
    char bytes[] =
        "GET /x?q=1 HTTP/1.1\r\nHost: h:8\r\nX-One:  a b \t\r\nx-one: second\r\nConnection: keep-alive, Close\r\n\r\n";
    nn_parser ps;
    nn_parse event;
    nn_err err;
    nn_exchange *x = nn_exchange_new(0, 0);
    nn_exchange_reset(x);
    nn_parser_init(&ps, &nn_http_default_limits);
    assert_int_equal(nn_parser_feed(&ps, x, bytes, sizeof bytes - 1, &event, &err),
                     sizeof bytes - 1);
    assert_int_equal(event, NN_PARSE_HEAD);
    nn_exchange_keep(x);
    memset(bytes, '#', sizeof bytes); /* nothing may point there any more */
    CHECK(nn_text_is(nn_http_get(&x->q, "x-ONE"), "a b"));
    CHECK(nn_text_is(x->q.host, "h:8"));
    CHECK(nn_text_is(x->q.target, "/x?q=1"));
    CHECK(!x->q.keep_alive);
    CHECK(nn_http_get(&x->q, "absent").p == NULL);
    nn_exchange_free(x);
}
