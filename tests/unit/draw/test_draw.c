/* SPDX-License-Identifier: MIT */
/* Pictures: what is drawn once, how things are joined and folded, that nothing of a name is markup,
 * that the same network gives the same bytes, and that colours can be told apart. */
#include "draw/dot.h"
#include "draw/draw.h"
#include "draw/family.h"
#include "draw/plan.h"
#include "draw/text.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct drawn {
    nn_arena *arena;
    nn_source *src;
    nn_unit *unit;
    nn_plan plan;
    nn_status st;
    nn_err err;
} drawn;

static drawn plan_of(const char *text) {
    drawn d = {.arena = nn_arena_new(NULL, "t", 0)};
    d.src = NN_NEW(d.arena, nn_source);
    *d.src = (nn_source){"t.neural", text, strlen(text)};
    nn_diags *diags = nn_diags_new(d.arena, d.src);
    nn_status st = nn_compile(d.arena, d.src, NULL, diags, &d.unit, &d.err);
    if (st) fail_msg("%d:%d: %s", d.err.line, d.err.col, d.err.msg);
    d.st = nn_plan_make(d.arena, d.unit, &d.plan, &d.err);
    if (d.st) return d;
    nn_plan_texts(d.arena, &d.plan);
    nn_plan_fold(d.arena, &d.plan);
    return d;
}

static void done(drawn *d) {
    nn_arena_free(d->arena);
}

static int row_of(const drawn *d, const char *name) {
    for (int i = 0; i < d->unit->n_layers; i++)
        if (strcmp(d->unit->layers[i].name, name) == 0) return i;
    fail_msg("no layer %s", name);
    return -1;
}

/* Whether an edge leads from one part of a layer to another's. */
static bool joined(const drawn *d, const char *from, nn_plan_part a, const char *to,
                   nn_plan_part b) {
    int x = d->plan.rows[row_of(d, from)].node[a], y = d->plan.rows[row_of(d, to)].node[b];
    for (int i = 0; i < d->plan.n_edges; i++)
        if (d->plan.edges[i].from == x && d->plan.edges[i].to == y) return true;
    return false;
}

static void draw(const drawn *d, const char *format, nn_buf *out) {
    nn_err e = {0};
    CHECK_OK(nn_draw(d->unit, nn_picture_format_find(format), out, &e), &e);
}

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

/* ---- the plan ---- */

TEST(a_chain_is_boxes_and_edges) {
    drawn d = plan_of("network A { input: (4,) layers: Dense(3) ReLU() Output(2) loss: mse }");
    assert_int_equal(d.plan.n_nodes, 4);
    assert_int_equal(d.plan.n_edges, 3);
    CHECK(joined(&d, "input", NN_PART_BOX, "dense_1", NN_PART_BOX));
    CHECK(joined(&d, "relu_1", NN_PART_BOX, "output", NN_PART_BOX));
    assert_int_equal(d.plan.columns, 1);
    done(&d);
}

TEST(a_residual_block_has_a_fork_a_sum_and_a_way_round) {
    drawn d = plan_of("network A { input: (4,) layers: ResidualConnection { Dense(4) ReLU() } "
                      "Output(2) loss: mse }");
    /* input, fork, Dense, ReLU, sum, Output */
    assert_int_equal(d.plan.n_nodes, 6);
    CHECK(joined(&d, "input", NN_PART_BOX, "residual_1", NN_PART_FORK));
    CHECK(joined(&d, "residual_1", NN_PART_FORK, "dense_1", NN_PART_BOX));
    CHECK(joined(&d, "relu_1", NN_PART_BOX, "residual_1", NN_PART_END));
    CHECK(joined(&d, "residual_1", NN_PART_FORK, "residual_1", NN_PART_END));
    CHECK(joined(&d, "residual_1", NN_PART_END, "output", NN_PART_BOX));
    CHECK(!joined(&d, "input", NN_PART_BOX, "output", NN_PART_BOX));
    done(&d);
}

