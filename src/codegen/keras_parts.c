/* SPDX-License-Identifier: MIT */
/* keras_parts.c - what the mapping of every op needs: where a node's value is, its weights, and
 * layers that stand for parts of an op. */
#include "codegen/keras_ops.h"

#include <stdlib.h>
#include <string.h>

const nn_node *nn_ko_input(const nn_keras *k, const nn_node *n) {
    return &k->g->nodes[n->inputs[0]];
}

int nn_ko_from(const nn_keras *k, const nn_node *n) {
    return k->value[n->inputs[0]];
}

int nn_ko_last(const nn_keras *k) {
    return k->n - 1;
}

const nn_weight *nn_ko_weight(const nn_keras *k, const nn_node *n, int i) {
    return &k->g->weights[n->weights[i]];
}

/* "Conv2D". */
const char *nn_ko_ranked(nn_keras *k, const char *before, int rank) {
    const char *s = nn_arena_printf(k->arena, "%s%dD", before, rank);
    if (!s) abort();
    return s;
}

/* The activation that the plan took into node n. */
void nn_ko_put_activation(nn_json *c, const nn_keras *k, const nn_node *n) {
    const nn_node *end = &k->g->nodes[k->last[n->id]];
    const char *f = end->id == n->id ? NULL : nn_keras_activation(end);
    if (f && strcmp(f, "linear") != 0) nn_ka_str(c, "activation", f);
}

void nn_ko_put_bias(nn_json *c, const nn_keras *k, const nn_node *n, bool bias) {
    if (!bias)
        nn_ka_bool(c, "use_bias", false);
    else
        nn_ka_weight(c, nn_ko_weight(k, n, n->n_weights - 1), "bias", NN_INIT_ZEROS, 1);
}

void nn_ko_weigh(nn_keras *k, nn_keras_layer *l, const nn_node *n, int i, const char *name) {
    nn_keras_weigh(l, n->weights[i], name, nn_ko_weight(k, n, i)->shape);
}

float *nn_ko_floats(nn_keras *k, int64_t n) {
    float *p = nn_arena_array(k->arena, (size_t)n, sizeof *p);
    if (!p) abort(); /* this arena has no cap */
    memset(p, 0, (size_t)n * sizeof *p);
    return p;
}

bool nn_ko_all(const int64_t *v, int n, int64_t wanted) {
    for (int i = 0; i < n; i++)
        if (v[i] != wanted) return false;
    return true;
}

bool nn_ko_pads(const nn_window *w) {
    return !w->same &&
           !(nn_ko_all(w->pad_before, w->spatial, 0) && nn_ko_all(w->pad_after, w->spatial, 0));
}

/* ---- layers ---- */

int nn_ko_reshape(nn_keras *k, const nn_node *n, const nn_shape *to, int from) {
    nn_json *c = nn_ka_new();
    nn_ka_shape(c, "target_shape", to); /* an unknown size is -1 in both */
    nn_keras_add(k, n, "Reshape", c, from)->shape = *to;
    return nn_ko_last(k);
}

