/* SPDX-License-Identifier: MIT */
#include "base/json_reader.h"
#include "json_oracle.h"
#include "t.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
    /* good */
    "0",
    "-0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "0.5",
    "-0.0",
    "1e0",
    "1E+2",
    "1e-2",
    "12.5e3",
    "9007199254740993.0",
    "9007199254740992.5",
    "0.1",
    "2.5e-324",
    "4.9e-324",
    "2.2250738585072011e-308",
    "1.7976931348623157e308",
    "1.7976931348623158e+308",
    "1e22",
    "1e23",
    "123456789012345678901234567890.0",
    "0e999999999999999999999",
    "1e-99999999999",
    "8.5e-22",
    "3.14159265358979323846264338327950288",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\\u00e9\\ud83d\\ude00\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    " [ 1 , 2 ] ",
    "\t\r\n[1\n,\t2\r]",
    "{\"a\":1,\"b\":[2,{\"c\":null}]}",
    "{\"\":0}",
    "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}",
    "{\"\\u0061\":1,\"b\":2}",
    "{\"inputs\":[[0,128,255],[1.5,-2,3e-1]],\"top_k\":3}",
    /* bad */
    "",
    " ",
    "{",
    "[",
    "[1,]",
    "[,1]",
    "{\"a\":1,}",
    "{,}",
    "[1 2]",
    "[1:2]",
    "nul",
    "nulll",
    "truefalse",
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    "1.e3",
    ".5",
    "1e",
    "1e+",
    "1e+-1",
    "0x10",
    "1_000",
    "'a'",
    "\"a",
    "\"\\x\"",
    "\"\t\"",
    "\"\x1f\"",
    "\"\x20\"",
    "// c\n1",
    "1 2",
    "{}x",
    "[]]",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"\\u0061\":2}",
    "{\"x\":{\"k\":1,\"j\":2,\"k\":3}}",
    "[{\"b\":1},{\"b\":1,\"b\":1}]",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\ud800\"",
    "\"\\ud83d\\u0041\"",
    "\"\\u12g4\"",
    "\"\\u123\"",
    "\"\\",
    "\"\\\"",
    "\"\\u",
    "\"\xff\"",
    "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82\"",
    "\xef\xbb\xbf{}",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999",
    "1e309",
    "-1e309",
    "1e999999999999",
    "{1:2}",
    "{a:2}",
    "[}",
    "{]",
    "]",
    "}",
    ",",
    ":",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\",1}",
    "{\"a\" 1}",
    "[\"\\",
    "{\"inputs\":[[0,128,255],[1.5,-2",
    "\xff",
    "\x01",
    "[1]\x01",
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

static uint64_t dice = 88172645463325252;

/* xorshift64 (Marsaglia 2003) */
static uint64_t any(uint64_t below) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

static void check_agrees(const char *p, size_t n) {
    /* a copy of its exact size, so that the sanitizer sees a byte read too many */
    char *copy = malloc(n + !n);
    CHECK(copy != NULL);
    if (n) memcpy(copy, p, n);
    if (!oracle_agrees(copy, n)) fail_msg("differs: %.*s", (int)n, p);
    free(copy);
}

TEST(json_reader_agrees_with_jansson) {
    for (int i = 0; i < N_TEXTS; i++) check_agrees(texts[i], strlen(texts[i]));
    check_agrees("\"a\0b\"", 5);
    check_agrees("1\0", 2);
    check_agrees("\0", 1);
}

TEST(json_reader_agrees_after_mutations) {
    static const char bytes[] = "{}[],:\"\\0123456789.eE+-u dabtrn\x80\xc3\xed\xff\t";
    char text[160];
    for (int k = 0; k < 60000; k++) {
        const char *from = texts[any(N_TEXTS)];
        size_t n = strlen(from);
        memcpy(text, from, n);
        for (uint64_t edits = 1 + any(3); edits; edits--) {
            size_t at = any(n + 1);
            char c = bytes[any(sizeof bytes)]; /* a NUL too */
            uint64_t how = any(4);
            if (how == 0 && n) n = at; /* cut */
            if (how == 1 && at < n) text[at] = c;
            if (how == 2) {
                memmove(text + at + 1, text + at, n - at);
                text[at] = c;
                n++;
            }
            if (how == 3 && at < n) memmove(text + at, text + at + 1, --n - at);
        }
        check_agrees(text, n);
    }
}

