/* SPDX-License-Identifier: MIT */
/* recurrent.c - SimpleRNN, LSTM and GRU by Keras's rules, and what all recurrent layers share.
 *
 * An RNN node that runs from the last step to the first leaves each output at its own step. That is
 * what a layer of two directions joins; Keras's go_backwards gives the sequence in the order in
 * which it was made, so a REVERSE follows. With num_layers every layer but the last gives its
 * sequence to the next, and two directions are joined after each of them, as in PyTorch. */
#include "layers/recurrent.h"

#include <stdio.h>
#include <string.h>

const nn_bound *nn_recurrent_arg(const nn_layer_ctx *c, const char *name) {
    static const nn_bound absent;
    int i = nn_layer_param(c->layer, name);
    return i < 0 ? &absent : &c->args[i];
}

nn_status nn_recurrent_blame(const nn_layer_ctx *c, const char *name, const char *hint,
                             nn_status st) {
    return nn_build_blame(c, nn_layer_param(c->layer, name), hint, st);
}

/* ---- what is refused, and what has no effect ---- */

typedef struct remark {
    const char *param;
    bool warning;
    const char *message, *hint;
} remark;

static const remark refused[] = {
    {"stateful",   false,
     "stateful=true is not supported: every sample starts from a zero state, whatever was in the "
     "batch before", "leave stateful out and give longer sequences"                      },
    {"time_major", false,
     "time_major=true is not supported: the steps are the first axis of a sample, the batch comes "
     "before them",  "leave time_major out and give the data as (batch, steps, features)"},
};

static const remark remarks[] = {
    {"return_state", true,  "return_state has no effect: no layer can take the states",
     "return_sequences=true gives the output of every step"                                                         },
    {"unroll",       false, "unroll has no effect: how the steps are run is up to the engine", NULL                 },
    {"seed",         false,
     "seed has no effect on a recurrent layer: its dropout draws from the seed of "
     "training",                                                                               "train { seed: … }"},
};

static nn_status check_refused(const nn_layer_ctx *c, nn_err *err) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const remark *r = &refused[i];
        if (nn_recurrent_arg(c, r->param)->b)
            return nn_recurrent_blame(c, r->param, r->hint,
                                      nn_fail(err, NN_E_UNSUPPORTED, "%s", r->message));
    }
    return NN_OK;
}

static void say(const nn_layer_ctx *c, const remark *r) {
    nn_build_notice(c, (nn_notice){.warning = r->warning,
                                   .code = "advice",
                                   .at = nn_recurrent_arg(c, r->param)->span,
                                   .message = r->message,
                                   .hint = r->hint});
}

static void say_remarks(const nn_layer_ctx *c) {
    for (size_t i = 0; i < sizeof remarks / sizeof remarks[0]; i++) {
        const nn_bound *a = nn_recurrent_arg(c, remarks[i].param);
        if (a->given && (a->b || strcmp(remarks[i].param, "seed") == 0)) say(c, &remarks[i]);
    }
}

/* The function of a step: it works on single elements, with its usual argument. */
static nn_status step_function(const nn_layer_ctx *c, const char *param, nn_act *ret, nn_err *err) {
    const nn_bound *a = nn_recurrent_arg(c, param);
    int kind = a->set ? nn_act_find(a->s) : NN_ACT_LINEAR;
    if (kind < 0)
        return nn_recurrent_blame(
            c, param, "use tanh, sigmoid, relu or another; an Activation layer after it takes any",
            nn_fail(err, NN_E_UNSUPPORTED,
                    "%s=%s is not supported: a step takes functions of one element, without "
                    "weights",
                    param, a->s));
    *ret = (nn_act)kind;
    return NN_OK;
}

nn_status nn_recurrent_check(const nn_layer_ctx *c, nn_recurrent_acts *ret, nn_err *err) {
    nn_recurrent_acts acts;
    nn_status st = check_refused(c, err);
    if (!st) st = step_function(c, "activation", &acts.activation, err);
    if (!st) st = step_function(c, "recurrent_activation", &acts.recurrent, err);
    if (st) return st;
    say_remarks(c);
    *ret = acts;
    return NN_OK;
}

/* ---- weights ---- */

/* With unit_forget_bias the forget gate starts at 1 and the others by bias_initializer (Keras). */
static nn_status bias_start(const nn_layer_ctx *c, nn_bound *ret, nn_err *err) {
    *ret = *nn_recurrent_arg(c, "bias_initializer");
    if (!nn_recurrent_arg(c, "unit_forget_bias")->b || ret->init.kind == NN_INIT_ONES ||
        ret->init.kind == NN_INIT_UNIT_FORGET)
        return NN_OK;
    if (ret->init.kind != NN_INIT_ZEROS)
        return nn_recurrent_blame(
            c, "bias_initializer", "unit_forget_bias=false uses it for all four gates",
            nn_fail(err, NN_E_UNSUPPORTED,
                    "bias_initializer=%s together with unit_forget_bias=true is not supported: the "
                    "other gates then start at 0 or 1",
                    nn_init_name(ret->init.kind)));
    nn_init_find(nn_init_name(NN_INIT_UNIT_FORGET), &ret->init);
    return NN_OK;
}

