/* SPDX-License-Identifier: MIT */
#include "lang_test.h"

static const nn_span at_3 = {1, 3, 1, 6, 2, 5};

static nn_diags *list(nn_arena *a, nn_source *src, const char *text) {
    *src = (nn_source){"f.neural", text, strlen(text)};
    return nn_diags_new(a, src);
}

TEST(text_form) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "ab Den(3)\nsecond\n");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unknown-layer", (nn_span){1, 4, 1, 7, 3, 6},
                             "unknown layer '%s'", "Den");
    nn_diag_note(d, g, (nn_span){2, 1, 2, 7, 10, 16}, "from here");
    nn_diag_note(d, g, (nn_span){0}, "the rule");
    nn_diag_hint(d, g, "did you mean '%s'?", "Dense");
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_string_equal(nn_buf_str(&out),
                        "f.neural:1:4: error: unknown layer 'Den' [unknown-layer]\n"
                        "    1 | ab Den(3)\n"
                        "      |    ^~~\n"
                        "f.neural:2:1: note: from here\n"
                        "    2 | second\n"
                        "      | ^~~~~~\n"
                        "      = note: the rule\n"
                        "      = help: did you mean 'Dense'?\n");
}

TEST(colour_is_only_added) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "ab Den(3)");
    nn_diag_add(d, NN_SEV_WARNING, "advice", at_3, "m");
    NN_BUF colour = {0}, plain = {0}, stripped = {0};
    nn_diags_print(d, true, &colour);
    nn_diags_print(d, false, &plain);
    assert_non_null(strstr(nn_buf_str(&colour), "\033["));
    for (const char *s = nn_buf_str(&colour); *s; s++) {
        if (*s == '\033')
            s = strchr(s, 'm');
        else
            nn_buf_putc(&stripped, *s);
    }
    assert_string_equal(nn_buf_str(&stripped), nn_buf_str(&plain));
}

/* The caret stands in the cell that a terminal gives the character. */
static int caret(const char *text, int col) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, text);
    nn_diag_add(d, NN_SEV_ERROR, "unexpected",
                (nn_span){1, col, 1, col + 1, (size_t)col - 1, (size_t)col}, "m");
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    const char *line = strrchr(strstr(nn_buf_str(&out), "|"), '|');
    return (int)(strchr(line, '^') - line) - 2;
}

TEST(caret_under_tabs_and_wide_characters) {
    assert_int_equal(caret("abc", 3), 2);
    assert_int_equal(caret("\tx", 2), 4);
    assert_int_equal(caret("a\tx", 3), 4);
    assert_int_equal(caret("abcd\tx", 6), 8);
    assert_int_equal(caret("\xc3\xa4x", 3), 1);         /* a umlaut: one cell */
    assert_int_equal(caret("\xe6\x97\xa5x", 4), 2);     /* a kanji: two */
    assert_int_equal(caret("e\xcc\x81x", 4), 1);        /* a combining accent: none */
    assert_int_equal(caret("\xf0\x9f\x98\x80x", 5), 2); /* an emoji: two */
    assert_int_equal(caret("\x1b[31mx", 6), 5);         /* an escape is shown, not sent */
    assert_int_equal(caret("\xffx", 2), 1);
}

TEST(long_lines_are_cut_around_the_caret) {
    char text[5001];
    memset(text, 'a', 5000);
    text[5000] = '\0';
    text[3000] = 'X';
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, text);
    nn_diag_add(d, NN_SEV_ERROR, "unexpected", (nn_span){1, 3001, 1, 3002, 3000, 3001}, "m");
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    const char *line = strstr(nn_buf_str(&out), "| ") + 2;
    const char *end = strchr(line, '\n'), *under = strstr(end, "| ") + 2;
    assert_true(end - line < 120);
    assert_memory_equal(line, "...a", 4);
    assert_memory_equal(end - 4, "a...", 4);
    assert_int_equal(line[strchr(under, '^') - under], 'X');
}

TEST(nothing_that_a_terminal_obeys) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "\x1b]0;x\x07 \xe2\x80\xae reversed \xc2\x9b");
    src.name = "a\x1b[2J\nb";
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unexpected", at_3, "bad '%s'", "\x1b[1m");
    nn_diag_hint(d, g, "%s", "\x1b[1m");
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_null(strchr(nn_buf_str(&out), '\x1b'));
    assert_null(strchr(nn_buf_str(&out), '\x07'));
    assert_null(strstr(nn_buf_str(&out), "\xe2\x80\xae"));
    assert_null(strstr(nn_buf_str(&out), "\xc2\x9b"));
}

