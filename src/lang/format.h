/* SPDX-License-Identifier: MIT */
/* format.h - what the files of the formatter share: the source as tokens and comments, and a
 * writer of lines. Private to lang/.
 * The writer follows the tokens in order. Comments in front of a token are written with it: by
 * nn_fmt_put() within a line, by nn_fmt_break() where a line begins; tokens that are dropped
 * (separators) leave theirs to the next. While `flat`, a text that passes the last column, or a
 * comment between brackets, sets `fail`: then every token is EOF and nothing more is written. */
#ifndef NN_LANG_FORMAT_H
#define NN_LANG_FORMAT_H
#include "lang/lexer.h"

enum { NN_FMT_WIDTH = 100, NN_FMT_STEP = 4 };

/* A token or a comment. */
typedef struct nn_fmt_piece {
    uint32_t begin, end;          /* its bytes in the source */
    uint32_t line, end_line, col; /* its place in the source */
    uint32_t other;   /* token: how many comments stand before it; comment: the token after it */
    uint32_t next;    /* separator: the first token after it that is none; else the token itself */
    uint16_t kind;    /* NN_T_… */
    bool comma;       /* separator: there is a comma among it and those that follow */
    bool section;     /* NAME: begins a section, says the parser */
    const char *text; /* numbers and strings: as the lexer gives it */
} nn_fmt_piece;

typedef struct nn_fmt {
    const nn_source *src;
    nn_arena *arena;                 /* of the tokens' texts */
    nn_fmt_piece *tokens, *comments; /* the last token is EOF */
    size_t n, n_comments;            /* without the EOF */
    nn_buf *out;
    size_t start;     /* where our text begins in out */
    size_t t, c;      /* the next token to be read; the next comment to be written */
    uint32_t line;    /* of the source: where what was written last ends; 0: nothing yet */
    int col;          /* characters on the line so far */
    int indent;       /* of the statement or element at hand */
    const char *lead; /* stands before the next token; "" or " " */
    bool flat, fail;
    int depth; /* brackets open since the line was tried */
} nn_fmt;

/* How a line begins. An own-line comment above it stands at `lo`, or at `hi` if its column is
 * greater than `ref` (0: than where the line begins in the source). */
typedef struct nn_fmt_gap {
    int indent, lo, hi;
    uint32_t ref;
    bool blanks; /* an empty line of the source is kept */
    bool opened; /* just after an opening bracket: no empty line here */
    bool closes; /* the next token is a closing bracket, or EOF */
} nn_fmt_gap;

/* Reads the source, which has no errors. NN_E_OUT_OF_MEMORY. */
nn_status nn_fmt_read(nn_fmt *f, nn_diags *diags, nn_err *err);
void nn_fmt_done(nn_fmt *f);

int nn_fmt_kind(const nn_fmt *f, size_t ahead);  /* of the token so far ahead; EOF past the end */
bool nn_fmt_is_separator(int kind);              /* , ; */
void nn_fmt_put(nn_fmt *f);                      /* the token, in its canonical spelling */
void nn_fmt_put_as(nn_fmt *f, const char *text); /* the token, spelled like this */
void nn_fmt_text(nn_fmt *f, const char *text);   /* what has no token in the source */
void nn_fmt_break(nn_fmt *f, const nn_fmt_gap *g);
/* At a separator that becomes a comma: writes the comments that stay in front of it. */
void nn_fmt_before_comma(nn_fmt *f);
void nn_fmt_fail(nn_fmt *f);
#endif
