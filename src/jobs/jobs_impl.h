/* SPDX-License-Identifier: MIT */
/* jobs_impl.h - what the files of src/jobs share: the open jobs, and the one function that changes
 * a state. Included there only. */
#ifndef NN_JOBS_JOBS_IMPL_H
#define NN_JOBS_JOBS_IMPL_H
#include "jobs/kinds.h"

#include <pthread.h>

struct nn_jobs {
    nn_track *track;
    nn_store *store;
    char *folder; /* absolute, of all operations */
    int64_t ageing_us, lease_us;
    int max_interruptions, max_queued;
    int64_t (*now)(void *ctx);
    void *now_ctx;
    struct {
        nn_run_ctx_fn *fn;
        void *ctx;
    } run[NN_KIND_COUNT];  /* set before operations run, then only read */
    pthread_mutex_t mutex; /* guards wake */
    void (*wake)(void *arg);
    void *wake_arg;
};

/* Called (by any thread, after the commit) when there is something to claim or to cancel; fn NULL:
 * nobody. */
void nn_jobs_on_wake(nn_jobs *j, void (*fn)(void *arg), void *arg);
void nn_jobs_wake(nn_jobs *j);
/* Wakes once the transaction is committed. */
void nn_jobs_wake_after(nn_txn *t, nn_jobs *j);

/* A snapshot of a row, queue_position not filled; NULL for a kind or state of another version of
 * this program. */
nn_operation *nn_operation_from_row(nn_row r);
nn_status nn_operation_read(nn_txn *t, const char *id, nn_operation **ret, nn_err *err);

/* The only way that a state changes: from op's state and epoch to `to`, with further fields (at
 * most NN_MOVE_FIELDS), and with its event and its experiment's status. NN_E_CONFLICT when the
 * state machine has no such step or someone else was faster. op is brought up to date. */
enum { NN_MOVE_FIELDS = 16 };
nn_status nn_operation_move(nn_txn *t, nn_jobs *j, nn_operation **op, nn_state to,
                            const nn_field *fields, int n, nn_err *err);

/* queued -> starting under a new lease, and cancelling -> cancelled, inside a transaction. */
nn_status nn_operation_take(nn_txn *t, nn_jobs *j, nn_operation **op, const char *owner,
                            int64_t lease_us, nn_lease *ret, nn_err *err);
nn_status nn_operation_end_cancelled(nn_txn *t, nn_jobs *j, nn_operation **op, nn_err *err);

/* Effective level: one higher for each ageing period waited, not past critical. */
int64_t nn_queue_level(const nn_jobs *j, int64_t level, int64_t created_at, int64_t now);
/* The condition "of a kind in the bit set"; cells: NN_KIND_COUNT of them, to live as long as the
 * condition. */
nn_where nn_where_kinds(unsigned kinds, nn_cell *cells);
#define NN_ALL_KINDS ((1u << NN_KIND_COUNT) - 1)

/* Fills queue_position of those of n operations that are queued. */
nn_status nn_queue_positions(nn_txn *t, nn_jobs *j, nn_operation **ops, int n, nn_err *err);

/* A run of an in-process kind under a lease, from start to finish, in this thread. stop may be
 * NULL. */
nn_status nn_operation_run_here(nn_jobs *j, const nn_operation *op, const nn_lease *l,
                                const volatile sig_atomic_t *stop, nn_state *ret_state,
                                nn_err *err);
/* Model file and program text of the request's model, for a run. NULL where it has none. */
nn_status nn_run_model(nn_jobs *j, const nn_operation *op, nn_arena *a, const char **ret_path,
                       const char **ret_source, nn_err *err);
/* Stores a file of the run's folder (no way out of it) and appends {file, name, kind, sha256, size}
 * to the list. */
nn_status nn_run_keep(nn_jobs *j, const char *folder, const char *file, const char *name,
                      const char *kind, nn_json *list, nn_err *err);
/* The evidence that an error record gives: hint, place. Adds to details (an object). */
void nn_run_evidence(const nn_err *e, nn_json *details);
/* Whether a request may name this data set: one of nn_dataset_list (letter case, '-' and '_'
 * apart), or synthetic with parameters. Paths are for the command line. ret_names (NULL allowed):
 * what there is, in the buffer. */
bool nn_dataset_is_known(const char *spec, nn_buf *ret_names);
/* Adds what a compiler's warning says, as sentences, to warnings. */
void nn_run_warnings(const nn_json *diagnostics, void (*warning)(void *ctx, const char *text),
                     void *ctx);
#endif
