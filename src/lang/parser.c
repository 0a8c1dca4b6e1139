/* SPDX-License-Identifier: MIT */
/* parser.c - tokens, errors and recovery for the parser. Every loop here consumes a token or ends,
 * so the parser is linear in the number of tokens. */
#include "lang/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- tokens ---- */

void nn_p_halt(nn_parser *p) {
    p->stop = true;
    p->tok[0].kind = p->tok[1].kind = NN_T_EOF;
}

static void check_full(nn_parser *p) {
    if (!p->lx.full || p->stop) return;
    nn_diag_add(p->diags, NN_SEV_ERROR, "too-large", p->tok[0].span,
                "the program passes the memory limit of a compilation");
    nn_p_halt(p);
}

void nn_p_advance(nn_parser *p) {
    p->prev = p->tok[0];
    if (p->stop) return;
    p->tok[0] = p->tok[1];
    nn_lexer_next(&p->lx, &p->tok[1]);
    check_full(p);
}

void nn_p_start(nn_parser *p, nn_arena *arena, const nn_source *src, nn_diags *diags) {
    *p = (nn_parser){.arena = arena, .diags = diags, .src = src, .error_at = SIZE_MAX};
    if (!nn_lexer_init(&p->lx, arena, src, diags)) {
        nn_p_halt(p);
        return;
    }
    nn_lexer_next(&p->lx, &p->tok[0]);
    nn_lexer_next(&p->lx, &p->tok[1]);
    check_full(p);
}

bool nn_p_accept(nn_parser *p, int kind) {
    if (p->tok[0].kind != kind) return false;
    nn_p_advance(p);
    return true;
}

void *nn_p_alloc(nn_parser *p, size_t n) {
    void *m = p->stop ? NULL : nn_arena_alloc(p->arena, n);
    if (!m) {
        p->lx.full = true;
        check_full(p);
    }
    return m;
}

bool nn_p_enter(nn_parser *p) {
    if (++p->depth <= NN_PARSE_MAX_DEPTH) return !p->stop;
    if (!p->stop) {
        nn_diag_add(p->diags, NN_SEV_ERROR, "too-deep", p->tok[0].span,
                    "brackets are nested more than %d deep; reading stops here",
                    NN_PARSE_MAX_DEPTH);
        nn_p_halt(p);
    }
    return false;
}
void nn_p_leave(nn_parser *p) {
    p->depth--;
}

/* ---- macros by name ---- */

bool nn_p_macro_known(const nn_parser *p, const char *name) {
    return nn_names_find(&p->macros, name);
}

void nn_p_macro_add(nn_parser *p, const char *name) {
    static char known;
    if (p->stop || nn_p_macro_known(p, name)) return;
    if (nn_names_add(&p->macros, p->arena, name, &known)) return;
    p->lx.full = true;
    check_full(p);
}

bool nn_p_macro_anywhere(nn_parser *p, const char *name) {
    if (nn_p_macro_known(p, name)) return true;
    if (p->scanned || p->lx.place) return false;
    p->scanned = true;
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "macros", 4 * (size_t)NN_SOURCE_MAX);
    nn_diags *mute = nn_diags_new(arena, p->src);
    nn_lexer lx;
    if (!mute || !nn_lexer_init(&lx, arena, p->src, mute)) return false;
    for (bool define = false;;) {
        nn_token t;
        nn_lexer_next(&lx, &t);
        if (t.kind == NN_T_EOF || lx.full) return nn_p_macro_known(p, name);
        const char *copy = define && t.kind == NN_T_NAME ? nn_arena_strdup(p->arena, t.text) : NULL;
        if (copy) nn_p_macro_add(p, copy);
        define = t.kind == NN_T_NAME && !strcmp(t.text, "define");
    }
}

/* ---- errors ---- */

nn_span nn_p_join(nn_span from, nn_span to) {
    if (!to.line || to.end < from.end) return from;
    from.end_line = to.end_line;
    from.end_col = to.end_col;
    from.end = to.end;
    return from;
}

nn_span nn_p_after(const nn_parser *p) {
    nn_span s = p->prev.span;
    if (!s.line) return p->tok[0].span;
    return (nn_span){s.end_line, s.end_col, s.end_line, s.end_col, s.end, s.end};
}

