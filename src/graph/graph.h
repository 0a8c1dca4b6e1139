/* SPDX-License-Identifier: MIT */
/* graph.h - the op graph between layers (above) and code generators and engines (beside).
 *
 * Nodes stand in topological order: a node's inputs have smaller indices. Each node has one output.
 * Shapes are those of one sample (channels-last). Weights are named tensors in plain row-major
 * layout; one slab of floats holds all of them in the order of nn_graph.weights, each at its
 * `offset`: this layout is what model files, checkpoints and engines exchange. A graph is built
 * once and then read-only, so it may be shared between threads. Everything in it lives in its
 * arena. */
#ifndef NN_GRAPH_GRAPH_H
#define NN_GRAPH_GRAPH_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/shape.h"
#include "base/span.h"
#include "graph/train.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum nn_op {
#define NN_OP(N, n, i, w) NN_OP_##N,
#include "graph/ops.def"
#undef NN_OP
    NN_OP_COUNT
} nn_op;

typedef enum nn_act {
#define NN_ACT(N, n, alias, alpha) NN_ACT_##N,
#include "graph/activations.def"
#undef NN_ACT
    NN_ACT_COUNT
} nn_act;

typedef enum nn_init_kind {
#define NN_INIT(N, n, a, b) NN_INIT_##N,
#include "graph/initializers.def"
#undef NN_INIT
    NN_INIT_COUNT
} nn_init_kind;

typedef struct nn_initializer {
    nn_init_kind kind;
    double a, b; /* constant: value; normal: mean, standard deviation; uniform: low, high;
                    orthogonal, identity: gain */
    bool seeded; /* seed was given, else it comes from the training seed and the weight's index */
    uint64_t seed;
} nn_initializer;

typedef struct nn_regularizer {
    double l1, l2; /* adds l1 * sum|w| + l2 * sum w^2 to the loss */
} nn_regularizer;

typedef enum nn_constraint_kind {
    NN_CONSTRAINT_NONE,
    NN_CONSTRAINT_MAX_NORM,
    NN_CONSTRAINT_NON_NEG,
    NN_CONSTRAINT_UNIT_NORM,
    NN_CONSTRAINT_MIN_MAX_NORM
} nn_constraint_kind;

/* Applied after each update, norms over every axis but the last (Keras's axis=0 for a Dense kernel,
 * [0,1,2] for Conv2D). */
typedef struct nn_constraint {
    nn_constraint_kind kind;
    double min, max, rate;
} nn_constraint;

typedef struct nn_weight {
    const char *name; /* "<node>.kernel", unique */
    nn_shape shape;
    int64_t elements, offset; /* in floats, into the slab */
    nn_initializer init;
    int64_t fan_in, fan_out; /* what glorot, he and lecun scale by (Keras's rules) */
    nn_regularizer regularizer;
    nn_constraint constraint;
    bool trainable; /* false for moving statistics and frozen layers */
} nn_weight;

enum { NN_MAX_SPATIAL = 3, NN_MAX_WEIGHTS = 4 };

/* Windows of convolution and pooling; the arrays use the first `spatial` entries. */
typedef struct nn_window {
    int spatial;
    int64_t size[NN_MAX_SPATIAL], stride[NN_MAX_SPATIAL], dilation[NN_MAX_SPATIAL];
    int64_t pad_before[NN_MAX_SPATIAL], pad_after[NN_MAX_SPATIAL];
    bool same; /* padding was asked for as "same"; the pads hold what that comes to for a known size
                */
} nn_window;

typedef union nn_attr {
    struct {
        int64_t units;
        bool bias;
    } matmul; /* weights in order: kernel [in, units], bias [units] if bias */
    struct {
        nn_window window;
        int64_t filters, groups;
        bool bias;
    } conv; /* weights in order: kernel [size..., in / groups, filters], bias [filters] if bias */
    nn_window pool;
    struct {
        bool keepdims;
    } global_pool;
    struct {
        double momentum, epsilon; /* moving = momentum * moving + (1 - momentum) * batch */
        bool center, scale;
    } batch_norm; /* weights in order: gamma if scale, beta if center, moving_mean, moving_variance
                   */
    struct {
        nn_act kind;
        double alpha;
    } activation;
    struct {
        bool log;
    } softmax;
    struct {
        double rate;
        bool seeded;
        uint64_t seed;
        nn_shape noise_shape; /* rank 0: as the input; a 1 shares the draw along that axis */
    } dropout;
    struct {
        bool flatten; /* a Flatten rather than a Reshape: how generated code spells it */
    } reshape;
    struct {
        int perm[NN_MAX_RANK]; /* output axis i is input axis perm[i] (batch not counted) */
    } transpose;
} nn_attr;

typedef struct nn_node {
    int id; /* its index in nn_graph.nodes */
    nn_op op;
    const char *name;       /* unique: "conv2d_1"; a layer's second op is "<layer>.relu" */
    const char *layer;      /* canonical name of the layer it came from: "Conv2D" */
    const char *layer_name; /* unique name of that layer: "conv2d_1" */
    int layer_index;        /* which layer of the network, -1 for inputs */
    nn_span span;           /* of that layer in the source */
    int n_inputs, inputs[2];
    int n_weights, weights[NN_MAX_WEIGHTS]; /* indices into nn_graph.weights */
    nn_attr attr;
    nn_shape shape; /* of its output */
} nn_node;

