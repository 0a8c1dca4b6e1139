/* SPDX-License-Identifier: MIT */
#include "base/file.h"
#include "base/hash.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FIPS 180-4 examples. */
TEST(sha256_examples) {
    char hex[NN_SHA256_HEX];
    assert_string_equal(nn_sha256_hex("", 0, hex),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(nn_sha256_hex("abc", 3, hex),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    nn_hash *h = nn_hash_new();
    char a[1000];
    memset(a, 'a', sizeof a);
    for (int i = 0; i < 1000; i++) nn_hash_add(h, a, sizeof a);
    nn_hash_end_hex(h, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    nn_hash_free(nn_hash_new());
    nn_hash_free(NULL);
}

TEST(sha256_of_a_file) {
    char path[] = "/tmp/nn_hash_XXXXXX", hex[NN_SHA256_HEX] = "untouched";
    int fd = mkstemp(path);
    nn_err err = {0};
    assert_int_equal(nn_write_all(fd, "abc", 3), 0);
    CHECK_OK(nn_sha256_file(path, hex, &err), &err);
    assert_memory_equal(hex, "ba7816bf", 8);
    unlink(path);
    close(fd);
    memcpy(hex, "untouched", 10);
    assert_int_equal(nn_sha256_file(path, hex, &err), NN_E_NOT_FOUND);
    assert_string_equal(hex, "untouched");
    assert_int_equal(nn_sha256_file("/tmp", hex, &err), NN_E_STORAGE_ERROR);
    CHECK(strstr(err.msg, "/tmp"));
}

TEST(secrets_compare) {
    CHECK(nn_secret_equal("abc", 3, "abc", 3));
    CHECK(!nn_secret_equal("abc", 3, "abd", 3));
    CHECK(!nn_secret_equal("abc", 3, "abcd", 4));
    CHECK(nn_secret_equal("", 0, "", 0));
}

TEST(random_differs) {
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    nn_random(a, sizeof a);
    nn_random(b, sizeof b);
    CHECK(memcmp(a, b, 32) && memcmp(a, zero, 32));
}

TEST(hex_both_ways) {
    char text[9];
    uint8_t b[4] = {0};
    assert_string_equal(nn_hex("\x00\xff\x1a\xe9", 4, text), "00ff1ae9");
    CHECK(nn_unhex("00fF1aE9", 8, b));
    assert_memory_equal(b, "\x00\xff\x1a\xe9", 4);
    CHECK(!nn_unhex("00f", 3, b) && !nn_unhex("0g", 2, b) && !nn_unhex("@1", 2, b) &&
          !nn_unhex("/:", 2, b));
}

/* RFC 4648 section 10, without padding. */
TEST(base64url_examples) {
    static const char *const rows[][2] = {
        {"",             ""        },
        {"f",            "Zg"      },
        {"fo",           "Zm8"     },
        {"foo",          "Zm9v"    },
        {"foob",         "Zm9vYg"  },
        {"fooba",        "Zm9vYmE" },
        {"foobar",       "Zm9vYmFy"},
        {"\xff\xef\xbe", "_---"    }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[16], back[16];
        size_t n = strlen(rows[i][0]), m = 99;
        assert_int_equal(nn_base64url(rows[i][0], n, text), strlen(rows[i][1]));
        assert_string_equal(text, rows[i][1]);
        CHECK(nn_unbase64url(text, strlen(text), back, &m));
        assert_int_equal(m, n);
        assert_memory_equal(back, rows[i][0], n);
    }
    char back[16];
    size_t m;
    CHECK(!nn_unbase64url("Z", 1, back, &m));
    CHECK(!nn_unbase64url("Zh", 2, back, &m));   /* stray bits */
    CHECK(!nn_unbase64url("Zg==", 4, back, &m)); /* padding */
    CHECK(!nn_unbase64url("Zm+v", 4, back, &m));
    CHECK(!nn_unbase64url("Zm\0v", 4, back, &m));
}
