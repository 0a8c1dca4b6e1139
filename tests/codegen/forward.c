/* SPDX-License-Identifier: MIT */
/* forward.c - for tests: what an engine computes, apart from every code generator and reader.
 *
 *     forward model NET.neural SEED OUT.safetensors   a model with weights drawn around its initial
 *                                                     ones, so that none is 0 or 1 by chance
 *     forward fill NET.neural WEIGHTS.safetensors OUT.safetensors
 *                                                     a model with the weights of any such file
 *     forward shapes NET.neural | MODEL               inputs, outputs, weights and ops as JSON
 *     forward run MODEL ENGINE ROWS IN... OUT...      raw floats, a file an input and an output */
#include "compile/compile.h"
#include "engine/engine.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_status compile(nn_arena *arena, const char *path, nn_unit **ret, nn_err *err) {
    nn_source *src = NN_NEW(arena, nn_source);
    nn_status s = nn_source_read(arena, path, src, err);
    nn_diags *diags = nn_diags_new(arena, src);
    if (!s) s = nn_compile(arena, src, NULL, diags, ret, err);
    return s ? s : nn_unit_runnable(*ret, err);
}

/* A graph of its own arena, since a model takes it over. */
static nn_status copy_graph(const nn_graph *g, nn_graph **ret, nn_err *err) {
    nn_json *v = nn_graph_json(g);
    nn_status s = nn_graph_read(v, NULL, ret, err);
    nn_json_unref(v);
    return s;
}

static void disturb(const nn_graph *g, float *slab, uint64_t seed) {
    srand48((long)seed);
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        bool variance = strstr(w->name, "moving_variance") != NULL;
        for (int64_t k = 0; k < w->elements; k++) {
            double by = variance ? drand48() : 0.4 * (drand48() - 0.5);
            slab[w->offset + k] += (float)by;
        }
    }
}

/* A model of the program at path, all weights 0. */
static nn_status new_model(const char *path, nn_model **ret, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "forward", (size_t)1 << 30);
    nn_unit *u;
    nn_graph *g;
    nn_status s = compile(arena, path, &u, err);
    if (!s) s = copy_graph(u->graph, &g, err);
    return s ? s : nn_model_new(g, ret, err);
}

static nn_status make_model(char **argv, nn_err *err) {
    NN_AUTO(nn_model) *m = NULL;
    uint64_t seed = strtoull(argv[3], NULL, 10);
    nn_status s = new_model(argv[2], &m, err);
    if (!s) s = nn_weights_init(m->graph, seed, m->weights, err);
    if (s) return s;
    disturb(m->graph, m->weights, seed);
    return nn_model_save(m, argv[4], err);
}

static nn_status take_weights(nn_model *m, const nn_safetensors *file, nn_err *err) {
    for (int i = 0; i < m->graph->n_weights; i++) {
        const nn_weight *w = &m->graph->weights[i];
        const nn_tensor *t = nn_safetensors_find(file, w->name);
        if (!t || t->bytes != (size_t)w->elements * sizeof(float))
            return nn_fail(err, NN_E_USAGE, "no weight %s, or of another size", w->name);
        memcpy(m->weights + w->offset, t->data, t->bytes);
    }
    return NN_OK;
}

static nn_status fill_model(char **argv, nn_err *err) {
    NN_AUTO(nn_model) *m = NULL;
    nn_safetensors *file = NULL;
    nn_status s = new_model(argv[2], &m, err);
    if (!s) s = nn_safetensors_open(argv[3], &file, err);
    if (!s) s = take_weights(m, file, err);
    if (file) nn_safetensors_close(file);
    return s ? s : nn_model_save(m, argv[4], err);
}

/* tokens[id]: the values of that node are whole numbers below it, since they are looked up or mask
 * something; 0: any number. */
static void find_tokens(const nn_graph *g, int64_t *tokens) {
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const nn_node *n = &g->nodes[i];
        bool last = (n->op == NN_OP_RNN && n->n_inputs == 2) ||
                    (n->op == NN_OP_GLOBAL_AVG_POOL && n->n_inputs == 2) ||
                    (n->op == NN_OP_ATTENTION && n->n_inputs == 4);
        if (last && !tokens[n->inputs[n->n_inputs - 1]]) tokens[n->inputs[n->n_inputs - 1]] = 3;
        if (n->op == NN_OP_EMBEDDING)
            tokens[n->inputs[0]] = n->attr.embedding.input_dim;
        else if (n->n_inputs == 1 && tokens[i])
            tokens[n->inputs[0]] = tokens[i];
    }
}

