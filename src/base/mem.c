/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include "base/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *nn_alloc_large(size_t size, bool zero) {
    if (nn_fault_hit(NN_FAULT_ALLOC) || size > PTRDIFF_MAX - 64) return NULL;
    size_t whole = size ? (size + 63) & ~(size_t)63 : 64;
    void *p = aligned_alloc(64, whole);
    if (p && zero) memset(p, 0, whole);
    return p;
}

void nn_free_large(void *p) {
    free(p);
}
