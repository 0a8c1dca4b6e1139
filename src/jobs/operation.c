/* SPDX-License-Identifier: MIT */
/* Operations from outside: create, look, cancel, forget. What runs them is lease.c. */
#include "base/bus.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "jobs/jobs_impl.h"
#include "store/eventlog.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_AGEING_S = 60,
    DEFAULT_LEASE_S = 15,
    DEFAULT_INTERRUPTIONS = 5,
    DEFAULT_QUEUED = 10000
};

/* Opening. */

static int64_t system_now(void *ctx) {
    (void)ctx;
    return nn_clock_wall();
}

static int64_t in_us(double s, int otherwise) {
    return (int64_t)((s > 0 ? s : otherwise) * 1e6);
}

nn_status nn_jobs_open(const nn_jobs_options *o, nn_jobs **ret, nn_err *err) {
    char *folder = NULL;
    if (asprintf(&folder, "%s/operations", o->storage) < 0) abort();
    nn_jobs *j = calloc(1, sizeof *j);
    if (!j) abort();
    pthread_mutex_init(&j->mutex, NULL);
    nn_status s = nn_mkdirs(folder, err);
    if (s == NN_OK && !(j->folder = realpath(folder, NULL)))
        s = nn_file_fail(err, errno, "find", folder);
    free(folder);
    if (s != NN_OK) {
        nn_jobs_close(j);
        return s;
    }
    j->track = o->track;
    j->store = nn_track_store(o->track);
    j->ageing_us = in_us(o->ageing_s, DEFAULT_AGEING_S);
    j->lease_us = in_us(o->lease_s, DEFAULT_LEASE_S);
    j->max_interruptions = o->max_interruptions > 0 ? o->max_interruptions : DEFAULT_INTERRUPTIONS;
    j->max_queued = o->max_queued > 0 ? o->max_queued : DEFAULT_QUEUED;
    j->now = o->now ? o->now : system_now;
    j->now_ctx = o->now_ctx;
    *ret = j;
    return NN_OK;
}

void nn_jobs_close(nn_jobs *j) {
    if (!j) return;
    pthread_mutex_destroy(&j->mutex);
    free(j->folder);
    free(j);
}

nn_track *nn_jobs_track(const nn_jobs *j) {
    return j->track;
}

int64_t nn_jobs_now(const nn_jobs *j) {
    return j->now(j->now_ctx);
}

void nn_jobs_on_wake(nn_jobs *j, void (*fn)(void *arg), void *arg) {
    pthread_mutex_lock(&j->mutex);
    j->wake = fn;
    j->wake_arg = arg;
    pthread_mutex_unlock(&j->mutex);
}

/* Under the mutex, so that after nn_jobs_on_wake(j, NULL, NULL) nobody is inside: fn only signals.
 */
void nn_jobs_wake(nn_jobs *j) {
    pthread_mutex_lock(&j->mutex);
    if (j->wake) j->wake(j->wake_arg);
    pthread_mutex_unlock(&j->mutex);
}

static void wake_now(void *arg) {
    nn_jobs_wake(arg);
}

void nn_jobs_wake_after(nn_txn *t, nn_jobs *j) {
    nn_txn_after(t, wake_now, NULL, j);
}

const char *nn_operation_folder(const nn_jobs *j, const char *id, nn_arena *a) {
    return nn_arena_printf(a, "%s/%s", j->folder, id);
}

/* Creating. */

typedef struct creation {
    nn_jobs *jobs;
    nn_operation *op;  /* replaced by what was stored */
    const char *owner; /* not NULL: claimed in the same transaction */
    nn_lease *lease;
} creation;

static nn_status insert(nn_txn *t, const nn_operation *op, nn_err *err) {
    nn_field f[] = {
        NN_FIELD_TEXT("id", op->id),
        NN_FIELD_TEXT("kind", nn_kind_id_name(op->kind)),
        NN_FIELD_TEXT("name", op->name),
        NN_FIELD_TEXT("state", nn_state_name(op->state)),
        NN_FIELD_INT("level", op->level),
        NN_FIELD_TEXT("principal", op->principal),
        NN_FIELD_TEXT("parent_id", op->parent_id),
        NN_FIELD_TEXT("model_id", op->model_id),
        NN_FIELD_TEXT("model_name", op->model_name),
        NN_FIELD_TEXT("backend", op->backend),
        NN_FIELD_TEXT("engine", op->engine),
        NN_FIELD_JSON("hardware", op->hardware),
        NN_FIELD_TEXT("connector", op->connector),
        NN_FIELD_JSON("request", op->request),
        NN_FIELD_JSON("warnings", op->warnings),
        NN_FIELD_JSON("labels", op->labels),
        NN_FIELD_REAL("timeout_s", op->timeout_s),
        NN_FIELD_INT("attempt", 0),
        NN_FIELD_INT("interruptions", 0),
        NN_FIELD_INT("created_at", op->created_at),
        NN_FIELD_INT("updated_at", op->created_at),
        NN_FIELD_INT("lease_epoch", 0),
    };
    return nn_txn_insert(t, NN_TABLE_OPERATIONS, f, NN_COUNT_OF(f), NULL, err);
}

