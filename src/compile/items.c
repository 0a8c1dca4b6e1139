/* SPDX-License-Identifier: MIT */
/* items.c - the input and the layers of a network, in order, into the graph.
 *
 * Repetition expands here: `* n` and groups. The number of layers is counted first, saturating, so
 * that a hostile count costs nothing. What binding says about a repeated layer is said once; its
 * shapes are checked for every copy. */
#include "compile/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Which copy of what is being built. */
typedef struct copy {
    int64_t index; /* 0 for the first and for what is not repeated */
    bool repeated; /* names need a number */
} copy;

static void add_items(nn_check *c, const nn_item *list, copy k);

/* ---- counting ---- */

static int64_t times(const nn_item *it) {
    return it->repeat && it->repeat->kind == NN_V_INT && it->repeat->i > 0 ? it->repeat->i : 1;
}

/* Layers that a list expands to, at most NN_MAX_LAYERS + 1. An item without layers counts as one:
 * repeating nothing takes time too. */
static int64_t count_layers(const nn_item *list) {
    int64_t n = 0;
    for (const nn_item *it = list; it && n <= NN_MAX_LAYERS; it = it->next) {
        int64_t inner = it->kind == NN_ITEM_CALL ? 1 : count_layers(it->items), sum;
        if (inner == 0) inner = 1;
        if (__builtin_mul_overflow(inner, times(it), &inner) ||
            __builtin_add_overflow(n, inner, &sum) || sum > NN_MAX_LAYERS)
            return NN_MAX_LAYERS + 1;
        n = sum;
    }
    return n;
}

static void check_repeats(nn_check *c, const nn_item *list) {
    for (const nn_item *it = list; it; it = it->next) {
        const nn_value *r = it->repeat;
        if (r && r->kind == NN_V_HPO)
            nn_check_unsupported(c, r->span, "searching the number of repetitions with HPO(…)");
        else if (r && r->kind == NN_V_INT && r->i < 1)
            NN_ERROR(c, "bad-repeat", r->span,
                     "a layer is repeated once or more, got %" PRId64 " times", r->i);
        else if (r && r->kind == NN_V_NAME)
            NN_ERROR(c, "bad-repeat", r->span,
                     "the number of repetitions must be a positive integer, got '%s'", r->text);
        if (it->kind == NN_ITEM_GROUP) check_repeats(c, it->items);
    }
}

/* ---- names ---- */

static bool is_identifier(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    size_t n = strlen(s);
    return n > 0 && n <= 64 && strspn(s, letters) == n && !(s[0] >= '0' && s[0] <= '9');
}

/* Enters the names that the program gives, so that none is given out to another layer. */
static void collect_names(nn_check *c, const nn_item *list, bool repeated) {
    for (const nn_item *it = list; it; it = it->next) {
        bool many = repeated || times(it) > 1;
        if (it->kind == NN_ITEM_GROUP) collect_names(c, it->items, many);
        if (it->kind != NN_ITEM_CALL) continue;
        for (const nn_arg *a = it->call->args; a; a = a->next) {
            const char *name =
                a->name && strcmp(a->name, "name") == 0 ? nn_check_word(a->value) : NULL;
            if (!name) continue;
            if (!is_identifier(name)) {
                NN_ERROR(c, "out-of-range", a->value->span,
                         "a layer's name is a letter or '_', then letters, digits or '_', at most "
                         "64, got '%.40s'",
                         name);
                continue;
            }
            const struct nn_used_slot *had = many ? NULL : nn_used_add(c, name, a->value->span);
            if (!had) continue;
            nn_diag *d =
                NN_ERROR(c, "duplicate-name", a->value->span, "two layers are named '%s'", name);
            nn_diag_note(c->diags, d, had->span, "the first one is here");
        }
    }
}

/* "<base>_<k>" for the first k from *k on that is free; entered. NULL when memory is spent. */
static const char *numbered(nn_check *c, const char *base, int *k) {
    for (;; ++*k) {
        char text[NN_MAX_NAME];
        snprintf(text, sizeof text, "%s_%d", base, *k);
        if (nn_used_has(&c->used, text)) continue;
        const char *name = nn_arena_strdup(c->arena, text);
        if (name) nn_used_add(c, name, (nn_span){0});
        ++*k;
        return name;
    }
}

