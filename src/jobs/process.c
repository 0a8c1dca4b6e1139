/* SPDX-License-Identifier: MIT */
/* The order of an end: the exit is reaped, the rest of the group is killed, the pipes come to their
 * end (or, when someone who left the group holds them open, are closed after DRAIN_MS), the timer
 * is closed, `ended` is called. Handles are counted, so that memory is freed after the last close
 * callback and not before. */
#include "jobs/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { DRAIN_MS = 2000, READ_BYTES = 65536 };

struct nn_process {
    nn_process_options o;
    uv_process_t process;
    uv_pipe_t pipes[NN_STREAM_COUNT];
    uv_timer_t timer; /* grace, later drain */
    int handles;      /* not yet closed */
    int pid, exit_code, signal;
    bool started, exited, stopping, killed;
    int open; /* pipes that have not ended */
    char buffer[READ_BYTES];
};

static void on_closed(uv_handle_t *h) {
    nn_process *p = h->data;
    if (--p->handles) return;
    if (p->started) p->o.ended(p->o.ctx, p->exit_code, p->signal);
    free(p);
}

static void close_handle(void *handle) {
    uv_handle_t *h = handle;
    if (!uv_is_closing(h)) uv_close(h, on_closed);
}

static void signal_group(nn_process *p, int sig) {
    if (p->pid > 0 && !p->exited) kill(-p->pid, sig);
}

/* When both have ended, exit and pipes, nothing more can come. */
static void check_end(nn_process *p) {
    if (!p->exited || p->open) return;
    close_handle(&p->timer);
    close_handle(&p->process);
}

static void close_pipe(nn_process *p, uv_pipe_t *pipe) {
    if (uv_is_closing((uv_handle_t *)pipe)) return;
    close_handle(pipe);
    p->open--;
    check_end(p);
}

static void on_timer(uv_timer_t *t) {
    nn_process *p = t->data;
    if (!p->exited) {
        nn_process_kill(p);
        return;
    }
    for (int i = 0; i < NN_STREAM_COUNT; i++) close_pipe(p, &p->pipes[i]);
}

static void on_reaped(uv_process_t *h, int64_t code, int sig) {
    nn_process *p = h->data;
    kill(-p->pid, SIGKILL); /* what it started and left behind */
    p->exited = true;
    p->exit_code = (int)code;
    p->signal = sig;
    if (p->open) uv_timer_start(&p->timer, on_timer, DRAIN_MS, 0);
    check_end(p);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret) {
    nn_process *p = h->data;
    (void)n;
    *ret = uv_buf_init(p->buffer, sizeof p->buffer);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
    nn_process *p = s->data;
    nn_stream which = (nn_stream)((uv_pipe_t *)s - p->pipes);
    if (n > 0)
        p->o.read(p->o.ctx, which, buf->base, (size_t)n);
    else if (n < 0)
        close_pipe(p, (uv_pipe_t *)s);
}

static void init_handles(uv_loop_t *loop, nn_process *p) {
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    p->process.data = p;
    for (int i = 0; i < NN_STREAM_COUNT; i++) {
        uv_pipe_init(loop, &p->pipes[i], 0);
        p->pipes[i].data = p;
    }
    p->handles = NN_STREAM_COUNT + 2;
    p->open = NN_STREAM_COUNT;
}

nn_status nn_process_start(uv_loop_t *loop, const nn_process_options *o, nn_process **ret,
                           nn_err *err) {
    nn_process *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->o = *o;
    init_handles(loop, p);
    uv_stdio_container_t stdio[NN_STREAM_COUNT + 1] = {{.flags = UV_IGNORE}};
    for (int i = 0; i < NN_STREAM_COUNT; i++) {
        stdio[i + 1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        stdio[i + 1].data.stream = (uv_stream_t *)&p->pipes[i];
    }
    uv_process_options_t options = {.file = o->argv[0],
                                    .args = (char **)(uintptr_t)o->argv,
                                    .flags = UV_PROCESS_DETACHED, /* setsid */
                                    .stdio = stdio,
                                    .stdio_count = NN_STREAM_COUNT + 1,
                                    .exit_cb = on_reaped};
    int e = uv_spawn(loop, &p->process, &options);
    if (e) {
        close_handle(&p->process);
        close_handle(&p->timer);
        for (int i = 0; i < NN_STREAM_COUNT; i++) close_handle(&p->pipes[i]);
        return nn_fail(err, NN_E_INTERNAL, "cannot start %s: %s", o->argv[0], uv_strerror(e));
    }
    p->started = true;
    p->pid = p->process.pid;
    for (int i = 0; i < NN_STREAM_COUNT; i++)
        uv_read_start((uv_stream_t *)&p->pipes[i], on_alloc, on_read);
    *ret = p;
    return NN_OK;
}

void nn_process_stop(nn_process *p) {
    if (p->stopping || p->exited) return;
    p->stopping = true;
    signal_group(p, SIGTERM);
    signal_group(p, SIGCONT); /* a stopped process would not see it */
    uv_timer_start(&p->timer, on_timer, (uint64_t)(p->o.grace_s * 1000), 0);
}

void nn_process_kill(nn_process *p) {
    if (p->exited) return;
    p->stopping = p->killed = true;
    signal_group(p, SIGKILL);
}

bool nn_process_was_killed(const nn_process *p) {
    return p->killed;
}

int nn_process_pid(const nn_process *p) {
    return p->pid;
}
