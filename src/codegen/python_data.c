/* SPDX-License-Identifier: MIT */
/* python_data.c - how a training program reads data: the sets of src/data by name and path, with
 * the same rows in each part. A network of several inputs reads arrays that are called like them.
 *
 * One text for all programs: "@" stands for the library whose arrays it makes ("torch." or "np."),
 * so nothing but names that both have may follow it, with arguments that both take. */
#include "codegen/python_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char readers[] =
    "def find_source(source):\n"
    "    \"\"\"The path of a set: some names stand for folders. Options behind a path are refused.\"\"\"\n"
    "    name = source.lower().replace('_', '-').replace('fashionmnist', 'fashion-mnist')\n"
    "    if os.path.exists(source) or name not in ('fashion-mnist', 'mnist'):\n"
    "        if os.path.exists(source):\n"
    "            return source\n"
    "        if ':' in source:\n"
    "            raise ValueError(f'{source}: no options behind a path or name are read here; '\n"
    "                             'give a file or folder whose rows need none')\n"
    "        raise FileNotFoundError(f'{source}: no such file or folder, and the names known here are '\n"
    "                                'fashion-mnist, mnist and synthetic')\n"
    "    own = os.path.join(os.environ.get('NEURAL_DATA_DIR', ''), name)\n"
    "    source = own if os.path.isdir(own) else os.path.join('/usr/share/datasets', name)\n"
    "    if not os.path.isdir(source):\n"
    "        raise FileNotFoundError(f'{name} is neither in $NEURAL_DATA_DIR nor at {source}: '\n"
    "                                'give --data the folder that holds it')\n"
    "    return source\n"
    "\n"
    "\n"
    "def read_npy(data, name):\n"
    "    \"\"\"The bytes of a .npy file as an array.\"\"\"\n"
    "    types = {'|u1': @uint8, '<u1': @uint8, '<i4': @int32, '<i8': @int64,\n"
    "             '<f4': @float32, '<f8': @float64}\n"
    "    if data[:6] != b'\\x93NUMPY':\n"
    "        raise ValueError(f'{name}: not a .npy file')\n"
    "    width = 2 if data[6] == 1 else 4\n"
    "    start = 8 + width + int.from_bytes(data[8:8 + width], 'little')\n"
    "    header = ast.literal_eval(data[8 + width:start].decode('latin-1').strip())\n"
    "    if header['fortran_order'] or header['descr'] not in types:\n"
    "        raise ValueError(f'{name}: {header} is not read; save it as uint8 or float32 in C order')\n"
    "    values = @frombuffer(bytearray(data), dtype=types[header['descr']], offset=start)\n"
    "    return values.reshape(header['shape'])\n"
    "\n"
    "\n"
    "def array_names(source):\n"
    "    \"\"\"The names of the arrays in an .npz or a folder of .npy files.\"\"\"\n"
    "    if os.path.isdir(source):\n"
    "        names = os.listdir(source)\n"
    "    elif source.lower().endswith('.npz'):\n"
    "        with zipfile.ZipFile(source) as archive:\n"
    "            names = archive.namelist()\n"
    "    else:\n"
    "        raise ValueError(f'{source}: only $FORMATS are read')\n"
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

static const char idx_readers[] =
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
    "    \"\"\"An IDX file of bytes, plain or .gz, as an array.\"\"\"\n"
    "    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:\n"
    "        data = bytearray(file.read())\n"
    "    if data[:3] != b'\\x00\\x00\\x08':\n"
    "        raise ValueError(f'{path}: not an IDX file of bytes')\n"
    "    rank = data[3]\n"
    "    shape = struct.unpack_from(f'>{rank}I', data, 4)\n"
    "    return @frombuffer(data, dtype=@uint8, offset=4 + 4 * rank).reshape(shape)\n"
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
    "        if x in there and y not in there:\n"
    "            raise ValueError(f'{source}: has {x}, but not its targets {y}')\n"
    "        if x in there:\n"
    "            x, y = read_array(source, x), read_array(source, y)\n"
    "            part = slice(None) if '{}' in names[0] else divide(len(x), split)\n"
    "            if len(x) != len(y):\n"
    "                raise ValueError(f'{source}: {len(x)} samples, but {len(y)} targets')\n"
    "            return x[part], y[part]\n"
    "    raise ValueError(f'{source}: no arrays x_train, y_train, x_test and y_test, nor x and y; '\n"
    "                     'folders of images are not read here: save their pixels as such arrays')\n"
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
    "            y = read_array(source, y)\n"
    "            if any(len(part) != len(y) for part in x):\n"
    "                raise ValueError(f'{source}: the inputs and the targets differ in their rows')\n"
    "            part = slice(None) if end else divide(len(y), split)\n"
    "            return [values[part] for values in x], y[part]\n"
    "    names = ', '.join(f'{name}_{split}' for name in INPUT_SHAPES)\n"
    "    raise ValueError(f'{source}: no arrays {names} and y_{split}, nor without these endings')\n"
    "\n"
    "\n";

