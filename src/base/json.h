/* SPDX-License-Identifier: MIT */
/* json.h - JSON values and a JSON writer. The library behind it (jansson) is known only to json.c.
 * Values are reference counted (nn_json_ref/unref, not atomic: a value belongs to one thread at a
 * time). Reading is strict: UTF-8 only, no duplicate keys, no trailing bytes, no lone surrogates,
 * no \u0000, depth <= 64, integers are signed 64-bit. */
#ifndef NN_BASE_JSON_H
#define NN_BASE_JSON_H
#include "base/buf.h"
#include "base/err.h"
#include "base/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_json nn_json;
typedef enum nn_json_type {
    NN_JSON_NULL,
    NN_JSON_BOOL,
    NN_JSON_INT,
    NN_JSON_REAL,
    NN_JSON_STRING,
    NN_JSON_ARRAY,
    NN_JSON_OBJECT
} nn_json_type;

enum { NN_JSON_MAX_DEPTH = 64 };

/* Parses n bytes. On failure err holds the line and column and what was expected
 * (NN_E_INVALID_REQUEST). */
nn_status nn_json_parse(const char *p, size_t n, nn_json **ret, nn_err *err);
nn_json *nn_json_ref(nn_json *v);
void nn_json_unref(nn_json *v); /* NULL allowed */
static inline void nn_json_unrefp(nn_json **v) {
    nn_json_unref(*v);
}
#define NN_JSON __attribute__((cleanup(nn_json_unrefp))) nn_json

/* Reading. NULL stands for an absent value and has type NULL. `get` borrows: the parent owns the
 * result. */
nn_json_type nn_json_typeof(const nn_json *v);
nn_json *nn_json_get(const nn_json *object, const char *key); /* NULL if absent or not an object */
nn_json *nn_json_at(const nn_json *array, size_t i);
size_t nn_json_size(const nn_json *array_or_object);
const char *nn_json_str(const nn_json *v,
                        const char *otherwise); /* UTF-8, NUL-terminated, no inner NUL */
int64_t nn_json_int(const nn_json *v, int64_t otherwise);
double nn_json_num(const nn_json *v, double otherwise); /* integers and reals */
bool nn_json_bool(const nn_json *v, bool otherwise);
/* Calls fn for each member in order of insertion; stops when fn returns false. */
void nn_json_each(const nn_json *object, bool (*fn)(void *ctx, const char *key, nn_json *v),
                  void *ctx);

/* Building. Each `new` returns an owned reference. set and push take ownership of v (also on
 * failure, where they abort only if memory for a small node is refused). A string that is not UTF-8
 * becomes U+FFFD for each bad byte. */
nn_json *nn_json_new_null(void);
nn_json *nn_json_new_bool(bool v);
nn_json *nn_json_new_int(int64_t v);
nn_json *nn_json_new_num(double v);      /* null when not finite */
nn_json *nn_json_new_str(const char *s); /* NULL gives null */
nn_json *nn_json_new_strn(const char *s, size_t n);
/* A list of sizes, null for an unknown one; `batch`: a null for the batch in front. */
nn_json *nn_json_new_shape(const nn_shape *s, bool batch);
nn_json *nn_json_new_array(void);
nn_json *nn_json_new_object(void);
void nn_json_set(nn_json *object, const char *key, nn_json *v);
void nn_json_push(nn_json *array, nn_json *v);
void nn_json_del(nn_json *object, const char *key);
nn_json *nn_json_copy(const nn_json *v); /* deep */
bool nn_json_equal(const nn_json *a, const nn_json *b);

/* Appends v to out: compact; with indent > 0, pretty. Key order is kept. */
void nn_json_dump(const nn_json *v, int indent, nn_buf *out);

/* A writer for hot paths: appends to a buffer without building values. Commas are its business;
 * nesting is the caller's. nn_jw w = {.out = &buf};  nn_jw_obj(&w);  nn_jw_key(&w, "n");
 * nn_jw_int(&w, 3);  nn_jw_end_obj(&w); */
typedef struct nn_jw {
    nn_buf *out;
    bool comma;
} nn_jw;
void nn_jw_obj(nn_jw *w);
void nn_jw_end_obj(nn_jw *w);
void nn_jw_arr(nn_jw *w);
void nn_jw_end_arr(nn_jw *w);
void nn_jw_key(nn_jw *w, const char *key);
void nn_jw_str(nn_jw *w, const char *s); /* NULL writes null */
void nn_jw_strn(nn_jw *w, const char *s, size_t n);
void nn_jw_int(nn_jw *w, int64_t v);
void nn_jw_num(nn_jw *w,
               double v); /* shortest text that reads back the same; null when not finite */
void nn_jw_float(nn_jw *w, float v);                       /* likewise for a float */
void nn_jw_shape(nn_jw *w, const nn_shape *s, bool batch); /* as nn_json_new_shape */
void nn_jw_bool(nn_jw *w, bool v);
void nn_jw_null(nn_jw *w);
void nn_jw_value(nn_jw *w, const nn_json *v);
void nn_jw_raw(nn_jw *w, const char *json, size_t n); /* a value that is already JSON text */
#endif
