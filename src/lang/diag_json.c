/* SPDX-License-Identifier: MIT */
/* diag_json.c - diagnostics on the wire (rest-api.md section 5). */
#include "lang/diag.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_STEPS = 64, FIRST_STEPS = 2 };

static void set_int(nn_json *o, const char *key, int v) {
    nn_json_set(o, key, v ? nn_json_new_int(v) : nn_json_new_null());
}

static void set_place(nn_json *o, nn_span s, bool end) {
    set_int(o, "line", s.line);
    set_int(o, "column", s.col);
    if (!end) return;
    set_int(o, "end_line", s.end_line);
    set_int(o, "end_column", s.end_col);
}

static nn_json *fixes(const nn_diag *g) {
    nn_json *list = nn_json_new_array();
    if (!g->fix.what) return list;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "description", nn_json_new_str(g->fix.what));
    nn_json_set(o, "text", nn_json_new_str(g->fix.text));
    set_place(o, g->fix.span, true);
    nn_json_push(list, o);
    return list;
}

static nn_json *notes(const nn_diag *g) {
    nn_json *list = nn_json_new_array();
    for (const struct nn_note *n = g->notes; n; n = n->next) {
        nn_json *o = nn_json_new_object();
        nn_json_set(o, "message", nn_json_new_str(n->text));
        set_place(o, n->span, false);
        nn_json_push(list, o);
    }
    return list;
}

static void push_step(nn_json *list, const struct nn_derivation *s) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "layer", nn_json_new_str(s->layer));
    nn_json_set(o, "input", nn_json_new_str(s->in));
    nn_json_set(o, "rule", nn_json_new_str(s->rule));
    nn_json_set(o, "output", nn_json_new_str(s->out));
    set_place(o, s->span, false);
    nn_json_push(list, o);
}

static nn_json *derivation(const nn_diag *g) {
    nn_json *list = nn_json_new_array();
    int all = g->n_steps + g->cut_steps, i = 0;
    int left_out = all > MAX_STEPS ? all - (MAX_STEPS - 1) : 0;
    for (const struct nn_derivation *s = g->steps; s; s = s->next, i++) {
        bool gap = i == FIRST_STEPS;
        if (gap) i += g->cut_steps;
        if (!left_out || i < FIRST_STEPS || i >= FIRST_STEPS + left_out) push_step(list, s);
        if (!left_out || !gap) continue;
        char more[40];
        snprintf(more, sizeof more, "… %d more …", left_out);
        push_step(list, &(struct nn_derivation){.layer = more});
    }
    return list;
}

static nn_json *one(const nn_diags *d, const nn_diag *g) {
    NN_BUF line = {0};
    nn_source_line(d->source, g->span, &line);
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "severity", nn_json_new_str(nn_severity_name(g->severity)));
    nn_json_set(o, "code", nn_json_new_str(g->code));
    nn_json_set(o, "message", nn_json_new_str(g->message));
    set_place(o, g->span, true);
    nn_json_set(o, "snippet",
                g->span.line ? nn_json_new_str(nn_buf_str(&line)) : nn_json_new_null());
    nn_json_set(o, "hint", nn_json_new_str(g->hint));
    nn_json_set(o, "fixes", fixes(g));
    nn_json_set(o, "notes", notes(g));
    nn_json_set(o, "derivation", derivation(g));
    return o;
}

nn_json *nn_diags_json(const nn_diags *d) {
    nn_json *list = nn_json_new_array();
    int n;
    const nn_diag **sorted = nn_diags_sorted(d, &n);
    for (int i = 0; i < n; i++) nn_json_push(list, one(d, sorted[i]));
    free(sorted);
    return list;
}
