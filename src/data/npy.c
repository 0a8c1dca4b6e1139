/* SPDX-License-Identifier: MIT */
/* npy.c - the header is a Python literal, {'descr': '<f4', 'fortran_order': False, 'shape': (60000,
 * 28, 28), }: a reader for exactly that form. */
#include "data/npy.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

typedef struct reader {
    const char *p, *begin, *end; /* of the header text */
    size_t base;                 /* offset of the header text in the file */
    const char *name;
    nn_err *err;
} reader;

static nn_status bad(const reader *r, const char *what) {
    return nn_fail(r->err, NN_E_DATA_ERROR, "%s: offset %zu: %s", r->name,
                   r->base + (size_t)(r->p - r->begin), what);
}

static void blanks(reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n')) r->p++;
}

static bool take(reader *r, const char *word) {
    blanks(r);
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0) return false;
    r->p += n;
    return true;
}

static nn_status read_descr(reader *r, nn_npy *a) {
    static const struct {
        const char *text;
        char kind;
        int size;
    } types[] = {
        {"'|u1'", 'u', 1},
        {"'<u1'", 'u', 1},
        {"'<i4'", 'i', 4},
        {"'<i8'", 'i', 8},
        {"'<f4'", 'f', 4},
        {"'<f8'", 'f', 8},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (take(r, types[i].text)) {
            a->kind = types[i].kind;
            a->size = types[i].size;
            return NN_OK;
        }
    nn_status s = bad(r, "an element type that is not read");
    return nn_err_hint(r->err, s,
                       "save it as uint8, int32, int64, float32 or float64, little-endian");
}

static nn_status read_order(reader *r, nn_npy *a) {
    (void)a;
    if (take(r, "False")) return NN_OK;
    if (!take(r, "True")) return bad(r, "fortran_order is neither True nor False");
    nn_status s = bad(r, "the array is in Fortran order, only C order is read");
    return nn_err_hint(r->err, s, "save numpy.ascontiguousarray(x)");
}

static nn_status read_dim(reader *r, int64_t *ret) {
    int64_t v = 0;
    const char *from = r->p;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *r->p - '0', &v))
            return bad(r, "an axis too long to be one");
    if (r->p == from) return bad(r, "expected the length of an axis");
    *ret = v;
    return NN_OK;
}

static nn_status read_shape(reader *r, nn_npy *a) {
    if (!take(r, "(")) return bad(r, "shape is not a tuple");
    a->elements = 1;
    while (!take(r, ")")) {
        if (a->rank == NN_NPY_MAX_RANK) return bad(r, "more than 9 axes");
        int64_t *dim = &a->dim[a->rank++];
        nn_status s = read_dim(r, dim);
        if (s) return s;
        if (__builtin_mul_overflow(a->elements, *dim, &a->elements))
            return bad(r, "the axes multiply to more than 2^63 elements");
        if (take(r, ",")) continue;
        if (!take(r, ")")) return bad(r, "expected , or ) in shape");
        break;
    }
    return NN_OK;
}

static nn_status read_dict(reader *r, nn_npy *a) {
    static const struct {
        const char *key;
        nn_status (*read)(reader *r, nn_npy *a);
    } keys[] = {
        {"'descr'",         read_descr},
        {"'fortran_order'", read_order},
        {"'shape'",         read_shape}
    };
    unsigned seen = 0;
    if (!take(r, "{")) return bad(r, "the header is not a dictionary");
    while (!take(r, "}")) {
        unsigned k = 0;
        while (k < 3 && !take(r, keys[k].key)) k++;
        if (k == 3 || seen & 1u << k)
            return bad(r, "expected descr, fortran_order or shape, each once");
        seen |= 1u << k;
        if (!take(r, ":")) return bad(r, "expected :");
        nn_status s = keys[k].read(r, a);
        if (s) return s;
        if (take(r, ",")) continue;
        if (!take(r, "}")) return bad(r, "expected , or }");
        break;
    }
    blanks(r);
    if (r->p != r->end) return bad(r, "text after the header's dictionary");
    return seen == 7 ? NN_OK : bad(r, "the header lacks descr, fortran_order or shape");
}

static nn_status header_bounds(const unsigned char *p, size_t n, const char *name, size_t *ret_from,
                               size_t *ret_len, nn_err *err) {
    if (n < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 0: wrong magic, a .npy file begins with \\x93NUMPY", name);
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 6: format version %d.%d, expected 1.0 to 3.0", name, p[6], p[7]);
    size_t from = p[6] == 1 ? 10 : 12, len = p[8] | (size_t)p[9] << 8;
    if (p[6] > 1 && n >= 12) len |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (n < from || len > n - from)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 8: truncated: a header of %zu bytes in a file of %zu", name, len,
                       n);
    *ret_from = from;
    *ret_len = len;
    return NN_OK;
}

nn_status nn_npy_parse(const char *p, size_t n, const char *name, nn_npy *ret, nn_err *err) {
    size_t from = 0, len = 0;
    nn_status s = header_bounds((const unsigned char *)p, n, name, &from, &len, err);
    if (s) return s;
    reader r = {p + from, p + from, p + from + len, from, name, err};
    nn_npy a = {0};
    s = read_dict(&r, &a);
    if (s) return s;
    uint64_t have = n - from - len, need;
    if (__builtin_mul_overflow((uint64_t)a.elements, (uint64_t)a.size, &need) || need != have)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset %zu: %s: the header names %" PRId64
                       " elements of %d bytes, %" PRIu64 " bytes follow",
                       name, from + len, need > have ? "truncated" : "trailing bytes", a.elements,
                       a.size, have);
    a.data = (const unsigned char *)p + from + len;
    *ret = a;
    return NN_OK;
}

double nn_npy_at(const nn_npy *a, int64_t i) {
    const unsigned char *p = a->data + i * a->size;
    int32_t i4;
    int64_t i8;
    float f4;
    double f8;
    if (a->size == 1) return *p;
    if (a->kind == 'i' && a->size == 4) return memcpy(&i4, p, sizeof i4), (double)i4;
    if (a->kind == 'i') return memcpy(&i8, p, sizeof i8), (double)i8;
    if (a->size == 4) return memcpy(&f4, p, sizeof f4), (double)f4;
    return memcpy(&f8, p, sizeof f8), f8;
}
