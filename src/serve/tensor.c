/* SPDX-License-Identifier: MIT */
/* tensor.c - all accepted forms hold the same numbers in the same order, so they are appended as
 * they come, and only the sizes of the levels differ. How deep the brackets nest tells the form,
 * but for two levels and a sample of two axes: there the width of the first inner array decides. A
 * place is a stack of indices, turned into text only when something is wrong there. */
#include "serve/tensor.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ANY = -1, LEVELS = NN_MAX_RANK + 1 };

typedef struct walk {
    nn_jr *r;
    const nn_tensor_form *f;
    int64_t elements;
    int levels;          /* of arrays around a number */
    int64_t dim[LEVELS]; /* of each; the first may be ANY */
    int64_t at[LEVELS];
    bool undecided; /* flat rows, or the rows of one sample */
    nn_buf *x;
    nn_violation *bad;
    nn_err *err;
} walk;

/* ---- what is wrong ---- */

/* The place as "inputs[3][0]" and as "inputs.3.0". */
static void name_place(const walk *w, int level, const char *open, const char *close,
                       char buf[160]) {
    int n = snprintf(buf, 160, "%s", w->f->name);
    for (int i = 0; i < level && n > 0 && n < 160; i++)
        n += snprintf(buf + n, 160 - (size_t)n, "%s%" PRId64 "%s", open, w->at[i], close);
}

__attribute__((cold, format(printf, 4, 5))) static nn_status
violate(const walk *w, int level, const char *type, const char *fmt, ...) {
    nn_violation v = {.type = type};
    char place[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v.msg, sizeof v.msg, fmt, ap);
    va_end(ap);
    name_place(w, level, "[", "]", place);
    name_place(w, level, ".", "", v.path);
    if (w->bad) *w->bad = v;
    return nn_fail(w->err, NN_E_VALIDATION_ERROR, "%s %s", place, v.msg);
}

static nn_status no_rows(const walk *w) {
    return violate(w, 0, "wrong_type", "is not an array with at least one row");
}

static nn_status wrong_size(const walk *w, int level, int64_t n) {
    if (level == 0 && n == 0) return no_rows(w);
    return violate(w, level, n > w->dim[level] ? "too_many" : "out_of_range",
                   "has %" PRId64 " elements, expected %" PRId64, n, w->dim[level]);
}

/* An element too many was read: the message counts all of them. */
static nn_status too_many(const walk *w, int level, const nn_jr_token *extra) {
    int64_t n = w->dim[level];
    for (nn_jr_token t = *extra; t.type != NN_JR_END_ARRAY; n++) {
        nn_status s = nn_jr_skip(w->r, &t, w->err);
        if (!s) s = nn_jr_next(w->r, &t, w->err);
        if (s) return s;
    }
    return wrong_size(w, level, n);
}

/* ---- reading ---- */

/* The levels of one row, which begins with `depth` brackets at `level`. */
static void choose_row(walk *w, int level, int depth) {
    const nn_shape *s = &w->f->shape;
    bool flat = depth <= 1 && s->rank > 0;
    w->levels = level;
    if (flat) w->dim[w->levels++] = w->elements;
    for (int i = 0; !flat && i < s->rank; i++) w->dim[w->levels++] = s->dim[i];
}

static nn_status put_number(walk *w, const nn_jr_token *t) {
    if (t->type != NN_JR_INT && t->type != NN_JR_REAL)
        return violate(w, w->levels, "wrong_type", "is %s, expected a number",
                       nn_jr_type_name(t->type));
    float v = (float)t->number * w->f->scale + w->f->offset;
    if (!(fabs(t->number) <= (double)FLT_MAX) || !isfinite(v))
        return violate(w, w->levels, "out_of_range", "is too large for a 32-bit number");
    if (!nn_buf_reserve(w->x, sizeof v))
        return nn_fail(w->err, NN_E_OUT_OF_MEMORY, "no memory for the rows");
    memcpy(w->x->p + w->x->n, &v, sizeof v);
    w->x->n += sizeof v;
    return NN_OK;
}

static nn_status read_array(walk *w, int level);

/* The value that begins with t. */
static nn_status read_level(walk *w, int level, const nn_jr_token *t) {
    if (level == w->levels) return put_number(w, t);
    if (t->type == NN_JR_ARRAY) return read_array(w, level);
    return violate(w, level, "wrong_type", "is %s, expected an array of %" PRId64,
                   nn_jr_type_name(t->type), w->dim[level]);
}

/* The first inner array of an undecided value has ended with n elements. */
static void decide(walk *w, int64_t n) {
    const nn_shape *s = &w->f->shape;
    w->undecided = false;
    if (n != s->dim[1]) return;
    w->dim[0] = s->dim[0];
    w->dim[1] = s->dim[1];
}

static nn_status read_array(walk *w, int level) {
    nn_jr_token t;
    int64_t n = 0;
    for (;; n++) {
        int depth = level == 0 && w->dim[0] == ANY ? nn_jr_arrays_ahead(w->r) : 0;
        nn_status s = nn_jr_next(w->r, &t, w->err);
        if (s) return s;
        if (t.type == NN_JR_END_ARRAY) break;
        if (n == w->dim[level]) return too_many(w, level, &t);
        w->at[level] = n;
        if (level == 0 && w->dim[0] == ANY) choose_row(w, 1, depth);
        s = read_level(w, level + 1, &t);
        if (s) return s;
    }
    if (level == 1 && w->undecided) decide(w, n);
    if (n == 0 || (w->dim[level] != ANY && n != w->dim[level])) return wrong_size(w, level, n);
    if (level == 0) w->at[0] = n;
    return NN_OK;
}

static nn_status read_rows(walk *w, const nn_jr_token *first) {
    const nn_shape *s = &w->f->shape;
    if (first->type != NN_JR_ARRAY) return no_rows(w);
    int depth = 1 + nn_jr_arrays_ahead(w->r);
    if (s->rank > 0 && (depth == 1 || (depth > 2 && depth == s->rank))) {
        choose_row(w, 0, depth);
    } else {
        w->dim[0] = ANY;
        w->undecided = depth == 2 && s->rank == 2 && s->dim[1] != w->elements;
    }
    return read_array(w, 0);
}

nn_status nn_tensor_read(nn_jr *r, const nn_jr_token *first, const nn_tensor_form *f, nn_buf *x,
                         int64_t *ret_rows, nn_violation *bad, nn_err *err) {
    bool opened = first->type == NN_JR_ARRAY || first->type == NN_JR_OBJECT;
    int outside = r->depth - opened;
    walk w = {.r = r, .f = f, .x = x, .bad = bad, .err = err};
    w.elements = nn_shape_elements(&f->shape);
    nn_status s = read_rows(&w, first);
    if (s == NN_E_VALIDATION_ERROR) {
        nn_status rest = nn_jr_leave(r, outside, err);
        return rest ? rest : s;
    }
    if (!s) *ret_rows = w.dim[0] == ANY ? w.at[0] : 1;
    return s;
}

/* ---- writing ---- */

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
