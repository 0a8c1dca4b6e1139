/* SPDX-License-Identifier: MIT */
#include "net.h"

#include "base/rng.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int dims(const char *s, int64_t *ret) {
    int n = 0;
    for (char *end; *s; s = *end ? end + 1 : end, n++) ret[n] = strtoll(s, &end, 10);
    return n;
}

/* The value of option "k=" among the words; NULL if it is not there. */
static const char *option(char **words, int n, const char *key) {
    size_t len = strlen(key);
    for (int i = 1; i < n; i++)
        if (strncmp(words[i], key, len) == 0 && words[i][len] == '=') return words[i] + len + 1;
    return NULL;
}

static bool has(char **words, int n, const char *word) {
    for (int i = 1; i < n; i++)
        if (strcmp(words[i], word) == 0) return true;
    return false;
}

static void pads(const char *s, nn_window *w) {
    for (int i = 0; i < w->spatial; i++) {
        char *end;
        w->pad_before[i] = strtoll(s, &end, 10);
        w->pad_after[i] = *end == ':' ? strtoll(end + 1, &end, 10) : w->pad_before[i];
        s = *end ? end + 1 : end;
    }
}

static nn_window window(char **words, int n) {
    nn_window w = {0};
    w.spatial = dims(option(words, n, "k"), w.size);
    for (int i = 0; i < w.spatial; i++) w.stride[i] = w.dilation[i] = 1;
    const char *s = option(words, n, "s"), *d = option(words, n, "d"), *p = option(words, n, "p");
    if (s) dims(s, w.stride);
    if (d) dims(d, w.dilation);
    if (p && strcmp(p, "same") == 0)
        w.same = true;
    else if (p)
        pads(p, &w);
    return w;
}

static nn_shape shape_of(char **words, int n) {
    nn_shape s = {.rank = n - 1};
    for (int i = 1; i < n; i++) s.dim[i - 1] = strtoll(words[i], NULL, 10);
    return s;
}

static nn_op op_of(const char *word) {
    if (strcmp(word, "dense") == 0) return NN_OP_MATMUL;
    if (strcmp(word, "gap") == 0) return NN_OP_GLOBAL_AVG_POOL;
    if (strcmp(word, "bn") == 0) return NN_OP_BATCH_NORM;
    if (strcmp(word, "act") == 0) return NN_OP_ACTIVATION;
    if (strcmp(word, "log_softmax") == 0) return NN_OP_SOFTMAX;
    if (strcmp(word, "flatten") == 0) return NN_OP_RESHAPE;
    int op = nn_op_find(word);
    if (op < 0) fail_msg("no op '%s'", word);
    return (nn_op)op;
}

static void fill_attr(nn_node_spec *spec, char **words, int n, const nn_shape *in) {
    nn_attr *a = &spec->attr;
    switch (spec->op) {
    case NN_OP_INPUT:
        spec->shape = shape_of(words, n);
        break;
    case NN_OP_MATMUL:
        a->matmul.units = strtoll(words[1], NULL, 10);
        a->matmul.bias = !has(words, n, "nobias");
        break;
    case NN_OP_CONV:
        a->conv.window = window(words, n);
        a->conv.filters = strtoll(option(words, n, "f"), NULL, 10);
        a->conv.groups = option(words, n, "g") ? strtoll(option(words, n, "g"), NULL, 10) : 1;
        a->conv.bias = !has(words, n, "nobias");
        break;
    case NN_OP_MAX_POOL:
    case NN_OP_AVG_POOL:
        a->pool = window(words, n);
        break;
    case NN_OP_GLOBAL_AVG_POOL:
        a->global_pool.keepdims = has(words, n, "keepdims");
        break;
    case NN_OP_BATCH_NORM:
        a->batch_norm.momentum = 0.9;
        a->batch_norm.epsilon = 1e-3;
        a->batch_norm.center = !has(words, n, "nobeta");
        a->batch_norm.scale = !has(words, n, "nogamma");
        break;
    case NN_OP_ACTIVATION:
        a->activation.kind = (nn_act)nn_act_find(words[1]);
        a->activation.alpha = option(words, n, "a") ? atof(option(words, n, "a"))
                                                    : nn_act_default_alpha(a->activation.kind);
        break;
    case NN_OP_SOFTMAX:
        a->softmax.log = words[0][0] == 'l';
        break;
    case NN_OP_DROPOUT:
        a->dropout.rate = atof(words[1]);
        if (option(words, n, "noise"))
            a->dropout.noise_shape.rank =
                dims(option(words, n, "noise"), a->dropout.noise_shape.dim);
        break;
    case NN_OP_RESHAPE:
        a->reshape.flatten = words[0][0] == 'f';
        spec->shape = a->reshape.flatten ? (nn_shape){.rank = 1, .dim = {nn_shape_elements(in)}}
                                         : shape_of(words, n);
        break;
    case NN_OP_TRANSPOSE:
        for (int i = 1; i < n; i++) a->transpose.perm[i - 1] = (int)strtol(words[i], NULL, 10);
        break;
    default:
        fail_msg("net.c has no words for %s", words[0]);
    }
}

