/* SPDX-License-Identifier: MIT */
/* Shapes computed by hand from the formulas of language.md 13.2. */
#include "shapes.h"

#include <math.h>

static void gives(nn_op op, const char *inputs, const char *want, nn_attr attr) {
    int id;
    char text[160];
    nn_graph *g = one_op(op, inputs, attr, &id);
    nn_shape_print(&g->nodes[id].shape, false, text, sizeof text);
    if (strcmp(text, want) != 0)
        fail_msg("%s of %s is %s, not %s", nn_op_name(op), inputs, text, want);
    nn_arena_free(g->arena);
}

static void refuses(nn_op op, const char *inputs, const char *because, nn_attr attr) {
    nn_graph *g = nn_graph_new(NULL, "g");
    int ids[8], n = add_inputs(g, inputs, ids), id = -7;
    nn_err err = {0};
    nn_status st = add_op(g, op, ids, n, attr, (nn_shape){0}, &id, &err);
    if (st != NN_E_DSL_ERROR || id != -7 || !strstr(err.msg, because))
        fail_msg("%s of %s: %s, not '%s'", nn_op_name(op), inputs, st ? err.msg : "fits", because);
    nn_arena_free(g->arena);
}

#define GIVES(op, inputs, want, ...)   gives(NN_OP_##op, inputs, want, (nn_attr){__VA_ARGS__})
#define REFUSES(op, inputs, text, ...) refuses(NN_OP_##op, inputs, text, (nn_attr){__VA_ARGS__})
/* clang-format off: it breaks braces in macros */
#define WINDOW1(k, s, d)                                                                           \
    {                                                                                              \
        .spatial = 1, .size = {k}, .stride = {s}, .dilation = { d }                                \
    }
#define SAME1(k, s)                                                                                \
    { .spatial = 1, .size = {k}, .stride = {s}, .dilation = {1}, .same = true }
#define PADS1(k, s, p)                                                                             \
    {                                                                                              \
        .spatial = 1, .size = {k}, .stride = {s}, .dilation = {1}, .pad_before = {p},              \
        .pad_after = {                                                                             \
            p                                                                                      \
        }                                                                                          \
    }
#define W2(k, s, same_)                                                                            \
    { .spatial = 2, .size = {k, k}, .stride = {s, s}, .dilation = {1, 1}, .same = same_ }
/* clang-format on */

/* ---- transposed convolution ---- */

#define TRANSPOSED(...) .conv_transpose = {.filters = 6, .groups = 1, __VA_ARGS__}

TEST(transposed_convolution) {
    GIVES(CONV_TRANSPOSE, "7 4", "(14, 6)", TRANSPOSED(.window = SAME1(3, 2)));
    GIVES(CONV_TRANSPOSE, "7 4", "(15, 6)", TRANSPOSED(.window = WINDOW1(3, 2, 1)));
    GIVES(CONV_TRANSPOSE, "7 4", "(21, 6)", TRANSPOSED(.window = WINDOW1(2, 3, 1)));
    GIVES(CONV_TRANSPOSE, "7 4", "(11, 6)", TRANSPOSED(.window = WINDOW1(3, 1, 2)));
    GIVES(CONV_TRANSPOSE, "7 4", "(13, 6)", TRANSPOSED(.window = PADS1(3, 2, 1)));
    GIVES(CONV_TRANSPOSE, "? 4", "(?, 6)", TRANSPOSED(.window = SAME1(3, 2)));
    GIVES(CONV_TRANSPOSE, "7 ? 4", "(21, ?, 6)",
          TRANSPOSED(.window = {
                         .spatial = 2, .size = {1, 5},
                              .stride = {3, 2},
                              .dilation = {1, 1}
    }));
}

