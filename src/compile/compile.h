/* SPDX-License-Identifier: MIT */
/* compile.h - source text to a checked, shaped graph: the one front end of every face.
 * A unit and everything it points to live in the arena given to nn_compile and are read-only
 * afterwards. */
#ifndef NN_COMPILE_COMPILE_H
#define NN_COMPILE_COMPILE_H
#include "graph/graph.h"
#include "lang/tree.h"
#include "layers/layer.h"

/* A layer of the checked network, for shape tables and pages: inputs first, then each layer
 * (repetitions apart). */
typedef struct nn_unit_layer {
    const char *name, *type; /* "conv2d_1", "Conv2D" */
    nn_span span;
    nn_shape in, out;
    int64_t params, trainable, flops; /* flops -1: unknown */
    int first_node, last_node;
} nn_unit_layer;

typedef struct nn_unit {
    nn_graph *graph;
    nn_program *tree;
    nn_unit_layer *layers;
    int n_layers;
    int64_t params, trainable, flops;
    const char *framework; /* what the program's framework section says: "tensorflow", "pytorch",
                              "onnx"; NULL: nothing */
} nn_unit;

typedef struct nn_compile_options {
    bool auto_flatten; /* insert Flatten before Dense or Output where the rank asks for it */
} nn_compile_options;

enum { NN_MAX_LAYERS = 100000 }; /* repetitions counted; more is an error */

/* Parses, checks and shapes. opt may be NULL. All errors and warnings are in *diags (never NULL);
 * NN_E_DSL_ERROR (err: the first error, with its place) when there is at least one error; then ret
 * is untouched.
 */
nn_status nn_compile(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                     nn_diags *diags, nn_unit **ret, nn_err *err);
/* Reads a file, or standard input for "-", of at most 16 MiB into the arena. Whether it is UTF-8
 * the lexer says, with a place. NN_E_NOT_FOUND, NN_E_STORAGE_ERROR, NN_E_LIMIT. */
nn_status nn_source_read(nn_arena *arena, const char *path, nn_source *ret, nn_err *err);
#endif
