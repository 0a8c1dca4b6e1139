/* SPDX-License-Identifier: MIT */
/* import.c - a network with its weights from a file of ONNX. */
#include "cli/cli.h"
#include "model/onnx.h"

#include <inttypes.h>

static nn_status run_import(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "import", (size_t)1 << 20);
    NN_AUTO(nn_model) *m = NULL;
    const char *out = nn_opt(a, "output");
    if (!out) out = nn_cli_beside(arena, a->operands[0], ".safetensors");
    nn_status s = nn_onnx_import(a->operands[0], &m, err);
    if (!s) s = nn_model_save(m, out, err);
    if (s) return s;
    printf("wrote %s (%d nodes, %" PRId64 " weights)\n", out, m->graph->n_nodes, m->graph->slab);
    return NN_OK;
}

/* clang-format off */
static const nn_option import_options[] = {
    {"output", 'o', "MODEL", "where to write the model (default FILE.safetensors)", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_import = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = import_options,
    .run = run_import,
    .description =
        "Reads a file of ONNX (operators up to opset 17), with the weights in it. An operator "
        "that no op of ours covers is named, with the reason.",
    .examples =
        "  neural import net.onnx -o net.safetensors\n  neural predict net.safetensors ..."};
