/* SPDX-License-Identifier: MIT */
/* language.c - check, shapes and compile: what needs a network's text and nothing else. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "codegen/backend.h"

#include <inttypes.h>
#include <string.h>

char *nn_cli_beside(nn_arena *arena, const char *path, const char *end) {
    if (strcmp(path, "-") == 0) path = "network";
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int stem = dot && dot > (slash ? slash + 1 : path) ? (int)(dot - path) : (int)strlen(path);
    return nn_arena_printf(arena, "%.*s%s", stem, path, end);
}

nn_status nn_cli_compile(nn_arena *arena, const char *path, const nn_compile_options *opt,
                         bool quiet, nn_source *ret_source, nn_diags **ret_diags, nn_unit **ret,
                         nn_err *err) {
    nn_source *src = NN_NEW(arena, nn_source);
    nn_status s = nn_source_read(arena, path, src, err);
    if (s) return s;
    nn_diags *diags = nn_diags_new(arena, src);
    *ret_source = *src;
    *ret_diags = diags;
    s = nn_compile(arena, src, opt, diags, ret, err);
    if (quiet) return s;
    NN_BUF text = {0};
    nn_diags_print(diags, nn_colour(stderr), &text);
    fputs(nn_buf_str(&text), stderr);
    if (s == NN_E_DSL_ERROR)
        return nn_fail(err, s, "%s: %d error%s", src->name, diags->errors,
                       diags->errors == 1 ? "" : "s");
    return s;
}

static nn_json *shape_json(const nn_shape *s) {
    nn_json *dims = nn_json_new_array();
    nn_json_push(dims, nn_json_new_null()); /* the batch */
    for (int i = 0; i < s->rank; i++)
        nn_json_push(dims, s->dim[i] < 0 ? nn_json_new_null() : nn_json_new_int(s->dim[i]));
    return dims;
}

static nn_json *count_json(int64_t n) {
    return n < 0 ? nn_json_new_null() : nn_json_new_int(n);
}

static nn_json *unit_json(const nn_unit *u) {
    nn_json *o = nn_json_new_object(), *layers = nn_json_new_array();
    nn_json_set(o, "network", nn_json_new_str(u->graph->name));
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        nn_json *row = nn_json_new_object();
        nn_json_set(row, "name", nn_json_new_str(l->name));
        nn_json_set(row, "layer", nn_json_new_str(l->type));
        nn_json_set(row, "line", nn_json_new_int(l->span.line));
        nn_json_set(row, "input_shape", shape_json(&l->in));
        nn_json_set(row, "output_shape", shape_json(&l->out));
        nn_json_set(row, "parameters", nn_json_new_int(l->params));
        nn_json_set(row, "trainable", nn_json_new_int(l->trainable));
        nn_json_set(row, "flops", count_json(l->flops));
        nn_json_push(layers, row);
    }
    nn_json_set(o, "layers", layers);
    nn_json_set(o, "parameters", nn_json_new_int(u->params));
    nn_json_set(o, "trainable", nn_json_new_int(u->trainable));
    nn_json_set(o, "flops", count_json(u->flops));
    return o;
}

static nn_status print_json(nn_json *v, nn_err *err) {
    NN_BUF out = {0};
    nn_json_dump(v, 2, &out);
    nn_buf_putc(&out, '\n');
    nn_json_unref(v);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* ---- check ---- */

static nn_json *check_json(const char *path, const nn_diags *diags, const nn_unit *u,
                           const nn_err *err) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "file", nn_json_new_str(path));
    nn_json_set(o, "ok", nn_json_new_bool(u != NULL));
    nn_json_set(o, "error", u ? nn_json_new_null() : nn_json_new_str(err->msg));
    nn_json_set(o, "diagnostics", diags ? nn_diags_json(diags) : nn_json_new_array());
    if (u) nn_json_set(o, "network", unit_json(u));
    return o;
}

static nn_status check_one(const char *path, bool json, nn_json *results, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "check", (size_t)2 << 30);
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_status s = nn_cli_compile(arena, path, NULL, json, &src, &diags, &u, err);
    if (json) nn_json_push(results, check_json(path, diags, u, err));
    if (json || s) return s;
    char params[32];
    printf("%s: ok: %s, %d layers, %s parameters%s\n", path,
           u->graph->name[0] ? u->graph->name : "(unnamed)", u->n_layers,
           nn_print_count(u->params, params), diags->warnings ? ", with warnings" : "");
    return NN_OK;
}

