/* SPDX-License-Identifier: MIT */
/* test_random_nets.c - chains of random ops: what the hand-written grid does not think of, such as
 * orders of ops that an engine fuses, and layouts that have to change between them. */
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
