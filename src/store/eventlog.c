/* SPDX-License-Identifier: MIT */
/* The table `events` numbers its rows by AUTOINCREMENT; there is one writer, so seq grows in commit
 * order. An envelope is encoded once, inside the transaction, and handed to the bus after the
 * commit. */
#include "store/eventlog.h"

#include "base/bus.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void nn_eventlog_print(const nn_happened *e, nn_buf *out) {
    char ts[NN_TIME_TEXT];
    nn_jw w = {.out = out};
    nn_jw_obj(&w);
    nn_jw_key(&w, "v");
    nn_jw_int(&w, 1);
    nn_jw_key(&w, "seq");
    nn_jw_int(&w, e->seq);
    nn_jw_key(&w, "ts");
    nn_jw_str(&w, nn_time_print(e->ts, ts));
    nn_jw_key(&w, "type");
    nn_jw_str(&w, e->type);
    nn_jw_key(&w, "operation_id");
    nn_jw_str(&w, e->operation_id);
    nn_jw_key(&w, "kind");
    nn_jw_str(&w, e->kind);
    nn_jw_key(&w, "state");
    nn_jw_str(&w, e->state);
    nn_jw_key(&w, "data");
    if (e->data)
        nn_jw_value(&w, e->data);
    else
        nn_jw_raw(&w, "{}", 2);
    nn_jw_end_obj(&w);
}

/* What waits for the commit: the texts of an event, after each other behind the struct. */
typedef struct waiting {
    nn_bus *bus;
    nn_event event;
    char text[];
} waiting;

static char *keep(char **at, const char *s) {
    size_t n = strlen(s) + 1;
    char *to = memcpy(*at, s, n);
    *at += n;
    return to;
}

static waiting *waiting_new(nn_bus *bus, const nn_happened *e) {
    NN_BUF json = {0};
    nn_eventlog_print(e, &json);
    const char *operation = e->operation_id ? e->operation_id : "", *kind = e->kind ? e->kind : "";
    size_t n = strlen(e->type) + strlen(operation) + strlen(kind) + json.n + 4;
    waiting *w = malloc(sizeof *w + n);
    if (!w) abort();
    char *at = w->text;
    w->bus = bus;
    w->event = (nn_event){.seq = (uint64_t)e->seq, .size = json.n};
    w->event.type = keep(&at, e->type);
    w->event.operation = keep(&at, operation);
    w->event.kind = keep(&at, kind);
    w->event.json = keep(&at, nn_buf_str(&json));
    return w;
}

static void publish(void *arg) {
    waiting *w = arg;
    nn_bus_publish(w->bus, &w->event);
}

nn_status nn_eventlog_append(nn_txn *t, nn_happened *e, nn_err *err) {
    NN_JSON *empty = e->data ? NULL : nn_json_new_object();
    if (!e->ts) e->ts = nn_clock_wall();
    nn_field f[] = {
        NN_FIELD_INT("ts", e->ts),
        NN_FIELD_TEXT("type", e->type),
        NN_FIELD_TEXT("operation_id", e->operation_id),
        NN_FIELD_TEXT("kind", e->kind),
        NN_FIELD_TEXT("state", e->state),
        NN_FIELD_JSON("data", e->data ? e->data : empty),
    };
    nn_status status = nn_txn_insert(t, NN_TABLE_EVENTS, f, NN_COUNT_OF(f), &e->seq, err);
    nn_bus *bus = nn_store_bus(nn_txn_store(t));
    if (status == NN_OK && bus) nn_txn_after(t, publish, free, waiting_new(bus, e));
    return status;
}

void nn_eventlog_announce(nn_txn *t, const nn_happened *e) {
    nn_bus *bus = nn_store_bus(nn_txn_store(t));
    if (bus) nn_txn_after(t, publish, free, waiting_new(bus, e));
}

void nn_eventlog_publish(nn_store *s, const nn_happened *e) {
    if (!nn_store_bus(s)) return;
    waiting *w = waiting_new(nn_store_bus(s), e);
    publish(w);
    free(w);
}

typedef struct look {
    int64_t from_seq, limit;
    const char *operation_id;
    nn_arena *arena;
    nn_rows rows;
    int64_t oldest, latest;
} look;

static nn_status end_of(nn_txn *t, bool newest, nn_arena *a, int64_t *ret, nn_err *err) {
    static const char *const only[] = {"seq"};
    nn_sort sort = {"seq", newest};
    nn_query q = {.table = NN_TABLE_EVENTS,
                  .columns = only,
                  .n_columns = 1,
                  .sort = &sort,
                  .n_sort = 1,
                  .limit = 1};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s == NN_OK) *ret = nn_row_int(nn_rows_at(&rows, 0), "seq", 0);
    return s;
}

static nn_status look_fn(nn_txn *t, void *ctx, nn_err *err) {
    look *l = ctx;
    nn_where w[2] = {NN_WHERE_INT("seq", NN_CMP_GT, l->from_seq),
                     NN_WHERE_TEXT("operation_id", NN_CMP_EQ, l->operation_id)};
    nn_sort sort = {"seq", false};
    nn_query q = {.table = NN_TABLE_EVENTS,
                  .where = w,
                  .n_where = l->operation_id ? 2 : 1,
                  .sort = &sort,
                  .n_sort = 1,
                  .limit = l->limit};
    nn_status s = nn_txn_select(t, &q, l->arena, &l->rows, err);
    if (s == NN_OK) s = end_of(t, false, l->arena, &l->oldest, err);
    if (s == NN_OK) s = end_of(t, true, l->arena, &l->latest, err);
    return s;
}

nn_status nn_eventlog_since(nn_store *s, int64_t from_seq, const char *operation_id, int64_t limit,
                            nn_arena *a, nn_rows *ret, int64_t *ret_oldest, int64_t *ret_latest,
                            nn_err *err) {
    look l = {.from_seq = from_seq, .limit = limit, .operation_id = operation_id, .arena = a};
    nn_status status = nn_store_read(s, look_fn, &l, err);
    if (status != NN_OK) return status;
    *ret = l.rows;
    if (ret_oldest) *ret_oldest = l.oldest;
    if (ret_latest) *ret_latest = l.latest;
    return NN_OK;
}

nn_happened nn_eventlog_from_row(nn_row r, nn_json **ret_data) {
    *ret_data = nn_row_json(r, "data");
    return (nn_happened){.seq = nn_row_int(r, "seq", 0),
                         .ts = nn_row_int(r, "ts", 0),
                         .type = nn_row_text(r, "type"),
                         .operation_id = nn_row_text(r, "operation_id"),
                         .kind = nn_row_text(r, "kind"),
                         .state = nn_row_text(r, "state"),
                         .data = *ret_data};
}

typedef struct pruning {
    int64_t before, deleted;
} pruning;

static nn_status prune_fn(nn_txn *t, void *ctx, nn_err *err) {
    pruning *p = ctx;
    nn_where w = NN_WHERE_INT("ts", NN_CMP_LT, p->before);
    return nn_txn_delete(t, NN_TABLE_EVENTS, &w, 1, &p->deleted, err);
}

nn_status nn_eventlog_prune(nn_store *s, int64_t before, int64_t *ret_deleted, nn_err *err) {
    pruning p = {before, 0};
    nn_status status = nn_store_write(s, prune_fn, &p, err);
    if (status == NN_OK && ret_deleted) *ret_deleted = p.deleted;
    return status;
}
