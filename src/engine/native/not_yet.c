/* SPDX-License-Identifier: MIT */
/* not_yet.c - the ops that the native engine does not run: planning refuses them by name. And what
 * no engine can run. */
#include "engine/native/native.h"

#define NOT_YET(n) const nn_unit_kind nn_unit_##n = {.name = #n}

NOT_YET(custom); /* only named, never defined */
