/* SPDX-License-Identifier: MIT */
/* Experiments. A point of a metric is a row that is never changed; beside the points, one row a
 * metric (metric_heads) holds latest and best, so that lists of experiments read no history. */
#include "track/track_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { NAME_MAX_BYTES = 255 };

static const struct {
    const char *name;
    bool terminal;
} statuses[] = {
    [NN_EXPERIMENT_CREATED] = {"created",   false},
      [NN_EXPERIMENT_RUNNING] = {"running",   false},
    [NN_EXPERIMENT_COMPLETED] = {"completed", true },
      [NN_EXPERIMENT_FAILED] = {"failed",    true },
    [NN_EXPERIMENT_CANCELLED] = {"cancelled", true },
};

static bool is_terminal(const char *status) {
    for (int i = 0; i < NN_COUNT_OF(statuses); i++)
        if (!strcmp(statuses[i].name, status)) return statuses[i].terminal;
    return false;
}

const char *nn_metric_mode(const char *name) {
    static const char *const low[] = {"loss", "error",      "mse",    "mae",
                                      "rmse", "perplexity", "latency"};
    size_t n = strlen(name);
    for (int i = 0; i < NN_COUNT_OF(low); i++)
        if (strcasestr(name, low[i])) return "min";
    return n >= 4 && !strcasecmp(name + n - 4, "time") ? "min" : "max";
}

/* Making and changing. */

const char *nn_experiment_default_name(int64_t now, char *buf, size_t cap) {
    time_t s = (time_t)(now / 1000000);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(buf, cap, "experiment_%Y%m%d_%H%M%S", &tm);
    return buf;
}

static nn_status check_name(const char *name, nn_err *err) {
    if (!name) return NN_OK;
    if (!name[strspn(name, " \t\r\n")])
        return nn_fail(err, NN_E_VALIDATION_ERROR, "experiment_name: is blank");
    if (strlen(name) > NAME_MAX_BYTES)
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "experiment_name: %zu bytes, at most %d are allowed", strlen(name),
                       NAME_MAX_BYTES);
    return NN_OK;
}

nn_status nn_experiment_create(nn_txn *t, const nn_experiment_spec *spec, nn_err *err) {
    char made[64];
    nn_status s = check_name(spec->name, err);
    if (s != NN_OK) return s;
    nn_field f[] = {
        NN_FIELD_TEXT("id", spec->id),
        NN_FIELD_TEXT("name", spec->name
                                  ? spec->name
                                  : nn_experiment_default_name(spec->now, made, sizeof made)),
        NN_FIELD_TEXT("group_name", spec->name ? spec->name : "Default"),
        NN_FIELD_TEXT("status", statuses[NN_EXPERIMENT_CREATED].name),
        NN_FIELD_TEXT("operation_id", spec->operation_id),
        NN_FIELD_JSON("tags", spec->tags),
        NN_FIELD_JSON("inputs", spec->inputs),
        NN_FIELD_JSON("provenance", spec->provenance),
        NN_FIELD_TEXT("lifecycle", "active"),
        NN_FIELD_INT("created_at", spec->now),
        NN_FIELD_INT("updated_at", spec->now),
    };
    s = nn_txn_insert(t, NN_TABLE_EXPERIMENTS, f, NN_COUNT_OF(f), NULL, err);
    return s == NN_OK && spec->hyperparameters
               ? nn_experiment_params(t, spec->id, spec->hyperparameters, err)
               : s;
}

static nn_status change(nn_txn *t, const char *id, const nn_field *f, int n, nn_err *err) {
    nn_where w = NN_WHERE_TEXT("id", NN_CMP_EQ, id);
    int64_t changed = 0;
    nn_status s = nn_txn_update(t, NN_TABLE_EXPERIMENTS, f, n, &w, 1, &changed, err);
    if (s != NN_OK) return s;
    return changed ? NN_OK : nn_fail(err, NN_E_NOT_FOUND, "Experiment %.80s not found", id);
}

