/* SPDX-License-Identifier: MIT */
/* tensorflow_train.c - the program around the model: fit() and testing, checkpoints, weights of
 * Neural, and the command line; tensorflow_data.c, _compile.c and _callbacks.c write the rest. What
 * does not depend on the network is text. */
#include "codegen/keras_ops.h"
#include "codegen/tensorflow.h"

#include <inttypes.h>
#include <string.h>

/* clang-format off */
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
    "    values = {key: np.asarray(value).tolist() if hasattr(value, 'dtype') else value for key, value in values.items()}\n"
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

/* ---- training ---- */

/* clang-format off */
static const char checkpoint_head[] =
    "class Checkpoint(keras.callbacks.Callback):\n"
    "    \"\"\"All that is needed to go on as if nothing had happened, after every epoch; never half a file. It comes last.\"\"\"\n"
    "\n"
    "    counts = ('wait', 'best', 'best_epoch', 'cooldown_counter')\n"
    "\n"
    "    def __init__(self, path, others, seed):\n"
    "        super().__init__()\n"
    "        self.path, self.others, self.seed, self.found = path, others, seed, []\n";
/* clang-format on */

/* clang-format off */
static const char redraws[] =
    "\n"
    "    def on_epoch_begin(self, epoch, logs=None):\n"
    "        if int(keras.__version__.split('.')[0]) < 3:  # it draws random numbers by counters inside of the compiled step\n"
    "            tf.random.set_seed(self.seed + epoch)\n"
    "            self.model.make_train_function(force=True)\n";
/* clang-format on */

/* clang-format off */
static const char checkpoint_rest[] =
    "\n"
    "    def on_train_begin(self, logs=None):\n"
    "        for other, found in zip(self.others, self.found):\n"
    "            if getattr(other, 'monitor_op', self) is None:\n"
    "                other._set_monitor_op()  # Keras 3 would forget the best value there, after the first epoch\n"
    "            for key, value in found.items():\n"
    "                setattr(other, key, value)\n"
    "\n"
    "    def variables(self, model):\n"
    "        \"\"\"Weights, the optimizer's numbers and, in Keras 3, the counters that random numbers are drawn by.\"\"\"\n"
    "        return {'weight': model.weights, 'optimizer': model.optimizer.variables,\n"
    "                'seed': [v for v in model.variables if 'seed_generator' in v.name]}\n"
    "\n"
    "    def on_epoch_end(self, epoch, logs=None):\n"
    "        arrays = {f'{kind}_{i}': np.array(v) for kind, held in self.variables(self.model).items()\n"
    "                  for i, v in enumerate(held)}\n"
    "        found = []\n"
    "        for place, other in enumerate(self.others):\n"
    "            values = {key: getattr(other, key, None) for key in self.counts}\n"
    "            found.append({key: v if isinstance(v, int) else float(v) for key, v in values.items() if v is not None})\n"
    "            for i, v in enumerate(getattr(other, 'best_weights', None) or []):\n"
    "                arrays[f'best_{place}_{i}'] = v\n"
    "        rest = json.dumps({'epoch': epoch + 1, 'over': bool(self.model.stop_training), 'found': found})\n"
    "        with open(self.path + '.part', 'wb') as file:\n"
    "            np.savez(file, rest=np.array(rest), **arrays)\n"
    "        os.replace(self.path + '.part', self.path)\n"
    "\n"
    "    def restore(self, model, epochs):\n"
    "        \"\"\"The epoch to go on with; `epochs` where training was over.\"\"\"\n"
    "        model.optimizer.build(model.trainable_variables)\n"
    "        with np.load(self.path) as saved:\n"
    "            rest = json.loads(str(saved['rest']))\n"
    "            for kind, held in self.variables(model).items():\n"
    "                if sum(name.startswith(kind + '_') for name in saved.files) != len(held):\n"
    "                    raise SystemExit(f'{self.path}: is of another network')\n"
    "                for i, v in enumerate(held):\n"
    "                    v.assign(saved[f'{kind}_{i}'])\n"
    "            self.found = rest['found']\n"
    "            for place, found in enumerate(self.found):\n"
    "                best = [saved[f'best_{place}_{i}'] for i in range(len(model.get_weights())) if f'best_{place}_{i}' in saved.files]\n"
    "                if best:\n"
    "                    found['best_weights'] = best\n"
    "                    if rest['over']:\n"
    "                        model.set_weights(best)\n"
    "        return epochs if rest['over'] else rest['epoch']\n"
    "\n"
    "\n"
    "def rows_of(data, rows):\n"
    "    return [x[rows] for x in data] if isinstance(data, list) else data[rows]\n"
    "\n"
    "\n"
    "def batches(x, y, args, first, steps):\n"
    "    \"\"\"What fit() goes through from epoch `first` on. The order of an epoch depends on the seed and its number alone.\"\"\"\n"
    "    count = len(x[0] if isinstance(x, list) else x)\n"
    "    for epoch in range(first, args.epochs):\n"
    "        order = ";
