/* SPDX-License-Identifier: MIT */
/* pytorch_lines.c - the lines of forward() and __init__: variables, layouts, modules.
 *
 * The graph is channels-last, PyTorch's convolutions, pools and normalisations want the channels
 * first. Each tensor keeps the layout in which it came out, and is permuted only where the next op
 * cannot work on that: once at the entry, and back before a Flatten, so that our weights fit. An op
 * does not write a line but an expression (e->pending); the activation that follows within the same
 * layer is wrapped around it, as a person would write it: x = F.relu(self.conv2d_1(x)).
 *
 * A chain has one variable, x. Elsewhere each value has one of its own: the last of a layer is
 * called like the layer, others like their op. */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100 };

const nn_node *nn_torch_node(const nn_emit *e, int id) {
    return &e->g->nodes[id];
}

const char *nn_torch_keep(nn_emit *e, const nn_buf *b) {
    const char *text = nn_arena_strdup(e->arena, nn_buf_str(b));
    if (!text) abort(); /* this arena has no cap */
    return text;
}

/* ---- layouts ---- */

int nn_torch_dim(nn_layout layout, int rank, int axis) {
    if (layout == NN_CHANNELS_LAST) return axis + 1;
    return axis == rank - 1 ? 1 : axis + 2;
}

nn_layout nn_torch_layout(const nn_emit *e, int id) {
    return nn_torch_node(e, id)->shape.rank < 2 ? NN_CHANNELS_LAST : e->layout[id];
}

/* The rows of a folded tensor: "batch * 10". */
static void put_rows(const nn_node *n, nn_buf *out) {
    nn_buf_puts(out, "(batch");
    if (n->fold > 1) nn_buf_printf(out, " * %" PRId64, n->fold);
    if (n->fold < 0) nn_buf_puts(out, " * steps");
}

/* The shape of the torch tensor, for a comment: "(batch, 32, 26, 26)". */
static void put_torch_shape(const nn_emit *e, int id, nn_buf *out) {
    const nn_node *n = nn_torch_node(e, id);
    int64_t dim[NN_MAX_RANK];
    for (int i = 0; i < n->shape.rank; i++)
        dim[nn_torch_dim(nn_torch_layout(e, id), n->shape.rank, i) - 1] = n->shape.dim[i];
    put_rows(n, out);
    for (int i = 0; i < n->shape.rank; i++) {
        if (dim[i] < 0)
            nn_buf_puts(out, ", ?");
        else
            nn_buf_printf(out, ", %" PRId64, dim[i]);
    }
    nn_buf_puts(out, n->shape.rank ? ")" : ",)");
}

/* "permute(0, 3, 1, 2)" from one layout of `rank` axes to the other. */
static const char *permute_call(nn_emit *e, int rank, nn_layout to) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "permute(0");
    for (int d = 1; d <= rank; d++) {
        int from = to == NN_CHANNELS_FIRST ? (d == 1 ? rank : d - 1) : (d == rank ? 1 : d + 1);
        nn_buf_printf(&b, ", %d", from);
    }
    nn_buf_putc(&b, ')');
    return nn_torch_keep(e, &b);
}

/* ---- variables ---- */

static bool layer_has_variable(const nn_emit *e, int id) {
    for (int i = id - 1; i >= 0 && nn_torch_node(e, i)->layer_index >= 0; i--) {
        if (nn_torch_node(e, i)->layer_index != nn_torch_node(e, id)->layer_index) continue;
        if (e->variable[i]) return true;
        if (id - i > 64) break; /* layers are not longer; this is about looks */
    }
    return false;
}

