/* SPDX-License-Identifier: MIT */
/* A run in the server itself: what short kinds do on a thread, from a lease to the end. */
#include "base/file.h"
#include "jobs/jobs_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEPT = 1000 };

nn_status nn_run_model(nn_jobs *j, const nn_operation *op, nn_arena *a, const char **ret_path,
                       const char **ret_source, nn_err *err) {
    nn_row r;
    *ret_path = *ret_source = NULL;
    const char *id = nn_json_str(nn_json_get(op->request, "model_id"), NULL) ? op->model_id : NULL;
    if (!id) return NN_OK;
    nn_status s = nn_registry_find(j->track, id, true, a, &r, err);
    if (s != NN_OK) return s;
    *ret_source = nn_row_text(r, "source");
    if (nn_row_int(r, "has_weights", 0)) s = nn_registry_weights(j->track, r, a, ret_path, err);
    return s;
}

nn_status nn_run_keep(nn_jobs *j, const char *folder, const char *file, const char *name,
                      const char *kind, nn_json *list, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "keep", 0);
    nn_artifact kept;
    if (strchr(file, '/') || !strcmp(file, "..") || !*file)
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "artifact file '%.80s' lies outside of the folder", file);
    if (nn_json_size(list) >= MAX_KEPT)
        return nn_fail(err, NN_E_LIMIT, "more than %d artifacts", MAX_KEPT);
    nn_status s =
        nn_artifact_put_file(j->track, nn_arena_printf(a, "%s/%s", folder, file), &kept, err);
    if (s != NN_OK) return s;
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "file", nn_json_new_str(file));
    nn_json_set(v, "name", nn_json_new_str(name));
    nn_json_set(v, "kind", nn_json_new_str(kind));
    nn_json_set(v, "sha256", nn_json_new_str(kept.sha256));
    nn_json_set(v, "size", nn_json_new_int(kept.size));
    nn_json_push(list, v);
    return NN_OK;
}

void nn_run_evidence(const nn_err *e, nn_json *details) {
    if (e->hint[0]) nn_json_set(details, "hint", nn_json_new_str(e->hint));
    if (!e->line) return;
    nn_json_set(details, "line", nn_json_new_int(e->line));
    nn_json_set(details, "column", nn_json_new_int(e->col));
}

/* What a run in this process tells: artifacts and warnings are collected; short kinds have no
 * metrics. */
typedef struct here {
    nn_jobs *jobs;
    const nn_lease *lease;
    const char *folder;
    nn_json *artifacts, *warnings;
    nn_err err; /* of keeping an artifact */
} here;

static void on_warning(void *ctx, const char *text) {
    nn_json_push(((here *)ctx)->warnings, nn_json_new_str(text));
}

static void on_artifact(void *ctx, const char *file, const char *name, const char *kind) {
    here *h = ctx;
    if (h->err.code == NN_OK)
        (void)!nn_run_keep(h->jobs, h->folder, file, name, kind, h->artifacts, &h->err);
}

static nn_status run_kind(nn_jobs *j, const nn_operation *op, here *h,
                          const volatile sig_atomic_t *stop, nn_arena *a, nn_json **ret_result,
                          nn_json **ret_details, nn_err *err) {
    nn_run r = {
        .request = op->request,
        .id = op->id,
        .folder = h->folder,
        .resume = op->attempt > 1,
        .stop = stop,
        .report = {.ctx = h, .warning = on_warning, .artifact = on_artifact}
    };
    nn_status s = nn_run_model(j, op, a, &r.model_path, &r.model_source, err);
    if (s == NN_OK) s = nn_mkdirs(h->folder, err);
    if (s == NN_OK) s = nn_kind_run(j, op->kind, &r, ret_result, ret_details, err);
    if (s == NN_OK && h->err.code != NN_OK) {
        s = h->err.code;
        if (err) *err = h->err;
    }
    return s;
}

nn_status nn_operation_run_here(nn_jobs *j, const nn_operation *op, const nn_lease *l,
                                const volatile sig_atomic_t *stop, nn_state *ret_state,
                                nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "run", 0);
    NN_JSON *artifacts = nn_json_new_array(), *warnings = nn_json_new_array();
    NN_JSON *result = NULL, *details = NULL;
    here h = {.jobs = j,
              .lease = l,
              .folder = nn_operation_folder(j, op->id, a),
              .artifacts = artifacts,
              .warnings = warnings};
    nn_err why = {0};
    nn_status s = nn_operation_started(j, l, err);
    if (s != NN_OK) return s;
    nn_status ran = run_kind(j, op, &h, stop, a, &result, &details, &why);
    if (ran != NN_OK && !details) details = nn_json_new_object();
    if (ran != NN_OK) nn_run_evidence(&why, details);
    nn_outcome o = {.state = ran == NN_OK ? NN_STATE_SUCCEEDED : NN_STATE_FAILED,
                    .result = result,
                    .code = ran,
                    .error = ran == NN_OK ? NULL : why.msg,
                    .details = details,
                    .artifacts = artifacts,
                    .warnings = warnings};
    s = nn_operation_finish(j, l, &o, ret_state, err);
    if (s == NN_OK)
        nn_remove_tree(h.folder, NULL); /* what is worth keeping is in the artifact folder */
    return s;
}
