/* SPDX-License-Identifier: MIT */
#include "t.h"

#include "base/nearest.h"
#include "base/utf8.h"

#include <string.h>

TEST(utf8_accepts_what_rfc_3629_does) {
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"plain ascii of more than eight bytes",             36},
        {"\xc2\x80\xdf\xbf",                                 4 },
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",                 8 },
        {"12345678\x80",                                     8 },
        {"a\xc0\x80",                                        1 },
        {"\xc1\xbf",                                         0 },
        {"\xe0\x9f\xbf",                                     0 },
        {"\xed\xa0\x80",                                     0 },
        {"\xf0\x8f\xbf\xbf",                                 0 },
        {"\xf4\x90\x80\x80",                                 0 },
        {"\xf5\x80\x80\x80",                                 0 },
        {"ab\xe2\x82",                                       2 },
        {"ab\xf0\x9f\x98x",                                  2 },
        {"\xff",                                             0 },
        {"\xc3(",                                            0 },
        {"",                                                 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(nn_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].valid);
    assert_int_equal(nn_utf8_valid("a\0b", 3), 3);
}

TEST(nearest_finds_misspelt_names) {
    static const char *const names[] = {"Dense", "Dropout", "Conv2D", "Flatten", "lr", NULL};
    assert_string_equal(nn_nearest("Dens", names), "Dense");
    assert_string_equal(nn_nearest("dense", names), "Dense");
    assert_string_equal(nn_nearest("Desne", names), "Dense");
    assert_string_equal(nn_nearest("conv2", names), "Conv2D");
    assert_string_equal(nn_nearest("Flaten", names), "Flatten");
    assert_string_equal(nn_nearest("rl", names), "lr");
    assert_null(nn_nearest("Softmax", names));
    assert_null(nn_nearest("", names));
    assert_null(nn_nearest("Dense", (const char *const[]){NULL}));
    char huge[10000];
    memset(huge, 'a', sizeof huge);
    huge[sizeof huge - 1] = 0;
    assert_null(nn_nearest(huge, names));
}
