/* SPDX-License-Identifier: MIT */
/* pytorch_ops.c - the ops that compute: products, convolutions, pools, normalisations, functions of
 * each element. Layouts: pytorch_lines.c. */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- windows ---- */

bool nn_torch_unit(const int64_t *v, int n) {
    for (int i = 0; i < n; i++)
        if (v[i] != 1) return false;
    return true;
}

nn_pad_way nn_torch_pad_way(const nn_window *w, const int64_t *in, bool half) {
    bool any = false, equal = true, known = true;
    for (int i = 0; i < w->spatial; i++) {
        any |= w->pad_before[i] || w->pad_after[i];
        equal &=
            w->pad_before[i] == w->pad_after[i] && (!half || 2 * w->pad_before[i] <= w->size[i]);
        known &= in[i] >= 0 || w->stride[i] == 1;
    }
    if (w->same && !known) return NN_PAD_RUN_TIME;
    if (!any) return NN_PAD_NONE;
    if (w->same && !half && nn_torch_unit(w->stride, w->spatial)) return NN_PAD_SAME;
    return equal ? NN_PAD_EQUAL : NN_PAD_BEFORE;
}

static const int64_t *sizes_in(const nn_emit *e, const nn_node *n) {
    return nn_torch_node(e, n->inputs[0])->shape.dim;
}

/* x with padding around it; `value` is the further argument of F.pad, or "". */
const char *nn_torch_padded(nn_emit *e, const nn_window *w, nn_pad_way way, const char *x,
                            const char *value) {
    if (way != NN_PAD_BEFORE && way != NN_PAD_RUN_TIME) return x;
    NN_BUF b = {0};
    if (way == NN_PAD_BEFORE) {
        nn_buf_printf(&b, "F.pad(%s, (", x); /* from the last axis to the first */
        for (int i = w->spatial; i-- > 0;)
            nn_buf_printf(&b, "%" PRId64 ", %" PRId64 "%s", w->pad_before[i], w->pad_after[i],
                          i ? ", " : "");
        nn_buf_printf(&b, ")%s)", value);
    } else {
        nn_torch_need(e, NN_PART_SAME_PAD);
        nn_buf_printf(&b, "same_pad(%s, (", x);
        for (int i = 0; i < w->spatial; i++)
            nn_buf_printf(&b, "(%" PRId64 ", %" PRId64 ")%s", (w->size[i] - 1) * w->dilation[i] + 1,
                          w->stride[i],
                          i + 1 < w->spatial ? ", "
                          : w->spatial == 1  ? ","
                                             : "");
        nn_buf_printf(&b, ")%s)", value);
    }
    if (w->same) e->remark = "'same' as in TensorFlow: the odd one is added after";
    return nn_torch_keep(e, &b);
}

void nn_torch_sizes(nn_buf *b, const char *key, const int64_t *v, int n) {
    nn_buf_printf(b, ", %s=", key);
    nn_py_sizes(b, v, n);
}

void nn_torch_window(nn_buf *b, const nn_window *w, nn_pad_way way) {
    if (!nn_torch_unit(w->stride, w->spatial)) nn_torch_sizes(b, "stride", w->stride, w->spatial);
    if (way == NN_PAD_SAME) nn_buf_puts(b, ", padding='same'");
    if (way == NN_PAD_EQUAL) nn_torch_sizes(b, "padding", w->pad_before, w->spatial);
    if (!nn_torch_unit(w->dilation, w->spatial))
        nn_torch_sizes(b, "dilation", w->dilation, w->spatial);
}

nn_status nn_torch_emit_input(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    e->layout[n->id] = NN_CHANNELS_LAST;
    nn_torch_variable(e, n->id);
    return NN_OK;
}

nn_status nn_torch_emit_matmul(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    NN_BUF a = {0};
    const char *x = nn_torch_last(e, n);
    nn_buf_printf(&a, "in_features=%" PRId64 ", out_features=%" PRId64 "%s",
                  nn_torch_channels(e, n), n->attr.matmul.units,
                  n->attr.matmul.bias ? "" : ", bias=False");
    nn_torch_declare(e, n, "nn.Linear", &a);
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_call(e, n, x));
    return NN_OK;
}

