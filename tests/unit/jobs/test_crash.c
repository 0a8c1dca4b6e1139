/* SPDX-License-Identifier: MIT */
/* kill -9 of a server and of its children at random points, then the invariants: every operation
 * that was accepted has ended, once; nothing of the killed ones still runs. The server is this
 * program in a forked process; its children are shell scripts that take a few steps, write their
 * step to their folder, and go on from it when they are started again. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPERATIONS = 12, KILLS = 10 };

/* A resumable child of five steps of 10 ms; "alive" holds the pids of all attempts. */
static const char script[] =
    "cd $1; echo $$ >> alive.log; [ -f step ] || echo 0 > step\n"
    "n=$(cat step)\n"
    "while [ $n -lt 5 ]; do sleep 0.01; n=$((n+1)); echo $n > step.new; mv step.new step\n"
    "echo '{\"type\":\"metric\",\"name\":\"loss\",\"step\":'$n',\"value\":'$n',\"ts_ms\":'$n'}' >&3; done\n"
    "echo weights > w; echo '{\"type\":\"artifact\",\"file\":\"w\",\"name\":\"model.safetensors\",\"kind\":\"model\"}' >&3\n"
    "echo '{\"type\":\"result\",\"result\":{\"network\":{\"network_name\":\"N\"}}}' >&3";

static nn_supervisor *supervise(place *p) {
    static const char *const command[] = {"/bin/sh", "-c", script, "sh", NULL};
    nn_supervisor_options o = {
        .jobs = p->jobs, .command = command, .workers = 2, .grace_s = 0.2, .poll_s = 0.05};
    nn_supervisor *s = NULL;
    CHECK_OK(nn_supervisor_start(&o, &s, &p->err), &p->err);
    return s;
}

/* A server: tells each id that it has accepted (a line), and works until it is killed. */
static void serve(place *p, int out, int first) {
    place_open(p);
    p->jobs->max_interruptions = 1000; /* this test kills more often than a life does */
    supervise(p);
    for (int i = first; i < OPERATIONS; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "%s\n", add(p, NULL));
        if (write(out, line, (size_t)n) != n) _exit(1);
        usleep(3000);
    }
    for (;;) pause();
}

static pid_t start_server(place *p, int out, int first) {
    pid_t pid = fork();
    if (pid) return pid;
    serve(p, out, first);
    _exit(1);
}

static int read_ids(int in, char ids[][37], int n) {
    char line[37 + 1];
    while (n < OPERATIONS * (KILLS + 2)) {
        ssize_t got = read(in, line, 37);
        if (got != 37) break;
        memcpy(ids[n], line, 36);
        ids[n++][36] = 0;
    }
    return n;
}

/* The shell asks for no death signal; a real child does (child.c). Here the test clears away what
 * the killed server left. */
static void kill_children(place *p, const char *id) {
    FILE *f = fopen(nn_arena_printf(p->arena, "%s/operations/%s/alive.log", p->folder, id), "r");
    long pid;
    while (f && fscanf(f, "%ld", &pid) == 1) kill((pid_t)pid, SIGKILL);
    if (f) fclose(f);
}

static void check_ended_once(place *p, const char *id) {
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_wait(p->jobs, id, 60, &op, &p->err), &p->err);
    if (op->state != NN_STATE_SUCCEEDED)
        fail_msg("%s is %s: %s", id, nn_state_name(op->state), op->error ? op->error : "");
    assert_int_equal(count_events(p, id, "operation.finished"), 1);
    assert_int_equal(count_events(p, id, "operation.created"), 1);
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    assert_string_equal(nn_json_str(nn_json_get(e, "status"), ""), "completed");
    assert_int_equal(nn_json_size(nn_json_get(e, "artifacts")), 1);
    nn_operation_free(op);
}

/* TSan knows no threads after a fork of a program that has some. */
#ifdef __SANITIZE_THREAD__
#define NEEDS_FORK() skip()
#else
#define NEEDS_FORK() (void)0
#endif

