/* SPDX-License-Identifier: MIT */
/* keras_ops.c - the Keras layers of each op; keras_window.c, keras_rows.c, keras_steps.c and
 * keras_attention.c have those that need more. A function
 * of the table adds layers for a node and for what nn_keras_plan gave it. */
#include "codegen/keras_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- INPUT ---- */

static nn_status emit_input(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    nn_keras_add(k, n, "InputLayer", nn_ka_new(), -1);
    return NN_OK;
}

/* ---- MATMUL ---- */

static nn_status emit_matmul(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "units", n->attr.matmul.units);
    nn_ko_put_activation(c, k, n);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "kernel", NN_INIT_GLOROT_UNIFORM, 1);
    nn_ko_put_bias(c, k, n, n->attr.matmul.bias);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "Dense", c, nn_ko_from(k, n));
    nn_ko_weigh(k, l, n, 0, "kernel");
    if (n->attr.matmul.bias) nn_ko_weigh(k, l, n, 1, "bias");
    return NN_OK;
}

/* ---- normalisation ---- */

static void put_norm(nn_json *c, const nn_keras *k, const nn_node *n, bool center, bool scale) {
    if (!center) nn_ka_bool(c, "center", false);
    if (!scale) nn_ka_bool(c, "scale", false);
    if (center) nn_ka_weight(c, nn_ko_weight(k, n, scale), "beta", NN_INIT_ZEROS, 1);
    if (scale) nn_ka_weight(c, nn_ko_weight(k, n, 0), "gamma", NN_INIT_ONES, 1);
}

static void put_epsilon(nn_json *c, double v) {
    if (v != 0.001) nn_ka_num(c, "epsilon", v);
}

static void weigh_norm(nn_keras *k, nn_keras_layer *l, const nn_node *n, bool center, bool scale) {
    if (scale) nn_ko_weigh(k, l, n, 0, "gamma");
    if (center) nn_ko_weigh(k, l, n, scale, "beta");
}

/* TensorFlow.js normalises tensors of up to three axes; more are joined before and split after. */
static bool fold_axes(nn_keras *k, const nn_node *n, int *from) {
    if (k->target != NN_KERAS_JS || n->shape.rank <= 3) return false;
    nn_shape flat = {
        2, {NN_DIM_UNKNOWN, n->shape.dim[n->shape.rank - 1]}
    };
    *from = nn_ko_reshape(k, n, &flat, *from);
    return true;
}

static nn_status emit_batch_norm(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    bool center = n->attr.batch_norm.center, scale = n->attr.batch_norm.scale;
    int from = nn_ko_from(k, n), more = center + scale;
    bool folds = fold_axes(k, n, &from);
    nn_json *c = nn_ka_new();
    bool own = n->attr.batch_norm.momentum != 0.99 || n->attr.batch_norm.epsilon != 0.001;
    if (own) nn_ka_num(c, "momentum", n->attr.batch_norm.momentum);
    if (own) nn_ka_num(c, "epsilon", n->attr.batch_norm.epsilon);
    put_norm(c, k, n, center, scale);
    nn_ka_weight(c, nn_ko_weight(k, n, more), "moving_mean", NN_INIT_ZEROS, 1);
    nn_ka_weight(c, nn_ko_weight(k, n, more + 1), "moving_variance", NN_INIT_ONES, 1);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "BatchNormalization", c, from);
    weigh_norm(k, l, n, center, scale);
    nn_ko_weigh(k, l, n, more, "moving_mean");
    nn_ko_weigh(k, l, n, more + 1, "moving_variance");
    if (folds) nn_ko_reshape(k, n, &n->shape, nn_ko_last(k));
    return NN_OK;
}

static nn_status emit_layer_norm(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    int from = nn_ko_from(k, n);
    bool folds = fold_axes(k, n, &from);
    nn_json *c = nn_ka_new();
    put_epsilon(c, n->attr.layer_norm.epsilon);
    put_norm(c, k, n, n->attr.layer_norm.center, n->attr.layer_norm.scale);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "LayerNormalization", c, from);
    weigh_norm(k, l, n, n->attr.layer_norm.center, n->attr.layer_norm.scale);
    if (folds) nn_ko_reshape(k, n, &n->shape, nn_ko_last(k));
    return NN_OK;
}

