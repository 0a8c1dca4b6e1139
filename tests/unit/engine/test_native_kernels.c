/* SPDX-License-Identifier: MIT */
/* Every instruction set that this machine has, against plain loops in double. */
#include "engine/native/kernels.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EACH_SET(k)                                                                                \
    for (unsigned set_ = 0; nn_kernels_at(set_); set_++)                                           \
        for (const nn_kernels *k = nn_kernels_at(set_); k; k = NULL)

static uint32_t seed = 1;
static float random_f(void) {
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) / 8388608.0f - 1;
}

static float *numbers(int64_t n) {
    float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 127) / 64 * 64);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++) p[i] = random_f();
    return p;
}

static float *panels_of(int64_t k, int64_t n, const float *b) {
    float *p = numbers(nn_panel_floats(k, n));
    memset(p, 0, (size_t)nn_panel_floats(k, n) * sizeof *p);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++) p[nn_panel_at(k, n, i, j)] = b[i * n + j];
    return p;
}

static void near(const char *set, const char *what, double got, double want, double limit) {
    if (!(fabs(got - want) <= limit)) fail_msg("%s %s: %.9g, expected %.9g", set, what, got, want);
}

static const int64_t sizes[][3] = {
  /* m, n, k */
    {1,   1,   1   },
    {1,   10,  300 },
    {3,   16,  5   },
    {8,   17,  33  },
    {9,   32,  64  },
    {13,  33,  7   },
    {64,  70,  100 },
    {5,   48,  2500},
    {17,  96,  1025},
    {600, 300, 21  },
};

/* A range at a time, in pieces that cut panels in the middle. */
static void gemm_in_pieces(const nn_kernels *k, const nn_gemm *g) {
    int64_t items = nn_panels(g->n) * nn_tiles(g->m);
    for (int64_t i = 0; i < items; i += 3) k->gemm(g, i, i + 3 < items ? i + 3 : items);
}

static void check_gemm(const nn_kernels *k, int64_t m, int64_t n, int64_t depth, int variant) {
    float *a = numbers(m * depth), *b = numbers(depth * n), *c = numbers(m * n), *bias = numbers(n);
    float *mask = numbers(m * n), *panels = panels_of(depth, n, b);
    nn_gemm g = {.m = m,
                 .n = n,
                 .k = depth,
                 .a = a,
                 .b = panels,
                 .c = c,
                 .bias = variant & 1 ? bias : NULL,
                 .relu = variant & 2,
                 .mask = variant & 4 ? mask : NULL};
    gemm_in_pieces(k, &g);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = g.bias ? (double)bias[j] : 0;
            for (int64_t p = 0; p < depth; p++)
                sum += (double)a[i * depth + p] * (double)b[p * n + j];
            if (g.relu && sum < 0) sum = 0;
            if (g.mask && !(mask[i * n + j] > 0)) sum = 0;
            near(k->name, "gemm", (double)c[i * n + j], sum, 1e-6 * sqrt((double)depth) * 4 + 1e-6);
        }
    free(a), free(b), free(c), free(bias), free(mask), free(panels);
}

TEST(native_gemm) {
    EACH_SET(k)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int variant = 0; variant < 8; variant++)
            check_gemm(k, sizes[i][0], sizes[i][1], sizes[i][2], variant);
}

TEST(native_gemm_rows_do_not_depend_on_each_other) {
    EACH_SET(k) {
        enum { M = 16, N = 200, K = 1500 };
        static float whole[M * N], some[M * N];
        float *a = numbers(M * K), *b = numbers(nn_panel_floats(K, N));
        nn_gemm g = {.m = M, .n = N, .k = K, .a = a, .b = b, .c = whole};
        gemm_in_pieces(k, &g);
        for (int rows = 1; rows < M; rows++) {
            g.m = rows, g.c = some;
            gemm_in_pieces(k, &g);
            assert_memory_equal(whole, some, (size_t)(rows * N) * sizeof *some);
        }
        free(a), free(b);
    }
}

/* Inside of wider matrices, added to what is there: the same sums, and nothing beside them. */
TEST(native_gemm_with_strides_adds) {
    EACH_SET(k)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t m = sizes[s][0], n = sizes[s][1], depth = sizes[s][2], lda = depth + 5, ldc = n + 3;
        float *a = numbers(m * lda), *b = numbers(depth * n), *c = numbers(m * ldc);
        float *panels = panels_of(depth, n, b), *before = numbers(m * ldc);
        memcpy(c, before, (size_t)(m * ldc) * sizeof *c);
        nn_gemm g = {.m = m, .n = n, .k = depth, .a = a, .b = panels, .c = c};
        g.add = true, g.lda = lda, g.ldc = ldc;
        gemm_in_pieces(k, &g);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < ldc; j++) {
                double sum = (double)before[i * ldc + j];
                for (int64_t p = 0; p < depth && j < n; p++)
                    sum += (double)a[i * lda + p] * (double)b[p * n + j];
                near(k->name, "gemm", (double)c[i * ldc + j], sum, j < n ? 2e-4 : 0);
            }
        free(a), free(b), free(c), free(panels), free(before);
    }
}

