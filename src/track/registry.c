/* SPDX-License-Identifier: MIT */
/* The model registry: versions of a name, each with its files by content. Version numbers grow
 * under the store's one writer and are never used again while the name lives. */
#include "base/id.h"
#include "base/nearest.h"
#include "graph/graph.h"
#include "track/track_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adding. */

/* Of the first of some nodes, with the batch axis; null if there is none. */
static nn_json *first_shape(const nn_graph *g, const int *ids, int n) {
    return n ? nn_json_new_shape(&g->nodes[ids[0]].shape, true) : nn_json_new_null();
}

static int64_t parameters(const nn_graph *g) {
    int64_t n = 0;
    for (int i = 0; i < g->n_weights; i++) n += g->weights[i].elements;
    return n;
}

nn_json *nn_registry_network(const nn_graph *g, int64_t num_layers) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "network_name", nn_json_new_str(g->name));
    nn_json_set(v, "input_shape", first_shape(g, g->inputs, g->n_inputs));
    nn_json_set(v, "output_shape", first_shape(g, g->outputs, g->n_outputs));
    nn_json_set(v, "num_layers", nn_json_new_int(num_layers));
    nn_json_set(v, "num_parameters", nn_json_new_int(parameters(g)));
    return v;
}

/* The last version of a name, 0 if there is none; *ret_same is the row with this content, if it is
 * there. */
static nn_status look(nn_txn *t, const char *name, const nn_registry_spec *spec, nn_arena *a,
                      int64_t *ret_last, nn_row *ret_same, nn_err *err) {
    static const nn_sort last = {"version", true};
    nn_where w[] = {NN_WHERE_TEXT("name", NN_CMP_EQ, name),
                    NN_WHERE_TEXT("sha256", NN_CMP_EQ, spec->files[0].sha256),
                    spec->backend ? NN_WHERE_TEXT("backend", NN_CMP_EQ, spec->backend)
                                  : NN_WHERE_NULL("backend")};
    nn_query q = {
        .table = NN_TABLE_MODELS, .where = w, .n_where = 1, .sort = &last, .n_sort = 1, .limit = 1};
    nn_rows newest, same;
    nn_status s = nn_txn_select(t, &q, a, &newest, err);
    q.n_where = 3;
    if (s == NN_OK) s = nn_txn_select(t, &q, a, &same, err);
    if (s != NN_OK) return s;
    *ret_last = newest.n ? nn_row_int(nn_rows_at(&newest, 0), "version", 0) : 0;
    *ret_same = nn_rows_at(&same, 0);
    return NN_OK;
}

static nn_status add_file(nn_txn *t, const char *model_id, const nn_registry_file *f, nn_err *err) {
    nn_field v[] = {
        NN_FIELD_TEXT("model_id", model_id),
        NN_FIELD_TEXT("name", f->name),
        NN_FIELD_TEXT("kind", f->kind),
        NN_FIELD_TEXT("backend", f->backend),
        NN_FIELD_TEXT("media_type",
                      f->media_type ? f->media_type : nn_artifact_media_type(f->name)),
        NN_FIELD_INT("size", f->size),
        NN_FIELD_TEXT("sha256", f->sha256),
    };
    return nn_txn_insert(t, NN_TABLE_MODEL_FILES, v, NN_COUNT_OF(v), NULL, err);
}

