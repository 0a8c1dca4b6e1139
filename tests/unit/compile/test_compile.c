/* SPDX-License-Identifier: MIT */
#include "compile/compile.h"
#include "t.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct outcome {
    nn_arena *arena;
    nn_diags *diags;
    nn_unit *unit;
    nn_status st;
    nn_err err;
} outcome;

static outcome compile_capped(const char *text, size_t n, size_t cap) {
    outcome o = {.arena = nn_arena_new(NULL, "t", cap)};
    static nn_source src; /* a list of diagnostics points to it */
    src = (nn_source){"t.neural", text, n};
    o.diags = nn_diags_new(o.arena, &src);
    if (o.diags) o.st = nn_compile(o.arena, &src, NULL, o.diags, &o.unit, &o.err);
    return o;
}

static outcome compile(const char *text) {
    return compile_capped(text, strlen(text), 0);
}

static void expect_ok(const outcome *o) {
    if (o->st) fail_msg("%d:%d: %s", o->err.line, o->err.col, o->err.msg);
}

TEST(the_error_record_names_the_first_place) {
    outcome o = compile("network A { input: (3,)\n layers: Dense(4) Dens(5)\n loss: mze }");
    assert_int_equal(o.st, NN_E_DSL_ERROR);
    CHECK(!o.unit);
    assert_int_equal(o.err.line, 2);
    assert_int_equal(o.err.col, 19);
    assert_string_equal(o.err.msg, "unknown layer 'Dens'");
    assert_string_equal(o.err.hint, "did you mean 'Dense'?");
    assert_int_equal(o.diags->errors, 2);
    nn_arena_free(o.arena);
}

/* keras/initializers compute_fans: the last two axes times the receptive field; a vector twice its
 * length. */
TEST(fans_and_attributes_of_weights) {
    outcome o =
        compile("network A { input: (8, 8, 6) layers: Conv2D(4, (3, 5), groups=2, trainable=false,"
                " kernel_initializer=RandomUniform(-1, 2, seed=9), kernel_regularizer=l1(0.5),"
                " bias_constraint=\"min_max_norm(0.5, 2, rate=0.25)\")"
                " Flatten() Dense(7, kernel_regularizer=\"l1_l2\", kernel_constraint=max_norm) }");
    expect_ok(&o);
    const nn_weight *w = o.unit->graph->weights;
    assert_int_equal(w[0].fan_in, 3 * 5 * 3);
    assert_int_equal(w[0].fan_out, 3 * 5 * 4);
    assert_int_equal(w[1].fan_in, 4);
    assert_int_equal(w[2].fan_in, 6 * 4 * 4);
    assert_int_equal(w[2].fan_out, 7);
    CHECK(!w[0].trainable && !w[1].trainable && w[2].trainable);
    CHECK(w[0].init.kind == NN_INIT_RANDOM_UNIFORM && w[0].init.a == -1 && w[0].init.b == 2);
    CHECK(w[0].init.seeded && w[0].init.seed == 9);
    CHECK(w[0].regularizer.l1 == 0.5 && w[0].regularizer.l2 == 0);
    CHECK(w[1].constraint.kind == NN_CONSTRAINT_MIN_MAX_NORM && w[1].constraint.min == 0.5);
    CHECK(w[1].constraint.max == 2 && w[1].constraint.rate == 0.25);
    CHECK(w[2].regularizer.l1 == 0.01 && w[2].regularizer.l2 == 0.01);
    CHECK(w[2].constraint.kind == NN_CONSTRAINT_MAX_NORM && w[2].constraint.max == 2);
    CHECK(w[2].init.kind == NN_INIT_GLOROT_UNIFORM && w[3].init.kind == NN_INIT_ZEROS);
    nn_arena_free(o.arena);
}

TEST(initializers_that_do_not_fit) {
    const char *bad[] = {"bias_initializer=orthogonal",
                         "bias_initializer=identity",
                         "kernel_initializer=constant",
                         "kernel_initializer=random_normal(0, -1)",
                         "kernel_initializer=3",
                         "kernel_initializer=zeros(1)",
                         "kernel_regularizer=l2(-1)",
                         "kernel_regularizer=\"l2(\"",
                         "kernel_constraint=min_max_norm(3, 2)",
                         "kernel_constraint=none_neg"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "network A { input: (3,) layers: Dense(3, %s) }", bad[i]);
        outcome o = compile(text);
        if (strstr(bad[i], "constant"))
            expect_ok(&o); /* Keras: constant() is 0 */
        else if (o.st != NN_E_DSL_ERROR || o.diags->errors != 1)
            fail_msg("%s: %d errors", bad[i], o.diags->errors);
        nn_arena_free(o.arena);
    }
}

