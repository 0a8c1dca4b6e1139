/* SPDX-License-Identifier: MIT */
/* Looking at a step: what engines show of it is what the reference engine computes, everything that
 * was done is told, and the step is the same as one that nobody looks at. Profiles: what they
 * count against graph/cost.c. */
#include "engine/profile.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6 };
static const char *const nets[] = {
    "input 12; dense 16; act relu; dropout 0.25; dense 5; softmax",
    "input 8 8 3; conv f=8 k=3x3; act relu; max_pool k=2x2 s=2x2; flatten; dense 4; softmax",
    ("input 8 8 3; conv f=8 k=3x3 p=same; bn; act relu; conv f=8 k=3x3 p=same; merge add @1,4; gap; "
     "dense 4; softmax"),
    "input 5 6; lstm 7; dense 4; softmax",
};

typedef struct sight {
    float *value[64], *gradient[64];
    int64_t n[64];
    int passes[NN_PHASE_COUNT];
    bool worked[64]; /* by node */
    const nn_graph *graph;
} sight;

static void see(void *ctx, int node, bool gradient, const float *v, int64_t n) {
    sight *s = ctx;
    float **to = gradient ? &s->gradient[node] : &s->value[node];
    CHECK(!*to && n > 0);
    *to = net_alloc(n, sizeof **to);
    memcpy(*to, v, (size_t)n * sizeof **to);
    s->n[node] = n;
}

static void hear(void *ctx, const nn_work *w) {
    sight *s = ctx;
    s->passes[w->pass]++;
    CHECK(w->seconds >= 0 && w->bytes >= 0 && *w->kind && w->last >= w->node);
    for (int i = w->node; i >= 0 && i <= w->last; i++) s->worked[i] = true;
}

static void forget(sight *s) {
    for (int i = 0; i < 64; i++) free(s->value[i]), free(s->gradient[i]);
}

/* One step; the weights after it. */
static sight look(const nn_engine *e, const nn_graph *g, bool watched, float *after) {
    nn_exec *x;
    nn_err err;
    nn_step step;
    sight s = {.graph = g};
    int32_t labels[ROWS];
    float *values = net_alloc(ROWS * net_out(g), sizeof *values);
    nn_exec_options o = {.batch = ROWS, .training = true, .threads = 1, .seed = 5};
    nn_observer see_all = {&s, hear, see};
    CHECK_OK(e->open(g, &o, &x, &err), &err);
    net_weights(g, 3, after);
    e->set_weights(x, after);
    net_random_f(e->input(x, 0), ROWS * net_in(g), 9);
    nn_targets t = net_targets(g, ROWS, 4, labels, values);
    t.values = NULL;
    if (watched)
        CHECK_OK(e->observe(x, ROWS, &t, &see_all, &step, &err), &err);
    else
        CHECK_OK(e->step(x, ROWS, &t, &step, &err), &err);
    CHECK(step.finite);
    e->get_weights(x, after);
    e->close(x);
    free(values);
    return s;
}

/* A fused relu's gradient may lack what its mask takes away anyway. */
static void mask(const sight *s, int node, float *gradient) {
    const nn_node *n = &s->graph->nodes[node];
    for (int64_t i = 0; n->op == NN_OP_ACTIVATION && i < s->n[node]; i++)
        if (s->value[node][i] == 0) gradient[i] = 0;
}

static void compare(const char *net, const sight *got, sight *want) {
    int values = 0, gradients = 0;
    for (int i = 0; i < want->graph->n_nodes; i++) {
        if (got->value[i]) {
            CHECK(got->n[i] == want->n[i]);
            double d = net_distance(got->value[i], want->value[i], want->n[i], 1e-6);
            if (!(d < 1e-4)) fail_msg("%s: value of node %d is off by %g", net, i, d);
            values++;
        }
        if (!got->gradient[i] || !want->gradient[i]) continue;
        mask(want, i, got->gradient[i]);
        mask(want, i, want->gradient[i]);
        double d = net_distance(got->gradient[i], want->gradient[i], want->n[i], 1e-6);
        if (!(d < 1e-3)) fail_msg("%s: gradient of node %d is off by %g", net, i, d);
        gradients++;
    }
    CHECK(values >= 2 && gradients >= 2);
}

TEST(what_is_seen_is_what_is_computed) {
    const nn_engine *reference = nn_engine_find("reference");
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        nn_graph *g = net_build(nets[k]);
        g->train.loss = NN_LOSS_SPARSE;
        float *a = net_alloc(g->slab, sizeof *a), *b = net_alloc(g->slab, sizeof *b);
        sight want = look(reference, g, true, a);
        for (int i = 0; i < g->n_nodes; i++) CHECK(want.value[i] && want.worked[i]);
        for (unsigned i = 0; nn_engine_at(i); i++) {
            const nn_engine *e = nn_engine_at(i);
            if (e->check(g, true, NULL) != NN_OK) continue;
            sight got = look(e, g, true, a), unseen = look(e, g, false, b);
            CHECK(memcmp(a, b, (size_t)g->slab * sizeof *a) == 0);
            for (int p = 0; p < NN_PHASE_COUNT; p++) CHECK(got.passes[p] > 0);
            compare(nets[k], &got, &want);
            forget(&got);
            forget(&unseen);
        }
        forget(&want);
        free(a);
        free(b);
        net_free(g);
    }
}

/* ---- profiles ---- */

static nn_profile profile(const nn_graph *g, const nn_engine *e, bool training) {
    nn_err err;
    nn_profile p;
    float *x = net_alloc(ROWS * net_in(g), sizeof *x);
    const float *inputs[] = {x};
    net_random_f(x, ROWS * net_in(g), 9);
    nn_profile_options o = {.engine = e,
                            .inputs = inputs,
                            .rows = ROWS,
                            .threads = 1,
                            .training = training,
                            .runs = 3,
                            .seed = 1};
    CHECK_OK(nn_profile_run(g, &o, &p, &err), &err);
    free(x);
    return p;
}

/* input 12; dense 16: 2 * 12 * 16, its input wants no gradient; dense 5: 2 * 16 * 5. */
TEST(profiles_count_every_product) {
    nn_graph *g = net_build(nets[0]);
    g->train.loss = NN_LOSS_SPARSE;
    for (unsigned i = 0; nn_engine_at(i); i++) {
        nn_profile p = profile(g, nn_engine_at(i), false);
        assert_true(p.flops == ROWS * (2 * 12 * 16 + 2 * 16 * 5));
        CHECK(p.n > 0 && p.whole > 0 && p.sum > 0);
        nn_profile_done(&p);
        p = profile(g, nn_engine_at(i), true);
        assert_true(p.flops == ROWS * (2 * 2 * 12 * 16 + 3 * 2 * 16 * 5));
        nn_profile_done(&p);
    }
    net_free(g);
}

TEST(profiles_name_what_is_fused) {
    nn_graph *g = net_build(nets[1]);
    NN_BUF name = {0};
    nn_profile p = profile(g, nn_engine_find("native"), false);
    int at = 0;
    while (at < p.n && p.rows[at].node != 1) at++;
    CHECK(at < p.n);
    assert_true(p.rows[at].last >= 2); /* the relu at least is part of the convolution */
    nn_profile_name(g, &p.rows[at], &name);
    assert_non_null(strstr(nn_buf_str(&name), "n1 + n2"));
    nn_profile_done(&p);
    net_free(g);
}
