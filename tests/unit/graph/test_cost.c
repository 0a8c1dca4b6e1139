/* SPDX-License-Identifier: MIT */
/* Multiply-accumulates counted by hand, times two. How the memory compares with what an engine
 * plans is tested in tests/conformance/engine. */
#include "shapes.h"

static void costs(nn_op op, const char *inputs, int64_t want, nn_attr attr) {
    int id;
    nn_graph *g = one_op(op, inputs, attr, &id);
    int64_t got = nn_node_flops(g, &g->nodes[id]);
    if (got != want)
        fail_msg("%s of %s costs %lld, not %lld", nn_op_name(op), inputs, (long long)got,
                 (long long)want);
    nn_arena_free(g->arena);
}

#define COSTS(op, inputs, want, ...) costs(NN_OP_##op, inputs, want, (nn_attr){__VA_ARGS__})
#define W2(k, s, same_)                                                                            \
    { .spatial = 2, .size = {k, k}, .stride = {s, s}, .dilation = {1, 1}, .same = same_ }

TEST(products) {
    COSTS(MATMUL, "7 4", 2 * 7 * 4 * 3, .matmul = {3, true});
    COSTS(CONV, "8 8 6", 2 * (6 * 6) * 12 * (3 * 3 * 2), .conv = {W2(3, 1, false), 12, 3, false});
    /* each of 7 x 7 x 4 elements meets 3 x 3 x 6 */
    COSTS(CONV_TRANSPOSE, "7 7 4", 2 * (7 * 7 * 4) * (3 * 3 * 6),
          .conv_transpose = {.window = W2(3, 2, true), .filters = 6, .groups = 1});
    COSTS(DOT, "4 5; 6 5", 2 * 4 * 6 * 5,
          .dot = {
              .axes = {1, 1}
    });
    COSTS(DOT, "? 5; 6 5", -1,
          .dot = {
              .axes = {1, 1}
    });
}

TEST(cells_and_attention) {
    COSTS(RNN, "7 5", 2 * 7 * 3 * (5 + 3), .rnn = {.kind = NN_RNN_SIMPLE, .units = 3});
    COSTS(RNN, "7 5", 2 * 7 * 4 * 3 * (5 + 3), .rnn = {.kind = NN_RNN_LSTM, .units = 3});
    COSTS(RNN, "7 5; 7", 2 * 7 * 3 * 3 * (5 + 3), .rnn = {.kind = NN_RNN_GRU, .units = 3});
    COSTS(RNN, "? 5", -1, .rnn = {.kind = NN_RNN_GRU, .units = 3});
    for (int sequences = 0; sequences < 2; sequences++)
        COSTS(CONV_LSTM, "5 8 8 3", 2 * 5 * (6 * 6) * (4 * 4) * (3 * 3) * (3 + 4),
              .conv_lstm = {W2(3, 1, false), .filters = 4, .sequences = sequences});
    COSTS(ATTENTION, "6 8; 9 8; 9 12", 2 * 6 * 9 * (8 + 12), .attention = {.heads = 2});
}

TEST(elements) {
    COSTS(BATCH_NORM, "3 4", 2 * 12, .batch_norm = {0.9, 1e-3, true, true});
    COSTS(LAYER_NORM, "3 4", 2 * 4 * 12, .layer_norm = {1e-3, true, true});
    COSTS(GROUP_NORM, "3 4", 2 * 4 * 12, .group_norm = {2, 1e-3, true, true});
    COSTS(PRELU, "3 4", 2 * 12, .prelu = {0});
    COSTS(ACTIVATION, "3 4", 0, .activation = {NN_ACT_RELU, 0});
    COSTS(MERGE, "3; 3", 0, .merge = {NN_MERGE_ADD});
}

/* ---- memory ---- */

TEST(memory_of_a_dense_layer) {
    int id;
    nn_graph *g = one_op(NN_OP_MATMUL, "64",
                         (nn_attr){
                             .matmul = {32, true}
    },
                         &id);
    nn_err err;
    nn_weight kernel = {
        .shape = {2, {64, 32}},
          .trainable = true
    };
    nn_weight bias = {
        .shape = {1, {32}},
          .trainable = true
    };
    CHECK_OK(nn_graph_add_weight(g, id, "kernel", &kernel, &err), &err);
    CHECK_OK(nn_graph_add_weight(g, id, "bias", &bias, &err), &err);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    nn_memory m = nn_graph_memory(g, 8, false);
    assert_int_equal(m.weights, 4 * (64 * 32 + 32));
    assert_int_equal(m.gradients, 0);
    assert_int_equal(m.optimizer, 0);
    assert_int_equal(m.activations, 4 * 8 * (64 + 32));
    assert_int_equal(m.total, m.weights + m.activations);
    m = nn_graph_memory(g, 8, true); /* Adam keeps two values of a weight */
    assert_int_equal(m.gradients, m.weights);
    assert_int_equal(m.optimizer, 2 * m.weights);
    CHECK(m.activations > 4 * 8 * (64 + 32 + 32));
    nn_arena_free(g->arena);
}

TEST(memory_of_unknown_sizes) {
    int id;
    nn_graph *g = one_op(NN_OP_SOFTMAX, "? 4", (nn_attr){0}, &id);
    nn_err err;
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    assert_int_equal(nn_graph_memory(g, 8, false).activations, -1);
    assert_int_equal(nn_graph_memory(g, 8, false).total, -1);
    assert_int_equal(nn_graph_memory(g, 8, false).weights, 0);
    nn_arena_free(g->arena);
    g = one_op(NN_OP_SOFTMAX, "4", (nn_attr){0}, &id);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    assert_int_equal(nn_graph_memory(g, 0, false).total, -1);
    assert_int_equal(nn_graph_memory(g, INT64_MAX, true).total, -1);
    assert_int_equal(nn_graph_memory(g, 1, false).activations, 4 * 4 * 2);
    nn_arena_free(g->arena);
}
