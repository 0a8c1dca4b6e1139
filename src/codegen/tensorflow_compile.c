/* SPDX-License-Identifier: MIT */
/* tensorflow_compile.c - compile() of the program: loss, optimizer with its schedule, metrics, by
 * their names in Keras; and what of them Keras has not. */
#include "codegen/tensorflow.h"

#include <inttypes.h>
#include <string.h>

enum {
    CLASS_METRICS = NN_METRIC_PRECISION | NN_METRIC_RECALL | NN_METRIC_AUC | NN_METRIC_F1 |
                    NN_METRIC_MSE | NN_METRIC_MAE | NN_METRIC_RMSE | NN_METRIC_MAPE |
                    NN_METRIC_COSINE_SIMILARITY
};

static const nn_train_support supported = {
    .who = "the TensorFlow backend",
    .save_instead = "run the program with --save FILE",
    .losses = (1U << NN_LOSS_COUNT) - 1,
    .optimizers = (1U << NN_OPTIMIZER_COUNT) - 1,
    .schedules = (1U << NN_SCHEDULE_COUNT) - 1,
    .metrics = (1U << NN_TRAIN_METRIC_COUNT) - 1,
    .precisions = (1U << NN_PRECISION_COUNT) - 1,
    .ignore_class = true,
    .early_stopping = true,
    .mixed_precision = true,
    .save_path = true,
    .callbacks = true,
    .strategy = true,
};

/* Keras's F1Score takes rows of classes only, and none of these leaves an ignored class out. */
static nn_status check_metrics(const nn_graph *g, nn_err *err) {
    const nn_train_spec *t = &g->train;
    if (t->ignore_class >= 0 && t->metrics & CLASS_METRICS)
        return nn_err_hint(
            err,
            nn_fail(err, NN_E_UNSUPPORTED,
                    "ignore_class beside metrics of one-hot rows (precision, recall, "
                    "auc, f1, mse and their like) is not supported by the TensorFlow "
                    "backend: Keras would count the ignored class in them"),
            "leave these metrics out, or use --backend pytorch");
    for (int i = 0; t->metrics & NN_METRIC_F1 && i < g->n_outputs; i++)
        if (g->nodes[g->outputs[i]].shape.rank > 1)
            return nn_err_hint(err,
                               nn_fail(err, NN_E_UNSUPPORTED,
                                       "metric 'f1' of an output with several places is not "
                                       "supported by the TensorFlow backend: Keras's F1Score "
                                       "takes rows of classes"),
                               "use precision and recall, or --backend pytorch");
    return NN_OK;
}

nn_status nn_tf_check(const nn_graph *g, nn_err *err) {
    const unsigned compares = ~(unsigned)(NN_METRIC_LOSS | NN_METRIC_ACCURACY);
    nn_status s = nn_train_check(&g->train, &supported, err);
    if (s) return s;
    if (g->train.loss == NN_LOSS_CTC && g->train.metrics & compares)
        return nn_err_hint(
            err,
            nn_fail(err, NN_E_UNSUPPORTED,
                    "metrics compare each step with a target, and the targets of ctc "
                    "are shorter than its outputs"),
            "leave metrics out");
    for (int i = 0; g->train.loss == NN_LOSS_CTC && i < g->n_outputs; i++)
        if (g->nodes[g->outputs[i]].shape.rank != 2)
            return nn_fail(err, NN_E_UNSUPPORTED, "ctc wants an output of (steps, classes)");
    s = check_metrics(g, err);
    return s ? s : nn_tf_check_extras(&g->train, err);
}

/* Keras's metrics of classes want one-hot rows; the loss of such is the same. */
nn_loss_kind nn_tf_loss(const nn_train_spec *t) {
    bool rows = t->loss == NN_LOSS_SPARSE && t->ignore_class < 0 && (t->metrics & CLASS_METRICS);
    return rows ? NN_LOSS_CATEGORICAL : t->loss;
}

static const char *const loss_classes[NN_LOSS_COUNT] = {
    [NN_LOSS_MSE] = "MeanSquaredError",
    [NN_LOSS_CATEGORICAL] = "CategoricalCrossentropy",
    [NN_LOSS_SPARSE] = "SparseCategoricalCrossentropy",
    [NN_LOSS_BINARY] = "BinaryCrossentropy",
    [NN_LOSS_MAE] = "MeanAbsoluteError",
    [NN_LOSS_MAPE] = "MeanAbsolutePercentageError",
    [NN_LOSS_MSLE] = "MeanSquaredLogarithmicError",
    [NN_LOSS_HUBER] = "Huber",
    [NN_LOSS_LOG_COSH] = "LogCosh",
    [NN_LOSS_HINGE] = "Hinge",
    [NN_LOSS_SQUARED_HINGE] = "SquaredHinge",
    [NN_LOSS_CATEGORICAL_HINGE] = "CategoricalHinge",
    [NN_LOSS_KLD] = "KLDivergence",
    [NN_LOSS_POISSON] = "Poisson",
    [NN_LOSS_COSINE] = "CosineSimilarity",
};

