/* SPDX-License-Identifier: MIT */
/* keras.c - from nodes to Keras layers: the walk, folds (TimeDistributed), names, and padding.
 *
 * Our graph says where padded steps count (RNN and mean nodes read the tokens); Keras hands a mask
 * on by itself from an Embedding with mask_zero. The two must come to the same: spread_masks()
 * follows Keras's rules and refuses a network where they do not. */
#include "codegen/keras.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

nn_status nn_keras_cannot(const nn_keras *k, const nn_node *n, const char *why, const char *way,
                          nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED, "%s ('%s', op %s): %s", n->layer, n->name,
                          nn_op_name(n->op), why);
    if (!way && k->target == NN_KERAS_JS) way = "--backend tensorflow writes it as a program";
    return way ? nn_err_hint(err, s, "%s", way) : s;
}

/* ---- layers ---- */

static void *memory(nn_keras *k, size_t n, size_t size) {
    void *p = nn_arena_array(k->arena, n ? n : 1, size);
    if (!p) abort(); /* this arena has no cap */
    memset(p, 0, n * size);
    return p;
}

static nn_keras_layer *next(nn_keras *k) {
    if (k->n == k->cap) {
        int cap = k->cap ? 2 * k->cap : 64;
        nn_keras_layer *more = memory(k, (size_t)cap, sizeof *more);
        if (k->n) memcpy(more, k->layers, (size_t)k->n * sizeof *more);
        k->layers = more;
        k->cap = cap;
    }
    nn_keras_layer *l = &k->layers[k->n++];
    *l = (nn_keras_layer){.shape = {.rank = -1}, .tokens = -1, .again = -1};
    return l;
}

void nn_keras_input(nn_keras *k, nn_keras_layer *l, int from) {
    int *inputs = memory(k, (size_t)l->n_inputs + 1, sizeof *inputs);
    if (l->n_inputs) memcpy(inputs, l->inputs, (size_t)l->n_inputs * sizeof *inputs);
    inputs[l->n_inputs++] = from;
    l->inputs = inputs;
}

static bool merges(const char *class_name) {
    static const char *const classes[] = {"Add",     "Subtract", "Multiply",    "Average",
                                          "Maximum", "Minimum",  "Concatenate", NULL};
    for (const char *const *c = classes; *c; c++)
        if (strcmp(*c, class_name) == 0) return true;
    return false;
}

static nn_keras_layer *add(nn_keras *k, const nn_node *n, const char *class_name, nn_json *config,
                           int from, bool helper) {
    nn_keras_layer *l = next(k);
    l->class_name = class_name;
    l->config = config;
    l->node = n;
    l->helper = helper;
    if (from >= 0) nn_keras_input(k, l, from);
    for (int i = 0; i < k->depth[n->id] && !merges(class_name); i++) {
        nn_json *call = nn_ka_call(l->class_name, l->config);
        if (l->helper) nn_ka_bool(call, "helper", true);
        l->helper = false;
        l->class_name = "TimeDistributed";
        l->config = nn_ka_new();
        nn_json_set(l->config, "layer", call);
    }
    return l;
}

nn_keras_layer *nn_keras_add(nn_keras *k, const nn_node *n, const char *class_name, nn_json *config,
                             int from) {
    return add(k, n, class_name, config, from, false);
}

nn_keras_layer *nn_keras_add_helper(nn_keras *k, const nn_node *n, const char *class_name,
                                    nn_json *config, int from) {
    return add(k, n, class_name, config, from, true);
}

int nn_keras_again(nn_keras *k, int owner, int from) {
    nn_keras_layer *l = next(k);
    int calls = 1;
    for (int i = owner + 1; i < k->n; i++) calls += k->layers[i].again == owner;
    l->class_name = k->layers[owner].class_name;
    l->node = k->layers[owner].node;
    l->again = owner;
    l->call_no = calls;
    nn_keras_input(k, l, from);
    return k->n - 1;
}

void nn_keras_weigh(nn_keras_layer *l, int index, const char *name, nn_shape shape) {
    l->weights[l->n_weights++] = (nn_keras_weight){.index = index, .name = name, .shape = shape};
}

void nn_keras_fix(nn_keras *k, nn_keras_layer *l, const float *values, const char *name,
                  nn_shape shape) {
    size_t n = (size_t)nn_shape_elements(&shape);
    float *own = memory(k, n, sizeof *own);
    memcpy(own, values, n * sizeof *own);
    l->weights[l->n_weights++] =
        (nn_keras_weight){.index = -1, .values = own, .name = name, .shape = shape};
}

/* ---- names ---- */

