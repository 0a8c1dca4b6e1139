/* SPDX-License-Identifier: MIT */
/* pytorch_train.c - the program around the model: reading data, loss, optimiser, training, testing,
 * and the command line. What does not depend on the network is text; the rest is written between.
 */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <string.h>

/* ---- data ---- */

static const char readers[] =
    "def read_idx(path):\n"
    "    \"\"\"An IDX file of bytes, plain or .gz, as a tensor.\"\"\"\n"
    "    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:\n"
    "        data = bytearray(file.read())\n"
    "    if data[:3] != b'\\x00\\x00\\x08':\n"
    "        raise ValueError(f'{path}: not an IDX file of bytes')\n"
    "    rank = data[3]\n"
    "    shape = struct.unpack_from(f'>{rank}I', data, 4)\n"
    "    return torch.frombuffer(data, dtype=torch.uint8, offset=4 + 4 * rank).reshape(shape)\n"
    "\n\n"
    "def read_npy(data, name):\n"
    "    \"\"\"The bytes of a .npy file as a tensor.\"\"\"\n"
    "    types = {'|u1': torch.uint8, '<i4': torch.int32, '<i8': torch.int64, '<f4': torch.float32,\n"
    "             '<f8': torch.float64}\n"
    "    if data[:6] != b'\\x93NUMPY':\n"
    "        raise ValueError(f'{name}: not a .npy file')\n"
    "    width = 2 if data[6] == 1 else 4\n"
    "    start = 8 + width + int.from_bytes(data[8:8 + width], 'little')\n"
    "    header = ast.literal_eval(data[8 + width:start].decode('latin-1').strip())\n"
    "    if header['fortran_order'] or header['descr'] not in types:\n"
    "        raise ValueError(f'{name}: {header} is not read; save it as uint8 or float32 in C order')\n"
    "    values = torch.frombuffer(bytearray(data), dtype=types[header['descr']], offset=start)\n"
    "    return values.reshape(header['shape'])\n"
    "\n\n"
    "def read_arrays(source, names):\n"
    "    \"\"\"Arrays by name, of an .npz or of a folder of .npy files.\"\"\"\n"
    "    if os.path.isdir(source):\n"
    "        arrays = []\n"
    "        for name in names:\n"
    "            with open(os.path.join(source, name + '.npy'), 'rb') as file:\n"
    "                arrays.append(read_npy(file.read(), name))\n"
    "        return arrays\n"
    "    with zipfile.ZipFile(source) as archive:\n"
    "        return [read_npy(archive.read(name + '.npy'), name) for name in names]\n"
    "\n\n";