static const char *layer_name(nn_check *c, const nn_layer *l, const nn_bound *given, copy k) {
    bool own = given->given && is_identifier(given->s);
    if (own && !k.repeated && !nn_graph_has_name(c->graph, given->s)) return given->s;
    if (own) {
        int from = (int)k.index + 1;
        return numbered(c, given->s, &from);
    }
    if (l->role != NN_ROLE_LAYER && !nn_used_has(&c->used, l->base)) {
        nn_used_add(c, l->base, (nn_span){0});
        return l->base;
    }
    unsigned kind = 0;
    while (nn_layer_at(kind) != l) kind++;
    if (!c->counters[kind]) c->counters[kind] = 1;
    return numbered(c, l->base, &c->counters[kind]);
}

/* ---- building one layer ---- */

typedef struct place {
    nn_span span, name_span; /* of the call; of its name */
} place;

typedef struct listener {
    nn_check *c;
    const place *at;
    bool mute;
} listener;

static void flatten_fix(nn_check *c, nn_diag *d, nn_span at) {
    nn_span before = at;
    before.end = before.begin;
    before.end_line = before.line;
    before.end_col = before.col;
    nn_diag_fix(c->diags, d, before, "Flatten() ", "insert Flatten() before this layer");
}

static void hear(void *arg, const nn_notice *n) {
    listener *l = arg;
    if (l->mute) return;
    nn_diag *d = nn_diag_add(l->c->diags, n->warning ? NN_SEV_WARNING : NN_SEV_NOTE, n->code, n->at,
                             "%s", n->message);
    if (n->hint) nn_diag_hint(l->c->diags, d, "%s", n->hint);
    if (n->flatten) flatten_fix(l->c, d, l->at->span);
}

/* What went wrong, where the input shape came from, and the rule. */
static void report(nn_check *c, const nn_layer *l, nn_span at, const char *hint,
                   const nn_span *flatten, const nn_err *e) {
    if (!hint && e->hint[0]) hint = e->hint;
    if (e->code == NN_E_UNSUPPORTED || e->code == NN_E_LIMIT) {
        nn_diag *d =
            NN_ERROR(c, e->code == NN_E_LIMIT ? "limit" : "not-supported", at, "%s", e->msg);
        if (hint) nn_diag_hint(c->diags, d, "%s", hint);
        return;
    }
    nn_diag *d = NN_ERROR(c, "shape", at, "%s: %s", l->name, e->msg);
    if (c->at >= 0) {
        const nn_node *from = &c->graph->nodes[c->at];
        char s[160];
        nn_diag_note(c->diags, d, from->span, "input shape %s comes from %s at %d:%d",
                     nn_shape_print(&from->shape, false, s, sizeof s), from->layer, from->span.line,
                     from->span.col);
        nn_diag_note(c->diags, d, (nn_span){0}, "rule: %s", l->rule);
    }
    if (hint) nn_diag_hint(c->diags, d, "%s", hint);
    if (flatten) flatten_fix(c, d, *flatten);
}

static nn_unit_layer *new_row(nn_check *c) {
    nn_unit *u = c->unit;
    if (u->n_layers == c->cap_layers) {
        int cap = c->cap_layers ? 2 * c->cap_layers : 16;
        nn_unit_layer *rows = nn_check_alloc(c, (size_t)cap * sizeof *rows);
        if (!rows) return NULL;
        if (u->n_layers) memcpy(rows, u->layers, (size_t)u->n_layers * sizeof *rows);
        u->layers = rows;
        c->cap_layers = cap;
    }
    return &u->layers[u->n_layers++];
}

/* Adds the row of a layer whose nodes begin at `first`, and its cost. */
static void record(nn_check *c, const nn_layer *l, const char *name, nn_span span, nn_shape in,
                   int first) {
    nn_unit_layer *row = new_row(c);
    if (!row) return;
    const nn_graph *g = c->graph;
    *row = (nn_unit_layer){.name = name,
                           .type = l->name,
                           .span = span,
                           .in = in,
                           .out = g->nodes[c->at].shape,
                           .first_node = first,
                           .last_node = g->n_nodes - 1};
    for (int i = first; i < g->n_nodes; i++) {
        int64_t flops = nn_node_flops(g, &g->nodes[i]);
        bool known = flops >= 0 && row->flops >= 0 &&
                     !__builtin_add_overflow(row->flops, flops, &row->flops);
        if (!known) row->flops = -1;
        row->params += nn_node_params(g, &g->nodes[i], false);
        row->trainable += nn_node_params(g, &g->nodes[i], true);
    }
}

