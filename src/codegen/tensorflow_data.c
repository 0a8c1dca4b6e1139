/* SPDX-License-Identifier: MIT */
/* tensorflow_data.c - the part of the program that reads data: samples and targets by name and
 * path, in the shapes that the network and its loss take. */
#include "codegen/tensorflow.h"

#include <inttypes.h>

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
/* clang-format on */

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
    nn_loss_kind loss = nn_tf_loss(&g->train);
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
    if (loss == NN_LOSS_CTC)
        nn_buf_puts(out, "    \"\"\"Rows of classes; numbers below 0 fill them up.\"\"\"\n"
                         "    return y.reshape(len(y), -1).astype('int64')\n\n\n");
    else if (loss == NN_LOSS_SPARSE)
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
    if (g->train.loss == NN_LOSS_CTC)
        nn_buf_printf(out,
                      "    targets = [np.where(np.arange(shape[-1]) == %" PRId64
                      ", -1, (label[:, None] + "
                      "np.arange(shape[-1])) %% shape[-1])[:, :2]\n"
                      "               for shape in OUTPUTS.values()]\n"
                      "    return prepare(samples, targets)\n\n\n",
                      g->train.blank);
    else if (classes)
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

void nn_tf_data(const nn_graph *g, nn_buf *out) {
    put_ends(g, "INPUTS", g->inputs, g->n_inputs, out);
    put_ends(g, "OUTPUTS", g->outputs, g->n_outputs, out);
    nn_buf_puts(out, "\n\n");
    nn_buf_puts(out, readers);
    put_prepare(g, out);
    put_synthetic(g, out);
    nn_buf_puts(out, load_head);
    nn_buf_puts(out, nn_py_find_data);
    nn_buf_puts(out, load_files);
}
