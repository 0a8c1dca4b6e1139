/* SPDX-License-Identifier: MIT */
/* format_check.h - what must hold of every text that is formatted; the fuzz driver uses it too. */
#ifndef FORMAT_CHECK_H
#define FORMAT_CHECK_H
#include "lang/lexer.h"
#include "lang/tree.h"

#include <string.h>

/* The comments in order, one after the other: line comments without the blanks at their end, block
 * comments with lines that end in LF. */
static inline void comments_of(nn_arena *arena, const nn_source *src, nn_diags *d, nn_buf *out) {
    nn_lexer lx;
    nn_token t;
    if (!nn_lexer_init(&lx, arena, src, d)) return;
    lx.comments = true;
    for (nn_lexer_next(&lx, &t); t.kind != NN_T_EOF; nn_lexer_next(&lx, &t)) {
        if (t.kind != NN_T_COMMENT) continue;
        const char *p = src->text + t.span.begin;
        size_t n = t.span.end - t.span.begin;
        if (p[0] == '#' || p[1] == '/')
            while (strchr(" \t\f\v", p[n - 1])) n--;
        for (size_t i = 0; i < n; i++)
            if (p[i] != '\r')
                nn_buf_putc(out, p[i]);
            else if (i + 1 == n || p[i + 1] != '\n')
                nn_buf_putc(out, '\n');
        nn_buf_putc(out, '\n');
    }
}

typedef struct formatted {
    nn_status status;
    int errors;
    nn_buf text, tree, comments; /* tree and comments are those of the text that was given */
} formatted;

static inline void formatted_done(formatted *r) {
    nn_buf_done(&r->text);
    nn_buf_done(&r->tree);
    nn_buf_done(&r->comments);
}

static inline formatted format_text(const char *text, size_t n) {
    nn_arena *arena = nn_arena_new(NULL, "format", 0);
    nn_source *src = NN_NEW(arena, nn_source);
    *src = (nn_source){"t.neural", text, n};
    nn_diags *d = nn_diags_new(arena, src), *again = nn_diags_new(arena, src);
    formatted r = {0};
    nn_tree_print(nn_parse(arena, src, NN_START_PROGRAM, d), &r.tree);
    r.errors = d->errors;
    r.status = nn_format(src, again, &r.text, NULL);
    if (!r.errors) comments_of(arena, src, d, &r.comments);
    nn_arena_free(arena);
    return r;
}

/* One LF at the end; no blanks before it; no line that is empty twice, no CR. Comments excepted. */
static inline const char *ill_shaped(const nn_buf *b, bool comments) {
    const char *s = nn_buf_str(b);
    if (b->n < 2 || s[b->n - 1] != '\n' || s[b->n - 2] == '\n' || strchr(" \n", *s))
        return "it begins or ends with a blank";
    if (comments) return NULL;
    if (strstr(s, " \n")) return "a line ends with blanks";
    if (strstr(s, "\n\n\n")) return "two empty lines";
    return strchr(s, '\r') ? "a CR" : NULL;
}

/* NULL, or what is wrong with formatting the text. The first result goes to *ret. */
static inline const char *format_broken(const char *text, size_t n, formatted *ret) {
    formatted a = *ret = format_text(text, n);
    if (a.errors)
        return a.status != NN_E_DSL_ERROR ? "no error"
               : a.text.n                 ? "written in spite of errors"
                                          : NULL;
    if (a.status) return "refused";
    formatted b = format_text(a.text.p, a.text.n);
    const char *why = b.errors ? "its result does not parse" : NULL;
    if (!why && strcmp(nn_buf_str(&a.tree), nn_buf_str(&b.tree))) why = "another tree";
    if (!why && strcmp(nn_buf_str(&a.comments), nn_buf_str(&b.comments))) why = "other comments";
    if (!why && strcmp(nn_buf_str(&a.text), nn_buf_str(&b.text))) why = "not idempotent";
    formatted_done(&b);
    return why ? why : ill_shaped(&a.text, a.comments.n);
}
#endif
