/* SPDX-License-Identifier: MIT */
/* ResidualConnection, Sequential, Branch, SqueezeExcitation and Inception. */
#include "hand.h"

/* What a block does in these tests: a convolution, or for up to two axes a dense layer, for each
 * row; rows without units hand on what comes in. */
typedef struct step {
    int64_t units, size, stride;
    bool same;
} step;

typedef struct made_block {
    int n; /* branches left open */
    step step[4];
} made_block;

static nn_status add_step(const nn_layer_ctx *c, const step *s, int number, int from, int *ret,
                          nn_err *err) {
    if (s->units == 0) {
        *ret = from;
        return NN_OK;
    }
    char name[32];
    snprintf(name, sizeof name, "inner_%d", number);
    const nn_shape in = c->graph->nodes[from].shape;
    nn_node_spec n = {.op = NN_OP_MATMUL,
                      .name = name,
                      .layer = "Dense",
                      .layer_name = name,
                      .inputs = &from,
                      .n_inputs = 1,
                      .attr = {.matmul = {s->units, false}}};
    nn_weight w = {
        .shape = {2, {in.dim[in.rank - 1], s->units}},
          .trainable = true
    };
    if (s->size) {
        nn_window window = {.spatial = in.rank - 1, .same = s->same};
        w.shape = (nn_shape){.rank = in.rank + 1};
        for (int i = 0; i < window.spatial; i++) {
            w.shape.dim[i] = window.size[i] = s->size;
            window.stride[i] = s->stride;
            window.dilation[i] = 1;
        }
        w.shape.dim[in.rank - 1] = in.dim[in.rank - 1];
        w.shape.dim[in.rank] = s->units;
        n.op = NN_OP_CONV;
        n.attr = (nn_attr){
            .conv = {.window = window, .filters = s->units, .groups = 1}
        };
    }
    nn_status st = nn_graph_add(c->graph, &n, ret, err);
    return st ? st : nn_graph_add_weight(c->graph, *ret, "kernel", &w, err);
}

static nn_status run_block(const nn_layer_ctx *c, const void *block, int from, int *ret, int cap,
                           int *ret_n, nn_err *err) {
    const made_block *b = block;
    CHECK(b->n <= cap);
    for (int i = 0; i < b->n; i++) {
        nn_status st = add_step(c, &b->step[i], i, from, &ret[i], err);
        if (st) return st;
    }
    *ret_n = b->n;
    return NN_OK;
}

static void with_block(hand *h, const made_block *b) {
    h->c.block = b;
    h->c.run_block = run_block;
}

/* Readies a layer with a block of one step. */
#define WITH_STEP(h, symbol, shape, ...)                                                           \
    const made_block block_ = {1, {{__VA_ARGS__}}};                                                \
    HAND((h), symbol, shape);                                                                      \
    with_block((h), &block_)

static int64_t params_of(const nn_graph *g) {
    int64_t n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += nn_node_params(g, &g->nodes[i], false);
    return n;
}

/* ---- ResidualConnection ---- */

TEST(residual_adds_its_input) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(8), .units = 8);
    hand_gives(&h, "%1 = matmul(%0) inner_0 units=8 : (batch, 8) [kernel (8, 8)]\n"
                   "%2 = merge(%0, %1) x add : (batch, 8)\n");
}

TEST(residual_activates_the_sum) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(NN_DIM_UNKNOWN, 8), .units = 8);
    hand_arg(&h, "activation")->s = "relu";
    hand_gives(&h, "%1 = matmul(%0) inner_0 units=8 : (batch, ?, 8) [kernel (8, 8)]\n"
                   "%2 = merge(%0, %1) x add : (batch, ?, 8)\n"
                   "%3 = activation(%2) x.relu relu : (batch, ?, 8)\n");
}

TEST(residual_says_both_shapes) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(28, 28, 3), .units = 16, .size = 3, .stride = 1);
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "its block makes (26, 26, 16) of (28, 28, 3): what is added must have the same "
               "shape");
    assert_string_equal(h.err.hint,
                        "ResidualConnection(projection=true) brings the shortcut to that shape");
}

/* A vector of one would be broadcast; that is not meant. */
TEST(residual_does_not_broadcast) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(8), .units = 1);
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "its block makes (1,) of (8,): what is added must have the same shape");
}

TEST(residual_projects_a_vector) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(8), .units = 5);
    hand_arg(&h, "projection")->b = true;
    hand_gives(&h, "%1 = matmul(%0) inner_0 units=5 : (batch, 5) [kernel (8, 5)]\n"
                   "%2 = matmul(%0) x.shortcut units=5 bias : (batch, 5) [kernel (8, 5), bias "
                   "(5,)]\n"
                   "%3 = merge(%2, %1) x add : (batch, 5)\n");
}

