/* SPDX-License-Identifier: MIT */
/* lang_test.h - parses a text for a test and holds what came of it. */
#ifndef LANG_TEST_H
#define LANG_TEST_H
#include "lang/tree.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

typedef struct parsed {
    nn_arena *arena;
    nn_source src;
    char *text; /* an exact copy on the heap, so that the sanitizer sees a read past its end */
    nn_diags *diags;
    nn_program *program;
    nn_buf tree, messages;
} parsed;

static inline void parsed_done(parsed *r) {
    nn_buf_done(&r->tree);
    nn_buf_done(&r->messages);
    nn_arena_free(r->arena);
    free(r->text);
}
#define PARSED __attribute__((cleanup(parsed_done))) parsed

static inline parsed parse_n(const char *text, size_t n, nn_start start) {
    parsed r = {.arena = nn_arena_new(NULL, "test", 0), .text = malloc(n ? n : 1)};
    assert_non_null(r.text);
    memcpy(r.text, text, n);
    nn_source *src = nn_arena_alloc(r.arena, sizeof *src); /* the list keeps its address */
    *src = r.src = (nn_source){"t.neural", r.text, n};
    r.diags = nn_diags_new(r.arena, src);
    r.program = nn_parse(r.arena, src, start, r.diags);
    assert_non_null(r.program);
    nn_tree_print(r.program, &r.tree);
    nn_diags_print(r.diags, false, &r.messages);
    return r;
}
static inline parsed parse(const char *text) {
    return parse_n(text, strlen(text), NN_START_PROGRAM);
}

/* The items of network N that holds `body`, as printed, without the frame. */
static inline void check_body(const char *body, const char *expected) {
    NN_BUF text = {0}, want = {0};
    nn_buf_printf(&text, "network N { %s }", body);
    nn_buf_printf(&want, "(network \"N\"%s%s)\n", *expected ? "\n  " : "", expected);
    PARSED r = parse(nn_buf_str(&text));
    if (r.diags->errors) fail_msg("%s: %s", body, nn_buf_str(&r.messages));
    assert_string_equal(nn_buf_str(&r.tree), nn_buf_str(&want));
}

/* The codes and places of all diagnostics in order of place: "unexpected 1:3, unclosed 2:1". */
static inline void check_codes(const char *text, const char *expected) {
    PARSED r = parse(text);
    NN_BUF got = {0};
    int n;
    const nn_diag **d = nn_diags_sorted(r.diags, &n);
    for (int i = 0; i < n; i++)
        nn_buf_printf(&got, "%s%s %d:%d", i ? ", " : "", d[i]->code, d[i]->span.line,
                      d[i]->span.col);
    free(d);
    if (strcmp(nn_buf_str(&got), expected))
        fail_msg("%s\nexpected: %s\ngot:      %s\n%s", text, expected, nn_buf_str(&got),
                 nn_buf_str(&r.messages));
}
#endif
