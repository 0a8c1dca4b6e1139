/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "t.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_json *parsed(const char *text) {
    nn_json *v = NULL;
    nn_err err = {0};
    CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    return v;
}

static void check_refused(const char *text, size_t n) {
    nn_json *v = (nn_json *)(uintptr_t)&v;
    nn_err err = {0};
    if (nn_json_parse(text, n, &v, &err) != NN_E_INVALID_REQUEST)
        fail_msg("accepted: %.*s", (int)n, text);
    assert_ptr_equal(v, (void *)&v); /* untouched */
    CHECK(err.msg[0] && err.line > 0 && err.col > 0);
}

static void check_dump(const char *text, int indent, const char *expected) {
    NN_JSON *v = parsed(text);
    NN_BUF b = {0};
    nn_json_dump(v, indent, &b);
    assert_string_equal(nn_buf_str(&b), expected);
}

/* RFC 8259, and what json.h refuses beyond it */
TEST(json_refuses_what_is_not_strict_json) {
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "[1 2]",
                                      "nul",
                                      "NaN",
                                      "Infinity",
                                      "-",
                                      "01",
                                      "1.",
                                      ".5",
                                      "+1",
                                      "0x10",
                                      "'a'",
                                      "\"a",
                                      "\"\\x\"",
                                      "\"\t\"",
                                      "// c\n1",
                                      "1 2",
                                      "{}x",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\\u0000\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800x\"",
                                      "\"\\u12g4\"",
                                      "\"\xff\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\xef\xbb\xbf{}",
                                      "9223372036854775808",
                                      "1e999",
                                      "{1:2}",
                                      "[}",
                                      "]",
                                      "{\"a\"}",
                                      "\"\\",
                                      "[\"\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i], strlen(bad[i]));
    check_refused("\"a\0b\"", 5);
    check_refused("1\0", 2);
    check_refused(NULL, 0);
}

TEST(json_names_the_place_of_an_error) {
    nn_json *v;
    nn_err err = {0};
    const char *text = "{\n  \"a\": 1,\n  \"b\": nope\n}";
    assert_int_equal(nn_json_parse(text, strlen(text), &v, &err), NN_E_INVALID_REQUEST);
    assert_int_equal(err.line, 3);
    CHECK(err.col >= 8 && err.col <= 11); /* on the word */
    CHECK(strstr(err.msg, "nope"));
}

TEST(json_depth_is_64) {
    char text[200];
    for (int depth = 63; depth <= 66; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        nn_json *v = NULL;
        nn_err err = {0};
        nn_status s = nn_json_parse(text, (size_t)depth * 2, &v, &err);
        assert_int_equal(s, depth <= 64 ? NN_OK : NN_E_INVALID_REQUEST);
        if (s) assert_int_equal(err.col, 65);
        nn_json_unref(v);
    }
    /* brackets in strings do not nest, escaped quotes do not end them */
    memset(text, '[', 100);
    memcpy(text, "[\"\\\"", 4);
    memcpy(text + 100, "\"]", 2);
    nn_json *v = NULL;
    nn_err err = {0};
    CHECK_OK(nn_json_parse(text, 102, &v, &err), &err);
    nn_json_unref(v);
}

TEST(json_refuses_100000_braces) {
    size_t n = 100000;
    char *text = malloc(5 * n);
    memset(text, '{', n);
    check_refused(text, n);
    for (size_t i = 0; i < n; i++) memcpy(text + 5 * i, "{\"a\":", 5);
    check_refused(text, 5 * n);
    memset(text, '[', 5 * n);
    check_refused(text, 5 * n);
    free(text);
}

