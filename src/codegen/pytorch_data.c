/* SPDX-License-Identifier: MIT */
/* pytorch_data.c - reading data in the training program: the sets of src/data by name and path,
 * with the same rows in each part. A network of several inputs reads arrays that are called like
 * them. */
#include "codegen/pytorch_train.h"

#include <inttypes.h>
#include <stdio.h>

/* clang-format off */
static const char readers[] =
    "def find_idx(folder, split, kind):\n"
    "    \"\"\"The IDX file of a part: train-images-idx3-ubyte, t10k-labels-idx1-ubyte.gz and their like.\"\"\"\n"
    "    for part in ('train', 'training') if split == 'train' else ('t10k', 'test'):\n"
    "        names = glob.glob(os.path.join(glob.escape(folder), f'{part}-{kind}[-.]idx[1-4]-ubyte*'))\n"
    "        names = sorted(name for name in names if name.endswith(('ubyte', 'ubyte.gz')))\n"
    "        if names:\n"
    "            return names[0]\n"
    "    return None\n"
    "\n"
    "\n"
    "def read_idx(path):\n"
    "    \"\"\"An IDX file of bytes, plain or .gz, as a tensor.\"\"\"\n"
    "    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:\n"
    "        data = bytearray(file.read())\n"
    "    if data[:3] != b'\\x00\\x00\\x08':\n"
    "        raise ValueError(f'{path}: not an IDX file of bytes')\n"
    "    rank = data[3]\n"
    "    shape = struct.unpack_from(f'>{rank}I', data, 4)\n"
    "    return torch.frombuffer(data, dtype=torch.uint8, offset=4 + 4 * rank).reshape(shape)\n"
    "\n"
    "\n"
    "def read_npy(data, name):\n"
    "    \"\"\"The bytes of a .npy file as a tensor.\"\"\"\n"
    "    types = {'|u1': torch.uint8, '<u1': torch.uint8, '<i4': torch.int32, '<i8': torch.int64,\n"
    "             '<f4': torch.float32, '<f8': torch.float64}\n"
    "    if data[:6] != b'\\x93NUMPY':\n"
    "        raise ValueError(f'{name}: not a .npy file')\n"
    "    width = 2 if data[6] == 1 else 4\n"
    "    start = 8 + width + int.from_bytes(data[8:8 + width], 'little')\n"
    "    header = ast.literal_eval(data[8 + width:start].decode('latin-1').strip())\n"
    "    if header['fortran_order'] or header['descr'] not in types:\n"
    "        raise ValueError(f'{name}: {header} is not read; save it as uint8 or float32 in C order')\n"
    "    values = torch.frombuffer(bytearray(data), dtype=types[header['descr']], offset=start)\n"
    "    return values.reshape(header['shape'])\n"
    "\n"
    "\n"
    "def array_names(source):\n"
    "    \"\"\"The names of the arrays in an .npz or a folder of .npy files.\"\"\"\n"
    "    if os.path.isdir(source):\n"
    "        names = os.listdir(source)\n"
    "    else:\n"
    "        with zipfile.ZipFile(source) as archive:\n"
    "            names = archive.namelist()\n"
    "    return {name[:-4] for name in names if name.endswith('.npy')}\n"
    "\n"
    "\n"
    "def read_array(source, name):\n"
    "    if os.path.isdir(source):\n"
    "        with open(os.path.join(source, name + '.npy'), 'rb') as file:\n"
    "            return read_npy(file.read(), f'{source}: {name}')\n"
    "    with zipfile.ZipFile(source) as archive:\n"
    "        return read_npy(archive.read(name + '.npy'), f'{source}: {name}')\n"
    "\n"
    "\n";

static const char targets_of_rows[] =
    "def read_targets(source, name):\n"
    "    \"\"\"Whole numbers and one-hot rows are classes, other numbers values.\"\"\"\n"
    "    y = read_array(source, name)\n"
    "    one_hot = y.dim() == 2 and y.shape[1] > 1 and ((y == 0) | (y == 1)).all()\n"
    "    if one_hot and (y.sum(dim=1) == 1).all():\n"
    "        return y.argmax(dim=1)\n"
    "    if not y.is_floating_point() and y.numel() == len(y):\n"
    "        return y.reshape(-1).long()\n"
    "    return y.float().reshape(len(y), -1)\n"
    "\n"
    "\n";

static const char targets_of_steps[] =
    "def read_targets(source, name):\n"
    "    \"\"\"Rows of classes, each filled up with the blank at its end.\"\"\"\n"
    "    y = read_array(source, name)\n"
    "    return (y if y.is_floating_point() else y.long()).reshape(len(y), -1)\n"
    "\n"
    "\n";

