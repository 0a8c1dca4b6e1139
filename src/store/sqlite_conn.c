/* SPDX-License-Identifier: MIT */
/* Settings and why: WAL lets readers run beside the writer; synchronous=FULL syncs the log at every
 * commit, so that what was acknowledged survives a power cut; foreign_keys is off by default for
 * historical reasons; the busy timeout covers other programs that write for a moment (`neural key
 * create`); trusted_schema=OFF because a file may come from elsewhere. */
#include "store/sqlite_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 5000 };

/* What went wrong, in our words. */
static nn_status translate(nn_sqlite_conn *c, int rc, const char *doing, nn_err *err) {
    int extended = c->db ? sqlite3_extended_errcode(c->db) : rc;
    int system = c->db ? sqlite3_system_errno(c->db) : 0;
    const char *text = c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    int base = rc & 0xff;
    if (base == SQLITE_FULL || (base == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT)))
        return nn_err_hint(
            err, nn_fail(err, NN_E_STORAGE_ERROR, "%s: the disk is full", c->path),
            "free space on its file system; nothing was lost, the change was not made");
    switch (base) {
    case SQLITE_CONSTRAINT:
        if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
            return nn_fail(err, NN_E_ALREADY_EXISTS, "%s", text);
        return nn_fail(err, NN_E_CONFLICT, "%s", text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return nn_err_hint(
            err,
            nn_fail(err, NN_E_STORAGE_ERROR, "%s: %s: locked by another program", c->path, doing),
            "find it with: fuser %s", c->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return nn_err_hint(
            err,
            nn_fail(err, NN_E_STORAGE_ERROR, "%s: %s: the file is damaged or no database (%s)",
                    c->path, doing, text),
            "restore a backup, or move it away and save what can be read: sqlite3 FILE .recover");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return nn_err_hint(
            err,
            nn_fail(err, NN_E_STORAGE_ERROR, "%s: %s: %s%s%s", c->path, doing, text,
                    system ? ": " : "", system ? strerror(system) : ""),
            "the file and its folder must be writable by this user; choose another place with --storage");
    case SQLITE_IOERR:
        return nn_err_hint(err,
                           nn_fail(err, NN_E_STORAGE_ERROR, "%s: %s: %s%s%s", c->path, doing, text,
                                   system ? ": " : "", system ? strerror(system) : ""),
                           "check the disk: dmesg, smartctl");
    case SQLITE_NOMEM:
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: %s: out of memory", c->path, doing);
    case SQLITE_TOOBIG:
        return nn_fail(err, NN_E_LIMIT, "%s: %s: a value is larger than a row can hold", c->path,
                       doing);
    default:
        return nn_fail(err, NN_E_INTERNAL, "%s: %s: %s (%d)", c->path, doing, text, extended);
    }
}

nn_status nn_sqlite_conn_exec(nn_sqlite_conn *c, const char *sql, nn_err *err) {
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? NN_OK : translate(c, rc, "writing", err);
}

static uint64_t hash_of(const char *s) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h;
}

static void statement_drop(nn_conn_statement *s) {
    sqlite3_finalize(s->stmt);
    free(s->sql);
    *s = (nn_conn_statement){0};
}

/* The prepared form of sql, from the cache or made, in place of the one not used for longest. */
static nn_status prepare(nn_sqlite_conn *c, const char *sql, sqlite3_stmt **ret, nn_err *err) {
    uint64_t hash = hash_of(sql);
    nn_conn_statement *place = &c->cache[0];
    for (nn_conn_statement *s = c->cache; s < c->cache + NN_CONN_STATEMENTS; s++) {
        if (s->stmt && s->hash == hash && !strcmp(s->sql, sql)) {
            s->used = ++c->clock;
            *ret = s->stmt;
            return NN_OK;
        }
        if (s->used < place->used) place = s;
    }
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK) return translate(c, rc, "reading the schema", err);
    statement_drop(place);
    *place = (nn_conn_statement){strdup(sql), hash, ++c->clock, stmt};
    if (!place->sql) abort();
    *ret = stmt;
    return NN_OK;
}

static int bind_json(sqlite3_stmt *stmt, int i, const nn_json *v) {
    nn_buf text = {0};
    nn_json_dump(v, 0, &text);
    size_t n = text.n;
    char *p = nn_buf_take(&text);
    return p ? sqlite3_bind_text64(stmt, i, p, n, free, SQLITE_UTF8) : SQLITE_TOOBIG;
}

