/* SPDX-License-Identifier: MIT */
/* model.c - a model as a safetensors file. Each weight of the graph is a tensor of its name; the
 * rest is metadata, JSON texts under these keys:
 *
 *     format         "neural.model/1"
 *     graph          nn_graph_json
 *     class_names    ["T-shirt/top", ...]; absent if unknown
 *     n_classes      only where there are classes without names
 *     normalisation  {"scale": s, "offset": o}
 *     summary        what training says of itself; absent if untrained
 *     certificate    what `neural verify` found; absent if it was not asked
 *     source         the program's text, not JSON; absent if unknown */
#include "model/model.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "neural.model/1"
enum { MAX_CLASSES = 1000000 };

nn_status nn_model_new(nn_graph *graph, nn_model **ret, nn_err *err) {
    nn_model *m = calloc(1, sizeof *m);
    if (!m) abort();
    *m = (nn_model){.graph = graph, .scale = 1};
    m->weights = nn_alloc_large((size_t)graph->slab * sizeof(float), true);
    if (!m->weights) {
        nn_status s =
            nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the %" PRId64 " weights of '%s'",
                    graph->slab, graph->name);
        nn_model_free(m);
        return s;
    }
    *ret = m;
    return NN_OK;
}

void nn_model_free(nn_model *m) {
    if (!m) return;
    for (int i = 0; m->class_names && i < m->n_classes; i++) free(m->class_names[i]);
    free(m->class_names);
    nn_json_unref(m->summary);
    nn_json_unref(m->certificate);
    free(m->source);
    nn_free_large(m->weights);
    if (m->graph) nn_arena_free(m->graph->arena);
    free(m);
}

/* ---- saving ---- */

/* Sets metadata[key] to the JSON text of v, which is taken. */
static void put_json(nn_json *metadata, const char *key, nn_json *v) {
    NN_BUF text = {0};
    nn_json_dump(v, 0, &text);
    nn_json_unref(v);
    if (nn_buf_failed(&text)) abort(); /* 2 GB of metadata: the graph's own limits forbid it */
    nn_json_set(metadata, key, nn_json_new_strn(nn_buf_str(&text), text.n));
}

static void put_normalisation(nn_json *metadata, const nn_model *m) {
    NN_BUF text = {0};
    nn_jw w = {.out = &text};
    nn_jw_obj(&w);
    nn_jw_key(&w, "scale");
    nn_jw_float(&w, m->scale);
    nn_jw_key(&w, "offset");
    nn_jw_float(&w, m->offset);
    nn_jw_end_obj(&w);
    nn_json_set(metadata, "normalisation", nn_json_new_str(nn_buf_str(&text)));
}

static void put_classes(nn_json *metadata, const nn_model *m) {
    if (!m->class_names) {
        if (m->n_classes > 0) put_json(metadata, "n_classes", nn_json_new_int(m->n_classes));
        return;
    }
    nn_json *names = nn_json_new_array();
    for (int i = 0; i < m->n_classes; i++) nn_json_push(names, nn_json_new_str(m->class_names[i]));
    put_json(metadata, "class_names", names);
}

static nn_json *metadata_of(const nn_model *m) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "format", nn_json_new_str(FORMAT));
    put_json(v, "graph", nn_graph_json(m->graph));
    put_classes(v, m);
    put_normalisation(v, m);
    if (m->summary) put_json(v, "summary", nn_json_ref(m->summary));
    if (m->certificate) put_json(v, "certificate", nn_json_ref(m->certificate));
    if (m->source) nn_json_set(v, "source", nn_json_new_str(m->source));
    return v;
}

