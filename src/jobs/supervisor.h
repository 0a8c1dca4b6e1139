/* SPDX-License-Identifier: MIT */
/* supervisor.h - runs what the queue holds: child processes for heavy kinds, pool threads for short
 * ones.
 *
 * One thread with its own libuv loop starts, watches and reaps the children; all functions here may
 * be called from any thread. A child leads its own session and process group and dies with the
 * server (PR_SET_PDEATHSIG); it reports JSON lines on descriptor 3. Cancelling is SIGTERM to the
 * group, the grace time, SIGKILL. Nothing that a child does or writes can harm the server: lines
 * have a limit, malformed ones are counted and logged, files have size limits. */
#ifndef NN_JOBS_SUPERVISOR_H
#define NN_JOBS_SUPERVISOR_H
#include "base/config.h"
#include "jobs/operation.h"

typedef struct nn_supervisor nn_supervisor;

typedef struct nn_supervisor_options {
    nn_jobs *jobs;      /* not owned */
    int workers;        /* children at a time; 0: one for every two cores */
    int inline_workers; /* operations of short kinds at a time, a thread each; 0: 2 */
    const char *const
        *command;   /* how a child is started, NULL-terminated; "<folder>" is added as the last
                       argument.   NULL: NEURAL_EXE or this program, with "operation", "run" */
    double grace_s; /* between SIGTERM and SIGKILL; 0: 5 */
    double poll_s;  /* looks at the queue at least this often; 0: 1 */
    int64_t memory_mb, file_mb, cpu_s; /* rlimits of a child; 0: none */
    int threads;                       /* engine threads of a child; 0: all */
    double event_days;                 /* events older than this are forgotten; 0: none */
} nn_supervisor_options;

/* Fills what the configuration decides: storage, queue.*, jobs.*, engine.threads, events.*. The
 * texts are the configuration's. */
void nn_jobs_configure(const nn_config *c, nn_jobs_options *jobs,
                       nn_supervisor_options *supervisor);

/* Recovers what an earlier server left (nn_operation_recover) and begins to work. */
nn_status nn_supervisor_start(const nn_supervisor_options *o, nn_supervisor **ret, nn_err *err);
/* Stops: children get SIGTERM, then SIGKILL after the grace time; their operations go back to the
 * queue with their checkpoints, so that the next start goes on. NULL allowed. */
void nn_supervisor_stop(nn_supervisor *s);
/* Looks at the queue now (after a create) and at cancellations. Cheap; never blocks. */
void nn_supervisor_wake(nn_supervisor *s);

typedef struct nn_supervisor_stats {
    int running; /* children and inline runs now */
    uint64_t started, finished, bad_lines, killed;
} nn_supervisor_stats;
nn_supervisor_stats nn_supervisor_stat(const nn_supervisor *s);

/* The child's side: `neural operation run FOLDER`. Reads FOLDER/request.json, works there, reports
 * on descriptor 3 (or stdout where that is closed), returns the exit status. */
int nn_operation_main(const char *folder);
#endif
