/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "store/store_impl.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A table that every program has and that is easy to fill. */
static nn_status put(nn_txn *t, const char *id, const char *name, int64_t at, nn_err *err) {
    nn_field f[] = {
        NN_FIELD_TEXT("id", id),
        NN_FIELD_TEXT("name", name),
        NN_FIELD_TEXT("group_name", "g"),
        NN_FIELD_TEXT("status", "created"),
        NN_FIELD_TEXT("lifecycle", "active"),
        NN_FIELD_INT("created_at", at),
        NN_FIELD_INT("updated_at", at),
    };
    return nn_txn_insert(t, NN_TABLE_EXPERIMENTS, f, NN_COUNT_OF(f), NULL, err);
}

typedef struct one {
    const char *id, *name;
    int64_t at;
    bool fail;
} one;

static nn_status put_fn(nn_txn *t, void *ctx, nn_err *err) {
    one *o = ctx;
    nn_status s = put(t, o->id, o->name, o->at, err);
    if (s == NN_OK && o->fail) return nn_fail(err, NN_E_CONFLICT, "changed my mind");
    return s;
}

static void put_now(place *p, const char *id, const char *name, int64_t at) {
    CHECK_OK(nn_store_write(p->store, put_fn, &(one){id, name, at, false}, &p->err), &p->err);
}

static int64_t count(place *p) {
    int64_t n = -1;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_EXPERIMENTS, NULL, 0, &n, &p->err), &p->err);
    return n;
}

TEST(tables_def_is_what_the_migrations_make) {
    place *p = place_new();
    place_open(p, NULL);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
    for (nn_table t = 0; t < NN_TABLE_COUNT; t++) {
        static const char *const type[] = {[NN_CELL_INT] = "INTEGER",
                                           [NN_CELL_REAL] = "REAL",
                                           [NN_CELL_TEXT] = "TEXT",
                                           [NN_CELL_BLOB] = "BLOB",
                                           [NN_CELL_JSON] = "TEXT"};
        int n, i = 0;
        char sql[128];
        const nn_column *c = nn_table_columns(t, &n);
        snprintf(sql, sizeof sql, "PRAGMA table_info(%s)", nn_table_name(t));
        sqlite3_stmt *s;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
        for (; sqlite3_step(s) == SQLITE_ROW; i++) {
            assert_true(i < n);
            assert_string_equal(sqlite3_column_text(s, 1), c[i].name);
            assert_string_equal(sqlite3_column_text(s, 2), type[c[i].type]);
        }
        sqlite3_finalize(s);
        assert_int_equal(i, n);
        CHECK(nn_column_find(t, nn_table_key(t)) >= 0);
    }
    sqlite3_close(db);
    place_done(p);
}

static nn_status types_fn(nn_txn *t, void *ctx, nn_err *err) {
    place *p = ctx;
    NN_JSON *tags = NULL;
    static const char text[] = "{\"a\":\"b\",\"quo\\\"te\":\"c\"}";
    nn_status s = nn_json_parse(text, strlen(text), &tags, err);
    if (s != NN_OK) return s;
    nn_field f[] = {
        NN_FIELD_TEXT("id", "1"),
        NN_FIELD_TEXT("name", "x' OR 1=1 --"),
        NN_FIELD_TEXT("group_name", ""),
        NN_FIELD_TEXT("status", "created"),
        NN_FIELD_TEXT("lifecycle", "a"),
        NN_FIELD_INT("created_at", INT64_MIN),
        NN_FIELD_INT("updated_at", INT64_MAX),
        NN_FIELD_JSON("tags", tags),
        NN_FIELD_NULL("notes"),
    };
    s = nn_txn_insert(t, NN_TABLE_EXPERIMENTS, f, NN_COUNT_OF(f), NULL, err);
    if (s != NN_OK) return s;
    nn_field m[] = {NN_FIELD_TEXT("experiment_id", "1"), NN_FIELD_TEXT("name", "loss"),
                    NN_FIELD_INT("step", 1), NN_FIELD_INT("ts_ms", 2),
                    NN_FIELD_REAL("value", INFINITY)};
    s = nn_txn_insert(t, NN_TABLE_METRICS, m, NN_COUNT_OF(m), NULL, err);
    m[4] = NN_FIELD_REAL("value", NAN);
    if (s == NN_OK) s = nn_txn_insert(t, NN_TABLE_METRICS, m, NN_COUNT_OF(m), NULL, err);
    (void)p;
    return s;
}

