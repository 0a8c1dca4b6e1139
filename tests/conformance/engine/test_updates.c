/* SPDX-License-Identifier: MIT */
/* test_updates.c - updates against hand calculation, on every engine that runs.
 *
 * The network is y = w x without bias, one row x = 1 and target 0: the gradient of (w x)^2 is 2 w.
 * The expected numbers are worked out beside each case from Keras's formulas (optimizer.h). */
#include "engine/dropout.h"
#include "engine/loss.h"
#include "engine/optimizer.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct step_case {
    const char *what;
    nn_optimizer o;
    int steps;
    double want;
} step_case;

/* w0 = 0.5, so g1 = 1 (2 w). */
static const step_case cases[] = {
  /* 0.5 - 0.1 */
    {"sgd",        {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1},                         1, 0.4          },
 /* w1 = 0.4, g2 = 0.8; 0.4 - 0.08 */
    {"sgd twice",  {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1},                         2, 0.32         },
 /* m1 = -0.1, w1 = 0.4; m2 = 0.9 * -0.1 - 0.1 * 0.8 = -0.17; w2 = 0.23 */
    {"momentum",   {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .momentum = 0.9},        2, 0.23         },
 /* m1 = -0.1, w1 = 0.5 + 0.9 * -0.1 - 0.1 = 0.31; g2 = 0.62, m2 = -0.09 - 0.062 = -0.152;
  * w2 = 0.31 + 0.9 * -0.152 - 0.062 = 0.1112 */
    {"nesterov",
     {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .momentum = 0.9, .nesterov = true},
     2,                                                                                         0.1112       },
 /* w *= 1 - 0.1 * 0.5 = 0.475, then - 0.1 * g with g = 1 of the old w: 0.375 */
    {"sgd decay",  {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .weight_decay = 0.5},    1, 0.375        },
 /* g clipped from 1 to 0.25 */
    {"clipnorm",   {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .clipnorm = 0.25},       1, 0.475        },
    {"clipvalue",  {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .clipvalue = 0.5},       1, 0.45         },
    {"global",     {.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .global_clipnorm = 0.1}, 1, 0.49         },
 /* m = 0.1, v = 0.001, rate = 0.01 * sqrt(0.001) / 0.1; epsilon 0.01 beside sqrt(v):
  * w = 0.5 - 0.1 * 0.0031622777 / (0.0316227766 + 0.01) = 0.5 - 0.00759746893 */
    {"adam",
     {.kind = NN_OPTIMIZER_ADAM,
      .learning_rate = 0.01,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 0.01},
     1,                                                                                         0.49240253107},
 /* step 2: g = 0.98480506; m = 0.1 + 0.088480506 = 0.188480506... (0.1 + (g - 0.1) * 0.1);
  * v = 0.001 + (g^2 - 0.001) * 0.001 = 0.00196884101; rate = 0.01 * sqrt(1 - 0.998001) / 0.19
  * = 0.00235315; w = 0.49240253 - 0.188480506 * rate / (0.0443716 + 0.01) = 0.48424527 */
    {"adam twice",
     {.kind = NN_OPTIMIZER_ADAM,
      .learning_rate = 0.01,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 0.01},
     2,                                                                                         0.48424527   },
 /* decay first: 0.5 * (1 - 0.01 * 0.5) = 0.4975, then the same step as adam */
    {"adamw",
     {.kind = NN_OPTIMIZER_ADAMW,
      .learning_rate = 0.01,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 0.01,
      .weight_decay = 0.5},
     1,                                                                                         0.48990253107},
};

/* Three steps from w0 = 0.5. What torch.optim (1.13, in double) gives for the optimisers whose
 * formula is Keras's when epsilon is 0 (Adadelta: with any). Ftrl (two steps; McMahan et al. 2013,
 * algorithm 1, with Keras's shrinkage and beta) and Nadam (Dozat 2016; torch 1.13 multiplies one
 * momentum too often) were worked out in Python from the papers. Lion: the sign is + throughout,
 * 0.5 - 3 * 0.1. */