TEST(transposed_convolution_with_output_padding) {
#define MORE(n) .output_padding_given = true, .output_padding = {n}
    GIVES(CONV_TRANSPOSE, "7 4", "(14, 6)", TRANSPOSED(.window = PADS1(3, 2, 1), MORE(1)));
    GIVES(CONV_TRANSPOSE, "7 4", "(20, 6)", TRANSPOSED(.window = WINDOW1(2, 3, 1), MORE(0)));
    GIVES(CONV_TRANSPOSE, "7 4", "(22, 6)", TRANSPOSED(.window = WINDOW1(2, 3, 1), MORE(2)));
    GIVES(CONV_TRANSPOSE, "7 4", "(14, 6)", TRANSPOSED(.window = SAME1(3, 2), MORE(1)));
    GIVES(CONV_TRANSPOSE, "7 4", "(13, 6)", TRANSPOSED(.window = SAME1(4, 2), MORE(1)));
    REFUSES(CONV_TRANSPOSE, "7 4", "output_padding=2", TRANSPOSED(.window = SAME1(3, 2), MORE(2)));
    REFUSES(CONV_TRANSPOSE, "7 4", "output_padding=-1",
            TRANSPOSED(.window = SAME1(3, 2), MORE(-1)));
}

/* The cut of `same` is the padding of the convolution whose gradient this is. */
TEST(transposed_same_pads_are_those_of_the_convolution) {
    for (int64_t k = 1; k <= 6; k++)
        for (int64_t s = 1; s <= 4; s++) {
            nn_attr t = {TRANSPOSED(.window = SAME1(k, s))};
            nn_attr c = {
                .conv = {.window = SAME1(k, s), .filters = 4, .groups = 1}
            };
            int up, down;
            char big[32];
            snprintf(big, sizeof big, "%lld 6", (long long)(5 * s));
            nn_graph *a = one_op(NN_OP_CONV_TRANSPOSE, "5 4", t, &up);
            nn_graph *b = one_op(NN_OP_CONV, big, c, &down);
            const nn_window *x = &a->nodes[up].attr.conv_transpose.window;
            const nn_window *y = &b->nodes[down].attr.conv.window;
            assert_int_equal(a->nodes[up].shape.dim[0], 5 * s);
            assert_int_equal(b->nodes[down].shape.dim[0], 5);
            assert_int_equal(x->pad_before[0], y->pad_before[0]);
            assert_int_equal(x->pad_after[0], y->pad_after[0]);
            nn_arena_free(a->arena);
            nn_arena_free(b->arena);
        }
}

TEST(transposed_convolution_misused) {
    REFUSES(CONV_TRANSPOSE, "7 7 4",
            "expected 2 axes, got 3: (steps, channels) with input (7, 7, 4)",
            TRANSPOSED(.window = SAME1(3, 2)));
    REFUSES(CONV_TRANSPOSE, "7 ?", "channels must have a known size",
            TRANSPOSED(.window = SAME1(3, 2)));
    REFUSES(CONV_TRANSPOSE, "7 4", "groups=3 does not divide",
            .conv_transpose = {.filters = 6, .groups = 3, .window = SAME1(3, 2)});
    REFUSES(CONV_TRANSPOSE, "7 4", "filters or groups", .conv_transpose = {.window = SAME1(3, 2)});
    REFUSES(CONV_TRANSPOSE, "2 4", "the padding takes all of axis 0",
            TRANSPOSED(.window = PADS1(3, 1, 2)));
    REFUSES(CONV_TRANSPOSE, "2147483647 4", "larger than",
            TRANSPOSED(.window = SAME1(3, 2147483647)));
    REFUSES(CONV_TRANSPOSE, "2 4", "a stride above 1", TRANSPOSED(.window = WINDOW1(3, 2, 2)));
}

/* ---- pools and places ---- */

