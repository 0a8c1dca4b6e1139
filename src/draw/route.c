/* SPDX-License-Identifier: MIT */
/* route.c - right angles with round corners. Rows are taken from the last to the first, so that
 * what stands in a frame is as wide as it will be before the frame is. */
#include "draw/route.h"

#include "draw/text.h"

#include <math.h>
#include <string.h>

enum { BELOW = 16, ABOVE = 36, ARROW = 7, CORNER = 8, BESIDE = 15, INSIDE = 10 }; /* points */

typedef struct nn_spot {
    double x, y;
} nn_spot;

/* ---- lines ---- */

/* The point at `d` from a on the way to b, half way at most. */
static nn_spot towards(nn_spot a, nn_spot b, double d) {
    double length = hypot(b.x - a.x, b.y - a.y), t = length > 0 ? fmin(d / length, 0.5) : 0;
    return (nn_spot){a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)};
}

static void curve(nn_buf *out, nn_spot a, nn_spot b, nn_spot c) {
    nn_buf_printf(out, " %.2f,%.2f %.2f,%.2f %.2f,%.2f", a.x, a.y, b.x, b.y, c.x, c.y);
}

/* A spline through the corners of a polyline, which it rounds; with an arrow at its end. */
static const char *path(nn_arena *arena, const nn_spot *at, int n, bool arrow) {
    NN_BUF out = {0};
    nn_spot end = arrow ? towards(at[n - 1], at[n - 2], ARROW) : at[n - 1], from = at[0];
    if (arrow) nn_buf_printf(&out, "e,%.2f,%.2f ", at[n - 1].x, at[n - 1].y);
    nn_buf_printf(&out, "%.2f,%.2f", from.x, from.y);
    for (int i = 1; i + 1 < n; i++) {
        nn_spot in = towards(at[i], at[i - 1], CORNER), away = towards(at[i], at[i + 1], CORNER);
        curve(&out, from, in, in);
        curve(&out, at[i], at[i], away);
        from = away;
    }
    curve(&out, from, end, end);
    return nn_arena_strdup(arena, nn_buf_str(&out));
}

static nn_spot middle(const nn_area *a) {
    return (nn_spot){(a->left + a->right) / 2, (a->bottom + a->top) / 2};
}

static bool is_set(const nn_area *a) {
    return a->right > a->left;
}

static void widen(nn_area *a, const nn_area *in) {
    if (in == a || !is_set(in) || !is_set(a)) return;
    a->left = fmin(a->left, in->left - INSIDE);
    a->right = fmax(a->right, in->right + INSIDE);
}

/* ---- round a block ---- */

/* What stands in a frame, from its fork to its end. */
static nn_area contents(const nn_canvas *c, int row) {
    const nn_plan_row *r = &c->plan->rows[row];
    nn_area all = c->nodes[r->node[NN_PART_FORK]];
    for (int i = r->node[NN_PART_FORK]; i <= r->node[NN_PART_END]; i++) {
        all.left = fmin(all.left, c->nodes[i].left);
        all.right = fmax(all.right, c->nodes[i].right);
    }
    for (int i = row + 1; i < r->end; i++) {
        const nn_area *const inner[] = {&c->frames[i], &c->groups[i]};
        for (int k = 0; k < 2; k++) {
            if (!is_set(inner[k])) continue;
            all.left = fmin(all.left, inner[k]->left);
            all.right = fmax(all.right, inner[k]->right);
        }
    }
    return all;
}

/* The edge leaves the fork and comes to the sum from one side, where Graphviz left room. */
static void round_block(nn_canvas *c, int i) {
    const nn_plan_edge *e = &c->plan->edges[i];
    int row = e->value;
    nn_area all = contents(c, row), *frame = &c->frames[row];
    nn_spot fork = middle(&c->nodes[e->from]), end = middle(&c->nodes[e->to]);
    bool left = c->middle[i] < fork.x, labelled = c->places.edge_label[i] != NULL;
    double side = left ? -1 : 1, x = (left ? all.left : all.right) + side * BESIDE;
    double radius = (c->nodes[e->to].right - c->nodes[e->to].left) / 2, label = labelled ? 76 : 0;
    nn_spot at[] = {
        fork, {x,                     fork.y},
         {x,                     end.y },
         {end.x + side * radius, end.y }
    };
    c->places.edge[i] = path(c->arena, at, 4, true);
    if (labelled)
        c->places.edge_label[i] = nn_arena_printf(c->arena, "%.2f,%.2f", x + side * (4 + label / 2),
                                                  (fork.y + end.y) / 2);
    double edge = x + side * (label + INSIDE);
    if (left)
        frame->left = fmin(frame->left, edge);
    else
        frame->right = fmax(frame->right, edge);
}

