/* SPDX-License-Identifier: MIT */
/* Each rule of health.def with what provokes it and a near miss, exactly at the limit that its
 * `when` names; and that looking changes nothing of a training. */
#include "base/hash.h"
#include "engine/trainer.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct seen {
    nn_symptom last[NN_HEALTH_COUNT];
    int times[NN_HEALTH_COUNT];
} seen;

static void note(void *ctx, const nn_symptom *f) {
    seen *s = ctx;
    s->last[f->rule] = *f;
    s->times[f->rule]++;
}

static void on_event(void *ctx, const nn_train_event *e) {
    if (e->type == NN_TRAIN_HEALTH) note(ctx, e->symptom);
}

/* ---- the data ---- */

enum { ROWS = 44 };

static nn_dataset *dataset(const char *spec) {
    nn_dataset *d = NULL;
    nn_err err;
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &d, &err), &err);
    return d;
}

static seen data_seen(nn_graph *g, nn_dataset *d, int64_t rows) {
    nn_loss_plan p;
    nn_fit fit;
    nn_err err;
    nn_train_health *h;
    seen s = {0};
    uint32_t index[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) index[i] = i;
    CHECK_OK(nn_loss_plan_make(g, &p, &err), &err);
    CHECK_OK(nn_fit_check(g, d, &fit, &err), &err);
    CHECK_OK(nn_train_health_new(g, &p, note, &s, &h, &err), &err);
    CHECK_OK(nn_train_health_data(h, d, &fit, index, rows, &err), &err);
    nn_train_health_free(h);
    return s;
}

static nn_graph *classifier(const char *text) {
    nn_graph *g = net_build(text);
    g->train.loss = NN_LOSS_SPARSE;
    return g;
}

/* Inputs of this size, but for the first; `classes` of 3 in turn. */
static seen inputs_seen(const char *net, float first, float size) {
    nn_graph *g = classifier(net);
    nn_dataset *d = dataset("synthetic:rows=44,classes=3,shape=4");
    float *x = d->block[0].data;
    d->block[0].norm = (nn_normalisation){.scale = 1};
    for (int i = 0; i < ROWS * 4; i++) x[i] = i % 2 ? -size : size;
    for (int i = 0; i < ROWS * 4 && first == size; i++) x[i] = size;
    x[0] = first;
    seen s = data_seen(g, d, ROWS);
    nn_dataset_free(d);
    net_free(g);
    return s;
}

TEST(inputs_that_say_nothing_or_shout) {
    const char *net = "input 4; dense 3; softmax";
    assert_int_equal(inputs_seen(net, 0.5f, 0.5f).times[NN_HEALTH_INPUT_CONSTANT], 1);
    assert_int_equal(inputs_seen(net, 0.25f, 0.5f).times[NN_HEALTH_INPUT_CONSTANT], 0);
    assert_int_equal(inputs_seen(net, 10.5f, 10.01f).times[NN_HEALTH_INPUT_UNSCALED], 1);
    assert_int_equal(inputs_seen(net, 9.5f, 9.99f).times[NN_HEALTH_INPUT_UNSCALED], 0);
    const char *scaled = "input 4; bn; dense 3; softmax";
    assert_int_equal(inputs_seen(scaled, 99, 90).times[NN_HEALTH_INPUT_UNSCALED], 0);
}

/* So many rows of class 0, 1 and 2. */
static seen labels_seen(int a, int b, int c, bool weighed) {
    nn_graph *g = classifier("input 4; dense 3; softmax");
    nn_dataset *d = dataset("synthetic:rows=44,classes=3,shape=4");
    g->train.class_weight.balanced = weighed;
    for (int i = 0; i < ROWS; i++) d->labels[i] = i < a ? 0 : i < a + b ? 1 : 2;
    seen s = data_seen(g, d, a + b + c);
    nn_dataset_free(d);
    net_free(g);
    return s;
}

