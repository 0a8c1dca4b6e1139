/* SPDX-License-Identifier: MIT */
/* onnx_values.c - what names of a file of ONNX stand for, and the nodes that are made of them. */
#include "model/onnx_impl.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

static size_t hash_of(const char *s) {
    size_t h = 1469598103934665603U;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211U;
    return h ^ h >> 29;
}

item *nn_import_item(importer *m, const char *name, bool make) {
    size_t at = hash_of(name) & (m->slots - 1);
    while (m->table[at] && strcmp(m->table[at]->name, name) != 0) at = (at + 1) & (m->slots - 1);
    if (m->table[at] || !make) return m->table[at];
    item *v = NN_NEW(m->arena, item);
    if (v) *v = (item){.name = name, .node = -1, .turned = -1};
    return m->table[at] = v;
}

/* ---- errors ---- */

nn_status nn_import_unsupported(op *p, nn_err *err, const char *fmt, ...) {
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return nn_fail(err, NN_E_UNSUPPORTED, "operator %.40s ('%.80s') is not read: %s", p->op_type,
                   p->name && *p->name ? p->name
                   : p->n_output       ? p->output[0]
                                       : "",
                   why);
}

nn_status nn_import_broken(const importer *m, nn_err *err, const char *fmt, ...) {
    char why[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%.200s: %s", m->file, why);
}

/* ---- tensors ---- */

float *nn_import_new_floats(importer *m, int64_t n, nn_err *err) {
    float *f = nn_arena_array(m->arena, (size_t)(n ? n : 1), sizeof *f);
    if (!f) (void)!nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
    return f;
}

static nn_status read_dims(importer *m, const Onnx__TensorProto *t, tensor *ret, nn_err *err) {
    *ret = (tensor){.rank = (int)t->n_dims, .elements = 1};
    if (t->n_dims > NN_MAX_RANK + 1)
        return nn_import_broken(m, err, "tensor '%.80s' has %zu axes", t->name, t->n_dims);
    for (size_t i = 0; i < t->n_dims; i++) {
        int64_t d = t->dims[i];
        if (d < 0 || d > NN_MAX_DIM || ret->elements * (d ? d : 1) > NN_MAX_ELEMENTS)
            return nn_import_broken(m, err, "tensor '%.80s' has a size of %" PRId64, t->name, d);
        ret->dim[i] = d;
        ret->elements *= d;
    }
    return NN_OK;
}

/* Where the elements are: raw, or in the list of their type. */
typedef struct source {
    size_t size, listed; /* of an element in raw data; elements in the list */
    bool whole;
} source;

static bool source_of(const Onnx__TensorProto *t, source *ret) {
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        *ret = (source){4, t->n_float_data, false};
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        *ret = (source){8, t->n_double_data, false};
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        *ret = (source){8, t->n_int64_data, true};
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        *ret = (source){4, t->n_int32_data, true};
        break;
    default:
        return false;
    }
    return true;
}

static double float_at(const Onnx__TensorProto *t, size_t i) {
    bool wide = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    float f;
    double d;
    if (!t->has_raw_data) return wide ? t->double_data[i] : (double)t->float_data[i];
    if (wide) memcpy(&d, t->raw_data.data + 8 * i, sizeof d);
    if (!wide) memcpy(&f, t->raw_data.data + 4 * i, sizeof f), d = f;
    return d;
}

static int64_t whole_at(const Onnx__TensorProto *t, size_t i) {
    bool wide = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    int32_t n;
    int64_t w;
    if (!t->has_raw_data) return wide ? t->int64_data[i] : t->int32_data[i];
    if (wide) memcpy(&w, t->raw_data.data + 8 * i, sizeof w);
    if (!wide) memcpy(&n, t->raw_data.data + 4 * i, sizeof n), w = n;
    return w;
}

nn_status nn_import_tensor(importer *m, const Onnx__TensorProto *t, tensor *ret, nn_err *err) {
    source s;
    tensor v;
    if (t->n_external_data ||
        (t->has_data_location && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT))
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "%.200s: tensor '%.80s' is outside of the file, which is not read", m->file,
                       t->name);
    if (!source_of(t, &s))
        return nn_fail(err, NN_E_UNSUPPORTED, "%.200s: tensor '%.80s' is of type %d, not of floats",
                       m->file, t->name, t->data_type);
    nn_status st = read_dims(m, t, &v, err);
    if (st) return st;
    size_t there = t->has_raw_data ? t->raw_data.len / s.size : s.listed;
    if (there != (size_t)v.elements || (t->has_raw_data && t->raw_data.len % s.size))
        return nn_import_broken(m, err, "tensor '%.80s' holds %zu elements, its shape %" PRId64,
                                t->name, there, v.elements);
    float *f = s.whole ? NULL : nn_arena_array(m->arena, there + 1, sizeof *f);
    int64_t *w = s.whole ? nn_arena_array(m->arena, there + 1, sizeof *w) : NULL;
    if (!f && !w) return nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
    for (size_t i = 0; i < there; i++)
        if (f)
            f[i] = (float)float_at(t, i);
        else
            w[i] = whole_at(t, i);
    v.floats = f;
    v.whole = w;
    *ret = v;
    return NN_OK;
}

