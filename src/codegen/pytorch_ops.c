/* SPDX-License-Identifier: MIT */
/* pytorch_ops.c - forward(), op by op: one emit_<op> for every row of ops.def.
 *
 * The graph is channels-last, PyTorch's convolutions, pools and normalisations want the channels
 * first. Each tensor keeps the layout in which it came out, and is permuted only where the next op
 * cannot work on that: once at the entry, and back before a Flatten, so that our weights fit. An op
 * does not write a line but an expression (e->pending); the activation that follows within the same
 * layer is wrapped around it, as a person would write it: x = F.relu(self.conv2d_1(x)). */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100, MAX_NORM_RANK = 4 };

/* ---- layouts ---- */

static const nn_node *node_at(const nn_emit *e, int id) {
    return &e->g->nodes[id];
}

/* The dimension of the torch tensor that holds axis `axis` (batch not counted) of a node's output.
 */
static int torch_dim(nn_layout layout, int rank, int axis) {
    if (layout == NN_CHANNELS_LAST) return axis + 1;
    return axis == rank - 1 ? 1 : axis + 2;
}

static nn_layout layout_of(const nn_emit *e, int id) {
    return node_at(e, id)->shape.rank < 2 ? NN_CHANNELS_LAST : e->layout[id];
}

/* The shape of the torch tensor, for a comment: "(batch, 32, 26, 26)". */
static void put_torch_shape(const nn_emit *e, int id, nn_buf *out) {
    const nn_shape *s = &node_at(e, id)->shape;
    nn_shape t = *s;
    char text[256];
    for (int i = 0; i < s->rank; i++)
        t.dim[torch_dim(layout_of(e, id), s->rank, i) - 1] = s->dim[i];
    nn_buf_puts(out, nn_shape_print(&t, true, text, sizeof text));
}

/* "permute(0, 3, 1, 2)" from one layout of `rank` axes to the other. */
static const char *permute_call(const nn_emit *e, int rank, nn_layout to) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "permute(0");
    for (int d = 1; d <= rank; d++) {
        int from = to == NN_CHANNELS_FIRST ? (d == 1 ? rank : d - 1) : (d == rank ? 1 : d + 1);
        nn_buf_printf(&b, ", %d", from);
    }
    nn_buf_putc(&b, ')');
    return nn_arena_strdup(e->arena, nn_buf_str(&b));
}

/* ---- forward(), line by line ---- */

static void put_line(nn_emit *e, const char *variable, const char *expression, int id,
                     const char *remark) {
    nn_buf *out = &e->forward;
    nn_buf_printf(out, "        %s = %s  # ", variable, expression);
    put_torch_shape(e, id, out);
    if (remark) nn_buf_printf(out, ", %s", remark);
    nn_buf_putc(out, '\n');
}

static void flush(nn_emit *e) {
    if (e->pending < 0) return;
    put_line(e, e->variable[e->pending], e->expression, e->pending, e->remark);
    e->pending = -1;
    e->remark = NULL;
}

/* The node's output in the layout that is wanted, as an expression. */
static const char *input_as(nn_emit *e, int id, nn_layout want, const char *why) {
    flush(e);
    const char *v = e->variable[id];
    int rank = node_at(e, id)->shape.rank;
    if (layout_of(e, id) == want || rank < 2) return v;
    const char *turned = nn_arena_printf(e->arena, "%s.%s", v, permute_call(e, rank, want));
    if (!e->chain) return turned; /* others may want it as it is */
    e->layout[id] = want;
    put_line(e, v, turned, id, why);
    return v;
}

static const char *first(nn_emit *e, const nn_node *n) {
    return input_as(e, n->inputs[0], NN_CHANNELS_FIRST, "channels first");
}

static const char *last(nn_emit *e, const nn_node *n) {
    return input_as(e, n->inputs[0], NN_CHANNELS_LAST, "channels last, as the weights expect");
}

/* For functions of each element: the expression of the op before, where that is of the same layer.
 */