static nn_status check_room(nn_txn *t, const nn_jobs *j, nn_err *err) {
    nn_where w = NN_WHERE_TEXT("state", NN_CMP_EQ, nn_state_name(NN_STATE_QUEUED));
    int64_t n = 0;
    nn_status s = nn_txn_count(t, NN_TABLE_OPERATIONS, &w, 1, &n, err);
    if (s == NN_OK && n >= j->max_queued) {
        s = nn_fail(err, NN_E_QUEUE_FULL, "%lld operations are waiting, no more are taken",
                    (long long)n);
        return nn_err_hint(err, s, "try again when some have ended");
    }
    return s;
}

/* Nobody renews the lease of a run in its caller's thread: it covers all of its time. */
static int64_t lease_of(const nn_jobs *j, const nn_operation *op) {
    return j->lease_us +
           (isnan(op->timeout_s) ? 3600 * (int64_t)1000000 : (int64_t)(op->timeout_s * 1e6));
}

static nn_status create_fn(nn_txn *t, void *ctx, nn_err *err) {
    creation *c = ctx;
    const nn_kind *k = nn_kind_at(c->op->kind);
    nn_operation *stored = NULL;
    nn_status s = check_room(t, c->jobs, err);
    if (s == NN_OK) s = insert(t, c->op, err);
    if (s == NN_OK && k->create) s = k->create(t, c->op, err);
    if (s == NN_OK) s = nn_operation_read(t, c->op->id, &stored, err);
    if (s != NN_OK) return s;
    NN_JSON *data = nn_operation_json(stored, false, NULL);
    nn_happened e = {.ts = stored->created_at,
                     .type = "operation.created",
                     .operation_id = stored->id,
                     .kind = k->name,
                     .state = nn_state_name(stored->state),
                     .data = data};
    s = nn_eventlog_append(t, &e, err);
    if (s == NN_OK && c->owner)
        s = nn_operation_take(t, c->jobs, &stored, c->owner, lease_of(c->jobs, stored), c->lease,
                              err);
    if (s == NN_OK && !c->owner) s = nn_queue_positions(t, c->jobs, &stored, 1, err);
    if (s != NN_OK) {
        nn_operation_free(stored);
        return s;
    }
    nn_operation_free(c->op);
    c->op = stored;
    if (!c->owner) nn_jobs_wake_after(t, c->jobs);
    return NN_OK;
}

static char *copy_of(const char *s) {
    char *copy = s ? strdup(s) : NULL;
    if (s && !copy) abort();
    return copy;
}

/* The smaller of what was asked for and the kind's own limit; NAN: none. */
static double timeout_of(const nn_kind *k, double asked) {
    double own = k->timeout_s > 0 ? k->timeout_s : NAN;
    return !(asked > 0) ? own : isnan(own) ? asked : fmin(asked, own);
}

static nn_json *copy_or(const nn_json *v, nn_json *otherwise) {
    if (!v) return otherwise;
    nn_json_unref(otherwise);
    return nn_json_copy(v);
}

static int level_of(const char *word, nn_json *problems) {
    int level = word ? nn_level_find(word) : NN_LEVEL_NORMAL;
    if (level < 0)
        nn_schema_violation(problems, "body", "queue_priority", "unknown_value",
                            "must be critical, high, normal or low");
    return level;
}

/* The request's own word, which its schema checks. */
static int level_asked(const nn_json *request) {
    const char *word = nn_json_str(nn_json_get(request, "queue_priority"), NULL);
    return word ? nn_level_find(word) : NN_LEVEL_NORMAL;
}

static nn_status refuse(nn_json *problems, nn_json **ret_problems, nn_err *err) {
    const nn_json *first = nn_json_at(problems, 0);
    const char *field = nn_json_str(nn_json_get(first, "field"), "");
    if (ret_problems) *ret_problems = nn_json_ref(problems);
    return nn_fail(err, NN_E_VALIDATION_ERROR, "%s%s%s", field, *field ? ": " : "",
                   nn_json_str(nn_json_get(first, "msg"), ""));
}

