/* SPDX-License-Identifier: MIT */
#include "suite/child.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEPT = 1 << 20 };
extern char **environ;

struct nn_child {
    pid_t pid;
    int in, out, errors; /* -1: closed */
    nn_buf text, words;  /* not yet taken of out; of errors */
    const char *name;
};

static void shut(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static int spawn(const char *const *argv, const int fds[3], pid_t *ret_pid) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&files, fds[i], i);
    int failed = posix_spawnp(ret_pid, argv[0], &files, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

/* ours[0..3), theirs[0..3): input, output, errors. Input is a socket, since writing to one whose
 * reader is gone can be an error without being a signal. */
static int open_streams(int ours[3], int theirs[3]) {
    int p[2];
    for (int i = 0; i < 3; i++) {
        int failed =
            i == 0 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) : pipe2(p, O_CLOEXEC);
        if (failed) return errno;
        ours[i] = p[0];
        theirs[i] = p[1];
    }
    return 0;
}

nn_status nn_child_start(const char *const *argv, nn_child **ret, nn_err *err) {
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
    pid_t pid = -1;
    int failed = open_streams(ours, theirs);
    if (!failed) failed = spawn(argv, theirs, &pid);
    for (int i = 0; i < 3; i++) shut(&theirs[i]);
    if (failed) {
        for (int i = 0; i < 3; i++) shut(&ours[i]);
        return nn_fail(err, failed == ENOENT ? NN_E_NOT_FOUND : NN_E_STORAGE_ERROR,
                       "cannot run %s: %s", argv[0], strerror(failed));
    }
    nn_child *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (nn_child){.pid = pid, .in = ours[0], .out = ours[1], .errors = ours[2], .name = argv[0]};
    *ret = c;
    return NN_OK;
}

/* Reads what is there, and closes at the end of the stream. */
static void drain(int *fd, nn_buf *into) {
    char text[65536];
    ssize_t n = read(*fd, text, sizeof text);
    if (n > 0 && into->n < KEPT) nn_buf_append(into, text, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR)) shut(fd);
}

/* One wait for more; false when the time is up. */
static bool hear(nn_child *c, int64_t until) {
    struct pollfd p[] = {
        {.fd = c->out,    .events = POLLIN},
        {.fd = c->errors, .events = POLLIN}
    };
    int64_t left = (until - nn_clock_mono()) / 1000000;
    if (left <= 0) return false;
    if (poll(p, 2, left < 60000 ? (int)left : 60000) < 0) return errno == EINTR;
    if (c->out >= 0 && p[0].revents) drain(&c->out, &c->text);
    if (c->errors >= 0 && p[1].revents) drain(&c->errors, &c->words);
    return true;
}

static int64_t after(double s) {
    return nn_clock_mono() + (int64_t)(s * 1e9);
}

static bool send_line(nn_child *c, const char *line) {
    NN_BUF text = {0};
    nn_buf_printf(&text, "%s\n", line);
    for (size_t at = 0; at < text.n;) {
        ssize_t n = send(c->in, text.p + at, text.n - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) at += (size_t)n;
    }
    return true;
}

static int reap(nn_child *c) {
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
    c->pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its last line on standard error. */
static nn_status fell_silent(nn_child *c, nn_err *err) {
    while (c->errors >= 0 && hear(c, after(2))) continue;
    while (c->words.n && strchr("\r\n", c->words.p[c->words.n - 1])) c->words.p[--c->words.n] = 0;
    const char *text = nn_buf_str(&c->words), *last = strrchr(text, '\n');
    return nn_fail(err, NN_E_BAD_GATEWAY, "%s ended without an answer: %.400s", c->name,
                   last ? last + 1 : text);
}

nn_status nn_child_ask(nn_child *c, const char *line, double limit_s, nn_buf *reply, nn_err *err) {
    int64_t until = after(limit_s);
    char *end;
    if (!send_line(c, line)) return fell_silent(c, err);
    while (!(end = c->text.n ? strchr(c->text.p, '\n') : NULL)) {
        if (c->out < 0) return fell_silent(c, err);
        if (!hear(c, until))
            return nn_fail(err, NN_E_TIMEOUT, "%s gave no answer within %.0f s", c->name, limit_s);
    }
    size_t n = (size_t)(end - c->text.p);
    nn_buf_append(reply, c->text.p, n);
    memmove(c->text.p, end + 1, c->text.n - n);
    c->text.n -= n + 1;
    return NN_OK;
}

int nn_child_end(nn_child *c, double limit_s, nn_buf *out) {
    int64_t until = after(limit_s);
    shut(&c->in);
    while ((c->out >= 0 || c->errors >= 0) && hear(c, until)) continue;
    int code = -1;
    if (c->out < 0 && c->errors < 0) code = reap(c);
    if (out && c->text.n) nn_buf_append(out, c->text.p, c->text.n);
    nn_child_free(c);
    return code;
}

void nn_child_free(nn_child *c) {
    if (!c) return;
    if (c->pid > 0) {
        kill(c->pid, SIGKILL);
        reap(c);
    }
    shut(&c->in), shut(&c->out), shut(&c->errors);
    nn_buf_done(&c->text);
    nn_buf_done(&c->words);
    free(c);
}
