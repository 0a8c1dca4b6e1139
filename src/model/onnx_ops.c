/* SPDX-License-Identifier: MIT */
/* onnx_ops.c - operators of ONNX over elements and axes, as our ops; the table of all of them. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <math.h>
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

/* ---- functions of each element ---- */

typedef struct function {
    nn_act act;
    const char *attribute; /* that is alpha; NULL: none */
    float alpha;           /* when it is not given */
} function;

enum {
    FN_RELU,
    FN_LEAKY,
    FN_ELU,
    FN_CELU,
    FN_SIGMOID,
    FN_TANH,
    FN_SOFTPLUS,
    FN_SOFTSIGN,
    FN_EXP,
    FN_HARD_SWISH
};
static const function functions[] = {
    [FN_RELU] = {NN_ACT_RELU,        NULL,    0    },
      [FN_LEAKY] = {NN_ACT_LEAKY_RELU,  "alpha", 0.01F},
    [FN_ELU] = {NN_ACT_ELU,         "alpha", 1    },
      [FN_CELU] = {NN_ACT_CELU,        "alpha", 1    },
    [FN_SIGMOID] = {NN_ACT_SIGMOID,     NULL,    0    },
      [FN_TANH] = {NN_ACT_TANH,        NULL,    0    },
    [FN_SOFTPLUS] = {NN_ACT_SOFTPLUS,    NULL,    0    },
      [FN_SOFTSIGN] = {NN_ACT_SOFTSIGN,    NULL,    0    },
    [FN_EXP] = {NN_ACT_EXPONENTIAL, NULL,    0    },
      [FN_HARD_SWISH] = {NN_ACT_HARD_SWISH,  NULL,    0    },
};

static nn_status activation(importer *m, op *p, nn_act kind, double alpha, nn_err *err) {
    item *v;
    nn_attr a = {
        .activation = {kind, alpha}
    };
    nn_status s = nn_import_node(m, p, 0, &v, err);
    return s ? s : nn_import_simple(m, p, NN_OP_ACTIVATION, &a, v->node, v->layout, err);
}

static nn_status read_function(importer *m, op *p, nn_err *err) {
    const function *f = &functions[nn_import_reader(p->op_type)->value];
    double alpha = f->attribute ? nn_import_attr_float(p, f->attribute, (double)f->alpha) : 0;
    return activation(m, p, f->act, alpha, err);
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-5 * fabs(b);
}

static nn_status read_selu(importer *m, op *p, nn_err *err) {
    if (!near(nn_import_attr_float(p, "alpha", 1.6732632), 1.6732632) ||
        !near(nn_import_attr_float(p, "gamma", 1.0507010), 1.0507010))
        return nn_import_unsupported(p, err, "other constants than those of Klambauer et al.");
    return activation(m, p, NN_ACT_SELU, 0, err);
}

static nn_status read_hard_sigmoid(importer *m, op *p, nn_err *err) {
    if (!near(nn_import_attr_float(p, "alpha", 0.2), 1.0 / 6) ||
        !near(nn_import_attr_float(p, "beta", 0.5), 0.5))
        return nn_import_unsupported(p, err, "a slope other than 1/6 or an offset other than 1/2");
    return activation(m, p, NN_ACT_HARD_SIGMOID, 0, err);
}

static nn_status bound(importer *m, op *p, size_t k, const char *name, double *ret, nn_err *err) {
    const tensor *t;
    *ret = nn_import_attr_float(p, name, *ret); /* before opset 11 */
    if (!nn_import_input(m, p, k)) return NN_OK;
    nn_status s = nn_import_floats(m, p, k, &t, err);
    if (!s && t->elements != 1)
        return nn_import_unsupported(p, err, "a bound that is not a number");
    if (!s) *ret = (double)t->floats[0];
    return s;
}

static nn_status clip(importer *m, op *p, double low, double high, nn_err *err) {
    item *v;
    nn_attr a = {
        .clip = {fabs(low) >= 3.4e38 ? -INFINITY : low, fabs(high) >= 3.4e38 ? INFINITY : high}
    };
    nn_status s = nn_import_node(m, p, 0, &v, err);
    return s ? s : nn_import_simple(m, p, NN_OP_CLIP, &a, v->node, v->layout, err);
}

