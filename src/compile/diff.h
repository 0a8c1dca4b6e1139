/* SPDX-License-Identifier: MIT */
/* diff.h - what changed between two networks: layers added, removed, changed, reshaped; the change
 * in parameters and FLOPs. */
#ifndef NN_COMPILE_DIFF_H
#define NN_COMPILE_DIFF_H
#include "compile/compile.h"

/* For people: a line a layer ("+ Dropout(0.5)", "- Flatten()", "~ Dense units 64 -> 128"), then the
 * totals. True if there is a difference. */
bool nn_unit_diff(const nn_unit *a, const nn_unit *b, nn_buf *out);
/* {changed, layers: [{change, a?, b?, ...}], parameters: {a, b, change}, flops: {...}}. */
nn_json *nn_unit_diff_json(const nn_unit *a, const nn_unit *b);
#endif
