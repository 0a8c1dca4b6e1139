/* SPDX-License-Identifier: MIT */
#include "jobs/metric_log.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct point {
    struct point *next;
    char *name;
    int64_t step, ts_ms;
} point;

struct nn_metric_log {
    nn_arena *arena;
    char *path;
    int fd;
    point *
        points; /* of earlier attempts, newest first: an epoch that is done again is near the end */
    int64_t last_step; /* the highest of theirs */
    nn_metric_fn *tell;
    void *ctx;
};

enum { FILE_LIMIT = 256 << 20 };

static nn_status remember(nn_metric_log *l, const char *name, int64_t step, int64_t ts_ms,
                          nn_err *err) {
    point *p = NN_NEW(l->arena, point);
    char *copy = nn_arena_strdup(l->arena, name);
    if (!p || !copy)
        return nn_fail(err, NN_E_LIMIT, "%s: more points than memory for them", l->path);
    *p = (point){.next = l->points, .name = copy, .step = step, .ts_ms = ts_ms};
    l->points = p;
    if (step > l->last_step) l->last_step = step;
    return NN_OK;
}

static const point *find(const nn_metric_log *l, const char *name, int64_t step) {
    const point *p = step > l->last_step ? NULL : l->points;
    while (p && !(p->step == step && strcmp(p->name, name) == 0)) p = p->next;
    return p;
}

static nn_status read_line(nn_metric_log *l, const char *line, size_t n, nn_err *err) {
    NN_JSON *v = NULL;
    if (nn_json_parse(line, n, &v, NULL) != NN_OK)
        return NN_OK; /* cut off when the run was killed */
    const char *name = nn_json_str(nn_json_get(v, "name"), NULL);
    const nn_json *value = nn_json_get(v, "value");
    int64_t step = nn_json_int(nn_json_get(v, "step"), -1),
            ts = nn_json_int(nn_json_get(v, "ts_ms"), 0);
    if (!name || step < 0 || ts <= 0 || find(l, name, step)) return NN_OK;
    nn_status s = remember(l, name, step, ts, err);
    if (!s) l->tell(l->ctx, name, step, nn_json_num(value, 0), ts);
    return s;
}

/* *ret_whole: bytes up to the end of the last whole line. */
static nn_status read_all(nn_metric_log *l, size_t *ret_whole, nn_err *err) {
    NN_BUF text = {0};
    nn_status s = nn_file_read(l->path, FILE_LIMIT, &text, err);
    if (s == NN_E_NOT_FOUND) return NN_OK;
    const char *at = nn_buf_str(&text), *stop = at + text.n, *end;
    while (!s && at < stop && (end = memchr(at, '\n', (size_t)(stop - at)))) {
        s = read_line(l, at, (size_t)(end - at), err);
        at = end + 1;
    }
    *ret_whole = (size_t)(at - nn_buf_str(&text));
    return s;
}

nn_status nn_metric_log_open(const char *folder, nn_metric_fn *tell, void *ctx, nn_metric_log **ret,
                             nn_err *err) {
    size_t whole = 0;
    nn_arena *a = nn_arena_new(NULL, "metric log", (size_t)1 << 30);
    nn_metric_log *l = NN_NEW(a, nn_metric_log);
    *l = (nn_metric_log){.arena = a,
                         .path = nn_arena_printf(a, "%s/metrics.jsonl", folder),
                         .fd = -1,
                         .last_step = -1,
                         .tell = tell,
                         .ctx = ctx};
    nn_status s = read_all(l, &whole, err);
    if (!s && (l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0)
        s = nn_file_fail(err, errno, "open", l->path);
    if (!s && ftruncate(l->fd, (off_t)whole) != 0) s = nn_file_fail(err, errno, "cut", l->path);
    if (s) {
        nn_metric_log_close(l);
        return s;
    }
    *ret = l;
    return NN_OK;
}

static nn_status append(nn_metric_log *l, const char *name, int64_t step, double value,
                        int64_t ts_ms, nn_err *err) {
    NN_BUF line = {0};
    nn_jw w = {.out = &line};
    nn_jw_obj(&w);
    nn_jw_key(&w, "name");
    nn_jw_str(&w, name);
    nn_jw_key(&w, "step");
    nn_jw_int(&w, step);
    nn_jw_key(&w, "value");
    nn_jw_num(&w, value);
    nn_jw_key(&w, "ts_ms");
    nn_jw_int(&w, ts_ms);
    nn_jw_end_obj(&w);
    nn_buf_putc(&line, '\n');
    int e = nn_write_all(l->fd, nn_buf_str(&line), line.n);
    if (!e && fdatasync(l->fd) != 0) e = errno;
    return e ? nn_file_fail(err, e, "write", l->path) : NN_OK;
}

nn_status nn_metric_log_add(nn_metric_log *l, const char *name, int64_t step, double value,
                            nn_err *err) {
    const point *known = find(l, name, step);
    int64_t ts_ms = known ? known->ts_ms : nn_clock_wall() / 1000;
    nn_status s = NN_OK;
    if (!known) s = append(l, name, step, value, ts_ms, err);
    if (!s) l->tell(l->ctx, name, step, value, ts_ms);
    return s;
}

void nn_metric_log_close(nn_metric_log *l) {
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    nn_arena_free(l->arena);
}
