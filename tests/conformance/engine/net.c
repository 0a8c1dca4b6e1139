/* SPDX-License-Identifier: MIT */
#include "net.h"

#include "base/rng.h"
#include "net_words.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* "@1,3": the ops that are its inputs; without it the one before. */
static int take_inputs(char **words, int *n, const nn_graph *g, int *ret) {
    int n_inputs = 0;
    ret[0] = g->n_nodes - 1;
    if (strcmp(words[0], "input") == 0) return 0;
    if (words[*n - 1][0] != '@') return g->n_nodes > 0;
    for (char *s = words[--*n] + 1, *end; *s; s = *end ? end + 1 : end)
        ret[n_inputs++] = (int)strtol(s, &end, 10);
    return n_inputs;
}

static int add(nn_graph *g, char *line) {
    char *words[16], *save = NULL, name[16];
    int n = 0, id = -1, inputs[NN_MAX_INPUTS];
    nn_err err;
    for (char *w = strtok_r(line, " ", &save); w && n < 16; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    snprintf(name, sizeof name, "n%d", g->n_nodes);
    nn_node_spec spec = {
        .op = net_op(words[0]),
        .name = name,
        .layer = words[0],
        .layer_name = name,
        .layer_index = g->n_nodes - 1,
        .span = {.line = g->n_nodes + 1, .col = 1},
        .inputs = inputs,
        .n_inputs = take_inputs(words, &n, g, inputs),
    };
    net_attributes(&spec, words, n, spec.n_inputs ? &g->nodes[inputs[0]].shape : NULL);
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
        at = add(g, line);
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
    int64_t sum = 0;
    for (int i = 0; i < g->n_inputs; i++) sum += nn_shape_elements(&g->nodes[g->inputs[i]].shape);
    return sum;
}

bool net_is_tokens(const nn_graph *g, int input) {
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        int mask = n->op == NN_OP_ATTENTION ? 3 : 1;
        bool masks =
            n->op == NN_OP_ATTENTION || n->op == NN_OP_RNN || n->op == NN_OP_GLOBAL_AVG_POOL;
        if (n->op == NN_OP_EMBEDDING && n->inputs[0] == input) return true;
        if (masks && n->n_inputs > mask && n->inputs[mask] == input) return true;
    }
    return false;
}

int64_t net_out(const nn_graph *g) {
    return nn_shape_elements(&g->nodes[g->outputs[0]].shape);
}

nn_targets net_targets(const nn_graph *g, int64_t rows, uint64_t seed, int32_t *labels,
                       float *values) {
    nn_rng r = nn_rng_new(seed, 78);
    int64_t outputs = net_out(g);
    const nn_shape *out = &g->nodes[g->outputs[0]].shape;
    int64_t last = out->rank ? out->dim[out->rank - 1] : 1;
    for (int64_t i = 0; i < rows * (outputs / last); i++)
        labels[i] = (int32_t)nn_rng_below(&r, (uint64_t)last);
    for (int64_t i = 0; i < rows * outputs; i++) values[i] = (float)nn_rng_unit(&r);
    if (g->train.loss == NN_LOSS_CTC) { /* classes beside the blank 0: half as many as steps */
        int64_t length = (outputs / last + 1) / 2;
        for (int64_t i = 0; i < rows * length; i++)
            values[i] = 1 + (float)nn_rng_below(&r, (uint64_t)last - 1);
        return (nn_targets){.values = values, .length = length};
    }
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
