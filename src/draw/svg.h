/* SPDX-License-Identifier: MIT */
/* svg.h - Graphviz's SVG, cleaned: without its comments, its reference to a DTD and its names for
 * things, with a name for readers of the picture. Pure functions. */
#ifndef NN_DRAW_SVG_H
#define NN_DRAW_SVG_H
#include "draw/plan.h"

/* titles: what a pointer that rests on a box is told; for a file of its own. Without: to be put
 * into a page that has its own ways. */
void nn_svg_clean(const nn_plan *p, const char *svg, size_t n, bool titles, nn_buf *out);
/* A row in one line of text: "conv2d_1: Conv2D(32, 3×3, relu), 28 × 28 × 1 to …". */
void nn_svg_describe(const nn_plan *p, int row, nn_buf *out);
#endif