TEST(killing_the_server_at_any_point_loses_and_doubles_nothing) {
    NEEDS_FORK();
    place *p = place_new(0);
    place_close(p);
    static char ids[OPERATIONS * (KILLS + 2)][37];
    int n = 0;
    unsigned seed = 20260105;
    for (int round = 0; round < KILLS; round++) {
        int fd[2];
        assert_int_equal(pipe(fd), 0);
        pid_t pid = start_server(p, fd[1], round ? OPERATIONS - 2 : 0);
        close(fd[1]);
        usleep((useconds_t)(5000 +
                            rand_r(&seed) % 60000)); /* a random point, not a wait for something */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        n = read_ids(fd[0], ids, n);
        close(fd[0]);
        for (int i = 0; i < n; i++) kill_children(p, ids[i]);
    }
    place_open(p);
    p->jobs->max_interruptions = 1000;
    nn_supervisor *s = supervise(p);
    CHECK(n > 0);
    for (int i = 0; i < n; i++) check_ended_once(p, ids[i]);
    /* Nothing was accepted that its creator was not told of, but for what was being created when
     * the server was killed. */
    int64_t total;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_OPERATIONS, NULL, 0, &total, &p->err), &p->err);
    CHECK(total >= n && total <= n + KILLS);
    nn_supervisor_stop(s);
    place_done(p);
}

TEST(killing_children_at_any_point_ends_each_operation_once) {
    place *p = place_new(0);
    nn_supervisor *s = supervise(p);
    unsigned seed = 7;
    for (int i = 0; i < 10; i++) {
        const char *id = add(p, NULL);
        usleep((useconds_t)(rand_r(&seed) % 60000));
        kill_children(p, id);
        nn_operation *op = NULL;
        CHECK_OK(nn_operation_wait(p->jobs, id, 60, &op, &p->err), &p->err);
        CHECK(nn_state_terminal(op->state));
        assert_int_equal(count_events(p, id, "operation.finished"), 1);
        if (op->state == NN_STATE_FAILED)
            assert_string_equal(op->error_code, "out_of_memory"); /* SIGKILL that was not ours */
        nn_operation_free(op);
    }
    nn_supervisor_stop(s);
    place_done(p);
}

/* A real child dies with its server, and another attempt continues from its checkpoint. */
TEST(a_killed_server_leaves_no_orphan_and_its_training_goes_on) {
    NEEDS_FORK();
    place *p = place_new(0);
    char exe[4096] = "";
    CHECK(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
    const char *command[] = {exe, "be_the_child", NULL};
    nn_supervisor_options o = {.command = command, .poll_s = 0.05};
    NN_JSON *request = parse(
        "{\"dataset\":\"synthetic:classes=3,rows=1024\",\"training_config\":{\"epochs\":40,\"batch_size\":8},"
        "\"hyperparameters\":{\"seed\":1}}");
    nn_json_set(request, "dsl_code", nn_json_new_str(NETWORK));
    nn_operation_spec spec = {.kind = NN_KIND_TRAIN, .request = request};
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_create(p->jobs, &spec, &op, NULL, &p->err), &p->err);
    const char *id = nn_arena_strdup(p->arena, op->id),
               *folder = nn_operation_folder(p->jobs, id, p->arena);
    nn_operation_free(op);
    place_close(p);
    pid_t pid = fork();
    if (!pid) {
        nn_supervisor *s;
        place_open(p);
        o.jobs = p->jobs;
        CHECK_OK(nn_supervisor_start(&o, &s, &p->err), &p->err);
        for (;;) pause();
    }
    const char *checkpoint = nn_arena_printf(p->arena, "%s/checkpoint.safetensors", folder);
    int i = 0;
    for (; i < 12000 && access(checkpoint, F_OK) != 0; i++) usleep(5000);
    assert_int_equal(access(checkpoint, F_OK), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* The child holds the folder's lock for as long as it lives: once we have it, it is gone. */
    int lock = open(nn_arena_printf(p->arena, "%s/lock", folder), O_RDWR);
    for (i = 0; i < 12000 && flock(lock, LOCK_EX | LOCK_NB) != 0; i++) usleep(5000);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    close(lock);
    place_open(p);
    o.jobs = p->jobs;
    nn_supervisor *s;
    CHECK_OK(nn_supervisor_start(&o, &s, &p->err), &p->err);
    op = NULL;
    CHECK_OK(nn_operation_wait(p->jobs, id, 120, &op, &p->err), &p->err);
    if (op->error) fail_msg("%s", op->error);
    assert_int_equal(op->state, NN_STATE_SUCCEEDED);
    assert_int_equal(op->attempt, 2);
    assert_int_equal(count_events(p, id, "operation.finished"), 1);
    /* Each epoch's loss is there, those of before the kill too; an epoch that both attempts
     * reported was the same. */
    NN_JSON *e = NULL;
    CHECK_OK(nn_experiment_json(p->track, id, true, &e, &p->err), &p->err);
    assert_int_equal(nn_json_size(nn_json_get(nn_json_get(e, "metrics"), "history")), 40);
    nn_operation_free(op);
    nn_supervisor_stop(s);
    place_done(p);
}
