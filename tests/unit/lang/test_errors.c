/* SPDX-License-Identifier: MIT */
/* Programs that are wrong: each mistake is reported once, at its place, and does not hide the next.
 */
#include "lang_test.h"

static void has(const parsed *r, const char *part) {
    if (!strstr(nn_buf_str(&r->messages), part))
        fail_msg("'%s' is not in:\n%s", part, nn_buf_str(&r->messages));
}
static void says(const char *text, const char *part) {
    PARSED r = parse(text);
    has(&r, part);
}

TEST(every_error_in_one_pass) {
    check_codes("network N {\n"
                "  inputs: (28,)\n"            /* unknown section */
                "  Conv2D(32 (3,3), a=\n"      /* no comma; unclosed */
                "  Flatten\n"                  /* no parentheses */
                "  Dense(0x10) Dense(1) % 3\n" /* hex; a stray character */
                "  Dense(3))\n"                /* one ')' too many */
                "  Dense(\"relu)\n"            /* unclosed string */
                "  optimiser: Adam()\n"        /* unknown section */
                "  loss mse\n"                 /* no colon */
                "  metrics = [a]\n"            /* = for : */
                "  x: { A( } }\n",
                "unknown-section 2:3, missing-comma 3:12, unclosed 4:10, bad-number 5:9, "
                "bad-character 5:24, unexpected 6:11, unclosed-string 7:9, unknown-section 8:3, "
                "missing-colon 9:7, missing-colon 10:11, unclosed 11:10");
}

TEST(unexpected_tokens) {
    says("network N { ) }", "unexpected ')', expected a layer, a section or '}'");
    says("network N { Residual { ] } }", "unexpected ']', expected a layer or '}'");
    says("network N { A(1 = 2) }", "unexpected '=', expected ',' or ')'");
    says("network N { A(,) }", "unexpected ',', expected a value");
    says("network N { 3 }", "unexpected '3', expected a layer");
    says("Dense(3)", "unexpected 'Dense', expected 'network'");
    says("network N {} }", "unexpected '}'");
    says("network N 3 {}", "unexpected '3', expected '{'");
    says("define { A() }", "expected a name after 'define'");
    says("network N { train: 3 }", "unexpected '3', expected '{'");
    check_codes("network N { ) A(1 = 2) ] B() }",
                "unexpected 1:13, unexpected 1:19, unexpected 1:24");
}

TEST(unclosed_brackets) {
    says("network N {\n  Dense(10\n  Dense(3)\n}",
         "t.neural:2:11: error: unclosed '(' opened at 2:8: expected ',' or ')' before 'Dense'");
    check_codes("network N {\n  Dense(10\n  Dense(3)\n}", "unclosed 2:11");
    check_codes("network N {\n  Dense((10, [3\n  Dense(3) Dense(3] ) }",
                "unclosed 2:16, mismatched 3:19");
    /* a section shows that the list has ended */
    check_codes("network N { input: (4 layers: Dense(3) }", "unclosed 1:22");
    check_codes("network N { Dense(3 loss: mse }", "unclosed 1:20");
    check_codes("network N { Dense(3, loss: mse) Dense(1 units: 3) }", "missing-comma 1:40");
    /* the closers of a list that was given up are not errors of their own */
    check_codes("network N { HPO(choice(A()\n B())) C() }", "unclosed 1:27");
}

TEST(unclosed_braces) {
    PARSED r = parse("network N {\n  Residual {\n    A()\n");
    assert_int_equal(r.diags->errors, 1);
    has(&r, "error: unclosed '{' opened at 2:12 [unclosed]");
    has(&r, "t.neural:1:11: note: this '{' is not closed either");
    check_codes("network A { A()\nnetwork B { B() )}", "unclosed 1:16, unexpected 2:17");
}

TEST(mismatched_brackets) {
    says("network N { A(1] }", "'(' closed by ']', expected ')'");
    check_codes("network N { A([1, 2)] B() }", "mismatched 1:20, mismatched 1:21");
}