static nn_status add_row(nn_txn *t, const nn_registry_spec *spec, const char *id, const char *name,
                         int64_t version, nn_err *err) {
    const nn_json *net = spec->network;
    nn_field f[] = {
        NN_FIELD_TEXT("id", id),
        NN_FIELD_TEXT("name", name),
        NN_FIELD_INT("version", version),
        NN_FIELD_TEXT("file_name", spec->files[0].name),
        NN_FIELD_TEXT("backend", spec->backend),
        NN_FIELD_INT("size", spec->files[0].size),
        NN_FIELD_TEXT("sha256", spec->files[0].sha256),
        NN_FIELD_TEXT("network_name", nn_json_str(nn_json_get(net, "network_name"), "")),
        NN_FIELD_JSON("input_shape", nn_json_get(net, "input_shape")),
        NN_FIELD_JSON("output_shape", nn_json_get(net, "output_shape")),
        NN_FIELD_INT("num_layers", nn_json_int(nn_json_get(net, "num_layers"), 0)),
        NN_FIELD_INT("num_parameters", nn_json_int(nn_json_get(net, "num_parameters"), 0)),
        NN_FIELD_INT("has_weights", spec->has_weights),
        NN_FIELD_TEXT("experiment_id", spec->experiment_id),
        NN_FIELD_TEXT("operation_id", spec->operation_id),
        NN_FIELD_TEXT("source", spec->source),
        NN_FIELD_INT("created_at", spec->now),
        NN_FIELD_INT("updated_at", spec->now),
    };
    return nn_txn_insert(t, NN_TABLE_MODELS, f, NN_COUNT_OF(f), NULL, err);
}

nn_status nn_registry_add(nn_txn *t, const nn_registry_spec *spec, char ret_id[37],
                          int64_t *ret_version, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "model", 0);
    const char *name = spec->name ? spec->name : "";
    if (!*name) name = nn_json_str(nn_json_get(spec->network, "network_name"), "");
    if (!*name) name = "model";
    int64_t version;
    nn_row same;
    char id[NN_ID_TEXT];
    nn_status s = look(t, name, spec, a, &version, &same, err);
    if (s != NN_OK) return s;
    if (same.cells) {
        memcpy(ret_id, nn_row_text(same, "id"), NN_ID_TEXT);
        if (ret_version) *ret_version = nn_row_int(same, "version", 0);
        return NN_OK;
    }
    s = add_row(t, spec, nn_id_new(id), name, ++version, err);
    for (int i = 0; i < spec->n_files && s == NN_OK; i++) s = add_file(t, id, &spec->files[i], err);
    if (s != NN_OK) return s;
    memcpy(ret_id, id, sizeof id);
    if (ret_version) *ret_version = version;
    return NN_OK;
}

nn_status nn_registry_add_file(nn_txn *t, const char *model_id, const nn_registry_file *f,
                               int64_t now, nn_err *err) {
    nn_where w[] = {NN_WHERE_TEXT("model_id", NN_CMP_EQ, model_id),
                    NN_WHERE_TEXT("name", NN_CMP_EQ, f->name)};
    nn_where model = NN_WHERE_TEXT("id", NN_CMP_EQ, model_id);
    nn_field touched = NN_FIELD_INT("updated_at", now);
    int64_t changed = 0;
    nn_status s = nn_txn_update(t, NN_TABLE_MODELS, &touched, 1, &model, 1, &changed, err);
    if (s == NN_OK && !changed)
        s = nn_fail(err, NN_E_MODEL_NOT_FOUND, "Model %.80s not found", model_id);
    if (s == NN_OK) s = nn_txn_delete(t, NN_TABLE_MODEL_FILES, w, 2, NULL, err);
    return s == NN_OK ? add_file(t, model_id, f, err) : s;
}

/* Finding. */

/* The newest model under conditions; a row without cells when there is none. */
static nn_status newest(nn_txn *t, const nn_where *w, int n, nn_arena *a, nn_row *ret,
                        nn_err *err) {
    static const nn_sort by[] = {
        {"version",    true},
        {"created_at", true},
        {"id",         true}
    };
    nn_query q = {
        .table = NN_TABLE_MODELS, .where = w, .n_where = n, .sort = by, .n_sort = 3, .limit = 1};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s == NN_OK) *ret = nn_rows_at(&rows, 0);
    return s;
}