TEST(a_sequential_block_passes_through) {
    drawn d =
        plan_of("network A { input: (4,) layers: Sequential { Sequential { Dense(4) } ReLU() } "
                "Output(2) loss: mse }");
    assert_int_equal(d.plan.n_nodes, 4);
    CHECK(joined(&d, "input", NN_PART_BOX, "dense_1", NN_PART_BOX));
    CHECK(joined(&d, "dense_1", NN_PART_BOX, "relu_1", NN_PART_BOX));
    CHECK(joined(&d, "relu_1", NN_PART_BOX, "output", NN_PART_BOX));
    done(&d);
}

TEST(inception_joins_its_branches) {
    drawn d = plan_of("network A { input: (8, 8, 3) layers: Inception { a: { Conv2D(2, 1) } b: { "
                      "Conv2D(2, 1) ReLU() } } Flatten() Output(2) loss: mse }");
    CHECK(joined(&d, "inception_1", NN_PART_FORK, "conv2d_1", NN_PART_BOX));
    CHECK(joined(&d, "inception_1", NN_PART_FORK, "conv2d_2", NN_PART_BOX));
    CHECK(joined(&d, "conv2d_1", NN_PART_BOX, "inception_1", NN_PART_END));
    CHECK(joined(&d, "relu_1", NN_PART_BOX, "inception_1", NN_PART_END));
    CHECK(!joined(&d, "conv2d_2", NN_PART_BOX, "inception_1", NN_PART_END));
    done(&d);
}

TEST(branches_of_two_inputs_meet) {
    drawn d =
        plan_of("network A { input: { a: (4,), b: (6,) } layers: a: { Dense(3) } b: { Dense(5) } "
                "Concatenate() Output(2) loss: mse }");
    CHECK(joined(&d, "a", NN_PART_BOX, "dense_1", NN_PART_BOX));
    CHECK(joined(&d, "b", NN_PART_BOX, "dense_2", NN_PART_BOX));
    CHECK(joined(&d, "dense_1", NN_PART_BOX, "concatenate_1", NN_PART_BOX));
    CHECK(joined(&d, "dense_2", NN_PART_BOX, "concatenate_1", NN_PART_BOX));
    assert_int_equal(d.plan.n_edges, 5);
    done(&d);
}

/* ---- repetition ---- */

TEST(three_copies_are_one_box_two_are_two) {
    drawn d =
        plan_of("network A { input: (4,) layers: Dense(4) * 3 ReLU() * 2 Output(2) loss: mse }");
    const nn_plan_row *r = &d.plan.rows[row_of(&d, "dense_1")];
    assert_int_equal(r->period, 1);
    assert_int_equal(r->count, 3);
    assert_int_equal(r->copies, 3);
    assert_int_equal(d.plan.rows[row_of(&d, "dense_3")].of, row_of(&d, "dense_1"));
    assert_int_equal(d.plan.rows[row_of(&d, "relu_1")].count, 0);
    assert_int_equal(d.plan.n_nodes, 5); /* input, Dense, ReLU, ReLU, Output */
    CHECK(joined(&d, "dense_1", NN_PART_BOX, "relu_1", NN_PART_BOX));
    done(&d);
}

TEST(a_first_copy_of_another_shape_stands_alone) {
    drawn d =
        plan_of("network A { input: (9,) layers: (Dense(4) ReLU()) * 5 Output(2) loss: mse }");
    const nn_plan_row *r = &d.plan.rows[row_of(&d, "dense_2")];
    assert_int_equal(d.plan.rows[row_of(&d, "dense_1")].copies, 1);
    assert_int_equal(d.plan.rows[row_of(&d, "relu_1")].copies, 1);
    assert_int_equal(r->period, 2); /* Dense, ReLU: as the source has them */
    assert_int_equal(r->count, 4);
    done(&d);
}

TEST(repeated_blocks_and_what_is_repeated_in_them) {
    drawn d =
        plan_of("network A { input: (4,) layers: ResidualConnection { Dense(4) * 3 } * 5 Output(2) "
                "loss: mse }");
    assert_int_equal(d.plan.rows[row_of(&d, "residual_1")].count, 5);
    assert_int_equal(d.plan.rows[row_of(&d, "dense_1")].count, 3);
    assert_int_equal(d.plan.rows[row_of(&d, "dense_1")].copies, 15);
    assert_int_equal(d.plan.rows[row_of(&d, "dense_15")].of, row_of(&d, "dense_1"));
    assert_int_equal(d.plan.n_nodes, 5); /* input, fork, Dense, sum, Output */
    done(&d);
}

