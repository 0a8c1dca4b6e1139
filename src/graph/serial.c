/* SPDX-License-Identifier: MIT */
/* serial.c - a graph as JSON and back.
 *
 * Reading trusts nothing: the graph is built again with nn_graph_add and nn_graph_add_weight, so
 * every rule that holds while building holds for a file; then each shape in the file must be the
 * one that its rule gave. Members that are missing, of another type or unknown are refused. What an
 * op's attributes are is said in attr.c. */
#include "graph/attr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_VERSION = 1, MAX_TEXT = 1000 };

/* ---- weights ---- */

static nn_json *weight_json(const nn_weight *w) {
    nn_json *v = nn_json_new_object(), *i = nn_json_new_object(), *c = nn_json_new_object();
    nn_json_set(i, "kind", nn_json_new_str(nn_init_name(w->init.kind)));
    nn_json_set(i, "a", nn_json_new_num(w->init.a));
    nn_json_set(i, "b", nn_json_new_num(w->init.b));
    nn_json_set(i, "seeded", nn_json_new_bool(w->init.seeded));
    nn_json_set(i, "seed", nn_json_new_int((int64_t)w->init.seed));
    nn_json_set(c, "kind", nn_json_new_str(nn_constraint_name(w->constraint.kind)));
    nn_json_set(c, "min", nn_json_new_num(w->constraint.min));
    nn_json_set(c, "max", nn_json_new_num(w->constraint.max));
    nn_json_set(c, "rate", nn_json_new_num(w->constraint.rate));
    nn_json_set(v, "name", nn_json_new_str(strrchr(w->name, '.') + 1));
    nn_json_set(v, "shape", nn_wr_shape(&w->shape));
    nn_json_set(v, "fan_in", nn_json_new_int(w->fan_in));
    nn_json_set(v, "fan_out", nn_json_new_int(w->fan_out));
    nn_json_set(v, "l1", nn_json_new_num(w->regularizer.l1));
    nn_json_set(v, "l2", nn_json_new_num(w->regularizer.l2));
    nn_json_set(v, "trainable", nn_json_new_bool(w->trainable));
    nn_json_set(v, "init", i);
    nn_json_set(v, "constraint", c);
    return v;
}

static int find_init(const char *name) {
    return nn_init_find(name, NULL);
}

static nn_initializer read_init(nn_rd r) {
    nn_initializer i = {.kind = (nn_init_kind)nn_rd_word(&r, "kind", find_init)};
    i.a = nn_rd_num(&r, "a");
    i.b = nn_rd_num(&r, "b");
    i.seeded = nn_rd_bool(&r, "seeded");
    i.seed = (uint64_t)nn_rd_int(&r, "seed", INT64_MIN, INT64_MAX);
    nn_rd_done(&r);
    return i;
}

static nn_constraint read_constraint(nn_rd r) {
    nn_constraint c = {.kind = (nn_constraint_kind)nn_rd_word(&r, "kind", nn_constraint_find)};
    c.min = nn_rd_num(&r, "min");
    c.max = nn_rd_num(&r, "max");
    c.rate = nn_rd_num(&r, "rate");
    nn_rd_done(&r);
    return c;
}

static nn_status read_weight(nn_graph *g, int id, const nn_json *v, const char *where,
                             nn_err *err) {
    nn_status st = NN_OK;
    nn_rd r = nn_rd_open(v, where, &st, err);
    const char *suffix = nn_rd_str(&r, "name", NN_MAX_NAME);
    nn_weight w = {.shape = nn_rd_shape(&r, "shape")};
    w.fan_in = nn_rd_int(&r, "fan_in", 0, NN_MAX_ELEMENTS);
    w.fan_out = nn_rd_int(&r, "fan_out", 0, NN_MAX_ELEMENTS);
    w.regularizer.l1 = nn_rd_num(&r, "l1");
    w.regularizer.l2 = nn_rd_num(&r, "l2");
    w.trainable = nn_rd_bool(&r, "trainable");
    w.init = read_init(nn_rd_object(&r, "init"));
    w.constraint = read_constraint(nn_rd_object(&r, "constraint"));
    return nn_rd_done(&r) ? st : nn_graph_add_weight(g, id, suffix, &w, err);
}

