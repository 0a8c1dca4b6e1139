/* SPDX-License-Identifier: MIT */
/* Kernels over single elements and vectors, of every instruction set that this machine has, against
 * plain loops in double and against base/rng.h. */
#include "base/rng.h"
#include "engine/native/kernels.h"
#include "t.h"

#include <math.h>
#include <string.h>

#define EACH_SET(k)                                                                                \
    for (unsigned set_ = 0; nn_kernels_at(set_); set_++)                                           \
        for (const nn_kernels *k = nn_kernels_at(set_); k; k = NULL)

enum { N = 133 };

static void fill(float *p, int n, uint64_t seed) {
    nn_rng r = nn_rng_new(seed, 5);
    for (int i = 0; i < n; i++) p[i] = (float)(2 * nn_rng_unit(&r) - 1);
}

static void near(const char *set, const char *what, double got, double want, double limit) {
    if (!(fabs(got - want) <= limit)) fail_msg("%s %s: %.9g, expected %.9g", set, what, got, want);
}

static double merged(int kind, double a, double b) {
    switch (kind) {
    case NN_MERGE_SUBTRACT:
        return a - b;
    case NN_MERGE_MULTIPLY:
        return a * b;
    case NN_MERGE_MAXIMUM:
        return fmax(a, b);
    case NN_MERGE_MINIMUM:
        return fmin(a, b);
    default:
        return a + b;
    }
}

TEST(native_merges_of_two) {
    float a[N], b[N], y[N];
    fill(a, N, 1), fill(b, N, 2);
    EACH_SET(k)
    for (int kind = 0; kind < NN_MERGE_COUNT; kind++)
        for (int one = 0; one < 4; one++) {
            k->merge[kind](N, a, one & 1, b, one & 2, y);
            for (int i = 0; i < N; i++)
                near(k->name, nn_merge_name((nn_merge)kind), (double)y[i],
                     merged(kind, (double)a[one & 1 ? 0 : i], (double)b[one & 2 ? 0 : i]), 1e-7);
        }
    float some[4] = {1, NAN, 2, -1}, none[4] = {NAN, 1, 2, -2};
    EACH_SET(k) {
        k->merge[NN_MERGE_MAXIMUM](4, some, false, none, false, y);
        CHECK(isnan(y[0]) && isnan(y[1]) && y[2] == 2 && y[3] == -1);
        k->merge[NN_MERGE_MINIMUM](4, some, false, none, false, y);
        CHECK(isnan(y[0]) && isnan(y[1]) && y[2] == 2 && y[3] == -2);
    }
}

/* Of equal ones the first is taken. */
TEST(native_extremes_are_taken_once) {
    float a[3] = {1, 2, 3}, b[3] = {1, 3, 2}, y[3] = {1, 3, 3}, dy[3] = {5, 6, 7}, g[3];
    EACH_SET(k) {
        float taken[3] = {0};
        k->pick(3, a, false, y, dy, taken, g);
        CHECK(g[0] == 5 && g[1] == 0 && g[2] == 7);
        k->pick(3, b, false, y, dy, taken, g);
        CHECK(g[0] == 0 && g[1] == 6 && g[2] == 0);
    }
}

TEST(native_sums_and_products) {
    float a[N], b[N], y[N];
    fill(a, N, 3), fill(b, N, 4);
    EACH_SET(k)
    for (int n = 1; n <= N; n++) {
        double sum = 0, dot = 0;
        for (int i = 0; i < n; i++) sum += (double)a[i], dot += (double)a[i] * (double)b[i];
        near(k->name, "sum", (double)k->sum(n, a), sum, 1e-5);
        near(k->name, "dot", (double)k->dot(n, a, b), dot, 1e-5);
        memcpy(y, b, sizeof y);
        k->add_scaled(n, a, -0.5f, y);
        for (int i = 0; i < N; i++)
            near(k->name, "add_scaled", (double)y[i],
                 (double)b[i] - (i < n ? 0.5 * (double)a[i] : 0), 1e-7);
    }
}

TEST(native_planes_are_copied_by_steps) {
    static const int steps[][4] = {
  /* of x along rows and columns, of y */
        {40, 1,  40, 1 },
        {1,  40, 40, 1 },
        {40, 1,  1,  40},
        {-1, 40, 40, 1 },
        {40, -1, 1,  40},
        {2,  80, 40, 1 }
    };
    static float x[4000], y[4000];
    fill(x, 4000, 5);
    EACH_SET(k)
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
        for (int rows = 1; rows < 40; rows += 6)
            for (int columns = 1; columns < 40; columns += 5) {
                const int *t = steps[s];
                const float *from = x + (t[0] < 0 ? rows - 1 : t[1] < 0 ? columns - 1 : 0);
                for (int i = 0; i < 4000; i++) y[i] = 9;
                k->copy_plane(rows, columns, from, t[0], t[1], y, t[2], t[3]);
                int written = 0;
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < columns; j++)
                        CHECK(y[i * t[2] + j * t[3]] == from[i * t[0] + j * t[1]]);
                for (int i = 0; i < 4000; i++) written += y[i] != 9;
                assert_int_equal(written, rows * columns);
            }
}

