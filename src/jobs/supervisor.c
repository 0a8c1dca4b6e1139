/* SPDX-License-Identifier: MIT */
/* The supervisor's thread owns the loop, the children and their works; others only send it a
 * wake-up. It waits for the store (a commit), which bounds how fast operations begin and end, and
 * never for a child.
 *
 * An end that cannot be stored (full disk) is kept and tried again on every turn: the operation
 * stays `running` under its lease until the truth can be written. */
#include "jobs/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "jobs/work.h"
#include "store/eventlog.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_MS = 100, MAX_ARGS = 32 };

/* A short operation on a thread of ours. */
typedef struct inline_run {
    nn_supervisor *s;
    nn_operation *op;
    nn_lease lease;
    volatile sig_atomic_t stop;
    atomic_bool done;
    struct inline_run *next;
} inline_run;

struct nn_supervisor {
    nn_jobs *jobs;
    nn_supervisor_options o;
    char exe[4096], owner[64];
    const char *args[MAX_ARGS];
    nn_json *limits;
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t poll, flush;
    nn_pool *pool;
    nn_work *works;
    inline_run *inlines;
    int n_works, n_inlines;
    int64_t renewed, pruned; /* monotonic ns */
    int64_t said_claim, said_lost, said_prune;
    unsigned child_kinds, inline_kinds;
    bool draining, closed;
    atomic_bool stop;
    atomic_int running;
    atomic_uint_fast64_t started, finished, bad_lines, killed;
};

static void complain(const char *what, const char *id, const nn_err *err) {
    nn_log(NN_LOG_ERROR, what, nn_kv_str("operation", id), nn_kv_err(err));
}

/* What is tried again on every turn is said at its first failure, then once a minute. */
static void complain_again(int64_t *said, const char *what, const char *id, const nn_err *err) {
    int64_t now = nn_clock_mono();
    if (*said && now - *said < 60 * (int64_t)1000000000) return;
    *said = now;
    complain(what, id, err);
}

static void count_running(nn_supervisor *s) {
    atomic_store(&s->running, s->n_works + s->n_inlines);
}

/* Children. */

static void unlink_work(nn_supervisor *s, nn_work *w) {
    nn_work **at = &s->works;
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    s->n_works--;
    atomic_fetch_add(&s->finished, 1);
    atomic_fetch_add(&s->bad_lines, w->reader.bad);
    atomic_fetch_add(&s->killed, w->killed);
    count_running(s);
    if (w->reader.bad)
        nn_log(NN_LOG_WARNING, "the child wrote lines that are no reports",
               nn_kv_str("operation", w->op->id), nn_kv_int("lines", (int64_t)w->reader.bad));
    nn_work_free(w);
}

/* Stores the end of a work whose process is gone; keeps it for another try when the store cannot
 * take it. */
static void settle(nn_supervisor *s, nn_work *w) {
    nn_err err = {0};
    nn_state state;
    if (!w->lost) {
        nn_status st = nn_work_finish(w, s->draining, &state, &err);
        if (st == NN_E_CONFLICT || st == NN_E_NOT_FOUND)
            nn_log(NN_LOG_WARNING, "the operation is no longer ours",
                   nn_kv_str("operation", w->op->id), nn_kv_err(&err));
        else if (st != NN_OK) {
            if (s->draining) w->said = 0; /* the last try */
            complain_again(&w->said, "cannot store the end of an operation", w->op->id, &err);
            if (nn_status_retryable(st) && !s->draining) return;
        } else
            nn_log(NN_LOG_INFO, "operation ended", nn_kv_str("operation", w->op->id),
                   nn_kv_str("kind", nn_kind_id_name(w->op->kind)),
                   nn_kv_str("state", nn_state_name(state)));
    }
    unlink_work(s, w);
}

static void on_ended(void *ctx, int exit_code, int signal) {
    nn_work *w = ctx;
    w->killed = nn_process_was_killed(w->process);
    w->process = NULL;
    w->ended = true;
    w->exit_code = exit_code;
    w->signal = signal;
    nn_report_end(&w->reader);
    uv_async_send(w->wake); /* settled on the next turn, outside of the process's callbacks */
}

