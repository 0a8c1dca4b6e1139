/* SPDX-License-Identifier: MIT */
/* predict.c - /api/v1/deployments/{deployment_id}/predict (rest-api.md 12.5): the hot path; and
 * /api/v1/models/{model_id}/predict, which a deployment of the model answers where there is one.
 * Without one the model is loaded for this one request.
 *
 * A small body is read on the loop's thread, the batcher's thread runs the model and writes the
 * answer, the loop sends it: two changes of thread. A large body is read on the pool. What is not
 * live is looked for in the store, on the pool too. */
#include "api/views.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "serve/record.h"
#include "serve/request.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { INLINE_BODY = 32768 }; /* about 10,000 numbers, 0.1 ms */

/* One prediction under way; in the request's arena. */
typedef struct job {
    nn_prediction p;
    nn_predict_request in;
    nn_request *q;
    nn_live *live;
} job;

static void job_done(job *j) {
    nn_predict_request_done(&j->in);
    nn_live_unref(j->live);
}

/* On a replica's thread. */
static void on_done(nn_prediction *p) {
    job *j = p->ctx;
    nn_request *q = j->q;
    nn_err err = p->err;
    nn_status s = err.code;
    nn_jw w = nn_reply_writer(q);
    nn_predict_answer a = {.model = nn_live_model(j->live),
                           .deployment = nn_live_spec_of(j->live),
                           .request = &j->in,
                           .y = (const float *const *)p->y,
                           .duration_ms = (double)(p->ended - p->began) / 1e6};
    if (!s) s = nn_predict_answer_write(&w, &a, &err);
    if (!s) s = nn_reply_written(q, 200, &err);
    char code[8];
    snprintf(code, sizeof code, "%d", nn_status_http(s));
    nn_series_add(nn_metric_series(NN_METRIC_DEPLOYMENT_REQUESTS, a.deployment->name, code), 1);
    job_done(j);
    nn_request_finish(q, s, &err);
}

static nn_status refuse(nn_request *q, const nn_predict_request *in) {
    for (int i = 0; i < in->n_bad; i++)
        nn_schema_violation(q->errors, "body", in->bad[i].path, in->bad[i].type, "%s",
                            in->bad[i].msg);
    return NN_E_VALIDATION_ERROR;
}

/* Room for the rows of output `output`. */
static nn_status make_room(job *j, const nn_model *m, int output, nn_err *err) {
    const nn_graph *g = m->graph;
    const nn_node *n = &g->nodes[g->outputs[output]];
    int64_t width = nn_shape_elements(&n->shape);
    size_t elements;
    bool huge = __builtin_mul_overflow((size_t)j->in.rows, (size_t)width, &elements);
    j->p.y[output] = huge ? NULL : NN_NEW_N(nn_request_arena(j->q), float, elements);
    if (j->p.y[output]) return NN_OK;
    return nn_fail(err, NN_E_LIMIT,
                   "%lld rows at once are too many for a model with %lld numbers in '%.60s'",
                   (long long)j->in.rows, (long long)width, n->layer_name);
}

static nn_status read_job(job *j, const nn_model *m, nn_err *err) {
    nn_request *q = j->q;
    nn_status s = nn_predict_request_read(q->http->body.p, q->http->body.n, m, &j->in, err);
    if (s) return s == NN_E_VALIDATION_ERROR ? refuse(q, &j->in) : s;
    j->p = (nn_prediction){.rows = j->in.rows, .done = on_done, .ctx = j};
    for (int i = 0; i < NN_SERVE_ENDS; i++) j->p.x[i] = nn_predict_request_x(&j->in, i);
    for (int i = 0; i < j->in.n_outputs && !s; i++) s = make_room(j, m, j->in.outputs[i], err);
    return s;
}

/* Takes live. */
static nn_status predict_live(nn_request *q, nn_live *live, nn_err *err) {
    job *j = NN_NEW(nn_request_arena(q), job);
    if (!j) {
        nn_live_unref(live);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a request");
    }
    j->q = q;
    j->live = live;
    nn_status s = read_job(j, nn_live_model(live), err);
    if (!s) s = nn_request_defer(q, err);
    if (!s) s = nn_batcher_submit(nn_live_batcher(live), &j->p, err);
    if (s) job_done(j);
    return s;
}

/* ---- what is not live ---- */

static nn_status why_not_live(nn_request *q, nn_err *err) {
    nn_row row;
    const char *id = nn_request_param(q, "deployment_id");
    nn_status s = nn_deployment_find(q->app->store, id, nn_request_arena(q), &row, err);
    if (s == NN_E_NOT_FOUND) return nn_view_missing(q, s, "Deployment", id, err);
    if (s) return s;
    const char *status = nn_row_text(row, "status"), *error = nn_row_text(row, "error");
    bool soon = strcmp(status, "deploying") == 0 || strcmp(status, "deployed") == 0;
    if (soon) return nn_fail(err, NN_E_NOT_READY, "Deployment %.100s is not ready yet", id);
    if (error)
        return nn_fail(err, NN_E_CONFLICT, "Deployment %.100s has failed: %.300s", id, error);
    return nn_fail(err, NN_E_CONFLICT, "Deployment %.100s is %s", id, status);
}

static void tell_why_not_live(void *arg) {
    nn_request *q = arg;
    nn_err err = {0};
    nn_status s = why_not_live(q, &err);
    nn_request_finish(q, s, &err);
}

static nn_status post_predict(nn_request *q, nn_err *err) {
    nn_live *live = nn_live_find(q->app->serve, nn_request_param(q, "deployment_id"));
    if (live) return predict_live(q, live, err);
    nn_status s = nn_request_defer(q, err);
    return s ? s : nn_pool_submit(q->app->pool, tell_why_not_live, q, err);
}