TEST(pools) {
    GIVES(GLOBAL_MAX_POOL, "6 7 5", "(5,)", .global_pool = {false});
    GIVES(GLOBAL_MAX_POOL, "6 ? 5", "(1, 1, 5)", .global_pool = {true});
    GIVES(GLOBAL_AVG_POOL, "9 5; 9", "(5,)", .global_pool = {false});
    GIVES(GLOBAL_AVG_POOL, "9 5; ?", "(1, 5)", .global_pool = {true});
    REFUSES(GLOBAL_AVG_POOL, "9 5; 8", "the tokens do not fit", 0);
    REFUSES(GLOBAL_AVG_POOL, "9 9 5; 9", "with inputs (9, 9, 5), (9,)", 0);
    REFUSES(GLOBAL_AVG_POOL, "9 5; 9 1", "the tokens do not fit", 0);
    REFUSES(GLOBAL_MAX_POOL, "5", "no spatial axis to take the maximum over", 0);
    GIVES(ADAPTIVE_MAX_POOL, "5 7 3", "(2, 9, 3)",
          .adaptive_pool = {
              2, {2, 9}
    });
    GIVES(ADAPTIVE_AVG_POOL, "? 3", "(4, 3)", .adaptive_pool = {1, {4}});
    REFUSES(ADAPTIVE_AVG_POOL, "5 3", "expected 3 axes, got 2",
            .adaptive_pool = {
                2, {2, 2}
    });
    REFUSES(ADAPTIVE_AVG_POOL, "5 3", "an output size of 0", .adaptive_pool = {1, {0}});
    REFUSES(ADAPTIVE_AVG_POOL, "5 3", "a window has 1 to 3 axes", .adaptive_pool = {4, {1}});
}

TEST(more_and_fewer_places) {
    GIVES(UPSAMPLE, "4 5 2", "(12, 10, 2)",
          .upsample = {
              2, {3, 2},
               true
    });
    GIVES(UPSAMPLE, "? 2", "(?, 2)", .upsample = {1, {3}, false});
    REFUSES(UPSAMPLE, "4 2", "bilinear", .upsample = {1, {3}, true});
    REFUSES(UPSAMPLE, "4 2", "a factor of 0", .upsample = {1, {0}, false});
    REFUSES(UPSAMPLE, "2147483647 2", "larger than", .upsample = {1, {2147483647}, false});
    GIVES(PAD, "4 5 2", "(7, 8, 2)",
          .border = {
              2, {1, 0},
               {2, 3}
    });
    GIVES(PAD, "? 5 2", "(?, 8, 2)",
          .border = {
              2, {1, 0},
               {2, 3}
    });
    REFUSES(PAD, "4 2", "a border out of range", .border = {1, {-1}, {0}});
    GIVES(CROP, "4 5 2", "(1, 2, 2)",
          .border = {
              2, {1, 0},
               {2, 3}
    });
    GIVES(CROP, "? 5 2", "(?, 4, 2)",
          .border = {
              2, {9, 1},
               {9, 0}
    });
    REFUSES(CROP, "4 2",
            "cropping 4 of 4 leaves nothing of axis 0: d - before - after must be at "
            "least 1 with input (4, 2)",
            .border = {1, {2}, {2}});
    REFUSES(CROP, "4 2", "expected 3 axes",
            .border = {
                2, {1, 1},
                 {1, 1}
    });
}

/* ---- one input, the same shape ---- */

TEST(functions_of_elements) {
    const nn_op same[] = {NN_OP_PRELU, NN_OP_NOISE, NN_OP_ACTIVITY_REG, NN_OP_CLIP};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        gives(same[i], "3 4", "(3, 4)", (nn_attr){0});
    GIVES(CLIP, "?", "(?,)", .clip = {-(double)INFINITY, (double)INFINITY});
    REFUSES(CLIP, "3", "nothing lies between 2 and 1", .clip = {2, 1});
    REFUSES(CLIP, "3", "nothing lies between", .clip = {(double)NAN, 1});
    GIVES(PRELU, "? 4", "(?, 4)", .prelu = {1});
    REFUSES(PRELU, "? 4", "axis 0 must have a known size or be shared", .prelu = {2});
    REFUSES(PRELU, "3 4", "no axis 2 to share", .prelu = {4});
    REFUSES(PRELU, "()", "no axis 0", .prelu = {0});
    GIVES(NOISE, "3", "(3,)", .noise = {NN_NOISE_GAUSSIAN, 7, false, 0});
    REFUSES(NOISE, "3", "stddev=-1", .noise = {NN_NOISE_GAUSSIAN, -1, false, 0});
    REFUSES(NOISE, "3", "rate=1", .noise = {NN_NOISE_ALPHA_DROPOUT, 1, false, 0});
    REFUSES(NOISE, "3", "rate=nan", .noise = {NN_NOISE_GAUSSIAN_DROPOUT, (double)NAN, false, 0});
    REFUSES(ACTIVITY_REG, "3", "penalties are 0 or more", .activity_reg = {-1, 0});
    REFUSES(ACTIVITY_REG, "3", "penalties are 0 or more", .activity_reg = {0, (double)INFINITY});
    GIVES(REVERSE, "3 ?", "(3, ?)", .reverse = {1});
    REFUSES(REVERSE, "3", "no axis 1", .reverse = {1});
    REFUSES(REVERSE, "3", "no axis -1", .reverse = {-1});
}

