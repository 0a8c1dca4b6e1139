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
#define NN_OP(N, n, lo, hi, w) NN_OP_##N,
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

typedef enum nn_merge {
#define NN_MERGE(N, n) NN_MERGE_##N,
#include "graph/merges.def"
#undef NN_MERGE
    NN_MERGE_COUNT
} nn_merge;

typedef enum nn_rnn_kind { NN_RNN_SIMPLE, NN_RNN_LSTM, NN_RNN_GRU } nn_rnn_kind;
typedef enum nn_noise {
    NN_NOISE_GAUSSIAN,
    NN_NOISE_GAUSSIAN_DROPOUT,
    NN_NOISE_ALPHA_DROPOUT
} nn_noise;

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

enum { NN_MAX_SPATIAL = 3, NN_MAX_WEIGHTS = 4, NN_MAX_INPUTS = 64 };

/* Windows of convolution and pooling; the arrays use the first `spatial` entries. */
typedef struct nn_window {
    int spatial;
    int64_t size[NN_MAX_SPATIAL], stride[NN_MAX_SPATIAL], dilation[NN_MAX_SPATIAL];
    int64_t pad_before[NN_MAX_SPATIAL], pad_after[NN_MAX_SPATIAL];
    bool same; /* padding was asked for as "same"; the pads hold what that comes to for a known size
                */
} nn_window;

/* What PAD adds or CROP takes off on each side of the first `spatial` axes. */
typedef struct nn_border {
    int spatial;
    int64_t before[NN_MAX_SPATIAL], after[NN_MAX_SPATIAL];
} nn_border;

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
    struct {
        nn_window window; /* dilation too; `same` as Keras: out = d * stride */
        int64_t output_padding[NN_MAX_SPATIAL]; /* more rows at the end; 0 unless given */
        int64_t filters, groups;
        bool bias;
        bool output_padding_given; /* Keras cuts off other pads then: graph/infer_window.c */
    } conv_transpose; /* weights in order: kernel [size..., filters / groups, in] (Keras's order),
                         bias [filters] if bias */
    nn_window pool;
    struct {
        bool keepdims;
    } global_pool;
    struct {
        int spatial;
        int64_t size[NN_MAX_SPATIAL];
    } adaptive_pool; /* window i of n over d: floor(i d / n) to ceil((i + 1) d / n), as PyTorch's */
    struct {
        int spatial;
        int64_t factor[NN_MAX_SPATIAL];
        bool bilinear; /* else nearest; half-pixel centres, two spatial axes only */
    } upsample;
    nn_border border; /* PAD (with zeros), CROP */
    struct {
        int axis; /* of a sample */
    } reverse;
    struct {
        double momentum, epsilon; /* moving = momentum * moving + (1 - momentum) * batch */
        bool center, scale;
    } batch_norm; /* weights in order: gamma if scale, beta if center, moving_mean, moving_variance
                   */
    struct {
        double epsilon;
        bool center, scale;
    } layer_norm; /* over the last axis; weights in order: gamma if scale, beta if center, [last] */
    struct {
        int64_t groups; /* of channels (the last axis); equal to the channels: instance norm */
        double epsilon;
        bool center, scale;
    } group_norm; /* over the spatial axes and a group's channels; weights as layer_norm */
    struct {
        nn_act kind;
        double alpha;
    } activation;
    struct {
        unsigned shared; /* bit i: one alpha for all of axis i */
    } prelu;             /* weight alpha: the sample's shape, 1 on shared axes */
    struct {
        double low, high; /* infinite where there is no bound */
    } clip;
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
        nn_noise kind;
        double value; /* GAUSSIAN: standard deviation; else the rate */
        bool seeded;
        uint64_t seed;
    } noise; /* while training; Keras's GaussianNoise, GaussianDropout, AlphaDropout */
    struct {
        double l1, l2;
    } activity_reg; /* the value itself; adds (l1 sum|x| + l2 sum x^2) / rows to the loss */
    struct {
        int64_t input_dim, output_dim;
    } embedding; /* x: whole numbers in [0, input_dim); weight embeddings [input_dim, output_dim] */
    struct {
        int64_t max_len;
        bool learnable;
    } position; /* x (steps, d) + a row a step; weight embeddings [max_len, d] if learnable, else
                   sin(i / 10000^(2k/d)) at 2k and the cosine at 2k + 1 (Vaswani et al. 2017) */
    struct {
        nn_rnn_kind kind;
        int64_t units;
        nn_act activation, recurrent_activation; /* default alpha; SIMPLE: the first only */
        bool bias, sequences; /* sequences: the output of every step, else of the last */
        bool reverse;         /* from the last step to the first; outputs stay at their step */
        bool reset_after;     /* GRU */
        double dropout, recurrent_dropout;
    } rnn; /* inputs: x (steps, features), and if masked the tokens (steps): a step whose token is 0
              is passed over. Gates in Keras's order: LSTM i f c o, GRU z r h. Weights in order:
              kernel [features, g units], recurrent_kernel [units, g units], bias [g units] if bias
              (GRU with reset_after: [2, 3 units]) */
    struct {
        nn_window window; /* of the input; the recurrent convolution is `same`, stride 1 */
        int64_t filters;
        nn_act activation, recurrent_activation;
        bool bias, sequences, reverse;
        double dropout, recurrent_dropout;
    } conv_lstm; /* x (steps, spatial..., channels). Weights in order: kernel [size..., in, 4 f],
                    recurrent_kernel [size..., f, 4 f], bias [4 f] if bias */
    struct {
        int64_t heads;
        double scale;          /* of the scores: 1 / sqrt(size of a head) in MultiHeadAttention */
        bool causal, additive; /* additive: score = sum(scale * tanh(q + k)), one head */
        bool use_scale;        /* weight scale: [1], additive [size of a head] */
        double dropout;        /* of the scores after softmax */
    } attention; /* inputs: q (t, heads dk), k (s, heads dk), v (s, heads dv), and if masked the
                    tokens of the keys (s): those that are 0 get no weight. Output (t, heads dv) */
    struct {
        nn_merge kind;
    } merge; /* two inputs or more, broadcast as NumPy does; SUBTRACT takes two */
    struct {
        int axis; /* of a sample */
    } concat;
    struct {
        int axes[2];    /* of the samples of a and b */
        bool normalize; /* both to length 1 along their axis first */
    } dot; /* sum over the two axes; output: the rest of a, then the rest of b; at least (1) */
    struct {
        int64_t size;
    } unfold; /* steps that the last FOLD took into the rows; FOLD has no attributes */
    struct {
        const char *text; /* the parameters as JSON; of a Lambda "function" and "arguments" */
    } custom; /* what only Python can run, or nobody: the layer's name is nn_node.layer; its shape
                 is given */
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
    int n_inputs;
    const int *inputs; /* node ids, in the graph's arena */
    int64_t fold; /* rows of this node a sample: 1 outside of FOLD ... UNFOLD; may be unknown */
    int folded;   /* the FOLD that the next UNFOLD undoes; -1 outside */
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
enum { NN_MAX_NAME = 200, NN_MAX_CUSTOM = 65536 /* bytes of nn_attr.custom.text */ };

