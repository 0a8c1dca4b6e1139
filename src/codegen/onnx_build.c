/* SPDX-License-Identifier: MIT */
/* onnx_build.c - the growing graph of operators, and the shape rules of those that the ops need.
 * Every value knows its shape, so that each can be written into the file. */
#include "codegen/onnx.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- memory: what cannot be had makes e->failed, and the file is not written ---- */

/* Counts n things of a size; false: that is more than is left. */
static bool charge(nn_emit *e, size_t n, size_t size) {
    if (n > e->left / size) e->failed = true;
    if (!e->failed) e->left -= n * size;
    return !e->failed;
}

/* Small things are there even past the limit: what is written of a node stays whole until
 * somebody asks e->failed. */
static void *take(nn_emit *e, size_t n, size_t size) {
    charge(e, n, size);
    void *p = nn_arena_array(e->arena, n ? n : 1, size);
    if (!p) e->failed = true;
    return p;
}

static void *copy(nn_emit *e, const void *v, int n, size_t size) {
    void *p = take(e, (size_t)n, size);
    if (p && n) memcpy(p, v, (size_t)n * size);
    return p;
}

float *nn_onnx_floats_new(nn_emit *e, int64_t n) {
    if (!charge(e, (size_t)n, sizeof(float))) return NULL;
    float *p = nn_arena_array(e->arena, (size_t)n, sizeof *p);
    if (!p) e->failed = true;
    return p;
}

/* Room for one more in an array of pointers that doubles when it is full. */
static void *grown(nn_emit *e, void *p, int n) {
    if (n & (n - 1)) return p;
    void *q = nn_arena_array(e->arena, n ? 2 * (size_t)n : 1, sizeof(void *));
    if (!q) e->failed = true;
    if (q && n) memcpy(q, p, (size_t)n * sizeof(void *));
    return q;
}

/* ---- values and operators ---- */

static const char *name_of(nn_emit *e, const char *what) {
    return nn_arena_printf(e->arena, "%s/%s_%d", e->node->name, what, ++e->count);
}

static value *new_value(nn_emit *e, const value *like, const char *name) {
    value *v = take(e, 1, sizeof *v);
    *v = *like;
    v->name = name;
    v->owner = e->node->id;
    v->computed = true;
    v->data = NULL;
    return v;
}

static nn_onnx_operator *last_put(nn_emit *e) {
    if (!e->failed) return e->operators[e->n_operators - 1];
    e->spare = (nn_onnx_operator){.type = "none", .node = e->node};
    return &e->spare;
}

value *nn_onnx_put(nn_emit *e, const char *type, int n, value *const *in) {
    void *room = grown(e, e->operators, e->n_operators);
    nn_onnx_operator *o = take(e, 1, sizeof *o);
    *o = (nn_onnx_operator){
        .type = type, .node = e->node, .n_in = n, .in = copy(e, in, n, sizeof *in), .n_out = 1};
    o->out[0] = new_value(e, in[0], name_of(e, type));
    if (!room) return o->out[0];
    e->operators = room;
    e->operators[e->n_operators++] = o;
    return o->out[0];
}

value *nn_onnx_more(nn_emit *e, const value *like) {
    nn_onnx_operator *o = last_put(e);
    return o->out[o->n_out++] = new_value(e, like, name_of(e, o->type));
}

static nn_onnx_attribute *attribute(nn_emit *e, const char *name, int kind) {
    nn_onnx_operator *o = last_put(e);
    o->attributes[o->n_attributes] = (nn_onnx_attribute){.name = name, .kind = kind};
    return &o->attributes[o->n_attributes++];
}

void nn_onnx_float(nn_emit *e, const char *name, double v) {
    attribute(e, name, 1)->f = (float)v;
}

void nn_onnx_int(nn_emit *e, const char *name, int64_t v) {
    attribute(e, name, 2)->i = v;
}

void nn_onnx_string(nn_emit *e, const char *name, const char *v) {
    attribute(e, name, 3)->s = v;
}

void nn_onnx_floats(nn_emit *e, const char *name, const float *v, int n) {
    nn_onnx_attribute *a = attribute(e, name, 6);
    a->floats = copy(e, v, n, sizeof *v);
    a->n = n;
}

