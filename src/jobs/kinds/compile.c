/* SPDX-License-Identifier: MIT */
/* compile: program text to a backend's code and a stored model (rest-api.md 12.2). */
#include "base/file.h"
#include "base/hash.h"
#include "codegen/backend.h"
#include "compile/space.h"
#include "jobs/jobs_impl.h"
#include "jobs/render.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_CAP = 256 << 20 };

static const nn_member members[] = {
    {"dsl_code",                                                                                             NN_STRING, .required = true, .min = 1, .max = 1 << 20,
     .help = "the network, in either surface form"},
    {"backend",                                                                                      NN_STRING, .max = 64,
     .help =
         "what to generate: tensorflow (default; also tf, keras), pytorch (torch), onnx, keras-json (tfjs)"},
    {"dataset",                                                                                        NN_STRING, .max = 4096,
     .help = "data set of the generated program (default MNIST)"},
    {"auto_flatten_output",                                                                                                      NN_BOOLEAN,
     .help = "insert Flatten before Dense or Output where the rank asks for it"},
    {"enable_hpo",        NN_BOOLEAN, .help = "also describe the search space"},
    {"parser_type", NN_STRING, .one_of = "network research", .help = "what the text is"},
    NN_MEMBER_REQUEST,
    {0                                                                                             }
};
const nn_schema nn_request_compile = {"CompileRequest", members,
                                      .help = "a network to generate code from"};

static const char *backend_of(const nn_json *request) {
    return nn_json_str(nn_json_get(request, "backend"), "tensorflow");
}

static const char *dataset_of(const nn_json *request) {
    return nn_json_str(nn_json_get(request, "dataset"), "MNIST");
}

/* Words of the wire contract that this program has no generator for. */
static bool has_no_generator(const char *backend) {
    return strcmp(backend, "c") == 0;
}

static nn_status check_backend(const char *backend, nn_json *problems, nn_err *err) {
    NN_BUF names = {0};
    if (nn_backend_choose(backend, &names)) return NN_OK;
    if (!has_no_generator(backend)) {
        nn_schema_violation(problems, "body", "backend", "unknown_value",
                            "'%.60s' is not a backend; there are %.200s", backend,
                            nn_buf_str(&names));
        return NN_OK;
    }
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED,
                          "backend: this program does not generate code for '%s'", backend);
    return nn_err_hint(err, s, "there are %.200s", nn_buf_str(&names));
}

static nn_status check(nn_jobs *j, const nn_json *request, nn_json *problems, nn_json *warnings,
                       nn_err *err) {
    NN_BUF names = {0};
    (void)j;
    if (nn_json_size(problems)) return NN_OK;
    nn_status s = check_backend(backend_of(request), problems, err);
    if (s || nn_json_size(problems)) return s;
    if (!nn_dataset_is_known(dataset_of(request), &names)) {
        NN_BUF text = {0};
        nn_buf_printf(&text, "dataset: '%.80s' is not known here; known are %s",
                      dataset_of(request), nn_buf_str(&names));
        nn_json_push(warnings, nn_json_new_str(nn_buf_str(&text)));
    }
    return NN_OK;
}

static nn_status describe(nn_jobs *j, const nn_json *request, nn_operation *op, nn_json *warnings,
                          nn_err *err) {
    (void)j;
    (void)warnings;
    (void)err;
    op->backend = strdup(nn_backend_find(backend_of(request))->name);
    if (!op->backend) abort();
    return NN_OK;
}

/* "MyNet" and pytorch give "my_net_pytorch". */
static const char *file_stem(nn_arena *a, const char *network, const nn_backend *b) {
    NN_BUF out = {0};
    for (const char *p = *network ? network : "model"; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool word = isalnum(c) && c < 0x80,
             hump = isupper(c) && p > network && islower((unsigned char)p[-1]);
        if (hump) nn_buf_putc(&out, '_');
        nn_buf_putc(&out, word ? (char)tolower(c) : '_');
    }
    return nn_arena_printf(a, "%.200s_%s", nn_buf_str(&out), b->name);
}

static nn_status keep(const nn_run *r, nn_arena *a, const char *name, const char *kind,
                      const nn_buf *bytes, nn_err *err) {
    nn_status s = nn_file_write(nn_arena_printf(a, "%s/%s", r->folder, name), nn_buf_str(bytes),
                                bytes->n, err);
    if (s == NN_OK && r->report.artifact) r->report.artifact(r->report.ctx, name, name, kind);
    return s;
}

/* The main file first: `finish` goes by that. */
static nn_status keep_files(const nn_run *r, nn_arena *a, const nn_backend *b, const char *stem,
                            const char *name, const nn_rendering *files, nn_err *err) {
    const char *kind = b->weights ? "model" : "code";
    if (!r->folder) return NN_OK;
    nn_status s = keep(r, a, name, kind, nn_rendering_main(files), err);
    for (int i = 0; i < files->n_more && s == NN_OK; i++)
        s = keep(r, a, nn_arena_printf(a, "%s%s", stem, files->more[i].end), kind,
                 &files->more[i].bytes, err);
    return s;
}

