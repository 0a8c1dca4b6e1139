/* SPDX-License-Identifier: MIT */
/* verifiers.c - the rows: engines, and code generators with what runs their files. */
#include "base/file.h"
#include "codegen/backend.h"
#include "model/model.h"
#include "suite/child.h"
#include "suite/runners.h"
#include "suite/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_S 600.0

/* ---- engines ---- */

static void engine_probe(const nn_verifier *v, nn_verify_slot *s) {
    const char *why = "it does not say why";
    snprintf(s->version, sizeof s->version, "%s", NN_VERSION);
    s->available = nn_engine_find(v->name)->available(&why);
    if (!s->available) snprintf(s->reason, sizeof s->reason, "%s", why);
}

static nn_status engine_run(const nn_verifier *v, nn_verify_slot *slot, const nn_verify_case *c,
                            float *const *y, nn_err *err) {
    const nn_engine *e = nn_engine_find(v->name);
    const nn_graph *g = c->graph;
    nn_exec_options o = {.batch = c->rows, .threads = 1};
    __attribute__((cleanup(nn_exec_closep))) nn_exec *x = NULL;
    (void)slot;
    nn_status s = e->open(g, &o, &x, err);
    if (s) return s;
    e->set_weights(x, c->weights);
    for (int i = 0; i < g->n_inputs; i++)
        memcpy(e->input(x, i), c->inputs[i],
               (size_t)(c->rows * nn_shape_elements(&g->nodes[g->inputs[i]].shape)) * sizeof **y);
    s = e->forward(x, c->rows, err);
    for (int i = 0; !s && i < g->n_outputs; i++)
        memcpy(y[i], e->output(x, i),
               (size_t)(c->rows * nn_shape_elements(&g->nodes[g->outputs[i]].shape)) * sizeof **y);
    return s;
}

/* ---- programs that run generated files ---- */

/* Whether the interpreter has the package; its version. */
static bool has_package(const nn_runner *r, const char *interpreter, char *version, size_t cap) {
    const char *const argv[] = {interpreter, r->eval, r->probe, NULL};
    nn_child *c;
    NN_BUF out = {0};
    if (nn_child_start(argv, &c, NULL) != NN_OK || nn_child_end(c, 60, &out) != 0) return false;
    const char *text = nn_buf_str(&out);
    snprintf(version, cap, "%s %.*s", r->package, (int)strcspn(text, "\n"), text);
    return true;
}

static void generator_probe(const nn_verifier *v, nn_verify_slot *s) {
    const nn_runner *r = v->runner;
    if (!nn_backend_find(v->backend)) {
        snprintf(s->reason, sizeof s->reason, "this program has no code generator '%s'",
                 v->backend);
        return;
    }
    for (const char *const *p = r->interpreters; *p && !s->available; p++) {
        s->interpreter = *p;
        s->available = has_package(r, *p, s->version, sizeof s->version);
    }
    if (!s->available)
        snprintf(s->reason, sizeof s->reason, "%s is not installed: %s", r->package, r->install);
}

static nn_status put_file(const char *folder, const char *name, const void *p, size_t n,
                          nn_err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return nn_file_write(path, p, n, err);
}

/* A generator's further files: "model" and their end. */
static nn_status put_more(void *arg, const char *end, const void *p, size_t n, nn_err *err) {
    char name[256];
    snprintf(name, sizeof name, "model%s", end);
    return put_file(arg, name, p, n, err);
}

static nn_status write_model(const nn_verifier *v, const nn_verify_case *c, char name[64],
                             nn_err *err) {
    const nn_backend *b = nn_backend_find(v->backend);
    nn_codegen_options o = {.source_name = "model",
                            .weights = b->weights ? c->weights : NULL,
                            .file = put_more,
                            .file_arg = (void *)c->folder};
    NN_BUF code = {0};
    nn_status s = nn_codegen(b, c->graph, &o, &code, err);
    snprintf(name, 64, "model.%s", b->extension);
    return s ? s : put_file(c->folder, name, nn_buf_str(&code), code.n, err);
}

