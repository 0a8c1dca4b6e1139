/* SPDX-License-Identifier: MIT */
/* trainer.c - the training loop.
 *
 * Where a training stands is one record, the checkpoint's: the loop works on it, saving writes it,
 * resuming reads it. The order of rows and dropout derive from the seed, the epoch and the number
 * of updates in it, so that nothing else decides how a training goes on. */
#include "engine/trainer.h"

#include "base/clock.h"
#include "data/loader.h"
#include "engine/checkpoint.h"
#include "engine/fit.h"
#include "engine/optimizer.h"
#include "engine/summary.h"
#include "engine/watch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct trainer {
    const nn_graph *graph;
    const nn_train_options *o;
    nn_exec *exec;
    nn_fit fit, test_fit;
    nn_loss_plan plan;
    int64_t batch, steps;         /* rows of a batch; steps an epoch */
    bool has_accuracy;            /* of continuous targets there is none */
    nn_order train, valid, order; /* row numbers; order: of the running epoch */
    uint32_t *index;              /* the rows of one batch of the test set */
    int32_t *labels;
    float *values;
    float *class_weight, *weights; /* by class, of the rows of a batch; NULL: all weigh 1 */
    nn_checkpoint_slabs slabs;     /* on their way to and from files */
    nn_loader *loader;             /* NULL: batches cost no more than copying them */
    nn_checkpoint at;
    nn_watch watch;
    nn_train_health *health;
    nn_meter *meter, *eval;                   /* of the training rows; of others */
    nn_metric_values metrics, val_metrics;    /* of the last epoch of this run */
    int64_t run_start, run_done, run_samples; /* of this run: clock, batches, rows */
    double run_busy, run_waited;              /* seconds in steps; of those, for their rows */
    double earlier;                           /* seconds of runs before this one */
    int64_t last_progress;
} trainer;

static void trainer_done(trainer *t) {
    nn_loader_close(t->loader);
    nn_exec_closep(&t->exec);
    nn_order_done(&t->train);
    nn_order_done(&t->valid);
    nn_order_done(&t->order);
    free(t->index);
    free(t->labels);
    free(t->values);
    free(t->class_weight);
    free(t->weights);
    free(t->slabs.weights);
    free(t->slabs.state);
    free(t->slabs.best);
    nn_train_health_free(t->health);
    nn_meter_free(t->meter);
    nn_meter_free(t->eval);
}

static double seconds_since(int64_t start) {
    return (double)(nn_clock_mono() - start) * 1e-9;
}

/* ---- events ---- */

static nn_train_event event_of(const trainer *t) {
    const nn_checkpoint *at = &t->at;
    int64_t epochs = t->graph->train.epochs, done = at->epoch * t->steps + at->step;
    double run = seconds_since(t->run_start), rows = (double)at->rows;
    nn_train_event e = {
        .epoch = at->epoch + 1,
        .epochs = epochs,
        .step = at->step,
        .steps = t->steps,
        .done = done,
        .total = epochs * t->steps,
        .loss = at->rows ? at->loss_sum / rows : at->loss,
        .accuracy = !t->has_accuracy ? NAN
                    : at->counted    ? (double)at->correct / (double)at->counted
                                     : at->accuracy,
        .val_loss = NAN,
        .val_accuracy = NAN,
        .metrics = nn_metric_values_none(),
        .val_metrics = nn_metric_values_none(),
        .rate = t->run_busy > 0 ? (double)t->run_samples / t->run_busy : 0,
        .eta_s = NAN,
        .seconds = t->earlier + run,
    };
    if (t->run_done >= 2) e.eta_s = run / (double)t->run_done * (double)(e.total - done);
    return e;
}

static void emit(const trainer *t, nn_train_event *e, int type) {
    e->type = type;
    if (t->o->on_event) t->o->on_event(t->o->ctx, e);
}

