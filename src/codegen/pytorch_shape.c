/* SPDX-License-Identifier: MIT */
/* pytorch_shape.c - the ops that move elements or bring several tensors together, each in the
 * layout that its inputs have where that is possible. Layouts: pytorch_lines.c. */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- axes ---- */

nn_status nn_torch_emit_reshape(nn_emit *e, const nn_node *n, nn_err *err) {
    const char *x = nn_torch_last(e, n);
    NN_BUF b = {0};
    int unknown = 0;
    if (n->attr.reshape.flatten && nn_torch_node(e, n->inputs[0])->shape.rank > 0)
        nn_buf_printf(&b, "torch.flatten(%s, 1)", x);
    else {
        nn_buf_printf(&b, "%s.reshape(%s.shape[0]", x, nn_torch_variable(e, n->inputs[0]));
        for (int i = 0; i < n->shape.rank; i++) {
            unknown += n->shape.dim[i] < 0;
            nn_buf_printf(&b, ", %" PRId64, n->shape.dim[i] < 0 ? -1 : n->shape.dim[i]);
        }
        nn_buf_putc(&b, ')');
    }
    if (unknown > 1) return nn_torch_unsupported(n, "more than one size of its shape is open", err);
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_keep(e, &b));
    return NN_OK;
}

/* Dimension d of the result is dimension from[d] of the input's tensor. True if that moves nothing.
 */
static bool transposed(const nn_node *n, nn_layout in, nn_layout out, int from[NN_MAX_RANK + 1]) {
    int rank = n->shape.rank;
    bool same = true;
    for (int i = 0; i < rank; i++) {
        int d = nn_torch_dim(out, rank, i);
        from[d] = nn_torch_dim(in, rank, n->attr.transpose.perm[i]);
        same = same && from[d] == d;
    }
    return same;
}

/* Moving the channels is often only another way to see the same tensor. */
nn_status nn_torch_emit_transpose(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_plain(e, n);
    nn_layout in = nn_torch_layout(e, n->inputs[0]);
    int from[NN_MAX_RANK + 1];
    if (n->shape.rank >= 2 && transposed(n, in, NN_CHANNELS_FIRST, from)) {
        nn_torch_result(e, n, NN_CHANNELS_FIRST, x);
        return NN_OK;
    }
    if (transposed(n, in, NN_CHANNELS_LAST, from)) {
        nn_torch_result(e, n, NN_CHANNELS_LAST, x);
        return NN_OK;
    }
    NN_BUF b = {0};
    nn_buf_printf(&b, "%s.permute(0", x);
    for (int d = 1; d <= n->shape.rank; d++) nn_buf_printf(&b, ", %d", from[d]);
    nn_buf_putc(&b, ')');
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_keep(e, &b));
    return NN_OK;
}

/* ---- borders and order ---- */

/* F.pad takes pairs from the last dimension on. */
nn_status nn_torch_emit_pad(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_plain(e, n);
    nn_layout layout = nn_torch_layout(e, n->inputs[0]);
    const nn_border *b = &n->attr.border;
    NN_BUF t = {0};
    nn_buf_printf(&t, "F.pad(%s, (%s", x, layout == NN_CHANNELS_LAST ? "0, 0, " : "");
    for (int i = b->spatial; i-- > 0;)
        nn_buf_printf(&t, "%" PRId64 ", %" PRId64 "%s", b->before[i], b->after[i], i ? ", " : "))");
    nn_torch_result(e, n, layout, nn_torch_keep(e, &t));
    return NN_OK;
}

