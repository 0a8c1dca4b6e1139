/* SPDX-License-Identifier: MIT */
/* Cells, rows and the calls of store.h that are the same for every store: they write a statement
 * (sql.c) and hand it to the transaction's own store. */
#include "store/store_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const nn_column columns[] = {
#define NN_COLUMN(T, n, type) {NN_TABLE_##T, #n, NN_CELL_##type},
#include "store/tables.def"
};
static const struct {
    const char *name, *key;
} tables[NN_TABLE_COUNT] = {
#define NN_TABLE(N, n, key) [NN_TABLE_##N] = {#n, #key},
#include "store/tables.def"
};

const char *nn_table_name(nn_table t) {
    return tables[t].name;
}

const char *nn_table_key(nn_table t) {
    return tables[t].key;
}

const nn_column *nn_table_columns(nn_table t, int *ret_n) {
    int first = 0, n = 0;
    while (columns[first].table != t) first++;
    while (first + n < NN_COUNT_OF(columns) && columns[first + n].table == t) n++;
    *ret_n = n;
    return &columns[first];
}

int nn_column_find(nn_table t, const char *name) {
    int n;
    const nn_column *c = nn_table_columns(t, &n);
    for (int i = 0; i < n; i++)
        if (!strcmp(c[i].name, name)) return i;
    return -1;
}

nn_cell nn_cell_null(void) {
    return (nn_cell){.type = NN_CELL_NULL};
}

nn_cell nn_cell_int(int64_t v) {
    return (nn_cell){.type = NN_CELL_INT, .i = v};
}

nn_cell nn_cell_real(double v) {
    return isnan(v) ? nn_cell_null() : (nn_cell){.type = NN_CELL_REAL, .r = v};
}

nn_cell nn_cell_text(const char *s) {
    return s ? (nn_cell){.type = NN_CELL_TEXT, .s = {s, strlen(s)}} : nn_cell_null();
}

nn_cell nn_cell_blob(const void *p, size_t n) {
    return (nn_cell){
        .type = NN_CELL_BLOB, .s = {p, n}
    };
}

nn_cell nn_cell_json(const nn_json *v) {
    return v ? (nn_cell){.type = NN_CELL_JSON, .j = v} : nn_cell_null();
}

/* Rows. A column that the table does not have is our own bug; it reads as null. */

nn_row nn_rows_at(const nn_rows *r, int64_t i) {
    int n;
    nn_table_columns(r->table, &n);
    return (nn_row){r->table, i >= 0 && i < r->n ? r->cells + i * n : NULL};
}

static const nn_cell *cell_of(nn_row r, const char *column) {
    static const nn_cell null;
    int i = r.cells ? nn_column_find(r.table, column) : -1;
    return i < 0 ? &null : &r.cells[i];
}

const char *nn_row_text(nn_row r, const char *column) {
    const nn_cell *c = cell_of(r, column);
    return c->type == NN_CELL_TEXT || c->type == NN_CELL_BLOB ? c->s.p : NULL;
}

int64_t nn_row_int(nn_row r, const char *column, int64_t if_null) {
    const nn_cell *c = cell_of(r, column);
    return c->type == NN_CELL_INT ? c->i : c->type == NN_CELL_REAL ? (int64_t)c->r : if_null;
}

double nn_row_real(nn_row r, const char *column, double if_null) {
    const nn_cell *c = cell_of(r, column);
    return c->type == NN_CELL_INT ? (double)c->i : c->type == NN_CELL_REAL ? c->r : if_null;
}

bool nn_row_null(nn_row r, const char *column) {
    return cell_of(r, column)->type == NN_CELL_NULL;
}

nn_json *nn_row_json(nn_row r, const char *column) {
    const nn_cell *c = cell_of(r, column);
    nn_json *v = NULL;
    if (c->type != NN_CELL_TEXT || nn_json_parse(c->s.p, c->s.n, &v, NULL) != NN_OK) return NULL;
    return v;
}

