/* SPDX-License-Identifier: MIT */
/* transformer.c - TransformerEncoder, TransformerDecoder and Transformer with the arithmetic of
 * PyTorch's TransformerEncoderLayer and TransformerDecoderLayer: d the features of the input,
 *
 *     encoder: attention to itself, feed-forward
 *     decoder: causal attention to itself, attention to the memory if there is one, feed-forward
 *     each part: x = norm(x + dropout(part(x))); norm_first: x = x + dropout(part(norm(x)))
 *     feed-forward: Dense(ff_dim, activation), dropout, Dense(d), or the layers of a block
 *
 * Heads have d / num_heads features; dropout works on the attention weights too. Parameters of an
 * encoder layer: 4 (d d + d) + 2 d ff + ff + d + 4 d. Images are sequences of their pixels for the
 * attention, and stay images for a block. Ops are called "<layer>.self_attention.query", behind a
 * number when there are several layers. */
#include "layers/attention.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    HEADS,
    FF_DIM,
    D_MODEL,
    DROPOUT,
    N_LAYERS,
    ACTIVATION,
    NORM_FIRST,
    CAUSAL,
    EPSILON,
    USE_BIAS,
    KERNEL_INIT,
    BIAS_INIT
};

/* clang-format off */
#define TRANSFORMER_PARAMS(causal_default, causal_help)                                            \
    {.name = "num_heads", .type = NN_P_INT, .positional = true, .min = 1,                          \
     .max = (double)NN_MAX_DIM, .fallback = "8", .aliases = "nhead|heads",                         \
     .help = "attentions side by side; divides the features of the input"},                        \
    {.name = "ff_dim", .type = NN_P_INT, .positional = true, .min = 1,                             \
     .max = (double)NN_MAX_DIM, .fallback = "512",                                                 \
     .aliases = "dim_feedforward|intermediate_dim",                                                \
     .help = "width of the feed-forward part, unless a block stands for it"},                      \
    {.name = "d_model", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM,                     \
     .help = "the features of the input; only checked"},                                           \
    {.name = "dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .below_max = true,                 \
     .fallback = "0.1", .help = "share that training zeroes, in every part"},                      \
    {.name = "num_layers", .type = NN_P_INT, .min = 1, .max = 1000, .fallback = "1",               \
     .help = "how many of them follow each other"},                                                \
    {.name = "activation", .type = NN_P_ACTIVATION, .fallback = "relu",                            \
     .help = "of the feed-forward part"},                                                          \
    {.name = "norm_first", .type = NN_P_BOOL, .fallback = "false",                                 \
     .aliases = "normalize_first",                                                                 \
     .help = "normalise before each part rather than after it"},                                   \
    {.name = "causal", .type = NN_P_BOOL, .fallback = causal_default,                              \
     .aliases = "use_causal_mask", .help = causal_help},                                           \
    {.name = "layer_norm_epsilon", .type = NN_P_FLOAT, .min = 0, .above_min = true,                \
     .fallback = "1e-5", .aliases = "layer_norm_eps|epsilon",                                      \
     .help = "added to the variance; the default is PyTorch's"},                                   \
    {.name = "use_bias", .type = NN_P_BOOL, .fallback = "true",                                    \
     .help = "add biases, those of the normalisation included"},                                   \
    {.name = "kernel_initializer", .type = NN_P_INITIALIZER, .fallback = "glorot_uniform",         \
     .help = "how the kernels start"},                                                             \
    {.name = "bias_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",                    \
     .help = "how the biases start"},                                                              \
    {0}

#define CAUSAL_HELP "a step attends to itself and what comes before it"
static const nn_param encoder_params[] = {TRANSFORMER_PARAMS("false", CAUSAL_HELP)};
static const nn_param decoder_params[] = {TRANSFORMER_PARAMS("true", CAUSAL_HELP)};
static const nn_param both_params[] = {TRANSFORMER_PARAMS(
    NULL, CAUSAL_HELP "; by default in the decoder only")};
/* clang-format on */

/* A row of equal layers, and which of them is being built. */
typedef struct stack {
    const nn_layer_ctx *c;
    const char *part; /* "", "encoder", "decoder" */
    int64_t d;
    bool causal;
    int mask;                /* of what goes in; -1: none */
    int memory, memory_mask; /* what a decoder attends to; -1: none */
    nn_bound kernel[NN_K_COUNT];
    char prefix[24]; /* of the op names: "encoder.3" */
} stack;

/* ---- one part and what stands around it ---- */

typedef nn_status part_fn(const stack *s, const char *name, int from, int *ret, nn_err *err);

static nn_status add_norm(const stack *s, const char *suffix, int from, int *ret, nn_err *err) {
    static const nn_bound ones = {.init = {.kind = NN_INIT_ONES}};
    static const nn_bound zeros = {.init = {.kind = NN_INIT_ZEROS}};
    const nn_bound *a = s->c->args;
    nn_attr attr = {
        .layer_norm = {.epsilon = a[EPSILON].f, .center = a[USE_BIAS].b, .scale = true}
    };
    int node;
    nn_status st = nn_build_op(s->c, NN_OP_LAYER_NORM, suffix, from, &attr, NULL, &node, err);
    if (!st) st = nn_build_weight(s->c, node, "gamma", &ones, NULL, NULL, true, err);
    if (!st && a[USE_BIAS].b)
        st = nn_build_weight(s->c, node, "beta", &zeros, NULL, NULL, true, err);
    if (!st) *ret = node;
    return st;
}

static nn_status add_dropout(const stack *s, const char *suffix, int from, int *ret, nn_err *err) {
    nn_attr attr = {.dropout = {.rate = s->c->args[DROPOUT].f}};
    *ret = from;
    if (attr.dropout.rate == 0) return NN_OK;
    return nn_build_op(s->c, NN_OP_DROPOUT, suffix, from, &attr, NULL, ret, err);
}

static nn_status add_sum(const stack *s, const char *suffix, int x, int y, int *ret, nn_err *err) {
    nn_attr attr = {.merge = {NN_MERGE_ADD}};
    int in[] = {x, y};
    return nn_build_op_n(s->c, NN_OP_MERGE, suffix, in, 2, &attr, NULL, ret, err);
}

static nn_status add_part(const stack *s, const char *part, part_fn *fn, int from, int *ret,
                          nn_err *err) {
    char name[NN_MAX_SUFFIX], norm[NN_MAX_SUFFIX], drop[NN_MAX_SUFFIX], sum[NN_MAX_SUFFIX];
    bool first = s->c->args[NORM_FIRST].b;
    int at = from;
    nn_build_suffix(name, s->prefix, part);
    nn_build_suffix(norm, name, "norm");
    nn_status st = first ? add_norm(s, norm, at, &at, err) : NN_OK;
    if (!st) st = fn(s, name, at, &at, err);
    if (!st) st = add_dropout(s, nn_build_suffix(drop, name, "dropout"), at, &at, err);
    if (!st) st = add_sum(s, nn_build_suffix(sum, name, "add"), from, at, &at, err);
    if (!st && !first) st = add_norm(s, norm, at, &at, err);
    if (!st) *ret = at;
    return st;
}

/* ---- the parts ---- */

static nn_status attend(const stack *s, const char *name, int query, int key, int mask, bool causal,
                        int *ret, nn_err *err) {
    const nn_bound *a = s->c->args;
    int64_t size = s->d / a[HEADS].i;
    nn_heads h = {.prefix = name,
                  .query = query,
                  .value = key,
                  .key = key,
                  .heads = a[HEADS].i,
                  .key_dim = size,
                  .value_dim = size,
                  .units = s->d,
                  .dropout = a[DROPOUT].f,
                  .causal = causal,
                  .mask = mask,
                  .kernel = s->kernel};
    return nn_build_heads(s->c, &h, ret, err);
}

static nn_status self_attention(const stack *s, const char *name, int from, int *ret, nn_err *err) {
    return attend(s, name, from, from, s->mask, s->causal, ret, err);
}

static nn_status cross_attention(const stack *s, const char *name, int from, int *ret,
                                 nn_err *err) {
    return attend(s, name, from, s->memory, s->memory_mask, false, ret, err);
}

static nn_status check_block(const nn_shape *in, const nn_shape *out, nn_err *err) {
    char a[160], b[160];
    if (nn_shape_equal(in, out)) return NN_OK;
    nn_status st =
        nn_fail(err, NN_E_DSL_ERROR,
                "its block makes %s of %s: it is added to its input, so the shape must "
                "stay the same",
                nn_shape_print(out, false, b, sizeof b), nn_shape_print(in, false, a, sizeof a));
    int64_t d = in->dim[in->rank - 1];
    bool last = out->rank == in->rank;
    for (int i = 0; last && i < in->rank - 1; i++) last = in->dim[i] == out->dim[i];
    if (last) return nn_err_hint(err, st, "end the block with Dense(%" PRId64 ")", d);
    return nn_err_hint(err, st,
                       "convolutions keep the sizes with padding=\"same\"; end the block with "
                       "%" PRId64 " features",
                       d);
}

static nn_status feed_forward(const stack *s, const char *name, int from, int *ret, nn_err *err) {
    const nn_bound *a = s->c->args;
    char hidden[NN_MAX_SUFFIX], act[NN_MAX_SUFFIX], drop[NN_MAX_SUFFIX], out[NN_MAX_SUFFIX];
    nn_build_suffix(hidden, name, "hidden");
    nn_build_suffix(act, hidden, a[ACTIVATION].s);
    nn_build_suffix(drop, hidden, "dropout");
    nn_build_act activation = {.name = a[ACTIVATION].s, .suffix = act};
    int at;
    nn_status st = nn_build_dense(s->c, hidden, from, a[FF_DIM].i, s->kernel, &at, err);
    if (!st) st = nn_build_activation(s->c, at, &activation, &at, err);
    if (!st) st = add_dropout(s, drop, at, &at, err);
    nn_build_suffix(out, name, "output");
    return st ? st : nn_build_dense(s->c, out, at, s->d, s->kernel, ret, err);
}

static nn_status block(const stack *s, const char *name, int from, int *ret, nn_err *err) {
    (void)name; /* its layers have names of their own */
    const nn_shape in = s->c->graph->nodes[from].shape;
    int at;
    nn_status st = nn_build_block(s->c, from, &at, err);
    if (!st && at == from) {
        st = nn_fail(err, NN_E_DSL_ERROR,
                     "its block is empty, but stands for the feed-forward part");
        return nn_err_hint(err, st, "put layers into it, or leave out the braces");
    }
    if (!st) st = check_block(&in, &s->c->graph->nodes[at].shape, err);
    if (!st) *ret = at;
    return st;
}

static nn_status add_layer(const stack *s, int from, int *ret, nn_err *err) {
    int at = from;
    part_fn *last = s->c->block ? block : feed_forward;
    nn_status st = add_part(s, "self_attention", self_attention, at, &at, err);
    if (!st && s->memory >= 0) st = add_part(s, "cross_attention", cross_attention, at, &at, err);
    if (!st) st = add_part(s, "feed_forward", last, at, &at, err);
    if (!st) *ret = at;
    return st;
}

static nn_status add_stack(stack *s, int from, int *ret, nn_err *err) {
    int at = from;
    int64_t n = s->c->args[N_LAYERS].i;
    nn_status st = NN_OK;
    for (int64_t i = 0; !st && i < n; i++) {
        snprintf(s->prefix, sizeof s->prefix, "%s", s->part);
        if (n > 1)
            snprintf(s->prefix, sizeof s->prefix, "%s%s%" PRId64, s->part, *s->part ? "." : "", i);
        st = add_layer(s, at, &at, err);
    }
    if (!st) *ret = at;
    return st;
}

/* ---- arguments and inputs ---- */

/* The divisors of d next to n: the largest up to n and the least above it (d itself if there is
 * none). */
static void divisors_near(int64_t d, int64_t n, int64_t *ret_below, int64_t *ret_above) {
    *ret_below = 1;
    *ret_above = d;
    for (int64_t i = 1; i * i <= d; i++) {
        int64_t pair[] = {i, d / i};
        for (int k = 0; k < 2 && d % i == 0; k++) {
            if (pair[k] <= n && pair[k] > *ret_below) *ret_below = pair[k];
            if (pair[k] > n && pair[k] < *ret_above) *ret_above = pair[k];
        }
    }
}

static nn_status check_heads(const nn_layer_ctx *c, int64_t d, nn_err *err) {
    int64_t heads = c->args[HEADS].i, below, above;
    char s[160];
    if (d % heads == 0) return NN_OK;
    divisors_near(d, heads, &below, &above);
    nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                           "num_heads=%" PRId64 "%s does not divide the %" PRId64 " features of %s",
                           heads, c->args[HEADS].given ? "" : " (the default)", d,
                           nn_shape_print(c->shape, false, s, sizeof s));
    if (below == above)
        st = nn_err_hint(err, st, "give num_heads=%" PRId64, below);
    else
        st = nn_err_hint(err, st, "give num_heads=%" PRId64 " or num_heads=%" PRId64, below, above);
    return nn_build_blame(c, HEADS, NULL, st);
}