TEST(values_come_back_as_they_went_in) {
    place *p = place_new();
    place_open(p, NULL);
    CHECK_OK(nn_store_write(p->store, types_fn, p, &p->err), &p->err);
    nn_row r;
    CHECK_OK(nn_store_get(p->store, NN_TABLE_EXPERIMENTS, "1", p->arena, &r, &p->err), &p->err);
    assert_string_equal(nn_row_text(r, "name"), "x' OR 1=1 --");
    assert_string_equal(nn_row_text(r, "group_name"), "");
    assert_int_equal(nn_row_int(r, "created_at", 0), INT64_MIN);
    assert_int_equal(nn_row_int(r, "updated_at", 0), INT64_MAX);
    CHECK(nn_row_null(r, "notes") && !nn_row_text(r, "notes"));
    NN_JSON *tags = nn_row_json(r, "tags");
    assert_string_equal(nn_json_str(nn_json_get(tags, "quo\"te"), ""), "c");
    nn_query q = {.table = NN_TABLE_METRICS};
    nn_rows m;
    CHECK_OK(nn_store_select(p->store, &q, p->arena, &m, &p->err), &p->err);
    assert_int_equal(m.n, 2);
    CHECK(isinf(nn_row_real(nn_rows_at(&m, 0), "value", 0)));
    CHECK(nn_row_null(nn_rows_at(&m, 1), "value"));
    CHECK(!nn_rows_at(&m, 2).cells);
    place_done(p);
}

static void find(place *p, const nn_where *w, int n, const char *expect) {
    nn_sort sort = {"id", false};
    nn_query q = {
        .table = NN_TABLE_EXPERIMENTS, .where = w, .n_where = n, .sort = &sort, .n_sort = 1};
    nn_rows r;
    NN_BUF got = {0};
    CHECK_OK(nn_store_select(p->store, &q, p->arena, &r, &p->err), &p->err);
    for (int64_t i = 0; i < r.n; i++) nn_buf_puts(&got, nn_row_text(nn_rows_at(&r, i), "id"));
    assert_string_equal(nn_buf_str(&got), expect);
}

TEST(conditions) {
    place *p = place_new();
    place_open(p, NULL);
    put_now(p, "a", "Alpha", 1);
    put_now(p, "b", "beta", 2);
    put_now(p, "c", "ALPHABET", 3);
    find(p, NULL, 0, "abc");
    nn_cell list[] = {nn_cell_text("a"), nn_cell_text("c"), nn_cell_text("z")};
    find(p, &NN_WHERE_IN("id", list, 3), 1, "ac");
    find(p, &NN_WHERE_IN("id", list, 0), 1, "");
    find(p, &NN_WHERE_TEXT("name", NN_CMP_CONTAINS, "lph"), 1, "ac");
    find(p, &NN_WHERE_TEXT("name", NN_CMP_CONTAINS, "%"), 1, "");
    find(p, &NN_WHERE_INT("created_at", NN_CMP_GE, 2), 1, "bc");
    find(p, &NN_WHERE_TEXT("id", NN_CMP_NE, "b"), 1, "ac");
    find(p, &NN_WHERE_NULL("notes"), 1, "abc");
    find(p, &NN_WHERE_SET("notes"), 1, "");
    nn_where two[] = {NN_WHERE_INT("created_at", NN_CMP_GT, 1),
                      NN_WHERE_INT("created_at", NN_CMP_LT, 3)};
    find(p, two, 2, "b");
    place_done(p);
}

TEST(a_member_of_a_json_object) {
    place *p = place_new();
    place_open(p, NULL);
    CHECK_OK(nn_store_write(p->store, types_fn, p, &p->err), &p->err);
    put_now(p, "2", "no tags", 1);
    find(p, &NN_WHERE_MEMBER("tags", "a", "b"), 1, "1");
    find(p, &NN_WHERE_MEMBER("tags", "quo\"te", "c"), 1, "1");
    find(p, &NN_WHERE_MEMBER("tags", "a", "c"), 1, "");
    place_done(p);
}

TEST(an_unknown_column_is_refused) {
    place *p = place_new();
    place_open(p, NULL);
    nn_where w = NN_WHERE_TEXT("id; DROP TABLE experiments", NN_CMP_EQ, "x");
    int64_t n = 7;
    assert_int_equal(nn_store_count(p->store, NN_TABLE_EXPERIMENTS, &w, 1, &n, &p->err),
                     NN_E_INTERNAL);
    assert_int_equal(n, 7);
    assert_int_equal(count(p), 0);
    place_done(p);
}

