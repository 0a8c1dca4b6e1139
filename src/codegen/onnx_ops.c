/* SPDX-License-Identifier: MIT */
/* onnx_ops.c - ops over elements, axes and several inputs, as ONNX operators. What has no operator
 * of its own is composed of those that have. */
#include "codegen/onnx.h"

#include <math.h>
#include <string.h>

/* ---- what is there already ---- */

/* The frame has entered it. */
nn_status nn_onnx_emit_input(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)e, (void)n, (void)err;
    return NN_OK;
}

static nn_status pass(nn_emit *e, const nn_node *n) {
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}

/* Nothing happens outside of training. */
nn_status nn_onnx_emit_dropout(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    return pass(e, n);
}

nn_status nn_onnx_emit_noise(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    return pass(e, n);
}

nn_status nn_onnx_emit_activity_reg(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    return pass(e, n);
}

nn_status nn_onnx_emit_custom(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)e;
    return nn_onnx_cannot(n, "the program only names it, and nothing says what it computes",
                          "put layers of the language in its place", err);
}

/* ---- functions of each element ---- */

static value *clipped(nn_emit *e, value *x, double low, double high) {
    value *least = isinf(low) ? NULL : nn_onnx_scalar(e, "min", low);
    value *most = isinf(high) ? NULL : nn_onnx_scalar(e, "max", high);
    return most ? PUT(e, "Clip", x, least, most) : PUT(e, "Clip", x, least);
}

static value *act_linear(nn_emit *e, value *x, double alpha) {
    (void)e, (void)alpha;
    return x;
}

static value *act_relu6(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    return clipped(e, x, 0, 6);
}

static value *act_hard_tanh(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    return clipped(e, x, -1, 1);
}

/* x / 2 (1 + erf(x / sqrt 2)) */
static value *act_gelu(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    value *y = nn_onnx_binary(e, "Mul", x, nn_onnx_scalar(e, "root", M_SQRT1_2));
    y = nn_onnx_unary(e, "Erf", y);
    y = nn_onnx_binary(e, "Add", y, nn_onnx_scalar(e, "one", 1));
    y = nn_onnx_binary(e, "Mul", x, y);
    return nn_onnx_binary(e, "Mul", y, nn_onnx_scalar(e, "half", 0.5));
}

static value *act_silu(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    return nn_onnx_binary(e, "Mul", x, nn_onnx_unary(e, "Sigmoid", x));
}

static value *act_mish(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    return nn_onnx_binary(e, "Mul", x, nn_onnx_unary(e, "Tanh", nn_onnx_unary(e, "Softplus", x)));
}

static value *act_log_sigmoid(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    value *y = nn_onnx_unary(e, "Softplus", nn_onnx_unary(e, "Neg", x));
    return nn_onnx_unary(e, "Neg", y);
}

static value *act_hard_sigmoid(nn_emit *e, value *x, double alpha) {
    (void)alpha;
    value *y = nn_onnx_unary(e, "HardSigmoid", x);
    nn_onnx_float(e, "alpha", 1.0 / 6);
    nn_onnx_float(e, "beta", 0.5);
    return y;
}

