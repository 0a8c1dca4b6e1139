/* SPDX-License-Identifier: MIT */
/* onnx_own.c - files that our own backend wrote: their metadata name the graph, and writing that
 * graph again must give the file's operators, inputs, outputs and constants, bit for bit. Where it
 * does not, the metadata count for nothing, and the operators are read as anybody's.
 *
 * Where the weights are in the file is asked of the backend: it writes the graph once with numbered
 * weights, the bits of each its place in the slab plus one. Those are all ordinary small floats,
 * since a file of 2 GiB holds fewer than 2^29 weights. */
#include "codegen/onnx_write.h"
#include "model/onnx_impl.h"

#include <string.h>

/* ---- messages ---- */

static bool same_message(const ProtobufCMessage *a, const ProtobufCMessage *b) {
    size_t n = protobuf_c_message_get_packed_size(a);
    if (n != protobuf_c_message_get_packed_size(b)) return false;
    uint8_t *p = malloc(2 * n + 1);
    if (!p) return false;
    protobuf_c_message_pack(a, p);
    protobuf_c_message_pack(b, p + n);
    bool same = memcmp(p, p + n, n) == 0;
    free(p);
    return same;
}

/* Two lists of messages; each has a field `base`. */
#define SAME_LIST(a, b, list)                                                                      \
    ({                                                                                             \
        bool same_ = (a)->n_##list == (b)->n_##list;                                               \
        for (size_t i_ = 0; same_ && i_ < (a)->n_##list; i_++)                                     \
            same_ = same_message(&(a)->list[i_]->base, &(b)->list[i_]->base);                      \
        same_;                                                                                     \
    })

/* An operator without what is only said about it. */
static Onnx__NodeProto bare(const Onnx__NodeProto *p) {
    Onnx__NodeProto n = *p;
    n.name = n.doc_string = NULL;
    return n;
}

static bool same_operators(const Onnx__GraphProto *a, const Onnx__GraphProto *b) {
    bool same = a->n_node == b->n_node;
    for (size_t i = 0; same && i < a->n_node; i++) {
        Onnx__NodeProto x = bare(a->node[i]), y = bare(b->node[i]);
        same = same_message(&x.base, &y.base);
    }
    return same;
}

/* All but weights and descriptions. */
static bool same_structure(const Onnx__ModelProto *a, const Onnx__ModelProto *b) {
    const Onnx__GraphProto *g = a->graph, *h = b->graph;
    bool more = a->n_functions || a->n_training_info || g->n_sparse_initializer ||
                g->n_quantization_annotation || a->base.n_unknown_fields ||
                g->base.n_unknown_fields;
    return !more && SAME_LIST(a, b, opset_import) && SAME_LIST(g, h, input) &&
           SAME_LIST(g, h, output) && g->n_initializer == h->n_initializer && same_operators(g, h);
}

/* ---- weights ---- */

static bool same_frame(const Onnx__TensorProto *a, const Onnx__TensorProto *b) {
    return a->has_raw_data && b->has_raw_data && a->raw_data.len == b->raw_data.len &&
           a->data_type == b->data_type && a->n_dims == b->n_dims && a->name && b->name &&
           strcmp(a->name, b->name) == 0 &&
           (!a->n_dims || memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) == 0);
}

static uint32_t bits_at(const Onnx__TensorProto *t, size_t i) {
    uint32_t v;
    memcpy(&v, t->raw_data.data + 4 * i, sizeof v);
    return v;
}

/* Takes the weights in t from where the numbered ones are; `found` marks them. Constants of the
 * operators are 0 or no number of a weight; were one, nothing would be proven in the end. */
static void take_weights(const Onnx__TensorProto *t, const Onnx__TensorProto *numbered,
                         int64_t slab, float *ret, bool *found) {
    if (t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) return;
    for (size_t i = 0; i < t->raw_data.len / 4; i++) {
        uint32_t place = bits_at(numbered, i), bits = bits_at(t, i);
        if (!place || place > slab) continue;
        memcpy(&ret[place - 1], &bits, sizeof bits);
        found[place - 1] = true;
    }
}

static bool all(const bool *found, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!found[i]) return false;
    return true;
}

static float *numbered_slab(nn_arena *arena, int64_t n) {
    float *f = nn_arena_array(arena, (size_t)n + 1, sizeof *f);
    for (int64_t i = 0; f && i < n; i++) memcpy(&f[i], &(uint32_t){(uint32_t)i + 1}, sizeof *f);
    return f;
}

/* ---- the graph written again ---- */

typedef struct own {
    const importer *m;
    const Onnx__ModelProto *file;
    size_t bytes; /* of the file */
    const nn_graph *g;
    ProtobufCAllocator *allocator;
} own;

/* The file of the graph with these weights; NULL: there is none, or it is larger. */
static const Onnx__ModelProto *written(const own *o, const float *weights) {
    NN_BUF bytes = {0};
    nn_codegen_options opt = {.weights = weights};
    if (nn_onnx_write(o->g, &opt, ((size_t)1 << 20) + 16 * o->bytes, &bytes, NULL)) return NULL;
    if (nn_buf_failed(&bytes) || bytes.n / 2 > o->bytes + 4096) return NULL;
    return onnx__model_proto__unpack(o->allocator, bytes.n, (const uint8_t *)nn_buf_str(&bytes));
}

static bool find_weights(const own *o, float *ret) {
    int64_t n = o->g->slab;
    bool *found = nn_arena_array(o->m->arena, (size_t)n + 1, sizeof *found);
    float *numbers = numbered_slab(o->m->arena, n);
    const Onnx__ModelProto *w = found && numbers ? written(o, numbers) : NULL;
    if (!w || !same_structure(o->file, w)) return false;
    for (size_t i = 0; i < w->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = o->file->graph->initializer[i],
                                *numbered = w->graph->initializer[i];
        if (!same_frame(t, numbered)) return false;
        take_weights(t, numbered, n, ret, found);
    }
    return all(found, n);
}

/* Whether the graph with these weights gives the file. */
static bool proven(const own *o, const float *weights) {
    const Onnx__ModelProto *w = written(o, weights);
    return w && same_structure(o->file, w) && SAME_LIST(o->file->graph, w->graph, initializer);
}

static nn_graph *named_graph(const own *o) {
    nn_graph *g = NULL;
    NN_JSON *v = NULL;
    const char *text = NULL;
    for (size_t i = 0; i < o->file->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *p = o->file->metadata_props[i];
        if (p->key && strcmp(p->key, NN_ONNX_GRAPH_KEY) == 0) text = p->value;
    }
    if (!text || nn_json_parse(text, strlen(text), &v, NULL)) return NULL;
    if (nn_graph_read(v, NULL, &g, NULL)) return NULL;
    if ((uint64_t)g->slab <= o->bytes / sizeof(float)) return g;
    nn_arena_free(g->arena);
    return NULL;
}

nn_status nn_import_own(importer *m, const Onnx__ModelProto *file, size_t n,
                        ProtobufCAllocator *allocator, nn_model **ret, nn_err *err) {
    own o = {.m = m, .file = file, .bytes = n, .allocator = allocator};
    nn_graph *g = named_graph(&o);
    if (!g) return NN_OK;
    o.g = g;
    NN_AUTO(nn_model) *model = NULL;
    nn_status s = nn_model_new(g, &model, err);
    if (s) return s;
    if (!find_weights(&o, model->weights) || !proven(&o, model->weights)) return NN_OK;
    *ret = model;
    model = NULL;
    return NN_OK;
}
