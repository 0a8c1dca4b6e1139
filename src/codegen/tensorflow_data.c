/* SPDX-License-Identifier: MIT */
/* tensorflow_data.c - what Keras gets of samples and targets that load_data() reads. */
#include "codegen/python_data.h"
#include "codegen/tensorflow.h"

#include <inttypes.h>

/* How one of several inputs and outputs becomes what Keras takes. */
static void put_input(nn_buf *out) {
    nn_buf_puts(out, "def to_input(x):\n"
                     "    \"\"\"Bytes become numbers from 0 to 1.\"\"\"\n"
                     "    return x / np.float32(255) if x.dtype == np.uint8 else x\n\n\n");
}

/* Keras's loss and metrics of classes may want one-hot rows; tf.nn.ctc_loss knows no filling. */
static void put_target(const nn_graph *g, nn_buf *out) {
    nn_loss_kind loss = nn_tf_loss(&g->train);
    if (loss == NN_LOSS_CTC)
        nn_buf_printf(out,
                      "def to_output(y, shape):\n"
                      "    \"\"\"Rows of classes, filled up by -1.\"\"\"\n"
                      "    return np.where(y == %" PRId64 ", -1, y)\n\n\n",
                      g->train.blank);
    else
        nn_buf_puts(out, "def to_output(y, shape):\n"
                         "    \"\"\"Classes become one-hot rows.\"\"\"\n"
                         "    return np.eye(shape[-1], dtype='float32')[y]\n\n\n");
}

static bool turns_targets(const nn_graph *g) {
    nn_loss_kind loss = nn_tf_loss(&g->train);
    return loss == NN_LOSS_CTC || (loss != NN_LOSS_SPARSE && loss != NN_LOSS_CUSTOM &&
                                   nn_loss_targets(loss) == NN_TARGET_CLASS);
}

static void put_for_keras(const nn_graph *g, nn_buf *out) {
    bool turns = turns_targets(g);
    put_input(out);
    if (turns) put_target(g, out);
    nn_buf_puts(out, "def read(source, split):\n"
                     "    \"\"\"load_data() as Keras takes it.\"\"\"\n"
                     "    x, y = load_data(source, split)\n");
    nn_buf_puts(out, g->n_inputs > 1 ? "    x = [to_input(part) for part in x]\n"
                                     : "    x = to_input(x)\n");
    if (turns)
        nn_buf_puts(out, g->n_outputs > 1
                             ? "    y = [to_output(part, shape) for part, shape in zip(y, "
                               "OUTPUT_SHAPES.values())]\n"
                             : "    y = to_output(y, OUTPUT_SHAPE)\n");
    nn_buf_puts(out, "    return x, y\n\n\n");
}

void nn_tf_data(const nn_graph *g, nn_buf *out) {
    nn_py_data(g, "np.", out);
    nn_buf_puts(out, "\n\n");
    put_for_keras(g, out);
}