/* An operator of that name; `alpha`: with the attribute. Or what composes it. */
static const struct {
    const char *type;
    bool alpha;
    value *(*compose)(nn_emit *e, value *x, double alpha);
} activations[NN_ACT_COUNT] = {
    [NN_ACT_LINEAR] = {.compose = act_linear},
    [NN_ACT_RELU] = {.type = "Relu"       },
    [NN_ACT_RELU6] = {.compose = act_relu6 },
    [NN_ACT_LEAKY_RELU] = {.type = "LeakyRelu",   .alpha = true},
    [NN_ACT_ELU] = {.type = "Elu",                     .alpha = true},
    [NN_ACT_SELU] = {.type = "Selu"},
    [NN_ACT_CELU] = {.type = "Celu",        .alpha = true},
    [NN_ACT_GELU] = {.compose = act_gelu       },
    [NN_ACT_SILU] = {.compose = act_silu                    },
    [NN_ACT_MISH] = {.compose = act_mish             },
    [NN_ACT_SIGMOID] = {.type = "Sigmoid"},
    [NN_ACT_HARD_SIGMOID] = {.compose = act_hard_sigmoid       },
    [NN_ACT_LOG_SIGMOID] = {.compose = act_log_sigmoid                    },
    [NN_ACT_TANH] = {.type = "Tanh"             },
    [NN_ACT_HARD_TANH] = {.compose = act_hard_tanh},
    [NN_ACT_SOFTPLUS] = {.type = "Softplus"       },
    [NN_ACT_SOFTSIGN] = {.type = "Softsign"                    },
    [NN_ACT_EXPONENTIAL] = {.type = "Exp"             },
    [NN_ACT_HARD_SWISH] = {.type = "HardSwish"},
};
_Static_assert(NN_ACT_COUNT == 19, "an activation has no form in ONNX");

value *nn_onnx_activate(nn_emit *e, nn_act kind, double alpha, value *x) {
    if (activations[kind].compose) return activations[kind].compose(e, x, alpha);
    value *y = nn_onnx_unary(e, activations[kind].type, x);
    if (activations[kind].alpha) nn_onnx_float(e, "alpha", alpha);
    return y;
}

