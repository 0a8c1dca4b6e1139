/* SPDX-License-Identifier: MIT */
/* test_trainer.c - training as a whole, on every engine that runs: it learns, it is deterministic,
 * it stops and goes on with identical bytes, and it refuses what does not fit. */
#include "base/hash.h"
#include "engine/checkpoint.h"
#include "engine/fit.h"
#include "engine/trainer.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CNN                                                                                          \
    "input 8 8 1; conv f=4 k=3x3; bn; act relu; max_pool k=2x2 s=2x2; flatten; dense 12; act relu; " \
    "dropout 0.2; dense 3; softmax"
#define SET "synthetic:rows=101,classes=3,shape=8x8x1,seed=3"

/* What a test does to a training, and what it saw of it. */
typedef struct watch {
    nn_train_event last[NN_TRAIN_FINISHED + 1];
    int count[NN_TRAIN_FINISHED + 1];
    volatile sig_atomic_t stop;
    int stop_at_epoch; /* set stop when this epoch is reported; 0: never */
} watch;

static void on_event(void *ctx, const nn_train_event *e) {
    watch *w = ctx;
    w->last[e->type] = *e;
    w->count[e->type]++;
    if (e->type == NN_TRAIN_EPOCH && e->epoch == w->stop_at_epoch) w->stop = 1;
}

/* An engine that runs another one and stops the training after so many steps. */
static struct {
    nn_engine engine;
    const nn_engine *inner;
    int steps_left;
    watch *w;
} stopper;

static nn_status stopper_open(const nn_graph *g, const nn_exec_options *o, nn_exec **ret,
                              nn_err *err) {
    nn_status s = stopper.inner->open(g, o, ret, err);
    if (s == NN_OK) (*ret)->engine = &stopper.engine;
    return s;
}

static nn_status stopper_step(nn_exec *x, int64_t rows, const nn_targets *t, nn_step *ret,
                              nn_err *err) {
    if (--stopper.steps_left == 0) stopper.w->stop = 1;
    return stopper.inner->step(x, rows, t, ret, err);
}

static const nn_engine *stop_after(const nn_engine *inner, int steps, watch *w) {
    stopper.engine = *inner;
    stopper.engine.open = stopper_open;
    stopper.engine.step = stopper_step;
    stopper.inner = inner;
    stopper.steps_left = steps;
    stopper.w = w;
    return &stopper.engine;
}

static const nn_engine *running(unsigned i) {
    const char *reason;
    const nn_engine *e = nn_engine_at(i);
    return e && e->available(&reason) ? e : NULL;
}

static nn_graph *cnn(int64_t epochs) {
    nn_graph *g = net_build(CNN);
    g->train = nn_train_default();
    g->train.loss = NN_LOSS_SPARSE;
    g->train.optimizer.learning_rate = 0.01;
    g->train.epochs = epochs;
    g->train.batch_size = 16;
    g->train.validation_split = 0.2;
    return g;
}

static nn_dataset *dataset(const char *spec, nn_split split) {
    nn_dataset *d = NULL;
    nn_err err;
    CHECK_OK(nn_dataset_open(spec, split, &d, &err), &err);
    return d;
}

static char *scratch_path(char buf[64]) {
    snprintf(buf, 64, "/tmp/neural-trainer-%ld.safetensors", (long)getpid());
    return buf;
}

/* Trains a fresh model of g (which it takes) and returns its status; the hash of the weights. */
static nn_status train(nn_graph *g, const nn_train_options *o, nn_train_result *ret,
                       char hash[NN_SHA256_HEX], nn_err *err) {
    nn_model *m = NULL;
    CHECK_OK(nn_model_new(g, &m, err), err);
    nn_status s = nn_train(m, false, o, ret, err);
    if (s == NN_OK && hash) nn_sha256_hex(m->weights, (size_t)g->slab * sizeof(float), hash);
    nn_model_free(m);
    return s;
}