static nn_status by_name(nn_txn *t, const char *ref, bool weights, nn_arena *a, nn_row *ret,
                         nn_err *err) {
    const char *at = strrchr(ref, '@');
    char *end;
    nn_row r = {0};
    nn_status s = NN_OK;
    if (at && at[1] >= '1' && at[1] <= '9') {
        int64_t version = strtoll(at + 1, &end, 10);
        nn_where w[] = {
            NN_WHERE_TEXT("name", NN_CMP_EQ, nn_arena_strndup(a, ref, (size_t)(at - ref))),
            NN_WHERE_INT("version", NN_CMP_EQ, version)};
        if (!*end) s = newest(t, w, 2, a, &r, err);
    }
    for (int i = 0; i < 4 && s == NN_OK && !r.cells;
         i++) { /* name before file name, weights before none */
        nn_where w[] = {NN_WHERE_TEXT(i < 2 ? "name" : "file_name", NN_CMP_EQ, ref),
                        NN_WHERE_INT("has_weights", NN_CMP_EQ, 1)};
        bool need = i % 2 == 0;
        if (!need || weights) s = newest(t, w, need ? 2 : 1, a, &r, err);
    }
    if (s == NN_OK) *ret = r;
    return s;
}

/* "did you mean …?" among the newest thousand. */
static nn_status not_found(nn_txn *t, const char *ref, nn_arena *a, nn_err *err) {
    static const nn_sort by[] = {
        {"created_at", true },
        {"id",         false}
    };
    static const char *const only[] = {"name"};
    nn_query q = {.table = NN_TABLE_MODELS,
                  .columns = only,
                  .n_columns = 1,
                  .sort = by,
                  .n_sort = 2,
                  .limit = 1000};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s != NN_OK) return s;
    const char **names = NN_NEW_N(a, const char *, (size_t)rows.n + 1);
    for (int64_t i = 0; i < rows.n; i++) names[i] = nn_row_text(nn_rows_at(&rows, i), "name");
    const char *near = nn_nearest(ref, names);
    s = nn_fail(err, NN_E_MODEL_NOT_FOUND, "Model '%.80s' not found", ref);
    return near ? nn_err_hint(err, s, "did you mean '%.80s'?", near)
                : nn_err_hint(err, s, "GET /models/ lists what there is");
}

typedef struct finding {
    const char *ref;
    bool weights;
    nn_arena *a;
    nn_row row;
} finding;

static nn_status find_fn(nn_txn *t, void *ctx, nn_err *err) {
    finding *f = ctx;
    nn_status s = NN_OK;
    if (nn_id_valid(f->ref, strlen(f->ref))) {
        nn_where w = NN_WHERE_TEXT("id", NN_CMP_EQ, f->ref);
        s = newest(t, &w, 1, f->a, &f->row, err);
    }
    if (s == NN_OK && !f->row.cells) s = by_name(t, f->ref, f->weights, f->a, &f->row, err);
    return s == NN_OK && !f->row.cells ? not_found(t, f->ref, f->a, err) : s;
}

nn_status nn_registry_find(nn_track *t, const char *ref, bool weights, nn_arena *a, nn_row *ret,
                           nn_err *err) {
    finding f = {ref, weights, a, {0}};
    nn_status s = nn_store_read(t->store, find_fn, &f, err);
    if (s == NN_OK) *ret = f.row;
    return s;
}

/* Reading. */

static nn_status files_of(nn_txn *t, const char *model_id, nn_arena *a, nn_rows *ret, nn_err *err) {
    static const nn_sort by = {"id", false};
    nn_where w = NN_WHERE_TEXT("model_id", NN_CMP_EQ, model_id);
    return nn_track_rows(t, NN_TABLE_MODEL_FILES, &w, 1, &by, 1, a, ret, err);
}

static nn_json *files_json(const nn_rows *rows) {
    nn_json *files = nn_json_new_array();
    for (int64_t i = 0; i < rows->n; i++) {
        nn_row r = nn_rows_at(rows, i);
        nn_json *f = nn_json_new_object();
        nn_json_set(f, "name", nn_track_text(r, "name"));
        nn_json_set(f, "kind", nn_track_text(r, "kind"));
        nn_json_set(f, "size", nn_json_new_int(nn_row_int(r, "size", 0)));
        nn_json_set(f, "sha256", nn_track_text(r, "sha256"));
        nn_json_set(f, "backend", nn_track_text(r, "backend"));
        nn_json_push(files, f);
    }
    return files;
}