static nn_status swap_fn(nn_txn *t, void *ctx, nn_err *err) {
    int64_t *changed = ctx;
    nn_field f = NN_FIELD_TEXT("status", "running");
    nn_where w[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, "a"),
                    NN_WHERE_TEXT("status", NN_CMP_EQ, "created")};
    return nn_txn_update(t, NN_TABLE_EXPERIMENTS, &f, 1, w, 2, changed, err);
}

TEST(compare_and_swap_is_won_once) {
    place *p = place_new();
    place_open(p, NULL);
    put_now(p, "a", "x", 1);
    int64_t first = -1, second = -1;
    CHECK_OK(nn_store_write(p->store, swap_fn, &first, &p->err), &p->err);
    CHECK_OK(nn_store_write(p->store, swap_fn, &second, &p->err), &p->err);
    assert_int_equal(first, 1);
    assert_int_equal(second, 0);
    place_done(p);
}

TEST(constraints_have_their_codes) {
    place *p = place_new();
    place_open(p, NULL);
    put_now(p, "a", "x", 1);
    assert_int_equal(nn_store_write(p->store, put_fn, &(one){"a", "y", 1, false}, &p->err),
                     NN_E_ALREADY_EXISTS);
    assert_int_equal(nn_store_write(p->store, put_fn, &(one){"b", NULL, 1, false}, &p->err),
                     NN_E_CONFLICT);
    assert_int_equal(nn_store_write(p->store, put_fn, &(one){"c", "x", 1, true}, &p->err),
                     NN_E_CONFLICT);
    assert_string_equal(p->err.msg, "changed my mind");
    assert_int_equal(count(p), 1);
    nn_row r;
    assert_int_equal(nn_store_get(p->store, NN_TABLE_EXPERIMENTS, "c", p->arena, &r, &p->err),
                     NN_E_NOT_FOUND);
    place_done(p);
}

static nn_status write_in_read(nn_txn *t, void *ctx, nn_err *err) {
    (void)ctx;
    return put(t, "r", "x", 1, err);
}

TEST(a_snapshot_cannot_write) {
    place *p = place_new();
    place_open(p, NULL);
    assert_int_equal(nn_store_read(p->store, write_in_read, NULL, &p->err), NN_E_INTERNAL);
    assert_int_equal(count(p), 0);
    place_done(p);
}

/* Pages by cursor stay right while rows come in front and go. */
TEST(pages_by_cursor_are_stable) {
    place *p = place_new();
    place_open(p, NULL);
    for (int i = 0; i < 10; i++)
        put_now(p, (char[]){(char)('a' + i), 0}, "x", i / 3); /* ties in time */
    nn_sort sort[] = {
        {"created_at", true },
        {"id",         false}
    };
    nn_query q = {
        .table = NN_TABLE_EXPERIMENTS, .sort = sort, .n_sort = 2, .limit = 3, .want_total = true};
    NN_BUF got = {0};
    for (int page = 0; page < 9; page++) {
        nn_rows r;
        CHECK_OK(nn_store_select(p->store, &q, p->arena, &r, &p->err), &p->err);
        assert_int_equal(r.total, 10 + page);
        for (int64_t i = 0; i < r.n; i++) nn_buf_puts(&got, nn_row_text(nn_rows_at(&r, i), "id"));
        q.after = nn_rows_cursor(&r, sort, 2, p->arena);
        assert_int_equal(q.after != NULL, r.more);
        if (!q.after) break;
        put_now(p, (char[]){(char)('A' + page), 0}, "newer", 100 + page);
    }
    assert_string_equal(nn_buf_str(&got), "jghidefabc");
    place_done(p);
}

