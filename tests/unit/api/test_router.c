/* SPDX-License-Identifier: MIT */
/* The router over rows of our own, and the rules that rows must keep. */
#include "api/call.h"
#include "api/openapi.h"
#include "net/exchange.h"
#include "net/url.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static nn_status nothing(nn_request *q, nn_err *err) {
    (void)err;
    return nn_reply_empty(q, 204);
}

static const nn_schema any = {.name = "Any", .help = "anything"};

#define ROW(m, p)                                                                                  \
    { NN_HTTP_##m, p, nothing, .summary = "a row", .response = &any }
static const nn_route rows[] = {
    ROW(GET, "/"),          ROW(GET, "/jobs"),         ROW(POST, "/jobs/train"),
    ROW(GET, "/jobs/{id}"), ROW(DELETE, "/jobs/{id}"), ROW(GET, "/jobs/{id}/logs"),
    ROW(GET, "/a/b/c"),     ROW(GET, "/a/{x}/d"),      {0},
};

/* The path of the row that answers, or "405 bits" or "404". */
static const char *find(const nn_router *r, nn_http_method m, const char *target) {
    static char out[64];
    nn_err err;
    unsigned allow;
    nn_exchange *x = nn_exchange_new(0, 0);
    nn_exchange_reset(x);
    x->q.target = (nn_text){target, strlen(target)};
    CHECK_OK(nn_url_split(&x->q, &err), &err);
    const nn_entry *e = nn_router_find(r, &x->q, m, &allow);
    if (e)
        snprintf(out, sizeof out, "%s", e->route->path);
    else if (allow)
        snprintf(out, sizeof out, "405 %x", allow);
    else
        snprintf(out, sizeof out, "404");
    nn_exchange_free(x);
    return out;
}

TEST(paths_find_their_rows) {
    const nn_route *tables[] = {rows};
    nn_router *r;
    nn_err err;
    CHECK_OK(nn_router_build(tables, 1, &r, &err), &err);
    static const struct {
        nn_http_method m;
        const char *target, *row;
    } cases[] = {
        {NN_HTTP_GET,    "/",                 "/"              },
        {NN_HTTP_GET,    "/jobs",             "/jobs"          },
        {NN_HTTP_GET,    "/jobs/",            "/jobs"          },
        {NN_HTTP_GET,    "/jobs/7",           "/jobs/{id}"     },
        {NN_HTTP_DELETE, "/jobs/7/",          "/jobs/{id}"     },
        {NN_HTTP_POST,   "/jobs/train",       "/jobs/train"    },
        {NN_HTTP_GET,    "/jobs/7/logs?x=/y", "/jobs/{id}/logs"},
        {NN_HTTP_GET,    "/jobs/train/logs",
         "/jobs/{id}/logs"                                     }, /* a literal that leads nowhere gives way */
        {NN_HTTP_GET,    "/a/b/c",            "/a/b/c"         },
        {NN_HTTP_GET,    "/a/b/d",            "/a/{x}/d"       },
        {NN_HTTP_GET,    "/jobs%2F7",         "404"            },
        {NN_HTTP_GET,    "/job",              "404"            },
        {NN_HTTP_GET,    "/jobsx",            "404"            },
        {NN_HTTP_GET,    "/a/b",              "404"            },
        {NN_HTTP_PUT,    "/jobs/7",           "405 63"         }, /* GET HEAD DELETE OPTIONS */
        {NN_HTTP_GET,    "/jobs/train",       "405 44"         },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(find(r, cases[i].m, cases[i].target), cases[i].row);
    nn_router_free(r);
}

static void expect_bad(const nn_route *table, const char *word) {
    nn_router *r = NULL;
    nn_err err = {0};
    assert_int_equal(nn_router_build(&table, 1, &r, &err), NN_E_INTERNAL);
    if (!strstr(err.msg, word)) fail_msg("\"%s\" does not say %s", err.msg, word);
    assert_null(r);
}

TEST(bad_rows_do_not_start) {
    expect_bad(
        (const nn_route[]){
            {NN_HTTP_GET, "/a", nothing, .summary = "s"},
            {0   }
    },
        "schema");
    expect_bad(
        (const nn_route[]){
            {NN_HTTP_GET, "/a", nothing, .response = &any},
            {0   }
    },
        "summary");
    expect_bad(
        (const nn_route[]){
            {NN_HTTP_GET, "/a", NULL, .summary = "s", .response = &any},
            {0      }
    },
        "handler");
    expect_bad((const nn_route[]){ROW(GET, "a"), {0}}, "begin");
    expect_bad((const nn_route[]){ROW(GET, "/a/"), ROW(GET, "/a//b"), {0}}, "empty");
    expect_bad((const nn_route[]){ROW(GET, "/a/{b"), {0}}, "parameter");
    expect_bad((const nn_route[]){ROW(GET, "/a/{x}"), ROW(GET, "/a/{y}"), {0}}, "twice");
}

TEST(the_product_rows_are_good) {
    nn_router *r;
    nn_err err;
    NN_BUF out = {0};
    CHECK_OK(nn_router_new(&r, &err), &err);
    CHECK_OK(nn_openapi_print(r, "Neural", &out, &err), &err);
    NN_JSON *doc = NULL;
    CHECK_OK(nn_json_parse(out.p, out.n, &doc, &err), &err);
    CHECK(nn_json_get(nn_json_get(nn_json_get(doc, "paths"), "/health"), "get"));
    nn_router_free(r);
}
