/* SPDX-License-Identifier: MIT */
/* compile.c - the order of the work: parse, pick the network, sections, layers, advice. Sections
 * come first because Output's default activation depends on the loss. */
#include "compile/check.h"

#include <stdio.h>
#include <string.h>

void *nn_check_alloc(nn_check *c, size_t n) {
    void *p = c->full ? NULL : nn_arena_alloc(c->arena, n);
    if (!p && !c->full) {
        c->full = true;
        NN_ERROR(c, "limit", c->network->span,
                 "the network is larger than the memory allowed for it");
    }
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

nn_diag *nn_check_unsupported(nn_check *c, nn_span span, const char *what) {
    return NN_ERROR(c, "not-supported", span, "%s is not supported yet", what);
}

/* Constructs of the language that nothing runs yet, once each where they are defined. */
static void refuse_constructs(nn_check *c) {
    for (const nn_define *d = c->program->defines; d; d = d->next)
        nn_check_unsupported(c, d->name_span, "a macro (define)");
    for (const nn_define *d = c->network->defines; d; d = d->next)
        nn_check_unsupported(c, d->name_span, "a macro (define)");
    for (const nn_custom *x = c->program->customs; x; x = x->next)
        nn_check_unsupported(c, x->name_span, "a custom layer");
    for (const nn_network *n = c->network->next; n; n = n->next)
        nn_check_unsupported(c, n->name_span.line ? n->name_span : n->span,
                             "more than one network in a program");
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
    nn_status st = nn_graph_add_output(c->graph, c->at, &e);
    if (!st) st = nn_graph_check(c->graph, &e);
    if (st) {
        NN_ERROR(c, "shape", c->network->span, "%s", e.msg);
        return;
    }
    derive_loss(c);
    nn_check_advice(c);
    add_up(c->unit);
}

static bool start(nn_check *c, nn_program *tree) {
    unsigned kinds = 0;
    while (nn_layer_at(kinds)) kinds++;
    c->unit = nn_check_alloc(c, sizeof *c->unit);
    c->counters = nn_check_alloc(c, kinds * sizeof *c->counters);
    c->defaults = nn_check_alloc(c, kinds * sizeof *c->defaults);
    c->graph = c->full ? NULL : nn_graph_new(c->arena, c->network->name);
    if (!c->graph) return false;
    c->unit->tree = tree;
    c->unit->graph = c->graph;
    return true;
}

static void check(nn_check *c, nn_program *tree) {
    if (!start(c, tree)) return;
    refuse_constructs(c);
    check_network_name(c);
    nn_check_sections(c);
    nn_check_items(c);
    if (!c->lost && !c->full && c->diags->errors == 0) finish(c);
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

nn_status nn_compile(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                     nn_diags *diags, nn_unit **ret, nn_err *err) {
    nn_program *tree = nn_parse(arena, src, NN_START_PROGRAM, diags);
    nn_check c = {.arena = arena,
                  .source = src,
                  .diags = diags,
                  .program = tree,
                  .network = tree->networks,
                  .at = -1};
    if (opt) c.opt = *opt;
    const nn_span top = {.line = 1, .col = 1, .end_line = 1, .end_col = 1};
    if (c.network)
        check(&c, tree);
    else if (diags->errors == 0)
        NN_ERROR(&c, "missing-network", top, "the program has no network");
    if (diags->errors || !c.unit) return first_error(diags, err);
    *ret = c.unit;
    return NN_OK;
}
