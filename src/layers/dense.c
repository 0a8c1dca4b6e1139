/* SPDX-License-Identifier: MIT */
/* dense.c - Dense, and Output: a Dense that marks the network's output. Keras's Dense: y = act(x W
 * + b) over the last axis. */
#include "layers/build.h"

#include <stdio.h>

enum { UNITS, ACTIVATION, KERNEL };

#define DENSE_PARAMS(activation_help)                                                              \
    {.name = "units",                                                                              \
     .type = NN_P_INT,                                                                             \
     .required = true,                                                                             \
     .positional = true,                                                                           \
     .min = 1,                                                                                     \
     .max = (double)NN_MAX_DIM,                                                                    \
     .aliases = "out_features",                                                                    \
     .help = "size of the last axis of the output"},                                               \
        {.name = "activation",                                                                     \
         .type = NN_P_ACTIVATION,                                                                  \
         .positional = true,                                                                       \
         .help = activation_help},                                                                 \
        NN_KERNEL_PARAMS, {                                                                        \
        0                                                                                          \
    }

static const nn_param dense_params[] = {DENSE_PARAMS("applied to the result; none by default")};
static const nn_param output_params[] = {
    DENSE_PARAMS("softmax for a categorical loss and more than one unit, else none")};

static nn_status build(const nn_layer_ctx *c, const char *activation, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .matmul = {a[UNITS].i, a[KERNEL + NN_K_USE_BIAS].b}
    };
    int node;
    nn_status st = nn_build_op(c, NN_OP_MATMUL, "", c->input, &attr, NULL, &node, err);
    if (!st) st = nn_build_kernel(c, node, &a[KERNEL], err);
    if (!st) st = nn_build_activation(c, node, &(nn_build_act){.name = activation}, ret, err);
    return st;
}

static nn_status build_dense(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build(c, c->args[ACTIVATION].set ? c->args[ACTIVATION].s : NULL, ret, err);
}

static bool class_loss(const nn_layer_ctx *c) {
    return c->has_loss && nn_loss_targets(c->loss) == NN_TARGET_CLASS;
}

/* language.md 6.1: softmax when there are classes to choose from, stated in a note. */
static const char *default_activation(const nn_layer_ctx *c) {
    if (!class_loss(c) || c->from_logits || c->args[UNITS].i < 2) return NULL;
    char text[160];
    snprintf(text, sizeof text, "activation softmax, because the loss is %s",
             nn_loss_name(c->loss));
    nn_build_notice(c, (nn_notice){.code = "default", .at = c->span, .message = text});
    return "softmax";
}

static void warn_of_rank(const nn_layer_ctx *c) {
    if (c->shape->rank <= 1) return;
    char shape[160], text[320];
    snprintf(text, sizeof text,
             "Output on an input of %d axes %s works on the last axis only and gives a result for "
             "every position",
             c->shape->rank, nn_shape_print(c->shape, false, shape, sizeof shape));
    nn_build_notice(c, (nn_notice){.warning = true,
                                   .code = "shape",
                                   .at = c->span,
                                   .message = text,
                                   .hint = "insert Flatten() or GlobalAveragePooling2D() before it",
                                   .flatten = true});
}

static nn_status build_output(const nn_layer_ctx *c, int *ret, nn_err *err) {
    warn_of_rank(c);
    const nn_bound *a = &c->args[ACTIVATION];
    return build(c, a->set ? a->s : default_activation(c), ret, err);
}

const nn_layer nn_layer_dense = {
    .name = "Dense",
    .base = "dense",
    .summary = "fully connected: every output is a weighted sum of all inputs",
    .family = "core",
    .rule = "(..., in) -> (..., units)",
    .rank1 = true,
    .params = dense_params,
    .build = build_dense,
};

const nn_layer nn_layer_output = {
    .name = "Output",
    .base = "output",
    .summary = "a Dense layer that marks the output of the network",
    .family = "core",
    .rule = "(..., in) -> (..., units)",
    .role = NN_ROLE_OUTPUT,
    .rank1 = true,
    .params = output_params,
    .build = build_output,
};
