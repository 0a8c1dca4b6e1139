/* SPDX-License-Identifier: MIT */
/* eventlog.h - what happened, numbered in commit order, written in the transaction that made it
 * happen and published on the store's bus after the commit. Readers that missed some catch up from
 * the table. Thread safe like the store. */
#ifndef NN_STORE_EVENTLOG_H
#define NN_STORE_EVENTLOG_H
#include "store/store.h"

/* The parts of the wire envelope {v, seq, ts, type, operation_id, kind, state, data}. Texts but
 * type may be NULL: written as null. */
typedef struct nn_happened {
    int64_t seq, ts; /* ts: microseconds since 1970 */
    const char *type, *operation_id, *kind, *state;
    const nn_json *data; /* NULL: {} */
} nn_happened;

/* Writes the event; seq and, where it is 0, ts are filled in. Its envelope goes to the bus after
 * the commit, in the order of seq. */
nn_status nn_eventlog_append(nn_txn *t, nn_happened *e, nn_err *err);
/* Publishes an event that is not kept (seq 0), after the commit: high-rate progress. */
void nn_eventlog_announce(nn_txn *t, const nn_happened *e);
/* The same at once, outside of a transaction. */
void nn_eventlog_publish(nn_store *s, const nn_happened *e);
/* The envelope as JSON text, appended to out: what event streams and sockets send. */
void nn_eventlog_print(const nn_happened *e, nn_buf *out);

/* Events with seq > from_seq, at most limit (0: 1000), oldest first, of one operation or (NULL) of
 * all. ret_oldest and ret_latest (NULL allowed): the smallest and largest seq kept (0: none), so
 * that a reader knows of a gap. */
nn_status nn_eventlog_since(nn_store *s, int64_t from_seq, const char *operation_id, int64_t limit,
                            nn_arena *a, nn_rows *ret, int64_t *ret_oldest, int64_t *ret_latest,
                            nn_err *err);
/* An envelope from a row of the events table; *ret_data is owned by the caller. */
nn_happened nn_eventlog_from_row(nn_row r, nn_json **ret_data);
/* Deletes events older than `before` (microseconds). Numbers are never used again. */
nn_status nn_eventlog_prune(nn_store *s, int64_t before, int64_t *ret_deleted, nn_err *err);
#endif