static void on_bytes(void *ctx, nn_stream stream, const char *p, size_t n) {
    nn_work_read(ctx, stream, p, n);
}

static nn_status start_child(nn_supervisor *s, nn_work *w, nn_err *err) {
    const char *argv[MAX_ARGS + 2];
    int n = 0;
    for (; s->args[n]; n++) argv[n] = s->args[n];
    argv[n++] = w->folder;
    argv[n] = NULL;
    nn_process_options o = {
        .argv = argv, .grace_s = s->o.grace_s, .read = on_bytes, .ended = on_ended, .ctx = w};
    nn_status st = nn_work_prepare(w, s->limits, s->o.threads, err);
    if (st == NN_OK) st = nn_process_start(&s->loop, &o, &w->process, err);
    if (st != NN_OK) return st;
    if (!isnan(w->op->timeout_s)) w->deadline = nn_clock_mono() + (int64_t)(w->op->timeout_s * 1e9);
    nn_log(NN_LOG_INFO, "operation started", nn_kv_str("operation", w->op->id),
           nn_kv_str("kind", nn_kind_id_name(w->op->kind)),
           nn_kv_int("pid", nn_process_pid(w->process)), nn_kv_int("attempt", w->op->attempt));
    return nn_operation_started(s->jobs, &w->lease, err);
}

static void begin_child(nn_supervisor *s, nn_operation *op, const nn_lease *l) {
    nn_err err = {0};
    nn_work *w = nn_work_new(s->jobs, op, l);
    w->wake = &s->wake;
    w->next = s->works;
    s->works = w;
    s->n_works++;
    atomic_fetch_add(&s->started, 1);
    count_running(s);
    nn_status st = start_child(s, w, &err);
    if (st == NN_OK) return;
    complain("cannot start an operation", op->id, &err);
    if (w->process) { /* it runs, but its state could not be stored: without a lease it must not go
                         on */
        w->lost = true;
        nn_process_kill(w->process);
        return;
    }
    w->ended = true;
    w->failure = nn_json_new_object();
    nn_json_set(w->failure, "code", nn_json_new_str(nn_status_code(st)));
    nn_json_set(w->failure, "message", nn_json_new_str(err.msg));
    settle(s, w);
}

/* In process. */

static void run_inline(void *arg) {
    inline_run *r = arg;
    nn_err err = {0};
    nn_state state = NN_STATE_FAILED;
    nn_status st = nn_operation_run_here(r->s->jobs, r->op, &r->lease, &r->stop, &state, &err);
    if (st != NN_OK)
        complain("cannot store the end of an operation", r->op->id, &err);
    else
        nn_log(NN_LOG_INFO, "operation ended", nn_kv_str("operation", r->op->id),
               nn_kv_str("kind", nn_kind_id_name(r->op->kind)),
               nn_kv_str("state", nn_state_name(state)));
    uv_async_t *wake = &r->s->wake;
    atomic_store(&r->done, true); /* r is the loop's now */
    uv_async_send(wake);
}

static void begin_inline(nn_supervisor *s, nn_operation *op, const nn_lease *l) {
    inline_run *r = calloc(1, sizeof *r);
    if (!r) abort();
    nn_err err = {0};
    r->s = s;
    r->op = op;
    r->lease = *l;
    if (nn_pool_submit(s->pool, run_inline, r, &err) !=
        NN_OK) { /* its room was counted: only when closing */
        complain("cannot start an operation", op->id, &err);
        if (nn_operation_release(s->jobs, l, false, NULL, &err) != NN_OK)
            complain("cannot give back an operation", op->id, &err);
        nn_operation_free(op);
        free(r);
        return;
    }
    r->next = s->inlines;
    s->inlines = r;
    s->n_inlines++;
    atomic_fetch_add(&s->started, 1);
    count_running(s);
}