TEST(classes_that_are_not_there) {
    seen s = labels_seen(0, 44, 0, false);
    assert_int_equal(s.times[NN_HEALTH_LABEL_CONSTANT], 1);
    assert_int_equal(s.times[NN_HEALTH_CLASS_UNSEEN], 0);
    s = labels_seen(1, 43, 0, false);
    assert_int_equal(s.times[NN_HEALTH_LABEL_CONSTANT], 0);
    assert_int_equal(s.times[NN_HEALTH_CLASS_UNSEEN], 1);
    assert_int_equal(labels_seen(20, 20, 1, false).times[NN_HEALTH_CLASS_UNSEEN], 0);
    assert_int_equal(labels_seen(21, 20, 1, false).times[NN_HEALTH_CLASS_UNBALANCED], 1);
    assert_int_equal(labels_seen(20, 20, 1, false).times[NN_HEALTH_CLASS_UNBALANCED], 0);
    assert_int_equal(labels_seen(21, 20, 1, true).times[NN_HEALTH_CLASS_UNBALANCED], 0);
}

static seen targets_seen(const char *net, float first, float rest) {
    nn_graph *g = net_build(net);
    nn_dataset *d = dataset("synthetic:rows=44,values=1,shape=4");
    for (int i = 0; i < ROWS; i++) d->targets[i] = i ? rest : first;
    seen s = data_seen(g, d, ROWS);
    nn_dataset_free(d);
    net_free(g);
    return s;
}

TEST(targets_out_of_reach) {
    const char *sigmoid = "input 4; dense 1; act sigmoid", *tanh = "input 4; dense 1; act tanh";
    assert_int_equal(targets_seen(sigmoid, 1.01f, 0).times[NN_HEALTH_TARGET_RANGE], 1);
    assert_int_equal(targets_seen(sigmoid, 1, 0).times[NN_HEALTH_TARGET_RANGE], 0);
    assert_int_equal(targets_seen(tanh, -1.01f, 0).times[NN_HEALTH_TARGET_RANGE], 1);
    assert_int_equal(targets_seen(tanh, -1, 0).times[NN_HEALTH_TARGET_RANGE], 0);
    assert_int_equal(targets_seen("input 4; dense 1", 99, 0).times[NN_HEALTH_TARGET_RANGE], 0);
    assert_int_equal(targets_seen("input 4; dense 1", 2, 2).times[NN_HEALTH_LABEL_CONSTANT], 1);
    assert_int_equal(targets_seen("input 4; dense 1", 2, 1).times[NN_HEALTH_LABEL_CONSTANT], 0);
}

/* ---- gradients ---- */

static nn_train_health *watching(const nn_graph *g, nn_loss_plan *p, seen *s) {
    nn_err err;
    nn_train_health *h;
    CHECK_OK(nn_loss_plan_make(g, p, &err), &err);
    CHECK_OK(nn_train_health_new(g, p, note, s, &h, &err), &err);
    return h;
}

/* Gradients g0 of the 4 weights of the first layer and g1 of the second's, weights w. */
static seen gradients_seen(float g0, float g1, float w, bool clipped) {
    nn_graph *g = net_build("input 2; dense 2 nobias; dense 2 nobias");
    nn_loss_plan p;
    seen s = {0};
    if (clipped) g->train.optimizer.clipnorm = 1;
    nn_train_health *h = watching(g, &p, &s);
    float gradients[8], weights[8];
    for (int i = 0; i < 8; i++) gradients[i] = i < 4 ? g0 : g1, weights[i] = w;
    nn_train_health_gradients(h, gradients, 8, 1, 5);
    nn_train_health_weights(h, weights);
    nn_train_health_free(h);
    net_free(g);
    return s;
}

TEST(gradients_that_explode_or_vanish) {
    /* four of 50 are 100 long; four weights of 1 are 2 long: 100 * (1 + 2) */
    assert_int_equal(gradients_seen(50.1f, 1, 0, false).times[NN_HEALTH_GRADIENT_EXPLODES], 1);
    assert_int_equal(gradients_seen(49.9f, 1, 0, false).times[NN_HEALTH_GRADIENT_EXPLODES], 0);
    assert_int_equal(gradients_seen(150.1f, 1, 1, false).times[NN_HEALTH_GRADIENT_EXPLODES], 1);
    assert_int_equal(gradients_seen(149.9f, 1, 1, false).times[NN_HEALTH_GRADIENT_EXPLODES], 0);
    assert_int_equal(gradients_seen(1000, 1, 0, true).times[NN_HEALTH_GRADIENT_EXPLODES], 0);
    seen s = gradients_seen(0.99e-5f, 1, 0, false);
    assert_int_equal(s.times[NN_HEALTH_GRADIENT_VANISHES], 1);
    assert_int_equal(s.last[NN_HEALTH_GRADIENT_VANISHES].node, 1);
    assert_int_equal(s.last[NN_HEALTH_GRADIENT_VANISHES].step, 5);
    assert_int_equal(gradients_seen(1.01e-5f, 1, 0, false).times[NN_HEALTH_GRADIENT_VANISHES], 0);
    assert_int_equal(gradients_seen(0, 0, 0, false).times[NN_HEALTH_GRADIENT_VANISHES], 0);
}

