/* SPDX-License-Identifier: MIT */
/* findings.c - what is legal and probably not meant, or could be cheaper (language.md 13.2 and 21):
 * the table of rules, the list that they fill, and how it is told.
 *
 * Repeated layers are told once: a second finding of one code at one place is dropped. */
#include "compile/findings.h"

#include "compile/check.h"
#include "compile/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 1000 }; /* findings; more help nobody */

typedef struct rule_row {
    const char *code, *meaning, *example;
    nn_finding_kind kind;
    bool always;
    void (*run)(nn_finder *);
} rule_row;

static const rule_row rules[] = {
#define NN_FINDING(code, kind, when, rule, meaning, example)                                       \
    {code, meaning, example, NN_FINDING_##kind, NN_FINDING_##when, nn_rule_##rule},
#define NN_FINDING_ALWAYS true
#define NN_FINDING_ASKED  false
#include "compile/findings.def"
#undef NN_FINDING
#undef NN_FINDING_ALWAYS
#undef NN_FINDING_ASKED
};
enum { RULES = sizeof rules / sizeof rules[0] };

static const rule_row *row_of(const char *code) {
    const rule_row *r = rules;
    while (strcmp(r->code, code) != 0) r++;
    return r;
}

/* ---- adding ---- */

static bool told(const nn_finder *f, const rule_row *r, const nn_span *at) {
    for (const nn_finding *x = f->first; x; x = x->next)
        if (x->code == r->code && x->span.begin == at->begin && x->span.end == at->end) return true;
    return false;
}

__attribute__((format(printf, 2, 0))) static const char *print(nn_finder *f, const char *fmt,
                                                               va_list ap) {
    NN_BUF text = {0};
    nn_buf_vprintf(&text, fmt, ap);
    return nn_arena_strdup(f->arena, nn_buf_str(&text));
}

nn_finding *nn_finder_add(nn_finder *f, const char *code, int row, const char *fmt, ...) {
    static const nn_severity severities[] = {
        [NN_FINDING_WARNING] = NN_SEV_WARNING,
        [NN_FINDING_INFO] = NN_SEV_NOTE,
        [NN_FINDING_BOTTLENECK] = NN_SEV_WARNING,
        [NN_FINDING_OPTIMIZATION] = NN_SEV_NOTE,
    };
    const rule_row *r = row_of(code);
    nn_span at = row < 0 ? f->unit->network->span : f->unit->layers[row].span;
    if ((!r->always && !f->asked) || f->n == MOST || told(f, r, &at)) return NULL;
    nn_finding *x = NN_NEW(f->arena, nn_finding);
    if (!x) return NULL;
    va_list ap;
    va_start(ap, fmt);
    *x = (nn_finding){.code = r->code,
                      .kind = r->kind,
                      .severity = severities[r->kind],
                      .layer = row,
                      .span = at,
                      .message = print(f, fmt, ap),
                      .reason = r->meaning,
                      .always = r->always};
    va_end(ap);
    if (!x->message) return NULL;
    *f->tail = x;
    f->tail = &x->next;
    f->n++;
    return x;
}

void nn_finding_suggest(nn_finding *x, const char *what) {
    if (x) x->suggestion = what;
}

void nn_finding_fix(nn_finder *f, nn_finding *x, nn_span at, const char *text, const char *what) {
    nn_fix *fix = x ? NN_NEW(f->arena, nn_fix) : NULL;
    if (!fix) return;
    *fix = (nn_fix){at, text, what};
    x->fix = fix;
}

/* ---- what rules look things up in ---- */

bool nn_node_is_act(const nn_node *n, nn_act kind) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == kind;
}

bool nn_node_transparent(const nn_node *n) {
    return n->op == NN_OP_DROPOUT || n->op == NN_OP_NOISE || n->op == NN_OP_RESHAPE ||
           n->op == NN_OP_ACTIVITY_REG || nn_node_is_act(n, NN_ACT_LINEAR);
}

bool nn_node_is_output(const nn_graph *g, int node) {
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == node) return true;
    return false;
}

