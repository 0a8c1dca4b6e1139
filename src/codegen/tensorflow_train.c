/* SPDX-License-Identifier: MIT */
/* tensorflow_train.c - the program around the model: reading data, compile() and fit(), testing,
 * weights of Neural, and the command line. What does not depend on the network is text. */
#include "codegen/tensorflow.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char readers[] =
    "def read_idx(path):\n"
    "    \"\"\"An IDX file of bytes, plain or .gz.\"\"\"\n"
    "    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:\n"
    "        data = file.read()\n"
    "    if data[:3] != b'\\x00\\x00\\x08':\n"
    "        raise ValueError(f'{path}: not an IDX file of bytes')\n"
    "    rank = data[3]\n"
    "    shape = struct.unpack_from(f'>{rank}I', data, 4)\n"
    "    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)\n"
    "\n"
    "\n"
    "def read_arrays(source, names):\n"
    "    \"\"\"Arrays by name, of an .npz or of a folder of .npy files.\"\"\"\n"
    "    if os.path.isdir(source):\n"
    "        return [np.load(os.path.join(source, name + '.npy')) for name in names]\n"
    "    with np.load(source) as archive:\n"
    "        return [archive[name] for name in names]\n"
    "\n"
    "\n"
    "def read_csv(path, split):\n"
    "    \"\"\"Columns of numbers and a target: label, target, class or y, else the last. A fifth is for tests.\"\"\"\n"
    "    with (gzip.open if path.endswith('.gz') else open)(path, 'rt', encoding='utf-8') as file:\n"
    "        head, *rows = [line.rstrip('\\n').split('\\t' if '.tsv' in path else ',') for line in file if line.strip()]\n"
    "    names = [name.strip().strip('\"').lower() for name in head]\n"
    "    column = next((names.index(n) for n in ('label', 'target', 'class', 'y') if n in names), len(names) - 1)\n"
    "    x = np.array([[float(v) for i, v in enumerate(row) if i != column] for row in rows], 'float32')\n"
    "    y = [row[column] for row in rows]\n"
    "    try:\n"
    "        y = np.array([float(v) for v in y])\n"
    "        y = y.astype('int64') if (y == y.round()).all() else y.astype('float32')\n"
    "    except ValueError:\n"
    "        y = np.unique(y, return_inverse=True)[1]\n"
    "    order = np.random.default_rng(0).permutation(len(rows))\n"
    "    order = order[:len(rows) * 4 // 5] if split == 'train' else order[len(rows) * 4 // 5:]\n"
    "    return x[order], y[order]\n"
    "\n\n";