/* An empty graph in its own child of `parent` (NULL: standing alone, to be freed with
 * nn_arena_free(g->arena)). NULL only when the parent's cap is spent. */
nn_graph *nn_graph_new(nn_arena *parent, const char *name);

/* What a new node is; `shape` is filled by the op's own rule, except for INPUT, RESHAPE and
 * CUSTOM, whose shape is given. */
typedef struct nn_node_spec {
    nn_op op;
    const char *name, *layer, *layer_name;
    int layer_index;
    nn_span span;
    const int *inputs; /* copied */
    int n_inputs;      /* as many as the op takes: nn_op_arity */
    nn_attr attr;
    nn_shape shape;
} nn_node_spec;

/* Adds a node, infers its shape and returns its id through ret. `same` windows get their pads.
 * Pointers to nodes are valid until the next nn_graph_add. NN_E_DSL_ERROR with the rule and the
 * shapes when they do not fit: the message reads "<what is wrong>: <rule> with input (26, 26, 32)".
 * Also for inputs of other folds, and a name that is not letters, digits and "_.-", or is taken
 * (find a free one with nn_graph_has_name). NN_E_LIMIT past the arena's cap. INPUT nodes are
 * entered in g->inputs; outputs are the caller's to enter, with nn_graph_add_output. */
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
/* Gives back memory that a finished graph does not use. */
void nn_graph_trim(nn_graph *g);
bool nn_graph_has_name(const nn_graph *g, const char *name);
/* Whether a finished graph is whole: it has inputs, outputs, and all weights of every node. */
nn_status nn_graph_check(const nn_graph *g, nn_err *err);
/* "same" padding and output sizes by TensorFlow's rule; see graph/infer.c for the formulas. `in` is
 * (spatial..., channels); ret_out takes w->spatial sizes. */
nn_status nn_window_output(const nn_window *w, const nn_shape *in, int64_t *ret_out, nn_err *err);

/* Multiply-accumulates times two of one sample through a node (of all its rows inside a fold):
 * matrix products, convolutions, recurrent cells, attention, normalisation and learned slopes; 0
 * for the other ops. -1 if a dimension is unknown
 * or the count passes 2^62. */
int64_t nn_node_flops(const nn_graph *g, const nn_node *n);
/* What running with batches of `batch` rows takes, in bytes. -1: unknown. */
typedef struct nn_memory {
    int64_t weights;     /* the slab as the engine holds it: matrices in panels, channels rounded */
    int64_t gradients;   /* another one; 0 without training */
    int64_t optimizer;   /* one for each value that the optimiser keeps of a weight */
    int64_t activations; /* values and their gradients alive at once, scratch memory */
    int64_t total;
} nn_memory;
/* An estimate that follows how the native engine plans its memory (values kept for the backward
 * pass, in-place functions, reuse of blocks); training false: a forward pass alone. Compared with
 * that engine's own count it is mostly within 1 %, and within 15 % where convolutions take scratch
 * memory or branches leave gaps between blocks (tests/conformance/engine/test_memory.c). Not
 * counted: the data set, the plan itself. */
nn_memory nn_graph_memory(const nn_graph *g, int64_t batch, bool training);
int64_t nn_node_params(const nn_graph *g, const nn_node *n, bool trainable_only);
/* The loss that suits the first output when the program names none: softmax -> sparse categorical,
 * sigmoid -> binary, else mean squared error (language.md 17). */
nn_loss_kind nn_train_default_loss(const nn_graph *g);

/* Names are compared without regard to letter case and underscores: "LeakyReLU", "leaky_relu". */
bool nn_name_equal(const char *a, const char *b);
/* Whether `name` is, so compared, one of a "|"-separated list (NULL: of none). */
bool nn_name_listed(const char *name, const char *list);
const char *nn_op_name(nn_op op);
int nn_op_find(const char *name); /* -1 if there is none */
/* Least and most inputs of an op (most: NN_MAX_INPUTS where any number will do). */
void nn_op_arity(nn_op op, int *ret_least, int *ret_most);
const char *nn_merge_name(nn_merge m); /* "add" */
int nn_merge_find(const char *name);
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