TEST(training_learns) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset("synthetic:rows=300,classes=3,shape=8x8x1,seed=3", NN_SPLIT_TRAIN);
        nn_dataset *test =
            dataset("synthetic:rows=300,classes=3,shape=8x8x1,seed=3", NN_SPLIT_TEST);
        nn_model *m = NULL;
        nn_train_result r;
        nn_err err;
        watch w = {0};
        nn_train_options o = {.engine = running(i),
                              .train = d,
                              .test = test,
                              .threads = 1,
                              .seed = 7,
                              .on_event = on_event,
                              .ctx = &w};
        CHECK_OK(nn_model_new(cnn(6), &m, &err), &err);
        CHECK_OK(nn_train(m, false, &o, &r, &err), &err);
        /* chance is 0.33; the set is one that a linear model learns */
        if (!(r.test_accuracy > 0.9 && r.val_accuracy > 0.9))
            fail_msg("%s: test accuracy %g, validation accuracy %g", running(i)->name,
                     r.test_accuracy, r.val_accuracy);
        assert_int_equal(r.epochs, 6);
        assert_int_equal(r.updates, 6 * 15); /* 240 rows in batches of 16 */
        assert_int_equal(w.count[NN_TRAIN_STARTED], 1);
        assert_int_equal(w.count[NN_TRAIN_EPOCH], 6);
        assert_int_equal(w.count[NN_TRAIN_FINISHED], 1);
        assert_int_equal(w.count[NN_TRAIN_CHECKPOINT], 0);
        assert_int_equal(w.last[NN_TRAIN_EPOCH].epoch, 6);
        assert_int_equal(w.last[NN_TRAIN_EPOCH].done, 90);
        assert_int_equal(w.last[NN_TRAIN_EPOCH].total, 90);
        CHECK(w.last[NN_TRAIN_EPOCH].val_loss == r.val_loss);
        assert_int_equal(m->n_classes, 3);
        CHECK(m->scale == d->block[0].norm.scale && m->offset == d->block[0].norm.offset);
        nn_json *set = nn_json_get(m->summary, "dataset");
        assert_string_equal(nn_json_str(nn_json_get(set, "sha256"), ""), d->sha256);
        assert_string_equal(nn_json_str(nn_json_get(m->summary, "seed"), ""), "7");
        assert_int_equal(nn_json_int(nn_json_get(m->summary, "updates"), 0), 90);
        nn_json *metrics = nn_json_get(m->summary, "metrics");
        CHECK(nn_json_num(nn_json_get(metrics, "test_accuracy"), 0) == r.test_accuracy);
        nn_model_free(m);
        nn_dataset_free(d);
        nn_dataset_free(test);
    }
}

/* ---- which rows a step sees ---- */

static struct {
    nn_engine engine;
    const nn_engine *inner;
    float seen[64];
    int n;
} spy;

static nn_status spy_open(const nn_graph *g, const nn_exec_options *o, nn_exec **ret, nn_err *err) {
    nn_status s = spy.inner->open(g, o, ret, err);
    if (s == NN_OK) (*ret)->engine = &spy.engine;
    return s;
}

static nn_status spy_step(nn_exec *x, int64_t rows, const nn_targets *t, nn_step *ret,
                          nn_err *err) {
    for (int64_t i = 0; i < rows && spy.n < 64; i++) spy.seen[spy.n++] = spy.inner->input(x, 0)[i];
    return spy.inner->step(x, rows, t, ret, err);
}

/* Two epochs over 10 rows whose one value is their number, in batches of 4. */
static void spy_on(bool shuffle) {
    nn_err err;
    nn_train_result r;
    nn_graph *g = net_build("input 1; dense 1");
    nn_dataset *d = dataset("synthetic:rows=10,values=1,shape=1", NN_SPLIT_TRAIN);
    for (int i = 0; i < 10; i++) ((float *)d->block[0].data)[i] = (float)i;
    d->block[0].norm = (nn_normalisation){.scale = 1};
    g->train.epochs = 2;
    g->train.batch_size = 4;
    g->train.validation_split = 0;
    g->train.shuffle = shuffle;
    spy.inner = nn_engine_find("reference");
    spy.engine = *spy.inner;
    spy.engine.open = spy_open;
    spy.engine.step = spy_step;
    spy.n = 0;
    nn_train_options o = {.engine = &spy.engine, .train = d, .seed = 4};
    CHECK_OK(train(g, &o, &r, NULL, &err), &err);
    assert_int_equal(spy.n, 20);
    nn_dataset_free(d);
}

/* ---- class weights ---- */

static struct {
    float of[3];
    int rows[3];
    bool none;
} weighed;

