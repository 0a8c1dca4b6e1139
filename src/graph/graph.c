/* SPDX-License-Identifier: MIT */
/* graph.c - building a graph, and whether it is whole.
 *
 * Invariants: every node's inputs have smaller indices; every shape was given by the op's rule or
 * checked by it; names are unique (an open-addressing set of pointers into the nodes, at most half
 * full); weights lie in the slab without gaps in the order in which they were added. */
#include "graph/graph.h"

#include "graph/infer.h"

#include <inttypes.h>
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

/* Doubles an array that lives in the arena; the old one stays there until the arena goes. */
static bool room(nn_arena *a, void **p, int n, int *cap, size_t size) {
    if (n < *cap) return true;
    if (n > INT32_MAX / 4) return false;
    int want = *cap ? *cap * 2 : 16;
    void *q = nn_arena_array(a, (size_t)want, size);
    if (!q) return false;
    if (n) memcpy(q, *p, (size_t)n * size);
    *p = q;
    *cap = want;
    return true;
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

static nn_status check_inputs(const nn_graph *g, const nn_node_spec *s, nn_err *err) {
    if (nn_op_inputs(s->op) == 0) {
        if (g->n_inputs == (int)(sizeof g->inputs / sizeof g->inputs[0]))
            return nn_fail(err, NN_E_DSL_ERROR, "a network has at most %d inputs", g->n_inputs);
        return NN_OK;
    }
    if (s->input < 0 || s->input >= g->n_nodes)
        return nn_fail(err, NN_E_DSL_ERROR, "%s needs an input that stands before it",
                       nn_op_name(s->op));
    return NN_OK;
}

nn_status nn_graph_add(nn_graph *g, const nn_node_spec *s, int *ret_id, nn_err *err) {
    nn_status st = check_name(g, s->name, err);
    if (!st) st = check_inputs(g, s, err);
    if (st) return st;
    nn_node n = {.id = g->n_nodes,
                 .op = s->op,
                 .layer_index = s->layer_index,
                 .span = s->span,
                 .n_inputs = nn_op_inputs(s->op),
                 .attr = s->attr,
                 .shape = s->shape};
    if (n.n_inputs) n.inputs[0] = s->input;
    st = nn_infer(&n, n.n_inputs ? &g->nodes[s->input].shape : NULL, err);
    if (st) return st;
    n.name = nn_arena_strdup(g->arena, s->name);
    n.layer = nn_arena_strdup(g->arena, s->layer);
    n.layer_name =
        strcmp(s->layer_name, s->name) == 0 ? n.name : nn_arena_strdup(g->arena, s->layer_name);
    if (!n.name || !n.layer || !n.layer_name || !grow_names(g) ||
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