static const step_case more[] = {
    {"rmsprop",
     {.kind = NN_OPTIMIZER_RMSPROP, .learning_rate = 0.01, .rho = 0.9},
     3, 0.42792887253585565  },
    {"rmsprop momentum",
     {.kind = NN_OPTIMIZER_RMSPROP, .learning_rate = 0.01, .rho = 0.9, .momentum = 0.8},
     3, 0.36532696510218315  },
    {"rmsprop centered",
     {.kind = NN_OPTIMIZER_RMSPROP, .learning_rate = 0.01, .rho = 0.9, .centered = true},
     3, 0.42079448756404386  },
    {"rmsprop both",
     {.kind = NN_OPTIMIZER_RMSPROP,
      .learning_rate = 0.01,
      .rho = 0.9,
      .momentum = 0.8,
      .centered = true},
     3, 0.3539816499825854   },
    {"adagrad",
     {.kind = NN_OPTIMIZER_ADAGRAD, .learning_rate = 0.1, .initial_accumulator_value = 0.1},
     3, 0.2975196228704677   },
    {"adadelta",
     {.kind = NN_OPTIMIZER_ADADELTA, .learning_rate = 1, .rho = 0.95, .epsilon = 0.01},
     3, 0.0014537677370330855},
    {"adamax",
     {.kind = NN_OPTIMIZER_ADAMAX, .learning_rate = 0.01, .beta_1 = 0.9, .beta_2 = 0.999},
     3, 0.470289074141278    },
    {"nadam",
     {.kind = NN_OPTIMIZER_NADAM,
      .learning_rate = 0.01,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 0.01},
     3, 0.4749481776733158   },
    {"ftrl",
     {.kind = NN_OPTIMIZER_FTRL,
      .learning_rate = 0.1,
      .initial_accumulator_value = 0.1,
      .learning_rate_power = -0.5,
      .l1_regularization_strength = 0.01,
      .l2_regularization_strength = 0.2,
      .l2_shrinkage_regularization_strength = 0.05,
      .beta = 0.3},
     2, 0.16034697483524743  },
    {"lion",
     {.kind = NN_OPTIMIZER_LION, .learning_rate = 0.1, .beta_1 = 0.9, .beta_2 = 0.99},
     3, 0.2                  },
};

/* The weights after `steps` steps of the one-weight network on this engine; NAN if it cannot. */
static double run(const nn_engine *e, nn_graph *g, int steps, float w) {
    nn_exec_options o = {.batch = 1, .training = true, .threads = 1};
    nn_exec *x = NULL;
    nn_err err;
    nn_step step;
    float target = 0;
    nn_targets t = {.values = &target};
    CHECK_OK(e->open(g, &o, &x, &err), &err);
    e->set_weights(x, &w);
    for (int i = 0; i < steps; i++) {
        *e->input(x, 0) = 1;
        CHECK_OK(e->step(x, 1, &t, &step, &err), &err);
        CHECK(step.finite);
    }
    e->get_weights(x, &w);
    e->close(x);
    return w;
}

static const nn_engine *running(unsigned i) {
    const char *reason;
    const nn_engine *e = nn_engine_at(i);
    return e && e->available(&reason) ? e : NULL;
}

static void check_steps(const step_case *c, size_t n, double tolerance) {
    for (unsigned k = 0; nn_engine_at(k); k++)
        for (size_t i = 0; running(k) && i < n; i++) {
            nn_graph *g = net_build("input 1; dense 1 nobias");
            g->train.optimizer = c[i].o;
            double w = run(running(k), g, c[i].steps, 0.5f);
            if (!(fabs(w - c[i].want) < tolerance))
                fail_msg("%s, %s: w is %.9g, expected %.9g", running(k)->name, c[i].what, w,
                         c[i].want);
            net_free(g);
        }
}

TEST(updates_by_hand) {
    check_steps(cases, sizeof cases / sizeof *cases, 2e-7);
}

TEST(updates_as_torch_does_them) {
    check_steps(more, sizeof more / sizeof *more, 5e-7);
}

