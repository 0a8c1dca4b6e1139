/* SPDX-License-Identifier: MIT */
/* config_value.h - one setting's value, and the configuration that holds them: what config.c fills,
 * config_value.c checks and config_print.c shows. */
#ifndef NN_BASE_CONFIG_VALUE_H
#define NN_BASE_CONFIG_VALUE_H
#include "base/arena.h"
#include "base/config.h"

typedef struct nn_cfg_value {
    const char *text; /* "" = not set; a word as its rule spells it */
    const char *source;
    int64_t i;
    double f;
    bool b, is_default;
    const char **list;
} nn_cfg_value;

struct nn_config {
    nn_arena *arena;
    nn_cfg_value v[NN_CFG_COUNT];
    const char **warnings;
};

/* Checks v->text by the row and fills the member of its type. NULL, or what is wrong, in the arena.
 */
const char *nn_cfg_check(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v);
#endif