TEST(what_looks_alike_in_different_places_is_not_repeated) {
    drawn d =
        plan_of("network A { input: (4,) layers: Dense(4) Dense(4) Dense(4) Dense(4) Output(2) "
                "loss: mse }");
    assert_int_equal(d.plan.n_nodes, 6);
    done(&d);
}

TEST(copies_side_by_side_are_not_a_run) {
    drawn d =
        plan_of("define T(n) { Branch(name=$n) { Dense(4) } }\n"
                "network A { input: (4,) layers: a: { Dense(4) } b: { Dense(4) } c: { Dense(4) } "
                "Concatenate() Output(2) loss: mse }");
    assert_int_equal(d.plan.n_nodes, 6);
    done(&d);
}

/* ---- arguments ---- */

TEST(arguments_are_short_and_macros_are_filled_in) {
    drawn d = plan_of("define B(f, k=(3, 5)) { Conv2D($f, $k, padding=\"same\", name=\"c\") }\n"
                      "network A { input: (8, 8, 1) layers: B(4) B(7, k=2) Flatten() "
                      "Dense(units=3, activation=\"relu\") Output(2) loss: mse }");
    const nn_plan_row *r = d.plan.rows;
    assert_string_equal(r[1].text, "4, 3×5, padding=same");
    assert_string_equal(r[2].text, "7, 2, padding=same");
    assert_string_equal(r[3].text, "");
    assert_string_equal(r[4].text, "3, relu");
    done(&d);
}

TEST(with_search_points_the_text_is_that_of_the_source) {
    drawn d =
        plan_of("network A { input: (8,) layers: HPO(choice(Dense(4), Dense(5))) Dense(7, relu) "
                "Output(2) loss: mse }");
    assert_string_equal(d.plan.rows[row_of(&d, "dense_2")].text, "7, relu");
    done(&d);
}

/* ---- text ---- */

static void expect_escaped(const char *text, int chars, const char *want) {
    NN_BUF out = {0};
    nn_draw_escape(&out, text, strlen(text), chars);
    assert_string_equal(nn_buf_str(&out), want);
}

TEST(text_cannot_be_markup) {
    expect_escaped("<b a=\"x\">&'", 0, "&lt;b a=&quot;x&quot;&gt;&amp;&#39;");
    expect_escaped("a\nb\tc\x01", 0, "a b c\xef\xbf\xbd");
    expect_escaped("a\xff\xc3", 0, "a\xef\xbf\xbd\xef\xbf\xbd");
    /* right-to-left override */
    expect_escaped("a\xe2\x80\xae.", 0, "a\xef\xbf\xbd."); /* right-to-left override */
}

TEST(long_text_ends_in_an_ellipsis) {
    expect_escaped("abcdef", 6, "abcdef");
    expect_escaped("abcdefg", 6, "abcde…");
    expect_escaped("日本語日本語", 4, "日本語…");
    expect_escaped("<<<<", 3, "&lt;&lt;…");
}

TEST(numbers) {
    char b[32];
    assert_string_equal(nn_draw_count(1199882, b), "1,199,882");
    assert_string_equal(nn_draw_count(0, b), "0");
    assert_string_equal(nn_draw_short(-1, b), "?");
    assert_string_equal(nn_draw_short(999, b), "999");
    assert_string_equal(nn_draw_short(1200000, b), "1.2 M");
    assert_string_equal(nn_draw_short(INT64_MAX, b), "9.2 E");
}

/* ---- folding ---- */

static char *chain(int layers, bool wrapped) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "network A { input: (8,) layers: ");
    if (wrapped) nn_buf_puts(&text, "Sequential {");
    for (int i = 0; i < layers; i++) nn_buf_printf(&text, "Dense(%d)\n", 8 + i % 5);
    nn_buf_puts(&text, wrapped ? "} Output(2) loss: mse }" : "Output(2) loss: mse }");
    return nn_buf_take(&text);
}