const char *nn_p_show(const nn_token *t, char out[48]) {
    int n = (int)strlen(t->text), cut = n;
    while (cut > 30 || (cut < n && cut > 0 && (t->text[cut] & 0xc0) == 0x80)) cut--;
    const char *more = cut < n ? "..." : "";
    if (t->kind == NN_T_EOF)
        snprintf(out, 48, "end of the text");
    else if (t->kind == NN_T_ARROW)
        snprintf(out, 48, "'->'");
    else if (t->kind == NN_T_STRING)
        snprintf(out, 48, "\"%.*s%s\"", cut, t->text, more);
    else if (t->kind < 256)
        snprintf(out, 48, "'%c'", t->kind);
    else
        snprintf(out, 48, "'%.*s%s'", cut, t->text, more);
    return out;
}

static bool muted(const nn_parser *p) {
    const nn_token *t = &p->tok[0];
    return p->stop || p->quiet || t->damaged || p->prev.damaged || t->span.begin == p->error_at ||
           (t->kind == NN_T_EOF && p->lx.cut);
}

nn_diag *nn_p_error(nn_parser *p, const char *code, nn_span span, const char *fmt, ...) {
    if (muted(p)) {
        p->diags->scratch = (nn_diag){.message = ""};
        return &p->diags->scratch;
    }
    if (!p->lx.place) p->error_at = p->tok[0].span.begin;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nn_diag_add(p->diags, NN_SEV_ERROR, code, span, "%s", text);
}

nn_diag *nn_p_unexpected(nn_parser *p, const char *code, const char *expected) {
    char show[48];
    nn_span span = p->tok[0].kind == NN_T_EOF ? nn_p_after(p) : p->tok[0].span;
    return nn_p_error(p, code, span, "unexpected %s, expected %s", nn_p_show(&p->tok[0], show),
                      expected);
}

void nn_p_fix(nn_parser *p, nn_diag *g, nn_span span, const char *text, const char *what) {
    if (!p->lx.place) nn_diag_fix(p->diags, g, span, text, what);
}

void nn_p_unclosed(nn_parser *p, nn_span open, const char *expected) {
    char show[48], c = open.begin < p->src->size ? p->src->text[open.begin] : '(';
    if (p->lx.place) c = '(';
    if (p->tok[0].kind == NN_T_EOF && p->at_end) {
        nn_diag_note(p->diags, p->at_end, open, "this '%c' is not closed either", c);
        return;
    }
    if (p->tok[0].kind != NN_T_EOF && c != '{') {
        p->owed++;
        p->owed_line = p->tok[0].span.line;
    }
    nn_diag *g = p->tok[0].kind == NN_T_EOF
                     ? nn_p_error(p, "unclosed", nn_p_after(p), "unclosed '%c' opened at %d:%d", c,
                                  open.line, open.col)
                     : nn_p_error(p, "unclosed", nn_p_after(p),
                                  "unclosed '%c' opened at %d:%d: expected %s before %s", c,
                                  open.line, open.col, expected, nn_p_show(&p->tok[0], show));
    nn_diag_note(p->diags, g, open, "'%c' opened here", c);
    if (c == '(') nn_p_fix(p, g, nn_p_after(p), ")", "insert ')'");
    if (c == '[') nn_p_fix(p, g, nn_p_after(p), "]", "insert ']'");
    if (p->tok[0].kind == NN_T_EOF && g != &p->diags->scratch) p->at_end = g;
}

/* ---- recovery ---- */

/* A statement that shows that a list was never closed: at the beginning of a line, or a section. */
static bool statement_breaks_in(const nn_parser *p) {
    if (p->tok[0].first) return nn_p_statement_ahead(p);
    return p->tok[0].kind == NN_T_NAME && p->tok[1].kind == ':' &&
           nn_p_section_word(p->tok[0].text);
}

bool nn_p_statement_ahead(const nn_parser *p) {
    int next = p->tok[1].kind;
    return p->tok[0].kind == NN_T_NAME &&
           (next == '(' || next == '{' || next == ':' || next == '@');
}

static bool is_opener(int kind) {
    return kind == '(' || kind == '[' || kind == '{';
}
static bool is_closer(int kind) {
    return kind == ')' || kind == ']' || kind == '}';
}

