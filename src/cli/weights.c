/* SPDX-License-Identifier: MIT */
/* weights.c - weights travel: a model's to a PyTorch state_dict, an ONNX file or a Keras model, and
 * a state_dict's back. */
#include "base/file.h"
#include "cli/cli.h"
#include "codegen/backend.h"
#include "codegen/state.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- export ---- */

typedef struct exporting {
    nn_arena *arena;
    const nn_model *model;
    const char *in, *out;
} exporting;

/* The bytes of one tensor of the state. */
static const void *tensor_data(const exporting *x, const nn_torch_tensor *t, size_t *ret_bytes) {
    static const int64_t none;
    int64_t n = nn_shape_elements(&t->shape);
    *ret_bytes = t->counter ? sizeof none : (size_t)n * sizeof(float);
    if (t->counter) return &none;
    float *p = nn_arena_array(x->arena, (size_t)n + 1, sizeof *p);
    for (int64_t i = 0; p && i < n; i++)
        p[i] = t->weight < 0 ? (float)t->fixed
                             : x->model->weights[nn_torch_state_place(x->model->graph, t, i)];
    return p;
}

static nn_status export_state(const exporting *x, const char *backend, nn_err *err) {
    nn_torch_state state;
    char sha256[65];
    (void)backend;
    nn_status s = nn_torch_state_of(x->model->graph, x->arena, &state, err);
    if (s) return s;
    nn_tensor *tensors = nn_arena_array(x->arena, (size_t)state.n + 1, sizeof *tensors);
    for (int i = 0; tensors && i < state.n; i++) {
        const nn_torch_tensor *t = &state.at[i];
        tensors[i] = (nn_tensor){.name = t->name, .dtype = t->counter ? "I64" : "F32"};
        tensors[i].shape = t->shape;
        tensors[i].data = tensor_data(x, t, &tensors[i].bytes);
        if (!tensors[i].data) tensors = NULL;
    }
    if (!tensors) return nn_fail(err, NN_E_LIMIT, "%s: more weights than fit in memory", x->in);
    NN_JSON *metadata = nn_json_new_object();
    nn_json_set(metadata, "format", nn_json_new_str("pt")); /* what PyTorch's loaders ask for */
    s = nn_safetensors_write(x->out, tensors, state.n, metadata, sha256, err);
    if (!s) printf("wrote %s (a state_dict of %d tensors)\n", x->out, state.n);
    return s;
}

/* Takes the further files of a backend: each beside the main one. */
static nn_status put_beside(void *arg, const char *end, const void *p, size_t n, nn_err *err) {
    const exporting *x = arg;
    const char *path = nn_cli_beside(x->arena, x->out, end);
    nn_status s = nn_file_write(path, p, n, err);
    char size[32];
    if (!s) printf("wrote %s (%s)\n", path, nn_print_bytes((int64_t)n, size));
    return s;
}

static nn_status export_code(const exporting *x, const char *backend, nn_err *err) {
    const nn_backend *b = nn_backend_find(backend);
    const char *slash = strrchr(x->out, '/');
    if (!b) return nn_fail(err, NN_E_UNSUPPORTED, "this program does not write %s", backend);
    nn_codegen_options o = {.source_name = x->in,
                            .weights = x->model->weights,
                            .file = put_beside,
                            .file_arg = (void *)x,
                            .file_stem = nn_cli_beside(x->arena, slash ? slash + 1 : x->out, "")};
    NN_BUF code = {0};
    char size[32];
    nn_status s = nn_codegen(b, x->model->graph, &o, &code, err);
    if (!s) s = nn_file_write(x->out, nn_buf_str(&code), code.n, err);
    if (!s)
        printf("wrote %s (%s, %s)\n", x->out, b->summary, nn_print_bytes((int64_t)code.n, size));
    return s;
}

static const struct format {
    const char *name, *end, *backend;
    nn_status (*run)(const exporting *x, const char *backend, nn_err *err);
} formats[] = {
    {"pytorch", "_pytorch.safetensors", "pytorch",    export_state},
    {"onnx",    ".onnx",                "onnx",       export_code },
    {"keras",   "_keras.json",          "keras-json", export_code },
};

static nn_status run_export(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "export", (size_t)16 << 30);
    __attribute__((cleanup(nn_model_freep))) nn_model *m = NULL;
    const char *name = nn_opt(a, "format"), *out = nn_opt(a, "output");
    const struct format *f = formats;
    while (name && strcmp(f->name, name) != 0) f++; /* the parser knows the words */
    nn_status s = nn_model_load(a->operands[0], &m, err);
    if (s) return s;
    exporting x = {arena, m, a->operands[0],
                   out ? out : nn_cli_beside(arena, a->operands[0], f->end)};
    return f->run(&x, f->backend, err);
}

/* ---- import ---- */

/* Says on standard error what is wrong with each name; counts them. */
typedef struct complaints {
    int missing, unexpected, misfits;
} complaints;

static bool same_shape(const nn_tensor *have, const nn_torch_tensor *want) {
    const char *dtype = want->counter ? "I64" : "F32";
    return strcmp(have->dtype, dtype) == 0 && nn_shape_equal(&have->shape, &want->shape);
}

static void complain_misfit(const nn_tensor *have, const nn_torch_tensor *want) {
    char a[96], b[96];
    fprintf(stderr, "does not fit: %s is %s %s, expected %s %s\n", want->name, have->dtype,
            nn_shape_print(&have->shape, false, a, sizeof a), want->counter ? "I64" : "F32",
            nn_shape_print(&want->shape, false, b, sizeof b));
}

