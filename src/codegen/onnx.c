/* SPDX-License-Identifier: MIT */
/* onnx.c - the frame of the ONNX backend: inputs, outputs, weights, the shape of every value, and
 * where it all comes from, packed by protobuf-c.
 *
 * Values of our graph keep its channels-last form at the border; inside they are channels-first
 * where ONNX's operators want that, and turned once between the two. The first axis is "batch". */
#include "codegen/onnx.h"

#include "codegen/onnx_write.h"

#include <onnx.pb-c.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17 };

/* What a message of protobuf holds at most, less a little for the frame. */
#define MOST_BYTES (INT64_C(0x7fffffff) - (1 << 20))

/* ---- the graph ---- */

static void enter_input(nn_emit *e, const nn_node *n) {
    value *v = nn_arena_alloc(e->arena, sizeof *v);
    if (!v) {
        e->failed = true;
        return;
    }
    *v = (value){.name = n->name, .type = NN_ONNX_FLOAT, .rank = 1, .owner = n->id};
    v->dim[0] = (nn_onnx_dim){-1, "batch"};
    nn_onnx_result(e, n, v, NN_ONNX_LAST);
}

/* The graph's output is a value of its own, channels last, with the node's name. */
static value *returned(nn_emit *e, const nn_node *n) {
    value *v = nn_onnx_as(e, n->id, NN_ONNX_LAST);
    if (v->owner == n->id && v->computed) {
        v->name = n->name;
        return v;
    }
    e->node = n;
    value *y = nn_onnx_unary(e, "Identity", v);
    y->name = n->op == NN_OP_INPUT ? nn_arena_printf(e->arena, "%s/output", n->name) : n->name;
    return y;
}

static nn_status write_nodes(nn_emit *e, nn_err *err) {
    for (int i = 0; i < e->g->n_nodes && !e->failed; i++) {
        const nn_node *n = &e->g->nodes[i];
        if (n->op == NN_OP_INPUT) enter_input(e, n);
        nn_status s = nn_onnx_emit(e, n, err);
        if (s) return s;
    }
    return NN_OK;
}

/* ---- messages ---- */

/* protobuf-c only reads these. */
static char *text(const char *s) {
    return (char *)(uintptr_t)s;
}

static void *room(nn_emit *e, size_t n, size_t size) {
    void *p = nn_arena_array(e->arena, n ? n : 1, size);
    if (!p) e->failed = true;
    return p;
}

#define NEW(e, T, init)                                                                            \
    ({                                                                                             \
        T *m_ = room(e, 1, sizeof *m_);                                                            \
        if (m_) *m_ = (T)init;                                                                     \
        m_;                                                                                        \
    })

