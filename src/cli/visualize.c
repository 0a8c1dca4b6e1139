/* SPDX-License-Identifier: MIT */
/* visualize.c - a picture of a network: a page to explore, or a file for a document. */
#include "base/file.h"
#include "cli/cli.h"
#include "draw/draw.h"

#include <string.h>
#include <unistd.h>

/* Bytes for a terminal would only garble it. */
static nn_status refuse_terminal(const nn_picture_format *f, nn_err *err) {
    if (strcmp(f->name, "png") != 0 || !isatty(STDOUT_FILENO)) return NN_OK;
    nn_status s = nn_fail(err, NN_E_USAGE, "a PNG is not written to a terminal");
    return nn_err_hint(err, s, "give a file with -o, or redirect the output");
}

static nn_status write_picture(nn_arena *arena, const nn_args *a, const nn_picture_format *f,
                               const nn_buf *picture, nn_err *err) {
    const char *to = nn_opt(a, "output");
    if (to && strcmp(to, "-") == 0) {
        nn_status s = refuse_terminal(f, err);
        return s ? s : nn_print(nn_buf_str(picture), picture->n, err);
    }
    if (!to) to = nn_cli_beside(arena, a->operands[0], nn_arena_printf(arena, ".%s", f->extension));
    nn_status s = nn_file_write(to, nn_buf_str(picture), picture->n, err);
    if (!s) printf("wrote %s\n", to);
    return s;
}

static nn_status run_visualize(const nn_args *a, nn_err *err) {
    const char *name = nn_opt(a, "format");
    const nn_picture_format *f = nn_picture_format_find(name ? name : "html");
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "visualize", (size_t)2 << 30);
    nn_compile_options opt;
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    NN_BUF picture = {0};
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    if (!s) s = nn_draw(u, f, &picture, err);
    return s ? s : write_picture(arena, a, f, &picture, err);
}

/* clang-format off */
static const nn_option visualize_options[] = {
    {"format", 'f', "FORMAT", "html (default): a page to explore; svg, png: a picture; dot: for Graphviz", "html|svg|png|dot"},
    {"output", 'o', "FILE",   "where to write; - is standard output (default: FILE.html, .svg, …)", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {0}
};
/* clang-format on */
const nn_command nn_command_visualize = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = visualize_options,
    .run = run_visualize,
    .description =
        "Draws layers as boxes with the shapes that flow between them. The page shows parameters,\n"
        "FLOPs and memory of what is pointed at, and needs no network. Layers that the program\n"
        "repeats are one box; a long network is folded into columns.",
    .examples = "  neural visualize examples/fashion_cnn.neural\n"
                "  neural visualize net.neural --format png -o net.png\n"
                "  neural visualize net.neural -f svg -o - > net.svg"};
