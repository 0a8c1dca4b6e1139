/* SPDX-License-Identifier: MIT */
/* reference.c - the reference engine for the tests of generated code.
 *
 *     codegen_reference NET.neural                        its inputs, outputs and weights as JSON
 *     codegen_reference NET.neural W.safetensors ROWS     forward: floats of all rows of the first
 *                                                         input, then of the next, from standard
 *                                                         input; outputs alike to standard output
 */
#include "compile/compile.h"
#include "engine/engine.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const nn_err *err) {
    fprintf(stderr, "%s: %s\n", what, err->msg);
    exit(1);
}

static void put_node(const char *name, const nn_shape *s, bool first) {
    printf("%s[\"%s\", [", first ? "" : ", ", name);
    for (int i = 0; i < s->rank; i++) printf("%s%" PRId64, i ? ", " : "", s->dim[i]);
    printf("]]");
}

/* How many whole numbers an input holds that is looked up in a table; 0: any numbers. */
static int64_t words(const nn_graph *g, int input) {
    int64_t least = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (n->op != NN_OP_EMBEDDING || n->inputs[0] != input) continue;
        int64_t dim = n->attr.embedding.input_dim;
        if (!least || dim < least) least = dim;
    }
    return least;
}

static void describe(const nn_graph *g) {
    printf("{\"inputs\": [");
    for (int i = 0; i < g->n_inputs; i++)
        put_node(g->nodes[g->inputs[i]].name, &g->nodes[g->inputs[i]].shape, i == 0);
    printf("], \"words\": [");
    for (int i = 0; i < g->n_inputs; i++)
        printf("%s%" PRId64, i ? ", " : "", words(g, g->inputs[i]));
    printf("], \"outputs\": [");
    for (int i = 0; i < g->n_outputs; i++)
        put_node(g->nodes[g->outputs[i]].name, &g->nodes[g->outputs[i]].shape, i == 0);
    printf("], \"weights\": [");
    for (int i = 0; i < g->n_weights; i++)
        put_node(g->weights[i].name, &g->weights[i].shape, i == 0);
    printf("], \"ops\": [");
    for (int i = 0; i < g->n_nodes; i++)
        printf("%s\"%s\"", i ? ", " : "", nn_op_name(g->nodes[i].op));
    printf("]}\n");
}

static float *read_weights(const nn_graph *g, const char *path, nn_err *err) {
    nn_safetensors *file = NULL;
    float *slab = calloc((size_t)g->slab + 1, sizeof *slab);
    if (!slab) abort();
    if (nn_safetensors_open(path, &file, err)) fail(path, err);
    for (int i = 0; i < g->n_weights; i++) {
        const nn_tensor *t = nn_safetensors_find(file, g->weights[i].name);
        if (!t || t->bytes != (size_t)g->weights[i].elements * sizeof *slab) abort();
        memcpy(slab + g->weights[i].offset, t->data, t->bytes);
    }
    nn_safetensors_close(file);
    return slab;
}

static void run(const nn_graph *g, const char *path, int64_t rows, nn_err *err) {
    const nn_engine *engine = nn_engine_find("reference");
    nn_exec_options o = {.batch = rows};
    nn_exec *x = NULL;
    float *slab = read_weights(g, path, err);
    if (engine->open(g, &o, &x, err)) fail("open", err);
    engine->set_weights(x, slab);
    for (int i = 0; i < g->n_inputs; i++) {
        size_t n = (size_t)(rows * nn_shape_elements(&g->nodes[g->inputs[i]].shape));
        if (fread(engine->input(x, i), sizeof(float), n, stdin) != n) abort();
    }
    if (engine->forward(x, rows, err)) fail("forward", err);
    for (int i = 0; i < g->n_outputs; i++) {
        size_t n = (size_t)(rows * nn_shape_elements(&g->nodes[g->outputs[i]].shape));
        if (fwrite(engine->output(x, i), sizeof(float), n, stdout) != n) abort();
    }
    engine->close(x);
    free(slab);
}

int main(int argc, char **argv) {
    nn_err err = {0};
    nn_arena *arena = nn_arena_new(NULL, "reference", 0);
    nn_source source;
    nn_unit *unit = NULL;
    if (argc != 2 && argc != 4) return 2;
    if (nn_source_read(arena, argv[1], &source, &err)) fail(argv[1], &err);
    nn_diags *diags = nn_diags_new(arena, &source);
    if (nn_compile(arena, &source, NULL, diags, &unit, &err)) fail(argv[1], &err);
    if (nn_unit_runnable(unit, &err)) fail(argv[1], &err);
    if (argc == 2)
        describe(unit->graph);
    else
        run(unit->graph, argv[2], strtoll(argv[3], NULL, 10), &err);
    nn_arena_free(arena);
    return 0;
}
