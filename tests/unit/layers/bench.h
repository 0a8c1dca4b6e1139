/* SPDX-License-Identifier: MIT */
/* bench.h - a graph on which several layers are built, one inside or behind the other, with what
 * they say: arguments are the defaults of the table and what a test sets by name. */
#ifndef BENCH_H
#define BENCH_H
#include "one_layer.h"

enum { BENCH_ARGS = 64, BENCH_NOTICES = 8 };

typedef struct bench {
    nn_graph *g;
    int in;           /* the input */
    int mask;         /* what build is given */
    int ret_mask;     /* what it left */
    nn_span at;       /* of an error about one argument: line 7 + its index */
    const char *hint; /* of that error, or NULL */
    bool flatten;
    nn_err err;
    int n_notices, n_warnings;
    char notices[BENCH_NOTICES][200];
} bench;

static inline void bench_hear(void *arg, const nn_notice *n) {
    bench *b = arg;
    assert_true(b->n_notices < BENCH_NOTICES);
    b->n_warnings += n->warning;
    snprintf(b->notices[b->n_notices++], sizeof b->notices[0], "%s", n->message);
}

static inline bench bench_new(nn_shape in) {
    bench b = {.g = nn_graph_new(NULL, "test"), .mask = -1};
    b.in = one_input(b.g, "input", in);
    return b;
}

/* A second input, to be the tokens of a mask. */
static inline int bench_tokens(bench *b, int64_t steps) {
    return one_input(b->g, "tokens", SHAPE(steps));
}

static inline void bench_free(bench *b) {
    nn_arena_free(b->g->arena);
}

static inline void bench_defaults(const nn_layer *l, nn_bound *args) {
    assert_true(nn_layer_n_params(l) + NN_COMMON_COUNT <= BENCH_ARGS);
    one_bind(l, NULL, args);
}

/* The argument of that name, marked as given. */
static inline nn_bound *bench_arg(const nn_layer *l, nn_bound *args, const char *name) {
    int i = nn_layer_param(l, name);
    assert_true(i >= 0);
    args[i].set = args[i].given = true;
    args[i].span = (nn_span){.line = 7 + i};
    return &args[i];
}

/* The layer on node `from`, called `name`. */
static inline nn_layer_ctx bench_ctx(bench *b, const nn_layer *l, const nn_bound *args, int *from,
                                     const char *name) {
    b->ret_mask = l->passes_mask ? b->mask : -1;
    b->hint = NULL;
    b->at = (nn_span){0};
    return (nn_layer_ctx){.layer = l,
                          .name = name,
                          .args = args,
                          .graph = b->g,
                          .inputs = from,
                          .n_inputs = 1,
                          .input = *from,
                          .shape = &b->g->nodes[*from].shape,
                          .mask = b->mask,
                          .ret_mask = &b->ret_mask,
                          .ret_at = &b->at,
                          .ret_hint = &b->hint,
                          .ret_flatten = &b->flatten,
                          .notice = bench_hear,
                          .notice_arg = b};
}

static inline nn_status bench_build(bench *b, const nn_layer *l, const nn_bound *args, int from,
                                    const char *name, int *ret) {
    const nn_shape shape = b->g->nodes[from].shape; /* the nodes move as the graph grows */
    nn_layer_ctx c = bench_ctx(b, l, args, &from, name);
    c.shape = &shape;
    return l->build(&c, ret, &b->err);
}

static inline int64_t bench_params(const bench *b) {
    int64_t sum = 0;
    for (int i = 0; i < b->g->n_nodes; i++) sum += nn_node_params(b->g, &b->g->nodes[i], false);
    return sum;
}

static inline const nn_node *bench_node(const bench *b, const char *name) {
    for (int i = 0; i < b->g->n_nodes; i++)
        if (strcmp(b->g->nodes[i].name, name) == 0) return &b->g->nodes[i];
    fail_msg("no node '%s'", name);
    return NULL;
}

#define CHECK_SHAPE(b, id, ...)                                                                    \
    do {                                                                                           \
        const nn_shape want_ = SHAPE(__VA_ARGS__);                                                 \
        char s_[160];                                                                              \
        if (!nn_shape_equal(&(b)->g->nodes[id].shape, &want_))                                     \
            fail_msg("%s:%d: the shape is %s", __FILE__, __LINE__,                                 \
                     nn_shape_print(&(b)->g->nodes[id].shape, false, s_, sizeof s_));              \
    } while (0)
#define CHECK_HAS(text, part)                                                                      \
    do {                                                                                           \
        if (!(text) || !strstr((text), (part)))                                                    \
            fail_msg("%s:%d: '%s' has no '%s'", __FILE__, __LINE__, (text) ? (text) : "(none)",    \
                     part);                                                                        \
    } while (0)
#endif
