/* SPDX-License-Identifier: MIT */
/* onnx_product.c - products of ONNX: rows by a matrix in the file, and of two values over an axis.
 */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- products ---- */

/* The addition of a bias that is all that follows; NULL: it is none. */
static item *bias_after(importer *m, op *p, int64_t units, const tensor **ret) {
    item *y = p->n_output ? nn_import_item(m, p->output[0], false) : NULL;
    if (!y || y->uses != 1 || !y->user || strcmp(y->user->op_type, "Add") != 0 ||
        y->user->n_input != 2 || y->user->n_output != 1)
        return NULL;
    size_t other = strcmp(y->user->input[0], y->name) == 0 ? 1 : 0;
    const item *c = nn_import_item(m, y->user->input[other], false);
    if (!c || c->kind != CONSTANT || nn_import_floats(m, y->user, other, ret, NULL)) return NULL;
    bool fits = (*ret)->elements == units && (*ret)->rank == 1;
    return fits ? nn_import_item(m, y->user->output[0], false) : NULL;
}

static nn_status dense(importer *m, op *p, int in, const float *kernel, const float *bias,
                       int64_t units, item *end, nn_err *err) {
    nn_attr a = {
        .matmul = {units, bias != NULL}
    };
    const float *w[] = {kernel, bias};
    int id;
    op *named = end ? end->maker : p;
    nn_status s = nn_import_add(m, named, NN_OP_MATMUL, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, w, bias ? 2 : 1, err);
    if (!s) s = nn_import_set(m, p, 0, id, PLAIN, err);
    if (!s && end) s = nn_import_set(m, named, 0, id, PLAIN, err);
    if (!s && end) end->absorbed = true;
    return s;
}

