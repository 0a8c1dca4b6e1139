/* SPDX-License-Identifier: MIT */
#include "hand.h"

TEST(merges_broadcast) {
    hand h;
    HAND(&h, "Add", SHAPE(4, 5), SHAPE(4, 5), SHAPE(4, 5));
    hand_gives(&h, "%3 = merge(%0, %1, %2) x add : (batch, 4, 5)\n");
    HAND(&h, "Multiply", SHAPE(8, 8, 3), SHAPE(1, 1, 3));
    hand_gives(&h, "%2 = merge(%0, %1) x multiply : (batch, 8, 8, 3)\n");
    HAND(&h, "Subtract", SHAPE(8, 3), SHAPE(3));
    hand_gives(&h, "%2 = merge(%0, %1) x subtract : (batch, 8, 3)\n");
    HAND(&h, "Average", SHAPE(-1, 3), SHAPE(7, 1));
    hand_gives(&h, "%2 = merge(%0, %1) x average : (batch, 7, 3)\n");
    HAND(&h, "Maximum", SHAPE(2), SHAPE(2));
    hand_gives(&h, "%2 = merge(%0, %1) x maximum : (batch, 2)\n");
    HAND(&h, "Minimum", SHAPE(2), SHAPE(2));
    hand_gives(&h, "%2 = merge(%0, %1) x minimum : (batch, 2)\n");
}

TEST(merges_say_which_axis_differs) {
    hand h;
    HAND(&h, "Add", SHAPE(28, 28, 3), SHAPE(28, 28, 1), SHAPE(28, 14, 3));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "axis -2 is 28 and 14, expected equal sizes or 1: its inputs are in0 (28, 28, 3), "
               "in1 (28, 28, 1), in2 (28, 14, 3)");
    HAND(&h, "Maximum", SHAPE(3, 4), SHAPE(3));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "axis -1 is 4 and 3, expected equal sizes or 1: its inputs are in0 (3, 4), in1 "
               "(3,)");
}

TEST(operands_of_merges) {
    const char *many[] = {"Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"};
    for (int i = 0; i < 6; i++) {
        const nn_layer *l = nn_layer_find(many[i]);
        CHECK(l->min_inputs == 2 && l->max_inputs == NN_MAX_INPUTS);
    }
    CHECK(nn_layer_find("Subtract")->max_inputs == 2 && nn_layer_find("Dot")->max_inputs == 2);
}

TEST(concatenate_adds_up) {
    hand h;
    HAND(&h, "Concatenate", SHAPE(4, 5), SHAPE(4, 6), SHAPE(4, 1));
    hand_gives(&h, "%3 = concat(%0, %1, %2) x axis=1 : (batch, 4, 12)\n");
    HAND(&h, "Concatenate", SHAPE(4, 5), SHAPE(2, 5));
    hand_arg(&h, "axis")->i = 1; /* Keras counts the batch */
    hand_gives(&h, "%2 = concat(%0, %1) x axis=0 : (batch, 6, 5)\n");
    HAND(&h, "Concatenate", SHAPE(-1, 5), SHAPE(3, 7));
    hand_gives(&h, "%2 = concat(%0, %1) x axis=1 : (batch, 3, 12)\n");
    HAND(&h, "Concatenate", SHAPE(-1, 5), SHAPE(3, 5));
    hand_arg(&h, "axis")->i = -2;
    hand_gives(&h, "%2 = concat(%0, %1) x axis=0 : (batch, ?, 5)\n");
}

TEST(concatenate_refuses) {
    hand h;
    HAND(&h, "Concatenate", SHAPE(4, 5), SHAPE(4, 5));
    hand_arg(&h, "axis")->i = 0;
    hand_fails(&h, NN_E_DSL_ERROR, "axis",
               "axis 0 is the batch: an input of 2 axes has 1 to 2 and -1 to -2");
    HAND(&h, "Concatenate", SHAPE(4, 5), SHAPE(3, 6));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "axis 1 is 4 and 3, and only axis 2 may differ: its inputs are in0 (4, 5), in1 "
               "(3, 6)");
    HAND(&h, "Concatenate", SHAPE(4, 5), SHAPE(5));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "its inputs have 2 and 1 axes, expected the same number: they are in0 (4, 5), in1 "
               "(5,)");
    HAND(&h, "Concatenate", SHAPE(2147483647), SHAPE(1));
    assert_int_equal(hand_build(&h), NN_E_DSL_ERROR); /* past NN_MAX_DIM */
    hand_done(&h);
}

/* keras.layers.Dot: (batch, 10) . (batch, 10) -> (batch, 1); (batch, 5, 2) and (batch, 2, 7) over
 * axes (2, 1) -> (batch, 5, 7). */
TEST(dot_contracts) {
    hand h;
    HAND(&h, "Dot", SHAPE(10), SHAPE(10));
    hand_arg(&h, "axes")->dims[0] = hand_arg(&h, "axes")->dims[1] = 1;
    hand_arg(&h, "normalize")->b = true;
    hand_gives(&h, "%2 = dot(%0, %1) x axes=0,0 normalize : (batch, 1)\n");
    HAND(&h, "Dot", SHAPE(5, 2), SHAPE(2, 7));
    hand_arg(&h, "axes")->dims[0] = 2;
    hand_arg(&h, "axes")->dims[1] = 1;
    hand_gives(&h, "%2 = dot(%0, %1) x axes=1,0 : (batch, 5, 7)\n");
    HAND(&h, "Dot", SHAPE(5, 2), SHAPE(2, 7));
    hand_arg(&h, "axes")->dims[0] = hand_arg(&h, "axes")->dims[1] = -1;
    hand_fails(&h, NN_E_DSL_ERROR, "axes",
               "the axes to sum over are 2 and 7, expected equal sizes: its inputs are in0 (5, "
               "2), in1 (2, 7)");
    HAND(&h, "Dot", SHAPE(5, 2), SHAPE(7));
    hand_arg(&h, "axes")->dims[0] = hand_arg(&h, "axes")->dims[1] = 2;
    hand_fails(&h, NN_E_DSL_ERROR, "axes",
               "axis 2 does not exist: an input of 1 axis has 1 to 1 and -1 to -1");
}
