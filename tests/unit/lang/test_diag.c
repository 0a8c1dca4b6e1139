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

TEST(any_number_of_notes_of_which_twelve_are_printed) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "unexpected", at_3, "m");
    for (int i = 0; i < 15; i++) nn_diag_note(d, g, (nn_span){0}, "n%d", i);
    int n = 0;
    for (const struct nn_note *t = g->notes; t; t = t->next, n++) {
        char want[16];
        snprintf(want, sizeof want, "n%d", n);
        assert_string_equal(t->text, want);
    }
    assert_int_equal(n, 15);
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_non_null(strstr(nn_buf_str(&out), "note: n11\n      = note: ... and 3 more\n"));
    assert_null(strstr(nn_buf_str(&out), "n12"));
    NN_JSON *json = nn_diags_json(d);
    assert_int_equal(nn_json_size(nn_json_get(nn_json_at(json, 0), "notes")), 15);
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
        "\"fixes\":[],\"notes\":[],\"derivation\":[]},"
        "{\"severity\":\"error\",\"code\":\"unknown-layer\",\"message\":\"m\",\"line\":1,"
        "\"column\":4,\"end_line\":1,\"end_column\":7,\"snippet\":\"ab Den(3)\",\"hint\":\"h\","
        "\"fixes\":[{\"description\":\"correct the name\",\"text\":\"Dense\",\"line\":1,"
        "\"column\":4,\"end_line\":1,\"end_column\":7}],\"notes\":[],\"derivation\":[]}]");
}

TEST(message_table) {
    nn_severity s;
    const char *meaning, *example;
    unsigned n = 0;
    for (const char *code, *other; (code = nn_message_at(n, &s, &meaning, &example)); n++) {
        assert_true(*code && *meaning);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(code));
        for (unsigned i = 0; i < n; i++) {
            nn_severity x;
            other = nn_message_at(i, &x, &meaning, &example);
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

/* ---- the derivation of a shape ---- */

static nn_span on_line(int line) {
    return (nn_span){line, 1, line, 2, 0, 1};
}

TEST(derivation_is_aligned) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "x\n");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "shape", (nn_span){0}, "m");
    nn_diag_note(d, g, (nn_span){0}, "n");
    nn_diag_step(d, g, on_line(2), "Input", NULL, NULL, "(28, 28, 1)");
    nn_diag_step(d, g, on_line(4), "Conv2D", "(28, 28, 1)", "floor((28 - 3) / 1) + 1 = 26",
                 "(26, 26, 32)");
    nn_diag_step(d, g, on_line(5), "Flatten", "(26, 26, 32)", NULL, "(21632)");
    nn_diag_step(d, g, (nn_span){0}, "\033[1m", "(21632)", "needs (height, width, channels)", NULL);
    NN_BUF out = {0};
    nn_diags_print(d, false, &out);
    assert_string_equal(
        nn_buf_str(&out),
        "f.neural: error: m [shape]\n"
        "      = shapes: line 2   Input                (28, 28, 1)\n"
        "                line 4   Conv2D               (28, 28, 1) -> (26, 26, 32)    "
        "floor((28 - 3) / 1) + 1 = 26\n"
        "                line 5   Flatten              (26, 26, 32) -> (21632)\n"
        "                         \xef\xbf\xbd[1m                 (21632) -> ?    "
        "needs (height, width, channels)\n"
        "      = note: n\n");
}

/* The chain 0, 1, ... n - 1 as layers "L0", "L1", ... */
static nn_diags *chain(nn_arena *a, nn_source *src, int n) {
    nn_diags *d = list(a, src, "x\n");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "shape", (nn_span){0}, "m");
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "L%d", i);
        nn_diag_step(d, g, on_line(i + 1), name, "in", "rule", "out");
    }
    return d;
}

/* The layers' names in what is printed: "L0 L1 … L5 ". */
static void check_chain(int n, const char *expected) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    NN_BUF out = {0}, got = {0};
    nn_diags_print(chain(a, &src, n), false, &out);
    for (const char *s = nn_buf_str(&out); (s = strchr(s, '\n')) && s[1]; s++) {
        const char *name = s + 1 + 16;
        if (!strncmp(name, "line ", 5)) name = strchr(name, 'L');
        size_t len = *name == 'L' ? strcspn(name, " ") : strcspn(name, "\n");
        nn_buf_append(&got, name, len);
        nn_buf_putc(&got, ' ');
    }
    assert_string_equal(nn_buf_str(&got), expected);
}

TEST(long_derivations_lose_their_middle) {
    check_chain(9, "L0 L1 L2 L3 L4 L5 L6 L7 L8 ");
    check_chain(10, "L0 L1 … 2 more … L4 L5 L6 L7 L8 L9 ");
    check_chain(91, "L0 L1 … 83 more … L85 L86 L87 L88 L89 L90 ");
}

static void check_json_chain(int n, size_t size, int at, const char *layer) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    NN_JSON *json = nn_diags_json(chain(a, &src, n));
    const nn_json *steps = nn_json_get(nn_json_at(json, 0), "derivation");
    assert_int_equal(nn_json_size(steps), size);
    assert_string_equal(nn_json_str(nn_json_get(nn_json_at(steps, (size_t)at), "layer"), ""),
                        layer);
}

