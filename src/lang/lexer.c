/* SPDX-License-Identifier: MIT */
/* lexer.c - tokens with places.
 * Invariants: pos only grows; each byte is looked at a bounded number of times, so lexing is
 * linear. A line ends at LF, at CR LF, or at a CR alone. Columns count bytes; a byte-order mark has
 * none. */
#include "lang/lexer.h"

#include "lang/cells.h"
#include "lang/tree.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct mark { /* where a token begins */
    size_t pos;
    int line, col;
} mark;

static mark mark_here(const nn_lexer *lx) {
    return (mark){lx->pos, lx->line, (int)(lx->pos - lx->line_begin) + 1};
}

static nn_span span_from(const nn_lexer *lx, mark m) {
    if (lx->place) return *lx->place;
    return (nn_span){.line = m.line,
                     .col = m.col,
                     .end_line = lx->line,
                     .end_col = (int)(lx->pos - lx->line_begin) + 1,
                     .begin = m.pos,
                     .end = lx->pos};
}

static int at(const nn_lexer *lx, size_t ahead) {
    return lx->end - lx->pos > ahead ? (unsigned char)lx->text[lx->pos + ahead] : -1;
}

static bool is_name_char(int c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

/* One byte further; counts lines. */
static void step(nn_lexer *lx) {
    char c = lx->text[lx->pos++];
    if (c == '\n' || (c == '\r' && at(lx, 0) != '\n')) {
        lx->line++;
        lx->line_begin = lx->pos;
        lx->first = true;
    }
}

/* ---- the whole text, before the first token ---- */

/* The place of byte `pos`, counted from the start: only for the one report of bad bytes. */
static nn_span place_of(const nn_source *src, size_t pos, size_t len) {
    nn_lexer lx = {.text = src->text, .end = src->size, .line = 1};
    if (src->size >= 3 && pos >= 3 && !memcmp(src->text, "\xef\xbb\xbf", 3))
        lx.pos = lx.line_begin = 3;
    while (lx.pos < pos) step(&lx);
    int col = (int)(pos - lx.line_begin) + 1;
    return (nn_span){lx.line, col, lx.line, col + (int)len, pos, pos + len};
}

static bool utf16_mark(const nn_source *src) {
    return src->size >= 2 &&
           (!memcmp(src->text, "\xff\xfe", 2) || !memcmp(src->text, "\xfe\xff", 2));
}

/* Reports the first byte that is not UTF-8 and how many follow: a Latin-1 file is one mistake. */
static void check_utf8(const nn_source *src, nn_diags *diags) {
    size_t bad = 0, first = 0;
    for (size_t i = 0; i < src->size;) {
        uint32_t c = 0;
        int n = (signed char)src->text[i] > 0 ? 1 : nn_char_read(src->text + i, src->size - i, &c);
        if (!n || src->text[i] == '\0') {
            if (!bad++) first = i;
            n = 1;
        }
        i += (size_t)n;
    }
    if (!bad) return;
    unsigned char byte = (unsigned char)src->text[first];
    nn_diag *g = nn_diag_add(
        diags, NN_SEV_ERROR, "not-utf8", place_of(src, first, 1),
        byte ? "byte 0x%02x is not UTF-8" : "byte 0x%02x (NUL) in a program text", byte);
    if (bad > 1) nn_diag_note(diags, g, (nn_span){0}, "%zu more bad bytes follow", bad - 1);
    nn_diag_hint(diags, g, byte ? "save the file as UTF-8" : "is this a text file?");
}

bool nn_lexer_init(nn_lexer *lx, nn_arena *arena, const nn_source *src, nn_diags *diags) {
    *lx = (nn_lexer){.arena = arena,
                     .diags = diags,
                     .text = src->text,
                     .end = src->size,
                     .line = 1,
                     .first = true};
    if (src->size > NN_SOURCE_MAX) {
        nn_diag_add(diags, NN_SEV_ERROR, "too-large", (nn_span){0},
                    "the source has %zu bytes; at most %d are read", src->size, NN_SOURCE_MAX);
        return false;
    }
    if (utf16_mark(src)) {
        nn_diag *g = nn_diag_add(diags, NN_SEV_ERROR, "not-utf8", place_of(src, 0, 1),
                                 "the file is UTF-16; a program is UTF-8");
        nn_diag_hint(diags, g, "save the file as UTF-8");
        return false;
    }
    check_utf8(src, diags);
    if (src->size >= 3 && !memcmp(src->text, "\xef\xbb\xbf", 3)) lx->pos = lx->line_begin = 3;
    return true;
}

/* ---- blanks ---- */

static void line_comment(nn_lexer *lx) {
    for (int c; (c = at(lx, 0)) != -1 && c != '\n' && c != '\r';) lx->pos++;
}

static void block_comment(nn_lexer *lx) {
    mark m = mark_here(lx);
    lx->pos += 2;
    nn_span open = span_from(lx, m);
    while (at(lx, 0) != -1) {
        if (at(lx, 0) == '*' && at(lx, 1) == '/') {
            lx->pos += 2;
            return;
        }
        step(lx);
    }
    lx->cut = true;
    nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "unclosed-comment", open,
                             "the comment that begins here has no end");
    nn_diag_hint(lx->diags, g, "close it with */");
}