/* Worked out from the formulas on Keras's pages of learning-rate schedules. */
TEST(learning_rates_by_hand) {
    static const struct {
        nn_schedule s;
        int64_t step, epoch;
        double want;
    } rows[] = {
        {{.kind = NN_SCHEDULE_EXPONENTIAL,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .decay_rate = 0.5},
         50,                                    0,
         0.0707106781                                  },
        {{.kind = NN_SCHEDULE_EXPONENTIAL,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .decay_rate = 0.5,
          .staircase = true},
         250,                                   0,
         0.025                                         },
        {{.kind = NN_SCHEDULE_INVERSE_TIME,
          .initial_learning_rate = 0.1,
          .decay_steps = 1,
          .decay_rate = 0.5},
         2,                                     0,
         0.05                                          },
        {{.kind = NN_SCHEDULE_PIECEWISE,
          .n_values = 3,
          .boundaries = {10, 20},
          .values = {1, 0.5, 0.1}},
         10,                                    0,
         1                                             },
        {{.kind = NN_SCHEDULE_PIECEWISE,
          .n_values = 3,
          .boundaries = {10, 20},
          .values = {1, 0.5, 0.1}},
         11,                                    0,
         0.5                                           },
        {{.kind = NN_SCHEDULE_PIECEWISE,
          .n_values = 3,
          .boundaries = {10, 20},
          .values = {1, 0.5, 0.1}},
         21,                                    0,
         0.1                                           },
        {{.kind = NN_SCHEDULE_POLYNOMIAL,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .end_learning_rate = 0.01,
          .power = 2},
         50,                                    0,
         0.0325                                        },
        {{.kind = NN_SCHEDULE_POLYNOMIAL,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .end_learning_rate = 0.01,
          .power = 2},
         500,                                   0,
         0.01                                          },
 /* the second cycle is 200 long: 0.09 * (1 - 150 / 200) + 0.01 */
        {{.kind = NN_SCHEDULE_POLYNOMIAL,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .end_learning_rate = 0.01,
          .power = 1,
          .cycle = true},
         150,                                   0,
         0.0325                                        },
        {{.kind = NN_SCHEDULE_COSINE,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .alpha = 0.1},
         50,                                    0,
         0.055                                         },
        {{.kind = NN_SCHEDULE_COSINE,
          .initial_learning_rate = 0.1,
          .decay_steps = 100,
          .alpha = 0.1},
         900,                                   0,
         0.01                                          },
        {{.kind = NN_SCHEDULE_COSINE,
          .initial_learning_rate = 0,
          .decay_steps = 100,
          .warmup_target = 0.2,
          .warmup_steps = 10},
         5,                                     0,
         0.1                                           },
        {{.kind = NN_SCHEDULE_COSINE,
          .initial_learning_rate = 0,
          .decay_steps = 100,
          .warmup_target = 0.2,
          .warmup_steps = 10},
         60,                                    0,
         0.1                                           },
        {{.kind = NN_SCHEDULE_STEP,
          .initial_learning_rate = 0.1,
          .drop_rate = 0.5,
          .epochs_drop = 10},
         7,                                     25,
         0.025                                         },
        {{.kind = NN_SCHEDULE_NONE},         7, 25, 0.3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nn_optimizer o = {.learning_rate = 0.3, .schedule = rows[i].s};
        double rate = nn_learning_rate_at(&o, rows[i].step, rows[i].epoch);
        if (!(fabs(rate - rows[i].want) < 1e-9)) fail_msg("row %zu: %.10g", i, rate);
    }
}

/* amsgrad: the second moment never falls. With b1 = 0, b2 = 0.5, epsilon 1, lr = 1 and w0 = 0.5:
 * t1: g = 1, m = 1, v = 0.5, rate = sqrt(0.5), w1 = 0.5 - 0.70710678 / 1.70710678 = 0.08578644
 * t2: g = 0.17157288, v = 0.25 + 0.5 * 0.02943725 = 0.26471863 < 0.5, so v = 0.5 is used:
 *     rate = sqrt(0.75), w2 = 0.08578644 - 0.17157288 * 0.86602540 / 1.70710678 = -0.00125350 */
TEST(amsgrad_by_hand) {
    for (unsigned k = 0; nn_engine_at(k); k++) {
        if (!running(k)) continue;
        nn_graph *g = net_build("input 1; dense 1 nobias");
        g->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_ADAM,
                                            .learning_rate = 1,
                                            .beta_1 = 0,
                                            .beta_2 = 0.5,
                                            .epsilon = 1,
                                            .amsgrad = true};
        assert_int_equal(nn_exec_slots(g), 3);
        CHECK(fabs(run(running(k), g, 2, 0.5f) - -0.00125350) < 2e-7);
        net_free(g);
    }
}

