/* SPDX-License-Identifier: MIT */
/* A program as JSON and back: the examples of language.md 9 by hand, then everything that compiles
 * of the corpus (at $NEURAL_CORPUS or ../shared/corpus; skipped without it) and of examples/. */
#include "base/file.h"
#include "compile/model_data.h"
#include "t.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct outcome {
    nn_arena *arena;
    nn_source src;
    nn_diags *diags;
    nn_unit *unit; /* NULL: it does not compile */
    nn_err err;
} outcome;

static outcome *start(const char *text, size_t n) {
    nn_arena *a = nn_arena_new(NULL, "t", 0);
    outcome *o = NN_NEW(a, outcome);
    o->arena = a;
    o->src = (nn_source){"t", nn_arena_strndup(a, text, n), n};
    o->diags = nn_diags_new(a, &o->src);
    return o;
}

static outcome *of_program(const char *text) {
    outcome *o = start(text, strlen(text));
    (void)!nn_compile(o->arena, &o->src, NULL, o->diags, &o->unit, &o->err);
    return o;
}

static outcome *of_json(const char *text, size_t n) {
    outcome *o = start(text, n);
    nn_program *tree = NULL;
    if (nn_model_data_parse(o->arena, &o->src, o->diags, &tree, &o->err) == NN_OK)
        (void)!nn_compile_tree(o->arena, &o->src, tree, NULL, o->diags, &o->unit, &o->err);
    return o;
}

static void done(outcome *o) {
    nn_arena_free(o->arena);
}

static nn_json *json(const char *text) {
    nn_json *v = NULL;
    nn_err err;
    CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    return v;
}

static void expect_json(const nn_json *want, const nn_json *got, const char *of) {
    NN_BUF a = {0}, b = {0};
    if (nn_json_equal(want, got)) return;
    nn_json_dump(want, 0, &a);
    nn_json_dump(got, 0, &b);
    fprintf(stderr, "%s\nwanted %s\ngot    %s\n", of, nn_buf_str(&a), nn_buf_str(&b));
    fail();
}

/* ---- there and back ---- */

/* Places differ between a program and its JSON. */
static void drop_places(nn_json *v);

static bool drop_in_member(void *ctx, const char *key, nn_json *v) {
    (void)ctx;
    (void)key;
    drop_places(v);
    return true;
}

static void drop_places(nn_json *v) {
    if (nn_json_typeof(v) == NN_JSON_OBJECT) {
        nn_json_del(v, "span");
        nn_json_each(v, drop_in_member, NULL);
    }
    for (size_t i = 0; nn_json_typeof(v) == NN_JSON_ARRAY && i < nn_json_size(v); i++)
        drop_places(nn_json_at(v, i));
}

static void expect_same_graph(const nn_unit *a, const nn_unit *b, const char *of) {
    NN_BUF x = {0}, y = {0};
    nn_graph_print(a->graph, &x);
    nn_graph_print(b->graph, &y);
    if (strcmp(nn_buf_str(&x), nn_buf_str(&y)) != 0) {
        fprintf(stderr, "%s\nthe graph was\n%s\nand is\n%s", of, nn_buf_str(&x), nn_buf_str(&y));
        fail();
    }
    assert_int_equal(a->params, b->params);
    assert_int_equal(a->n_layers, b->n_layers);
}

static void there_and_back(const outcome *o, nn_model_data_form form, int indent) {
    const char *of = o->src.text;
    NN_BUF text = {0};
    NN_JSON *first = nn_model_data(o->unit, form), *second = NULL;
    nn_json_dump(first, indent, &text);
    outcome *back = of_json(nn_buf_str(&text), text.n);
    if (!back->unit) {
        NN_BUF why = {0};
        nn_diags_print(back->diags, false, &why);
        fail_msg("%s\nas JSON %s\n%s\n%s", of, nn_buf_str(&text), back->err.msg, nn_buf_str(&why));
    }
    for (const nn_diag *d = back->diags->first; d; d = d->next)
        if (strcmp(d->code, "unknown-member") == 0) fail_msg("%s\n%s", of, d->message);
    second = nn_model_data(back->unit, form);
    drop_places(first);
    drop_places(second);
    expect_json(first, second, of);
    expect_same_graph(o->unit, back->unit, of);
    done(back);
}

