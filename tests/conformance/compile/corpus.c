/* SPDX-License-Identifier: MIT */
/* corpus.c - the programs of the corpus (accept.jsonl, reject.jsonl, shapes.jsonl; their README
 * says what the fields mean) that the layers built so far cover. A row that needs what is not built
 * yet is counted as not covered. The corpus lies at $NEURAL_CORPUS or ../shared/corpus; without it
 * the tests are skipped. */
#include "base/file.h"
#include "compile/compile.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows where we do something else on purpose, and why. */
static const struct {
    const char *id, *why;
} deviations[] = {
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME0",
     "activations are checked against the table (8.4); the row tests the lexer"                                                                        },
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME1",
     "activations are checked against the table (8.4); the row tests the lexer"                                                                        },
    {"test_parser:test_token_patterns-NAME-valid_inputs0-:NAME2",
     "activations are checked against the table (8.4); the row tests the lexer"                                                                        },
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER1",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER2",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"test_parser:test_token_patterns-NUMBER-valid_inputs1-:NUMBER3",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"test_parser:test_rule_precedence:2",
     "its shape does not fit; shapes.jsonl expects the same error"                                                                                     },
    {"test_parser:test_rule_precedence:3",
     "its shape does not fit; shapes.jsonl expects the same error"                                                                                     },
    {"test_parser:test_grammar_ambiguity:2",
     "its shape does not fit; shapes.jsonl expects the same error"                                                                                     },
    {"parser.test_basic:test_token_patterns-STRING-valid_inputs0-:STRING3",
     "activations are checked against the table (8.4); the row tests the lexer"                                                                        },
    {"parser.test_basic:test_token_patterns-CUSTOM_LAYER-valid_inputs1-:CUSTOM_LAYER1",
     "an unknown name is an error unless it ends in Layer (10)"                                                                                        },
    {"parser.test_basic:test_token_patterns-CUSTOM_LAYER-valid_inputs1-:CUSTOM_LAYER2",
     "an unknown name is an error unless it ends in Layer (10)"                                                                                        },
    {"parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER2",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"shape:net:parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER2",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER3",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"shape:net:parser.test_basic:test_token_patterns-NUMBER-valid_inputs2-:NUMBER3",
     "units is a positive integer (language.md 6.1)"                                                                                                   },
    {"doc:examples-Examples:93",                                                        "unknown keys are refused with a suggestion (issue: bad input)"},
    {"test_parser:test_network_structure_validation-incompatible-layer-sequence",
     "Dense maps the last axis (13.2): (28, 28, 128) is an image for Conv2D"                                                                           },
    {NULL,                                                                              NULL                                                           },
};

static bool deviates(const char *id) {
    for (int i = 0; deviations[i].id; i++)
        if (strcmp(deviations[i].id, id) == 0) return true;
    return false;
}

typedef struct tally {
    int rows, covered, wrong, deviations;
} tally;

/* ---- compiling one row ---- */

typedef struct result {
    nn_arena *arena;
    nn_diags *diags;
    nn_unit *unit; /* NULL: rejected */
    bool uncovered, only_shape;
} result;

static result compile_text(const char *given) {
    result r = {.arena = nn_arena_new(NULL, "row", 0), .only_shape = true};
    nn_source *src = NN_NEW(r.arena, nn_source);
    const char *text = nn_arena_strdup(r.arena, given);
    *src = (nn_source){"row", text, strlen(text)};
    r.diags = nn_diags_new(r.arena, src);
    nn_err err;
    nn_compile(r.arena, src, NULL, r.diags, &r.unit, &err);
    for (const nn_diag *d = r.diags->first; d; d = d->next) {
        if (d->severity != NN_SEV_ERROR) continue;
        r.uncovered = r.uncovered || strcmp(d->code, "not-supported") == 0;
        r.only_shape = r.only_shape && strcmp(d->code, "shape") == 0;
    }
    return r;
}

/* A single layer is put into a network whose input suits most layers; that its shape does not fit
 * there is not its fault. */
