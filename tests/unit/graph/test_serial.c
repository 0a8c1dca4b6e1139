/* SPDX-License-Identifier: MIT */
/* The oracle of these tests is write, read, write again; and that no damage to the text of a graph
 * gives anything but an error or a graph that is whole. */
#include "graph/graph.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

static int add(nn_graph *g, nn_node_spec s, const char *name) {
    nn_err err;
    int id;
    s.name = s.layer_name = name;
    s.layer = "Layer";
    s.span = (nn_span){3, 4, 5, 6, 70, 80};
    CHECK_OK(nn_graph_add(g, &s, &id, &err), &err);
    return id;
}

static void weights(nn_graph *g, int id) {
    nn_weight w = {
        .init = {NN_INIT_RANDOM_NORMAL, 0.25, 0.125, true,                  UINT64_MAX - 3},
        .fan_in = 9,
        .fan_out = 7,
        .regularizer = {0.1,                     1e-300                      },
        .constraint = {NN_CONSTRAINT_MIN_MAX_NORM,                  0.1,    3,  0.5},
        .trainable = true
    };
    nn_err err;
    for (const char *s;
         (s = nn_node_weight_rule(g, &g->nodes[id], g->nodes[id].n_weights, &w.shape));)
        CHECK_OK(nn_graph_add_weight(g, id, s, &w, &err), &err);
}

/* A graph with every op and every attribute off its usual value. */
static nn_graph *everything(nn_arena *parent) {
    nn_graph *g = nn_graph_new(parent, "caf\xc3\xa9 \"quoted\"");
    nn_window w = {
        .spatial = 2,
        .size = {3, 2},
        .stride = {1, 1},
        .dilation = {2, 1},
        .pad_before = {1, 0},
        .pad_after = {2, 1}
    };
    nn_window same = {
        .spatial = 2, .size = {2, 2},
             .stride = {2, 1},
             .dilation = {1, 1},
             .same = true
    };
    int at = add(g,
                 (nn_node_spec){
                     .op = NN_OP_INPUT, .layer_index = -1, .shape = {3, {9, 8, 4}}
    },
                 "in");
    at = add(
        g,
        (nn_node_spec){
            .op = NN_OP_CONV, .inputs = (int[]){at   },
                 .n_inputs = 1, .attr.conv = { w, 6, 2, true}
    },
        "conv");
    weights(g, at);
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_BATCH_NORM,
                 .inputs = (int[]){at    },
                 .n_inputs = 1,
                 .attr.batch_norm = { 0.9, 1e-5, true, false}
    },
             "norm");
    weights(g, at);
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_ACTIVATION,
                 .inputs = (int[]){at  },
                 .n_inputs = 1,
                 .attr.activation = { NN_ACT_LEAKY_RELU, 0.2}
    },
             "act");
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_MAX_POOL, .inputs = (int[]){at}, .n_inputs = 1, .attr.pool = same},
             "max");
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_AVG_POOL, .inputs = (int[]){at}, .n_inputs = 1, .attr.pool = same},
             "avg");
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_DROPOUT,
                 .inputs = (int[]){at             },
                 .n_inputs = 1,
                 .attr.dropout = { 0.3, true, 1ULL << 63, {3, {1, 8, 6}}}
    },
             "drop");
    at = add(g,
             (nn_node_spec){.op = NN_OP_TRANSPOSE,
                            .inputs = (int[]){at},
                            .n_inputs = 1,
                            .attr.transpose = {{1, 0, 2}}},
             "turn");
    int pooled = add(g,
                     (nn_node_spec){.op = NN_OP_GLOBAL_AVG_POOL,
                                    .inputs = (int[]){at},
                                    .n_inputs = 1,
                                    .attr.global_pool = {true}},
                     "mean");
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_RESHAPE,
                 .inputs = (int[]){pooled},
                 .n_inputs = 1,
                 .attr.reshape = { true     },
                 .shape = { 1,      {6}}
    },
             "flat");
    at = add(
        g,
        (nn_node_spec){
            .op = NN_OP_MATMUL, .inputs = (int[]){at    },
                 .n_inputs = 1, .attr.matmul = { 5, false}
    },
        "dense");
    weights(g, at);
    at = add(g,
             (nn_node_spec){
                 .op = NN_OP_SOFTMAX, .inputs = (int[]){at}, .n_inputs = 1, .attr.softmax = {true}},
             "soft");
    nn_err err;
    CHECK_OK(nn_graph_add_output(g, at, &err), &err);
    g->train.has_loss = g->train.seeded = true;
    g->train.loss = NN_LOSS_CATEGORICAL;
    g->train.label_smoothing = 0.1;
    g->train.optimizer = nn_optimizer_default(NN_OPTIMIZER_ADAMW);
    g->train.seed = UINT64_MAX;
    memcpy(g->train.dataset, "a \"name\"", 9);
    return g;
}

