/* SPDX-License-Identifier: MIT */
/* What an engine does not run it says when a graph is opened: which layer, which op, what to do. */
#include "engine/native/native.h"
#include "engine/reference/reference.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static bool native_runs(nn_op op) {
    static const nn_unit_kind *const kinds[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = &nn_unit_##n,
#include "graph/ops.def"
#undef NN_OP
    };
    return kinds[op]->forward || op == NN_OP_INPUT || op == NN_OP_RESHAPE || op == NN_OP_FOLD ||
           op == NN_OP_UNFOLD;
}

static int add(nn_graph *g, nn_op op, const int *inputs, int n, nn_attr attr, nn_shape shape) {
    char name[32];
    nn_err err;
    int id;
    snprintf(name, sizeof name, "node_%d", g->n_nodes);
    nn_node_spec s = {.op = op, .name = name, .layer = "Layer", .layer_name = name};
    s.span = (nn_span){.line = 7, .col = 3};
    s.inputs = inputs;
    s.n_inputs = n;
    s.attr = attr;
    s.shape = shape;
    CHECK_OK(nn_graph_add(g, &s, &id, &err), &err);
    return id;
}

static nn_attr attributes(nn_op op) {
    nn_attr a = {0};
    nn_window w = {.spatial = 1, .size = {2}, .stride = {1}, .dilation = {1}};
    if (op == NN_OP_CONV_TRANSPOSE) a.conv_transpose.window = w;
    if (op == NN_OP_CONV_TRANSPOSE) a.conv_transpose.filters = a.conv_transpose.groups = 1;
    if (op == NN_OP_CONV_LSTM) a.conv_lstm.window = w, a.conv_lstm.filters = 1;
    if (op == NN_OP_ADAPTIVE_MAX_POOL || op == NN_OP_ADAPTIVE_AVG_POOL)
        a.adaptive_pool.spatial = 1, a.adaptive_pool.size[0] = 2;
    if (op == NN_OP_UPSAMPLE) a.upsample.spatial = 1, a.upsample.factor[0] = 2;
    if (op == NN_OP_PAD || op == NN_OP_CROP) a.border.spatial = 1;
    if (op == NN_OP_LAYER_NORM) a.layer_norm.epsilon = 1;
    if (op == NN_OP_GROUP_NORM) a.group_norm.epsilon = 1, a.group_norm.groups = 1;
    if (op == NN_OP_EMBEDDING) a.embedding.input_dim = a.embedding.output_dim = 2;
    if (op == NN_OP_POSITION) a.position.max_len = 9;
    if (op == NN_OP_RNN) a.rnn.units = 2;
    if (op == NN_OP_ATTENTION) a.attention.heads = 1;
    if (op == NN_OP_UNFOLD) a.unfold.size = 4;
    return a;
}

/* An input of (4, 6), or of (4, 5, 6) where that takes three axes, and the op behind it. */
static nn_graph *graph_of(nn_op op) {
    nn_graph *g = nn_graph_new(NULL, "g");
    nn_shape in = op == NN_OP_CONV_LSTM ? (nn_shape){3, {4, 5, 6}} : (nn_shape){2, {4, 6}};
    int x = add(g, NN_OP_INPUT, NULL, 0, (nn_attr){0}, in), least, most;
    if (op == NN_OP_UNFOLD) x = add(g, NN_OP_FOLD, &x, 1, (nn_attr){0}, (nn_shape){0});
    nn_op_arity(op, &least, &most);
    int same[] = {x, x, x};
    (void)add(g, op, same, least, attributes(op), (nn_shape){1, {3}});
    return g;
}

static void refused(const nn_engine *e, const nn_graph *g, const char *want) {
    nn_exec_options o = {.batch = 2};
    nn_exec *x = NULL;
    nn_err err = {0};
    nn_status st = e->open(g, &o, &x, &err);
    if (st != NN_E_UNSUPPORTED || x || !strstr(err.msg, want))
        fail_msg("%s engine: %s '%s', not '%s'", e->name, nn_status_name(st), err.msg, want);
    CHECK(err.line == 7 && err.col == 3);
    CHECK(strlen(err.hint) > 10);
}

static int refusals_of(const nn_engine *e, bool (*runs)(nn_op)) {
    int n = 0;
    for (int op = 0; op < NN_OP_COUNT; op++) {
        if (runs((nn_op)op)) continue;
        nn_op first = op == NN_OP_UNFOLD ? NN_OP_FOLD : (nn_op)op; /* the one that it meets first */
        if (runs(first)) continue;
        char want[128] = "Layer ('node_1') is only named in the program";
        if (op != NN_OP_CUSTOM)
            snprintf(want, sizeof want, "Layer ('node_1'): the %s engine does not run %s yet",
                     e->name, nn_op_name(first));
        nn_graph *g = graph_of((nn_op)op);
        refused(e, g, want);
        nn_arena_free(g->arena);
        n++;
    }
    return n;
}

TEST(ops_that_an_engine_does_not_run) {
    CHECK(refusals_of(&nn_engine_native, native_runs) > 0);
    (void)refusals_of(&nn_engine_reference, nn_reference_runs); /* it may run them all */
}