/* Builds a layer on the shape so far, unless that is unknown. */
static void build(nn_check *c, const nn_layer *l, const nn_bound *args, const place *at, copy k) {
    if (c->lost || c->full) return;
    const char *name = layer_name(c, l, &args[nn_layer_n_params(l) + NN_COMMON_NAME], k);
    if (!name) {
        c->lost = true;
        return;
    }
    nn_graph *g = c->graph;
    nn_span where = at->name_span;
    const char *hint = NULL;
    bool flatten = false;
    nn_shape in = c->at >= 0 ? g->nodes[c->at].shape : (nn_shape){0};
    listener ear = {c, at, k.index > 0};
    nn_layer_ctx x = {.layer = l,
                      .name = name,
                      .index = l->role == NN_ROLE_INPUT ? -1 : c->n_layers,
                      .span = at->span,
                      .args = args,
                      .graph = g,
                      .input = c->at,
                      .shape = &in,
                      .ret_at = &where,
                      .ret_hint = &hint,
                      .ret_flatten = &flatten,
                      .loss = g->train.loss,
                      .has_loss = g->train.has_loss,
                      .from_logits = g->train.from_logits,
                      .notice = hear,
                      .notice_arg = &ear};
    int first = g->n_nodes, out;
    nn_err e;
    if (l->build(&x, &out, &e)) {
        report(c, l, where, hint, flatten ? &at->span : NULL, &e);
        c->lost = true;
        return;
    }
    c->at = out;
    c->n_layers += l->role != NN_ROLE_INPUT;
    c->last = l;
    if (l->role == NN_ROLE_OUTPUT) c->output_span = at->span;
    record(c, l, name, at->span, in, first);
}

static void flatten_first(nn_check *c, const nn_layer *l, const place *at, copy k) {
    if (!c->opt.auto_flatten || !l->rank1 || c->lost || c->at < 0) return;
    if (c->graph->nodes[c->at].shape.rank <= 1) return;
    const nn_layer *flatten = nn_layer_find("Flatten");
    int n;
    const nn_bound *args = nn_check_defaults(c, flatten, &n);
    if (!args) return;
    if (k.index == 0)
        nn_diag_add(c->diags, NN_SEV_NOTE, "default", at->name_span,
                    "Flatten() inserted before %s, as asked for", l->name);
    build(c, flatten, args, at, k);
}

/* ---- the input ---- */

/* Whether an input was declared before; if so, this one is refused. */
static bool second_input(nn_check *c, nn_span span, bool by_call) {
    if (!c->input_given) {
        c->input_given = true;
        c->input_by_call = by_call;
        c->input_span = span;
        return false;
    }
    if (by_call && c->input_by_call) {
        nn_check_unsupported(c, span, "a network of several inputs");
        return true;
    }
    nn_diag *d = NN_ERROR(c, "duplicate-input", span, "duplicate input; first given at %d:%d",
                          c->input_span.line, c->input_span.col);
    nn_diag_note(c->diags, d, c->input_span, "first given here");
    return true;
}

static void set_input(nn_check *c, nn_span span, nn_span name_span, const nn_bound *args) {
    c->lost = !args;
    if (args) build(c, nn_layer_find("Input"), args, &(place){span, name_span}, (copy){0});
}

/* In `input:` a leading None is the batch (language.md 8.9). */
static void drop_batch(nn_shape *s) {
    if (s->rank == 0 || s->dim[0] != NN_DIM_UNKNOWN) return;
    memmove(s->dim, s->dim + 1, (size_t)--s->rank * sizeof s->dim[0]);
}

static void section_input(nn_check *c, const nn_section *s) {
    if (second_input(c, s->word_span, false)) return;
    nn_value *v = s->config ? s->config->value : s->value;
    if ((s->config && s->config->next) || (!s->config && v && v->next)) {
        nn_check_unsupported(c, s->word_span, "a network of several inputs");
        return;
    }
    if (!v) {
        NN_ERROR(c, "bad-shape", s->span, "the input has no shape");
        return;
    }
    const nn_layer *l = nn_layer_find("Input");
    int n;
    const nn_bound *defaults = nn_check_defaults(c, l, &n);
    if (!defaults) return;
    nn_bound args[NN_MAX_PARAMS];
    memcpy(args, defaults, (size_t)n * sizeof args[0]);
    if (!nn_check_value(c, "input", &l->params[0], v, &args[0])) return;
    drop_batch(&args[0].shape);
    if (s->config) { /* input: { name: shape } */
        nn_bound *name = &args[nn_layer_n_params(l) + NN_COMMON_NAME];
        *name = (nn_bound){.set = true, .given = true, .s = s->config->name};
        nn_used_add(c, s->config->name, s->config->name_span);
    }
    set_input(c, s->span, s->word_span, args);
}

