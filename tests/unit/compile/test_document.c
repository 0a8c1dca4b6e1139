/* SPDX-License-Identifier: MIT */
#include "t.h"

#include "compile/model_data.h"

#include <string.h>

static void path_of(const char *text, const char *piece, const char *want) {
    nn_source src = {"t.json", text, strlen(text)};
    NN_BUF path = {0};
    nn_json_path(&src, (size_t)(strstr(text, piece) - text), &path);
    assert_string_equal(nn_buf_str(&path), want);
}

TEST(the_path_of_a_place_in_json) {
    const char *t =
        "{\"name\": \"n\", \"layers\": [ {\"type\": \"A\"},\n {\"params\": {\"un\\u0069ts\": "
        "[1, [2, 33]]}, \"last\": 7}], \"end\": true}";
    path_of(t, "{\"name", "");
    path_of(t, "\"n\"", "name");
    path_of(t, "[ {", "layers");
    path_of(t, "\"A\"", "layers[0].type");
    path_of(t, "33", "layers[1].params.units[1][1]");
    path_of(t, "1, [2", "layers[1].params.units[0]");
    path_of(t, "7}", "layers[1].last");
    path_of(t, "true", "end");
    path_of("{\"a\": [1, ?", "?", "a[0]"); /* as far as it can be read */
}

TEST(what_is_json) {
    nn_source a = {"net.json", "", 0}, b = {"x", " \n{", 3}, c = {"x", "network", 7},
              d = {".json", "", 0}, e = {NULL, "", 0};
    CHECK(nn_source_is_json(&a));
    CHECK(nn_source_is_json(&b));
    CHECK(!nn_source_is_json(&c));
    CHECK(!nn_source_is_json(&d));
    CHECK(!nn_source_is_json(&e));
}

static void first_error(const char *text, int line, int col, const char *want) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "t", 0);
    nn_source src = {"t.json", text, strlen(text)};
    nn_diags *d = nn_diags_new(arena, &src);
    nn_unit *u = NULL;
    nn_err err;
    assert_int_equal(nn_compile_source(arena, &src, NULL, d, &u, &err), NN_E_DSL_ERROR);
    assert_int_equal(err.line, line);
    assert_int_equal(err.col, col);
    if (strncmp(err.msg, want, strlen(want)) != 0) fail_msg("'%s' is not '%s'", err.msg, want);
    for (const nn_diag *g = d->first; g; g = g->next) CHECK(!g->fix.what);
}

TEST(diagnostics_name_the_member) {
    first_error("{\"input\": {\"shape\": [4]}, \"layers\": [{\"type\": \"Dense\",\n \"params\": "
                "{\"units\": -1}}]}",
                2, 22, "layers[0].params.units: Dense units must be a positive integer");
    first_error("{\"input\": {\"shape\": [4]}, \"layers\": [{\"type\": \"Dens\", \"params\": {}}]}",
                1, 47, "layers[0].type: unknown layer 'Dens'");
    first_error("{\"input\": {\"shape\": [4]}, \"layers\": [{\"params\": {\"units\": 2}}]}", 1, 38,
                "layers[0]: expected a layer");
}

TEST(broken_json_is_a_diagnostic) {
    first_error("{\"input\": ", 1, 11, "");
    first_error("{\n \"input\": {\"shape\": [4,]} }", 2, 24, "");
    first_error("[]", 1, 1, "expected an object");
    first_error("", 1, 1, "");
    first_error("{} x", 1, 4, "");
}