static const char load_head[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: a name (fashion-mnist, mnist, synthetic), a folder of IDX files, a .csv, or an .npz or a\n"
    "    folder of .npy files with x_train, y_train, x_test and y_test.\n"
    "    \"\"\"\n";

static const char load_files[] =
    "    if any(source.endswith(end) for end in ('.csv', '.tsv', '.csv.gz', '.tsv.gz')):\n"
    "        x, y = read_csv(source, split)\n"
    "        return prepare([x], [y])\n"
    "    part = 'train' if split == 'train' else 't10k'\n"
    "    images = glob.glob(os.path.join(glob.escape(source), f'{part}-images[-.]idx*'))\n"
    "    labels = glob.glob(os.path.join(glob.escape(source), f'{part}-labels[-.]idx*'))\n"
    "    if images and labels:\n"
    "        return prepare([read_idx(images[0])], [read_idx(labels[0])])\n"
    "    inputs, outputs = ([''] if len(ends) == 1 else [f'_{name}' for name in ends] for ends in (INPUTS, OUTPUTS))\n"
    "    return prepare(read_arrays(source, [f'x_{split}{end}' for end in inputs]),\n"
    "                   read_arrays(source, [f'y_{split}{end}' for end in outputs]))\n"
    "\n\n";

static const char find_layer[] =
    "def find_layer(model, key):\n"
    "    \"\"\"A layer by the name that the network gave it, or the n-th of its class: Keras numbers their names.\"\"\"\n"
    "    if isinstance(key, str):\n"
    "        return model.get_layer(key)\n"
    "    kind, place = key\n"
    "    given = {k for k, _ in NEURAL_WEIGHTS if isinstance(k, str)}\n"
    "    same = [layer for layer in model.layers if type(layer).__name__ == kind and layer.name not in given]\n"
    "    same.sort(key=lambda layer: int('0' + layer.name.rpartition('_')[2]) if '_' in layer.name\n"
    "              and layer.name.rpartition('_')[2].isdigit() else 0)\n"
    "    return same[place]\n"
    "\n\n";

static const char load_weights[] =
    "def load_neural_weights(model, path):\n"
    "    \"\"\"Loads a .safetensors file of Neural: its layout is Keras's own.\"\"\"\n"
    "    with open(path, 'rb') as file:\n"
    "        data = file.read()\n"
    "    size, = struct.unpack_from('<Q', data)\n"
    "    tensors = json.loads(data[8:8 + size])\n"
    "    for key, names in NEURAL_WEIGHTS:\n"
    "        layer = find_layer(model, key)\n"
    "        values = []\n"
    "        for name, weight in zip(names, layer.weights):\n"
    "            if name not in tensors:\n"
    "                raise ValueError(f'{path}: holds no {name}, it is of another network')\n"
    "            begin, end = tensors[name]['data_offsets']\n"
    "            values.append(np.frombuffer(data, '<f4', (end - begin) // 4, 8 + size + begin).reshape(weight.shape))\n"
    "        layer.set_weights(values)\n"
    "\n\n";

static const char report[] =
    "def report(as_json, kind, **values):\n"
    "    \"\"\"One line about progress: for people, or as a JSON object.\"\"\"\n"
    "    values = {key: float(value) if isinstance(value, (float, np.floating)) else value for key, value in values.items()}\n"
    "    if as_json:\n"
    "        print(json.dumps({'type': kind, **values}), flush=True)\n"
    "        return\n"
    "    print(kind, *(f'{key} {value:.4f}' if isinstance(value, float) else f'{key} {value}'\n"
    "                  for key, value in values.items()), sep='  ', flush=True)\n"
    "\n"
    "\n"
    "class Progress(keras.callbacks.Callback):\n"
    "    \"\"\"A line for each epoch.\"\"\"\n"
    "\n"
    "    def __init__(self, as_json, epochs):\n"
    "        super().__init__()\n"
    "        self.as_json, self.epochs, self.start = as_json, epochs, 0.0\n"
    "\n"
    "    def on_epoch_begin(self, epoch, logs=None):\n"
    "        self.start = time.perf_counter()\n"
    "\n"
    "    def on_epoch_end(self, epoch, logs=None):\n"
    "        report(self.as_json, 'epoch', epoch=epoch + 1, epochs=self.epochs, **(logs or {}),\n"
    "               seconds=time.perf_counter() - self.start)\n"
    "\n\n";

static const char pick_device[] =
    "def pick_device(name):\n"
    "    \"\"\"auto: a GPU if TensorFlow has one; else cpu, gpu, or gpu:1 for the second.\"\"\"\n"
    "    gpus = tf.config.list_physical_devices('GPU')\n"
    "    if name == 'auto':\n"
    "        return\n"
    "    if name == 'cpu':\n"
    "        tf.config.set_visible_devices([], 'GPU')\n"
    "        return\n"
    "    _, _, number = name.partition(':')\n"
    "    if int(number or 0) >= len(gpus):\n"
    "        raise SystemExit(f'no {name} that TensorFlow can use; give --device cpu')\n"
    "    tf.config.set_visible_devices(gpus[int(number or 0)], 'GPU')\n"
    "\n\n";
/* clang-format on */

/* ---- what the program says about training ---- */

enum {
    CLASS_METRICS = NN_METRIC_PRECISION | NN_METRIC_RECALL | NN_METRIC_AUC | NN_METRIC_F1 |
                    NN_METRIC_MSE | NN_METRIC_MAE | NN_METRIC_RMSE | NN_METRIC_MAPE |
                    NN_METRIC_COSINE_SIMILARITY
};

static const nn_train_support supported = {
    .who = "the TensorFlow backend",
    .save_instead = "run the program with --save FILE",
    .losses = (1U << NN_LOSS_CTC) - 1,
    .optimizers = (1U << NN_OPTIMIZER_COUNT) - 1,
    .schedules = (1U << NN_SCHEDULE_COUNT) - 1,
    .metrics = CLASS_METRICS | NN_METRIC_ACCURACY | NN_METRIC_LOSS | NN_METRIC_TOP_K,
    .precisions = (1U << NN_PRECISION_COUNT) - 1,
    .ignore_class = true,
    .early_stopping = true,
    .mixed_precision = true,
    .save_path = true,
};

nn_status nn_tf_check(const nn_graph *g, nn_err *err) {
    return nn_train_check(&g->train, &supported, err);
}

/* Keras's metrics of classes want one-hot rows; the loss of such is the same. */
static nn_loss_kind loss_of(const nn_train_spec *t) {
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
    nn_loss_kind kind = loss_of(t);
    NN_BUF arguments = {0};
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
        {NN_METRIC_COSINE_SIMILARITY, "keras.metrics.CosineSimilarity(name='cosine_similarity')"},
    };
    int n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (t->metrics & rows[i].bit)
            nn_buf_printf(out, "%s%s", n++ ? ",\n                           " : "", rows[i].text);
    if (t->metrics & NN_METRIC_TOP_K)
        nn_buf_printf(out,
                      "%skeras.metrics.%sTopKCategoricalAccuracy(k=%" PRId64
                      ", name='top_k_categorical_accuracy')",
                      n ? ",\n                           " : "",
                      loss_of(t) == NN_LOSS_SPARSE ? "Sparse" : "", t->top_k);
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

static void put_compile(const nn_graph *g, nn_buf *out) {
    const nn_optimizer *o = &g->train.optimizer;
    nn_optimizer usual = nn_optimizer_default(o->kind);
    nn_fields f = nn_optimizer_fields(o->kind);
    bool scheduled = o->schedule.kind != NN_SCHEDULE_NONE && o->schedule.kind != NN_SCHEDULE_STEP;
    NN_BUF arguments = {0};
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
        nn_buf_printf(out, ",\n                  metrics=[[%s] for _ in OUTPUTS]",
                      nn_buf_str(&metrics));
    nn_buf_puts(out, ")\n");
}

/* ---- weights of Neural ---- */

static int place_of(const nn_keras *k, int i) {
    int n = 0;
    for (int j = 0; j < i; j++)
        n += !k->layers[j].named && strcmp(k->layers[j].class_name, k->layers[i].class_name) == 0;
    return n;
}

static void put_weight_map(const nn_keras *k, nn_buf *out) {
    nn_buf_puts(
        out, "\n\n# The layers with weights, by name or by class and place, and Neural's names of "
             "their weights.\nNEURAL_WEIGHTS = [\n");
    for (int i = 0; i < k->n; i++) {
        const nn_keras_layer *l = &k->layers[i];
        if (l->n_weights == 0) continue;
        nn_buf_puts(out, "    (");
        if (l->named)
            nn_py_string(out, l->name);
        else
            nn_buf_printf(out, "('%s', %d)", l->class_name, place_of(k, i));
        nn_buf_puts(out, ", [");
        for (int j = 0; j < l->n_weights; j++) {
            if (j) nn_buf_puts(out, ", ");
            nn_py_string(out, k->g->weights[l->weights[j].index].name);
        }
        nn_buf_puts(out, "]),\n");
    }
    nn_buf_puts(out, "]\n\n\n");
    nn_buf_puts(out, find_layer);
    nn_buf_puts(out, load_weights);
}

/* ---- data ---- */

static void put_ends(const nn_graph *g, const char *name, const int *nodes, int n, nn_buf *out) {
    nn_buf_printf(out, "%s = {", name);
    for (int i = 0; i < n; i++) {
        if (i) nn_buf_puts(out, ", ");
        nn_py_string(out, g->nodes[nodes[i]].name);
        nn_buf_puts(out, ": ");
        nn_py_shape(out, &g->nodes[nodes[i]].shape);
    }
    nn_buf_puts(out, "}\n");
}

/* How many whole numbers an input takes; 0: any numbers. */
static int64_t tokens_of(const nn_graph *g, int input) {
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == NN_OP_EMBEDDING && g->nodes[i].inputs[0] == input)
            return g->nodes[i].attr.embedding.input_dim;
    return 0;
}

