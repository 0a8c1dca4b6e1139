/* SPDX-License-Identifier: MIT */
/* derive.c - how a shape came about: a line for each layer from the input to the one that fails,
 * with the layer's rule worked out for its numbers. */
#include "compile/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { RULE_MAX = 160 };

/* Takes off what may be half a character. */
static size_t whole_characters(const char *buf, size_t n) {
    while (n && ((unsigned char)buf[n - 1] & 0xC0) == 0x80) n--;
    return n && ((unsigned char)buf[n - 1] & 0xC0) == 0xC0 ? n - 1 : n;
}

/* A call as it stands in the source, on one line; a long one is cut. */
static const char *call_text(const nn_check *c, nn_span s, char *buf, size_t cap) {
    size_t n = 0;
    bool blank = false, cut = false;
    for (size_t i = s.begin; i < s.end && i < c->source->size; i++) {
        unsigned char ch = (unsigned char)c->source->text[i];
        cut = n + sizeof " …" > cap;
        if (ch == '{' || cut) break;
        if (ch <= ' ') {
            blank = n > 0;
            continue;
        }
        if (blank) buf[n++] = ' ';
        blank = false;
        buf[n++] = (char)ch;
    }
    if (cut) n = whole_characters(buf, n);
    snprintf(buf + n, cap - n, "%s", cut ? "…" : "");
    return buf;
}

/* floor((28 + 2 - 3) / 2) + 1 = 14, for the first axis of a window. */
static void window_rule(const nn_window *w, const nn_shape *in, const nn_shape *out, char *buf) {
    int64_t d = in->dim[0], ke = (w->size[0] - 1) * w->dilation[0] + 1;
    int64_t pads = w->pad_before[0] + w->pad_after[0];
    if (d < 0)
        snprintf(buf, RULE_MAX, "unknown stays unknown");
    else if (w->same)
        snprintf(buf, RULE_MAX, "same: ceil(%" PRId64 " / %" PRId64 ") = %" PRId64, d, w->stride[0],
                 out->dim[0]);
    else if (pads)
        snprintf(buf, RULE_MAX,
                 "floor((%" PRId64 " + %" PRId64 " - %" PRId64 ") / %" PRId64 ") + 1 = %" PRId64, d,
                 pads, ke, w->stride[0], out->dim[0]);
    else
        snprintf(buf, RULE_MAX, "floor((%" PRId64 " - %" PRId64 ") / %" PRId64 ") + 1 = %" PRId64,
                 d, ke, w->stride[0], out->dim[0]);
}

static void flatten_rule(const nn_shape *in, char *buf) {
    int at = 0;
    for (int i = 0; i < in->rank && at < RULE_MAX - 24; i++)
        at += snprintf(buf + at, (size_t)(RULE_MAX - at), "%s%" PRId64, i ? " * " : "", in->dim[i]);
    snprintf(buf + at, (size_t)(RULE_MAX - at), " = %" PRId64, nn_shape_elements(in));
}

/* The rule with this row's numbers where that says more than the rule itself. */
static const char *worked_rule(const nn_check *c, const nn_unit_layer *row, char *buf) {
    const char *rule = row->layer->rule;
    const nn_node *n =
        row->known && row->first_node <= row->last_node ? &c->graph->nodes[row->first_node] : NULL;
    bool window = n && (n->op == NN_OP_CONV || n->op == NN_OP_MAX_POOL || n->op == NN_OP_AVG_POOL);
    if (window)
        window_rule(n->op == NN_OP_CONV ? &n->attr.conv.window : &n->attr.pool, &row->in, &n->shape,
                    buf);
    else if (n && n->op == NN_OP_RESHAPE && n->attr.reshape.flatten &&
             nn_shape_elements(&row->in) > 0)
        flatten_rule(&row->in, buf);
    else
        snprintf(buf, RULE_MAX, "%.*s", row->known ? (int)strcspn(rule, ";") : RULE_MAX - 1, rule);
    return buf;
}

static void step(nn_check *c, nn_diag *d, const nn_unit_layer *row, bool fails) {
    char label[48], in[160], out[160], rule[RULE_MAX];
    const char *from =
        row->layer->role == NN_ROLE_INPUT ? NULL : nn_shape_print(&row->in, false, in, sizeof in);
    nn_diag_step(c->diags, d, row->span, call_text(c, row->span, label, sizeof label), from,
                 from ? worked_rule(c, row, rule) : NULL,
                 fails || !row->known ? NULL : nn_shape_print(&row->out, false, out, sizeof out));
}

void nn_check_derive(nn_check *c, nn_diag *d, int row) {
    enum { MOST = 64, FIRST = 2 }; /* of a longer chain: the last ones, and the first */
    int chain[MOST], n = 0;
    for (int r = row; r >= 0; r = c->unit->layers[r].n_inputs ? c->unit->layers[r].inputs[0] : -1) {
        if (n == MOST) {
            memmove(&chain[MOST - FIRST], &chain[MOST - FIRST + 1], (FIRST - 1) * sizeof chain[0]);
            n--;
            d->cut_steps++;
        }
        chain[n++] = r;
    }
    while (n-- > 0) step(c, d, &c->unit->layers[chain[n]], n == 0);
}
