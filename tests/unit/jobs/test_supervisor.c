/* SPDX-License-Identifier: MIT */
/* Children here are shell scripts that report on descriptor 3, or this program itself as `neural
 * operation run` (see below). */
#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* This program is also the child: "unit_jobs be_the_child FOLDER" runs this test alone, which never
 * comes back. */
TEST(be_the_child) {
    char line[4096];
    FILE *f = fopen("/proc/self/cmdline", "r");
    assert_non_null(f);
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *filter = line + strlen(line) + 1, *folder = filter + strlen(filter) + 1;
    if (filter < line + n && folder < line + n) exit(nn_operation_main(folder));
}

static char exe[4096];
static const char *const *real_child(void) {
    static const char *command[] = {exe, "be_the_child", NULL};
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(n > 0);
    return command;
}

static nn_supervisor *supervise(place *p, const char *script, const nn_supervisor_options *more) {
    const char *shell[] = {"/bin/sh", "-c", script, "sh", NULL};
    nn_supervisor_options o = more ? *more : (nn_supervisor_options){0};
    nn_supervisor *s = NULL;
    o.jobs = p->jobs;
    if (script)
        o.command = shell;
    else if (!o.command)
        o.command = real_child();
    if (!(o.grace_s > 0)) o.grace_s = 0.2;
    o.poll_s = 0.05;
    CHECK_OK(nn_supervisor_start(&o, &s, &p->err), &p->err);
    return s;
}

static nn_operation *ended(place *p, const char *id) {
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_wait(p->jobs, id, 60, &op, &p->err), &p->err);
    if (!nn_state_terminal(op->state)) fail_msg("still %s", nn_state_name(op->state));
    return op;
}

/* Runs one operation with a script to its end. */
static nn_operation *run_script(place *p, const char *script, const nn_supervisor_options *more) {
    nn_supervisor *s = supervise(p, script, more);
    nn_operation *op = ended(p, add(p, NULL));
    nn_supervisor_stop(s);
    assert_int_equal(count_events(p, op->id, "operation.finished"), 1);
    assert_int_equal(count_events(p, op->id, "operation.created"), 1);
    return op;
}

static void wait_for_state(place *p, const char *id, nn_state want) {
    for (int i = 0; i < 6000 && state_of(p, id) != want; i++) usleep(5000);
    assert_int_equal(state_of(p, id), want);
}

#define REPORT(json) "echo '" json "' >&3\n"

TEST(a_child_that_works) {
    place *p = place_new(0);
    NN_AUTO(nn_operation) *op = run_script(
        p,
        "cd $1\nprintf 0123456789 > weights\n" REPORT(
            "{\"type\":\"progress\",\"progress\":{\"fraction\":0.5}}")
            REPORT("{\"type\":\"metric\",\"name\":\"loss\",\"step\":1,\"value\":0.25,\"ts_ms\":1000}") REPORT(
                "{\"type\":\"metric\",\"name\":\"loss\",\"step\":2,\"value\":\"NaN\",\"ts_ms\":2000}")
                REPORT("{\"type\":\"log\",\"text\":\"hello\"}")
                    REPORT("{\"type\":\"warning\",\"text\":\"careful\"}") REPORT("not json") REPORT(
                        "{\"type\":\"artifact\",\"file\":\"weights\",\"name\":\"model.safetensors\",\"kind\":\"model\"}")
                        REPORT(
                            "{\"type\":\"result\",\"result\":{\"status\":\"completed\",\"network\":{\"network_name\":\"N\"}}}"),
        NULL);
    if (op->error) fail_msg("%s", op->error);
    assert_int_equal(op->state, NN_STATE_SUCCEEDED);
    assert_float_equal(nn_json_num(nn_json_get(op->progress, "fraction"), 0), 1, 0);
    CHECK(op->model_id && op->started_at && op->finished_at >= op->started_at);
    assert_int_equal(nn_json_size(op->warnings),
                     2); /* that of the backend's defaults, and the child's */
    assert_null(nn_json_get(op->result, "network"));
    NN_JSON *e = NULL, *artifacts = NULL;
    CHECK_OK(nn_experiment_json(p->track, op->id, true, &e, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(e, "status"), ""), "completed");
    assert_string_equal(nn_json_str(nn_json_get(e, "model_id"), ""), op->model_id);
    assert_int_equal(nn_json_size(nn_json_get(nn_json_get(e, "metrics"), "history")), 2);
    CHECK_OK(nn_artifact_list(p->track, op->id, &artifacts, &p->err), &p->err);
    /* sha256sum of 0123456789 */
    assert_string_equal(nn_json_str(nn_json_get(nn_json_at(artifacts, 0), "sha256"), ""),
                        "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882");
    nn_row model;
    const char *path;
    CHECK_OK(nn_registry_find(p->track, op->model_id, true, p->arena, &model, &p->err), &p->err);
    CHECK_OK(nn_registry_weights(p->track, model, p->arena, &path, &p->err), &p->err);
    NN_BUF bytes = {0};
    CHECK_OK(nn_file_read(path, 100, &bytes, &p->err), &p->err);
    assert_string_equal(nn_buf_str(&bytes), "0123456789");
    nn_buf_clear(&bytes);
    CHECK_OK(nn_file_read(nn_arena_printf(p->arena, "%s/stdout.log",
                                          nn_operation_folder(p->jobs, op->id, p->arena)),
                          100, &bytes, &p->err),
             &p->err);
    assert_string_equal(nn_buf_str(&bytes), "hello\n");
    place_done(p);
}