/* Transactions. */

nn_bus *nn_store_bus(const nn_store *s) {
    return s->bus;
}

const char *nn_store_place(const nn_store *s) {
    return s->place;
}

nn_store_stats nn_store_stat(const nn_store *s) {
    return (nn_store_stats){atomic_load(&s->transactions), atomic_load(&s->commits),
                            atomic_load(&s->reads)};
}

int nn_store_waiting(nn_store *s) {
    return s->ops->waiting(s);
}

nn_store *nn_txn_store(const nn_txn *t) {
    return t->store;
}

nn_status nn_store_open(const nn_store_options *o, nn_store **ret, nn_err *err) {
    static const nn_store_ops *const stores[] = {
#define NN_STORE(s) &nn_store_##s,
#include "store/stores.def"
#undef NN_STORE
    };
    size_t n = strcspn(o->url, ":");
    for (int i = 0; i < NN_COUNT_OF(stores); i++)
        for (const char *const *s = stores[i]->schemes; *s; s++)
            if (o->url[n] && strlen(*s) == n && !strncmp(o->url, *s, n))
                return stores[i]->open(o, ret, err);
    nn_status s = nn_fail(err, NN_E_CONFIG_ERROR, "store.url: no store for '%.*s:'",
                          (int)(n < 40 ? n : 40), o->url);
    return nn_err_hint(err, s, "write sqlite:///relative/file.db or sqlite:////absolute/file.db");
}

void nn_store_close(nn_store *s) {
    if (s) s->ops->close(s);
}

nn_status nn_store_write(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err) {
    return s->ops->write(s, fn, ctx, err);
}

nn_status nn_store_read(nn_store *s, nn_txn_fn *fn, void *ctx, nn_err *err) {
    return s->ops->read(s, fn, ctx, err);
}

void nn_txn_after(nn_txn *t, void (*fn)(void *), void (*drop)(void *), void *arg) {
    nn_after *a = malloc(sizeof *a);
    if (!a) abort();
    *a = (nn_after){fn, drop, arg, NULL};
    if (!t->after) t->after_tail = &t->after;
    *t->after_tail = a;
    t->after_tail = &a->next;
}

void nn_txn_settle(nn_txn *t, bool committed) {
    while (t->after) {
        nn_after *a = t->after;
        t->after = a->next;
        if (committed) a->fn(a->arg);
        if (a->drop) a->drop(a->arg);
        free(a);
    }
}

/* Statements. */

static void sql_freep(nn_sql **q) {
    if (*q) nn_buf_done(&(*q)->text);
    free(*q);
}

/* A statement is 32 KiB of parameters: too much for a stack that others share. */
#define SQL __attribute__((cleanup(sql_freep))) nn_sql
static nn_sql *sql_new(void) {
    nn_sql *q = malloc(sizeof *q);
    if (!q) abort();
    q->text = (nn_buf){0};
    q->n = 0;
    q->too_many = false;
    q->unknown = NULL;
    return q;
}

static nn_status run(nn_txn *t, nn_sql *q, nn_sink *sink, nn_ran *ret, nn_err *err) {
    nn_status s = nn_sql_check(q, err);
    if (s != NN_OK) return s;
    return t->store->ops->run(t, nn_buf_str(&q->text), q->params, q->n, sink, ret, err);
}

static nn_status writing(nn_txn *t, nn_sql *q, nn_ran *ret, nn_err *err) {
    if (!t->writable)
        return nn_fail(err, NN_E_INTERNAL, "writing %s in a transaction that only reads",
                       nn_table_name(q->table));
    return run(t, q, NULL, ret, err);
}

nn_status nn_txn_insert(nn_txn *t, nn_table table, const nn_field *f, int n, int64_t *ret_rowid,
                        nn_err *err) {
    SQL *q = sql_new();
    nn_ran ran;
    nn_sql_insert(q, table, f, n);
    nn_status s = writing(t, q, &ran, err);
    if (s == NN_OK && ret_rowid) *ret_rowid = ran.rowid;
    return s;
}