TEST(a_long_chain_is_folded_and_each_column_is_entered_once) {
    char *text = chain(98, false);
    drawn d = plan_of(text);
    assert_in_range(d.plan.columns, 4, 9);
    int between = 0;
    for (int i = 0; i < d.plan.n_edges; i++) {
        const nn_plan_edge *e = &d.plan.edges[i];
        int a = d.plan.nodes[e->from].column, b = d.plan.nodes[e->to].column;
        assert_int_equal(e->between, a != b);
        if (a != b) assert_int_equal(b, a + 1);
        between += a != b;
    }
    assert_int_equal(between, d.plan.columns - 1);
    done(&d);
    free(text);
}

TEST(a_block_is_not_cut) {
    char *text = chain(60, true);
    drawn d = plan_of(text);
    int column = d.plan.nodes[d.plan.rows[row_of(&d, "dense_1")].node[NN_PART_BOX]].column;
    for (int i = 0; i < d.plan.n_nodes; i++)
        if (d.unit->layers[d.plan.nodes[i].row].parent >= 0)
            assert_int_equal(d.plan.nodes[i].column, column);
    done(&d);
    free(text);
}

TEST(too_many_boxes_is_an_error_that_says_what_to_do) {
    char *text = chain(NN_DRAW_MAX_NODES, false);
    drawn d = plan_of(text);
    assert_int_equal(d.st, NN_E_LIMIT);
    CHECK(strstr(d.err.msg, "2000 boxes"));
    CHECK(strstr(d.err.hint, "repetition"));
    done(&d);
    free(text);
    d = plan_of("network A { input: (8,) layers: Dense(8) * 5000 Output(2) loss: mse }");
    assert_int_equal(d.st, NN_OK);
    assert_int_equal(d.plan.n_nodes, 3);
    done(&d);
}

/* Each layer reads the `near` layers before it. */
static char *dense_net(int layers, int near) {
    NN_BUF text = {0};
    nn_buf_puts(&text, "network A { input: (8,) layers: Dense(8, name=d0) Dense(8, name=d1)\n");
    for (int i = 2; i < layers; i++) {
        nn_buf_printf(&text, "Add(inputs=[d%d", i - 1);
        for (int k = 2; k <= near && k <= i; k++) nn_buf_printf(&text, ", d%d", i - k);
        nn_buf_printf(&text, "]) Dense(8, name=d%d)\n", i);
    }
    nn_buf_puts(&text, "Output(2) loss: mse }");
    return nn_buf_take(&text);
}

TEST(a_tangle_has_its_shapes_in_the_boxes_a_greater_one_is_an_error) {
    char *text = dense_net(40, 6), *worse = dense_net(300, 8);
    drawn d = plan_of(text);
    NN_BUF out = {0};
    CHECK(d.plan.tangled);
    draw(&d, "svg", &out);
    CHECK(strstr(nn_buf_str(&out), "→ 8<"));
    done(&d);
    d = plan_of(worse);
    nn_err e = {0};
    assert_int_equal(nn_draw(d.unit, nn_picture_format_find("svg"), &out, &e), NN_E_LIMIT);
    CHECK(strstr(e.msg, "tangle") && strstr(e.hint, "--format dot"));
    CHECK_OK(nn_draw(d.unit, nn_picture_format_find("dot"), &out, &e), &e);
    done(&d);
    free(text);
    free(worse);
}

/* ---- pictures ---- */

static const char *const rich =
    "network Rich { input: { image: (8, 8, 3), meta: (4,) } layers:\n"
    " image: { Conv2D(4, 3, padding=same) ResidualConnection(projection=true) { Conv2D(6, 3, padding=same) "
    "BatchNormalization() } GlobalAveragePooling2D() }\n"
    " meta: { Dense(4, relu) * 4 }\n"
    " Concatenate() (Dense(10) Dropout(0.5)) * 3 Output(2) loss: mse }";

TEST(every_format_draws_and_draws_the_same_again) {
    drawn d = plan_of(rich);
    for (unsigned i = 0; nn_picture_format_at(i); i++) {
        NN_BUF a = {0}, b = {0};
        draw(&d, nn_picture_format_at(i)->name, &a);
        draw(&d, nn_picture_format_at(i)->name, &b);
        CHECK(a.n > 500);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.p, b.p, a.n);
    }
    assert_null(nn_picture_format_find("gif"));
    done(&d);
}