nn_status nn_import_permuted(importer *m, const tensor *from, const int *perm, const float **ret,
                             nn_err *err) {
    int64_t step[NN_MAX_RANK + 2], place[NN_MAX_RANK + 2] = {0}, at = 0;
    float *to = nn_import_new_floats(m, from->elements, err);
    if (!to) return NN_E_LIMIT;
    for (int i = 0; i < from->rank; i++) {
        step[i] = 1;
        for (int a = perm[i] + 1; a < from->rank; a++) step[i] *= from->dim[a];
    }
    for (int64_t e = 0; e < from->elements; e++) {
        to[e] = from->floats[at];
        for (int i = from->rank - 1; i >= 0; i--) {
            at += step[i];
            if (++place[i] < from->dim[perm[i]]) break;
            at -= step[i] * place[i];
            place[i] = 0;
        }
    }
    *ret = to;
    return NN_OK;
}

/* ---- inputs and attributes of an operator ---- */

item *nn_import_input(importer *m, op *p, size_t k) {
    return k < p->n_input && *p->input[k] ? nn_import_item(m, p->input[k], false) : NULL;
}

nn_status nn_import_node(importer *m, op *p, size_t k, item **ret, nn_err *err) {
    item *v = nn_import_input(m, p, k);
    if (!v || v->kind != NODE)
        return nn_import_unsupported(p, err,
                                     "its input %zu is not computed from the model's inputs", k);
    if (v->layout == SCORES)
        return nn_import_unsupported(p, err, "it works on the scores of an attention");
    *ret = v;
    return NN_OK;
}

static nn_status constant(importer *m, op *p, size_t k, bool whole, const tensor **ret,
                          nn_err *err) {
    item *v = nn_import_input(m, p, k);
    if (!v || v->kind != CONSTANT)
        return nn_import_unsupported(p, err, "its input %zu has to be in the file", k);
    if (v->raw) {
        nn_status s = nn_import_tensor(m, v->raw, &v->tensor, err);
        if (s) return s;
        v->raw = NULL;
    }
    if (!(whole ? (const void *)v->tensor.whole : (const void *)v->tensor.floats))
        return nn_import_unsupported(p, err, "its input %zu is of another type", k);
    *ret = &v->tensor;
    return NN_OK;
}

nn_status nn_import_floats(importer *m, op *p, size_t k, const tensor **ret, nn_err *err) {
    return constant(m, p, k, false, ret, err);
}

nn_status nn_import_whole(importer *m, op *p, size_t k, const tensor **ret, nn_err *err) {
    return constant(m, p, k, true, ret, err);
}

const Onnx__AttributeProto *nn_import_attr(op *p, const char *name) {
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->name && strcmp(p->attribute[i]->name, name) == 0)
            return p->attribute[i];
    return NULL;
}

int64_t nn_import_attr_int(op *p, const char *name, int64_t otherwise) {
    const Onnx__AttributeProto *a = nn_import_attr(p, name);
    return a ? a->i : otherwise;
}

double nn_import_attr_float(op *p, const char *name, double otherwise) {
    const Onnx__AttributeProto *a = nn_import_attr(p, name);
    return a ? (double)a->f : otherwise;
}

bool nn_import_attr_is(op *p, const char *name, const char *value, const char *otherwise) {
    const Onnx__AttributeProto *a = nn_import_attr(p, name);
    if (!a) return strcmp(otherwise, value) == 0;
    return a->s.len == strlen(value) && memcmp(a->s.data, value, a->s.len) == 0;
}

size_t nn_import_attr_ints(op *p, const char *name, const int64_t **ret) {
    const Onnx__AttributeProto *a = nn_import_attr(p, name);
    *ret = a ? a->ints : NULL;
    return a ? a->n_ints : 0;
}

/* ---- nodes ---- */

const nn_shape *nn_import_shape(const importer *m, const item *v) {
    return &m->g->nodes[v->node].shape;
}

int nn_import_rank(const importer *m, const item *v) {
    return nn_import_shape(m, v)->rank + 1 + (v->layout == TIME_SIDED || v->layout == SIDED);
}

