/* SPDX-License-Identifier: MIT */
/* compile.c - a network to the code of a backend. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "codegen/backend.h"

#include <string.h>

static nn_status find_backend(const char *name, const nn_backend **ret, nn_err *err) {
    *ret = nn_backend_find(name);
    if (*ret) return NN_OK;
    NN_BUF list = {0};
    for (unsigned i = 0; nn_backend_at(i); i++)
        nn_buf_printf(&list, "%s%s", i ? ", " : "", nn_backend_at(i)->name);
    return nn_fail(err, NN_E_UNSUPPORTED, "backend '%.60s' is not available; choose one of: %s",
                   name, nn_buf_str(&list));
}

static nn_status emit(nn_arena *arena, const nn_args *a, const nn_backend *b, const nn_source *src,
                      const nn_unit *u, nn_err *err) {
    char sha[65];
    nn_sha256_hex(src->text, src->size, sha);
    nn_codegen_options opt = {
        .source_name = src->name, .source_sha256 = sha, .dataset = nn_opt(a, "data")};
    NN_BUF code = {0};
    nn_status s = nn_codegen(b, u->graph, &opt, &code, err);
    if (s) return s;
    const char *out = nn_opt(a, "output");
    bool dry = nn_opt_given(a, "dry-run");
    if (dry) puts("Generated code (dry run):");
    if (dry || (out && strcmp(out, "-") == 0)) return nn_print(nn_buf_str(&code), code.n, err);
    if (!out)
        out = nn_cli_beside(arena, a->operands[0],
                            nn_arena_printf(arena, "_%s.%s", b->name, b->extension));
    s = nn_file_write(out, nn_buf_str(&code), code.n, err);
    if (s) return s;
    int lines = 0;
    for (size_t i = 0; i < code.n; i++) lines += code.p[i] == '\n';
    printf("wrote %s (%s, %d lines)\n", out, b->summary, lines);
    return NN_OK;
}

static nn_status run_compile(const nn_args *a, nn_err *err) {
    const nn_backend *b;
    const char *name = nn_opt(a, "backend");
    nn_status s = find_backend(name ? name : "pytorch", &b, err);
    if (s) return s;
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "compile", (size_t)2 << 30);
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    if (!s) s = nn_unit_whole(u, err);
    if (s) return s;
    NN_BUF text = {0};
    nn_diags *more = nn_diags_new(arena, &src);
    nn_unit_defaults(u, more);
    nn_diags_print(more, nn_colour(stderr), &text);
    fputs(nn_buf_str(&text), stderr);
    return emit(arena, a, b, &src, u, err);
}

/* clang-format off */
static const nn_option compile_options[] = {
    {"backend", 'b', "NAME", "what to generate: pytorch (default)", NULL},
    {"output",  'o', "FILE", "where to write; - is standard output (default FILE_BACKEND.py)", NULL},
    {"data",    0,   "SET",  "data set that the generated program trains on by default", NULL},
    {"dry-run", 0,   NULL,   "print the code, write nothing", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {0}
};
/* clang-format on */
const nn_command nn_command_compile = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = compile_options,
    .run = run_compile,
    .description = "A program with search points needs a value for each: --set PATH=VALUE.",
    .examples = "  neural compile net.neural --backend pytorch -o net.py"};