/* ResNet's: 56 to 28 is a stride of 2, as the block's. */
TEST(residual_projects_an_image) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(56, 28, 4), .units = 6, .size = 3, .stride = 2, .same = true);
    hand_arg(&h, "projection")->b = true;
    hand_gives(&h,
               "%1 = conv(%0) inner_0 size=3x3 stride=2x2 same pad_after=1x1 filters=6 : (batch, "
               "28, 14, 6) [kernel (3, 3, 4, 6)]\n"
               "%2 = conv(%0) x.shortcut size=1x1 stride=2x2 filters=6 bias : (batch, 28, 14, 6) "
               "[kernel (1, 1, 4, 6), bias (6,)]\n"
               "%3 = merge(%2, %1) x add : (batch, 28, 14, 6)\n");
}

/* An odd size: ceil(7 / 2) = 4. Steps that change are no longer those of the mask. */
TEST(residual_projects_steps) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(7, 4), .units = 6, .size = 3, .stride = 2, .same = true);
    hand_arg(&h, "projection")->b = true;
    h.c.mask = h.out_mask = 0;
    CHECK_OK(hand_build(&h), &h.err);
    const nn_node *shortcut = &h.c.graph->nodes[2];
    assert_string_equal(shortcut->name, "x.shortcut");
    assert_int_equal(shortcut->attr.conv.window.stride[0], 2);
    assert_int_equal(shortcut->shape.dim[0], 4);
    assert_int_equal(h.out_mask, -1);
    hand_done(&h);
}

TEST(residual_keeps_the_mask_of_steps_that_stay) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(7, 4), .units = 4);
    h.c.mask = h.out_mask = 0;
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out_mask, 0);
    hand_done(&h);
}

TEST(residual_projection_that_cannot_be) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(28, 28, 3), .units = 16, .size = 3, .stride = 1);
    hand_arg(&h, "projection")->b = true;
    hand_fails(&h, NN_E_DSL_ERROR, "projection",
               "its block makes (26, 26, 16) of (28, 28, 3): no stride of the shortcut leads from "
               "28 to 26 on axis 0");
}

TEST(residual_projection_of_unknown_sizes_says_what_it_takes) {
    hand h;
    WITH_STEP(&h, "Residual", SHAPE(NN_DIM_UNKNOWN, 28, 3), .units = 16, .size = 3, .stride = 1,
              .same = true);
    hand_arg(&h, "projection")->b = true;
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.notices, 1);
    assert_string_equal(
        h.message, "the shortcut takes sizes that are not known to stay the same in the block");
    hand_done(&h);
}

TEST(residual_without_a_block_says_so) {
    hand h;
    HAND(&h, "Residual", SHAPE(8));
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out, h.inputs[0]);
    assert_int_equal(h.notices, 1);
    CHECK(h.notice.warning);
    assert_string_equal(h.message, "no block: it passes its input on");
    hand_done(&h);
}

TEST(blocks_end_in_one_branch) {
    static const made_block two = {
        2, {{.units = 8}, {.units = 8}}
    };
    static const char *const layers[] = {"Residual", "Sequential", "Branch"};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        hand h;
        HAND(&h, layers[i], SHAPE(8));
        with_block(&h, &two);
        hand_fails(&h, NN_E_DSL_ERROR, NULL, "its block leaves 2 branches open");
    }
}

/* ---- Sequential, Branch ---- */

TEST(sequential_is_its_block) {
    static const char *const layers[] = {"Sequential", "Branch"};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        hand h;
        WITH_STEP(&h, layers[i], SHAPE(8), .units = 5);
        hand_arg(&h, "trainable")->b = false; /* of the whole block */
        hand_gives(&h, "%1 = matmul(%0) inner_0 units=5 : (batch, 5) [kernel (8, 5) fixed]\n");
    }
    hand h;
    WITH_STEP(&h, "Sequential", SHAPE(8), .units = 0);
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out, h.inputs[0]);
    assert_int_equal(h.notices, 1);
    hand_done(&h);
}

/* ---- SqueezeExcitation ---- */

TEST(squeeze_excitation) {
    hand h;
    HAND(&h, "SqueezeExcitation", SHAPE(7, 5, 32)); /* 32 / 16 = 2 */
    hand_gives(&h, "%1 = global_avg_pool(%0) x.squeeze keepdims : (batch, 1, 1, 32)\n"
                   "%2 = matmul(%1) x.reduce units=2 bias : (batch, 1, 1, 2) [kernel (32, 2), bias "
                   "(2,)]\n"
                   "%3 = activation(%2) x.relu relu : (batch, 1, 1, 2)\n"
                   "%4 = matmul(%3) x.expand units=32 bias : (batch, 1, 1, 32) [kernel (2, 32), "
                   "bias (32,)]\n"
                   "%5 = activation(%4) x.sigmoid sigmoid : (batch, 1, 1, 32)\n"
                   "%6 = merge(%0, %5) x multiply : (batch, 7, 5, 32)\n");
}