static bool comment_ahead(const nn_lexer *lx) {
    int c = at(lx, 0), next = at(lx, 1);
    return c == '#' || (c == '/' && (next == '/' || next == '*'));
}

static void comment(nn_lexer *lx) {
    if (at(lx, 0) == '/' && at(lx, 1) == '*')
        block_comment(lx);
    else
        line_comment(lx);
}

static void skip_blanks(nn_lexer *lx) {
    for (;;) {
        int c = at(lx, 0);
        if (c == ' ' || c == '\t' || c == '\f' || c == '\v' || c == '\n' || c == '\r')
            step(lx);
        else if (comment_ahead(lx) && !lx->comments)
            comment(lx);
        else
            return;
    }
}

/* ---- what cannot be read ---- */

static const char *space_name(uint32_t c) {
    switch (c) {
    case 0xa0:
        return "no-break space";
    case 0x2007:
        return "figure space";
    case 0x200b:
        return "zero width space";
    case 0x202f:
        return "narrow no-break space";
    case 0x205f:
        return "medium mathematical space";
    case 0x2060:
        return "word joiner";
    case 0x3000:
        return "ideographic space";
    case 0xfeff:
        return "byte-order mark";
    default:
        return c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ? "Unicode space" : NULL;
    }
}

/* What to type instead of a character that word processors and keyboards slip in. */
static const char *ascii_for(uint32_t c) {
    switch (c) {
    case 0x2018:
    case 0x2019:
    case 0x201c:
    case 0x201d:
        return "\"";
    case 0x2013:
    case 0x2014:
    case 0x2212:
        return "-";
    case 0xd7:
        return "*";
    case 0xff08:
        return "(";
    case 0xff09:
        return ")";
    case 0xff0c:
        return ",";
    case 0xff1a:
        return ":";
    default:
        return NULL;
    }
}

/* Skips a run of one bad character and reports it once; bytes that are not UTF-8 have been
 * reported. */
static void bad_character(nn_lexer *lx) {
    mark m = mark_here(lx);
    uint32_t c = 0, again = 0;
    int n = nn_char_read(lx->text + lx->pos, lx->end - lx->pos, &c);
    do {
        lx->pos += n ? (size_t)n : 1;
    } while (lx->pos < lx->end && n &&
             nn_char_read(lx->text + lx->pos, lx->end - lx->pos, &again) == n && again == c);
    if (!n || c == 0) return;
    nn_span span = span_from(lx, m);
    if (space_name(c)) {
        nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-space", span,
                                 "unexpected U+%04X (%s)", (unsigned)c, space_name(c));
        nn_diag_hint(lx->diags, g, "replace it by a blank");
        nn_diag_fix(lx->diags, g, span, " ", "replace it by a blank");
        return;
    }
    nn_diag *g =
        c < 0x80 && isprint((int)c)
            ? nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-character", span,
                          "unexpected character '%c'", (int)c)
            : nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-character", span,
                          "unexpected character U+%04X '%.*s'", (unsigned)c, n, lx->text + m.pos);
    if (ascii_for(c)) nn_diag_hint(lx->diags, g, "write %s instead", ascii_for(c));
}

/* ---- tokens ---- */

static const char *keep(nn_lexer *lx, const char *p, size_t n) {
    const char *s = nn_arena_strndup(lx->arena, p, n);
    if (s) return s;
    lx->full = true;
    return "";
}

/* The length of a character that stands here and that people of some language write names with,
 * though names here have none of them; else 0. Symbols, punctuation and digits are not among them.
 */
static int foreign_letter(const nn_lexer *lx) {
    uint32_t c = 0;
    int n = at(lx, 0) < 0x80 ? 0 : nn_char_read(lx->text + lx->pos, lx->end - lx->pos, &c);
    bool letter = c >= 0xc0 && c != 0xd7 && c != 0xf7 && !(c >= 0x2000 && c < 0x2c00) &&
                  !(c >= 0x3000 && c < 0x3040) && !(c >= 0xfe00 && c < 0x10000) && c < 0x1f000 &&
                  !space_name(c);
    return n && letter ? n : 0;
}