static void add_weights(nn_graph *g, int id) {
    nn_shape shape;
    nn_err err;
    const char *suffix;
    for (int k = 0; (suffix = nn_node_weight_rule(g, &g->nodes[id], k, &shape)); k++) {
        int64_t out = shape.dim[shape.rank - 1], elements = nn_shape_elements(&shape);
        nn_weight w = {.shape = shape,
                       .init = {.kind = NN_INIT_GLOROT_UNIFORM},
                       .fan_in = elements / out,
                       .fan_out = elements / (shape.rank > 1 ? shape.dim[shape.rank - 2] : 1),
                       .trainable = strncmp(suffix, "moving", 6) != 0};
        if (strcmp(suffix, "bias") == 0 || strcmp(suffix, "beta") == 0 ||
            strcmp(suffix, "moving_mean") == 0)
            w.init.kind = NN_INIT_ZEROS;
        if (strcmp(suffix, "gamma") == 0 || strcmp(suffix, "moving_variance") == 0)
            w.init.kind = NN_INIT_ONES;
        CHECK_OK(nn_graph_add_weight(g, id, suffix, &w, &err), &err);
    }
}

static int add(nn_graph *g, char *line, int input) {
    char *words[16], *save = NULL, name[16];
    int n = 0, id = -1;
    nn_err err;
    for (char *w = strtok_r(line, " ", &save); w && n < 16; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    snprintf(name, sizeof name, "n%d", g->n_nodes);
    nn_node_spec spec = {
        .op = op_of(words[0]),
        .name = name,
        .layer = words[0],
        .layer_name = name,
        .layer_index = g->n_nodes - 1,
        .span = {.line = g->n_nodes + 1, .col = 1},
        .inputs = &input,
        .n_inputs = input >= 0,
    };
    fill_attr(&spec, words, n, input >= 0 ? &g->nodes[input].shape : NULL);
    CHECK_OK(nn_graph_add(g, &spec, &id, &err), &err);
    add_weights(g, id);
    return id;
}

nn_graph *net_build(const char *text) {
    nn_graph *g = nn_graph_new(NULL, "net");
    char *copy = strdup(text), *save = NULL;
    int at = -1;
    nn_err err;
    assert_non_null(g);
    assert_non_null(copy);
    for (char *line = strtok_r(copy, ";", &save); line; line = strtok_r(NULL, ";", &save))
        at = add(g, line, at);
    free(copy);
    CHECK_OK(nn_graph_add_output(g, at, &err), &err);
    CHECK_OK(nn_graph_check(g, &err), &err);
    g->train.loss = NN_LOSS_MSE;
    return g;
}

void net_free(nn_graph *g) {
    nn_arena_free(g->arena);
}

void net_random(double *p, int64_t n, uint64_t seed) {
    nn_rng r = nn_rng_new(seed, 77);
    for (int64_t i = 0; i < n; i++) p[i] = 2 * nn_rng_unit(&r) - 1;
}

void net_random_f(float *p, int64_t n, uint64_t seed) {
    nn_rng r = nn_rng_new(seed, 77);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(2 * nn_rng_unit(&r) - 1);
}

void net_weights(const nn_graph *g, uint64_t seed, float *slab) {
    net_random_f(slab, g->slab, seed);
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        bool variance = strstr(w->name, "moving_variance") != NULL;
        bool gamma = strstr(w->name, "gamma") != NULL;
        for (float *p = slab + w->offset, *end = p + w->elements; p < end; p++)
            *p = variance || gamma ? 1 + *p / 2 : *p / 2;
    }
}

int64_t net_in(const nn_graph *g) {
    return nn_shape_elements(&g->nodes[g->inputs[0]].shape);
}

int64_t net_out(const nn_graph *g) {
    return nn_shape_elements(&g->nodes[g->outputs[0]].shape);
}

nn_targets net_targets(const nn_graph *g, int64_t rows, uint64_t seed, int32_t *labels,
                       float *values) {
    nn_rng r = nn_rng_new(seed, 78);
    int64_t outputs = net_out(g);
    for (int64_t i = 0; i < rows; i++) labels[i] = (int32_t)nn_rng_below(&r, (uint64_t)outputs);
    for (int64_t i = 0; i < rows * outputs; i++) values[i] = (float)nn_rng_unit(&r);
    bool classes = nn_loss_targets(g->train.loss) == NN_TARGET_CLASS;
    return (nn_targets){.labels = classes ? labels : NULL, .values = classes ? NULL : values};
}

double net_distance(const float *a, const float *b, int64_t n, double floor) {
    double most = 0, largest = floor;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) most = d; /* a NaN stays */
        if (fabs(b[i]) > largest) largest = fabs(b[i]);
    }
    return most / largest;
}

void *net_alloc(int64_t n, size_t size) {
    void *p = calloc((size_t)n + 1, size);
    assert_non_null(p);
    return p;
}
