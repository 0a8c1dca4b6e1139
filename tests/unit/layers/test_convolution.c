/* SPDX-License-Identifier: MIT */
#include "one_layer.h"

#include <stdio.h>

/* torch.nn.Conv1d(1, 1, k, s, p, dil) on (1, 1, d), PyTorch 1.13. */
TEST(conv_sizes_are_those_of_torch) {
    static const int64_t rows[][6] = {
        {10, 3, 1, 0, 1, 8 },
        {10, 3, 2, 0, 1, 4 },
        {10, 3, 2, 1, 1, 5 },
        {11, 4, 3, 2, 1, 4 },
        {10, 3, 1, 0, 3, 4 },
        {10, 5, 1, 4, 2, 10},
        {7,  7, 1, 0, 1, 1 },
        {8,  1, 5, 0, 1, 2 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int64_t *r = rows[i];
        char want[32];
        snprintf(want, sizeof want, "(%d, 1)", (int)r[5]);
        assert_string_equal(
            one_shape("Conv1D", SHAPE(r[0], 1),
                      GIVE(INT("filters", 1), DIMS("kernel_size", r[1]), DIMS("strides", r[2]),
                           PADS(r[3]), DIMS("dilation_rate", r[4]))),
            want);
    }
}

/* torch.nn.ConvTranspose1d(1, 1, k, s, p, op, dilation=dil) on (1, 1, d), PyTorch 1.13. Its fifth
 * row, k < s without padding, is where Keras's "valid" differs. */
TEST(transposed_sizes_are_those_of_torch) {
    static const int64_t rows[][7] = {
        {5, 3, 1, 0, 1, 0, 7 },
        {5, 3, 2, 0, 1, 0, 11},
        {5, 3, 2, 1, 1, 1, 10},
        {5, 4, 2, 1, 1, 0, 10},
        {5, 2, 3, 0, 1, 0, 14},
        {5, 2, 3, 0, 1, 2, 16},
        {5, 3, 1, 1, 2, 0, 7 },
        {4, 5, 3, 2, 1, 2, 12},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int64_t *r = rows[i];
        char want[32];
        snprintf(want, sizeof want, "(%d, 1)", (int)r[6]);
        assert_string_equal(
            one_shape("Conv1DTranspose", SHAPE(r[0], 1),
                      GIVE(INT("filters", 1), DIMS("kernel_size", r[1]), DIMS("strides", r[2]),
                           PADS(r[3]), DIMS("dilation_rate", r[4]), DIMS("output_padding", r[5]))),
            want);
    }
}

/* language.md 13.2: valid d s + max(ke - s, 0), same d s. */
TEST(transposed_sizes_are_those_of_keras) {
    const given *wide = GIVE(INT("filters", 4), DIMS("kernel_size", 5, 2), DIMS("strides", 2, 3));
    /* 7 * 2 + 5 - 2 = 17, 7 * 3 + 0 = 21 */
    assert_string_equal(one_shape("Conv2DTranspose", SHAPE(7, 7, 2), wide), "(17, 21, 4)");
    assert_string_equal(
        one_shape("Conv2DTranspose", SHAPE(7, 7, 2),
                  GIVE(INT("filters", 4), DIMS("kernel_size", 5, 2), DIMS("strides", 2, 3), SAME)),
        "(14, 21, 4)");
    /* padding=0 is not "valid": (7 - 1) * 3 + 2 = 20 */
    assert_string_equal(one_shape("Conv2DTranspose", SHAPE(7, 7, 2),
                                  GIVE(INT("filters", 4), DIMS("kernel_size", 5, 2),
                                       DIMS("strides", 2, 3), PADS(0, 0))),
                        "(17, 20, 4)");
}

/* Keras with output_padding: same (d - 1) s + ke % 2 + more, cut as TensorFlow's conv_transpose
 * does for an output of that size: total = (d - 1) s + ke - out, half of it before. */
TEST(output_padding_with_same) {
    built r = one_build("Conv2DTranspose", SHAPE(5, 5, 1),
                        GIVE(INT("filters", 1), DIMS("kernel_size", 3, 5), DIMS("strides", 2, 3),
                             SAME, DIMS("output_padding", 1, 2)),
                        false);
    CHECK_OK(r.status, &r.err);
    const nn_node *n = &r.graph->nodes[r.out];
    CHECK(n->attr.conv_transpose.window.same); /* 1 + 1 = 2 and 1 + 2 = 3: plain d * s */
    CHECK(n->shape.dim[0] == 10 && n->shape.dim[1] == 15);
    nn_arena_free(r.arena);

    r = one_build("Conv2DTranspose", SHAPE(5, 5, 1),
                  GIVE(INT("filters", 1), DIMS("kernel_size", 3, 4), DIMS("strides", 2, 2), SAME,
                       DIMS("output_padding", 0, 1)),
                  false);
    CHECK_OK(r.status, &r.err);
    n = &r.graph->nodes[r.out];
    /* 4 * 2 + 1 + 0 = 9, of 11 in all: 1 before, 1 after; 4 * 2 + 0 + 1 = 9, of 12: 1, and 2 after,
     * 3 before the row of output_padding comes back */
    const nn_window *w = &n->attr.conv_transpose.window;
    CHECK(n->shape.dim[0] == 9 && n->shape.dim[1] == 9 && !w->same);
    CHECK(w->pad_before[0] == 1 && w->pad_after[0] == 1);
    CHECK(w->pad_before[1] == 1 && w->pad_after[1] == 3);
    nn_arena_free(r.arena);
}

/* ceil(d / s), all zeros before: ke - 1 of them. */
TEST(causal) {
    built r = one_build("Conv1D", SHAPE(11, 2),
                        GIVE(INT("filters", 4), DIMS("kernel_size", 3), DIMS("strides", 4), CAUSAL),
                        false);
    CHECK_OK(r.status, &r.err);
    const nn_node *n = &r.graph->nodes[r.out];
    assert_int_equal(n->shape.dim[0], 3);
    CHECK(n->attr.conv.window.pad_before[0] == 2 && n->attr.conv.window.pad_after[0] == 0);
    nn_arena_free(r.arena);
    assert_string_equal(one_shape("Conv1D", SHAPE(11, 2),
                                  GIVE(INT("filters", 4), DIMS("kernel_size", 3),
                                       DIMS("dilation_rate", 8), CAUSAL)),
                        "(11, 4)");
    one_refused("DepthwiseConv1D", SHAPE(11, 2), GIVE(DIMS("kernel_size", 3), CAUSAL),
                NN_E_DSL_ERROR, true, "causal\" is for Conv1D alone",
                "insert ZeroPadding1D((2, 0)) before it");
}

static void check_weight(const built *r, int i, const char *name, const char *shape, int64_t fan_in,
                         int64_t fan_out) {
    char text[160];
    const nn_weight *w = &r->graph->weights[i];
    assert_string_equal(w->name, name);
    assert_string_equal(nn_shape_print(&w->shape, false, text, sizeof text), shape);
    if (fan_in) assert_int_equal(w->fan_in, fan_in);
    if (fan_out) assert_int_equal(w->fan_out, fan_out);
}

/* keras/src/initializers/random_initializers.py, compute_fans, of the shapes that Keras's layers
 * give their kernels: (3, 2, in / groups, filters), (3, 2, filters, in), (3, 2, in, multiplier). */
TEST(fans_are_those_of_keras) {
    built r =
        one_build("Conv2D", SHAPE(8, 8, 6),
                  GIVE(INT("filters", 9), DIMS("kernel_size", 3, 2), INT("groups", 3)), false);
    CHECK_OK(r.status, &r.err);
    check_weight(&r, 0, "it.kernel", "(3, 2, 2, 9)", 6 * 2, 6 * 9);
    check_weight(&r, 1, "it.bias", "(9,)", 0, 0);
    nn_arena_free(r.arena);

    r = one_build("Conv2DTranspose", SHAPE(8, 8, 6),
                  GIVE(INT("filters", 9), DIMS("kernel_size", 3, 2)), false);
    CHECK_OK(r.status, &r.err);
    check_weight(&r, 0, "it.kernel", "(3, 2, 9, 6)", 6 * 9, 6 * 6);
    nn_arena_free(r.arena);

    r = one_build("DepthwiseConv2D", SHAPE(8, 8, 6),
                  GIVE(DIMS("kernel_size", 3, 2), INT("depth_multiplier", 4)), false);
    CHECK_OK(r.status, &r.err);
    check_weight(&r, 0, "it.kernel", "(3, 2, 1, 24)", 6 * 6, 6 * 4);
    check_weight(&r, 1, "it.bias", "(24,)", 0, 0);
    nn_arena_free(r.arena);

    r = one_build("SeparableConv2D", SHAPE(8, 8, 6),
                  GIVE(INT("filters", 5), DIMS("kernel_size", 3, 2), INT("depth_multiplier", 4)),
                  false);
    CHECK_OK(r.status, &r.err);
    assert_int_equal(r.graph->n_weights, 3);
    check_weight(&r, 0, "it.depthwise.kernel", "(3, 2, 1, 24)", 6 * 6, 6 * 4);
    check_weight(&r, 1, "it.kernel", "(1, 1, 24, 5)", 24, 5);
    check_weight(&r, 2, "it.bias", "(5,)", 0, 0);
    nn_arena_free(r.arena);
}

/* Each argument of a separable layer reaches its own kernel. */
TEST(separable_arguments) {
    built r = one_build("SeparableConv1D", SHAPE(8, 2),
                        GIVE(INT("filters", 5), DIMS("kernel_size", 3),
                             {"depthwise_initializer", {.init = {.kind = NN_INIT_ONES}}},
                             {"pointwise_initializer", {.init = {.kind = NN_INIT_HE_NORMAL}}},
                             {"depthwise_regularizer", {.reg = {1, 2}}},
                             {"pointwise_regularizer", {.reg = {3, 4}}},
                             {"bias_regularizer", {.reg = {5, 6}}},
                             {"depthwise_constraint", {.con = {.kind = NN_CONSTRAINT_NON_NEG}}},
                             {"pointwise_constraint", {.con = {.kind = NN_CONSTRAINT_UNIT_NORM}}}),
                        false);
    CHECK_OK(r.status, &r.err);
    const nn_weight *w = r.graph->weights;
    CHECK(w[0].init.kind == NN_INIT_ONES && w[1].init.kind == NN_INIT_HE_NORMAL);
    CHECK(w[0].regularizer.l1 == 1 && w[1].regularizer.l1 == 3 && w[2].regularizer.l2 == 6);
    CHECK(w[0].constraint.kind == NN_CONSTRAINT_NON_NEG);
    CHECK(w[1].constraint.kind == NN_CONSTRAINT_UNIT_NORM);
    nn_arena_free(r.arena);
}

TEST(conv_refusals) {
    const given *plain = GIVE(INT("filters", 4), DIMS("kernel_size", 3, 3, 3));
    one_refused("Conv2D", SHAPE(28, 20), plain, NN_E_DSL_ERROR, false,
                "expected 3 axes, got 2: (height, width, channels) with input (28, 20)",
                "insert Reshape((28, 20, 1)) before it; Conv1D takes (steps, channels)");
    one_refused("Conv2D", SHAPE(-1, 20), plain, NN_E_DSL_ERROR, false, "expected 3 axes",
                "Conv1D takes (steps, channels)");
    one_refused("Conv1D", SHAPE(28, 28, 1), plain, NN_E_DSL_ERROR, false, "(steps, channels)",
                "Conv2D takes (height, width, channels); TimeDistributed(Conv1D(…))");
    one_refused("Conv3D", SHAPE(784), plain, NN_E_DSL_ERROR, false, "expected 4 axes, got 1",
                "insert Reshape((depth, height, width, channels))");
    one_refused("Conv2D", SHAPE(2, 2, 2, 2, 2), plain, NN_E_DSL_ERROR, false, "got 5", NULL);
    one_refused("Conv2D", SHAPE(2, 2, 2, 2, 2, 2, 2, 2), plain, NN_E_DSL_ERROR, false, "got 8",
                NULL);
    one_refused("Conv2D", (nn_shape){0}, plain, NN_E_DSL_ERROR, false, "got 0", "Reshape(");
    one_refused("Conv1D", SHAPE(28), GIVE(INT("filters", 4), DIMS("kernel_size", 3), FIRST),
                NN_E_DSL_ERROR, false, "(channels, steps) with", "insert Reshape((1, 28))");
    one_refused("Conv2D", SHAPE(4, 4, 3), GIVE(INT("filters", 4), DIMS("kernel_size", 3, 5)),
                NN_E_DSL_ERROR, false, "a window of 5 is larger than the input's 4", "padding");
    one_refused("Conv3D", SHAPE(9, 9, 9, 1),
                GIVE(INT("filters", 4), DIMS("kernel_size", 3, 3, 3), DIMS("strides", 1, 1, 2),
                     DIMS("dilation_rate", 2, 1, 1)),
                NN_E_DSL_ERROR, true, "strides above 1 cannot go with dilation_rate above 1",
                "use one of the two");
    one_refused("DepthwiseConv2D", SHAPE(9, 9, -1), GIVE(DIMS("kernel_size", 3, 3)), NN_E_DSL_ERROR,
                false, "number of channels must be known", "None");
    one_refused("DepthwiseConv2D", SHAPE(9, 9, 3),
                GIVE(DIMS("kernel_size", 3, 3), INT("depth_multiplier", NN_MAX_DIM)),
                NN_E_DSL_ERROR, true, "are more than 2147483647", NULL);
    one_refused("Conv2DTranspose", SHAPE(9, 9, 3),
                GIVE(INT("filters", 2), DIMS("kernel_size", 3, 3), DIMS("strides", 2, 2),
                     DIMS("output_padding", 1, 2)),
                NN_E_DSL_ERROR, true, "output_padding 2 must be less than strides 2", NULL);
    one_refused("Conv2DTranspose", SHAPE(9, 9, 4),
                GIVE(INT("filters", 6), DIMS("kernel_size", 3, 3), INT("groups", 4)),
                NN_E_DSL_ERROR, true, "groups=4 does not divide filters=6", NULL);
}

/* Sizes whose products pass 64 bits are refused, not wrapped. */
TEST(huge_windows) {
    const given *huge = GIVE(INT("filters", 2), DIMS("kernel_size", NN_MAX_DIM, NN_MAX_DIM),
                             DIMS("dilation_rate", NN_MAX_DIM, NN_MAX_DIM), SAME);
    const char *all[] = {"Conv2D", "Conv2DTranspose", "SeparableConv2D"};
    for (int i = 0; i < 3; i++) {
        built r = one_build(all[i], SHAPE(9, 9, 3), huge, false);
        CHECK(r.status != NN_OK);
        nn_arena_free(r.arena);
    }
}

TEST(conv_names) {
    const char *const same[][2] = {
        {"conv2d",                 "Conv2D"         },
        {"Convolution1D",          "Conv1D"         },
        {"ConvTranspose2d",        "Conv2DTranspose"},
        {"Deconv3D",               "Conv3DTranspose"},
        {"Convolution2DTranspose", "Conv2DTranspose"},
        {"SeparableConvolution2D", "SeparableConv2D"},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_string_equal(nn_layer_find(same[i][0])->name, same[i][1]);
}
