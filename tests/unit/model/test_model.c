/* SPDX-License-Identifier: MIT */
#include "base/fault.h"
#include "base/file.h"
#include "model/model.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL __attribute__((cleanup(nn_model_freep))) nn_model

static void add(nn_graph *g, nn_node_spec spec, const char *const *suffixes) {
    nn_err err = {0};
    int id = -1;
    spec.layer = spec.layer ? spec.layer : "Dense";
    spec.layer_name = spec.name;
    CHECK_OK(nn_graph_add(g, &spec, &id, &err), &err);
    for (int k = 0; suffixes && suffixes[k]; k++) {
        nn_weight w = {.init = {.kind = NN_INIT_GLOROT_UNIFORM}, .trainable = true};
        assert_string_equal(nn_node_weight_rule(g, &g->nodes[id], k, &w.shape), suffixes[k]);
        CHECK_OK(nn_graph_add_weight(g, id, suffixes[k], &w, &err), &err);
    }
}

/* 3 -> 2 with bias, softmax. */
static nn_graph *small_graph(void) {
    nn_err err = {0};
    nn_graph *g = nn_graph_new(NULL, "small");
    add(g,
        (nn_node_spec){
            .op = NN_OP_INPUT,
            .name = "input",
            .layer = "Input",
            .layer_index = -1,
            .shape = {1, {3}}
    },
        NULL);
    add(g,
        (nn_node_spec){
            .op = NN_OP_MATMUL,
            .name = "dense",
            .inputs = (int[]){0            },
            .n_inputs = 1,
            .attr.matmul = { .units = 2, .bias = true}
    },
        (const char *const[]){"kernel", "bias", NULL});
    add(g,
        (nn_node_spec){
            .op = NN_OP_SOFTMAX, .name = "dense.softmax", .inputs = (int[]){1}, .n_inputs = 1},
        NULL);
    CHECK_OK(nn_graph_add_output(g, 2, &err), &err);
    g->train = nn_train_default();
    return g;
}

static nn_model *small_model(void) {
    nn_err err = {0};
    nn_model *m = NULL;
    CHECK_OK(nn_model_new(small_graph(), &m, &err), &err);
    assert_int_equal(m->graph->slab, 8);
    assert_int_equal((uintptr_t)m->weights % 64, 0);
    for (int i = 0; i < 8; i++) {
        assert_true(m->weights[i] == 0);
        m->weights[i] = (float)i / 3;
    }
    m->n_classes = 2;
    m->class_names = calloc(2, sizeof *m->class_names);
    m->class_names[0] = strdup("cat \"\xc3\xa9\"");
    m->class_names[1] = strdup("dog");
    m->scale = 1.0f / 255;
    m->offset = -0.1f;
    m->summary = nn_json_new_object();
    nn_json_set(m->summary, "epochs", nn_json_new_int(3));
    m->source = strdup("network small {\n}\n");
    return m;
}

static void path_of(char *ret, size_t cap) {
    snprintf(ret, cap, "/tmp/nn-model-%d.safetensors", (int)getpid());
}

TEST(model_round_trip) {
    nn_err err = {0};
    char path[64];
    path_of(path, sizeof path);
    MODEL *m = small_model(), *r = NULL;
    CHECK_OK(nn_model_save(m, path, &err), &err);
    CHECK_OK(nn_model_load(path, &r, &err), &err);
    assert_string_equal(m->sha256, r->sha256);
    assert_memory_equal(m->weights, r->weights, 8 * sizeof(float));
    assert_int_equal(r->n_classes, 2);
    assert_string_equal(r->class_names[0], "cat \"\xc3\xa9\"");
    CHECK(r->scale == 1.0f / 255 && r->offset == -0.1f);
    assert_string_equal(r->source, m->source);
    assert_int_equal(nn_json_int(nn_json_get(r->summary, "epochs"), 0), 3);
    assert_string_equal(r->graph->name, "small");
    assert_int_equal(r->graph->n_nodes, 3);
    char again[65];
    memcpy(again, m->sha256, 65);
    CHECK_OK(nn_model_save(r, path, &err), &err); /* the same model, the same bytes */
    assert_string_equal(r->sha256, again);
    unlink(path);
}

TEST(model_without_names_summary_and_source) {
    nn_err err = {0};
    char path[64];
    path_of(path, sizeof path);
    MODEL *m = NULL, *r = NULL;
    CHECK_OK(nn_model_new(small_graph(), &m, &err), &err);
    m->n_classes = 10;
    CHECK_OK(nn_model_save(m, path, &err), &err);
    CHECK_OK(nn_model_load(path, &r, &err), &err);
    assert_int_equal(r->n_classes, 10);
    assert_null(r->class_names);
    assert_null(r->summary);
    assert_null(r->source);
    unlink(path);
}

/* The bytes of a saved small model. */
static void saved(nn_buf *out) {
    nn_err err = {0};
    char path[64];
    path_of(path, sizeof path);
    MODEL *m = small_model();
    CHECK_OK(nn_model_save(m, path, &err), &err);
    CHECK_OK(nn_file_read(path, 1 << 20, out, &err), &err);
    unlink(path);
}

