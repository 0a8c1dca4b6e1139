/* SPDX-License-Identifier: MIT */
/* onnx.c - the frame of the reader of ONNX: bytes to messages, names to values, operators in their
 * order to nodes, and what is left to the outputs.
 *
 * protobuf-c recurses over nested messages and allocates for each; so nesting is measured before it
 * sees the bytes, and what it takes comes from an arena with a cap by the file's size. */
#include "base/file.h"
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <string.h>

#define MOST_BYTES ((size_t)0x7fffffff)
enum { MOST_NESTING = 24, MOST_OPERATORS = 200000, MEMORY_PER_BYTE = 32 };

/* ---- bytes ---- */

typedef struct wire {
    const uint8_t *p, *end;
} wire;

static bool take_varint(wire *w, uint64_t *ret) {
    uint64_t v = 0;
    for (int shift = 0; w->p < w->end && shift < 64; shift += 7) {
        uint8_t b = *w->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* Whether messages lie in each other at most `left` deep; bytes that are no message are left to
 * protobuf-c, which refuses them. */
static bool shallow(wire w, const ProtobufCMessageDescriptor *d, int left) {
    if (left == 0) return false;
    for (uint64_t key, n; w.p < w.end && take_varint(&w, &key);) {
        switch (key & 7) {
        case 0:
            if (!take_varint(&w, &n)) return true;
            continue;
        case 1:
            n = 8;
            break;
        case 5:
            n = 4;
            break;
        case 2:
            if (!take_varint(&w, &n)) return true;
            break;
        default:
            return true;
        }
        if (n > (uint64_t)(w.end - w.p)) return true;
        const ProtobufCFieldDescriptor *f =
            key >> 3 <= UINT32_MAX
                ? protobuf_c_message_descriptor_get_field(d, (unsigned)(key >> 3))
                : NULL;
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && (key & 7) == 2 &&
            !shallow((wire){w.p, w.p + n}, f->descriptor, left - 1))
            return false;
        w.p += n;
    }
    return true;
}

static void *arena_alloc(void *arena, size_t n) {
    return nn_arena_alloc(arena, n);
}

/* It goes with the arena. */
static void arena_free(void *arena, void *p) {
    (void)arena, (void)p;
}

static nn_status unpack(importer *m, const void *p, size_t n, ProtobufCAllocator *allocator,
                        const Onnx__ModelProto **ret, nn_err *err) {
    const uint8_t *bytes = p;
    if (n > MOST_BYTES) return nn_import_broken(m, err, "more than 2 GiB");
    if (!shallow((wire){bytes, bytes + n}, &onnx__model_proto__descriptor, MOST_NESTING))
        return nn_import_broken(m, err, "messages lie too deep in each other");
    *ret = onnx__model_proto__unpack(allocator, n, bytes);
    if (!*ret) return nn_import_broken(m, err, "it is not a message of ONNX");
    return NN_OK;
}

/* ---- what the message says ---- */

static nn_status check_model(importer *m, const Onnx__ModelProto *p, nn_err *err) {
    const Onnx__GraphProto *g = p->graph;
    if (!g || !g->n_input || !g->n_output || !g->n_node)
        return nn_import_broken(m, err, "it holds no graph with inputs, operators and outputs");
    if (g->n_node > MOST_OPERATORS)
        return nn_import_broken(m, err, "it has %zu operators", g->n_node);
    if (g->n_sparse_initializer || p->n_functions)
        return nn_fail(err, NN_E_UNSUPPORTED, "%.200s: %s", m->file,
                       p->n_functions ? "functions of its own are not read"
                                      : "sparse tensors are not read");
    for (size_t i = 0; i < p->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = p->opset_import[i];
        if (o->domain && *o->domain && strcmp(o->domain, "ai.onnx") != 0) continue;
        if (o->version < 1 || o->version > 17)
            return nn_fail(err, NN_E_UNSUPPORTED,
                           "%.200s: operators of version %" PRId64 "; 1 to 17 are read", m->file,
                           o->version);
        m->opset = o->version;
    }
    return NN_OK;
}

/* A new name, given by the file or by an operator. */
static nn_status define(importer *m, const char *name, item **ret, nn_err *err) {
    if (!name || !*name) return nn_import_broken(m, err, "a value has no name");
    if (nn_import_item(m, name, false))
        return nn_import_broken(m, err, "two values are named '%.80s'", name);
    *ret = nn_import_item(m, name, true);
    return *ret ? NN_OK : nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
}

static nn_status define_all(importer *m, nn_err *err) {
    nn_status s = NN_OK;
    item *v;
    for (size_t i = 0; !s && i < m->in->n_initializer; i++)
        if (!(s = define(m, m->in->initializer[i]->name, &v, err))) {
            v->kind = CONSTANT;
            v->raw = m->in->initializer[i];
        }
    for (size_t i = 0; !s && i < m->in->n_input; i++) {
        const char *name = m->in->input[i]->name;
        v = name ? nn_import_item(m, name, false) : NULL;
        if (v && v->kind == CONSTANT && !v->constant_input)
            v->constant_input = true; /* older files list initialisers as inputs */
        else
            s = define(m, name, &v, err);
    }
    for (size_t i = 0; !s && i < m->in->n_node; i++) {
        op *p = m->in->node[i];
        if (!p->op_type) s = nn_import_broken(m, err, "an operator has no type");
        for (size_t k = 0; !s && k < p->n_output; k++)
            if (*p->output[k] && !(s = define(m, p->output[k], &v, err))) v->maker = p;
    }
    return s;
}

static nn_status count_uses(importer *m, nn_err *err) {
    for (size_t i = 0; i < m->in->n_node; i++)
        for (size_t k = 0; k < m->in->node[i]->n_input; k++) {
            const char *name = m->in->node[i]->input[k];
            item *v = *name ? nn_import_item(m, name, false) : NULL;
            if (*name && !v) return nn_import_broken(m, err, "nothing gives '%.80s'", name);
            if (v) v->uses++, v->user = m->in->node[i];
        }
    for (size_t i = 0; i < m->in->n_output; i++) {
        const char *name = m->in->output[i]->name;
        item *v = name ? nn_import_item(m, name, false) : NULL;
        if (!v) return nn_import_broken(m, err, "nothing gives output '%.80s'", name ? name : "");
        v->uses++;
        v->user = NULL;
    }
    return NN_OK;
}

static nn_status new_table(importer *m, nn_err *err) {
    size_t names = m->in->n_initializer + m->in->n_input;
    for (size_t i = 0; i < m->in->n_node; i++) names += m->in->node[i]->n_output;
    for (m->slots = 16; m->slots < 2 * names; m->slots *= 2) continue;
    m->table = nn_arena_array(m->arena, m->slots, sizeof(item *));
    return m->table ? NN_OK : nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
}

/* ---- inputs ---- */

/* Recurrent operators take the steps first, unless they say otherwise. */
static bool steps_first(const item *v) {
    static const char *const types[] = {"LSTM", "GRU", "RNN"};
    for (int i = 0; v->user && i < 3; i++)
        if (strcmp(v->user->op_type, types[i]) == 0 && v->user->n_input &&
            strcmp(v->user->input[0], v->name) == 0)
            return nn_import_attr_int(v->user, "layout", 0) == 0;
    return false;
}

static int64_t size_of(const Onnx__TensorShapeProto__Dimension *d) {
    return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value
                                                                                 : NN_DIM_UNKNOWN;
}

static nn_status input_shape(importer *m, const Onnx__ValueInfoProto *p, bool time, nn_shape *ret,
                             nn_err *err) {
    const Onnx__TypeProto__Tensor *t =
        p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? p->type->tensor_type
                                                                              : NULL;
    bool numbers = t && (t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                         t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 ||
                         t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    if (!numbers || !t->shape)
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "%.200s: input '%.80s' is not a tensor of floats or whole numbers with a "
                       "shape",
                       m->file, p->name);
    size_t rank = t->shape->n_dim;
    if (rank < (time ? 3u : 1u) || rank > NN_MAX_RANK + 1)
        return nn_fail(err, NN_E_UNSUPPORTED, "%.200s: input '%.80s' has %zu axes", m->file,
                       p->name, rank);
    int64_t batch = size_of(t->shape->dim[time]);
    if (batch >= 0 && m->batch >= 0 && batch != m->batch)
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "%.200s: input '%.80s' has %" PRId64 " rows, one before it %" PRId64,
                       m->file, p->name, batch, m->batch);
    if (batch >= 0) m->batch = batch;
    ret->rank = (int)rank - 1;
    for (size_t i = 0, at = 0; i < rank; i++)
        if (i != (size_t)time) ret->dim[at++] = size_of(t->shape->dim[i]);
    return NN_OK;
}

