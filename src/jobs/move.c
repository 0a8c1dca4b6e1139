/* SPDX-License-Identifier: MIT */
/* How a state changes: compare-and-swap on the row, the event, and the experiment that follows, in
 * one transaction. */
#include "base/metrics.h"
#include "jobs/jobs_impl.h"
#include "store/eventlog.h"

#include <string.h>

nn_status nn_operation_read(nn_txn *t, const char *id, nn_operation **ret, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "operation", 0);
    nn_row r;
    nn_status s = nn_txn_get(t, NN_TABLE_OPERATIONS, id, a, &r, err);
    if (s == NN_E_NOT_FOUND) return nn_fail(err, s, "Operation %.80s not found", id);
    if (s != NN_OK) return s;
    nn_operation *op = nn_operation_from_row(r);
    if (!op)
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "Operation %s is of a kind that this program does not know: %.40s", id,
                       nn_row_text(r, "kind"));
    *ret = op;
    return NN_OK;
}

static nn_status write_event(nn_txn *t, const nn_operation *op, nn_err *err) {
    bool end = nn_state_terminal(op->state);
    const char *type = end                                                ? "operation.finished"
                       : op->state == NN_STATE_RUNNING                    ? "operation.started"
                       : op->attempt == 0 && op->state == NN_STATE_QUEUED ? "operation.created"
                                                                          : "operation.progress";
    NN_JSON *data = nn_operation_json(op, false, NULL);
    nn_happened e = {.ts = op->updated_at,
                     .type = type,
                     .operation_id = op->id,
                     .kind = nn_kind_id_name(op->kind),
                     .state = nn_state_name(op->state),
                     .data = data};
    return nn_eventlog_append(t, &e, err);
}

static nn_status move_experiment(nn_txn *t, const nn_operation *op, nn_err *err) {
    static const nn_experiment_status status[NN_STATE_COUNT] = {
        [NN_STATE_QUEUED] = NN_EXPERIMENT_CREATED,
        [NN_STATE_STARTING] = NN_EXPERIMENT_CREATED,
        [NN_STATE_RUNNING] = NN_EXPERIMENT_RUNNING,
        [NN_STATE_UNKNOWN] = NN_EXPERIMENT_RUNNING,
        [NN_STATE_CANCELLING] = NN_EXPERIMENT_RUNNING,
        [NN_STATE_SUCCEEDED] = NN_EXPERIMENT_COMPLETED,
        [NN_STATE_FAILED] = NN_EXPERIMENT_FAILED,
        [NN_STATE_TIMED_OUT] = NN_EXPERIMENT_FAILED,
        [NN_STATE_CANCELLED] = NN_EXPERIMENT_CANCELLED,
    };
    return nn_experiment_set_status(t, op->id, status[op->state], op->updated_at, err);
}

static void count_end(void *series) {
    nn_series_add(series, 1);
}

static nn_status swap(nn_txn *t, const nn_operation *op, const nn_field *f, int n, nn_err *err) {
    nn_where w[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, op->id),
                    NN_WHERE_TEXT("state", NN_CMP_EQ, nn_state_name(op->state)),
                    NN_WHERE_INT("lease_epoch", NN_CMP_EQ, op->lease_epoch)};
    int64_t changed = 0;
    nn_status s = nn_txn_update(t, NN_TABLE_OPERATIONS, f, n, w, 3, &changed, err);
    if (s == NN_OK && !changed)
        s = nn_fail(err, NN_E_CONFLICT, "Operation %s was changed meanwhile", op->id);
    return s;
}

nn_status nn_operation_move(nn_txn *t, nn_jobs *j, nn_operation **op, nn_state to,
                            const nn_field *fields, int n, nn_err *err) {
    if (!nn_state_may((*op)->state, to))
        return nn_fail(err, NN_E_CONFLICT, "Operation %s is %s and cannot become %s", (*op)->id,
                       nn_state_name((*op)->state), nn_state_name(to));
    nn_field f[NN_MOVE_FIELDS + 6];
    int k = 0;
    int64_t now = nn_jobs_now(j);
    f[k++] = NN_FIELD_TEXT("state", nn_state_name(to));
    f[k++] = NN_FIELD_INT("updated_at", now);
    if (to == NN_STATE_RUNNING && !(*op)->started_at) f[k++] = NN_FIELD_INT("started_at", now);
    if (nn_state_terminal(to) || to == NN_STATE_QUEUED) {
        if (to != NN_STATE_QUEUED) f[k++] = NN_FIELD_INT("finished_at", now);
        f[k++] = NN_FIELD_NULL("lease_owner");
        f[k++] = NN_FIELD_NULL("lease_expires");
    }
    for (int i = 0; i < n; i++) f[k + i] = fields[i];
    nn_operation *next = NULL;
    nn_status s = swap(t, *op, f, k + n, err);
    if (s == NN_OK) s = nn_operation_read(t, (*op)->id, &next, err);
    const nn_kind *kind = s == NN_OK ? nn_kind_at(next->kind) : NULL;
    if (s == NN_OK && kind->has_experiment) s = move_experiment(t, next, err);
    if (s == NN_OK && kind->ended && nn_state_terminal(to)) s = kind->ended(t, next, err);
    if (s == NN_OK) s = write_event(t, next, err);
    if (s != NN_OK) {
        nn_operation_free(next);
        return s;
    }
    nn_operation_free(*op);
    *op = next;
    if (nn_state_terminal(to))
        nn_txn_after(t, count_end, NULL,
                     nn_metric_series(NN_METRIC_OPERATIONS_FINISHED, nn_kind_id_name(next->kind),
                                      nn_state_name(to)));
    return NN_OK;
}