static nn_status read_clip(importer *m, op *p, nn_err *err) {
    double low = -INFINITY, high = INFINITY;
    nn_status s = bound(m, p, 1, "min", &low, err);
    if (!s) s = bound(m, p, 2, "max", &high, err);
    return s ? s : clip(m, p, low, high, err);
}

static nn_status read_neg(importer *m, op *p, nn_err *err) {
    item *v;
    float zero = 0;
    tensor none = {.elements = 1, .floats = &zero};
    nn_status s = nn_import_node(m, p, 0, &v, err);
    return s ? s : nn_import_affine(m, p, v, &none, -1, true, err);
}

static nn_status read_prelu(importer *m, op *p, nn_err *err) {
    item *v;
    const tensor *t;
    int in, rank, perm[NN_MAX_RANK + 2];
    const float *alpha;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_floats(m, p, 1, &t, err);
    if (!s) s = nn_import_last(m, p, v, &in, err);
    if (s) return s;
    rank = m->g->nodes[in].shape.rank;
    tensor wide = *t;
    for (int i = 0; i < rank; i++) /* as many axes as a sample has, or more ones before */
        wide.dim[i] = i < rank - t->rank ? 1 : t->dim[t->rank - rank + i];
    if (t->rank > rank + 1 || (t->rank > rank && t->dim[0] != 1))
        return nn_import_unsupported(p, err, "a slope that varies along the batch");
    nn_attr a = {0};
    wide.rank = rank;
    for (int i = 0; i < rank; i++) {
        perm[i] = i == rank - 1 ? 0 : i + 1;
        if (wide.dim[perm[i]] == 1) a.prelu.shared |= 1u << i;
    }
    int id;
    s = nn_import_permuted(m, &wide, perm, &alpha, err);
    if (!s) s = nn_import_add(m, p, NN_OP_PRELU, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, &alpha, 1, err);
    return s ? s : nn_import_set(m, p, 0, id, FIRST, err);
}

static nn_status read_softmax(importer *m, op *p, nn_err *err) {
    item *v = nn_import_input(m, p, 0);
    nn_attr a = {.softmax.log = nn_import_reader(p->op_type)->value};
    if (nn_import_is_scores(v)) return nn_import_softmax_scores(m, p, v, err);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    int axis, in, rank = nn_import_rank(m, v);
    s = nn_import_axis(m, p, v, nn_import_attr_int(p, "axis", -1), &axis, err);
    if (s) return s;
    if (axis == rank - 2) return nn_import_simple(m, p, NN_OP_SOFTMAX, &a, v->node, v->layout, err);
    if (v->layout == PLAIN && axis != 0)
        return nn_import_unsupported(p, err, "an axis that is neither the last nor the channels");
    s = v->layout == PLAIN ? nn_import_last(m, p, v, &in, err) : nn_import_plain(m, p, v, &in, err);
    if (!s && v->layout == FIRST && axis != rank - 3)
        return nn_import_unsupported(p, err, "an axis that is neither the last nor the channels");
    return s ? s
             : nn_import_simple(m, p, NN_OP_SOFTMAX, &a, in, v->layout == PLAIN ? FIRST : PLAIN,
                                err);
}

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

static nn_status merge(importer *m, op *p, nn_merge kind, nn_err *err) {
    int in[NN_MAX_INPUTS], id;
    layout l;
    nn_attr a = {.merge.kind = kind};
    if (p->n_input == 1) return read_same(m, p, err);
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
    if (c->elements != 1 || nn_import_is_scores(v))
        return nn_import_unsupported(p, err, "a constant that is not one number");
    double b = (double)c->floats[0];
    nn_attr a = {
        .clip = {kind == MAX ? b : -INFINITY, kind == MIN ? b : INFINITY}
    };
    return nn_import_simple(m, p, NN_OP_CLIP, &a, v->node, v->layout, err);
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
    if (kinds[kind] < 0) return nn_import_unsupported(p, err, "a quotient of two values");
    return merge(m, p, (nn_merge)kinds[kind], err);
}

