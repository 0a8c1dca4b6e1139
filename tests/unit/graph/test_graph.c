/* SPDX-License-Identifier: MIT */
#include "graph/graph.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static nn_graph *empty(void) {
    return nn_graph_new(NULL, "g");
}

static nn_status add(nn_graph *g, nn_op op, const char *name, int input, nn_attr attr,
                     nn_shape shape, int *ret, nn_err *err) {
    return nn_graph_add(g,
                        &(nn_node_spec){.op = op,
                                        .name = name,
                                        .layer = "L",
                                        .layer_name = name,
                                        .inputs = &input,
                                        .n_inputs = op != NN_OP_INPUT,
                                        .attr = attr,
                                        .shape = shape},
                        ret, err);
}

static int input(nn_graph *g, nn_shape shape) {
    int id;
    nn_err err;
    CHECK_OK(add(g, NN_OP_INPUT, "in", -1, (nn_attr){0}, shape, &id, &err), &err);
    return id;
}

static nn_attr matmul(int64_t units) {
    return (nn_attr){
        .matmul = {units, true}
    };
}

/* ---- names ---- */

TEST(names_are_unique_and_plain) {
    nn_graph *g = empty();
    int in = input(g, (nn_shape){1, {4}}), id = -7;
    nn_err err;
    const char *bad[] = {"", "a b", "in", "caf\xc3\xa9", "x\n", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(add(g, NN_OP_MATMUL, bad[i], in, matmul(2), (nn_shape){0}, &id, &err),
                         NN_E_DSL_ERROR);
    assert_int_equal(id, -7); /* untouched */
    char longest[NN_MAX_NAME + 2];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(add(g, NN_OP_MATMUL, longest, in, matmul(2), (nn_shape){0}, &id, &err),
                     NN_E_DSL_ERROR);
    longest[NN_MAX_NAME] = 0;
    CHECK_OK(add(g, NN_OP_MATMUL, longest, in, matmul(2), (nn_shape){0}, &id, &err), &err);
    nn_arena_free(g->arena);
}

TEST(many_nodes) {
    enum { MANY = 5000 };
    nn_graph *g = empty();
    int at = input(g, (nn_shape){1, {4}});
    nn_err err;
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d", i);
        CHECK(!nn_graph_has_name(g, name));
        nn_attr a = {
            .activation = {NN_ACT_RELU, 0}
        };
        CHECK_OK(add(g, NN_OP_ACTIVATION, name, at, a, (nn_shape){0}, &at, &err), &err);
    }
    CHECK(nn_graph_has_name(g, "n0") && nn_graph_has_name(g, "n4999"));
    assert_int_equal(g->n_nodes, MANY + 1);
    assert_string_equal(g->nodes[77].name, "n76");
    nn_arena_free(g->arena);
}

TEST(the_memory_cap_is_an_error) {
    NN_AUTO(nn_arena) *parent = nn_arena_new(NULL, "p", 20000);
    nn_graph *g = nn_graph_new(parent, "g");
    int at = input(g, (nn_shape){1, {4}});
    nn_err err = {0};
    nn_status st = NN_OK;
    for (int i = 0; !st && i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d", i);
        st = add(g, NN_OP_ACTIVATION, name, at, (nn_attr){0}, (nn_shape){0}, &at, &err);
    }
    assert_int_equal(st, NN_E_LIMIT);
    CHECK(nn_graph_new(nn_arena_new(parent, "tiny", 8), "g") == NULL);
}

/* ---- weights ---- */

TEST(weights_follow_the_op) {
    nn_graph *g = empty();
    int in = input(g, (nn_shape){1, {3}}), id;
    nn_err err;
    CHECK_OK(add(g, NN_OP_MATMUL, "d", in, matmul(2), (nn_shape){0}, &id, &err), &err);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    assert_int_equal(nn_graph_check(g, &err), NN_E_DSL_ERROR); /* no kernel yet */
    nn_weight bias =
                  {
                      .shape = {1, {2}}
    },
              kernel = {.shape = {2, {3, 2}}, .trainable = true};
    nn_weight turned = {
        .shape = {2, {2, 3}}
    };
    CHECK(nn_graph_add_weight(g, id, "bias", &bias, &err) != NN_OK); /* kernel comes first */
    CHECK(nn_graph_add_weight(g, id, "kernel", &turned, &err) != NN_OK);
    CHECK(nn_graph_add_weight(g, in, "kernel", &kernel, &err) != NN_OK);
    CHECK(nn_graph_add_weight(g, 99, "kernel", &kernel, &err) != NN_OK);
    CHECK_OK(nn_graph_add_weight(g, id, "kernel", &kernel, &err), &err);
    CHECK_OK(nn_graph_add_weight(g, id, "bias", &bias, &err), &err);
    CHECK(nn_graph_add_weight(g, id, "bias", &bias, &err) != NN_OK);
    CHECK_OK(nn_graph_check(g, &err), &err);
    assert_string_equal(g->weights[1].name, "d.bias");
    assert_int_equal(g->weights[1].offset, 6);
    assert_int_equal(g->slab, 8);
    assert_int_equal(nn_node_params(g, &g->nodes[id], false), 8);
    assert_int_equal(nn_node_params(g, &g->nodes[id], true), 6); /* the bias is not trainable */
    assert_int_equal(nn_node_flops(g, &g->nodes[id]), 12);
    nn_arena_free(g->arena);
}

