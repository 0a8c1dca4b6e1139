/* SPDX-License-Identifier: MIT */
/* onnx_impl.h - private to the reader of ONNX: what each name of the file stands for, and how an
 * operator becomes nodes. One thread; everything but the graph lives in m->arena. */
#ifndef NN_MODEL_ONNX_IMPL_H
#define NN_MODEL_ONNX_IMPL_H
#include "model/onnx.h"

#include <onnx.pb-c.h>

/* How the axes of a value in the file are those of the node that stands for it: */
typedef enum layout {
    PLAIN,      /* batch, then the node's axes */
    FIRST,      /* batch, channels, spatial...: the node has the channels last */
    TIME,       /* steps, batch, features: the node has (steps, features) */
    TIME_SIDED, /* steps, 1, batch, features: likewise; what a recurrent operator gives */
    SIDED,      /* 1, batch, features: the node has (features) */
    SCORES /* not computed yet: of an attention, `node` q (heads, t, d) by `turned` k (heads, d,
              s); onnx_attention.c */
} layout;

/* Values in the file itself. */
typedef struct tensor {
    int rank;
    int64_t dim[NN_MAX_RANK + 2], elements;
    const float *floats;  /* one of the two */
    const int64_t *whole; /* of INT64 and INT32 */
} tensor;

typedef struct item {
    const char *name;
    enum { UNDEFINED, CONSTANT, NODE } kind;
    bool constant_input;          /* an initialiser */
    const Onnx__TensorProto *raw; /* of an initialiser, until it is used */
    tensor tensor;
    int node;
    layout layout;
    int turned; /* the node with the other order of channels; -1: not made yet */
    int uses;   /* outputs of the graph included */
    const Onnx__NodeProto *user, *maker;
    double scale;  /* of SCORES */
    bool softmax;  /* SCORES after their softmax */
    bool absorbed; /* what gives it was read together with the operator before */
} item;

typedef struct importer {
    nn_arena *arena;
    const char *file;
    const Onnx__GraphProto *in;
    nn_graph *g;
    item **table;
    size_t slots;       /* a power of two */
    const float **data; /* of each weight of g */
    int n_data, cap_data;
    int64_t opset;
    int64_t batch; /* that the inputs say; -1: open */
    bool time;     /* an input has the steps first */
} importer;

typedef const Onnx__NodeProto op;
typedef nn_status read_fn(importer *m, op *p, nn_err *err);

typedef struct reader {
    const char *type;
    read_fn *read;
    int least, most;        /* inputs */
    const char *attributes; /* that it knows: "|axis|keepdims|" */
    int value;              /* what else the function needs to know */
} reader;
const reader *nn_import_reader(const char *type); /* onnx.c; NULL: no such operator */
/* Of onnx_functions.c, onnx_product.c ...; each ends with a NULL type. */
extern const reader nn_import_function_readers[], nn_import_product_readers[],
    nn_import_merge_readers[], nn_import_shape_readers[], nn_import_reduce_readers[],
    nn_import_part_readers[], nn_import_window_readers[], nn_import_rnn_readers[];

/* ---- onnx_own.c ---- */

/* The model of a file that our own backend wrote, from its metadata, proven by writing it again;
 * *ret stays as it is where it is no such file. */
nn_status nn_import_own(importer *m, const Onnx__ModelProto *file, size_t n,
                        ProtobufCAllocator *allocator, nn_model **ret, nn_err *err);

/* ---- onnx_values.c ---- */