static bool round_trips(const char *program) {
    outcome *o = of_program(program);
    bool compiles = o->unit != NULL;
    if (compiles) {
        there_and_back(o, NN_MODEL_DATA_REFERENCE, 0);
        there_and_back(o, NN_MODEL_DATA_REFERENCE, 2);
        there_and_back(o, NN_MODEL_DATA_CANONICAL, 0);
    }
    done(o);
    return compiles;
}

TEST(examples_go_there_and_back) {
    glob_t g;
    assert_int_equal(glob("examples/*.neural", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        NN_BUF text = {0};
        nn_err err;
        CHECK_OK(nn_file_read(g.gl_pathv[i], 1 << 20, &text, &err), &err);
        if (!round_trips(nn_buf_str(&text))) fail_msg("%s does not compile", g.gl_pathv[i]);
    }
    CHECK(g.gl_pathc > 3);
    globfree(&g);
}

/* Calls `each` for every row of a file of the corpus; skips the test without it. */
static void each_row(const char *file, void (*each)(const nn_json *row, int *n), int *n) {
    const char *dir = getenv("NEURAL_CORPUS");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir ? dir : "../shared/corpus", file);
    NN_BUF text = {0};
    nn_err err;
    if (nn_file_read(path, 64 << 20, &text, &err)) {
        print_message("skipped: %s\n", err.msg);
        skip();
    }
    for (char *line = text.p, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        NN_JSON *row = NULL;
        CHECK_OK(nn_json_parse(line, end ? (size_t)(end - line) : strlen(line), &row, &err), &err);
        each(row, n);
    }
}

static void network_row(const nn_json *row, int *n) {
    if (strcmp(nn_json_str(nn_json_get(row, "start_rule"), ""), "network") == 0)
        *n += round_trips(nn_json_str(nn_json_get(row, "dsl"), ""));
}

TEST(corpus_goes_there_and_back) {
    int n = 0;
    each_row("accept.jsonl", network_row, &n);
    CHECK(n > 40);
}

/* What the reference's code generator was tested with. All of it is read; six networks are wrong in
 * themselves: shapes that do not fit (13.2), an activation that is none. */
static void model_data_row(const nn_json *row, int *n) {
    const nn_json *data = nn_json_get(row, "model_data");
    NN_BUF text = {0};
    if (!data) return;
    nn_json_dump(data, 0, &text);
    outcome *o = of_json(nn_buf_str(&text), text.n);
    for (const nn_diag *d = o->diags->first; d; d = d->next)
        if (strcmp(d->code, "bad-model-data") == 0 || strcmp(d->code, "unknown-member") == 0)
            fail_msg("%s: %s", nn_json_str(nn_json_get(row, "id"), "?"), d->message);
    if (o->unit) there_and_back(o, NN_MODEL_DATA_REFERENCE, 0);
    *n += o->unit == NULL;
    done(o);
}

TEST(model_data_of_the_corpus_is_read) {
    int n = 0;
    each_row("codegen.jsonl", model_data_row, &n);
    assert_int_equal(n, 6);
}