static int bind(sqlite3_stmt *stmt, int i, const nn_cell *v) {
    switch (v->type) {
    case NN_CELL_INT:
        return sqlite3_bind_int64(stmt, i, v->i);
    case NN_CELL_REAL:
        return sqlite3_bind_double(stmt, i, v->r);
    case NN_CELL_TEXT: /* static: the caller's text outlives the statement's run */
        return sqlite3_bind_text64(stmt, i, v->s.p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case NN_CELL_BLOB:
        return sqlite3_bind_blob64(stmt, i, v->s.p, v->s.n, SQLITE_STATIC);
    case NN_CELL_JSON:
        return bind_json(stmt, i, v->j);
    default:
        return sqlite3_bind_null(stmt, i);
    }
}

static nn_cell value_of(sqlite3_stmt *stmt, int i) {
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        return nn_cell_int(sqlite3_column_int64(stmt, i));
    case SQLITE_FLOAT:
        return nn_cell_real(sqlite3_column_double(stmt, i));
    case SQLITE_TEXT: {
        const char *p = (const char *)sqlite3_column_text(stmt, i);
        nn_cell v = {
            .type = NN_CELL_TEXT, .s = {p ? p : "", 0}
        };
        v.s.n = p ? (size_t)sqlite3_column_bytes(stmt, i) : 0;
        return v;
    }
    case SQLITE_BLOB: {
        const void *p = sqlite3_column_blob(stmt, i);
        return nn_cell_blob(p ? p : "", (size_t)sqlite3_column_bytes(stmt, i));
    }
    default:
        return nn_cell_null();
    }
}

enum { MAX_RESULT = 64 };

static nn_status step_all(nn_sqlite_conn *c, sqlite3_stmt *stmt, nn_sink *sink, nn_err *err) {
    nn_cell cells[MAX_RESULT];
    int rc, n = sqlite3_column_count(stmt);
    if (n > MAX_RESULT) return nn_fail(err, NN_E_INTERNAL, "a statement gives %d columns", n);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (!sink) continue;
        for (int i = 0; i < n; i++) cells[i] = value_of(stmt, i);
        nn_status s = sink->row(sink, cells, n, err);
        if (s != NN_OK) return s;
    }
    bool reads = sqlite3_stmt_readonly(stmt);
    return rc == SQLITE_DONE ? NN_OK : translate(c, rc, reads ? "reading" : "writing", err);
}

nn_status nn_sqlite_conn_run(nn_sqlite_conn *c, const char *sql, const nn_cell *params, int n,
                             nn_sink *sink, nn_ran *ret, nn_err *err) {
    sqlite3_stmt *stmt = NULL;
    nn_status s = prepare(c, sql, &stmt, err);
    if (s != NN_OK) return s;
    for (int i = 0; i < n && s == NN_OK; i++) {
        int rc = bind(stmt, i + 1, &params[i]);
        if (rc != SQLITE_OK) s = translate(c, rc, "a parameter", err);
    }
    if (s == NN_OK) s = step_all(c, stmt, sink, err);
    if (s == NN_OK && ret)
        *ret = (nn_ran){sqlite3_changes64(c->db), sqlite3_last_insert_rowid(c->db)};
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return s;
}

typedef struct number {
    nn_sink sink;
    int64_t v;
} number;

static nn_status number_row(nn_sink *self, const nn_cell *cells, int n, nn_err *err) {
    (void)n;
    (void)err;
    ((number *)self)->v = cells[0].type == NN_CELL_INT ? cells[0].i : 0;
    return NN_OK;
}

nn_status nn_sqlite_conn_number(nn_sqlite_conn *c, const char *sql, int64_t *ret, nn_err *err) {
    number v = {{number_row}, 0};
    nn_status s = nn_sqlite_conn_run(c, sql, NULL, 0, &v.sink, NULL, err);
    if (s == NN_OK) *ret = v.v;
    return s;
}

bool nn_sqlite_conn_in_transaction(const nn_sqlite_conn *c) {
    return !sqlite3_get_autocommit(c->db);
}

nn_status nn_sqlite_conn_open(const char *path, bool writer, nn_sqlite_conn **ret, nn_err *err) {
    nn_sqlite_conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->path = path;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, &c->db, flags, NULL);
    nn_status s = rc == SQLITE_OK ? NN_OK : translate(c, rc, "opening", err);
    if (s == NN_OK) {
        sqlite3_busy_timeout(c->db, BUSY_MS);
        sqlite3_extended_result_codes(c->db, 1);
        s = nn_sqlite_conn_exec(
            c,
            writer ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                     "PRAGMA trusted_schema=OFF; PRAGMA journal_size_limit=67108864"
                   : "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF",
            err);
    }
    if (s != NN_OK) {
        nn_sqlite_conn_close(c);
        return s;
    }
    *ret = c;
    return NN_OK;
}

void nn_sqlite_conn_close(nn_sqlite_conn *c) {
    if (!c) return;
    for (int i = 0; i < NN_CONN_STATEMENTS; i++) statement_drop(&c->cache[i]);
    sqlite3_close(c->db);
    free(c);
}