/* Passes tok[0], keeping count of what is open. Brackets give way to braces: a missing ')' must not
 * swallow the end of a block. False, and nothing passed, at a closer of something outside. */
static bool skip_one(nn_parser *p, int *braces, int *brackets) {
    int k = p->tok[0].kind;
    if (k == NN_T_EOF) return false;
    if (k == '}') {
        if (!*braces) return false;
        --*braces;
        *brackets = 0;
    } else if (is_closer(k)) {
        if (!*brackets && !*braces) return false;
        *brackets -= *brackets > 0;
    } else if (k == '{')
        ++*braces;
    else if (is_opener(k))
        ++*brackets;
    nn_p_advance(p);
    return true;
}

void nn_p_sync(nn_parser *p) {
    int braces = 0, brackets = 0;
    while (skip_one(p, &braces, &brackets)) {
        const nn_token *t = &p->tok[0];
        if (braces) continue;
        if (t->kind == NN_T_NAME && t->first) return;
        if (!brackets && (t->kind == ';' || nn_p_statement_ahead(p))) return;
    }
}

/* To the next comma or closer of a list, or to what shows that the list was never closed. */
static void skip_in_list(nn_parser *p) {
    int braces = 0, brackets = 0;
    while (skip_one(p, &braces, &brackets)) {
        if (braces) continue;
        if (statement_breaks_in(p)) return;
        if (!brackets && p->tok[0].kind == ',') return;
    }
}

/* What is expected after an element. */
static const char *after_element(int close) {
    return close == ')' ? "',' or ')'" : close == ']' ? "',' or ']'" : "',' or '}'";
}

/* At a closer: passes it if it is a bracket, even of the wrong kind. */
static void end_list(nn_parser *p, nn_span open, int close) {
    if (nn_p_accept(p, close)) return;
    if (p->tok[0].kind == '}' || !is_closer(p->tok[0].kind)) {
        nn_p_unclosed(p, open, after_element(close));
        return;
    }
    nn_diag *g = nn_p_error(p, "mismatched", p->tok[0].span, "'%c' closed by '%c', expected '%c'",
                            close == ')' ? '(' : '[', p->tok[0].kind, close);
    nn_diag_note(p->diags, g, open, "opened here");
    const char text[] = {(char)close, 0}, what[] = {'w', 'r', 'i', 't', 'e', ' ', (char)close, 0};
    nn_p_fix(p, g, p->tok[0].span, text, what);
    nn_p_advance(p);
}

static void missing_comma(nn_parser *p) {
    char show[48];
    nn_diag *g = nn_p_error(p, "missing-comma", nn_p_after(p), "missing ',' before %s",
                            nn_p_show(&p->tok[0], show));
    nn_p_fix(p, g, nn_p_after(p), ",", "insert ','");
}

bool nn_p_more(nn_parser *p, nn_span open, int close, int n) {
    p->trailing = (nn_span){0};
    for (bool retry = false;; retry = true) {
        if (n && nn_p_accept(p, ',')) {
            if (p->tok[0].kind == close)
                p->trailing = p->prev.span;
            else if (p->tok[0].kind == ',') {
                nn_p_unexpected(p, "unexpected", "a value");
                continue;
            }
        } else if (n && !is_closer(p->tok[0].kind) && p->tok[0].kind != NN_T_EOF &&
                   !statement_breaks_in(p)) {
            if (!retry && nn_p_value_ahead(p)) {
                missing_comma(p);
                return true;
            }
            nn_p_unexpected(p, "unexpected", after_element(close));
            skip_in_list(p);
            continue;
        } else if (n || is_closer(p->tok[0].kind) || p->tok[0].kind == NN_T_EOF) {
            end_list(p, open, close);
            return false;
        }
        if (p->tok[0].kind == close) continue;
        return true;
    }
}

void nn_p_closer(nn_parser *p, nn_span open, int close) {
    if (p->tok[0].kind != close && !is_closer(p->tok[0].kind) && p->tok[0].kind != NN_T_EOF &&
        !statement_breaks_in(p)) {
        char want[4] = {'\'', (char)close, '\'', 0};
        nn_p_unexpected(p, "unexpected", want);
        skip_in_list(p);
        while (nn_p_accept(p, ',')) skip_in_list(p);
    }
    end_list(p, open, close);
}
