/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "base/rng.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

program program_compile(const char *text) {
    program p = {.arena = nn_arena_new(NULL, "program", 1 << 28), .text = text};
    nn_source source = {.name = "<test>", .text = text, .size = strlen(text)};
    nn_err err = {0};
    assert_non_null(p.arena);
    nn_diags *diags = nn_diags_new(p.arena, &source);
    assert_non_null(diags);
    nn_status st = nn_compile(p.arena, &source, NULL, diags, &p.unit, &err);
    if (!st) st = nn_unit_runnable(p.unit, &err);
    if (st) fail_msg("%s\n%d:%d: %s", text, err.line, err.col, err.msg);
    p.graph = p.unit->graph;
    return p;
}

void program_done(program *p) {
    nn_arena_free(p->arena);
}

float *program_weights(const program *p, uint64_t seed) {
    const nn_graph *g = p->graph;
    nn_rng r = nn_rng_new(seed, 11);
    float *slab = program_alloc(g->slab, sizeof *slab);
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        bool about_one = strstr(w->name, "moving_variance") || strstr(w->name, "gamma");
        for (int64_t e = 0; e < w->elements; e++)
            slab[w->offset + e] = (float)(nn_rng_unit(&r) - 0.5 + about_one);
    }
    return slab;
}

int64_t program_tokens(const program *p, int input) {
    int64_t below = 0;
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const nn_node *n = &p->graph->nodes[i];
        if (n->op == NN_OP_EMBEDDING && n->inputs[0] == input)
            if (!below || n->attr.embedding.input_dim < below) below = n->attr.embedding.input_dim;
    }
    return below;
}

int64_t program_elements(const program *p, int node) {
    return nn_shape_elements(&p->graph->nodes[node].shape);
}

void *program_alloc(int64_t n, size_t size) {
    void *p = calloc((size_t)n + 1, size);
    assert_non_null(p);
    return p;
}
