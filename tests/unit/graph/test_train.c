/* SPDX-License-Identifier: MIT */
/* Expected names and numbers: Keras's documentation (keras.optimizers, keras.losses,
 * keras.optimizers.schedules, EarlyStopping) and language.md section 8 and appendix A. */
#include "graph/graph.h"
#include "t.h"

#include <math.h>
#include <string.h>

/* ---- tables ---- */

TEST(losses_by_name_and_alias) {
    static const char *const names[][2] = {
        {"mse",                             "mean_squared_error"             },
        {"mae",                             "mean_absolute_error"            },
        {"mape",                            "mean_absolute_percentage_error" },
        {"msle",                            "mean_squared_logarithmic_error" },
        {"Huber",                           "huber"                          },
        {"LogCosh",                         "log_cosh"                       },
        {"cross_entropy",                   "categorical_crossentropy"       },
        {"crossentropy",                    "categorical_crossentropy"       },
        {"CategoricalCrossentropy",         "categorical_crossentropy"       },
        {"sparse_categorical_crossentropy", "sparse_categorical_crossentropy"},
        {"bce",                             "binary_crossentropy"            },
        {"hinge",                           "hinge"                          },
        {"squared_hinge",                   "squared_hinge"                  },
        {"categorical_hinge",               "categorical_hinge"              },
        {"kld",                             "kl_divergence"                  },
        {"Poisson",                         "poisson"                        },
        {"cosine_similarity",               "cosine_similarity"              },
        {"CTC",                             "ctc"                            },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int k = nn_loss_find(names[i][0]);
        assert_true(k >= 0);
        assert_string_equal(nn_loss_name((nn_loss_kind)k), names[i][1]);
    }
    assert_int_equal(nn_loss_find("custom"), -1);
    assert_int_equal(nn_loss_find("my.loss"), -1);
    assert_int_equal(nn_loss_targets(NN_LOSS_SPARSE), NN_TARGET_CLASS);
    assert_int_equal(nn_loss_targets(NN_LOSS_CATEGORICAL), NN_TARGET_CLASS);
    assert_int_equal(nn_loss_targets(NN_LOSS_KLD), NN_TARGET_VALUE);
    assert_int_equal(nn_loss_targets(NN_LOSS_CTC), NN_TARGET_SEQUENCE);
    assert_int_equal(nn_loss_targets(NN_LOSS_CUSTOM), NN_TARGET_VALUE);
    int n = 0;
    while (nn_loss_names()[n]) n++;
    assert_int_equal(n, 16);
}

/* An owner's fields in one line. */
static void fields_of(nn_fields t, char *buf, size_t cap) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < t.n; i++)
        if (t.own >> i & 1)
            at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? " " : "", t.field[i].name);
}

TEST(optimizers_have_kerass_arguments) {
    static const struct {
        const char *name, *own;
    } rows[] = {
        {"SGD",      "learning_rate momentum weight_decay clipnorm clipvalue global_clipnorm nesterov"    },
        {"adam",
         "learning_rate beta_1 beta_2 epsilon weight_decay clipnorm clipvalue global_clipnorm amsgrad"    },
        {"AdamW",
         "learning_rate beta_1 beta_2 epsilon weight_decay clipnorm clipvalue global_clipnorm amsgrad"    },
        {"rmsprop",
         "learning_rate momentum epsilon weight_decay clipnorm clipvalue global_clipnorm rho centered"    },
        {"Adagrad",
         "learning_rate epsilon weight_decay clipnorm clipvalue global_clipnorm initial_accumulator_value"},
        {"Adadelta", "learning_rate epsilon weight_decay clipnorm clipvalue global_clipnorm rho"          },
        {"Adamax",
         "learning_rate beta_1 beta_2 epsilon weight_decay clipnorm clipvalue global_clipnorm"            },
        {"Nadam",
         "learning_rate beta_1 beta_2 epsilon weight_decay clipnorm clipvalue global_clipnorm"            },
        {"Ftrl",
         "learning_rate weight_decay clipnorm clipvalue global_clipnorm initial_accumulator_value "
         "learning_rate_power l1_regularization_strength l2_regularization_strength "
         "l2_shrinkage_regularization_strength beta"                                                      },
        {"Lion",     "learning_rate beta_1 beta_2 weight_decay clipnorm clipvalue global_clipnorm"        },
    };
    assert_int_equal(sizeof rows / sizeof *rows, NN_OPTIMIZER_COUNT);
    char text[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int k = nn_optimizer_find(rows[i].name);
        assert_int_equal(k, (int)i);
        fields_of(nn_optimizer_fields((nn_optimizer_kind)k), text, sizeof text);
        assert_string_equal(text, rows[i].own);
    }
}

