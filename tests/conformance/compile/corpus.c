/* SPDX-License-Identifier: MIT */
/* corpus.c - the programs of the corpus (accept.jsonl, reject.jsonl, shapes.jsonl; their README
 * says what the fields mean). The corpus lies at $NEURAL_CORPUS or ../shared/corpus; without it
 * the tests are skipped. */
#include "base/file.h"
#include "compile/model_data.h"
#include "compile/space.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Rows where we do something else on purpose, and why. */
/* clang-format off */
static const struct {
    const char *id, *why;
} deviations[] = {
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME0",
     "activations are checked against the table (8.4); the row tests the lexer"},
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME1",
     "activations are checked against the table (8.4); the row tests the lexer"},
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME2",
     "activations are checked against the table (8.4); the row tests the lexer"},
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER1",
     "units is a positive integer (language.md 6.1)"},
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER2",
     "units is a positive integer (language.md 6.1)"},
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER3",
     "units is a positive integer (language.md 6.1)"},
    {"test_parser:test_rule_precedence:2",
     "its shape does not fit; shapes.jsonl expects the same error"},
    {"test_parser:test_rule_precedence:3",
     "its shape does not fit; shapes.jsonl expects the same error"},
    {"test_parser:test_grammar_ambiguity:2",
     "its shape does not fit; shapes.jsonl expects the same error"},
    {"parser.test_basic:test_token_patterns-STRING-valid_inputs0-:STRING3",
     "activations are checked against the table (8.4); the row tests the lexer"},
    {"parser.test_basic:test_token_patterns-CUSTOM_LAYER-valid_inputs1-:CUSTOM_LAYER1",
     "an unknown name is an error unless it ends in Layer (10)"},
    {"parser.test_basic:test_token_patterns-CUSTOM_LAYER-valid_inputs1-:CUSTOM_LAYER2",
     "an unknown name is an error unless it ends in Layer (10)"},
    {"parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER2",
     "units is a positive integer (language.md 6.1)"},
    {"shape:net:parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER2",
     "units is a positive integer (language.md 6.1)"},
    {"parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER3",
     "units is a positive integer (language.md 6.1)"},
    {"shape:net:parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER3",
     "units is a positive integer (language.md 6.1)"},
    {"doc:examples-Examples:93",
     "unknown keys are refused with a suggestion (issue: bad input)"},
    {"test_parser:test_network_structure_validation-incompatible-layer-sequence",
     "Dense maps the last axis (13.2): (28, 28, 128) is an image for Conv2D"},
    {"test_parser:test_network_parsing-nested-vit",
     "a block must give back its input's shape (6.6); this one makes (107, 107, 128) of (109, 109, 64)"},
    {"example:examples-nested_layers.neural",
     "a block must give back its input's shape (6.6); this one makes (107, 107, 128) of (109, 109, 64)"},
    {"shape:net:test_parser:test_network_parsing-nested-vit",
     "a block must give back its input's shape (6.6); this one makes (107, 107, 128) of (109, 109, 64)"},
    {"shape:net:example:examples-nested_layers.neural",
     "a block must give back its input's shape (6.6); this one makes (107, 107, 128) of (109, 109, 64)"},
    {"test_parser:test_rule_precedence:4",
     "8 heads do not divide 1 feature (6.6); the row tests the grammar"},
    {"test_parser:test_grammar_ambiguity:3",
     "8 heads do not divide 1 feature (6.6); the row tests the grammar"},
    {"test_parser:test_edge_case_layer_parsing-conv3d-nested-tuple",
     "((3, 3), 3) is a value but no kernel, as the row's note says"},
    {"hpo.test_hpo_parser:test_basic_hpo_types-choice-floats",
     "candidates are checked like values (appendix A): units is an integer"},
    {"hpo.test_hpo_parser:test_basic_hpo_types-range-float-step",
     "candidates are checked like values (appendix A): units is an integer"},
    {"hpo.test_hpo_parser:test_basic_hpo_types-log-range-scientific",
     "candidates are checked like values (appendix A): units is an integer"},
    {"hpo.test_hpo_parser:test_basic_hpo_types-log-range-decimal",
     "candidates are checked like values (appendix A): units is an integer"},
    {"test_parser:test_macro_parsing-macro-undefined",
     "wording of section 3: unknown layer 'X', did you mean"},
    {"test_parser:test_layer_validation_errors-dense-invalid-units-type",
     "one wording for one rule: Dense units must be a positive integer, got"},
    {"test_parser:test_layer_validation_errors-lstm-zero-units",
     "one wording for one rule: LSTM units must be a positive integer, got 0"},
    {"test_parser:test_layer_validation_errors-dropout-high-rate",
     "one wording for one rule: must be, not should be"},
    {"test_parser:test_layer_validation_errors-conv2d-negative-kernel",
     "one wording for one rule: must be, not should be"},
    {"test_parser:test_network_structure_validation-missing-input-section",
     "wording of section 18: network 'N' has no input"},
    {"test_parser:test_network_structure_validation-missing-layers-section",
     "wording of section 18: network 'N' has no layers"},
    {"test_parser:test_network_structure_validation-empty-layers-section",
     "wording of section 18: network 'N' has no layers"},
    {"test_parser:test_network_structure_validation-duplicate-input-section",
     "wording of section 18: duplicate input; first given at L:C"},
    {"example:examples-sentiment.neural",
     "(100, 300) into Embedding is a rank error, as the row's note says"},
    {"example:neuralpaper-backend-models-resnet.neural",
     "a residual that changes the shape needs projection=true (10)"},
    {"shape:test_transformer_encoder_pytorch",
     "(b, seq, d), as section 22 decides"},
    {"shape:test_unknown_layer_type",
     "the shape of a custom layer is not known (13.2)"},
    {"shape:test_default_handler_layer",
     "the shape of a custom layer is not known (13.2)"},
    {NULL, NULL},
};
/* clang-format on */

