/* SPDX-License-Identifier: MIT */
/* python_data.h - the part of a training program that reads data, in Python over arrays of PyTorch
 * or NumPy: both programs of a network see the same rows. One thread at a time. */
#ifndef NN_CODEGEN_PYTHON_DATA_H
#define NN_CODEGEN_PYTHON_DATA_H
#include "codegen/python.h"
#include "graph/graph.h"

/* INPUT_SHAPE, OUTPUT_SHAPE (INPUT_SHAPES, OUTPUT_SHAPES where there are several) and
 * load_data(source, split): samples, bytes or float32, and targets, classes as int64 or values as
 * float32; lists where there are several. library: "torch." or "np.". It uses ast, glob, gzip,
 * math, os, re, struct and zipfile, as far as they are in its text. */
void nn_py_data(const nn_graph *g, const char *library, nn_buf *out);

/* How many whole numbers an input holds that is looked up in a table; 0: any numbers. */
int64_t nn_py_words(const nn_graph *g, int input);

/* python_table.c: random_words(); divide(); read_table() and what it needs; "@" is the library. */
extern const char nn_py_random[], nn_py_division[], nn_py_tables[];
#endif
