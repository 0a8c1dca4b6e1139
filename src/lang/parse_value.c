/* SPDX-License-Identifier: MIT */
/* parse_value.c - values: scalars, tuples, lists, dictionaries, HPO expressions, arguments.
 * A bare word is a value; whether a word, a number or a call is legal somewhere is the checker's
 * business, but for the places where the grammar itself wants a shape or a number. */
#include "lang/parser.h"

#include <string.h>
#include <strings.h>

nn_value *nn_p_value_new(nn_parser *p, nn_value_kind kind, nn_span span) {
    nn_value *v = NN_P_NEW(p, nn_value);
    if (v) {
        v->kind = kind;
        v->span = span;
    }
    return v;
}

bool nn_p_value_ahead(const nn_parser *p) {
    switch (p->tok[0].kind) {
    case NN_T_NAME:
    case NN_T_INT:
    case NN_T_FLOAT:
    case NN_T_STRING:
    case '(':
    case '[':
    case '{':
    case '$':
        return true;
    default:
        return false;
    }
}

/* ---- scalars ---- */

static nn_value *number(nn_parser *p) {
    const nn_token *t = &p->tok[0];
    nn_value_kind kind = t->kind == NN_T_INT ? NN_V_INT : NN_V_FLOAT;
    nn_value *v = nn_p_value_new(p, t->damaged ? NN_V_ERROR : kind, t->span);
    if (!v) return NULL;
    v->text = t->text;
    v->i = t->i;
    v->f = t->f;
    nn_p_advance(p);
    return v;
}

static nn_value *word(nn_parser *p) {
    const nn_token *t = &p->tok[0];
    bool yes = !strcasecmp(t->text, "true"), no = !strcasecmp(t->text, "false");
    bool none = !strcasecmp(t->text, "none") || !strcasecmp(t->text, "null");
    nn_value *v = nn_p_value_new(p, yes || no ? NN_V_BOOL : none ? NN_V_NONE : NN_V_NAME, t->span);
    if (!v) return NULL;
    v->i = yes;
    v->text = t->text;
    nn_p_advance(p);
    return v;
}

static nn_value *string(nn_parser *p) {
    bool damaged = p->tok[0].damaged;
    nn_value *v = nn_p_value_new(p, damaged ? NN_V_ERROR : NN_V_STRING, p->tok[0].span);
    if (!v) return NULL;
    v->text = p->tok[0].text;
    nn_p_advance(p);
    return v;
}

/* $name */
static nn_value *parameter(nn_parser *p) {
    nn_span dollar = p->tok[0].span;
    nn_p_advance(p);
    if (p->tok[0].kind != NN_T_NAME) {
        nn_p_unexpected(p, "missing-name", "the name of a macro parameter after '$'");
        return nn_p_value_new(p, NN_V_ERROR, dollar);
    }
    nn_value *v = nn_p_value_new(p, NN_V_NAME, nn_p_join(dollar, p->tok[0].span));
    if (!v) return NULL;
    v->text = p->tok[0].text;
    v->is_param = true;
    nn_p_advance(p);
    return v;
}

/* What is wrong where a value should be; tok[0] stays. */
static nn_value *no_value(nn_parser *p, const char *expected) {
    nn_p_unexpected(p, "missing-value", expected);
    return nn_p_value_new(p, NN_V_ERROR, nn_p_after(p));
}

nn_value *nn_p_scalar(nn_parser *p, const char *expected) {
    switch (p->tok[0].kind) {
    case NN_T_NAME:
        return word(p);
    case NN_T_STRING:
        return string(p);
    case NN_T_INT:
    case NN_T_FLOAT:
        return number(p);
    case '$':
        return parameter(p);
    default:
        return no_value(p, expected);
    }
}

/* ---- lists and arguments ---- */

