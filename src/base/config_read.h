/* SPDX-License-Identifier: MIT */
/* config_read.h - the two file formats that config.c reads. One thread at a time; results live in
 * the arena. */
#ifndef NN_BASE_CONFIG_READ_H
#define NN_BASE_CONFIG_READ_H
#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* One name and its text, in the order of the file. A YAML list is given as a JSON array. */
typedef struct nn_cfg_entry {
    const char *name, *value;
    bool is_null; /* a YAML null or nothing: as if it were not there */
    int line;
} nn_cfg_entry;

/* Called for each fault with its line (0: the whole file). */
typedef struct nn_cfg_reader {
    nn_arena *arena;
    void (*fault)(void *ctx, int line, const char *what);
    void *ctx;
    nn_cfg_entry *entry; /* what was read */
    size_t n, cap;
} nn_cfg_reader;

/* YAML 1.2: maps of maps, scalars and lists of scalars; one document, no aliases. Names are dotted
 * paths. */
void nn_cfg_read_yaml(nn_cfg_reader *r, const char *text, size_t n);
/* Lines NAME=value, with `export`, quotes and # comments. */
void nn_cfg_read_dotenv(nn_cfg_reader *r, const char *text, size_t n);
#endif