TEST(optimizer_defaults) {
    static const struct {
        nn_optimizer_kind kind;
        double lr, beta_1, beta_2, epsilon, rho, accumulator, decay;
    } rows[] = {
        {NN_OPTIMIZER_SGD,      0.01,   0.9, 0.999, 1e-7, 0,    0,   0    },
        {NN_OPTIMIZER_ADAM,     0.001,  0.9, 0.999, 1e-7, 0,    0,   0    },
        {NN_OPTIMIZER_ADAMW,    0.001,  0.9, 0.999, 1e-7, 0,    0,   0.004},
        {NN_OPTIMIZER_RMSPROP,  0.001,  0.9, 0.999, 1e-7, 0.9,  0,   0    },
        {NN_OPTIMIZER_ADAGRAD,  0.001,  0.9, 0.999, 1e-7, 0,    0.1, 0    },
        {NN_OPTIMIZER_ADADELTA, 0.001,  0.9, 0.999, 1e-7, 0.95, 0,   0    },
        {NN_OPTIMIZER_ADAMAX,   0.001,  0.9, 0.999, 1e-7, 0,    0,   0    },
        {NN_OPTIMIZER_NADAM,    0.001,  0.9, 0.999, 1e-7, 0,    0,   0    },
        {NN_OPTIMIZER_FTRL,     0.001,  0.9, 0.999, 1e-7, 0,    0.1, 0    },
        {NN_OPTIMIZER_LION,     0.0001, 0.9, 0.99,  1e-7, 0,    0,   0    },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nn_optimizer o = nn_optimizer_default(rows[i].kind);
        assert_int_equal(o.kind, rows[i].kind);
        assert_true(o.learning_rate == rows[i].lr && o.beta_1 == rows[i].beta_1);
        assert_true(o.beta_2 == rows[i].beta_2 && o.epsilon == rows[i].epsilon);
        assert_true(o.rho == rows[i].rho && o.initial_accumulator_value == rows[i].accumulator);
        assert_true(o.weight_decay == rows[i].decay && o.momentum == 0 && !o.nesterov);
        assert_int_equal(o.schedule.kind, NN_SCHEDULE_NONE);
    }
    assert_true(nn_optimizer_default(NN_OPTIMIZER_FTRL).learning_rate_power == -0.5);
}

TEST(schedules_take_their_arguments_in_order) {
    static const char *const rows[][2] = {
        {"ExponentialDecay",       "initial_learning_rate decay_steps decay_rate staircase"            },
        {"PiecewiseConstantDecay", ""                                                                  },
        {"PolynomialDecay",        "initial_learning_rate decay_steps end_learning_rate power cycle"   },
        {"InverseTimeDecay",       "initial_learning_rate decay_steps decay_rate staircase"            },
        {"CosineDecay",            "initial_learning_rate decay_steps alpha warmup_target warmup_steps"},
        {"StepDecay",              "initial_learning_rate drop_rate epochs_drop"                       },
    };
    assert_int_equal(sizeof rows / sizeof *rows, NN_SCHEDULE_COUNT - 1);
    assert_int_equal(nn_schedule_find("none"), -1);
    assert_string_equal(nn_schedule_names()[0], "ExponentialDecay");
    char text[256];
    for (int i = 1; i < NN_SCHEDULE_COUNT; i++) {
        assert_int_equal(nn_schedule_find(rows[i - 1][0]), i);
        fields_of(nn_schedule_fields((nn_schedule_kind)i), text, sizeof text);
        assert_string_equal(text, rows[i - 1][1]);
    }
    nn_schedule p = nn_schedule_default(NN_SCHEDULE_POLYNOMIAL);
    assert_true(p.end_learning_rate == 1e-4 && p.power == 1 && !p.cycle);
}