int nn_ko_permute(nn_keras *k, const nn_node *n, const int *perm, int rank, int from) {
    int64_t dims[NN_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = perm[i] + 1;
    nn_json *c = nn_ka_new();
    nn_ka_tuple(c, "dims", dims, rank);
    nn_keras_add(k, n, "Permute", c, from);
    return nn_ko_last(k);
}

int nn_ko_rescale(nn_keras *k, const nn_node *n, double scale, double offset, int from) {
    nn_json *c = nn_ka_new();
    nn_ka_num(c, "scale", scale);
    nn_ka_num(c, offset == 0 ? "~offset" : "offset", offset);
    nn_keras_add(k, n, "Rescaling", c, from);
    return nn_ko_last(k);
}

int nn_ko_function(nn_keras *k, const nn_node *n, const char *activation, int from) {
    nn_json *c = nn_ka_new();
    nn_ka_str(c, "activation", activation);
    nn_keras_add(k, n, "Activation", c, from);
    return nn_ko_last(k);
}

int nn_ko_relu(nn_keras *k, const nn_node *n, double most, int from) {
    nn_json *c = nn_ka_new();
    if (most > 0) nn_ka_num(c, "max_value", most);
    nn_keras_add(k, n, "ReLU", c, from);
    return nn_ko_last(k);
}

int nn_ko_merge(nn_keras *k, const nn_node *n, const char *class_name, int a, int b) {
    nn_keras_input(k, nn_keras_add(k, n, class_name, nn_ka_new(), a), b);
    return nn_ko_last(k);
}

int nn_ko_product(nn_keras *k, const nn_node *n, const float *matrix, int64_t in, int64_t out,
                  int from) {
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "units", out);
    nn_ka_bool(c, "use_bias", false);
    nn_keras_fix(k, nn_keras_add(k, n, "Dense", c, from), matrix, "kernel",
                 (nn_shape){
                     2, {in, out}
    });
    return nn_ko_last(k);
}

int nn_ko_dot(nn_keras *k, const nn_node *n, int a, int b, int axis_a, int axis_b) {
    int64_t axes[2] = {axis_a, axis_b};
    nn_json *c = nn_ka_new();
    nn_ka_tuple(c, "axes", axes, 2);
    nn_keras_input(k, nn_keras_add(k, n, "Dot", c, a), b);
    return nn_ko_last(k);
}

int nn_ko_along(nn_keras *k, const nn_node *n, int axis, int rank, const float *matrix, int64_t in,
                int64_t out, int x) {
    int perm[NN_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[axis] = rank - 1;
    perm[rank - 1] = axis;
    if (axis != rank - 1) x = nn_ko_permute(k, n, perm, rank, x);
    x = nn_ko_product(k, n, matrix, in, out, x);
    return axis != rank - 1 ? nn_ko_permute(k, n, perm, rank, x) : x;
}

int nn_ko_row(nn_keras *k, const nn_node *n, int axis, const int *layers, int64_t m) {
    if (m == 1) return layers[0];
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "axis", axis < 0 ? axis : axis + k->depth[n->id]);
    nn_keras_layer *l = nn_keras_add(k, n, "Concatenate", c, layers[0]);
    for (int64_t i = 1; i < m; i++) nn_keras_input(k, l, layers[i]);
    return nn_ko_last(k);
}

int nn_ko_present(nn_keras *k, const nn_node *n, int tokens) {
    return nn_ko_relu(k, n, 1, tokens);
}

static float *filled(nn_keras *k, int64_t n, float v) {
    float *p = nn_arena_array(k->arena, (size_t)n, sizeof *p);
    if (!p) abort();
    for (int64_t i = 0; i < n; i++) p[i] = v;
    return p;
}

/* A BatchNormalization of mean 0 and of a variance that is 1 with its epsilon. */
int nn_ko_affine(nn_keras *k, const nn_node *n, const float *gamma, const float *beta, int64_t size,
                 int from) {
    nn_shape s = {1, {size}};
    nn_json *c = nn_ka_new();
    nn_ka_num(c, "epsilon", 0.0009765625);
    nn_keras_layer *l = nn_keras_add(k, n, "BatchNormalization", c, from);
    nn_keras_fix(k, l, gamma ? gamma : filled(k, size, 1), "gamma", s);
    nn_keras_fix(k, l, beta ? beta : filled(k, size, 0), "beta", s);
    nn_keras_fix(k, l, filled(k, size, 0), "moving_mean", s);
    nn_keras_fix(k, l, filled(k, size, 1 - 0.0009765625F), "moving_variance", s);
    return nn_ko_last(k);
}

/* ---- borders ---- */

static const char *const border_class[] = {"ZeroPadding", "Cropping"};
static const char *const border_key[] = {"padding", "cropping"};

