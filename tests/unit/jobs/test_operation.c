/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <pthread.h>

/* The drawing of rest-api.md section 2, and the two notes at the head of state.c. */
TEST(the_state_machine_has_these_steps_and_no_others) {
    static const char *const steps[] = {
        "queued>starting",      "starting>running",  "running>succeeded",   "running>failed",
        "running>timed_out",    "queued>cancelling", "starting>cancelling", "running>cancelling",
        "cancelling>cancelled", "running>unknown",   "unknown>running",     "starting>failed",
        "starting>timed_out",   "starting>queued",   "running>queued",
    };
    int n = 0;
    for (int from = 0; from < NN_STATE_COUNT; from++)
        for (int to = 0; to < NN_STATE_COUNT; to++) {
            char step[64];
            bool drawn = false;
            snprintf(step, sizeof step, "%s>%s", nn_state_name((nn_state)from),
                     nn_state_name((nn_state)to));
            for (int i = 0; i < NN_COUNT_OF(steps); i++) drawn = drawn || !strcmp(steps[i], step);
            if (nn_state_may((nn_state)from, (nn_state)to) != drawn) fail_msg("%s", step);
            n += drawn;
        }
    assert_int_equal(n, NN_COUNT_OF(steps));
    CHECK(nn_state_terminal(NN_STATE_SUCCEEDED) && nn_state_terminal(NN_STATE_FAILED) &&
          nn_state_terminal(NN_STATE_TIMED_OUT) && nn_state_terminal(NN_STATE_CANCELLED));
    CHECK(!nn_state_terminal(NN_STATE_UNKNOWN) && !nn_state_terminal(NN_STATE_CANCELLING));
}

TEST(words_of_the_faces) {
    assert_string_equal(nn_operation_word(NN_STATE_QUEUED, NN_WORDS_JOBS), "pending");
    assert_string_equal(nn_operation_word(NN_STATE_TIMED_OUT, NN_WORDS_JOBS), "failed");
    assert_string_equal(nn_operation_word(NN_STATE_TIMED_OUT, NN_WORDS_PROMPT), "timeout");
    assert_string_equal(nn_operation_word(NN_STATE_CANCELLED, NN_WORDS_BRIDGE), "stopped");
    assert_string_equal(nn_operation_word(NN_STATE_FAILED, NN_WORDS_GENERATOR), "error");
    assert_string_equal(nn_operation_word(NN_STATE_UNKNOWN, NN_WORDS_CONNECTOR), "UNKNOWN");
    assert_string_equal(nn_operation_word(NN_STATE_RUNNING, NN_WORDS_CANONICAL), "running");
    assert_int_equal(nn_state_set("running", NN_WORDS_JOBS),
                     1u << NN_STATE_STARTING | 1u << NN_STATE_RUNNING | 1u << NN_STATE_UNKNOWN |
                         1u << NN_STATE_CANCELLING);
    assert_int_equal(nn_state_set("succeeded", NN_WORDS_JOBS), 1u << NN_STATE_SUCCEEDED);
    assert_int_equal(nn_state_set("nonsense", NN_WORDS_JOBS), 0);
}

/* Every step that the machine does not have is refused by the store too, and changes nothing. */
typedef struct step {
    place *p;
    const char *id;
    nn_state from, to;
} step;

static nn_status force_fn(nn_txn *t, void *ctx, nn_err *err) {
    step *s = ctx;
    nn_field f = NN_FIELD_TEXT("state", nn_state_name(s->from));
    nn_where w = NN_WHERE_TEXT("id", NN_CMP_EQ, s->id);
    return nn_txn_update(t, NN_TABLE_OPERATIONS, &f, 1, &w, 1, NULL, err);
}

static nn_status move_fn(nn_txn *t, void *ctx, nn_err *err) {
    step *s = ctx;
    nn_operation *op = NULL;
    nn_status st = nn_operation_read(t, s->id, &op, err);
    if (st == NN_OK) st = nn_operation_move(t, s->p->jobs, &op, s->to, NULL, 0, err);
    nn_operation_free(op);
    return st;
}