nn_status nn_import_axis(const importer *m, op *p, const item *v, int64_t axis, int *ret,
                         nn_err *err) {
    int rank = nn_import_rank(m, v);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || v->layout > FIRST)
        return nn_import_unsupported(p, err, "no axis %" PRId64 " of %d", axis, rank);
    if (axis == 0) return nn_import_unsupported(p, err, "it works across the batch");
    int at = (int)axis - 1;
    *ret = v->layout == PLAIN ? at : at == 0 ? rank - 2 : at - 1;
    return NN_OK;
}

/* A name that graphs take, and that is free. */
static const char *name_of(importer *m, const char *wanted) {
    char name[NN_MAX_NAME], free_name[NN_MAX_NAME + 16];
    size_t n = 0;
    for (; wanted[n] && n < 150; n++)
        name[n] = isalnum((unsigned char)wanted[n]) || strchr("_.-", wanted[n]) ? wanted[n] : '_';
    if (n == 0) name[n++] = 'x';
    name[n] = 0;
    if (!nn_graph_has_name(m->g, name)) return nn_arena_strdup(m->arena, name);
    for (int i = 2;; i++) {
        snprintf(free_name, sizeof free_name, "%s.%d", name, i);
        if (!nn_graph_has_name(m->g, free_name)) return nn_arena_strdup(m->arena, free_name);
    }
}

nn_status nn_import_add(importer *m, op *p, nn_op o, const nn_attr *attr, const int *inputs, int n,
                        const nn_shape *shape, int *ret, nn_err *err) {
    const char *wanted = p->n_output ? p->output[p->n_output - 1] : "";
    const char *name = name_of(m, *wanted ? wanted : p->op_type);
    nn_node_spec spec = {.op = o,
                         .name = name,
                         .layer = p->op_type,
                         .layer_name = name,
                         .layer_index = m->g->n_nodes,
                         .inputs = inputs,
                         .n_inputs = n};
    if (!name) return nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
    if (attr) spec.attr = *attr;
    if (shape) spec.shape = *shape;
    nn_err why = {0};
    nn_status s = nn_graph_add(m->g, &spec, ret, &why);
    return s ? nn_import_unsupported(p, err, "%s", why.msg) : NN_OK;
}

static nn_status keep_data(importer *m, const float *data) {
    if (m->n_data == m->cap_data) {
        size_t size = sizeof *m->data, more = (size_t)(m->cap_data ? 2 * m->cap_data : 64);
        void *p =
            nn_arena_resize(m->arena, (void *)m->data, (size_t)m->cap_data * size, more * size);
        if (!p) return NN_E_LIMIT;
        m->data = p;
        m->cap_data = (int)more;
    }
    m->data[m->n_data++] = data;
    return NN_OK;
}

nn_status nn_import_add_weights(importer *m, op *p, int id, const float *const *weights, int n,
                                nn_err *err) {
    for (int k = 0; k < n; k++) {
        nn_weight w = {.trainable = true, .init.kind = NN_INIT_ZEROS, .fan_in = 1, .fan_out = 1};
        const char *suffix = nn_node_weight_rule(m->g, &m->g->nodes[id], k, &w.shape);
        if (!suffix) return nn_import_unsupported(p, err, "it has %d weights", n);
        w.trainable = strncmp(suffix, "moving", 6) != 0;
        nn_err why = {0};
        nn_status s = nn_graph_add_weight(m->g, id, suffix, &w, &why);
        if (s) return nn_import_unsupported(p, err, "%s", why.msg);
        if (keep_data(m, weights[k]))
            return nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
    }
    return NN_OK;
}

nn_status nn_import_set(importer *m, op *p, size_t k, int id, layout l, nn_err *err) {
    item *v = k < p->n_output && *p->output[k] ? nn_import_item(m, p->output[k], false) : NULL;
    if (!v) return nn_import_unsupported(p, err, "it has no output %zu", k);
    v->kind = NODE;
    v->node = id;
    v->layout = l == FIRST && m->g->nodes[id].shape.rank < 2 ? PLAIN : l;
    return NN_OK;
}

nn_status nn_import_simple(importer *m, op *p, nn_op o, const nn_attr *attr, int in, layout l,
                           nn_err *err) {
    int id;
    nn_status s = nn_import_add(m, p, o, attr, &in, 1, NULL, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, l, err);
}

/* The other order of channels, made once. */
static nn_status turn(importer *m, op *p, item *v, int *ret, nn_err *err) {
    nn_attr a = {0};
    int rank = nn_import_shape(m, v)->rank;
    for (int i = 0; i < rank; i++)
        a.transpose.perm[i] =
            v->layout == FIRST ? (i == 0 ? rank - 1 : i - 1) : (i == rank - 1 ? 0 : i + 1);
    nn_status s = NN_OK;
    if (v->turned < 0)
        s = nn_import_add(m, p, NN_OP_TRANSPOSE, &a, &v->node, 1, NULL, &v->turned, err);
    if (!s) *ret = v->turned;
    return s;
}