static char *text_of(const nn_graph *g) {
    NN_BUF out = {0};
    NN_JSON *v = nn_graph_json(g);
    nn_json_dump(v, 0, &out);
    return nn_buf_take(&out);
}

static nn_status read_text(const char *p, size_t n, nn_arena *a, nn_graph **ret, nn_err *err) {
    NN_JSON *v = NULL;
    nn_status st = nn_json_parse(p, n, &v, err);
    return st ? st : nn_graph_read(v, a, ret, err);
}

TEST(round_trip) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_graph *g = everything(a), *back = NULL;
    char *text = text_of(g);
    nn_err err;
    CHECK_OK(read_text(text, strlen(text), a, &back, &err), &err);
    char *again = text_of(back);
    assert_string_equal(text, again);
    NN_BUF one = {0};
    NN_BUF two = {0};
    nn_graph_print(g, &one);
    nn_graph_print(back, &two);
    assert_string_equal(nn_buf_str(&one), nn_buf_str(&two));
    assert_int_equal(g->slab, back->slab);
    assert_int_equal(back->weights[1].init.seed, UINT64_MAX - 3);
    CHECK(back->weights[1].regularizer.l2 == 1e-300);
    assert_int_equal(back->train.seed, UINT64_MAX);
    assert_int_equal(back->nodes[4].attr.pool.pad_after[0], g->nodes[4].attr.pool.pad_after[0]);
    assert_int_equal(back->nodes[2].span.end, 80);
    free(text);
    free(again);
}

/* Replaces the first `from` by `to`; the graph must then be refused. */
static void refused(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at) fail_msg("the text holds no %s", from);
    NN_BUF b = {0};
    nn_buf_append(&b, text, (size_t)(at - text));
    nn_buf_puts(&b, to);
    nn_buf_puts(&b, at + strlen(from));
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_graph *g = NULL;
    nn_err err = {0};
    nn_status st = read_text(nn_buf_str(&b), b.n, a, &g, &err);
    if (st != NN_E_MODEL_FILE_ERROR || g)
        fail_msg("%s -> %s gave %s (%s)", from, to, nn_status_name(st), err.msg);
    CHECK(err.code == st && err.msg[0]);
}

