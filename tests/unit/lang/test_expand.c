/* SPDX-License-Identifier: MIT */
/* Macros put where they are called: language.md section 10. */
#include "lang_test.h"

static bool is_layer(const char *name) {
    return !strcmp(name, "Dense") || !strcmp(name, "Flatten");
}

static parsed expanded_up_to(const char *text, int64_t max) {
    parsed r = parse(text);
    nn_expand(r.arena, r.program, is_layer, max, r.diags);
    nn_buf_clear(&r.tree);
    nn_buf_clear(&r.messages);
    nn_tree_print(r.program, &r.tree);
    nn_diags_print(r.diags, false, &r.messages);
    return r;
}
static parsed expanded(const char *text) {
    return expanded_up_to(text, 100000);
}

/* The items of network N { body } under these file-level definitions, as printed, without the
 * frame; and that to expand again changes nothing. */
static void check_items(const char *defines, const char *body, const char *expected) {
    NN_BUF text = {0}, want = {0}, again = {0};
    nn_buf_printf(&text, "network N { %s }\n%s", body, defines);
    nn_buf_printf(&want, "(network \"N\"\n  %s)\n", expected);
    PARSED r = expanded(nn_buf_str(&text));
    if (r.diags->errors) fail_msg("%s: %s", nn_buf_str(&text), nn_buf_str(&r.messages));
    const char *got = strstr(nn_buf_str(&r.tree), "(network");
    assert_string_equal(got, nn_buf_str(&want));
    nn_expand(r.arena, r.program, is_layer, 100000, r.diags);
    nn_tree_print(r.program, &again);
    assert_string_equal(nn_buf_str(&again), nn_buf_str(&r.tree));
}

