/* SPDX-License-Identifier: MIT */
/* test_random_nets.c - chains and graphs of random ops: what the hand-written grid does not think
 * of, such as orders of ops that an engine fuses, layouts that have to change between them, values
 * that several read and branches that lead nowhere. */
#include "base/rng.h"
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

typedef struct chain {
    nn_rng r;
    char text[1024];
    size_t n;
    int64_t h, w, c; /* of an image; h 0: c values */
} chain;

static int64_t pick(chain *k, int64_t low, int64_t high) {
    return low + (int64_t)nn_rng_below(&k->r, (uint64_t)(high - low + 1));
}

__attribute__((format(printf, 2, 3))) static void put(chain *k, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(k->text + k->n, sizeof k->text - k->n, fmt, ap);
    va_end(ap);
    assert_true(n > 0 && (size_t)n < sizeof k->text - k->n);
    k->n += (size_t)n;
}

static void put_window(chain *k, int64_t kh, int64_t kw) {
    int64_t s = pick(k, 1, 2);
    bool same = pick(k, 0, 1) || kh > k->h || kw > k->w;
    put(k, " k=%dx%d s=%dx%d%s", (int)kh, (int)kw, (int)s, (int)s, same ? " p=same" : "");
    k->h = same ? (k->h + s - 1) / s : (k->h - kh) / s + 1;
    k->w = same ? (k->w + s - 1) / s : (k->w - kw) / s + 1;
}

static void put_conv(chain *k) {
    static const int filters[] = {4, 6, 16, 32, 20};
    int64_t f = filters[pick(k, 0, 4)], groups = k->c % 2 == 0 && pick(k, 0, 3) == 0 ? 2 : 1;
    put(k, "; conv f=%d g=%d%s", (int)f, (int)groups, pick(k, 0, 2) ? "" : " nobias");
    put_window(k, pick(k, 1, 3), pick(k, 1, 3));
    k->c = f;
}

/* Smooth ones, and those whose kinks rounding cannot decide. */
static void put_activation(chain *k) {
    static const char *const names[] = {"relu", "relu", "relu",      "gelu",
                                        "tanh", "silu", "leaky_relu"};
    put(k, "; act %s", names[pick(k, 0, 6)]);
}

static void put_any(chain *k) {
    bool image = k->h > 0;
    switch (pick(k, image ? 0 : 5, 9)) {
    case 0:
    case 1:
        put_conv(k);
        break;
    case 2:
        put(k, "; max_pool");
        put_window(k, pick(k, 2, 3), pick(k, 2, 3));
        break;
    case 3:
        put(k, "; avg_pool");
        put_window(k, 2, pick(k, 2, 3));
        break;
    case 4:
        if (pick(k, 0, 2) == 0) {
            put(k, "; flatten");
            k->c *= k->h * k->w;
            k->h = 0;
        }
        break;
    case 5:
        k->c = pick(k, 0, 1) ? 16 : pick(k, 3, 24);
        put(k, "; dense %d", (int)k->c);
        break;
    case 6:
        put(k, "; dropout 0.%d", (int)pick(k, 1, 5));
        break;
    case 7: /* one a network: behind another one, gradients are nothing but rounding */
        if (!strstr(k->text, "bn")) put(k, "; bn");
        break;
    default:
        put_activation(k);
        break;
    }
}

static void one(uint64_t seed) {
    chain k = {.r = nn_rng_new(seed, 1), .h = 0, .c = 0};
    k.h = pick(&k, 0, 3) ? pick(&k, 4, 8) : 0;
    k.w = pick(&k, 4, 8);
    k.c = pick(&k, 1, 4);
    if (k.h)
        put(&k, "input %d %d %d", (int)k.h, (int)k.w, (int)k.c);
    else
        put(&k, "input %d", (int)k.c);
    for (int64_t ops = pick(&k, 3, 9); ops > 0; ops--) put_any(&k);
    put(&k, "%s; dense 5; softmax", k.h ? "; flatten" : "");
    nn_graph *g = net_build(k.text);
    g->train.loss = NN_LOSS_SPARSE;
    g->train.optimizer = pair_adam();
    /* One row has no variance: what a batch normalisation makes of it is rounding. */
    pair_check_engines(k.text, g, strstr(k.text, "bn") != NULL);
    net_free(g);
}

TEST(random_networks) {
    for (uint64_t seed = 1; seed <= 60; seed++) one(seed);
}

/* ---- graphs ---- */

enum { MOST = 24 };

/* (h, w, c) of each op so far; h 0: a vector of c. */
typedef struct dag {
    chain k; /* text and random numbers */
    int n;
    int64_t h[MOST], w[MOST], c[MOST];
} dag;

/* Enters an op that reads `inputs`, of this size. */
static void enter(dag *d, const char *inputs, int64_t h, int64_t w, int64_t c) {
    put(&d->k, " @%s", inputs);
    d->h[d->n] = h;
    d->w[d->n] = w;
    d->c[d->n++] = c;
}

