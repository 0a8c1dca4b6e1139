/* SPDX-License-Identifier: MIT */
/* sqlite_conn.h - one connection to an SQLite file: opening with our settings, statements that are
 * prepared once, and SQLite's errors in our words. A connection is used by one thread at a time.
 * Internal to src/store. */
#ifndef NN_STORE_SQLITE_CONN_H
#define NN_STORE_SQLITE_CONN_H
#include "store/store_impl.h"

#include <sqlite3.h>

enum { NN_CONN_STATEMENTS = 64 };

typedef struct nn_conn_statement {
    char *sql;
    uint64_t hash, used; /* used: when last, for throwing out the oldest */
    sqlite3_stmt *stmt;
} nn_conn_statement;

typedef struct nn_sqlite_conn {
    sqlite3 *db;
    const char *path; /* borrowed */
    uint64_t clock;
    nn_conn_statement cache[NN_CONN_STATEMENTS];
    struct nn_sqlite_conn *next; /* of the store's idle readers */
} nn_sqlite_conn;

nn_status nn_sqlite_conn_open(const char *path, bool writer, nn_sqlite_conn **ret, nn_err *err);
void nn_sqlite_conn_close(nn_sqlite_conn *c); /* NULL allowed */
/* A statement with "?" for parameters; sink and ret may be NULL. */
nn_status nn_sqlite_conn_run(nn_sqlite_conn *c, const char *sql, const nn_cell *params, int n,
                             nn_sink *sink, nn_ran *ret, nn_err *err);
/* Statements without parameters or results. */
nn_status nn_sqlite_conn_exec(nn_sqlite_conn *c, const char *sql, nn_err *err);
/* The first value of the first row. */
nn_status nn_sqlite_conn_number(nn_sqlite_conn *c, const char *sql, int64_t *ret, nn_err *err);
/* Whether a transaction is open; SQLite ends one by itself on a full disk and the like. */
bool nn_sqlite_conn_in_transaction(const nn_sqlite_conn *c);
#endif