/* The codes and places, in order, as check_codes does for the parser. */
static void check_expand_codes(const char *text, const char *expected) {
    PARSED r = expanded(text);
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

static void says(const char *text, const char *part) {
    PARSED r = expanded(text);
    if (!strstr(nn_buf_str(&r.messages), part))
        fail_msg("'%s' is not in:\n%s", part, nn_buf_str(&r.messages));
}

TEST(a_call_becomes_a_group) {
    check_items("define B { A() C() }", "B() B B * 2 D()",
                "(group\n    (A)\n    (C))\n  (group\n    (A)\n    (C))\n"
                "  (* 2 (group\n    (A)\n    (C)))\n  (D)");
    check_items("define B { A() }", "B() { X() Y() }", "(group\n    (A)\n    (X)\n    (Y))");
    check_items("define B { A() }", "B { X() }", "(group\n    (A)\n    (X))");
    check_items("define B { A() }", "A()", "(A)");
}

TEST(parameters) {
    check_items("define B(n, act=relu) { Dense($n, act) }", "B(3)", "(group\n    (Dense 3 relu))");
    check_items("define B(n, act=relu) { Dense($n, $act) }", "B(act=\"elu\", n=(1, 2))",
                "(group\n    (Dense (tuple 1 2) \"elu\"))");
    check_items("define B(n, m=$n) { Dense(n, m) }", "B(3) B(3, 4)",
                "(group\n    (Dense 3 3))\n  (group\n    (Dense 3 4))");
    /* a name of an argument, a string and a word behind the parameter are no parameters */
    check_items("define B(n) { Dense(n=n, \"n\", k) }", "B(7)",
                "(group\n    (Dense (= n 7) \"n\" k))");
}

TEST(parameters_inside_of_values) {
    check_items("define B(n, m) { D((n, 1), [$n], {a: n}, f(n), HPO(choice(n, m))) * n }",
                "B(2, 3)",
                "(group\n    (* 2 (D (tuple 2 1) (list 2) (dict (= a 2)) (f 2) (choice 2 3))))");
    check_items("define B(lo, hi) { D(HPO(range(lo, $hi, step=lo))) }", "B(1, 9)",
                "(group\n    (D (range 1 9 1)))");
    check_items("define B(d) { D() @ d  E() @ $d }", "B(\"cpu\")",
                "(group\n    (D (@ \"cpu\"))\n    (E (@ \"cpu\")))");
    check_items("define B(n) { R { D(n) ( D($n) ) } left: { D(n) } }", "B(2)",
                "(group\n    (R {\n      (D 2)\n      (group\n        (D 2))})\n    (branch left\n"
                "      (D 2)))");
}

TEST(macros_that_call_macros) {
    check_items("define C(m) { Dense(m) } define B(n) { C(n) C(m=$n) * 2 }", "B(5)",
                "(group\n    (group\n      (Dense 5))\n    (* 2 (group\n      (Dense 5))))");
    /* the argument is the caller's: its n is not the callee's */
    check_items("define C(n) { Dense(n) } define B(n) { C(1) Dense(n) }", "B(2)",
                "(group\n    (group\n      (Dense 1))\n    (Dense 2))");
    check_items("define C { A() } define B(n) { C { Dense(n) } }", "B(2) { D(n) }",
                "(group\n    (group\n      (A)\n      (Dense 2))\n    (D n))");
    check_items("define C { A() }", "R { C() } ( C ) left: { C() }",
                "(R {\n    (group\n      (A))})\n  (group\n    (group\n      (A)))\n"
                "  (branch left\n    (group\n      (A)))");
}

TEST(macros_of_a_network) {
    check_items("define B { Outer() }", "define B { Inner() } B()",
                "(define B\n    (Inner))\n  (group\n    (Inner))");
    /* a macro of the file does not see those of a network */
    check_items("define B { C() } define C { Outer() }", "define C { Inner() } B()",
                "(define C\n    (Inner))\n  (group\n    (group\n      (Outer)))");
    says("network N { B() define B { A() } }", "macro 'B' is used above its definition");
    says("network N { B define B { A() } }", "macro 'B' is used above its definition");
    check_expand_codes("network N { B() define B { A() } B() }", "macro-order 1:13");
    check_expand_codes("network N { define A { B() } define B { X() } A() }", "macro-order 1:24");
    check_expand_codes("network N { B } define B { A() }", "");
    check_expand_codes("network N { B() } network M { define B { A() } B() }", "");
}

TEST(devices) {
    check_items("define B { A() C() @ \"tpu\" R { D() } E(device=\"x\") } define O { B() }",
                "O() @ \"cpu\"",
                "(group\n    (group\n      (A (@ \"cpu\"))\n      (C (@ \"tpu\"))\n"
                "      (R (@ \"cpu\") {\n        (D (@ \"cpu\"))})\n      (E (= device \"x\"))))");
    check_items("define B { A() }", "B() @ \"cpu\" { X() }",
                "(group\n    (A (@ \"cpu\"))\n    (X))");
    check_items("define B { A(f(1)) }", "B() @ \"cpu\"", "(group\n    (A (f 1) (@ \"cpu\")))");
}

TEST(choices_between_macros) {
    check_items(
        "define B(n) { Dense(n) } define C { A() }",
        "HPO(choice(B(1) * 2, C, Dense(2), HPO(choice(C))))",
        "(choice (* 2 (group\n      (Dense 1))) (group\n      (A)) (Dense 2) (choice (group\n"
        "      (A))))");
    check_items("define B(n) { HPO(choice(Dense(n), (Dense(n) A()) * n)) }", "B(3)",
                "(group\n    (choice (Dense 3) (* 3 (group\n      (Dense 3)\n      (A)))))");
}

/* Each copy of a body has search spaces of its own; a space that is an argument is one space. */
TEST(search_spaces) {
    PARSED r = expanded("define B(n) { D(n, HPO(choice(1, 2))) D(n) }\n"
                        "network N { B(HPO(range(1, 9))) B(3) }");
    assert_int_equal(r.diags->errors, 0);
    const nn_item *first = r.program->networks->items, *second = first->next;
    const nn_arg *a = first->items->call->args, *b = first->items->next->call->args;
    assert_ptr_equal(a->value->hpo, b->value->hpo);
    assert_ptr_not_equal(a->next->value->hpo, second->items->call->args->next->value->hpo);
}

TEST(origins) {
    PARSED r = expanded("define C { A() }\ndefine B { C() X() }\nnetwork N {\n  B() { Y() }\n}");
    const nn_item *b = r.program->networks->items, *c = b->items;
    assert_true(b->expanded && c->expanded);
    assert_null(b->origin);
    assert_string_equal(b->call->name, "B");
    assert_string_equal(c->origin->macro, "B");
    assert_int_equal(c->origin->span.line, 4);
    assert_null(c->origin->next);
    const nn_origin *o = c->items->origin;
    assert_string_equal(o->macro, "C");
    assert_int_equal(o->span.line, 2);
    assert_ptr_equal(o->next, c->origin);
    assert_ptr_equal(c->next->origin, c->origin);
    assert_null(c->next->next->origin); /* the call's own block */
}

TEST(arguments_that_do_not_fit) {
    const char *define = "define B(units, act=relu) { Dense(units, act) }\nnetwork N { ";
    static const struct {
        const char *call, *codes, *says;
    } cases[] = {
        {"B() }",                  "missing-parameter 2:13",                         "macro 'B' needs 'units'"        },
        {"B }",                    "missing-parameter 2:13",                         "write B(units=…)"             },
        {"B(1, 2, 3, 4) }",        "too-many-arguments 2:21",                        "macro 'B' takes 2 arguments"    },
        {"B(unit=3) }",            "missing-parameter 2:13, unknown-parameter 2:15", "did you mean 'units'?"          },
        {"B(1, units=2) }",        "duplicate-parameter 2:18",                       "'units' is given twice"         },
        {"B(1, act=a, act=b) }",   "duplicate-parameter 2:25",                       "'act' is given twice"           },
        {"B(1) TD(B(2)) }",        "not-supported 2:21",                             "macro 'B' cannot be an argument"},
        {"HPO(choice(B, B(1))) }", "missing-parameter 2:24",                         "macro 'B' needs 'units'"        },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NN_BUF text = {0};
        nn_buf_printf(&text, "%s%s", define, cases[i].call);
        check_expand_codes(nn_buf_str(&text), cases[i].codes);
        says(nn_buf_str(&text), cases[i].says);
        says(nn_buf_str(&text), cases[i].codes[0] == 'n' ? "block" : "t.neural");
    }
}

TEST(a_wrong_call_in_a_body_is_one_error) {
    check_expand_codes("define C(n) { Dense(n) }\ndefine B { C() }\nnetwork N { B() B() B() }",
                       "missing-parameter 2:12");
    check_expand_codes("define C(n) { A(HPO(range(1, n))) }\ndefine B { C(\"x\") }\n"
                       "network N { B() B() }",
                       "bad-hpo 2:14");
}

TEST(names_of_parameters) {
    check_expand_codes("define B(n) { Dense($m) }", "unknown-name 1:21");
    says("define B(n) { Dense($m) }", "macro 'B' has no parameter '$m'");
    check_expand_codes("network N { Dense($m) loss: $l }", "unknown-name 1:19, unknown-name 1:29");
    says("network N { Dense($m) }", "'$m' stands outside of a macro");
    check_expand_codes("define B(n, n=3) { A() }", "duplicate-parameter 1:13");
    check_expand_codes("define B(n=$m, m=3) { A() }", "unknown-name 1:12");
}

TEST(names_of_macros) {
    check_expand_codes("define B { A() }\ndefine B { C() }", "duplicate-name 2:8");
    check_expand_codes("define Dense { A() }\nnetwork N { Dense(3) }", "duplicate-name 1:8");
    check_expand_codes("define B { A() }\ncustom B", "duplicate-name 1:8");
    check_expand_codes("custom B\nnetwork N { define B { A() } }", "duplicate-name 2:20");
    check_expand_codes("network N { define B { A() } define B { A() } }", "duplicate-name 1:37");
    check_expand_codes("define B { }", "missing-layers 1:8");
}

TEST(recursion_is_reported_once_with_its_cycle) {
    check_expand_codes("define A { A() }\nnetwork N { A() A }", "recursive-macro 1:8");
    says("define A { A() }", "macro 'A' contains itself: A -> A");
    const char *mutual = "define A { B() }\ndefine B { C() }\ndefine C { A() A() B() }\n"
                         "define D { A() }\nnetwork N { D() A() C() }";
    check_expand_codes(mutual, "recursive-macro 1:8");
    says(mutual, "macro 'A' contains itself: A -> B -> C -> A");
    says("define X { A() }\ndefine A { B() }\ndefine B { A() }", "A -> B -> A");
    says("define A { R { (HPO(choice(A))) } }", "A -> A");
    check_expand_codes("network N { define A { B() } define B { A() } A() }",
                       "recursive-macro 1:20");
    /* what cannot be expanded is left as what was reported, and not as a call of something */
    PARSED r = expanded("define A { A() }\nnetwork N { A() HPO(choice(A)) }");
    const char *items = strstr(nn_buf_str(&r.tree), "(network");
    assert_string_equal(items, "(network \"N\"\n  <error>\n  (choice <error>))\n");
}

TEST(a_mistake_in_a_network_marks_it) {
    PARSED r = expanded("define B(n) { Dense(n) } network A { B(1) } network B { B() }");
    assert_false(r.program->networks->damaged);
    assert_true(r.program->networks->next->damaged);
    PARSED s = parse("network A { X( } network B { X() }");
    assert_true(s.program->networks->damaged);
    assert_false(s.program->networks->next->damaged);
}

/* ---- hostile programs ---- */

/* M0 … Mn-1, each calling the one before `times` times. */
static void tower(nn_buf *out, int n, int times) {
    nn_buf_puts(out, "define M0 { Dense(1) }\n");
    for (int i = 1; i < n; i++) {
        nn_buf_printf(out, "define M%d {", i);
        for (int k = 0; k < times; k++) nn_buf_printf(out, " M%d()", i - 1);
        nn_buf_puts(out, " }\n");
    }
}

TEST(exploding_macros_are_counted_and_not_copied) {
    NN_BUF text = {0};
    tower(&text, 41, 2);
    nn_buf_puts(&text, "network N { M40() * 3 }");
    PARSED r = expanded(nn_buf_str(&text));
    assert_int_equal(r.diags->errors, 1);
    /* items: f(0) = 1, f(n) = 2 + 2 f(n - 1), so f(40) = 3 * 2^40 - 2 */
    assert_non_null(strstr(nn_buf_str(&r.messages), "expand to 3298534883326 layers"));
    assert_true(r.program->networks->damaged);
    nn_buf_clear(&text);
    tower(&text, 190, 2);
    nn_buf_puts(&text, "network N { M189() }");
    PARSED s = expanded(nn_buf_str(&text));
    assert_int_equal(s.diags->errors, 1);
    assert_non_null(strstr(nn_buf_str(&s.messages), "far too many layers"));
}

TEST(the_limit_of_items_is_exact) {
    const char *text = "define B { A() A() A() } network N { B() B() X() }";
    PARSED fits = expanded_up_to(text, 6);
    assert_int_equal(fits.diags->errors, 0);
    PARSED more = expanded_up_to(text, 5);
    assert_string_equal(more.diags->first->code, "limit");
}

TEST(arguments_count_as_well) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "define B(n) { Dense((");
    for (int i = 0; i < 100000; i++) nn_buf_puts(&text, "1, ");
    nn_buf_puts(&text, "n)) }\ndefine C { ");
    for (int i = 0; i < 1000; i++) nn_buf_puts(&text, "B(2) ");
    nn_buf_puts(&text, "}\nnetwork N { C() }");
    PARSED r = expanded(nn_buf_str(&text));
    assert_int_equal(r.diags->errors, 1);
    assert_non_null(strstr(nn_buf_str(&r.messages), "expand to too many arguments"));
}

