/* SPDX-License-Identifier: MIT */
#include "base/fault.h"
#include "base/file.h"
#include "t.h"
#include "track/track.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct place {
    char folder[64];
    nn_store *store;
    nn_track *track;
    nn_arena *arena;
    nn_err err;
} place;

static place *place_new(void) {
    place *p = calloc(1, sizeof *p);
    char url[128];
    assert_non_null(p);
    snprintf(p->folder, sizeof p->folder, "/tmp/nn-track-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(url, sizeof url, "sqlite:///%s/neural.db", p->folder);
    nn_store_options o = {.url = url};
    CHECK_OK(nn_store_open(&o, &p->store, &p->err), &p->err);
    CHECK_OK(nn_track_open(p->store, p->folder, &p->track, &p->err), &p->err);
    p->arena = nn_arena_new(NULL, "test", 0);
    return p;
}

static void place_done(place *p) {
    nn_track_close(p->track);
    nn_store_close(p->store);
    nn_arena_free(p->arena);
    nn_remove_tree(p->folder, NULL);
    free(p);
}

static nn_json *parse(const char *text) {
    nn_json *v = NULL;
    nn_err err;
    CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    return v;
}

static nn_status create_fn(nn_txn *t, void *ctx, nn_err *err) {
    return nn_experiment_create(t, ctx, err);
}

static nn_status create(place *p, const char *id, const char *name, int64_t now) {
    nn_experiment_spec spec = {.id = id, .name = name, .now = now};
    return nn_store_write(p->store, create_fn, &spec, &p->err);
}

typedef struct logging {
    const char *id;
    const nn_point *points;
    int n;
    nn_experiment_status status;
} logging;

static nn_status log_fn(nn_txn *t, void *ctx, nn_err *err) {
    logging *l = ctx;
    return nn_experiment_log(t, l->id, l->points, l->n, 5, err);
}

static nn_status status_fn(nn_txn *t, void *ctx, nn_err *err) {
    logging *l = ctx;
    return nn_experiment_set_status(t, l->id, l->status, 9, err);
}

static nn_json *get(place *p, const char *id) {
    nn_json *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    return e;
}

/* tracking.md section 2. */
TEST(modes_of_metric_names) {
    static const char *const low[] = {"loss",        "val_loss",  "Loss", "error_rate",
                                      "mse",         "val_mae",   "RMSE", "perplexity",
                                      "p99_latency", "step_time", "time"};
    static const char *const high[] = {"accuracy", "f1", "timer", "times", "auc", ""};
    for (int i = 0; i < NN_COUNT_OF(low); i++) assert_string_equal(nn_metric_mode(low[i]), "min");
    for (int i = 0; i < NN_COUNT_OF(high); i++) assert_string_equal(nn_metric_mode(high[i]), "max");
}

TEST(latest_best_and_history) {
    place *p = place_new();
    CHECK_OK(create(p, "e", "run", 1), &p->err);
    /* Out of order, a NaN, an infinity, a tie of the best, and one point twice. */
    nn_point points[] = {
        {"loss", 3, 30, 0.3     },
        {"loss", 1, 10, 0.9     },
        {"loss", 2, 20, 0.1     },
        {"loss", 2, 20, 0.1     },
        {"loss", 4, 40, 0.2     },
        {"acc",  1, 10, 0.5     },
        {"acc",  2, 20, 0.7     },
        {"acc",  3, 30, 0.7     },
        {"acc",  4, 40, NAN     },
        {"acc",  4, 40, NAN     },
        {"loss", 4, 41, 0.4     },
        {"grad", 1, 10, INFINITY},
        {"loss", 4, 41, 0.35    }
    };
    logging l = {"e", points, NN_COUNT_OF(points), 0};
    CHECK_OK(nn_store_write(p->store, log_fn, &l, &p->err), &p->err);
    CHECK_OK(nn_store_write(p->store, log_fn, &l, &p->err), &p->err); /* all again: nothing new */
    int64_t n;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_METRICS, NULL, 0, &n, &p->err), &p->err);
    assert_int_equal(n, 11);
    NN_JSON *e = get(p, "e");
    nn_json *m = nn_json_get(e, "metrics"), *latest = nn_json_get(m, "latest"),
            *best = nn_json_get(m, "best");
    assert_float_equal(nn_json_num(nn_json_get(latest, "loss"), 0), 0.4,
                       0); /* step, then time, then value */
    assert_int_equal(nn_json_typeof(nn_json_get(latest, "acc")), NN_JSON_NULL);
    nn_json *loss = nn_json_get(best, "loss"), *acc = nn_json_get(best, "acc");
    assert_float_equal(nn_json_num(nn_json_get(loss, "value"), 0), 0.1, 0);
    assert_int_equal(nn_json_int(nn_json_get(loss, "step"), 0), 2);
    assert_string_equal(nn_json_str(nn_json_get(loss, "mode"), ""), "min");
    assert_float_equal(nn_json_num(nn_json_get(acc, "value"), 0), 0.7, 0);
    assert_int_equal(nn_json_int(nn_json_get(acc, "step"), 0), 2); /* the first of equals */
    nn_json *history = nn_json_get(m, "history"), *row = nn_json_at(history, 3);
    assert_int_equal(nn_json_size(history), 4);
    assert_int_equal(nn_json_int(nn_json_get(row, "step"), 0), 4);
    assert_float_equal(nn_json_num(nn_json_get(row, "timestamp"), 0), 0.041, 1e-12);
    place_done(p);
}

