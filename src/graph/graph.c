/* SPDX-License-Identifier: MIT */
/* graph.c - building a graph, and whether it is whole.
 *
 * Invariants: every node's inputs have smaller indices; every shape was given by the op's rule or
 * checked by it; names are unique (an open-addressing set of pointers into the nodes, at most half
 * full); weights lie in the slab without gaps in the order in which they were added. */
#include "graph/graph.h"

#include "graph/infer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct nn_names {
    const char **slot;
    size_t n, cap; /* cap is a power of two */
};

static size_t hash(const char *s) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32);
}

static size_t find_slot(const struct nn_names *t, const char *name) {
    size_t i = hash(name) & (t->cap - 1);
    while (t->slot[i] && strcmp(t->slot[i], name) != 0) i = (i + 1) & (t->cap - 1);
    return i;
}

static bool grow_names(nn_graph *g) {
    struct nn_names *t = g->names, old = *t;
    if (2 * (t->n + 1) <= t->cap) return true;
    const char **slot = NN_NEW_N(g->arena, const char *, 2 * old.cap);
    if (!slot) return false;
    *t = (struct nn_names){slot, old.n, 2 * old.cap};
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i]) slot[find_slot(t, old.slot[i])] = old.slot[i];
    return true;
}

bool nn_graph_has_name(const nn_graph *g, const char *name) {
    return g->names->slot[find_slot(g->names, name)] != NULL;
}

nn_graph *nn_graph_new(nn_arena *parent, const char *name) {
    enum { FIRST_NAMES = 64 };
    nn_arena *a = nn_arena_new(parent, "graph", 0);
    nn_graph *g = NN_NEW(a, nn_graph);
    struct nn_names *t = g ? NN_NEW(a, struct nn_names) : NULL;
    const char **slot = t ? NN_NEW_N(a, const char *, FIRST_NAMES) : NULL;
    char *copy = slot ? nn_arena_strdup(a, name) : NULL;
    if (!copy) {
        nn_arena_free(a);
        return NULL;
    }
    *t = (struct nn_names){slot, 0, FIRST_NAMES};
    *g = (nn_graph){.arena = a, .name = copy, .names = t, .train = nn_train_default()};
    return g;
}

static nn_status full(nn_err *err) {
    return nn_fail(err, NN_E_LIMIT, "the network is larger than the memory allowed for it");
}

/* Makes room for one more element of an array that lives in the arena. */
static bool room(nn_arena *a, void **p, int n, int *cap, size_t size) {
    if (n < *cap) return true;
    if (n > INT32_MAX / 4) return false;
    int want = *cap ? *cap * 2 : 16;
    void *q = nn_arena_resize(a, *p, (size_t)*cap * size, (size_t)want * size);
    if (!q) return false;
    *p = q;
    *cap = want;
    return true;
}

/* Gives back what an array does not use. */
static void trim(nn_arena *a, void **p, int n, int *cap, size_t size) {
    void *q = nn_arena_resize(a, *p, (size_t)*cap * size, (size_t)n * size);
    if (!q || n == 0) return;
    *p = q;
    *cap = n;
}

void nn_graph_trim(nn_graph *g) {
    trim(g->arena, (void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes);
    trim(g->arena, (void **)&g->weights, g->n_weights, &g->cap_weights, sizeof *g->weights);
}

static nn_status check_name(const nn_graph *g, const char *name, nn_err *err) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(name);
    if (n == 0 || n > NN_MAX_NAME || strspn(name, allowed) != n)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "a name is 1 to %d letters, digits, '_', '.' or '-', got '%.40s'",
                       NN_MAX_NAME, name);
    if (nn_graph_has_name(g, name))
        return nn_fail(err, NN_E_DSL_ERROR, "the name '%s' is used twice", name);
    return NN_OK;
}

/* These are not unique, and a custom layer may be called anything; a file must hold them. */
static nn_status check_texts(const nn_node_spec *s, nn_err *err) {
    if (strlen(s->layer) > NN_MAX_NAME || strlen(s->layer_name) > NN_MAX_NAME)
        return nn_fail(err, NN_E_DSL_ERROR, "the name of a layer has at most %d bytes, got '%.40s'",
                       NN_MAX_NAME, strlen(s->layer) > NN_MAX_NAME ? s->layer : s->layer_name);
    const char *text = s->op == NN_OP_CUSTOM ? s->attr.custom.text : NULL;
    if (text && strlen(text) > NN_MAX_CUSTOM)
        return nn_fail(err, NN_E_DSL_ERROR, "what %s is given has %zu bytes; at most %d are kept",
                       s->layer, strlen(text), NN_MAX_CUSTOM);
    return NN_OK;
}