static result compile_row(const nn_json *row, const char *rule) {
    const char *dsl = nn_json_str(nn_json_get(row, "dsl"), "");
    if (strcmp(rule, "layer") != 0) return compile_text(dsl);
    NN_BUF text = {0};
    nn_buf_printf(&text, "network T { input: (32, 32, 3) layers: %s\n}", dsl);
    return compile_text(nn_buf_str(&text));
}

static void complain(const nn_json *row, const result *r, const char *what) {
    NN_BUF text = {0};
    if (r) nn_diags_print(r->diags, false, &text);
    print_error("%s: %s\n%s\n%s\n", nn_json_str(nn_json_get(row, "id"), "?"), what,
                nn_json_str(nn_json_get(row, "dsl"), ""), nn_buf_str(&text));
}

/* ---- what an accepted layer must look like in the graph ---- */

static bool is_number(const nn_json *v, double x) {
    return nn_json_num(v, x - 1) == x;
}

/* A number, or a list of them, against the axes of a window. */
static bool is_dims(const nn_json *v, const int64_t *dims) {
    if (nn_json_typeof(v) != NN_JSON_ARRAY)
        return is_number(v, (double)dims[0]) && is_number(v, (double)dims[1]);
    return nn_json_size(v) == 2 && is_number(nn_json_at(v, 0), (double)dims[0]) &&
           is_number(nn_json_at(v, 1), (double)dims[1]);
}

typedef struct layer_view {
    const nn_graph *g;
    const nn_unit_layer *l;
    const nn_node *n; /* its main op */
    bool ok;
} layer_view;

static bool same_activation(const layer_view *v, const char *name) {
    const nn_node *last = &v->g->nodes[v->l->last_node];
    if (last->op == NN_OP_SOFTMAX) return strcmp(name, "softmax") == 0;
    if (last->op != NN_OP_ACTIVATION) return strcmp(name, "linear") == 0;
    return (int)last->attr.activation.kind == nn_act_find(name);
}

static bool check_param(void *ctx, const char *key, nn_json *v) {
    layer_view *x = ctx;
    const nn_node *n = x->n;
    const nn_window *w = n->op == NN_OP_CONV ? &n->attr.conv.window : &n->attr.pool;
    if (strcmp(key, "units") == 0)
        x->ok = is_number(v, (double)n->attr.matmul.units);
    else if (strcmp(key, "filters") == 0)
        x->ok = is_number(v, (double)n->attr.conv.filters);
    else if (strcmp(key, "kernel_size") == 0 || strcmp(key, "pool_size") == 0)
        x->ok = is_dims(v, w->size);
    else if (strcmp(key, "strides") == 0)
        x->ok = is_dims(v, w->stride);
    else if (strcmp(key, "padding") == 0 && nn_json_typeof(v) == NN_JSON_STRING)
        x->ok = w->same == (strcmp(nn_json_str(v, ""), "same") == 0);
    else if (strcmp(key, "rate") == 0)
        x->ok = is_number(v, n->attr.dropout.rate);
    else if (strcmp(key, "momentum") == 0)
        x->ok = is_number(v, n->attr.batch_norm.momentum);
    else if (strcmp(key, "activation") == 0 && nn_json_typeof(v) == NN_JSON_STRING)
        x->ok = same_activation(x, nn_json_str(v, ""));
    return x->ok;
}

/* Whether layer i of the network is what the row's dictionary says. */
static bool same_layer(const nn_unit *u, int i, const nn_json *want) {
    const char *type = nn_json_str(nn_json_get(want, "type"), "");
    if (!*type) return true; /* nothing is said */
    if (i >= u->n_layers || nn_layer_find(type) == NULL) return false;
    const nn_unit_layer *l = &u->layers[i];
    if (strcmp(nn_layer_find(type)->name, l->type) != 0) return false;
    layer_view v = {u->graph, l, &u->graph->nodes[l->first_node], true};
    nn_json_each(nn_json_get(want, "params"), check_param, &v);
    return v.ok;
}