TEST(an_illegal_step_is_refused_and_changes_nothing) {
    place *p = place_new(SECOND);
    const char *id = add(p, NULL);
    for (int from = 0; from < NN_STATE_COUNT; from++)
        for (int to = 0; to < NN_STATE_COUNT; to++) {
            step s = {p, id, (nn_state)from, (nn_state)to};
            CHECK_OK(nn_store_write(p->store, force_fn, &s, &p->err), &p->err);
            bool may = nn_state_may(s.from, s.to);
            assert_int_equal(nn_store_write(p->store, move_fn, &s, &p->err),
                             may ? NN_OK : NN_E_CONFLICT);
            assert_int_equal(state_of(p, id), may ? s.to : s.from);
        }
    place_done(p);
}

/* The queue. */

TEST(first_in_first_out_within_a_level_and_levels_before_it) {
    place *p = place_new(1000 * SECOND);
    nn_lease l;
    const char *low = add(p, "low");
    p->now++;
    const char *a = add(p, NULL);
    const char *b = add(p, "normal"); /* the same microsecond: the id decides */
    p->now++;
    const char *high = add(p, "high"), *critical = add(p, "critical");
    NN_AUTO(nn_operation) *last = look(p, low);
    assert_int_equal(last->queue_position, 4);
    assert_string_equal(claim(p, "w", &l), critical);
    assert_string_equal(claim(p, "w", &l), high);
    assert_string_equal(claim(p, "w", &l), a);
    assert_string_equal(claim(p, "w", &l), b);
    assert_string_equal(claim(p, "w", &l), low);
    assert_null(claim(p, "w", &l));
    place_done(p);
}

TEST(waiting_raises_the_level) {
    place *p = place_new(1000 * SECOND);
    nn_lease l;
    const char *low = add(p, "low");
    p->now += 59 * SECOND;
    const char *normal = add(p, "normal");
    assert_int_equal(state_of(p, low), NN_STATE_QUEUED);
    assert_string_equal(claim(p, "w", &l), normal); /* low has waited 59 s: still below */
    p->now += 1 * SECOND;                           /* 60 s: low counts as normal and is older */
    const char *normal2 = add(p, "normal"), *high = add(p, "high");
    assert_string_equal(claim(p, "w", &l), high);
    p->now += 120 * SECOND; /* 180 s: as critical */
    const char *critical = add(p, "critical");
    assert_string_equal(claim(p, "w", &l), low);
    assert_string_equal(claim(p, "w", &l), normal2); /* 120 s: critical too, and older */
    assert_string_equal(claim(p, "w", &l), critical);
    place_done(p);
}

TEST(a_full_queue_refuses) {
    place *p = place_new(SECOND);
    p->jobs->max_queued = 2;
    add(p, NULL);
    add(p, NULL);
    NN_JSON *request = train_request();
    nn_operation_spec spec = {.kind = NN_KIND_TRAIN, .request = request};
    nn_operation *op = NULL;
    assert_int_equal(nn_operation_create(p->jobs, &spec, &op, NULL, &p->err), NN_E_QUEUE_FULL);
    assert_null(op);
    place_done(p);
}

/* Leases. */

static nn_status finish_ok(place *p, const nn_lease *l) {
    nn_outcome o = {.state = NN_STATE_FAILED, .code = NN_E_DATA_ERROR, .error = "because"};
    return nn_operation_finish(p->jobs, l, &o, NULL, &p->err);
}

