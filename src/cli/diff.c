/* SPDX-License-Identifier: MIT */
/* diff.c - two networks compared. The exit status is that of diff(1): 0 the same, 1 different, 2
 * trouble. */
#include "compile/diff.h"

#include "cli/cli.h"

#include <string.h>

/* Different: no error, and no message. */
static nn_status different(nn_err *err) {
    *err = (nn_err){.code = NN_E_VALIDATION_ERROR};
    return NN_E_VALIDATION_ERROR;
}

static nn_status read_one(const nn_args *a, nn_arena *arena, const char *path, nn_unit **ret,
                          nn_err *err) {
    nn_source src;
    nn_diags *diags = NULL;
    nn_compile_options opt;
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, path, &opt, true, &src, &diags, ret, err);
    if (s != NN_E_DSL_ERROR) return s;
    nn_cli_print_diags(diags);
    return nn_cli_errors(diags, err);
}

static nn_status compare(const nn_args *a, const nn_unit *x, const nn_unit *y, nn_err *err) {
    if (nn_opt_given(a, "json")) {
        nn_json *o = nn_unit_diff_json(x, y);
        bool changed = nn_json_bool(nn_json_get(o, "changed"), false);
        nn_status s = nn_print_json(o, err);
        return s || !changed ? s : different(err);
    }
    NN_BUF out = {0};
    bool changed = nn_unit_diff(x, y, &out);
    nn_status s = nn_print(nn_buf_str(&out), out.n, err);
    return s || !changed ? s : different(err);
}

static nn_status run_diff(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "diff", (size_t)2 << 30);
    nn_unit *x = NULL, *y = NULL;
    nn_status s = NN_OK, t;
    if (strcmp(a->operands[0], "-") == 0 && strcmp(a->operands[1], "-") == 0)
        return nn_fail(err, NN_E_USAGE, "diff: standard input can be only one of the two");
    s = read_one(a, arena, a->operands[0], &x, err);
    if (s && err->msg[0]) nn_print_error(err);
    t = read_one(a, arena, a->operands[1], &y, err);
    if (t && err->msg[0]) nn_print_error(err);
    if (!s && !t) return compare(a, x, y, err);
    err->msg[0] = 0; /* said */
    return NN_E_USAGE;
}

/* clang-format off */
static const nn_option diff_options[] = {
    NN_CLI_AUTO_FLATTEN,
    {"json", 0, NULL, "print the differences as JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_diff = {
    .operands = "A B",
    .min_operands = 2,
    .max_operands = 2,
    .options = diff_options,
    .run = run_diff,
    .description =
        "Prints layers that were added (+), removed (-) and changed or reshaped (~), the sections that\n"
        "changed, and what that does to parameters and FLOPs. Names of networks and layers, layout\n"
        "and comments are no difference. The exit status is 0 if the networks are the same, 1 if\n"
        "they differ, 2 if one could not be read.",
    .examples = "  neural diff old.neural new.neural\n"
                "  git show HEAD:net.neural | neural diff - net.neural"};
