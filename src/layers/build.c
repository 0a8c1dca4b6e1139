/* SPDX-License-Identifier: MIT */
#include "layers/build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

nn_status nn_build_op_n(const nn_layer_ctx *c, nn_op op, const char *suffix, const int *inputs,
                        int n_inputs, const nn_attr *attr, const nn_shape *shape, int *ret,
                        nn_err *err) {
    char name[NN_MAX_NAME + 64];
    snprintf(name, sizeof name, "%s%s%s", c->name, *suffix ? "." : "", suffix);
    nn_node_spec s = {.op = op,
                      .name = name,
                      .layer = c->custom_name ? c->custom_name : c->layer->name,
                      .layer_name = c->name,
                      .layer_index = c->index,
                      .span = c->span,
                      .inputs = inputs,
                      .n_inputs = n_inputs};
    if (attr) s.attr = *attr;
    if (shape) s.shape = *shape;
    return nn_graph_add(c->graph, &s, ret, err);
}

nn_status nn_build_op(const nn_layer_ctx *c, nn_op op, const char *suffix, int input,
                      const nn_attr *attr, const nn_shape *shape, int *ret, nn_err *err) {
    return nn_build_op_n(c, op, suffix, &input, op == NN_OP_INPUT ? 0 : 1, attr, shape, ret, err);
}

/* The op names of an inner layer begin with "<layer>.<suffix>"; in the tables of shapes and in
 * generated code its ops belong to the wrapper. */
nn_status nn_build_inner(const nn_layer_ctx *c, const nn_inner *inner, const nn_bound *args,
                         const char *suffix, int from, int *ret, nn_err *err) {
    char name[NN_MAX_NAME + 64];
    snprintf(name, sizeof name, "%s%s%s", c->name, *suffix ? "." : "", suffix);
    const nn_shape shape = c->graph->nodes[from].shape;
    *c->ret_mask = inner->layer->passes_mask ? c->mask : -1;
    nn_layer_ctx x = *c;
    x.layer = inner->layer;
    x.name = name;
    x.args = args ? args : inner->args;
    x.inputs = &from;
    x.n_inputs = 1;
    x.input = from;
    x.shape = &shape;
    x.custom_name = inner->custom_name;
    x.kept = inner->kept;
    x.block = inner->block;
    return inner->layer->build(&x, ret, err);
}

void nn_build_freeze(const nn_layer_ctx *c, int first) {
    if (nn_build_trainable(c)) return;
    for (int i = first; i < c->graph->n_weights; i++) c->graph->weights[i].trainable = false;
}

nn_status nn_build_branches(const nn_layer_ctx *c, int from, int *ret, int *ret_n, nn_err *err) {
    int first = c->graph->n_weights;
    nn_status st = c->run_block(c, c->block, from, ret, NN_MAX_INPUTS, ret_n, err);
    if (!st) nn_build_freeze(c, first);
    return st;
}

nn_status nn_build_block(const nn_layer_ctx *c, int from, int *ret, nn_err *err) {
    int open[NN_MAX_INPUTS], n;
    nn_status st = nn_build_branches(c, from, open, &n, err);
    if (st) return st;
    if (n != 1) {
        st = nn_fail(err, NN_E_DSL_ERROR, "its block leaves %d branches open", n);
        return nn_err_hint(err, st,
                           "end the block with a merge layer, such as Add() or "
                           "Concatenate()");
    }
    *ret = open[0];
    return NN_OK;
}

nn_status nn_build_blame(const nn_layer_ctx *c, int i, const char *hint, nn_status st) {
    if (c->args[i].given) *c->ret_at = c->args[i].span;
    if (hint) *c->ret_hint = hint;
    return st;
}

void nn_build_notice(const nn_layer_ctx *c, nn_notice n) {
    if (c->notice) c->notice(c->notice_arg, &n);
}

/* ---- weights ---- */

bool nn_build_trainable(const nn_layer_ctx *c) {
    return c->args[nn_layer_n_params(c->layer) + NN_COMMON_TRAINABLE].b;
}