/* Whether the compiler chose the name of a layer: "conv2d_1" of a Conv2D. */
static bool is_automatic(const char *layer, const char *name) {
    while (*layer && *name) {
        if (*name == '_') {
            name++;
            continue;
        }
        if (tolower((unsigned char)*layer) != *name) return false;
        layer++;
        name++;
    }
    if (*layer) return false;
    if (*name == '_') name++;
    while (isdigit((unsigned char)*name)) name++;
    return *name == 0;
}

/* The layers from `first` on came from node n: the last one has its name. */
static void name_layers(nn_keras *k, const nn_node *n, int first) {
    const nn_node *end = &k->g->nodes[k->last[n->id]];
    const char *name = strlen(end->name) < strlen(n->name) ? end->name : n->name;
    bool named =
        n->layer_name && !is_automatic(n->layer, n->layer_name) && strcmp(n->layer, "Input") != 0;
    if (n->op == NN_OP_INPUT) named = !is_automatic("Input", n->name);
    for (int i = first; i < k->n; i++) {
        nn_keras_layer *l = &k->layers[i];
        bool last = i == k->n - 1;
        l->name = last ? name : nn_arena_printf(k->arena, "%s.%d", name, i - first + 1);
        if (!l->name) abort();
        l->named = named && last;
    }
}

/* ---- padding ---- */

