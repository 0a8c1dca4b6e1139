/* SPDX-License-Identifier: MIT */
/* train_native - training steps of the native engine on synthetic images, samples a second; and
 * forward passes, microseconds.
 *
 *     bench_train_native [mlp|cnn [batch [threads [seconds]]]]
 *     bench_train_native infer
 *
 * Without arguments: both models, batch 64, 1 and 2 threads. The models are those of the
 * performance budgets: MLP 784-512-256-10, and a CNN of two 3x3 convolutions (32, 64), 2x2 pooling,
 * dense 128 and 10. Rows are bytes scaled by 1/255 while they are copied in, as the trainer does;
 * times are the best of as many rounds of about a quarter of a second as fit. */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGES = 4096, PIXELS = 784, CLASSES = 10 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(nn_status s, const nn_err *err) {
    if (s == NN_OK) return;
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static int add(nn_graph *g, nn_op op, int input, nn_attr attr, nn_shape shape) {
    char name[32];
    nn_err err;
    int id;
    snprintf(name, sizeof name, "n%d", g->n_nodes);
    char *kept = nn_arena_strdup(g->arena, name);
    nn_node_spec s = {.op = op,
                      .name = kept,
                      .layer = kept,
                      .layer_name = kept,
                      .inputs = &input,
                      .n_inputs = input >= 0,
                      .attr = attr,
                      .shape = shape};
    check(nn_graph_add(g, &s, &id, &err), &err);
    return id;
}

static void weight(nn_graph *g, int id, const char *suffix, nn_shape shape, nn_init_kind init,
                   int64_t fan_in, int64_t fan_out) {
    nn_err err;
    nn_weight w = {.shape = shape,
                   .init = {.kind = init},
                   .fan_in = fan_in,
                   .fan_out = fan_out,
                   .trainable = true};
    check(nn_graph_add_weight(g, id, suffix, &w, &err), &err);
}

static int relu(nn_graph *g, int in) {
    return add(g, NN_OP_ACTIVATION, in, (nn_attr){.activation = {.kind = NN_ACT_RELU}},
               (nn_shape){0});
}

static int dense(nn_graph *g, int in, int64_t from, int64_t units) {
    nn_shape out = {.rank = 1, .dim = {units}};
    int id = add(g, NN_OP_MATMUL, in,
                 (nn_attr){
                     .matmul = {.units = units, .bias = true}
    },
                 out);
    nn_shape kernel = {
        .rank = 2, .dim = {from, units}
    };
    weight(g, id, "kernel", kernel, NN_INIT_GLOROT_UNIFORM, from, units);
    weight(g, id, "bias", out, NN_INIT_ZEROS, from, units);
    return id;
}

static int conv(nn_graph *g, int in, int64_t from, int64_t size, int64_t filters) {
    nn_attr a = {
        .conv = {.window = {.spatial = 2, .size = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}},
                 .filters = filters,
                 .groups = 1,
                 .bias = true}
    };
    nn_shape out = {
        .rank = 3, .dim = {size - 2, size - 2, filters}
    };
    int id = add(g, NN_OP_CONV, in, a, out);
    nn_shape kernel = {
        .rank = 4, .dim = {3, 3, from, filters}
    };
    weight(g, id, "kernel", kernel, NN_INIT_GLOROT_UNIFORM, 9 * from, 9 * filters);
    weight(g, id, "bias", (nn_shape){.rank = 1, .dim = {filters}}, NN_INIT_ZEROS, 1, 1);
    return id;
}

static int pool(nn_graph *g, int in) {
    nn_attr a = {
        .pool = {.spatial = 2, .size = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}}
    };
    return add(g, NN_OP_MAX_POOL, in, a, (nn_shape){0});
}

static nn_graph *build(bool cnn) {
    nn_graph *g = nn_graph_new(NULL, cnn ? "cnn" : "mlp");
    nn_shape image = cnn ? (nn_shape){.rank = 3, .dim = {28, 28, 1}}
                         : (nn_shape){.rank = 1, .dim = {PIXELS}};
    int id = add(g, NN_OP_INPUT, -1, (nn_attr){0}, image);
    g->inputs[g->n_inputs++] = id;
    if (cnn) {
        id = relu(g, conv(g, id, 1, 28, 32));
        id = pool(g, relu(g, conv(g, id, 32, 26, 64)));
        id = add(g, NN_OP_RESHAPE, id, (nn_attr){.reshape = {.flatten = true}},
                 (nn_shape){.rank = 1, .dim = {9216}});
        id = dense(g, relu(g, dense(g, id, 9216, 128)), 128, CLASSES);
    } else {
        id = relu(g, dense(g, id, PIXELS, 512));
        id = dense(g, relu(g, dense(g, id, 512, 256)), 256, CLASSES);
    }
    id = add(g, NN_OP_SOFTMAX, id, (nn_attr){0}, (nn_shape){0});
    g->outputs[g->n_outputs++] = id;
    g->train = nn_train_default();
    g->train.loss = NN_LOSS_SPARSE;
    return g;
}