/* After '(' or '[' and perhaps a first value. */
static nn_value *sequence(nn_parser *p, nn_value_kind kind, int close, nn_span open,
                          nn_value *first) {
    nn_value *v = nn_p_value_new(p, kind, open);
    if (!v) return NULL;
    v->items = first;
    v->count = first != NULL;
    for (nn_value **tail = first ? &first->next : &v->items; nn_p_more(p, open, close, v->count);
         v->count++) {
        nn_value *e = nn_p_value(p);
        if (!e) return NULL;
        *tail = e;
        tail = &e->next;
    }
    v->span = nn_p_join(open, p->prev.span);
    return v;
}

/* [ NAME ("=" | ":") ] value */
static nn_arg *argument(nn_parser *p) {
    nn_arg *a = NN_P_NEW(p, nn_arg);
    if (!a) return NULL;
    nn_span begin = p->tok[0].span;
    if (p->tok[0].kind == NN_T_NAME && (p->tok[1].kind == '=' || p->tok[1].kind == ':')) {
        a->name = p->tok[0].text;
        a->name_span = begin;
        nn_p_advance(p);
        nn_p_advance(p);
    }
    a->value = nn_p_value(p);
    if (!a->value) return NULL;
    a->span = nn_p_join(begin, p->prev.span);
    return a;
}

bool nn_p_args(nn_parser *p, nn_span open, nn_arg **ret_first, int *ret_n) {
    int n = 0;
    for (nn_arg **tail = ret_first; nn_p_more(p, open, ')', n); n++) {
        nn_arg *a = argument(p);
        if (!a) return false;
        *tail = a;
        tail = &a->next;
    }
    *ret_n = n;
    return !p->stop;
}

/* ---- entries of configurations and dictionaries ---- */

/* The name of an entry is a word; in a dictionary a whole number with a colon too: {0: 1.5}. */
static bool number_entry_ahead(const nn_parser *p) {
    return p->numbers_name && p->tok[0].kind == NN_T_INT && p->tok[1].kind == ':';
}

/* A value, and not the name of an entry. */
static bool element_ahead(const nn_parser *p) {
    int next = p->tok[1].kind;
    return nn_p_value_ahead(p) && !number_entry_ahead(p) &&
           !(p->tok[0].kind == NN_T_NAME && (next == ':' || next == '=' || next == '{'));
}

nn_value *nn_p_more_values(nn_parser *p, nn_value *first, bool numbers) {
    nn_value *list = NULL, **tail = &first->next;
    while (p->tok[0].kind == ',') {
        if (numbers && p->tok[1].kind != NN_T_INT && p->tok[1].kind != NN_T_FLOAT) break;
        nn_p_advance(p);
        if (!element_ahead(p)) break;
        if (!list && !(list = nn_p_value_new(p, NN_V_LIST, first->span))) return NULL;
        nn_value *v = nn_p_value(p);
        if (!v) return NULL;
        *tail = v;
        tail = &v->next;
        list->count++;
    }
    if (!list) return first;
    list->items = first;
    list->count++;
    list->span = nn_p_join(first->span, p->prev.span);
    return list;
}

static void entry_colon(nn_parser *p, const nn_token *name) {
    if (p->tok[0].kind == ':' || p->tok[0].kind == '=') {
        nn_p_advance(p);
        return;
    }
    nn_diag *g =
        nn_p_error(p, "missing-colon", nn_p_after(p), "missing ':' after '%s'", name->text);
    nn_p_fix(p, g, nn_p_after(p), ":", "insert ':'");
}

static nn_arg *entry(nn_parser *p, bool shapes) {
    nn_token name = p->tok[0];
    nn_arg *a = NN_P_NEW(p, nn_arg);
    if (!a) return NULL;
    nn_p_advance(p);
    entry_colon(p, &name);
    nn_value *v = shapes ? nn_p_shape(p) : nn_p_value(p);
    if (!v) return NULL;
    a->span = nn_p_join(name.span, p->prev.span);
    if (!shapes && !(v = nn_p_more_values(p, v, false))) return NULL;
    if (v->kind == NN_V_STRING && (!strcmp(name.text, "loss") || !strcmp(name.text, "optimizer")))
        nn_p_decode_quoted(p, v);
    a->name = name.text;
    a->name_span = name.span;
    a->value = v;
    return a;
}

