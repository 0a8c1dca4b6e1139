/* SPDX-License-Identifier: MIT */
/* messages.c - every row of messages.def has a program that provokes it. */
#include "compile/compile.h"
#include "compile/model_data.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct example { /* of messages.def, taken apart */
    char path[64], value[64];
    size_t memory; /* 0: as much as it takes */
    const char *text;
} example;

static example take_apart(const char *s) {
    example e = {.text = s};
    int n = 0;
    if (sscanf(s, "--set %63[^= ]=%63s %n", e.path, e.value, &n) == 2 && n) e.text += n;
    n = 0;
    if (sscanf(e.text, "--memory %zu %n", &e.memory, &n) == 1 && n) e.text += n;
    return e;
}

static void compile(nn_arena *arena, const example *e, const nn_source *src, nn_diags *d) {
    nn_setting setting = {e->path, e->value};
    nn_compile_options opt = {.settings = &setting, .n_settings = *e->path != 0};
    nn_unit *unit;
    nn_program *tree;
    nn_err err = {0};
    if (*e->text != '{')
        (void)!nn_compile(arena, src, &opt, d, &unit, &err);
    else if (nn_model_data_parse(arena, src, d, &tree, &err) == NN_OK)
        (void)!nn_compile_tree(arena, src, tree, &opt, d, &unit, &err);
}

static bool has(const nn_diags *d, const char *code, nn_severity severity) {
    for (const nn_diag *g = d->first; g; g = g->next)
        if (!strcmp(g->code, code) && g->severity == severity) return true;
    return false;
}

/* Whether the example brings the message; says so if not. */
static bool provoked(const char *code, nn_severity severity, const char *text) {
    if (!*text) {
        printf("%s: the row has no example: add a program that provokes it\n", code);
        return false;
    }
    example e = take_apart(text);
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "example", e.memory);
    nn_source src = {code, e.text, strlen(e.text)};
    nn_diags *d = nn_diags_new(arena, &src);
    assert_non_null(d);
    compile(arena, &e, &src, d);
    if (has(d, code, severity)) return true;
    NN_BUF messages = {0};
    nn_diags_print(d, false, &messages);
    printf("%s: its example does not give this %s: %s\n%s\n", code, nn_severity_name(severity),
           text, nn_buf_str(&messages));
    return false;
}

TEST(every_message_has_a_program_that_provokes_it) {
    nn_severity severity;
    const char *code, *meaning, *text;
    int wrong = 0;
    unsigned n = 0;
    for (; (code = nn_message_at(n, &severity, &meaning, &text)); n++)
        wrong += !provoked(code, severity, text);
    assert_true(n > 40);
    if (wrong) fail_msg("%d of %u rows of messages.def are not provoked", wrong, n);
}