static void put_prepare(const nn_graph *g, nn_buf *out) {
    nn_loss_kind loss = loss_of(&g->train);
    nn_buf_puts(out,
                "def fit_shape(x, shape):\n"
                "    \"\"\"x in the shape of the network, where that is known.\"\"\"\n"
                "    if None not in shape:\n"
                "        return x.reshape(len(x), *shape)\n"
                "    return x[..., None] if x.ndim == len(shape) else x\n\n\n"
                "def prepare(samples, targets):\n"
                "    \"\"\"Samples and targets as the network and its loss take them: bytes become "
                "numbers from 0 to 1.\"\"\"\n"
                "    xs = [fit_shape(x / np.float32(255) if x.dtype == np.uint8 else "
                "x.astype('float32'), shape)\n"
                "          for x, shape in zip(samples, INPUTS.values())]\n"
                "    ys = [to_target(y, shape) for y, shape in zip(targets, OUTPUTS.values())]\n"
                "    return xs[0] if len(xs) == 1 else xs, ys[0] if len(ys) == 1 else ys\n\n\n"
                "def to_target(y, shape):\n");
    if (loss == NN_LOSS_SPARSE)
        nn_buf_puts(
            out,
            "    \"\"\"The number of the class.\"\"\"\n"
            "    if y.ndim == len(shape) + 1 and y.shape[-1] == shape[-1] and y.shape[-1] > 1:  "
            "# one-hot rows\n"
            "        y = y.argmax(axis=-1)\n"
            "    return y.reshape(len(y), *shape[:-1]).astype('int64')\n\n\n");
    else
        nn_buf_puts(
            out,
            "    \"\"\"Numbers in the shape of the output; classes become one-hot rows.\"\"\"\n"
            "    if shape[-1:] != (1,) and y.ndim == len(shape) and "
            "np.issubdtype(y.dtype, np.integer):\n"
            "        y = np.eye(shape[-1])[y]\n"
            "    return fit_shape(y.astype('float32'), shape)\n\n\n");
}

