/* SPDX-License-Identifier: MIT */
/* attention.h - what the layers of attention.c, transformer.c and blocks.c share. Private to
 * layers/. */
#ifndef NN_LAYERS_ATTENTION_H
#define NN_LAYERS_ATTENTION_H
#include "layers/build.h"

enum { NN_MAX_SUFFIX = 64 };

/* "prefix.name"; without the dot if one of them is empty. Returns buf (NN_MAX_SUFFIX bytes). */
const char *nn_build_suffix(char *buf, const char *prefix, const char *name);

/* y = x W (+ b) over the last axis, by a block of kernel parameters (build.h). */
nn_status nn_build_dense(const nn_layer_ctx *c, const char *suffix, int from, int64_t units,
                         const nn_bound *kernel, int *ret, nn_err *err);
/* The block of kernel parameters when none is given: bias, glorot_uniform, zeros. */
void nn_build_kernel_defaults(nn_bound kernel[NN_K_COUNT]);

/* Whether `node` may be a sequence: (steps..., features), of which at most one size before the
 * features is unknown if there are several. `what` names it: "query". */
nn_status nn_build_check_sequence(const nn_layer_ctx *c, int node, const char *what, nn_err *err);

typedef struct nn_heads {
    const char *prefix;    /* of its ops' suffixes; the attention itself is called `prefix` */
    int query, value, key; /* nodes (steps..., features); several step axes are taken as one */
    int64_t heads, key_dim, value_dim; /* sizes of one head */
    int64_t units;                     /* features of the output */
    double dropout;
    bool causal;
    int mask; /* tokens of the keys (steps), 0 is padding; -1: none. Only used for one step axis */
    const nn_bound *kernel; /* of all four projections */
} nn_heads;

/* Multi-head attention (Vaswani et al. 2017, 3.2.2; Keras's MultiHeadAttention): projections to
 * heads * size, softmax(q k^T / sqrt(key_dim)) v a head, projection to `units`. ret: (the query's
 * steps..., units). */
nn_status nn_build_heads(const nn_layer_ctx *c, const nn_heads *h, int *ret, nn_err *err);
#endif
