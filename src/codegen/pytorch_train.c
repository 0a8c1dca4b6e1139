/* SPDX-License-Identifier: MIT */
/* pytorch_train.c - the program around the model: training, testing, and the command line.
 *
 * It is text with conditions: in front of each line up to a "|" stands when it is written ("M":
 * with mixed precision, "!M": without, nothing: always), "@name" is where other code goes, and
 * "$name" a value. */
#include "codegen/pytorch_train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char helpers[] =
    "|\n"
    "|\n"
    "|def device_of(model):\n"
    "|    return next((p.device for p in model.parameters()), torch.device('cpu'))\n"
    "|\n"
    "|\n"
    "|def processes():\n"
    "|    \"\"\"How many processes torchrun has started, and which of them this is.\"\"\"\n"
    "|    return int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))\n"
    "|\n"
    "|\n"
    "|def gather(parts):\n"
    "|    \"\"\"The rows of all processes.\"\"\"\n"
    "|    whole = torch.cat(parts)\n"
    "|    if processes()[0] == 1:\n"
    "|        return whole\n"
    "|    wholes = [None] * processes()[0]\n"
    "|    dist.all_gather_object(wholes, whole)\n"
    "|    return torch.cat(wholes)\n"
    "M|\n"
    "|\n"
    "M|def autocast(device):\n"
    "M|    \"\"\"Half precision where it is safe: float16 on a GPU, bfloat16 elsewhere.\"\"\"\n"
    "M|    half = torch.float16 if device.type == 'cuda' else torch.bfloat16\n"
    "M|    return torch.autocast(device.type, dtype=half)\n";

static const char epoch_text[] =
    "|\n"
    "|\n"
    "|def train_epoch(model, optimizer, data, order, batch_size, net=None, rate=None, scaler=None):\n"
    "|    \"\"\"One pass over the rows in `order`: the mean loss, and the metrics. net: what runs the model\n"
    "|    on several processes; rate: the learning rate of a step; scaler: of float16 gradients.\"\"\"\n"
    "|    x, y = data\n"
    "|    device, (world, rank) = device_of(model), processes()\n"
    "|    model.train()\n"
    "|    loss_sum, outputs, seen = torch.zeros(1, dtype=torch.float64), [], []\n"
    "N|    order = order[:$steps * batch_size]\n"
    "|    for step, batch in enumerate(order.split(batch_size)):\n"
    "B|        if len(batch) < 2 * world:\n"
    "B|            continue  # one row has no variance to normalise by\n"
    "!B|        if len(batch) < world:\n"
    "!B|            continue  # not a row for each process\n"
    "|        if rate:\n"
    "|            for group in optimizer.param_groups:\n"
    "|                group['lr'] = rate(step)\n"
    "|        own = batch.tensor_split(world)[rank]\n"
    "|        inputs, targets = to_input($own, device), y[own].to(device)\n"
    "|        optimizer.zero_grad()\n"
    "M|        with autocast(device):\n"
    "M|            output = (net or model)($inputs)\n"
    "M|        output = output.float()\n"
    "!M|        output = (net or model)($inputs)\n"
    "D|        output = output.float()\n"
    "!I|        loss = loss_of(output, targets) * (len(own) * world / len(batch))\n"
    "I|        share = counted(targets) * world / max(counted(y[batch]), 1)\n"
    "I|        loss = loss_of(output, targets) * share\n"
    "P|        loss = loss + penalties(model)\n"
    "M|        (scaler.scale(loss) if scaler else loss).backward()\n"
    "M|        if scaler:\n"
    "M|            scaler.unscale_(optimizer)\n"
    "!M|        loss.backward()\n"
    "@clipping\n"
    "@decay\n"
    "M|        if scaler:\n"
    "M|            scaler.step(optimizer)\n"
    "M|            scaler.update()\n"
    "M|        else:\n"
    "M|            optimizer.step()\n"
    "!M|        optimizer.step()\n"
    "C|        constrain(model)\n"
    "|        loss_sum += loss.item() * len(batch) / world\n"
    "|        outputs.append(output.detach().cpu())\n"
    "|        seen.append(targets.cpu())\n"
    "|    if not seen:\n"
    "|        return {'loss': 0.0}\n"
    "|    rows = gather(outputs), gather(seen)\n"
    "|    return measure(gather([loss_sum]).sum().item() / len(rows[0]), *rows)\n"
    "|\n"
    "|\n"
    "@torch.no_grad()\n"
    "|def evaluate(model, data, order, batch_size=1000):\n"
    "|    \"\"\"Loss and metrics over the rows in `order`.\"\"\"\n"
    "|    x, y = data\n"
    "|    device = device_of(model)\n"
    "|    model.eval()\n"
    "|    loss_sum, outputs = 0.0, []\n"
    "|    for batch in order.split(batch_size):\n"
    "|        inputs, targets = to_input($batch, device), y[batch].to(device)\n"
    "M|        with autocast(device):\n"
    "M|            output = model($inputs)\n"
    "M|        output = output.float()\n"
    "!M|        output = model($inputs)\n"
    "D|        output = output.float()\n"
    "!P|        loss_sum += loss_of(output, targets).item() * len(batch)\n"
    "P|        loss = loss_of(output, targets) + penalties(model)\n"
    "P|        loss_sum += loss.item() * len(batch)\n"
    "|        outputs.append(output.cpu())\n"
    "|    if not outputs:\n"
    "|        return {'loss': 0.0}\n"
    "|    return measure(loss_sum / max(len(order), 1), torch.cat(outputs), y[order])\n"
    "|\n"
    "|\n"
    "|def report(as_json, kind, **values):\n"
    "|    \"\"\"One line about progress: for people, or as a JSON object. Only the first process talks.\"\"\"\n"
    "|    if processes()[1]:\n"
    "|        return\n"
    "|    if as_json:\n"
    "|        print(json.dumps({'type': kind, **values}), flush=True)\n"
    "|        return\n"
    "|    if kind == 'epoch':\n"
    "|        kind = f\"epoch {values.pop('epoch')}/{values.pop('epochs')}\"\n"
    "|    texts = (f'{key} {value:.4f}' if isinstance(value, float) else f'{key} {value}'\n"
    "|             for key, value in values.items())\n"
    "|    print(kind, *texts, sep='  ', flush=True)\n";