TEST(metrics_of_nobody) {
    place *p = place_new();
    nn_point point = {"loss", 1, 1, 1};
    logging l = {"nobody", &point, 1, 0};
    assert_int_equal(nn_store_write(p->store, log_fn, &l, &p->err), NN_E_NOT_FOUND);
    place_done(p);
}

typedef struct setting {
    const char *id;
    nn_json *v;
} setting;

static nn_status params_fn(nn_txn *t, void *ctx, nn_err *err) {
    setting *s = ctx;
    return nn_experiment_params(t, s->id, s->v, err);
}

TEST(hyperparameters_are_written_once) {
    place *p = place_new();
    CHECK_OK(create(p, "e", NULL, 1), &p->err);
    NN_JSON *a = parse("{\"lr\":0.1,\"list\":[1,2]}"), *b = parse("{\"lr\":0.1,\"new\":null}"),
            *c = parse("{\"x\":1,\"lr\":0.2}");
    CHECK_OK(nn_store_write(p->store, params_fn, &(setting){"e", a}, &p->err), &p->err);
    CHECK_OK(nn_store_write(p->store, params_fn, &(setting){"e", b}, &p->err), &p->err);
    assert_int_equal(nn_store_write(p->store, params_fn, &(setting){"e", c}, &p->err),
                     NN_E_CONFLICT);
    NN_JSON *e = get(p, "e");
    assert_int_equal(nn_json_size(nn_json_get(e, "hyperparameters")),
                     3); /* x went with the refused one */
    place_done(p);
}