TEST(derivation_on_the_wire) {
    check_json_chain(64, 64, 2, "L2");
    check_json_chain(65, 64, 2, "… 2 more …");
    check_json_chain(65, 64, 3, "L4");
    check_json_chain(100000, 64, 63, "L99999");
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "x\n");
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "shape", (nn_span){0}, "m");
    nn_diag_step(d, g, on_line(7), "Input", NULL, NULL, "(3)");
    NN_JSON *json = nn_diags_json(d);
    NN_BUF out = {0};
    nn_json_dump(nn_json_get(nn_json_at(json, 0), "derivation"), 0, &out);
    assert_string_equal(nn_buf_str(&out), "[{\"layer\":\"Input\",\"input\":null,\"rule\":null,"
                                          "\"output\":\"(3)\",\"line\":7,\"column\":1}]");
}

/* ---- origins ---- */

TEST(what_a_macro_brought_names_its_uses) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef\n");
    nn_origin o[5];
    static const char *const names[] = {"A", "B", "C", "D", "E"};
    for (int i = 0; i < 5; i++)
        o[i] = (nn_origin){
            names[i], {1, i + 1, 1, i + 2, (size_t)i, (size_t)i + 1},
             i < 4 ? &o[i + 1] : NULL
        };
    d->origin = o;
    nn_diag *g = nn_diag_add(d, NN_SEV_ERROR, "shape", (nn_span){0}, "m");
    nn_diag_note(d, g, (nn_span){0}, "own");
    d->origin = NULL;
    assert_null(nn_diag_add(d, NN_SEV_ERROR, "shape", (nn_span){0}, "m")->notes);
    const struct nn_note *n = g->notes;
    for (int i = 0; i < 4; i++, n = n->next) {
        char want[40];
        snprintf(want, sizeof want, "in macro '%s', used here", names[i]);
        assert_string_equal(n->text, want);
        assert_int_equal(n->span.col, i + 1);
    }
    assert_string_equal(n->text, "own");
    assert_null(n->next);
}

/* A mistake in a macro is one mistake, however often the macro is used. */
TEST(what_a_macro_brought_before_is_not_said_again) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, "abcdef\n");
    const nn_origin first =
                        {
                            "A", {1, 1, 1, 2, 0, 1},
                             NULL
    },
                    second = {"A", {1, 5, 1, 6, 4, 5}, NULL};
    d->origin = &first;
    nn_diag_add(d, NN_SEV_ERROR, "shape", at_3, "got %d", 1);
    d->origin = &second;
    nn_diag_add(d, NN_SEV_ERROR, "shape", at_3, "got %d", 1);
    nn_diag_add(d, NN_SEV_ERROR, "shape", at_3, "got %d", 2);
    nn_diag_add(d, NN_SEV_ERROR, "limit", at_3, "got %d", 1);
    nn_diag_add(d, NN_SEV_WARNING, "shape", (nn_span){1, 2, 1, 3, 1, 2}, "got %d", 1);
    assert_int_equal(d->errors, 3);
    assert_int_equal(d->warnings, 1);
    assert_int_equal(d->stored, 4);
    d->origin = NULL; /* the program's own text is each time another */
    nn_diag_add(d, NN_SEV_ERROR, "shape", at_3, "got %d", 1);
    assert_int_equal(d->errors, 4);
}

/* ---- fixes ---- */

typedef struct edit {
    nn_severity severity;
    size_t begin, end;
    const char *text;
} edit;

static void check_apply(const char *text, const edit *e, int n, int applied, const char *expected) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src;
    nn_diags *d = list(a, &src, text);
    for (int i = 0; i < n; i++) {
        nn_span s = {1, (int)e[i].begin + 1, 1, (int)e[i].end + 1, e[i].begin, e[i].end};
        nn_diag *g = nn_diag_add(d, e[i].severity, "advice", s, "m");
        nn_diag_fix(d, g, s, e[i].text, "w");
    }
    NN_BUF out = {0};
    assert_int_equal(nn_diags_apply(d, &out), applied);
    assert_string_equal(nn_buf_str(&out), expected);
}

TEST(fixes_are_applied_in_order_of_place) {
    check_apply("abc", NULL, 0, 0, "abc");
    check_apply("abcdef",
                (const edit[]){
                    {NN_SEV_ERROR,   4, 5, "E"},
                    {NN_SEV_WARNING, 0, 1, "" }
    },
                2, 2, "bcdEf");
    /* of two that overlap the earlier one; an insertion at the end of another is no overlap */
    check_apply(
        "abcdef",
        (const edit[]){
            {NN_SEV_ERROR, 2, 4, "X"},
            {NN_SEV_ERROR, 1, 3, "Y"},
            {NN_SEV_ERROR, 3, 3, "!"}
    },
        3, 2, "aY!def");
    /* of two insertions at one place the first; a replacement may follow */
    check_apply("abc",
                (const edit[]){
                    {NN_SEV_ERROR, 1, 1, "-"},
                    {NN_SEV_ERROR, 1, 1, "-"},
                    {NN_SEV_ERROR, 1, 2, "B"},
                    {NN_SEV_ERROR, 3, 3, "."}
    },
                4, 3, "a-Bc.");
    /* what a note proposes is a matter of taste; what lies outside is nothing */
    check_apply("abc",
                (const edit[]){
                    {NN_SEV_NOTE,  0, 1, "X"},
                    {NN_SEV_ERROR, 2, 9, "Y"}
    },
                2, 0, "abc");
}