static nn_status check_arity(const nn_node_spec *s, nn_err *err) {
    int least, most;
    nn_op_arity(s->op, &least, &most);
    if (s->n_inputs >= least && s->n_inputs <= most) return NN_OK;
    char takes[48];
    if (least == most)
        snprintf(takes, sizeof takes, "%d", least);
    else
        snprintf(takes, sizeof takes, "%d to %d", least, most);
    return nn_fail(err, NN_E_DSL_ERROR, "%s takes %s input%s, got %d", nn_op_name(s->op), takes,
                   most == 1 ? "" : "s", s->n_inputs);
}

static nn_status check_inputs(const nn_graph *g, const nn_node_spec *s, nn_err *err) {
    nn_status st = check_arity(s, err);
    if (st) return st;
    if (s->op == NN_OP_INPUT && g->n_inputs == (int)(sizeof g->inputs / sizeof g->inputs[0]))
        return nn_fail(err, NN_E_DSL_ERROR, "a network has at most %d inputs", g->n_inputs);
    for (int i = 0; i < s->n_inputs; i++)
        if (s->inputs[i] < 0 || s->inputs[i] >= g->n_nodes)
            return nn_fail(err, NN_E_DSL_ERROR, "%s needs an input that stands before it",
                           nn_op_name(s->op));
    return NN_OK;
}

/* ---- folds ---- */

static const char *fold_text(int64_t fold, char *to, size_t cap) {
    if (fold < 0)
        snprintf(to, cap, "an unknown number of rows");
    else
        snprintf(to, cap, "%" PRId64 " row%s", fold, fold == 1 ? "" : "s");
    return to;
}

/* The inputs' rows must be the same ones. FOLDs of equally many steps at equal depth do agree: so
 * do two sequences that are taken apart side by side. */
static nn_status agree_folds(const nn_graph *g, const nn_node_spec *s, nn_err *err) {
    const nn_node *a = &g->nodes[s->inputs[0]];
    for (int i = 1; i < s->n_inputs; i++) {
        const nn_node *b = &g->nodes[s->inputs[i]];
        if (a->fold == b->fold && (a->folded < 0) == (b->folded < 0)) continue;
        char x[64], y[64];
        return nn_fail(err, NN_E_DSL_ERROR,
                       "%s meets '%s', which has %s a sample, and '%s', which has %s: its inputs "
                       "lie in the same TimeDistributed, or all outside",
                       nn_op_name(s->op), a->name, fold_text(a->fold, x, sizeof x), b->name,
                       fold_text(b->fold, y, sizeof y));
    }
    return NN_OK;
}

static nn_status fold(const nn_graph *g, nn_node *n, nn_err *err) {
    const nn_node *in = &g->nodes[n->inputs[0]];
    int64_t steps = in->shape.dim[0];
    n->folded = n->id;
    if (in->fold < 0 || steps < 0)
        n->fold = NN_DIM_UNKNOWN;
    else if (__builtin_mul_overflow(in->fold, steps, &n->fold) || n->fold > NN_MAX_ELEMENTS)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "too many rows: %" PRId64 " steps bring '%s' past 2^40 rows a sample", steps,
                       in->name);
    return NN_OK;
}

static nn_status unfold(const nn_graph *g, nn_node *n, nn_err *err) {
    const nn_node *in = &g->nodes[n->inputs[0]];
    if (in->folded < 0)
        return nn_fail(err, NN_E_DSL_ERROR, "unfold: no fold stands before '%s'", in->name);
    const nn_node *whole = &g->nodes[g->nodes[in->folded].inputs[0]];
    if (whole->shape.dim[0] != n->attr.unfold.size)
        return nn_fail(err, NN_E_DSL_ERROR, "unfold to %" PRId64 " steps, but '%s' folded %" PRId64,
                       n->attr.unfold.size, g->nodes[in->folded].name, whole->shape.dim[0]);
    n->fold = whole->fold;
    n->folded = whole->folded;
    return NN_OK;
}

/* Sets the node's fold, its inputs being known. */
static nn_status infer_fold(const nn_graph *g, const nn_node_spec *s, nn_node *n, nn_err *err) {
    n->fold = 1;
    n->folded = -1;
    if (n->n_inputs == 0) return NN_OK;
    nn_status st = agree_folds(g, s, err);
    if (st) return st;
    if (n->op == NN_OP_FOLD) return fold(g, n, err);
    if (n->op == NN_OP_UNFOLD) return unfold(g, n, err);
    n->fold = g->nodes[n->inputs[0]].fold;
    n->folded = g->nodes[n->inputs[0]].folded;
    return NN_OK;
}

/* ---- adding ---- */

static nn_status infer(const nn_graph *g, const nn_node_spec *s, nn_node *n, nn_err *err) {
    nn_shape in[NN_MAX_INPUTS];
    for (int i = 0; i < n->n_inputs; i++) in[i] = g->nodes[n->inputs[i]].shape;
    nn_status st = nn_infer(n, in, err);
    return st ? st : infer_fold(g, s, n, err);
}

