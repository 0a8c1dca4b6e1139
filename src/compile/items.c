/* SPDX-License-Identifier: MIT */
/* items.c - the input and the layers of a network, in order, into the graph: branches, blocks,
 * groups and repetition. Which values each of them takes is in flows.c.
 *
 * A scope holds the flows that are open, in order: the network's inputs at first, then what layers
 * and branches leave. A layer of one input takes the only open flow; a merge takes all of them; a
 * layer with inputs=[…] takes what it names, ends the line at hand and is the new one. A branch
 * goes on from the open flow of its name, else it forks from the line at hand, the stem, and so do
 * the branches after it. What is open at the end are the outputs.
 *
 * Repetition expands here. The number of layers is counted first, saturating, so that a hostile
 * count costs nothing. What binding says about a repeated layer is said once; its shapes are
 * checked for every copy. */
#include "compile/check.h"

#include <string.h>
#include <strings.h>

/* The list at hand: where its items stand in model_data. Repetitions are written out there; what is
 * searched, a choice or a repetition, stays one element, whatever is chosen. */
typedef struct list {
    const char *key; /* "layers", "sublayers" */
    int next;
    int within;    /* of `layers`, the element that all of this is within; -1: none */
    bool in_place; /* its one item stands where the path is already: it was chosen */
} list;

static size_t push_item(nn_check *c, const list *li) {
    return li->in_place ? c->path.n : nn_check_push_index(c, li->key, li->next);
}

static int index_of(const list *li) {
    return li->within >= 0 ? li->within : li->next;
}

static bool is_searched(const nn_item *it) {
    return it->repeat && it->repeat->kind == NN_V_HPO;
}

static void add_items(nn_check *c, const nn_item *items, nn_copy k, list *l);

/* ---- counting ---- */

static int64_t written_times(const nn_item *it) {
    return it->repeat && it->repeat->kind == NN_V_INT && it->repeat->i > 0 ? it->repeat->i : 1;
}

static const nn_item *items_of(const nn_item *it) {
    return it->kind == NN_ITEM_CALL ? it->call->block : it->items;
}

/* Layers that a list expands to, at most NN_MAX_LAYERS + 1. An item without layers counts as one:
 * repeating nothing takes time too. */
static int64_t count_layers(const nn_item *items) {
    int64_t n = 0;
    for (const nn_item *it = items; it && n <= NN_MAX_LAYERS; it = it->next) {
        bool call = it->kind == NN_ITEM_CALL;
        if (call && strcasecmp(it->call->name, "Input") == 0) continue;
        int64_t inner = count_layers(items_of(it)) + call, sum;
        if (inner == 0) inner = 1;
        if (__builtin_mul_overflow(inner, written_times(it), &inner) ||
            __builtin_add_overflow(n, inner, &sum) || sum > NN_MAX_LAYERS)
            return NN_MAX_LAYERS + 1;
        n = sum;
    }
    return n;
}

/* ---- layers ---- */

static void flatten_first(nn_check *c, const nn_bound_call *b, nn_flow *in, nn_copy k, int index) {
    if (!c->opt.auto_flatten || !b->layer->rank1 || in->node < 0) return;
    if (c->graph->nodes[in->node].shape.rank <= 1) return;
    const nn_layer *flatten = nn_layer_find("Flatten");
    int n;
    const nn_bound *args = nn_check_defaults(c, flatten, &n);
    if (!args) return;
    if (k.index == 0)
        nn_diag_add(c->diags, NN_SEV_NOTE, "default", b->call->name_span,
                    "Flatten() inserted before %s, as asked for", b->layer->name);
    nn_call bare = *b->call; /* its place, without its block */
    bare.block = NULL;
    *in = nn_check_build(c, &(nn_bound_call){flatten, &bare, args, NULL}, in, 1, k, index);
}

static void add_layer(nn_check *c, const nn_bound_call *b, nn_copy k, int index) {
    nn_flow in[NN_MAX_INPUTS];
    int n = nn_flow_take(c, b->layer, b->call, b->args, in);
    if (n <= 0) { /* its name is known all the same, and its block is checked */
        in[0] = NN_NO_FLOW;
        n = 1;
    }
    flatten_first(c, b, &in[0], k, index);
    nn_flow_open(c, nn_check_build(c, b, in, n, k, index));
}