TEST(json_reads_each_type) {
    NN_JSON *v = parsed(
        " {\"i\":-9223372036854775808, \"r\":2.5, \"s\":\"\\u00e9\\ud83d\\ude00\", \"t\":true,"
        "\"n\":null, \"a\":[1,[],{}]} ");
    assert_int_equal(nn_json_typeof(v), NN_JSON_OBJECT);
    assert_int_equal(nn_json_size(v), 6);
    CHECK(nn_json_int(nn_json_get(v, "i"), 0) == INT64_MIN);
    CHECK(nn_json_num(nn_json_get(v, "r"), 0) == 2.5);
    CHECK(nn_json_num(nn_json_at(nn_json_get(v, "a"), 0), 0) == 1);
    assert_string_equal(nn_json_str(nn_json_get(v, "s"), ""), "\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(nn_json_bool(nn_json_get(v, "t"), false));
    assert_int_equal(nn_json_typeof(nn_json_get(v, "n")), NN_JSON_NULL);
    assert_int_equal(nn_json_size(nn_json_get(v, "a")), 3);
    /* absent and of another type: the caller's value */
    assert_null(nn_json_get(v, "x"));
    assert_null(nn_json_get(nn_json_get(v, "i"), "x"));
    assert_null(nn_json_at(nn_json_get(v, "a"), 3));
    assert_int_equal(nn_json_int(nn_json_get(v, "r"), 7), 7);
    assert_string_equal(nn_json_str(NULL, "d"), "d");
    CHECK(nn_json_bool(nn_json_get(v, "i"), true));
    assert_int_equal(nn_json_size(NULL), 0);
}

TEST(json_dumps_in_order_of_insertion) {
    check_dump("{\"z\":[1,2.0,-0.5],\"a\":{\"k\":null},\"e\":[],\"o\":{}}", 0,
               "{\"z\":[1,2.0,-0.5],\"a\":{\"k\":null},\"e\":[],\"o\":{}}");
    check_dump("{\"z\":[1,true],\"e\":{}}", 2,
               "{\n  \"z\": [\n    1,\n    true\n  ],\n  \"e\": {}\n}");
    check_dump("\"\\u0001\\u001f\\b\\t\\n\\f\\r\\\"\\\\\\/\\u007f\\u20ac\"", 0,
               "\"\\u0001\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\\u007f\xe2\x82\xac\"");
}

static bool collect(void *ctx, const char *key, nn_json *v) {
    nn_buf_printf(ctx, "%s=%d ", key, (int)nn_json_int(v, 0));
    return strcmp(key, "stop") != 0;
}

TEST(json_each_stops_when_told) {
    NN_JSON *v = parsed("{\"b\":1,\"a\":2,\"stop\":3,\"c\":4}");
    NN_BUF b = {0};
    nn_json_each(v, collect, &b);
    assert_string_equal(nn_buf_str(&b), "b=1 a=2 stop=3 ");
}

TEST(json_builds) {
    NN_JSON *o = nn_json_new_object();
    nn_json_set(o, "a", nn_json_new_int(1));
    nn_json_set(o, "b", nn_json_new_array());
    nn_json_push(nn_json_get(o, "b"), nn_json_new_str("x"));
    nn_json_push(nn_json_get(o, "b"), nn_json_new_num(NAN));
    nn_json_push(nn_json_get(o, "b"), nn_json_new_str(NULL));
    nn_json_push(nn_json_get(o, "b"), NULL);
    nn_json_set(o, "c", nn_json_new_strn("a\xff\0\xc3", 4));
    nn_json_set(o, "\xfe", nn_json_new_bool(true));
    nn_json_set(o, "a", nn_json_new_int(2)); /* replaces in place */
    nn_json_set(o, "gone", nn_json_new_null());
    nn_json_del(o, "gone");
    NN_JSON *copy = nn_json_copy(o);
    CHECK(nn_json_equal(o, copy));
    nn_json_push(nn_json_get(copy, "b"), nn_json_new_int(0));
    CHECK(!nn_json_equal(o, copy));
    NN_BUF b = {0};
    nn_json_dump(o, 0, &b);
    assert_string_equal(nn_buf_str(&b),
                        "{\"a\":2,\"b\":[\"x\",null,null,null],"
                        "\"c\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"\xef\xbf\xbd\":true}");
}

TEST(jw_writes_commas) {
    NN_BUF b = {0};
    NN_JSON *v = parsed("{\"k\":[1]}");
    nn_jw w = {.out = &b};
    nn_jw_obj(&w);
    nn_jw_key(&w, "a");
    nn_jw_arr(&w);
    nn_jw_int(&w, INT64_MIN);
    nn_jw_int(&w, 0);
    nn_jw_bool(&w, false);
    nn_jw_null(&w);
    nn_jw_str(&w, NULL);
    nn_jw_end_arr(&w);
    nn_jw_key(&w, "b\n");
    nn_jw_value(&w, v);
    nn_jw_key(&w, "c");
    nn_jw_raw(&w, "[{}]", 4);
    nn_jw_key(&w, "d");
    nn_jw_strn(&w, "\"\x80x\0", 4);
    nn_jw_key(&w, "e");
    nn_jw_obj(&w);
    nn_jw_end_obj(&w);
    nn_jw_end_obj(&w);
    assert_string_equal(nn_buf_str(&b),
                        "{\"a\":[-9223372036854775808,0,false,null,null],\"b\\n\":{\"k\":[1]},"
                        "\"c\":[{}],\"d\":\"\\\"\xef\xbf\xbdx\xef\xbf\xbd\",\"e\":{}}");
}

static const char *num(nn_buf *b, double v) {
    nn_buf_clear(b);
    nn_jw_num(&(nn_jw){.out = b}, v);
    return nn_buf_str(b);
}

static const char *flt(nn_buf *b, float v) {
    nn_buf_clear(b);
    nn_jw_float(&(nn_jw){.out = b}, v);
    return nn_buf_str(b);
}

/* Expected texts: repr() of Python and str() of numpy.float32, which print the shortest digits. */
TEST(jw_numbers_are_short) {
    NN_BUF b = {0};
    assert_string_equal(num(&b, 0.1), "0.1");
    assert_string_equal(num(&b, 0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(num(&b, 1.0), "1.0");
    assert_string_equal(num(&b, -0.0), "-0.0");
    assert_string_equal(num(&b, 5e-324), "5e-324");
    assert_string_equal(num(&b, 1e22), "1e+22");
    assert_string_equal(num(&b, DBL_MAX), "1.7976931348623157e+308");
    assert_string_equal(num(&b, 1.0 / 3), "0.3333333333333333");
    assert_string_equal(num(&b, INFINITY), "null");
    assert_string_equal(flt(&b, 0.1f), "0.1");
    assert_string_equal(flt(&b, 1.0f / 3), "0.33333334");
    assert_string_equal(flt(&b, 16777216.0f), "16777216.0");
    assert_string_equal(flt(&b, FLT_MAX), "3.4028235e+38");
    assert_string_equal(flt(&b, 1e-45f), "1e-45");
    assert_string_equal(flt(&b, -NAN), "null");
}

/* Every bit pattern comes back; 200,000 of them by a multiplicative walk. */
TEST(jw_numbers_read_back_the_same) {
    NN_BUF b = {0};
    uint64_t bits = 1;
    for (int i = 0; i < 200000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double d;
        float f;
        uint32_t low = (uint32_t)(bits >> 32);
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &low, sizeof f);
        if (isfinite(d)) CHECK(strtod(num(&b, d), NULL) == d);
        if (isfinite(f)) CHECK(strtof(flt(&b, f), NULL) == f);
    }
}

TEST(jw_numbers_ignore_the_locale) {
    /* any locale with a comma; where none is installed the "C" locale makes this a plain check */
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) setlocale(LC_NUMERIC, "fr_FR.UTF-8");
    NN_BUF b = {0};
    assert_string_equal(num(&b, 1234.5), "1234.5");
    check_dump("[1.5]", 0, "[1.5]");
    setlocale(LC_NUMERIC, "C");
}
