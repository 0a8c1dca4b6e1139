/* SPDX-License-Identifier: MIT */
/* wrappers.c - Bidirectional and TimeDistributed: layers that take a layer.
 *
 * trainable=false of a wrapper holds for everything in it, so it is applied to the weights when
 * they are there. */
#include "layers/recurrent.h"

#include <stdio.h>
#include <string.h>

enum { LAYER, MERGE_MODE };

/* The layer of the program is the wrapper: a name and inputs of the inner call mean nothing. */
static void check_common(const nn_layer_ctx *c, const nn_inner *inner) {
    const nn_bound *common = &inner->args[nn_layer_n_params(inner->layer)];
    const int unused[] = {NN_COMMON_NAME, NN_COMMON_INPUTS};
    for (int i = 0; i < 2; i++) {
        if (!common[unused[i]].given) continue;
        char text[128];
        snprintf(text, sizeof text, "'%s' has no effect on a layer inside %s",
                 nn_layer_common[unused[i]].name, c->layer->name);
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = common[unused[i]].span,
                                       .message = text,
                                       .hint = "give it to the wrapper"});
    }
}

/* ---- Bidirectional ---- */

static const struct {
    const nn_layer *layer;
    nn_recurrent_layer *build;
} kinds[] = {
    {&nn_layer_simple_rnn,  nn_build_recurrent},
    {&nn_layer_lstm,        nn_build_recurrent},
    {&nn_layer_gru,         nn_build_recurrent},
    {&nn_layer_conv_lstm1d, nn_build_conv_lstm},
    {&nn_layer_conv_lstm2d, nn_build_conv_lstm},
    {&nn_layer_conv_lstm3d, nn_build_conv_lstm},
};

static nn_recurrent_layer *find_build(const nn_layer *l) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].layer == l) return kinds[i].build;
    return NULL;
}

static nn_status check_bidirectional(const nn_layer_ctx *c, const nn_layer_ctx *inner,
                                     nn_err *err) {
    if (!find_build(inner->layer))
        return nn_build_blame(
            c, LAYER, "to run another layer on every step use TimeDistributed",
            nn_fail(err, NN_E_DSL_ERROR,
                    "it takes SimpleRNN, LSTM, GRU, ConvLSTM1D, ConvLSTM2D or ConvLSTM3D, got %s",
                    inner->layer->name));
    if (nn_recurrent_arg(inner, "bidirectional")->b)
        return nn_recurrent_blame(
            inner, "bidirectional", "leave out the argument or the wrapper",
            nn_fail(err, NN_E_DSL_ERROR, "its %s is bidirectional already", inner->layer->name));
    if (strcmp(c->args[MERGE_MODE].s, "none") == 0)
        return nn_build_blame(
            c, MERGE_MODE, "concat, sum, mul and ave join the two directions",
            nn_fail(err, NN_E_UNSUPPORTED,
                    "merge_mode=none is not supported: it has two outputs, and a layer passes on "
                    "one"));
    return NN_OK;
}

/* The layer runs under the wrapper's name: its halves are "<name>.forward" and "<name>.backward".
 */
static nn_status build_bidirectional(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_inner *inner = c->args[LAYER].inner;
    nn_layer_ctx x = *c;
    x.layer = inner->layer;
    x.args = inner->args;
    x.block = NULL;
    x.custom_name = c->layer->name; /* whose ops they are */
    nn_status st = check_bidirectional(c, &x, err);
    if (st) return st;
    check_common(c, inner);
    int first = c->graph->n_weights;
    st = find_build(inner->layer)(&x, c->args[MERGE_MODE].s, ret, err);
    if (!st) nn_build_freeze(c, first);
    return st;
}

/* ---- TimeDistributed ---- */

/* Says which layer inside did not fit. */
static nn_status inside(const nn_layer *l, nn_status st, nn_err *err) {
    if (st != NN_E_DSL_ERROR || !err || !err->msg[0]) return st;
    nn_err e = *err;
    snprintf(err->msg, sizeof err->msg, "%s of one step: %.400s", l->name, e.msg);
    return st;
}

static nn_status check_steps(const nn_layer_ctx *c, nn_err *err) {
    char s[160];
    if (c->shape->rank >= 2) return NN_OK;
    *c->ret_hint = "leave the wrapper out, or make steps of it with Reshape((steps, features))";
    return nn_fail(err, NN_E_DSL_ERROR, "the input must be (steps, ...), got %s",
                   nn_shape_print(c->shape, false, s, sizeof s));
}

/* The layer, the block and the dropout, on one step. ret -1: the shape is not known. Padding that
 * comes into the wrapper is of the steps outside; inside counts what its own layers leave. */
static nn_status on_a_step(const nn_layer_ctx *c, int from, int *ret, nn_err *err) {
    const nn_inner *inner = c->args[LAYER].inner;
    int at = from, mask = -1;
    nn_layer_ctx x = *c;
    x.mask = -1;
    x.ret_mask = &mask;
    nn_status st = nn_build_inner(&x, inner, NULL, inner->layer->base, at, &at, err);
    if (st) return inside(inner->layer, st, err);
    x.mask = mask;
    if (at >= 0 && c->block) st = nn_build_block(&x, at, &at, err);
    if (!st && at >= 0) st = nn_recurrent_drop(c, at, &at, err);
    if (!st) *ret = at;
    return st;
}

static nn_status build_time_distributed(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_status st = check_steps(c, err);
    if (st) return st;
    check_common(c, c->args[LAYER].inner);
    nn_attr attr = {.unfold = {.size = c->shape->dim[0]}};
    int at, first = c->graph->n_weights;
    st = nn_build_op(c, NN_OP_FOLD, "fold", c->input, NULL, NULL, &at, err);
    if (!st) st = on_a_step(c, at, &at, err);
    if (!st && at >= 0) st = nn_build_op(c, NN_OP_UNFOLD, "", at, &attr, NULL, &at, err);
    if (st) return st;
    nn_build_freeze(c, first);
    *ret = at;
    return NN_OK;
}

/* clang-format off */
static const nn_param bidirectional_params[] = {
    {.name = "layer", .type = NN_P_LAYER, .required = true, .positional = true,
     .help = "SimpleRNN, LSTM, GRU or ConvLSTM1D to 3D: LSTM(64)"},
    {.name = "merge_mode", .type = NN_P_ENUM, .words = "concat|sum|mul|ave|none",
     .fallback = "concat",
     .help = "how the two directions are joined"},
    {0},
};

static const nn_param time_distributed_params[] = {
    {.name = "layer", .type = NN_P_LAYER, .required = true, .positional = true,
     .help = "what runs on every step, with the same weights: Dense(64)"},
    {.name = "dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .fallback = "0",
     .help = "a Dropout of that rate behind it"},
    {0},
};
/* clang-format on */

const nn_layer nn_layer_bidirectional = {
    .name = "Bidirectional",
    .base = "bidirectional",
    .summary = "a recurrent layer from the first step to the last and one the other way, joined",
    .family = "wrapper",
    .rule = "as its layer; concat: twice the last axis",
    .params = bidirectional_params,
    .build = build_bidirectional,
};

const nn_layer nn_layer_time_distributed = {
    .name = "TimeDistributed",
    .base = "time_distributed",
    .summary = "a layer, and the layers of its block, on every step by itself",
    .family = "wrapper",
    .rule = "(steps, ...) -> (steps, what its layers make of (...))",
    .params = time_distributed_params,
    .block = NN_BLOCK_OPTIONAL,
    .passes_mask = true,
    .build = build_time_distributed,
};
