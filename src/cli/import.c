/* SPDX-License-Identifier: MIT */
/* import.c - what others made: a network with its weights from a file of ONNX, or weights for a
 * network of ours from PyTorch. */
#include "cli/cli.h"
#include "model/onnx.h"

#include <inttypes.h>

static nn_status import_onnx(const nn_args *a, nn_err *err) {
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

static nn_status run_import(const nn_args *a, nn_err *err) {
    return (nn_opt(a, "into") ? nn_cli_import_weights : import_onnx)(a, err);
}

/* clang-format off */
static const nn_option import_options[] = {
    {"into",   0,   "FILE",  "the program or the model whose weights FILE holds", NULL},
    {"output", 'o', "MODEL", "where to write the model (default FILE.safetensors; with --into the program with .safetensors, or "
     "the model itself)", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
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
        "Reads a file of ONNX (operators up to opset 17), with the weights in it. An operator that no op of ours covers is\n"
        "named, with the reason.\n\n"
        "With --into, FILE is a .safetensors file of a PyTorch state_dict with the names of the generated module. Every name\n"
        "that is missing, unexpected or of another shape is listed, and then nothing is written.",
    .examples = "  neural import net.onnx -o net.safetensors\n"
                "  neural import trained.safetensors --into net.neural -o net.safetensors"};