/* Of 4 units `dead` have no gradient, in so many rows. */
static seen units_seen(int dead, int64_t rows, int epochs) {
    nn_graph *g = net_build("input 1; dense 4; act relu; dense 1");
    nn_loss_plan p;
    seen s = {0};
    nn_train_health *h = watching(g, &p, &s);
    const nn_weight *bias = &g->weights[1];
    float gradients[16];
    for (int i = 0; i < 16; i++) gradients[i] = 1;
    for (int i = 0; i < dead; i++) gradients[bias->offset + i] = 0;
    for (int e = 1; e <= epochs; e++) {
        nn_train_health_gradients(h, gradients, rows, e, 5);
        nn_train_health_epoch(h, e, 1.0 / e, NAN);
    }
    const nn_symptom *list;
    if (s.times[NN_HEALTH_UNITS_DEAD]) {
        assert_int_equal(nn_train_health_symptoms(h, &list), 1);
        assert_int_equal(list->epochs, epochs);
    }
    nn_train_health_free(h);
    net_free(g);
    return s;
}

TEST(units_that_never_fire) {
    assert_int_equal(units_seen(2, 256, 1).times[NN_HEALTH_UNITS_DEAD], 1);
    assert_int_equal(units_seen(1, 256, 1).times[NN_HEALTH_UNITS_DEAD], 0);
    assert_int_equal(units_seen(2, 255, 1).times[NN_HEALTH_UNITS_DEAD], 0);
    assert_int_equal(units_seen(4, 256, 3).times[NN_HEALTH_UNITS_DEAD], 1); /* told once */
}

/* ---- losses ---- */

static seen losses_seen(const double *loss, const double *valid, int n) {
    nn_graph *g = net_build("input 1; dense 1");
    nn_loss_plan p;
    seen s = {0};
    nn_train_health *h = watching(g, &p, &s);
    for (int i = 0; i < n; i++) nn_train_health_epoch(h, i + 1, loss[i], valid ? valid[i] : NAN);
    nn_train_health_free(h);
    net_free(g);
    return s;
}

