/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "jobs/report.h"

#include <unistd.h>

typedef struct seen {
    int n[NN_REPORT_COUNT];
    double value;
} seen;

static void on_line(void *ctx, nn_report_type type, const nn_json *line) {
    seen *s = ctx;
    s->n[type]++;
    if (type == NN_REPORT_METRIC) s->value = nn_report_number(nn_json_get(line, "value"));
}

TEST(lines_in_any_pieces) {
    static const char text[] =
        "{\"type\":\"log\",\"text\":\"a\"}\n{\"type\":\"metric\",\"name\":\"x\",\"value\":2.5}\nrubbish\n\n"
        "{\"type\":\"nonsense\"}\n[1]\n{\"type\":\"log\",\"text\":\"\xff\"}\n{\"type\":\"result\",\"result\":{}}\n";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        seen s = {0};
        nn_report_reader r = {.on_line = on_line, .ctx = &s};
        for (size_t at = 0; at < sizeof text - 1; at += piece)
            nn_report_feed(&r, text + at,
                           at + piece < sizeof text - 1 ? piece : sizeof text - 1 - at);
        nn_report_end(&r);
        assert_int_equal(s.n[NN_REPORT_LOG], 1);
        assert_int_equal(s.n[NN_REPORT_METRIC], 1);
        assert_int_equal(s.n[NN_REPORT_RESULT], 1);
        assert_int_equal(r.bad, 5); /* rubbish, empty, nonsense, list, not UTF-8 */
        assert_float_equal(s.value, 2.5, 0);
    }
}

TEST(a_line_that_is_too_long_is_skipped_and_the_next_one_read) {
    seen s = {0};
    nn_report_reader r = {.on_line = on_line, .ctx = &s};
    char block[4096];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 3 * NN_REPORT_LINE_MAX / 4096; i++) {
        nn_report_feed(&r, block, sizeof block);
        CHECK(r.line.n <= NN_REPORT_LINE_MAX);
    }
    nn_report_feed(&r, "\n{\"type\":\"log\",\"text\":\"a\"}\n{\"type\":", 36);
    assert_int_equal(s.n[NN_REPORT_LOG], 1);
    nn_report_end(&r);
    assert_int_equal(r.bad, 2);
}

TEST(what_is_written_is_read) {
    int fd[2];
    char bytes[4096];
    assert_int_equal(pipe(fd), 0);
    nn_reporter w = nn_report_writer(&fd[1]);
    w.log(w.ctx, "text with \"quotes\" and a\nline");
    w.metric(w.ctx, "loss", 3, -INFINITY, 4);
    w.artifact(w.ctx, "f", "n", "model");
    nn_operation_progress p = {0.5, NULL, "batches", -1, -1, 1, 2, NAN, NAN};
    w.progress(w.ctx, &p);
    nn_err e = {.code = NN_E_NAN_LOSS};
    nn_report_error(fd[1], &e, NULL);
    ssize_t n = read(fd[0], bytes, sizeof bytes);
    seen s = {0};
    nn_report_reader r = {.on_line = on_line, .ctx = &s};
    nn_report_feed(&r, bytes, (size_t)n);
    nn_report_end(&r);
    assert_int_equal(r.bad, 0);
    for (int i = 0; i < NN_REPORT_COUNT; i++) {
        bool told = i == NN_REPORT_LOG || i == NN_REPORT_METRIC || i == NN_REPORT_ARTIFACT ||
                    i == NN_REPORT_PROGRESS || i == NN_REPORT_ERROR;
        assert_int_equal(s.n[i], told);
    }
    CHECK(isinf(s.value) && s.value < 0);
    close(fd[0]);
    close(fd[1]);
}