static nn_status add_inputs(importer *m, nn_err *err) {
    nn_status s = NN_OK;
    for (size_t i = 0; !s && i < m->in->n_input; i++) {
        const Onnx__ValueInfoProto *p = m->in->input[i];
        item *v = nn_import_item(m, p->name, false);
        if (v->kind == CONSTANT) continue;
        bool time = steps_first(v);
        nn_shape shape = {0};
        m->time |= time;
        char *outputs[] = {p->name};
        Onnx__NodeProto as = ONNX__NODE_PROTO__INIT;
        as.op_type = (char[]){"Input"};
        as.output = outputs;
        as.n_output = 1;
        if (m->g->n_inputs == (int)(sizeof m->g->inputs / sizeof *m->g->inputs))
            return nn_fail(err, NN_E_UNSUPPORTED, "%.200s has more than %d inputs", m->file,
                           m->g->n_inputs);
        s = input_shape(m, p, time, &shape, err);
        int id;
        if (!s) s = nn_import_add(m, &as, NN_OP_INPUT, NULL, NULL, 0, &shape, &id, err);
        if (!s) s = nn_import_set(m, &as, 0, id, time ? TIME : PLAIN, err);
    }
    return s;
}

/* ---- operators ---- */

/* clang-format off */
static const reader *const tables[] = {nn_import_function_readers, nn_import_product_readers, nn_import_merge_readers,
                                       nn_import_shape_readers, nn_import_reduce_readers, nn_import_part_readers,
                                       nn_import_window_readers, nn_import_rnn_readers};