nn_status nn_txn_update(nn_txn *t, nn_table table, const nn_field *set, int n_set,
                        const nn_where *where, int n_where, int64_t *ret_changed, nn_err *err) {
    SQL *q = sql_new();
    nn_ran ran;
    nn_sql_update(q, table, set, n_set, where, n_where, t->store->ops->member_test);
    nn_status s = writing(t, q, &ran, err);
    if (s == NN_OK && ret_changed) *ret_changed = ran.changed;
    return s;
}

nn_status nn_txn_delete(nn_txn *t, nn_table table, const nn_where *where, int n_where,
                        int64_t *ret_changed, nn_err *err) {
    SQL *q = sql_new();
    nn_ran ran;
    nn_sql_delete(q, table, where, n_where, t->store->ops->member_test);
    nn_status s = writing(t, q, &ran, err);
    if (s == NN_OK && ret_changed) *ret_changed = ran.changed;
    return s;
}

typedef struct counter {
    nn_sink sink;
    int64_t n;
} counter;

static nn_status count_row(nn_sink *self, const nn_cell *cells, int n, nn_err *err) {
    (void)n;
    (void)err;
    ((counter *)self)->n = cells[0].i;
    return NN_OK;
}

nn_status nn_txn_count(nn_txn *t, nn_table table, const nn_where *where, int n_where, int64_t *ret,
                       nn_err *err) {
    SQL *q = sql_new();
    counter c = {{count_row}, 0};
    nn_sql_count(q, table, where, n_where, t->store->ops->member_test);
    nn_status s = run(t, q, &c.sink, NULL, err);
    if (s == NN_OK) *ret = c.n;
    return s;
}

/* Collects result rows in the arena, each spread over all columns of its table. */
typedef struct collector {
    nn_sink sink;
    nn_arena *arena;
    const int *place; /* table column of each result column */
    int width;        /* columns of the table */
    nn_cell *cells;
    int64_t n, cap, limit;
    bool more;
} collector;

static nn_status collector_grow(collector *c, nn_err *err) {
    int64_t cap = c->cap ? c->cap * 2 : 8;
    nn_cell *cells = NN_NEW_N(c->arena, nn_cell, (size_t)(cap * c->width));
    if (!cells) return nn_fail(err, NN_E_LIMIT, "the result is larger than its memory limit");
    if (c->n) memcpy(cells, c->cells, (size_t)(c->n * c->width) * sizeof *cells);
    c->cells = cells;
    c->cap = cap;
    return NN_OK;
}

static nn_status collect_row(nn_sink *self, const nn_cell *cells, int n, nn_err *err) {
    collector *c = (collector *)self;
    if (c->n == c->limit) {
        c->more = true;
        return NN_OK;
    }
    if (c->n == c->cap && collector_grow(c, err) != NN_OK) return NN_E_LIMIT;
    nn_cell *row = c->cells + c->n * c->width;
    for (int i = 0; i < n; i++) {
        nn_cell *to = &row[c->place[i]];
        *to = cells[i];
        if (cells[i].type != NN_CELL_TEXT && cells[i].type != NN_CELL_BLOB) continue;
        to->s.p = nn_arena_strndup(c->arena, cells[i].s.p, cells[i].s.n);
        if (!to->s.p) return nn_fail(err, NN_E_LIMIT, "the result is larger than its memory limit");
    }
    c->n++;
    return NN_OK;
}

enum { MAX_COLUMNS = 64, MAX_SORT = 8 };

/* Which table column each result column is; false for a name that the table does not have. */
static bool columns_of(const nn_query *q, int width, int *place) {
    for (int i = 0; i < (q->columns ? q->n_columns : width); i++) {
        place[i] = q->columns ? nn_column_find(q->table, q->columns[i]) : i;
        if (place[i] < 0) return false;
    }
    return true;
}