TEST(sections) {
    says("network N { optimiser: Adam() }", "did you mean 'optimizer'?");
    says("network N { Loss: mse }", "did you mean 'loss'?");
    says("network N { trian { epochs: 3 } }", "did you mean 'train'?");
    says("network N { tarin: { epochs: 3 } }", "did you mean 'train'?");
    says("network N { zzz: 3 }", "sections are input, layers");
    says("network N { optimiser Adam() }", "did you mean 'optimizer'?");
    says("network N { Residual { loss: mse } }", "'loss' cannot stand inside of a block");
    says("network N { Residual { define X { A() } } }", "'define' cannot stand inside of a block");
    PARSED r = parse("network N { inputs: (3) optimiser: Adam }");
    assert_string_equal(nn_buf_str(&r.tree),
                        "(network \"N\"\n  (input (tuple 3))\n  (optimizer Adam))\n");
    assert_int_equal(r.diags->errors, 2);
}

TEST(keywords) {
    says("netwrok N { A() }", "did you mean 'network'?");
    PARSED r = parse("netwrok N { A() }");
    assert_int_equal(r.diags->errors, 1);
    assert_string_equal(nn_buf_str(&r.tree), "(network \"N\"\n  (A))\n");
    says("", "the program is empty");
    says(" # nothing\n", "the program is empty");
}

TEST(shapes) {
    says("network N { input: 784 }", "write (784,) for a shape of one dimension");
    check_codes("network N { input: (28, \"x\", 1.5, None) A( }",
                "bad-shape 1:25, bad-shape 1:30, unclosed 1:43");
    says("network N { input: (input_shape) }", "write None for a dimension");
    check_codes("network N { input: foo A() }", "bad-shape 1:20");
}

TEST(hpo) {
    says("network N { A(HPO(chioce(1))) }", "did you mean 'choice'?");
    says("network N { A(HPO(range(1))) }", "range() takes a lower bound");
    says("network N { A(HPO(range(1, x))) }", "a bound or step of range() is a number");
    says("network N { A(HPO(log_range(1, 2, 3))) }",
         "log_range() takes a lower and an upper bound");
    says("network N { A(HPO(range(1, 2, stop=3))) }", "range() takes");
    says("network N { A(HPO(choice())) }", "choice() needs at least one value");
    says("network N { A(HPO(choice(1,))) }", "[trailing-comma]");
    check_codes("network N { A(HPO(choice(1)), HPO(unknown(1, 2)), x=) }",
                "bad-hpo 1:35, missing-value 1:53");
}

TEST(numbers) {
    says("network N { A(0x1F) }", "write 31");
    says("network N { A(9223372036854775808) }", "integer out of range '9223372036854775808'");
    says("network N { A(1e999) }", "number out of range '1e999'");
    says("network N { A(3x) }", "malformed number '3x'");
    says("network N { A(1.2.3) }", "malformed number '1.2.3'");
    says("network N { A(1e) }", "malformed number '1e'");
    check_codes("network N { A(0x, 0xfffffffffffffffff, 1_0, -0x1) }",
                "bad-number 1:15, bad-number 1:19, bad-number 1:40, bad-number 1:45");
}

TEST(characters) {
    says("network N { A(1,\xc2\xa0"
         "2) }",
         "unexpected U+00A0 (no-break space)");
    says("network N { A(\xe2\x80\x9crelu\xe2\x80\x9d) }", "write \" instead");
    says("network N { ... }", "unexpected character '.'");
    check_codes("network N { ... A() \xe2\x80\x83 B() }", "bad-character 1:13, bad-space 1:21");
}

TEST(strings_and_comments) {
    says("network N { A(\"relu\n) }", "does not end on its line");
    check_codes("network N { A(\"relu\n, 3) B() }", "unclosed-string 1:15");
    check_codes("network N { A('a\\qb') }", "bad-escape 1:17");
    check_codes("network N { A() /* } ", "unclosed-comment 1:17");
    check_codes("network N { A(\"x", "unclosed-string 1:15");
}

