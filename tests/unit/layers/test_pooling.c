/* SPDX-License-Identifier: MIT */
#include "one_layer.h"

#include <stdio.h>

/* torch.nn.MaxPool1d(k, s) on (1, 1, d), PyTorch 1.13; "same" by hand, ceil(d / s). */
TEST(pool_sizes) {
    static const int64_t rows[][5] = {
        {29, 2, 2, 14, 15},
        {8,  3, 2, 3,  4 },
        {12, 3, 1, 10, 12},
        {10, 4, 3, 3,  4 }
    };
    const char *const kinds[] = {"MaxPooling1D", "AveragePooling1D"};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const int64_t *r = rows[i / 2];
        char want[32];
        snprintf(want, sizeof want, "(%d, 2)", (int)r[3]);
        assert_string_equal(one_shape(kinds[i % 2], SHAPE(r[0], 2),
                                      GIVE(DIMS("pool_size", r[1]), DIMS("strides", r[2]))),
                            want);
        snprintf(want, sizeof want, "(%d, 2)", (int)r[4]);
        assert_string_equal(one_shape(kinds[i % 2], SHAPE(r[0], 2),
                                      GIVE(DIMS("pool_size", r[1]), DIMS("strides", r[2]),
                                           WORD("padding", "same"))),
                            want);
    }
    assert_string_equal(one_shape("MaxPooling3D", SHAPE(6, 8, 9, 2), NULL), "(3, 4, 4, 2)");
    assert_string_equal(one_shape("MaxPooling3D", SHAPE(2, 6, 8, 9), GIVE(FIRST)), "(2, 3, 4, 4)");
}

TEST(global_pools) {
    const char *const kinds[] = {"GlobalMaxPooling", "GlobalAveragePooling"};
    static const nn_shape in[] = {
        {2, {5, 3}      },
        {3, {5, 6, 3}   },
        {4, {5, 6, 7, 3}}
    };
    const char *const kept[] = {"(1, 3)", "(1, 1, 3)", "(1, 1, 1, 3)"};
    for (int i = 0; i < 6; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s%dD", kinds[i % 2], i / 2 + 1);
        assert_string_equal(one_shape(name, in[i / 2], NULL), "(3,)");
        assert_string_equal(one_shape(name, in[i / 2], GIVE({"keepdims", {.b = true}})),
                            kept[i / 2]);
    }
    const given *first = GIVE(FIRST, {"keepdims", {.b = true}});
    assert_string_equal(one_shape("GlobalMaxPooling2D", SHAPE(3, 5, 6), first), "(3, 1, 1)");
    one_refused("GlobalMaxPooling2D", SHAPE(5, 3), NULL, NN_E_DSL_ERROR, false,
                "expected 3 axes, got 2", "GlobalMaxPooling1D takes (steps, channels)");
}

/* As in Keras, padded steps do not count in a mean; a maximum has no use for them. */
TEST(tokens_reach_the_mean) {
    built r = one_build("GlobalAveragePooling1D", SHAPE(5, 3), NULL, true);
    CHECK_OK(r.status, &r.err);
    const nn_node *n = &r.graph->nodes[r.out];
    CHECK(n->op == NN_OP_GLOBAL_AVG_POOL && n->n_inputs == 2);
    CHECK(n->inputs[0] == 0 && n->inputs[1] == 1);
    nn_arena_free(r.arena);
    r = one_build("GlobalMaxPooling1D", SHAPE(5, 3), NULL, true);
    CHECK_OK(r.status, &r.err);
    assert_int_equal(r.graph->nodes[r.out].n_inputs, 1);
    nn_arena_free(r.arena);
    r = one_build("GlobalAveragePooling1D", SHAPE(5, 3), GIVE(FIRST), true);
    CHECK(r.status == NN_E_DSL_ERROR && r.on_argument);
    nn_arena_free(r.arena);
}

/* torch.nn.AdaptiveAvgPool2d((3, 7)) on (1, 4, 5, 5) and AdaptiveMaxPool3d(2) on (1, 4, 5, 1, 6):
 * more places than the input has are welcome. */
TEST(adaptive_pools) {
    assert_string_equal(one_shape("AdaptiveAveragePooling2D", SHAPE(4, 5, 5),
                                  GIVE(DIMS("output_size", 3, 7), FIRST)),
                        "(4, 3, 7)");
    assert_string_equal(
        one_shape("AdaptiveMaxPool3d", SHAPE(5, 1, 6, 4), GIVE(DIMS("output_size", 2, 2, 2))),
        "(2, 2, 2, 4)");
    assert_string_equal(one_shape("AdaptiveAvgPool1d", SHAPE(-1, 4), GIVE(DIMS("output_size", 6))),
                        "(6, 4)");
}

TEST(pool_refusals) {
    one_refused("MaxPooling1D", SHAPE(3, 2), GIVE(DIMS("pool_size", 5)), NN_E_DSL_ERROR, false,
                "a window of 5 is larger than the input's 3", "make the window smaller");
    one_refused("AveragePooling2D", SHAPE(28, 28), NULL, NN_E_DSL_ERROR, false, "expected 3 axes",
                "Reshape((28, 28, 1))");
}
