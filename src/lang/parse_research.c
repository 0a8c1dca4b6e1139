/* SPDX-License-Identifier: MIT */
/* parse_research.c - research files: research [NAME] { NAME [":"] ( config | value ) … }
 * (language.md section 11). Nothing is compiled of them, so what their entries hold is checked
 * here: metrics of any name are numbers, all else is text. */
#include "lang/parser.h"

#include <string.h>

typedef enum holds {
    HOLDS_TEXT,   /* title: "…" */
    HOLDS_TEXTS,  /* author: "a", "b"; references { paper: "…" paper: "…" } */
    HOLDS_NUMBERS /* metrics { accuracy: 0.95 } */
} holds;

static const struct entry_row {
    const char *key;
    holds what;
    const char *form; /* how it is written */
} rows[] = {
    {"metrics",    HOLDS_NUMBERS, "metrics { accuracy: 0.95 loss: 0.05 }"},
    {"references", HOLDS_TEXTS,   "references { paper: \"Title\" }"      },
    {"title",      HOLDS_TEXT,    "title: \"A title\""                   },
    {"author",     HOLDS_TEXTS,   "author: \"A. Name\", \"B. Name\""     },
    {"model",      HOLDS_TEXT,    "model: \"file.neural\""               },
    {"notes",      HOLDS_TEXTS,   "notes: \"anything else\""             },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const struct entry_row *find(const char *key) {
    for (int i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].key, key)) return &rows[i];
    return NULL;
}

/* ---- what an entry holds ---- */

/* As nn_p_error, whatever was reported at the token at hand. */
#define FOUND(p, code, span, ...)                                                                  \
    ((p)->error_at = SIZE_MAX, nn_p_error((p), (code), (span), __VA_ARGS__))

static void unknown_key(nn_parser *p, const nn_arg *a) {
    const char *names[N_ROWS + 1] = {0};
    for (int i = 0; i < N_ROWS; i++) names[i] = rows[i].key;
    nn_diag *g =
        FOUND(p, "unknown-key", a->name_span, "a research file has no entry '%s'", a->name);
    const char *near = nn_nearest(a->name, names);
    if (near) {
        nn_diag_hint(p->diags, g, "did you mean '%s'?", near);
        nn_p_fix(p, g, a->name_span, near, "correct the name");
    } else
        nn_diag_hint(p->diags, g,
                     "entries are metrics, references, title, author, model and notes");
}

static bool is_text(const nn_value *v) {
    return v->kind == NN_V_STRING || v->kind == NN_V_NAME || v->kind == NN_V_ERROR;
}

/* The first value that is no text; NULL if all are. */
static const nn_value *no_text(const nn_value *v, holds what) {
    if (is_text(v)) return NULL;
    if (what == HOLDS_TEXT || (v->kind != NN_V_LIST && v->kind != NN_V_DICT)) return v;
    const nn_value *bad = NULL;
    for (const nn_arg *a = v->args; a && !bad; a = a->next)
        bad = a->value->kind == NN_V_DICT ? a->value : no_text(a->value, what);
    for (const nn_value *e = v->items; e && !bad; e = e->next) bad = is_text(e) ? NULL : e;
    return bad;
}

static void check_metrics(nn_parser *p, const nn_value *v) {
    if (v->kind != NN_V_DICT && v->kind != NN_V_ERROR) {
        nn_diag *g = FOUND(p, "bad-metric", v->span, "metrics are names with numbers, in braces");
        nn_diag_hint(p->diags, g, "write %s", rows[0].form);
        return;
    }
    for (const nn_arg *m = v->args; m; m = m->next) {
        nn_value_kind k = m->value->kind;
        if (k == NN_V_INT || k == NN_V_FLOAT || k == NN_V_ERROR) continue;
        nn_diag *g =
            FOUND(p, "bad-metric", m->value->span, "the metric '%s' is not a number", m->name);
        nn_diag_hint(p->diags, g, "write it like %s: 0.95", m->name);
    }
}

static void check(nn_parser *p, const nn_arg *a, const nn_arg **seen) {
    const struct entry_row *r = find(a->name);
    if (!r) {
        unknown_key(p, a);
        return;
    }
    const nn_arg **first = &seen[r - rows];
    if (r->what == HOLDS_TEXT && *first) {
        nn_diag *g = FOUND(p, "duplicate-key", a->name_span, "'%s' is given twice", a->name);
        nn_diag_note(p->diags, g, (*first)->name_span, "first given here");
    }
    *first = a;
    if (r->what == HOLDS_NUMBERS) {
        check_metrics(p, a->value);
        return;
    }
    const nn_value *bad = no_text(a->value, r->what);
    if (!bad) return;
    nn_diag *g = FOUND(p, "wrong-type", bad->span, "'%s' is a text", a->name);
    nn_diag_hint(p->diags, g, "write %s", r->form);
}

/* ---- reading ---- */

/* NAME [":"] ( config | value ) */
static nn_arg *entry(nn_parser *p) {
    nn_arg *a = NN_P_NEW(p, nn_arg);
    if (!a) return NULL;
    a->name = p->tok[0].text;
    a->name_span = p->tok[0].span;
    nn_p_advance(p);
    nn_p_accept(p, ':');
    if (!(a->value = nn_p_value(p))) return NULL;
    bool one = a->value->kind == NN_V_STRING || a->value->kind == NN_V_NAME;
    if (one && !(a->value = nn_p_more_values(p, a->value, false))) return NULL;
    a->span = nn_p_join(a->name_span, p->prev.span);
    return a;
}

static void body(nn_parser *p, nn_span open, nn_arg **tail) {
    const nn_arg *seen[N_ROWS] = {0};
    for (;;) {
        int k = p->tok[0].kind;
        if (k == NN_T_EOF) nn_p_unclosed(p, open, "'}'");
        if (k == NN_T_EOF || nn_p_accept(p, '}')) return;
        if (k == ',' || k == ';')
            nn_p_advance(p);
        else if (k == NN_T_NAME) {
            nn_arg *a = entry(p);
            if (!a) return;
            check(p, a, seen);
            *tail = a;
            tail = &a->next;
        } else {
            nn_p_unexpected(p, "unexpected", "an entry such as metrics { ... } or '}'");
            if (k == ')' || k == ']')
                nn_p_advance(p);
            else
                nn_p_sync(p);
        }
    }
}

nn_research *nn_p_research(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    nn_research *r = NN_P_NEW(p, nn_research);
    if (!r) return NULL;
    nn_p_advance(p);
    r->name = "";
    if (p->tok[0].kind == NN_T_NAME || p->tok[0].kind == NN_T_STRING) {
        r->name = p->tok[0].text;
        nn_p_advance(p);
    }
    nn_span open = p->tok[0].span;
    if (nn_p_accept(p, '{'))
        body(p, open, &r->entries);
    else
        nn_p_unexpected(p, "unexpected", "'{' and the entries of the research");
    r->span = nn_p_join(begin, p->prev.span);
    return p->stop ? NULL : r;
}
