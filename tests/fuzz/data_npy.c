/* SPDX-License-Identifier: MIT */
/* Any bytes as a .npy array and as a zip archive: refused, or every element can be read. */
#include "data/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_array(const char *p, size_t n) {
    nn_err err;
    nn_npy a;
    if (nn_npy_parse(p, n, "fuzz", &a, &err) != NN_OK) return;
    if (a.elements > (int64_t)n) abort();
    for (int64_t i = 0; i < a.elements; i++)
        (void)nn_npy_at(&a, i); /* a sanitizer sees a read outside */
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    nn_err err;
    char *member = NULL;
    size_t size = 0;
    read_array((const char *)p, n);
    if (nn_zip_read((const char *)p, n, "fuzz", "x.npy", 1 << 24, &member, &size, &err) == NN_OK &&
        member)
        read_array(member, size);
    free(member);
    return 0;
}
