/* SPDX-License-Identifier: MIT */
/* What a child reports is believed as far as it goes: sizes are bounded, names stay inside the
 * folder, and only what arrived before the end counts. Points wait here until a transaction has
 * them; the last ones go into the transaction that ends the operation, so that none is lost and
 * none is stored for an operation that someone else holds. */
#include "jobs/work.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "store/eventlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_POINTS = 100000, MAX_LIST = 1000, MAX_NAME = 250, MAX_TRIES = 60 };
#define LOG_MAX ((int64_t)64 << 20)

nn_work *nn_work_new(nn_jobs *j, nn_operation *op, const nn_lease *l) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "work", 0);
    nn_work *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->jobs = j;
    w->op = op;
    w->lease = *l;
    w->folder = strdup(nn_operation_folder(j, op->id, a));
    if (!w->folder) abort();
    w->warnings = nn_json_new_array();
    w->files = nn_json_new_array();
    w->log[0] = w->log[1] = -1;
    return w;
}

static void drop_points(nn_work *w) {
    for (int i = 0; i < w->n_points; i++) free((char *)(uintptr_t)w->points[i].name);
    w->n_points = 0;
}

void nn_work_free(nn_work *w) {
    if (!w) return;
    nn_json *values[] = {w->progress, w->warnings, w->kept, w->files, w->result, w->failure};
    for (int i = 0; i < NN_COUNT_OF(values); i++) nn_json_unref(values[i]);
    drop_points(w);
    free(w->points);
    for (int i = 0; i < 2; i++)
        if (w->log[i] >= 0) close(w->log[i]);
    nn_buf_done(&w->reader.line);
    nn_operation_free(w->op);
    free(w->folder);
    free(w);
}

/* Before. */

static void open_log(nn_work *w, int i) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s.log", w->folder, i ? "stderr" : "stdout");
    w->log[i] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    w->logged[i] = w->log[i] < 0 ? 0 : lseek(w->log[i], 0, SEEK_END);
}

static nn_json *request_of(const nn_work *w, const char *model, const char *source,
                           const nn_json *limits, int threads) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "id", nn_json_new_str(w->op->id));
    nn_json_set(v, "kind", nn_json_new_str(nn_kind_id_name(w->op->kind)));
    nn_json_set(v, "attempt", nn_json_new_int(w->op->attempt));
    nn_json_set(v, "resume",
                nn_json_new_bool(w->op->attempt > 1 && nn_kind_at(w->op->kind)->resumable));
    nn_json_set(v, "parent", nn_json_new_int(getpid()));
    nn_json_set(v, "threads", nn_json_new_int(threads));
    nn_json_set(v, "limits", limits ? nn_json_copy(limits) : nn_json_new_object());
    nn_json_set(v, "model_path", nn_json_new_str(model));
    nn_json_set(v, "model_source", nn_json_new_str(source));
    nn_json_set(v, "request", nn_json_copy(w->op->request));
    return v;
}

nn_status nn_work_prepare(nn_work *w, const nn_json *limits, int threads, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "work", 0);
    const char *model, *source;
    nn_status s = nn_mkdirs(w->folder, err);
    if (s == NN_OK) s = nn_run_model(w->jobs, w->op, a, &model, &source, err);
    if (s != NN_OK) return s;
    open_log(w, 0);
    open_log(w, 1);
    NN_JSON *v = request_of(w, model, source, limits, threads);
    NN_BUF text = {0};
    nn_json_dump(v, 0, &text);
    return nn_file_write(nn_arena_printf(a, "%s/request.json", w->folder), nn_buf_str(&text),
                         text.n, err);
}

/* During. */

static void publish_log(const nn_work *w, int stream, const char *p, size_t n, int64_t offset) {
    NN_JSON *data = nn_json_new_object();
    nn_json_set(data, "stream", nn_json_new_str(stream ? "stderr" : "stdout"));
    nn_json_set(data, "text", nn_json_new_strn(p, n));
    nn_json_set(data, "offset", nn_json_new_int(offset));
    nn_happened e = {.ts = nn_jobs_now(w->jobs),
                     .type = "operation.log",
                     .operation_id = w->op->id,
                     .kind = nn_kind_id_name(w->op->kind),
                     .state = nn_state_name(NN_STATE_RUNNING),
                     .data = data};
    nn_eventlog_publish(nn_track_store(nn_jobs_track(w->jobs)), &e);
}

/* A log that cannot be written (full disk) ends; the operation goes on. */
static void write_log(nn_work *w, int stream, const char *p, size_t n) {
    if (w->log[stream] < 0 || w->logged[stream] + (int64_t)n > LOG_MAX) return;
    if (nn_write_all(w->log[stream], p, n) != 0) {
        close(w->log[stream]);
        w->log[stream] = -1;
        return;
    }
    publish_log(w, stream, p, n, w->logged[stream]);
    w->logged[stream] += (int64_t)n;
}

