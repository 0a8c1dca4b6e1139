/* SPDX-License-Identifier: MIT */
#include "compile/findings.h"
#include "t.h"

#include <stdio.h>
#include <string.h>

typedef struct outcome {
    nn_arena *arena;
    nn_diags *diags;
    nn_unit *unit;
    nn_source src;
} outcome;

static void compile(const char *text, outcome *o) {
    nn_err err;
    *o = (outcome){.arena = nn_arena_new(NULL, "t", 0)};
    o->src = (nn_source){"t.neural", text, strlen(text)};
    o->diags = nn_diags_new(o->arena, &o->src);
    nn_status st = nn_compile(o->arena, &o->src, NULL, o->diags, &o->unit, &err);
    if (st) fail_msg("'%s': %d:%d: %s", text, err.line, err.col, err.msg);
}

/* How many findings of this code the program has; the last of them through ret. */
static int count(const outcome *o, const char *code, const nn_finding **ret) {
    int n = 0;
    for (const nn_finding *x = nn_findings(o->arena, o->unit); x; x = x->next)
        if (strcmp(x->code, code) == 0) n++, *ret = x;
    return n;
}

/* ---- every row ---- */

TEST(every_example_provokes_its_finding_and_says_what_to_do) {
    nn_finding_kind kind;
    bool always;
    const char *meaning, *example, *code;
    unsigned i = 0;
    for (; (code = nn_finding_at(i, &kind, &always, &meaning, &example)); i++) {
        outcome o;
        const nn_finding *x = NULL;
        compile(example, &o);
        if (count(&o, code, &x) < 1) fail_msg("%s is not provoked by '%s'", code, example);
        CHECK(x->kind == kind && x->always == always && x->reason == meaning);
        CHECK(x->message && x->message[0] && x->suggestion && x->suggestion[0]);
        CHECK(x->span.line == 1 && x->span.begin < x->span.end);
        CHECK((x->kind == NN_FINDING_OPTIMIZATION && !x->always) == (x->improvement != NULL));
        nn_arena_free(o.arena);
    }
    assert_int_equal(i, 22);
}

/* Those that every check tells are its warnings and notes too, at the same place. */
TEST(what_is_always_told_is_a_diagnostic) {
    nn_finding_kind kind;
    bool always;
    const char *meaning, *example, *code;
    for (unsigned i = 0; (code = nn_finding_at(i, &kind, &always, &meaning, &example)); i++) {
        outcome o;
        const nn_finding *x = NULL;
        compile(example, &o);
        assert_int_equal(count(&o, code, &x), 1);
        bool said = false;
        for (const nn_diag *d = o.diags->first; d; d = d->next)
            said = said || (strcmp(d->message, x->message) == 0 && d->severity == x->severity &&
                            d->span.begin == x->span.begin && d->hint &&
                            strcmp(d->hint, x->suggestion) == 0);
        if (said != always) fail_msg("%s: %s", code, said ? "is told unasked" : "is not told");
        nn_arena_free(o.arena);
    }
}

/* ---- limits and near misses ---- */

#define NET(shape, layers) "network A { input: " shape " layers: " layers " }"