/* ---- nodes ---- */

static nn_json *span_json(const nn_span *s) {
    return nn_wr_ints((const int64_t[]){s->line, s->col, s->end_line, s->end_col, (int64_t)s->begin,
                                        (int64_t)s->end},
                      6);
}

static nn_span read_span(nn_rd *r) {
    int64_t v[6] = {0};
    if (nn_rd_ints(r, "span", v, 6, 0, NN_MAX_DIM, false) != 6)
        nn_rd_fail(r, "span", "six integers");
    return (nn_span){(int)v[0], (int)v[1], (int)v[2], (int)v[3], (size_t)v[4], (size_t)v[5]};
}

static int read_inputs(nn_rd *r, int *to) {
    int64_t v[NN_MAX_INPUTS];
    int n = nn_rd_ints(r, "inputs", v, NN_MAX_INPUTS, 0, NN_MAX_DIM, false);
    for (int i = 0; i < n; i++) to[i] = (int)v[i];
    return n;
}

static nn_json *node_json(const nn_graph *g, const nn_node *n) {
    nn_json *v = nn_json_new_object(), *attr = nn_json_new_object(), *inputs = nn_json_new_array(),
            *weights = nn_json_new_array();
    nn_attr_write(attr, n);
    for (int i = 0; i < n->n_inputs; i++) nn_json_push(inputs, nn_json_new_int(n->inputs[i]));
    for (int i = 0; i < n->n_weights; i++)
        nn_json_push(weights, weight_json(&g->weights[n->weights[i]]));
    nn_json_set(v, "op", nn_json_new_str(nn_op_name(n->op)));
    nn_json_set(v, "name", nn_json_new_str(n->name));
    nn_json_set(v, "layer", nn_json_new_str(n->layer));
    nn_json_set(v, "layer_name", nn_json_new_str(n->layer_name));
    nn_json_set(v, "layer_index", nn_json_new_int(n->layer_index));
    nn_json_set(v, "span", span_json(&n->span));
    nn_json_set(v, "inputs", inputs);
    nn_json_set(v, "attr", attr);
    nn_json_set(v, "shape", nn_wr_shape(&n->shape));
    nn_json_set(v, "weights", weights);
    return v;
}

/* Weights were added node by node when the graph was built by layers; the slab's order is theirs.
 */
static nn_status read_weights(nn_graph *g, int id, const nn_json *list, const char *where,
                              nn_err *err) {
    size_t n = nn_json_size(list);
    if (n > NN_MAX_WEIGHTS)
        return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: too many weights", where);
    for (size_t i = 0; i < n; i++) {
        nn_status st = read_weight(g, id, nn_json_at(list, i), where, err);
        if (st) return st;
    }
    return NN_OK;
}