static nn_status weighing_step(nn_exec *x, int64_t rows, const nn_targets *t, nn_step *ret,
                               nn_err *err) {
    for (int64_t i = 0; i < rows; i++) {
        weighed.none |= !t->weights;
        if (t->weights) weighed.of[t->labels[i]] = t->weights[i];
        weighed.rows[t->labels[i]]++;
    }
    return spy.inner->step(x, rows, t, ret, err);
}

static nn_status weigh(nn_class_weight w, nn_err *err) {
    nn_train_result r;
    nn_graph *g = net_build("input 4; dense 3; softmax");
    nn_dataset *d = dataset("synthetic:rows=12,classes=3,shape=4,seed=3", NN_SPLIT_TRAIN);
    for (int i = 0; i < 12; i++) d->labels[i] = i < 8 ? 0 : i < 11 ? 1 : 2;
    g->train.loss = NN_LOSS_SPARSE;
    g->train.epochs = 1;
    g->train.class_weight = w;
    spy.inner = nn_engine_find("reference");
    spy.engine = *spy.inner;
    spy.engine.open = spy_open;
    spy.engine.step = weighing_step;
    memset(&weighed, 0, sizeof weighed);
    nn_train_options o = {.engine = &spy.engine, .train = d, .seed = 4};
    nn_status s = train(g, &o, &r, NULL, err);
    nn_dataset_free(d);
    return s;
}

TEST(rows_weigh_what_their_class_weighs) {
    nn_err err;
    CHECK_OK(weigh(
                 (nn_class_weight){
                     .n = 2, .of = {0.5, 3}
    },
                 &err),
             &err);
    assert_true(weighed.of[0] == 0.5f && weighed.of[1] == 3 && weighed.of[2] == 1);
    assert_true(weighed.rows[0] == 8 && weighed.rows[1] == 3 && weighed.rows[2] == 1);
    /* scikit-learn's "balanced": 12 / (3 * 8), 12 / (3 * 3), 12 / (3 * 1) */
    CHECK_OK(weigh((nn_class_weight){.balanced = true}, &err), &err);
    assert_true(weighed.of[0] == 0.5f && weighed.of[2] == 4);
    assert_true(fabsf(weighed.of[1] - 4.0f / 3) < 1e-6f);
    CHECK_OK(weigh((nn_class_weight){0}, &err), &err);
    assert_true(weighed.none);
    assert_int_equal(weigh(
                         (nn_class_weight){
                             .n = 4, .of = {1, 1, 1, 2}
    },
                         &err),
                     NN_E_DATA_ERROR);
    assert_non_null(strstr(err.msg, "class 3"));
}

TEST(class_weights_need_classes) {
    nn_err err;
    nn_train_result r;
    nn_graph *g = net_build("input 4; dense 1");
    nn_dataset *d = dataset("synthetic:rows=12,values=1,shape=4", NN_SPLIT_TRAIN);
    g->train.class_weight = (nn_class_weight){.balanced = true};
    nn_train_options o = {.engine = nn_engine_find("reference"), .train = d, .seed = 4};
    assert_int_equal(train(g, &o, &r, NULL, &err), NN_E_DATA_ERROR);
    assert_non_null(strstr(err.msg, "class_weight"));
    nn_dataset_free(d);
}

TEST(epochs_visit_every_row_once) {
    int times[2][10] = {{0}}, moved = 0;
    spy_on(true);
    for (int i = 0; i < 20; i++) times[i / 10][(int)spy.seen[i]]++;
    for (int i = 0; i < 10; i++) {
        CHECK(times[0][i] == 1 && times[1][i] == 1);
        moved += spy.seen[i] != spy.seen[10 + i];
    }
    CHECK(moved > 0); /* in another order */
    spy_on(false);
    for (int i = 0; i < 20; i++) CHECK(spy.seen[i] == (float)(i % 10));
}

/* With a learning rate that moves nothing, the running means of an epoch are those of an evaluation
 * over the same rows: 50 rows in batches of 16, so the last batch must count for less. */
TEST(epoch_means_weigh_rows_not_batches) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_err err;
        nn_train_result r;
        nn_dataset *d = dataset("synthetic:rows=50,classes=3,shape=6", NN_SPLIT_TRAIN);
        nn_graph *g = net_build("input 6; dense 3; softmax");
        g->train.loss = NN_LOSS_SPARSE;
        g->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 1e-20};
        g->train.epochs = 1;
        g->train.batch_size = 16;
        g->train.validation_split = 0;
        nn_train_options o = {.engine = running(i), .train = d, .test = d, .threads = 1};
        CHECK_OK(train(g, &o, &r, NULL, &err), &err);
        CHECK(fabs(r.loss - r.test_loss) < 1e-6 && r.accuracy == r.test_accuracy);
        CHECK(isnan(r.val_loss));
        nn_dataset_free(d);
    }
}

