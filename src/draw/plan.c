/* SPDX-License-Identifier: MIT */
/* plan.c - rows of a unit to boxes, frames and edges.
 *
 * Rows stand in preorder, a block's rows behind the row it belongs to, and an input is always an
 * earlier row: so one pass in order meets every edge's source before its target. The first layer of
 * a block names the block's own row as its input.
 *
 * Repetition: siblings that come from the same place of the source, with equal shapes and costs,
 * each reading what the copy before gives, are one box (or one group) "x 12" when there are three
 * or more of them. Only what the program repeats is drawn so, not what merely looks alike. */
#include "draw/plan.h"

#include <string.h>

static const nn_unit_layer *at(const nn_plan *p, int row) {
    return &p->unit->layers[row];
}

static bool is_input(const nn_plan *p, int row) {
    return at(p, row)->layer->role == NN_ROLE_INPUT;
}

/* ---- blocks ---- */

static const struct {
    const char *layer;
    nn_plan_form form;
} forms[] = {
    {"Sequential",         NN_FORM_PASS    },
    {"Branch",             NN_FORM_PASS    },
    {"ResidualConnection", NN_FORM_RESIDUAL},
    {"Inception",          NN_FORM_JOIN    },
};

static nn_plan_form form_of(const nn_layer *l) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].layer, l->name) == 0) return forms[i].form;
    return NN_FORM_HEAD;
}

/* first, next and end of every row, from the parents. `last` is room for one more than the rows. */
static void link_rows(nn_plan *p, int *last) {
    int n = p->unit->n_layers;
    p->first = n ? 0 : -1;
    for (int i = 0; i <= n; i++) last[i] = -1;
    for (int i = 0; i < n; i++) {
        int parent = at(p, i)->parent, *before = &last[parent + 1];
        p->rows[i] = (nn_plan_row){.of = i, .first = -1, .next = -1, .copies = 1, .text = ""};
        memset(p->rows[i].node, -1, sizeof p->rows[i].node);
        if (*before >= 0)
            p->rows[*before].next = i;
        else if (parent >= 0)
            p->rows[parent].first = i;
        *before = i;
    }
    for (int i = n - 1; i >= 0; i--) {
        nn_plan_row *r = &p->rows[i];
        if (r->end < i + 1) r->end = i + 1;
        if (r->first >= 0) r->form = form_of(at(p, i)->layer);
        int parent = at(p, i)->parent;
        if (parent >= 0 && p->rows[parent].end < r->end) p->rows[parent].end = r->end;
    }
}

/* ---- repetition ---- */

typedef struct finder {
    nn_plan *p;
    int *last_use; /* by row: the last row that reads it, -1 */
    int *items;    /* siblings */
} finder;

static bool same_layer(const nn_unit_layer *a, const nn_unit_layer *b) {
    return a->span.line > 0 && a->span.begin == b->span.begin && a->span.end == b->span.end &&
           a->layer == b->layer && a->known == b->known && nn_shape_equal(&a->in, &b->in) &&
           nn_shape_equal(&a->out, &b->out) && a->params == b->params &&
           a->trainable == b->trainable && a->flops == b->flops && a->n_inputs == b->n_inputs;
}

/* Whether row b is what row a is, `shift` rows later: its inputs are the same, or so much later; of
 * the first copy, what comes from before the run corresponds to anything in the copy. */
static bool corresponds(const finder *f, int a, int shift, int begin, bool first) {
    const nn_unit_layer *x = at(f->p, a), *y = at(f->p, a + shift);
    if (!same_layer(x, y) || f->p->rows[a].end + shift != f->p->rows[a + shift].end) return false;
    for (int i = 0; i < x->n_inputs; i++) {
        int from = x->inputs[i], to = y->inputs[i];
        bool moved = to == from + shift || to == from;
        if (!moved && !(first && from < begin && to >= begin && to < begin + shift)) return false;
    }
    return true;
}

/* Whether the copy behind rows begin .. begin + shift - 1 is one of them, and nothing but it reads
 * them. */