void nn_onnx_ints(nn_emit *e, const char *name, const int64_t *v, int n) {
    nn_onnx_attribute *a = attribute(e, name, 7);
    a->ints = copy(e, v, n, sizeof *v);
    a->n = n;
}

void nn_onnx_strings(nn_emit *e, const char *name, const char *const *v, int n) {
    nn_onnx_attribute *a = attribute(e, name, 8);
    a->strings = copy(e, v, n, sizeof *v);
    a->n = n;
}

/* ---- initialisers ---- */

static value *initialiser(nn_emit *e, const char *name, nn_onnx_type type, const void *data,
                          int rank, const int64_t *dim) {
    void *room = grown(e, e->initialisers, e->n_initialisers);
    value v = {.type = type, .rank = rank};
    for (int i = 0; i < rank; i++) v.dim[i] = (nn_onnx_dim){dim[i], NULL};
    value *made = new_value(e, &v, name);
    made->computed = false;
    made->data = data;
    if (!room) return made;
    e->initialisers = room;
    return e->initialisers[e->n_initialisers++] = made;
}

value *nn_onnx_constant(nn_emit *e, const char *what, const float *v, int rank,
                        const int64_t *dim) {
    return initialiser(e, name_of(e, what), NN_ONNX_FLOAT, v, rank, dim);
}

value *nn_onnx_scalar(nn_emit *e, const char *what, double v) {
    float *f = take(e, 1, sizeof *f);
    *f = (float)v;
    return nn_onnx_constant(e, what, f, 0, NULL);
}

value *nn_onnx_filled(nn_emit *e, const char *what, float v, int64_t n) {
    float *f = nn_onnx_floats_new(e, n);
    for (int64_t i = 0; f && i < n; i++) f[i] = v;
    return nn_onnx_constant(e, what, f, 1, &n);
}

value *nn_onnx_whole(nn_emit *e, const char *what, const int64_t *v, int n) {
    int64_t dim = n;
    return initialiser(e, name_of(e, what), NN_ONNX_INT64, copy(e, v, n, sizeof *v), 1, &dim);
}

value *nn_onnx_whole_scalar(nn_emit *e, const char *what, int64_t v) {
    return initialiser(e, name_of(e, what), NN_ONNX_INT64, copy(e, &v, 1, sizeof v), 0, NULL);
}

static const nn_weight *weight_of(const nn_emit *e, const nn_node *n, int k) {
    return &e->g->weights[n->weights[k]];
}

const float *nn_onnx_data(const nn_emit *e, const nn_node *n, int k) {
    return e->opt->weights + weight_of(e, n, k)->offset;
}

value *nn_onnx_weight_as(nn_emit *e, const nn_node *n, int k, const float *v, int rank,
                         const int64_t *dim) {
    return initialiser(e, weight_of(e, n, k)->name, NN_ONNX_FLOAT, v, rank, dim);
}

value *nn_onnx_weight(nn_emit *e, const nn_node *n, int k) {
    const nn_shape *s = &weight_of(e, n, k)->shape;
    return nn_onnx_weight_as(e, n, k, nn_onnx_data(e, n, k), s->rank, s->dim);
}

/* to[...]: the elements of `from` with axis i of the result its axis perm[i]. */
static void permute(const float *from, const nn_shape *s, const int *perm, float *to) {
    int64_t step[NN_MAX_RANK], place[NN_MAX_RANK] = {0}, all = nn_shape_elements(s), at = 0;
    int rank = s->rank;
    for (int i = 0; i < rank; i++) {
        step[i] = 1;
        for (int a = perm[i] + 1; a < rank; a++) step[i] *= s->dim[a];
    }
    for (int64_t e = 0; e < all; e++) {
        to[e] = from[at];
        for (int i = rank - 1; i >= 0; i--) {
            at += step[i];
            if (++place[i] < s->dim[perm[i]]) break;
            at -= step[i] * place[i];
            place[i] = 0;
        }
    }
}