TEST(totals) {
    outcome o = compile(
        "network A { input: (4,) layers: Dense(3) BatchNormalization() Dense(2, use_bias=false) }");
    expect_ok(&o);
    assert_int_equal(o.unit->params, 15 + 12 + 6);
    assert_int_equal(o.unit->trainable, 15 + 6 + 6);
    assert_int_equal(o.unit->flops, 24 + 6 + 12);
    CHECK(!o.unit->framework);
    nn_arena_free(o.arena);
}

TEST(framework_is_kept) {
    outcome o = compile("network A { input: (4,) layers: Dense(3) framework: torch }");
    expect_ok(&o);
    assert_string_equal(o.unit->framework, "pytorch");
    nn_arena_free(o.arena);
}

TEST(a_graph_of_a_program_reads_back) {
    outcome o =
        compile("Model A { Input(8, 8, 3) Conv2D(4, 3, padding=same, strides=2, activation=gelu)"
                " BatchNormalization(axis=1) Dropout(0.2, seed=3) Flatten() Output(3)"
                " loss: cross_entropy train { epochs: 2 seed: 5 } }");
    expect_ok(&o);
    NN_JSON *v = nn_graph_json(o.unit->graph);
    nn_graph *back = NULL;
    nn_err err;
    CHECK_OK(nn_graph_read(v, o.arena, &back, &err), &err);
    NN_JSON *again = nn_graph_json(back);
    CHECK(nn_json_equal(v, again));
    nn_arena_free(o.arena);
}

/* ---- bad input ---- */

TEST(hostile_texts) {
    const char *bad[] = {
        "",
        "\n",
        "}",
        "network",
        "network A",
        "network A {",
        "network A {}",
        "network A { input: layers: }",
        "network A { input: () layers: Dense(3) }",
        "network A { input: (None,) layers: Dense(3) }",
        "network A { input: (3,) layers: Dense(99999999999999999999) }",
        "network A { input: (3,) layers: Dense(1e400) }",
        "network A { input: (3,) layers: Dense(3) * 99999999999999999999 }",
        "network A { input: (3,) layers: Dense(3) train: { } optimizer: }",
        "network A { input: (1.5, \"x\") layers: Dense(3) }",
        "network A { input: (3,) layers: Dense((((3)))) }",
        "network A { input: (3,) layers: Dense(name=3, units=2, name=4) }",
        "network A { input: (3,) loss: \"mse(\" layers: Dense(2) }",
        "network A { input: (3,) metrics: [[accuracy]] layers: Dense(2) }",
        "network A { input: (3,) metrics: 3 layers: Dense(2) }",
        "research R { metrics { accuracy: 0.9 } }",
        "network A { input: (3,) layers: Dense(2) @ 3 }",
        "network A { Input() Dense(2) }",
        "network A { Input((2,3), batch_shape=(None,3)) Dense(2) }",
        "network \"a\\nb\" { input: (3,) layers: Dense(2) }",
        "network A { input: (2147483647, 2147483647) layers: Flatten() }",
        "network A { input: (9,9,2147483647) layers: Conv2D(2147483647, 9) }",
        "network A { input: (9,9,1) layers: Conv2D(2, 2147483647, dilation_rate=2147483647) }",
        "network A { input: (9,9,1) layers: Conv2D(2, 3, padding=2147483648) }"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        outcome o = compile(bad[i]);
        if (o.st != NN_E_DSL_ERROR || o.unit || !o.diags->errors || !o.err.msg[0])
            fail_msg("'%s' was not refused", bad[i]);
        nn_arena_free(o.arena);
    }
}

static char *repeat(const char *head, const char *body, int n, const char *tail) {
    NN_BUF b = {0};
    nn_buf_puts(&b, head);
    for (int i = 0; i < n; i++) nn_buf_puts(&b, body);
    nn_buf_puts(&b, tail);
    return nn_buf_take(&b);
}

