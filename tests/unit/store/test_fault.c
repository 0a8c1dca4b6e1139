/* SPDX-License-Identifier: MIT */
/* The n-th write or sync of the database fails, for every n, as on a full or dying disk: through a
 * layer (VFS) between SQLite and the file system. Then: an error with the path, nothing half done,
 * and the store goes on when there is room again. */
#include "fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static sqlite3_vfs *below;
static atomic_long calls, fail_at; /* fail_at 0: never; counted from 1 */
static atomic_int fail_with;
static atomic_bool onwards;

static bool hit(void) {
    long n = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&fail_at);
    return at && (n == at || (atomic_load(&onwards) && n > at));
}

typedef struct file {
    sqlite3_file base;
    sqlite3_file *real;
} file;

static int f_close(sqlite3_file *f) {
    return ((file *)f)->real->pMethods->xClose(((file *)f)->real);
}
static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) {
    return ((file *)f)->real->pMethods->xRead(((file *)f)->real, p, n, at);
}
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
    if (hit()) return atomic_load(&fail_with);
    return ((file *)f)->real->pMethods->xWrite(((file *)f)->real, p, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 n) {
    return ((file *)f)->real->pMethods->xTruncate(((file *)f)->real, n);
}
static int f_sync(sqlite3_file *f, int flags) {
    if (hit()) return SQLITE_IOERR_FSYNC;
    return ((file *)f)->real->pMethods->xSync(((file *)f)->real, flags);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *n) {
    return ((file *)f)->real->pMethods->xFileSize(((file *)f)->real, n);
}
static int f_lock(sqlite3_file *f, int l) {
    return ((file *)f)->real->pMethods->xLock(((file *)f)->real, l);
}
static int f_unlock(sqlite3_file *f, int l) {
    return ((file *)f)->real->pMethods->xUnlock(((file *)f)->real, l);
}
static int f_reserved(sqlite3_file *f, int *r) {
    return ((file *)f)->real->pMethods->xCheckReservedLock(((file *)f)->real, r);
}
static int f_control(sqlite3_file *f, int op, void *arg) {
    return ((file *)f)->real->pMethods->xFileControl(((file *)f)->real, op, arg);
}
static int f_sector(sqlite3_file *f) {
    return ((file *)f)->real->pMethods->xSectorSize(((file *)f)->real);
}
static int f_device(sqlite3_file *f) {
    return ((file *)f)->real->pMethods->xDeviceCharacteristics(((file *)f)->real);
}
static int f_shm_map(sqlite3_file *f, int i, int n, int extend, void volatile **pp) {
    return ((file *)f)->real->pMethods->xShmMap(((file *)f)->real, i, n, extend, pp);
}
static int f_shm_lock(sqlite3_file *f, int at, int n, int flags) {
    return ((file *)f)->real->pMethods->xShmLock(((file *)f)->real, at, n, flags);
}
static void f_shm_barrier(sqlite3_file *f) {
    ((file *)f)->real->pMethods->xShmBarrier(((file *)f)->real);
}
static int f_shm_unmap(sqlite3_file *f, int del) {
    return ((file *)f)->real->pMethods->xShmUnmap(((file *)f)->real, del);
}

static const sqlite3_io_methods methods = {
    2,          f_close,       f_read,      f_write,   f_truncate, f_sync,   f_size,
    f_lock,     f_unlock,      f_reserved,  f_control, f_sector,   f_device, f_shm_map,
    f_shm_lock, f_shm_barrier, f_shm_unmap, NULL,      NULL};

static int v_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *out) {
    file *mine = (file *)f;
    (void)v;
    mine->real = (sqlite3_file *)(mine + 1);
    int rc = below->xOpen(below, name, mine->real, flags, out);
    f->pMethods = mine->real->pMethods ? &methods : NULL;
    return rc;
}

/* From here on every store of this program goes through the layer. */
static void install(void) {
    static sqlite3_vfs vfs;
    if (below) return;
    below = sqlite3_vfs_find(NULL);
    vfs = *below;
    vfs.zName = "faults";
    vfs.szOsFile = (int)(sizeof(file)) + below->szOsFile;
    vfs.xOpen = v_open;
    sqlite3_vfs_register(&vfs, 1);
}

static void set(long n, bool all_later, int with) {
    atomic_store(&fail_at, 0);
    atomic_store(&calls, 0);
    atomic_store(&fail_with, with);
    atomic_store(&onwards, all_later);
    atomic_store(&fail_at, n);
}

