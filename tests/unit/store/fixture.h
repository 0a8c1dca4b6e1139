/* SPDX-License-Identifier: MIT */
/* fixture.h - a store in a folder of its own, removed afterwards. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H
#include "base/bus.h"
#include "base/file.h"
#include "store/eventlog.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    char folder[64], file[96], url[128];
    nn_store *store;
    nn_arena *arena;
    nn_err err;
} place;

static inline void place_open(place *p, nn_bus *bus) {
    nn_store_options o = {.url = p->url, .exclusive = true, .bus = bus};
    CHECK_OK(nn_store_open(&o, &p->store, &p->err), &p->err);
}

static inline place *place_new(void) {
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->folder, sizeof p->folder, "/tmp/nn-store-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->file, sizeof p->file, "%s/neural.db", p->folder);
    snprintf(p->url, sizeof p->url, "sqlite:///%s", p->file);
    p->arena = nn_arena_new(NULL, "test", 0);
    return p;
}

static inline void place_done(place *p) {
    nn_store_close(p->store);
    nn_arena_free(p->arena);
    nn_remove_tree(p->folder, NULL);
    free(p);
}
#endif