static bool deviates(const char *id) {
    for (int i = 0; deviations[i].id; i++)
        if (strcmp(deviations[i].id, id) == 0) return true;
    return false;
}

typedef struct tally {
    int rows, wrong, deviations;
} tally;

static bool about_the_place(const char *code);

/* ---- compiling one row ---- */

typedef struct result {
    nn_arena *arena;
    nn_diags *diags;
    nn_unit *unit;   /* NULL: rejected */
    bool only_place; /* all errors are about where a layer stands */
} result;

static result compile_text(const char *given) {
    result r = {.arena = nn_arena_new(NULL, "row", 0), .only_place = true};
    nn_source *src = NN_NEW(r.arena, nn_source);
    const char *text = nn_arena_strdup(r.arena, given);
    *src = (nn_source){"row", text, strlen(text)};
    r.diags = nn_diags_new(r.arena, src);
    nn_err err;
    nn_compile(r.arena, src, NULL, r.diags, &r.unit, &err);
    for (const nn_diag *d = r.diags->first; d; d = d->next) {
        if (d->severity != NN_SEV_ERROR) continue;
        r.only_place = r.only_place && about_the_place(d->code);
    }
    return r;
}

static void complain(const nn_json *row, const result *r, const char *what) {
    NN_BUF text = {0};
    if (r) nn_diags_print(r->diags, false, &text);
    print_error("%s: %s\n%s\n%s\n", nn_json_str(nn_json_get(row, "id"), "?"), what,
                nn_json_str(nn_json_get(row, "dsl"), ""), nn_buf_str(&text));
}

/* Counts a row; `what` is wrong with it (NULL: nothing). A listed row must be wrong, so that the
 * list stays short. False if that was told. */
static bool settle(const nn_json *row, const result *r, const char *what, tally *t) {
    bool listed = deviates(nn_json_str(nn_json_get(row, "id"), ""));
    t->deviations += what && listed;
    if (!what == !listed) return true;
    t->wrong++;
    complain(row, what ? r : NULL, what ? what : "is listed as a deviation and is none");
    return false;
}

/* ---- comparing with what is expected: the rules of the corpus's README and language.md 22 ---- */

static bool same(const nn_json *want, const nn_json *got, bool subset);

