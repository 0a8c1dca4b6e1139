/* SPDX-License-Identifier: MIT */
#include "hand.h"

/* Keras: two weights of the normalised axis; epsilon 1e-3. */
TEST(layer_normalization) {
    hand h;
    HAND(&h, "LayerNormalization", SHAPE(4, 6));
    hand_gives(&h, "%1 = layer_norm(%0) x epsilon=0.001 : (batch, 4, 6) [gamma (6,), beta (6,)]\n");
    HAND(&h, "LayerNormalization", SHAPE(4, 6));
    hand_arg(&h, "axis")->i = 1;
    hand_arg(&h, "center")->b = false;
    hand_gives(&h, "%1 = transpose(%0) x.to_channels_last perm=1,0 : (batch, 6, 4)\n"
                   "%2 = layer_norm(%1) x epsilon=0.001 : (batch, 6, 4) [gamma (4,)]\n"
                   "%3 = transpose(%2) x.to_channels_first perm=1,0 : (batch, 4, 6)\n");
}

TEST(every_weight_has_its_arguments) {
    hand h;
    HAND(&h, "LayerNormalization", SHAPE(3));
    hand_arg(&h, "beta_initializer")->init = (nn_initializer){.kind = NN_INIT_CONSTANT, .a = 2};
    hand_arg(&h, "gamma_regularizer")->reg = (nn_regularizer){0.5, 0.25};
    hand_arg(&h, "beta_constraint")->con.kind = NN_CONSTRAINT_NON_NEG;
    CHECK_OK(hand_build(&h), &h.err);
    const nn_weight *gamma = &h.c.graph->weights[0], *beta = &h.c.graph->weights[1];
    CHECK(gamma->init.kind == NN_INIT_ONES && gamma->trainable);
    CHECK(gamma->regularizer.l1 == 0.5 && gamma->regularizer.l2 == 0.25);
    CHECK(gamma->constraint.kind == NN_CONSTRAINT_NONE && beta->regularizer.l1 == 0);
    CHECK(beta->init.kind == NN_INIT_CONSTANT && beta->init.a == 2);
    CHECK(beta->constraint.kind == NN_CONSTRAINT_NON_NEG);
    hand_done(&h);
}

TEST(batch_normalization_trains_two_of_four) {
    hand h;
    HAND(&h, "BatchNormalization", SHAPE(3));
    hand_arg(&h, "gamma_constraint")->con.kind = NN_CONSTRAINT_UNIT_NORM;
    CHECK_OK(hand_build(&h), &h.err);
    const nn_node *n = &h.c.graph->nodes[h.out];
    assert_int_equal(nn_node_params(h.c.graph, n, false), 12);
    assert_int_equal(nn_node_params(h.c.graph, n, true), 6);
    CHECK(h.c.graph->weights[0].constraint.kind == NN_CONSTRAINT_UNIT_NORM);
    CHECK(h.c.graph->weights[3].init.kind == NN_INIT_ONES);
    hand_done(&h);
    HAND(&h, "BatchNormalization", SHAPE(3));
    hand_arg(&h, "trainable")->b = false;
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(nn_node_params(h.c.graph, &h.c.graph->nodes[h.out], true), 0);
    hand_done(&h);
}

TEST(groups_divide_the_channels) {
    hand h;
    HAND(&h, "GroupNormalization", SHAPE(5, 64));
    hand_gives(&h, "%1 = group_norm(%0) x groups=32 epsilon=0.001 : (batch, 5, 64) [gamma (64,), "
                   "beta (64,)]\n");
    HAND(&h, "GroupNormalization", SHAPE(5, 48));
    hand_arg(&h, "groups")->i = 20;
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
    assert_string_equal(h.err.msg, "groups=20 does not divide 48 channels");
    assert_string_equal(h.err.hint, "the nearest that divide 48: 16 and 24; groups=1 takes all");
    assert_int_equal(h.at.line, 1 + nn_layer_param(h.c.layer, "groups"));
    hand_done(&h);
    HAND(&h, "GroupNormalization", SHAPE(5, 8)); /* the default of 32 */
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
    assert_string_equal(h.err.hint, "the nearest that divides 8: 8; groups=1 takes all");
    assert_int_equal(h.at.line, 0);
    hand_done(&h);
}

TEST(divisors_of_large_numbers) {
    hand h;
    HAND(&h, "GroupNormalization", SHAPE(1, 2147483647)); /* a prime */
    hand_arg(&h, "groups")->i = 2147483646;
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
    assert_string_equal(h.err.hint,
                        "the nearest that divide 2147483647: 1 and 2147483647; groups=1 takes all");
    hand_done(&h);
}

/* The channels in front: (channels, height, width), and the groups are of those. */
TEST(groups_of_another_axis) {
    hand h;
    HAND(&h, "GroupNormalization", SHAPE(4, 5, 6));
    hand_arg(&h, "axis")->i = 1;
    hand_arg(&h, "groups")->i = 2;
    hand_arg(&h, "scale")->b = false;
    hand_gives(&h, "%1 = transpose(%0) x.to_channels_last perm=1,2,0 : (batch, 5, 6, 4)\n"
                   "%2 = group_norm(%1) x groups=2 epsilon=0.001 : (batch, 5, 6, 4) [beta (4,)]\n"
                   "%3 = transpose(%2) x.to_channels_first perm=2,0,1 : (batch, 4, 5, 6)\n");
}

TEST(an_instance_is_a_group_a_channel) {
    hand h;
    HAND(&h, "InstanceNormalization", SHAPE(-1, -1, 3));
    hand_gives(&h, "%1 = group_norm(%0) x groups=3 epsilon=0.001 : (batch, ?, ?, 3) [gamma (3,), "
                   "beta (3,)]\n");
    HAND(&h, "InstanceNormalization", SHAPE(3));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "every group of a sample of one axis has one element, and its result is always 0");
    HAND(&h, "InstanceNormalization", SHAPE(5, -1));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "the channels must have a known size: gamma and beta have a value for each");
}

TEST(axes_that_are_not_there) {
    hand h;
    const char *layers[] = {"BatchNormalization", "LayerNormalization", "GroupNormalization",
                            "InstanceNormalization"};
    for (int i = 0; i < 4; i++) {
        HAND(&h, layers[i], SHAPE(4, 32));
        hand_arg(&h, "axis")->i = 0;
        hand_fails(&h, NN_E_DSL_ERROR, "axis",
                   "axis 0 is the batch: an input of 2 axes has 1 to 2 and -1 to -2");
        HAND(&h, layers[i], SHAPE(4, 32));
        hand_arg(&h, "axis")->i = -3;
        hand_fails(&h, NN_E_DSL_ERROR, "axis",
                   "axis -3 is the batch: an input of 2 axes has 1 to 2 and -1 to -2");
        HAND(&h, layers[i], SHAPE(32));
        hand_arg(&h, "axis")->i = 2;
        hand_fails(&h, NN_E_DSL_ERROR, "axis",
                   "axis 2 does not exist: an input of 1 axis has 1 to 1 and -1 to -1");
        HAND(&h, layers[i], (nn_shape){0});
        hand_fails(&h, NN_E_DSL_ERROR, NULL, "axis -1 is the batch: its input has no axes");
    }
}
