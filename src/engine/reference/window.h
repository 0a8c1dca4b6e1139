/* SPDX-License-Identifier: MIT */
/* window.h - walking the windows of convolution and pooling, with fewer than three spatial axes
 * filled up with axes of one. */
#ifndef NN_ENGINE_REFERENCE_WINDOW_H
#define NN_ENGINE_REFERENCE_WINDOW_H
#include "graph/graph.h"

typedef struct nn_ref_window {
    int64_t in[3], out[3], size[3], stride[3], dilation[3], pad[3];
    int64_t places, taps; /* output positions; positions in a window */
} nn_ref_window;

nn_ref_window nn_ref_window_make(const nn_window *w, const nn_shape *in, const nn_shape *out);
/* The input position (row-major over the spatial axes) that window position `tap` of output
 * position `place` looks at: out * stride - pad + tap * dilation along each axis; -1 in padding. */
int64_t nn_ref_window_at(const nn_ref_window *v, int64_t place, int64_t tap);
#endif