/* Replaces the first `from` by `to`, which must be as long, so that lengths stay right. */
static void check_changed(const char *from, const char *to, const char *text) {
    NN_BUF b = {0};
    nn_err err = {0};
    nn_model *m = NULL;
    saved(&b);
    assert_int_equal(strlen(from), strlen(to));
    char *at = memmem(b.p, b.n, from, strlen(from));
    if (!at) fail_msg("'%s' is not in the file", from);
    memcpy(at, to, strlen(to));
    assert_int_equal(nn_model_load_bytes(b.p, b.n, "f", &m, &err), NN_E_MODEL_FILE_ERROR);
    if (!strstr(err.msg, text)) fail_msg("expected '%s' in '%s'", text, err.msg);
}

TEST(model_refusals) {
    check_changed("neural.model/1", "neural.model/9", "format is 'neural.model/9'");
    check_changed("\"graph\":", "\"grapf\":", "graph: is missing");
    check_changed("\"normalisation\":", "\"normalizacion\":", "normalisation: is missing");
    check_changed("{\\\"scale\\\":", "[\\\"scale\\\":", "normalisation: line 1");
    check_changed("\"dense.kernel\":{", "\"dense.kermel\":{",
                  "dense.kernel: the graph has this weight");
    check_changed("\"shape\":[3,2]", "\"shape\":[2,3]",
                  "dense.kernel: is F32 (2, 3), the graph needs F32 (3, 2)");
    check_changed("\"F32\"", "\"I32\"", "is I32");
    check_changed("[\\\"cat", "{\\\"cat", "class_names: line 1");
    check_changed("\\\"dog\\\"", "1234567", "holds something that is not a string");
    check_changed("matmul", "matmal", "graph");
    check_changed("\\\"units\\\":2", "\\\"units\\\":3", "f: ");
}

/* A tensor that no weight of the graph asks for. */
TEST(model_refuses_more_than_its_weights) {
    static const char *const keys[] = {"format", "graph", "class_names", "normalisation"};
    NN_BUF b = {0};
    nn_err err = {0};
    char path[64], sha[65];
    path_of(path, sizeof path);
    saved(&b);
    nn_safetensors *file = NULL;
    CHECK_OK(nn_safetensors_read(b.p, b.n, "f", &file, &err), &err);
    NN_JSON *meta = nn_json_new_object();
    for (int i = 0; i < 4; i++)
        nn_json_set(meta, keys[i], nn_json_new_str(nn_safetensors_meta(file, keys[i])));
    nn_tensor t[3] = {*nn_safetensors_at(file, 0), *nn_safetensors_at(file, 1),
                      *nn_safetensors_at(file, 0)};
    t[2].name = "stowaway";
    nn_model *m = NULL;
    for (int n = 2; n <= 3; n++) {
        CHECK_OK(nn_safetensors_write(path, t, n, meta, sha, &err), &err);
        nn_status s = nn_model_load(path, &m, &err);
        assert_int_equal(s, n == 2 ? NN_OK : NN_E_MODEL_FILE_ERROR);
        if (n == 2) nn_model_free(m);
    }
    CHECK(strstr(err.msg, "holds 3 tensors, the graph has 2 weights"));
    nn_safetensors_close(file);
    unlink(path);
}

TEST(model_every_truncation_is_refused) {
    NN_BUF b = {0};
    nn_err err = {0};
    saved(&b);
    for (size_t n = 0; n < b.n; n++) {
        nn_model *m = NULL;
        char *copy = malloc(n + 1); /* so that a sanitizer sees a read past the end */
        memcpy(copy, b.p, n);
        assert_int_equal(nn_model_load_bytes(copy, n, "f", &m, &err), NN_E_MODEL_FILE_ERROR);
        assert_null(m);
        free(copy);
    }
}

/* A byte of the header changed in any way gives an error or a model, never worse. */
TEST(model_changed_bytes) {
    NN_BUF b = {0};
    nn_err err = {0};
    saved(&b);
    for (size_t i = 0; i < b.n; i++)
        for (int k = 0; k < 3; k++) {
            static const char with[] = {0, '"', '9'};
            nn_model *m = NULL;
            char old = b.p[i];
            b.p[i] = with[k];
            if (nn_model_load_bytes(b.p, b.n, "f", &m, &err) == NN_OK) nn_model_free(m);
            b.p[i] = old;
        }
}

#ifdef NN_FAULT
TEST(model_refused_memory_is_an_error) {
    nn_err err = {0};
    nn_model *m = NULL;
    nn_graph *g = small_graph();
    nn_fault_set(NN_FAULT_ALLOC, 1, false);
    nn_status s = nn_model_new(g, &m, &err);
    nn_fault_set(NN_FAULT_ALLOC, 0, false);
    assert_int_equal(s, NN_E_OUT_OF_MEMORY);
    assert_null(m);
}
#endif
