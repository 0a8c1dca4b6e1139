/* SPDX-License-Identifier: MIT */
/* The queue and the leases. Whoever runs an operation holds (owner, epoch); a claim raises the
 * epoch, so that every write of an earlier owner finds another epoch and fails. The head of each
 * level is its oldest, and within a level the oldest has waited longest, so the next operation is
 * always one of the four heads. */
#include "jobs/jobs_impl.h"
#include "store/eventlog.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The queue. */

int64_t nn_queue_level(const nn_jobs *j, int64_t level, int64_t created_at, int64_t now) {
    int64_t raised = now > created_at ? (now - created_at) / j->ageing_us : 0;
    return raised < level ? level - raised : 0;
}

typedef struct place {
    char id[37];
    int64_t level, created_at;
} place;

static int by_turn(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->level != y->level) return x->level < y->level ? -1 : 1;
    if (x->created_at != y->created_at) return x->created_at < y->created_at ? -1 : 1;
    return strcmp(x->id, y->id);
}

static place place_of(nn_jobs *j, nn_row r, int64_t now) {
    place p = {.created_at = nn_row_int(r, "created_at", 0)};
    p.level = nn_queue_level(j, nn_row_int(r, "level", 0), p.created_at, now);
    snprintf(p.id, sizeof p.id, "%s", nn_row_text(r, "id"));
    return p;
}

/* How many wait at a level with created_at (and, where it is equal, id) before the given ones. */
static nn_status count_before(nn_txn *t, int level, int64_t created_at, const char *id,
                              int64_t *sum, nn_err *err) {
    nn_where w[] = {NN_WHERE_TEXT("state", NN_CMP_EQ, nn_state_name(NN_STATE_QUEUED)),
                    NN_WHERE_INT("level", NN_CMP_EQ, level),
                    NN_WHERE_INT("created_at", NN_CMP_LT, created_at),
                    NN_WHERE_TEXT("id", NN_CMP_LT, id)};
    int64_t n = 0;
    nn_status s = nn_txn_count(t, NN_TABLE_OPERATIONS, w, 3, &n, err);
    *sum += n;
    if (s != NN_OK || !id) return s;
    w[2].cmp = NN_CMP_EQ;
    s = nn_txn_count(t, NN_TABLE_OPERATIONS, w, 4, &n, err);
    *sum += n;
    return s;
}

/* The latest created_at by which an operation of `level` has risen to `to`. */
static int64_t risen(const nn_jobs *j, int level, int64_t to, int64_t now) {
    return level <= to ? INT64_MAX : now - (level - to) * j->ageing_us;
}

/* Before an operation are those that have risen above its level, and of those at its level the
 * older ones: at each level a range of the index of the queue. */
static nn_status position_of(nn_txn *t, nn_jobs *j, nn_operation *op, int64_t now, nn_err *err) {
    int64_t mine = nn_queue_level(j, op->level, op->created_at, now), sum = 0;
    nn_status s = NN_OK;
    for (int level = 0; level < NN_LEVEL_COUNT && s == NN_OK; level++) {
        int64_t above = mine ? risen(j, level, mine - 1, now) : INT64_MIN,
                equal = risen(j, level, mine, now);
        if (above >= op->created_at)
            s = count_before(t, level, above < INT64_MAX ? above + 1 : above, NULL, &sum, err);
        else if (equal < op->created_at)
            s = count_before(t, level, equal + 1, NULL, &sum, err);
        else
            s = count_before(t, level, op->created_at, op->id, &sum, err);
    }
    if (s == NN_OK) op->queue_position = sum;
    return s;
}

nn_status nn_queue_positions(nn_txn *t, nn_jobs *j, nn_operation **ops, int n, nn_err *err) {
    int64_t now = nn_jobs_now(j);
    nn_status s = NN_OK;
    for (int i = 0; i < n && s == NN_OK; i++)
        if (ops[i]->state == NN_STATE_QUEUED) s = position_of(t, j, ops[i], now, err);
    return s;
}

static nn_status head_of(nn_txn *t, nn_level level, nn_where kinds, nn_arena *a, nn_row *ret,
                         nn_err *err) {
    static const char *const only[] = {"id", "level", "created_at"};
    static const nn_sort oldest[] = {
        {"created_at", false},
        {"id",         false}
    };
    nn_where w[] = {NN_WHERE_TEXT("state", NN_CMP_EQ, nn_state_name(NN_STATE_QUEUED)),
                    NN_WHERE_INT("level", NN_CMP_EQ, level), kinds};
    nn_query q = {.table = NN_TABLE_OPERATIONS,
                  .columns = only,
                  .n_columns = 3,
                  .where = w,
                  .n_where = 3,
                  .sort = oldest,
                  .n_sort = 2,
                  .limit = 1};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s == NN_OK) *ret = nn_rows_at(&rows, 0);
    return s;
}