/* The same double as the C library reads from the text. */
static void check_number(const char *text, size_t n) {
    double want = strtod(text, NULL);
    nn_jr_token t;
    NN_JR r;
    nn_jr_init(&r, text, n);
    nn_status s = nn_jr_next(&r, &t, NULL);
    if (isinf(want))
        assert_int_equal(s, NN_E_INVALID_REQUEST);
    else if (s || t.type != NN_JR_REAL || memcmp(&t.number, &want, sizeof want) != 0)
        fail_msg("%s: %a, expected %a", text, t.number, want);
}

/* Random decimals of all lengths and sizes. */
TEST(json_reader_numbers_are_exact) {
    char text[3000];
    for (int k = 0; k < 50000; k++) {
        bool longer = k % 50 == 0;
        uint64_t whole = 1 + any(longer ? 1200 : 20), part = any(longer ? 900 : 20);
        int range = k & 1 ? 25 : 320, shift = longer ? (int)whole : 0;
        size_t n = 0;
        if (any(2)) text[n++] = '-';
        for (uint64_t i = 0; i < whole; i++)
            text[n++] = (char)('0' + (i || whole == 1 ? any(10) : 1 + any(9)));
        text[n++] = '.';
        for (uint64_t i = 0; i <= part; i++) text[n++] = (char)('0' + (any(3) ? any(10) : 0));
        n += (size_t)snprintf(text + n, 8, "e%d", (int)any((uint64_t)(2 * range)) - range - shift);
        check_number(text, n);
    }
}

/* What programs print in full: 17 to 19 digits, small exponents. */
TEST(json_reader_numbers_in_full_are_exact) {
    char text[64];
    for (int k = 0; k < 100000; k++) {
        uint64_t digits = UINT64_C(1000000000000000000) + any(UINT64_C(9000000000000000000));
        for (uint64_t cut = any(3); cut; cut--) digits /= 10;
        int n = k & 1 ? snprintf(text, sizeof text, "0.00%llu", (unsigned long long)digits)
                      : snprintf(text, sizeof text, "%llue%d", (unsigned long long)digits,
                                 (int)any(60) - 30);
        check_number(text, (size_t)n);
    }
}

/* Halfway between two doubles, decided by a digit far behind: 2^53 + 1 and a half way up. */
TEST(json_reader_decides_ties_by_the_last_digit) {
    char text[3000];
    int n = snprintf(text, sizeof text, "9007199254740993.");
    memset(text + n, '0', 2000);
    nn_jr r;
    nn_jr_token t;
    for (int more = 0; more < 2; more++) {
        text[n + 1999] = more ? '1' : '0';
        nn_jr_init(&r, text, (size_t)n + 2000);
        CHECK_OK(nn_jr_next(&r, &t, NULL), (&(nn_err){0}));
        CHECK(t.number == (more ? 9007199254740994.0 : 9007199254740992.0));
        nn_jr_done(&r);
    }
}

TEST(json_reader_ignores_the_locale) {
    /* any locale with a comma; where none is installed the "C" locale makes this a plain check */
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) setlocale(LC_NUMERIC, "fr_FR.UTF-8");
    NN_JR r;
    nn_jr_token t;
    nn_jr_init(&r, "1.234567890123456789012e-30", 27);
    CHECK_OK(nn_jr_next(&r, &t, NULL), (&(nn_err){0}));
    CHECK(t.number == 1.234567890123456789012e-30);
    setlocale(LC_NUMERIC, "C");
}

static void check_place(const char *text, int line, int col, const char *words) {
    nn_err err = {0};
    assert_null(oracle_read(text, strlen(text), &err));
    assert_int_equal(err.line, line);
    assert_int_equal(err.col, col);
    if (!strstr(err.msg, words)) fail_msg("%s: \"%s\" lacks \"%s\"", text, err.msg, words);
}