static const char *whatever(nn_emit *e, const nn_node *n) {
    int from = n->inputs[0];
    const nn_node *before = node_at(e, from);
    if (e->pending == from && e->users[from] == 1 && before->layer_index == n->layer_index) {
        e->pending = -1;
        return e->expression;
    }
    flush(e);
    return e->variable[from];
}

static void result(nn_emit *e, const nn_node *n, nn_layout layout, const char *expression) {
    e->layout[n->id] = layout;
    e->pending = n->id;
    e->expression = expression;
}

/* Declares a module in __init__: its arguments on a line of their own where they do not fit. */
static void declare(nn_emit *e, const nn_node *n, const char *type, const nn_buf *arguments) {
    const char *name = e->attribute[n->id] = nn_py_name(&e->attributes, n->name);
    size_t length = strlen(name) + strlen(type) + arguments->n + 18;
    if (length <= WIDTH)
        nn_buf_printf(&e->init, "        self.%s = nn.%s(%s)\n", name, type, nn_buf_str(arguments));
    else
        nn_buf_printf(&e->init, "        self.%s = nn.%s(\n            %s\n        )\n", name, type,
                      nn_buf_str(arguments));
}

static const char *call(nn_emit *e, const nn_node *n, const char *input) {
    return nn_arena_printf(e->arena, "self.%s(%s)", e->attribute[n->id], input);
}

static int64_t channels_of(const nn_emit *e, const nn_node *n) {
    const nn_shape *s = &node_at(e, n->inputs[0])->shape;
    return s->dim[s->rank - 1];
}

static nn_status unsupported(const nn_node *n, const char *what, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED, "%s '%s' cannot be written in PyTorch: %s",
                          n->layer, n->name, what);
    if (err) err->line = n->span.line, err->col = n->span.col;
    return s;
}

/* ---- windows ---- */

typedef enum pad_way {
    PAD_NONE,
    PAD_SAME,    /* padding='same' of a convolution */
    PAD_EQUAL,   /* the same before and after: an argument of the module */
    PAD_BEFORE,  /* F.pad in front of the module */
    PAD_RUN_TIME /* "same" of a size that is known only then: same_pad() in front of it */
} pad_way;

static bool unit(const int64_t *v, int n) {
    for (int i = 0; i < n; i++)
        if (v[i] != 1) return false;
    return true;
}

/* `half`: pools take an argument of at most half their size. */
static pad_way way_of(const nn_emit *e, const nn_node *n, const nn_window *w, bool half) {
    bool any = false, equal = true, known = true;
    for (int i = 0; i < w->spatial; i++) {
        any |= w->pad_before[i] || w->pad_after[i];
        equal &=
            w->pad_before[i] == w->pad_after[i] && (!half || 2 * w->pad_before[i] <= w->size[i]);
        known &= node_at(e, n->inputs[0])->shape.dim[i] >= 0 || w->stride[i] == 1;
    }
    if (w->same && !known) return PAD_RUN_TIME;
    if (!any) return PAD_NONE;
    if (w->same && !half && unit(w->stride, w->spatial)) return PAD_SAME;
    return equal ? PAD_EQUAL : PAD_BEFORE;
}