static nn_status emit_group_norm(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS) return nn_ko_group_norm(k, n, err);
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "groups", n->attr.group_norm.groups);
    put_epsilon(c, n->attr.group_norm.epsilon);
    put_norm(c, k, n, n->attr.group_norm.center, n->attr.group_norm.scale);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "GroupNormalization", c, nn_ko_from(k, n));
    weigh_norm(k, l, n, n->attr.group_norm.center, n->attr.group_norm.scale);
    return NN_OK;
}

/* ---- functions of elements ---- */

static nn_status emit_activation(nn_keras *k, const nn_node *n, nn_err *err) {
    return nn_ko_activation(k, n, n->attr.activation.kind, n->attr.activation.alpha,
                            nn_ko_from(k, n), err);
}

static nn_status emit_prelu(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    int64_t axes[NN_MAX_RANK];
    int shared = 0;
    for (int i = 0; i < n->shape.rank; i++)
        if (n->attr.prelu.shared >> i & 1) axes[shared++] = i + 1;
    nn_json *c = nn_ka_new();
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "alpha", NN_INIT_ZEROS, n->shape.rank - 1);
    if (shared) nn_ka_tuple(c, "shared_axes", axes, shared);
    nn_ka_trainable(c, k, n);
    nn_ko_weigh(k, nn_keras_add(k, n, "PReLU", c, nn_ko_from(k, n)), n, 0, "alpha");
    return NN_OK;
}

static nn_status emit_softmax(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    nn_json *c = nn_ka_new();
    if (n->attr.softmax.log) {
        if (k->target == NN_KERAS_JS)
            nn_ka_str(c, "activation", "log_softmax");
        else
            nn_ka_code(c, "activation", "tf.nn.log_softmax");
        nn_keras_add(k, n, "Activation", c, nn_ko_from(k, n));
    } else if (strcmp(n->layer, "Softmax") == 0) {
        nn_ka_int(c, "~axis", -1);
        nn_keras_add(k, n, "Softmax", c, nn_ko_from(k, n));
    } else {
        nn_ka_str(c, "activation", "softmax");
        nn_keras_add(k, n, "Activation", c, nn_ko_from(k, n));
    }
    return NN_OK;
}

/* ---- while training ---- */

static void put_seed(nn_json *c, bool seeded, uint64_t seed) {
    if (seeded) nn_ka_int(c, "seed", (int64_t)(seed & INT32_MAX));
}

static nn_status emit_dropout(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    const nn_shape *shared = &n->attr.dropout.noise_shape;
    bool spatial = strncmp(n->layer, "SpatialDropout", 14) == 0 &&
                   (k->target == NN_KERAS_PYTHON || n->shape.rank == 2);
    nn_json *c = nn_ka_new();
    nn_ka_num(c, "rate", n->attr.dropout.rate);
    if (!spatial && shared->rank) nn_json_set(c, "noise_shape", nn_json_new_shape(shared, true));
    put_seed(c, n->attr.dropout.seeded, n->attr.dropout.seed);
    nn_keras_add(k, n, spatial ? nn_ko_ranked(k, "SpatialDropout", n->shape.rank - 1) : "Dropout",
                 c, nn_ko_from(k, n));
    return NN_OK;
}

static nn_status emit_noise(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const classes[] = {"GaussianNoise", "GaussianDropout", "AlphaDropout"};
    nn_json *c = nn_ka_new();
    nn_ka_num(c, n->attr.noise.kind == NN_NOISE_GAUSSIAN ? "stddev" : "rate", n->attr.noise.value);
    put_seed(c, n->attr.noise.seeded, n->attr.noise.seed);
    nn_keras_add(k, n, classes[n->attr.noise.kind], c, nn_ko_from(k, n));
    return NN_OK;
}

/* TensorFlow.js, which has no such layer, passes the value on. */
static nn_status emit_activity_reg(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    nn_json *c = nn_ka_new();
    if (k->target == NN_KERAS_JS) {
        nn_ka_str(c, "activation", "linear");
        nn_keras_add(k, n, "Activation", c, nn_ko_from(k, n));
        return NN_OK;
    }
    if (n->attr.activity_reg.l1 != 0) nn_ka_num(c, "l1", n->attr.activity_reg.l1);
    if (n->attr.activity_reg.l2 != 0) nn_ka_num(c, "l2", n->attr.activity_reg.l2);
    nn_keras_add(k, n, "ActivityRegularization", c, nn_ko_from(k, n));
    return NN_OK;
}

/* ---- shapes ---- */