TEST(a_stale_owner_can_write_nothing) {
    place *p = place_new(1000 * SECOND);
    nn_lease first, second;
    const char *id = add(p, NULL);
    claim(p, "one", &first);
    CHECK_OK(nn_operation_started(p->jobs, &first, &p->err), &p->err);
    p->now += 16 * SECOND; /* the lease of 15 s is over */
    int count = 0;
    CHECK_OK(nn_operation_recover(p->jobs, false, &count, &p->err), &p->err);
    assert_int_equal(count, 1);
    assert_string_equal(claim(p, "one", &second), id); /* even under the same name */
    assert_int_equal(second.epoch, first.epoch + 1);
    nn_point point = {"loss", 1, 1, 0.5};
    nn_report_batch batch = {.points = &point, .n_points = 1};
    assert_int_equal(nn_operation_renew(p->jobs, &first, NULL, &p->err), NN_E_CONFLICT);
    assert_int_equal(nn_operation_started(p->jobs, &first, &p->err), NN_E_CONFLICT);
    assert_int_equal(nn_operation_report(p->jobs, &first, &batch, &p->err), NN_E_CONFLICT);
    assert_int_equal(nn_operation_release(p->jobs, &first, true, NULL, &p->err), NN_E_CONFLICT);
    assert_int_equal(finish_ok(p, &first), NN_E_CONFLICT);
    assert_int_equal(state_of(p, id), NN_STATE_STARTING);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    assert_int_equal(nn_json_size(nn_json_get(nn_json_get(e, "metrics"), "history")), 0);
    CHECK_OK(finish_ok(p, &second), &p->err);
    assert_int_equal(finish_ok(p, &second), NN_E_CONFLICT); /* never finished twice */
    assert_int_equal(count_events(p, id, "operation.finished"), 1);
    NN_AUTO(nn_operation) *op = look(p, id);
    assert_int_equal(op->attempt, 2);
    assert_string_equal(op->error, "because");
    assert_string_equal(op->error_code, "data_error");
    place_done(p);
}

TEST(a_renewed_lease_is_not_taken) {
    place *p = place_new(1000 * SECOND);
    nn_lease l;
    add(p, NULL);
    claim(p, "one", &l);
    for (int i = 0; i < 5; i++) {
        p->now += 10 * SECOND;
        CHECK_OK(nn_operation_renew(p->jobs, &l, NULL, &p->err), &p->err);
        int count = -1;
        CHECK_OK(nn_operation_recover(p->jobs, false, &count, &p->err), &p->err);
        assert_int_equal(count, 0);
    }
    place_done(p);
}

TEST(an_operation_whose_owners_keep_vanishing_fails_as_interrupted) {
    place *p = place_new(1000 * SECOND);
    nn_lease l;
    const char *id = add(p, NULL);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(claim(p, "one", &l), id);
        CHECK_OK(nn_operation_started(p->jobs, &l, &p->err), &p->err);
        CHECK_OK(nn_operation_recover(p->jobs, true, NULL, &p->err), &p->err);
        assert_int_equal(state_of(p, id), i < 2 ? NN_STATE_QUEUED : NN_STATE_FAILED);
    }
    NN_AUTO(nn_operation) *op = look(p, id);
    assert_string_equal(op->error_code, "interrupted");
    assert_int_equal(op->attempt, 3);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, false, &e, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(e, "status"), ""), "failed");
    place_done(p);
}

TEST(giving_back_in_good_order_is_not_held_against_it) {
    place *p = place_new(1000 * SECOND);
    nn_lease l;
    const char *id = add(p, NULL);
    for (int i = 0; i < 10; i++) {
        assert_string_equal(claim(p, "one", &l), id);
        CHECK_OK(nn_operation_release(p->jobs, &l, false, NULL, &p->err), &p->err);
    }
    assert_int_equal(state_of(p, id), NN_STATE_QUEUED);
    place_done(p);
}

/* Cancelling. */

TEST(a_queued_operation_is_cancelled_at_once) {
    place *p = place_new(SECOND);
    const char *id = add(p, NULL);
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_cancel(p->jobs, id, "ann", &op, &p->err), &p->err);
    assert_int_equal(op->state, NN_STATE_CANCELLED);
    assert_string_equal(op->error, "Cancelled by ann");
    assert_string_equal(op->error_code, "cancelled");
    nn_operation_free(op);
    assert_int_equal(nn_operation_cancel(p->jobs, id, "ann", NULL, &p->err), NN_E_NOT_CANCELLABLE);
    nn_lease l;
    assert_null(claim(p, "w", &l));
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, false, &e, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(e, "status"), ""), "cancelled");
    place_done(p);
}