/* How often a code is found. The numbers are worked out by hand. */
/* clang-format off */
static const struct {
    const char *code;
    int n;
    const char *program;
} cases[] = {
    /* more than 10 times */
    {"large-growth", 0, NET("(10,)", "Dense(100, relu) Dense(20)")},
    {"large-growth", 1, NET("(10,)", "Dense(101, relu) Dense(20)")},
    {"large-growth", 1, NET("(2,)", "(Dense(21, relu) Dense(2, relu)) * 3 Dense(2)")},
    {"large-growth", 1, NET("(10,)", "Sequential { Dense(101, relu) } Dense(20)")},
    {"large-growth", 0, NET("(5,)", "Embedding(10, 64) Flatten() Dense(20)")},
    {"large-growth", 0, NET("(None, None, 1)", "Dense(500, relu) Dense(20)")},
    /* 11 * 11 * 3 = 363 of 11 * 11, 1331 of it */
    {"large-growth", 0, NET("(11, 11, 1)", "Conv2D(3, 1, relu) Flatten() Dense(2)")},
    {"large-growth", 1, NET("(11, 11, 1)", "Conv2D(11, 1, relu) Flatten() Dense(2)")},
    /* less than a hundredth of more than 1000 */
    {"large-shrink", 0, NET("(1000,)", "Dense(1, relu)")},
    {"large-shrink", 1, NET("(1001,)", "Dense(10, relu)")},
    {"large-shrink", 0, NET("(1001,)", "Dense(11, relu)")},
    {"large-shrink", 0, NET("(2000,)", "Dense(20, relu)")},
    {"large-shrink", 1, NET("(2000,)", "Dense(19, relu)")},
    /* 1000 MB are 1000 * 2^20 / 4 = 262144000 floats */
    {"large-tensor", 0, NET("(16384, 16000)", "Activation(relu)")},
    {"large-tensor", 1, NET("(16384, 16001)", "Activation(relu)")},
    {"large-tensor", 1, NET("(16384, 16001)", "Activation(relu) * 2")},
    {"large-tensor", 0, NET("(None, None, 1000000000)", "Activation(relu)")},
    /* below a tenth of both neighbours */
    {"bottleneck", 1, NET("(100,)", "Dense(9, relu) Dense(100)")},
    {"bottleneck", 0, NET("(100,)", "Dense(10, relu) Dense(100)")},
    {"bottleneck", 1, NET("(101,)", "Dense(10, relu) Dense(101)")},
    {"bottleneck", 0, NET("(100,)", "Dense(8, relu) Dense(80)")},
    {"bottleneck", 0, NET("(80,)", "Dense(8, relu) Dense(100)")},
    {"bottleneck", 0,
     NET("(100,)", "Dense(9, relu) a: { Dense(100) } b: { Dense(100) } Concatenate()")},
    {"bottleneck", 0,
     NET("(100,)", "Dense(9, relu, name=x) Dense(100, name=y) Concatenate(inputs=[x, y])")},
    {"bottleneck", 0, NET("(100,)", "Dense(9, relu)")},
    /* both sizes above 100, more than 64 channels */
    {"large-image", 1, NET("(101, 101, 65)", "Activation(relu) GlobalAveragePooling2D()")},
    {"large-image", 0, NET("(100, 101, 65)", "Activation(relu) GlobalAveragePooling2D()")},
    {"large-image", 0, NET("(101, 100, 65)", "Activation(relu) GlobalAveragePooling2D()")},
    {"large-image", 0, NET("(101, 101, 64)", "Activation(relu) GlobalAveragePooling2D()")},
    {"large-image", 0, NET("(101, 101, 65)", "Activation(relu) MaxPooling2D(2)")},
    {"large-image", 0, NET("(None, None, None, 65)", "Activation(relu) GlobalAveragePooling2D()")},
    /* more than 4096 units */
    {"wide-dense", 0, NET("(4,)", "Dense(4096, relu) Dense(2)")},
    {"wide-dense", 1, NET("(4,)", "Dense(4097, relu) Dense(2)")},
    {"wide-dense", 0, NET("(4,)", "Dense(9, relu) Output(5000)")},
    /* (49999 + 1) * 1000 is 50 million, (50000 + 1) * 1000 more */
    {"huge-dense", 0, NET("(49999, 1)", "Flatten() Dense(1000)")},
    {"huge-dense", 1, NET("(50000, 1)", "Flatten() Dense(1000)")},
    {"huge-dense", 0, NET("(50000,)", "Dense(1000)")},
    {"huge-dense", 0, NET("(50000,)", "Reshape((2, 25000)) Reshape((50000,)) Dense(1000)")},
    /* a million, and more than half: 2000 * 1000 against 1001 * 1997 and 1001 * 1999 */
    {"weights-heavy", 1, NET("(999, 1)", "Flatten() Dense(1000)")},
    {"weights-heavy", 0, NET("(998, 1)", "Flatten() Dense(1000)")},
    {"weights-heavy", 1, NET("(1999, 1)", "Flatten() Dense(1000, relu) Dense(1997)")},
    {"weights-heavy", 0, NET("(1999, 1)", "Flatten() Dense(1000, relu) Dense(1999)")},
    {"weights-heavy", 0, NET("(5000,)", "Dense(1000)")},
    /* 2 * 1000 * 1000 each; 2 * 1000 * 1001 against 2 * 1001 * 999 */
    {"hot-spot", 0, NET("(1000,)", "Dense(1000, relu) Dense(1000)")},
    {"hot-spot", 1, NET("(1000,)", "Dense(1001, relu) Dense(999)")},
    {"hot-spot", 1, NET("(1000,)", "Sequential { Dense(1001, relu) } Dense(999)")},
    {"hot-spot", 0, NET("(499,)", "Dense(1000)")}, /* 998000 in all */
    {"hot-spot", 1, NET("(500,)", "Dense(1000)")},
    {"hot-spot", 0, NET("(None, None, 1000)", "Dense(1001)")},
    /* one place and a window */
    {"collapsed", 1, NET("(1, 1, 4)", "Conv2D(4, 3, padding=same)")},
    {"collapsed", 0, NET("(1, 1, 4)", "Conv2D(4, 1)")},
    {"collapsed", 0, NET("(1, 2, 4)", "Conv2D(4, 3, padding=same)")},
    {"collapsed", 1, NET("(1, 4)", "MaxPooling1D(2, padding=same)")},
    {"collapsed", 0, NET("(None, None, 4)", "Conv1D(4, 3, padding=same)")},
    {"collapsed", 1, NET("(1, 4)", "Conv1D(4, 3, padding=same) * 3")},
    /* above 0.8 */
    {"total-dropout", 0, NET("(4,)", "Dropout(0.8) Dense(2)")},
    {"total-dropout", 1, NET("(4,)", "Dropout(0.81) Dense(2)")},
    {"dropout-at-end", 0, NET("(4,)", "Dense(4) Dropout(0.5) Dense(2)")},
    {"dropout-at-end", 1, NET("(4,)", "Output(4) Dropout(0.5)")},
    {"dropout-at-end", 2, NET("(4,)", "a: { Dense(4) Dropout(0.5) } b: { Dropout(0.5) }")},
    {"dropout-at-end", 1, NET("(4, 3)", "Sequential { SpatialDropout1D(0.5) }")},
    /* over one value */
    {"tiny-norm", 0, NET("(4,)", "Dense(2) LayerNormalization()")},
    {"tiny-norm", 1, NET("(1, 1, 4)", "InstanceNormalization()")},
    {"tiny-norm", 0, NET("(2, 1, 4)", "InstanceNormalization()")},
    {"tiny-norm", 0, NET("(1, 1, 4)", "GroupNormalization(2)")},
    {"tiny-norm", 0, NET("(None, None, None, 4)", "InstanceNormalization()")},
    {"tiny-norm", 1, NET("(4,)", "Sequential { Dense(1) LayerNormalization() }")},
    /* four on one way */
    {"many-saturating", 0, NET("(4,)", "Dense(8, sigmoid) * 3 Dense(2)")},
    {"many-saturating", 1, NET("(4,)", "(Dense(8) Activation(tanh)) * 5 Dense(2)")},
    {"many-saturating", 1, /* the fourth, not each behind it */
     NET("(4,)", "Dense(8, tanh) * 2 Dense(8, sigmoid) Dense(8, tanh) Dense(8, tanh) Dense(2)")},
    {"many-saturating", 0, NET("(4,)", "Dense(8, tanh) * 2 Dense(8, relu) Dense(8, tanh) * 2")},
    {"many-saturating", 0,
     NET("(4,)", "Dense(8, tanh) * 2 BatchNormalization() Dense(8, sigmoid) * 2")},
    {"many-saturating", 0,
     NET("(4,)", "a: { Dense(8, tanh) * 2 } b: { Dense(8, tanh) * 2 } Add() Dense(2)")},
    {"many-saturating", 1,
     NET("(4,)", "Dense(8, tanh) * 3 Dropout(0.1) Sequential { Dense(8, tanh) }")},
    /* two linear layers */
    {"no-activation", 0, NET("(4,)", "Dense(8, relu) Dense(2)")},
    {"no-activation", 1, NET("(4,)", "Dense(8) Dropout(0.5) Dense(2)")},
    {"no-activation", 1, NET("(4,)", "Dense(8) Dropout(0.5) GaussianNoise(0.1) Dense(2)")},
    {"no-activation", 1, NET("(4,)", "Dense(8, linear) Activation(linear) Dense(2)")},
    {"no-activation", 1, NET("(4,)", "Dense(8) * 5 Dense(2, relu)")},
    {"no-activation", 1, NET("(8, 8, 1)", "Conv2D(4, 3) Flatten() Dense(2)")},
    {"no-activation", 0, NET("(8, 8, 1)", "Conv2D(4, 3) MaxPooling2D(2) Flatten() Dense(2)")},
    {"no-activation", 0, NET("(8, 8, 4)", "DepthwiseConv2D(3) Conv2D(4, 1)")},
    {"no-activation", 0, NET("(8, 8, 4)", "SeparableConv2D(4, 3)")},
    {"no-activation", 0, NET("(4,)", "Residual { Dense(4) } Dense(2)")},
    {"no-activation", 2, NET("(4,)", "Dense(4) Residual { Dense(4) Dense(4) } Dense(2)")},
    {"no-activation", 0, NET("(4,)", "Dense(8) FooLayer(output_shape=(8,)) Dense(2)")},
    /* a bias before the mean is taken off */
    {"lost-bias", 0, NET("(4,)", "Dense(8, use_bias=false) BatchNormalization()")},
    {"lost-bias", 0, NET("(4,)", "Dense(8, relu) BatchNormalization()")},
    {"lost-bias", 0, NET("(4,)", "Dense(8) LayerNormalization()")},
    {"lost-bias", 1, NET("(4,)", "Dense(8) BatchNormalization(center=false)")},
    {"lost-bias", 1, NET("(8, 8, 1)", "(Conv2D(4, 3) BatchNormalization()) * 3")},
    {"lost-bias", 2,
     NET("(8, 8, 1)", "Conv2D(4, 3) BatchNormalization() Conv2D(4, 3) BatchNormalization()")},
    {"lost-bias", 0, /* the other branch sees it */
     NET("(4,)", "Dense(8) a: { BatchNormalization() } b: { Activation(relu) } Add()")},
    /* what nothing takes */
    {"dead-layer", 0, NET("(4,)", "a: { Dense(3) } b: { Dense(3) } Add()")},
    {"dead-layer", 0, NET("(4,)", "Dense(3) a: { Dense(3) } b: { Dense(3) }")},
    {"dead-layer", 2, NET("(4,)", "Dense(3, name=a) Dense(5) Dense(6) Dense(2, inputs=a)")},
    {"dead-layer", 1,
     NET("(4,)", "Residual { Dense(4, name=a) Dense(5) Dense(4, inputs=a) } Dense(2)")},
    {"dead-layer", 1, /* not its layers too */
     NET("(4,)", "Dense(3, name=a) Sequential { Dense(5) Dense(6) } Dense(2, inputs=a)")},
    /* behind the Output */
    {"after-output", 0, NET("(4,)", "Dense(3) Output(3)")},
    {"after-output", 0, NET("(4,)", "a: { Output(3) } b: { Output(3) }")},
    {"after-output", 1, NET("(4,)", "a: { Output(3) Dropout(0.5) } b: { Output(3) }")},
    {"after-output", 1, NET("(4,)", "a: { Output(3) } b: { Output(3) Activation(relu) }")},
    {"after-output", 1, NET("(4,)", "Output(3) Output(3)")},
    {"after-output", 1, NET("(4,)", "a: { Output(3) } b: { Dense(3) } Add(inputs=[b, a])")},
    /* one unit */
    {"single-softmax", 0, NET("(4,)", "Dense(2, softmax)")},
    {"single-softmax", 1, NET("(4, 3)", "Dense(1) Softmax()")},
    {"single-softmax", 1, NET("(4,)", "Sequential { Dense(1, softmax) }")},
    /* loss and output */
    {"loss-mismatch", 0, NET("(4,)", "Dense(3, softmax) loss: categorical_crossentropy")},
    {"loss-mismatch", 0,
     NET("(4,)", "Dense(3, softmax) Dropout(0.1) loss: categorical_crossentropy")},
    {"loss-mismatch", 0,
     NET("(4,)", "Dense(3, softmax, activity_regularizer=l2(0.1)) loss: categorical_crossentropy")},
    {"loss-mismatch", 0,
     NET("(4,)", "Dense(3) loss: sparse_categorical_crossentropy(from_logits=true)")},
    {"loss-mismatch", 1,
     NET("(4,)", "Dense(3, softmax) loss: sparse_categorical_crossentropy(from_logits=true)")},
    {"loss-mismatch", 1, NET("(4,)", "Dense(3, log_softmax) loss: categorical_crossentropy")},
    {"loss-mismatch", 0,
     NET("(4,)", "Dense(3, log_softmax) loss: categorical_crossentropy(from_logits=true)")},
    {"loss-mismatch", 1, NET("(4,)", "Dense(1, sigmoid) loss: categorical_crossentropy")},
    {"loss-mismatch", 0, NET("(4, 2)", "Dense(3, softmax) loss: categorical_crossentropy")},
    {"loss-mismatch", 1, NET("(4, 2)", "Dense(3) loss: categorical_crossentropy")},
    {"loss-mismatch", 1, NET("(4, 2)", "Dense(1, sigmoid) loss: categorical_crossentropy")},
    {"class-per-place", 1, NET("(4, 2)", "Dense(3, softmax) loss: categorical_crossentropy")},
    {"class-per-place", 1,
     NET("(4, 2)", "Dense(3) loss: sparse_categorical_crossentropy(from_logits=true)")},
    {"class-per-place", 0, NET("(1, 2)", "Dense(3, softmax) loss: categorical_crossentropy")},
    {"class-per-place", 0, NET("(4,)", "Dense(3, softmax) loss: categorical_crossentropy")},
    {"class-per-place", 0, NET("(4, 2)", "Dense(3, softmax) loss: mse")},
    {"class-per-place", 0, NET("(4, 2)", "Dense(3) loss: categorical_crossentropy")},
    {"loss-mismatch", 0, NET("(4,)", "Dense(1, sigmoid) loss: binary_crossentropy")},
    {"loss-mismatch", 0, NET("(4,)", "Dense(1) loss: binary_crossentropy(from_logits=true)")},
    {"loss-mismatch", 1,
     NET("(4,)", "Dense(1, sigmoid) loss: binary_crossentropy(from_logits=true)")},
    {"loss-mismatch", 1, NET("(4,)", "Dense(1) loss: binary_crossentropy")},
    {"loss-mismatch", 1, NET("(4,)", "Dense(2, softmax) loss: binary_crossentropy")},
    {"loss-mismatch", 0, NET("(4,)", "Dense(2) loss: mse")},
    {"loss-mismatch", 1, /* each output on its own */
     NET("(4,)", "a: { Dense(3, softmax) } b: { Dense(3) } loss: categorical_crossentropy")},
    {"loss-mismatch", 2,
     NET("(4,)", "a: { Dense(3) } b: { Dense(3) } loss: categorical_crossentropy")},
    {"multi-label", 0, NET("(4,)", "Dense(1, sigmoid) loss: binary_crossentropy")},
    {"multi-label", 1, NET("(4,)", "Dense(2) loss: binary_crossentropy(from_logits=true)")},
    {"multi-label", 0, NET("(4,)", "Dense(2) loss: binary_crossentropy")}, /* the mismatch first */
};
/* clang-format on */

