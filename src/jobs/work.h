/* SPDX-License-Identifier: MIT */
/* work.h - one operation in a child process: what it has reported and not yet stored, and how it
 * ends. Belongs to the supervisor's thread. Internal to src/jobs. */
#ifndef NN_JOBS_WORK_H
#define NN_JOBS_WORK_H
#include "jobs/jobs_impl.h"
#include "jobs/process.h"
#include "jobs/report.h"

enum { NN_WORK_TAIL = 4096 };

typedef struct nn_work {
    nn_jobs *jobs;
    nn_operation *op;
    nn_lease lease;
    char *folder;
    nn_process *process; /* NULL once it has ended */
    nn_report_reader reader;
    nn_json *progress; /* the newest; NULL when it is stored */
    nn_json *warnings, *kept, *files, *result, *failure;
    nn_point *points; /* not yet stored; names are ours */
    int n_points, cap_points;
    int log[2];              /* stdout.log, stderr.log; -1: cannot be written */
    int64_t logged[2];       /* bytes */
    char tail[NN_WORK_TAIL]; /* the last bytes of standard error */
    size_t n_tail;
    int64_t deadline; /* monotonic ns; 0: none */
    uv_async_t *wake; /* the supervisor */
    bool timed_out, cancelling, lost, ended;
    int64_t said; /* when the last complaint about the store was logged; 0: never */
    int exit_code, signal;
    int tries; /* of keeping its files */
    bool killed;
    struct nn_work *next;
} nn_work;

nn_work *nn_work_new(nn_jobs *j, nn_operation *op, const nn_lease *l); /* takes op */
void nn_work_free(nn_work *w);
/* Makes the folder and writes request.json. */
nn_status nn_work_prepare(nn_work *w, const nn_json *limits, int threads, nn_err *err);
void nn_work_read(nn_work *w, nn_stream stream, const char *p, size_t n);
/* Stores what is waiting, if anything is. NN_E_CONFLICT: the lease is lost. On failure it keeps
 * waiting. */
nn_status nn_work_flush(nn_work *w, nn_err *err);
/* After the end: stores the outcome, or with `draining` (and no result) gives the operation back.
 * NN_E_STORAGE_ERROR: try again. */
nn_status nn_work_finish(nn_work *w, bool draining, nn_state *ret_state, nn_err *err);
#endif
