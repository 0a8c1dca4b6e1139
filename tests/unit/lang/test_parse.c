/* SPDX-License-Identifier: MIT */
/* Programs that are right: language.md sections 3 and 18, rule by rule. */
#include "lang_test.h"

#include <math.h>

TEST(both_surface_forms_give_one_tree) {
    PARSED a = parse("network M { input: (784,)  layers: Dense(units=10, activation=softmax) }");
    PARSED b = parse("mOdEl M { input: (784,) Dense(units=10, activation=softmax) }");
    assert_int_equal(a.diags->errors + b.diags->errors, 0);
    assert_string_equal(nn_buf_str(&a.tree), "(network \"M\"\n  (input (tuple 784))\n"
                                             "  (Dense (= units 10) (= activation softmax)))\n");
    assert_string_equal(nn_buf_str(&a.tree), nn_buf_str(&b.tree));
}

TEST(input_layer) {
    check_body("Input(shape=[784])", "(Input (= shape (list 784)))");
    check_body("Input(28, 28, 1)", "(Input 28 28 1)");
    check_body("input(28)", "(input 28)"); /* rule 2: a layer of that name exists */
}

TEST(input_section) {
    check_body("input: (None, 28, 28, 1)", "(input (tuple none 28 28 1))");
    check_body("input : [28]", "(input (list 28))");
    check_body("input: (3)", "(input (tuple 3))");
    check_body("input: (1,), (2, 3)", "(input (tuple 1) (tuple 2 3))");
    check_body("input: { a: (1), b: (none, 2) c: [3] }",
               "(input (= a (tuple 1)) (= b (tuple none 2)) (= c (list 3)))");
    /* rule 6: without a bracket behind it, the comma only separates */
    check_body("input: (1,), Dense(3)", "(input (tuple 1))\n  (Dense 3)");
}

TEST(layers_label) {
    check_body("layers: Dense(1) Dense(2)", "(Dense 1)\n  (Dense 2)");
    check_body("layers : [ Dense(1), Dense(2), ] loss: mse",
               "(loss mse)\n  (Dense 1)\n  (Dense 2)");
    check_body("layers:", "");
    check_body("", "");
}

TEST(numbers) {
    check_body("D(1, +1, -1, - 3, 007, 1e-4, .5, 10., 1.e3, 1E+2, -.5)",
               "(D 1 +1 -1 -3 007 1e-4 .5 10. 1.e3 1E+2 -.5)");
    PARSED r = parse("network N { D(-9223372036854775808, 9223372036854775807, 010, 1e2, - 2.5) }");
    assert_int_equal(r.diags->errors, 0);
    const nn_arg *a = r.program->networks->items->call->args;
    assert_true(a->value->kind == NN_V_INT && a->value->i == INT64_MIN);
    a = a->next;
    assert_true(a->value->kind == NN_V_INT && a->value->i == INT64_MAX);
    a = a->next;
    assert_true(a->value->kind == NN_V_INT && a->value->i == 10 && a->value->f == 10.0);
    a = a->next;
    assert_true(a->value->kind == NN_V_FLOAT && a->value->f == 100.0);
    a = a->next;
    assert_true(a->value->kind == NN_V_FLOAT && a->value->f == -2.5);
}

TEST(strings) {
    check_body("D('relu', \"relu\", '', \"it's\", 'say \"x\"')",
               "(D \"relu\" \"relu\" \"\" \"it's\" \"say \\\"x\\\"\")");
    PARSED r = parse("network N { D(\"a\\\"b\\'c\\\\d\\ne\\tf # no comment\xc3\xa4\", 'x\\\ny') }");
    assert_int_equal(r.diags->errors, 0);
    const nn_arg *a = r.program->networks->items->call->args;
    assert_string_equal(a->value->text, "a\"b'c\\d\ne\tf # no comment\xc3\xa4");
    assert_string_equal(a->next->value->text, "xy");
}

TEST(words_as_values) {
    check_body("D(relu, true, FALSE, None, NULL, none, input, trueish)",
               "(D relu true false none none none input trueish)");
}

TEST(compound_values) {
    check_body("D((1,), [], (), (1, (2, [3, x]),), {a: 1, b: {c: (2)}}, {})",
               "(D (tuple 1) (list) (tuple) (tuple 1 (tuple 2 (list 3 x))) "
               "(dict (= a 1) (= b (dict (= c (tuple 2))))) (dict))");
}