static void fails(const char *script, nn_state state_, const char *code, const char *text) {
    place *p = place_new(0);
    NN_AUTO(nn_operation) *op = run_script(p, script, NULL);
    assert_int_equal(op->state, state_);
    assert_string_equal(op->error_code, code);
    if (!strstr(op->error, text)) fail_msg("%s", op->error);
    assert_null(op->result);
    place_done(p);
}

TEST(a_child_that_says_why) {
    fails(REPORT("{\"type\":\"error\",\"code\":\"data_error\",\"message\":\"bad magic\"}") "exit 1",
          NN_STATE_FAILED, "data_error", "bad magic");
}
TEST(a_child_that_only_exits) {
    fails("exit 7", NN_STATE_FAILED, "internal", "exited with code 7");
}
TEST(a_child_without_a_result) {
    fails("exit 0", NN_STATE_FAILED, "internal", "without a result");
}
TEST(a_child_with_a_result_that_fails_afterwards) {
    fails(REPORT("{\"type\":\"result\",\"result\":{}}") "exit 3", NN_STATE_FAILED, "internal",
          "exited with code 3");
}
TEST(a_child_that_crashes) {
    fails("kill -SEGV $$", NN_STATE_FAILED, "internal", "signal 11");
}
TEST(a_child_that_the_kernel_kills) {
    fails("kill -KILL $$", NN_STATE_FAILED, "out_of_memory", "signal 9");
}
TEST(a_child_that_promises_a_file_and_has_none) {
    fails(REPORT("{\"type\":\"artifact\",\"file\":\"none\",\"name\":\"n\",\"kind\":\"model\"}")
              REPORT("{\"type\":\"result\",\"result\":{}}"),
          NN_STATE_FAILED, "not_found", "none");
}
TEST(a_child_that_reaches_out_of_its_folder) {
    fails(
        REPORT(
            "{\"type\":\"artifact\",\"file\":\"../../../etc/passwd\",\"name\":\"n\",\"kind\":\"model\"}")
            REPORT("{\"type\":\"result\",\"result\":{}}"),
        NN_STATE_FAILED, "validation_error", "outside");
}
TEST(a_link_out_of_the_folder) {
    fails("ln -s /etc/passwd $1/f\n" REPORT(
              "{\"type\":\"artifact\",\"file\":\"f\",\"name\":\"n\",\"kind\":\"model\"}")
              REPORT("{\"type\":\"result\",\"result\":{}}"),
          NN_STATE_FAILED, "data_error", "no regular file");
}

TEST(the_last_lines_of_standard_error_are_evidence) {
    place *p = place_new(0);
    NN_AUTO(nn_operation) *op = run_script(
        p, "i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1", NULL);
    nn_json *lines = nn_json_get(op->error_details, "last_lines");
    assert_int_equal(nn_json_size(lines), 20);
    assert_string_equal(nn_json_str(nn_json_at(lines, 19), ""), "line 999");
    assert_int_equal(nn_json_int(nn_json_get(op->error_details, "exit_code"), -1), 1);
    place_done(p);
}