static bool is_empty(const nn_json *v) {
    nn_json_type t = nn_json_typeof(v);
    bool container = t == NN_JSON_ARRAY || t == NN_JSON_OBJECT;
    return t == NN_JSON_NULL || (container && nn_json_size(v) == 0);
}

static bool is_number(const nn_json *v) {
    return nn_json_typeof(v) == NN_JSON_INT || nn_json_typeof(v) == NN_JSON_REAL;
}

static const char *canonical_type(const char *type) {
    const nn_layer *l = nn_layer_find(type);
    return l ? l->name : type;
}

/* Keys that hold the same thing under names that the tests' generations give it. */
static const char *const synonyms[][2] = {
    {"training_config", "training"        },
    {"execution",       "execution_config"},
    {"sub_layers",      "sublayers"       },
    {"min",             "start"           },
    {"min",             "low"             },
    {"max",             "high"            },
    {"max",             "end"             },
    {"start",           "low"             },
    {"end",             "high"            },
    {"low",             "start"           },
    {"high",            "end"             },
    {NULL,              NULL              },
};

static const nn_json *member(const nn_json *o, const char *key) {
    const nn_json *v = nn_json_get(o, key);
    for (int i = 0; !v && synonyms[i][0]; i++)
        if (strcmp(key, synonyms[i][0]) == 0) v = nn_json_get(o, synonyms[i][1]);
    if (!v && strcmp(key, "device") == 0) v = nn_json_get(nn_json_get(o, "params"), "device");
    return v;
}

/* What older generations added and ours leaves out, and what says nothing when it is the default.
 */
static bool is_passed_over(const char *key) {
    static const char *const keys[] = {
        "output_layer",     "output_shape", "framework", "shape_info",
        "execution_config", "warnings",     NULL};
    for (int i = 0; keys[i]; i++)
        if (strcmp(keys[i], key) == 0) return true;
    return false;
}

typedef struct pair {
    const nn_json *other;
    bool subset, equal;
} pair;

/* {"type": "ExponentialDecay", "args": [0.1, 1000]} against its named parameters, in order. */
typedef struct ordered {
    const nn_json *args;
    size_t i;
    bool equal;
} ordered;

static bool next_argument(void *ctx, const char *key, nn_json *v) {
    ordered *x = ctx;
    (void)key;
    x->equal = same(nn_json_at(x->args, x->i++), v, false);
    return x->equal;
}

static bool same_args(const nn_json *args, const nn_json *params) {
    ordered x = {args, 0, true};
    nn_json_each(params, next_argument, &x);
    return x.equal && x.i == nn_json_size(args);
}

static bool same_member(void *ctx, const char *key, nn_json *want) {
    pair *p = ctx;
    const nn_json *got = member(p->other, key);
    bool device_in_params = strcmp(key, "params") == 0 && nn_json_get(want, "device");
    if (is_passed_over(key) || (is_empty(want) && is_empty(got))) return true;
    if (strcmp(key, "type") == 0 && strcmp(nn_json_str(want, ""), "model") == 0) return true;
    if (strcmp(key, "type") == 0)
        p->equal = strcmp(canonical_type(nn_json_str(want, "?")),
                          canonical_type(nn_json_str(got, ""))) == 0;
    else if (strcmp(key, "args") == 0 && !got)
        p->equal = same_args(want, nn_json_get(p->other, "params"));
    else if (device_in_params)
        p->equal = is_empty(got) || same(want, got, true);
    else
        p->equal = same(want, got, p->subset);
    return p->equal;
}

/* Whether every member of `got` is wanted (exact), apart from empty ones. */
static bool wanted_member(void *ctx, const char *key, nn_json *got) {
    pair *p = ctx;
    bool known = nn_json_get(p->other, key) || is_empty(got) || is_passed_over(key);
    for (int i = 0; !known && synonyms[i][0]; i++)
        known = strcmp(key, synonyms[i][1]) == 0 && nn_json_get(p->other, synonyms[i][0]);
    if (strcmp(key, "device") == 0) known = true; /* inside of params there */
    if (strcmp(key, "params") == 0 && nn_json_get(p->other, "args")) known = true;
    p->equal = known;
    return known;
}

