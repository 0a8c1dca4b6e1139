/* SPDX-License-Identifier: MIT */
/* How SQLite goes about the statements that are asked all the time: by an index that gives their
 * order too. The queries are those of jobs, track and serve. */
#include "fixture.h"
#include "store/store_impl.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* The steps of the plan, a line each. */
static void plan_of(sqlite3 *db, const nn_sql *q, nn_buf *out) {
    NN_BUF text = {0};
    sqlite3_stmt *stmt;
    nn_buf_puts(&text, "EXPLAIN QUERY PLAN ");
    nn_buf_append(&text, q->text.p, q->text.n);
    assert_int_equal(sqlite3_prepare_v2(db, nn_buf_str(&text), -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        nn_buf_printf(out, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
    sqlite3_finalize(stmt);
}

typedef struct plan_case {
    nn_query query;
    const char *index; /* what serves it, alone */
    bool total;        /* its count reads the index alone */
} plan_case;

static void check_plan(sqlite3 *db, const plan_case *c) {
    NN_BUF plan = {0};
    nn_sql *q = calloc(1, sizeof *q);
    nn_err err;
    assert_non_null(q);
    if (c->total)
        nn_sql_count(q, c->query.table, c->query.where, c->query.n_where, "");
    else
        nn_sql_select(q, &c->query, NULL, c->query.limit, "");
    CHECK_OK(nn_sql_check(q, &err), &err);
    plan_of(db, q, &plan);
    if (!strstr(nn_buf_str(&plan), c->index) || strstr(nn_buf_str(&plan), "TEMP B-TREE") ||
        (c->total && !strstr(nn_buf_str(&plan), "COVERING")))
        fail_msg("%s\n%s", nn_buf_str(&q->text), nn_buf_str(&plan));
    nn_buf_done(&q->text);
    free(q);
}

#define ROWS(t, w, s)                                                                              \
    .query = {.table = NN_TABLE_##t,                                                               \
              .where = (w),                                                                        \
              .n_where = NN_COUNT_OF(w),                                                           \
              .sort = (s),                                                                         \
              .n_sort = NN_COUNT_OF(s),                                                            \
              .limit = 10}

TEST(claims_lists_and_totals_go_by_an_index) {
    nn_cell kinds[] = {nn_cell_text("compile"), nn_cell_text("train"), nn_cell_text("deploy")},
            live[] = {nn_cell_text("deploying"), nn_cell_text("deployed")};
    nn_where kind = NN_WHERE_IN("kind", kinds, 3),
             queued = NN_WHERE_TEXT("state", NN_CMP_EQ, "queued"),
             level = NN_WHERE_INT("level", NN_CMP_EQ, 1),
             active = NN_WHERE_TEXT("lifecycle", NN_CMP_EQ, "active"),
             status = NN_WHERE_TEXT("status", NN_CMP_EQ, "running");
    nn_where head[] = {queued, level, kind},
             before[] = {queued, level, NN_WHERE_INT("created_at", NN_CMP_LT, 1)}, all[] = {kind},
             waiting[] = {kind, queued}, experiments[] = {active}, running[] = {active, status},
             backend[] = {NN_WHERE_TEXT("backend", NN_CMP_EQ, "pytorch")},
             name[] = {NN_WHERE_TEXT("name", NN_CMP_EQ, "n"), NN_WHERE_IN("status", live, 2)};
    nn_sort oldest[] =
        {
            {"created_at", false},
            {"id",         false}
    },
            newest[] = {{"created_at", true}, {"id", false}},
            last[] = {{"created_at", true}, {"id", true}};
    plan_case cases[] = {
        {ROWS(OPERATIONS,        head,       oldest),                             "operations_queue"},
        {ROWS(OPERATIONS,        before,     oldest),                             "operations_queue",true},
        {ROWS(OPERATIONS,                      all,                  newest),                             "operations_newest"},
        {ROWS(OPERATIONS,                      all,                  newest),                             "operations_newest", true},
        {ROWS(OPERATIONS,                  waiting,                            newest),                                                 "operations_by_state"},
        {ROWS(OPERATIONS, waiting,           newest),"operations_",true},
        {ROWS(EXPERIMENTS,         experiments,               newest),                                                                   "experiments_newest"             },
        {ROWS(EXPERIMENTS,               experiments,newest),"experiments_newest",true},
        {ROWS(EXPERIMENTS,               running,               newest),                                                                                       "experiments_newest"                                                                                                                                                           },
        {ROWS(EXPERIMENTS, running,newest),"experiments_newest",true},
        {ROWS(MODELS,               backend,                             newest),                                                                                                                              "models_newest"                                                                                                                                                                                                                                                                                                                                                                      },
        {ROWS(MODELS,            backend, newest), "models_newest",true},
        {ROWS(DEPLOYMENTS,            name,    last),                                "deployments_by_name"},
    };
    place *p = place_new();
    place_open(p, NULL);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
    for (int i = 0; i < NN_COUNT_OF(cases); i++) check_plan(db, &cases[i]);
    sqlite3_close(db);
    place_done(p);
}