TEST(arguments) {
    check_body("D(1, units=2, padding: \"same\",)", "(D 1 (= units 2) (= padding \"same\"))");
    check_body("TimeDistributed(Conv2D(32, (3, 3)), k=1) { Dropout(0.2) }",
               "(TimeDistributed (Conv2D 32 (tuple 3 3)) (= k 1) {\n    (Dropout 0.2)})");
    check_body("D(input=1, loss=2, train=3)", "(D (= input 1) (= loss 2) (= train 3))");
}

TEST(device_block_and_repetition) {
    check_body("Dense(10) @ \"cpu\" { A() B() } * 2",
               "(* 2 (Dense 10 (@ \"cpu\") {\n    (A)\n    (B)}))");
    check_body("Dense(10) @ gpu", "(Dense 10 (@ gpu))");
    check_body("A() * HPO(choice(1, 2))", "(* (choice 1 2) (A))");
    check_body("Residual { A() }", "(Residual {\n    (A)})");
    check_body("Residual {}", "(Residual {})");
}

TEST(groups_and_branches) {
    check_body("( A() B() ) * 3 C()", "(* 3 (group\n    (A)\n    (B)))\n  (C)");
    check_body(
        "left: { A() } right: { B() ( C() ) } Add()",
        "(branch left\n    (A))\n  (branch right\n    (B)\n    (group\n      (C)))\n  (Add)");
}

TEST(hpo) {
    check_body("Dense(HPO(choice(128, 256)))", "(Dense (choice 128 256))");
    check_body(
        "D(a=HPO(range(0.3, 0.7, step=0.1)), b=HPO(range(1, 9, 2)), c=HPO(log_range(1e-4, 1)))",
        "(D (= a (range 0.3 0.7 0.1)) (= b (range 1 9 2)) (= c (log_range 1e-4 1)))");
    check_body("HPO(choice(Dense(1) * 2, Residual() { A() }, HPO(choice(B())))) * 2",
               "(* 2 (choice (Dense 1) (* 2) (Residual {\n      (A)}) (choice (B))))");
}

TEST(groups_and_branches_as_candidates) {
    check_body("HPO(choice((A() B()) * 2, up: { A() } * 3, A()))",
               "(choice (* 2 (group\n      (A)\n      (B))) (* 3 (branch up\n      (A))) (A))");
    check_body("HPO(choice(((A() B()) * 2 C()), (((A()))), (A(), B())))",
               "(choice (group\n      (* 2 (group\n        (A)\n        (B)))\n      (C)) (group\n"
               "      (group\n        (group\n          (A)))) (group\n      (A)\n      (B)))");
    check_body("HPO(choice((A() * 2), (r: { A() }), (HPO(choice(1)), 2)))",
               "(choice (group\n      (* 2 (A))) (group\n      (branch r\n        (A))) "
               "(tuple (choice 1) 2))");
    /* what begins with a value is a tuple, how deep it may be */
    check_body("D(HPO(choice((3, 3), ((1, 2), (3,)), (relu, tanh), (), [A()])))",
               "(D (choice (tuple 3 3) (tuple (tuple 1 2) (tuple 3)) (tuple relu tanh) (tuple) "
               "(list (A))))");
    PARSED r = parse("define M { A() } network N { HPO(choice(M * 2, (M M), (relu))) }");
    assert_int_equal(r.diags->errors, 0);
    assert_non_null(strstr(nn_buf_str(&r.tree), "(choice M (* 2) (group\n      (M)\n      (M)) "
                                                "(tuple relu))"));
}

TEST(references) {
    check_body("loss: mse optimizer: Adam metrics: accuracy",
               "(loss mse)\n  (optimizer Adam)\n  (metrics accuracy)");
    check_body("loss: huber(delta=2) optimizer: SGD(0.1,) metrics: [a, \"b\"]",
               "(loss (huber (= delta 2)))\n  (optimizer (SGD 0.1))\n  (metrics (list a \"b\"))");
    check_body("loss: \"my.loss\" optimizer: 'adam'", "(loss \"my.loss\")\n  (optimizer \"adam\")");
}