nn_status nn_experiment_set_status(nn_txn *t, const char *id, nn_experiment_status status,
                                   int64_t now, nn_err *err) {
    nn_field f[] = {
        NN_FIELD_TEXT("status", statuses[status].name),
        NN_FIELD_INT("updated_at", now),
        statuses[status].terminal ? NN_FIELD_INT("finished_at", now) : NN_FIELD_NULL("finished_at"),
    };
    return change(t, id, f, NN_COUNT_OF(f), err);
}

nn_status nn_experiment_set_model(nn_txn *t, const char *id, const char *model_id, int64_t now,
                                  nn_err *err) {
    nn_field f[] = {NN_FIELD_TEXT("model_id", model_id), NN_FIELD_INT("updated_at", now)};
    return change(t, id, f, NN_COUNT_OF(f), err);
}

nn_status nn_experiment_set_inputs(nn_txn *t, const char *id, const nn_json *inputs,
                                   const nn_json *provenance, int64_t now, nn_err *err) {
    nn_field f[] = {NN_FIELD_JSON("inputs", inputs), NN_FIELD_JSON("provenance", provenance),
                    NN_FIELD_INT("updated_at", now)};
    return change(t, id, f, NN_COUNT_OF(f), err);
}

typedef struct params {
    nn_txn *t;
    const char *id;
    nn_arena *arena;
    nn_err *err;
    nn_status status;
} params;

static bool one_param(void *ctx, const char *name, nn_json *value) {
    params *p = ctx;
    nn_where w[] = {NN_WHERE_TEXT("experiment_id", NN_CMP_EQ, p->id),
                    NN_WHERE_TEXT("name", NN_CMP_EQ, name)};
    nn_query q = {.table = NN_TABLE_PARAMS, .where = w, .n_where = 2, .limit = 1};
    nn_rows rows;
    p->status = nn_txn_select(p->t, &q, p->arena, &rows, p->err);
    if (p->status != NN_OK) return false;
    if (rows.n) {
        NN_JSON *old = nn_row_json(nn_rows_at(&rows, 0), "value");
        if (!nn_json_equal(old, value))
            p->status = nn_fail(p->err, NN_E_CONFLICT,
                                "hyperparameter '%.80s' has another value already", name);
        return p->status == NN_OK;
    }
    nn_field f[] = {NN_FIELD_TEXT("experiment_id", p->id), NN_FIELD_TEXT("name", name),
                    NN_FIELD_JSON("value", value)};
    p->status = nn_txn_insert(p->t, NN_TABLE_PARAMS, f, NN_COUNT_OF(f), NULL, p->err);
    return p->status == NN_OK;
}

nn_status nn_experiment_params(nn_txn *t, const char *id, const nn_json *hyperparameters,
                               nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "params", 0);
    params p = {t, id, a, err, NN_OK};
    nn_json_each(hyperparameters, one_param, &p);
    return p.status;
}

/* Metrics. */

/* Whether (step, ts, value) comes after the head's latest: higher step, then later, then larger. */
static bool is_later(nn_row head, const nn_point *p) {
    int64_t step = nn_row_int(head, "latest_step", 0), ts = nn_row_int(head, "latest_ts_ms", 0);
    double value = nn_row_real(head, "latest_value", -INFINITY);
    if (p->step != step) return p->step > step;
    if (p->ts_ms != ts) return p->ts_ms > ts;
    return p->value > value;
}

static bool is_better(nn_row head, const nn_point *p) {
    if (isnan(p->value)) return false;
    if (nn_row_null(head, "best_step")) return true;
    double best = nn_row_real(head, "best_value", NAN);
    return !strcmp(nn_row_text(head, "mode"), "min") ? p->value < best : p->value > best;
}

static nn_status new_head(nn_txn *t, const char *id, const nn_point *p, nn_err *err) {
    nn_field f[] = {
        NN_FIELD_TEXT("experiment_id", id),
        NN_FIELD_TEXT("name", p->name),
        NN_FIELD_TEXT("mode", nn_metric_mode(p->name)),
        NN_FIELD_REAL("latest_value", p->value),
        NN_FIELD_INT("latest_step", p->step),
        NN_FIELD_INT("latest_ts_ms", p->ts_ms),
        NN_FIELD_REAL("best_value", p->value),
        isnan(p->value) ? NN_FIELD_NULL("best_step") : NN_FIELD_INT("best_step", p->step),
        NN_FIELD_INT("points", 1),
    };
    return nn_txn_insert(t, NN_TABLE_METRIC_HEADS, f, NN_COUNT_OF(f), NULL, err);
}

