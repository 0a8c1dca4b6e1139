/* SPDX-License-Identifier: MIT */
/* test_weights_init.c - bounds, moments and structure that Keras's documentation states for each
 * initialiser. With n = 40,000 draws the mean's standard error is sigma / 200 and the variance's
 * about 0.7 %; the tests allow five times that. */
#include "t.h"

#include "net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 160, OUT = 250, N = IN * OUT };

static float *drawn(nn_initializer init, uint64_t seed) {
    nn_err err;
    nn_graph *g = net_build("input 160; dense 250 nobias");
    float *w = net_alloc(N, sizeof *w);
    g->weights[0].init = init;
    assert_int_equal(g->weights[0].fan_in, IN);
    assert_int_equal(g->weights[0].fan_out, OUT);
    CHECK_OK(nn_weights_init(g, seed, w, &err), &err);
    net_free(g);
    return w;
}

typedef struct moments {
    double mean, sigma, largest;
} moments;

static moments moments_of(const float *w) {
    moments m = {0};
    for (int i = 0; i < N; i++) {
        m.mean += w[i] / (double)N;
        m.largest = fmax(m.largest, fabs(w[i]));
    }
    for (int i = 0; i < N; i++) m.sigma += (w[i] - m.mean) * (w[i] - m.mean) / (double)N;
    m.sigma = sqrt(m.sigma);
    return m;
}

static void check_moments(nn_initializer init, double mean, double sigma, double largest) {
    float *w = drawn(init, 1);
    moments m = moments_of(w);
    if (fabs(m.mean - mean) > 5 * sigma / 200 || fabs(m.sigma / sigma - 1) > 0.018)
        fail_msg("%s: mean %g, sigma %g; expected %g, %g", nn_init_name(init.kind), m.mean, m.sigma,
                 mean, sigma);
    /* the bound holds and is nearly reached */
    if (m.largest > largest * (1 + 1e-6) || m.largest < largest * 0.99)
        fail_msg("%s: largest %g; expected %g", nn_init_name(init.kind), m.largest, largest);
    free(w);
}

TEST(scaled_initialisers) {
    const double cut = .87962566103423978; /* sigma of a normal cut off at 2 */
    const double glorot = sqrt(2.0 / (IN + OUT)), he = sqrt(2.0 / IN), lecun = sqrt(1.0 / IN);
    const struct {
        nn_init_kind uniform, normal;
        double sigma;
    } rows[] = {
        {NN_INIT_GLOROT_UNIFORM, NN_INIT_GLOROT_NORMAL, glorot},
        {NN_INIT_HE_UNIFORM,     NN_INIT_HE_NORMAL,     he    },
        {NN_INIT_LECUN_UNIFORM,  NN_INIT_LECUN_NORMAL,  lecun },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_moments((nn_initializer){.kind = rows[i].uniform}, 0, rows[i].sigma,
                      sqrt(3) * rows[i].sigma);
        check_moments((nn_initializer){.kind = rows[i].normal}, 0, rows[i].sigma,
                      2 * rows[i].sigma / cut);
    }
}

TEST(plain_initialisers) {
    check_moments((nn_initializer){.kind = NN_INIT_RANDOM_UNIFORM, .a = -0.5, .b = 0.5}, 0,
                  1 / sqrt(12), 0.5);
    check_moments((nn_initializer){.kind = NN_INIT_TRUNCATED_NORMAL, .a = 0, .b = 0.5}, 0,
                  0.5 * .87962566103423978, 1);
    float *w = drawn((nn_initializer){.kind = NN_INIT_RANDOM_NORMAL, .a = 3, .b = 0.5}, 1);
    moments m = moments_of(w);
    CHECK(fabs(m.mean - 3) < 0.0125 && fabs(m.sigma / 0.5 - 1) < 0.018);
    free(w);
    const double values[][2] = {
        {NN_INIT_ZEROS,    0  },
        {NN_INIT_ONES,     1  },
        {NN_INIT_CONSTANT, 2.5}
    };
    for (int k = 0; k < 3; k++) {
        w = drawn((nn_initializer){.kind = (nn_init_kind)values[k][0], .a = 2.5}, 1);
        for (int i = 0; i < N; i++) CHECK(w[i] == (float)values[k][1]);
        free(w);
    }
}

