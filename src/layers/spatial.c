/* SPDX-License-Identifier: MIT */
/* spatial.c - what layers over spatial axes share, and those that only move pixels: UpSampling,
 * ZeroPadding, Cropping. The ops are channels-last; channels_first is a transpose before and after.
 */
#include "layers/spatial.h"

#include <stdio.h>
#include <string.h>

int nn_spatial_rank(const nn_layer *l) {
    const char *digit = strpbrk(l->name, "123");
    return digit ? *digit - '0' : 1;
}

/* ---- an input of another rank ---- */

static const char *const axes_of[2][NN_MAX_SPATIAL] = {
    {"(steps, channels)", "(height, width, channels)", "(depth, height, width, channels)"},
    {"(channels, steps)", "(channels, height, width)", "(channels, depth, height, width)"}
};

/* The layer of the same kind over as many spatial axes; NULL if there is none. */
static const nn_layer *sibling(const nn_layer *l, int spatial) {
    char name[64];
    snprintf(name, sizeof name, "%s", l->name);
    char *digit = strpbrk(name, "123");
    if (!digit || spatial < 1 || spatial > NN_MAX_SPATIAL) return NULL;
    *digit = (char)('0' + spatial);
    return nn_layer_find(name);
}

/* "Reshape((28, 28, 1))": the input with one channel; nothing where a size is unknown. For fewer
 * than NN_MAX_RANK axes. */
static void add_channel(const nn_shape *in, bool first, char *buf, size_t cap) {
    nn_shape to = {.rank = in->rank + 1};
    int open = 0;
    for (int i = 0; i < in->rank; i++) open += (to.dim[i + first] = in->dim[i]) < 0;
    to.dim[first ? 0 : in->rank] = 1;
    char s[160];
    nn_shape_print(&to, false, s, sizeof s);
    if (open == 0) snprintf(buf, cap, "Reshape(%s)", s);
}

static nn_status rank_hint(const nn_layer_ctx *c, int spatial, bool first, nn_status st,
                           nn_err *err) {
    int rank = c->shape->rank;
    const nn_layer *other = sibling(c->layer, rank - 1);
    char reshape[200] = "", take[128] = "";
    if (rank == spatial) add_channel(c->shape, first, reshape, sizeof reshape);
    if (other) snprintf(take, sizeof take, "%s takes %s", other->name, axes_of[first][rank - 2]);
    if (*reshape)
        return nn_err_hint(err, st, "the channels are an axis too: insert %s before it%s%s",
                           reshape, other ? "; " : "", take);
    if (rank == spatial + 2)
        return nn_err_hint(err, st, "%s%sTimeDistributed(%s(…)) works on each step by itself", take,
                           other ? "; " : "", c->layer->name);
    if (other) return nn_err_hint(err, st, "%s", take);
    if (rank > spatial) return st;
    return nn_err_hint(err, st, "put it before Flatten and Dense, or insert Reshape(%s)",
                       axes_of[first][spatial - 1]);
}

static nn_status wrong_rank(const nn_layer_ctx *c, int spatial, bool first, nn_err *err) {
    char s[160];
    nn_status st = nn_fail(err, NN_E_DSL_ERROR, "expected %d axes, got %d: %s with input %s",
                           spatial + 1, c->shape->rank, axes_of[first][spatial - 1],
                           nn_shape_print(c->shape, false, s, sizeof s));
    return rank_hint(c, spatial, first, st, err);
}

/* ---- layout ---- */

nn_status nn_spatial_enter(const nn_layer_ctx *c, const nn_bound *format, int *ret, nn_err *err) {
    int spatial = nn_spatial_rank(c->layer);
    bool first = nn_build_channels_first(format);
    if (c->shape->rank != spatial + 1) return wrong_rank(c, spatial, first, err);
    if (first) return nn_build_axis_to_last(c, c->input, 0, ret, err);
    *ret = c->input;
    return NN_OK;
}

nn_status nn_spatial_leave(const nn_layer_ctx *c, const nn_bound *format, int at, int *ret,
                           nn_err *err) {
    if (nn_build_channels_first(format)) return nn_build_last_to_axis(c, at, 0, ret, err);
    *ret = at;
    return NN_OK;
}

nn_status nn_spatial_op(const nn_layer_ctx *c, const nn_bound *format, nn_op op,
                        const nn_attr *attr, int *ret, nn_err *err) {
    int at;
    nn_status st = nn_spatial_enter(c, format, &at, err);
    if (!st) st = nn_build_op(c, op, "", at, attr, NULL, &at, err);
    return st ? st : nn_spatial_leave(c, format, at, ret, err);
}

/* ---- UpSampling ---- */

enum { SIZE, INTERPOLATION, UP_FORMAT };

/* clang-format off */
#define UP_PARAMS(r)                                                                               \
    static const nn_param up##r[] = {                                                              \
        {.name = "size", .type = NN_P_DIMS, .positional = true, .rank = r, .min = 1,               \
         .fallback = "2", .aliases = "scale_factor",                                               \
         .help = "how many times larger each spatial axis becomes"},                               \
        {.name = "interpolation", .type = NN_P_ENUM, .words = INTERPOLATIONS,                      \
         .fallback = "nearest", .aliases = "mode",                                                 \
         .help = "nearest, or over two axes bilinear"},                                            \
        NN_DATA_FORMAT_PARAM,                                                                      \
        {0},                                                                                       \
    };