static nn_status update_head(nn_txn *t, const char *id, const nn_point *p, nn_arena *a,
                             nn_err *err) {
    nn_where w[] = {NN_WHERE_TEXT("experiment_id", NN_CMP_EQ, id),
                    NN_WHERE_TEXT("name", NN_CMP_EQ, p->name)};
    nn_query q = {.table = NN_TABLE_METRIC_HEADS, .where = w, .n_where = 2, .limit = 1};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s != NN_OK) return s;
    if (!rows.n) return new_head(t, id, p, err);
    nn_row head = nn_rows_at(&rows, 0);
    nn_field f[6];
    int n = 0;
    f[n++] = NN_FIELD_INT("points", nn_row_int(head, "points", 0) + 1);
    if (is_later(head, p)) {
        f[n++] = NN_FIELD_REAL("latest_value", p->value);
        f[n++] = NN_FIELD_INT("latest_step", p->step);
        f[n++] = NN_FIELD_INT("latest_ts_ms", p->ts_ms);
    }
    if (is_better(head, p)) {
        f[n++] = NN_FIELD_REAL("best_value", p->value);
        f[n++] = NN_FIELD_INT("best_step", p->step);
    }
    return nn_txn_update(t, NN_TABLE_METRIC_HEADS, f, n, w, 2, NULL, err);
}

nn_status nn_experiment_log(nn_txn *t, const char *id, const nn_point *p, int n, int64_t now,
                            nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "points", 0);
    nn_field touched = NN_FIELD_INT("updated_at", now);
    nn_status s = change(t, id, &touched, 1, err);
    for (int i = 0; i < n && s == NN_OK; i++) {
        nn_field f[] = {
            NN_FIELD_TEXT("experiment_id", id), NN_FIELD_TEXT("name", p[i].name),
            NN_FIELD_INT("step", p[i].step),    NN_FIELD_INT("ts_ms", p[i].ts_ms),
            NN_FIELD_REAL("value", p[i].value),
        };
        s = nn_txn_insert(t, NN_TABLE_METRICS, f, NN_COUNT_OF(f), NULL, err);
        if (s == NN_OK)
            s = update_head(t, id, &p[i], a, err);
        else if (s == NN_E_ALREADY_EXISTS)
            s = NN_OK; /* the same point again */
    }
    return s;
}

/* Reading. */

static nn_status read_params(nn_txn *t, nn_where of, nn_arena *a, nn_json *e, nn_err *err) {
    nn_sort by = {"name", false};
    nn_rows rows;
    nn_status s = nn_track_rows(t, NN_TABLE_PARAMS, &of, 1, &by, 1, a, &rows, err);
    if (s != NN_OK) return s;
    nn_json *values = nn_json_new_object();
    for (int64_t i = 0; i < rows.n; i++)
        nn_json_set(values, nn_row_text(nn_rows_at(&rows, i), "name"),
                    nn_track_value(nn_rows_at(&rows, i), "value", nn_json_new_null()));
    nn_json_set(e, "hyperparameters", values);
    return NN_OK;
}

static nn_status read_heads(nn_txn *t, nn_where of, nn_arena *a, nn_json *metrics, nn_err *err) {
    nn_sort by = {"name", false};
    nn_rows rows;
    nn_status s = nn_track_rows(t, NN_TABLE_METRIC_HEADS, &of, 1, &by, 1, a, &rows, err);
    if (s != NN_OK) return s;
    nn_json *latest = nn_json_new_object(), *best = nn_json_new_object();
    for (int64_t i = 0; i < rows.n; i++) {
        nn_row r = nn_rows_at(&rows, i);
        const char *name = nn_row_text(r, "name");
        nn_json_set(latest, name, nn_json_new_num(nn_row_real(r, "latest_value", NAN)));
        if (nn_row_null(r, "best_step")) continue;
        nn_json *b = nn_json_new_object();
        nn_json_set(b, "value", nn_json_new_num(nn_row_real(r, "best_value", NAN)));
        nn_json_set(b, "step", nn_json_new_int(nn_row_int(r, "best_step", 0)));
        nn_json_set(b, "mode", nn_track_text(r, "mode"));
        nn_json_set(best, name, b);
    }
    nn_json_set(metrics, "latest", latest);
    nn_json_set(metrics, "best", best);
    return NN_OK;
}