static const char arrays_of_outputs[] =
    "def read_arrays(source, split):\n"
    "    \"\"\"Targets under the names of the outputs, samples under x or the names of several inputs.\"\"\"\n"
    "    there, inputs = array_names(source), $INPUTS\n"
    "    for end in (f'_{split}', ''):\n"
    "        if all(name + end in there for name in [*inputs, *OUTPUT_SHAPES]):\n"
    "            x = [read_array(source, name + end) for name in inputs]\n"
    "            y = [read_array(source, name + end) for name in OUTPUT_SHAPES]\n"
    "            if len({len(part) for part in x + y}) > 1:\n"
    "                raise ValueError(f'{source}: the inputs and the targets differ in their rows')\n"
    "            part = slice(None) if end else divide(len(y[0]), split)\n"
    "            x, y = [values[part] for values in x], [values[part] for values in y]\n"
    "            return x if len(x) > 1 else x[0], y\n"
    "    names = ', '.join(f'{name}_{split}' for name in [*inputs, *OUTPUT_SHAPES])\n"
    "    raise ValueError(f'{source}: no arrays {names}, nor without these endings')\n"
    "\n"
    "\n";

static const char to_shape[] =
    "def to_shape(x, shape):\n"
    "    \"\"\"Samples in the shape of an input; bytes stay bytes, which count from 0 to 1 in the end.\"\"\"\n"
    "    if x.dtype != @uint8:\n"
    "        x = @asarray(x, dtype=@float32)\n"
    "        if not @isfinite(x).all():\n"
    "            raise ValueError('the data holds a number that is not finite')\n"
    "    if None in shape:\n"
    "        return x[..., None] if x.ndim == len(shape) else x  # one channel\n"
    "    return x.reshape(len(x), *shape)\n"
    "\n"
    "\n";

static const char as_classes[] =
    "def as_classes(y, axes=1):\n"
    "    \"\"\"Whole numbers on so many axes and one-hot rows of them are classes, else y holds values.\"\"\"\n"
    "    hot = y.ndim == axes + 1 and y.shape[-1] > 1 and ((y == 0) | (y == 1)).all()\n"
    "    if hot and (y.sum(axis=-1) == 1).all():\n"
    "        return y.argmax(axis=-1), True\n"
    "    if 'float' in str(y.dtype) or math.prod(y.shape[axes:]) != 1:\n"
    "        return y, False\n"
    "    return @asarray(y, dtype=@int64).reshape(y.shape[:axes]), True\n"
    "\n"
    "\n";

static const char check_classes[] =
    "def check_classes(y, classes):\n"
    "    if len(y) and not 0 <= y.min() <= y.max() < classes:\n"
    "        raise ValueError(f'the data has classes {y.min()} to {y.max()}, '\n"
    "                         f'the network knows 0 to {classes - 1}')\n"
    "\n"
    "\n";

static const char target_classes[] =
    "def to_target(y, shape):\n"
    "    \"\"\"The class of each row.\"\"\"\n"
    "    y, known = as_classes(y)\n"
    "    if not known:\n"
    "        raise ValueError('the network learns classes, but the data has values')\n"
    "    check_classes($CHECKED, shape[-1])\n"
    "    return y\n"
    "\n"
    "\n";

static const char target_sites[] =
    "def to_target(y, shape):\n"
    "    \"\"\"The class at each place of an output: its axes but the last, which has a score a class.\"\"\"\n"
    "    y, known = as_classes(y, len(shape))\n"
    "    if not known:\n"
    "        raise ValueError('the network learns classes, but the data has values')\n"
    "    places = tuple(y.shape[1:]) if None in shape else shape[:-1]\n"
    "    if len(places) < len(shape) - 1 or math.prod(y.shape) != len(y) * math.prod(places):\n"
    "        raise ValueError(f'classes at {tuple(y.shape[1:])} places, the network has {shape[:-1]}')\n"
    "    check_classes($CHECKED, shape[-1])\n"
    "    return y.reshape(len(y), *places)\n"
    "\n"
    "\n";

