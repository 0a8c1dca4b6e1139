/* SPDX-License-Identifier: MIT */
/* attention.c - Attention, AdditiveAttention and MultiHeadAttention by Keras's rules: inputs
 * [query], [query, value] or [query, value, key]; with one input it attends to itself, without a
 * key the value is the key.
 *
 * The padding of the first input is known as the tokens in ctx->mask. It is that of the keys when
 * key and query are one node; keys that come from elsewhere are all attended to. */
#include "layers/attention.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what the transformer layers use too ---- */

const char *nn_build_suffix(char *buf, const char *prefix, const char *name) {
    const char *dot = *prefix && *name ? "." : "";
    snprintf(buf, NN_MAX_SUFFIX, "%.40s%s%.20s", prefix, dot, name); /* the longest have 28, 14 */
    return buf;
}

nn_status nn_build_dense(const nn_layer_ctx *c, const char *suffix, int from, int64_t units,
                         const nn_bound *kernel, int *ret, nn_err *err) {
    nn_attr attr = {
        .matmul = {units, kernel[NN_K_USE_BIAS].b}
    };
    int node;
    nn_status st = nn_build_op(c, NN_OP_MATMUL, suffix, from, &attr, NULL, &node, err);
    if (!st) st = nn_build_kernel(c, node, kernel, err);
    if (!st) *ret = node;
    return st;
}

void nn_build_kernel_defaults(nn_bound kernel[NN_K_COUNT]) {
    memset(kernel, 0, NN_K_COUNT * sizeof *kernel);
    kernel[NN_K_USE_BIAS] = (nn_bound){.set = true, .b = true};
    kernel[NN_K_KERNEL_INITIALIZER].set = kernel[NN_K_BIAS_INITIALIZER].set = true;
    kernel[NN_K_KERNEL_INITIALIZER].init.kind = NN_INIT_GLOROT_UNIFORM;
    kernel[NN_K_BIAS_INITIALIZER].init.kind = NN_INIT_ZEROS;
}

nn_status nn_build_check_sequence(const nn_layer_ctx *c, int node, const char *what, nn_err *err) {
    const nn_shape *s = &c->graph->nodes[node].shape;
    char text[160];
    nn_shape_print(s, false, text, sizeof text);
    int unknown = 0;
    for (int i = 0; i < s->rank - 1; i++) unknown += s->dim[i] < 0;
    if (s->rank < 2) {
        nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                               "%s must have steps and features: expected (steps, features), got "
                               "%s",
                               what, text);
        return nn_err_hint(err, st,
                           "whole numbers become features with Embedding(input_dim, output_dim); "
                           "Reshape((steps, features)) splits one axis in two");
    }
    if (s->dim[s->rank - 1] < 0)
        return nn_fail(err, NN_E_DSL_ERROR, "%s %s must have a known number of features", what,
                       text);
    if (s->rank > 2 && unknown > 1)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "%s %s: of several axes of steps only one may have an unknown size", what,
                       text);
    return NN_OK;
}

/* (a, b, ..., features) to (a * b * ..., features). */
static nn_status join_steps(const nn_layer_ctx *c, const char *prefix, const char *name, int from,
                            int *ret, nn_err *err) {
    const nn_shape *s = &c->graph->nodes[from].shape;
    *ret = from;
    if (s->rank == 2) return NN_OK;
    nn_shape steps = *s;
    steps.rank--;
    nn_shape to = {
        2, {nn_shape_elements(&steps), s->dim[s->rank - 1]}
    };
    char buf[NN_MAX_SUFFIX];
    nn_build_suffix(buf, prefix, name);
    return nn_build_op(c, NN_OP_RESHAPE, buf, from, NULL, &to, ret, err);
}

/* One of the projections of query, key and value. */
static nn_status project(const nn_layer_ctx *c, const nn_heads *h, const char *name, int from,
                         int64_t size, int *ret, nn_err *err) {
    char buf[NN_MAX_SUFFIX], steps[NN_MAX_SUFFIX];
    int64_t units;
    if (__builtin_mul_overflow(h->heads, size, &units) || units > NN_MAX_DIM)
        return nn_fail(err, NN_E_DSL_ERROR,
                       "%" PRId64 " heads of %" PRId64 " are more than %" PRId64 " features",
                       h->heads, size, NN_MAX_DIM);
    nn_status st = nn_build_dense(c, nn_build_suffix(buf, h->prefix, name), from, units, h->kernel,
                                  &from, err);
    if (st) return st;
    snprintf(steps, sizeof steps, "%s_steps", name);
    return join_steps(c, h->prefix, steps, from, ret, err);
}