static void put_synthetic(const nn_graph *g, nn_buf *out) {
    bool classes = nn_loss_targets(g->train.loss) == NN_TARGET_CLASS;
    nn_buf_puts(
        out, "def make_data(split, rows=1000):\n"
             "    \"\"\"Samples that scatter around one point for each class: to try the "
             "program.\"\"\"\n"
             "    fixed, generator = np.random.default_rng(1), np.random.default_rng(2 if split == "
             "'train' else 3)\n");
    nn_buf_printf(out, "    classes = %s\n",
                  classes ? "max(shape[-1] for shape in OUTPUTS.values())" : "2");
    nn_buf_puts(out, "    label = np.arange(rows) % classes\n    samples = []\n");
    bool any = false;
    for (int i = 0; i < g->n_inputs; i++) any = any || tokens_of(g, g->inputs[i]);
    if (any) {
        nn_buf_puts(out, "    tokens = [");
        for (int i = 0; i < g->n_inputs; i++)
            nn_buf_printf(out, "%s%" PRId64, i ? ", " : "", tokens_of(g, g->inputs[i]));
        nn_buf_puts(out, "]  # whole numbers below that; 0: any numbers\n"
                         "    for shape, most in zip(INPUTS.values(), tokens):\n");
    } else {
        nn_buf_puts(out, "    for shape in INPUTS.values():\n");
    }
    nn_buf_puts(out, "        shape = [size or 8 for size in shape]\n");
    if (any)
        nn_buf_puts(out, "        if most:\n"
                         "            samples.append(generator.integers(0, most, (rows, *shape)))\n"
                         "            continue\n");
    nn_buf_puts(
        out, "        noise = generator.normal(size=(rows, *shape))\n"
             "        samples.append(fixed.normal(size=(classes, *shape))[label] + 0.5 * noise)\n");
    if (classes)
        nn_buf_puts(out,
                    "    targets = [np.broadcast_to(label.reshape(-1, *[1] * (len(shape) - 1)),\n"
                    "                               (rows, *[size or 8 for size in shape[:-1]]))\n"
                    "               for shape in OUTPUTS.values()]\n"
                    "    return prepare(samples, targets)\n\n\n");
    else
        nn_buf_puts(out, "    targets = [fixed.uniform(size=(classes, *[size or 8 for size in "
                         "shape])).round()[label]\n"
                         "               for shape in OUTPUTS.values()]\n"
                         "    return prepare(samples, targets)\n\n\n");
}

