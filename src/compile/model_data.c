/* SPDX-License-Identifier: MIT */
/* model_data.c - a network as JSON. It is read off the tree, which keeps values as they were
 * written; the layer table gives positional arguments their names, and the unit's rows, which come
 * in the order of the tree, give each layer its id. */
#include "compile/model_data.h"

#include "compile/check.h"

#include <string.h>

typedef struct writer {
    const nn_unit *unit; /* NULL: a call on its own */
    nn_model_data_form form;
    int row; /* the next row of the unit */
} writer;

static nn_json *item_json(writer *w, const nn_item *it);
static void put_items(writer *w, const nn_item *items, nn_json *list);

static bool canonical(const writer *w) {
    return w->form == NN_MODEL_DATA_CANONICAL;
}

/* A reference to something of a table: an optimizer, a schedule, a loss. */
static nn_json *ref_json(const char *type, const nn_param *table, const nn_value *v) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "type", nn_json_new_str(type));
    nn_json_set(o, "params",
                nn_args_json(table, NULL, v->kind == NN_V_CALL ? v->call->args : NULL));
    return o;
}

/* ---- layers ---- */

/* {"shape"} numbers that Input(28, 28, 1) gives one by one. */
static void gather_shape(nn_json *params) {
    nn_json *args = nn_json_get(params, "args"), *first = nn_json_get(params, "shape");
    if (!args || !first || nn_json_typeof(first) == NN_JSON_ARRAY) return;
    nn_json *shape = nn_json_new_array();
    nn_json_push(shape, nn_json_ref(first));
    for (size_t i = 0; i < nn_json_size(args); i++)
        nn_json_push(shape, nn_json_ref(nn_json_at(args, i)));
    nn_json_set(params, "shape", shape);
    nn_json_del(params, "args");
}

static nn_json *span_json(const nn_span *s) {
    nn_json *a = nn_json_new_array();
    const int v[] = {s->line, s->col, s->end_line, s->end_col};
    for (int i = 0; i < 4; i++) nn_json_push(a, nn_json_new_int(v[i]));
    return a;
}

/* The row that was built for a call: the next one, past Flattens that were put before it. */
static const nn_unit_layer *take_row(writer *w, const nn_call *c, const nn_layer *l) {
    while (w->unit && w->row < w->unit->n_layers) {
        const nn_unit_layer *row = &w->unit->layers[w->row++];
        if (row->span.begin == c->span.begin && row->layer == l) return row;
        if (row->span.begin > c->span.begin && !row->layer->block) break;
    }
    return NULL;
}

static const nn_call *wrapped(const nn_call *c) {
    for (const nn_arg *a = c->args; a; a = a->next)
        if ((!a->name || strcmp(a->name, "layer") == 0) && a->value->kind == NN_V_CALL)
            return a->value->call;
    return NULL;
}

static nn_json *layer_object(const char *type, nn_json *params, nn_json *sublayers) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "type", nn_json_new_str(type));
    nn_json_set(o, "params", params);
    nn_json_set(o, "sublayers", sublayers);
    return o;
}

/* TimeDistributed(Dense): the inner layer's parameters; dropout=r is a Dropout behind it. */
static nn_json *wrapper_reference(writer *w, const nn_call *c, const nn_layer *l, nn_json *own,
                                  nn_json *sublayers) {
    const nn_call *inner = wrapped(c);
    const nn_layer *il = nn_layer_find(inner->name);
    NN_BUF type = {0};
    nn_buf_printf(&type, "%s(%s)", l->name, il ? il->name : inner->name);
    nn_json *rate = nn_json_get(own, "dropout"), *params;
    params = nn_args_json(il ? il->params : NULL, nn_layer_common, inner->args);
    if (rate && strcmp(l->name, "TimeDistributed") == 0) {
        nn_json *p = nn_json_new_object();
        nn_json_set(p, "rate", nn_json_ref(rate));
        nn_json_push(sublayers, layer_object("Dropout", p, nn_json_new_array()));
        nn_json_del(own, "dropout");
    }
    nn_json *mode = nn_json_get(own, "merge_mode");
    if (mode) nn_json_set(params, "merge_mode", nn_json_ref(mode));
    put_items(w, inner->block, sublayers);
    return layer_object(nn_buf_str(&type), params, sublayers);
}

