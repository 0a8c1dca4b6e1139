/* SPDX-License-Identifier: MIT */
/* store_impl.h - the port that a row of stores.def fills, and what its implementations share: SQL
 * text from queries. Included in src/store only. */
#ifndef NN_STORE_STORE_IMPL_H
#define NN_STORE_STORE_IMPL_H
#include "base/buf.h"
#include "store/store.h"

#include <stdatomic.h>

typedef struct nn_store_ops nn_store_ops;

struct nn_store {
    const nn_store_ops *ops;
    nn_bus *bus;
    char place[1024];
    atomic_uint_fast64_t transactions, commits, reads;
};

typedef struct nn_after {
    void (*fn)(void *arg), (*drop)(void *arg);
    void *arg;
    struct nn_after *next;
} nn_after;

struct nn_txn {
    nn_store *store;
    void *connection; /* the implementation's */
    bool writable;
    nn_after *after, **after_tail;
};

/* A result row is given to `row` as the statement's columns, in order; texts are valid until it
 * returns. */
typedef struct nn_sink {
    nn_status (*row)(struct nn_sink *self, const nn_cell *cells, int n, nn_err *err);
} nn_sink;

typedef struct nn_ran {
    int64_t changed, rowid;
} nn_ran;

struct nn_store_ops {
    const char *name;
    const char *const *schemes; /* of its URLs, without ":"; NULL-terminated */
    nn_status (*open)(const nn_store_options *o, nn_store **ret, nn_err *err);
    void (*close)(nn_store *s);
    nn_status (*write)(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err);
    nn_status (*read)(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err);
    int (*waiting)(nn_store *s);
    /* One statement with "?" for parameters. sink and ret may be NULL. */
    nn_status (*run)(nn_txn *t, const char *sql, const nn_cell *params, int n, nn_sink *sink,
                     nn_ran *ret, nn_err *err);
    const char *member_test; /* SQL, "%s" is the column: its object has value ?2 under key ?1, in
                                that order */
};

#define NN_STORE(s) extern const nn_store_ops nn_store_##s;
#include "store/stores.def"
#undef NN_STORE

typedef struct nn_column {
    nn_table table;
    const char *name;
    nn_cell_type type;
} nn_column;
/* The columns of a table and how many there are. */
const nn_column *nn_table_columns(nn_table t, int *ret_n);
const char *nn_table_key(nn_table t);
/* Index among the table's columns, -1 if there is none. */
int nn_column_find(nn_table t, const char *name);

enum { NN_SQL_MAX_PARAMS = 1024 };
/* A statement being written. */
typedef struct nn_sql {
    nn_buf text;
    nn_cell params[NN_SQL_MAX_PARAMS];
    int n;
    bool too_many;
    const char *unknown; /* a column that the table does not have: our own bug */
    nn_table table;
} nn_sql;
void nn_sql_insert(nn_sql *q, nn_table t, const nn_field *f, int n);
void nn_sql_update(nn_sql *q, nn_table t, const nn_field *f, int n, const nn_where *w, int n_w,
                   const char *member_test);
void nn_sql_delete(nn_sql *q, nn_table t, const nn_where *w, int n_w, const char *member_test);
void nn_sql_count(nn_sql *q, nn_table t, const nn_where *w, int n_w, const char *member_test);
/* after: values of the sort columns (n_sort of them) or NULL. Asks for one row more than `limit`.
 */
void nn_sql_select(nn_sql *q, const nn_query *s, const nn_cell *after, int64_t limit,
                   const char *member_test);
/* NN_E_INTERNAL or NN_E_LIMIT when the statement could not be written. */
nn_status nn_sql_check(const nn_sql *q, nn_err *err);

/* Reads a cursor of nn_rows_cursor back into n cells in the arena. */
nn_status nn_cursor_read(const char *cursor, nn_cell *cells, int n, nn_arena *a, nn_err *err);

/* Runs (committed) or drops what nn_txn_after collected, and empties the list. */
void nn_txn_settle(nn_txn *t, bool committed);
#endif