TEST(quoted_calls_are_decoded_with_places) {
    PARSED r = parse("network N {\n  optimizer: \"Adam(learning_rate=0.01)\" }");
    assert_int_equal(r.diags->errors, 0);
    const nn_value *v = r.program->networks->sections->value;
    assert_int_equal(v->kind, NN_V_CALL);
    assert_string_equal(v->call->name, "Adam");
    assert_int_equal(v->call->name_span.line, 2);
    assert_int_equal(v->call->name_span.col, 15);
    assert_int_equal(v->call->args->name_span.col, 20);
    check_body("optimizer: \"Adam(name=\\\"x\\\")\"", "(optimizer (Adam (= name \"x\")))");
    check_body("compile { loss: 'cce(a=1)' optimizer: \"adam\" }",
               "(compile (= loss (cce (= a 1))) (= optimizer \"adam\"))");
    check_codes("network N { optimizer: \"Adam(lr=)\" }", "missing-value 1:33");
}

TEST(a_checker_can_decode_elsewhere) {
    PARSED r = parse("network N { optimizer: Adam(\"Decay(0.1)\", \"no call\", \"f(x) + 1\") }");
    const nn_arg *a = r.program->networks->sections->value->call->args;
    nn_parse_quoted(r.arena, r.diags->source, a->value, r.diags);
    assert_int_equal(a->value->kind, NN_V_CALL);
    assert_int_equal(a->value->call->name_span.col, 30);
    for (a = a->next; a; a = a->next) {
        nn_parse_quoted(r.arena, r.diags->source, a->value, r.diags);
        assert_int_equal(a->value->kind, NN_V_STRING);
    }
    assert_int_equal(r.diags->errors, 0);
}

TEST(configurations) {
    check_body("train { epochs: 10 batch_size: 16, 32, shuffle = true; callbacks: [a] x: {y: 1} }",
               "(train (= epochs 10) (= batch_size (list 16 32)) (= shuffle true) "
               "(= callbacks (list a)) (= x (dict (= y 1))))");
    check_body("training: { } execute { device: \"cpu\" } execution: { a: 1 }",
               "(train)\n  (execution (= device \"cpu\"))\n  (execution (= a 1))");
    check_body("framework: pytorch epochs: 3 batch_size: 16, 32 validation_split: 0.2",
               "(framework pytorch)\n  (epochs 3)\n  (batch_size (list 16 32))\n"
               "  (validation_split 0.2)");
}

TEST(macros) {
    PARSED r = parse("define B(n, act=relu, $k = (1, 2)) { Dense($n, act) * $n }\n"
                     "network N { define C { A() } B B * 2 C B(3) { X() } }");
    PARSED later = parse("network N { B B * 2 } define B { A() }");
    assert_string_equal(nn_buf_str(&later.messages), "");
    assert_string_equal(nn_buf_str(&r.messages), "");
    assert_string_equal(nn_buf_str(&r.tree),
                        "(define B (parameters (= n required) (= act relu) (= k (tuple 1 2)))\n"
                        "  (* $n (Dense $n act)))\n"
                        "(network \"N\"\n  (define C\n    (A))\n  (B)\n  (* 2 (B))\n  (C)\n"
                        "  (B 3 {\n    (X)}))\n");
    const nn_item *it = r.program->defines->items;
    assert_true(it->call->args->value->is_param && !it->call->args->next->value->is_param);
}

TEST(names_of_networks) {
    PARSED r = parse("network input {} model \"two words\" {} network {}");
    assert_int_equal(r.diags->errors, 0);
    assert_string_equal(r.program->networks->name, "input");
    assert_string_equal(r.program->networks->next->name, "two words");
    assert_string_equal(r.program->networks->next->next->name, "");
}

TEST(custom_layers) {
    PARSED r = parse("custom Mine(a, b=3) -> (None, 10) custom Other");
    assert_string_equal(nn_buf_str(&r.messages), "");
    assert_string_equal(nn_buf_str(&r.tree),
                        "(custom Mine (parameters (= a required) (= b 3)) (-> (tuple none 10)))\n"
                        "(custom Other)\n");
}

TEST(research) {
    const char *text = "research R { metrics { accuracy: 0.95 f1: 1 } title: \"T\" "
                       "references: { paper: \"a\" paper: \"b\" } }";
    PARSED r = parse_n(text, strlen(text), NN_START_RESEARCH);
    assert_string_equal(nn_buf_str(&r.messages), "");
    assert_string_equal(
        nn_buf_str(&r.tree),
        "(research \"R\" (= metrics (dict (= accuracy 0.95) (= f1 1))) (= title \"T\") "
        "(= references (dict (= paper \"a\") (= paper \"b\"))))\n");
}

