/* SPDX-License-Identifier: MIT */
/* parser.h - what the files of the recursive-descent parser share. Private to lang/.
 * Conventions. Every function reads at tok[0] and leaves tok[0] at what it did not understand.
 * Functions that make nodes return NULL only when the parser has stopped (`stop`: too deep, or the
 * arena is full): then every token is EOF, every error is muted, and callers just return. A syntax
 * error gives a node (of kind ERROR where there is no better one), so callers go on.
 * Errors do not cascade: one a token, none after text that the lexer refused, none while `quiet`.
 */
#ifndef NN_LANG_PARSER_H
#define NN_LANG_PARSER_H
#include "lang/lexer.h"
#include "lang/names.h"
#include "lang/tree.h"

typedef struct nn_parser {
    nn_lexer lx;
    nn_arena *arena;
    nn_diags *diags;
    const nn_source *src;
    nn_token tok[2], prev;
    int depth;
    bool stop;
    int quiet;
    size_t error_at; /* offset of the token at which the last error was reported */
    nn_diag *at_end; /* the error "unclosed" at the end of the text, which outer braces extend */
    int owed, owed_line; /* '(' and '[' reported as unclosed before a token of that line: so many
                   closers are passed over there */
    bool numbers_name;   /* in a dictionary: a number and a colon begin an entry */
    nn_span trailing;    /* the comma before the closer of the last list; line 0: none */
    bool comma_noted;
    nn_names macros; /* names of define seen so far; of all of the file once it was scanned */
    bool scanned;
    const nn_arg *params; /* of the macro whose body is being read */
    nn_custom **customs;  /* where the next one goes */
} nn_parser;

/* A body: what stands between '{' and '}' (network, define, block, branch) or '(' and ')' (group).
 */
typedef struct nn_body {
    nn_network *net; /* NULL: only items may stand here */
    nn_item **items; /* where the next one goes */
    nn_section **sections;
    nn_define **defines;
    nn_span open, bracket; /* the opening brace; '[' after layers: (line 0: none) */
    int close;
    bool braced_label; /* layers: { … }, reported once */
} nn_body;

/* ---- parser.c: tokens, errors, recovery ---- */
void nn_p_start(nn_parser *p, nn_arena *arena, const nn_source *src, nn_diags *diags);
void nn_p_advance(nn_parser *p);
void nn_p_halt(nn_parser *p);             /* stop; the reason has been reported */
bool nn_p_accept(nn_parser *p, int kind); /* advances if tok[0] is of that kind */
bool nn_p_enter(nn_parser *p);            /* one level deeper; false: too deep, stopped */
void nn_p_leave(nn_parser *p);
void *nn_p_alloc(nn_parser *p, size_t n); /* NULL: stopped */
#define NN_P_NEW(p, type) ((type *)nn_p_alloc((p), sizeof(type)))

/* Reports at span; a scratch record when errors are muted here. */
nn_diag *nn_p_error(nn_parser *p, const char *code, nn_span span, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "unexpected X, expected WHAT" at tok[0]. */
nn_diag *nn_p_unexpected(nn_parser *p, const char *code, const char *expected);
/* A fix, unless the place is inside of a decoded string, where places are those of the whole. */
void nn_p_fix(nn_parser *p, nn_diag *g, nn_span span, const char *text, const char *what);
void nn_p_unclosed(nn_parser *p, nn_span open, const char *expected);
const char *nn_p_show(const nn_token *t, char out[48]); /* a token for a message, quoted */
nn_span nn_p_after(const nn_parser *p);                 /* the point after the last token */
nn_span nn_p_join(nn_span from, nn_span to);
bool nn_p_statement_ahead(const nn_parser *p); /* NAME, and ( { : or @ after it */
void nn_p_sync(nn_parser *p); /* at least one token further, to where a statement may begin */
/* Before each element of a list closed by `close`, n elements so far: passes the comma. False: the
 * list has ended (its closer is consumed), or is given up (reported). */
bool nn_p_more(nn_parser *p, nn_span open, int close, int n);
void nn_p_closer(nn_parser *p, nn_span open, int close); /* passes it, or reports and recovers */
/* A macro defined above; one defined anywhere (looks through the whole source, once). */
bool nn_p_macro_known(const nn_parser *p, const char *name);
bool nn_p_macro_anywhere(nn_parser *p, const char *name);
void nn_p_macro_add(nn_parser *p, const char *name);

/* ---- parse_value.c ---- */
nn_value *nn_p_value(nn_parser *p);
nn_value *nn_p_scalar(nn_parser *p, const char *expected);
nn_value *nn_p_shape(nn_parser *p);
nn_value *nn_p_ref(nn_parser *p, const char *expected);
bool nn_p_value_ahead(const nn_parser *p); /* tok[0] can begin a value */
bool nn_p_hpo_ahead(const nn_parser *p);
nn_value *nn_p_value_new(nn_parser *p, nn_value_kind kind, nn_span span);
/* After '(' of a call or of a definition's parameters. */
bool nn_p_args(nn_parser *p, nn_span open, nn_arg **ret_first, int *ret_n);
/* After '{': NAME ':' value … '}'. shapes: the values are shapes. */
bool nn_p_entries(nn_parser *p, nn_span open, bool shapes, nn_arg **ret_first, int *ret_n);
void nn_p_decode_quoted(nn_parser *p, nn_value *v);
/* After a value: a, b, … as one LIST. `numbers`: only while a number follows the comma; else while
 * anything follows that is no entry of its own, and a last comma is passed as well. */
nn_value *nn_p_more_values(nn_parser *p, nn_value *first, bool numbers);

/* ---- parse_item.c ---- */
nn_call *nn_p_call(nn_parser *p);    /* at its NAME, as a value or an item */
nn_value *nn_p_repeat(nn_parser *p); /* after '*' */
nn_item *nn_p_item(nn_parser *p);    /* at NAME or '(' */
/* After '(' and perhaps a first item: up to ')', and the repetition. */
nn_item *nn_p_group(nn_parser *p, nn_span open, nn_item *first);
/* After NAME ':' '{'; after NAME '{'. */
nn_item *nn_p_branch(nn_parser *p, const nn_token *name, nn_span open);
nn_item *nn_p_block_item(nn_parser *p, const nn_token *name, nn_span open);
void nn_p_body(nn_parser *p, nn_body *b);

/* ---- parse_section.c ---- */
/* At a NAME that is, or should be, a section, a definition or an item of the body. */
void nn_p_statement(nn_parser *p, nn_body *b);
bool nn_p_section_word(const char *word);
nn_define *nn_p_define(nn_parser *p); /* at the word define */
void nn_p_custom(nn_parser *p);       /* at the word custom; goes to the list of the program */

/* ---- parse_research.c ---- */
nn_research *nn_p_research(nn_parser *p); /* at the word research */
#endif
