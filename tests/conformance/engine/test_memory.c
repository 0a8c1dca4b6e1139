/* SPDX-License-Identifier: MIT */
/* What graph/memory.c estimates against what the native engine plans. */
#include "engine/engine.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>

/* graph/memory.c takes four threads. What oneDNN's convolutions take besides is not known to it:
 * in networks of a few dozen kilobytes that is a large share. */
enum { THREADS = 4, SLACK = 24 << 10 };

static const double within = 0.15;

static size_t planned(const nn_graph *g, int64_t batch, bool training) {
    const nn_engine *e = nn_engine_find("native");
    nn_exec_options o = {.batch = batch, .training = training, .threads = THREADS};
    nn_exec *x = NULL;
    nn_err err;
    CHECK_OK(e->open(g, &o, &x, &err), &err);
    size_t n = e->memory(x);
    e->close(x);
    return n;
}

static bool close_enough(const char *net, int64_t batch, bool training, const nn_memory *m,
                         size_t real) {
    double off = ((double)m->total - (double)real) / (double)real;
    if (getenv("NN_SHOW_MEMORY"))
        printf("%6.1f%% %4d %-8s %11zu planned, %11lld estimated: %.60s\n", 100 * off, (int)batch,
               training ? "training" : "forward", real, (long long)m->total, net);
    if (fabs(off) <= within || fabs((double)m->total - (double)real) <= SLACK) return true;
    print_error("%s, %s of %d rows: planned %zu bytes, estimated %lld (%.0f%%)\n", net,
                training ? "training" : "forward", (int)batch, real, (long long)m->total,
                100 * off);
    return false;
}

static int check(const char *net, void (*change)(nn_graph *g)) {
    static const int64_t batches[] = {1, 32, 256};
    nn_graph *g = net_build(net);
    int wrong = 0;
    if (change) change(g);
    for (int i = 0; i < 3; i++)
        for (int training = 0; training < 2; training++) {
            nn_memory m = nn_graph_memory(g, batches[i], training);
            CHECK(m.weights > 0 && m.activations > 0);
            CHECK(m.total == m.weights + m.gradients + m.optimizer + m.activations);
            size_t real = planned(g, batches[i], training);
            wrong += !close_enough(net, batches[i], training, &m, real);
        }
    net_free(g);
    return wrong;
}

static const char mlp[] = "input 784; dense 512; act relu; dense 256; act relu; dense 10; softmax";
static const char fashion[] =
    "input 28 28 1; conv k=3x3 f=32; act relu; conv k=3x3 f=64; act relu;"
    "max_pool k=2x2 s=2x2; flatten; dense 128; act relu; dense 10; softmax";

static void classes(nn_graph *g) {
    g->train.loss = NN_LOSS_SPARSE;
    g->train.optimizer = nn_optimizer_default(NN_OPTIMIZER_ADAM);
}

static void momentum(nn_graph *g) {
    g->train.optimizer = nn_optimizer_default(NN_OPTIMIZER_SGD);
    g->train.optimizer.momentum = 0.9;
}

/* All gradients exist at once: none may be computed with its update. */
static void clipped(nn_graph *g) {
    classes(g);
    g->train.optimizer.global_clipnorm = 1;
}

static void frozen_half(nn_graph *g) {
    classes(g);
    for (int i = 0; i < g->n_weights / 2; i++) g->weights[i].trainable = false;
}