/* l1 = 0.1, l2 = 0.25: g = 2 * 0.5 + 0.1 + 2 * 0.25 * 0.5 = 1.35. */
TEST(regularised_update_by_hand) {
    for (unsigned k = 0; nn_engine_at(k); k++) {
        if (!running(k)) continue;
        nn_graph *g = net_build("input 1; dense 1 nobias");
        g->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1};
        g->weights[0].regularizer = (nn_regularizer){.l1 = 0.1, .l2 = 0.25};
        CHECK(fabs(run(running(k), g, 1, 0.5f) - 0.365) < 1e-7);
        net_free(g);
    }
}

/* 0.5 - 0.1 * 1 = 0.4, then the constraint. */
TEST(constrained_update_by_hand) {
    static const struct {
        nn_constraint c;
        double rate, want;
    } rows[] = {
        {{.kind = NN_CONSTRAINT_MAX_NORM, .max = 0.25},                         0.1, 0.25},
        {{.kind = NN_CONSTRAINT_MAX_NORM, .max = 2},                            0.1, 0.4 },
        {{.kind = NN_CONSTRAINT_UNIT_NORM},                                     0.1, 1   },
        {{.kind = NN_CONSTRAINT_NON_NEG},                                       0.1, 0.4 },
        {{.kind = NN_CONSTRAINT_NON_NEG},                                       0.7, 0   }, /* -0.2 */
        {{.kind = NN_CONSTRAINT_MIN_MAX_NORM, .min = 1, .max = 2, .rate = 0.5}, 0.1, 0.7 },
    };
    for (unsigned k = 0; nn_engine_at(k); k++)
        for (size_t i = 0; running(k) && i < sizeof rows / sizeof *rows; i++) {
            nn_graph *g = net_build("input 1; dense 1 nobias");
            g->train.optimizer =
                (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = rows[i].rate};
            g->weights[0].constraint = rows[i].c;
            CHECK(fabs(run(running(k), g, 1, 0.5f) - rows[i].want) < 1e-6);
            net_free(g);
        }
}

/* What is not trainable stays as it is, whatever decays, clips or constrains. */
TEST(frozen_weights_stay) {
    for (unsigned k = 0; nn_engine_at(k); k++) {
        if (!running(k)) continue;
        nn_graph *g = net_build("input 1; dense 1 nobias");
        g->train.optimizer =
            (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1, .weight_decay = 0.5};
        g->weights[0].constraint = (nn_constraint){.kind = NN_CONSTRAINT_UNIT_NORM};
        g->weights[0].trainable = false;
        CHECK(run(running(k), g, 2, 0.5f) == 0.5);
        net_free(g);
    }
}

/* Columns (3, 4) and (0.6, 0.8): norms 5 and 1. */
TEST(constraints_work_by_column) {
    nn_weight w = {
        .shape = {.rank = 2,                      .dim = {2, 2}},
        .elements = 4,
        .constraint = {.kind = NN_CONSTRAINT_MAX_NORM, .max = 2.5   }
    };
    float v[4] = {3, 0.6f, 4, 0.8f};
    nn_constraint_apply(&w, v);
    const double want[4] = {1.5, 0.6, 2, 0.8};
    for (int i = 0; i < 4; i++) CHECK(fabs(v[i] - want[i]) < 1e-6);
    nn_weight bias = {
        .shape = {.rank = 1, .dim = {2}},
        .elements = 2,
        .constraint = {.kind = NN_CONSTRAINT_UNIT_NORM        }
    };
    float b[2] = {3, 4};
    nn_constraint_apply(&bias, b);
    CHECK(fabs(b[0] - 0.6) < 1e-6 && fabs(b[1] - 0.8) < 1e-6);
}

/* Moving statistics after one step on the rows 1 and 3: mean 2, population variance 1; momentum 0.9
 * from 0 and 1: 0.2 and 0.9 * 1 + 0.1 * 1 = 1. On 1 and 5: mean 3, variance 4: 0.3 and 1.3. */
TEST(moving_statistics_by_hand) {
    for (unsigned k = 0; nn_engine_at(k); k++) {
        const nn_engine *e = running(k);
        if (!e) continue;
        nn_graph *g = net_build("input 1; bn; dense 1 nobias");
        g->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1};
        nn_exec_options o = {.batch = 2, .training = true, .threads = 1};
        nn_exec *x = NULL;
        nn_err err;
        nn_step step;
        float w[5] = {1, 0, 0, 1, 0.5f}, targets[2] = {0, 0}; /* gamma, beta, mean, variance */
        nn_targets t = {.values = targets};
        CHECK_OK(e->open(g, &o, &x, &err), &err);
        e->set_weights(x, w);
        e->input(x, 0)[0] = 1;
        e->input(x, 0)[1] = 5;
        CHECK_OK(e->step(x, 2, &t, &step, &err), &err);
        e->get_weights(x, w);
        CHECK(fabs(w[2] - 0.3) < 1e-6 && fabs(w[3] - 1.3) < 1e-6);
        e->close(x);
        net_free(g);
    }
}