TEST(a_cancelled_run_ends_cancelled_whatever_it_says) {
    place *p = place_new(SECOND);
    nn_lease l;
    nn_state ends;
    const char *id = add(p, NULL);
    claim(p, "w", &l);
    CHECK_OK(nn_operation_started(p->jobs, &l, &p->err), &p->err);
    CHECK_OK(nn_operation_cancel(p->jobs, id, "ann", NULL, &p->err), &p->err);
    CHECK_OK(nn_operation_cancel(p->jobs, id, "bob", NULL, &p->err),
             &p->err); /* again: nothing new */
    CHECK_OK(nn_operation_renew(p->jobs, &l, &ends, &p->err), &p->err);
    assert_int_equal(ends, NN_STATE_CANCELLING);
    NN_JSON *result = nn_json_new_object();
    nn_outcome o = {.state = NN_STATE_SUCCEEDED, .result = result};
    CHECK_OK(nn_operation_finish(p->jobs, &l, &o, &ends, &p->err), &p->err);
    assert_int_equal(ends, NN_STATE_CANCELLED);
    NN_AUTO(nn_operation) *op = look(p, id);
    assert_string_equal(op->error, "Cancelled by ann");
    place_done(p);
}

TEST(a_cancelled_run_whose_owner_vanished_ends_cancelled) {
    place *p = place_new(SECOND);
    nn_lease l;
    const char *id = add(p, NULL);
    claim(p, "w", &l);
    CHECK_OK(nn_operation_cancel(p->jobs, id, "ann", NULL, &p->err), &p->err);
    CHECK_OK(nn_operation_recover(p->jobs, true, NULL, &p->err), &p->err);
    assert_int_equal(state_of(p, id), NN_STATE_CANCELLED);
    place_done(p);
}

/* Reports. */

TEST(progress_never_falls_and_is_one_only_at_the_end) {
    place *p = place_new(SECOND);
    nn_lease l;
    const char *id = add(p, NULL);
    claim(p, "w", &l);
    CHECK_OK(nn_operation_started(p->jobs, &l, &p->err), &p->err);
    static const double told[] = {0.5, 0.2, NAN, 7}, shown[] = {0.5, 0.5, 0.5, 0.999999};
    for (int i = 0; i < 4; i++) {
        nn_operation_progress g = {told[i], "epoch 1/2", "batches", 0, 2, 5, 10, NAN, NAN};
        NN_JSON *v = nn_operation_progress_json(&g);
        nn_report_batch b = {.progress = v};
        CHECK_OK(nn_operation_report(p->jobs, &l, &b, &p->err), &p->err);
        NN_AUTO(nn_operation) *op = look(p, id);
        assert_float_equal(nn_json_num(nn_json_get(op->progress, "fraction"), -1), shown[i], 1e-9);
    }
    place_done(p);
}

TEST(metrics_reach_the_experiment_and_the_event_log_together) {
    place *p = place_new(SECOND);
    nn_lease l;
    const char *id = add(p, NULL);
    claim(p, "w", &l);
    CHECK_OK(nn_operation_started(p->jobs, &l, &p->err), &p->err);
    nn_point points[] = {
        {"loss",     1, 1000, 0.9},
        {"accuracy", 1, 1000, 0.4},
        {"loss",     2, 2000, NAN}
    };
    nn_report_batch b = {.points = points, .n_points = 3};
    CHECK_OK(nn_operation_report(p->jobs, &l, &b, &p->err), &p->err);
    assert_int_equal(count_events(p, id, "operation.metric"), 3);
    nn_outcome o = {.state = NN_STATE_FAILED,
                    .code = NN_E_NAN_LOSS,
                    .points = (nn_point[]){{"loss", 3, 3000, 0.1}},
                    .n_points = 1};
    CHECK_OK(nn_operation_finish(p->jobs, &l, &o, NULL, &p->err), &p->err);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    nn_json *m = nn_json_get(e, "metrics");
    assert_int_equal(nn_json_size(nn_json_get(m, "history")), 3);
    assert_float_equal(nn_json_num(nn_json_get(nn_json_get(m, "latest"), "loss"), 0), 0.1, 1e-12);
    place_done(p);
}