TEST(normalisation) {
    GIVES(LAYER_NORM, "? 4", "(?, 4)", .layer_norm = {1e-3, true, true});
    REFUSES(LAYER_NORM, "4 ?", "the normalised axis must have a known size",
            .layer_norm = {1e-3, true, true});
    REFUSES(LAYER_NORM, "4", "epsilon must be above 0, got 0", .layer_norm = {0, true, true});
    REFUSES(LAYER_NORM, "()", "the normalised axis", .layer_norm = {1e-3, true, true});
    GIVES(GROUP_NORM, "5 ? 6", "(5, ?, 6)", .group_norm = {3, 1e-3, true, true});
    REFUSES(GROUP_NORM, "5 6", "groups=4 does not divide 6 channels",
            .group_norm = {4, 1e-3, true, true});
    REFUSES(GROUP_NORM, "5 6", "groups=0 does not divide", .group_norm = {0, 1e-3, true, true});
}

/* ---- steps ---- */

TEST(embeddings_and_positions) {
    GIVES(EMBEDDING, "10", "(10, 16)", .embedding = {100, 16});
    GIVES(EMBEDDING, "()", "(16,)", .embedding = {100, 16});
    GIVES(EMBEDDING, "? 3", "(?, 3, 16)", .embedding = {100, 16});
    REFUSES(EMBEDDING, "1 1 1 1 1 1 1 1", "at most 8 axes", .embedding = {100, 16});
    REFUSES(EMBEDDING, "3", "input_dim=0", .embedding = {0, 16});
    REFUSES(EMBEDDING, "3", "output_dim=2147483648", .embedding = {5, NN_MAX_DIM + 1});
    GIVES(POSITION, "10 4", "(10, 4)", .position = {10, false});
    GIVES(POSITION, "? 4", "(?, 4)", .position = {10, true});
    REFUSES(POSITION, "11 4", "11 steps are more than max_len=10", .position = {10, true});
    REFUSES(POSITION, "11 ?", "expected steps of a known size", .position = {20, true});
    REFUSES(POSITION, "11", "(steps, features)", .position = {20, true});
    REFUSES(POSITION, "11 4", "max_len=0", .position = {0, false});
}

TEST(recurrent) {
    GIVES(RNN, "7 5", "(3,)", .rnn = {.kind = NN_RNN_LSTM, .units = 3});
    GIVES(RNN, "7 5", "(7, 3)", .rnn = {.units = 3, .sequences = true});
    GIVES(RNN, "? 5; ?", "(?, 3)", .rnn = {.units = 3, .sequences = true});
    GIVES(RNN, "7 5; 7", "(3,)", .rnn = {.kind = NN_RNN_GRU, .units = 3});
    REFUSES(RNN, "7 5; 6",
            "the tokens do not fit: (steps, features) and the tokens (steps) with "
            "inputs (7, 5), (6,)",
            .rnn = {.units = 3});
    REFUSES(RNN, "7", "expected 2 axes, got 1", .rnn = {.units = 3});
    REFUSES(RNN, "7 ?", "the features must have a known size", .rnn = {.units = 3});
    REFUSES(RNN, "7 5", "units=0", .rnn = {.units = 0});
    REFUSES(RNN, "7 5", "units=2147483647", .rnn = {.units = NN_MAX_DIM});
    REFUSES(RNN, "7 5", "dropout out of range", .rnn = {.units = 3, .dropout = 1});
    REFUSES(RNN, "7 5", "dropout out of range", .rnn = {.units = 3, .recurrent_dropout = -0.1});
    REFUSES(RNN, "7 5; 7; 7", "rnn takes 1 to 2 inputs, got 3", .rnn = {.units = 3});
}

