/* SPDX-License-Identifier: MIT */
/* Any bytes as a file of ONNX; and, since few bytes are one, models put together as the bytes say:
 * operators of the table with inputs, attributes and constants that mostly do not fit. What loads
 * is a whole model: its graph is written and read again. */
#include "codegen/onnx_write.h"
#include "model/onnx.h"

#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

typedef struct choices {
    const uint8_t *p, *end;
} choices;

static unsigned choose(choices *c, unsigned n) {
    return c->p < c->end ? *c->p++ % n : 0;
}

static const char *const types[] = {"Relu",
                                    "Clip",
                                    "Softmax",
                                    "MatMul",
                                    "Gemm",
                                    "Einsum",
                                    "Add",
                                    "Mul",
                                    "Div",
                                    "Sum",
                                    "Concat",
                                    "Flatten",
                                    "Reshape",
                                    "Squeeze",
                                    "Unsqueeze",
                                    "Transpose",
                                    "Gather",
                                    "ReduceMean",
                                    "Conv",
                                    "ConvTranspose",
                                    "MaxPool",
                                    "AveragePool",
                                    "GlobalMaxPool",
                                    "BatchNormalization",
                                    "Slice",
                                    "InstanceNormalization",
                                    "LayerNormalization",
                                    "Pad",
                                    "Resize",
                                    "RNN",
                                    "GRU",
                                    "LSTM",
                                    "PRelu",
                                    "Neg",
                                    "Cast",
                                    "Constant",
                                    "Identity",
                                    "Split",
                                    "ReduceSum",
                                    "ReduceMin",
                                    "ReduceL1",
                                    "DepthToSpace",
                                    "SpaceToDepth",
                                    "Abs",
                                    "Pow",
                                    "Upsample",
                                    "Exp",
                                    "Elu",
                                    "HardSigmoid",
                                    "Nothing"};
static const char *const attributes[] = {"axis",
                                         "axes",
                                         "perm",
                                         "kernel_shape",
                                         "strides",
                                         "dilations",
                                         "pads",
                                         "group",
                                         "auto_pad",
                                         "output_padding",
                                         "output_shape",
                                         "ceil_mode",
                                         "count_include_pad",
                                         "equation",
                                         "mode",
                                         "hidden_size",
                                         "direction",
                                         "activations",
                                         "layout",
                                         "transA",
                                         "transB",
                                         "keepdims",
                                         "to",
                                         "value",
                                         "epsilon",
                                         "split",
                                         "starts",
                                         "ends",
                                         "blocksize",
                                         "linear_before_reset"};
static const char *const texts[] = {"SAME_UPPER", "SAME_LOWER",   "reverse",  "linear",
                                    "nearest",    "zab,zbc->zac", "za,za->z", "Relu"};
static const int64_t numbers[] = {0, 1, 2,  3,         4,         -1,      -2,
                                  5, 7, 12, INT64_MAX, INT64_MIN, 1 << 30, INT64_C(1) << 40};
#define PICK(c, list) (list[choose((c), sizeof list / sizeof *list)])

enum { NAMES = 24, MOST = 12 };
static char *name_of(unsigned i) {
    static char names[NAMES][4];
    names[i % NAMES][0] = 'v';
    names[i % NAMES][1] = (char)('a' + i % NAMES);
    return names[i % NAMES];
}

typedef struct made {
    Onnx__ModelProto model;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__GraphProto graph;
    Onnx__NodeProto node[MOST], *nodes[MOST];
    Onnx__AttributeProto attribute[MOST][3], *attribute_list[MOST][3];
    Onnx__TensorProto tensor[6], *tensors[6], value[MOST];
    Onnx__ValueInfoProto in[2], out[1], *ins[2], *outs[1];
    Onnx__TypeProto type[2];
    Onnx__TypeProto__Tensor tensor_type[2];
    Onnx__TensorShapeProto shape[2];
    Onnx__TensorShapeProto__Dimension dim[2][5], *dims[2][5];
    char *inputs[MOST][6], *outputs[MOST][2];
    int64_t ints[MOST][3][6], tensor_dims[6 + MOST][4], whole[64];
    ProtobufCBinaryData strings[3];
    float floats[256];
} made;

