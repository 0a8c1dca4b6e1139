/* SPDX-License-Identifier: MIT */
/* format_text.c - tokens and comments of a source, and the lines that they are written to. What is
 * decided here looks at lines of the source only (whether a comment begins or ends its line,
 * whether a line is empty), and what is written gives the same answers again: that keeps a second
 * run from changing anything. */
#include "lang/format.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static nn_fmt_piece *add(nn_fmt_piece **list, size_t n, size_t *cap) {
    if (n == *cap) {
        size_t more = *cap ? *cap * 2 : 256;
        nn_fmt_piece *p = realloc(*list, more * sizeof *p);
        if (!p) return NULL;
        *list = p;
        *cap = more;
    }
    return *list + n;
}

bool nn_fmt_is_separator(int kind) {
    return kind == ',' || kind == ';';
}

static void link_separators(nn_fmt *f) {
    for (size_t i = f->n + 1; i-- > 0;) {
        nn_fmt_piece *p = &f->tokens[i];
        p->next = (uint32_t)i;
        if (!nn_fmt_is_separator(p->kind)) continue;
        p->next = p[1].next;
        p->comma = p->kind == ',' || p[1].comma;
    }
}

static bool read_all(nn_fmt *f, nn_lexer *lx) {
    size_t cap = 0, comment_cap = 0;
    nn_token t;
    do {
        nn_lexer_next(lx, &t);
        bool comment = t.kind == NN_T_COMMENT;
        nn_fmt_piece *p =
            comment ? add(&f->comments, f->n_comments, &comment_cap) : add(&f->tokens, f->n, &cap);
        if (!p || lx->full) return false;
        *p = (nn_fmt_piece){.begin = (uint32_t)t.span.begin,
                            .end = (uint32_t)t.span.end,
                            .line = (uint32_t)t.span.line,
                            .end_line = (uint32_t)t.span.end_line,
                            .col = (uint32_t)t.span.col,
                            .other = (uint32_t)(comment ? f->n : f->n_comments),
                            .kind = (uint16_t)t.kind,
                            .text = t.text};
        if (comment)
            f->n_comments++;
        else if (t.kind != NN_T_EOF)
            f->n++;
    } while (t.kind != NN_T_EOF);
    return true;
}

nn_status nn_fmt_read(nn_fmt *f, nn_diags *diags, nn_err *err) {
    nn_lexer lx;
    bool ok = nn_lexer_init(&lx, f->arena, f->src, diags);
    lx.comments = true;
    if (!ok || !read_all(f, &lx))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to format %s", f->src->name);
    link_separators(f);
    return NN_OK;
}

void nn_fmt_done(nn_fmt *f) {
    free(f->tokens);
    free(f->comments);
}

int nn_fmt_kind(const nn_fmt *f, size_t ahead) {
    return f->tokens[f->t + ahead < f->n ? f->t + ahead : f->n].kind;
}

/* ---- text ---- */

void nn_fmt_fail(nn_fmt *f) {
    f->fail = true;
    f->t = f->n;
}

static void text_n(nn_fmt *f, const char *p, size_t n) {
    if (f->fail) return;
    int cols = f->col;
    if (f->flat && n > 4 * (size_t)NN_FMT_WIDTH) {
        nn_fmt_fail(f);
        return;
    }
    for (size_t i = 0; i < n; i++) cols += (p[i] & 0xc0) != 0x80;
    if (f->flat && cols > NN_FMT_WIDTH) {
        nn_fmt_fail(f);
        return;
    }
    f->col = cols;
    nn_buf_append(f->out, p, n);
}

void nn_fmt_text(nn_fmt *f, const char *text) {
    text_n(f, text, strlen(text));
}

static void new_line(nn_fmt *f, int indent, bool blank) {
    if (f->fail) return;
    if (f->out->n > f->start) nn_buf_puts(f->out, blank ? "\n\n" : "\n");
    nn_buf_printf(f->out, "%*s", indent, "");
    f->col = indent;
}

/* Double quotes; single ones around a text that has double and no single quotes. */
static void string(nn_fmt *f, const char *s) {
    char quote = strchr(s, '"') && !strchr(s, '\'') ? '\'' : '"';
    text_n(f, &quote, 1);
    for (const char *from = s; !f->fail; from = s + 1, s++) {
        while (*s && *s != quote && *s != '\\' && *s != '\n' && *s != '\t') s++;
        text_n(f, from, (size_t)(s - from));
        if (!*s) break;
        char escape[2] = {'\\', *s == '\n' ? 'n' : *s == '\t' ? 't' : *s};
        text_n(f, escape, 2);
    }
    text_n(f, &quote, 1);
}

/* A line comment without the blanks at its end, a block comment with its lines ended by LF. Neither
 * is held to the width. */