TEST(names_and_lists_of_experiments) {
    place *p = place_new();
    char longest[257];
    memset(longest, 'n', 256);
    longest[256] = 0;
    assert_int_equal(create(p, "x", longest, 1), NN_E_VALIDATION_ERROR);
    longest[255] = 0;
    CHECK_OK(create(p, "a", longest, 1), &p->err);
    assert_int_equal(create(p, "x", " \t", 1), NN_E_VALIDATION_ERROR);
    assert_int_equal(create(p, "a", "again", 1), NN_E_ALREADY_EXISTS);
    CHECK_OK(create(p, "b", "named", 2), &p->err);
    CHECK_OK(create(p, "c", NULL, 3), &p->err);
    NN_JSON *items = NULL, *done = NULL;
    int64_t total = 0;
    char *cursor = NULL;
    nn_experiment_filter f = {.limit = 2};
    CHECK_OK(nn_experiment_list(p->track, &f, &items, &total, &cursor, &p->err), &p->err);
    assert_int_equal(total, 3);
    assert_string_equal(nn_json_str(nn_json_get(nn_json_at(items, 0), "experiment_id"), ""), "c");
    assert_string_equal(nn_json_str(nn_json_get(nn_json_at(items, 0), "group_name"), ""),
                        "Default");
    assert_non_null(cursor);
    free(cursor);
    CHECK_OK(nn_store_write(p->store, status_fn,
                            &(logging){.id = "b", .status = NN_EXPERIMENT_COMPLETED}, &p->err),
             &p->err);
    f = (nn_experiment_filter){.status = "completed"};
    CHECK_OK(nn_experiment_list(p->track, &f, &done, &total, NULL, &p->err), &p->err);
    assert_int_equal(total, 1);
    assert_int_equal(nn_experiment_delete(p->track, "a", 9, &p->err),
                     NN_E_CONFLICT); /* has not ended */
    CHECK_OK(nn_experiment_delete(p->track, "b", 9, &p->err), &p->err);
    nn_json *e = NULL;
    assert_int_equal(nn_experiment_json(p->track, "b", true, &e, &p->err), NN_E_NOT_FOUND);
    assert_int_equal(nn_experiment_delete(p->track, "b", 9, &p->err), NN_E_NOT_FOUND);
    place_done(p);
}

/* Artifacts. */

typedef struct recording {
    const char *name;
    nn_artifact *a;
} recording;

static nn_status record_fn(nn_txn *t, void *ctx, nn_err *err) {
    recording *r = ctx;
    return nn_artifact_record(t, "op", "e", r->name, "other", NULL, 7, r->a, err);
}

static int64_t put(place *p, const char *name, const char *text) {
    nn_artifact a;
    nn_row row;
    CHECK_OK(nn_artifact_put(p->track, text, strlen(text), &a, &p->err), &p->err);
    CHECK_OK(nn_store_write(p->store, record_fn, &(recording){name, &a}, &p->err), &p->err);
    CHECK_OK(nn_artifact_find(p->track, "e", name, p->arena, &row, &p->err), &p->err);
    assert_string_equal(nn_row_text(row, "id"), a.id);
    return nn_row_int(row, "version", 0);
}

TEST(artifacts_by_content_with_versions_of_a_name) {
    place *p = place_new();
    CHECK_OK(create(p, "e", NULL, 1), &p->err);
    assert_int_equal(put(p, "dir/a.txt", "hello"), 1);
    assert_int_equal(put(p, "dir/a.txt", "hello"), 1);
    assert_int_equal(put(p, "dir/a.txt", "other"), 2);
    assert_int_equal(put(p, "b.csv", "hello"), 1);
    NN_JSON *list = NULL;
    CHECK_OK(nn_artifact_list(p->track, "op", &list, &p->err), &p->err);
    assert_int_equal(nn_json_size(list), 2);
    nn_json *b = nn_json_at(list, 0);
    assert_string_equal(nn_json_str(nn_json_get(b, "type"), ""), "table");
    assert_string_equal(nn_json_str(nn_json_get(b, "media_type"), ""), "text/csv");
    /* echo -n hello | sha256sum */
    static const char hello[] = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_string_equal(nn_json_str(nn_json_get(b, "sha256"), ""), hello);
    NN_BUF bytes = {0};
    const char *path = nn_artifact_path(p->track, hello, p->arena);
    CHECK(strstr(path, "/artifacts/2c/2cf24d"));
    CHECK_OK(nn_file_read(path, 100, &bytes, &p->err), &p->err);
    assert_string_equal(nn_buf_str(&bytes), "hello");
    NN_JSON *e = get(p, "e");
    assert_int_equal(nn_json_size(nn_json_get(e, "artifacts")), 2);
    place_done(p);
}

