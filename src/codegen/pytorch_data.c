/* SPDX-License-Identifier: MIT */
/* pytorch_data.c - reading data in the training program: sets by name, IDX, .npz and .npy. */
#include "codegen/pytorch_train.h"

#include <inttypes.h>

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
    "    \"\"\"\n";

static const char load_files[] =
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
    if (nn_torch_takes_classes(e))
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

/* How many whole numbers the input holds that is looked up in a table; 0: any numbers. */
static int64_t words(const nn_emit *e) {
    int64_t least = 0;
    for (int i = 0; i < e->g->n_nodes; i++) {
        const nn_node *n = &e->g->nodes[i];
        if (n->op != NN_OP_EMBEDDING || n->inputs[0] != e->g->inputs[0]) continue;
        if (!least || n->attr.embedding.input_dim < least) least = n->attr.embedding.input_dim;
    }
    return least;
}

static void put_synthetic(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "def make_data(split, rows=1000):\n"
        "    \"\"\"Samples that scatter around one point for each class: to try the program.\"\"\"\n"
        "    shape = [size or 8 for size in INPUT_SHAPE]\n"
        "    fixed = torch.Generator().manual_seed(1)\n"
        "    generator = torch.Generator().manual_seed(2 if split == 'train' else 3)\n");
    nn_buf_printf(out, "    classes = %s\n", nn_torch_takes_classes(e) ? "OUTPUT_SHAPE[0]" : "2");
    nn_buf_puts(out, "    y = torch.arange(rows) % classes\n");
    if (words(e) > 0)
        nn_buf_printf(out,
                      "    words = torch.randint(%" PRId64
                      ", (2, classes, *shape), generator=fixed)\n"
                      "    x = words[torch.randint(2, (rows,), generator=generator), y]\n",
                      words(e));
    else
        nn_buf_puts(out,
                    "    points = torch.randn(classes, *shape, generator=fixed)\n"
                    "    x = points[y] + 0.5 * torch.randn(rows, *shape, generator=generator)\n");
    if (!nn_torch_takes_classes(e))
        nn_buf_puts(out, "    targets = [size or 1 for size in OUTPUT_SHAPE]\n"
                         "    y = torch.rand(classes, *targets, generator=fixed).round()[y]\n");
    nn_buf_puts(out, "    return prepare(x, y)\n\n\n");
}

static const char to_input[] =
    "def to_input(x, device):\n"
    "    \"\"\"A batch as the network takes it: bytes become numbers from 0 to 1.\"\"\"\n"
    "    x = x.to(device)\n"
    "    return x.float() / 255 if x.dtype == torch.uint8 else x.float()\n";

void nn_torch_data(nn_emit *e, nn_buf *out) {
    put_numbers(e, out);
    nn_buf_puts(out, readers);
    put_prepare(e, out);
    put_synthetic(e, out);
    nn_buf_puts(out, load_head);
    nn_buf_puts(out, nn_py_find_data);
    nn_buf_puts(out, load_files);
    nn_buf_puts(out, to_input);
}
