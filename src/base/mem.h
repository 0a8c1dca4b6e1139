/* SPDX-License-Identifier: MIT */
/* mem.h - buffers whose size a user's input decides. Thread safe. Small blocks come from arenas or
 * malloc; these may be refused, and every caller handles that. */
#ifndef NN_BASE_MEM_H
#define NN_BASE_MEM_H
#include <stdbool.h>
#include <stddef.h>

/* At least size bytes (size 0: one line), aligned to 64 bytes; NULL when memory is refused or size
 * is absurd. */
void *nn_alloc_large(size_t size, bool zero) __attribute__((malloc, warn_unused_result));
void nn_free_large(void *p); /* NULL allowed */
static inline void nn_free_largep(void *p) {
    nn_free_large(*(void **)p);
}
#define NN_LARGE __attribute__((cleanup(nn_free_largep)))
#endif
