/* SPDX-License-Identifier: MIT */
/* operation.h - operations: anything that takes time. One table, one state machine (rest-api.md
 * section 2), one queue.
 *
 * nn_jobs may be used from any thread. An nn_operation is a snapshot that belongs to its caller; it
 * changes nothing and is not updated. Whoever runs an operation holds a lease (owner, epoch,
 * expiry) and must renew it; every write under a lease fails with NN_E_CONFLICT once the lease is
 * lost, so that a stale owner can finish nothing twice. State, event and experiment change in one
 * transaction. Times are microseconds since 1970. */
#ifndef NN_JOBS_OPERATION_H
#define NN_JOBS_OPERATION_H
#include "store/store.h"
#include "track/track.h"

typedef struct nn_jobs nn_jobs;

typedef enum nn_state {
#define NN_STATE(N, n, ...) NN_STATE_##N,
#include "jobs/states.def"
#undef NN_STATE
    NN_STATE_COUNT
} nn_state;

typedef enum nn_kind_id {
#define NN_KIND(N, n) NN_KIND_##N,
#include "jobs/kinds.def"
#undef NN_KIND
    NN_KIND_COUNT
} nn_kind_id;

typedef enum nn_level {
    NN_LEVEL_CRITICAL,
    NN_LEVEL_HIGH,
    NN_LEVEL_NORMAL,
    NN_LEVEL_LOW,
    NN_LEVEL_COUNT
} nn_level;

/* The documented vocabularies; the columns of states.def in order. */
typedef enum nn_words {
    NN_WORDS_CANONICAL,
    NN_WORDS_JOBS,
    NN_WORDS_DEPLOYMENT,
    NN_WORDS_BRIDGE,
    NN_WORDS_CONNECTOR,
    NN_WORDS_PROMPT,
    NN_WORDS_TEST,
    NN_WORDS_GENERATOR,
    NN_WORDS_BENCHMARK,
    NN_WORDS_COUNT
} nn_words;

const char *nn_state_name(nn_state s);
int nn_state_find(const char *name); /* -1 if there is none */
bool nn_state_terminal(nn_state s);
bool nn_state_may(nn_state from, nn_state to); /* the whole state machine */
/* The word of a face for a state. */
const char *nn_operation_word(nn_state s, nn_words words);
/* The states that a word means on a face, or canonically, as a bit set (1u << state); 0 for an
 * unknown word. */
unsigned nn_state_set(const char *word, nn_words words);
const char *nn_level_name(nn_level l);
int nn_level_find(const char *name); /* -1 if there is none */
int nn_kind_id_find(const char *name);
const char *nn_kind_id_name(nn_kind_id k);

typedef struct nn_jobs_options {
    nn_track *track; /* not owned; its store holds the operations, its bus carries their events */
    const char *storage;       /* operations/<id>/ lies in it: request, checkpoint, logs */
    double ageing_s;           /* a waiting operation counts one level higher for each; 0: 60 */
    double lease_s;            /* 0: 15 */
    int max_interruptions;     /* owners of an operation that may vanish before it fails; 0: 5 */
    int max_queued;            /* more are refused with NN_E_QUEUE_FULL; 0: 10000 */
    int64_t (*now)(void *ctx); /* NULL: the system's clock */
    void *now_ctx;
} nn_jobs_options;
nn_status nn_jobs_open(const nn_jobs_options *o, nn_jobs **ret, nn_err *err);
void nn_jobs_close(nn_jobs *j); /* NULL allowed; no supervisor may be using it */
nn_track *nn_jobs_track(const nn_jobs *j);
int64_t nn_jobs_now(const nn_jobs *j);

typedef struct nn_operation_progress {
    double fraction; /* 0..1 */
    const char *step, *unit;
    int64_t step_index, step_count, done, total; /* -1: unknown */
    double rate, eta_s;                          /* NAN: unknown */
} nn_operation_progress;
nn_json *nn_operation_progress_json(const nn_operation_progress *p);

typedef struct nn_operation {
    char id[37];
    nn_kind_id kind;
    nn_state state;
    nn_level level;
    int attempt, interruptions;
    char *name, *verdict, *principal, *parent_id, *model_id, *model_name, *backend, *engine,
        *connector; /* NULL: none */
    char *error, *error_code, *cancelled_by;
    nn_json *request, *result, *error_details, *warnings, *labels, *progress,
        *hardware;                                           /* NULL: none */
    double timeout_s;                                        /* NAN: none */
    int64_t created_at, updated_at, started_at, finished_at; /* 0: not yet */
    int64_t queue_position;                                  /* -1 unless queued */
    char *lease_owner;
    int64_t lease_epoch, lease_expires;
} nn_operation;
void nn_operation_free(nn_operation *op); /* NULL allowed */
static inline void nn_operation_freep(nn_operation **op) {
    nn_operation_free(*op);
}
/* The canonical object of rest-api.md section 2; artifacts as given (a list, taken; NULL: []). */
nn_json *nn_operation_json(const nn_operation *op, bool with_request, nn_json *artifacts);

/* What to create. Texts and values are borrowed. */
typedef struct nn_operation_spec {
    nn_kind_id kind;
    const nn_json *request;       /* checked by the kind's rules */
    const char *name, *principal; /* NULL: none */
    const nn_json *labels;        /* map of texts */
    const char *queue_priority;   /* NULL: normal */
    double timeout_s;             /* 0 or NAN: the kind's own limit; else the smaller of both */
    const char *parent_id;
} nn_operation_spec;
/* Validates and queues; for a training its experiment is made in the same transaction. Committed
 * when it returns. NN_E_VALIDATION_ERROR with ret_problems (NULL allowed; a list of {loc, field,
 * msg, type}, set only then), NN_E_INVALID_REQUEST, NN_E_MODEL_NOT_FOUND, NN_E_UNSUPPORTED,
 * NN_E_QUEUE_FULL. */