TEST(sorted_by_place_and_stable) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "a\nb\nc\n");
    const int lines[] = {3, 1, 2, 1, 0};
    for (int i = 0; i < 5; i++)
        nn_diag_add(d, NN_SEV_WARNING, "advice", (nn_span){lines[i], lines[i] > 0, 0, 0, 0, 0},
                    "%d", i);
    int n;
    const nn_diag **v = nn_diags_sorted(d, &n);
    assert_int_equal(n, 5);
    assert_string_equal(v[0]->message, "4");
    assert_string_equal(v[1]->message, "1");
    assert_string_equal(v[2]->message, "3");
    assert_string_equal(v[3]->message, "2");
    assert_string_equal(v[4]->message, "0");
    free(v);
    assert_int_equal(d->warnings, 5);
}

TEST(past_the_cap_only_counted) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef");
    for (int i = 0; i < NN_DIAGS_MAX + 7; i++) {
        nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unexpected", at_3, "m");
        assert_non_null(g);
        nn_diag_hint(d, g, "h");
        nn_diag_note(d, g, at_3, "n");
        nn_diag_fix(d, g, at_3, "t", "w");
    }
    assert_int_equal(d->errors, NN_DIAGS_MAX + 7);
    assert_int_equal(d->stored, NN_DIAGS_MAX);
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_non_null(strstr(nn_buf_str(&out), "... and 7 more errors\n"));
}

TEST(a_seventh_note_is_dropped) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unexpected", at_3, "m");
    for (int i = 0; i < 9; i++) nn_diag_note(d, g, at_3, "n%d", i);
    assert_int_equal(g->n_notes, 6);
    assert_string_equal(g->notes[5].text, "n5");
}

/* The keys of rest-api.md section 5. */
TEST(json_form) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "ab Den(3)\n");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unknown-layer", (nn_span){1, 4, 1, 7, 3, 6}, "m");
    nn_diag_hint(d, g, "h");
    nn_diag_fix(d, g, (nn_span){1, 4, 1, 7, 3, 6}, "Dense", "correct the name");
    nn_diag_add(d, NN_SEV_WARNING, "advice", (nn_span){0}, "w");
    NN_JSON *got = nn_diags_json(d);
    NN_BUF out = {0};
    nn_json_dump(got, 0, &out);
    assert_string_equal(
        nn_buf_str(&out),
        "[{\"severity\":\"warning\",\"code\":\"advice\",\"message\":\"w\",\"line\":null,"
        "\"column\":null,\"end_line\":null,\"end_column\":null,\"snippet\":null,\"hint\":null,"
        "\"fixes\":[],\"notes\":[]},"
        "{\"severity\":\"error\",\"code\":\"unknown-layer\",\"message\":\"m\",\"line\":1,"
        "\"column\":4,\"end_line\":1,\"end_column\":7,\"snippet\":\"ab Den(3)\",\"hint\":\"h\","
        "\"fixes\":[{\"description\":\"correct the name\",\"text\":\"Dense\",\"line\":1,"
        "\"column\":4,\"end_line\":1,\"end_column\":7}],\"notes\":[]}]");
}

TEST(message_table) {
    nn_severity s;
    const char *meaning;
    unsigned n = 0;
    for (const char *code, *other; (code = nn_message_at(n, &s, &meaning)); n++) {
        assert_true(*code && *meaning);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(code));
        for (unsigned i = 0; i < n; i++) {
            nn_severity x;
            other = nn_message_at(i, &x, &meaning);
            assert_string_not_equal(code, other);
        }
    }
    assert_true(n > 30);
}

TEST(the_first_error_of_a_full_arena_is_heard) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 20000);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef");
    while (nn_arena_alloc(a, 16)) continue;
    for (int i = 0; i < 3; i++) {
        nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "too-large", at_3, "number %d", i);
        nn_diag_hint(d, g, "h");
        nn_diag_note(d, g, at_3, "n");
        nn_diag_fix(d, g, at_3, "t", "w");
    }
    assert_int_equal(d->errors, 3);
    assert_int_equal(d->stored, 1);
    assert_string_equal(d->first->message, "number 0");
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_non_null(strstr(nn_buf_str(&out), "number 0 [too-large]"));
    assert_non_null(strstr(nn_buf_str(&out), "... and 2 more errors\n"));
}
