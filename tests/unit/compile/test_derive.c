/* SPDX-License-Identifier: MIT */
#include "compile/compile.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

typedef struct failure {
    nn_arena *arena;
    nn_diags *diags;
    const nn_diag *error; /* the only one */
    nn_source src;
} failure;

static void compile(const char *text, failure *f) {
    nn_unit *u = NULL;
    nn_err err;
    *f = (failure){.arena = nn_arena_new(NULL, "t", 0)};
    f->src = (nn_source){"t.neural", text, strlen(text)};
    f->diags = nn_diags_new(f->arena, &f->src);
    assert_int_equal(nn_compile(f->arena, &f->src, NULL, f->diags, &u, &err), NN_E_DSL_ERROR);
    for (const nn_diag *d = f->diags->first; d; d = d->next)
        if (d->severity == NN_SEV_ERROR) f->error = d;
    if (f->diags->errors != 1 || !f->error) fail_msg("'%s': %d errors", text, f->diags->errors);
}

#define IMAGE "network A { input: (28, 30, 3) layers: "
#define WRONG " Conv3D(1, 1) }" /* takes four axes: ends the chain */

/* The rule of the layer before the one that fails, worked out by hand from language.md 13.2. */
TEST(rules_are_worked_out) {
    static const struct {
        const char *program, *rule, *out;
    } cases[] = {
        {IMAGE "Conv2D(8, 3)" WRONG,                                                         "floor((28 - 3) / 1) + 1 = 26",     "(26, 28, 8)"},
        {IMAGE "Conv2D(8, 5, strides=2, padding=1)" WRONG,                                   "floor((28 + 2 - 5) / 2) + 1 = 13",
         "(13, 14, 8)"                                                                                                                        },
        {IMAGE "Conv2D(8, 3, dilation_rate=3)" WRONG,                                        "floor((28 - 7) / 1) + 1 = 22",
         "(22, 24, 8)"                                                                                                                        },
        {IMAGE "Conv2D(8, 3, strides=3, padding=same)" WRONG,                                "same: ceil(28 / 3) = 10",
         "(10, 10, 8)"                                                                                                                        },
        {IMAGE "MaxPooling2D(3)" WRONG,                                                      "floor((28 - 3) / 3) + 1 = 9",      "(9, 10, 3)" },
        {IMAGE "AveragePooling2D(2, strides=5)" WRONG,                                       "floor((28 - 2) / 5) + 1 = 6",      "(6, 6, 3)"  },
        {IMAGE "Flatten()" WRONG,                                                            "28 * 30 * 3 = 2520",               "(2520,)"    },
        {"network A { input: (10, 4) layers: Conv1D(2, 3, padding=causal, strides=2)" WRONG,
         "floor((10 + 2 - 3) / 2) + 1 = 5",                                                                                      "(5, 2)"     },
        {"network A { Input(shape=(None, 4)) Conv1D(2, 3)" WRONG,                            "unknown stays unknown",
         "(?, 2)"                                                                                                                             },
        {IMAGE "Dense(7)" WRONG,                                                             "(..., in) -> (..., units)",        "(28, 30, 7)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        failure f;
        compile(cases[i].program, &f);
        const struct nn_derivation *s = f.error->steps;
        CHECK(s && s->next && s->next->next && !s->next->next->next);
        CHECK(!s->in && !s->rule && s->out); /* the input */
        assert_string_equal(s->next->rule, cases[i].rule);
        assert_string_equal(s->next->out, cases[i].out);
        assert_string_equal(s->next->in, s->out);
        CHECK(!s->next->next->out && strcmp(s->next->next->in, cases[i].out) == 0);
        assert_int_equal(f.error->n_steps, 3);
        nn_arena_free(f.arena);
    }
}

/* 64 lines are kept; those left out are counted. 3 + 2 n steps in, each Conv1D takes 2: the
 * (n + 2)nd layer fails, so the chain has n + 3 lines with the input. */
static void check_long(int n, int kept, int cut) {
    char text[160];
    snprintf(text, sizeof text, "network A { input: (%d, 1) layers: (Conv1D(1, 3)) * %d }",
             3 + 2 * n - 1, n + 5);
    failure f;
    compile(text, &f);
    assert_int_equal(f.error->n_steps, kept);
    assert_int_equal(f.error->cut_steps, cut);
    char want[40];
    int i = 0;
    for (const struct nn_derivation *s = f.error->steps; s; s = s->next, i++) {
        int at = i < 2 ? i : i + cut; /* of the whole chain */
        snprintf(want, sizeof want, "(%d, 1)", 2 * n + 2 - 2 * at);
        if (s->out) assert_string_equal(s->out, want);
    }
    nn_arena_free(f.arena);
}

TEST(long_chains_keep_their_ends) {
    check_long(10, 12, 0);
    check_long(62, 64, 0);
    check_long(63, 64, 1);
    check_long(500, 64, 438);
}

TEST(what_was_left_out_is_said) {
    failure f;
    compile("network A { input: (204, 1) layers: (Conv1D(1, 3)) * 300 }", &f);
    /* 204 - 2 k >= 3: 100 layers fit, the next fails; with the input 103 lines less one */
    assert_int_equal(f.error->n_steps + f.error->cut_steps, 103);
    NN_BUF text = {0};
    nn_diags_print(f.diags, false, &text);
    CHECK(strstr(nn_buf_str(&text), "… 95 more …")); /* 103 - 2 - 6 */
    CHECK(strstr(nn_buf_str(&text), "(202, 1)") && !strstr(nn_buf_str(&text), "(200, 1)"));
    CHECK(strstr(nn_buf_str(&text), "(4, 1)") && !strstr(nn_buf_str(&text), "(30, 1)"));
    NN_JSON *json = nn_diags_json(f.diags);
    const nn_json *steps = nn_json_get(nn_json_at(json, 0), "derivation");
    assert_int_equal(nn_json_size(steps), 64);
    assert_string_equal(nn_json_str(nn_json_get(nn_json_at(steps, 2), "layer"), ""),
                        "… 40 more …"); /* 103 - 2 - 61 */
    nn_arena_free(f.arena);
}

/* Labels are whole characters of the source and end where they are cut. */
TEST(labels) {
    failure f;
    compile("network A { input: (4,) layers: Dense(3, kernel_regularizer=l2(0.125), name=\"x\")\n"
            "Dense(\n  4 ) Lambda(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéééééééééé\", output_shape=(4,)) "
            "Conv1D(1, 3) }",
            &f);
    const struct nn_derivation *s = f.error->steps->next;
    assert_string_equal(s->layer, "Dense(3, kernel_regularizer=l2(0.125), name=…");
    assert_string_equal(s->next->layer, "Dense( 4 )");
    assert_string_equal(s->next->next->layer, "Lambda(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéé…");
    nn_arena_free(f.arena);
}