value *nn_onnx_weight_permuted(nn_emit *e, const nn_node *n, int k, const int *perm) {
    const nn_shape *s = &weight_of(e, n, k)->shape;
    int64_t dim[NN_MAX_RANK];
    for (int i = 0; i < s->rank; i++) dim[i] = s->dim[perm[i]];
    float *to = nn_onnx_floats_new(e, nn_shape_elements(s));
    if (to) permute(nn_onnx_data(e, n, k), s, perm, to);
    return nn_onnx_weight_as(e, n, k, to, s->rank, dim);
}

/* ---- operators ---- */

value *nn_onnx_unary(nn_emit *e, const char *type, value *x) {
    return PUT(e, type, x);
}

/* By NumPy's rule. A name is kept only where both sides agree or the other one is 1. */
static nn_onnx_dim broadcast(nn_onnx_dim a, nn_onnx_dim b) {
    if (a.n == 1) return b;
    if (b.n == 1 || a.n > 1) return a;
    if (b.n > 1) return b;
    bool same = a.name && b.name && strcmp(a.name, b.name) == 0;
    return (nn_onnx_dim){-1, same ? a.name : NULL};
}

static void broadcast_axes(value *y, const value *a, const value *b, int skip) {
    y->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 1 + skip; i <= y->rank; i++) {
        nn_onnx_dim one = {1, NULL};
        y->dim[y->rank - i] = broadcast(i <= a->rank ? a->dim[a->rank - i] : one,
                                        i <= b->rank ? b->dim[b->rank - i] : one);
    }
}

value *nn_onnx_binary(nn_emit *e, const char *type, value *a, value *b) {
    value *y = PUT(e, type, a, b);
    broadcast_axes(y, a, b, 0);
    return y;
}

value *nn_onnx_matmul(nn_emit *e, value *a, value *b) {
    value *y = PUT(e, "MatMul", a, b);
    broadcast_axes(y, a, b, 2);
    y->dim[y->rank - 2] = a->dim[a->rank - 2];
    y->dim[y->rank - 1] = b->dim[b->rank - 1];
    return y;
}

value *nn_onnx_transpose(nn_emit *e, value *x, const int *perm) {
    int64_t p[NN_ONNX_RANK];
    value *y = PUT(e, "Transpose", x);
    for (int i = 0; i < x->rank; i++) {
        p[i] = perm[i];
        y->dim[i] = x->dim[perm[i]];
    }
    nn_onnx_ints(e, "perm", p, x->rank);
    return y;
}

value *nn_onnx_unsqueeze(nn_emit *e, value *x, int axis) {
    value *y = PUT(e, "Unsqueeze", x, nn_onnx_whole(e, "axes", &(int64_t){axis}, 1));
    memmove(y->dim + axis + 1, y->dim + axis, (size_t)(x->rank - axis) * sizeof *y->dim);
    y->dim[axis] = (nn_onnx_dim){1, NULL};
    y->rank++;
    return y;
}

static void drop_axis(value *y, int axis) {
    memmove(y->dim + axis, y->dim + axis + 1, (size_t)(y->rank - 1 - axis) * sizeof *y->dim);
    y->rank--;
}

value *nn_onnx_squeeze(nn_emit *e, value *x, int axis) {
    value *y = PUT(e, "Squeeze", x, nn_onnx_whole(e, "axes", &(int64_t){axis}, 1));
    drop_axis(y, axis);
    return y;
}

value *nn_onnx_slice(nn_emit *e, value *x, int axis, int64_t from, int64_t to) {
    value *starts = nn_onnx_whole(e, "starts", &from, 1), *ends = nn_onnx_whole(e, "ends", &to, 1);
    value *y = PUT(e, "Slice", x, starts, ends, nn_onnx_whole(e, "axes", &(int64_t){axis}, 1));
    int64_t d = x->dim[axis].n;
    int64_t stop = to < 0 ? d + to : to < d ? to : d; /* a negative end counts from the last */
    y->dim[axis] = (nn_onnx_dim){d < 0 ? -1 : stop - from, NULL};
    return y;
}

