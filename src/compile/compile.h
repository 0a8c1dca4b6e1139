/* SPDX-License-Identifier: MIT */
/* compile.h - source text to a checked, shaped graph: the one front end of every face.
 * A unit and everything it points to live in the arena given to nn_compile and are read-only
 * afterwards. */
#ifndef NN_COMPILE_COMPILE_H
#define NN_COMPILE_COMPILE_H
#include "graph/graph.h"
#include "lang/tree.h"
#include "layers/layer.h"

/* A layer of the checked network, for shape tables, pages and pictures: inputs first, then each
 * layer (repetitions apart); the layers of a block follow the layer that the block belongs to. */
typedef struct nn_unit_layer {
    const char *name; /* unique in the network: "conv2d_1" */
    const nn_layer *layer;
    const char *type; /* "Conv2D"; of a custom layer the name as written */
    nn_span span;     /* of the call in the source */
    int index;  /* in model_data's `layers` (of a block: its layer's `sublayers`), -1 for inputs */
    int parent; /* row of the layer whose block it stands in, -1 if none */
    const int *inputs; /* rows that its values come from */
    int n_inputs;
    nn_shape in, out; /* in: of its first input */
    bool known;       /* false: out is not known (behind a Lambda or a custom layer) */
    int64_t params, trainable, flops; /* of one sample, blocks included; flops -1: unknown */
    int64_t activation_bytes;         /* of what its ops give out for one sample; -1: unknown */
    int first_node, last_node;        /* ids of its ops; last < first: none */
    int output_node;                  /* the one that holds its output; -1: not known */
} nn_unit_layer;

typedef struct nn_space nn_space;

typedef struct nn_unit {
    nn_graph *graph; /* whole (nn_graph_check) unless `incomplete` says why not */
    nn_program *tree;
    const nn_source *source;
    const nn_network *network;
    nn_unit_layer *layers;
    int n_layers;
    int64_t params, trainable, flops;
    const char *framework;  /* what the program's framework section says: "tensorflow", "pytorch",
                               "onnx"; NULL: nothing */
    const char *incomplete; /* why nothing can run it: a shape is not known; NULL if it is whole */
    nn_space *space;        /* its search points; the graph was built on the chosen values */
    bool auto_flatten;      /* of the options it was compiled with */
} nn_unit;

/* One value for one search point: path or alias, and the value's text as a program would have it.
 */
typedef struct nn_setting {
    const char *path, *value;
} nn_setting;

typedef struct nn_compile_options {
    bool auto_flatten; /* insert Flatten before Dense or Output where the rank asks for it */
    const nn_setting *settings; /* chosen values of search points; others take their first value */
    int n_settings;
} nn_compile_options;

enum { NN_MAX_LAYERS = 100000 }; /* repetitions and macros counted; more is an error */

/* Parses, checks and shapes. opt may be NULL. All errors and warnings are in *diags (never NULL);
 * NN_E_DSL_ERROR (err: the first error, with its place) when there is at least one error; then ret
 * is untouched.
 */
nn_status nn_compile(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                     nn_diags *diags, nn_unit **ret, nn_err *err);
/* The same from a tree that is there already (of model_data, say); `src` is what its places are
 * in. The tree is expanded in place. */
nn_status nn_compile_tree(nn_arena *arena, const nn_source *src, nn_program *tree,
                          const nn_compile_options *opt, nn_diags *diags, nn_unit **ret,
                          nn_err *err);
/* NN_E_UNSUPPORTED, with the reason and the way out, for a unit whose graph nothing can generate or
 * run: it is incomplete. */
nn_status nn_unit_whole(const nn_unit *u, nn_err *err);
/* The same for training and running, also while search points are open. */
nn_status nn_unit_runnable(const nn_unit *u, nn_err *err);
/* Code is generated with the first value of each open search point: a warning for each, at most 20.
 */
void nn_unit_defaults(const nn_unit *u, nn_diags *diags);
/* Reads a file, or standard input for "-", of at most 16 MiB into the arena. Whether it is UTF-8
 * the lexer says, with a place. NN_E_NOT_FOUND, NN_E_STORAGE_ERROR, NN_E_LIMIT. */
nn_status nn_source_read(nn_arena *arena, const char *path, nn_source *ret, nn_err *err);
#endif