static void add_repeat(nn_keras *k, const nn_node *n) {
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "n", k->g->nodes[k->last[n->id]].attr.upsample.factor[0]);
    nn_keras_add(k, n, "RepeatVector", c, nn_ko_from(k, n));
}

static nn_status emit_reshape(nn_keras *k, const nn_node *n, nn_err *err) {
    int unknown = 0;
    if (k->last[n->id] != n->id) {
        add_repeat(k, n);
        return NN_OK;
    }
    for (int i = 0; i < n->shape.rank; i++) unknown += n->shape.dim[i] < 0;
    if (n->attr.reshape.flatten)
        nn_keras_add(k, n, "Flatten", nn_ka_new(), nn_ko_from(k, n));
    else if (unknown > 1)
        return nn_keras_cannot(k, n, "Reshape of more than one unknown size",
                               "give the input's sizes", err);
    else
        nn_ko_reshape(k, n, &n->shape, nn_ko_from(k, n));
    return NN_OK;
}

static nn_status emit_transpose(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    nn_ko_permute(k, n, n->attr.transpose.perm, n->shape.rank, nn_ko_from(k, n));
    return NN_OK;
}

static nn_status emit_pad(nn_keras *k, const nn_node *n, nn_err *err) {
    nn_shape s = nn_ko_input(k, n)->shape;
    int from = nn_ko_from(k, n);
    return nn_ko_border(k, n, &n->attr.border, false, &s, &from, err);
}

static nn_status emit_crop(nn_keras *k, const nn_node *n, nn_err *err) {
    nn_shape s = nn_ko_input(k, n)->shape;
    int from = nn_ko_from(k, n);
    return nn_ko_border(k, n, &n->attr.border, true, &s, &from, err);
}

/* ---- steps ---- */

static nn_status emit_embedding(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    bool masks = k->masks[n->inputs[0]] && !k->in_parts;
    nn_json *c = nn_ka_new();
    nn_ka_int(c, "input_dim", n->attr.embedding.input_dim);
    nn_ka_int(c, "output_dim", n->attr.embedding.output_dim);
    nn_ka_weight(c, nn_ko_weight(k, n, 0), "embeddings", NN_INIT_RANDOM_UNIFORM, 1);
    if (masks) nn_ka_bool(c, "mask_zero", true);
    nn_ka_trainable(c, k, n);
    nn_keras_layer *l = nn_keras_add(k, n, "Embedding", c, nn_ko_from(k, n));
    l->shared_mask = masks;
    nn_ko_weigh(k, l, n, 0, "embeddings");
    return NN_OK;
}

/* ---- several inputs ---- */

static nn_keras_layer *add_merge(nn_keras *k, const nn_node *n, const char *name, nn_json *c) {
    nn_keras_layer *l = nn_keras_add(k, n, name, c, nn_ko_from(k, n));
    for (int i = 1; i < n->n_inputs; i++) nn_keras_input(k, l, k->value[n->inputs[i]]);
    return l;
}

/* TensorFlow.js has no Subtract. */
static nn_status subtract(nn_keras *k, const nn_node *n) {
    int b = nn_ko_rescale(k, n, -1, 0, k->value[n->inputs[1]]);
    nn_keras_input(k, nn_keras_add(k, n, "Add", nn_ka_new(), k->value[n->inputs[0]]), b);
    return NN_OK;
}

static nn_status emit_merge(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    static const char *const classes[] = {"Add",     "Subtract", "Multiply",
                                          "Average", "Maximum",  "Minimum"};
    if (k->target == NN_KERAS_JS && n->attr.merge.kind == NN_MERGE_SUBTRACT) return subtract(k, n);
    add_merge(k, n, classes[n->attr.merge.kind], nn_ka_new());
    return NN_OK;
}

static nn_status emit_concat(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)err;
    int axis = n->attr.concat.axis;
    nn_json *c = nn_ka_new();
    if (axis == n->shape.rank - 1)
        nn_ka_int(c, "~axis", -1);
    else
        nn_ka_int(c, "axis", axis + 1 + k->depth[n->id]);
    add_merge(k, n, "Concatenate", c);
    return NN_OK;
}