TEST(artifact_names_stay_inside) {
    place *p = place_new();
    static const char *const bad[] = {"",      "/a",   "a//b", "../a", "a/..",
                                      "a/./b", "a\\b", "a\nb", "a/",   "."};
    nn_artifact a;
    CHECK_OK(nn_artifact_put(p->track, "x", 1, &a, &p->err), &p->err);
    for (int i = 0; i < NN_COUNT_OF(bad); i++)
        assert_int_equal(nn_store_write(p->store, record_fn, &(recording){bad[i], &a}, &p->err),
                         NN_E_VALIDATION_ERROR);
    place_done(p);
}

#ifdef NN_FAULT
/* Every write, sync and rename on the way fails once: an error, and no bytes under the name. */
TEST(an_artifact_is_whole_or_absent) {
    place *p = place_new();
    static const nn_fault kinds[] = {NN_FAULT_WRITE, NN_FAULT_FSYNC, NN_FAULT_RENAME};
    char text[32];
    for (int k = 0; k < NN_COUNT_OF(kinds); k++) {
        int failures = 0;
        for (long n = 1;; n++) {
            nn_artifact a = {0};
            snprintf(text, sizeof text, "content %d %ld", k, n);
            nn_fault_set(kinds[k], n, false);
            nn_status s = nn_artifact_put(p->track, text, strlen(text), &a, &p->err);
            bool hit = nn_fault_calls(kinds[k]) >= n;
            nn_fault_set(kinds[k], 0, false);
            if (!hit) {
                CHECK_OK(s, &p->err);
                break;
            }
            failures++;
            assert_int_equal(s, NN_E_STORAGE_ERROR);
            CHECK_OK(nn_artifact_put(p->track, text, strlen(text), &a, &p->err),
                     &p->err); /* the next try works */
            NN_BUF bytes = {0};
            CHECK_OK(
                nn_file_read(nn_artifact_path(p->track, a.sha256, p->arena), 100, &bytes, &p->err),
                &p->err);
            assert_string_equal(nn_buf_str(&bytes), text);
        }
        CHECK(failures > 0);
    }
    place_done(p);
}
#endif

/* Models. */

typedef struct adding {
    const char *name, *content;
    bool weights;
    char id[37];
    int64_t version, now;
} adding;

static nn_status add_fn(nn_txn *t, void *ctx, nn_err *err) {
    adding *a = ctx;
    char file[64];
    snprintf(file, sizeof file, "%s_file.py", a->name);
    NN_JSON *network = parse(
        "{\"network_name\":\"Net\",\"input_shape\":[null,4],\"output_shape\":[null,2],\"num_layers\":2,"
        "\"num_parameters\":10}");
    nn_registry_file f = {.name = file,
                          .kind = a->weights ? "weights" : "rendering",
                          .backend = "pytorch",
                          .size = 5,
                          .sha256 = a->content};
    nn_registry_spec spec = {.name = a->name,
                             .backend = "pytorch",
                             .network = network,
                             .files = &f,
                             .n_files = 1,
                             .has_weights = a->weights,
                             .now = a->now};
    return nn_registry_add(t, &spec, a->id, &a->version, err);
}

static adding add(place *p, const char *name, const char *content, bool weights) {
    adding a = {name, content, weights, "", 0, 1};
    CHECK_OK(nn_store_write(p->store, add_fn, &a, &p->err), &p->err);
    return a;
}

static void finds(place *p, const char *ref, bool weights, const char *id) {
    nn_row r;
    nn_status s = nn_registry_find(p->track, ref, weights, p->arena, &r, &p->err);
    if (id)
        assert_string_equal(s == NN_OK ? nn_row_text(r, "id") : p->err.msg, id);
    else
        assert_int_equal(s, NN_E_MODEL_NOT_FOUND);
}

