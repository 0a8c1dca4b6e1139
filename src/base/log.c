/* SPDX-License-Identifier: MIT */
/* log.c - a line is built in a buffer of its own and handed to write(2) whole. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { TEXT_MAX = 1000, STUCK_MS = 1000 };

static const struct {
    const char *name, *colour;
} levels[] = {
    [NN_LOG_DEBUG] = {"DEBUG",   "\033[2m" },
    [NN_LOG_INFO] = {"INFO",    "\033[32m"},
    [NN_LOG_WARNING] = {"WARNING", "\033[33m"},
    [NN_LOG_ERROR] = {"ERROR",   "\033[31m"},
};
static const char *const formats[] = {
    [NN_LOG_AUTO] = "auto", [NN_LOG_TEXT] = "text", [NN_LOG_JSON] = "json"};

static atomic_int least = NN_LOG_INFO;
static struct {
    int fd;
    bool json, colour;
} sink = {.fd = STDERR_FILENO};
static _Thread_local char request[64];

static void choose(nn_log_format format, int fd) {
    bool terminal = isatty(fd);
    const char *no_colour = getenv("NO_COLOR");
    sink.fd = fd;
    sink.json = format == NN_LOG_JSON || (format == NN_LOG_AUTO && !terminal);
    sink.colour = !sink.json && terminal && !(no_colour && *no_colour);
}

__attribute__((constructor)) static void default_sink(void) {
    choose(NN_LOG_AUTO, STDERR_FILENO);
}

void nn_log_init(nn_log_level level, nn_log_format format, int fd) {
    choose(format, fd);
    nn_log_level_set(level);
}

bool nn_log_on(nn_log_level level) {
    return (int)level >= atomic_load_explicit(&least, memory_order_relaxed);
}

void nn_log_level_set(nn_log_level level) {
    atomic_store_explicit(&least, (int)level, memory_order_relaxed);
}

bool nn_log_level_parse(const char *s, nn_log_level *ret) {
    if (strcasecmp(s, "warn") == 0) s = "warning";
    for (int i = NN_LOG_DEBUG; i <= NN_LOG_ERROR; i++)
        if (strcasecmp(s, levels[i].name) == 0) {
            *ret = (nn_log_level)i;
            return true;
        }
    return false;
}

bool nn_log_format_parse(const char *s, nn_log_format *ret) {
    for (int i = NN_LOG_AUTO; i <= NN_LOG_JSON; i++)
        if (strcasecmp(s, formats[i]) == 0) {
            *ret = (nn_log_format)i;
            return true;
        }
    return false;
}

void nn_log_request_set(const char *id) {
    size_t n = id ? strnlen(id, sizeof request - 1) : 0;
    memcpy(request, id ? id : "", n);
    request[n] = 0;
}

const char *nn_log_request(void) {
    return request;
}

/* Length of s, cut at a character border at TEXT_MAX. */
static size_t cut(const char *s) {
    size_t n = strnlen(s, TEXT_MAX + 1);
    if (n <= TEXT_MAX) return n;
    for (n = TEXT_MAX; n > TEXT_MAX - 4 && (s[n] & 0xc0) == 0x80;) n--;
    return n;
}

static void put_quoted(nn_buf *out, const char *s) {
    nn_jw w = {.out = out};
    nn_jw_strn(&w, s, cut(s));
}

/* As it is where it is one clear word, else quoted and escaped as JSON does. blanks: they need no
 * quotes (messages). */
static void put_word(nn_buf *out, const char *s, bool blanks) {
    size_t n = cut(s);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool plain = c > ' ' && c < 0x7f && c != '"' && c != '\\' && (blanks || c != '=');
        if (!plain && !(blanks && c == ' ')) n = 0;
    }
    if (n)
        nn_buf_append(out, s, n);
    else
        put_quoted(out, s);
}

static void put_key(nn_buf *out, const char *key) {
    if (sink.json) {
        nn_buf_putc(out, ',');
        put_quoted(out, key);
        nn_buf_putc(out, ':');
    } else {
        nn_buf_printf(out, " %s%s=%s", sink.colour ? "\033[2m" : "", key,
                      sink.colour ? "\033[0m" : "");
    }
}

static void put_str(nn_buf *out, const char *key, const char *s) {
    put_key(out, key);
    if (sink.json && !s)
        nn_buf_puts(out, "null");
    else if (sink.json)
        put_quoted(out, s);
    else
        put_word(out, s ? s : "-", false);
}

static void put_err(nn_buf *out, const nn_err *e) {
    put_str(out, "code", nn_status_code(e->code));
    put_str(out, "error", e->msg);
    if (e->hint[0]) put_str(out, "hint", e->hint);
    if (e->where) put_str(out, "where", e->where);
}

static void put_field(nn_buf *out, const nn_kv *f) {
    nn_jw w = {.out = out};
    switch (f->type) {
    case NN_KV_STR:
        put_str(out, f->key, f->s);
        break;
    case NN_KV_INT:
        put_key(out, f->key);
        nn_jw_int(&w, f->i);
        break;
    case NN_KV_NUM:
        put_key(out, f->key);
        nn_jw_num(&w, f->f);
        break;
    case NN_KV_BOOL:
        put_key(out, f->key);
        nn_jw_bool(&w, f->b);
        break;
    case NN_KV_ERR:
        put_err(out, f->e);
        break;
    }
}

static void put_head(nn_buf *out, nn_log_level level, const char *msg) {
    char time[NN_TIME_TEXT];
    nn_time_print(nn_clock_wall(), time);
    if (sink.json) {
        nn_buf_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", time, levels[level].name);
        put_quoted(out, msg);
        return;
    }
    const char *on = sink.colour ? levels[level].colour : "", *off = sink.colour ? "\033[0m" : "";
    nn_buf_printf(out, "%s %s%-7s%s ", time, on, levels[level].name, off);
    put_word(out, msg, true);
}

/* A terminal or pipe that someone made non-blocking gets a moment; then the rest of the line is
 * lost rather than the program held up: there is nobody left to tell. */
static void emit(const char *p, size_t n) {
    while (n) {
        ssize_t done = write(sink.fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno != EAGAIN) return;
        if (done < 0) {
            if (poll(&(struct pollfd){.fd = sink.fd, .events = POLLOUT}, 1, STUCK_MS) < 1) return;
            continue;
        }
        p += done;
        n -= (size_t)done;
    }
}

void nn_log_write(nn_log_level level, const char *msg, const nn_kv *fields) {
    int saved = errno;
    NN_BUF line = {0};
    put_head(&line, level, msg);
    for (; fields->key; fields++) put_field(&line, fields);
    if (request[0]) put_str(&line, "request_id", request);
    nn_buf_puts(&line, sink.json ? "}\n" : "\n");
    if (!nn_buf_failed(&line)) emit(line.p, line.n);
    errno = saved;
}
