/* SPDX-License-Identifier: MIT */
/* model.h - a trained network in one .safetensors file: weights, and in its metadata the graph,
 * class names, normalisation, the training summary and the source text. A model owns what it points
 * to. Read-only after loading; may be shared.
 *
 * Loading trusts nothing: header size, JSON, dtypes, shapes, overlapping, out-of-range or missing
 * offsets and a graph that is not one all fail with NN_E_MODEL_FILE_ERROR and the place. Format:
 * https://github.com/huggingface/safetensors (README, "Format"). */
#ifndef NN_MODEL_MODEL_H
#define NN_MODEL_MODEL_H
#include "graph/graph.h"

typedef struct nn_model {
    nn_graph *graph;
    float *weights;     /* graph->slab floats, plain layout; 64-byte aligned */
    char **class_names; /* n_classes of them; NULL if unknown */
    int n_classes;
    float scale, offset;  /* normalisation of raw inputs: x = raw * scale + offset */
    nn_json *summary;     /* what training says of itself: data set, epochs, metrics, times; NULL if
                             untrained */
    nn_json *certificate; /* what `neural verify` found of these weights; NULL: never asked. Whoever
                             changes the weights drops it */
    char *source;         /* the program's text; NULL if unknown */
    char sha256[65];      /* of the file's bytes; set by load and save */
} nn_model;

/* A model around `graph` with a zeroed slab. The graph is taken over, with its arena, and freed
 * with the model; on failure too. NN_E_OUT_OF_MEMORY. */
nn_status nn_model_new(nn_graph *graph, nn_model **ret, nn_err *err);
void nn_model_free(nn_model *m); /* NULL allowed */
static inline void nn_model_freep(nn_model **m) {
    nn_model_free(*m);
}
/* Writes path atomically: temporary name, fsync, rename, fsync of the folder. Deterministic bytes.
 * Sets m->sha256. */
nn_status nn_model_save(nn_model *m, const char *path, nn_err *err);
nn_status nn_model_load(const char *path, nn_model **ret, nn_err *err);
nn_status nn_model_load_bytes(const char *p, size_t n, const char *name, nn_model **ret,
                              nn_err *err);

/* The container itself, for checkpoints too: named tensors and string metadata. */
typedef struct nn_tensor {
    const char *name;
    const char *dtype; /* "F32", "U32", "I64", "U8" */
    nn_shape shape;    /* rank 0: one element; an axis may be 0 long */
    const void *data;  /* aligned to its elements */
    size_t bytes;
} nn_tensor;
typedef struct nn_safetensors nn_safetensors;
/* Writes path atomically. metadata: an object of strings, or NULL. Tensors with larger elements
 * come first in the file, otherwise the order is kept. */
nn_status nn_safetensors_write(const char *path, const nn_tensor *tensors, int n,
                               const nn_json *metadata, char ret_sha256[65], nn_err *err);
/* Maps the file, which must not be cut while it is open (our own files are replaced, never
 * changed). */
nn_status nn_safetensors_open(const char *path, nn_safetensors **ret, nn_err *err);
/* The same over n bytes at p, which stay the caller's and must outlive s; `name` is for messages.
 */
nn_status nn_safetensors_read(const char *p, size_t n, const char *name, nn_safetensors **ret,
                              nn_err *err);
const nn_tensor *nn_safetensors_find(const nn_safetensors *s, const char *name); /* or NULL */
/* In the order of the file; NULL past the end. */
const nn_tensor *nn_safetensors_at(const nn_safetensors *s, int i);
void nn_safetensors_sha256(const nn_safetensors *s, char ret[65]);         /* of all bytes */
const char *nn_safetensors_meta(const nn_safetensors *s, const char *key); /* NULL if absent */
void nn_safetensors_close(nn_safetensors *s);
#endif
