/* SPDX-License-Identifier: MIT */
/* program.h - programs of the language, compiled and ready to be run by an engine. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H
#include "compile/compile.h"
#include "engine/engine.h"

typedef struct program {
    nn_arena *arena;
    nn_unit *unit;
    nn_graph *graph;
    const char *text;
} program;

/* Fails the test, with the text and the first error, when it is not a program that can be run. The
 * text must outlive it. */
program program_compile(const char *text);
void program_done(program *p);
/* Weights by a seed: kernels within +-0.5, moving variances and gammas about 1. Owned by the
 * caller. */
float *program_weights(const program *p, uint64_t seed);
/* What node `input` looks up or masks: whole numbers below the result; 0: any number will do. */
int64_t program_tokens(const program *p, int input);
/* Elements of a row of node `node`. */
int64_t program_elements(const program *p, int node);
void *program_alloc(int64_t n, size_t size); /* zeroed; fails the test when there is no memory */
#endif