/* The last batch of an epoch is smaller: 81 rows in batches of 16 are 6 steps. */
TEST(same_seed_gives_the_same_bytes) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        char hash[3][NN_SHA256_HEX];
        nn_train_result r;
        nn_err err;
        for (int k = 0; k < 3; k++) {
            nn_train_options o = {
                .engine = running(i), .train = d, .threads = 2, .seed = k == 2 ? 2 : 1};
            CHECK_OK(train(cnn(2), &o, &r, hash[k], &err), &err);
            assert_int_equal(r.updates, 12);
        }
        assert_string_equal(hash[0], hash[1]);
        assert_string_not_equal(hash[0], hash[2]);
        nn_dataset_free(d);
    }
}

/* Stopped after 1, 5, 6, 7, 12, 14 of 18 steps (within the first epoch and the last, at an end):
 * the bytes of a training that was resumed are those of one that was not interrupted. */
TEST(resumed_training_ends_with_the_same_bytes) {
    char path[64];
    scratch_path(path);
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        char whole[NN_SHA256_HEX], parts[NN_SHA256_HEX];
        nn_train_result r, r2;
        nn_err err;
        nn_train_options plain = {.engine = running(i), .train = d, .threads = 1, .seed = 5};
        CHECK_OK(train(cnn(3), &plain, &r, whole, &err), &err);
        static const int stops[] = {1, 5, 6, 7, 12, 14};
        for (int k = 0; k < 6; k++) {
            watch w = {0};
            nn_train_options o = plain;
            o.engine = stop_after(running(i), stops[k], &w);
            o.checkpoint = path;
            o.stop = &w.stop;
            assert_int_equal(train(cnn(3), &o, &r2, NULL, &err), NN_E_CANCELLED);
            assert_non_null(strstr(err.hint, path));
            o = plain;
            o.checkpoint = path;
            o.resume = true;
            o.seed = 999; /* the checkpoint's counts */
            CHECK_OK(train(cnn(3), &o, &r2, parts, &err), &err);
            if (strcmp(whole, parts) != 0)
                fail_msg("%s: stopped after %d steps, the weights differ", running(i)->name,
                         stops[k]);
            CHECK(r.loss == r2.loss && r.val_loss == r2.val_loss && r.accuracy == r2.accuracy);
            assert_int_equal(r2.updates, 18);
        }
        nn_dataset_free(d);
    }
    unlink(path);
}

/* Twice interrupted, by another number of epochs too: 1, then 2 with a stop, then 3. */
TEST(resume_of_a_resume_and_more_epochs) {
    char path[64];
    scratch_path(path);
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        char whole[NN_SHA256_HEX], parts[NN_SHA256_HEX];
        nn_train_result r;
        nn_err err;
        watch w = {.stop_at_epoch = 2};
        nn_train_options o = {.engine = running(i), .train = d, .threads = 2, .seed = 5};
        CHECK_OK(train(cnn(3), &o, &r, whole, &err), &err);
        o.checkpoint = path;
        o.on_event = on_event;
        o.ctx = &w;
        CHECK_OK(train(cnn(1), &o, &r, NULL, &err), &err);
        assert_int_equal(w.count[NN_TRAIN_CHECKPOINT], 2); /* at the start and after the epoch */
        o.resume = true;
        o.stop = &w.stop;
        o.threads = 0; /* the checkpoint's */
        assert_int_equal(train(cnn(3), &o, &r, NULL, &err), NN_E_CANCELLED);
        o.stop = NULL;
        CHECK_OK(train(cnn(3), &o, &r, parts, &err), &err);
        assert_string_equal(whole, parts);
        CHECK_OK(train(cnn(3), &o, &r, parts, &err), &err); /* nothing left to do */
        assert_string_equal(whole, parts);
        nn_dataset_free(d);
    }
    unlink(path);
}

/* Two good epochs, then a learning rate that ruins the weights: patience 2 ends it after the fourth
 * and gives back the second, whose bytes are those of a training of two. */
