/* SPDX-License-Identifier: MIT */
#include "net_words.h"

#include "t.h"

#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

static int dims(const char *s, int64_t *ret) {
    int n = 0;
    for (char *end; *s; s = *end ? end + 1 : end, n++) ret[n] = strtoll(s, &end, 10);
    return n;
}

/* The value of option "k=" among the words; NULL if it is not there. */
static const char *option(char **words, int n, const char *key) {
    size_t len = strlen(key);
    for (int i = 1; i < n; i++)
        if (strncmp(words[i], key, len) == 0 && words[i][len] == '=') return words[i] + len + 1;
    return NULL;
}

static double real_option(char **words, int n, const char *key, double fallback) {
    const char *s = option(words, n, key);
    return s ? atof(s) : fallback;
}

static bool has(char **words, int n, const char *word) {
    for (int i = 1; i < n; i++)
        if (strcmp(words[i], word) == 0) return true;
    return false;
}

static int64_t whole(const char *s) {
    return strtoll(s, NULL, 10);
}

/* "1:2x0:1", or "1x0" for the same on both sides; returns how many axes. */
static int borders(const char *s, int64_t *before, int64_t *after) {
    int n = 0;
    for (char *end; *s; s = *end ? end + 1 : end, n++) {
        before[n] = strtoll(s, &end, 10);
        after[n] = *end == ':' ? strtoll(end + 1, &end, 10) : before[n];
    }
    return n;
}

static nn_window window(char **words, int n) {
    nn_window w = {0};
    w.spatial = dims(option(words, n, "k"), w.size);
    for (int i = 0; i < w.spatial; i++) w.stride[i] = w.dilation[i] = 1;
    const char *s = option(words, n, "s"), *d = option(words, n, "d"), *p = option(words, n, "p");
    if (s) dims(s, w.stride);
    if (d) dims(d, w.dilation);
    if (p && strcmp(p, "same") == 0)
        w.same = true;
    else if (p)
        borders(p, w.pad_before, w.pad_after);
    return w;
}

static nn_shape shape_of(char **words, int n) {
    nn_shape s = {.rank = n - 1};
    for (int i = 1; i < n; i++) s.dim[i - 1] = whole(words[i]);
    return s;
}

static nn_act act_option(char **words, int n, const char *key, nn_act fallback) {
    const char *s = option(words, n, key);
    return s ? (nn_act)nn_act_find(s) : fallback;
}

/* ---- ops that are called otherwise here ---- */

static const struct {
    const char *word;
    nn_op op;
} names[] = {
    {"dense",       NN_OP_MATMUL         },
    {"gap",         NN_OP_GLOBAL_AVG_POOL},
    {"bn",          NN_OP_BATCH_NORM     },
    {"act",         NN_OP_ACTIVATION     },
    {"log_softmax", NN_OP_SOFTMAX        },
    {"flatten",     NN_OP_RESHAPE        },
    {"simple_rnn",  NN_OP_RNN            },
    {"lstm",        NN_OP_RNN            },
    {"gru",         NN_OP_RNN            },
};

nn_op net_op(const char *word) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].word, word) == 0) return names[i].op;
    int op = nn_op_find(word);
    if (op < 0) fail_msg("no op '%s'", word);
    return (nn_op)op;
}

/* ---- attributes ---- */

typedef void fill_fn(nn_node_spec *spec, nn_attr *a, char **words, int n, const nn_shape *in);
#define FILL(name)                                                                                 \
    static void fill_##name(nn_node_spec *spec __attribute__((unused)),                            \
                            nn_attr *a __attribute__((unused)), char **words, int n,               \
                            const nn_shape *in __attribute__((unused)))

FILL(input) {
    spec->shape = shape_of(words, n);
}

FILL(matmul) {
    a->matmul.units = whole(words[1]);
    a->matmul.bias = !has(words, n, "nobias");
}

FILL(conv) {
    a->conv.window = window(words, n);
    a->conv.filters = whole(option(words, n, "f"));
    a->conv.groups = option(words, n, "g") ? whole(option(words, n, "g")) : 1;
    a->conv.bias = !has(words, n, "nobias");
}

FILL(conv_transpose) {
    const char *more = option(words, n, "op");
    a->conv_transpose.window = window(words, n);
    a->conv_transpose.filters = whole(option(words, n, "f"));
    a->conv_transpose.groups = option(words, n, "g") ? whole(option(words, n, "g")) : 1;
    a->conv_transpose.bias = !has(words, n, "nobias");
    a->conv_transpose.output_padding_given = more != NULL;
    if (more) dims(more, a->conv_transpose.output_padding);
}

