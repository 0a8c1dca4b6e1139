/* SPDX-License-Identifier: MIT */
/* spatial.h - what layers over one to three spatial axes share: how many axes they have, what is
 * said about an input of another rank, and the two layouts. Private to layers/. */
#ifndef NN_LAYERS_SPATIAL_H
#define NN_LAYERS_SPATIAL_H
#include "layers/build.h"

/* Spatial axes of a layer, from its name: 2 for "Conv2DTranspose". */
int nn_spatial_rank(const nn_layer *l);
/* The node to work on, channels last: checks that the input is (spatial..., channels), or with
 * channels_first (channels, spatial...), which is transposed. NN_E_DSL_ERROR for another rank, with
 * the layer or the Reshape that would fit. */
nn_status nn_spatial_enter(const nn_layer_ctx *c, const nn_bound *format, int *ret, nn_err *err);
/* Back to the layout that the program wants. */
nn_status nn_spatial_leave(const nn_layer_ctx *c, const nn_bound *format, int at, int *ret,
                           nn_err *err);
/* A whole layer of one op: enter, op, leave. */
nn_status nn_spatial_op(const nn_layer_ctx *c, const nn_bound *format, nn_op op,
                        const nn_attr *attr, int *ret, nn_err *err);

/* Texts of shape rules: NN_AXES(2) is "h, w". */
#define NN_AXES(r)  NN_AXES##r
#define NN_AXES1    "t"
#define NN_AXES2    "h, w"
#define NN_AXES3    "z, h, w"
#define NN_AXES_(r) NN_AXES##r##_ /* after the layer: "h', w'" */
#define NN_AXES1_   "t'"
#define NN_AXES2_   "h', w'"
#define NN_AXES3_   "z', h', w'"
#endif