/* clang-format on */

const reader *nn_import_reader(const char *type) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const reader *r = tables[t]; r->type; r++)
            if (strcmp(r->type, type) == 0) return r;
    return NULL;
}

/* What other numbers came out of in files of opset 1 to 6, with nothing in the file to show it. */
static nn_status check_version(const importer *m, op *p, nn_err *err) {
    static const char *const changed[] = {
        "Add",     "Sub", "Mul", "Div",  "Pow",  "PRelu",       "BatchNormalization",
        "Dropout", "RNN", "GRU", "LSTM", "Gemm", "AveragePool", "Upsample",
        "Pad"};
    for (size_t i = 0; m->opset < 7 && i < sizeof changed / sizeof *changed; i++)
        if (strcmp(p->op_type, changed[i]) == 0)
            return nn_import_unsupported(p, err, "version %" PRId64 " of it", m->opset);
    return NN_OK;
}

static nn_status check_attributes(op *p, const reader *r, nn_err *err) {
    for (size_t i = 0; i < p->n_attribute; i++) {
        const char *name = p->attribute[i]->name ? p->attribute[i]->name : "";
        size_t n = strlen(name);
        bool known = false;
        for (const char *at = r->attributes; n && !known && (at = strstr(at, name)); at++)
            known = at > r->attributes && at[-1] == '|' && at[n] == '|';
        if (!known) return nn_import_unsupported(p, err, "attribute '%.40s'", name);
    }
    return NN_OK;
}

/* Inputs are there already: no cycles, nothing that comes later. */
static nn_status check_inputs(importer *m, op *p, const reader *r, nn_err *err) {
    if (p->n_input < (size_t)r->least || p->n_input > (size_t)r->most)
        return nn_import_unsupported(p, err, "it has %zu inputs", p->n_input);
    for (size_t k = 0; k < p->n_input; k++) {
        const item *v = nn_import_input(m, p, k);
        if (v && v->kind == UNDEFINED)
            return nn_import_broken(m, err, "'%.80s' is used before it is computed", v->name);
    }
    return NN_OK;
}

/* Outputs that are used have been given. */
static nn_status check_outputs(importer *m, op *p, nn_err *err) {
    for (size_t k = 0; k < p->n_output; k++) {
        const item *v = *p->output[k] ? nn_import_item(m, p->output[k], false) : NULL;
        if (v && v->kind == UNDEFINED && v->uses)
            return nn_import_unsupported(p, err, "its output %zu", k);
    }
    return NN_OK;
}