static nn_operation *draft(const nn_jobs *j, const nn_operation_spec *s, nn_json *warnings) {
    const nn_json *r = s->request;
    nn_operation *op = calloc(1, sizeof *op);
    if (!op) abort();
    const nn_json *labels = s->labels ? s->labels : nn_json_get(r, "labels");
    double asked = s->timeout_s > 0 ? s->timeout_s : nn_json_num(nn_json_get(r, "timeout_s"), NAN);
    nn_id_new(op->id);
    op->kind = s->kind;
    op->state = NN_STATE_QUEUED;
    op->name = copy_of(s->name ? s->name : nn_json_str(nn_json_get(r, "name"), NULL));
    op->principal = copy_of(s->principal);
    op->parent_id = copy_of(s->parent_id);
    op->connector = copy_of("local");
    op->request = nn_json_copy(r);
    op->labels = copy_or(labels, nn_json_new_object());
    op->hardware = nn_json_new_array();
    nn_json_push(op->hardware, nn_json_new_str("cpu"));
    op->warnings = nn_json_ref(warnings);
    op->timeout_s = timeout_of(nn_kind_at(s->kind), asked);
    op->created_at = op->updated_at = nn_jobs_now(j);
    op->queue_position = -1;
    return op;
}

/* An operation that may be stored. *ret_problems is set only for NN_E_VALIDATION_ERROR. */
static nn_status prepare(nn_jobs *j, const nn_operation_spec *spec, nn_operation **ret,
                         nn_json **ret_problems, nn_err *err) {
    const nn_kind *k = nn_kind_at(spec->kind);
    NN_JSON *problems = nn_json_new_array(), *warnings = nn_json_new_array();
    bool object = spec->request && nn_json_typeof(spec->request) == NN_JSON_OBJECT;
    nn_status s = nn_schema_check(k->request, spec->request, "body", problems, warnings, err);
    int level = spec->queue_priority ? level_of(spec->queue_priority, problems)
                                     : level_asked(spec->request);
    if (object && k->check) {
        nn_status more = k->check(j, spec->request, problems, warnings, s == NN_OK ? err : NULL);
        if (s == NN_OK) s = more;
    }
    if (nn_json_size(problems)) s = refuse(problems, ret_problems, err);
    if (s != NN_OK) return s;
    nn_operation *op = draft(j, spec, warnings);
    op->level = (nn_level)level;
    if (k->describe) s = k->describe(j, spec->request, op, warnings, err);
    if (s == NN_OK)
        *ret = op;
    else
        nn_operation_free(op);
    return s;
}

nn_status nn_operation_create(nn_jobs *j, const nn_operation_spec *spec, nn_operation **ret,
                              nn_json **ret_problems, nn_err *err) {
    creation c = {.jobs = j};
    if (!nn_kind_can_run(j, spec->kind))
        return nn_fail(err, NN_E_UNSUPPORTED, "nothing here can run operations of kind '%s'",
                       nn_kind_id_name(spec->kind));
    nn_status s = prepare(j, spec, &c.op, ret_problems, err);
    if (s == NN_OK) s = nn_store_write(j->store, create_fn, &c, err);
    if (s == NN_OK)
        *ret = c.op;
    else
        nn_operation_free(c.op);
    return s;
}

nn_status nn_operation_run_now(nn_jobs *j, const nn_operation_spec *spec, nn_operation **ret,
                               nn_json **ret_problems, nn_err *err) {
    nn_lease lease;
    creation c = {.jobs = j, .owner = "caller", .lease = &lease};
    nn_status s = prepare(j, spec, &c.op, ret_problems, err);
    if (s == NN_OK) s = nn_store_write(j->store, create_fn, &c, err);
    if (s == NN_OK) s = nn_operation_run_here(j, c.op, &lease, NULL, NULL, err);
    if (s == NN_OK) s = nn_operation_get(j, c.op->id, ret, err);
    nn_operation_free(c.op);
    return s;
}

/* Looking. */

typedef struct getting {
    nn_jobs *jobs;
    const char *id;
    nn_operation *op;
} getting;

static nn_status get_fn(nn_txn *t, void *ctx, nn_err *err) {
    getting *g = ctx;
    nn_status s = nn_operation_read(t, g->id, &g->op, err);
    return s == NN_OK ? nn_queue_positions(t, g->jobs, &g->op, 1, err) : s;
}

nn_status nn_operation_get(nn_jobs *j, const char *id, nn_operation **ret, nn_err *err) {
    getting g = {j, id, NULL};
    nn_status s = nn_store_read(j->store, get_fn, &g, err);
    if (s == NN_OK)
        *ret = g.op;
    else
        nn_operation_free(g.op);
    return s;
}

