/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "base/log.h"
#include "t.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs between open_log and read_log write to a file; what they wrote is read back whole. */
static int file;

static void open_log(nn_log_format format) {
    char path[] = "/tmp/nn_log_XXXXXX";
    file = mkostemp(path, O_APPEND);
    CHECK(file >= 0);
    unlink(path);
    nn_log_init(NN_LOG_INFO, format, file);
}

static void read_log(nn_buf *out) {
    char block[4096];
    for (off_t at = 0;;) {
        ssize_t n = pread(file, block, sizeof block, at);
        CHECK(n >= 0);
        if (!n) break;
        nn_buf_append(out, block, (size_t)n);
        at += n;
    }
    close(file);
    nn_log_init(NN_LOG_INFO, NN_LOG_AUTO, STDERR_FILENO);
}

TEST(log_text_line) {
    NN_BUF b = {0};
    open_log(NN_LOG_TEXT);
    nn_log(NN_LOG_DEBUG, "not shown");
    nn_log_request_set("r-1");
    nn_log(NN_LOG_WARNING, "it is odd", nn_kv_str("a", "word"), nn_kv_str("b", "two words"),
           nn_kv_int("c", -3), nn_kv_num("d", 0.5), nn_kv_bool("e", true), nn_kv_str("f", NULL),
           nn_kv_str("g", ""));
    nn_log_request_set(NULL);
    nn_log(NN_LOG_INFO, "bare");
    read_log(&b);
    CHECK(strlen(nn_buf_str(&b)) > 33);
    char *second = strchr(b.p, '\n') + 1;
    CHECK(
        strncmp(
            b.p + 32,
            " WARNING it is odd a=word b=\"two words\" c=-3 d=0.5 e=true f=- g=\"\" request_id=r-1\n",
            80) == 0);
    assert_string_equal(second + 32, " INFO    bare\n");
}

TEST(log_json_line) {
    NN_BUF b = {0};
    nn_err err = {0};
    assert_int_equal(nn_fail(&err, NN_E_NOT_FOUND, "no %s", "such"), NN_E_NOT_FOUND);
    nn_err_hint(&err, err.code, "look again");
    open_log(NN_LOG_AUTO); /* a file is no terminal */
    nn_log(NN_LOG_ERROR, "failed \"here\"", nn_kv_err(&err), nn_kv_num("inf", 1e308 * 10));
    read_log(&b);
    NN_JSON *v = NULL;
    nn_err e = {0};
    CHECK_OK(nn_json_parse(b.p, b.n, &v, &e), &e);
    static const char *const want[][2] = {
        {"level", "ERROR"          },
        {"msg",   "failed \"here\""},
        {"code",  "not_found"      },
        {"error", "no such"        },
        {"hint",  "look again"     }
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_string_equal(nn_json_str(nn_json_get(v, want[i][0]), "?"), want[i][1]);
    CHECK(strstr(nn_json_str(nn_json_get(v, "where"), ""), "test_log.c:"));
    assert_int_equal(nn_json_typeof(nn_json_get(v, "inf")), NN_JSON_NULL);
    assert_int_equal(strlen(nn_json_str(nn_json_get(v, "ts"), "")), 32);
}

/* No text can end a line, start another, or reach a terminal as a control sequence. */
TEST(log_cannot_be_injected) {
    const char *evil = "x\n2026 ERROR forged\r\x1b[2J\x9b"
                       "31m\xc2\x9b"
                       "31m\xe2\x80\xa8z\x7f\b";
    for (int format = NN_LOG_TEXT; format <= NN_LOG_JSON; format++) {
        NN_BUF b = {0};
        open_log((nn_log_format)format);
        nn_log_request_set(evil);
        nn_log(NN_LOG_INFO, evil, nn_kv_str("k", evil));
        nn_log_request_set(NULL);
        read_log(&b);
        for (size_t i = 0; i < b.n; i++) {
            unsigned char c = (unsigned char)b.p[i];
            CHECK((c >= ' ' && c != 0x7f) || (c == '\n' && i + 1 == b.n));
        }
        CHECK(!strstr(b.p, "\xc2\x9b") && !strstr(b.p, "\xe2\x80\xa8"));
    }
}

TEST(log_cuts_long_texts_at_characters) {
    NN_BUF b = {0};
    char *text = malloc(100001);
    for (int i = 0; i < 100000; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    memmove(text + 1, text, 99999);
    text[0] = 'x';
    text[100000] = 0;
    open_log(NN_LOG_JSON);
    nn_log(NN_LOG_INFO, text, nn_kv_str("k", text));
    free(text);
    read_log(&b);
    NN_JSON *v = NULL;
    nn_err e = {0};
    CHECK_OK(nn_json_parse(b.p, b.n, &v, &e), &e);
    assert_int_equal(strlen(nn_json_str(nn_json_get(v, "k"), "")),
                     999); /* 1 + 499 characters of two bytes */
    CHECK(!strstr(b.p, "\xef\xbf\xbd"));
}

static void *chatter(void *arg) {
    nn_log_request_set(arg);
    for (int i = 0; i < 500; i++)
        nn_log(NN_LOG_INFO, "line", nn_kv_str("who", arg), nn_kv_int("i", i));
    return NULL;
}

TEST(log_lines_of_threads_do_not_mix) {
    NN_BUF b = {0};
    pthread_t t[4];
    static char names[4][2] = {"a", "b", "c", "d"};
    open_log(NN_LOG_JSON);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, chatter, names[i]);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    read_log(&b);
    int lines = 0;
    for (char *p = b.p, *end; (end = strchr(p, '\n')); p = end + 1, lines++) {
        NN_JSON *v = NULL;
        nn_err e = {0};
        CHECK_OK(nn_json_parse(p, (size_t)(end - p), &v, &e), &e);
        assert_string_equal(nn_json_str(nn_json_get(v, "who"), "1"),
                            nn_json_str(nn_json_get(v, "request_id"), "2"));
    }
    assert_int_equal(lines, 2000);
}

TEST(log_words_parse) {
    nn_log_level l = NN_LOG_DEBUG;
    nn_log_format f = NN_LOG_AUTO;
    CHECK(nn_log_level_parse("warn", &l) && l == NN_LOG_WARNING);
    CHECK(nn_log_level_parse("Error", &l) && l == NN_LOG_ERROR);
    CHECK(!nn_log_level_parse("loud", &l) && l == NN_LOG_ERROR);
    CHECK(nn_log_format_parse("JSON", &f) && f == NN_LOG_JSON && !nn_log_format_parse("", &f));
}
