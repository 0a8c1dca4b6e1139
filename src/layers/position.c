/* SPDX-License-Identifier: MIT */
/* position.c - PositionalEncoding: adds to each step a code of its place, the sines and cosines of
 * Vaswani et al. 2017 (3.5) or learned rows. */
#include "layers/build.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_LEN, ENCODING, INITIALIZER };

/* clang-format off */
static const nn_param params[] = {
    {.name = "max_len", .type = NN_P_INT, .positional = true, .min = 1, .max = (double)NN_MAX_DIM,
     .fallback = "5000", .aliases = "max_length|sequence_length",
     .help = "most steps that a sequence may have"},
    {.name = "encoding_type", .type = NN_P_ENUM, .words = "sinusoidal|learnable",
     .fallback = "sinusoidal",
     .help = "sinusoidal: fixed sines and cosines; learnable: a weight for each place"},
    {.name = "embeddings_initializer", .type = NN_P_INITIALIZER, .fallback = "random_uniform",
     .help = "how a learnable code starts"},
    {0},
};
/* clang-format on */

static nn_status check_input(const nn_layer_ctx *c, nn_err *err) {
    char s[160];
    int64_t most = c->args[MAX_LEN].i;
    nn_status st;
    if (c->shape->rank != 2 || c->shape->dim[1] < 0) {
        st = nn_fail(err, NN_E_DSL_ERROR,
                     "expected (steps, features) with a known number of features, got %s",
                     nn_shape_print(c->shape, false, s, sizeof s));
        return nn_err_hint(err, st,
                           "put it behind Embedding(input_dim, output_dim), or join other axes "
                           "with Reshape((-1, features))");
    }
    if (c->shape->dim[0] <= most) return NN_OK;
    st =
        nn_fail(err, NN_E_DSL_ERROR, "max_len=%" PRId64 " is less than the %" PRId64 " steps of %s",
                most, c->shape->dim[0], nn_shape_print(c->shape, false, s, sizeof s));
    st = nn_err_hint(err, st, "give max_len=%" PRId64 " or more", c->shape->dim[0]);
    return nn_build_blame(c, MAX_LEN, NULL, st);
}

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .position = {.max_len = a[MAX_LEN].i,
                     .learnable = strcmp(a[ENCODING].s, "learnable") == 0}
    };
    int node;
    nn_status st = check_input(c, err);
    if (!st) st = nn_build_op(c, NN_OP_POSITION, "", c->input, &attr, NULL, &node, err);
    if (!st && attr.position.learnable)
        st = nn_build_weight(c, node, "embeddings", &a[INITIALIZER], NULL, NULL, true, err);
    if (!st) *ret = node;
    return st;
}

const nn_layer nn_layer_positional_encoding = {
    .name = "PositionalEncoding",
    .base = "positional_encoding",
    .summary = "adds to each step a code of its place",
    .family = "attention",
    .rule = "(steps, features) -> (steps, features), steps at most max_len",
    .params = params,
    .passes_mask = true,
    .build = build,
};
