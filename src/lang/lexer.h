/* SPDX-License-Identifier: MIT */
/* lexer.h - text to tokens, on demand. Private to lang/.
 * Bad text never stops the lexer: it is reported to the diagnostics, and the next token follows.
 * Decoded texts live in the arena; when that is full, `full` is set and the token's text is "". */
#ifndef NN_LANG_LEXER_H
#define NN_LANG_LEXER_H
#include "lang/diag.h"

#include <stdint.h>

/* Punctuation is its own character: ( ) { } [ ] , : ; = * @ $ */
enum {
    NN_T_EOF = 256,
    NN_T_NAME,
    NN_T_INT,
    NN_T_FLOAT,
    NN_T_STRING,
    NN_T_ARROW,   /* -> */
    NN_T_COMMENT, /* only where asked for; no text */
};

typedef struct nn_token {
    int kind;
    bool first;   /* on its line */
    bool damaged; /* reported by the lexer; what follows it is not to be trusted */
    bool escapes; /* STRING: its text differs from the source between the quotes */
    nn_span span;
    const char *text; /* NAME: the word; STRING: decoded; numbers: spelling without blanks */
    int64_t i;        /* INT */
    double f;         /* INT, FLOAT */
} nn_token;

typedef struct nn_lexer {
    nn_arena *arena;
    nn_diags *diags;
    const char *text;
    size_t pos, end;
    size_t line_begin; /* offset of the current line */
    int line;
    const nn_span *place; /* not NULL: every token gets this span (decoded text) */
    bool comments;        /* set by the caller: comments are tokens */
    bool first;           /* no token yet on this line */
    bool full;            /* the arena refused memory */
    bool cut;             /* an unclosed comment swallowed the rest */
} nn_lexer;

/* Starts at the beginning of src: skips a byte-order mark and reports bytes that are not UTF-8.
 * False if the text is not worth reading (UTF-16, too large); that has been reported. */
bool nn_lexer_init(nn_lexer *lx, nn_arena *arena, const nn_source *src, nn_diags *diags);
void nn_lexer_next(nn_lexer *lx, nn_token *ret); /* NN_T_EOF forever at the end */
#endif