nn_status nn_torch_emit_conv(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const types[] = {"nn.Conv1d", "nn.Conv2d", "nn.Conv3d"};
    const nn_window *w = &n->attr.conv.window;
    nn_pad_way way = nn_torch_pad_way(w, sizes_in(e, n), false);
    const char *x = nn_torch_padded(e, w, way, nn_torch_first(e, n), "");
    NN_BUF a = {0};
    nn_buf_printf(&a, "in_channels=%" PRId64 ", out_channels=%" PRId64, nn_torch_channels(e, n),
                  n->attr.conv.filters);
    nn_torch_sizes(&a, "kernel_size", w->size, w->spatial);
    nn_torch_window(&a, w, way);
    if (n->attr.conv.groups != 1) nn_buf_printf(&a, ", groups=%" PRId64, n->attr.conv.groups);
    if (!n->attr.conv.bias) nn_buf_puts(&a, ", bias=False");
    nn_torch_declare(e, n, types[w->spatial - 1], &a);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
    return NN_OK;
}

/* How many places are missing at the end of axis i when `before` is cut off on both sides, as
 * PyTorch does; negative: too many. See graph/infer_window.c for the sizes. */
static int64_t missing(const nn_node *n, int i) {
    const nn_window *w = &n->attr.conv_transpose.window;
    int64_t ke = (w->size[i] - 1) * w->dilation[i] + 1, pads = w->pad_before[i] + w->pad_after[i];
    bool given = n->attr.conv_transpose.output_padding_given, any = false;
    for (int k = 0; k < w->spatial; k++) any |= w->pad_before[k] || w->pad_after[k];
    if (given) return 2 * w->pad_before[i] + n->attr.conv_transpose.output_padding[i] - pads;
    if (w->same) return 2 * w->pad_before[i] + w->stride[i] - ke;
    if (any) return 2 * w->pad_before[i] - pads;
    return ke < w->stride[i] ? w->stride[i] - ke : 0;
}

/* "[:, :, :-1]": what the transposed convolution gives too much. */
static const char *cut(nn_emit *e, const nn_node *n, const int64_t *more, const char *y) {
    int spatial = n->attr.conv_transpose.window.spatial;
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s[:, :", y);
    for (int i = 0; i < spatial; i++) {
        nn_buf_puts(&b, ", :");
        if (more[i] < 0) nn_buf_printf(&b, "%" PRId64, more[i]);
    }
    nn_buf_putc(&b, ']');
    e->remark = "'same' as in TensorFlow: the odd one is cut off at the end";
    return nn_torch_keep(e, &b);
}

nn_status nn_torch_emit_conv_transpose(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"nn.ConvTranspose1d", "nn.ConvTranspose2d",
                                        "nn.ConvTranspose3d"};
    const nn_window *w = &n->attr.conv_transpose.window;
    int64_t more[NN_MAX_SPATIAL], added[NN_MAX_SPATIAL];
    bool adds = false, cuts = false, pads = false;
    for (int i = 0; i < w->spatial; i++) {
        more[i] = missing(n, i);
        added[i] = more[i] > 0 ? more[i] : 0;
        adds |= more[i] > 0, cuts |= more[i]<0, pads |= w->pad_before[i]> 0;
        if (more[i] >= w->stride[i] && more[i] >= w->dilation[i] && more[i] > 0)
            return nn_torch_unsupported(n, "it pads the end by a stride or more", err);
    }
    const char *x = nn_torch_first(e, n);
    NN_BUF a = {0};
    nn_buf_printf(&a, "in_channels=%" PRId64 ", out_channels=%" PRId64, nn_torch_channels(e, n),
                  n->attr.conv_transpose.filters);
    nn_torch_sizes(&a, "kernel_size", w->size, w->spatial);
    nn_torch_window(&a, w, pads ? NN_PAD_EQUAL : NN_PAD_NONE);
    if (adds) nn_torch_sizes(&a, "output_padding", added, w->spatial);
    if (n->attr.conv_transpose.groups != 1)
        nn_buf_printf(&a, ", groups=%" PRId64, n->attr.conv_transpose.groups);
    if (!n->attr.conv_transpose.bias) nn_buf_puts(&a, ", bias=False");
    nn_torch_declare(e, n, types[w->spatial - 1], &a);
    const char *y = nn_torch_call(e, n, x);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, cuts ? cut(e, n, more, y) : y);
    return NN_OK;
}

