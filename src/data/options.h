/* SPDX-License-Identifier: MIT */
/* options.h - inside data/: "PATH:size=32x32,memory=1G", what a user says of a set beside its
 * place.
 *
 * A format's options are rows of a table, and so are those that every format takes. Nothing is
 * ignored: an option that nobody knows is NN_E_VALIDATION_ERROR with those that are known. */
#ifndef NN_DATA_OPTIONS_H
#define NN_DATA_OPTIONS_H
#include "data/format.h"

typedef struct nn_data_param {
    const char *name, *expected;              /* "a positive integer" */
    bool (*set)(void *to, const char *value); /* false: the value is not what was expected */
} nn_data_param;

/* Bytes of `spec` that are a name or path; what follows a ':' after them are options. A path that
 * is there is a path whatever it is called. */
size_t nn_data_spec_path(const char *spec);
/* Sets the options of q by the rows of `params`; messages begin with `format`. */
nn_status nn_data_params(const nn_data_request *q, const char *format, const nn_data_param *params,
                         int n, void *to, nn_err *err);
/* Takes the options that all formats have out of `text` and sets them in q; the others are left in
 * `rest`, which has room for all of text. */
nn_status nn_data_common(const char *text, nn_data_request *q, char *rest, nn_err *err);

/* Whole values; false: it is not one. */
bool nn_data_int(const char *text, int64_t min, int64_t max, int64_t *ret);
bool nn_data_num(const char *text, double min, double max, double *ret);
bool nn_data_dims(const char *text, nn_shape *ret); /* 8x8x1 */
/* The index of value in a list that ends with NULL; -1. */
int nn_data_word(const char *value, const char *const *words);
#endif
