/* SPDX-License-Identifier: MIT */
#include "hand.h"

TEST(every_activation_by_name) {
    for (const char *const *name = nn_activation_names(); *name; name++) {
        hand h;
        HAND(&h, "Activation", SHAPE(3, 4));
        hand_arg(&h, "function")->s = *name;
        CHECK_OK(hand_build(&h), &h.err);
        const nn_node *n = &h.c.graph->nodes[h.out];
        CHECK(nn_shape_equal(&n->shape, &SHAPE(3, 4)));
        assert_string_equal(n->name, "x");
        hand_done(&h);
    }
}

TEST(only_some_take_an_alpha) {
    for (const char *const *name = nn_activation_names(); *name; name++) {
        hand h;
        bool takes = strcmp(*name, "leaky_relu") == 0 || strcmp(*name, "elu") == 0 ||
                     strcmp(*name, "celu") == 0;
        HAND(&h, "Activation", SHAPE(3));
        hand_arg(&h, "function")->s = *name;
        hand_arg(&h, "alpha")->f = 0.5;
        assert_int_equal(hand_build(&h), takes ? NN_OK : NN_E_DSL_ERROR);
        if (takes) CHECK(h.c.graph->nodes[h.out].attr.activation.alpha == 0.5);
        hand_done(&h);
    }
}

/* Keras: alpha has the shape of a sample and starts at 0. */
TEST(prelu_brings_its_slopes) {
    hand h;
    HAND(&h, "Dense", SHAPE(3));
    hand_arg(&h, "units")->i = 2;
    hand_arg(&h, "activation")->s = "prelu";
    hand_gives(&h, "%1 = matmul(%0) x units=2 bias : (batch, 2) [kernel (3, 2), bias (2,)]\n"
                   "%2 = prelu(%1) x.prelu : (batch, 2) [alpha (2,)]\n");
    HAND(&h, "PReLU", SHAPE(5, 6, 7));
    HAND_INTS(&h, "shared_axes", 1, 2);
    hand_gives(&h, "%1 = prelu(%0) x shared=3 : (batch, 5, 6, 7) [alpha (1, 1, 7)]\n");
    HAND(&h, "PReLU", SHAPE(5));
    hand_arg(&h, "alpha_regularizer")->reg.l2 = 0.5;
    CHECK_OK(hand_build(&h), &h.err);
    CHECK(h.c.graph->weights[0].init.kind == NN_INIT_ZEROS);
    CHECK(h.c.graph->weights[0].regularizer.l2 == 0.5 && h.c.graph->weights[0].trainable);
    hand_done(&h);
}

TEST(prelu_of_unknown_sizes) {
    hand h;
    HAND(&h, "PReLU", SHAPE(-1, 6));
    HAND_INTS(&h, "shared_axes", 1);
    hand_gives(&h, "%1 = prelu(%0) x shared=1 : (batch, ?, 6) [alpha (1, 6)]\n");
    HAND(&h, "PReLU", SHAPE(-1, 6));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "axis 1 has no known size, and there is a slope for every element of it with input "
               "(?, 6)");
    HAND(&h, "PReLU", SHAPE(5, 6));
    HAND_INTS(&h, "shared_axes", 3);
    hand_fails(&h, NN_E_DSL_ERROR, "shared_axes", "shared_axes must be axes from 1 to 2, got (3,)");
    HAND(&h, "PReLU", SHAPE(5, 6));
    HAND_INTS(&h, "shared_axes", 1, -1);
    hand_fails(&h, NN_E_DSL_ERROR, "shared_axes",
               "shared_axes must be axes from 1 to 2, got (1, ?)");
}

static void relu(double max, double slope, const char *graph) {
    hand h;
    HAND(&h, "ReLU", SHAPE(3));
    if (max > 0) hand_arg(&h, "max_value")->f = max;
    hand_arg(&h, "negative_slope")->f = slope;
    hand_gives(&h, graph);
}

TEST(relu_in_all_its_forms) {
    relu(0, 0, "%1 = activation(%0) x relu : (batch, 3)\n");
    relu(6, 0, "%1 = activation(%0) x relu6 : (batch, 3)\n");
    relu(4, 0, "%1 = clip(%0) x low=0 high=4 : (batch, 3)\n");
    relu(0, 0.5, "%1 = activation(%0) x leaky_relu alpha=0.5 : (batch, 3)\n");
    relu(6, 0.5,
         "%1 = activation(%0) x.leaky_relu leaky_relu alpha=0.5 : (batch, 3)\n"
         "%2 = clip(%1) x high=6 : (batch, 3)\n");
    hand h;
    HAND(&h, "ReLU", SHAPE(3));
    hand_arg(&h, "threshold")->f = 0.5;
    hand_fails(&h, NN_E_UNSUPPORTED, "threshold",
               "ReLU with a threshold other than 0 jumps at that value, and no engine has such a "
               "function");
}

TEST(softmax_over_an_axis) {
    hand h;
    HAND(&h, "Softmax", SHAPE(3, 4));
    hand_gives(&h, "%1 = softmax(%0) x : (batch, 3, 4)\n");
    HAND(&h, "Softmax", SHAPE(3, 4));
    hand_arg(&h, "axis")->i = 1;
    hand_gives(&h, "%1 = transpose(%0) x.to_channels_last perm=1,0 : (batch, 4, 3)\n"
                   "%2 = softmax(%1) x : (batch, 4, 3)\n"
                   "%3 = transpose(%2) x.to_channels_first perm=1,0 : (batch, 3, 4)\n");
    HAND(&h, "Softmax", SHAPE(3, 4));
    hand_arg(&h, "axis")->i = 0;
    hand_fails(&h, NN_E_DSL_ERROR, "axis",
               "axis 0 is the batch: an input of 2 axes has 1 to 2 and -1 to -2");
}

TEST(defaults_of_functions_with_a_slope) {
    hand h;
    HAND(&h, "LeakyReLU", SHAPE(3));
    hand_gives(&h, "%1 = activation(%0) x leaky_relu alpha=0.3 : (batch, 3)\n");
    HAND(&h, "ELU", SHAPE(3));
    hand_gives(&h, "%1 = activation(%0) x elu alpha=1 : (batch, 3)\n");
}