static nn_status read_concat(importer *m, op *p, nn_err *err) {
    int in[NN_MAX_INPUTS], id;
    layout l;
    nn_attr a = {0};
    if (p->n_input == 1) return read_same(m, p, err);
    nn_status s = together(m, p, in, &l, err);
    if (s) return s;
    item all = {.node = in[0], .layout = l};
    s = nn_import_axis(m, p, &all, nn_import_attr_int(p, "axis", 1), &a.concat.axis, err);
    if (!s) s = nn_import_add(m, p, NN_OP_CONCAT, &a, in, (int)p->n_input, NULL, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, l, err);
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
static nn_status axes_of(importer *m, op *p, int rank, int64_t *ret, size_t *ret_n, nn_err *err) {
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

static bool listed(const int64_t *axes, size_t n, int64_t axis) {
    for (size_t i = 0; i < n; i++)
        if (axes[i] == axis) return true;
    return false;
}

static nn_status read_squeeze(importer *m, op *p, nn_err *err) {
    item *v;
    int64_t axes[NN_MAX_RANK];
    size_t n;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = axes_of(m, p, nn_import_rank(m, v), axes, &n, err);
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
        if (n ? !listed(axes, n, i) : d != 1)
            to.dim[to.rank++] = d;
        else if (d != 1)
            return nn_import_unsupported(p, err, "an axis of more than one");
    }
    if (listed(axes, n, 0)) return nn_import_unsupported(p, err, "it works across the batch");
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
    s = axes_of(m, p, rank, axes, &n, err);
    if (s) return s;
    if (rank > NN_MAX_RANK + 1 || listed(axes, n, 0) || v->layout > FIRST)
        return nn_import_unsupported(p, err, "an axis before the batch, or too many");
    nn_shape to = {.rank = rank - 1};
    for (int i = 1, from = 1; i < rank; i++) {
        int axis = 0;
        bool fresh = listed(axes, n, i);
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

/* ---- rows of a table ---- */

static nn_status read_gather(importer *m, op *p, nn_err *err) {
    item *v;
    const tensor *t;
    int in, id;
    nn_status s = nn_import_floats(m, p, 0, &t, err);
    if (!s) s = nn_import_node(m, p, 1, &v, err);
    if (!s) s = nn_import_plain(m, p, v, &in, err);
    if (s) return s;
    if (t->rank != 2 || nn_import_attr_int(p, "axis", 0) != 0)
        return nn_import_unsupported(p, err, "it takes something else than rows of a table");
    nn_attr a = {
        .embedding = {t->dim[0], t->dim[1]}
    };
    s = nn_import_add(m, p, NN_OP_EMBEDDING, &a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, &t->floats, 1, err);
    return s ? s : nn_import_set(m, p, 0, id, PLAIN, err);
}

/* ---- reductions over all places ---- */

static nn_status read_reduce(importer *m, op *p, nn_err *err) {
    item *v;
    int64_t axes[NN_MAX_RANK];
    size_t n;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = axes_of(m, p, nn_import_rank(m, v), axes, &n, err);
    if (s) return s;
    int rank = nn_import_rank(m, v), in;
    bool keep = nn_import_attr_int(p, "keepdims", 1), last = rank > 2, first = rank > 2;
    for (int i = 0; i < rank; i++) {
        last = last && listed(axes, n, i) == (i > 0 && i < rank - 1);
        first = first && listed(axes, n, i) == (i > 1);
    }
    if (!last && !first)
        return nn_import_unsupported(p, err,
                                     "axes that are not all those between batch and channels");
    if (last && first && v->layout == FIRST) last = false;
    s = last ? nn_import_plain(m, p, v, &in, err) : nn_import_last(m, p, v, &in, err);
    nn_attr a = {.global_pool.keepdims = keep};
    nn_op o = nn_import_reader(p->op_type)->value ? NN_OP_GLOBAL_MAX_POOL : NN_OP_GLOBAL_AVG_POOL;
    return s ? s : nn_import_simple(m, p, o, &a, in, keep && !last ? FIRST : PLAIN, err);
}

/* ---- the table ---- */

/* clang-format off */
static const reader readers[] = {
    {"Identity",    read_same,         1, 1,  "",                                                      0},
    {"Dropout",     read_same,         1, 3,  "|ratio|seed|",                                          0},
    {"Cast",        read_cast,         1, 1,  "|to|",                                                  0},
    {"Constant",    read_constant,     0, 0,  "|value|value_int|value_ints|value_float|value_floats|", 0},
    {"Relu",        read_function,     1, 1,  "",                                                      FN_RELU},
    {"LeakyRelu",   read_function,     1, 1,  "|alpha|",                                               FN_LEAKY},
    {"Elu",         read_function,     1, 1,  "|alpha|",                                               FN_ELU},
    {"Celu",        read_function,     1, 1,  "|alpha|",                                               FN_CELU},
    {"Sigmoid",     read_function,     1, 1,  "",                                                      FN_SIGMOID},
    {"Tanh",        read_function,     1, 1,  "",                                                      FN_TANH},
    {"Softplus",    read_function,     1, 1,  "",                                                      FN_SOFTPLUS},
    {"Softsign",    read_function,     1, 1,  "",                                                      FN_SOFTSIGN},
    {"Exp",         read_function,     1, 1,  "",                                                      FN_EXP},
    {"HardSwish",   read_function,     1, 1,  "",                                                      FN_HARD_SWISH},
    {"Erf",         nn_import_erf,     1, 1,  "",                                                      0},
    {"Selu",        read_selu,         1, 1,  "|alpha|gamma|",                                         0},
    {"HardSigmoid", read_hard_sigmoid, 1, 1,  "|alpha|beta|",                                          0},
    {"Neg",         read_neg,          1, 1,  "",                                                      0},
    {"Clip",        read_clip,         1, 3,  "|min|max|",                                             0},
    {"PRelu",       read_prelu,        2, 2,  "",                                                      0},
    {"Softmax",     read_softmax,      1, 1,  "|axis|",                                                false},
    {"LogSoftmax",  read_softmax,      1, 1,  "|axis|",                                                true},
    {"MatMul",      read_matmul,       2, 2,  "",                                                      0},
    {"Gemm",        read_gemm,         2, 3,  "|alpha|beta|transA|transB|",                            0},
    {"Einsum",      read_einsum,       2, 2,  "|equation|",                                            0},
    {"Add",         read_merge,        2, 2,  "",                                                      ADD},
    {"Sub",         read_merge,        2, 2,  "",                                                      SUB},
    {"Mul",         read_merge,        2, 2,  "",                                                      MUL},
    {"Div",         read_merge,        2, 2,  "",                                                      DIV},
    {"Sum",         read_merge,        1, 64, "",                                                      ADD},
    {"Mean",        read_merge,        1, 64, "",                                                      MEAN},
    {"Max",         read_merge,        1, 64, "",                                                      MAX},
    {"Min",         read_merge,        1, 64, "",                                                      MIN},
    {"Concat",      read_concat,       1, 64, "|axis|",                                                0},
    {"Flatten",     read_flatten,      1, 1,  "|axis|",                                                0},
    {"Reshape",     read_reshape,      2, 2,  "",                                                      0},
    {"Squeeze",     read_squeeze,      1, 2,  "|axes|",                                                0},
    {"Unsqueeze",   read_unsqueeze,    1, 2,  "|axes|",                                                0},
    {"Transpose",   read_transpose,    1, 1,  "|perm|",                                                0},
    {"Gather",      read_gather,       2, 2,  "|axis|",                                                0},
    {"ReduceMean",  read_reduce,       1, 1,  "|axes|keepdims|",                                       false},
    {"ReduceMax",   read_reduce,       1, 1,  "|axes|keepdims|",                                       true},
    {0}
};
/* clang-format on */

const reader *nn_import_reader(const char *type) {
    const reader *const tables[] = {readers, nn_import_window_readers, nn_import_rnn_readers};
    for (int t = 0; t < 3; t++)
        for (const reader *r = tables[t]; r->type; r++)
            if (strcmp(r->type, type) == 0) return r;
    return NULL;
}
