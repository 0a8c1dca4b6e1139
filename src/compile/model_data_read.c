/* SPDX-License-Identifier: MIT */
/* model_data_read.c - JSON to the tree that a program's text would have given.
 *
 * Values are read with places in the JSON text (model_data_value.c), so that what the checker has
 * to say later points there. A layer's parameters become named arguments, and the binder checks
 * them as it does a program's. What has no counterpart in the language (shape_info, span, id …) is
 * passed over; members that nobody knows warn. */
#include "compile/model_data.h"
#include "compile/model_data_impl.h"

#include <stdio.h>
#include <string.h>

/* More arguments of one layer, inputs or axes are a mistake that need not be looked at one by one.
 */
enum { MOST_ARGUMENTS = 1000, MOST_INPUTS = 64 };

/* ---- layers ---- */

static nn_item *read_items(nn_md_reader *r, const char *key, nn_value *list);

static const char *const layer_members[] = {
    "type",   "params", "sublayers", "sub_layers", "device", "inputs", "name",
    "repeat", "layer",  "multiply",  "id",         "span",   "args",   NULL};

static nn_arg *new_arg(nn_md_reader *r, const char *name, nn_value *v) {
    nn_arg *a = TAKE(r, nn_arg);
    if (a) *a = (nn_arg){.name = name, .name_span = v->span, .span = v->span, .value = v};
    return a;
}

static void append_arg(nn_call *c, nn_arg *a) {
    nn_arg **tail = &c->args;
    while (*tail) tail = &(*tail)->next;
    if (a) *tail = a;
    c->n_args += a != NULL;
}

static nn_value *call_value(nn_md_reader *r, nn_call *c) {
    nn_value *v = TAKE(r, nn_value);
    if (v) *v = (nn_value){.kind = NN_V_CALL, .span = c->span, .call = c};
    return v;
}

/* "TimeDistributed(Dense)": the parameters are those of the inner layer. */
static nn_call *split_wrapper(nn_md_reader *r, nn_call *inner) {
    const char *open = strchr(inner->name, '(');
    size_t n = open ? strlen(open) : 0;
    if (n < 3 || open[n - 1] != ')') return inner;
    nn_call *outer = TAKE(r, nn_call);
    char *name = nn_arena_strndup(r->arena, inner->name, (size_t)(open - inner->name));
    char *in = nn_arena_strndup(r->arena, open + 1, n - 2);
    if (!outer || !name || !in) return inner;
    *outer = *inner;
    outer->name = name;
    outer->args = NULL;
    outer->n_args = 0;
    inner->name = in;
    inner->device = NULL;
    for (nn_arg **a = &inner->args; *a; a = &(*a)->next)
        if (strcmp((*a)->name ? (*a)->name : "", "merge_mode") == 0) {
            nn_arg *mode = *a;
            *a = mode->next;
            mode->next = NULL;
            append_arg(outer, mode);
            break;
        }
    nn_value *v = call_value(r, inner);
    nn_arg *a = TAKE(r, nn_arg);
    if (!v || !a) return inner;
    *a = (nn_arg){.span = v->span, .value = v, .next = outer->args};
    outer->args = a;
    outer->n_args++;
    return outer;
}

static void read_wrapped(nn_md_reader *r, nn_call *c, nn_value *layer) {
    size_t mark = nn_md_enter(r, "layer", -1);
    nn_item *it = nn_md_item(r, layer);
    nn_md_leave(r, mark);
    nn_value *v = it && it->kind == NN_ITEM_CALL ? call_value(r, it->call) : NULL;
    if (v) append_arg(c, new_arg(r, "layer", v));
}

