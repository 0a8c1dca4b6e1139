/* SPDX-License-Identifier: MIT */
/* layer.h - what one layer of the language tells the compiler about itself: its parameters and how
 * it lowers to ops. To add one: write its file, add its row to layers.def. The descriptors are
 * const and shared. */
#ifndef NN_LAYERS_LAYER_H
#define NN_LAYERS_LAYER_H
#include "graph/graph.h"

typedef enum nn_param_type {
    NN_P_INT,   /* min <= i <= max */
    NN_P_FLOAT, /* min <= f <= max; an integer is welcome */
    NN_P_BOOL,
    NN_P_STRING,  /* any text */
    NN_P_ENUM,    /* one of `words` */
    NN_P_DIMS,    /* an integer, or a tuple of `rank` integers, each >= min; an integer fills all */
    NN_P_SHAPE,   /* a tuple of integers >= min, or None (NN_DIM_UNKNOWN); an integer is one axis */
    NN_P_PADDING, /* "valid", "same", an integer, or a tuple */
    NN_P_ACTIVATION,  /* a name of nn_activation_names: softmax, log_softmax, prelu included */
    NN_P_INITIALIZER, /* a name or a call */
    NN_P_REGULARIZER, /* l1(f), l2(f), l1_l2(f, f) or a name */
    NN_P_CONSTRAINT,
    NN_P_BORDER, /* n >= 0 on every side, or a tuple of `rank` numbers or (before, after) pairs */
    NN_P_AXES,   /* an integer or a tuple of two, each from min to max */
    NN_P_LAYER,  /* a call of a layer: Bidirectional(LSTM(64)) */
    NN_P_NAMES,  /* a name or a list of names */
    NN_P_ANY     /* anything; kept as it is written */
} nn_param_type;

typedef struct nn_param {
    const char *name;
    nn_param_type type;
    bool required;
    bool positional;      /* may be given without its name, in table order */
    int rank;             /* DIMS, PADDING, BORDER: length of the tuple */
    double min, max;      /* INT, FLOAT, DIMS; max 0 = none */
    bool above_min;       /* FLOAT: min itself is excluded */
    bool below_max;       /* FLOAT: max itself is excluded */
    const char *words;    /* ENUM: "valid|same" */
    const char *fallback; /* default as text, for help pages; the binder parses it. NULL: none */
    const char *aliases;  /* "stride|step"; NULL: none */
    const char *help;     /* one line */
} nn_param;

typedef enum nn_padding_kind {
    NN_PAD_VALID,
    NN_PAD_SAME,
    NN_PAD_CAUSAL, /* one axis only: all padding before (language.md 13.2) */
    NN_PAD_EXPLICIT
} nn_padding_kind;

typedef struct nn_inner nn_inner;

/* A bound argument: what the program gave, or the default (given == false; for parameters without
 * one, set == false). */
typedef struct nn_bound {
    bool set, given;
    nn_span span;
    int64_t i;
    double f;
    bool b;
    const char *s;                 /* STRING, ENUM, ACTIVATION (canonical spelling); ANY: as JSON */
    int64_t dims[NN_MAX_SPATIAL];  /* DIMS; AXES in the first two; BORDER: before */
    int64_t after[NN_MAX_SPATIAL]; /* BORDER */
    nn_shape shape;
    const nn_inner *inner;    /* LAYER */
    const char *const *names; /* NAMES, n_names of them */
    int n_names;
    nn_padding_kind padding; /* EXPLICIT: dims */
    nn_initializer init;
    nn_regularizer reg;
    nn_constraint con;
} nn_bound;

typedef struct nn_layer nn_layer;
typedef struct nn_layer_ctx nn_layer_ctx;

/* A bound call inside another: the layer of a wrapper. */
struct nn_inner {
    const nn_layer *layer;
    const nn_bound *args;           /* as in nn_layer_ctx */
    const void *block;              /* its { ... }; NULL if it has none */
    const char *custom_name, *kept; /* as in nn_layer_ctx */
    nn_span span;
};

/* Something a layer says about itself that is no error. */
typedef struct nn_notice {
    bool warning;     /* else a note */
    const char *code; /* a row of messages.def */
    nn_span at;
    const char *message, *hint; /* hint may be NULL; both are copied */
    bool flatten;               /* inserting Flatten() before this layer would cure it */
} nn_notice;

/* What `build` works with. Arguments stand in the order of layer->params, followed by those of
 * nn_layer_common. */
