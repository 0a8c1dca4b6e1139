/* SPDX-License-Identifier: MIT */
/* onnx_part.c - operators of ONNX that take parts of a value, or put something around it: slices,
 * pads, splits, places of an axis and rows of a table. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- borders ---- */

/* PAD and CROP leave the last axis alone; where that is meant too, one of size 1 is put behind it.
 * `before`, `after`: of each axis of the sample. */
static nn_status bordered_node(importer *m, op *p, nn_op o, int in, const int64_t *before,
                               const int64_t *after, int *ret, nn_err *err) {
    nn_shape x = m->g->nodes[in].shape, wide = x;
    bool all = x.rank == 1 || (x.rank && (before[x.rank - 1] || after[x.rank - 1]));
    nn_attr a = {.border.spatial = all ? x.rank : x.rank - 1};
    if (x.rank < 1 || a.border.spatial > NN_MAX_SPATIAL)
        return nn_import_unsupported(p, err, "%d axes of which all have a border", x.rank);
    memcpy(a.border.before, before, (size_t)a.border.spatial * sizeof *before);
    memcpy(a.border.after, after, (size_t)a.border.spatial * sizeof *after);
    if (!all) return nn_import_add(m, p, o, &a, &in, 1, NULL, ret, err);
    wide.dim[wide.rank++] = 1;
    nn_status s = nn_import_reshaped(m, p, in, &wide, &in, err);
    if (!s) s = nn_import_add(m, p, o, &a, &in, 1, NULL, &in, err);
    if (s) return s;
    nn_shape to = m->g->nodes[in].shape;
    to.rank--;
    return nn_import_reshaped(m, p, in, &to, ret, err);
}

/* What is before and after each axis of the file. */
static nn_status bordered(importer *m, op *p, nn_op o, item *v, const int64_t *before,
                          const int64_t *after, nn_err *err) {
    int rank = nn_import_rank(m, v), in, id;
    if (before[0] || after[0]) return nn_import_unsupported(p, err, "borders of the batch");
    bool first = v->layout == FIRST && !before[1] && !after[1] && rank - 2 <= NN_MAX_SPATIAL;
    nn_attr a = {.border.spatial = rank - 2};
    if (!first) {
        nn_status s = nn_import_plain(m, p, v, &in, err);
        if (!s) s = bordered_node(m, p, o, in, before + 1, after + 1, &id, err);
        return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
    }
    memcpy(a.border.before, before + 2, (size_t)(rank - 2) * sizeof *before);
    memcpy(a.border.after, after + 2, (size_t)(rank - 2) * sizeof *after);
    return nn_import_simple(m, p, o, &a, v->node, FIRST, err);
}

/* A list of whole numbers: input k, in older files an attribute; none where it is not given. */
static nn_status list_of(importer *m, op *p, size_t k, const char *name, tensor *ret, nn_err *err) {
    const int64_t *v;
    const tensor *t;
    size_t n = nn_import_attr_ints(p, name, &v);
    *ret = (tensor){.rank = 1, .dim = {(int64_t)n}, .elements = (int64_t)n, .whole = v};
    if (!nn_import_input(m, p, k)) return NN_OK;
    if (v) return nn_import_unsupported(p, err, "%s as an attribute and as an input", name);
    nn_status s = nn_import_whole(m, p, k, &t, err);
    if (!s) *ret = *t;
    return s;
}

/* The number that they are filled with. */
static nn_status fill_of(importer *m, op *p, double *ret, nn_err *err) {
    const tensor *value;
    *ret = nn_import_attr_float(p, "value", 0);
    if (!nn_import_input(m, p, 2)) return NN_OK;
    nn_status s = nn_import_floats(m, p, 2, &value, err);
    if (!s && value->elements != 1)
        return nn_import_unsupported(p, err, "its input 2 is not one number");
    if (!s) *ret = (double)value->floats[0];
    return s;
}

static nn_status read_pad(importer *m, op *p, nn_err *err) {
    item *v;
    tensor pads;
    double value;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = list_of(m, p, 1, "pads", &pads, err);
    if (!s) s = fill_of(m, p, &value, err);
    if (s) return s;
    int rank = nn_import_rank(m, v);
    if (value != 0 || !nn_import_attr_is(p, "mode", "constant", "constant"))
        return nn_import_unsupported(p, err, "something else than zeros");
    if (pads.elements != 2 * rank || v->layout > FIRST)
        return nn_import_unsupported(p, err, "%" PRId64 " pads", pads.elements);
    for (int i = 0; i < 2 * rank; i++)
        if (pads.whole[i] < 0 || pads.whole[i] > NN_MAX_DIM)
            return nn_import_unsupported(p, err, "a pad of %" PRId64, pads.whole[i]);
    return bordered(m, p, NN_OP_PAD, v, pads.whole, pads.whole + rank, err);
}

/* ---- slices ---- */

typedef struct cut {
    tensor starts, ends, axes, steps; /* the last two may hold nothing */
} cut;

