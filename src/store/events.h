/* SPDX-License-Identifier: MIT */
/* events.h - the event log: what happened, numbered in commit order, written in the transaction
 * that made it happen and published on the store's bus after the commit. Readers that missed some
 * catch up from the table. */
#ifndef NN_STORE_EVENTS_H
#define NN_STORE_EVENTS_H
#include "store/store.h"

/* The parts of the wire envelope {v, seq, ts, type, operation_id, kind, state, data}. Texts may be
 * NULL: written as null. */
typedef struct nn_event {
    int64_t seq, ts; /* ts: microseconds since 1970 */
    const char *type, *operation_id, *kind, *state;
    const nn_json *data; /* NULL: {} */
} nn_event;

/* Writes the event (seq and, when 0, ts are filled in *e). Its envelope goes to the bus after the
 * commit, under the topic "events", in the order of seq. */
nn_status nn_event_append(nn_txn *t, nn_event *e, nn_err *err);
/* Publishes an event that is not kept (seq 0): high-rate progress. Any thread. */
void nn_event_publish(nn_store *s, const nn_event *e);
/* The envelope as JSON text, appended to out: what /events and sockets send. */
void nn_event_print(const nn_event *e, nn_buf *out);

/* Events with seq > from_seq, at most limit (0: 1000), oldest first, of one operation or (NULL) of
 * all. ret_oldest (NULL allowed): the smallest seq still kept, so that a reader knows of a gap;
 * ret_latest likewise the largest. */
nn_status nn_events_since(nn_store *s, int64_t from_seq, const char *operation_id, int64_t limit,
                          nn_arena *a, nn_rows *ret, int64_t *ret_oldest, int64_t *ret_latest,
                          nn_err *err);
/* Fills an envelope from a row of the events table; *ret_data is owned by the caller. */
nn_event nn_event_from_row(nn_row r, nn_json **ret_data);
/* Deletes events older than `before` (microseconds); the newest one stays, so that seq goes on. */
nn_status nn_events_prune(nn_store *s, int64_t before, int64_t *ret_deleted, nn_err *err);
#endif