static bool copy_follows(const finder *f, int begin, int shift, bool first) {
    if (begin + 2 * shift > f->p->unit->n_layers) return false;
    for (int i = begin; i < begin + shift; i++)
        if (f->last_use[i] >= begin + 2 * shift || !corresponds(f, i, shift, begin, first))
            return false;
    return true;
}

/* How often the `period` siblings from item i on stand in a row. */
static int count_copies(const finder *f, int n, int i, int period) {
    if (i + 2 * period > n) return 1;
    int begin = f->items[i], shift = f->items[i + period] - begin, count = 1;
    while (i + (count + 1) * period <= n && f->items[i + count * period] == begin + count * shift &&
           copy_follows(f, begin + (count - 1) * shift, shift, count == 1))
        count++;
    return count;
}

/* A run that was met in the middle of what is repeated, because the first copy differs: so many
 * items later it begins where the source does. */
static int rotation(const finder *f, int n, int i, int period, int *count) {
    int first = 0;
    for (int k = 1; k < period; k++)
        if (at(f->p, f->items[i + k])->span.begin < at(f->p, f->items[i + first])->span.begin)
            first = k;
    int copies = first ? count_copies(f, n, i + first, period) : *count;
    if (copies < 3) return 0;
    *count = copies;
    return first;
}

static void hide_copies(nn_plan *p, int begin, int shift, int count) {
    for (int i = begin + shift; i < begin + count * shift; i++)
        p->rows[i].of = begin + (i - begin) % shift;
    for (int i = begin; i < begin + shift; i++) p->rows[i].copies *= count;
}

/* Marks the runs among the rows of one block, `first` the first of them. */
static void find_runs(finder *f, int first) {
    nn_plan *p = f->p;
    int n = 0;
    for (int r = first; r >= 0; r = p->rows[r].next) f->items[n++] = r;
    for (int i = 0; i < n;) {
        int period = 1, count = 1,
            most = (n - i) / 3 < NN_DRAW_PERIOD ? (n - i) / 3 : NN_DRAW_PERIOD;
        for (; period <= most; period++)
            if ((count = count_copies(f, n, i, period)) >= 3) break;
        if (period > most) {
            i++;
            continue;
        }
        i += rotation(f, n, i, period, &count);
        p->rows[f->items[i]].period = period;
        p->rows[f->items[i]].count = count;
        hide_copies(p, f->items[i], f->items[i + period] - f->items[i], count);
        i += period * count;
    }
}

/* The row that is drawn in the place of this one. */
static int shown(const nn_plan *p, int row) {
    while (p->rows[row].of != row) row = p->rows[row].of;
    return row;
}

static bool repeat_rows(nn_arena *arena, nn_plan *p) {
    int n = p->unit->n_layers;
    finder f = {p, NN_NEW_N(arena, int, (size_t)n + 1), NN_NEW_N(arena, int, (size_t)n + 1)};
    if (!f.last_use || !f.items) return false;
    for (int i = 0; i < n; i++) f.last_use[i] = -1;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < at(p, i)->n_inputs; k++)
            if (at(p, i)->inputs[k] >= 0) f.last_use[at(p, i)->inputs[k]] = i;
    if (p->first >= 0) find_runs(&f, p->first);
    for (int i = 0; i < n; i++) /* a block comes before its rows: copies are known when met */
        if (p->rows[i].first >= 0 && shown(p, i) == i) find_runs(&f, p->rows[i].first);
    for (int i = 0; i < n; i++) p->rows[i].of = shown(p, i);
    return true;
}

/* ---- nodes ---- */

static nn_status too_many(int n, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_LIMIT,
                          "the picture would have more than %d boxes, repetitions drawn once", n);
    return nn_err_hint(err, s,
                       "write repeated layers as a repetition (Dense(64) * 500), which is one box, "
                       "or see `neural shapes` for a table");
}

static bool grow(nn_arena *arena, void *array, int n, int *cap, size_t size) {
    void **to = array;
    if (n < *cap) return true;
    int more = *cap ? 2 * *cap : 64;
    void *wide = nn_arena_array(arena, (size_t)more, size);
    if (!wide) return false;
    if (n) memcpy(wide, *to, (size_t)n * size);
    *to = wide;
    *cap = more;
    return true;
}

static nn_status no_memory(nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the picture");
}