static bool same_object(const nn_json *want, const nn_json *got, bool subset) {
    pair p = {got, subset, true};
    nn_json_each(want, same_member, &p);
    if (!p.equal || subset) return p.equal;
    p.other = want;
    nn_json_each(got, wanted_member, &p);
    return p.equal;
}

static bool same_array(const nn_json *want, const nn_json *got, bool subset) {
    if (nn_json_size(want) != nn_json_size(got)) return false;
    for (size_t i = 0; i < nn_json_size(want); i++)
        if (!same(nn_json_at(want, i), nn_json_at(got, i), subset)) return false;
    return true;
}

static bool same(const nn_json *want, const nn_json *got, bool subset) {
    if (is_empty(want) && is_empty(got)) return true;
    if (is_number(want) && is_number(got)) return nn_json_num(want, 0) == nn_json_num(got, 1);
    if (nn_json_typeof(want) == NN_JSON_STRING && nn_json_typeof(got) == NN_JSON_OBJECT)
        return strcasecmp(nn_json_str(want, ""), nn_json_str(nn_json_get(got, "type"), "?")) == 0;
    if (nn_json_typeof(want) != nn_json_typeof(got)) return false;
    switch (nn_json_typeof(want)) {
    case NN_JSON_OBJECT:
        return same_object(want, got, subset);
    case NN_JSON_ARRAY:
        return same_array(want, got, subset);
    case NN_JSON_STRING:
        return strcmp(nn_json_str(want, ""), nn_json_str(got, "")) == 0;
    default:
        return nn_json_equal(want, got);
    }
}

/* ---- accept and reject ---- */

/* What the row's text is as JSON, by its start rule; NULL if it was rejected. */
static nn_json *data_of(const result *r, const char *dsl, const char *rule) {
    nn_start start = strcmp(rule, "layer") == 0    ? NN_START_LAYER
                     : strcmp(rule, "define") == 0 ? NN_START_DEFINE
                                                   : NN_START_RESEARCH;
    if (strcmp(rule, "network") == 0)
        return r->unit ? nn_model_data(r->unit, NN_MODEL_DATA_REFERENCE) : NULL;
    nn_source *src = NN_NEW(r->arena, nn_source);
    *src = (nn_source){"row", dsl, strlen(dsl)};
    nn_diags *diags = nn_diags_new(r->arena, src);
    nn_program *p = nn_parse(r->arena, src, start, diags);
    if (diags->errors) return NULL;
    if (start == NN_START_RESEARCH) return nn_research_data(p);
    if (start == NN_START_LAYER)
        return p->networks && p->networks->items ? nn_item_json(p->networks->items) : NULL;
    nn_define *d = p->defines;
    nn_item group = {.kind = NN_ITEM_GROUP, .items = d ? d->items : NULL};
    nn_json *o = d ? nn_item_json(&group) : NULL;
    if (o) nn_json_set(o, "type", nn_json_new_str(d->name));
    return o;
}

static const nn_json *value_at(const nn_json *v, const nn_json *path) {
    for (size_t i = 0; i < nn_json_size(path); i++) {
        const nn_json *part = nn_json_at(path, i);
        v = nn_json_typeof(part) == NN_JSON_STRING ? nn_json_get(v, nn_json_str(part, ""))
                                                   : nn_json_at(v, (size_t)nn_json_int(part, 0));
    }
    return v;
}

static bool as_expected(const nn_json *row, const result *r, const nn_json *got) {
    const nn_json *want = nn_json_get(row, "expected");
    const char *kind = nn_json_str(nn_json_get(row, "expected_kind"), "");
    if (strcmp(kind, "hpo-count") == 0)
        return r->unit &&
               r->unit->space->n == nn_json_int(nn_json_get(row, "expected_hpo_count"), -1);
    if (strcmp(kind, "exact-at") == 0)
        return same(want, value_at(got, nn_json_get(row, "at")), false);
    bool subset = strcmp(kind, "subset") == 0;
    return (!subset && strcmp(kind, "exact") != 0) || same(want, got, subset);
}

/* A layer on its own: what is said of the network around it does not count. */
static bool about_the_place(const char *code) {
    return strcmp(code, "shape") == 0 || strcmp(code, "bad-branch") == 0;
}

