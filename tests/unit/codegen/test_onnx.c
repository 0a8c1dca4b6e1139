/* SPDX-License-Identifier: MIT */
/* What tests/codegen/test_onnx.py, which runs the files, does not see: refusals and repetition. */
#include "codegen/backend.h"
#include "t.h"

#include <onnx.pb-c.h>
#include <string.h>

#define ARENA __attribute__((cleanup(nn_arena_freep))) nn_arena

static nn_graph *dense(nn_arena *a, int layers) {
    nn_graph *g = nn_graph_new(a, "Net");
    nn_err err;
    int at;
    nn_node_spec in = {
        .op = NN_OP_INPUT, .name = "x", .layer = "Input", .layer_name = "x", .shape = {1, {3}}
    };
    assert_int_equal(nn_graph_add(g, &in, &at, &err), NN_OK);
    for (int i = 0; i < layers; i++) {
        const char *name = nn_arena_printf(a, "dense_%d", i + 1);
        nn_node_spec s = {
            .op = NN_OP_MATMUL,
            .name = name,
            .layer = "Dense",
            .layer_name = name,
            .inputs = &at,
            .n_inputs = 1,
            .attr.matmul = {3, true}
        };
        int id;
        assert_int_equal(nn_graph_add(g, &s, &id, &err), NN_OK);
        nn_weight kernel =
                      {
                          .shape = {2, {3, 3}}
        },
                  bias = {.shape = {1, {3}}};
        assert_int_equal(nn_graph_add_weight(g, id, "kernel", &kernel, &err), NN_OK);
        assert_int_equal(nn_graph_add_weight(g, id, "bias", &bias, &err), NN_OK);
        at = id;
    }
    assert_int_equal(nn_graph_add_output(g, at, &err), NN_OK);
    return g;
}

TEST(onnx_wants_weights) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    nn_err err;
    NN_BUF out = {0};
    assert_int_equal(nn_codegen(nn_backend_find("onnx"), dense(a, 1), NULL, &out, &err),
                     NN_E_USAGE);
    assert_int_equal(out.n, 0);
}

TEST(onnx_holds_weights_of_these_names_and_the_source) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    nn_err err;
    float slab[12];
    for (int i = 0; i < 12; i++) slab[i] = (float)i;
    nn_codegen_options opt = {.source_name = "n.neural", .source_sha256 = "abc", .weights = slab};
    NN_BUF out = {0}, again = {0};
    nn_graph *g = dense(a, 1);
    assert_int_equal(nn_codegen(nn_backend_find("onnx"), g, &opt, &out, &err), NN_OK);
    assert_int_equal(nn_codegen(nn_backend_find("onnx"), g, &opt, &again, &err), NN_OK);
    assert_int_equal(out.n, again.n);
    assert_memory_equal(out.p, again.p, out.n);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, out.n, (const uint8_t *)out.p);
    assert_non_null(m);
    assert_string_equal(m->producer_name, "neural");
    assert_int_equal(m->opset_import[0]->version, 17);
    assert_int_equal(m->graph->n_node, 1);
    assert_string_equal(m->graph->node[0]->op_type, "Gemm");
    assert_string_equal(m->graph->initializer[0]->name, "dense_1.kernel");
    assert_memory_equal(m->graph->initializer[0]->raw_data.data, slab, 9 * sizeof *slab);
    assert_string_equal(m->graph->output[0]->name, "dense_1");
    onnx__model_proto__free_unpacked(m, NULL);
}

TEST(onnx_thousand_layers_in_a_row) {
    ARENA *a = nn_arena_new(NULL, "test", 0);
    nn_err err;
    nn_graph *g = dense(a, 1000);
    float *slab = nn_arena_array(a, (size_t)g->slab, sizeof *slab);
    nn_codegen_options opt = {.weights = slab};
    NN_BUF out = {0};
    assert_int_equal(nn_codegen(nn_backend_find("onnx"), g, &opt, &out, &err), NN_OK);
    assert_true(out.n > 48000);
}