TEST(versions_and_how_models_are_found) {
    place *p = place_new();
    adding one = add(p, "cnn", "aa", true), two = add(p, "cnn", "bb", false),
           same = add(p, "cnn", "aa", true);
    adding other = add(p, "mlp", "aa", false);
    assert_int_equal(one.version, 1);
    assert_int_equal(two.version, 2);
    assert_string_equal(same.id, one.id);
    assert_int_equal(same.version, 1);
    finds(p, one.id, false, one.id);
    finds(p, "cnn", false, two.id);
    finds(p, "cnn", true, one.id); /* one with weights is preferred */
    finds(p, "cnn@1", false, one.id);
    finds(p, "cnn@2", true, two.id);
    finds(p, "mlp_file.py", false, other.id);
    finds(p, "cnn@3", false, NULL);
    finds(p, "cnn@1x", false, NULL);
    finds(p, "cnn@", false, NULL);
    finds(p, "", false, NULL);
    finds(p, "01990c00-0000-7000-8000-000000000000", false, NULL);
    finds(p, "cnm", false, NULL);
    CHECK(strstr(p->err.hint, "cnn"));
    place_done(p);
}

TEST(a_model_as_json_its_files_and_its_end) {
    place *p = place_new();
    adding a = add(p, "cnn", "aa", false);
    nn_row r, file;
    NN_JSON *m = NULL, *items = NULL;
    const char *path;
    CHECK_OK(nn_registry_find(p->track, "cnn", false, p->arena, &r, &p->err), &p->err);
    CHECK_OK(nn_registry_json(p->track, r, &m, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(m, "name"), ""), "cnn_file.py");
    nn_json *d = nn_json_get(m, "metadata");
    assert_int_equal(nn_json_int(nn_json_get(d, "num_parameters"), 0), 10);
    assert_int_equal(nn_json_size(nn_json_get(d, "input_shape")), 2);
    assert_int_equal(nn_json_size(nn_json_get(d, "files")), 1);
    CHECK_OK(nn_registry_file_find(p->track, a.id, NULL, "pytorch", p->arena, &file, &p->err),
             &p->err);
    assert_int_equal(nn_registry_file_find(p->track, a.id, "x.py", NULL, p->arena, &file, &p->err),
                     NN_E_NOT_FOUND);
    CHECK(strstr(p->err.hint, "cnn_file.py"));
    assert_int_equal(nn_registry_weights(p->track, r, p->arena, &path, &p->err), NN_E_CONFLICT);
    int64_t total = 0;
    nn_registry_filter f = {.backend = "pytorch"};
    CHECK_OK(nn_registry_list(p->track, &f, &items, &total, NULL, &p->err), &p->err);
    assert_int_equal(total, 1);
    CHECK_OK(nn_registry_delete(p->track, a.id, &p->err), &p->err);
    assert_int_equal(nn_registry_delete(p->track, a.id, &p->err), NN_E_MODEL_NOT_FOUND);
    int64_t n;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_MODEL_FILES, NULL, 0, &n, &p->err), &p->err);
    assert_int_equal(n, 0);
    place_done(p);
}

static const nn_json *certificate_of(place *p, const char *ref, nn_json **ret_model) {
    nn_row r;
    nn_json_unref(*ret_model);
    CHECK_OK(nn_registry_find(p->track, ref, false, p->arena, &r, &p->err), &p->err);
    CHECK_OK(nn_registry_json(p->track, r, ret_model, &p->err), &p->err);
    return nn_json_get(*ret_model, "certificate");
}

static nn_status replace_weights_fn(nn_txn *t, void *ctx, nn_err *err) {
    nn_registry_file f = {.name = "cnn_file.py", .kind = "weights", .sha256 = "bb", .size = 5};
    return nn_registry_add_file(t, ctx, &f, 2, err);
}

