/* SPDX-License-Identifier: MIT */
/* t.h - TEST(name) { ... } registers itself with cmocka; a test program needs no list. */
#ifndef T_H
#define T_H
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off: cmocka.h needs the four above before it */
#include <cmocka.h>
/* clang-format on */

typedef struct t_case {
    const char *name;
    void (*fn)(void **state);
} t_case;

#define TEST(n)                                                                                    \
    static void test_##n(void **state);                                                            \
    static const t_case t_case_##n = {#n, test_##n};                                               \
    __attribute__((used, section("t_cases"))) static const t_case *const t_ref_##n = &t_case_##n;  \
    static void test_##n(void **state __attribute__((unused)))

/* Fails the test unless x is NN_OK, printing the message of err (nn_err *). */
#define CHECK_OK(x, err)                                                                           \
    do {                                                                                           \
        nn_status s_ = (x);                                                                        \
        if (s_ != NN_OK)                                                                           \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #x, nn_status_name(s_), (err)->msg); \
    } while (0)
#define CHECK(x) assert_true(x)
#endif
