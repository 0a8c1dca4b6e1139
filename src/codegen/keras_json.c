/* SPDX-License-Identifier: MIT */
/* keras_json.c - the LayersModel description: model.json with the topology as Keras 2.15 writes it
 * and a weights manifest, and the weights in one binary shard beside it. TensorFlow.js
 * (tf.loadLayersModel) and its converter read it:
 * https://www.tensorflow.org/js/tutorials/conversion/import_keras */
#include "codegen/keras.h"

#include <string.h>

/* ---- arguments ---- */

typedef struct members {
    nn_jw *w;
    const nn_keras_layer *l;
} members;

static bool put_member(void *ctx, const char *key, nn_json *v);

/* A class and its arguments; a layer inside of another has a name, too. */
static void put_call(nn_jw *w, const nn_keras_layer *l, const nn_json *v, bool layer) {
    members m = {w, l};
    nn_jw_obj(w);
    nn_jw_key(w, "class_name");
    nn_jw_str(w, nn_json_str(nn_json_get(v, "class_name"), ""));
    nn_jw_key(w, "config");
    nn_jw_obj(w);
    if (layer) {
        NN_BUF name = {0};
        nn_buf_printf(&name, "%s_inner", l->name);
        nn_jw_key(w, "name");
        nn_jw_str(w, nn_buf_str(&name));
    }
    nn_json_each(nn_json_get(v, "config"), put_member, &m);
    nn_jw_end_obj(w);
    nn_jw_end_obj(w);
}

/* Arguments that hold for training alone stay out; those that are Keras's default are said. */
static bool put_member(void *ctx, const char *key, nn_json *v) {
    members *m = ctx;
    if (*key == '!') return true;
    nn_jw_key(m->w, *key == '~' ? key + 1 : key);
    if (nn_json_typeof(v) == NN_JSON_OBJECT)
        put_call(m->w, m->l, v, strcmp(key, "layer") == 0);
    else
        nn_jw_value(m->w, v);
    return true;
}

static void put_members(nn_jw *w, const nn_keras_layer *l, const nn_json *v) {
    members m = {w, l};
    nn_json_each(v, put_member, &m);
}

/* ---- topology ---- */

static void put_input(nn_jw *w, const nn_shape *s) {
    nn_jw_key(w, "batch_input_shape");
    nn_jw_shape(w, s, true);
    nn_jw_key(w, "dtype");
    nn_jw_str(w, "float32");
    nn_jw_key(w, "sparse");
    nn_jw_bool(w, false);
    nn_jw_key(w, "ragged");
    nn_jw_bool(w, false);
}

/* [name, 0, 0], with the empty arguments of the call in inbound nodes. */
static void put_tensor(nn_jw *w, const nn_keras *k, int i, bool inbound) {
    const nn_keras_layer *l = &k->layers[i];
    nn_jw_arr(w);
    nn_jw_str(w, l->again < 0 ? l->name : k->layers[l->again].name);
    nn_jw_int(w, l->call_no);
    nn_jw_int(w, 0);
    if (inbound) {
        nn_jw_obj(w);
        nn_jw_end_obj(w);
    }
    nn_jw_end_arr(w);
}

static void put_call_of(nn_jw *w, const nn_keras *k, const nn_keras_layer *l) {
    nn_jw_arr(w);
    for (int i = 0; i < l->n_inputs; i++) put_tensor(w, k, l->inputs[i], true);
    nn_jw_end_arr(w);
}

static void put_layer(nn_jw *w, const nn_keras *k, int at) {
    const nn_keras_layer *l = &k->layers[at];
    nn_jw_obj(w);
    nn_jw_key(w, "class_name");
    nn_jw_str(w, l->class_name);
    nn_jw_key(w, "config");
    nn_jw_obj(w);
    nn_jw_key(w, "name");
    nn_jw_str(w, l->name);
    if (l->node->op == NN_OP_INPUT) put_input(w, &l->node->shape);
    put_members(w, l, l->config);
    nn_jw_end_obj(w);
    nn_jw_key(w, "name");
    nn_jw_str(w, l->name);
    nn_jw_key(w, "inbound_nodes");
    nn_jw_arr(w);
    if (l->n_inputs) put_call_of(w, k, l);
    for (int i = at + 1; i < k->n && k->layers[i].node == l->node; i++)
        if (k->layers[i].again == at) put_call_of(w, k, &k->layers[i]);
    nn_jw_end_arr(w);
    nn_jw_end_obj(w);
}

static void put_ends(nn_jw *w, const nn_keras *k, const char *key, const int *nodes, int n) {
    nn_jw_key(w, key);
    nn_jw_arr(w);
    for (int i = 0; i < n; i++) put_tensor(w, k, k->value[nodes[i]], false);
    nn_jw_end_arr(w);
}

static void put_topology(nn_jw *w, const nn_keras *k) {
    nn_jw_key(w, "modelTopology");
    nn_jw_obj(w);
    nn_jw_key(w, "keras_version");
    nn_jw_str(w, "2.15.0");
    nn_jw_key(w, "backend");
    nn_jw_str(w, "tensorflow");
    nn_jw_key(w, "model_config");
    nn_jw_obj(w);
    nn_jw_key(w, "class_name");
    nn_jw_str(w, "Functional");
    nn_jw_key(w, "config");
    nn_jw_obj(w);
    nn_jw_key(w, "name");
    nn_jw_str(w, *k->g->name ? k->g->name : "network");
    nn_jw_key(w, "layers");
    nn_jw_arr(w);
    for (int i = 0; i < k->n; i++)
        if (k->layers[i].again < 0) put_layer(w, k, i);
    nn_jw_end_arr(w);
    put_ends(w, k, "input_layers", k->g->inputs, k->g->n_inputs);
    put_ends(w, k, "output_layers", k->g->outputs, k->g->n_outputs);
    nn_jw_end_obj(w);
    nn_jw_end_obj(w);
    nn_jw_end_obj(w);
}

