/* SPDX-License-Identifier: MIT */
/* reader.h - strict reading of JSON objects. Private to graph/.
 * A reader remembers the first thing that is wrong and then gives harmless values, so that the code
 * that reads is a list of its members; nn_rd_done says what went wrong, unknown members included.
 */
#ifndef NN_GRAPH_READER_H
#define NN_GRAPH_READER_H
#include "graph/graph.h"

typedef struct nn_rd {
    const nn_json *v;
    const char *where; /* "node 3" */
    size_t used;       /* members asked for */
    nn_status *status; /* shared with nested readers */
    nn_err *err;
} nn_rd;

/* A reader of v, which must be an object. */
nn_rd nn_rd_open(const nn_json *v, const char *where, nn_status *status, nn_err *err);
/* A reader of a member that must be an object. */
nn_rd nn_rd_object(nn_rd *r, const char *key);
int64_t nn_rd_int(nn_rd *r, const char *key, int64_t min, int64_t max);
double nn_rd_num(nn_rd *r, const char *key);
bool nn_rd_bool(nn_rd *r, const char *key);
const char *nn_rd_str(nn_rd *r, const char *key, size_t max); /* never NULL; borrowed */
/* An array of at most cap integers in [min, max]; a null in it is NN_DIM_UNKNOWN when `open` allows
 * that. Returns how many. */
int nn_rd_ints(nn_rd *r, const char *key, int64_t *to, int cap, int64_t min, int64_t max,
               bool open);
nn_shape nn_rd_shape(nn_rd *r, const char *key);
const nn_json *nn_rd_array(nn_rd *r, const char *key);
/* The position of a string member in a table; find gives -1 for none. */
int nn_rd_word(nn_rd *r, const char *key, int (*find)(const char *));
/* Marks the reading as failed (keeps the first failure). */
void nn_rd_fail(nn_rd *r, const char *key, const char *expected);
/* Checks that the object has no further members. */
nn_status nn_rd_done(nn_rd *r);

/* Writing, the mirror image. */
nn_json *nn_wr_ints(const int64_t *v, int n);
static inline nn_json *nn_wr_shape(const nn_shape *s) {
    return nn_json_new_shape(s, false);
}
#endif