static void emit_progress(trainer *t) {
    const int64_t interval = 100 * 1000 * 1000; /* ns: at most ten a second */
    int64_t now = nn_clock_mono();
    if (!t->o->on_event || now - t->last_progress < interval) return;
    t->last_progress = now;
    nn_train_event e = event_of(t);
    emit(t, &e, NN_TRAIN_PROGRESS);
}

/* The epoch that at.epoch counts as done has just been finished. */
static void emit_epoch(const trainer *t, const nn_metric_values *metrics,
                       const nn_metric_values *val_metrics) {
    nn_train_event e = event_of(t);
    e.metrics = *metrics;
    e.val_metrics = *val_metrics;
    e.best = t->at.best_epoch == t->at.epoch;
    e.epoch = t->at.epoch;
    e.step = t->steps;
    e.loss = t->at.loss;
    e.accuracy = t->at.accuracy;
    e.val_loss = t->at.val_loss;
    e.val_accuracy = t->at.val_accuracy;
    emit(t, &e, NN_TRAIN_EPOCH);
}

static void emit_symptom(void *ctx, const nn_symptom *f) {
    const trainer *t = ctx;
    nn_train_event e = event_of(t);
    e.epoch = f->epoch;
    e.symptom = f;
    emit(t, &e, NN_TRAIN_HEALTH);
}

/* ---- checkpoints ---- */

static nn_status save(trainer *t, nn_err *err) {
    if (!t->o->checkpoint) return NN_OK;
    const nn_engine *engine = t->exec->engine;
    engine->get_weights(t->exec, t->slabs.weights);
    engine->get_state(t->exec, t->slabs.state, &t->at.updates);
    t->at.seconds = t->earlier + seconds_since(t->run_start);
    t->at.sums = nn_meter_sums(t->meter);
    nn_status s = nn_checkpoint_save(t->o->checkpoint, t->graph, &t->at, &t->slabs, err);
    if (s != NN_OK) return s;
    nn_train_event e = event_of(t);
    e.path = t->o->checkpoint;
    emit(t, &e, NN_TRAIN_CHECKPOINT);
    return NN_OK;
}

static bool stop_wanted(const trainer *t) {
    return t->o->stop && *t->o->stop;
}

static bool stopped_early(const trainer *t) {
    return t->at.step == 0 && nn_watch_stops(&t->watch, t->at.waited);
}

static nn_status cancel(trainer *t, nn_err *err) {
    nn_status s = save(t, err);
    if (s != NN_OK) return s;
    if (t->at.epoch < t->graph->train.epochs && !stopped_early(t))
        s = nn_fail(err, NN_E_CANCELLED,
                    "training was stopped in epoch %" PRId64 " after step %" PRId64 " of %" PRId64,
                    t->at.epoch + 1, t->at.step, t->steps);
    else
        s = nn_fail(err, NN_E_CANCELLED, "training was stopped before its last evaluation ended");
    if (t->o->checkpoint)
        nn_err_hint(err, s, "continue with --resume: the checkpoint is '%s'", t->o->checkpoint);
    return s;
}

/* ---- loss that is not a number ---- */

static const char *nan_advice(const trainer *t, const nn_node *n) {
    nn_loss_plan p;
    if (n && n->op == NN_OP_INPUT)
        return "the data holds a value that is not finite; look for empty or damaged fields";
    if (nn_loss_plan_make(t->graph, &p, NULL) == NN_OK &&
        (p.form == NN_FORM_CE_PROBS || p.form == NN_FORM_BCE_PROBS))
        return "the loss takes the log of the outputs: end with softmax (or sigmoid), or set "
               "from_logits=true; or lower learning_rate";
    if (n && n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_EXPONENTIAL)
        return "exponential overflows above 88: use softplus or relu, or scale its input down";
    return "try a tenth of the learning_rate, clipnorm=1.0 in the optimizer, inputs scaled to 0..1, "
           "or BatchNormalization";
}

