/* SPDX-License-Identifier: MIT */
/* predict.c - /api/v1/deployments/{deployment_id}/predict (rest-api.md 12.5): the hot path.
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
static nn_status make_room(job *j, int output, nn_err *err) {
    const nn_graph *g = nn_live_model(j->live)->graph;
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

static nn_status read_job(job *j, nn_err *err) {
    nn_request *q = j->q;
    nn_status s = nn_predict_request_read(q->http->body.p, q->http->body.n, nn_live_model(j->live),
                                          &j->in, err);
    if (s) return s == NN_E_VALIDATION_ERROR ? refuse(q, &j->in) : s;
    j->p = (nn_prediction){.rows = j->in.rows, .done = on_done, .ctx = j};
    for (int i = 0; i < NN_SERVE_ENDS; i++) j->p.x[i] = nn_predict_request_x(&j->in, i);
    for (int i = 0; i < j->in.n_outputs && !s; i++) s = make_room(j, j->in.outputs[i], err);
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
    nn_status s = read_job(j, err);
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

/* ---- the row ---- */

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
    {"deployment_id",                              NN_STRING, .required = true, .help = "where"},
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

const nn_route nn_routes_predict[] = {
    {NN_HTTP_POST,  "/api/v1/deployments/{deployment_id}/predict", post_predict,
     .face = NN_TAG_CANONICAL, .scope = NN_SCOPE_INFER, .group = NN_GROUP_SERVE, .is_inline = true,
     .inline_body = INLINE_BODY, .raw_body = true, .summary = "Ask a deployed model",
     .request = &request, .response = &answer, .errors = errors},
    {0}
};
