/* SPDX-License-Identifier: MIT */
/* arena.h - one lifetime, one arena. Not thread safe: an arena belongs to one thread at a time.
 * Memory is zeroed and 16-byte aligned (strings are not aligned). A small block that the system
 * refuses aborts; passing the arena's cap, or a block of more than 64,000 bytes that is refused, is
 * an ordinary error (NULL).
 */
#ifndef NN_BASE_ARENA_H
#define NN_BASE_ARENA_H
#include <stddef.h>
typedef struct nn_arena nn_arena;
/* Child arenas die with their parent. cap: 0 means the parent's; past it alloc returns NULL. */
nn_arena *nn_arena_new(nn_arena *parent, const char *name, size_t cap);
void *nn_arena_alloc(nn_arena *a, size_t n);
#define NN_NEW(a, type)      ((type *)nn_arena_alloc((a), sizeof(type)))
#define NN_NEW_N(a, type, n) ((type *)nn_arena_array((a), (n), sizeof(type)))
void *nn_arena_array(nn_arena *a, size_t n, size_t size); /* NULL also when n * size overflows */
/* An array of `old` bytes with n bytes: what it held is kept, what is new is zeroed; p is then no
 * longer valid. Large arrays grow without leaving their old bytes behind, and give them back when
 * they shrink. p may be NULL with old 0. NULL when refused: p stays valid. */
void *nn_arena_resize(nn_arena *a, void *p, size_t old, size_t n);
/* A NUL-terminated copy of n bytes; of a string. NULL past the cap. */
char *nn_arena_strndup(nn_arena *a, const char *p, size_t n);
char *nn_arena_strdup(nn_arena *a, const char *s);
char *nn_arena_printf(nn_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Run fn(arg) when the arena is reset or freed, last registered first. */
int nn_arena_defer(nn_arena *a, void (*fn)(void *), void *arg);
nn_arena *nn_arena_free(nn_arena *a); /* always NULL */
static inline void nn_arena_freep(nn_arena **a) {
    *a = nn_arena_free(*a);
}
#define NN_AUTO(type) __attribute__((cleanup(type##_freep))) type
#endif
