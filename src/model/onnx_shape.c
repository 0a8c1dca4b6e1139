/* SPDX-License-Identifier: MIT */
/* onnx_shape.c - operators of ONNX that keep their elements: the same value, another shape, another
 * order of axes. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- the same value ---- */

static nn_status read_same(importer *m, op *p, nn_err *err) {
    item *v;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    item *training = nn_import_input(m, p, 2); /* Dropout */
    if (!s && training) return nn_import_unsupported(p, err, "training inside of the file");
    return s ? s : nn_import_set(m, p, 0, v->node, v->layout, err);
}

/* Numbers are floats here; a type only matters to what looks rows up. */
static nn_status read_cast(importer *m, op *p, nn_err *err) {
    int64_t to = nn_import_attr_int(p, "to", 0);
    if (to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && to != ONNX__TENSOR_PROTO__DATA_TYPE__INT64 &&
        to != ONNX__TENSOR_PROTO__DATA_TYPE__INT32)
        return nn_import_unsupported(p, err, "type %" PRId64, to);
    item *v = nn_import_input(m, p, 0);
    const item *out = p->n_output ? nn_import_item(m, p->output[0], false) : NULL;
    bool lookup = out && out->uses == 1 && out->user && strcmp(out->user->op_type, "Gather") == 0;
    if (v && v->kind == NODE && to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && !lookup)
        return nn_import_unsupported(p, err, "it would cut off fractions");
    return read_same(m, p, err);
}

static nn_status read_constant(importer *m, op *p, nn_err *err) {
    const Onnx__AttributeProto *t = nn_import_attr(p, "value"), *i = nn_import_attr(p, "value_int"),
                               *is = nn_import_attr(p, "value_ints"),
                               *f = nn_import_attr(p, "value_float"),
                               *fs = nn_import_attr(p, "value_floats");
    item *v = p->n_output ? nn_import_item(m, p->output[0], false) : NULL;
    if (!v || !(t || i || is || f || fs)) return nn_import_unsupported(p, err, "its value");
    if (t && t->t)
        v->raw = t->t;
    else if (i || is)
        v->tensor = (tensor){.rank = !!is,
                             .dim = {is ? (int64_t)is->n_ints : 1},
                             .elements = is ? (int64_t)is->n_ints : 1,
                             .whole = i ? &i->i : is->ints};
    else if (f || fs)
        v->tensor = (tensor){.rank = !!fs,
                             .dim = {fs ? (int64_t)fs->n_floats : 1},
                             .elements = fs ? (int64_t)fs->n_floats : 1,
                             .floats = f ? &f->f : fs->floats};
    v->kind = CONSTANT;
    return NN_OK;
}

/* ---- shape ---- */