FILL(pool) {
    a->pool = window(words, n);
}

FILL(global_pool) {
    a->global_pool.keepdims = has(words, n, "keepdims");
}

FILL(adaptive_pool) {
    a->adaptive_pool.spatial = n - 1;
    for (int i = 1; i < n; i++) a->adaptive_pool.size[i - 1] = whole(words[i]);
}

FILL(upsample) {
    a->upsample.bilinear = has(words, n, "bilinear");
    a->upsample.spatial = n - 1 - a->upsample.bilinear;
    for (int i = 0; i < a->upsample.spatial; i++) a->upsample.factor[i] = whole(words[i + 1]);
}

FILL(border) {
    assert_int_equal(n, 2);
    a->border.spatial = borders(words[1], a->border.before, a->border.after);
}

FILL(reverse) {
    assert_int_equal(n, 2);
    a->reverse.axis = (int)whole(words[1]);
}

FILL(batch_norm) {
    a->batch_norm.momentum = 0.9;
    a->batch_norm.epsilon = 1e-3;
    a->batch_norm.center = !has(words, n, "nobeta");
    a->batch_norm.scale = !has(words, n, "nogamma");
}

FILL(layer_norm) {
    a->layer_norm.epsilon = 1e-3;
    a->layer_norm.center = !has(words, n, "nobeta");
    a->layer_norm.scale = !has(words, n, "nogamma");
}

FILL(group_norm) {
    a->group_norm.groups = whole(words[1]);
    a->group_norm.epsilon = 1e-3;
    a->group_norm.center = !has(words, n, "nobeta");
    a->group_norm.scale = !has(words, n, "nogamma");
}

FILL(activation) {
    a->activation.kind = (nn_act)nn_act_find(words[1]);
    a->activation.alpha = real_option(words, n, "a", nn_act_default_alpha(a->activation.kind));
}

FILL(prelu) {
    int64_t axes[NN_MAX_RANK];
    const char *shared = option(words, n, "shared");
    for (int i = 0, count = shared ? dims(shared, axes) : 0; i < count; i++)
        a->prelu.shared |= 1U << axes[i];
}

FILL(clip) {
    assert_int_equal(n, 3);
    a->clip.low = atof(words[1]);
    a->clip.high = atof(words[2]);
}

FILL(softmax) {
    assert_int_equal(n, 1);
    a->softmax.log = words[0][0] == 'l';
}

FILL(dropout) {
    const char *noise = option(words, n, "noise");
    a->dropout.rate = atof(words[1]);
    if (noise) a->dropout.noise_shape.rank = dims(noise, a->dropout.noise_shape.dim);
}

FILL(activity_reg) {
    assert_int_equal(n, 3);
    a->activity_reg.l1 = atof(words[1]);
    a->activity_reg.l2 = atof(words[2]);
}

FILL(reshape) {
    a->reshape.flatten = words[0][0] == 'f';
    spec->shape = a->reshape.flatten ? (nn_shape){.rank = 1, .dim = {nn_shape_elements(in)}}
                                     : shape_of(words, n);
}

FILL(transpose) {
    for (int i = 1; i < n; i++) a->transpose.perm[i - 1] = (int)whole(words[i]);
}

FILL(embedding) {
    assert_int_equal(n, 3);
    a->embedding.input_dim = whole(words[1]);
    a->embedding.output_dim = whole(words[2]);
}

FILL(position) {
    a->position.max_len = 20;
    a->position.learnable = has(words, n, "learnable");
}

FILL(rnn) {
    a->rnn.kind = words[0][0] == 's'   ? NN_RNN_SIMPLE
                  : words[0][0] == 'l' ? NN_RNN_LSTM
                                       : NN_RNN_GRU;
    a->rnn.units = whole(words[1]);
    a->rnn.activation = act_option(words, n, "act", NN_ACT_TANH);
    a->rnn.recurrent_activation = act_option(words, n, "gate", NN_ACT_SIGMOID);
    a->rnn.bias = !has(words, n, "nobias");
    a->rnn.sequences = has(words, n, "sequences");
    a->rnn.reverse = has(words, n, "reverse");
    a->rnn.reset_after = has(words, n, "reset_after");
    a->rnn.dropout = real_option(words, n, "dropout", 0);
    a->rnn.recurrent_dropout = real_option(words, n, "recurrent_dropout", 0);
}