value *nn_onnx_gather_at(nn_emit *e, value *x, int axis, int64_t at) {
    value *y = PUT(e, "Gather", x, nn_onnx_whole_scalar(e, "index", at));
    nn_onnx_int(e, "axis", axis);
    drop_axis(y, axis);
    return y;
}

void nn_onnx_split(nn_emit *e, value *x, int axis, int n, value **ret) {
    ret[0] = PUT(e, "Split", x);
    nn_onnx_int(e, "axis", axis);
    for (int i = 1; i < n; i++) ret[i] = nn_onnx_more(e, x);
    for (int i = 0; i < n; i++) ret[i]->dim[axis] = (nn_onnx_dim){x->dim[axis].n / n, NULL};
}

value *nn_onnx_concat(nn_emit *e, int n, value *const *in, int axis) {
    value *y = nn_onnx_put(e, "Concat", n, in);
    nn_onnx_int(e, "axis", axis);
    for (int i = 1; i < n; i++) {
        int64_t a = y->dim[axis].n, b = in[i]->dim[axis].n;
        y->dim[axis] = (nn_onnx_dim){a < 0 || b < 0 ? -1 : a + b, NULL};
    }
    return y;
}

value *nn_onnx_reduce(nn_emit *e, const char *type, value *x, const int64_t *axes, int n,
                      bool keep) {
    bool input = strcmp(type, "ReduceSum") == 0; /* its axes are an input since opset 13 */
    value *y = input ? PUT(e, type, x, nn_onnx_whole(e, "axes", axes, n)) : PUT(e, type, x);
    if (!input) nn_onnx_ints(e, "axes", axes, n);
    nn_onnx_int(e, "keepdims", keep);
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool gone = false;
        for (int k = 0; k < n; k++) gone |= axes[k] == i;
        if (!gone) y->dim[rank++] = x->dim[i];
        if (gone && keep) y->dim[rank++] = (nn_onnx_dim){1, NULL};
    }
    y->rank = rank;
    return y;
}

value *nn_onnx_nonzero(nn_emit *e, value *tokens) {
    value *zero = nn_onnx_binary(e, "Equal", tokens, nn_onnx_scalar(e, "zero", 0));
    zero->type = NN_ONNX_BOOL;
    return nn_onnx_unary(e, "Not", zero);
}

/* ---- sizes ---- */

value *nn_onnx_length(nn_emit *e, value *x, int axis) {
    value *y = PUT(e, "Shape", x);
    nn_onnx_int(e, "start", axis);
    nn_onnx_int(e, "end", axis + 1);
    y->type = NN_ONNX_INT64;
    y->rank = 1;
    y->dim[0] = (nn_onnx_dim){1, NULL};
    return y;
}

nn_onnx_size nn_onnx_size_of(value *v, int axis) {
    if (v->dim[axis].n >= 0) return (nn_onnx_size){.n = v->dim[axis].n};
    return (nn_onnx_size){.n = -1, .of = v, .axis = axis};
}

/* The target shape as a constant: 0 copies a size from the same place of x. Where sizes come from
 * elsewhere it is put together when it runs. */
static value *target(nn_emit *e, value *x, const nn_onnx_size *to, int rank) {
    int64_t sizes[NN_ONNX_RANK];
    value *parts[NN_ONNX_RANK];
    bool constant = true;
    for (int i = 0; i < rank; i++) {
        bool copied = to[i].of == x && to[i].axis == i;
        constant = constant && (!to[i].of || copied);
        sizes[i] = copied ? 0 : to[i].n;
    }
    if (constant) return nn_onnx_whole(e, "shape", sizes, rank);
    for (int i = 0; i < rank; i++)
        parts[i] = to[i].of ? nn_onnx_length(e, to[i].of, to[i].axis)
                            : nn_onnx_whole(e, "size", &to[i].n, 1);
    return nn_onnx_concat(e, rank, parts, 0);
}

/* What -1 comes to: the elements of x by the other sizes, those that are copied left out of both.
 * -1: that is known only when it runs. */