TEST(native_draws_are_those_of_philox) {
    const uint64_t counters[] = {0, 77, ((uint64_t)3 << 40) + 5, UINT32_MAX - 3, UINT64_MAX - 2};
    EACH_SET(k)
    for (size_t c = 0; c < sizeof counters / sizeof *counters; c++) {
        uint32_t got[4 * (21 + 15)], want[4];
        k->draws(0x123456789abcdef0, 99 + ((uint64_t)7 << 33), counters[c], 21, got);
        for (uint64_t i = 0; i < 21; i++) {
            nn_philox(0x123456789abcdef0, 99 + ((uint64_t)7 << 33), counters[c] + i, want);
            assert_memory_equal(got + 4 * i, want, sizeof want);
        }
    }
}

/* All angles and lengths, the shortest and the longest among them. */
TEST(native_normals_are_box_and_muller) {
    enum { PAIRS = 5000 };
    static uint32_t draw[2 * PAIRS];
    static float y[2 * PAIRS];
    nn_rng r = nn_rng_new(3, 3);
    for (int i = 0; i < 2 * PAIRS; i++) draw[i] = nn_rng_u32(&r);
    for (int i = 0; i < 64; i++) {
        draw[2 * i] = i % 2 ? UINT32_MAX - (uint32_t)i * 256 : (uint32_t)i * 256;
        draw[2 * i + 1] = (uint32_t)i << 26;
    }
    EACH_SET(k) {
        k->normals(PAIRS, draw, y);
        for (int i = 0; i < PAIRS; i++) {
            double u = ((draw[2 * i] >> 8) + 1.0) / 16777216,
                   t = (draw[2 * i + 1] >> 8) / 16777216.0;
            double length = sqrt(-2 * log(u));
            near(k->name, "cosine", (double)y[2 * i], length * cos(2 * M_PI * t), 2e-6);
            near(k->name, "sine", (double)y[2 * i + 1], length * sin(2 * M_PI * t), 2e-6);
        }
    }
}

/* y by the definition, and dx, dgamma and dbeta by the derivative of sum(dy y). */
static void check_layer_norm(const nn_kernels *k, int n, bool gamma, bool beta) {
    float x[N], g[N], b[N], y[N], dy[N], dx[N], mean, factor;
    double dgamma[N] = {0}, dbeta[N] = {0}, m = 0, v = 0, a = 0, c = 0;
    fill(x, n, 6), fill(g, n, 7), fill(b, n, 8), fill(dy, n, 9);
    k->layer_norm(1, n, x, gamma ? g : NULL, beta ? b : NULL, 1e-3f, &mean, &factor, y);
    k->layer_norm_grad(1, n, x, dy, gamma ? g : NULL, &mean, &factor, dx, dgamma, dbeta);
    for (int i = 0; i < n; i++) m += (double)x[i] / n;
    for (int i = 0; i < n; i++) v += ((double)x[i] - m) * ((double)x[i] - m) / n;
    double f = 1 / sqrt(v + 1e-3f);
    for (int i = 0; i < n; i++) {
        double h = ((double)x[i] - m) * f, d = (double)dy[i] * (gamma ? (double)g[i] : 1);
        a += d / n, c += d * h / n;
        near(k->name, "layer_norm", (double)y[i],
             h * (gamma ? (double)g[i] : 1) + (beta ? (double)b[i] : 0), 3e-6);
        near(k->name, "dgamma", dgamma[i], (double)dy[i] * h, 3e-6);
        near(k->name, "dbeta", dbeta[i], (double)dy[i], 1e-9);
    }
    for (int i = 0; i < n; i++) {
        double h = ((double)x[i] - m) * f, d = (double)dy[i] * (gamma ? (double)g[i] : 1);
        near(k->name, "dx", (double)dx[i], f * (d - a - h * c), 1e-5 * f);
    }
}

TEST(native_layer_norm) {
    EACH_SET(k)
    for (int n = 1; n <= N; n += 11)
        for (int way = 0; way < 4; way++) check_layer_norm(k, n, way & 1, way & 2);
}

TEST(native_bounds_and_slopes) {
    float x[5] = {-2, -0.0f, 0.5f, 3, NAN}, a[5] = {0.1f, 2, 3, 4, 5}, dy[5] = {1, 2, 3, 4, 5};
    float y[5], dx[5];
    EACH_SET(k) {
        float da[5] = {1, 1, 1, 1, 1};
        k->bound(5, x, -1, 2, y);
        CHECK(y[0] == -1 && y[1] == 0 && y[2] == 0.5f && y[3] == 2 && isnan(y[4]));
        k->bound_grad(5, x, -1, 2, dy, dx);
        CHECK(dx[0] == 0 && dx[1] == 2 && dx[2] == 3 && dx[3] == 0 && dx[4] == 0);
        k->prelu(5, x, a, y);
        CHECK(y[0] == -0.2f && y[1] == 0 && y[2] == 0.5f && y[3] == 3 && isnan(y[4]));
        k->prelu_grad(4, x, a, dy, dx, da);
        CHECK(dx[0] == 0.1f && dx[1] == 4 && dx[2] == 3 && dx[3] == 4);
        CHECK(da[0] == -1 && da[1] == 1 && da[2] == 1 && da[3] == 1);
        k->penalty_grad(4, x, dy, 0.5f, 2, dx);
        CHECK(dx[0] == 1 - 4.5f && dx[1] == 2 && dx[2] == 4.5f && dx[3] == 10.5f);
        k->penalty_grad(4, x, NULL, 0.5f, 2, dx);
        CHECK(dx[0] == -4.5f && dx[1] == 0 && dx[2] == 1.5f && dx[3] == 6.5f);
    }
}