TEST(a_damaged_cursor_is_refused) {
    place *p = place_new();
    place_open(p, NULL);
    static const char *const bad[] = {"", "x", "zz", "5b", "5b315d", "5b7b7d2c315d", "5B312C325D"};
    nn_sort sort[] = {
        {"created_at", true },
        {"id",         false}
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_query q = {.table = NN_TABLE_EXPERIMENTS, .sort = sort, .n_sort = 2, .after = bad[i]};
        nn_rows r;
        assert_int_equal(nn_store_select(p->store, &q, p->arena, &r, &p->err),
                         NN_E_INVALID_REQUEST);
    }
    char *huge = malloc(100001);
    memset(huge, '5', 100000);
    huge[100000] = 0;
    nn_query q = {.table = NN_TABLE_EXPERIMENTS, .sort = sort, .n_sort = 2, .after = huge};
    nn_rows r;
    assert_int_equal(nn_store_select(p->store, &q, p->arena, &r, &p->err), NN_E_INVALID_REQUEST);
    free(huge);
    place_done(p);
}

/* Group commit. */

enum { THREADS = 8, EACH = 40 };
typedef struct hammer {
    place *p;
    int who;
    int failed;
} hammer;

static void *hammer_main(void *arg) {
    hammer *h = arg;
    for (int i = 0; i < EACH; i++) {
        char id[32];
        nn_err err;
        snprintf(id, sizeof id, "%d-%03d", h->who, i);
        one o = {id, "x", i, i % 4 == 3};
        nn_status s = nn_store_write(h->p->store, put_fn, &o, &err);
        if (s != (o.fail ? NN_E_CONFLICT : NN_OK)) h->failed++;
        /* What was acknowledged is there for the next reader. */
        nn_arena *a = nn_arena_new(NULL, "read", 0);
        nn_row r;
        s = nn_store_get(h->p->store, NN_TABLE_EXPERIMENTS, id, a, &r, &err);
        if (s != (o.fail ? NN_E_NOT_FOUND : NN_OK)) h->failed++;
        nn_arena_free(a);
    }
    return NULL;
}