nn_status nn_recurrent_weights(const nn_layer_ctx *c, int node, nn_err *err) {
    static const struct {
        const char *weight, *init, *reg, *con;
    } kernels[] = {
        {"kernel",           "kernel_initializer",    "kernel_regularizer",    "kernel_constraint"},
        {"recurrent_kernel", "recurrent_initializer", "recurrent_regularizer",
         "recurrent_constraint"                                                                   },
    };
    for (int i = 0; i < 2; i++) {
        nn_status st = nn_build_weight(
            c, node, kernels[i].weight, nn_recurrent_arg(c, kernels[i].init),
            nn_recurrent_arg(c, kernels[i].reg), nn_recurrent_arg(c, kernels[i].con), true, err);
        if (st) return st;
    }
    if (!nn_recurrent_arg(c, "use_bias")->b) return NN_OK;
    nn_bound start;
    nn_status st = bias_start(c, &start, err);
    if (st) return st;
    bool own = start.init.kind != NN_INIT_UNIT_FORGET; /* else no error can be about it */
    return nn_build_weight(c, node, "bias", own ? nn_recurrent_arg(c, "bias_initializer") : &start,
                           nn_recurrent_arg(c, "bias_regularizer"),
                           nn_recurrent_arg(c, "bias_constraint"), true, err);
}

/* ---- nodes ---- */

/* Each kind has a parameter of its own. */
static nn_rnn_kind kind_of(const nn_layer_ctx *c) {
    if (nn_layer_param(c->layer, "unit_forget_bias") >= 0) return NN_RNN_LSTM;
    return nn_layer_param(c->layer, "reset_after") >= 0 ? NN_RNN_GRU : NN_RNN_SIMPLE;
}

nn_status nn_recurrent_rnn(const nn_layer_ctx *c, const nn_recurrent_run *r, nn_recurrent_acts acts,
                           int from, int *ret, nn_err *err) {
    const int inputs[] = {from, c->mask};
    nn_attr attr = {
        .rnn = {.kind = kind_of(c),
                .units = nn_recurrent_arg(c, "units")->i,
                .activation = acts.activation,
                .recurrent_activation = acts.recurrent,
                .bias = nn_recurrent_arg(c, "use_bias")->b,
                .sequences = r->sequences,
                .reverse = r->reverse,
                .reset_after = nn_recurrent_arg(c, "reset_after")->b,
                .dropout = nn_recurrent_arg(c, "dropout")->f,
                .recurrent_dropout = nn_recurrent_arg(c, "recurrent_dropout")->f}
    };
    int node;
    nn_status st = nn_build_op_n(c, NN_OP_RNN, r->suffix, inputs, c->mask < 0 ? 1 : 2, &attr, NULL,
                                 &node, err);
    if (!st) st = nn_recurrent_weights(c, node, err);
    if (!st) *ret = node;
    return st;
}

/* Keras's Bidirectional: along the last axis, or element by element. */
static nn_status join(const nn_layer_ctx *c, const char *mode, const char *suffix,
                      const int *halves, int *ret, nn_err *err) {
    static const struct {
        const char *name;
        nn_merge merge;
    } modes[] = {
        {"sum", NN_MERGE_ADD     },
        {"mul", NN_MERGE_MULTIPLY},
        {"ave", NN_MERGE_AVERAGE }
    };
    nn_attr attr = {0};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(mode, modes[i].name) != 0) continue;
        attr.merge.kind = modes[i].merge;
        return nn_build_op_n(c, NN_OP_MERGE, suffix, halves, 2, &attr, NULL, ret, err);
    }
    attr.concat.axis = c->graph->nodes[halves[0]].shape.rank - 1;
    return nn_build_op_n(c, NN_OP_CONCAT, suffix, halves, 2, &attr, NULL, ret, err);
}

/* One layer of a stack: a node, or one a direction and what joins them. */
static nn_status one_layer(const nn_layer_ctx *c, nn_recurrent_one *one, nn_recurrent_acts acts,
                           nn_recurrent_run r, const char *mode, int from, int *ret, nn_err *err) {
    if (!mode) return one(c, &r, acts, from, ret, err);
    static const char *const names[] = {"forward", "backward"};
    nn_status st = NN_OK;
    int halves[2];
    for (int i = 0; i < 2 && !st; i++) {
        char suffix[48];
        snprintf(suffix, sizeof suffix, "%s%s%s", r.suffix, *r.suffix ? "." : "", names[i]);
        nn_recurrent_run half = {suffix, r.sequences, r.reverse != (i == 1)};
        st = one(c, &half, acts, from, &halves[i], err);
    }
    return st ? st : join(c, mode, r.suffix, halves, ret, err);
}