static void put_shapes(const nn_graph *g, const char *key, const int *ids, int n) {
    int64_t *tokens = calloc((size_t)g->n_nodes, sizeof *tokens);
    find_tokens(g, tokens);
    printf("\"%s\": [", key);
    for (int i = 0; i < n; i++) {
        const nn_node *node = &g->nodes[ids[i]];
        printf("%s{\"name\": \"%s\", \"shape\": [", i ? ", " : "", node->name);
        for (int a = 0; a < node->shape.rank; a++)
            printf("%s%" PRId64, a ? ", " : "", node->shape.dim[a]);
        printf("], \"tokens\": %" PRId64 "}", tokens[ids[i]]);
    }
    printf("]");
    free(tokens);
}

static void put_weights(const nn_graph *g) {
    printf("\"weights\": [");
    for (int i = 0; i < g->n_weights; i++) {
        printf("%s{\"name\": \"%s\", \"shape\": [", i ? ", " : "", g->weights[i].name);
        for (int a = 0; a < g->weights[i].shape.rank; a++)
            printf("%s%" PRId64, a ? ", " : "", g->weights[i].shape.dim[a]);
        printf("]}");
    }
    printf("]");
}

static void put_ops(const nn_graph *g) {
    bool ops[NN_OP_COUNT] = {false};
    for (int i = 0; i < g->n_nodes; i++) ops[g->nodes[i].op] = true;
    printf("\"ops\": [\"input\"");
    for (int i = NN_OP_INPUT + 1; i < NN_OP_COUNT; i++)
        if (ops[i]) printf(", \"%s\"", nn_op_name((nn_op)i));
    printf("]");
}

static nn_status print_shapes(char **argv, nn_err *err) {
    NN_AUTO(nn_model) *m = NULL;
    const char *end = strrchr(argv[2], '.');
    bool program = end && strcmp(end, ".neural") == 0;
    nn_status s = (program ? new_model : nn_model_load)(argv[2], &m, err);
    if (s) return s;
    printf("{");
    put_shapes(m->graph, "inputs", m->graph->inputs, m->graph->n_inputs);
    printf(", ");
    put_shapes(m->graph, "outputs", m->graph->outputs, m->graph->n_outputs);
    printf(", ");
    put_weights(m->graph);
    printf(", ");
    put_ops(m->graph);
    printf("}\n");
    return NN_OK;
}

static nn_status copy_file(const char *path, void *p, size_t n, bool in, nn_err *err) {
    FILE *f = fopen(path, in ? "rb" : "wb");
    size_t done = f ? (in ? fread(p, 1, n, f) : fwrite(p, 1, n, f)) : 0;
    if (f) fclose(f);
    return done == n ? NN_OK : nn_fail(err, NN_E_STORAGE_ERROR, "%s: %zu of %zu", path, done, n);
}

static size_t bytes_of(const nn_graph *g, int id, int64_t rows) {
    return (size_t)(nn_shape_elements(&g->nodes[id].shape) * rows) * sizeof(float);
}

static nn_status run(char **argv, nn_err *err) {
    NN_AUTO(nn_model) *m = NULL;
    nn_exec *x = NULL;
    const nn_engine *engine = nn_engine_find(argv[3]);
    int64_t rows = strtoll(argv[4], NULL, 10);
    nn_exec_options o = {.batch = rows};
    nn_status s = nn_model_load(argv[2], &m, err);
    if (!s) s = engine->open(m->graph, &o, &x, err);
    if (s) return s;
    const nn_graph *g = m->graph;
    char **file = argv + 5;
    engine->set_weights(x, m->weights);
    for (int i = 0; !s && i < g->n_inputs; i++)
        s = copy_file(*file++, engine->input(x, i), bytes_of(g, g->inputs[i], rows), true, err);
    if (!s) s = engine->forward(x, rows, err);
    for (int i = 0; !s && i < g->n_outputs; i++)
        s = copy_file(*file++, (void *)(uintptr_t)engine->output(x, i),
                      bytes_of(g, g->outputs[i], rows), false, err);
    nn_exec_closep(&x);
    return s;
}

int main(int argc, char **argv) {
    nn_err err = {0};
    nn_status s = NN_E_USAGE;
    if (argc == 5 && strcmp(argv[1], "model") == 0) s = make_model(argv, &err);
    if (argc == 5 && strcmp(argv[1], "fill") == 0) s = fill_model(argv, &err);
    if (argc == 3 && strcmp(argv[1], "shapes") == 0) s = print_shapes(argv, &err);
    if (argc > 5 && strcmp(argv[1], "run") == 0) s = run(argv, &err);
    if (s) fprintf(stderr, "forward: %s\n", err.msg);
    return s != NN_OK;
}