static nn_status check_width(const nn_layer_ctx *c, int64_t d, nn_err *err) {
    const nn_bound *model = &c->args[D_MODEL];
    char s[160];
    if (model->set && model->i != d) {
        nn_status st =
            nn_fail(err, NN_E_DSL_ERROR, "d_model=%" PRId64 ", but %s has %" PRId64 " features",
                    model->i, nn_shape_print(c->shape, false, s, sizeof s), d);
        st = nn_err_hint(err, st, "leave d_model out, or put Dense(%" PRId64 ") before it",
                         model->i);
        return nn_build_blame(c, D_MODEL, NULL, st);
    }
    for (int i = 1; i < c->n_inputs; i++) {
        const nn_shape *more = &c->graph->nodes[c->inputs[i]].shape;
        if (more->dim[more->rank - 1] == d) continue;
        nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                               "its inputs must have the same features: the first has %" PRId64
                               ", the second is %s",
                               d, nn_shape_print(more, false, s, sizeof s));
        return nn_err_hint(err, st, "put Dense(%" PRId64 ") on the second", d);
    }
    return NN_OK;
}

/* A vector has neither rows to make orthogonal nor a diagonal. */
static nn_status check_bias(const nn_layer_ctx *c, nn_err *err) {
    nn_init_kind k = c->args[BIAS_INIT].init.kind;
    if (k != NN_INIT_ORTHOGONAL && k != NN_INIT_IDENTITY) return NN_OK;
    return nn_build_blame(c, BIAS_INIT, NULL,
                          nn_fail(err, NN_E_DSL_ERROR,
                                  "%s needs a weight of two axes; a bias has "
                                  "one",
                                  nn_init_name(k)));
}