const char *nn_torch_variable(nn_emit *e, int id) {
    if (e->variable[id]) return e->variable[id];
    if (e->chain) return e->variable[id] = "x";
    const nn_node *n = nn_torch_node(e, id);
    bool whole = n->layer_index >= 0 && e->last_of_layer[id] == id && !layer_has_variable(e, id);
    return e->variable[id] = nn_py_name(&e->variables, whole ? n->layer_name : n->name);
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

void nn_torch_flush(nn_emit *e) {
    if (e->pending < 0) return;
    int id = e->pending;
    if (e->users[id] > 0) put_line(e, nn_torch_variable(e, id), e->expression, id, e->remark);
    e->pending = -1;
    e->remark = NULL;
}

const char *nn_torch_as(nn_emit *e, int id, nn_layout want, const char *why) {
    nn_torch_flush(e);
    const char *v = nn_torch_variable(e, id);
    int rank = nn_torch_node(e, id)->shape.rank;
    if (nn_torch_layout(e, id) == want || rank < 2) return v;
    const char *turned = nn_torch_print(e, "%s.%s", v, permute_call(e, rank, want));
    if (!e->chain) return turned; /* others may want it as it is */
    e->layout[id] = want;
    put_line(e, v, turned, id, why);
    return v;
}

const char *nn_torch_first(nn_emit *e, const nn_node *n) {
    return nn_torch_as(e, n->inputs[0], NN_CHANNELS_FIRST, "channels first");
}

const char *nn_torch_last(nn_emit *e, const nn_node *n) {
    return nn_torch_as(e, n->inputs[0], NN_CHANNELS_LAST, "channels last, as the weights expect");
}

const char *nn_torch_plain(nn_emit *e, const nn_node *n) {
    nn_torch_flush(e);
    return nn_torch_variable(e, n->inputs[0]);
}

const char *nn_torch_whatever(nn_emit *e, const nn_node *n) {
    int from = n->inputs[0];
    const nn_node *before = nn_torch_node(e, from);
    if (e->pending == from && e->users[from] == 1 && before->layer_index == n->layer_index) {
        e->pending = -1;
        return e->expression;
    }
    return nn_torch_plain(e, n);
}

void nn_torch_result(nn_emit *e, const nn_node *n, nn_layout layout, const char *expression) {
    e->layout[n->id] = layout;
    e->pending = n->id;
    e->expression = expression;
}

const char *nn_torch_returned(nn_emit *e, int id) {
    return nn_torch_as(e, id, NN_CHANNELS_LAST, "channels last");
}

/* ---- __init__ ---- */

static void put_module(nn_emit *e, const char *name, const char *type, const nn_buf *args) {
    const char *text = nn_buf_str(args);
    size_t length = strlen(name) + strlen(type) + args->n + 15;
    if (length <= WIDTH && !strchr(text, '\n'))
        nn_buf_printf(&e->init, "        self.%s = %s(%s)\n", name, type, text);
    else
        nn_buf_printf(&e->init, "        self.%s = %s(\n            %s\n        )\n", name, type,
                      text);
}

const char *nn_torch_declare(nn_emit *e, const nn_node *n, const char *type, const nn_buf *args) {
    const char *name = e->attribute[n->id] = nn_py_name(&e->attributes, n->name);
    put_module(e, name, type, args);
    return name;
}

const char *nn_torch_declare_more(nn_emit *e, const nn_node *n, const char *suffix,
                                  const char *type, const nn_buf *args) {
    const char *wanted = nn_torch_print(e, "%s_%s", n->name, suffix);
    const char *name = nn_py_name(&e->attributes, wanted);
    put_module(e, name, type, args);
    return name;
}

const char *nn_torch_call(nn_emit *e, const nn_node *n, const char *input) {
    return nn_torch_print(e, "self.%s(%s)", e->attribute[n->id], input);
}

/* ---- nodes ---- */

int64_t nn_torch_channels(const nn_emit *e, const nn_node *n) {
    const nn_shape *s = &nn_torch_node(e, n->inputs[0])->shape;
    return s->dim[s->rank - 1];
}

nn_status nn_torch_unsupported(const nn_node *n, const char *what, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED, "%s '%s' cannot be written in PyTorch: %s",
                          n->layer, n->name, what);
    if (err) err->line = n->span.line, err->col = n->span.col;
    return nn_err_hint(err, s, "use another layer here, or another --backend");
}
