/* SPDX-License-Identifier: MIT */
/* diag_print.c - diagnostics as text.
 * Only a window of the source line around the place is looked at, so that one line of many
 * megabytes costs no more than a short one. Cells are terminal columns: a tab goes to the next
 * multiple of TAB, wide characters take two, combining ones none. */
#include "lang/cells.h"
#include "lang/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAB = 4, WINDOW = 100, BEFORE = 60 };
/* Longer derivations are printed with their first and last steps only. */
enum { MAX_STEPS = 9, FIRST_STEPS = 2, LAST_STEPS = 6, MAX_NOTES = 12 };

static int by_place(const void *a, const void *b) {
    const nn_diag *x = *(const nn_diag *const *)a, *y = *(const nn_diag *const *)b;
    if (x->span.line != y->span.line) return x->span.line < y->span.line ? -1 : 1;
    if (x->span.col != y->span.col) return x->span.col < y->span.col ? -1 : 1;
    return (int)y->severity - (int)x->severity;
}

/* Merge by insertion is enough: at most NN_DIAGS_MAX records, nearly sorted. Stable, which qsort is
 * not. */
const nn_diag **nn_diags_sorted(const nn_diags *d, int *ret_n) {
    const nn_diag **v = d->stored ? malloc((size_t)d->stored * sizeof *v) : NULL;
    int n = 0;
    if (v)
        for (const nn_diag *g = d->first; g; g = g->next) {
            int i = n++;
            for (; i > 0 && by_place(&v[i - 1], &g) > 0; i--) v[i] = v[i - 1];
            v[i] = g;
        }
    *ret_n = n;
    return v;
}

/* Text that a terminal may print: controls and reordering marks become U+FFFD, as do bad bytes. */
static void put_char(const char *p, size_t n, int *len, int *width, nn_buf *out) {
    uint32_t c = 0;
    *len = nn_char_read(p, n, &c);
    if (*len && !nn_char_unsafe(c)) {
        nn_buf_append(out, p, (size_t)*len);
        *width = nn_char_width(c);
        return;
    }
    if (!*len) *len = 1;
    nn_buf_puts(out, "\xef\xbf\xbd");
    *width = 1;
}

static void put_text(const char *s, nn_buf *out) {
    int len, width;
    for (size_t n = strlen(s); n; n -= (size_t)len, s += len) {
        if (*s == '\n') {
            nn_buf_puts(out, "\\n");
            len = 1;
        } else
            put_char(s, n, &len, &width, out);
    }
}

static bool line_end(char c) {
    return c == '\n' || c == '\r';
}

/* Where the window begins: the line's start, or BEFORE bytes before the place on a whole character.
 */
static size_t window_begin(const nn_source *src, nn_span span) {
    size_t line = span.begin - (size_t)(span.col - 1);
    size_t begin = span.begin - line > WINDOW - 10 ? span.begin - BEFORE : line;
    while (begin > line && begin < src->size && (src->text[begin] & 0xc0) == 0x80) begin--;
    return begin;
}

int nn_source_line(const nn_source *src, nn_span span, nn_buf *out) {
    if (!span.line || span.begin > src->size || (size_t)(span.col - 1) > span.begin) return 0;
    size_t pos = window_begin(src, span);
    int cell = 0, mark = -1;
    if (pos + (size_t)(span.col - 1) > span.begin) {
        nn_buf_puts(out, "...");
        cell = 3;
    }
    while (pos < src->size && !line_end(src->text[pos])) {
        if (pos >= span.begin && mark < 0) mark = cell;
        if (cell >= WINDOW) {
            nn_buf_puts(out, "...");
            break;
        }
        int len = 1, width = TAB - cell % TAB;
        if (src->text[pos] == '\t')
            nn_buf_printf(out, "%*s", width, "");
        else
            put_char(src->text + pos, src->size - pos, &len, &width, out);
        cell += width;
        pos += (size_t)len;
    }
    return mark < 0 ? cell : mark;
}

/* Cells from `begin` to the end of the span, of its line and of the window; at least one. */
static int underline_cells(const nn_source *src, nn_span span, int from) {
    int cell = from;
    size_t end = span.end < src->size ? span.end : src->size;
    for (size_t pos = span.begin; pos < end && !line_end(src->text[pos]) && cell < WINDOW;) {
        uint32_t c = 0;
        int len = nn_char_read(src->text + pos, src->size - pos, &c);
        cell += src->text[pos] == '\t'      ? TAB - cell % TAB
                : !len || nn_char_unsafe(c) ? 1
                                            : nn_char_width(c);
        pos += len ? (size_t)len : 1;
    }
    return cell > from ? cell - from : 1;
}

typedef struct style {
    const char *bold, *red, *yellow, *blue, *green, *off;
} style;
static const style plain = {"", "", "", "", "", ""};
static const style ansi = {"\033[1m",    "\033[1;31m", "\033[1;35m",
                           "\033[1;36m", "\033[32m",   "\033[0m"};

static void print_place(const nn_source *src, nn_span span, const style *s, nn_buf *out) {
    nn_buf_puts(out, s->bold);
    put_text(src->name ? src->name : "<input>", out);
    if (span.line) nn_buf_printf(out, ":%d:%d", span.line, span.col);
    nn_buf_printf(out, ":%s ", s->off);
}

