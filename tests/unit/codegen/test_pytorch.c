/* SPDX-License-Identifier: MIT */
/* What the language cannot say yet, and what the backend must refuse: graphs built by hand. That
 * the code runs and is right is tested in tests/codegen. */
#include "codegen/backend.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

static int add(nn_graph *g, nn_node_spec s, const char *const *suffixes) {
    nn_err err = {0};
    int id = -1;
    if (!s.layer) s.layer = "Layer";
    s.layer_name = s.name;
    s.layer_index = g->n_nodes - 1;
    CHECK_OK(nn_graph_add(g, &s, &id, &err), &err);
    for (int k = 0; suffixes && suffixes[k]; k++) {
        nn_weight w = {
            .init = {.kind = NN_INIT_GLOROT_UNIFORM}, .trainable = true, .fan_in = 1, .fan_out = 1};
        nn_node_weight_rule(g, &g->nodes[id], k, &w.shape);
        CHECK_OK(nn_graph_add_weight(g, id, suffixes[k], &w, &err), &err);
    }
    return id;
}

static int add_input(nn_graph *g, nn_shape shape) {
    return add(g, (nn_node_spec){.op = NN_OP_INPUT, .name = "in", .shape = shape}, NULL);
}

static nn_graph *graph_new(void) {
    nn_graph *g = nn_graph_new(NULL, "hand made");
    g->train = nn_train_default();
    g->train.loss = NN_LOSS_MSE;
    return g;
}

static nn_status generate(nn_graph *g, int output, nn_buf *out, nn_err *err) {
    nn_err e = {0};
    if (output >= 0) CHECK_OK(nn_graph_add_output(g, output, &e), &e);
    nn_status s = nn_codegen(nn_backend_find("pytorch"), g, NULL, out, err);
    nn_arena_free(g->arena);
    return s;
}

static void check_has(const nn_buf *b, const char *text) {
    if (!strstr(nn_buf_str(b), text)) fail_msg("expected '%s' in:\n%s", text, nn_buf_str(b));
}

TEST(pytorch_is_found_by_every_name) {
    assert_string_equal(nn_backend_find("pytorch")->name, "pytorch");
    assert_ptr_equal(nn_backend_find("PyTorch"), nn_backend_at(0));
    assert_ptr_equal(nn_backend_find("torch"), nn_backend_at(0));
    assert_ptr_equal(nn_backend_find("pt"), nn_backend_at(0));
    assert_null(nn_backend_find("py"));
    assert_null(nn_backend_find(""));
    assert_null(nn_backend_find("torch|pt"));
    assert_null(nn_backend_at(1000));
}

/* Two readers of one convolution: each sees it in the layout that it needs, under names of their
 * own. */
TEST(pytorch_branches_keep_their_values_apart) {
    nn_err err = {0};
    NN_BUF b = {0};
    nn_graph *g = graph_new();
    int in = add_input(g, (nn_shape){
                              3, {8, 8, 2}
    });
    nn_window w = {
        .spatial = 2, .size = {3, 3},
             .stride = {1, 1},
             .dilation = {1, 1}
    };
    int conv = add(g,
                   (nn_node_spec){
                       .op = NN_OP_CONV,
                       .name = "x",
                       .inputs = (int[]){in          },
                       .n_inputs = 1,
                       .attr.conv = { .window = w, .filters = 4, .groups = 1}
    },
                   (const char *const[]){"kernel", NULL});
    int flat = add(g,
                   (nn_node_spec){
                       .op = NN_OP_RESHAPE,
                       .name = "flat",
                       .inputs = (int[]){conv  },
                       .n_inputs = 1,
                       .attr.reshape.flatten = true,
                       .shape = { 1, {144}}
    },
                   NULL);
    nn_window p = {
        .spatial = 2, .size = {2, 2},
             .stride = {2, 2},
             .dilation = {1, 1}
    };
    int pool = add(g,
                   (nn_node_spec){.op = NN_OP_MAX_POOL,
                                  .name = "pool",
                                  .inputs = (int[]){conv},
                                  .n_inputs = 1,
                                  .attr.pool = p},
                   NULL);
    CHECK_OK(nn_graph_add_output(g, flat, &err), &err);
    CHECK_OK(generate(g, pool, &b, &err), &err);
    check_has(&b, "class HandMade(nn.Module)");
    check_has(&b, "        x_2 = self.x(in_2.permute(0, 3, 1, 2))  # (batch, 4, 6, 6)\n");
    check_has(&b, "        flat = torch.flatten(x_2.permute(0, 2, 3, 1), 1)  # (batch, 144)\n");
    check_has(&b, "        pool = self.pool(x_2)  # (batch, 4, 3, 3)\n");
    check_has(&b, "        return flat, pool.permute(0, 2, 3, 1)\n");
}

TEST(pytorch_transposes) {
    nn_err err = {0};
    NN_BUF b = {0};
    nn_graph *g = graph_new();
    int in = add_input(g, (nn_shape){
                              3, {4, 5, 6}
    });
    int t = add(g,
                (nn_node_spec){.op = NN_OP_TRANSPOSE,
                               .name = "swap",
                               .inputs = (int[]){in},
                               .n_inputs = 1,
                               .attr.transpose = {{1, 0, 2}}},
                NULL);
    CHECK_OK(generate(g, t, &b, &err), &err);
    check_has(&b, "        x = x.permute(0, 2, 1, 3)  # (batch, 5, 4, 6)\n");
}

static void check_refused(nn_graph *g, int output, const char *text) {
    nn_err err = {0};
    NN_BUF b = {0};
    assert_int_equal(generate(g, output, &b, &err), NN_E_UNSUPPORTED);
    if (!strstr(err.msg, text)) fail_msg("expected '%s' in '%s'", text, err.msg);
}

TEST(pytorch_says_what_it_cannot_write) {
    nn_graph *g = graph_new();
    add_input(g, (nn_shape){1, {4}});
    check_refused(g, -1, "has 1 inputs and 0 outputs");
    g = graph_new();
    int in = add_input(g, (nn_shape){
                              3, {8, 8, 2}
    });
    nn_window w = {
        .spatial = 2, .size = {2, 2},
             .stride = {1, 1},
             .dilation = {2, 2}
    };
    int pool = add(g,
                   (nn_node_spec){.op = NN_OP_AVG_POOL,
                                  .name = "pool",
                                  .layer = "AveragePooling2D",
                                  .inputs = (int[]){in},
                                  .n_inputs = 1,
                                  .attr.pool = w},
                   NULL);
    check_refused(
        g, pool,
        "AveragePooling2D 'pool' cannot be written in PyTorch: its average pools have no dilation");
}

/* The same graph gives the same bytes, appended to what is there. */
TEST(pytorch_is_deterministic) {
    nn_err err = {0};
    NN_BUF a = {0}, b = {0};
    for (int i = 0; i < 2; i++) {
        nn_graph *g = graph_new();
        int in = add_input(g, (nn_shape){1, {4}});
        int d = add(g,
                    (nn_node_spec){.op = NN_OP_MATMUL,
                                   .name = "d",
                                   .inputs = (int[]){in},
                                   .n_inputs = 1,
                                   .attr.matmul = {.units = 2}},
                    (const char *const[]){"kernel", NULL});
        CHECK_OK(generate(g, d, i ? &b : &a, &err), &err);
    }
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
}
