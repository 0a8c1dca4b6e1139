/* SPDX-License-Identifier: MIT */
/* What the PyTorch backend does not write of a training is refused by name, not left out. */
#include "codegen/backend.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

static void generate(const nn_train_spec *t, const char *what) {
    nn_err err = {0};
    NN_BUF out = {0};
    nn_graph *g = nn_graph_new(NULL, "g");
    nn_node_spec in = {.op = NN_OP_INPUT, .name = "in", .layer = "Input", .layer_name = "in"};
    in.shape = (nn_shape){.rank = 1, .dim = {4}};
    int id;
    CHECK_OK(nn_graph_add(g, &in, &id, &err), &err);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    g->train = *t;
    nn_status s = nn_codegen(nn_backend_find("pytorch"), g, NULL, &out, &err);
    nn_arena_free(g->arena);
    assert_int_equal(s, what ? NN_E_UNSUPPORTED : NN_OK);
    if (!what) return;
    if (!strstr(err.msg, what)) fail_msg("'%s' is not in '%s'", what, err.msg);
    assert_true(err.hint[0]);
    assert_int_equal(out.n, 0);
}

TEST(pytorch_refuses_what_it_does_not_write) {
    nn_train_spec t = nn_train_default();
    generate(&t, NULL);
    t.loss = NN_LOSS_CTC;
    generate(&t, "ctc needs steps of scores");
    t = nn_train_default();
    t.loss = NN_LOSS_CUSTOM;
    generate(&t, "the custom loss");
    snprintf(t.custom_loss, sizeof t.custom_loss, "m.f");
    generate(&t, NULL);
    t.metrics |= NN_METRIC_AUC;
    generate(&t, "metric 'auc' beside the loss 'm.f'");
    t = nn_train_default();
    snprintf(t.callbacks, sizeof t.callbacks, "[x]");
    generate(&t, "'x' of callbacks");
    snprintf(t.callbacks, sizeof t.callbacks, "[TerminateOnNaN(), EarlyStopping(patience=2)]");
    generate(&t, NULL);
    for (size_t n = strlen(t.callbacks); n-- > 1;) {
        t.callbacks[n] = 0; /* files may hold any text: every end of it is met */
        generate(&t, "of callbacks");
    }
    t = nn_train_default();
    snprintf(t.strategy, sizeof t.strategy, "tpu");
    generate(&t, "strategy 'tpu'");
    t = nn_train_default();
    t.precision = NN_PRECISION_FLOAT16;
    generate(&t, NULL);
}
