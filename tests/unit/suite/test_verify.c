/* SPDX-License-Identifier: MIT */
#include "suite/child.h"
#include "suite/verify.h"
#include "t.h"

#include <math.h>
#include <string.h>

/* ||(0, 3, 4)|| = 5 against ||(6, 8, 0)|| = 10 */
TEST(distance_is_relative_to_the_yardstick) {
    float a[] = {6, 11, -4};
    double b[] = {6, 8, 0};
    nn_distance d = nn_distance_of(a, b, 3);
    assert_true(fabs(d.relative - 0.5) < 1e-12);
    CHECK(d.worst == 4 && d.at == 2 && d.got == -4 && d.want == 0);
}

TEST(distance_of_what_is_not_finite) {
    float same[] = {1, NAN, INFINITY, -INFINITY}, other[] = {1, NAN, INFINITY, INFINITY};
    double b[] = {1, NAN, INFINITY, -INFINITY}, zeros[] = {0, 0};
    float nan[] = {0, NAN}, off[] = {0, 1e-3F};
    CHECK(nn_distance_of(same, b, 4).relative == 0);
    CHECK(isinf(nn_distance_of(other, b, 4).relative));
    CHECK(nn_distance_of(other, b, 4).at == 3);
    CHECK(isinf(nn_distance_of(nan, zeros, 2).relative));
    CHECK(nn_distance_of(off, zeros, 2).relative > 1);
    CHECK(nn_distance_of(off, zeros, 0).relative == 0);
}

static nn_child *started(const char *script) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    nn_child *c = NULL;
    nn_err err;
    CHECK_OK(nn_child_start(argv, &c, &err), &err);
    return c;
}

TEST(children_answer_line_by_line) {
    nn_child *c = started("while read x; do echo \"<$x>\"; done; echo end; exit 3");
    NN_BUF reply = {0}, rest = {0};
    nn_err err;
    CHECK_OK(nn_child_ask(c, "a", 10, &reply, &err), &err);
    CHECK_OK(nn_child_ask(c, "b c", 10, &reply, &err), &err);
    assert_string_equal(nn_buf_str(&reply), "<a><b c>");
    assert_int_equal(nn_child_end(c, 10, &rest), 3);
    assert_string_equal(nn_buf_str(&rest), "end\n");
}

TEST(children_that_end_or_sleep) {
    nn_child *c = started("echo first >&2; echo last words >&2; exit 1");
    NN_BUF reply = {0};
    nn_err err;
    CHECK(nn_child_ask(c, "a", 10, &reply, &err) == NN_E_BAD_GATEWAY);
    if (!strstr(err.msg, "last words") || strstr(err.msg, "first")) fail_msg("%s", err.msg);
    nn_child_free(c);
    c = started("exec sleep 100");
    CHECK(nn_child_ask(c, "a", 0.05, &reply, &err) == NN_E_TIMEOUT);
    assert_int_equal(nn_child_end(c, 0.05, NULL), -1);
    const char *const none[] = {"/no/such/program", NULL};
    CHECK(nn_child_start(none, &c, &err) == NN_E_NOT_FOUND);
}
