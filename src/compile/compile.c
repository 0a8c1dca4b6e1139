/* SPDX-License-Identifier: MIT */
/* compile.c - the order of the work: parse, expand macros, pick the network, sections, layers,
 * findings. Sections come first because Output's default activation depends on the loss. */
#include "compile/check.h"
#include "compile/sections.h"
#include "compile/space.h"

#include <stdio.h>
#include <string.h>

void nn_check_full(nn_check *c) {
    if (c->full) return;
    c->full = true;
    NN_ERROR(c, "limit", c->network->span, "the network is larger than the memory allowed for it");
}

void *nn_check_alloc(nn_check *c, size_t n) {
    void *p = c->full ? NULL : nn_arena_alloc(c->arena, n);
    if (!p) nn_check_full(c);
    return p;
}

void nn_check_suggest(nn_check *c, nn_diag *d, nn_span span, const char *word,
                      const char *const *names) {
    const char *near = nn_nearest(word, names);
    if (near) {
        nn_diag_hint(c->diags, d, "did you mean '%s'?", near);
        const char *text = nn_arena_strdup(c->arena, near);
        if (text) nn_diag_fix(c->diags, d, span, text, "correct the name");
        return;
    }
    char list[512];
    size_t at = 0;
    list[0] = 0;
    for (; *names && at < sizeof list; names++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", *names);
    if (list[0]) nn_diag_hint(c->diags, d, "there are: %s", list);
}

static void check_network_name(nn_check *c) {
    const char *name = c->network->name;
    bool printable = strlen(name) <= NN_MAX_NAME;
    for (const char *p = name; *p; p++) printable = printable && (unsigned char)*p >= ' ';
    if (!printable)
        NN_ERROR(c, "out-of-range", c->network->name_span,
                 "a network's name is at most %d printable characters", NN_MAX_NAME);
}

static void add_up(nn_unit *u) {
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        if (l->parent >= 0) continue; /* in its parent's row already */
        u->params += l->params;
        u->trainable += l->trainable;
        if (l->flops < 0 || u->flops < 0 || __builtin_add_overflow(u->flops, l->flops, &u->flops))
            u->flops = -1;
    }
}

/* The loss that training will use when the program names none (language.md 17). */
static void derive_loss(nn_check *c) {
    nn_train_spec *t = &c->graph->train;
    if (t->has_loss) return;
    t->loss = nn_train_default_loss(c->graph);
    if (t->has_training)
        nn_diag_add(c->diags, NN_SEV_NOTE, "default", c->network->span,
                    "no loss is given; training uses %s, which suits the output",
                    nn_loss_name(t->loss));
}

static void finish(nn_check *c) {
    nn_err e;
    add_up(c->unit);
    if (c->unit->incomplete) {
        nn_check_findings(c);
        return;
    }
    if (nn_graph_check(c->graph, &e)) {
        NN_ERROR(c, "shape", c->network->span, "%s", e.msg);
        return;
    }
    derive_loss(c);
    nn_check_class_weight(c);
    nn_check_findings(c);
}

static bool start(nn_check *c, nn_program *tree) {
    unsigned kinds = 1; /* the custom layer's comes last */
    while (nn_layer_at(kinds - 1)) kinds++;
    c->unit = nn_check_alloc(c, sizeof *c->unit);
    c->scratch = nn_arena_new(c->arena, "check", 0);
    c->counters = NN_NEW_N(c->scratch, int, kinds);
    c->defaults = NN_NEW_N(c->scratch, nn_bound *, kinds);
    nn_space *space = nn_check_alloc(c, sizeof *space);
    c->full = c->full || !c->counters || !c->defaults;
    c->graph = c->full ? NULL : nn_graph_new(c->arena, c->network->name);
    if (!c->graph) return false;
    *c->unit = (nn_unit){.tree = tree,
                         .graph = c->graph,
                         .source = c->source,
                         .network = c->network,
                         .space = space,
                         .auto_flatten = c->opt.auto_flatten};
    return true;
}

/* One program, one network: what else it holds could only be lost. */
static void check_single(nn_check *c) {
    for (const nn_network *n = c->network->next; n; n = n->next) {
        nn_diag *d = NN_ERROR(c, "not-supported", n->name_span.line ? n->name_span : n->span,
                              "a file holds one network; '%s' is another", n->name);
        nn_diag_hint(c->diags, d, "put it into a file of its own");
    }
}