static nn_call *read_call(nn_md_reader *r, nn_value *v, nn_value *type) {
    nn_value *params = nn_md_value(v, "params"), *device = nn_md_value(v, "device");
    nn_value *flat = NULL;
    if (params && params->kind == NN_V_LIST) { /* positional, as the reference gives some */
        flat = params;
        params = NULL;
    }
    nn_call *c = nn_md_call(r, v, type);
    if (!c) return NULL;
    size_t mark = nn_md_enter(r, "params", -1);
    if (params && (params->kind != NN_V_DICT || params->count > MOST_ARGUMENTS)) {
        nn_md_wrong(r, params, "an object of at most 1000 parameters");
        nn_md_leave(r, mark);
        return NULL;
    }
    nn_arg positional = {.name = "args", .value = flat};
    nn_value list = {.kind = NN_V_DICT, .args = &positional};
    if (!device) device = nn_md_value(params, "device");
    nn_md_arguments(r, c, flat ? &list : params);
    nn_md_leave(r, mark);
    c->device = device;
    nn_value *inputs = nn_md_value(v, "inputs"), *name = nn_md_value(v, "name"),
             *id = nn_md_value(v, "id"), *layer = nn_md_value(v, "layer");
    if (inputs) append_arg(c, new_arg(r, "inputs", inputs));
    if (layer) read_wrapped(r, c, layer);
    bool named = nn_md_value(params, "name") != NULL;
    if (nn_md_is_text(name) && !named) append_arg(c, new_arg(r, "name", name));
    (void)id;
    return split_wrapper(r, c);
}

/* The rate of a block that is one Dropout and nothing else; NULL: it is another. */
static nn_arg *only_dropout(const nn_item *items) {
    const nn_call *c = items && !items->next && !items->repeat ? items->call : NULL;
    const nn_layer *l = c ? nn_layer_find(c->name) : NULL;
    bool plain = l && strcmp(l->name, "Dropout") == 0 && c->n_args == 1 && !c->device && !c->block;
    return plain && c->args->name && strcmp(c->args->name, "rate") == 0 ? c->args : NULL;
}

/* The blocks of a layer, and what repeats it. */
static void read_trailers(nn_md_reader *r, nn_value *v, nn_item *it) {
    nn_value *block = nn_md_value(v, "sublayers"), *repeat = nn_md_value(v, "repeat"),
             *type = nn_md_value(v, "type");
    const char *key = "sublayers";
    if (!block) block = nn_md_value(v, key = "sub_layers");
    if (!repeat) repeat = nn_md_value(v, "multiply");
    if (repeat) nn_md_convert(r, repeat);
    it->repeat = repeat;
    if (!block) return;
    nn_item *items = read_items(r, key, block);
    if (it->kind == NN_ITEM_BRANCH) {
        it->items = items;
        return;
    }
    nn_arg *rate = nn_md_is_text(type) && strncmp(type->text, "TimeDistributed(", 16) == 0
                       ? only_dropout(items)
                       : NULL;
    if (rate) { /* TimeDistributed(Dense(8), dropout=r), as the reference spells it */
        rate->name = "dropout";
        append_arg(it->call, rate);
    } else if (items) {
        it->call->block = items;
        it->call->has_block = true;
    }
}

nn_item *nn_md_item(nn_md_reader *r, nn_value *v) {
    nn_item *it = TAKE(r, nn_item);
    if (!it) return NULL;
    *it = (nn_item){.kind = NN_ITEM_CALL, .span = v->span};
    nn_value *type = nn_md_value(v, "type"), *hpo = nn_md_value(v, "hpo"),
             *name = nn_md_value(v, "name");
    if (v->kind == NN_V_DICT && hpo) {
        nn_md_convert_hpo(r, v, hpo);
        it->kind = NN_ITEM_HPO;
        it->hpo = v;
        return v->kind == NN_V_ERROR ? NULL : it;
    }
    if (v->kind != NN_V_DICT || !nn_md_is_text(type)) {
        nn_md_wrong(r, v, "a layer: an object with a text 'type'");
        return NULL;
    }
    if (strlen(type->text) > 2 * NN_MAX_NAME) {
        nn_md_wrong(r, type, "the name of a layer");
        return NULL;
    }
    nn_md_check_members(r, v, layer_members);
    if (strcmp(type->text, "Branch") == 0 && nn_md_is_text(name)) {
        it->kind = NN_ITEM_BRANCH;
        it->name = name->text;
    } else if (!(it->call = read_call(r, v, type))) {
        return NULL;
    }
    read_trailers(r, v, it);
    return it;
}