TEST(bytes_that_are_not_utf8) {
    PARSED r = parse("network N { # caf\xe9\n A() }\n\xff\xfe");
    has(&r, "t.neural:1:18: error: byte 0xe9 is not UTF-8");
    has(&r, "2 more bad bytes follow");
    PARSED nul = parse_n("network N { A(\"a\0b\") }", 22, NN_START_PROGRAM);
    assert_int_equal(nul.diags->errors, 1);
    has(&nul, "byte 0x00 (NUL)");
    assert_string_equal(nul.program->networks->items->call->args->value->text, "a?b");
    PARSED utf16 = parse_n("\xff\xfen\0e\0", 6, NN_START_PROGRAM);
    assert_int_equal(utf16.diags->errors, 1);
    has(&utf16, "UTF-16");
}

TEST(devices_and_repetitions) {
    says("network N { A() @ cuda:0 B() }", "write \"cuda:0\"");
    says("network N { A() * 1.5 }", "expected the number of repetitions");
    check_codes("network N { A() * B() }", "bad-repeat 1:19");
}

TEST(research_metrics) {
    const char *text = "research { metrics { accuracy: \"high\" loss: 1 f1: x } }";
    PARSED r = parse_n(text, strlen(text), NN_START_RESEARCH);
    assert_int_equal(r.diags->errors, 2);
    has(&r, "the metric 'accuracy' is not a number");
}

/* The text with the fixes that its errors propose. */
static void check_fixed(const char *text, const char *expected) {
    PARSED r = parse(text);
    NN_BUF fixed = {0};
    assert_true(nn_diags_apply(r.diags, &fixed) > 0);
    assert_string_equal(nn_buf_str(&fixed), expected);
    PARSED again = parse(expected);
    if (again.diags->errors) fail_msg("%s: %s", expected, nn_buf_str(&again.messages));
}

TEST(fixes_mend_the_text) {
    check_fixed("netwrok N { optimiser: Adam loss mse }",
                "network N { optimizer: Adam loss: mse }");
    check_fixed("network N { A(1 2, HPO(choice(3,))) }", "network N { A(1, 2, HPO(choice(3))) }");
    check_fixed("network N { input: 4 Flatten A([1) }",
                "network N { input: (4,) Flatten() A([1]) }");
    check_fixed("network N { A(1] B() @ cuda:1 }", "network N { A(1) B() @ \"cuda:1\" }");
    check_fixed("network N {\n  A(1\n  B()\n}", "network N {\n  A(1)\n  B()\n}");
    /* inside of a quoted call every place is the whole string's */
    PARSED r = parse("network N { optimizer: \"Adam(\\\"a\\\" 2)\" }");
    NN_BUF fixed = {0};
    assert_int_equal(r.diags->errors, 1);
    assert_int_equal(nn_diags_apply(r.diags, &fixed), 0);
}

TEST(research_entries) {
    says("research { titel: \"x\" }", "did you mean 'title'?");
    says("research { zzz: 3 }", "entries are metrics, references, title");
    says("research { metrics: 3 }", "metrics are names with numbers");
    says("research { title: 3 }", "'title' is a text");
    says("research { title: \"a\" title: \"b\" }", "'title' is given twice");
    says("research { author: \"a\", 3 }", "write author: \"A. Name\", \"B. Name\"");
    check_codes("research { references { paper: 3 paper: {a: \"b\"} } notes: [\"x\", (1)] }",
                "wrong-type 1:32, wrong-type 1:65");
}

