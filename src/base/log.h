/* SPDX-License-Identifier: MIT */
/* log.h - the structured log: one line a record, as text for people or as JSON for programs. Only
 * api, jobs and cli log; libraries return errors. Thread safe: a line is one write(2), without a
 * lock, so lines of up to PIPE_BUF bytes never mix even between processes. Texts are cut at 1000
 * bytes. Whatever a text holds, it cannot end a line or reach the terminal as a control sequence:
 * control characters are escaped, bytes that are not UTF-8 replaced.
 *
 *     nn_log(NN_LOG_INFO, "listening", nn_kv_str("host", host), nn_kv_int("port", port));
 *     2026-01-31T09:05:07.000001+00:00 INFO    listening host=127.0.0.1 port=8000
 *     {"ts":"2026-01-31T09:05:07.000001+00:00","level":"INFO","msg":"listening","host":"127.0.0.1","port":8000}
 */
#ifndef NN_BASE_LOG_H
#define NN_BASE_LOG_H
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum nn_log_level { NN_LOG_DEBUG, NN_LOG_INFO, NN_LOG_WARNING, NN_LOG_ERROR } nn_log_level;
typedef enum nn_log_format {
    NN_LOG_AUTO, /* text on a terminal, JSON otherwise */
    NN_LOG_TEXT, /* with colours on a terminal, unless NO_COLOR is set */
    NN_LOG_JSON
} nn_log_format;

/* Before threads start; without it: INFO, AUTO, standard error. fd is borrowed. */
void nn_log_init(nn_log_level least, nn_log_format format, int fd);
bool nn_log_on(nn_log_level level);
void nn_log_level_set(nn_log_level least); /* at any time */
/* "INFO" in any letter case, also "warn"; false and *ret untouched for anything else. Likewise
 * auto, text, json. */
bool nn_log_level_parse(const char *s, nn_log_level *ret);
bool nn_log_format_parse(const char *s, nn_log_format *ret);

/* A field. Keys are literals of ours; values are borrowed until nn_log returns. */
typedef struct nn_kv {
    const char *key; /* NULL ends a list */
    enum { NN_KV_STR, NN_KV_INT, NN_KV_NUM, NN_KV_BOOL, NN_KV_ERR } type;
    union {
        const char *s;
        int64_t i;
        double f;
        bool b;
        const nn_err *e;
    };
} nn_kv;

static inline nn_kv nn_kv_str(const char *key, const char *v) {
    return (nn_kv){.key = key, .type = NN_KV_STR, .s = v};
}
static inline nn_kv nn_kv_int(const char *key, int64_t v) {
    return (nn_kv){.key = key, .type = NN_KV_INT, .i = v};
}
static inline nn_kv nn_kv_num(const char *key, double v) {
    return (nn_kv){.key = key, .type = NN_KV_NUM, .f = v};
}
static inline nn_kv nn_kv_bool(const char *key, bool v) {
    return (nn_kv){.key = key, .type = NN_KV_BOOL, .b = v};
}
/* Becomes the fields code, error, hint (where there is one) and where. */
static inline nn_kv nn_kv_err(const nn_err *e) {
    return (nn_kv){.key = "error", .type = NN_KV_ERR, .e = e};
}

/* Fields are evaluated only when the level is on. */
#define nn_log(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (nn_log_on(level))                                                                      \
            nn_log_write((level), (msg), (const nn_kv[]){__VA_ARGS__ __VA_OPT__(, ){0}});          \
    } while (0)
void nn_log_write(nn_log_level level, const char *msg, const nn_kv *fields);

/* Every line of this thread carries request_id until it is set to NULL. Copied, cut at 63 bytes. */
void nn_log_request_set(const char *id);
const char *nn_log_request(void); /* "" when there is none */
#endif
