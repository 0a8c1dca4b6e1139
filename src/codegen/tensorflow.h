/* SPDX-License-Identifier: MIT */
/* tensorflow.h - what the files of the TensorFlow backend share: tensorflow.c writes the model,
 * tensorflow_helpers.c layers and functions that Keras lacks, tensorflow_train.c the program
 * around the model, with tensorflow_data.c, _compile.c and _callbacks.c. */
#ifndef NN_CODEGEN_TENSORFLOW_H
#define NN_CODEGEN_TENSORFLOW_H
#include "codegen/keras.h"

typedef struct nn_tf {
    nn_keras k;
    nn_py_scope variables;
    const char **variable;                        /* that holds a layer's output */
    uint64_t helpers;                             /* those that the model uses, by number */
    bool initializers, regularizers, constraints; /* keras modules that it names */
    nn_buf model;                                 /* the body of build_model() */
} nn_tf;

/* tensorflow_helpers.c: marks the class or function `name` as used; false: there is none. */
bool nn_tf_helper(nn_tf *e, const char *name);
void nn_tf_put_helpers(const nn_tf *e, nn_buf *out);

/* tensorflow.c: a value of an argument. */
void nn_tf_value(nn_tf *e, const nn_json *v, nn_buf *out);

/* tensorflow_data.c: load_data() and what it calls, read(), which makes arrays for Keras of it. */
void nn_tf_data(const nn_graph *g, nn_buf *out);

/* tensorflow_compile.c: whether the program can do what is asked of training; compile_model(). */
nn_status nn_tf_check(const nn_graph *g, nn_err *err);
void nn_tf_compile(const nn_graph *g, nn_buf *out);
/* The loss as Keras gets it: its metrics of classes want one-hot rows, and then the loss does. */
nn_loss_kind nn_tf_loss(const nn_train_spec *t);

/* tensorflow_callbacks.c: `callbacks` and `strategy` of the program. */
nn_status nn_tf_check_extras(const nn_train_spec *t, nn_err *err);
bool nn_tf_finds(const nn_train_spec *t); /* the program looks up dotted names */
void nn_tf_callbacks(const nn_train_spec *t, nn_buf *out);
void nn_tf_strategy(const nn_train_spec *t, nn_buf *out); /* builds and compiles the model */

/* tensorflow_train.c */
void nn_tf_program(nn_tf *e, nn_buf *out); /* everything after the model */
#endif
