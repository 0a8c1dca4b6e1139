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
#include <math.h>
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
    char path[600];
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
    char path[600], sha256[65];
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

/* ---- what it refuses ---- */

TEST(numbers_that_an_embedding_has_no_row_for) {
    static const struct {
        float value;
        const char *shown;
    } cases[] = {
        {5,               "5"  },
        {-1,              "-1" },
        {1.5F,            "1.5"},
        {(float)INFINITY, "inf"},
    };
    program p = program_compile("network A { input: (3,) layers: Embedding(5, 2) LSTM(2) }");
    nn_exec *x = NULL;
    nn_err err;
    CHECK_OK(nn_engine_reference.open(p.graph, &(nn_exec_options){.batch = 2}, &x, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[160];
        float *in = x->engine->input(x, 0);
        for (int e = 0; e < 6; e++) in[e] = (float)(e % 5);
        CHECK_OK(x->engine->forward(x, 2, &err), &err);
        in[4] = cases[i].value;
        CHECK(x->engine->forward(x, 2, &err) == NN_E_DATA_ERROR);
        snprintf(
            want, sizeof want,
            "Embedding ('embedding_1') looks up whole numbers from 0 to 4, got %s in element 4 of "
            "its input",
            cases[i].shown);
        assert_string_equal(err.msg, want);
    }
    x->engine->close(x);
    program_done(&p);
}

static void refused(const char *text, const char *want) {
    program p = program_compile(text);
    nn_exec *x = NULL;
    nn_err err = {0};
    CHECK(nn_engine_reference.open(p.graph, &(nn_exec_options){.batch = 2}, &x, &err) ==
          NN_E_UNSUPPORTED);
    if (!strstr(err.msg, want)) fail_msg("'%s', not '%s'", err.msg, want);
    CHECK(!x);
    program_done(&p);
}

TEST(what_nothing_runs) {
    refused("network A { input: (3,) layers: Lambda(\"x * 2\", output_shape=3) Dense(2) }",
            "Lambda ('lambda_1') is only named in the program, not defined");
    refused("Model A { Input(shape=(None, 3)) LSTM(2) }", "an engine needs known sizes");
    refused("Model A { Input(shape=(None, 3)) TimeDistributed(Dense(2)) GlobalAveragePooling1D() }",
            "an engine needs known sizes");
}

/* ---- training ---- */

/* Loss of one batch after some updates, as a share of that before them. */
static double learned(const char *text, int updates) {
    program p = program_compile(text);
    nn_exec *x = NULL;
    nn_err err = {0};
    nn_exec_options o = {.batch = ROWS, .training = true, .seed = 3};
    float *weights = program_weights(&p, 3), values[64];
    double first = 0, last = 0;
    p.graph->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1};
    CHECK_OK(nn_engine_reference.open(p.graph, &o, &x, &err), &err);
    x->engine->set_weights(x, weights);
    assert_true(ROWS * program_elements(&p, p.graph->outputs[0]) <= 64);
    for (int i = 0; i < 64; i++) values[i] = (float)(i % 7) / 7;
    for (int i = 0; i < p.graph->n_inputs; i++)
        for (int64_t e = 0; e < ROWS * program_elements(&p, p.graph->inputs[i]); e++)
            x->engine->input(x, i)[e] = program_tokens(&p, p.graph->inputs[i])
                                            ? (float)(e * 5 % 4)
                                            : (float)sin((double)e * (double)e);
    for (int k = 0; k <= updates; k++) {
        nn_step step;
        CHECK_OK(x->engine->step(x, ROWS, &(nn_targets){.values = values}, &step, &err), &err);
        CHECK(step.finite);
        if (k == 0) first = step.loss;
        last = step.loss;
    }
    x->engine->close(x);
    free(weights);
    program_done(&p);
    return last / first;
}

TEST(whole_networks_learn) {
    static const char *const programs[] = {
        "network A { input: (5,) layers: Embedding(5, 3, mask_zero=true) Bidirectional(LSTM(4)) Dense(3) "
        "loss: mse }",
        "network A { input: (4, 6) layers: PositionalEncoding(8) TransformerEncoder(2, 8, dropout=0.01) "
        "GlobalAveragePooling1D() Dense(3) loss: mse }",
        "network A { input: (3, 5, 4, 1) layers: ConvLSTM2D(2, 2) Flatten() Dense(3) loss: mse }",
        "network A { input: { a: (4,) b: (3,) } layers: a: { Dense(5, tanh) } b: { Dense(5) } Add() "
        "LayerNormalization() Dense(2) loss: mse }",
        "network A { input: (4, 5, 2) layers: TimeDistributed(Conv1D(3, 2)) TimeDistributed(GRU(3)) "
        "LSTM(3, return_sequences=true) Attention() Flatten() Dense(2) loss: mse }",
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        double share = learned(programs[i], 200);
        if (!(share < 0.5))
            fail_msg("%s\nthe loss goes down to %g of the first only", programs[i], share);
    }
}
