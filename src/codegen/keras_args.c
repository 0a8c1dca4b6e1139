/* SPDX-License-Identifier: MIT */
/* keras_args.c - arguments of Keras layers as JSON values, and what Keras says about a weight. */
#include "codegen/keras.h"

#include <stdio.h>
#include <string.h>

nn_json *nn_ka_new(void) {
    return nn_json_new_object();
}

void nn_ka_int(nn_json *c, const char *key, int64_t v) {
    nn_json_set(c, key, nn_json_new_int(v));
}

void nn_ka_num(nn_json *c, const char *key, double v) {
    nn_json_set(c, key, nn_json_new_num(v));
}

void nn_ka_str(nn_json *c, const char *key, const char *v) {
    nn_json_set(c, key, nn_json_new_str(v));
}

void nn_ka_bool(nn_json *c, const char *key, bool v) {
    nn_json_set(c, key, nn_json_new_bool(v));
}

void nn_ka_tuple(nn_json *c, const char *key, const int64_t *v, int n) {
    nn_json *a = nn_json_new_array();
    for (int i = 0; i < n; i++) nn_json_push(a, nn_json_new_int(v[i]));
    nn_json_set(c, key, a);
}

void nn_ka_sizes(nn_json *c, const char *key, const int64_t *v, int n) {
    bool equal = true;
    for (int i = 1; i < n; i++) equal = equal && v[i] == v[0];
    if (equal)
        nn_ka_int(c, key, v[0]);
    else
        nn_ka_tuple(c, key, v, n);
}

void nn_ka_shape(nn_json *c, const char *key, const nn_shape *s) {
    nn_ka_tuple(c, key, s->dim, s->rank);
}

void nn_ka_pairs(nn_json *c, const char *key, const int64_t *a, const int64_t *b, int n) {
    nn_json *all = nn_json_new_array();
    for (int i = 0; i < n; i++) {
        nn_json *pair = n == 1 ? all : nn_json_new_array();
        nn_json_push(pair, nn_json_new_int(a[i]));
        nn_json_push(pair, nn_json_new_int(b[i]));
        if (n > 1) nn_json_push(all, pair);
    }
    nn_json_set(c, key, all);
}

void nn_ka_code(nn_json *c, const char *key, const char *python) {
    nn_json *o = nn_json_new_object();
    nn_ka_str(o, "code", python);
    nn_json_set(c, key, o);
}

nn_json *nn_ka_call(const char *class_name, nn_json *config) {
    nn_json *o = nn_json_new_object();
    nn_ka_str(o, "class_name", class_name);
    nn_json_set(o, "config", config);
    return o;
}

/* ---- initialisers ---- */

/* Class and arguments of each initialiser. TensorFlow.js spells LeCun's differently, so these are
 * written as what they are. */
typedef struct initializer {
    const char *word, *class_name; /* word: "he_normal" says it without arguments; may be NULL */
    const char *a, *b;             /* the arguments of nn_initializer.a and b */
} initializer;

static const initializer initializers[NN_INIT_COUNT] = {
    [NN_INIT_ZEROS] = {"zeros",          "Zeros",           NULL,     NULL    },
    [NN_INIT_ONES] = {"ones",           "Ones",            NULL,     NULL    },
    [NN_INIT_CONSTANT] = {NULL,             "Constant",        "value",  NULL    },
    [NN_INIT_RANDOM_NORMAL] = {NULL,             "RandomNormal",    "mean",   "stddev"},
    [NN_INIT_RANDOM_UNIFORM] = {NULL,             "RandomUniform",   "minval", "maxval"},
    [NN_INIT_TRUNCATED_NORMAL] = {NULL,             "TruncatedNormal", "mean",   "stddev"},
    [NN_INIT_GLOROT_NORMAL] = {"glorot_normal",  "GlorotNormal",    NULL,     NULL    },
    [NN_INIT_GLOROT_UNIFORM] = {"glorot_uniform", "GlorotUniform",   NULL,     NULL    },
    [NN_INIT_HE_NORMAL] = {"he_normal",      "HeNormal",        NULL,     NULL    },
    [NN_INIT_HE_UNIFORM] = {"he_uniform",     "HeUniform",       NULL,     NULL    },
    [NN_INIT_LECUN_NORMAL] = {NULL,             "VarianceScaling", NULL,     NULL    },
    [NN_INIT_LECUN_UNIFORM] = {NULL,             "VarianceScaling", NULL,     NULL    },
    [NN_INIT_ORTHOGONAL] = {NULL,             "Orthogonal",      "gain",   NULL    },
    [NN_INIT_IDENTITY] = {NULL,             "Identity",        "gain",   NULL    },
    [NN_INIT_UNIT_FORGET] = {"zeros",          "Zeros",           NULL,     NULL    }, /* unit_forget_bias adds the ones */
};