TEST(sizes_are_bounded) {
    nn_graph *g = empty();
    int id;
    nn_err err;
    nn_shape bad[] = {
        {1,  {0}                     },
        {1,  {-2}                    },
        {1,  {NN_MAX_DIM + 1}        },
        {2,  {NN_MAX_DIM, 1000}      },
        {9,  {1, 1, 1, 1, 1, 1, 1, 1}},
        {-1, {0}                     }
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(add(g, NN_OP_INPUT, "in", -1, (nn_attr){0}, bad[i], &id, &err),
                         NN_E_DSL_ERROR);
    int in = input(g, (nn_shape){1, {NN_MAX_DIM}});
    CHECK_OK(add(g, NN_OP_MATMUL, "d", in, matmul(NN_MAX_DIM), (nn_shape){0}, &id, &err), &err);
    nn_weight w = {
        .shape = {2, {NN_MAX_DIM, NN_MAX_DIM}}
    };
    assert_int_equal(nn_graph_add_weight(g, id, "kernel", &w, &err), NN_E_DSL_ERROR);
    assert_int_equal(nn_node_flops(g, &g->nodes[id]), -1); /* 2 (2^31-1)^2 passes 2^62 */
    nn_arena_free(g->arena);
}

/* ---- windows: counted, not calculated ---- */

/* How many window positions fit, by trying them. */
static int64_t count_positions(int64_t d, int64_t before, int64_t after, int64_t k, int64_t s,
                               int64_t dil) {
    int64_t n = 0, last_tap = (k - 1) * dil;
    for (int64_t at = -before; at + last_tap < d + after; at += s) n++;
    return n;
}

TEST(windows_against_counting) {
    nn_err err;
    int tried = 0;
    for (int64_t d = 1; d <= 12; d++)
        for (int64_t k = 1; k <= 5; k++)
            for (int64_t s = 1; s <= 4; s++)
                for (int64_t dil = 1; dil <= (s == 1 ? 3 : 1); dil++)
                    for (int64_t p = 0; p <= 2; p++) {
                        nn_window w = {.spatial = 1, .size = {k}, .stride = {s}, .dilation = {dil}};
                        w.pad_before[0] = p;
                        w.pad_after[0] = p / 2;
                        nn_shape in = {
                            2, {d, 3}
                        };
                        int64_t out = -1, want = count_positions(d, p, p / 2, k, s, dil);
                        nn_status st = nn_window_output(&w, &in, &out, &err);
                        if (want == 0) CHECK(st != NN_OK && out == -1);
                        if (want > 0) CHECK(st == NN_OK && out == want);
                        tried++;
                    }
    assert_int_equal(tried, 1080);
}

TEST(same_padding_keeps_every_stride) {
    for (int64_t d = 1; d <= 12; d++)
        for (int64_t k = 1; k <= 6; k++)
            for (int64_t s = 1; s <= 5; s++) {
                nn_graph *g = empty();
                nn_err err;
                int in = input(g,
                               (nn_shape){
                                   2, {d, 3}
                }),
                    id;
                nn_attr a = {
                    .pool = {
                             .spatial = 1, .size = {k}, .stride = {s}, .dilation = {1}, .same = true}
                };
                CHECK_OK(add(g, NN_OP_MAX_POOL, "p", in, a, (nn_shape){0}, &id, &err), &err);
                const nn_window *w = &g->nodes[id].attr.pool;
                int64_t out = g->nodes[id].shape.dim[0], b = w->pad_before[0], e = w->pad_after[0];
                /* one window for every s elements; exactly as much padding as they need, the odd
                 * one after */
                assert_int_equal(out, d / s + (d % s != 0));
                assert_int_equal(count_positions(d, b, e, k, s, 1), out);
                CHECK(e == b || e == b + 1);
                if (b + e > 0) CHECK(count_positions(d, b, e - 1, k, s, 1) == out - 1);
                nn_arena_free(g->arena);
            }
}

TEST(unknown_sizes_flow_through) {
    nn_graph *g = empty();
    nn_err err;
    int at = input(g, (nn_shape){
                          3, {NN_DIM_UNKNOWN, 9, 4}
    });
    nn_window w = {
        .spatial = 2, .size = {3, 3},
             .stride = {1, 2},
             .dilation = {1, 1},
             .same = true
    };
    nn_attr conv = {
        .conv = {.window = w, .filters = 8, .groups = 2}
    };
    CHECK_OK(add(g, NN_OP_CONV, "c", at, conv, (nn_shape){0}, &at, &err), &err);
    nn_shape want = {
        3, {NN_DIM_UNKNOWN, 5, 8}
    };
    CHECK(nn_shape_equal(&g->nodes[at].shape, &want));
    assert_int_equal(g->nodes[at].attr.conv.window.pad_before[0], 1); /* stride 1: known anyway */
    assert_int_equal(nn_node_flops(g, &g->nodes[at]), -1);
    nn_shape flat = {1, {NN_DIM_UNKNOWN}};
    nn_attr pool = {0};
    int id;
    CHECK_OK(add(g, NN_OP_RESHAPE, "r", at, (nn_attr){0}, flat, &id, &err), &err);
    CHECK(add(g, NN_OP_MATMUL, "m", id, matmul(3), (nn_shape){0}, &id, &err) != NN_OK);
    CHECK_OK(add(g, NN_OP_GLOBAL_AVG_POOL, "p", at, pool, (nn_shape){0}, &id, &err), &err);
    nn_shape channels = {1, {8}};
    CHECK(nn_shape_equal(&g->nodes[id].shape, &channels));
    nn_arena_free(g->arena);
}

TEST(transpose_wants_a_permutation) {
    nn_graph *g = empty();
    nn_err err;
    int in = input(g,
                   (nn_shape){
                       3, {2, 3, 4}
    }),
        id;
    nn_attr twice = {.transpose = {{0, 1, 1}}}, out = {.transpose = {{0, 1, 3}}},
            good = {.transpose = {{2, 0, 1}}};
    CHECK(add(g, NN_OP_TRANSPOSE, "t", in, twice, (nn_shape){0}, &id, &err) != NN_OK);
    CHECK(add(g, NN_OP_TRANSPOSE, "t", in, out, (nn_shape){0}, &id, &err) != NN_OK);
    CHECK_OK(add(g, NN_OP_TRANSPOSE, "t", in, good, (nn_shape){0}, &id, &err), &err);
    nn_shape want = {
        3, {4, 2, 3}
    };
    CHECK(nn_shape_equal(&g->nodes[id].shape, &want));
    nn_arena_free(g->arena);
}

/* ---- tables ---- */

TEST(words) {
    assert_int_equal(nn_act_find("LeakyReLU"), NN_ACT_LEAKY_RELU);
    assert_int_equal(nn_act_find("Swish"), NN_ACT_SILU);
    assert_int_equal(nn_act_find("leaky"), -1);
    assert_int_equal(nn_act_find(""), -1);
    assert_int_equal(nn_act_find("_"), -1);
    assert_int_equal(nn_loss_find("CrossEntropy"), NN_LOSS_CATEGORICAL);
    assert_int_equal(nn_loss_find("cross"), -1);
    assert_int_equal(nn_loss_find(""), -1);
    assert_int_equal(nn_loss_find("bce"), NN_LOSS_BINARY);
    assert_int_equal(nn_optimizer_find("ADAMW"), NN_OPTIMIZER_ADAMW);
    nn_initializer init;
    assert_int_equal(nn_init_find("GlorotUniform", &init), NN_INIT_GLOROT_UNIFORM);
    assert_int_equal(nn_init_find("random_uniform", &init), NN_INIT_RANDOM_UNIFORM);
    CHECK(init.a == -0.05 && init.b == 0.05);
    for (int i = 0; i < NN_OP_COUNT; i++) assert_int_equal(nn_op_find(nn_op_name((nn_op)i)), i);
}

TEST(default_loss_suits_the_output) {
    nn_err err;
    const nn_attr none = {0};
    const nn_attr sigmoid = {
        .activation = {NN_ACT_SIGMOID, 0}
    };
    const nn_attr tanh_ = {
        .activation = {NN_ACT_TANH, 0}
    };
    const nn_op ops[] = {NN_OP_SOFTMAX, NN_OP_ACTIVATION, NN_OP_ACTIVATION};
    const nn_attr attrs[] = {none, sigmoid, tanh_};
    const nn_loss_kind want[] = {NN_LOSS_SPARSE, NN_LOSS_BINARY, NN_LOSS_MSE};
    for (int i = 0; i < 3; i++) {
        nn_graph *g = empty();
        int id = input(g, (nn_shape){1, {3}});
        CHECK_OK(add(g, ops[i], "a", id, attrs[i], (nn_shape){0}, &id, &err), &err);
        CHECK_OK(nn_graph_add_output(g, id, &err), &err);
        assert_int_equal(nn_train_default_loss(g), want[i]);
        nn_arena_free(g->arena);
    }
}
