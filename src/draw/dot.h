/* SPDX-License-Identifier: MIT */
/* dot.h - a plan as text in Graphviz's language: all of it or one column, placed or not. */
#ifndef NN_DRAW_DOT_H
#define NN_DRAW_DOT_H
#include "draw/plan.h"

/* Where everything stands, as Graphviz's attributes (pos, lp, bb); NULL: nothing is said. By index
 * of the node, the edge, the row. */
typedef struct nn_places {
    const char **node, **edge, **edge_label;
    const char **frame, **frame_label; /* of a row's block */
    const char **group, **group_label; /* of a repeated group that begins with the row */
} nn_places;

typedef struct nn_dot {
    const nn_plan *plan;
    int column;              /* -1: all */
    const nn_places *places; /* NULL: to be laid out */
    bool title;              /* name, totals and legend over the picture */
    double dpi;              /* 0: Graphviz's */
} nn_dot;

/* Nodes are n<index>, the ids of edges e<index>, frames cluster_f<row>, groups cluster_g<row>. */
void nn_dot_write(const nn_dot *d, nn_buf *out);
/* Families in use beyond input and output, as bits by index in families.def; how many. */
unsigned nn_dot_families(const nn_plan *p, int *ret_n);
#endif