nn_where nn_where_kinds(unsigned kinds, nn_cell *cells) {
    int n = 0;
    for (int k = 0; k < NN_KIND_COUNT; k++)
        if (kinds >> k & 1) cells[n++] = nn_cell_text(nn_kind_id_name((nn_kind_id)k));
    return NN_WHERE_IN("kind", cells, n);
}

typedef struct listing {
    nn_jobs *jobs;
    const nn_operation_filter *f;
    nn_operation_page page;
} listing;

enum { MAX_CONDITIONS = 12 };
typedef struct conditions {
    nn_where w[MAX_CONDITIONS];
    nn_cell states[NN_STATE_COUNT], kinds[NN_KIND_COUNT];
    int n;
} conditions;

static void conditions_of(const nn_operation_filter *f, conditions *c) {
    int n = 0;
    c->n = 0;
    c->w[c->n++] = nn_where_kinds(NN_ALL_KINDS, c->kinds);
    if (f->kind) c->w[c->n++] = NN_WHERE_TEXT("kind", NN_CMP_EQ, f->kind);
    for (int s = 0; s < NN_STATE_COUNT; s++)
        if (f->states >> s & 1) c->states[n++] = nn_cell_text(nn_state_name((nn_state)s));
    if (f->states) c->w[c->n++] = NN_WHERE_IN("state", c->states, n);
    bool is_id = f->model && nn_id_valid(f->model, strlen(f->model));
    if (f->model)
        c->w[c->n++] = NN_WHERE_TEXT(is_id ? "model_id" : "model_name", NN_CMP_EQ, f->model);
    if (f->parent_id) c->w[c->n++] = NN_WHERE_TEXT("parent_id", NN_CMP_EQ, f->parent_id);
    if (f->principal) c->w[c->n++] = NN_WHERE_TEXT("principal", NN_CMP_EQ, f->principal);
    if (f->text) c->w[c->n++] = NN_WHERE_TEXT("name", NN_CMP_CONTAINS, f->text);
    if (f->label_key) c->w[c->n++] = NN_WHERE_MEMBER("labels", f->label_key, f->label_value);
    if (f->since) c->w[c->n++] = NN_WHERE_INT("created_at", NN_CMP_GE, f->since);
    if (f->until) c->w[c->n++] = NN_WHERE_INT("created_at", NN_CMP_LT, f->until);
}

static nn_status list_fn(nn_txn *t, void *ctx, nn_err *err) {
    listing *l = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "operations", 0);
    conditions c;
    conditions_of(l->f, &c);
    nn_sort sort[] = {
        {"created_at", !l->f->ascending},
        {"id",         false           }
    };
    nn_query q = {.table = NN_TABLE_OPERATIONS,
                  .where = c.w,
                  .n_where = c.n,
                  .sort = sort,
                  .n_sort = 2,
                  .limit = l->f->limit,
                  .offset = l->f->offset,
                  .after = l->f->cursor,
                  .want_total = true};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, a, &rows, err);
    if (s != NN_OK) return s;
    l->page.items = calloc((size_t)rows.n + 1, sizeof *l->page.items);
    if (!l->page.items) abort();
    for (int64_t i = 0; i < rows.n; i++) {
        nn_operation *op = nn_operation_from_row(nn_rows_at(&rows, i));
        if (op) l->page.items[l->page.n++] = op;
    }
    l->page.total = rows.total;
    l->page.next_cursor = copy_of(nn_rows_cursor(&rows, sort, 2, a));
    return nn_queue_positions(t, l->jobs, l->page.items, l->page.n, err);
}

nn_status nn_operation_list(nn_jobs *j, const nn_operation_filter *f, nn_operation_page *ret,
                            nn_err *err) {
    listing l = {j, f, {0}};
    nn_status s = nn_store_read(j->store, list_fn, &l, err);
    if (s == NN_OK)
        *ret = l.page;
    else
        nn_operation_page_done(&l.page);
    return s;
}

void nn_operation_page_done(nn_operation_page *p) {
    for (int i = 0; i < p->n; i++) nn_operation_free(p->items[i]);
    free(p->items);
    free(p->next_cursor);
    *p = (nn_operation_page){0};
}

static nn_status counts_fn(nn_txn *t, void *ctx, nn_err *err) {
    int64_t *n = ctx;
    nn_status status = NN_OK;
    for (int s = 0; s < NN_STATE_COUNT && status == NN_OK; s++) {
        nn_where w = NN_WHERE_TEXT("state", NN_CMP_EQ, nn_state_name((nn_state)s));
        status = nn_txn_count(t, NN_TABLE_OPERATIONS, &w, 1, &n[s], err);
    }
    return status;
}