static nn_status run_check(const nn_args *a, nn_err *err) {
    bool json = nn_opt_given(a, "json");
    nn_json *results = nn_json_new_array();
    nn_status worst = NN_OK;
    for (int i = 0; i < a->n_operands; i++) {
        nn_err e = {0};
        nn_status s = check_one(a->operands[i], json, results, &e);
        if (!s) continue;
        if (!json && a->n_operands > 1 && i + 1 < a->n_operands) nn_print_error(&e);
        worst = s;
        *err = e;
    }
    if (json) {
        nn_status s = print_json(nn_json_ref(results), err);
        if (s) worst = s;
        err->msg[0] = 0; /* the diagnostics are in the output */
    }
    nn_json_unref(results);
    return worst;
}

/* clang-format off */
static const nn_option check_options[] = {
    {"json", 0, NULL, "print diagnostics and shapes as JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_check = {
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = NN_CLI_OPERANDS,
    .options = check_options,
    .run = run_check,
    .description =
        "Parses each network, checks its parameters and shapes, and reports every error in one pass.\n"
        "FILE is a path, or - for standard input.",
    .examples = "  neural check examples/*.neural"};

/* ---- shapes ---- */

static void shape_row(nn_buf *out, int width, const char *name, const char *type, const char *shape,
                      int64_t params, int64_t flops) {
    char p[32], f[32];
    nn_buf_printf(out, "%-*s  %-22s  %-24s  %12s  %8s\n", width, name, type, shape,
                  nn_print_count(params, p), flops < 0 ? "?" : nn_print_si((double)flops, f));
}

static void shapes_table(const nn_unit *u, nn_buf *out) {
    int width = 5;
    for (int i = 0; i < u->n_layers; i++)
        if ((int)strlen(u->layers[i].name) > width) width = (int)strlen(u->layers[i].name);
    nn_buf_printf(out, "%-*s  %-22s  %-24s  %12s  %8s\n", width, "name", "layer", "output shape",
                  "parameters", "FLOPs");
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        char shape[128];
        shape_row(out, width, l->name, l->type, nn_shape_print(&l->out, true, shape, sizeof shape),
                  l->params, l->flops);
    }
    char total[32], frozen[32], flops[32];
    nn_buf_printf(out, "\nparameters: %s", nn_print_count(u->params, total));
    if (u->trainable != u->params)
        nn_buf_printf(out, " (%s not trained)", nn_print_count(u->params - u->trainable, frozen));
    nn_buf_printf(out, "; FLOPs for one sample: %s\n",
                  u->flops < 0 ? "?" : nn_print_si((double)u->flops, flops));
}

static nn_status run_shapes(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "shapes", (size_t)2 << 30);
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt = {.auto_flatten = nn_opt_given(a, "auto-flatten")};
    nn_status s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    if (s) return s;
    if (nn_opt_given(a, "json")) return print_json(unit_json(u), err);
    NN_BUF out = {0};
    if (nn_opt_given(a, "graph"))
        nn_graph_print(u->graph, &out);
    else
        shapes_table(u, &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* clang-format off */
static const nn_option shapes_options[] = {
    {"json",         0, NULL, "print JSON", NULL},
    {"graph",        0, NULL, "print the op graph that the layers lower to", NULL},
    {"auto-flatten", 0, NULL, "insert Flatten before Dense or Output where the rank asks for it", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_shapes = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = shapes_options,
    .run = run_shapes,
    .description = "FLOPs are multiply-accumulates times two, for one sample going forward.",
    .examples = "  neural shapes examples/fashion_cnn.neural"};

/* ---- compile ---- */

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
    nn_compile_options opt = {.auto_flatten = nn_opt_given(a, "auto-flatten")};
    s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    return s ? s : emit(arena, a, b, &src, u, err);
}

/* clang-format off */
static const nn_option compile_options[] = {
    {"backend",      'b', "NAME", "what to generate: pytorch (default)", NULL},
    {"output",       'o', "FILE", "where to write; - is standard output (default FILE_BACKEND.py)", NULL},
    {"data",         0,   "SET",  "data set that the generated program trains on by default", NULL},
    {"dry-run",      0,   NULL,   "print the code, write nothing", NULL},
    {"auto-flatten", 0,   NULL,   "insert Flatten before Dense or Output where the rank asks for it", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_compile = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = compile_options,
    .run = run_compile,
    .examples = "  neural compile net.neural --backend pytorch -o net.py"};