static int64_t rest_of(const value *x, const nn_onnx_size *to, int rank) {
    bool copied[NN_ONNX_RANK] = {false};
    int64_t all = 1, known = 1;
    for (int i = 0; i < rank; i++) {
        if (to[i].of == x) copied[to[i].axis] = true;
        if (to[i].of && to[i].of != x) return -1;
        if (!to[i].of && to[i].n > 0) known *= to[i].n;
    }
    for (int i = 0; i < x->rank; i++) {
        if (!copied[i] && x->dim[i].n < 0) return -1;
        if (!copied[i]) all *= x->dim[i].n;
    }
    return all % known ? -1 : all / known;
}

value *nn_onnx_reshape(nn_emit *e, value *x, const nn_onnx_size *to, int rank) {
    value *y = PUT(e, "Reshape", x, target(e, x, to, rank));
    y->rank = rank;
    for (int i = 0; i < rank; i++)
        y->dim[i] = to[i].of       ? to[i].of->dim[to[i].axis]
                    : to[i].n >= 0 ? (nn_onnx_dim){to[i].n, NULL}
                                   : (nn_onnx_dim){rest_of(x, to, rank), NULL};
    return y;
}

/* ---- nodes ---- */

int nn_onnx_axis(nn_onnx_layout layout, int rank, int axis) {
    if (layout == NN_ONNX_LAST) return axis + 1;
    return axis == rank - 1 ? 1 : axis + 2;
}

static value *turned(nn_emit *e, value *x, nn_onnx_layout to) {
    int perm[NN_ONNX_RANK] = {0}, rank = x->rank;
    for (int i = 1; i < rank; i++)
        perm[i] = to == NN_ONNX_FIRST ? (i == 1 ? rank - 1 : i - 1) : (i == rank - 1 ? 1 : i + 1);
    value *y = nn_onnx_transpose(e, x, perm);
    y->name = nn_arena_printf(e->arena, "%s/%s", e->node->name,
                              to == NN_ONNX_FIRST ? "channels_first" : "channels_last");
    return y;
}

value *nn_onnx_as(nn_emit *e, int id, nn_onnx_layout layout) {
    value **as = e->as[id];
    if (e->g->nodes[id].shape.rank < 2) layout = NN_ONNX_LAST;
    if (as[layout]) return as[layout];
    const nn_node *writing = e->node;
    e->node = &e->g->nodes[id];
    as[layout] = turned(e, as[!layout], layout);
    e->node = writing;
    return as[layout];
}

value *nn_onnx_any(nn_emit *e, int id, nn_onnx_layout *ret_layout) {
    *ret_layout = e->layout[id];
    return e->as[id][e->layout[id]];
}

static bool is_output(const nn_graph *g, int id) {
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == id) return true;
    return false;
}

/* What the shape rule says, where the operators' own rules left it open. */
static void settle(nn_emit *e, const nn_node *n, value *v, nn_onnx_layout layout) {
    v->rank = n->shape.rank + 1;
    for (int i = 0; i < n->shape.rank; i++) {
        nn_onnx_dim *d = &v->dim[nn_onnx_axis(layout, n->shape.rank, i)];
        if (n->shape.dim[i] >= 0) *d = (nn_onnx_dim){n->shape.dim[i], NULL};
        if (n->shape.dim[i] < 0 && !d->name)
            *d = (nn_onnx_dim){-1, nn_arena_printf(e->arena, "%s_axis_%d", n->name, i)};
    }
}

void nn_onnx_result(nn_emit *e, const nn_node *n, value *v, nn_onnx_layout layout) {
    if (n->shape.rank < 2) layout = NN_ONNX_LAST;
    e->layout[n->id] = layout;
    e->as[n->id][layout] = v;
    if (v->owner != n->id) return; /* another node's value as it is */
    settle(e, n, v, layout);
    if (layout == NN_ONNX_LAST || !is_output(e->g, n->id)) v->name = n->name;
}

nn_status nn_onnx_cannot(const nn_node *n, const char *what, const char *hint, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED, "%s ('%s'): %s in ONNX cannot be written: %s",
                          n->layer, n->layer_name, nn_op_name(n->op), what);
    if (err) err->line = n->span.line, err->col = n->span.col;
    return nn_err_hint(err, s, "%s", hint);
}
