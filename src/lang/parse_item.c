/* SPDX-License-Identifier: MIT */
/* parse_item.c - layer calls, branches, groups, and the bodies that hold them. */
#include "lang/parser.h"

#include <string.h>
#include <strings.h>

/* ---- calls ---- */

/* After '{': the items up to '}'. */
static bool block(nn_parser *p, nn_span open, nn_item **ret) {
    nn_body b = {.items = ret, .open = open, .close = '}'};
    if (nn_p_enter(p)) nn_p_body(p, &b);
    nn_p_leave(p);
    return !p->stop;
}

/* After '@'. cuda:0 without quotes is read as meant, and reported. */
static nn_value *device(nn_parser *p) {
    nn_value *v = nn_p_scalar(p, "a device such as \"cpu\" or \"cuda:0\"");
    if (!v || v->kind != NN_V_NAME || p->tok[0].kind != ':' || p->tok[1].kind != NN_T_INT) return v;
    nn_span span = nn_p_join(v->span, p->tok[1].span);
    const char *name = nn_arena_printf(p->arena, "%s:%s", v->text, p->tok[1].text);
    nn_diag *g = nn_p_error(p, "bad-device", span, "a device with an index is written in quotes");
    if (name) {
        const char *quoted = nn_arena_printf(p->arena, "\"%s\"", name);
        nn_diag_hint(p->diags, g, "write \"%s\"", name);
        if (quoted) nn_p_fix(p, g, span, quoted, "put it into quotes");
        v->text = name;
    }
    v->span = span;
    nn_p_advance(p);
    nn_p_advance(p);
    return v;
}

static bool call_args(nn_parser *p, nn_call *c) {
    nn_span open = p->tok[0].span;
    if (!nn_p_accept(p, '(')) return true;
    c->parens = true;
    return nn_p_args(p, open, &c->args, &c->n_args);
}

static bool call_block(nn_parser *p, nn_call *c) {
    nn_span open = p->tok[0].span;
    if (!nn_p_accept(p, '{')) return true;
    c->has_block = true;
    return block(p, open, &c->block);
}

static void missing_parentheses(nn_parser *p, nn_call *c) {
    if (c->parens || c->has_block || nn_p_macro_anywhere(p, c->name)) return;
    nn_diag *g =
        nn_p_error(p, "missing-parentheses", c->name_span,
                   "expected '(' after '%s': a layer is written with parentheses", c->name);
    nn_span end = c->name_span;
    end.line = end.end_line, end.col = end.end_col, end.begin = end.end;
    nn_diag_hint(p->diags, g, "write %s(...); only a macro may go without", c->name);
    nn_p_fix(p, g, end, "()", "add parentheses");
}

nn_call *nn_p_call(nn_parser *p) {
    nn_call *c = NN_P_NEW(p, nn_call);
    if (!c) return NULL;
    c->name = p->tok[0].text;
    c->name_span = p->tok[0].span;
    nn_p_advance(p);
    if (!call_args(p, c)) return NULL;
    if (nn_p_accept(p, '@') && !(c->device = device(p))) return NULL;
    if (!call_block(p, c)) return NULL;
    c->span = nn_p_join(c->name_span, p->prev.span);
    return c;
}

nn_value *nn_p_repeat(nn_parser *p) {
    bool name = p->tok[0].kind == NN_T_NAME && !nn_p_statement_ahead(p);
    if (p->tok[0].kind == NN_T_INT || p->tok[0].kind == '$' || name || nn_p_hpo_ahead(p))
        return nn_p_value(p);
    nn_value *v = nn_p_value_new(p, NN_V_ERROR, p->tok[0].span);
    nn_p_unexpected(p, "bad-repeat", "the number of repetitions after '*'");
    if (p->tok[0].kind == NN_T_FLOAT || p->tok[0].kind == NN_T_STRING) nn_p_advance(p);
    return v;
}

/* ---- items ---- */

static nn_item *item_new(nn_parser *p, nn_item_kind kind) {
    nn_item *it = NN_P_NEW(p, nn_item);
    if (it) it->kind = kind;
    return it;
}

/* '*' and a count, and the span of the whole. */
static nn_item *item_end(nn_parser *p, nn_item *it, nn_span begin) {
    if (it && nn_p_accept(p, '*') && !(it->repeat = nn_p_repeat(p))) return NULL;
    if (it) it->span = nn_p_join(begin, p->prev.span);
    return p->stop ? NULL : it;
}