/* What the corpus has little of. */
TEST(more_goes_there_and_back) {
    static const char *const programs[] = {
        "network A { input: (None, 28, 28, 1) layers: Flatten() Dense(3) }",
        "network A { input: (None, None, 8) layers: LSTM(4) Dense(3) }",
        "network A { layers: Input(28, 28, 1) Flatten() Dense(3) }",
        "network A { layers: Input(shape=(None, 8), name=words) LSTM(4) Dense(3) }",
        "network A { input: (8, 8, 3) layers: a: { Conv2D(4, 3, padding=same) }"
        " b: { Conv2D(4, 5, padding=same) } Concatenate() Flatten() Dense(2) }",
        "network A { input: { left: (4,), right: (6,) } layers: left: { Dense(8) }"
        " right: { Dense(8) } Add() Dense(1) }",
        "network A { input: (4,) layers: Dense(8, name=a) Dense(8) Add(inputs=[a, dense_1]) }",
        "network A { input: (6, 4) layers: TimeDistributed(Dense(8, relu)) Flatten() Dense(2) }",
        "network A { input: (6, 4) layers: TimeDistributed(Dense(8), dropout=0.5) Flatten() }",
        "network A { input: (6, 4) layers: Bidirectional(LSTM(8), merge_mode=sum) Dense(2) }",
        "network A { input: (8,) layers: Residual() { Dense(8, relu) Dense(8) } Dense(2) }",
        "network A { input: (4,) layers: (Dense(8) Dropout(0.5)) * 3 Dense(2) }",
        "network A { input: (4,) layers: Dense(8) * HPO(range(1, 3)) Dense(2) }",
        "network A { input: (4,) layers: HPO(choice(Dense(8), Dropout(0.5))) Dense(2) }",
        "network A { input: (4,) layers: Dense(HPO(choice(8, HPO(range(16, 32, step=8)))))"
        " train { batch_size: 16, 32 } }",
        "define Two(n) { Dense(n) Dense(n) }\nnetwork A { input: (4,) layers: Two(5) Two(n=6) }",
        "network A { input: (4,) layers: Dense(8, kernel_initializer=RandomUniform(-1, 2, seed=9),"
        " kernel_regularizer=l1_l2(0.1, 0.2)) Dense(2)"
        " optimizer: SGD(ExponentialDecay(0.1, 1000, 0.96), momentum=0.9)"
        " loss: huber(delta=2.0) metrics: [accuracy, mae]"
        " train { epochs: 3 early_stopping: true } execute { device: \"cpu\" }"
        " framework: \"pytorch\" }",
        "network A { input: (4,) layers: Dense(8) @ \"cpu\" Dense(2)"
        " optimizer: Adam(learning_rate=\"ExponentialDecay(HPO(log_range(1e-4, 1e-2)), 100, 0.9)\") }",
        "custom Twice(k, m=[1, 2]) -> (8,)\ncustom Open()\nnetwork A { input: (4,) layers: Twice(k=2) Dense(2) Open() }",
        "network A { input: (4,) layers: MyLayer(1, b=[2, 3]) }",
        "network A { input: (4,) layers: Lambda(\"lambda x: x * 2\", output_shape=(4,)) Dense(2) }",
    };
    int n = 0;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        bool compiles = round_trips(programs[i]);
        n += compiles;
        if (!compiles) print_message("does not compile: %s\n", programs[i]);
    }
    assert_int_equal(n, sizeof programs / sizeof *programs);
}

/* ---- language.md 9, by hand; params of a call without arguments are {} (22) ---- */

static void expect_data(const char *program, const char *member, const char *want) {
    outcome *o = of_program(program);
    if (!o->unit) fail_msg("%s\n%s", program, o->err.msg);
    NN_JSON *got = nn_model_data(o->unit, NN_MODEL_DATA_REFERENCE), *expected = json(want);
    expect_json(expected, member ? nn_json_get(got, member) : got, program);
    done(o);
}

TEST(example_a_is_as_specified) {
    expect_data("network SimpleNet { input: (28, 28, 1) layers: Dense(10) }", NULL,
                "{\"name\":\"SimpleNet\",\"input\":{\"type\":\"Input\",\"shape\":[28,28,1]},"
                "\"layers\":[{\"type\":\"Dense\",\"params\":{\"units\":10},\"sublayers\":[]}]}");
}

TEST(example_b_is_as_specified) {
    expect_data(
        "network TestModel { input: (None,28,28,1)\n"
        "layers: Conv2D(32,(3,3),\"relu\") MaxPooling2D((2,2)) Flatten() Dense(128,\"relu\")\n"
        "Dense(10,\"softmax\")\nloss: \"categorical_crossentropy\"\n"
        "optimizer: Adam(learning_rate=0.001)\ntrain { epochs: 10 batch_size: 32 } }",
        NULL,
        "{\"name\":\"TestModel\",\"input\":{\"type\":\"Input\",\"shape\":[null,28,28,1]},"
        "\"layers\":["
        "{\"type\":\"Conv2D\",\"params\":{\"filters\":32,\"kernel_size\":[3,3],"
        "\"activation\":\"relu\"},\"sublayers\":[]},"
        "{\"type\":\"MaxPooling2D\",\"params\":{\"pool_size\":[2,2]},\"sublayers\":[]},"
        "{\"type\":\"Flatten\",\"params\":{},\"sublayers\":[]},"
        "{\"type\":\"Dense\",\"params\":{\"units\":128,\"activation\":\"relu\"},\"sublayers\":[]},"
        "{\"type\":\"Dense\",\"params\":{\"units\":10,\"activation\":\"softmax\"},"
        "\"sublayers\":[]}],"
        "\"loss\":\"categorical_crossentropy\","
        "\"optimizer\":{\"type\":\"Adam\",\"params\":{\"learning_rate\":0.001}},"
        "\"training\":{\"epochs\":10,\"batch_size\":32}}");
}