TEST(convolutional_recurrent) {
    GIVES(CONV_LSTM, "5 8 8 3", "(6, 6, 4)", .conv_lstm = {W2(3, 1, false), .filters = 4});
    GIVES(CONV_LSTM, "5 8 8 3", "(5, 4, 4, 4)",
          .conv_lstm = {W2(3, 2, true), .filters = 4, .sequences = true});
    GIVES(CONV_LSTM, "? 8 ? 3", "(?, 6, ?, 4)",
          .conv_lstm = {W2(3, 1, false), .filters = 4, .sequences = true});
    GIVES(CONV_LSTM, "5 8 3", "(8, 4)", .conv_lstm = {SAME1(3, 1), .filters = 4});
    REFUSES(CONV_LSTM, "5 8 3", "expected 4 axes, got 3",
            .conv_lstm = {W2(3, 1, false), .filters = 4});
    REFUSES(CONV_LSTM, "5 2 8 3", "a window of 3 is larger than the input's 2",
            .conv_lstm = {W2(3, 1, false), .filters = 4});
    REFUSES(CONV_LSTM, "5 8 8 3", "filters or groups",
            .conv_lstm = {W2(3, 1, false), .filters = 0});
    REFUSES(CONV_LSTM, "5 8 8 ?", "channels must have a known size",
            .conv_lstm = {W2(3, 1, false), .filters = 4});
    REFUSES(CONV_LSTM, "5 8 8 3", "dropout out of range",
            .conv_lstm = {W2(3, 1, false), .filters = 4, .dropout = 2});
}

TEST(attention) {
    GIVES(ATTENTION, "6 8; 9 8; 9 12", "(6, 12)", .attention = {.heads = 2, .scale = 0.5});
    GIVES(ATTENTION, "? 8; ? 8; 9 12; 9", "(?, 12)", .attention = {.heads = 4});
    GIVES(ATTENTION, "6 8; 9 8; 9 12; ?", "(6, 12)", .attention = {.heads = 1, .additive = true});
    REFUSES(ATTENTION, "6 8; 9 8; 9 9", "2 heads do not divide the last axis",
            .attention = {.heads = 2});
    REFUSES(ATTENTION, "6 8; 9 7; 9 7", "query and key differ in size", .attention = {.heads = 1});
    REFUSES(ATTENTION, "6 8; 9 8; 8 8", "key and value differ in steps", .attention = {.heads = 1});
    REFUSES(ATTENTION, "6 8; 9 8; 9 8; 6", "the tokens do not fit", .attention = {.heads = 1});
    REFUSES(ATTENTION, "6 8; 9 8; 9 8", "additive attention has one head",
            .attention = {.heads = 2, .additive = true});
    REFUSES(ATTENTION, "6 8; 9 8; 9", "expected 2 axes, got 1", .attention = {.heads = 2});
    REFUSES(ATTENTION, "6 8; 9 8; 9 8", "heads=0", .attention = {.heads = 0});
    REFUSES(ATTENTION, "6 ?; 9 8; 9 8", "do not divide", .attention = {.heads = 1});
    REFUSES(ATTENTION, "6 8; 9 8; 9 8", "dropout=1", .attention = {.heads = 2, .dropout = 1});
    REFUSES(ATTENTION, "6 8; 9 8; 9 8", "scale=inf",
            .attention = {.heads = 2, .scale = (double)INFINITY});
    REFUSES(ATTENTION, "6 8; 9 8", "attention takes 3 to 4 inputs, got 2",
            .attention = {.heads = 2});
}