static nn_json *initial(const nn_initializer *v) {
    const initializer *i = &initializers[v->kind];
    bool draws =
        v->kind > NN_INIT_CONSTANT && v->kind != NN_INIT_IDENTITY && v->kind != NN_INIT_UNIT_FORGET;
    if (i->word && !(v->seeded && draws)) return nn_json_new_str(i->word);
    nn_json *c = nn_ka_new();
    if (i->a) nn_ka_num(c, i->a, v->a);
    if (i->b) nn_ka_num(c, i->b, v->b);
    if (strcmp(i->class_name, "VarianceScaling") == 0) {
        nn_ka_num(c, "scale", 1.0);
        nn_ka_str(c, "mode", "fan_in");
        nn_ka_str(c, "distribution",
                  v->kind == NN_INIT_LECUN_NORMAL ? "truncated_normal" : "uniform");
    }
    if (v->seeded && draws) nn_ka_int(c, "seed", (int64_t)(v->seed & INT32_MAX));
    return nn_ka_call(i->class_name, c);
}

static bool is_usual(const nn_initializer *v, nn_init_kind usual) {
    nn_initializer d = {0};
    nn_init_find(nn_init_name(usual), &d);
    return v->kind == usual && !v->seeded && v->a == d.a && v->b == d.b;
}

/* ---- regularizers, constraints ---- */

static nn_json *penalty(const nn_regularizer *r) {
    nn_json *c = nn_ka_new();
    if (r->l1 != 0) nn_ka_num(c, "l1", r->l1);
    if (r->l2 != 0) nn_ka_num(c, "l2", r->l2);
    return nn_ka_call("L1L2", c);
}

static nn_json *constraint(const nn_constraint *v, int axes) {
    nn_json *c = nn_ka_new();
    static const char *const classes[] = {
        [NN_CONSTRAINT_MAX_NORM] = "MaxNorm",
        [NN_CONSTRAINT_NON_NEG] = "NonNeg",
        [NN_CONSTRAINT_UNIT_NORM] = "UnitNorm",
        [NN_CONSTRAINT_MIN_MAX_NORM] = "MinMaxNorm",
    };
    if (v->kind == NN_CONSTRAINT_MIN_MAX_NORM) nn_ka_num(c, "min_value", v->min);
    if (v->kind == NN_CONSTRAINT_MAX_NORM || v->kind == NN_CONSTRAINT_MIN_MAX_NORM)
        nn_ka_num(c, "max_value", v->max);
    if (v->kind == NN_CONSTRAINT_MIN_MAX_NORM) nn_ka_num(c, "rate", v->rate);
    int64_t axis[NN_MAX_RANK];
    for (int i = 0; i < axes && i < NN_MAX_RANK; i++) axis[i] = i;
    if (v->kind != NN_CONSTRAINT_NON_NEG && axes > 1) nn_ka_tuple(c, "axis", axis, axes);
    return nn_ka_call(classes[v->kind], c);
}

void nn_ka_weight(nn_json *c, const nn_weight *w, const char *what, nn_init_kind usual, int axes) {
    char key[64];
    if (!is_usual(&w->init, usual)) {
        snprintf(key, sizeof key, "%s_initializer", what);
        nn_json_set(c, key, initial(&w->init));
    }
    if (w->regularizer.l1 != 0 || w->regularizer.l2 != 0) {
        snprintf(key, sizeof key, "%s_regularizer", what);
        nn_json_set(c, key, penalty(&w->regularizer));
    }
    if (w->constraint.kind == NN_CONSTRAINT_NONE) return;
    snprintf(key, sizeof key, "!%s_constraint",
             what); /* TensorFlow.js applies it to weights that it loads */
    nn_json_set(c, key, constraint(&w->constraint, axes));
}

void nn_ka_trainable(nn_json *c, const nn_keras *k, const nn_node *n) {
    bool any = false, trains = false;
    for (int i = 0; i < n->n_weights; i++) {
        bool moving = n->op == NN_OP_BATCH_NORM && i >= n->n_weights - 2;
        any = any || !moving;
        trains = trains || k->g->weights[n->weights[i]].trainable;
    }
    if (any && !trains) nn_ka_bool(c, "trainable", false);
}
