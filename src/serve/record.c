/* SPDX-License-Identifier: MIT */
#include "serve/record.h"

#include "base/clock.h"

#include <string.h>

static nn_status by_name(nn_store *s, const char *name, nn_arena *a, nn_rows *ret, nn_err *err) {
    const nn_cell over[] = {nn_cell_text("deploying"), nn_cell_text("deployed")};
    const nn_where where[] = {NN_WHERE_TEXT("name", NN_CMP_EQ, name),
                              NN_WHERE_IN("status", over, 2)};
    const nn_sort sort[] = {
        {"created_at", true},
        {"id",         true}
    };
    nn_query q = {.table = NN_TABLE_DEPLOYMENTS,
                  .where = where,
                  .n_where = 2,
                  .sort = sort,
                  .n_sort = 2,
                  .limit = 1};
    return nn_store_select(s, &q, a, ret, err);
}

nn_status nn_deployment_find(nn_store *s, const char *id_or_name, nn_arena *a, nn_row *ret,
                             nn_err *err) {
    nn_status st = nn_store_get(s, NN_TABLE_DEPLOYMENTS, id_or_name, a, ret, NULL);
    if (st != NN_E_NOT_FOUND)
        return st ? nn_store_get(s, NN_TABLE_DEPLOYMENTS, id_or_name, a, ret, err) : NN_OK;
    nn_rows rows;
    st = by_name(s, id_or_name, a, &rows, err);
    if (st) return st;
    if (!rows.n) return nn_fail(err, NN_E_NOT_FOUND, "Deployment %.100s not found", id_or_name);
    *ret = nn_rows_at(&rows, 0);
    return NN_OK;
}

nn_status nn_deployment_list(nn_store *s, const nn_deployment_filter *f, nn_arena *a, nn_rows *ret,
                             nn_err *err) {
    const nn_where where[] = {f->status ? NN_WHERE_TEXT("status", NN_CMP_EQ, f->status)
                                        : NN_WHERE_TEXT("status", NN_CMP_NE, "stopped")};
    const nn_sort sort[] = {
        {"created_at", true},
        {"id",         true}
    };
    nn_query q = {.table = NN_TABLE_DEPLOYMENTS,
                  .where = where,
                  .n_where = 1,
                  .sort = sort,
                  .n_sort = 2,
                  .limit = f->limit,
                  .offset = f->offset,
                  .want_total = true};
    return nn_store_select(s, &q, a, ret, err);
}

nn_status nn_deployment_set(nn_txn *t, const char *id, const char *status, const char *endpoint,
                            const char *error, int64_t now, bool *ret_changed, nn_err *err) {
    const nn_field set[] = {NN_FIELD_TEXT("status", status), NN_FIELD_TEXT("endpoint", endpoint),
                            NN_FIELD_TEXT("error", error), NN_FIELD_INT("updated_at", now)};
    const nn_where where[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, id),
                              NN_WHERE_TEXT("status", NN_CMP_NE, "stopped")};
    int64_t changed = 0;
    nn_status s = nn_txn_update(t, NN_TABLE_DEPLOYMENTS, set, 4, where, 2, &changed, err);
    if (!s && ret_changed) *ret_changed = changed > 0;
    return s;
}

typedef struct engine_ctx {
    const char *id, *engine;
} engine_ctx;

static nn_status engine_txn(nn_txn *t, void *ctx, nn_err *err) {
    const engine_ctx *c = ctx;
    const nn_field set[] = {NN_FIELD_TEXT("engine", c->engine)};
    const nn_where where[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, c->id)};
    return nn_txn_update(t, NN_TABLE_DEPLOYMENTS, set, 1, where, 1, NULL, err);
}

nn_status nn_deployment_set_engine(nn_store *s, const char *id, const char *engine, nn_err *err) {
    engine_ctx c = {id, engine};
    return nn_store_write(s, engine_txn, &c, err);
}

typedef struct stop_ctx {
    const char *id;
    int64_t now;
} stop_ctx;