static nn_status fail_nan(const trainer *t, const nn_step *step, nn_err *err) {
    const nn_node *n = step->node >= 0 ? &t->graph->nodes[step->node] : NULL;
    char place[160] = "";
    if (n) snprintf(place, sizeof place, "; first in layer '%s' (%s)", n->layer_name, n->layer);
    nn_status s = nn_fail(err, NN_E_NAN_LOSS,
                          "loss %g or a gradient of it is not finite at epoch %" PRId64
                          ", step %" PRId64 "%s; learning_rate is %g",
                          step->loss, t->at.epoch + 1, t->at.step + 1, place,
                          t->graph->train.optimizer.learning_rate);
    if (err && n) {
        err->line = n->span.line;
        err->col = n->span.col;
    }
    return nn_err_hint(err, s, "%s", nan_advice(t, n));
}

/* ---- steps, epochs ---- */

static const nn_fit *fit_of(const trainer *t, const nn_dataset *d) {
    return d == t->o->test ? &t->test_fit : &t->fit;
}

/* Rows index[0..n) of d, or its first n when index is NULL, are asked for next, batch by batch. */
static nn_status begin_rows(trainer *t, const nn_dataset *d, const uint32_t *index, int64_t n,
                            const nn_draw *draw, nn_err *err) {
    const nn_fit *fit = fit_of(t, d);
    if (!t->loader) return NN_OK;
    nn_pass pass = {.data = d,
                    .blocks = fit->block,
                    .n_blocks = fit->n_inputs,
                    .index = index,
                    .n = n,
                    .batch = t->batch,
                    .draw = draw};
    return nn_loader_start(t->loader, &pass, err);
}

/* The next rows go to the engine's inputs. */
static nn_status fill(const trainer *t, const nn_dataset *d, const uint32_t *index, int64_t n,
                      nn_targets *ret, nn_err *err) {
    const nn_fit *fit = fit_of(t, d);
    float *to[NN_DATASET_BLOCKS];
    nn_status s = NN_OK;
    for (int i = 0; i < fit->n_inputs; i++) to[i] = t->exec->engine->input(t->exec, i);
    if (t->loader)
        s = nn_loader_next(t->loader, to, err);
    else
        for (int i = 0; !s && i < fit->n_inputs; i++)
            s = nn_batch_fill(&d->block[fit->block[i]], index, n, NULL, to[i], err);
    if (s != NN_OK) return s;
    nn_feed_fill(fit->feed, d, index, n, t->plan.outputs, t->labels, t->values);
    bool labels = nn_feed_is_labels(fit->feed);
    *ret = (nn_targets){.labels = labels ? t->labels : NULL,
                        .values = labels ? NULL : t->values,
                        .length = d->target_width};
    return NN_OK;
}

static nn_status measure(const trainer *t, nn_meter *m, int64_t rows, const nn_targets *targets,
                         nn_err *err) {
    if (!nn_meter_wants(m)) return NN_OK;
    return nn_meter_add(m, rows, t->exec->engine->output(t->exec, 0), targets, err);
}

/* Weights of the rows that are trained on; others are measured as they are (Keras). */
static const float *weigh(trainer *t, const uint32_t *index, int64_t n) {
    if (!t->class_weight) return NULL;
    for (int64_t i = 0; i < n; i++) t->weights[i] = t->class_weight[t->o->train->labels[index[i]]];
    return t->weights;
}

/* In few steps, at the cost of another one: gradients in the memory that weights go through on
 * their way to files. */
static nn_status look(trainer *t, int64_t rows, const nn_targets *targets, nn_err *err) {
    const nn_engine *engine = t->exec->engine;
    float *slab = t->slabs.weights;
    nn_step step;
    nn_status s = engine->gradients(t->exec, rows, targets, slab, &step, err);
    if (s != NN_OK || !step.finite) return s; /* the step itself says what is wrong */
    nn_train_health_gradients(t->health, slab, rows, t->at.epoch + 1, t->at.step + 1);
    engine->get_weights(t->exec, slab);
    nn_train_health_weights(t->health, slab);
    return NN_OK;
}