TEST(candidates_and_definitions) {
    check_codes("network N { HPO(choice(a: 3, B())) }", "bad-hpo 1:27");
    check_codes("network N { HPO(choice((A() 3), B())) }", "unexpected 1:29");
    check_codes("network N { A(HPO(range(1, n))) } define B(n) { A(HPO(range(1, n))) }",
                "bad-hpo 1:28");
    check_codes("network N { custom C -> (3,) C() }", "misplaced-section 1:13");
    PARSED r = parse("network N { R { custom C(a) -> (3,) } }");
    assert_string_equal(r.program->customs->name, "C");
}

/* ---- hostile sizes ---- */

static char *repeated(const char *head, const char *part, size_t n, const char *tail) {
    size_t a = strlen(head), b = strlen(part), c = strlen(tail);
    char *s = malloc(a + n * b + c + 1);
    assert_non_null(s);
    memcpy(s, head, a);
    for (size_t i = 0; i < n; i++) memcpy(s + a + i * b, part, b);
    memcpy(s + a + n * b, tail, c + 1);
    return s;
}

static void one_error(char *text, const char *part) {
    PARSED r = parse(text);
    free(text);
    assert_int_equal(r.diags->errors, 1);
    has(&r, part);
}

TEST(deep_nesting_is_one_error) {
    const char *deep = "nested more than 200 deep";
    one_error(repeated("network N { ", "R { ", 100000, ""), deep);
    one_error(repeated("network N { ", "(", 100000, ""), deep);
    one_error(repeated("network N { A", "(", 100000, ""), deep);
    one_error(repeated("network N { A(", "[", 100000, ""), deep);
    one_error(repeated("network N { A(", "f(", 100000, ""), deep);
    one_error(repeated("network N { A(", "{a: ", 100000, ""), deep);
    one_error(repeated("network N { ", "a: {", 100000, ""), deep);
    one_error(repeated("network N { A(", "HPO(choice(", 100000, ""), deep);
    one_error(repeated("", "{", 100000, ""), "unexpected '{'");
    one_error(repeated("", "}", 100000, ""), "unexpected '}'");
    one_error(repeated("network N { loss: \"f(", "f(", 100000, ")\" }"), deep);
}

TEST(layers_in_braces_are_read_and_reported_once) {
    check_codes("network N { layers: { A() layers: { B() } C() } D() }", "unexpected 1:21");
    char *text = repeated("network N { ", "layers: {", 100000, "");
    PARSED r = parse(text);
    free(text);
    assert_int_equal(r.diags->errors, 2);
    has(&r, "unexpected '{' after 'layers:'");
    has(&r, "nested more than 200 deep");
}

TEST(nesting_up_to_the_limit_is_fine) {
    char *text = repeated("network N { A(", "(", 150, "");
    size_t n = strlen(text);
    text = realloc(text, n + 160);
    memset(text + n, ')', 151);
    memcpy(text + n + 151, " }", 3);
    PARSED r = parse(text);
    free(text);
    assert_int_equal(r.diags->errors, 0);
}

TEST(huge_tokens_and_many_errors) {
    char *text = repeated("network N { ", "a", 1000000, "() }");
    PARSED r = parse(text);
    free(text);
    assert_int_equal(r.diags->errors, 0);
    text = repeated("network N { A(", "9", 1000000, ") B(\"x) }");
    PARSED s = parse(text);
    free(text);
    assert_true(s.messages.n < 2000); /* the line is cut around the caret */
    text = repeated("network N { ", "A(=) ", 5000, "}");
    PARSED many = parse(text);
    free(text);
    assert_int_equal(many.diags->errors, 5000);
    assert_int_equal(many.diags->stored, NN_DIAGS_MAX);
    has(&many, "... and 4900 more errors");
}

/* ---- ten megabytes ---- */

static void megabytes(size_t size, const char *head, const char *part, const char *tail,
                      int errors) {
    size_t n = size * 1000000 / strlen(part);
    char *text = repeated(head, part, n, tail);
    PARSED r = parse(text);
    free(text);
    nn_expand(r.arena, r.program, NULL, 100000, r.diags);
    if (errors >= 0 && r.diags->errors != errors)
        fail_msg("%.40s: %d errors: %.400s", part, r.diags->errors, nn_buf_str(&r.messages));
}