/* Those that Keras and PyTorch have are known by name, to be refused as such. */
#define INTERPOLATIONS                                                                             \
    "nearest|bilinear|linear|trilinear|bicubic|area|gaussian|lanczos3|lanczos5|mitchellcubic"
UP_PARAMS(1)
UP_PARAMS(2)
UP_PARAMS(3)
/* clang-format on */

static nn_status check_interpolation(const nn_layer_ctx *c, int spatial, nn_err *err) {
    const char *how = c->args[INTERPOLATION].s;
    if (strcmp(how, "nearest") == 0) return NN_OK;
    bool bilinear = strcmp(how, "bilinear") == 0;
    if (bilinear && spatial == 2) return NN_OK;
    nn_status st = bilinear
                       ? nn_fail(err, NN_E_DSL_ERROR,
                                 "interpolation=\"bilinear\" is for two spatial axes, %s has %d",
                                 c->layer->name, spatial)
                       : nn_fail(err, NN_E_UNSUPPORTED,
                                 "interpolation=\"%s\" is not available in any engine", how);
    return nn_build_blame(c, INTERPOLATION,
                          spatial == 2 ? "interpolation=\"nearest\" and \"bilinear\" are available"
                                       : "interpolation=\"nearest\" is available",
                          st);
}

static nn_status build_up(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {
        .upsample = {.spatial = nn_spatial_rank(c->layer),
                     .bilinear = strcmp(a[INTERPOLATION].s, "bilinear") == 0}
    };
    memcpy(attr.upsample.factor, a[SIZE].dims, sizeof attr.upsample.factor);
    nn_status st = check_interpolation(c, attr.upsample.spatial, err);
    return st ? st : nn_spatial_op(c, &a[UP_FORMAT], NN_OP_UPSAMPLE, &attr, ret, err);
}

#define UP(r)                                                                                      \
    const nn_layer nn_layer_up_sampling##r##d = {                                                  \
        .name = "UpSampling" #r "D",                                                               \
        .base = "up_sampling" #r "d",                                                              \
        .summary = "repeats or interpolates: each spatial axis becomes size times as long",        \
        .family = "spatial",                                                                       \
        .rule = "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", c); d * size",                           \
        .aliases = "Upsample" #r "D",                                                              \
        .params = up##r,                                                                           \
        .build = build_up,                                                                         \
    };

UP(1)
UP(2)
UP(3)

/* ---- ZeroPadding, Cropping ---- */

enum { BORDER, BORDER_FORMAT };

/* clang-format off */
#define BORDER_PARAMS(table, name_, r, fallback_, what)                                            \
    static const nn_param table##r[] = {                                                           \
        {.name = name_, .type = NN_P_BORDER, .positional = true, .rank = r, .fallback = fallback_, \
         .help = what " on every side; per axis: a number or (before, after)"},                    \
        NN_DATA_FORMAT_PARAM,                                                                      \
        {0},                                                                                       \
    };
BORDER_PARAMS(pad, "padding", 1, "1", "zeros")
BORDER_PARAMS(pad, "padding", 2, "1", "zeros")
BORDER_PARAMS(pad, "padding", 3, "1", "zeros")
/* Keras's defaults: Cropping2D alone takes nothing off. */
BORDER_PARAMS(crop, "cropping", 1, "1", "rows taken off")
BORDER_PARAMS(crop, "cropping", 2, "0", "rows taken off")
BORDER_PARAMS(crop, "cropping", 3, "1", "rows taken off")
/* clang-format on */

static nn_status build_border(const nn_layer_ctx *c, nn_op op, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    nn_attr attr = {.border = {.spatial = nn_spatial_rank(c->layer)}};
    memcpy(attr.border.before, a[BORDER].dims, sizeof attr.border.before);
    memcpy(attr.border.after, a[BORDER].after, sizeof attr.border.after);
    nn_status st = nn_spatial_op(c, &a[BORDER_FORMAT], op, &attr, ret, err);
    bool axes_fit = c->shape->rank == attr.border.spatial + 1;
    return st && axes_fit ? nn_build_blame(c, BORDER, NULL, st) : st;
}

static nn_status build_pad(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_border(c, NN_OP_PAD, ret, err);
}

static nn_status build_crop(const nn_layer_ctx *c, int *ret, nn_err *err) {
    return build_border(c, NN_OP_CROP, ret, err);
}

#define ZERO_PADDING(r)                                                                            \
    const nn_layer nn_layer_zero_padding##r##d = {                                                 \
        .name = "ZeroPadding" #r "D",                                                              \
        .base = "zero_padding" #r "d",                                                             \
        .summary = "zeros around the spatial axes",                                                \
        .family = "spatial",                                                                       \
        .rule = "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", c); d + before + after",                 \
        .aliases = "ZeroPad" #r "D",                                                               \
        .params = pad##r,                                                                          \
        .build = build_pad,                                                                        \
    };
#define CROPPING(r)                                                                                \
    const nn_layer nn_layer_cropping##r##d = {                                                     \
        .name = "Cropping" #r "D",                                                                 \
        .base = "cropping" #r "d",                                                                 \
        .summary = "takes the borders of the spatial axes off",                                    \
        .family = "spatial",                                                                       \
        .rule = "(" NN_AXES(r) ", c) -> (" NN_AXES_(r) ", c); d - before - after",                 \
        .params = crop##r,                                                                         \
        .build = build_crop,                                                                       \
    };

ZERO_PADDING(1)
ZERO_PADDING(2)
ZERO_PADDING(3)
CROPPING(1)
CROPPING(2)
CROPPING(3)