static void make_tensor(choices *c, made *m, Onnx__TensorProto *t, int64_t *dims) {
    onnx__tensor_proto__init(t);
    int64_t all = 1;
    t->dims = dims;
    t->n_dims = choose(c, 5);
    for (size_t i = 0; i < t->n_dims; i++) all *= dims[i] = 1 + choose(c, 4);
    bool whole = choose(c, 3) == 0;
    t->has_data_type = true;
    t->data_type =
        whole ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (choose(c, 20) == 0) all++;
    t->int64_data = m->whole;
    t->float_data = m->floats;
    if (whole) t->n_int64_data = all > 64 ? 64 : (size_t)all;
    if (!whole) t->n_float_data = all > 256 ? 256 : (size_t)all;
}

static void make_attribute(choices *c, made *m, int i, int k) {
    Onnx__AttributeProto *a = &m->attribute[i][k];
    onnx__attribute_proto__init(a);
    a->name = (char *)(uintptr_t)PICK(c, attributes);
    const char *text = PICK(c, texts);
    a->has_i = true;
    a->i = PICK(c, numbers);
    a->has_s = true;
    a->s = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
    a->ints = m->ints[i][k];
    a->n_ints = choose(c, 7);
    for (size_t j = 0; j < a->n_ints; j++) m->ints[i][k][j] = PICK(c, numbers);
    a->strings = m->strings;
    a->n_strings = choose(c, 4);
    if (strcmp(a->name, "value") == 0) {
        make_tensor(c, m, &m->value[i], m->tensor_dims[6 + i]);
        a->t = &m->value[i];
    }
}

/* Mostly what the operator before gives, and constants after it. */
static char *input_of(choices *c, int node, size_t k) {
    if (choose(c, 8) == 0) return (char *)(uintptr_t) "";
    if (k && choose(c, 3)) return name_of(2 + choose(c, 6));
    if (choose(c, 3) == 0) return name_of(choose(c, NAMES));
    return name_of(node ? 7 + (unsigned)node : 0);
}

static void make_node(choices *c, made *m, int i) {
    Onnx__NodeProto *p = &m->node[i];
    onnx__node_proto__init(p);
    p->op_type = (char *)(uintptr_t)PICK(c, types);
    p->input = m->inputs[i];
    p->n_input = choose(c, 6);
    for (size_t k = 0; k < p->n_input; k++) m->inputs[i][k] = input_of(c, i, k);
    p->output = m->outputs[i];
    p->n_output = 1;
    m->outputs[i][0] = name_of(8 + (unsigned)i);
    p->attribute = m->attribute_list[i];
    p->n_attribute = choose(c, 4);
    for (int k = 0; k < 3; k++) {
        if (k < (int)p->n_attribute) make_attribute(c, m, i, k);
        m->attribute_list[i][k] = &m->attribute[i][k];
    }
}

static void make_input(choices *c, made *m, int i) {
    onnx__value_info_proto__init(&m->in[i]);
    onnx__type_proto__init(&m->type[i]);
    onnx__type_proto__tensor__init(&m->tensor_type[i]);
    onnx__tensor_shape_proto__init(&m->shape[i]);
    m->in[i].name = name_of((unsigned)i);
    m->in[i].type = &m->type[i];
    m->type[i].value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    m->type[i].tensor_type = &m->tensor_type[i];
    m->tensor_type[i].has_elem_type = true;
    m->tensor_type[i].elem_type = 1;
    m->tensor_type[i].shape = &m->shape[i];
    m->shape[i].dim = m->dims[i];
    m->shape[i].n_dim = 1 + choose(c, 5);
    for (size_t k = 0; k < m->shape[i].n_dim; k++) {
        Onnx__TensorShapeProto__Dimension *d = m->dims[i][k] = &m->dim[i][k];
        onnx__tensor_shape_proto__dimension__init(d);
        if (choose(c, 4) == 0) continue;
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dim_value = k == 0 ? 2 : choose(c, 30) == 0 ? PICK(c, numbers) : 1 + choose(c, 4);
    }
    m->ins[i] = &m->in[i];
}

