/* SPDX-License-Identifier: MIT */
#include "linear_model.h"
#include "serve/request.h"

#include <stdlib.h>
#include <string.h>

/* Input "pixels" of 4 numbers, output "scores" of 3 classes: what a request names them by. */
static nn_model *model(void) {
    nn_model *m = linear_model((linear){"pixels", "scores", 4, 3, NULL});
    m->scale = 2;
    m->offset = -1;
    return m;
}

static nn_status read_text(const char *text, size_t n, nn_predict_request *q, nn_err *err) {
    nn_model *m = model();
    char *copy = malloc(n + !n); /* exact, so that the sanitizer sees a byte read too many */
    CHECK(copy != NULL);
    if (n) memcpy(copy, text, n);
    nn_status s = nn_predict_request_read(n ? copy : NULL, n, m, q, err);
    free(copy);
    nn_model_free(m);
    return s;
}

static void accepts(const char *text, int64_t rows, int64_t top_k, const char *warnings) {
    nn_predict_request q = {0};
    nn_err err = {0};
    CHECK_OK(read_text(text, strlen(text), &q, &err), &err);
    assert_int_equal(q.rows, rows);
    assert_int_equal(q.top_k, top_k);
    assert_int_equal(q.x[0].n, (size_t)rows * 4 * sizeof(float));
    for (int i = 0; i < rows * 4; i++) /* the rows are 1, 2, 3, …: raw * 2 - 1 */
        CHECK(nn_predict_request_x(&q, 0)[i] == (float)(2 * (i + 1) - 1));
    assert_string_equal(nn_buf_str(&q.warnings), warnings);
    nn_predict_request_done(&q);
}

TEST(the_forms_of_a_body) {
    accepts("{\"inputs\":[[1,2,3,4],[5,6,7,8]]}", 2, 0, "");
    accepts("{\"instances\":[[1,2,3,4]]}", 1, 0, "");
    accepts("{\"inputs\":[1,2,3,4],\"top_k\":2}", 1, 2, "");
    accepts("{\"top_k\":1000000000000,\"inputs\":[1,2,3,4]}", 1, 3, ""); /* all three classes */
    accepts("{\"inputs\":{\"pixels\":[[1,2,3,4]]},\"outputs\":[\"scores\"]}", 1, 0, "");
    accepts("{\"inputs\":[1,2,3,4],\"instances\":null,\"outputs\":null,\"top_k\":null}", 1, 0, "");
    accepts(" {\n\"inputs\" : [ 1.0, 2e0 ,3, 40e-1 ] } \n", 1, 0, "");
    accepts("{\"\\u0069nputs\":[1,2,3,4]}", 1, 0, "");
    accepts("{\"input\":{\"a\":[]},\"inputs\":[1,2,3,4],\"zzzzzz\":\"\\n\"}", 1, 0,
            "\"unknown field 'input' was ignored, did you mean 'inputs'?\","
            "\"unknown field 'zzzzzz' was ignored\"");
}

static void refuses(const char *text, const char *path, const char *type, const char *msg) {
    nn_predict_request q = {0};
    nn_err err = {0};
    assert_int_equal(read_text(text, strlen(text), &q, &err), NN_E_VALIDATION_ERROR);
    for (int i = 0; i < q.n_bad; i++) {
        if (strcmp(q.bad[i].path, path) != 0) continue;
        assert_string_equal(q.bad[i].type, type);
        if (!strstr(q.bad[i].msg, msg)) fail_msg("\"%s\" lacks \"%s\"", q.bad[i].msg, msg);
        CHECK(strstr(err.msg, q.bad[0].msg));
        nn_predict_request_done(&q);
        return;
    }
    fail_msg("%s: nothing at %s: %s", text, path, err.msg);
}