FILL(conv_lstm) {
    a->conv_lstm.window = window(words, n);
    a->conv_lstm.filters = whole(option(words, n, "f"));
    a->conv_lstm.activation = act_option(words, n, "act", NN_ACT_TANH);
    a->conv_lstm.recurrent_activation = act_option(words, n, "gate", NN_ACT_SIGMOID);
    a->conv_lstm.bias = !has(words, n, "nobias");
    a->conv_lstm.sequences = has(words, n, "sequences");
    a->conv_lstm.reverse = has(words, n, "reverse");
    a->conv_lstm.dropout = real_option(words, n, "dropout", 0);
    a->conv_lstm.recurrent_dropout = real_option(words, n, "recurrent_dropout", 0);
}

FILL(attention) {
    a->attention.heads = whole(words[1]);
    a->attention.scale = real_option(words, n, "scale", 1);
    a->attention.causal = has(words, n, "causal");
    a->attention.additive = has(words, n, "additive");
    a->attention.use_scale = has(words, n, "use_scale");
    a->attention.dropout = real_option(words, n, "dropout", 0);
}

FILL(merge) {
    assert_int_equal(n, 2);
    a->merge.kind = (nn_merge)nn_merge_find(words[1]);
}

FILL(concat) {
    assert_int_equal(n, 2);
    a->concat.axis = (int)whole(words[1]);
}

FILL(dot) {
    a->dot.axes[0] = (int)whole(words[1]);
    a->dot.axes[1] = (int)whole(words[2]);
    a->dot.normalize = has(words, n, "normalize");
}

FILL(noise) {
    a->noise.value = atof(words[1]);
    a->noise.kind = has(words, n, "dropout") ? NN_NOISE_GAUSSIAN_DROPOUT
                    : has(words, n, "alpha") ? NN_NOISE_ALPHA_DROPOUT
                                             : NN_NOISE_GAUSSIAN;
}

FILL(unfold) {
    assert_int_equal(n, 2);
    a->unfold.size = whole(words[1]);
}

FILL(nothing) {
    assert_int_equal(n, 1);
    (void)words;
}

static fill_fn *const fills[NN_OP_COUNT] = {
    [NN_OP_INPUT] = fill_input,
    [NN_OP_MATMUL] = fill_matmul,
    [NN_OP_CONV] = fill_conv,
    [NN_OP_CONV_TRANSPOSE] = fill_conv_transpose,
    [NN_OP_MAX_POOL] = fill_pool,
    [NN_OP_AVG_POOL] = fill_pool,
    [NN_OP_GLOBAL_MAX_POOL] = fill_global_pool,
    [NN_OP_GLOBAL_AVG_POOL] = fill_global_pool,
    [NN_OP_ADAPTIVE_MAX_POOL] = fill_adaptive_pool,
    [NN_OP_ADAPTIVE_AVG_POOL] = fill_adaptive_pool,
    [NN_OP_UPSAMPLE] = fill_upsample,
    [NN_OP_PAD] = fill_border,
    [NN_OP_CROP] = fill_border,
    [NN_OP_REVERSE] = fill_reverse,
    [NN_OP_BATCH_NORM] = fill_batch_norm,
    [NN_OP_LAYER_NORM] = fill_layer_norm,
    [NN_OP_GROUP_NORM] = fill_group_norm,
    [NN_OP_ACTIVATION] = fill_activation,
    [NN_OP_PRELU] = fill_prelu,
    [NN_OP_CLIP] = fill_clip,
    [NN_OP_SOFTMAX] = fill_softmax,
    [NN_OP_DROPOUT] = fill_dropout,
    [NN_OP_NOISE] = fill_noise,
    [NN_OP_ACTIVITY_REG] = fill_activity_reg,
    [NN_OP_RESHAPE] = fill_reshape,
    [NN_OP_TRANSPOSE] = fill_transpose,
    [NN_OP_EMBEDDING] = fill_embedding,
    [NN_OP_POSITION] = fill_position,
    [NN_OP_RNN] = fill_rnn,
    [NN_OP_CONV_LSTM] = fill_conv_lstm,
    [NN_OP_ATTENTION] = fill_attention,
    [NN_OP_MERGE] = fill_merge,
    [NN_OP_CONCAT] = fill_concat,
    [NN_OP_DOT] = fill_dot,
    [NN_OP_FOLD] = fill_nothing,
    [NN_OP_UNFOLD] = fill_unfold,
};

void net_attributes(nn_node_spec *spec, char **words, int n, const nn_shape *in) {
    if (!fills[spec->op]) fail_msg("net_words.c has no words for %s", words[0]);
    fills[spec->op](spec, &spec->attr, words, n, in);
}
