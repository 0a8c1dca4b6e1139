/* SPDX-License-Identifier: MIT */
/* test_graphs.c - every engine against `reference` over graphs that are not chains: ops of several
 * inputs, values that several read, rows times an axis. */
#include "net.h"
#include "pairs.h"
#include "t.h"

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

/* The '*' of the text is the kind. */
static void check_kind(const char *text, nn_merge kind) {
    char whole[400];
    const char *at = strchr(text, '*');
    snprintf(whole, sizeof whole, "%.*s%s%s", (int)(at - text), text, nn_merge_name(kind), at + 1);
    check(whole);
}

TEST(merges) {
    static const char *const shapes[] = {
        "input 3 4; input 4; dense 4 @0; dense 4 @1; merge * @2,3",
        "input 3 4; input 3 1; dense 4 @0; dense 1 @1; merge * @3,2",
        "input 3 4; dense 4; dense 4 @0; merge * @1,2",
        "input 4; dense 4; dense 4 @0; merge * @1,2",
        "input 4; input 3 1; dense 4 @0; dense 1 @1; merge * @2,3; dense 3",
        "input 2 3 5; input 2 1 5; dense 4; dense 4 @0; merge * @2,3; dense 2",
        "input 6 6 3; conv f=16 k=3x3; act relu; gap keepdims; dense 16; merge * @2,4; "
        "flatten; dense 2",
        "input 6 6 3; conv f=32 k=3x3; conv f=32 k=3x3 p=same @1; merge * @1,2; act relu; "
        "flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; dense 16 @0; conv f=16 k=3x3 @2; merge * @3,1; dense 2",
        "input 6 6 3; conv f=16 k=3x3; flatten; input 256; dense 256; merge * @2,4; dense 2",
        "input 6 6 3; conv f=16 k=3x3; flatten; conv f=16 k=3x3 @0; flatten; merge * @2,4; dense 2",
        "input 9 9 3; dense 40; dense 40 @0; merge * @1,2; dense 2",
    };
    static const char *const many[] = {
        "input 5; dense 4; dense 4 @0; dense 4 @0; merge * @1,2,3",
        "input 3 4; input 4; input 3 1; dense 4 @0; dense 4 @1; dense 1 @2; merge * @5,3,4",
        ("input 3 4; input 1 4; dense 1 @0; dense 4 @1; dense 1 @1; dense 4 @0; "
         "merge * @4,2,3,5; dense 2"),
        "input 4; dense 4; merge * @1,0,1,0; dense 2",
        "input 50 50; dense 50; dense 50; dense 50; merge * @1,2,3,1; gap; dense 2",
    };
    for (int kind = 0; kind < NN_MERGE_COUNT; kind++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_kind(shapes[i], (nn_merge)kind);
        for (size_t i = 0; i < sizeof many / sizeof *many && kind != NN_MERGE_SUBTRACT; i++)
            check_kind(many[i], (nn_merge)kind);
    }
}

/* Values that several ops read, of which not all may be fused, relaid or learn. */
TEST(branches) {
    static const char *const nets[] = {
        "input 5; dense 4; act relu; dense 4; merge add @2,3; dense 2",
        "input 5; dense 4; act relu @1; dense 4 @1; merge add @2,3; dense 2",
        "input 5; dense 4; act relu; merge add @2,2; dense 2",
        "input 5; dense 4; act relu; dense 3 @2; dense 3 @2; dense 3 @2; merge multiply @3,4,5",
        "input 5; input 5; merge add @0,1; dense 2",
        "input 5; input 5; dense 5 @1; merge add @0,2; dense 2",
        "input 5; dropout 0.5; dense 5; dropout 0.3; merge add @1,3,3; dense 2",
        "input 8 8 3; conv f=16 k=3x3; act relu; conv f=16 k=3x3 p=same; bn; act relu; "
        "conv f=16 k=3x3 p=same; bn; merge add @7,2; act relu; gap; dense 3",
        "input 8 8 3; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; avg_pool k=2x2 s=2x2 @2; "
        "merge add @3,4; flatten; dense 3",
        "input 8 8 3; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2 @1; avg_pool k=2x2 s=2x2 @2; "
        "merge add @3,4; flatten; dense 3",
        "input 8 8 3; conv f=16 k=3x3; dense 5 @1; dense 5 @1; conv f=5 k=1x1 @1; "
        "merge maximum @2,3,4; flatten; dense 3",
        "input 8 8 3; conv f=16 k=3x3; flatten; dense 4; flatten @1; dense 4; gap @1; dense 4; "
        "merge multiply @3,5,7; dense 2",
        "input 4 6; fold; dense 3; act relu; dense 3; merge add @3,4; unfold 4; dense 2; "
        "flatten; dense 2",
        "input 4 6; fold; dense 6; unfold 4; merge multiply @3,0; fold; merge add @5,1; dense 2; "
        "unfold 4",
        "input 4 6; dense 6; fold; dense 6; unfold 4; merge add @4,1; flatten; dense 2",
    };
    CHECK_ALL(nets);
}