bool nn_p_entries(nn_parser *p, nn_span open, bool shapes, nn_arg **ret_first, int *ret_n) {
    nn_arg **tail = ret_first;
    for (*ret_n = 0;;) {
        int k = p->tok[0].kind;
        if (k == '}') break;
        if (k == NN_T_EOF) {
            nn_p_unclosed(p, open, "'}'");
            return !p->stop;
        }
        if (k == ',' || k == ';') {
            nn_p_advance(p);
            continue;
        }
        if (k == ')' || k == ']') {
            nn_p_unexpected(p, "unexpected", "an entry 'name: value' or '}'");
            nn_p_advance(p);
            continue;
        }
        if (k != NN_T_NAME && !number_entry_ahead(p)) {
            nn_p_unexpected(p, "unexpected", "an entry 'name: value' or '}'");
            nn_p_sync(p);
            continue;
        }
        nn_arg *a = entry(p, shapes);
        if (!a) return false;
        *tail = a;
        tail = &a->next;
        ++*ret_n;
    }
    nn_p_advance(p);
    return true;
}

static nn_value *dict(nn_parser *p) {
    nn_span open = p->tok[0].span;
    nn_p_advance(p);
    nn_value *v = nn_p_value_new(p, NN_V_DICT, open);
    bool outer = p->numbers_name;
    p->numbers_name = true;
    bool read = v && nn_p_entries(p, open, false, &v->args, &v->count);
    p->numbers_name = outer;
    if (!read) return NULL;
    v->span = nn_p_join(open, p->prev.span);
    return v;
}

/* ---- HPO ---- */

bool nn_p_hpo_ahead(const nn_parser *p) {
    return p->tok[0].kind == NN_T_NAME && p->tok[1].kind == '(' && !strcmp(p->tok[0].text, "HPO");
}

static nn_value *item_value(nn_parser *p, nn_item *it) {
    nn_value *v = it ? nn_p_value_new(p, NN_V_ITEM, it->span) : NULL;
    if (v) v->item = it;
    return v;
}

/* What shows, after '(' in choice(), that a group begins and no tuple. */
static bool group_ahead(nn_parser *p) {
    int next = p->tok[1].kind;
    if (p->tok[0].kind != NN_T_NAME || nn_p_hpo_ahead(p)) return false;
    return nn_p_statement_ahead(p) || next == '*' || nn_p_macro_anywhere(p, p->tok[0].text);
}

/* At '(': ((A() B()) * 2 C()) is a group, ((3, 3), (5, 5)) a tuple; the innermost beginning tells.
 */
static nn_value *tuple_or_group(nn_parser *p) {
    nn_span open = p->tok[0].span;
    nn_value *first = NULL;
    nn_p_advance(p);
    if (p->tok[0].kind == '(') {
        first = nn_p_enter(p) ? tuple_or_group(p) : NULL;
        nn_p_leave(p);
        if (!first) return NULL;
    }
    if (first ? first->kind == NN_V_ITEM : group_ahead(p))
        return item_value(p, nn_p_group(p, open, first ? first->item : NULL));
    return sequence(p, NN_V_TUPLE, ')', open, first);
}

/* At NAME ':': in choice() this can only be a branch. */
static nn_value *branch_value(nn_parser *p) {
    nn_token name = p->tok[0];
    nn_p_advance(p);
    nn_p_advance(p);
    nn_span open = p->tok[0].span;
    if (nn_p_accept(p, '{')) return item_value(p, nn_p_branch(p, &name, open));
    nn_p_unexpected(p, "bad-hpo", "'{' and the layers of a branch");
    p->quiet++;
    nn_value *v = nn_p_value_ahead(p) ? nn_p_value(p) : nn_p_value_new(p, NN_V_ERROR, name.span);
    p->quiet--;
    if (v) v->kind = NN_V_ERROR;
    return v;
}

