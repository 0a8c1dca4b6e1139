/* SPDX-License-Identifier: MIT */
#include "engine/checkpoint.h"

#include "base/hash.h"
#include "engine/engine.h"
#include "model/model.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Version of the record: a file of another one is refused. */
#define FORMAT "neural-checkpoint-2"

/* What may change between stopping and going on without making it another training. */
static const char *const free_members[] = {"epochs", "metrics", "device", "dataset",
                                           "has_training"};

static void hash_graph(const nn_graph *g, char ret[NN_SHA256_HEX]) {
    NN_JSON *v = nn_graph_json(g);
    NN_BUF text = {0};
    nn_json *train = nn_json_get(v, "train"), *nodes = nn_json_get(v, "nodes");
    for (size_t i = 0; i < nn_json_size(nodes); i++)
        nn_json_del(nn_json_at(nodes, i), "span"); /* a moved line is the same network */
    for (size_t i = 0; i < sizeof free_members / sizeof *free_members; i++)
        nn_json_del(train, free_members[i]);
    nn_json_dump(v, 0, &text);
    nn_sha256_hex(nn_buf_str(&text), text.n, ret);
}

/* A slab, or several after each other. */
typedef struct part {
    const char *name;
    const void *data; /* NULL: left out */
    size_t floats;
} part;
enum { PARTS = 3 };

static void hash_contents(const char *record, const part *parts, char ret[NN_SHA256_HEX]) {
    nn_hash *h = nn_hash_new();
    nn_hash_add(h, record, strlen(record));
    for (int i = 0; i < PARTS; i++)
        if (parts[i].data) nn_hash_add(h, parts[i].data, parts[i].floats * sizeof(float));
    nn_hash_end_hex(h, ret);
}

static void name_parts(const nn_graph *g, part ret[PARTS]) {
    size_t slab = (size_t)g->slab, slots = (size_t)nn_exec_slots(g);
    ret[0] = (part){"weights", NULL, slab};
    ret[1] = (part){"state", NULL, slab * slots};
    ret[2] = (part){"best", NULL, slab};
}

/* ---- the record as JSON; one list serves both directions ---- */

/* clang-format off */
#define SUM(m) D(sums.m)
#define RECORD_MEMBERS(I, D, T)                                                                    \
    I(epoch) I(step) D(loss_sum) I(correct) I(counted) I(rows) I(updates) I(threads) I(winograd) T(engine)    \
    D(loss) D(accuracy) D(val_loss) D(val_accuracy) D(seconds) D(busy) I(samples) T(data_sha256)         \
    D(best) I(best_epoch) I(waited) NN_METRIC_SUMS(SUM)
/* clang-format on */

/* Doubles as hexadecimal text: exact, and a NaN has a spelling. */
static nn_json *exact(double v) {
    char text[64];
    snprintf(text, sizeof text, "%a", v);
    return nn_json_new_str(text);
}

static void record_text(const nn_checkpoint *c, const nn_graph *g, nn_buf *out) {
    char graph[NN_SHA256_HEX], seed[32];
    NN_JSON *v = nn_json_new_object();
    hash_graph(g, graph);
    snprintf(seed, sizeof seed, "%" PRIu64, c->seed);
    nn_json_set(v, "format", nn_json_new_str(FORMAT));
    nn_json_set(v, "graph_sha256", nn_json_new_str(graph));
    nn_json_set(v, "network", nn_json_new_str(g->name));
    nn_json_set(v, "seed", nn_json_new_str(seed));
#define I(m) nn_json_set(v, #m, nn_json_new_int((int64_t)c->m));
#define D(m) nn_json_set(v, #m, exact(c->m));
#define T(m) nn_json_set(v, #m, nn_json_new_str(c->m));
    RECORD_MEMBERS(I, D, T)
#undef I
#undef D
#undef T
    nn_json_dump(v, 0, out);
}

static void read_text(const nn_json *v, char *ret, size_t cap) {
    snprintf(ret, cap, "%s", nn_json_str(v, ""));
}

/* The contents have been checked against their hash: a record that does not hold what we write is
 * one that somebody made, so it is only kept from doing harm. */
static bool read_record(const nn_json *v, nn_checkpoint *ret) {
    nn_checkpoint c = {.seed = strtoull(nn_json_str(nn_json_get(v, "seed"), "0"), NULL, 10)};
#define I(m) c.m = nn_json_int(nn_json_get(v, #m), -1);
#define D(m) c.m = strtod(nn_json_str(nn_json_get(v, #m), "nan"), NULL);
#define T(m) read_text(nn_json_get(v, #m), c.m, sizeof c.m);
    RECORD_MEMBERS(I, D, T)
#undef I
#undef D
#undef T
    *ret = c;
    return c.epoch >= 0 && c.step >= 0 && c.rows >= 0 && c.correct >= 0 && c.correct <= c.counted &&
           c.waited >= 0 && c.best_epoch >= 0 && c.updates >= 0 && c.threads >= 1 &&
           c.samples >= 0 && isfinite(c.loss_sum) && isfinite(c.seconds) && isfinite(c.busy);
}

/* ---- the file ---- */