nn_status nn_import_plain(importer *m, op *p, item *v, int *ret, nn_err *err) {
    if (v->layout > FIRST)
        return nn_import_unsupported(p, err, "its input has the steps before the batch");
    if (v->layout == FIRST) return turn(m, p, v, ret, err);
    *ret = v->node;
    return NN_OK;
}

nn_status nn_import_last(importer *m, op *p, item *v, int *ret, nn_err *err) {
    if (v->layout > FIRST)
        return nn_import_unsupported(p, err, "its input has the steps before the batch");
    if (v->layout == PLAIN && nn_import_shape(m, v)->rank > 1) return turn(m, p, v, ret, err);
    *ret = v->node;
    return NN_OK;
}

/* ---- constants beside a value ---- */

/* The only axis (of the file, from the last: 1 is the last) along which c is not repeated; 0: c is
 * one number; -1: there are several. */
static int only_axis(const tensor *c) {
    int only = 0;
    for (int i = 0; i < c->rank; i++) {
        if (c->dim[i] == 1) continue;
        if (only) return -1;
        only = c->rank - i;
    }
    return only;
}

/* y = x * factor + term, one of each channel, as a batch normalisation by constants: its epsilon is
 * too small to be seen in a float. */
static nn_status add_affine(importer *m, op *p, int in, const tensor *c, double scale, bool add,
                            int *ret, nn_err *err) {
    nn_attr a = {
        .batch_norm = {.momentum = 0.99, .epsilon = 1e-12, .center = true, .scale = true}
    };
    const nn_shape *s = &m->g->nodes[in].shape;
    int64_t n = s->rank ? s->dim[s->rank - 1] : -1;
    if (n < 0 || (c->elements != 1 && c->elements != n))
        return nn_import_unsupported(p, err, "its constant does not fit the channels");
    float *w[4];
    for (int k = 0; k < 4; k++)
        if (!(w[k] = nn_import_new_floats(m, n, err))) return NN_E_LIMIT;
    for (int64_t i = 0; i < n; i++) {
        float v = c->floats[c->elements == 1 ? 0 : i];
        w[0][i] = add ? (float)scale : v;
        w[1][i] = add ? v : 0;
        w[2][i] = 0;
        w[3][i] = 1;
    }
    nn_status st = nn_import_add(m, p, NN_OP_BATCH_NORM, &a, &in, 1, NULL, ret, err);
    return st ? st : nn_import_add_weights(m, p, *ret, (const float *const *)w, 4, err);
}

nn_status nn_import_reshaped(importer *m, op *p, int in, const nn_shape *to, int *ret,
                             nn_err *err) {
    return nn_import_add(m, p, NN_OP_RESHAPE, NULL, &in, 1, to, ret, err);
}

/* One number a row becomes a vector of one for it. */
nn_status nn_import_linear(importer *m, op *p, int in, double factor, double term, int *ret,
                           nn_err *err) {
    const nn_shape one = {1, {1}}, none = {0};
    float b = (float)term;
    tensor c = {.elements = 1, .floats = &b};
    bool scalar = m->g->nodes[in].shape.rank == 0;
    nn_status s = scalar ? nn_import_reshaped(m, p, in, &one, &in, err) : NN_OK;
    if (!s) s = add_affine(m, p, in, &c, factor, true, ret, err);
    return s || !scalar ? s : nn_import_reshaped(m, p, *ret, &none, ret, err);
}

/* y = x * factor or x + term where that is one number. */
static nn_status by_number(importer *m, op *p, const item *v, float c, double scale, bool add,
                           nn_err *err) {
    int id;
    nn_status s =
        nn_import_linear(m, p, v->node, add ? scale : (double)c, add ? (double)c : 0, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, v->layout, err);
}

nn_status nn_import_affine(importer *m, op *p, item *v, const tensor *c, double scale, bool add,
                           nn_err *err) {
    int rank = nn_import_rank(m, v), axis = only_axis(c), in = -1, id;
    bool channel = axis == rank - 1, last = axis == 1;
    if (c->rank > rank || (axis != 0 && ((!channel && !last) || rank < 2)))
        return nn_import_unsupported(p, err, "its constant varies over more than the channels");
    if (c->elements == 1) return by_number(m, p, v, c->floats[0], scale, add, err);
    bool turned = v->layout == FIRST ? !last || rank == 2 : !last;
    nn_status s = turned ? nn_import_last(m, p, v, &in, err) : nn_import_plain(m, p, v, &in, err);
    if (!s) s = add_affine(m, p, in, c, scale, add, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, turned ? FIRST : PLAIN, err);
}
