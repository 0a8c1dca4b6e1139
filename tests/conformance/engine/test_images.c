/* SPDX-License-Identifier: MIT */
/* test_images.c - ops with spatial axes on every engine against `reference`, over ranks, strides,
 * dilations, groups, paddings, and channels in blocks and not. */
#include "engine/reference/reference.h"
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void check(const char *text) {
    nn_graph *g = net_build(text);
    g->train.optimizer = pair_adam();
    pair_check_engines(text, g, false);
    net_free(g);
}

static void check_all(const char *const *nets, size_t n) {
    for (size_t i = 0; i < n; i++) check(nets[i]);
}
#define CHECK_ALL(nets) check_all(nets, sizeof(nets) / sizeof *(nets))

__attribute__((format(printf, 1, 2))) static void check_f(const char *fmt, ...) {
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    check(text);
}

/* What a window of size 3 (or 2 along other axes) does, by number of axes. */
static const char *const inputs[] = {"7", "7 6", "4 3 5"};
static const char *const sizes[] = {"3", "3x2", "2x1x3"};
static const char *const strides[] = {"s=2", "s=2x1", "s=1x2x2"};
static const char *const dilations[] = {"d=2", "d=1x3", "d=2x1x2"};
static const char *const asymmetric[] = {"p=2:0", "p=2:1x0:1", "p=1:0x0:0x2:1"};

