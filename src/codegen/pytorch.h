/* SPDX-License-Identifier: MIT */
/* pytorch.h - what the files of the PyTorch backend share: pytorch.c is the frame; pytorch_lines.c
 * names, layouts and the lines of forward(); pytorch_ops.c, pytorch_shape.c, pytorch_sequence.c and
 * pytorch_custom.c the model op by op; pytorch_parts.c the classes and functions that a model may
 * need around it; pytorch_weights.c what the program says about weights; pytorch_train.c the
 * training program around the model. */
#ifndef NN_CODEGEN_PYTORCH_H
#define NN_CODEGEN_PYTORCH_H
#include "codegen/backend.h"
#include "codegen/python.h"

/* How the loss meets the output: by Keras's definitions (keras.losses), cross-entropies on logits
 * wherever the network ends with the function that undoes them. */
typedef enum nn_torch_loss {
    NN_TORCH_VALUES, /* as the loss is defined on the outputs */
    NN_TORCH_CE_LOGITS,
    NN_TORCH_CE_PROBS,
    NN_TORCH_BCE_LOGITS,
    NN_TORCH_BCE_PROBS,
    NN_TORCH_CTC, /* on logits */
    NN_TORCH_CTC_PROBS
} nn_torch_loss;

/* Where the channels of a tensor of two axes or more lie: the graph's own order, or PyTorch's. */
typedef enum nn_layout { NN_CHANNELS_LAST, NN_CHANNELS_FIRST } nn_layout;

/* What is written in front of the model when it is needed: pytorch_parts.c. */
typedef enum nn_torch_part {
    NN_PART_SAME_PAD,
    NN_PART_MASKED_MEAN,
    NN_PART_POSITIONS,
    NN_PART_SHAPED,
    NN_PART_NOISE,
    NN_PART_GAUSSIAN_DROPOUT,
    NN_PART_ACTIVITY,
    NN_PART_ATTENTION,
    NN_PART_RECURRENT,
    NN_PART_CONV_LSTM,
    NN_PART_COUNT
} nn_torch_part;

/* What the training program does after an epoch: pytorch_callbacks.c. */
typedef struct nn_torch_callbacks {
    nn_early_stopping stopping; /* the program's own, or the callback's */
    struct {
        bool on;
        double factor, min_delta, min_lr;
        int64_t patience, cooldown;
        char monitor[64];
    } plateau;
    struct {
        bool on, best_only;
        char path[256], monitor[64];
    } keep;
    struct {
        bool on, append;
        char path[256];
    } log;
    bool ends_on_nan;
    char mode[3][8]; /* of the monitors of the first three */
} nn_torch_callbacks;

struct nn_emit {
    const nn_graph *g;
    const nn_codegen_options *opt;
    nn_arena *arena;
    nn_py_scope file, attributes, variables;
    const char **attribute;  /* of the module that a node became; NULL: none */
    const char **variable;   /* that holds a node's output in forward(); NULL: none yet */
    int *users;              /* nodes and outputs that read a node's output */
    int *last_of_layer;      /* by node: the last node of the same layer */
    const char **class_name; /* of a layer that the network only names */
    nn_layout *layout;
    bool chain;  /* each node reads the one before it: the only variable is x */
    int pending; /* the node whose expression is not written yet; -1: none */
    const char *expression;
    const char *remark; /* for its line, beside the shape; NULL: none */
    nn_torch_loss loss;
    bool program; /* one output: the training program is written too */
    int out;      /* the (first) output node */
    int skipped;  /* the output's softmax or sigmoid that the loss contains; -1: none */
    bool batch_norm, frozen_norm; /* what the model needs around it */
    nn_torch_callbacks callbacks;
    unsigned parts; /* bit i: part i is needed */
    nn_buf own;     /* functions and classes of the program's own, before the model */
    nn_buf init, forward;
};

/* pytorch_lines.c */
const nn_node *nn_torch_node(const nn_emit *e, int id);
/* The dimension of the torch tensor that holds axis `axis` (batch not counted) of `rank`. */
int nn_torch_dim(nn_layout layout, int rank, int axis);
nn_layout nn_torch_layout(const nn_emit *e, int id);
/* Writes what is pending; called before a variable is read. */
void nn_torch_flush(nn_emit *e);
const char *nn_torch_variable(nn_emit *e, int id);
/* A node's output in the layout that is wanted, as an expression that takes a method or an index.
 */
const char *nn_torch_as(nn_emit *e, int id, nn_layout want, const char *why);
const char *nn_torch_first(nn_emit *e, const nn_node *n); /* of its first input: channels first */
const char *nn_torch_last(nn_emit *e, const nn_node *n);
/* For functions of each element: the first input as it lies; the expression of the op before where
 * that is of the same layer. */
const char *nn_torch_whatever(nn_emit *e, const nn_node *n);
/* The first input as it lies, as a variable. */
const char *nn_torch_plain(nn_emit *e, const nn_node *n);
void nn_torch_result(nn_emit *e, const nn_node *n, nn_layout layout, const char *expression);
#define nn_torch_print(e, ...) nn_arena_printf((e)->arena, __VA_ARGS__)
const char *nn_torch_keep(nn_emit *e,
                          const nn_buf *b); /* a buffer's text for as long as the rest */
