/* SPDX-License-Identifier: MIT */
/* npy.h - one array in NumPy's .npy format, versions 1 to 3 (numpy.lib.format), and the members of
 * an .npz, which is a zip archive of them. Everything is checked against the bytes that are there.
 */
#ifndef NN_DATA_NPY_H
#define NN_DATA_NPY_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { NN_NPY_MAX_RANK = 9 }; /* rows, and the axes of a sample */

typedef struct nn_npy {
    char kind; /* 'u', 'i' or 'f' */
    int size;  /* bytes an element: u1, i4, i8, f4, f8 */
    int rank;
    int64_t dim[NN_NPY_MAX_RANK]; /* each >= 0 */
    int64_t elements;
    const unsigned char
        *data; /* elements * size bytes within the given bytes, row-major; unaligned */
} nn_npy;

/* `name` is the file (and member) for messages. NN_E_DATA_ERROR with the offset. */
nn_status nn_npy_parse(const char *p, size_t n, const char *name, nn_npy *ret, nn_err *err);
double nn_npy_at(const nn_npy *a, int64_t i);

/* The content of member `name` of the archive of n bytes at p: *ret is malloc'ed, NULL if there is
 * no such member. Stored and deflated members; checks the sizes, the bounds and the CRC-32. */
nn_status nn_zip_read(const char *p, size_t n, const char *archive, const char *name, size_t max,
                      char **ret, size_t *ret_n, nn_err *err);
/* The name of the i-th member, n bytes in the archive's memory; NULL past the last. */
nn_status nn_zip_name(const char *p, size_t n, const char *archive, int i, const char **ret,
                      size_t *ret_n, nn_err *err);
#endif