static nn_item *read_items(nn_md_reader *r, const char *key, nn_value *list) {
    nn_item *first = NULL, **tail = &first;
    size_t mark = nn_md_enter(r, key, -1);
    if (list->kind != NN_V_LIST) nn_md_wrong(r, list, "a list of layers");
    int i = 0;
    for (nn_value *e = list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next, i++) {
        size_t at = nn_md_enter(r, NULL, i);
        nn_item *it = nn_md_item(r, e);
        nn_md_leave(r, at);
        if (!it) continue;
        *tail = it;
        tail = &it->next;
    }
    nn_md_leave(r, mark);
    return first;
}

/* ---- inputs ---- */

static nn_section *add_section(nn_md_reader *r, nn_network *n, const char *word, nn_span at) {
    nn_section *s = TAKE(r, nn_section);
    if (!s) return NULL;
    *s = (nn_section){.word = word, .word_span = at, .span = at};
    nn_section **tail = &n->sections;
    while (*tail) tail = &(*tail)->next;
    return *tail = s;
}

/* There are never so many inputs; said here, so that nobody reads them all. */
static bool too_many_inputs(nn_md_reader *r, const nn_value *v) {
    if (v->count <= MOST_INPUTS) return false;
    nn_md_wrong(r, v, "a shape of a few axes, or a few inputs");
    return true;
}

/* The shape of one input object; a canonical one whose batch was given gets its None back. */
static nn_value *input_shape(nn_md_reader *r, nn_value *v) {
    nn_value *shape = v && v->kind == NN_V_LIST ? v : nn_md_value(v, "shape"),
             *batch = nn_md_value(v, "batch");
    if (!shape || (shape->kind != NN_V_LIST && shape->kind != NN_V_INT)) {
        nn_md_wrong(
            r, v, "an input with a 'shape': a list of positive integers, null for an unknown size");
        return NULL;
    }
    if (too_many_inputs(r, shape)) return NULL;
    if (batch && batch->kind == NN_V_BOOL && batch->i && shape->kind == NN_V_LIST) {
        nn_value *none = TAKE(r, nn_value);
        if (!none) return NULL;
        *none = (nn_value){.kind = NN_V_NONE, .span = shape->span, .next = shape->items};
        shape->items = none;
        shape->count++;
    } else if (batch && shape->kind == NN_V_LIST && shape->items &&
               shape->items->kind == NN_V_NONE) { /* an unknown axis, not the batch */
        nn_value *none = TAKE(r, nn_value);
        if (!none) return NULL;
        *none = *shape->items;
        none->next = shape->items;
        shape->items = none;
        shape->count++;
    }
    nn_value *copy = TAKE(r, nn_value);
    if (!copy) return NULL;
    *copy = *shape;
    copy->next = NULL;
    return copy;
}

static void add_named(nn_md_reader *r, nn_section *s, const char *name, nn_value *shape) {
    nn_arg **tail = &s->config, *a = shape ? new_arg(r, name, shape) : NULL;
    while (*tail) tail = &(*tail)->next;
    *tail = a;
}

static void read_input_list(nn_md_reader *r, nn_section *s, nn_value *list) {
    nn_value **tail = &s->value;
    bool named = list->count > 1;
    int i = 0;
    for (nn_value *e = list->items; e; e = e->next, i++) {
        size_t at = nn_md_enter(r, NULL, i);
        nn_value *shape = input_shape(r, e), *name = nn_md_value(e, "name");
        nn_md_leave(r, at);
        if (!shape) continue;
        if (nn_md_is_text(name) && (named || strcmp(name->text, "input") != 0)) {
            add_named(r, s, name->text, shape);
            continue;
        }
        *tail = shape;
        tail = &shape->next;
    }
}

