/* SPDX-License-Identifier: MIT */
/* store.h - durable, transactional records. It holds tables (tables.def) and knows nothing of what
 * they mean.
 *
 * All work happens inside a transaction: a function that the store runs. Writers are run one after
 * the other on the store's own thread, many to one fsync (group commit), each in its own savepoint:
 * a function that fails leaves nothing behind and does not disturb its neighbours. nn_store_write
 * returns after the commit has reached the disk. Readers run at once, each on a snapshot of its
 * own. A transaction function must be short, must not block on other threads, and must not call
 * nn_store_write.
 *
 * A store may be used from any thread; a transaction, rows and JSON values belong to the thread
 * that runs the function. Rows live in the arena given to the call that read them. Failures of the
 * disk, the folder or the file are NN_E_STORAGE_ERROR with the path and a hint; a broken UNIQUE or
 * FOREIGN KEY is NN_E_ALREADY_EXISTS or NN_E_CONFLICT. */
#ifndef NN_STORE_STORE_H
#define NN_STORE_STORE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_store nn_store;
typedef struct nn_txn nn_txn;
typedef struct nn_bus nn_bus;

typedef enum nn_table {
#define NN_TABLE(N, n, key) NN_TABLE_##N,
#include "store/tables.def"
    NN_TABLE_COUNT
} nn_table;

typedef enum nn_cell_type {
    NN_CELL_NULL,
    NN_CELL_INT,
    NN_CELL_REAL,
    NN_CELL_TEXT,
    NN_CELL_BLOB,
    NN_CELL_JSON
} nn_cell_type;

/* One value. Texts and blobs are borrowed; JSON is a value when written and text when read. */
typedef struct nn_cell {
    nn_cell_type type;
    union {
        int64_t i;
        double r;
        const nn_json *j;
        struct {
            const char *p;
            size_t n;
        } s;
    };
} nn_cell;
nn_cell nn_cell_null(void);
nn_cell nn_cell_int(int64_t v);
nn_cell nn_cell_real(double v);      /* NaN is stored as null */
nn_cell nn_cell_text(const char *s); /* NULL gives null */
nn_cell nn_cell_blob(const void *p, size_t n);
nn_cell nn_cell_json(const nn_json *v); /* NULL gives null; borrowed until the call returns */

/* A column and its value, for insert and update. */
typedef struct nn_field {
    const char *column;
    nn_cell value;
} nn_field;
#define NN_FIELD_NULL(c)       ((nn_field){(c), nn_cell_null()})
#define NN_FIELD_INT(c, v)     ((nn_field){(c), nn_cell_int(v)})
#define NN_FIELD_REAL(c, v)    ((nn_field){(c), nn_cell_real(v)})
#define NN_FIELD_TEXT(c, v)    ((nn_field){(c), nn_cell_text(v)})
#define NN_FIELD_BLOB(c, p, n) ((nn_field){(c), nn_cell_blob((p), (n))})
#define NN_FIELD_JSON(c, v)    ((nn_field){(c), nn_cell_json(v)})

/* A condition; those of a list must all hold. A comparison with null holds for nothing, as in SQL;
 * use NN_CMP_NULL, NN_CMP_SET. */
typedef enum nn_cmp {
    NN_CMP_EQ,
    NN_CMP_NE,
    NN_CMP_LT,
    NN_CMP_LE,
    NN_CMP_GT,
    NN_CMP_GE,
    NN_CMP_NULL,     /* is null */
    NN_CMP_SET,      /* is not null */
    NN_CMP_IN,       /* one of list[0..n_list); an empty list holds for nothing */
    NN_CMP_CONTAINS, /* the text holds value, any ASCII letter case */
    NN_CMP_MEMBER    /* the JSON object has the text `value` under `member` */
} nn_cmp;
typedef struct nn_where {
    const char *column;
    nn_cmp cmp;
    nn_cell value;
    const nn_cell *list;
    int n_list;
    const char *member;
} nn_where;
#define NN_WHERE_TEXT(c, cmp, v) ((nn_where){.column = (c), (cmp), nn_cell_text(v)})
#define NN_WHERE_INT(c, cmp, v)  ((nn_where){.column = (c), (cmp), nn_cell_int(v)})
#define NN_WHERE_NULL(c)         ((nn_where){.column = (c), .cmp = NN_CMP_NULL})
#define NN_WHERE_SET(c)          ((nn_where){.column = (c), .cmp = NN_CMP_SET})
#define NN_WHERE_IN(c, cells, n)                                                                   \
    ((nn_where){.column = (c), .cmp = NN_CMP_IN, .list = (cells), .n_list = (n)})
#define NN_WHERE_MEMBER(c, m, v)                                                                   \
    ((nn_where){.column = (c), .cmp = NN_CMP_MEMBER, .value = nn_cell_text(v), .member = (m)})
#define NN_COUNT_OF(a) ((int)(sizeof(a) / sizeof *(a)))

typedef struct nn_sort {
    const char *column;
    bool descending;
} nn_sort;