nn_status nn_operation_create(nn_jobs *j, const nn_operation_spec *s, nn_operation **ret,
                              nn_json **ret_problems, nn_err *err);
/* Creates and runs it now in the calling thread (kinds that run in process); *ret is terminal,
 * succeeded or failed. */
nn_status nn_operation_run_now(nn_jobs *j, const nn_operation_spec *s, nn_operation **ret,
                               nn_json **ret_problems, nn_err *err);
nn_status nn_operation_get(nn_jobs *j, const char *id, nn_operation **ret,
                           nn_err *err); /* NN_E_NOT_FOUND */

typedef struct nn_operation_filter {
    const char *kind;                                 /* NULL: all */
    unsigned states;                                  /* bit set (1u << state); 0: all */
    const char *model, *parent_id, *principal, *text; /* text: in name or error; NULL: all */
    const char *label_key, *label_value;              /* NULL: all */
    int64_t since, until;                             /* created_at; 0: open */
    int64_t limit, offset;
    const char *cursor;
    bool ascending; /* else newest first */
} nn_operation_filter;
typedef struct nn_operation_page {
    nn_operation **items;
    int n;
    int64_t total;
    char *next_cursor; /* NULL at the end */
} nn_operation_page;
nn_status nn_operation_list(nn_jobs *j, const nn_operation_filter *f, nn_operation_page *ret,
                            nn_err *err);
void nn_operation_page_done(nn_operation_page *p);
/* How many are in each state. */
nn_status nn_operation_counts(nn_jobs *j, int64_t ret[NN_STATE_COUNT], nn_err *err);

/* Asks for the end: queued → cancelled at once; starting, running → cancelling, and its runner
 * stops it. *ret (NULL allowed) is the operation afterwards. NN_E_NOT_CANCELLABLE when terminal;
 * cancelling again is no error. */
nn_status nn_operation_cancel(nn_jobs *j, const char *id, const char *by, nn_operation **ret,
                              nn_err *err);
/* Forgets a terminal operation, its events and its folder. NN_E_CONFLICT when not terminal.
 * Experiment and models stay. */
nn_status nn_operation_delete(nn_jobs *j, const char *id, nn_err *err);

/* Waits until the operation is terminal or timeout_s has passed, and gives it as it then is. Blocks
 * the calling thread. */
nn_status nn_operation_wait(nn_jobs *j, const char *id, double timeout_s, nn_operation **ret,
                            nn_err *err);

/* The operation's folder <storage>/operations/<id>, in the arena. Logs: stdout.log, stderr.log. */
const char *nn_operation_folder(const nn_jobs *j, const char *id, nn_arena *a);

/* Running. A lease is a value; copies are the same lease. */
typedef struct nn_lease {
    char id[37];
    char owner[64];
    int64_t epoch;
} nn_lease;
/* Takes the first operation of the queue: queued → starting, attempt + 1, a new epoch. kinds: bit
 * set (1u << kind). *ret_op is NULL when nothing waits. Order: level minus one for each ageing_s
 * waited (not past critical), then first in, first out. */
nn_status nn_operation_claim(nn_jobs *j, const char *owner, unsigned kinds, nn_operation **ret_op,
                             nn_lease *ret_lease, nn_err *err);
/* Renews; *ret_state tells the owner of a cancellation. */
nn_status nn_operation_renew(nn_jobs *j, const nn_lease *l, nn_state *ret_state, nn_err *err);
nn_status nn_operation_started(nn_jobs *j, const nn_lease *l, nn_err *err); /* starting → running */

/* What a runner reports between start and end; written in one transaction. */
typedef struct nn_report_batch {
    const nn_json *progress; /* NULL: as it was; the fraction never falls */
    const nn_point *points;
    int n_points;
    const nn_json *warnings; /* a list of texts, added */
} nn_report_batch;
nn_status nn_operation_report(nn_jobs *j, const nn_lease *l, const nn_report_batch *b, nn_err *err);

typedef struct nn_outcome {
    nn_state state; /* succeeded, failed, timed_out or cancelled; a cancelling operation always ends
                       cancelled */
    nn_json *result;   /* the kind's finish may add to it */
    nn_status code;    /* of a failure */
    const char *error; /* a sentence */
    const nn_json *details;
    const char *verdict;
    const nn_json *progress; /* still waiting to be written, as the points are; NULL: none */
    const nn_point *points;
    int n_points;
    const nn_json
        *artifacts; /* list of {file, name, kind, sha256, size}: in the artifact folder already */
    const nn_json *warnings; /* a list of texts, added */
} nn_outcome;
/* The end. *ret_state (NULL allowed): what it ended as. NN_E_CONFLICT: the lease is lost, nothing
 * was written. */
nn_status nn_operation_finish(nn_jobs *j, const nn_lease *l, const nn_outcome *o,
                              nn_state *ret_state, nn_err *err);
/* Gives an operation back: starting, running -> queued, its place in the queue kept. `blame`: its
 * owner vanished; after max_interruptions of these it fails as interrupted instead. A cancelling
 * one ends cancelled. */
nn_status nn_operation_release(nn_jobs *j, const nn_lease *l, bool blame, nn_state *ret_state,
                               nn_err *err);
/* Releases every operation whose lease has run out, and with `owner_gone` all leases (a server that
 * has the store for itself, at its start). *ret_count (NULL allowed): how many. */
nn_status nn_operation_recover(nn_jobs *j, bool owner_gone, int *ret_count, nn_err *err);
#endif
