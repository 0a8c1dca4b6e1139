/* SPDX-License-Identifier: MIT */
/* Any bytes are parsed, and their macros expanded. What must hold: no crash; every place lies in
 * the text; parsing again gives the same trees and messages; a text without errors means the same
 * with comments around it, and all of its line breaks turned into CR LF keep its tree; what is
 * expanded calls no macro any more, and expanding again changes nothing; fixes fit the text. */
#include "lang/tree.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void must(bool x) {
    if (!x) abort();
}

typedef struct outcome {
    nn_buf tree, messages, expanded;
    int errors;
} outcome;

static void check_span(const nn_source *src, nn_span s) {
    if (!s.line) return;
    must(s.line > 0 && s.col > 0 && s.begin <= s.end && s.end <= src->size);
    must(s.end_line > s.line || (s.end_line == s.line && s.end_col >= s.col));
}

static void check_diags(const nn_source *src, const nn_diags *d) {
    for (const nn_diag *g = d->first; g; g = g->next) {
        check_span(src, g->span);
        for (const struct nn_note *t = g->notes; t; t = t->next) check_span(src, t->span);
    }
    NN_BUF fixed = {0};
    int n = nn_diags_apply(d, &fixed);
    must(n <= d->stored && (n || fixed.n == src->size));
}

static bool is_layer(const char *name) {
    return !strcmp(name, "Dense");
}

static bool is_macro(const nn_program *p, const nn_network *net, const char *name) {
    for (const nn_define *d = net ? net->defines : NULL; d; d = d->next)
        if (!strcmp(d->name, name)) return !is_layer(name);
    for (const nn_define *d = p->defines; d; d = d->next)
        if (!strcmp(d->name, name)) return !is_layer(name);
    return false;
}

static void no_macro_left(const nn_program *p, const nn_network *net, const nn_item *it) {
    for (; it; it = it->next) {
        if (it->kind == NN_ITEM_CALL) {
            /* the body of a macro of the file does not see those of the network */
            must(!is_macro(p, it->origin ? NULL : net, it->call->name));
            no_macro_left(p, net, it->call->block);
        }
        if (it->kind == NN_ITEM_BRANCH || it->kind == NN_ITEM_GROUP)
            no_macro_left(p, net, it->items);
    }
}

static void expand(nn_arena *arena, nn_program *p, nn_diags *d, nn_buf *tree) {
    enum { MOST = 2000 };
    NN_BUF again = {0};
    int before = d->errors;
    nn_expand(arena, p, is_layer, MOST, d);
    size_t begin = tree->n;
    nn_tree_print(p, tree);
    if (before == d->errors)
        for (const nn_network *net = p->networks; net; net = net->next)
            no_macro_left(p, net, net->items);
    nn_expand(arena, p, is_layer, MOST, d);
    nn_tree_print(p, &again);
    must(!strcmp(nn_buf_str(tree) + begin, nn_buf_str(&again)));
}

static outcome parse(const char *text, size_t n, nn_start start) {
    nn_arena *arena = nn_arena_new(NULL, "fuzz", 64 << 20);
    nn_source src = {"fuzz", text, n};
    nn_diags *d = nn_diags_new(arena, &src);
    outcome r = {0};
    nn_program *p = nn_parse(arena, &src, start, d);
    for (const nn_network *net = p->networks; net; net = net->next) {
        check_span(&src, net->span);
        for (const nn_item *it = net->items; it; it = it->next) check_span(&src, it->span);
        for (const nn_section *s = net->sections; s; s = s->next) check_span(&src, s->span);
    }
    nn_tree_print(p, &r.tree);
    r.errors = d->errors;
    expand(arena, p, d, &r.expanded);
    check_diags(&src, d);
    nn_diags_print(d, true, &r.messages);
    nn_arena_free(arena);
    return r;
}

static void done(outcome *r) {
    nn_buf_done(&r->tree);
    nn_buf_done(&r->messages);
    nn_buf_done(&r->expanded);
}

static void same_tree(const outcome *a, const nn_buf *text, nn_start start) {
    outcome b = parse(text->p, text->n, start);
    must(!b.errors && !strcmp(nn_buf_str(&a->tree), nn_buf_str(&b.tree)));
    done(&b);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (!size) return 0;
    nn_start start = data[0] < 4 ? (nn_start)data[0] : NN_START_PROGRAM;
    const char *text = (const char *)data + (data[0] < 4);
    size -= data[0] < 4;
    outcome a = parse(text, size, start), b = parse(text, size, start);
    must(!strcmp(nn_buf_str(&a.tree), nn_buf_str(&b.tree)));
    must(!strcmp(nn_buf_str(&a.expanded), nn_buf_str(&b.expanded)));
    must(!strcmp(nn_buf_str(&a.messages), nn_buf_str(&b.messages)));
    must(a.errors == b.errors);
    bool mark = size > 2 && !memcmp(text, "\xef\xbb\xbf", 3);
    if (!a.errors && !mark) {
        NN_BUF around = {0}, crlf = {0};
        nn_buf_puts(&around, "/* ( */ # {\n");
        nn_buf_append(&around, text, size);
        nn_buf_puts(&around, "\n// ]\n");
        same_tree(&a, &around, start);
        for (size_t i = 0; i < size; i++) {
            if (text[i] == '\n' && (!i || text[i - 1] != '\r')) nn_buf_putc(&crlf, '\r');
            nn_buf_putc(&crlf, text[i]);
        }
        nn_buf_putc(&crlf, '\n'); /* never empty */
        same_tree(&a, &crlf, start);
    }
    done(&a);
    done(&b);
    return 0;
}