/* In inference these write where they read, unless something else reads it too; normalisations go
 * into the weights before them. */
TEST(values_that_are_overwritten) {
    static const char *const nets[] = {
        "input 5; act tanh; dense 4; act gelu; clip -1 1; softmax; dense 3; act tanh",
        "input 5; dense 4; act gelu; act tanh @1; merge add @2,3; act silu; dense 2",
        "input 5; dense 4; act linear; act tanh; dropout 0.2 @1; merge add @3,4; dense 2",
        "input 5; dense 4; act linear; act linear; act tanh; merge add @4,1; dense 2",
        "input 5; dense 4; act relu; act tanh; layer_norm; prelu; group_norm 2; log_softmax; dense 2",
        ("input 6 6 3; conv f=16 k=3x3; act tanh; group_norm 4; layer_norm; conv f=16 k=3x3; "
         "act silu; flatten; act tanh; dense 2"),
        "input 4 5; fold; dense 5; act tanh; unfold 4; act silu; merge add @5,0; act tanh; dense 2",
        "input 4 5; dense 4; fold; act tanh; unfold 4; act silu; flatten; dense 2",
        "input 8 8 3; conv f=16 k=3x3; act gelu; max_pool k=2x2 s=2x2; act tanh; flatten; dense 2",
    };
    static const char *const normalised[] = {
        "input 5; dense 4; bn; act tanh; dense 6 nobias; dense 3",
        "input 5; dense 4; bn; act relu; dense 6 nobias; bn nobeta; dense 3",
        "input 5; dense 4; bn; merge add @1,2; dense 3",
        ("input 8 8 3; conv f=16 k=3x3 nobias; bn; act relu; conv f=16 k=3x3 p=same; bn; "
         "merge add @5,3; act relu; gap; dense 3"),
        "input 9 9 3; conv f=16 k=2x2; bn; act relu; max_pool k=2x2 s=2x2; flatten; dense 3",
        "input 9 9 4; conv f=16 k=2x2 g=2; bn nogamma; act silu; flatten; dense 3",
        "input 12 4; conv f=5 k=3; bn nobeta; act relu; flatten; dense 3",
        "input 3 6 4; fold; conv f=8 k=2; bn; act relu; flatten; unfold 3; dense 2",
    };
    CHECK_ALL(nets);
    for (size_t i = 0; i < sizeof normalised / sizeof *normalised; i++) {
        nn_graph *g = net_build(normalised[i]);
        pair_check_inference(normalised[i], g);
        net_free(g);
    }
}

TEST(rows_times_an_axis) {
    static const char *const nets[] = {
        "input 3 5; fold; dense 4; act tanh; unfold 3; flatten; dense 2",
        "input 3 4 2; fold; fold; dense 3; act relu; unfold 4; dense 2; unfold 3; flatten; dense 2",
        "input 3 7 6 2; fold; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; unfold 3; flatten; "
        "dense 2",
        "input 5 9 8 3; fold; conv f=16 k=3x3; flatten; unfold 5; dense 4; flatten; dense 2",
        "input 4 6; dense 5; fold; dropout 0.4; dense 3; softmax; unfold 4; flatten; dense 2",
        "input 4 20 20 1; fold; conv f=16 k=1x1; act relu; max_pool k=2x2 s=2x2; unfold 4; gap; "
        "dense 2",
    };
    CHECK_ALL(nets);
    nn_graph *g = net_build("input 3 5; fold; dense 4; bn; act tanh; unfold 3; flatten; dense 2");
    g->train.optimizer = pair_adam();
    pair_check_engines("bn inside a fold", g, true); /* a single row would have three steps */
    net_free(g);
}