nn_status nn_operation_take(nn_txn *t, nn_jobs *j, nn_operation **op, const char *owner,
                            int64_t lease_us, nn_lease *ret, nn_err *err) {
    nn_lease l = {.epoch = (*op)->lease_epoch + 1};
    memcpy(l.id, (*op)->id, sizeof l.id);
    snprintf(l.owner, sizeof l.owner, "%s", owner);
    nn_field f[] = {
        NN_FIELD_INT("attempt", (*op)->attempt + 1),
        NN_FIELD_TEXT("lease_owner", l.owner),
        NN_FIELD_INT("lease_epoch", l.epoch),
        NN_FIELD_INT("lease_expires", nn_jobs_now(j) + lease_us),
    };
    nn_status s = nn_operation_move(t, j, op, NN_STATE_STARTING, f, NN_COUNT_OF(f), err);
    if (s == NN_OK) *ret = l;
    return s;
}

typedef struct claiming {
    nn_jobs *jobs;
    const char *owner;
    unsigned kinds;
    nn_operation *op;
    nn_lease lease;
} claiming;

static nn_status claim_fn(nn_txn *t, void *ctx, nn_err *err) {
    claiming *c = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "claim", 0);
    nn_cell cells[NN_KIND_COUNT];
    nn_where kinds = nn_where_kinds(c->kinds, cells);
    int64_t now = nn_jobs_now(c->jobs);
    place best = {0};
    nn_status s = NN_OK;
    for (int level = 0; level < NN_LEVEL_COUNT && s == NN_OK; level++) {
        nn_row r = {0};
        s = head_of(t, (nn_level)level, kinds, a, &r, err);
        if (s != NN_OK || !r.cells) continue;
        place p = place_of(c->jobs, r, now);
        if (!best.id[0] || by_turn(&p, &best) < 0) best = p;
    }
    if (s != NN_OK || !best.id[0]) return s;
    s = nn_operation_read(t, best.id, &c->op, err);
    return s == NN_OK
               ? nn_operation_take(t, c->jobs, &c->op, c->owner, c->jobs->lease_us, &c->lease, err)
               : s;
}

nn_status nn_operation_claim(nn_jobs *j, const char *owner, unsigned kinds, nn_operation **ret_op,
                             nn_lease *ret_lease, nn_err *err) {
    claiming c = {.jobs = j, .owner = owner, .kinds = kinds};
    nn_status s = nn_store_write(j->store, claim_fn, &c, err);
    if (s != NN_OK) {
        nn_operation_free(c.op);
        return s;
    }
    *ret_op = c.op;
    *ret_lease = c.lease;
    return NN_OK;
}

/* Under a lease. */

typedef struct held {
    nn_jobs *jobs;
    const nn_lease *lease;
    const nn_report_batch *batch;
    const nn_outcome *outcome;
    bool blame;
    nn_state state;
} held;

/* The operation, if the lease is still the one that holds it. */
static nn_status read_held(nn_txn *t, const held *h, nn_operation **ret, nn_err *err) {
    nn_operation *op = NULL;
    nn_status s = nn_operation_read(t, h->lease->id, &op, err);
    if (s != NN_OK) return s;
    if (!op->lease_owner || strcmp(op->lease_owner, h->lease->owner) ||
        op->lease_epoch != h->lease->epoch) {
        nn_operation_free(op);
        return nn_fail(err, NN_E_CONFLICT, "the lease on operation %s is lost", h->lease->id);
    }
    *ret = op;
    return NN_OK;
}

static nn_status set_fields(nn_txn *t, const nn_operation *op, const nn_field *f, int n,
                            nn_err *err) {
    nn_where w[] = {NN_WHERE_TEXT("id", NN_CMP_EQ, op->id),
                    NN_WHERE_INT("lease_epoch", NN_CMP_EQ, op->lease_epoch)};
    return nn_txn_update(t, NN_TABLE_OPERATIONS, f, n, w, 2, NULL, err);
}