static void move(nn_shape *s, const nn_border *b, int first, int n, bool crop) {
    for (int i = first; i < first + n; i++)
        if (s->dim[i] >= 0) s->dim[i] += (crop ? -1 : 1) * (b->before[i] + b->after[i]);
}

static int add_border(nn_keras *k, const nn_node *n, const int64_t *before, const int64_t *after,
                      int spatial, bool crop, int from) {
    nn_json *c = nn_ka_new();
    nn_ka_pairs(c, border_key[crop], before, after, spatial);
    const char *name = nn_arena_printf(k->arena, "%s%dD", border_class[crop], spatial);
    if (!name) abort();
    nn_keras_add(k, n, name, c, from);
    return nn_ko_last(k);
}

/* One spatial axis as the first of two. */
static int border_first(nn_keras *k, const nn_node *n, const nn_border *b, bool crop,
                        const nn_shape *in, const nn_shape *out, int from) {
    int64_t inner = 1, before[2] = {b->before[0], 0}, after[2] = {b->after[0], 0};
    for (int i = 1; i < in->rank - 1; i++) inner *= in->dim[i];
    nn_shape plane = {
        3, {in->dim[0], inner, in->dim[in->rank - 1]}
    };
    from = nn_ko_reshape(k, n, &plane, from);
    from = add_border(k, n, before, after, 2, crop, from);
    return nn_ko_reshape(k, n, out, from);
}

/* The last two of three spatial axes, at every place of the first. */
static int border_rest(nn_keras *k, const nn_node *n, const nn_border *b, bool crop, int from) {
    from = add_border(k, n, b->before + 1, b->after + 1, 2, crop, from);
    nn_keras_layer *l = &k->layers[from];
    nn_json *outer = nn_ka_new();
    nn_json_set(outer, "layer", nn_ka_call(l->class_name, l->config));
    l->class_name = "TimeDistributed";
    l->config = outer;
    return from;
}

nn_status nn_ko_border(nn_keras *k, const nn_node *n, const nn_border *b, bool crop, nn_shape *s,
                       int *from, nn_err *err) {
    if (k->target == NN_KERAS_PYTHON || b->spatial == 2) {
        *from = add_border(k, n, b->before, b->after, b->spatial, crop, *from);
        move(s, b, 0, b->spatial, crop);
        return NN_OK;
    }
    for (int i = 1; i < b->spatial; i++)
        if (s->dim[0] < 0 || s->dim[i] < 0)
            return nn_keras_cannot(k, n, "a border of three axes of unknown sizes", NULL, err);
    bool rest = b->spatial == 3 && (b->before[1] | b->after[1] | b->before[2] | b->after[2]);
    if (rest) {
        *from = border_rest(k, n, b, crop, *from);
        move(s, b, 1, 2, crop);
    }
    if (rest && !(b->before[0] | b->after[0])) return NN_OK;
    nn_shape in = *s;
    move(s, b, 0, 1, crop);
    *from = border_first(k, n, b, crop, &in, s, *from);
    return NN_OK;
}

nn_status nn_ko_trim(nn_keras *k, const nn_node *n, const nn_window *w, nn_shape *s, int *from,
                     nn_err *err) {
    if (k->target == NN_KERAS_PYTHON || w->spatial != 3 || !w->same) return NN_OK;
    nn_border b = {.spatial = 3};
    bool any = false;
    for (int i = 0; i < 3; i++) {
        int64_t size = (w->size[i] - 1) * w->dilation[i] + 1;
        if (size >= w->stride[i]) continue;
        if (s->dim[i] < 0)
            return nn_keras_cannot(k, n,
                                   "padding=same of a kernel that is shorter than its stride, "
                                   "over an unknown size",
                                   "give the input's sizes", err);
        int64_t unused = (s->dim[i] - 1) % w->stride[i] + 1 - size;
        b.after[i] = unused > 0 ? unused : 0;
        any = any || b.after[i];
    }
    return any ? nn_ko_border(k, n, &b, true, s, from, err) : NN_OK;
}