static nn_graph *ruined(int64_t epochs) {
    nn_graph *g = cnn(epochs);
    nn_schedule *s = &g->train.optimizer.schedule;
    *s = (nn_schedule){
        .kind = NN_SCHEDULE_PIECEWISE, .n_values = 2, .boundaries = {11},
                .values = { 0.01, 3}
    };
    g->train.metrics |= NN_METRIC_F1;
    g->train.early_stopping = nn_early_stopping_default();
    g->train.early_stopping.patience = 2;
    g->train.early_stopping.restore_best = true;
    snprintf(g->train.early_stopping.monitor, sizeof g->train.early_stopping.monitor, "val_loss");
    return g;
}

TEST(stops_early_and_gives_back_the_best) {
    char path[64], two[NN_SHA256_HEX], hash[NN_SHA256_HEX];
    scratch_path(path);
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        nn_train_result r, r2;
        nn_err err;
        nn_train_options o = {.engine = running(i), .train = d, .threads = 1, .seed = 5};
        CHECK_OK(train(ruined(2), &o, &r, two, &err), &err);
        CHECK_OK(train(ruined(20), &o, &r, hash, &err), &err);
        assert_string_equal(two, hash);
        CHECK(r.stopped_early && r.epochs == 4 && r.best_epoch == 2);
        CHECK(!isnan(r.metrics.of[NN_TRAIN_METRIC_F1]) && isnan(r.metrics.of[NN_TRAIN_METRIC_AUC]));
        static const int stops[] = {3, 6, 14, 20, 23}; /* steps; an epoch has 6 */
        for (int k = 0; k < 5; k++) {
            watch w = {0};
            nn_train_options part = o;
            part.engine = stop_after(running(i), stops[k], &w);
            part.checkpoint = path;
            part.stop = &w.stop;
            assert_int_equal(train(ruined(20), &part, &r2, NULL, &err), NN_E_CANCELLED);
            part = o;
            part.checkpoint = path;
            part.resume = true;
            CHECK_OK(train(ruined(20), &part, &r2, hash, &err), &err);
            assert_string_equal(two, hash);
            CHECK(r2.epochs == 4 && r2.best_epoch == 2);
            CHECK(r2.metrics.of[NN_TRAIN_METRIC_F1] == r.metrics.of[NN_TRAIN_METRIC_F1]);
        }
        nn_dataset_free(d);
    }
    unlink(path);
}

/* ---- checkpoints that cannot be used ---- */

typedef struct bytes {
    char *p;
    long n;
} bytes;

static bytes slurp(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    bytes b = {.n = ftell(f)};
    rewind(f);
    b.p = net_alloc(b.n, 1);
    assert_int_equal(fread(b.p, 1, (size_t)b.n, f), b.n);
    fclose(f);
    return b;
}

static void spill(const char *path, const char *p, long n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
}

static nn_status resume(nn_graph *g, const nn_dataset *d, const char *path, nn_err *err) {
    nn_train_result r;
    nn_train_options o = {
        .engine = nn_engine_find("reference"), .train = d, .checkpoint = path, .resume = true};
    return train(g, &o, &r, NULL, err);
}

TEST(damaged_checkpoints_are_refused) {
    char path[64];
    nn_train_result r;
    nn_err err;
    scratch_path(path);
    unlink(path);
    nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
    assert_int_equal(resume(cnn(1), d, path, &err), NN_E_NOT_FOUND);
    nn_train_options o = {.engine = nn_engine_find("reference"), .train = d, .checkpoint = path};
    CHECK_OK(train(cnn(1), &o, &r, NULL, &err), &err);
    bytes b = slurp(path);
    static const double shares[] = {0, 0.0005, 0.01, 0.2, 0.5, 0.99, 0.9999};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        spill(path, b.p, (long)((double)b.n * shares[i]));
        assert_int_equal(resume(cnn(1), d, path, &err), NN_E_MODEL_FILE_ERROR);
        assert_non_null(strstr(err.msg, path));
    }
    for (long at = 3; at < b.n; at += b.n / 61 + 1) { /* a flipped bit anywhere */
        b.p[at] ^= 1;
        spill(path, b.p, b.n);
        b.p[at] ^= 1;
        nn_status s = resume(cnn(1), d, path, &err);
        if (s != NN_E_MODEL_FILE_ERROR && s != NN_E_CONFLICT)
            fail_msg("bit 0 of byte %ld flipped: %s", at, nn_status_name(s));
    }
    spill(path, b.p, b.n);
    CHECK_OK(resume(cnn(1), d, path, &err), &err);
    free(b.p);
    nn_dataset_free(d);
    unlink(path);
}

