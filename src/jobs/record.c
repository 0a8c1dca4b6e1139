/* SPDX-License-Identifier: MIT */
/* An operation as a record: rows to snapshots, snapshots to the canonical JSON. */
#include "base/clock.h"
#include "jobs/jobs_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(nn_row r, const char *column) {
    const char *s = nn_row_text(r, column);
    char *copy = s ? strdup(s) : NULL;
    if (s && !copy) abort();
    return copy;
}

nn_operation *nn_operation_from_row(nn_row r) {
    const char *kind = nn_row_text(r, "kind"), *state = nn_row_text(r, "state");
    int k = kind ? nn_kind_id_find(kind) : -1, s = state ? nn_state_find(state) : -1;
    if (k < 0 || s < 0) return NULL;
    nn_operation *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (nn_operation){
        .kind = (nn_kind_id)k,
        .state = (nn_state)s,
        .level = (nn_level)nn_row_int(r, "level", NN_LEVEL_NORMAL),
        .attempt = (int)nn_row_int(r, "attempt", 0),
        .interruptions = (int)nn_row_int(r, "interruptions", 0),
        .name = text_of(r, "name"),
        .verdict = text_of(r, "verdict"),
        .principal = text_of(r, "principal"),
        .parent_id = text_of(r, "parent_id"),
        .model_id = text_of(r, "model_id"),
        .model_name = text_of(r, "model_name"),
        .backend = text_of(r, "backend"),
        .engine = text_of(r, "engine"),
        .connector = text_of(r, "connector"),
        .error = text_of(r, "error"),
        .error_code = text_of(r, "error_code"),
        .cancelled_by = text_of(r, "cancelled_by"),
        .request = nn_row_json(r, "request"),
        .result = nn_row_json(r, "result"),
        .error_details = nn_row_json(r, "error_details"),
        .warnings = nn_row_json(r, "warnings"),
        .labels = nn_row_json(r, "labels"),
        .progress = nn_row_json(r, "progress"),
        .hardware = nn_row_json(r, "hardware"),
        .timeout_s = nn_row_real(r, "timeout_s", NAN),
        .created_at = nn_row_int(r, "created_at", 0),
        .updated_at = nn_row_int(r, "updated_at", 0),
        .started_at = nn_row_int(r, "started_at", 0),
        .finished_at = nn_row_int(r, "finished_at", 0),
        .queue_position = -1,
        .lease_owner = text_of(r, "lease_owner"),
        .lease_epoch = nn_row_int(r, "lease_epoch", 0),
        .lease_expires = nn_row_int(r, "lease_expires", 0),
    };
    snprintf(op->id, sizeof op->id, "%s", nn_row_text(r, "id"));
    return op;
}

void nn_operation_free(nn_operation *op) {
    if (!op) return;
    char *texts[] = {op->name,       op->verdict,      op->principal,  op->parent_id, op->model_id,
                     op->model_name, op->backend,      op->engine,     op->connector, op->error,
                     op->error_code, op->cancelled_by, op->lease_owner};
    nn_json *values[] = {op->request, op->result,   op->error_details, op->warnings,
                         op->labels,  op->progress, op->hardware};
    for (int i = 0; i < NN_COUNT_OF(texts); i++) free(texts[i]);
    for (int i = 0; i < NN_COUNT_OF(values); i++) nn_json_unref(values[i]);
    free(op);
}

static nn_json *time_json(int64_t us) {
    char text[NN_TIME_TEXT];
    return us ? nn_json_new_str(nn_time_print(us, text)) : nn_json_new_null();
}

static nn_json *count_json(int64_t v) {
    return v < 0 ? nn_json_new_null() : nn_json_new_int(v);
}

nn_json *nn_operation_progress_json(const nn_operation_progress *p) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "fraction", nn_json_new_num(p->fraction));
    nn_json_set(v, "step", nn_json_new_str(p->step));
    nn_json_set(v, "step_index", count_json(p->step_index));
    nn_json_set(v, "step_count", count_json(p->step_count));
    nn_json_set(v, "done", count_json(p->done));
    nn_json_set(v, "total", count_json(p->total));
    nn_json_set(v, "unit", nn_json_new_str(p->unit));
    nn_json_set(v, "rate", nn_json_new_num(p->rate));
    nn_json_set(v, "eta_s", nn_json_new_num(p->eta_s));
    return v;
}

/* The value itself, or `otherwise` (taken). */
static nn_json *or_else(const nn_json *v, nn_json *otherwise) {
    if (!v) return otherwise;
    nn_json_unref(otherwise);
    return nn_json_copy(v);
}

