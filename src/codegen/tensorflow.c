/* SPDX-License-Identifier: MIT */
/* tensorflow.c - the TensorFlow backend: the layers of keras.c as a program in Keras's functional
 * API, that runs with Keras 2.15 and 3. */
#include "codegen/tensorflow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Names that the generated file uses itself. */
static const char *const reserved[] = {
    "keras",        "layers",      "tf",          "np", "model", "initializers",
    "regularizers", "constraints", "build_model", "x",  NULL};

/* ---- arguments ---- */

static const char *module_of(nn_tf *e, const char *class_name) {
    static const char *const penalties[] = {"L1L2", NULL};
    static const char *const limits[] = {"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm", NULL};
    static const char *const begins[] = {"Zeros",           "Ones",
                                         "Constant",        "RandomNormal",
                                         "RandomUniform",   "TruncatedNormal",
                                         "GlorotNormal",    "GlorotUniform",
                                         "HeNormal",        "HeUniform",
                                         "VarianceScaling", "Orthogonal",
                                         "Identity",        NULL};
    const struct {
        const char *const *classes;
        const char *module;
        bool *used;
    } modules[] = {
        {penalties, "regularizers.", &e->regularizers},
        {limits,    "constraints.",  &e->constraints },
        {begins,    "initializers.", &e->initializers}
    };
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        for (const char *const *c = modules[i].classes; *c; c++)
            if (strcmp(*c, class_name) == 0) {
                *modules[i].used = true;
                return modules[i].module;
            }
    return "layers.";
}

typedef struct arguments {
    nn_tf *e;
    nn_buf *out;
    int n;
} arguments;

static bool put_argument(void *ctx, const char *key, nn_json *v) {
    arguments *a = ctx;
    if (*key == '~') return true;
    nn_buf_printf(a->out, "%s%s=", a->n++ ? ", " : "", *key == '!' ? key + 1 : key);
    nn_tf_value(a->e, v, a->out);
    return true;
}

static void put_call(nn_tf *e, const char *class_name, bool helper, const nn_json *config,
                     const char *name, nn_buf *out) {
    nn_buf_printf(out, "%s%s(", helper ? "" : module_of(e, class_name), class_name);
    if (helper) nn_tf_helper(e, class_name);
    arguments a = {e, out, 0};
    nn_json_each(config, put_argument, &a);
    if (name) {
        nn_buf_puts(out, a.n ? ", name=" : "name=");
        nn_py_string(out, name);
    }
    nn_buf_putc(out, ')');
}

static void put_tuple(nn_tf *e, const nn_json *v, nn_buf *out) {
    nn_buf_putc(out, '(');
    for (size_t i = 0; i < nn_json_size(v); i++) {
        if (i) nn_buf_puts(out, ", ");
        nn_tf_value(e, nn_json_at(v, i), out);
    }
    nn_buf_puts(out, nn_json_size(v) == 1 ? ",)" : ")");
}

static void put_object(nn_tf *e, const nn_json *v, nn_buf *out) {
    const char *code = nn_json_str(nn_json_get(v, "code"), NULL);
    if (code) {
        nn_tf_helper(e, code);
        nn_buf_puts(out, code);
        return;
    }
    put_call(e, nn_json_str(nn_json_get(v, "class_name"), ""),
             nn_json_bool(nn_json_get(v, "helper"), false), nn_json_get(v, "config"), NULL, out);
}

void nn_tf_value(nn_tf *e, const nn_json *v, nn_buf *out) {
    switch (nn_json_typeof(v)) {
    case NN_JSON_NULL:
        nn_buf_puts(out, "None");
        return;
    case NN_JSON_BOOL:
        nn_buf_puts(out, nn_json_bool(v, false) ? "True" : "False");
        return;
    case NN_JSON_INT:
        nn_buf_printf(out, "%" PRId64, nn_json_int(v, 0));
        return;
    case NN_JSON_REAL:
        nn_py_float(out, nn_json_num(v, 0));
        return;
    case NN_JSON_STRING:
        nn_py_string(out, nn_json_str(v, ""));
        return;
    case NN_JSON_ARRAY:
        put_tuple(e, v, out);
        return;
    case NN_JSON_OBJECT:
        put_object(e, v, out);
    }
}

/* ---- the model ---- */

static void put_inputs(nn_tf *e, const nn_keras_layer *l, nn_buf *out) {
    bool list = l->n_inputs > 1 && !l->spread;
    nn_buf_puts(out, list ? "([" : "(");
    for (int i = 0; i < l->n_inputs; i++)
        nn_buf_printf(out, "%s%s", i ? ", " : "", e->variable[l->inputs[i]]);
    if (l->spread && l->n_inputs == 1) nn_buf_printf(out, ", %s", e->variable[l->inputs[0]]);
    if (list) nn_buf_putc(out, ']');
    if (l->call) {
        nn_buf_puts(out, ", ");
        arguments a = {e, out, 0};
        nn_json_each(l->call, put_argument, &a);
    }
    nn_buf_putc(out, ')');
}

static void put_layer(nn_tf *e, int i) {
    const nn_keras_layer *l = &e->k.layers[i];
    nn_buf *out = &e->model;
    nn_buf_printf(out, "    %s = ", e->variable[i]);
    if (l->node->op == NN_OP_INPUT) {
        nn_buf_puts(out, "keras.Input(shape=");
        nn_py_shape(out, &l->node->shape);
        if (l->named) {
            nn_buf_puts(out, ", name=");
            nn_py_string(out, l->name);
        }
        nn_buf_puts(out, ")\n");
        return;
    }
    put_call(e, l->class_name, l->helper, l->config, l->named ? l->name : NULL, out);
    put_inputs(e, l, out);
    if (l->shape.rank >= 0) {
        char text[256];
        nn_buf_printf(out, "  # %s", nn_shape_print(&l->shape, true, text, sizeof text));
    }
    nn_buf_putc(out, '\n');
}

