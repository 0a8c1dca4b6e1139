/* SPDX-License-Identifier: MIT */
/* Every op with every attribute off its usual value: written, read and written again; then each
 * attribute damaged. What attributes.def forgets comes back as 0, which the comparison of the bytes
 * shows. */
#include "shapes.h"

#include <math.h>

#define STRIDED .spatial = 2, .size = {3, 2}, .stride = {2, 1}, .dilation = {1, 1}
#define DILATED .spatial = 2, .size = {3, 2}, .stride = {1, 1}, .dilation = {2, 1}

/* clang-format off */
static const struct {
    nn_op op;
    const char *inputs, *printed;
    nn_attr attr;
} ops[] = {
    {NN_OP_INPUT, "", NULL, {.concat = {0}}},
    {NN_OP_MATMUL, "4", "units=3 bias", {.matmul = {3, true}}},
    {NN_OP_CONV, "9 8 4", "size=3x2 dilation=2x1 pad_before=1x0 pad_after=2x1 filters=6 groups=2 bias",
     {.conv = {{DILATED, .pad_before = {1, 0}, .pad_after = {2, 1}}, 6, 2, true}}},
    {NN_OP_CONV_TRANSPOSE, "9 8 4",
     "size=3x2 stride=2x1 same pad_before=1x1 pad_after=1x1 output_padding=1x0 filters=6 groups=2 bias",
     {.conv_transpose = {.window = {STRIDED, .same = true}, .filters = 6, .groups = 2, .bias = true,
                         .output_padding_given = true, .output_padding = {1, 0}}}},
    {NN_OP_MAX_POOL, "9 8 4", "size=3x2 stride=2x1 same pad_before=1x0 pad_after=1x1",
     {.pool = {STRIDED, .same = true}}},
    {NN_OP_AVG_POOL, "9 8 4", "size=3x2 stride=2x1 pad_before=1x0", {.pool = {STRIDED, .pad_before = {1, 0}}}},
    {NN_OP_GLOBAL_MAX_POOL, "9 4", "keepdims", {.global_pool = {true}}},
    {NN_OP_GLOBAL_AVG_POOL, "9 4; 9", "keepdims", {.global_pool = {true}}},
    {NN_OP_ADAPTIVE_MAX_POOL, "9 8 4", "size=2x3", {.adaptive_pool = {2, {2, 3}}}},
    {NN_OP_ADAPTIVE_AVG_POOL, "9 4", "size=2", {.adaptive_pool = {1, {2}}}},
    {NN_OP_UPSAMPLE, "9 8 4", "factor=2x3 bilinear", {.upsample = {2, {2, 3}, true}}},
    {NN_OP_PAD, "9 8 4", "before=0x0 after=0x1", {.border = {2, {0, 0}, {0, 1}}}},
    {NN_OP_CROP, "9 4", "before=2 after=1", {.border = {1, {2}, {1}}}},
    {NN_OP_REVERSE, "9 4", "axis=1", {.reverse = {1}}},
    {NN_OP_BATCH_NORM, "4", "momentum=0.9 epsilon=1e-05", {.batch_norm = {0.9, 1e-5, true, true}}},
    {NN_OP_LAYER_NORM, "4", "epsilon=1e-05", {.layer_norm = {1e-5, true, true}}},
    {NN_OP_GROUP_NORM, "4", "groups=2 epsilon=1e-05", {.group_norm = {2, 1e-5, true, true}}},
    {NN_OP_ACTIVATION, "4", "elu alpha=0.5", {.activation = {NN_ACT_ELU, 0.5}}},
    {NN_OP_PRELU, "4 5", "shared=2", {.prelu = {2}}},
    {NN_OP_CLIP, "4", "low=-1.5 high=6", {.clip = {-1.5, 6}}},
    {NN_OP_SOFTMAX, "4", "log", {.softmax = {true}}},
    {NN_OP_DROPOUT, "4 5", "rate=0.3 seed=9223372036854775808 noise=(1, 5)",
     {.dropout = {0.3, true, UINT64_C(1) << 63, {2, {1, 5}}}}},
    {NN_OP_NOISE, "4", "alpha_dropout value=0.25 seed=7", {.noise = {NN_NOISE_ALPHA_DROPOUT, 0.25, true, 7}}},
    {NN_OP_ACTIVITY_REG, "4", "l1=0.5 l2=0.25", {.activity_reg = {0.5, 0.25}}},
    {NN_OP_RESHAPE, "4", "flatten", {.reshape = {true}}},
    {NN_OP_TRANSPOSE, "4 5", "perm=1,0", {.transpose = {{1, 0, -1, -1, -1, -1, -1, -1}}}},
    {NN_OP_EMBEDDING, "4", "input_dim=9 output_dim=3", {.embedding = {9, 3}}},
    {NN_OP_POSITION, "4 6", "max_len=9 learnable", {.position = {9, true}}},
    {NN_OP_RNN, "7 5; 7",
     "gru units=3 activation=relu recurrent_activation=hard_sigmoid bias sequences reverse reset_after dropout=0.25 "
     "recurrent_dropout=0.125",
     {.rnn = {NN_RNN_GRU, 3, NN_ACT_RELU, NN_ACT_HARD_SIGMOID, true, true, true, true, 0.25, 0.125}}},
    {NN_OP_CONV_LSTM, "5 9 8 3",
     "size=3x2 stride=2x1 same pad_before=1x0 pad_after=1x1 filters=4 activation=tanh recurrent_activation=sigmoid bias "
     "sequences reverse dropout=0.25 recurrent_dropout=0.5",
     {.conv_lstm = {{STRIDED, .same = true}, 4, NN_ACT_TANH, NN_ACT_SIGMOID, true, true, true, 0.25, 0.5}}},
    {NN_OP_ATTENTION, "6 8; 9 8; 9 8; 9", "scale=0.5 causal additive use_scale dropout=0.25",
     {.attention = {1, 0.5, true, true, true, 0.25}}},
    {NN_OP_MERGE, "4; 4", "minimum", {.merge = {NN_MERGE_MINIMUM}}},
    {NN_OP_CONCAT, "4 2; 4 3", "axis=1", {.concat = {1}}},
    {NN_OP_DOT, "4 5; 6 5", "axes=1,1 normalize", {.dot = {{1, 1}, true}}},
    {NN_OP_FOLD, "4 5", "rows=4", {.concat = {0}}},
    {NN_OP_UNFOLD, "4 5", "size=4", {.unfold = {4}}},
    {NN_OP_CUSTOM, "4", "text=\"x * 2\\n\\u001b\"", {.custom = {"x * 2\n\x1b"}}},
};
/* clang-format on */
enum { N_OPS = sizeof ops / sizeof *ops };