/* clang-format on */

/* clang-format off */
static const char train_head[] =
    "\n"
    "        for step in range(steps):\n"
    "            rows = order[step * args.batch_size:(step + 1) * args.batch_size]\n"
    "            yield tuple(tuple(part) if isinstance(part, list) else part for part in (rows_of(x, rows), rows_of(y, rows)))\n"
    "\n"
    "\n"
    "def train(model, args):\n"
    "    x, y = read(args.data, 'train')\n"
    "    count = len(x[0] if isinstance(x, list) else x)\n"
    "    held_back = int(count * args.validation_split)\n"
    "    validation = None\n"
    "    if held_back:\n"
    "        order = np.random.default_rng(args.seed).permutation(count)\n"
    "        validation = (rows_of(x, order[count - held_back:]), rows_of(y, order[count - held_back:]))\n"
    "        x, y = rows_of(x, order[:count - held_back]), rows_of(y, order[:count - held_back])\n"
    "    steps, first = ";
/* clang-format on */

/* clang-format off */
static const char train_middle[] =
    ", 0\n"
    "    callbacks = [Progress(args.json, args.epochs)]\n"
    "    if args.best:\n"
    "        callbacks.append(keras.callbacks.ModelCheckpoint(\n"
    "            filepath=args.best, monitor='val_loss' if validation else 'loss', save_best_only=True))\n"
    "";
/* clang-format on */

/* clang-format off */
static const char train_end[] =
    "    if args.checkpoint:\n"
    "        callbacks.append(Checkpoint(args.checkpoint, callbacks[1:], args.seed))\n"
    "        if args.resume and os.path.exists(args.checkpoint):\n"
    "            first = callbacks[-1].restore(model, args.epochs)\n"
    "    if args.log:\n"
    "        callbacks.insert(0, keras.callbacks.CSVLogger(filename=args.log, append=first > 0))\n"
    "    if first < args.epochs:\n"
    "        model.fit(batches(x, y, args, first, steps), epochs=args.epochs, initial_epoch=first, steps_per_epoch=steps,\n"
    "                  validation_data=validation, validation_batch_size=args.batch_size, callbacks=callbacks, verbose=0)\n";
/* clang-format on */

/* Keras finds out by itself for some metrics, and not for the same in every version. */
static bool falls(const char *monitor) {
    const unsigned falling = NN_METRIC_LOSS | NN_METRIC_MSE | NN_METRIC_MAE | NN_METRIC_RMSE |
                             NN_METRIC_MAPE | NN_METRIC_PERPLEXITY;
    int k = nn_train_metric_find(strncmp(monitor, "val_", 4) == 0 ? monitor + 4 : monitor);
    return k >= 0 && falling >> k & 1;
}