TEST(schedule_problems) {
    nn_schedule s = {
        .kind = NN_SCHEDULE_PIECEWISE,
        .n_values = 3,
        .boundaries = {100,  200},
        .values = { 0, 0.5, 0.1}
    };
    assert_null(nn_schedule_problem(&s));
    assert_true(nn_schedule_start(&s) == 0.5);
    s.boundaries[1] = 100;
    assert_non_null(strstr(nn_schedule_problem(&s), "above the one before"));
    s.boundaries[1] = 200, s.values[2] = -1;
    assert_non_null(nn_schedule_problem(&s));
    s.values[2] = NAN;
    assert_non_null(nn_schedule_problem(&s));
    s.values[1] = s.values[2] = 0;
    assert_non_null(nn_schedule_problem(&s));
    s.n_values = 1;
    assert_non_null(nn_schedule_problem(&s));
    nn_schedule c = {.kind = NN_SCHEDULE_COSINE, .decay_steps = 10, .warmup_target = 0.1};
    assert_non_null(strstr(nn_schedule_problem(&c), "together"));
    c.warmup_steps = 5;
    assert_null(nn_schedule_problem(&c));
    assert_true(nn_schedule_start(&c) == 0.1);
}

TEST(metrics_keep_their_bits) {
    assert_int_equal(NN_METRIC_ACCURACY, 1);
    assert_int_equal(NN_METRIC_LOSS, 2);
    assert_int_equal(nn_train_metric_find("sparse_categorical_accuracy"), NN_TRAIN_METRIC_ACCURACY);
    assert_int_equal(nn_train_metric_find("F1Score"), NN_TRAIN_METRIC_F1);
    assert_int_equal(nn_train_metric_find("top_k"), NN_TRAIN_METRIC_TOP_K);
    assert_int_equal(nn_train_metric_find("speed"), -1);
    assert_true(nn_monitor_valid("val_auc") && nn_monitor_valid("loss"));
    assert_false(nn_monitor_valid("val_speed") || nn_monitor_valid("val_") || nn_monitor_valid(""));
}

TEST(fields_know_their_range) {
    nn_fields t = nn_optimizer_fields(NN_OPTIMIZER_FTRL);
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if (f->type == NN_TRAIN_FLAG) continue;
        assert_false(nn_field_fits(f, NAN) || nn_field_fits(f, INFINITY));
        if (strcmp(f->name, "learning_rate_power") == 0) {
            assert_true(nn_field_fits(f, 0) && nn_field_fits(f, -0.5));
            assert_false(nn_field_fits(f, 0.5));
            assert_string_equal(nn_field_expects(f), "0 or below");
        }
    }
    t = nn_schedule_fields(NN_SCHEDULE_STEP);
    for (int i = 0; i < t.n; i++)
        if (strcmp(t.field[i].name, "drop_rate") == 0)
            assert_true(nn_field_fits(&t.field[i], 1) && !nn_field_fits(&t.field[i], 0) &&
                        !nn_field_fits(&t.field[i], 1.5));
}

/* ---- files ---- */

/* What the version before wrote for a network without any word about training, byte for byte. */
static const char before[] =
    "{\"loss\":\"mean_squared_error\",\"optimizer\":{\"type\":\"adam\",\"learning_rate\":0.001,"
    "\"momentum\":0.0,\"beta_1\":0.9,\"beta_2\":0.999,\"epsilon\":1e-07,\"weight_decay\":0.0,"
    "\"clipnorm\":0.0,\"clipvalue\":0.0,\"global_clipnorm\":0.0,\"nesterov\":false,\"amsgrad\":false},"
    "\"metrics\":1,\"seed\":0,\"has_loss\":false,\"has_optimizer\":false,\"has_training\":false,"
    "\"from_logits\":false,\"label_smoothing\":0.0,\"epochs\":10,\"batch_size\":32,"
    "\"validation_split\":0.0,\"shuffle\":true,\"seeded\":false,\"dataset\":\"\",\"device\":\"auto\","
    "\"steps_per_epoch\":0}";

static nn_json *parse(const char *text) {
    nn_err err;
    nn_json *v = NULL;
    CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    return v;
}

TEST(files_of_the_version_before_do_not_change) {
    NN_JSON *v = parse(before);
    nn_train_spec t, standard = nn_train_default();
    nn_err err;
    CHECK_OK(nn_train_read(v, &t, &err), &err);
    assert_int_equal(t.optimizer.schedule.kind, NN_SCHEDULE_NONE);
    assert_int_equal(t.ignore_class, -1);
    assert_true(t.delta == 1 && t.top_k == 5);
    NN_JSON *again = nn_train_json(&standard);
    NN_BUF text = {0};
    nn_json_dump(again, 0, &text);
    assert_string_equal(nn_buf_str(&text), before);
}