static void put_loss(const nn_train_spec *t, nn_buf *out) {
    nn_loss_kind kind = nn_tf_loss(t);
    NN_BUF arguments = {0};
    if (kind == NN_LOSS_CTC || kind == NN_LOSS_CUSTOM) {
        nn_buf_puts(out, kind == NN_LOSS_CTC ? "ctc" : "custom_loss()");
        return;
    }
    if (t->from_logits) nn_buf_puts(&arguments, "from_logits=True");
    if (t->label_smoothing != 0) {
        nn_buf_printf(&arguments, "%slabel_smoothing=", arguments.n ? ", " : "");
        nn_py_float(&arguments, t->label_smoothing);
    }
    if (kind == NN_LOSS_SPARSE && t->ignore_class >= 0)
        nn_buf_printf(&arguments, "%signore_class=%" PRId64, arguments.n ? ", " : "",
                      t->ignore_class);
    if (kind == NN_LOSS_HUBER && t->delta != 1) {
        nn_buf_puts(&arguments, "delta=");
        nn_py_float(&arguments, t->delta);
    }
    bool word = arguments.n == 0 && kind != NN_LOSS_HUBER && kind != NN_LOSS_LOG_COSH;
    if (word)
        nn_buf_printf(out, "'%s'", nn_loss_name(kind));
    else
        nn_buf_printf(out, "keras.losses.%s(%s)", loss_classes[kind], nn_buf_str(&arguments));
}

static void put_metrics(const nn_train_spec *t, nn_buf *out) {
    static const struct {
        unsigned bit;
        const char *text;
    } rows[] = {
        {NN_METRIC_ACCURACY,          "'accuracy'"                                              },
        {NN_METRIC_PRECISION,         "keras.metrics.Precision(name='precision')"               },
        {NN_METRIC_RECALL,            "keras.metrics.Recall(name='recall')"                     },
        {NN_METRIC_AUC,               "keras.metrics.AUC(name='auc')"                           },
        {NN_METRIC_F1,                "keras.metrics.F1Score(average='macro', name='f1')"       },
        {NN_METRIC_MSE,               "keras.metrics.MeanSquaredError(name='mse')"              },
        {NN_METRIC_MAE,               "keras.metrics.MeanAbsoluteError(name='mae')"             },
        {NN_METRIC_RMSE,              "keras.metrics.RootMeanSquaredError(name='rmse')"         },
        {NN_METRIC_MAPE,              "keras.metrics.MeanAbsolutePercentageError(name='mape')"  },
        {NN_METRIC_PERPLEXITY,        "Perplexity(name='perplexity')"                           },
        {NN_METRIC_CONFUSION_MATRIX,  "ConfusionMatrix(name='confusion_matrix')"                },
        {NN_METRIC_COSINE_SIMILARITY, "keras.metrics.CosineSimilarity(name='cosine_similarity')"},
    };
    int n = 0;
    if (t->loss == NN_LOSS_CTC) return; /* the default metric compares step by step */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (t->metrics & rows[i].bit)
            nn_buf_printf(out, "%s%s", n++ ? ",\n                           " : "", rows[i].text);
    if (t->metrics & NN_METRIC_TOP_K)
        nn_buf_printf(out,
                      "%skeras.metrics.%sTopKCategoricalAccuracy(k=%" PRId64
                      ", name='top_k_categorical_accuracy')",
                      n ? ",\n                           " : "",
                      nn_tf_loss(t) == NN_LOSS_SPARSE ? "Sparse" : "", t->top_k);
}

/* ---- optimiser ---- */

/* ", name=value" of the fields that are not what they are anyway. */
static void put_fields(const nn_fields *f, const void *owner, const void *usual, const char *skip,
                       nn_buf *out) {
    for (int i = 0; i < f->n; i++) {
        const nn_train_field *x = &f->field[i];
        if (!(f->own >> i & 1) || strcmp(x->name, skip) == 0) continue;
        double v = nn_field_get(x, owner);
        if (!x->required && v == nn_field_get(x, usual)) continue;
        nn_buf_printf(out, "%s%s=", out->n ? ", " : "", x->name);
        if (x->type == NN_TRAIN_FLAG)
            nn_buf_puts(out, v != 0 ? "True" : "False");
        else if (x->type == NN_TRAIN_WHOLE)
            nn_buf_printf(out, "%.0f", v);
        else
            nn_py_float(out, v);
    }
}

