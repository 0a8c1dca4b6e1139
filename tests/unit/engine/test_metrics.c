/* SPDX-License-Identifier: MIT */
/* Metrics of four rows against torch (l1_loss, mse_loss, cosine_similarity, topk, nll_loss) and,
 * for auc, against counting all pairs; and what early stopping makes of values. */
#include "engine/metrics.h"
#include "engine/watch.h"
#include "t.h"

#include <math.h>
#include <string.h>

static nn_graph *scores(bool softmax) {
    nn_err err;
    nn_graph *g = nn_graph_new(NULL, "g");
    nn_node_spec in = {.op = NN_OP_INPUT, .name = "in", .layer = "Input", .layer_name = "in"};
    in.shape = (nn_shape){.rank = 1, .dim = {3}};
    int id;
    CHECK_OK(nn_graph_add(g, &in, &id, &err), &err);
    nn_node_spec out = {.op = NN_OP_SOFTMAX, .name = "out", .layer = "S", .layer_name = "out"};
    out.inputs = &id;
    out.n_inputs = 1;
    if (softmax) CHECK_OK(nn_graph_add(g, &out, &id, &err), &err);
    CHECK_OK(nn_graph_add_output(g, id, &err), &err);
    g->train = nn_train_default();
    g->train.loss = NN_LOSS_SPARSE;
    g->train.top_k = 2;
    return g;
}

static const float y[] = {.7f, .2f, .1f, .3f, .4f, .3f, .1f, .3f, .6f, .2f, .55f, .25f};
static const int32_t labels[] = {0, 2, 2, 0};
static const unsigned all = (1u << NN_TRAIN_METRIC_COUNT) - 1;

static void near(const nn_metric_values *v, nn_train_metric m, double want) {
    if (!(fabs(v->of[m] - want) < 1e-6 * fmax(1, fabs(want))))
        fail_msg("%s is %.9g, expected %.9g", nn_train_metric_name(m), v->of[m], want);
}

static void check_values(const nn_metric_values *v) {
    near(v, NN_TRAIN_METRIC_PRECISION, 2.0 / 3);
    near(v, NN_TRAIN_METRIC_RECALL, 0.5);
    near(v, NN_TRAIN_METRIC_F1, 4.0 / 7);
    near(v, NN_TRAIN_METRIC_AUC, 0.734375);
    near(v, NN_TRAIN_METRIC_TOP_K, 0.5);
    near(v, NN_TRAIN_METRIC_MSE, 0.17875);
    near(v, NN_TRAIN_METRIC_MAE, 0.366666667);
    near(v, NN_TRAIN_METRIC_RMSE, 0.422788363);
    near(v, NN_TRAIN_METRIC_MAPE, 183333351.67);
    near(v, NN_TRAIN_METRIC_COSINE_SIMILARITY, 0.666499129);
    near(v, NN_TRAIN_METRIC_PERPLEXITY, 2.509862124);
}

TEST(metrics_as_torch_has_them) {
    nn_graph *g = scores(true);
    nn_loss_plan p;
    nn_meter *m;
    nn_err err;
    CHECK_OK(nn_loss_plan_make(g, &p, &err), &err);
    CHECK_OK(nn_meter_new(g, &p, all, &m, &err), &err);
    for (int round = 0; round < 2; round++) { /* in two batches; again after a reset */
        nn_meter_reset(m);
        CHECK_OK(nn_meter_add(m, 1, y, &(nn_targets){.labels = labels}, &err), &err);
        CHECK_OK(nn_meter_add(m, 3, y + 3, &(nn_targets){.labels = labels + 1}, &err), &err);
        nn_metric_values v = nn_meter_values(m);
        check_values(&v);
        CHECK(isnan(v.of[NN_TRAIN_METRIC_ACCURACY]) && isnan(v.of[NN_TRAIN_METRIC_LOSS]));
    }
    int64_t n;
    const int64_t *c = nn_meter_confusion(m, &n), want[9] = {1, 1, 0, 0, 0, 0, 0, 1, 1};
    CHECK(n == 3 && memcmp(c, want, sizeof want) == 0);
    nn_metric_sums sums = nn_meter_sums(m);
    nn_meter_reset(m);
    nn_meter_set_sums(m, &sums); /* taken up again: all but auc */
    nn_metric_values v = nn_meter_values(m);
    near(&v, NN_TRAIN_METRIC_F1, 4.0 / 7);
    CHECK(isnan(v.of[NN_TRAIN_METRIC_AUC]));
    nn_meter_free(m);
    nn_arena_free(g->arena);
}

