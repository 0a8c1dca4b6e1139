/* SPDX-License-Identifier: MIT */
/* parse.c - a program as a tree, or as model_data. */
#include "cli/cli.h"
#include "compile/model_data.h"

#include <string.h>

/* What the text says, without asking whether it makes sense. */
static nn_status parse(nn_arena *arena, const char *path, nn_source *src, nn_program **ret,
                       nn_err *err) {
    nn_status s = nn_source_read(arena, path, src, err);
    if (s) return s;
    nn_diags *diags = nn_diags_new(arena, src);
    s = nn_source_parse(arena, src, diags, ret, err);
    if (s && s != NN_E_DSL_ERROR) return s;
    nn_cli_print_diags(diags);
    return diags->errors ? nn_cli_errors(diags, err) : s;
}

/* A network has to be right before it is model_data. Its search points may be open. */
static nn_status print_data(nn_arena *arena, const nn_source *src, const nn_program *tree,
                            nn_model_data_form form, nn_err *err) {
    if (tree->research && !tree->networks) return nn_print_json(nn_research_data(tree), err);
    nn_diags *diags = nn_diags_new(arena, src);
    nn_unit *u = NULL;
    nn_status s = nn_compile_source(arena, src, NULL, diags, &u, err);
    nn_cli_print_diags(diags);
    if (s) return s == NN_E_DSL_ERROR ? nn_cli_errors(diags, err) : s;
    return nn_print_json(nn_model_data(u, form), err);
}

static nn_status run_parse(const nn_args *a, nn_err *err) {
    bool json = nn_opt_given(a, "json");
    const char *form = nn_opt(a, "form");
    if (form && !json) {
        nn_status s = nn_fail(err, NN_E_USAGE, "parse: --form is a form of the JSON");
        return nn_err_hint(err, s, "add --json");
    }
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "parse", (size_t)2 << 30);
    nn_source src;
    nn_program *tree = NULL;
    nn_status s = parse(arena, a->operands[0], &src, &tree, err);
    if (s) return s;
    bool reference = form && strcmp(form, "reference") == 0;
    if (json)
        return print_data(arena, &src, tree,
                          reference ? NN_MODEL_DATA_REFERENCE : NN_MODEL_DATA_CANONICAL, err);
    NN_BUF out = {0};
    nn_tree_print(tree, &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* clang-format off */
static const nn_option parse_options[] = {
    {"json", 0, NULL,   "print model_data (of a research file its data) as JSON", NULL},
    {"form", 0, "FORM", "of the JSON (default canonical)", "canonical|reference"},
    {0}
};
/* clang-format on */
const nn_command nn_command_parse = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = parse_options,
    .run = run_parse,
    .description =
        "Prints the syntax tree as S-expressions. With --json the network is checked and printed as\n"
        "model_data, macros and repetitions expanded; every command takes that in place of a program.\n"
        "FILE is a program, a research file or model_data, or - for standard input.",
    .examples = "  neural parse net.neural\n  neural parse net.neural --json --form reference"};