TEST(research_entries) {
    PARSED r =
        parse("research \"A study\" { author \"A\", \"B\" metrics { top_5: -1 } model: \"m\" "
              "metrics { loss: 1e-3 } notes: [x, \"y\"], references: \"p\"; }");
    assert_string_equal(nn_buf_str(&r.messages), "");
    assert_string_equal(nn_buf_str(&r.tree),
                        "(research \"A study\" (= author (list \"A\" \"B\")) (= metrics (dict "
                        "(= top_5 -1))) (= model \"m\") (= metrics (dict (= loss 1e-3))) (= notes "
                        "(list x \"y\")) (= references \"p\"))\n");
}

static void check_value(const char *text, nn_value_kind kind, int errors) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src = {"--set", text, strlen(text)};
    nn_diags *d = nn_diags_new(a, &src);
    const nn_value *v = nn_parse_value(a, &src, d);
    assert_int_equal(v->kind, kind);
    assert_int_equal(d->errors, errors);
}

TEST(one_value) {
    check_value("128", NN_V_INT, 0);
    check_value(" 1e-3 # why not\n", NN_V_FLOAT, 0);
    check_value("relu", NN_V_NAME, 0);
    check_value("(3, 3)", NN_V_TUPLE, 0);
    check_value("'relu'", NN_V_STRING, 0);
    check_value("ExponentialDecay(0.1, 100)", NN_V_CALL, 0);
    check_value("HPO(range(1, 2))", NN_V_HPO, 0);
    check_value("", NN_V_ERROR, 1);
    check_value("1 2", NN_V_ERROR, 1);
    check_value("1,", NN_V_ERROR, 1);
    check_value("(1", NN_V_ERROR, 1);
    check_value("0x1", NN_V_ERROR, 1);
    check_value("}", NN_V_ERROR, 1);
    check_value("\"x", NN_V_ERROR, 1);
}

TEST(start_rules) {
    PARSED a = parse_n("Dense(3) * 2;", 13, NN_START_LAYER);
    assert_string_equal(nn_buf_str(&a.tree), "(network \"\"\n  (* 2 (Dense 3)))\n");
    assert_int_equal(a.diags->errors, 0);
    PARSED b = parse_n("Dense(3) Dense(2)", 17, NN_START_LAYER);
    assert_int_equal(b.diags->errors, 1);
    PARSED c = parse_n("define X { A() }", 16, NN_START_DEFINE);
    assert_int_equal(c.diags->errors, 0);
    PARSED d = parse_n("network X { A() }", 17, NN_START_DEFINE);
    assert_int_equal(d.diags->errors, 1);
}

TEST(blanks_and_comments) {
    check_body("A() # c )\n // } d\r\n /* } \n * / */ B()\t\f;;C()", "(A)\n  (B)\n  (C)");
    PARSED r = parse("\xef\xbb\xbfnetwork N {\r\n A()\r B() }"); /* a CR alone ends a line, too */
    assert_int_equal(r.diags->errors, 0);
    assert_int_equal(r.program->networks->span.col, 1);
    assert_int_equal(r.program->networks->span.begin, 3);
    assert_int_equal(r.program->networks->items->span.line, 2);
    assert_int_equal(r.program->networks->items->next->span.line, 3);
    assert_int_equal(r.program->networks->items->next->span.col, 2);
}

TEST(commas_between_statements_are_noted_once) {
    check_codes("network N { A(), B(), loss: mse }", "comma-separator 1:16");
    PARSED r = parse("network N { A(), B(), loss: mse }");
    assert_int_equal(r.diags->errors + r.diags->warnings, 0);
}

TEST(spans) {
    PARSED r = parse("network N {\n  Dense(1,\n    b=22) * 3\n}");
    const nn_item *it = r.program->networks->items;
    nn_span s = it->span;
    assert_int_equal(s.line * 100 + s.col, 203);
    assert_int_equal(s.end_line * 100 + s.end_col, 314);
    assert_int_equal(it->call->span.end_col, 10);
    s = it->call->args->next->span;
    assert_int_equal(s.line * 100 + s.col, 305);
    assert_int_equal(s.end - s.begin, 4);
    assert_memory_equal(r.text + s.begin, "b=22", 4);
}
