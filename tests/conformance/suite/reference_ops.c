/* SPDX-License-Identifier: MIT */
/* reference_ops.c - the reference engine over programs of the language.
 *
 * `reference_dump` is our side of tests/conformance/test_torch_reference.py: for each program
 * NAME.neural in the folder $NN_REFERENCE_CASES it reads NAME.in, the floats of ROWS rows of each
 * input after the other, and writes NAME.safetensors: the weights under their names, outputs as
 * "out.<i>"; and `ops`, the names of all ops that were run. Skipped without the folder. */
#include "base/file.h"
#include "engine/reference/reference.h"
#include "model/model.h"
#include "program.h"
#include "t.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, MAX_TENSORS = 256 };

/* ---- dump ---- */

typedef struct dump {
    nn_tensor tensors[MAX_TENSORS];
    char names[8][16];
    int n;
} dump;

static void put(dump *d, const char *name, nn_shape shape, const float *data) {
    assert_true(d->n < MAX_TENSORS);
    size_t bytes = (size_t)nn_shape_elements(&shape) * sizeof *data;
    d->tensors[d->n++] =
        (nn_tensor){.name = name, .dtype = "F32", .shape = shape, .data = data, .bytes = bytes};
}

static nn_shape batched(const nn_shape *s) {
    nn_shape b = {.rank = s->rank + 1, .dim = {ROWS}};
    memcpy(b.dim + 1, s->dim, (size_t)s->rank * sizeof *s->dim);
    return b;
}

static void read_inputs(const program *p, nn_exec *x, const char *stem) {
    char path[512];
    nn_err err;
    NN_BUF raw = {0};
    size_t at = 0;
    snprintf(path, sizeof path, "%s.in", stem);
    CHECK_OK(nn_file_read(path, 1 << 26, &raw, &err), &err);
    for (int i = 0; i < p->graph->n_inputs; i++) {
        size_t bytes = (size_t)(ROWS * program_elements(p, p->graph->inputs[i])) * sizeof(float);
        assert_true(at + bytes <= raw.n);
        memcpy(x->engine->input(x, i), raw.p + at, bytes);
        at += bytes;
    }
    if (at != raw.n) fail_msg("%s has %zu bytes, not %zu", path, raw.n, at);
}

static void dump_outputs(const program *p, nn_exec *x, const float *weights, const char *stem) {
    const nn_graph *g = p->graph;
    dump *d = program_alloc(1, sizeof *d);
    char path[512], sha256[65];
    nn_err err;
    for (int i = 0; i < g->n_weights; i++)
        put(d, g->weights[i].name, g->weights[i].shape, weights + g->weights[i].offset);
    for (int i = 0; i < g->n_outputs; i++) {
        snprintf(d->names[i], sizeof d->names[i], "out.%d", i);
        put(d, d->names[i], batched(&g->nodes[g->outputs[i]].shape), x->engine->output(x, i));
    }
    snprintf(path, sizeof path, "%s.safetensors", stem);
    CHECK_OK(nn_safetensors_write(path, d->tensors, d->n, NULL, sha256, &err), &err);
    free(d);
}

static void run_case(const char *path, bool *ops) {
    char stem[512];
    nn_err err;
    NN_BUF text = {0};
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(path) - strlen(".neural")), path);
    CHECK_OK(nn_file_read(path, 1 << 20, &text, &err), &err);
    program p = program_compile(nn_buf_str(&text));
    for (int i = 0; i < p.graph->n_nodes; i++) ops[p.graph->nodes[i].op] = true;
    float *weights = program_weights(&p, 3);
    nn_exec *x = NULL;
    CHECK_OK(nn_engine_reference.open(p.graph, &(nn_exec_options){.batch = ROWS}, &x, &err), &err);
    x->engine->set_weights(x, weights);
    read_inputs(&p, x, stem);
    CHECK_OK(x->engine->forward(x, ROWS, &err), &err);
    dump_outputs(&p, x, weights, stem);
    x->engine->close(x);
    free(weights);
    program_done(&p);
}

TEST(reference_dump) {
    const char *folder = getenv("NN_REFERENCE_CASES");
    bool ops[NN_OP_COUNT] = {0};
    char pattern[512];
    glob_t found;
    nn_err err;
    NN_BUF names = {0};
    if (!folder) skip();
    snprintf(pattern, sizeof pattern, "%s/*.neural", folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) run_case(found.gl_pathv[i], ops);
    globfree(&found);
    for (int op = 0; op < NN_OP_COUNT; op++)
        if (ops[op]) nn_buf_printf(&names, "%s\n", nn_op_name((nn_op)op));
    snprintf(pattern, sizeof pattern, "%s/ops", folder);
    CHECK_OK(nn_file_write(pattern, names.p, names.n, &err), &err);
}