static const char early[] =
    "|\n"
    "|\n"
    "|def from_first(values):\n"
    "|    \"\"\"The values of the first process, for all to decide alike.\"\"\"\n"
    "|    if processes()[0] == 1:\n"
    "|        return values\n"
    "|    box = [values]\n"
    "|    dist.broadcast_object_list(box)\n"
    "|    return box[0]\n"
    "|\n"
    "|\n"
    "|def watched(values, name):\n"
    "|    if name not in values:\n"
    "|        raise SystemExit(f'the training watches {name}: give --validation-split')\n"
    "|    return values[name]\n"
    "E|\n"
    "E|\n"
    "E|def is_over(state, values, model):\n"
    "E|    \"\"\"Keras's EarlyStopping: whether $monitor has not improved for $patience epochs.\"\"\"\n"
    "E|    score = watched(values, '$monitor')$sign\n"
    "E|    if state['best'] is None or score < state['best'] - $delta:\n"
    "E|        state.update(best=score, since=0)\n"
    "R|        state['weights'] = {key: value.cpu().clone() for key, value in model.state_dict().items()}\n"
    "E|        return False\n"
    "E|    state['since'] += 1\n"
    "E|    return state['since'] >= $patience\n"
    "Q|\n"
    "Q|\n"
    "Q|def reduce_rate(state, values, optimizer):\n"
    "Q|    \"\"\"Keras's ReduceLROnPlateau: the learning rate falls where $plateau does not improve.\"\"\"\n"
    "Q|    score = watched(values, '$plateau')$downhill\n"
    "Q|    resting = state['rest'] > 0\n"
    "Q|    state['rest'] = max(state['rest'] - 1, 0)\n"
    "Q|    if state['low'] is None or score < state['low'] - $least:\n"
    "Q|        state.update(low=score, wait=0)\n"
    "Q|    elif resting and state['rest'] > 0:\n"
    "Q|        state['wait'] = 0\n"
    "Q|    else:\n"
    "Q|        state['wait'] = 1 if resting else state['wait'] + 1\n"
    "Q|        if state['wait'] >= $waits:\n"
    "Q|            for group in optimizer.param_groups:\n"
    "Q|                group['lr'] = max(group['lr'] * $factor, $floor)\n"
    "Q|            state.update(rest=$rests, wait=0)\n"
    "K|\n"
    "K|\n"
    "K|def keep_weights(state, values, model):\n"
    "K|    \"\"\"Keras's ModelCheckpoint, with weights as --save writes them.\"\"\"\n"
    "O|    score = watched(values, '$kept')$upward\n"
    "O|    if state['kept'] is not None and score >= state['kept']:\n"
    "O|        return\n"
    "O|    state['kept'] = score\n"
    "K|    if processes()[1] == 0:\n"
    "K|        torch.save(model.state_dict(), $path.format(**values))\n"
    "L|\n"
    "L|\n"
    "L|def log_epoch(path, values, begin):\n"
    "L|    \"\"\"Keras's CSVLogger: a row for each epoch.\"\"\"\n"
    "L|    names = ['epoch'] + sorted(set(values) - {'epoch', 'epochs', 'seconds', 'confusion_matrix'})\n"
    "L|    begin = begin or not os.path.exists(path)\n"
    "L|    with open(path, 'w' if begin else 'a', encoding='utf-8') as file:\n"
    "L|        for row in [names] if begin else []:\n"
    "L|            file.write(','.join(row) + '\\n')\n"
    "L|        file.write(','.join(str(values[name]) for name in names) + '\\n')\n";