TEST(squeeze_excitation_leaves_a_channel) {
    hand h;
    HAND(&h, "SqueezeExcitation", SHAPE(7, 5, 8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "ratio=16 (the default) leaves none of the 8 channels of (7, 5, 8)");
    assert_string_equal(h.err.hint, "give a ratio of at most 8");
    HAND(&h, "SqueezeExcitation", SHAPE(7, 5, 8));
    hand_arg(&h, "ratio")->i = 9;
    hand_fails(&h, NN_E_DSL_ERROR, "ratio", "ratio=9 leaves none of the 8 channels of (7, 5, 8)");
    HAND(&h, "SqueezeExcitation", SHAPE(7, 5, 8));
    hand_arg(&h, "ratio")->i = 8;
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(params_of(h.c.graph), 8 + 1 + 8 + 8);
    hand_done(&h);
    HAND(&h, "SqueezeExcitation", SHAPE(8));
    hand_fails(&h, NN_E_DSL_ERROR, NULL,
               "expected (sizes..., channels) with a known number of channels, got (8,)");
}

/* ---- Inception ---- */

/* 1x1: 4*3+3; reduce twice: 4*3+3; 3x3: 9*3*3+3; 5x5: 25*3*3+3; pool_proj: 4*3+3. */
TEST(inception_of_four_towers) {
    hand h;
    HAND(&h, "Inception", SHAPE(7, 5, 4));
    hand_arg(&h, "filters")->i = 3;
    CHECK_OK(hand_build(&h), &h.err);
    const nn_graph *g = h.c.graph;
    const nn_node *out = &g->nodes[h.out];
    assert_int_equal(params_of(g), 4 * 15 + 84 + 228);
    CHECK(out->op == NN_OP_CONCAT && out->attr.concat.axis == 2 && out->n_inputs == 4);
    static const char *const towers[] = {"x.1x1.relu", "x.3x3.relu", "x.5x5.relu",
                                         "x.pool_proj.relu"};
    for (int i = 0; i < 4; i++) assert_string_equal(g->nodes[out->inputs[i]].name, towers[i]);
    char s[64];
    assert_string_equal(nn_shape_print(&out->shape, false, s, sizeof s), "(7, 5, 12)");
    hand_done(&h);
}

TEST(inception_of_branches) {
    static const made_block block = {
        3, {{.units = 2}, {.units = 3, .size = 3, .stride = 1, .same = true}, {.units = 0}}
    };
    hand h;
    HAND(&h, "Inception", SHAPE(7, 5, 4));
    with_block(&h, &block);
    hand_gives(&h, "%1 = matmul(%0) inner_0 units=2 : (batch, 7, 5, 2) [kernel (4, 2)]\n"
                   "%2 = conv(%0) inner_1 size=3x3 same pad_before=1x1 pad_after=1x1 filters=3 : "
                   "(batch, 7, 5, 3) [kernel (3, 3, 4, 3)]\n"
                   "%3 = concat(%1, %2, %0) x axis=2 : (batch, 7, 5, 9)\n");
}

TEST(inception_names_the_branch_that_differs) {
    static const made_block block = {
        3, {{.units = 2}, {.units = 0}, {.units = 3, .size = 3, .stride = 1}}
    };
    hand h;
    HAND(&h, "Inception", SHAPE(7, 5, 4));
    with_block(&h, &block);
    hand_fails(
        &h, NN_E_DSL_ERROR, NULL,
        "branch 1 of its block gives (7, 5, 2), branch 3 gives (5, 3, 3): they are joined on "
        "the last axis, so the others must be equal");
}

TEST(inception_takes_filters_or_a_block) {
    hand h;
    HAND(&h, "Inception", SHAPE(7, 5, 4));
    hand_fails(&h, NN_E_DSL_ERROR, NULL, "it takes filters or a block of branches");
    WITH_STEP(&h, "Inception", SHAPE(7, 5, 4), .units = 2);
    hand_arg(&h, "filters")->i = 3;
    hand_fails(&h, NN_E_DSL_ERROR, "filters", "it takes filters or a block of branches, not both");
    HAND(&h, "Inception", SHAPE(4));
    hand_arg(&h, "filters")->i = 3;
    hand_fails(&h, NN_E_DSL_ERROR, NULL, "expected one to three sizes and channels, got (4,)");
}

TEST(inception_of_one_branch_joins_nothing) {
    hand h;
    WITH_STEP(&h, "Inception", SHAPE(7, 5, 4), .units = 2);
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.notices, 1);
    assert_string_equal(h.c.graph->nodes[h.out].name, "inner_0");
    hand_done(&h);
}
