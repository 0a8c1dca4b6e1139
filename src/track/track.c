/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/file.h"
#include "track/track_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 1000000 };

nn_json *nn_track_time(int64_t us) {
    char text[NN_TIME_TEXT];
    return us ? nn_json_new_str(nn_time_print(us, text)) : nn_json_new_null();
}

nn_json *nn_track_text(nn_row r, const char *column) {
    return nn_json_new_str(nn_row_text(r, column));
}

nn_json *nn_track_value(nn_row r, const char *column, nn_json *otherwise) {
    nn_json *v = nn_row_json(r, column);
    if (!v) return otherwise;
    nn_json_unref(otherwise);
    return v;
}

nn_status nn_track_rows(nn_txn *t, nn_table table, const nn_where *w, int n_where,
                        const nn_sort *sort, int n_sort, nn_arena *a, nn_rows *ret, nn_err *err) {
    nn_query q = {.table = table,
                  .where = w,
                  .n_where = n_where,
                  .sort = sort,
                  .n_sort = n_sort,
                  .limit = MANY};
    return nn_txn_select(t, &q, a, ret, err);
}

typedef struct page {
    nn_query query;
    nn_track_item *item;
    nn_json *items;
    int64_t total;
    char *cursor;
} page;

static nn_status page_fn(nn_txn *t, void *ctx, nn_err *err) {
    page *p = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "page", 0);
    nn_rows rows;
    nn_status s = nn_txn_select(t, &p->query, a, &rows, err);
    for (int64_t i = 0; s == NN_OK && i < rows.n; i++) {
        nn_json *v = NULL;
        s = p->item(t, nn_rows_at(&rows, i), a, &v, err);
        if (s == NN_OK) nn_json_push(p->items, v);
    }
    if (s != NN_OK) return s;
    const char *cursor = nn_rows_cursor(&rows, p->query.sort, p->query.n_sort, a);
    p->cursor = cursor ? strdup(cursor) : NULL;
    p->total = rows.total;
    return NN_OK;
}

nn_status nn_track_page(nn_track *t, nn_query q, nn_track_item *item, nn_json **ret_items,
                        int64_t *ret_total, char **ret_cursor, nn_err *err) {
    static const nn_sort newest[] = {
        {"created_at", true },
        {"id",         false}
    };
    q.sort = newest;
    q.n_sort = 2;
    q.want_total = true;
    page p = {.query = q, .item = item, .items = nn_json_new_array()};
    nn_status s = nn_store_read(t->store, page_fn, &p, err);
    if (s != NN_OK) {
        nn_json_unref(p.items);
        return s;
    }
    *ret_items = p.items;
    *ret_total = p.total;
    if (ret_cursor)
        *ret_cursor = p.cursor;
    else
        free(p.cursor);
    return NN_OK;
}

nn_status nn_track_open(nn_store *store, const char *storage, nn_track **ret, nn_err *err) {
    nn_track *t = calloc(1, sizeof *t);
    if (!t) abort();
    char *folder = NULL;
    nn_status s = NN_OK;
    if (asprintf(&folder, "%s/artifacts", storage) < 0) abort();
    s = nn_mkdirs(folder, err);
    /* Absolute, so that a later chdir or a child with another folder finds the same bytes. */
    if (s == NN_OK && !(t->artifacts = realpath(folder, NULL)))
        s = nn_file_fail(err, errno, "find", folder);
    free(folder);
    if (s != NN_OK) {
        nn_track_close(t);
        return s;
    }
    t->store = store;
    *ret = t;
    return NN_OK;
}

void nn_track_close(nn_track *t) {
    if (!t) return;
    free(t->artifacts);
    free(t);
}

nn_store *nn_track_store(const nn_track *t) {
    return t->store;
}
