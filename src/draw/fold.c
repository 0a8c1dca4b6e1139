/* SPDX-License-Identifier: MIT */
/* fold.c - a long network in columns, so that a hundred layers are a page and not a ribbon.
 *
 * It is cut only between items of the network itself, never in a block or a repeated group, and
 * only where a single edge crosses. */
#include "draw/plan.h"

#include <math.h>

enum { COLUMN_WIDTH = 290 }; /* with the gap, about */

/* How high a node is with the edge behind it, about. */
static int height_of(const nn_plan *p, const nn_plan_node *n) {
    if (n->part != NN_PART_BOX) return n->part == NN_PART_FORK ? 56 : 36;
    return p->rows[n->row].text[0] ? 74 : 60;
}

static void level_nodes(nn_plan *p) {
    for (int i = 0; i < p->n_edges; i++) { /* in the order of their targets */
        const nn_plan_edge *e = &p->edges[i];
        const nn_plan_node *from = &p->nodes[e->from];
        nn_plan_node *to = &p->nodes[e->to];
        int level = from->level + height_of(p, from);
        if (to->level < level) to->level = level;
        if (to->rank <= from->rank) to->rank = from->rank + 1;
        to->inputs++;
    }
    for (int i = 0; i < p->n_edges; i++) /* ranks are final */
        p->detours += p->nodes[p->edges[i].to].rank - p->nodes[p->edges[i].from].rank - 1;
    p->tangled = p->detours > NN_DRAW_TANGLED;
}

/* crossing[i]: edges from a node before i to one at or after it. */
static void count_crossings(const nn_plan *p, int *crossing) {
    for (int i = 0; i < p->n_edges; i++) {
        crossing[p->edges[i].from + 1]++;
        crossing[p->edges[i].to + 1]--;
    }
    for (int i = 1; i <= p->n_nodes; i++) crossing[i] += crossing[i - 1];
}

static void mark_run(const nn_plan *p, int row, bool *inside) {
    const nn_plan_row *r = &p->rows[row];
    for (int k = 1, next = r->next; k < r->period && next >= 0; k++, next = p->rows[next].next)
        inside[next] = true; /* of a group: not its first item */
}

/* starts[i]: a column may begin at node i: the one edge that crosses ends there. */
static void find_starts(const nn_plan *p, const int *crossing, bool *inside, bool *starts) {
    for (int r = p->first; r >= 0; r = p->rows[r].next) {
        int node = p->rows[r].begin;
        if (p->rows[r].of != r) continue;
        if (p->rows[r].period > 1) mark_run(p, r, inside);
        if (node > 0 && node < p->n_nodes && !inside[r])
            starts[node] = crossing[node] == 1 && p->nodes[node].inputs == 1;
    }
}

/* Columns of at most `most` points where the starts allow it; the height of the highest. */
static int cut(nn_plan *p, const bool *starts, int most) {
    int column = 0, base = 0, best = -1, highest = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        int end = p->nodes[i].level + height_of(p, &p->nodes[i]);
        if (starts[i] && p->nodes[i].level - base >= most / 3) best = i;
        if (end - base > most && best >= 0) {
            column++;
            base = p->nodes[best].level;
            for (int k = best; k < i; k++) p->nodes[k].column = column;
            best = -1;
        }
        p->nodes[i].column = column;
        if (end - base > highest) highest = end - base;
    }
    p->columns = column + 1;
    return highest;
}

/* The cut that makes the picture about as wide as high, a little wider for a screen. */
static void fold(nn_plan *p, const bool *starts, int height) {
    double best = INFINITY;
    int chosen = height;
    for (int columns = 1; columns <= 64; columns++) {
        int most = height / columns + height / columns / 16, highest = cut(p, starts, most);
        double shape = fabs(log((double)p->columns * COLUMN_WIDTH / (highest + 100) / 1.25));
        if (shape < best) {
            best = shape;
            chosen = most;
        }
    }
    cut(p, starts, chosen);
}

void nn_plan_fold(nn_arena *arena, nn_plan *p) {
    level_nodes(p);
    int height = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        int end = p->nodes[i].level + height_of(p, &p->nodes[i]);
        if (end > height) height = end;
    }
    int *crossing = NN_NEW_N(arena, int, (size_t)p->n_nodes + 2);
    bool *starts = NN_NEW_N(arena, bool, (size_t)p->n_nodes + 1);
    bool *inside = NN_NEW_N(arena, bool, (size_t)p->unit->n_layers + 1);
    if (height <= NN_DRAW_FOLD || !crossing || !starts || !inside) return;
    count_crossings(p, crossing);
    find_starts(p, crossing, inside, starts);
    fold(p, starts, height);
    for (int i = 0; i < p->n_edges; i++) {
        nn_plan_edge *e = &p->edges[i];
        e->between = p->nodes[e->from].column != p->nodes[e->to].column;
    }
}