/* Gives back what only the checking needed. */
static void tidy(nn_check *c) {
    nn_unit *u = c->unit;
    size_t row = sizeof *u->layers;
    nn_unit_layer *rows = nn_arena_resize(c->arena, u->layers, (size_t)c->cap_layers * row,
                                          (size_t)u->n_layers * row);
    if (rows && u->n_layers) u->layers = rows;
    nn_graph_trim(c->graph);
    nn_arena_free(c->scratch);
    nn_buf_done(&c->path);
}

static void check(nn_check *c, nn_program *tree) {
    if (!start(c, tree)) return;
    check_single(c);
    check_network_name(c);
    nn_check_sections(c);
    nn_check_items(c);
    if (!c->full) nn_check_settings(c);
    nn_check_search_method(c);
    if (!c->full && c->diags->errors == 0) finish(c);
    tidy(c);
}

/* The first error of the list, by place, as an error record. */
static nn_status first_error(const nn_diags *diags, nn_err *err) {
    const nn_diag *first = NULL;
    for (const nn_diag *d = diags->first; d; d = d->next) {
        if (d->severity != NN_SEV_ERROR) continue;
        bool before = !first || d->span.line < first->span.line ||
                      (d->span.line == first->span.line && d->span.col < first->span.col);
        if (before) first = d;
    }
    nn_status st =
        nn_fail(err, NN_E_DSL_ERROR, "%s", first ? first->message : "the program is wrong");
    if (err && first) {
        err->line = first->span.line;
        err->col = first->span.col;
        if (first->hint) nn_err_hint(err, st, "%s", first->hint);
    }
    return st;
}

static bool is_layer(const char *name) {
    return nn_layer_find(name) != NULL;
}

nn_status nn_compile_tree(nn_arena *arena, const nn_source *src, nn_program *tree,
                          const nn_compile_options *opt, nn_diags *diags, nn_unit **ret,
                          nn_err *err) {
    nn_check c = {.arena = arena,
                  .source = src,
                  .diags = diags,
                  .program = tree,
                  .point = -1,
                  .candidate = -1};
    const nn_span top = {.line = 1, .col = 1, .end_line = 1, .end_col = 1};
    if (opt) c.opt = *opt;
    nn_expand(arena, tree, is_layer, NN_MAX_LAYERS, diags);
    c.network = tree->networks;
    if (c.network)
        check(&c, tree);
    else if (diags->errors == 0)
        NN_ERROR(&c, "missing-network", top, "the program has no network");
    if (diags->errors || !c.unit) return first_error(diags, err);
    *ret = c.unit;
    return NN_OK;
}

nn_status nn_compile(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                     nn_diags *diags, nn_unit **ret, nn_err *err) {
    nn_program *tree = nn_parse(arena, src, NN_START_PROGRAM, diags);
    return nn_compile_tree(arena, src, tree, opt, diags, ret, err);
}

nn_status nn_unit_whole(const nn_unit *u, nn_err *err) {
    if (!u->incomplete) return NN_OK;
    nn_status st = nn_fail(err, NN_E_UNSUPPORTED, "network '%s' cannot run: %s", u->graph->name,
                           u->incomplete);
    return nn_err_hint(err, st,
                       "give the layer its output_shape, or declare it: custom Name(…) -> (shape)");
}

static bool is_open(const nn_search_point *p) {
    return p->active && !p->set;
}

nn_status nn_unit_runnable(const nn_unit *u, nn_err *err) {
    nn_status st = nn_unit_whole(u, err);
    for (int i = 0; !st && i < u->space->n; i++) {
        const nn_search_point *p = &u->space->points[i];
        if (!is_open(p)) continue;
        st = nn_fail(err, NN_E_UNSUPPORTED, "network '%s' is a search space: '%s' has no value yet",
                     u->graph->name, p->path);
        return nn_err_hint(
            err, st, "give each point one: --set %s=…; `neural search-space` lists them", p->alias);
    }
    return st;
}

void nn_unit_defaults(const nn_unit *u, nn_diags *diags) {
    enum { MOST = 20 };
    int told = 0;
    for (int i = 0; i < u->space->n && told < MOST; i++) {
        const nn_search_point *p = &u->space->points[i];
        if (!is_open(p)) continue;
        char value[64];
        nn_diag *d = nn_diag_add(diags, NN_SEV_WARNING, "default", p->value->span,
                                 "'%s' has no value yet: the code is written with %s", p->path,
                                 nn_check_show(p->chosen, value, sizeof value));
        nn_diag_hint(diags, d, "--set %s=… chooses another", p->alias);
        told++;
    }
}