static bool index_nodes(nn_finder *f) {
    const nn_graph *g = f->unit->graph;
    size_t n = (size_t)g->n_nodes + 1;
    f->row = NN_NEW_N(f->arena, int, n);
    f->source = NN_NEW_N(f->arena, int, n);
    f->uses = NN_NEW_N(f->arena, int, n); /* zeroed */
    if (!f->row || !f->source || !f->uses) return false;
    for (int i = 0; i < g->n_nodes; i++) { /* inputs stand before what takes them */
        const nn_node *x = &g->nodes[i];
        f->row[i] = -1;
        f->source[i] = nn_node_transparent(x) ? f->source[x->inputs[0]] : i;
        for (int k = 0; k < x->n_inputs; k++) f->uses[x->inputs[k]]++;
    }
    for (int i = 0; i < g->n_outputs; i++) f->uses[g->outputs[i]]++;
    for (int i = 0; i < f->unit->n_layers; i++) { /* the rows of a block come after its layer's */
        const nn_unit_layer *l = &f->unit->layers[i];
        for (int k = l->first_node; k <= l->last_node; k++) f->row[k] = i;
    }
    return true;
}

static void run_rules(nn_finder *f) {
    f->tail = &f->first;
    if (!index_nodes(f)) return;
    for (int i = 0; i < RULES; i++) {
        bool first = true; /* several rows may be one rule's */
        for (int j = 0; j < i; j++) first = first && rules[j].run != rules[i].run;
        if (first && (rules[i].always || f->asked)) rules[i].run(f);
    }
}

/* ---- telling ---- */

/* Moves the findings into the order of their places; findings are few. */
static nn_finding *sorted(nn_finding *list) {
    nn_finding *first = NULL;
    while (list) {
        nn_finding *x = list, **at = &first;
        list = list->next;
        while (*at && (*at)->span.begin <= x->span.begin) at = &(*at)->next;
        x->next = *at;
        *at = x;
    }
    return first;
}

nn_finding *nn_findings(nn_arena *arena, const nn_unit *u) {
    nn_finder f = {.arena = arena, .unit = u, .asked = true};
    run_rules(&f);
    return sorted(f.first);
}

void nn_check_findings(nn_check *c) {
    nn_finder f = {.arena = c->arena, .unit = c->unit};
    run_rules(&f);
    for (const nn_finding *x = f.first; x; x = x->next) {
        const char *code = strcmp(x->code, "loss-mismatch") == 0 ? x->code : "advice";
        nn_diag *d = nn_diag_add(c->diags, x->severity, code, x->span, "%s", x->message);
        if (x->suggestion) nn_diag_hint(c->diags, d, "%s", x->suggestion);
        if (x->fix) nn_diag_fix(c->diags, d, x->fix->span, x->fix->text, x->fix->what);
    }
}

const char *nn_finding_at(unsigned i, nn_finding_kind *ret_kind, bool *ret_always,
                          const char **ret_meaning, const char **ret_example) {
    if (i >= RULES) return NULL;
    *ret_kind = rules[i].kind;
    *ret_always = rules[i].always;
    *ret_meaning = rules[i].meaning;
    *ret_example = rules[i].example;
    return rules[i].code;
}

static const char *kind_name(nn_finding_kind k) {
    static const char *const names[] = {"warning", "info", "bottleneck", "optimization"};
    return names[k];
}

nn_json *nn_finding_json(const nn_unit *u, const nn_finding *f) {
    nn_json *o = nn_json_new_object();
    bool cheaper = f->kind == NN_FINDING_OPTIMIZATION;
    nn_json_set(o, "type", nn_json_new_str(kind_name(f->kind)));
    nn_json_set(o, "code", nn_json_new_str(f->code));
    nn_json_set(o, "severity", nn_json_new_str(nn_severity_name(f->severity)));
    if (cheaper) nn_json_set(o, "description", nn_json_new_str(f->reason));
    nn_json_set(o, "message", nn_json_new_str(f->message));
    nn_json_set(o, "reason", nn_json_new_str(f->reason));
    nn_json_set(o, "suggestion", nn_json_new_str(f->suggestion));
    if (cheaper) nn_json_set(o, "potential_improvement", nn_json_new_str(f->improvement));
    nn_json_set(o, "layer", nn_json_new_str(f->layer < 0 ? NULL : u->layers[f->layer].type));
    nn_json_set(o, "layer_index",
                f->layer < 0 ? nn_json_new_null() : nn_json_new_int(u->layers[f->layer].index));
    nn_json_set(o, "line", nn_json_new_int(f->span.line));
    nn_json_set(o, "column", nn_json_new_int(f->span.col));
    return o;
}