typedef struct data {
    uint8_t pixels[IMAGES][PIXELS];
    int32_t labels[IMAGES];
} data;

/* Blobs at a place that depends on the class, with noise: learnable, and half of it black. */
static void fill(data *d) {
    uint32_t r = 1;
    for (int i = 0; i < IMAGES; i++) {
        d->labels[i] = i % CLASSES;
        for (int p = 0; p < PIXELS; p++) {
            r = r * 1664525 + 1013904223;
            int row = p / 28, at = 2 * d->labels[i] + 4;
            bool lit = row >= at - 4 && row <= at + 4;
            d->pixels[i][p] = lit ? (uint8_t)(r >> 24) : 0;
        }
    }
}

static double step(const nn_engine *e, nn_exec *x, const data *d, int64_t batch, int64_t at) {
    float *in = e->input(x, 0);
    for (int64_t i = 0; i < batch * PIXELS; i++)
        in[i] = (float)((const uint8_t *)d->pixels[at])[i] * (1 / 255.0f);
    nn_targets t = {.labels = d->labels + at};
    nn_step s;
    nn_err err;
    check(e->step(x, batch, &t, &s, &err), &err);
    return s.loss;
}

static void run(const char *model, int64_t batch, int threads, double seconds) {
    static data d;
    nn_graph *g = build(strcmp(model, "cnn") == 0);
    const nn_engine *e = nn_engine_find("native");
    nn_exec_options o = {.batch = batch, .training = true, .threads = threads, .seed = 1};
    nn_exec *x;
    nn_err err;
    float *slab = calloc((size_t)g->slab, sizeof *slab);
    if (!slab) exit(1);
    fill(&d);
    double begin = now();
    check(e->open(g, &o, &x, &err), &err);
    double opened = now() - begin, best = 1e9, loss = 0;
    check(nn_weights_init(g, 1, slab, &err), &err);
    e->set_weights(x, slab);
    int64_t at = 0, steps = strcmp(model, "cnn") == 0 ? 16 : 400, rounds = 0;
    begin = now();
    for (; rounds < 3 || now() - begin < seconds; rounds++) {
        double start = now();
        for (int64_t i = 0; i < steps; i++, at = (at + batch) % (IMAGES - batch))
            loss = step(e, x, &d, batch, at);
        double took = (now() - start) / (double)steps;
        if (took < best) best = took;
    }
    printf("%s batch %lld, %d thread%s: %.0f samples/s (best of %lld rounds; %.3f ms a step, loss "
           "%.4f, opened in %.1f ms, %.1f MiB)\n",
           model, (long long)batch, threads, threads > 1 ? "s" : "", (double)batch / best,
           (long long)rounds, best * 1e3, loss, opened * 1e3, (double)e->memory(x) / 1048576);
    fflush(stdout);
    e->close(x);
    free(slab);
    nn_arena_free(g->arena);
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Median and 99th percentile of a forward pass. */
static void infer(const char *model, int64_t batch, int threads) {
    enum { PASSES = 2000 };
    static double took[PASSES];
    nn_graph *g = build(strcmp(model, "cnn") == 0);
    const nn_engine *e = nn_engine_find("native");
    nn_exec_options o = {.batch = batch, .threads = threads};
    nn_exec *x;
    nn_err err;
    float *slab = calloc((size_t)g->slab, sizeof *slab);
    if (!slab) exit(1);
    check(e->open(g, &o, &x, &err), &err);
    check(nn_weights_init(g, 1, slab, &err), &err);
    e->set_weights(x, slab);
    for (int64_t i = 0; i < batch * PIXELS; i++) e->input(x, 0)[i] = (float)(i % 255) / 255;
    int passes = batch > 1 ? PASSES / 20 : PASSES;
    for (int i = 0; i < passes; i++) {
        double start = now();
        check(e->forward(x, batch, &err), &err);
        took[i] = now() - start;
    }
    qsort(took, (size_t)passes, sizeof *took, by_value);
    printf("%s forward, batch %lld, %d thread%s: p50 %.1f us, p99 %.1f us, %.1f MiB\n", model,
           (long long)batch, threads, threads > 1 ? "s" : "", took[passes / 2] * 1e6,
           took[passes * 99 / 100] * 1e6, (double)e->memory(x) / 1048576);
    e->close(x);
    free(slab);
    nn_arena_free(g->arena);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "infer") == 0) {
        for (int threads = 1; threads <= 2; threads++)
            for (int64_t batch = 1; batch <= 64; batch += 63) {
                infer("mlp", batch, threads);
                infer("cnn", batch, threads);
            }
        return 0;
    }
    if (argc > 1) {
        run(argv[1], argc > 2 ? strtol(argv[2], NULL, 10) : 64,
            argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1, argc > 4 ? atof(argv[4]) : 2);
        return 0;
    }
    for (int threads = 1; threads <= 2; threads++) {
        run("mlp", 64, threads, 2);
        run("cnn", 64, threads, 3);
    }
}