static nn_train_spec everything(void) {
    nn_train_spec t = nn_train_default();
    t.loss = NN_LOSS_HUBER, t.delta = 0.5;
    t.optimizer = nn_optimizer_default(NN_OPTIMIZER_FTRL);
    t.optimizer.learning_rate_power = -0.25, t.optimizer.beta = 0.125;
    t.optimizer.l1_regularization_strength = 0.5, t.optimizer.l2_regularization_strength = 0.75;
    t.optimizer.l2_shrinkage_regularization_strength = 2;
    t.metrics = (1u << NN_TRAIN_METRIC_COUNT) - 1, t.top_k = 3;
    t.mixed_precision = true, t.precision = NN_PRECISION_BFLOAT16;
    t.early_stopping = (nn_early_stopping){true, true, 7, 0.25, "val_accuracy"};
    snprintf(t.search_method, sizeof t.search_method, "grid");
    snprintf(t.save_path, sizeof t.save_path, "out/model.bin");
    snprintf(t.callbacks, sizeof t.callbacks, "[TensorBoard(log_dir=\"x\")]");
    snprintf(t.strategy, sizeof t.strategy, "mirrored");
    return t;
}

/* Write, read, write: the same text; and what was read is what was written. */
static void round_trip(const nn_train_spec *t, nn_train_spec *ret) {
    nn_err err;
    NN_JSON *a = nn_train_json(t);
    CHECK_OK(nn_train_read(a, ret, &err), &err);
    NN_JSON *b = nn_train_json(ret);
    assert_true(nn_json_equal(a, b));
}

TEST(everything_survives_a_file) {
    nn_train_spec t = everything(), r;
    round_trip(&t, &r);
    assert_true(r.loss == NN_LOSS_HUBER && r.delta == 0.5);
    assert_true(r.optimizer.kind == NN_OPTIMIZER_FTRL && r.optimizer.learning_rate_power == -0.25);
    assert_true(r.optimizer.beta == 0.125 && r.optimizer.l1_regularization_strength == 0.5);
    assert_true(r.optimizer.l2_regularization_strength == 0.75);
    assert_true(r.optimizer.l2_shrinkage_regularization_strength == 2);
    assert_int_equal(r.metrics, t.metrics);
    assert_int_equal(r.top_k, 3);
    assert_true(r.mixed_precision && r.precision == NN_PRECISION_BFLOAT16);
    assert_true(r.early_stopping.on && r.early_stopping.restore_best);
    assert_true(r.early_stopping.patience == 7 && r.early_stopping.min_delta == 0.25);
    assert_string_equal(r.early_stopping.monitor, "val_accuracy");
    assert_string_equal(r.search_method, "grid");
    assert_string_equal(r.save_path, "out/model.bin");
    assert_string_equal(r.callbacks, "[TensorBoard(log_dir=\"x\")]");
    assert_string_equal(r.strategy, "mirrored");
}

TEST(class_weights_survive_a_file) {
    nn_train_spec t = nn_train_default(), r;
    t.class_weight = (nn_class_weight){
        .n = 3, .of = {1, 0, 2.5}
    };
    round_trip(&t, &r);
    assert_true(r.class_weight.n == 3 && !r.class_weight.balanced);
    assert_true(r.class_weight.of[0] == 1 && r.class_weight.of[1] == 0 &&
                r.class_weight.of[2] == 2.5);
    t.class_weight = (nn_class_weight){.balanced = true};
    round_trip(&t, &r);
    assert_true(r.class_weight.n == 0 && r.class_weight.balanced);
}

TEST(class_weights_that_are_none_are_refused) {
    static const char *const bad[] = {"[]", "[-1]", "[1,\"x\"]", "\"equal\"", "3", "[1,null]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_train_spec t = nn_train_default(), r;
        nn_err err = {0};
        NN_JSON *v = nn_train_json(&t);
        nn_json_set(v, "class_weight", parse(bad[i]));
        assert_int_equal(nn_train_read(v, &r, &err), NN_E_MODEL_FILE_ERROR);
        if (!strstr(err.msg, "class_weight")) fail_msg("%s: %s", bad[i], err.msg);
    }
    assert_false(nn_class_weight_valid(NAN) || nn_class_weight_valid(INFINITY));
}

