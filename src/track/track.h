/* SPDX-License-Identifier: MIT */
/* track.h - experiments with metric history, artifacts by content, and the model registry, on top
 * of a store.
 *
 * A track may be used from any thread. Functions that take an nn_txn are parts of a caller's
 * transaction (a training and its experiment begin together or not at all); the others are
 * transactions of their own. Artifact bytes lie under <storage>/artifacts/<first two
 * digits>/<sha256>: written under a temporary name, synced, renamed, never changed. Times are
 * microseconds since 1970. Spec: tracking.md 2, rest-api.md 12.4 and 12.6. */
#ifndef NN_TRACK_TRACK_H
#define NN_TRACK_TRACK_H
#include "store/store.h"

typedef struct nn_track nn_track;
typedef struct nn_model nn_model;
typedef struct nn_graph nn_graph;

/* storage: the folder of artifacts (made if missing); not owned: store. */
nn_status nn_track_open(nn_store *store, const char *storage, nn_track **ret, nn_err *err);
void nn_track_close(nn_track *t); /* NULL allowed */
nn_store *nn_track_store(const nn_track *t);

/* Experiments. */
typedef enum nn_experiment_status {
    NN_EXPERIMENT_CREATED,
    NN_EXPERIMENT_RUNNING,
    NN_EXPERIMENT_COMPLETED,
    NN_EXPERIMENT_FAILED,
    NN_EXPERIMENT_CANCELLED
} nn_experiment_status;

typedef struct nn_experiment_spec {
    const char *id; /* of its operation, for a training */
    const char
        *name; /* NULL: experiment_<UTC stamp> in the group Default; else also the group's name */
    const char *operation_id; /* NULL: a client's own */
    const nn_json *hyperparameters, *tags, *inputs,
        *provenance; /* objects (inputs: a list); NULL: empty */
    int64_t now;
} nn_experiment_spec;
/* "experiment_20260105_093000": what a record without a name is called. Returns buf. */
const char *nn_experiment_default_name(int64_t now, char *buf, size_t cap);
/* NN_E_VALIDATION_ERROR for a name that is blank or longer than 255 bytes; NN_E_ALREADY_EXISTS for
 * an id that is taken. */
nn_status nn_experiment_create(nn_txn *t, const nn_experiment_spec *spec, nn_err *err);
nn_status nn_experiment_set_status(nn_txn *t, const char *id, nn_experiment_status s, int64_t now,
                                   nn_err *err);
nn_status nn_experiment_set_model(nn_txn *t, const char *id, const char *model_id, int64_t now,
                                  nn_err *err);
nn_status nn_experiment_set_inputs(nn_txn *t, const char *id, const nn_json *inputs,
                                   const nn_json *provenance, int64_t now, nn_err *err);
/* Adds values that are new; the same value again is accepted, another is NN_E_CONFLICT. */
nn_status nn_experiment_params(nn_txn *t, const char *id, const nn_json *hyperparameters,
                               nn_err *err);

/* A point of a metric. NaN and infinities are values. */
typedef struct nn_point {
    const char *name;
    int64_t step, ts_ms;
    double value;
} nn_point;
/* Appends points (equal ones are kept once) and keeps latest and best up to date. latest: highest
 * step, then time, then value; best: by the mode of the name (nn_metric_mode), NaN never. One
 * transaction: all or none. */
nn_status nn_experiment_log(nn_txn *t, const char *id, const nn_point *p, int n, int64_t now,
                            nn_err *err);
/* "min" when the name contains loss, error, mse, mae, rmse, perplexity or latency or ends in
 * "time", else "max". */
const char *nn_metric_mode(const char *name);

/* The E of rest-api.md 12.4, with `history` (else the list is empty). NN_E_NOT_FOUND also for a
 * deleted one. */
nn_status nn_experiment_json(nn_track *t, const char *id, bool history, nn_json **ret, nn_err *err);
typedef struct nn_experiment_filter {
    const char *status; /* NULL: all */
    const char *name;   /* contains, any letter case; NULL: all */
    int64_t limit, offset;
    const char *cursor; /* NULL: none */
} nn_experiment_filter;
/* Newest first; ret_items is a list of E without history. ret_cursor (NULL allowed): free() it;
 * NULL when at the end. */
nn_status nn_experiment_list(nn_track *t, const nn_experiment_filter *f, nn_json **ret_items,
                             int64_t *ret_total, char **ret_cursor, nn_err *err);
/* Soft: it is not found afterwards. NN_E_CONFLICT while running. */
nn_status nn_experiment_delete(nn_track *t, const char *id, int64_t now, nn_err *err);

/* Artifacts. */
typedef struct nn_artifact {
    char id[37];
    char sha256[65];
    int64_t size;
} nn_artifact;
/* Takes the bytes of a file or a buffer into the folder: durable when it returns, stored once per
 * content. */
