/* SPDX-License-Identifier: MIT */
/* kinds.h - what can be done as an operation: rows of kinds.def, each with its request fields and
 * its run function.
 *
 * A run function gets a request that its kind has accepted, reports through nn_reporter, and gives
 * its result. It runs either in the server (short kinds) or in a child process started as `neural
 * operation run` (heavy kinds), never knowing which: it may not touch the store. What must be
 * stored with the result is the kind's `finish`, which runs in the server inside the finishing
 * transaction. */
#ifndef NN_JOBS_KINDS_H
#define NN_JOBS_KINDS_H
#include "base/schema.h"
#include "jobs/operation.h"

#include <signal.h>

/* What every request accepts, whatever its kind; the last members of its table. */
#define NN_MEMBER_REQUEST                                                                          \
    {"name", NN_STRING, .min = 1, .max = 255, .help = "name of the operation"},                    \
        {"labels", NN_MAP, .items = NN_STRING, .max = 64, .help = "texts to find it by"},          \
        {"queue_priority", NN_STRING, .one_of = "critical high normal low",                        \
         .help = "level in the queue (default normal)"},                                           \
        {"timeout_s",     NN_NUMBER,         .min = 0,                                             \
         .max = 31536000, .above_min = true, .help = "seconds that it may run"},                   \
    {                                                                                              \
        "connector", NN_STRING, .one_of = "local", .help = "where it runs"                         \
    }
extern const nn_schema nn_request_compile, nn_request_train, nn_request_deploy;

/* What a run function tells while it works; members may be NULL. Called from its thread. */
typedef struct nn_reporter {
    void *ctx;
    void (*progress)(void *ctx, const nn_operation_progress *p);
    void (*metric)(void *ctx, const char *name, int64_t step, double value, int64_t ts_ms);
    void (*log)(void *ctx, const char *text);
    void (*warning)(void *ctx, const char *text);
    /* A file in the run's folder that is to be kept: name is relative to the folder. */
    void (*artifact)(void *ctx, const char *file, const char *name, const char *kind);
    void (*resumed)(void *ctx, int64_t epoch); /* continues after this epoch */
} nn_reporter;

typedef struct nn_run {
    const nn_json *request;
    const char *id;
    const char *folder;       /* to work in; NULL: keep everything in memory */
    const char *model_path;   /* weights of request.model_id, resolved by the server; NULL: none */
    const char *model_source; /* program text of request.model_id; NULL: none */
    bool resume;              /* continue from what an earlier attempt left in the folder */
    int threads;              /* 0: all */
    const volatile sig_atomic_t *stop; /* set: end soon with NN_E_CANCELLED; may be NULL */
    nn_reporter report;
} nn_run;
/* *ret_result is the kind's result object; on failure *ret_details may hold evidence (diagnostics),
 * owned by the caller. */
typedef nn_status nn_run_fn(const nn_run *r, nn_json **ret_result, nn_json **ret_details,
                            nn_err *err);

/* What the finishing transaction of a kind sees. folder holds the files that the run left; sha256
 * of each artifact it named is already in the artifact folder. */
typedef struct nn_finish {
    nn_jobs *jobs;
    const nn_operation *op;
    nn_json *result;          /* may be added to: model_id */
    const nn_json *artifacts; /* list of {file, name, kind, sha256, size} */
    int64_t now;
} nn_finish;

typedef struct nn_kind {
    const char *name, *summary;
    const nn_schema *request;
    const char *secret; /* a member of the request whose values are not shown; NULL: none */
    bool child; /* runs in a child process and counts against queue.workers; else on a thread of the
                   server */
    bool has_experiment; /* an experiment of the same id follows its state */
    bool resumable;      /* a new attempt continues from the folder; else it starts afresh */
    double timeout_s;    /* 0: none */
    /* What the schema cannot say. Adds problems with nn_schema_violation, warnings as texts. Called
     * for any object; members of a wrong type are problems already. NULL: nothing. */
    nn_status (*check)(nn_jobs *j, const nn_json *request, nn_json *problems, nn_json *warnings,
                       nn_err *err);
    /* Fills backend, engine, model_id, model_name, name of a new operation. NULL: nothing. */
    nn_status (*describe)(nn_jobs *j, const nn_json *request, nn_operation *op, nn_json *warnings,
                          nn_err *err);
    nn_status (*create)(nn_txn *t, const nn_operation *op,
                        nn_err *err); /* in the creating transaction; NULL: nothing */
    nn_run_fn *run;                   /* NULL: nn_jobs_set_run */
    nn_status (*finish)(nn_txn *t, nn_finish *f, nn_err *err); /* NULL: nothing */
    /* In the transaction that ends the operation, however it ends, after finish. NULL: nothing. */
    nn_status (*ended)(nn_txn *t, const nn_operation *op, nn_err *err);
} nn_kind;

const nn_kind *nn_kind_at(nn_kind_id k);
/* Gives a kind without a run function of its own the one that a higher folder has (deploy: serve).
 * Before any operation of it is claimed; fn runs on a pool thread, `ctx` is nn_run_ctx inside it.
 */
typedef nn_status nn_run_ctx_fn(void *ctx, const nn_run *r, nn_json **ret_result,
                                nn_json **ret_details, nn_err *err);
void nn_jobs_set_run(nn_jobs *j, nn_kind_id k, nn_run_ctx_fn *fn, void *ctx);
/* Runs a kind's function, or the registered one. NN_E_UNSUPPORTED when there is none. */
nn_status nn_kind_run(nn_jobs *j, nn_kind_id k, const nn_run *r, nn_json **ret_result,
                      nn_json **ret_details, nn_err *err);
bool nn_kind_can_run(const nn_jobs *j, nn_kind_id k);

extern const nn_kind nn_kind_compile, nn_kind_train, nn_kind_deploy;
#endif
