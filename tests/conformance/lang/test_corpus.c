/* SPDX-License-Identifier: MIT */
/* Every program of the corpus goes through the parser. A program to accept has no syntax error. Of
 * the programs to reject, those in `syntactic` are refused here; the others are for the checker,
 * and counted. The corpus is not part of the repository: $NEURAL_CORPUS, or ../shared/corpus. */
#include "base/json.h"
#include "lang/tree.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows whose rejection is the parser's. */
static const char *const syntactic[] = {
    "doc:examples-Examples:1",
    "doc:examples-README.md:111",
    "test_parser:test_research_parsing-invalid-metrics",
    "parser.test_research:test_research_parsing-invalid-metrics",
    "hpo.test_hpo_parser:test_hpo_error_cases-unknown-hpo-type",
    "hpo.test_hpo_parser:test_hpo_error_cases-trailing-comma",
    "hpo.test_hpo_parser:test_hpo_error_cases-missing-parenthesis",
    "cli.test_cli:fixture1",
};
enum { N_SYNTACTIC = sizeof syntactic / sizeof *syntactic };

static FILE *corpus(const char *name) {
    const char *dir = getenv("NEURAL_CORPUS");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir ? dir : "../shared/corpus", name);
    FILE *f = fopen(path, "re");
    if (!f && dir) fail_msg("NEURAL_CORPUS is set, but %s cannot be read", path);
    if (!f) printf("skipped: corpus not found (%s)\n", path);
    return f;
}

static nn_start start_rule(const char *s) {
    return !strcmp(s, "layer")      ? NN_START_LAYER
           : !strcmp(s, "define")   ? NN_START_DEFINE
           : !strcmp(s, "research") ? NN_START_RESEARCH
                                    : NN_START_PROGRAM;
}

static bool is_syntactic(const char *id) {
    for (int i = 0; i < N_SYNTACTIC; i++)
        if (!strcmp(syntactic[i], id)) return true;
    return false;
}

/* The number of errors; what they are, in out. */
static int errors_in(const char *id, const char *text, nn_start start, nn_buf *out) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "corpus", 0);
    nn_source src = {id, text, strlen(text)};
    nn_diags *d = nn_diags_new(arena, &src);
    nn_parse(arena, &src, start, d);
    nn_diags_print(d, false, out);
    return d->errors;
}

/* Returns the number of rows; 0 if the corpus is not there. */
static int run(const char *file, const char *otherwise) {
    FILE *f = corpus(file);
    if (!f) return 0;
    char *line = NULL;
    size_t cap = 0;
    int rows = 0, accepted = 0, refused = 0, semantic = 0, wrong = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0; rows++) {
        nn_json *row = NULL;
        nn_err err = {0};
        CHECK_OK(nn_json_parse(line, (size_t)n, &row, &err), &err);
        const char *id = nn_json_str(nn_json_get(row, "id"), "?");
        const char *verdict =
            nn_json_str(nn_json_get(nn_json_get(row, "ours"), "verdict"), otherwise);
        NN_BUF messages = {0};
        int errors =
            errors_in(id, nn_json_str(nn_json_get(row, "dsl"), ""),
                      start_rule(nn_json_str(nn_json_get(row, "start_rule"), "")), &messages);
        bool reject = !strcmp(verdict, "reject"), mine = reject && is_syntactic(id);
        if (mine ? !errors : errors) {
            wrong++;
            printf("%s: expected %s\n%s", id, mine ? "a syntax error" : "no syntax error",
                   nn_buf_str(&messages));
        }
        accepted += !reject;
        refused += mine;
        semantic += reject && !mine;
        nn_json_unref(row);
    }
    free(line);
    fclose(f);
    printf("%s: %d rows: %d to accept, %d refused by the parser, %d for the checker\n", file, rows,
           accepted, refused, semantic);
    assert_int_equal(wrong, 0);
    return rows;
}

TEST(programs_to_accept) {
    int rows = run("accept.jsonl", "accept");
    if (rows) assert_true(rows >= 150);
}
TEST(programs_to_reject) {
    int rows = run("reject.jsonl", "reject");
    if (rows) assert_true(rows >= 50);
}