nn_status nn_torch_emit_crop(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_plain(e, n);
    nn_layout layout = nn_torch_layout(e, n->inputs[0]);
    const nn_border *b = &n->attr.border;
    NN_BUF t = {0};
    nn_buf_printf(&t, "%s[:%s", x, layout == NN_CHANNELS_LAST ? "" : ", :");
    for (int i = 0; i < b->spatial; i++) {
        nn_buf_puts(&t, ", ");
        if (b->before[i]) nn_buf_printf(&t, "%" PRId64, b->before[i]);
        nn_buf_putc(&t, ':');
        if (b->after[i]) nn_buf_printf(&t, "-%" PRId64, b->after[i]);
    }
    nn_buf_putc(&t, ']');
    nn_torch_result(e, n, layout, nn_torch_keep(e, &t));
    return NN_OK;
}

nn_status nn_torch_emit_reverse(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_plain(e, n);
    nn_layout layout = nn_torch_layout(e, n->inputs[0]);
    int dim = nn_torch_dim(layout, n->shape.rank, n->attr.reverse.axis);
    nn_torch_result(e, n, layout, nn_torch_print(e, "%s.flip(%d)", x, dim));
    return NN_OK;
}

/* 'nearest' looks at floor(i * (1 / factor)) in floats, which is i / factor for small factors;
 * above them 'nearest-exact' is, too. */
nn_status nn_torch_emit_upsample(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    enum { SMALL = 16 };
    int spatial = n->attr.upsample.spatial;
    bool large = false;
    for (int i = 0; i < spatial; i++) large |= n->attr.upsample.factor[i] > SMALL;
    const char *x = nn_torch_first(e, n);
    NN_BUF a = {0};
    nn_buf_puts(&a, "scale_factor=");
    nn_py_sizes(&a, n->attr.upsample.factor, spatial);
    if (n->attr.upsample.bilinear)
        nn_buf_puts(&a, ", mode='bilinear', align_corners=False");
    else if (large)
        nn_buf_puts(&a, ", mode='nearest-exact'");
    nn_torch_declare(e, n, "nn.Upsample", &a);
    nn_torch_result(e, n, NN_CHANNELS_FIRST, nn_torch_call(e, n, x));
    return NN_OK;
}

/* ---- rows ---- */

nn_status nn_torch_emit_fold(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_last(e, n);
    e->remark = "each step is a row";
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_print(e, "%s.flatten(0, 1)", x));
    return NN_OK;
}

/* Of steps that are not known, the rows before the fold are: its input still has its variable. */
nn_status nn_torch_emit_unfold(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_last(e, n);
    int fold = nn_torch_node(e, n->inputs[0])->folded;
    const char *sizes = nn_torch_print(e, "-1, %" PRId64, n->attr.unfold.size);
    if (n->attr.unfold.size < 0) {
        const nn_node *f = nn_torch_node(e, fold);
        sizes = nn_torch_print(e, "%s.shape[0], -1", nn_torch_variable(e, f->inputs[0]));
    }
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_print(e, "%s.unflatten(0, (%s))", x, sizes));
    return NN_OK;
}

/* ---- several inputs ---- */

/* The layout in which a node of several inputs works: that of all of them, else the graph's. Those
 * of one axis (`vectors`) lie alike in both. */
static nn_layout common_layout(nn_emit *e, const nn_node *n, bool vectors) {
    for (int i = 0; i < n->n_inputs; i++) {
        int rank = nn_torch_node(e, n->inputs[i])->shape.rank;
        bool fits = rank == n->shape.rank && nn_torch_layout(e, n->inputs[i]) == NN_CHANNELS_FIRST;
        if (!fits && !(vectors && rank == 1)) return NN_CHANNELS_LAST;
    }
    return n->shape.rank < 2 ? NN_CHANNELS_LAST : NN_CHANNELS_FIRST;
}

/* Input i, with axes of 1 where NumPy's rule puts them: behind the rows, which PyTorch's rule would
 * line up with another axis. */
