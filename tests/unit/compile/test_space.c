/* SPDX-License-Identifier: MIT */
#include "compile/model_data.h"
#include "compile/space.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 8 };

/* "a=1 b=2" as settings; the text is cut up. */
static int settings_of(char *text, nn_setting *to) {
    int n = 0;
    for (char *word; (word = strsep(&text, " ")) && *word; n++) {
        char *eq = strchr(word, '=');
        *eq = 0;
        to[n] = (nn_setting){word, eq + 1};
    }
    return n;
}

typedef struct world {
    nn_arena *arena;
    nn_source src;
    nn_diags *diags;
    nn_unit *unit;
    nn_setting settings[MOST];
    int n;
    nn_status st;
    nn_err err;
} world;

/* `set`: of the compilation. */
static void open_world(world *w, const char *program, const char *set) {
    *w = (world){
        .arena = nn_arena_new(NULL, "t", 0), .src = {"t", program, strlen(program)}
    };
    w->diags = nn_diags_new(w->arena, &w->src);
    w->n = settings_of(nn_arena_strdup(w->arena, set), w->settings);
    nn_compile_options opt = {.settings = w->settings, .n_settings = w->n};
    w->st = nn_compile_source(w->arena, &w->src, &opt, w->diags, &w->unit, &w->err);
}

static void rewrite(const char *program, const char *set, nn_buf *out, nn_status *ret,
                    nn_err *err) {
    world w;
    open_world(&w, program, "");
    CHECK_OK(w.st, &w.err);
    w.n = settings_of(nn_arena_strdup(w.arena, set), w.settings);
    *ret = nn_space_rewrite(w.unit, w.settings, w.n, out, err);
    nn_arena_free(w.arena);
}

static void expect(const char *program, const char *set, const char *want) {
    NN_BUF out = {0};
    nn_status st;
    nn_err err = {0};
    rewrite(program, set, &out, &st, &err);
    if (st) fail_msg("%s: %s", set, err.msg);
    assert_string_equal(nn_buf_str(&out), want);
}

static void refuse(const char *program, const char *set, nn_status code, const char *why) {
    NN_BUF out = {0};
    nn_status st;
    nn_err err = {0};
    rewrite(program, set, &out, &st, &err);
    assert_int_equal(st, code);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, why)) fail_msg("'%s' says nothing of '%s'", err.msg, why);
    assert_int_equal(out.n, 0);
}

#define NET(layers) "network A { input: (8,) layers: " layers " Dense(2) }"

TEST(values_take_the_place_of_their_expressions) {
    expect(NET("Dense(HPO(choice(64, 128)))"), "layers[0].units=128", NET("Dense(128)"));
    expect(NET("Dense( HPO( choice(64 ,128) ) ) # c\n"), "dense_1.units=64",
           NET("Dense( 64 ) # c\n"));
    expect(NET("Dropout(HPO(range(0.1, 0.5)))"), "layers[0].rate=.25", NET("Dropout(.25)"));
    expect(NET("Dense(3)"), "", NET("Dense(3)"));
}

TEST(numbers_keep_the_spelling_that_was_given) {
    expect("network A { input: (4,) Dense(2) optimizer: Adam(HPO(log_range(1e-5, 1e-1))) }",
           "optimizer.learning_rate=5e-4",
           "network A { input: (4,) Dense(2) optimizer: Adam(5e-4) }");
    expect("network A { input: (4,) Dense(2) optimizer: Adam(HPO(choice(1e-3, 1e-4))) }",
           "optimizer.learning_rate=0.0001",
           "network A { input: (4,) Dense(2) optimizer: Adam(0.0001) }");
}

TEST(texts_keep_the_quotes_of_the_program) {
    const char *p = NET("Dense(4, activation=HPO(choice(\"relu\", 'tanh', elu)))");
    expect(p, "layers[0].activation=relu", NET("Dense(4, activation=\"relu\")"));
    expect(p, "layers[0].activation=\"tanh\"", NET("Dense(4, activation='tanh')"));
    expect(p, "layers[0].activation='elu'", NET("Dense(4, activation=elu)"));
    expect("network A { input: (8, 8, 1) Conv2D(2, HPO(choice((3, 3), (5,5)))) }",
           "layers[0].kernel_size=(5,5)", "network A { input: (8, 8, 1) Conv2D(2, (5,5)) }");
}

TEST(a_layer_choice_becomes_its_candidate) {
    const char *p = NET("HPO(choice(Dense(16), Dense(HPO(choice(8, 9)), relu) * 2))");
    expect(p, "layers[0]=0", NET("Dense(16)"));
    expect(p, "layers[0]=1", NET("Dense(HPO(choice(8, 9)), relu) * 2"));
    expect(p, "layers[0]=1 layers[0].choice[1].units=9", NET("Dense(9, relu) * 2"));
    expect(NET("HPO(choice((Dense(4) Dense(5)), Dropout(0.5)))"), "layers[0]=0",
           NET("(Dense(4) Dense(5))"));
    expect(NET("Dense(4) * HPO(choice(1, 3))"), "layers[0].repeat=3", NET("Dense(4) * 3"));
    /* a point of a candidate that stays open */
    expect(p, "layers[0].choice[1].units=9", NET("HPO(choice(Dense(16), Dense(9, relu) * 2))"));
}