nn_status nn_checkpoint_save(const char *path, const nn_graph *g, const nn_checkpoint *c,
                             const nn_checkpoint_slabs *slabs, nn_err *err) {
    char contents[NN_SHA256_HEX], file[65];
    NN_BUF record = {0};
    record_text(c, g, &record);
    if (nn_buf_failed(&record))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to save '%s'", path);
    part parts[PARTS];
    name_parts(g, parts);
    parts[0].data = slabs->weights;
    parts[1].data = parts[1].floats ? slabs->state : NULL;
    parts[2].data = slabs->best;
    hash_contents(nn_buf_str(&record), parts, contents);
    NN_JSON *metadata = nn_json_new_object();
    nn_json_set(metadata, "checkpoint", nn_json_new_str(nn_buf_str(&record)));
    nn_json_set(metadata, "contents_sha256", nn_json_new_str(contents));
    nn_tensor tensors[PARTS];
    int n = 0;
    for (int i = 0; i < PARTS; i++)
        if (parts[i].data)
            tensors[n++] = (nn_tensor){
                .name = parts[i].name,
                .dtype = "F32",
                .shape = {.rank = 1, .dim = {(int64_t)parts[i].floats}},
                .data = parts[i].data,
                .bytes = parts[i].floats * sizeof(float)
            };
    return nn_safetensors_write(path, tensors, n, metadata, file, err);
}

static nn_status damaged(const char *path, const char *what, nn_err *err) {
    nn_status s =
        nn_fail(err, NN_E_MODEL_FILE_ERROR, "checkpoint '%s' cannot be used: %s", path, what);
    return nn_err_hint(err, s, "train without --resume; the checkpoint will be replaced");
}

static nn_status differs(const char *path, const char *what, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_CONFLICT, "checkpoint '%s' is of %s", path, what);
    return nn_err_hint(
        err, s, "resume with what it was made from, or train without --resume to begin anew");
}

/* A tensor of exactly n floats, aligned or not; NULL if it is not that. */
static const void *floats(const nn_safetensors *s, const char *name, size_t n) {
    const nn_tensor *t = nn_safetensors_find(s, name);
    bool right = t && strcmp(t->dtype, "F32") == 0 && t->bytes == n * sizeof(float);
    return right ? t->data : NULL;
}

static nn_status check_origin(const char *path, const nn_json *v, const nn_graph *g,
                              const char *data_sha256, nn_err *err) {
    char graph[NN_SHA256_HEX], what[256];
    if (strcmp(nn_json_str(nn_json_get(v, "format"), ""), FORMAT) != 0)
        return damaged(path, "it was written by another version", err);
    hash_graph(g, graph);
    if (strcmp(nn_json_str(nn_json_get(v, "graph_sha256"), ""), graph) != 0) {
        snprintf(what, sizeof what,
                 "another network ('%.80s') or other training settings than network '%.80s'",
                 nn_json_str(nn_json_get(v, "network"), "?"), g->name);
        return differs(path, what, err);
    }
    const char *data = nn_json_str(nn_json_get(v, "data_sha256"), "");
    if (strcmp(data, data_sha256) != 0) {
        snprintf(what, sizeof what, "other data (sha256 %.12s..., these have %.12s...)", data,
                 data_sha256);
        return differs(path, what, err);
    }
    return NN_OK;
}

static nn_status load_open(const char *path, const nn_safetensors *s, const nn_graph *g,
                           const char *data_sha256, nn_checkpoint *ret,
                           const nn_checkpoint_slabs *slabs, nn_err *err) {
    const char *record = nn_safetensors_meta(s, "checkpoint");
    const char *claimed = nn_safetensors_meta(s, "contents_sha256");
    if (!record || !claimed) return damaged(path, "it is not a checkpoint", err);
    NN_JSON *v = NULL;
    nn_err at;
    if (nn_json_parse(record, strlen(record), &v, &at) != NN_OK) return damaged(path, at.msg, err);
    nn_status st = check_origin(path, v, g, data_sha256, err);
    if (st != NN_OK) return st;
    float *to[PARTS] = {slabs->weights, slabs->state, slabs->best};
    part parts[PARTS];
    name_parts(g, parts);
    for (int i = 0; i < PARTS; i++) {
        bool wanted = to[i] && parts[i].floats;
        if (!wanted) continue;
        parts[i].data = floats(s, parts[i].name, parts[i].floats);
        if (!parts[i].data) return damaged(path, "its tensors are not those of this network", err);
    }
    char contents[NN_SHA256_HEX];
    hash_contents(record, parts, contents);
    if (strcmp(contents, claimed) != 0)
        return damaged(path, "its contents do not have the checksum that it names", err);
    nn_checkpoint c;
    if (!read_record(v, &c)) return damaged(path, "its record holds impossible values", err);
    for (int i = 0; i < PARTS; i++)
        if (parts[i].data) memcpy(to[i], parts[i].data, parts[i].floats * sizeof(float));
    *ret = c;
    return NN_OK;
}

nn_status nn_checkpoint_load(const char *path, const nn_graph *g, const char *data_sha256,
                             nn_checkpoint *ret, const nn_checkpoint_slabs *slabs, nn_err *err) {
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        nn_status s =
            nn_fail(err, NN_E_NOT_FOUND, "there is no checkpoint '%s' to resume from", path);
        return nn_err_hint(err, s, "train without --resume to begin anew");
    }
    nn_safetensors *file = NULL;
    nn_status s = nn_safetensors_open(path, &file, err);
    if (s != NN_OK) {
        nn_err_prefix(err, "checkpoint '%s' cannot be used", path);
        return s;
    }
    s = load_open(path, file, g, data_sha256, ret, slabs, err);
    nn_safetensors_close(file);
    return s;
}