TEST(limits_and_near_misses) {
    int failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        outcome o;
        const nn_finding *x = NULL;
        compile(cases[i].program, &o);
        int n = count(&o, cases[i].code, &x);
        if (n != cases[i].n) {
            print_error("%s: %d, expected %d: %s\n", cases[i].code, n, cases[i].n,
                        cases[i].program);
            failed++;
        }
        nn_arena_free(o.arena);
    }
    assert_int_equal(failed, 0);
}

/* A code without a case that must not provoke it could fire always. */
TEST(every_code_has_a_near_miss) {
    nn_finding_kind kind;
    bool always;
    const char *meaning, *example, *code;
    for (unsigned i = 0; (code = nn_finding_at(i, &kind, &always, &meaning, &example)); i++) {
        bool miss = false;
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
            miss = miss || (cases[k].n == 0 && strcmp(cases[k].code, code) == 0);
        if (!miss) fail_msg("%s has none", code);
    }
}

/* A network in which nothing is to be found. */
TEST(a_sound_network_has_none) {
    outcome o;
    compile(NET("(28, 28, 1)",
                "Conv2D(8, 3, relu, padding=same) MaxPooling2D(2) Conv2D(8, 3, relu) "
                "MaxPooling2D(2) Flatten() Dense(32, relu) Dropout(0.3) Output(10, softmax) "
                "loss: sparse_categorical_crossentropy"),
            &o);
    for (const nn_finding *x = nn_findings(o.arena, o.unit); x; x = x->next)
        if (strcmp(x->code, "hot-spot") != 0) fail_msg("%s: %s", x->code, x->message);
    nn_arena_free(o.arena);
}

