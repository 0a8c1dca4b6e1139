/* SPDX-License-Identifier: MIT */
/* tensor.h - rows of numbers between JSON text and an engine. Pure functions. */
#ifndef NN_SERVE_TENSOR_H
#define NN_SERVE_TENSOR_H
#include "base/json_reader.h"
#include "base/shape.h"

/* One thing that is wrong with a request: an item of section 5 of rest-api.md. */
typedef struct nn_violation {
    const char *type; /* "wrong_type"; static */
    char path[160];   /* "inputs.3.0" */
    char msg[160];    /* "is a text, expected a number" */
} nn_violation;

/* What rows are read for. Numbers become raw * scale + offset. */
typedef struct nn_tensor_form {
    const char *name; /* begins the paths in messages: "inputs" */
    nn_shape shape;   /* of a sample; every size is known */
    float scale, offset;
} nn_tensor_form;

/* Reads the value that begins with `first`, which was just read: an array of rows, or one row
 * alone; a row is nested as the shape says, or flat. Two levels for a sample of two axes are one
 * row where the first has the sample's width, else flat rows. Appends the rows as floats to x.
 * NN_E_VALIDATION_ERROR names the first place that does not fit, "inputs[3][0] is a text, expected
 * a number", and fills *bad (NULL allowed); then too the value has been read to its end, and x
 * holds a part. Also the errors of nn_jr_next. */
nn_status nn_tensor_read(nn_jr *r, const nn_jr_token *first, const nn_tensor_form *f, nn_buf *x,
                         int64_t *ret_rows, nn_violation *bad, nn_err *err);
/* Appends rows of y, each nested as `shape` says, to w. */
void nn_tensor_write(nn_jw *w, const float *y, int64_t rows, const nn_shape *shape);
#endif
