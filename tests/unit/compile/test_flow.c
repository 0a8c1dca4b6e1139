/* SPDX-License-Identifier: MIT */
/* Limits of the flow of values and hostile programs; what is legal is in tests/golden/branches.case
 * and its neighbours. */
#include "compile/compile.h"
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

static void compile_with(const char *text, const nn_compile_options *opt, outcome *o) {
    *o = (outcome){.arena = nn_arena_new(NULL, "t", 0)};
    o->src = (nn_source){"t.neural", text, strlen(text)};
    o->diags = nn_diags_new(o->arena, &o->src);
    nn_compile(o->arena, &o->src, opt, o->diags, &o->unit, &o->err);
}

static void compile(const char *text, outcome *o) {
    compile_with(text, NULL, o);
}

static void done(outcome *o) {
    nn_arena_free(o->arena);
}

static const nn_diag *first_error(const outcome *o) {
    for (const nn_diag *d = o->diags->first; d; d = d->next)
        if (d->severity == NN_SEV_ERROR) return d;
    return NULL;
}

static void expect_error(const char *text, const char *code) {
    outcome o;
    compile(text, &o);
    const nn_diag *d = first_error(&o);
    if (!d || strcmp(d->code, code) != 0 || o.diags->errors != 1)
        fail_msg("'%.80s': %d errors, %s", text, o.diags->errors, d ? d->code : "");
    done(&o);
}

/* head, n times body (with its number for %d), tail */
static char *many(const char *head, const char *body, int n, const char *tail) {
    NN_BUF b = {0};
    nn_buf_puts(&b, head);
    for (int i = 0; i < n; i++) {
        const char *at = strstr(body, "%d");
        if (at)
            nn_buf_printf(&b, "%.*s%d%s", (int)(at - body), body, i, at + 2);
        else
            nn_buf_puts(&b, body);
    }
    nn_buf_puts(&b, tail);
    return nn_buf_take(&b);
}

TEST(a_hundred_thousand_layers_and_not_one_more) {
    outcome o;
    compile("network A { Input(4) layers: (ReLU() Dropout(0.1)) * 49999 ReLU() * 2 }", &o);
    CHECK(o.unit && o.unit->n_layers == 100001); /* with the input */
    done(&o);
    expect_error("network A { Input(4) layers: (ReLU() Dropout(0.1)) * 49999 ReLU() * 3 }",
                 "limit");
    expect_error("network A { input: (4,) layers: Sequential { ReLU() } * 50001 }", "limit");
    expect_error("network A { input: (4,) layers: ((ReLU()) * 400) * 251 }", "limit");
}

TEST(what_is_chosen_is_counted_too) {
    expect_error("network A { input: (4,) layers: ((() * HPO(choice(99999, 2))) * HPO(choice(99999,"
                 " 2))) * HPO(choice(99999, 2)) ReLU() }",
                 "limit");
    expect_error("network A { input: (4,) layers: (ReLU() * HPO(choice(99999, 2))) * HPO(choice("
                 "99999, 2)) }",
                 "limit");
}

TEST(what_is_chosen_is_counted_exactly) {
    outcome o;
    compile("network A { Input(4) layers: (ReLU() * HPO(choice(50000, 2))) * HPO(choice(2, 1)) }",
            &o);
    CHECK(o.unit && o.unit->n_layers == 100001);
    done(&o);
    expect_error("network A { Input(4) layers: (ReLU() * HPO(choice(50000, 2))) * HPO(choice(2, 1))"
                 " ReLU() }",
                 "limit");
}

TEST(turns_of_groups) {
    expect_error("network A { input: (4,) layers: (() * HPO(choice(99999, 2))) * 2 ReLU() }",
                 "limit");
    static const char *const good[] = {
        "network A { input: (4,) layers: () * HPO(choice(99999, 2)) ReLU() }",
        "network A { input: (4,) layers: (((ReLU()))) * 60000 }",
        "define M { ReLU() } network A { input: (4,) layers: (M() M()) * 49000 }",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        outcome o;
        compile(good[i], &o);
        if (!o.unit) fail_msg("%s: %s", good[i], o.err.msg);
        done(&o);
    }
}

TEST(copies_in_copies_say_it_once) {
    outcome o;
    compile("network A { input: (4,) layers: ((Dense(4.0)) * 2) * 3 }", &o);
    CHECK(o.unit && o.diags->warnings == 1 && o.unit->n_layers == 7);
    done(&o);
}

TEST(many_declarations) {
    char *head =
        many("", "custom A%dLayer(x) -> (4,)\n", 30000, "network A { input: (4,) layers:\n");
    char *text = many(head, "A%dLayer(1)\n", 30000, "}");
    outcome o;
    compile(text, &o);
    CHECK(o.unit && o.unit->layers[30000].known);
    assert_string_equal(o.unit->layers[30000].type, "A29999Layer");
    done(&o);
    free(text);
    free(head);
}