/* ---- several inputs ---- */

TEST(merging) {
    GIVES(MERGE, "4 1; 3", "(4, 3)", .merge = {NN_MERGE_ADD});
    GIVES(MERGE, "4 3; 4 3; 1 3; ()", "(4, 3)", .merge = {NN_MERGE_MAXIMUM});
    GIVES(MERGE, "? 5; 1", "(?, 5)", .merge = {NN_MERGE_MULTIPLY});
    GIVES(MERGE, "?; 7", "(7,)", .merge = {NN_MERGE_AVERAGE});
    GIVES(MERGE, "?; ?", "(?,)", .merge = {NN_MERGE_MINIMUM});
    GIVES(MERGE, "(); ()", "()", .merge = {NN_MERGE_SUBTRACT});
    REFUSES(MERGE, "4 3; 4 2",
            "input 2 does not fit those before it: from the last axis on, sizes "
            "are equal or one of them is 1 with inputs (4, 3), (4, 2)",
            .merge = {NN_MERGE_ADD});
    REFUSES(MERGE, "4 1; 3; 2", "input 3 does not fit", .merge = {NN_MERGE_ADD});
    REFUSES(MERGE, "3; 3; 3", "subtract takes exactly two", .merge = {NN_MERGE_SUBTRACT});
    REFUSES(MERGE, "3", "merge takes 2 to 64 inputs, got 1", .merge = {NN_MERGE_ADD});
    REFUSES(MERGE, "1; 2; 1; 1; 1; 3", "(1,), (2,), (1,), (1,) and 2 more",
            .merge = {NN_MERGE_ADD});
}

TEST(concatenating) {
    GIVES(CONCAT, "4 2 3; 4 5 3; ? 1 ?", "(4, 8, 3)", .concat = {1});
    GIVES(CONCAT, "4 2; 4 ?", "(4, ?)", .concat = {1});
    GIVES(CONCAT, "? 2; 3 2", "(?, 2)", .concat = {0});
    REFUSES(CONCAT, "4 2; 5 2",
            "input 2 is 5 on axis 0, those before it 4: all axes but the joined "
            "one are equal with inputs (4, 2), (5, 2)",
            .concat = {1});
    REFUSES(CONCAT, "4 2; 4", "input 2 has 1 axes, the first has 2", .concat = {0});
    REFUSES(CONCAT, "4; 4", "no axis 1", .concat = {1});
    REFUSES(CONCAT, "4; 4", "no axis -1", .concat = {-1});
    REFUSES(CONCAT, "2147483647; 2147483647", "larger than", .concat = {0});
}

TEST(dot_products) {
    GIVES(DOT, "4 5; 6 5", "(4, 6)",
          .dot = {
              .axes = {1, 1}
    });
    GIVES(DOT, "4 5; 4 6", "(5, 6)",
          .dot = {
              .axes = {0, 0}
    });
    GIVES(DOT, "5; 5", "(1,)",
          .dot = {
              .axes = {0, 0}
    });
    GIVES(DOT, "? 4; 5 7", "(4, 7)",
          .dot = {
              .axes = {0, 0}
    });
    REFUSES(DOT, "4 5; 6 5", "4 and 6 differ",
            .dot = {
                .axes = {0, 0}
    });
    REFUSES(DOT, "4; 4", "no axis 1 in input 2",
            .dot = {
                .axes = {0, 1}
    });
    REFUSES(DOT, "4; 4", "no axis -1 in input 1",
            .dot = {
                .axes = {-1, 0}
    });
    REFUSES(DOT, "1 1 1 1 1 2; 1 1 1 1 1 2", "more than 8 axes",
            .dot = {
                .axes = {5, 5}
    });
}

/* ---- folds ---- */

typedef struct chain {
    nn_graph *g;
    int at;
    nn_err err;
} chain;

static chain begin(const char *inputs) {
    chain c = {.g = nn_graph_new(NULL, "g")};
    int ids[4];
    add_inputs(c.g, inputs, ids);
    return c;
}

