/* SPDX-License-Identifier: MIT */
/* keras_ops.h - what the files that map ops to Keras layers share. The functions add layers to k,
 * for node n, and return the last (or say in *from which it is). */
#ifndef NN_CODEGEN_KERAS_OPS_H
#define NN_CODEGEN_KERAS_OPS_H
#include "codegen/keras.h"

const nn_node *nn_ko_input(const nn_keras *k, const nn_node *n); /* the first one */
int nn_ko_from(const nn_keras *k, const nn_node *n);             /* its layer */
int nn_ko_last(const nn_keras *k);
const nn_weight *nn_ko_weight(const nn_keras *k, const nn_node *n, int i);
const char *nn_ko_ranked(nn_keras *k, const char *before, int rank); /* "Conv2D" */
float *nn_ko_floats(nn_keras *k, int64_t n);                         /* zeros */
bool nn_ko_all(const int64_t *v, int n, int64_t wanted);
bool nn_ko_pads(const nn_window *w); /* its padding is numbers other than 0 */

/* Arguments that several ops have: the activation that the plan took into node n, use_bias or what
 * is said about the bias, a window. */
void nn_ko_put_activation(nn_json *c, const nn_keras *k, const nn_node *n);
void nn_ko_put_bias(nn_json *c, const nn_keras *k, const nn_node *n, bool bias);
void nn_ko_put_window(nn_json *c, const nn_window *w, const char *padding);
/* Weight i of node n is `name` of l. */
void nn_ko_weigh(nn_keras *k, nn_keras_layer *l, const nn_node *n, int i, const char *name);

/* keras_parts.c: layers that other ops are made of */
int nn_ko_reshape(nn_keras *k, const nn_node *n, const nn_shape *to, int from);
int nn_ko_permute(nn_keras *k, const nn_node *n, const int *perm, int rank, int from);
int nn_ko_rescale(nn_keras *k, const nn_node *n, double scale, double offset, int from);
int nn_ko_function(nn_keras *k, const nn_node *n, const char *activation, int from);
int nn_ko_relu(nn_keras *k, const nn_node *n, double most, int from); /* most <= 0: no bound */
int nn_ko_merge(nn_keras *k, const nn_node *n, const char *class_name, int a, int b);
/* x times a fixed matrix, along the last axis. */
int nn_ko_product(nn_keras *k, const nn_node *n, const float *matrix, int64_t in, int64_t out,
                  int from);
/* The same along axis `axis` of a tensor of `rank` axes. */
int nn_ko_along(nn_keras *k, const nn_node *n, int axis, int rank, const float *matrix, int64_t in,
                int64_t out, int x);
/* a times b, summed over an axis of each; the batch is axis 0. */
int nn_ko_dot(nn_keras *k, const nn_node *n, int a, int b, int axis_a, int axis_b);
/* m layers side by side along axis `axis`, the batch being 0; m >= 1. */
int nn_ko_row(nn_keras *k, const nn_node *n, int axis, const int *layers, int64_t m);
/* x * gamma + beta for each of the last axis (NULL: 1, 0); of up to three axes. */
int nn_ko_affine(nn_keras *k, const nn_node *n, const float *gamma, const float *beta, int64_t size,
                 int from);
/* Zeros around the spatial axes of a tensor of shape *s, or off they go; s and from move on. */
nn_status nn_ko_border(nn_keras *k, const nn_node *n, const nn_border *b, bool crop, nn_shape *s,
                       int *from, nn_err *err);

/* 1 where a token is not 0, else 0. */
int nn_ko_present(nn_keras *k, const nn_node *n, int tokens);
/* TensorFlow.js 4.22 pads 3-D windows 'same' by a negative number where the kernel is shorter than
 * the stride asks for: what no window reaches goes off the end before. */
nn_status nn_ko_trim(nn_keras *k, const nn_node *n, const nn_window *w, nn_shape *s, int *from,
                     nn_err *err);

typedef struct nn_ko_cell { /* what RNN and CONV_LSTM have in common */
    nn_act activation, recurrent;
    bool bias, sequences, reverse, gates;
    double dropout, recurrent_dropout;
} nn_ko_cell;
nn_ko_cell nn_ko_cell_of(const nn_node *n);

/* Axis `axis` of x, which is of that shape, in the opposite order. */
nn_status nn_ko_turn(nn_keras *k, const nn_node *n, int axis, const nn_shape *shape, int x,
                     nn_err *err);

/* Ops: keras_window.c, keras_pool.c, keras_rows.c, keras_steps.c, keras_attention.c. */
nn_status nn_ko_conv(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_pool(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_global_pool(nn_keras *k, const nn_node *n, nn_err *err);
/* A function of elements of layer x, for node n. */
nn_status nn_ko_activation(nn_keras *k, const nn_node *n, nn_act act, double alpha, int x,
                           nn_err *err);
bool nn_ko_has_function(const nn_keras *k, nn_act act); /* whether that succeeds */
nn_status nn_ko_group_norm(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_conv_transpose(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_adaptive_pool(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_upsample(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_reverse(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_clip(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_position(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_unroll(nn_keras *k, const nn_node *n, nn_err *err); /* keras_unroll.c */
nn_status nn_ko_rnn(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_conv_lstm(nn_keras *k, const nn_node *n, nn_err *err);
nn_status nn_ko_attention(nn_keras *k, const nn_node *n, nn_err *err);
#endif