static const char load_head[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: a name (fashion-mnist, mnist, synthetic), a folder of IDX files, or an .npz or a folder\n"
    "    of .npy files with x_train, y_train, x_test and y_test.\n"
    "    \"\"\"\n"
    "    if source == 'synthetic':\n"
    "        return make_data(split)\n"
    "    name = source.lower().replace('_', '-')\n"
    "    if name in ('fashion-mnist', 'fashionmnist', 'mnist') and not os.path.isdir(source):\n"
    "        name = name.replace('fashionmnist', 'fashion-mnist')\n"
    "        own = os.path.join(os.environ.get('NEURAL_DATA_DIR', ''), name)\n"
    "        source = own if os.path.isdir(own) else os.path.join('/usr/share/datasets', name)\n"
    "        if not os.path.isdir(source):\n"
    "            raise FileNotFoundError(f'{name} is neither in $NEURAL_DATA_DIR nor at {source}: '\n"
    "                                    'give --data the folder that holds it')\n"
    "    part = 'train' if split == 'train' else 't10k'\n"
    "    images = glob.glob(os.path.join(glob.escape(source), f'{part}-images[-.]idx*'))\n"
    "    labels = glob.glob(os.path.join(glob.escape(source), f'{part}-labels[-.]idx*'))\n"
    "    if images and labels:\n"
    "        return prepare(read_idx(images[0]), read_idx(labels[0]))\n"
    "    return prepare(*read_arrays(source, (f'x_{split}', f'y_{split}')))\n"
    "\n\n";

static void put_numbers(nn_emit *e, nn_buf *out) {
    const nn_node *in = &e->g->nodes[e->g->inputs[0]], *last = &e->g->nodes[e->out];
    nn_buf_puts(out, "\n\nINPUT_SHAPE = ");
    nn_py_shape(out, &in->shape);
    nn_buf_puts(out, "  # of one sample, channels last\nOUTPUT_SHAPE = ");
    nn_py_shape(out, &last->shape);
    nn_buf_puts(out, "\n\n\n");
}

static bool takes_classes(const nn_emit *e) {
    return nn_loss_targets(e->g->train.loss) == NN_TARGET_CLASS;
}

static bool known(const nn_shape *s) {
    return nn_shape_elements(s) >= 0;
}

/* prepare(): samples in the network's shape, targets as its loss wants them. */
static void put_prepare(nn_emit *e, nn_buf *out) {
    const nn_shape *in = &e->g->nodes[e->g->inputs[0]].shape;
    nn_buf_puts(
        out,
        "def prepare(x, y):\n    \"\"\"Samples and targets in the shapes of the network.\"\"\"\n");
    if (known(in))
        nn_buf_puts(out, "    x = x.reshape(len(x), *INPUT_SHAPE)\n");
    else
        nn_buf_puts(
            out,
            "    if x.dim() == len(INPUT_SHAPE):\n        x = x.unsqueeze(-1)  # one channel\n");
    const nn_shape *to = &e->g->nodes[e->out].shape;
    if (takes_classes(e))
        nn_buf_puts(
            out,
            "    if y.dim() == 2 and y.shape[1] > 1:  # one-hot rows\n        y = y.argmax(dim=1)\n"
            "    return x, y.reshape(-1).long()\n\n\n");
    else if (!known(to))
        nn_buf_puts(out, "    return x, y.float()\n\n\n");
    else if (to->rank == 1 && to->dim[0] > 1)
        nn_buf_puts(out, "    if not y.is_floating_point() and y.dim() == 1:\n"
                         "        y = F.one_hot(y.long(), OUTPUT_SHAPE[0])\n"
                         "    return x, y.float().reshape(len(y), *OUTPUT_SHAPE)\n\n\n");
    else
        nn_buf_puts(out, "    return x, y.float().reshape(len(y), *OUTPUT_SHAPE)\n\n\n");
}

static void put_synthetic(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "def make_data(split, rows=1000):\n"
        "    \"\"\"Samples that scatter around one point for each class: to try the program.\"\"\"\n"
        "    shape = [size or 8 for size in INPUT_SHAPE]\n"
        "    fixed = torch.Generator().manual_seed(1)\n"
        "    generator = torch.Generator().manual_seed(2 if split == 'train' else 3)\n");
    nn_buf_printf(out, "    classes = %s\n", takes_classes(e) ? "OUTPUT_SHAPE[0]" : "2");
    nn_buf_puts(out, "    points = torch.randn(classes, *shape, generator=fixed)\n"
                     "    y = torch.arange(rows) % classes\n"
                     "    x = points[y] + 0.5 * torch.randn(rows, *shape, generator=generator)\n");
    if (!takes_classes(e))
        nn_buf_puts(out, "    targets = [size or 1 for size in OUTPUT_SHAPE]\n"
                         "    y = torch.rand(classes, *targets, generator=fixed).round()[y]\n");
    nn_buf_puts(out, "    return prepare(x, y)\n\n\n");
}

static const char to_input[] =
    "def to_input(x, device):\n"
    "    \"\"\"A batch as the network takes it: bytes become numbers from 0 to 1.\"\"\"\n"
    "    x = x.to(device)\n"
    "    return x.float() / 255 if x.dtype == torch.uint8 else x.float()\n";

/* ---- loss and accuracy ---- */

static void put_smoothing(nn_emit *e, const char *before, nn_buf *out) {
    double smoothing = e->g->train.label_smoothing;
    if (smoothing == 0) return;
    nn_buf_puts(out, before);
    nn_py_float(out, smoothing);
}

