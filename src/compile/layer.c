/* SPDX-License-Identifier: MIT */
/* layer.c - one layer of a network: from its call to bound arguments, to ops in the graph, to its
 * row in the unit.
 *
 * The row comes before the ops, so that the layers of its block stand behind it. A layer whose
 * input is not known gets a row too and no ops. */
#include "compile/check.h"
#include "compile/model_data.h"
#include "compile/space.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- which layer ---- */

static bool ends_in_layer(const char *name) {
    size_t n = strlen(name);
    return n > 5 && name[0] >= 'A' && name[0] <= 'Z' && strcmp(name + n - 5, "Layer") == 0;
}

static bool is_optimizer_or_loss(const char *name) {
    return nn_optimizer_find(name) >= 0 || nn_loss_find(name) >= 0;
}

/* The nearest of the macros that are defined; NULL if none is near. */
static const char *nearest_macro(const nn_check *c, const char *name) {
    enum { MOST = 64 };
    const char *names[MOST + 1];
    int n = 0;
    for (const nn_define *d = c->network->defines; d && n < MOST; d = d->next) names[n++] = d->name;
    for (const nn_define *d = c->program->defines; d && n < MOST; d = d->next) names[n++] = d->name;
    names[n] = NULL;
    return nn_nearest(name, names);
}

const nn_layer *nn_check_layer(nn_check *c, const nn_call *call) {
    const nn_layer *l = nn_layer_find(call->name);
    if (l) return l;
    if (nn_check_custom(c, call->name) || ends_in_layer(call->name)) return &nn_layer_custom;
    nn_diag *d = NN_ERROR(c, "unknown-layer", call->name_span, "unknown layer '%s'", call->name);
    const char *macro = nearest_macro(c, call->name);
    if (macro)
        nn_diag_hint(c->diags, d, "did you mean the macro '%s'?", macro);
    else if (is_optimizer_or_loss(call->name))
        nn_diag_hint(c->diags, d, "write it in its section: optimizer: or loss:");
    else if (nn_nearest(call->name, nn_layer_names()))
        nn_check_suggest(c, d, call->name_span, call->name, nn_layer_names());
    else
        nn_diag_hint(c->diags, d,
                     "`neural reference layers` lists all; a layer of your own is declared with "
                     "custom %s(…) -> (shape), or its name ends in Layer",
                     call->name);
    return NULL;
}

/* ---- binding ---- */

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

/* dtype and device, which every layer takes. */
static void check_common(nn_check *c, const nn_layer *l, const nn_bound *args) {
    const nn_bound *common = args + nn_layer_n_params(l);
    const nn_bound *dtype = &common[NN_COMMON_DTYPE], *device = &common[NN_COMMON_DEVICE];
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", "float64",
                                         "int32",   "int64",   NULL};
    if (dtype->given && strcasecmp(dtype->s, "float32") != 0) {
        bool known = false, whole = strncasecmp(dtype->s, "int", 3) == 0;
        for (int i = 0; dtypes[i]; i++) known = known || strcasecmp(dtype->s, dtypes[i]) == 0;
        if (known && whole && l->role != NN_ROLE_INPUT)
            NN_ERROR(c, "out-of-range", dtype->span,
                     "%s: dtype %s is for an Input of tokens; layers compute in float32", l->name,
                     dtype->s);
        else if (known)
            NN_WARN(c, "advice", dtype->span, "dtype %s has no effect: values are float32",
                    dtype->s);
        else
            nn_check_suggest(c,
                             NN_ERROR(c, "unknown-name", dtype->span, "%s: unknown dtype '%.40s'",
                                      l->name, dtype->s),
                             dtype->span, dtype->s, dtypes);
    }
    if (device->given) nn_check_device(c, device);
}

