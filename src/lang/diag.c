/* SPDX-License-Identifier: MIT */
/* diag.c - the list. Reporting never fails: past the cap, or when the arena is full, the record is
 * counted and forgotten, except that the first one which finds the arena full gets a record that
 * was set aside when the list was made. Texts are copied into the list's arena. */
#include "lang/diag.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESERVE_TEXT = 240, MAX_ORIGINS = 4 };

typedef struct message {
    const char *code;
    nn_severity severity;
    const char *meaning, *example;
} message;
/* A row that forgot its example gets an empty one, and fails the test of all rows. */
static const message messages[] = {
#define NN_MESSAGE(code, severity, meaning, ...) {code, NN_SEV_##severity, meaning, "" __VA_ARGS__},
#include "lang/messages.def"
#undef NN_MESSAGE
};
enum { N_MESSAGES = sizeof messages / sizeof *messages };

const char *nn_message_at(unsigned i, nn_severity *ret_severity, const char **ret_meaning,
                          const char **ret_example) {
    if (i >= N_MESSAGES) return NULL;
    *ret_severity = messages[i].severity;
    *ret_meaning = messages[i].meaning;
    *ret_example = messages[i].example;
    return messages[i].code;
}

__attribute__((unused)) static bool known_code(const char *code) {
    for (unsigned i = 0; i < N_MESSAGES; i++)
        if (!strcmp(messages[i].code, code)) return true;
    return false;
}

const char *nn_severity_name(nn_severity s) {
    return s == NN_SEV_ERROR ? "error" : s == NN_SEV_WARNING ? "warning" : "note";
}

nn_diags *nn_diags_new(nn_arena *arena, const nn_source *source) {
    nn_diags *d = NN_NEW(arena, nn_diags);
    nn_diag *reserve = NN_NEW(arena, nn_diag);
    char *text = nn_arena_alloc(arena, RESERVE_TEXT);
    if (!d || !reserve || !text) return NULL;
    reserve->message = text;
    *d = (nn_diags){.arena = arena, .source = source, .tail = &d->first, .reserve = reserve};
    return d;
}

