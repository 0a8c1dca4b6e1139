/* SPDX-License-Identifier: MIT */
/* Paths and readable names of search points, and settings by them. How programs are rewritten:
 * test_space.c; which points a program has: tests/golden/search.case. */
#include "base/file.h"
#include "compile/space.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct outcome {
    nn_arena *arena;
    nn_diags *diags;
    nn_unit *unit;
    nn_source src;
    nn_err err;
} outcome;

static void compile_set(const char *text, const nn_setting *s, int n, outcome *o) {
    *o = (outcome){.arena = nn_arena_new(NULL, "t", 0)};
    o->src = (nn_source){"t.neural", text, strlen(text)};
    o->diags = nn_diags_new(o->arena, &o->src);
    nn_compile_options opt = {.settings = s, .n_settings = n};
    nn_compile(o->arena, &o->src, &opt, o->diags, &o->unit, &o->err);
}

/* No path and no readable name means two points. */
static void expect_unique(const char *text, const nn_space *s) {
    for (int i = 0; i < s->n; i++) {
        if (nn_space_find(s, s->points[i].path) != i || nn_space_find(s, s->points[i].alias) != i)
            fail_msg("'%s' (%s) is not the only one of its name:\n%s", s->points[i].path,
                     s->points[i].alias, text);
    }
}

TEST(paths_are_unique) {
    static const char *const programs[] = {
        "define M { Dense(HPO(choice(4, 8)), name=x) }\n"
        "network A { input: (8,) layers: M() M() (M()) * 2 (M() M()) * HPO(choice(1, 2)) }",
        "network A { input: (8,) layers: ((Dense(HPO(choice(8, 9))) * HPO(choice(1, 2))) * "
        "HPO(choice(1, 2)) Dropout(HPO(range(0.1, 0.2)))) * HPO(choice(2, 3)) }",
        "network A { input: (8,) layers: Dense(HPO(choice(8, HPO(range(16, 32)))), "
        "activation=HPO(choice(relu, HPO(choice(tanh, elu))))) * HPO(choice(1, HPO(range(2, 3)))) "
        "}",
        "network A { input: (8,) layers: HPO(choice(Dense(HPO(choice(8, 9))) * HPO(choice(1, 2)), "
        "(Dense(HPO(choice(8, 9))) Dense(HPO(choice(8, 9)))), HPO(choice(ELU(HPO(choice(1, 2))), "
        "Dropout(HPO(range(0.1, 0.2)))))))"
        " * HPO(choice(1, 2)) Dense(HPO(choice(8, 9))) }",
        "network A { input: (8,) layers: a: { Dense(HPO(choice(8, 9))) b: { Dense(HPO(choice(8, 9)))"
        " } c: { Dense(HPO(choice(8, 9))) } Add() } d: { Dense(HPO(choice(8, 9))) } Concatenate() }",
        "network A { input: (8, 3) layers: Bidirectional(LSTM(HPO(choice(8, 9)), "
        "dropout=HPO(range(0.1, 0.2)), return_sequences=true), merge_mode=HPO(choice(sum, mul))) "
        "TimeDistributed(Dense(HPO(choice(8, 9)))) { Dense(HPO(choice(8, 9))) } }",
        "network A { input: (8,) layers: FooLayer(a=HPO(choice(1, 2)), b=HPO(choice(1, 2)), "
        "output_shape=(3,)) { Dense(HPO(choice(8, 9))) } Dense(HPO(choice(8, 9))) "
        "optimizer: Adam(learning_rate=HPO(log_range(0.001, 0.1)), beta_1=HPO(choice(0.8, 0.9))) "
        "train { batch_size: [16, 32] epochs: HPO(range(1, 4)) } loss: HPO(choice(mse, mae)) }",
    };
    static const int n[] = {6, 5, 6, 10, 4, 5, 9};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        outcome o;
        compile_set(programs[i], NULL, 0, &o);
        if (!o.unit) fail_msg("%s\n%d: %s", programs[i], o.err.col, o.err.msg);
        expect_unique(programs[i], o.unit->space);
        if (o.unit->space->n != n[i])
            fail_msg("%d points, expected %d: %s", o.unit->space->n, n[i], programs[i]);
        nn_arena_free(o.arena);
    }
}

TEST(paths_are_unique_in_the_corpus) {
    const char *dir = getenv("NEURAL_CORPUS");
    char path[512];
    snprintf(path, sizeof path, "%s/accept.jsonl", dir ? dir : "../shared/corpus");
    NN_BUF text = {0};
    nn_err err;
    if (nn_file_read(path, 64 << 20, &text, &err)) skip();
    int programs = 0, points = 0;
    for (char *line = text.p, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        NN_JSON *row = NULL;
        CHECK_OK(nn_json_parse(line, end ? (size_t)(end - line) : strlen(line), &row, &err), &err);
        const char *dsl = nn_json_str(nn_json_get(row, "dsl"), NULL);
        if (!dsl) continue;
        outcome o;
        compile_set(dsl, NULL, 0, &o);
        if (o.unit) {
            expect_unique(dsl, o.unit->space);
            programs++;
            points += o.unit->space->n;
        }
        nn_arena_free(o.arena);
    }
    print_message("%d programs, %d points\n", programs, points);
    CHECK(programs > 50 && points > 10);
}