TEST(more_branches_than_anything_takes) {
    char *text = many("network A { input: (4,) layers:\n", "b%d: { ReLU() }\n", 50000, "}");
    outcome o;
    compile(text, &o);
    CHECK(o.diags->errors == 1);
    assert_string_equal(first_error(&o)->message, "more than 1000 branches are open at once");
    done(&o);
    free(text);
    text = many("network A { input: (4,) layers:\n", "b%d: { ReLU() }\n", 64, "Add() }");
    compile(text, &o);
    CHECK(o.unit && o.unit->layers[65].n_inputs == 64);
    done(&o);
    free(text);
    text = many("network A { input: (4,) layers:\n", "b%d: { ReLU() }\n", 65, "Add() }");
    expect_error(text, "bad-branch");
    free(text);
}

/* Each of these would take minutes if names were looked for one after the other. */
TEST(many_names) {
    outcome o;
    char *text =
        many("define M { ReLU(name=x) }\nnetwork A { input: (4,) layers:\n", "M()\n", 50000, "}");
    compile(text, &o);
    CHECK(o.unit);
    assert_string_equal(o.unit->layers[1].name, "x");
    assert_string_equal(o.unit->layers[50000].name, "x_49999");
    done(&o);
    free(text);
    text = many("network A { input: (4,) layers:\n", "ReLU(name=x_%d)\n", 40000,
                "ReLU(name=x) * 40000 }");
    compile(text, &o);
    CHECK(o.unit);
    assert_string_equal(o.unit->layers[80000].name, "x_79999");
    done(&o);
    free(text);
}

TEST(nested_groups_and_blocks) {
    NN_BUF b = {0};
    nn_buf_puts(&b, "network A { input: (4,) layers: ");
    for (int i = 0; i < 150; i++) nn_buf_puts(&b, i % 2 ? "(" : "Sequential { ");
    nn_buf_puts(&b, "ReLU() ");
    for (int i = 149; i >= 0; i--) nn_buf_puts(&b, i % 2 ? ") * 1 " : "} ");
    nn_buf_puts(&b, "}");
    outcome o;
    compile(nn_buf_str(&b), &o);
    CHECK(o.unit);
    assert_int_equal(o.unit->n_layers, 77);
    assert_int_equal(o.unit->layers[76].parent, 75);
    done(&o);
}

/* Nothing stands twice in a unit, and rows hang together. */
TEST(rows_of_a_branched_network) {
    outcome o;
    compile("network A { input: { a: (4,) b: (4,) } layers: a: { Residual { Dense(4) ReLU() } }"
            " b: { (Dense(4, name=d)) * 2 } Add() Dense(2, name=last) Concatenate(inputs=[last, a])"
            " }",
            &o);
    CHECK(o.unit);
    const nn_unit *u = o.unit;
    static const char *const names[] = {"a",   "b",   "residual_1", "dense_1", "relu_1",
                                        "d_1", "d_2", "add_1",      "last",    "concatenate_1"};
    assert_int_equal(u->n_layers, 10);
    for (int i = 0; i < 10; i++) {
        assert_string_equal(u->layers[i].name, names[i]);
        for (int k = 0; k < u->layers[i].n_inputs; k++) CHECK(u->layers[i].inputs[k] < i);
        CHECK(u->layers[i].known);
    }
    CHECK(u->layers[3].parent == 2 && u->layers[4].parent == 2 && u->layers[4].inputs[0] == 3);
    CHECK(u->layers[3].inputs[0] == 2); /* of a block: its layer */
    CHECK(u->layers[7].inputs[0] == 2 && u->layers[7].inputs[1] == 6);
    CHECK(u->layers[9].inputs[0] == 8 && u->layers[9].inputs[1] == 2);
    done(&o);
}

TEST(a_unit_that_is_not_whole_says_why) {
    outcome o;
    compile("network A { input: (4,) layers: Dense(4)\n FooLayer() Dense(3) }", &o);
    CHECK(o.unit && o.unit->incomplete && o.diags->warnings == 1);
    CHECK(!o.unit->layers[2].known && !o.unit->layers[3].known && o.unit->layers[1].known);
    assert_int_equal(nn_unit_runnable(o.unit, &o.err), NN_E_UNSUPPORTED);
    assert_string_equal(o.err.msg,
                        "network 'A' cannot run: the shape behind FooLayer at line 2 is not known");
    done(&o);
    compile("network A { input: (4,) layers: Dense(4) }", &o);
    CHECK(o.unit && !o.unit->incomplete);
    CHECK_OK(nn_unit_runnable(o.unit, &o.err), &o.err);
    done(&o);
}

TEST(flatten_is_put_before_what_wants_one_axis) {
    const nn_compile_options flat = {.auto_flatten = true};
    const char *text = "network A { input: (4, 4, 2) layers: Conv2D(3, 3) Dense(3) * 2"
                       " a: { Output(2) } b: { Output(1) } }";
    outcome o;
    compile_with(text, &flat, &o);
    CHECK(o.unit && o.unit->n_layers == 7 && o.diags->warnings == 0);
    assert_string_equal(o.unit->layers[2].type, "Flatten");
    CHECK(o.unit->layers[3].in.rank == 1 && o.unit->layers[3].in.dim[0] == 12);
    done(&o);
    compile(text, &o);
    CHECK(o.unit && o.unit->n_layers == 6); /* Dense maps the last axis */
    done(&o);
}
