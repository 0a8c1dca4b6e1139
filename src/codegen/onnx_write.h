/* SPDX-License-Identifier: MIT */
/* onnx_write.h - the file of the backend `onnx`, for whoever reads such files: writing a graph
 * again is what proves that a file holds that graph. Any thread. */
#ifndef NN_CODEGEN_ONNX_WRITE_H
#define NN_CODEGEN_ONNX_WRITE_H
#include "codegen/backend.h"

/* The metadata that holds nn_graph_json. */
#define NN_ONNX_GRAPH_KEY "graph"

/* Appends the file to out. Weights are only ever copied into it, each float as it is, in any order
 * of axes, so that other bits in their place are found again. `most`: bytes that values and
 * constants may take, for graphs that are not trusted; 0: any. NN_E_LIMIT past it. */
nn_status nn_onnx_write(const nn_graph *g, const nn_codegen_options *opt, size_t most, nn_buf *out,
                        nn_err *err);
#endif