static const char target_custom[] =
    "def to_target(y, shape):\n"
    "    \"\"\"Classes, or values of any shape: what the loss understands.\"\"\"\n"
    "    y, known = as_classes(y)\n"
    "    return y if known else @asarray(y, dtype=@float32)\n"
    "\n"
    "\n";

static const char target_ctc[] =
    "def to_target(y, shape):\n"
    "    \"\"\"Rows of classes, each filled up with the blank at its end.\"\"\"\n"
    "    if 'float' in str(y.dtype):\n"
    "        raise ValueError('the network learns classes, but the data has values')\n"
    "    check_classes(y, shape[-1])\n"
    "    return @asarray(y, dtype=@int64).reshape(len(y), -1)\n"
    "\n"
    "\n";

static const char target_values[] =
    "def to_target(y, shape):\n"
    "    \"\"\"Values in the shape of an output; classes become 0 and 1, or one-hot rows.\"\"\"\n"
    "    y, known = as_classes(y)\n"
    "    if known and None not in shape:\n"
    "        width = math.prod(shape)\n"
    "        check_classes(y, max(width, 2))\n"
    "        y = @eye(width)[y] if width > 1 else y\n"
    "    y = @asarray(y, dtype=@float32)\n"
    "    if not @isfinite(y).all():\n"
    "        raise ValueError('the data holds a target that is not finite')\n"
    "    if None in shape:\n"
    "        return y\n"
    "    if math.prod(y.shape) != len(y) * math.prod(shape):\n"
    "        raise ValueError(f'{math.prod(y.shape[1:])} values a row, outputs of {shape}')\n"
    "    return y.reshape(len(y), *shape)\n"
    "\n"
    "\n";

static const char make_samples[] =
    "def normal(words):\n"
    "    \"\"\"Normal numbers from four words each, by Box and Muller.\"\"\"\n"
    "    words = words.reshape(-1, 2, 2)\n"
    "    words = words[..., 1] << 21 | words[..., 0] >> 11\n"
    "    unit = @asarray(words, dtype=@float64) * 2.0 ** -53\n"
    "    return @sqrt(-2 * @log(1 - unit[:, 0])) * @cos(2 * math.pi * unit[:, 1])\n"
    "\n"
    "\n"
    "def make_samples(recipe, split, y, shape, words=0):\n"
    "    \"\"\"Samples that scatter around one point for each class; words: whole numbers below that.\"\"\"\n"
    "    seed, classes, width = recipe['seed'], recipe['classes'], math.prod(shape)\n"
    "    if words:\n"
    "        texts = random_words(seed, 4, 0, 2 * classes * width).reshape(2, classes, *shape)\n"
    "        return texts[random_words(seed, 5 if split == 'train' else 6, 0, len(y)) & 1, y] % words\n"
    "    points = normal(random_words(seed, 2, 0, 4 * classes * width)).reshape(classes, width)\n"
    "    points = @asarray(@asarray(points, dtype=@float32), dtype=@float64)\n"
    "    small = recipe['type'] == 'u8'\n"
    "    made = @zeros((len(y), width), dtype=@uint8 if small else @float32)\n"
    "    mirrored, stream = recipe['pattern'] == 'mirrored', 0 if split == 'train' else 1\n"
    "    each = 4 * width + mirrored\n"
    "    step = max((1 << 20) // each, 1)\n"
    "    for first in range(0, len(y), step):\n"
    "        classes = y[first:first + step]\n"
    "        drawn = random_words(seed, stream, first * each, len(classes) * each).reshape(-1, each)\n"
    "        sign = 1 - 2 * (drawn[:, :1] & 1) if mirrored else 1\n"
    "        noise = recipe['noise'] * normal(drawn[:, int(mirrored):]).reshape(-1, width)\n"
    "        x = sign * points[classes] + noise\n"
    "        made[first:first + step] = (127.5 + 42.5 * x).round().clip(0, 255) if small else x\n"
    "    return made.reshape(len(y), *shape)\n"
    "\n"
    "\n";