/* The loss of the rows x by evaluate on every engine, which must be `want`; the last one's step. */
static nn_step check_loss(nn_graph *g, int64_t rows, const float *x, const nn_targets *t,
                          double want) {
    nn_step step = {0};
    for (unsigned k = 0; nn_engine_at(k); k++) {
        const nn_engine *e = running(k);
        if (!e) continue;
        nn_exec_options o = {.batch = rows, .threads = 1};
        nn_exec *exec = NULL;
        nn_err err;
        CHECK_OK(e->open(g, &o, &exec, &err), &err);
        memcpy(e->input(exec, 0), x, (size_t)(rows * net_in(g)) * sizeof *x);
        CHECK_OK(e->evaluate(exec, rows, t, &step, &err), &err);
        if (!(fabs(step.loss - want) < 1e-6 * fmax(1, fabs(want))))
            fail_msg("%s on %s: %.9g, expected %.9g", nn_loss_name(g->train.loss), e->name,
                     step.loss, want);
        e->close(exec);
    }
    return step;
}

/* Every other loss: what torch.nn.functional gives in double for the same numbers (l1_loss,
 * huber_loss with delta 1.5, kl_div, poisson_nll_loss, cosine_similarity) or, where it has none,
 * torch arithmetic on the formula in loss.h. */
TEST(losses_as_torch_takes_them) {
    static const struct {
        nn_loss_kind loss;
        double want;
        float x[3], values[3];
    } rows[] = {
        {NN_LOSS_MAE,               4.0 / 3,         {1, 2, 3},             {0, 1, 5}           },
        {NN_LOSS_MAPE,              46.666666667,    {1, 2, 3},             {2, 4, 5}           },
        {NN_LOSS_MSLE,              0.19658224189,   {1, 2, 3},             {2, 4, 5}           },
        {NN_LOSS_HUBER,             0.95833333333,   {1, 2, 3},             {0, 1, 5}           },
        {NN_LOSS_LOG_COSH,          0.73085480277,   {1, 2, 3},             {0, 1, 5}           },
        {NN_LOSS_HINGE,             1,               {0.25f, -0.5f, 0.75f}, {1, -1, -1}         },
        {NN_LOSS_HINGE,             1,               {0.25f, -0.5f, 0.75f}, {1, 0, 0}           },
        {NN_LOSS_SQUARED_HINGE,     1.2916666667,    {0.25f, -0.5f, 0.75f}, {1, -1, -1}         },
        {NN_LOSS_CATEGORICAL_HINGE, 2.25,            {0.25f, -0.5f, 0.75f}, {0, 1, 0}           },
        {NN_LOSS_KLD,               0.23927818160,   {0.2f, 0.3f, 0.5f},    {0.5f, 0.25f, 0.25f}},
        {NN_LOSS_POISSON,           -0.062069613522, {1, 2, 3},             {0, 1, 5}           },
        {NN_LOSS_COSINE,            -0.89104211121,  {1, 2, 3},             {0, 1, 5}           },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nn_graph *g = net_build("input 3; act linear");
        g->train.loss = rows[i].loss;
        g->train.delta = 1.5;
        check_loss(g, 1, rows[i].x, &(nn_targets){.values = rows[i].values}, rows[i].want);
        net_free(g);
    }
}

/* Two rows of two sites; each site of logits (0, 0) costs log 2, one of (0, log 3) log(4 / 3) for
 * class 1. Ignored sites leave the mean; a row of weight 2 counts twice, but not in the divisor. */