/* ---- order, number, form ---- */

TEST(in_order_of_place_and_not_without_end) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "network A { input: (4,) layers:\n");
    for (int i = 0; i < 1200; i++) nn_buf_puts(&text, "Dropout(0.9)\n");
    nn_buf_puts(&text, "Dense(2) }");
    outcome o;
    compile(nn_buf_str(&text), &o);
    size_t before = 0;
    int n = 0;
    for (const nn_finding *x = nn_findings(o.arena, o.unit); x; x = x->next, n++) {
        CHECK(x->span.begin >= before);
        before = x->span.begin;
    }
    assert_int_equal(n, 1000);
    nn_arena_free(o.arena);
}

TEST(what_is_not_known_is_passed_over) {
    outcome o;
    compile(NET("(4,)", "Dense(8) Dense(8) FooLayer() Dense(9) Dense(10, softmax) Dropout(0.9)"),
            &o);
    const nn_finding *x = NULL;
    assert_int_equal(count(&o, "no-activation", &x), 1); /* before it */
    assert_int_equal(count(&o, "dead-layer", &x), 0);
    assert_int_equal(count(&o, "total-dropout", &x), 0);
    nn_arena_free(o.arena);
}

TEST(as_json) {
    outcome o;
    compile(NET("(4,)", "\nDense(4097, relu)\n  Dropout(0.9) Dense(2)"), &o);
    const nn_finding *x = NULL;
    assert_int_equal(count(&o, "wide-dense", &x), 1);
    NN_JSON *v = nn_finding_json(o.unit, x);
    assert_string_equal(nn_json_str(nn_json_get(v, "type"), ""), "optimization");
    assert_string_equal(nn_json_str(nn_json_get(v, "severity"), ""), "note");
    assert_string_equal(nn_json_str(nn_json_get(v, "message"), ""),
                        "Dense of 4097 units has 20485 weights"); /* 4 * 4097 + 4097 */
    assert_string_equal(nn_json_str(nn_json_get(v, "layer"), ""), "Dense");
    CHECK(nn_json_str(nn_json_get(v, "potential_improvement"), NULL));
    assert_int_equal(nn_json_int(nn_json_get(v, "layer_index"), -1), 0);
    assert_int_equal(nn_json_int(nn_json_get(v, "line"), 0), 2);
    assert_int_equal(nn_json_int(nn_json_get(v, "column"), 0), 1);
    assert_int_equal(count(&o, "total-dropout", &x), 1);
    NN_JSON *w = nn_finding_json(o.unit, x);
    assert_string_equal(nn_json_str(nn_json_get(w, "type"), ""), "warning");
    CHECK(!nn_json_get(w, "potential_improvement") && !nn_json_get(w, "description"));
    assert_int_equal(nn_json_int(nn_json_get(w, "line"), 0), 3);
    assert_int_equal(nn_json_int(nn_json_get(w, "column"), 0), 3);
    nn_arena_free(o.arena);
}