static nn_status read_model(nn_txn *t, nn_row r, nn_arena *a, nn_json **ret, nn_err *err) {
    nn_rows files;
    nn_status s = files_of(t, nn_row_text(r, "id"), a, &files, err);
    if (s != NN_OK) return s;
    nn_json *m = nn_json_new_object(), *d = nn_json_new_object();
    nn_json_set(m, "model_id", nn_track_text(r, "id"));
    nn_json_set(m, "name", nn_track_text(r, "file_name"));
    nn_json_set(m, "backend", nn_track_text(r, "backend"));
    nn_json_set(m, "size", nn_json_new_int(nn_row_int(r, "size", 0)));
    nn_json_set(m, "created_at", nn_track_time(nn_row_int(r, "created_at", 0)));
    nn_json_set(m, "operation_id", nn_track_text(r, "operation_id"));
    nn_json_set(d, "model_name", nn_track_text(r, "name"));
    nn_json_set(d, "network_name", nn_track_text(r, "network_name"));
    nn_json_set(d, "version", nn_json_new_int(nn_row_int(r, "version", 0)));
    nn_json_set(d, "sha256", nn_track_text(r, "sha256"));
    nn_json_set(d, "input_shape", nn_track_value(r, "input_shape", nn_json_new_null()));
    nn_json_set(d, "output_shape", nn_track_value(r, "output_shape", nn_json_new_null()));
    nn_json_set(d, "num_layers", nn_json_new_int(nn_row_int(r, "num_layers", 0)));
    nn_json_set(d, "num_parameters", nn_json_new_int(nn_row_int(r, "num_parameters", 0)));
    nn_json_set(d, "has_weights", nn_json_new_bool(nn_row_int(r, "has_weights", 0)));
    nn_json_set(d, "experiment_id", nn_track_text(r, "experiment_id"));
    nn_json_set(d, "files", files_json(&files));
    nn_json_set(m, "metadata", d);
    *ret = m;
    return NN_OK;
}

typedef struct reading {
    nn_row row;
    nn_json *value;
} reading;

static nn_status json_fn(nn_txn *t, void *ctx, nn_err *err) {
    reading *r = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "model", 0);
    return read_model(t, r->row, a, &r->value, err);
}

nn_status nn_registry_json(nn_track *t, nn_row model, nn_json **ret, nn_err *err) {
    reading r = {model, NULL};
    nn_status s = nn_store_read(t->store, json_fn, &r, err);
    if (s == NN_OK) s = nn_track_certificate(t, r.value, err);
    if (s == NN_OK)
        *ret = r.value;
    else
        nn_json_unref(r.value);
    return s;
}

nn_status nn_registry_list(nn_track *t, const nn_registry_filter *f, nn_json **ret_items,
                           int64_t *ret_total, char **ret_cursor, nn_err *err) {
    nn_where w[2];
    int n = 0;
    if (f->backend) w[n++] = NN_WHERE_TEXT("backend", NN_CMP_EQ, f->backend);
    if (f->name) w[n++] = NN_WHERE_TEXT("name", NN_CMP_CONTAINS, f->name);
    nn_query q = {.table = NN_TABLE_MODELS,
                  .where = w,
                  .n_where = n,
                  .limit = f->limit,
                  .offset = f->offset,
                  .after = f->cursor};
    nn_json *items = NULL;
    nn_status s = nn_track_page(t, q, read_model, &items, ret_total, ret_cursor, err);
    for (size_t i = 0; s == NN_OK && i < nn_json_size(items); i++)
        s = nn_track_certificate(t, nn_json_at(items, i), err);
    if (s == NN_OK)
        *ret_items = items;
    else
        nn_json_unref(items);
    return s;
}