static void put_piecewise(const nn_schedule *s, nn_buf *out) {
    nn_buf_puts(out, "boundaries=[");
    for (int i = 0; i < s->n_values - 1; i++)
        nn_buf_printf(out, "%s%" PRId64, i ? ", " : "", s->boundaries[i]);
    nn_buf_puts(out, "], values=[");
    for (int i = 0; i < s->n_values; i++) {
        if (i) nn_buf_puts(out, ", ");
        nn_py_float(out, s->values[i]);
    }
    nn_buf_putc(out, ']');
}

static void put_schedule(const nn_schedule *s, nn_buf *out) {
    NN_BUF arguments = {0};
    nn_schedule usual = nn_schedule_default(s->kind);
    nn_fields f = nn_schedule_fields(s->kind);
    if (s->kind == NN_SCHEDULE_PIECEWISE)
        put_piecewise(s, &arguments);
    else
        put_fields(&f, s, &usual, "", &arguments);
    nn_buf_printf(out, "    learning_rate = keras.optimizers.schedules.%s(%s)\n",
                  nn_schedule_name(s->kind), nn_buf_str(&arguments));
}

/* ---- what Keras has not in both versions ---- */

/* clang-format off */
static const char perplexity[] =
    "\n"
    "\n"
    "@keras.utils.register_keras_serializable(package='neural')\n"
    "class Perplexity(keras.metrics.Mean):\n"
    "    \"\"\"e to the mean cross-entropy of the rows so far.\"\"\"\n"
    "\n"
    "    def update_state(self, y_true, y_pred, sample_weight=None):\n"
    "        $LINE\n"
    "        return super().update_state(entropy, sample_weight)\n"
    "\n"
    "    def result(self):\n"
    "        return tf.exp(super().result())\n";
/* clang-format on */

/* clang-format off */
static const char confusion[] =
    "\n"
    "\n"
    "def classes_of(scores):\n"
    "    \"\"\"The class of each row: the highest score, or whether the only one is above 0.5.\"\"\"\n"
    "    scores = tf.reshape(scores, (-1, scores.shape[-1]))\n"
    "    return tf.argmax(scores, axis=-1) if scores.shape[-1] > 1 else tf.cast(scores[:, 0] > 0.5, 'int64')\n"
    "\n"
    "\n"
    "@keras.utils.register_keras_serializable(package='neural')\n"
    "class ConfusionMatrix(keras.metrics.Metric):\n"
    "    \"\"\"How often each class (a row) was taken for each class (a column).\"\"\"\n"
    "\n"
    "    def __init__(self, **kwargs):\n"
    "        super().__init__(**kwargs)\n"
    "        self.size = $SIZE\n"
    "        self.table = self.add_weight(name='table', shape=(self.size, self.size), initializer='zeros')\n"
    "\n"
    "    def update_state(self, y_true, y_pred, sample_weight=None):\n"
    "        truth = $TRUTH\n"
    "        counts = tf.math.confusion_matrix(truth, classes_of(y_pred), num_classes=self.size)\n"
    "        self.table.assign(self.table + tf.cast(counts, self.table.dtype))\n"
    "\n"
    "    def result(self):\n"
    "        return tf.convert_to_tensor(self.table)\n"
    "\n"
    "    def reset_state(self):\n"
    "        self.table.assign(tf.zeros((self.size, self.size), self.table.dtype))\n";
/* clang-format on */

/* clang-format off */
static const char ctc[] =
    "\n"
    "\n"
    "@keras.utils.register_keras_serializable(package='neural')\n"
    "def ctc(y_true, y_pred):\n"
    "    \"\"\"Connectionist temporal classification (Graves et al. 2006); y_true: rows of classes, filled up by numbers below 0.\"\"\"\n"
    "    labels = tf.cast(y_true, 'int32')\n"
    "    lengths = tf.reduce_sum(tf.cast(labels >= 0, 'int32'), axis=-1)\n"
    "    steps = tf.fill([tf.shape(y_pred)[0]], tf.shape(y_pred)[1])\n"
    "    logits = $LOGITS\n"
    "    return tf.nn.ctc_loss(labels=tf.maximum(labels, 0), logits=logits, label_length=lengths, logit_length=steps,\n"
    "                          logits_time_major=False, blank_index=$BLANK)\n";
/* clang-format on */

/* clang-format off */
static const char finds[] =
    "\n"
    "\n"
    "def find_object(path):\n"
    "    \"\"\"What a dotted name stands for: 'module.name'.\"\"\"\n"
    "    module, _, name = path.rpartition('.')\n"
    "    return getattr(importlib.import_module(module), name)\n";
/* clang-format on */

/* clang-format off */
static const char custom[] =
    "\n"
    "\n"
    "def custom_loss():\n"
    "    \"\"\"A function of targets and outputs; of a class, an object.\"\"\"\n"
    "    loss = find_object($NAME)\n"
    "    return loss() if isinstance(loss, type) else loss\n";
