/* SPDX-License-Identifier: MIT */
#include "serve/tensor.h"
#include "t.h"

#include <string.h>

static const nn_shape vec3 =
                          {
                              1, {3}
},
                      image = {3, {2, 2, 1}}, square = {2, {2, 2}}, row2 = {2, {1, 2}},
                      column2 = {2, {2, 1}}, scalar = {0};

static nn_status read_rows(const char *json, const nn_shape *s, nn_buf *x, int64_t *rows,
                           nn_violation *bad, nn_err *err) {
    NN_JR r;
    nn_jr_token t;
    nn_tensor_form f = {.name = "inputs", .shape = *s, .scale = 0.5F, .offset = 1};
    nn_jr_init(&r, json, strlen(json));
    CHECK_OK(nn_jr_next(&r, &t, err), err);
    nn_status st = nn_tensor_read(&r, &t, &f, x, rows, bad, err);
    if (!st || st == NN_E_VALIDATION_ERROR) { /* either way the value is read to its end */
        CHECK_OK(nn_jr_next(&r, &t, NULL), err);
        CHECK(t.type == NN_JR_END);
    }
    return st;
}

static void reads(const char *json, const nn_shape *s, int64_t want_rows, int n,
                  const float *want) {
    NN_BUF x = {0};
    int64_t rows = -1;
    nn_err err = {0};
    CHECK_OK(read_rows(json, s, &x, &rows, NULL, &err), &err);
    assert_int_equal(rows, want_rows);
    assert_int_equal(x.n, (size_t)n * sizeof(float));
    for (int i = 0; i < n; i++) assert_true(((float *)(void *)x.p)[i] == want[i] * 0.5F + 1);
}

static nn_violation refuses(const char *json, const nn_shape *s, const char *words) {
    NN_BUF x = {0};
    nn_violation bad = {0};
    int64_t rows = -7;
    nn_err err = {0};
    assert_int_equal(read_rows(json, s, &x, &rows, &bad, &err), NN_E_VALIDATION_ERROR);
    if (!strstr(err.msg, words)) fail_msg("%s: \"%s\" lacks \"%s\"", json, err.msg, words);
    assert_int_equal(rows, -7);
    CHECK(strstr(err.msg, bad.msg) && bad.type);
    return bad;
}

TEST(rows_nested_flat_and_alone) {
    const float v[] = {1, 2, 3, 4, 5, 6, 7, 8};
    reads("[[1,2,3],[4,5,6]]", &vec3, 2, 6, v);
    reads("[1,2,3]", &vec3, 1, 3, v);
    reads("[[1,2,3,4],[5,6,7,8]]", &image, 2, 8, v);
    reads("[[[[1],[2]],[[3],[4]]]]", &image, 1, 4, v);
    reads("[[[1],[2]],[[3],[4]]]", &image, 1, 4, v);
    reads("[1,2,3,4]", &image, 1, 4, v);
    reads("[[1,2],[3,4]]", &square, 1, 4, v);
    reads("[[1,2,3,4],[5,6,7,8]]", &square, 2, 8, v);
    reads("[[[1,2],[3,4]],[[5,6],[7,8]]]", &square, 2, 8, v);
    reads("[[1,2,3,4],[[[5],[6]],[[7],[8]]]]", &image, 2, 8, v); /* each row in its own form */
    reads(" [ [ 1 , 2.0 , 3e0 ] ,\n[ 4 , 5 , 6 ] ] ", &vec3, 2, 6, v);
    reads("[1,2]", &scalar, 2, 2, v);
    reads("[1,2]", &row2, 1, 2, v);
    reads("[[1,2]]", &row2, 1, 2, v);
    reads("[[1,2],[3,4],[5,6]]", &row2, 3, 6, v);
    reads("[[[1,2]],[[3,4]]]", &row2, 2, 4, v);
    reads("[[1],[2]]", &column2, 1, 2, v);
    reads("[[1,2],[3,4]]", &column2, 2, 4, v);
}

TEST(the_first_bad_place_is_named) {
    refuses("[[1,2,3],[1,\"x\",3]]", &vec3, "inputs[1][1] is a text, expected a number");
    refuses("[[1,2,3],[1,2]]", &vec3, "inputs[1] has 2 elements, expected 3");
    refuses("[1,2]", &vec3, "inputs has 2 elements, expected 3");
    refuses("[[1,2,3],7]", &vec3, "inputs[1] is an integer, expected an array of 3");
    refuses("[[1,2,null]]", &vec3, "inputs[0][2] is null");
    refuses("[[[[1],[2]],[[3],[4,5]]]]", &image, "inputs[0][1][1] has 2 elements, expected 1");
    refuses("[]", &vec3, "not an array with at least one row");
    refuses("{\"a\":1}", &vec3, "not an array");
    refuses("[[]]", &vec3, "inputs[0] has 0 elements, expected 3");
    refuses("[[[[[[[[[[[[1]]]]]]]]]]]]", &vec3, "inputs[0]");
    refuses("[1,2,3]", &image, "inputs has 3 elements, expected 4");
    refuses("[[1,2,3,4],[1,[2],3]]", &vec3, "inputs[0] has 4 elements, expected 3");
    refuses("[[1,2,3],[1,[2],3]]", &vec3, "inputs[1][1] is an array, expected a number");
    refuses("[[1,2],[3,4],[5,6]]", &square, "inputs has 3 elements, expected 2");
    refuses("[[1,2],[3]]", &square, "inputs[1] has 1 elements, expected 2");
    refuses("[[1,2,3]]", &square, "inputs[0] has 3 elements, expected 4");
    refuses("[[1,2,1e300]]", &vec3, "inputs[0][2] is too large");
    refuses("[[1,2,-1e39]]", &vec3, "inputs[0][2] is too large");
    refuses("\"x\"", &vec3, "inputs is not an array");
    refuses("[[1],2]", &scalar, "inputs[0] is an array, expected a number");
}

TEST(a_violation_has_the_path_that_the_wire_wants) {
    nn_violation bad = refuses("[[1,2,3],[1,\"x\",3]]", &vec3, "inputs[1][1]");
    assert_string_equal(bad.path, "inputs.1.1");
    assert_string_equal(bad.msg, "is a text, expected a number");
    assert_string_equal(bad.type, "wrong_type");
    bad = refuses("[1,2,3,4]", &vec3, "inputs has 4");
    assert_string_equal(bad.path, "inputs");
    assert_string_equal(bad.type, "too_many");
}

TEST(broken_text_behind_a_bad_place_is_broken_text) {
    static const char *const texts[] = {"[[1,2,3],[1,\"x\",3", "[1,2,3,4,5,nope]",
                                        "[[1,2,3],[1,null,}]", "{\"a\":1,\"a\":2}",
                                        "[[1,2,3,[[[[{\"x\":1,]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        NN_BUF x = {0};
        int64_t rows;
        nn_err err = {0};
        assert_int_equal(read_rows(texts[i], &vec3, &x, &rows, NULL, &err), NN_E_INVALID_REQUEST);
    }
}

TEST(writes_rows_in_the_output_shape) {
    const float y[] = {0.5F, 1, 2, 3, 4, 5, 6, 7};
    NN_BUF out = {0};
    nn_jw w = {.out = &out};
    nn_tensor_write(&w, y, 2, &square);
    assert_string_equal(nn_buf_str(&out), "[[[0.5,1.0],[2.0,3.0]],[[4.0,5.0],[6.0,7.0]]]");
}
