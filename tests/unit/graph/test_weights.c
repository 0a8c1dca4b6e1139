/* SPDX-License-Identifier: MIT */
/* The weights of each op by Keras's layouts; parameters by the formulas of language.md 13.2. */
#include "shapes.h"

static void weighs(nn_op op, const char *inputs, const char *want, nn_attr attr) {
    int id;
    nn_graph *g = one_op(op, inputs, attr, &id);
    char text[400] = "";
    const char *suffix;
    nn_shape s;
    for (int k = 0; (suffix = nn_node_weight_rule(g, &g->nodes[id], k, &s)); k++) {
        size_t n = strlen(text);
        char shape[160];
        snprintf(text + n, sizeof text - n, "%s%s %s", k ? ", " : "", suffix,
                 nn_shape_print(&s, false, shape, sizeof shape));
    }
    if (strcmp(text, want) != 0) fail_msg("%s has %s, not %s", nn_op_name(op), text, want);
    assert_null(nn_node_weight_rule(g, &g->nodes[id], -1, &s));
    assert_null(nn_node_weight_rule(g, &g->nodes[id], NN_MAX_WEIGHTS, &s));
    nn_arena_free(g->arena);
}

#define WEIGHS(op, inputs, want, ...) weighs(NN_OP_##op, inputs, want, (nn_attr){__VA_ARGS__})
#define W2(a, b)                                                                                   \
    { .spatial = 2, .size = {a, b}, .stride = {1, 1}, .dilation = {1, 1}, .same = true }

TEST(kernels) {
    WEIGHS(MATMUL, "4", "kernel (4, 3), bias (3,)", .matmul = {3, true});
    WEIGHS(CONV, "9 9 6", "kernel (3, 2, 2, 12)", .conv = {W2(3, 2), 12, 3, false});
    WEIGHS(CONV_TRANSPOSE, "9 9 6", "kernel (3, 2, 4, 6), bias (12,)",
           .conv_transpose = {.window = W2(3, 2), .filters = 12, .groups = 3, .bias = true});
    WEIGHS(EMBEDDING, "7", "embeddings (100, 8)", .embedding = {100, 8});
    WEIGHS(POSITION, "7 4", "embeddings (20, 4)", .position = {20, true});
    WEIGHS(POSITION, "7 4", "", .position = {20, false});
    WEIGHS(PRELU, "5 6 7", "alpha (5, 1, 7)", .prelu = {2});
}

TEST(norms) {
    WEIGHS(BATCH_NORM, "5 6", "gamma (6,), beta (6,), moving_mean (6,), moving_variance (6,)",
           .batch_norm = {0.9, 1e-3, true, true});
    WEIGHS(LAYER_NORM, "5 6", "gamma (6,), beta (6,)", .layer_norm = {1e-3, true, true});
    WEIGHS(LAYER_NORM, "5 6", "beta (6,)", .layer_norm = {1e-3, true, false});
    WEIGHS(GROUP_NORM, "5 6", "gamma (6,)", .group_norm = {2, 1e-3, false, true});
    WEIGHS(GROUP_NORM, "5 6", "", .group_norm = {2, 1e-3, false, false});
}

TEST(cells) {
    WEIGHS(RNN, "7 5", "kernel (5, 3), recurrent_kernel (3, 3), bias (3,)",
           .rnn = {.kind = NN_RNN_SIMPLE, .units = 3, .bias = true});
    WEIGHS(RNN, "7 5; 7", "kernel (5, 12), recurrent_kernel (3, 12), bias (12,)",
           .rnn = {.kind = NN_RNN_LSTM, .units = 3, .bias = true});
    WEIGHS(RNN, "7 5", "kernel (5, 9), recurrent_kernel (3, 9), bias (9,)",
           .rnn = {.kind = NN_RNN_GRU, .units = 3, .bias = true});
    WEIGHS(RNN, "7 5", "kernel (5, 9), recurrent_kernel (3, 9), bias (2, 9)",
           .rnn = {.kind = NN_RNN_GRU, .units = 3, .bias = true, .reset_after = true});
    WEIGHS(RNN, "7 5", "kernel (5, 12), recurrent_kernel (3, 12)",
           .rnn = {.kind = NN_RNN_LSTM, .units = 3});
    WEIGHS(CONV_LSTM, "5 8 8 3", "kernel (3, 2, 3, 16), recurrent_kernel (3, 2, 4, 16), bias (16,)",
           .conv_lstm = {.window = W2(3, 2), .filters = 4, .bias = true});
}

TEST(scales_of_attention) {
    WEIGHS(ATTENTION, "6 8; 9 8; 9 8", "", .attention = {.heads = 2});
    WEIGHS(ATTENTION, "6 8; 9 8; 9 8", "scale (1,)", .attention = {.heads = 1, .use_scale = true});
    WEIGHS(ATTENTION, "6 8; 9 8; 9 5", "scale (8,)",
           .attention = {.heads = 1, .use_scale = true, .additive = true});
}