static nn_status two_rows_fn(nn_txn *t, void *ctx, nn_err *err) {
    const char *id = ctx;
    nn_status s = NN_OK;
    for (int i = 0; i < 2 && s == NN_OK; i++) {
        char full[32];
        snprintf(full, sizeof full, "%s-%d", id, i);
        nn_field f[] = {NN_FIELD_TEXT("id", full),        NN_FIELD_TEXT("name", "n"),
                        NN_FIELD_TEXT("group_name", "g"), NN_FIELD_TEXT("status", "s"),
                        NN_FIELD_TEXT("lifecycle", "a"),  NN_FIELD_INT("created_at", 1),
                        NN_FIELD_INT("updated_at", 1)};
        s = nn_txn_insert(t, NN_TABLE_EXPERIMENTS, f, NN_COUNT_OF(f), NULL, err);
    }
    return s;
}

static int64_t rows(place *p) {
    int64_t n = -1;
    CHECK_OK(nn_store_count(p->store, NN_TABLE_EXPERIMENTS, NULL, 0, &n, &p->err), &p->err);
    return n;
}

/* Writes with a failure at the n-th call; false when that call was not reached. */
static bool one_failure(place *p, long n, bool all_later, int with, int *ret_refused) {
    char id[32];
    int64_t before = rows(p);
    snprintf(id, sizeof id, "%ld-%d-%d", n, all_later, with);
    set(n, all_later, with);
    nn_status s = nn_store_write(p->store, two_rows_fn, id, &p->err);
    bool reached = atomic_load(&calls) >= n;
    set(0, false, 0);
    if (s == NN_OK)
        assert_int_equal(rows(p), before + 2);
    else {
        assert_int_equal(s, NN_E_STORAGE_ERROR);
        if (!strstr(p->err.msg, p->file) || !p->err.hint[0])
            fail_msg("%s (%s)", p->err.msg, p->err.hint);
        if (with == SQLITE_FULL && strstr(p->err.msg, "full")) ++*ret_refused;
        assert_int_equal(rows(p), before); /* nothing of it */
        CHECK_OK(nn_store_write(p->store, two_rows_fn, id, &p->err), &p->err);
        assert_int_equal(rows(p), before + 2);
    }
    return reached;
}

TEST(every_failing_write_and_sync) {
    install();
    static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
    for (int c = 0; c < 2; c++)
        for (int all_later = 0; all_later < 2; all_later++) {
            place *p = place_new();
            int refused = 0;
            place_open(p, NULL);
            long n = 1;
            while (one_failure(p, n, all_later, codes[c], &refused)) n++;
            CHECK(n > 3); /* a commit is several writes and a sync */
            if (codes[c] == SQLITE_FULL) CHECK(refused > 0);
            int64_t expect = rows(p);
            nn_store_close(p->store);
            place_open(p, NULL); /* checks the whole file */
            assert_int_equal(rows(p), expect);
            place_done(p);
        }
}

/* Many writers while the disk is full: each is told, none is half there, and what was acknowledged
 * stays. */
typedef struct writer {
    place *p;
    int who, ok;
} writer;

static void *writer_main(void *arg) {
    writer *w = arg;
    for (int i = 0; i < 30; i++) {
        char id[32];
        snprintf(id, sizeof id, "w%d-%d", w->who, i);
        nn_status s = nn_store_write(w->p->store, two_rows_fn, id, NULL);
        w->ok += s == NN_OK;
        if (w->who == 0 && i == 10) set(3, true, SQLITE_FULL);
        if (w->who == 0 && i == 20) set(0, false, 0);
    }
    return NULL;
}

TEST(a_disk_that_is_full_for_a_while) {
    install();
    place *p = place_new();
    pthread_t t[4];
    writer w[4];
    int ok = 0;
    place_open(p, NULL);
    for (int i = 0; i < 4; i++) {
        w[i] = (writer){p, i, 0};
        pthread_create(&t[i], NULL, writer_main, &w[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        ok += w[i].ok;
    }
    set(0, false, 0);
    CHECK(ok >= 11 && ok < 120);
    assert_int_equal(rows(p), 2 * ok);
    nn_store_close(p->store);
    place_open(p, NULL);
    assert_int_equal(rows(p), 2 * ok);
    place_done(p);
}

/* Opening for the first time with a failure at every point: an error, and the next start works. */
TEST(every_failure_while_a_store_is_made) {
    install();
    bool reached = true;
    for (long n = 1; reached; n++) {
        place *p = place_new();
        nn_store_options o = {.url = p->url, .exclusive = true};
        set(n, true, SQLITE_FULL);
        nn_status s = nn_store_open(&o, &p->store, &p->err);
        reached = atomic_load(&calls) >= n;
        if (s == NN_OK) nn_store_close(p->store);
        set(0, false, 0);
        if (s != NN_OK) assert_int_equal(s, NN_E_STORAGE_ERROR);
        place_open(p, NULL);
        assert_int_equal(rows(p), 0);
        place_done(p);
    }
}