static nn_json *call_json(writer *w, const nn_call *c) {
    const nn_layer *l = nn_layer_find(c->name);
    const nn_unit_layer *row = take_row(w, c, l ? l : &nn_layer_custom);
    nn_json *params = nn_args_json(l ? l->params : NULL, l ? nn_layer_common : NULL, c->args),
            *sublayers = nn_json_new_array(), *o;
    bool wraps = l && l->params->type == NN_P_LAYER && wrapped(c);
    if (l && l->role == NN_ROLE_INPUT) gather_shape(params);
    put_items(w, c->block, sublayers);
    if (wraps && !canonical(w)) {
        o = wrapper_reference(w, c, l, params, sublayers);
        nn_json_unref(params);
    } else {
        o = layer_object(l ? l->name : c->name, params, sublayers);
    }
    if (wraps && canonical(w)) {
        writer bare = {.form = w->form};
        nn_json_del(params, "layer");
        nn_json_set(o, "layer", call_json(&bare, wrapped(c)));
    }
    if (c->device) nn_json_set(o, "device", nn_value_json(c->device));
    nn_json *inputs = nn_json_get(params, "inputs");
    if (canonical(w) && inputs) {
        nn_json_set(o, "inputs", nn_json_ref(inputs));
        nn_json_del(params, "inputs");
    }
    if (canonical(w) && row) nn_json_set(o, "id", nn_json_new_str(row->name));
    if (canonical(w) && w->unit) nn_json_set(o, "span", span_json(&c->span));
    return o;
}

static nn_json *branch_json(writer *w, const nn_item *it) {
    nn_json *sublayers = nn_json_new_array(), *o = nn_json_new_object();
    put_items(w, it->items, sublayers);
    nn_json_set(o, "type", nn_json_new_str("Branch"));
    nn_json_set(o, "name", nn_json_new_str(it->name));
    if (canonical(w)) nn_json_set(o, "params", nn_json_new_object());
    nn_json_set(o, "sublayers", sublayers);
    return o;
}

/* The rows of the chosen candidate belong to no single layer of the document. */
static nn_json *choice_json(writer *w, const nn_item *it) {
    const nn_unit *u = w->unit;
    while (u && w->row < u->n_layers && u->layers[w->row].span.begin >= it->span.begin &&
           u->layers[w->row].span.end <= it->span.end)
        w->row++;
    return nn_value_json(it->hpo);
}

static nn_json *item_json(writer *w, const nn_item *it) {
    switch (it->kind) {
    case NN_ITEM_CALL:
        return call_json(w, it->call);
    case NN_ITEM_BRANCH:
        return branch_json(w, it);
    case NN_ITEM_HPO:
        return choice_json(w, it);
    case NN_ITEM_GROUP:
        break;
    }
    nn_json *sublayers = nn_json_new_array();
    put_items(w, it->items, sublayers);
    return layer_object("Sequential", nn_json_new_object(), sublayers);
}

static bool is_input(const nn_item *it) {
    const nn_layer *l = it->kind == NN_ITEM_CALL ? nn_layer_find(it->call->name) : NULL;
    return l && l->role == NN_ROLE_INPUT;
}

/* Repetitions are written out; one that is searched stays: {"repeat": {"hpo": ...}}. */
static void put_item(writer *w, const nn_item *it, nn_json *list) {
    const nn_value *r = it->repeat;
    int64_t count = r && r->kind == NN_V_INT && r->i > 0 ? r->i : 1;
    bool searched = r && r->kind == NN_V_HPO;
    for (int64_t i = 0; i < count; i++) {
        if (it->kind == NN_ITEM_GROUP && !searched) {
            put_items(w, it->items, list);
            continue;
        }
        nn_json *o = item_json(w, it);
        if (searched) nn_json_set(o, "repeat", nn_value_json(r));
        nn_json_push(list, o);
    }
}

static void put_items(writer *w, const nn_item *items, nn_json *list) {
    for (const nn_item *it = items; it; it = it->next)
        if (!is_input(it)) put_item(w, it, list);
}

nn_json *nn_call_json(const nn_call *c) {
    writer w = {.form = NN_MODEL_DATA_REFERENCE};
    return call_json(&w, c);
}

nn_json *nn_item_json(const nn_item *it) {
    writer w = {.form = NN_MODEL_DATA_REFERENCE};
    return item_json(&w, it);
}

/* ---- the input ---- */

/* Takes shape. An input has a name of its own or goes by "input". */
static nn_json *input_object(nn_json *shape, const char *name) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "type", nn_json_new_str("Input"));
    nn_json_set(o, "shape", shape);
    if (name && strcmp(name, "input") != 0) nn_json_set(o, "name", nn_json_new_str(name));
    return o;
}

/* Of `input:`: one object, named ones, or a list of several. */
static nn_json *section_inputs(const nn_section *s) {
    const nn_arg *first = s->config;
    if (first && !first->next) return input_object(nn_value_json(first->value), first->name);
    if (first) {
        nn_json *named = nn_json_new_object();
        for (const nn_arg *a = first; a; a = a->next)
            nn_json_set(named, a->name, input_object(nn_value_json(a->value), NULL));
        return named;
    }
    if (!s->value) return NULL;
    if (!s->value->next) return input_object(nn_value_json(s->value), NULL);
    nn_json *list = nn_json_new_array();
    for (const nn_value *v = s->value; v; v = v->next)
        nn_json_push(list, input_object(nn_value_json(v), NULL));
    return list;
}

