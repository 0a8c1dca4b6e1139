/* SPDX-License-Identifier: MIT */
/* test_engines.c - every engine against `reference` over a grid of ops and parameters. */
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8 };

static void check(const char *text, nn_loss_kind loss) {
    nn_graph *g = net_build(text);
    g->train.loss = loss;
    g->train.optimizer = pair_adam();
    pair_check_engines(text, g, false);
    net_free(g);
}

static void check_all(const char *const *nets, size_t n, nn_loss_kind loss) {
    for (size_t i = 0; i < n; i++) check(nets[i], loss);
}
#define CHECK_ALL(nets, loss) check_all(nets, sizeof(nets) / sizeof *(nets), loss)

TEST(matmul) {
    static const char *const nets[] = {
        "input 1; dense 1",
        "input 17; dense 33; act relu; dense 5",
        "input 784; dense 64; act relu; dense 10",
        "input 3 7; dense 5; dense 4 nobias",
        "input 2 3 5; dense 16; flatten; dense 3",
        "input 2 2 2 3; dense 7; act tanh; dense 2",
        "input 64; dense 128 nobias; act relu; dense 64; act relu; dense 16",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(convolution_of_two_axes) {
    static const char *const kernels[] = {"k=1x1", "k=3x3", "k=5x2"};
    static const char *const strides[] = {"s=1x1", "s=2x2", "s=1x2"};
    static const char *const paddings[] = {"", "p=same", "p=1:2x0:1"};
    for (int k = 0; k < 3; k++)
        for (int s = 0; s < 3; s++)
            for (int p = 0; p < 3; p++) {
                char text[160];
                snprintf(text, sizeof text,
                         "input 9 7 3; conv f=6 %s %s %s; act relu; flatten; dense 4", kernels[k],
                         strides[s], paddings[p]);
                check(text, NN_LOSS_MSE);
            }
}

TEST(convolution_with_groups_and_dilation) {
    static const char *const nets[] = {
        "input 9 9 4; conv f=8 k=3x3 g=2; act relu; flatten; dense 3",
        "input 9 9 4; conv f=4 k=3x3 g=4 p=same nobias; flatten; dense 3",
        "input 8 8 6; conv f=9 k=3x3 g=3 s=2x2 p=same; flatten; dense 3",
        "input 9 9 3; conv f=4 k=3x3 d=2x2; act relu; flatten; dense 3",
        "input 11 9 3; conv f=4 k=3x2 d=3x1 p=same; flatten; dense 3",
        "input 9 9 4; conv f=8 k=3x3 d=2x2 g=2 p=same; flatten; dense 3",
        "input 10 10 16; conv f=32 k=3x3; act relu; conv f=16 k=3x3 p=same; flatten; dense 3",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(convolution_of_one_and_three_axes) {
    static const char *const nets[] = {
        "input 13 3; conv f=5 k=3; act relu; flatten; dense 3",
        "input 13 3; conv f=5 k=4 s=2 p=same; flatten; dense 3",
        "input 12 4; conv f=4 k=3 d=2 g=2; conv f=3 k=2; flatten; dense 3",
        "input 5 6 4 2; conv f=4 k=2x3x2; act relu; flatten; dense 3",
        "input 5 5 5 2; conv f=3 k=3x3x3 s=2x2x2 p=same nobias; flatten; dense 3",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(pooling) {
    static const char *const kinds[] = {"max_pool", "avg_pool"};
    static const char *const windows[] = {"k=2x2 s=2x2", "k=3x3 s=2x2 p=same", "k=3x2 s=1x1",
                                          "k=2x3 s=2x1 p=1:0x1:1", "k=3x3 s=3x3 p=same"};
    for (int i = 0; i < 2; i++) {
        for (int w = 0; w < 5; w++) {
            char text[160];
            snprintf(text, sizeof text, "input 9 7 3; conv f=5 k=2x2; %s %s; flatten; dense 4",
                     kinds[i], windows[w]);
            check(text, NN_LOSS_MSE);
            snprintf(text, sizeof text,
                     "input 9 8 2; conv f=16 k=2x1; act relu; %s %s; flatten; dense 4", kinds[i],
                     windows[w]);
            check(text, NN_LOSS_MSE);
        }
        char text[160];
        snprintf(text, sizeof text, "input 11 3; dense 4; %s k=3 s=2; flatten; dense 3", kinds[i]);
        check(text, NN_LOSS_MSE);
        snprintf(text, sizeof text, "input 5 4 6 2; dense 3; %s k=2x2x3 s=1x2x3; flatten; dense 3",
                 kinds[i]);
        check(text, NN_LOSS_MSE);
    }
}

TEST(global_pooling_and_shapes) {
    static const char *const nets[] = {
        "input 6 5 3; conv f=4 k=3x3; gap; dense 3",
        "input 6 5 3; conv f=16 k=3x3; act relu; gap keepdims; flatten; dense 3",
        "input 7 3; dense 5; gap; dense 2",
        "input 12; reshape 3 4; dense 5; reshape 5 3; dense 2",
        "input 2 3 4; transpose 2 0 1; dense 5; flatten; dense 3",
        "input 6 6 3; conv f=8 k=3x3; transpose 2 0 1; dense 5; flatten; dense 3",
        "input 36; reshape 6 6 1; conv f=4 k=3x3; act relu; flatten; dense 3",
        "input 4 6; transpose 1 0; conv f=3 k=2; transpose 1 0; dense 2",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(batch_normalisation) {
    static const char *const nets[] = {
        "input 7; dense 9; bn; act relu; dense 4",
        "input 7 6 3; conv f=5 k=3x3 nobias; bn; act relu; flatten; dense 3",
        "input 8 8 3; conv f=16 k=3x3; bn nobeta; max_pool k=2x2 s=2x2; flatten; dense 3",
        "input 9; dense 6; bn nogamma; dense 4",
        "input 9; dense 6; bn nogamma nobeta; act tanh; dense 4",
        "input 5 4; dense 6; bn; dense 2",
    };
    /* without batches of one row: their variance is 0, and rounding decides what comes out */
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        nn_graph *g = net_build(nets[i]);
        g->train.optimizer = pair_adam();
        pair_check_engines(nets[i], g, true);
        for (int w = 0; w < g->n_weights; w++) /* frozen: as in inference */
            if (strstr(g->weights[w].name, "gamma") || strstr(g->weights[w].name, "beta"))
                g->weights[w].trainable = false;
        if (strstr(nets[i], "nogamma nobeta") == NULL) pair_check_engines(nets[i], g, false);
        net_free(g);
    }
}

TEST(activations) {
    for (int a = 0; a < NN_ACT_COUNT; a++) {
        char text[160];
        const char *name = nn_act_name((nn_act)a);
        snprintf(text, sizeof text, "input 13; dense 40; act %s; dense 4", name);
        check(text, NN_LOSS_MSE);
        snprintf(text, sizeof text, "input 6 6 2; conv f=16 k=3x3; act %s a=0.6; flatten; dense 4",
                 name);
        check(text, NN_LOSS_MSE);
        snprintf(text, sizeof text, "input 5; dense 3; act %s", name); /* as the output */
        check(text, NN_LOSS_MSE);
        snprintf(text, sizeof text, "input 5; act %s; dense 3", name); /* on the input */
        check(text, NN_LOSS_MSE);
    }
}

TEST(dropout) {
    static const char *const nets[] = {
        "input 20; dense 33; act relu; dropout 0.5; dense 4",
        "input 20; dropout 0.2; dense 7; dropout 0.1; dense 4",
        "input 6 6 3; conv f=16 k=3x3; act relu; dropout 0.25; flatten; dense 3",
        "input 6 6 3; conv f=5 k=3x3; act relu; max_pool k=2x2 s=2x2; dropout 0.25; flatten; dense 3",
        "input 6 6 3; conv f=5 k=3x3; dropout 0.5 noise=1x1x5; flatten; dense 3",
        "input 9; dense 8; dropout 0.0; dense 3",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(noise) {
    static const char *const nets[] = {
        "input 20; dense 33; noise 0.3; act tanh; dense 4",
        "input 20; dense 33; noise 0.3 dropout; act tanh; dense 4",
        "input 20; dense 33; noise 0.3 alpha; act selu; dense 4",
        "input 20; noise 0.1; dense 7; noise 0 alpha; noise 0.2 alpha; dense 4",
        "input 6 6 3; conv f=16 k=3x3; noise 0.3 dropout; flatten; dense 3",
        "input 40 40; dense 30; noise 0.5; dense 3; gap; dense 2",
        "input 40 40; dense 30; noise 0.5 dropout; dense 3; gap; dense 2",
        "input 3 5; fold; dense 7; noise 0.5 alpha; unfold 3; flatten; dense 2",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(normalisation_of_a_sample) {
    static const char *const nets[] = {
        "input 7; dense 9; layer_norm; act relu; dense 4",
        "input 5 4; dense 70; layer_norm nobeta; dense 2",
        "input 5 4; dense 37; layer_norm nogamma; dense 2",
        "input 5 4; dense 3; layer_norm nogamma nobeta; dense 2",
        "input 7 6 3; conv f=16 k=3x3; layer_norm; flatten; dense 3",
        "input 7 6 3; conv f=16 k=3x3 nobias; group_norm 4; act relu; flatten; dense 3",
        "input 7 6 3; conv f=32 k=3x3; group_norm 2 nobeta; act relu; flatten; dense 3",
        "input 7 6 3; conv f=16 k=3x3; group_norm 16; max_pool k=2x2 s=2x2; flatten; dense 3",
        "input 7 6 3; conv f=6 k=3x3; group_norm 3 nogamma; flatten; dense 3",
        "input 7 6 3; conv f=16 k=3x3; group_norm 1 nogamma nobeta; flatten; dense 3",
        "input 9; dense 8; group_norm 2; dense 4",
        "input 6 5; dense 8; group_norm 4; act relu; dense 4",
        "input 2 6 5; fold; dense 8; layer_norm; dense 4; group_norm 2; unfold 2; flatten; dense 2",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
    nn_graph *g = net_build("input 7; dense 9; layer_norm; group_norm 3; dense 4");
    g->train.optimizer = pair_adam();
    for (int w = 2; w < 6; w++) g->weights[w].trainable = w % 2; /* gamma, gamma */
    pair_check_engines("frozen gammas", g, false);
    net_free(g);
}

TEST(learned_slopes_and_bounds) {
    static const char *const nets[] = {
        "input 7; dense 9; prelu; dense 4",
        "input 3 2 4; dense 6; prelu; dense 2",
        "input 3 2 4; dense 6; prelu shared=0x1; dense 2",
        "input 3 2 4; dense 6; prelu shared=2; dense 2",
        "input 3 2 4; dense 6; prelu shared=0x1x2; dense 2",
        "input 6 6 3; conv f=16 k=3x3; prelu shared=0x1; max_pool k=2x2 s=2x2; flatten; dense 3",
        "input 6 6 3; conv f=32 k=3x3; prelu; conv f=16 k=2x2; prelu shared=1; flatten; dense 3",
        "input 5; prelu; dense 3",
        "input 3 5; fold; dense 7; prelu; unfold 3; flatten; dense 2",
        "input 5; dense 30; clip -0.3 0.4; dense 2",
        "input 5; dense 30; clip -0.3 inf; dense 2",
        "input 6 6 3; conv f=16 k=3x3; clip 0 6; flatten; dense 3",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(activity_regularisers) {
    static const char *const nets[] = {
        "input 5; dense 4; activity_reg 0.02 0.03; dense 2",
        "input 5; dense 4; activity_reg 0 0.3; act relu; dense 2; activity_reg 0.1 0",
        "input 5; activity_reg 0.02 0.03; dense 2",
        "input 6 6 3; conv f=16 k=3x3; activity_reg 0.1 0.1; flatten; dense 3",
        "input 3 4; fold; dense 3; activity_reg 0.02 0.03; dense 2; unfold 3",
        "input 5; dense 4; activity_reg 0.02 0.03; dense 2 @1", /* off the way to the output */
        "input 5; dense 4; dense 3; activity_reg 0.2 0.3; dense 2 @1",
    };
    CHECK_ALL(nets, NN_LOSS_MSE);
}

TEST(losses) {
    static const struct {
        const char *net;
        nn_loss_kind loss;
        bool from_logits;
        double smoothing;
    } cases[] = {
        {"input 5 4; dense 3; softmax",            NN_LOSS_CTC,         false, 0  },
        {"input 6; dense 5; softmax",              NN_LOSS_MSE,         false, 0  },
        {"input 6; dense 5; act sigmoid",          NN_LOSS_MSE,         false, 0  },
        {"input 6; dense 10; softmax",             NN_LOSS_SPARSE,      false, 0  },
        {"input 6; dense 10; softmax",             NN_LOSS_CATEGORICAL, false, 0.1},
        {"input 6; dense 10; log_softmax",         NN_LOSS_SPARSE,      false, 0  },
        {"input 6; dense 10",                      NN_LOSS_CATEGORICAL, true,  0.2},
        {"input 6; dense 10; softmax",             NN_LOSS_SPARSE,      true,  0  },
        {"input 6; dense 5; act sigmoid",          NN_LOSS_CATEGORICAL, false, 0.1},
        {"input 6; dense 5; softmax; dropout 0.0", NN_LOSS_SPARSE,      false, 0  },
        {"input 6; dense 1; act sigmoid",          NN_LOSS_BINARY,      false, 0  },
        {"input 6; dense 5; act sigmoid",          NN_LOSS_BINARY,      false, 0.2},
        {"input 6; dense 3",                       NN_LOSS_BINARY,      true,  0.1},
        {"input 6; dense 3; softmax",              NN_LOSS_BINARY,      false, 0  },
        {"input 3 6; dense 3; act sigmoid",        NN_LOSS_BINARY,      false, 0  },
        {"input 3 6; dense 3; softmax",            NN_LOSS_MSE,         false, 0  },
        {"input 6; dense 4; softmax; dense 3",     NN_LOSS_MSE,         false, 0  },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_graph *g = net_build(cases[i].net);
        g->train.loss = cases[i].loss;
        g->train.from_logits = cases[i].from_logits;
        g->train.label_smoothing = cases[i].smoothing;
        g->train.optimizer = pair_adam();
        pair_check_engines(cases[i].net, g, false);
        net_free(g);
    }
}

TEST(regularised_gradients) {
    const char *text = "input 6 6 2; conv f=5 k=3x3; act tanh; flatten; dense 4; softmax";
    nn_graph *g = net_build(text);
    g->train.loss = NN_LOSS_SPARSE;
    g->train.optimizer = pair_adam();
    g->weights[0].regularizer = (nn_regularizer){.l1 = 0.02, .l2 = 0.05};
    g->weights[2].regularizer = (nn_regularizer){.l2 = 0.1};
    g->weights[3].regularizer = (nn_regularizer){.l1 = 0.1};
    g->weights[1].trainable = false; /* its gradient is 0 by definition */
    g->weights[1].regularizer = (nn_regularizer){.l2 = 100};
    pair_check_engines(text, g, false);
    net_free(g);
}

TEST(optimisers_and_what_surrounds_them) {
    const char *text = "input 8 8 2; conv f=6 k=3x3; bn; act relu; max_pool k=2x2 s=2x2; flatten; "
                       "dense 12; act tanh; dropout 0.2; dense 5; softmax";
    nn_optimizer rows[12];
    for (int i = 0; i < 12; i++) rows[i] = pair_adam();
    nn_optimizer sgd = {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1};
    rows[1].kind = NN_OPTIMIZER_ADAMW, rows[1].weight_decay = 0.1;
    rows[2].amsgrad = true;
    rows[3].clipnorm = 0.05;
    rows[4].clipvalue = 0.01;
    rows[5].global_clipnorm = 0.1;
    rows[6] = sgd;
    rows[7] = sgd, rows[7].momentum = 0.9;
    rows[8] = rows[7], rows[8].nesterov = true;
    rows[9] = rows[7], rows[9].weight_decay = 0.2;
    rows[10] = rows[7], rows[10].clipnorm = 0.1;
    rows[11] = sgd, rows[11].global_clipnorm = 0.1;
    for (int i = 0; i < 12; i++)
        for (int regularised = 0; regularised < 2; regularised++) {
            nn_graph *g = net_build(text);
            g->train.loss = NN_LOSS_SPARSE;
            g->train.optimizer = rows[i];
            if (regularised) {
                g->weights[0].regularizer = (nn_regularizer){.l1 = 1e-3, .l2 = 1e-2};
                g->weights[0].constraint =
                    (nn_constraint){.kind = NN_CONSTRAINT_MAX_NORM, .max = 0.9};
                g->weights[g->n_weights - 2].regularizer = (nn_regularizer){.l2 = 1e-2};
                g->weights[g->n_weights - 2].constraint =
                    (nn_constraint){.kind = NN_CONSTRAINT_UNIT_NORM};
                g->weights[g->n_weights - 1].trainable = false;
            }
            pair_check_engines(text, g, true);
            net_free(g);
        }
}

TEST(whole_networks) {
    check("input 12 12 1; conv f=8 k=3x3; act relu; conv f=16 k=3x3; act relu; max_pool k=2x2 "
          "s=2x2; dropout 0.25; flatten; dense 32; act relu; dropout 0.5; dense 10; softmax",
          NN_LOSS_SPARSE);
    check("input 10 10 3; conv f=16 k=3x3 p=same; act relu; avg_pool k=2x2 s=2x2; conv f=32 k=3x3; "
          "act gelu; gap; dense 10; softmax",
          NN_LOSS_CATEGORICAL);
    check("input 28 28 1; flatten; dense 128; act relu; dense 64; act relu; dense 10; softmax",
          NN_LOSS_SPARSE);
}

/* Loss that is not a number: nothing changes, and it is said where it began. */
TEST(not_finite) {
    const char *reason;
    for (unsigned i = 0; nn_engine_at(i); i++) {
        const nn_engine *e = nn_engine_at(i);
        if (!e->available(&reason)) continue;
        nn_graph *g = net_build("input 3; dense 4; act relu; dense 2");
        g->train.optimizer = pair_adam();
        nn_exec_options o = {.batch = 2, .training = true, .threads = 1};
        nn_exec *x = NULL;
        nn_err err;
        nn_step step;
        float before[64], after[64], values[4] = {0};
        nn_targets t = {.values = values};
        net_weights(g, 1, before);
        before[g->weights[2].offset] = INFINITY; /* in the second dense */
        CHECK_OK(e->open(g, &o, &x, &err), &err);
        e->set_weights(x, before);
        for (int k = 0; k < 6; k++) e->input(x, 0)[k] = 1;
        CHECK_OK(e->step(x, 2, &t, &step, &err), &err);
        CHECK(!step.finite);
        assert_int_equal(step.node, 3);
        e->get_weights(x, after);
        assert_memory_equal(before, after, (size_t)g->slab * sizeof *before);
        int64_t updates = -1;
        float slots[128];
        e->get_state(x, slots, &updates);
        assert_int_equal(updates, 0);
        e->close(x);
        net_free(g);
    }
}

/* Weights after five steps of two threads, the last one with fewer rows; to be freed. */
static float *stepped(const nn_engine *e, nn_graph *g, uint64_t seed) {
    float *out = net_alloc(g->slab, sizeof *out), *in = net_alloc(BATCH * net_in(g), sizeof *in);
    nn_exec_options o = {.batch = BATCH, .training = true, .threads = 2, .seed = seed};
    nn_exec *x = NULL;
    nn_err err;
    nn_step step;
    int32_t labels[BATCH];
    float values[BATCH * 4];
    nn_targets t = net_targets(g, BATCH, 5, labels, values);
    net_random_f(in, BATCH * net_in(g), 3);
    net_weights(g, 4, out);
    CHECK_OK(e->open(g, &o, &x, &err), &err);
    e->set_weights(x, out);
    for (int k = 0; k < 5; k++) {
        memcpy(e->input(x, 0), in, (size_t)(BATCH * net_in(g)) * sizeof *in);
        CHECK_OK(e->step(x, k == 4 ? 3 : BATCH, &t, &step, &err), &err);
    }
    e->get_weights(x, out);
    e->close(x);
    free(in);
    return out;
}

/* The same seed and threads give the same bytes; another seed drops other elements. */
TEST(steps_are_deterministic) {
    static const char *const nets[] = {
        "input 12 12 1; conv f=8 k=3x3; act relu; max_pool k=2x2 s=2x2; flatten; dense 16; bn; "
        "act relu; dropout 0.5; dense 4; softmax",
        "input 12 12 16; conv f=16 k=3x3 p=same; prelu; group_norm 4; merge add @3,0; noise 0.3; "
        "layer_norm; conv f=32 k=1x1 @4; dense 16 @6; concat 2 @7,8,5; noise 0.2 alpha; "
        "activity_reg 0.01 0.01; flatten; dense 20; dense 20 @12; dot 0 0 normalize @13,14; "
        "concat 0 @15,13; dense 4; softmax",
    };
    const char *reason;
    for (unsigned i = 0; nn_engine_at(i); i++)
        for (size_t k = 0; k < sizeof nets / sizeof *nets && nn_engine_at(i)->available(&reason);
             k++) {
            nn_graph *g = net_build(nets[k]);
            g->train.loss = NN_LOSS_SPARSE;
            float *out[3];
            for (int run = 0; run < 3; run++) out[run] = stepped(nn_engine_at(i), g, run == 2);
            assert_memory_equal(out[0], out[1], (size_t)g->slab * sizeof(float));
            assert_memory_not_equal(out[0], out[2], (size_t)g->slab * sizeof(float));
            for (int run = 0; run < 3; run++) free(out[run]);
            net_free(g);
        }
}