/* What stands behind the parentheses: @ device and { block }. */
static bool check_trailers(nn_check *c, const nn_layer *l, const nn_call *call, nn_bound *args) {
    if (call->has_block && l->block == NN_BLOCK_NONE) {
        nn_diag *d =
            NN_ERROR(c, "unexpected-block", call->span, "%s takes no block { … }", l->name);
        nn_diag_hint(c->diags, d,
                     "blocks belong to ResidualConnection, Sequential, Branch, Inception, "
                     "TimeDistributed and the Transformer layers");
    }
    if (!call->has_block && l->block == NN_BLOCK_REQUIRED)
        NN_ERROR(c, "missing-parameter", call->span, "%s needs a block { … } of layers", l->name);
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

static const nn_arg *find_arg(const nn_arg *list, const char *name) {
    for (; list; list = list->next)
        if (list->name && strcmp(list->name, name) == 0) return list;
    return NULL;
}

static void declared_here(nn_check *c, const nn_custom *x, nn_diag *d) {
    nn_diag_note(c->diags, d, x->span, "it is declared here");
}

/* Those without a name fill the parameters in order, as in Python; each is given once. */
static bool check_given(nn_check *c, const nn_custom *x, const nn_call *call) {
    const nn_arg *given = call->args;
    bool ok = true;
    for (const nn_arg *p = x->params; p; p = p->next) {
        const nn_arg *named = find_arg(call->args, p->name), *again;
        while (given && given->name) given = given->next;
        again = named && given ? given : named ? find_arg(named->next, p->name) : NULL;
        if (again)
            declared_here(c, x,
                          NN_ERROR(c, "duplicate-parameter", again->span,
                                   "'%s' of %s is given twice", p->name, x->name));
        else if (!named && !given && !p->value)
            declared_here(c, x,
                          NN_ERROR(c, "missing-parameter", call->name_span, "%s needs '%s'",
                                   x->name, p->name));
        ok = ok && !again && (named || given || p->value);
        if (given) given = given->next;
    }
    while (given && given->name) given = given->next;
    if (given)
        declared_here(c, x,
                      NN_ERROR(c, "too-many-arguments", given->span,
                               "%s takes fewer arguments without a name", x->name));
    return ok && !given;
}

/* The arguments of a declared custom layer against its declaration, and its shape. */
static bool check_declared(nn_check *c, const nn_call *call, nn_bound *args) {
    const nn_custom *x = nn_check_custom(c, call->name);
    if (!x) return true;
    const nn_param *shape = &nn_layer_custom.params[0];
    bool ok = true;
    for (const nn_arg *a = call->args; a; a = a->next)
        if (a->name && !find_arg(x->params, a->name) &&
            nn_layer_param(&nn_layer_custom, a->name) < 0) {
            nn_diag *d = NN_ERROR(c, "unknown-parameter", a->name_span, "%s has no parameter '%s'",
                                  x->name, a->name);
            nn_diag_note(c->diags, d, x->span, "it is declared here");
            ok = false;
        }
    ok = check_given(c, x, call) && ok;
    if (x->shape && !args[0].given && nn_check_value(c, x->name, shape, x->shape, &args[0]))
        args[0].given = false;
    return ok;
}

bool nn_check_call(nn_check *c, const nn_layer *l, const nn_call *call, nn_copy k, nn_bound *args) {
    nn_diags *loud = c->diags;
    if (k.index > 0) {
        if (!c->mute) c->mute = nn_diags_new(c->scratch, c->source);
        if (!c->mute) return false;
        c->diags = c->mute;
    }
    bool custom = l == &nn_layer_custom;
    const nn_arg *list = l->role == NN_ROLE_INPUT ? gather_numbers(c, call) : call->args;
    bool usable = nn_check_bind(c, custom ? call->name : l->name, call->name_span, l->params,
                                nn_layer_common, l->open_params, list, args);
    usable = check_trailers(c, l, call, args) && usable;
    if (custom) usable = check_declared(c, call, args) && usable;
    check_common(c, l, args);
    c->diags = loud;
    return usable;
}

/* What was chosen for a search point; other values as they are. */
static const nn_value *chosen(const nn_check *c, const nn_value *v) {
    bool point = v->kind == NN_V_HPO && v->hpo->point > 0;
    const nn_value *to = point ? c->unit->space->points[v->hpo->point - 1].chosen : NULL;
    return to ? to : v;
}

/* open_params: what was given beyond the tables, as JSON: {"args": [...], "name": value}. NULL: no
 * such thing. */
static const char *kept_params(nn_check *c, const nn_layer *l, const nn_call *call) {
    if (!l->open_params) return NULL;
    nn_json *o = nn_json_new_object(), *args = nn_json_new_array();
    for (const nn_arg *a = call->args; a; a = a->next) {
        if (!a->name)
            nn_json_push(args, nn_value_json(chosen(c, a->value)));
        else if (nn_layer_param(l, a->name) < 0)
            nn_json_set(o, a->name, nn_value_json(chosen(c, a->value)));
    }
    if (nn_json_size(args)) nn_json_set(o, "args", nn_json_ref(args));
    nn_json_unref(args);
    NN_BUF text = {0};
    bool any = nn_json_size(o) > 0;
    nn_json_dump(o, 0, &text);
    nn_json_unref(o);
    return any ? nn_arena_strdup(c->arena, nn_buf_str(&text)) : NULL;
}

const nn_inner *nn_check_inner(nn_check *c, const nn_call *call) {
    const nn_layer *l = nn_check_layer(c, call);
    if (!l) return NULL;
    int n;
    const nn_bound *defaults = nn_check_defaults(c, l, &n);
    nn_bound *args = nn_check_alloc(c, (size_t)n * sizeof *args);
    nn_inner *inner = nn_check_alloc(c, sizeof *inner);
    if (!defaults || !args || !inner) return NULL;
    memcpy(args, defaults, (size_t)n * sizeof *args);
    if (!nn_check_call(c, l, call, (nn_copy){0}, args)) return NULL;
    if (l->role == NN_ROLE_INPUT || l->min_inputs > 1) {
        NN_ERROR(c, "wrong-type", call->name_span, "%s cannot be wrapped in another layer",
                 l->name);
        return NULL;
    }
    *inner = (nn_inner){.layer = l,
                        .args = args,
                        .block = call->block,
                        .span = call->span,
                        .custom_name = l == &nn_layer_custom ? call->name : NULL,
                        .kept = kept_params(c, l, call)};
    return inner;
}

/* ---- names ---- */

/* "<base>_<k>" for the first k from *k on that is free; entered. NULL when memory is spent. */
static const char *numbered(nn_check *c, const char *base, int *k) {
    char text[NN_MAX_NAME];
    nn_check_number(c, base, k, text, sizeof text);
    const char *name = nn_arena_strdup(c->arena, text);
    if (name) nn_used_add(c, name, (nn_span){0});
    ++*k;
    return name;
}

/* A name that several layers have: each copy gets a number. */
static const char *copy_name(nn_check *c, const char *base, nn_copy k) {
    nn_used_add(c, base, (nn_span){0});
    struct nn_used_slot *s = nn_used_find(&c->used, base);
    if (!s) return NULL;
    int from = k.index < s->next ? s->next : (int)k.index + 1;
    const char *name = numbered(c, base, &from);
    s = nn_used_find(&c->used, base); /* the table may have moved */
    s->next = from;
    return name;
}

static const char *layer_name(nn_check *c, const nn_layer *l, const nn_bound *given, nn_copy k) {
    bool own = given->given && nn_check_is_name(given->s);
    const struct nn_used_slot *had = own ? nn_used_find(&c->used, given->s) : NULL;
    if (own && !k.repeated && !(had && (had->bound || had->next))) return given->s;
    if (own) return copy_name(c, given->s, k);
    if (l->role != NN_ROLE_LAYER && !nn_used_find(&c->used, l->base)) {
        nn_used_add(c, l->base, (nn_span){0});
        return l->base;
    }
    return numbered(c, l->base, &c->counters[nn_check_kind(l)]);
}

/* ---- rows ---- */

/* A new row, its index through ret; false when there are too many or memory is spent. */
static bool new_row(nn_check *c, int *ret) {
    nn_unit *u = c->unit;
    if (c->n_layers >= NN_MAX_LAYERS) { /* those of searched repetitions were not counted before */
        if (!c->full)
            NN_ERROR(c, "limit",
                     c->network->name_span.line ? c->network->name_span : c->network->span,
                     "the network has more than %d layers, repetitions counted", NN_MAX_LAYERS);
        c->full = true;
        return false;
    }
    if (u->n_layers == c->cap_layers) {
        int cap = c->cap_layers ? 2 * c->cap_layers : 16;
        nn_unit_layer *rows = nn_arena_resize(
            c->arena, u->layers, (size_t)c->cap_layers * sizeof *rows, (size_t)cap * sizeof *rows);
        if (!rows) nn_check_full(c);
        if (!rows) return false;
        u->layers = rows;
        c->cap_layers = cap;
    }
    *ret = u->n_layers++;
    return true;
}

static bool open_row(nn_check *c, const nn_bound_call *b, const char *name, const nn_flow *in,
                     int n, int index, int *ret) {
    int *inputs = n ? nn_check_alloc(c, (size_t)n * sizeof *inputs) : NULL;
    if ((n && !inputs) || !new_row(c, ret)) return false;
    for (int i = 0; i < n; i++) inputs[i] = in[i].row;
    nn_unit_layer *row = &c->unit->layers[*ret];
    *row = (nn_unit_layer){.name = name,
                           .layer = b->layer,
                           .type = b->custom_name ? b->custom_name : b->layer->name,
                           .span = b->call->span,
                           .index = index,
                           .parent = c->parent,
                           .inputs = inputs,
                           .n_inputs = n,
                           .flops = -1,
                           .activation_bytes = -1,
                           .first_node = c->graph->n_nodes,
                           .last_node = c->graph->n_nodes - 1,
                           .output_node = -1};
    if (n && in[0].node >= 0) row->in = c->graph->nodes[in[0].node].shape;
    return true;
}

/* What one node of a layer adds to the layer's cost; -1 stays -1. */
static void add_cost(int64_t *sum, int64_t more) {
    if (more < 0 || *sum < 0 || __builtin_add_overflow(*sum, more, sum)) *sum = -1;
}

static void close_row(nn_check *c, nn_unit_layer *row, int out) {
    const nn_graph *g = c->graph;
    row->out = g->nodes[out].shape;
    row->known = true;
    row->output_node = out;
    row->last_node = g->n_nodes - 1;
    row->flops = row->activation_bytes = 0;
    for (int i = row->first_node; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i];
        int64_t flops = nn_node_flops(g, n), bytes = nn_shape_elements(&n->shape);
        if (n->fold < 0 || (bytes > 0 && __builtin_mul_overflow(bytes, 4 * n->fold, &bytes)))
            bytes = -1;
        add_cost(&row->flops, flops);
        add_cost(&row->activation_bytes, bytes);
        row->params += nn_node_params(g, n, false);
        row->trainable += nn_node_params(g, n, true);
    }
}