static void put_ce_probs(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "    # the network gives scores, not logits: they are brought to the sum 1 first, as Keras does\n"
        "    p = outputs / outputs.sum(dim=-1, keepdim=True)\n"
        "    log_p = p.clamp(1e-07, 1 - 1e-07).log()\n");
    if (e->g->train.label_smoothing == 0) {
        nn_buf_puts(out, "    return F.nll_loss(log_p, targets)\n");
        return;
    }
    put_smoothing(e, "    smoothing = ", out);
    nn_buf_puts(
        out,
        "\n    return (1 - smoothing) * F.nll_loss(log_p, targets) - smoothing * log_p.mean()\n");
}

static void put_loss(nn_emit *e, nn_buf *out) {
    nn_buf_printf(
        out, "\n\ndef loss_of(outputs, targets):\n    \"\"\"%s, the mean over the batch.\"\"\"\n",
        nn_loss_name(e->g->train.loss));
    if (e->loss == NN_TORCH_BCE_LOGITS || e->loss == NN_TORCH_BCE_PROBS) {
        put_smoothing(e, "    targets = targets + (0.5 - targets) * ", out);
        if (e->g->train.label_smoothing != 0) nn_buf_puts(out, "  # label smoothing\n");
    }
    switch (e->loss) {
    case NN_TORCH_VALUES:
        nn_buf_puts(out, "    return F.mse_loss(outputs, targets)\n");
        return;
    case NN_TORCH_CE_LOGITS:
        nn_buf_puts(out, "    return F.cross_entropy(outputs, targets");
        put_smoothing(e, ", label_smoothing=", out);
        nn_buf_puts(out, ")\n");
        return;
    case NN_TORCH_CE_PROBS:
        put_ce_probs(e, out);
        return;
    case NN_TORCH_BCE_LOGITS:
        nn_buf_puts(out, "    return F.binary_cross_entropy_with_logits(outputs, targets)\n");
        return;
    case NN_TORCH_BCE_PROBS:
        nn_buf_puts(
            out, "    return F.binary_cross_entropy(outputs.clamp(1e-07, 1 - 1e-07), targets)\n");
        return;
    }
}

static void put_correct(nn_emit *e, nn_buf *out) {
    int64_t outputs = nn_shape_elements(&e->g->nodes[e->out].shape);
    nn_buf_puts(out,
                "\n\ndef correct(outputs, targets):\n    \"\"\"How many rows are right.\"\"\"\n");
    if (takes_classes(e))
        nn_buf_puts(out, "    return (outputs.argmax(dim=-1) == targets).sum().item()\n");
    else if (outputs == 1)
        nn_buf_printf(out, "    return ((outputs > %s) == (targets > 0.5)).sum().item()\n",
                      e->loss == NN_TORCH_BCE_LOGITS ? "0.0" : "0.5");
    else
        nn_buf_puts(
            out,
            "    return (outputs.flatten(1).argmax(dim=1) == targets.flatten(1).argmax(dim=1)).sum().item()\n");
}

/* ---- optimiser ---- */

/* PyTorch's AdamW shrinks the weights apart from the gradient, as Keras does for every optimiser.
 */
static void put_adam(const nn_optimizer *o, nn_buf *out) {
    nn_buf_printf(out, "    return torch.optim.%s(trained, lr=learning_rate, betas=(",
                  o->weight_decay > 0 ? "AdamW" : "Adam");
    nn_py_float(out, o->beta_1);
    nn_buf_puts(out, ", ");
    nn_py_float(out, o->beta_2);
    nn_buf_puts(out, "), eps=");
    nn_py_float(out, o->epsilon);
    if (o->weight_decay > 0) {
        nn_buf_puts(out, ",\n                             weight_decay=");
        nn_py_float(out, o->weight_decay);
    }
    nn_buf_puts(out, o->amsgrad ? ", amsgrad=True)\n" : ")\n");
}