static nn_status write_weights(const nn_verify_case *c, nn_err *err) {
    const nn_graph *g = c->graph;
    char path[4096], sha256[65];
    nn_tensor *t = calloc((size_t)g->n_weights + 1, sizeof *t);
    if (!t) abort();
    for (int i = 0; i < g->n_weights; i++)
        t[i] = (nn_tensor){.name = g->weights[i].name,
                           .dtype = "F32",
                           .shape = g->weights[i].shape,
                           .data = c->weights + g->weights[i].offset,
                           .bytes = (size_t)g->weights[i].elements * sizeof(float)};
    snprintf(path, sizeof path, "%s/weights.safetensors", c->folder);
    nn_status s = nn_safetensors_write(path, t, g->n_weights, NULL, sha256, err);
    free(t);
    return s;
}

static nn_status write_input(const nn_verify_case *c, int i, nn_jw *w, nn_err *err) {
    const nn_shape *shape = &c->graph->nodes[c->graph->inputs[i]].shape;
    char name[32], path[4096];
    snprintf(name, sizeof name, "in.%d", i);
    snprintf(path, sizeof path, "%s/%s", c->folder, name);
    nn_jw_obj(w);
    nn_jw_key(w, "file");
    nn_jw_str(w, path);
    nn_jw_key(w, "dims");
    nn_jw_arr(w);
    nn_jw_int(w, c->rows);
    for (int k = 0; k < shape->rank; k++) nn_jw_int(w, shape->dim[k]);
    nn_jw_end_arr(w);
    nn_jw_end_obj(w);
    return put_file(c->folder, name, c->inputs[i],
                    (size_t)(c->rows * nn_shape_elements(shape)) * sizeof(float), err);
}

static void put_path(nn_jw *w, const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    nn_jw_str(w, path);
}

static nn_status write_request(const nn_verify_case *c, const char *model, nn_buf *out,
                               nn_err *err) {
    nn_jw w = {.out = out};
    nn_status s = NN_OK;
    nn_jw_obj(&w);
    nn_jw_key(&w, "model");
    put_path(&w, c->folder, model);
    nn_jw_key(&w, "weights");
    put_path(&w, c->folder, "weights.safetensors");
    nn_jw_key(&w, "inputs");
    nn_jw_arr(&w);
    for (int i = 0; !s && i < c->graph->n_inputs; i++) s = write_input(c, i, &w, err);
    nn_jw_end_arr(&w);
    nn_jw_key(&w, "outputs");
    nn_jw_arr(&w);
    for (int i = 0; i < c->graph->n_outputs; i++) {
        char name[32];
        snprintf(name, sizeof name, "out.%d", i);
        put_path(&w, c->folder, name);
    }
    nn_jw_end_arr(&w);
    nn_jw_end_obj(&w);
    return s;
}

/* Output i as the script left it. */
static nn_status read_output(const nn_verify_case *c, const nn_json *reply, int i, float *y,
                             nn_err *err) {
    const nn_node *n = &c->graph->nodes[c->graph->outputs[i]];
    const nn_json *dims = nn_json_get(nn_json_at(nn_json_get(reply, "outputs"), (size_t)i), "dims");
    size_t want = (size_t)(c->rows * nn_shape_elements(&n->shape)) * sizeof *y;
    bool same = nn_json_size(dims) == (size_t)n->shape.rank + 1 &&
                nn_json_int(nn_json_at(dims, 0), -1) == c->rows;
    for (int k = 0; same && k < n->shape.rank; k++)
        same = nn_json_int(nn_json_at(dims, (size_t)k + 1), -1) == n->shape.dim[k];
    NN_BUF have = {0}, bytes = {0};
    char path[4096], shape[128];
    if (!same) {
        nn_json_dump(dims, 0, &have);
        return nn_fail(err, NN_E_BAD_GATEWAY, "the output '%s' has the shape %.100s, expected %s",
                       n->layer_name, nn_buf_str(&have),
                       nn_shape_print(&n->shape, true, shape, sizeof shape));
    }
    snprintf(path, sizeof path, "%s/out.%d", c->folder, i);
    nn_status s = nn_file_read(path, want + 1, &bytes, err);
    if (!s && bytes.n != want)
        s = nn_fail(err, NN_E_BAD_GATEWAY, "%zu bytes for '%s', expected %zu", bytes.n,
                    n->layer_name, want);
    if (!s) memcpy(y, bytes.p, want);
    return s;
}