static const char train_text[] =
    "|\n"
    "|\n"
    "|def save_checkpoint(path, model, optimizer, state, generator):\n"
    "|    \"\"\"All that is needed to go on as if nothing had happened; never half a file.\"\"\"\n"
    "|    whole, counts = optimizer.state_dict(), dict(state)\n"
    "|    tensors = {'model': model.state_dict(), 'optimizer': whole['state'],\n"
    "|               'weights': counts.pop('weights'), 'order': generator.get_state(),\n"
    "|               'random': torch.get_rng_state()}\n"
    "|    rest = json.dumps({'groups': whole['param_groups'], 'state': counts})\n"
    "|    torch.save({**tensors, 'rest': rest}, path + '.part')\n"
    "|    os.replace(path + '.part', path)\n"
    "|\n"
    "|\n"
    "|def load_checkpoint(path, model, optimizer, generator):\n"
    "|    saved = torch.load(path, map_location='cpu', weights_only=True)\n"
    "|    rest = json.loads(saved['rest'])\n"
    "|    model.load_state_dict(saved['model'])\n"
    "|    optimizer.load_state_dict({'state': saved['optimizer'], 'param_groups': rest['groups']})\n"
    "|    generator.set_state(saved['order'])\n"
    "|    torch.set_rng_state(saved['random'])\n"
    "|    return {**rest['state'], 'weights': saved['weights']}\n"
    "|\n"
    "|\n"
    "|def train(model, args):\n"
    "|    data = load_data(args.data, 'train')\n"
    "|    rows, (world, rank) = len(data[1]), processes()\n"
    "|    generator = torch.Generator().manual_seed(args.seed)\n"
    "|    held_back = int(rows * args.validation_split)\n"
    "|    order = torch.randperm(rows, generator=generator) if held_back else torch.arange(rows)\n"
    "|    order, validation = order[:rows - held_back], order[rows - held_back:]\n"
    "!S|    optimizer, rate = make_optimizer(model, args.lr), None\n"
    "S|    optimizer, rate = make_optimizer(model, args.lr or learning_rate(0, 0)), None\n"
    "@per_epoch\n"
    "|    state = {'epoch': 0, 'best': None, 'since': 0, 'weights': None}\n"
    "Q|    state.update(low=None, wait=0, rest=0)\n"
    "O|    state['kept'] = None\n"
    "|    if args.resume and os.path.exists(args.checkpoint):\n"
    "|        state = load_checkpoint(args.checkpoint, model, optimizer, generator)\n"
    "M|    scaler = torch.cuda.amp.GradScaler() if device_of(model).type == 'cuda' else None\n"
    "|    net = nn.parallel.DistributedDataParallel(model) if world > 1 else model\n"
    "|    for epoch in range(state['epoch'] + 1, args.epochs + 1):\n"
    "|        start = time.perf_counter()\n"
    "H|        visited = order[torch.randperm(len(order), generator=generator)]\n"
    "!H|        visited = order\n"
    "S|        if not args.lr:\n"
    "S|            done = (epoch - 1) * per_epoch\n"
    "S|            rate = lambda step: learning_rate(done + step, epoch - 1)  # noqa: E731\n"
    "|        values = {'epoch': epoch, 'epochs': args.epochs}\n"
    "M|        values.update(train_epoch(model, optimizer, data, visited, args.batch_size, net, rate, scaler))\n"
    "!M|        values.update(train_epoch(model, optimizer, data, visited, args.batch_size, net, rate))\n"
    "|        if held_back and rank == 0:\n"
    "|            held = evaluate(model, data, validation)\n"
    "|            values.update({f'val_{key}': value for key, value in held.items()})\n"
    "|        values['seconds'] = time.perf_counter() - start\n"
    "|        report(args.json, 'epoch', **values)\n"
    "|        state['epoch'] = epoch\n"
    "W|        values = from_first(values)\n"
    "L|        if rank == 0:\n"
    "L|            log_epoch($csv, values, $begin)\n"
    "Q|        reduce_rate(state, values, optimizer)\n"
    "K|        keep_weights(state, values, model)\n"
    "V|        stop = False\n"
    "E|        stop = is_over(state, values, model)\n"
    "T|        stop = stop or not math.isfinite(values['loss'])\n"
    "|        if args.checkpoint and rank == 0:\n"
    "|            save_checkpoint(args.checkpoint, model, optimizer, state, generator)\n"
    "Y|        if stop:\n"
    "Y|            report(args.json, 'stopped', epoch=epoch, best=state['best'])\n"
    "Y|            break\n"
    "R|    if state['weights'] is not None:\n"
    "R|        model.load_state_dict(state['weights'])\n";