/* How often an item stands there; 0, reported, if that makes no sense. */
static int64_t times(nn_check *c, const nn_item *it) {
    static const nn_param count = {
        .name = "repeat", .type = NN_P_INT, .min = 1, .max = NN_MAX_LAYERS};
    nn_value *r = it->repeat;
    if (!r) return 1;
    size_t mark = nn_check_push(c, "repeat");
    r = nn_check_resolve(c, "a repetition", &count, r);
    nn_check_pop(c, mark);
    if (!r || r->kind == NN_V_ERROR) return 1;
    if (r->kind == NN_V_INT && r->i >= 1) return r->i;
    char got[64];
    NN_ERROR(c, "bad-repeat", r->span, "a layer is repeated a positive number of times, got %s",
             nn_check_show(r, got, sizeof got));
    return 1;
}

static nn_copy copy_of(nn_copy k, int64_t i, int64_t count) {
    return (nn_copy){k.index * count + i, k.repeated || count > 1};
}

static void add_input(nn_check *c, const nn_item *it, const nn_layer *l, const nn_bound *args,
                      bool usable);

/* The name that a layer would get, for the readable paths of its search points. */
static const char *guess_name(nn_check *c, const nn_layer *l, const nn_call *call) {
    for (const nn_arg *a = call->args; a; a = a->next)
        if (a->name && strcmp(a->name, "name") == 0 && nn_check_word(a->value))
            return nn_check_word(a->value);
    if (l->role != NN_ROLE_LAYER && !nn_used_find(&c->used, l->base)) return l->base;
    int k = c->counters[nn_check_kind(l)];
    char text[NN_MAX_NAME];
    nn_check_number(c, l->base, &k, text, sizeof text);
    return nn_arena_strdup(c->arena, text);
}

/* Whether binding a call may meet a search point: then its path and alias are needed. */
static bool may_have_points(const nn_item *it) {
    if (is_searched(it)) return true;
    for (const nn_arg *a = it->call->args; a; a = a->next)
        if (nn_check_may_search(a->value)) return true;
    return false;
}

static void add_copies(nn_check *c, const nn_bound_call *b, bool usable, nn_copy k, int64_t count,
                       bool searched, list *li) {
    if (!usable) nn_flow_lose(c);
    int errors = c->diags->errors;
    for (int64_t i = 0; i < count && !c->full; i++) {
        add_layer(c, b, copy_of(k, i, count), index_of(li));
        li->next += !searched;
        if (c->diags->errors != errors) break; /* the rest would say the same */
    }
    li->next += searched;
}

/* It was reported. What names it, and what is in it, is not to blame. */
static void unknown_layer(nn_check *c, const nn_call *call) {
    for (const nn_arg *a = call->args; a; a = a->next)
        if (a->name && strcmp(a->name, "name") == 0 && nn_check_word(a->value))
            nn_used_bind(c, nn_check_word(a->value), NN_NO_FLOW);
    nn_check_look(c, call->block);
    c->n_layers++; /* so that an Input after it is out of place */
    nn_flow_open_lost(c);
}

static void add_call(nn_check *c, const nn_item *it, nn_copy k, list *li) {
    const nn_call *call = it->call;
    const nn_layer *l = nn_check_layer(c, call);
    if (!l) {
        unknown_layer(c, call);
        return;
    }
    int n;
    const nn_bound *defaults = nn_check_defaults(c, l, &n);
    if (!defaults) return;
    nn_bound args[NN_MAX_PARAMS];
    memcpy(args, defaults, (size_t)n * sizeof args[0]);
    bool input = l->role == NN_ROLE_INPUT, points = may_have_points(it);
    size_t mark = points || call->block ? push_item(c, li) : c->path.n;
    c->alias = points && !input ? guess_name(c, l, call) : NULL;
    c->alias_at = c->path.n;
    bool usable = nn_check_call(c, l, call, k, args);
    int64_t count = times(c, it);
    c->alias = NULL;
    if (input)
        add_input(c, it, l, args, usable);
    else
        add_copies(c, &(nn_bound_call){l, call, args, l == &nn_layer_custom ? call->name : NULL},
                   usable, k, count, is_searched(it), li);
    nn_check_pop(c, mark);
}

/* Layers are counted when they are built; this counts the turns that brought none. */
static bool one_more_turn(nn_check *c, const nn_item *it, int *rows) {
    if (*rows == c->unit->n_layers) c->turns++;
    *rows = c->unit->n_layers;
    if (c->full || c->turns <= NN_MAX_LAYERS) return !c->full;
    NN_ERROR(c, "limit", it->span, "groups without layers are repeated more than %d times",
             NN_MAX_LAYERS);
    c->full = true;
    return false;
}