/* A value, or what may stand in a list of layers. */
static nn_value *candidate(nn_parser *p) {
    if (p->tok[0].kind == '(') return tuple_or_group(p);
    if (p->tok[0].kind == NN_T_NAME && p->tok[1].kind == ':') return branch_value(p);
    nn_value *v = nn_p_value(p);
    bool layer = v && (v->kind == NN_V_CALL || v->kind == NN_V_NAME);
    if (layer && nn_p_accept(p, '*') && !(v->repeat = nn_p_repeat(p))) return NULL;
    return v;
}

static bool choice(nn_parser *p, nn_hpo *h, nn_span open) {
    int n = 0;
    for (nn_value **tail = &h->values; nn_p_more(p, open, ')', n); n++) {
        nn_value *v = candidate(p);
        if (!v) return false;
        *tail = v;
        tail = &v->next;
    }
    if (p->trailing.line) {
        nn_span comma = p->trailing;
        nn_diag *g =
            nn_p_error(p, "trailing-comma", comma, "a candidate of choice() is missing after ','");
        nn_p_fix(p, g, comma, "", "remove the comma");
    }
    if (!n)
        nn_p_error(p, "bad-hpo", nn_p_join(open, p->prev.span),
                   "choice() needs at least one value");
    return !p->stop;
}

/* A number, or what will be one when the macro is called. */
static bool bound(const nn_parser *p, const nn_value *v) {
    if (v->kind == NN_V_INT || v->kind == NN_V_FLOAT || v->kind == NN_V_ERROR || v->is_param)
        return true;
    const nn_arg *a = v->kind == NN_V_NAME ? p->params : NULL;
    while (a && strcmp(a->name, v->text)) a = a->next;
    return a;
}

/* low, high [, [step=] step]: numbers, by place or by name. */
static bool range(nn_parser *p, nn_hpo *h, nn_span open, const char *name) {
    nn_arg *args = NULL;
    int n = 0, max = h->kind == NN_HPO_RANGE ? 3 : 2;
    if (!nn_p_args(p, open, &args, &n)) return false;
    nn_value **slots[] = {&h->low, &h->high, &h->step};
    bool ok = n >= 2 && n <= max;
    int i = 0;
    for (nn_arg *a = args; a && ok; a = a->next, i++) {
        ok = !a->name || (i == 2 && !strcmp(a->name, "step"));
        if (!ok) break;
        *slots[i] = a->value;
        if (!bound(p, a->value)) {
            nn_p_error(p, "bad-hpo", a->value->span, "a bound or step of %s() is a number", name);
            return true;
        }
    }
    if (ok) return true;
    nn_diag *g = nn_p_error(p, "bad-hpo", nn_p_join(open, p->prev.span), "%s() takes %s", name,
                            max == 3 ? "a lower bound, an upper bound and perhaps a step"
                                     : "a lower and an upper bound");
    nn_diag_hint(p->diags, g,
                 max == 3 ? "write range(32, 256, step=32)" : "write log_range(1e-4, 1e-1)");
    return true;
}

static const char *const hpo_kinds[] = {"choice", "range", "log_range", NULL};

static bool hpo_body(nn_parser *p, nn_hpo *h) {
    nn_token name = p->tok[0];
    int kind = 0;
    while (hpo_kinds[kind] && (name.kind != NN_T_NAME || strcmp(name.text, hpo_kinds[kind])))
        kind++;
    if (!hpo_kinds[kind]) {
        nn_diag *g = nn_p_unexpected(p, "bad-hpo", "choice(...), range(...) or log_range(...)");
        const char *near = name.kind == NN_T_NAME ? nn_nearest(name.text, hpo_kinds) : NULL;
        if (near) nn_diag_hint(p->diags, g, "did you mean '%s'?", near);
        return true;
    }
    nn_p_advance(p);
    h->kind = (nn_hpo_kind)kind;
    nn_span open = p->tok[0].span;
    if (!nn_p_accept(p, '(')) {
        nn_p_unexpected(p, "bad-hpo", "'(' after choice, range or log_range");
        return true;
    }
    return kind == NN_HPO_CHOICE ? choice(p, h, open) : range(p, h, open, hpo_kinds[kind]);
}