static bool same_layers(const nn_unit *u, const nn_json *row, const char *rule) {
    const nn_json *want = nn_json_get(row, "expected");
    const char *kind = nn_json_str(nn_json_get(row, "expected_kind"), "");
    if (strcmp(kind, "exact") != 0 && strcmp(kind, "subset") != 0) return true;
    if (strcmp(rule, "layer") == 0) return !nn_json_get(want, "type") || same_layer(u, 1, want);
    const nn_json *layers = nn_json_get(want, "layers");
    for (size_t i = 0; i < nn_json_size(layers); i++)
        if (!same_layer(u, 1 + (int)i, nn_json_at(layers, i))) return false;
    return true;
}

/* ---- the files ---- */

static void verdict_row(const nn_json *row, bool accept, tally *t) {
    const char *rule = nn_json_str(nn_json_get(row, "start_rule"), "");
    const char *ours = nn_json_str(nn_json_get(nn_json_get(row, "ours"), "verdict"), NULL);
    t->rows++;
    if (strcmp(rule, "network") != 0 && strcmp(rule, "layer") != 0) return; /* the parser's own */
    if (ours) accept = strcmp(ours, "reject") != 0;
    if (nn_json_get(row, "setup")) return; /* macros */
    result r = compile_row(row, rule);
    bool accepted = r.unit || (strcmp(rule, "layer") == 0 && r.only_shape);
    bool right = accepted == accept && (!r.unit || !accept || same_layers(r.unit, row, rule));
    if (r.uncovered) {
        nn_arena_free(r.arena);
        return;
    }
    t->covered++;
    if (!right && deviates(nn_json_str(nn_json_get(row, "id"), "")))
        t->deviations++;
    else if (!right) {
        t->wrong++;
        complain(row, &r, accepted == accept ? "another layer" : accept ? "rejected" : "accepted");
    }
    nn_arena_free(r.arena);
}

static void accept_row(const nn_json *row, tally *t) {
    verdict_row(row, true, t);
}

static void reject_row(const nn_json *row, tally *t) {
    verdict_row(row, false, t);
}

/* [null, 26, 26, 32] against a shape without the batch. */
static bool same_shape(const nn_json *want, const nn_shape *got) {
    if ((int)nn_json_size(want) != got->rank + 1) return false;
    for (int i = 0; i < got->rank; i++)
        if (nn_json_int(nn_json_at(want, (size_t)i + 1), NN_DIM_UNKNOWN) != got->dim[i])
            return false;
    return true;
}

static bool same_shapes(const nn_unit *u, const nn_json *want) {
    if (u->n_layers - 1 != (int)nn_json_size(want)) return false;
    for (int i = 1; i < u->n_layers; i++)
        if (!same_shape(nn_json_at(want, (size_t)i - 1), &u->layers[i].out)) return false;
    return true;
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
    t->covered += !r.uncovered;
    if (!r.uncovered && !right) {
        t->wrong++;
        complain(row, &r, nn_buf_str(&text));
    }
    nn_arena_free(r.arena);
}

/* Rows with a program give the shapes by Keras's rules, or the error. */
static void shapes_row(const nn_json *row, tally *t) {
    t->rows++;
    if (!nn_json_get(row, "dsl")) {
        layers_row(row, t);
        return;
    }
    result r = compile_row(row, "network");
    bool error = nn_json_typeof(nn_json_get(row, "reference_error")) == NN_JSON_STRING;
    bool right =
        error ? !r.unit : r.unit && same_shapes(r.unit, nn_json_get(row, "reference_shapes"));
    if (!r.uncovered) {
        t->covered++;
        bool excused = !right && deviates(nn_json_str(nn_json_get(row, "id"), ""));
        t->deviations += excused;
        if (!right && !excused) {
            t->wrong++;
            complain(row, &r, "other shapes");
        }
    }
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
    print_message("%s: %d rows, %d covered, %d not covered, %d deviations\n", file, t.rows,
                  t.covered, t.rows - t.covered, t.deviations);
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