static const char patterns[] =
    "def patterns(recipe, stream, shape, below):\n"
    "    \"\"\"For each class numbers below that at all places of a target.\"\"\"\n"
    "    shape = [size or 8 for size in shape]\n"
    "    made = random_words(recipe['seed'], stream, 0, recipe['classes'] * math.prod(shape)) % below\n"
    "    return made.reshape(recipe['classes'], *shape)\n"
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
    "    y = @arange(rows, dtype=@int64) % recipe['classes']\n";

static const char make_values[] =
    "    if recipe['values']:\n"
    "        width = math.prod(x.shape[1:])\n"
    "        words = random_words(recipe['seed'], 3, 0, 4 * width * recipe['values'])\n"
    "        points = @asarray(normal(words).reshape(width, -1), dtype=@float32)\n"
    "        y = @asarray(x, dtype=@float64).reshape(rows, width)\n"
    "        y = y / 255 if x.dtype == @uint8 else y\n"
    "        y = @matmul(y, @asarray(points, dtype=@float64)) / width ** 0.5\n";

static const char load_head_of_one[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: a name (fashion-mnist, mnist, synthetic), a folder of IDX files, a .csv or .tsv, an .npz\n"
    "    or a folder of .npy files with x_train, y_train, x_test and y_test.\n"
    "    \"\"\"\n";

static const char load_head_of_many[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: synthetic, or an .npz or a folder of .npy files whose arrays are called like the inputs.\n"
    "    \"\"\"\n";

static const char load_head_of_outputs[] =
    "def load_data(source, split):\n"
    "    \"\"\"Samples and targets of a split, 'train' or 'test'; replace this to read other data.\n"
    "\n"
    "    source: synthetic, or an .npz or a folder of .npy files whose arrays are called like the outputs\n"
    "    and the inputs; one input is called x.\n"
    "    \"\"\"\n";

static const char load_synthetic[] =
    "    if source.partition(':')[0] == 'synthetic':\n"
    "        return make_data(split, source)\n"
    "    source = find_source(source)\n";

static const char load_files[] =
    "    if source.lower().endswith(('.csv', '.tsv', '.csv.gz', '.tsv.gz')):\n"
    "        return prepare(*read_table(source, split))\n"
    "    images, labels = find_idx(source, split, 'images'), find_idx(source, split, 'labels')\n"
    "    if images and labels:\n"
    "        return prepare(read_idx(images), @asarray(read_idx(labels), dtype=@int64))\n";
/* clang-format on */

typedef struct data {
    const nn_graph *g;
    const char *library;
    bool inputs, outputs; /* several of them */
} data;

static const nn_shape *output_shape(const data *d) {
    return &d->g->nodes[d->g->outputs[0]].shape;
}

/* `text` with the library for "@" and `value` for the word `name`, which begins with a dollar. */
static void put_with(const data *d, const char *text, const char *name, const char *value,
                     nn_buf *out) {
    for (; *text; text++) {
        if (*text == '@') {
            nn_buf_puts(out, d->library);
        } else if (name && strncmp(text, name, strlen(name)) == 0) {
            nn_buf_puts(out, value);
            text += strlen(name) - 1;
        } else {
            nn_buf_putc(out, *text);
        }
    }
}

static void put(const data *d, const char *text, nn_buf *out) {
    put_with(d, text, NULL, NULL, out);
}

static void put_shapes(const data *d, const char *name, const int *nodes, int n, nn_buf *out) {
    if (n == 1) {
        nn_buf_printf(out, "%s = ", name);
        nn_py_shape(out, &d->g->nodes[nodes[0]].shape);
        nn_buf_putc(out, '\n');
        return;
    }
    nn_buf_printf(out, "%sS = {\n", name);
    for (int i = 0; i < n; i++) {
        nn_buf_puts(out, "    ");
        const nn_node *end = &d->g->nodes[nodes[i]];
        nn_py_string(out, end->op == NN_OP_INPUT ? end->name : end->layer_name);
        nn_buf_puts(out, ": ");
        nn_py_shape(out, &d->g->nodes[nodes[i]].shape);
        nn_buf_puts(out, ",\n");
    }
    nn_buf_puts(out, "}\n");
}

static void put_numbers(const data *d, nn_buf *out) {
    nn_buf_puts(out, "\n\n# Of one sample, channels last.\n");
    put_shapes(d, "INPUT_SHAPE", d->g->inputs, d->g->n_inputs, out);
    put_shapes(d, "OUTPUT_SHAPE", d->g->outputs, d->g->n_outputs, out);
    nn_buf_puts(out, "\n\n");
}

/* ---- samples and targets as the network wants them ---- */

static bool takes_classes(const data *d) {
    return d->g->train.loss != NN_LOSS_CUSTOM &&
           nn_loss_targets(d->g->train.loss) == NN_TARGET_CLASS;
}

/* Whether an output has scores at several places. */
static bool has_sites(const data *d) {
    for (int i = 0; i < d->g->n_outputs; i++)
        if (d->g->nodes[d->g->outputs[i]].shape.rank > 1) return true;
    return false;
}

static const char *target_text(const data *d) {
    if (d->g->train.loss == NN_LOSS_CUSTOM) return target_custom;
    if (d->g->train.loss == NN_LOSS_CTC) return target_ctc;
    if (!takes_classes(d)) return target_values;
    return has_sites(d) ? target_sites : target_classes;
}

static void put_target(const data *d, nn_buf *out) {
    int64_t ignored = d->g->train.ignore_class;
    char checked[48] = "y";
    if (ignored >= 0) snprintf(checked, sizeof checked, "y[y != %" PRId64 "]", ignored);
    if (d->g->train.loss != NN_LOSS_CTC) put(d, as_classes, out);
    if (d->g->train.loss != NN_LOSS_CUSTOM) put(d, check_classes, out);
    put_with(d, target_text(d), "$CHECKED", checked, out);
}

static void put_prepare(const data *d, nn_buf *out) {
    put(d, to_shape, out);
    put_target(d, out);
    nn_buf_puts(out, "def prepare(x, y):\n"
                     "    \"\"\"Samples and targets in the shapes of the network.\"\"\"\n");
    nn_buf_puts(out, d->inputs ? "    x = [to_shape(part, shape) for part, shape in zip(x, "
                                 "INPUT_SHAPES.values())]\n"
                               : "    x = to_shape(x, INPUT_SHAPE)\n");
    nn_buf_puts(out, d->outputs ? "    return x, [to_target(part, shape) for part, shape in zip(y, "
                                  "OUTPUT_SHAPES.values())]\n\n\n"
                                : "    return x, to_target(y, OUTPUT_SHAPE)\n\n\n");
}

/* ---- synthetic sets ---- */

int64_t nn_py_words(const nn_graph *g, int input) {
    int64_t least = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        if (n->op != NN_OP_EMBEDDING || n->inputs[0] != input) continue;
        if (!least || n->attr.embedding.input_dim < least) least = n->attr.embedding.input_dim;
    }
    return least;
}

static void put_samples(const data *d, int i, const char *shape, nn_buf *out) {
    int64_t vocabulary = nn_py_words(d->g, d->g->inputs[i]);
    nn_buf_printf(out, "make_samples(recipe, split, y, %s", shape);
    if (vocabulary) nn_buf_printf(out, ", %" PRId64, vocabulary);
    nn_buf_putc(out, ')');
}

static void put_many_samples(const data *d, nn_buf *out) {
    nn_buf_puts(out,
                "    shapes = [[size or 8 for size in shape] for shape in INPUT_SHAPES.values()]\n"
                "    x = []\n");
    for (int i = 0; i < d->g->n_inputs; i++) {
        char shape[32];
        snprintf(shape, sizeof shape, "shapes[%d]", i);
        nn_buf_puts(out, "    x.append(");
        put_samples(d, i, shape, out);
        nn_buf_puts(out, ")\n");
    }
}

/* Targets of several axes, or of several outputs: a pattern for each class of rows. */
static void put_pattern(const data *d, const char *stream, const char *shape, nn_buf *out) {
    if (takes_classes(d))
        nn_buf_printf(out, "patterns(recipe, %s, %s[:-1], %s[-1])[y]", stream, shape, shape);
    else
        nn_buf_printf(out, "patterns(recipe, %s, %s, 2)[y]", stream, shape);
}

static bool is_ctc(const data *d) {
    return d->g->train.loss == NN_LOSS_CTC;
}

/* Whether the classes of rows are targets as they are, or one-hot rows of them. */
static bool is_flat(const data *d) {
    const nn_shape *to = output_shape(d);
    return !d->outputs && !is_ctc(d) && (to->rank == 1 || nn_shape_elements(to) == 1);
}

static void put_classes(const data *d, nn_buf *out) {
    const nn_shape *to = output_shape(d);
    bool several = to->rank > 0 && to->dim[to->rank - 1] > 1;
    nn_buf_puts(out, "             'classes': ");
    if (d->outputs && (takes_classes(d) || is_ctc(d)))
        nn_buf_puts(out, "max(shape[-1] for shape in OUTPUT_SHAPES.values())");
    else if (!d->outputs && several && (is_flat(d) || takes_classes(d) || is_ctc(d)))
        nn_buf_puts(out, "OUTPUT_SHAPE[-1]");
    else
        nn_buf_puts(out, "2");
    nn_buf_puts(out, is_ctc(d) ? " - 1}\n" : "}\n");
}

/* ctc: a row of one class, which is not the blank. */
static void put_ctc_targets(const data *d, nn_buf *out) {
    if (d->outputs)
        nn_buf_printf(out,
                      "    y = [y %% (shape[-1] - 1) for shape in OUTPUT_SHAPES.values()]\n"
                      "    y = [part + (part >= %" PRId64 ") for part in y]\n",
                      d->g->train.blank);
    else
        nn_buf_printf(out, "    y = y + (y >= %" PRId64 ")\n", d->g->train.blank);
}

static void put_made_targets(const data *d, nn_buf *out) {
    bool values = !d->inputs && !d->outputs;
    if (values) put(d, make_values, out);
    if (is_ctc(d)) put_ctc_targets(d, out);
    if (is_ctc(d) || is_flat(d)) return;
    nn_buf_puts(out, values ? "    else:\n        y = " : "    y = ");
    if (d->outputs) nn_buf_putc(out, '[');
    put_pattern(d, d->outputs ? "7 + i" : "7", d->outputs ? "shape" : "OUTPUT_SHAPE", out);
    nn_buf_puts(out, d->outputs ? "\n         for i, shape in enumerate(OUTPUT_SHAPES.values())]\n"
                                : "\n");
}

/* The synthetic set: classes where outputs are classes or could be one-hot rows, else any values.
 */
static void put_synthetic(const data *d, nn_buf *out) {
    put(d, make_samples, out);
    if (!is_flat(d) && !is_ctc(d)) put(d, patterns, out);
    bool named = d->inputs || d->outputs;
    nn_buf_puts(out, named ? make_head_of_many : make_head_of_one);
    put_classes(d, out);
    put(d, make_recipe, out);
    if (d->inputs) {
        put_many_samples(d, out);
    } else {
        nn_buf_puts(out, "    x = ");
        put_samples(d, 0,
                    named ? "[size or 8 for size in INPUT_SHAPE]"
                          : "[int(size) for size in recipe['shape'].split('x')]",
                    out);
        nn_buf_putc(out, '\n');
    }
    put_made_targets(d, out);
    nn_buf_puts(out, "    return prepare(x, y)\n\n\n");
}

/* ---- files ---- */

static void put_arrays(const data *d, nn_buf *out) {
    if (!d->outputs) {
        put(d, d->inputs ? arrays_of_many : arrays_of_one, out);
        return;
    }
    put_with(d, arrays_of_outputs, "$INPUTS", d->inputs ? "list(INPUT_SHAPES)" : "['x']", out);
}

void nn_py_data(const nn_graph *g, const char *library, nn_buf *out) {
    data d = {g, library, g->n_inputs > 1, g->n_outputs > 1};
    bool named = d.inputs || d.outputs;
    put_numbers(&d, out);
    put(&d, nn_py_random, out);
    put(&d, nn_py_division, out);
    if (!named) put(&d, nn_py_tables, out);
    put_with(&d, readers, "$FORMATS",
             named ? ".npz and folders of .npy" : ".csv, .tsv, .npz and folders of .npy or IDX",
             out);
    if (!named) put(&d, idx_readers, out);
    put_arrays(&d, out);
    put_prepare(&d, out);
    put_synthetic(&d, out);
    nn_buf_puts(out, d.outputs  ? load_head_of_outputs
                     : d.inputs ? load_head_of_many
                                : load_head_of_one);
    nn_buf_puts(out, load_synthetic);
    if (!named) put(&d, load_files, out);
    nn_buf_puts(out, "    return prepare(*read_arrays(source, split))\n");
}
