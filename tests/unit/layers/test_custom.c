/* SPDX-License-Identifier: MIT */
#include "hand.h"

/* ---- Lambda ---- */

TEST(lambda_keeps_its_text) {
    hand h;
    HAND(&h, "Lambda", SHAPE(4));
    hand_arg(&h, "function")->s = "lambda x: x * 2";
    HAND_INTS(&h, "output_shape", 4);
    hand_gives(
        &h, "%1 = custom(%0) x text=\"{\\\"function\\\":\\\"lambda x: x * 2\\\"}\" : (batch, 4)\n");
    assert_int_equal(h.notices, 1);
    assert_string_equal(h.message,
                        "only the Python back ends can run a Lambda: its function is Python");
}

TEST(lambda_of_unknown_shape) {
    hand h;
    HAND(&h, "Lambda", SHAPE(4));
    hand_arg(&h, "function")->s = "lambda x: x * 2";
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out, -1);
    CHECK(h.notices == 1 && h.notice.warning && h.c.graph->n_nodes == 1);
    CHECK(strstr(h.notice_hint, "output_shape="));
    hand_done(&h);
}

TEST(lambda_keeps_its_arguments) {
    hand h;
    HAND(&h, "Lambda", SHAPE(4));
    hand_arg(&h, "function")->s = "lambda x, a, b: x";
    hand_arg(&h, "arguments")->s = "{\"a\":[true,null,1.5],\"b\":{\"c\":\"d\"}}";
    HAND_INTS(&h, "output_shape", 4);
    CHECK_OK(hand_build(&h), &h.err);
    assert_string_equal(h.c.graph->nodes[h.out].attr.custom.text,
                        "{\"function\":\"lambda x, a, b: x\",\"arguments\":{\"a\":[true,null,1.5],"
                        "\"b\":{\"c\":\"d\"}}}");
    hand_done(&h);
    const char *bad[] = {"3", "[1]", "{", NULL};
    for (int i = 0; i < 4; i++) {
        HAND(&h, "Lambda", SHAPE(4));
        hand_arg(&h, "function")->s = "f";
        hand_arg(&h, "arguments")->s = bad[i];
        hand_fails(&h, NN_E_DSL_ERROR, "arguments", "arguments must be names with values");
    }
}

TEST(lambda_of_nothing) {
    hand h;
    HAND(&h, "Lambda", SHAPE(4));
    hand_arg(&h, "function")->s = " \t";
    hand_fails(&h, NN_E_DSL_ERROR, "function", "the function is empty");
}

/* ---- CustomShape ---- */

TEST(custom_shape_asserts) {
    hand h;
    HAND(&h, "CustomShape", SHAPE(4));
    hand_arg(&h, "layer")->s = "MyThing";
    HAND_INTS(&h, "dims", 7, 32);
    CHECK_OK(hand_build(&h), &h.err);
    const nn_node *n = &h.c.graph->nodes[h.out];
    assert_string_equal(n->layer, "MyThing");
    assert_string_equal(n->attr.custom.text, "{}");
    CHECK(nn_shape_equal(&n->shape, &SHAPE(7, 32)) && h.notices == 0);
    hand_done(&h);
}

TEST(custom_shape_refuses) {
    hand h;
    HAND(&h, "CustomShape", SHAPE(4));
    hand_arg(&h, "layer")->s = "MyThing";
    HAND_INTS(&h, "dims", -1, 32);
    hand_fails(&h, NN_E_DSL_ERROR, "dims",
               "the dims of MyThing must be positive integers, got (?, 32)");
    const char *bad[] = {"", "os.system('x')", "3D", "a b"};
    for (int i = 0; i < 4; i++) {
        HAND(&h, "CustomShape", SHAPE(4));
        hand_arg(&h, "layer")->s = bad[i];
        HAND_INTS(&h, "dims", 32);
        assert_int_equal(hand_build(&h), NN_E_DSL_ERROR);
        assert_int_equal(h.at.line, 1 + nn_layer_param(h.c.layer, "layer"));
        hand_done(&h);
    }
}

/* ---- custom layers ---- */

TEST(custom_layers_keep_what_they_were_given) {
    hand h;
    const nn_shape in[] = {SHAPE(4), SHAPE(5)};
    hand_layer(&h, &nn_layer_custom, 2, in);
    h.c.custom_name = "GateLayer";
    h.c.kept = "{\"args\":[3],\"mode\":\"soft\"}";
    HAND_INTS(&h, "output_shape", 8);
    CHECK_OK(hand_build(&h), &h.err);
    const nn_node *n = &h.c.graph->nodes[h.out];
    CHECK(n->op == NN_OP_CUSTOM && n->n_inputs == 2 && nn_shape_equal(&n->shape, &SHAPE(8)));
    assert_string_equal(n->layer, "GateLayer");
    assert_string_equal(n->attr.custom.text, "{\"args\":[3],\"mode\":\"soft\"}");
    CHECK(!nn_layer_find("Custom") && nn_layer_custom.open_params);
    hand_done(&h);
}

TEST(custom_layers_of_unknown_shape) {
    hand h;
    hand_layer(&h, &nn_layer_custom, 1, &SHAPE(4));
    h.c.custom_name = "GateLayer";
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out, -1);
    assert_int_equal(h.notices, 1);
    assert_string_equal(h.message,
                        "what shape GateLayer gives is not known, so nothing behind it is checked");
    hand_done(&h);
}

/* ---- reserved names ---- */

TEST(reserved_layers_warn) {
    hand h;
    HAND(&h, "CapsuleLayer", SHAPE(4));
    hand_arg(&h, "num_capsules")->i = 10;
    hand_arg(&h, "dim_capsule")->i = 16;
    CHECK_OK(hand_build(&h), &h.err);
    const nn_node *n = &h.c.graph->nodes[h.out];
    CHECK(nn_shape_equal(&n->shape, &SHAPE(10, 16)));
    assert_string_equal(n->attr.custom.text,
                        "{\"num_capsules\":10,\"dim_capsule\":16,\"routings\":3}");
    CHECK(h.notices == 1 && h.notice.warning && strcmp(h.notice.code, "reserved") == 0);
    hand_done(&h);
    HAND(&h, "GraphConv", SHAPE(-1, 4));
    hand_arg(&h, "units")->i = 6;
    CHECK_OK(hand_build(&h), &h.err);
    CHECK(nn_shape_equal(&h.c.graph->nodes[h.out].shape, &SHAPE(-1, 6)));
    hand_done(&h);
}

TEST(reserved_layers_of_unknown_shape) {
    const char *names[] = {"CapsuleLayer", "GraphConv", "GraphAttention", "QuantumLayer",
                           "DynamicLayer"};
    for (int i = 0; i < 5; i++) {
        hand h;
        HAND(&h, names[i], SHAPE(3, 4));
        CHECK(h.c.layer->reserved);
        CHECK_OK(hand_build(&h), &h.err);
        assert_int_equal(h.out, -1);
        assert_int_equal(h.notices, 1);
        CHECK(strstr(h.message, h.c.layer->reserved) && strstr(h.message, "not known"));
        hand_done(&h);
    }
    hand h; /* several heads: joined or averaged? */
    HAND(&h, "GraphAttention", SHAPE(3, 4));
    hand_arg(&h, "units")->i = 8;
    hand_arg(&h, "num_heads")->i = 4;
    CHECK_OK(hand_build(&h), &h.err);
    assert_int_equal(h.out, -1);
    hand_done(&h);
}
