/* SPDX-License-Identifier: MIT */
/* report.h - what a child tells its supervisor: one JSON object a line on a pipe.
 *
 *     {"type":"progress","progress":{…}}   {"type":"metric","name","step","value","ts_ms"}
 * {"type":"log","text"}
 *     {"type":"warning","text"}            {"type":"artifact","file","name","kind"}
 * {"type":"resumed","epoch"}
 *     {"type":"result","result":{…}}       {"type":"error","code","message","details":{…}}
 *
 * A value that is not finite is the text "NaN", "Infinity" or "-Infinity". The writer is for one
 * thread at a time. */
#ifndef NN_JOBS_REPORT_H
#define NN_JOBS_REPORT_H
#include "jobs/kinds.h"

/* Writing: the child's side. A pipe that nobody reads any more ends the process (SIGPIPE). */
nn_reporter nn_report_writer(int *fd);
void nn_report_result(int fd, const nn_json *result);
void nn_report_error(int fd, const nn_err *e, const nn_json *details);

/* Reading: bytes as they come, in any pieces. */
enum { NN_REPORT_LINE_MAX = 1 << 20 };
typedef enum nn_report_type {
    NN_REPORT_PROGRESS,
    NN_REPORT_METRIC,
    NN_REPORT_LOG,
    NN_REPORT_WARNING,
    NN_REPORT_ARTIFACT,
    NN_REPORT_RESUMED,
    NN_REPORT_RESULT,
    NN_REPORT_ERROR,
    NN_REPORT_COUNT
} nn_report_type;
typedef struct nn_report_reader {
    nn_buf line;
    bool skipping; /* the rest of a line that is too long */
    uint64_t bad;  /* lines that are too long, no JSON, or of no known type */
    void (*on_line)(void *ctx, nn_report_type type, const nn_json *line);
    void *ctx;
} nn_report_reader;
void nn_report_feed(nn_report_reader *r, const char *p, size_t n);
void nn_report_end(nn_report_reader *r); /* a last line without its end counts as bad */
/* The number of a metric line; NAN also for what is none. */
double nn_report_number(const nn_json *v);
#endif