/* Files. */

typedef struct file_finding {
    const char *model_id, *file, *backend, *kind;
    nn_arena *a;
    nn_row row;
} file_finding;

static bool fits(nn_row r, const file_finding *f) {
    const char *backend = nn_row_text(r, "backend");
    if (f->file && strcmp(nn_row_text(r, "name"), f->file)) return false;
    if (f->backend && (!backend || strcmp(backend, f->backend))) return false;
    return !f->kind || !strcmp(nn_row_text(r, "kind"), f->kind);
}

static nn_status file_fn(nn_txn *t, void *ctx, nn_err *err) {
    file_finding *f = ctx;
    nn_rows rows;
    nn_status s = files_of(t, f->model_id, f->a, &rows, err);
    if (s != NN_OK) return s;
    NN_BUF names = {0};
    for (int64_t i = 0; i < rows.n; i++) {
        nn_row r = nn_rows_at(&rows, i);
        if (fits(r, f)) {
            f->row = r;
            return NN_OK;
        }
        nn_buf_printf(&names, "%s%s", i ? ", " : "", nn_row_text(r, "name"));
    }
    const char *what = f->file ? f->file : f->backend ? f->backend : "any file";
    s = nn_fail(err, NN_E_NOT_FOUND, "Model %.80s has no '%.80s'", f->model_id, what);
    return nn_err_hint(err, s, "it has: %.200s", rows.n ? nn_buf_str(&names) : "no files");
}

nn_status nn_registry_file_find(nn_track *t, const char *model_id, const char *file,
                                const char *backend, nn_arena *a, nn_row *ret, nn_err *err) {
    file_finding f = {model_id, file, backend, NULL, a, {0}};
    nn_status s = nn_store_read(t->store, file_fn, &f, err);
    if (s == NN_OK) *ret = f.row;
    return s;
}

nn_status nn_registry_weights(nn_track *t, nn_row model, nn_arena *a, const char **ret_path,
                              nn_err *err) {
    file_finding f = {nn_row_text(model, "id"), NULL, NULL, "weights", a, {0}};
    nn_status s = nn_store_read(t->store, file_fn, &f, err);
    if (s == NN_E_NOT_FOUND) {
        s = nn_fail(err, NN_E_CONFLICT, "Model %s (%s) has no weights", f.model_id,
                    nn_row_text(model, "name"));
        return nn_err_hint(err, s, "train it first: POST /jobs/train with this model_id");
    }
    if (s == NN_OK) *ret_path = nn_artifact_path(t, nn_row_text(f.row, "sha256"), a);
    return s;
}

/* Removing. */

static nn_status delete_fn(nn_txn *t, void *ctx, nn_err *err) {
    const char *id = ctx;
    nn_cell live[] = {nn_cell_text("deploying"), nn_cell_text("deployed")};
    nn_where uses[] = {NN_WHERE_TEXT("model_id", NN_CMP_EQ, id), NN_WHERE_IN("status", live, 2)};
    nn_where w = NN_WHERE_TEXT("id", NN_CMP_EQ, id);
    int64_t n = 0;
    nn_status s = nn_txn_count(t, NN_TABLE_DEPLOYMENTS, uses, 2, &n, err);
    if (s != NN_OK) return s;
    if (n) {
        s = nn_fail(err, NN_E_CONFLICT, "Model %s is used by %lld live deployment%s", id,
                    (long long)n, n == 1 ? "" : "s");
        return nn_err_hint(err, s, "stop them first: DELETE /deployments/{id}");
    }
    s = nn_txn_delete(t, NN_TABLE_MODELS, &w, 1, &n, err);
    return s == NN_OK && !n ? nn_fail(err, NN_E_MODEL_NOT_FOUND, "Model %.80s not found", id) : s;
}

nn_status nn_registry_delete(nn_track *t, const char *id, nn_err *err) {
    return nn_store_write(t->store, delete_fn, (void *)(uintptr_t)id, err);
}