static nn_status start(const nn_runner *r, nn_verify_slot *slot, nn_err *err) {
    const char *const argv[] = {slot->interpreter, r->eval, r->script, NULL};
    return slot->child ? NN_OK : nn_child_start(argv, &slot->child, err);
}

/* A child that fell silent is not asked again. */
static nn_status ask(const nn_runner *r, nn_verify_slot *slot, const char *request,
                     nn_json **ret_reply, nn_err *err) {
    NN_BUF line = {0};
    nn_status s = start(r, slot, err);
    if (!s) s = nn_child_ask(slot->child, request, LIMIT_S, &line, err);
    if (!s) s = nn_json_parse(nn_buf_str(&line), line.n, ret_reply, err);
    if (s) {
        nn_child_free(slot->child);
        slot->child = NULL;
        return s;
    }
    const char *text = nn_json_str(nn_json_get(*ret_reply, "error"), NULL);
    return text ? nn_fail(err, NN_E_BAD_GATEWAY, "%s: %.400s", r->package, text) : NN_OK;
}

static nn_status generator_run(const nn_verifier *v, nn_verify_slot *slot, const nn_verify_case *c,
                               float *const *y, nn_err *err) {
    char model[64];
    NN_BUF request = {0};
    NN_JSON *reply = NULL;
    nn_status s = write_model(v, c, model, err);
    if (!s) s = write_weights(c, err);
    if (!s) s = write_request(c, model, &request, err);
    if (!s) s = ask(v->runner, slot, nn_buf_str(&request), &reply, err);
    for (int i = 0; !s && i < c->graph->n_outputs; i++) s = read_output(c, reply, i, y[i], err);
    return s;
}

/* ---- the rows ---- */

static const nn_verifier nn_verifier_reference = {
    .name = "reference",
    .summary = "the reference engine: the yardstick",
    .probe = engine_probe,
    .run = engine_run,
};
static const nn_verifier nn_verifier_native = {
    .name = "native",
    .summary = "the native engine",
    .probe = engine_probe,
    .run = engine_run,
};
static const nn_verifier nn_verifier_pytorch = {
    .name = "pytorch",
    .summary = "the generated PyTorch module, run by torch",
    .probe = generator_probe,
    .run = generator_run,
    .backend = "pytorch",
    .runner = &nn_runner_pytorch,
};
static const nn_verifier nn_verifier_onnx = {
    .name = "onnx",
    .summary = "the ONNX file, run by ONNX Runtime in Node.js",
    .probe = generator_probe,
    .run = generator_run,
    .backend = "onnx",
    .runner = &nn_runner_onnx,
};
static const nn_verifier nn_verifier_tfjs = {
    .name = "tfjs",
    .summary = "the Keras LayersModel, run by TensorFlow.js in Node.js",
    .probe = generator_probe,
    .run = generator_run,
    .backend = "keras-json",
    .runner = &nn_runner_tfjs,
};

static const nn_verifier *const all[] = {
#define NN_VERIFIER(s) &nn_verifier_##s,
#include "suite/verifiers.def"
#undef NN_VERIFIER
};

const nn_verifier *nn_verifier_at(unsigned i) {
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

const nn_verifier *nn_verifier_find(const char *name) {
    for (unsigned i = 0; nn_verifier_at(i); i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}
