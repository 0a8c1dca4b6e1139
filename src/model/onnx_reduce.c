/* SPDX-License-Identifier: MIT */
/* onnx_reduce.c - reductions of ONNX. Those over all places of an image or a sequence are our
 * global pools; for other axes of a sample the value is turned, so that they come first, and is
 * seen as a sequence of so many steps. */
#include "model/onnx_impl.h"

#include <string.h>

enum { MEAN, MAX, MIN, SUM, L1, SQUARES };

/* ---- over all places ---- */

/* Whether the axes are all between batch and channels; `last`: the channels are the last axis. */
static bool over_places(const int64_t *axes, size_t n, int rank, bool last) {
    for (int i = 0; i < rank; i++)
        if (nn_import_listed(axes, n, i) != (last ? i > 0 && i < rank - 1 : i > 1)) return false;
    return rank > 2;
}

static nn_status pooled(importer *m, op *p, item *v, nn_op o, bool last, bool keep, nn_err *err) {
    int in;
    nn_attr a = {.global_pool.keepdims = keep};
    nn_status s = last ? nn_import_plain(m, p, v, &in, err) : nn_import_last(m, p, v, &in, err);
    return s ? s : nn_import_simple(m, p, o, &a, in, keep && !last ? FIRST : PLAIN, err);
}

/* ---- over any axes ---- */

typedef struct plan {
    int perm[NN_MAX_RANK]; /* the axes that go, then the others */
    nn_shape steps, to;    /* (those that go, the others), what comes out in the end */
    bool turned;
} plan;

/* axes: of the sample. */
static nn_status plan_of(op *p, const nn_shape *x, const bool *gone, bool keep, plan *ret,
                         nn_err *err) {
    int at = 0, open = 0;
    *ret = (plan){
        .steps = {2, {1, 1}}
    };
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < x->rank; i++) {
            if (gone[i] == pass) continue;
            ret->turned |= at != i;
            ret->perm[at++] = i;
            open += x->dim[i] < 0;
            ret->steps.dim[pass] = x->dim[i] < 0 ? -1 : ret->steps.dim[pass] * x->dim[i];
        }
    if (open) return nn_import_unsupported(p, err, "axes of a size that is open");
    for (int i = 0; i < x->rank; i++)
        if (!gone[i] || keep) ret->to.dim[ret->to.rank++] = gone[i] ? 1 : x->dim[i];
    return NN_OK;
}

static nn_status prepared(importer *m, op *p, int kind, int in, int *ret, nn_err *err) {
    *ret = in;
    if (kind == MIN) return nn_import_linear(m, p, in, -1, 0, ret, err);
    if (kind == L1) return nn_import_absolute(m, p, in, ret, err);
    if (kind == SQUARES) return nn_import_power(m, p, in, 2, ret, err);
    return NN_OK;
}

static nn_status reduced(importer *m, op *p, int kind, const plan *l, int in, int *ret,
                         nn_err *err) {
    nn_attr turn = {0}, pool = {0};
    memcpy(turn.transpose.perm, l->perm, sizeof l->perm);
    nn_op o = kind == MAX || kind == MIN ? NN_OP_GLOBAL_MAX_POOL : NN_OP_GLOBAL_AVG_POOL;
    nn_status s = prepared(m, p, kind, in, &in, err);
    if (!s && l->turned) s = nn_import_add(m, p, NN_OP_TRANSPOSE, &turn, &in, 1, NULL, &in, err);
    if (!s) s = nn_import_reshaped(m, p, in, &l->steps, &in, err);
    if (!s) s = nn_import_add(m, p, o, &pool, &in, 1, NULL, &in, err);
    double by = kind == MIN ? -1 : kind >= SUM ? (double)l->steps.dim[0] : 1;
    if (!s && by != 1) s = nn_import_linear(m, p, in, by, 0, &in, err);
    return s ? s : nn_import_reshaped(m, p, in, &l->to, ret, err);
}

static nn_status over_axes(importer *m, op *p, item *v, const int64_t *axes, size_t n, bool keep,
                           nn_err *err) {
    bool gone[NN_MAX_RANK] = {false};
    plan l;
    int in, id;
    if (nn_import_listed(axes, n, 0))
        return nn_import_unsupported(p, err, "it works across the batch");
    nn_status s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    for (size_t i = 0; i < n; i++) gone[axes[i] - 1] = true;
    s = plan_of(p, x, gone, keep, &l, err);
    if (!s) s = reduced(m, p, nn_import_reader(p->op_type)->value, &l, in, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

static nn_status read_reduce(importer *m, op *p, nn_err *err) {
    item *v;
    int64_t axes[NN_MAX_RANK];
    size_t n;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_axes(m, p, nn_import_rank(m, v), axes, &n, err);
    if (s) return s;
    int rank = nn_import_rank(m, v), kind = nn_import_reader(p->op_type)->value;
    bool keep = nn_import_attr_int(p, "keepdims", 1), pool = kind == MEAN || kind == MAX;
    if (n == 0 && nn_import_attr_int(p, "noop_with_empty_axes", 0))
        return nn_import_set(m, p, 0, v->node, v->layout, err);
    if (n == 0) return nn_import_unsupported(p, err, "it works across the batch");
    bool last = over_places(axes, n, rank, true), first = over_places(axes, n, rank, false);
    if (last && first && v->layout == FIRST) last = false;
    nn_op o = kind == MAX ? NN_OP_GLOBAL_MAX_POOL : NN_OP_GLOBAL_AVG_POOL;
    if (pool && (last || first)) return pooled(m, p, v, o, last, keep, err);
    return over_axes(m, p, v, axes, n, keep, err);
}

/* clang-format off */
const reader nn_import_reduce_readers[] = {
    {"ReduceMean",      read_reduce, 1, 1, "|axes|keepdims|",                 MEAN},
    {"ReduceMax",       read_reduce, 1, 1, "|axes|keepdims|",                 MAX},
    {"ReduceMin",       read_reduce, 1, 1, "|axes|keepdims|",                 MIN},
    {"ReduceSum",       read_reduce, 1, 2, "|axes|keepdims|noop_with_empty_axes|", SUM},
    {"ReduceL1",        read_reduce, 1, 1, "|axes|keepdims|",                 L1},
    {"ReduceSumSquare", read_reduce, 1, 1, "|axes|keepdims|",                 SQUARES},
    {0}
};
/* clang-format on */
