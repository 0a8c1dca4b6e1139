/* SPDX-License-Identifier: MIT */
/* hand.h - one layer of any number of inputs built by hand, with its notices: its arguments start
 * at the defaults of its table, a test sets those it is about, builds and compares the graph. */
#ifndef HAND_H
#define HAND_H
#include "one_layer.h"

enum { HAND_ARGS = 48, HAND_INPUTS = 4 };

typedef struct hand {
    nn_layer_ctx c;
    nn_bound args[HAND_ARGS];
    nn_shape shape;
    int inputs[HAND_INPUTS], out, out_mask;
    nn_span at;
    const char *hint;
    bool flatten;
    int notices;
    nn_notice notice; /* the last one; its texts in the two below */
    char message[300], notice_hint[300];
    nn_err err;
} hand;

static inline void hand_hear(void *arg, const nn_notice *n) {
    hand *h = arg;
    h->notices++;
    h->notice = *n;
    snprintf(h->message, sizeof h->message, "%s", n->message);
    snprintf(h->notice_hint, sizeof h->notice_hint, "%s", n->hint ? n->hint : "");
}

/* Readies `l` on the inputs of the shapes given; the graph stands alone. */
static inline void hand_layer(hand *h, const nn_layer *l, int n, const nn_shape *shapes) {
    *h = (hand){.shape = shapes[0], .out = -7, .out_mask = -1};
    nn_graph *g = nn_graph_new(NULL, "g");
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        h->inputs[i] = one_input(g, name, shapes[i]);
    }
    int params = nn_layer_n_params(l) + NN_COMMON_COUNT;
    for (int i = 0; i < params; i++) h->args[i] = one_default(nn_layer_param_at(l, i));
    h->c = (nn_layer_ctx){.layer = l,
                          .name = "x",
                          .args = h->args,
                          .graph = g,
                          .inputs = h->inputs,
                          .n_inputs = n,
                          .input = h->inputs[0],
                          .shape = &h->shape,
                          .mask = -1,
                          .ret_mask = &h->out_mask,
                          .ret_at = &h->at,
                          .ret_hint = &h->hint,
                          .ret_flatten = &h->flatten,
                          .notice = hand_hear,
                          .notice_arg = h};
}

static inline nn_bound *hand_arg(hand *h, const char *name) {
    int i = nn_layer_param(h->c.layer, name);
    CHECK(i >= 0);
    h->args[i].set = h->args[i].given = true;
    h->args[i].span.line = 1 + i;
    return &h->args[i];
}

static inline void hand_ints(hand *h, const char *name, int n, const int64_t *v) {
    nn_bound *b = hand_arg(h, name);
    b->shape = (nn_shape){.rank = n};
    memcpy(b->shape.dim, v, (size_t)n * sizeof *v);
}
#define HAND_INTS(h, name, ...)                                                                    \
    hand_ints((h), (name), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),              \
              (const int64_t[]){__VA_ARGS__})

static inline nn_status hand_build(hand *h) {
    return h->c.layer->build(&h->c, &h->out, &h->err);
}

static inline void hand_done(hand *h) {
    nn_arena_free(h->c.graph->arena);
}

/* Builds, and checks that the result is `graph` (of nn_graph_print, without the lines of the title
 * and the inputs, cut at the last). */
static inline void hand_gives(hand *h, const char *graph) {
    CHECK_OK(hand_build(h), &h->err);
    NN_BUF text = {0};
    nn_graph_print(h->c.graph, &text);
    const char *p = nn_buf_str(&text);
    for (int i = 0; i <= h->c.n_inputs; i++) p = strchr(p, '\n') + 1;
    assert_string_equal(p, graph);
    assert_int_equal(h->out, h->c.graph->n_nodes - 1);
    hand_done(h);
}

/* Builds, and checks that it fails with exactly this message, about the argument named (NULL: about
 * none), leaving the result untouched. */
static inline void hand_fails(hand *h, nn_status want, const char *about, const char *message) {
    assert_int_equal(hand_build(h), want);
    assert_string_equal(h->err.msg, message);
    assert_int_equal(h->at.line, about ? 1 + nn_layer_param(h->c.layer, about) : 0);
    assert_int_equal(h->out, -7);
    hand_done(h);
}
#define HAND(h, symbol, ...)                                                                       \
    hand_layer((h), nn_layer_find(symbol),                                                         \
               (int)(sizeof((nn_shape[]){__VA_ARGS__}) / sizeof(nn_shape)),                        \
               (const nn_shape[]){__VA_ARGS__})
#endif