TEST(losses_over_sites_by_hand) {
    const float x[8] = {0, 0, 0, 1.09861229f, 0, 0, 0, 1.09861229f}, weights[2] = {2, 0.5f};
    const int32_t labels[4] = {0, 1, 1, 1};
    const double even = 0.69314718056, sure = 0.28768207245;
    nn_targets t = {.labels = labels};
    nn_graph *g = net_build("input 2 2; softmax");
    g->train.loss = NN_LOSS_SPARSE;
    nn_step step = check_loss(g, 2, x, &t, (even + sure) / 2);
    assert_int_equal(step.counted, 4);
    assert_int_equal(step.correct,
                     3); /* of equals the first is taken: right, right, wrong, right */
    t.weights = weights;
    check_loss(g, 2, x, &t, 2.5 * (even + sure) / 4);
    t.weights = NULL;
    g->train.ignore_class = 0;
    step = check_loss(g, 2, x, &t, (even + 2 * sure) / 3);
    assert_int_equal(step.counted, 3);
    assert_int_equal(step.correct, 2);
    net_free(g);
}

TEST(losses_by_hand) {
    /* logits 1, 2, 3: log sum exp = 3.40760596; label 0 costs 2.40760596. Sigmoid 0 is 0.5: log 2.
     * mse of (1, 2, 3) against (0, 0, 3): 5 / 3. Smoothed by 0.3, label 0 has 0.8 and the others
     * 0.1: 0.8 * 2.40760596 + 0.1 * 1.40760596 + 0.1 * 0.40760596 = 2.10760596. */
    const struct {
        const char *net;
        nn_loss_kind loss;
        double smoothing, want;
        float x[3], values[3];
        bool right;
    } rows[] = {
        {"input 3; softmax",     NN_LOSS_SPARSE,      0,   2.40760596, {1, 2, 3}, {0},       false},
        {"input 3; softmax",     NN_LOSS_CATEGORICAL, 0.3, 2.10760596, {1, 2, 3}, {0},       false},
        {"input 3; softmax",     NN_LOSS_SPARSE,      0,   0.40760596, {3, 2, 1}, {0},       true },
        {"input 3; act linear",  NN_LOSS_MSE,         0,   5.0 / 3,    {1, 2, 3}, {0, 0, 3}, true },
        {"input 1; act sigmoid", NN_LOSS_BINARY,      0,   0.69314718, {0},       {1},       false},
        {"input 1; act sigmoid", NN_LOSS_BINARY,      0,   100,        {100},     {0},       false},
        {"input 1; act sigmoid", NN_LOSS_BINARY,      0,   0,          {100},     {1},       true },
 /* target 0.9: log(1 + e) - 0.9 */
        {"input 1; act sigmoid", NN_LOSS_BINARY,      0.2, 0.41326169, {1},       {1},       true },
    };
    for (unsigned k = 0; nn_engine_at(k); k++)
        for (size_t i = 0; running(k) && i < sizeof rows / sizeof *rows; i++) {
            const nn_engine *e = running(k);
            nn_graph *g = net_build(rows[i].net);
            g->train.loss = rows[i].loss;
            g->train.label_smoothing = rows[i].smoothing;
            nn_exec_options o = {.batch = 1, .training = false, .threads = 1};
            nn_exec *x = NULL;
            nn_err err;
            nn_step step;
            int32_t label = 0;
            bool classes = nn_loss_targets(g->train.loss) == NN_TARGET_CLASS;
            nn_targets t = {.labels = classes ? &label : NULL,
                            .values = classes ? NULL : rows[i].values};
            CHECK_OK(e->open(g, &o, &x, &err), &err);
            memcpy(e->input(x, 0), rows[i].x, (size_t)net_in(g) * sizeof(float));
            CHECK_OK(e->evaluate(x, 1, &t, &step, &err), &err);
            if (!(fabs(step.loss - rows[i].want) < 1e-6 * fmax(1, rows[i].want)) ||
                step.correct != rows[i].right)
                fail_msg("%s, row %zu: loss %.9g, by hand %.9g; correct %d", e->name, i, step.loss,
                         rows[i].want, (int)step.correct);
            e->close(x);
            net_free(g);
        }
}