/* An object of named inputs has objects as members, one input has a shape. */
static void read_inputs(nn_md_reader *r, nn_network *n, const nn_value *doc) {
    nn_arg *a = nn_md_member(doc, "input");
    if (!a) a = nn_md_member(doc, "inputs");
    if (!a || a->value->kind == NN_V_NONE) return; /* the checker misses it */
    nn_section *s = add_section(r, n, "input", a->value->span);
    if (!s) return;
    size_t mark = nn_md_enter(r, a->name, -1);
    nn_value *v = a->value;
    if (too_many_inputs(r, v)) {
        /* reported */
    } else if (v->kind == NN_V_LIST && v->items && v->items->kind == NN_V_DICT) {
        read_input_list(r, s, v);
    } else if (v->kind == NN_V_DICT && !nn_md_member(v, "shape")) {
        for (nn_arg *m = v->args; m; m = m->next) {
            size_t at = nn_md_enter(r, m->name, -1);
            add_named(r, s, m->name, input_shape(r, m->value));
            nn_md_leave(r, at);
        }
    } else {
        nn_value *shape = input_shape(r, v), *name = nn_md_value(v, "name");
        if (nn_md_is_text(name) && strcmp(name->text, "input") != 0)
            add_named(r, s, name->text, shape);
        else
            s->value = shape;
    }
    if (!s->value && !s->config) { /* reported: the checker need not miss it */
        n->sections = NULL;
        n->damaged = true;
    }
    nn_md_leave(r, mark);
}

/* ---- sections ---- */

/* "loss" may be a text, {"value": text, "params"?} or {"type", "params"}. */
static void read_ref(nn_md_reader *r, nn_network *n, const nn_value *doc, const char *word) {
    nn_value *v = nn_md_value(doc, word), *name = nn_md_value(v, "value");
    if (!v) return;
    nn_section *s = add_section(r, n, word, v->span);
    if (!s) return;
    size_t mark = nn_md_enter(r, word, -1);
    if (v->kind == NN_V_DICT && !name) name = nn_md_value(v, "type");
    if (v->kind == NN_V_DICT && nn_md_is_text(name))
        nn_md_convert_call(r, v, name);
    else
        nn_md_convert(r, v);
    nn_md_leave(r, mark);
    s->value = v;
}

/* batch_size: [16, 32] is written as a choice with "original_values" (language.md 7). */
static void undo_choice(nn_arg *a) {
    const nn_value *hpo = nn_md_value(a->value, "hpo");
    nn_value *values = nn_md_value(hpo, "values");
    bool was_list = strcmp(a->name, "batch_size") == 0 && nn_md_value(hpo, "original_values");
    if (was_list && values && values->kind == NN_V_LIST) a->value = values;
}

/* The reference's older names for the same things. */
static void read_config(nn_md_reader *r, nn_network *n, const nn_value *doc, const char *word,
                        const char *const *keys) {
    for (int i = 0; keys[i]; i++) {
        nn_value *v = nn_md_value(doc, keys[i]);
        if (!v || (v->kind == NN_V_DICT && !v->count)) continue;
        size_t mark = nn_md_enter(r, keys[i], -1);
        if (v->kind != NN_V_DICT) {
            nn_md_wrong(r, v, "an object");
        } else {
            nn_section *s = add_section(r, n, word, v->span);
            for (nn_arg *a = v->args; a; a = a->next) {
                undo_choice(a);
                nn_md_convert(r, a->value);
            }
            if (s) s->config = v->args;
        }
        nn_md_leave(r, mark);
        return;
    }
}

static void read_sections(nn_md_reader *r, nn_network *n, const nn_value *doc) {
    static const char *const train[] = {"training", "training_config", NULL};
    static const char *const execution[] = {"execution", "execution_config", NULL};
    static const char *const refs[] = {"loss", "optimizer", "metrics", NULL};
    for (int i = 0; refs[i]; i++) {
        nn_value *v = nn_md_value(doc, refs[i]);
        if (!v || (v->kind == NN_V_LIST && !v->count)) continue;
        read_ref(r, n, doc, refs[i]);
    }
    read_config(r, n, doc, "train", train);
    read_config(r, n, doc, "execution", execution);
    nn_value *framework = nn_md_value(doc, "framework");
    nn_section *s = framework ? add_section(r, n, "framework", framework->span) : NULL;
    if (s) s->value = framework;
}

/* ---- custom layers: [{"name", "params": [{"name", "default"?}], "shape"?}] ---- */