/* ---- what a layer says ---- */

typedef struct listener {
    nn_check *c;
    const nn_call *call;
    bool mute;
} listener;

static nn_span before(nn_span at) {
    at.end = at.begin;
    at.end_line = at.line;
    at.end_col = at.col;
    return at;
}

static void flatten_fix(nn_check *c, nn_diag *d, nn_span at) {
    nn_diag_fix(c->diags, d, before(at), "Flatten() ", "insert Flatten() before this layer");
}

static void hear(void *arg, const nn_notice *n) {
    listener *l = arg;
    if (l->mute) return;
    nn_diag *d = nn_diag_add(l->c->diags, n->warning ? NN_SEV_WARNING : NN_SEV_NOTE, n->code, n->at,
                             "%s", n->message);
    if (n->hint) nn_diag_hint(l->c->diags, d, "%s", n->hint);
    if (n->flatten) flatten_fix(l->c, d, l->call->span);
}

/* What went wrong, how its input came about, and the rule. */
static void report(nn_check *c, const nn_bound_call *b, int row, nn_span at, const char *hint,
                   bool flatten, const nn_err *e) {
    if (!e->msg[0]) return; /* reported inside of its block */
    if (!hint && e->hint[0]) hint = e->hint;
    const char *code = e->code == NN_E_LIMIT         ? "limit"
                       : e->code == NN_E_UNSUPPORTED ? "not-supported"
                                                     : "shape";
    bool shape = strcmp(code, "shape") == 0;
    nn_diag *d =
        NN_ERROR(c, code, at, "%s%s%s", shape ? b->layer->name : "", shape ? ": " : "", e->msg);
    if (shape) nn_check_derive(c, d, row);
    if (hint) nn_diag_hint(c->diags, d, "%s", hint);
    if (flatten) flatten_fix(c, d, b->call->span);
}