/* Windows, padding and groups, worked out on paper; weights are given in slab order. */
TEST(forward_by_hand) {
    static const struct {
        const char *net;
        float w[8], x[12], want[12];
    } rows[] = {
  /* not flipped: 1*1 + 10*2, 1*2 + 10*3 */
        {"input 3 1; conv f=1 k=2 nobias",            {1, 10},               {1, 2, 3},          {21, 32}          },
 /* same, k = 2: the one zero goes after */
        {"input 3 1; conv f=1 k=2 p=same nobias",     {1, 10},               {1, 2, 3},          {21, 32, 3}       },
 /* same, k = 3, s = 2 over 4: total 1, after; 1+20+300 and 3+40 */
        {"input 4 1; conv f=1 k=3 s=2 p=same nobias", {1, 10, 100},          {1, 2, 3, 4},       {321, 43}         },
        {"input 3 1; conv f=1 k=2 p=1:0 nobias",      {1, 10},               {1, 2, 3},          {10, 21, 32}      },
        {"input 4 1; conv f=1 k=2 d=3 nobias",        {1, 10},               {1, 2, 3, 4},       {41}              },
 /* two groups of one channel; then the bias */
        {"input 2 2; conv f=2 k=1 g=2",
         {2, 3, 0.5f, 0.25f},
         {1, 10, 2, 20},
         {2.5f, 30.25f, 4.5f, 60.25f}                                                                              },
        {"input 4 1; max_pool k=2 s=2",               {0},                   {1, 3, -5, -4},     {3, -4}           },
        {"input 3 1; max_pool k=3 p=same",            {0},                   {-1, -3, -2},       {-1, -1, -2}      },
        {"input 3 1; avg_pool k=3 p=same",            {0},                   {1, 3, 8},          {2, 4, 5.5f}      },
        {"input 2 2; gap",                            {0},                   {1, 10, 3, 20},     {2, 15}           },
        {"input 2 3; transpose 1 0",                  {0},                   {1, 2, 3, 4, 5, 6}, {1, 4, 2, 5, 3, 6}},
 /* (x - 1) / sqrt(3.999 + 0.001) * 4 + 7, with gamma, beta, mean, variance */
        {"input 2 1; bn",                             {4, 7, 1, 3.999f},     {1, 5},             {7, 15}           },
        {"input 2; dense 2",                          {1, 2, 3, 4, 0.5f, 0}, {1, 10},            {31.5f, 42}       },
        {"input 4; dropout 0.5",                      {0},                   {1, 2, 3, 4},       {1, 2, 3, 4}      }, /* not while predicting */
    };
    for (unsigned k = 0; nn_engine_at(k); k++)
        for (size_t i = 0; running(k) && i < sizeof rows / sizeof *rows; i++) {
            const nn_engine *e = running(k);
            nn_graph *g = net_build(rows[i].net);
            nn_exec_options o = {.batch = 1, .threads = 1};
            nn_exec *x = NULL;
            nn_err err;
            CHECK_OK(e->open(g, &o, &x, &err), &err);
            e->set_weights(x, rows[i].w);
            memcpy(e->input(x, 0), rows[i].x, (size_t)net_in(g) * sizeof(float));
            CHECK_OK(e->forward(x, 1, &err), &err);
            double d = net_distance(e->output(x, 0), rows[i].want, net_out(g), 1);
            if (!(d < 1e-6)) fail_msg("%s on %s is off by %g", rows[i].net, e->name, d);
            e->close(x);
            net_free(g);
        }
}

TEST(losses_refuse_outputs_they_cannot_take) {
    nn_loss_plan plan;
    nn_err err;
    nn_graph *g = net_build("input 4; dense 1; softmax");
    g->train.loss = NN_LOSS_CATEGORICAL;
    assert_int_equal(nn_loss_plan_make(g, &plan, &err), NN_E_DSL_ERROR);
    assert_non_null(strstr(err.hint, "binary_crossentropy"));
    net_free(g);
}

/* The share that is kept, the scale, and that updates and nodes draw differently. */
TEST(dropout_keeps_its_share) {
    nn_graph *g = net_build("input 10000; dropout 0.3; dropout 0.3");
    nn_dropout a = nn_dropout_at(&g->nodes[1], 7, 0), b = nn_dropout_at(&g->nodes[1], 7, 1);
    nn_dropout c = nn_dropout_at(&g->nodes[2], 7, 0);
    int64_t kept = 0, same_b = 0, same_c = 0;
    for (int64_t i = 0; i < 10000; i++) {
        bool k = nn_dropout_keeps(&a, i);
        kept += k;
        same_b += k == nn_dropout_keeps(&b, i);
        same_c += k == nn_dropout_keeps(&c, i);
    }
    CHECK(fabs(a.scale - 1 / 0.7) < 1e-12);
    CHECK(labs(kept - 7000) < 5 * 46);                             /* sigma = sqrt(n p q) */
    CHECK(labs(same_b - 5800) < 250 && labs(same_c - 5800) < 250); /* 0.7^2 + 0.3^2 */
    net_free(g);
}