static nn_status check_inputs(const nn_layer_ctx *c, nn_err *err) {
    nn_status st = nn_build_check_sequence(c, c->inputs[0], "the input", err);
    if (!st && c->n_inputs > 1)
        st = nn_build_check_sequence(c, c->inputs[1], "the second input", err);
    if (st) return st;
    int64_t d = c->shape->dim[c->shape->rank - 1];
    st = check_width(c, d, err);
    if (!st) st = check_heads(c, d, err);
    if (!st) st = check_bias(c, err);
    return st;
}

static void warn_of_unused(const nn_layer_ctx *c) {
    static const int unused[] = {FF_DIM, ACTIVATION};
    char text[96];
    for (int i = 0; c->block && i < 2; i++) {
        if (!c->args[unused[i]].given) continue;
        snprintf(text, sizeof text, "%s has no effect: the block stands for the feed-forward part",
                 c->layer->params[unused[i]].name);
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->args[unused[i]].span,
                                       .message = text});
    }
}

static stack new_stack(const nn_layer_ctx *c, const char *part, bool causal) {
    const nn_bound *a = c->args;
    stack s = {.c = c,
               .part = part,
               .d = c->shape->dim[c->shape->rank - 1],
               .causal = a[CAUSAL].set ? a[CAUSAL].b : causal,
               .mask = -1,
               .memory = -1,
               .memory_mask = -1};
    nn_build_kernel_defaults(s.kernel);
    s.kernel[NN_K_USE_BIAS] = a[USE_BIAS];
    s.kernel[NN_K_KERNEL_INITIALIZER] = a[KERNEL_INIT];
    s.kernel[NN_K_BIAS_INITIALIZER] = a[BIAS_INIT];
    return s;
}