static void put_early_stopping(const nn_early_stopping *s, nn_buf *out) {
    if (!s->on) return;
    nn_buf_puts(out, "    callbacks.append(keras.callbacks.EarlyStopping(monitor=");
    nn_py_string(out, s->monitor);
    nn_buf_puts(out, ", min_delta=");
    nn_py_float(out, s->min_delta);
    nn_buf_printf(out,
                  ", mode='%s', patience=%" PRId64 ",\n"
                  "                                                   restore_best_weights=%s))\n",
                  falls(s->monitor) ? "min" : "max", s->patience,
                  s->restore_best ? "True" : "False");
}

static void put_step_decay(const nn_schedule *s, nn_buf *out) {
    if (s->kind != NN_SCHEDULE_STEP) return;
    nn_buf_puts(out, "    callbacks.append(keras.callbacks.LearningRateScheduler(\n"
                     "        lambda epoch, rate: args.lr * ");
    nn_py_float(out, s->drop_rate);
    nn_buf_printf(out, " ** (epoch // %" PRId64 ")))\n", s->epochs_drop);
}

/* Whether it draws random numbers while training. */
static bool draws(const nn_graph *g) {
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (n->op == NN_OP_DROPOUT || n->op == NN_OP_NOISE) return true;
        if (n->op == NN_OP_ATTENTION && n->attr.attention.dropout != 0) return true;
        if (n->op != NN_OP_RNN && n->op != NN_OP_CONV_LSTM) continue;
        nn_ko_cell v = nn_ko_cell_of(n);
        if (v.dropout != 0 || v.recurrent_dropout != 0) return true;
    }
    return false;
}

static void put_train(const nn_graph *g, nn_buf *out) {
    const nn_train_spec *t = &g->train;
    nn_buf_puts(out, checkpoint_head);
    if (draws(g)) nn_buf_puts(out, redraws);
    nn_buf_puts(out, checkpoint_rest);
    nn_buf_puts(out, t->shuffle ? "np.random.default_rng([args.seed, epoch]).permutation(count)"
                                : "np.arange(count)");
    nn_buf_puts(out, train_head);
    if (t->steps_per_epoch > 0)
        nn_buf_printf(
            out, "min(-(-len(x[0] if isinstance(x, list) else x) // args.batch_size), %" PRId64 ")",
            t->steps_per_epoch);
    else
        nn_buf_puts(out, "-(-len(x[0] if isinstance(x, list) else x) // args.batch_size)");
    nn_buf_puts(out, train_middle);
    put_early_stopping(&t->early_stopping, out);
    put_step_decay(&t->optimizer.schedule, out);
    nn_tf_callbacks(t, out);
    nn_buf_puts(out, train_end);
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
    nn_py_argument_text(out, "best", "", "keep the best epoch so far in this .keras file");
    nn_py_argument_text(out, "checkpoint", "", "write all of the training here after every epoch");
    nn_buf_puts(
        out,
        "    parser.add_argument('--resume', action='store_true', help='go on from --checkpoint, if it is there')\n");
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
                     "    if args.resume and not args.checkpoint:\n"
                     "        raise SystemExit('--resume goes on from --checkpoint FILE')\n"
                     "    pick_device(args.device)\n"
                     "    keras.utils.set_random_seed(args.seed)\n");
    if (policy && strncmp(policy, "mixed", 5) == 0)
        nn_buf_printf(out, "    set_global_policy('%s')\n", policy);
    else if (policy)
        nn_buf_printf(out, "    keras.mixed_precision.set_global_policy('%s')\n", policy);
    nn_tf_strategy(t, out);
    nn_buf_puts(out,
                "    if args.weights and args.weights.endswith('.safetensors'):\n"
                "        load_neural_weights(model, args.weights)\n"
                "    elif args.weights:\n"
                "        model.load_weights(args.weights)\n"
                "    if args.epochs > 0:\n"
                "        train(model, args)\n"
                "    x, y = read(args.data, 'test')\n"
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
    nn_tf_data(g, out);
    nn_buf_puts(out, report);
    nn_buf_puts(out, pick_device);
    put_train(g, out);
    nn_tf_compile(g, out);
    put_arguments(e, out);
    put_main(&g->train, out);
}