nn_status nn_onnx_emit_activation(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    x = nn_onnx_activate(e, n->attr.activation.kind, n->attr.activation.alpha, x);
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_clip(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    if (!isinf(n->attr.clip.low) || !isinf(n->attr.clip.high))
        x = clipped(e, x, n->attr.clip.low, n->attr.clip.high);
    nn_onnx_result(e, n, x, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_prelu(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    int perm[NN_MAX_RANK], rank = n->shape.rank;
    for (int i = 0; i < rank; i++) perm[nn_onnx_axis(layout, rank, i) - 1] = i;
    nn_onnx_result(e, n, PUT(e, "PRelu", x, nn_onnx_weight_permuted(e, n, 0, perm)), layout);
    return NN_OK;
}

nn_status nn_onnx_emit_softmax(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    value *y = nn_onnx_unary(e, n->attr.softmax.log ? "LogSoftmax" : "Softmax", x);
    nn_onnx_int(e, "axis", layout == NN_ONNX_FIRST ? 1 : -1);
    nn_onnx_result(e, n, y, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_matmul(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *x = nn_onnx_last(e, n), *y;
    bool bias = n->attr.matmul.bias;
    if (n->shape.rank == 1 && bias) {
        value *w = nn_onnx_weight(e, n, 0);
        y = PUT(e, "Gemm", x, w, nn_onnx_weight(e, n, 1));
    } else {
        y = nn_onnx_matmul(e, x, nn_onnx_weight(e, n, 0));
        if (bias) y = nn_onnx_binary(e, "Add", y, nn_onnx_weight(e, n, 1));
    }
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

/* ---- normalisation ---- */

nn_status nn_onnx_emit_batch_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    int64_t channels = n->shape.dim[n->shape.rank - 1];
    bool scale = n->attr.batch_norm.scale, center = n->attr.batch_norm.center;
    value *x = nn_onnx_first(e, n);
    value *gamma = scale ? nn_onnx_weight(e, n, 0) : nn_onnx_filled(e, "gamma", 1, channels);
    value *beta = center ? nn_onnx_weight(e, n, scale) : nn_onnx_filled(e, "beta", 0, channels);
    value *mean = nn_onnx_weight(e, n, scale + center);
    value *y = PUT(e, "BatchNormalization", x, gamma, beta, mean,
                   nn_onnx_weight(e, n, scale + center + 1));
    nn_onnx_float(e, "epsilon", n->attr.batch_norm.epsilon);
    nn_onnx_float(e, "momentum", n->attr.batch_norm.momentum);
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

nn_status nn_onnx_emit_layer_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    bool scale = n->attr.layer_norm.scale, center = n->attr.layer_norm.center;
    value *x = nn_onnx_last(e, n), *y;
    value *gamma = scale ? nn_onnx_weight(e, n, 0)
                         : nn_onnx_filled(e, "gamma", 1, n->shape.dim[n->shape.rank - 1]);
    y = center ? PUT(e, "LayerNormalization", x, gamma, nn_onnx_weight(e, n, scale))
               : PUT(e, "LayerNormalization", x, gamma);
    nn_onnx_int(e, "axis", -1);
    nn_onnx_float(e, "epsilon", n->attr.layer_norm.epsilon);
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

/* Weight k, one of each channel, so that it broadcasts over a channels-first value. */
static value *per_channel(nn_emit *e, const nn_node *n, int k) {
    int64_t dim[NN_MAX_RANK] = {n->shape.dim[n->shape.rank - 1]};
    for (int i = 1; i < n->shape.rank; i++) dim[i] = 1;
    return nn_onnx_weight_as(e, n, k, nn_onnx_data(e, n, k), n->shape.rank, dim);
}

/* Instance normalisation of an input whose channels are the groups. */
nn_status nn_onnx_emit_group_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    int64_t groups = n->attr.group_norm.groups;
    value *x = nn_onnx_first(e, n);
    nn_onnx_size flat[3] = {nn_onnx_size_of(x, 0), {.n = groups}, {.n = -1}}, back[NN_ONNX_RANK];
    value *y = nn_onnx_reshape(e, x, flat, 3);
    value *ones = nn_onnx_filled(e, "ones", 1, groups);
    y = PUT(e, "InstanceNormalization", y, ones, nn_onnx_filled(e, "zeros", 0, groups));
    nn_onnx_float(e, "epsilon", n->attr.group_norm.epsilon);
    for (int i = 0; i < x->rank; i++) back[i] = nn_onnx_size_of(x, i);
    back[0] = (nn_onnx_size){.n = -1, .of = y, .axis = 0};
    y = nn_onnx_reshape(e, y, back, x->rank);
    if (n->attr.group_norm.scale) y = nn_onnx_binary(e, "Mul", y, per_channel(e, n, 0));
    if (n->attr.group_norm.center)
        y = nn_onnx_binary(e, "Add", y, per_channel(e, n, n->attr.group_norm.scale));
    nn_onnx_result(e, n, y, NN_ONNX_FIRST);
    return NN_OK;
}

/* ---- shape and order ---- */

nn_status nn_onnx_emit_reshape(nn_emit *e, const nn_node *n, nn_err *err) {
    value *x = nn_onnx_last(e, n);
    nn_onnx_size to[NN_ONNX_RANK] = {
        {.n = -1, .of = x, .axis = 0}
    };
    int open = 0;
    for (int i = 0; i < n->shape.rank; i++) {
        open += n->shape.dim[i] < 0;
        to[i + 1].n = n->shape.dim[i];
    }
    if (open > 1)
        return nn_onnx_cannot(n, "more than one size of its shape is open",
                              "give the input a known size", err);
    nn_onnx_result(e, n, nn_onnx_reshape(e, x, to, n->shape.rank + 1), NN_ONNX_LAST);
    return NN_OK;
}

/* How a value in layout `in` becomes the transposed one in layout `out`; true: it is that already.
 */
static bool transposed(const nn_node *n, nn_onnx_layout in, nn_onnx_layout out, int *perm) {
    int rank = n->shape.rank;
    bool same = true;
    perm[0] = 0;
    for (int i = 0; i < rank; i++) {
        int d = nn_onnx_axis(out, rank, i);
        perm[d] = nn_onnx_axis(in, rank, n->attr.transpose.perm[i]);
        same = same && perm[d] == d;
    }
    return same;
}

nn_status nn_onnx_emit_transpose(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout in;
    value *x = nn_onnx_any(e, n->inputs[0], &in);
    int perm[NN_ONNX_RANK];
    if (n->shape.rank >= 2 && transposed(n, in, NN_ONNX_FIRST, perm))
        nn_onnx_result(e, n, x, NN_ONNX_FIRST);
    else if (transposed(n, in, NN_ONNX_LAST, perm))
        nn_onnx_result(e, n, x, NN_ONNX_LAST);
    else
        nn_onnx_result(e, n, nn_onnx_transpose(e, x, perm), NN_ONNX_LAST);
    return NN_OK;
}

nn_status nn_onnx_emit_reverse(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout;
    value *x = nn_onnx_any(e, n->inputs[0], &layout);
    int64_t axis = nn_onnx_axis(layout, n->shape.rank, n->attr.reverse.axis);
    value *starts = nn_onnx_whole(e, "starts", &(int64_t){-1}, 1);
    value *ends = nn_onnx_whole(e, "ends", &(int64_t){INT64_MIN}, 1);
    value *axes = nn_onnx_whole(e, "axes", &axis, 1);
    value *y = PUT(e, "Slice", x, starts, ends, axes, nn_onnx_whole(e, "steps", &(int64_t){-1}, 1));
    nn_onnx_result(e, n, y, layout);
    return NN_OK;
}

/* The steps of a sample become rows of their own. */
nn_status nn_onnx_emit_fold(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *x = nn_onnx_last(e, n);
    nn_onnx_size to[NN_ONNX_RANK] = {{.n = -1}};
    for (int i = 0; i < n->shape.rank; i++) to[i + 1] = nn_onnx_size_of(x, i + 2);
    value *y = nn_onnx_reshape(e, x, to, n->shape.rank + 1);
    y->dim[0] = (nn_onnx_dim){-1, nn_arena_printf(e->arena, "%s_rows", n->name)};
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

/* The FOLD that a node lies in: its input has the rows that come back. */
static int fold_of(const nn_emit *e, const nn_node *n) {
    return e->g->nodes[n->inputs[0]].folded;
}

nn_status nn_onnx_emit_unfold(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *x = nn_onnx_last(e, n);
    const nn_node *fold = &e->g->nodes[fold_of(e, n)];
    value *before = nn_onnx_as(e, fold->inputs[0], NN_ONNX_LAST);
    nn_onnx_size to[NN_ONNX_RANK] = {{.n = -1}, nn_onnx_size_of(before, 1)};
    if (n->attr.unfold.size > 0) to[1] = (nn_onnx_size){.n = n->attr.unfold.size};
    for (int i = 1; i < n->shape.rank; i++) to[i + 1] = nn_onnx_size_of(x, i);
    value *y = nn_onnx_reshape(e, x, to, n->shape.rank + 1);
    y->dim[0] = before->dim[0];
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

/* ---- several inputs ---- */

/* Channels first where an input is so already and all have the same number of axes. */
static nn_onnx_layout common_layout(const nn_emit *e, const nn_node *n) {
    nn_onnx_layout layout = NN_ONNX_LAST;
    for (int i = 0; i < n->n_inputs; i++) {
        if (e->g->nodes[n->inputs[i]].shape.rank != n->shape.rank) return NN_ONNX_LAST;
        if (e->layout[n->inputs[i]] == NN_ONNX_FIRST) layout = NN_ONNX_FIRST;
    }
    return n->shape.rank < 2 ? NN_ONNX_LAST : layout;
}

/* With as many axes as the result: sizes of 1 after the batch. */
static value *widened(nn_emit *e, value *x, int rank) {
    while (x->rank < rank) x = nn_onnx_unsqueeze(e, x, 1);
    return x;
}

static const struct {
    const char *two, *many;
} merges[NN_MERGE_COUNT] = {
    [NN_MERGE_ADD] = {"Add",  "Sum" },
      [NN_MERGE_SUBTRACT] = {"Sub",  NULL  },
    [NN_MERGE_MULTIPLY] = {"Mul",  NULL  },
      [NN_MERGE_AVERAGE] = {"Mean", "Mean"},
    [NN_MERGE_MAXIMUM] = {"Max",  "Max" },
      [NN_MERGE_MINIMUM] = {"Min",  "Min" },
};
_Static_assert(NN_MERGE_COUNT == 6, "a merge has no form in ONNX");

nn_status nn_onnx_emit_merge(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout = common_layout(e, n);
    const char *two = merges[n->attr.merge.kind].two, *many = merges[n->attr.merge.kind].many;
    value *in[NN_MAX_INPUTS], *y;
    for (int i = 0; i < n->n_inputs; i++)
        in[i] = widened(e, nn_onnx_as(e, n->inputs[i], layout), n->shape.rank + 1);
    if (n->n_inputs == 2 || !many) {
        y = nn_onnx_binary(e, two, in[0], in[1]);
        for (int i = 2; i < n->n_inputs; i++) y = nn_onnx_binary(e, two, y, in[i]);
    } else {
        y = nn_onnx_put(e, many, n->n_inputs, in);
        for (int i = 1; i <= n->shape.rank; i++) y->dim[i] = (nn_onnx_dim){-1, NULL};
    }
    nn_onnx_result(e, n, y, layout);
    return NN_OK;
}

nn_status nn_onnx_emit_concat(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_onnx_layout layout = common_layout(e, n);
    value *in[NN_MAX_INPUTS];
    for (int i = 0; i < n->n_inputs; i++) in[i] = nn_onnx_as(e, n->inputs[i], layout);
    int axis = nn_onnx_axis(layout, n->shape.rank, n->attr.concat.axis);
    nn_onnx_result(e, n, nn_onnx_concat(e, n->n_inputs, in, axis), layout);
    return NN_OK;
}

/* To length 1 along its axis; a shorter one than 1e-7 counts as that. */
static value *normalised(nn_emit *e, value *x, int axis) {
    value *length = nn_onnx_reduce(e, "ReduceL2", x, &(int64_t){axis}, 1, true);
    length = nn_onnx_binary(e, "Max", length, nn_onnx_scalar(e, "least", 1e-7));
    return nn_onnx_binary(e, "Div", x, length);
}

/* "zab,zcb->zac" for axis 1 of both. */
static const char *dot_equation(nn_emit *e, const nn_node *n, value *const *in) {
    NN_BUF left = {0}, right = {0};
    char letter = 'a';
    nn_buf_putc(&right, 'z');
    for (int i = 0; i < 2; i++) {
        nn_buf_puts(&left, i ? ",z" : "z");
        for (int a = 1; a < in[i]->rank; a++) {
            bool summed = a == n->attr.dot.axes[i] + 1;
            nn_buf_putc(&left, summed ? 's' : letter);
            if (!summed) nn_buf_putc(&right, letter++);
        }
    }
    return nn_arena_printf(e->arena, "%s->%s", nn_buf_str(&left), nn_buf_str(&right));
}

static value *dotted(nn_emit *e, const nn_node *n, value **in) {
    value *y = PUT(e, "Einsum", in[0], in[1]);
    nn_onnx_string(e, "equation", dot_equation(e, n, in));
    y->rank = 1;
    for (int i = 0; i < 2; i++)
        for (int a = 1; a < in[i]->rank; a++)
            if (a != n->attr.dot.axes[i] + 1) y->dim[y->rank++] = in[i]->dim[a];
    return y;
}

nn_status nn_onnx_emit_dot(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    value *in[2];
    for (int i = 0; i < 2; i++) {
        in[i] = nn_onnx_as(e, n->inputs[i], NN_ONNX_LAST);
        if (n->attr.dot.normalize) in[i] = normalised(e, in[i], n->attr.dot.axes[i] + 1);
    }
    value *y = dotted(e, n, in);
    if (y->rank == 1) y = nn_onnx_unsqueeze(e, y, 1);
    nn_onnx_result(e, n, y, NN_ONNX_LAST);
    return NN_OK;
}

NN_EMIT_TABLE(emitters) = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = nn_onnx_emit_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_onnx_emit(nn_emit *e, const nn_node *n, nn_err *err) {
    e->node = n;
    e->count = 0;
    return emitters[n->op](e, n, err);
}
