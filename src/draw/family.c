/* SPDX-License-Identifier: MIT */
/* family.c - the table of families.def, and which of its rows a layer has. */
#include "draw/family.h"

#include <string.h>

static const nn_family families[] = {
#define FAMILY(name, title, fill, ink, dark_fill, dark_ink)                                        \
    {name, title, fill, ink, dark_fill, dark_ink},
#include "draw/families.def"
#undef FAMILY
};
enum { FAMILIES = sizeof families / sizeof families[0] };

const nn_family *nn_family_at(unsigned i) {
    return i < FAMILIES ? &families[i] : NULL;
}

const nn_family *nn_family_of(const nn_unit_layer *l, unsigned *ret_index) {
    const char *name = l->layer->role == NN_ROLE_INPUT    ? "input"
                       : l->layer->role == NN_ROLE_OUTPUT ? "output"
                                                          : l->layer->family;
    unsigned i = 0;
    while (i < FAMILIES - 1 && strcmp(families[i].name, name) != 0) i++;
    if (ret_index) *ret_index = i;
    return &families[i];
}