static nn_status train_step(trainer *t, nn_err *err) {
    int64_t begin = t->at.step * t->batch, start = nn_clock_mono();
    int64_t rows = t->order.n - begin < t->batch ? t->order.n - begin : t->batch;
    nn_targets targets;
    const nn_optimizer *o = &t->graph->train.optimizer;
    t->exec->engine->set_learning_rate(t->exec, nn_learning_rate_at(o, t->at.updates, t->at.epoch));
    nn_step step;
    nn_status s = fill(t, t->o->train, t->order.index + begin, rows, &targets, err);
    t->run_waited += seconds_since(start);
    if (s == NN_OK) targets.weights = weigh(t, t->order.index + begin, rows);
    if (s == NN_OK && nn_train_health_looks(t->health, t->at.updates))
        s = look(t, rows, &targets, err);
    if (s == NN_OK) s = t->exec->engine->step(t->exec, rows, &targets, &step, err);
    if (s != NN_OK) return s;
    if (!step.finite) return fail_nan(t, &step, err);
    s = measure(t, t->meter, rows, &targets, err);
    if (s != NN_OK) return s;
    double spent = seconds_since(start);
    t->at.step++;
    t->at.updates++;
    t->at.loss_sum += step.loss * (double)rows;
    t->at.correct += step.correct;
    t->at.counted += step.counted;
    t->at.rows += rows;
    t->at.samples += rows;
    t->at.busy += spent;
    t->run_busy += spent;
    t->run_samples += rows;
    t->run_done++;
    return NN_OK;
}

/* Loss and accuracy over rows index[0..n) of d, or its first n rows when index is NULL. */
static nn_status evaluate(trainer *t, const nn_dataset *d, const uint32_t *index, int64_t n,
                          double *ret_loss, double *ret_accuracy, nn_err *err) {
    double loss = 0;
    int64_t correct = 0, counted = 0;
    nn_meter_reset(t->eval);
    nn_status started = begin_rows(t, d, index, n, NULL, err);
    if (started != NN_OK) return started;
    for (int64_t begin = 0; begin < n; begin += t->batch) {
        if (stop_wanted(t)) return cancel(t, err);
        int64_t rows = n - begin < t->batch ? n - begin : t->batch;
        for (int64_t i = 0; !index && i < rows; i++) t->index[i] = (uint32_t)(begin + i);
        nn_targets targets;
        nn_step step;
        nn_status s = fill(t, d, index ? index + begin : t->index, rows, &targets, err);
        if (s == NN_OK) s = t->exec->engine->evaluate(t->exec, rows, &targets, &step, err);
        if (s == NN_OK) s = measure(t, t->eval, rows, &targets, err);
        if (s != NN_OK) return s;
        loss += step.loss * (double)rows;
        correct += step.correct;
        counted += step.counted;
    }
    *ret_loss = loss / (double)n;
    *ret_accuracy = t->has_accuracy && counted ? (double)correct / (double)counted : NAN;
    return NN_OK;
}

/* The value that the training is judged by. */
static double watched(const trainer *t, const nn_metric_values *metrics,
                      const nn_metric_values *val_metrics) {
    const nn_watch *w = &t->watch;
    if (w->metric == NN_TRAIN_METRIC_LOSS) return w->valid ? t->at.val_loss : t->at.loss;
    if (w->metric == NN_TRAIN_METRIC_ACCURACY)
        return w->valid ? t->at.val_accuracy : t->at.accuracy;
    return (w->valid ? val_metrics : metrics)->of[w->metric];
}

static void judge(trainer *t, double value) {
    nn_checkpoint *at = &t->at;
    if (!nn_watch_take(&t->watch, value, &at->best, &at->waited)) return;
    at->best_epoch = at->epoch;
    if (t->slabs.best) t->exec->engine->get_weights(t->exec, t->slabs.best);
}