TEST(json_reader_names_the_place) {
    check_place("", 1, 1, "the text is empty");
    check_place("{\n  \"a\": 1,\n  \"b\": nope\n}", 3, 8, "true, false or null");
    check_place("[1,\n2,\n\n 03]", 4, 2, "begins with 0");
    check_place("[1 2]", 1, 4, "expected ',' or ']', found '2'");
    check_place("{\"a\":1 ]", 1, 8, "expected ',' or '}', found ']'");
    check_place("[1", 1, 3, "found the end of the text");
    check_place("{\"k\":1,\n\"l\":2,\"k\":3}", 2, 7, "the key \"k\" is there twice");
    check_place("[1]\n\n x", 3, 2, "nothing behind the value");
    check_place("\"\xff\"", 1, 2, "not UTF-8");
    check_place("[NaN]", 1, 2, "expected a value, found 'N'");
    check_place("[-Infinity]", 1, 3, "no digit");
}

TEST(json_reader_depth_is_64) {
    char text[132];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        check_agrees(text, (size_t)depth * 2);
        nn_err err = {0};
        NN_JSON *v = oracle_read(text, (size_t)depth * 2, &err);
        CHECK((v != NULL) == (depth == 64));
        if (!v) assert_int_equal(err.col, 65);
    }
}

TEST(json_reader_refuses_100000_brackets) {
    size_t n = 100000;
    char *text = malloc(5 * n);
    CHECK(text != NULL);
    memset(text, '[', n);
    CHECK(!oracle_skips(text, n));
    memset(text, '{', n);
    CHECK(!oracle_skips(text, n));
    for (size_t i = 0; i < n; i++) memcpy(text + 5 * i, "{\"a\":", 5);
    CHECK(!oracle_skips(text, 5 * n));
    free(text);
}

TEST(json_reader_finds_one_key_twice_among_100000) {
    NN_BUF b = {0};
    nn_buf_putc(&b, '{');
    for (int i = 0; i < 100000; i++) nn_buf_printf(&b, "\"key%d\":%d,", i * 7919 % 100003, i);
    size_t n = b.n;
    nn_buf_puts(&b, "\"other\":0}");
    CHECK(oracle_skips(b.p, b.n));
    b.n = n;
    nn_buf_puts(&b, "\"key7919\":0}"); /* is the second one */
    CHECK(!oracle_skips(b.p, b.n));
}

TEST(json_reader_skips_and_leaves) {
    static const char text[] = "{\"a\":[1,[2,{\"x\":3}]],\"b\":{\"y\":[]},\"c\":5}";
    NN_JR r;
    nn_jr_token t;
    nn_err err = {0};
    nn_jr_init(&r, text, sizeof text - 1);
    CHECK_OK(nn_jr_next(&r, &t, &err), &err);
    for (const char *k = "abc"; *k; k++) {
        CHECK_OK(nn_jr_next(&r, &t, &err), &err);
        CHECK(t.type == NN_JR_KEY && t.n == 1 && t.text[0] == *k);
        CHECK(nn_jr_is(&t, (char[]){*k, 0}) && !nn_jr_is(&t, "ab"));
        CHECK_OK(nn_jr_next(&r, &t, &err), &err);
        if (*k == 'b') /* from inside */
            for (int i = 0; i < 2; i++) CHECK_OK(nn_jr_next(&r, &t, &err), &err);
        CHECK_OK(*k == 'b' ? nn_jr_leave(&r, 1, &err) : nn_jr_skip(&r, &t, &err), &err);
    }
    CHECK(t.type == NN_JR_INT && t.integer == 5);
    CHECK_OK(nn_jr_next(&r, &t, &err), &err);
    CHECK(t.type == NN_JR_END_OBJECT);
    for (int i = 0; i < 2; i++) { /* the end stays the end */
        CHECK_OK(nn_jr_next(&r, &t, &err), &err);
        CHECK(t.type == NN_JR_END);
    }
}
