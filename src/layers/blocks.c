/* SPDX-License-Identifier: MIT */
/* blocks.c - layers made of others: ResidualConnection, Sequential, Branch (the layers of their
 * block), SqueezeExcitation (Hu et al. 2018) and Inception (Szegedy et al. 2015, without
 * normalisation; its ops have the names of GoogLeNet). */
#include "layers/attention.h"

#include <inttypes.h>
#include <stdio.h>

static int64_t channels(const nn_shape *s) {
    return s->rank ? s->dim[s->rank - 1] : NN_DIM_UNKNOWN;
}

/* Adds a convolution with bias, glorot_uniform and zeros. */
static nn_status add_conv(const nn_layer_ctx *c, const char *suffix, int from, const nn_window *w,
                          int64_t filters, int *ret, nn_err *err) {
    nn_bound kernel[NN_K_COUNT];
    nn_build_kernel_defaults(kernel);
    nn_attr attr = {
        .conv = {.window = *w, .filters = filters, .groups = 1, .bias = true}
    };
    int node;
    nn_status st = nn_build_op(c, NN_OP_CONV, suffix, from, &attr, NULL, &node, err);
    if (!st) st = nn_build_kernel(c, node, kernel, err);
    if (!st) *ret = node;
    return st;
}

/* ---- ResidualConnection ---- */

enum { PROJECTION, ACTIVATION };

/* clang-format off */
static const nn_param residual_params[] = {
    {.name = "projection", .type = NN_P_BOOL, .fallback = "false",
     .help = "bring the shortcut to the block's shape: a 1x1 convolution, or Dense for up to two axes"},
    {.name = "activation", .type = NN_P_ACTIVATION, .help = "applied to the sum; none by default"},
    {0},
};
/* clang-format on */

/* Whether x and F(x) can be added one to one as far as their sizes are known. */
static bool same_shape(const nn_shape *a, const nn_shape *b) {
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dim[i] == b->dim[i] || a->dim[i] < 0 || b->dim[i] < 0;
    return same;
}

static nn_status misfit(const nn_shape *in, const nn_shape *out, const char *why, nn_err *err) {
    char a[160], b[160];
    return nn_fail(err, NN_E_DSL_ERROR, "its block makes %s of %s%s",
                   nn_shape_print(out, false, b, sizeof b), nn_shape_print(in, false, a, sizeof a),
                   why);
}

/* The stride s with ceil(d / s) = o, as a window of size 1 takes steps; 0 if there is none. A size
 * that is not known is taken to stay as it is, which *ret_guessed says. */
static int64_t stride_of(int64_t d, int64_t o, bool *ret_guessed) {
    if (d < 0 && o < 0) *ret_guessed = true;
    if (d < 0 && o < 0) return 1;
    if (d < 0 || o < 0) return 0;
    int64_t s = (d + o - 1) / o;
    return (d + s - 1) / s == o ? s : 0;
}

static nn_status shortcut_window(const nn_layer_ctx *c, const nn_shape *in, const nn_shape *out,
                                 nn_window *w, nn_err *err) {
    bool guessed = false;
    *w = (nn_window){.spatial = in->rank - 1};
    for (int i = 0; i < w->spatial; i++) {
        w->size[i] = w->dilation[i] = 1;
        w->stride[i] = stride_of(in->dim[i], out->dim[i], &guessed);
        if (w->stride[i]) continue;
        char why[160];
        snprintf(why, sizeof why,
                 ": no stride of the shortcut leads from %" PRId64 " to %" PRId64 " on axis %d",
                 in->dim[i], out->dim[i], i);
        nn_status st = misfit(in, out, why, err);
        return nn_err_hint(err, st,
                           "give the block's convolutions padding=\"same\": then their strides are "
                           "the shortcut's");
    }
    if (guessed)
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->span,
                                       .message = "the shortcut takes sizes that are not known to "
                                                  "stay the same in the block",
                                       .hint = "give the input's sizes if the block has strides"});
    return NN_OK;
}

