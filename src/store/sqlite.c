/* SPDX-License-Identifier: MIT */
/* The store in one SQLite file: one writer thread with group commit, and readers on connections of
 * their own.
 *
 * Writers queue up; the thread takes all that wait, runs each in a savepoint inside one
 * transaction, and commits once. Invariants: a caller whose function succeeded returns only after
 * COMMIT did; if COMMIT fails, or SQLite has ended the transaction by itself (full disk, I/O
 * error), every caller of that group gets the error and nothing of the group stays. Functions that
 * nn_txn_after collected run between COMMIT and the callers' return, in the order of the
 * transactions. */
#include "base/file.h"
#include "store/migrations.h"
#include "store/sqlite_conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GROUP_MAX = 256, DEFAULT_READERS = 4, APPLICATION_ID = 0x4e4e6575 };
/* A whole check reads the whole file; past this size only its structure's head is checked at start.
 */
#define CHECK_BYTES ((off_t)8 << 20)

typedef struct pending {
    nn_txn_fn *fn;
    void *ctx;
    nn_status status;
    nn_err err;
    nn_txn txn;
    bool done;
    pthread_cond_t wake;
    struct pending *next;
} pending;

typedef struct sqlite_store {
    nn_store base;
    char *path;
    int lock_fd; /* -1: not exclusive */
    nn_sqlite_conn *writer;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t work, reader_free;
    pending *first, **last;
    bool stopping;
    nn_sqlite_conn *idle;
    int readers, readers_max;
} sqlite_store;

/* Group commit. */

static void settle_group(sqlite_store *s, pending *group, nn_status commit, const nn_err *why) {
    for (pending *p = group; p; p = p->next) {
        if (p->status == NN_OK && commit != NN_OK) {
            p->status = commit;
            p->err = *why;
        }
        nn_txn_settle(&p->txn, p->status == NN_OK);
    }
    pthread_mutex_lock(&s->mutex);
    for (pending *p = group, *next; p; p = next) {
        next = p->next; /* p is its caller's from the moment that it is done */
        p->done = true;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&s->mutex);
}

static void run_one(sqlite_store *s, pending *p) {
    p->txn = (nn_txn){.store = &s->base, .connection = s->writer, .writable = true};
    p->status = nn_sqlite_conn_run(s->writer, "SAVEPOINT one", NULL, 0, NULL, NULL, &p->err);
    if (p->status != NN_OK) return;
    p->status = p->fn(&p->txn, p->ctx, &p->err);
    if (!nn_sqlite_conn_in_transaction(s->writer)) return;
    nn_err err;
    if (p->status != NN_OK &&
        nn_sqlite_conn_run(s->writer, "ROLLBACK TO one", NULL, 0, NULL, NULL, &err) != NN_OK)
        nn_sqlite_conn_exec(s->writer, "ROLLBACK", NULL); /* nothing of the group may stay then */
    else if (nn_sqlite_conn_run(s->writer, "RELEASE one", NULL, 0, NULL, NULL, &err) != NN_OK &&
             p->status == NN_OK) {
        p->status = err.code;
        p->err = err;
    }
}

static void run_group(sqlite_store *s, pending *group) {
    nn_err err = {0};
    nn_status commit = nn_sqlite_conn_run(s->writer, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, &err);
    for (pending *p = group; p && commit == NN_OK; p = p->next) {
        run_one(s, p);
        atomic_fetch_add(&s->base.transactions, 1);
        if (nn_sqlite_conn_in_transaction(s->writer)) continue;
        /* SQLite gave up the transaction: all of the group is undone. */
        commit = nn_fail(&err, NN_E_STORAGE_ERROR, "%s: the transaction was given up", s->path);
        if (p->status != NN_OK) err = p->err;
    }
    if (commit == NN_OK)
        commit = nn_sqlite_conn_run(s->writer, "COMMIT", NULL, 0, NULL, NULL, &err);
    if (nn_sqlite_conn_in_transaction(s->writer)) nn_sqlite_conn_exec(s->writer, "ROLLBACK", NULL);
    if (commit == NN_OK) atomic_fetch_add(&s->base.commits, 1);
    settle_group(s, group, commit, &err);
}

