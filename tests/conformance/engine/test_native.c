/* SPDX-License-Identifier: MIT */
/* What is particular to the native engine; what it computes is compared in test_engines.c. */
#include "base/fault.h"
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const nn_engine *native(void) {
    return nn_engine_find("native");
}

static void check_pieces(const char *text) {
    nn_graph *g = net_build(text);
    g->train.optimizer = pair_adam();
    pair_check_engines(text, g, false);
    net_free(g);
}

/* Images so large that a convolution and its pooling run piece by piece (engine/native/plan.c: four
 * rows at a time here), in batches of whole and of broken pieces. */
TEST(native_convolution_and_pooling_in_pieces) {
    check_pieces("input 260 260 1; conv f=16 k=1x1; act relu; max_pool k=2x2 s=2x2; "
                 "max_pool k=8x8 s=8x8; flatten; dense 2");
    check_pieces("input 200 200 3; conv f=5 k=1x1; act relu; max_pool k=3x2 s=2x2; "
                 "max_pool k=8x8 s=8x8; flatten; dense 2");
    check_pieces("input 200 200 1; conv f=16 k=1x1; conv f=16 k=1x1; max_pool k=2x2 s=2x2; "
                 "max_pool k=8x8 s=8x8; flatten; dense 2");
    check_pieces("input 2 200 200 1; fold; conv f=16 k=1x1; max_pool k=2x2 s=2x2; "
                 "max_pool k=8x8 s=8x8; flatten; unfold 2; flatten; dense 2");
}

/* Winograd rounds differently, and where the library has none the direct algorithm runs: close to
 * the direct one, which test_engines.c compares with the reference. */
TEST(native_winograd_is_close_to_direct) {
    enum { ROWS = 16 };
    nn_graph *g = net_build("input 26 26 32; conv f=64 k=3x3; act relu; conv f=64 k=3x3; "
                            "act relu; max_pool k=2x2 s=2x2; flatten; dense 3");
    float *in = net_alloc(ROWS * net_in(g), sizeof *in), *weights = net_alloc(g->slab, sizeof *in);
    float *out[2], values[3 * ROWS];
    int32_t labels[ROWS];
    g->train.optimizer = pair_adam();
    net_random_f(in, ROWS * net_in(g), 1);
    net_weights(g, 2, weights);
    nn_targets t = net_targets(g, ROWS, 3, labels, values);
    for (int way = 0; way < 2; way++) {
        nn_exec_options o = {.batch = ROWS, .training = true, .threads = 1, .winograd = way};
        nn_exec *x = NULL;
        nn_err err;
        nn_step step;
        out[way] = net_alloc(g->slab, sizeof(float));
        CHECK_OK(native()->open(g, &o, &x, &err), &err);
        native()->set_weights(x, weights);
        native()->get_weights(x, out[way]);
        assert_memory_equal(out[way], weights, (size_t)g->slab * sizeof *weights);
        memcpy(native()->input(x, 0), in, (size_t)(ROWS * net_in(g)) * sizeof *in);
        CHECK_OK(native()->gradients(x, ROWS, &t, out[way], &step, &err), &err);
        CHECK(step.finite);
        native()->close(x);
    }
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        double d = net_distance(out[1] + w->offset, out[0] + w->offset, w->elements, 1e-3);
        if (!(d < 2e-3)) fail_msg("%s differs by %g", w->name, d);
    }
    free(in), free(weights), free(out[0]), free(out[1]);
    net_free(g);
}

/* Without pooling after it, kernels go another way: gradient and update in one pass or in two give
 * the same weights, to rounding. */
TEST(native_deferred_updates_are_updates) {
    nn_graph *g = net_build("input 40; dense 70; act relu; dense 33; act relu; dense 5; softmax");
    g->train.loss = NN_LOSS_SPARSE;
    float *out[2], in[8 * 40];
    net_random_f(in, 8 * 40, 3);
    for (int way = 0; way < 2; way++) {
        g->train.optimizer = pair_adam();
        if (way) g->train.optimizer.clipvalue = 1e30; /* clips nothing, but needs the gradients */
        nn_exec_options o = {.batch = 8, .training = true, .threads = 2};
        nn_exec *x = NULL;
        nn_err err;
        nn_step step;
        int32_t labels[8];
        float values[40];
        nn_targets t = net_targets(g, 8, 5, labels, values);
        out[way] = net_alloc(g->slab, sizeof(float));
        net_weights(g, 4, out[way]);
        CHECK_OK(native()->open(g, &o, &x, &err), &err);
        native()->set_weights(x, out[way]);
        memcpy(native()->input(x, 0), in, sizeof in);
        for (int i = 0; i < 5; i++) CHECK_OK(native()->step(x, 8, &t, &step, &err), &err);
        native()->get_weights(x, out[way]);
        native()->close(x);
    }
    CHECK(net_distance(out[0], out[1], g->slab, 0.1) < 1e-6);
    free(out[0]), free(out[1]);
    net_free(g);
}

/* A gradient too large for a float, with a loss that is one: nothing changes. */
TEST(native_overflowing_gradients_change_nothing) {
    nn_graph *g = net_build("input 2; dense 2");
    g->train.optimizer = pair_adam();
    nn_exec_options o = {.batch = 1, .training = true, .threads = 1};
    nn_exec *x = NULL;
    nn_err err;
    nn_step step;
    float before[8] = {1e-20f, 0, 0, 1e-20f}, after[8], values[2] = {-3e18f, 3e18f};
    nn_targets t = {.values = values};
    CHECK_OK(native()->open(g, &o, &x, &err), &err);
    native()->set_weights(x, before);
    native()->input(x, 0)[0] = 3e38f;
    native()->input(x, 0)[1] = 3e38f;
    CHECK_OK(native()->step(x, 1, &t, &step, &err), &err);
    CHECK(!step.finite);
    assert_int_equal(step.node, 1);
    native()->get_weights(x, after);
    assert_memory_equal(before, after, (size_t)g->slab * sizeof *before);
    native()->close(x);
    net_free(g);
}