/* Brings x to the shape of F(x). */
static nn_status project(const nn_layer_ctx *c, const nn_shape *in, const nn_shape *out, int *ret,
                         nn_err *err) {
    nn_bound kernel[NN_K_COUNT];
    nn_window w;
    nn_build_kernel_defaults(kernel);
    if (in->rank != out->rank || in->rank < 1 || in->rank > NN_MAX_SPATIAL + 1 || channels(out) < 0)
        return misfit(in, out, ": a projection changes sizes, of 1 to 4 axes, not their number",
                      err);
    bool dense = in->rank == 1 || (in->rank == 2 && in->dim[0] == out->dim[0]);
    if (dense) return nn_build_dense(c, "shortcut", c->input, channels(out), kernel, ret, err);
    nn_status st = shortcut_window(c, in, out, &w, err);
    return st ? st : add_conv(c, "shortcut", c->input, &w, channels(out), ret, err);
}

static nn_status connect(const nn_layer_ctx *c, int from, int *ret, nn_err *err) {
    const nn_shape in = *c->shape, out = c->graph->nodes[from].shape;
    nn_attr attr = {.merge = {NN_MERGE_ADD}};
    int parts[] = {c->input, from};
    nn_status st = NN_OK;
    if (c->args[PROJECTION].b) {
        st = project(c, &in, &out, &parts[0], err);
        if (st) nn_build_blame(c, PROJECTION, NULL, st);
    } else if (!same_shape(&in, &out)) {
        st = misfit(&in, &out, ": what is added must have the same shape", err);
        nn_err_hint(err, st,
                    in.rank == out.rank
                        ? "ResidualConnection(projection=true) brings the shortcut to that shape"
                        : "let the block keep the number of axes");
    }
    if (in.rank && in.dim[0] != out.dim[0]) *c->ret_mask = -1; /* its steps are others */
    return st ? st : nn_build_op_n(c, NN_OP_MERGE, "", parts, 2, &attr, NULL, ret, err);
}

static void warn_of_nothing(const nn_layer_ctx *c) {
    nn_build_notice(c, (nn_notice){.warning = true,
                                   .code = "advice",
                                   .at = c->span,
                                   .message = "no block: it passes its input on",
                                   .hint = "put the layers to skip into { }"});
}

static nn_status build_residual(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *act = &c->args[ACTIVATION];
    int at = c->input;
    nn_status st = c->block ? nn_build_block(c, at, &at, err) : NN_OK;
    if (!st && at == c->input)
        warn_of_nothing(c);
    else if (!st)
        st = connect(c, at, &at, err);
    if (!st && act->set) st = nn_build_activation(c, at, &(nn_build_act){.name = act->s}, &at, err);
    if (!st) *ret = at;
    return st;
}

/* ---- Sequential, Branch ---- */

static const nn_param no_params[] = {{0}};

static nn_status build_sequential(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int at = c->input;
    nn_status st = c->block ? nn_build_block(c, at, &at, err) : NN_OK;
    if (!st && at == c->input) warn_of_nothing(c);
    if (!st) *ret = at;
    return st;
}

/* ---- SqueezeExcitation ---- */

enum { RATIO };

/* clang-format off */
static const nn_param squeeze_params[] = {
    {.name = "ratio", .type = NN_P_INT, .positional = true, .min = 1, .max = (double)NN_MAX_DIM,
     .fallback = "16", .aliases = "reduction",
     .help = "channels of the input to one of the narrow layer"},
    {0},
};
/* clang-format on */

static nn_status check_ratio(const nn_layer_ctx *c, nn_err *err) {
    int64_t n = channels(c->shape), ratio = c->args[RATIO].i;
    char s[160];
    nn_shape_print(c->shape, false, s, sizeof s);
    if (c->shape->rank < 2 || n < 0) {
        nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                               "expected (sizes..., channels) with a known number of channels, got "
                               "%s",
                               s);
        return nn_err_hint(err, st, "put it behind a convolution, before Flatten and Dense");
    }
    if (ratio <= n) return NN_OK;
    nn_status st = nn_fail(err, NN_E_DSL_ERROR,
                           "ratio=%" PRId64 "%s leaves none of the %" PRId64 " channels of %s",
                           ratio, c->args[RATIO].given ? "" : " (the default)", n, s);
    st = nn_err_hint(err, st, "give a ratio of at most %" PRId64, n);
    return nn_build_blame(c, RATIO, NULL, st);
}