static Onnx__TensorShapeProto *shape_message(nn_emit *e, const value *v) {
    Onnx__TensorShapeProto *s = NEW(e, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
    if (!s || !(s->dim = room(e, (size_t)v->rank, sizeof *s->dim))) return s;
    for (int i = 0; i < v->rank; i++) {
        Onnx__TensorShapeProto__Dimension *d =
            NEW(e, Onnx__TensorShapeProto__Dimension, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
        if (!d) break;
        if (v->dim[i].n >= 0) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = v->dim[i].n;
        } else {
            const char *name = v->dim[i].name;
            if (!name) name = nn_arena_printf(e->arena, "%s_axis_%d", v->name, i);
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = text(name);
        }
        s->dim[s->n_dim++] = d;
    }
    return s;
}

static Onnx__ValueInfoProto *info_message(nn_emit *e, const value *v) {
    Onnx__ValueInfoProto *m = NEW(e, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    Onnx__TypeProto *type = NEW(e, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
    Onnx__TypeProto__Tensor *tensor =
        NEW(e, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
    if (!m || !type || !tensor) return NULL;
    m->name = text(v->name);
    m->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = v->type;
    tensor->shape = shape_message(e, v);
    return m;
}

static Onnx__TensorProto *tensor_message(nn_emit *e, const value *v) {
    Onnx__TensorProto *m = NEW(e, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
    if (!m || !(m->dims = room(e, (size_t)v->rank, sizeof *m->dims))) return m;
    size_t bytes = v->type == NN_ONNX_INT64 ? 8 : 4;
    for (int i = 0; i < v->rank; i++) bytes *= (size_t)(m->dims[m->n_dims++] = v->dim[i].n);
    m->name = text(v->name);
    m->has_data_type = m->has_raw_data = true;
    m->data_type = (int32_t)v->type;
    m->raw_data = (ProtobufCBinaryData){bytes, (uint8_t *)(uintptr_t)v->data};
    return m;
}

static ProtobufCBinaryData bytes_of(const char *s) {
    return (ProtobufCBinaryData){strlen(s), (uint8_t *)(uintptr_t)s};
}

static Onnx__AttributeProto *attribute_message(nn_emit *e, const nn_onnx_attribute *a) {
    Onnx__AttributeProto *m = NEW(e, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
    if (!m) return m;
    m->name = text(a->name);
    m->has_type = true;
    m->type = (Onnx__AttributeProto__AttributeType)a->kind;
    m->has_f = a->kind == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    m->f = a->f;
    m->has_i = a->kind == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    m->i = a->i;
    m->has_s = a->s != NULL;
    if (a->s) m->s = bytes_of(a->s);
    if (a->ints) m->n_ints = (size_t)a->n, m->ints = (int64_t *)(uintptr_t)a->ints;
    if (a->floats) m->n_floats = (size_t)a->n, m->floats = (float *)(uintptr_t)a->floats;
    if (a->strings && (m->strings = room(e, (size_t)a->n, sizeof *m->strings)))
        for (; m->n_strings < (size_t)a->n; m->n_strings++)
            m->strings[m->n_strings] = bytes_of(a->strings[m->n_strings]);
    return m;
}

/* "Conv2D 'conv2d_1', line 4" */
static char *about_operator(nn_emit *e, const nn_node *n) {
    char *s = n->span.line > 0 ? nn_arena_printf(e->arena, "%s '%s', line %d", n->layer,
                                                 n->layer_name, n->span.line)
                               : nn_arena_printf(e->arena, "%s '%s'", n->layer, n->layer_name);
    if (!s) e->failed = true;
    return s;
}

static Onnx__NodeProto *operator_message(nn_emit *e, const nn_onnx_operator *o) {
    Onnx__NodeProto *m = NEW(e, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
    if (!m) return m;
    m->input = room(e, (size_t)o->n_in, sizeof *m->input);
    m->output = room(e, (size_t)o->n_out, sizeof *m->output);
    m->attribute = room(e, (size_t)o->n_attributes, sizeof *m->attribute);
    if (e->failed) return m;
    for (int i = 0; i < o->n_in; i++) m->input[m->n_input++] = text(o->in[i] ? o->in[i]->name : "");
    for (int i = 0; i < o->n_out; i++)
        m->output[m->n_output++] = text(o->out[i]->name ? o->out[i]->name : "");
    for (int i = 0; i < o->n_attributes; i++)
        m->attribute[m->n_attribute++] = attribute_message(e, &o->attributes[i]);
    m->name = m->output[o->n_out - 1];
    m->op_type = text(o->type);
    m->doc_string = about_operator(e, o->node);
    return m;
}

/* ---- the model ---- */

static void put_prop(nn_emit *e, Onnx__ModelProto *m, const char *key, const char *v) {
    Onnx__StringStringEntryProto *p =
        NEW(e, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
    if (!p || !v || !*v) return;
    p->key = text(key);
    p->value = text(v);
    m->metadata_props[m->n_metadata_props++] = p;
}

static bool is_returned(value *const *outputs, int n, const value *v) {
    for (int i = 0; i < n; i++)
        if (outputs[i] == v) return true;
    return false;
}

static void put_operators(nn_emit *e, Onnx__GraphProto *g, value *const *outputs) {
    size_t infos = 0;
    for (int i = 0; i < e->n_operators; i++) infos += (size_t)e->operators[i]->n_out;
    g->node = room(e, (size_t)e->n_operators, sizeof *g->node);
    g->value_info = room(e, infos, sizeof *g->value_info);
    for (int i = 0; i < e->n_operators && !e->failed; i++) {
        const nn_onnx_operator *o = e->operators[i];
        g->node[g->n_node++] = operator_message(e, o);
        for (int k = 0; k < o->n_out; k++)
            if (o->out[k]->name && !is_returned(outputs, e->g->n_outputs, o->out[k]))
                g->value_info[g->n_value_info++] = info_message(e, o->out[k]);
    }
}

/* An input or an output, which people read about first. */
static Onnx__ValueInfoProto *border_message(nn_emit *e, const value *v) {
    Onnx__ValueInfoProto *m = info_message(e, v);
    if (m)
        m->doc_string = text(v->rank > 2 ? "a sample a row, its last axis the channels or features"
                                         : "a sample a row");
    return m;
}

static void put_border(nn_emit *e, Onnx__GraphProto *g, value *const *outputs) {
    g->input = room(e, (size_t)e->g->n_inputs, sizeof *g->input);
    g->output = room(e, (size_t)e->g->n_outputs, sizeof *g->output);
    g->initializer = room(e, (size_t)e->n_initialisers, sizeof *g->initializer);
    if (e->failed) return;
    for (int i = 0; i < e->g->n_inputs; i++)
        g->input[g->n_input++] = border_message(e, e->as[e->g->inputs[i]][NN_ONNX_LAST]);
    for (int i = 0; i < e->g->n_outputs; i++)
        g->output[g->n_output++] = border_message(e, outputs[i]);
    for (int i = 0; i < e->n_initialisers; i++)
        g->initializer[g->n_initializer++] = tensor_message(e, e->initialisers[i]);
}

static Onnx__GraphProto *graph_message(nn_emit *e) {
    Onnx__GraphProto *g = NEW(e, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
    value *outputs[sizeof e->g->outputs / sizeof *e->g->outputs];
    if (e->failed) return g;
    for (int i = 0; i < e->g->n_outputs; i++)
        outputs[i] = returned(e, &e->g->nodes[e->g->outputs[i]]);
    if (e->failed) return g;
    g->name = text(e->g->name);
    put_border(e, g, outputs);
    put_operators(e, g, outputs);
    return g;
}

/* The graph as `neural import` has it back, once it has written it again and found the same. */
static const char *graph_text(nn_emit *e) {
    NN_BUF text = {0};
    NN_JSON *v = nn_graph_json(e->g);
    nn_json_dump(v, 0, &text);
    const char *s = nn_buf_failed(&text) ? NULL : nn_arena_strdup(e->arena, nn_buf_str(&text));
    if (!s) e->failed = true;
    return s;
}

static Onnx__ModelProto *model_message(nn_emit *e) {
    Onnx__OperatorSetIdProto *opset =
        NEW(e, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    Onnx__ModelProto *m = NEW(e, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
    const char *from = e->opt->source_name;
    if (!m || !opset || !(m->metadata_props = room(e, 8, sizeof *m->metadata_props)) ||
        !(m->opset_import = room(e, 1, sizeof *m->opset_import)))
        return m;
    opset->domain = text("");
    opset->has_version = true;
    opset->version = OPSET;
    m->opset_import[m->n_opset_import++] = opset;
    m->has_ir_version = m->has_model_version = true;
    m->ir_version = IR_VERSION;
    m->model_version = 1;
    m->producer_name = text("neural");
    m->producer_version = text(NN_VERSION);
    m->domain = text("");
    m->doc_string = nn_arena_printf(e->arena,
                                    "Network %s. To make this file again: neural compile %s "
                                    "--backend onnx",
                                    e->g->name, from ? from : "FILE");
    if (!m->doc_string) e->failed = true;
    put_prop(e, m, "source", from);
    put_prop(e, m, "source_sha256", e->opt->source_sha256);
    put_prop(e, m, "layout", "channels-last inputs and outputs");
    put_prop(e, m, NN_ONNX_GRAPH_KEY, graph_text(e));
    m->graph = graph_message(e);
    if (m->graph) m->graph->doc_string = m->doc_string;
    return m;
}

/* Appends what protobuf-c packs to a nn_buf: packing into memory would copy a message once for each
 * message around it, and the weights are three deep. */
typedef struct sink {
    ProtobufCBuffer base;
    nn_buf *out;
} sink;

static void append(ProtobufCBuffer *to, size_t n, const uint8_t *data) {
    nn_buf_append(((sink *)to)->out, data, n);
}

static nn_status pack(const Onnx__ModelProto *m, const char *name, nn_buf *out, nn_err *err) {
    size_t n = onnx__model_proto__get_packed_size(m);
    if (n > (size_t)MOST_BYTES)
        return nn_fail(err, NN_E_LIMIT,
                       "network '%s' takes %zu bytes; a file of ONNX holds at most 2 GiB", name, n);
    sink to = {{append}, out};
    if (nn_buf_reserve(out, n)) onnx__model_proto__pack_to_buffer(m, &to.base);
    return NN_OK;
}

static nn_status begin(nn_emit *e, nn_err *err) {
    const nn_graph *g = e->g;
    if (g->slab > 0 && !e->opt->weights)
        return nn_fail(err, NN_E_USAGE,
                       "a file of ONNX holds weights, and none were given for '%s'", g->name);
    if (g->slab > MOST_BYTES / 4)
        return nn_fail(err, NN_E_LIMIT,
                       "the weights of '%s' do not fit: a file of ONNX holds at most 2 GiB",
                       g->name);
    e->layout = nn_arena_array(e->arena, (size_t)g->n_nodes + 1, sizeof *e->layout);
    e->as = nn_arena_array(e->arena, (size_t)g->n_nodes + 1, sizeof *e->as);
    if (!e->layout || !e->as)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the ONNX file of '%s'", g->name);
    return NN_OK;
}

nn_status nn_onnx_write(const nn_graph *g, const nn_codegen_options *opt, size_t most, nn_buf *out,
                        nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "onnx", 0);
    nn_emit e = {.g = g, .opt = opt, .arena = arena, .left = most ? most : SIZE_MAX};
    nn_status s = begin(&e, err);
    if (!s) s = write_nodes(&e, err);
    if (s) return s;
    const Onnx__ModelProto *m = e.failed ? NULL : model_message(&e);
    if (e.failed)
        return nn_fail(err, most ? NN_E_LIMIT : NN_E_OUT_OF_MEMORY,
                       "no memory for the ONNX file of '%s'", g->name);
    return pack(m, g->name, out, err);
}

static nn_status generate(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err) {
    return nn_onnx_write(g, opt, 0, out, err);
}

const nn_backend nn_backend_onnx = {.name = "onnx",
                                    .aliases = "",
                                    .summary = "ONNX, opset 17",
                                    .extension = "onnx",
                                    .media_type = "application/octet-stream",
                                    .weights = true,
                                    .generate = generate,
                                    .text = nn_onnx_text};