nn_item *nn_p_group(nn_parser *p, nn_span open, nn_item *first) {
    nn_item *it = item_new(p, NN_ITEM_GROUP);
    if (!it) return NULL;
    it->items = first;
    nn_body b = {.items = first ? &first->next : &it->items, .open = open, .close = ')'};
    if (nn_p_enter(p)) nn_p_body(p, &b);
    nn_p_leave(p);
    return item_end(p, it, open);
}

nn_item *nn_p_item(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    nn_item *it = NULL;
    if (nn_p_accept(p, '(')) return nn_p_group(p, begin, NULL);
    if (nn_p_hpo_ahead(p)) {
        if ((it = item_new(p, NN_ITEM_HPO)) && !(it->hpo = nn_p_value(p))) return NULL;
    } else if ((it = item_new(p, NN_ITEM_CALL))) {
        if (!(it->call = nn_p_call(p))) return NULL;
        missing_parentheses(p, it->call);
    }
    return item_end(p, it, begin);
}

nn_item *nn_p_branch(nn_parser *p, const nn_token *name, nn_span open) {
    nn_item *it = item_new(p, NN_ITEM_BRANCH);
    if (!it) return NULL;
    it->name = name->text;
    if (!block(p, open, &it->items)) return NULL;
    return item_end(p, it, name->span);
}

nn_item *nn_p_block_item(nn_parser *p, const nn_token *name, nn_span open) {
    nn_item *it = item_new(p, NN_ITEM_CALL);
    if (!it || !(it->call = NN_P_NEW(p, nn_call))) return NULL;
    it->call->name = name->text;
    it->call->name_span = name->span;
    it->call->has_block = true;
    if (!block(p, open, &it->call->block)) return NULL;
    it->call->span = nn_p_join(name->span, p->prev.span);
    return item_end(p, it, name->span);
}

/* ---- bodies ---- */

static void note_comma(nn_parser *p, const nn_body *b) {
    if (p->comma_noted || b->bracket.line || b->close == ')' || p->quiet) return;
    p->comma_noted = true;
    nn_diag_add(p->diags, NN_SEV_NOTE, "comma-separator", p->tok[0].span,
                "a comma between statements is not needed");
}

static const char *expected_in(const nn_body *b) {
    if (b->close == ')') return "a layer or ')'";
    if (b->bracket.line) return "a layer or ']'";
    return b->net ? "a layer, a section or '}'" : "a layer or '}'";
}

/* A closer that is not the body's. False: the body has to end here. */
static bool foreign_closer(nn_parser *p, nn_body *b) {
    int k = p->tok[0].kind;
    if (k == '}') {
        nn_p_unclosed(p, b->open, expected_in(b));
        return false;
    }
    if (k == ']' && b->bracket.line)
        b->bracket = (nn_span){0};
    else if (p->owed && p->owed_line == p->tok[0].span.line)
        p->owed--;
    else
        nn_p_unexpected(p, "unexpected", expected_in(b));
    nn_p_advance(p);
    return true;
}

static bool is_network_word(const nn_token *t) {
    return t->kind == NN_T_NAME &&
           (!strcasecmp(t->text, "network") || !strcasecmp(t->text, "model"));
}

/* "network N" at the beginning of a line can only follow a brace that was never closed. */
static bool next_network(const nn_parser *p) {
    return p->tok[0].first && is_network_word(&p->tok[0]) &&
           (p->tok[1].kind == NN_T_NAME || p->tok[1].kind == NN_T_STRING) && !p->tok[1].first;
}

/* What is not a closer. False: the body has to end here. */
static bool one_statement(nn_parser *p, nn_body *b) {
    int k = p->tok[0].kind;
    if (k == NN_T_EOF || next_network(p)) {
        nn_p_unclosed(p, b->bracket.line ? b->bracket : b->open, expected_in(b));
        if (b->bracket.line) nn_p_unclosed(p, b->open, expected_in(b));
        return false;
    }
    if (k == ',') note_comma(p, b);
    if (k == ',' || k == ';')
        nn_p_advance(p);
    else if (k == NN_T_NAME)
        nn_p_statement(p, b);
    else if (k == '(') {
        nn_item *it = nn_p_item(p);
        if (!it) return false;
        *b->items = it;
        b->items = &it->next;
    } else {
        nn_p_unexpected(p, "unexpected", expected_in(b));
        nn_p_sync(p);
    }
    return true;
}

void nn_p_body(nn_parser *p, nn_body *b) {
    for (;;) {
        int k = p->tok[0].kind;
        if (k == b->close) {
            if (b->bracket.line) nn_p_unclosed(p, b->bracket, expected_in(b));
            nn_p_advance(p);
            return;
        }
        bool more = k == ')' || k == ']' || k == '}' ? foreign_closer(p, b) : one_statement(p, b);
        if (!more) return;
    }
}
