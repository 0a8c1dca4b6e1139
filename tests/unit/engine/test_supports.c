/* SPDX-License-Identifier: MIT */
/* What the engine trains is a closed set; all else that a program may say is refused by name. */
#include "engine/engine.h"
#include "engine/loss.h"
#include "t.h"

#include <string.h>

static void check(const nn_train_spec *t, const char *what) {
    nn_err err = {0};
    nn_status s = nn_trainer_supports(t, &err);
    assert_int_equal(s, what ? NN_E_UNSUPPORTED : NN_OK);
    if (!what) return;
    if (!strstr(err.msg, what)) fail_msg("'%s' is not in '%s'", what, err.msg);
    assert_true(err.hint[0]); /* the way out */
}

TEST(the_engine_trains_what_it_says) {
    nn_train_spec t = nn_train_default();
    check(&t, NULL);
    for (int k = 0; k < NN_LOSS_CUSTOM; k++) {
        t.loss = (nn_loss_kind)k;
        check(&t, NULL);
    }
    t = nn_train_default();
    for (int k = 0; k < NN_OPTIMIZER_COUNT; k++) {
        t.optimizer = nn_optimizer_default((nn_optimizer_kind)k);
        check(&t, NULL);
    }
    t = nn_train_default();
    for (int k = 1; k < NN_SCHEDULE_COUNT; k++) {
        t.optimizer.schedule.kind = (nn_schedule_kind)k;
        check(&t, NULL);
    }
    t = nn_train_default();
    for (int k = 0; k < NN_TRAIN_METRIC_COUNT; k++) {
        t.metrics = 1u << k;
        check(&t, NULL);
    }
}

/* No engine takes another loss for mean squared error. */
TEST(a_plan_of_another_loss_is_refused) {
    nn_err err = {0};
    nn_graph *g = nn_graph_new(NULL, "g");
    nn_node_spec in = {.op = NN_OP_INPUT, .name = "in", .layer = "Input", .layer_name = "in"};
    in.shape = (nn_shape){.rank = 1, .dim = {4}};
    int id;
    CHECK_OK(nn_graph_add(g, &in, &id, &err), &err);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    nn_loss_plan plan;
    CHECK_OK(nn_loss_plan_make(g, &plan, &err), &err);
    g->train.loss = NN_LOSS_CTC;
    assert_int_equal(nn_loss_plan_make(g, &plan, &err), NN_E_DSL_ERROR); /* no steps */
    assert_non_null(strstr(err.msg, "ctc"));
    g->train.loss = NN_LOSS_CUSTOM;
    assert_int_equal(nn_loss_plan_make(g, &plan, &err), NN_E_UNSUPPORTED);
    nn_arena_free(g->arena);
}
