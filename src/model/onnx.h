/* SPDX-License-Identifier: MIT */
/* onnx.h - reading a network, with its weights, from a file of ONNX (operators up to opset 17).
 *
 * The first axis of every input is the batch (of the input of a recurrent operator: the second).
 * What comes out is a model as training writes it: rows of channels-last floats; outputs keep the
 * order of axes that the file gives them. A file is not trusted: sizes, nesting, names, shapes and
 * the order of operators are checked, and data outside of the file is refused. */
#ifndef NN_MODEL_ONNX_H
#define NN_MODEL_ONNX_H
#include "model/model.h"

/* NN_E_MODEL_FILE_ERROR: it is not a whole file of ONNX. NN_E_UNSUPPORTED: an operator, or a use of
 * one, that our ops do not cover; the message names it, and why. */
nn_status nn_onnx_import(const char *path, nn_model **ret, nn_err *err);
nn_status nn_onnx_import_bytes(const void *p, size_t n, const char *name, nn_model **ret,
                               nn_err *err);
#endif