/* ---- frames ---- */

static void put_area(const nn_canvas *c, const nn_area *a, const char **ret) {
    *ret = nn_arena_printf(c->arena, "%.2f,%.2f,%.2f,%.2f", a->left, a->bottom, a->right, a->top);
}

/* The label stands where the edge that enters does not pass: beside it, on the side of the way
 * round. */
static void put_frame(nn_canvas *c, int row, bool left) {
    const nn_area *a = &c->frames[row];
    double half = c->label_width[row] / 2 + INSIDE;
    put_area(c, a, &c->places.frame[row]);
    c->places.frame_label[row] = nn_arena_printf(
        c->arena, "%.2f,%.2f", left ? a->left + half : a->right - half, c->label_y[row]);
}

static int skip_of(const nn_plan *p, int row) {
    for (int i = 0; i < p->n_edges; i++)
        if (p->edges[i].skip && p->edges[i].value == row) return i;
    return -1;
}

static void finish_frame(nn_canvas *c, int row) {
    const nn_plan_row *r = &c->plan->rows[row];
    nn_area *a = &c->frames[row];
    bool left = false;
    for (int i = row + 1; i < r->end; i++) {
        widen(a, &c->frames[i]);
        widen(a, &c->groups[i]);
    }
    if (r->form == NN_FORM_RESIDUAL) {
        int skip = skip_of(c->plan, row);
        if (skip >= 0) round_block(c, skip);
        left = skip >= 0 && c->middle[skip] < middle(&c->nodes[r->node[NN_PART_FORK]]).x;
    }
    put_frame(c, row, left);
}

static void finish_group(nn_canvas *c, int row) {
    nn_area *a = &c->groups[row];
    int last = row;
    for (int k = 1; k < c->plan->rows[row].period; k++) last = c->plan->rows[last].next;
    for (int i = row; i < c->plan->rows[last].end; i++) {
        widen(a, &c->frames[i]);
        if (i > row) widen(a, &c->groups[i]);
    }
    put_area(c, a, &c->places.group[row]);
}

void nn_route_column(nn_canvas *c, int column) {
    nn_area *col = &c->columns[column];
    for (int row = c->plan->unit->n_layers - 1; row >= 0; row--) {
        bool mine = c->places.frame[row] == NULL && is_set(&c->frames[row]);
        if (mine) finish_frame(c, row);
        bool group = c->places.group[row] == NULL && is_set(&c->groups[row]);
        if (group) finish_group(c, row);
        if (mine) col->right = fmax(col->right, c->frames[row].right);
        if (group) col->right = fmax(col->right, c->groups[row].right);
    }
}

/* ---- from column to column ---- */

void nn_route_between(nn_canvas *c, int edge) {
    const nn_plan_edge *e = &c->plan->edges[edge];
    int to = c->plan->nodes[e->to].column;
    const nn_area *a = &c->nodes[e->from], *b = &c->nodes[e->to];
    double gap = c->columns[to].left - NN_COLUMN_GAP / 2.0,
           low = c->columns[c->plan->nodes[e->from].column].bottom - BELOW, end = middle(b).x;
    const nn_spot at[] = {
        {middle(a).x, a->bottom},
        {middle(a).x, low      },
        {gap,         low      },
        {gap,         ABOVE    },
        {end,         ABOVE    },
        {end,         b->top   }
    };
    bool arrow = c->plan->nodes[e->to].part != NN_PART_FORK;
    c->places.edge[edge] = path(c->arena, at, 6, arrow);
    if (c->plan->tangled) return;
    const nn_unit_layer *value = &c->plan->unit->layers[e->value];
    NN_BUF shape = {0};
    nn_draw_shape(&shape, &value->out, value->known);
    double half = 2.6 * (double)nn_draw_width(nn_buf_str(&shape)) + 6;
    c->places.edge_label[edge] = nn_arena_printf(c->arena, "%.2f,%.2f", end + half, 18.0);
}