struct nn_layer_ctx {
    const nn_layer *layer;
    const char *name; /* unique layer name */
    int index;
    nn_span span;
    const nn_bound *args;
    nn_graph *graph;
    const int *inputs; /* node ids of its inputs, in order: min_inputs to max_inputs of its row */
    int n_inputs;
    int input;             /* the first of them, -1 if it has none */
    const nn_shape *shape; /* of that input */
    int mask;              /* node of whole numbers (steps) of which 0 marks padding, as
                              Embedding(mask_zero=true)              left it for the first input; -1: none */
    int *ret_mask; /* of the output; preset to `mask` if the layer passes masks on, else to -1 */
    const char *custom_name; /* as written: of a custom layer */
    const char
        *kept; /* open_params: what was given beyond the table, as a JSON object; NULL: nothing
                */
    const void *block; /* the items of its { ... }; NULL if it has none */
    /* Builds the items of a block on node `from` as layers of their own; ret takes what they leave
     * open: one node, or one a branch. Errors inside have been reported: NN_E_DSL_ERROR with an
     * empty message is to be passed on as it is. */
    nn_status (*run_block)(const nn_layer_ctx *c, const void *block, int from, int *ret, int cap,
                           int *ret_n, nn_err *err);
    void *run_arg;
    nn_span *ret_at; /* where an error belongs if it is about one argument; preset to the layer */
    const char **ret_hint; /* what to do about it; preset to NULL */
    bool *ret_flatten;     /* set to true if inserting Flatten() before this layer would cure it */
    nn_loss_kind loss; /* of the network, when known: Output's default activation depends on it */
    bool has_loss, from_logits;
    void (*notice)(void *arg, const nn_notice *n); /* NULL: nobody listens */
    void *notice_arg;
};

typedef enum nn_layer_role { NN_ROLE_LAYER, NN_ROLE_INPUT, NN_ROLE_OUTPUT } nn_layer_role;
typedef enum nn_block_use { NN_BLOCK_NONE, NN_BLOCK_OPTIONAL, NN_BLOCK_REQUIRED } nn_block_use;

struct nn_layer {
    const char *name;    /* canonical spelling: "Conv2D" */
    const char *base;    /* for unique names: "conv2d" */
    const char *summary; /* one line of help */
    const char *family;  /* "convolution" */
    const char *rule;    /* the shape rule, for help and for shape errors */
    const char *aliases; /* "MaxPool2D|…"; NULL: none */
    nn_layer_role role;
    bool rank1; /* --auto-flatten puts a Flatten before it when the input has more axes */
    const nn_param *params;     /* ends with a NULL name */
    int min_inputs, max_inputs; /* both 0: one (an Input: none) */
    nn_block_use block;         /* whether { ... } may or must follow */
    bool passes_mask;           /* the padding of its input is that of its output */
    bool open_params;           /* custom layers: any further parameter is kept */
    const char *reserved; /* why no engine runs it: "no engine runs quantum circuits"; NULL: runs */
    /* Adds the layer's ops and weights to ctx->graph; ret is the id of the node that holds its
     * output, or -1 when its shape cannot be known (a Lambda without output_shape, said in a
     * notice): nothing after it is built. Errors: NN_E_DSL_ERROR; NN_E_UNSUPPORTED for an argument
     * no engine knows yet. After an error the graph may hold some of the layer's ops: it is to be
     * thrown away. */
    nn_status (*build)(const nn_layer_ctx *ctx, int *ret, nn_err *err);
};

const nn_layer *
nn_layer_find(const char *name);         /* any letter case, aliases too; NULL if there is none */
const nn_layer *nn_layer_at(unsigned i); /* NULL past the end */
/* The row of layers that the user's own code implements (XxxLayer, `custom` declarations); not in
 * the table. */
extern const nn_layer nn_layer_custom;
/* Canonical names of all layers, NULL-terminated. */
const char *const *nn_layer_names(void);

enum {
    NN_COMMON_NAME,
    NN_COMMON_TRAINABLE,
    NN_COMMON_DTYPE,
    NN_COMMON_DEVICE,
    NN_COMMON_INPUTS,
    NN_COMMON_COUNT
};
/* name, trainable, dtype, device, inputs: what every layer also takes */
extern const nn_param nn_layer_common[];
bool nn_param_has_alias(const nn_param *p, const char *name);
int nn_layer_n_params(const nn_layer *l); /* without the common ones */
/* Index of a parameter by name or alias in params, or (after them) in nn_layer_common; -1 if there
 * is none. */
int nn_layer_param(const nn_layer *l, const char *name);
/* The parameter at such an index. */
const nn_param *nn_layer_param_at(const nn_layer *l, int i);

/* Canonical name of an activation, with softmax, log_softmax and prelu, which are ops of their own
 * (nn_act_find does not know them); NULL if there is none. */
const char *nn_activation_find(const char *name);
const char *const *nn_activation_names(void); /* NULL-terminated */
/* cpu gpu cuda cuda:N tpu tpu:N mps auto, any letter case (language.md 8.7). */
bool nn_device_valid(const char *name);
#endif