TEST(native_gemm_gradient_with_strides_adds) {
    EACH_SET(k)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t m = sizes[s][0], n = sizes[s][1], depth = sizes[s][2], lda = depth + 5, ldd = n + 3;
        float *a = numbers(m * lda), *dy = numbers(m * ldd), *b = numbers(depth * n);
        float *dw = panels_of(depth, n, b), *before = panels_of(depth, n, b),
              *pack = numbers(nn_grad_pack_floats(m, n, depth));
        nn_gemm_grad g = {.m = m, .n = n, .k = depth, .a = a, .dy = dy, .dw = dw};
        g.add = true, g.lda = lda, g.ldd = ldd;
        CHECK(k->gemm_grad(&g, 0, nn_panels(n) * nn_tiles(depth), pack));
        for (int64_t p = 0; p < depth; p++)
            for (int64_t j = 0; j < n; j++) {
                int64_t at = nn_panel_at(depth, n, p, j);
                double sum = (double)before[at];
                for (int64_t i = 0; i < m; i++)
                    sum += (double)a[i * lda + p] * (double)dy[i * ldd + j];
                near(k->name, "gradient", (double)dw[at], sum, 1e-4);
            }
        free(a), free(dy), free(b), free(dw), free(before), free(pack);
    }
}

TEST(native_gemm_gradient_and_its_update) {
    EACH_SET(k)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t m = sizes[s][0], n = sizes[s][1], depth = sizes[s][2];
        int64_t floats = nn_panel_floats(depth, n), items = nn_panels(n) * nn_tiles(depth);
        float *a = numbers(m * depth), *dy = numbers(m * n), *dw = numbers(floats);
        float *db = numbers(n), *w = numbers(floats);
        float *pack = numbers(nn_grad_pack_floats(m, n, depth));
        nn_gemm_grad g = {.m = m, .n = n, .k = depth, .a = a, .dy = dy, .dw = dw, .db = db};
        for (int64_t i = 0; i < items; i += 5)
            CHECK(k->gemm_grad(&g, i, i + 5 < items ? i + 5 : items, pack));
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t i = 0; i < m; i++) sum += (double)dy[i * n + j];
            near(k->name, "bias gradient", (double)db[j], sum, 1e-4);
            for (int64_t p = 0; p < depth; p += 7) {
                sum = 0;
                for (int64_t i = 0; i < m; i++)
                    sum += (double)a[i * depth + p] * (double)dy[i * n + j];
                near(k->name, "gradient", (double)dw[nn_panel_at(depth, n, p, j)], sum, 1e-4);
            }
        }
        /* in one pass with plain SGD: w - 0.5 dw, and padding as it was */
        nn_update_f u = {.keep = 1, .rate = 0.5f};
        float *expected = numbers(floats);
        for (int64_t i = 0; i < floats; i++) expected[i] = w[i] - 0.5f * dw[i];
        float *parts = numbers(floats);
        g.update = &u, g.w = w, g.db = NULL, g.dw = parts;
        CHECK(k->gemm_grad(&g, 0, items, pack));
        for (int64_t i = 0; i < floats; i++)
            near(k->name, "update", (double)w[i], (double)expected[i], 1e-6);
        dy[m * n - 1] = INFINITY;
        g.update = NULL, g.dw = dw;
        CHECK(!k->gemm_grad(&g, 0, items, pack));
        free(a), free(dy), free(dw), free(db), free(pack), free(w), free(expected);
        free(parts);
    }
}

TEST(native_transpose) {
    EACH_SET(k)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s][1], depth = sizes[s][2], floats = nn_panel_floats(n, depth);
        float *b = numbers(depth * n), *panels = panels_of(depth, n, b), *bt = numbers(floats);
        for (int64_t p = 0; p < nn_panels(depth); p++) k->transpose(depth, n, panels, bt, p, p + 1);
        for (int64_t i = 0; i < depth; i++)
            for (int64_t j = 0; j < n; j++) CHECK(bt[nn_panel_at(n, depth, j, i)] == b[i * n + j]);
        free(b), free(panels), free(bt);
    }
}

/* Values and slopes over a range with both tails, against the C library. */
static double value(nn_act a, double x) {
    switch ((int)a) {
    case NN_ACT_EXPONENTIAL:
        return exp(x);
    case NN_ACT_TANH:
        return tanh(x);
    case NN_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case NN_ACT_SOFTPLUS:
        return x > 30 ? x : log1p(exp(x));
    case NN_ACT_LOG_SIGMOID:
        return -(x < -30 ? -x : log1p(exp(-x)));
    case NN_ACT_GELU:
        return 0.5 * x * erfc(-x * M_SQRT1_2);
    case NN_ACT_ELU:
        return x > 0 ? x : expm1(x);
    case NN_ACT_MISH:
        return x * tanh(x > 30 ? x : log1p(exp(x)));
    default:
        return NAN;
    }
}