nn_status nn_artifact_put_file(nn_track *t, const char *path, nn_artifact *ret, nn_err *err);
nn_status nn_artifact_put(nn_track *t, const void *p, size_t n, nn_artifact *ret, nn_err *err);
/* The record: name is a relative path (NN_E_VALIDATION_ERROR for "..", empty parts, backslashes,
 * control characters). The same name again is version n + 1, the same name and content nothing new.
 * Fills ret->id. kind: checkpoint model code log report other. */
nn_status nn_artifact_record(nn_txn *t, const char *operation_id, const char *experiment_id,
                             const char *name, const char *kind, const char *media_type,
                             int64_t now, nn_artifact *ret, nn_err *err);
/* Absolute path of the bytes, in the arena. */
const char *nn_artifact_path(const nn_track *t, const char *sha256, nn_arena *a);
/* {id, name, kind, size, sha256, media_type, created_at, href}, the newest version of each name, by
 * name. */
nn_status nn_artifact_list(nn_track *t, const char *operation_id, nn_json **ret, nn_err *err);
/* A row of the artifacts table: by id, or by experiment and name. NN_E_NOT_FOUND. */
nn_status nn_artifact_get(nn_track *t, const char *id, nn_arena *a, nn_row *ret, nn_err *err);
nn_status nn_artifact_find(nn_track *t, const char *experiment_id, const char *name, nn_arena *a,
                           nn_row *ret, nn_err *err);
/* A name's type by its suffix (tracking.md 2: model image table config text other) and media type.
 */
const char *nn_artifact_type(const char *name);
const char *nn_artifact_media_type(const char *name);

/* Models. */
typedef struct nn_registry_file {
    const char *name, *kind; /* kind: rendering weights certificate */
    const char *backend;     /* of a rendering; else NULL */
    const char *media_type;
    const char *sha256; /* of an artifact that is in the folder */
    int64_t size;
} nn_registry_file;
/* What the registry keeps of a network: {network_name, input_shape, output_shape, num_layers,
 * num_parameters}; shapes begin with a null for the batch. */
nn_json *nn_registry_network(const nn_graph *g, int64_t num_layers);
typedef struct nn_registry_spec {
    const char *name;       /* NULL: the network's */
    const char *backend;    /* of the main file; NULL for plain weights */
    const nn_json *network; /* of nn_registry_network */
    const char *source, *experiment_id, *operation_id; /* NULL: unknown */
    const nn_registry_file *files;                     /* the first one is the main file */
    int n_files;
    bool has_weights;
    int64_t now;
} nn_registry_spec;
/* Adds a model as the next version of its name; the same name, backend and main content again gives
 * the existing one. ret_id: 37 bytes. ret_version may be NULL. */
nn_status nn_registry_add(nn_txn *t, const nn_registry_spec *spec, char ret_id[37],
                          int64_t *ret_version, nn_err *err);
/* Adds a file (another backend's rendering) to a model; a file of that name is replaced. */
nn_status nn_registry_add_file(nn_txn *t, const char *model_id, const nn_registry_file *f,
                               int64_t now, nn_err *err);
/* By id, name (its newest version; one with weights is preferred when `weights`), name@version, or
 * file name. NN_E_MODEL_NOT_FOUND names close ones. The row is one of the models table. */
nn_status nn_registry_find(nn_track *t, const char *ref, bool weights, nn_arena *a, nn_row *ret,
                           nn_err *err);
/* The M of rest-api.md 12.6 for a row of nn_registry_find. */
nn_status nn_registry_json(nn_track *t, nn_row model, nn_json **ret, nn_err *err);
typedef struct nn_registry_filter {
    const char *backend, *name; /* NULL: all */
    int64_t limit, offset;
    const char *cursor;
} nn_registry_filter;
nn_status nn_registry_list(nn_track *t, const nn_registry_filter *f, nn_json **ret_items,
                           int64_t *ret_total, char **ret_cursor, nn_err *err);
/* The file of a model: by file name, or by backend, or (both NULL) the main one; kind "weights" by
 * nn_registry_weights. The row is one of model_files; its bytes are at nn_artifact_path(sha256).
 * NN_E_NOT_FOUND lists what there is. */
nn_status nn_registry_file_find(nn_track *t, const char *model_id, const char *file,
                                const char *backend, nn_arena *a, nn_row *ret, nn_err *err);
/* Absolute path of the model's weights file. NN_E_CONFLICT ("train it first") when it has none. */
nn_status nn_registry_weights(nn_track *t, nn_row model, nn_arena *a, const char **ret_path,
                              nn_err *err);
/* Keeps what `neural verify` found (nn_verification_certificate) with a model of nn_registry_find:
 * its file certificate.json, in place of an earlier one. The M shows it in short, as stale once
 * the model has another weights file. NN_E_CONFLICT for a model without weights. */
nn_status nn_registry_certify(nn_track *t, nn_row model, const nn_json *certificate, int64_t now,
                              nn_err *err);
/* NN_E_CONFLICT while a live deployment uses it. */
nn_status nn_registry_delete(nn_track *t, const char *id, nn_err *err);
#endif
