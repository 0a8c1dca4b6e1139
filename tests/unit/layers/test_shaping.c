/* SPDX-License-Identifier: MIT */
#include "hand.h"

TEST(permute) {
    hand h;
    HAND(&h, "Permute", SHAPE(4, 5, 6));
    HAND_INTS(&h, "dims", 3, 1, 2);
    hand_gives(&h, "%1 = transpose(%0) x perm=2,0,1 : (batch, 6, 4, 5)\n");
    const nn_shape bad[] = {SHAPE(1, 2), SHAPE(1, 2, 2), SHAPE(1, 2, 4), SHAPE(1, 2, -1),
                            SHAPE(1, 2, 3, 4)};
    for (int i = 0; i < 5; i++) {
        HAND(&h, "Permute", SHAPE(4, 5, 6));
        hand_arg(&h, "dims")->shape = bad[i];
        assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
        CHECK(strncmp(h.err.msg, "dims must name each axis from 1 to 3 once, got (1, 2", 51) == 0);
        assert_int_equal(h.at.line, 1);
        hand_done(&h);
    }
}

TEST(repeat_vector) {
    hand h;
    HAND(&h, "RepeatVector", SHAPE(32));
    hand_arg(&h, "n")->i = 3;
    hand_gives(&h, "%1 = reshape(%0) x.step : (batch, 1, 32)\n"
                   "%2 = upsample(%1) x factor=3 : (batch, 3, 32)\n");
    HAND(&h, "RepeatVector", SHAPE(-1));
    hand_arg(&h, "n")->i = 3;
    hand_gives(&h, "%1 = reshape(%0) x.step : (batch, 1, ?)\n"
                   "%2 = upsample(%1) x factor=3 : (batch, 3, ?)\n");
    HAND(&h, "RepeatVector", SHAPE(4, 5));
    hand_arg(&h, "n")->i = 3;
    hand_fails(&h, NN_E_DSL_ERROR, NULL, "expected one axis, got 2 with input (4, 5)");
}

TEST(reshape_of_unknown_sizes) {
    hand h;
    HAND(&h, "Reshape", SHAPE(-1, 4));
    HAND_INTS(&h, "target_shape", -1, 2);
    hand_gives(&h, "%1 = reshape(%0) x : (batch, ?, 2)\n");
    HAND(&h, "Reshape", SHAPE(6, 4));
    HAND_INTS(&h, "target_shape", 3, -1);
    hand_gives(&h, "%1 = reshape(%0) x : (batch, 3, 8)\n");
}