static void put_sgd(const nn_optimizer *o, nn_buf *out) {
    nn_buf_puts(out, "    return torch.optim.SGD(trained, lr=learning_rate");
    if (o->momentum > 0) {
        nn_buf_puts(out, ", momentum=");
        nn_py_float(out, o->momentum);
        if (o->nesterov) nn_buf_puts(out, ", nesterov=True");
    }
    nn_buf_puts(out, ")\n");
}

static void put_optimizer(nn_emit *e, nn_buf *out) {
    const nn_optimizer *o = &e->g->train.optimizer;
    nn_buf_puts(out, "\n\ndef make_optimizer(model, learning_rate):\n"
                     "    trained = [p for p in model.parameters() if p.requires_grad]\n");
    if (o->kind == NN_OPTIMIZER_SGD)
        put_sgd(o, out);
    else
        put_adam(o, out);
}

/* ---- training ---- */

static void put_clipping(const nn_optimizer *o, nn_buf *out) {
    if (o->clipnorm > 0) {
        nn_buf_puts(out, "        for parameter in model.parameters():\n"
                         "            nn.utils.clip_grad_norm_(parameter, ");
        nn_py_float(out, o->clipnorm);
        nn_buf_puts(out, ")\n");
    } else if (o->global_clipnorm > 0) {
        nn_buf_puts(out, "        nn.utils.clip_grad_norm_(model.parameters(), ");
        nn_py_float(out, o->global_clipnorm);
        nn_buf_puts(out, ")\n");
    } else if (o->clipvalue > 0) {
        nn_buf_puts(out, "        nn.utils.clip_grad_value_(model.parameters(), ");
        nn_py_float(out, o->clipvalue);
        nn_buf_puts(out, ")\n");
    }
}

/* SGD's own weight_decay goes through the momentum; Keras's does not. */
static void put_decay(const nn_optimizer *o, nn_buf *out) {
    if (o->kind != NN_OPTIMIZER_SGD || o->weight_decay <= 0) return;
    nn_buf_puts(out, "        with torch.no_grad():\n"
                     "            for parameter in model.parameters():\n"
                     "                parameter.mul_(1 - optimizer.param_groups[0]['lr'] * ");
    nn_py_float(out, o->weight_decay);
    nn_buf_puts(out, ")\n");
}

static void put_epoch(nn_emit *e, bool penalised, bool constrained, nn_buf *out) {
    const nn_train_spec *t = &e->g->train;
    nn_buf_puts(out, "\n\ndef train_epoch(model, optimizer, data, order, batch_size):\n"
                     "    \"\"\"One pass over the rows in `order`: mean loss and accuracy.\"\"\"\n"
                     "    x, y = data\n"
                     "    device = next(model.parameters()).device\n"
                     "    model.train()\n"
                     "    loss_sum, right, rows = 0.0, 0, 0\n");
    if (t->steps_per_epoch > 0)
        nn_buf_printf(out, "    order = order[:%" PRId64 " * batch_size]\n", t->steps_per_epoch);
    nn_buf_puts(out, "    for batch in order.split(batch_size):\n");
    if (e->batch_norm)
        nn_buf_puts(
            out,
            "        if len(batch) < 2:\n            continue  # one row has no variance to normalise by\n");
    nn_buf_puts(out, "        inputs, targets = to_input(x[batch], device), y[batch].to(device)\n"
                     "        optimizer.zero_grad()\n"
                     "        outputs = model(inputs)\n");
    nn_buf_printf(out, "        loss = loss_of(outputs, targets)%s\n",
                  penalised ? " + penalties(model)" : "");
    nn_buf_puts(out, "        loss.backward()\n");
    put_clipping(&t->optimizer, out);
    put_decay(&t->optimizer, out);
    nn_buf_puts(out, "        optimizer.step()\n");
    if (constrained) nn_buf_puts(out, "        constrain(model)\n");
    nn_buf_puts(out, "        loss_sum += loss.item() * len(batch)\n"
                     "        right += correct(outputs, targets)\n"
                     "        rows += len(batch)\n"
                     "    return loss_sum / max(rows, 1), right / max(rows, 1)\n");
}

