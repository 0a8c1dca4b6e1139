/* SPDX-License-Identifier: MIT */
/* research.c - a research file as JSON (language.md 11). The parser has checked what its entries
 * hold. */
#include "compile/model_data.h"

#include <string.h>

/* The texts of an entry: of one, of a list, of { paper: "…" paper: "…" }. */
static void put_texts(const nn_value *v, nn_json *list) {
    if (v->kind == NN_V_STRING || v->kind == NN_V_NAME)
        nn_json_push(list, nn_json_new_str(v->text));
    for (const nn_value *e = v->items; e; e = e->next) put_texts(e, list);
    for (const nn_arg *a = v->args; a; a = a->next) put_texts(a->value, list);
}

static void put_metrics(const nn_value *v, nn_json *metrics) {
    for (const nn_arg *a = v->args; a; a = a->next)
        nn_json_set(metrics, a->name, nn_value_json(a->value));
}

static nn_json *research_json(const nn_research *r) {
    nn_json *o = nn_json_new_object(), *params = nn_json_new_object();
    nn_json *metrics = nn_json_new_object(), *references = nn_json_new_array();
    nn_json_set(o, "type", nn_json_new_str("Research"));
    nn_json_set(o, "name", *r->name ? nn_json_new_str(r->name) : nn_json_new_null());
    nn_json_set(params, "metrics", metrics);
    nn_json_set(params, "references", references);
    for (const nn_arg *a = r->entries; a; a = a->next) {
        if (strcmp(a->name, "metrics") == 0)
            put_metrics(a->value, metrics);
        else if (strcmp(a->name, "references") == 0)
            put_texts(a->value, references);
        else
            nn_json_set(params, a->name, nn_value_json(a->value));
    }
    nn_json_set(o, "params", params);
    return o;
}

nn_json *nn_research_data(const nn_program *tree) {
    if (tree->research && !tree->research->next) return research_json(tree->research);
    nn_json *list = nn_json_new_array();
    for (const nn_research *r = tree->research; r; r = r->next)
        nn_json_push(list, research_json(r));
    return list;
}