/* keras/initializers: rank 1 counts its length twice; else the last two axes times the rest. */
static void set_fans(nn_weight *w) {
    const nn_shape *s = &w->shape;
    int64_t field = 1;
    for (int i = 0; i < s->rank - 2; i++) field *= s->dim[i];
    w->fan_in = s->rank < 2 ? s->dim[0] : field * s->dim[s->rank - 2];
    w->fan_out = s->rank < 2 ? s->dim[0] : field * s->dim[s->rank - 1];
}

/* unit_forget is what Keras's unit_forget_bias makes of a bias; it is a name of the table, too. */
static bool has_forget_gate(const nn_node *n, const char *suffix) {
    bool lstm = n->op == NN_OP_CONV_LSTM || (n->op == NN_OP_RNN && n->attr.rnn.kind == NN_RNN_LSTM);
    return lstm && strcmp(suffix, "bias") == 0;
}

static nn_status check_init(const nn_bound *init, const nn_node *n, const char *suffix,
                            const nn_shape *s, nn_err *err) {
    nn_init_kind k = init->init.kind;
    if (k == NN_INIT_UNIT_FORGET && !has_forget_gate(n, suffix))
        return nn_fail(err, NN_E_DSL_ERROR, "unit_forget is for the bias of an LSTM");
    if (k == NN_INIT_ORTHOGONAL && s->rank < 2)
        return nn_fail(err, NN_E_DSL_ERROR, "orthogonal needs a weight of at least two axes");
    if (k == NN_INIT_IDENTITY && s->rank != 2)
        return nn_fail(err, NN_E_DSL_ERROR, "identity needs a weight of two axes");
    return NN_OK;
}

nn_status nn_build_weight(const nn_layer_ctx *c, int node, const char *suffix, const nn_bound *init,
                          const nn_bound *reg, const nn_bound *con, bool trainable, nn_err *err) {
    const nn_node *n = &c->graph->nodes[node];
    nn_weight w = {.trainable = trainable && nn_build_trainable(c), .init = init->init};
    if (!nn_node_weight_rule(c->graph, n, n->n_weights, &w.shape))
        return nn_fail(err, NN_E_INTERNAL, "%s has no weight '%s'", nn_op_name(n->op), suffix);
    nn_status st = check_init(init, n, suffix, &w.shape, err);
    if (st) return nn_build_blame(c, (int)(init - c->args), NULL, st);
    if (nn_shape_elements(&w.shape) > 0) set_fans(&w); /* else nn_graph_add_weight refuses it */
    if (reg && reg->set) w.regularizer = reg->reg;
    if (con && con->set) w.constraint = con->con;
    return nn_graph_add_weight(c->graph, node, suffix, &w, err);
}

nn_status nn_build_kernel(const nn_layer_ctx *c, int node, const nn_bound *k, nn_err *err) {
    nn_status st =
        nn_build_weight(c, node, "kernel", &k[NN_K_KERNEL_INITIALIZER], &k[NN_K_KERNEL_REGULARIZER],
                        &k[NN_K_KERNEL_CONSTRAINT], true, err);
    if (st || !k[NN_K_USE_BIAS].b) return st;
    return nn_build_weight(c, node, "bias", &k[NN_K_BIAS_INITIALIZER], &k[NN_K_BIAS_REGULARIZER],
                           &k[NN_K_BIAS_CONSTRAINT], true, err);
}

/* ---- activations ---- */

bool nn_activation_mixes(const char *name) {
    return strcmp(name, "softmax") == 0 || strcmp(name, "log_softmax") == 0;
}

/* Keras's PReLU without arguments: a weight for every element of a sample. */
static nn_status prelu(const nn_layer_ctx *c, const char *suffix, int from, int *ret, nn_err *err) {
    static const nn_bound zeros = {.set = true, .init = {.kind = NN_INIT_ZEROS}};
    int node;
    nn_status st = nn_build_op(c, NN_OP_PRELU, suffix, from, NULL, NULL, &node, err);
    if (st)
        return nn_err_hint(err, st,
                           "PReLU(shared_axes=(…)) as a layer of its own shares its slopes");
    st = nn_build_weight(c, node, "alpha", &zeros, NULL, NULL, true, err);
    if (!st) *ret = node;
    return st;
}