static const char arrays_of_one[] =
    "def read_arrays(source, split):\n"
    "    \"\"\"Samples and targets under usual names; without a test part a fifth is for testing.\"\"\"\n"
    "    source = os.path.dirname(source) or '.' if source.endswith('.npy') else source\n"
    "    there = array_names(source)\n"
    "    for names in (('x_{}', 'y_{}'), ('X_{}', 'y_{}'), ('{}_images', '{}_labels'),\n"
    "                  ('images', 'labels'), ('x', 'y'), ('X', 'y'), ('data', 'target')):\n"
    "        x, y = (name.format(split) for name in names)\n"
    "        if x in there:\n"
    "            x, y = read_array(source, x), read_targets(source, y)\n"
    "            part = slice(None) if '{}' in names[0] else divide(len(x), split)\n"
    "            if len(x) != len(y):\n"
    "                raise ValueError(f'{source}: {len(x)} samples, but {len(y)} targets')\n"
    "            return x[part], y[part]\n"
    "    raise ValueError(f'{source}: no x_train, y_train, x_test and y_test, nor x and y')\n"
    "\n"
    "\n";

static const char arrays_of_many[] =
    "def read_arrays(source, split):\n"
    "    \"\"\"Samples under the names of the inputs; without a test part a fifth is for testing.\"\"\"\n"
    "    there, targets = array_names(source), ('y', 'labels', 'label', 'targets', 'target')\n"
    "    for end in (f'_{split}', ''):\n"
    "        y = next((name + end for name in targets if name + end in there), None)\n"
    "        if y and all(name + end in there for name in INPUT_SHAPES):\n"
    "            x = [read_array(source, name + end) for name in INPUT_SHAPES]\n"
    "            y = read_targets(source, y)\n"
    "            if any(len(part) != len(y) for part in x):\n"
    "                raise ValueError(f'{source}: the inputs and the targets differ in their rows')\n"
    "            part = slice(None) if end else divide(len(y), split)\n"
    "            return [values[part] for values in x], y[part]\n"
    "    names = ', '.join(f'{name}_{split}' for name in INPUT_SHAPES)\n"
    "    raise ValueError(f'{source}: no arrays {names} and y_{split}, nor without these endings')\n"
    "\n"
    "\n";

