/* SPDX-License-Identifier: MIT */
/* Any text as model_data: diagnostics, or a network that is the same after it was written, in
 * either form, and read again. A text that is no JSON is taken for a program, so that seeds are
 * programs too. Seeds: tests/fuzz/seeds/compile_model_data (the examples), examples/. */
#include "compile/model_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static nn_status compile_json(nn_arena *a, const nn_source *src, nn_diags *d, nn_unit **ret,
                              nn_err *err) {
    nn_program *tree = NULL;
    nn_status s = nn_model_data_parse(a, src, d, &tree, err);
    return s ? s : nn_compile_tree(a, src, tree, NULL, d, ret, err);
}

static void give_up(const char *what, const nn_buf *first, const nn_buf *second) {
    fprintf(stderr, "%s\n%s\n%s\n", what, nn_buf_str(first), second ? nn_buf_str(second) : "");
    abort();
}

/* Written, read, written: the same text, but for places, and the same graph. */
static void check_form(const nn_unit *u, nn_model_data_form form) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "back", (size_t)256 << 20);
    NN_BUF text = {0}, again = {0}, graph = {0}, graph_again = {0};
    NN_JSON *first = nn_model_data(u, form);
    nn_json_dump(first, 0, &text);
    nn_source src = {"back", nn_buf_str(&text), text.n};
    nn_diags *d = nn_diags_new(a, &src);
    nn_unit *back = NULL;
    nn_err err;
    if (compile_json(a, &src, d, &back, &err)) {
        if (err.code == NN_E_LIMIT) return;
        if (err.code == NN_E_INVALID_REQUEST && strstr(err.msg, "deep")) return;
        nn_buf_puts(&again, err.msg);
        give_up("what was written is not read", &text, &again);
    }
    nn_graph_print(u->graph, &graph);
    nn_graph_print(back->graph, &graph_again);
    if (strcmp(nn_buf_str(&graph), nn_buf_str(&graph_again)) != 0) {
        fprintf(stderr, "%s\n", nn_buf_str(&text));
        give_up("another graph", &graph, &graph_again);
    }
    if (form != NN_MODEL_DATA_REFERENCE) return;
    NN_JSON *second = nn_model_data(back, form);
    nn_json_dump(second, 0, &again);
    if (strcmp(nn_buf_str(&text), nn_buf_str(&again)) != 0) give_up("other JSON", &text, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "fuzz", (size_t)256 << 20);
    nn_source src = {"fuzz", (const char *)p, n};
    nn_diags *d = nn_diags_new(a, &src);
    nn_unit *u = NULL;
    nn_err err;
    bool json = n && (p[0] == '{' || p[0] == '[');
    nn_status s =
        json ? compile_json(a, &src, d, &u, &err) : nn_compile(a, &src, NULL, d, &u, &err);
    if ((s == NN_OK) != (u != NULL)) abort();
    if (!u || u->n_layers > 500 || n > 20000) return 0;
    check_form(u, NN_MODEL_DATA_REFERENCE);
    check_form(u, NN_MODEL_DATA_CANONICAL);
    return 0;
}