TEST(nested_values) {
    const char *p = NET("Dense(HPO(choice(4, HPO(range(10, 20)))))");
    expect(p, "layers[0].units=15", NET("Dense(15)"));
    expect(p, "layers[0].units=4", NET("Dense(4)"));
    expect(NET("Dense(4, activation=HPO(choice('relu', HPO(choice(\"elu\", gelu)))))"),
           "layers[0].activation=elu", NET("Dense(4, activation=\"elu\")"));
    world w;
    open_world(&w, p, "layers[0].units=15");
    CHECK_OK(w.st, &w.err);
    assert_int_equal(w.unit->graph->nodes[1].shape.dim[0], 15);
    CHECK_OK(nn_unit_runnable(w.unit, &w.err), &w.err); /* the nested point has its value */
    nn_arena_free(w.arena);
}

TEST(lists_and_quoted_calls) {
    expect("network A { input: (4,) Dense(2) train { batch_size: 16, 32 } }",
           "training.batch_size=32", "network A { input: (4,) Dense(2) train { batch_size: 32 } }");
    expect("network A { input: (4,) Dense(2) train { batch_size: [16, 32] epochs: 3 } }",
           "training.batch_size=16",
           "network A { input: (4,) Dense(2) train { batch_size: 16 epochs: 3 } }");
    expect("network A { input: (4,) Dense(2) optimizer: "
           "SGD(\"ExponentialDecay(HPO(choice(0.1, 0.2)), 100, 0.9)\") }",
           "optimizer.learning_rate.initial_learning_rate=0.2",
           "network A { input: (4,) Dense(2) optimizer: "
           "SGD(\"ExponentialDecay(0.2, 100, 0.9)\") }");
}

#define TWICE "define B(u) { Dense($u, activation=HPO(choice(relu, tanh))) }\n"

TEST(macros) {
    /* an argument is the caller's text, and one point, however often it is used */
    expect(TWICE NET("B(HPO(choice(3, 4))) B(5)"), "layers[0].units=4", TWICE NET("B(4) B(5)"));
    expect("define B(u) { Dense($u) Dense($u) }\n" NET("B(HPO(choice(3, 4)))"), "layers[0].units=4",
           "define B(u) { Dense($u) Dense($u) }\n" NET("B(4)"));
    /* a body is shared by its copies */
    expect(TWICE NET("B(3) B(5)"), "layers[0].activation=tanh layers[1].activation=tanh",
           "define B(u) { Dense($u, activation=tanh) }\n" NET("B(3) B(5)"));
    refuse(TWICE NET("B(3) B(5)"), "layers[0].activation=tanh", NN_E_VALIDATION_ERROR,
           "only the first is given a value");
    refuse(TWICE NET("B(3) B(5)"), "layers[0].activation=tanh layers[1].activation=relu",
           NN_E_VALIDATION_ERROR, "different values");
    /* a copy that a choice leaves out does not count */
    expect(TWICE NET("B(3) HPO(choice(B(5), Dense(6)))"), "layers[0].activation=tanh layers[1]=1",
           "define B(u) { Dense($u, activation=tanh) }\n" NET("B(3) Dense(6)"));
}

TEST(model_data_is_rewritten_as_json) {
    const char *p = "{\"input\": {\"shape\": [8]}, \"layers\": [{\"type\": \"Dense\", \"params\": "
                    "{\"units\": {\"hpo\": {\"type\": \"categorical\", \"values\": [3, 4]}}, "
                    "\"activation\": {\"hpo\": {\"type\": \"categorical\", \"values\": [\"relu\", "
                    "\"tanh\"]}}}}]}";
    expect(p, "layers[0].units=4 layers[0].activation=tanh",
           "{\"input\": {\"shape\": [8]}, \"layers\": [{\"type\": \"Dense\", \"params\": "
           "{\"units\": 4, \"activation\": \"tanh\"}}]}");
}

TEST(wrong_settings_are_told) {
    const char *p = NET("Dense(HPO(choice(64, 128)))");
    refuse(p, "layers[9].units=64", NN_E_VALIDATION_ERROR, "no search point 'layers[9].units'");
    refuse(p, "layers[0].units=65", NN_E_VALIDATION_ERROR, "one of its candidates");
    refuse(p, "layers[0].units=", NN_E_VALIDATION_ERROR, "this is no value");
    refuse(p, "layers[0].units=64 dense_1.units=128", NN_E_VALIDATION_ERROR, "set twice");
    refuse(NET("Dropout(HPO(range(0.1, 0.5, step=0.2)))"), "layers[0].rate=0.2",
           NN_E_VALIDATION_ERROR, "in steps of 0.2");
    refuse(NET("HPO(choice(Dense(3), Dense(4)))"), "layers[0]=2", NN_E_VALIDATION_ERROR,
           "candidates");
}