/* Copies what the node points to. */
static bool copy_texts(nn_graph *g, const nn_node_spec *s, nn_node *n) {
    int *inputs = NN_NEW_N(g->arena, int, (size_t)n->n_inputs + (n->n_inputs == 0));
    n->name = nn_arena_strdup(g->arena, s->name);
    n->layer = nn_arena_strdup(g->arena, s->layer);
    n->layer_name =
        strcmp(s->layer_name, s->name) == 0 ? n->name : nn_arena_strdup(g->arena, s->layer_name);
    if (n->op == NN_OP_CUSTOM)
        n->attr.custom.text =
            nn_arena_strdup(g->arena, s->attr.custom.text ? s->attr.custom.text : "");
    if (!inputs || !n->name || !n->layer || !n->layer_name ||
        (n->op == NN_OP_CUSTOM && !n->attr.custom.text))
        return false;
    for (int i = 0; i < n->n_inputs; i++) inputs[i] = s->inputs[i];
    n->inputs = inputs;
    return true;
}

nn_status nn_graph_add(nn_graph *g, const nn_node_spec *s, int *ret_id, nn_err *err) {
    nn_status st = check_name(g, s->name, err);
    if (!st) st = check_texts(s, err);
    if (!st) st = check_inputs(g, s, err);
    if (st) return st;
    nn_node n = {.id = g->n_nodes,
                 .op = s->op,
                 .layer_index = s->layer_index,
                 .span = s->span,
                 .n_inputs = s->n_inputs,
                 .inputs = s->inputs,
                 .attr = s->attr,
                 .shape = s->shape};
    st = infer(g, s, &n, err);
    if (st) return st;
    if (!copy_texts(g, s, &n) || !grow_names(g) ||
        !room(g->arena, (void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof n))
        return full(err);
    g->nodes[g->n_nodes++] = n;
    g->names->slot[find_slot(g->names, n.name)] = n.name;
    g->names->n++;
    if (n.op == NN_OP_INPUT) g->inputs[g->n_inputs++] = n.id;
    *ret_id = n.id;
    return NN_OK;
}

nn_status nn_graph_add_weight(nn_graph *g, int id, const char *suffix, const nn_weight *w,
                              nn_err *err) {
    if (id < 0 || id != g->n_nodes - 1) /* so that the slab's order is that of the nodes */
        return nn_fail(err, NN_E_INTERNAL, "weight '%s' is not of the newest node", suffix);
    nn_node *n = &g->nodes[id];
    nn_shape want;
    const char *rule = nn_node_weight_rule(g, n, n->n_weights, &want);
    char a[128], b[128];
    if (!rule || strcmp(rule, suffix) != 0 || !nn_shape_equal(&want, &w->shape))
        return nn_fail(err, NN_E_DSL_ERROR, "%s '%s' takes the weight %s %s here, got %s %s",
                       nn_op_name(n->op), n->name, rule ? rule : "none",
                       rule ? nn_shape_print(&want, false, a, sizeof a) : "", suffix,
                       nn_shape_print(&w->shape, false, b, sizeof b));
    int64_t elements = nn_shape_elements(&w->shape);
    if (elements < 0 || elements > NN_MAX_ELEMENTS - g->slab)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "too many weights: '%s.%s' %s brings them past 2^40 numbers", n->name,
                       suffix, nn_shape_print(&w->shape, false, a, sizeof a));
    char *name = nn_arena_printf(g->arena, "%s.%s", n->name, suffix);
    if (!name || !room(g->arena, (void **)&g->weights, g->n_weights, &g->cap_weights, sizeof *w))
        return full(err);
    nn_weight *to = &g->weights[g->n_weights];
    *to = *w;
    to->name = name;
    to->elements = elements;
    to->offset = g->slab;
    g->slab += elements;
    n->weights[n->n_weights++] = g->n_weights++;
    return NN_OK;
}

nn_status nn_graph_add_output(nn_graph *g, int id, nn_err *err) {
    if (id < 0 || id >= g->n_nodes)
        return nn_fail(err, NN_E_DSL_ERROR, "output %d is not a node", id);
    if (g->n_outputs == (int)(sizeof g->outputs / sizeof g->outputs[0]))
        return nn_fail(err, NN_E_DSL_ERROR, "a network has at most %d outputs", g->n_outputs);
    if (g->nodes[id].folded >= 0)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "output '%s' lies between a fold and its unfold: an output has one row a "
                       "sample",
                       g->nodes[id].name);
    g->outputs[g->n_outputs++] = id;
    return NN_OK;
}

nn_status nn_graph_check(const nn_graph *g, nn_err *err) {
    if (g->n_inputs == 0) return nn_fail(err, NN_E_DSL_ERROR, "the graph has no input");
    if (g->n_outputs == 0) return nn_fail(err, NN_E_DSL_ERROR, "the graph has no output");
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        nn_shape shape;
        const char *missing = nn_node_weight_rule(g, n, n->n_weights, &shape);
        if (missing)
            return nn_fail(err, NN_E_DSL_ERROR, "%s '%s' lacks its weight '%s'", nn_op_name(n->op),
                           n->name, missing);
    }
    return NN_OK;
}