TEST(native_functions_are_accurate) {
    enum { N = 4001 };
    static float x[N], y[N], one[N], slope[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - 2000) * 0.02f, one[i] = 1;
    EACH_SET(k)
    for (int a = 0; a < NN_ACT_COUNT; a++) {
        k->map[a](N, x, y, 1);
        k->map_grad[a](N, x, one, slope, 1);
        for (int i = 0; i < N; i++) {
            double v = value((nn_act)a, (double)x[i]), h = 1e-5;
            if (isnan(v)) continue;
            near(k->name, nn_act_name((nn_act)a), (double)y[i], v,
                 6e-7 * fmax(fmax(1, fabs(v)), fabs((double)x[i])));
            double d =
                (value((nn_act)a, (double)x[i] + h) - value((nn_act)a, (double)x[i] - h)) / (2 * h);
            if (x[i] != 0)
                near(k->name, nn_act_name((nn_act)a), (double)slope[i], d, 2e-6 * fmax(1, fabs(d)));
        }
    }
}

TEST(native_functions_at_the_ends) {
    float x[5] = {INFINITY, -INFINITY, NAN, 200, -200}, y[5];
    EACH_SET(k) {
        k->map[NN_ACT_EXPONENTIAL](5, x, y, 0);
        CHECK(isinf(y[0]) && y[1] == 0 && isnan(y[2]) && isinf(y[3]) && y[4] == 0);
        k->map[NN_ACT_RELU](5, x, y, 0);
        CHECK(isinf(y[0]) && y[1] == 0 && isnan(y[2]) && y[3] == 200 && y[4] == 0);
        k->map[NN_ACT_TANH](5, x, y, 0);
        CHECK(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 1 && y[4] == -1);
        k->map[NN_ACT_SIGMOID](5, x, y, 0);
        CHECK(y[0] == 1 && y[1] == 0 && isnan(y[2]) && y[3] == 1 && y[4] < 1e-37f);
    }
}

TEST(native_reductions) {
    EACH_SET(k)
    for (int64_t n = 1; n < 100; n++) {
        float *x = numbers(n);
        double abs_sum = 0, squares = 0, most = 0;
        for (int64_t i = 0; i < n; i++) {
            abs_sum += fabs((double)x[i]);
            squares += (double)x[i] * (double)x[i];
            most = fmax(most, fabs((double)x[i]));
        }
        near(k->name, "sum of |x|", k->sum_abs(n, x), abs_sum, 1e-12);
        near(k->name, "sum of squares", k->sum_square(n, x), squares, 1e-12);
        CHECK((double)k->max_abs(n, x) == most);
        CHECK(k->all_finite(n, x));
        for (int64_t i = 0; i < n; i++) {
            float kept = x[i];
            x[i] = i % 2 ? NAN : -INFINITY;
            CHECK(!k->all_finite(n, x));
            CHECK(!isfinite(k->max_abs(n, x)));
            x[i] = kept;
        }
        free(x);
    }
}

/* 2 x 2 windows by the general kernel and by the one for them, odd sizes and all block widths. */
TEST(native_small_pooling_is_pooling) {
    static const int64_t blocks[] = {1, 3, 8, 16, 20, 32};
    EACH_SET(k)
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (int64_t h = 2; h < 6; h++) {
            nn_pooling p = {
                .block = blocks[b],
                .in = {1, h,     7},
                .out = {1, h / 2, 3},
                .size = {1, 2,     2},
                .stride = {1, 2,     2},
                .dilation = {1, 1,     1}
            };
            int64_t in = h * 7 * p.block, out = h / 2 * 3 * p.block;
            float *x = numbers(2 * in), *y = numbers(2 * out), *z = numbers(2 * out);
            float *dy = numbers(2 * out), *dx = numbers(2 * in), *dz = numbers(2 * in);
            int32_t *at = (int32_t *)numbers(2 * out);
            uint8_t *small = (uint8_t *)numbers(2 * out);
            if (b == 2) x[5] = NAN;
            k->max_pool(&p, x, y, at, 0, 2);
            k->max_pool_2x2(&p, x, z, small, 0, 2);
            assert_memory_equal(y, z, (size_t)(2 * out) * sizeof *y);
            k->max_pool_grad(&p, dy, at, dx, 0, 2);
            k->max_pool_2x2_grad(&p, false, dy, small, dz, 0, 2);
            for (int64_t i = 0; i < 2 * in; i++) CHECK(dx[i] == dz[i]);
            k->max_pool_2x2_grad(&p, true, dy, small, dz, 0, 2);
            for (int64_t i = 0; i < 2 * in; i++) CHECK(dz[i] == (x[i] <= 0 ? 0 : dx[i]));
            free(x), free(y), free(z), free(dy), free(dx), free(dz), free(at), free(small);
        }
}