/* Input(28, 28, 1): the numbers are one shape. */
static nn_arg *gather_numbers(nn_check *c, const nn_call *call) {
    int n = 0;
    for (const nn_arg *a = call->args; a; a = a->next) {
        bool dim = !a->name && (a->value->kind == NN_V_INT || a->value->kind == NN_V_NONE ||
                                a->value->kind == NN_V_FLOAT);
        if (!dim && !a->name) return call->args;
        n += dim;
    }
    if (n < 2) return call->args;
    nn_value *tuple = nn_check_alloc(c, sizeof *tuple);
    nn_arg *first = nn_check_alloc(c, sizeof *first);
    if (!tuple || !first) return call->args;
    *tuple = (nn_value){.kind = NN_V_TUPLE, .span = call->span, .count = n};
    *first = (nn_arg){.span = call->span, .value = tuple};
    nn_value **values = &tuple->items;
    nn_arg **named = &first->next;
    for (const nn_arg *a = call->args; a; a = a->next) {
        if (a->name) {
            nn_arg *to = *named = nn_check_alloc(c, sizeof *to);
            if (!to) break;
            *to = *a;
            to->next = NULL;
            named = &to->next;
        } else {
            nn_value *to = *values = nn_check_alloc(c, sizeof *to);
            if (!to) break;
            *to = *a->value;
            to->next = NULL;
            values = &to->next;
        }
    }
    return first;
}

/* ---- calls ---- */

static bool is_macro(const nn_check *c, const char *name) {
    for (const nn_define *d = c->network->defines; d; d = d->next)
        if (strcmp(d->name, name) == 0) return true;
    for (const nn_define *d = c->program->defines; d; d = d->next)
        if (strcmp(d->name, name) == 0) return true;
    return false;
}

static bool is_custom(const nn_check *c, const char *name) {
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, "Layer") == 0) return true;
    for (const nn_custom *x = c->program->customs; x; x = x->next)
        if (strcmp(x->name, name) == 0) return true;
    return false;
}

/* Why there is no such layer. Macros were refused where they are defined. */
static void refuse_layer(nn_check *c, const nn_call *call) {
    enum { MOST = 160 };
    const char *planned = nn_layer_planned(call->name);
    if (is_macro(c, call->name)) return;
    if (planned) {
        nn_diag *d = NN_ERROR(c, "not-supported", call->name_span,
                              "layer '%s' is not available yet", planned);
        char list[512];
        size_t at = 0;
        for (const char *const *p = nn_layer_names(); *p && at < sizeof list; p++)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", *p);
        nn_diag_hint(c->diags, d, "available: %s", list);
        return;
    }
    if (is_custom(c, call->name)) {
        nn_check_unsupported(c, call->name_span, "a custom layer");
        return;
    }
    nn_diag *d = NN_ERROR(c, "unknown-layer", call->name_span, "unknown layer '%s'", call->name);
    nn_check_suggest(c, d, call->name_span, call->name, nn_layer_names());
}

/* dtype and device, which every layer takes. */
static void check_common(nn_check *c, const nn_layer *l, const nn_bound *args) {
    const nn_bound *common = args + nn_layer_n_params(l);
    const nn_bound *dtype = &common[NN_COMMON_DTYPE], *device = &common[NN_COMMON_DEVICE];
    if (dtype->given && strcasecmp(dtype->s, "float32") != 0)
        nn_check_unsupported(c, dtype->span, "a dtype other than float32");
    if (device->given) nn_check_device(c, device);
}

/* What stands behind the parentheses: @ device and { block }. */
static bool check_trailers(nn_check *c, const nn_layer *l, const nn_call *call, nn_bound *args) {
    if (call->has_block)
        NN_ERROR(c, "unexpected-block", call->span, "%s takes no block { … }", l->name);
    if (!call->device) return true;
    int i = nn_layer_n_params(l) + NN_COMMON_DEVICE;
    if (args[i].given) {
        nn_diag *d = NN_ERROR(c, "duplicate-parameter", call->device->span,
                              "the device of %s is given twice", l->name);
        nn_diag_note(c->diags, d, args[i].span, "first given here");
        return true;
    }
    return nn_check_value(c, l->name, nn_layer_param_at(l, i), call->device, &args[i]);
}

