/* SPDX-License-Identifier: MIT */
/* space_json.c - the search space as JSON (rest-api.md; language.md 7). */
#include "compile/model_data.h"
#include "compile/space.h"

#include <string.h>

typedef struct member {
    const char *from, *to;
} member;

/* {"hpo": {"type", …}} under the names of the wire: candidates are `values`, layers too. */
static void put_kind(const nn_value *v, nn_json *o) {
    static const member members[] = {
        {"type",    "type"  },
        {"values",  "values"},
        {"options", "values"},
        {"start",   "start" },
        {"low",     "low"   },
        {"end",     "end"   },
        {"high",    "high"  },
        {"step",    "step"  }
    };
    NN_JSON *outer = nn_value_json(v);
    const nn_json *hpo = nn_json_get(outer, "hpo");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        nn_json *m = nn_json_get(hpo, members[i].from);
        if (m) nn_json_set(o, members[i].to, nn_json_ref(m));
    }
}

/* What is taken if nothing is set: the first candidate (of a choice of layers its number), a
 * range's start. */
static nn_json *default_json(const nn_hpo *h) {
    if (h->kind != NN_HPO_CHOICE) return nn_value_json(h->low);
    const nn_value *first = h->values;
    if (!first) return nn_json_new_null();
    if (first->kind == NN_V_HPO) return default_json(first->hpo);
    bool layer = first->kind == NN_V_CALL || first->kind == NN_V_ITEM;
    return layer ? nn_json_new_int(0) : nn_value_json(first);
}

/* What was chosen, as --set has it. */
static nn_json *chosen_json(const nn_search_point *p) {
    const nn_hpo *h = p->value->hpo;
    bool layer = p->chosen->kind == NN_V_CALL || p->chosen->kind == NN_V_ITEM;
    int i = 0;
    for (const nn_value *e = layer && h->kind == NN_HPO_CHOICE ? h->values : NULL; e;
         e = e->next, i++)
        if (e == p->chosen) return nn_json_new_int(i);
    return nn_value_json(p->chosen);
}

static nn_json *point_json(const nn_space *s, const nn_search_point *p) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "path", nn_json_new_str(p->path));
    nn_json_set(o, "alias", nn_json_new_str(p->alias));
    nn_json_set(o, "layer", nn_json_new_str(p->owner));
    nn_json_set(o, "parameter", nn_json_new_str(p->param));
    put_kind(p->value, o);
    nn_json_set(o, "line", nn_json_new_int(p->value->span.line));
    nn_json_set(o, "column", nn_json_new_int(p->value->span.col));
    nn_json_set(o, "default", default_json(p->value->hpo));
    nn_json_set(o, "active", nn_json_new_bool(p->active));
    if (p->set) nn_json_set(o, "value", chosen_json(p));
    if (p->parent >= 0) {
        nn_json_set(o, "parent", nn_json_new_str(s->points[p->parent].path));
        nn_json_set(o, "candidate", nn_json_new_int(p->candidate));
    }
    return o;
}

nn_json *nn_space_json(const nn_unit *u) {
    nn_json *o = nn_json_new_object(), *points = nn_json_new_array();
    nn_json_set(o, "network", nn_json_new_str(u->network->name));
    for (int i = 0; i < u->space->n; i++)
        nn_json_push(points, point_json(u->space, &u->space->points[i]));
    nn_json_set(o, "points", points);
    return o;
}