static nn_status more(chain *c, nn_op op, nn_attr attr) {
    return add_op(c->g, op, &c->at, 1, attr, (nn_shape){0}, &c->at, &c->err);
}

static void is(const chain *c, const char *shape, int64_t fold) {
    char text[160];
    nn_shape_print(&c->g->nodes[c->at].shape, false, text, sizeof text);
    assert_string_equal(text, shape);
    assert_int_equal(c->g->nodes[c->at].fold, fold);
}

static const nn_attr three_units = {
    .matmul = {3, false}
};

TEST(folds_take_steps_into_the_rows_and_back) {
    chain c = begin("10 6 4");
    CHECK_OK(more(&c, NN_OP_FOLD, (nn_attr){0}), &c.err);
    is(&c, "(6, 4)", 10);
    CHECK_OK(more(&c, NN_OP_FOLD, (nn_attr){0}), &c.err);
    is(&c, "(4,)", 60);
    CHECK_OK(more(&c, NN_OP_MATMUL, three_units), &c.err);
    assert_int_equal(nn_node_flops(c.g, &c.g->nodes[c.at]), 2 * 4 * 3 * 60);
    assert_int_equal(nn_graph_add_output(c.g, c.at, &c.err), NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "lies between a fold and its unfold"));
    CHECK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {10}}) == NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "unfold to 10 steps, but 'n2' folded 6"));
    CHECK_OK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {6}}), &c.err);
    is(&c, "(6, 3)", 10);
    CHECK_OK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {10}}), &c.err);
    is(&c, "(10, 6, 3)", 1);
    CHECK_OK(nn_graph_add_output(c.g, c.at, &c.err), &c.err);
    CHECK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {1}}) == NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "no fold stands before"));
    nn_arena_free(c.g->arena);
}

TEST(folds_of_unknown_length) {
    chain c = begin("? 4");
    CHECK_OK(more(&c, NN_OP_FOLD, (nn_attr){0}), &c.err);
    is(&c, "(4,)", NN_DIM_UNKNOWN);
    CHECK_OK(more(&c, NN_OP_MATMUL, three_units), &c.err);
    assert_int_equal(nn_node_flops(c.g, &c.g->nodes[c.at]), -1);
    CHECK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {5}}) == NN_E_DSL_ERROR);
    CHECK_OK(more(&c, NN_OP_UNFOLD, (nn_attr){.unfold = {NN_DIM_UNKNOWN}}), &c.err);
    is(&c, "(?, 3)", 1);
    nn_arena_free(c.g->arena);
}

TEST(folds_must_agree) {
    chain c = begin("10 4; 10 4; 9 4");
    int a, b, other, sum;
    CHECK_OK(add_op(c.g, NN_OP_FOLD, &(int){0}, 1, (nn_attr){0}, (nn_shape){0}, &a, &c.err),
             &c.err);
    CHECK_OK(add_op(c.g, NN_OP_FOLD, &(int){1}, 1, (nn_attr){0}, (nn_shape){0}, &b, &c.err),
             &c.err);
    CHECK_OK(add_op(c.g, NN_OP_FOLD, &(int){2}, 1, (nn_attr){0}, (nn_shape){0}, &other, &c.err),
             &c.err);
    const nn_attr add = {.merge = {NN_MERGE_ADD}};
    CHECK_OK(add_op(c.g, NN_OP_MERGE, (int[]){a, b}, 2, add, (nn_shape){0}, &sum, &c.err), &c.err);
    assert_int_equal(c.g->nodes[sum].fold, 10);
    CHECK(add_op(c.g, NN_OP_MERGE, (int[]){a, other}, 2, add, (nn_shape){0}, &sum, &c.err) ==
          NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "merge meets 'n3', which has 10 rows a sample, and 'n5', "
                                      "which has 9 rows"));
    CHECK(add_op(c.g, NN_OP_MERGE, (int[]){a, 0}, 2, add, (nn_shape){0}, &sum, &c.err) ==
          NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "which has 1 row:"));
    nn_arena_free(c.g->arena);
}