TEST(concatenations) {
    static const char *const nets[] = {
        "input 5; input 3; concat 0 @0,1; dense 2",
        "input 5; dense 4; dense 3 @0; concat 0 @2,1,0,2; dense 2",
        "input 3 4; input 2 4; dense 4 @0; dense 4 @1; concat 0 @2,3; dense 2",
        "input 3 4; dense 3; dense 2 @0; concat 1 @1,2,1; dense 2",
        "input 2 3 4; input 2 5 4; dense 4 @0; concat 1 @2,1; dense 2",
        "input 6 6 3; conv f=16 k=3x3; conv f=32 k=3x3 @0; concat 2 @1,2; act relu; flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; conv f=20 k=3x3 @0; concat 2 @1,2; act relu; flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; conv f=16 k=2x3 @0; concat 0 @1,2; conv f=16 k=3x3; "
        "flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; conv f=16 k=3x2 @0; dense 16 @1; concat 1 @1,2,3; gap; dense 2",
        "input 6 6 3; conv f=16 k=3x3; act relu; conv f=16 k=3x3 p=same; concat 2 @2,3; "
        "conv f=16 k=1x1; merge add @5,2; flatten; dense 2",
    };
    CHECK_ALL(nets);
}

TEST(axes_in_another_order) {
    static const char *const nets[] = {
        "input 3 4 5; dense 4; transpose 2 1 0; dense 2",
        "input 3 4 5; dense 4; transpose 0 2 1; dense 2",
        "input 3 4 5; dense 4; transpose 1 2 0; dense 2",
        "input 3 4 5 2; dense 4; transpose 3 1 0 2; dense 2",
        "input 2 3 4 5; dense 5; transpose 1 0 2 3; dense 2",
        "input 40 35; dense 50; transpose 1 0; dense 3; gap; dense 2",
        "input 5 1 4; dense 3; transpose 1 2 0; dense 2; flatten; dense 2",
        "input 5 4; dense 3; reverse 0; dense 2",
        "input 5 4; dense 3; reverse 1; dense 2; flatten; dense 2",
        "input 3 2 4 2; dense 3; reverse 1; reverse 3; reverse 0; dense 2",
        "input 1 4; dense 3; reverse 0; dense 2",
        "input 6 6 3; conv f=32 k=3x3; reverse 2; conv f=16 k=2x2; reverse 0; flatten; dense 2",
        "input 6 6 3; conv f=32 k=3x3; transpose 1 0 2; conv f=16 k=2x2; flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; reshape 16 16; conv f=16 k=3; flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; reshape 2 8 16; conv f=16 k=2x3; reshape 6 16; "
        "conv f=32 k=2; reshape 5 4 8; dense 2; flatten; dense 2",
        "input 6 6 3; conv f=16 k=3x3; reshape 8 32; dense 3; reshape 2 2 6; dense 2",
        "input 2 6 6 3; fold; conv f=32 k=3x3; reshape 16 32; conv f=16 k=3; unfold 2; flatten; "
        "dense 2",
    };
    CHECK_ALL(nets);
}

TEST(products_of_two_inputs) {
    static const char *const nets[] = {
        "input 5; dense 4; dense 4 @0; dot 0 0 @1,2; dense 2",
        "input 5; dense 4; dense 4 @0; dot 0 0 normalize @1,2; dense 2",
        "input 5; dense 4; dot 0 0 normalize @1,1; dense 2",
        "input 3 4; input 4 2; dense 4 @0; dense 2 @1; dot 1 0 @2,3; dense 2",
        "input 3 4; input 2 3 2; dense 4 @0; dense 2 @1; dot 0 1 normalize @2,3; flatten; dense 2",
        "input 6 20; input 20 5; dense 20 @0; dense 33 @1; dot 1 0 @2,3; dense 2; flatten; dense 2",
        "input 6 20; dense 7; dense 7 @0; dot 1 1 normalize @1,2; dense 2; flatten; dense 2",
        "input 40 6; dense 7; dense 9 @0; dot 0 0 @1,2; dense 2; flatten; dense 2",
        "input 20 6; dense 7; dense 7; dot 1 1 @1,2; merge multiply @3,3; dense 2; gap; dense 2",
        "input 6 6 3; conv f=16 k=3x3; conv f=16 k=3x3 @0; dot 2 2 @1,2; flatten; dense 2",
    };
    CHECK_ALL(nets);
}