static nn_value *hpo(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    nn_value *v = nn_p_value_new(p, NN_V_HPO, begin);
    if (!v || !(v->hpo = NN_P_NEW(p, nn_hpo))) return NULL;
    nn_p_advance(p);
    nn_span open = p->tok[0].span;
    nn_p_advance(p);
    int errors = p->diags->errors;
    if (!hpo_body(p, v->hpo)) return NULL;
    nn_p_closer(p, open, ')');
    if (p->diags->errors != errors) v->kind = NN_V_ERROR;
    v->span = nn_p_join(begin, p->prev.span);
    return v;
}

/* ---- values ---- */

static nn_value *call_value(nn_parser *p) {
    nn_call *c = nn_p_call(p);
    nn_value *v = c ? nn_p_value_new(p, NN_V_CALL, c->span) : NULL;
    if (v) v->call = c;
    return v;
}

static nn_value *value_at(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    switch (p->tok[0].kind) {
    case NN_T_NAME:
        if (nn_p_hpo_ahead(p)) return hpo(p);
        if (p->tok[1].kind == '(' || p->tok[1].kind == '{') return call_value(p);
        return word(p);
    case '(':
        nn_p_advance(p);
        return sequence(p, NN_V_TUPLE, ')', begin, NULL);
    case '[':
        nn_p_advance(p);
        return sequence(p, NN_V_LIST, ']', begin, NULL);
    case '{':
        return dict(p);
    default:
        return nn_p_scalar(p, "a value");
    }
}

nn_value *nn_p_value(nn_parser *p) {
    nn_value *v = nn_p_enter(p) ? value_at(p) : NULL;
    nn_p_leave(p);
    return v;
}

/* ---- shapes ---- */

static void bad_shape(nn_parser *p, nn_value *v) {
    nn_diag *g = nn_p_error(p, "bad-shape", v->span, "a shape is written (28, 28, 1)");
    if (v->kind != NN_V_INT) return;
    const char *text = nn_arena_printf(p->arena, "(%s,)", v->text);
    nn_diag_hint(p->diags, g, "write (%s,) for a shape of one dimension", v->text);
    if (text) nn_p_fix(p, g, v->span, text, "put the number into parentheses");
}

static void check_dimensions(nn_parser *p, nn_value *shape) {
    for (nn_value *d = shape->items; d; d = d->next)
        if (d->kind != NN_V_INT && d->kind != NN_V_NONE && d->kind != NN_V_ERROR) {
            p->error_at = SIZE_MAX;
            nn_diag *g = nn_p_error(p, "bad-shape", d->span,
                                    "a dimension of a shape is a positive integer or None");
            if (d->kind == NN_V_NAME || d->kind == NN_V_STRING)
                nn_diag_hint(p->diags, g,
                             "write None for a dimension that is not known beforehand");
            d->kind = NN_V_ERROR;
        }
}

nn_value *nn_p_shape(nn_parser *p) {
    int k = p->tok[0].kind;
    if (k == '(' || k == '[') {
        nn_value *v = nn_p_value(p);
        if (v) check_dimensions(p, v);
        return v;
    }
    if (!nn_p_value_ahead(p)) return no_value(p, "a shape such as (28, 28, 1)");
    nn_value *v = nn_p_value(p);
    if (!v) return NULL;
    p->error_at = SIZE_MAX;
    bad_shape(p, v);
    nn_value *shape = nn_p_value_new(p, NN_V_TUPLE, v->span);
    if (!shape) return NULL;
    if (v->kind != NN_V_INT) v->kind = NN_V_ERROR;
    shape->items = v;
    shape->count = 1;
    return shape;
}