TEST(custom_losses_and_flags_survive_a_file) {
    nn_train_spec t = nn_train_default(), r;
    t.loss = NN_LOSS_CUSTOM;
    snprintf(t.custom_loss, sizeof t.custom_loss, "my_module.loss");
    t.optimizer = nn_optimizer_default(NN_OPTIMIZER_RMSPROP);
    t.optimizer.centered = true, t.optimizer.rho = 0.75;
    round_trip(&t, &r);
    assert_int_equal(r.loss, NN_LOSS_CUSTOM);
    assert_string_equal(r.custom_loss, "my_module.loss");
    assert_true(r.optimizer.centered && r.optimizer.rho == 0.75);
    t.loss = NN_LOSS_MSE; /* chosen over the program's own: its name is not kept */
    round_trip(&t, &r);
    assert_string_equal(r.custom_loss, "");
    t = nn_train_default();
    t.loss = NN_LOSS_SPARSE, t.ignore_class = 255;
    round_trip(&t, &r);
    assert_int_equal(r.ignore_class, 255);
    t.loss = NN_LOSS_CTC, t.blank = 4, t.ignore_class = -1;
    round_trip(&t, &r);
    assert_int_equal(r.blank, 4);
}

TEST(schedules_survive_a_file) {
    static const nn_schedule all[] = {
        {.kind = NN_SCHEDULE_EXPONENTIAL,
         .initial_learning_rate = 0.1,
         .decay_steps = 1000,
         .decay_rate = 0.96,
         .staircase = true},
        {.kind = NN_SCHEDULE_PIECEWISE,
         .n_values = 3,
         .boundaries = {10, 20},
         .values = {1, 0.5, 0.25}                          },
        {.kind = NN_SCHEDULE_POLYNOMIAL,
         .initial_learning_rate = 0.1,
         .decay_steps = 5,
         .end_learning_rate = 0,
         .power = 2,
         .cycle = true},
        {.kind = NN_SCHEDULE_INVERSE_TIME,
         .initial_learning_rate = 0.1,
         .decay_steps = 5,
         .decay_rate = 0.5},
        {.kind = NN_SCHEDULE_COSINE,
         .decay_steps = 5,
         .alpha = 0.25,
         .warmup_target = 0.5,
         .warmup_steps = 3},
        {.kind = NN_SCHEDULE_STEP,
         .initial_learning_rate = 0.1,
         .drop_rate = 0.5,
         .epochs_drop = 10                             },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        nn_train_spec t = nn_train_default(), r;
        t.optimizer.schedule = all[i];
        t.optimizer.learning_rate = nn_schedule_start(&all[i]);
        round_trip(&t, &r);
        const nn_schedule *s = &r.optimizer.schedule, *w = &all[i];
        assert_true(s->kind == w->kind && s->initial_learning_rate == w->initial_learning_rate);
        assert_true(s->decay_steps == w->decay_steps && s->decay_rate == w->decay_rate);
        assert_true(s->end_learning_rate == w->end_learning_rate && s->alpha == w->alpha);
        assert_true(s->warmup_target == w->warmup_target && s->warmup_steps == w->warmup_steps);
        assert_true(s->drop_rate == w->drop_rate && s->epochs_drop == w->epochs_drop);
        assert_true(s->staircase == w->staircase && s->cycle == w->cycle);
        assert_int_equal(s->n_values, w->n_values);
        assert_memory_equal(s->boundaries, w->boundaries, sizeof s->boundaries);
        for (int k = 0; k < w->n_values; k++) assert_true(s->values[k] == w->values[k]);
    }
}

/* Replaces the member at a path of one or two names by a text's value and expects a refusal. */
static void refused(const nn_train_spec *t, const char *outer, const char *key, const char *text) {
    NN_JSON *v = nn_train_json(t);
    nn_json *at = outer ? nn_json_get(v, outer) : v;
    nn_train_spec r = nn_train_default(), untouched = r;
    nn_err err;
    assert_non_null(at);
    nn_json_set(at, key, parse(text));
    if (nn_train_read(v, &r, &err) != NN_E_MODEL_FILE_ERROR)
        fail_msg("%s.%s = %s was read", outer ? outer : "", key, text);
    assert_memory_equal(&r, &untouched, sizeof r);
}