static void print_source(const nn_source *src, nn_span span, const char *colour, const style *s,
                         nn_buf *out) {
    if (!span.line) return;
    nn_buf_printf(out, "%5d | ", span.line);
    int cell = nn_source_line(src, span, out);
    nn_buf_printf(out, "\n      | %*s%s^", cell, "", colour);
    for (int n = underline_cells(src, span, cell); n > 1; n--) nn_buf_putc(out, '~');
    nn_buf_printf(out, "%s\n", s->off);
}

/* ---- the derivation of a shape ---- */

static int layer_cells(const struct nn_derivation *s) {
    int len, width, cells = 0;
    NN_BUF none = {0};
    for (const char *t = s->layer ? s->layer : ""; *t; t += len, cells += width)
        put_char(t, strlen(t), &len, &width, &none);
    return cells;
}

/* "line 4   Conv2D               (28, 28, 1) -> (26, 26, 32)    the rule" */
static void print_step(const struct nn_derivation *s, int line_width, int name_width, nn_buf *out) {
    if (s->span.line)
        nn_buf_printf(out, "line %-*d", line_width, s->span.line);
    else
        nn_buf_printf(out, "%*s", line_width + 5, "");
    put_text(s->layer ? s->layer : "", out);
    nn_buf_printf(out, "%*s", name_width - layer_cells(s), "");
    if (s->in) {
        put_text(s->in, out);
        nn_buf_puts(out, " -> ");
    }
    put_text(s->out ? s->out : "?", out);
    if (s->rule) {
        nn_buf_puts(out, "    ");
        put_text(s->rule, out);
    }
    nn_buf_putc(out, '\n');
}

static void print_steps(const nn_diag *g, const style *s, nn_buf *out) {
    int all = g->n_steps + g->cut_steps;
    int left_out = all > MAX_STEPS ? all - (FIRST_STEPS + LAST_STEPS) : 0;
    int line_width = 4, name_width = 21, i = 0;
    for (const struct nn_derivation *t = g->steps; t; t = t->next, i++) {
        if (i == FIRST_STEPS) i += g->cut_steps;
        if (left_out && i >= FIRST_STEPS && i < FIRST_STEPS + left_out) continue;
        int cells = layer_cells(t), digits = snprintf(NULL, 0, "%d", t->span.line);
        if (digits >= line_width) line_width = digits + 1;
        if (cells >= name_width) name_width = cells + 1;
    }
    i = 0;
    for (const struct nn_derivation *t = g->steps; t; t = t->next, i++) {
        bool gap = left_out && i == FIRST_STEPS;
        if (i == FIRST_STEPS) i += g->cut_steps;
        if (left_out && !gap && i >= FIRST_STEPS && i < FIRST_STEPS + left_out) continue;
        if (i == 0)
            nn_buf_printf(out, "      = %sshapes:%s ", s->blue, s->off);
        else
            nn_buf_printf(out, "%16s", "");
        if (gap)
            nn_buf_printf(out, "… %d more …\n", left_out);
        else
            print_step(t, line_width, name_width, out);
    }
}

/* ---- a diagnostic ---- */

static void print_notes(const nn_diags *d, const nn_diag *g, const style *s, nn_buf *out) {
    int n = 0;
    for (const struct nn_note *t = g->notes; t; t = t->next) {
        if (n++ >= MAX_NOTES) continue;
        if (t->span.line)
            print_place(d->source, t->span, s, out);
        else
            nn_buf_puts(out, "      = ");
        nn_buf_printf(out, "%snote:%s ", s->blue, s->off);
        put_text(t->text, out);
        nn_buf_putc(out, '\n');
        print_source(d->source, t->span, s->blue, s, out);
    }
    if (n > MAX_NOTES)
        nn_buf_printf(out, "      = %snote:%s ... and %d more\n", s->blue, s->off, n - MAX_NOTES);
}

static void print_one(const nn_diags *d, const nn_diag *g, const style *s, nn_buf *out) {
    const char *colour = g->severity == NN_SEV_ERROR     ? s->red
                         : g->severity == NN_SEV_WARNING ? s->yellow
                                                         : s->blue;
    print_place(d->source, g->span, s, out);
    nn_buf_printf(out, "%s%s:%s %s", colour, nn_severity_name(g->severity), s->off, s->bold);
    put_text(g->message, out);
    nn_buf_printf(out, "%s [%s]\n", s->off, g->code);
    print_source(d->source, g->span, colour, s, out);
    print_steps(g, s, out);
    print_notes(d, g, s, out);
    const char *hint = g->hint ? g->hint : g->fix.what;
    if (!hint) return;
    nn_buf_printf(out, "      = %shelp:%s ", s->green, s->off);
    put_text(hint, out);
    nn_buf_putc(out, '\n');
}

void nn_diags_print(const nn_diags *d, bool colour, nn_buf *out) {
    int n;
    const nn_diag **sorted = nn_diags_sorted(d, &n);
    for (int i = 0; i < n; i++) print_one(d, sorted[i], colour ? &ansi : &plain, out);
    free(sorted);
    int seen = 0, warned = 0;
    for (const nn_diag *g = d->first; g; g = g->next) {
        seen += g->severity == NN_SEV_ERROR;
        warned += g->severity == NN_SEV_WARNING;
    }
    if (d->errors > seen)
        nn_buf_printf(out, "... and %d more error%s\n", d->errors - seen,
                      d->errors - seen == 1 ? "" : "s");
    if (d->warnings > warned)
        nn_buf_printf(out, "... and %d more warning%s\n", d->warnings - warned,
                      d->warnings - warned == 1 ? "" : "s");
}