TEST(a_program_that_is_not_there) {
    place *p = place_new(0);
    const char *none[] = {"/nonexistent/neural", NULL};
    nn_supervisor *s = supervise(p, NULL, &(nn_supervisor_options){.command = none});
    NN_AUTO(nn_operation) *op = ended(p, add(p, NULL));
    assert_int_equal(op->state, NN_STATE_FAILED);
    CHECK(strstr(op->error, "/nonexistent/neural"));
    nn_supervisor_stop(s);
    place_done(p);
}

/* Writes its pid and that of a grandchild, and stays; `trap` decides about SIGTERM. */
#define STAY(trap)                                                                                 \
    trap "\nsleep 1000 & echo $$ $! > $1/pids.log.tmp; mv $1/pids.log.tmp $1/pids.log\n"           \
         "while :; do sleep 0.05; done"

static void read_pids(place *p, const char *id, long ret[2]) {
    const char *path =
        nn_arena_printf(p->arena, "%s/pids.log", nn_operation_folder(p->jobs, id, p->arena));
    for (int i = 0; i < 6000; i++, usleep(5000)) {
        FILE *f = fopen(path, "r");
        if (!f) continue;
        assert_int_equal(fscanf(f, "%ld %ld", &ret[0], &ret[1]), 2);
        fclose(f);
        return;
    }
    fail_msg("the child did not begin");
}

/* Gone, or a zombie that its new parent has yet to reap. */
static bool is_gone(long pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return true;
    char *got = fgets(line, sizeof line, f);
    fclose(f);
    char *state_ = got ? strrchr(line, ')') : NULL;
    return !state_ || state_[2] == 'Z' || state_[2] == 'X';
}

static void wait_gone(long pid) {
    for (int i = 0; i < 6000 && !is_gone(pid); i++) usleep(5000);
    CHECK(is_gone(pid));
}

TEST(cancelling_ends_a_child_that_listens_and_one_that_does_not) {
    static const char *const scripts[] = {STAY(""), STAY("trap '' TERM")};
    for (int i = 0; i < 2; i++) {
        place *p = place_new(0);
        long pids[2];
        nn_supervisor *s = supervise(p, scripts[i], NULL);
        const char *id = add(p, NULL);
        read_pids(p, id, pids);
        CHECK_OK(nn_operation_cancel(p->jobs, id, "t", NULL, &p->err), &p->err);
        NN_AUTO(nn_operation) *op = ended(p, id);
        assert_int_equal(op->state, NN_STATE_CANCELLED);
        wait_gone(pids[0]);
        wait_gone(pids[1]); /* what the child had started too */
        nn_supervisor_stop(s);
        assert_int_equal(count_events(p, id, "operation.finished"), 1);
        place_done(p);
    }
}