TEST(what_is_wrong_is_named) {
    refuses("", "", "missing", "a body is required");
    refuses("[1,2,3,4]", "", "wrong_type", "must be an object");
    refuses("7", "", "wrong_type", "must be an object");
    refuses("{}", "inputs", "missing", "is required");
    refuses("{\"inputs\":null}", "inputs", "missing", "is required");
    refuses("{\"inputs\":7}", "inputs", "wrong_type", "is not an array");
    refuses("{\"inputs\":[]}", "inputs", "wrong_type", "at least one row");
    refuses("{\"inputs\":[[1,2,3,4],[1,2,\"x\",4]]}", "inputs.1.2", "wrong_type",
            "is a text, expected a number");
    refuses("{\"inputs\":[[1,2,3]]}", "inputs.0", "out_of_range", "has 3 elements, expected 4");
    refuses("{\"inputs\":[1,2,3,4,5]}", "inputs", "too_many", "has 5 elements, expected 4");
    refuses("{\"inputs\":[1,2,3,1e300]}", "inputs.3", "out_of_range", "too large");
    refuses("{\"inputs\":[1,2,3,4],\"instances\":[1,2,3,4]}", "instances", "conflict",
            "the same as inputs");
    refuses("{\"inputs\":{}}", "inputs.pixels", "missing", "is required");
    refuses("{\"inputs\":{\"image\":[1,2,3,4]}}", "inputs.image", "unknown_value",
            "is not an input of this model, which has 'pixels'");
    refuses("{\"inputs\":{\"pixels\":[1,true,3,4]}}", "inputs.pixels.1", "wrong_type",
            "is a boolean");
    refuses("{\"inputs\":[1,2,3,4],\"outputs\":\"scores\"}", "outputs", "wrong_type",
            "expected an array of names");
    refuses("{\"inputs\":[1,2,3,4],\"outputs\":[\"scores\",\"x\"]}", "outputs.1", "unknown_value",
            "which has 'scores'");
    refuses("{\"inputs\":[1,2,3,4],\"outputs\":[1]}", "outputs.0", "wrong_type", "is an integer");
    refuses("{\"inputs\":[1,2,3,4],\"outputs\":[]}", "outputs", "blank", "names no output");
    refuses("{\"inputs\":[1,2,3,4],\"top_k\":0}", "top_k", "out_of_range", "at least 1");
    refuses("{\"inputs\":[1,2,3,4],\"top_k\":1.5}", "top_k", "wrong_type", "expected an integer");
    refuses("{\"inputs\":[1,2,3,4],\"top_k\":{\"a\":[]}}", "top_k", "wrong_type", "is an object");
    /* all of it in one answer */
    refuses("{\"inputs\":[1],\"top_k\":-1,\"outputs\":[\"x\"]}", "inputs", "out_of_range", "has 1");
    refuses("{\"inputs\":[1],\"top_k\":-1,\"outputs\":[\"x\"]}", "top_k", "out_of_range", "least");
    refuses("{\"inputs\":[1],\"top_k\":-1,\"outputs\":[\"x\"]}", "outputs.0", "unknown_value", "");
}

static void breaks(const char *text, size_t n) {
    nn_predict_request q = {0};
    nn_err err = {0};
    if (read_text(text, n, &q, &err) != NN_E_INVALID_REQUEST) fail_msg("%.*s", (int)n, text);
    CHECK(err.line > 0 && err.col > 0 && err.msg[0]);
    nn_predict_request_done(&q);
}

TEST(what_is_not_json_is_refused) {
    static const char *const texts[] = {"{\"inputs\":[1,2,3,4],\"inputs\":[1,2,3,4]}",
                                        "{\"inputs\":[1,2,3,NaN]}",
                                        "{\"inputs\":[1,2,3,-Infinity]}",
                                        "{\"inputs\":[1,2,3,1e999]}",
                                        "{\"inputs\":[1,2,3,4]}x",
                                        "{\"inputs\":[1,2,3,4],}",
                                        "{\"inputs\":[1,2,3,99999999999999999999]}",
                                        "{\"x\":\"\xff\",\"inputs\":[1,2,3,4]}",
                                        "{\"inputs\":[\"x\",nope]}",
                                        "{\"inputs\":[1,2,3,4],\"y\":{\"a\":1,\"a\":1}}",
                                        " "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) breaks(texts[i], strlen(texts[i]));
    static const char good[] = "{\"inputs\":[[1,2.5,3,4]],\"outputs\":[\"scores\"],\"top_k\":2}";
    for (size_t n = 1; n < sizeof good - 1; n++) breaks(good, n); /* cut everywhere */
}