typedef struct nn_graph {
    nn_arena *arena;
    const char *name;
    nn_node *nodes;
    int n_nodes, cap_nodes;
    nn_weight *weights;
    int n_weights, cap_weights;
    int64_t slab; /* floats in all weights together */
    int inputs[8], n_inputs;
    int outputs[8], n_outputs;
    nn_train_spec train;    /* what the program says about training */
    struct nn_names *names; /* private: the names of all nodes, hashed */
} nn_graph;

/* Bounds that keep every product of sizes inside 64 bits; past them is an ordinary error. */
#define NN_MAX_DIM      INT64_C(2147483647)
#define NN_MAX_ELEMENTS (INT64_C(1) << 40) /* of one tensor, and of all weights together */
enum { NN_MAX_NAME = 200 };

/* An empty graph in its own child of `parent` (NULL: standing alone, to be freed with
 * nn_arena_free(g->arena)). NULL only when the parent's cap is spent. */
nn_graph *nn_graph_new(nn_arena *parent, const char *name);

/* What a new node is; `shape` is filled by the op's own rule, except for INPUT and RESHAPE, whose
 * shape is given. */
typedef struct nn_node_spec {
    nn_op op;
    const char *name, *layer, *layer_name;
    int layer_index;
    nn_span span;
    int input; /* node id, -1 for INPUT */
    nn_attr attr;
    nn_shape shape;
} nn_node_spec;

/* Adds a node, infers its shape and returns its id through ret. `same` windows get their pads.
 * Pointers to nodes are valid until the next nn_graph_add. NN_E_DSL_ERROR with the rule and the
 * shapes when they do not fit: the message reads "<what is wrong>: <rule> with input (26, 26, 32)".
 * Also for a name that is not letters, digits and "_.-", or is taken (find a free one with
 * nn_graph_has_name). NN_E_LIMIT past the arena's cap. INPUT nodes are entered in g->inputs;
 * outputs are the caller's to enter, with nn_graph_add_output. */
nn_status nn_graph_add(nn_graph *g, const nn_node_spec *spec, int *ret_id, nn_err *err);
/* Adds a weight "<node name>.<suffix>" to node `id`; offset and elements are filled in. A node's
 * weights are added before the next node, in the order that the op names (see nn_attr); one of
 * another suffix or shape is refused. */
nn_status nn_graph_add_weight(nn_graph *g, int id, const char *suffix, const nn_weight *w,
                              nn_err *err);
/* The suffix and shape of weight k of a node whose input is known; NULL when it has no such weight.
 */
const char *nn_node_weight_rule(const nn_graph *g, const nn_node *n, int k, nn_shape *ret_shape);
nn_status nn_graph_add_output(nn_graph *g, int id, nn_err *err);
bool nn_graph_has_name(const nn_graph *g, const char *name);
/* Whether a finished graph is whole: it has inputs, outputs, and all weights of every node. */
nn_status nn_graph_check(const nn_graph *g, nn_err *err);
/* "same" padding and output sizes by TensorFlow's rule; see graph/infer.c for the formulas. `in` is
 * (spatial..., channels); ret_out takes w->spatial sizes. */
nn_status nn_window_output(const nn_window *w, const nn_shape *in, int64_t *ret_out, nn_err *err);

/* Multiply-accumulates times two of one sample through a node: matrix products, convolutions and
 * normalisation; 0 for the other ops. -1 if a dimension is unknown or the count passes 2^62. */
int64_t nn_node_flops(const nn_graph *g, const nn_node *n);
int64_t nn_node_params(const nn_graph *g, const nn_node *n, bool trainable_only);
/* The loss that suits the first output when the program names none: softmax -> sparse categorical,
 * sigmoid -> binary, else mean squared error (language.md 17). */
nn_loss_kind nn_train_default_loss(const nn_graph *g);

/* Names are compared without regard to letter case and underscores: "LeakyReLU", "leaky_relu". */
bool nn_name_equal(const char *a, const char *b);
const char *nn_op_name(nn_op op);
int nn_op_find(const char *name); /* -1 if there is none */
int nn_op_inputs(nn_op op);
const char *nn_act_name(nn_act a);
int nn_act_find(const char *name); /* by name or alias, any letter case; -1 if there is none */
double nn_act_default_alpha(nn_act a);
const char *nn_init_name(nn_init_kind k);
/* -1 if there is none; ret_default (NULL allowed) takes the kind and its default arguments. */
int nn_init_find(const char *name, nn_initializer *ret_default);
/* "none", "max_norm" …; find gives -1 if there is none. */
const char *nn_constraint_name(nn_constraint_kind k);
int nn_constraint_find(const char *name);

/* One line a node, for people and golden tests. */
void nn_graph_print(const nn_graph *g, nn_buf *out);
/* The serialised form (in model files): nn_graph_read gives an equal graph back, and refuses
 * anything that is not one that nn_graph_json could have written (unknown op, cycle, shape that its
 * rule does not give): NN_E_MODEL_FILE_ERROR. */
nn_json *nn_graph_json(const nn_graph *g);
nn_status nn_graph_read(const nn_json *v, nn_arena *parent, nn_graph **ret, nn_err *err);
#endif