/* ---- the layers ---- */

static nn_status build_encoder(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_status st = check_inputs(c, err);
    if (st) return st;
    warn_of_unused(c);
    stack s = new_stack(c, "", false);
    s.mask = c->mask;
    return add_stack(&s, c->input, ret, err);
}

/* inputs: x, and the memory to attend to. Whether that is padded is not known. */
static nn_status build_decoder(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_status st = check_inputs(c, err);
    if (st) return st;
    warn_of_unused(c);
    stack s = new_stack(c, "", true);
    s.mask = c->mask;
    if (c->n_inputs > 1) s.memory = c->inputs[1];
    return add_stack(&s, c->input, ret, err);
}

/* inputs: source and target. The padding that is known is the source's; the output has the steps of
 * the target. */
static nn_status build_both(const nn_layer_ctx *c, int *ret, nn_err *err) {
    if (c->n_inputs < 2) return build_encoder(c, ret, err);
    nn_status st = check_inputs(c, err);
    if (st) return st;
    warn_of_unused(c);
    stack encoder = new_stack(c, "encoder", false), decoder = new_stack(c, "decoder", true);
    encoder.mask = decoder.memory_mask = c->mask;
    *c->ret_mask = -1;
    st = add_stack(&encoder, c->inputs[0], &decoder.memory, err);
    return st ? st : add_stack(&decoder, c->inputs[1], ret, err);
}