nn_status nn_recurrent_stack(const nn_layer_ctx *c, nn_recurrent_one *one, const char *merge_mode,
                             int from, int *ret, nn_err *err) {
    nn_recurrent_acts acts;
    nn_status st = nn_recurrent_check(c, &acts, err);
    if (st) return st;
    if (!merge_mode && nn_recurrent_arg(c, "bidirectional")->b) merge_mode = "concat";
    bool sequences = nn_recurrent_arg(c, "return_sequences")->b;
    bool back = nn_recurrent_arg(c, "go_backwards")->b;
    int64_t layers = nn_recurrent_arg(c, "num_layers")->i;
    int at = from;
    for (int64_t k = 1; k <= layers && !st; k++) {
        char suffix[32] = "";
        if (layers > 1) snprintf(suffix, sizeof suffix, "layer_%d", (int)k);
        nn_recurrent_run r = {suffix, sequences || k < layers, back};
        st = one_layer(c, one, acts, r, merge_mode, at, &at, err);
    }
    nn_attr attr = {.reverse = {.axis = 0}};
    if (!st && back && sequences)
        st = nn_build_op(c, NN_OP_REVERSE, "reverse", at, &attr, NULL, &at, err);
    if (!st) *ret = at;
    return st;
}

nn_status nn_recurrent_drop(const nn_layer_ctx *c, int from, int *ret, nn_err *err) {
    double rate = nn_recurrent_arg(c, "dropout")->f;
    static const remark zeroed = {"dropout", true, "rate 1 zeroes every element while training",
                                  NULL};
    if (rate == 1) say(c, &zeroed);
    *ret = from;
    if (rate == 0) return NN_OK;
    nn_attr attr = {.dropout = {.rate = rate}};
    return nn_build_op(c, NN_OP_DROPOUT, "dropout", from, &attr, NULL, ret, err);
}

/* ---- SimpleRNN, LSTM, GRU ---- */

static const char *rank_hint(const nn_layer_ctx *c) {
    int rank = c->shape->rank;
    if (rank == 1)
        return "for tokens put Embedding(input_dim, output_dim) before it, for numbers "
               "Reshape((steps, features)), or use Dense";
    if (c->graph->nodes[c->input].op == NN_OP_EMBEDDING)
        return "Embedding adds an axis: the tokens of a text are an input of one axis, such as "
               "(100,); for vectors as they are leave Embedding out";
    if (rank > 2)
        return "TimeDistributed(Flatten()) makes one axis of those after the steps; ConvLSTM2D "
               "works on a sequence of images";
    return NULL;
}

/* The padding of a sequence goes on with it, unless the sequence is turned around. */
static void pass_mask(const nn_layer_ctx *c) {
    if (c->mask < 0 || !nn_recurrent_arg(c, "return_sequences")->b) return;
    if (!nn_recurrent_arg(c, "go_backwards")->b) {
        *c->ret_mask = c->mask;
        return;
    }
    static const remark lost = {"go_backwards", true,
                                "the padding is not passed on: go_backwards reverses the sequence",
                                "Bidirectional keeps it"};
    say(c, &lost);
}

nn_status nn_build_recurrent(const nn_layer_ctx *c, const char *merge_mode, int *ret, nn_err *err) {
    int at;
    nn_status st = nn_recurrent_stack(c, nn_recurrent_rnn, merge_mode, c->input, &at, err);
    if (!st) st = nn_build_activation(c, at, &(nn_build_act){0}, &at, err); /* the penalty */
    if (st == NN_E_DSL_ERROR && c->shape->rank != 2 && !*c->ret_hint) *c->ret_hint = rank_hint(c);
    if (st) return st;
    pass_mask(c);
    *ret = at;
    return NN_OK;
}

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return nn_build_recurrent(c, NULL, ret, err);
}

/* clang-format off */
static const nn_param simple_rnn_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_WEIGHTS, NN_RECURRENT_INPUT_DROPOUT,
    NN_RECURRENT_SEQUENCE, {0}};
static const nn_param lstm_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_FORGET, NN_RECURRENT_INPUT_DROPOUT, NN_RECURRENT_SEQUENCE, {0}};
static const nn_param gru_params[] = {
    NN_RECURRENT_UNITS, NN_RECURRENT_ACTIVATION, NN_RECURRENT_GATES, NN_RECURRENT_WEIGHTS,
    NN_RECURRENT_RESET, NN_RECURRENT_INPUT_DROPOUT, NN_RECURRENT_SEQUENCE, {0}};
/* clang-format on */

#define RULE                                                                                       \
    "(steps, features) -> (units), or (steps, units) with return_sequences; twice the units if "   \
    "bidirectional"

const nn_layer nn_layer_simple_rnn = {
    .name = "SimpleRNN",
    .base = "simple_rnn",
    .summary = "a recurrent layer: each step sees the output of the one before",
    .family = "recurrent",
    .rule = RULE,
    .params = simple_rnn_params,
    .build = build,
};

const nn_layer nn_layer_lstm = {
    .name = "LSTM",
    .base = "lstm",
    .summary = "long short-term memory: a recurrent layer with a state behind gates",
    .family = "recurrent",
    .rule = RULE,
    .params = lstm_params,
    .build = build,
};

const nn_layer nn_layer_gru = {
    .name = "GRU",
    .base = "gru",
    .summary = "gated recurrent unit: a recurrent layer with two gates",
    .family = "recurrent",
    .rule = RULE,
    .params = gru_params,
    .build = build,
};
