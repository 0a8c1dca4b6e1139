/* SPDX-License-Identifier: MIT */
/* input.c - Input: the shape of one sample. As in Keras, shape never includes the batch,
 * batch_shape does. */
#include "layers/build.h"

#include <stdio.h>

enum { SHAPE, BATCH_SIZE, BATCH_SHAPE };

/* clang-format off */
static const nn_param params[] = {
    {.name = "shape", .type = NN_P_SHAPE, .positional = true, .min = 1,
     .help = "sizes of one sample, None for a size known only at run time"},
    {.name = "batch_size", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM,
     .help = "accepted; batches are sized when training"},
    {.name = "batch_shape", .type = NN_P_SHAPE, .help = "shape with the batch in front"},
    {0},
};
/* clang-format on */

static nn_status sample_shape(const nn_layer_ctx *c, nn_shape *ret, nn_err *err) {
    const nn_bound *a = c->args;
    if (a[SHAPE].set == a[BATCH_SHAPE].set)
        return nn_fail(err, NN_E_DSL_ERROR, "Input takes one of 'shape' and 'batch_shape'%s",
                       a[SHAPE].set ? ", got both" : "");
    *ret = a[SHAPE].shape;
    if (a[SHAPE].set) return NN_OK;
    const nn_shape *full = &a[BATCH_SHAPE].shape;
    *ret = (nn_shape){.rank = full->rank ? full->rank - 1 : 0};
    for (int i = 0; i < ret->rank; i++) ret->dim[i] = full->dim[i + 1];
    return NN_OK;
}

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_shape s;
    nn_status st = sample_shape(c, &s, err);
    if (st) return nn_build_blame(c, SHAPE, "Input(shape=(28, 28, 1))", st);
    int at = c->args[SHAPE].set ? SHAPE : BATCH_SHAPE;
    if (s.rank == 0)
        return nn_build_blame(c, at, NULL,
                              nn_fail(err, NN_E_DSL_ERROR, "an input needs at least one axis"));
    if (c->args[BATCH_SIZE].given)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->args[BATCH_SIZE].span,
                                       .message = "batch_size of Input has no effect: the batch "
                                                  "stays symbolic",
                                       .hint = "train { batch_size: … } sizes the batches"});
    return nn_build_op(c, NN_OP_INPUT, "", -1, NULL, &s, ret, err);
}

const nn_layer nn_layer_input = {
    .name = "Input",
    .base = "input",
    .summary = "the shape of one sample that the network takes",
    .family = "core",
    .rule = "shape, without the batch",
    .role = NN_ROLE_INPUT,
    .params = params,
    .build = build,
};