/* x with padding around it; `value` is the further argument of F.pad, or "". */
static const char *padded(nn_emit *e, const nn_window *w, pad_way way, const char *x,
                          const char *value) {
    if (way != PAD_BEFORE && way != PAD_RUN_TIME) return x;
    NN_BUF b = {0};
    if (way == PAD_BEFORE) {
        nn_buf_printf(&b, "F.pad(%s, (", x); /* from the last axis to the first */
        for (int i = w->spatial; i-- > 0;)
            nn_buf_printf(&b, "%" PRId64 ", %" PRId64 "%s", w->pad_before[i], w->pad_after[i],
                          i ? ", " : "");
        nn_buf_printf(&b, ")%s)", value);
    } else {
        e->same_pad = true;
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
    return nn_arena_strdup(e->arena, nn_buf_str(&b));
}

static void put_sizes(nn_buf *b, const char *key, const int64_t *v, int n) {
    nn_buf_printf(b, ", %s=", key);
    nn_py_sizes(b, v, n);
}

static nn_status emit_input(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    e->layout[n->id] = NN_CHANNELS_LAST;
    return NN_OK;
}

static nn_status emit_matmul(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    NN_BUF a = {0};
    const char *x = last(e, n);
    nn_buf_printf(&a, "in_features=%" PRId64 ", out_features=%" PRId64 "%s", channels_of(e, n),
                  n->attr.matmul.units, n->attr.matmul.bias ? "" : ", bias=False");
    declare(e, n, "Linear", &a);
    result(e, n, NN_CHANNELS_LAST, call(e, n, x));
    return NN_OK;
}

static nn_status emit_conv(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const types[] = {"Conv1d", "Conv2d", "Conv3d"};
    const nn_window *w = &n->attr.conv.window;
    pad_way way = way_of(e, n, w, false);
    const char *x = padded(e, w, way, first(e, n), "");
    NN_BUF a = {0};
    nn_buf_printf(&a, "in_channels=%" PRId64 ", out_channels=%" PRId64, channels_of(e, n),
                  n->attr.conv.filters);
    put_sizes(&a, "kernel_size", w->size, w->spatial);
    if (!unit(w->stride, w->spatial)) put_sizes(&a, "stride", w->stride, w->spatial);
    if (way == PAD_SAME) nn_buf_puts(&a, ", padding='same'");
    if (way == PAD_EQUAL) put_sizes(&a, "padding", w->pad_before, w->spatial);
    if (!unit(w->dilation, w->spatial)) put_sizes(&a, "dilation", w->dilation, w->spatial);
    if (n->attr.conv.groups != 1) nn_buf_printf(&a, ", groups=%" PRId64, n->attr.conv.groups);
    if (!n->attr.conv.bias) nn_buf_puts(&a, ", bias=False");
    declare(e, n, types[w->spatial - 1], &a);
    result(e, n, NN_CHANNELS_FIRST, call(e, n, x));
    return NN_OK;
}

static void declare_pool(nn_emit *e, const nn_node *n, const char *const types[3], pad_way way,
                         bool average) {
    const nn_window *w = &n->attr.pool;
    NN_BUF a = {0};
    nn_buf_puts(&a, "kernel_size=");
    nn_py_sizes(&a, w->size, w->spatial);
    if (memcmp(w->stride, w->size, (size_t)w->spatial * sizeof w->size[0]) != 0)
        put_sizes(&a, "stride", w->stride, w->spatial);
    if (way == PAD_EQUAL) put_sizes(&a, "padding", w->pad_before, w->spatial);
    if (!average && !unit(w->dilation, w->spatial))
        put_sizes(&a, "dilation", w->dilation, w->spatial);
    if (average && way == PAD_EQUAL) nn_buf_puts(&a, ", count_include_pad=False");
    declare(e, n, types[w->spatial - 1], &a);
}

static nn_status emit_max_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const types[] = {"MaxPool1d", "MaxPool2d", "MaxPool3d"};
    pad_way way = way_of(e, n, &n->attr.pool, true);
    const char *x = padded(e, &n->attr.pool, way, first(e, n), ", value=float('-inf')");
    declare_pool(e, n, types, way, false);
    result(e, n, NN_CHANNELS_FIRST, call(e, n, x));
    return NN_OK;
}

/* Padding is not counted: where PyTorch cannot be told so, the mean of the padded input is divided
 * by that of padded ones. */
static nn_status emit_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"AvgPool1d", "AvgPool2d", "AvgPool3d"};
    const nn_window *w = &n->attr.pool;
    if (!unit(w->dilation, w->spatial))
        return unsupported(n, "its average pools have no dilation", err);
    pad_way way = way_of(e, n, w, true);
    const char *x = first(e, n), *in = padded(e, w, way, x, "");
    declare_pool(e, n, types, way, true);
    const char *expression = call(e, n, in);
    if (in != x) {
        const char *ones = nn_arena_printf(e->arena, "torch.ones_like(%s[:1, :1])", x);
        expression = nn_arena_printf(e->arena, "%s / %s", expression,
                                     call(e, n, padded(e, w, way, ones, "")));
        e->remark = "padding is not counted";
    }
    result(e, n, NN_CHANNELS_FIRST, expression);
    return NN_OK;
}

