/* SPDX-License-Identifier: MIT */
/* convolution.h - convolutions by oneDNN, for any number of rows: what conv, conv_transpose and
 * conv_lstm are made from.
 *
 * The *wide* side is what windows look at, the *narrow* side has one place a window. Three passes:
 * OUT from wide to narrow (a convolution), BACK from narrow to wide (its gradient; a transposed
 * convolution), WEIGHTS from both to the gradient of the kernel. Both sides are in layouts that the
 * caller owns; the layout of the kernel is the choice of the first pass asked for. Where another
 * pass wants the kernel otherwise, a reorder goes with it.
 *
 * Primitives are made for a number of rows: the first when planning, others the first time they are
 * needed, and kept. In inference rows are rounded up to a power of two instead: rows do not mix.
 * Functions return oneDNN's status. One thread at a time, that of the executor. */
#ifndef NN_ENGINE_NATIVE_CONVOLUTION_H
#define NN_ENGINE_NATIVE_CONVOLUTION_H
#include "engine/native/dn.h"

typedef struct nn_convolution nn_convolution;

typedef enum nn_conv_pass {
    NN_CONV_OUT,
    NN_CONV_BACK,
    NN_CONV_WEIGHTS,
    NN_CONV_PASSES
} nn_conv_pass;

typedef struct nn_conv_spec {
    const nn_window *window; /* pads after it follow from the sizes */
    int64_t groups;
    const nn_shape *wide, *narrow; /* (spatial..., channels) */
    nn_layout wide_layout, narrow_layout;
    bool blocked; /* channels in blocks, but for planes: not to be seen as plain where there is one
                     block */
    bool bias, relu;             /* of the pass OUT; WEIGHTS gives the gradient of the bias too */
    bool passes[NN_CONV_PASSES]; /* those that will be run */
    nn_conv_pass first;          /* OUT or BACK: the one in forward */
    bool pieces;                 /* WEIGHTS will be added up over pieces of the rows */
    int64_t rows;                /* that are run most often */
} nn_conv_spec;

/* Sets the layouts that such a convolution likes: channels in blocks, in planes (wide only, few
 * channels) or plain. The other fields are set. */
void nn_conv_layouts(const nn_native *x, nn_conv_spec *s);

/* Plans for u: wishes for memory, makes the first primitives. They live until _free. */
nn_status nn_convolution_new(nn_native *x, nn_unit *u, const nn_conv_spec *s, nn_convolution **ret,
                             nn_err *err);
void nn_convolution_free(nn_convolution *c); /* NULL allowed */
/* After memory is placed. */
nn_status nn_convolution_bind(nn_native *x, nn_convolution *c, nn_err *err);
int64_t nn_convolution_floats(const nn_convolution *c); /* of the kernel in execution layout */
/* Between that and the slab's [k..., wide / groups, narrow]. */
nn_status nn_convolution_convert(const nn_native *x, nn_convolution *c, bool import, float *plain,
                                 float *exec);
/* Whether windows reach all of the wide side; else BACK leaves the end of it as it is. */
bool nn_convolution_covers(const nn_convolution *c);

/* Rows of one pass; in inference up to `most` may be computed. */
typedef struct nn_conv_rows {
    int64_t n, most;
} nn_conv_rows;

/* narrow = wide * w + bias */
dnnl_status_t nn_convolution_out(nn_native *x, nn_convolution *c, nn_conv_rows r, float *wide,
                                 float *w, float *bias, float *narrow);
/* Before the pass that is not `first`, whenever w has changed. */
dnnl_status_t nn_convolution_prepare(nn_native *x, nn_convolution *c, float *w);
dnnl_status_t nn_convolution_back(nn_native *x, nn_convolution *c, nn_conv_rows r, float *narrow,
                                  float *w, float *wide);
/* Gradients, or with `add` (spec.pieces) added to those of the pieces before; then, at the end,
 * _finish. db NULL: none. */
dnnl_status_t nn_convolution_weights(nn_native *x, nn_convolution *c, nn_conv_rows r, float *wide,
                                     float *narrow, float *dw, float *db, bool add);
dnnl_status_t nn_convolution_finish(nn_native *x, nn_convolution *c, float *dw);
#endif
