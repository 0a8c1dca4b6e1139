/* SPDX-License-Identifier: MIT */
/* profile.h - where the time of a step goes: an engine's own pieces of work, timed.
 *
 * Steps that are looked at alternate with steps that are not, after a warm-up; every number is a
 * median over the runs, so that what else the machine does counts little. What the pieces do not
 * add up to shows as the difference to a whole step. */
#ifndef NN_ENGINE_PROFILE_H
#define NN_ENGINE_PROFILE_H
#include "engine/engine.h"

typedef struct nn_profile_options {
    const nn_engine *engine;
    const float *weights;       /* a plain slab; NULL: initialised by seed */
    const float *const *inputs; /* `rows` rows of each input */
    int64_t rows;
    int threads;   /* 0: all */
    bool training; /* whole steps, else forward passes; targets are drawn by seed */
    int runs;      /* of each kind, >= 1 */
    uint64_t seed;
} nn_profile_options;

/* A piece of the work: the nodes from `node` along first inputs to `last`. */
typedef struct nn_profile_row {
    const char *kind;
    int node, last; /* -1: all of the graph's */
    double seconds[NN_PHASE_COUNT];
    int64_t bytes; /* read and written, all passes together */
    double flops;  /* multiplications and additions, likewise; 0: unknown or none */
} nn_profile_row;

typedef struct nn_profile {
    nn_profile_row *rows; /* in the order of forward; what is all of the graph's where it happens */
    int n, threads;
    double whole;            /* seconds of a step that nobody looks at */
    double sum, flops;       /* of the rows */
    size_t memory;           /* planned, bytes */
    const nn_engine *engine; /* that ran it */
} nn_profile;

/* NN_E_UNSUPPORTED: the engine does not say what it does, or does not run (train) g. */
nn_status nn_profile_run(const nn_graph *g, const nn_profile_options *o, nn_profile *ret,
                         nn_err *err);
void nn_profile_done(nn_profile *p);
/* "conv2d + max_pooling2d": the layers of a row, without those that are there twice. */
void nn_profile_name(const nn_graph *g, const nn_profile_row *r, nn_buf *out);
double nn_profile_seconds(const nn_profile_row *r); /* of all passes */
#endif
