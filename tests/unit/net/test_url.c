/* SPDX-License-Identifier: MIT */
/* Targets and query strings; RFC 3986 and the rules of url.h. */
#include "net/exchange.h"
#include "net/url.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

/* Segments joined by '|', or the code of the refusal. */
static const char *split(const char *target, char *buf, size_t cap) {
    nn_exchange *x = nn_exchange_new(0, 1 << 20);
    nn_err err;
    nn_exchange_reset(x);
    x->q.target = (nn_text){target, strlen(target)};
    nn_status s = nn_url_split(&x->q, &err);
    size_t n = (size_t)snprintf(buf, cap, "%s", s == NN_OK ? "" : nn_status_code(s));
    for (unsigned i = 0; s == NN_OK && i < x->q.segments; i++)
        n += (size_t)snprintf(buf + n, cap - n, "%s%.*s", i ? "|" : "", (int)x->q.segment[i].n,
                              x->q.segment[i].p);
    nn_exchange_free(x);
    return buf;
}

TEST(paths_become_segments) {
    static const char *const rows[][2] = {
        {"/",                                          ""                                      },
        {"/a/b",                                       "a|b"                                   },
        {"/a/b/",                                      "a|b"                                   },
        {"//a///b//",                                  "a|b"                                   },
        {"/a?x=/c",                                    "a"                                     },
        {"/a%20b/%c3%A9",                              "a b|\xc3\xa9"                          },
        {"/a%2Fb/c",                                   "a/b|c"                                 }, /* an encoded slash is data */
        {"/%2541",                                     "%41"                                   }, /* decoded once */
        {"/..",                                        "invalid_request"                       },
        {"/a/%2e%2E/b",                                "invalid_request"                       },
        {"/./a",                                       "invalid_request"                       },
        {"/a%00",                                      "invalid_request"                       },
        {"/a%0d%0a",                                   "invalid_request"                       },
        {"/%ff",                                       "invalid_request"                       },
        {"/%c0%ae",                                    "invalid_request"                       }, /* an overlong '.' */
        {"/%",                                         "invalid_request"                       },
        {"/%4",                                        "invalid_request"                       },
        {"/%4g",                                       "invalid_request"                       },
        {"a/b",                                        "invalid_request"                       },
        {"http://h/a",                                 "invalid_request"                       },
        {"*",                                          "invalid_request"                       },
        {"/a#b",                                       "invalid_request"                       },
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16",    "1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16"},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "invalid_request"                       },
    };
    char buf[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(split(rows[i][0], buf, sizeof buf), rows[i][1]);
}

static const char *walk(const char *query, char *buf, size_t cap) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "test", 1 << 20);
    nn_text rest = {query, strlen(query)};
    nn_url_pair pair;
    nn_err err;
    size_t n = 0;
    buf[0] = 0;
    for (bool found = true;;) {
        nn_status s = nn_url_next(&rest, a, &pair, &found, &err);
        if (s != NN_OK) return nn_status_code(s);
        if (!found) return buf;
        n += (size_t)snprintf(buf + n, cap - n, "<%s><%s>", pair.name, pair.value);
    }
}

TEST(queries_become_pairs) {
    static const char *const rows[][2] = {
        {"",                 ""                        },
        {"a=1&b=2",          "<a><1><b><2>"            },
        {"&&a=1&&b&",        "<a><1><b><>"             },
        {"a=b=c",            "<a><b=c>"                },
        {"a+b=c+d%2B",       "<a b><c d+>"             },
        {"=v",               "<><v>"                   },
        {"%C3%A9=%e2%82%ac", "<\xc3\xa9><\xe2\x82\xac>"},
        {"a=%",              "invalid_request"         },
        {"a=%00",            "invalid_request"         },
        {"a=%ff",            "invalid_request"         },
    };
    char buf[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(walk(rows[i][0], buf, sizeof buf), rows[i][1]);
}

TEST(lists) {
    CHECK(nn_text_list_has(NN_TEXT("keep-alive, Close"), "close"));
    CHECK(nn_text_list_has(NN_TEXT(" , close\t,x"), "close"));
    CHECK(!nn_text_list_has(NN_TEXT("closed"), "close"));
    CHECK(!nn_text_list_has((nn_text){0}, "close"));
}

TEST(data_cannot_end_a_header) {
    nn_exchange *x = nn_exchange_new(0, 0);
    nn_exchange_reset(x);
    nn_http_header(&x->r, "Location", "/a\r\nX-Evil: 1\x7f");
    assert_string_equal(nn_buf_str(&x->r.head), "Location: /a??X-Evil: 1?\r\n");
    nn_exchange_free(x);
}