TEST(svg_has_every_box_and_no_outside_reference) {
    drawn d = plan_of(rich);
    NN_BUF svg = {0};
    draw(&d, "svg", &svg);
    const char *s = nn_buf_str(&svg);
    /* two inputs, two Conv2D, BatchNormalization, the pooling, Dense × 4, Concatenate, Dense and
     * Dropout × 3, Output */
    assert_int_equal(count(s, "class=\"node box "), 11);
    CHECK(strstr(s, "<title>conv2d_1: Conv2D(4, 3, padding=same), 8 × 8 × 3 to 8 × 8 × 4, 112 "
                    "parameters, line 2</title>"));
    CHECK(strstr(s, "× 4</text>"));
    CHECK(!strstr(s, "<!DOCTYPE") && !strstr(s, "<!--") && !strstr(s, "href=\""));
    done(&d);
}

TEST(html_is_one_file_with_a_policy) {
    drawn d = plan_of("network A { input: (4,) layers: Dense(4)\n"
                      "Lambda(\"</script><script>alert(1)</script> & '<!--\", output_shape=(4,)) "
                      "Output(2) loss: mse }");
    NN_BUF html = {0};
    draw(&d, "html", &html);
    const char *s = nn_buf_str(&html);
    assert_int_equal(count(s, "<script"), 2); /* the data and ours */
    assert_int_equal(count(s, "</script"), 2);
    assert_int_equal(count(s, "'sha256-"), 2);
    CHECK(strstr(s, "default-src 'none'"));
    CHECK(!strstr(s, "alert(1)</") && !strstr(s, "src=\"") && !strstr(s, "<link") &&
          !strstr(s, "url("));
    CHECK(!strstr(s, " style=\"")); /* which the policy would drop */
    done(&d);
}

TEST(unknown_shapes_are_a_question_mark) {
    drawn d = plan_of(
        "network A { input: (4,) layers: Lambda(\"f\") ResidualConnection { Dense(3) } Output(2) "
        "loss: mse }");
    NN_BUF dot = {0}, html = {0};
    draw(&d, "dot", &dot);
    CHECK(strstr(nn_buf_str(&dot), "label=\" ? \""));
    CHECK(strstr(nn_buf_str(&dot), "≥ 0 parameters · ? FLOPs"));
    draw(&d, "html", &html);
    CHECK(strstr(nn_buf_str(&html), "Not all shapes are known"));
    done(&d);
}

/* ---- colours ---- */

/* WCAG 2.1: relative luminance, contrast ratio. */
static double luminance(const char *hex) {
    static const double weights[] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        char two[3] = {hex[1 + 2 * i], hex[2 + 2 * i], 0};
        double c = (double)strtol(two, NULL, 16) / 255;
        sum += weights[i] * (c <= 0.03928 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return sum;
}

static double contrast(const char *a, const char *b) {
    double x = luminance(a), y = luminance(b);
    return (fmax(x, y) + 0.05) / (fmin(x, y) + 0.05);
}

TEST(the_measure_of_contrast) {
    CHECK(fabs(contrast("#000000", "#ffffff") - 21) < 0.01);
    CHECK(fabs(contrast("#777777", "#ffffff") - 4.48) < 0.01); /* WebAIM's example */
}

TEST(text_is_legible_on_every_colour) {
    for (unsigned i = 0; nn_family_at(i); i++) {
        const nn_family *f = nn_family_at(i);
        double light = contrast(f->ink, f->fill), dark = contrast(f->dark_ink, f->dark_fill);
        double text = contrast("#1c232d", f->fill), muted = contrast("#4b5563", f->fill);
        double dark_muted = contrast("#a3afbd", f->dark_fill);
        if (light < 4.5 || dark < 4.5 || text < 7 || muted < 4.5 || dark_muted < 4.5)
            fail_msg("%s: %.2f %.2f %.2f %.2f %.2f", f->name, light, dark, text, muted, dark_muted);
    }
}

TEST(every_family_of_a_layer_has_a_colour) {
    for (unsigned i = 0; nn_layer_at(i); i++) {
        nn_unit_layer l = {.layer = nn_layer_at(i)};
        const nn_family *f = nn_family_of(&l, NULL);
        if (l.layer->role == NN_ROLE_LAYER) assert_string_equal(f->name, l.layer->family);
    }
}
