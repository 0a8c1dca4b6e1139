/* SPDX-License-Identifier: MIT */
/* keras.h - a graph as Keras layers: class, arguments, wiring and weights in Keras's order. One
 * mapping (keras.c, keras_ops.c) feeds both the Python program (tensorflow*.c) and the LayersModel
 * description (keras_json.c), so that they cannot differ. Lives in one arena; one thread.
 *
 * Arguments are a JSON object in the order in which they are written. A key that begins with "~" is
 * Keras's own default, which TensorFlow.js does not share: only descriptions hold it. One with "!"
 * is about training, and only programs hold it. An object {"class_name", "config"} is a call, an
 * object {"code"} Python itself. */
#ifndef NN_CODEGEN_KERAS_H
#define NN_CODEGEN_KERAS_H
#include "base/json.h"
#include "codegen/backend.h"
#include "codegen/python.h"

/* A classic LayersModel has no layer for some ops: other layers, made of TensorFlow.js's, take
 * their place. Programs get layers of their own instead (tensorflow_helpers.c). */
typedef enum nn_keras_target { NN_KERAS_PYTHON, NN_KERAS_JS } nn_keras_target;

enum { NN_KERAS_WEIGHTS = 8 };

typedef struct nn_keras_weight {
    int index;           /* of the graph; -1: `values` */
    const float *values; /* fixed, of a layer that stands for an op without weights */
    const char *name;    /* "kernel" */
    nn_shape shape;      /* as Keras holds it: the same elements in the same order */
} nn_keras_weight;

typedef struct nn_keras_layer {
    const char *class_name; /* "Conv2D" */
    const char *name;       /* unique */
    bool named;             /* the user gave the name */
    bool helper;            /* a class of the program, not of keras.layers */
    bool spread;            /* called with its inputs one by one instead of as a list */
    nn_json *config;        /* arguments; of an InputLayer: none */
    nn_json *call;          /* further arguments of the call; NULL: none */
    int n_inputs, *inputs;  /* layers */
    int n_weights;
    nn_keras_weight weights[NN_KERAS_WEIGHTS];
    const nn_node *node; /* which it came from */
    nn_shape shape;      /* of its output, for comments; rank -1: not said */
    int tokens;          /* node whose zeros Keras masks in it; -1: none */
    int again, call_no;  /* a further call of layer `again`, its call_no-th; -1: a layer itself */
    bool shared_mask;    /* an Embedding that says so */
} nn_keras_layer;

typedef struct nn_keras {
    const nn_graph *g;
    const nn_codegen_options *opt;
    nn_keras_target target;
    nn_arena *arena;
    nn_keras_layer *layers;
    int n, cap;
    int *value;     /* node: the layer that gives its output */
    int *users;     /* node: those that read it, outputs of the network among them */
    int *user;      /* node: the last of the nodes that read it; -1: none */
    int *depth;     /* node: folds around it */
    int *last;      /* node: the end of the pattern that it begins; itself */
    bool *absorbed; /* node: part of another's pattern */
    bool *masks;    /* node: its zeros are padding for somebody */
    bool in_parts;  /* padding is layers that multiply and add: Keras hands on no mask */
} nn_keras;

/* Maps the graph. k is to be closed on failure too. NN_E_UNSUPPORTED names layer, op and reason. */
nn_status nn_keras_open(nn_keras *k, const nn_graph *g, const nn_codegen_options *opt,
                        nn_keras_target target, nn_err *err);
void nn_keras_close(nn_keras *k);

/* ---- for keras_ops.c ---- */

/* Adds a layer that reads layer `from` (-1: none yet); takes over config. Inside a fold it is
 * wrapped in TimeDistributed. The pointer is valid until the next. */
nn_keras_layer *nn_keras_add(nn_keras *k, const nn_node *n, const char *class_name, nn_json *config,
                             int from);
void nn_keras_input(nn_keras *k, nn_keras_layer *l, int from); /* one more input */
/* A layer of the program's own classes. */
nn_keras_layer *nn_keras_add_helper(nn_keras *k, const nn_node *n, const char *class_name,
                                    nn_json *config, int from);
/* The layer `owner` once more, on another input: the same weights. Descriptions only. */
int nn_keras_again(nn_keras *k, int owner, int from);
void nn_keras_weigh(nn_keras_layer *l, int index, const char *name, nn_shape shape);
/* Fixed values: copied. */
void nn_keras_fix(nn_keras *k, nn_keras_layer *l, const float *values, const char *name,
                  nn_shape shape);
nn_status nn_keras_cannot(const nn_keras *k, const nn_node *n, const char *why, const char *way,
                          nn_err *err);
/* keras_ops.c: adds node n (and what it absorbs); sets k->value of the last node. */
nn_status nn_keras_map(nn_keras *k, const nn_node *n, nn_err *err);
/* Finds the nodes that become one layer. */
void nn_keras_plan(nn_keras *k);
/* keras_unroll.c: whether recurrent node n is written out step by step. */
bool nn_keras_unrolls(const nn_keras *k, const nn_node *n);
/* Keras's name of a function of elements without arguments; NULL: it has none that all versions
 * agree on. */
const char *nn_keras_activation(const nn_node *n);

/* ---- arguments (keras_args.c) ---- */
nn_json *nn_ka_new(void);
void nn_ka_int(nn_json *c, const char *key, int64_t v);
void nn_ka_num(nn_json *c, const char *key, double v);
void nn_ka_str(nn_json *c, const char *key, const char *v);
void nn_ka_bool(nn_json *c, const char *key, bool v);
void nn_ka_tuple(nn_json *c, const char *key, const int64_t *v, int n);
void nn_ka_sizes(nn_json *c, const char *key, const int64_t *v, int n); /* one number if equal */
void nn_ka_shape(nn_json *c, const char *key, const nn_shape *s);
void nn_ka_pairs(nn_json *c, const char *key, const int64_t *a, const int64_t *b, int n);
void nn_ka_code(nn_json *c, const char *key, const char *python);
nn_json *nn_ka_call(const char *class_name, nn_json *config);
/* "<what>_initializer", "_regularizer" and "_constraint" of a weight, where they are not the
 * default. axes: those that a constraint's norm runs over, n of them, Keras's default being 0. */
void nn_ka_weight(nn_json *c, const nn_weight *w, const char *what, nn_init_kind usual, int axes);
void nn_ka_trainable(nn_json *c, const nn_keras *k, const nn_node *n);
#endif