const nn_layer nn_layer_transformer_encoder = {
    .name = "TransformerEncoder",
    .base = "transformer_encoder",
    .summary = "attention of each step to all steps, then a feed-forward part",
    .family = "attention",
    .rule = "(steps..., d) -> (steps..., d); num_heads divides d",
    .params = encoder_params,
    .block = NN_BLOCK_OPTIONAL,
    .passes_mask = true,
    .build = build_encoder,
};

const nn_layer nn_layer_transformer_decoder = {
    .name = "TransformerDecoder",
    .base = "transformer_decoder",
    .summary = "attention to earlier steps, to the second input if there is one, then a "
               "feed-forward part",
    .family = "attention",
    .rule = "x (t..., d), memory (s..., d) -> (t..., d); num_heads divides d",
    .params = decoder_params,
    .min_inputs = 1,
    .max_inputs = 2,
    .block = NN_BLOCK_OPTIONAL,
    .passes_mask = true,
    .build = build_decoder,
};

const nn_layer nn_layer_transformer = {
    .name = "Transformer",
    .base = "transformer",
    .summary = "with inputs (source, target) an encoder and a decoder that attends to it; with one "
               "input the encoder",
    .family = "attention",
    .rule = "(s..., d) -> (s..., d); source (s..., d), target (t..., d) -> (t..., d); num_heads "
            "divides d",
    .params = both_params,
    .min_inputs = 1,
    .max_inputs = 2,
    .block = NN_BLOCK_OPTIONAL,
    .passes_mask = true,
    .build = build_both,
};
