/* SPDX-License-Identifier: MIT */
/* onnx.h - private to the ONNX backend: a graph of ONNX operators that is written down as it grows.
 *
 * onnx_build.c holds it and knows the shape rules of operators, onnx_ops.c, onnx_window.c and
 * onnx_sequence.c say what each op is made of, onnx.c makes a file of it. Names become text at the
 * end, so a value may be renamed until then. Everything lives in e->arena; one thread. Operators:
 * https://github.com/onnx/onnx/blob/v1.12.0/docs/Operators.md (opset 17). */
#ifndef NN_CODEGEN_ONNX_H
#define NN_CODEGEN_ONNX_H
#include "codegen/backend.h"

typedef enum nn_onnx_layout { NN_ONNX_LAST, NN_ONNX_FIRST } nn_onnx_layout;
typedef enum nn_onnx_type {
    NN_ONNX_FLOAT = 1, /* TensorProto.DataType */
    NN_ONNX_INT64 = 7,
    NN_ONNX_BOOL = 9
} nn_onnx_type;

enum { NN_ONNX_RANK = NN_MAX_RANK + 4 };

/* A size: n, or, where that is known only when it runs (-1), a name. */
typedef struct nn_onnx_dim {
    int64_t n;
    const char *name;
} nn_onnx_dim;

typedef struct nn_onnx_value {
    const char *name;
    nn_onnx_type type;
    int rank; /* batch included */
    nn_onnx_dim dim[NN_ONNX_RANK];
    int owner;        /* the node that it was written for */
    bool computed;    /* by an operator: not an input, not an initialiser */
    const void *data; /* of an initialiser */
} nn_onnx_value;
typedef nn_onnx_value value;

typedef struct nn_onnx_attribute {
    const char *name;
    int kind; /* AttributeProto.AttributeType */
    int n;
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    const char *const *strings;
} nn_onnx_attribute;

enum { NN_ONNX_ATTRIBUTES = 10 };

typedef struct nn_onnx_operator {
    const char *type;
    const nn_node *node; /* that it is part of; NULL: none */
    int n_in, n_out, n_attributes;
    value **in, *out[4];
    nn_onnx_attribute attributes[NN_ONNX_ATTRIBUTES];
} nn_onnx_operator;

struct nn_emit {
    const nn_graph *g;
    const nn_codegen_options *opt;
    nn_arena *arena;
    const nn_node *node; /* being written */
    int count;           /* of its names */
    nn_onnx_operator **operators;
    value **initialisers;
    int n_operators, n_initialisers;
    nn_onnx_layout *layout; /* by node: the layout in which its value came out */
    value *(*as)[2];        /* by node and layout; NULL: not made yet */
    size_t left;            /* bytes that may still be taken */
    bool failed;            /* no memory; small values stay whole, so that a node is finished */
    nn_onnx_operator spare; /* what is said of operators that were not kept */
};

/* ---- onnx_build.c ---- */

/* Appends an operator; its first output, shaped as the first input until the caller says otherwise.
 * A NULL input is one that is left out. */
value *nn_onnx_put(nn_emit *e, const char *type, int n, value *const *in);
#define PUT(e, type, ...)                                                                          \
    nn_onnx_put(e, type, (int)(sizeof((value *[]){__VA_ARGS__}) / sizeof(value *)),                \
                (value *[]){__VA_ARGS__})
/* Of the operator that was put last: another output, shaped as `like`; its attributes. Arrays are
 * copied. */
value *nn_onnx_more(nn_emit *e, const value *like);
void nn_onnx_int(nn_emit *e, const char *name, int64_t v);
void nn_onnx_float(nn_emit *e, const char *name, double v);
void nn_onnx_string(nn_emit *e, const char *name, const char *v);
void nn_onnx_ints(nn_emit *e, const char *name, const int64_t *v, int n);
void nn_onnx_floats(nn_emit *e, const char *name, const float *v, int n);
void nn_onnx_strings(nn_emit *e, const char *name, const char *const *v, int n);