TEST(ten_megabytes) {
    megabytes(10, "network N { ",
              "  Dense(units=128, activation=\"relu\", name=\"layer_123456\")\n", "}", 0);
    megabytes(10, "network N { A(\"", "abcdefghij", "\") }", 0);
    megabytes(10, "# ", "define N { /* ", "\nnetwork N { }", 0);
    megabytes(10, "network N { A(1", "                    , 2", ") }", 0);
    megabytes(10, "network N { A(", "HPO(choice((( ", "", -1);
}

TEST(a_megabyte) {
    megabytes(1, "", "network N { input: (28, 28, 1) Dense(10) loss: \"mse(a=1)\" }\n", "", 0);
    megabytes(1, "network N { train { ", "some_long_key_of_this: \"and its value\" ", "} }", 0);
    megabytes(1, "research { metrics { ", "accuracy_of_the_network: 0.95 ", "} }", 0);
    megabytes(1, "define M(n) { Dense(n) } network N { ", "M(1) M(n=1) ", "}", 1);
    /* what is wrong all along */
    megabytes(1, "network N { ", "Flatten Dense ", "}", -1);
    megabytes(1, "network N { ", "A(1 2] } ", "", -1);
    megabytes(1, "research { ", "metrics { a: \"b\" } titel: 3 ", "}", -1);
    megabytes(1, "define M(n) { Dense(n) } network N { ", "M(1) M(m=1) M ", "}", -1);
}

TEST(a_hundred_thousand_macros) {
    NN_BUF text = {0};
    for (int i = 0; i < 100000; i++) nn_buf_printf(&text, "define M%d(n) { Dense(n) } ", i);
    nn_buf_puts(&text, "network N { M17(3) M99999(4) }");
    PARSED r = parse_n(text.p, text.n, NN_START_PROGRAM);
    nn_expand(r.arena, r.program, NULL, 100000, r.diags);
    assert_int_equal(r.diags->errors, 0);
    assert_true(r.program->networks->items->next->expanded);
}

TEST(too_large) {
    size_t n = NN_SOURCE_MAX + 1;
    char *text = calloc(n, 1);
    assert_non_null(text);
    PARSED r = parse_n(text, n, NN_START_PROGRAM);
    free(text);
    assert_int_equal(r.diags->errors, 1);
    has(&r, "at most 16777216 are read");
}

/* A program with every construct of the language. */
static const char whole[] =
    "\xef\xbb\xbf# c\ndefine B(n, a=relu, $k=(1, 2)) { Dense($n, a) * n HPO(choice(C, Dense(n))) }\n"
    "define C { A() @ \"cpu\" Residual { D(HPO(range(1, 9))) } ( E() F() ) * 2 }\n"
    "network MyNet {\n  define In { G() }\n  input: (None, 28, 28, 1)\n  layers: /* x */\n"
    "    Conv2D(32, (3,3), activation=\"re\\tlu\") @ \"cuda:0\" { A() } * 2\n"
    "    B(3) left: { Dense(- 1) C } (D() E({a: 1}, [2,])) * 2\n"
    "    In TD(Dense(1), f=g(2)) C() { H() } * HPO(choice(1, 2))\n"
    "    HPO(choice(Dense(1) * 2, HPO(range(1, 2, step=.5)), ((A() B(1)) * 2 C), up: { D() }, In))\n"
    "  loss: mse\n  optimizer: \"Adam(learning_rate=HPO(log_range(1e-4, 1e-2)))\"\n"
    "  metrics: [accuracy, \"b\"]\n  train { epochs: 10 batch_size: 16, 32; x: {a: 1} }\n"
    "  execution { device: \"auto\" }\n  framework: pytorch\n}\n"
    "model M { Input(shape=[784], name=i); layers: [ Dense(units=10,), ] batch_size: 16, 32 }\n"
    "custom Cu(a, b=1) -> (None, 3)\nresearch \"R\" { metrics { a: 0.5 b: 1 } title: \"t\" "
    "author \"x\", \"y\" references { paper: \"p\" } model: \"m\" notes: n }";