TEST(a_certificate_is_stale_once_the_weights_are_others) {
    place *p = place_new();
    adding a = add(p, "cnn", "aa", true);
    add(p, "bare", "cc", false);
    nn_row r;
    NN_JSON *m = NULL;
    NN_JSON *made = parse(
        "{\"verdict\":\"differs\",\"verified_at\":\"2026-01-05T00:00:00+00:00\",\"neural\":\"1\","
        "\"backends\":[{\"name\":\"reference\",\"status\":\"agrees\",\"outputs\":[{\"relative_l2\":0}]},"
        "{\"name\":\"a\",\"status\":\"agrees\",\"outputs\":[{\"relative_l2\":1e-7},{\"relative_l2\":3e-7}]},"
        "{\"name\":\"b\",\"status\":\"skipped\",\"reason\":\"no\"}]}");
    CHECK(nn_json_typeof(certificate_of(p, "cnn", &m)) == NN_JSON_NULL);
    CHECK_OK(nn_registry_find(p->track, "cnn", false, p->arena, &r, &p->err), &p->err);
    CHECK_OK(nn_registry_certify(p->track, r, made, 2, &p->err), &p->err);
    const nn_json *c = certificate_of(p, "cnn", &m);
    CHECK(!nn_json_bool(nn_json_get(c, "stale"), true));
    CHECK(nn_json_num(nn_json_get(c, "worst_relative_l2"), 0) == 3e-7);
    const nn_json *skipped = nn_json_at(nn_json_get(c, "backends"), 2);
    CHECK(nn_json_typeof(nn_json_get(skipped, "relative_l2")) == NN_JSON_NULL);
    assert_string_equal(nn_json_str(nn_json_get(skipped, "reason"), ""), "no");
    CHECK_OK(nn_store_write(p->store, replace_weights_fn, a.id, &p->err), &p->err);
    c = certificate_of(p, "cnn", &m);
    CHECK(nn_json_bool(nn_json_get(c, "stale"), false));
    CHECK_OK(nn_registry_certify(p->track, r, made, 3, &p->err), &p->err); /* of the new ones */
    CHECK(!nn_json_bool(nn_json_get(certificate_of(p, "cnn", &m), "stale"), true));
    CHECK_OK(nn_registry_find(p->track, "bare", false, p->arena, &r, &p->err), &p->err);
    assert_int_equal(nn_registry_certify(p->track, r, made, 3, &p->err), NN_E_CONFLICT);
    place_done(p);
}

/* What differs by something that is no number (null in JSON) is not told as no difference. */
TEST(a_distance_that_is_no_number) {
    place *p = place_new();
    add(p, "cnn", "aa", true);
    nn_row r;
    NN_JSON *m = NULL;
    NN_JSON *made =
        parse("{\"verdict\":\"differs\",\"backends\":[{\"name\":\"a\",\"status\":\"differs\","
              "\"outputs\":[{\"relative_l2\":null},{\"relative_l2\":1}]}]}");
    CHECK_OK(nn_registry_find(p->track, "cnn", false, p->arena, &r, &p->err), &p->err);
    CHECK_OK(nn_registry_certify(p->track, r, made, 2, &p->err), &p->err);
    const nn_json *c = certificate_of(p, "cnn", &m);
    CHECK(nn_json_typeof(nn_json_get(c, "worst_relative_l2")) == NN_JSON_NULL);
    place_done(p);
}

static nn_status deploy_fn(nn_txn *t, void *ctx, nn_err *err) {
    nn_field f[] = {NN_FIELD_TEXT("id", "d"),
                    NN_FIELD_TEXT("name", "d"),
                    NN_FIELD_TEXT("status", "deployed"),
                    NN_FIELD_TEXT("model_id", ctx),
                    NN_FIELD_INT("replicas", 1),
                    NN_FIELD_INT("created_at", 1),
                    NN_FIELD_INT("updated_at", 1)};
    return nn_txn_insert(t, NN_TABLE_DEPLOYMENTS, f, NN_COUNT_OF(f), NULL, err);
}

TEST(a_model_that_is_deployed_stays) {
    place *p = place_new();
    adding a = add(p, "cnn", "aa", true);
    CHECK_OK(nn_store_write(p->store, deploy_fn, a.id, &p->err), &p->err);
    assert_int_equal(nn_registry_delete(p->track, a.id, &p->err), NN_E_CONFLICT);
    place_done(p);
}