static nn_json *no_progress(void) {
    nn_operation_progress p = {0, NULL, NULL, -1, -1, -1, -1, NAN, NAN};
    return nn_operation_progress_json(&p);
}

static nn_json *links_of(const nn_operation *op) {
    static const char *const more[] = {"events", "logs", "cancel"};
    char text[96];
    nn_json *links = nn_json_new_object();
    snprintf(text, sizeof text, "/api/v1/operations/%s", op->id);
    nn_json_set(links, "self", nn_json_new_str(text));
    for (int i = 0; i < NN_COUNT_OF(more); i++) {
        snprintf(text, sizeof text, "/api/v1/operations/%s/%s", op->id, more[i]);
        nn_json_set(links, more[i], nn_json_new_str(text));
    }
    return links;
}

static nn_json *model_of(const nn_operation *op) {
    if (!op->model_id && !op->model_name) return nn_json_new_null();
    nn_json *m = nn_json_new_object();
    nn_json_set(m, "id", nn_json_new_str(op->model_id));
    nn_json_set(m, "name", nn_json_new_str(op->model_name));
    return m;
}

static nn_json *duration_of(const nn_operation *op) {
    bool known = op->started_at && op->finished_at;
    return known ? nn_json_new_num((double)(op->finished_at - op->started_at) * 1e-6)
                 : nn_json_new_null();
}

static bool hide(void *ctx, const char *key, nn_json *v) {
    (void)v;
    nn_json_set(ctx, key, nn_json_new_str("***"));
    return true;
}

/* What was asked for, without the values that the kind keeps to itself. */
static nn_json *shown_request(const nn_operation *op) {
    const char *secret = nn_kind_at(op->kind)->secret;
    const nn_json *values = secret ? nn_json_get(op->request, secret) : NULL;
    if (!values) return op->request ? nn_json_copy(op->request) : nn_json_new_object();
    nn_json *shown = nn_json_copy(op->request), *names = nn_json_new_object();
    nn_json_each(values, hide, names);
    nn_json_set(shown, secret, names);
    return shown;
}

nn_json *nn_operation_json(const nn_operation *op, bool with_request, nn_json *artifacts) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "id", nn_json_new_str(op->id));
    nn_json_set(v, "operation_id", nn_json_new_str(op->id));
    nn_json_set(v, "kind", nn_json_new_str(nn_kind_id_name(op->kind)));
    nn_json_set(v, "name", nn_json_new_str(op->name));
    nn_json_set(v, "state", nn_json_new_str(nn_state_name(op->state)));
    nn_json_set(v, "verdict", nn_json_new_str(op->verdict));
    nn_json_set(v, "progress", or_else(op->progress, no_progress()));
    nn_json_set(v, "model", model_of(op));
    nn_json_set(v, "backend", nn_json_new_str(op->backend));
    nn_json_set(v, "engine", nn_json_new_str(op->engine));
    nn_json_set(v, "hardware", or_else(op->hardware, nn_json_new_array()));
    nn_json_set(v, "connector", nn_json_new_str(op->connector));
    if (with_request) nn_json_set(v, "request", shown_request(op));
    nn_json_set(v, "result", or_else(op->result, nn_json_new_null()));
    nn_json_set(v, "error", nn_json_new_str(op->error));
    nn_json_set(v, "error_code", nn_json_new_str(op->error_code));
    nn_json_set(v, "error_details", or_else(op->error_details, nn_json_new_null()));
    nn_json_set(v, "warnings", or_else(op->warnings, nn_json_new_array()));
    nn_json_set(v, "parent_id", nn_json_new_str(op->parent_id));
    nn_json_set(v, "children", nn_json_new_null());
    nn_json_set(v, "labels", or_else(op->labels, nn_json_new_object()));
    nn_json_set(v, "queue_priority", nn_json_new_str(nn_level_name(op->level)));
    nn_json_set(v, "queue_position", count_json(op->queue_position));
    nn_json_set(v, "principal", nn_json_new_str(op->principal));
    nn_json_set(v, "timeout_s", nn_json_new_num(op->timeout_s));
    nn_json_set(v, "attempt", nn_json_new_int(op->attempt));
    nn_json_set(v, "created_at", time_json(op->created_at));
    nn_json_set(v, "started_at", time_json(op->started_at));
    nn_json_set(v, "finished_at", time_json(op->finished_at));
    nn_json_set(v, "duration_s", duration_of(op));
    nn_json_set(v, "artifacts", artifacts ? artifacts : nn_json_new_array());
    nn_json_set(v, "links", links_of(op));
    return v;
}