static const char main_text[] =
    "|\n"
    "|\n"
    "|def pick_device(name):\n"
    "|    if name in ('auto', 'gpu'):\n"
    "|        if torch.cuda.is_available():\n"
    "|            return torch.device('cuda', int(os.environ.get('LOCAL_RANK', 0)))\n"
    "|        if name == 'gpu':\n"
    "|            raise SystemExit('no GPU that PyTorch can use; give --device cpu')\n"
    "|        return torch.device('cpu')\n"
    "|    return torch.device(name)\n"
    "|\n"
    "|\n"
    "|def main():\n"
    "|    args = parse_arguments()\n"
    "|    device, (world, rank) = pick_device(args.device), processes()\n"
    "F|    if device.type == 'cpu':\n"
    "F|        raise SystemExit('float16 needs a GPU: give --device cuda, or write precision: bfloat16')\n"
    "|    if args.resume and not args.checkpoint:\n"
    "|        raise SystemExit('--resume goes on from --checkpoint FILE')\n"
    "|    if world > 1:  # under torchrun\n"
    "|        dist.init_process_group('nccl' if device.type == 'cuda' else 'gloo')\n"
    "|    torch.manual_seed(args.seed + rank)\n"
    "|    model = $class()\n"
    "|    if args.weights and args.weights.endswith('.safetensors'):\n"
    "|        load_neural_weights(model, args.weights)\n"
    "|    elif args.weights:\n"
    "|        model.load_state_dict(torch.load(args.weights, map_location='cpu', weights_only=True))\n"
    "!D|    model.to(device)\n"
    "D|    model.to(device, torch.$half)\n"
    "|    if args.epochs > 0:\n"
    "|        train(model, args)\n"
    "|    if rank == 0:\n"
    "|        test = load_data(args.data, 'test')\n"
    "|        values = evaluate(model, test, torch.arange(len(test[1])))\n"
    "|        report(args.json, 'result', **{f'test_{key}': value for key, value in values.items()})\n"
    "|        if args.save:\n"
    "|            torch.save(model.state_dict(), args.save)\n"
    "|    if world > 1:\n"
    "|        dist.destroy_process_group()\n"
    "|\n"
    "|\n"
    "|if __name__ == '__main__':\n"
    "|    main()\n";

/* ---- the command line ---- */

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
    nn_py_argument_count(out, "epochs", t->epochs, "passes over the training data; 0 only tests");
    nn_py_argument_count(out, "batch-size", t->batch_size, "rows a step");
    if (t->optimizer.schedule.kind == NN_SCHEDULE_NONE)
        nn_py_argument_real(out, "lr", t->optimizer.learning_rate, "learning rate");
    else
        nn_py_argument(out, "lr", "float", NULL,
                       "a constant learning rate, instead of the schedule");
    nn_py_argument_real(out, "validation-split", t->validation_split,
                        "share of the training rows that is held back");
    nn_py_argument_text(out, "device", *t->device ? t->device : "auto", "auto, cpu, cuda, mps");
    nn_py_argument_count(out, "seed", t->seeded ? (int64_t)(t->seed & INT64_MAX) : 0,
                         "of weights, dropout and order");
    nn_py_argument(out, "weights", NULL, NULL,
                   "start from this .safetensors file of Neural, or .pt file");
    if (*t->save_path)
        nn_py_argument_text(out, "save", t->save_path,
                            "write the trained weights to this .pt file");
    else
        nn_py_argument(out, "save", NULL, NULL, "write the trained weights to this .pt file");
    nn_py_argument(out, "checkpoint", NULL, NULL,
                   "write all of the training here after every epoch");
    nn_buf_puts(out, "    parser.add_argument('--resume', action='store_true',\n"
                     "                        help='go on from --checkpoint, if it is there')\n");
    nn_buf_puts(
        out, "    parser.add_argument('--json', action='store_true', help='report as JSON lines')\n"
             "    return parser.parse_args()\n");
}

