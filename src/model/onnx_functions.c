/* SPDX-License-Identifier: MIT */
/* onnx_functions.c - operators of ONNX that are a function of each element, and softmax. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <math.h>

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

/* gamma elu(x, alpha); with the constants of Klambauer et al. it has a name of its own. */
static nn_status read_selu(importer *m, op *p, nn_err *err) {
    double alpha = nn_import_attr_float(p, "alpha", 1.6732632),
           gamma = nn_import_attr_float(p, "gamma", 1.0507010);
    nn_attr a = {
        .activation = {NN_ACT_ELU, alpha}
    };
    item *v;
    int id;
    if (near(alpha, 1.6732632) && near(gamma, 1.0507010))
        return activation(m, p, NN_ACT_SELU, 0, err);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_add(m, p, NN_OP_ACTIVATION, &a, &v->node, 1, NULL, &id, err);
    if (!s) s = nn_import_linear(m, p, id, gamma, 0, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, v->layout, err);
}

/* Ours, or max(0, min(1, alpha x + beta)). */
static nn_status read_hard_sigmoid(importer *m, op *p, nn_err *err) {
    double alpha = nn_import_attr_float(p, "alpha", 0.2),
           beta = nn_import_attr_float(p, "beta", 0.5);
    nn_attr a = {
        .clip = {0, 1}
    };
    item *v;
    int id;
    if (near(alpha, 1.0 / 6) && near(beta, 0.5))
        return activation(m, p, NN_ACT_HARD_SIGMOID, 0, err);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_linear(m, p, v->node, alpha, beta, &id, err);
    return s ? s : nn_import_simple(m, p, NN_OP_CLIP, &a, id, v->layout, err);
}

nn_status nn_import_absolute(importer *m, op *p, int in, int *ret, nn_err *err) {
    int both[2] = {in};
    nn_attr a = {.merge.kind = NN_MERGE_MAXIMUM};
    nn_status s = nn_import_linear(m, p, in, -1, 0, &both[1], err);
    return s ? s : nn_import_add(m, p, NN_OP_MERGE, &a, both, 2, NULL, ret, err);
}

static nn_status read_abs(importer *m, op *p, nn_err *err) {
    item *v;
    int id;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s) s = nn_import_absolute(m, p, v->node, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, v->layout, err);
}

nn_status nn_import_power(importer *m, op *p, int in, int n, int *ret, nn_err *err) {
    int all[] = {in, in, in, in};
    nn_attr a = {.merge.kind = NN_MERGE_MULTIPLY};
    return nn_import_add(m, p, NN_OP_MERGE, &a, all, n, NULL, ret, err);
}

static nn_status read_pow(importer *m, op *p, nn_err *err) {
    item *v, *e = nn_import_input(m, p, 1);
    const tensor *t;
    int id;
    bool whole = e && e->kind == CONSTANT && nn_import_whole(m, p, 1, &t, NULL) == NN_OK;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s && !whole) s = nn_import_floats(m, p, 1, &t, err);
    if (s) return s;
    double n = t->elements != 1 ? 0 : whole ? (double)t->whole[0] : (double)t->floats[0];
    if ((n != 2 && n != 3 && n != 4) || t->rank > nn_import_rank(m, v))
        return nn_import_unsupported(p, err, "an exponent other than 2, 3 or 4");
    s = nn_import_power(m, p, v->node, (int)n, &id, err);
    return s ? s : nn_import_set(m, p, 0, id, v->layout, err);
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

nn_status nn_import_softmax(importer *m, op *p, item *v, int64_t along, bool log, nn_err *err) {
    nn_attr a = {.softmax.log = log};
    int axis, in, rank = nn_import_rank(m, v);
    nn_status s = nn_import_axis(m, p, v, along, &axis, err);
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

static nn_status read_softmax(importer *m, op *p, nn_err *err) {
    item *v = nn_import_input(m, p, 0);
    if (nn_import_is_scores(v)) return nn_import_softmax_scores(m, p, v, err);
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (s) return s;
    int64_t along = nn_import_attr_int(p, "axis", m->opset < 13 ? 1 : -1);
    if (m->opset < 13 && along != -1 && along != nn_import_rank(m, v) - 1)
        return nn_import_unsupported(p, err, "axis %" PRId64 " and all behind it at once", along);
    return nn_import_softmax(m, p, v, along, nn_import_reader(p->op_type)->value, err);
}

/* clang-format off */
const reader nn_import_function_readers[] = {
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
    {"Abs",         read_abs,          1, 1,  "",                                                      0},
    {"Pow",         read_pow,          2, 2,  "",                                                      0},
    {"Clip",        read_clip,         1, 3,  "|min|max|",                                             0},
    {"PRelu",       read_prelu,        2, 2,  "",                                                      0},
    {"Softmax",     read_softmax,      1, 1,  "|axis|",                                                false},
    {"LogSoftmax",  read_softmax,      1, 1,  "|axis|",                                                true},
    {0}
};
/* clang-format on */