static nn_status add_attention(const nn_layer_ctx *c, const char *suffix, const nn_attr *attr,
                               const int *qkv, int mask, int *ret, nn_err *err) {
    int in[] = {qkv[0], qkv[1], qkv[2], mask};
    return nn_build_op_n(c, NN_OP_ATTENTION, suffix, in, mask < 0 ? 3 : 4, attr, NULL, ret, err);
}

static nn_status check_steps(const nn_layer_ctx *c, int value, int key, nn_err *err) {
    const nn_shape *v = &c->graph->nodes[value].shape, *k = &c->graph->nodes[key].shape;
    nn_shape vs = *v, ks = *k;
    vs.rank--;
    ks.rank--;
    int64_t a = nn_shape_elements(&vs), b = nn_shape_elements(&ks);
    char x[160], y[160];
    if (a < 0 || b < 0 || a == b) return NN_OK;
    return nn_fail(
        err, NN_E_DSL_ERROR,
        "value %s has %" PRId64 " steps, key %s has %" PRId64 ": each value needs its key",
        nn_shape_print(v, false, x, sizeof x), a, nn_shape_print(k, false, y, sizeof y), b);
}

nn_status nn_build_heads(const nn_layer_ctx *c, const nn_heads *h, int *ret, nn_err *err) {
    nn_attr attr = {
        .attention = {.heads = h->heads,
                      .scale = 1 / __builtin_sqrt((double)h->key_dim),
                      .causal = h->causal,
                      .dropout = h->dropout}
    };
    const nn_shape q = c->graph->nodes[h->query].shape;
    int mask = c->graph->nodes[h->key].shape.rank == 2 ? h->mask : -1;
    int in[3], at;
    char buf[NN_MAX_SUFFIX];
    nn_status st = nn_build_check_sequence(c, h->query, "the query", err);
    if (!st) st = nn_build_check_sequence(c, h->value, "the value", err);
    if (!st) st = nn_build_check_sequence(c, h->key, "the key", err);
    if (!st) st = check_steps(c, h->value, h->key, err);
    if (!st) st = project(c, h, "query", h->query, h->key_dim, &in[0], err);
    if (!st) st = project(c, h, "key", h->key, h->key_dim, &in[1], err);
    if (!st) st = project(c, h, "value", h->value, h->value_dim, &in[2], err);
    if (!st) st = add_attention(c, h->prefix, &attr, in, mask, &at, err);
    if (st) return st;
    if (q.rank > 2) {
        nn_shape to = q;
        to.dim[q.rank - 1] = h->heads * h->value_dim;
        st = nn_build_op(c, NN_OP_RESHAPE, nn_build_suffix(buf, h->prefix, "axes"), at, NULL, &to,
                         &at, err);
    }
    if (st) return st;
    return nn_build_dense(c, nn_build_suffix(buf, h->prefix, "output"), at, h->units, h->kernel,
                          ret, err);
}

/* ---- the inputs ---- */

typedef struct qkv {
    int query, value, key, mask;
} qkv;

static qkv inputs_of(const nn_layer_ctx *c) {
    qkv x = {.query = c->inputs[0], .mask = -1};
    x.value = c->n_inputs > 1 ? c->inputs[1] : x.query;
    x.key = c->n_inputs > 2 ? c->inputs[2] : x.value;
    if (x.key == x.query) x.mask = c->mask;
    return x;
}

/* ---- Attention, AdditiveAttention ---- */

enum { USE_SCALE, CAUSAL, DROPOUT, RETURN_SCORES, SCORE_MODE };