static void make_frame(choices *c, made *m, int nodes) {
    onnx__model_proto__init(&m->model);
    onnx__graph_proto__init(&m->graph);
    onnx__operator_set_id_proto__init(&m->opset);
    onnx__value_info_proto__init(&m->out[0]);
    m->model.graph = &m->graph;
    m->opset.has_version = true;
    m->opset.version = choose(c, 4) ? 17 : 1 + choose(c, 17);
    m->opsets[0] = &m->opset;
    m->model.opset_import = m->opsets;
    m->model.n_opset_import = 1;
    m->out[0].name = name_of(8 + (unsigned)nodes - 1);
    m->outs[0] = &m->out[0];
    m->graph.node = m->nodes;
    m->graph.n_node = (size_t)nodes;
    m->graph.input = m->ins;
    m->graph.n_input = 1 + choose(c, 2);
    m->graph.output = m->outs;
    m->graph.n_output = 1;
    m->graph.initializer = m->tensors;
    m->graph.n_initializer = 6;
}

static size_t make(choices c, uint8_t **ret) {
    static made m;
    memset(&m, 0, sizeof m);
    int nodes = 1 + (int)choose(&c, MOST);
    for (int i = 0; i < 256; i++) m.floats[i] = (float)(i % 7) - 2;
    for (int i = 0; i < 64; i++) m.whole[i] = numbers[(i * 5 + (int)choose(&c, 3)) % 8];
    for (int i = 0; i < 3; i++)
        m.strings[i] = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t) "Tanh"};
    make_frame(&c, &m, nodes);
    for (int i = 0; i < 2; i++) make_input(&c, &m, i);
    for (int i = 0; i < 6; i++) {
        make_tensor(&c, &m, &m.tensor[i], m.tensor_dims[i]);
        m.tensor[i].name = name_of(2 + (unsigned)i);
        m.tensors[i] = &m.tensor[i];
    }
    for (int i = 0; i < nodes; i++) {
        make_node(&c, &m, i);
        m.nodes[i] = &m.node[i];
    }
    size_t n = onnx__model_proto__get_packed_size(&m.model);
    *ret = malloc(n + 1);
    onnx__model_proto__pack(&m.model, *ret);
    return n;
}

static void same_graph(const nn_graph *a, const nn_graph *b) {
    nn_json *x = nn_graph_json(a), *y = nn_graph_json(b);
    nn_buf p = {0}, q = {0};
    nn_json_dump(x, 0, &p);
    nn_json_dump(y, 0, &q);
    if (strcmp(nn_buf_str(&p), nn_buf_str(&q)) != 0) abort();
    nn_buf_done(&p);
    nn_buf_done(&q);
    nn_json_unref(x);
    nn_json_unref(y);
}

/* What was read is written by our own backend, and comes back whole; a changed file does so, or is
 * refused. */
static void write_again(const nn_model *m, const uint8_t *p, size_t n) {
    nn_err err;
    nn_buf out = {0};
    nn_model *again = NULL;
    nn_codegen_options o = {.weights = m->weights};
    if (m->graph->slab < 100000 && nn_onnx_write(m->graph, &o, 1 << 24, &out, &err) == NN_OK) {
        if (nn_onnx_import_bytes(nn_buf_str(&out), out.n, "own", &again, &err)) abort();
        same_graph(m->graph, again->graph);
        if (memcmp(m->weights, again->weights, (size_t)m->graph->slab * sizeof(float)) != 0)
            abort();
        nn_model_free(again);
        for (size_t i = 0; i + 2 < n && i < 6; i += 3)
            out.p[(p[i] * 257u + p[i + 1]) % out.n] ^= (char)p[i + 2];
        again = NULL;
        if (nn_onnx_import_bytes(nn_buf_str(&out), out.n, "own", &again, &err) == NN_OK)
            nn_model_free(again);
    }
    nn_buf_done(&out);
}

static void import(const uint8_t *p, size_t n) {
    nn_err err;
    nn_model *m = NULL;
    if (nn_onnx_import_bytes(p, n, "fuzz", &m, &err) != NN_OK) return;
    nn_json *v = nn_graph_json(m->graph);
    nn_graph *again;
    if (nn_graph_read(v, NULL, &again, &err) != NN_OK) abort();
    if (again->slab != m->graph->slab || again->n_nodes != m->graph->n_nodes) abort();
    nn_arena_free(again->arena);
    nn_json_unref(v);
    write_again(m, p, n);
    nn_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    uint8_t *made_bytes;
    import(p, n);
    size_t size = make((choices){p, p + n}, &made_bytes);
    import(made_bytes, size);
    for (size_t i = 0; i + 1 < n && i < 8; i += 2) made_bytes[(p[i] * 31u) % size] ^= p[i + 1];
    import(made_bytes, size);
    free(made_bytes);
    return 0;
}