static nn_status select_rows(nn_txn *t, const nn_query *q, nn_arena *a, nn_rows *ret, nn_err *err) {
    int place[MAX_COLUMNS];
    nn_cell after[MAX_SORT];
    collector c = {{collect_row}, a, place, 0, NULL, 0, 0, q->limit > 0 ? q->limit : 1000, false};
    nn_table_columns(q->table, &c.width);
    if (c.width > MAX_COLUMNS || q->n_sort > MAX_SORT || !columns_of(q, c.width, place))
        return nn_fail(err, NN_E_INTERNAL, "a query of %s names a column that is not there",
                       nn_table_name(q->table));
    if (q->after) {
        nn_status s = nn_cursor_read(q->after, after, q->n_sort, a, err);
        if (s != NN_OK) return s;
    }
    SQL *sql = sql_new();
    nn_sql_select(sql, q, q->after ? after : NULL, c.limit, t->store->ops->member_test);
    nn_status s = run(t, sql, &c.sink, NULL, err);
    if (s == NN_OK) *ret = (nn_rows){q->table, c.cells, c.n, -1, c.more};
    return s;
}

nn_status nn_txn_select(nn_txn *t, const nn_query *q, nn_arena *a, nn_rows *ret, nn_err *err) {
    nn_rows rows;
    nn_status s = select_rows(t, q, a, &rows, err);
    if (s == NN_OK && q->want_total)
        s = nn_txn_count(t, q->table, q->where, q->n_where, &rows.total, err);
    if (s == NN_OK) *ret = rows;
    return s;
}

nn_status nn_txn_get(nn_txn *t, nn_table table, const char *key, nn_arena *a, nn_row *ret,
                     nn_err *err) {
    nn_where w = NN_WHERE_TEXT(nn_table_key(table), NN_CMP_EQ, key);
    nn_rows rows;
    nn_query q = {.table = table, .where = &w, .n_where = 1, .limit = 1};
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s != NN_OK) return s;
    if (!rows.n)
        return nn_fail(err, NN_E_NOT_FOUND, "%s: '%.80s' not found", nn_table_name(table), key);
    *ret = nn_rows_at(&rows, 0);
    return NN_OK;
}

typedef struct one_call {
    const nn_query *q;
    nn_table table;
    const char *key;
    const nn_where *where;
    int n_where;
    nn_arena *a;
    nn_row *row;
    nn_rows *rows;
    int64_t *count;
} one_call;

static nn_status get_fn(nn_txn *t, void *ctx, nn_err *err) {
    one_call *c = ctx;
    return nn_txn_get(t, c->table, c->key, c->a, c->row, err);
}

static nn_status select_fn(nn_txn *t, void *ctx, nn_err *err) {
    one_call *c = ctx;
    return nn_txn_select(t, c->q, c->a, c->rows, err);
}

static nn_status count_fn(nn_txn *t, void *ctx, nn_err *err) {
    one_call *c = ctx;
    return nn_txn_count(t, c->table, c->where, c->n_where, c->count, err);
}

nn_status nn_store_get(nn_store *s, nn_table table, const char *key, nn_arena *a, nn_row *ret,
                       nn_err *err) {
    return nn_store_read(s, get_fn, &(one_call){.table = table, .key = key, .a = a, .row = ret},
                         err);
}

nn_status nn_store_select(nn_store *s, const nn_query *q, nn_arena *a, nn_rows *ret, nn_err *err) {
    return nn_store_read(s, select_fn, &(one_call){.q = q, .a = a, .rows = ret}, err);
}

nn_status nn_store_count(nn_store *s, nn_table table, const nn_where *where, int n_where,
                         int64_t *ret, nn_err *err) {
    return nn_store_read(
        s, count_fn, &(one_call){.table = table, .where = where, .n_where = n_where, .count = ret},
        err);
}