/* A group's items again: what binding has to say was said for the first copy. Where its repetition
 * is searched, or it was chosen itself, it is one element, and its items stand within. */
static void add_group(nn_check *c, const nn_item *it, nn_copy k, list *li) {
    bool whole = is_searched(it) || li->in_place;
    size_t mark = push_item(c, li);
    int64_t count = times(c, it);
    if (!whole) nn_check_pop(c, mark);
    int errors = c->diags->errors, rows = -1;
    for (int64_t i = 0; i < count && one_more_turn(c, it, &rows); i++) {
        list inner = {.key = "sublayers", .within = index_of(li)};
        add_items(c, it->items, copy_of(k, i, count), whole ? &inner : li);
        if (c->diags->errors != errors) break;
    }
    nn_check_pop(c, mark);
    li->next += whole;
}

/* The item that a candidate is; NULL, reported, if it is none. */
static const nn_item *candidate_item(nn_check *c, const nn_item *it, nn_value *v) {
    if (v->kind == NN_V_ITEM) return v->item;
    if (v->kind == NN_V_CALL) {
        nn_item *one = nn_check_alloc(c, sizeof *one);
        if (one)
            *one = (nn_item){.kind = NN_ITEM_CALL,
                             .span = v->span,
                             .origin = it->origin,
                             .call = v->call,
                             .repeat = v->repeat};
        return one;
    }
    char got[64];
    nn_diag *d = NN_ERROR(c, "bad-hpo", v->span, "a choice of layers holds layers, got %s",
                          nn_check_show(v, got, sizeof got));
    nn_diag_hint(c->diags, d, "HPO(choice(Dense(64), Dense(128)))");
    return NULL;
}

/* A chosen layer, group or branch in the place of HPO(choice(…)). */
static void add_choice(nn_check *c, const nn_item *it, nn_copy k, list *li) {
    size_t mark = push_item(c, li);
    nn_value *v = nn_check_resolve(c, "layers", NULL, it->hpo);
    int64_t count = times(c, it);
    const nn_item *item = v && v->kind != NN_V_ERROR ? candidate_item(c, it, v) : NULL;
    if (!item) nn_flow_lose(c);
    nn_candidate outer = nn_check_to_chosen(c, it->hpo);
    nn_item *one = item ? nn_check_alloc(c, sizeof *one) : NULL;
    if (one) *one = *item, one->next = NULL; /* it is the only one */
    int errors = c->diags->errors;
    for (int64_t i = 0; one && i < count && !c->full; i++) {
        list inner = {.key = "sublayers", .within = index_of(li), .in_place = true};
        add_items(c, one, copy_of(k, i, count), &inner);
        if (c->diags->errors != errors) break;
    }
    nn_check_from_chosen(c, outer);
    nn_check_pop(c, mark);
    li->next += is_searched(it) ? 1 : (int)count;
}

/* ---- what is not chosen ---- */

static void look_at(nn_check *c, const nn_item *it) {
    const nn_origin *outer = c->diags->origin;
    if (it->origin) c->diags->origin = it->origin;
    const nn_layer *l = it->kind == NN_ITEM_CALL ? nn_check_layer(c, it->call) : NULL;
    if (it->kind == NN_ITEM_HPO) {
        nn_check_resolve(c, "layers", NULL, it->hpo);
    } else if (it->kind != NN_ITEM_CALL) {
        nn_check_look(c, it->items);
    } else if (l) {
        int n;
        nn_bound args[NN_MAX_PARAMS];
        const nn_bound *defaults = nn_check_defaults(c, l, &n);
        if (defaults) {
            memcpy(args, defaults, (size_t)n * sizeof args[0]);
            nn_check_call(c, l, it->call, (nn_copy){0}, args);
        }
        nn_check_look(c, it->call->block);
    }
    times(c, it);
    c->diags->origin = outer;
}

void nn_check_look_one(nn_check *c, const nn_value *v) {
    nn_item one = {.kind = NN_ITEM_CALL, .span = v->span, .call = v->call, .repeat = v->repeat};
    look_at(c, v->kind == NN_V_ITEM ? v->item : &one);
}