static void add_weights(nn_graph *g, int id) {
    nn_weight w = {.trainable = true};
    nn_err err;
    for (const char *s;
         (s = nn_node_weight_rule(g, &g->nodes[id], g->nodes[id].n_weights, &w.shape));)
        CHECK_OK(nn_graph_add_weight(g, id, s, &w, &err), &err);
}

/* The op of row i as node "op", and an output. */
static nn_graph *graph_of(size_t i, int *ret) {
    nn_graph *g = nn_graph_new(NULL, "g");
    int ids[8], n = add_inputs(g, *ops[i].inputs ? ops[i].inputs : "4", ids);
    nn_err err;
    *ret = 0;
    if (ops[i].op == NN_OP_UNFOLD)
        CHECK_OK(add_op(g, NN_OP_FOLD, ids, 1, (nn_attr){0}, (nn_shape){0}, &ids[0], &err), &err);
    if (*ops[i].inputs)
        CHECK_OK(add_op(g, ops[i].op, ids, n, ops[i].attr, (nn_shape){1, {4}}, ret, &err), &err);
    add_weights(g, *ret);
    CHECK_OK(nn_graph_add_output(g, ops[i].op == NN_OP_FOLD ? 0 : *ret, &err), &err);
    return g;
}

static char *text_of(const nn_graph *g) {
    NN_BUF out = {0};
    NN_JSON *v = nn_graph_json(g);
    nn_json_dump(v, 0, &out);
    return nn_buf_take(&out);
}

static nn_status read_text(const char *p, nn_graph **ret, nn_err *err) {
    NN_JSON *v = NULL;
    nn_status st = nn_json_parse(p, strlen(p), &v, err);
    return st ? st : nn_graph_read(v, NULL, ret, err);
}

/* The bytes, with equal pointers where both hold a text. */
static bool same_attributes(const nn_node *a, const nn_node *b) {
    nn_attr x = a->attr, y = b->attr;
    if (a->op == NN_OP_CUSTOM) {
        if (strcmp(x.custom.text, y.custom.text) != 0) return false;
        x.custom.text = y.custom.text;
    }
    return memcmp(&x, &y, sizeof x) == 0;
}