/* Whether `input:` needs the batch in front of a shape: its first axis is open, or there is none.
 */
static bool needs_batch(const nn_shape *s) {
    return !s->rank || s->dim[0] < 0;
}

/* Of an Input(...) call as `input:` would have it. */
static nn_json *call_shape(const nn_shape *s) {
    return nn_json_new_shape(s, needs_batch(s));
}

/* Of Input(...) calls: one object, or named ones. */
static nn_json *call_inputs(const nn_unit *u) {
    int n = 0;
    while (n < u->n_layers && u->layers[n].layer->role == NN_ROLE_INPUT) n++;
    if (n == 1) return input_object(call_shape(&u->layers[0].out), u->layers[0].name);
    nn_json *named = nn_json_new_object();
    for (int i = 0; i < n; i++)
        nn_json_set(named, u->layers[i].name, input_object(call_shape(&u->layers[i].out), NULL));
    return named;
}

static const nn_section *find_section(const nn_network *n, const char *word) {
    for (const nn_section *s = n->sections; s; s = s->next)
        if (strcmp(s->word, word) == 0) return s;
    return NULL;
}

static nn_json *canonical_inputs(const nn_unit *u) {
    const nn_section *s = find_section(u->network, "input");
    nn_json *list = nn_json_new_array();
    const nn_value *v = s && !s->config ? s->value : NULL;
    const nn_arg *named = s ? s->config : NULL;
    for (int i = 0; i < u->n_layers && u->layers[i].layer->role == NN_ROLE_INPUT; i++) {
        const nn_value *shape = named ? named->value : v;
        bool batch = shape ? shape->items && shape->items->kind == NN_V_NONE
                           : needs_batch(&u->layers[i].out);
        nn_json *o = nn_json_new_object();
        nn_json_set(o, "name", nn_json_new_str(u->layers[i].name));
        nn_json_set(o, "shape", nn_json_new_shape(&u->layers[i].out, false));
        nn_json_set(o, "batch", nn_json_new_bool(batch));
        nn_json_push(list, o);
        named = named ? named->next : NULL;
        v = v ? v->next : NULL;
    }
    return list;
}

/* ---- sections ---- */

/* loss, optimizer or metrics: at the top or inside of compile { }. */
static const nn_value *find_ref(const nn_network *n, const char *word) {
    const nn_section *s = find_section(n, word);
    if (s) return s->value;
    for (s = n->sections; s; s = s->next)
        for (const nn_arg *a = strcmp(s->word, "compile") == 0 ? s->config : NULL; a; a = a->next)
            if (strcmp(a->name, word) == 0) return a->value;
    return NULL;
}

static const char *ref_name(const nn_value *v) {
    return v->kind == NN_V_CALL ? v->call->name : nn_check_word(v);
}

static void put_loss(const writer *w, const nn_value *v, nn_json *o) {
    const char *name = v ? ref_name(v) : NULL;
    if (!v) return;
    int k = name ? nn_loss_find(name) : -1;
    bool plain = !canonical(w) && v->kind != NN_V_CALL;
    if (plain || !name) {
        nn_json_set(o, "loss", nn_value_json(v));
        return;
    }
    const char *type = k >= 0 && canonical(w) ? nn_loss_name((nn_loss_kind)k) : name;
    nn_json *ref = ref_json(type, nn_train_params(name), v);
    if (!canonical(w)) nn_json_set(ref, "value", nn_json_new_str(name));
    if (!canonical(w)) nn_json_del(ref, "type");
    nn_json_set(o, "loss", ref);
}

static void put_optimizer(const nn_value *v, nn_json *o) {
    const char *name = v ? ref_name(v) : NULL;
    if (!v) return;
    int k = name ? nn_optimizer_find(name) : -1;
    if (!name)
        nn_json_set(o, "optimizer", nn_value_json(v));
    else
        nn_json_set(o, "optimizer",
                    ref_json(k >= 0 ? nn_optimizer_names()[k] : name, nn_train_params(name), v));
}

static void put_metrics(const nn_value *v, nn_json *o) {
    if (!v) return;
    bool list = v->kind == NN_V_LIST || v->kind == NN_V_TUPLE;
    nn_json *metrics = list ? nn_value_json(v) : nn_json_new_array();
    if (!list) nn_json_push(metrics, nn_value_json(v));
    nn_json_set(o, "metrics", metrics);
}

