/* SPDX-License-Identifier: MIT */
#include "compile/diff.h"
#include "compile/model_data.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static nn_unit *compile(nn_arena *arena, const char *text) {
    nn_source *src = NN_NEW(arena, nn_source);
    *src = (nn_source){"t", text, strlen(text)};
    nn_diags *diags = nn_diags_new(arena, src);
    nn_unit *u = NULL;
    nn_err err;
    CHECK_OK(nn_compile_source(arena, src, NULL, diags, &u, &err), &err);
    return u;
}

/* The lines of the difference, without the totals. */
static void expect(const char *a, const char *b, const char *want) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "t", 0);
    const nn_unit *x = compile(arena, a), *y = compile(arena, b);
    NN_BUF out = {0};
    NN_JSON *json = nn_unit_diff_json(x, y);
    bool changed = nn_unit_diff(x, y, &out);
    char *end = out.n ? strstr(out.p, "\n\nparameters: ") : NULL;
    if (end) end[1] = 0;
    assert_string_equal(nn_buf_str(&out), want);
    assert_int_equal(changed, *want != 0);
    assert_int_equal(nn_json_bool(nn_json_get(json, "changed"), !changed), changed);
}

#define NET(layers) "network A { input: (8,) layers: " layers " }"

TEST(the_same) {
    expect(NET("Dense(4) Dense(2)"), NET("Dense(4) Dense(2)"), "");
    expect(NET("Dense(4, relu)"),
           "model B {\n Input(8)\n Dense(units=4, activation=\"ReLU\") # x\n}", "");
    expect(NET("Dense(4) * 2"), NET("Dense(4) Dense(4)"), "");
    expect("define M(u) { Dense($u) }\n" NET("M(4)"), NET("Dense(4)"), "");
    expect("network A { input: (8, 8, 1) Conv2D(2, 3) }",
           "network A { input: (8, 8, 1) Conv2D(2, (3, 3), strides=1) }", "");
}

TEST(added_removed_changed) {
    expect(NET("Dense(64) Dense(2)"), NET("Dense(64) Dropout(0.5) Dense(2)"),
           "+ Dropout(0.5)  (dropout_1, line 1)\n");
    expect(NET("Dense(64) Dropout( 0.5 ) Dense(2)"), NET("Dense(64) Dense(2)"),
           "- Dropout( 0.5 )  (dropout_1, line 1)\n");
    expect(NET("Dense(64) Dense(2)"), NET("Dense(128) Dense(2)"),
           "~ Dense units 64 -> 128, output (64,) -> (128,)  (dense_1, line 1)\n");
    expect(NET("Dense(64) Dense(2)"), NET("Dense(64, relu, use_bias=false) Dense(2)"),
           "~ Dense activation none -> relu, use_bias true -> false  (dense_1, line 1)\n");
    expect(NET("Dense(64) Dense(2)"), NET("Dense(64) ReLU() Dense(2)"),
           "+ ReLU()  (relu_1, line 1)\n");
}

/* What was put in front does not make all that follows look changed. */
TEST(layers_are_aligned) {
    expect(NET("Dense(5) Dense(6) Dense(7)"), NET("Dense(4) Dense(5) Dense(6) Dense(7)"),
           "+ Dense(4)  (dense_1, line 1)\n");
    expect(NET("Dense(5, name=x) Dense(6) Dropout(0.1) Dense(7)"),
           NET("Dense(5, name=x) Dropout(0.1) Dense(9)"),
           "- Dense(6)  (dense_1, line 1)\n"
           "~ Dropout output (6,) -> (5,)  (dropout_1, line 1)\n"
           "~ Dense units 7 -> 9, output (7,) -> (9,)  (dense_1, line 1)\n");
}

TEST(reshaped) {
    expect("network A { input: (8,) layers: Dropout(0.5) Dense(2) }",
           "network A { input: (9,) layers: Dropout(0.5) Dense(2) }",
           "~ Input output (8,) -> (9,)  (input, line 1)\n"
           "~ Dropout output (8,) -> (9,)  (dropout_1, line 1)\n");
}

TEST(wiring) {
    expect(NET("Dense(3, name=a) Dense(3, name=b) Dense(3, name=c) Add(inputs=[a, c])"),
           NET("Dense(3, name=a) Dense(3, name=b) Dense(3, name=c) Add(inputs=[b, c])"),
           "~ Add inputs (a, c) -> (b, c), inputs a, c -> b, c  (add_1, line 1)\n");
}

TEST(blocks) {
    expect(NET("Residual { Dense(8) }"), NET("Residual { Dense(8) Dropout(0.1) }"),
           "+   Dropout(0.1)  (dropout_1, line 1)\n");
}

TEST(sections) {
    expect("network A { input: (8,) Dense(2) optimizer: Adam(0.001) train { epochs: 3 } }",
           "network A { input: (8,) Dense(2) optimizer: SGD(0.1) train { epochs: 5 } loss: mae }",
           "~ loss none -> mean_absolute_error()\n"
           "~ optimizer Adam(learning_rate=0.001) -> SGD(learning_rate=0.1)\n"
           "~ training epochs 3 -> 5\n");
}

TEST(searches_are_shown) {
    expect(NET("Dense(HPO(choice(2, 3)))"), NET("Dense(HPO(range(2, 3, step=1)))"),
           "~ Dense units HPO(choice(2, 3)) -> HPO(range(2, 3, step=1))  (dense_1, line 1)\n");
}

TEST(totals) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "t", 0);
    const nn_unit *a = compile(arena, NET("Dense(4)")), *b = compile(arena, NET("Dense(5)"));
    NN_BUF out = {0};
    CHECK(nn_unit_diff(a, b, &out));
    /* 8*4+4 and 8*5+5 parameters; 2*8*n multiply-accumulates and n additions */
    CHECK(strstr(nn_buf_str(&out), "parameters: 36 -> 45 (+9)\n"));
    NN_JSON *j = nn_unit_diff_json(a, b);
    assert_int_equal(nn_json_int(nn_json_get(nn_json_get(j, "parameters"), "change"), 0), 9);
    const nn_json *change = nn_json_at(nn_json_get(j, "layers"), 0);
    assert_string_equal(nn_json_str(nn_json_get(change, "change"), ""), "changed");
    assert_int_equal(
        nn_json_int(nn_json_at(nn_json_get(nn_json_get(change, "b"), "output_shape"), 0), 0), 5);
}

/* Thousands of layers, changed at both ends and in the middle: windows join. */
TEST(long_networks) {
    NN_BUF a = {0};
    NN_BUF b = {0};
    nn_buf_puts(&a, "network A { input: (8,) layers: Dropout(0.3) ");
    nn_buf_puts(&b, "network A { input: (8,) layers: Dropout(0.2) Dense(3) ");
    for (int i = 0; i < 1500; i++) {
        nn_buf_printf(&a, "Dense(%d) ", 5 + i % 7);
        if (i != 700) nn_buf_printf(&b, "Dense(%d) ", 5 + i % 7);
    }
    nn_buf_puts(&a, "Dense(2) }");
    nn_buf_puts(&b, "Dense(4) }");
    expect(nn_buf_str(&a), nn_buf_str(&b),
           "~ Dropout rate 0.3 -> 0.2  (dropout_1, line 1)\n"
           "+ Dense(3)  (dense_1, line 1)\n"
           "- Dense(5)  (dense_701, line 1)\n"
           "~ Dense units 2 -> 4, output (2,) -> (4,)  (dense_1501, line 1)\n");
}