static void add_input(nn_check *c, const nn_call *call, const nn_bound *args) {
    if (c->n_layers > 0)
        NN_ERROR(c, "unexpected", call->name_span, "Input must stand before the first layer");
    else if (!second_input(c, call->name_span, true))
        set_input(c, call->span, call->name_span, args);
}

/* Binds a call's arguments; copies after the first say nothing again. */
static bool bind(nn_check *c, const nn_layer *l, const nn_call *call, copy k, nn_bound *args) {
    nn_diags *loud = c->diags;
    if (k.index > 0) {
        if (!c->mute) c->mute = nn_diags_new(c->arena, c->source);
        if (!c->mute) return false;
        c->diags = c->mute;
    }
    const nn_arg *list = l->role == NN_ROLE_INPUT ? gather_numbers(c, call) : call->args;
    bool usable =
        nn_check_bind(c, l->name, call->name_span, l->params, nn_layer_common, list, args);
    usable = check_trailers(c, l, call, args) && usable;
    check_common(c, l, args);
    c->diags = loud;
    return usable;
}

static void add_call(nn_check *c, const nn_item *it, copy k) {
    const nn_call *call = it->call;
    const nn_layer *l = nn_layer_find(call->name);
    if (!l) {
        if (k.index == 0) refuse_layer(c, call);
        c->lost = true;
        c->n_layers++;
        return;
    }
    int n;
    const nn_bound *defaults = nn_check_defaults(c, l, &n);
    if (!defaults) return;
    nn_bound args[NN_MAX_PARAMS];
    memcpy(args, defaults, (size_t)n * sizeof args[0]);
    bool usable = bind(c, l, call, k, args);
    if (l->role == NN_ROLE_INPUT) {
        add_input(c, call, usable ? args : NULL);
        return;
    }
    if (!usable) c->lost = true;
    if (c->lost) c->n_layers++; /* so that an Input after it is out of place */
    place at = {call->span, call->name_span};
    int64_t count = times(it);
    for (int64_t i = 0; i < count && !c->lost && !c->full; i++) {
        copy each = {k.index * count + i, k.repeated || count > 1};
        flatten_first(c, l, &at, each);
        build(c, l, args, &at, each);
    }
}

/* A group's items again: what binding has to say was said for the first copy. */
static void add_group(nn_check *c, const nn_item *it, copy k) {
    int64_t count = times(it);
    for (int64_t i = 0; i < count && !c->full; i++) {
        add_items(c, it->items, (copy){k.index * count + i, k.repeated || count > 1});
        if (c->lost) break; /* the rest would say the same */
    }
}

static void add_items(nn_check *c, const nn_item *list, copy k) {
    for (const nn_item *it = list; it && !c->full; it = it->next) {
        switch (it->kind) {
        case NN_ITEM_CALL:
            add_call(c, it, k);
            break;
        case NN_ITEM_GROUP:
            add_group(c, it, k);
            break;
        case NN_ITEM_BRANCH:
            nn_check_unsupported(c, it->span, "a branch");
            c->lost = true;
            break;
        case NN_ITEM_HPO:
            nn_check_unsupported(c, it->span, "a choice of layers with HPO(…)");
            c->lost = true;
            break;
        }
    }
}

static bool only_inputs(const nn_item *list) {
    for (const nn_item *it = list; it; it = it->next) {
        const nn_layer *l = it->kind == NN_ITEM_CALL ? nn_layer_find(it->call->name) : NULL;
        if (!l || l->role != NN_ROLE_INPUT) return false;
    }
    return true;
}

void nn_check_items(nn_check *c) {
    const nn_network *n = c->network;
    c->at = -1;
    c->lost = true; /* until there is an input */
    check_repeats(c, n->items);
    if (count_layers(n->items) > NN_MAX_LAYERS) {
        NN_ERROR(c, "limit", n->name_span.line ? n->name_span : n->span,
                 "the network has more than %d layers, repetitions counted", NN_MAX_LAYERS);
        return;
    }
    collect_names(c, n->items, false);
    for (const nn_section *s = n->sections; s; s = s->next)
        if (strcmp(s->word, "input") == 0) section_input(c, s);
    add_items(c, n->items, (copy){0});
    const char *name = n->name[0] ? n->name : "(unnamed)";
    nn_span at = n->name_span.line ? n->name_span : n->span;
    if (!c->input_given)
        NN_ERROR(c, "missing-input", at,
                 "network '%s' has no input (add input: (…) or Input(shape=…))", name);
    if (only_inputs(n->items))
        NN_ERROR(c, "missing-layers", at, "network '%s' has no layers", name);
}