/* Behind a dense layer, so that the gradient of the input is asked for. */
static void windows(const char *op, int axes, int channels, const char *more) {
    const char *s = strides[axes - 1], *d = dilations[axes - 1], *p = asymmetric[axes - 1];
    const char *options[][2] = {
        {"", ""      },
        {s,  ""      },
        {s,  "p=same"},
        {s,  p       },
        {d,  ""      },
        {d,  "p=same"},
        {d,  p       },
        {"", "p=same"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        check_f("input %s 2; dense %d; act tanh; %s k=%s %s %s %s; dense 2", inputs[axes - 1],
                channels, op, sizes[axes - 1], options[i][0], options[i][1], more);
}

TEST(convolutions_of_all_ranks) {
    for (int axes = 1; axes <= 3; axes++) {
        windows("conv", axes, 3, "f=5");
        windows("conv", axes, 16, "f=16");
        windows("conv", axes, 4, "f=6 g=2 nobias");
    }
    windows("conv", 2, 3, "f=16");
    windows("conv", 2, 32, "f=32 g=2");
    windows("conv", 2, 16, "f=16 g=16"); /* depthwise */
    windows("conv", 1, 6, "f=6 g=6");
    windows("conv", 3, 3, "f=6 g=3"); /* with a depth multiplier */
}

/* Causal padding, a separable convolution as it is lowered, and a first layer. */
TEST(convolutions_as_layers_lower_them) {
    static const char *const nets[] = {
        "input 9 3; conv f=4 k=3 p=2:0; act relu; conv f=4 k=3 d=2 p=4:0; gap; dense 2",
        "input 8 3; conv f=16 k=2 p=1:0; act relu; conv f=16 k=2 d=4 p=4:0; flatten; dense 2",
        "input 7 6 4; dense 4; conv f=8 k=3x3 g=4 p=same nobias; conv f=5 k=1x1; flatten; dense 2",
        "input 7 7 16; conv f=16 k=3x3 g=16 s=2x2 p=same nobias; conv f=32 k=1x1; bn; act relu; gap; dense 2",
        "input 9 2; conv f=4 k=3 g=2 nobias; conv f=5 k=1; act relu; max_pool k=2 s=2; flatten; dense 2",
        "input 4 4 1; conv f=16 k=4x4 p=3:3x3:3; gap; dense 2",
        "input 5 5 3; conv f=16 k=1x1 s=3x3; act relu; conv f=16 k=2x2; flatten; dense 2",
    };
    CHECK_ALL(nets);
}

TEST(transposed_convolutions) {
    for (int axes = 1; axes <= 3; axes++) {
        windows("conv_transpose", axes, 3, "f=5");
        windows("conv_transpose", axes, 16, "f=16 nobias");
        windows("conv_transpose", axes, 4, "f=6 g=2");
        windows("conv_transpose", axes, 4, "f=4 g=4");
    }
    static const char *const nets[] = {
        "input 4 2; conv_transpose f=3 k=2 s=3; dense 2", /* gaps between windows */
        "input 4 2; dense 3; conv_transpose f=16 k=1 s=3; dense 2",
        "input 4 3 2; dense 2; conv_transpose f=2 k=3x3 s=2x2 p=1x0 op=1x0 nobias; dense 2",
        "input 4 3 2; dense 16; conv_transpose f=16 k=3x3 s=2x2 p=same op=1x1; act relu; dense 2",
        "input 5 2; dense 2; conv_transpose f=3 k=3 d=3 p=1:1 op=2; dense 2", /* more than a stride
                                                                               */
        "input 5 4 16; conv_transpose f=16 k=3x2 d=2x3 p=1x0 op=1x2; act tanh; dense 2",
        ("input 8; dense 32; reshape 2 1 16; conv_transpose f=16 k=4x4 s=2x2 p=same; bn; act relu; "
         "conv_transpose f=1 k=4x4 s=2x2 p=same; act tanh"),
        "input 6 5 1; conv_transpose f=3 k=3x3; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; gap; dense 2",
    };
    CHECK_ALL(nets);
}

TEST(pooling_of_all_ranks) {
    static const char *const kinds[] = {"max_pool", "avg_pool"};
    for (int k = 0; k < 2; k++)
        for (int axes = 1; axes <= 3; axes++) {
            windows(kinds[k], axes, 3, "");
            windows(kinds[k], axes, 16, "");
        }
}

TEST(global_and_adaptive_pooling) {
    static const char *const kinds[] = {"max", "avg"};
    for (int k = 0; k < 2; k++) {
        const char *kind = kinds[k], *global = k ? "gap" : "global_max_pool";
        check_f("input 6 5 3; conv f=4 k=3x3; %s; dense 3", global);
        check_f(
            "input 6 5 3; conv f=16 k=3x3; act relu; %s keepdims; conv f=2 k=1x1; flatten; dense 3",
            global);
        check_f("input 7 3; dense 5; %s; dense 2", global);
        check_f("input 3 4 3 2; conv f=16 k=2x2x2; %s keepdims; flatten; dense 2", global);
        check_f("input 5 7 2; dense 2; adaptive_%s_pool 2 3; flatten; dense 2", kind);
        check_f("input 6 6 3; conv f=16 k=2x2; act relu; adaptive_%s_pool 2 2; flatten; dense 2",
                kind);
        check_f("input 5 2; dense 3; adaptive_%s_pool 7; dense 2", kind);
        check_f("input 3 4 5 2; dense 2; adaptive_%s_pool 2 4 1; dense 2", kind);
        check_f("input 4 4 3; conv f=16 k=2x2; adaptive_%s_pool 5 1; dense 2", kind);
    }
}

/* The mean of the steps whose token is not 0; of one step, there are rows without any. */
TEST(masked_global_average) {
    static const char *const nets[] = {
        "input 5 3; input 5; dense 4 @0; gap @2,1; dense 2",
        "input 1 3; input 1; dense 4 @0; gap @2,1; dense 2",
        "input 8 3; input 6; conv f=16 k=3 @0; act relu; gap keepdims @3,1; flatten; dense 2",
        "input 6 3; input 6; gap @0,1; dense 2",
    };
    CHECK_ALL(nets);
}

TEST(larger_and_smaller_images) {
    static const char *const nets[] = {
        "input 3 2; dense 2; upsample 3; dense 2",
        "input 3 2 2; dense 2; upsample 2 3; dense 2",
        "input 5 4 3; conv f=16 k=2x2; act relu; upsample 2 2; conv f=16 k=3x3; gap; dense 2",
        "input 2 2 2 1; dense 2; upsample 2 1 3; dense 2",
        "input 3 4 2; dense 2; upsample 2 3 bilinear; dense 2",
        "input 1 4 3; dense 2; upsample 4 2 bilinear; dense 2",
        "input 5 4 3; conv f=32 k=2x2; upsample 3 2 bilinear; conv f=16 k=1x1; flatten; dense 2",
        "input 3 2; dense 2; pad 2:1; dense 2",
        "input 3 2 2; dense 2; pad 1:0x2:1; conv f=3 k=2x2; flatten; dense 2",
        "input 4 4 3; conv f=16 k=2x2; act relu; pad 1x1; conv f=16 k=3x3; gap; dense 2",
        "input 2 3 2 1; dense 2; pad 0:1x2:0x1:1; dense 2",
        "input 5 6 2; dense 2; crop 1:2x0:3; dense 2",
        "input 6 3; dense 3; crop 0:2; dense 2",
        "input 6 6 3; conv f=16 k=2x2; act relu; crop 1:1x2:0; conv f=2 k=1x1; gap; dense 2",
        "input 4 3 4 1; dense 2; crop 1:1x0:1x2:0; dense 2",
    };
    CHECK_ALL(nets);
}

TEST(convolutional_lstm) {
    static const char *const nets[] = {
        "input 3 5 2; dense 2; conv_lstm f=3 k=2; dense 2",
        "input 4 5 4 1; conv_lstm f=2 k=3x2 s=2x1 p=same sequences reverse nobias; dense 2",
        "input 3 5 4 3; dense 3; conv_lstm f=4 k=3x3 p=same sequences; dense 3; flatten; dense 2",
        "input 3 5 4 2; dense 16; conv_lstm f=16 k=3x3 p=same; conv f=3 k=2x2; flatten; dense 2",
        "input 2 3 3 2 1; dense 2; conv_lstm f=1 k=2x2x1 reverse; flatten; dense 2",
        "input 1 4 4 2; conv_lstm f=3 k=2x2; dense 2",
        "input 3 4 3 2; conv_lstm f=70 k=2x2 act=softsign gate=hard_sigmoid sequences; dense 2",
        "input 3 4 4 2; conv_lstm f=2 k=2x2 sequences; conv_lstm f=3 k=2x1 act=relu reverse; dense 2",
        "input 3 6 2; dense 2; conv_lstm f=2 k=2 d=2 p=same sequences; dense 2",
        "input 3 4 3 2; dense 2; conv_lstm f=5 k=2x2 act=elu gate=sigmoid sequences; dense 2",
        "input 3 5 2; dense 2; conv_lstm f=270 k=2 act=leaky_relu gate=hard_sigmoid; dense 2",
        "input 3 5 2; dense 2; conv_lstm f=4 k=2 dropout=0.4; dense 2",
        "input 4 5 2; dense 2; conv_lstm f=3 k=2 sequences recurrent_dropout=0.4; dense 2",
        ("input 3 5 4 3; dense 3; conv_lstm f=4 k=3x2 s=2x1 p=same sequences reverse dropout=0.3 "
         "recurrent_dropout=0.5; dense 2"),
        "input 1 4 4 2; dense 2; conv_lstm f=3 k=2x2 dropout=0.5 recurrent_dropout=0.5; dense 2",
    };
    CHECK_ALL(nets);
}

/* Loss of four rows while training, in doubles. */
static double training_loss(const char *text) {
    nn_graph *g = net_build(text);
    nn_exec_options o = {.batch = 4, .training = true, .seed = 9};
    nn_exec *x = NULL;
    float values[4 * 16], slab[1024];
    double weights[1024], from[4 * 64];
    int32_t labels[4 * 16];
    nn_err err = {0};
    CHECK_OK(nn_engine_reference.open(g, &o, &x, &err), &err);
    assert_true(g->slab <= 1024);
    net_weights(g, 1, slab);
    for (int64_t i = 0; i < g->slab; i++) weights[i] = slab[i];
    for (int i = 0; i < 4 * 64; i++) from[i] = sin(i);
    nn_targets t = net_targets(g, 4, 3, labels, values);
    double loss = nn_reference_loss(x, 4, from, &t, weights, true, NULL, NULL);
    nn_engine_reference.close(x);
    net_free(g);
    return loss;
}

/* Over images of one place a ConvLSTM is an LSTM, and what it drops is what that drops. */
TEST(dropout_inside_of_a_convolutional_lstm) {
    static const char *const options[] = {"", "dropout=0.4", "recurrent_dropout=0.5",
                                          "sequences reverse dropout=0.3 recurrent_dropout=0.2"};
    double seen[4];
    for (int i = 0; i < 4; i++) {
        char images[128], rows[128];
        snprintf(images, sizeof images, "input 5 1 6; conv_lstm f=4 k=1 %s; dense 2", options[i]);
        snprintf(rows, sizeof rows, "input 5 6; lstm 4 %s; dense 2", options[i]);
        seen[i] = training_loss(images);
        assert_true(seen[i] > 0 && fabs(seen[i] - training_loss(rows)) < 1e-12);
        assert_true(i == 0 || i == 3 || fabs(seen[i] - seen[0]) > 1e-4);
    }
}