TEST(checkpoints_of_something_else_are_refused) {
    char path[64];
    nn_train_result r;
    nn_err err;
    scratch_path(path);
    nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
    nn_dataset *other = dataset("synthetic:rows=101,classes=3,shape=8x8x1,seed=4", NN_SPLIT_TRAIN);
    nn_train_options o = {.engine = nn_engine_find("reference"), .train = d, .checkpoint = path};
    CHECK_OK(train(cnn(1), &o, &r, NULL, &err), &err);
    assert_int_equal(resume(cnn(1), other, path, &err), NN_E_CONFLICT);
    assert_non_null(strstr(err.msg, "data"));
    nn_graph *g = cnn(1);
    g->train.batch_size = 8;
    assert_int_equal(resume(g, d, path, &err), NN_E_CONFLICT);
    g = cnn(1);
    g->train.optimizer.learning_rate = 0.5;
    assert_int_equal(resume(g, d, path, &err), NN_E_CONFLICT);
    g = cnn(1);
    g->weights[0].regularizer.l2 = 1;
    assert_int_equal(resume(g, d, path, &err), NN_E_CONFLICT);
    assert_non_null(strstr(err.msg, "another network"));
    nn_dataset_free(d);
    nn_dataset_free(other);
    unlink(path);
}

TEST(unwritable_checkpoints_show_before_training) {
    nn_train_result r;
    nn_err err;
    watch w = {0};
    nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
    nn_train_options o = {.engine = nn_engine_find("reference"),
                          .train = d,
                          .checkpoint = "/nonexistent/folder/x.safetensors",
                          .on_event = on_event,
                          .ctx = &w};
    CHECK(train(cnn(1), &o, &r, NULL, &err) != NN_OK);
    assert_int_equal(w.count[NN_TRAIN_EPOCH], 0);
    nn_dataset_free(d);
}

/* ---- losses that are not numbers ---- */

TEST(diverging_training_names_step_layer_and_remedy) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        nn_train_result r;
        nn_err err;
        nn_graph *g = cnn(50);
        g->train.optimizer =
            (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 1e30, .momentum = 0.9};
        nn_train_options o = {.engine = running(i), .train = d, .threads = 1};
        assert_int_equal(train(g, &o, &r, NULL, &err), NN_E_NAN_LOSS);
        assert_non_null(strstr(err.msg, "step"));
        assert_non_null(strstr(err.msg, "layer 'n"));
        assert_non_null(strstr(err.hint, "learning_rate"));
        CHECK(err.line > 0);
        nn_dataset_free(d);
    }
}

TEST(data_that_is_not_finite_is_named) {
    for (unsigned i = 0; nn_engine_at(i); i++) {
        if (!running(i)) continue;
        nn_dataset *d = dataset(SET, NN_SPLIT_TRAIN);
        nn_train_result r;
        nn_err err;
        if (d->block[0].type != NN_ROWS_F32) fail_msg("the synthetic set is no longer of floats");
        for (int64_t k = 0; k < d->rows * 64; k += 64) ((float *)d->block[0].data)[k] = NAN;
        nn_train_options o = {.engine = running(i), .train = d, .threads = 1};
        assert_int_equal(train(cnn(1), &o, &r, NULL, &err), NN_E_NAN_LOSS);
        assert_non_null(strstr(err.msg, "epoch 1, step 1"));
        assert_non_null(strstr(err.hint, "data"));
        nn_dataset_free(d);
    }
}

/* ---- networks and data that do not fit ---- */

static nn_status fit(const char *net, nn_loss_kind loss, const char *spec, nn_err *err) {
    nn_dataset *d = dataset(spec, NN_SPLIT_TRAIN);
    nn_graph *g = net_build(net);
    nn_train_result r;
    g->train.loss = loss;
    g->train.epochs = 1;
    nn_train_options o = {.engine = nn_engine_find("reference"), .train = d};
    nn_status s = train(g, &o, &r, NULL, err);
    nn_dataset_free(d);
    return s;
}

