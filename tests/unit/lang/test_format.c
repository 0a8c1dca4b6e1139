/* SPDX-License-Identifier: MIT */
/* The canonical form (lang/README.md): tests/golden/format holds texts and what they become; what
 * must hold of any text is tried on all programs there are, and on many made by chance. */
#include "t.h"

#include "base/file.h"
#include "base/json.h"
#include "format_check.h"
#include "program_gen.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what texts become ---- */

static void becomes_n(const char *from, const char *text, size_t n, const char *want) {
    formatted r = format_text(text, n);
    if (r.status) fail_msg("%s: refused:\n%.*s", from, (int)n, text);
    if (strcmp(nn_buf_str(&r.text), want))
        fail_msg("%s:\n%.*s\nexpected:\n%s\ngot:\n%s", from, (int)n, text, want,
                 nn_buf_str(&r.text));
    formatted_done(&r);
}

static void becomes(const char *text, const char *want) {
    becomes_n("here", text, strlen(text), want);
}

/* Every "=== title" of a file: the text, and what follows "--- format" up to the next empty line
 * before a title. */
static int cases(const char *path, char *p) {
    int n = 0;
    while (p && (p = strstr(p, "=== "))) {
        char *title = p, *text = strchr(p, '\n') + 1;
        char *sep = strstr(text, "--- format\n");
        assert_non_null(sep);
        char *want = sep + 11, *next = strstr(want, "\n\n=== ");
        if (next) next[1] = '\0';
        text[-1] = '\0';
        char name[300];
        snprintf(name, sizeof name, "%s: %s", path, title);
        becomes_n(name, text, (size_t)(sep - text), want);
        p = next ? next + 2 : NULL;
        n++;
    }
    return n;
}

TEST(golden_format) {
    glob_t g;
    assert_int_equal(glob("tests/golden/format/*.case", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        NN_BUF text = {0};
        nn_err err;
        CHECK_OK(nn_file_read(g.gl_pathv[i], 1 << 20, &text, &err), &err);
        CHECK(cases(g.gl_pathv[i], text.p) > 5);
    }
    globfree(&g);
}

TEST(line_ends_and_byte_order_mark) {
    becomes("\xef\xbb\xbfnetwork A {\r\n\tDense(1) # a\r\n\r\n\r\n /* b\r\nc */\r\n}",
            "network A {\n    Dense(1)  # a\n\n    /* b\nc */\n}\n");
    becomes("network A {\rDense(1) # a\r\r/* b\rc */\r}\r\r",
            "network A {\n    Dense(1)  # a\n\n    /* b\nc */\n}\n");
    becomes("network A { D('a\\\r\nb') } ", "network A {\n    D(\"ab\")\n}\n");
}

TEST(width_counts_characters) {
    NN_BUF text = {0}, want = {0};
    nn_buf_puts(&text, "network A { D(\"");
    for (int i = 0; i < 90; i++) nn_buf_puts(&text, "\xc3\xa4"); /* 4 + 4 + 90 + 2 columns */
    nn_buf_puts(&text, "\") }");
    nn_buf_puts(&want, "network A {\n    D(");
    nn_buf_append(&want, text.p + 14, text.n - 16);
    nn_buf_puts(&want, "\n}\n");
    becomes(nn_buf_str(&text), nn_buf_str(&want));
}

TEST(errors_are_reported_and_nothing_is_written) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    static const char *const bad[] = {"network A { Dense(3 }", "", "# only this",
                                      "network A { /* "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_source src = {"t.neural", bad[i], strlen(bad[i])};
        nn_diags *d = nn_diags_new(a, &src);
        NN_BUF out = {0};
        nn_err err;
        nn_buf_puts(&out, "before");
        assert_int_equal(nn_format(&src, d, &out, &err), NN_E_DSL_ERROR);
        assert_int_equal(d->errors, 1);
        assert_string_equal(err.msg, "t.neural: 1 error");
        assert_string_equal(nn_buf_str(&out), "before");
    }
}

TEST(result_is_appended) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src = {"t.neural", "network A {}", 12};
    nn_diags *d = nn_diags_new(a, &src);
    NN_BUF out = {0};
    nn_err err;
    nn_buf_puts(&out, "before\n");
    CHECK_OK(nn_format(&src, d, &out, &err), &err);
    assert_string_equal(nn_buf_str(&out), "before\nnetwork A {}\n");
}

/* ---- what holds of any text ---- */

static int seen, refused;

