/* SPDX-License-Identifier: MIT */
/* record.h - deployments as the store keeps them. A record outlives its live half: a stopped or
 * failed one stays readable. All functions may be called from any thread; rows live in the arena
 * given. */
#ifndef NN_SERVE_RECORD_H
#define NN_SERVE_RECORD_H
#include "serve/serve.h"
#include "store/store.h"

/* By id, or by name among those that are not stopped or failed. NN_E_NOT_FOUND. */
nn_status nn_deployment_find(nn_store *s, const char *id_or_name, nn_arena *a, nn_row *ret,
                             nn_err *err);

typedef struct nn_deployment_filter {
    const char *status; /* deploying deployed failed stopped; NULL: all but the stopped ones */
    int64_t limit, offset;
} nn_deployment_filter;
/* Newest first. */
nn_status nn_deployment_list(nn_store *s, const nn_deployment_filter *f, nn_arena *a, nn_rows *ret,
                             nn_err *err);

/* Sets status, endpoint and error (NULL: null) of one that is not stopped yet; *ret_changed tells
 * whether it was there. */
nn_status nn_deployment_set(nn_txn *t, const char *id, const char *status, const char *endpoint,
                            const char *error, int64_t now, bool *ret_changed, nn_err *err);
/* Records which engine runs it. */
nn_status nn_deployment_set_engine(nn_store *s, const char *id, const char *engine, nn_err *err);
/* Marks it stopped, which frees the name. NN_E_NOT_FOUND; one that is stopped already is fine. */
nn_status nn_deployment_stop(nn_store *s, const char *id, int64_t now, nn_err *err);

/* The D of rest-api.md 12.5. live: whether it answers now; url: of this server, for the endpoint.
 */
nn_json *nn_deployment_json(nn_row row, bool live, const char *url);
/* Where a deployment answers, appended to out. */
void nn_deployment_endpoint(const char *url, const char *id, nn_buf *out);
/* What a live deployment is made from: request-style `config` with its defaults. Texts are borrowed
 * from row and path. */
nn_live_spec nn_deployment_live(nn_row row, const nn_json *config, const char *model_path);
#endif
