/* SPDX-License-Identifier: MIT */
/* arguments.c - the arguments of each layer in a few characters: "32, 3×3, relu".
 *
 * A row knows the place of its call in the source. The body of a macro holds parameters there, so
 * the expanded tree is walked in step with the rows, and arguments are taken from its calls: each
 * value still knows where it was written. Where the walk and the rows do not agree (a search
 * space chose among layers), a row's text is that of its place, parameters and all. */
#include "draw/plan.h"

#include <string.h>

enum { MAX_TEXT = 120 }; /* bytes kept; a box cuts it to what fits */

typedef struct walk {
    const nn_plan *p;
    const nn_call **calls; /* by row */
    int row;               /* the next one */
    bool lost;
} walk;

/* ---- which call a row is of ---- */

static bool is_input(const nn_plan *p, int row) {
    return p->unit->layers[row].layer->role == NN_ROLE_INPUT;
}

static int64_t times(walk *w, const nn_value *repeat) {
    if (!repeat) return 1;
    if (repeat->kind == NN_V_INT && repeat->i >= 1) return repeat->i;
    w->lost = true;
    return 0;
}

static void walk_items(walk *w, const nn_item *items);

static void walk_call(walk *w, const nn_call *call) {
    const nn_layer *l = nn_layer_find(call->name);
    if (l && l->role == NN_ROLE_INPUT) return;
    while (w->row < w->p->unit->n_layers && is_input(w->p, w->row)) w->row++;
    if (w->row >= w->p->unit->n_layers ||
        w->p->unit->layers[w->row].span.begin != call->span.begin) {
        w->lost = true;
        return;
    }
    w->calls[w->row++] = call;
    if (call->block) walk_items(w, call->block);
}

static void walk_items(walk *w, const nn_item *items) {
    for (const nn_item *it = items; it && !w->lost; it = it->next) {
        if (it->kind == NN_ITEM_HPO) w->lost = true;
        int64_t n = times(w, it->repeat);
        for (int64_t i = 0; i < n && !w->lost; i++) {
            if (it->kind == NN_ITEM_CALL)
                walk_call(w, it->call);
            else
                walk_items(w, it->items);
        }
    }
}

/* ---- a value ---- */

typedef struct line {
    const nn_source *src;
    char text[MAX_TEXT + 1];
    size_t n;
    bool cut;
} line;

static void put(line *l, const char *s, size_t n) {
    if (l->cut) return;
    if (l->n + n > MAX_TEXT) {
        n = MAX_TEXT - l->n;
        while (n && ((unsigned char)s[n] & 0xc0) == 0x80) n--; /* whole characters */
        l->cut = true;
    }
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

static void put_text(line *l, const char *s) {
    put(l, s, strlen(s));
}

static void put_span(line *l, const nn_span *at) {
    if (at->begin < at->end && at->end <= l->src->size)
        put(l, l->src->text + at->begin, at->end - at->begin);
}

static bool all_numbers(const nn_value *items) {
    for (; items; items = items->next)
        if (items->kind != NN_V_INT) return false;
    return true;
}

static void put_value(line *l, const nn_value *v) {
    bool shape = v->kind == NN_V_TUPLE && v->count > 1 && all_numbers(v->items);
    if (v->kind == NN_V_STRING || v->kind == NN_V_NAME) {
        put_text(l, v->text);
    } else if (shape) {
        for (const nn_value *i = v->items; i; i = i->next) {
            put_text(l, i->text ? i->text : "?");
            if (i->next) put_text(l, "×");
        }
    } else {
        put_span(l, &v->span);
    }
}

/* ---- arguments ---- */

/* What is clear without its name; what stands elsewhere in the picture. */
static const char *const plain[] = {
    "units",        "filters",   "kernel_size", "pool_size", "activation", "rate",
    "target_shape", "input_dim", "function",    "ratio",     "n",          NULL};
static const char *const elsewhere[] = {"name", "inputs", NULL};

static bool listed(const char *const *names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static void put_arg(line *l, const nn_arg *a) {
    if (a->name && listed(elsewhere, a->name)) return;
    if (l->n) put_text(l, ", ");
    if (a->name && !listed(plain, a->name)) {
        put_text(l, a->name);
        put_text(l, "=");
    }
    put_value(l, a->value);
}

/* The inside of the parentheses as it was written. */
static void put_source(line *l, const nn_span *span) {
    if (span->end > l->src->size || span->begin >= span->end) return;
    const char *s = l->src->text + span->begin, *end = l->src->text + span->end;
    const char *open = memchr(s, '(', (size_t)(end - s)),
               *brace = memchr(s, '{', (size_t)(end - s));
    if (!open || (brace && brace < open)) return;
    int depth = 0;
    const char *close = open;
    for (; close < end; close++) {
        depth += (*close == '(') - (*close == ')');
        if (depth == 0) break;
    }
    put(l, open + 1, (size_t)(close - open - 1));
}

void nn_plan_texts(nn_arena *arena, nn_plan *p) {
    int n = p->unit->n_layers;
    walk w = {.p = p, .calls = NN_NEW_N(arena, const nn_call *, (size_t)n + 1)};
    if (!w.calls) return;
    if (p->unit->network) walk_items(&w, p->unit->network->items);
    while (!w.lost && w.row < n && is_input(p, w.row)) w.row++;
    bool sound = !w.lost && w.row == n;
    for (int i = 0; i < n; i++) {
        line l = {.src = p->unit->source};
        if (p->rows[i].of != i || is_input(p, i)) continue;
        if (sound && w.calls[i])
            for (const nn_arg *a = w.calls[i]->args; a; a = a->next) put_arg(&l, a);
        else
            put_source(&l, &p->unit->layers[i].span);
        if (l.cut) put_text(&l, "");
        p->rows[i].text = nn_arena_strndup(arena, l.text, l.n);
        if (!p->rows[i].text) p->rows[i].text = "";
    }
}