static void keep_tail(nn_work *w, const char *p, size_t n) {
    if (n >= NN_WORK_TAIL) {
        memcpy(w->tail, p + n - NN_WORK_TAIL, NN_WORK_TAIL);
        w->n_tail = NN_WORK_TAIL;
        return;
    }
    size_t over = w->n_tail + n > NN_WORK_TAIL ? w->n_tail + n - NN_WORK_TAIL : 0;
    memmove(w->tail, w->tail + over, w->n_tail - over);
    memcpy(w->tail + w->n_tail - over, p, n);
    w->n_tail += n - over;
}

static void add_point(nn_work *w, const nn_json *line) {
    const char *name = nn_json_str(nn_json_get(line, "name"), "");
    if (!*name || strlen(name) > MAX_NAME || w->n_points == MAX_POINTS) {
        w->reader.bad++;
        return;
    }
    if (w->n_points == w->cap_points) {
        w->cap_points = w->cap_points ? w->cap_points * 2 : 64;
        w->points = realloc(w->points, (size_t)w->cap_points * sizeof *w->points);
        if (!w->points) abort();
    }
    char *copy = strdup(name);
    if (!copy) abort();
    w->points[w->n_points++] =
        (nn_point){.name = copy,
                   .step = nn_json_int(nn_json_get(line, "step"), 0),
                   .ts_ms = nn_json_int(nn_json_get(line, "ts_ms"), nn_jobs_now(w->jobs) / 1000),
                   .value = nn_report_number(nn_json_get(line, "value"))};
}

static void replace(nn_json **place, nn_json *v) {
    nn_json_unref(*place);
    *place = v ? nn_json_ref(v) : NULL;
}

static void log_line(nn_work *w, const char *text) {
    NN_BUF line = {0};
    nn_buf_puts(&line, text);
    nn_buf_putc(&line, '\n');
    write_log(w, 0, nn_buf_str(&line), line.n);
}

static void on_line(void *ctx, nn_report_type type, const nn_json *line) {
    nn_work *w = ctx;
    const char *text = nn_json_str(nn_json_get(line, "text"), "");
    switch (type) {
    case NN_REPORT_PROGRESS:
        if (nn_json_typeof(nn_json_get(line, "progress")) == NN_JSON_OBJECT)
            replace(&w->progress, nn_json_get(line, "progress"));
        break;
    case NN_REPORT_METRIC:
        add_point(w, line);
        break;
    case NN_REPORT_LOG:
        log_line(w, text);
        break;
    case NN_REPORT_WARNING:
        if (nn_json_size(w->warnings) < MAX_LIST) nn_json_push(w->warnings, nn_json_new_str(text));
        break;
    case NN_REPORT_ARTIFACT:
        if (nn_json_size(w->files) < MAX_LIST) nn_json_push(w->files, nn_json_copy(line));
        break;
    case NN_REPORT_RESUMED:
        nn_log(NN_LOG_INFO, "operation resumed", nn_kv_str("operation", w->op->id),
               nn_kv_int("epoch", nn_json_int(nn_json_get(line, "epoch"), 0)));
        break;
    case NN_REPORT_RESULT:
        replace(&w->result, nn_json_get(line, "result"));
        break;
    default:
        replace(&w->failure, (nn_json *)(uintptr_t)line);
    }
}

void nn_work_read(nn_work *w, nn_stream stream, const char *p, size_t n) {
    w->reader.on_line = on_line;
    w->reader.ctx = w;
    if (stream == NN_STREAM_REPORT) {
        nn_report_feed(&w->reader, p, n);
        return;
    }
    write_log(w, stream == NN_STREAM_STDERR, p, n);
    if (stream == NN_STREAM_STDERR) keep_tail(w, p, n);
}

nn_status nn_work_flush(nn_work *w, nn_err *err) {
    if (!w->progress && !w->n_points && !nn_json_size(w->warnings)) return NN_OK;
    nn_report_batch b = {.progress = w->progress,
                         .points = w->points,
                         .n_points = w->n_points,
                         .warnings = nn_json_size(w->warnings) ? w->warnings : NULL};
    nn_status s = nn_operation_report(w->jobs, &w->lease, &b, err);
    if (s != NN_OK) return s;
    drop_points(w);
    nn_json_unref(w->warnings);
    w->warnings = nn_json_new_array();
    replace(&w->progress, NULL);
    return NN_OK;
}

/* After. */

static nn_status keep_files(nn_work *w, nn_err *err) {
    if (w->kept) return NN_OK; /* an earlier try got this far */
    NN_JSON *kept = nn_json_new_array();
    nn_status s = NN_OK;
    for (size_t i = 0; i < nn_json_size(w->files) && s == NN_OK; i++) {
        const nn_json *f = nn_json_at(w->files, i);
        const char *file = nn_json_str(nn_json_get(f, "file"), "");
        s = nn_run_keep(w->jobs, w->folder, file, nn_json_str(nn_json_get(f, "name"), file),
                        nn_json_str(nn_json_get(f, "kind"), "other"), kept, err);
    }
    if (s == NN_OK) w->kept = nn_json_ref(kept);
    return s;
}