static nn_status finish_epoch(trainer *t, nn_err *err) {
    nn_checkpoint *at = &t->at;
    double val_loss = NAN, val_accuracy = NAN;
    nn_metric_values metrics = nn_meter_values(t->meter), val_metrics = nn_metric_values_none();
    if (t->valid.n > 0) {
        nn_status s =
            evaluate(t, t->o->train, t->valid.index, t->valid.n, &val_loss, &val_accuracy, err);
        if (s != NN_OK) return s;
        val_metrics = nn_meter_values(t->eval);
    }
    at->loss = at->loss_sum / (double)at->rows;
    at->accuracy = t->has_accuracy && at->counted ? (double)at->correct / (double)at->counted : NAN;
    at->val_loss = val_loss;
    at->val_accuracy = val_accuracy;
    at->epoch++;
    at->step = 0;
    at->loss_sum = 0;
    at->correct = at->counted = at->rows = 0;
    nn_meter_reset(t->meter);
    judge(t, watched(t, &metrics, &val_metrics));
    t->metrics = metrics;
    t->val_metrics = val_metrics;
    emit_epoch(t, &metrics, &val_metrics);
    nn_train_health_epoch(t->health, at->epoch, at->loss, val_loss);
    return save(t, err);
}

/* The rows of the rest of the epoch. */
static nn_status begin_epoch_rows(trainer *t, nn_err *err) {
    int64_t begin = t->at.step * t->batch, end = t->steps * t->batch;
    if (end > t->order.n) end = t->order.n;
    nn_draw draw = {t->at.seed, (uint64_t)t->at.epoch};
    return begin_rows(t, t->o->train, t->order.index + begin, end - begin, &draw, err);
}

/* The rest of the epoch that t->at stands in. */
static nn_status run_epoch(trainer *t, nn_err *err) {
    if (t->graph->train.shuffle)
        nn_order_shuffle(&t->train, t->at.seed, (uint64_t)t->at.epoch, &t->order);
    nn_status s = begin_epoch_rows(t, err);
    while (s == NN_OK && t->at.step < t->steps) {
        if (stop_wanted(t)) return cancel(t, err);
        s = train_step(t, err);
        if (s == NN_OK) emit_progress(t);
    }
    return s == NN_OK ? finish_epoch(t, err) : s;
}

/* ---- setting up ---- */

static nn_status out_of_memory(nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the batches and weights of a training");
}

static nn_status check(trainer *t, nn_err *err) {
    const nn_graph *g = t->graph;
    nn_status s = nn_trainer_supports(&g->train, err);
    if (s == NN_OK) s = nn_loss_plan_make(g, &t->plan, err); /* refuses outputs without a loss */
    if (s == NN_OK) s = nn_fit_check(g, t->o->train, &t->fit, err);
    if (s == NN_OK && t->o->test) {
        s = nn_fit_check(g, t->o->test, &t->test_fit, err);
        if (s == NN_OK && t->test_fit.feed != t->fit.feed)
            s = nn_fail(err, NN_E_DATA_ERROR,
                        "data sets '%s' (train) and '%s' (test) hold different kinds of targets",
                        t->o->train->name, t->o->test->name);
    }
    if (s != NN_OK) return s;
    bool trainable = false;
    for (int i = 0; i < g->n_weights; i++) trainable |= g->weights[i].trainable;
    if (!trainable)
        return nn_fail(err, NN_E_DSL_ERROR, "network '%s' has no weights to train", g->name);
    t->has_accuracy = g->train.loss != NN_LOSS_MSE || t->fit.feed != NN_FEED_VALUES;
    return NN_OK;
}

/* Whether epochs are compared: where something asks for the best one, or can tell it apart. */
static bool keeps_best(const trainer *t) {
    const nn_train_spec *spec = &t->graph->train;
    return t->o->best || spec->early_stopping.on || spec->validation_split > 0;
}

