/* SPDX-License-Identifier: MIT */
#include "hand.h"

TEST(spatial_dropout_shares_the_spatial_axes) {
    hand h;
    HAND(&h, "SpatialDropout1D", SHAPE(-1, 8));
    hand_arg(&h, "rate")->f = 0.25;
    hand_gives(&h, "%1 = dropout(%0) x rate=0.25 noise=(1, 8) : (batch, ?, 8)\n");
    HAND(&h, "SpatialDropout2D", SHAPE(6, 7, -1));
    hand_arg(&h, "rate")->f = 0.25;
    hand_arg(&h, "seed")->i = 3;
    hand_gives(&h, "%1 = dropout(%0) x rate=0.25 seed=3 noise=(1, 1, ?) : (batch, 6, 7, ?)\n");
    HAND(&h, "SpatialDropout3D", SHAPE(2, 6, 7, 8));
    hand_arg(&h, "rate")->f = 0.25;
    hand_arg(&h, "data_format")->s = "channels_first";
    hand_gives(&h, "%1 = dropout(%0) x rate=0.25 noise=(2, 1, 1, 1) : (batch, 2, 6, 7, 8)\n");
}

TEST(spatial_dropout_of_another_rank) {
    hand h;
    HAND(&h, "SpatialDropout2D", SHAPE(6, 7));
    hand_arg(&h, "rate")->f = 0.25;
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
    assert_string_equal(h.err.msg, "expected 3 axes, got 2 with input (6, 7)");
    assert_string_equal(h.err.hint, "SpatialDropout1D drops channels of 2 axes");
    hand_done(&h);
    HAND(&h, "SpatialDropout1D", SHAPE(6));
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
    assert_string_equal(h.err.hint, "Dropout(rate) takes any number of axes");
    hand_done(&h);
}

TEST(rate_1_is_warned_of) {
    const char *names[] = {"Dropout", "SpatialDropout1D"};
    for (int i = 0; i < 2; i++) {
        hand h;
        HAND(&h, names[i], SHAPE(6, 7));
        hand_arg(&h, "rate")->f = 1;
        CHECK_OK(hand_build(&h), &h.err);
        CHECK(h.notices == 1 && h.notice.warning);
        hand_done(&h);
    }
}

TEST(noise) {
    hand h;
    HAND(&h, "GaussianNoise", SHAPE(3));
    hand_arg(&h, "stddev")->f = 0.5;
    hand_gives(&h, "%1 = noise(%0) x gaussian value=0.5 : (batch, 3)\n");
    HAND(&h, "GaussianDropout", SHAPE(3));
    hand_arg(&h, "rate")->f = 0.5;
    hand_arg(&h, "seed")->i = 9;
    hand_gives(&h, "%1 = noise(%0) x gaussian_dropout value=0.5 seed=9 : (batch, 3)\n");
    HAND(&h, "AlphaDropout", SHAPE(3));
    hand_arg(&h, "rate")->f = 0.125;
    hand_gives(&h, "%1 = noise(%0) x alpha_dropout value=0.125 : (batch, 3)\n");
}

TEST(penalties_on_activations) {
    hand h;
    HAND(&h, "ActivityRegularization", SHAPE(3));
    hand_arg(&h, "l2")->f = 0.5;
    hand_gives(&h, "%1 = activity_reg(%0) x l1=0 l2=0.5 : (batch, 3)\n");
    HAND(&h, "ActivityRegularization", SHAPE(3));
    CHECK_OK(hand_build(&h), &h.err);
    assert_string_equal(h.message, "a penalty of l1 0 and l2 0 has no effect");
    hand_done(&h);
    HAND(&h, "Dense", SHAPE(3));
    hand_arg(&h, "units")->i = 2;
    hand_arg(&h, "activation")->s = "relu";
    hand_arg(&h, "activity_regularizer")->reg = (nn_regularizer){0.25, 0};
    hand_gives(&h, "%1 = matmul(%0) x units=2 bias : (batch, 2) [kernel (3, 2), bias (2,)]\n"
                   "%2 = activation(%1) x.relu relu : (batch, 2)\n"
                   "%3 = activity_reg(%2) x.activity l1=0.25 l2=0 : (batch, 2)\n");
    HAND(&h, "Dense", SHAPE(3)); /* behind the product where there is no activation */
    hand_arg(&h, "units")->i = 2;
    hand_arg(&h, "activity_regularizer")->reg = (nn_regularizer){0, 0.25};
    hand_gives(&h, "%1 = matmul(%0) x units=2 bias : (batch, 2) [kernel (3, 2), bias (2,)]\n"
                   "%2 = activity_reg(%1) x.activity l1=0 l2=0.25 : (batch, 2)\n");
}