TEST(paths_do_not_move_with_what_is_chosen) {
    static const char *const settings[] = {"", "layers[0]=1", "layers[1].repeat=3",
                                           "layers[0]=1 layers[1].repeat=3 layers[2].units=6"};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        world w;
        open_world(&w,
                   NET("HPO(choice(Dense(3), (Dense(4) Dense(HPO(choice(7, 8)))))) Dense(4) * "
                       "HPO(choice(1, 3)) Dense(HPO(choice(5, 6)))"),
                   settings[i]);
        CHECK_OK(w.st, &w.err);
        assert_int_equal(w.unit->space->n, 4);
        CHECK(nn_space_find(w.unit->space, "layers[0]") >= 0);
        int inner = nn_space_find(w.unit->space, "layers[0].choice[1].sublayers[1].units");
        CHECK(inner >= 0);
        const nn_search_point *p = &w.unit->space->points[inner];
        assert_string_equal(w.unit->space->points[p->parent].path, "layers[0]");
        assert_int_equal(p->candidate, 1);
        assert_int_equal(p->active, strstr(settings[i], "[0]=1") != NULL);
        CHECK(nn_space_find(w.unit->space, "layers[1].repeat") >= 0);
        CHECK(nn_space_find(w.unit->space, "layers[2].units") >= 0);
        nn_arena_free(w.arena);
    }
}

TEST(candidates_that_are_not_chosen_are_checked) {
    static const char *const wrong[] = {"HPO(choice(Dense(3), Dens(4)))",
                                        "HPO(choice(Dense(3), (Dense(4) Dense(-1))))",
                                        "HPO(choice(Dense(3), Residual { Dense(8, colour=2) }))",
                                        "HPO(choice(relu, tanh))",
                                        "HPO(choice(3, 4, 5))",
                                        "HPO(range(3, 4))"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "network A { input: (8,) layers: %s Dense(2) }", wrong[i]);
        world w;
        open_world(&w, text, "");
        assert_int_equal(w.st, NN_E_DSL_ERROR);
        assert_int_equal(w.diags->errors, 1);
        nn_arena_free(w.arena);
    }
    world w; /* a merge may be a candidate */
    open_world(&w,
               "network A { input: (8,) layers: a: { Dense(2) } b: { Dense(2) } "
               "HPO(choice(Concatenate(), Add())) Dense(2) }",
               "layers[2]=1");
    CHECK_OK(w.st, &w.err);
    nn_arena_free(w.arena);
}

TEST(a_choice_may_be_repeated) {
    world w;
    open_world(&w, NET("HPO(choice(Dense(3), (Dense(4) Dense(5)))) * 2"), "layers[0]=1");
    CHECK_OK(w.st, &w.err);
    assert_int_equal(w.unit->n_layers, 1 + 4 + 1);
    nn_arena_free(w.arena);
}

TEST(a_chosen_repetition_is_bounded) {
    world w;
    open_world(&w, NET("(Dense(3) * HPO(range(99999, 100000))) * HPO(range(99999, 100000))"), "");
    assert_int_equal(w.st, NN_E_DSL_ERROR);
    assert_string_equal(w.diags->first->code, "limit");
    nn_arena_free(w.arena);
}

TEST(the_space_as_json) {
    world w;
    open_world(&w,
               "network Net { input: (8,) layers:\n HPO(choice(Dense(3), Dense(HPO(range(4, 8, "
               "step=2)))))\n Dense(2) }",
               "layers[0]=1");
    CHECK_OK(w.st, &w.err);
    NN_JSON *got = nn_space_json(w.unit), *want = NULL;
    const char *text =
        "{\"network\": \"Net\", \"points\": [{\"path\": \"layers[0]\", \"alias\": \"layers[0]\", "
        "\"layer\": \"layers\", \"parameter\": \"layers[0]\", \"type\": \"layer_choice\", "
        "\"values\": [{\"type\": \"Dense\", \"params\": {\"units\": 3}, \"sublayers\": []}, "
        "{\"type\": \"Dense\", \"params\": {\"units\": {\"hpo\": {\"type\": \"range\", \"start\": "
        "4, \"end\": 8, \"step\": 2}}}, \"sublayers\": []}], \"line\": 2, \"column\": 2, "
        "\"default\": 0, \"active\": true, \"value\": 1}, {\"path\": "
        "\"layers[0].choice[1].units\", \"alias\": \"dense_1.units\", \"layer\": \"Dense\", "
        "\"parameter\": \"units\", \"type\": \"range\", \"start\": 4, \"end\": 8, \"step\": 2, "
        "\"line\": 2, \"column\": 29, \"default\": 4, \"active\": true, \"parent\": "
        "\"layers[0]\", \"candidate\": 1}]}";
    CHECK_OK(nn_json_parse(text, strlen(text), &want, &w.err), &w.err);
    NN_BUF a = {0};
    NN_BUF b = {0};
    nn_json_dump(got, 1, &a);
    nn_json_dump(want, 1, &b);
    assert_string_equal(nn_buf_str(&a), nn_buf_str(&b));
    nn_arena_free(w.arena);
}