/* ---- training ---- */

static void put_early_stopping(const nn_early_stopping *s, nn_buf *out) {
    if (!s->on) return;
    nn_buf_puts(out, "    callbacks.append(keras.callbacks.EarlyStopping(monitor=");
    nn_py_string(out, s->monitor);
    nn_buf_puts(out, ", min_delta=");
    nn_py_float(out, s->min_delta);
    nn_buf_printf(out,
                  ", patience=%" PRId64 ",\n"
                  "                                                   restore_best_weights=%s))\n",
                  s->patience, s->restore_best ? "True" : "False");
}

static void put_step_decay(const nn_schedule *s, nn_buf *out) {
    if (s->kind != NN_SCHEDULE_STEP) return;
    nn_buf_puts(out, "    callbacks.append(keras.callbacks.LearningRateScheduler(\n"
                     "        lambda epoch, rate: args.lr * ");
    nn_py_float(out, s->drop_rate);
    nn_buf_printf(out, " ** (epoch // %" PRId64 ")))\n", s->epochs_drop);
}

static void put_train(const nn_graph *g, nn_buf *out) {
    const nn_train_spec *t = &g->train;
    nn_buf_puts(
        out,
        "def rows_of(data, rows):\n"
        "    return [x[rows] for x in data] if isinstance(data, list) else data[rows]\n\n\n"
        "def train(model, args):\n"
        "    x, y = load_data(args.data, 'train')\n"
        "    count = len(x[0] if isinstance(x, list) else x)\n"
        "    held_back = int(count * args.validation_split)\n"
        "    validation = None\n"
        "    if held_back:\n"
        "        order = np.random.default_rng(args.seed).permutation(count)\n"
        "        validation = (rows_of(x, order[count - held_back:]), rows_of(y, order[count - "
        "held_back:]))\n"
        "        x, y = rows_of(x, order[:count - held_back]), rows_of(y, order[:count - held_back])\n"
        "    callbacks = [Progress(args.json, args.epochs)]\n"
        "    if args.log:\n"
        "        callbacks.append(keras.callbacks.CSVLogger(filename=args.log))\n"
        "    if args.checkpoint:\n"
        "        callbacks.append(keras.callbacks.ModelCheckpoint(\n"
        "            filepath=args.checkpoint, monitor='val_loss' if validation else 'loss', "
        "save_best_only=True))\n");
    put_early_stopping(&t->early_stopping, out);
    put_step_decay(&t->optimizer.schedule, out);
    nn_buf_puts(out, "    model.fit(x, y, batch_size=args.batch_size, epochs=args.epochs, "
                     "validation_data=validation,\n              ");
    if (t->steps_per_epoch > 0)
        nn_buf_printf(out, "steps_per_epoch=%" PRId64 ", ", t->steps_per_epoch);
    nn_buf_printf(out, "shuffle=%s, callbacks=callbacks, verbose=0)\n",
                  t->shuffle ? "True" : "False");
}

/* ---- the command line ---- */

/* Without a data set that the program or the caller names, the user has to. */
static void put_data(const nn_tf *e, nn_buf *out) {
    const char *given = e->k.opt->dataset;
    const char *name = given && *given ? given : e->k.g->train.dataset;
    NN_BUF value = {0};
    if (*name) {
        nn_buf_puts(&value, "default=");
        nn_py_string(&value, name);
    }
    nn_buf_printf(out,
                  "    parser.add_argument('--data', %s,\n"
                  "                        help='data set: a name or a path, see load_data()')\n",
                  *name ? nn_buf_str(&value) : "required=True");
}

