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
    NN_P_ACTIVATION,  /* a name of the activation table, softmax and log_softmax included */
    NN_P_INITIALIZER, /* a name or a call */
    NN_P_REGULARIZER, /* l1(f), l2(f), l1_l2(f, f) or a name */
    NN_P_CONSTRAINT
} nn_param_type;

typedef struct nn_param {
    const char *name;
    nn_param_type type;
    bool required;
    bool positional;      /* may be given without its name, in table order */
    int rank;             /* DIMS: length of the tuple */
    double min, max;      /* INT, FLOAT, DIMS; max 0 = none */
    bool above_min;       /* FLOAT: min itself is excluded */
    bool below_max;       /* FLOAT: max itself is excluded */
    const char *words;    /* ENUM: "valid|same" */
    const char *fallback; /* default as text, for help pages; the binder parses it. NULL: none */
    const char *aliases;  /* "stride|step"; NULL: none */
    const char *help;     /* one line */
} nn_param;

typedef enum nn_padding_kind { NN_PAD_VALID, NN_PAD_SAME, NN_PAD_EXPLICIT } nn_padding_kind;

/* A bound argument: what the program gave, or the default (given == false; for parameters without
 * one, set == false). */
typedef struct nn_bound {
    bool set, given;
    nn_span span;
    int64_t i;
    double f;
    bool b;
    const char *s; /* STRING, ENUM, ACTIVATION (canonical spelling) */
    int64_t dims[NN_MAX_SPATIAL];
    nn_shape shape;
    nn_padding_kind padding; /* EXPLICIT: dims */
    nn_initializer init;
    nn_regularizer reg;
    nn_constraint con;
} nn_bound;

typedef struct nn_layer nn_layer;

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
typedef struct nn_layer_ctx {
    const nn_layer *layer;
    const char *name; /* unique layer name */
    int index;
    nn_span span;
    const nn_bound *args;
    nn_graph *graph;
    int input;             /* node id of its input, -1 if it has none */
    const nn_shape *shape; /* of that input */
    nn_span *ret_at; /* where an error belongs if it is about one argument; preset to the layer */
    const char **ret_hint; /* what to do about it; preset to NULL */
    bool *ret_flatten;     /* set to true if inserting Flatten() before this layer would cure it */
    nn_loss_kind loss; /* of the network, when known: Output's default activation depends on it */
    bool has_loss, from_logits;
    void (*notice)(void *arg, const nn_notice *n); /* NULL: nobody listens */
    void *notice_arg;
} nn_layer_ctx;

typedef enum nn_layer_role { NN_ROLE_LAYER, NN_ROLE_INPUT, NN_ROLE_OUTPUT } nn_layer_role;

struct nn_layer {
    const char *name;    /* canonical spelling: "Conv2D" */
    const char *base;    /* for unique names: "conv2d" */
    const char *summary; /* one line of help */
    const char *family;  /* "convolution" */
    const char *rule;    /* the shape rule, for help and for shape errors */
    const char *aliases; /* "MaxPool2D|…"; NULL: none */
    nn_layer_role role;
    bool rank1; /* --auto-flatten puts a Flatten before it when the input has more axes */
    const nn_param *params; /* ends with a NULL name */
    /* Adds the layer's ops and weights to ctx->graph; ret is the id of the node that holds its
     * output. Errors: NN_E_DSL_ERROR; NN_E_UNSUPPORTED for an argument no engine knows yet. After
     * an error the graph may hold some of the layer's ops: it is to be thrown away. */
    nn_status (*build)(const nn_layer_ctx *ctx, int *ret, nn_err *err);
};

const nn_layer *
nn_layer_find(const char *name);         /* any letter case, aliases too; NULL if there is none */
const nn_layer *nn_layer_at(unsigned i); /* NULL past the end */
/* Canonical names of all layers, NULL-terminated. */
const char *const *nn_layer_names(void);
/* A layer that the language has but that is not built yet: its canonical name; NULL for others. */
const char *nn_layer_planned(const char *name);

enum { NN_COMMON_NAME, NN_COMMON_TRAINABLE, NN_COMMON_DTYPE, NN_COMMON_DEVICE, NN_COMMON_COUNT };
extern const nn_param
    nn_layer_common[]; /* name, trainable, dtype, device: what every layer also takes */
int nn_layer_n_params(const nn_layer *l); /* without the common ones */
/* Index of a parameter by name or alias in params, or (after them) in nn_layer_common; -1 if there
 * is none. */
int nn_layer_param(const nn_layer *l, const char *name);
/* The parameter at such an index. */
const nn_param *nn_layer_param_at(const nn_layer *l, int i);

/* Canonical name of an activation, softmax and log_softmax included; NULL if there is none. */
const char *nn_activation_find(const char *name);
const char *const *nn_activation_names(void); /* NULL-terminated */
/* cpu gpu cuda cuda:N tpu tpu:N mps auto, any letter case (language.md 8.7). */
bool nn_device_valid(const char *name);
#endif