static nn_status read_node(nn_graph *g, const nn_json *v, nn_err *err) {
    char where[32];
    snprintf(where, sizeof where, "node %d", g->n_nodes);
    nn_status st = NN_OK;
    nn_rd r = nn_rd_open(v, where, &st, err);
    nn_node_spec s = {.op = (nn_op)nn_rd_word(&r, "op", nn_op_find)};
    s.name = nn_rd_str(&r, "name", NN_MAX_NAME);
    s.layer = nn_rd_str(&r, "layer", NN_MAX_NAME);
    s.layer_name = nn_rd_str(&r, "layer_name", NN_MAX_NAME);
    s.layer_index = (int)nn_rd_int(&r, "layer_index", -1, NN_MAX_DIM);
    s.span = read_span(&r);
    int inputs[NN_MAX_INPUTS];
    s.inputs = inputs;
    s.n_inputs = read_inputs(&r, inputs);
    nn_rd attr = nn_rd_object(&r, "attr");
    nn_attr_read(&attr, s.op, &s.attr);
    nn_rd_done(&attr);
    nn_shape shape = s.shape = nn_rd_shape(&r, "shape");
    const nn_json *weights = nn_rd_array(&r, "weights");
    if (nn_rd_done(&r)) return st;
    int id;
    st = nn_graph_add(g, &s, &id, err);
    if (st) return st;
    char a[160], b[160];
    if (!nn_shape_equal(&shape, &g->nodes[id].shape))
        return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: the shape is %s, but its rule gives %s",
                       where, nn_shape_print(&shape, false, a, sizeof a),
                       nn_shape_print(&g->nodes[id].shape, false, b, sizeof b));
    return read_weights(g, id, weights, where, err);
}

/* ---- graphs ---- */

nn_json *nn_graph_json(const nn_graph *g) {
    nn_json *v = nn_json_new_object(), *nodes = nn_json_new_array(), *outputs = nn_json_new_array();
    for (int i = 0; i < g->n_nodes; i++) nn_json_push(nodes, node_json(g, &g->nodes[i]));
    for (int i = 0; i < g->n_outputs; i++) nn_json_push(outputs, nn_json_new_int(g->outputs[i]));
    nn_json_set(v, "version", nn_json_new_int(FORMAT_VERSION));
    nn_json_set(v, "name", nn_json_new_str(g->name));
    nn_json_set(v, "nodes", nodes);
    nn_json_set(v, "outputs", outputs);
    nn_json_set(v, "train", nn_train_json(&g->train));
    return v;
}

static nn_status read_outputs(nn_graph *g, nn_rd *r, nn_err *err) {
    int64_t outputs[sizeof g->outputs / sizeof g->outputs[0]];
    int n = nn_rd_ints(r, "outputs", outputs, (int)(sizeof outputs / sizeof outputs[0]), 0,
                       NN_MAX_DIM, false);
    nn_status st = *r->status;
    for (int i = 0; i < n && !st; i++) st = nn_graph_add_output(g, (int)outputs[i], err);
    return st;
}

static nn_status read_into(nn_graph *g, nn_rd *r, nn_err *err) {
    const nn_json *nodes = nn_rd_array(r, "nodes");
    size_t n = nodes ? nn_json_size(nodes) : 0;
    nn_status st = *r->status;
    for (size_t i = 0; i < n && !st; i++) st = read_node(g, nn_json_at(nodes, i), err);
    if (!st) st = read_outputs(g, r, err);
    const nn_json *train = st ? NULL : nn_json_get(r->v, "train");
    if (!st) st = nn_train_read(train, &g->train, err);
    r->used += train != NULL;
    if (!st) st = nn_rd_done(r);
    return st ? st : nn_graph_check(g, err);
}

nn_status nn_graph_read(const nn_json *v, nn_arena *parent, nn_graph **ret, nn_err *err) {
    nn_status st = NN_OK;
    nn_rd r = nn_rd_open(v, "graph", &st, err);
    nn_rd_int(&r, "version", FORMAT_VERSION, FORMAT_VERSION);
    const char *name = nn_rd_str(&r, "name", MAX_TEXT);
    if (st) return st;
    nn_graph *g = nn_graph_new(parent, name);
    if (!g) return nn_fail(err, NN_E_LIMIT, "the graph does not fit into the memory allowed");
    st = read_into(g, &r, err);
    if (!st) {
        *ret = g;
        return NN_OK;
    }
    nn_arena_free(g->arena);
    if (st != NN_E_LIMIT && err) err->code = st = NN_E_MODEL_FILE_ERROR;
    return st == NN_E_LIMIT ? st : NN_E_MODEL_FILE_ERROR;
}