TEST(hostile_graphs_are_refused) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    char *t = text_of(everything(a));
    refused(t, "\"op\":\"conv\"", "\"op\":\"magic\"");
    refused(t, "\"op\":\"conv\"", "\"op\":7");
    refused(t, "\"op\":\"conv\"", "\"op\":\"conv\",\"extra\":1");
    refused(t, "\"version\":1", "\"version\":2");
    refused(t, "\"version\":1,", "");
    refused(t, "\"inputs\":[0]", "\"inputs\":[1]"); /* itself */
    refused(t, "\"inputs\":[0]", "\"inputs\":[7]"); /* later */
    refused(t, "\"inputs\":[0]", "\"inputs\":[-1]");
    refused(t, "\"inputs\":[0]", "\"inputs\":[]");
    refused(t, "\"inputs\":[0]", "\"inputs\":[0,0]");
    refused(t, "\"inputs\":[0]", "\"inputs\":[99999999999]");
    refused(t, "\"shape\":[9,8,4]", "\"shape\":[9,8,5]"); /* groups no longer divide */
    refused(t, "\"shape\":[9,8,4]", "\"shape\":[9,8,0]");
    refused(t, "\"shape\":[9,8,4]", "\"shape\":[9,8,-4]");
    refused(t, "\"shape\":[9,8,4]", "\"shape\":[2147483647,2147483647,4]");
    refused(t, "\"shape\":[9,8,4]", "\"shape\":[1,1,1,1,1,1,1,1,1]");
    refused(t, "\"shape\":[8,8,6]", "\"shape\":[8,8,7]"); /* not what the rule gives */
    refused(t, "\"size\":[3,2]", "\"size\":[3]");
    refused(t, "\"size\":[3,2]", "\"size\":[3,2,1,1]");
    refused(t, "\"size\":[3,2]", "\"size\":[300,2]");
    refused(t, "\"size\":[3,2]", "\"size\":[]");
    refused(t, "\"groups\":2", "\"groups\":0");
    refused(t, "\"groups\":2", "\"groups\":3");
    refused(t, "\"filters\":6", "\"filters\":9223372036854775807");
    refused(t, "\"perm\":[1,0,2]", "\"perm\":[1,1,2]");
    refused(t, "\"perm\":[1,0,2]", "\"perm\":[1,0]");
    refused(t, "\"perm\":[1,0,2]", "\"perm\":[1,0,3]");
    refused(t, "\"name\":\"kernel\"", "\"name\":\"gamma\"");
    refused(t, "\"name\":\"conv\"", "\"name\":\"in\""); /* taken */
    refused(t, "\"name\":\"conv\"", "\"name\":\"a\\u001b[2J\"");
    refused(t, "\"kind\":\"random_normal\"", "\"kind\":\"evil\"");
    refused(t, "\"outputs\":[11]", "\"outputs\":[]");
    refused(t, "\"outputs\":[11]", "\"outputs\":[12]");
    refused(t, "\"outputs\":[11]", "\"outputs\":[1,1,1,1,1,1,1,1,1]");
    refused(t, "\"rate\":0.3", "\"rate\":1.5");
    refused(t, "\"batch_size\":32", "\"batch_size\":0");
    refused(t, "\"learning_rate\":0.001", "\"learning_rate\":-1");
    refused(t, "\"learning_rate\":0.001", "\"learning_rate\":\"fast\"");
    refused(t, "\"noise_shape\":[1,8,6]", "\"noise_shape\":[3,8,6]");
    refused(t, "\"train\":{", "\"train\":3,\"x\":{");
    free(t);
}

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Bytes changed at random: an error, or a graph that writes and reads again. */
TEST(random_damage) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    char *text = text_of(everything(a));
    size_t n = strlen(text);
    uint32_t rng = 1;
    int read = 0;
    for (int i = 0; i < 3000; i++) {
        char *copy = strdup(text);
        for (uint32_t k = next(&rng) % 3 + 1; k > 0; k--)
            copy[next(&rng) % n] = "0123456789-,:[]{}\"aetn."[next(&rng) % 23];
        NN_AUTO(nn_arena) *b = nn_arena_new(NULL, "copy", 0);
        nn_graph *g = NULL;
        nn_err err;
        if (read_text(copy, n, b, &g, &err) == NN_OK) {
            read++;
            CHECK_OK(nn_graph_check(g, &err), &err);
            char *once = text_of(g);
            nn_graph *back = NULL;
            CHECK_OK(read_text(once, strlen(once), b, &back, &err), &err);
            free(once);
        }
        free(copy);
    }
    CHECK(read > 0); /* some damage is only another number */
    free(text);
}
