/* SPDX-License-Identifier: MIT */
/* train_sequences - training steps of the native engine on sequences, tokens a second.
 *
 *     bench_train_sequences lstm|transformer BATCH THREADS SECONDS [infer]
 *
 * The models are those of the performance budgets: an LSTM character model (96 characters,
 * embedding 64, 256 units, 128 steps, a label a step) and a transformer encoder (128 features, 4
 * heads, 2 blocks of 512 hidden, 128 steps, learned places, layer norms behind the sums, a label a
 * step). Tokens are random; the figure is the best of as many rounds of about a quarter of a second
 * as fit. infer: forward passes instead, microseconds. */
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORDS = 96, STEPS = 128, HELD = 64 /* sequences in memory */ };

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

static void add_weights(nn_graph *g, int id) {
    nn_shape shape;
    nn_err err;
    const char *suffix;
    for (int k = 0; (suffix = nn_node_weight_rule(g, &g->nodes[id], k, &shape)); k++) {
        int64_t out = shape.dim[shape.rank - 1];
        nn_weight w = {.shape = shape,
                       .init = {.kind = shape.rank > 1                 ? NN_INIT_GLOROT_UNIFORM
                                        : strcmp(suffix, "gamma") == 0 ? NN_INIT_ONES
                                                                       : NN_INIT_ZEROS},
                       .fan_in = shape.dim[0],
                       .fan_out = out,
                       .trainable = true};
        check(nn_graph_add_weight(g, id, suffix, &w, &err), &err);
    }
}

static int add(nn_graph *g, nn_op op, const int *inputs, int n, nn_attr attr) {
    char name[32];
    nn_err err;
    int id;
    snprintf(name, sizeof name, "n%d", g->n_nodes);
    char *kept = nn_arena_strdup(g->arena, name);
    nn_node_spec s = {.op = op,
                      .name = kept,
                      .layer = kept,
                      .layer_name = kept,
                      .inputs = inputs,
                      .n_inputs = n,
                      .attr = attr};
    if (op == NN_OP_INPUT) s.shape = (nn_shape){.rank = 1, .dim = {STEPS}};
    check(nn_graph_add(g, &s, &id, &err), &err);
    add_weights(g, id);
    return id;
}

static int one(nn_graph *g, nn_op op, int in, nn_attr attr) {
    return add(g, op, &in, 1, attr);
}

static int dense(nn_graph *g, int in, int64_t units) {
    nn_attr a = {0};
    a.matmul.units = units;
    a.matmul.bias = true;
    return one(g, NN_OP_MATMUL, in, a);
}

static int added_and_normed(nn_graph *g, int a, int b) {
    nn_attr merge = {0}, norm = {0};
    merge.merge.kind = NN_MERGE_ADD;
    norm.layer_norm.epsilon = 1e-5;
    norm.layer_norm.center = norm.layer_norm.scale = true;
    int sum = add(g, NN_OP_MERGE, (int[]){a, b}, 2, merge);
    return one(g, NN_OP_LAYER_NORM, sum, norm);
}

static int block(nn_graph *g, int x) {
    nn_attr a = {0}, gelu = {0};
    a.attention.heads = 4;
    a.attention.scale = 1 / sqrt(32.0);
    gelu.activation.kind = NN_ACT_GELU;
    int q = dense(g, x, 128), k = dense(g, x, 128), v = dense(g, x, 128);
    int heads = add(g, NN_OP_ATTENTION, (int[]){q, k, v}, 3, a);
    x = added_and_normed(g, x, dense(g, heads, 128));
    int hidden = one(g, NN_OP_ACTIVATION, dense(g, x, 512), gelu);
    return added_and_normed(g, x, dense(g, hidden, 128));
}