/* ---- writing it ---- */

typedef struct program {
    nn_emit *e;
    const char *class_name;
    bool penalised, constrained;
} program;

bool nn_torch_pure(const nn_emit *e) {
    nn_precision p = e->g->train.precision;
    return p == NN_PRECISION_FLOAT16 || p == NN_PRECISION_BFLOAT16;
}

/* Conditions: upper-case letters in front of lines. */
static bool holds(const program *p, char condition) {
    const nn_train_spec *t = &p->e->g->train;
    const nn_torch_callbacks *c = &p->e->callbacks;
    bool pure = nn_torch_pure(p->e), watches = c->stopping.on || c->plateau.on || c->keep.on;
    switch (condition) {
    case 'B':
        return p->e->batch_norm;
    case 'C':
        return p->constrained;
    case 'D':
        return pure;
    case 'E':
        return c->stopping.on;
    case 'F':
        return t->precision == NN_PRECISION_FLOAT16;
    case 'H':
        return t->shuffle;
    case 'I':
        return t->ignore_class >= 0;
    case 'K':
        return c->keep.on;
    case 'L':
        return c->log.on;
    case 'M':
        return !pure && (t->mixed_precision || t->precision == NN_PRECISION_MIXED);
    case 'N':
        return t->steps_per_epoch > 0;
    case 'O':
        return c->keep.on && c->keep.best_only;
    case 'P':
        return p->penalised;
    case 'Q':
        return c->plateau.on;
    case 'R':
        return c->stopping.on && c->stopping.restore_best;
    case 'T':
        return c->ends_on_nan;
    case 'V':
        return c->ends_on_nan && !c->stopping.on;
    case 'W':
        return watches || c->log.on || c->ends_on_nan;
    case 'Y':
        return c->stopping.on || c->ends_on_nan;
    default:
        return t->optimizer.schedule.kind != NN_SCHEDULE_NONE; /* S */
    }
}

bool nn_torch_rises(const char *monitor) {
    static const char *const rising[] = {
        "accuracy",         "precision", "recall", "auc", "f1", "top_k_categorical_accuracy",
        "cosine_similarity"};
    int k = nn_train_metric_find(strncmp(monitor, "val_", 4) == 0 ? monitor + 4 : monitor);
    for (size_t i = 0; k >= 0 && i < sizeof rising / sizeof *rising; i++)
        if (strcmp(rising[i], nn_train_metric_name((nn_train_metric)k)) == 0) return true;
    return false;
}

/* The monitor under the name that measure() gives it, whatever alias it was given by. */
static void put_monitor(const char *monitor, nn_buf *out) {
    bool val = strncmp(monitor, "val_", 4) == 0;
    int k = nn_train_metric_find(val ? monitor + 4 : monitor);
    nn_buf_printf(out, "%s%s", val ? "val_" : "", nn_train_metric_name((nn_train_metric)k));
}

/* What makes the lower value the better one. */
static void put_sign(const char *monitor, nn_buf *out) {
    if (nn_torch_rises(monitor)) nn_buf_puts(out, " * -1  # the higher, the better");
}

static void put_whole(int64_t v, nn_buf *out) {
    nn_buf_printf(out, "%" PRId64, v);
}