static nn_status read_cut(importer *m, op *p, cut *ret, nn_err *err) {
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    tensor *list[] = {&ret->starts, &ret->ends, &ret->axes, &ret->steps};
    nn_status s = NN_OK;
    *ret = (cut){0};
    for (size_t k = 0; !s && k < 4; k++) s = list_of(m, p, k + 1, names[k], list[k], err);
    if (s) return s;
    int64_t n = ret->starts.elements;
    if (n < 1 || n > NN_MAX_RANK || ret->ends.elements != n ||
        (ret->axes.whole && ret->axes.elements != n) ||
        (ret->steps.whole && ret->steps.elements != n))
        return nn_import_unsupported(p, err, "starts, ends, axes and steps that differ in number");
    return NN_OK;
}

/* One axis, all of it, from the end. */
static nn_status reversed(importer *m, op *p, item *v, const cut *c, int64_t axis, nn_err *err) {
    nn_attr a = {0};
    int at;
    nn_status s = nn_import_axis(m, p, v, axis, &at, err);
    if (s) return s;
    int64_t d = nn_import_shape(m, v)->dim[at], start = c->starts.whole[0], end = c->ends.whole[0];
    bool all = (start == -1 || (d > 0 && start >= d - 1)) && (d < 0 ? end < -NN_MAX_DIM : end < -d);
    if (c->starts.elements != 1 || !all)
        return nn_import_unsupported(p, err, "a part of an axis from the end");
    a.reverse.axis = at;
    return nn_import_simple(m, p, NN_OP_REVERSE, &a, v->node, v->layout, err);
}

/* What a slice takes off before and after an axis of size d (open: -1). */
static bool taken_off(int64_t d, int64_t start, int64_t end, int64_t *before, int64_t *after) {
    if (d < 0) {
        *before = start;
        *after = end < 0 ? -end : 0;
        return start >= 0 && start <= NN_MAX_DIM &&
               (end >= NN_MAX_DIM || (end < 0 && end > -NN_MAX_DIM));
    }
    if (start < 0) start += d;
    if (end < 0) end += d;
    start = start < 0 ? 0 : start > d ? d : start;
    end = end < 0 ? 0 : end > d ? d : end;
    *before = start;
    *after = d - end;
    return end > start;
}

static nn_status read_slice(importer *m, op *p, nn_err *err) {
    item *v;
    cut c;
    int64_t before[NN_MAX_RANK + 2] = {0}, after[NN_MAX_RANK + 2] = {0};
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = read_cut(m, p, &c, err);
    for (int i = 0; !s && i < (int)c.starts.elements; i++) {
        int64_t axis = c.axes.whole ? c.axes.whole[i] : i,
                step = c.steps.whole ? c.steps.whole[i] : 1;
        int at, rank = nn_import_rank(m, v);
        if (axis < 0 && axis >= -rank) axis += rank;
        if (step == -1) return reversed(m, p, v, &c, axis, err);
        int64_t start = c.starts.whole[i], end = c.ends.whole[i];
        int64_t rows = m->batch >= 0 ? m->batch : NN_MAX_DIM;
        if (axis == 0 && start == 0 && end >= rows && step == 1) continue;
        s = nn_import_axis(m, p, v, axis, &at, err);
        if (!s && (step != 1 || !taken_off(nn_import_shape(m, v)->dim[at], start, end,
                                           &before[axis], &after[axis])))
            return nn_import_unsupported(p, err, "steps, or nothing that is left");
    }
    return s ? s : bordered(m, p, NN_OP_CROP, v, before, after, err);
}

/* Places from..to of an axis of the sample. */
static nn_status cut_axis(importer *m, op *p, int in, int axis, int64_t from, int64_t to, int *ret,
                          nn_err *err) {
    int64_t before[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0};
    before[axis] = from;
    after[axis] = m->g->nodes[in].shape.dim[axis] - to;
    if (!before[axis] && !after[axis]) {
        *ret = in;
        return NN_OK;
    }
    return bordered_node(m, p, NN_OP_CROP, in, before, after, ret, err);
}

/* ---- parts ---- */

/* The sizes of the parts: given, or all alike. */
static nn_status parts_of(importer *m, op *p, int64_t d, tensor *ret, nn_err *err) {
    nn_status s = list_of(m, p, 1, "split", ret, err);
    int64_t n = (int64_t)p->n_output, sum = 0;
    if (s || ret->whole) {
        if (!s && ret->elements != n) return nn_import_unsupported(p, err, "parts without outputs");
        for (int64_t i = 0; !s && i < n; i++) {
            if (ret->whole[i] < 1 || ret->whole[i] > d)
                return nn_import_unsupported(p, err, "a part of %" PRId64, ret->whole[i]);
            sum += ret->whole[i];
        }
        return s || sum == d ? s : nn_import_unsupported(p, err, "parts that are not the whole");
    }
    int64_t *all = nn_arena_array(m->arena, (size_t)n, sizeof *all);
    if (!all) return nn_fail(err, NN_E_LIMIT, "%.200s takes too much memory", m->file);
    if (d % n) return nn_import_unsupported(p, err, "parts that differ");
    for (int64_t i = 0; i < n; i++) all[i] = d / n;
    *ret = (tensor){.rank = 1, .dim = {n}, .elements = n, .whole = all};
    return NN_OK;
}

