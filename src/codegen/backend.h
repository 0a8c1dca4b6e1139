/* SPDX-License-Identifier: MIT */
/* backend.h - a code generator: one emit function for every op in graph/ops.def, and a frame around
 * them. Output is deterministic: the same graph and options give the same bytes. */
#ifndef NN_CODEGEN_BACKEND_H
#define NN_CODEGEN_BACKEND_H
#include "graph/graph.h"

typedef struct nn_codegen_options {
    const char *source_name; /* for the head comment; NULL: none */
    const char *source_sha256;
    const char *dataset;  /* default data set of the training program */
    const float *weights; /* a slab in the order of nn_graph.weights, for backends that write
                             weights (backend.weights); NULL: none */
    /* Takes the files beside the main one, for backends that write several: `end` goes behind the
     * main file's name without its extension: ".weights.bin". NULL: nobody takes them. */
    nn_status (*file)(void *arg, const char *end, const void *p, size_t n, nn_err *err);
    void *file_arg;
    const char *file_stem; /* the main file's name without folder and extension, for backends whose
                              main file names the others; NULL: "model" */
} nn_codegen_options;

typedef struct nn_emit nn_emit; /* a backend's own writing state */
typedef nn_status nn_emit_fn(nn_emit *e, const nn_node *n, nn_err *err);

typedef struct nn_backend {
    const char *name, *aliases, *summary, *extension, *media_type;
    bool weights; /* wants options.weights: a slab, trained or initial */
    nn_status (*generate)(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err);
    /* The main file in a form for people, appended; NULL: it is a text itself. */
    nn_status (*text)(const void *file, size_t n, nn_buf *out, nn_err *err);
} nn_backend;

/* Expands to the emit table of a backend file: emit_<op> for every op, or it does not compile. */
#define NN_EMIT_TABLE(ident) static nn_emit_fn *const ident[NN_OP_COUNT]

const nn_backend *nn_backend_at(unsigned i);
const nn_backend *nn_backend_find(const char *name); /* name or alias; NULL if there is none */
/* The same; lists all of them, 'a', 'b' or 'c', where it finds none. */
const nn_backend *nn_backend_choose(const char *name, nn_buf *ret_list);
/* Generates into out (appended). NN_E_UNSUPPORTED names the layer and the op that the backend
 * cannot express. */
nn_status nn_codegen(const nn_backend *b, const nn_graph *g, const nn_codegen_options *opt,
                     nn_buf *out, nn_err *err);
#endif
