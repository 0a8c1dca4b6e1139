/* SPDX-License-Identifier: MIT */
/* recurrent.h - what SimpleRNN, LSTM, GRU, their cells and ConvLSTM share: parameters, and building
 * one node a layer and direction. Private to layers/. Arguments are found by name, so a table may
 * hold any of them in any order; one that it does not hold is as if it was not given. */
#ifndef NN_LAYERS_RECURRENT_H
#define NN_LAYERS_RECURRENT_H
#include "layers/build.h"

/* clang-format off */
#define NN_RECURRENT_UNITS                                                                         \
    {.name = "units", .type = NN_P_INT, .required = true, .positional = true, .min = 1,            \
     .max = (double)NN_MAX_DIM, .aliases = "hidden_size", .help = "size of the state and the output"}
#define NN_RECURRENT_ACTIVATION                                                                    \
    {.name = "activation", .type = NN_P_ACTIVATION, .fallback = "tanh",                            \
     .help = "applied to the new state, element by element"}
#define NN_RECURRENT_GATES                                                                         \
    {.name = "recurrent_activation", .type = NN_P_ACTIVATION, .fallback = "sigmoid",               \
     .help = "of the gates, element by element"}
#define NN_RECURRENT_WEIGHTS                                                                       \
    NN_KERNEL_PARAMS,                                                                              \
    {.name = "recurrent_initializer", .type = NN_P_INITIALIZER, .fallback = "orthogonal",          \
     .help = "how the recurrent kernel starts"},                                                   \
    {.name = "recurrent_regularizer", .type = NN_P_REGULARIZER,                                    \
     .help = "penalty on the recurrent kernel"},                                                   \
    {.name = "recurrent_constraint", .type = NN_P_CONSTRAINT,                                      \
     .help = "applied to the recurrent kernel after each update"}
#define NN_RECURRENT_DROPOUT(open, text)                                                           \
    {.name = "dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .below_max = open,                 \
     .fallback = "0", .help = text},                                                               \
    {.name = "recurrent_dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .below_max = true,       \
     .fallback = "0", .help = "share of the state that each step of training zeroes"},                              \
    {.name = "seed", .type = NN_P_INT, .min = 0, .help = "accepted; training has one seed"}
#define NN_RECURRENT_INPUT_DROPOUT                                                                 \
    NN_RECURRENT_DROPOUT(true, "share of the input that training zeroes, alike in every step")
#define NN_RECURRENT_FORGET                                                                        \
    {.name = "unit_forget_bias", .type = NN_P_BOOL, .fallback = "true",                            \
     .help = "the bias of the forget gate starts at 1"}
#define NN_RECURRENT_RESET                                                                         \
    {.name = "reset_after", .type = NN_P_BOOL, .fallback = "true",                                 \
     .help = "the reset gate works on the product of state and recurrent kernel, not on the state"}
#define NN_RECURRENT_SEQUENCE                                                                      \
    {.name = "return_sequences", .type = NN_P_BOOL, .fallback = "false",                           \
     .help = "the output of every step, not of the last one only"},                                \
    {.name = "return_state", .type = NN_P_BOOL, .fallback = "false",                               \
     .help = "accepted; no layer can take the states"},                                            \
    {.name = "go_backwards", .type = NN_P_BOOL, .fallback = "false",                               \
     .help = "from the last step to the first; sequences come out in that order"},                 \
    {.name = "stateful", .type = NN_P_BOOL, .fallback = "false", .help = "only false"},            \
    {.name = "unroll", .type = NN_P_BOOL, .fallback = "false", .help = "accepted; no effect"},     \
    {.name = "time_major", .type = NN_P_BOOL, .fallback = "false", .help = "only false"},          \
    {.name = "num_layers", .type = NN_P_INT, .min = 1, .max = 1000, .fallback = "1",               \
     .help = "so many of them, each on the sequence of the one before"},                           \
    {.name = "bidirectional", .type = NN_P_BOOL, .fallback = "false",                              \
     .help = "in both directions, joined along the last axis after each layer"}
/* clang-format on */

/* The argument of that name; one that is not set if the layer has no such parameter. */
const nn_bound *nn_recurrent_arg(const nn_layer_ctx *c, const char *name);
/* nn_build_blame by name. */
nn_status nn_recurrent_blame(const nn_layer_ctx *c, const char *name, const char *hint,
                             nn_status st);

/* Fails for what no engine can do (stateful, an activation over several elements), says what has no
 * effect, and reads the two functions of a step (recurrent linear where there is none). */
typedef struct nn_recurrent_acts {
    nn_act activation, recurrent;
} nn_recurrent_acts;
nn_status nn_recurrent_check(const nn_layer_ctx *c, nn_recurrent_acts *ret, nn_err *err);

/* Adds kernel, recurrent kernel and, if use_bias, bias of `node`. */
nn_status nn_recurrent_weights(const nn_layer_ctx *c, int node, nn_err *err);

/* One node of a recurrent op with its weights, as "<layer>.<suffix>". */
typedef struct nn_recurrent_run {
    const char *suffix;
    bool sequences, reverse;
} nn_recurrent_run;
typedef nn_status nn_recurrent_one(const nn_layer_ctx *c, const nn_recurrent_run *r,
                                   nn_recurrent_acts acts, int from, int *ret, nn_err *err);

/* A layer that a Bidirectional may hold: merge_mode is that of Bidirectional (concat, sum, mul,
 * ave), or NULL for the layer alone, which may be bidirectional too by its own argument. */
typedef nn_status nn_recurrent_layer(const nn_layer_ctx *c, const char *merge_mode, int *ret,
                                     nn_err *err);
nn_recurrent_layer nn_build_recurrent; /* SimpleRNN, LSTM, GRU */
nn_recurrent_layer nn_build_conv_lstm;

/* The nodes of all layers and directions on `from`, and the reversal of a sequence that
 * go_backwards asks for. */
nn_status nn_recurrent_stack(const nn_layer_ctx *c, nn_recurrent_one *one, const char *merge_mode,
                             int from, int *ret, nn_err *err);

nn_recurrent_one nn_recurrent_rnn; /* a node of RNN */

/* A Dropout on the output, for a layer with an argument `dropout` that is not of its steps; none at
 * rate 0. */
nn_status nn_recurrent_drop(const nn_layer_ctx *c, int from, int *ret, nn_err *err);

extern const nn_layer nn_layer_simple_rnn, nn_layer_lstm, nn_layer_gru;
extern const nn_layer nn_layer_conv_lstm1d, nn_layer_conv_lstm2d, nn_layer_conv_lstm3d;
#endif