/* What our network has no place for must be what PyTorch's module keeps it at. */
static bool holds_fixed(const nn_tensor *have, const nn_torch_tensor *want) {
    const float *p = have->data;
    for (size_t i = 0; !want->counter && i < have->bytes / sizeof *p; i++)
        if (p[i] != (float)want->fixed) return false;
    return true;
}

static void check_wanted(const nn_safetensors *file, const nn_torch_tensor *want, complaints *c) {
    const nn_tensor *have = nn_safetensors_find(file, want->name);
    char shape[96];
    if (have && !same_shape(have, want)) {
        complain_misfit(have, want);
        c->misfits++;
    } else if (have && want->weight < 0 && !holds_fixed(have, want)) {
        fprintf(stderr,
                "does not fit: %s is not %g everywhere, and the network has no such weight\n",
                want->name, want->fixed);
        c->misfits++;
    } else if (!have && want->weight >= 0) {
        fprintf(stderr, "missing: %s %s\n", want->name,
                nn_shape_print(&want->shape, false, shape, sizeof shape));
        c->missing++;
    }
}

static bool is_wanted(const nn_torch_state *state, const char *name) {
    for (int i = 0; i < state->n; i++)
        if (strcmp(state->at[i].name, name) == 0) return true;
    return false;
}

static nn_status check_names(const nn_safetensors *file, const nn_torch_state *state,
                             const char *path, nn_err *err) {
    complaints c = {0};
    for (int i = 0; i < state->n; i++) check_wanted(file, &state->at[i], &c);
    const nn_tensor *t;
    for (int i = 0; (t = nn_safetensors_at(file, i)); i++) {
        if (is_wanted(state, t->name)) continue;
        fprintf(stderr, "unexpected: %s\n", t->name);
        c.unexpected++;
    }
    if (!c.missing && !c.unexpected && !c.misfits) return NN_OK;
    nn_status s = nn_fail(err, NN_E_MODEL_FILE_ERROR,
                          "%s: not the weights of this network: %d missing, %d unexpected, %d that "
                          "do not fit",
                          path, c.missing, c.unexpected, c.misfits);
    return nn_err_hint(err, s,
                       "names are those of the module that `neural compile --backend "
                       "pytorch` writes");
}

static void take_weights(const nn_safetensors *file, const nn_torch_state *state, nn_model *m) {
    for (int i = 0; i < state->n; i++) {
        const nn_torch_tensor *t = &state->at[i];
        if (t->weight < 0) continue;
        const float *p = nn_safetensors_find(file, t->name)->data;
        for (int64_t e = 0; e < nn_shape_elements(&t->shape); e++)
            m->weights[nn_torch_state_place(m->graph, t, e)] = p[e];
    }
    nn_json_unref(m->certificate); /* both are of other weights */
    nn_json_unref(m->summary);
    m->certificate = m->summary = NULL;
}

static nn_status model_of_program(const nn_args *a, nn_arena *arena, const char *path,
                                  nn_model **ret, nn_err *err) {
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_graph *graph = NULL;
    nn_compile_options opt;
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, path, &opt, false, &src, &diags, &u, err);
    if (!s) s = nn_unit_runnable(u, err);
    if (s) return s;
    NN_JSON *json = nn_graph_json(u->graph); /* the model outlives the unit */
    s = nn_graph_read(json, NULL, &graph, err);
    if (!s) s = nn_model_new(graph, ret, err);
    if (!s && !((*ret)->source = strndup(src.text, src.size))) abort();
    return s;
}

static bool is_model(const char *path) {
    size_t n = strlen(path);
    return n > 12 && strcmp(path + n - 12, ".safetensors") == 0;
}

static nn_status import_into(const nn_args *a, nn_arena *arena, const char *into,
                             const nn_safetensors *file, nn_err *err) {
    __attribute__((cleanup(nn_model_freep))) nn_model *m = NULL;
    nn_torch_state state;
    const char *out = nn_opt(a, "output");
    nn_status s =
        is_model(into) ? nn_model_load(into, &m, err) : model_of_program(a, arena, into, &m, err);
    if (!s) s = nn_torch_state_of(m->graph, arena, &state, err);
    if (!s) s = check_names(file, &state, a->operands[0], err);
    if (s) return s;
    take_weights(file, &state, m);
    if (!out) out = is_model(into) ? into : nn_cli_beside(arena, into, ".safetensors");
    s = nn_model_save(m, out, err);
    if (!s) printf("wrote %s (%d tensors of %s)\n", out, state.n, a->operands[0]);
    return s;
}

nn_status nn_cli_import_weights(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "import", (size_t)2 << 30);
    nn_safetensors *file = NULL;
    nn_status s = nn_safetensors_open(a->operands[0], &file, err);
    if (s) return s;
    s = import_into(a, arena, nn_opt(a, "into"), file, err);
    nn_safetensors_close(file);
    return s;
}

/* clang-format off */
static const nn_option export_options[] = {
    {"format", 'f', "NAME", "pytorch (default): a state_dict; onnx; keras: model.json and its weights", "pytorch|onnx|keras"},
    {"output", 'o', "FILE", "where to write (default: beside MODEL)", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_export = {
    .operands = "MODEL",
    .min_operands = 1,
    .max_operands = 1,
    .options = export_options,
    .run = run_export,
    .description =
        "pytorch: a .safetensors file with the names and layouts of the module that `neural compile --backend pytorch`\n"
        "writes, for load_state_dict(strict=True); `neural import --into` brings such a file back.",
    .examples =
        "  neural export fashion.safetensors --format pytorch -o fashion_pytorch.safetensors\n"
        "  neural export fashion.safetensors --format onnx"};