/* The logs of the same probabilities are logits of them. */
TEST(metrics_of_logits_are_of_probabilities) {
    nn_graph *g = scores(false);
    g->train.from_logits = true;
    nn_loss_plan p;
    nn_meter *m;
    nn_err err;
    float logits[12];
    for (int i = 0; i < 12; i++) logits[i] = logf(y[i]) + 3;
    CHECK_OK(nn_loss_plan_make(g, &p, &err), &err);
    CHECK_OK(nn_meter_new(g, &p, all, &m, &err), &err);
    CHECK_OK(nn_meter_add(m, 4, logits, &(nn_targets){.labels = labels}, &err), &err);
    nn_metric_values v = nn_meter_values(m);
    check_values(&v);
    nn_meter_free(m);
    nn_arena_free(g->arena);
}

TEST(nothing_measured_is_no_number) {
    nn_graph *g = scores(true);
    nn_loss_plan p;
    nn_meter *m;
    nn_err err;
    g->train.ignore_class = 1;
    CHECK_OK(nn_loss_plan_make(g, &p, &err), &err);
    CHECK_OK(nn_meter_new(g, &p, NN_METRIC_F1, &m, &err), &err);
    CHECK_OK(nn_meter_add(m, 1, y, &(nn_targets){.labels = (int32_t[]){1}}, &err), &err);
    CHECK(isnan(nn_meter_values(m).of[NN_TRAIN_METRIC_F1]));
    nn_meter_free(m);
    nn_arena_free(g->arena);
}

/* Keras's EarlyStopping with patience 2 and min_delta 0.1 on 1, 0.95, 0.8, 0.75, 0.74: 0.95 and,
 * after 0.8, 0.75 and 0.74 are no improvements. */
TEST(watching_as_keras_does) {
    nn_train_spec t = nn_train_default();
    t.early_stopping = nn_early_stopping_default();
    t.early_stopping.patience = 2;
    t.early_stopping.min_delta = 0.1;
    snprintf(t.early_stopping.monitor, sizeof t.early_stopping.monitor, "val_mae");
    nn_watch w;
    nn_err err;
    assert_int_equal(nn_watch_make(&t, false, &w, &err), NN_E_DSL_ERROR);
    CHECK(strstr(err.msg, "val_mae") && strstr(err.hint, "validation_split"));
    CHECK_OK(nn_watch_make(&t, true, &w, &err), &err);
    CHECK(w.metric == NN_TRAIN_METRIC_MAE && w.valid && !w.rises);
    static const double values[] = {1, 0.95, 0.8, 0.75, 0.74};
    static const bool better[] = {true, false, true, false, false};
    double best = NAN;
    int64_t waited = 0;
    for (int i = 0; i < 5; i++) {
        CHECK(nn_watch_take(&w, values[i], &best, &waited) == better[i]);
        CHECK(nn_watch_stops(&w, waited) == (i == 4));
    }
    CHECK(best == 0.8);
    CHECK(!nn_watch_take(&w, NAN, &best, &waited) && best == 0.8);
}

TEST(watching_what_rises_and_what_cannot_be_watched) {
    nn_train_spec t = nn_train_default();
    nn_watch w;
    nn_err err;
    CHECK_OK(nn_watch_make(&t, false, &w, &err), &err);
    CHECK(w.metric == NN_TRAIN_METRIC_LOSS && !w.valid && !nn_watch_stops(&w, 1000));
    t.early_stopping = nn_early_stopping_default();
    snprintf(t.early_stopping.monitor, sizeof t.early_stopping.monitor, "val_auc");
    CHECK_OK(nn_watch_make(&t, true, &w, &err), &err);
    double best = 0.5;
    int64_t waited = 0;
    CHECK(w.rises && nn_watch_take(&w, 0.6, &best, &waited));
    snprintf(t.early_stopping.monitor, sizeof t.early_stopping.monitor, "auc");
    assert_int_equal(nn_watch_make(&t, true, &w, &err), NN_E_UNSUPPORTED);
    snprintf(t.early_stopping.monitor, sizeof t.early_stopping.monitor, "val_confusion_matrix");
    assert_int_equal(nn_watch_make(&t, true, &w, &err), NN_E_UNSUPPORTED);
}