static void reap_inlines(nn_supervisor *s) {
    for (inline_run **at = &s->inlines, *r; (r = *at);) {
        if (!atomic_load(&r->done)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        s->n_inlines--;
        atomic_fetch_add(&s->finished, 1);
        nn_operation_free(r->op);
        free(r);
    }
    count_running(s);
}

/* A turn. */

static void lose(nn_work *w) {
    w->lost = true;
    if (w->process) nn_process_kill(w->process);
}

static void check_work(nn_supervisor *s, nn_work *w, bool renew) {
    nn_err err = {0};
    nn_state state = NN_STATE_RUNNING;
    nn_operation *now = NULL;
    if (!w->process || w->lost) return;
    if (w->deadline && !w->timed_out && nn_clock_mono() >= w->deadline) {
        w->timed_out = true;
        nn_process_stop(w->process);
    }
    nn_status st = renew ? nn_operation_renew(s->jobs, &w->lease, &state, &err)
                         : nn_operation_get(s->jobs, w->op->id, &now, &err);
    if (now) state = now->state;
    nn_operation_free(now);
    if (st == NN_E_CONFLICT || st == NN_E_NOT_FOUND)
        lose(w);
    else if (st != NN_OK)
        complain_again(&w->said, "cannot look after an operation", w->op->id, &err);
    else if (state == NN_STATE_CANCELLING && !w->cancelling) {
        w->cancelling = true;
        nn_process_stop(w->process);
    }
}

static void check_inline(nn_supervisor *s, inline_run *r, bool renew) {
    nn_state state = NN_STATE_RUNNING;
    nn_operation *now = NULL;
    if (atomic_load(&r->done)) return;
    nn_status st = renew ? nn_operation_renew(s->jobs, &r->lease, &state, NULL)
                         : nn_operation_get(s->jobs, r->op->id, &now, NULL);
    if (now) state = now->state;
    nn_operation_free(now);
    if (st == NN_E_CONFLICT || state == NN_STATE_CANCELLING) r->stop = 1;
}

static void look_after(nn_supervisor *s) {
    int64_t now = nn_clock_mono();
    bool renew = now - s->renewed > s->jobs->lease_us * 1000 / 3;
    nn_err err = {0};
    for (nn_work *w = s->works; w; w = w->next) check_work(s, w, renew);
    for (inline_run *r = s->inlines; r; r = r->next) check_inline(s, r, renew);
    if (!renew) return;
    s->renewed = now;
    int count = 0; /* ours were renewed first, so these are others' */
    if (nn_operation_recover(s->jobs, false, &count, &err) != NN_OK)
        complain_again(&s->said_lost, "cannot look for lost operations", "", &err);
    else if (count)
        nn_log(NN_LOG_WARNING, "operations whose owner is gone were taken back",
               nn_kv_int("operations", count));
}

/* Forgets old events, at the start and then once an hour. */
static void prune(nn_supervisor *s) {
    int64_t now = nn_clock_mono(), deleted = 0;
    nn_err err = {0};
    if (s->o.event_days <= 0 || (s->pruned && now - s->pruned < 3600 * (int64_t)1000000000)) return;
    s->pruned = now;
    int64_t before = nn_jobs_now(s->jobs) - (int64_t)(s->o.event_days * 86400e6);
    if (nn_eventlog_prune(s->jobs->store, before, &deleted, &err) != NN_OK)
        complain_again(&s->said_prune, "cannot forget old events", "", &err);
    else if (deleted)
        nn_log(NN_LOG_INFO, "old events were forgotten", nn_kv_int("events", deleted));
}

/* Claims one operation of the kinds; false when there is none. */
static bool claim(nn_supervisor *s, unsigned kinds,
                  void (*begin)(nn_supervisor *, nn_operation *, const nn_lease *)) {
    nn_err err = {0};
    nn_operation *op = NULL;
    nn_lease lease;
    nn_status st = nn_operation_claim(s->jobs, s->owner, kinds, &op, &lease, &err);
    if (st != NN_OK)
        complain_again(&s->said_claim, "cannot claim an operation", "", &err);
    else
        s->said_claim = 0;
    if (op) begin(s, op, &lease);
    return op != NULL;
}

/* Only kinds that something here can run are claimed. */
static void find_kinds(nn_supervisor *s) {
    s->child_kinds = s->inline_kinds = 0;
    for (int k = 0; k < NN_KIND_COUNT; k++) {
        if (!nn_kind_can_run(s->jobs, (nn_kind_id)k)) continue;
        *(nn_kind_at((nn_kind_id)k)->child ? &s->child_kinds : &s->inline_kinds) |= 1u << k;
    }
}

static void close_all(nn_supervisor *s) {
    uv_handle_t *handles[] = {(uv_handle_t *)&s->wake, (uv_handle_t *)&s->poll,
                              (uv_handle_t *)&s->flush};
    if (s->closed) return;
    s->closed = true;
    for (int i = 0; i < NN_COUNT_OF(handles); i++) uv_close(handles[i], NULL);
}

static void drain(nn_supervisor *s) {
    s->draining = true;
    for (nn_work *w = s->works; w; w = w->next)
        if (w->process) nn_process_stop(w->process);
    for (inline_run *r = s->inlines; r; r = r->next) r->stop = 1;
}

static void turn(nn_supervisor *s) {
    if (s->closed) return;
    if (atomic_load(&s->stop) && !s->draining) drain(s);
    reap_inlines(s);
    for (nn_work *w = s->works, *next; w; w = next) {
        next = w->next;
        if (w->ended) settle(s, w);
    }
    look_after(s);
    if (!s->draining) {
        prune(s);
        while (s->n_works < s->o.workers && claim(s, s->child_kinds, begin_child)) continue;
        while (s->n_inlines < s->o.inline_workers && claim(s, s->inline_kinds, begin_inline))
            continue;
    } else if (!s->n_works && !s->n_inlines) {
        s->pool = nn_pool_close(s->pool); /* its threads may still be about to wake us */
        close_all(s);
    }
}

static void on_wake(uv_async_t *h) {
    turn(h->data);
}

static void on_poll(uv_timer_t *h) {
    turn(h->data);
}

static void on_flush(uv_timer_t *h) {
    nn_supervisor *s = h->data;
    nn_err err = {0};
    for (nn_work *w = s->works; w; w = w->next) {
        if (!w->process || w->lost) continue;
        nn_status st = nn_work_flush(w, &err);
        if (st == NN_E_CONFLICT || st == NN_E_NOT_FOUND)
            lose(w);
        else if (st != NN_OK)
            complain_again(&w->said, "cannot store what an operation reports", w->op->id, &err);
        else
            w->said = 0;
    }
}

/* Start and stop. */

static void signal_wake(void *arg) {
    uv_async_send(&((nn_supervisor *)arg)->wake);
}

void nn_supervisor_wake(nn_supervisor *s) {
    signal_wake(s);
}

static void *thread_main(void *arg) {
    nn_supervisor *s = arg;
    pthread_setname_np(pthread_self(), "nn-supervisor");
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* All signals but SIGCHLD, by which libuv learns of a child's end, are for the main thread. */
static int start_thread(nn_supervisor *s) {
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGCHLD);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&s->thread, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e;
}

static nn_status set_command(nn_supervisor *s, nn_err *err) {
    const char *exe = getenv("NEURAL_EXE");
    size_t n = sizeof s->exe;
    if (s->o.command) {
        int i = 0;
        for (; s->o.command[i] && i < MAX_ARGS - 1; i++) s->args[i] = s->o.command[i];
        return NN_OK;
    }
    if (exe && *exe)
        snprintf(s->exe, sizeof s->exe, "%s", exe);
    else if (uv_exepath(s->exe, &n) != 0)
        return nn_fail(err, NN_E_INTERNAL, "cannot find this program's own file in /proc/self/exe");
    s->args[0] = s->exe;
    s->args[1] = "operation";
    s->args[2] = "run";
    return NN_OK;
}

static nn_json *limits_of(const nn_supervisor_options *o) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "memory_mb", nn_json_new_int(o->memory_mb));
    nn_json_set(v, "file_mb", nn_json_new_int(o->file_mb));
    nn_json_set(v, "cpu_s", nn_json_new_int(o->cpu_s));
    return v;
}

