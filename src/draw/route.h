/* SPDX-License-Identifier: MIT */
/* route.h - the lines that Graphviz does not lead well: round a residual block, and from column to
 * column. Plain geometry, in points, y upwards; the tops of all columns are at 0. */
#ifndef NN_DRAW_ROUTE_H
#define NN_DRAW_ROUTE_H
#include "draw/dot.h"

typedef struct nn_area {
    double left, bottom, right, top; /* all 0: there is none */
} nn_area;

typedef struct nn_canvas {
    nn_arena *arena;
    const nn_plan *plan;
    nn_places places;
    nn_area *nodes;           /* by node */
    nn_area *frames, *groups; /* by row */
    nn_area *columns;
    double *label_width, *label_y; /* of a frame, by row */
    double *middle;                /* of an edge: mean x of its line */
} nn_canvas;

enum { NN_COLUMN_GAP = 48 };

/* Leads the ways round the residual blocks of a column and widens the frames, and the column, for
 * them; sets the places of frames and their labels. */
void nn_route_column(nn_canvas *c, int column);
/* Leads an edge from its column to the next: down, through the gap and over. */
void nn_route_between(nn_canvas *c, int edge);
#endif
