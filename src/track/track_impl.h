/* SPDX-License-Identifier: MIT */
/* track_impl.h - what the files of src/track share. Included there only. */
#ifndef NN_TRACK_TRACK_IMPL_H
#define NN_TRACK_TRACK_IMPL_H
#include "track/track.h"

struct nn_track {
    nn_store *store;
    char *artifacts; /* absolute folder */
};

/* A time as RFC 3339 text; null for 0. */
nn_json *nn_track_time(int64_t us);
/* A text column as JSON; null when null. */
nn_json *nn_track_text(nn_row r, const char *column);
/* A JSON column; `otherwise` (taken) when null. */
nn_json *nn_track_value(nn_row r, const char *column, nn_json *otherwise);
/* All rows of a table under conditions, in an order. */
nn_status nn_track_rows(nn_txn *t, nn_table table, const nn_where *w, int n_where,
                        const nn_sort *sort, int n_sort, nn_arena *a, nn_rows *ret, nn_err *err);
/* A page of a table as a list of objects, the newest first (created_at, id): what `item` makes of
 * each row. limit, offset, after and where are the query's. ret_cursor (NULL allowed): free() it;
 * NULL at the end. */
typedef nn_status nn_track_item(nn_txn *t, nn_row r, nn_arena *a, nn_json **ret, nn_err *err);
nn_status nn_track_page(nn_track *t, nn_query q, nn_track_item *item, nn_json **ret_items,
                        int64_t *ret_total, char **ret_cursor, nn_err *err);
/* Names of the newest versions of an experiment's or operation's artifacts (column says which), by
 * name. */
nn_status nn_track_artifacts(nn_txn *t, const char *column, const char *id, nn_arena *a,
                             nn_rows *ret, nn_err *err);
/* Whether row i is the newest version of its name in rows that are sorted by name and version. */
bool nn_track_newest(const nn_rows *r, int64_t i);
/* Sets `certificate` of an M: what its certificate.json says in short, or null. */
nn_status nn_track_certificate(const nn_track *t, nn_json *model, nn_err *err);
#endif
