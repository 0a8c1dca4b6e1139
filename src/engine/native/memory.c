/* SPDX-License-Identifier: MIT */
/* memory.c - where blocks of known lifetimes lie, and the memory itself.
 *
 * Placing is first fit by size, largest first: each block goes to the lowest address at which it
 * meets no placed block that is alive at the same time. For chains of layers, which networks mostly
 * are, this comes within a few percent of the largest sum of blocks alive at once. */
#include "base/mem.h"
#include "engine/native/native.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, HUGE_PAGE = 2 << 20 };

static bool meets_in_time(const nn_block *a, const nn_block *b) {
    return a->first <= b->last && b->first <= a->last;
}

static int larger_first(const void *a, const void *b) {
    const nn_block *const *x = a, *const *y = b;
    if ((*x)->bytes != (*y)->bytes) return (*x)->bytes < (*y)->bytes ? 1 : -1;
    return *x < *y ? -1 : 1; /* by order of wishing, so that plans are reproducible */
}

/* The lowest gap among placed[n], which are sorted by address. */
static size_t lowest_gap(const nn_block *b, nn_block *const *placed, int n) {
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const nn_block *p = placed[i];
        if (!meets_in_time(b, p)) continue;
        if (at + b->bytes <= p->at) break;
        if (p->at + p->bytes > at) at = p->at + p->bytes;
    }
    return at;
}

size_t nn_blocks_place(nn_block *blocks, int n) {
    nn_block **order = malloc(2 * (size_t)n * sizeof *order + 1);
    if (!order) abort(); /* a few pointers a unit */
    nn_block **placed = order + n;
    for (int i = 0; i < n; i++) {
        blocks[i].bytes = (blocks[i].bytes + ALIGN - 1) / ALIGN * ALIGN;
        order[i] = &blocks[i];
    }
    qsort(order, (size_t)n, sizeof *order, larger_first);
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        nn_block *b = order[i];
        b->at = lowest_gap(b, placed, i);
        if (b->at + b->bytes > total) total = b->at + b->bytes;
        int j = i;
        for (; j > 0 && placed[j - 1]->at > b->at; j--) placed[j] = placed[j - 1];
        placed[j] = b;
    }
    free(order);
    return total;
}

/* Pages are asked for before they are touched: a page that exists is not made a huge one. */
void *nn_native_alloc(size_t bytes) {
    void *p = nn_alloc_large(bytes, false);
    if (!p) return NULL;
#ifdef MADV_HUGEPAGE
    uintptr_t begin = ((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (bytes >= 2 * (size_t)HUGE_PAGE)
        (void)madvise((void *)begin, (bytes - (begin - (uintptr_t)p)) & ~(size_t)(HUGE_PAGE - 1),
                      MADV_HUGEPAGE); /* only a wish */
#endif
    memset(p, 0, bytes);
    return p;
}
