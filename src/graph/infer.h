/* SPDX-License-Identifier: MIT */
/* infer.h - the shape rule of each op. Private to graph/. Pure functions. */
#ifndef NN_GRAPH_INFER_H
#define NN_GRAPH_INFER_H
#include "graph/graph.h"

/* Sets n->shape (and the pads of a "same" window) from n->attr and the shape of its input (NULL for
 * INPUT); checks INPUT's and RESHAPE's given shape. NN_E_DSL_ERROR. */
nn_status nn_infer(nn_node *n, const nn_shape *in, nn_err *err);
#endif