static nn_status add_node(nn_arena *arena, nn_plan *p, int row, nn_plan_part part, nn_err *err) {
    if (p->n_nodes >= NN_DRAW_MAX_NODES) return too_many(NN_DRAW_MAX_NODES, err);
    if (!grow(arena, &p->nodes, p->n_nodes, &p->cap_nodes, sizeof *p->nodes)) return no_memory(err);
    p->rows[row].node[part] = p->n_nodes;
    p->nodes[p->n_nodes++] = (nn_plan_node){.row = row, .part = part};
    return NN_OK;
}

static nn_status add_edge(nn_arena *arena, nn_plan *p, nn_plan_edge e, nn_err *err) {
    if (p->n_edges >= NN_DRAW_MAX_EDGES) {
        nn_status s = nn_fail(err, NN_E_LIMIT, "the picture would have more than %d connections",
                              NN_DRAW_MAX_EDGES);
        return nn_err_hint(err, s, "see `neural shapes` for a table");
    }
    if (!grow(arena, &p->edges, p->n_edges, &p->cap_edges, sizeof *p->edges)) return no_memory(err);
    p->edges[p->n_edges++] = e;
    return NN_OK;
}

/* ---- edges ---- */

typedef struct wires {
    nn_arena *arena;
    nn_plan *p;
    nn_err *err;
    nn_status st;
    bool *consumed; /* by row: a row of the same block reads it */
} wires;

static void wire_input(wires *w, int from, int reader, int to);

/* What a row gives out goes to node `to`, as the output of row `value` (-1: of itself). */
static void wire_output(wires *w, int row, int value, int to) {
    nn_plan *p = w->p;
    row = p->rows[row].of;
    const nn_plan_row *r = &p->rows[row];
    if (value < 0 && r->form != NN_FORM_PASS) value = row;
    nn_plan_part part =
        r->form == NN_FORM_RESIDUAL || r->form == NN_FORM_JOIN ? NN_PART_END : NN_PART_BOX;
    if (r->form == NN_FORM_BOX || part == NN_PART_END) {
        int from = r->node[part];
        if (!w->st && from >= 0)
            w->st = add_edge(w->arena, p, (nn_plan_edge){.from = from, .to = to, .value = value},
                             w->err);
        return;
    }
    for (int c = r->first; c >= 0 && !w->st; c = p->rows[c].next)
        if (!w->consumed[c]) wire_output(w, c, value, to);
}

/* What enters a block, as the rows in it see it. */
static void wire_entry(wires *w, int block, int to) {
    nn_plan *p = w->p;
    nn_plan_row *r = &p->rows[block];
    nn_plan_part part = r->form == NN_FORM_HEAD ? NN_PART_BOX : NN_PART_FORK;
    const nn_unit_layer *l = at(p, block);
    if (r->form != NN_FORM_PASS && !w->st) {
        w->st = add_edge(
            w->arena, p,
            (nn_plan_edge){.from = r->node[part], .to = to, .value = block, .quiet = true}, w->err);
        return;
    }
    for (int i = 0; i < l->n_inputs && !w->st; i++) wire_input(w, l->inputs[i], block, to);
}

/* An input of `reader`, the row `from`, goes to node `to`. */
static void wire_input(wires *w, int from, int reader, int to) {
    if (from < 0) return;
    int block = w->p->rows[from].of;
    bool inside = reader > block && reader < w->p->rows[block].end;
    if (inside)
        wire_entry(w, block, to);
    else
        wire_output(w, from, -1, to);
}

static void wire_inputs(wires *w, int row, int to) {
    const nn_unit_layer *l = at(w->p, row);
    for (int i = 0; i < l->n_inputs && !w->st; i++) wire_input(w, l->inputs[i], row, to);
}

/* The end of a frame: its layers' open ends, and the way round. */
static void wire_end(wires *w, int row) {
    nn_plan *p = w->p;
    const nn_plan_row *r = &p->rows[row];
    int end = r->node[NN_PART_END], fork = r->node[NN_PART_FORK];
    for (int c = r->first; c >= 0 && !w->st; c = p->rows[c].next)
        if (!w->consumed[c]) wire_output(w, c, -1, end);
    if (r->form != NN_FORM_RESIDUAL || w->st) return;
    w->st = add_edge(w->arena, p,
                     (nn_plan_edge){.from = fork, .to = end, .value = row, .skip = true}, w->err);
}