/* Slabs, and what the checkpoint says when resuming. */
static nn_status prepare_weights(trainer *t, const float *ready, nn_err *err) {
    const nn_graph *g = t->graph;
    size_t slots = (size_t)nn_exec_slots(g);
    t->slabs.weights = calloc((size_t)g->slab + 1, sizeof(float));
    t->slabs.state = calloc((size_t)g->slab * slots + 1, sizeof(float));
    if (keeps_best(t)) t->slabs.best = calloc((size_t)g->slab + 1, sizeof(float));
    if (!t->slabs.weights || !t->slabs.state || (keeps_best(t) && !t->slabs.best))
        return out_of_memory(err);
    t->at = (nn_checkpoint){.seed = t->o->seed,
                            .threads = t->o->threads,
                            .winograd = t->o->winograd,
                            .loss = NAN,
                            .accuracy = NAN,
                            .val_loss = NAN,
                            .val_accuracy = NAN,
                            .best = NAN};
    memcpy(t->at.data_sha256, t->o->train->sha256, sizeof t->at.data_sha256);
    nn_state_init(g, t->slabs.state);
    if (!t->o->resume) {
        if (!ready) return nn_weights_init(g, t->at.seed, t->slabs.weights, err);
        memcpy(t->slabs.weights, ready, (size_t)g->slab * sizeof *ready);
        return NN_OK;
    }
    if (!t->o->checkpoint)
        return nn_fail(err, NN_E_INTERNAL, "asked to resume without the path of a checkpoint");
    nn_status s =
        nn_checkpoint_load(t->o->checkpoint, g, t->o->train->sha256, &t->at, &t->slabs, err);
    t->earlier = t->at.seconds;
    if (t->o->threads > 0) t->at.threads = t->o->threads;
    return s;
}

static nn_status prepare_rows(trainer *t, nn_err *err) {
    const nn_train_spec *spec = &t->graph->train;
    const nn_dataset *d = t->o->train;
    nn_status s =
        nn_order_split(d->rows, spec->validation_split, t->at.seed, &t->train, &t->valid, err);
    if (s == NN_OK && t->train.n == 0)
        s = nn_fail(err, NN_E_DATA_ERROR,
                    "of the %" PRId64 " rows of data set '%s' a validation_split of %g leaves none "
                    "to train on",
                    d->rows, d->name, spec->validation_split);
    if (s == NN_OK) s = nn_order_copy(&t->train, &t->order, err);
    if (s != NN_OK) return s;
    int64_t batch = spec->batch_size;
    t->batch = batch < t->train.n ? batch : t->train.n;
    t->steps = (t->train.n + t->batch - 1) / t->batch;
    if (spec->steps_per_epoch > 0 && spec->steps_per_epoch < t->steps)
        t->steps = spec->steps_per_epoch;
    t->index = calloc((size_t)t->batch, sizeof *t->index);
    t->labels = calloc((size_t)t->batch, (size_t)t->plan.sites * sizeof *t->labels);
    int64_t width = nn_fit_width(t->graph, d, t->plan.outputs);
    if (t->o->test && nn_fit_width(t->graph, t->o->test, width) > width)
        width = t->o->test->target_width;
    t->values = calloc((size_t)t->batch, (size_t)width * sizeof *t->values);
    t->weights = calloc((size_t)t->batch, sizeof *t->weights);
    if (!t->index || !t->labels || !t->values || !t->weights) return out_of_memory(err);
    return nn_fit_class_weights(t->graph, d, t->fit.feed, t->train.index, t->train.n,
                                &t->class_weight, err);
}

static nn_status prepare_exec(trainer *t, nn_err *err) {
    const nn_engine *engine = t->o->engine;
    const char *reason = "";
    if (!engine->available(&reason))
        return nn_fail(err, NN_E_UNSUPPORTED, "engine '%s' cannot run here: %s", engine->name,
                       reason);
    nn_exec_options options = {.batch = t->batch,
                               .training = true,
                               .threads = t->at.threads,
                               .seed = t->at.seed,
                               .winograd = t->at.winograd};
    nn_status s = engine->open(t->graph, &options, &t->exec, err);
    if (s != NN_OK) return s;
    t->at.threads = t->exec->options.threads;
    snprintf(t->at.engine, sizeof t->at.engine, "%s", engine->name);
    engine->set_weights(t->exec, t->slabs.weights);
    engine->set_state(t->exec, t->slabs.state, t->at.updates);
    return NN_OK;
}

