/* SPDX-License-Identifier: MIT */
#include "codegen/python.h"
#include "t.h"

#include <string.h>

static void check_string(const char *text, const char *want) {
    NN_BUF b = {0};
    nn_py_string(&b, text);
    assert_string_equal(nn_buf_str(&b), want);
}

TEST(python_strings) {
    check_string("", "''");
    check_string("plain \"quoted\"", "'plain \"quoted\"'");
    check_string("it's", "'it\\'s'");
    check_string("back\\slash", "'back\\\\slash'");
    check_string("two\nlines\r\t\x7f", "'two\\nlines\\x0d\\x09\\x7f'");
    check_string("\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80", "'\\xe9\\u202e\\U0001f600'");
    check_string("\xff", "'\\xff'");
    check_string("\xe2\x80", "'\\xe2\\x80'");
}

TEST(python_comments_stay_on_their_line) {
    NN_BUF b = {0};
    nn_py_comment(&b, "a\nb\r\f\v\xe2\x80\xa8'\"\\");
    assert_string_equal(nn_buf_str(&b), "a\?b\?\?\?\?\?\?'\"\\");
}

#define ARENA __attribute__((cleanup(nn_arena_freep))) nn_arena

TEST(python_names) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    static const char *const reserved[] = {"forward", NULL};
    nn_py_scope s = {.arena = a, .reserved = reserved};
    static const struct {
        const char *wanted, *got;
    } cases[] = {
        {"dense",             "dense"         },
        {"dense",             "dense_2"       },
        {"dense_2",           "dense_2_2"     },
        {"dense",             "dense_3"       },
        {"forward",           "forward_2"     },
        {"class",             "class_2"       },
        {"a.b-c",             "a_b_c"         },
        {"a_b_c",             "a_b_c_2"       },
        {"1st",               "layer_1st"     },
        {"_private",          "layer__private"},
        {"",                  "layer_"        },
        {"\xc3\xa9t\xc3\xa9", "layer___t__"   },
        {"Dense",             "Dense"         },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(nn_py_name(&s, cases[i].wanted), cases[i].got);
}

TEST(python_many_names_are_distinct) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    nn_py_scope s = {.arena = a};
    for (int i = 0; i < 5000; i++) {
        const char *want = nn_arena_printf(a, "n%d", i);
        assert_string_equal(nn_py_name(&s, want), want);
    }
    for (int i = 0; i < 5000; i++) {
        const char *want = nn_arena_printf(a, "n%d_2", i);
        assert_string_equal(nn_py_name(&s, nn_arena_printf(a, "n%d", i)), want);
    }
}

TEST(python_class_names) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    static const char *const cases[][2] = {
        {"FashionCNN",    "FashionCNN"  },
        {"fashion cnn",   "FashionCnn"  },
        {"my-net_2",      "MyNet2"      },
        {"",              "Network"     },
        {"3d net",        "Network3dNet"},
        {"none",          "None_2"      },
        {"'); import os", "ImportOs"    },
        {"\xe2\x80\xae",  "Network"     }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_py_scope s = {.arena = a};
        assert_string_equal(nn_py_class_name(&s, cases[i][0]), cases[i][1]);
    }
}

TEST(python_numbers) {
    NN_BUF b = {0};
    nn_py_float(&b, 0.1);
    nn_buf_putc(&b, ' ');
    nn_py_float(&b, 3);
    nn_buf_putc(&b, ' ');
    nn_py_shape(&b, &(nn_shape){
                        3, {28, NN_DIM_UNKNOWN, 1}
    });
    nn_buf_putc(&b, ' ');
    nn_py_shape(&b, &(nn_shape){1, {7}});
    nn_buf_putc(&b, ' ');
    nn_py_sizes(&b, (int64_t[]){3, 3}, 2);
    nn_buf_putc(&b, ' ');
    nn_py_sizes(&b, (int64_t[]){3, 2}, 2);
    assert_string_equal(nn_buf_str(&b), "0.1 3.0 (28, None, 1) (7,) 3 (3, 2)");
}