static nn_status reshaped(importer *m, op *p, item *v, const nn_shape *to, bool flatten,
                          nn_err *err) {
    int in, id;
    nn_attr a = {.reshape.flatten = flatten};
    nn_status s = nn_import_plain(m, p, v, &in, err);
    if (!s) s = nn_import_add(m, p, NN_OP_RESHAPE, &a, &in, 1, to, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

static nn_status read_flatten(importer *m, op *p, nn_err *err) {
    item *v;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    int64_t axis = nn_import_attr_int(p, "axis", 1);
    if (axis != 1 && axis != 1 - nn_import_rank(m, v))
        return nn_import_unsupported(p, err, "axis %" PRId64 ", which takes in the batch", axis);
    nn_shape to = {1, {nn_shape_elements(nn_import_shape(m, v))}};
    return reshaped(m, p, v, &to, true, err);
}

/* Whether all axes but the first of `more` are those of `fewer`. */
static bool all_but_first(const nn_shape *more, const nn_shape *fewer) {
    nn_shape rest = {.rank = more->rank - 1};
    for (int i = 0; i < rest.rank; i++) rest.dim[i] = more->dim[i + 1];
    return more->rank > 1 && nn_shape_equal(&rest, fewer);
}

/* The steps become rows (TimeDistributed), and rows steps again. */
static bool is_fold(const importer *m, const item *v, const nn_shape *to) {
    return all_but_first(nn_import_shape(m, v), to);
}

static bool is_unfold(const importer *m, const item *v, const nn_shape *to) {
    return m->g->nodes[v->node].folded >= 0 && to->dim[0] > 0 &&
           all_but_first(to, nn_import_shape(m, v));
}

/* The rows stay what they are: 0, the number of rows, or -1 where the rest says all else. */
static nn_status read_reshape(importer *m, op *p, nn_err *err) {
    item *v;
    const tensor *t;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_whole(m, p, 1, &t, err);
    if (s) return s;
    const nn_shape *in = nn_import_shape(m, v);
    nn_shape to = {.rank = (int)t->elements - 1};
    int64_t all = nn_shape_elements(in), known = 1;
    int open = -1;
    if (t->rank != 1 || t->elements < 1 || t->elements > NN_MAX_RANK + 1 || v->layout > FIRST)
        return nn_import_unsupported(p, err, "a shape of %" PRId64 " axes", t->elements);
    for (int i = 0; i < to.rank; i++) {
        int64_t d = t->whole[i + 1];
        int axis = 0;
        if (d == 0 && !(s = nn_import_axis(m, p, v, i + 1, &axis, err))) d = in->dim[axis];
        if (s) return s;
        if (d < -1 || d == 0 || d > NN_MAX_DIM || (d == -1 && open >= 0))
            return nn_import_unsupported(p, err, "a size of %" PRId64 " in its shape", d);
        if (d == -1) open = i;
        if (d > 0 && (known *= d) > NN_MAX_ELEMENTS)
            return nn_import_unsupported(p, err, "its shape is too large");
        to.dim[i] = d;
    }
    if (open >= 0 && all >= 0 && all % known == 0) to.dim[open] = all / known;
    bool rows = t->whole[0] == 0 || (t->whole[0] == m->batch && m->batch > 0) || t->whole[0] == -1;
    if (t->whole[0] == -1 && v->layout == PLAIN && is_fold(m, v, &to))
        return nn_import_simple(m, p, NN_OP_FOLD, NULL, v->node, PLAIN, err);
    if (t->whole[0] == -1 && v->layout == PLAIN && is_unfold(m, v, &to)) {
        nn_attr a = {.unfold.size = to.dim[0]};
        return nn_import_simple(m, p, NN_OP_UNFOLD, &a, v->node, PLAIN, err);
    }
    if (!rows || (all >= 0 && nn_shape_elements(&to) != all) || (t->whole[0] == -1 && open >= 0))
        return nn_import_unsupported(p, err, "a shape in which the rows change");
    return reshaped(m, p, v, &to, to.rank == 1, err);
}

/* The axes of Squeeze, Unsqueeze and the reductions: an attribute or an input. */
nn_status nn_import_axes(importer *m, op *p, int rank, int64_t *ret, size_t *ret_n, nn_err *err) {
    const int64_t *list;
    const tensor *t;
    *ret_n = nn_import_attr_ints(p, "axes", &list);
    if (nn_import_input(m, p, 1)) {
        nn_status s = nn_import_whole(m, p, 1, &t, err);
        if (s) return s;
        list = t->whole;
        *ret_n = (size_t)t->elements;
    }
    if (*ret_n > NN_MAX_RANK) return nn_import_unsupported(p, err, "%zu axes", *ret_n);
    for (size_t i = 0; i < *ret_n; i++) {
        ret[i] = list[i] < 0 ? list[i] + rank : list[i];
        if (ret[i] < 0 || ret[i] >= rank) return nn_import_unsupported(p, err, "no such axis");
        for (size_t k = 0; k < i; k++)
            if (ret[k] == ret[i]) return nn_import_unsupported(p, err, "an axis twice");
    }
    return NN_OK;
}

bool nn_import_listed(const int64_t *axes, size_t n, int64_t axis) {
    for (size_t i = 0; i < n; i++)
        if (axes[i] == axis) return true;
    return false;
}

static nn_status read_squeeze(importer *m, op *p, nn_err *err) {
    item *v;
    int64_t axes[NN_MAX_RANK];
    size_t n;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_axes(m, p, nn_import_rank(m, v), axes, &n, err);
    if (s) return s;
    if (v->layout == TIME_SIDED && n == 1 && axes[0] == 1)
        return nn_import_set(m, p, 0, v->node, TIME, err);
    if (v->layout == SIDED && n == 1 && axes[0] == 0)
        return nn_import_set(m, p, 0, v->node, PLAIN, err);
    nn_shape to = {0};
    for (int i = 1; i < nn_import_rank(m, v); i++) {
        int axis;
        s = nn_import_axis(m, p, v, i, &axis, err);
        if (s) return s;
        int64_t d = nn_import_shape(m, v)->dim[axis];
        if (n ? !nn_import_listed(axes, n, i) : d != 1)
            to.dim[to.rank++] = d;
        else if (d != 1)
            return nn_import_unsupported(p, err, "an axis of more than one");
    }
    if (nn_import_listed(axes, n, 0))
        return nn_import_unsupported(p, err, "it works across the batch");
    return reshaped(m, p, v, &to, false, err);
}

static nn_status read_unsqueeze(importer *m, op *p, nn_err *err) {
    item *v;
    int64_t axes[NN_MAX_RANK], count;
    size_t n;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    const nn_shape *in = nn_import_shape(m, v);
    const tensor *t = NULL;
    if (nn_import_input(m, p, 1)) s = nn_import_whole(m, p, 1, &t, err);
    if (s) return s;
    const int64_t *list;
    count = t ? t->elements : (int64_t)nn_import_attr_ints(p, "axes", &list);
    int rank = nn_import_rank(m, v) + (int)(count > NN_MAX_RANK ? NN_MAX_RANK : count);
    s = nn_import_axes(m, p, rank, axes, &n, err);
    if (s) return s;
    if (rank > NN_MAX_RANK + 1 || nn_import_listed(axes, n, 0) || v->layout > FIRST)
        return nn_import_unsupported(p, err, "an axis before the batch, or too many");
    nn_shape to = {.rank = rank - 1};
    for (int i = 1, from = 1; i < rank; i++) {
        int axis = 0;
        bool fresh = nn_import_listed(axes, n, i);
        if (!fresh) s = nn_import_axis(m, p, v, from++, &axis, err);
        if (s) return s;
        to.dim[i - 1] = fresh ? 1 : in->dim[axis];
    }
    return reshaped(m, p, v, &to, false, err);
}

/* Whether perm takes the channels from the end to the second place, or back. */
static bool moves_channels(const int64_t *perm, int rank, bool to_first) {
    for (int i = 1; i < rank; i++) {
        int from = to_first ? (i == 1 ? rank - 1 : i - 1) : (i == rank - 1 ? 1 : i + 1);
        if (perm[i] != from) return false;
    }
    return true;
}

static nn_status read_transpose(importer *m, op *p, nn_err *err) {
    item *v;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    const int64_t *perm;
    int rank = nn_import_rank(m, v), in;
    size_t n = nn_import_attr_ints(p, "perm", &perm);
    bool seen[NN_MAX_RANK + 2] = {false};
    if (n != (size_t)rank) return nn_import_unsupported(p, err, "it turns all axes around");
    for (int i = 0; i < rank; i++) {
        if (perm[i] < 0 || perm[i] >= rank || seen[perm[i]])
            return nn_import_unsupported(p, err, "its order names an axis twice, or one too many");
        seen[perm[i]] = true;
    }
    if (rank == 3 && perm[0] == 1 && perm[1] == 0 && (v->layout == PLAIN || v->layout == TIME))
        return nn_import_set(m, p, 0, v->node, v->layout == PLAIN ? TIME : PLAIN, err);
    if (perm[0] != 0) return nn_import_unsupported(p, err, "it moves the batch");
    if (v->layout <= FIRST && rank > 2 && moves_channels(perm, rank, v->layout == PLAIN))
        return nn_import_set(m, p, 0, v->node, v->layout == PLAIN ? FIRST : PLAIN, err);
    nn_attr a = {0};
    for (int i = 1; i < rank; i++) a.transpose.perm[i - 1] = (int)perm[i] - 1;
    s = nn_import_plain(m, p, v, &in, err);
    return s ? s : nn_import_simple(m, p, NN_OP_TRANSPOSE, &a, in, PLAIN, err);
}

/* ---- places and channels ---- */

/* A sample (C, H, W) through five axes: in this shape, then in this order. */
static nn_status through(importer *m, op *p, const nn_shape *five, const int *perm,
                         const nn_shape *to, nn_err *err) {
    item *v;
    int in, id;
    nn_attr a = {0};
    memcpy(a.transpose.perm, perm, 5 * sizeof *perm);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (!s) s = nn_import_reshaped(m, p, in, five, &id, err);
    if (!s) s = nn_import_add(m, p, NN_OP_TRANSPOSE, &a, &id, 1, NULL, &id, err);
    if (!s) s = nn_import_reshaped(m, p, id, to, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* The sizes of the file's (batch, C, H, W), all known, and blocksize. */
static nn_status image_of(importer *m, op *p, int64_t *ret, int64_t *ret_block, nn_err *err) {
    item *v;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    *ret_block = nn_import_attr_int(p, "blocksize", 0);
    if (nn_import_rank(m, v) != 4 || *ret_block < 1 || *ret_block > 65536)
        return nn_import_unsupported(p, err, "its input is no image, or its blocks are none");
    for (int i = 0; i < 3; i++) {
        int axis;
        s = nn_import_axis(m, p, v, i + 1, &axis, err);
        if (s) return s;
        ret[i] = nn_import_shape(m, v)->dim[axis];
        if (ret[i] < 0) return nn_import_unsupported(p, err, "a size that is open");
    }
    return NN_OK;
}

static nn_status read_depth_to_space(importer *m, op *p, nn_err *err) {
    static const int blocks_first[] = {2, 3, 0, 4, 1}, blocks_last[] = {0, 3, 1, 4, 2};
    int64_t x[3], b;
    nn_status s = image_of(m, p, x, &b, err);
    if (s) return s;
    if (x[0] % (b * b)) return nn_import_unsupported(p, err, "channels that are not whole blocks");
    int64_t c = x[0] / (b * b);
    nn_shape to = {
        3, {c, x[1] * b, x[2] * b}
    };
    nn_shape dcr =
                 {
                     5, {b, b, c, x[1], x[2]}
    },
             crd = {5, {c, b, b, x[1], x[2]}};
    if (nn_import_attr_is(p, "mode", "DCR", "DCR"))
        return through(m, p, &dcr, blocks_first, &to, err);
    if (nn_import_attr_is(p, "mode", "CRD", "DCR"))
        return through(m, p, &crd, blocks_last, &to, err);
    return nn_import_unsupported(p, err, "this mode");
}

static nn_status read_space_to_depth(importer *m, op *p, nn_err *err) {
    static const int perm[] = {2, 4, 0, 1, 3};
    int64_t x[3], b;
    nn_status s = image_of(m, p, x, &b, err);
    if (s) return s;
    if (x[1] % b || x[2] % b)
        return nn_import_unsupported(p, err, "places that are not whole blocks");
    if (x[0] > NN_MAX_DIM / (b * b)) return nn_import_unsupported(p, err, "too many channels");
    nn_shape five = {
        5, {x[0], x[1] / b, b, x[2] / b, b}
    };
    nn_shape to = {
        3, {x[0] * b * b, x[1] / b, x[2] / b}
    };
    return through(m, p, &five, perm, &to, err);
}

/* clang-format off */
const reader nn_import_shape_readers[] = {
    {"Identity",    read_same,         1, 1,  "",                                                      0},
    {"Dropout",     read_same,         1, 3,  "|ratio|seed|",                                          0},
    {"Cast",        read_cast,         1, 1,  "|to|",                                                  0},
    {"Constant",    read_constant,     0, 0,  "|value|value_int|value_ints|value_float|value_floats|", 0},
    {"Flatten",     read_flatten,      1, 1,  "|axis|",                                                0},
    {"Reshape",     read_reshape,      2, 2,  "",                                                      0},
    {"Squeeze",     read_squeeze,      1, 2,  "|axes|",                                                0},
    {"Unsqueeze",   read_unsqueeze,    1, 2,  "|axes|",                                                0},
    {"Transpose",   read_transpose,    1, 1,  "|perm|",                                                0},
    {"DepthToSpace", read_depth_to_space, 1, 1, "|blocksize|mode|",                                  0},
    {"SpaceToDepth", read_space_to_depth, 1, 1, "|blocksize|",                                       0},
    {0}
};
/* clang-format on */