TEST(what_a_child_leaves_behind_is_ended) {
    place *p = place_new(0);
    long pids[2];
    nn_supervisor *s = supervise(p, "sleep 1000 & echo $$ $! > $1/pids.log; exit 7", NULL);
    NN_AUTO(nn_operation) *op = ended(p, add(p, NULL));
    read_pids(p, op->id, pids);
    wait_gone(pids[1]);
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(a_time_limit) {
    place *p = place_new(0);
    nn_supervisor *s = supervise(p, STAY("trap '' TERM"), NULL);
    NN_JSON *request = train_request();
    nn_operation_spec spec = {.kind = NN_KIND_TRAIN, .request = request, .timeout_s = 0.1};
    nn_operation *made = NULL;
    CHECK_OK(nn_operation_create(p->jobs, &spec, &made, NULL, &p->err), &p->err);
    NN_AUTO(nn_operation) *op = ended(p, made->id);
    nn_operation_free(made);
    assert_int_equal(op->state, NN_STATE_TIMED_OUT);
    assert_string_equal(op->error_code, "timeout");
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(a_server_that_stops_gives_its_work_back) {
    place *p = place_new(0);
    long pids[2];
    nn_supervisor *s = supervise(p, STAY(""), NULL);
    const char *id = add(p, NULL);
    read_pids(p, id, pids);
    wait_for_state(p, id, NN_STATE_RUNNING);
    nn_supervisor_stop(s);
    wait_gone(pids[0]);
    wait_gone(pids[1]);
    assert_int_equal(state_of(p, id), NN_STATE_QUEUED);
    s = supervise(p,
                  "cd $1; grep -q '\"resume\":true' request.json || exit 9\n" REPORT(
                      "{\"type\":\"error\",\"code\":\"data_error\"}"),
                  NULL);
    NN_AUTO(nn_operation) *op = ended(p, id);
    assert_int_equal(op->attempt, 2);
    assert_int_equal(op->interruptions, 0);
    assert_string_equal(op->error_code, "data_error");
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(no_more_children_than_workers) {
    place *p = place_new(0);
    /* Each child fails if it finds another one's mark. */
    nn_supervisor *s =
        supervise(p,
                  "mkdir $1/../../busy || exit 5\nsleep 0.02\nrmdir $1/../../busy\n" REPORT(
                      "{\"type\":\"error\",\"code\":\"data_error\",\"message\":\"fine\"}"),
                  &(nn_supervisor_options){.workers = 1});
    const char *id[6];
    for (int i = 0; i < 6; i++) id[i] = add(p, NULL);
    for (int i = 0; i < 6; i++) {
        NN_AUTO(nn_operation) *op = ended(p, id[i]);
        assert_string_equal(op->error, "fine");
    }
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(a_flood_of_reports_is_survived) {
    place *p = place_new(0);
    NN_AUTO(nn_operation) *op = run_script(
        p,
        "yes '{\"type\":\"metric\",\"name\":\"m\",\"step\":1,\"value\":1,\"ts_ms\":5}' | head -n 2000 >&3\n"
        "head -c 3000000 /dev/zero >&3\necho >&3\nyes | head -n 5000\n" REPORT(
            "{\"type\":\"error\",\"code\":\"data_error\"}"),
        NULL);
    assert_string_equal(op->error_code, "data_error");
    assert_int_equal(nn_json_int(nn_json_get(op->error_details, "bad_lines"), 0), 1);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, op->id, true, &e, &p->err), &p->err);
    assert_int_equal(nn_json_size(nn_json_get(nn_json_get(e, "metrics"), "history")),
                     1); /* equal points are one */
    place_done(p);
}

/* The real child. */

TEST(a_training_from_request_to_model) {
    place *p = place_new(0);
    nn_supervisor *s = supervise(p, NULL, NULL);
    const char *id = add(p, NULL);
    NN_AUTO(nn_operation) *op = ended(p, id);
    if (op->error) {
        NN_BUF text = {0};
        nn_json_dump(op->error_details, 1, &text);
        fail_msg("%s %s", op->error, nn_buf_str(&text));
    }
    nn_row model;
    const char *path;
    CHECK_OK(nn_registry_find(p->track, "Tiny", true, p->arena, &model, &p->err), &p->err);
    CHECK_OK(nn_registry_weights(p->track, model, p->arena, &path, &p->err), &p->err);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    CHECK(nn_json_get(nn_json_get(nn_json_get(e, "metrics"), "latest"), "loss"));
    assert_int_equal(nn_json_size(nn_json_get(e, "artifacts")), 2);
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(a_training_that_cannot_be_compiled_shows_its_diagnostics) {
    place *p = place_new(0);
    nn_supervisor *s = supervise(p, NULL, NULL);
    NN_JSON *request = parse(
        "{\"dsl_code\":\"network X { input: (4) layers: Dens(3) Output(2) }\",\"dataset\":\"synthetic\"}");
    nn_operation_spec spec = {.kind = NN_KIND_TRAIN, .request = request};
    nn_operation *made = NULL;
    CHECK_OK(nn_operation_create(p->jobs, &spec, &made, NULL, &p->err), &p->err);
    NN_AUTO(nn_operation) *op = ended(p, made->id);
    nn_operation_free(made);
    assert_string_equal(op->error_code, "dsl_error");
    CHECK(nn_json_size(nn_json_get(op->error_details, "diagnostics")) >= 1);
    nn_supervisor_stop(s);
    place_done(p);
}