TEST(chains_of_macros_are_bounded) {
    NN_BUF text = {0};
    tower(&text, 150, 1);
    nn_buf_puts(&text, "network N { M149() }");
    PARSED fits = expanded(nn_buf_str(&text));
    assert_int_equal(fits.diags->errors, 0);
    nn_buf_clear(&text);
    tower(&text, 100000, 1);
    nn_buf_puts(&text, "network N { M99999() }");
    PARSED up = expanded(nn_buf_str(&text));
    assert_int_equal(up.diags->errors, 1);
    assert_string_equal(up.diags->first->code, "too-deep");
    nn_buf_clear(&text); /* the other way round, each before what it calls */
    for (int i = 100000; i > 0; i--) nn_buf_printf(&text, "define M%d { M%d() }\n", i, i - 1);
    nn_buf_puts(&text, "define M0 { Dense(1) } network N { M100000() }");
    PARSED down = expanded(nn_buf_str(&text));
    assert_int_equal(down.diags->errors, 1);
    assert_string_equal(down.diags->first->code, "too-deep");
    nn_buf_clear(&text); /* one circle of all */
    for (int i = 0; i < 100000; i++)
        nn_buf_printf(&text, "define M%d { M%d() }\n", i, (i + 1) % 100000);
    PARSED circle = expanded(nn_buf_str(&text));
    assert_int_equal(circle.diags->errors, 1);
}