typedef struct nn_query {
    nn_table table;
    const char *const *columns; /* NULL: all; the others read as null */
    int n_columns;
    const nn_where *where;
    int n_where;
    const nn_sort *sort; /* end it with a unique column: pages are then stable */
    int n_sort;
    int64_t limit; /* 0: 1000 */
    int64_t offset;
    const char *after; /* a cursor of nn_rows_cursor under the same sort, NULL: from the start.
                          NN_E_INVALID_REQUEST if damaged */
    bool want_total;   /* count all rows that fulfil `where`, into nn_rows.total */
} nn_query;

typedef struct nn_row {
    nn_table table;
    const nn_cell *cells; /* one a column of tables.def; NULL: no row */
} nn_row;

typedef struct nn_rows {
    nn_table table;
    const nn_cell *cells;
    int64_t n, total; /* total: -1 unless asked for */
    bool more;        /* further rows after these */
} nn_rows;

nn_row nn_rows_at(const nn_rows *r, int64_t i);        /* no row past the end */
const char *nn_row_text(nn_row r, const char *column); /* NULL when null; also the text of JSON */
int64_t nn_row_int(nn_row r, const char *column, int64_t if_null);
double nn_row_real(nn_row r, const char *column, double if_null);
bool nn_row_null(nn_row r, const char *column);
nn_json *nn_row_json(nn_row r, const char *column); /* a new reference; NULL when null */
/* The cursor after the last row of r under `sort`, in the arena; NULL when there are no more rows.
 */
const char *nn_rows_cursor(const nn_rows *r, const nn_sort *sort, int n_sort, nn_arena *a);

/* Opening. URLs: sqlite:///relative/path, sqlite:////absolute/path. Makes the file and its tables,
 * checks what is there, brings an older schema up to date and refuses a newer one. `exclusive`
 * takes the store for a server: a second one is refused with the first one's process id; programs
 * that only look or change a row open it without. */
typedef struct nn_store_options {
    const char *url;
    bool exclusive;
    int readers; /* read connections; 0: 4 */
    nn_bus *bus; /* where events go after their commit; NULL: nowhere */
} nn_store_options;
nn_status nn_store_open(const nn_store_options *o, nn_store **ret, nn_err *err);
void nn_store_close(nn_store *s); /* finishes what is queued; NULL allowed */
static inline void nn_store_closep(nn_store **s) {
    nn_store_close(*s);
}
nn_bus *nn_store_bus(const nn_store *s);
const char *nn_store_place(const nn_store *s); /* path or URL without a password, for messages */

/* What the store has done since it was opened. */
typedef struct nn_store_stats {
    uint64_t transactions, commits, reads; /* commits < transactions: group commit at work */
} nn_store_stats;
nn_store_stats nn_store_stat(const nn_store *s);
int nn_store_waiting(nn_store *s); /* transactions that wait for the writer */
nn_store *nn_txn_store(const nn_txn *t);

typedef nn_status nn_txn_fn(nn_txn *t, void *ctx, nn_err *err);
/* Runs fn in a write transaction and returns its status; NN_OK means committed and on the disk.
 * When the commit fails, nothing of it stays and the status is NN_E_STORAGE_ERROR, whatever fn had
 * put into *ctx. */
nn_status nn_store_write(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err);
/* Runs fn on a snapshot; writing in it fails. */
nn_status nn_store_read(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err);

/* Inside a transaction. */
nn_status nn_txn_insert(nn_txn *t, nn_table table, const nn_field *f, int n, int64_t *ret_rowid,
                        nn_err *err);
/* Sets fields where the conditions hold; ret_changed (NULL allowed) counts the rows: 0 tells a
 * compare-and-swap that it lost. */
nn_status nn_txn_update(nn_txn *t, nn_table table, const nn_field *set, int n_set,
                        const nn_where *where, int n_where, int64_t *ret_changed, nn_err *err);
nn_status nn_txn_delete(nn_txn *t, nn_table table, const nn_where *where, int n_where,
                        int64_t *ret_changed, nn_err *err);
nn_status nn_txn_select(nn_txn *t, const nn_query *q, nn_arena *a, nn_rows *ret, nn_err *err);
nn_status nn_txn_count(nn_txn *t, nn_table table, const nn_where *where, int n_where, int64_t *ret,
                       nn_err *err);
/* The row whose key (tables.def) is the given text. NN_E_NOT_FOUND. */
nn_status nn_txn_get(nn_txn *t, nn_table table, const char *key, nn_arena *a, nn_row *ret,
                     nn_err *err);
/* fn(arg) runs on the store's thread after this transaction is committed, in commit order, then
 * drop(arg) (NULL allowed); without a commit only drop runs. fn must not block. */
void nn_txn_after(nn_txn *t, void (*fn)(void *arg), void (*drop)(void *arg), void *arg);

/* One-call forms of a transaction with one statement. */
nn_status nn_store_get(nn_store *s, nn_table table, const char *key, nn_arena *a, nn_row *ret,
                       nn_err *err);
nn_status nn_store_select(nn_store *s, const nn_query *q, nn_arena *a, nn_rows *ret, nn_err *err);
nn_status nn_store_count(nn_store *s, nn_table table, const nn_where *where, int n_where,
                         int64_t *ret, nn_err *err);

const char *nn_table_name(nn_table t);
#endif