static bool same_size(const dag *d, int a, int b) {
    return d->h[a] == d->h[b] && d->w[a] == d->w[b] && d->c[a] == d->c[b];
}

/* Another op that `with` may be merged or (joined) concatenated with; -1: none. */
static int partner(dag *d, int with, bool joined) {
    int found = -1;
    for (int i = 0, seen = 0; i < d->n; i++)
        if (joined ? d->h[i] == d->h[with] && d->w[i] == d->w[with] : same_size(d, i, with))
            if (pick(&d->k, 0, seen++) == 0) found = i;
    return found;
}

static void put_merge(dag *d, int at) {
    static const char *const kinds[] = {"add", "add", "multiply", "average", "maximum", "subtract"};
    char inputs[32];
    int other = partner(d, at, false);
    put(&d->k, "; merge %s", kinds[pick(&d->k, 0, 5)]);
    snprintf(inputs, sizeof inputs, "%d,%d", at, other);
    enter(d, inputs, d->h[at], d->w[at], d->c[at]);
}

static void put_concat(dag *d, int at) {
    char inputs[32];
    int other = partner(d, at, true);
    put(&d->k, "; concat %d", d->h[at] ? 2 : 0);
    snprintf(inputs, sizeof inputs, "%d,%d", at, other);
    enter(d, inputs, d->h[at], d->w[at], d->c[at] + d->c[other]);
}

static void put_spatial(dag *d, int at, const char *inputs) {
    chain *k = &d->k;
    k->h = d->h[at], k->w = d->w[at], k->c = d->c[at];
    switch (pick(k, 0, 3)) {
    case 0:
        put(k, "; max_pool");
        put_window(k, pick(k, 1, 2), pick(k, 1, 2));
        break;
    case 1:
        put(k, "; reverse %d", (int)pick(k, 0, 2));
        break;
    case 2:
        put(k, "; transpose 1 0 2");
        k->h = d->w[at], k->w = d->h[at];
        break;
    default:
        put(k, "; conv f=16 k=3x3 p=same");
        k->c = 16;
        break;
    }
    enter(d, inputs, k->h, k->w, k->c);
}

/* What keeps the size. */
static void put_same(dag *d, int at, const char *inputs) {
    static const char *const words[] = {"act relu",
                                        "act relu",
                                        "act gelu",
                                        "act tanh",
                                        "layer_norm",
                                        "group_norm",
                                        "prelu",
                                        "dropout 0.3",
                                        "noise 0.2",
                                        "noise 0.3 dropout",
                                        "activity_reg 0.01 0.02",
                                        "noise 0.2 alpha"};
    int which = (int)pick(&d->k, 0, 11);
    put(&d->k, "; %s", words[which]);
    if (strcmp(words[which], "group_norm") == 0) put(&d->k, " %d", d->c[at] % 2 ? 1 : 2);
    enter(d, inputs, d->h[at], d->w[at], d->c[at]);
}

static void put_dag(dag *d) {
    char inputs[16];
    int at = (int)pick(&d->k, d->n > 4 ? d->n - 4 : 0, d->n - 1);
    snprintf(inputs, sizeof inputs, "%d", at);
    switch (pick(&d->k, 0, 8)) {
    case 0:
    case 1:
        put_merge(d, at);
        break;
    case 2:
        put_concat(d, at);
        break;
    case 3:
        put(&d->k, "; dense 16");
        enter(d, inputs, d->h[at], d->w[at], 16);
        break;
    case 4:
    case 5:
        if (d->h[at]) {
            put_spatial(d, at, inputs);
            break;
        }
        put(&d->k, "; dense 8");
        enter(d, inputs, 0, 0, 8);
        break;
    default:
        put_same(d, at, inputs);
        break;
    }
}

/* The last ops' outputs as scores, added. */
static void one_dag(uint64_t seed) {
    dag d = {.k = {.r = nn_rng_new(seed, 2)}};
    int64_t side = pick(&d.k, 0, 2) ? pick(&d.k, 3, 6) : 0;
    if (side)
        put(&d.k, "input %d %d 16", (int)side, (int)side + 1);
    else
        put(&d.k, "input 16");
    d.h[0] = side, d.w[0] = side ? side + 1 : 0, d.c[0] = 16;
    d.n = 1;
    for (int64_t ops = pick(&d.k, 4, 14); ops > 0; ops--) put_dag(&d);
    int last = d.n - 1, before = d.n - 2;
    put(&d.k, "; %s @%d; dense 5; %s @%d; dense 5; merge add @%d,%d; softmax",
        side ? "flatten" : "act linear", last, side ? "flatten" : "act linear", before, d.n + 1,
        d.n + 3);
    nn_graph *g = net_build(d.k.text);
    g->train.loss = NN_LOSS_SPARSE;
    g->train.optimizer = pair_adam();
    pair_check_engines(d.k.text, g, false);
    net_free(g);
}

TEST(random_graphs) {
    for (uint64_t seed = 1; seed <= 80; seed++) one_dag(seed);
}