TEST(every_attribute_of_every_op_comes_back) {
    bool seen[NN_OP_COUNT] = {0};
    for (size_t i = 0; i < N_OPS; i++) {
        int id;
        nn_err err;
        nn_graph *g = graph_of(i, &id), *back = NULL;
        char *once = text_of(g);
        if (read_text(once, &back, &err)) fail_msg("%s: %s", nn_op_name(ops[i].op), err.msg);
        char *twice = text_of(back);
        assert_string_equal(once, twice);
        if (!same_attributes(&g->nodes[id], &back->nodes[id]))
            fail_msg("an attribute of %s is lost: %s", nn_op_name(ops[i].op), once);
        assert_int_equal(g->nodes[id].fold, back->nodes[id].fold);
        seen[ops[i].op] = true;
        free(once);
        free(twice);
        nn_arena_free(g->arena);
        nn_arena_free(back->arena);
    }
    for (int op = 0; op < NN_OP_COUNT; op++)
        if (!seen[op]) fail_msg("no row for %s", nn_op_name((nn_op)op));
}

TEST(every_attribute_is_printed) {
    for (size_t i = 0; i < N_OPS; i++) {
        int id;
        nn_graph *g = graph_of(i, &id);
        NN_BUF out = {0};
        nn_graph_print(g, &out);
        char want[256];
        snprintf(want, sizeof want, " %s %s : ", g->nodes[id].name,
                 ops[i].printed ? ops[i].printed : "");
        if (ops[i].printed && !strstr(nn_buf_str(&out), want))
            fail_msg("no '%s' in %s", want, nn_buf_str(&out));
        nn_arena_free(g->arena);
    }
}

/* ---- damage ---- */

static void replace(const char *text, const char *from, const char *to, nn_buf *out) {
    const char *at = strstr(text, from);
    if (!at) fail_msg("the text holds no %s: %s", from, text);
    nn_buf_append(out, text, (size_t)(at - text));
    nn_buf_puts(out, to);
    nn_buf_puts(out, at + strlen(from));
}

static void refused(nn_op op, const char *from, const char *to) {
    size_t i = 0;
    while (ops[i].op != op) i++;
    int id;
    nn_graph *g = graph_of(i, &id), *back = NULL;
    char *text = text_of(g);
    NN_BUF b = {0};
    nn_err err = {0};
    replace(text, from, to, &b);
    if (read_text(nn_buf_str(&b), &back, &err) != NN_E_MODEL_FILE_ERROR || back || !err.msg[0])
        fail_msg("%s: %s -> %s is taken", nn_op_name(op), from, to);
    free(text);
    nn_arena_free(g->arena);
}