/* One object a step; of several values of a name at a step the newest counts. */
static nn_json *history_of(const nn_rows *rows) {
    nn_json *history = nn_json_new_array(), *row = NULL;
    int64_t step = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        nn_row r = nn_rows_at(rows, i);
        if (!row || nn_row_int(r, "step", 0) != step) {
            step = nn_row_int(r, "step", 0);
            row = nn_json_new_object();
            nn_json_set(row, "step", nn_json_new_int(step));
            nn_json_push(history, row);
        }
        nn_json_set(row, "timestamp", nn_json_new_num((double)nn_row_int(r, "ts_ms", 0) / 1000));
        nn_json_set(row, nn_row_text(r, "name"), nn_json_new_num(nn_row_real(r, "value", NAN)));
    }
    return history;
}

static nn_status read_history(nn_txn *t, nn_where of, nn_arena *a, nn_json *metrics, nn_err *err) {
    static const nn_sort by[] = {
        {"step",  false},
        {"ts_ms", false},
        {"id",    false}
    };
    nn_rows rows;
    nn_status s = nn_track_rows(t, NN_TABLE_METRICS, &of, 1, by, 3, a, &rows, err);
    if (s == NN_OK) nn_json_set(metrics, "history", history_of(&rows));
    return s;
}

static nn_status read_artifacts(nn_txn *t, const char *id, nn_arena *a, nn_json *e, nn_err *err) {
    nn_rows rows;
    nn_status s = nn_track_artifacts(t, "experiment_id", id, a, &rows, err);
    if (s != NN_OK) return s;
    nn_json *names = nn_json_new_array();
    for (int64_t i = 0; i < rows.n; i++)
        if (nn_track_newest(&rows, i))
            nn_json_push(names, nn_track_text(nn_rows_at(&rows, i), "name"));
    nn_json_set(e, "artifacts", names);
    return NN_OK;
}

static nn_json *head_of(nn_row r) {
    nn_json *e = nn_json_new_object();
    nn_json_set(e, "experiment_id", nn_track_text(r, "id"));
    nn_json_set(e, "experiment_name", nn_track_text(r, "name"));
    nn_json_set(e, "status", nn_track_text(r, "status"));
    nn_json_set(e, "group_name", nn_track_text(r, "group_name"));
    nn_json_set(e, "created_at", nn_track_time(nn_row_int(r, "created_at", 0)));
    nn_json_set(e, "updated_at", nn_track_time(nn_row_int(r, "updated_at", 0)));
    nn_json_set(e, "end_time", nn_track_time(nn_row_int(r, "finished_at", 0)));
    nn_json_set(e, "tags", nn_track_value(r, "tags", nn_json_new_object()));
    nn_json_set(e, "notes", nn_track_text(r, "notes"));
    nn_json_set(e, "inputs", nn_track_value(r, "inputs", nn_json_new_array()));
    nn_json_set(e, "provenance", nn_track_value(r, "provenance", nn_json_new_null()));
    nn_json_set(e, "job_id", nn_track_text(r, "operation_id"));
    nn_json_set(e, "operation_id", nn_track_text(r, "operation_id"));
    nn_json_set(e, "model_id", nn_track_text(r, "model_id"));
    nn_json_set(e, "parent_id", nn_track_text(r, "parent_id"));
    nn_json_set(e, "lifecycle_stage", nn_track_text(r, "lifecycle"));
    return e;
}

