/* SPDX-License-Identifier: MIT */
/* fixture.h - jobs over a store in a folder of their own, with a clock that the test moves. */
#ifndef JOBS_FIXTURE_H
#define JOBS_FIXTURE_H
#include "base/bus.h"
#include "base/file.h"
#include "jobs/jobs_impl.h"
#include "jobs/supervisor.h"
#include "store/eventlog.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((int64_t)1000000)

typedef struct place {
    char folder[64];
    int64_t now; /* 0: the system's clock */
    nn_bus *bus;
    nn_store *store;
    nn_track *track;
    nn_jobs *jobs;
    nn_arena *arena;
    nn_err err;
} place;

static inline int64_t place_now(void *ctx) {
    return ((place *)ctx)->now;
}

static inline void place_open(place *p) {
    char url[128];
    snprintf(url, sizeof url, "sqlite:///%s/neural.db", p->folder);
    p->bus = nn_bus_new();
    nn_store_options so = {.url = url, .exclusive = true, .bus = p->bus};
    CHECK_OK(nn_store_open(&so, &p->store, &p->err), &p->err);
    CHECK_OK(nn_track_open(p->store, p->folder, &p->track, &p->err), &p->err);
    nn_jobs_options jo = {.track = p->track,
                          .storage = p->folder,
                          .max_interruptions = 3,
                          .now = p->now ? place_now : NULL,
                          .now_ctx = p};
    CHECK_OK(nn_jobs_open(&jo, &p->jobs, &p->err), &p->err);
}

static inline void place_close(place *p) {
    nn_jobs_close(p->jobs);
    nn_track_close(p->track);
    nn_store_close(p->store);
    nn_bus_free(p->bus);
}

static inline place *place_new(int64_t now) {
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->folder, sizeof p->folder, "/tmp/nn-jobs-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    p->now = now;
    p->arena = nn_arena_new(NULL, "test", 0);
    place_open(p);
    return p;
}

static inline void place_done(place *p) {
    place_close(p);
    nn_arena_free(p->arena);
    nn_remove_tree(p->folder, NULL);
    free(p);
}

#define NETWORK                                                                                     \
    "network Tiny {\n  input: (8, 8, 1)\n  layers:\n    Flatten()\n    Dense(8, activation=relu)\n" \
    "    Output(3, activation=softmax)\n  loss: cross_entropy\n  optimizer: Adam(learning_rate=0.01)\n}\n"

static inline nn_json *parse(const char *text) {
    nn_json *v = NULL;
    nn_err err;
    CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    return v;
}

static inline nn_json *train_request(void) {
    nn_json *v =
        parse("{\"dataset\":\"synthetic:classes=3,rows=96\",\"training_config\":{\"epochs\":2}}");
    nn_json_set(v, "dsl_code", nn_json_new_str(NETWORK));
    return v;
}

/* A training, queued; the id lives as long as the place. */
static inline const char *add(place *p, const char *level) {
    NN_JSON *request = train_request();
    nn_operation_spec spec = {
        .kind = NN_KIND_TRAIN, .request = request, .queue_priority = level, .principal = "t"};
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_create(p->jobs, &spec, &op, NULL, &p->err), &p->err);
    const char *id = nn_arena_strdup(p->arena, op->id);
    nn_operation_free(op);
    return id;
}

static inline nn_operation *look(place *p, const char *id) {
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_get(p->jobs, id, &op, &p->err), &p->err);
    return op;
}

static inline nn_state state_of(place *p, const char *id) {
    nn_operation *op = look(p, id);
    nn_state s = op->state;
    nn_operation_free(op);
    return s;
}

/* The id of what is claimed; NULL when nothing waits. */
static inline const char *claim(place *p, const char *owner, nn_lease *l) {
    nn_operation *op = NULL;
    CHECK_OK(nn_operation_claim(p->jobs, owner, NN_ALL_KINDS, &op, l, &p->err), &p->err);
    const char *id = op ? nn_arena_strdup(p->arena, op->id) : NULL;
    nn_operation_free(op);
    return id;
}

static inline int64_t count_events(place *p, const char *id, const char *type) {
    nn_rows r;
    int64_t n = 0;
    CHECK_OK(nn_eventlog_since(p->store, 0, id, 1 << 20, p->arena, &r, NULL, NULL, &p->err),
             &p->err);
    for (int64_t i = 0; i < r.n; i++) n += !strcmp(nn_row_text(nn_rows_at(&r, i), "type"), type);
    return n;
}
#endif