TEST(hostile_files_are_refused) {
    nn_train_spec t = everything();
    refused(&t, NULL, "delta", "0");
    refused(&t, NULL, "delta", "\"x\"");
    refused(&t, NULL, "loss", "\"custom\"");
    refused(&t, NULL, "custom_loss", "\"a.b\"");
    refused(&t, NULL, "ignore_class", "1");
    refused(&t, NULL, "metrics", "16384");
    refused(&t, NULL, "metrics", "-1");
    refused(&t, NULL, "top_k", "0");
    refused(&t, NULL, "precision", "\"float8\"");
    refused(&t, NULL, "search_method", "\"luck\"");
    refused(&t, NULL, "mixed_precision", "1");
    refused(&t, NULL, "schedules", "{}");
    refused(&t, NULL, "validation_split", "1");
    refused(&t, "early_stopping", "patience", "-1");
    refused(&t, "early_stopping", "min_delta", "-0.5");
    refused(&t, "early_stopping", "monitor", "\"val_speed\"");
    refused(&t, "early_stopping", "more", "1");
    refused(&t, "optimizer", "rho", "0.9"); /* Ftrl has none */
    refused(&t, "optimizer", "learning_rate", "0");
    refused(&t, "optimizer", "learning_rate_power", "0.5");
    refused(&t, "optimizer", "type", "\"sgd2\"");
    refused(&t, "optimizer", "schedule", "{\"type\":\"ExponentialDecay\"}");
    refused(&t, "optimizer", "schedule",
            "{\"type\":\"PiecewiseConstantDecay\",\"boundaries\":[5,4],\"values\":[1,2,3]}");
    refused(&t, "optimizer", "schedule",
            "{\"type\":\"PiecewiseConstantDecay\",\"boundaries\":[5],\"values\":[1]}");
    refused(&t, "optimizer", "schedule",
            "{\"type\":\"PiecewiseConstantDecay\",\"boundaries\":[5],\"values\":[1,\"a\"]}");
    refused(&t, "optimizer", "schedule",
            "{\"type\":\"StepDecay\",\"initial_learning_rate\":0.1,\"drop_rate\":2,"
            "\"epochs_drop\":1}");
    refused(&t, "optimizer", "schedule",
            "{\"type\":\"StepDecay\",\"initial_learning_rate\":0,\"drop_rate\":1,"
            "\"epochs_drop\":1}");
}

/* ---- what can be done ---- */

static void unsupported(const nn_train_spec *t, const char *what, const char *way) {
    static const nn_train_support some = {.who = "nobody",
                                          .save_instead = "say --save",
                                          .losses = 1 << NN_LOSS_MSE | 1 << NN_LOSS_SPARSE,
                                          .optimizers = 1 << NN_OPTIMIZER_ADAM,
                                          .metrics = NN_METRIC_ACCURACY,
                                          .precisions = 1 << NN_PRECISION_FLOAT32};
    nn_err err = {0};
    assert_int_equal(nn_train_check(t, &some, &err), what ? NN_E_UNSUPPORTED : NN_OK);
    if (what && !strstr(err.msg, what)) fail_msg("'%s' is not in '%s'", what, err.msg);
    if (way && !strstr(err.hint, way)) fail_msg("'%s' is not in '%s'", way, err.hint);
}

TEST(what_is_not_done_is_named) {
    const nn_train_spec plain = nn_train_default();
    unsupported(&plain, NULL, NULL);
#define WITH(what, way, ...)                                                                       \
    do {                                                                                           \
        nn_train_spec t = plain;                                                                   \
        __VA_ARGS__;                                                                               \
        unsupported(&t, what, way);                                                                \
    } while (0)
    WITH("loss 'huber' is not supported by nobody",
         "mean_squared_error, sparse_categorical_crossentropy", t.loss = NN_LOSS_HUBER);
    WITH("custom loss 'a.b'", NULL, t.loss = NN_LOSS_CUSTOM;
         snprintf(t.custom_loss, sizeof t.custom_loss, "a.b"));
    WITH("ignore_class", NULL, t.loss = NN_LOSS_SPARSE; t.ignore_class = 0);
    WITH("optimizer 'Lion'", "Adam", t.optimizer.kind = NN_OPTIMIZER_LION);
    WITH("schedule CosineDecay", "learning_rate=0.001",
         t.optimizer.schedule.kind = NN_SCHEDULE_COSINE);
    WITH("metric 'auc'", "accuracy", t.metrics |= NN_METRIC_AUC);
    WITH("'early_stopping'", NULL, t.early_stopping.on = true);
    WITH("'mixed_precision'", NULL, t.mixed_precision = true);
    WITH("'save_path'", "say --save", t.save_path[0] = 'x');
    WITH("'callbacks'", NULL, t.callbacks[0] = 'x');
    WITH("precision 'mixed'", "float32", t.precision = NN_PRECISION_MIXED);
    WITH("strategy 'x'", NULL, t.strategy[0] = 'x');
    WITH(NULL, NULL, snprintf(t.search_method, sizeof t.search_method, "grid"));
}