/* Creating. */

TEST(a_training_is_born_with_its_experiment) {
    place *p = place_new(1767605400 * SECOND); /* 2026-01-05T09:30:00Z */
    const char *id = add(p, NULL);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(e, "experiment_name"), ""),
                        "experiment_20260105_093000");
    assert_string_equal(nn_json_str(nn_json_get(e, "status"), ""), "created");
    assert_string_equal(nn_json_str(nn_json_get(e, "job_id"), ""), id);
    assert_string_equal(nn_json_str(nn_json_get(e, "created_at"), ""),
                        "2026-01-05T09:30:00.000000+00:00");
    assert_int_equal(nn_json_int(nn_json_get(nn_json_get(e, "hyperparameters"), "epochs"), 0), 2);
    place_done(p);
}

static void refuse(place *p, nn_kind_id kind, const char *text, nn_status expect, const char *field,
                   const char *type) {
    NN_JSON *request = parse(text), *problems = NULL;
    nn_operation_spec spec = {.kind = kind, .request = request};
    nn_operation *op = NULL;
    assert_int_equal(nn_operation_create(p->jobs, &spec, &op, &problems, &p->err), expect);
    if (!field) return;
    nn_json *first = nn_json_at(problems, 0);
    assert_string_equal(nn_json_str(nn_json_get(first, "field"), ""), field);
    assert_string_equal(nn_json_str(nn_json_get(first, "type"), ""), type);
}

TEST(bad_requests) {
    place *p = place_new(SECOND);
    refuse(p, NN_KIND_TRAIN, "{}", NN_E_INVALID_REQUEST, NULL, NULL);
    refuse(p, NN_KIND_TRAIN, "[]", NN_E_VALIDATION_ERROR, "", "wrong_type");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"model_id\":\"y\"}", NN_E_VALIDATION_ERROR,
           "model_id", "conflict");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":7}", NN_E_VALIDATION_ERROR, "dsl_code", "wrong_type");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"  \"}", NN_E_VALIDATION_ERROR, "dsl_code", "blank");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"dataset\":\"/etc/passwd\"}",
           NN_E_VALIDATION_ERROR, "dataset", "unknown_value");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"training_config\":{\"epochs\":0}}",
           NN_E_VALIDATION_ERROR, "training_config.epochs", "out_of_range");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"training_config\":{\"validation_split\":1}}",
           NN_E_VALIDATION_ERROR, "training_config.validation_split", "out_of_range");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"training_config\":{\"learning_rate\":0}}",
           NN_E_VALIDATION_ERROR, "training_config.learning_rate", "out_of_range");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"training_config\":{\"optimizer\":\"magic\"}}",
           NN_E_VALIDATION_ERROR, "training_config.optimizer", "unknown_value");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"queue_priority\":\"urgent\"}",
           NN_E_VALIDATION_ERROR, "queue_priority", "unknown_value");
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"labels\":{\"a\":1}}", NN_E_VALIDATION_ERROR,
           "labels.a", "wrong_type");
    refuse(p, NN_KIND_TRAIN, "{\"model_id\":\"nobody\"}", NN_E_MODEL_NOT_FOUND, NULL, NULL);
    refuse(p, NN_KIND_TRAIN, "{\"dsl_code\":\"x\",\"backend\":\"pytorch\"}", NN_E_UNSUPPORTED, NULL,
           NULL);
    refuse(p, NN_KIND_COMPILE, "{}", NN_E_VALIDATION_ERROR, "dsl_code", "missing");
    refuse(p, NN_KIND_COMPILE, "{\"dsl_code\":\"x\",\"backend\":\"fortran\"}",
           NN_E_VALIDATION_ERROR, "backend", "unknown_value");
    refuse(p, NN_KIND_DEPLOY, "{}", NN_E_UNSUPPORTED, NULL,
           NULL); /* nobody registered a way to run it */
    int64_t n;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_OPERATIONS, NULL, 0, &n, &p->err), &p->err);
    assert_int_equal(n, 0);
    place_done(p);
}