TEST(many_parameters_are_refused) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "define B(");
    for (int i = 0; i < 100000; i++) nn_buf_printf(&text, "p%d=1, ", i);
    nn_buf_puts(&text, "last) { Dense(p63) }\nnetwork N { B() }");
    PARSED r = expanded(nn_buf_str(&text));
    assert_int_equal(r.diags->errors, 1);
    assert_string_equal(r.diags->first->code, "limit");
}

/* With every byte budget the expansion says that memory ran out, or finishes. */
TEST(memory_limit_is_one_error) {
    const char *text = "define C(m, k=HPO(range(1, 9))) { Dense((m, k)) @ \"cpu\" { A(m) } }\n"
                       "define B(n) { C($n) * n HPO(choice(C(1), C(n) * 2)) }\n"
                       "network N { B(2) { X() } R { B(HPO(choice(1, 2))) } }";
    nn_source src = {"t.neural", text, strlen(text)};
    int stopped = 0, finished = 0;
    for (size_t cap = 12000; cap < 80000; cap += 64) {
        nn_arena *a = nn_arena_new(NULL, "small", cap);
        nn_diags *d = nn_diags_new(a, &src);
        nn_program *p = nn_parse(a, &src, NN_START_PROGRAM, d);
        if (!d->errors) {
            nn_expand(a, p, is_layer, 100000, d);
            NN_BUF tree = {0};
            nn_tree_print(p, &tree);
            NN_BUF messages = {0};
            nn_diags_print(d, false, &messages);
            if (d->errors > 1) fail_msg("%zu bytes: %s", cap, nn_buf_str(&messages));
            if (d->errors) assert_string_equal(d->first->code, "too-large");
            stopped += d->errors;
            finished += !d->errors;
        }
        nn_arena_free(a);
    }
    assert_true(stopped > 20 && finished > 20);
}