static nn_status read_operator(importer *m, op *p, nn_err *err) {
    item *out = p->n_output && *p->output[0] ? nn_import_item(m, p->output[0], false) : NULL;
    if (out && out->absorbed && out->kind != UNDEFINED) return NN_OK;
    bool ours = !p->domain || !*p->domain || strcmp(p->domain, "ai.onnx") == 0;
    const reader *r = ours ? nn_import_reader(p->op_type) : NULL;
    if (!r) return nn_import_unsupported(p, err, "none of our ops does that");
    nn_status s = check_version(m, p, err);
    if (!s) s = check_inputs(m, p, r, err);
    if (!s) s = check_attributes(p, r, err);
    if (!s) s = r->read(m, p, err);
    return s ? s : check_outputs(m, p, err);
}

/* ---- the model ---- */

static nn_status add_outputs(importer *m, nn_err *err) {
    nn_status s = NN_OK;
    for (size_t i = 0; !s && i < m->in->n_output; i++) {
        item *v = nn_import_item(m, m->in->output[i]->name, false);
        Onnx__NodeProto as = ONNX__NODE_PROTO__INIT;
        as.op_type = (char[]){"Output"};
        as.output = (char **)(uintptr_t)&m->in->output[i]->name;
        as.n_output = 1;
        if (v->kind != NODE)
            return nn_import_unsupported(&as, err, "it does not depend on the inputs");
        if (v->layout == SCORES)
            return nn_import_unsupported(&as, err, "it is the scores of an attention");
        if (v->layout == TIME && !m->time)
            return nn_import_unsupported(&as, err, "it has the batch as its second axis");
        int id = v->node;
        if (v->layout == FIRST) s = nn_import_plain(m, &as, v, &id, err);
        if (!s) s = nn_graph_add_output(m->g, id, err);
    }
    return s;
}

static nn_status build(importer *m, nn_err *err) {
    nn_status s = new_table(m, err);
    if (!s) s = define_all(m, err);
    if (!s) s = count_uses(m, err);
    if (!s) s = add_inputs(m, err);
    for (size_t i = 0; !s && i < m->in->n_node; i++) s = read_operator(m, m->in->node[i], err);
    if (!s) s = add_outputs(m, err);
    return s ? s : nn_graph_check(m->g, err);
}

static nn_status to_model(importer *m, nn_model **ret, nn_err *err) {
    nn_model *model;
    nn_graph *g = m->g;
    nn_status s = nn_model_new(g, &model, err); /* takes g, on failure too */
    if (s) return s;
    for (int i = 0; i < g->n_weights; i++)
        memcpy(model->weights + g->weights[i].offset, m->data[i],
               (size_t)g->weights[i].elements * sizeof(float));
    *ret = model;
    return NN_OK;
}

nn_status nn_onnx_import_bytes(const void *p, size_t n, const char *name, nn_model **ret,
                               nn_err *err) {
    NN_AUTO(nn_arena) *arena =
        nn_arena_new(NULL, "import", ((size_t)64 << 20) + MEMORY_PER_BYTE * n);
    importer m = {.arena = arena, .file = name, .opset = 1, .batch = -1};
    ProtobufCAllocator allocator = {arena_alloc, arena_free, arena};
    const Onnx__ModelProto *model;
    nn_model *own = NULL;
    nn_status s = unpack(&m, p, n, &allocator, &model, err);
    if (!s) s = check_model(&m, model, err);
    if (!s) s = nn_import_own(&m, model, n, &allocator, &own, err);
    if (s) return s;
    if (own) {
        *ret = own;
        return NN_OK;
    }
    m.in = model->graph;
    m.g = nn_graph_new(NULL, m.in->name && *m.in->name ? m.in->name : "imported");
    s = build(&m, err);
    if (!s) return to_model(&m, ret, err);
    nn_arena_free(m.g->arena);
    return s;
}

nn_status nn_onnx_import(const char *path, nn_model **ret, nn_err *err) {
    NN_BUF bytes = {0};
    nn_status s = nn_file_read(path, MOST_BYTES, &bytes, err);
    return s ? s : nn_onnx_import_bytes(nn_buf_str(&bytes), bytes.n, path, ret, err);
}