/* The smaller side's vectors are orthonormal, times the gain. */
static void check_orthogonal(int64_t rows, int64_t cols, const float *w, double gain) {
    bool wide = rows < cols;
    int64_t vectors = wide ? rows : cols, length = wide ? cols : rows;
    for (int64_t a = 0; a < vectors; a++)
        for (int64_t b = 0; b <= a; b++) {
            double dot = 0;
            for (int64_t i = 0; i < length; i++)
                dot += (double)(wide ? w[a * cols + i] : w[i * cols + a]) *
                       (wide ? w[b * cols + i] : w[i * cols + b]);
            CHECK(fabs(dot - (a == b ? gain * gain : 0)) < 1e-5);
        }
}

TEST(orthogonal_and_identity) {
    static const char *const nets[] = {"input 40; dense 40 nobias", "input 20; dense 60 nobias",
                                       "input 60; dense 20 nobias",
                                       "input 8 8 4; conv f=16 k=3x3 nobias"};
    static const int64_t sizes[][2] = {
        {40, 40},
        {20, 60},
        {60, 20},
        {36, 16}
    };
    for (int i = 0; i < 4; i++) {
        nn_err err;
        nn_graph *g = net_build(nets[i]);
        float *w = net_alloc(g->slab, sizeof *w);
        g->weights[0].init = (nn_initializer){.kind = NN_INIT_ORTHOGONAL, .a = 1.5};
        CHECK_OK(nn_weights_init(g, 3, w, &err), &err);
        check_orthogonal(sizes[i][0], sizes[i][1], w, 1.5);
        free(w);
        net_free(g);
    }
    float *w = drawn((nn_initializer){.kind = NN_INIT_IDENTITY, .a = 2}, 1);
    for (int i = 0; i < N; i++) CHECK(w[i] == (i / OUT == i % OUT ? 2 : 0));
    free(w);
}

TEST(matrix_initialisers_refuse_vectors) {
    nn_err err;
    nn_graph *g = net_build("input 4; dense 3");
    float w[15];
    g->weights[1].init.kind = NN_INIT_ORTHOGONAL;
    assert_int_equal(nn_weights_init(g, 1, w, &err), NN_E_DSL_ERROR);
    assert_non_null(strstr(err.msg, "n1.bias"));
    g->weights[1].init.kind = NN_INIT_IDENTITY;
    assert_int_equal(nn_weights_init(g, 1, w, &err), NN_E_DSL_ERROR);
    net_free(g);
}

TEST(initialisation_is_deterministic_in_the_seed) {
    nn_initializer plain = {.kind = NN_INIT_HE_NORMAL}, seeded = plain;
    seeded.seeded = true;
    seeded.seed = 9;
    float *a = drawn(plain, 1), *b = drawn(plain, 1), *c = drawn(plain, 2);
    float *d = drawn(seeded, 1), *e = drawn(seeded, 2);
    assert_memory_equal(a, b, N * sizeof *a);
    assert_memory_not_equal(a, c, N * sizeof *a);
    assert_memory_equal(d, e, N * sizeof *a); /* its own seed alone decides */
    assert_memory_not_equal(a, d, N * sizeof *a);
    float *all[] = {a, b, c, d, e};
    for (int i = 0; i < 5; i++) free(all[i]);
}

/* Two weights of one network are different draws. */
TEST(weights_of_a_network_differ) {
    nn_err err;
    nn_graph *g = net_build("input 8; dense 8 nobias; dense 8 nobias");
    float w[128];
    CHECK_OK(nn_weights_init(g, 1, w, &err), &err);
    assert_memory_not_equal(w, w + 64, 64 * sizeof *w);
    net_free(g);
}

/* Gates in Keras's order i f c o: the second quarter is the forget gate's. */
TEST(unit_forget_opens_the_forget_gate) {
    nn_err err;
    nn_graph *g = net_build("input 2; dense 12");
    float w[2 * 12 + 12];
    g->weights[1].init = (nn_initializer){.kind = NN_INIT_UNIT_FORGET};
    CHECK_OK(nn_weights_init(g, 1, w, &err), &err);
    for (int i = 0; i < 12; i++) CHECK(w[24 + i] == (i >= 3 && i < 6 ? 1.0F : 0.0F));
    net_free(g);
    g = net_build("input 2; dense 6");
    g->weights[1].init = (nn_initializer){.kind = NN_INIT_UNIT_FORGET};
    assert_int_equal(nn_weights_init(g, 1, w, &err), NN_E_DSL_ERROR);
    assert_non_null(strstr(err.msg, "its last axis, 6, is not a multiple of 4"));
    net_free(g);
}
