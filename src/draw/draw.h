/* SPDX-License-Identifier: MIT */
/* draw.h - a picture of a checked network: layers as boxes, shapes on the edges, a colour for each
 * family. Layout is Graphviz's. Any thread, one picture at a time (Graphviz keeps global state; a
 * lock inside sees to it). */
#ifndef NN_DRAW_DRAW_H
#define NN_DRAW_DRAW_H
#include "compile/compile.h"

typedef struct nn_picture_format {
    const char *name, *extension, *media_type; /* "svg" */
} nn_picture_format;

const nn_picture_format *nn_picture_format_at(unsigned i); /* NULL past the end */
const nn_picture_format *nn_picture_format_find(const char *name);
/* Appends the picture. The same unit gives the same bytes. HTML is one file without outside
 * references. NN_E_UNSUPPORTED if Graphviz cannot write the format here. */
nn_status nn_draw(const nn_unit *u, const nn_picture_format *f, nn_buf *out, nn_err *err);
#endif