/* Initialisers "<node>/<what>". Floats are not copied. */
value *nn_onnx_constant(nn_emit *e, const char *what, const float *v, int rank, const int64_t *dim);
value *nn_onnx_scalar(nn_emit *e, const char *what, double v);
value *nn_onnx_filled(nn_emit *e, const char *what, float v, int64_t n);
value *nn_onnx_whole(nn_emit *e, const char *what, const int64_t *v, int n);
value *nn_onnx_whole_scalar(nn_emit *e, const char *what, int64_t v);
/* Weight k of the node in its own layout; with axis i of the result its axis perm[i]. */
value *nn_onnx_weight(nn_emit *e, const nn_node *n, int k);
value *nn_onnx_weight_permuted(nn_emit *e, const nn_node *n, int k, const int *perm);
/* Weight k under another shape and with other data, which is not copied. */
value *nn_onnx_weight_as(nn_emit *e, const nn_node *n, int k, const float *v, int rank,
                         const int64_t *dim);
const float *nn_onnx_data(const nn_emit *e, const nn_node *n, int k);
float *nn_onnx_floats_new(nn_emit *e, int64_t n); /* zeroed; NULL (and e->failed): no memory */

/* Operators that several ops need. Axes count the batch as 0. */
value *nn_onnx_unary(nn_emit *e, const char *type, value *x);
value *nn_onnx_binary(nn_emit *e, const char *type, value *a, value *b); /* broadcast */
value *nn_onnx_matmul(nn_emit *e, value *a, value *b);
value *nn_onnx_transpose(nn_emit *e, value *x, const int *perm);
value *nn_onnx_unsqueeze(nn_emit *e, value *x, int axis);
value *nn_onnx_squeeze(nn_emit *e, value *x, int axis);
value *nn_onnx_slice(nn_emit *e, value *x, int axis, int64_t from, int64_t to);
value *nn_onnx_gather_at(nn_emit *e, value *x, int axis, int64_t at); /* without that axis */
/* n equal parts along an axis. */
void nn_onnx_split(nn_emit *e, value *x, int axis, int n, value **ret);
value *nn_onnx_concat(nn_emit *e, int n, value *const *in, int axis);
/* ReduceMean, ReduceMax … over axes of x; ReduceSum too. */
value *nn_onnx_reduce(nn_emit *e, const char *type, value *x, const int64_t *axes, int n,
                      bool keep);
value *nn_onnx_nonzero(nn_emit *e, value *tokens); /* bool */
/* A size for nn_onnx_reshape: known, that of an axis of a value, or -1: what is left. */
typedef struct nn_onnx_size {
    int64_t n;
    value *of;
    int axis;
} nn_onnx_size;
nn_onnx_size nn_onnx_size_of(value *v, int axis); /* known where it is known */
value *nn_onnx_reshape(nn_emit *e, value *x, const nn_onnx_size *to, int rank);
/* A vector of whole numbers with the size of that axis. */
value *nn_onnx_length(nn_emit *e, value *x, int axis);

/* The axis of a value that holds axis `axis` of a sample. */
int nn_onnx_axis(nn_onnx_layout layout, int rank, int axis);
/* A node's value in a layout (transposed once, at most), or as it came out. */
value *nn_onnx_as(nn_emit *e, int id, nn_onnx_layout layout);
value *nn_onnx_any(nn_emit *e, int id, nn_onnx_layout *ret_layout);
static inline value *nn_onnx_first(nn_emit *e, const nn_node *n) {
    return nn_onnx_as(e, n->inputs[0], NN_ONNX_FIRST);
}
static inline value *nn_onnx_last(nn_emit *e, const nn_node *n) {
    return nn_onnx_as(e, n->inputs[0], NN_ONNX_LAST);
}
/* v is the node's value: it takes the shape and, where it can, the name of the node. */
void nn_onnx_result(nn_emit *e, const nn_node *n, value *v, nn_onnx_layout layout);
nn_status nn_onnx_cannot(const nn_node *n, const char *what, const char *hint, nn_err *err);
static inline const nn_shape *nn_onnx_in(const nn_emit *e, const nn_node *n) {
    return &e->g->nodes[n->inputs[0]].shape;
}

/* ---- ops ---- */

nn_status nn_onnx_emit(nn_emit *e, const nn_node *n, nn_err *err);
/* onnx_text.c: a file that this backend wrote, in the text form of onnx.parser. */
nn_status nn_onnx_text(const void *file, size_t n, nn_buf *out, nn_err *err);
value *nn_onnx_activate(nn_emit *e, nn_act kind, double alpha, value *x);

#define NN_OP(N, n, lo, hi, w) nn_emit_fn nn_onnx_emit_##n;
#include "graph/ops.def"
#undef NN_OP
#endif