TEST(all_problems_and_unknown_fields_are_told_together) {
    NN_JSON *request = parse(
        "{\"dsl_code\":1,\"epochs\":2,\"training_config\":{\"epochs\":-1,\"batchsize\":2},\"engine\":\"\"}");
    NN_JSON *problems = nn_json_new_array(), *warnings = nn_json_new_array();
    assert_int_equal(nn_schema_check(&nn_request_train, request, "body", problems, warnings, NULL),
                     NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_json_size(problems), 3);
    assert_int_equal(nn_json_size(warnings), 2);
    assert_string_equal(
        nn_json_str(nn_json_at(warnings, 1), ""),
        "unknown field 'training_config.batchsize' was ignored, did you mean 'training_config.batch_size'?");
    nn_json *loc = nn_json_get(nn_json_at(problems, 1), "loc");
    assert_int_equal(nn_json_size(loc), 3);
    assert_string_equal(nn_json_str(nn_json_at(loc, 0), ""), "body");
}

TEST(lists_filter_and_page) {
    place *p = place_new(1000 * SECOND);
    const char *id[5];
    for (int i = 0; i < 5; i++, p->now += SECOND) id[i] = add(p, NULL);
    CHECK_OK(nn_operation_cancel(p->jobs, id[2], "t", NULL, &p->err), &p->err);
    nn_operation_filter f = {.limit = 2, .states = 1u << NN_STATE_QUEUED, .kind = "train"};
    nn_operation_page page;
    CHECK_OK(nn_operation_list(p->jobs, &f, &page, &p->err), &p->err);
    assert_int_equal(page.n, 2);
    assert_int_equal(page.total, 4);
    assert_string_equal(page.items[0]->id, id[4]);
    assert_int_equal(page.items[0]->queue_position, 3);
    char *cursor = page.next_cursor;
    page.next_cursor = NULL;
    nn_operation_page_done(&page);
    f.cursor = cursor;
    CHECK_OK(nn_operation_list(p->jobs, &f, &page, &p->err), &p->err);
    assert_string_equal(page.items[0]->id, id[1]);
    assert_string_equal(page.items[1]->id, id[0]);
    assert_null(page.next_cursor);
    nn_operation_page_done(&page);
    free(cursor);
    int64_t counts[NN_STATE_COUNT];
    CHECK_OK(nn_operation_counts(p->jobs, counts, &p->err), &p->err);
    assert_int_equal(counts[NN_STATE_QUEUED], 4);
    assert_int_equal(counts[NN_STATE_CANCELLED], 1);
    assert_int_equal(nn_operation_delete(p->jobs, id[0], &p->err), NN_E_CONFLICT);
    CHECK_OK(nn_operation_delete(p->jobs, id[2], &p->err), &p->err);
    nn_operation *op = NULL;
    assert_int_equal(nn_operation_get(p->jobs, id[2], &op, &p->err), NN_E_NOT_FOUND);
    place_done(p);
}

TEST(the_canonical_object_has_every_key) {
    static const char *const keys[] = {
        "id",        "operation_id", "kind",       "name",           "state",          "verdict",
        "progress",  "model",        "backend",    "engine",         "hardware",       "connector",
        "request",   "result",       "error",      "error_code",     "error_details",  "warnings",
        "parent_id", "children",     "labels",     "queue_priority", "queue_position", "principal",
        "timeout_s", "attempt",      "created_at", "started_at",     "finished_at",    "duration_s",
        "artifacts", "links"};
    place *p = place_new(1000 * SECOND);
    NN_AUTO(nn_operation) *op = look(p, add(p, "high"));
    NN_JSON *v = nn_operation_json(op, true, NULL);
    NN_BUF text = {0};
    nn_json_dump(v, 0, &text);
    assert_int_equal(nn_json_size(v), NN_COUNT_OF(keys));
    for (int i = 0; i < NN_COUNT_OF(keys); i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\":", keys[i]);
        if (!strstr(nn_buf_str(&text), quoted)) fail_msg("no key %s", keys[i]);
    }
    assert_string_equal(nn_json_str(nn_json_get(v, "queue_priority"), ""), "high");
    assert_int_equal(nn_json_int(nn_json_get(v, "queue_position"), -1), 0);
    place_done(p);
}

