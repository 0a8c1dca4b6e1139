/* SPDX-License-Identifier: MIT */
/* research.c - a research file as JSON (language.md 11). */
#include "compile/check.h"
#include "compile/model_data.h"

#include <string.h>

/* references { paper: "A" paper: "B" } is a list of what its entries say. */
static nn_json *references(const nn_value *v) {
    nn_json *list = nn_json_new_array();
    for (const nn_arg *a = v->kind == NN_V_DICT ? v->args : NULL; a; a = a->next)
        nn_json_push(list, nn_value_json(a->value));
    return list;
}

nn_json *nn_research_data(const nn_program *tree) {
    const nn_research *r = tree->research;
    nn_json *o = nn_json_new_object(), *params = nn_json_new_object();
    for (const nn_arg *a = r ? r->entries : NULL; a; a = a->next)
        nn_json_set(params, a->name,
                    strcmp(a->name, "references") == 0 ? references(a->value)
                                                       : nn_value_json(a->value));
    nn_json_set(o, "type", nn_json_new_str("Research"));
    nn_json_set(o, "name", nn_json_new_str(r && r->name && *r->name ? r->name : NULL));
    nn_json_set(o, "params", params);
    return o;
}