static void init_loop(nn_supervisor *s) {
    uint64_t poll_ms = (uint64_t)(s->o.poll_s * 1000);
    if (uv_loop_init(&s->loop) != 0) abort();
    if (uv_async_init(&s->loop, &s->wake, on_wake) != 0) abort();
    uv_timer_init(&s->loop, &s->poll);
    uv_timer_init(&s->loop, &s->flush);
    s->wake.data = s->poll.data = s->flush.data = s;
    uv_timer_start(&s->poll, on_poll, 0, poll_ms ? poll_ms : 1);
    uv_timer_start(&s->flush, on_flush, FLUSH_MS, FLUSH_MS);
}

static void free_supervisor(nn_supervisor *s) {
    nn_pool_close(s->pool);
    nn_json_unref(s->limits);
    free(s);
}

static void set_defaults(nn_supervisor_options *o) {
    if (o->workers <= 0) { /* a heavy operation keeps several cores busy */
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        o->workers = cores > 3 ? (int)(cores / 2) : 1;
    }
    if (o->inline_workers <= 0) o->inline_workers = 2;
    if (!(o->grace_s > 0)) o->grace_s = 5;
    if (!(o->poll_s > 0)) o->poll_s = 1;
}

void nn_jobs_configure(const nn_config *c, nn_jobs_options *jobs,
                       nn_supervisor_options *supervisor) {
    jobs->storage = nn_config_str(c, NN_CFG_PATHS_STORAGE);
    jobs->ageing_s = nn_config_num(c, NN_CFG_QUEUE_AGEING);
    supervisor->workers = (int)nn_config_int(c, NN_CFG_QUEUE_WORKERS);
    supervisor->grace_s = nn_config_num(c, NN_CFG_JOBS_GRACE);
    supervisor->memory_mb = nn_config_int(c, NN_CFG_JOBS_MEMORY);
    supervisor->file_mb = nn_config_int(c, NN_CFG_JOBS_FILE);
    supervisor->cpu_s = nn_config_int(c, NN_CFG_JOBS_TIME);
    supervisor->threads = (int)nn_config_int(c, NN_CFG_ENGINE_THREADS);
    supervisor->event_days = (double)nn_config_int(c, NN_CFG_EVENTS_RETENTION);
}