TEST(misfits_name_both_sides) {
    nn_err err;
    const char *set = "synthetic:rows=40,classes=3,shape=4x4x1";
    assert_int_equal(fit("input 5 5 1; flatten; dense 3; softmax", NN_LOSS_SPARSE, set, &err),
                     NN_E_DSL_ERROR);
    assert_non_null(strstr(err.msg, "(5, 5, 1)"));
    assert_non_null(strstr(err.msg, "(4, 4, 1)"));
    assert_int_equal(err.line, 1);
    assert_int_equal(fit("input 4 4 1; flatten; dense 2; softmax", NN_LOSS_SPARSE, set, &err),
                     NN_E_DSL_ERROR);
    assert_non_null(strstr(err.msg, "3 classes"));
    assert_non_null(strstr(err.hint, "3 units"));
    assert_int_equal(fit("input 4 4 1; flatten; dense 4", NN_LOSS_MSE, set, &err), NN_E_DSL_ERROR);
    assert_int_equal(fit("input 4; dense 3; softmax", NN_LOSS_SPARSE,
                         "synthetic:rows=40,values=2,shape=4", &err),
                     NN_E_DATA_ERROR);
    assert_int_equal(
        fit("input 4; dense 3", NN_LOSS_MSE, "synthetic:rows=40,values=2,shape=4", &err),
        NN_E_DSL_ERROR);
    assert_int_equal(fit("input 4 4 1; flatten; softmax", NN_LOSS_SPARSE, set, &err),
                     NN_E_DSL_ERROR); /* 16 outputs do for 3 classes, but there is no weight */
    assert_non_null(strstr(err.msg, "no weights"));
}

TEST(data_of_classes_serves_losses_over_values) {
    nn_err err;
    CHECK_OK(fit("input 16; dense 3; softmax", NN_LOSS_MSE,
                 "synthetic:rows=40,classes=3,shape=4x4x1", &err),
             &err);
    CHECK_OK(fit("input 4; dense 1; act sigmoid", NN_LOSS_BINARY,
                 "synthetic:rows=40,classes=2,shape=4", &err),
             &err);
    CHECK_OK(fit("input 4; dense 2", NN_LOSS_MSE, "synthetic:rows=40,values=2,shape=4", &err),
             &err);
    nn_dataset *d = dataset("synthetic:rows=40,classes=3,shape=4", NN_SPLIT_TRAIN);
    uint32_t index[2] = {4, 9};
    float values[6];
    nn_feed_fill(NN_FEED_ONE_HOT, d, index, 2, 3, NULL, values);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < 3; c++) CHECK(values[i * 3 + c] == (d->labels[index[i]] == c));
    nn_feed_fill(NN_FEED_BINARY, d, index, 2, 1, NULL, values);
    CHECK(values[0] == (float)d->labels[4] && values[1] == (float)d->labels[9]);
    nn_dataset_free(d);
}

/* Rows that threads read and move, however many there are and wherever the training is stopped: the
 * weights are those of one thread that goes through. */
TEST(augmented_training_is_bit_identical) {
    const char *spec = SET ",augment=flip+crop2+rotate15";
    nn_dataset *d = dataset(spec, NN_SPLIT_TRAIN), *plain = dataset(SET, NN_SPLIT_TRAIN);
    const nn_engine *e = nn_engine_find("reference");
    char path[64], whole[NN_SHA256_HEX], resumed[NN_SHA256_HEX], other[NN_SHA256_HEX];
    nn_train_result r;
    nn_err err;
    watch w = {0};
    nn_train_options o = {
        .engine = e, .train = d, .threads = 1, .seed = 7, .on_event = on_event, .ctx = &w};
    CHECK_OK(train(cnn(3), &o, &r, whole, &err), &err);
    CHECK(r.data_wait >= 0 && r.data_wait <= 1);
    o.train = plain;
    CHECK_OK(train(cnn(3), &o, &r, other, &err), &err);
    assert_string_not_equal(whole, other);
    o.train = d;
    o.checkpoint = scratch_path(path);
    o.stop = &w.stop;
    o.engine = stop_after(e, 8, &w); /* in the second epoch */
    assert_int_equal(train(cnn(3), &o, &r, NULL, &err), NN_E_CANCELLED);
    w.stop = 0;
    o.engine = e;
    o.resume = true;
    o.threads = 4; /* more threads that load */
    CHECK_OK(train(cnn(3), &o, &r, resumed, &err), &err);
    assert_string_equal(whole, resumed);
    remove(path);
    nn_dataset_free(d);
    nn_dataset_free(plain);
}