/* ---- the whole ---- */

static void add_row(wires *w, int row);

/* The inputs that nothing has read before this item of the network stand before it, not at the
 * top: a picture can be cut between what goes before and them. */
static void add_late_inputs(wires *w, int row) {
    nn_plan *p = w->p;
    for (int r = row; r < p->rows[row].end && at(p, row)->parent < 0; r++)
        for (int k = 0; k < at(p, r)->n_inputs && !w->st; k++) {
            int from = at(p, r)->inputs[k];
            if (from >= 0 && is_input(p, from) && p->rows[from].node[NN_PART_BOX] < 0)
                w->st = add_node(w->arena, p, from, NN_PART_BOX, w->err);
        }
}

static void add_rows(wires *w, int first) {
    for (int r = first; r >= 0 && !w->st; r = w->p->rows[r].next)
        if (w->p->rows[r].of == r && !is_input(w->p, r)) add_row(w, r);
}

static void add_unread_inputs(wires *w) {
    for (int r = w->p->first; r >= 0 && !w->st; r = w->p->rows[r].next)
        if (is_input(w->p, r) && w->p->rows[r].node[NN_PART_BOX] < 0)
            w->st = add_node(w->arena, w->p, r, NN_PART_BOX, w->err);
}

/* Nodes in the order of the flow, each with the edges that reach it. */
static void add_row(wires *w, int row) {
    nn_plan *p = w->p;
    nn_plan_form form = p->rows[row].form;
    bool ended = form == NN_FORM_RESIDUAL || form == NN_FORM_JOIN;
    add_late_inputs(w, row);
    p->rows[row].begin = p->n_nodes;
    if (w->st) return;
    if (form != NN_FORM_PASS) {
        nn_plan_part part = ended ? NN_PART_FORK : NN_PART_BOX;
        w->st = add_node(w->arena, p, row, part, w->err);
        if (!w->st) wire_inputs(w, row, p->rows[row].node[part]);
    }
    if (!w->st) add_rows(w, p->rows[row].first);
    if (w->st || !ended) return;
    w->st = add_node(w->arena, p, row, NN_PART_END, w->err);
    if (!w->st) wire_end(w, row);
}

/* Around a sum no shapes are written: they are that of what leaves it. */
static void hush(nn_plan *p) {
    for (int i = 0; i < p->n_edges; i++) {
        nn_plan_edge *e = &p->edges[i];
        bool join = p->nodes[e->to].part == NN_PART_END;
        if (e->skip || (join && p->rows[p->nodes[e->to].row].form == NN_FORM_RESIDUAL))
            e->quiet = true;
    }
}

int64_t nn_plan_own_params(const nn_plan *p, int row) {
    int64_t own = at(p, row)->params;
    for (int c = p->rows[row].first; c >= 0; c = p->rows[c].next) own -= at(p, c)->params;
    return own > 0 ? own : 0;
}

nn_status nn_plan_make(nn_arena *arena, const nn_unit *u, nn_plan *ret, nn_err *err) {
    size_t n = (size_t)u->n_layers;
    nn_plan p = {.unit = u, .rows = NN_NEW_N(arena, nn_plan_row, n + 1), .columns = 1};
    int *last = NN_NEW_N(arena, int, n + 2);
    wires w = {arena, &p, err, NN_OK, NN_NEW_N(arena, bool, n + 1)};
    if (!p.rows || !last || !w.consumed) return no_memory(err);
    link_rows(&p, last);
    if (!repeat_rows(arena, &p)) return no_memory(err);
    for (int i = 0; i < u->n_layers; i++)
        for (int k = 0; k < at(&p, i)->n_inputs; k++) {
            int from = at(&p, i)->inputs[k];
            if (from >= 0 && at(&p, from)->parent == at(&p, i)->parent) w.consumed[from] = true;
        }
    add_rows(&w, p.first);
    add_unread_inputs(&w);
    if (w.st) return w.st;
    hush(&p);
    *ret = p;
    return NN_OK;
}