static const char evaluate[] =
    "\n\n@torch.no_grad()\n"
    "def evaluate(model, data, order, batch_size=1000):\n"
    "    \"\"\"Mean loss and accuracy over the rows in `order`.\"\"\"\n"
    "    x, y = data\n"
    "    device = next(model.parameters()).device\n"
    "    model.eval()\n"
    "    loss_sum, right = 0.0, 0\n"
    "    for batch in order.split(batch_size):\n"
    "        outputs, targets = model(to_input(x[batch], device)), y[batch].to(device)\n"
    "        loss_sum += loss_of(outputs, targets).item() * len(batch)\n"
    "        right += correct(outputs, targets)\n"
    "    return loss_sum / max(len(order), 1), right / max(len(order), 1)\n";

static const char report[] =
    "\n\ndef report(as_json, kind, **values):\n"
    "    \"\"\"One line about progress: for people, or as a JSON object.\"\"\"\n"
    "    if as_json:\n"
    "        print(json.dumps({'type': kind, **values}), flush=True)\n"
    "        return\n"
    "    if kind == 'epoch':\n"
    "        kind = f\"epoch {values.pop('epoch')}/{values.pop('epochs')}\"\n"
    "    texts = (f'{key} {value:.4f}' for key, value in values.items())\n"
    "    print(kind, *texts, sep='  ', flush=True)\n";

static void put_train(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "\n\ndef train(model, args):\n"
        "    data = load_data(args.data, 'train')\n"
        "    rows = len(data[0])\n"
        "    generator = torch.Generator().manual_seed(args.seed)\n"
        "    held_back = int(rows * args.validation_split)\n"
        "    order = torch.randperm(rows, generator=generator) if held_back else torch.arange(rows)\n"
        "    order, validation = order[:rows - held_back], order[rows - held_back:]\n"
        "    optimizer = make_optimizer(model, args.lr)\n"
        "    for epoch in range(1, args.epochs + 1):\n"
        "        start = time.perf_counter()\n");
    if (e->g->train.shuffle)
        nn_buf_puts(out,
                    "        order = order[torch.randperm(len(order), generator=generator)]\n");
    nn_buf_puts(
        out,
        "        loss, accuracy = train_epoch(model, optimizer, data, order, args.batch_size)\n"
        "        values = {'epoch': epoch, 'epochs': args.epochs, 'loss': loss, 'accuracy': accuracy}\n"
        "        if held_back:\n"
        "            values['val_loss'], values['val_accuracy'] = evaluate(model, data, validation)\n"
        "        values['seconds'] = time.perf_counter() - start\n"
        "        report(args.json, 'epoch', **values)\n");
}

/* ---- the command line ---- */

static void put_argument(nn_buf *out, const char *flag, const char *type, const char *value,
                         const char *help) {
    nn_buf_printf(out, "    parser.add_argument('--%s'", flag);
    if (type) nn_buf_printf(out, ", type=%s", type);
    if (value) nn_buf_printf(out, ", default=%s", value);
    nn_buf_printf(out, ",\n                        help='%s')\n", help);
}

static void put_count(nn_buf *out, const char *flag, int64_t value, const char *help) {
    NN_BUF v = {0};
    nn_buf_printf(&v, "%" PRId64, value);
    put_argument(out, flag, "int", nn_buf_str(&v), help);
}

static void put_real(nn_buf *out, const char *flag, double value, const char *help) {
    NN_BUF v = {0};
    nn_py_float(&v, value);
    put_argument(out, flag, "float", nn_buf_str(&v), help);
}

static void put_text(nn_buf *out, const char *flag, const char *value, const char *help) {
    NN_BUF v = {0};
    nn_py_string(&v, value);
    put_argument(out, flag, NULL, nn_buf_str(&v), help);
}

/* Without a data set that the program or the caller names, the user has to: nothing is trained on
 * by default. */
static void put_data(nn_emit *e, nn_buf *out) {
    const char *given = e->opt->dataset, *name = given && *given ? given : e->g->train.dataset;
    NN_BUF v = {0};
    if (*name) {
        nn_buf_puts(&v, "default=");
        nn_py_string(&v, name);
    }
    nn_buf_printf(out,
                  "    parser.add_argument('--data', %s,\n"
                  "                        help='data set: a name or a path, see load_data()')\n",
                  *name ? nn_buf_str(&v) : "required=True");
}

