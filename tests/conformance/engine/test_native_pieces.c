/* SPDX-License-Identifier: MIT */
/* Images so large that a convolution and its pooling run piece by piece (engine/native/plan.c: four
 * rows at a time here), in batches of whole and of broken pieces. */
#include "net.h"
#include "pairs.h"
#include "t.h"

static void check(const char *text) {
    nn_graph *g = net_build(text);
    g->train.optimizer = pair_adam();
    pair_check_engines(text, g, false);
    net_free(g);
}

TEST(native_convolution_and_pooling_in_pieces) {
    check(
        "input 260 260 1; conv f=16 k=1x1; act relu; max_pool k=2x2 s=2x2; max_pool k=8x8 s=8x8; flatten; dense 2");
    check(
        "input 200 200 3; conv f=5 k=1x1; act relu; max_pool k=3x2 s=2x2; max_pool k=8x8 s=8x8; flatten; dense 2");
    check(
        "input 200 200 1; conv f=16 k=1x1; conv f=16 k=1x1; max_pool k=2x2 s=2x2; max_pool k=8x8 s=8x8; flatten; dense 2");
}
