/* SPDX-License-Identifier: MIT */
/* names.h - names to pointers. Private to lang/. Lives in an arena; zero is a valid empty one; time
 * does not depend on how many there are. */
#ifndef NN_LANG_NAMES_H
#define NN_LANG_NAMES_H
#include "base/arena.h"

#include <stdbool.h>

typedef struct nn_names {
    struct nn_names_entry **buckets;
    size_t n, size; /* size: 0 or a power of two */
} nn_names;

void *nn_names_find(const nn_names *t, const char *name); /* NULL: there is none */
/* `name` is kept, not copied, and is not there yet; `what` is not NULL. False: the arena has no
 * room, and nothing changed. */
bool nn_names_add(nn_names *t, nn_arena *arena, const char *name, void *what);
#endif