/* Declares a module in __init__, "nn.Linear": its arguments on a line of their own where they do
 * not fit. Returns the attribute. */
const char *nn_torch_declare(nn_emit *e, const nn_node *n, const char *type, const nn_buf *args);
/* A further module of a node, "<attribute>_<suffix>". */
const char *nn_torch_declare_more(nn_emit *e, const nn_node *n, const char *suffix,
                                  const char *type, const nn_buf *args);
const char *nn_torch_call(nn_emit *e, const nn_node *n, const char *input);
int64_t nn_torch_channels(const nn_emit *e, const nn_node *n); /* of its first input */
nn_status nn_torch_unsupported(const nn_node *n, const char *what, nn_err *err);
/* What forward() returns for node `id`, channels last. */
const char *nn_torch_returned(nn_emit *e, int id);

/* pytorch_ops.c and its kin: each adds a node to __init__ and forward(), in the order of the graph.
 */
nn_status nn_torch_emit(nn_emit *e, const nn_node *n, nn_err *err);
#define NN_OP(N, n, lo, hi, w) nn_emit_fn nn_torch_emit_##n;
#include "graph/ops.def"
#undef NN_OP
/* An activation as a callable: "torch.tanh". With its default alpha. */
const char *nn_torch_function(nn_emit *e, nn_act kind);

/* Windows (pytorch_ops.c): where padding goes, and the arguments of a module. */
typedef enum nn_pad_way {
    NN_PAD_NONE,
    NN_PAD_SAME,    /* padding='same' of a convolution */
    NN_PAD_EQUAL,   /* the same before and after: an argument of the module */
    NN_PAD_BEFORE,  /* F.pad in front of the module */
    NN_PAD_RUN_TIME /* "same" of a size that is known only then: same_pad() in front of it */
} nn_pad_way;
/* `in`: the spatial sizes; half: pools take an argument of at most half their size. */
nn_pad_way nn_torch_pad_way(const nn_window *w, const int64_t *in, bool half);
const char *nn_torch_padded(nn_emit *e, const nn_window *w, nn_pad_way way, const char *x,
                            const char *value);
bool nn_torch_unit(const int64_t *v, int n);
void nn_torch_sizes(nn_buf *b, const char *key, const int64_t *v, int n);
/* ", stride=2, padding='same', dilation=2" of a convolution. */
void nn_torch_window(nn_buf *b, const nn_window *w, nn_pad_way way);

/* pytorch_parts.c */
void nn_torch_need(nn_emit *e, nn_torch_part part);
void nn_torch_parts(const nn_emit *e, nn_buf *out);

/* A weight of a node: its suffix ("kernel") and what PyTorch's module calls it. */
typedef struct nn_torch_place {
    const nn_node *node;
    const nn_weight *weight;
    const char *suffix;
    const char *parameter; /* ".weight"; "" where the attribute is the parameter itself */
    const char *second;    /* where the second row of ours goes; NULL: all of it is one parameter */
    bool turned;           /* our last axis is the first there, the last but one the second */
    bool gates;            /* GRU: z r h becomes r z n */
} nn_torch_place;
nn_torch_place nn_torch_place_of(const nn_emit *e, const nn_node *n, int k);
/* Where each axis of PyTorch's weight comes from in ours: [in, out] and [k..., in / groups, out]
 * against [out, in] and [out, in / groups, k...]. */
void nn_torch_axes(const nn_torch_place *p, int ret[NN_MAX_RANK]);
/* nn.LSTM and nn.RNN add two biases: the second is kept at 0. */
bool nn_torch_has_idle_bias(const nn_emit *e, const nn_node *n);
/* pytorch_state.c: of a module whose nodes have been emitted. */
struct nn_torch_state;
nn_status nn_torch_collect(const nn_emit *e, nn_arena *arena, struct nn_torch_state *ret,
                           nn_err *err);

/* pytorch_weights.c */
void nn_torch_initialisers(nn_emit *e, nn_buf *out); /* the body of reset_parameters() */
void nn_torch_freeze(nn_emit *e, nn_buf *out); /* lines of __init__ for weights that do not train */
void nn_torch_weight_map(nn_emit *e, nn_buf *out);  /* NEURAL_WEIGHTS, and loading and saving */
bool nn_torch_penalties(nn_emit *e, nn_buf *out);   /* penalties(); false: there are none */
bool nn_torch_constraints(nn_emit *e, nn_buf *out); /* constrain(); false: there are none */
bool nn_torch_trains(const nn_emit *e, const nn_node *n); /* any of its weights */
/* Whether a recurrent layer has to be the class Recurrent: what nn.LSTM and its kin do not do. */
bool nn_torch_loops(const nn_emit *e, const nn_node *n);

/* pytorch_train.c: everything after the model. */
void nn_torch_program(nn_emit *e, const char *class_name, nn_buf *out);
#endif