TEST(large_and_deep) {
    char *deep = repeat("network A { input: (3,) layers: ", "(", 100000, "");
    outcome o = compile(deep);
    assert_int_equal(o.st, NN_E_DSL_ERROR);
    nn_arena_free(o.arena);
    free(deep);
    char *many =
        repeat("network A { input: (3,) layers:\n", "Dense(3, activation=relu)\n", 20000, "}");
    o = compile(many);
    expect_ok(&o);
    assert_int_equal(o.unit->n_layers, 20001);
    assert_string_equal(o.unit->layers[20000].name, "dense_20000");
    nn_arena_free(o.arena);
    free(many);
    char *wrong = repeat("network A { input: (3,) layers:\n", "Dense(3, actvation=relu, name=x)\n",
                         20000, "}");
    o = compile(wrong);
    CHECK(o.diags->errors == 39999 && o.diags->stored <= NN_DIAGS_MAX);
    nn_arena_free(o.arena);
    free(wrong);
    char *args = repeat("network A { input: (3,) layers: Dense(", "3, ", 50000, ") }");
    o = compile(args);
    assert_int_equal(o.st, NN_E_DSL_ERROR);
    nn_arena_free(o.arena);
    free(args);
}

/* Nothing crashes and nothing is accepted whatever the cap. */
TEST(little_memory) {
    char *text =
        repeat("network A { input: (8,8,1) layers:\n",
               "(Conv2D(4, 3, padding=same) BatchNormalization()) * 3\n", 12, "loss: mse }");
    int refused = 0;
    for (size_t cap = 0x200; cap < 0x100000; cap += cap / 8) {
        outcome o = compile_capped(text, strlen(text), cap);
        if (o.diags && o.st) refused++;
        CHECK(!o.diags || (o.st == NN_OK) == (o.unit != NULL));
        if (o.diags && o.st) CHECK(o.diags->errors > 0);
        nn_arena_free(o.arena);
    }
    CHECK(refused > 3);
    outcome o = compile(text);
    expect_ok(&o);
    nn_arena_free(o.arena);
    free(text);
}

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Programs with pieces cut, doubled and swapped: an outcome, and a whole graph where it is
 * accepted. */
TEST(damaged_programs) {
    static const char text[] =
        "network A { input: (None, 12, 12, 3) layers: Conv2D(8, (3, 3), activation=\"relu\", padding=same)"
        " (BatchNormalization(axis=-1) MaxPooling2D(2)) * 2 Reshape((9, -1)) Flatten() Dropout(0.5)"
        " Dense(units=16, kernel_initializer=he_normal(seed=3), kernel_regularizer=l2(0.1)) @ \"cpu\" * 2"
        " Output(10, softmax) loss: \"cross_entropy(label_smoothing=0.1)\" optimizer: Adam(lr=0.1)"
        " metrics: [accuracy] train { epochs: 3, batch_size: 8 } execution { device: \"cpu\" } }";
    uint32_t rng = 7;
    int accepted = 0;
    for (int i = 0; i < 4000; i++) {
        NN_BUF b = {0};
        size_t n = sizeof text - 1, cut = next(&rng) % n, len = next(&rng) % 12;
        if (cut + len > n) len = n - cut;
        size_t from = next(&rng) % (n - 12);
        nn_buf_append(&b, text, cut);
        if (next(&rng) & 1) nn_buf_append(&b, text + from, next(&rng) % 12);
        nn_buf_append(&b, text + cut + len, n - cut - len);
        outcome o = compile_capped(nn_buf_str(&b), b.n, 64 << 20);
        CHECK((o.st == NN_OK) == (o.unit != NULL));
        if (o.unit) CHECK_OK(nn_graph_check(o.unit->graph, &o.err), &o.err);
        accepted += o.unit != NULL;
        nn_arena_free(o.arena);
    }
    CHECK(accepted > 100 && accepted < 3900);
}

/* ---- reading a source ---- */

TEST(sources) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "t", 0);
    nn_source src = {.name = "before"};
    nn_err err;
    char dir[] = "/tmp/nn_sourceXXXXXX", path[64];
    CHECK(mkdtemp(dir));
    assert_int_equal(nn_source_read(a, "/no/such/file", &src, &err), NN_E_NOT_FOUND);
    assert_int_equal(nn_source_read(a, dir, &src, &err), NN_E_STORAGE_ERROR);
    assert_string_equal(src.name, "before");
    snprintf(path, sizeof path, "%s/x", dir);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && write(fd, "a\0b", 3) == 3);
    CHECK_OK(nn_source_read(a, path, &src, &err), &err);
    CHECK(src.size == 3 && memcmp(src.text, "a\0b", 3) == 0);
    assert_string_equal(src.name, path);
    assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
    assert_int_equal(nn_source_read(a, path, &src, &err), NN_E_LIMIT);
    close(fd);
    unlink(path);
    rmdir(dir);
}