TEST(memory_is_estimated_within_15_percent) {
    static const struct {
        const char *net;
        void (*change)(nn_graph *g);
    } cases[] = {
        {mlp,                                                                                              classes    },
        {mlp,                                                                                              momentum   },
        {mlp,                                                                                              clipped    },
        {mlp,                                                                                              frozen_half},
        {fashion,                                                                                          classes    },
        {fashion,                                                                                          clipped    },
        {fashion,                                                                                          frozen_half},
        {"input 100; dense 300; act tanh; dropout 0.5; dense 300; act gelu; dense 300; act tanh;"
         "dense 300; act elu; dense 300; act tanh; dense 1",                                      momentum   },
        {"input 64 64 3; conv k=3x3 f=32 p=same; bn; act relu; conv k=3x3 f=32 p=same s=2x2; bn;"
         "act relu; conv k=3x3 f=64 p=same; bn; act relu; max_pool k=2x2 s=2x2;"
         "conv k=3x3 f=64 p=same; act relu; max_pool k=3x3 s=2x2 p=same; gap; dense 10; softmax", classes    },
        {"input 32 32 3; conv k=3x3 f=16 p=same; act relu; max_pool k=2x2 s=2x2; dropout 0.25;"
         "conv k=3x3 f=32 p=same; act relu; max_pool k=2x2 s=2x2; dropout 0.25; flatten;"
         "dense 64; act relu; dropout 0.5; dense 10; softmax",                                    classes    },
        {"input 20 24; dense 48; act relu; conv k=3 f=20 p=same; act relu; avg_pool k=2 s=2; gap;"
         "dense 3; softmax",                                                                      classes    },
        {"input 64; dense 1024; reshape 4 4 64; conv_transpose f=32 k=4x4 s=2x2 p=same; act relu;"
         "upsample 2 2; conv f=16 k=3x3 p=same; act relu; conv_transpose f=1 k=4x4 s=2x2 p=same", NULL       },
        {"input 30 30 3; pad 1x1; conv f=32 k=3x3; act relu; adaptive_max_pool 5 5; crop 0:1x1:0;"
         "conv f=16 k=3x3; global_max_pool; dense 10; softmax",                                   classes    },
        {"input 6 20 20 2; conv_lstm f=16 k=3x3 p=same; act relu; gap; dense 4; softmax",                  classes    },
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        wrong += check(cases[i].net, cases[i].change);
    assert_int_equal(wrong, 0);
}

/* Residual blocks: a value with two readers, relu behind the merge. */
static const char residual[] =
    "input 32 32 3; conv k=3x3 f=16 p=same; bn; act relu;"                    /* n1 .. n3 */
    "conv k=3x3 f=16 p=same; bn; act relu; conv k=3x3 f=16 p=same; bn;"       /* n8 */
    "merge add @8,3; act relu;"                                               /* n10 */
    "conv k=3x3 f=32 p=same s=2x2; bn; act relu; conv k=3x3 f=32 p=same; bn;" /* n15 */
    "conv k=1x1 f=32 s=2x2 @10; bn; merge add @15,17; act relu; gap; dense 10; softmax";

/* As MultiHeadAttention(4, 16) and the layers of an encoder block are lowered. */
static const char encoder[] =
    "input 20; embedding 500 64; position learnable; dropout 0.1;" /* n3 */
    "dense 64; dense 64 @3; dense 64 @3; attention 4 scale=0.25 dropout=0.1 @4,5,6; dense 64;"
    "dropout 0.1; merge add @3,9; layer_norm;" /* n11 */
    "dense 256; act gelu; dense 64; dropout 0.1; merge add @11,15; layer_norm; gap; dense 4;"
    "softmax";

/* A chain of forty layers: with a training pass all values stay, in inference two at a time. */
TEST(memory_of_deep_chains) {
    NN_BUF net = {0};
    nn_buf_puts(&net, "input 128");
    for (int i = 0; i < 40; i++)
        nn_buf_printf(&net, "; dense 128; act %s", i % 2 ? "relu" : "tanh");
    nn_buf_puts(&net, "; dense 10; softmax");
    assert_int_equal(check(nn_buf_str(&net), classes), 0);
    NN_BUF images = {0};
    nn_buf_puts(&images, "input 24 24 16");
    for (int i = 0; i < 12; i++) nn_buf_puts(&images, "; conv k=3x3 f=32 p=same; bn; act relu");
    nn_buf_puts(&images, "; gap; dense 10; softmax");
    assert_int_equal(check(nn_buf_str(&images), classes), 0);
}

TEST(memory_of_branches_and_sequences) {
    static const char *const nets[] = {
        residual,
        encoder,
        "input 40 12; lstm 64 sequences; dropout 0.2; lstm 32; dense 16; act relu; dense 3; softmax",
        "input 30; embedding 1000 32; gru 48 reset_after; dense 5; softmax",
        "input 30; embedding 1000 32; gru 48 sequences; simple_rnn 24 sequences; gap; dense 5; softmax",
        "input 32 32 3; conv k=3x3 f=32 p=same nobias; bn; act relu; conv k=3x3 f=32 p=same nobias;"
        "bn; act relu; max_pool k=2x2 s=2x2; dropout 0.25; conv k=3x3 f=64 p=same nobias; bn;"
        "act relu; conv k=3x3 f=64 p=same; bn; act relu; max_pool k=2x2 s=2x2; flatten; dense 128;"
        "bn; act relu; dropout 0.5; dense 10; softmax",
        "input 64 64; attention 4 causal @0,0,0; dense 64; merge add @0,2; layer_norm; dense 256;"
        "act relu; dense 64; merge add @4,7; layer_norm; dense 96; softmax",
        "input 24 16; dense 32; dense 40 @0; concat 1 @1,2; dense 32; merge multiply @1,4; dense 32;"
        "dot 1 1 @5,6; flatten; dense 4; softmax",
        "input 16 16 8; conv k=3x3 f=32 p=same; prelu shared=1,2; conv k=3x3 f=32 p=same @0;"
        "concat 2 @2,3; conv k=1x1 f=32; clip 0 6; gap; dense 10; softmax",
        "input 16 16 8; conv k=3x3 f=32 p=same; group_norm 4; act relu; conv k=3x3 f=32 p=same;"
        "group_norm 4; act relu; gap; dense 10; softmax",
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) wrong += check(nets[i], classes);
    assert_int_equal(wrong, 0);
}