TEST(many_writers_share_commits_and_keep_apart) {
    place *p = place_new();
    place_open(p, NULL);
    pthread_t t[THREADS];
    hammer h[THREADS];
    for (int i = 0; i < THREADS; i++) {
        h[i] = (hammer){p, i, 0};
        assert_int_equal(pthread_create(&t[i], NULL, hammer_main, &h[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(h[i].failed, 0);
    }
    assert_int_equal(count(p), THREADS * EACH * 3 / 4);
    nn_store_stats s = nn_store_stat(p->store);
    assert_int_equal(s.transactions, THREADS * EACH);
    CHECK(s.commits <= s.transactions);
    place_done(p);
}

/* One slow transaction holds the thread; those that come meanwhile are committed together. */
typedef struct gate {
    pthread_mutex_t m;
    pthread_cond_t c;
    bool inside, open;
} gate;

static nn_status gate_fn(nn_txn *t, void *ctx, nn_err *err) {
    gate *g = ctx;
    (void)t;
    (void)err;
    pthread_mutex_lock(&g->m);
    g->inside = true;
    pthread_cond_broadcast(&g->c);
    while (!g->open) pthread_cond_wait(&g->c, &g->m);
    pthread_mutex_unlock(&g->m);
    return NN_OK;
}

typedef struct waiter {
    place *p;
    nn_txn_fn *fn;
    void *ctx;
    nn_status status;
    nn_err err;
} waiter;

static void *waiter_main(void *arg) {
    waiter *w = arg;
    w->status = nn_store_write(w->p->store, w->fn, w->ctx, &w->err);
    return NULL;
}

static void queue_behind_gate(place *p, waiter *w, int n) {
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    pthread_t first, t[16];
    waiter holder = {p, gate_fn, &g, NN_OK, {0}};
    pthread_create(&first, NULL, waiter_main, &holder);
    pthread_mutex_lock(&g.m);
    while (!g.inside) pthread_cond_wait(&g.c, &g.m);
    pthread_mutex_unlock(&g.m);
    for (int i = 0; i < n; i++) pthread_create(&t[i], NULL, waiter_main, &w[i]);
    /* All n are asleep in the queue once none of them can run any more. */
    while (nn_store_waiting(p->store) < n) sched_yield();
    pthread_mutex_lock(&g.m);
    g.open = true;
    pthread_cond_broadcast(&g.c);
    pthread_mutex_unlock(&g.m);
    pthread_join(first, NULL);
    for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
    CHECK_OK(holder.status, &holder.err);
}

TEST(those_that_wait_are_one_commit) {
    place *p = place_new();
    place_open(p, NULL);
    one o[8];
    waiter w[8];
    char id[8][4];
    for (int i = 0; i < 8; i++) {
        snprintf(id[i], sizeof id[i], "%d", i);
        o[i] = (one){id[i], "x", i, i == 5};
        w[i] = (waiter){p, put_fn, &o[i], NN_OK, {0}};
    }
    uint64_t before = nn_store_stat(p->store).commits;
    queue_behind_gate(p, w, 8);
    for (int i = 0; i < 8; i++) assert_int_equal(w[i].status, i == 5 ? NN_E_CONFLICT : NN_OK);
    assert_int_equal(nn_store_stat(p->store).commits - before, 2); /* the holder's and theirs */
    assert_int_equal(count(p), 7);
    place_done(p);
}

/* What runs after the commit. */

static nn_status event_fn(nn_txn *t, void *ctx, nn_err *err) {
    one *o = ctx;
    nn_happened e = {.type = "operation.created", .operation_id = o->id, .kind = "train"};
    nn_status s = nn_eventlog_append(t, &e, err);
    if (s == NN_OK && o->fail) return nn_fail(err, NN_E_CONFLICT, "no");
    return s;
}

TEST(events_are_numbered_kept_and_published_after_the_commit) {
    place *p = place_new();
    nn_bus *bus = nn_bus_new();
    place_open(p, bus);
    nn_sub *sub = nn_bus_subscribe(bus, NULL, 16, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        one o = {
            (char[]){(char)('a' + i), 0},
            NULL, 0, i == 1
        };
        assert_int_equal(nn_store_write(p->store, event_fn, &o, &p->err),
                         i == 1 ? NN_E_CONFLICT : NN_OK);
    }
    const nn_event *e;
    uint64_t seq = 0;
    for (const char *id = "ac"; *id; id++) {
        assert_int_equal(nn_sub_next(sub, &e, NULL), NN_SUB_EVENT);
        CHECK(e->seq > seq);
        seq = e->seq;
        NN_JSON *v = NULL;
        CHECK_OK(nn_json_parse(e->json, e->size, &v, &p->err), &p->err);
        assert_int_equal(nn_json_int(nn_json_get(v, "seq"), 0), seq);
        assert_int_equal(nn_json_str(nn_json_get(v, "operation_id"), "")[0], *id);
        assert_int_equal(nn_json_int(nn_json_get(v, "v"), 0), 1);
        nn_event_unref(e);
    }
    assert_int_equal(nn_sub_next(sub, &e, NULL), NN_SUB_NONE);
    nn_rows r;
    int64_t oldest, latest;
    CHECK_OK(nn_eventlog_since(p->store, 0, NULL, 0, p->arena, &r, &oldest, &latest, &p->err),
             &p->err);
    assert_int_equal(r.n, 2);
    assert_int_equal(latest, seq);
    CHECK_OK(nn_eventlog_since(p->store, oldest, NULL, 0, p->arena, &r, NULL, NULL, &p->err),
             &p->err);
    assert_int_equal(r.n, 1);
    CHECK_OK(nn_eventlog_since(p->store, 0, "a", 0, p->arena, &r, NULL, NULL, &p->err), &p->err);
    assert_int_equal(r.n, 1);
    int64_t gone;
    CHECK_OK(nn_eventlog_prune(p->store, INT64_MAX, &gone, &p->err), &p->err);
    assert_int_equal(gone, 2);
    CHECK_OK(nn_store_write(p->store, event_fn, &(one){"d", NULL, 0, false}, &p->err), &p->err);
    assert_int_equal(nn_sub_next(sub, &e, NULL), NN_SUB_EVENT);
    CHECK(e->seq > seq); /* numbers are never used again */
    nn_event_unref(e);
    nn_sub_close(sub);
    nn_store_close(p->store);
    p->store = NULL;
    nn_bus_free(bus);
    place_done(p);
}

/* Opening. */

static nn_status open_again(place *p, bool exclusive) {
    nn_store *s = NULL;
    nn_store_options o = {.url = p->url, .exclusive = exclusive};
    nn_status st = nn_store_open(&o, &s, &p->err);
    nn_store_close(s);
    return st;
}

TEST(what_is_written_is_there_after_reopening) {
    place *p = place_new();
    place_open(p, NULL);
    put_now(p, "a", "x", 1);
    nn_store_close(p->store);
    place_open(p, NULL);
    assert_int_equal(count(p), 1);
    place_done(p);
}

TEST(a_second_server_is_refused_with_the_pid) {
    place *p = place_new();
    place_open(p, NULL);
    pid_t child = fork();
    if (!child) {
        place q = *p;
        nn_status s = open_again(&q, true);
        char expect[64];
        snprintf(expect, sizeof expect, "process id %ld", (long)getppid());
        _exit(s == NN_E_STORAGE_ERROR && strstr(q.err.msg, expect) && q.err.hint[0] ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(open_again(p, false), NN_OK); /* a command line tool may look */
    place_done(p);
}

TEST(a_killed_server_leaves_no_lock_and_no_half_transaction) {
    place *p = place_new();
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        place_open(p, NULL);
        put_now(p, "a", "x", 1);
        nn_txn *never = NULL;
        (void)never;
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (int i = 0;; i++) {
            char id[16];
            snprintf(id, sizeof id, "%d", i);
            nn_store_write(p->store, put_fn, &(one){id, "y", i, i % 2 == 1}, NULL);
        }
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    place_open(p, NULL);
    nn_row r;
    CHECK_OK(nn_store_get(p->store, NN_TABLE_EXPERIMENTS, "a", p->arena, &r, &p->err), &p->err);
    nn_where odd = NN_WHERE_TEXT("id", NN_CMP_EQ, "1");
    int64_t n;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_EXPERIMENTS, &odd, 1, &n, &p->err), &p->err);
    assert_int_equal(n, 0);
    close(ready[0]);
    close(ready[1]);
    place_done(p);
}

static void scribble(const char *path, const char *bytes, size_t n, long at) {
    FILE *f = fopen(path, at < 0 ? "w" : "r+");
    assert_non_null(f);
    if (at > 0) fseek(f, at, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void refused(place *p, const char *expect) {
    assert_int_equal(open_again(p, true), NN_E_STORAGE_ERROR);
    if (!strstr(p->err.msg, expect) || !strstr(p->err.msg, p->file) || !p->err.hint[0])
        fail_msg("%s (%s)", p->err.msg, p->err.hint);
}

TEST(a_file_that_is_no_database) {
    place *p = place_new();
    scribble(p->file,
             "this is a letter to my aunt, and it is longer than a header of SQLite is, "
             "which is one hundred bytes long.",
             105, -1);
    refused(p, "damaged or no database");
    place_done(p);
}

TEST(a_damaged_file) {
    place *p = place_new();
    place_open(p, NULL);
    for (int i = 0; i < 50; i++) put_now(p, (char[]){(char)(' ' + i), 0}, "some text", i);
    nn_store_close(p->store);
    p->store = NULL;
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    scribble(p->file, junk, sizeof junk, 4096 * 3);
    refused(p, "damaged");
    place_done(p);
}

TEST(another_programs_database) {
    place *p = place_new();
    sqlite3 *db;
    sqlite3_open(p->file, &db);
    sqlite3_exec(db, "CREATE TABLE accounts (id)", NULL, NULL, NULL);
    sqlite3_close(db);
    refused(p, "another program");
    place_done(p);
}

TEST(a_newer_schema_is_refused) {
    place *p = place_new();
    place_open(p, NULL);
    nn_store_close(p->store);
    p->store = NULL;
    sqlite3 *db;
    sqlite3_open(p->file, &db);
    sqlite3_exec(db, "PRAGMA user_version=9999", NULL, NULL, NULL);
    sqlite3_close(db);
    refused(p, "schema 9999 is newer");
    place_done(p);
}

TEST(a_path_through_a_file) {
    place *p = place_new();
    scribble(p->file, "x", 1, -1);
    snprintf(p->url, sizeof p->url, "sqlite:///%s/inner/neural.db", p->file);
    assert_int_equal(open_again(p, true), NN_E_STORAGE_ERROR);
    CHECK(strstr(p->err.msg, p->file));
    place_done(p);
}

TEST(urls) {
    place *p = place_new();
    static const char *const bad[] = {
        "", "x", "sqlite:", "sqlite://x", "sqlite:///", "mysql://h/d", "sqlite:///a?mode=ro"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_store *s;
        nn_store_options o = {.url = bad[i]};
        assert_int_equal(nn_store_open(&o, &s, &p->err), NN_E_CONFIG_ERROR);
        CHECK(p->err.hint[0]);
    }
    snprintf(p->url, sizeof p->url, "sqlite:///%s/new/deep/neural.db", p->folder);
    assert_int_equal(open_again(p, true), NN_OK);
    place_done(p);
}