static nn_status generate(const nn_run *r, const nn_unit *u, nn_arena *a, nn_json *result,
                          nn_err *err) {
    const nn_backend *b = nn_backend_find(backend_of(r->request));
    const char *stem = file_stem(a, u->graph->name, b), *dot = *b->extension == '.' ? "" : ".";
    const char *name = nn_arena_printf(a, "%s%s%s", stem, dot, b->extension);
    const char *source = nn_json_str(nn_json_get(r->request, "dsl_code"), "");
    char sha[65];
    NN_RENDERING files = {0};
    nn_codegen_options opt = {.dataset = dataset_of(r->request), .file_stem = stem};
    if (b->weights) { /* two programs with other seeds may give one description */
        nn_sha256_hex(source, strlen(source), sha);
        opt.source_sha256 = sha;
    }
    nn_status s = nn_render(b, u->graph, &opt, &files, err);
    if (s != NN_OK) return s;
    nn_json_set(result, "status", nn_json_new_str("completed"));
    nn_json_set(result, "compiled_code", nn_json_new_strn(nn_buf_str(&files.text), files.text.n));
    nn_json_set(result, "output_file", nn_json_new_str(name));
    nn_json_set(result, "backend", nn_json_new_str(b->name));
    nn_json_set(result, "dataset", nn_json_new_str(opt.dataset));
    nn_json_set(result, "network", nn_registry_network(u->graph, u->n_layers));
    if (nn_json_bool(nn_json_get(r->request, "enable_hpo"), false))
        nn_json_set(result, "search_space", nn_space_json(u));
    return keep_files(r, a, b, stem, name, &files, err);
}

static nn_status run(const nn_run *r, nn_json **ret_result, nn_json **ret_details, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "compile", ARENA_CAP);
    const char *text = nn_json_str(nn_json_get(r->request, "dsl_code"), "");
    nn_source src = {"<dsl_code>", text, strlen(text)};
    nn_compile_options opt = {
        .auto_flatten = nn_json_bool(nn_json_get(r->request, "auto_flatten_output"), false)};
    nn_diags *diags = nn_diags_new(a, &src);
    nn_unit *unit = NULL;
    nn_status s = nn_compile(a, &src, &opt, diags, &unit, err);
    if (s == NN_OK) s = nn_unit_whole(unit, err);
    if (s == NN_OK) nn_unit_defaults(unit, diags);
    NN_JSON *found = nn_diags_json(diags), *result = nn_json_new_object();
    nn_run_warnings(found, r->report.warning, r->report.ctx);
    if (s == NN_OK) s = generate(r, unit, a, result, err);
    nn_json *holder = s == NN_OK ? result : nn_json_new_object();
    nn_json_set(holder, "diagnostics", nn_json_ref(found));
    if (s == NN_OK)
        *ret_result = nn_json_ref(result);
    else
        *ret_details = holder;
    return s;
}

/* What the run kept, the main file first. */
static int list_files(const nn_json *artifacts, const nn_backend *b,
                      nn_registry_file ret[1 + NN_RENDER_FILES]) {
    int n = 0;
    for (size_t i = 0; i < nn_json_size(artifacts) && n < 1 + NN_RENDER_FILES; i++) {
        const nn_json *file = nn_json_at(artifacts, i);
        ret[n++] = (nn_registry_file){.name = nn_json_str(nn_json_get(file, "name"), ""),
                                      .kind = "rendering",
                                      .backend = b->name,
                                      .media_type = i ? NULL : b->media_type,
                                      .sha256 = nn_json_str(nn_json_get(file, "sha256"), ""),
                                      .size = nn_json_int(nn_json_get(file, "size"), 0)};
    }
    return n;
}

static nn_status finish(nn_txn *t, nn_finish *f, nn_err *err) {
    const nn_json *network = nn_json_get(f->result, "network");
    const char *backend = nn_json_str(nn_json_get(f->result, "backend"), NULL);
    nn_registry_file files[1 + NN_RENDER_FILES];
    int n = list_files(f->artifacts, nn_backend_find(backend), files);
    nn_registry_spec spec = {.name = nn_json_str(nn_json_get(f->op->request, "name"), NULL),
                             .backend = backend,
                             .network = network,
                             .source = nn_json_str(nn_json_get(f->op->request, "dsl_code"), NULL),
                             .operation_id = f->op->id,
                             .files = files,
                             .n_files = n,
                             .now = f->now};
    char id[37];
    nn_status s = nn_registry_add(t, &spec, id, NULL, err);
    if (s != NN_OK) return s;
    nn_json_del(f->result, "network");
    nn_json_set(f->result, "model_id", nn_json_new_str(id));
    return NN_OK;
}

const nn_kind nn_kind_compile = {
    .name = "compile",
    .summary = "program text to a backend's code",
    .request = &nn_request_compile,
    .timeout_s = 60,
    .check = check,
    .describe = describe,
    .run = run,
    .finish = finish,
};