TEST(damaged_attributes_are_refused) {
    refused(NN_OP_CONV_TRANSPOSE, "\"output_padding\":[1,0]", "\"output_padding\":[1]");
    refused(NN_OP_CONV_TRANSPOSE, "\"output_padding\":[1,0]", "\"output_padding\":[2,0]");
    refused(NN_OP_CONV_TRANSPOSE, "\"output_padding\":[1,0]", "\"output_padding\":true");
    refused(NN_OP_CONV_TRANSPOSE, "\"output_padding\":[1,0],", "");
    refused(NN_OP_ADAPTIVE_MAX_POOL, "\"size\":[2,3]", "\"size\":[2,0]");
    refused(NN_OP_ADAPTIVE_MAX_POOL, "\"size\":[2,3]", "\"size\":[]");
    refused(NN_OP_UPSAMPLE, "\"factor\":[2,3]", "\"factor\":[2,2147483647]");
    refused(NN_OP_PAD, "\"after\":[0,1]", "\"after\":[1]");
    refused(NN_OP_CROP, "\"before\":[2]", "\"before\":[8]");
    refused(NN_OP_REVERSE, "\"axis\":1", "\"axis\":2");
    refused(NN_OP_REVERSE, "\"axis\":1", "\"axis\":-1");
    refused(NN_OP_LAYER_NORM, "\"epsilon\":1e-05", "\"epsilon\":0");
    refused(NN_OP_PRELU, "\"shared\":2", "\"shared\":4");
    refused(NN_OP_PRELU, "\"shared\":2", "\"shared\":1"); /* the weight is of another shape */
    refused(NN_OP_CLIP, "\"low\":-1.5", "\"low\":7");
    refused(NN_OP_CLIP, "\"low\":-1.5", "\"low\":\"all\"");
    refused(NN_OP_NOISE, "\"kind\":\"alpha_dropout\"", "\"kind\":\"loud\"");
    refused(NN_OP_NOISE, "\"value\":0.25", "\"value\":1");
    refused(NN_OP_ACTIVITY_REG, "\"l1\":0.5", "\"l1\":-1");
    refused(NN_OP_EMBEDDING, "\"output_dim\":3", "\"output_dim\":4");
    refused(NN_OP_POSITION, "\"max_len\":9", "\"max_len\":3");
    refused(NN_OP_RNN, "\"units\":3", "\"units\":2147483647");
    refused(NN_OP_RNN, "\"activation\":\"relu\"", "\"activation\":\"softmax\"");
    refused(NN_OP_RNN, "\"dropout\":0.25", "\"dropout\":1");
    refused(NN_OP_RNN, "\"reset_after\":true", "\"reset_after\":false");
    refused(NN_OP_CONV_LSTM, "\"filters\":4", "\"filters\":5");
    refused(NN_OP_ATTENTION, "\"heads\":1", "\"heads\":2"); /* additive has one */
    refused(NN_OP_ATTENTION, "\"use_scale\":true", "\"use_scale\":false");
    refused(NN_OP_MERGE, "\"kind\":\"minimum\"", "\"kind\":\"xor\"");
    refused(NN_OP_MERGE, "\"inputs\":[0,1]", "\"inputs\":[0]");
    refused(NN_OP_MERGE, "\"inputs\":[0,1]", "\"inputs\":[0,2]");
    refused(NN_OP_CONCAT, "\"axis\":1", "\"axis\":0");
    refused(NN_OP_DOT, "\"axes\":[1,1]", "\"axes\":[1]");
    refused(NN_OP_DOT, "\"axes\":[1,1]", "\"axes\":[1,1,1]");
    refused(NN_OP_UNFOLD, "\"size\":4", "\"size\":5");
    refused(NN_OP_UNFOLD, "\"size\":4", "\"size\":null");
    refused(NN_OP_CUSTOM, "\"text\":", "\"txet\":");
    refused(NN_OP_FOLD, "\"outputs\":[0]", "\"outputs\":[1]");
}

TEST(bounds_may_be_infinite) {
    nn_attr a = {
        .clip = {-(double)INFINITY, 6}
    };
    int id;
    nn_err err;
    nn_graph *g = one_op(NN_OP_CLIP, "4", a, &id), *back = NULL;
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    char *text = text_of(g);
    assert_non_null(strstr(text, "\"low\":null,\"high\":6"));
    CHECK_OK(read_text(text, &back, &err), &err);
    CHECK(isinf(back->nodes[id].attr.clip.low) && back->nodes[id].attr.clip.low < 0);
    NN_BUF out = {0};
    nn_graph_print(back, &out);
    assert_non_null(strstr(nn_buf_str(&out), "n1 high=6 : "));
    free(text);
    nn_arena_free(g->arena);
    nn_arena_free(back->arena);
}

/* A size that is known only at run time is a null in the file. */
TEST(unknown_folds_come_back) {
    nn_graph *g = nn_graph_new(NULL, "g"), *back = NULL;
    int at = 0;
    nn_err err;
    add_inputs(g, "? 4", &at);
    CHECK_OK(add_op(g, NN_OP_FOLD, &at, 1, (nn_attr){0}, (nn_shape){0}, &at, &err), &err);
    nn_attr size = {.unfold = {NN_DIM_UNKNOWN}};
    CHECK_OK(add_op(g, NN_OP_UNFOLD, &at, 1, size, (nn_shape){0}, &at, &err), &err);
    CHECK_OK(nn_graph_add_output(g, at, &err), &err);
    char *text = text_of(g);
    CHECK_OK(read_text(text, &back, &err), &err);
    assert_int_equal(back->nodes[1].fold, NN_DIM_UNKNOWN);
    NN_BUF out = {0};
    nn_graph_print(back, &out);
    assert_non_null(strstr(nn_buf_str(&out), "n1 rows=? : (batch, 4)"));
    assert_non_null(strstr(nn_buf_str(&out), "n2 size=? : (batch, ?, 4)"));
    free(text);
    nn_arena_free(g->arena);
    nn_arena_free(back->arena);
}