nn_status nn_model_save(nn_model *m, const char *path, nn_err *err) {
    const nn_graph *g = m->graph;
    nn_tensor *tensors = calloc((size_t)g->n_weights + 1, sizeof *tensors);
    if (!tensors) abort();
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        tensors[i] = (nn_tensor){.name = w->name,
                                 .dtype = "F32",
                                 .shape = w->shape,
                                 .data = m->weights + w->offset,
                                 .bytes = (size_t)w->elements * sizeof(float)};
    }
    NN_JSON *metadata = metadata_of(m);
    char sha256[65];
    nn_status s = nn_safetensors_write(path, tensors, g->n_weights, metadata, sha256, err);
    free(tensors);
    if (!s) memcpy(m->sha256, sha256, sizeof sha256);
    return s;
}

/* ---- loading ---- */

typedef struct loader {
    const nn_safetensors *file;
    const char *name; /* of the file */
    nn_err *err;
} loader;

static nn_status bad(const loader *l, const char *key, const char *what) {
    return nn_fail(l->err, NN_E_MODEL_FILE_ERROR, "%s: %s: %s", l->name, key, what);
}

/* metadata[key] as JSON; *ret stays NULL where it is absent. */
static nn_status parse_meta(const loader *l, const char *key, nn_json **ret) {
    const char *text = nn_safetensors_meta(l->file, key);
    nn_err at = {0};
    if (!text || nn_json_parse(text, strlen(text), ret, &at) == NN_OK) return NN_OK;
    return nn_fail(l->err, NN_E_MODEL_FILE_ERROR, "%s: %s: line %d column %d: %s", l->name, key,
                   at.line, at.col, at.msg);
}

static nn_status read_graph(const loader *l, nn_graph **ret) {
    const char *format = nn_safetensors_meta(l->file, "format");
    if (!format || strcmp(format, FORMAT) != 0) {
        nn_status s =
            nn_fail(l->err, NN_E_MODEL_FILE_ERROR, "%s: format is '%.40s', expected '" FORMAT "'",
                    l->name, format ? format : "");
        return nn_err_hint(
            l->err, s, "only files written by neural hold the network that the weights belong to");
    }
    NN_JSON *v = NULL;
    nn_status s = parse_meta(l, "graph", &v);
    if (s) return s;
    if (!v) return bad(l, "graph", "is missing");
    s = nn_graph_read(v, NULL, ret, l->err);
    if (s) nn_err_prefix(l->err, "%s: graph", l->name);
    return s;
}

static nn_status check_tensor(const loader *l, const nn_weight *w) {
    const nn_tensor *t = nn_safetensors_find(l->file, w->name);
    char have[96], want[96];
    if (!t) return bad(l, w->name, "the graph has this weight, the file has no such tensor");
    if (strcmp(t->dtype, "F32") != 0 || !nn_shape_equal(&t->shape, &w->shape))
        return nn_fail(l->err, NN_E_MODEL_FILE_ERROR, "%s: %s: is %s %s, the graph needs F32 %s",
                       l->name, w->name, t->dtype,
                       nn_shape_print(&t->shape, false, have, sizeof have),
                       nn_shape_print(&w->shape, false, want, sizeof want));
    return NN_OK;
}

/* Every weight has its tensor, and every tensor is a weight's: names are unique on both sides. */
static nn_status check_tensors(const loader *l, const nn_graph *g) {
    int n = 0;
    while (nn_safetensors_at(l->file, n)) n++;
    for (int i = 0; i < g->n_weights; i++) {
        nn_status s = check_tensor(l, &g->weights[i]);
        if (s) return s;
    }
    if (n == g->n_weights) return NN_OK;
    return nn_fail(l->err, NN_E_MODEL_FILE_ERROR, "%s: holds %d tensors, the graph has %d weights",
                   l->name, n, g->n_weights);
}