static nn_status renew_fn(nn_txn *t, void *ctx, nn_err *err) {
    held *h = ctx;
    nn_operation *op = NULL;
    nn_status s = read_held(t, h, &op, err);
    if (s != NN_OK) return s;
    nn_field f = NN_FIELD_INT("lease_expires", nn_jobs_now(h->jobs) + h->jobs->lease_us);
    s = set_fields(t, op, &f, 1, err);
    h->state = op->state;
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_renew(nn_jobs *j, const nn_lease *l, nn_state *ret_state, nn_err *err) {
    held h = {.jobs = j, .lease = l};
    nn_status s = nn_store_write(j->store, renew_fn, &h, err);
    if (s == NN_OK && ret_state) *ret_state = h.state;
    return s;
}

static nn_status started_fn(nn_txn *t, void *ctx, nn_err *err) {
    held *h = ctx;
    nn_operation *op = NULL;
    nn_status s = read_held(t, h, &op, err);
    if (s == NN_OK && op->state == NN_STATE_STARTING)
        s = nn_operation_move(t, h->jobs, &op, NN_STATE_RUNNING, NULL, 0, err);
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_started(nn_jobs *j, const nn_lease *l, nn_err *err) {
    return nn_store_write(j->store, started_fn, &(held){.jobs = j, .lease = l}, err);
}

/* Reports. */

/* New progress whose fraction does not fall behind the old one's, and reaches 1 only at a success.
 */
static nn_json *advance(const nn_json *old, const nn_json *new) {
    nn_json *p = nn_json_copy(new);
    double before = nn_json_num(nn_json_get(old, "fraction"), 0),
           now = nn_json_num(nn_json_get(new, "fraction"), 0);
    double fraction = fmin(fmax(isfinite(now) ? now : 0, before), 0.999999);
    nn_json_set(p, "fraction", nn_json_new_num(fraction));
    return p;
}

static nn_json *joined(const nn_json *old, const nn_json *more) {
    nn_json *list = old ? nn_json_copy(old) : nn_json_new_array();
    for (size_t i = 0; i < nn_json_size(more); i++)
        nn_json_push(list, nn_json_copy(nn_json_at(more, i)));
    return list;
}

static nn_status metric_event(nn_txn *t, const nn_operation *op, const nn_point *p, nn_err *err) {
    NN_JSON *data = nn_json_new_object();
    nn_json_set(data, "name", nn_json_new_str(p->name));
    nn_json_set(data, "value", nn_json_new_num(p->value));
    nn_json_set(data, "step", nn_json_new_int(p->step));
    nn_json_set(data, "unit", nn_json_new_null());
    nn_happened e = {.ts = p->ts_ms * 1000,
                     .type = "operation.metric",
                     .operation_id = op->id,
                     .kind = nn_kind_id_name(op->kind),
                     .state = nn_state_name(op->state),
                     .data = data};
    return nn_eventlog_append(t, &e, err);
}

static nn_status write_points(nn_txn *t, nn_jobs *j, const nn_operation *op, const nn_point *p,
                              int n, nn_err *err) {
    if (!n || !nn_kind_at(op->kind)->has_experiment) return NN_OK;
    nn_status s = nn_experiment_log(t, op->id, p, n, nn_jobs_now(j), err);
    for (int i = 0; i < n && s == NN_OK; i++) s = metric_event(t, op, &p[i], err);
    return s;
}

static nn_status report_fn(nn_txn *t, void *ctx, nn_err *err) {
    held *h = ctx;
    nn_operation *op = NULL;
    nn_status s = read_held(t, h, &op, err);
    if (s != NN_OK) return s;
    NN_JSON *progress = h->batch->progress ? advance(op->progress, h->batch->progress) : NULL;
    NN_JSON *warnings = h->batch->warnings ? joined(op->warnings, h->batch->warnings) : NULL;
    nn_field f[3];
    int n = 0;
    f[n++] = NN_FIELD_INT("updated_at", nn_jobs_now(h->jobs));
    if (progress) f[n++] = NN_FIELD_JSON("progress", progress);
    if (warnings) f[n++] = NN_FIELD_JSON("warnings", warnings);
    s = set_fields(t, op, f, n, err);
    if (s == NN_OK) s = write_points(t, h->jobs, op, h->batch->points, h->batch->n_points, err);
    if (s == NN_OK && progress) {
        NN_JSON *data = nn_json_new_object();
        nn_json_set(data, "progress", nn_json_ref(progress));
        nn_happened e = {.ts = nn_jobs_now(h->jobs),
                         .type = "operation.progress",
                         .operation_id = op->id,
                         .kind = nn_kind_id_name(op->kind),
                         .state = nn_state_name(op->state),
                         .data = data};
        nn_eventlog_announce(t, &e);
    }
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_report(nn_jobs *j, const nn_lease *l, const nn_report_batch *b,
                              nn_err *err) {
    return nn_store_write(j->store, report_fn, &(held){.jobs = j, .lease = l, .batch = b}, err);
}

/* The end. */

nn_status nn_operation_end_cancelled(nn_txn *t, nn_jobs *j, nn_operation **op, nn_err *err) {
    char text[160];
    snprintf(text, sizeof text, "Cancelled by %s",
             (*op)->cancelled_by ? (*op)->cancelled_by : "the server");
    nn_field f[] = {NN_FIELD_TEXT("error", text),
                    NN_FIELD_TEXT("error_code", nn_status_code(NN_E_CANCELLED))};
    return nn_operation_move(t, j, op, NN_STATE_CANCELLED, f, NN_COUNT_OF(f), err);
}

static nn_status record_artifacts(nn_txn *t, nn_jobs *j, const nn_operation *op,
                                  const nn_json *list, nn_err *err) {
    const char *experiment = nn_kind_at(op->kind)->has_experiment ? op->id : NULL;
    nn_status s = NN_OK;
    for (size_t i = 0; i < nn_json_size(list) && s == NN_OK; i++) {
        nn_json *v = nn_json_at(list, i);
        nn_artifact a = {.size = nn_json_int(nn_json_get(v, "size"), 0)};
        snprintf(a.sha256, sizeof a.sha256, "%s", nn_json_str(nn_json_get(v, "sha256"), ""));
        s = nn_artifact_record(t, op->id, experiment, nn_json_str(nn_json_get(v, "name"), ""),
                               nn_json_str(nn_json_get(v, "kind"), "other"), NULL, nn_jobs_now(j),
                               &a, err);
    }
    return s;
}

static nn_json *completed(const nn_json *progress) {
    nn_json *p = progress ? nn_json_copy(progress) : nn_json_new_object();
    const nn_json *total = nn_json_get(p, "total");
    nn_json_set(p, "fraction", nn_json_new_num(1));
    nn_json_set(p, "eta_s", nn_json_new_num(0));
    if (total) nn_json_set(p, "done", nn_json_copy(total));
    return p;
}

static nn_status succeed(nn_txn *t, const held *h, nn_operation **op, nn_err *err) {
    const nn_outcome *o = h->outcome;
    const nn_kind *k = nn_kind_at((*op)->kind);
    nn_status s = NN_OK;
    if ((*op)->state == NN_STATE_STARTING)
        s = nn_operation_move(t, h->jobs, op, NN_STATE_RUNNING, NULL, 0, err);
    if (s == NN_OK) s = record_artifacts(t, h->jobs, *op, o->artifacts, err);
    nn_finish f = {h->jobs, *op, o->result, o->artifacts, nn_jobs_now(h->jobs)};
    if (s == NN_OK && k->finish) s = k->finish(t, &f, err);
    if (s != NN_OK) return s;
    NN_JSON *progress = completed(o->progress ? o->progress : (*op)->progress);
    const char *model = nn_json_str(nn_json_get(o->result, "model_id"), (*op)->model_id);
    nn_field v[] = {NN_FIELD_JSON("result", o->result), NN_FIELD_JSON("progress", progress),
                    NN_FIELD_TEXT("verdict", o->verdict), NN_FIELD_TEXT("model_id", model)};
    return nn_operation_move(t, h->jobs, op, NN_STATE_SUCCEEDED, v, NN_COUNT_OF(v), err);
}

static nn_status fail(nn_txn *t, const held *h, nn_operation **op, nn_err *err) {
    const nn_outcome *o = h->outcome;
    nn_state to = o->state == NN_STATE_TIMED_OUT ? NN_STATE_TIMED_OUT : NN_STATE_FAILED;
    nn_status code = o->code != NN_OK ? o->code : NN_E_INTERNAL;
    NN_JSON *progress = o->progress       ? advance((*op)->progress, o->progress)
                        : (*op)->progress ? nn_json_copy((*op)->progress)
                                          : NULL;
    nn_field v[] = {
        NN_FIELD_TEXT("error", o->error ? o->error : nn_status_text(code)),
        NN_FIELD_TEXT("error_code", nn_status_code(code)),
        NN_FIELD_JSON("error_details", o->details),
        NN_FIELD_JSON("progress", progress),
    };
    nn_status s = record_artifacts(t, h->jobs, *op, o->artifacts, err);
    return s == NN_OK ? nn_operation_move(t, h->jobs, op, to, v, NN_COUNT_OF(v), err) : s;
}

static nn_status finish_fn(nn_txn *t, void *ctx, nn_err *err) {
    held *h = ctx;
    const nn_outcome *o = h->outcome;
    nn_operation *op = NULL;
    nn_status s = read_held(t, h, &op, err);
    if (s == NN_OK) s = write_points(t, h->jobs, op, o->points, o->n_points, err);
    if (s == NN_OK && nn_json_size(o->warnings)) {
        NN_JSON *warnings = joined(op->warnings, o->warnings);
        nn_field f = NN_FIELD_JSON("warnings", warnings);
        s = set_fields(t, op, &f, 1, err);
    }
    if (s == NN_OK && op->state == NN_STATE_CANCELLING)
        s = nn_operation_end_cancelled(t, h->jobs, &op, err);
    else if (s == NN_OK && o->state == NN_STATE_SUCCEEDED)
        s = succeed(t, h, &op, err);
    else if (s == NN_OK)
        s = fail(t, h, &op, err);
    if (s == NN_OK) h->state = op->state;
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_finish(nn_jobs *j, const nn_lease *l, const nn_outcome *o,
                              nn_state *ret_state, nn_err *err) {
    held h = {.jobs = j, .lease = l, .outcome = o};
    nn_status s = nn_store_write(j->store, finish_fn, &h, err);
    if (s == NN_OK && ret_state) *ret_state = h.state;
    return s;
}

/* Giving back. */

static nn_status give_back(nn_txn *t, nn_jobs *j, nn_operation **op, bool blame, nn_err *err) {
    int interruptions = (*op)->interruptions + blame;
    nn_field f[] = {
        NN_FIELD_INT("interruptions", interruptions),
        NN_FIELD_TEXT("error", "The process that ran it went away too often"),
        NN_FIELD_TEXT("error_code", nn_status_code(NN_E_INTERRUPTED)),
    };
    if ((*op)->state == NN_STATE_CANCELLING) return nn_operation_end_cancelled(t, j, op, err);
    if (interruptions >= j->max_interruptions)
        return nn_operation_move(t, j, op, NN_STATE_FAILED, f, 3, err);
    nn_status s = nn_operation_move(t, j, op, NN_STATE_QUEUED, f, 1, err);
    if (s == NN_OK) nn_jobs_wake_after(t, j);
    return s;
}

static nn_status release_fn(nn_txn *t, void *ctx, nn_err *err) {
    held *h = ctx;
    nn_operation *op = NULL;
    nn_status s = read_held(t, h, &op, err);
    if (s == NN_OK) s = give_back(t, h->jobs, &op, h->blame, err);
    if (s == NN_OK) h->state = op->state;
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_release(nn_jobs *j, const nn_lease *l, bool blame, nn_state *ret_state,
                               nn_err *err) {
    held h = {.jobs = j, .lease = l, .blame = blame};
    nn_status s = nn_store_write(j->store, release_fn, &h, err);
    if (s == NN_OK && ret_state) *ret_state = h.state;
    return s;
}

typedef struct recovery {
    nn_jobs *jobs;
    bool owner_gone;
    int count;
} recovery;

static nn_status recover_fn(nn_txn *t, void *ctx, nn_err *err) {
    recovery *r = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "recovery", 0);
    static const char *const only[] = {"id"};
    static const nn_sort oldest[] = {
        {"created_at", false},
        {"id",         false}
    };
    nn_cell cells[NN_KIND_COUNT];
    nn_where w[] = {NN_WHERE_SET("lease_owner"), nn_where_kinds(NN_ALL_KINDS, cells),
                    NN_WHERE_INT("lease_expires", NN_CMP_LT, nn_jobs_now(r->jobs))};
    nn_query q = {.table = NN_TABLE_OPERATIONS,
                  .columns = only,
                  .n_columns = 1,
                  .where = w,
                  .n_where = r->owner_gone ? 2 : 3,
                  .sort = oldest,
                  .n_sort = 2,
                  .limit = 1 << 20};
    nn_rows rows;
    r->count = 0;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    for (int64_t i = 0; i < rows.n && s == NN_OK; i++) {
        nn_operation *op = NULL;
        s = nn_operation_read(t, nn_row_text(nn_rows_at(&rows, i), "id"), &op, err);
        if (s == NN_OK) s = give_back(t, r->jobs, &op, true, err);
        nn_operation_free(op);
        r->count++;
    }
    return s;
}

nn_status nn_operation_recover(nn_jobs *j, bool owner_gone, int *ret_count, nn_err *err) {
    recovery r = {j, owner_gone, 0};
    nn_status s = nn_store_write(j->store, recover_fn, &r, err);
    if (s == NN_OK && ret_count) *ret_count = r.count;
    return s;
}