/* Compiling runs where it is asked for. */

TEST(compile_now) {
    place *p = place_new(0);
    NN_JSON *request = parse("{\"backend\":\"pytorch\",\"dataset\":\"nonsense\",\"extra\":1}");
    nn_json_set(request, "dsl_code", nn_json_new_str(NETWORK));
    nn_operation_spec spec = {.kind = NN_KIND_COMPILE, .request = request};
    NN_AUTO(nn_operation) *op = NULL;
    CHECK_OK(nn_operation_run_now(p->jobs, &spec, &op, NULL, &p->err), &p->err);
    if (op->error) fail_msg("%s", op->error);
    assert_int_equal(op->state, NN_STATE_SUCCEEDED);
    assert_int_equal(nn_json_size(op->warnings), 2);
    CHECK(strstr(nn_json_str(nn_json_get(op->result, "compiled_code"), ""), "import torch"));
    assert_string_equal(nn_json_str(nn_json_get(op->result, "output_file"), ""), "tiny_pytorch.py");
    nn_row model;
    CHECK_OK(nn_registry_find(p->track, op->model_id, false, p->arena, &model, &p->err), &p->err);
    assert_string_equal(nn_row_text(model, "name"), "Tiny");
    CHECK_OK(nn_registry_find(p->track, "Tiny@1", false, p->arena, &model, &p->err), &p->err);
    NN_JSON *m = NULL;
    CHECK_OK(nn_registry_json(p->track, model, &m, &p->err), &p->err);
    nn_json *d = nn_json_get(m, "metadata");
    assert_int_equal(nn_json_int(nn_json_get(d, "num_parameters"), 0), 64 * 8 + 8 + 8 * 3 + 3);
    CHECK(!nn_json_bool(nn_json_get(d, "has_weights"), true));
    /* The same text again is the same model. */
    NN_AUTO(nn_operation) *again = NULL;
    CHECK_OK(nn_operation_run_now(p->jobs, &spec, &again, NULL, &p->err), &p->err);
    assert_string_equal(again->model_id, op->model_id);
    place_done(p);
}

TEST(compile_now_of_a_bad_program_fails_with_its_diagnostics) {
    place *p = place_new(0);
    NN_JSON *request = parse(
        "{\"backend\":\"pytorch\",\"dsl_code\":\"network X { input: (4) layers: Dens(3) Output(2) }\"}");
    nn_operation_spec spec = {.kind = NN_KIND_COMPILE, .request = request};
    NN_AUTO(nn_operation) *op = NULL;
    CHECK_OK(nn_operation_run_now(p->jobs, &spec, &op, NULL, &p->err), &p->err);
    assert_int_equal(op->state, NN_STATE_FAILED);
    assert_string_equal(op->error_code, "dsl_error");
    CHECK(nn_json_size(nn_json_get(op->error_details, "diagnostics")) >= 1);
    place_done(p);
}

static void *cancel_later(void *arg) {
    place *p = ((place **)arg)[0];
    nn_operation_cancel(p->jobs, ((const char **)arg)[1], "t", NULL, NULL);
    return NULL;
}

TEST(waiting_ends_with_the_operation) {
    place *p = place_new(0);
    const char *id = add(p, NULL);
    NN_AUTO(nn_operation) *op = NULL, *early = NULL;
    CHECK_OK(nn_operation_wait(p->jobs, id, 0, &early, &p->err), &p->err);
    assert_int_equal(early->state, NN_STATE_QUEUED);
    const void *arg[] = {p, id};
    pthread_t t;
    pthread_create(&t, NULL, cancel_later, arg);
    CHECK_OK(nn_operation_wait(p->jobs, id, 60, &op, &p->err), &p->err);
    assert_int_equal(op->state, NN_STATE_CANCELLED);
    pthread_join(t, NULL);
    place_done(p);
}