static nn_status read_classes(const loader *l, nn_model *m) {
    NN_JSON *names = NULL, *count = NULL;
    nn_status s = parse_meta(l, "class_names", &names);
    if (!s) s = parse_meta(l, "n_classes", &count);
    if (s) return s;
    size_t n = nn_json_size(names);
    if (names && (nn_json_typeof(names) != NN_JSON_ARRAY || n == 0 || n > MAX_CLASSES))
        return bad(l, "class_names", "is not a list of names");
    if (count) {
        int64_t v = nn_json_typeof(count) == NN_JSON_INT ? nn_json_int(count, -1) : -1;
        if (names || v < 1 || v > MAX_CLASSES)
            return bad(l, "n_classes", "is not a number of classes");
        m->n_classes = (int)v;
    }
    if (!names) return NN_OK;
    m->class_names = calloc(n, sizeof *m->class_names);
    if (!m->class_names) abort();
    for (; m->n_classes < (int)n; m->n_classes++) {
        const char *name = nn_json_str(nn_json_at(names, (size_t)m->n_classes), NULL);
        if (!name) return bad(l, "class_names", "holds something that is not a string");
        if (!(m->class_names[m->n_classes] = strdup(name))) abort();
    }
    return NN_OK;
}

static bool read_float(const nn_json *v, float *ret) {
    nn_json_type t = nn_json_typeof(v);
    if (t != NN_JSON_INT && t != NN_JSON_REAL) return false;
    *ret = (float)nn_json_num(v, NAN);
    return isfinite(*ret);
}

static nn_status read_normalisation(const loader *l, nn_model *m) {
    NN_JSON *v = NULL;
    nn_status s = parse_meta(l, "normalisation", &v);
    if (s) return s;
    if (!v) return bad(l, "normalisation", "is missing");
    if (!read_float(nn_json_get(v, "scale"), &m->scale) ||
        !read_float(nn_json_get(v, "offset"), &m->offset))
        return bad(l, "normalisation", "is not {\"scale\": number, \"offset\": number}");
    return NN_OK;
}

static nn_status read_texts(const loader *l, nn_model *m) {
    nn_status s = parse_meta(l, "summary", &m->summary);
    if (s) return s;
    if (m->summary && nn_json_typeof(m->summary) != NN_JSON_OBJECT)
        return bad(l, "summary", "is not an object");
    s = parse_meta(l, "certificate", &m->certificate);
    if (s) return s;
    if (m->certificate && nn_json_typeof(m->certificate) != NN_JSON_OBJECT)
        return bad(l, "certificate", "is not an object");
    const char *source = nn_safetensors_meta(l->file, "source");
    if (source && !(m->source = strdup(source))) abort();
    return NN_OK;
}

static nn_status load_from(const loader *l, nn_model **ret) {
    nn_graph *g = NULL;
    nn_status s = read_graph(l, &g);
    if (s) return s;
    s = check_tensors(l, g); /* before the slab is allocated: the file's size bounds it */
    if (s) {
        nn_arena_free(g->arena);
        return s;
    }
    __attribute__((cleanup(nn_model_freep))) nn_model *m = NULL;
    s = nn_model_new(g, &m, l->err);
    if (!s) s = read_classes(l, m);
    if (!s) s = read_normalisation(l, m);
    if (!s) s = read_texts(l, m);
    if (s) return s;
    for (int i = 0; i < g->n_weights; i++) {
        const nn_tensor *t = nn_safetensors_find(l->file, g->weights[i].name);
        memcpy(m->weights + g->weights[i].offset, t->data, t->bytes);
    }
    nn_safetensors_sha256(l->file, m->sha256);
    *ret = m;
    m = NULL;
    return NN_OK;
}

nn_status nn_model_load(const char *path, nn_model **ret, nn_err *err) {
    nn_safetensors *file = NULL;
    nn_status s = nn_safetensors_open(path, &file, err);
    if (s) return s;
    s = load_from(&(loader){file, path, err}, ret);
    nn_safetensors_close(file);
    return s;
}

nn_status nn_model_load_bytes(const char *p, size_t n, const char *name, nn_model **ret,
                              nn_err *err) {
    nn_safetensors *file = NULL;
    nn_status s = nn_safetensors_read(p, n, name, &file, err);
    if (s) return s;
    s = load_from(&(loader){file, name, err}, ret);
    nn_safetensors_close(file);
    return s;
}