static void put_arguments(const nn_tf *e, nn_buf *out) {
    const nn_train_spec *t = &e->k.g->train;
    nn_schedule_kind schedule = t->optimizer.schedule.kind;
    nn_buf_puts(out,
                "\n\ndef parse_arguments():\n"
                "    parser = argparse.ArgumentParser(description='Trains and tests the network of "
                "this file.',\n"
                "                                     "
                "formatter_class=argparse.ArgumentDefaultsHelpFormatter)\n");
    put_data(e, out);
    nn_py_argument_count(out, "epochs", t->epochs, "passes over the training data; 0 only tests");
    nn_py_argument_count(out, "batch-size", t->batch_size, "rows a step");
    if (schedule != NN_SCHEDULE_NONE && schedule != NN_SCHEDULE_STEP)
        nn_py_argument(out, "lr", "float", NULL, "learning rate in place of the schedule");
    else
        nn_py_argument_real(out, "lr", t->optimizer.learning_rate, "learning rate");
    nn_py_argument_real(out, "validation-split", t->validation_split,
                        "share of the training rows that is held back");
    nn_py_argument_text(out, "device", *t->device ? t->device : "auto", "auto, cpu, gpu, gpu:1");
    nn_py_argument_count(out, "seed", t->seeded ? (int64_t)(t->seed & UINT32_MAX) : 0,
                         "of weights, dropout and order");
    nn_py_argument_text(out, "weights", "",
                        "start from this .safetensors file of Neural, or file of Keras");
    nn_py_argument_text(out, "save", "", "write the trained model to this .keras or .h5 file");
    nn_py_argument_text(out, "checkpoint", "", "keep the best epoch so far in this .keras file");
    nn_py_argument_text(out, "log", "", "write what each epoch gives to this .csv file");
    nn_buf_puts(
        out, "    parser.add_argument('--json', action='store_true', help='report as JSON lines')\n"
             "    return parser.parse_args()\n\n\n");
}

static const char *policy_of(const nn_train_spec *t) {
    if (t->mixed_precision || t->precision == NN_PRECISION_MIXED) return "mixed_float16";
    return t->precision == NN_PRECISION_FLOAT32 ? NULL : nn_precision_name(t->precision);
}

static void put_main(const nn_train_spec *t, nn_buf *out) {
    const char *policy = policy_of(t);
    nn_buf_puts(out, "def main():\n"
                     "    args = parse_arguments()\n"
                     "    pick_device(args.device)\n"
                     "    keras.utils.set_random_seed(args.seed)\n");
    if (policy && strncmp(policy, "mixed", 5) == 0)
        nn_buf_printf(out, "    set_global_policy('%s')\n", policy);
    else if (policy)
        nn_buf_printf(out, "    keras.mixed_precision.set_global_policy('%s')\n", policy);
    nn_buf_puts(out,
                "    model = build_model()\n"
                "    compile_model(model, args.lr)\n"
                "    if args.weights and args.weights.endswith('.safetensors'):\n"
                "        load_neural_weights(model, args.weights)\n"
                "    elif args.weights:\n"
                "        model.load_weights(args.weights)\n"
                "    if args.epochs > 0:\n"
                "        train(model, args)\n"
                "    x, y = load_data(args.data, 'test')\n"
                "    result = model.evaluate(x, y, batch_size=1000, verbose=0, return_dict=True)\n"
                "    report(args.json, 'result', **{f'test_{key}': value for key, value in "
                "result.items()})\n"
                "    if args.save:\n"
                "        model.save(args.save)\n");
    if (*t->save_path) {
        nn_buf_puts(out, "    else:\n        model.save(");
        nn_py_string(out, t->save_path);
        nn_buf_puts(out, ")\n");
    }
    nn_buf_puts(out, "\n\nif __name__ == '__main__':\n    main()\n");
}

void nn_tf_program(nn_tf *e, nn_buf *out) {
    const nn_graph *g = e->k.g;
    put_weight_map(&e->k, out);
    put_ends(g, "INPUTS", g->inputs, g->n_inputs, out);
    put_ends(g, "OUTPUTS", g->outputs, g->n_outputs, out);
    nn_buf_puts(out, "\n\n");
    nn_buf_puts(out, readers);
    put_prepare(g, out);
    put_synthetic(g, out);
    nn_buf_puts(out, load_head);
    nn_buf_puts(out, nn_py_find_data);
    nn_buf_puts(out, load_files);
    nn_buf_puts(out, report);
    nn_buf_puts(out, pick_device);
    put_train(g, out);
    put_compile(g, out);
    put_arguments(e, out);
    put_main(&g->train, out);
}
