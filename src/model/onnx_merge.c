/* SPDX-License-Identifier: MIT */
/* onnx_merge.c - operators of ONNX over several values, and of a value and a constant. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- several values ---- */

/* All in one order of axes: with the channels last where one is so already. */
static nn_status together(importer *m, op *p, int *in, layout *ret, nn_err *err) {
    item *v;
    int rank = -1;
    *ret = PLAIN;
    for (size_t k = 0; k < p->n_input; k++) {
        nn_status s = nn_import_node(m, p, k, &v, err);
        if (s) return s;
        if (rank >= 0 && nn_import_rank(m, v) != rank)
            return nn_import_unsupported(p, err, "its inputs differ in their number of axes");
        rank = nn_import_rank(m, v);
        if (v->layout == FIRST) *ret = FIRST;
    }
    for (size_t k = 0; k < p->n_input; k++) {
        nn_status s = nn_import_node(m, p, k, &v, err);
        if (!s)
            s = *ret == FIRST ? nn_import_last(m, p, v, &in[k], err)
                              : nn_import_plain(m, p, v, &in[k], err);
        if (s) return s;
    }
    return NN_OK;
}

static nn_status the_same(importer *m, op *p, nn_err *err) {
    item *v;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    return s ? s : nn_import_set(m, p, 0, v->node, v->layout, err);
}

static nn_status merge(importer *m, op *p, nn_merge kind, nn_err *err) {
    int in[NN_MAX_INPUTS], id;
    layout l;
    nn_attr a = {.merge.kind = kind};
    if (p->n_input == 1) return the_same(m, p, err);
    nn_status s = together(m, p, in, &l, err);
    if (!s) s = nn_import_add(m, p, NN_OP_MERGE, &a, in, (int)p->n_input, NULL, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, l, err);
}