/* A batch normalisation goes into the weights before it (engine/native/fold_norm.c): what was set
 * is given back, and may be set again. */
TEST(native_gives_folded_weights_back) {
    static const char *const nets[] = {
        "input 7; dense 9; bn; act relu; dense 4; bn nogamma; dense 3 nobias; bn nobeta",
        "input 7 6 3; conv f=5 k=3x3 nobias; bn; act relu; max_pool k=2x2 s=2x2; conv f=16 k=1x1; bn",
    };
    for (int i = 0; i < 2; i++) {
        nn_graph *g = net_build(nets[i]);
        nn_exec_options o = {.batch = 2, .threads = 1};
        nn_exec *x = NULL;
        nn_err err;
        float *set = net_alloc(g->slab, sizeof *set), *got = net_alloc(g->slab, sizeof *got);
        CHECK_OK(native()->open(g, &o, &x, &err), &err);
        for (uint64_t seed = 1; seed < 4; seed++) {
            net_weights(g, seed, set);
            native()->set_weights(x, set);
            native()->get_weights(x, got);
            assert_memory_equal(set, got, (size_t)g->slab * sizeof *set);
        }
        native()->close(x);
        free(set), free(got);
        net_free(g);
    }
}

TEST(native_refuses_what_it_cannot_plan) {
    nn_graph *g = net_build("input 6 3; dense 4; gap; dense 2");
    nn_exec_options o = {.batch = 4};
    nn_exec *x = NULL;
    nn_err err;
    g->nodes[1].shape.dim[0] = NN_DIM_UNKNOWN;
    assert_int_equal(native()->open(g, &o, &x, &err), NN_E_UNSUPPORTED);
    CHECK(strstr(err.msg, "'n1'") && strstr(err.msg, "(batch, ?, 4)"));
    g->nodes[1].shape.dim[0] = 6;
    o.batch = INT64_MAX / 1000;
    assert_int_equal(native()->open(g, &o, &x, &err), NN_E_LIMIT);
    o.batch = 4;
    CHECK_OK(native()->open(g, &o, &x, &err), &err);
    assert_int_equal(native()->forward(x, 5, &err), NN_E_INTERNAL);
    assert_int_equal(native()->forward(x, 0, &err), NN_E_INTERNAL);
    native()->close(x);
    net_free(g);
}

#ifdef NN_FAULT
TEST(native_survives_every_refused_allocation) {
    nn_graph *g = net_build("input 9 9 1; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; "
                            "dropout 0.5; flatten; dense 4");
    g->train.optimizer = pair_adam();
    nn_exec_options o = {.batch = 4, .training = true, .threads = 1};
    nn_err err;
    long n = 1;
    for (;; n++) {
        nn_exec *x = NULL;
        nn_fault_set(NN_FAULT_ALLOC, n, false);
        nn_status s = native()->open(g, &o, &x, &err);
        bool reached = nn_fault_calls(NN_FAULT_ALLOC) >= n;
        nn_fault_set(NN_FAULT_ALLOC, 0, false);
        if (s == NN_OK) native()->close(x);
        if (!reached) break;
        assert_int_equal(s, NN_E_OUT_OF_MEMORY);
        CHECK(x == NULL);
    }
    CHECK(n > 4);
    net_free(g);
}
#endif

/* Two one-thread executors at once, in threads of their own, each bit for bit as alone. */
typedef struct worker {
    const nn_graph *g;
    const float *in, *weights;
    float *out;
    bool ok;
} worker;

static void *work(void *arg) {
    worker *w = arg;
    nn_exec_options o = {.batch = 3, .threads = 1};
    nn_exec *x = NULL;
    if (native()->open(w->g, &o, &x, NULL)) return NULL;
    native()->set_weights(x, w->weights);
    int64_t in = net_in(w->g), out = net_out(w->g);
    w->ok = true;
    for (int pass = 0; pass < 200; pass++) {
        int64_t rows = 1 + pass % 3;
        memcpy(native()->input(x, 0), w->in, (size_t)(rows * in) * sizeof(float));
        w->ok &= native()->forward(x, rows, NULL) == NN_OK;
        if (pass == 2) memcpy(w->out, native()->output(x, 0), (size_t)(3 * out) * sizeof(float));
        if (pass > 2 && rows == 3)
            w->ok &=
                memcmp(w->out, native()->output(x, 0), (size_t)(rows * out) * sizeof(float)) == 0;
    }
    native()->close(x);
    return NULL;
}

TEST(native_executors_run_side_by_side) {
    nn_graph *g = net_build("input 12 12 1; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; "
                            "flatten; dense 20; act relu; dense 4; softmax");
    float *in = net_alloc(3 * net_in(g), sizeof *in), *weights = net_alloc(g->slab, sizeof *in);
    worker w[3];
    pthread_t t[2];
    net_random_f(in, 3 * net_in(g), 1);
    net_weights(g, 2, weights);
    for (int i = 0; i < 3; i++)
        w[i] = (worker){g, in, weights, net_alloc(3 * net_out(g), sizeof(float)), false};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    work(&w[2]);
    for (int i = 0; i < 3; i++) {
        CHECK(w[i].ok);
        assert_memory_equal(w[i].out, w[2].out, (size_t)(3 * net_out(g)) * sizeof(float));
    }
    for (int i = 0; i < 3; i++) free(w[i].out);
    free(in), free(weights);
    net_free(g);
}