TEST(losses_that_rise_or_stay) {
    const double rises[] = {2, 1, 1.51}, wobbles[] = {2, 1, 1.49};
    assert_int_equal(losses_seen(rises, NULL, 3).times[NN_HEALTH_LOSS_RISES], 1);
    assert_int_equal(losses_seen(wobbles, NULL, 3).times[NN_HEALTH_LOSS_RISES], 0);
    const double stays[] = {2, 1, 0.9999, 0.9998, 0.9997, 0.9996, 0.9991};
    const double falls[] = {2, 1, 0.9998, 0.9996, 0.9994, 0.9992, 0.9989};
    assert_int_equal(losses_seen(stays, NULL, 7).times[NN_HEALTH_LOSS_PLATEAU], 1);
    assert_int_equal(losses_seen(stays + 1, NULL, 5).times[NN_HEALTH_LOSS_PLATEAU], 0);
    assert_int_equal(losses_seen(falls, NULL, 7).times[NN_HEALTH_LOSS_PLATEAU], 0);
    const double solved[] = {0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(losses_seen(solved, NULL, 7).times[NN_HEALTH_LOSS_PLATEAU], 0);
}

TEST(losses_that_part) {
    const double falls[] = {1, 0.8, 0.6, 0.4, 0.2}, stays[] = {1, 0.8, 0.8, 0.8, 0.8};
    const double worse[] = {1, 0.9, 0.92, 0.94, 0.946}, better[] = {1, 0.9, 0.92, 0.94, 0.944};
    assert_int_equal(losses_seen(falls, worse, 5).times[NN_HEALTH_OVERFITTING], 1);
    assert_int_equal(losses_seen(falls, worse, 4).times[NN_HEALTH_OVERFITTING], 0);
    assert_int_equal(losses_seen(falls, better, 5).times[NN_HEALTH_OVERFITTING], 0);
    assert_int_equal(losses_seen(stays, worse, 5).times[NN_HEALTH_OVERFITTING], 0);
    assert_int_equal(losses_seen(falls, NULL, 5).times[NN_HEALTH_OVERFITTING], 0);
}

/* ---- trainings ---- */

static struct {
    nn_engine engine;
    const nn_engine *inner;
} blind;

static nn_status blind_open(const nn_graph *g, const nn_exec_options *o, nn_exec **ret,
                            nn_err *err) {
    nn_status s = blind.inner->open(g, o, ret, err);
    if (s == NN_OK) (*ret)->engine = &blind.engine;
    return s;
}

static nn_status blind_gradients(nn_exec *x, int64_t rows, const nn_targets *t, float *slab,
                                 nn_step *ret, nn_err *err) {
    (void)x, (void)rows, (void)t, (void)slab, (void)err;
    *ret = (nn_step){.finite = false, .node = -1};
    return NN_OK;
}

#define DEEP                                                                                       \
    "input 4; dense 4; act sigmoid; dense 4; act sigmoid; dense 4; act sigmoid; dense 4; act "     \
    "sigmoid; dense 4; act sigmoid; dense 4; act sigmoid; dense 4; act sigmoid; dense 4; act "     \
    "sigmoid; dense 4; act sigmoid; dense 4; act sigmoid; dropout 0.2; dense 3; softmax"
#define SHALLOW "input 4; dense 16; act relu; bn; dropout 0.2; dense 3; softmax"

/* bias: of the first layer's units, in place of zeros. */
static seen train(const nn_engine *e, const char *net, float bias, char hash[NN_SHA256_HEX],
                  int *ret_listed) {
    nn_err err;
    nn_model *m;
    nn_train_result r;
    seen s = {0};
    nn_graph *g = classifier(net);
    nn_dataset *d = dataset("synthetic:rows=256,classes=3,shape=4,seed=3");
    g->train.epochs = 6;
    g->train.batch_size = 256;
    CHECK_OK(nn_model_new(g, &m, &err), &err);
    CHECK_OK(nn_weights_init(g, 1, m->weights, &err), &err);
    for (int64_t i = 0; i < g->weights[1].elements; i++)
        m->weights[g->weights[1].offset + i] = bias;
    nn_train_options o = {.engine = e, .train = d, .threads = 1, .on_event = on_event, .ctx = &s};
    CHECK_OK(nn_train(m, true, &o, &r, &err), &err);
    nn_sha256_hex(m->weights, (size_t)g->slab * sizeof(float), hash);
    *ret_listed = (int)nn_json_size(nn_json_get(m->summary, "health"));
    nn_model_free(m);
    nn_dataset_free(d);
    return s;
}

TEST(trainings_say_what_is_wrong_and_nothing_else) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        char hash[NN_SHA256_HEX], unseen[NN_SHA256_HEX];
        int listed;
        const nn_engine *e = nn_engine_at(i);
        seen s = train(e, DEEP, 0, hash, &listed);
        assert_int_equal(s.times[NN_HEALTH_GRADIENT_VANISHES], 1);
        assert_int_equal(listed, 1);
        s = train(e, SHALLOW, -1000, hash, &listed);
        assert_int_equal(s.times[NN_HEALTH_UNITS_DEAD], 1);
        assert_int_equal(s.last[NN_HEALTH_UNITS_DEAD].node, 2);
        s = train(e, SHALLOW, 0, hash, &listed);
        for (int k = 0; k < NN_HEALTH_COUNT; k++)
            if (s.times[k]) fail_msg("%s: %s", e->name, s.last[k].text);
        assert_int_equal(listed, 0);
        blind.inner = e;
        blind.engine = *e;
        blind.engine.open = blind_open;
        blind.engine.gradients = blind_gradients;
        train(&blind.engine, SHALLOW, 0, unseen, &listed);
        assert_string_equal(hash, unseen);
    }
}