nn_status nn_operation_counts(nn_jobs *j, int64_t ret[NN_STATE_COUNT], nn_err *err) {
    int64_t n[NN_STATE_COUNT];
    nn_status s = nn_store_read(j->store, counts_fn, n, err);
    if (s == NN_OK) memcpy(ret, n, sizeof n);
    return s;
}

/* Waiting. */

nn_status nn_operation_wait(nn_jobs *j, const char *id, double timeout_s, nn_operation **ret,
                            nn_err *err) {
    int64_t end = nn_clock_mono() + (int64_t)(timeout_s * 1e9);
    nn_bus *bus = nn_store_bus(j->store);
    if (!bus) return nn_fail(err, NN_E_INTERNAL, "waiting for an operation needs a bus");
    nn_bus_filter want = {.type = "operation.finished", .operation = id};
    nn_sub *sub = nn_bus_subscribe(bus, &want, 4, NULL,
                                   NULL); /* before looking: an end in between is not missed */
    nn_operation *op = NULL;
    nn_status s = nn_operation_get(j, id, &op, err);
    while (s == NN_OK && !nn_state_terminal(op->state)) {
        int64_t left = (end - nn_clock_mono()) / 1000000;
        const nn_event *e;
        if (left <= 0 || !nn_sub_wait(sub, (int)(left < 1000000 ? left : 1000000))) break;
        for (nn_sub_got got; (got = nn_sub_next(sub, &e, NULL)) != NN_SUB_NONE;)
            if (got == NN_SUB_EVENT) nn_event_unref(e);
        nn_operation_free(op);
        op = NULL;
        s = nn_operation_get(j, id, &op, err);
    }
    nn_sub_close(sub);
    if (s == NN_OK) *ret = op;
    return s;
}

/* Ending from outside. */

typedef struct cancelling {
    nn_jobs *jobs;
    const char *id, *by;
    nn_operation *op;
} cancelling;

static nn_status cancel_fn(nn_txn *t, void *ctx, nn_err *err) {
    cancelling *c = ctx;
    nn_status s = nn_operation_read(t, c->id, &c->op, err);
    if (s != NN_OK || c->op->state == NN_STATE_CANCELLING) return s;
    if (nn_state_terminal(c->op->state))
        return nn_fail(err, NN_E_NOT_CANCELLABLE, "Operation %s has already ended: it is %s", c->id,
                       nn_state_name(c->op->state));
    bool waits = c->op->state == NN_STATE_QUEUED;
    nn_field by = NN_FIELD_TEXT("cancelled_by", c->by);
    s = nn_operation_move(t, c->jobs, &c->op, NN_STATE_CANCELLING, &by, 1, err);
    if (s == NN_OK && waits) s = nn_operation_end_cancelled(t, c->jobs, &c->op, err);
    if (s == NN_OK) nn_jobs_wake_after(t, c->jobs);
    return s;
}

nn_status nn_operation_cancel(nn_jobs *j, const char *id, const char *by, nn_operation **ret,
                              nn_err *err) {
    cancelling c = {j, id, by, NULL};
    nn_status s = nn_store_write(j->store, cancel_fn, &c, err);
    if (s == NN_OK && ret)
        *ret = c.op;
    else
        nn_operation_free(c.op);
    return s;
}

static nn_status delete_fn(nn_txn *t, void *ctx, nn_err *err) {
    const char *id = ctx;
    nn_operation *op = NULL;
    nn_where w = NN_WHERE_TEXT("id", NN_CMP_EQ, id),
             of = NN_WHERE_TEXT("operation_id", NN_CMP_EQ, id);
    nn_status s = nn_operation_read(t, id, &op, err);
    if (s == NN_OK && !nn_state_terminal(op->state)) {
        s = nn_fail(err, NN_E_CONFLICT, "Operation %s has not ended: it is %s", id,
                    nn_state_name(op->state));
        nn_err_hint(err, s, "cancel it first");
    }
    if (s == NN_OK) s = nn_txn_delete(t, NN_TABLE_EVENTS, &of, 1, NULL, err);
    if (s == NN_OK) s = nn_txn_delete(t, NN_TABLE_OPERATIONS, &w, 1, NULL, err);
    nn_operation_free(op);
    return s;
}

nn_status nn_operation_delete(nn_jobs *j, const char *id, nn_err *err) {
    nn_status s = nn_store_write(j->store, delete_fn, (void *)(uintptr_t)id, err);
    if (s != NN_OK) return s;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "folder", 0);
    return nn_remove_tree(nn_operation_folder(j, id, a), err);
}