nn_status nn_supervisor_start(const nn_supervisor_options *o, nn_supervisor **ret, nn_err *err) {
    nn_supervisor *s = calloc(1, sizeof *s);
    if (!s) abort();
    int count = 0;
    s->o = *o;
    s->jobs = o->jobs;
    set_defaults(&s->o);
    snprintf(s->owner, sizeof s->owner, "server-%ld", (long)getpid());
    s->limits = limits_of(o);
    find_kinds(s);
    s->renewed = nn_clock_mono();
    nn_status st = set_command(s, err);
    if (st == NN_OK) st = nn_operation_recover(s->jobs, true, &count, err);
    if (st == NN_OK)
        st = nn_pool_new("nn-inline", s->o.inline_workers, (size_t)s->o.inline_workers, &s->pool,
                         err);
    if (st != NN_OK) {
        free_supervisor(s);
        return st;
    }
    if (count)
        nn_log(NN_LOG_WARNING, "operations of an earlier server were taken back",
               nn_kv_int("operations", count));
    init_loop(s);
    if (start_thread(s) != 0) abort();
    nn_jobs_on_wake(s->jobs, signal_wake, s);
    *ret = s;
    return NN_OK;
}

void nn_supervisor_stop(nn_supervisor *s) {
    if (!s) return;
    nn_jobs_on_wake(s->jobs, NULL, NULL);
    atomic_store(&s->stop, true);
    uv_async_send(&s->wake);
    pthread_join(s->thread, NULL);
    if (uv_loop_close(&s->loop) != 0) abort();
    free_supervisor(s);
}

nn_supervisor_stats nn_supervisor_stat(const nn_supervisor *s) {
    return (nn_supervisor_stats){atomic_load(&s->running), atomic_load(&s->started),
                                 atomic_load(&s->finished), atomic_load(&s->bad_lines),
                                 atomic_load(&s->killed)};
}
