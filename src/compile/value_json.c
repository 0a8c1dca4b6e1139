/* SPDX-License-Identifier: MIT */
/* value_json.c - a value of the tree as model_data has it (language.md 7 and 9). */
#include "compile/check.h"
#include "compile/model_data.h"

#include <string.h>

static nn_json *sequence(const nn_value *items) {
    nn_json *list = nn_json_new_array();
    for (const nn_value *e = items; e; e = e->next) nn_json_push(list, nn_value_json(e));
    return list;
}

/* The name of the k-th positional parameter of a table; NULL past the last. */
static const char *nth_positional(const nn_param *p, int k) {
    for (; p && p->name; p++)
        if (p->positional && k-- == 0) return p->name;
    return NULL;
}

static const nn_param *find_param(const nn_param *table, const char *name) {
    for (const nn_param *p = table; p && p->name; p++)
        if (strcmp(p->name, name) == 0 || nn_param_has_alias(p, name)) return p;
    return NULL;
}

nn_json *nn_args_json(const nn_param *table, const nn_param *more, const nn_arg *list) {
    nn_json *o = nn_json_new_object(), *args = nn_json_new_array();
    int positional = 0;
    for (const nn_arg *a = list; a; a = a->next) {
        const char *name = a->name;
        const nn_param *p = name ? find_param(table, name) : NULL;
        if (name && !p) p = find_param(more, name);
        if (!name) name = nth_positional(table, positional++);
        if (!name)
            nn_json_push(args, nn_value_json(a->value));
        else
            nn_json_set(o, p ? p->name : name, nn_value_json(a->value));
    }
    if (nn_json_size(args))
        nn_json_set(o, "args", args);
    else
        nn_json_unref(args);
    return o;
}

static nn_json *dict(const nn_arg *args) {
    nn_json *o = nn_json_new_object();
    for (const nn_arg *a = args; a; a = a->next)
        nn_json_set(o, a->name ? a->name : "", nn_value_json(a->value));
    return o;
}

static void set_bound(nn_json *o, const char *key, const nn_value *v) {
    if (v) nn_json_set(o, key, nn_value_json(v));
}

static bool of_layers(const nn_hpo *h) {
    return h->values && (h->values->kind == NN_V_CALL || h->values->kind == NN_V_ITEM);
}

static nn_json *hpo(const nn_hpo *h) {
    nn_json *o = nn_json_new_object(), *outer = nn_json_new_object();
    bool log = h->kind == NN_HPO_LOG_RANGE, choice = h->kind == NN_HPO_CHOICE;
    const char *type = log            ? "log_range"
                       : !choice      ? "range"
                       : of_layers(h) ? "layer_choice"
                                      : "categorical";
    nn_json_set(o, "type", nn_json_new_str(type));
    if (choice) {
        nn_json_set(o, of_layers(h) ? "options" : "values", sequence(h->values));
    } else {
        set_bound(o, log ? "low" : "start", h->low);
        set_bound(o, log ? "high" : "end", h->high);
        set_bound(o, "step", h->step);
    }
    nn_json_set(outer, "hpo", o);
    return outer;
}

/* A call as a value that is no layer: a schedule, an initialiser, a regulariser. */
static nn_json *call(const nn_call *c) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "type", nn_json_new_str(c->name));
    nn_json_set(o, "params", nn_args_json(nn_train_params(c->name), NULL, c->args));
    return o;
}

nn_json *nn_value_json(const nn_value *v) {
    switch (v->kind) {
    case NN_V_INT:
        return nn_json_new_int(v->i);
    case NN_V_FLOAT:
        return nn_json_new_num(v->f);
    case NN_V_STRING:
    case NN_V_NAME:
        return nn_json_new_str(v->text);
    case NN_V_BOOL:
        return nn_json_new_bool(v->i != 0);
    case NN_V_TUPLE:
    case NN_V_LIST:
        return sequence(v->items);
    case NN_V_DICT:
        return dict(v->args);
    case NN_V_HPO:
        return hpo(v->hpo);
    case NN_V_CALL:
        return nn_layer_find(v->call->name) ? nn_call_json(v->call) : call(v->call);
    case NN_V_ITEM:
        return nn_item_json(v->item);
    case NN_V_NONE:
    case NN_V_ERROR:
        break;
    }
    return nn_json_new_null();
}
