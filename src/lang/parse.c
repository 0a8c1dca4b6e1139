/* SPDX-License-Identifier: MIT */
/* parse.c - the file level: networks, macros, custom layers, research files; the start rules. */
#include "lang/parser.h"

#include <string.h>
#include <strings.h>

typedef struct tails {
    nn_network **networks;
    nn_define **defines;
    nn_research **research;
} tails;

/* ---- network ---- */

/* At the word network. */
static nn_network *network(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    int errors = p->diags->errors;
    nn_network *n = NN_P_NEW(p, nn_network);
    if (!n) return NULL;
    nn_p_advance(p);
    n->name = "";
    n->name_span = begin;
    if (p->tok[0].kind == NN_T_NAME || p->tok[0].kind == NN_T_STRING) {
        n->name = p->tok[0].text;
        n->name_span = p->tok[0].span;
        nn_p_advance(p);
    }
    nn_span open = p->tok[0].span;
    nn_body b = {.net = n,
                 .items = &n->items,
                 .sections = &n->sections,
                 .defines = &n->defines,
                 .open = open,
                 .close = '}'};
    if (!nn_p_accept(p, '{')) {
        nn_diag *g = nn_p_unexpected(p, "unexpected", "'{' and the body of the network");
        nn_p_fix(p, g, nn_p_after(p), " {", "insert '{'");
        n->damaged = true;
        if (p->tok[0].kind != NN_T_NAME || !p->tok[0].first) return n;
    }
    if (nn_p_enter(p)) nn_p_body(p, &b);
    nn_p_leave(p);
    n->damaged = p->diags->errors != errors;
    n->span = nn_p_join(begin, p->prev.span);
    return n;
}

/* ---- the file ---- */

static const char *const keywords[] = {"network", "model", "define", "custom", "research", NULL};

/* The keyword that this word is; networks in any letter case. */
static const char *keyword(const char *word) {
    for (int i = 0; keywords[i]; i++)
        if (i < 2 ? !strcasecmp(word, keywords[i]) : !strcmp(word, keywords[i])) return keywords[i];
    return NULL;
}

static void construct(nn_parser *p, tails *t, const char *word) {
    if (*word == 'd') {
        if ((*t->defines = nn_p_define(p))) t->defines = &(*t->defines)->next;
    } else if (*word == 'c') {
        nn_p_custom(p);
    } else if (*word == 'r') {
        if ((*t->research = nn_p_research(p))) t->research = &(*t->research)->next;
    } else if ((*t->networks = network(p)))
        t->networks = &(*t->networks)->next;
}

/* To the next keyword at the beginning of a line; at least one token. */
static void skip_to_keyword(nn_parser *p) {
    do nn_p_advance(p);
    while (p->tok[0].kind != NN_T_EOF &&
           !(p->tok[0].kind == NN_T_NAME && p->tok[0].first && keyword(p->tok[0].text)));
}

/* What is no keyword: read as the keyword it is near to, if a header follows. */
static void no_keyword(nn_parser *p, tails *t) {
    int k = p->tok[0].kind, next = p->tok[1].kind;
    bool header = k == NN_T_NAME && (next == NN_T_NAME || next == NN_T_STRING || next == '{');
    const char *near = header ? nn_nearest(p->tok[0].text, keywords) : NULL;
    char show[48];
    if (near) {
        nn_diag *g = nn_p_error(p, "unknown-keyword", p->tok[0].span, "unknown keyword '%s'",
                                p->tok[0].text);
        nn_diag_hint(p->diags, g, "did you mean '%s'?", near);
        nn_p_fix(p, g, p->tok[0].span, near, "correct the keyword");
        construct(p, t, near);
        return;
    }
    nn_diag *g = nn_p_error(p, k == NN_T_NAME ? "unknown-keyword" : "unexpected", p->tok[0].span,
                            "unexpected %s, expected 'network', 'define', 'custom' or 'research'",
                            nn_p_show(&p->tok[0], show));
    if (k == '}')
        nn_diag_hint(p->diags, g, "every '{' before it is closed already");
    else if (k == NN_T_NAME && (next == '(' || next == ':'))
        nn_diag_hint(p->diags, g, "layers and sections stand inside of network NAME { ... }");
    skip_to_keyword(p);
}