item *nn_import_item(importer *m, const char *name, bool make); /* NULL: not there */
nn_status nn_import_unsupported(op *p, nn_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
nn_status nn_import_broken(const importer *m, nn_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Input k: NULL where it is left out. */
item *nn_import_input(importer *m, op *p, size_t k);
/* A value that is computed; one that is in the file, as floats or as whole numbers. */
nn_status nn_import_node(importer *m, op *p, size_t k, item **ret, nn_err *err);
nn_status nn_import_floats(importer *m, op *p, size_t k, const tensor **ret, nn_err *err);
nn_status nn_import_whole(importer *m, op *p, size_t k, const tensor **ret, nn_err *err);
nn_status nn_import_tensor(importer *m, const Onnx__TensorProto *t, tensor *ret, nn_err *err);

const Onnx__AttributeProto *nn_import_attr(op *p, const char *name); /* NULL: not given */
int64_t nn_import_attr_int(op *p, const char *name, int64_t otherwise);
double nn_import_attr_float(op *p, const char *name, double otherwise);
bool nn_import_attr_is(op *p, const char *name, const char *value, const char *otherwise);
/* A list of whole numbers; 0 of them where it is not given. */
size_t nn_import_attr_ints(op *p, const char *name, const int64_t **ret);

/* The number of axes in the file, batch included. */
int nn_import_rank(const importer *m, const item *v);
const nn_shape *nn_import_shape(const importer *m, const item *v);
/* An axis of the file (negative: from the last) as one of the node's sample. Refused: the batch. */
nn_status nn_import_axis(const importer *m, op *p, const item *v, int64_t axis, int *ret,
                         nn_err *err);
/* The node in the file's order of axes; with the channels, the file's second axis, last. */
nn_status nn_import_plain(importer *m, op *p, item *v, int *ret, nn_err *err);
nn_status nn_import_last(importer *m, op *p, item *v, int *ret, nn_err *err);
/* Adds a node of op o, and its weights: weights[k] in the order that the op names. */
nn_status nn_import_add(importer *m, op *p, nn_op o, const nn_attr *attr, const int *inputs, int n,
                        const nn_shape *shape, int *ret, nn_err *err);
nn_status nn_import_add_weights(importer *m, op *p, int id, const float *const *weights, int n,
                                nn_err *err);
/* Output k of p is that node. */
nn_status nn_import_set(importer *m, op *p, size_t k, int id, layout l, nn_err *err);
/* One node with one input and no weights. */
nn_status nn_import_simple(importer *m, op *p, nn_op o, const nn_attr *attr, int in, layout l,
                           nn_err *err);
float *nn_import_new_floats(importer *m, int64_t n, nn_err *err);
/* from[...] with axis i of the result its axis perm[i]. */
nn_status nn_import_permuted(importer *m, const tensor *from, const int *perm, const float **ret,
                             nn_err *err);
/* Over an axis of the file. */
nn_status nn_import_softmax(importer *m, op *p, item *v, int64_t along, bool log, nn_err *err);
/* in * factor + term; max(in, -in); in ^ n, n 2 to 4; in another shape. */
nn_status nn_import_linear(importer *m, op *p, int in, double factor, double term, int *ret,
                           nn_err *err);
nn_status nn_import_absolute(importer *m, op *p, int in, int *ret, nn_err *err);
nn_status nn_import_power(importer *m, op *p, int in, int n, int *ret, nn_err *err);
nn_status nn_import_reshaped(importer *m, op *p, int in, const nn_shape *to, int *ret, nn_err *err);
/* The axes of Squeeze, Unsqueeze and the reductions, an attribute or input 1, as places from the
 * first of `rank`; ret has room for NN_MAX_RANK. */
nn_status nn_import_axes(importer *m, op *p, int rank, int64_t *ret, size_t *ret_n, nn_err *err);
bool nn_import_listed(const int64_t *axes, size_t n, int64_t axis);
/* onnx_attention.c: products that only an attention makes sense of. False (of is_scores): v is
 * none. */
bool nn_import_is_scores(const item *v);
nn_status nn_import_scores(importer *m, op *p, item *q, item *k, nn_err *err);
nn_status nn_import_scale_scores(importer *m, op *p, const item *v, double by, nn_err *err);
nn_status nn_import_softmax_scores(importer *m, op *p, const item *v, nn_err *err);
nn_status nn_import_attend(importer *m, op *p, const item *scores, item *v, nn_err *err);
/* Erf, as the middle of a GELU. */
read_fn nn_import_erf;
/* x * scale + offset, one of each of the last axis. */
nn_status nn_import_affine(importer *m, op *p, item *v, const tensor *c, double scale, bool add,
                           nn_err *err);
#endif