/* ---- blocks ---- */

static nn_status run_block(const nn_layer_ctx *x, const void *block, int from, int *ret, int cap,
                           int *ret_n, nn_err *err) {
    nn_check *c = x->run_arg;
    nn_flow open[NN_MAX_INPUTS];
    if (cap > NN_MAX_INPUTS) cap = NN_MAX_INPUTS;
    int errors = c->diags->errors;
    int n = nn_check_block(c, block, (nn_flow){from, x->mask, c->parent, NULL}, open, cap);
    bool unknown = n == 0 || c->diags->errors != errors;
    for (int i = 0; i < n; i++) {
        ret[i] = open[i].node;
        unknown = unknown || open[i].node < 0;
    }
    if (unknown) return nn_fail(err, NN_E_DSL_ERROR, "%s", ""); /* said where it happened */
    *ret_n = n;
    return NN_OK;
}

/* ---- building ---- */

static bool all_known(const nn_flow *in, int n) {
    for (int i = 0; i < n; i++)
        if (in[i].node < 0) return false;
    return true;
}

/* The row and the block of a layer that cannot be built: what is inside is still checked. */
static nn_flow skip(nn_check *c, const nn_bound_call *b, int row, const char *name) {
    nn_flow open[NN_MAX_INPUTS];
    if (b->call->block) {
        int parent = c->parent;
        c->parent = row;
        nn_check_block(c, b->call->block, (nn_flow){-1, -1, row, NULL}, open, NN_MAX_INPUTS);
        c->parent = parent;
    }
    nn_flow out = {-1, -1, row, NULL};
    nn_used_bind(c, name, out);
    return out;
}