static void put_callback(const nn_torch_callbacks *c, const char *name, nn_buf *out) {
    if (strcmp(name, "monitor") == 0) put_monitor(c->stopping.monitor, out);
    if (strcmp(name, "sign") == 0) put_sign(c->stopping.monitor, out);
    if (strcmp(name, "patience") == 0) put_whole(c->stopping.patience, out);
    if (strcmp(name, "delta") == 0) nn_py_float(out, c->stopping.min_delta);
    if (strcmp(name, "plateau") == 0) put_monitor(c->plateau.monitor, out);
    if (strcmp(name, "downhill") == 0) put_sign(c->plateau.monitor, out);
    if (strcmp(name, "least") == 0) nn_py_float(out, c->plateau.min_delta);
    if (strcmp(name, "waits") == 0) put_whole(c->plateau.patience, out);
    if (strcmp(name, "rests") == 0) put_whole(c->plateau.cooldown, out);
    if (strcmp(name, "factor") == 0) nn_py_float(out, c->plateau.factor);
    if (strcmp(name, "floor") == 0) nn_py_float(out, c->plateau.min_lr);
    if (strcmp(name, "kept") == 0) put_monitor(c->keep.monitor, out);
    if (strcmp(name, "upward") == 0) put_sign(c->keep.monitor, out);
    if (strcmp(name, "path") == 0) nn_py_string(out, c->keep.path);
    if (strcmp(name, "csv") == 0) nn_py_string(out, c->log.path);
    if (strcmp(name, "begin") == 0)
        nn_buf_puts(out, c->log.append ? "False" : "epoch == 1 and not args.resume");
}

static void put_dollar(const program *p, const char *from, size_t n, nn_buf *out) {
    const nn_train_spec *t = &p->e->g->train;
    bool joins = nn_torch_joins(p->e);
    char name[16];
    snprintf(name, sizeof name, "%.*s", (int)n, from);
    if (strcmp(name, "class") == 0) nn_buf_puts(out, p->class_name);
    if (strcmp(name, "steps") == 0) put_whole(t->steps_per_epoch, out);
    if (strcmp(name, "inputs") == 0) nn_buf_puts(out, joins ? "*inputs" : "inputs");
    if (strcmp(name, "own") == 0) nn_buf_puts(out, joins ? "[part[own] for part in x]" : "x[own]");
    if (strcmp(name, "batch") == 0)
        nn_buf_puts(out, joins ? "[part[batch] for part in x]" : "x[batch]");
    if (strcmp(name, "half") == 0) nn_buf_puts(out, nn_precision_name(t->precision));
    put_callback(&p->e->callbacks, name, out);
}

/* Rows that one epoch takes: what a step number is counted by. */
static void put_per_epoch(const program *p, nn_buf *out) {
    if (!holds(p, 'S')) return;
    nn_buf_puts(out, "    per_epoch = -(-len(order) // args.batch_size)\n");
    if (holds(p, 'N'))
        nn_buf_printf(out, "    per_epoch = min(per_epoch, %" PRId64 ")\n",
                      p->e->g->train.steps_per_epoch);
}

static void put_at(const program *p, const char *name, nn_buf *out) {
    const nn_optimizer *o = &p->e->g->train.optimizer;
    if (strncmp(name, "clipping", 8) == 0) nn_torch_clipping(o, out);
    if (strncmp(name, "decay", 5) == 0) nn_torch_decay(o, out);
    if (strncmp(name, "per_epoch", 9) == 0) put_per_epoch(p, out);
}

static void put_text_line(const program *p, const char *line, const char *end, nn_buf *out) {
    while (line < end) {
        const char *dollar = memchr(line, '$', (size_t)(end - line));
        nn_buf_append(out, line, (size_t)((dollar ? dollar : end) - line));
        if (!dollar) return;
        line = ++dollar;
        while (line < end && *line >= 'a' && *line <= 'z') line++;
        put_dollar(p, dollar, (size_t)(line - dollar), out);
    }
}

static void put_template(const program *p, const char *text, nn_buf *out) {
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n') + 1;
        const char *bar = *line == '@' ? NULL : memchr(line, '|', (size_t)(end - line));
        if (!bar)
            put_at(p, line + 1, out);
        else if (bar == line || holds(p, bar[-1]) == (*line != '!'))
            put_text_line(p, bar + 1, end, out);
        line = end;
    }
}

void nn_torch_program(nn_emit *e, const char *class_name, nn_buf *out) {
    program p = {.e = e, .class_name = class_name};
    nn_torch_weight_map(e, out);
    if (!e->program) {
        nn_buf_puts(
            out, "\n\n# What this network is trained on, and by which loss, is not in it (several "
                 "outputs, or scores\n# of classes at several places and no loss): the program "
                 "that trains it is yours.\n");
        return;
    }
    nn_torch_data(e, out);
    nn_torch_loss_and_metrics(e, out);
    p.penalised = nn_torch_penalties(e, out);
    p.constrained = nn_torch_constraints(e, out);
    nn_torch_optimizer(e, out);
    put_template(&p, helpers, out);
    put_template(&p, epoch_text, out);
    if (holds(&p, 'W')) put_template(&p, early, out);
    put_template(&p, train_text, out);
    put_arguments(e, out);
    put_template(&p, main_text, out);
}