static const char load_head[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: a name (fashion-mnist, mnist, synthetic), a folder of IDX files, a .csv or .tsv, an .npz\n"
    "    or a folder of .npy files with x_train, y_train, x_test and y_test.\n"
    "    \"\"\"\n"
    "    if source.startswith('synthetic:'):\n"
    "        return make_data(split, source)\n";

static const char load_files[] =
    "    if source.lower().endswith(('.csv', '.tsv', '.csv.gz', '.tsv.gz')):\n"
    "        return prepare(*read_table(source, split))\n"
    "    images, labels = find_idx(source, split, 'images'), find_idx(source, split, 'labels')\n"
    "    if images and labels:\n"
    "        return prepare(read_idx(images), read_idx(labels).long())\n"
    "    return prepare(*read_arrays(source, split))\n"
    "\n"
    "\n";

static const char load_many[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: synthetic, or an .npz or a folder of .npy files whose arrays are called like the inputs.\n"
    "    \"\"\"\n"
    "    if source.partition(':')[0] == 'synthetic':\n"
    "        return make_data(split, source)\n"
    "    return prepare(*read_arrays(source, split))\n"
    "\n"
    "\n";

static const char to_shape[] =
    "def to_shape(x, shape):\n"
    "    \"\"\"Samples in the shape of an input; bytes stay bytes until to_input().\"\"\"\n"
    "    if x.dtype != torch.uint8:\n"
    "        x = x.float()\n"
    "        if not x.isfinite().all():\n"
    "            raise ValueError('the data holds a number that is not finite')\n"
    "    if None in shape:\n"
    "        return x.unsqueeze(-1) if x.dim() == len(shape) else x  # one channel\n"
    "    return x.reshape(len(x), *shape)\n"
    "\n"
    "\n";
/* clang-format on */

/* clang-format off */
static const char make_samples[] =
    "def normal(words):\n"
    "    \"\"\"Normal numbers from four words each, by Box and Muller.\"\"\"\n"
    "    words = words.reshape(-1, 2, 2)\n"
    "    unit = (words[..., 1] << 21 | words[..., 0] >> 11).double() * 2.0 ** -53\n"
    "    return (-2 * (1 - unit[:, 0]).log()).sqrt() * (2 * math.pi * unit[:, 1]).cos()\n"
    "\n"
    "\n"
    "def make_samples(recipe, split, y, shape, words=0):\n"
    "    \"\"\"Samples that scatter around one point for each class; words: whole numbers below that.\"\"\"\n"
    "    seed, classes, width = recipe['seed'], recipe['classes'], math.prod(shape)\n"
    "    if words:\n"
    "        generator = torch.Generator().manual_seed(seed)\n"
    "        texts = torch.randint(words, (2, classes, *shape), generator=generator)\n"
    "        generator.manual_seed(seed + (1 if split == 'train' else 2))\n"
    "        return texts[torch.randint(2, (len(y),), generator=generator), y]\n"
    "    points = normal(random_words(seed, 2, 0, 4 * classes * width)).float().double()\n"
    "    points, parts = points.reshape(classes, width), []\n"
    "    mirrored, stream = recipe['pattern'] == 'mirrored', 0 if split == 'train' else 1\n"
    "    each = 4 * width + mirrored\n"
    "    for rows in torch.arange(len(y)).split(max((1 << 20) // each, 1)):\n"
    "        drawn = random_words(seed, stream, rows[0].item() * each, len(rows) * each)\n"
    "        drawn = drawn.reshape(len(rows), each)\n"
    "        sign = 1 - 2 * (drawn[:, :1] & 1) if mirrored else 1\n"
    "        noise = recipe['noise'] * normal(drawn[:, int(mirrored):]).reshape(len(rows), width)\n"
    "        parts.append(sign * points[y[rows]] + noise)\n"
    "    x = torch.cat(parts).reshape(len(y), *shape)\n"
    "    if recipe['type'] == 'u8':\n"
    "        return (127.5 + 42.5 * x).round().clamp(0, 255).to(torch.uint8)\n"
    "    return x.float()\n"
    "\n"
    "\n";

static const char make_head_of_one[] =
    "def make_data(split, source='synthetic'):\n"
    "    \"\"\"Neural's set synthetic[:rows=1000,seed=1,...]; what is not given suits the network.\"\"\"\n"
    "    usual = {'rows': 1000, 'seed': 1, 'noise': 0.5, 'pattern': 'blobs', 'type': 'f32', 'values': 0,\n"
    "             'shape': 'x'.join(str(size or 8) for size in INPUT_SHAPE),\n";

static const char make_head_of_many[] =
    "def make_data(split, source='synthetic'):\n"
    "    \"\"\"Points for each class and noise around them: synthetic[:rows=1000,seed=1,...].\"\"\"\n"
    "    usual = {'rows': 1000, 'seed': 1, 'noise': 0.5, 'pattern': 'blobs', 'type': 'f32',\n";

static const char make_recipe[] =
    "    given = dict(item.partition('=')[::2] for item in source.partition(':')[2].split(',') if item)\n"
    "    if not set(given) <= set(usual):\n"
    "        raise ValueError(f'{source}: the parameters are {\", \".join(usual)}')\n"
    "    if given.get('values', '0') != '0':\n"
    "        usual['classes'] = 10\n"
    "    recipe = {**usual, **{key: type(usual[key])(value) for key, value in given.items()}}\n"
    "    rows = recipe['rows'] if split == 'train' else -(-recipe['rows'] // 5)\n"
    "    y = torch.arange(rows) % recipe['classes']\n";

static const char make_values[] =
    "    if recipe['values']:\n"
    "        width = x[0].numel()\n"
    "        words = random_words(recipe['seed'], 3, 0, 4 * width * recipe['values'])\n"
    "        points = normal(words).float().double().reshape(width, -1)\n"
    "        y = (x.double() / (255 if x.dtype == torch.uint8 else 1)).reshape(len(y), width)\n"
    "        y = (y @ points / width ** 0.5).float()\n";
/* clang-format on */

bool nn_torch_joins(const nn_emit *e) {
    return e->g->n_inputs > 1;
}

static const nn_node *input_at(const nn_emit *e, int i) {
    return &e->g->nodes[e->g->inputs[i]];
}

static void put_numbers(nn_emit *e, nn_buf *out) {
    if (nn_torch_joins(e)) {
        nn_buf_puts(out, "\n\n# Of one sample, channels last.\nINPUT_SHAPES = {\n");
        for (int i = 0; i < e->g->n_inputs; i++) {
            nn_buf_puts(out, "    ");
            nn_py_string(out, input_at(e, i)->name);
            nn_buf_puts(out, ": ");
            nn_py_shape(out, &input_at(e, i)->shape);
            nn_buf_puts(out, ",\n");
        }
        nn_buf_puts(out, "}\nOUTPUT_SHAPE = ");
    } else {
        nn_buf_puts(out, "\n\nINPUT_SHAPE = ");
        nn_py_shape(out, &input_at(e, 0)->shape);
        nn_buf_puts(out, "  # of one sample, channels last\nOUTPUT_SHAPE = ");
    }
    nn_py_shape(out, &e->g->nodes[e->out].shape);
    nn_buf_puts(out, "\n\n\n");
}

static bool known(const nn_shape *s) {
    return nn_shape_elements(s) >= 0;
}

/* Classes where the loss is over values: a single output takes two of them, several one-hot rows.
 */
static void put_values_of_classes(nn_emit *e, nn_buf *out) {
    const nn_shape *to = &e->g->nodes[e->out].shape;
    if (nn_shape_elements(to) != 1)
        nn_buf_puts(out, "    if not y.is_floating_point():\n"
                         "        check_classes(y, math.prod(OUTPUT_SHAPE))\n"
                         "        y = F.one_hot(y, math.prod(OUTPUT_SHAPE))\n");
    else
        nn_buf_puts(out, "    if not y.is_floating_point():\n        check_classes(y, 2)\n");
    nn_buf_puts(
        out, "    if y.numel() != len(y) * math.prod(OUTPUT_SHAPE):\n"
             "        raise ValueError(f'{y[0].numel()} values a row, outputs of {OUTPUT_SHAPE}')\n"
             "    return x, y.float().reshape(len(y), *OUTPUT_SHAPE)\n\n\n");
}

/* prepare(): samples in the network's shape, targets as its loss wants them. */
static void put_prepare(nn_emit *e, nn_buf *out) {
    nn_buf_puts(out, to_shape);
    bool classes = nn_torch_takes_classes(e), sizes = known(&e->g->nodes[e->out].shape);
    if (e->g->train.loss != NN_LOSS_CUSTOM && (classes || sizes || e->g->train.loss == NN_LOSS_CTC))
        nn_buf_puts(out,
                    "def check_classes(y, classes):\n"
                    "    if len(y) and not 0 <= y.min() <= y.max() < classes:\n"
                    "        raise ValueError(f'the data has classes {y.min()} to {y.max()}, '\n"
                    "                         f'the network knows 0 to {classes - 1}')\n\n\n");
    nn_buf_puts(out, "def prepare(x, y):\n"
                     "    \"\"\"Samples and targets in the shapes of the network.\"\"\"\n");
    if (nn_torch_joins(e))
        nn_buf_puts(
            out,
            "    x = [to_shape(part, shape) for part, shape in zip(x, INPUT_SHAPES.values())]\n");
    else
        nn_buf_puts(out, "    x = to_shape(x, INPUT_SHAPE)\n");
    if (e->g->train.loss == NN_LOSS_CUSTOM)
        nn_buf_puts(out, "    return x, y\n\n\n");
    else if (e->g->train.loss == NN_LOSS_CTC)
        nn_buf_puts(
            out, "    if y.is_floating_point():\n"
                 "        raise ValueError('the network learns classes, but the data has values')\n"
                 "    check_classes(y, OUTPUT_SHAPE[-1])\n"
                 "    return x, y.reshape(len(y), -1)\n\n\n");
    else if (classes)
        nn_buf_puts(
            out, "    if y.is_floating_point():\n"
                 "        raise ValueError('the network learns classes, but the data has values')\n"
                 "    check_classes(y, OUTPUT_SHAPE[0])\n"
                 "    return x, y\n\n\n");
    else if (sizes)
        put_values_of_classes(e, out);
    else
        nn_buf_puts(out, "    return x, y.float()\n\n\n");
}

/* How many whole numbers an input holds that is looked up in a table; 0: any numbers. */
static int64_t words(const nn_emit *e, int input) {
    int64_t least = 0;
    for (int i = 0; i < e->g->n_nodes; i++) {
        const nn_node *n = &e->g->nodes[i];
        if (n->op != NN_OP_EMBEDDING || n->inputs[0] != input) continue;
        if (!least || n->attr.embedding.input_dim < least) least = n->attr.embedding.input_dim;
    }
    return least;
}

static void put_samples(nn_emit *e, int i, const char *shape, nn_buf *out) {
    int64_t vocabulary = words(e, e->g->inputs[i]);
    nn_buf_printf(out, "make_samples(recipe, split, y, %s", shape);
    if (vocabulary) nn_buf_printf(out, ", %" PRId64, vocabulary);
    nn_buf_putc(out, ')');
}

static void put_many_samples(nn_emit *e, nn_buf *out) {
    nn_buf_puts(out,
                "    shapes = [[size or 8 for size in shape] for shape in INPUT_SHAPES.values()]\n"
                "    x = []\n");
    for (int i = 0; i < e->g->n_inputs; i++) {
        char shape[32];
        snprintf(shape, sizeof shape, "shapes[%d]", i);
        nn_buf_puts(out, "    x.append(");
        put_samples(e, i, shape, out);
        nn_buf_puts(out, ")\n");
    }
}

/* Targets of several axes: one pattern of zeros and ones for each class. */
static void put_patterns(const char *deeper, nn_buf *out) {
    static const char *const lines[] = {
        "targets = [size or 1 for size in OUTPUT_SHAPE]",
        "fixed = torch.Generator().manual_seed(recipe['seed'])",
        "y = torch.rand(recipe['classes'], *targets, generator=fixed).round()[y]",
    };
    if (*deeper) nn_buf_puts(out, "    else:\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        nn_buf_printf(out, "    %s%s\n", deeper, lines[i]);
}

/* The synthetic set: classes where outputs are classes or could be one-hot rows, else any values.
 */
static void put_synthetic(nn_emit *e, nn_buf *out) {
    const nn_shape *to = &e->g->nodes[e->out].shape;
    bool ctc = e->g->train.loss == NN_LOSS_CTC, flat = (to->rank == 1 && to->dim[0] > 1) || ctc;
    nn_buf_puts(out, make_samples);
    nn_buf_puts(out, nn_torch_joins(e) ? make_head_of_many : make_head_of_one);
    nn_buf_printf(out, "             'classes': %s}\n", flat ? "OUTPUT_SHAPE[-1]" : "2");
    nn_buf_puts(out, make_recipe);
    if (nn_torch_joins(e)) {
        put_many_samples(e, out);
    } else {
        nn_buf_puts(out, "    x = ");
        put_samples(e, 0, "[int(size) for size in recipe['shape'].split('x')]", out);
        nn_buf_puts(out, "\n");
        nn_buf_puts(out, make_values);
    }
    if (!flat && nn_shape_elements(to) != 1) put_patterns(nn_torch_joins(e) ? "" : "    ", out);
    nn_buf_puts(out, "    return prepare(x, y)\n\n\n");
}

/* Numbers of the precision that the model computes in; but words are looked up, whatever it is. */
static const char *cast_of(nn_emit *e, int i) {
    nn_precision p = e->g->train.precision;
    if (!nn_torch_pure(e) || words(e, e->g->inputs[i])) return "";
    return p == NN_PRECISION_FLOAT16 ? ".half()" : ".bfloat16()";
}

static void put_to_input(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "def to_input(x, device):\n"
        "    \"\"\"A batch as the network takes it: bytes become numbers from 0 to 1.\"\"\"\n");
    if (!nn_torch_joins(e)) {
        nn_buf_printf(out,
                      "    x = x.to(device)\n"
                      "    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()\n"
                      "    return x%s\n",
                      cast_of(e, 0));
        return;
    }
    nn_buf_puts(
        out,
        "    x = [part.to(device) for part in x]\n"
        "    x = [part.float() / 255 if part.dtype == torch.uint8 else part.float() for part in x]\n"
        "    return [");
    for (int i = 0; i < e->g->n_inputs; i++)
        nn_buf_printf(out, "%sx[%d]%s", i ? ",\n            " : "", i, cast_of(e, i));
    nn_buf_puts(out, "]\n");
}

void nn_torch_data(nn_emit *e, nn_buf *out) {
    bool joins = nn_torch_joins(e);
    put_numbers(e, out);
    nn_buf_puts(out, nn_torch_random);
    nn_buf_puts(out, nn_torch_division);
    if (!joins) nn_buf_puts(out, nn_torch_tables);
    nn_buf_puts(out, readers);
    nn_buf_puts(out, e->g->train.loss == NN_LOSS_CTC ? targets_of_steps : targets_of_rows);
    nn_buf_puts(out, joins ? arrays_of_many : arrays_of_one);
    put_prepare(e, out);
    put_synthetic(e, out);
    if (joins) {
        nn_buf_puts(out, load_many);
    } else {
        nn_buf_puts(out, load_head);
        nn_buf_puts(out, nn_py_find_data);
        nn_buf_puts(out, load_files);
    }
    put_to_input(e, out);
}