static void declare_pool(nn_emit *e, const nn_node *n, const char *const types[3], nn_pad_way way,
                         bool average) {
    const nn_window *w = &n->attr.pool;
    NN_BUF a = {0};
    nn_buf_puts(&a, "kernel_size=");
    nn_py_sizes(&a, w->size, w->spatial);
    if (memcmp(w->stride, w->size, (size_t)w->spatial * sizeof w->size[0]) != 0)
        nn_torch_sizes(&a, "stride", w->stride, w->spatial);
    if (way == NN_PAD_EQUAL) nn_torch_sizes(&a, "padding", w->pad_before, w->spatial);
    if (!average && !nn_torch_unit(w->dilation, w->spatial))
        nn_torch_sizes(&a, "dilation", w->dilation, w->spatial);
    if (average && way == NN_PAD_EQUAL) nn_buf_puts(&a, ", count_include_pad=False");
    nn_torch_declare(e, n, types[w->spatial - 1], &a);
}

nn_status nn_torch_emit_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const types[] = {"nn.MaxPool1d", "nn.MaxPool2d", "nn.MaxPool3d"};
    nn_pad_way way = nn_torch_pad_way(&n->attr.pool, sizes_in(e, n), true);
    const char *x =
        nn_torch_padded(e, &n->attr.pool, way, nn_torch_first(e, n), ", value=float('-inf')");
    declare_pool(e, n, types, way, false);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
    return NN_OK;
}

/* Padding is not counted: where PyTorch cannot be told so, the mean of the padded input is divided
 * by that of padded ones. */
nn_status nn_torch_emit_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"nn.AvgPool1d", "nn.AvgPool2d", "nn.AvgPool3d"};
    const nn_window *w = &n->attr.pool;
    if (!nn_torch_unit(w->dilation, w->spatial))
        return nn_torch_unsupported(n, "its average pools have no dilation", err);
    nn_pad_way way = nn_torch_pad_way(w, sizes_in(e, n), true);
    const char *x = nn_torch_first(e, n), *in = nn_torch_padded(e, w, way, x, "");
    declare_pool(e, n, types, way, true);
    const char *expression = nn_torch_call(e, n, in);
    if (in != x) {
        const char *ones = nn_torch_print(e, "torch.ones_like(%s[:1, :1])", x);
        expression = nn_torch_print(e, "%s / %s", expression,
                                    nn_torch_call(e, n, nn_torch_padded(e, w, way, ones, "")));
        e->remark = "padding is not counted";
    }
    nn_torch_result(e, n, NN_CHANNELS_FIRST, expression);
    return NN_OK;
}

/* "x.mean(dim=(2, 3))", in the layout that x has. */
static void reduce(nn_emit *e, const nn_node *n, const char *method) {
    int from = n->inputs[0], rank = nn_torch_node(e, from)->shape.rank;
    const char *x = nn_torch_plain(e, n);
    nn_layout layout = nn_torch_layout(e, from);
    bool keep = n->attr.global_pool.keepdims;
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s.%s(dim=%s", x, method, rank == 2 ? "" : "(");
    for (int i = 0; i < rank - 1; i++)
        nn_buf_printf(&b, "%s%d", i ? ", " : "", nn_torch_dim(layout, rank, i));
    nn_buf_printf(&b, "%s%s)", rank == 2 ? "" : ")", keep ? ", keepdim=True" : "");
    nn_torch_result(e, n, keep ? layout : NN_CHANNELS_LAST, nn_torch_keep(e, &b));
}

nn_status nn_torch_emit_global_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    if (n->n_inputs == 1) {
        reduce(e, n, "mean");
        return NN_OK;
    }
    const char *x = nn_torch_last(e, n), *tokens = nn_torch_variable(e, n->inputs[1]);
    nn_torch_need(e, NN_PART_MASKED_MEAN);
    nn_torch_result(e, n, NN_CHANNELS_LAST,
                    nn_torch_print(e, "masked_mean(%s, %s)%s", x, tokens,
                                   n->attr.global_pool.keepdims ? ".unsqueeze(1)" : ""));
    return NN_OK;
}

nn_status nn_torch_emit_global_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    reduce(e, n, "amax");
    return NN_OK;
}

