/* SPDX-License-Identifier: MIT */
#include "serve/tensor.h"
#include "t.h"

#include <string.h>

static const nn_shape vec3 =
                          {
                              1, {3}
},
                      image = {3, {2, 2, 1}}, square = {2, {2, 2}};

static nn_status read_rows(const char *json, const nn_shape *s, float *x, int64_t *rows,
                           nn_err *err) {
    NN_JSON *v = NULL;
    CHECK_OK(nn_json_parse(json, strlen(json), &v, err), err);
    nn_status st = nn_tensor_rows(v, s, "inputs", rows, err);
    return st ? st : nn_tensor_read(v, s, "inputs", 0.5F, 1, x, err);
}

static void reads(const char *json, const nn_shape *s, int64_t want_rows, int n,
                  const float *want) {
    float x[64] = {0};
    int64_t rows = -1;
    nn_err err = {0};
    CHECK_OK(read_rows(json, s, x, &rows, &err), &err);
    assert_int_equal(rows, want_rows);
    for (int i = 0; i < n; i++) assert_true(x[i] == want[i] * 0.5F + 1);
}

static void refuses(const char *json, const nn_shape *s, const char *words) {
    float x[64];
    int64_t rows;
    nn_err err = {0};
    assert_int_equal(read_rows(json, s, x, &rows, &err), NN_E_VALIDATION_ERROR);
    if (!strstr(err.msg, words)) fail_msg("%s: \"%s\" lacks \"%s\"", json, err.msg, words);
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
}

TEST(writes_rows_in_the_output_shape) {
    const float y[] = {0.5F, 1, 2, 3, 4, 5, 6, 7};
    NN_BUF out = {0};
    nn_jw w = {.out = &out};
    nn_tensor_write(&w, y, 2, &square);
    assert_string_equal(nn_buf_str(&out), "[[[0.5,1],[2,3]],[[4,5],[6,7]]]");
}