static bool listed(const char *const *list, const char *name) {
    for (; *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

static const char *const passing[] = {"Dense",
                                      "Activation",
                                      "ReLU",
                                      "LeakyReLU",
                                      "ELU",
                                      "PReLU",
                                      "Dropout",
                                      "GaussianNoise",
                                      "GaussianDropout",
                                      "AlphaDropout",
                                      "Rescaling",
                                      "SpatialDropout1D",
                                      "BatchNormalization",
                                      "LayerNormalization",
                                      "ActivityRegularization",
                                      "MultiHeadAttention",
                                      NULL};

/* The tokens whose padding Keras knows of in the output of layer l; -2: a mixture. */
static int mask_of(const nn_keras *k, const nn_keras_layer *l) {
    if (l->shared_mask) return l->node->inputs[0];
    if (l->n_inputs == 0) return -1;
    int from = k->layers[l->inputs[0]].tokens;
    if (merges(l->class_name)) {
        for (int i = 1; i < l->n_inputs; i++) {
            int other = k->layers[l->inputs[i]].tokens;
            from = from == -1 ? other : other == -1 || other == from ? from : -2;
        }
        return from;
    }
    if (l->node->op == NN_OP_RNN || l->node->op == NN_OP_CONV_LSTM)
        return l->node->attr.rnn.sequences ? from : -1;
    return listed(passing, l->class_name) ? from : -1;
}

/* The tokens that node n takes as padding; -1: none; -2: it does not look at padding. */
static int wanted(const nn_node *n) {
    if (n->op == NN_OP_RNN || n->op == NN_OP_GLOBAL_AVG_POOL)
        return n->n_inputs > 1 ? n->inputs[1] : -1;
    if (n->op == NN_OP_ATTENTION || n->op == NN_OP_SOFTMAX || n->op == NN_OP_CONV_LSTM) return -1;
    return -2;
}

static nn_status check_mask(nn_keras *k, const nn_keras_layer *l, nn_err *err) {
    int wants = wanted(l->node), known = k->layers[l->inputs[0]].tokens;
    if (wants != -2 && !l->helper && wants != known)
        return nn_keras_cannot(k, l->node,
                               "which steps are padding does not reach it in Keras as it does here",
                               "put it closer to the Embedding, or leave mask_zero out", err);
    if (k->target == NN_KERAS_JS && known != -1 &&
        (l->node->op == NN_OP_GLOBAL_AVG_POOL ||
         (wants == -2 && !listed(passing, l->class_name) && !merges(l->class_name) &&
          strcmp(l->class_name, "TimeDistributed") != 0)))
        return nn_keras_cannot(k, l->node, "TensorFlow.js does not run it on padded sequences",
                               "leave mask_zero out of the Embedding", err);
    return NN_OK;
}

static nn_status spread_masks(nn_keras *k, nn_err *err) {
    for (int i = 0; i < k->n; i++) {
        nn_keras_layer *l = &k->layers[i];
        nn_status s = l->n_inputs ? check_mask(k, l, err) : NN_OK;
        if (s) return s;
        l->tokens = mask_of(k, l);
    }
    return NN_OK;
}

/* ---- the walk ---- */

static void survey(nn_keras *k) {
    const nn_graph *g = k->g;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        k->last[i] = i;
        k->user[i] = -1;
        k->depth[i] = n->n_inputs ? k->depth[n->inputs[0]] : 0;
        if (n->n_inputs && g->nodes[n->inputs[0]].op == NN_OP_FOLD) k->depth[i]++;
        if (n->op == NN_OP_UNFOLD) k->depth[i]--;
        for (int j = 0; j < n->n_inputs; j++) {
            k->users[n->inputs[j]]++;
            k->user[n->inputs[j]] = i;
        }
        if ((n->op == NN_OP_RNN || n->op == NN_OP_GLOBAL_AVG_POOL) && n->n_inputs > 1)
            k->masks[n->inputs[1]] = true;
    }
    for (int i = 0; i < g->n_outputs; i++) k->users[g->outputs[i]]++;
}

static int readers(const nn_keras *k, int layer) {
    int n = 0;
    for (int i = 0; i < k->n; i++)
        for (int j = 0; j < k->layers[i].n_inputs; j++)
            if (k->layers[i].inputs[j] == layer) {
                n++;
                break;
            }
    return n;
}

static bool reads_before(const nn_keras_layer *l, int j) {
    for (int i = 0; i < j; i++)
        if (l->inputs[i] == l->inputs[j]) return true;
    return false;
}

/* TensorFlow.js 4.22 counts the layers that read a tensor, but takes one off for every time that
 * they read it (engine/executor.js): one that reads it twice gets a copy, where others read it. */
static void separate_twins(nn_keras *k) {
    for (int i = 0, n = k->n; i < n; i++)
        for (int j = 1; j < k->layers[i].n_inputs; j++) {
            int from = k->layers[i].inputs[j];
            if (!reads_before(&k->layers[i], j) || readers(k, from) == 1) continue;
            nn_json *c = nn_ka_new();
            nn_ka_num(c, "scale", 1);
            nn_ka_num(c, "offset", 0);
            nn_keras_layer *copy = nn_keras_add(k, k->layers[i].node, "Rescaling", c, from);
            copy->name = nn_arena_printf(k->arena, "%s.copy", k->layers[i].name);
            if (!copy->name) abort();
            k->layers[i].inputs[j] = k->n - 1;
        }
}

static nn_status walk(nn_keras *k, nn_err *err) {
    for (int i = 0; i < k->g->n_nodes; i++) {
        const nn_node *n = &k->g->nodes[i];
        if (k->absorbed[i]) continue;
        int first = k->n;
        nn_status s = nn_keras_map(k, n, err);
        if (s) return s;
        name_layers(k, n, first);
        const nn_node *end = &k->g->nodes[k->last[i]];
        if (k->n > first) {
            k->layers[k->n - 1].shape = end->shape;
            k->value[end->id] = k->n - 1;
        } else {
            k->value[end->id] = k->value[n->inputs[0]];
        }
    }
    nn_status s = k->in_parts ? NN_OK : spread_masks(k, err);
    if (!s && k->target == NN_KERAS_JS) separate_twins(k);
    return s;
}

static nn_status map_graph(nn_keras *k, const nn_graph *g, const nn_codegen_options *opt,
                           nn_keras_target target, bool in_parts, nn_err *err) {
    *k = (nn_keras){.g = g,
                    .opt = opt,
                    .target = target,
                    .in_parts = in_parts,
                    .arena = nn_arena_new(NULL, "keras", 0)};
    size_t n = (size_t)g->n_nodes;
    k->value = memory(k, n, sizeof *k->value);
    k->users = memory(k, n, sizeof *k->users);
    k->depth = memory(k, n, sizeof *k->depth);
    k->user = memory(k, n, sizeof *k->user);
    k->last = memory(k, n, sizeof *k->last);
    k->absorbed = memory(k, n, sizeof *k->absorbed);
    k->masks = memory(k, n, sizeof *k->masks);
    survey(k);
    nn_keras_plan(k);
    return walk(k, err);
}

static bool masks_any(const nn_keras *k) {
    for (int i = 0; i < k->g->n_nodes; i++)
        if (k->masks[i]) return true;
    return false;
}

/* Where TensorFlow.js cannot work on padded sequences as they are, its layers do it in parts. */
nn_status nn_keras_open(nn_keras *k, const nn_graph *g, const nn_codegen_options *opt,
                        nn_keras_target target, nn_err *err) {
    if (target == NN_KERAS_PYTHON) return map_graph(k, g, opt, target, false, err);
    nn_err first = {0};
    nn_status s = map_graph(k, g, opt, target, false, &first);
    if (s != NN_E_UNSUPPORTED || !masks_any(k)) {
        if (s && err) *err = first;
        return s;
    }
    nn_keras_close(k);
    return map_graph(k, g, opt, target, true, err);
}

void nn_keras_close(nn_keras *k) {
    for (int i = 0; i < k->n; i++) {
        nn_json_unref(k->layers[i].config);
        nn_json_unref(k->layers[i].call);
    }
    nn_arena_free(k->arena);
}