/* The mean of each channel; of a sequence, over the steps that are not padding. */
static nn_status squeeze(const nn_layer_ctx *c, int *ret, nn_err *err) {
    nn_attr attr = {.global_pool = {.keepdims = true}};
    int in[] = {c->input, c->mask};
    bool masked = c->mask >= 0 && c->shape->rank == 2;
    return nn_build_op_n(c, NN_OP_GLOBAL_AVG_POOL, "squeeze", in, masked ? 2 : 1, &attr, NULL, ret,
                         err);
}

static nn_status build_squeeze(const nn_layer_ctx *c, int *ret, nn_err *err) {
    static const nn_build_act relu = {.name = "relu"}, sigmoid = {.name = "sigmoid"};
    nn_attr multiply = {.merge = {NN_MERGE_MULTIPLY}};
    nn_bound kernel[NN_K_COUNT];
    nn_build_kernel_defaults(kernel);
    nn_status st = check_ratio(c, err);
    if (st) return st;
    int64_t n = channels(c->shape);
    int at[] = {c->input, -1};
    st = squeeze(c, &at[1], err);
    if (!st) st = nn_build_dense(c, "reduce", at[1], n / c->args[RATIO].i, kernel, &at[1], err);
    if (!st) st = nn_build_activation(c, at[1], &relu, &at[1], err);
    if (!st) st = nn_build_dense(c, "expand", at[1], n, kernel, &at[1], err);
    if (!st) st = nn_build_activation(c, at[1], &sigmoid, &at[1], err);
    return st ? st : nn_build_op_n(c, NN_OP_MERGE, "", at, 2, &multiply, NULL, ret, err);
}

/* ---- Inception ---- */

enum { FILTERS };

/* clang-format off */
static const nn_param inception_params[] = {
    {.name = "filters", .type = NN_P_INT, .positional = true, .min = 1, .max = (double)NN_MAX_DIM,
     .help = "channels of each of the four towers 1x1, 1x1-3x3, 1x1-5x5 and pool-1x1; or give a block of branches"},
    {0},
};
/* clang-format on */

/* The four towers, each from one first step to the next. */
static const struct {
    const char *name;
    int size;
    bool first, pool;
} steps[] = {
    {"1x1",        1, true,  false},
    {"3x3_reduce", 1, true,  false},
    {"3x3",        3, false, false},
    {"5x5_reduce", 1, true,  false},
    {"5x5",        5, false, false},
    {"pool",       3, true,  true },
    {"pool_proj",  1, false, false},
};
enum { STEPS = sizeof steps / sizeof steps[0], TOWERS = 4 };

static nn_status add_step(const nn_layer_ctx *c, int i, int from, int *ret, nn_err *err) {
    char relu[32];
    snprintf(relu, sizeof relu, "%s.relu", steps[i].name);
    nn_window w = {.spatial = c->shape->rank - 1, .same = true};
    for (int k = 0; k < NN_MAX_SPATIAL; k++) {
        w.size[k] = steps[i].size;
        w.stride[k] = w.dilation[k] = 1;
    }
    nn_attr pool = {.pool = w};
    if (steps[i].pool)
        return nn_build_op(c, NN_OP_MAX_POOL, steps[i].name, from, &pool, NULL, ret, err);
    nn_status st = add_conv(c, steps[i].name, from, &w, c->args[FILTERS].i, ret, err);
    nn_build_act act = {.name = "relu", .suffix = relu};
    return st ? st : nn_build_activation(c, *ret, &act, ret, err);
}

static nn_status add_concat(const nn_layer_ctx *c, const int *from, int n, int *ret, nn_err *err) {
    nn_attr attr = {.concat = {c->graph->nodes[from[0]].shape.rank - 1}};
    return nn_build_op_n(c, NN_OP_CONCAT, "", from, n, &attr, NULL, ret, err);
}

static nn_status check_image(const nn_layer_ctx *c, nn_err *err) {
    int spatial = c->shape->rank - 1;
    char s[160];
    if (spatial >= 1 && spatial <= NN_MAX_SPATIAL) return NN_OK;
    nn_status st = nn_fail(err, NN_E_DSL_ERROR, "expected one to three sizes and channels, got %s",
                           nn_shape_print(c->shape, false, s, sizeof s));
    return nn_err_hint(err, st,
                       "put it before Flatten and Dense, or insert Reshape((height, width, "
                       "channels))");
}