static nn_status adaptive(nn_emit *e, const nn_node *n, const char *const types[3]) {
    const char *x = nn_torch_first(e, n);
    int spatial = n->attr.adaptive_pool.spatial;
    NN_BUF a = {0};
    nn_py_sizes(&a, n->attr.adaptive_pool.size, spatial);
    nn_torch_declare(e, n, types[spatial - 1], &a);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
    return NN_OK;
}

nn_status nn_torch_emit_adaptive_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"nn.AdaptiveMaxPool1d", "nn.AdaptiveMaxPool2d",
                                        "nn.AdaptiveMaxPool3d"};
    (void)err;
    return adaptive(e, n, types);
}

nn_status nn_torch_emit_adaptive_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"nn.AdaptiveAvgPool1d", "nn.AdaptiveAvgPool2d",
                                        "nn.AdaptiveAvgPool3d"};
    (void)err;
    return adaptive(e, n, types);
}

/* 1 - v as a person would write it: 0.01 for 0.99, not 0.010000000000000009. */
static double complement(double v) {
    char text[40];
    snprintf(text, sizeof text, "%.12g", 1 - v);
    return strtod(text, NULL);
}

/* nn.BatchNorm1d to 3d by the axes; more of them are one to it. */
nn_status nn_torch_emit_batch_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"nn.BatchNorm1d", "nn.BatchNorm1d", "nn.BatchNorm2d",
                                        "nn.BatchNorm3d"};
    (void)err;
    bool flat = n->shape.rank > 4;
    const char *x = nn_torch_first(e, n);
    NN_BUF a = {0};
    nn_buf_printf(&a, "%" PRId64 ", eps=", nn_torch_channels(e, n));
    nn_py_float(&a, n->attr.batch_norm.epsilon);
    nn_buf_puts(&a, ", momentum="); /* PyTorch's is the share of the new, Keras's of the old */
    nn_py_float(&a, complement(n->attr.batch_norm.momentum));
    if (!n->attr.batch_norm.center && !n->attr.batch_norm.scale) nn_buf_puts(&a, ", affine=False");
    nn_torch_declare(e, n, types[flat ? 0 : n->shape.rank - 1], &a);
    e->batch_norm = true;
    const char *y = flat ? nn_torch_print(e, "self.%s(%s.flatten(2)).reshape(%s.shape)",
                                          e->attribute[n->id], x, x)
                         : nn_torch_call(e, n, x);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, y);
    return NN_OK;
}

/* A normalisation of each sample by itself; `size`: its first arguments. */
static void declare_norm(nn_emit *e, const nn_node *n, const char *type, const char *size,
                         double epsilon, const char *plain) {
    NN_BUF a = {0};
    nn_buf_printf(&a, "%s, eps=", size);
    nn_py_float(&a, epsilon);
    if (n->n_weights == 0) nn_buf_puts(&a, plain);
    nn_torch_declare(e, n, type, &a);
}

nn_status nn_torch_emit_layer_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_last(e, n);
    declare_norm(e, n, "nn.LayerNorm", nn_torch_print(e, "%" PRId64, nn_torch_channels(e, n)),
                 n->attr.layer_norm.epsilon, ", elementwise_affine=False");
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_call(e, n, x));
    return NN_OK;
}

nn_status nn_torch_emit_group_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_first(e, n);
    const char *size = nn_torch_print(e, "%" PRId64 ", %" PRId64, n->attr.group_norm.groups,
                                      nn_torch_channels(e, n));
    declare_norm(e, n, "nn.GroupNorm", size, n->attr.group_norm.epsilon, ", affine=False");
    nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
    return NN_OK;
}