static void put_arguments(nn_emit *e, nn_buf *out) {
    const nn_train_spec *t = &e->g->train;
    nn_buf_puts(
        out,
        "\n\ndef parse_arguments():\n"
        "    parser = argparse.ArgumentParser(description='Trains and tests the network of this file.',\n"
        "                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)\n");
    put_data(e, out);
    put_count(out, "epochs", t->epochs, "passes over the training data; 0 only tests");
    put_count(out, "batch-size", t->batch_size, "rows a step");
    put_real(out, "lr", t->optimizer.learning_rate, "learning rate");
    put_real(out, "validation-split", t->validation_split,
             "share of the training rows that is held back");
    put_text(out, "device", *t->device ? t->device : "auto", "auto, cpu, cuda, mps");
    put_count(out, "seed", t->seeded ? (int64_t)(t->seed & INT64_MAX) : 0,
              "of weights, dropout and order");
    put_argument(out, "weights", NULL, NULL,
                 "start from this .safetensors file of Neural, or .pt file");
    put_argument(out, "save", NULL, NULL, "write the trained weights to this .pt file");
    nn_buf_puts(
        out, "    parser.add_argument('--json', action='store_true', help='report as JSON lines')\n"
             "    return parser.parse_args()\n");
}

static const char pick_device[] =
    "\n\ndef pick_device(name):\n"
    "    if name in ('auto', 'gpu'):\n"
    "        if torch.cuda.is_available():\n"
    "            return torch.device('cuda')\n"
    "        if name == 'gpu':\n"
    "            raise SystemExit('no GPU that PyTorch can use; give --device cpu')\n"
    "        return torch.device('cpu')\n"
    "    return torch.device(name)\n";

static void put_main(const char *class_name, nn_buf *out) {
    nn_buf_printf(out,
                  "\n\ndef main():\n"
                  "    args = parse_arguments()\n"
                  "    torch.manual_seed(args.seed)\n"
                  "    model = %s()\n"
                  "    if args.weights and args.weights.endswith('.safetensors'):\n"
                  "        load_neural_weights(model, args.weights)\n"
                  "    elif args.weights:\n"
                  "        model.load_state_dict(torch.load(args.weights, map_location='cpu',\n"
                  "                                         weights_only=True))\n"
                  "    model.to(pick_device(args.device))\n"
                  "    if args.epochs > 0:\n"
                  "        train(model, args)\n"
                  "    test = load_data(args.data, 'test')\n"
                  "    loss, accuracy = evaluate(model, test, torch.arange(len(test[0])))\n"
                  "    report(args.json, 'result', test_loss=loss, test_accuracy=accuracy)\n"
                  "    if args.save:\n"
                  "        torch.save(model.state_dict(), args.save)\n"
                  "\n\n"
                  "if __name__ == '__main__':\n"
                  "    main()\n",
                  class_name);
}

void nn_torch_program(nn_emit *e, const char *class_name, nn_buf *out) {
    nn_torch_weight_map(e, out);
    if (!e->program) {
        nn_buf_puts(out,
                    "\n\n# With several inputs or outputs, what they are trained on and how their "
                    "losses add up is not\n# in the network: train it with a program of your "
                    "own.\n");
        return;
    }
    put_numbers(e, out);
    nn_buf_puts(out, readers);
    put_prepare(e, out);
    put_synthetic(e, out);
    nn_buf_puts(out, load_head);
    nn_buf_puts(out, to_input);
    put_loss(e, out);
    put_correct(e, out);
    bool penalised = nn_torch_penalties(e, out), constrained = nn_torch_constraints(e, out);
    put_optimizer(e, out);
    put_epoch(e, penalised, constrained, out);
    nn_buf_puts(out, evaluate);
    nn_buf_puts(out, report);
    put_train(e, out);
    put_arguments(e, out);
    nn_buf_puts(out, pick_device);
    put_main(class_name, out);
}
