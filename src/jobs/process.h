/* SPDX-License-Identifier: MIT */
/* process.h - a child process on a libuv loop: leader of its own session and process group, with
 * three pipes. Everything happens on the loop's thread. A process frees itself after its `ended`.
 */
#ifndef NN_JOBS_PROCESS_H
#define NN_JOBS_PROCESS_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

typedef enum nn_stream {
    NN_STREAM_STDOUT,
    NN_STREAM_STDERR,
    NN_STREAM_REPORT,
    NN_STREAM_COUNT
} nn_stream;

typedef struct nn_process nn_process;
typedef struct nn_process_options {
    const char *const *argv; /* argv[0] is looked up as execvp does; NULL-terminated */
    double grace_s;          /* between SIGTERM and SIGKILL of nn_process_stop */
    void (*read)(void *ctx, nn_stream stream, const char *p, size_t n);
    /* Once, when the child has been reaped, what it started has been killed, and the pipes are
     * empty. signal: 0 if it exited. */
    void (*ended)(void *ctx, int exit_code, int signal);
    void *ctx;
} nn_process_options;

/* Child descriptors: 0 is /dev/null, 1, 2 and 3 are the streams. */
nn_status nn_process_start(uv_loop_t *loop, const nn_process_options *o, nn_process **ret,
                           nn_err *err);
/* SIGTERM to the group, SIGKILL after the grace time. Doing it again changes nothing. */
void nn_process_stop(nn_process *p);
/* SIGKILL to the group at once. */
void nn_process_kill(nn_process *p);
bool nn_process_was_killed(const nn_process *p); /* by us, with SIGKILL */
int nn_process_pid(const nn_process *p);
#endif