__attribute__((format(printf, 2, 0))) static char *format(nn_arena *arena, const char *fmt,
                                                          va_list ap) {
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    char *s = n < 0 ? NULL : nn_arena_alloc(arena, (size_t)n + 1);
    if (s) {
        if ((size_t)n < sizeof small)
            memcpy(s, small, (size_t)n + 1);
        else
            vsnprintf(s, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return s;
}

/* A record with its message, or NULL if the arena is full and the reserve is used up. */
__attribute__((format(printf, 2, 0))) static nn_diag *make(nn_diags *d, const char *fmt,
                                                           va_list ap) {
    va_list again;
    va_copy(again, ap);
    nn_diag *g = NN_NEW(d->arena, nn_diag);
    char *text = g ? format(d->arena, fmt, ap) : NULL;
    if (text)
        g->message = text;
    else {
        g = d->reserve;
        d->reserve = NULL;
        if (g) vsnprintf((char *)(size_t)g->message, RESERVE_TEXT, fmt, again);
    }
    va_end(again);
    return g;
}

static void note_origins(nn_diags *d, nn_diag *g) {
    const nn_origin *o = d->origin;
    for (int i = 0; o && i < MAX_ORIGINS; i++, o = o->next)
        nn_diag_note(d, g, o->span, "in macro '%s', used here", o->macro);
}

/* Whether the text of a macro has brought this before, at another of its uses. */
__attribute__((format(printf, 4, 0))) static bool
said_before(const nn_diags *d, const char *code, nn_span span, const char *fmt, va_list ap) {
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    for (const nn_diag *g = d->first; g; g = g->next)
        if (g->span.line == span.line && g->span.col == span.col && !strcmp(g->code, code) &&
            !strncmp(g->message, text, sizeof text - 1))
            return true;
    return false;
}

nn_diag *nn_diag_add(nn_diags *d, nn_severity sev, const char *code, nn_span span, const char *fmt,
                     ...) {
    assert(known_code(code));
    va_list ap;
    va_start(ap, fmt);
    bool again = d->origin && said_before(d, code, span, fmt, ap);
    va_end(ap);
    d->scratch = (nn_diag){.message = "", .severity = sev, .code = code, .span = span};
    if (again) return &d->scratch;
    if (sev == NN_SEV_ERROR) d->errors++;
    if (sev == NN_SEV_WARNING) d->warnings++;
    if (d->stored >= NN_DIAGS_MAX) return &d->scratch;
    va_start(ap, fmt);
    nn_diag *g = make(d, fmt, ap);
    va_end(ap);
    if (!g) return &d->scratch;
    g->severity = sev;
    g->code = code;
    g->span = span;
    *d->tail = g;
    d->tail = &g->next;
    d->stored++;
    note_origins(d, g);
    return g;
}

void nn_diag_hint(nn_diags *d, nn_diag *g, const char *fmt, ...) {
    if (g == &d->scratch) return;
    va_list ap;
    va_start(ap, fmt);
    g->hint = format(d->arena, fmt, ap);
    va_end(ap);
}

void nn_diag_note(nn_diags *d, nn_diag *g, nn_span span, const char *fmt, ...) {
    if (g == &d->scratch) return;
    va_list ap;
    va_start(ap, fmt);
    const char *text = format(d->arena, fmt, ap);
    va_end(ap);
    struct nn_note *n = text ? NN_NEW(d->arena, struct nn_note) : NULL;
    if (!n) return;
    *n = (struct nn_note){.span = span, .text = text};
    *(g->last_note ? &g->last_note->next : &g->notes) = n;
    g->last_note = n;
}

/* Copies s; false if there is a text and no room for it. */
static bool keep(nn_diags *d, const char *s, const char **ret) {
    *ret = s ? nn_arena_strdup(d->arena, s) : NULL;
    return !s || *ret;
}

void nn_diag_step(nn_diags *d, nn_diag *g, nn_span span, const char *layer, const char *in,
                  const char *rule, const char *out) {
    if (g == &d->scratch) return;
    struct nn_derivation *s = NN_NEW(d->arena, struct nn_derivation);
    if (!s || !keep(d, layer, &s->layer) || !keep(d, in, &s->in) || !keep(d, rule, &s->rule) ||
        !keep(d, out, &s->out))
        return;
    s->span = span;
    *(g->last_step ? &g->last_step->next : &g->steps) = s;
    g->last_step = s;
    g->n_steps++;
}

/* ---- fixes ---- */

void nn_diag_fix(nn_diags *d, nn_diag *g, nn_span span, const char *text, const char *what) {
    if (g == &d->scratch) return;
    g->fix = (nn_fix){span, nn_arena_strdup(d->arena, text), nn_arena_strdup(d->arena, what)};
    if (!g->fix.text) g->fix.what = NULL;
}

static int by_begin(const void *a, const void *b) {
    const nn_fix *x = &(*(const nn_diag *const *)a)->fix, *y = &(*(const nn_diag *const *)b)->fix;
    if (x->span.begin != y->span.begin) return x->span.begin < y->span.begin ? -1 : 1;
    if (x->span.end != y->span.end) return x->span.end < y->span.end ? -1 : 1;
    return strcmp(x->text, y->text);
}

static bool can_be_applied(const nn_diags *d, const nn_diag *g) {
    nn_span s = g->fix.span;
    return g->severity != NN_SEV_NOTE && g->fix.what && s.line && s.begin <= s.end &&
           s.end <= d->source->size;
}

int nn_diags_fixes(const nn_diags *d, const nn_diag *ret[NN_DIAGS_MAX]) {
    int n = 0, kept = 0;
    for (const nn_diag *g = d->first; g && n < NN_DIAGS_MAX; g = g->next)
        if (can_be_applied(d, g)) ret[n++] = g;
    qsort(ret, (size_t)n, sizeof ret[0], by_begin);
    size_t pos = 0,
           inserted = SIZE_MAX; /* where the last one ended; where the last insertion was */
    for (int i = 0; i < n; i++) {
        const nn_fix *f = &ret[i]->fix;
        bool insertion = f->span.begin == f->span.end;
        if (f->span.begin < pos || (insertion && f->span.begin == inserted)) continue;
        pos = f->span.end;
        if (insertion) inserted = f->span.begin;
        ret[kept++] = ret[i];
    }
    return kept;
}

int nn_diags_apply(const nn_diags *d, nn_buf *out) {
    const nn_diag *list[NN_DIAGS_MAX];
    int n = nn_diags_fixes(d, list);
    size_t pos = 0;
    for (int i = 0; i < n; i++) {
        const nn_fix *f = &list[i]->fix;
        nn_buf_append(out, d->source->text + pos, f->span.begin - pos);
        nn_buf_puts(out, f->text);
        pos = f->span.end;
    }
    nn_buf_append(out, d->source->text + pos, d->source->size - pos);
    return n;
}