static nn_arg *read_parameters(nn_md_reader *r, nn_value *list) {
    nn_arg *first = NULL, **tail = &first;
    if (list && list->kind != NN_V_LIST) nn_md_wrong(r, list, "a list of parameters");
    for (nn_value *e = list && list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next) {
        nn_value *name = nn_md_value(e, "name");
        nn_arg *fallback = nn_md_member(e, "default"), *a = NULL;
        if (!nn_md_is_text(name))
            nn_md_wrong(r, e, "an object with a text 'name'");
        else
            a = new_arg(r, name->text, name);
        if (!a) continue;
        a->value = fallback ? fallback->value : NULL;
        if (a->value) nn_md_convert(r, a->value);
        *tail = a;
        tail = &a->next;
    }
    return first;
}

static void read_customs(nn_md_reader *r, nn_program *p, nn_value *list) {
    nn_custom **tail = &p->customs;
    size_t mark = nn_md_enter(r, "custom", -1);
    if (list->kind != NN_V_LIST) nn_md_wrong(r, list, "a list of declarations");
    for (nn_value *e = list->kind == NN_V_LIST ? list->items : NULL; e; e = e->next) {
        nn_value *name = nn_md_value(e, "name"), *shape = nn_md_value(e, "shape");
        bool fits = nn_md_is_text(name) && (!shape || shape->kind == NN_V_LIST);
        if (!fits) nn_md_wrong(r, e, "an object with a text 'name' and perhaps a list 'shape'");
        nn_custom *c = fits ? TAKE(r, nn_custom) : NULL;
        if (!c) continue;
        *c = (nn_custom){.name = name->text,
                         .name_span = name->span,
                         .span = e->span,
                         .params = read_parameters(r, nn_md_value(e, "params")),
                         .shape = shape};
        *tail = c;
        tail = &c->next;
    }
    nn_md_leave(r, mark);
}

static nn_program *read_document(nn_md_reader *r, nn_value *doc) {
    static const char *const members[] = {"type",
                                          "name",
                                          "input",
                                          "inputs",
                                          "layers",
                                          "custom",
                                          "outputs",
                                          "loss",
                                          "optimizer",
                                          "metrics",
                                          "training",
                                          "training_config",
                                          "execution",
                                          "execution_config",
                                          "framework",
                                          "shape_info",
                                          "warnings",
                                          "output_layer",
                                          "output_shape",
                                          "auto_flatten_output",
                                          NULL};
    nn_program *p = TAKE(r, nn_program);
    nn_network *n = TAKE(r, nn_network);
    if (!p || !n) return NULL;
    *p = (nn_program){.networks = n};
    nn_value *name = nn_md_value(doc, "name"), *layers = nn_md_value(doc, "layers");
    *n = (nn_network){.name = nn_md_is_text(name) ? name->text : "", .span = doc->span};
    if (name) n->name_span = name->span;
    nn_md_check_members(r, doc, members);
    read_inputs(r, n, doc);
    if (nn_md_value(doc, "custom")) read_customs(r, p, nn_md_value(doc, "custom"));
    if (layers) n->items = read_items(r, "layers", layers);
    read_sections(r, n, doc);
    if (r->diags->errors) n->damaged = true;
    return p;
}

nn_status nn_model_data_parse(nn_arena *arena, const nn_source *src, nn_diags *diags,
                              nn_program **ret, nn_err *err) {
    nn_md_reader r = {.arena = arena,
                      .source = src,
                      .diags = diags,
                      .line = src->text,
                      .at = src->text,
                      .line_number = 1};
    nn_jr_init(&r.jr, src->text, src->size);
    nn_span span;
    nn_value *doc = TAKE(&r, nn_value);
    nn_status st = nn_md_next(&r, &span, err);
    if (!st && doc) st = nn_md_read(&r, span, doc, err);
    nn_jr_token end;
    if (!st) st = nn_jr_next(&r.jr, &end, err);
    nn_jr_done(&r.jr);
    nn_program *p = NULL;
    if (!st && doc && doc->kind != NN_V_DICT) {
        nn_md_wrong(&r, doc, "an object");
        st = nn_fail(err, NN_E_DSL_ERROR, "model_data must be an object");
    } else if (!st && doc) {
        p = read_document(&r, doc);
    }
    nn_buf_done(&r.path);
    if (!st && (r.full || !p))
        st = nn_fail(err, NN_E_LIMIT, "model_data is larger than the memory for it");
    if (!st) *ret = p;
    return st;
}