static nn_status read_whole(nn_txn *t, nn_row r, bool history, nn_arena *a, nn_json **ret,
                            nn_err *err) {
    const char *id = nn_row_text(r, "id");
    nn_where of = NN_WHERE_TEXT("experiment_id", NN_CMP_EQ, id);
    nn_json *metrics = nn_json_new_object();
    NN_JSON *e = head_of(r);
    nn_json_set(e, "metrics", metrics);
    nn_status s = read_params(t, of, a, e, err);
    if (s == NN_OK) s = read_heads(t, of, a, metrics, err);
    if (s == NN_OK && history) s = read_history(t, of, a, metrics, err);
    if (!history) nn_json_set(metrics, "history", nn_json_new_array());
    if (s == NN_OK) s = read_artifacts(t, id, a, e, err);
    if (s == NN_OK) *ret = nn_json_ref(e);
    return s;
}

typedef struct get {
    const char *id;
    bool history;
    nn_json *value;
} get;

static nn_status find_active(nn_txn *t, const char *id, nn_arena *a, nn_row *ret, nn_err *err) {
    nn_status s = nn_txn_get(t, NN_TABLE_EXPERIMENTS, id, a, ret, err);
    if (s == NN_E_NOT_FOUND || (s == NN_OK && strcmp(nn_row_text(*ret, "lifecycle"), "active")))
        return nn_fail(err, NN_E_NOT_FOUND, "Experiment %.80s not found", id);
    return s;
}

static nn_status get_fn(nn_txn *t, void *ctx, nn_err *err) {
    get *g = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "experiment", 0);
    nn_row r;
    nn_status s = find_active(t, g->id, a, &r, err);
    return s == NN_OK ? read_whole(t, r, g->history, a, &g->value, err) : s;
}

nn_status nn_experiment_json(nn_track *t, const char *id, bool history, nn_json **ret,
                             nn_err *err) {
    get g = {id, history, NULL};
    nn_status s = nn_store_read(t->store, get_fn, &g, err);
    if (s == NN_OK) *ret = g.value;
    return s;
}

static nn_status list_item(nn_txn *t, nn_row r, nn_arena *a, nn_json **ret, nn_err *err) {
    return read_whole(t, r, false, a, ret, err);
}

nn_status nn_experiment_list(nn_track *t, const nn_experiment_filter *f, nn_json **ret_items,
                             int64_t *ret_total, char **ret_cursor, nn_err *err) {
    nn_where w[3];
    int n = 0;
    w[n++] = NN_WHERE_TEXT("lifecycle", NN_CMP_EQ, "active");
    if (f->status) w[n++] = NN_WHERE_TEXT("status", NN_CMP_EQ, f->status);
    if (f->name) w[n++] = NN_WHERE_TEXT("name", NN_CMP_CONTAINS, f->name);
    nn_query q = {.table = NN_TABLE_EXPERIMENTS,
                  .where = w,
                  .n_where = n,
                  .limit = f->limit,
                  .offset = f->offset,
                  .after = f->cursor};
    return nn_track_page(t, q, list_item, ret_items, ret_total, ret_cursor, err);
}

typedef struct removal {
    const char *id;
    int64_t now;
} removal;

static nn_status delete_fn(nn_txn *t, void *ctx, nn_err *err) {
    removal *d = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "experiment", 0);
    nn_row r;
    nn_status s = find_active(t, d->id, a, &r, err);
    if (s != NN_OK) return s;
    if (!is_terminal(nn_row_text(r, "status"))) {
        s = nn_fail(err, NN_E_CONFLICT, "Experiment %s has not ended: it is %s", d->id,
                    nn_row_text(r, "status"));
        return nn_err_hint(err, s, "cancel its operation first");
    }
    nn_field f[] = {NN_FIELD_TEXT("lifecycle", "deleted"), NN_FIELD_INT("updated_at", d->now)};
    return change(t, d->id, f, NN_COUNT_OF(f), err);
}

nn_status nn_experiment_delete(nn_track *t, const char *id, int64_t now, nn_err *err) {
    return nn_store_write(t->store, delete_fn, &(removal){id, now}, err);
}
