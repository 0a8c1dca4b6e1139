/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#define ORDER __attribute__((cleanup(nn_order_done))) nn_order

static void check_permutation(const nn_order *a, const nn_order *b, int64_t rows) {
    char *seen = calloc((size_t)rows, 1);
    assert_int_equal(a->n + b->n, rows);
    for (int64_t i = 0; i < rows; i++) {
        uint32_t r = i < a->n ? a->index[i] : b->index[i - a->n];
        CHECK(r < rows && !seen[r]);
        seen[r] = 1;
    }
    free(seen);
}

TEST(order_split_is_disjoint_and_complete) {
    nn_err err;
    static const struct {
        int64_t rows;
        double share;
        int64_t valid;
    } cases[] = {
        {1000,  0.2, 200 },
        {1000,  0,   0   },
        {7,     0.5, 3   },
        {1,     0.5, 0   },
        {0,     0,   0   },
        {60000, 0.1, 6000}
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ORDER t = {0}, v = {0};
        CHECK_OK(nn_order_split(cases[i].rows, cases[i].share, 7, &t, &v, &err), &err);
        assert_int_equal(v.n, cases[i].valid);
        check_permutation(&t, &v, cases[i].rows);
    }
}

TEST(order_split_depends_on_the_seed_alone) {
    nn_err err;
    ORDER a = {0}, b = {0}, c = {0}, va = {0}, vb = {0}, vc = {0};
    CHECK_OK(nn_order_split(500, 0.3, 1, &a, &va, &err), &err);
    CHECK_OK(nn_order_split(500, 0.3, 1, &b, &vb, &err), &err);
    CHECK_OK(nn_order_split(500, 0.3, 2, &c, &vc, &err), &err);
    assert_memory_equal(va.index, vb.index, 150 * sizeof *va.index);
    CHECK(memcmp(va.index, vc.index, 150 * sizeof *va.index) != 0);
}

TEST(order_split_refuses_bad_shares) {
    nn_err err;
    nn_order t, v;
    assert_int_equal(nn_order_split(10, 1, 0, &t, &v, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_order_split(10, -0.1, 0, &t, &v, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_order_split(10, 0.0 / 0.0, 0, &t, &v, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_order_split(INT64_C(1) << 32, 0, 0, &t, &v, &err), NN_E_VALIDATION_ERROR);
}

/* Epochs are reproducible in any sequence, differ from each other, and lose no row. */
TEST(order_shuffle) {
    nn_err err;
    ORDER base = {0}, v = {0}, a = {0}, b = {0}, none = {0}, nov = {0};
    CHECK_OK(nn_order_split(300, 0.2, 3, &base, &v, &err), &err);
    CHECK_OK(nn_order_copy(&base, &a, &err), &err);
    CHECK_OK(nn_order_copy(&base, &b, &err), &err);
    nn_order_shuffle(&base, 9, 0, &a);
    nn_order_shuffle(&base, 9, 1, &b);
    CHECK(memcmp(a.index, b.index, 240 * sizeof *a.index) != 0);
    nn_order_shuffle(&base, 9, 0, &b);
    assert_memory_equal(a.index, b.index, 240 * sizeof *a.index);
    check_permutation(&a, &v, 300);
    CHECK_OK(nn_order_split(0, 0, 3, &none, &nov, &err), &err);
    nn_order_shuffle(&none, 1, 1, &none);
}

/* Fisher-Yates is uniform: over many epochs each row stands first about equally often (chi-square
 * with 9 degrees of freedom; 27.9 is passed by chance once in a thousand, and the draws are fixed).
 */
TEST(order_shuffle_is_uniform) {
    nn_err err;
    ORDER base = {0}, v = {0}, a = {0};
    CHECK_OK(nn_order_split(10, 0, 0, &base, &v, &err), &err);
    CHECK_OK(nn_order_copy(&base, &a, &err), &err);
    int first[10] = {0}, last[10] = {0};
    for (uint64_t e = 0; e < 10000; e++) {
        nn_order_shuffle(&base, 5, e, &a);
        first[a.index[0]]++;
        last[a.index[9]]++;
    }
    double chi_first = 0, chi_last = 0;
    for (int i = 0; i < 10; i++) {
        chi_first += (first[i] - 1000) * (first[i] - 1000) / 1000.0;
        chi_last += (last[i] - 1000) * (last[i] - 1000) / 1000.0;
    }
    CHECK(chi_first < 27.9 && chi_last < 27.9);
}

TEST(batch_fill_bytes) {
    enum { ROWS = 3, WIDTH = 37 }; /* not a multiple of any vector */
    uint8_t raw[ROWS * WIDTH];
    int32_t labels[ROWS] = {4, 5, 6};
    for (int i = 0; i < ROWS * WIDTH; i++) raw[i] = (uint8_t)(i * 7);
    nn_dataset d = {
        .rows = ROWS,
        .labels = labels,
    };
    nn_block b = {
        .shape = {1,          {WIDTH}},
          .stride = WIDTH, .data = raw, .norm = {1.0f / 255, 0.5f   }
    };
    const uint32_t index[] = {2, 0, 2, 1};
    float x[4 * WIDTH + 1];
    int32_t y[4];
    x[4 * WIDTH] = -77;
    nn_err err;
    CHECK_OK(nn_batch_fill(&b, index, 4, NULL, x, &err), &err);
    nn_batch_targets(&d, index, 4, y, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(y[i], labels[index[i]]);
        for (int j = 0; j < WIDTH; j++) {
            float want = (float)raw[index[i] * WIDTH + (unsigned)j] * (1.0f / 255) + 0.5f;
            assert_float_equal(x[i * WIDTH + j], want, 1e-7f);
        }
    }
    assert_float_equal(x[4 * WIDTH], -77, 0);
}

TEST(batch_fill_floats_and_values) {
    float raw[] = {1, 2, 3, 4, 5, 6}, targets[] = {10, 11, 20, 21, 30, 31};
    nn_dataset d = {
        .rows = 3,
        .targets = targets,
        .target_width = 2,
    };
    nn_block b = {
        .shape = {1, {2}},
          .type = NN_ROWS_F32, .stride = 2, .data = raw, .norm = {2, -1 }
    };
    const uint32_t index[] = {1, 2};
    float x[4], v[4];
    int32_t y[2] = {-9, -9};
    nn_err err;
    CHECK_OK(nn_batch_fill(&b, index, 2, NULL, x, &err), &err);
    nn_batch_targets(&d, index, 2, y, v);
    const float want_x[] = {5, 7, 9, 11}, want_v[] = {20, 21, 30, 31};
    assert_memory_equal(x, want_x, sizeof x);
    assert_memory_equal(v, want_v, sizeof v);
    assert_int_equal(y[0], -9);
}