/* Reports the character at `bad`, inside of the name that was just read. */
static void bad_name(nn_lexer *lx, mark bad) {
    nn_lexer there = *lx;
    uint32_t c = 0;
    int n = nn_char_read(lx->text + bad.pos, lx->end - bad.pos, &c);
    there.pos = bad.pos + (size_t)n;
    nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-character", span_from(&there, bad),
                             "unexpected character U+%04X '%.*s' in a name", (unsigned)c, n,
                             lx->text + bad.pos);
    nn_diag_hint(lx->diags, g, "names are made of A-Z, a-z, 0-9 and _");
}

/* A name with letters that names cannot have is one mistake, and still a name. */
static void lex_name(nn_lexer *lx, nn_token *t) {
    mark m = mark_here(lx), bad = {0};
    for (int n; (n = is_name_char(at(lx, 0)) ? 1 : foreign_letter(lx)) > 0; lx->pos += (size_t)n)
        if (n > 1 && !bad.line) bad = mark_here(lx);
    t->kind = NN_T_NAME;
    t->span = span_from(lx, m);
    t->text = keep(lx, lx->text + m.pos, lx->pos - m.pos);
    t->damaged = bad.line != 0;
    if (bad.line) bad_name(lx, bad);
}

static void bad_number(nn_lexer *lx, nn_token *t, const char *what, const char *hint) {
    t->kind = NN_T_INT;
    t->damaged = true;
    nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-number", t->span, "%s '%.60s%s'", what,
                             t->text, strlen(t->text) > 60 ? "..." : "");
    nn_diag_hint(lx->diags, g, "%s", hint);
}

static void bad_hex(nn_lexer *lx, nn_token *t) {
    const char *digits = t->text + (*t->text == '-' || *t->text == '+');
    char *end;
    errno = 0;
    unsigned long long v = strtoull(digits, &end, 16);
    t->kind = NN_T_INT;
    t->damaged = true;
    nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-number", t->span,
                             "hexadecimal numbers are not part of the language");
    if (!*end && !errno && strlen(digits) > 2) nn_diag_hint(lx->diags, g, "write %llu", v);
}

/* Moves over [0-9]* and returns how many. */
static size_t digits(nn_lexer *lx) {
    size_t begin = lx->pos;
    while (is_digit(at(lx, 0))) lx->pos++;
    return lx->pos - begin;
}

/* Sets the value from the spelling, which is well formed. */
static void number_value(nn_lexer *lx, nn_token *t) {
    errno = 0;
    t->f = strtod(t->text, NULL);
    if (t->kind == NN_T_FLOAT) {
        if (!isfinite(t->f))
            bad_number(lx, t, "number out of range", "the largest number is about 1.8e308");
        return;
    }
    errno = 0;
    t->i = strtoll(t->text, NULL, 10);
    if (errno == ERANGE)
        bad_number(lx, t, "integer out of range", "an integer lies between -2^63 and 2^63 - 1");
}

/* [+-] blanks* digits [. digits] [e digits]: what follows must not be part of a word or number. */
static void lex_number(nn_lexer *lx, nn_token *t) {
    mark m = mark_here(lx);
    char sign = '\0';
    if (at(lx, 0) == '-' || at(lx, 0) == '+') {
        sign = lx->text[lx->pos++];
        while (at(lx, 0) == ' ' || at(lx, 0) == '\t') lx->pos++;
    }
    size_t begin = lx->pos, n = digits(lx);
    bool hex = n == 1 && lx->text[begin] == '0' && (at(lx, 0) | 32) == 'x', ok = true;
    t->kind = NN_T_INT;
    if (at(lx, 0) == '.') {
        t->kind = NN_T_FLOAT;
        lx->pos++;
        ok = digits(lx) + n > 0;
    }
    if (ok && (at(lx, 0) | 32) == 'e') {
        t->kind = NN_T_FLOAT;
        lx->pos += at(lx, 1) == '-' || at(lx, 1) == '+' ? 2 : 1;
        ok = digits(lx) > 0;
    }
    while (is_name_char(at(lx, 0)) || at(lx, 0) == '.') {
        ok = false;
        lx->pos++;
    }
    t->span = span_from(lx, m);
    size_t len = lx->pos - begin;
    char *text = nn_arena_alloc(lx->arena, len + 2);
    if (!text) {
        lx->full = true;
        return;
    }
    text[0] = sign;
    memcpy(text + (sign != 0), lx->text + begin, len);
    t->text = text;
    if (hex)
        bad_hex(lx, t);
    else if (!ok)
        bad_number(lx, t, "malformed number",
                   "a number is written 10, -3, 0.5 or 1e-4; a name begins with a letter");
    else
        number_value(lx, t);
}

static void bad_escape(nn_lexer *lx, mark m) {
    int c = at(lx, 0);
    nn_lexer ahead = *lx;
    if (c != -1 && c < 0x80) ahead.pos++;
    nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "bad-escape", span_from(&ahead, m),
                             "unknown escape sequence in a string");
    nn_diag_hint(lx->diags, g, "known are \\\" \\' \\\\ \\n \\t; write \\\\ for a backslash");
}