/* batch_size: [16, 32] is a choice (language.md 7). */
static nn_json *entry_json(const nn_arg *a) {
    if (strcmp(a->name, "batch_size") != 0 || a->value->kind != NN_V_LIST)
        return nn_value_json(a->value);
    nn_json *o = nn_json_new_object(), *outer = nn_json_new_object(),
            *spelled = nn_json_new_array();
    for (const nn_value *e = a->value->items; e; e = e->next)
        nn_json_push(spelled, nn_json_new_str(e->text));
    nn_json_set(o, "type", nn_json_new_str("categorical"));
    nn_json_set(o, "values", nn_value_json(a->value));
    nn_json_set(o, "original_values", spelled);
    nn_json_set(outer, "hpo", o);
    return outer;
}

static void put_config(const nn_network *n, const char *word, nn_json *to) {
    for (const nn_section *s = n->sections; s; s = s->next)
        for (const nn_arg *a = strcmp(s->word, word) == 0 ? s->config : NULL; a; a = a->next)
            nn_json_set(to, a->name, entry_json(a));
}

static nn_json *training_json(const nn_network *n) {
    static const char *const settings[] = {"epochs", "batch_size", "validation_split",
                                           "search_method", NULL};
    nn_json *o = nn_json_new_object();
    put_config(n, "train", o);
    for (int i = 0; settings[i]; i++) {
        const nn_section *s = find_section(n, settings[i]);
        nn_arg a = {.name = settings[i], .value = s ? s->value : NULL};
        if (s && s->value) nn_json_set(o, settings[i], entry_json(&a));
    }
    return o;
}

/* Sets a member unless the object is empty and absent members stay away. */
static void set_config(const writer *w, nn_json *o, const char *key, nn_json *v) {
    if (canonical(w) || nn_json_size(v))
        nn_json_set(o, key, v);
    else
        nn_json_unref(v);
}

static void put_sections(const writer *w, nn_json *o) {
    const nn_network *n = w->unit->network;
    put_loss(w, find_ref(n, "loss"), o);
    put_metrics(find_ref(n, "metrics"), o);
    put_optimizer(find_ref(n, "optimizer"), o);
    set_config(w, o, "training", training_json(n));
    nn_json *execution = nn_json_new_object();
    put_config(n, "execution", execution);
    set_config(w, o, canonical(w) ? "execution" : "execution_config", execution);
    if (w->unit->framework) nn_json_set(o, "framework", nn_json_new_str(w->unit->framework));
}

/* ---- the document ---- */

static nn_json *outputs_json(const nn_unit *u) {
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < u->graph->n_outputs; i++)
        nn_json_push(list, nn_json_new_str(u->graph->nodes[u->graph->outputs[i]].layer_name));
    return list;
}

/* custom Name(params) -> (shape), as far as a program has some. */
static nn_json *customs_json(const nn_custom *list) {
    nn_json *customs = nn_json_new_array();
    for (const nn_custom *c = list; c; c = c->next) {
        nn_json *o = nn_json_new_object(), *params = nn_json_new_array();
        for (const nn_arg *a = c->params; a; a = a->next) {
            nn_json *p = nn_json_new_object();
            nn_json_set(p, "name", nn_json_new_str(a->name));
            if (a->value) nn_json_set(p, "default", nn_value_json(a->value));
            nn_json_push(params, p);
        }
        nn_json_set(o, "name", nn_json_new_str(c->name));
        nn_json_set(o, "params", params);
        if (c->shape) nn_json_set(o, "shape", nn_value_json(c->shape));
        nn_json_push(customs, o);
    }
    return customs;
}

nn_json *nn_model_data(const nn_unit *u, nn_model_data_form form) {
    writer w = {.unit = u, .form = form};
    while (w.row < u->n_layers && u->layers[w.row].layer->role == NN_ROLE_INPUT) w.row++;
    const nn_section *s = find_section(u->network, "input");
    nn_json *o = nn_json_new_object(), *layers = nn_json_new_array();
    if (canonical(&w)) nn_json_set(o, "type", nn_json_new_str("model"));
    nn_json_set(o, "name", nn_json_new_str(u->network->name));
    if (canonical(&w))
        nn_json_set(o, "inputs", canonical_inputs(u));
    else
        nn_json_set(o, "input", s ? section_inputs(s) : call_inputs(u));
    if (u->tree->customs) nn_json_set(o, "custom", customs_json(u->tree->customs));
    put_items(&w, u->network->items, layers);
    nn_json_set(o, "layers", layers);
    if (canonical(&w)) nn_json_set(o, "outputs", outputs_json(u));
    put_sections(&w, o);
    if (canonical(&w)) nn_json_set(o, "warnings", nn_json_new_array());
    return o;
}