static nn_status stop_txn(nn_txn *t, void *ctx, nn_err *err) {
    const stop_ctx *c = ctx;
    return nn_deployment_set(t, c->id, "stopped", NULL, NULL, c->now, NULL, err);
}

nn_status nn_deployment_stop(nn_store *s, const char *id, int64_t now, nn_err *err) {
    stop_ctx c = {id, now};
    return nn_store_write(s, stop_txn, &c, err);
}

static nn_json *time_json(int64_t us) {
    char text[NN_TIME_TEXT];
    return us ? nn_json_new_str(nn_time_print(us, text)) : nn_json_new_null();
}

static const char *health_of(const char *status, bool live) {
    if (strcmp(status, "deployed") != 0) return "unknown";
    return live ? "healthy" : "unhealthy";
}

static const char *sentence_of(const char *status) {
    if (strcmp(status, "deploying") == 0) return "Deployment job submitted successfully";
    if (strcmp(status, "deployed") == 0) return "The deployment answers predictions";
    if (strcmp(status, "stopped") == 0) return "The deployment was stopped; its name is free";
    return "The deployment failed";
}

void nn_deployment_endpoint(const char *url, const char *id, nn_buf *out) {
    nn_buf_printf(out, "%s/api/v1/deployments/%s/predict", url, id);
}

static nn_json *endpoint_json(const char *url, const char *id, const char *status) {
    NN_BUF text = {0};
    if (strcmp(status, "deployed") != 0) return nn_json_new_null();
    nn_deployment_endpoint(url, id, &text);
    return nn_json_new_strn(nn_buf_str(&text), text.n);
}

nn_json *nn_deployment_json(nn_row row, bool live, const char *url) {
    static const char *const texts[] = {"status",  "endpoint", "model_id",
                                        "backend", "engine",   "error"};
    const char *status = nn_row_text(row, "status"), *error = nn_row_text(row, "error");
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "deployment_id", nn_json_new_str(nn_row_text(row, "id")));
    nn_json_set(o, "deployment_name", nn_json_new_str(nn_row_text(row, "name")));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        nn_json_set(o, texts[i], nn_json_new_str(nn_row_text(row, texts[i])));
    nn_json_set(o, "endpoint", endpoint_json(url, nn_row_text(row, "id"), status));
    nn_json_set(o, "message", nn_json_new_str(error ? error : sentence_of(status)));
    nn_json_set(o, "model_version",
                nn_row_null(row, "model_version")
                    ? nn_json_new_null()
                    : nn_json_new_int(nn_row_int(row, "model_version", 0)));
    nn_json_set(o, "replicas", nn_json_new_int(nn_row_int(row, "replicas", 1)));
    nn_json *config = nn_row_json(row, "config");
    nn_json_set(o, "config", config ? config : nn_json_new_object());
    nn_json_set(o, "created_at", time_json(nn_row_int(row, "created_at", 0)));
    nn_json_set(o, "updated_at", time_json(nn_row_int(row, "updated_at", 0)));
    nn_json_set(o, "health", nn_json_new_str(health_of(status, live)));
    nn_json_set(o, "operation_id", nn_json_new_str(nn_row_text(row, "id")));
    return o;
}

nn_live_spec nn_deployment_live(nn_row row, const nn_json *config, const char *model_path) {
    return (nn_live_spec){.id = nn_row_text(row, "id"),
                          .name = nn_row_text(row, "name"),
                          .model_id = nn_row_text(row, "model_id"),
                          .model_version = nn_row_int(row, "model_version", 0),
                          .model_path = model_path,
                          .replicas = (int)nn_row_int(row, "replicas", 1),
                          .max_batch = nn_json_int(nn_json_get(config, "max_batch_size"), 32),
                          .max_queue = nn_json_int(nn_json_get(config, "max_queue"), 1024),
                          .max_delay_ms = nn_json_num(nn_json_get(config, "max_delay_ms"), 2)};
}
