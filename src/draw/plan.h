/* SPDX-License-Identifier: MIT */
/* plan.h - what a picture of a unit shows, before anything is placed: which layers are boxes, which
 * stand in a block, which are copies of one another, and what flows where. Lives in the arena given
 * to nn_plan_make, and points into the unit. Read-only afterwards. */
#ifndef NN_DRAW_PLAN_H
#define NN_DRAW_PLAN_H
#include "compile/compile.h"

/* What a row is drawn as: a box; a block whose layers stand in a frame. */
typedef enum nn_plan_form {
    NN_FORM_BOX,
    NN_FORM_PASS,     /* frame: what enters goes to its first layers, what they leave open is its
                         output (Sequential, Branch) */
    NN_FORM_RESIDUAL, /* frame: a fork where it begins, a sum where it ends, and a way round */
    NN_FORM_JOIN,     /* frame: a fork where it begins, a join where it ends (Inception) */
    NN_FORM_HEAD      /* frame: a box of its own, then its layers (Transformer*, TimeDistributed) */
} nn_plan_form;

/* The node of a row that an edge touches. */
typedef enum nn_plan_part { NN_PART_BOX, NN_PART_FORK, NN_PART_END } nn_plan_part;

typedef struct nn_plan_node {
    int row;
    nn_plan_part part;
    int level;  /* the longest way to it from an input, in points, about */
    int rank;   /* the same in nodes */
    int inputs; /* edges that reach it */
    int column; /* of the picture, from 0 */
} nn_plan_node;

typedef struct nn_plan_edge {
    int from, to; /* nodes */
    int value;    /* the row whose output flows */
    bool skip;    /* a residual block's way round */
    bool quiet;   /* its shape is written on another edge */
    bool between; /* columns */
} nn_plan_edge;

typedef struct nn_plan_row {
    nn_plan_form form;
    int of;            /* the row that is drawn in its place: itself, or of what it is a copy */
    int first, next;   /* of its block: first row; the next of the same block; -1 */
    int end;           /* first row behind its block */
    int period, count; /* on the first row of a run: so many siblings, so many times; else 0 */
    int copies;        /* how often what is drawn stands in the network */
    int begin;         /* its first node */
    int node[3];       /* by part; -1: none */
    const char *text;  /* its arguments, shortened; "" if there are none */
} nn_plan_row;

typedef struct nn_plan {
    const nn_unit *unit;
    nn_plan_row *rows; /* as unit->layers */
    nn_plan_node *nodes;
    nn_plan_edge *edges;
    int first;       /* row of the first item of the network; its `next` leads on */
    int64_t detours; /* ranks that edges pass on their way: what layout's time grows with */
    bool tangled;    /* so many of them that shapes stand in the boxes, not on edges */
    int n_nodes, cap_nodes, n_edges, cap_edges, columns;
} nn_plan;

enum {
    NN_DRAW_MAX_NODES = 2000,
    NN_DRAW_MAX_EDGES = 6000,
    NN_DRAW_TANGLED = 600,      /* detours */
    NN_DRAW_MAX_DETOURS = 8000, /* more is an error */
    NN_DRAW_PERIOD = 64,        /* siblings that a repeated group may have to be found */
    NN_DRAW_FOLD = 1450         /* points: a picture that is higher, some 24 boxes, is folded */
};

/* NN_E_LIMIT, with the way out, for a picture of more than NN_DRAW_MAX_NODES boxes. */
nn_status nn_plan_make(nn_arena *arena, const nn_unit *u, nn_plan *ret, nn_err *err);
/* Sets rows[].text. */
void nn_plan_texts(nn_arena *arena, nn_plan *p);
/* Sets nodes[].level, rank and column, detours, tangled, edges[].between, columns. */
void nn_plan_fold(nn_arena *arena, nn_plan *p);
/* Parameters of the row itself, without those of its block. */
int64_t nn_plan_own_params(const nn_plan *p, int row);
#endif