/* How each activation is spelled: %s is its input; a second part takes alpha. */
static const struct {
    const char *before, *alpha, *after;
} spellings[NN_ACT_COUNT] = {
    [NN_ACT_LINEAR] = {"",               NULL,                "" },
    [NN_ACT_RELU] = {"F.relu(",        NULL,                ")"},
    [NN_ACT_RELU6] = {"F.relu6(",       NULL,                ")"},
    [NN_ACT_LEAKY_RELU] = {"F.leaky_relu(",  ", negative_slope=", ")"},
    [NN_ACT_ELU] = {"F.elu(",         ", alpha=",          ")"},
    [NN_ACT_SELU] = {"F.selu(",        NULL,                ")"},
    [NN_ACT_CELU] = {"F.celu(",        ", alpha=",          ")"},
    [NN_ACT_GELU] = {"F.gelu(",        NULL,                ")"},
    [NN_ACT_SILU] = {"F.silu(",        NULL,                ")"},
    [NN_ACT_MISH] = {"F.mish(",        NULL,                ")"},
    [NN_ACT_SIGMOID] = {"torch.sigmoid(", NULL,                ")"},
    [NN_ACT_HARD_SIGMOID] = {"F.hardsigmoid(", NULL,                ")"},
    [NN_ACT_LOG_SIGMOID] = {"F.logsigmoid(",  NULL,                ")"},
    [NN_ACT_TANH] = {"torch.tanh(",    NULL,                ")"},
    [NN_ACT_HARD_TANH] = {"F.hardtanh(",    NULL,                ")"},
    [NN_ACT_SOFTPLUS] = {"F.softplus(",    NULL,                ")"},
    [NN_ACT_SOFTSIGN] = {"F.softsign(",    NULL,                ")"},
    [NN_ACT_EXPONENTIAL] = {"torch.exp(",     NULL,                ")"},
    [NN_ACT_HARD_SWISH] = {"F.hardswish(",   NULL,                ")"},
};
/* A new row of activations.def makes this count wrong, and a spelling has to be written. */
_Static_assert(NN_ACT_COUNT == 19, "an activation has no spelling in PyTorch");

nn_status nn_torch_emit_activation(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_act kind = n->attr.activation.kind;
    const char *x = nn_torch_whatever(e, n);
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s%s", spellings[kind].before, x);
    if (spellings[kind].alpha) {
        nn_buf_puts(&b, spellings[kind].alpha);
        nn_py_float(&b, n->attr.activation.alpha);
    }
    nn_buf_puts(&b, spellings[kind].after);
    nn_torch_result(e, n, nn_torch_layout(e, n->inputs[0]), nn_torch_keep(e, &b));
    return NN_OK;
}

const char *nn_torch_function(nn_emit *e, nn_act kind) {
    const char *before = spellings[kind].before;
    NN_BUF b = {0};
    if (kind == NN_ACT_LINEAR) return "nn.Identity()";
    if (!spellings[kind].alpha) return nn_torch_print(e, "%.*s", (int)strlen(before) - 1, before);
    nn_buf_printf(&b, "lambda x: %sx%s", before, spellings[kind].alpha);
    nn_py_float(&b, nn_act_default_alpha(kind));
    nn_buf_puts(&b, spellings[kind].after);
    return nn_torch_keep(e, &b);
}

/* nn.PReLU has one slope a channel; others are a parameter that lies as the graph has it. */
nn_status nn_torch_emit_prelu(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    unsigned all_but_last = (1U << (n->shape.rank - 1)) - 1;
    NN_BUF a = {0};
    if (n->attr.prelu.shared == all_but_last) {
        const char *x = nn_torch_first(e, n);
        nn_buf_printf(&a, "%" PRId64, nn_torch_channels(e, n));
        nn_torch_declare(e, n, "nn.PReLU", &a);
        nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
        return NN_OK;
    }
    const char *x = nn_torch_last(e, n);
    nn_buf_puts(&a, "torch.empty");
    nn_py_shape(&a, &e->g->weights[n->weights[0]].shape);
    const char *alpha = nn_torch_declare(e, n, "nn.Parameter", &a);
    nn_torch_result(e, n, NN_CHANNELS_LAST,
                    nn_torch_print(e, "torch.where(%s > 0, %s, self.%s * %s)", x, x, alpha, x));
    return NN_OK;
}

