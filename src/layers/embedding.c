/* SPDX-License-Identifier: MIT */
/* embedding.c - Embedding by Keras's rules: a row of a table for each whole number of the input. */
#include "layers/build.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    INPUT_DIM,
    OUTPUT_DIM,
    INITIALIZER,
    REGULARIZER,
    ACTIVITY,
    CONSTRAINT,
    MASK_ZERO,
    INPUT_LENGTH
};

/* clang-format off */
static const nn_param params[] = {
    {.name = "input_dim", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .aliases = "num_embeddings",
     .help = "rows of the table: the largest number of the input, plus 1"},
    {.name = "output_dim", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .aliases = "embedding_dim",
     .help = "length of a row"},
    {.name = "embeddings_initializer", .type = NN_P_INITIALIZER, .fallback = "random_uniform",
     .help = "how the table starts"},
    {.name = "embeddings_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the table"},
    {.name = "activity_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the output"},
    {.name = "embeddings_constraint", .type = NN_P_CONSTRAINT,
     .help = "applied to the table after each update"},
    {.name = "mask_zero", .type = NN_P_BOOL, .fallback = "false",
     .help = "0 is padding: recurrent layers pass over it, attention gives it no weight"},
    {.name = "input_length", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM,
     .help = "checked: the number of steps"},
    {0},
};
/* clang-format on */

/* Whether an op hands on the numbers that it is given; custom layers may make whole ones. */
static bool keeps_numbers(nn_op op) {
    switch (op) {
    case NN_OP_INPUT:
    case NN_OP_RESHAPE:
    case NN_OP_TRANSPOSE:
    case NN_OP_REVERSE:
    case NN_OP_PAD:
    case NN_OP_CROP:
    case NN_OP_CONCAT:
    case NN_OP_FOLD:
    case NN_OP_UNFOLD:
    case NN_OP_CUSTOM:
        return true;
    default:
        return false;
    }
}

/* The node that makes other numbers of the network's input on the way to `from`, as far as the
 * first inputs tell; NULL: none does. */
static const nn_node *find_fractions(const nn_graph *g, int from) {
    const nn_node *n = &g->nodes[from];
    while (n->n_inputs && n->op != NN_OP_CUSTOM && keeps_numbers(n->op))
        n = &g->nodes[n->inputs[0]];
    return keeps_numbers(n->op) ? NULL : n;
}

static nn_status check_input(const nn_layer_ctx *c, nn_err *err) {
    const nn_node *n = find_fractions(c->graph, c->input);
    if (!n) return NN_OK;
    *c->ret_hint = "put it right after the input; Dense takes numbers of any kind";
    return nn_fail(err, NN_E_DSL_ERROR,
                   "it looks up whole numbers of the input, and %s '%s' does not give such",
                   n->layer, n->layer_name);
}

static nn_status check_length(const nn_layer_ctx *c, nn_err *err) {
    const nn_bound *a = &c->args[INPUT_LENGTH];
    if (!a->set) return NN_OK;
    if (c->shape->rank != 1)
        return nn_build_blame(c, INPUT_LENGTH, "leave it out",
                              nn_fail(err, NN_E_DSL_ERROR,
                                      "input_length goes with an input of one axis, got %d",
                                      c->shape->rank));
    int64_t steps = c->shape->dim[0];
    if (steps >= 0 && steps != a->i)
        return nn_build_blame(
            c, INPUT_LENGTH, "leave it out: the input says it",
            nn_fail(err, NN_E_DSL_ERROR,
                    "input_length=%" PRId64 ", but the input has %" PRId64 " steps", a->i, steps));
    if (steps < 0)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = a->span,
                                       .message = "input_length has no effect: the input leaves "
                                                  "its length open",
                                       .hint = "give the length to the input"});
    return NN_OK;
}

/* Padding is known step by step, so the input must be steps alone. */
static void set_mask(const nn_layer_ctx *c) {
    if (!c->args[MASK_ZERO].b) return;
    if (c->shape->rank == 1) {
        *c->ret_mask = c->input;
        return;
    }
    char text[160];
    snprintf(text, sizeof text,
             "mask_zero has no effect: padding is known of an input of one axis, this has %d",
             c->shape->rank);
    nn_build_notice(
        c, (nn_notice){
               .warning = true, .code = "advice", .at = c->args[MASK_ZERO].span, .message = text});
}

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .embedding = {a[INPUT_DIM].i, a[OUTPUT_DIM].i}
    };
    int at;
    nn_status st = check_input(c, err);
    if (!st) st = check_length(c, err);
    if (!st) st = nn_build_op(c, NN_OP_EMBEDDING, "", c->input, &attr, NULL, &at, err);
    if (!st)
        st = nn_build_weight(c, at, "embeddings", &a[INITIALIZER], &a[REGULARIZER], &a[CONSTRAINT],
                             true, err);
    if (!st) st = nn_build_activation(c, at, &(nn_build_act){0}, &at, err); /* the penalty */
    if (st) return st;
    set_mask(c);
    *ret = at;
    return NN_OK;
}

const nn_layer nn_layer_embedding = {
    .name = "Embedding",
    .base = "embedding",
    .summary = "a vector for each whole number, such as the number of a word",
    .family = "embedding",
    .rule = "(...) of whole numbers -> (..., output_dim)",
    .params = params,
    .build = build,
};
