/* SPDX-License-Identifier: MIT */
/* python.h - writing Python source: names, strings, comments and numbers that mean what they
 * should, whatever they come from. One thread at a time. */
#ifndef NN_CODEGEN_PYTHON_H
#define NN_CODEGEN_PYTHON_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/shape.h"

#include <stdbool.h>

/* Names in use within one scope. Zero is an empty set, whose memory is `arena`. */
typedef struct nn_py_scope {
    nn_arena *arena;
    const char *const *reserved; /* further names to avoid; ends with NULL; may be NULL */
    const char **used;           /* a hash table */
    size_t n, cap;
} nn_py_scope;

/* A name for `wanted`, entered in the scope: an ASCII identifier that is no keyword, no reserved
 * and no used name, does not begin with an underscore and is `wanted` itself wherever that is
 * possible. */
const char *nn_py_name(nn_py_scope *s, const char *wanted);
/* The same for a class: "fashion cnn" becomes "FashionCnn". */
const char *nn_py_class_name(nn_py_scope *s, const char *wanted);

bool nn_py_is_name(const char *text); /* an identifier that is no keyword */
/* A string literal in single quotes; all but printable ASCII is escaped, so that no text can end
 * the literal or show as something that it is not. Text that is not UTF-8 is taken as Latin-1. */
void nn_py_string(nn_buf *out, const char *text);
/* Text within a comment: printable ASCII as it is, all else as ?. */
void nn_py_comment(nn_buf *out, const char *text);
void nn_py_float(nn_buf *out, double v); /* shortest text that reads back as v; v is finite */
/* "(3,)", "(28, 28, 1)"; an unknown size as None. */
void nn_py_shape(nn_buf *out, const nn_shape *s);
/* `v` itself when all n are equal or there is one, else a tuple. */
void nn_py_sizes(nn_buf *out, const int64_t *v, int n);
/* A JSON value as a literal. */
void nn_py_json(nn_buf *out, const nn_json *v);
/* The function of a Lambda from its parameters (nn_attr.custom.text), further arguments bound:
 * "lambda x: (f)(x, **{'k': 2})". NN_E_MODEL_FILE_ERROR where they name none. */
nn_status nn_py_lambda(const char *parameters, nn_buf *out, nn_err *err);

/* Whether code uses `word`, "json.": not as the end of another name, or in a text. */
bool nn_py_uses(const char *code, const char *word);
/* "import NAME" for each module of the standard library that code uses. */
void nn_py_imports(const char *code, nn_buf *out);

/* A line of argparse: parser.add_argument('--flag', type=type, default=value, help='help'); type
 * and value, source text both, may be NULL. Then the same for values of C; an empty text is none.
 */
void nn_py_argument(nn_buf *out, const char *flag, const char *type, const char *value,
                    const char *help);
void nn_py_argument_count(nn_buf *out, const char *flag, int64_t value, const char *help);
void nn_py_argument_real(nn_buf *out, const char *flag, double value, const char *help);
void nn_py_argument_text(nn_buf *out, const char *flag, const char *value, const char *help);
#endif