/* With every byte budget the parser says that memory ran out, or finishes. */
TEST(memory_limit_is_one_error) {
    nn_source src = {"t.neural", whole, sizeof whole - 1};
    size_t stopped = 0;
    for (size_t cap = 1400; cap < 80000; cap += 48) {
        nn_arena *a = nn_arena_new(NULL, "small", cap);
        nn_diags *d = nn_diags_new(a, &src);
        if (d) {
            nn_program *p = nn_parse(a, &src, NN_START_PROGRAM, d);
            NN_BUF tree = {0};
            nn_tree_print(p, &tree);
            assert_true(d->errors <= 1);
            if (d->errors) {
                assert_non_null(d->first);
                assert_string_equal(d->first->code, "too-large");
                stopped++;
            }
        }
        nn_arena_free(a);
    }
    assert_true(stopped > 100);
}

TEST(cut_at_every_byte) {
    PARSED full = parse_n(whole, sizeof whole - 1, NN_START_PROGRAM);
    assert_string_equal(nn_buf_str(&full.messages), "");
    /* A cut is complete at the end of a construct, and inside of the header of what may have no
     * body. */
    size_t net = (size_t)(strstr(whole, "network") - whole);
    size_t define_end = (size_t)(strstr(whole, "define C") - whole) - 1;
    size_t end = (size_t)(strstr(whole, "\n}\nmodel") - whole) + 2;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        PARSED r = parse_n(whole, n, NN_START_PROGRAM);
        nn_expand(r.arena, r.program, NULL, 100000, r.diags);
        if (n > net && n < end && !r.diags->errors)
            fail_msg("no error in the first %zu bytes: %.*s", n, (int)n, whole);
        if (n < define_end) assert_true(r.diags->errors > 0);
    }
}

/* One byte of the program replaced, everywhere, by what hurts most. */
TEST(every_byte_replaced) {
    char text[sizeof whole];
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (const char *c = "(){}[]\"'\\:,=*@$#/-0a\n\x80\xff"; *c; c++) {
            memcpy(text, whole, sizeof whole);
            text[i] = *c;
            PARSED r = parse_n(text, sizeof whole - 1, NN_START_PROGRAM);
            nn_expand(r.arena, r.program, NULL, 100000, r.diags);
            nn_buf_clear(&r.tree);
            nn_tree_print(r.program, &r.tree);
            assert_true(r.diags->errors < 40);
        }
}

TEST(empty_text_under_every_rule) {
    for (int start = NN_START_PROGRAM; start <= NN_START_RESEARCH; start++) {
        PARSED r = parse_n("", 0, (nn_start)start);
        assert_int_equal(r.diags->errors, 1);
        assert_int_equal(r.diags->first->span.line, 1);
        if (r.program->networks) assert_int_equal(r.program->networks->span.end_line, 1);
    }
}

/* The body of the network is one level, each tuple another. */
TEST(the_limit_is_exact) {
    char *text = repeated("network N { A(", "(", NN_PARSE_MAX_DEPTH - 1, "");
    PARSED fits = parse(text);
    free(text);
    assert_string_equal(fits.diags->first->code, "unclosed");
    text = repeated("network N { A(", "(", NN_PARSE_MAX_DEPTH, "");
    PARSED deeper = parse(text);
    free(text);
    assert_string_equal(deeper.diags->first->code, "too-deep");
}

TEST(a_number_as_shape_is_read_as_meant) {
    PARSED r = parse("network N { input: 784 }");
    const nn_value *v = r.program->networks->sections->value;
    assert_int_equal(v->kind, NN_V_TUPLE);
    assert_int_equal(v->count, 1);
    assert_int_equal(v->items->i, 784);
}