/* Each layer reads the one before it: the only variable is x. */
static bool is_chain(const nn_keras *k) {
    for (int i = 1; i < k->n; i++)
        for (int j = 0; j < k->layers[i].n_inputs || j == 0; j++)
            if (k->layers[i].n_inputs == 0 || k->layers[i].inputs[j] != i - 1) return false;
    return k->g->n_outputs == 1 && k->value[k->g->outputs[0]] == k->n - 1;
}

static void name_variables(nn_tf *e) {
    nn_keras *k = &e->k;
    e->variables = (nn_py_scope){.arena = k->arena, .reserved = reserved};
    e->variable = NN_NEW_N(k->arena, const char *, (size_t)k->n + 1);
    if (!e->variable) abort(); /* this arena has no cap */
    bool chain = is_chain(k);
    for (int i = 0; i < k->n; i++) {
        const nn_keras_layer *l = &k->layers[i];
        bool input = l->node->op == NN_OP_INPUT;
        e->variable[i] = chain ? (input ? "inputs" : "x")
                               : nn_py_name(&e->variables, input && !l->named ? "inputs" : l->name);
    }
}

static void put_ends(nn_tf *e, const char *key, const int *nodes, int n, nn_buf *out) {
    nn_buf_printf(out, "%s=", key);
    if (n > 1) nn_buf_putc(out, '[');
    for (int i = 0; i < n; i++)
        nn_buf_printf(out, "%s%s", i ? ", " : "", e->variable[e->k.value[nodes[i]]]);
    if (n > 1) nn_buf_putc(out, ']');
}

static void put_model(nn_tf *e) {
    const nn_graph *g = e->k.g;
    for (int i = 0; i < e->k.n; i++) put_layer(e, i);
    nn_buf_puts(&e->model, "    return keras.Model(");
    put_ends(e, "inputs", g->inputs, g->n_inputs, &e->model);
    nn_buf_puts(&e->model, ", ");
    put_ends(e, "outputs", g->outputs, g->n_outputs, &e->model);
    if (*g->name) {
        nn_buf_puts(&e->model, ", name=");
        NN_BUF name = {0};
        for (const char *p = g->name; *p; p++) /* a scope of TensorFlow */
            nn_buf_putc(&name, (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                                       (*p >= 'a' && *p <= 'z')
                                   ? *p
                                   : '_');
        nn_py_string(&e->model, nn_buf_str(&name));
    }
    nn_buf_puts(&e->model, ")\n");
}

/* ---- the file ---- */

static void put_head(const nn_tf *e, nn_buf *out) {
    const nn_codegen_options *o = e->k.opt;
    nn_buf_puts(out, "#!/usr/bin/env python3\n# The network ");
    nn_py_string(out, e->k.g->name);
    nn_buf_puts(out, ", generated by Neural " NN_VERSION " with\n#     neural compile ");
    nn_py_comment(out, o->source_name ? o->source_name : "FILE");
    nn_buf_puts(out, " --backend tensorflow\n");
    if (o->source_sha256) {
        nn_buf_puts(out, "# from the text with the SHA-256 ");
        nn_py_comment(out, o->source_sha256);
        nn_buf_puts(out, ".\n");
    }
    nn_buf_puts(out, "# It runs with TensorFlow 2.15 (Keras 2) and later ones (Keras 3).\n");
}

static void put_imports(const nn_tf *e, const char *code, nn_buf *out) {
    nn_py_imports(code, out);
    nn_buf_puts(out, "\nimport numpy as np\nimport tensorflow as tf\n"
                     "from tensorflow import keras\nfrom tensorflow.keras import ");
    if (e->constraints) nn_buf_puts(out, "constraints, ");
    if (e->initializers) nn_buf_puts(out, "initializers, ");
    nn_buf_puts(out, e->regularizers ? "layers, regularizers\n" : "layers\n");
    if (e->k.g->train.mixed_precision || e->k.g->train.precision == NN_PRECISION_MIXED)
        nn_buf_puts(out, "from tensorflow.keras.mixed_precision import set_global_policy\n");
}

static nn_status generate(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err) {
    nn_tf e = {0};
    nn_status s = nn_tf_check(g, err);
    if (s) return s;
    s = nn_keras_open(&e.k, g, opt, NN_KERAS_PYTHON, err);
    if (!s) {
        name_variables(&e);
        put_model(&e);
        NN_BUF code = {0};
        nn_tf_put_helpers(&e, &code);
        nn_buf_puts(
            &code,
            "\n\ndef build_model():\n    \"\"\"The network, not compiled; shapes are those behind each "
            "layer.\"\"\"\n");
        nn_buf_append(&code, e.model.p, e.model.n);
        nn_tf_program(&e, &code);
        put_head(&e, out);
        put_imports(&e, nn_buf_str(&code), out);
        nn_buf_append(out, code.p, code.n);
    }
    nn_buf_done(&e.model);
    nn_keras_close(&e.k);
    return s;
}

const nn_backend nn_backend_tensorflow = {
    .name = "tensorflow",
    .aliases = "tf|keras",
    .summary = "TensorFlow: a Keras model and its training program",
    .extension = "py",
    .media_type = "text/x-python",
    .generate = generate,
};