static bool rule_of_values(const char *rule, const char *dsl) {
    return strcmp(rule, "layer") == 0 && strncmp(dsl + strspn(dsl, " \n"), "HPO(", 4) == 0;
}

/* A single layer is put into a network whose input suits most layers, a value into a Dense. */
static result compile_row(const nn_json *row, const char *rule) {
    const char *dsl = nn_json_str(nn_json_get(row, "dsl"), "");
    bool layers = strstr(dsl, "choice(Dense(") || strstr(dsl, "choice(Conv");
    NN_BUF text = {0};
    const nn_json *setup = nn_json_get(row, "setup");
    for (size_t i = 0; i < nn_json_size(setup); i++)
        nn_buf_puts(&text, nn_json_str(nn_json_get(nn_json_at(setup, i), "dsl"), ""));
    if (strcmp(rule, "network") == 0)
        nn_buf_puts(&text, dsl);
    else if (strcmp(rule, "layer") == 0)
        nn_buf_printf(&text,
                      rule_of_values(rule, dsl) && !layers
                          ? "network T { input: (8,) layers: TestLayer(value=%s\n) }"
                          : "network T { input: (32, 32, 3) layers: %s\n}",
                      dsl);
    else if (strcmp(rule, "define") == 0)
        nn_buf_printf(&text, "%s\nnetwork T { input: (8,) layers: Flatten() }", dsl);
    return compile_text(nn_buf_str(&text));
}

/* The message that a test asserts, in any letter case. */
static bool says(const result *r, const nn_json *row) {
    const char *want =
        nn_json_str(nn_json_get(nn_json_get(row, "expected_error"), "message_fragment"), NULL);
    for (const nn_diag *d = r->diags->first; want && d; d = d->next)
        if (strcasestr(d->message, want)) return true;
    return !want;
}

static void verdict_row(const nn_json *row, bool accept, tally *t) {
    const char *rule = nn_json_str(nn_json_get(row, "start_rule"), "");
    const char *dsl = nn_json_str(nn_json_get(row, "dsl"), "");
    const char *ours = nn_json_str(nn_json_get(nn_json_get(row, "ours"), "verdict"), NULL);
    if (ours) accept = strcmp(ours, "reject") != 0;
    bool research = strcmp(rule, "research") == 0;
    result r = compile_row(row, rule);
    NN_JSON *got = data_of(&r, dsl, rule);
    bool accepted = got && (research || r.unit || (strcmp(rule, "network") != 0 && r.only_place));
    const char *what = accepted != accept                       ? accept ? "rejected" : "accepted"
                       : accepted && !as_expected(row, &r, got) ? "other data"
                       : !accepted && !says(&r, row)            ? "another message"
                                                                : NULL;
    t->rows++;
    if (!settle(row, &r, what, t) && got) {
        NN_BUF text = {0};
        nn_json_dump(got, 0, &text);
        print_error("got %s\n", nn_buf_str(&text));
    }
    nn_arena_free(r.arena);
}

static void accept_row(const nn_json *row, tally *t) {
    verdict_row(row, true, t);
}

static void reject_row(const nn_json *row, tally *t) {
    verdict_row(row, false, t);
}

/* ---- shapes ---- */

/* [null, 26, 26, 32] against a shape without the batch. */
static bool same_shape(const nn_json *want, const nn_shape *got) {
    if ((int)nn_json_size(want) != got->rank + 1) return false;
    for (int i = 0; i < got->rank; i++)
        if (nn_json_int(nn_json_at(want, (size_t)i + 1), NN_DIM_UNKNOWN) != got->dim[i])
            return false;
    return true;
}

static bool same_shapes(const nn_unit *u, const nn_json *want) {
    size_t n = 0;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        if (l->parent >= 0 || l->layer->role == NN_ROLE_INPUT) continue;
        if (!same_shape(nn_json_at(want, n++), &l->out)) return false;
    }
    return n == nn_json_size(want);
}

/* Writes "key=value, " for each parameter of a layer's dictionary. */
static bool write_param(void *ctx, const char *key, nn_json *v) {
    nn_buf_printf(ctx, "%s=", key);
    nn_json_dump(v, 0, ctx);
    nn_buf_puts(ctx, ", ");
    return true;
}