/* x with its axis `axis` last, and the others joined before it. */
static int rows_of(nn_keras *k, const nn_node *n, const nn_shape *s, int axis, int x) {
    int perm[NN_MAX_RANK], rank = 0;
    int64_t rest = 1;
    for (int i = 0; i < s->rank; i++) {
        if (i == axis) continue;
        perm[rank++] = i;
        rest = rest < 0 || s->dim[i] < 0 ? NN_DIM_UNKNOWN : rest * s->dim[i];
    }
    perm[rank] = axis;
    if (axis != rank) x = nn_ko_permute(k, n, perm, s->rank, x);
    return nn_ko_reshape(k, n,
                         &(nn_shape){
                             2, {rest, s->dim[axis]}
    },
                         x);
}

/* TensorFlow.js takes inputs of one or two axes. */
static nn_status dot_js(nn_keras *k, const nn_node *n, nn_err *err) {
    const int *axes = n->attr.dot.axes;
    const nn_shape *a = &k->g->nodes[n->inputs[0]].shape, *b = &k->g->nodes[n->inputs[1]].shape;
    int unknown = 0;
    for (int i = 0; i < n->shape.rank; i++) unknown += n->shape.dim[i] < 0;
    if (unknown > 1 || a->dim[axes[0]] < 0 || b->dim[axes[1]] < 0)
        return nn_keras_cannot(k, n,
                               "TensorFlow.js takes inputs of one or two axes, and sizes that "
                               "are unknown cannot be joined",
                               "give the inputs' sizes", err);
    int x = rows_of(k, n, a, axes[0], k->value[n->inputs[0]]);
    int y = rows_of(k, n, b, axes[1], k->value[n->inputs[1]]);
    x = nn_ko_dot(k, n, x, y, 2, 2);
    if (n->attr.dot.normalize) nn_ka_bool(k->layers[x].config, "normalize", true);
    nn_ko_reshape(k, n, &n->shape, x);
    return NN_OK;
}

static nn_status emit_dot(nn_keras *k, const nn_node *n, nn_err *err) {
    const nn_shape *a = &k->g->nodes[n->inputs[0]].shape, *b = &k->g->nodes[n->inputs[1]].shape;
    if (k->target == NN_KERAS_JS && (a->rank > 2 || b->rank > 2)) return dot_js(k, n, err);
    int64_t axes[2] = {n->attr.dot.axes[0] + 1, n->attr.dot.axes[1] + 1};
    nn_json *c = nn_ka_new();
    nn_ka_sizes(c, "axes", axes, 2);
    if (n->attr.dot.normalize) nn_ka_bool(c, "normalize", true);
    add_merge(k, n, "Dot", c);
    return NN_OK;
}

/* The value itself: its users are wrapped (nn_keras_add). */
static nn_status emit_fold(nn_keras *k, const nn_node *n, nn_err *err) {
    (void)k;
    (void)n;
    (void)err;
    return NN_OK;
}

static nn_status emit_custom(nn_keras *k, const nn_node *n, nn_err *err) {
    if (k->target == NN_KERAS_JS || strcmp(n->layer, "Lambda") != 0)
        return nn_keras_cannot(
            k, n, "only its name is known, not what it does",
            "replace it by layers of the table, or by a Lambda for --backend tensorflow", err);
    NN_BUF function = {0};
    nn_status s = nn_py_lambda(n->attr.custom.text, &function, err);
    if (s) return s;
    nn_json *c = nn_ka_new();
    nn_ka_code(c, "function", nn_buf_str(&function));
    nn_ka_shape(c, "output_shape", &n->shape);
    add_merge(k, n, "Lambda", c);
    return NN_OK;
}

#define emit_unfold            emit_fold
#define emit_conv              nn_ko_conv
#define emit_max_pool          nn_ko_pool
#define emit_avg_pool          nn_ko_pool
#define emit_global_max_pool   nn_ko_global_pool
#define emit_global_avg_pool   nn_ko_global_pool
#define emit_conv_transpose    nn_ko_conv_transpose
#define emit_adaptive_max_pool nn_ko_adaptive_pool
#define emit_adaptive_avg_pool nn_ko_adaptive_pool
#define emit_upsample          nn_ko_upsample
#define emit_reverse           nn_ko_reverse
#define emit_clip              nn_ko_clip
#define emit_position          nn_ko_position
#define emit_rnn               nn_ko_rnn
#define emit_conv_lstm         nn_ko_conv_lstm
#define emit_attention         nn_ko_attention

typedef nn_status map_fn(nn_keras *k, const nn_node *n, nn_err *err);
static map_fn *const table[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = emit_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_keras_map(nn_keras *k, const nn_node *n, nn_err *err) {
    return table[n->op](k, n, err);
}