static const char *operand(nn_emit *e, const nn_node *n, int i, nn_layout layout) {
    int rank = nn_torch_node(e, n->inputs[i])->shape.rank, missing = n->shape.rank - rank;
    const char *x = nn_torch_as(e, n->inputs[i], layout, "channels last, as the others");
    if (missing == 0) return x;
    NN_BUF b = {0};
    bool behind = layout == NN_CHANNELS_FIRST && rank == 1;
    nn_buf_printf(&b, "%s[:%s", x, behind ? ", :" : "");
    for (int k = 0; k < missing; k++) nn_buf_puts(&b, ", None");
    nn_buf_putc(&b, ']');
    return nn_torch_keep(e, &b);
}

/* How inputs are joined: as operators in a row, or calls of two. */
static const struct {
    const char *between, *call;
} merges[NN_MERGE_COUNT] = {
    [NN_MERGE_ADD] = {.between = " + "},
    [NN_MERGE_SUBTRACT] = {.between = " - "},
    [NN_MERGE_MULTIPLY] = {.between = " * "},
    [NN_MERGE_AVERAGE] = {.between = " + "},
    [NN_MERGE_MAXIMUM] = {.call = "torch.maximum"},
    [NN_MERGE_MINIMUM] = {.call = "torch.minimum"},
};

nn_status nn_torch_emit_merge(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_layout layout = common_layout(e, n, true);
    const char *between = merges[n->attr.merge.kind].between,
               *call = merges[n->attr.merge.kind].call;
    const char *y = operand(e, n, 0, layout);
    for (int i = 1; i < n->n_inputs; i++) {
        const char *x = operand(e, n, i, layout);
        y = call ? nn_torch_print(e, "%s(%s, %s)", call, y, x)
                 : nn_torch_print(e, "%s%s%s", y, between, x);
    }
    if (n->attr.merge.kind == NN_MERGE_AVERAGE) y = nn_torch_print(e, "(%s) / %d", y, n->n_inputs);
    nn_torch_result(e, n, layout, y);
    return NN_OK;
}

nn_status nn_torch_emit_concat(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    nn_layout layout = common_layout(e, n, false);
    int dim = nn_torch_dim(layout, n->shape.rank, n->attr.concat.axis);
    NN_BUF b = {0};
    for (int i = 0; i < n->n_inputs; i++)
        nn_buf_printf(&b, "%s%s", i ? ", " : "torch.cat((",
                      nn_torch_as(e, n->inputs[i], layout, "channels last, as the others"));
    nn_buf_printf(&b, "), dim=%d)", dim);
    nn_torch_result(e, n, layout, nn_torch_keep(e, &b));
    return NN_OK;
}

static const char *side(nn_emit *e, const nn_node *n, int i) {
    const char *x = nn_torch_as(e, n->inputs[i], NN_CHANNELS_LAST, "channels last");
    if (!n->attr.dot.normalize) return x;
    return nn_torch_print(e, "F.normalize(%s, dim=%d, eps=1e-07)", x, n->attr.dot.axes[i] + 1);
}

/* torch.einsum: n is the batch, z the axis that is summed over. */
nn_status nn_torch_emit_dot(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    NN_BUF in = {0}, out = {0};
    char letter = 'a';
    int rest = 0;
    for (int i = 0; i < 2; i++) {
        nn_buf_puts(&in, i ? ",n" : "n");
        for (int k = 0; k < nn_torch_node(e, n->inputs[i])->shape.rank; k++) {
            bool summed = k == n->attr.dot.axes[i];
            nn_buf_putc(&in, summed ? 'z' : letter);
            if (summed) continue;
            nn_buf_putc(&out, letter);
            letter++, rest++;
            if (letter == 'n') letter++;
        }
    }
    const char *a = side(e, n, 0), *b = side(e, n, 1);
    nn_torch_result(e, n, NN_CHANNELS_LAST,
                    nn_torch_print(e, "torch.einsum('%s->n%s', %s, %s)%s", nn_buf_str(&in),
                                   nn_buf_str(&out), a, b, rest ? "" : ".unsqueeze(1)"));
    return NN_OK;
}