static bool write_bare_param(void *ctx, const char *key, nn_json *v) {
    return strcmp(key, "type") == 0 || write_param(ctx, key, v);
}

/* The row's list of layers as a program; the batch in front of the shape is left out. */
static void write_program(const nn_json *row, nn_buf *out) {
    const nn_json *shape = nn_json_get(row, "input_shape"), *layers = nn_json_get(row, "layers");
    nn_buf_puts(out, "network Row { input: (");
    for (size_t i = 1; i < nn_json_size(shape); i++)
        nn_buf_printf(out, "%d,", (int)nn_json_int(nn_json_at(shape, i), 0));
    nn_buf_puts(out, ") layers: ");
    for (size_t i = 0; i < nn_json_size(layers); i++) {
        const nn_json *l = nn_json_at(layers, i), *params = nn_json_get(l, "params");
        nn_buf_printf(out, "%s(", nn_json_str(nn_json_get(l, "type"), "?"));
        if (nn_json_typeof(params) == NN_JSON_OBJECT) nn_json_each(params, write_param, out);
        if (!params) nn_json_each(l, write_bare_param, out);
        nn_buf_puts(out, ") ");
    }
    nn_buf_puts(out, "}");
}

/* Rows of the reference's own tests: a list of layers, the last shape or an error. */
static void layers_row(const nn_json *row, tally *t) {
    const nn_json *want = nn_json_get(row, "expected_output");
    bool error = nn_json_typeof(nn_json_get(row, "expected_error")) == NN_JSON_STRING;
    bool shape = nn_json_typeof(want) == NN_JSON_ARRAY;
    if ((!error && !shape) || nn_json_size(nn_json_get(row, "input_shape")) < 2) return;
    NN_BUF text = {0};
    write_program(row, &text);
    result r = compile_text(nn_buf_str(&text));
    bool right =
        error ? !r.unit : r.unit && same_shape(want, &r.unit->layers[r.unit->n_layers - 1].out);
    settle(row, &r, right ? NULL : nn_buf_str(&text), t);
    nn_arena_free(r.arena);
}

/* What the reference cannot know, ours does: shapes of a search space at its first candidates. */
static bool knows_more(const nn_json *row) {
    const char *e = nn_json_str(nn_json_get(row, "reference_error"), "");
    return strstr(e, "HPO unresolved") != NULL || strstr(e, "no rule") != NULL;
}

/* Rows with a program give the shapes by Keras's rules, or the error. */
static void shapes_row(const nn_json *row, tally *t) {
    t->rows++;
    if (!nn_json_get(row, "dsl")) {
        layers_row(row, t);
        return;
    }
    result r = compile_text(nn_json_str(nn_json_get(row, "dsl"), ""));
    bool error = nn_json_typeof(nn_json_get(row, "reference_error")) == NN_JSON_STRING;
    bool right = error ? !r.unit || knows_more(row)
                       : r.unit && same_shapes(r.unit, nn_json_get(row, "reference_shapes"));
    settle(row, &r, right ? NULL : "other shapes", t);
    nn_arena_free(r.arena);
}

static void run_file(const char *file, void (*each)(const nn_json *, tally *)) {
    const char *dir = getenv("NEURAL_CORPUS");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir ? dir : "../shared/corpus", file);
    NN_BUF text = {0};
    nn_err err;
    if (nn_file_read(path, 64 << 20, &text, &err)) {
        print_message("%s: skipped: %s\n", file, err.msg);
        skip();
    }
    tally t = {0};
    for (char *line = text.p, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        NN_JSON *row = NULL;
        CHECK_OK(nn_json_parse(line, end ? (size_t)(end - line) : strlen(line), &row, &err), &err);
        each(row, &t);
    }
    print_message("%s: %d rows, %d deviations\n", file, t.rows, t.deviations);
    assert_int_equal(t.wrong, 0);
}

TEST(corpus_accept) {
    run_file("accept.jsonl", accept_row);
}
TEST(corpus_reject) {
    run_file("reject.jsonl", reject_row);
}
TEST(corpus_shapes) {
    run_file("shapes.jsonl", shapes_row);
}
