/* SPDX-License-Identifier: MIT */
/* compile.c - a network to the code of a backend. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "codegen/backend.h"
#include "engine/engine.h"
#include "model/model.h"

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

/* Whether a model has the weights of this network, each of that name and shape. */
static nn_status check_weights(const nn_graph *g, const nn_graph *of, const char *path,
                               nn_err *err) {
    bool same = g->n_weights == of->n_weights && g->slab == of->slab;
    for (int i = 0; same && i < g->n_weights; i++)
        same = strcmp(g->weights[i].name, of->weights[i].name) == 0 &&
               nn_shape_equal(&g->weights[i].shape, &of->weights[i].shape);
    if (same) return NN_OK;
    return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%.200s has the weights of another network", path);
}

/* The slab that a backend writes: a model's, or initial ones by the program's seed. */
static nn_status take_weights(nn_arena *arena, const nn_args *a, const nn_graph *g,
                              const float **ret, nn_err *err) {
    const char *path = nn_opt(a, "weights");
    float *slab = nn_arena_array(arena, (size_t)(g->slab ? g->slab : 1), sizeof *slab);
    if (!slab) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the weights");
    *ret = slab;
    if (!path) return nn_weights_init(g, g->train.seeded ? g->train.seed : 0, slab, err);
    NN_AUTO(nn_model) *m = NULL;
    nn_status s = nn_model_load(path, &m, err);
    if (!s) s = check_weights(g, m->graph, path, err);
    if (!s) memcpy(slab, m->weights, (size_t)g->slab * sizeof *slab);
    return s;
}

/* Takes the further files of a backend: each beside the main one, whose path is arg. */
typedef struct beside {
    nn_arena *arena;
    const char *path;
} beside;

static nn_status write_beside(void *arg, const char *end, const void *p, size_t n, nn_err *err) {
    const beside *to = arg;
    const char *path = nn_cli_beside(to->arena, to->path, end);
    nn_status s = nn_file_write(path, p, n, err);
    char size[32];
    if (!s) printf("wrote %s (%s)\n", path, nn_print_bytes((int64_t)n, size));
    return s;
}

static nn_status emit(nn_arena *arena, const nn_args *a, const nn_backend *b, const nn_source *src,
                      const nn_unit *u, nn_err *err) {
    char sha[65];
    nn_sha256_hex(src->text, src->size, sha);
    nn_codegen_options opt = {
        .source_name = src->name, .source_sha256 = sha, .dataset = nn_opt(a, "data")};
    const char *out = nn_opt(a, "output");
    if (!out)
        out = nn_cli_beside(arena, a->operands[0],
                            nn_arena_printf(arena, "_%s.%s", b->name, b->extension));
    bool dry = nn_opt_given(a, "dry-run");
    bool binary = strncmp(b->media_type, "text/", 5) != 0 && strcmp(b->extension, "json") != 0;
    beside to = {arena, out};
    if (!dry && strcmp(out, "-") != 0) {
        const char *slash = strrchr(out, '/');
        opt.file = write_beside;
        opt.file_arg = &to;
        opt.file_stem = nn_cli_beside(arena, slash ? slash + 1 : out, "");
    }
    NN_BUF code = {0};
    nn_status s = b->weights ? take_weights(arena, a, u->graph, &opt.weights, err) : NN_OK;
    if (!s) s = nn_codegen(b, u->graph, &opt, &code, err);
    if (s) return s;
    if (dry && binary) {
        printf("%s: %zu bytes (dry run)\n", b->summary, code.n);
        return NN_OK;
    }
    if (dry) puts("Generated code (dry run):");
    if (dry || strcmp(out, "-") == 0) return nn_print(nn_buf_str(&code), code.n, err);
    s = nn_file_write(out, nn_buf_str(&code), code.n, err);
    if (s) return s;
    if (binary) {
        char size[32];
        printf("wrote %s (%s, %s)\n", out, b->summary, nn_print_bytes((int64_t)code.n, size));
        return NN_OK;
    }
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
    {"backend", 'b', "NAME", "what to generate: pytorch (default), tensorflow, keras-json, onnx", NULL},
    {"output",  'o', "FILE", "where to write; - is standard output (default FILE_BACKEND.py)", NULL},
    {"data",    0,   "SET",  "data set that the generated program trains on by default", NULL},
    {"weights", 'w', "MODEL", "weights of this model, not initial ones (backends that write weights)", NULL},
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
