/* SPDX-License-Identifier: MIT */
/* language.c - how long the front end takes, in process, on one thread.
 *
 *     bench_language check FILE          parse, check and shapes of a program: microseconds
 *     bench_language codegen FILE NAME   code generation by a backend: microseconds
 *     bench_language grow LAYERS         a generated program of that many layers: milliseconds,
 *                                        and the bytes that its unit takes for each layer
 *
 * Prints the median and the relative spread (half of the range) of the repetitions. */
#include "codegen/backend.h"
#include "compile/compile.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(double *seconds, int n, double unit) {
    qsort(seconds, (size_t)n, sizeof *seconds, by_value);
    double median = seconds[n / 2];
    printf("%.6g %.3f", median * unit, (seconds[n - 1] - seconds[0]) / 2 / median);
}

static nn_unit *compile(nn_arena *arena, const nn_source *src) {
    nn_diags *diags = nn_diags_new(arena, src);
    nn_unit *u = NULL;
    nn_err err;
    if (!nn_compile(arena, src, NULL, diags, &u, &err)) return u;
    fprintf(stderr, "bench_language: %s\n", err.msg);
    exit(1);
}

static void once(const nn_source *src) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "bench", 0);
    compile(arena, src);
}

static void read_source(nn_arena *arena, const char *path, nn_source *src) {
    nn_err err;
    if (!nn_source_read(arena, path, src, &err)) return;
    fprintf(stderr, "bench_language: %s\n", err.msg);
    exit(1);
}

enum { ROUNDS = 11, EACH = 400 };

static int check(const char *path) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "source", 0);
    nn_source src;
    double seconds[ROUNDS];
    read_source(arena, path, &src);
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now();
        for (int i = 0; i < EACH; i++) once(&src);
        seconds[r] = (now() - begin) / EACH;
    }
    report(seconds, ROUNDS, 1e6);
    return 0;
}

/* The files that a backend writes beside the main one. */
static nn_status drop(void *arg, const char *end, const void *p, size_t n, nn_err *err) {
    (void)arg, (void)end, (void)p, (void)n, (void)err;
    return NN_OK;
}

static int codegen(const char *path, const char *name) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "source", 0);
    nn_source src;
    double seconds[ROUNDS];
    read_source(arena, path, &src);
    const nn_unit *u = compile(arena, &src);
    const nn_backend *b = nn_backend_find(name);
    float *weights = calloc((size_t)u->graph->slab + 1, sizeof *weights);
    nn_codegen_options opt = {
        .source_name = path, .weights = weights, .file = drop, .file_stem = "net"};
    for (int r = 0; b && r < ROUNDS; r++) {
        double begin = now();
        for (int i = 0; i < EACH; i++) {
            NN_BUF out = {0};
            nn_err err;
            if (nn_codegen(b, u->graph, &opt, &out, &err)) return 1;
        }
        seconds[r] = (now() - begin) / EACH;
    }
    if (b) report(seconds, ROUNDS, 1e6);
    free(weights);
    return !b;
}

/* Lines that differ, as a person's would. */
static char *generate(long layers) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "network Generated {\n  input: (64,)\n  layers:\n");
    for (long i = 0; i + 1 < layers; i++)
        if (i % 3 == 2)
            nn_buf_printf(&text, "    Dropout(0.%ld)\n", 1 + i % 8);
        else
            nn_buf_printf(&text, "    Dense(units=%ld, activation=\"relu\")\n", 32 + i % 64);
    nn_buf_puts(&text, "    Output(10, \"softmax\")\n}\n");
    return nn_buf_take(&text);
}

static int grow(long layers) {
    enum { TIMES = 5 };
    char *text = generate(layers);
    nn_source src = {"generated", text, strlen(text)};
    double seconds[TIMES];
    for (int r = 0; r < TIMES; r++) {
        double begin = now();
        once(&src);
        seconds[r] = now() - begin;
    }
    report(seconds, TIMES, 1e3);
    struct mallinfo2 before = mallinfo2();
    nn_arena *arena = nn_arena_new(NULL, "unit", 0);
    compile(arena, &src);
    struct mallinfo2 after = mallinfo2();
    size_t used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    printf(" %.0f", (double)used / (double)layers);
    nn_arena_free(arena);
    free(text);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 2;
    if (argc == 3 && strcmp(argv[1], "check") == 0) failed = check(argv[2]);
    if (argc == 4 && strcmp(argv[1], "codegen") == 0) failed = codegen(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "grow") == 0) failed = grow(strtol(argv[2], NULL, 10));
    if (failed == 2)
        fprintf(stderr, "usage: bench_language check FILE | codegen FILE NAME | grow LAYERS\n");
    if (!failed) putchar('\n');
    return failed;
}