static nn_flow build(nn_check *c, const nn_bound_call *b, const nn_flow *in, int n, nn_copy k,
                     int row, const char *name) {
    int inputs[NN_MAX_INPUTS], mask = n ? in[0].mask : -1, out_mask = -1, out = -1;
    for (int i = 0; i < n; i++) inputs[i] = in[i].node;
    if (b->layer->passes_mask) out_mask = mask;
    const nn_train_spec *t = &c->graph->train;
    nn_span where = b->call->name_span;
    const char *hint = NULL;
    bool flatten = false;
    nn_shape shape = c->unit->layers[row].in;
    listener ear = {c, b->call, k.index > 0};
    nn_layer_ctx x = {.layer = b->layer,
                      .name = name,
                      .index = b->layer->role == NN_ROLE_INPUT ? -1 : c->n_layers,
                      .span = b->call->span,
                      .args = b->args,
                      .graph = c->graph,
                      .inputs = inputs,
                      .n_inputs = n,
                      .input = n ? inputs[0] : -1,
                      .shape = &shape,
                      .mask = mask,
                      .ret_mask = &out_mask,
                      .custom_name = b->custom_name,
                      .kept = kept_params(c, b->layer, b->call),
                      .block = b->call->block,
                      .run_block = run_block,
                      .run_arg = c,
                      .ret_at = &where,
                      .ret_hint = &hint,
                      .ret_flatten = &flatten,
                      .loss = t->loss,
                      .has_loss = t->has_loss,
                      .from_logits = t->from_logits,
                      .notice = hear,
                      .notice_arg = &ear};
    int parent = c->parent;
    nn_err e = {0};
    c->parent = row;
    nn_status st = b->layer->build(&x, &out, &e);
    c->parent = parent;
    if (st) report(c, b, row, where, hint, flatten, &e);
    if (st || out < 0) out = -1;
    if (!st && out < 0 && !c->unit->incomplete)
        c->unit->incomplete =
            nn_arena_printf(c->arena, "the shape behind %s at line %d is not known",
                            c->unit->layers[row].type, b->call->span.line);
    if (out >= 0) close_row(c, &c->unit->layers[row], out);
    if (b->layer == &nn_layer_custom && k.index == 0) nn_check_look(c, b->call->block);
    return (nn_flow){out, out_mask, row, NULL};
}

nn_flow nn_check_build(nn_check *c, const nn_bound_call *b, const nn_flow *inputs, int n, nn_copy k,
                       int index) {
    const char *name =
        layer_name(c, b->layer, &b->args[nn_layer_n_params(b->layer) + NN_COMMON_NAME], k);
    int row;
    if (!name || !open_row(c, b, name, inputs, n, index, &row)) return NN_NO_FLOW;
    c->n_layers += b->layer->role != NN_ROLE_INPUT;
    if (!all_known(inputs, n)) return skip(c, b, row, name);
    nn_copy outer = c->copy;
    c->copy = k;
    nn_flow out = build(c, b, inputs, n, k, row, name);
    c->copy = outer;
    nn_used_bind(c, name, out);
    return out;
}