static nn_status add_function(const nn_layer_ctx *c, int from, const nn_build_act *a, int *ret,
                              nn_err *err) {
    const char *name = a->name ? a->name : "linear", *suffix = a->suffix ? a->suffix : name;
    nn_attr attr = {0};
    if (nn_activation_mixes(name)) {
        attr.softmax.log = strcmp(name, "log_softmax") == 0;
        return nn_build_op(c, NN_OP_SOFTMAX, suffix, from, &attr, NULL, ret, err);
    }
    if (strcmp(name, "prelu") == 0) return prelu(c, suffix, from, ret, err);
    nn_act kind = (nn_act)nn_act_find(name);
    if (kind == NN_ACT_LINEAR && !a->always) {
        *ret = from;
        return NN_OK;
    }
    attr.activation.kind = kind;
    attr.activation.alpha = a->has_alpha ? a->alpha : nn_act_default_alpha(kind);
    return nn_build_op(c, NN_OP_ACTIVATION, suffix, from, &attr, NULL, ret, err);
}

nn_status nn_build_activation(const nn_layer_ctx *c, int from, const nn_build_act *a, int *ret,
                              nn_err *err) {
    int at = from, penalty = nn_layer_param(c->layer, "activity_regularizer");
    nn_status st = add_function(c, from, a, &at, err);
    if (!st && penalty >= 0 && c->args[penalty].set) {
        nn_attr attr = {
            .activity_reg = {c->args[penalty].reg.l1, c->args[penalty].reg.l2}
        };
        st = nn_build_op(c, NN_OP_ACTIVITY_REG, "activity", at, &attr, NULL, &at, err);
    }
    if (!st) *ret = at;
    return st;
}

/* ---- layout ---- */

bool nn_build_channels_first(const nn_bound *data_format) {
    return data_format->set && strcmp(data_format->s, "channels_first") == 0;
}

nn_status nn_build_axis_to_last(const nn_layer_ctx *c, int from, int axis, int *ret, nn_err *err) {
    int rank = c->graph->nodes[from].shape.rank;
    nn_attr a = {0};
    for (int i = 0; i < rank; i++) a.transpose.perm[i] = i < axis ? i : i + 1;
    a.transpose.perm[rank - 1] = axis;
    return nn_build_op(c, NN_OP_TRANSPOSE, "to_channels_last", from, &a, NULL, ret, err);
}

nn_status nn_build_last_to_axis(const nn_layer_ctx *c, int from, int axis, int *ret, nn_err *err) {
    int rank = c->graph->nodes[from].shape.rank;
    nn_attr a = {0};
    for (int i = 0; i < rank; i++) a.transpose.perm[i] = i < axis ? i : i - 1;
    a.transpose.perm[axis] = rank - 1;
    return nn_build_op(c, NN_OP_TRANSPOSE, "to_channels_first", from, &a, NULL, ret, err);
}

nn_status nn_build_axis(int64_t axis, int rank, int *ret, nn_err *err) {
    int64_t at = axis < 0 ? rank + axis : axis - 1;
    if (at >= 0 && at < rank) {
        *ret = (int)at;
        return NN_OK;
    }
    const char *why = axis == 0 || at == -1 ? "is the batch" : "does not exist";
    if (rank == 0)
        return nn_fail(err, NN_E_DSL_ERROR, "axis %" PRId64 " %s: its input has no axes", axis,
                       why);
    return nn_fail(err, NN_E_DSL_ERROR,
                   "axis %" PRId64 " %s: an input of %d ax%s has 1 to %d and -1 to -%d", axis, why,
                   rank, rank == 1 ? "is" : "es", rank, rank);
}

nn_window nn_build_window(int spatial, const nn_bound *size, const nn_bound *stride,
                          const nn_bound *dilation, const nn_bound *padding) {
    nn_window w = {.spatial = spatial};
    for (int i = 0; i < spatial; i++) {
        w.size[i] = size->dims[i];
        w.stride[i] = stride->set ? stride->dims[i] : size->dims[i];
        w.dilation[i] = dilation ? dilation->dims[i] : 1;
        if (padding->padding == NN_PAD_EXPLICIT)
            w.pad_before[i] = w.pad_after[i] = padding->dims[i];
        if (padding->padding == NN_PAD_CAUSAL)
            w.pad_before[i] = (w.size[i] - 1) * w.dilation[i]; /* out = ceil(d / stride) */
    }
    w.same = padding->padding == NN_PAD_SAME;
    return w;
}