static nn_status build_towers(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int open[TOWERS], n = 0, at = -1;
    nn_status st = check_image(c, err);
    for (int i = 0; !st && i < STEPS; i++) {
        st = add_step(c, i, steps[i].first ? c->input : at, &at, err);
        if (!st && (i + 1 == STEPS || steps[i + 1].first)) open[n++] = at;
    }
    return st ? st : add_concat(c, open, n, ret, err);
}

/* All branches have the axes of the first, its sizes too, but for the channels. */
static nn_status check_branches(const nn_layer_ctx *c, const int *open, int n, nn_err *err) {
    const nn_shape a = c->graph->nodes[open[0]].shape;
    char s[160], t[160];
    for (int i = 0; i < n; i++) {
        const nn_shape *b = &c->graph->nodes[open[i]].shape;
        nn_shape rest = *b;
        if (a.rank) rest.dim[a.rank - 1] = channels(&a);
        if (a.rank > 0 && same_shape(&a, &rest)) continue;
        nn_status st = nn_fail(
            err, NN_E_DSL_ERROR,
            "branch 1 of its block gives %s, branch %d gives %s: they are joined "
            "on the last axis, so the others must be equal",
            nn_shape_print(&a, false, s, sizeof s), i + 1, nn_shape_print(b, false, t, sizeof t));
        return nn_err_hint(err, st, "padding=\"same\" and strides=1 keep the sizes");
    }
    return NN_OK;
}

static nn_status build_branches(const nn_layer_ctx *c, int *ret, nn_err *err) {
    int open[NN_MAX_INPUTS], n = 0;
    nn_status st = nn_build_branches(c, c->input, open, &n, err);
    if (st) return st;
    if (n == 1) {
        nn_build_notice(c, (nn_notice){.warning = true,
                                       .code = "advice",
                                       .at = c->span,
                                       .message = "its block has one branch: nothing is joined",
                                       .hint = "write the branches as a: { … } b: { … }"});
        *ret = open[0];
        return NN_OK;
    }
    st = check_branches(c, open, n, err);
    return st ? st : add_concat(c, open, n, ret, err);
}

static nn_status build_inception(const nn_layer_ctx *c, int *ret, nn_err *err) {
    if (c->args[FILTERS].set == (c->block != NULL)) {
        nn_status st = nn_fail(err, NN_E_DSL_ERROR, "it takes filters or a block of branches%s",
                               c->block ? ", not both" : "");
        return nn_build_blame(c, FILTERS,
                              "Inception(filters=64), or Inception { a: { … } b: { … } }", st);
    }
    return c->block ? build_branches(c, ret, err) : build_towers(c, ret, err);
}

const nn_layer nn_layer_residual_connection = {
    .name = "ResidualConnection",
    .base = "residual",
    .summary = "adds its input to what its block makes of it",
    .family = "block",
    .rule = "x -> x + F(x), F the block; with projection=true x is brought to the shape of F(x)",
    .aliases = "Residual",
    .params = residual_params,
    .block = NN_BLOCK_OPTIONAL,
    .passes_mask = true,
    .build = build_residual,
};

const nn_layer nn_layer_sequential = {
    .name = "Sequential",
    .base = "sequential",
    .summary = "the layers of its block, one after the other",
    .family = "block",
    .rule = "as its block",
    .params = no_params,
    .block = NN_BLOCK_OPTIONAL,
    .build = build_sequential,
};

const nn_layer nn_layer_branch = {
    .name = "Branch",
    .base = "branch",
    .summary = "the layers of its block under one name, to be taken up with inputs=",
    .family = "block",
    .rule = "as its block",
    .params = no_params,
    .block = NN_BLOCK_OPTIONAL,
    .build = build_sequential,
};

const nn_layer nn_layer_squeeze_excitation = {
    .name = "SqueezeExcitation",
    .base = "squeeze_excitation",
    .summary = "weighs each channel by what the means of all channels say",
    .family = "block",
    .rule = "(sizes..., c) -> (sizes..., c), through c / ratio",
    .params = squeeze_params,
    .passes_mask = true,
    .build = build_squeeze,
};

const nn_layer nn_layer_inception = {
    .name = "Inception",
    .base = "inception",
    .summary = "convolutions of several sizes side by side, joined on the channels",
    .family = "block",
    .rule = "(sizes..., c) -> (sizes..., 4 * filters), or the channels of its branches together",
    .params = inception_params,
    .block = NN_BLOCK_OPTIONAL,
    .build = build_inception,
};