static void comment(nn_fmt *f, const nn_fmt_piece *c) {
    if (f->flat && f->depth) nn_fmt_fail(f);
    if (f->fail) return;
    const char *p = f->src->text + c->begin;
    size_t n = c->end - c->begin;
    bool block = p[0] == '/' && p[1] == '*';
    while (!block && strchr(" \t\f\v", p[n - 1])) n--;
    for (size_t i = 0; i < n; i++) {
        char ch = p[i];
        if (ch == '\r' && i + 1 < n && p[i + 1] == '\n') continue;
        nn_buf_putc(f->out, ch == '\r' ? '\n' : ch);
        f->col = ch == '\r' || ch == '\n' ? 0 : f->col + ((ch & 0xc0) != 0x80);
    }
    f->line = c->end_line;
}

static bool is_block(const nn_fmt *f, const nn_fmt_piece *c) {
    const char *p = f->src->text + c->begin;
    return p[0] == '/' && p[1] == '*';
}

/* ---- within a line ---- */

static void middle_comments(nn_fmt *f) {
    size_t end = f->tokens[f->t].other;
    bool begins = false, any = f->c < end;
    for (; f->c < end && !f->fail; f->c++) {
        const nn_fmt_piece *c = &f->comments[f->c];
        bool block = is_block(f, c);
        if (!begins && !block && c->line > f->line)
            new_line(f, f->indent + NN_FMT_STEP, false);
        else if (!begins)
            nn_fmt_text(f, block ? " " : "  ");
        comment(f, c);
        begins = !block;
        if (begins) new_line(f, f->indent + NN_FMT_STEP, false);
    }
    nn_fmt_text(f, !any ? f->lead : begins ? "" : " ");
    f->lead = "";
}

static void put_token(nn_fmt *f, const char *as) {
    const nn_fmt_piece *p = &f->tokens[f->t];
    if (p->kind == NN_T_EOF) return;
    middle_comments(f);
    if (as)
        nn_fmt_text(f, as);
    else if (p->kind == NN_T_STRING)
        string(f, p->text);
    else if (p->kind == NN_T_INT || p->kind == NN_T_FLOAT)
        nn_fmt_text(f, p->text);
    else
        text_n(f, f->src->text + p->begin, p->end - p->begin);
    if (f->fail) return;
    f->line = p->end_line;
    f->t++;
}

void nn_fmt_put(nn_fmt *f) {
    put_token(f, NULL);
}
void nn_fmt_put_as(nn_fmt *f, const char *text) {
    put_token(f, text);
}

void nn_fmt_before_comma(nn_fmt *f) {
    const nn_fmt_piece *comma = &f->tokens[f->t];
    for (; f->c < comma->other && !f->fail; f->c++) {
        const nn_fmt_piece *c = &f->comments[f->c];
        if (!is_block(f, c) || c->line > f->line) return;
        nn_fmt_text(f, " ");
        comment(f, c);
    }
    f->line = comma->end_line;
}

/* ---- where a line begins ---- */

static uint32_t later(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* The line where the source has what stands before this comment or token, dropped or not. */
static uint32_t line_before(const nn_fmt *f, size_t comments, size_t tokens) {
    return later(comments ? f->comments[comments - 1].end_line : 0,
                 tokens ? f->tokens[tokens - 1].end_line : 0);
}

/* The first of the block comments that lead over to token t on its line; else t's number of
 * comments. */
static size_t first_attached(const nn_fmt *f, bool closes) {
    const nn_fmt_piece *next = &f->tokens[f->t];
    size_t a = next->other;
    for (uint32_t line = next->line; a > f->c && !closes; a--) {
        const nn_fmt_piece *c = &f->comments[a - 1];
        if (!is_block(f, c) || c->other != f->t || c->end_line != line) break;
        line = c->line;
    }
    return a;
}

void nn_fmt_break(nn_fmt *f, const nn_fmt_gap *g) {
    const nn_fmt_piece *next = &f->tokens[f->t];
    size_t end = next->other, attached = first_attached(f, g->closes), begin = f->c;
    uint32_t ref = g->ref ? g->ref : attached < end ? f->comments[attached].col : next->col;
    bool opened = g->opened;
    for (size_t i = begin; i < end; i++) {
        const nn_fmt_piece *c = &f->comments[i];
        bool blank = g->blanks && !opened && c->line > line_before(f, i, c->other) + 1;
        if (c->line > f->line || i == attached) {
            opened = false;
            new_line(f, i >= attached ? g->indent : c->col > ref ? g->hi : g->lo, blank);
        } else
            nn_fmt_text(f, i == begin ? "  " : " ");
        comment(f, c);
    }
    f->c = end;
    f->lead = "";
    bool blank = g->blanks && !opened && !g->closes && next->line > line_before(f, end, f->t) + 1;
    if (attached < end)
        nn_fmt_text(f, " ");
    else
        new_line(f, g->indent, blank);
}