void nn_check_look(nn_check *c, const nn_item *items) {
    int at = 0;
    for (const nn_item *it = items; it && !c->full; it = it->next) {
        size_t mark = nn_check_push_index(c, "sublayers", at);
        look_at(c, it);
        nn_check_pop(c, mark);
        int64_t n = written_times(it);
        at = n > NN_MAX_LAYERS - at ? NN_MAX_LAYERS : at + (int)n;
    }
}

/* ---- branches and blocks ---- */

int nn_check_block(nn_check *c, const nn_item *block, nn_flow from, nn_flow *open, int cap) {
    nn_scope scope = {.stem = NN_NO_FLOW, .inner = true}, *outer = c->scope;
    list l = {.key = "sublayers", .within = -1};
    c->scope = &scope;
    nn_flow_open(c, from);
    add_items(c, block, c->copy, &l);
    c->scope = outer;
    int n = scope.n < cap ? scope.n : cap;
    if (n) memcpy(open, scope.open, (size_t)n * sizeof *open);
    return n;
}

static void add_branch(nn_check *c, const nn_item *it, nn_copy k, list *li) {
    nn_flow from = NN_NO_FLOW, open[NN_MAX_INPUTS];
    bool found = nn_flow_branch(c, it, &from);
    size_t mark = push_item(c, li);
    li->next++;
    nn_copy outer = c->copy;
    c->copy = k;
    int n = nn_check_block(c, it->items, from, open, NN_MAX_INPUTS);
    c->copy = outer;
    nn_check_pop(c, mark);
    if (n > 1) {
        nn_diag *d =
            NN_ERROR(c, "bad-branch", it->span, "branch '%s' leaves %d branches open", it->name, n);
        nn_diag_hint(c->diags, d, "merge them at its end, with Concatenate() or Add()");
    }
    nn_flow out = n == 1 && found ? open[0] : NN_NO_FLOW;
    out.name = it->name;
    nn_flow_open(c, out);
    nn_used_bind(c, it->name, out);
}

static void add_items(nn_check *c, const nn_item *items, nn_copy k, list *li) {
    static void (*const add[])(nn_check *, const nn_item *, nn_copy, list *) = {
        [NN_ITEM_CALL] = add_call,
        [NN_ITEM_BRANCH] = add_branch,
        [NN_ITEM_GROUP] = add_group,
        [NN_ITEM_HPO] = add_choice,
    };
    for (const nn_item *it = items; it && !c->full; it = it->next) {
        const nn_origin *outer = c->diags->origin;
        if (it->origin) c->diags->origin = it->origin;
        add[it->kind](c, it, k, li);
        c->diags->origin = outer;
    }
}

/* ---- the input ---- */

/* Whether an input was declared before in a way that does not go with this one; reports it. */
static bool second_input(nn_check *c, nn_span span, bool by_call) {
    bool first = !c->input_given;
    if (first || (by_call && c->input_by_call)) {
        if (first) c->input_span = span;
        c->input_given = true;
        c->input_by_call = by_call;
        return false;
    }
    nn_diag *d = NN_ERROR(c, "duplicate-input", span, "duplicate input; first given at %d:%d",
                          c->input_span.line, c->input_span.col);
    nn_diag_note(c->diags, d, c->input_span, "first given here");
    return true;
}

static void open_input(nn_check *c, const nn_call *call, const nn_layer *l, const nn_bound *args,
                       bool usable) {
    const nn_bound *name = &args[nn_layer_n_params(l) + NN_COMMON_NAME];
    nn_flow f = NN_NO_FLOW;
    if (usable)
        f = nn_check_build(c, &(nn_bound_call){l, call, args, NULL}, NULL, 0, (nn_copy){0}, -1);
    if (name->given) f.name = f.row >= 0 ? c->unit->layers[f.row].name : name->s;
    nn_flow_open(c, f);
}

static void add_input(nn_check *c, const nn_item *it, const nn_layer *l, const nn_bound *args,
                      bool usable) {
    const nn_call *call = it->call;
    bool misplaced = c->n_layers > 0 || c->scope->inner;
    if (misplaced || it->repeat) c->input_given = true;
    if (misplaced)
        NN_ERROR(c, "unexpected", call->name_span, "Input must stand before the first layer");
    else if (it->repeat)
        NN_ERROR(c, "bad-repeat", it->repeat->span,
                 "an Input stands for one input: write it once for each");
    else if (!second_input(c, call->name_span, true))
        open_input(c, call, l, args, usable);
}