/* The device stands beside params (22). Its shapes do not fit (13.2), so each layer is looked at on
 * its own. */
TEST(example_c_is_as_specified) {
    static const char *const want[] = {
        "{\"type\":\"Conv2D\",\"params\":{\"filters\":64,\"kernel_size\":[7,7],\"strides\":2},"
        "\"sublayers\":[],\"device\":\"cuda:0\"}",
        "{\"type\":\"TransformerEncoder\",\"params\":{\"num_heads\":8,\"ff_dim\":512},"
        "\"sublayers\":["
        "{\"type\":\"Conv2D\",\"params\":{\"filters\":32,\"kernel_size\":[3,3]},\"sublayers\":[]},"
        "{\"type\":\"Dense\",\"params\":{\"units\":128},\"sublayers\":[]}]}"};
    static const char program[] =
        "network A { input: (224, 224, 3)\nlayers: Conv2D(64,(7,7),strides=2) @ \"cuda:0\"\n"
        "TransformerEncoder(num_heads=8, ff_dim=512) { Conv2D(32,(3,3)) Dense(128) } * 2 }";
    outcome *o = start(program, strlen(program));
    const nn_program *p = nn_parse(o->arena, &o->src, NN_START_PROGRAM, o->diags);
    assert_int_equal(o->diags->errors, 0);
    int i = 0;
    for (const nn_item *it = p->networks->items; it; it = it->next, i++) {
        NN_JSON *got = nn_item_json(it), *expected = json(want[i]);
        expect_json(expected, got, program);
    }
    assert_int_equal(i, 2);
    done(o);
}

TEST(repetitions_are_written_out) {
    static const char encoder[] =
        "{\"type\":\"TransformerEncoder\",\"params\":{\"num_heads\":2},\"sublayers\":["
        "{\"type\":\"Dense\",\"params\":{\"units\":8},\"sublayers\":[]}]}";
    NN_BUF want = {0};
    nn_buf_printf(&want, "[%s,%s]", encoder, encoder);
    expect_data("network A { input: (4, 8)\n"
                "layers: TransformerEncoder(num_heads=2) { Dense(8) } * 2 }",
                "layers", nn_buf_str(&want));
}

/* Of one input its name stands beside its shape; an open first axis is not the batch. */
TEST(inputs_by_call) {
    expect_data("network A { layers: Input(28, 28, 1) Flatten() Dense(3) }", "input",
                "{\"type\":\"Input\",\"shape\":[28,28,1]}");
    expect_data("network A { layers: Input(shape=(None, 8), name=words) LSTM(4) }", "input",
                "{\"type\":\"Input\",\"shape\":[null,null,8],\"name\":\"words\"}");
    expect_data("network A { layers: Input(batch_shape=(32, 8)) Dense(4) }", "input",
                "{\"type\":\"Input\",\"shape\":[8]}");
}

TEST(example_d_is_as_specified) {
    expect_data("network A { input: (4,)\n"
                "layers: Dense(HPO(choice(128,256))) Dropout(HPO(range(0.3,0.7,step=0.1)))\n"
                "optimizer: Adam(learning_rate=HPO(log_range(1e-4,1e-2)))\n"
                "train { search_method: \"bayesian\" } }",
                NULL,
                "{\"name\":\"A\",\"input\":{\"type\":\"Input\",\"shape\":[4]},\"layers\":["
                "{\"type\":\"Dense\",\"params\":{\"units\":{\"hpo\":{\"type\":\"categorical\","
                "\"values\":[128,256]}}},\"sublayers\":[]},"
                "{\"type\":\"Dropout\",\"params\":{\"rate\":{\"hpo\":{\"type\":\"range\","
                "\"start\":0.3,\"end\":0.7,\"step\":0.1}}},\"sublayers\":[]}],"
                "\"optimizer\":{\"type\":\"Adam\",\"params\":{\"learning_rate\":{\"hpo\":{"
                "\"type\":\"log_range\",\"low\":0.0001,\"high\":0.01}}}},"
                "\"training\":{\"search_method\":\"bayesian\"}}");
}