static nn_graph *build(bool lstm) {
    nn_graph *g = nn_graph_new(NULL, lstm ? "lstm" : "transformer");
    nn_attr embedding = {0}, position = {0}, rnn = {0};
    embedding.embedding.input_dim = WORDS;
    embedding.embedding.output_dim = lstm ? 64 : 128;
    position.position.max_len = STEPS;
    position.position.learnable = true;
    rnn.rnn.kind = NN_RNN_LSTM;
    rnn.rnn.units = 256;
    rnn.rnn.activation = NN_ACT_TANH;
    rnn.rnn.recurrent_activation = NN_ACT_SIGMOID;
    rnn.rnn.bias = rnn.rnn.sequences = true;
    int id = add(g, NN_OP_INPUT, NULL, 0, (nn_attr){0});
    id = one(g, NN_OP_EMBEDDING, id, embedding);
    id = lstm ? one(g, NN_OP_RNN, id, rnn)
              : block(g, block(g, one(g, NN_OP_POSITION, id, position)));
    id = one(g, NN_OP_SOFTMAX, dense(g, id, WORDS), (nn_attr){0});
    g->outputs[g->n_outputs++] = id;
    g->train = nn_train_default();
    g->train.loss = NN_LOSS_SPARSE;
    return g;
}

static float tokens[HELD * STEPS];
static int32_t labels[HELD * STEPS];

static void fill(void) {
    uint32_t r = 1;
    for (int i = 0; i < HELD * STEPS; i++) {
        r = r * 1664525 + 1013904223;
        tokens[i] = (float)((r >> 16) % WORDS);
        labels[i] = (int32_t)((r >> 8) % WORDS);
    }
}

static double step(const nn_engine *e, nn_exec *x, int64_t batch, bool infer, int64_t i) {
    int64_t at = i % (HELD / batch) * batch * STEPS;
    nn_targets t = {.labels = labels + at};
    nn_step s = {0};
    nn_err err;
    memcpy(e->input(x, 0), tokens + at, (size_t)(batch * STEPS) * sizeof *tokens);
    check(infer ? e->forward(x, batch, &err) : e->step(x, batch, &t, &s, &err), &err);
    return s.loss;
}

static int run(bool lstm, int64_t batch, int threads, double seconds, bool infer) {
    nn_graph *g = build(lstm);
    const nn_engine *e = nn_engine_find("native");
    nn_exec_options o = {.batch = batch, .training = !infer, .threads = threads, .seed = 1};
    nn_exec *x;
    nn_err err;
    float *slab = calloc((size_t)g->slab, sizeof *slab);
    if (!slab) return 1;
    fill();
    check(e->open(g, &o, &x, &err), &err);
    check(nn_weights_init(g, 1, slab, &err), &err);
    e->set_weights(x, slab);
    double begin = now(), best = 1e9, loss = 0;
    int64_t steps = 1, at = 0, rounds = 0;
    for (; rounds < 3 || now() - begin < seconds; rounds++) {
        double start = now();
        for (int64_t i = 0; i < steps; i++) loss = step(e, x, batch, infer, at++);
        double took = (now() - start) / (double)steps;
        if (took < best) best = took;
        if (rounds < 2) steps = 1 + (int64_t)(0.1 / took);
    }
    printf("%s batch %lld, %d thread%s: %.0f tokens/s (best of %lld rounds; %.3f ms a %s, loss "
           "%.4f, %.1f MiB)\n",
           lstm ? "lstm" : "transformer", (long long)batch, threads, threads > 1 ? "s" : "",
           (double)(batch * STEPS) / best, (long long)rounds, best * 1e3, infer ? "pass" : "step",
           loss, (double)e->memory(x) / 1048576);
    e->close(x);
    free(slab);
    nn_arena_free(g->arena);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s lstm|transformer BATCH THREADS SECONDS [infer]\n", argv[0]);
        return 2;
    }
    return run(strcmp(argv[1], "lstm") == 0, strtol(argv[2], NULL, 10),
               (int)strtol(argv[3], NULL, 10), atof(argv[4]), argc > 5);
}