/* In `input:` a leading None is the batch (language.md 8.9). */
static void drop_batch(nn_shape *s) {
    if (s->rank == 0 || s->dim[0] != NN_DIM_UNKNOWN) return;
    memmove(s->dim, s->dim + 1, (size_t)--s->rank * sizeof s->dim[0]);
}

/* One shape of `input:`, perhaps with a name. */
static void section_shape(nn_check *c, const nn_section *s, nn_value *v, const nn_arg *named) {
    const nn_layer *l = nn_layer_find("Input");
    int n;
    const nn_bound *defaults = nn_check_defaults(c, l, &n);
    nn_call *call = nn_check_alloc(c, sizeof *call);
    if (!defaults || !call) return;
    *call = (nn_call){.name = l->name,
                      .name_span = named ? named->name_span : s->word_span,
                      .span = named ? named->span : s->span};
    nn_bound args[NN_MAX_PARAMS];
    memcpy(args, defaults, (size_t)n * sizeof args[0]);
    bool usable = nn_check_value(c, "input", &l->params[0], v, &args[0]);
    drop_batch(&args[0].shape);
    if (named) {
        nn_bound *name = &args[nn_layer_n_params(l) + NN_COMMON_NAME];
        *name = (nn_bound){.set = true, .given = true, .s = named->name};
        const struct nn_used_slot *had = nn_used_find(&c->used, named->name);
        if (had && had->bound) return; /* the second of the name: reported */
    }
    open_input(c, call, l, args, usable);
}

static void section_input(nn_check *c, const nn_section *s) {
    if (second_input(c, s->word_span, false)) return;
    if (!s->config && !s->value) NN_ERROR(c, "bad-shape", s->span, "the input has no shape");
    for (const nn_arg *a = s->config; a; a = a->next) section_shape(c, s, a->value, a);
    for (nn_value *v = s->config ? NULL : s->value; v; v = v->next) section_shape(c, s, v, NULL);
}

/* ---- the network ---- */

static bool only_inputs(const nn_item *items) {
    for (const nn_item *it = items; it; it = it->next) {
        const nn_layer *l = it->kind == NN_ITEM_CALL ? nn_layer_find(it->call->name) : NULL;
        if (!l || l->role != NN_ROLE_INPUT) return false;
    }
    return true;
}

/* What is open at the end is the output; an input that nothing took is not. */
static void add_outputs(nn_check *c) {
    for (int i = 0; i < c->scope->n; i++) {
        const nn_flow *f = &c->scope->open[i];
        nn_err e;
        if (f->row >= 0 && c->unit->layers[f->row].layer->role == NN_ROLE_INPUT && c->n_layers) {
            nn_diag *d = NN_WARN(c, "unused-input", c->unit->layers[f->row].span,
                                 "no layer takes the input '%s'", nn_flow_name(c, f));
            nn_diag_hint(c->diags, d, "write a branch of its name, or leave it out");
        } else if (f->node >= 0 && nn_graph_add_output(c->graph, f->node, &e)) {
            nn_diag *d = NN_ERROR(c, "limit", c->unit->layers[f->row].span, "%s", e.msg);
            nn_diag_hint(c->diags, d, "what is open at the end is an output: merge some of them");
            return;
        }
    }
}

void nn_check_items(nn_check *c) {
    const nn_network *n = c->network;
    nn_scope scope = {.stem = NN_NO_FLOW};
    list l = {.key = "layers", .within = -1};
    c->scope = &scope;
    c->parent = -1;
    if (count_layers(n->items) > NN_MAX_LAYERS) {
        NN_ERROR(c, "limit", n->name_span.line ? n->name_span : n->span,
                 "the network has more than %d layers, repetitions counted", NN_MAX_LAYERS);
        c->full = true;
        return;
    }
    nn_check_names(c);
    for (const nn_section *s = n->sections; s; s = s->next)
        if (strcmp(s->word, "input") == 0) section_input(c, s);
    add_items(c, n->items, (nn_copy){0}, &l);
    const char *name = n->name[0] ? n->name : "(unnamed)";
    nn_span at = n->name_span.line ? n->name_span : n->span;
    if (!c->input_given && !n->damaged)
        NN_ERROR(c, "missing-input", at,
                 "network '%s' has no input (add input: (…) or Input(shape=…))", name);
    if (only_inputs(n->items) && !n->damaged)
        NN_ERROR(c, "missing-layers", at, "network '%s' has no layers", name);
    if (c->diags->errors == 0 && !c->full) add_outputs(c);
}