/* A table of (steps, features) that is added to each sample. */
static nn_status add_table(importer *m, op *p, item *v, const tensor *c, nn_err *err) {
    int in, id;
    nn_attr a = {
        .position = {c->dim[c->rank - 2], true}
    };
    nn_status s = nn_import_plain(m, p, v, &in, err);
    if (!s) s = nn_import_add(m, p, NN_OP_POSITION, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, &c->floats, 1, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

static bool is_table(const importer *m, const item *v, const tensor *c) {
    const nn_shape *s = nn_import_shape(m, v);
    bool two = c->rank == 2 || (c->rank == 3 && c->dim[0] == 1);
    return v->layout == PLAIN && s->rank == 2 && two && c->dim[c->rank - 2] > 1 &&
           c->dim[c->rank - 2] == s->dim[0] && c->dim[c->rank - 1] == s->dim[1];
}

static nn_status inverse(importer *m, op *p, const tensor *c, tensor *ret, nn_err *err) {
    float *f = nn_import_new_floats(m, c->elements, err);
    if (!f) return NN_E_LIMIT;
    for (int64_t i = 0; i < c->elements; i++) f[i] = 1 / c->floats[i];
    *ret = *c;
    ret->floats = f;
    (void)p;
    return NN_OK;
}

static nn_status negative(importer *m, const tensor *c, tensor *ret, nn_err *err) {
    float *f = nn_import_new_floats(m, c->elements, err);
    if (!f) return NN_E_LIMIT;
    for (int64_t i = 0; i < c->elements; i++) f[i] = -c->floats[i];
    *ret = *c;
    ret->floats = f;
    return NN_OK;
}

enum { ADD, SUB, MUL, DIV, MAX, MIN, MEAN };

static nn_status with_constant(importer *m, op *p, int kind, item *v, const tensor *c, bool second,
                               nn_err *err) {
    tensor t = *c;
    nn_status s = NN_OK;
    if (nn_import_is_scores(v)) {
        bool fits = c->elements == 1 && (kind == MUL || (kind == DIV && second));
        double by = fits ? (double)c->floats[0] : 0;
        if (!fits) return nn_import_unsupported(p, err, "something else than a factor of scores");
        return nn_import_scale_scores(m, p, v, kind == MUL ? by : 1 / by, err);
    }
    switch (kind) {
    case ADD:
        if (is_table(m, v, c)) return add_table(m, p, v, c, err);
        return nn_import_affine(m, p, v, c, 1, true, err);
    case SUB:
        if (second) s = negative(m, c, &t, err); /* x - c; else c - x */
        return s ? s : nn_import_affine(m, p, v, &t, second ? 1 : -1, true, err);
    case MUL:
        return nn_import_affine(m, p, v, c, 1, false, err);
    case DIV:
        if (!second) break;
        s = inverse(m, p, c, &t, err);
        return s ? s : nn_import_affine(m, p, v, &t, 1, false, err);
    default:
        break;
    }
    return nn_import_unsupported(p, err, "a constant among its inputs");
}

static nn_status limit(importer *m, op *p, int kind, item *v, const tensor *c, nn_err *err) {
    if (c->elements != 1 || nn_import_is_scores(v) || c->rank > nn_import_rank(m, v))
        return nn_import_unsupported(p, err, "a constant that is not one number");
    double b = (double)c->floats[0];
    nn_attr a = {
        .clip = {kind == MAX ? b : -INFINITY, kind == MIN ? b : INFINITY}
    };
    return nn_import_simple(m, p, NN_OP_CLIP, &a, v->node, v->layout, err);
}

static bool made_by(const item *v, const char *type) {
    return v && v->maker && strcmp(v->maker->op_type, type) == 0 && v->maker->n_input > 0;
}

/* exp z / sum exp z along one axis, which is its softmax; else it is not ours. */
static nn_status quotient(importer *m, op *p, const item *a, const item *sum, nn_err *err) {
    int64_t axes[NN_MAX_RANK];
    size_t n = 0;
    item *z = made_by(a, "Exp") ? nn_import_input(m, a->maker, 0) : NULL;
    bool softmax = z && z->kind == NODE && z->layout <= FIRST && made_by(sum, "ReduceSum") &&
                   strcmp(sum->maker->input[0], a->name) == 0 &&
                   nn_import_attr_int(sum->maker, "keepdims", 1) &&
                   !nn_import_axes(m, sum->maker, nn_import_rank(m, z), axes, &n, NULL) && n == 1;
    if (!softmax) return nn_import_unsupported(p, err, "a quotient of two values");
    return nn_import_softmax(m, p, z, axes[0], false, err);
}

static nn_status read_merge(importer *m, op *p, nn_err *err) {
    static const int kinds[] = {
        [ADD] = NN_MERGE_ADD,     [SUB] = NN_MERGE_SUBTRACT, [MUL] = NN_MERGE_MULTIPLY, [DIV] = -1,
        [MAX] = NN_MERGE_MAXIMUM, [MIN] = NN_MERGE_MINIMUM,  [MEAN] = NN_MERGE_AVERAGE};
    int kind = nn_import_reader(p->op_type)->value;
    item *a = nn_import_input(m, p, 0), *b = nn_import_input(m, p, 1);
    if (p->n_input == 2 && a && b && (a->kind == CONSTANT) != (b->kind == CONSTANT)) {
        const tensor *c;
        bool second = b->kind == CONSTANT;
        nn_status s = nn_import_floats(m, p, second, &c, err);
        if (s) return s;
        return kind == MAX || kind == MIN
                   ? limit(m, p, kind, second ? a : b, c, err)
                   : with_constant(m, p, kind, second ? a : b, c, second, err);
    }
    if (kinds[kind] < 0) return quotient(m, p, a, b, err);
    return merge(m, p, (nn_merge)kinds[kind], err);
}

static nn_status read_concat(importer *m, op *p, nn_err *err) {
    int in[NN_MAX_INPUTS], id;
    layout l;
    nn_attr a = {0};
    if (p->n_input == 1) return the_same(m, p, err);
    nn_status s = together(m, p, in, &l, err);
    if (s) return s;
    item all = {.node = in[0], .layout = l};
    s = nn_import_axis(m, p, &all, nn_import_attr_int(p, "axis", 1), &a.concat.axis, err);
    if (!s) s = nn_import_add(m, p, NN_OP_CONCAT, &a, in, (int)p->n_input, NULL, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, l, err);
}

/* clang-format off */
const reader nn_import_merge_readers[] = {
    {"Add",         read_merge,        2, 2,  "",                                                      ADD},
    {"Sub",         read_merge,        2, 2,  "",                                                      SUB},
    {"Mul",         read_merge,        2, 2,  "",                                                      MUL},
    {"Div",         read_merge,        2, 2,  "",                                                      DIV},
    {"Sum",         read_merge,        1, 64, "",                                                      ADD},
    {"Mean",        read_merge,        1, 64, "",                                                      MEAN},
    {"Max",         read_merge,        1, 64, "",                                                      MAX},
    {"Min",         read_merge,        1, 64, "",                                                      MIN},
    {"Concat",      read_concat,       1, 64, "|axis|",                                                0},
    {0}
};
/* clang-format on */