/* ---- references: a loss, an optimizer, a metric ---- */

/* NAME '(' … ')' and nothing after it. */
static bool looks_like_call(const char *s) {
    s += strspn(s, " \t");
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (!n || (*s >= '0' && *s <= '9')) return false;
    s += n;
    s += strspn(s, " \t");
    if (*s != '(') return false;
    n = strlen(s);
    while (n && strchr(" \t", s[n - 1])) n--;
    return s[n - 1] == ')';
}

/* Reads the text between the quotes with a parser of its own. Where escapes have changed the text,
 * every place in it is the place of the whole string. */
void nn_p_decode_quoted(nn_parser *p, nn_value *v) {
    if (v->kind != NN_V_STRING || !looks_like_call(v->text) || v->span.end - v->span.begin < 2)
        return;
    size_t inside = v->span.end - v->span.begin - 2;
    bool same = v->span.end <= p->src->size && strlen(v->text) == inside &&
                !memcmp(p->src->text + v->span.begin + 1, v->text, inside);
    nn_parser q = {.arena = p->arena,
                   .diags = p->diags,
                   .src = p->src,
                   .error_at = SIZE_MAX,
                   .depth = p->depth,
                   .params = p->params,
                   .quiet = p->quiet};
    nn_span whole = v->span;
    q.lx = (nn_lexer){.arena = p->arena,
                      .diags = p->diags,
                      .text = same ? p->src->text : v->text,
                      .pos = same ? whole.begin + 1 : 0,
                      .end = same ? whole.end - 1 : strlen(v->text),
                      .line = whole.line,
                      .line_begin = same ? whole.begin - (size_t)(whole.col - 1) : 0,
                      .place = same ? NULL : &whole};
    nn_lexer_next(&q.lx, &q.tok[0]);
    nn_lexer_next(&q.lx, &q.tok[1]);
    nn_value *call = nn_p_ref(&q, "a call");
    if (call && q.tok[0].kind != NN_T_EOF)
        nn_p_unexpected(&q, "unexpected", "the end of the string");
    if (call && call->kind == NN_V_CALL) {
        nn_value *next = v->next;
        *v = *call;
        v->next = next;
    }
    if (q.stop) nn_p_halt(p);
}

/* NAME, or NAME '(' args ')': no device and no block. */
static nn_value *named_call(nn_parser *p) {
    if (p->tok[1].kind != '(') return word(p);
    nn_call *c = NN_P_NEW(p, nn_call);
    if (!c) return NULL;
    c->name = p->tok[0].text;
    c->name_span = p->tok[0].span;
    c->parens = true;
    nn_p_advance(p);
    nn_span open = p->tok[0].span;
    nn_p_advance(p);
    if (!nn_p_args(p, open, &c->args, &c->n_args)) return NULL;
    c->span = nn_p_join(c->name_span, p->prev.span);
    nn_value *v = nn_p_value_new(p, NN_V_CALL, c->span);
    if (v) v->call = c;
    return v;
}

nn_value *nn_p_ref(nn_parser *p, const char *expected) {
    if (nn_p_hpo_ahead(p)) return nn_p_value(p);
    if (p->tok[0].kind == NN_T_NAME) return named_call(p);
    if (p->tok[0].kind == '$') return parameter(p);
    if (p->tok[0].kind != NN_T_STRING) {
        nn_value *v = no_value(p, expected);
        if (v && nn_p_value_ahead(p)) {
            p->quiet++;
            v = nn_p_value(p);
            p->quiet--;
            if (v) v->kind = NN_V_ERROR;
        }
        return v;
    }
    nn_value *v = string(p);
    if (v) nn_p_decode_quoted(p, v);
    return v;
}

void nn_parse_quoted(nn_arena *arena, const nn_source *src, nn_value *v, nn_diags *diags) {
    nn_parser p = {.arena = arena, .diags = diags, .src = src, .error_at = SIZE_MAX};
    nn_p_decode_quoted(&p, v);
}
