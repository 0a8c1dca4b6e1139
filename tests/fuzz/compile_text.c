/* SPDX-License-Identifier: MIT */
/* Any text: diagnostics, or a whole graph that survives being written and read. */
#include "compile/compile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_graph(const nn_graph *g, nn_arena *a) {
    nn_err err;
    nn_graph *back = NULL;
    NN_JSON *v = nn_graph_json(g);
    if (nn_graph_check(g, &err) || nn_graph_read(v, a, &back, &err)) abort();
    NN_JSON *again = nn_graph_json(back);
    if (!nn_json_equal(v, again)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "fuzz", (size_t)256 << 20);
    nn_source src = {"fuzz", (const char *)p, n};
    nn_diags *d = nn_diags_new(a, &src);
    nn_compile_options opt = {.auto_flatten = n % 2 == 0};
    nn_unit *u = NULL;
    nn_err err;
    nn_status st = nn_compile(a, &src, &opt, d, &u, &err);
    if ((st == NN_OK) != (u != NULL) || (st == NN_OK) != (d->errors == 0)) abort();
    if (u && u->n_layers < 2000) check_graph(u->graph, a);
    return 0;
}