/* clang-format off */
#define ATTENTION_PARAMS(scale_default, scale_help)                                                \
    {.name = "use_scale", .type = NN_P_BOOL, .fallback = scale_default, .help = scale_help},       \
    {.name = "causal", .type = NN_P_BOOL, .fallback = "false", .aliases = "use_causal_mask",       \
     .help = "a step attends to itself and what comes before it"},                                 \
    {.name = "dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .below_max = true,                 \
     .fallback = "0",                                                                              \
     .help = "share of the attention weights that training zeroes"},                               \
    {.name = "return_attention_scores", .type = NN_P_BOOL, .fallback = "false",                    \
     .help = "false: a layer has one output"}

static const nn_param attention_params[] = {
    ATTENTION_PARAMS("false", "multiply the scores by a learned number"),
    {.name = "score_mode", .type = NN_P_ENUM, .words = "dot|concat", .fallback = "dot",
     .help = "dot; for concat there is AdditiveAttention"},
    {0},
};
static const nn_param additive_params[] = {
    ATTENTION_PARAMS("true", "multiply each feature by a learned number before the sum"),
    {0},
};
/* clang-format on */

static nn_status refuse_scores(const nn_layer_ctx *c, int i, nn_err *err) {
    if (!c->args[i].b) return NN_OK;
    return nn_build_blame(c, i, "leave it out: the output is what was attended to",
                          nn_fail(err, NN_E_UNSUPPORTED,
                                  "return_attention_scores=true is not supported: a layer has one "
                                  "output"));
}

static nn_status check_options(const nn_layer_ctx *c, bool additive, nn_err *err) {
    if (!additive && strcmp(c->args[SCORE_MODE].s, "concat") == 0)
        return nn_build_blame(c, SCORE_MODE, "AdditiveAttention() sums tanh(query + key)",
                              nn_fail(err, NN_E_UNSUPPORTED,
                                      "score_mode=concat is not supported: Attention multiplies "
                                      "query and key"));
    return refuse_scores(c, RETURN_SCORES, err);
}

/* Keras takes more axes before the steps as part of the batch; here one sample is one sequence. */
static nn_status check_plain(const nn_layer_ctx *c, int node, const char *what, nn_err *err) {
    nn_status st = nn_build_check_sequence(c, node, what, err);
    const nn_shape *s = &c->graph->nodes[node].shape;
    char text[160];
    if (st || s->rank == 2) return st;
    st = nn_fail(err, NN_E_DSL_ERROR, "%s must be one sequence: expected (steps, features), got %s",
                 what, nn_shape_print(s, false, text, sizeof text));
    return nn_err_hint(err, st,
                       "join the axes with Reshape((-1, features)); MultiHeadAttention takes more "
                       "than one axis of steps");
}

static nn_status check_inputs(const nn_layer_ctx *c, const qkv *x, nn_err *err) {
    nn_status st = check_plain(c, x->query, "the query", err);
    if (!st) st = check_plain(c, x->value, "the value", err);
    if (!st) st = check_plain(c, x->key, "the key", err);
    if (!st) st = check_steps(c, x->value, x->key, err);
    if (st) return st;
    const nn_shape *q = &c->graph->nodes[x->query].shape, *k = &c->graph->nodes[x->key].shape;
    if (q->dim[1] == k->dim[1]) return NN_OK;
    char a[160], b[160];
    st = nn_fail(err, NN_E_DSL_ERROR,
                 "the query %s has %" PRId64 " features, the key %s has %" PRId64
                 ": they are compared, so they must be equal",
                 nn_shape_print(q, false, a, sizeof a), q->dim[1],
                 nn_shape_print(k, false, b, sizeof b), k->dim[1]);
    return nn_err_hint(err, st, "put Dense(%" PRId64 ") on the key", q->dim[1]);
}

static nn_status build(const nn_layer_ctx *c, bool additive, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    qkv x = inputs_of(c);
    nn_attr attr = {
        .attention = {.heads = 1,
                      .scale = 1,
                      .causal = a[CAUSAL].b,
                      .additive = additive,
                      .use_scale = a[USE_SCALE].b,
                      .dropout = a[DROPOUT].f}
    };
    nn_bound scale = {.init = {.kind = additive ? NN_INIT_GLOROT_UNIFORM : NN_INIT_ONES}};
    int in[] = {x.query, x.key, x.value}, node;
    nn_status st = check_options(c, additive, err);
    if (!st) st = check_inputs(c, &x, err);
    if (!st) st = add_attention(c, "", &attr, in, x.mask, &node, err);
    if (!st && a[USE_SCALE].b)
        st = nn_build_weight(c, node, "scale", &scale, NULL, NULL, true, err);
    if (!st) *ret = node;
    return st;
}

static nn_status build_attention(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build(c, false, ret, err);
}

static nn_status build_additive(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build(c, true, ret, err);
}

/* ---- MultiHeadAttention ---- */

enum { M_HEADS, M_KEY_DIM, M_VALUE_DIM, M_DROPOUT, M_OUTPUT, M_CAUSAL, M_RETURN_SCORES, M_KERNEL };

/* clang-format off */
static const nn_param heads_params[] = {
    {.name = "num_heads", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .aliases = "heads", .help = "attentions side by side"},
    {.name = "key_dim", .type = NN_P_INT, .required = true, .positional = true, .min = 1,
     .max = (double)NN_MAX_DIM, .help = "size of query and key in one head"},
    {.name = "value_dim", .type = NN_P_INT, .min = 1, .max = (double)NN_MAX_DIM,
     .help = "size of the value in one head; key_dim by default"},
    {.name = "dropout", .type = NN_P_FLOAT, .min = 0, .max = 1, .below_max = true, .fallback = "0",
     .help = "share of the attention weights that training zeroes"},
    {.name = "output_shape", .type = NN_P_SHAPE, .min = 1,
     .help = "features of the output; those of the query by default"},
    {.name = "causal", .type = NN_P_BOOL, .fallback = "false", .aliases = "use_causal_mask",
     .help = "a step attends to itself and what comes before it"},
    {.name = "return_attention_scores", .type = NN_P_BOOL, .fallback = "false",
     .help = "false: a layer has one output"},
    NN_KERNEL_PARAMS,
    {0},
};
/* clang-format on */

static nn_status output_units(const nn_layer_ctx *c, int64_t *ret, nn_err *err) {
    const nn_bound *o = &c->args[M_OUTPUT];
    if (!o->set) {
        if (c->shape->rank) *ret = c->shape->dim[c->shape->rank - 1];
        return NN_OK; /* nn_build_heads refuses what has no features */
    }
    if (o->shape.rank != 1 || o->shape.dim[0] < 1)
        return nn_build_blame(c, M_OUTPUT, "output_shape=64 gives (steps, 64)",
                              nn_fail(err, NN_E_UNSUPPORTED,
                                      "output_shape of MultiHeadAttention is one number, the "
                                      "features of the output"));
    *ret = o->shape.dim[0];
    return NN_OK;
}

static nn_status build_multi_head(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    qkv x = inputs_of(c);
    nn_heads h = {.prefix = "",
                  .query = x.query,
                  .value = x.value,
                  .key = x.key,
                  .heads = a[M_HEADS].i,
                  .key_dim = a[M_KEY_DIM].i,
                  .value_dim = a[M_VALUE_DIM].set ? a[M_VALUE_DIM].i : a[M_KEY_DIM].i,
                  .dropout = a[M_DROPOUT].f,
                  .causal = a[M_CAUSAL].b,
                  .mask = x.mask,
                  .kernel = &a[M_KERNEL]};
    nn_status st = refuse_scores(c, M_RETURN_SCORES, err);
    if (!st) st = output_units(c, &h.units, err);
    int at;
    if (!st) st = nn_build_heads(c, &h, &at, err);
    return st ? st : nn_build_activation(c, at, &(nn_build_act){0}, ret, err); /* the penalty */
}

#define DOT_RULE "query (t, d), value (s, dv), key (s, d) -> (t, dv); one input is all three"

const nn_layer nn_layer_attention = {
    .name = "Attention",
    .base = "attention",
    .summary = "each step of the query takes the values whose keys are like it (dot product)",
    .family = "attention",
    .rule = DOT_RULE,
    .params = attention_params,
    .min_inputs = 1,
    .max_inputs = 3,
    .passes_mask = true,
    .build = build_attention,
};

const nn_layer nn_layer_additive_attention = {
    .name = "AdditiveAttention",
    .base = "additive_attention",
    .summary = "attention that scores by a sum of tanh(query + key)",
    .family = "attention",
    .rule = DOT_RULE,
    .params = additive_params,
    .min_inputs = 1,
    .max_inputs = 3,
    .passes_mask = true,
    .build = build_additive,
};

const nn_layer nn_layer_multi_head_attention = {
    .name = "MultiHeadAttention",
    .base = "multi_head_attention",
    .summary = "attentions side by side, each on projections of its own",
    .family = "attention",
    .rule = "query (t..., d), value (s..., dv), key (s..., dk) -> (t..., d); one input is all "
            "three, several axes of steps are taken as one",
    .params = heads_params,
    .min_inputs = 1,
    .max_inputs = 3,
    .passes_mask = true,
    .build = build_multi_head,
};