/* After a backslash: appends what it stands for. */
static void lex_escape(nn_lexer *lx, mark m, char *out, size_t *n) {
    int c = at(lx, 0);
    switch (c) {
    case 'n':
        out[(*n)++] = '\n';
        break;
    case 't':
        out[(*n)++] = '\t';
        break;
    case '"':
    case '\'':
    case '\\':
        out[(*n)++] = (char)c;
        break;
    case '\r': /* a line break after a backslash joins the lines */
        step(lx);
        if (at(lx, 0) == '\n') step(lx);
        return;
    case '\n':
        break;
    default:
        bad_escape(lx, m);
        out[(*n)++] = '\\';
        return;
    }
    step(lx);
}

/* The bytes up to the closing quote; false if the line ends first. `out` is large enough: what is
 * decoded is never longer than its source, but for a bad byte, which becomes '?'. */
static bool string_body(nn_lexer *lx, int quote, char *out, size_t *n, bool *ret_escapes) {
    for (int c; (c = at(lx, 0)) != quote;) {
        if (c == -1 || c == '\n' || c == '\r') return false;
        mark m = mark_here(lx);
        if (c == '\\') {
            lx->pos++;
            *ret_escapes = true;
            lex_escape(lx, m, out, n);
            continue;
        }
        uint32_t u = 0;
        int len = nn_char_read(lx->text + lx->pos, lx->end - lx->pos, &u);
        if (!len || c == 0)
            out[(*n)++] = '?';
        else
            for (int k = 0; k < len; k++) out[(*n)++] = lx->text[lx->pos + (size_t)k];
        lx->pos += len ? (size_t)len : 1;
    }
    return true;
}

/* An upper bound of the decoded length: to the first quote of this kind that no backslash hides, or
 * to the end of the line. */
static size_t string_room(const nn_lexer *lx, int quote) {
    size_t n = 0;
    for (int c; (c = at(lx, n)) != -1 && c != quote && c != '\n' && c != '\r'; n++)
        if (c == '\\') {
            n++;
            if (at(lx, n) == '\r' && at(lx, n + 1) == '\n') n++;
        }
    return n;
}

static void lex_string(nn_lexer *lx, nn_token *t) {
    mark m = mark_here(lx);
    int quote = lx->text[lx->pos++];
    t->kind = NN_T_STRING;
    size_t n = 0;
    char *out = nn_arena_alloc(lx->arena, string_room(lx, quote) + 2);
    if (!out) {
        lx->full = true;
        lx->pos = lx->end;
        return;
    }
    t->text = out;
    bool closed = string_body(lx, quote, out, &n, &t->escapes);
    if (closed) lx->pos++;
    t->span = span_from(lx, m);
    if (!closed) {
        t->damaged = true;
        nn_diag *g = nn_diag_add(lx->diags, NN_SEV_ERROR, "unclosed-string", t->span,
                                 "the string that begins here does not end on its line");
        nn_diag_hint(lx->diags, g, "close it with %c", quote);
    }
}

static bool number_follows(const nn_lexer *lx) {
    size_t n = at(lx, 0) == '-' || at(lx, 0) == '+';
    if (n)
        while (at(lx, n) == ' ' || at(lx, n) == '\t') n++;
    return is_digit(at(lx, n)) || (at(lx, n) == '.' && is_digit(at(lx, n + 1)));
}

static bool lex_one(nn_lexer *lx, nn_token *t) {
    int c = at(lx, 0);
    mark m = mark_here(lx);
    if (c == -1) {
        t->kind = NN_T_EOF;
        t->span = span_from(lx, m);
    } else if (comment_ahead(lx)) {
        comment(lx);
        t->kind = NN_T_COMMENT;
        t->span = span_from(lx, m);
    } else if ((is_name_char(c) && !is_digit(c)) || foreign_letter(lx))
        lex_name(lx, t);
    else if (c == '"' || c == '\'')
        lex_string(lx, t);
    else if (number_follows(lx))
        lex_number(lx, t);
    else if (c == '-' && at(lx, 1) == '>') {
        lx->pos += 2;
        t->kind = NN_T_ARROW;
        t->span = span_from(lx, m);
    } else if (c && strchr("(){}[],:;=*@$", c)) {
        lx->pos++;
        t->kind = c;
        t->span = span_from(lx, m);
    } else {
        bad_character(lx);
        return false;
    }
    return true;
}

void nn_lexer_next(nn_lexer *lx, nn_token *ret) {
    bool damaged = false;
    *ret = (nn_token){.text = ""};
    do {
        skip_blanks(lx);
        ret->first = lx->first;
        if (lex_one(lx, ret)) break;
        damaged = true;
    } while (true);
    ret->damaged |= damaged;
    lx->first = false;
}