/* What a test of the reference wants. */
TEST(example_e_is_as_specified) {
    expect_data("network A { input: (4,) layers: Dense(2)\noptimizer: "
                "SGD(learning_rate=ExponentialDecay(0.1, 1000, 0.96), momentum=0.9) }",
                "optimizer",
                "{\"type\":\"SGD\",\"params\":{\"learning_rate\":{\"type\":\"ExponentialDecay\","
                "\"params\":{\"initial_learning_rate\":0.1,\"decay_steps\":1000,"
                "\"decay_rate\":0.96}},\"momentum\":0.9}}");
}

/* A shape is a list, (10) as well. */
TEST(example_f_is_as_specified) {
    static const char program[] =
        "network A { input: { image: (224, 224, 3), metadata: (10) }\nlayers:\n"
        "image: { Conv2D(4, 3) GlobalAveragePooling2D() }\nmetadata: { Dense(4) }\n"
        "Concatenate() Dense(2) }";
    expect_data(program, "input",
                "{\"image\":{\"type\":\"Input\",\"shape\":[224,224,3]},"
                "\"metadata\":{\"type\":\"Input\",\"shape\":[10]}}");
    expect_data(program, "layers",
                "[{\"type\":\"Branch\",\"name\":\"image\",\"sublayers\":["
                "{\"type\":\"Conv2D\",\"params\":{\"filters\":4,\"kernel_size\":3},"
                "\"sublayers\":[]},"
                "{\"type\":\"GlobalAveragePooling2D\",\"params\":{},\"sublayers\":[]}]},"
                "{\"type\":\"Branch\",\"name\":\"metadata\",\"sublayers\":["
                "{\"type\":\"Dense\",\"params\":{\"units\":4},\"sublayers\":[]}]},"
                "{\"type\":\"Concatenate\",\"params\":{},\"sublayers\":[]},"
                "{\"type\":\"Dense\",\"params\":{\"units\":2},\"sublayers\":[]}]");
    CHECK(round_trips(program));
}

TEST(canonical_form_is_as_specified) {
    outcome *o =
        of_program("network N { input: (None, 4)\nlayers: Dense(2, relu, name=a) @ \"cpu\"\n"
                   "loss: mse\noptimizer: adam }");
    if (!o->unit) fail_msg("%s", o->err.msg);
    NN_JSON *got = nn_model_data(o->unit, NN_MODEL_DATA_CANONICAL);
    NN_JSON *want = json(
        "{\"type\":\"model\",\"name\":\"N\",\"inputs\":[{\"name\":\"input\",\"shape\":[4],"
        "\"batch\":true}],\"layers\":[{\"type\":\"Dense\",\"params\":{\"units\":2,"
        "\"activation\":\"relu\",\"name\":\"a\"},\"sublayers\":[],\"device\":\"cpu\",\"id\":\"a\","
        "\"span\":[2,9,2,39]}],\"outputs\":[\"a\"],"
        "\"loss\":{\"type\":\"mean_squared_error\",\"params\":{}},"
        "\"optimizer\":{\"type\":\"Adam\",\"params\":{}},"
        "\"training\":{},\"execution\":{},\"warnings\":[]}");
    expect_json(want, got, o->src.text);
    done(o);
}

/* ---- other generations, and what is no model_data ---- */

static nn_graph *graph_of(outcome *o) {
    if (!o->unit) fail_msg("%s\n%s", o->src.text, o->err.msg);
    return o->unit->graph;
}

TEST(a_number_is_read_as_a_shape) {
    static const char text[] = "{\"input\":{\"shape\":10},\"layers\":[{\"type\":\"Dense\","
                               "\"params\":{\"units\":2}}]}";
    outcome *o = of_json(text, strlen(text));
    assert_int_equal(graph_of(o)->nodes[0].shape.rank, 1);
    assert_int_equal(graph_of(o)->nodes[0].shape.dim[0], 10);
    done(o);
}

