/* SPDX-License-Identifier: MIT */
#include "api/services.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "jobs/kinds.h"
#include "jobs/supervisor.h"
#include "serve/record.h"
#include "track/track.h"

#include <string.h>

/* ---- deploy: the run function that jobs/ leaves to a higher folder ---- */

/* Nobody names the engine of a deployment: the best that runs it is chosen at each start. */
static nn_status start_from_record(nn_app *a, const char *id, nn_arena *arena,
                                   nn_engine_choice *ret_choice, nn_err *err) {
    nn_row row, model;
    const char *path = NULL;
    nn_status s = nn_deployment_find(a->store, id, arena, &row, err);
    if (!s) s = nn_registry_find(a->track, nn_row_text(row, "model_id"), true, arena, &model, err);
    if (!s) s = nn_registry_weights(a->track, model, arena, &path, err);
    if (s) return s;
    NN_JSON *config = nn_row_json(row, "config");
    nn_live_spec spec = nn_deployment_live(row, config, path);
    s = nn_serve_start(a->serve, &spec, ret_choice, err);
    if (s) return s;
    if (*ret_choice->warning)
        nn_log(NN_LOG_WARNING, ret_choice->warning, nn_kv_str("deployment", spec.name));
    const char *engine = ret_choice->engine->name;
    if (strcmp(nn_row_text(row, "engine"), engine) == 0) return NN_OK;
    s = nn_deployment_set_engine(a->store, id, engine, err);
    if (s) nn_serve_stop(a->serve, id);
    return s;
}

static nn_json *deploy_result(nn_app *a, const nn_run *r) {
    NN_BUF endpoint = {0};
    nn_deployment_endpoint(nn_api_url(a), r->id, &endpoint);
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "status", nn_json_new_str("deployed"));
    nn_json_set(o, "deployment_id", nn_json_new_str(r->id));
    nn_json_set(o, "deployment_name",
                nn_json_new_str(nn_json_str(nn_json_get(r->request, "deployment_name"), NULL)));
    nn_json_set(o, "endpoint", nn_json_new_strn(nn_buf_str(&endpoint), endpoint.n));
    nn_json_set(o, "message", nn_json_new_str("The deployment answers"));
    return o;
}

/* Whether the record was stopped while its live half was made. A stop that comes after this look
 * finds the live half and ends it. */
static nn_status check_wanted(nn_app *a, const char *id, nn_arena *arena, nn_err *err) {
    nn_row row;
    nn_status s = nn_deployment_find(a->store, id, arena, &row, err);
    if (s || strcmp(nn_row_text(row, "status"), "stopped") != 0) return s;
    return nn_fail(err, NN_E_CANCELLED, "the deployment was stopped before it answered");
}

/* What becomes of the record is for the operation's end, in one transaction (jobs/kinds/deploy.c).
 */
static nn_status run_deploy(void *ctx, const nn_run *r, nn_json **ret_result, nn_json **ret_details,
                            nn_err *err) {
    (void)ret_details;
    nn_app *a = ctx;
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "deploy", 1 << 20);
    nn_serve_stop(a->serve, r->id); /* of an earlier attempt whose end could not be stored */
    nn_engine_choice choice;
    nn_status s = start_from_record(a, r->id, arena, &choice, err);
    if (s) return s;
    if (*choice.warning && r->report.warning) r->report.warning(r->report.ctx, choice.warning);
    s = check_wanted(a, r->id, arena, err);
    if (s)
        nn_serve_stop(a->serve, r->id);
    else
        *ret_result = deploy_result(a, r);
    return s;
}

typedef struct outcome {
    const char *id, *error;
} outcome;

static nn_status set_failed(nn_txn *t, void *ctx, nn_err *err) {
    const outcome *o = ctx;
    return nn_deployment_set(t, o->id, "failed", NULL, o->error, nn_clock_wall(), NULL, err);
}

/* Deployments that answered when the last server stopped answer again; one that cannot is marked
 * failed with the reason. */
static nn_status restore(nn_app *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "restore", 64 << 20);
    nn_deployment_filter f = {.status = "deployed", .limit = 100000};
    nn_rows rows;
    nn_status s = nn_deployment_list(a->store, &f, arena, &rows, err);
    for (int64_t i = 0; !s && i < rows.n; i++) {
        const char *id = nn_row_text(nn_rows_at(&rows, i), "id");
        nn_err why = {0};
        nn_engine_choice choice;
        if (start_from_record(a, id, arena, &choice, &why) == NN_OK) continue;
        nn_log(NN_LOG_ERROR, "a deployment cannot be brought back", nn_kv_str("deployment", id),
               nn_kv_err(&why));
        outcome o = {.id = id, .error = why.msg};
        s = nn_store_write(a->store, set_failed, &o, err);
    }
    return s;
}

/* ---- open and close ---- */

nn_status nn_services_open(nn_app *a, nn_err *err) {
    nn_jobs_options jobs = {.track = a->track};
    nn_supervisor_options o = {0};
    nn_jobs_configure(a->config, &jobs, &o);
    nn_status s = nn_jobs_open(&jobs, &a->jobs, err);
    if (s) return s;
    a->serve = nn_serve_new();
    nn_jobs_set_run(a->jobs, NN_KIND_DEPLOY, run_deploy, a);
    s = restore(a, err);
    if (s) return s;
    o.jobs = a->jobs;
    return nn_supervisor_start(&o, &a->supervisor, err);
}

void nn_services_close(nn_app *a) {
    nn_supervisor_stop(a->supervisor);
    nn_serve_free(a->serve);
    nn_jobs_close(a->jobs);
}