TEST(folds_are_bounded) {
    chain c = begin("2147483647 2 2");
    CHECK_OK(more(&c, NN_OP_FOLD, (nn_attr){0}), &c.err);
    c.at = 1;
    nn_attr flat = {
        .embedding = {2, 2}
    };
    CHECK_OK(more(&c, NN_OP_EMBEDDING, flat), &c.err); /* (2, 2, 2) */
    for (int i = 0; i < 3; i++) CHECK_OK(more(&c, NN_OP_FOLD, flat), &c.err);
    is(&c, "()", INT64_C(2147483647) * 8);
    CHECK(more(&c, NN_OP_FOLD, flat) == NN_E_DSL_ERROR);
    assert_non_null(strstr(c.err.msg, "no axis to take into the rows"));
    for (int i = 0; i < 6; i++) {
        nn_attr wide = {
            .embedding = {2, 4}
        };
        CHECK_OK(more(&c, NN_OP_EMBEDDING, wide), &c.err);
        nn_status st = more(&c, NN_OP_FOLD, flat);
        if (i < 3) CHECK_OK(st, &c.err); /* 2^34, 36, 38, 40: just below */
        if (i == 3) assert_non_null(strstr(c.err.msg, "past 2^40 rows"));
        if (i == 3) break;
    }
    nn_arena_free(c.g->arena);
}

/* ---- the arity, and the given ---- */

TEST(arity_of_every_op) {
    for (int op = 0; op < NN_OP_COUNT; op++) {
        int least, most, id;
        nn_op_arity((nn_op)op, &least, &most);
        CHECK(0 <= least && least <= most && most <= NN_MAX_INPUTS);
        nn_graph *g = nn_graph_new(NULL, "g");
        int ids[NN_MAX_INPUTS + 1] = {0};
        add_inputs(g, "3 3", ids);
        nn_err err = {0};
        CHECK(add_op(g, (nn_op)op, ids, most + 1, (nn_attr){0}, (nn_shape){1, {3}}, &id, &err) !=
              0);
        assert_non_null(strstr(err.msg, " input"));
        if (least > 0)
            CHECK(add_op(g, (nn_op)op, ids, least - 1, (nn_attr){0}, (nn_shape){0}, &id, &err) !=
                  0);
        nn_arena_free(g->arena);
    }
}

TEST(custom_has_the_shape_that_is_given) {
    nn_graph *g = nn_graph_new(NULL, "g");
    nn_err err;
    int ids[2], id;
    add_inputs(g, "3; 4", ids);
    char text[] = "lambda x: x";
    nn_attr a = {.custom = {text}};
    CHECK_OK(add_op(g, NN_OP_CUSTOM, ids, 2, a,
                    (nn_shape){
                        2, {-1, 5}
    },
                    &id, &err),
             &err);
    text[0] = '!'; /* it was copied */
    assert_string_equal(g->nodes[id].attr.custom.text, "lambda x: x");
    assert_int_equal(g->nodes[id].shape.dim[1], 5);
    assert_int_equal(g->nodes[id].inputs[1], ids[1]);
    CHECK_OK(add_op(g, NN_OP_CUSTOM, ids, 1, (nn_attr){0}, (nn_shape){0}, &id, &err), &err);
    assert_string_equal(g->nodes[id].attr.custom.text, "");
    CHECK(add_op(g, NN_OP_CUSTOM, ids, 1, a, (nn_shape){1, {0}}, &id, &err) == NN_E_DSL_ERROR);
    char *much = calloc(1, NN_MAX_CUSTOM + 2);
    memset(much, 'x', NN_MAX_CUSTOM + 1);
    a.custom.text = much;
    CHECK(add_op(g, NN_OP_CUSTOM, ids, 1, a, (nn_shape){0}, &id, &err) == NN_E_DSL_ERROR);
    assert_non_null(strstr(err.msg, "65537 bytes"));
    free(much);
    nn_arena_free(g->arena);
}
