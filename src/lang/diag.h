/* SPDX-License-Identifier: MIT */
/* diag.h - the list of diagnostics that lexer, parser and checker fill in one pass over a source.
 * A list and its texts live in the arena given to nn_diags_new. One thread at a time. */
#ifndef NN_LANG_DIAG_H
#define NN_LANG_DIAG_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/nearest.h" /* nn_nearest: "did you mean ...?" */
#include "base/span.h"

#include <stdbool.h>

typedef enum nn_severity { NN_SEV_NOTE, NN_SEV_WARNING, NN_SEV_ERROR } nn_severity;

typedef struct nn_source {
    const char *name; /* file name as the user gave it, "<input>" for text without a file */
    const char *text; /* not NUL-terminated by contract */
    size_t size;
} nn_source;

typedef struct nn_fix { /* replace span by text */
    nn_span span;
    const char *text;
    const char *what; /* "insert Flatten() before this layer" */
} nn_fix;

typedef struct nn_diag nn_diag;
struct nn_diag {
    nn_severity severity;
    const char *code; /* a row of messages.def: "unknown-layer" */
    nn_span span;
    const char *message; /* the sentence: what is wrong here */
    const char *hint;    /* what to do: "did you mean 'Dense'?"; NULL if nothing is known */
    struct nn_note {
        nn_span span; /* line 0: no place */
        const char *text;
        struct nn_note *next;
    } * notes;                   /* further lines, in order */
    struct nn_derivation *steps; /* the derivation of a shape, from the input on; NULL: none */
    struct nn_note *last_note;   /* ends of the two lists */
    struct nn_derivation *last_step;
    int n_steps;
    int cut_steps; /* of a derivation too long to be kept: left out after the first two */
    nn_fix fix;    /* what == NULL: none */
    nn_diag *next;
};

/* One line of a derivation: this layer made `out` of `in` by `rule`. */
struct nn_derivation {
    nn_span span;
    const char *layer, *in, *rule, *out; /* in NULL: an input; out NULL: here it fails */
    struct nn_derivation *next;
};

/* Where the text at hand was used: a macro's call. Innermost first. */
typedef struct nn_origin {
    const char *macro;
    nn_span span; /* of the call */
    const struct nn_origin *next;
} nn_origin;

typedef struct nn_diags {
    nn_arena *arena;
    const nn_source *source;
    nn_diag *first, **tail;
    int errors, warnings;    /* counted also past the cap */
    const nn_origin *origin; /* set by the checker while it is inside of a macro's text: each
                                diagnostic gets a note for every entry (at most four), and what
                                was said at another use of the macro is not said again */
    int stored;
    nn_diag *reserve; /* for the first diagnostic after the arena is full: it must be heard */
    nn_diag scratch;  /* what is given out past the cap */
} nn_diags;

enum { NN_DIAGS_MAX = 100 }; /* more are counted, not stored */

/* NULL only if the arena has no room for the list itself. `source` must outlive the list. */
nn_diags *nn_diags_new(nn_arena *arena, const nn_source *source);
/* Adds one and returns it for hint, notes and fix; past the cap a scratch record that is forgotten.
 * Never NULL. `code` must be a row of messages.def (asserted). */
nn_diag *nn_diag_add(nn_diags *d, nn_severity sev, const char *code, nn_span span, const char *fmt,
                     ...) __attribute__((format(printf, 5, 6)));
void nn_diag_hint(nn_diags *d, nn_diag *g, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A span with line 0 has no place. */
void nn_diag_note(nn_diags *d, nn_diag *g, nn_span span, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void nn_diag_fix(nn_diags *d, nn_diag *g, nn_span span, const char *text, const char *what);
/* Appends a line to the derivation; texts are copied (in, rule, out may be NULL). */
void nn_diag_step(nn_diags *d, nn_diag *g, nn_span span, const char *layer, const char *in,
                  const char *rule, const char *out);
/* Row i of messages.def, for the reference page; NULL past the last. ret_example is a program that
 * provokes it. */
const char *nn_message_at(unsigned i, nn_severity *ret_severity, const char **ret_meaning,
                          const char **ret_example);
/* The source with all fixes of errors and warnings applied, in order of place, that do not overlap
 * an earlier one; returns how many were applied. Of two insertions at one place the first is made.
 */
int nn_diags_apply(const nn_diags *d, nn_buf *out);
/* The diagnostics whose fixes that applies, in its order; returns how many. */
int nn_diags_fixes(const nn_diags *d, const nn_diag *ret[NN_DIAGS_MAX]);

/* Sorted by place. Text form, as compilers print it: "file:line:col: error: message [code]", the
 * source line, a caret line, the derivation (of a long one the first two lines and the last six),
 * up to twelve notes, the hint; long lines are cut around the caret; what a terminal would obey is
 * shown as U+FFFD. colour: ANSI colours. */
void nn_diags_print(const nn_diags *d, bool colour, nn_buf *out);
/* The `diagnostics` list of the wire contract (rest-api.md section 5), sorted by place: severity,
 * code, message, line, column, end_line, end_column, snippet, hint, fixes [{description, text,
 * line, column, end_line, end_column}], notes [{message, line, column}] and derivation [{layer,
 * input, rule, output, line, column}; null where nothing is known]. Of a derivation of more than 64
 * lines the first two and the last 61 are given, between them one whose layer is "… 83 more …".
 * Owned by the caller. */
nn_json *nn_diags_json(const nn_diags *d);
/* The stored diagnostics in order of place; *ret_n entries in an array to be freed by the caller;
 * NULL if there are none (or no memory). */
const nn_diag **nn_diags_sorted(const nn_diags *d, int *ret_n);
/* The source line of a place, cut to about 100 cells around it, safe for a terminal. Returns the
 * column of cells where the place begins. */
int nn_source_line(const nn_source *src, nn_span span, nn_buf *out);
const char *nn_severity_name(nn_severity s); /* "note", "warning", "error" */
#endif