static nn_json *last_lines(const nn_work *w) {
    nn_json *lines = nn_json_new_array();
    const char *end = w->tail + w->n_tail, *p = w->tail;
    int n = 0;
    for (const char *q = p; q < end; q++) n += *q == '\n';
    for (; p < end; n--) { /* the last 20 */
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        if (n <= 20) nn_json_push(lines, nn_json_new_strn(p, (size_t)(stop - p)));
        p = stop + 1;
    }
    return lines;
}

static nn_json *evidence(const nn_work *w) {
    const nn_json *said = nn_json_get(w->failure, "details");
    nn_json *d = nn_json_typeof(said) == NN_JSON_OBJECT ? nn_json_copy(said) : nn_json_new_object();
    nn_json_set(d, "exit_code", w->signal ? nn_json_new_null() : nn_json_new_int(w->exit_code));
    nn_json_set(d, "signal",
                w->signal ? nn_json_new_str(strsignal(w->signal)) : nn_json_new_null());
    nn_json_set(d, "last_lines", last_lines(w));
    if (w->reader.bad) nn_json_set(d, "bad_lines", nn_json_new_int((int64_t)w->reader.bad));
    return d;
}

/* Why a child failed, in a sentence. */
static nn_status reason_of(const nn_work *w, char *text, size_t cap) {
    if (w->timed_out) {
        snprintf(text, cap, "Ran longer than its limit of %g s", w->op->timeout_s);
        return NN_E_TIMEOUT;
    }
    if (w->failure) {
        snprintf(text, cap, "%s",
                 nn_json_str(nn_json_get(w->failure, "message"), "it gave no reason"));
        return nn_status_from_code(nn_json_str(nn_json_get(w->failure, "code"), "internal"));
    }
    if (w->signal == SIGKILL && !w->killed) {
        snprintf(text, cap,
                 "The process was killed (signal 9), most likely because memory ran out");
        return NN_E_OUT_OF_MEMORY;
    }
    if (w->signal == SIGXCPU) {
        snprintf(text, cap, "The process used up its CPU time");
        return NN_E_SANDBOX_LIMIT;
    }
    if (w->signal)
        snprintf(text, cap, "The process ended by signal %d (%s)", w->signal, strsignal(w->signal));
    else if (w->exit_code)
        snprintf(text, cap, "Process exited with code %d", w->exit_code);
    else
        snprintf(text, cap, "The process ended without a result");
    return NN_E_INTERNAL;
}

/* What need not be looked at any more: all but the logs. */
static void tidy(const nn_work *w) {
    DIR *d = opendir(w->folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        bool log = n > 4 && !strcmp(e->d_name + n - 4, ".log");
        if (!log && strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

static nn_status finish(nn_work *w, nn_state *ret_state, nn_err *err) {
    char text[600];
    bool good = w->result && !w->failure && !w->signal && !w->exit_code && !w->timed_out;
    nn_err why = {0};
    nn_status s = good ? keep_files(w, &why) : NN_OK;
    if (s == NN_E_STORAGE_ERROR && !w->cancelling &&
        w->tries++ < MAX_TRIES) { /* there may be room again later */
        if (err) *err = why;
        return s;
    }
    if (s != NN_OK) good = false;
    nn_status code = s != NN_OK ? s : good ? NN_OK : reason_of(w, text, sizeof text);
    NN_JSON *details = good ? NULL : evidence(w);
    NN_JSON *result =
        good ? nn_json_copy(w->result) : NULL; /* a try that fails may have changed it */
    nn_outcome o = {.state = good           ? NN_STATE_SUCCEEDED
                             : w->timed_out ? NN_STATE_TIMED_OUT
                                            : NN_STATE_FAILED,
                    .result = result,
                    .code = code,
                    .error = s != NN_OK ? why.msg
                             : good     ? NULL
                                        : text,
                    .details = details,
                    .progress = w->progress,
                    .points = w->points,
                    .n_points = w->n_points,
                    .artifacts = good ? w->kept : NULL,
                    .warnings = w->warnings};
    return nn_operation_finish(w->jobs, &w->lease, &o, ret_state, err);
}

nn_status nn_work_finish(nn_work *w, bool draining, nn_state *ret_state, nn_err *err) {
    nn_state state = w->op->state;
    bool interrupted = draining && !w->timed_out && !(w->result && !w->exit_code && !w->signal);
    nn_status s = interrupted ? nn_work_flush(w, err) : NN_OK;
    if (s == NN_OK)
        s = interrupted ? nn_operation_release(w->jobs, &w->lease, false, &state, err)
                        : finish(w, &state, err);
    if (s != NN_OK) return s;
    if (nn_state_terminal(state)) tidy(w);
    if (ret_state) *ret_state = state;
    return NN_OK;
}