TEST(a_hundred_thousand_brackets) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "{\"inputs\":");
    for (int i = 0; i < 100000; i++) nn_buf_putc(&b, '[');
    breaks(b.p, b.n);
}

TEST(many_violations_and_unknown_fields_are_bounded) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "{\"inputs\":[1,2,3,4],\"outputs\":[");
    for (int i = 0; i < 1000; i++) nn_buf_printf(&b, "%s%d", i ? "," : "", i);
    nn_buf_puts(&b, "]");
    for (int i = 0; i < 1000; i++) nn_buf_printf(&b, ",\"k%d\":0", i);
    nn_buf_puts(&b, "}");
    nn_predict_request q = {0};
    nn_err err = {0};
    assert_int_equal(read_text(b.p, b.n, &q, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(q.n_bad, NN_PREDICT_VIOLATIONS);
    CHECK(q.warnings.n < 4000);
    nn_predict_request_done(&q);
}

static void answers(nn_predict_request *q, bool named, const float *y, const char *want) {
    char cat[] = "cat", dog[] = "d\"og", *names[] = {cat, dog};
    nn_model *m = model();
    if (named) { /* two names for three classes: the third is told by its index */
        m->class_names = names;
        m->n_classes = 2;
    }
    nn_live_spec d = {.id = "d-1", .model_id = "m-1", .model_version = 7};
    nn_predict_answer a = {
        .model = m, .deployment = &d, .request = q, .y = &y, .duration_ms = 0.25};
    NN_BUF out = {0};
    nn_jw w = {.out = &out};
    nn_err err = {0};
    CHECK_OK(nn_predict_answer_write(&w, &a, &err), &err);
    assert_string_equal(nn_buf_str(&out), want);
    m->class_names = NULL;
    m->n_classes = 0;
    nn_model_free(m);
}

TEST(the_answer) {
    const float y[] = {0.25F, 0.5F, 0.125F, 1, 1, 2};
    nn_predict_request q = {.rows = 2, .n_outputs = 1};
    answers(&q, false, y,
            "{\"predictions\":[[0.25,0.5,0.125],[1.0,1.0,2.0]],\"outputs\":{\"scores\":"
            "[[0.25,0.5,0.125],[1.0,1.0,2.0]]},\"model_id\":\"m-1\",\"model_version\":7,"
            "\"deployment_id\":\"d-1\",\"duration_ms\":0.25,\"warnings\":[]}");
    nn_predict_request best = {.rows = 2, .n_outputs = 1, .top_k = 2};
    nn_buf_puts(&best.warnings, "\"w\"");
    answers(&best, true, y,
            "{\"predictions\":[[0.25,0.5,0.125],[1.0,1.0,2.0]],\"outputs\":{\"scores\":"
            "[[0.25,0.5,0.125],[1.0,1.0,2.0]]},\"model_id\":\"m-1\",\"model_version\":7,"
            "\"deployment_id\":\"d-1\",\"duration_ms\":0.25,\"top\":[[{\"class\":\"d\\\"og\","
            "\"score\":0.5},{\"class\":\"cat\",\"score\":0.25}],[{\"class\":\"2\",\"score\":2.0},"
            "{\"class\":\"cat\",\"score\":1.0}]],\"warnings\":[\"w\"]}");
    nn_predict_request_done(&best);
}

/* ---- several inputs and outputs ---- */

static nn_model *pair(void) {
    const linear parts[] = {
        {"image", "classes", 2, 3, NULL},
        {"mask",  "score",   1, 1, NULL}
    };
    nn_model *m = linear_models(parts, 2);
    m->scale = 1;
    return m;
}

static nn_status read_pair(const char *text, nn_predict_request *q, nn_err *err) {
    nn_model *m = pair();
    nn_status s = nn_predict_request_read(text, strlen(text), m, q, err);
    nn_model_free(m);
    return s;
}

static void pair_refuses(const char *text, const char *path, const char *type, const char *msg) {
    nn_predict_request q = {0};
    nn_err err = {0};
    assert_int_equal(read_pair(text, &q, &err), NN_E_VALIDATION_ERROR);
    bool found = false;
    for (int i = 0; i < q.n_bad; i++)
        found |= !strcmp(q.bad[i].path, path) && !strcmp(q.bad[i].type, type) &&
                 strstr(q.bad[i].msg, msg);
    if (!found) fail_msg("%s: no %s at %s with \"%s\": %s", text, type, path, msg, err.msg);
    nn_predict_request_done(&q);
}

TEST(inputs_by_name) {
    nn_predict_request q = {0};
    nn_err err = {0};
    CHECK_OK(read_pair("{\"top_k\":9,\"inputs\":{\"mask\":[[7],[8]],\"image\":[[1,2],[3,4]]}}", &q,
                       &err),
             &err);
    CHECK(q.rows == 2 && q.n_outputs == 2 && q.outputs[0] == 0 && q.outputs[1] == 1);
    CHECK(q.top_k == 3 && nn_predict_request_x(&q, 0)[3] == 4 &&
          nn_predict_request_x(&q, 1)[1] == 8);
    nn_predict_request_done(&q);
    q = (nn_predict_request){0};
    CHECK_OK(read_pair("{\"top_k\":2,\"outputs\":[\"score\",\"score\"],"
                       "\"inputs\":{\"image\":[1,2],\"mask\":[7]}}",
                       &q, &err),
             &err);
    CHECK(q.rows == 1 && q.n_outputs == 1 && q.outputs[0] == 1 && q.top_k == 1);
    nn_predict_request_done(&q);
}

TEST(what_is_wrong_with_inputs_by_name) {
    pair_refuses("{\"inputs\":[[1,2]]}", "inputs", "wrong_type",
                 "is an array, expected an object with the rows of 'image', 'mask'");
    pair_refuses("{\"inputs\":{}}", "inputs.mask", "missing", "is required");
    pair_refuses("{\"inputs\":{\"image\":[[1,2]]}}", "inputs.mask", "missing", "is required");
    pair_refuses("{\"inputs\":{\"image\":[[1,2]],\"masc\":[1]}}", "inputs.masc", "unknown_value",
                 "which has 'image', 'mask'");
    pair_refuses("{\"inputs\":{\"image\":[[1,2]],\"mask\":[[1],[\"x\"]]}}", "inputs.mask.1.0",
                 "wrong_type", "is a text, expected a number");
    pair_refuses("{\"inputs\":{\"image\":[[1,2]],\"mask\":[[1],[2]]}}", "inputs.mask", "conflict",
                 "has 2 rows, 'image' has 1");
    pair_refuses("{\"inputs\":{\"image\":7,\"mask\":{}}}", "inputs.mask", "wrong_type",
                 "is not an array");
    pair_refuses("{\"inputs\":{\"image\":[1,2],\"mask\":[1]},\"outputs\":[\"classes\",\"x\"]}",
                 "outputs.1", "unknown_value", "which has 'classes', 'score'");
}

TEST(the_answer_of_several_outputs) {
    const float classes[] = {1, 2, 3}, score[] = {0.5F}, *y[] = {classes, score};
    nn_model *m = pair();
    nn_live_spec d = {.id = "d", .model_id = "m", .model_version = 1};
    nn_predict_request q = {
        .rows = 1, .outputs = {1, 0},
             .n_outputs = 2, .top_k = 1
    };
    nn_predict_answer a = {.model = m, .deployment = &d, .request = &q, .y = y};
    NN_BUF out = {0};
    nn_jw w = {.out = &out};
    nn_err err = {0};
    CHECK_OK(nn_predict_answer_write(&w, &a, &err), &err);
    const char *want = "{\"predictions\":[[0.5]],\"outputs\":{\"score\":[[0.5]],\"classes\":"
                       "[[1.0,2.0,3.0]]},\"model_id\":\"m\"";
    assert_int_equal(strncmp(nn_buf_str(&out), want, strlen(want)), 0);
    CHECK(strstr(nn_buf_str(&out), "\"top\":[[{\"class\":\"0\",\"score\":0.5}]]"));
    nn_model_free(m);
}