/* Of two values: summed over the last axis of one and the first of the other. */
static nn_status product(importer *m, op *p, item *a, item *b, nn_err *err) {
    int in[2], id;
    nn_attr dot = {.dot = {.axes = {1, 0}}};
    nn_status s = nn_import_plain(m, p, a, &in[0], err);
    if (!s) s = nn_import_plain(m, p, b, &in[1], err);
    if (s) return s;
    if (m->g->nodes[in[0]].shape.rank == 3 && m->g->nodes[in[1]].shape.rank == 3)
        return nn_import_scores(m, p, a, b, err);
    if (m->g->nodes[in[0]].shape.rank != 2 || m->g->nodes[in[1]].shape.rank != 2)
        return nn_import_unsupported(p, err, "a product of values that are not one matrix a row");
    s = nn_import_add(m, p, NN_OP_DOT, &dot, in, 2, NULL, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

static nn_status read_matmul(importer *m, op *p, nn_err *err) {
    item *v, *b = nn_import_input(m, p, 1), *end;
    const tensor *k, *bias = NULL;
    int in;
    v = nn_import_input(m, p, 0);
    if (nn_import_is_scores(v) && b) return nn_import_attend(m, p, v, b, err);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s && b && b->kind == NODE) return product(m, p, v, b, err);
    if (!s) s = nn_import_floats(m, p, 1, &k, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    if (k->rank != 2 || x->rank < 1 || x->dim[x->rank - 1] != k->dim[0])
        return nn_import_unsupported(p, err, "its second input is not a matrix that fits");
    end = bias_after(m, p, k->dim[1], &bias);
    return dense(m, p, in, k->floats, end ? bias->floats : NULL, k->dim[1], end, err);
}

/* alpha k, transposed where that is asked for. */
static nn_status gemm_kernel(importer *m, op *p, const tensor *k, const float **ret, nn_err *err) {
    static const int straight[] = {0, 1}, turned[] = {1, 0};
    double alpha = nn_import_attr_float(p, "alpha", 1);
    const int *perm = nn_import_attr_int(p, "transB", 0) ? turned : straight;
    nn_status s = nn_import_permuted(m, k, perm, ret, err);
    float *w = (float *)(uintptr_t)*ret; /* a fresh copy */
    for (int64_t i = 0; !s && i < k->elements; i++) w[i] = (float)(alpha * (double)w[i]);
    return s;
}

static nn_status gemm_bias(importer *m, op *p, int64_t units, const float **ret, nn_err *err) {
    const tensor *c;
    double beta = nn_import_attr_float(p, "beta", 1);
    *ret = NULL;
    if (!nn_import_input(m, p, 2)) return NN_OK;
    nn_status s = nn_import_floats(m, p, 2, &c, err);
    if (s) return s;
    bool row = c->rank == 0 || c->dim[c->rank - 1] == c->elements;
    if (!row || (c->elements != 1 && c->elements != units))
        return nn_import_unsupported(p, err, "a bias that varies along the batch");
    float *b = nn_import_new_floats(m, units, err);
    if (!b) return NN_E_LIMIT;
    for (int64_t i = 0; i < units; i++)
        b[i] = (float)(beta * (double)c->floats[c->elements == 1 ? 0 : i]);
    *ret = b;
    return NN_OK;
}

static nn_status read_gemm(importer *m, op *p, nn_err *err) {
    item *v;
    const tensor *k;
    const float *kernel = NULL, *bias;
    int in;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_floats(m, p, 1, &k, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[in].shape;
    if (k->rank != 2 || x->rank != 1 || nn_import_attr_int(p, "transA", 0))
        return nn_import_unsupported(p, err, "its inputs are not rows and a matrix");
    bool turned = nn_import_attr_int(p, "transB", 0);
    if (x->dim[0] != k->dim[turned])
        return nn_import_unsupported(p, err, "the sizes of its inputs differ");
    s = gemm_kernel(m, p, k, &kernel, err);
    if (!s) s = gemm_bias(m, p, k->dim[!turned], &bias, err);
    return s ? s : dense(m, p, in, kernel, bias, k->dim[!turned], NULL, err);
}

/* "zab,zcb->zac": one letter of the batch, one that is summed, the rest in order. */
static bool dot_axes(const char *q, size_t n, int axes[2]) {
    char side[3][16] = {""}, rest[32] = "";
    int at = 0;
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (q[i] == ' ') continue;
        if (q[i] == ',' || (q[i] == '-' && i + 1 < n && q[i + 1] == '>')) {
            i += q[i] == '-';
            if (++at > 2) return false;
            length = 0;
        } else if (length + 1 >= sizeof side[0] || q[i] < 'a' || q[i] > 'z') {
            return false;
        } else {
            side[at][length++] = q[i];
        }
    }
    if (at != 2 || !side[0][0] || side[0][0] != side[1][0] || side[0][0] != side[2][0])
        return false;
    int summed[2] = {0, 0};
    size_t r = 0;
    rest[r++] = side[0][0];
    for (int s = 0; s < 2; s++)
        for (int k = 1; side[s][k]; k++) {
            if (strchr(side[s] + k + 1, side[s][k])) return false;
            if (strchr(side[!s] + 1, side[s][k])) {
                if (summed[s]) return false;
                summed[s] = k;
            } else {
                rest[r++] = side[s][k];
            }
        }
    axes[0] = summed[0] - 1;
    axes[1] = summed[1] - 1;
    return summed[0] && summed[1] && strcmp(rest, side[2]) == 0;
}

static nn_status read_einsum(importer *m, op *p, nn_err *err) {
    const Onnx__AttributeProto *q = nn_import_attr(p, "equation");
    item *v[2];
    int in[2], id;
    nn_attr a = {0};
    if (!q || !dot_axes((const char *)q->s.data, q->s.len, a.dot.axes))
        return nn_import_unsupported(p, err, "an equation other than a product over one axis");
    for (size_t i = 0; i < 2; i++) {
        nn_status s = nn_import_node(m, p, i, &v[i], err);
        if (!s) s = nn_import_plain(m, p, v[i], &in[i], err);
        if (s) return s;
    }
    nn_status s = nn_import_add(m, p, NN_OP_DOT, &a, in, 2, NULL, &id, err);
    if (!s && m->g->nodes[in[0]].shape.rank + m->g->nodes[in[1]].shape.rank == 2) {
        nn_shape scalar = {.rank = 0};
        s = nn_import_add(m, p, NN_OP_RESHAPE, NULL, &id, 1, &scalar, &id, err);
    }
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* clang-format off */
const reader nn_import_product_readers[] = {
    {"MatMul",      read_matmul,       2, 2,  "",                                                      0},
    {"Gemm",        read_gemm,         2, 3,  "|alpha|beta|transA|transB|",                            0},
    {"Einsum",      read_einsum,       2, 2,  "|equation|",                                            0},
    {0}
};
/* clang-format on */
