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
        bool bias;
    } matmul;
    struct {
        nn_window window;
        int64_t groups;
        bool bias;
    } conv;
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
    nn_train_spec train; /* what the program says about training */
} nn_graph;

/* An empty graph in its own child of `parent` (NULL: standing alone, to be freed with
 * nn_arena_free(g->arena)). */
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

/* Adds a node, infers its shape and returns its id through ret. NN_E_DSL_ERROR with the rule and
 * the shapes when they do not fit: the message reads "<what is wrong>: <rule> with input (26, 26,
 * 32)". Weights are added next, with nn_graph_add_weight. */
nn_status nn_graph_add(nn_graph *g, const nn_node_spec *spec, int *ret_id, nn_err *err);
/* Adds a weight "<node name>.<suffix>" to node `id`; offset and elements are filled in. */
nn_status nn_graph_add_weight(nn_graph *g, int id, const char *suffix, const nn_weight *w,
                              nn_err *err);
/* "same" padding and output sizes by TensorFlow's rule; see graph/shape.c for the formulas. */
nn_status nn_window_output(const nn_window *w, const nn_shape *in, int64_t *ret_out, nn_err *err);

/* Multiply-accumulates times two of one sample through node `id`; -1 if a dimension is unknown. */
int64_t nn_node_flops(const nn_graph *g, const nn_node *n);
int64_t nn_node_params(const nn_graph *g, const nn_node *n, bool trainable_only);

const char *nn_op_name(nn_op op);
const char *nn_act_name(nn_act a);
int nn_act_find(const char *name); /* by name or alias, any letter case; -1 if there is none */
double nn_act_default_alpha(nn_act a);
const char *nn_init_name(nn_init_kind k);
int nn_init_find(const char *name, nn_initializer *ret_default);

/* One line a node, for people and golden tests. */
void nn_graph_print(const nn_graph *g, nn_buf *out);
/* The serialised form (in model files): nn_graph_read gives an equal graph back, and refuses
 * anything that is not one that nn_graph_json could have written (unknown op, cycle, shape that its
 * rule does not give): NN_E_MODEL_FILE_ERROR. */
nn_json *nn_graph_json(const nn_graph *g);
nn_status nn_graph_read(const nn_json *v, nn_arena *parent, nn_graph **ret, nn_err *err);
#endif