/* Training rows have no confusion matrix: no checkpoint keeps one. Others have one as soon as there
 * are classes, so that each can be told apart in the summary. */
static nn_status prepare_metrics(trainer *t, nn_err *err) {
    enum { FEW_CLASSES = 1000 };
    const nn_train_spec *spec = &t->graph->train;
    nn_status s = nn_watch_make(spec, t->valid.n > 0, &t->watch, err);
    if (s != NN_OK) return s;
    unsigned wanted = spec->metrics | 1u << t->watch.metric;
    if (spec->loss == NN_LOSS_CTC && wanted & ~(unsigned)(NN_METRIC_LOSS | NN_METRIC_ACCURACY)) {
        s = nn_fail(err, NN_E_UNSUPPORTED,
                    "of sequences (ctc) only loss and accuracy are measured");
        return nn_err_hint(err, s, "write metrics: [accuracy]");
    }
    bool classes = t->o->train->labels && t->o->train->classes <= FEW_CLASSES;
    s = nn_meter_new(t->graph, &t->plan, wanted & ~(unsigned)NN_METRIC_CONFUSION_MATRIX, &t->meter,
                     err);
    if (s == NN_OK)
        s = nn_meter_new(t->graph, &t->plan,
                         wanted | (classes ? (unsigned)NN_METRIC_CONFUSION_MATRIX : 0), &t->eval,
                         err);
    if (s == NN_OK && t->at.rows > 0) nn_meter_set_sums(t->meter, &t->at.sums);
    t->metrics = t->val_metrics = nn_metric_values_none();
    return s;
}

/* Threads for rows that cost something: half of those that compute, one to four. */
static nn_status prepare_loader(trainer *t, nn_err *err) {
    if (!nn_loader_pays(t->o->train) && !(t->o->test && nn_loader_pays(t->o->test))) return NN_OK;
    int threads = t->at.threads / 2;
    return nn_loader_new(threads < 1 ? 1 : threads > 4 ? 4 : threads, &t->loader, err);
}

static nn_status prepare(trainer *t, const float *ready, nn_err *err) {
    nn_status s = check(t, err);
    if (s == NN_OK) s = prepare_weights(t, ready, err);
    if (s == NN_OK) s = prepare_rows(t, err);
    if (s == NN_OK) s = prepare_exec(t, err);
    if (s == NN_OK) s = prepare_metrics(t, err);
    if (s == NN_OK) s = prepare_loader(t, err);
    if (s == NN_OK) s = nn_train_health_new(t->graph, &t->plan, emit_symptom, t, &t->health, err);
    return s;
}

/* ---- the trained model ---- */

static void free_names(char **names, int n) {
    for (int i = 0; names && i < n; i++) free(names[i]);
    free(names);
}

static nn_status copy_names(const nn_dataset *d, char ***ret, nn_err *err) {
    if (!d->labels || !d->class_names) {
        *ret = NULL;
        return NN_OK;
    }
    char **names = calloc((size_t)d->classes + 1, sizeof *names);
    for (int i = 0; names && i < d->classes; i++)
        if (!(names[i] = strdup(d->class_names[i]))) {
            free_names(names, i);
            names = NULL;
        }
    if (!names) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the names of the classes");
    *ret = names;
    return NN_OK;
}