TEST(older_generations_are_read) {
    static const char *const old[] = {
        "{\"type\":\"model\",\"name\":\"A\",\"input\":{\"type\":\"Input\",\"shape\":[null,8,8,3]},"
        "\"layers\":[{\"type\":\"Residual\",\"sub_layers\":[{\"type\":\"Conv2D\",\"params\":"
        "{\"filters\":3,\"kernel_size\":3,\"padding\":\"same\"}}]},{\"type\":\"Flatten\"},"
        "{\"type\":\"Output\",\"params\":{\"units\":10,\"activation\":\"softmax\"}}],"
        "\"loss\":{\"value\":\"categorical_crossentropy\"},\"optimizer\":\"adam\","
        "\"training_config\":{\"epochs\":2,\"batch_size\":{\"hpo\":{\"type\":\"categorical\","
        "\"values\":[16,32],\"original_values\":[\"16\",\"32\"]}}},"
        "\"execution_config\":{\"device\":\"auto\"},\"shape_info\":[],\"warnings\":[],"
        "\"framework\":\"tensorflow\"}",
        "{\"name\":\"A\",\"inputs\":[{\"name\":\"input\",\"shape\":[8,8,3],\"batch\":false}],"
        "\"layers\":[{\"type\":\"ResidualConnection\",\"sublayers\":[{\"type\":\"Conv2D\","
        "\"params\":{\"args\":[3,3],\"padding\":\"same\"}}]},{\"type\":\"Flatten\",\"params\":null},"
        "{\"type\":\"Output\",\"params\":[10,\"softmax\"]}],"
        "\"loss\":{\"type\":\"categorical_crossentropy\",\"params\":{}},"
        "\"optimizer\":{\"type\":\"Adam\",\"params\":null},\"training\":{\"epochs\":2}}"};
    outcome *a = of_json(old[0], strlen(old[0])), *b = of_json(old[1], strlen(old[1]));
    NN_BUF x = {0}, y = {0};
    nn_graph_print(graph_of(a), &x);
    nn_graph_print(graph_of(b), &y);
    assert_string_equal(nn_buf_str(&x), nn_buf_str(&y));
    assert_int_equal(a->diags->warnings, b->diags->warnings);
    done(a);
    done(b);
}

static void expect_refusal(const char *text, const char *fragment) {
    outcome *o = of_json(text, strlen(text));
    bool said = strstr(o->err.msg, fragment) != NULL;
    for (const nn_diag *d = o->diags->first; d; d = d->next)
        said = said || strstr(d->message, fragment);
    if (o->unit || !said) fail_msg("%s\nsays '%s', not '%s'", text, o->err.msg, fragment);
    done(o);
}

TEST(what_is_no_model_data_is_told) {
#define DOC(input, layers) "{\"input\":" input ",\"layers\":" layers "}"
    expect_refusal("[]", "an object");
    expect_refusal("7", "an object");
    expect_refusal("", "");
    expect_refusal("{", "");
    expect_refusal("{\"layers\":[]}", "input");
    expect_refusal(DOC("{\"shape\":\"x\"}", "[]"), "input: expected an input with a 'shape'");
    expect_refusal(DOC("{\"shape\":[4]}", "7"), "layers: expected a list of layers");
    expect_refusal(DOC("{\"shape\":[4]}", "[7]"), "layers[0]: expected a layer");
    expect_refusal(DOC("{\"shape\":[4]}", "[{\"type\":\"Dense\"}]"), "units");
    expect_refusal(DOC("{\"shape\":[4]}", "[{\"type\":\"Dense\",\"params\":7}]"),
                   "layers[0].params: expected an object");
    expect_refusal(DOC("{\"shape\":[4]}", "[{\"type\":\"Dens\",\"params\":{\"units\":2}}]"),
                   "unknown layer 'Dens'");
    expect_refusal(
        DOC("{\"shape\":[4]}", "[{\"type\":\"Dense\",\"params\":{\"units\":{\"hpo\":7}}}]"),
        "layers[0].params.units: expected an hpo");
    expect_refusal(DOC("{\"shape\":[4]}", "[{\"type\":\"Dense\",\"params\":{\"units\":{\"hpo\":"
                                          "{\"type\":\"categorical\",\"values\":[]}}}}]"),
                   "layers[0].params.units");
    expect_refusal("{\"custom\":7}", "custom: expected a list");
    expect_refusal("{\"custom\":[{\"name\":\"A\",\"params\":[7]}]}", "custom: expected an object");
    expect_refusal(DOC("{\"shape\":[-4]}", "[]"), "");
    expect_refusal("{\"input\":{\"shape\":[4]},\"layers\":[],\"optimizer\":7}", "optimizer");
    expect_refusal("{\"input\":{\"shape\":[4]},\"layers\":[],\"training\":[1]}",
                   "training: expected an object");
#undef DOC
}