static int64_t units_of(const outcome *o, int row) {
    if (!o->unit) fail_msg("%s", o->err.msg);
    return o->unit->layers[row].out.dim[0];
}

#define LAYERS(x) "network A { input: (8,) layers: " x " }"

TEST(settings_by_path_and_by_name) {
    const char *text =
        LAYERS("Dense(HPO(choice(8, HPO(range(16, 64, step=16))))) HPO(choice(Dense(3), "
               "(Dense(HPO(range(4, 7))) Dropout(0.1)))) Dense(2) * HPO(range(1, 4))");
    outcome o;
    compile_set(text,
                (nn_setting[]){
                    {"dense_1.units", "48"}
    },
                1, &o);
    assert_int_equal(units_of(&o, 1), 48);
    int nested = nn_space_find(o.unit->space, "dense_1.units.choice[1]");
    CHECK(nested >= 0 && o.unit->space->points[nested].active && o.unit->space->points[nested].set);
    assert_int_equal(nn_unit_runnable(o.unit, &o.err), NN_E_UNSUPPORTED);
    nn_arena_free(o.arena);

    const nn_setting all[] = {
        {"layers[0].units",                        "8"},
        {"layers[1]",                              "1"},
        {"layers[1].choice[1].sublayers[0].units", "6"},
        {"layers[2].repeat",                       "3"}
    };
    compile_set(text, all, 4, &o);
    assert_int_equal(units_of(&o, 1), 8);
    assert_int_equal(units_of(&o, 2), 6);
    assert_int_equal(o.unit->n_layers, 1 + 1 + 2 + 3);
    CHECK_OK(nn_unit_runnable(o.unit, &o.err), &o.err); /* the nested one is not active */
    nested = nn_space_find(o.unit->space, "layers[0].units.choice[1]");
    CHECK(nested >= 0 && !o.unit->space->points[nested].active);
    nn_arena_free(o.arena);
}

TEST(settings_that_are_none) {
    static const struct {
        const char *path, *value, *layers;
    } bad[] = {
        {"dense_1.units",  "9",     "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.units",  "\"8\"", "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.units",  "(",     "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.units",  "",      "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.units",  "8 16",  "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.unit",   "8",     "Dense(HPO(choice(8, 16)))"              },
        {"layers[0]",      "8",     "Dense(HPO(choice(8, 16)))"              },
        {"dense_1.units",  "8",     "Dense(8)"                               },
        {"dense_1.units",  "65",    "Dense(HPO(range(8, 64)))"               },
        {"dense_1.units",  "7",     "Dense(HPO(range(8, 64)))"               },
        {"dense_1.units",  "9",     "Dense(HPO(range(8, 64, step=8)))"       },
        {"dense_1.units",  "8.5",   "Dense(HPO(range(8, 64)))"               },
        {"layers[0]",      "2",     "HPO(choice(Dense(3), Dense(4)))"        },
        {"layers[0]",      "-1",    "HPO(choice(Dense(3), Dense(4)))"        },
        {"dropout_1.rate", "0.11",  "Dropout(HPO(range(0.1, 0.5, step=0.1)))"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, LAYERS("%s"), bad[i].layers);
        outcome o;
        compile_set(text,
                    (nn_setting[]){
                        {bad[i].path, bad[i].value}
        },
                    1, &o);
        if (o.unit || o.diags->errors != 1)
            fail_msg("%s=%s: %d errors", bad[i].path, bad[i].value, o.diags->errors);
        nn_arena_free(o.arena);
    }
}

TEST(settings_that_are_on_the_edge) {
    static const struct {
        const char *value, *layer;
    } good[] = {
        {"8",   "Dense(HPO(range(8, 64)))"                             },
        {"64",  "Dense(HPO(range(8, 64, step=8)))"                     },
        {"0.3", "Dropout(HPO(range(0.1, 0.5, step=0.1)), name=dense_1)"},
        {"0.5", "Dropout(HPO(range(0.1, 0.5, step=0.1)), name=dense_1)"},
        {"0.1", "Dropout(HPO(log_range(0.1, 0.5)), name=dense_1)"      },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, LAYERS("%s"), good[i].layer);
        outcome o;
        const char *path = strstr(good[i].layer, "Dropout") ? "dense_1.rate" : "dense_1.units";
        compile_set(text,
                    (nn_setting[]){
                        {path, good[i].value}
        },
                    1, &o);
        if (!o.unit) fail_msg("%s in %s: %s", good[i].value, good[i].layer, o.err.msg);
        CHECK(o.unit->space->points[0].set);
        nn_arena_free(o.arena);
    }
}
