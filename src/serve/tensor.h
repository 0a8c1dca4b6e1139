/* SPDX-License-Identifier: MIT */
/* tensor.h - rows of numbers between JSON and an engine. Pure functions. */
#ifndef NN_SERVE_TENSOR_H
#define NN_SERVE_TENSOR_H
#include "base/json.h"
#include "base/shape.h"

/* How many rows `v` holds for samples of `shape`: an array of rows, or one row alone; a row is
 * nested as the shape says or flat. NN_E_VALIDATION_ERROR names the first place that does not fit
 * ("inputs[3][0]"); `name` begins the path. */
nn_status nn_tensor_rows(const nn_json *v, const nn_shape *shape, const char *name,
                         int64_t *ret_rows, nn_err *err);
/* Writes those rows to x (rows x elements(shape)) as raw * scale + offset. Same errors; x may then
 * be partly written. */
nn_status nn_tensor_read(const nn_json *v, const nn_shape *shape, const char *name, float scale,
                         float offset, float *x, nn_err *err);
/* Appends rows of y, each nested as `shape` says, to w. */
void nn_tensor_write(nn_jw *w, const float *y, int64_t rows, const nn_shape *shape);
#endif