nn_status nn_torch_emit_clip(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_whatever(e, n);
    NN_BUF b = {0};
    nn_buf_printf(&b, "torch.clamp(%s", x);
    if (isfinite(n->attr.clip.low) || !isfinite(n->attr.clip.high)) {
        nn_buf_puts(&b, ", min=");
        if (isfinite(n->attr.clip.low))
            nn_py_float(&b, n->attr.clip.low);
        else
            nn_buf_puts(&b, "float('-inf')");
    }
    if (isfinite(n->attr.clip.high)) {
        nn_buf_puts(&b, ", max=");
        nn_py_float(&b, n->attr.clip.high);
    }
    nn_buf_putc(&b, ')');
    nn_torch_result(e, n, nn_torch_layout(e, n->inputs[0]), nn_torch_keep(e, &b));
    return NN_OK;
}

nn_status nn_torch_emit_softmax(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_whatever(e, n);
    nn_layout layout = nn_torch_layout(e, n->inputs[0]);
    nn_torch_result(e, n, layout,
                    nn_torch_print(e, "torch.%s(%s, dim=%d)",
                                   n->attr.softmax.log ? "log_softmax" : "softmax", x,
                                   layout == NN_CHANNELS_FIRST ? 1 : -1));
    return NN_OK;
}

/* One draw for all elements along an axis of noise_shape that is 1: dropout of ones, then a
 * product. */
static const char *shared_dropout(nn_emit *e, const nn_node *n, const char *x, nn_layout layout) {
    const nn_shape *noise = &n->attr.dropout.noise_shape;
    bool one[NN_MAX_RANK];
    for (int i = 0; i < noise->rank; i++)
        one[nn_torch_dim(layout, noise->rank, i) - 1] = noise->dim[i] == 1;
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s * self.%s(torch.ones_like(%s[:", x, e->attribute[n->id], x);
    for (int i = 0; i < noise->rank; i++) nn_buf_puts(&b, one[i] ? ", :1" : ", :");
    nn_buf_puts(&b, "]))");
    return nn_torch_keep(e, &b);
}

nn_status nn_torch_emit_dropout(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_torch_flush(e);
    const char *x = nn_torch_variable(e, n->inputs[0]);
    nn_layout layout = nn_torch_layout(e, n->inputs[0]);
    NN_BUF a = {0};
    nn_py_float(&a, n->attr.dropout.rate);
    nn_torch_declare(e, n, "nn.Dropout", &a);
    nn_torch_result(e, n, layout,
                    n->attr.dropout.noise_shape.rank ? shared_dropout(e, n, x, layout)
                                                     : nn_torch_call(e, n, x));
    return NN_OK;
}

/* Modules that do something only while training, on the input as it lies. */
static nn_status in_training(nn_emit *e, const nn_node *n, const char *type, const nn_buf *args) {
    const char *x = nn_torch_plain(e, n);
    nn_torch_declare(e, n, type, args);
    nn_torch_result(e, n, nn_torch_layout(e, n->inputs[0]), nn_torch_call(e, n, x));
    return NN_OK;
}

nn_status nn_torch_emit_noise(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {
        [NN_NOISE_GAUSSIAN] = "GaussianNoise",
        [NN_NOISE_GAUSSIAN_DROPOUT] = "GaussianDropout",
        [NN_NOISE_ALPHA_DROPOUT] = "nn.AlphaDropout",
    };
    (void)err;
    NN_BUF a = {0};
    nn_py_float(&a, n->attr.noise.value);
    if (n->attr.noise.kind == NN_NOISE_GAUSSIAN) nn_torch_need(e, NN_PART_NOISE);
    if (n->attr.noise.kind == NN_NOISE_GAUSSIAN_DROPOUT) nn_torch_need(e, NN_PART_GAUSSIAN_DROPOUT);
    return in_training(e, n, types[n->attr.noise.kind], &a);
}

nn_status nn_torch_emit_activity_reg(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    NN_BUF a = {0};
    nn_buf_puts(&a, "l1=");
    nn_py_float(&a, n->attr.activity_reg.l1);
    nn_buf_puts(&a, ", l2=");
    nn_py_float(&a, n->attr.activity_reg.l2);
    nn_torch_need(e, NN_PART_ACTIVITY);
    return in_training(e, n, "ActivityPenalty", &a);
}

/* ---- the table ---- */

NN_EMIT_TABLE(emitters) = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = nn_torch_emit_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_torch_emit(nn_emit *e, const nn_node *n, nn_err *err) {
    return emitters[n->op](e, n, err);
}
