/* SPDX-License-Identifier: MIT */
/* tensor.c - first decides which of the accepted forms `v` has (its dims), then walks it once. A
 * place is a stack of indices, turned into text only when something is wrong there. */
#include "serve/tensor.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct form {
    int rank; /* of the nested arrays, rows included */
    int64_t dim[NN_MAX_RANK + 1];
    bool alone; /* one row without the array around it */
} form;

typedef struct walk {
    const form *f;
    const char *name;
    int64_t at[NN_MAX_RANK + 1];
    float scale, offset, *x; /* x NULL: only check */
    nn_err *err;
} walk;

/* Nesting along the first elements; a number is 0. */
static int depth_of(const nn_json *v) {
    int d = 0;
    for (; nn_json_typeof(v) == NN_JSON_ARRAY && d <= NN_MAX_RANK + 1; v = nn_json_at(v, 0)) d++;
    return d;
}

static bool fits_alone(const nn_json *v, const nn_shape *s, int depth) {
    if (depth == 1) return s->rank == 1 || (int64_t)nn_json_size(v) == nn_shape_elements(s);
    if (depth != s->rank) return false;
    /* two levels may also be rows of flat samples: the sizes decide */
    return depth != 2 || ((int64_t)nn_json_size(v) == s->dim[0] &&
                          (int64_t)nn_json_size(nn_json_at(v, 0)) == s->dim[1]);
}

static form form_of(const nn_json *v, const nn_shape *s) {
    int depth = depth_of(v);
    form f = {.alone = fits_alone(v, s, depth)};
    bool nested = depth + f.alone == s->rank + 1;
    f.dim[f.rank++] = f.alone ? 1 : (int64_t)nn_json_size(v);
    if (nested)
        for (int i = 0; i < s->rank; i++) f.dim[f.rank++] = s->dim[i];
    else
        f.dim[f.rank++] = nn_shape_elements(s);
    return f;
}

/* "inputs[3][0]" */
static const char *place(const walk *w, int level, char buf[160]) {
    int n = snprintf(buf, 160, "%s", w->name);
    for (int i = w->f->alone; i < level && n > 0 && n < 160; i++)
        n += snprintf(buf + n, 160 - (size_t)n, "[%" PRId64 "]", w->at[i]);
    return buf;
}

static nn_status wrong(const walk *w, int level, const nn_json *v) {
    static const char *const types[] = {"null",   "a boolean", "an integer", "a number",
                                        "a text", "an array",  "an object"};
    char buf[160];
    nn_json_type t = nn_json_typeof(v);
    if (level == w->f->rank)
        return nn_fail(w->err, NN_E_VALIDATION_ERROR, "%s is %s, expected a number",
                       place(w, level, buf), types[t]);
    if (t != NN_JSON_ARRAY)
        return nn_fail(w->err, NN_E_VALIDATION_ERROR, "%s is %s, expected an array of %" PRId64,
                       place(w, level, buf), types[t], w->f->dim[level]);
    return nn_fail(w->err, NN_E_VALIDATION_ERROR, "%s has %zu elements, expected %" PRId64,
                   place(w, level, buf), nn_json_size(v), w->f->dim[level]);
}

static nn_status walk_level(walk *w, int level, const nn_json *v) {
    if (level == w->f->rank) {
        nn_json_type t = nn_json_typeof(v);
        if (t != NN_JSON_INT && t != NN_JSON_REAL) return wrong(w, level, v);
        if (w->x) *w->x++ = (float)nn_json_num(v, 0) * w->scale + w->offset;
        return NN_OK;
    }
    if (nn_json_typeof(v) != NN_JSON_ARRAY || (int64_t)nn_json_size(v) != w->f->dim[level])
        return wrong(w, level, v);
    for (int64_t i = 0; i < w->f->dim[level]; i++) {
        w->at[level] = i;
        nn_status s = walk_level(w, level + 1, nn_json_at(v, (size_t)i));
        if (s) return s;
    }
    return NN_OK;
}

nn_status nn_tensor_rows(const nn_json *v, const nn_shape *shape, const char *name,
                         int64_t *ret_rows, nn_err *err) {
    if (nn_json_typeof(v) != NN_JSON_ARRAY || nn_json_size(v) == 0)
        return nn_fail(err, NN_E_VALIDATION_ERROR, "%s is not an array with at least one row",
                       name);
    form f = form_of(v, shape);
    *ret_rows = f.dim[0];
    return NN_OK;
}

nn_status nn_tensor_read(const nn_json *v, const nn_shape *shape, const char *name, float scale,
                         float offset, float *x, nn_err *err) {
    form f = form_of(v, shape);
    walk w = {.f = &f, .name = name, .scale = scale, .offset = offset, .x = x, .err = err};
    return walk_level(&w, f.alone, v);
}

static const float *write_level(nn_jw *w, const float *y, const nn_shape *s, int level) {
    if (level == s->rank) {
        nn_jw_float(w, *y);
        return y + 1;
    }
    nn_jw_arr(w);
    for (int64_t i = 0; i < s->dim[level]; i++) y = write_level(w, y, s, level + 1);
    nn_jw_end_arr(w);
    return y;
}

void nn_tensor_write(nn_jw *w, const float *y, int64_t rows, const nn_shape *shape) {
    nn_jw_arr(w);
    for (int64_t r = 0; r < rows; r++) y = write_level(w, y, shape, 0);
    nn_jw_end_arr(w);
}