/* ---- a model without a deployment ---- */

/* Each loads a model of its own: so many at a time. */
enum { MOST_LOADED = 2, ROWS_TOGETHER = 32 };
static atomic_int loaded;

static nn_status run_once(job *j, const nn_live_spec *spec, const nn_model *m, nn_err *err) {
    nn_engine_choice choice;
    nn_status s = read_job(j, m, err);
    if (!s) s = nn_engine_choose(NULL, m->graph, false, &choice, err);
    if (s) return s;
    nn_batcher_options o = {.engine = choice.engine,
                            .max_batch = j->in.rows < ROWS_TOGETHER ? j->in.rows : ROWS_TOGETHER};
    s = nn_prediction_run(m, &o, &j->p, err);
    if (s) return s;
    nn_jw w = nn_reply_writer(j->q);
    nn_predict_answer a = {.model = m,
                           .deployment = spec,
                           .request = &j->in,
                           .y = (const float *const *)j->p.y,
                           .duration_ms = (double)(j->p.ended - j->p.began) / 1e6};
    s = nn_predict_answer_write(&w, &a, err);
    return s ? s : nn_reply_written(j->q, 200, err);
}

static nn_status load_and_run(nn_request *q, nn_row row, nn_err *err) {
    job j = {.q = q};
    NN_AUTO(nn_model) *m = NULL;
    nn_live_spec spec = {.model_id = nn_row_text(row, "id"),
                         .model_version = nn_row_int(row, "version", 0)};
    nn_status s =
        nn_registry_weights(q->app->track, row, nn_request_arena(q), &spec.model_path, err);
    if (!s) s = nn_model_load(spec.model_path, &m, err);
    if (!s) s = run_once(&j, &spec, m, err);
    nn_predict_request_done(&j.in);
    return s;
}

static nn_status ask_model(nn_request *q, nn_err *err) {
    nn_row row;
    const char *id = nn_request_param(q, "model_id");
    nn_status s = nn_registry_find(q->app->track, id, true, nn_request_arena(q), &row, err);
    if (s == NN_E_MODEL_NOT_FOUND) return nn_view_missing(q, s, "Model", id, err);
    if (s) return s;
    nn_live *live = nn_live_find_model(q->app->serve, nn_row_text(row, "id"));
    if (live) return predict_live(q, live, err);
    if (atomic_fetch_add(&loaded, 1) < MOST_LOADED) {
        s = load_and_run(q, row, err);
    } else {
        s = nn_fail(err, NN_E_QUEUE_FULL, "%d models are being asked without a deployment already",
                    MOST_LOADED);
        s = nn_err_hint(err, s, "POST /deployments/ keeps a model loaded");
    }
    atomic_fetch_sub(&loaded, 1);
    return s;
}

/* ---- the rows ---- */

static const nn_member request_members[] = {
    {"inputs",          NN_ANY, .required = true,
     .help =
         "rows of numbers before normalisation, each nested as the model's input or flat, or "
         "one row alone; or an object {name: rows}, which a model of several inputs needs, with as "
         "many rows of each. \"instances\" is a synonym"},
    {"outputs", NN_ARRAY, .items = NN_STRING,
     .help = "names of outputs, in the order wanted (default: all)"},
    {"top_k",                 NN_INTEGER, .min = 1, .max = INFINITY,
     .help = "also answer the best classes of each row"},
    {0        }
};
static const nn_schema request = {"PredictRequest", request_members, .help = "rows to predict"};
static const nn_member answer_members[] = {
    {"predictions",                                 NN_ARRAY, .items = NN_ANY, .required = true,
     .help = "a row each, of the first output"},
    {"outputs",                              NN_MAP, .items = NN_ANY, .required = true,
     .help = "the rows of each output by its name"},
    {"model_id",     NN_STRING, .required = true, .help = "what answered"},
    {"model_version",                                     NN_INTEGER, .required = true, .help = "which version of it"},
    {"deployment_id",                              NN_STRING, .required = true, .nullable = true,
     .help = "where; null: the model was loaded for this request"},
    {"duration_ms", NN_NUMBER, .required = true, .help = "the engine's time for the batch"},
    {"top",                                    NN_ARRAY, .items = NN_ANY,
     .help = "with top_k: for each row the best classes as {class, score}, best first"},
    {"warnings",                             NN_ARRAY, .items = NN_STRING, .required = true,
     .help = "fields of the request that were ignored"},
    {0                                            }
};
static const nn_schema answer = {"PredictAnswer", answer_members, .help = "what the model says"};
static const nn_status errors[] = {NN_E_NOT_FOUND, NN_E_CONFLICT, NN_E_QUEUE_FULL, NN_E_NOT_READY,
                                   0};

static const nn_status model_errors[] = {NN_E_MODEL_NOT_FOUND, NN_E_AMBIGUOUS_MODEL, NN_E_CONFLICT,
                                         NN_E_QUEUE_FULL,      NN_E_UNSUPPORTED,     0};

const nn_route nn_routes_predict[] = {
    {NN_HTTP_POST,             "/api/v1/deployments/{deployment_id}/predict", post_predict,
     .face = NN_TAG_CANONICAL, .scope = NN_SCOPE_INFER, .group = NN_GROUP_SERVE, .is_inline = true,
     .inline_body = INLINE_BODY, .raw_body = true, .summary = "Ask a deployed model",
     .request = &request, .response = &answer, .errors = errors},
    {NN_HTTP_POST,            "/api/v1/models/{model_id}/predict", ask_model, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_INFER, .group = NN_GROUP_SERVE, .raw_body = true,
     .summary = "Ask a model, deployed or not",
     .help =
         "Without a deployment the model is loaded for each request: deploy what is asked often.", .request = &request, .response = &answer, .errors = model_errors},
    {0}
};
