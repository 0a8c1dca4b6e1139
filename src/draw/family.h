/* SPDX-License-Identifier: MIT */
/* family.h - the colours of the families of layers: one row of families.def each. Const, shared. */
#ifndef NN_DRAW_FAMILY_H
#define NN_DRAW_FAMILY_H
#include "compile/compile.h"

typedef struct nn_family {
    const char *name, *title; /* "convolution", also the class in SVG; "Convolution" */
    const char *fill, *ink, *dark_fill, *dark_ink; /* "#rrggbb" */
} nn_family;

const nn_family *nn_family_at(unsigned i); /* NULL past the end */
/* Of a row: its role's if it is an input or an output, else its layer's; `custom` for a family that
 * has no row. Its index through ret_index, NULL allowed. */
const nn_family *nn_family_of(const nn_unit_layer *l, unsigned *ret_index);
#endif