static nn_status read_split(importer *m, op *p, nn_err *err) {
    item *v;
    tensor sizes = {0};
    int in, axis, id;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    item plain = {.node = in, .layout = PLAIN};
    s = nn_import_axis(m, p, &plain, nn_import_attr_int(p, "axis", 0), &axis, err);
    int64_t d = s ? 0 : m->g->nodes[in].shape.dim[axis], at = 0;
    if (!s && (d < 1 || p->n_output < 1))
        return nn_import_unsupported(p, err, "an axis of a size that is open");
    if (!s) s = parts_of(m, p, d, &sizes, err);
    for (size_t k = 0; !s && k < p->n_output; at += sizes.whole[k++]) {
        if (!*p->output[k]) continue;
        s = cut_axis(m, p, in, axis, at, at + sizes.whole[k], &id, err);
        if (!s) s = nn_import_set(m, p, k, id, PLAIN, err);
    }
    return s;
}

/* ---- rows of a table, places of an axis ---- */

enum { MOST_PLACES = NN_MAX_INPUTS };

/* Places of one axis, in any order. */
static nn_status gather_places(importer *m, op *p, int in, int axis, const tensor *t, int *ret,
                               nn_err *err) {
    int64_t d = m->g->nodes[in].shape.dim[axis];
    int part[MOST_PLACES];
    nn_attr a = {.concat.axis = axis};
    nn_status s = NN_OK;
    if (d < 0 || t->elements < 1 || t->elements > MOST_PLACES)
        return nn_import_unsupported(p, err, "%" PRId64 " places, or of an axis that is open",
                                     t->elements);
    for (int64_t i = 0; !s && i < t->elements; i++) {
        int64_t at = t->whole[i] < 0 ? t->whole[i] + d : t->whole[i];
        if (at < 0 || at >= d) return nn_import_unsupported(p, err, "place %" PRId64, t->whole[i]);
        s = cut_axis(m, p, in, axis, at, at + 1, &part[i], err);
    }
    *ret = part[0];
    if (s || t->elements == 1) return s;
    return nn_import_add(m, p, NN_OP_CONCAT, &a, part, (int)t->elements, NULL, ret, err);
}

/* The axis becomes those of the places: none where that is one number. */
static nn_status gather_constant(importer *m, op *p, nn_err *err) {
    item *v;
    const tensor *t;
    int in, id, axis;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_whole(m, p, 1, &t, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    item plain = {.node = in, .layout = PLAIN};
    s = nn_import_axis(m, p, &plain, nn_import_attr_int(p, "axis", 0), &axis, err);
    nn_shape x = m->g->nodes[in].shape, to = {.rank = axis};
    if (!s && x.rank - 1 + t->rank > NN_MAX_RANK)
        return nn_import_unsupported(p, err, "%d axes", x.rank - 1 + t->rank);
    if (!s) s = gather_places(m, p, in, axis, t, &id, err);
    if (s) return s;
    memcpy(to.dim, x.dim, (size_t)axis * sizeof *to.dim);
    for (int i = 0; i < t->rank; i++) to.dim[to.rank++] = t->dim[i];
    for (int i = axis + 1; i < x.rank; i++) to.dim[to.rank++] = x.dim[i];
    s = t->rank == 1 ? NN_OK : nn_import_reshaped(m, p, id, &to, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* Rows of a table; they may have several axes. */
static nn_status read_gather(importer *m, op *p, nn_err *err) {
    item *v = nn_import_input(m, p, 0), *index = nn_import_input(m, p, 1);
    const tensor *t;
    int in, id;
    if (v && v->kind == NODE && index && index->kind == CONSTANT) return gather_constant(m, p, err);
    nn_status s = nn_import_floats(m, p, 0, &t, err);
    if (!s) s = nn_import_node(m, p, 1, &v, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    nn_shape to = m->g->nodes[in].shape;
    int axes = to.rank;
    if (t->rank < 1 || t->elements < 1 || nn_import_attr_int(p, "axis", 0) != 0 ||
        axes + t->rank - 1 > NN_MAX_RANK)
        return nn_import_unsupported(p, err, "it takes something else than rows of a table");
    nn_attr a = {
        .embedding = {t->dim[0], t->elements / t->dim[0]}
    };
    s = nn_import_add(m, p, NN_OP_EMBEDDING, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, &t->floats, 1, err);
    for (int i = 1; i < t->rank; i++) to.dim[to.rank++] = t->dim[i];
    if (!s && t->rank != 2) s = nn_import_reshaped(m, p, id, &to, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* clang-format off */
const reader nn_import_part_readers[] = {
    {"Pad",    read_pad,    1, 3, "|mode|pads|value|",  0},
    {"Slice",  read_slice,  1, 5, "|starts|ends|axes|", 0},
    {"Split",  read_split,  1, 2, "|axis|split|",       0},
    {"Gather", read_gather, 2, 2, "|axis|",             0},
    {0}
};
/* clang-format on */
