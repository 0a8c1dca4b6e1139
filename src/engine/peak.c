/* SPDX-License-Identifier: MIT */
/* peak.c - two short loops, timed. The best of a few runs counts: what else the machine does only
 * makes them slower. They run on a thread of their own, so that the OpenMP team that the engine
 * needs for it goes with it. */
#include "engine/peak.h"

#include "base/clock.h"
#include "engine/engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 768, RUNS = 8, COPIED = 32 << 20 };

/* x (SIDE rows) times a square kernel. */
static nn_status square_product(nn_graph *g, nn_err *err) {
    int in = -1, out = -1;
    nn_node_spec x = {
        .op = NN_OP_INPUT,
        .name = "x",
        .layer = "Input",
        .layer_name = "x",
        .layer_index = -1,
        .shape = {1, {SIDE}}
    };
    nn_status s = nn_graph_add(g, &x, &in, err);
    nn_node_spec y = {.op = NN_OP_MATMUL,
                      .name = "y",
                      .layer = "Dense",
                      .layer_name = "y",
                      .inputs = &in,
                      .n_inputs = 1,
                      .attr.matmul = {.units = SIDE}};
    nn_weight w = {
        .shape = {2, {SIDE, SIDE}},
          .init = {.kind = NN_INIT_ONES},
          .trainable = true
    };
    if (!s) s = nn_graph_add(g, &y, &out, err);
    if (!s) s = nn_graph_add_weight(g, out, "kernel", &w, err);
    if (!s) s = nn_graph_add_output(g, out, err);
    return s;
}

/* Nanoseconds of the fastest forward pass; 0 if it failed. */
static int64_t time_forward(nn_exec *x, nn_err *err) {
    int64_t best = 0;
    for (int i = 0; i < RUNS; i++) {
        int64_t begin = nn_clock_mono();
        if (x->engine->forward(x, SIDE, err)) return 0;
        int64_t took = nn_clock_mono() - begin;
        if (!best || (took > 0 && took < best)) best = took;
    }
    return best;
}

static double measure_flops(void) {
    const nn_engine *e = nn_engine_find("native");
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "peak", 0);
    nn_graph *g = nn_graph_new(a, "peak");
    nn_err err;
    const char *reason;
    if (!e || !e->available(&reason) || !g || square_product(g, &err)) return 0;
    __attribute__((cleanup(nn_exec_closep))) nn_exec *x = NULL;
    float *slab = malloc((size_t)g->slab * sizeof *slab);
    nn_exec_options o = {.batch = SIDE};
    int64_t best = 0;
    if (slab && !nn_weights_init(g, 1, slab, &err) && !e->open(g, &o, &x, &err)) {
        float *in = e->input(x, 0);
        for (int i = 0; i < SIDE * SIDE; i++) in[i] = 1;
        e->set_weights(x, slab);
        best = time_forward(x, &err);
    }
    free(slab);
    return best ? 2e9 * SIDE * SIDE * SIDE / (double)best : 0;
}

static double measure_bytes(void) {
    char *from = malloc(COPIED), *to = malloc(COPIED);
    int64_t best = 0;
    for (int i = 0; from && to && i < RUNS; i++) {
        memset(from, i, COPIED);
        int64_t begin = nn_clock_mono();
        memcpy(to, from, COPIED);
        int64_t took = nn_clock_mono() - begin;
        __asm__ volatile("" : : "r"(to) : "memory"); /* the copy is wanted */
        if (!best || (took > 0 && took < best)) best = took;
    }
    free(from);
    free(to);
    return best ? 2e9 * COPIED / (double)best : 0;
}

static nn_peak peak;

static void *measure(void *arg) {
    peak.flops = measure_flops();
    peak.bytes = measure_bytes();
    return arg;
}

static void measure_once(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, measure, NULL) == 0)
        pthread_join(thread, NULL);
    else
        measure(NULL);
}

nn_peak nn_machine_peak(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure_once);
    return peak;
}