static nn_status emit_global_avg_pool(nn_emit *e, const nn_node *n, nn_err *err) {
    if (n->n_inputs > 1) return unsupported(n, "its mean over masked steps is not known yet", err);
    flush(e);
    int from = n->inputs[0], rank = node_at(e, from)->shape.rank;
    nn_layout layout = layout_of(e, from);
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s.mean(dim=(", e->variable[from]);
    for (int i = 0; i < rank - 1; i++)
        nn_buf_printf(&b, "%s%d", i ? ", " : "", torch_dim(layout, rank, i));
    nn_buf_printf(&b, "%s)%s)", rank == 2 ? "," : "",
                  n->attr.global_pool.keepdims ? ", keepdim=True" : "");
    result(e, n, n->attr.global_pool.keepdims ? layout : NN_CHANNELS_LAST,
           nn_arena_strdup(e->arena, nn_buf_str(&b)));
    return NN_OK;
}

/* 1 - v as a person would write it: 0.01 for 0.99, not 0.010000000000000009. */
static double complement(double v) {
    char text[40];
    snprintf(text, sizeof text, "%.12g", 1 - v);
    return strtod(text, NULL);
}

static nn_status emit_batch_norm(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {"BatchNorm1d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"};
    if (n->shape.rank > MAX_NORM_RANK)
        return unsupported(n, "its batch normalisation takes at most 4 axes", err);
    const char *x = first(e, n);
    NN_BUF a = {0};
    nn_buf_printf(&a, "%" PRId64 ", eps=", channels_of(e, n));
    nn_py_float(&a, n->attr.batch_norm.epsilon);
    nn_buf_puts(&a, ", momentum="); /* PyTorch's is the share of the new, Keras's of the old */
    nn_py_float(&a, complement(n->attr.batch_norm.momentum));
    if (!n->attr.batch_norm.center && !n->attr.batch_norm.scale) nn_buf_puts(&a, ", affine=False");
    declare(e, n, types[n->shape.rank - 1], &a);
    e->batch_norm = true;
    result(e, n, NN_CHANNELS_FIRST, call(e, n, x));
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

static nn_status emit_activation(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_act kind = n->attr.activation.kind;
    const char *x = whatever(e, n);
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s%s", spellings[kind].before, x);
    if (spellings[kind].alpha) {
        nn_buf_puts(&b, spellings[kind].alpha);
        nn_py_float(&b, n->attr.activation.alpha);
    }
    nn_buf_puts(&b, spellings[kind].after);
    result(e, n, layout_of(e, n->inputs[0]), nn_arena_strdup(e->arena, nn_buf_str(&b)));
    return NN_OK;
}

static nn_status emit_softmax(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = whatever(e, n);
    nn_layout layout = layout_of(e, n->inputs[0]);
    result(e, n, layout,
           nn_arena_printf(e->arena, "torch.%s(%s, dim=%d)",
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
        one[torch_dim(layout, noise->rank, i) - 1] = noise->dim[i] == 1;
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s * self.%s(torch.ones_like(%s[:", x, e->attribute[n->id], x);
    for (int i = 0; i < noise->rank; i++) nn_buf_puts(&b, one[i] ? ", :1" : ", :");
    nn_buf_puts(&b, "]))");
    return nn_arena_strdup(e->arena, nn_buf_str(&b));
}

static nn_status emit_dropout(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    flush(e);
    const char *x = e->variable[n->inputs[0]];
    nn_layout layout = layout_of(e, n->inputs[0]);
    NN_BUF a = {0};
    nn_py_float(&a, n->attr.dropout.rate);
    declare(e, n, "Dropout", &a);
    result(e, n, layout,
           n->attr.dropout.noise_shape.rank ? shared_dropout(e, n, x, layout) : call(e, n, x));
    return NN_OK;
}

static nn_status emit_reshape(nn_emit *e, const nn_node *n, nn_err *err) {
    const char *x = last(e, n);
    NN_BUF b = {0};
    int unknown = 0;
    if (n->attr.reshape.flatten)
        nn_buf_printf(&b, "torch.flatten(%s, 1)", x);
    else {
        nn_buf_printf(&b, "%s.reshape(%s.shape[0]", x, e->variable[n->inputs[0]]);
        for (int i = 0; i < n->shape.rank; i++) {
            unknown += n->shape.dim[i] < 0;
            nn_buf_printf(&b, ", %" PRId64, n->shape.dim[i] < 0 ? -1 : n->shape.dim[i]);
        }
        nn_buf_putc(&b, ')');
    }
    if (unknown > 1) return unsupported(n, "more than one size of its shape is open", err);
    result(e, n, NN_CHANNELS_LAST, nn_arena_strdup(e->arena, nn_buf_str(&b)));
    return NN_OK;
}

/* Dimension d of the result is dimension from[d] of the input's tensor. True if that moves nothing.
 */
static bool transposed(const nn_node *n, nn_layout in, nn_layout out, int from[NN_MAX_RANK + 1]) {
    int rank = n->shape.rank;
    bool same = true;
    for (int i = 0; i < rank; i++) {
        int d = torch_dim(out, rank, i);
        from[d] = torch_dim(in, rank, n->attr.transpose.perm[i]);
        same = same && from[d] == d;
    }
    return same;
}

/* Moving the channels is often only another way to see the same tensor. */
static nn_status emit_transpose(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = whatever(e, n);
    nn_layout in = layout_of(e, n->inputs[0]);
    int from[NN_MAX_RANK + 1];
    if (n->shape.rank >= 2 && transposed(n, in, NN_CHANNELS_FIRST, from)) {
        result(e, n, NN_CHANNELS_FIRST, x);
        return NN_OK;
    }
    if (transposed(n, in, NN_CHANNELS_LAST, from)) {
        result(e, n, NN_CHANNELS_LAST, x);
        return NN_OK;
    }
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s.permute(0", x);
    for (int d = 1; d <= n->shape.rank; d++) nn_buf_printf(&b, ", %d", from[d]);
    nn_buf_putc(&b, ')');
    result(e, n, NN_CHANNELS_LAST, nn_arena_strdup(e->arena, nn_buf_str(&b)));
    return NN_OK;
}

static nn_status not_yet(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)e;
    nn_status s =
        nn_fail(err, NN_E_UNSUPPORTED, "%s ('%s'): the PyTorch backend does not write %s yet",
                n->layer, n->layer_name, nn_op_name(n->op));
    if (err) err->line = n->span.line, err->col = n->span.col;
    return nn_err_hint(err, s, "use another layer here, or another --backend");
}

#define emit_conv_transpose    not_yet
#define emit_global_max_pool   not_yet
#define emit_adaptive_max_pool not_yet
#define emit_adaptive_avg_pool not_yet
#define emit_upsample          not_yet
#define emit_pad               not_yet
#define emit_crop              not_yet
#define emit_reverse           not_yet
#define emit_layer_norm        not_yet
#define emit_group_norm        not_yet
#define emit_prelu             not_yet
#define emit_clip              not_yet
#define emit_noise             not_yet
#define emit_activity_reg      not_yet
#define emit_embedding         not_yet
#define emit_position          not_yet
#define emit_rnn               not_yet
#define emit_conv_lstm         not_yet
#define emit_attention         not_yet
#define emit_merge             not_yet
#define emit_concat            not_yet
#define emit_dot               not_yet
#define emit_fold              not_yet
#define emit_unfold            not_yet
#define emit_custom            not_yet

NN_EMIT_TABLE(emitters) = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = emit_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_torch_emit(nn_emit *e, const nn_node *n, nn_err *err) {
    if (n->folded >= 0) return unsupported(n, "it lies inside TimeDistributed", err);
    return emitters[n->op](e, n, err);
}

const char *nn_torch_returned(nn_emit *e, int id) {
    return input_as(e, id, NN_CHANNELS_LAST, "channels last");
}
