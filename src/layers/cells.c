/* SPDX-License-Identifier: MIT */
/* cells.c - the cells of the recurrent layers as layers: one step from a zero state; and the
 * ...DropoutWrapper layers of language.md 6.5: a recurrent layer with a Dropout on its output. */
#include "layers/recurrent.h"

#include <inttypes.h>
#include <string.h>

/* ---- cells ---- */

/* "LSTMCell" -> "LSTM" */
static int sequence_layer_length(const nn_layer_ctx *c) {
    return (int)(strlen(c->layer->name) - strlen("Cell"));
}

static nn_status refuse_sequence(const nn_layer_ctx *c, nn_err *err) {
    char s[160];
    int n = sequence_layer_length(c);
    nn_status st = nn_fail(err, NN_E_DSL_ERROR, "one step takes (features), got input %s",
                           nn_shape_print(c->shape, false, s, sizeof s));
    return nn_err_hint(err, st, "use %.*s(%" PRId64 "): it runs over all steps of a sequence", n,
                       c->layer->name, nn_recurrent_arg(c, "units")->i);
}

static nn_status build_cell(const nn_layer_ctx *c, int *ret, nn_err *err) {
    if (c->shape->rank != 1) return refuse_sequence(c, err);
    nn_recurrent_acts acts;
    const nn_shape step = {
        .rank = 2, .dim = {1, c->shape->dim[0]}
    };
    nn_layer_ctx x = *c;
    x.mask = -1; /* there is no step to pass over */
    int at;
    nn_status st = nn_recurrent_check(c, &acts, err);
    if (!st) st = nn_build_op(c, NN_OP_RESHAPE, "step", c->input, NULL, &step, &at, err);
    if (!st) st = nn_recurrent_rnn(&x, &(nn_recurrent_run){.suffix = ""}, acts, at, &at, err);
    if (!st) st = nn_build_activation(c, at, &(nn_build_act){0}, &at, err); /* the penalty */
    if (!st) *ret = at;
    return st;
}

/* clang-format off */
static const nn_param simple_rnn_cell_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_WEIGHTS, NN_RECURRENT_INPUT_DROPOUT,
    {0}};
static const nn_param lstm_cell_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_FORGET, NN_RECURRENT_INPUT_DROPOUT, {0}};
static const nn_param gru_cell_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_RESET, NN_RECURRENT_INPUT_DROPOUT, {0}};
/* clang-format on */

const nn_layer nn_layer_simple_rnn_cell = {
    .name = "SimpleRNNCell",
    .base = "simple_rnn_cell",
    .summary = "one step of SimpleRNN from a zero state",
    .family = "recurrent",
    .rule = "(features) -> (units)",
    .params = simple_rnn_cell_params,
    .build = build_cell,
};

const nn_layer nn_layer_lstm_cell = {
    .name = "LSTMCell",
    .base = "lstm_cell",
    .summary = "one step of LSTM from a zero state",
    .family = "recurrent",
    .rule = "(features) -> (units)",
    .params = lstm_cell_params,
    .build = build_cell,
};

const nn_layer nn_layer_gru_cell = {
    .name = "GRUCell",
    .base = "gru_cell",
    .summary = "one step of GRU from a zero state",
    .family = "recurrent",
    .rule = "(features) -> (units)",
    .params = gru_cell_params,
    .build = build_cell,
};

/* ---- wrappers ---- */

/* `dropout` is of the output, so the layer itself gets none. */
static nn_status build_wrapper(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int n = nn_layer_n_params(c->layer) + NN_COMMON_COUNT;
    nn_bound *args = NN_NEW_N(c->graph->arena, nn_bound, (size_t)n);
    if (!args) return nn_fail(err, NN_E_LIMIT, "no memory for the arguments of %s", c->name);
    memcpy(args, c->args, (size_t)n * sizeof *args);
    args[nn_layer_param(c->layer, "dropout")].f = 0;
    nn_layer_ctx x = *c;
    x.args = args;
    int at;
    nn_status st = nn_build_recurrent(&x, NULL, &at, err);
    if (!st) st = nn_recurrent_drop(c, at, &at, err);
    if (!st) *ret = at;
    return st;
}

#define OUTPUT_DROPOUT NN_RECURRENT_DROPOUT(false, "share of the output that training zeroes")
/* clang-format off */
static const nn_param simple_rnn_wrapper_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_WEIGHTS, OUTPUT_DROPOUT,
    NN_RECURRENT_SEQUENCE, {0}};
static const nn_param lstm_wrapper_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_FORGET, OUTPUT_DROPOUT, NN_RECURRENT_SEQUENCE, {0}};
static const nn_param gru_wrapper_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_RESET, OUTPUT_DROPOUT, NN_RECURRENT_SEQUENCE, {0}};
/* clang-format on */

#define WRAPPER_RULE "(steps, features) -> (units), or (steps, units) with return_sequences"

const nn_layer nn_layer_simple_rnn_dropout_wrapper = {
    .name = "SimpleRNNDropoutWrapper",
    .base = "simple_rnn_dropout_wrapper",
    .summary = "SimpleRNN, then Dropout",
    .family = "recurrent",
    .rule = WRAPPER_RULE,
    .params = simple_rnn_wrapper_params,
    .build = build_wrapper,
};

const nn_layer nn_layer_lstm_dropout_wrapper = {
    .name = "LSTMDropoutWrapper",
    .base = "lstm_dropout_wrapper",
    .summary = "LSTM, then Dropout",
    .family = "recurrent",
    .rule = WRAPPER_RULE,
    .params = lstm_wrapper_params,
    .build = build_wrapper,
};

const nn_layer nn_layer_gru_dropout_wrapper = {
    .name = "GRUDropoutWrapper",
    .base = "gru_dropout_wrapper",
    .summary = "GRU, then Dropout",
    .family = "recurrent",
    .rule = WRAPPER_RULE,
    .params = gru_wrapper_params,
    .build = build_wrapper,
};