/* clang-format on */

/* `text`, with what the line's only $WORD stands for. */
static void put_filled(const char *text, const char *word, const char *by, nn_buf *out) {
    const char *at = strstr(text, word);
    nn_buf_append(out, text, (size_t)(at - text));
    nn_buf_puts(out, by);
    nn_buf_puts(out, at + strlen(word));
}

static void put_ctc(const nn_graph *g, nn_buf *out) {
    bool scores =
        g->nodes[g->outputs[0]].op == NN_OP_SOFTMAX && !g->nodes[g->outputs[0]].attr.softmax.log;
    NN_BUF text = {0}, blank = {0};
    put_filled(ctc, "$LOGITS", scores ? "tf.math.log(tf.maximum(y_pred, 1e-07))" : "y_pred", &text);
    nn_buf_printf(&blank, "%" PRId64, g->train.blank);
    put_filled(nn_buf_str(&text), "$BLANK", nn_buf_str(&blank), out);
}

static void put_custom(const nn_train_spec *t, nn_buf *out) {
    NN_BUF name = {0};
    nn_py_string(&name, t->custom_loss);
    put_filled(custom, "$NAME", nn_buf_str(&name), out);
}

static void put_entropy(const nn_train_spec *t, nn_buf *out) {
    NN_BUF line = {0};
    nn_buf_printf(&line, "entropy = keras.losses.%s(y_true, y_pred%s)",
                  nn_tf_loss(t) == NN_LOSS_SPARSE ? "sparse_categorical_crossentropy"
                                                  : "categorical_crossentropy",
                  t->from_logits ? ", from_logits=True" : "");
    put_filled(perplexity, "$LINE", nn_buf_str(&line), out);
}

/* As many classes as the largest output has. */
static void put_confusion(const nn_graph *g, nn_buf *out) {
    int64_t size = 2;
    for (int i = 0; i < g->n_outputs; i++) {
        const nn_shape *s = &g->nodes[g->outputs[i]].shape;
        if (s->rank > 0 && s->dim[s->rank - 1] > size) size = s->dim[s->rank - 1];
    }
    NN_BUF text = {0}, number = {0};
    nn_buf_printf(&number, "%" PRId64, size);
    put_filled(confusion, "$SIZE", nn_buf_str(&number), &text);
    put_filled(nn_buf_str(&text), "$TRUTH",
               nn_tf_loss(&g->train) == NN_LOSS_SPARSE ? "tf.reshape(y_true, (-1,))"
                                                       : "classes_of(y_true)",
               out);
}

static void put_own(const nn_graph *g, nn_buf *out) {
    const nn_train_spec *t = &g->train;
    if (nn_tf_finds(t)) nn_buf_puts(out, finds);
    if (t->loss == NN_LOSS_CTC) put_ctc(g, out);
    if (t->loss == NN_LOSS_CUSTOM) put_custom(t, out);
    if (t->metrics & NN_METRIC_PERPLEXITY) put_entropy(t, out);
    if (t->metrics & NN_METRIC_CONFUSION_MATRIX) put_confusion(g, out);
}

void nn_tf_compile(const nn_graph *g, nn_buf *out) {
    const nn_optimizer *o = &g->train.optimizer;
    nn_optimizer usual = nn_optimizer_default(o->kind);
    nn_fields f = nn_optimizer_fields(o->kind);
    bool scheduled = o->schedule.kind != NN_SCHEDULE_NONE && o->schedule.kind != NN_SCHEDULE_STEP;
    NN_BUF arguments = {0};
    put_own(g, out);
    nn_buf_puts(&arguments, "learning_rate=learning_rate");
    put_fields(&f, o, &usual, "learning_rate", &arguments);
    nn_buf_puts(out, "\n\ndef compile_model(model, learning_rate):\n"
                     "    \"\"\"Loss, optimizer and metrics.\"\"\"\n");
    if (scheduled) {
        nn_buf_puts(out, "    if learning_rate is None:\n    ");
        put_schedule(&o->schedule, out);
    }
    nn_buf_printf(out, "    optimizer = keras.optimizers.%s(%s)\n    model.compile(loss=",
                  nn_optimizer_names()[o->kind], nn_buf_str(&arguments));
    put_loss(&g->train, out);
    nn_buf_puts(out, ", optimizer=optimizer");
    NN_BUF metrics = {0};
    put_metrics(&g->train, &metrics);
    if (metrics.n && g->n_outputs == 1)
        nn_buf_printf(out, ",\n                  metrics=[%s]", nn_buf_str(&metrics));
    else if (metrics.n)
        nn_buf_printf(out, ",\n                  metrics=[[%s] for _ in OUTPUT_SHAPES]",
                      nn_buf_str(&metrics));
    nn_buf_puts(out, ")\n");
}
