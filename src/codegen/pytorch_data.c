/* SPDX-License-Identifier: MIT */
/* pytorch_data.c - what the program makes of samples on their way into the network. */
#include "codegen/python_data.h"
#include "codegen/pytorch_train.h"

bool nn_torch_joins(const nn_emit *e) {
    return e->g->n_inputs > 1;
}

/* Numbers of the precision that the model computes in; but words are looked up, whatever it is. */
static const char *cast_of(nn_emit *e, int i) {
    nn_precision p = e->g->train.precision;
    if (!nn_torch_pure(e) || nn_py_words(e->g, e->g->inputs[i])) return "";
    return p == NN_PRECISION_FLOAT16 ? ".half()" : ".bfloat16()";
}

static void put_to_input(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "\n\ndef to_input(x, device):\n"
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
    nn_py_data(e->g, "torch.", out);
    put_to_input(e, out);
}