static pending *take_group(sqlite_store *s) {
    pthread_mutex_lock(&s->mutex);
    while (!s->first && !s->stopping) pthread_cond_wait(&s->work, &s->mutex);
    pending *group = s->first, **end = &s->first;
    for (int n = 0; *end && n < GROUP_MAX; n++) end = &(*end)->next;
    s->first = *end;
    *end = NULL;
    if (!s->first) s->last = &s->first;
    pthread_mutex_unlock(&s->mutex);
    return group;
}

static void *writer_main(void *arg) {
    sqlite_store *s = arg;
    pthread_setname_np(pthread_self(), "nn-store");
    for (pending *group; (group = take_group(s));) run_group(s, group);
    return NULL;
}

static nn_status sqlite_write(nn_store *store, nn_txn_fn *fn, void *ctx, nn_err *err) {
    sqlite_store *s = (sqlite_store *)store;
    assert(!pthread_equal(pthread_self(), s->thread));
    pending p = {.fn = fn, .ctx = ctx, .wake = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&s->mutex);
    assert(!s->stopping);
    *s->last = &p;
    s->last = &p.next;
    pthread_cond_signal(&s->work);
    while (!p.done) pthread_cond_wait(&p.wake, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    pthread_cond_destroy(&p.wake);
    if (p.status != NN_OK && err) *err = p.err;
    return p.status;
}

static int sqlite_waiting(nn_store *store) {
    sqlite_store *s = (sqlite_store *)store;
    int n = 0;
    pthread_mutex_lock(&s->mutex);
    for (pending *p = s->first; p; p = p->next) n++;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

/* Readers. */

static nn_status reader_take(sqlite_store *s, nn_sqlite_conn **ret, nn_err *err) {
    nn_sqlite_conn *c = NULL;
    pthread_mutex_lock(&s->mutex);
    while (!s->idle && s->readers == s->readers_max) pthread_cond_wait(&s->reader_free, &s->mutex);
    if (s->idle) {
        c = s->idle;
        s->idle = c->next;
    } else
        s->readers++;
    pthread_mutex_unlock(&s->mutex);
    nn_status status = c ? NN_OK : nn_sqlite_conn_open(s->path, false, &c, err);
    if (status == NN_OK) {
        *ret = c;
        return NN_OK;
    }
    pthread_mutex_lock(&s->mutex);
    s->readers--;
    pthread_cond_signal(&s->reader_free);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static void reader_give(sqlite_store *s, nn_sqlite_conn *c) {
    pthread_mutex_lock(&s->mutex);
    c->next = s->idle;
    s->idle = c;
    pthread_cond_signal(&s->reader_free);
    pthread_mutex_unlock(&s->mutex);
}

static nn_status sqlite_read(nn_store *store, nn_txn_fn *fn, void *ctx, nn_err *err) {
    sqlite_store *s = (sqlite_store *)store;
    nn_sqlite_conn *c;
    nn_status status = reader_take(s, &c, err);
    if (status != NN_OK) return status;
    nn_txn t = {.store = store, .connection = c};
    status = nn_sqlite_conn_run(c, "BEGIN", NULL, 0, NULL, NULL, err);
    if (status == NN_OK) {
        status = fn(&t, ctx, err);
        nn_txn_settle(&t, status == NN_OK);
        nn_sqlite_conn_run(c, "ROLLBACK", NULL, 0, NULL, NULL, NULL);
    }
    atomic_fetch_add(&s->base.reads, 1);
    reader_give(s, c);
    return status;
}

static nn_status sqlite_run(nn_txn *t, const char *sql, const nn_cell *params, int n, nn_sink *sink,
                            nn_ran *ret, nn_err *err) {
    return nn_sqlite_conn_run(t->connection, sql, params, n, sink, ret, err);
}

/* Opening. */

static nn_status path_of(const char *url, char **ret, nn_err *err) {
    const char *rest = url + strlen("sqlite:");
    if (strncmp(rest, "///", 3) || !rest[3] || strpbrk(rest, "?#"))
        return nn_err_hint(
            err, nn_fail(err, NN_E_CONFIG_ERROR, "store.url: '%.200s' names no file", url),
            "write sqlite:///relative/file.db or sqlite:////absolute/file.db");
    *ret = strdup(rest + 3);
    if (!*ret) abort();
    return NN_OK;
}

static nn_status make_folder(const char *path, nn_err *err) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return NN_OK;
    char *folder = strndup(path, (size_t)(slash - path));
    if (!folder) abort();
    nn_status s = nn_mkdirs(folder, err);
    free(folder);
    return s;
}

/* Takes the store for one server: a lock on FILE.lock, which the kernel lets go when the process
 * ends, however it ends. */
static nn_status take_lock(sqlite_store *s, nn_err *err) {
    char path[1100], pid[32] = "";
    snprintf(path, sizeof path, "%s.lock", s->path);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (s->lock_fd < 0) return nn_file_fail(err, errno, "open", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(s->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        return nn_err_hint(err,
                           nn_fail(err, NN_E_STORAGE_ERROR,
                                   "%s: in use by the server with process id %s", s->path,
                                   *pid ? pid : "(unknown)"),
                           "stop that server, or give this one another place with --storage");
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) < 0) return nn_file_fail(err, errno, "write", path);
    int e = nn_write_all(s->lock_fd, pid, (size_t)n);
    return e ? nn_file_fail(err, e, "write", path) : NN_OK;
}

/* Whether the file is ours and not from the future; ret_version: its schema. */
static nn_status known_schema(sqlite_store *s, int64_t *ret_version, nn_err *err) {
    int64_t version, application, tables;
    nn_sqlite_conn *c = s->writer;
    nn_status st = nn_sqlite_conn_number(c, "PRAGMA user_version", &version, err);
    if (st == NN_OK) st = nn_sqlite_conn_number(c, "PRAGMA application_id", &application, err);
    if (st == NN_OK)
        st = nn_sqlite_conn_number(c, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (st != NN_OK) return st;
    if (tables && application != APPLICATION_ID) {
        st = nn_fail(err, NN_E_STORAGE_ERROR, "%s: a database of another program", s->path);
        return nn_err_hint(err, st, "choose another file with --store");
    }
    if (version > nn_sqlite_version()) {
        st = nn_fail(err, NN_E_STORAGE_ERROR,
                     "%s: its schema %lld is newer than this program, which knows %d", s->path,
                     (long long)version, nn_sqlite_version());
        return nn_err_hint(err, st,
                           "use the newer neural again, or restore the backup from before");
    }
    *ret_version = version;
    return NN_OK;
}

/* All missing steps in one transaction: a program that is stopped half way, or two that start at
 * once, do no harm. */
static nn_status migrate(sqlite_store *s, nn_err *err) {
    int64_t version;
    char mark[96];
    nn_sqlite_conn *c = s->writer;
    nn_status st = nn_sqlite_conn_exec(c, "BEGIN IMMEDIATE", err);
    if (st == NN_OK) st = known_schema(s, &version, err);
    const nn_migration *m;
    for (int i = 0; st == NN_OK && (m = nn_sqlite_migration(i)); i++) {
        if (m->version <= version) continue;
        snprintf(mark, sizeof mark, "PRAGMA user_version=%d; PRAGMA application_id=%d", m->version,
                 APPLICATION_ID);
        st = nn_sqlite_conn_exec(c, m->sql, err);
        if (st == NN_OK) st = nn_sqlite_conn_exec(c, mark, err);
        if (st != NN_OK) nn_err_prefix(err, "schema %d (%s)", m->version, m->what);
    }
    if (st == NN_OK) st = nn_sqlite_conn_exec(c, "COMMIT", err);
    if (nn_sqlite_conn_in_transaction(c)) nn_sqlite_conn_exec(c, "ROLLBACK", NULL);
    return st;
}

typedef struct verdict {
    nn_sink sink;
    char text[200];
} verdict;

static nn_status verdict_row(nn_sink *self, const nn_cell *cells, int n, nn_err *err) {
    verdict *v = (verdict *)self;
    (void)n;
    (void)err;
    if (cells[0].type == NN_CELL_TEXT) snprintf(v->text, sizeof v->text, "%s", cells[0].s.p);
    return NN_OK;
}

static nn_status check_file(sqlite_store *s, nn_err *err) {
    struct stat st;
    if (stat(s->path, &st) < 0) return nn_file_fail(err, errno, "look at", s->path);
    if (st.st_size > CHECK_BYTES) return NN_OK;
    verdict v = {{verdict_row}, "ok"};
    nn_status status =
        nn_sqlite_conn_run(s->writer, "PRAGMA quick_check(1)", NULL, 0, &v.sink, NULL, err);
    if (status != NN_OK || !strcmp(v.text, "ok")) return status;
    return nn_err_hint(
        err, nn_fail(err, NN_E_STORAGE_ERROR, "%s: the file is damaged: %s", s->path, v.text),
        "restore a backup, or move it away and save what can be read: sqlite3 FILE .recover");
}

static nn_status start_thread(sqlite_store *s, nn_err *err) {
    sigset_t all, old;
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&s->thread, NULL, writer_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "cannot start the store's thread: %s", strerror(e));
    s->has_thread = true;
    return NN_OK;
}

static void sqlite_close(nn_store *store) {
    sqlite_store *s = (sqlite_store *)store;
    if (s->has_thread) {
        pthread_mutex_lock(&s->mutex);
        s->stopping = true;
        pthread_cond_signal(&s->work);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    while (s->idle) {
        nn_sqlite_conn *c = s->idle;
        s->idle = c->next;
        nn_sqlite_conn_close(c);
    }
    nn_sqlite_conn_close(s->writer); /* last: it checkpoints and removes the log */
    if (s->lock_fd >= 0) close(s->lock_fd);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->reader_free);
    free(s->path);
    free(s);
}

static nn_status sqlite_open(const nn_store_options *o, nn_store **ret, nn_err *err) {
    char *path;
    nn_status st = path_of(o->url, &path, err);
    if (st != NN_OK) return st;
    sqlite_store *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->base.ops = &nn_store_sqlite;
    s->base.bus = o->bus;
    snprintf(s->base.place, sizeof s->base.place, "%s", path);
    s->path = path;
    s->lock_fd = -1;
    s->last = &s->first;
    s->readers_max = o->readers > 0 ? o->readers : DEFAULT_READERS;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->reader_free, NULL);
    st = make_folder(path, err);
    if (st == NN_OK && o->exclusive) st = take_lock(s, err);
    if (st == NN_OK) st = nn_sqlite_conn_open(path, true, &s->writer, err);
    if (st == NN_OK) st = check_file(s, err);
    if (st == NN_OK) st = migrate(s, err);
    if (st == NN_OK) st = start_thread(s, err);
    if (st != NN_OK) {
        sqlite_close(&s->base);
        return st;
    }
    *ret = &s->base;
    return NN_OK;
}

static const char *const schemes[] = {"sqlite", NULL};
const nn_store_ops nn_store_sqlite = {
    .name = "sqlite",
    .schemes = schemes,
    .open = sqlite_open,
    .close = sqlite_close,
    .write = sqlite_write,
    .read = sqlite_read,
    .waiting = sqlite_waiting,
    .run = sqlite_run,
    .member_test = "EXISTS (SELECT 1 FROM json_each(%s) WHERE key=?1 AND value=?2)",
};
