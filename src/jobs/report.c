/* SPDX-License-Identifier: MIT */
#include "jobs/report.h"

#include "base/file.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char *const types[NN_REPORT_COUNT] = {"progress", "metric",  "log",    "warning",
                                                   "artifact", "resumed", "result", "error"};

/* Writing. One write(2) a line, so that lines of threads do not mix up to PIPE_BUF. A pipe that
 * cannot be written to has no reader: the server is gone, and so is the reason to go on. */

static void send(int fd, nn_report_type type, nn_json *line) {
    NN_JSON *owned = line;
    NN_BUF text = {0};
    nn_json_set(line, "type", nn_json_new_str(types[type]));
    nn_json_dump(owned, 0, &text);
    nn_buf_putc(&text, '\n');
    if (nn_buf_failed(&text) || nn_write_all(fd, text.p, text.n) != 0) raise(SIGKILL);
}

static nn_json *number(double v) {
    return isfinite(v) ? nn_json_new_num(v)
                       : nn_json_new_str(isnan(v) ? "NaN"
                                         : v > 0  ? "Infinity"
                                                  : "-Infinity");
}

double nn_report_number(const nn_json *v) {
    const char *s = nn_json_str(v, NULL);
    if (!s) return nn_json_num(v, NAN);
    return !strcmp(s, "Infinity") ? INFINITY : !strcmp(s, "-Infinity") ? -INFINITY : NAN;
}

static void write_progress(void *ctx, const nn_operation_progress *p) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "progress", nn_operation_progress_json(p));
    send(*(int *)ctx, NN_REPORT_PROGRESS, line);
}

static void write_metric(void *ctx, const char *name, int64_t step, double value, int64_t ts_ms) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "name", nn_json_new_str(name));
    nn_json_set(line, "step", nn_json_new_int(step));
    nn_json_set(line, "value", number(value));
    nn_json_set(line, "ts_ms", nn_json_new_int(ts_ms));
    send(*(int *)ctx, NN_REPORT_METRIC, line);
}

static void write_text(int fd, nn_report_type type, const char *text) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "text", nn_json_new_str(text));
    send(fd, type, line);
}

static void write_log(void *ctx, const char *text) {
    write_text(*(int *)ctx, NN_REPORT_LOG, text);
}

static void write_warning(void *ctx, const char *text) {
    write_text(*(int *)ctx, NN_REPORT_WARNING, text);
}

static void write_artifact(void *ctx, const char *file, const char *name, const char *kind) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "file", nn_json_new_str(file));
    nn_json_set(line, "name", nn_json_new_str(name));
    nn_json_set(line, "kind", nn_json_new_str(kind));
    send(*(int *)ctx, NN_REPORT_ARTIFACT, line);
}

static void write_resumed(void *ctx, int64_t epoch) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "epoch", nn_json_new_int(epoch));
    send(*(int *)ctx, NN_REPORT_RESUMED, line);
}

nn_reporter nn_report_writer(int *fd) {
    return (nn_reporter){
        fd, write_progress, write_metric, write_log, write_warning, write_artifact, write_resumed};
}

void nn_report_result(int fd, const nn_json *result) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "result", nn_json_copy(result));
    send(fd, NN_REPORT_RESULT, line);
}

void nn_report_error(int fd, const nn_err *e, const nn_json *details) {
    nn_json *line = nn_json_new_object();
    nn_json_set(line, "code", nn_json_new_str(nn_status_code(e->code)));
    nn_json_set(line, "message", nn_json_new_str(e->msg));
    nn_json_set(line, "details", details ? nn_json_copy(details) : nn_json_new_object());
    send(fd, NN_REPORT_ERROR, line);
}

/* Reading. */

static void take_line(nn_report_reader *r) {
    NN_JSON *v = NULL;
    int type = -1;
    if (nn_json_parse(nn_buf_str(&r->line), r->line.n, &v, NULL) == NN_OK) {
        const char *name = nn_json_str(nn_json_get(v, "type"), "");
        for (int i = 0; i < NN_REPORT_COUNT; i++)
            if (!strcmp(types[i], name)) type = i;
    }
    if (type < 0)
        r->bad++;
    else
        r->on_line(r->ctx, (nn_report_type)type, v);
    nn_buf_clear(&r->line);
}

void nn_report_feed(nn_report_reader *r, const char *p, size_t n) {
    while (n) {
        const char *end = memchr(p, '\n', n);
        size_t part = end ? (size_t)(end - p) : n;
        if (!r->skipping && r->line.n + part > NN_REPORT_LINE_MAX) {
            r->skipping = true;
            r->bad++;
            nn_buf_clear(&r->line);
        }
        if (!r->skipping) nn_buf_append(&r->line, p, part);
        if (end && !r->skipping) take_line(r);
        if (end) r->skipping = false;
        part += end != NULL;
        p += part;
        n -= part;
    }
}

void nn_report_end(nn_report_reader *r) {
    if (r->line.n) r->bad++;
    nn_buf_done(&r->line);
}