static void program(nn_parser *p, nn_program *prog, tails *t) {
    while (p->tok[0].kind != NN_T_EOF) {
        const char *word = p->tok[0].kind == NN_T_NAME ? keyword(p->tok[0].text) : NULL;
        if (p->tok[0].kind == ';' || p->tok[0].kind == ',')
            nn_p_advance(p);
        else if (word)
            construct(p, t, word);
        else
            no_keyword(p, t);
    }
    if (prog->networks || prog->defines || prog->research || prog->customs || p->diags->errors)
        return;
    nn_diag *g = nn_p_error(p, "empty-program", p->tok[0].span, "the program is empty");
    nn_diag_hint(p->diags, g, "a network is written network NAME { input: (...) layers: ... }");
}

/* ---- the other start rules ---- */

static void end_of_text(nn_parser *p) {
    while (p->tok[0].kind == ';' || p->tok[0].kind == ',') nn_p_advance(p);
    if (p->tok[0].kind != NN_T_EOF) nn_p_unexpected(p, "unexpected", "end of text");
}

static void layer(nn_parser *p, tails *t) {
    nn_network *n = NN_P_NEW(p, nn_network);
    if (!n) return;
    int errors = p->diags->errors;
    n->name = "";
    n->span = p->tok[0].span;
    *t->networks = n;
    if (p->tok[0].kind == NN_T_NAME || p->tok[0].kind == '(')
        n->items = nn_p_item(p);
    else
        nn_p_unexpected(p, "unexpected", "a layer");
    n->damaged = p->diags->errors != errors;
    n->span = nn_p_join(n->span, p->prev.span);
}

static void one_construct(nn_parser *p, tails *t, const char *word) {
    const char *have = p->tok[0].kind == NN_T_NAME ? keyword(p->tok[0].text) : NULL;
    if (have && !strcmp(have, word))
        construct(p, t, word);
    else {
        char want[24] = "'";
        strncat(strncat(want, word, 16), "'", 2);
        nn_p_unexpected(p, "unexpected", want);
    }
}

nn_program *nn_parse(nn_arena *arena, const nn_source *src, nn_start start, nn_diags *diags) {
    static nn_program nothing; /* when not even the root has room; never written to */
    nn_parser p;
    nn_p_start(&p, arena, src, diags);
    bool dead = p.stop;
    nn_program *prog = dead ? NN_NEW(arena, nn_program) : NN_P_NEW(&p, nn_program);
    if (!prog || dead) return prog ? prog : &nothing;
    tails t = {&prog->networks, &prog->defines, &prog->research};
    p.customs = &prog->customs;
    switch (start) {
    case NN_START_PROGRAM:
        program(&p, prog, &t);
        return prog;
    case NN_START_LAYER:
        layer(&p, &t);
        break;
    case NN_START_DEFINE:
        one_construct(&p, &t, "define");
        break;
    case NN_START_RESEARCH:
        one_construct(&p, &t, "research");
        break;
    }
    end_of_text(&p);
    return prog;
}

nn_value *nn_parse_value(nn_arena *arena, const nn_source *src, nn_diags *diags) {
    static nn_value nothing = {.kind = NN_V_ERROR}; /* when there is no room; never written to */
    nn_parser p;
    nn_p_start(&p, arena, src, diags);
    int errors = diags->errors;
    nn_value *v = p.stop ? NULL : nn_p_value(&p);
    if (v && p.tok[0].kind != NN_T_EOF) nn_p_unexpected(&p, "unexpected", "the end of the value");
    if (!v) v = NN_NEW(arena, nn_value);
    if (!v) return &nothing;
    if (p.stop || diags->errors != errors) v->kind = NN_V_ERROR;
    return v;
}