/* ---- weights ---- */

/* "lstm_1/kernel"; of the second direction of a Bidirectional "x/backward_x_inner/kernel". */
static void put_weight_name(nn_jw *w, const nn_keras_layer *l, const nn_keras_weight *v) {
    NN_BUF name = {0};
    const char *plain = strncmp(v->name, "backward/", 9) == 0 ? v->name + 9 : v->name;
    if (strcmp(l->class_name, "Bidirectional") == 0)
        nn_buf_printf(&name, "%s/%s_%s_inner/%s", l->name,
                      plain == v->name ? "forward" : "backward", l->name, plain);
    else
        nn_buf_printf(&name, "%s/%s", l->name, plain);
    nn_jw_str(w, nn_buf_str(&name));
}

static void put_weight(nn_jw *w, const nn_keras *k, const nn_keras_layer *l,
                       const nn_keras_weight *v, nn_buf *shard) {
    nn_jw_obj(w);
    nn_jw_key(w, "name");
    put_weight_name(w, l, v);
    nn_jw_key(w, "shape");
    nn_jw_arr(w);
    for (int i = 0; i < v->shape.rank; i++) nn_jw_int(w, v->shape.dim[i]);
    nn_jw_end_arr(w);
    nn_jw_key(w, "dtype");
    nn_jw_str(w, "float32");
    nn_jw_end_obj(w);
    size_t n = (size_t)nn_shape_elements(&v->shape) * sizeof(float);
    nn_buf_append(shard,
                  v->index < 0 ? v->values : k->opt->weights + k->g->weights[v->index].offset, n);
}

static void put_manifest(nn_jw *w, const nn_keras *k, const char *path, nn_buf *shard) {
    nn_jw_key(w, "weightsManifest");
    nn_jw_arr(w);
    nn_jw_obj(w);
    nn_jw_key(w, "paths");
    nn_jw_arr(w);
    nn_jw_str(w, path);
    nn_jw_end_arr(w);
    nn_jw_key(w, "weights");
    nn_jw_arr(w);
    for (int i = 0; i < k->n; i++)
        for (int j = 0; j < k->layers[i].n_weights; j++)
            put_weight(w, k, &k->layers[i], &k->layers[i].weights[j], shard);
    nn_jw_end_arr(w);
    nn_jw_end_obj(w);
    nn_jw_end_arr(w);
}

/* Where it came from and how to make it again; loaders pass it over. */
static void put_origin(nn_jw *w, const nn_keras *k) {
    nn_jw_key(w, "userDefinedMetadata");
    nn_jw_obj(w);
    nn_jw_key(w, "source");
    nn_jw_str(w, k->opt->source_name);
    nn_jw_key(w, "source_sha256");
    nn_jw_str(w, k->opt->source_sha256);
    nn_jw_key(w, "regenerate");
    NN_BUF how = {0};
    nn_buf_printf(&how, "neural compile %s --backend keras-json",
                  k->opt->source_name ? k->opt->source_name : "FILE");
    nn_jw_str(w, nn_buf_str(&how));
    nn_jw_end_obj(w);
}

static void put_model(const nn_keras *k, const char *path, nn_buf *out, nn_buf *shard) {
    nn_jw w = {.out = out};
    nn_jw_obj(&w);
    nn_jw_key(&w, "format");
    nn_jw_str(&w, "layers-model");
    nn_jw_key(&w, "generatedBy");
    nn_jw_str(&w, "Neural " NN_VERSION);
    nn_jw_key(&w, "convertedBy");
    nn_jw_null(&w);
    put_origin(&w, k);
    put_topology(&w, k);
    put_manifest(&w, k, path, shard);
    nn_jw_end_obj(&w);
    nn_buf_putc(out, '\n');
}

/* The shard's file name, beside the description: that of the option, or "weights.bin". */
static const char shard_end[] = ".weights.bin";

static nn_status generate(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err) {
    if (!opt->weights)
        return nn_fail(err, NN_E_INTERNAL, "the description of a model needs its weights");
    nn_keras k;
    nn_status s = nn_keras_open(&k, g, opt, NN_KERAS_JS, err);
    if (!s) {
        NN_BUF shard = {0}, path = {0};
        nn_buf_printf(&path, "%s%s", opt->file_stem ? opt->file_stem : "model", shard_end);
        put_model(&k, nn_buf_str(&path), out, &shard);
        if (nn_buf_failed(&shard))
            s = nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the weights of '%s'", g->name);
        else if (opt->file)
            s = opt->file(opt->file_arg, shard_end, shard.n ? shard.p : "", shard.n, err);
    }
    nn_keras_close(&k);
    return s;
}

const nn_backend nn_backend_keras_json = {
    .name = "keras-json",
    .aliases = "tfjs|layers-model",
    .summary = "Keras LayersModel: model.json and weights, for TensorFlow.js and Keras 2",
    .extension = "json",
    .media_type = "application/json",
    .weights = true,
    .generate = generate,
};
