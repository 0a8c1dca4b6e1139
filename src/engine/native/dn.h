/* SPDX-License-Identifier: MIT */
/* dn.h - the part of oneDNN's C API that the engine uses, with the differences between versions 2
 * and 3 hidden: memory descriptors (a struct there, a handle here), primitive descriptors (made in
 * two steps or one) and post-operations.
 *
 * Functions return oneDNN's status; nn_dn_fail turns it into an error that names operation and
 * node. The number of threads is baked into what is created: create under the number to run with.
 */
#ifndef NN_ENGINE_NATIVE_DN_H
#define NN_ENGINE_NATIVE_DN_H
#include "engine/native/native.h"

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t nn_md; /* owned */
typedef const_dnnl_memory_desc_t nn_cmd;
#else
typedef dnnl_memory_desc_t *nn_md; /* owned, from malloc */
typedef const dnnl_memory_desc_t *nn_cmd;
#endif

typedef struct nn_dn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} nn_dn;

nn_status nn_dn_new(nn_dn **ret, nn_err *err);
void nn_dn_free(nn_dn *d); /* NULL allowed */
/* Channels that a blocked tensor holds together for this processor's convolutions: 16 or 8. */
int64_t nn_dn_channel_block(void);
nn_status nn_dn_fail(dnnl_status_t s, const char *what, const nn_node *n, nn_err *err);

/* ---- memory descriptors, of floats ---- */

/* By strides; `strides` NULL leaves the layout to the primitive. */
dnnl_status_t nn_md_new(nn_md *ret, int rank, const int64_t *dims, const int64_t *strides);
/* rows x channels x spatial axes, channels in blocks of 8 or 16. */
dnnl_status_t nn_md_new_blocked(nn_md *ret, int rank, const int64_t *dims, int64_t block);
dnnl_status_t nn_md_copy(nn_md *ret, nn_cmd from);
void nn_md_free(nn_md md); /* NULL allowed */

/* ---- convolutions ---- */

typedef struct nn_dn_conv {
    nn_cmd src, weights, bias, dst; /* bias NULL: none */
    int64_t stride[3], dilation[3], before[3], after[3];
    bool training, relu, winograd;
} nn_dn_conv;

dnnl_status_t nn_dn_conv_forward(const nn_dn *d, const nn_dn_conv *c, dnnl_primitive_desc_t *ret);
dnnl_status_t nn_dn_conv_backward_data(const nn_dn *d, const nn_dn_conv *c,
                                       dnnl_primitive_desc_t forward, dnnl_primitive_desc_t *ret);
dnnl_status_t nn_dn_conv_backward_weights(const nn_dn *d, const nn_dn_conv *c,
                                          dnnl_primitive_desc_t forward,
                                          dnnl_primitive_desc_t *ret);

/* ---- ready-to-run primitives ---- */

enum { NN_DN_ARGS = 6 };

/* A primitive with its memories bound; zero is a valid empty one. */
typedef struct nn_dn_step {
    dnnl_primitive_t primitive;
    int n;
    dnnl_exec_arg_t args[NN_DN_ARGS];
    void *at[NN_DN_ARGS]; /* where their memories are */
} nn_dn_step;

dnnl_status_t nn_dn_step_new(nn_dn_step *s, dnnl_primitive_desc_t pd);
/* data NULL: bound later, with nn_dn_step_point. */
dnnl_status_t nn_dn_step_bind(const nn_dn *d, nn_dn_step *s, int arg, nn_cmd md, void *data);
dnnl_status_t nn_dn_step_point(nn_dn_step *s, int arg, void *data);
dnnl_status_t nn_dn_step_run(const nn_dn *d, const nn_dn_step *s);
void nn_dn_step_done(nn_dn_step *s);
/* A reorder; its memories are bound later. */
dnnl_status_t nn_dn_reorder(const nn_dn *d, nn_cmd from, nn_cmd to, nn_dn_step *ret);
size_t nn_dn_scratch(dnnl_primitive_desc_t pd); /* bytes */
#endif
