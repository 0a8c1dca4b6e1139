/* SPDX-License-Identifier: MIT */
/* diag.c - the list. Reporting never fails: past the cap, or when the arena is full, the record is
 * counted and forgotten, except that the first one which finds the arena full gets a record that
 * was set aside when the list was made. */
#include "lang/diag.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RESERVE_TEXT = 240 };

typedef struct message {
    const char *code;
    nn_severity severity;
    const char *meaning;
} message;
static const message messages[] = {
#define NN_MESSAGE(code, severity, meaning) {code, NN_SEV_##severity, meaning},
#include "lang/messages.def"
#undef NN_MESSAGE
};
enum { N_MESSAGES = sizeof messages / sizeof *messages };

const char *nn_message_at(unsigned i, nn_severity *ret_severity, const char **ret_meaning) {
    if (i >= N_MESSAGES) return NULL;
    *ret_severity = messages[i].severity;
    *ret_meaning = messages[i].meaning;
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

nn_diag *nn_diag_add(nn_diags *d, nn_severity sev, const char *code, nn_span span, const char *fmt,
                     ...) {
    assert(known_code(code));
    if (sev == NN_SEV_ERROR) d->errors++;
    if (sev == NN_SEV_WARNING) d->warnings++;
    d->scratch = (nn_diag){.message = "", .severity = sev, .code = code, .span = span};
    if (d->stored >= NN_DIAGS_MAX) return &d->scratch;
    va_list ap;
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
    if (g == &d->scratch || g->n_notes == (int)(sizeof g->notes / sizeof *g->notes)) return;
    va_list ap;
    va_start(ap, fmt);
    const char *text = format(d->arena, fmt, ap);
    va_end(ap);
    if (!text) return;
    g->notes[g->n_notes].span = span;
    g->notes[g->n_notes++].text = text;
}

void nn_diag_fix(nn_diags *d, nn_diag *g, nn_span span, const char *text, const char *what) {
    if (g == &d->scratch) return;
    g->fix = (nn_fix){span, nn_arena_strdup(d->arena, text), nn_arena_strdup(d->arena, what)};
    if (!g->fix.text) g->fix.what = NULL;
}