static nn_status hand_over(trainer *t, const nn_train_result *r, nn_model *m, nn_err *err) {
    char **names = NULL;
    nn_status s = copy_names(t->o->train, &names, err);
    if (s != NN_OK) return s;
    free_names(m->class_names, m->n_classes);
    nn_json_unref(m->summary);
    nn_json_unref(m->certificate); /* of other weights */
    m->certificate = NULL;
    m->class_names = names;
    m->n_classes = t->o->train->labels ? t->o->train->classes : 0;
    m->scale = t->o->train->block[t->fit.block[0]].norm.scale;
    m->offset = t->o->train->block[t->fit.block[0]].norm.offset;
    m->summary = nn_train_summary(t->graph, t->o->train, &t->at, &t->watch, r, t->eval, t->health);
    t->exec->engine->get_weights(t->exec, m->weights);
    return NN_OK;
}

/* Puts the weights of the best epoch into the engine, where they are wanted. */
static int64_t take_best(trainer *t) {
    const nn_early_stopping *e = &t->graph->train.early_stopping;
    bool wanted = t->o->best || (e->on && e->restore_best);
    if (!wanted || !t->slabs.best || t->at.best_epoch == 0) return 0;
    t->exec->engine->set_weights(t->exec, t->slabs.best);
    return t->at.best_epoch;
}

static nn_status finish(trainer *t, nn_train_result *ret, nn_err *err) {
    const nn_checkpoint *at = &t->at;
    t->exec->engine->get_state(t->exec, t->slabs.state, &t->at.updates);
    nn_train_result r = {.loss = at->loss,
                         .accuracy = at->accuracy,
                         .val_loss = at->val_loss,
                         .val_accuracy = at->val_accuracy,
                         .test_loss = NAN,
                         .test_accuracy = NAN,
                         .metrics = t->metrics,
                         .val_metrics = t->val_metrics,
                         .test_metrics = nn_metric_values_none(),
                         .best_epoch = take_best(t),
                         .stopped_early = stopped_early(t),
                         .epochs = at->epoch,
                         .updates = at->updates,
                         .memory = t->exec->engine->memory(t->exec)};
    if (t->o->test) {
        nn_status s =
            evaluate(t, t->o->test, NULL, t->o->test->rows, &r.test_loss, &r.test_accuracy, err);
        if (s != NN_OK) return s;
        r.test_metrics = nn_meter_values(t->eval);
    }
    r.seconds = t->earlier + seconds_since(t->run_start);
    r.data_wait = t->run_busy > 0 ? t->run_waited / t->run_busy : 0;
    r.samples_per_s = at->busy > 0 ? (double)at->samples / at->busy : 0;
    *ret = r;
    return NN_OK;
}

static nn_status run(trainer *t, nn_model *model, nn_train_result *ret, nn_err *err) {
    nn_train_event e = event_of(t);
    emit(t, &e, NN_TRAIN_STARTED);
    nn_status s =
        nn_train_health_data(t->health, t->o->train, &t->fit, t->train.index, t->train.n, err);
    if (s == NN_OK && !t->o->resume) s = save(t, err);
    while (s == NN_OK && t->at.epoch < t->graph->train.epochs && !stopped_early(t))
        s = run_epoch(t, err);
    nn_train_result r;
    if (s == NN_OK) s = finish(t, &r, err);
    if (s == NN_OK) s = hand_over(t, &r, model, err);
    if (s != NN_OK) return s;
    e = event_of(t);
    e.epoch = t->at.epoch;
    e.eta_s = 0;
    e.val_loss = r.val_loss;
    e.val_accuracy = r.val_accuracy;
    emit(t, &e, NN_TRAIN_FINISHED);
    *ret = r;
    return NN_OK;
}

nn_status nn_train(nn_model *model, bool weights_ready, const nn_train_options *o,
                   nn_train_result *ret, nn_err *err) {
    trainer t = {.graph = model->graph, .o = o, .run_start = nn_clock_mono()};
    nn_status s = prepare(&t, weights_ready ? model->weights : NULL, err);
    if (s == NN_OK) {
        t.run_start = nn_clock_mono(); /* planning is not training */
        t.last_progress = t.run_start;
        s = run(&t, model, ret, err);
    }
    trainer_done(&t);
    return s;
}