static void holds(const char *from, const char *text, size_t n) {
    char *copy = malloc(n ? n : 1); /* exact: the sanitizer sees a read past its end */
    assert_non_null(copy);
    memcpy(copy, text, n);
    formatted r;
    const char *why = format_broken(copy, n, &r);
    if (why) fail_msg("%s: %s:\n%.*s\n---\n%s", from, why, (int)n, text, nn_buf_str(&r.text));
    seen++;
    refused += r.status != NN_OK;
    formatted_done(&r);
    free(copy);
}

static void files(const char *pattern, void (*each)(const char *path, nn_buf *text)) {
    glob_t g;
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        NN_BUF text = {0};
        nn_err err;
        CHECK_OK(nn_file_read(g.gl_pathv[i], 1 << 20, &text, &err), &err);
        each(g.gl_pathv[i], &text);
    }
    globfree(&g);
}

static void whole(const char *path, nn_buf *text) {
    holds(path, nn_buf_str(text), text->n);
}

/* The programs of a golden file stand between a title and the first "--- ". */
static void golden_programs(const char *path, nn_buf *text) {
    for (char *p = strstr(text->p, "=== "); p; p = strstr(p, "\n=== ")) {
        char *begin = strchr(p + 1, '\n') + 1, *end = strstr(begin, "\n--- ");
        p = begin;
        if (end) holds(path, begin, (size_t)(end + 1 - begin));
    }
}

TEST(holds_of_examples_and_golden_cases) {
    seen = refused = 0;
    files("examples/*.neural", whole);
    assert_int_equal(refused, 0);
    files("tests/golden/*.case", golden_programs);
    files("tests/golden/format/*.case", golden_programs);
    CHECK(seen > 100);
}

TEST(holds_of_the_corpus) {
    const char *dir = getenv("NEURAL_CORPUS");
    char path[4096];
    snprintf(path, sizeof path, "%s/accept.jsonl", dir ? dir : "../shared/corpus");
    NN_BUF text = {0};
    nn_err err;
    if (nn_file_read(path, 64 << 20, &text, &err)) {
        print_message("skipped: %s\n", err.msg);
        skip();
    }
    seen = refused = 0;
    for (char *line = text.p, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        NN_JSON *row = NULL;
        CHECK_OK(nn_json_parse(line, end ? (size_t)(end - line) : strlen(line), &row, &err), &err);
        bool layer = !strcmp(nn_json_str(nn_json_get(row, "start_rule"), ""), "layer");
        NN_BUF program = {0};
        nn_buf_printf(&program, layer ? "network T { layers: %s\n}" : "%s",
                      nn_json_str(nn_json_get(row, "dsl"), ""));
        holds(nn_json_str(nn_json_get(row, "id"), "?"), nn_buf_str(&program), program.n);
    }
    print_message("%d programs, %d with errors\n", seen, refused);
    CHECK(refused * 10 < seen);
}

TEST(holds_of_programs_made_by_chance) {
    seen = refused = 0;
    for (unsigned seed = 1; seed <= 2500; seed++) {
        NN_BUF text = {0};
        gen g = {.state = seed, .out = &text};
        gen_rule(&g, 'P');
        char from[32];
        snprintf(from, sizeof from, "seed %u", seed);
        holds(from, nn_buf_str(&text), text.n);
    }
    print_message("%d programs, %d with errors\n", seen, refused);
    CHECK(refused * 5 < seen);
}

/* A name that is a word of the language where it is no value. */
TEST(names_are_not_spelled_anew) {
    becomes("define TRUE{A()}network None{TRUE; HPO(choice((TRUE (B())),(A() TRUE)))}",
            "define TRUE { A() }\nnetwork None {\n    TRUE\n"
            "    HPO(choice((TRUE(B())), (A() TRUE)))\n}\n");
}

TEST(deep_and_wide_sources) {
    NN_BUF deep = {0}, wide = {0};
    nn_buf_puts(&deep, "network A { D(");
    for (int i = 0; i < 190; i++) nn_buf_puts(&deep, "[");
    for (int i = 0; i < 190; i++) nn_buf_puts(&deep, "]");
    nn_buf_puts(&deep, ") }");
    holds("deep", nn_buf_str(&deep), deep.n);
    nn_buf_puts(&wide, "network A {");
    for (int i = 0; i < 20000; i++) nn_buf_puts(&wide, ";;D(1,{a:1;;;;})#c\n;");
    nn_buf_puts(&wide, "}");
    holds("wide", nn_buf_str(&wide), wide.n);
}
